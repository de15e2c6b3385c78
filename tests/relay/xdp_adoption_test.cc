// Goal: after a daemon that was killed the next one leaves in force the rules
// that it would write itself, with their books, and no others.
// Method: an offload on the table that another has left, as it was when its
// process died.

#include <optional>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "relay/xdp/offload.h"
#include "tests/relay/xdp_offload_scene.h"

namespace sluice::relay::xdp {
namespace {

using ::testing::Contains;
using ::testing::IsEmpty;
using ::testing::Not;

class XdpAdoption : public OffloadScene {
 protected:
  // Its process is killed: what was in the table is there.
  void Kill(const Call& call) {
    std::optional<FakeRuleTable> left(*table_);
    Close(call);
    Advance(FakeRuleTable::kRest);
    offload_.reset();
    left->Orphan();
    table_.emplace(*left);
    StartOn(Offload::Hook::kXdp);
    offload_->Inherit();
    log_.clear();
  }
};

TEST_F(XdpAdoption, AFlowThatIsVouchedForGoesOnWithItsBooks) {
  Call call = OpenInForce(0);
  Converse(call, 10);
  const uint64_t past = table_->ReadStats(CellOf(call, Side::kFrom)).packets;
  Kill(call);
  EXPECT_TRUE(Speak(call, Side::kFrom)) << "nobody is there, and it goes on";
  Call again = Open(0);
  again.sequence[0] = call.sequence[0];
  again.sequence[1] = call.sequence[1];
  LatchBoth(again);
  Advance(Offload::kLook);
  EXPECT_TRUE(InForce(again));
  EXPECT_EQ(offload_->counters().adopted, 2u);
  EXPECT_EQ(offload_->counters().joined, 0u);
  EXPECT_THAT(log_, Contains("pause 0 from"));
  EXPECT_THAT(log_, Contains("pause 0 to"));
  EXPECT_THAT(log_, Not(Contains("retire 0")));
  EXPECT_TRUE(Speak(again, Side::kFrom));
  EXPECT_EQ(offload_->Report(0, again.flow).side[0].packets_in, past + 2);
  EXPECT_EQ(offload_->EndInheritance(), 0u);
  EXPECT_TRUE(InForce(again));
  // It ends as any other.
  Close(again);
  EXPECT_EQ(table_->rules(), 0u);
}

TEST_F(XdpAdoption, AWatchedFlowIsAdoptedWhoeverWatchedBefore) {
  for (const bool before : {false, true}) {
    for (const bool after : {false, true}) {
      SCOPED_TRACE(testing::Message() << before << " " << after);
      Start(Offload::Hook::kXdp);
      Call call = Open(0);
      offload_->Watch(0, call.flow, before);
      LatchBoth(call);
      Converse(call, 4);
      ASSERT_TRUE(InForce(call));
      const Rule* const rule = table_->RuleAt(CellOf(call, Side::kFrom));
      ASSERT_EQ((rule->flags & kRuleMirror) != 0, before);
      Kill(call);
      const Call again = Open(0);
      offload_->Watch(0, again.flow, after);
      LatchBoth(again);
      Advance(Offload::kLook);
      EXPECT_TRUE(InForce(again));
      EXPECT_EQ(offload_->counters().adopted, 2u);
      EXPECT_THAT(log_, Not(Contains("retire 0")));
      Close(again);
    }
  }
}

TEST_F(XdpAdoption, WhoIsNotVouchedForInTimeEnds) {
  const Call call = OpenInForce(0);
  Kill(call);
  Advance(Micros::Seconds(5));
  EXPECT_EQ(table_->rules(), 2u);
  EXPECT_EQ(offload_->EndInheritance(), 2u);
  EXPECT_EQ(table_->rules(), 0u);
  // The cells rest before they are anybody's: the fake would not have it.
  Call next = Open(0);
  LatchBoth(next);
  ConversePastRest(next);
  EXPECT_TRUE(InForce(next));
  EXPECT_EQ(offload_->counters().adopted, 0u);
}

TEST_F(XdpAdoption, ARuleOfOtherPartiesIsRetiredAndWrittenAnew) {
  Call call = OpenInForce(0);
  Kill(call);
  Call again = Open(0);
  again.party[1] = At(IpAddress::V4(11, 0, 0, 99), 6000);
  Lay(again, Side::kTo, Gateway(kOutside));
  LatchBoth(again);
  Advance(Offload::kLook);
  EXPECT_FALSE(InForce(again, Side::kFrom));
  EXPECT_FALSE(InForce(again, Side::kTo));
  EXPECT_EQ(table_->rules(), 0u);
  ConversePastRest(again);
  EXPECT_TRUE(InForce(again));
  EXPECT_EQ(offload_->counters().adopted, 0u);
  EXPECT_EQ(offload_->counters().joined, 2u);
}

TEST_F(XdpAdoption, AnotherNextHopMakesAnotherRule) {
  Call call = OpenInForce(0);
  Kill(call);
  Call again = Open(0);
  Lay(again, Side::kTo, Hop(Gateway(kOutside).ifindex, 77));
  LatchBoth(again);
  Advance(Offload::kLook);
  EXPECT_FALSE(InForce(again, Side::kFrom));
  EXPECT_TRUE(InForce(again, Side::kTo)) << "the way back is as it was";
  ConversePastRest(again);
  EXPECT_TRUE(InForce(again));
  EXPECT_EQ(offload_->counters().adopted, 1u);
}

TEST_F(XdpAdoption, OffMeansOff) {
  const Call call = OpenInForce(0);
  Kill(call);
  offload_->SetOn(false);
  EXPECT_EQ(table_->rules(), 0u);
}

TEST_F(XdpAdoption, LastPacketAndSourceStayWhenARuleJoinsAgain) {
  Call call = OpenInForce(0);
  Converse(call, 300);
  const Micros last = offload_->LastPacket(0, call.flow);
  Advance(Micros::Seconds(10));
  for (const Side to : kSides) {
    Lay(call, to, Hop(to == Side::kTo ? 3 : 2, 1, 1400));
  }
  Advance(Micros::Seconds(2));
  EXPECT_EQ(offload_->LastPacket(0, call.flow).us(), last.us());
  EXPECT_EQ(offload_->Report(0, call.flow).side[0].quality.ssrc, 7u);
}

TEST_F(XdpAdoption, AFlowThatWasOnlyJoiningJoinsAnew) {
  Call call = Open(0);
  LatchBoth(call);
  Converse(call, 1);
  ASSERT_EQ(offload_->joining(), 2u);
  Kill(call);
  Call again = Open(0);
  LatchBoth(again);
  ConversePastRest(again);
  EXPECT_TRUE(InForce(again));
  EXPECT_EQ(offload_->counters().adopted, 0u);
}

}  // namespace
}  // namespace sluice::relay::xdp
