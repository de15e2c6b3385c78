// How sessions end: Close, a newer session, silence, the operator; and when
// their ports come back.

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "control/session_manager.h"
#include "tests/control/manager_world.h"

namespace sluice::control {
namespace {

// ---- Close: the rules of the original, line by line
// --------------------------

TEST(Close, ByeEndsTheSessionWhoeverSendsItAndFreesThePortsAtOnce) {
  for (const bool by_callee : {false, true}) {
    World w;
    w.Establish(Key("c"));
    const SessionKey bye =
        by_callee ? Bye("c", "bob", "alice") : Bye("c", "alice", "bob");
    EXPECT_EQ(*w.manager.Close(bye), 1);
    EXPECT_TRUE(w.NothingLeft());
    EXPECT_TRUE(absl::IsNotFound(w.manager.Close(bye).status()));
  }
}

TEST(Close, CSeqZeroMeansAll) {
  World w;
  w.Establish(Key("c"));
  EXPECT_EQ(*w.manager.Close(Key("c", 0, "bob", "alice")), 1);
  EXPECT_TRUE(w.NothingLeft());
}

TEST(Close, CancelOfAHalfOpenCallFreesItsPortsThoughNothingWasFound) {
  World w;
  ASSERT_TRUE(w.Offer(Key("c"), {Audio(kAlice, 4000)}).ok());
  EXPECT_TRUE(absl::IsNotFound(w.manager.Close(Key("c")).status()));
  EXPECT_TRUE(w.NothingLeft());
}

SessionKey ByWay(uint64_t branch, std::string to = "") {
  SessionKey key = Key("c", 1, "alice", std::move(to));
  key.branch = branch;
  return key;
}

absl::StatusOr<std::vector<Allocation>> OfferByWay(World& w, uint64_t branch) {
  return w.manager.Allocate(ByWay(branch), Side::kFrom, kOutside,
                            {Audio(kAlice, 4000)});
}

// Whoever forked it has sent the same offer more than one way.
TEST(Close, ARefusalEndsItsWayAndTheLastOneTheOffer) {
  World w;
  const auto offer = [&](uint64_t branch) { return OfferByWay(w, branch); };
  const auto close = [&](const SessionKey& key) {
    w.manager.Close(key).IgnoreError();
    EXPECT_TRUE(w.manager.Validate());
    return w.manager.status().calls;
  };
  const auto ports = offer(1);
  ASSERT_TRUE(ports.ok() && offer(2).ok() && offer(2).ok());
  EXPECT_EQ(close(ByWay(1)), 1u);
  EXPECT_EQ(close(ByWay(1)), 1u);  // again
  EXPECT_EQ(close(ByWay(9)), 1u);  // nobody's
  EXPECT_EQ(offer(2)->front().port, ports->front().port);
  EXPECT_EQ(close(ByWay(2)), 0u);
  // One that nobody has told apart is the whole.
  ASSERT_TRUE(offer(1).ok() && offer(2).ok());
  EXPECT_EQ(close(ByWay(0)), 0u);
}

TEST(Close, TheAnswerOfOneWayOutlivesTheRefusalOfTheOther) {
  World w;
  for (const uint64_t branch : {1u, 2u}) {
    ASSERT_TRUE(OfferByWay(w, branch).ok());
  }
  w.manager.Close(ByWay(1, "carol")).IgnoreError();
  ASSERT_TRUE(
      w.manager
          .Allocate(ByWay(2, "bob"), Side::kTo, kInside, {Audio(kBob, 5000)})
          .ok());
  EXPECT_TRUE(w.manager.Activate(ByWay(2, "bob")).ok());
  EXPECT_EQ(w.manager.status().sessions, 1u);
}

// An announcement by one way, then its refusal; the answer comes by the other.
TEST(Close, AnOfferOutlivesARefusedEarlyAnswerWhileAnotherWayIsLeft) {
  World w;
  for (const uint64_t branch : {1u, 2u}) {
    ASSERT_TRUE(OfferByWay(w, branch).ok());
  }
  const auto answer = [&](uint64_t branch, std::string to) {
    SessionKey key = ByWay(branch, std::move(to));
    return w.manager.Allocate(key, Side::kTo, kInside, {Audio(kBob, 5000)})
               .ok() &&
           w.manager.Activate(key).ok();
  };
  ASSERT_TRUE(answer(2, "carol"));
  EXPECT_EQ(*w.manager.Close(ByWay(2, "carol")), 1);
  w.PassSlowly(Micros::Seconds(60));
  EXPECT_TRUE(answer(1, "bob"));
  EXPECT_EQ(w.manager.status().sessions, 1u);
  EXPECT_EQ(*w.manager.Close(Key("c", 0, "bob", "alice")), 1);
  EXPECT_EQ(w.manager.status().calls, 0u);
  EXPECT_TRUE(w.manager.Validate());
}

TEST(Close, WaysBeyondTheMostAreNotKnown) {
  World w;
  for (uint64_t way = 1; way <= kForksPerTransaction + 5; ++way) {
    ASSERT_TRUE(
        w.manager
            .Allocate(ByWay(way), Side::kFrom, kOutside, {Audio(kAlice, 4000)})
            .ok());
  }
  const auto image = w.manager.Image("c");
  ASSERT_TRUE(image.ok());
  EXPECT_EQ(image->offers[0].ways.size(), kForksPerTransaction);
  w.manager.Close(ByWay(kForksPerTransaction + 1)).IgnoreError();
  EXPECT_EQ(w.manager.status().calls, 1u);
}

TEST(Close, WithACSeqLeavesOtherTransactionsAlone) {
  World w;
  w.Establish(Key("c"));
  ASSERT_TRUE(w.Offer(Key("c", 2), {Audio(kAlice, 4000)}).ok());
  EXPECT_TRUE(absl::IsNotFound(w.manager.Close(Key("c", 3)).status()));
  EXPECT_TRUE(absl::IsNotFound(w.manager.Close(Key("c", 2)).status()));
  w.Pump();
  EXPECT_EQ(w.plane.sockets(), 4u);
  EXPECT_EQ(w.sessions(), 1u);
  EXPECT_EQ(*w.manager.Close(Key("c", 1)), 1);
  EXPECT_TRUE(w.NothingLeft());
}

TEST(Close, ByeTakesHalfOpenOffersOfBothPartiesWithIt) {
  World w;
  w.Establish(Key("c"));
  ASSERT_TRUE(w.Offer(Key("c", 2), {Audio(kAlice, 4000)}).ok());
  ASSERT_TRUE(w.Offer(Key("c", 1, "bob", "alice"), {Audio(kBob, 6000)}).ok());
  EXPECT_EQ(*w.manager.Close(Bye("c")), 1);
  EXPECT_TRUE(w.NothingLeft());
}

TEST(Close, ByeLeavesAnotherPartysOffer) {
  World w;
  w.Establish(Key("c"));
  ASSERT_TRUE(
      w.Offer(Key("c", 1, "carol", "alice"), {Audio(kCarol, 7000)}).ok());
  EXPECT_EQ(*w.manager.Close(Bye("c")), 1);
  w.Pump();
  EXPECT_EQ(w.plane.sockets(), 2u);
  EXPECT_TRUE(
      absl::IsNotFound(w.manager.Close(Bye("c", "alice", "carol")).status()));
  EXPECT_TRUE(w.NothingLeft());
}

class CloseOfAFork : public testing::TestWithParam<bool> {
 protected:
  CloseOfAFork() {
    CHECK(w.Offer(Key("c"), {Audio(kAlice, 4000)}).ok());
    for (const char* to : {"bob", "carol"}) {
      CHECK(w.Reply(Key("c", 1, "alice", to), {Audio(kBob, 6000)}).ok());
      CHECK(w.manager.Activate(Key("c", 1, "alice", to)).ok());
    }
  }
  World w;
};

TEST_P(CloseOfAFork, KeepsTheOtherAndFreesItsPortsByTimer) {
  const SessionKey key =
      GetParam() ? Bye("c", "alice", "bob") : Key("c", 1, "alice", "bob");
  EXPECT_EQ(*w.manager.Close(key), 1);
  w.Pump();
  EXPECT_EQ(w.sessions(), 1u);
  EXPECT_EQ(w.plane.flows(), 2u);
  EXPECT_EQ(w.plane.sockets(), 6u);
  w.Pass(Micros::Millis(1100));
  EXPECT_EQ(w.plane.sockets(), 4u);
  EXPECT_EQ(w.sessions(), 1u);
  EXPECT_EQ(*w.manager.Close(Bye("c", "carol", "alice")), 1);
  EXPECT_TRUE(w.NothingLeft());
}

TEST_P(CloseOfAFork, ALateAckDoesNotBringItBack) {
  ASSERT_TRUE(w.manager.Close(Key("c")).ok());
  EXPECT_TRUE(
      absl::IsFailedPrecondition(w.manager.Activate(Key("c")).status()));
  EXPECT_EQ(w.sessions(), 1u);
  EXPECT_TRUE(w.manager.Activate(Key("c", 1, "alice", "carol")).ok());
}
INSTANTIATE_TEST_SUITE_P(, CloseOfAFork, testing::Bool());

TEST(Close, AnUnknownCallIsNotFound) {
  World w;
  EXPECT_TRUE(absl::IsNotFound(w.manager.Close(Key("c")).status()));
  EXPECT_TRUE(absl::IsNotFound(w.manager.Close(Bye("c")).status()));
}

TEST(Close, SameIdOnBothSidesIsClosedOnce) {
  World w;
  w.Establish(Key("c", 1, "x", "x"));
  EXPECT_EQ(*w.manager.Close(Bye("c", "x", "x")), 1);
  EXPECT_TRUE(w.NothingLeft());
}

TEST(Close, ALateInviteAfterwardsAllocatesAgainAndALateActivateIsRefused) {
  World w;
  w.Establish(Key("c"));
  ASSERT_TRUE(w.manager.Close(Bye("c")).ok());
  EXPECT_TRUE(absl::IsNotFound(w.manager.Activate(Key("c")).status()));
  ASSERT_TRUE(w.Offer(Key("c"), {Audio(kAlice, 4000)}).ok());
  w.PassSlowly(Micros::Seconds(181));
  EXPECT_TRUE(w.NothingLeft());
}

TEST(Operator, ClosesACallAndAllCalls) {
  World w;
  w.Establish(Key("a"));
  w.Establish(Key("a", 2, "alice", "carol"));
  w.Establish(Key("b"));
  ASSERT_TRUE(w.Offer(Key("ringing"), {Audio(kAlice, 4000)}).ok());
  EXPECT_EQ(*w.manager.CloseCall("a"), 2);
  EXPECT_EQ(*w.manager.CloseCall("ringing"), 0);
  EXPECT_TRUE(absl::IsNotFound(w.manager.CloseCall("a").status()));
  EXPECT_EQ(w.calls(), 1u);
  w.manager.CloseAll();
  EXPECT_TRUE(w.NothingLeft());
}

// ---- Replaced by a newer session
// ---------------------------------------------

class Reinvite : public testing::TestWithParam<bool> {
 protected:
  // By the caller or by the callee.
  SessionKey Second() const {
    return GetParam() ? Key("c", 1, "bob", "alice") : Key("c", 2);
  }
};

TEST_P(Reinvite, ReplacesTheOlderSessionOfThePairAtActivate) {
  World w;
  w.Establish(Key("c"));
  ASSERT_TRUE(w.Offer(Second(), {WideAudio(kAlice, 4000)}).ok());
  ASSERT_TRUE(w.Reply(Second(), {WideAudio(kBob, 6000)}).ok());
  EXPECT_EQ(w.sessions(), 1u);
  EXPECT_EQ(*w.manager.Activate(Second()), Activation::kNew);
  EXPECT_EQ(w.sessions(), 1u);
  EXPECT_EQ(w.plane.flows(), 2u);
  EXPECT_EQ(w.counter("sessions_replaced"), 1u);
  // The old ports stay until it is acknowledged, and then for `closed`.
  w.Pass(Micros::Seconds(5));
  EXPECT_EQ(*w.manager.Activate(Second()), Activation::kAgain);
  w.Pass(Micros::Millis(900));
  EXPECT_EQ(w.plane.sockets(), 8u);
  w.Pass(Micros::Millis(200));
  EXPECT_EQ(w.plane.sockets(), 4u);
  EXPECT_EQ(*w.manager.Close(Bye("c")), 1);
  EXPECT_TRUE(w.NothingLeft());
}

TEST_P(Reinvite, ALateAckOfTheOldOneNeitherReplacesBackNorKeepsPorts) {
  World w;
  w.Establish(Key("c"));
  w.Ring(Second());
  EXPECT_EQ(*w.manager.Activate(Second()), Activation::kAgain);
  for (int i = 0; i < 9; ++i) {
    w.Pass(Micros::Millis(100));
    EXPECT_TRUE(
        absl::IsFailedPrecondition(w.manager.Activate(Key("c")).status()));
    EXPECT_TRUE(w.Reply(Key("c"), {Audio(kBob, 6000)}).ok());
  }
  EXPECT_EQ(w.sessions(), 1u);
  w.Pass(Micros::Millis(200));
  EXPECT_EQ(w.plane.sockets(), 4u);
}

TEST_P(Reinvite, LeavesOtherPairsOfTheCallAlone) {
  World w;
  w.Establish(Key("c"));
  w.Establish(Key("c", 1, "alice", "carol"));
  w.Establish(Key("c", 1, "dave", "bob"));
  w.Ring(Second());
  EXPECT_EQ(w.sessions(), 3u);
  EXPECT_EQ(*w.manager.Activate(Key("c", 1, "alice", "carol")),
            Activation::kAgain);
}
INSTANTIATE_TEST_SUITE_P(, Reinvite, testing::Bool());

// ---- Silence and time
// --------------------------------------------------------

TEST(Expiry, ASilentSessionEndsAfterActiveAndItsPortsAfterClosed) {
  World w;
  w.Establish(Key("c"));
  w.Talk();
  w.PassSlowly(Micros::Millis(29'900));
  EXPECT_EQ(w.sessions(), 1u);
  w.PassSlowly(Micros::Millis(200));
  EXPECT_EQ(w.sessions(), 0u);
  EXPECT_EQ(w.plane.flows(), 0u);
  EXPECT_EQ(w.plane.sockets(), 4u);
  w.PassSlowly(Micros::Millis(1100));
  EXPECT_TRUE(w.NothingLeft());
  EXPECT_EQ(w.counter("sessions_expired"), 1u);
}

TEST(Expiry, OnePacketOfOneFlowKeepsASessionAlive) {
  World w;
  w.Establish(Key("c"));
  for (int i = 0; i < 20; ++i) {
    w.PassSlowly(Micros::Seconds(20));
    FakeMediaPlane::Flow* last = nullptr;
    w.plane.ForEachFlow(
        [&](uint32_t, FakeMediaPlane::Flow& flow) { last = &flow; });
    ASSERT_NE(last, nullptr);
    last->last_packet = w.now;  // RTCP alone
  }
  EXPECT_EQ(w.sessions(), 1u);
  w.PassSlowly(Micros::Seconds(32));
  EXPECT_TRUE(w.NothingLeft());
}

TEST(Expiry, AStoppedMachineEndsNoCall) {  // F5
  World w;
  w.Establish(Key("talking"));
  ASSERT_TRUE(w.Offer(Key("ringing"), {Audio(kAlice, 4000)}).ok());
  w.Talk();
  w.stall_end = w.now + Micros::Seconds(3600);
  w.Pass(Micros::Seconds(3600));
  EXPECT_EQ(w.sessions(), 1u);
  EXPECT_EQ(w.calls(), 2u);
  // Whoever is silent from then on is not spared.
  w.PassSlowly(Micros::Seconds(32));
  EXPECT_EQ(w.sessions(), 0u);
  EXPECT_EQ(w.calls(), 1u);
  w.PassSlowly(Micros::Seconds(150));
  EXPECT_TRUE(w.NothingLeft());
}

// Each 18x with SDP activates, too: an activate is no proof of an answer.
TEST(Expiry, ACallThatRingsLongAndWasNeverHeardKeepsItsPorts) {
  World w;
  w.Ring(Key("c"));
  ASSERT_EQ(*w.manager.Activate(Key("c")), Activation::kAgain);
  w.PassSlowly(Micros::Seconds(60));
  EXPECT_EQ(w.sessions(), 0u);
  EXPECT_EQ(w.plane.sockets(), 4u);
  ASSERT_TRUE(w.Reply(Key("c"), {Audio(kBob, 6000)}).ok());
  EXPECT_EQ(*w.manager.Activate(Key("c")), Activation::kNew);
}

TEST(Expiry, SignallingIsASignOfLife) {
  World w;
  w.Establish(Key("c"));
  w.Talk();
  w.PassSlowly(Micros::Seconds(29));
  EXPECT_EQ(*w.manager.Activate(Key("c")), Activation::kAgain);
  w.PassSlowly(Micros::Seconds(29));
  EXPECT_EQ(w.sessions(), 1u);
}

TEST(Expiry, TimeNeverGoesBack) {
  World w;
  w.Establish(Key("c"));
  w.Talk();
  w.manager.Tick(Micros::Seconds(1), Micros{});
  w.PassSlowly(Micros::Millis(29'900));
  EXPECT_EQ(w.sessions(), 1u);
  w.PassSlowly(Micros::Seconds(2));
  EXPECT_TRUE(w.NothingLeft());
}

TEST(Expiry, AnOfferNobodyAnswersKeepsItsPortsForUnused) {
  World w;
  ASSERT_TRUE(w.Offer(Key("c"), {Audio(kAlice, 4000)}).ok());
  w.PassSlowly(Micros::Millis(179'900));
  EXPECT_EQ(w.plane.sockets(), 2u);
  w.PassSlowly(Micros::Millis(200));
  EXPECT_TRUE(w.NothingLeft());
  EXPECT_EQ(w.counter("groups_expired"), 1u);
}

// Whatever the proxy says of a ringing call keeps its ports.
TEST(Expiry, ARingingCallKeepsItsPortsWhileItsProxySpeaksOfIt) {
  using Word = void (*)(World&);
  const Word words[] = {
      [](World& w) {
        EXPECT_TRUE(w.Offer(Key("c"), {Audio(kAlice, 4000)}).ok());
      },
      [](World& w) {
        EXPECT_TRUE(w.Offer(Key("c"), {Audio(kAlice, 4444)}).ok());
      },
      [](World& w) {  // other media lines
        EXPECT_FALSE(w.Offer(Key("c"), {Fax(kAlice, 4000)}).ok());
      },
      [](World& w) {  // no answer yet
        EXPECT_FALSE(w.manager.Activate(Key("c")).ok());
      },
      [](World& w) {
        EXPECT_TRUE(w.Reply(Key("c"), {Audio(kBob, 6000)}).ok());
      },
      [](World& w) {
        ASSERT_TRUE(w.Reply(Key("c"), {Fax(kBob, 6000)}).ok());
        EXPECT_FALSE(w.manager.Activate(Key("c")).ok());
      }};
  for (const Word word : words) {
    World w;
    ASSERT_TRUE(w.Offer(Key("c"), {Audio(kAlice, 4000)}).ok());
    w.PassSlowly(Micros::Seconds(170));
    word(w);
    w.PassSlowly(Micros::Seconds(170));
    const absl::StatusOr<CallView> call = w.manager.FindCall("c");
    ASSERT_TRUE(call.ok());
    EXPECT_GE(call->sockets, 2);
    // The offer's ports outlive the answer's: without them it has no use.
    w.PassSlowly(Micros::Seconds(11));
    EXPECT_TRUE(w.NothingLeft());
  }
}

// A 183 with an announcement, then silence, then at last the 200.
TEST(Expiry, SilentEarlyMediaEndsButCanBeActivatedAgain) {
  for (const bool announcement : {false, true}) {
    World w;
    w.Ring(Key("c"));
    if (announcement) w.Talk();
    w.PassSlowly(Micros::Seconds(100));
    EXPECT_EQ(w.sessions(), 0u);
    EXPECT_EQ(w.plane.flows(), 0u);
    EXPECT_EQ(w.plane.sockets(), 4u);
    ASSERT_TRUE(w.Reply(Key("c"), {Audio(kBob, 6000)}).ok());
    EXPECT_EQ(*w.manager.Activate(Key("c")), Activation::kNew);
    EXPECT_EQ(*w.manager.Activate(Key("c")), Activation::kAgain);
    EXPECT_EQ(w.plane.flows(), 2u);
    w.Talk();
    w.PassSlowly(Micros::Seconds(32));
    EXPECT_TRUE(w.NothingLeft());
  }
}

TEST(Expiry, SilentEarlyMediaFreesItsPortsAfterUnused) {
  World w;
  w.Ring(Key("c"));
  w.PassSlowly(Micros::Millis(179'900));
  EXPECT_EQ(w.plane.sockets(), 4u);
  w.PassSlowly(Micros::Millis(200));
  EXPECT_TRUE(w.NothingLeft());
}

TEST(Expiry, AnAckJustAfterTheSilenceRevivesTheSession) {
  World w;
  w.Establish(Key("c"));
  w.PassSlowly(Micros::Millis(30'100));
  ASSERT_EQ(w.sessions(), 0u);
  EXPECT_EQ(*w.manager.Activate(Key("c")), Activation::kNew);
  w.PassSlowly(Micros::Seconds(10));
  EXPECT_EQ(w.sessions(), 1u);
}

TEST(Expiry, ASilentForkLeavesTheOfferToOneThatStillRings) {
  World w;
  w.Establish(Key("c"));
  w.Talk();
  ASSERT_TRUE(
      w.Reply(Key("c", 1, "alice", "carol"), {Audio(kCarol, 7000)}).ok());
  w.PassSlowly(Micros::Seconds(60));
  EXPECT_EQ(w.sessions(), 0u);
  EXPECT_EQ(w.plane.sockets(), 4u);  // the offer's and Carol's
  EXPECT_EQ(*w.manager.Activate(Key("c", 1, "alice", "carol")),
            Activation::kNew);
  w.PassSlowly(Micros::Seconds(200));
  EXPECT_TRUE(w.NothingLeft());
}

TEST(Expiry, PortsInUseByAnotherForkStay) {
  World w;
  w.Establish(Key("c"));
  w.Establish(Key("c", 1, "alice", "carol"));
  // Only Carol's flows hear something; they came last.
  for (int i = 0; i < 10; ++i) {
    int n = 0;
    const auto flows = w.plane.flows();
    w.plane.ForEachFlow([&](uint32_t, FakeMediaPlane::Flow& flow) {
      if (static_cast<size_t>(++n) > flows - 2) flow.last_packet = w.now;
    });
    w.PassSlowly(Micros::Seconds(20));
  }
  EXPECT_EQ(w.sessions(), 1u);
  EXPECT_EQ(w.plane.sockets(), 4u);
  EXPECT_EQ(*w.manager.Activate(Key("c", 1, "alice", "carol")),
            Activation::kAgain);
}

TEST(Expiry, ATickCostsWhatIsDue) {
  World w;
  for (int i = 0; i < 200; ++i) w.Establish(Key(std::to_string(i)));
  w.plane.last_packet_calls = 0;
  w.PassSlowly(Micros::Seconds(29));
  EXPECT_EQ(w.plane.last_packet_calls, 0u);
  w.Talk();
  w.PassSlowly(Micros::Seconds(2));
  EXPECT_EQ(w.plane.last_packet_calls, 400u);  // each flow once
  EXPECT_EQ(w.sessions(), 200u);
  w.PassSlowly(Micros::Seconds(26));
  EXPECT_EQ(w.plane.last_packet_calls, 400u);
}

TEST(Expiry, OneTickReviewsABoundedNumberOfCallsAndTheNextGoesOn) {
  auto options = World::Defaults();
  options.port_last = Port::FromHost(59999);
  World w(options);
  for (int i = 0; i < 5000; ++i) {
    ASSERT_TRUE(w.Offer(Key(std::to_string(i)), {Audio(kAlice, 4000)}).ok());
  }
  w.Pass(Micros::Seconds(200));
  EXPECT_EQ(w.calls(), 5000u - 4096u);
  w.Pass(Micros::Millis(100));
  EXPECT_TRUE(w.NothingLeft());
}

// ---- What a shard tells
// ------------------------------------------------------

TEST(Events, OnlyTheSocketsOwnGenerationFreesAPort) {
  World w;
  w.plane.HoldCloses();
  w.Establish(Key("c"));
  const uint64_t taken = w.manager.status().ports_taken;
  Slot first;
  w.plane.ForEachSocket(
      [&](uint32_t, FakeMediaPlane::Socket& socket) { first = socket.slot; });
  for (const Slot wrong : {Slot{first.index, first.generation + 1},
                           Slot{first.index, 0}, Slot{12345, 1}}) {
    w.manager.OnEvent(
        0, {.kind = relay::Event::Kind::kSocketClosed, .slot = wrong});
    w.manager.OnEvent(
        9, {.kind = relay::Event::Kind::kSocketClosed, .slot = first});
    w.manager.OnEvent(0, {.kind = relay::Event::Kind::kLatched, .slot = wrong});
  }
  w.manager.OnEvent(0, {.kind = relay::Event::Kind::kStopped});
  EXPECT_EQ(w.manager.status().ports_taken, taken);
  EXPECT_TRUE(w.manager.Validate());
}

TEST(Events, ASocketTheShardLostIsGivenBackOnce) {
  World w;
  w.Establish(Key("c"));
  Slot lost;
  w.plane.ForEachSocket(
      [&](uint32_t, FakeMediaPlane::Socket& socket) { lost = socket.slot; });
  w.plane.Lose(0, lost);
  w.Pump();
  EXPECT_EQ(w.counter("sockets_lost"), 1u);
  EXPECT_EQ(w.manager.status().sockets, 3u);
  EXPECT_EQ(*w.manager.Close(Bye("c")), 1);
  EXPECT_TRUE(w.NothingLeft());
}

TEST(Events, NoFlowIsOpenedOnASocketTheShardLost) {
  for (const bool of_offer : {false, true}) {
    World w;
    ASSERT_TRUE(w.Offer(Key("c"), {Audio(kAlice, 4000)}).ok());
    ASSERT_TRUE(w.Reply(Key("c"), {Audio(kBob, 6000)}).ok());
    Slot lost;
    w.plane.ForEachSocket([&](uint32_t, FakeMediaPlane::Socket& socket) {
      if ((socket.local.ip == kOutside) == of_offer) lost = socket.slot;
    });
    w.plane.Lose(0, lost);
    w.Pump();
    EXPECT_TRUE(absl::IsUnavailable(w.manager.Activate(Key("c")).status()));
    EXPECT_EQ(w.plane.flows(), 0u);
    EXPECT_TRUE(w.manager.Validate());
    EXPECT_FALSE(w.manager.Close(Bye("c")).ok());
    EXPECT_TRUE(w.NothingLeft());
  }
}

}  // namespace
}  // namespace sluice::control
