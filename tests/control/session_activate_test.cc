// Activate joins an offer and an answer; and what an operator may change while
// calls are up.

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "control/session_manager.h"
#include "tests/control/manager_world.h"

namespace sluice::control {
namespace {

using relay::FlowKind;

TEST(Activate, JoinsWhatWasToldToEachPartyCrosswise) {
  World w;
  const auto offer = w.Offer(Key("c"), {Audio(kAlice, 4000)});
  const auto reply = w.Reply(Key("c"), {Audio(kBob, 6000)});
  EXPECT_EQ(*w.manager.Activate(Key("c")), Activation::kNew);
  const auto flows = Flows(w);
  ASSERT_EQ(flows.size(), 2u);
  for (uint16_t i = 0; i < 2; ++i) {
    // Alice was told the port that faces her, and her media comes there.
    EXPECT_EQ(flows[i].local[Index(Side::kFrom)],
              At(kInside, static_cast<uint16_t>((*reply)[0].port + i)));
    EXPECT_EQ(flows[i].local[Index(Side::kTo)],
              At(kOutside, static_cast<uint16_t>((*offer)[0].port + i)));
    EXPECT_EQ(TargetOf(flows[i], Side::kFrom).target,
              At(kAlice, static_cast<uint16_t>(4000 + i)));
    EXPECT_EQ(TargetOf(flows[i], Side::kTo).target,
              At(kBob, static_cast<uint16_t>(6000 + i)));
    EXPECT_FALSE(TargetOf(flows[i], Side::kFrom).learn_any);
    EXPECT_FALSE(TargetOf(flows[i], Side::kTo).learn_any);
  }
  EXPECT_EQ(*w.manager.Activate(Key("c")), Activation::kAgain);
  EXPECT_EQ(w.plane.flows_opened, 2u);
}

TEST(Activate, ChoosesTheKindOfFlowByItsPlace) {
  World w;
  const auto media = [](const IpAddress& ip) {
    return std::vector<Media>{
        {.ip = ip, .port = 4000, .range = 4, .clock_hz = 48000},
        {.ip = ip, .port = 4010, .range = 2, .first = FlowKind::kRaw},
        {.ip = ip, .port = 4020, .range = 1}};
  };
  ASSERT_TRUE(w.Offer(Key("c"), media(kAlice)).ok());
  ASSERT_TRUE(w.Reply(Key("c"), media(kBob)).ok());
  ASSERT_TRUE(w.manager.Activate(Key("c")).ok());
  const auto flows = Flows(w);
  ASSERT_EQ(flows.size(), 7u);
  const FlowKind want[] = {FlowKind::kRtp,  FlowKind::kRtcp, FlowKind::kRtp,
                           FlowKind::kRtcp, FlowKind::kRaw,  FlowKind::kRaw,
                           FlowKind::kRtp};
  for (size_t i = 0; i < flows.size(); ++i) {
    EXPECT_EQ(flows[i].flow.spec.kind, want[i]) << i;
    EXPECT_EQ(flows[i].flow.spec.rtp_flow,
              want[i] == FlowKind::kRtcp ? flows[i - 1].flow.slot : Slot{});
  }
  EXPECT_EQ(flows[0].flow.spec.clock_hz, 48000u);
  EXPECT_EQ(flows[6].flow.spec.clock_hz, 8000u);
}

TEST(Activate, LearnsAnySourceOnlyForAPrivateAddressOfAnotherNetwork) {
  auto options = World::Defaults();
  options.interfaces = {
      {.name = "private", .address = IpAddress::V4(10, 1, 1, 1)},
      {.name = "outside", .address = kOutside}};
  World w(options);
  const IpAddress phone = IpAddress::V4(10, 9, 9, 9);
  const std::vector<Media> offer = {Audio(phone, 4000)};
  const std::vector<Media> answer = {Audio(phone, 6000)};
  ASSERT_TRUE(w.manager.Allocate(Key("c"), Side::kFrom, kOutside, offer).ok());
  ASSERT_TRUE(
      w.manager
          .Allocate(Key("c"), Side::kTo, IpAddress::V4(10, 1, 1, 1), answer)
          .ok());
  ASSERT_TRUE(w.manager.Activate(Key("c")).ok());
  // The caller is reached from 10.1.1.1, the callee from outside.
  EXPECT_FALSE(TargetOf(Flows(w)[0], Side::kFrom).learn_any);
  EXPECT_TRUE(TargetOf(Flows(w)[0], Side::kTo).learn_any);
}

TEST(Activate, LearnsNobodyOfTheNetworkOfTheAdvertisedAddress) {
  auto options = World::Defaults();
  options.interfaces = {{.name = "inside",
                         .address = IpAddress::V4(10, 1, 1, 1),
                         .advertise = IpAddress::V4(192, 168, 1, 1)},
                        {.name = "outside", .address = kOutside}};
  const struct {
    IpAddress phone;
    bool learn;
  } rows[] = {{IpAddress::V4(192, 168, 9, 9), false},
              {IpAddress::V4(10, 9, 9, 9), false},
              {IpAddress::V4(172, 16, 9, 9), true}};
  for (const auto& row : rows) {
    SCOPED_TRACE(row.phone.ToString());
    World w(options);
    ASSERT_TRUE(w.Offer(Key("c"), {Audio(row.phone, 4000)}).ok());
    ASSERT_TRUE(w.manager
                    .Allocate(Key("c"), Side::kTo, IpAddress::V4(10, 1, 1, 1),
                              std::vector<Media>{Audio(kBob, 6000)})
                    .ok());
    ASSERT_TRUE(w.manager.Activate(Key("c")).ok());
    EXPECT_EQ(TargetOf(Flows(w)[0], Side::kFrom).learn_any, row.learn);
  }
}

// A learnt source would slip past the lists.
TEST(Activate, LearnsNobodyWhereTheOperatorHasListedTargets) {
  for (const bool listed : {false, true}) {
    auto options = World::Defaults();
    if (listed) {
      options.deny_targets =
          *ParsePrefixes(std::vector<std::string>{"203.0.113.99"});
    }
    World w(options);
    const IpAddress home = IpAddress::V4(192, 168, 9, 9);
    ASSERT_TRUE(w.Offer(Key("c"), {Audio(home, 4000)}).ok());
    ASSERT_TRUE(w.Reply(Key("c"), {Audio(kBob, 6000)}).ok());
    ASSERT_TRUE(w.manager.Activate(Key("c")).ok());
    EXPECT_EQ(TargetOf(Flows(w)[0], Side::kFrom).learn_any, !listed);
  }
}

TEST(Activate, APartyOnHoldIsHeardFromTheAddressItNamed) {
  World w;
  ASSERT_TRUE(w.Offer(Key("c"), {Audio(kAlice, 0)}).ok());
  ASSERT_TRUE(w.Reply(Key("c"), {Audio(IpAddress::V4(0, 0, 0, 0), 6000)}).ok());
  ASSERT_TRUE(w.manager.Activate(Key("c")).ok());
  const auto flows = Flows(w);
  EXPECT_EQ(TargetOf(flows[0], Side::kFrom).signalled, kAlice);
  EXPECT_EQ(TargetOf(flows[0], Side::kTo).signalled, IpAddress());
  EXPECT_TRUE(TargetOf(flows[0], Side::kTo).target.is_none());
}

TEST(Activate, JudgesEachPartyByTheInterfaceThatFacesIt) {
  auto options = World::Defaults();
  options.interfaces[0].latch = relay::LatchPolicy::kFirstPacket;
  options.interfaces[1].latch = relay::LatchPolicy::kStrict;
  World w(options);
  w.Ring(Key("c"));
  const auto flows = Flows(w);
  const auto& policy = flows[0].flow.spec.policy;
  EXPECT_EQ(policy[Index(Side::kFrom)], relay::LatchPolicy::kFirstPacket);
  EXPECT_EQ(policy[Index(Side::kTo)], relay::LatchPolicy::kStrict);
}

TEST(Activate, RefusesUnlessBothHalvesAreThere) {
  World w;
  EXPECT_TRUE(absl::IsNotFound(w.manager.Activate(Key("c")).status()));
  ASSERT_TRUE(w.Offer(Key("c"), {Audio(kAlice, 4000)}).ok());
  EXPECT_TRUE(
      absl::IsFailedPrecondition(w.manager.Activate(Key("c")).status()));
  ASSERT_TRUE(w.Reply(Key("c"), {Audio(kBob, 6000)}).ok());
  EXPECT_TRUE(absl::IsNotFound(w.manager.Activate(Key("c", 2)).status()));
  EXPECT_TRUE(absl::IsFailedPrecondition(
      w.manager.Activate(Key("c", 1, "alice", "carol")).status()));
  EXPECT_TRUE(absl::IsInvalidArgument(w.manager.Activate(Bye("c")).status()));
  EXPECT_TRUE(w.manager.Activate(Key("c")).ok());
}

TEST(Activate, RefusesOfferAndAnswerThatDoNotMatchPerMedium) {
  const std::vector<Media> offer = {Audio(kAlice, 4000), Fax(kAlice, 4010)};
  const std::vector<Media> answers[] = {
      {},
      {Audio(kBob, 6000)},
      {Fax(kBob, 6000), Audio(kBob, 6002)},  // as many sockets, other media
      {{.ip = kBob, .port = 6000, .range = 3}},
      {Audio(kBob, 6000), {.ip = kBob, .port = 6010, .range = 1}},  // not raw
      {Audio(kBob, 6000), Fax(kBob, 6002), Fax(kBob, 6004)}};
  for (const std::vector<Media>& answer : answers) {
    World w;
    ASSERT_TRUE(w.Offer(Key("c"), offer).ok());
    ASSERT_TRUE(w.Reply(Key("c"), answer).ok());
    EXPECT_TRUE(
        absl::IsFailedPrecondition(w.manager.Activate(Key("c")).status()));
    EXPECT_EQ(w.plane.flows_opened, 0u);
    EXPECT_TRUE(w.manager.Validate());
  }
}

TEST(Activate, TakesARefusedMediumOfAnyProtocol) {  // port 0 in the answer
  World w;
  ASSERT_TRUE(w.Offer(Key("c"), {Fax(kAlice, 4000)}).ok());
  ASSERT_TRUE(w.Reply(Key("c"), {{.ip = kBob, .port = 0, .range = 1}}).ok());
  ASSERT_TRUE(w.manager.Activate(Key("c")).ok());
  EXPECT_EQ(Flows(w)[0].flow.spec.kind, FlowKind::kRaw);
}

TEST(Activate, OpensAllFlowsOrNone) {
  for (int n = 1; n <= 4; ++n) {
    World w;
    ASSERT_TRUE(
        w.Offer(Key("c"), {Audio(kAlice, 4000), Audio(kAlice, 4002)}).ok());
    ASSERT_TRUE(w.Reply(Key("c"), {Audio(kBob, 6000), Audio(kBob, 6002)}).ok());
    w.plane.FailEveryNthFlow(n, absl::ResourceExhaustedError("table full"));
    EXPECT_TRUE(
        absl::IsResourceExhausted(w.manager.Activate(Key("c")).status()));
    EXPECT_EQ(w.plane.flows(), 0u);
    EXPECT_EQ(w.sessions(), 0u);
    EXPECT_TRUE(w.manager.Validate());
    w.plane.FailEveryNthFlow(0, {});
    EXPECT_EQ(*w.manager.Activate(Key("c")), Activation::kNew);
  }
}

TEST(Activate, AFailedReinviteLeavesTheOldSession) {
  World w;
  w.Establish(Key("c"));
  ASSERT_TRUE(w.Offer(Key("c", 2), {WideAudio(kAlice, 4000)}).ok());
  ASSERT_TRUE(w.Reply(Key("c", 2), {WideAudio(kBob, 6000)}).ok());
  w.plane.FailEveryNthFlow(2, absl::ResourceExhaustedError("table full"));
  EXPECT_FALSE(w.manager.Activate(Key("c", 2)).ok());
  EXPECT_EQ(w.sessions(), 1u);
  EXPECT_EQ(w.plane.flows(), 2u);
}

TEST(Activate, SendsToLoopbackFromLoopbackOnly) {
  const IpAddress loop = IpAddress::V4(127, 0, 0, 1);
  auto options = World::Defaults();
  options.interfaces[0].address = loop;  // inside
  World w(options);
  const auto allocate = [&](const char* call, Side side, const IpAddress& on,
                            const IpAddress& phone, uint16_t port) {
    return w.manager.Allocate(Key(call), side, on,
                              std::vector<Media>{Audio(phone, port)});
  };
  // A caller on this host, reached from the loopback interface.
  ASSERT_TRUE(allocate("good", Side::kFrom, kOutside, loop, 4000).ok());
  ASSERT_TRUE(allocate("good", Side::kTo, loop, kBob, 6000).ok());
  EXPECT_TRUE(w.manager.Activate(Key("good")).ok());
  // A callee that says so, reached from the outside one.
  ASSERT_TRUE(allocate("bad", Side::kFrom, kOutside, kAlice, 4000).ok());
  const uint64_t sockets = w.plane.sockets_opened;
  EXPECT_TRUE(absl::IsPermissionDenied(
      allocate("bad", Side::kTo, loop, loop, 6000).status()));
  EXPECT_EQ(w.plane.sockets_opened, sockets);
  // Nor by a move.
  EXPECT_TRUE(absl::IsPermissionDenied(
      allocate("good", Side::kTo, loop, loop, 6000).status()));
  EXPECT_TRUE(w.plane.moved.empty());
}

TEST(Activate, ForksShareTheSocketsOfTheOffer) {
  World w;
  ASSERT_TRUE(w.Offer(Key("c"), {Audio(kAlice, 4000)}).ok());
  for (const char* to : {"bob", "carol"}) {
    ASSERT_TRUE(w.Reply(Key("c", 1, "alice", to), {Audio(kBob, 6000)}).ok());
    ASSERT_TRUE(w.manager.Activate(Key("c", 1, "alice", to)).ok());
  }
  const auto flows = Flows(w);
  ASSERT_EQ(flows.size(), 4u);
  EXPECT_EQ(flows[0].local[Index(Side::kTo)], flows[2].local[Index(Side::kTo)]);
  EXPECT_NE(flows[0].local[Index(Side::kFrom)],
            flows[2].local[Index(Side::kFrom)]);
  EXPECT_EQ(w.sessions(), 2u);
  EXPECT_EQ(w.plane.sockets(), 6u);
}

TEST(Draining, RefusesNewCallsAndServesLiveOnes) {
  World w;
  w.Ring(Key("live"));
  ASSERT_TRUE(w.Offer(Key("ringing"), {Audio(kAlice, 4000)}).ok());
  w.manager.SetDraining(true);
  EXPECT_TRUE(w.manager.status().draining);
  EXPECT_TRUE(
      absl::IsUnavailable(w.Offer(Key("new"), {Audio(kAlice, 4000)}).status()));
  EXPECT_TRUE(w.Reply(Key("ringing"), {Audio(kBob, 6000)}).ok());
  EXPECT_TRUE(w.manager.Activate(Key("ringing")).ok());
  EXPECT_TRUE(w.Offer(Key("live", 2), {Audio(kAlice, 4000)}).ok());
  EXPECT_FALSE(w.manager.empty());
  EXPECT_TRUE(w.manager.Close(Bye("live")).ok());
  EXPECT_TRUE(w.manager.Close(Bye("ringing")).ok());
  EXPECT_TRUE(w.NothingLeft());
  w.manager.SetDraining(false);
  EXPECT_TRUE(w.Offer(Key("new"), {Audio(kAlice, 4000)}).ok());
}

// What an operator forbids while a call is up is not asked of what it has.
TEST(Reconfigure, AMoveIsJudgedByTheLinesThatMove) {
  World w;
  ASSERT_TRUE(
      w.Offer(Key("c"), {Audio(kAlice, 4000), Audio(kAlice, 4002)}).ok());
  auto options = World::Defaults();
  options.deny_targets =
      *ParsePrefixes(std::vector<std::string>{"198.51.100.77"});
  w.manager.Reconfigure(options);
  EXPECT_TRUE(w.Offer(Key("c"), {Audio(kAlice, 4000), Audio(kBob, 5000)}).ok());
  EXPECT_TRUE(absl::IsPermissionDenied(
      w.Offer(Key("c"), {Audio(kAlice, 4004), Audio(kBob, 5000)}).status()));
}

TEST(Reconfigure, AppliesLimitsTimersAndLatchToWhatComes) {
  World w;
  w.Establish(Key("a"));
  auto options = World::Defaults();
  options.max_sessions = 1;
  options.active = Micros::Seconds(100);
  options.deny_targets =
      *ParsePrefixes(std::vector<std::string>{"203.0.113.99"});
  options.interfaces[0].latch = relay::LatchPolicy::kStrict;
  options.interfaces[1].address = kCarol;  // not by a reload
  w.manager.Reconfigure(options);
  EXPECT_FALSE(w.Offer(Key("b"), {Audio(kAlice, 4000)}).ok());
  EXPECT_TRUE(absl::IsPermissionDenied(
      w.Reply(Key("a"), {Audio(kCarol, 6000)}).status()));
  w.PassSlowly(Micros::Seconds(99));
  EXPECT_EQ(w.sessions(), 1u);
  ASSERT_TRUE(w.Offer(Key("a", 2), {WideAudio(kAlice, 4000)}).ok());
  ASSERT_TRUE(w.Reply(Key("a", 2), {WideAudio(kBob, 6000)}).ok());
  ASSERT_TRUE(w.manager.Activate(Key("a", 2)).ok());
  EXPECT_EQ(Flows(w)[0].flow.spec.policy[Index(Side::kFrom)],
            relay::LatchPolicy::kStrict);
}

}  // namespace
}  // namespace sluice::control
