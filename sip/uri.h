#ifndef SLUICE_SIP_URI_H_
#define SLUICE_SIP_URI_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/address.h"

namespace sluice::sip {

// Beyond one of these nothing is looked at (security P1).
inline constexpr size_t kUriOctetsMax = 1'024;
inline constexpr size_t kParamsMax = 64;  // of one value

// A URI as views (RFC 3261 19.1, 25.1; tel: RFC 3966). Escapes stay as they
// are: what is forwarded is what came.
struct Uri {
  enum class Scheme : uint8_t { kSip, kSips, kTel, kOther };

  Scheme scheme = Scheme::kOther;
  std::string_view text;         // all of it
  std::string_view scheme_text;  // as written
  std::string_view user;  // escaped, without the password; tel: the number
  std::string_view password;
  std::string_view host;     // IPv6 with its brackets
  uint16_t port = 0;         // 0: none given
  std::string_view params;   // behind the first ';', without it
  std::string_view headers;  // behind '?', without it
  bool has_user = false;     // then user is not empty: "sip:@host" is refused

  // nullopt for what the grammar forbids: no host, white space, control octets,
  // an IPv6 literal without brackets, a port of 0 or beyond 65535, more than
  // kUriOctetsMax octets, more than kParamsMax parameters or headers. '#' in a
  // user is let pass, as phones dial it. Any scheme with a scheme's grammar is
  // let pass as kOther, unlooked into.
  static std::optional<Uri> Parse(std::string_view text);

  bool is_sip() const {
    return scheme == Scheme::kSip || scheme == Scheme::kSips;
  }
  // The host when it is a literal.
  std::optional<IpAddress> ip() const;
  uint16_t port_or_default() const {
    return port != 0 ? port : scheme == Scheme::kSips ? 5061 : 5060;
  }
  // Value of a parameter, without regard to case of its name; "" for one
  // without a value; nullopt when it is not there. Of several the first.
  std::optional<std::string_view> Param(std::string_view name) const;
};

// Percent escapes taken out; %00 becomes the octet NUL. Text whose escapes are
// broken is returned as it is.
std::string Unescape(std::string_view text);
// Escapes what RFC 3261 25.1 `user` does not allow.
std::string EscapeUser(std::string_view text);

// As RFC 3261 19.1.4 compares, for routing and bindings: scheme, unescaped user
// and password, host without case, ports as written (none is not the default
// one), parameters that both have, and user/ttl/method/maddr/transport when
// only one has them; headers in any order.
bool SameUri(const Uri& a, const Uri& b);

// "sip:user@host" in one spelling, the key of an address-of-record (RFC 3261
// 10.3 5): escapes that need not be are resolved, the host is lower case,
// parameters, headers, password and default port are left out; sips is kept as
// sip. "" for what is no SIP URI.
std::string AddressOfRecord(const Uri& uri);

}  // namespace sluice::sip

#endif  // SLUICE_SIP_URI_H_
