#include "control/target_policy.h"

#include <algorithm>
#include <charconv>
#include <iterator>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"

namespace sluice::control {
namespace {

constexpr int kMappedBits = 96;  // before an IPv4 address in its mapped form
constexpr uint16_t kFirstUserPort = 1024;

bool HasBitsBeyond(const IpAddress& ip, int bits) {
  for (int i = bits; i < 128; ++i) {
    if ((ip.octets()[i / 8] >> (7 - i % 8)) & 1) return true;
  }
  return false;
}

absl::Status Refused(const Endpoint& target, std::string_view reason) {
  return absl::PermissionDeniedError(absl::StrCat("media may not be sent to ",
                                                  target.ToString(), ": ",
                                                  std::string(reason)));
}

// Every IPv4 address that `ip` may stand for, besides itself.
std::vector<IpAddress> CarriedBy(const IpAddress& ip) {
  static constexpr uint8_t kNat64[12] = {0, 0x64, 0xff, 0x9b};
  static constexpr uint8_t kCompatible[12] = {};
  static constexpr uint8_t kNat64Local[6] = {0, 0x64, 0xff, 0x9b, 0, 1};
  static constexpr uint8_t k6to4[2] = {0x20, 0x02};
  const auto& o = ip.octets();
  const auto begins = [&o](const auto& with) {
    return std::equal(std::begin(with), std::end(with), o.begin());
  };
  const auto v4 = [&o](size_t a, size_t b, size_t c, size_t d) {
    return IpAddress::V4(o[a], o[b], o[c], o[d]);
  };
  if (begins(kNat64)) return {v4(12, 13, 14, 15)};
  if (begins(k6to4)) return {v4(2, 3, 4, 5)};
  // ::1 is an address of its own.
  if (begins(kCompatible) && !ip.is_loopback()) return {v4(12, 13, 14, 15)};
  std::vector<IpAddress> carried;
  if (!begins(kNat64Local)) return carried;
  // Only the translator knows the length of its prefix (RFC 6052 2.2; octet 8
  // is skipped): 48, 56, 64 or 96 bits. A reading that begins with 0 is the
  // filling of another one, unless there is no other.
  for (const IpAddress& reading : {v4(6, 7, 9, 10), v4(7, 9, 10, 11),
                                   v4(9, 10, 11, 12), v4(12, 13, 14, 15)}) {
    if (reading.octets()[12] != 0) carried.push_back(reading);
  }
  if (carried.empty()) carried.push_back(v4(12, 13, 14, 15));
  return carried;
}

}  // namespace

absl::StatusOr<Prefix> Prefix::Parse(std::string_view text) {
  const auto refused = [text](std::string_view why) {
    return absl::InvalidArgumentError(
        absl::StrCat("\"", std::string(text), "\" ", std::string(why)));
  };
  const size_t slash = text.find('/');
  const std::string_view address = text.substr(0, slash);
  const std::optional<IpAddress> ip = IpAddress::Parse(address);
  if (!ip) {
    return refused("is not an address or a prefix like 192.0.2.0/24");
  }
  const bool written_v4 = address.find(':') == std::string_view::npos;
  const int most = written_v4 ? 32 : 128;
  int bits = most;
  if (slash != std::string_view::npos) {
    const std::string_view length = text.substr(slash + 1);
    const char* const end = length.data() + length.size();
    const auto [stop, error] = std::from_chars(length.data(), end, bits);
    if (error != std::errc() || stop != end || bits < 0 || bits > most) {
      return refused(written_v4 ? "needs a length of 0 to 32 after the /"
                                : "needs a length of 0 to 128 after the /");
    }
  }
  if (written_v4) bits += kMappedBits;
  if (HasBitsBeyond(*ip, bits)) {
    return refused("has bits set beyond its length");
  }
  return Prefix(*ip, bits, ip->is_v4() && bits >= kMappedBits);
}

bool Prefix::Contains(const IpAddress& ip) const {
  if (ip.is_v4() != v4_) return false;
  const auto& a = ip.octets();
  const auto& b = ip_.octets();
  const int whole = bits_ / 8;
  if (!std::equal(a.begin(), a.begin() + whole, b.begin())) return false;
  const int rest = bits_ % 8;
  return rest == 0 || ((a[whole] ^ b[whole]) >> (8 - rest)) == 0;
}

absl::StatusOr<std::vector<Prefix>> ParsePrefixes(
    absl::Span<const std::string> texts) {
  std::vector<Prefix> prefixes;
  for (const std::string& text : texts) {
    ASSIGN_OR_RETURN(const Prefix prefix, Prefix::Parse(text));
    prefixes.push_back(prefix);
  }
  return prefixes;
}

bool TargetPolicy::IsOwn(const IpAddress& ip) const {
  return std::find(options_.own.begin(), options_.own.end(), ip) !=
         options_.own.end();
}

bool TargetPolicy::IsListener(const Endpoint& target) const {
  for (const Endpoint& listener : options_.listeners) {
    if (listener.port != target.port) continue;
    if (listener.ip == target.ip) return true;
    if (listener.ip.is_any() && (IsOwn(target.ip) || target.ip.is_loopback())) {
      return true;
    }
  }
  return false;
}

absl::Status TargetPolicy::Check(
    const IpAddress& ip, uint16_t port, int range,
    absl::FunctionRef<bool(const Endpoint&)> is_media_port) const {
  if (port == 0 || port + range > 65'536 || ip.is_any()) {
    return Refused({.ip = ip, .port = Port::FromHost(port)},
                   "it is no address of a host");
  }
  RETURN_IF_ERROR(Judge(ip, port, range, is_media_port));
  for (const IpAddress& carried : CarriedBy(ip)) {
    absl::Status status = Judge(carried, port, range, is_media_port);
    // A free port of ours, too: nobody means us who writes us like this, and
    // the ports kept from being taken later are known by our own addresses.
    if (status.ok() && IsOwn(carried)) {
      status = Refused({.ip = carried, .port = Port::FromHost(port)},
                       "it is an address of this relay");
    }
    if (!status.ok()) {
      return absl::PermissionDeniedError(absl::StrCat(
          status.message(), " (it is carried by ", ip.ToString(), ")"));
    }
  }
  return absl::OkStatus();
}

absl::Status TargetPolicy::Judge(
    const IpAddress& ip, uint16_t port, int range,
    absl::FunctionRef<bool(const Endpoint&)> is_media_port) const {
  const Endpoint first{.ip = ip, .port = Port::FromHost(port)};
  for (int i = 0; i < range; ++i) {
    const Endpoint target{
        .ip = ip, .port = Port::FromHost(static_cast<uint16_t>(port + i))};
    if (IsListener(target)) {
      return Refused(target, "it is a control port of this relay");
    }
    if (is_media_port(target)) {
      return Refused(target, "it is a media port of this relay");
    }
  }
  if (ip.is_multicast()) return Refused(first, "it is multicast");
  if (ip.is_reserved()) {
    return Refused(first, "it is broadcast or a reserved address");
  }
  if (ip.is_link_local()) return Refused(first, "it is link-local");
  if (ip.is_loopback() &&
      std::none_of(options_.own.begin(), options_.own.end(),
                   [](const IpAddress& own) { return own.is_loopback(); })) {
    return Refused(first, "it is loopback");
  }
  if (port < kFirstUserPort) return Refused(first, "the port is below 1024");
  const auto contains = [&ip](const Prefix& p) { return p.Contains(ip); };
  if (std::any_of(options_.deny.begin(), options_.deny.end(), contains)) {
    return Refused(first, "relay.deny_targets");
  }
  if (!options_.allow.empty() &&
      std::none_of(options_.allow.begin(), options_.allow.end(), contains)) {
    return Refused(first, "not in relay.allow_targets");
  }
  return absl::OkStatus();
}

absl::Status TargetPolicy::CheckFrom(const IpAddress& interface,
                                     const IpAddress& ip) {
  const auto refused = [&](std::string_view reason) {
    return absl::PermissionDeniedError(
        absl::StrCat("media may not be sent to ", ip.ToString(), " from ",
                     interface.ToString(), ": ", std::string(reason)));
  };
  if (ip.is_v4() != interface.is_v4()) {
    return refused("one is IPv4, the other IPv6");
  }
  if (interface.is_loopback()) return absl::OkStatus();
  if (ip.is_loopback()) return refused("it is loopback");
  for (const IpAddress& carried : CarriedBy(ip)) {
    if (carried.is_loopback()) return refused("it carries a loopback address");
  }
  return absl::OkStatus();
}

}  // namespace sluice::control
