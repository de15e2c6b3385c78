// What of the session manager depends on time, and the calls as such: when they
// begin, when they are looked at again, when they are forgotten.

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "control/session_manager.h"

namespace sluice::control {
namespace {

// After a long stall everything is due at once; the rest waits for the next
// tick, so that media commands and RPC get their turn (F5).
constexpr size_t kReviewsPerTick = 4096;

}  // namespace

void SessionManager::OnEvent(uint32_t shard, const relay::Event& event) {
  switch (event.kind) {
    case relay::Event::Kind::kSocketClosed:
      if (!ports_.OnClosed(shard, event.slot, now_)) lost_ = true;
      break;
    case relay::Event::Kind::kLatched:
      if (FlowNews* news = News(shard, event.slot)) {
        news->heard[Index(event.side)] = {.source = event.source,
                                          .by = event.by,
                                          .confirmed = event.confirmed};
        const auto local =
            ports_.LocalOf(shard, news->socket[Index(event.side)]);
        if (observer_ != nullptr && local) {
          observer_->OnConfirmed(news->call->call_id, *local,
                                 event.confirmed ? event.source : Endpoint());
        }
      }
      break;
    case relay::Event::Kind::kStopped: break;
  }
}

void SessionManager::Tick(Micros now, Micros last_stall_end) {
  now_ = std::max(now_, now);
  last_stall_end_ = std::max(last_stall_end_, last_stall_end);
  // Before the time is over in which those ports rest: the next to have them
  // must not be told while another still seems to.
  if (std::exchange(lost_, false)) {
    for (const Call* call = oldest_; call != nullptr; call = call->next) {
      Tell(*call);
    }
  }
  timers_.Advance(now_, kReviewsPerTick, [this](uint64_t value) {
    // A call cancels its timer before it goes.
    Call& call = *reinterpret_cast<Call*>(value);
    call.timer = 0;
    call.due = kNever;
    Review(call);
  });
}

void SessionManager::Review(Call& call) {
  const auto ended = [this] {
    return counters_.sessions_expired + counters_.groups_expired;
  };
  const uint64_t before = ended();
  Micros next = kNever;
  for (Transaction& t : call.transactions) {
    next = std::min(next, ReviewTransaction(call, t));
  }
  DropEmpty(call);
  if (call.transactions.empty()) {
    Forget(call);
  } else {
    Arm(call, next);
    if (ended() != before) Tell(call);
  }
}

// Returns when it must be looked at again.
Micros SessionManager::ReviewTransaction(const Call& call,
                                         Transaction& transaction) {
  Micros next = kNever;
  for (Fork& fork : transaction.forks) {
    if (!fork.session) continue;
    const Micros end = QuietSince(call, fork) + options_.active;
    if (end > now_) {
      next = std::min(next, end);
      continue;
    }
    // Activated once only, or never heard at all, it may still be ringing (each
    // 18x with SDP activates, and so does the ACK): the 200 can come yet, so
    // its ports stay as if unused.
    const bool acknowledged = fork.session.activations >= 2 &&
                              LastPacket(call, fork.session) != Micros();
    EndSession(call, fork.session);
    ++counters_.sessions_expired;
    if (acknowledged) GiveUp(transaction, fork);
  }
  const auto expire = [&](Group& group) {
    const Micros end = RunsOut(group);
    if (end > now_) {
      next = std::min(next, end);
      return false;
    }
    FreeGroup(call, group);
    ++counters_.groups_expired;
    return true;
  };
  std::erase_if(transaction.forks, [&](Fork& fork) {
    return !fork.session && expire(fork.group);
  });
  if (transaction.from && !transaction.HasSession() &&
      expire(*transaction.from)) {
    transaction.from.reset();
  }
  return next;
}

// REQUIRES: no session uses the group.
Micros SessionManager::RunsOut(const Group& group) const {
  return std::min(group.release_at,
                  std::max(group.touched, last_stall_end_) + options_.unused);
}

Micros SessionManager::LastPacket(const Call& call,
                                  const Session& session) const {
  Micros last{};
  for (const Slot flow : session.flows) {
    last = std::max(last, plane_.LastPacket(call.shard, flow));
  }
  return last;
}

// Signalling is a sign of life like a packet: the 200 after a long ringing.
Micros SessionManager::QuietSince(const Call& call, const Fork& fork) const {
  return std::max({fork.session.created, fork.group.touched, last_stall_end_,
                   LastPacket(call, fork.session)});
}

// Signalling spoke of it: what was given up may be wanted after all, but not
// what a newer session has replaced.
void SessionManager::Touch(Transaction& transaction, Fork* fork) {
  if (fork != nullptr && fork->over) return;
  for (Group* group : {transaction.from ? &*transaction.from : nullptr,
                       fork != nullptr ? &fork->group : nullptr}) {
    if (group == nullptr) continue;
    group->touched = now_;
    group->release_at = kNever;
  }
}

void SessionManager::Arm(Call& call, Micros when) {
  if (call.timer != 0) {
    if (call.due <= when) return;
    CHECK(timers_.Cancel(call.timer));
  }
  call.due = when;
  call.timer = timers_.Schedule(when, reinterpret_cast<uintptr_t>(&call));
}

Call* SessionManager::Lookup(std::string_view call_id) const {
  const auto it = calls_.find(call_id);
  return it == calls_.end() ? nullptr : it->second.get();
}

Call& SessionManager::NewCall(const std::string& call_id,
                              std::string_view uri_from,
                              std::string_view uri_to, uint32_t shard) {
  auto made = std::make_unique<Call>();
  Call& call = *made;
  call.call_id = call_id;
  call.uri_from = uri_from.substr(0, kUriOctets);
  call.uri_to = uri_to.substr(0, kUriOctets);
  call.shard = shard;
  call.created = now_;
  call.previous = newest_;
  (newest_ == nullptr ? oldest_ : newest_->next) = &call;
  newest_ = &call;
  CHECK(calls_.emplace(call.call_id, std::move(made)).second);
  return call;
}

// REQUIRES: its transactions hold nothing any more.
void SessionManager::Forget(Call& call) {
  if (observer_ != nullptr) observer_->OnGone(call.call_id);
  if (call.timer != 0) CHECK(timers_.Cancel(call.timer));
  (call.previous == nullptr ? oldest_ : call.previous->next) = call.next;
  (call.next == nullptr ? newest_ : call.next->previous) = call.previous;
  const auto it = calls_.find(call.call_id);
  // The key lies in the call: out of the map first, then gone.
  const std::unique_ptr<Call> gone = std::move(it->second);
  calls_.erase(it);
}

}  // namespace sluice::control
