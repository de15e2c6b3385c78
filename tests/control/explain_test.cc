#include "control/explain.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <optional>
#include <string>

#include "relay/counters.h"

namespace sluice::control {
namespace {

using relay::DropReason;
using relay::FlowKind;

constexpr Micros kNow = Micros::Seconds(1000);

// The flow of a call that is heard well both ways.
FlowView GoodFlow() {
  FlowView flow;
  for (int i = 0; i < 2; ++i) {
    FlowView::SideView& side = flow.side[i];
    side.local = Endpoint{IpAddress::V4(127, 0, 0, 1),
                          Port::FromHost(static_cast<uint16_t>(12000 + 2 * i))};
    side.target =
        Endpoint{IpAddress::V4(192, 0, 2, static_cast<uint8_t>(1 + i)),
                 Port::FromHost(4000)};
    side.latched = side.target;
    side.report.packets_in = side.report.packets_out = 1000;
    side.report.last_packet = kNow - Micros::Millis(20);
  }
  return flow;
}

// Nothing of the from side came through; `n` packets went for `reason`.
FlowView Dropping(DropReason reason, uint32_t n) {
  FlowView flow = GoodFlow();
  flow.side[1].report.packets_out = 0;
  flow.side[0].report.drops[static_cast<size_t>(reason)] = n;
  return flow;
}

TEST(WhyNoAudio, IsSilentWhenAllIsWell) {
  EXPECT_EQ(WhyNoAudio(GoodFlow(), Side::kFrom, kNow), "");
  EXPECT_EQ(WhyNoAudio(GoodFlow(), Side::kTo, kNow), "");
}

TEST(WhyNoAudio, NamesThePortWhereNothingArrived) {
  FlowView flow = GoodFlow();
  flow.side[0].report.packets_in = 0;
  flow.side[0].latched = Endpoint();
  EXPECT_EQ(WhyNoAudio(flow, Side::kFrom, kNow),
            "nothing ever arrived from this party on 127.0.0.1:12000");
}

TEST(WhyNoAudio, PointsAtAPrivateAddressThatNeverSpoke) {
  FlowView flow = GoodFlow();
  flow.side[0].report.packets_in = 0;
  flow.side[0].target.ip = IpAddress::V4(10, 1, 2, 3);
  EXPECT_EQ(WhyNoAudio(flow, Side::kFrom, kNow),
            "nothing ever arrived from this party on 127.0.0.1:12000 (its SDP "
            "names the private address 10.1.2.3)");
}

TEST(WhyNoAudio, SaysThatAPartyIsOnHold) {
  FlowView flow = GoodFlow();
  flow.side[1].target = Endpoint();
  EXPECT_EQ(WhyNoAudio(flow, Side::kTo, kNow), "on hold: no target");
  EXPECT_EQ(WhyNoAudio(flow, Side::kFrom, kNow), "");
}

TEST(WhyNoAudio, SaysFromWhereItWouldBelieve) {
  FlowView flow = Dropping(DropReason::k_wrong_source, 812);
  EXPECT_EQ(WhyNoAudio(flow, Side::kFrom, kNow),
            "packets arrive from elsewhere: 812 dropped wrong_source, expected "
            "from 192.0.2.1:4000");
  flow.side[0].latched.port = Port::FromHost(4444);
  EXPECT_NE(WhyNoAudio(flow, Side::kFrom, kNow).find("192.0.2.1:4444"),
            std::string::npos);
  flow.side[0].latched = flow.side[0].target = Endpoint();
  EXPECT_EQ(WhyNoAudio(flow, Side::kFrom, kNow),
            "packets arrive from elsewhere: 812 dropped wrong_source");
}

// Every reason of counters.def gets a line that names it and how often.
TEST(WhyNoAudio, HasALineForEveryDropReason) {
  for (size_t i = 0; i < relay::kDropReasons; ++i) {
    const auto reason = static_cast<DropReason>(i);
    const std::string words =
        WhyNoAudio(Dropping(reason, 12), Side::kFrom, kNow);
    EXPECT_NE(words.find(std::string("12 dropped ") + Name(reason)),
              std::string::npos)
        << words;
  }
}

TEST(WhyNoAudio, TellsOfTheCommonestReason) {
  FlowView flow = Dropping(DropReason::k_not_rtp, 5);
  flow.side[0].report.drops[static_cast<size_t>(DropReason::k_no_target)] = 50;
  EXPECT_EQ(WhyNoAudio(flow, Side::kFrom, kNow),
            "its packets have nowhere to go, the other party is on hold: 50 "
            "dropped no_target");
}

TEST(WhyNoAudio, DoesNotMindSomeDropsWhileOthersPass) {
  FlowView flow = Dropping(DropReason::k_wrong_source, 5);
  flow.side[1].report.packets_out = 1;
  EXPECT_EQ(WhyNoAudio(flow, Side::kFrom, kNow), "");
}

TEST(WhyNoAudio, SaysHowLongAPartyHasBeenSilent) {
  FlowView flow = GoodFlow();
  flow.side[1].report.last_packet = kNow - Micros::Seconds(17);
  EXPECT_EQ(WhyNoAudio(flow, Side::kTo, kNow), "silent for 17 s");
  flow.side[1].report.last_packet =
      kNow - kSilenceWorthAWord + Micros::Millis(1);
  EXPECT_EQ(WhyNoAudio(flow, Side::kTo, kNow), "");
}

TEST(WhyNoAudio, DoesNotMissRtcpThatNobodyHasToSend) {
  FlowView flow = GoodFlow();
  flow.kind = FlowKind::kRtcp;
  flow.side[0].report.packets_in = 0;
  EXPECT_EQ(WhyNoAudio(flow, Side::kFrom, kNow), "");
}

}  // namespace
}  // namespace sluice::control
