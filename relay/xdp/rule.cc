#include "relay/xdp/rule.h"

#include <bit>
#include <cstring>
#include <limits>

#include "absl/strings/str_cat.h"

namespace sluice::relay::xdp {
namespace {

constexpr uint16_t Be16(uint16_t host) {
  return std::endian::native == std::endian::little
             ? static_cast<uint16_t>(host << 8 | host >> 8)
             : host;
}

// A one's complement sum of 16-bit words as they lie in memory (RFC 1071),
// which need not know their order.
class Sum {
 public:
  void Add(uint16_t word) { sum_ += word; }
  void Take(uint16_t word) { sum_ += static_cast<uint16_t>(~word); }
  void Add(const uint32_t* words, int count) {
    for (int i = 0; i < count; ++i) {
      Add(static_cast<uint16_t>(words[i]));
      Add(static_cast<uint16_t>(words[i] >> 16));
    }
  }
  void Take(const uint32_t* words, int count) {
    for (int i = 0; i < count; ++i) {
      Take(static_cast<uint16_t>(words[i]));
      Take(static_cast<uint16_t>(words[i] >> 16));
    }
  }
  uint16_t Folded() const {
    uint64_t sum = sum_;
    while (sum > 0xffff) sum = (sum & 0xffff) + (sum >> 16);
    return static_cast<uint16_t>(sum);
  }

 private:
  uint64_t sum_ = 0;
};

absl::Status Whole(const char* name, const Endpoint& endpoint) {
  if (endpoint.port == Port() || endpoint.ip.is_any() ||
      endpoint.ip.is_multicast()) {
    return absl::InvalidArgumentError(
        absl::StrCat("a rule cannot have ", endpoint.ToString(), " as its '",
                     name, "': it takes one host's address and a port"));
  }
  return absl::OkStatus();
}

absl::Status SameFamily(const char* a, const Endpoint& first, const char* b,
                        const Endpoint& second) {
  if (first.ip.is_v4() == second.ip.is_v4()) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(
      "'", a, "' is ", first.ToString(), " and '", b, "' is ",
      second.ToString(), ": one packet has both, so they are of one family"));
}

absl::Status Check(const RuleSpec& spec) {
  const struct {
    const char* name;
    const Endpoint& endpoint;
  } all[] = {
      {"from", spec.from}, {"at", spec.at}, {"out", spec.out}, {"to", spec.to}};
  for (const auto& [name, endpoint] : all) {
    if (absl::Status status = Whole(name, endpoint); !status.ok())
      return status;
  }
  if (absl::Status status = SameFamily("from", spec.from, "at", spec.at);
      !status.ok()) {
    return status;
  }
  if (absl::Status status = SameFamily("out", spec.out, "to", spec.to);
      !status.ok()) {
    return status;
  }
  if (spec.local >= kLocalsMax || spec.nexthop >= kNextHopsMax ||
      spec.profile >= kProfilesMax) {
    return absl::InvalidArgumentError(absl::StrCat(
        "no such place in the maps: local ", spec.local, " of ", kLocalsMax,
        ", next hop ", spec.nexthop, " of ", kNextHopsMax, ", profile ",
        spec.profile, " of ", kProfilesMax));
  }
  if (spec.dscp < -1 || spec.dscp > 63) {
    return absl::InvalidArgumentError(
        absl::StrCat("DSCP is 0 to 63, not ", spec.dscp));
  }
  if (spec.gap_ns > std::numeric_limits<uint32_t>::max() - spec.burst_ns) {
    return absl::InvalidArgumentError(
        absl::StrCat("gap and burst of a rate limit are below 4.29 s together, "
                     "not ",
                     spec.gap_ns, " and ", spec.burst_ns, " ns"));
  }
  return absl::OkStatus();
}

}  // namespace

AbiAddress ToAbi(const IpAddress& ip) {
  AbiAddress out;
  if (ip.is_v4()) {
    out.family = kFamilyV4;
    std::memcpy(out.words, ip.octets().data() + 12, 4);
  } else {
    out.family = kFamilyV6;
    std::memcpy(out.words, ip.octets().data(), 16);
  }
  return out;
}

IpAddress FromAbi(const uint32_t words[4]) {
  uint8_t octets[16];
  std::memcpy(octets, words, sizeof(octets));
  if (words[1] == 0 && words[2] == 0 && words[3] == 0) {
    return IpAddress::V4(octets[0], octets[1], octets[2], octets[3]);
  }
  return IpAddress::FromOctets(octets);
}

Profile MakeProfile(uint32_t clock_hz) {
  Profile profile{};
  profile.clock_hz = clock_hz;
  profile.ticks_per_ns_q32 =
      static_cast<uint32_t>((uint64_t{clock_hz} << 32) / 1'000'000'000);
  return profile;
}

absl::StatusOr<Rule> MakeRule(const RuleSpec& spec) {
  if (absl::Status status = Check(spec); !status.ok()) return status;
  const AbiAddress from = ToAbi(spec.from.ip), at = ToAbi(spec.at.ip);
  const AbiAddress out = ToAbi(spec.out.ip), to = ToAbi(spec.to.ip);
  const bool in6 = at.family == kFamilyV6, out6 = to.family == kFamilyV6;

  Rule rule{};
  std::memcpy(rule.source, from.words, sizeof(rule.source));
  std::memcpy(rule.destination, to.words, sizeof(rule.destination));
  rule.source_port_be = spec.from.port.network();
  rule.new_source_port_be = spec.out.port.network();
  rule.new_destination_port_be = spec.to.port.network();
  rule.local = static_cast<uint8_t>(spec.local);
  rule.nexthop = spec.nexthop;
  rule.profile = static_cast<uint8_t>(spec.profile);
  rule.flags = static_cast<uint16_t>(spec.flags & ~(kRuleOut6 | kRuleSetDscp));
  if (out6) rule.flags |= kRuleOut6;
  if (spec.dscp >= 0) {
    rule.flags |= kRuleSetDscp;
    rule.tos = static_cast<uint8_t>(spec.dscp << 2);
  }
  rule.gap_ns = spec.gap_ns;
  rule.burst_ns = spec.burst_ns;
  rule.cookie = spec.cookie;

  // Both pseudo headers have the addresses, the protocol and the length, and
  // the latter two add up to the same.
  Sum l4;
  l4.Take(from.words, 4);
  l4.Take(at.words, 4);
  l4.Take(spec.from.port.network());
  l4.Take(spec.at.port.network());
  l4.Add(out.words, 4);
  l4.Add(to.words, 4);
  l4.Add(spec.out.port.network());
  l4.Add(spec.to.port.network());
  rule.l4_delta = l4.Folded();

  if (!out6) {
    Sum l3;
    l3.Add(out.words, 1);
    l3.Add(to.words, 1);
    if (!in6) {
      l3.Take(from.words, 1);
      l3.Take(at.words, 1);
      l3.Take(Be16(0x0100));  // a hop, in the octet before the protocol
    } else {
      l3.Add(Be16(0x4500));  // version, five words
      l3.Add(Be16(0x4000));  // don't fragment
      l3.Add(Be16(17));      // UDP
    }
    rule.l3_delta = l3.Folded();
  }
  return rule;
}

}  // namespace sluice::relay::xdp
