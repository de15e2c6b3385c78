#include "base/address.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include <cstring>

#include "absl/strings/str_cat.h"

namespace sluice {
namespace {

// What inet_pton takes for AF_INET: four numbers up to 255 without leading
// zeros. Addresses are in every line of signalling, so it is done here.
std::optional<IpAddress> ParseV4(std::string_view text) {
  uint8_t octets[4];
  const char* at = text.data();
  const char* const end = at + text.size();
  for (int i = 0; i < 4; ++i) {
    if (i > 0 && (at == end || *at++ != '.')) return std::nullopt;
    unsigned value = 0;
    int digits = 0;
    for (; at != end && *at >= '0' && *at <= '9'; ++at, ++digits) {
      if (digits > 0 && value == 0) return std::nullopt;
      value = value * 10 + static_cast<unsigned>(*at - '0');
      if (value > 255) return std::nullopt;
    }
    if (digits == 0) return std::nullopt;
    octets[i] = static_cast<uint8_t>(value);
  }
  if (at != end) return std::nullopt;
  return IpAddress::V4(octets[0], octets[1], octets[2], octets[3]);
}

// The blocks in which one address is a different host in each network.
enum class Scope {
  kGlobal,
  kTen,
  kOneSevenTwo,
  kOneNineTwo,
  kCarrierNat,
  kLinkLocal4,
  kLinkLocal6,
  kUniqueLocal,
};

Scope ScopeOf(const IpAddress& ip) {
  const auto& o = ip.octets();
  if (ip.is_v4()) {
    const uint8_t a = o[12], b = o[13];
    if (a == 10) return Scope::kTen;
    if (a == 172 && (b & 0xf0) == 16) return Scope::kOneSevenTwo;
    if (a == 192 && b == 168) return Scope::kOneNineTwo;
    if (a == 100 && (b & 0xc0) == 64) return Scope::kCarrierNat;
    if (a == 169 && b == 254) return Scope::kLinkLocal4;
    return Scope::kGlobal;
  }
  if (o[0] == 0xfe && (o[1] & 0xc0) == 0x80) return Scope::kLinkLocal6;
  if ((o[0] & 0xfe) == 0xfc) return Scope::kUniqueLocal;
  return Scope::kGlobal;
}

// Decimal without sign, blanks or leading zeros: one port, one spelling.
std::optional<Port> ParsePort(std::string_view text) {
  if (text.empty() || text.size() > 5) return std::nullopt;
  if (text.size() > 1 && text.front() == '0') return std::nullopt;
  uint32_t value = 0;
  for (const char c : text) {
    if (c < '0' || c > '9') return std::nullopt;
    value = value * 10 + static_cast<uint32_t>(c - '0');
  }
  if (value > UINT16_MAX) return std::nullopt;
  return Port::FromHost(static_cast<uint16_t>(value));
}

}  // namespace

IpAddress IpAddress::FromOctets(const uint8_t* sixteen) {
  IpAddress ip;
  std::memcpy(ip.octets_.data(), sixteen, ip.octets_.size());
  return ip;
}

std::optional<IpAddress> IpAddress::Parse(std::string_view text) {
  if (const auto v4 = ParseV4(text)) return v4;
  // inet_pton wants a C string, and would stop at a NUL in the middle.
  char literal[INET6_ADDRSTRLEN];
  if (text.empty() || text.size() >= sizeof(literal) ||
      text.find(':') == std::string_view::npos ||
      text.find('\0') != std::string_view::npos) {
    return std::nullopt;
  }
  std::memcpy(literal, text.data(), text.size());
  literal[text.size()] = '\0';

  in6_addr six;
  if (inet_pton(AF_INET6, literal, &six) == 1) return FromOctets(six.s6_addr);
  return std::nullopt;
}

std::string IpAddress::ToString() const {
  if (!is_v4()) {
    char text[INET6_ADDRSTRLEN] = "";
    inet_ntop(AF_INET6, octets_.data(), text, sizeof(text));
    return text;
  }
  std::string text;
  for (size_t i = 12; i < 16; ++i) {
    const unsigned octet = octets_[i];
    if (i > 12) text += '.';
    if (octet >= 100) text += static_cast<char>('0' + octet / 100);
    if (octet >= 10) text += static_cast<char>('0' + octet / 10 % 10);
    text += static_cast<char>('0' + octet % 10);
  }
  return text;
}

bool IpAddress::is_v4() const {
  static constexpr uint8_t kMapped[12] = {0, 0, 0, 0, 0,    0,
                                          0, 0, 0, 0, 0xff, 0xff};
  return std::memcmp(octets_.data(), kMapped, sizeof(kMapped)) == 0;
}

bool IpAddress::is_any() const {
  return *this == IpAddress() || *this == V4(0, 0, 0, 0);
}

bool IpAddress::is_loopback() const {
  if (is_v4()) return octets_[12] == 127;
  IpAddress one;
  one.octets_[15] = 1;
  return *this == one;
}

bool IpAddress::is_multicast() const {
  return is_v4() ? (octets_[12] & 0xf0) == 224 : octets_[0] == 0xff;
}

bool IpAddress::is_link_local() const {
  const Scope scope = ScopeOf(*this);
  return scope == Scope::kLinkLocal4 || scope == Scope::kLinkLocal6;
}

bool IpAddress::is_private() const { return ScopeOf(*this) != Scope::kGlobal; }

bool IpAddress::is_reserved() const {
  return is_v4() && (octets_[12] == 0 || octets_[12] >= 240);
}

bool IpAddress::SharesScopeWith(const IpAddress& other) const {
  if (is_loopback() && other.is_loopback()) return true;
  const Scope scope = ScopeOf(*this);
  return scope != Scope::kGlobal && scope == ScopeOf(other);
}

std::optional<Endpoint> Endpoint::Parse(std::string_view text) {
  const size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) return std::nullopt;
  std::string_view host = text.substr(0, colon);
  const bool bracketed =
      host.size() >= 2 && host.front() == '[' && host.back() == ']';
  if (bracketed) host = host.substr(1, host.size() - 2);
  // Brackets go with colons: without them nobody can tell where an IPv6 address
  // ends and its port begins.
  if ((host.find(':') != std::string_view::npos) != bracketed) {
    return std::nullopt;
  }
  const std::optional<IpAddress> ip = IpAddress::Parse(host);
  const std::optional<Port> port = ParsePort(text.substr(colon + 1));
  if (!ip || !port) return std::nullopt;
  return Endpoint{.ip = *ip, .port = *port};
}

