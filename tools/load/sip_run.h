#ifndef SLUICE_TOOLS_LOAD_SIP_RUN_H_
#define SLUICE_TOOLS_LOAD_SIP_RUN_H_

#include <sys/types.h>

#include <array>
#include <atomic>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "tools/load/histogram.h"
#include "tools/load/process_stats.h"
#include "tools/load/sip_tally.h"
#include "tools/load/sip_worker.h"
#include "tools/load/tally.h"

namespace sluice::load {

struct SipRunOptions {
  // Rate of all workers together; addresses of the first: worker w has the
  // ports 2 w above them. Slots are made to fit by RunSip.
  SipTrafficOptions traffic{};
  std::vector<int> cores{};  // a worker each; empty: one that is not pinned
  double warm_up_s = 0.5;
  double seconds = 10;
  // Whose CPU time and memory to measure, all together.
  std::vector<pid_t> proxy_pids{};
  bool progress = false;
};

// What a run found.
struct SipRunResult {
  SipTotals whole{};                 // from the first message to the last
  SipTotals measured{};              // the measured phase alone
  Totals media{}, media_measured{};  // the packets of calls, likewise
  double measured_s = 0;
  // Of what came to its end in the measured phase.
  Histogram answer_ns{}, whole_ns{};
  Histogram media_ns{};  // of packets on their way
  std::array<uint64_t, SipCaller::kCodes> failures{};  // whole run, by code
  uint64_t receive_drops = 0, media_receive_drops = 0;
  double generator_cpu = 0;  // CPU seconds a second and worker
  bool interrupted = false;
  std::optional<ProcessStats> proxy_before{}, proxy_after{};

  // Whether each call that is to have media had it, and all of it arrived.
  bool media_is_whole() const;
  // Share of the measured time in which there was nothing to do.
  double idle_share() const;
  // CPU time of the proxy a message that it forwarded or answered, us; nullopt
  // when it was not asked for or could not be found out.
  std::optional<double> proxy_us_per_message() const;
  // Why the figures may be the generator's and not the proxy's; empty when they
  // are the proxy's.
  std::vector<std::string> Doubts(const SipRunOptions& options) const;
};

// Binds and connects, begins transactions until the time is over or `stop`
// becomes true, then waits for the ends of those under way.
absl::StatusOr<SipRunResult> RunSip(const SipRunOptions& options,
                                    const SipUsers& users,
                                    const std::atomic<bool>& stop);

}  // namespace sluice::load

#endif  // SLUICE_TOOLS_LOAD_SIP_RUN_H_
