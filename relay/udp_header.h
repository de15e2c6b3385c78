#ifndef SLUICE_RELAY_UDP_HEADER_H_
#define SLUICE_RELAY_UDP_HEADER_H_

#include <cstddef>
#include <cstdint>
#include <span>

#include "base/address.h"

namespace sluice::relay {

// IPv6 (RFC 8200 3) and UDP (RFC 768).
inline constexpr size_t kIpUdpBytesMax = 40 + 8;

// Writes to `out` the IP and UDP headers that a datagram between these two has
// had, for who shows it again: of IPv4 when both are, else of IPv6. What a
// socket does not tell (hops, class, identification) is 64, 0 and 0. Both
// checksums are right; where `captured` is only the beginning of the `length`
// octets of payload there is none (0), as it cannot be known. Returns how many
// octets were written.
// REQUIRES: captured.size() <= length <= 65,487.
size_t WriteIpUdp(const Endpoint& from, const Endpoint& to, size_t length,
                  std::span<const uint8_t> captured,
                  std::span<uint8_t, kIpUdpBytesMax> out);

}  // namespace sluice::relay

#endif  // SLUICE_RELAY_UDP_HEADER_H_
