#include "control/sip_trace.h"

#include <gtest/gtest.h>

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "base/text.h"
#include "sip/leg.h"

namespace sluice::control {
namespace {

using namespace std::string_literals;

class SipTraceTest : public ::testing::Test {
 protected:
  SipTraceTest() { leg_.name = "inside"; }

  void Add(SipTrace* trace, std::string_view call_id, std::string_view octets,
           bool in = true) {
    trace->Add({.in = in,
                .leg = leg_,
                .peer = peer_,
                .octets = octets,
                .call_id = call_id},
               now_);
    now_ = now_ + Micros(1);
  }
  static std::vector<std::string> Octets(const SipTrace& trace,
                                         std::string_view call_id) {
    std::vector<std::string> out;
    for (const SipTrace::Entry& one : trace.Find(call_id)) {
      out.push_back(one.octets);
    }
    return out;
  }

  sip::Leg leg_;
  sip::Peer peer_{.transport = sip::Transport::kTls,
                  .address = *Endpoint::Parse("192.0.2.1:5061")};
  Micros now_ = Micros::Seconds(7);
};

using Texts = std::vector<std::string>;

TEST_F(SipTraceTest, KeepsAMessageAsItPassed) {
  SipTrace trace(4);
  const std::string octets = "INVITE \0 \xff\r\n"s;
  Add(&trace, "x", octets);
  Add(&trace, "x", "BYE", /*in=*/false);
  const auto found = trace.Find("x");
  ASSERT_EQ(found.size(), 2u);
  EXPECT_EQ(found[0].at, Micros::Seconds(7));
  EXPECT_TRUE(found[0].in);
  EXPECT_FALSE(found[0].cut);
  EXPECT_EQ(found[0].leg, "inside");
  EXPECT_EQ(found[0].peer, "tls 192.0.2.1:5061");
  EXPECT_EQ(found[0].call_id, "x");
  EXPECT_EQ(found[0].octets, octets);
  EXPECT_EQ(found[1].at, Micros::Seconds(7) + Micros(1));
  EXPECT_FALSE(found[1].in);
}

TEST_F(SipTraceTest, FindsTheMessagesOfOneCallOldestFirst) {
  SipTrace trace(8);
  for (const char* octets : {"1", "2", "3"}) {
    Add(&trace, "x", octets);
    Add(&trace, "y", octets);
  }
  EXPECT_EQ(Octets(trace, "x"), Texts({"1", "2", "3"}));
  EXPECT_EQ(Octets(trace, "none"), Texts());
  EXPECT_EQ(Octets(trace, "X"), Texts()) << "Call-IDs are octets";
  EXPECT_EQ(Octets(trace, ""), Texts());
}

TEST_F(SipTraceTest, ForgetsTheOldestForTheNewest) {
  SipTrace trace(3);
  EXPECT_EQ(trace.size(), 3u);
  Add(&trace, "x", "1");
  Add(&trace, "y", "1");
  Add(&trace, "x", "2");
  EXPECT_EQ(Octets(trace, "x"), Texts({"1", "2"}));
  Add(&trace, "x", "3");
  EXPECT_EQ(Octets(trace, "x"), Texts({"2", "3"}));
  EXPECT_EQ(Octets(trace, "y"), Texts({"1"}));
  Add(&trace, "x", "4");
  EXPECT_EQ(Octets(trace, "x"), Texts({"2", "3", "4"}));
  EXPECT_EQ(Octets(trace, "y"), Texts());
  for (int i = 0; i < 100; ++i) Add(&trace, "z", Cat(i));
  EXPECT_EQ(Octets(trace, "z"), Texts({"97", "98", "99"}));
}

TEST_F(SipTraceTest, CutsWhatIsLong) {
  SipTrace trace(4);
  const std::string longest(SipTrace::kOctetsMax, 'a');
  Add(&trace, "x", longest);
  Add(&trace, "x", longest + "b");
  const auto found = trace.Find("x");
  ASSERT_EQ(found.size(), 2u);
  EXPECT_EQ(found[0].octets, longest);
  EXPECT_FALSE(found[0].cut);
  EXPECT_EQ(found[1].octets, longest);
  EXPECT_TRUE(found[1].cut);
  // A place in the ring that held a cut message holds a whole one now.
  for (int i = 0; i < 4; ++i) Add(&trace, "x", "BYE");
  for (const auto& one : trace.Find("x")) EXPECT_FALSE(one.cut);
}

TEST_F(SipTraceTest, FindsACallByAnIdLongerThanIsKept) {
  SipTrace trace(4);
  const std::string id(SipTrace::kOctetsMax + 10, 'i');
  Add(&trace, id, "BYE");
  EXPECT_EQ(Octets(trace, id), Texts({"BYE"}));
}

TEST_F(SipTraceTest, ShowsTheNewestOfACallThatHasMany) {
  SipTrace trace(SipTrace::kFoundMax + 20);
  for (size_t i = 0; i < SipTrace::kFoundMax + 10; ++i) {
    Add(&trace, "x", Cat(i));
  }
  const Texts found = Octets(trace, "x");
  ASSERT_EQ(found.size(), SipTrace::kFoundMax);
  EXPECT_EQ(found.front(), "10");
  EXPECT_EQ(found.back(), Cat(SipTrace::kFoundMax + 9));
}

TEST_F(SipTraceTest, KeepsNothingWhenToldSo) {
  SipTrace trace(0);
  Add(&trace, "x", "INVITE");
  EXPECT_EQ(Octets(trace, "x"), Texts());
}

}  // namespace
}  // namespace sluice::control
