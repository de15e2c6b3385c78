#include "tools/load/sip_run.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdio>
#include <memory>
#include <random>
#include <thread>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/status_macros.h"
#include "tools/load/thread_steps.h"
#include "tools/load/traffic_run.h"

namespace sluice::load {
namespace {

using Workers = std::vector<std::unique_ptr<SipWorker>>;

// Places for what is under way; a quarter more than the rate and the timeout
// need, for what is begun late is begun in a heap.
constexpr double kSlotsSpare = 1.25;
constexpr uint32_t kSlotsMin = 1 << 10;
constexpr uint32_t kSlotsMax = 1 << 22;
// Behind the timeout of the last one begun.
constexpr double kDrainSpareS = 1;

SipTotals Sum(const Workers& workers) {
  SipTotals totals;
  for (const auto& worker : workers) totals.Add(worker->tally());
  return totals;
}

Totals SumMedia(const Workers& workers) {
  Totals totals;
  for (const auto& worker : workers) {
    if (worker->media() != nullptr) totals.Add(worker->media()->packets());
  }
  return totals;
}

void PrintProgress(double at_s, double span_s, const SipTotals& now,
                   const SipTotals& before) {
  const SipTotals d = now.Since(before);
  absl::FPrintF(stderr,
                "%6.1f s  begun %8.0f/s  answered %8.0f/s  failed %d  "
                "timed out %d  under way %d\n",
                at_s, static_cast<double>(d.started) / span_s,
                static_cast<double>(d.answered) / span_s, now.failed,
                now.timed_out, now.under_way());
}

absl::Status Shift(Endpoint* endpoint, size_t worker) {
  const size_t port = endpoint->port.host() + 2 * worker;
  if (port > UINT16_MAX) {
    return absl::InvalidArgumentError("more workers than ports");
  }
  endpoint->port = Port::FromHost(static_cast<uint16_t>(port));
  return absl::OkStatus();
}

absl::StatusOr<Workers> OpenWorkers(const SipRunOptions& options,
                                    const SipUsers& users,
                                    const std::atomic<Phase>& phase) {
  const size_t count = std::max<size_t>(options.cores.size(), 1);
  SipTrafficOptions share = options.traffic;
  share.rate /= static_cast<double>(count);
  share.caller.timeout_ns = share.patience_ns();
  if (share.media_s > 0) {
    share.caller.parties.media = true;
    ASSIGN_OR_RETURN(share.media_places,
                     SipMedia::PlacesFor(share.rate, share.media_s, count));
    RETURN_IF_ERROR(RaiseDescriptorLimit(
        2 * count * (uint64_t{share.media_places} + share.connections)));
  }
  const double slots = kSlotsSpare * share.rate *
                       static_cast<double>(share.caller.timeout_ns) * 1e-9;
  if (slots > kSlotsMax) {
    return absl::InvalidArgumentError(absl::StrFormat(
        "this rate and timeout%s need more than %d places: take less of one",
        share.media_s > 0 ? " and media" : "", kSlotsMax));
  }
  share.caller.slots =
      std::bit_ceil(std::max(kSlotsMin, static_cast<uint32_t>(slots)));
  const uint32_t run = std::random_device()();
  const bool direct = share.proxy == share.caller.parties.uas;
  Workers workers;
  for (size_t w = 0; w < count; ++w) {
    SipTrafficOptions own = share;
    SipParties& parties = own.caller.parties;
    // Each counts from 0: the run tells theirs apart.
    parties.run = run + static_cast<uint32_t>(w);
    RETURN_IF_ERROR(Shift(&parties.uac, w));
    RETURN_IF_ERROR(Shift(&parties.uas, w));
    if (direct) own.proxy = parties.uas;
    workers.push_back(std::make_unique<SipWorker>(own, users, phase));
    RETURN_IF_ERROR(workers.back()->Open());
  }
  return workers;
}

std::optional<ProcessStats> ReadTogether(const std::vector<pid_t>& pids) {
  if (pids.empty()) return std::nullopt;
  ProcessStats sum;
  for (const pid_t pid : pids) {
    const auto one = ReadProcessStats(pid);
    if (!one.has_value()) return std::nullopt;
    sum.cpu_ns += one->cpu_ns;
    sum.rss_bytes += one->rss_bytes;
    sum.fds += one->fds;
  }
  return sum;
}

void WaitForEnds(const SipRunOptions& options, const Workers& workers,
                 const std::atomic<bool>& stop) {
  const double patience_s =
      static_cast<double>(options.traffic.patience_ns()) * 1e-9 + kDrainSpareS;
  for (double at = 0; at < patience_s; at += 0.02) {
    PauseFor(0.02);
    if (Sum(workers).under_way() == 0) return;
    // A second signal ends the program; the first has been heard already.
    if (stop.load(std::memory_order_relaxed) && at > kDrainSpareS) return;
  }
}

}  // namespace

bool SipRunResult::media_is_whole() const {
  return media.lost() == 0 && media.faults() == 0 && whole.media_failed == 0 &&
         whole.media_no_place == 0 && whole.media_late == 0;
}

double SipRunResult::idle_share() const {
  const auto all = static_cast<double>(measured.busy_ns + measured.idle_ns);
  return all > 0 ? static_cast<double>(measured.idle_ns) / all : 1;
}

std::optional<double> SipRunResult::proxy_us_per_message() const {
  if (!proxy_before.has_value() || !proxy_after.has_value() ||
      measured.messages() == 0) {
    return std::nullopt;
  }
  return static_cast<double>(proxy_after->cpu_ns - proxy_before->cpu_ns) *
         1e-3 / static_cast<double>(measured.messages());
}

std::vector<std::string> SipRunResult::Doubts(
    const SipRunOptions& options) const {
  std::vector<std::string> doubts;
  const double asked = options.traffic.rate * measured_s;
  // Independent arrivals scatter by the root of their number; and a few may be
  // due in the moment in which the phases change.
  const double scatter =
      options.traffic.spacing == SipTrafficOptions::Spacing::kEven
          ? 0
          : 4 * std::sqrt(asked);
  if (static_cast<double>(measured.started) < 0.99 * asked - scatter - 2) {
    doubts.push_back(absl::StrFormat(
        "the generator began %.1f %% of what was asked (its core was busy for "
        "%.0f %% of the time): the rate is its limit, not the proxy's",
        100 * static_cast<double>(measured.started) / asked,
        100 * (1 - idle_share())));
  }
  // With --spin a worker is always running, unless its core ran something else.
  const double wanted = options.traffic.spin ? 1 : 1 - idle_share();
  if (generator_cpu < 0.9 * wanted && wanted > 0.3) {
    doubts.push_back(absl::StrFormat(
        "the generator wanted %.0f %% of its core and got %.0f %%: something "
        "else ran there",
        100 * wanted, 100 * generator_cpu));
  }
  const auto tell = [&](uint64_t count, const char* what) {
    if (count > 0) doubts.push_back(absl::StrCat(count, what));
  };
  tell(receive_drops,
       " messages were dropped by the kernel at the generator's own sockets");
  tell(media_receive_drops,
       " packets were dropped by the kernel at the generator's own sockets");
  tell(media.send_refused, " of the generator's packets could not be sent");
  tell(whole.media_no_place, " calls were not begun: no place for their media");
  tell(whole.send_refused, " of the generator's messages could not be sent");
  tell(whole.too_long, " of the generator's messages did not fit");
  tell(whole.connections_lost, " connections were lost");
  return doubts;
}

absl::StatusOr<SipRunResult> RunSip(const SipRunOptions& options,
                                    const SipUsers& users,
                                    const std::atomic<bool>& stop) {
  std::atomic<Phase> phase{Phase::kWarmUp};
  ASSIGN_OR_RETURN(Workers workers, OpenWorkers(options, users, phase));
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

  SipRunResult result;
  result.interrupted = !PauseThrough(options.warm_up_s, stop, [](double) {});
  const SipTotals before = Sum(workers);
  const Totals media_before = SumMedia(workers);
  result.proxy_before = ReadTogether(options.proxy_pids);
  const uint64_t began = NowNs();
  enter(Phase::kMeasure);
  SipTotals told = before;
  double told_s = 0;
  result.interrupted |= !PauseThrough(options.seconds, stop, [&](double at_s) {
    if (!options.progress) return;
    const SipTotals now = Sum(workers);
    PrintProgress(at_s, at_s - told_s, now, told);
    told = now;
    told_s = at_s;
  });
  enter(Phase::kDrain);
  result.measured = Sum(workers).Since(before);
  result.media_measured = SumMedia(workers).Since(media_before);
  result.measured_s = static_cast<double>(NowNs() - began) * 1e-9;
  result.proxy_after = ReadTogether(options.proxy_pids);
  if (result.interrupted) {
    for (const auto& worker : workers) worker->Hurry();
  }
  WaitForEnds(options, workers, stop);
  join();

  result.whole = Sum(workers);
  result.media = SumMedia(workers);
  uint64_t cpu_ns = 0;
  for (const auto& worker : workers) {
    result.answer_ns.Merge(worker->caller().answer_ns());
    result.whole_ns.Merge(worker->caller().whole_ns());
    for (size_t code = 0; code < SipCaller::kCodes; ++code) {
      result.failures[code] += worker->caller().failures()[code];
    }
    result.receive_drops += worker->ReceiveDrops();
    cpu_ns += worker->cpu_ns();
    if (const SipMedia* const media = worker->media(); media != nullptr) {
      result.media_ns.Merge(media->delay_ns());
      result.media_receive_drops += media->ReceiveDrops();
    }
  }
  result.generator_cpu = static_cast<double>(cpu_ns) * 1e-9 /
                         std::max(result.measured_s, 1e-9) /
                         static_cast<double>(workers.size());
  return result;
}

}  // namespace sluice::load
