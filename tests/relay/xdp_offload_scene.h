#ifndef SLUICE_TESTS_RELAY_XDP_OFFLOAD_SCENE_H_
#define SLUICE_TESTS_RELAY_XDP_OFFLOAD_SCENE_H_

// An offload between its fakes, and calls to lead past the sockets.

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "base/address.h"
#include "base/net/event_loop.h"
#include "base/net/next_hops.h"
#include "gtest/gtest.h"
#include "relay/media_plane.h"
#include "relay/xdp/offload.h"
#include "tests/fakes/fake_media_plane.h"
#include "tests/fakes/fake_rule_table.h"

namespace sluice::relay::xdp {

// Interfaces, each with its device; ports 10000 to 39999, 1,000 of IPv6.
inline constexpr IpAddress kInside = IpAddress::V4(198, 51, 100, 1);
inline constexpr IpAddress kOutside = IpAddress::V4(203, 0, 113, 1);
inline const IpAddress kSix = *IpAddress::Parse("2001:db8::1");
inline constexpr uint16_t kFirstPort = 10'000;
inline constexpr uint32_t kPorts = 30'000, kPortsSix = 1'000;
inline constexpr uint32_t kVoiceBytes = 172;
inline constexpr Side kSides[] = {Side::kFrom, Side::kTo};

inline Endpoint At(const IpAddress& ip, int port) {
  return {ip, Port::FromHost(static_cast<uint16_t>(port))};
}

// Two parties that speak, and where they are relayed.
struct Call {
  Slot socket[2]{};
  Slot flow{};
  Endpoint at[2]{}, party[2]{};
  uint16_t sequence[2] = {100, 65'530};
  uint64_t spoken[2]{};
};
struct Shape {
  IpAddress at[2] = {kInside, kOutside};
  int tos[2] = {0, 0};
  FlowKind kind = FlowKind::kRtp;
  uint32_t clock_hz = 8000;
};

inline net::NextHop Hop(int ifindex, int neighbour, uint32_t mtu = 1500) {
  return {.ifindex = ifindex,
          .neighbour = {2, 0, 0, 0, static_cast<uint8_t>(neighbour >> 8),
                        static_cast<uint8_t>(neighbour)},
          .own = {2, 1, 0, 0, 0, static_cast<uint8_t>(ifindex)},
          .mtu = mtu};
}
// By which an address of ours reaches everybody, unless a test says else.
inline net::NextHop Gateway(const IpAddress& local) {
  return Hop(local == kInside ? 2 : local == kOutside ? 3 : 4, 1);
}

// The fakes put together, an offload between them, and calls to lead past the
// sockets. Its time stands still until it is moved.
class OffloadScene : public testing::Test {
 protected:
  OffloadScene() { Start(Offload::Hook::kXdp); }

  void Start(Offload::Hook hook, uint16_t flags = 0) {
    offload_.reset();
    table_.emplace(loop_, log_, 2 * kPorts + kPortsSix);
    StartOn(hook, flags);
  }
  // On the table as it is.
  void StartOn(Offload::Hook hook, uint16_t flags = 0) {
    offload_.emplace(sockets_, *table_, ways_, loop_);
    uint32_t base = 0;
    for (const IpAddress& ip : {kInside, kOutside, kSix}) {
      const uint32_t ports = ip == kSix ? kPortsSix : kPorts;
      const absl::Status added = offload_->AddRange(
          {.local = ip,
           .first_port = kFirstPort,
           .last_port = static_cast<uint16_t>(kFirstPort + ports - 1),
           .device = {.ifindex = Gateway(ip).ifindex,
                      .hook = hook,
                      .hop_flags = flags}},
          std::exchange(base, base + ports));
      EXPECT_TRUE(added.ok()) << added;
    }
  }

