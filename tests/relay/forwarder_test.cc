#include "relay/forwarder.h"

#include <gtest/gtest.h>

#include <memory>
#include <set>
#include <string>

#include "tests/fakes/packets.h"

namespace sluice::relay {
namespace {

const Endpoint kAlice = At("192.0.2.1:4000");
const Endpoint kAliceRtcp = At("192.0.2.1:4001");
const Endpoint kBob = At("[2001:db8::b]:6000");
const Endpoint kMallory = At("198.51.100.66:4000");
constexpr Micros kNow = Micros::Seconds(10);

enum class Want { kSend, kDrop };

struct Case {
  const char* name;
  FlowKind kind = FlowKind::kRtp;
  LatchPolicy policy = LatchPolicy::kSdpFirst;
  Endpoint from = kAlice;
  Bytes payload = Rtp(1);
  bool truncated = false;
  SideTarget alice{.target = kAlice};
  SideTarget bob{.target = kBob};
  Want want = Want::kDrop;
  DropReason reason{};
};

const SideTarget kNatted{.target = At("10.1.1.1:4000"), .learn_any = true};

Bytes DnsAnswer() {
  return {0x12, 0x34, 0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0, 7, 'e'};
}
Bytes Stun() {
  Bytes out{0x00, 0x01, 0x00, 0x00, 0x21, 0x12, 0xa4, 0x42};
  out.resize(20, 7);
  return out;
}

Bytes Padded() {
  Bytes out = Rtp(1);
  out[0] |= 0x20;
  out.back() = 0xff;
  return out;
}

const Case kCases[] = {
    {.name = "RTP from the SDP's address", .want = Want::kSend},
    {.name = "longer than max_datagram",
     .truncated = true,
     .reason = DropReason::k_truncated},
    {.name = "no payload", .payload = {}, .reason = DropReason::k_empty},
    {.name = "a DNS answer on an RTP port",
     .payload = DnsAnswer(),
     .reason = DropReason::k_not_rtp},
    {.name = "STUN on an RTP port",
     .payload = Stun(),
     .reason = DropReason::k_not_rtp},
    {.name = "an RTP header cut short",
     .payload = {0x80, 0, 0, 1, 0, 0, 0, 0},
     .reason = DropReason::k_not_rtp},
    {.name = "padding that reaches beyond the packet",
     .payload = Padded(),
     .reason = DropReason::k_not_rtp},
    {.name = "the same octets enciphered say nothing of padding",
     .kind = FlowKind::kSrtp,
     .payload = Padded(),
     .want = Want::kSend},
    {.name = "SRTP cut short",
     .kind = FlowKind::kSrtp,
     .payload = {0x80, 0, 0, 1},
     .reason = DropReason::k_not_rtp},
    {.name = "RTP on an RTCP port",
     .kind = FlowKind::kRtcp,
     .reason = DropReason::k_not_rtcp},
    {.name = "RTCP on its port",
     .kind = FlowKind::kRtcp,
     .payload = Rtcp(),
     .want = Want::kSend},
    {.name = "RTCP from a stranger",
     .kind = FlowKind::kRtcp,
     .from = kMallory,
     .payload = Rtcp(),
     .reason = DropReason::k_wrong_source},
    {.name = "multiplexed RTCP of the named address",
     .payload = Rtcp(),
     .want = Want::kSend},
    {.name = "multiplexed RTCP does not latch",
     .from = kMallory,
     .payload = Rtcp(),
     .alice = kNatted,
     .reason = DropReason::k_wrong_source},
    {.name = "multiplexed RTCP cut short",
     .payload = {0x81, 201, 0, 7, 0, 0, 0, 0},
     .reason = DropReason::k_not_rtcp},
    {.name = "a stranger",
     .from = kMallory,
     .reason = DropReason::k_wrong_source},
    {.name = "a source that is only watched",
     .from = kMallory,
     .alice = kNatted,
     .reason = DropReason::k_learning},
    {.name = "the far side is on hold",
     .bob = {},
     .reason = DropReason::k_no_target},
    {.name = "the near side is on hold and may speak",
     .alice = {},
     .want = Want::kSend},
    {.name = "anything on a raw flow",
     .kind = FlowKind::kRaw,
     .payload = DnsAnswer(),
     .want = Want::kSend},
    {.name = "a stranger on a raw flow",
     .kind = FlowKind::kRaw,
     .from = kMallory,
     .payload = DnsAnswer(),
     .reason = DropReason::k_wrong_source},
    {.name = "a watched source on a raw flow",
     .kind = FlowKind::kRaw,
     .from = kMallory,
     .payload = DnsAnswer(),
     .alice = kNatted,
     .reason = DropReason::k_learning},
    {.name = "strict: another port",
     .policy = LatchPolicy::kStrict,
     .from = At("192.0.2.1:4444"),
     .reason = DropReason::k_wrong_source},
    {.name = "sdp-first: another port of the address",
     .from = At("192.0.2.1:4444"),
     .want = Want::kSend},
    {.name = "first-packet: anybody",
     .policy = LatchPolicy::kFirstPacket,
     .from = kMallory,
     .want = Want::kSend},
};

// Bob's socket is IPv6, Alice's IPv4: a session may cross families.
std::unique_ptr<Flow> Make(FlowKind kind, LatchPolicy policy,
                           const SideTarget& alice, const SideTarget& bob) {
  auto flow = std::make_unique<Flow>();
  flow->kind = kind;
  flow->policy[0] = flow->policy[1] = policy;
  flow->generation = 1;
  const SideTarget targets[] = {alice, bob};
  for (int i : {0, 1}) {
    FlowSide& side = flow->side[i];
    side.cells.Reset(8000);
    side.latch.Reset(targets[i], kNow + Micros::Seconds(3));
    side.to =
        net::SendAddress(i == 0 ? AF_INET : AF_INET6, side.latch.destination());
  }
  return flow;
}

TEST(Decide, EveryExit) {
  for (const Case& c : kCases) {
    SCOPED_TRACE(c.name);
    auto flow = Make(c.kind, c.policy, c.alice, c.bob);
    const Verdict v = Decide(
        *flow, Side::kFrom,
        {.source = c.from, .payload = c.payload, .truncated = c.truncated},
        nullptr, kNow);
    const SideCells& cells = flow->side[0].cells;
    uint64_t drops = 0;
    for (const auto& d : cells.drops) drops += d.Get();
    ASSERT_EQ(v.send, c.want == Want::kSend) << Name(v.reason);
    if (v.send) {
      EXPECT_EQ(drops, 0u);
      EXPECT_EQ(cells.packets_in.Get(), 1u);
      EXPECT_EQ(cells.bytes_in.Get(), c.payload.size());
      EXPECT_EQ(cells.last_packet_us.Get(), kNow.us());
      continue;
    }
    EXPECT_STREQ(Name(v.reason), Name(c.reason));
    EXPECT_EQ(drops, 1u);
    EXPECT_EQ(cells.drops[static_cast<size_t>(c.reason)].Get(), 1u);
    if (c.reason == DropReason::k_no_target) continue;
    EXPECT_EQ(cells.packets_in.Get(), 0u);
    EXPECT_EQ(cells.last_packet_us.Get(), 0) << "keeps nothing alive";
    EXPECT_EQ(cells.stream.Quality().received, 0u);
  }
}

// What the shell decides stands in shard_test.cc; here are all the others.
TEST(Decide, TheTableNamesEveryReasonADecisionCanGive) {
  std::set<DropReason> shell = {
      DropReason::k_no_flow, DropReason::k_stale, DropReason::k_unreachable,
      DropReason::k_send_failed, DropReason::k_ring_full};
  std::set<DropReason> seen;
  for (const Case& c : kCases) {
    if (c.want == Want::kDrop) seen.insert(c.reason);
  }
  for (size_t r = 0; r < kDropReasons; ++r) {
    const auto reason = static_cast<DropReason>(r);
    EXPECT_NE(shell.count(reason), seen.count(reason)) << Name(reason);
  }
}

TEST(Decide, RtcpFollowsTheLatchOfItsStream) {
  const Endpoint moved = At("192.0.2.1:5000");
  const Endpoint moved_rtcp = At("192.0.2.1:5003");
  auto rtp = Make(FlowKind::kRtp, LatchPolicy::kSdpFirst, {.target = kAlice},
                  {.target = kBob});
  auto rtcp = Make(FlowKind::kRtcp, LatchPolicy::kSdpFirst,
                   {.target = kAliceRtcp}, {.target = kBob});
  const Bytes report = Rtcp();
  const Datagram packet{.source = moved_rtcp, .payload = report};
  EXPECT_FALSE(Decide(*rtcp, Side::kFrom, packet, rtp.get(), kNow).send);
  for (uint16_t s = 1; s <= 2; ++s) {
    const Bytes media = Rtp(s);
    Decide(*rtp, Side::kFrom, {.source = moved, .payload = media}, nullptr,
           kNow);
  }
  const Verdict v = Decide(*rtcp, Side::kFrom, packet, rtp.get(), kNow);
  EXPECT_TRUE(v.send);
  EXPECT_TRUE(v.latched);
}

TEST(Decide, AStrangersPacketsLeaveTheBooksAlone) {
  auto flow = Make(FlowKind::kRtp, LatchPolicy::kSdpFirst, {.target = kAlice},
                   {.target = kBob});
  const Bytes media = Rtp(1);
  Decide(*flow, Side::kFrom, {.source = kAlice, .payload = media}, nullptr,
         kNow);
  for (uint16_t s = 0; s < 200; ++s) {
    const Bytes other = Rtp(static_cast<uint16_t>(s * 977), 0xbad);
    Decide(*flow, Side::kFrom, {.source = kMallory, .payload = other}, nullptr,
           kNow + Micros::Seconds(1));
  }
  const rtp::StreamQuality q = flow->side[0].cells.stream.Quality();
  EXPECT_EQ(q.received, 1u);
  EXPECT_EQ(q.ssrc_changes, 0u);
  EXPECT_EQ(flow->side[0].cells.last_packet_us.Get(), kNow.us());
}

TEST(Decide, ReportsOfOnePartyGiveItsRoundTrip) {
  auto flow = Make(FlowKind::kRtcp, LatchPolicy::kSdpFirst, {.target = kAlice},
                   {.target = kBob});
  // Alice's report passes; Bob answers it 80 ms later after holding it 50 ms.
  const Bytes sent = SenderReport(7, 0x1111222233334444);
  Decide(*flow, Side::kFrom, {.source = kAlice, .payload = sent}, nullptr,
         kNow);
  const Bytes answer = Rtcp(8, 7, 0x22223333, 65536 / 20);
  Decide(*flow, Side::kTo, {.source = kBob, .payload = answer}, nullptr,
         kNow + Micros::Millis(80));
  EXPECT_NEAR(flow->side[1].cells.stream.Quality().rtt_ms, 30.0, 0.1);
  EXPECT_EQ(flow->side[0].cells.stream.Quality().rtt_ms, 0.0);
}

}  // namespace
}  // namespace sluice::relay
