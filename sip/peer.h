#ifndef SLUICE_SIP_PEER_H_
#define SLUICE_SIP_PEER_H_

#include <cstdint>

#include "base/address.h"
#include "sip/fields.h"

namespace sluice::sip {

// Where a message goes, or came from.
struct Peer {
  Transport transport = Transport::kUdp;
  Endpoint address{};
  // A connection of the leg; 0: none, or any.
  uint64_t connection = 0;
  friend bool operator==(const Peer&, const Peer&) = default;
};

}  // namespace sluice::sip

#endif  // SLUICE_SIP_PEER_H_
