#ifndef SLUICE_TOOLS_LOAD_TRAFFIC_RUN_H_
#define SLUICE_TOOLS_LOAD_TRAFFIC_RUN_H_

#include <sys/types.h>

#include <atomic>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "tools/load/histogram.h"
#include "tools/load/process_stats.h"
#include "tools/load/session_plan.h"
#include "tools/load/tally.h"
#include "tools/load/worker.h"

namespace sluice::load {

struct RunOptions {
  TrafficOptions traffic;  // rate and window of all workers together
  std::vector<int> cores;  // a worker each; empty: one that is not pinned
  double warm_up_s = 0.5;
  double seconds = 10;
  pid_t relay_pid = 0;  // whose CPU time and memory to measure; 0: nobody's
  bool progress = false;
};

// What a run found.
struct RunResult {
  Totals whole;     // from the first packet to the last
  Totals measured;  // the measured phase alone
  double measured_s = 0;
  Histogram delay_ns;  // of packets that arrived in the measured phase
  uint64_t receive_drops = 0;
  uint64_t silent_streams = 0;
  double generator_cpu = 0;  // CPU seconds a second and worker
  bool interrupted = false;
  std::optional<ProcessStats> relay_before, relay_after;

  // Share of the measured time in which the busiest thing a worker could do was
  // wait: 0 is a generator that never had a free moment.
  double idle_share() const;
  // Why the figures may be the generator's and not the relay's; empty when they
  // are the relay's.
  std::vector<std::string> Doubts(const RunOptions& options) const;
};

// Opens the sockets, sends and receives until the time is over or `stop`
// becomes true, then waits until nothing more arrives.
absl::StatusOr<RunResult> RunTraffic(const RunOptions& options,
                                     std::span<const SessionPlan> sessions,
                                     const std::atomic<bool>& stop);

// Makes room for so many descriptors. ResourceExhausted names the limit.
absl::Status RaiseDescriptorLimit(uint64_t descriptors);

}  // namespace sluice::load

#endif  // SLUICE_TOOLS_LOAD_TRAFFIC_RUN_H_
