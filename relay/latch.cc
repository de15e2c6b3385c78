#include "relay/latch.h"

namespace sluice::relay {

bool Latch::Retarget(const SideTarget& target, Micros window_end) noexcept {
  const Endpoint& named = target.target;
  // On hold nothing is sent, but who is believed stays: the same address after
  // the hold must find its latch.
  if (named.is_none() || named == last_named_) {
    target_ = target;
    return false;
  }
  if (believed() && source_ == named) {
    // Signalling now names what was learnt.
    target_ = target;
    last_named_ = named;
    state_ = State::kConfirmed;
    by_ = LatchedBy::kSdp;
    return false;
  }
  Reset(target, window_end);
  return true;
}

Latch::Answer Latch::Believe(const Endpoint& source, State state,
                             LatchedBy by) noexcept {
  source_ = source;
  state_ = state;
  by_ = by;
  return Answer::kLatched;
}

uint8_t Latch::Follow(const rtp::RtpHeader* header) noexcept {
  if (header == nullptr) return ++in_sequence_;
  const bool next =
      in_sequence_ > 0 && header->ssrc == ssrc_ &&
      header->sequence == static_cast<uint16_t>(last_sequence_ + 1);
  if (in_sequence_ > 0 && !next) broken_ = true;
  in_sequence_ = next ? static_cast<uint8_t>(in_sequence_ + 1) : 1;
  ssrc_ = header->ssrc;
  last_sequence_ = header->sequence;
  return in_sequence_;
}

Latch::Answer Latch::Probe(const Endpoint& source, const rtp::RtpHeader* header,
                           Micros now) noexcept {
  if (state_ != State::kProbing || !(source == source_)) {
    if (state_ == State::kProbing && !broken_ &&
        now - last_probe_ <= kProbeSilence) {
      return Answer::kLearning;
    }
    source_ = source;
    state_ = State::kProbing;
    in_sequence_ = 0;
    broken_ = false;
  }
  last_probe_ = now;
  if (Follow(header) < kToLearn) return Answer::kLearning;
  return Believe(source, State::kConfirmed, LatchedBy::kLearnt);
}

std::optional<Latch::Answer> Latch::AtOnce(const Endpoint& source,
                                           LatchPolicy policy) noexcept {
  if (state_ == State::kConfirmed) {
    return source == source_ ? Answer::kAccept : Answer::kRefuse;
  }
  // While a party is on hold it is still known by the address it had.
  if (source == last_named_) {
    return Believe(source, State::kConfirmed, LatchedBy::kSdp);
  }
  switch (policy) {
    case LatchPolicy::kStrict: return Answer::kRefuse;
    case LatchPolicy::kFirstPacket:
      return Believe(source, State::kConfirmed, LatchedBy::kFirstPacket);
    case LatchPolicy::kSdpFirst: break;
  }
  return std::nullopt;
}

Latch::Answer Latch::OnPacket(const Endpoint& source,
                              const rtp::RtpHeader* header, LatchPolicy policy,
                              Micros now) noexcept {
  if (const auto answer = AtOnce(source, policy)) return *answer;
  const Endpoint& named = last_named_;
  if (state_ == State::kTentative && source == source_) {
    if (Follow(header) < kToConfirm) return Answer::kAccept;
    return Believe(source, State::kConfirmed, by_);
  }
  // A source that was heard but not yet confirmed gives way within the window
  // only; a flow that never had one may find its first one late.
  if (state_ == State::kTentative && now > window_end_) return Answer::kRefuse;
  if (source.ip == named.ip || AddressIsSignalled(source.ip)) {
    in_sequence_ = 0;
    Follow(header);
    return Believe(source, State::kTentative, LatchedBy::kSameAddress);
  }
  // On hold from the start and no address named at all: nothing will be sent to
  // whoever speaks, so hearing him out leaks nothing (music on hold does this).
  if (named.is_none() && target_.signalled == IpAddress() &&
      state_ == State::kOpen) {
    in_sequence_ = 0;
    Follow(header);
    return Believe(source, State::kTentative, LatchedBy::kFirstPacket);
  }
  if (target_.learn_any && state_ != State::kTentative) {
    return Probe(source, header, now);
  }
  return Answer::kRefuse;
}

Latch::Answer Latch::OnRtcp(const Endpoint& source, const Latch* rtp,
                            LatchPolicy policy) noexcept {
  if (const auto answer = AtOnce(source, policy)) return *answer;
  if (rtp != nullptr && rtp->state() == State::kConfirmed &&
      rtp->source().ip == source.ip) {
    return Believe(source, State::kConfirmed, LatchedBy::kSameAddress);
  }
  return Answer::kRefuse;
}

}  // namespace sluice::relay
