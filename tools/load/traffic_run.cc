#include "tools/load/traffic_run.h"

#include <sys/resource.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <memory>
#include <random>
#include <thread>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/net/socket.h"
#include "base/status_macros.h"
#include "tools/load/thread_steps.h"

namespace sluice::load {
namespace {

using Workers = std::vector<std::unique_ptr<Worker>>;

constexpr double kDrainQuietS = 1;
constexpr double kDrainMaxS = 5;

Totals Sum(const Workers& workers) {
  Totals totals;
  for (const auto& worker : workers) totals.Add(worker->tally());
  return totals;
}

void PrintProgress(double at_s, double span_s, const Totals& now,
                   const Totals& before) {
  const Totals d = now.Since(before);
  absl::FPrintF(stderr,
                "%6.1f s  sent %8.0f/s  arrived %8.0f/s  missing %d  "
                "reordered %d  duplicate %d  misrouted %d  corrupted %d\n",
                at_s, static_cast<double>(d.sent) / span_s,
                static_cast<double>(d.received) / span_s, now.lost(),
                now.reordered, now.duplicates, now.misrouted, now.corrupted);
}

// Until everything sent has arrived, or nothing more does.
void WaitUntilQuiet(const Workers& workers) {
  double quiet = 0;
  Totals last = Sum(workers);
  for (double at = 0; at < kDrainMaxS && quiet < kDrainQuietS; at += 0.02) {
    // One step at least, so that a duplicate of the last packet is seen.
    PauseFor(0.02);
    const Totals now = Sum(workers);
    const bool moved = now.received != last.received ||
                       now.rtcp_received != last.rtcp_received ||
                       now.duplicates != last.duplicates;
    quiet = moved ? 0 : quiet + 0.02;
    last = now;
    if (!moved && now.lost() == 0 && now.rtcp_lost() == 0) return;
  }
}

absl::StatusOr<Workers> OpenWorkers(const RunOptions& options,
                                    std::span<const SessionPlan> sessions,
                                    const std::atomic<Phase>& phase) {
  const size_t count = std::clamp<size_t>(options.cores.size(), 1,
                                          std::max<size_t>(sessions.size(), 1));
  TrafficOptions share = options.traffic;
  share.rate /= static_cast<double>(count);
  share.window =
      std::max<uint32_t>(1, share.window / static_cast<uint32_t>(count));
  const uint32_t run = std::random_device()();
  Workers workers;
  for (size_t w = 0; w < count; ++w) {
    const size_t first = sessions.size() * w / count;
    const size_t last = sessions.size() * (w + 1) / count;
    workers.push_back(std::make_unique<Worker>(share, run, phase));
    RETURN_IF_ERROR(workers.back()->Open(sessions.subspan(first, last - first),
                                         static_cast<uint32_t>(first)));
  }
  return workers;
}

}  // namespace

double RunResult::idle_share() const {
  const auto all = static_cast<double>(measured.busy_ns + measured.idle_ns);
  return all > 0 ? static_cast<double>(measured.idle_ns) / all : 1;
}

std::vector<std::string> RunResult::Doubts(const RunOptions& options) const {
  std::vector<std::string> doubts;
  const double asked = options.traffic.rate * measured_s;
  // Two packets may be due in the moment in which the phases change.
  const bool fell_behind =
      asked > 0 && static_cast<double>(measured.sent) < 0.99 * asked - 2;
  const bool busy = idle_share() < 0.05;
  const double full = measured.polls == 0
                          ? 0
                          : static_cast<double>(measured.polls_full) /
                                static_cast<double>(measured.polls);
  if (fell_behind) {
    doubts.push_back(absl::StrFormat(
        "the generator sent %.1f %% of what was asked (its core was busy for "
        "%.0f %% of the time): the rate is its limit, not the relay's",
        100 * static_cast<double>(measured.sent) / asked,
        100 * (1 - idle_share())));
  }
  // Flat out, a generator that looks often finds little each time and is never
  // idle; it is behind when there is more than it asks for.
  if (asked <= 0 && busy && full > 0.5) {
    doubts.push_back(absl::StrFormat(
        "the generator's core was busy for %.0f %% of the time and %.0f %% of "
        "its looks found more than it could take: it may be the bottleneck",
        100 * (1 - idle_share()), 100 * full));
  }
  // With --spin a worker is always running, unless its core ran something else.
  const double wanted = options.traffic.spin ? 1 : 1 - idle_share();
  if (generator_cpu < 0.9 * wanted && wanted > 0.3) {
    doubts.push_back(absl::StrFormat(
        "the generator wanted %.0f %% of its core and got %.0f %%: something "
        "else ran there",
        100 * wanted, 100 * generator_cpu));
  }
  if (receive_drops > 0) {
    doubts.push_back(absl::StrFormat(
        "the kernel dropped %d packets at the generator's own sockets: they "
        "are not the relay's loss",
        receive_drops));
  }
  if (whole.send_refused > 0) {
    doubts.push_back(absl::StrFormat(
        "the kernel refused %d of the generator's sends: they count as lost",
        whole.send_refused));
  }
  return doubts;
}

absl::StatusOr<RunResult> RunTraffic(const RunOptions& options,
                                     std::span<const SessionPlan> sessions,
                                     const std::atomic<bool>& stop) {
  std::atomic<Phase> phase{Phase::kWarmUp};
  ASSIGN_OR_RETURN(Workers workers, OpenWorkers(options, sessions, phase));
  std::vector<std::thread> threads;
  absl::Status pinned;
  for (size_t w = 0; w < workers.size(); ++w) {
    threads.emplace_back([worker = workers[w].get()] { worker->Run(); });
    if (w < options.cores.size()) {
      pinned.Update(PinToCore(threads.back(), options.cores[w]));
    }
  }
  const auto enter = [&](Phase next) {
    phase.store(next, std::memory_order_release);
  };
  const auto join = [&] {
    enter(Phase::kStop);
    for (std::thread& thread : threads) thread.join();
  };
  if (!pinned.ok()) {
    join();
    return pinned;
  }

  RunResult result;
  const auto relay = [&]() -> std::optional<ProcessStats> {
    if (options.relay_pid == 0) return std::nullopt;
    return ReadProcessStats(options.relay_pid);
  };
  result.interrupted = !PauseThrough(options.warm_up_s, stop, [](double) {});
  const Totals before = Sum(workers);
  result.relay_before = relay();
  const uint64_t began = NowNs();
  enter(Phase::kMeasure);
  Totals told = before;
  double told_s = 0;
  result.interrupted |= !PauseThrough(options.seconds, stop, [&](double at_s) {
    if (!options.progress) return;
    const Totals now = Sum(workers);
    PrintProgress(at_s, at_s - told_s, now, told);
    told = now;
    told_s = at_s;
  });
  enter(Phase::kDrain);
  result.measured = Sum(workers).Since(before);
  result.measured_s = static_cast<double>(NowNs() - began) * 1e-9;
  result.relay_after = relay();
  WaitUntilQuiet(workers);
  join();

  result.whole = Sum(workers);
  uint64_t cpu_ns = 0;
  for (const auto& worker : workers) {
    result.delay_ns.Merge(worker->delay_ns());
    result.receive_drops += worker->ReceiveDrops();
    result.silent_streams += worker->SilentStreams();
    cpu_ns += worker->cpu_ns();
  }
  result.generator_cpu = static_cast<double>(cpu_ns) * 1e-9 /
                         std::max(result.measured_s, 1e-9) /
                         static_cast<double>(workers.size());
  return result;
}

absl::Status RaiseDescriptorLimit(uint64_t descriptors) {
  const rlim_t wanted = descriptors + 64;
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) {
    return net::ErrnoStatus(errno, "getrlimit");
  }
  if (limit.rlim_cur >= wanted) return absl::OkStatus();
  const rlimit raised = {wanted, std::max(limit.rlim_max, wanted)};
  if (setrlimit(RLIMIT_NOFILE, &raised) != 0) {
    return absl::ResourceExhaustedError(absl::StrFormat(
        "%d descriptors are needed and %d allowed: raise `ulimit -n`", wanted,
        limit.rlim_max));
  }
  return absl::OkStatus();
}

}  // namespace sluice::load
