#ifndef SLUICE_RELAY_XDP_RULE_TABLE_H_
#define SLUICE_RELAY_XDP_RULE_TABLE_H_

#include <cstdint>
#include <functional>
#include <optional>
#include <span>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/address.h"
#include "relay/xdp/abi.h"

namespace sluice::relay::xdp {

// The tables of the forwarding program as who fills them sees them. The real
// one is Program; tests have one without a kernel.
//
// Rules:
//
//   kRuleInForce / kRuleGated --Retire--> at rest --kRest--> free --Join-->
//   kRuleJoining --SetGate--> kRuleGated --the packet behind it--> Joined()
//
// Thread: one owner. Retire, Join, SetGate, Joined and ReadStats are loads and
// stores in mapped memory. REQUIRES of these: cell < cells().
class RuleTable {
 public:
  // After this long no packet is on its way that has seen the rule.
  static constexpr int64_t kRestSeconds = 1;

  virtual ~RuleTable() = default;

  // Ports first_port .. first_port + count - 1 of `local` are the cells from
  // `base` on.
  virtual absl::Status SetRange(const IpAddress& local, uint16_t first_port,
                                uint16_t count, uint32_t base) = 0;
  // Each of these is whole for a rule that is written after it. REQUIRES: no
  // rule in force names the place, or what is written is there already.
  virtual absl::Status SetLocal(uint16_t index, const IpAddress& ip) = 0;
  virtual absl::Status SetProfile(uint16_t index, const Profile& profile) = 0;
  // An ifindex of 0: its packets go up the stack.
  virtual absl::Status SetNextHop(uint16_t index, const NextHop& hop) = 0;

  virtual void Retire(uint32_t cell) noexcept = 0;
  // Writes the rule and clears the books, for a flow whose packets the socket
  // path has forwarded until now: it goes on doing so until nothing that it was
  // given is under way. The rule is for RTP; what is not goes up the stack for
  // ever. REQUIRES: at rest.
  virtual void Join(uint32_t cell, const Rule& rule) noexcept = 0;
  // The last RTP sequence number of the flow that the socket path has sent on.
  // REQUIRES: the cell was given by Join, and not retired.
  virtual void SetGate(uint32_t cell, uint16_t sequence) noexcept = 0;
  virtual bool Joined(uint32_t cell) const noexcept = 0;
  virtual Stats ReadStats(uint32_t cell) const noexcept = 0;
  virtual uint32_t cells() const = 0;

  // From the next packet on, each that the rule sends on is copied into the
  // mirror, or not any more. REQUIRES: as SetGate.
  virtual void SetMirror(uint32_t, bool /*on*/) noexcept {}
  // Calls `visit` with each copy that waits, and returns how many there were.
  // The octets are gone when it returns.
  using Visit =
      std::function<void(const Mirrored&, std::span<const uint8_t> octets)>;
  virtual absl::StatusOr<int> DrainMirror(const Visit&) { return 0; }
  // Packets that found the mirror full, ever.
  virtual uint64_t MirrorLost() const { return 0; }

  // What an earlier process has left (Program::inherited); a place that was
  // never written reads as zeros.
  virtual Rule ReadRule(uint32_t) const noexcept { return {}; }
  virtual std::optional<NextHop> ReadNextHop(uint16_t) const { return {}; }
  virtual std::optional<IpAddress> ReadLocal(uint16_t) const { return {}; }
};

}  // namespace sluice::relay::xdp

#endif  // SLUICE_RELAY_XDP_RULE_TABLE_H_