  // The n-th ports of both interfaces, and parties of their own.
  Call Open(int n, const Shape& shape = {}) {
    Call call;
    for (const Side side : kSides) {
      const int i = Index(side);
      call.at[i] = At(shape.at[i], kFirstPort + n);
      const uint8_t host[] = {static_cast<uint8_t>(n >> 8),
                              static_cast<uint8_t>(n)};
      const uint8_t net = side == Side::kFrom ? 10 : 11;
      call.party[i] = At(
          shape.at[i].is_v4()
              ? IpAddress::V4(net, 0, host[0], host[1])
              : *IpAddress::Parse(absl::StrCat("2001:db8:", net, "::", n + 1)),
          5004);
      call.socket[i] = *offload_->OpenSocket(0, call.at[i], shape.tos[i]);
      Lay(call, side, Gateway(shape.at[i]));
    }
    call.flow = *offload_->OpenFlow(0, FlowOf(call, shape));
    return call;
  }
  static MediaPlane::FlowSpec FlowOf(const Call& call, const Shape& shape) {
    MediaPlane::FlowSpec spec;
    spec.kind = shape.kind;
    spec.clock_hz = shape.clock_hz;
    for (const int i : {0, 1}) {
      spec.socket[i] = call.socket[i];
      spec.target[i].target = call.party[i];
    }
    return spec;
  }
  void Close(const Call& call) {
    offload_->CloseFlow(0, call.flow);
    for (const Slot socket : call.socket) offload_->CloseSocket(0, socket);
    Drain();
  }
  void Drain() {
    offload_->DrainEvents([](uint32_t, const Event&) {});
  }
  // The way to a party is this from now on.
  void Lay(const Call& call, Side to, std::optional<net::NextHop> hop) {
    const int i = Index(to);
    const Ways::Id id = ways_.Lay(call.at[i].ip, call.party[i].ip, hop);
    if (id != 0) offload_->OnWayChanged(id);
  }
  void Latch(const Call& call, Side side, bool confirmed = true) {
    shards_.Tell(0, {.kind = Event::Kind::kLatched,
                     .side = side,
                     .by = LatchedBy::kSdp,
                     .confirmed = confirmed,
                     .slot = call.flow,
                     .source = call.party[Index(side)]});
    Drain();
  }
  void LatchBoth(const Call& call) {
    for (const Side side : kSides) Latch(call, side);
  }
  void Retarget(const Call& call, Side side, const Endpoint& target) {
    offload_->Retarget(0, call.flow, side, {.target = target});
  }

  void Turn() { loop_.RunOnce(Micros()); }
  void Advance(Micros by) {
    for (const Micros end = time_ + by; time_ < end;) {
      time_ = std::min(time_ + Offload::kLook, end);
      Turn();
    }
  }

  static std::optional<uint32_t> CellOf(const Endpoint& at) {
    const uint32_t port = at.port.host() - uint32_t{kFirstPort};
    const uint32_t base = at.ip == kInside    ? 0
                          : at.ip == kOutside ? kPorts
                                              : 2 * kPorts;
    if (port >= (at.ip == kSix ? kPortsSix : kPorts)) return std::nullopt;
    return base + port;
  }
  static uint32_t CellOf(const Call& call, Side from) {
    return *CellOf(call.at[Index(from)]);
  }
  // A packet of a party, by whichever path it goes. True: past the sockets.
  bool Speak(Call& call, Side from) {
    const int in = Index(from), out = Index(Other(from));
    const uint16_t sequence = ++call.sequence[in];
    ++call.spoken[in];
    const auto cell = CellOf(call.at[in]);
    if (cell && table_->OnPacket(*cell, {.from = call.party[in],
                                         .ssrc = 7,
                                         .sequence = sequence,
                                         .bytes = kVoiceBytes})) {
      return true;
    }
    FakeMediaPlane::Flow& flow = shards_.FlowAt(0, call.flow);
    SideReport& side = flow.report.side[in];
    ++side.packets_in;
    side.bytes_in += kVoiceBytes;
    ++side.quality.received;
    ++side.quality.expected;
    side.last_packet = flow.last_packet = loop_.now();
    if (flow.spec.target[out].target.is_none()) return false;
    ++flow.report.side[out].packets_out;
    flow.report.side[out].bytes_out += kVoiceBytes;
    flow.last_sent[out] = sequence;
    return false;
  }
  // Both speak, a packet in 20 ms.
  void Converse(Call& call, int packets) {
    for (; packets > 0; --packets) {
      for (const Side side : kSides) Speak(call, side);
      Advance(Offload::kLook);
    }
  }
  // Until a rule and a look more than a rest allows.
  void ConversePastRest(Call& call) { Converse(call, 60); }
  bool InForce(const Call& call, Side from) const {
    return offload_->InForce(0, call.flow, from);
  }
  bool InForce(const Call& call) const {
    return InForce(call, Side::kFrom) && InForce(call, Side::kTo);
  }
  Call OpenInForce(int n, const Shape& shape = {}) {
    Call call = Open(n, shape);
    LatchBoth(call);
    Converse(call, 4);
    EXPECT_TRUE(InForce(call));
    return call;
  }

