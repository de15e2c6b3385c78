#include <algorithm>
#include <cstdint>
#include <optional>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "relay/xdp/offload.h"
#include "tests/relay/xdp_offload_scene.h"

namespace sluice::relay::xdp {
namespace {

using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Le;
using ::testing::SizeIs;

constexpr Micros kRest = FakeRuleTable::kRest;

using XdpOffload = OffloadScene;

TEST_F(XdpOffload, BothSidesConfirmedWaitJoinAndAreInForce) {
  Call call = Open(0);
  LatchBoth(call);
  EXPECT_EQ(offload_->waiting(), 2u);
  Converse(call, 1);
  EXPECT_EQ(offload_->joining(), 2u);
  EXPECT_THAT(log_, ElementsAre("open flow", "join 0", "join 30000"));
  Converse(call, 3);
  EXPECT_EQ(offload_->in_force(), 2u);
  EXPECT_EQ(offload_->waiting() + offload_->joining(), 0u);
  EXPECT_TRUE(InForce(call));
  EXPECT_EQ(offload_->counters().joined, 2u);
  Converse(call, 100);
  EXPECT_THAT(log_, ElementsAre("open flow", "join 0", "join 30000",
                                "pause 0 from", "pause 0 to"));
  EXPECT_TRUE(Speak(call, Side::kFrom) && Speak(call, Side::kTo));
}

TEST_F(XdpOffload, OneSideOnlyOrTentativeStaysOnTheSockets) {
  for (const Side side : kSides) {
    Call call = Open(Index(side));
    Latch(call, side);
    Converse(call, 10);
    Latch(call, Other(side), /*confirmed=*/false);
    Converse(call, 10);
    EXPECT_EQ(offload_->waiting() + table_->rules() + ways_.watches(), 0u);
    Latch(call, Other(side));
    Converse(call, 4);
    EXPECT_TRUE(InForce(call));
    Close(call);
  }
}

TEST_F(XdpOffload, NothingGoesPastTheSocketsToAPartyOnHold) {
  Call call = Open(0);
  Retarget(call, Side::kTo, Endpoint());
  LatchBoth(call);
  ConversePastRest(call);
  EXPECT_FALSE(InForce(call, Side::kFrom));
  EXPECT_TRUE(InForce(call, Side::kTo));
  EXPECT_EQ(table_->rules(), 1u);

  Retarget(call, Side::kTo, call.party[1]);
  Latch(call, Side::kTo);
  ConversePastRest(call);
  EXPECT_TRUE(InForce(call));
}

TEST_F(XdpOffload, RtcpAndRawStayOnTheSockets) {
  for (const FlowKind kind : {FlowKind::kRtcp, FlowKind::kRaw}) {
    Call call = Open(static_cast<int>(kind), {.kind = kind});
    LatchBoth(call);
    Converse(call, 10);
  }
  EXPECT_EQ(offload_->waiting() + table_->rules(), 0u);
}

TEST_F(XdpOffload, PortOutsideItsRangeStaysOnTheSockets) {
  OpenInForce(kPortsSix - 1, {.at = {kSix, kOutside}});
  OpenInForce(kPorts - 1);
  // Just before the first one, both; just beyond the last one, one side.
  Call call = Open(-1), half = Open(kPortsSix, {.at = {kSix, kOutside}});
  for (Call* each : {&call, &half}) {
    LatchBoth(*each);
    Converse(*each, 5);
    EXPECT_FALSE(InForce(*each, Side::kFrom));
    EXPECT_EQ(InForce(*each, Side::kTo), each == &half);
  }
}

TEST_F(XdpOffload, RemovedDevicesPacketsAreTheSockets) {
  Call call = OpenInForce(0);
  Call elsewhere = OpenInForce(1, {.at = {kSix, kOutside}});
  offload_->RemoveDevice(Gateway(kInside).ifindex);
  EXPECT_EQ(table_->rules(), 0u);
  for (int i = 0; i < 60; ++i) {
    Converse(call, 1);
    for (const Side side : kSides) Speak(elsewhere, side);
  }
  EXPECT_FALSE(InForce(call, Side::kFrom));
  // It leaves by a device that has the program no more.
  EXPECT_FALSE(InForce(call, Side::kTo));
  EXPECT_EQ(offload_->counters().no_device, 1u);
  EXPECT_TRUE(InForce(elsewhere));
}

TEST_F(XdpOffload, WhatAShardSaysOfAClosedFlowIsNotOfTheNextOne) {
  const Call old = Open(0);
  Close(old);
  Call call = Open(0);
  ASSERT_EQ(call.flow.index, old.flow.index);
  LatchBoth(old);
  Converse(call, 5);
  EXPECT_EQ(offload_->waiting(), 0u);
}

TEST_F(XdpOffload, RulesAreWhatTheSocketsDid) {
  Start(Offload::Hook::kXdp, kNextHopNeverTransmit);
  const struct {
    const char* name;
    Shape shape;
    int dscp[2];  // of what goes to that side
    uint16_t flags;
  } rows[] = {
      {"4 to 4", {{kInside, kOutside}, {0xb8, 0x68}}, {46, 26}, 0},
      {"4 to 6", {{kInside, kSix}, {0, 4}, FlowKind::kRtp, 48'000}, {0, 1}, 0},
      {"6 to 4",
       {{kSix, kOutside}, {0, 0}, FlowKind::kSrtp},
       {0, 0},
       kRuleEnciphered},
  };
  int n = 0;
  for (const auto& row : rows) {
    SCOPED_TRACE(row.name);
    const Call call = OpenInForce(n++, row.shape);
    for (const Side from : kSides) {
      const int out = Index(Other(from));
      RuleSpec spec = SpecOf(call, from);
      spec.dscp = row.dscp[out];
      spec.flags = row.flags;
      ExpectRule(CellOf(call, from), spec, Gateway(row.shape.at[out]),
                 kNextHopNeverTransmit, row.shape.clock_hz);
    }
  }
}

TEST_F(XdpOffload, RuleGoesWhereTheLatchIsAndNotWhereTheSdpSays) {
  Call call = Open(0);
  call.party[1] = *Endpoint::Parse("192.0.2.9:40000");
  Lay(call, Side::kTo, Hop(3, 9));
  LatchBoth(call);
  Converse(call, 4);
  ExpectRule(0, SpecOf(call, Side::kFrom), Hop(3, 9));
}

TEST_F(XdpOffload, SourceThatMakesNoRuleStaysOnTheSockets) {
  Call call = Open(0);
  call.party[1] = *Endpoint::Parse("224.0.0.1:5004");
  Lay(call, Side::kTo, Gateway(kOutside));
  LatchBoth(call);
  Converse(call, 10);
  EXPECT_EQ(offload_->counters().no_rule, 2u);
  EXPECT_EQ(table_->rules(), 0u);
}

TEST_F(XdpOffload, GateFollowsWhatTheSocketsHaveSent) {
  Call call = Open(0);
  LatchBoth(call);
  Advance(Micros::Millis(100));
  ASSERT_EQ(offload_->joining(), 2u);
  EXPECT_EQ(table_->GateAt(0), std::nullopt);  // nothing was sent yet

  Speak(call, Side::kFrom);
  // This one is still under way in the socket.
  const FakeRuleTable::Rtp packet{
      .from = call.party[0], .ssrc = 7, .sequence = ++call.sequence[0]};
  EXPECT_FALSE(table_->OnPacket(0, packet));
  Advance(Offload::kLookMax);
  EXPECT_EQ(table_->GateAt(0), call.sequence[0] - 1);
  EXPECT_FALSE(Speak(call, Side::kFrom));
  Advance(Offload::kLookMax);
  EXPECT_EQ(table_->GateAt(0), call.sequence[0]);
  EXPECT_FALSE(InForce(call, Side::kFrom));
  EXPECT_TRUE(Speak(call, Side::kFrom));
  Advance(Offload::kLookMax);
  EXPECT_TRUE(InForce(call, Side::kFrom));
  EXPECT_FALSE(InForce(call, Side::kTo));
}

TEST_F(XdpOffload, SilentFlowIsLookedAtMoreAndMoreSeldomAndStillJoins) {
  Call call = Open(0);
  Retarget(call, Side::kTo, Endpoint());  // one direction only
  LatchBoth(call);
  Advance(kRest + Micros::Seconds(10));
  ASSERT_EQ(offload_->joining(), 1u);
  std::vector<int64_t> pauses;
  for (size_t i = 1; i < sockets_.looks.size(); ++i) {
    pauses.push_back((sockets_.looks[i] - sockets_.looks[i - 1]).us() / 1000);
  }
  ASSERT_GT(pauses.size(), 8u);
  EXPECT_LT(pauses.size(), 24u);
  for (size_t i = 1; i < pauses.size(); ++i) {
    EXPECT_EQ(pauses[i], std::min<int64_t>(2 * pauses[i - 1], 640));
  }
  EXPECT_EQ(pauses.front(), 20);

  // Two looks: one sets the gate, one sees that it has joined.
  Converse(call, 2 * 640 / 20);
  EXPECT_TRUE(InForce(call, Side::kTo));
}

TEST_F(XdpOffload, RuleThatJoinedUnseenIsCountedAndThePauseSaid) {
  Call call = Open(0);
  LatchBoth(call);
  Converse(call, 2);
  EXPECT_TRUE(Speak(call, Side::kFrom));
  EXPECT_EQ(offload_->joining(), 2u);
  log_.clear();
  Retarget(call, Side::kTo, At(call.party[1].ip, 6000));
  EXPECT_THAT(log_, ElementsAre("retire 0", "pause 0 from", "retire 30000",
                                "retarget 0"));
  EXPECT_EQ(offload_->counters().joined, 1u);
  EXPECT_EQ(offload_->counters().left, 1u);
  EXPECT_EQ(offload_->Report(0, call.flow).side[0].packets_in, call.spoken[0]);
}

TEST_F(XdpOffload, TwentyThousandFlowsJoinABoundedNumberATurn) {
  std::vector<Call> calls;
  for (int n = 0; n < 20'000; ++n) calls.push_back(Open(n));
  for (const Call& call : calls) LatchBoth(call);
  EXPECT_EQ(offload_->waiting(), 40'000u);
  for (int turns = 0; offload_->in_force() < 40'000; ++turns) {
    ASSERT_LT(turns, 100) << offload_->in_force() << " in force";
    for (Call& call : calls) {
      for (const Side side : kSides) Speak(call, side);
    }
    log_.clear();
    sockets_.looks.clear();
    Advance(Offload::kLook);
    // Each of these is one look: a join, a gate, a pause.
    ASSERT_LE(log_.size() + sockets_.looks.size(), Offload::kLooks);
  }
  EXPECT_EQ(offload_->counters().joined, 40'000u);
  EXPECT_EQ(offload_->waiting() + offload_->joining(), 0u);
  const Micros before = time_;
  Advance(Micros::Seconds(1));
  EXPECT_THAT(sockets_.looks, Each(Le(before)));  // nobody is left
}

TEST_F(XdpOffload, RulesAreRetiredBeforeTheShardsHearOfTheChange) {
  const Call first = OpenInForce(0);
  log_.clear();
  Retarget(first, Side::kFrom, At(first.party[0].ip, 6000));
  EXPECT_THAT(log_, ElementsAre("retire 0", "retire 30000", "retarget 0"));

  const Call second = OpenInForce(1);
  log_.clear();
  offload_->CloseFlow(0, second.flow);
  EXPECT_THAT(log_, ElementsAre("retire 1", "retire 30001", "close flow 1"));

  const Call third = OpenInForce(2);
  Call branch = third;
  branch.socket[1] = *offload_->OpenSocket(0, At(kOutside, 20'000), 0);
  log_.clear();
  ASSERT_TRUE(offload_->OpenFlow(0, FlowOf(branch, Shape())).ok());
  EXPECT_THAT(log_, ElementsAre("retire 2", "retire 30002", "open flow"));
  EXPECT_EQ(offload_->counters().left, 6u);
}

TEST_F(XdpOffload, RetargetWithNothingChangedRetiresNothing) {
  Call call = OpenInForce(0);
  log_.clear();
  Retarget(call, Side::kTo, call.party[1]);
  Latch(call, Side::kTo);  // as the shard answers
  EXPECT_THAT(log_, ElementsAre("retarget 0"));
  EXPECT_THAT(shards_.moved, SizeIs(1));
  EXPECT_TRUE(InForce(call));
}

TEST_F(XdpOffload, AnotherSourceOrDoubtAboutItSendsBothDirectionsBack) {
  Call call = OpenInForce(0);
  Latch(call, Side::kFrom, /*confirmed=*/false);
  EXPECT_EQ(table_->rules(), 0u);
  Latch(call, Side::kFrom);
  ConversePastRest(call);
  EXPECT_TRUE(InForce(call));
  call.party[1] = At(call.party[1].ip, 7000);
  Latch(call, Side::kTo);
  EXPECT_EQ(table_->rules(), 0u);
  ConversePastRest(call);
  EXPECT_TRUE(InForce(call));
  EXPECT_EQ(offload_->counters().left, 4u);
}

TEST_F(XdpOffload, NewTargetJoinsWhenTheShardHasConfirmedIt) {
  Call call = Open(0);
  LatchBoth(call);
  const Call late = call;
  call.party[1] = At(IpAddress::V4(11, 0, 0, 5), 7000);
  Lay(call, Side::kTo, Hop(3, 5));
  Retarget(call, Side::kTo, call.party[1]);
  Latch(late, Side::kTo);  // told before the shard had heard of it
  Converse(call, 10);
  EXPECT_EQ(table_->rules(), 0u);
  Latch(call, Side::kTo, /*confirmed=*/false);
  ConversePastRest(call);
  EXPECT_EQ(table_->rules(), 0u);
  Latch(call, Side::kTo);
  ConversePastRest(call);
  EXPECT_TRUE(InForce(call));
}

TEST_F(XdpOffload, CellRestsASecondBeforeTheNextTenantsRule) {
  const Call old = OpenInForce(0);
  Close(old);
  const Micros closed = time_;
  Call call = Open(0);
  LatchBoth(call);
  while (time_ + Offload::kLook < closed + kRest) Converse(call, 1);
  EXPECT_EQ(table_->rules(), 0u);
  EXPECT_EQ(offload_->waiting(), 2u);
  EXPECT_EQ(offload_->Report(0, call.flow).side[0].packets_in, call.spoken[0]);
  Converse(call, 6);
  EXPECT_TRUE(InForce(call));
}

TEST_F(XdpOffload, ForkSendsTheFirstFlowBackUntilItIsAlone) {
  Call call = OpenInForce(0);
  Call branch = call;
  branch.at[1] = At(kOutside, 20'000);
  branch.party[1] = At(IpAddress::V4(11, 9, 9, 9), 5004);
  branch.socket[1] = *offload_->OpenSocket(0, branch.at[1], 0);
  Lay(branch, Side::kTo, Gateway(kOutside));
  branch.flow = *offload_->OpenFlow(0, FlowOf(branch, Shape()));
  LatchBoth(branch);
  LatchBoth(call);
  ConversePastRest(call);
  EXPECT_EQ(table_->rules(), 0u);
  EXPECT_EQ(offload_->waiting(), 0u);

  offload_->CloseFlow(0, branch.flow);
  Converse(call, 6);
  EXPECT_TRUE(InForce(call));
}

TEST_F(XdpOffload, SecondFlowThatTheShardsRefuseLeavesTheFirstAsItWas) {
  Call call = OpenInForce(0);
  shards_.FailEveryNthFlow(1, absl::ResourceExhaustedError("full"));
  EXPECT_FALSE(offload_->OpenFlow(0, FlowOf(call, Shape())).ok());
  EXPECT_EQ(offload_->waiting(), 2u);
  ConversePastRest(call);
  EXPECT_TRUE(InForce(call));
}

TEST_F(XdpOffload, DestructorRetiresWhatIsInForceAndWhatJoins) {
  Call call = OpenInForce(0);
  const Call joins = Open(1);
  LatchBoth(joins);
  Advance(Micros::Millis(100));
  EXPECT_EQ(table_->rules(), 4u);
  Retarget(Open(2), Side::kTo, Endpoint());
  offload_.reset();
  EXPECT_EQ(table_->rules(), 0u);
  EXPECT_EQ(ways_.watches(), 0u);
  Advance(Micros::Seconds(2));  // no timer of its is left
  EXPECT_FALSE(Speak(call, Side::kFrom));
}

TEST_F(XdpOffload, RangeWithoutCellsIsRefused) {
  const IpAddress local = IpAddress::V4(192, 0, 2, 1);
  const absl::Status added = offload_->AddRange(
      {.local = local, .first_port = 1, .last_port = 2}, table_->cells() - 1);
  EXPECT_TRUE(absl::IsInvalidArgument(added)) << added;
  EXPECT_THAT(std::string(added.message()), HasSubstr("no 2 from 60999 on"));
  EXPECT_THAT(table_->ranges(), SizeIs(3));
}

TEST_F(XdpOffload, SecondRangeOfAnAddressIsRefused) {
  const absl::Status added = offload_->AddRange(
      {.local = kInside, .first_port = 1, .last_port = 2}, 0);
  EXPECT_TRUE(absl::IsInvalidArgument(added)) << added;
  EXPECT_THAT(std::string(added.message()), HasSubstr("already"));
  EXPECT_THAT(table_->ranges(), SizeIs(3));
}

TEST_F(XdpOffload, BooksAreTheSumOfBothPathsOverThreeRounds) {
  Call call = OpenInForce(0);
  uint64_t lost = 0;
  for (uint32_t round = 0; round < 3; ++round) {
    ConversePastRest(call);
    ASSERT_TRUE(InForce(call));
    call.sequence[0] += 3;  // three are lost on the way to us
    lost += 3;
    Converse(call, 10);
    Lay(call, Side::kTo, Hop(3, 1, 1400 + round));
    ASSERT_FALSE(InForce(call, Side::kFrom));
    // One was on its way when the rule was retired.
    Stats& books = table_->Books(0);
    ++books.packets;
    books.bytes += kVoiceBytes;
    ++books.expected;
    ++books.received;
    ++call.spoken[0];
    ++call.sequence[0];
    ++books.late;
    ++books.ssrc_changes;
    Converse(call, 10);

    const FlowReport report = offload_->Report(0, call.flow);
    for (const Side side : kSides) {
      const int in = Index(side), out = Index(Other(side));
      const SideReport& got = report.side[in];
      EXPECT_EQ(got.packets_in, call.spoken[in]);
      EXPECT_EQ(got.bytes_in, call.spoken[in] * kVoiceBytes);
      EXPECT_EQ(got.packets_out, call.spoken[out]);
      EXPECT_EQ(got.bytes_out, call.spoken[out] * kVoiceBytes);
      EXPECT_EQ(got.quality.received, call.spoken[in]);
    }
    EXPECT_EQ(report.side[0].quality.expected, call.spoken[0] + lost);
    EXPECT_EQ(report.side[0].quality.lost, static_cast<int64_t>(lost));
    EXPECT_EQ(report.side[0].quality.reordered, round + 1);
    EXPECT_EQ(report.side[0].quality.ssrc_changes, round + 1);
    EXPECT_EQ(report.side[1].quality.lost, 0);
  }
  EXPECT_EQ(offload_->counters().left, 3u);
}

TEST_F(XdpOffload, WhatTheDeviceRefusedWasNotSentAndIsADropOfItsSender) {
  constexpr auto kRefused = static_cast<size_t>(DropReason::k_send_failed);
  Call call = OpenInForce(0);
  shards_.FlowAt(0, call.flow).report.side[0].drops[kRefused] = 1;
  const auto expect = [&](uint64_t refused) {
    const FlowReport report = offload_->Report(0, call.flow);
    EXPECT_EQ(report.side[0].packets_in, call.spoken[0]);
    EXPECT_EQ(report.side[1].packets_out, call.spoken[0] - refused);
    EXPECT_EQ(report.side[0].drops[kRefused], 1 + refused);
    EXPECT_EQ(report.side[1].packets_in, call.spoken[1]);
    EXPECT_EQ(report.side[0].packets_out, call.spoken[1]);
    EXPECT_EQ(report.side[1].drops[kRefused], 0u);
  };
  Converse(call, 10);
  expect(0);
  table_->Books(0).dropped = 4;
  expect(4);
  // The books of a rule that has been are kept.
  Lay(call, Side::kTo, Hop(3, 1, 1400));
  ConversePastRest(call);
  ASSERT_TRUE(InForce(call));
  table_->Books(0).dropped = 2;
  expect(6);
  // Refused between the two reads.
  const uint64_t past = table_->Books(0).packets;
  table_->Books(0).dropped = static_cast<uint32_t>(past + 1);
  expect(4 + past);
}

TEST_F(XdpOffload, LastPacketSsrcAndJitterAreOfThePathThatHeardLast) {
  Call call = OpenInForce(0);
  rtp::StreamQuality& heard =
      shards_.FlowAt(0, call.flow).report.side[0].quality;
  heard.ssrc = 5;
  heard.jitter_ms = 3;
  const auto expect = [&](Micros last, uint32_t ssrc, double jitter_ms) {
    const SideReport side = offload_->Report(0, call.flow).side[0];
    EXPECT_EQ(side.last_packet, last);
    EXPECT_EQ(offload_->LastPacket(0, call.flow), last);
    EXPECT_EQ(side.quality.ssrc, ssrc);
    EXPECT_DOUBLE_EQ(side.quality.jitter_ms, jitter_ms);
  };
  Advance(Micros::Seconds(5));
  Speak(call, Side::kFrom);
  table_->Books(0).jitter_q4 = 16 * 80;  // 80 ticks of 8000 Hz
  const Micros past = time_;
  expect(past, 7, 10);
  Lay(call, Side::kTo, std::nullopt);
  Advance(Micros::Seconds(5));
  expect(past, 7, 10);  // though it has left
  Speak(call, Side::kFrom);
  expect(time_, 5, 3);
}

class XdpOffloadWalk : public XdpOffload {
 protected:
  static constexpr int kCalls = 8;

  int Pick(size_t n) { return static_cast<int>(random_() % n); }
  Known& PickCall() { return known_[static_cast<size_t>(Pick(known_.size()))]; }
  Endpoint Party(const IpAddress& local) {
    const int host = 1 + Pick(4);
    return At(local.is_v4()
                  ? IpAddress::V4(10, 0, 0, static_cast<uint8_t>(host))
                  : *IpAddress::Parse(absl::StrCat("2001:db8:a::", host)),
              5000 + Pick(100));
  }
  // With the n-th ports, or those of another call on its first side.
  void OpenOne(int n) {
    Known known{.n = n, .kind = Pick(8) ? FlowKind::kRtp : FlowKind::kRtcp};
    Call& call = known.call;
    const bool forks = !known_.empty() && Pick(4) == 0;
    if (forks) call = PickCall().call;
    const IpAddress at[] = {kInside, Pick(3) ? kOutside : kSix};
    for (const int i : {0, 1}) {
      call.spoken[i] = 0;
      if (forks && i == 0) continue;
      call.at[i] = At(at[i], kFirstPort + n);
      call.socket[i] = *offload_->OpenSocket(0, call.at[i], 0);
      call.party[i] = Party(at[i]);
    }
    call.flow = *offload_->OpenFlow(0, FlowOf(call, {.kind = known.kind}));
    for (const int i : {0, 1}) known.target[i] = call.party[i];
    known_.push_back(known);
  }
  // Nobody is named so, nor has a socket that was opened as such.
  bool IsFree(int n) const {
    return std::none_of(known_.begin(), known_.end(), [n](const Known& k) {
      return k.n == n || k.call.at[0].port.host() == kFirstPort + n;
    });
  }
  void CloseOne() {
    const auto at = known_.begin() + Pick(known_.size());
    const Call call = at->call;
    known_.erase(at);
    offload_->CloseFlow(0, call.flow);
    for (const Slot socket : call.socket) {
      if (FlowsOn(socket) == 0) offload_->CloseSocket(0, socket);
    }
    Drain();
  }
  void RetargetOne() {
    Known& known = PickCall();
    const int i = Pick(2);
    const Endpoint targets[] = {known.target[i], Endpoint(),
                                known.call.party[i],
                                Party(known.call.at[i].ip)};
    const Endpoint target = targets[Pick(4)];
    if (target != known.target[i]) known.source[i] = Endpoint();
    known.target[i] = target;
    Retarget(known.call, kSides[i], target);
  }
  void LatchOne(Known& known) {
    const int i = Pick(2);
    if (Pick(8) == 0) known.call.party[i] = Party(known.call.at[i].ip);
    const bool confirmed = Pick(8) != 0;
    known.source[i] = confirmed ? known.call.party[i] : Endpoint();
    Latch(known.call, kSides[i], confirmed);
  }
  void LayOne() {
    const Call& call = PickCall().call;
    const int i = Pick(2);
    net::NextHop hop = Gateway(call.at[i].ip);
    if (Pick(4) == 0) hop.mtu = 1400;
    if (Pick(10) == 0) hop.ifindex = 9;  // has no program
    Lay(call, kSides[i], Pick(4) ? std::optional(hop) : std::nullopt);
  }
  void Step() {
    const int n = Pick(kCalls);
    if (Pick(4) == 0 && IsFree(n)) OpenOne(n);
    if (known_.empty()) return;
    switch (Pick(10)) {
      case 0: return CloseOne();
      case 1: return RetargetOne();
      case 2: return LayOne();
      case 3: return Advance(Micros::Millis(Pick(1'200)));
      case 4:
      case 5: return LatchOne(PickCall());
      default: break;
    }
    for (int packets = Pick(32); packets > 0; --packets) {
      for (Known& known : known_) {
        for (const Side side : kSides) {
          if (Pick(8) != 0) Speak(known.call, side);
        }
      }
      Advance(Offload::kLook);
    }
  }

  std::mt19937_64 random_{};
};

TEST_F(XdpOffloadWalk, NoRuleDiffersFromItsFlowWhateverHappens) {
  for (uint64_t seed = 1; seed <= 5; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    random_.seed(seed);
    for (int i = 0; i < 300; ++i) {
      const IpAddress local[] = {kInside, kOutside, kSix};
      ways_.Lay(local[i % 3], Party(local[i % 3]).ip, Gateway(local[i % 3]));
    }
    for (int step = 0; step < 2'000; ++step) {
      SCOPED_TRACE(testing::Message() << "step " << step);
      if (step == 1'500) {
        removed_ = true;
        offload_->RemoveDevice(Gateway(kSix).ifindex);
      }
      Step();
      CheckAll();
      ASSERT_FALSE(HasFailure());
    }
    const OffloadCounters& done = offload_->counters();
    EXPECT_GT(std::min(done.joined, done.left), 50u);
    EXPECT_GT(std::min(done.no_way, done.no_device), 0u);
    while (!known_.empty()) CloseOne();
    CheckAll();
    removed_ = false;
    Start(Offload::Hook::kXdp);
  }
}

}  // namespace
}  // namespace sluice::relay::xdp
