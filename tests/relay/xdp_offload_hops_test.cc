// The ways of flows past the sockets and the program's places for next hops.

#include <cstdint>
#include <optional>
#include <vector>

#include "absl/status/status.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "relay/xdp/offload.h"
#include "tests/relay/xdp_offload_scene.h"

namespace sluice::relay::xdp {
namespace {

using ::testing::ElementsAre;

constexpr Micros kRest = FakeRuleTable::kRest;

using XdpOffloadHops = OffloadScene;

TEST_F(XdpOffloadHops, LostWaySendsItsDirectionBackAtOnce) {
  Call call = OpenInForce(0);
  log_.clear();
  Lay(call, Side::kTo, std::nullopt);
  EXPECT_THAT(log_, ElementsAre("retire 0"));
  ConversePastRest(call);
  EXPECT_FALSE(InForce(call, Side::kFrom));
  EXPECT_TRUE(InForce(call, Side::kTo));
  EXPECT_EQ(offload_->counters().no_way, 1u);
  Lay(call, Side::kTo, Hop(3, 77));
  Converse(call, 4);
  EXPECT_TRUE(InForce(call));
  ExpectRule(0, SpecOf(call, Side::kFrom), Hop(3, 77));
}

TEST_F(XdpOffloadHops, ChangedWayJoinsAgainByTheNewHop) {
  Call call = OpenInForce(0);
  Lay(call, Side::kTo, Hop(3, 1, /*mtu=*/1400));
  EXPECT_EQ(table_->RuleAt(0), nullptr);
  ConversePastRest(call);
  ExpectRule(0, SpecOf(call, Side::kFrom), Hop(3, 1, 1400));
  EXPECT_TRUE(InForce(call));
  EXPECT_EQ(table_->hops(), 3u);
  EXPECT_EQ(offload_->counters().joined, 3u);
  EXPECT_EQ(offload_->counters().left, 1u);
}

TEST_F(XdpOffloadHops, UnresolvedWayIsCountedOnceAndJoinsWhenTold) {
  Call call = Open(0);
  Lay(call, Side::kTo, std::nullopt);
  LatchBoth(call);
  ConversePastRest(call);
  EXPECT_EQ(offload_->counters().no_way, 1u);
  EXPECT_TRUE(InForce(call, Side::kTo));
  Lay(call, Side::kTo, Gateway(kOutside));
  Converse(call, 4);
  EXPECT_TRUE(InForce(call));
}

TEST_F(XdpOffloadHops, WayThatCannotBeWatchedIsCountedAndTriedAgain) {
  Call call = Open(0);
  ways_.Refuse(absl::ResourceExhaustedError("watches"));
  LatchBoth(call);
  EXPECT_EQ(offload_->counters().no_way, 2u);
  Converse(call, 4);
  EXPECT_EQ(offload_->counters().no_way, 2u);  // it rests
  ConversePastRest(call);
  EXPECT_EQ(offload_->counters().no_way, 4u);
  EXPECT_EQ(offload_->waiting(), 2u);
  const Call ended = Open(1);
  LatchBoth(ended);
  Close(ended);
  EXPECT_EQ(offload_->waiting(), 2u);
  ways_.Refuse(absl::OkStatus());
  ConversePastRest(call);
  EXPECT_TRUE(InForce(call));
}

TEST_F(XdpOffloadHops, WayThatThereCannotBeIsNotTriedAgain) {
  Call call = Open(0);
  ways_.Refuse(absl::InvalidArgumentError("no destination"));
  LatchBoth(call);
  ConversePastRest(call);
  EXPECT_EQ(offload_->counters().no_way, 2u);
  EXPECT_EQ(offload_->waiting(), 0u);
}

TEST_F(XdpOffloadHops, NativeHandsFramesToItsDevicesOnlyAndTcToAny) {
  for (const Offload::Hook hook : {Offload::Hook::kXdp, Offload::Hook::kTc}) {
    const bool tc = hook == Offload::Hook::kTc;
    Start(hook);
    Call call = Open(tc);
    Lay(call, Side::kTo, Hop(/*ifindex=*/9, 1));
    LatchBoth(call);
    Converse(call, 5);
    EXPECT_EQ(offload_->counters().no_device, tc ? 0u : 1u);
    EXPECT_EQ(InForce(call, Side::kFrom), tc);
    EXPECT_TRUE(InForce(call, Side::kTo));
  }
}

TEST_F(XdpOffloadHops, EqualNextHopsShareAPlace) {
  for (int n = 0; n < 20; ++n) OpenInForce(n);
  EXPECT_EQ(table_->hops(), 2u);
  EXPECT_EQ(table_->hops_written(), 2u);
}

TEST_F(XdpOffloadHops, PlacesOfNextHopsAreUsedAgainAfterARest) {
  // Parties behind neighbours of their own, and one way back: a full table.
  const auto open = [&](int n) {
    Call call = Open(n);
    Lay(call, Side::kTo, Hop(3, 1000 + n));
    LatchBoth(call);
    return call;
  };
  std::vector<Call> calls;
  for (int n = 0; n < kNextHopsMax - 1; ++n) calls.push_back(open(n));
  Advance(Micros::Millis(100));
  ASSERT_EQ(table_->hops(), size_t{kNextHopsMax});
  EXPECT_EQ(offload_->counters().no_room, 0u);
  EXPECT_EQ(offload_->waiting(), 0u);

  const Call refused = open(5000);
  Advance(Micros::Millis(100));
  EXPECT_EQ(offload_->counters().no_room, 1u);
  EXPECT_EQ(offload_->waiting(), 1u);

  // A place rests before it is another's, and who was refused asks again.
  Close(calls[0]);
  Advance(Micros::Millis(100));
  EXPECT_EQ(table_->RuleAt(CellOf(refused, Side::kFrom)), nullptr);
  Advance(kRest + kRest);
  ASSERT_NE(table_->RuleAt(CellOf(refused, Side::kFrom)), nullptr);
  EXPECT_EQ(offload_->waiting(), 0u);

  Close(calls[1]);
  Advance(kRest);
  Lay(refused, Side::kTo, Hop(3, 1000));  // whose old place is another's
  Advance(kRest + Micros::Millis(100));
  ExpectRule(5000, SpecOf(refused, Side::kFrom), Hop(3, 1000));
  EXPECT_EQ(table_->hops(), size_t{kNextHopsMax});
}

TEST_F(XdpOffloadHops, PlaceThatCouldNotBeWrittenIsNotTheOldHopsAnyMore) {
  const auto open = [&](int n, int hop) {
    Call call = Open(n);
    Lay(call, Side::kTo, Hop(3, hop));
    LatchBoth(call);
    return call;
  };
  std::vector<Call> calls;
  for (int n = 0; n < kNextHopsMax - 1; ++n) calls.push_back(open(n, 1000 + n));
  Advance(Micros::Millis(100));
  Close(calls[0]);
  Advance(kRest);
  table_->RefuseHops(absl::InternalError("half of it"));
  const Call refused = open(5000, 9000);
  Advance(Micros::Millis(100));
  EXPECT_EQ(offload_->counters().no_room, 1u);
  EXPECT_EQ(table_->RuleAt(CellOf(refused, Side::kFrom)), nullptr);
  Close(refused);

  table_->RefuseHops(absl::OkStatus());
  const Call again = open(5001, 1000);
  Advance(kRest + Micros::Millis(100));
  ExpectRule(CellOf(again, Side::kFrom), SpecOf(again, Side::kFrom),
             Hop(3, 1000));
}

TEST_F(XdpOffloadHops, OddClocksShareAPlaceAndTakeNobodysRoom) {
  for (int n = 0; n < 2 * kProfilesMax; ++n) {
    LatchBoth(Open(n, {.clock_hz = 20'001u + static_cast<uint32_t>(n)}));
  }
  Advance(Micros::Millis(100));
  EXPECT_EQ(offload_->joining(), 4u * kProfilesMax);
  EXPECT_EQ(offload_->counters().no_room, 0u);
  EXPECT_EQ(table_->ProfileAt(table_->RuleAt(0)->profile).clock_hz, 0u);
  const Call call = OpenInForce(2 * kProfilesMax, {.clock_hz = 48'000});
  const Rule* rule = table_->RuleAt(CellOf(call, Side::kFrom));
  EXPECT_EQ(table_->ProfileAt(rule->profile).clock_hz, 48'000u);
}

}  // namespace
}  // namespace sluice::relay::xdp
