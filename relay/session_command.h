#ifndef SLUICE_RELAY_SESSION_COMMAND_H_
#define SLUICE_RELAY_SESSION_COMMAND_H_

#include <cstdint>
#include <type_traits>

#include "base/address.h"
#include "base/types.h"

// The whole of what the control thread may say to a shard, and the whole of
// what a shard may say back.
//
//   control thread --Command--> SpscQueue --> shard k
//   control thread <--Event---- SpscQueue <-- shard k
//
// A shard knows two kinds of things, both in fixed tables whose slots the
// control thread gives out:
//
//   socket   a bound UDP port. It faces one party: what it receives comes from
//            there, what it sends goes there.
//   flow     two sockets with the same index on both sides of a session. A
//            packet in on one leaves from the other. A socket may be in several
//            flows (the offerer's socket of a forked call), each with another
//            partner.
//
//        from party                                          to party
//      (sent the offer)                                    (answered it)
//             |        +---------+   flow    +---------+          |
//             +------->| socket  |---------->| socket  |--------->+
//             |<-------| [kFrom] |<----------| [kTo]   |<---------|
//                      +---------+           +---------+
//
// A socket that is in no flow is not read: what arrives early waits in the
// kernel's buffer (bounded by SO_RCVBUF) and is relayed when a flow opens.

namespace sluice::relay {

// What a flow may carry, and so what is checked of each packet.
enum class FlowKind : uint8_t {
  kRtp,   // RFC 3550 5.1; RTCP too where it is multiplexed (RFC 5761)
  kSrtp,  // the same enciphered (RFC 3711): padding cannot be looked at
  kRtcp,  // RFC 3550 6
  kRaw,   // anything (T.38 UDPTL and other protocols named by the SDP)
};

// Whether flows of this kind come in pairs, RTP and then its RTCP.
constexpr bool HasRtcp(FlowKind kind) {
  return kind == FlowKind::kRtp || kind == FlowKind::kSrtp;
}

// Whose packets are believed. ARCHITECTURE.md, "The latch".
enum class LatchPolicy : uint8_t { kStrict, kSdpFirst, kFirstPacket };

constexpr const char* Name(FlowKind kind) {
  switch (kind) {
    case FlowKind::kRtp: return "rtp";
    case FlowKind::kSrtp: return "srtp";
    case FlowKind::kRtcp: return "rtcp";
    case FlowKind::kRaw: return "raw";
  }
  return "?";
}
constexpr const char* Name(LatchPolicy policy) {
  switch (policy) {
    case LatchPolicy::kStrict: return "strict";
    case LatchPolicy::kSdpFirst: return "sdp-first";
    case LatchPolicy::kFirstPacket: return "first-packet";
  }
  return "?";
}

// How the source of a side came to be believed.
enum class LatchedBy : uint8_t {
  kNothing,      // nothing heard yet
  kSdp,          // the exact address and port of the SDP spoke
  kSameAddress,  // the SDP's (or the signalling's) address, another port
  kLearnt,       // another address, allowed because the SDP's is unroutable
  kFirstPacket,  // policy first-packet: whoever spoke first
};
constexpr const char* Name(LatchedBy by) {
  switch (by) {
    case LatchedBy::kNothing: return "nothing";
    case LatchedBy::kSdp: return "sdp";
    case LatchedBy::kSameAddress: return "same-address";
    case LatchedBy::kLearnt: return "learnt";
    case LatchedBy::kFirstPacket: return "first-packet";
  }
  return "?";
}

// What signalling said of one party.
struct SideTarget {
  Endpoint target{};  // where it listens; none: on hold, nothing is sent
  // An address that signalling gives for it without a port: where the
  // signalling came from, or what a party on hold named. :: when there is none.
  IpAddress signalled{};
  // The SDP address cannot be reached from our media interface, so sources
  // elsewhere may be learnt (kSdpFirst, rule 3).
  bool learn_any = false;
};

struct Command {
  enum class Kind : uint8_t {
    kOpenSocket,   // slot, fd: ownership of the descriptor passes to the shard
    kCloseSocket,  // slot; no flow may be open on it
    kOpenFlow,     // everything below
    kRetarget,     // slot (flow), side, target[side]
    kPause,        // slot (flow), side: another path has its packets now
    kWatch,        // slot (flow), on: its packets are copied for a capture
    kCloseFlow,    // slot (flow)
    kStop,         // close everything, report it, leave the loop
  };
  Kind kind = Kind::kStop;
  FlowKind flow_kind = FlowKind::kRtp;
  LatchPolicy policy[2] = {LatchPolicy::kSdpFirst,
                           LatchPolicy::kSdpFirst};  // by Side
  Side side = Side::kFrom;
  bool on = false;
  int32_t fd = -1;
  Slot slot{};
  Slot socket[2]{};  // by Side
  Slot rtp_flow{};   // kRtcp: the flow whose latch decides (may be none)
  uint32_t clock_hz = 8000;  // RTP clock of the medium, for jitter
  SideTarget target[2]{};    // by Side
  Endpoint believed[2]{};    // by Side; kOpenFlow: confirmed from the start
};
static_assert(std::is_trivially_copyable_v<Command> && sizeof(Command) <= 192);

// An event says what is true, never "one more": a shard that finds the queue
// full tells it a turn later, and nothing is lost.
struct Event {
  enum class Kind : uint8_t {
    kSocketClosed,  // slot: the port may be used again (L5)
    kLatched,       // slot (flow), side, source, by
    kStopped,       // the answer to kStop, after the last kSocketClosed
  };
  Kind kind = Kind::kStopped;
  Side side = Side::kFrom;
  LatchedBy by = LatchedBy::kNothing;
  bool confirmed = false;
  Slot slot{};
  Endpoint source{};
};
static_assert(std::is_trivially_copyable_v<Event> && sizeof(Event) <= 64);

}  // namespace sluice::relay

#endif  // SLUICE_RELAY_SESSION_COMMAND_H_
