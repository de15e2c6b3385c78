// What an allocate may ask for: shapes, limits, and whom media may be sent to.

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "control/session_manager.h"

namespace sluice::control {
namespace {

using relay::FlowKind;

// `media`: of what a party said; on hold it cannot be reached and need not.
template <typename Lines>
absl::Status CheckAllFrom(const IpAddress& interface, const Lines& media) {
  for (const auto& medium : media) {
    if (medium.port == 0 || medium.ip.is_any()) continue;
    RETURN_IF_ERROR(TargetPolicy::CheckFrom(interface, medium.ip));
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status SessionManager::CheckMedia(absl::Span<const Media> media) {
  int64_t ports = 0;
  for (const Media& medium : media) {
    if (medium.range < 1 || medium.range > options_.max_range) {
      return Count(
          counters_.allocate_invalid,
          absl::InvalidArgumentError(absl::StrCat(
              "range ", medium.range, " is not 1 to ", options_.max_range)));
    }
    if (medium.port + medium.range > 65536) {
      return Count(counters_.allocate_invalid,
                   absl::InvalidArgumentError(
                       absl::StrCat("ports ", medium.port, " and ",
                                    medium.range - 1, " more go past 65535")));
    }
    if (medium.first == FlowKind::kRtcp) {
      return Count(counters_.allocate_invalid,
                   absl::InvalidArgumentError("a medium of RTCP alone"));
    }
    ports += medium.range;
  }
  if (ports > options_.max_flows_per_session) {
    return Count(counters_.allocate_too_many_flows,
                 absl::ResourceExhaustedError(absl::StrCat(
                     ports, " ports, relay.max_flows_per_session is ",
                     options_.max_flows_per_session)));
  }
  return absl::OkStatus();
}

// A proxy that forks and offers anew within its limits could still have most of
// the ports for one call (security M10).
absl::Status SessionManager::CheckPortsOfCall(size_t held, size_t wanted) {
  if (held + wanted <= 2 * static_cast<size_t>(options_.max_flows_per_call)) {
    return absl::OkStatus();
  }
  return Count(counters_.allocate_call_ports_full,
               absl::ResourceExhaustedError(absl::StrCat(
                   "the call holds ", held, " ports and asks for ", wanted,
                   " more; relay.max_flows_per_call is ",
                   options_.max_flows_per_call, ", of two ports each")));
}

// A call whose offer has no media takes no port: the ports bound calls all the
// same, or such offers would fill the memory.
absl::Status SessionManager::CheckCalls() {
  const size_t most =
      options_.max_sessions != 0 ? options_.max_sessions : ports_.total();
  if (calls_.size() < most) return absl::OkStatus();
  return Count(counters_.allocate_calls_full,
               absl::ResourceExhaustedError(absl::StrCat(
                   most, " calls are up (relay.max_sessions, or the ports)")));
}

absl::Status SessionManager::CheckTarget(const Media& medium) const {
  if (medium.port == 0 || medium.ip.is_any()) return absl::OkStatus();
  return policy_.Check(
      medium.ip, medium.port, medium.range,
      [this](const Endpoint& endpoint) { return ports_.IsTaken(endpoint); });
}

// What speaks to the party of `side` are the sockets made for the other one. So
// an offer and an answer may well be of different families: the offer on our
// IPv6 address names an IPv4 party, whom the answer's IPv4 address faces.
//
//   IPv4 party <--> [answer: IPv4] = [offer: IPv6] <--> IPv6 party
//
// `media` on `interface` is held against every half that it may be joined with,
// both ways; while there is none, against what interfaces there are.
absl::Status SessionManager::CheckReach(const Transaction* transaction,
                                        Side side, uint8_t interface,
                                        absl::Span<const Media> media) const {
  const auto address = [this](size_t i) -> const IpAddress& {
    return ports_.config(i).address;
  };
  for (const Media& medium : media) {
    absl::Status status;
    for (size_t i = 0; i < ports_.interfaces(); ++i) {
      status = CheckAllFrom(address(i), absl::MakeConstSpan(&medium, 1));
      if (status.ok()) break;
    }
    RETURN_IF_ERROR(status);
  }
  if (transaction == nullptr) return absl::OkStatus();
  const auto joined = [&](const Group& other) {
    absl::Status status = CheckAllFrom(address(other.interface), media);
    status.Update(CheckAllFrom(address(interface), other.media));
    return status;
  };
  if (side == Side::kTo) {
    return transaction->from ? joined(*transaction->from) : absl::OkStatus();
  }
  for (const Fork& fork : transaction->forks) {
    RETURN_IF_ERROR(joined(fork.group));
  }
  return absl::OkStatus();
}

}  // namespace sluice::control