  static std::array<uint8_t, sizeof(Rule)> Octets(Rule rule) {
    rule.state = kRuleOff;
    rule.gate = 0;
    return std::bit_cast<std::array<uint8_t, sizeof(Rule)>>(rule);
  }
  // What the rule of a direction is made of, its places left out.
  static RuleSpec SpecOf(const Call& call, Side from) {
    const int in = Index(from), out = Index(Other(from));
    return {.from = call.party[in],
            .at = call.at[in],
            .out = call.at[out],
            .to = call.party[out],
            .dscp = 0,
            .cookie = CellOf(call, from)};
  }
  void ExpectRule(uint32_t cell, RuleSpec spec, const net::NextHop& hop,
                  uint16_t hop_flags = 0, uint32_t clock_hz = 8000) {
    const Rule* const rule = table_->RuleAt(cell);
    ASSERT_NE(rule, nullptr) << "cell " << cell;
    EXPECT_EQ(table_->LocalAt(rule->local), spec.out.ip);
    EXPECT_EQ(table_->ProfileAt(rule->profile).clock_hz, clock_hz);
    const NextHop& by = table_->HopAt(rule->nexthop);
    EXPECT_TRUE(std::equal(by.macs, by.macs + 6, hop.neighbour.begin()));
    EXPECT_TRUE(std::equal(by.macs + 6, by.macs + 12, hop.own.begin()));
    EXPECT_EQ(by.ifindex, static_cast<uint32_t>(hop.ifindex));
    EXPECT_EQ(by.mtu, hop.mtu);
    EXPECT_EQ(by.flags, hop_flags);
    spec.local = rule->local;
    spec.nexthop = rule->nexthop;
    spec.profile = rule->profile;
    const auto expected = MakeRule(spec);
    ASSERT_TRUE(expected.ok()) << expected.status();
    EXPECT_EQ(Octets(*rule), Octets(*expected)) << "cell " << cell;
  }

  // A call, and what the offload was told of it.
  struct Known {
    int n = 0;
    Call call{};
    FlowKind kind = FlowKind::kRtp;
    Endpoint target[2]{};
    Endpoint source[2]{};  // confirmed
  };

  auto FlowsOn(Slot socket) const {
    return std::count_if(known_.begin(), known_.end(), [&](const Known& k) {
      return k.call.socket[0] == socket || k.call.socket[1] == socket;
    });
  }

  // Whether it may go past the sockets, of what is known_.
  bool MayLeave(const Known& known, Side from) const {
    const int in = Index(from), out = Index(Other(from));
    return known.kind == FlowKind::kRtp && !known.source[0].is_none() &&
           !known.source[1].is_none() && !known.target[out].is_none() &&
           !(removed_ && known.call.at[in].ip == kSix) &&
           FlowsOn(known.call.socket[0]) == 1 &&
           FlowsOn(known.call.socket[1]) == 1;
  }
  // The offload's numbers, rules and reports against all that is known_.
  void CheckAll() {
    size_t may = 0, rules = 0, in_force = 0;
    for (const Known& known : known_) {
      const FlowReport report = offload_->Report(0, known.call.flow);
      for (const Side from : kSides) {
        const SideReport& side = report.side[Index(from)];
        const uint64_t spoken = known.call.spoken[Index(from)];
        EXPECT_EQ(side.packets_in, spoken);
        EXPECT_EQ(side.quality.received, spoken);
        EXPECT_EQ(side.quality.lost, 0);
        const uint32_t cell = CellOf(known.call, from);
        const bool has_rule = table_->RuleAt(cell) != nullptr;
        if (InForce(known.call, from)) {
          ++in_force;
          EXPECT_TRUE(has_rule && table_->Joined(cell));
        }
        if (!MayLeave(known, from)) {
          EXPECT_FALSE(has_rule);
          continue;
        }
        ++may;
        if (!has_rule) continue;
        ++rules;
        Call believed = known.call;
        for (const int i : {0, 1}) believed.party[i] = known.source[i];
        const int out = Index(Other(from));
        const auto hop = ways_.At(believed.at[out].ip, known.source[out].ip);
        ASSERT_TRUE(hop.has_value());
        ExpectRule(cell, SpecOf(believed, from), *hop);
      }
    }
    // No cell but theirs has a rule.
    EXPECT_EQ(table_->rules(), rules);
    EXPECT_EQ(offload_->in_force(), in_force);
    EXPECT_EQ(offload_->joining(), rules - in_force);
    EXPECT_EQ(offload_->waiting(), may - rules);
    EXPECT_EQ(ways_.watches(), may);
  }

  Micros time_ = Micros::Seconds(1000);
  net::EventLoop loop_{[this] { return time_; }};
  std::vector<std::string> log_{};
  FakeMediaPlane shards_{};
  Recorder sockets_{shards_, loop_, log_};
  FakeWays ways_{};
  std::optional<FakeRuleTable> table_{};
  std::optional<Offload> offload_{};
  // For CheckAll; a test keeps them.
  std::vector<Known> known_{};
  bool removed_ = false;  // the device of kSix
};

}  // namespace sluice::relay::xdp

#endif  // SLUICE_TESTS_RELAY_XDP_OFFLOAD_SCENE_H_
