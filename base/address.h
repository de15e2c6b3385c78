#ifndef SLUICE_BASE_ADDRESS_H_
#define SLUICE_BASE_ADDRESS_H_

#include <sys/socket.h>

#include <array>
#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/types.h"

namespace sluice {

// An IPv4 or IPv6 address as its 16 octets; IPv4 is kept v4-mapped
// (::ffff:a.b.c.d), so one address has one spelling whatever socket it came in
// by, and no policy can be slipped past by writing it the other way.
class IpAddress {
 public:
  constexpr IpAddress() = default;  // ::, "no address"
  static constexpr IpAddress V4(uint8_t a, uint8_t b, uint8_t c, uint8_t d) {
    IpAddress ip;
    ip.octets_[10] = ip.octets_[11] = 0xff;
    ip.octets_[12] = a;
    ip.octets_[13] = b;
    ip.octets_[14] = c;
    ip.octets_[15] = d;
    return ip;
  }
  static IpAddress FromOctets(const uint8_t* sixteen);
  // A literal only: never a name, a zone, a port or octal. [brackets] refused.
  static std::optional<IpAddress> Parse(std::string_view text);
  std::string ToString() const;

  bool is_v4() const;
  bool is_any() const;         // 0.0.0.0 or ::
  bool is_loopback() const;    // 127/8, ::1
  bool is_multicast() const;   // 224/4, ff00::/8
  bool is_link_local() const;  // 169.254/16, fe80::/10
  // Addresses that mean different hosts in different networks: RFC 1918,
  // RFC 6598 (100.64/10), RFC 4193 (fc00::/7), link-local.
  bool is_private() const;
  // 0/8, 240/4 and 255.255.255.255.
  bool is_reserved() const;
  // Both are in one and the same of the blocks of is_private(), or both
  // loopback: packets for one may well reach the other.
  bool SharesScopeWith(const IpAddress& other) const;

  constexpr const std::array<uint8_t, 16>& octets() const { return octets_; }
  friend constexpr auto operator<=>(const IpAddress&,
                                    const IpAddress&) = default;
  template <typename H>
  friend H AbslHashValue(H h, const IpAddress& ip) {
    return H::combine(std::move(h), ip.octets_);
  }

 private:
  std::array<uint8_t, 16> octets_{};
};

// An address and a port. A default Endpoint is "none".
struct Endpoint {
  IpAddress ip{};
  Port port{};

  // "192.0.2.1:5060" or "[2001:db8::1]:5060".
  static std::optional<Endpoint> Parse(std::string_view text);
  // From what the kernel filled in; nullopt unless AF_INET or AF_INET6.
  static std::optional<Endpoint> FromSockaddr(const sockaddr* sa,
                                              socklen_t length) noexcept;
  std::string ToString() const;
  // Fills `out` for a socket of `family` (AF_INET or AF_INET6) and returns the
  // length; 0 when this address cannot be reached from such a socket (a real
  // IPv6 address from an AF_INET socket).
  socklen_t ToSockaddr(int family, sockaddr_storage* out) const noexcept;
  // The family of socket an address is reached from: AF_INET for IPv4.
  int family() const { return ip.is_v4() ? AF_INET : AF_INET6; }
  bool is_none() const { return port == Port() && ip == IpAddress(); }

  friend constexpr auto operator<=>(const Endpoint&, const Endpoint&) = default;
  template <typename H>
  friend H AbslHashValue(H h, const Endpoint& e) {
    return H::combine(std::move(h), e.ip, e.port.host());
  }
};

}  // namespace sluice

#endif  // SLUICE_BASE_ADDRESS_H_
