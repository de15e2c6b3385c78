#ifndef SLUICE_TOOLS_LOAD_SESSION_PLAN_H_
#define SLUICE_TOOLS_LOAD_SESSION_PLAN_H_

#include <cstdint>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "base/address.h"

namespace sluice::load {

// One party of a session: where it is and where it sends to. RTCP is one port
// higher on both (RFC 3550 11).
struct PartyPlan {
  Endpoint local{};
  Endpoint relay{};
};
enum Party : uint8_t { kCaller = 0, kCallee = 1 };
struct SessionPlan {
  PartyPlan party[2];
};

struct LocalAddresses {
  IpAddress from_ip = IpAddress::V4(127, 0, 0, 2);  // callers
  IpAddress to_ip = IpAddress::V4(127, 0, 0, 3);    // callees
  uint16_t bind_base = 20000;
  uint32_t share = 1;  // sessions at one address
};

// Local addresses of `sessions` sessions: party p of session i is at
// bind_base + 2 * (i / share) of its own address; when both parties have the
// same address, callers take every second pair. Anybody who sets calls up for
// us can compute the same. InvalidArgument when the ports do not suffice.
absl::StatusOr<std::vector<SessionPlan>> PlanSessions(
    uint32_t sessions, const LocalAddresses& addresses);

// Fills in the relay's addresses from what another program set up, either
//
//   {"sessions": [{"caller_relay": "ip:port", "callee_relay": "ip:port",
//                  "caller_local": "ip:port", "callee_local": "ip:port"}, ...]}
//
// or lines of `caller_relay callee_relay [caller_local callee_local]` with #
// for comments. Where no local address is given, PlanSessions's are taken.
absl::StatusOr<std::vector<SessionPlan>> ParseEndpoints(
    std::string_view text, const LocalAddresses& addresses);

// No relay: each party sends straight to the other.
void ConnectDirectly(std::vector<SessionPlan>& plan);

// The port of a party's RTCP.
Endpoint RtcpOf(const Endpoint& rtp);

}  // namespace sluice::load

#endif  // SLUICE_TOOLS_LOAD_SESSION_PLAN_H_
