#ifndef SLUICE_RELAY_LATCH_H_
#define SLUICE_RELAY_LATCH_H_

#include <cstdint>
#include <optional>

#include "base/address.h"
#include "base/types.h"
#include "relay/session_command.h"
#include "rtp/packet.h"

namespace sluice::relay {

// Where one side of one flow really sends from.
//
// The SDP names an address; behind a NAT it is the wrong one. So the relay
// watches what arrives and believes one source (RFC 7362, "latching"), under
// rules that keep a stranger from taking the call (RTP bleed):
//
//               the exact address:port of the SDP speaks
//       +-------------------------------------------------------+
//       |                                                       v
//     kOpen -- its address, another port --> kTentative --> kConfirmed
//       |                                       ^    2 in sequence ^
//       |                                       |                  |
//       +-- elsewhere, SDP address unroutable --+-> kProbing ------+
//                                                    4 in sequence
//       ^                                                          |
//       +----------- Retarget() to another address:port -----------+
//
// kTentative is relayed and sent to, but the exact SDP address may still take
// the flow over, and within the window so may another port of the same address.
// kProbing is neither. There is one candidate at a time:
//
//     nobody --any source--> A, in sequence ---- 4 of them ----> kConfirmed
//                              |         ^                           ^
//               skips a number |         | another source speaks:    |
//                              v         | it is A now, counted anew |
//                            A, not always in sequence --4 that are--+
//
// While the candidate keeps its sequence nobody else is looked at, so a flood
// of other sources cannot keep it from counting to 4; once it has broken it, or
// is silent for kProbeSilence, the next other source has the place. So a source
// that only makes noise holds it for two of its packets. Packets never move a
// kConfirmed latch, whatever they carry; only signalling does, and only by
// naming another address (a repeated offer must not reopen the window).
//
// Policies: kStrict believes the exact address alone, kFirstPacket whoever
// speaks first, kSdpFirst is the picture above.
//
// Thread: shard only.
class Latch {
 public:
  enum class State : uint8_t { kOpen, kProbing, kTentative, kConfirmed };
  enum class Answer : uint8_t {
    kAccept,    // from the believed source
    kLatched,   // accepted, and what is believed has changed: tell control
    kLearning,  // may be believed after some more
    kRefuse,    // a stranger
  };

  // In sequence, from one source: the packet that confirms a tentative source,
  // and the one that makes a probed one believed.
  static constexpr uint8_t kToConfirm = 2;
  static constexpr uint8_t kToLearn = 4;
  // A probed source that pauses longer gives way to another one, in sequence or
  // not.
  static constexpr Micros kProbeSilence = Micros::Millis(200);

  void Reset(const SideTarget& target, Micros window_end) noexcept {
    *this = Latch();
    target_ = target;
    last_named_ = target.target;
    window_end_ = window_end;
  }

  // As `Reset`, and this source is believed for good: it was before, and who
  // says so can vouch for it.
  void Believe(const SideTarget& target, const Endpoint& source) noexcept {
    Reset(target, Micros());
    source_ = source;
    state_ = State::kConfirmed;
    by_ = source == target.target         ? LatchedBy::kSdp
          : source.ip == target.target.ip ? LatchedBy::kSameAddress
                                          : LatchedBy::kLearnt;
  }

  // What signalling says now. Returns whether the latch was let go.
  bool Retarget(const SideTarget& target, Micros window_end) noexcept;

  // The path of every packet of a running call.
  bool Believes(const Endpoint& source) const noexcept {
    return state_ == State::kConfirmed && source == source_;
  }

  // A valid packet of an RTP flow (with its header) or a raw one (nullptr).
  Answer OnPacket(const Endpoint& source, const rtp::RtpHeader* header,
                  LatchPolicy policy, Micros now) noexcept;

  // A valid RTCP packet. It never latches by itself (security M4): `rtp` is the
  // latch of the stream it belongs to, and only that one's address is believed.
  // kFirstPacket excepted, which believes whoever comes first.
  Answer OnRtcp(const Endpoint& source, const Latch* rtp,
                LatchPolicy policy) noexcept;

  // A candidate that is being counted.
  bool Probes(const Endpoint& source) const noexcept {
    return state_ == State::kProbing && source == source_;
  }

  State state() const { return state_; }
  LatchedBy by() const { return by_; }
  bool believed() const {
    return state_ == State::kConfirmed || state_ == State::kTentative;
  }
  // REQUIRES: believed().
  const Endpoint& source() const { return source_; }
  const SideTarget& target() const { return target_; }
  // Where to send to this party: where it was heard, else where its SDP says;
  // none while it is on hold.
  Endpoint destination() const {
    if (target_.target.is_none()) return {};
    return believed() ? source_ : target_.target;
  }

 private:
  // What needs no counting: the closed latch, the exact address, and what the
  // policy says of everybody else. nullopt: kSdpFirst has to look closer.
  std::optional<Answer> AtOnce(const Endpoint& source,
                               LatchPolicy policy) noexcept;
  Answer Believe(const Endpoint& source, State state, LatchedBy by) noexcept;
  Answer Probe(const Endpoint& source, const rtp::RtpHeader* header,
               Micros now) noexcept;
  // Counts packets in sequence of the candidate; returns how many by now.
  uint8_t Follow(const rtp::RtpHeader* header) noexcept;
  bool AddressIsSignalled(const IpAddress& ip) const {
    return ip == target_.signalled && !(target_.signalled == IpAddress());
  }

  Endpoint source_{};  // believed, or probed
  State state_ = State::kOpen;
  LatchedBy by_ = LatchedBy::kNothing;
  uint8_t in_sequence_ = 0;
  bool broken_ = false;  // kProbing: the candidate has skipped a number
  uint16_t last_sequence_ = 0;
  uint32_t ssrc_ = 0;
  Micros last_probe_{};
  Micros window_end_{};
  SideTarget target_{};
  Endpoint last_named_{};  // the last target that was not "on hold"
};

}  // namespace sluice::relay

#endif  // SLUICE_RELAY_LATCH_H_
