#ifndef SLUICE_RELAY_FORWARDER_H_
#define SLUICE_RELAY_FORWARDER_H_

#include <cstdint>
#include <span>

#include "base/address.h"
#include "base/types.h"
#include "relay/counters.h"
#include "relay/flow.h"

namespace sluice::relay {

// One datagram, as far as a decision needs it.
struct Datagram {
  Endpoint source{};
  std::span<const uint8_t> payload{};
  bool truncated = false;
};

// What is done with it: sent to the other side's party, or dropped for exactly
// one reason.
struct Verdict {
  bool send = false;
  DropReason reason = DropReason::k_truncated;
  // The believed source of the side it came in on has changed.
  bool latched = false;

  static constexpr Verdict Send(bool latched) {
    return {.send = true, .latched = latched};
  }
  static constexpr Verdict Drop(DropReason reason, bool latched = false) {
    return {.reason = reason, .latched = latched};
  }
};

// The verdict on one packet that came in on the socket facing `in`. Knows no
// descriptor, ring, lock or clock. Keeps the books of the side (packets, bytes,
// stream, drops) and its latch; what is sent is counted by the caller when the
// kernel has taken it. `rtp`: of an RTCP flow, the flow whose latch decides, or
// nullptr.
//
// A stranger's packet changes nothing but a drop counter: not the latch, not
// the time of the last packet, not the stream's books (security M8).
Verdict Decide(Flow& flow, Side in, const Datagram& packet, const Flow* rtp,
               Micros now) noexcept;

}  // namespace sluice::relay

#endif  // SLUICE_RELAY_FORWARDER_H_
