#ifndef SLUICE_CONTROL_TARGET_POLICY_H_
#define SLUICE_CONTROL_TARGET_POLICY_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "base/address.h"

namespace sluice::control {

// A block of addresses of one family.
class Prefix {
 public:
  // "192.0.2.0/24", "2001:db8::/32" or a single address. Errors in the
  // operator's words; bits set beyond the length are one, since either the
  // address or the length is then not what was meant.
  static absl::StatusOr<Prefix> Parse(std::string_view text);
  // "::/0" does not contain IPv4, nor "0.0.0.0/0" IPv6.
  bool Contains(const IpAddress& ip) const;

 private:
  Prefix(const IpAddress& ip, int bits, bool v4)
      : ip_(ip), bits_(bits), v4_(v4) {}
  IpAddress ip_;
  int bits_;  // of the 128 of the v4-mapped form
  bool v4_;
};
absl::StatusOr<std::vector<Prefix>> ParsePrefixes(
    absl::Span<const std::string> texts);

// Where media may be sent. SDP is written by strangers: whoever can name any
// address has our socket inside our network (CVE-2020-26262), can make us speak
// to our own control ports, or send a packet round and round through our own
// media ports.
//
// Judged on the 16-octet form of the address, so no spelling slips past. An
// IPv6 address that a translator or a tunnel on the way turns into an IPv4 one
// must be good as both:
//
//   ::a.b.c.d            IPv4-compatible (RFC 4291 2.5.5.1)
//   64:ff9b::a.b.c.d     NAT64 (RFC 6052 2.1)
//   64:ff9b:1:...        NAT64, local prefixes of 48 to 96 bits (RFC 8215)
//   2002:aabb:ccdd::     6to4 (RFC 3056)
//
// Thread: control only.
class TargetPolicy {
 public:
  struct Options {
    std::vector<Prefix> deny{};
    std::vector<Prefix> allow{};        // not empty: nothing else is allowed
    std::vector<Endpoint> listeners{};  // our control sockets; ip any: on all
    std::vector<IpAddress> own{};       // media addresses, as bound and as told
  };
  explicit TargetPolicy(Options options) : options_(std::move(options)) {}

  // Whether media may go to `range` consecutive ports from `port` at `ip`.
  // `is_media_port` says whether an endpoint is a relay port in use.
  // PermissionDenied, with the reason.
  // REQUIRES: port != 0, port + range <= 65536, ip is not any.
  absl::Status Check(
      const IpAddress& ip, uint16_t port, int range,
      absl::FunctionRef<bool(const Endpoint&)> is_media_port) const;

  // Which interface will send is known only when both halves of a session are.
  // A loopback address is reached from a loopback interface alone (Check has
  // only seen that there is such an interface), an IPv6 address from an IPv6
  // one, an IPv4 address from an IPv4 one.
  static absl::Status CheckFrom(const IpAddress& interface,
                                const IpAddress& ip);

 private:
  absl::Status Judge(
      const IpAddress& ip, uint16_t port, int range,
      absl::FunctionRef<bool(const Endpoint&)> is_media_port) const;
  bool IsListener(const Endpoint& target) const;
  bool IsOwn(const IpAddress& ip) const;

  Options options_;
};

}  // namespace sluice::control

#endif  // SLUICE_CONTROL_TARGET_POLICY_H_
