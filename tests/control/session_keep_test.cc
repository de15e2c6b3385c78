// Goal: a later offer with the media lines of the session that is up is given
// its ports, whoever makes it, and the media goes on through it; a later offer
// that comes to nothing changes nothing (RFC 3264 8).
// Method: the manager over a fake plane; what the plane was asked is looked at.

#include <gtest/gtest.h>

#include <vector>

#include "control/session_manager.h"
#include "tests/control/manager_world.h"

namespace sluice::control {
namespace {

// The call "c" is up. Its second offer is made by the caller or by the callee.
class Keep : public testing::TestWithParam<bool> {
 protected:
  Keep() {
    // What Alice said went out by the outside interface, what Bob said by the
    // inside one.
    to_bob = *w.Offer(Key("c"), {Audio(kAlice, 4000)});
    to_alice = *w.Reply(Key("c"), {Audio(kBob, 6000)});
    CHECK(w.manager.Activate(Key("c")).ok());
    CHECK(w.manager.Activate(Key("c")).ok());
    w.Pass(Micros::Seconds(1));
  }
  bool callee() const { return GetParam(); }
  const SessionKey& Second() const { return second; }
  Side SideOf(bool alice) const {
    return alice != callee() ? Side::kFrom : Side::kTo;
  }
  World::Answer Alice(const Media& media) {
    return w.manager.Allocate(Second(), SideOf(true), kOutside,
                              std::vector<Media>{media});
  }
  World::Answer Bob(const Media& media) {
    return w.manager.Allocate(Second(), SideOf(false), kInside,
                              std::vector<Media>{media});
  }
  // In the order of offer and answer; both get the ports they had.
  void Both(const Media& alice, const Media& bob) {
    for (const bool of_alice : {!callee(), callee()}) {
      const auto got = of_alice ? Alice(alice) : Bob(bob);
      ASSERT_TRUE(got.ok()) << got.status();
      const Allocation& now = (*got)[0];
      const Allocation& was = (of_alice ? to_bob : to_alice)[0];
      EXPECT_EQ(now.ip, was.ip);
      EXPECT_EQ(now.port, (of_alice ? alice : bob).port == 0 ? 0 : was.port);
      EXPECT_EQ(now.made, was.made);
    }
  }
  Endpoint TargetOf(const Pair& flow, const IpAddress& party) const {
    for (const auto& target : flow.flow.spec.target) {
      if (target.target.ip == party) return target.target;
    }
    return {};
  }

