#include "tools/load/session_setup.h"

#include <algorithm>
#include <thread>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "tools/load/worker.h"

namespace sluice::load {

SessionSetup::SessionSetup(const RpcClient& client, const Options& options,
                           std::vector<SessionPlan>& plan)
    : client_(client),
      options_(options),
      plan_(plan),
      states_(plan.size(), State::kNone) {}

SessionSetup::~SessionSetup() { Close().IgnoreError(); }

RpcClient::Key SessionSetup::KeyOf(uint32_t session) const {
  return {absl::StrCat("sluiceload-", options_.name, "-", session),
          absl::StrCat("caller-", session), absl::StrCat("callee-", session)};
}

// Runs one(i) for every session on `parallel` threads, which take turns. A
// thread ends at its `errors_max`th error, and all do when errors_max is 1; the
// result is the first error of one of them.
template <typename F>
absl::Status SessionSetup::ForAll(int errors_max, F&& one) {
  const auto sessions = static_cast<uint32_t>(plan_.size());
  const uint32_t threads =
      std::clamp<uint32_t>(options_.parallel, 1, std::max(sessions, 1u));
  std::vector<absl::Status> results(threads);
  std::atomic<bool> failed{false};
  const auto share = [&](uint32_t thread) {
    int errors = 0;
    for (uint32_t i = thread; i < sessions; i += threads) {
      if (errors_max == 1 && failed.load(std::memory_order_relaxed)) return;
      absl::Status status = one(i);
      if (status.ok()) continue;
      failed.store(true, std::memory_order_relaxed);
      if (results[thread].ok()) {
        results[thread] = absl::Status(
            status.code(), absl::StrCat("session ", i, ": ", status.message()));
      }
      if (++errors == errors_max) return;
    }
  };
  std::vector<std::thread> running;
  for (uint32_t t = 1; t < threads; ++t) running.emplace_back(share, t);
  share(0);
  for (std::thread& thread : running) thread.join();
  for (const absl::Status& status : results) RETURN_IF_ERROR(status);
  return absl::OkStatus();
}

absl::Status SessionSetup::SetUp(const std::atomic<bool>& stop) {
  const uint64_t began = NowNs();
  absl::Status status = ForAll(1, [&](uint32_t session) {
    if (stop.load(std::memory_order_relaxed)) {
      return absl::CancelledError("interrupted");
    }
    return SetUpOne(session);
  });
  setup_s_ = static_cast<double>(NowNs() - began) * 1e-9;
  return status;
}

absl::Status SessionSetup::SetUpOne(uint32_t session) {
  const RpcClient::Key key = KeyOf(session);
  SessionPlan& plan = plan_[session];
  states_[session] = State::kStarted;
  // The ports made for the caller's offer are announced to the callee, and the
  // other way round.
  ASSIGN_OR_RETURN(
      plan.party[kCallee].relay,
      client_.Allocate(key, 0, options_.relay_ip, plan.party[kCaller].local));
  ASSIGN_OR_RETURN(
      plan.party[kCaller].relay,
      client_.Allocate(key, 1, options_.relay_ip, plan.party[kCallee].local));
  RETURN_IF_ERROR(client_.Activate(key).status());
  states_[session] = State::kUp;
  return absl::OkStatus();
}

absl::Status SessionSetup::Close() {
  if (std::all_of(states_.begin(), states_.end(),
                  [](State s) { return s == State::kNone; })) {
    return absl::OkStatus();
  }
  const uint64_t began = NowNs();
  // A helper that is gone is not asked ten thousand times.
  absl::Status status =
      ForAll(3, [&](uint32_t session) { return CloseOne(session); });
  close_s_ = static_cast<double>(NowNs() - began) * 1e-9;
  return status;
}

absl::Status SessionSetup::CloseOne(uint32_t session) {
  const State was = states_[session];
  if (was == State::kNone) return absl::OkStatus();
  states_[session] = State::kNone;
  ASSIGN_OR_RETURN(const int closed, client_.Close(KeyOf(session)));
  // Ports of a half open session go without being counted.
  if (closed == 0 && was == State::kUp) ++close_unknown_;
  return absl::OkStatus();
}

uint32_t SessionSetup::sessions_up() const {
  return static_cast<uint32_t>(
      std::count(states_.begin(), states_.end(), State::kUp));
}

}  // namespace sluice::load
