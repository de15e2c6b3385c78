#include "sip/transaction.h"

#include <algorithm>

namespace sluice::sip {
namespace {

constexpr Micros Times(Micros interval, int64_t n) {
  return Micros(interval.us() * n);
}
// B, F, H, J, L and M, and how long a Repeater goes on.
constexpr Micros Patience(const TransactionTimers& timers) {
  return Times(timers.t1, 64);
}
// D: as long as the other end may send its failure again, which with the
// timers of the RFC is this; a server with slower ones is not known here.
constexpr Micros TimerD(const TransactionTimers& timers) {
  return std::max(Micros::Seconds(32), Patience(timers));
}

constexpr bool IsProvisional(int status) {
  return status >= 100 && status < 200;
}
constexpr bool IsSuccess(int status) { return status >= 200 && status < 300; }
constexpr bool IsStatus(int status) { return status >= 100 && status < 700; }

}  // namespace

// --- The client's ----------------------------------------------------------

ClientTransaction::ClientTransaction(bool invite, bool reliable,
                                     const TransactionTimers& timers,
                                     Micros now)
    : timers_(timers),
      again_(reliable ? kNeverDue : now + timers.t1),
      end_(now + Patience(timers)),
      interval_(timers.t1),
      invite_(invite),
      reliable_(reliable),
      state_(invite ? State::kCalling : State::kTrying) {}

void ClientTransaction::Terminate() {
  state_ = State::kTerminated;
  again_ = end_ = kNeverDue;
}

ClientTransaction::Does ClientTransaction::OnResponse(int status, Micros now) {
  if (!IsStatus(status)) return {};
  switch (state_) {
    case State::kCalling:
    case State::kTrying:
    case State::kProceeding:
      if (IsProvisional(status)) {
        state_ = State::kProceeding;
        // Others than INVITE go on sending, every T2, and F stays.
        if (invite_) again_ = end_ = kNeverDue;
        return {.pass = true};
      }
      again_ = kNeverDue;
      if (invite_ && IsSuccess(status)) {
        state_ = State::kAccepted;
        end_ = now + Patience(timers_);  // M
        return {.pass = true};
      }
      state_ = State::kCompleted;
      end_ = now + (invite_ ? TimerD(timers_) : timers_.t4);  // D, K
      if (reliable_) Terminate();
      return {.ack = invite_, .pass = true};
    case State::kAccepted: return {.pass = IsSuccess(status)};
    case State::kCompleted: return {.ack = invite_ && status >= 300};
    case State::kTerminated: return {};
  }
  return {};
}

ClientTransaction::Does ClientTransaction::OnTime(Micros now) {
  // First, so that a request is not sent whose answer nobody waits for.
  if (now >= end_) {
    const bool unanswered = state_ == State::kCalling ||
                            state_ == State::kTrying ||
                            state_ == State::kProceeding;
    Terminate();
    return {.timeout = unanswered};
  }
  if (now < again_) return {};
  interval_ = Times(interval_, 2);
  if (state_ == State::kTrying) interval_ = std::min(interval_, timers_.t2);
  if (state_ == State::kProceeding) interval_ = timers_.t2;
  again_ = now + interval_;
  return {.send = true};
}

ClientTransaction::Does ClientTransaction::OnTransportError(Micros) {
  switch (state_) {
    case State::kCalling:
    case State::kTrying: break;
    case State::kProceeding:
      if (invite_) return {};
      break;
    case State::kCompleted:
      if (!invite_) return {};
      break;
    case State::kAccepted:
    case State::kTerminated: return {};
  }
  Terminate();
  return {.failed = true};
}

Micros ClientTransaction::due() const { return std::min(again_, end_); }

// --- The server's ----------------------------------------------------------

ServerTransaction::ServerTransaction(bool invite, bool reliable,
                                     const TransactionTimers& timers,
                                     Micros now)
    : timers_(timers),
      again_(invite ? now + kTryingAfter : kNeverDue),
      invite_(invite),
      reliable_(reliable),
      state_(invite ? State::kProceeding : State::kTrying) {}

void ServerTransaction::Terminate() {
  state_ = State::kTerminated;
  again_ = end_ = kNeverDue;
}

ServerTransaction::Does ServerTransaction::OnRequest(Micros) {
  switch (state_) {
    case State::kProceeding: return {.send = answered_};
    case State::kCompleted: return {.send = true};
    case State::kTrying:
    case State::kAccepted:
    case State::kConfirmed:
    case State::kTerminated: return {};
  }
  return {};
}

ServerTransaction::Does ServerTransaction::OnAck(Micros now) {
  if (state_ == State::kAccepted) return {.pass = true};
  if (state_ != State::kCompleted || !invite_) return {};
  state_ = State::kConfirmed;
  again_ = kNeverDue;
  end_ = now + timers_.t4;  // I
  if (reliable_) Terminate();
  return {};
}

ServerTransaction::Does ServerTransaction::Respond(int status, Micros now) {
  if (!IsStatus(status)) return {};
  switch (state_) {
    case State::kTrying:
    case State::kProceeding: break;
    case State::kAccepted: return {.send = IsSuccess(status)};
    case State::kCompleted:
    case State::kConfirmed:
    case State::kTerminated: return {};
  }
  answered_ = true;
  again_ = kNeverDue;  // the 100
  if (IsProvisional(status)) {
    state_ = State::kProceeding;
    return {.send = true};
  }
  end_ = now + Patience(timers_);  // H, J, L
  if (invite_ && IsSuccess(status)) {
    state_ = State::kAccepted;
    return {.send = true};
  }
  state_ = State::kCompleted;
  if (!reliable_ && invite_) {
    interval_ = timers_.t1;
    again_ = now + interval_;  // G
  }
  if (reliable_ && !invite_) Terminate();
  return {.send = true};
}

ServerTransaction::Does ServerTransaction::OnTime(Micros now) {
  if (now >= end_) {
    const bool unacknowledged = invite_ && state_ == State::kCompleted;
    Terminate();
    return {.timeout = unacknowledged};
  }
  if (now < again_) return {};
  if (state_ == State::kProceeding) {
    answered_ = true;
    again_ = kNeverDue;
    return {.trying = true};
  }
  interval_ = std::min(Times(interval_, 2), timers_.t2);
  again_ = now + interval_;
  return {.send = true};
}

ServerTransaction::Does ServerTransaction::OnTransportError(Micros) {
  switch (state_) {
    case State::kTrying:
    case State::kConfirmed:
    case State::kTerminated: return {};  // nothing of ours was on its way
    case State::kProceeding:
    case State::kAccepted:
    case State::kCompleted: break;
  }
  if (!invite_) Terminate();
  return {.failed = true};
}

Micros ServerTransaction::due() const { return std::min(again_, end_); }

// --- What the user agent repeats -------------------------------------------

Repeater::Repeater(Kind kind, const TransactionTimers& timers, Micros now)
    : again_(now + timers.t1),
      end_(now + Patience(timers)),
      interval_(timers.t1),
      interval_max_(kind == Kind::kFinal ? timers.t2 : Patience(timers)) {}

Repeater::Does Repeater::OnTime(Micros now) {
  if (now >= end_) {
    Acknowledged();
    return {.give_up = true};
  }
  if (now < again_) return {};
  interval_ = std::min(Times(interval_, 2), interval_max_);
  again_ = now + interval_;
  return {.send = true};
}

void Repeater::Acknowledged() { again_ = end_ = kNeverDue; }

}  // namespace sluice::sip