  World w;
  SessionKey second = callee() ? Key("c", 1, "bob", "alice") : Key("c", 2);
  std::vector<Allocation> to_alice, to_bob;
};

TEST_P(Keep, TheSameDescriptionsLeaveEverythingAsItIs) {
  const auto before = Flows(w);
  const uint64_t sockets = w.plane.sockets_opened;
  Both(Audio(kAlice, 4000), Audio(kBob, 6000));
  EXPECT_EQ(*w.manager.Activate(Second()), Activation::kNew);
  EXPECT_EQ(w.plane.sockets_opened, sockets);
  const auto after = Flows(w);
  ASSERT_EQ(after.size(), before.size());
  for (size_t i = 0; i < after.size(); ++i) {
    EXPECT_EQ(after[i].flow.slot, before[i].flow.slot);
  }
  EXPECT_TRUE(w.plane.moved.empty());
  EXPECT_EQ(w.counter("allocate_kept"), 2u);
  EXPECT_EQ(w.counter("activate_kept"), 1u);
  EXPECT_EQ(w.counter("sessions_replaced"), 0u);
  EXPECT_EQ(w.manager.FindCall("c")->sockets, 4);
  // The first offer's books go, its ports do not.
  w.Pass(Micros::Seconds(3));
  w.Talk();
  EXPECT_TRUE(w.manager.Validate());
  EXPECT_EQ(w.plane.sockets(), 4u);
  EXPECT_EQ(w.sessions(), 1u);
  EXPECT_EQ(*w.manager.Close(Bye("c")), 1);
  EXPECT_TRUE(w.NothingLeft());
}

TEST_P(Keep, MediaMovesWhenItIsAnsweredAndNotBefore) {
  Both(Audio(kAlice, 4400), Audio(kBob, 6000));
  EXPECT_EQ(TargetOf(Flows(w)[0], kAlice).port, Port::FromHost(4000));
  EXPECT_EQ(*w.manager.Activate(Second()), Activation::kNew);
  const auto flows = Flows(w);
  ASSERT_EQ(flows.size(), 2u);
  EXPECT_EQ(TargetOf(flows[0], kAlice).port, Port::FromHost(4400));
  EXPECT_EQ(TargetOf(flows[1], kAlice).port, Port::FromHost(4401));
  EXPECT_EQ(TargetOf(flows[0], kBob).port, Port::FromHost(6000));
  // The one that did not move keeps its latch.
  EXPECT_EQ(w.plane.moved.size(), 2u);
}

TEST_P(Keep, ARefusedOfferChangesNothing) {
  ASSERT_TRUE(
      (callee() ? Bob(Audio(kBob, 6600)) : Alice(Audio(kAlice, 4400))).ok());
  EXPECT_TRUE(absl::IsNotFound(w.manager.Close(Second()).status()));
  EXPECT_EQ(w.plane.flows(), 2u);
  EXPECT_TRUE(w.plane.moved.empty());
  EXPECT_EQ(w.plane.sockets(), 4u);
  EXPECT_EQ(w.sessions(), 1u);
  EXPECT_EQ(*w.manager.Close(Bye("c")), 1);
  EXPECT_TRUE(w.NothingLeft());
}

// An answer in an 18x, and then the offer fails.
TEST_P(Keep, AnOfferRefusedAfterAnEarlyAnswerChangesNothingEither) {
  const auto before = Flows(w);
  Both(Audio(kAlice, 4400), Audio(kBob, 6600));
  ASSERT_TRUE(w.manager.Activate(Second()).ok());
  EXPECT_EQ(TargetOf(Flows(w)[0], kAlice).port, Port::FromHost(4400));
  w.Pass(Micros::Seconds(5));  // a while later
  w.Talk();
  EXPECT_EQ(*w.manager.Close(Second()), 1);
  EXPECT_EQ(w.counter("sessions_restored"), 1u);
  const auto after = Flows(w);
  ASSERT_EQ(after.size(), before.size());
  for (size_t i = 0; i < after.size(); ++i) {
    EXPECT_EQ(after[i].flow.slot, before[i].flow.slot);
    EXPECT_EQ(TargetOf(after[i], kAlice), TargetOf(before[i], kAlice));
    EXPECT_EQ(TargetOf(after[i], kBob), TargetOf(before[i], kBob));
  }
  EXPECT_TRUE(w.manager.Validate());
  // It goes on as any other: it is acknowledged, replaced and ended.
  EXPECT_EQ(*w.manager.Activate(Key("c")), Activation::kAgain);
  second.cseq = *second.cseq + 1;
  Both(Audio(kAlice, 4000), Audio(kBob, 6000));
  EXPECT_EQ(*w.manager.Activate(Second()), Activation::kNew);
  EXPECT_EQ(*w.manager.Close(Bye("c")), 1);
  EXPECT_TRUE(w.NothingLeft());
}

// A second 18x, a repeated INVITE: none of them is an ACK, where it is said.
TEST_P(Keep, AnEarlyAnswerMayBeRepeatedBeforeTheRefusal) {
  second.stage = sip::AnswerStage::kEarly;
  for (int i = 0; i < 3; ++i) {
    Both(Audio(kAlice, 4400), Audio(kBob, 6600));
    ASSERT_TRUE(w.manager.Activate(Second()).ok());
  }
  // Nor does a late CANCEL of what was answered take away what to go back to.
  (void)w.manager.Close(Key("c"));
  EXPECT_EQ(*w.manager.Close(Second()), 1);
  EXPECT_EQ(w.counter("sessions_restored"), 1u);
  EXPECT_EQ(TargetOf(Flows(w)[0], kAlice).port, Port::FromHost(4000));
  EXPECT_EQ(*w.manager.Close(Bye("c")), 1);
  EXPECT_TRUE(w.NothingLeft());
}

TEST_P(Keep, WhatA2xxHasSettledIsNotTakenBack) {
  for (const bool fax : {false, true}) {
    const Media alice = fax ? Fax(kAlice, 4000) : Audio(kAlice, 4400);
    const Media bob = fax ? Fax(kBob, 6000) : Audio(kBob, 6600);
    second.cseq = *second.cseq + 1;
    second.stage = sip::AnswerStage::kFinal;
    ASSERT_TRUE((callee() ? Bob(bob) : Alice(alice)).ok());
    ASSERT_TRUE((callee() ? Alice(alice) : Bob(bob)).ok());
    ASSERT_TRUE(w.manager.Activate(Second()).ok());
    w.Pass(Micros::Seconds(2));
    w.Talk();
    EXPECT_EQ(w.plane.sockets(), fax ? 2u : 4u) << "the older ports have gone";
  }
  // An UPDATE has no ACK; a stray CANCEL ends what it names, and no more.
  EXPECT_EQ(*w.manager.Close(Second()), 1);
  EXPECT_EQ(w.counter("sessions_restored"), 0u);
  EXPECT_EQ(w.sessions(), 0u);
}

TEST_P(Keep, ABYEEndsWhatIsSetAsideOfAForkToo) {
  // Another fork of the first offer is up as well.
  SessionKey fork = Key("c");
  fork.id_to = "carol";
  ASSERT_TRUE(w.Reply(fork, {Audio(kBob, 7000)}).ok());
  ASSERT_TRUE(w.manager.Activate(fork).ok());
  second.stage = sip::AnswerStage::kEarly;
  const Media fax = Fax(kAlice, 4000), fax_too = Fax(kBob, 6000);
  ASSERT_TRUE((callee() ? Bob(fax_too) : Alice(fax)).ok());
  ASSERT_TRUE((callee() ? Alice(fax) : Bob(fax_too)).ok());
  ASSERT_TRUE(w.manager.Activate(Second()).ok());
  EXPECT_EQ(*w.manager.Close(Bye("c")), 1);
  EXPECT_TRUE(w.manager.Validate());
  w.Pass(Micros::Seconds(2));
  w.Talk();
  EXPECT_EQ(w.sessions(), 1u);
  EXPECT_EQ(w.plane.sockets(), 4u);
  w.manager.CloseAll();
  EXPECT_TRUE(w.NothingLeft());
}

TEST_P(Keep, AnEarlyAnswerOnOtherPortsIsTakenBackToo) {
  const Media fax = Fax(kAlice, 4000), fax_too = Fax(kBob, 6000);
  ASSERT_TRUE((callee() ? Bob(fax_too) : Alice(fax)).ok());
  ASSERT_TRUE((callee() ? Alice(fax) : Bob(fax_too)).ok());
  ASSERT_TRUE(w.manager.Activate(Second()).ok());
  EXPECT_EQ(w.plane.flows(), 1u);
  EXPECT_EQ(w.plane.sockets(), 6u) << "the old ones are kept for this";
  w.Pass(Micros::Seconds(5));
  EXPECT_EQ(*w.manager.Close(Second()), 1);
  EXPECT_EQ(w.plane.flows(), 2u);
  const FlowView rtp = w.manager.FindCall("c")->sessions[0].flows[0];
  EXPECT_EQ(rtp.side[0].target.port, Port::FromHost(4000));
  EXPECT_EQ(rtp.side[1].target.port, Port::FromHost(6000));
  EXPECT_EQ(rtp.side[1].local.port, Port::FromHost(to_bob[0].port));
  EXPECT_TRUE(w.manager.Validate());
  w.Pass(Micros::Seconds(2));
  w.Talk();
  EXPECT_EQ(w.plane.sockets(), 4u);
  EXPECT_EQ(w.sessions(), 1u);
  EXPECT_EQ(*w.manager.Close(Bye("c")), 1);
  EXPECT_TRUE(w.NothingLeft());
}

TEST_P(Keep, WhatCannotBeOpenedAgainIsGivenUp) {
  const Media fax = Fax(kAlice, 4000), fax_too = Fax(kBob, 6000);
  ASSERT_TRUE((callee() ? Bob(fax_too) : Alice(fax)).ok());
  ASSERT_TRUE((callee() ? Alice(fax) : Bob(fax_too)).ok());
  ASSERT_TRUE(w.manager.Activate(Second()).ok());
  w.plane.FailEveryNthFlow(1, absl::ResourceExhaustedError("full"));
  EXPECT_EQ(*w.manager.Close(Second()), 1);
  EXPECT_EQ(w.counter("sessions_restored"), 0u);
  EXPECT_EQ(w.counter("activate_failed"), 1u);
  EXPECT_EQ(w.sessions(), 0u);
  EXPECT_TRUE(w.manager.Validate());
  w.Pass(Micros::Seconds(2));
  EXPECT_TRUE(w.NothingLeft());
}

TEST_P(Keep, AnAcknowledgedOfferIsNotTakenBack) {
  Both(Audio(kAlice, 4400), Audio(kBob, 6600));
  ASSERT_TRUE(w.manager.Activate(Second()).ok());
  ASSERT_TRUE(w.manager.Activate(Second()).ok());
  EXPECT_EQ(*w.manager.Close(Second()), 1);
  EXPECT_EQ(w.sessions(), 0u);
  EXPECT_EQ(w.counter("sessions_restored"), 0u);
  w.Pass(Micros::Seconds(2));
  EXPECT_TRUE(w.NothingLeft());
}

// Nobody but the first activates it (UPDATE): what it has replaced is kept as
// long as any ports that nobody uses.
TEST_P(Keep, WhatIsSetAsideRunsOut) {
  const Media fax = Fax(kAlice, 4000), fax_too = Fax(kBob, 6000);
  ASSERT_TRUE((callee() ? Bob(fax_too) : Alice(fax)).ok());
  ASSERT_TRUE((callee() ? Alice(fax) : Bob(fax_too)).ok());
  ASSERT_TRUE(w.manager.Activate(Second()).ok());
  for (int i = 0; i < 17; ++i) {
    w.Pass(Micros::Seconds(10));
    w.Talk();
  }
  EXPECT_EQ(w.plane.sockets(), 6u);
  w.Pass(Micros::Seconds(11));
  EXPECT_EQ(w.plane.sockets(), 2u);
  EXPECT_EQ(w.sessions(), 1u);
  // Then there is nothing to go back to.
  EXPECT_EQ(*w.manager.Close(Second()), 1);
  EXPECT_EQ(w.sessions(), 0u);
  w.Pass(Micros::Seconds(2));
  EXPECT_TRUE(w.NothingLeft());
}

// RFC 3264 8: what follows a refused offer is newer than that was.
TEST_P(Keep, PortsToldAfterARefusedOfferAreToldAsNewer) {
  const auto refused =
      callee() ? Bob(Fax(kBob, 6000)) : Alice(Fax(kAlice, 4000));
  ASSERT_TRUE(refused.ok());
  EXPECT_GT((*refused)[0].made, to_bob[0].made);
  EXPECT_TRUE(absl::IsNotFound(w.manager.Close(Second()).status()));
  for (int i = 0; i < 2; ++i) {
    second.cseq = *second.cseq + 1;
    const auto now =
        callee() ? Bob(Audio(kBob, 6000)) : Alice(Audio(kAlice, 4000));
    ASSERT_TRUE(now.ok());
    EXPECT_EQ((*now)[0].port, (callee() ? to_alice : to_bob)[0].port);
    EXPECT_EQ((*now)[0].made, (*refused)[0].made);
  }
}

TEST_P(Keep, HoldAndResume) {
  Both(Audio(kAlice, 0), Audio(kBob, 6000));
  ASSERT_TRUE(w.manager.Activate(Second()).ok());
  EXPECT_EQ(TargetOf(Flows(w)[0], kAlice), Endpoint());
  second.cseq = *second.cseq + 1;
  Both(Audio(kAlice, 4000), Audio(kBob, 6000));
  ASSERT_TRUE(w.manager.Activate(Second()).ok());
  EXPECT_EQ(TargetOf(Flows(w)[0], kAlice).port, Port::FromHost(4000));
  EXPECT_EQ(w.plane.sockets(), 4u);
}

TEST_P(Keep, OtherLinesGetOtherPorts) {
  const Media fax = Fax(kAlice, 4000), fax_too = Fax(kBob, 6000);
  ASSERT_TRUE((callee() ? Bob(fax_too) : Alice(fax)).ok());
  ASSERT_TRUE((callee() ? Alice(fax) : Bob(fax_too)).ok());
  EXPECT_EQ(w.counter("allocate_kept"), 0u);
  EXPECT_EQ(*w.manager.Activate(Second()), Activation::kNew);
  EXPECT_EQ(w.counter("sessions_replaced"), 1u);
  EXPECT_EQ(w.plane.flows(), 1u);
}

TEST_P(Keep, AnotherClockOfTheAnswerAloneReplacesTheSession) {
  Media wide = callee() ? Audio(kAlice, 4000) : Audio(kBob, 6000);
  wide.clock_hz = 16'000;
  ASSERT_TRUE(
      (callee() ? Bob(Audio(kBob, 6000)) : Alice(Audio(kAlice, 4000))).ok());
  ASSERT_TRUE((callee() ? Alice(wide) : Bob(wide)).ok());
  EXPECT_EQ(w.counter("allocate_kept"), 1u);
  EXPECT_EQ(*w.manager.Activate(Second()), Activation::kNew);
  EXPECT_EQ(*w.manager.Activate(Second()), Activation::kAgain);
  EXPECT_EQ(w.plane.flows(), 2u);
  EXPECT_EQ(w.sessions(), 1u);
  w.Pass(Micros::Seconds(2));
  EXPECT_EQ(w.plane.sockets(), 4u);
  EXPECT_EQ(*w.manager.Close(Bye("c")), 1);
  EXPECT_TRUE(w.NothingLeft());
}

// The offerer's ports are kept and the answerer's are not, after the session
// has moved to an offer of either party: each socket goes on facing whom it
// faced.
TEST_P(Keep, AnAnswerThatCannotKeepItsPortsTurnsWithTheOffersThatDo) {
  Both(Audio(kAlice, 4000), Audio(kBob, 6000));
  ASSERT_TRUE(w.manager.Activate(Second()).ok());
  second.cseq = *second.cseq + 1;
  // A delayed offer: what it is answered to comes first, and so gets new ports.
  ASSERT_TRUE(
      (callee() ? Alice(Audio(kAlice, 4000)) : Bob(Audio(kBob, 6000))).ok());
  ASSERT_TRUE(
      (callee() ? Bob(Audio(kBob, 6000)) : Alice(Audio(kAlice, 4000))).ok());
  EXPECT_EQ(*w.manager.Activate(Second()), Activation::kNew);
  EXPECT_EQ(*w.manager.Activate(Second()), Activation::kAgain);
  EXPECT_EQ(w.plane.flows(), 2u);
  const auto call = w.manager.FindCall("c");
  const auto& alice = call->sessions[0].flows[0].side[Index(SideOf(true))];
  EXPECT_EQ(alice.target.ip, kAlice);
  EXPECT_EQ(alice.local.ip, kInside);
  w.Pass(Micros::Seconds(2));
  EXPECT_EQ(w.plane.sockets(), 4u);
  EXPECT_EQ(*w.manager.Close(Bye("c")), 1);
  EXPECT_TRUE(w.NothingLeft());
}

TEST_P(Keep, AnAnswerOfAnotherTagIsAnotherSession) {
  ASSERT_TRUE(
      (callee() ? Bob(Audio(kBob, 6000)) : Alice(Audio(kAlice, 4000))).ok());
  second.id_to = "stranger";
  ASSERT_TRUE(
      (callee() ? Alice(Audio(kAlice, 4000)) : Bob(Audio(kBob, 6000))).ok());
  EXPECT_EQ(*w.manager.Activate(Second()), Activation::kNew);
  EXPECT_EQ(w.sessions(), 2u);
  EXPECT_EQ(*w.manager.Close(Bye("c")), 1);
  EXPECT_EQ(w.sessions(), 1u);
  EXPECT_TRUE(w.manager.Validate());
  w.manager.CloseAll();
  EXPECT_TRUE(w.NothingLeft());
}

TEST_P(Keep, AnOfferThatNobodyTookEndsNoSession) {
  Both(Audio(kAlice, 4000), Audio(kBob, 6000));
  second.half_open_only = true;
  EXPECT_TRUE(absl::IsNotFound(w.manager.Close(Second()).status()));
  ASSERT_TRUE(w.manager.Activate(Key("c")).ok());
  second.half_open_only = false;
  Both(Audio(kAlice, 4000), Audio(kBob, 6000));
  ASSERT_TRUE(w.manager.Activate(Second()).ok());
  second.half_open_only = true;
  // A repetition of one that is answered already.
  EXPECT_TRUE(absl::IsNotFound(w.manager.Close(Second()).status()));
  EXPECT_EQ(w.sessions(), 1u);
  EXPECT_EQ(w.plane.flows(), 2u);
}

TEST_P(Keep, WhatASideShowsIsItsOwnWhoeverOffered) {
  Both(Audio(kAlice, 4000), Audio(kBob, 6000));
  ASSERT_TRUE(w.manager.Activate(Second()).ok());
  const auto call = w.manager.FindCall("c");
  ASSERT_TRUE(call.ok());
  const FlowView& flow = call->sessions[0].flows[0];
  const auto& alice = flow.side[Index(SideOf(true))];
  EXPECT_EQ(alice.target.ip, kAlice);
  EXPECT_EQ(alice.local.ip, kInside);
  // Heard as the flow's caller, who is Alice for as long as it is there.
  w.Talk();
  const Pair pair = Flows(w)[0];
  w.manager.OnEvent(pair.shard,
                    {.kind = relay::Event::Kind::kLatched,
                     .side = Side::kFrom,
                     .by = relay::LatchedBy::kSdp,
                     .confirmed = true,
                     .slot = pair.flow.slot,
                     .source = {.ip = kAlice, .port = Port::FromHost(4000)}});
  const auto again = w.manager.FindCall("c");
  EXPECT_EQ(again->sessions[0].flows[0].side[Index(SideOf(true))].latched.ip,
            kAlice);
}

TEST_P(Keep, WhatAShardHasLostIsNotKept) {
  std::vector<std::pair<uint32_t, Slot>> sockets;
  w.plane.ForEachSocket([&](uint32_t shard, FakeMediaPlane::Socket& socket) {
    sockets.emplace_back(shard, socket.slot);
  });
  for (const auto& [shard, slot] : sockets) w.plane.Lose(shard, slot);
  w.Pump();
  ASSERT_TRUE(
      (callee() ? Bob(Audio(kBob, 6000)) : Alice(Audio(kAlice, 4000))).ok());
  EXPECT_EQ(w.counter("allocate_kept"), 0u);
}

INSTANTIATE_TEST_SUITE_P(, Keep, testing::Bool());

}  // namespace
}  // namespace sluice::control