std::optional<Endpoint> Endpoint::FromSockaddr(const sockaddr* sa,
                                               socklen_t length) noexcept {
  if (sa == nullptr || length < sizeof(sa_family_t)) return std::nullopt;
  sa_family_t family;
  std::memcpy(&family, sa, sizeof(family));
  if (family == AF_INET && length >= sizeof(sockaddr_in)) {
    sockaddr_in in;
    std::memcpy(&in, sa, sizeof(in));
    uint8_t o[4];
    std::memcpy(o, &in.sin_addr, sizeof(o));
    return Endpoint{.ip = IpAddress::V4(o[0], o[1], o[2], o[3]),
                    .port = Port::FromNetwork(in.sin_port)};
  }
  if (family == AF_INET6 && length >= sizeof(sockaddr_in6)) {
    sockaddr_in6 in6;
    std::memcpy(&in6, sa, sizeof(in6));
    return Endpoint{.ip = IpAddress::FromOctets(in6.sin6_addr.s6_addr),
                    .port = Port::FromNetwork(in6.sin6_port)};
  }
  return std::nullopt;
}

std::string Endpoint::ToString() const {
  return ip.is_v4() ? absl::StrCat(ip.ToString(), ":", port.host())
                    : absl::StrCat("[", ip.ToString(), "]:", port.host());
}

socklen_t Endpoint::ToSockaddr(int family,
                               sockaddr_storage* out) const noexcept {
  if (family == AF_INET && ip.is_v4()) {
    sockaddr_in in{};
    in.sin_family = AF_INET;
    in.sin_port = port.network();
    std::memcpy(&in.sin_addr, ip.octets().data() + 12, sizeof(in.sin_addr));
    std::memcpy(out, &in, sizeof(in));
    return sizeof(in);
  }
  if (family == AF_INET6) {
    sockaddr_in6 in6{};
    in6.sin6_family = AF_INET6;
    in6.sin6_port = port.network();
    std::memcpy(&in6.sin6_addr, ip.octets().data(), sizeof(in6.sin6_addr));
    std::memcpy(out, &in6, sizeof(in6));
    return sizeof(in6);
  }
  return 0;
}

}  // namespace sluice
