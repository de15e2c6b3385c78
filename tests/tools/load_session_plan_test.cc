#include <gtest/gtest.h>

#include <set>
#include <string>

#include "tools/load/session_plan.h"

namespace sluice::load {
namespace {

std::string Local(const SessionPlan& session, Party party) {
  return session.party[party].local.ToString();
}
std::string Relay(const SessionPlan& session, Party party) {
  return session.party[party].relay.ToString();
}

TEST(SessionPlanTest, GivesEachPartyAnEvenPortOfItsOwn) {
  const auto plan = PlanSessions(3, {.bind_base = 30000});
  ASSERT_TRUE(plan.ok()) << plan.status();
  EXPECT_EQ(Local((*plan)[0], kCaller), "127.0.0.2:30000");
  EXPECT_EQ(Local((*plan)[0], kCallee), "127.0.0.3:30000");
  EXPECT_EQ(Local((*plan)[2], kCaller), "127.0.0.2:30004");
}

TEST(SessionPlanTest, OneAddressForBothPartiesNeverGivesAPortTwice) {
  const IpAddress ip = IpAddress::V4(127, 0, 0, 9);
  const auto plan =
      PlanSessions(500, {.from_ip = ip, .to_ip = ip, .bind_base = 20000});
  ASSERT_TRUE(plan.ok()) << plan.status();
  std::set<uint16_t> ports;
  for (const SessionPlan& session : *plan) {
    for (const PartyPlan& party : session.party) {
      EXPECT_TRUE(ports.insert(party.local.port.host()).second);
      EXPECT_TRUE(ports.insert(RtcpOf(party.local).port.host()).second);
    }
  }
}

TEST(SessionPlanTest, TenThousandSessionsFit) {
  EXPECT_TRUE(PlanSessions(10'000, {}).ok());
}

TEST(SessionPlanTest, SharedAddressesServeSoManySessionsEach) {
  const auto plan = PlanSessions(5, {.bind_base = 30000, .share = 2});
  ASSERT_TRUE(plan.ok()) << plan.status();
  EXPECT_EQ(Local((*plan)[0], kCaller), Local((*plan)[1], kCaller));
  EXPECT_NE(Local((*plan)[1], kCaller), Local((*plan)[2], kCaller));
  EXPECT_EQ(Local((*plan)[4], kCallee), "127.0.0.3:30004");
}

TEST(SessionPlanTest, RefusesMoreSessionsThanPorts) {
  EXPECT_TRUE(PlanSessions(10, {.bind_base = 65516}).ok());
  EXPECT_TRUE(
      absl::IsInvalidArgument(PlanSessions(11, {.bind_base = 65516}).status()));
  EXPECT_TRUE(
      absl::IsInvalidArgument(PlanSessions(1, {.bind_base = 20001}).status()));
}

TEST(SessionPlanTest, ReadsEndpointsAsLinesAndAsJson) {
  const char* const kForms[] = {
      "# set up by hand\n"
      "127.0.0.1:4000 127.0.0.1:4002\n"
      "\n"
      "127.0.0.1:4004\t127.0.0.1:4006 127.0.0.8:10 127.0.0.8:12  # own\n",
      R"({"sessions": [
            {"caller_relay": "127.0.0.1:4000",
             "callee_relay": "127.0.0.1:4002"},
            {"caller_relay": "127.0.0.1:4004", "callee_relay": "127.0.0.1:4006",
             "caller_local": "127.0.0.8:10", "callee_local": "127.0.0.8:12"}
         ]})"};
  for (const char* text : kForms) {
    const auto plan = ParseEndpoints(text, {.bind_base = 30000});
    ASSERT_TRUE(plan.ok()) << plan.status();
    ASSERT_EQ(plan->size(), 2u);
    EXPECT_EQ(Relay((*plan)[0], kCaller), "127.0.0.1:4000");
    EXPECT_EQ(Relay((*plan)[0], kCallee), "127.0.0.1:4002");
    EXPECT_EQ(Local((*plan)[0], kCaller), "127.0.0.2:30000");
    EXPECT_EQ(Relay((*plan)[1], kCallee), "127.0.0.1:4006");
    EXPECT_EQ(Local((*plan)[1], kCaller), "127.0.0.8:10");
    EXPECT_EQ(Local((*plan)[1], kCallee), "127.0.0.8:12");
  }
}

TEST(SessionPlanTest, RefusesEndpointsThatAreNone) {
  for (const char* text :
       {"", "# nothing\n", "127.0.0.1:4000\n", "a b\n",
        "127.0.0.1:4000 127.0.0.1:0\n", "127.0.0.1:1 127.0.0.1:2 127.0.0.1:3\n",
        "{", "{}", R"({"sessions": 3})", R"({"sessions": []})",
        R"({"sessions": [3]})", R"({"sessions": [{}]})",
        R"({"sessions": [{"caller_relay": 1, "callee_relay": 2}]})",
        R"({"sessions": [{"caller_relay": "127.0.0.1:4000"}]})"}) {
    EXPECT_TRUE(absl::IsInvalidArgument(ParseEndpoints(text, {}).status()))
        << text;
  }
}

TEST(SessionPlanTest, WithoutARelayEachPartySendsToTheOther) {
  auto plan = PlanSessions(1, {});
  ASSERT_TRUE(plan.ok());
  ConnectDirectly(*plan);
  EXPECT_EQ(Relay((*plan)[0], kCaller), Local((*plan)[0], kCallee));
  EXPECT_EQ(Relay((*plan)[0], kCallee), Local((*plan)[0], kCaller));
}

}  // namespace
}  // namespace sluice::load
