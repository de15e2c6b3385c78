#ifndef SLUICE_RELAY_XDP_RULE_H_
#define SLUICE_RELAY_XDP_RULE_H_

#include <cstdint>

#include "absl/status/statusor.h"
#include "base/address.h"
#include "relay/xdp/abi.h"

namespace sluice::relay::xdp {

// One direction of a flow, in the words of the socket path.
//
//   from --> at ==( relay )== out --> to
//
// `at` and `out` are ours and named as in the packets: behind a NAT of the
// provider's, the private address and not the advertised one.
struct RuleSpec {
  Endpoint from{};
  Endpoint at{};
  Endpoint out{};
  Endpoint to{};
  uint16_t local = 0;  // of Program::SetLocal: where out.ip stands
  uint16_t nexthop = 0;
  uint16_t profile = 0;
  uint16_t flags = 0;  // of RuleFlag, but kRuleOut6 and kRuleSetDscp
  int dscp = -1;       // 0..63; -1: as it came
  uint32_t gap_ns = 0;
  uint32_t burst_ns = 0;
  uint32_t cookie = 0;
};

// The rule, with what its rewriting adds to the checksums; `state` is kRuleOff.
// Touches nothing. InvalidArgument says which endpoint does not fit.
absl::StatusOr<Rule> MakeRule(const RuleSpec& spec);

// The four words of the maps, and kFamilyV4 or kFamilyV6.
struct AbiAddress {
  uint32_t words[4]{};
  uint32_t family = 0;
};
AbiAddress ToAbi(const IpAddress& ip);
// An IPv6 address of ours has more than its first word, or it is none of ours.
IpAddress FromAbi(const uint32_t words[4]);

// Of a clock, for Profile.
Profile MakeProfile(uint32_t clock_hz);

}  // namespace sluice::relay::xdp

#endif  // SLUICE_RELAY_XDP_RULE_H_
