// Allocate: ports for offers and answers, and every reason to refuse them.
// Activate: session_activate_test.cc; how things end: session_end_test.cc.

#include "control/session_manager.h"

#include <gtest/gtest.h>

#include <set>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tests/control/manager_world.h"

namespace sluice::control {
namespace {

using relay::FlowKind;

TEST(Allocate, OffersWithoutMediaAreBoundedByThePorts) {
  World w;  // two interfaces of 1,000 ports each
  for (int i = 0; i < 2000; ++i) {
    ASSERT_TRUE(w.Offer(Key(absl::StrCat("c", i)), {}).ok());
  }
  EXPECT_TRUE(absl::IsResourceExhausted(w.Offer(Key("more"), {}).status()));
}

TEST(Allocate, GivesEvenPortsAndTellsTheAdvertisedAddress) {
  World w;
  const auto answer =
      w.Offer(Key("c"), {Audio(kAlice, 4000), Fax(kAlice, 4010)});
  ASSERT_TRUE(answer.ok()) << answer.status();
  ASSERT_EQ(answer->size(), 2u);
  for (const Allocation& a : *answer) {
    EXPECT_EQ(a.ip, kOutsideTold);
    EXPECT_EQ(a.port % 2, 0);
    EXPECT_GE(a.port, 20000);
    EXPECT_LE(a.port, 20999);
  }
  EXPECT_EQ((*answer)[0].range, 2);
  EXPECT_EQ((*answer)[1].range, 1);
  std::set<Endpoint> bound;
  w.plane.ForEachSocket([&](uint32_t, FakeMediaPlane::Socket& socket) {
    bound.insert(socket.local);
    EXPECT_EQ(socket.tos, 184);
  });
  EXPECT_EQ(bound,
            (std::set<Endpoint>{
                At(kOutside, (*answer)[0].port),
                At(kOutside, static_cast<uint16_t>((*answer)[0].port + 1)),
                At(kOutside, (*answer)[1].port)}));
  EXPECT_EQ(w.plane.flows(), 0u);
  EXPECT_TRUE(w.manager.Validate());
}

TEST(Allocate, FindsAnInterfaceByItsAdvertisedAddressToo) {
  World w;
  const std::vector<Media> media = {Audio(kAlice, 4000)};
  ASSERT_TRUE(
      w.manager.Allocate(Key("c"), Side::kFrom, kOutsideTold, media).ok());
  w.plane.ForEachSocket([&](uint32_t, FakeMediaPlane::Socket& socket) {
    EXPECT_EQ(socket.local.ip, kOutside);
  });
}

TEST(Allocate, AnswersARepetitionTheSame) {
  World w;
  const auto first = w.Offer(Key("c"), {Audio(kAlice, 4000)});
  const auto again = w.Offer(Key("c"), {Audio(kAlice, 4000)});
  ASSERT_TRUE(first.ok() && again.ok());
  EXPECT_EQ((*first)[0].port, (*again)[0].port);
  EXPECT_EQ(w.plane.sockets_opened, 2u);
  EXPECT_TRUE(w.plane.moved.empty());
}

TEST(Allocate, KeepsSocketsButTellsPortZeroForAMediumOnHold) {
  for (const Media& held :
       {Audio(kAlice, 0), Audio(IpAddress::V4(0, 0, 0, 0), 4000),
        Audio(IpAddress(), 4000)}) {
    World w;
    const auto answer = w.Offer(Key("c"), {held, Audio(kAlice, 4002)});
    ASSERT_TRUE(answer.ok()) << answer.status();
    EXPECT_EQ((*answer)[0].port, 0);
    EXPECT_EQ((*answer)[0].range, 2);
    EXPECT_NE((*answer)[1].port, 0);
    EXPECT_EQ(w.plane.sockets(), 4u);
    ASSERT_TRUE(w.Reply(Key("c"), {Audio(kBob, 6000), Audio(kBob, 6002)}).ok());
    ASSERT_TRUE(w.manager.Activate(Key("c")).ok());
    const auto flows = Flows(w);
    ASSERT_EQ(flows.size(), 4u);
    EXPECT_TRUE(TargetOf(flows[0], Side::kFrom).target.is_none());
    EXPECT_EQ(TargetOf(flows[0], Side::kTo).target, At(kBob, 6000));
    EXPECT_EQ(TargetOf(flows[2], Side::kFrom).target, At(kAlice, 4002));
  }
}

TEST(Allocate, TakesAnEmptyListForASuccess) {
  World w;
  const auto answer = w.Offer(Key("c"), {});
  ASSERT_TRUE(answer.ok());
  EXPECT_TRUE(answer->empty());
  ASSERT_TRUE(w.Reply(Key("c"), {}).ok());
  EXPECT_TRUE(w.manager.Activate(Key("c")).ok());
  EXPECT_EQ(w.sessions(), 1u);
  EXPECT_TRUE(w.manager.Validate());
}

TEST(Allocate, AnswerMayComeBeforeTheOffer) {  // INVITE without SDP
  World w;
  ASSERT_TRUE(w.Reply(Key("c"), {Audio(kBob, 6000)}).ok());
  EXPECT_TRUE(
      absl::IsFailedPrecondition(w.manager.Activate(Key("c")).status()));
  ASSERT_TRUE(w.Offer(Key("c"), {Audio(kAlice, 4000)}).ok());
  EXPECT_EQ(*w.manager.Activate(Key("c")), Activation::kNew);
}

TEST(Allocate, RefusesAnOlderCSeqOfTheSamePartyOnly) {
  World w;
  ASSERT_TRUE(w.Offer(Key("c", 5), {Audio(kAlice, 4000)}).ok());
  EXPECT_TRUE(absl::IsFailedPrecondition(
      w.Offer(Key("c", 4), {Audio(kAlice, 4000)}).status()));
  EXPECT_TRUE(w.Offer(Key("c", 1, "bob", "alice"), {Audio(kBob, 6000)}).ok());
  EXPECT_TRUE(w.Offer(Key("c", 6), {Audio(kAlice, 4000)}).ok());
  // The older one is known, so it is a repetition.
  EXPECT_TRUE(w.Offer(Key("c", 5), {Audio(kAlice, 4000)}).ok());
}

TEST(Allocate, ChangedOfferMovesTheMediaOfEveryFork) {
  World w;
  ASSERT_TRUE(
      w.Offer(Key("c"), {Audio(kAlice, 4000), Audio(kAlice, 4002)}).ok());
  for (const char* to : {"bob", "carol"}) {
    const SessionKey key = Key("c", 1, "alice", to);
    ASSERT_TRUE(w.Reply(key, {Audio(kBob, 6000), Audio(kBob, 6002)}).ok());
    ASSERT_TRUE(w.manager.Activate(key).ok());
  }
  const IpAddress moved = IpAddress::V4(192, 168, 3, 4);
  const auto answer =
      w.Offer(Key("c"), {Audio(kAlice, 4000), Audio(moved, 5000)});
  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_NE((*answer)[1].port, 0);
  ASSERT_EQ(w.plane.moved.size(), 4u);  // the second medium of both forks
  for (size_t i = 0; i < 4; ++i) {
    const auto& m = w.plane.moved[i];
    EXPECT_EQ(m.side, Side::kFrom);
    EXPECT_EQ(m.target.target, At(moved, static_cast<uint16_t>(5000 + i % 2)));
    EXPECT_TRUE(m.target.learn_any);  // private, and we are not
  }
  EXPECT_EQ(w.counter("allocate_changed"), 1u);
  // The moved one is what is known now.
  ASSERT_TRUE(
      w.Offer(Key("c"), {Audio(kAlice, 4000), Audio(moved, 5000)}).ok());
  EXPECT_EQ(w.plane.moved.size(), 4u);
}

TEST(Allocate, ChangedAnswerMovesOnlyItsOwnFork) {  // a 183, then a 200
  World w;
  ASSERT_TRUE(w.Offer(Key("c"), {Audio(kAlice, 4000)}).ok());
  for (const char* to : {"bob", "carol"}) {
    const SessionKey key = Key("c", 1, "alice", to);
    ASSERT_TRUE(w.Reply(key, {Audio(kBob, 6000)}).ok());
    ASSERT_TRUE(w.manager.Activate(key).ok());
  }
  ASSERT_TRUE(
      w.Reply(Key("c", 1, "alice", "carol"), {Audio(kCarol, 7000)}).ok());
  ASSERT_EQ(w.plane.moved.size(), 2u);
  const auto flows = Flows(w);
  ASSERT_EQ(flows.size(), 4u);
  EXPECT_EQ(w.plane.moved[0].side, Side::kTo);
  EXPECT_EQ(TargetOf(flows[0], Side::kTo).target, At(kBob, 6000));
  EXPECT_EQ(TargetOf(flows[2], Side::kTo).target, At(kCarol, 7000));
  EXPECT_EQ(TargetOf(flows[3], Side::kTo).target, At(kCarol, 7001));
}

TEST(Allocate, ChangeBeforeActivateCountsToo) {
  World w;
  ASSERT_TRUE(w.Offer(Key("c"), {Audio(kAlice, 4000)}).ok());
  ASSERT_TRUE(w.Reply(Key("c"), {Audio(kBob, 6000)}).ok());
  ASSERT_TRUE(w.Reply(Key("c"), {Audio(kCarol, 7000)}).ok());
  ASSERT_TRUE(w.manager.Activate(Key("c")).ok());
  EXPECT_EQ(TargetOf(Flows(w)[0], Side::kTo).target, At(kCarol, 7000));
}

TEST(Allocate, ChangeToHoldAndBackInOneTransaction) {
  World w;
  w.Establish(Key("c"));
  const auto held = w.Reply(Key("c"), {Audio(kBob, 0)});
  ASSERT_TRUE(held.ok());
  EXPECT_EQ((*held)[0].port, 0);
  EXPECT_TRUE(TargetOf(Flows(w)[0], Side::kTo).target.is_none());
  EXPECT_FALSE(TargetOf(Flows(w)[0], Side::kTo).learn_any);
  const auto back = w.Reply(Key("c"), {Audio(kBob, 6000)});
  ASSERT_TRUE(back.ok());
  EXPECT_NE((*back)[0].port, 0);
  EXPECT_EQ(TargetOf(Flows(w)[0], Side::kTo).target, At(kBob, 6000));
}

TEST(Allocate, RefusesOtherMediaLinesInTheSameTransaction) {
  World w;
  w.Establish(Key("c"));
  const std::vector<Media> others[] = {
      {},
      {Audio(kBob, 6000), Audio(kBob, 6002)},
      {Fax(kBob, 6000)},
      {{.ip = kBob, .port = 6000, .range = 4}},
      {{.ip = kBob, .port = 6000, .range = 2, .first = FlowKind::kRaw}}};
  for (const std::vector<Media>& other : others) {
    EXPECT_TRUE(absl::IsFailedPrecondition(w.Reply(Key("c"), other).status()));
  }
  EXPECT_TRUE(w.plane.moved.empty());
  EXPECT_EQ(w.plane.sockets(), 4u);
}

TEST(Allocate, RefusesAForbiddenMoveAndChangesNothing) {
  World w;
  w.Establish(Key("c"));
  EXPECT_TRUE(absl::IsPermissionDenied(
      w.Reply(Key("c"), {Audio(IpAddress::V4(127, 0, 0, 1), 6000)}).status()));
  EXPECT_TRUE(w.plane.moved.empty());
  EXPECT_EQ(TargetOf(Flows(w)[0], Side::kTo).target, At(kBob, 6000));
}

struct Refusal {
  const char* name;
  absl::StatusCode code;
  SessionKey key = Key("c");
  std::vector<Media> media = {Audio(kAlice, 4000)};
  IpAddress local = kOutside;
};
const Refusal kRefusals[] = {
    {.name = "no CSeq",
     .code = absl::StatusCode::kInvalidArgument,
     .key = Bye("c")},
    {.name = "long Call-ID",
     .code = absl::StatusCode::kInvalidArgument,
     .key = Key(std::string(kIdOctets + 1, 'x'))},
    {.name = "long from",
     .code = absl::StatusCode::kInvalidArgument,
     .key = Key("c", 1, std::string(kIdOctets + 1, 'x'))},
    {.name = "long to",
     .code = absl::StatusCode::kInvalidArgument,
     .key = Key("c", 1, "a", std::string(kIdOctets + 1, 'x'))},
    {.name = "range 0",
     .code = absl::StatusCode::kInvalidArgument,
     .media = {{.ip = kAlice, .port = 4000, .range = 0}}},
    {.name = "range below 0",
     .code = absl::StatusCode::kInvalidArgument,
     .media = {{.ip = kAlice, .port = 4000, .range = -1}}},
    {.name = "range 17",
     .code = absl::StatusCode::kInvalidArgument,
     .media = {{.ip = kAlice, .port = 4000, .range = 17}}},
    {.name = "range of a thousand million",
     .code = absl::StatusCode::kInvalidArgument,
     .media = {{.ip = kAlice, .port = 4000, .range = 1'000'000'000}}},
    {.name = "past 65535",
     .code = absl::StatusCode::kInvalidArgument,
     .media = {Audio(kAlice, 65535)}},
    {.name = "RTCP alone",
     .code = absl::StatusCode::kInvalidArgument,
     .media = {{.ip = kAlice, .port = 4000, .first = FlowKind::kRtcp}}},
    {.name = "33 ports",
     .code = absl::StatusCode::kResourceExhausted,
     .media = {{.ip = kAlice, .port = 4000, .range = 16},
               {.ip = kAlice, .port = 4016, .range = 16},
               Fax(kAlice, 4100)}},
    {.name = "foreign interface",
     .code = absl::StatusCode::kNotFound,
     .local = kBob},
    {.name = "no interface",
     .code = absl::StatusCode::kNotFound,
     .local = IpAddress()},
    {.name = "loopback",
     .code = absl::StatusCode::kPermissionDenied,
     .media = {Audio(kAlice, 4000), Audio(IpAddress::V4(127, 0, 0, 1), 9000)}},
};

TEST(Allocate, LeavesNothingOfARefusedCall) {
  for (const Refusal& row : kRefusals) {
    SCOPED_TRACE(row.name);
    World w;
    const auto answer =
        w.manager.Allocate(row.key, Side::kFrom, row.local, row.media);
    EXPECT_EQ(answer.status().code(), row.code) << answer.status();
    EXPECT_EQ(w.plane.sockets_opened, 0u);
    EXPECT_TRUE(w.NothingLeft());
  }
}

TEST(Allocate, LeavesTheCallAsItWasWhenItRefuses) {
  for (const Refusal& row : kRefusals) {
    SCOPED_TRACE(row.name);
    World w;
    w.Establish(Key("c", 1, "x", "y"));
    SessionKey key = row.key;
    if (key.cseq) key.cseq = 9;
    EXPECT_FALSE(
        w.manager.Allocate(key, Side::kFrom, row.local, row.media).ok());
    EXPECT_EQ(w.sessions(), 1u);
    EXPECT_EQ(w.plane.sockets(), 4u);
    EXPECT_TRUE(w.manager.Validate());
  }
}

TEST(Allocate, TakesThePortsAtTheLimits) {
  World w;
  EXPECT_TRUE(w.Offer(Key("c"), {{.ip = kAlice, .port = 65520, .range = 16},
                                 {.ip = kAlice, .port = 1024, .range = 16}})
                  .ok());
  EXPECT_EQ(w.plane.sockets(), 32u);
}

TEST(Allocate, TriesAnotherRunWhenAPortIsInUse) {
  auto options = World::Defaults();
  options.port_last = Port::FromHost(20019);  // ten pairs
  World w(options);
  for (uint16_t pair = 0; pair < 9; ++pair) {
    // Sometimes the even, sometimes the odd one.
    w.plane.Occupy(
        At(kOutside, static_cast<uint16_t>(20000 + 2 * pair + pair % 2)));
  }
  const auto answer = w.Offer(Key("c"), {Audio(kAlice, 4000)});
  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_EQ((*answer)[0].port, 20018);
  w.Pump();
  EXPECT_EQ(w.plane.sockets(), 2u);
  EXPECT_GT(w.counter("port_conflicts"), 0u);
  ASSERT_TRUE(w.manager.CloseCall("c").ok());
  EXPECT_TRUE(w.NothingLeft());
}

TEST(Allocate, GivesUpWhenEveryRunIsInUse) {
  World w;
  for (uint16_t port = 20000; port <= 20999; ++port) {
    w.plane.Occupy(At(kOutside, port));
  }
  const auto answer = w.Offer(Key("c"), {Audio(kAlice, 4000)});
  EXPECT_TRUE(absl::IsResourceExhausted(answer.status())) << answer.status();
  EXPECT_EQ(w.counter("port_conflicts"), 100u);
  EXPECT_TRUE(w.NothingLeft());
}

TEST(Allocate, UndoesEverythingWhicheverSocketFails) {
  for (int n = 1; n <= 6; ++n) {
    World w;
    w.plane.FailEveryNthSocket(n, absl::ResourceExhaustedError("EMFILE"));
    const auto answer = w.Offer(
        Key("c"),
        {Audio(kAlice, 4000), Audio(kAlice, 4002), Audio(kAlice, 4004)});
    EXPECT_EQ(answer.status(), absl::ResourceExhaustedError("EMFILE"));
    EXPECT_EQ(w.plane.sockets_opened, static_cast<uint64_t>(n - 1));
    EXPECT_TRUE(w.NothingLeft());
    w.plane.FailEveryNthSocket(0, {});
    EXPECT_TRUE(w.Offer(Key("c"), {Audio(kAlice, 4000)}).ok());
  }
}

TEST(Allocate, RefusesWhenPortsAreGoneAndTakesThemAgainAfterTheQuarantine) {
  auto options = World::Defaults();
  options.port_last = Port::FromHost(20003);
  World w(options);
  w.plane.HoldCloses();
  ASSERT_TRUE(w.Offer(Key("a"), {Audio(kAlice, 4000)}).ok());
  ASSERT_TRUE(w.Offer(Key("b"), {Audio(kAlice, 4000)}).ok());
  EXPECT_TRUE(absl::IsResourceExhausted(
      w.Offer(Key("c"), {Audio(kAlice, 4000)}).status()));
  ASSERT_TRUE(w.manager.CloseCall("a").ok());
  // Not before the shard has closed the sockets, however long that takes.
  w.Pass(Micros::Seconds(60));
  EXPECT_FALSE(w.Offer(Key("c"), {Audio(kAlice, 4000)}).ok());
  w.plane.DeliverCloses();
  w.Pass(Micros::Millis(1999));
  EXPECT_FALSE(w.Offer(Key("c"), {Audio(kAlice, 4000)}).ok());
  w.Pass(Micros::Millis(2001));
  EXPECT_TRUE(w.Offer(Key("c"), {Audio(kAlice, 4000)}).ok());
}

TEST(Allocate, RefusesOurPortsInUseAsTargets) {
  World w;
  const auto answer = w.Offer(Key("a"), {Audio(kAlice, 4000)});
  ASSERT_TRUE(answer.ok());
  const uint16_t port = (*answer)[0].port;
  for (const IpAddress& ip : {kOutside, kOutsideTold}) {
    // Also when only the last port of the range is one.
    for (const uint16_t first : {port, static_cast<uint16_t>(port - 1)}) {
      EXPECT_TRUE(absl::IsPermissionDenied(
          w.Offer(Key("b"), {Audio(ip, first)}).status()));
    }
  }
  EXPECT_EQ(w.calls(), 1u);
}

TEST(Allocate, NeverGivesOutAPortThatIsATargetOfALiveCall) {
  auto options = World::Defaults();
  options.port_last = Port::FromHost(20003);
  World w(options);
  // Nobody has 20001 yet, so naming it is no loop, and must not become one.
  ASSERT_TRUE(w.manager
                  .Allocate(Key("a"), Side::kFrom, kInside,
                            std::vector<Media>{Fax(kOutsideTold, 20001)})
                  .ok());
  const auto b = w.Offer(Key("b"), {Audio(kAlice, 4000)});
  ASSERT_TRUE(b.ok()) << b.status();
  EXPECT_EQ((*b)[0].port, 20002);
  EXPECT_TRUE(absl::IsResourceExhausted(
      w.Offer(Key("c"), {Audio(kAlice, 4000)}).status()));
  ASSERT_TRUE(w.manager.CloseCall("a").ok());
  w.Pass(Micros::Seconds(3));
  EXPECT_TRUE(w.Offer(Key("c"), {Audio(kAlice, 4000)}).ok());
}

TEST(Allocate, NeverGivesACallThePortsItNames) {
  auto options = World::Defaults();
  options.port_last = Port::FromHost(20003);
  for (uint64_t seed = 1; seed <= 8; ++seed) {
    options.port_seed = seed;
    World w(options);
    const auto answer = w.Offer(Key("c"), {Audio(kOutside, 20000)});
    ASSERT_TRUE(answer.ok()) << answer.status();
    EXPECT_EQ((*answer)[0].port, 20002);
    // A refused one holds nothing back.
    EXPECT_FALSE(w.Offer(Key("d"), {Audio(kOutside, 20000)}).ok());
    ASSERT_TRUE(w.manager.CloseCall("c").ok());
    w.Pass(Micros::Seconds(3));
    EXPECT_TRUE(w.Offer(Key("e"), {Audio(kAlice, 4000)}).ok());
    EXPECT_TRUE(w.Offer(Key("f"), {Audio(kAlice, 4000)}).ok());
  }
}

TEST(Allocate, CallsHaveALimit) {
  auto options = World::Defaults();
  options.max_sessions = 2;
  World w(options);
  w.Ring(Key("a"));
  w.Ring(Key("b"));
  EXPECT_TRUE(absl::IsResourceExhausted(
      w.Offer(Key("c"), {Audio(kAlice, 4000)}).status()));
  // What is up goes on.
  EXPECT_TRUE(w.Offer(Key("a", 2), {Audio(kAlice, 4000)}).ok());
  ASSERT_TRUE(w.manager.CloseCall("b").ok());
  EXPECT_TRUE(w.Offer(Key("c"), {Audio(kAlice, 4000)}).ok());
}

TEST(Allocate, OffersAndForksOfOneCallHaveALimit) {
  World w;
  for (uint32_t cseq = 1; cseq <= kTransactionsPerCall; ++cseq) {
    ASSERT_TRUE(w.Offer(Key("c", cseq), {}).ok());
  }
  EXPECT_TRUE(absl::IsResourceExhausted(w.Offer(Key("c", 1000), {}).status()));
  for (size_t fork = 0; fork < kForksPerTransaction; ++fork) {
    ASSERT_TRUE(w.Reply(Key("c", 1, "alice", std::to_string(fork)), {}).ok());
  }
  EXPECT_TRUE(absl::IsResourceExhausted(
      w.Reply(Key("c", 1, "alice", "one more"), {}).status()));
  EXPECT_TRUE(w.Reply(Key("c", 2, "alice", "0"), {}).ok());
  EXPECT_TRUE(w.manager.Validate());
}

// A re-INVITE a second and a hunt group: each within its limits, together most
// of the ports.
TEST(Allocate, PortsOfOneCallHaveALimit) {
  auto options = World::Defaults();
  options.max_flows_per_call = 5;  // ten ports
  World w(options);
  ASSERT_TRUE(w.Offer(Key("c"), {Audio(kAlice, 4000)}).ok());
  for (const char* to : {"bob", "carol"}) {
    const SessionKey key = Key("c", 1, "alice", to);
    ASSERT_TRUE(w.Reply(key, {Audio(kBob, 6000)}).ok());
    ASSERT_TRUE(w.manager.Activate(key).ok());
  }
  ASSERT_TRUE(
      w.Offer(Key("c", 1, "bob", "alice"), {WideAudio(kBob, 6000)}).ok());
  // Whoever asks for the ninth to eleventh has none of them.
  const std::vector<Media> three = {Audio(kBob, 6100), Fax(kBob, 6102)};
  for (const SessionKey& key : {Key("c", 1, "alice", "dave"), Key("c", 2)}) {
    EXPECT_TRUE(absl::IsResourceExhausted(w.Reply(key, three).status()));
  }
  EXPECT_EQ(w.plane.sockets(), 8u);
  EXPECT_EQ(w.counter("allocate_call_ports_full"), 2u);
  // What fits is taken, what is known is answered, and other calls are theirs.
  EXPECT_TRUE(w.Offer(Key("c", 2), {WideAudio(kAlice, 4000)}).ok());
  EXPECT_FALSE(w.Offer(Key("c", 3), {Fax(kAlice, 4000)}).ok());
  EXPECT_TRUE(w.Offer(Key("c", 3), {}).ok());
  EXPECT_TRUE(w.Offer(Key("c"), {Audio(kAlice, 4444)}).ok());
  EXPECT_TRUE(w.Offer(Key("other"), {Audio(kAlice, 4000)}).ok());
  // Ports that are given back are counted no more.
  (void)w.manager.Close(Key("c", 2));
  EXPECT_TRUE(w.Reply(Key("c", 3), {Audio(kBob, 6000)}).ok());
  EXPECT_TRUE(w.manager.Validate());
  // Nor has a call more to begin with.
  EXPECT_TRUE(absl::IsResourceExhausted(
      w.Offer(Key("d"), std::vector<Media>(6, Audio(kAlice, 4000))).status()));
  EXPECT_EQ(w.calls(), 2u);
}

// One session at its own limit always fits.
TEST(Allocate, TheLimitOfACallIsCountedInFlowsOfTwoPorts) {
  auto options = World::Defaults();
  options.max_flows_per_session = 4;
  options.max_flows_per_call = 4;
  World w(options);
  ASSERT_TRUE(
      w.Offer(Key("c"), {Audio(kAlice, 4000), Audio(kAlice, 4002)}).ok());
  ASSERT_TRUE(w.Reply(Key("c"), {Audio(kBob, 6000), Audio(kBob, 6002)}).ok());
  EXPECT_TRUE(w.manager.Activate(Key("c")).ok());
}

TEST(Allocate, IdsAreOpaqueOctets) {
  World w;
  const std::string nul("a\0b", 3), other("a\0c", 3);
  w.Ring(Key(nul, 1, nul, nul));
  w.Ring(Key(other, 1, nul, nul));
  EXPECT_EQ(w.calls(), 2u);
  EXPECT_EQ(*w.manager.Close(Bye(nul, nul, nul)), 1);
  EXPECT_EQ(w.calls(), 1u);
}

TEST(Allocate, AllOfACallIsOnOneShard) {
  World w(World::Defaults(), 3);
  for (const char* call : {"a", "b", "c", "d", "e", "f"}) w.Ring(Key(call));
  for (uint32_t shard = 0; shard < 3; ++shard) {
    EXPECT_EQ(w.plane.sockets_on(shard), 8u);
  }
  ASSERT_TRUE(w.Offer(Key("b", 2), {WideAudio(kAlice, 4000)}).ok());
  ASSERT_TRUE(w.Reply(Key("b", 2), {WideAudio(kBob, 6000)}).ok());
  ASSERT_TRUE(w.manager.Activate(Key("b", 2)).ok());
  EXPECT_EQ(w.plane.sockets_on(w.manager.FindCall("b")->shard), 12u);
}

}  // namespace
}  // namespace sluice::control
