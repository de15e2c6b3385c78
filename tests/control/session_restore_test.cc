// Goal: the images of a session manager's calls make the same calls in a new
// manager, with the same ports, parties and believed sources; a call that
// cannot be had again is not half made; and nothing that an image says breaks
// the manager.
// Method: two managers over fake planes, the second given what the first one's
// observer was told, or what its journal holds; random lives from a printed
// seed.

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "control/session_journal.h"
#include "tests/control/random_world.h"
#include "tests/control/told_calls.h"

namespace sluice::control {
namespace {

// Who has which ports and sends where, in words.
std::string Picture(World& w) {
  std::vector<std::string> flows;
  for (const Pair& pair : Flows(w)) {
    std::string text;
    for (const Side side : {Side::kFrom, Side::kTo}) {
      absl::StrAppend(&text, pair.local[Index(side)].ToString(), " <-> ",
                      TargetOf(pair, side).target.ToString(), "  ");
    }
    flows.push_back(text);
  }
  std::sort(flows.begin(), flows.end());
  std::string all;
  for (const std::string& flow : flows) absl::StrAppend(&all, flow, "\n");
  return all;
}

std::set<Endpoint> Ports(const CallImage& call) {
  std::set<Endpoint> ports;
  call.ForEachGroup([&](const GroupImage& group) {
    for (const Medium& medium : group.media) {
      for (int i = 0; i < medium.range; ++i) {
        ports.insert({.ip = group.local, .port = medium.Local(i)});
      }
    }
  });
  return ports;
}

ToldCall Image(const World& w, const std::string& call_id) {
  return {.call = *w.manager.Image(call_id)};
}

SessionManager::Options OtherSeed() {
  SessionManager::Options options = World::Defaults();
  options.port_seed = 99;
  return options;
}

class Restore : public testing::Test {
 protected:
  Restore() { w.manager.SetObserver(&told); }
  // Into a new manager; how many calls were refused.
  size_t Again(World& to) {
    size_t refused = 0;
    for (const auto& [call, believed] : told.told) {
      const absl::Status status = to.manager.RestoreCall(call, believed);
      EXPECT_TRUE(to.manager.Validate());
      if (status.ok()) {
        EXPECT_EQ(Image(to, call.call_id), (ToldCall{call, {}}));
        continue;
      }
      if (refused++ == 0) why = status.ToString();
      EXPECT_FALSE(to.manager.Image(call.call_id).ok());
    }
    return refused;
  }
  // The shard has heard somebody on the socket that faces Bob.
  Endpoint HearBob(const Endpoint& source, bool confirmed) {
    Endpoint local;
    for (const Pair& pair : Flows(w)) {
      if (pair.flow.spec.kind != relay::FlowKind::kRtp) continue;
      const Side side = TargetOf(pair, Side::kFrom).target.ip == kBob
                            ? Side::kFrom
                            : Side::kTo;
      local = pair.local[Index(side)];
      w.plane.Tell(pair.shard, {.kind = relay::Event::Kind::kLatched,
                                .side = side,
                                .by = relay::LatchedBy::kSameAddress,
                                .confirmed = confirmed,
                                .slot = pair.flow.slot,
                                .source = source});
    }
    w.Pump();
    return local;
  }
  static std::vector<Believed> BelievedIn(World& world) {
    std::vector<Believed> all;
    for (const Pair& pair : Flows(world)) {
      for (const int s : {0, 1}) {
        const Endpoint& source = pair.flow.spec.believed[s];
        if (!source.is_none()) all.push_back({pair.local[s], source});
      }
    }
    return all;
  }
  World w;
  TellTale told;
  World again{OtherSeed()};
  std::string why;
};

// ---- what is told ----------------------------------------------------------

TEST_F(Restore, EveryVerbTellsTheCallOnceAndAtTheEndThatItIsGone) {
  EXPECT_TRUE(w.Offer(Key("c"), {Audio(kAlice, 4000)}).ok());
  EXPECT_EQ(told.calls_told, 1);
  EXPECT_FALSE(w.manager.Activate(Key("c")).ok());
  EXPECT_EQ(told.calls_told, 2);
  EXPECT_TRUE(w.Reply(Key("c"), {Audio(kBob, 6000)}).ok());
  EXPECT_TRUE(w.manager.Activate(Key("c")).ok());
  EXPECT_FALSE(w.manager.Close(Bye("c", "eve", "mallory")).ok());
  EXPECT_EQ(told.calls_told, 5);
  // Of no call.
  EXPECT_FALSE(w.manager.Close(Bye("d")).ok());
  EXPECT_FALSE(w.manager.Activate(Key("d")).ok());
  EXPECT_EQ(told.calls_told, 5);
  EXPECT_TRUE(told.told[0].call.offers[0].forks[0].up);
  EXPECT_EQ(*w.manager.Close(Bye("c")), 1);
  EXPECT_EQ(told.calls_told, 5);
  EXPECT_TRUE(told.told.empty());
}

TEST_F(Restore, WhatEndsByTimeIsToldToo) {
  w.Establish(Key("c"));
  w.Talk();
  const int before = told.calls_told;
  w.PassSlowly(Micros::Seconds(29));
  EXPECT_EQ(told.calls_told, before) << "nothing has changed";
  w.PassSlowly(Micros::Millis(1100));
  ASSERT_EQ(told.calls_told, before + 1);
  EXPECT_FALSE(told.told[0].call.offers[0].forks[0].up);
  EXPECT_TRUE(told.told[0].call.offers[0].forks[0].group.given_up);
  // Its ports are given back in time there, too.
  EXPECT_EQ(Again(again), 0u) << why;
  EXPECT_EQ(again.calls(), 1u);
  EXPECT_EQ(again.sessions(), 0u);
  again.PassSlowly(Micros::Millis(1200));
  EXPECT_TRUE(again.NothingLeft());
  w.PassSlowly(Micros::Millis(1200));
  EXPECT_TRUE(told.told.empty());
}

TEST_F(Restore, PortsThatAShardHasLostAreNotTheCallsAnyMore) {
  ASSERT_TRUE(w.Offer(Key("c"), {Audio(kAlice, 4000)}).ok());
  ASSERT_TRUE(w.Reply(Key("c"), {Audio(kBob, 6000)}).ok());
  std::vector<std::pair<uint32_t, Slot>> sockets;
  w.plane.ForEachSocket([&](uint32_t shard, FakeMediaPlane::Socket& socket) {
    sockets.emplace_back(shard, socket.slot);
  });
  // One of the answer's, then one of the offer's.
  w.plane.Lose(sockets[2].first, sockets[2].second);
  w.Pass(Micros::Millis(100));
  ASSERT_EQ(told.told.size(), 1u);
  EXPECT_TRUE(told.told[0].call.offers[0].forks.empty());
  EXPECT_EQ(Ports(told.told[0].call).size(), 2u);
  w.plane.Lose(sockets[0].first, sockets[0].second);
  w.Pass(Micros::Millis(100));
  EXPECT_TRUE(told.told.empty());
}

// Else whoever has many forks made could have the control thread copy them at
// every message.
TEST_F(Restore, ACallOfVeryManyForksIsToldToBeGoneUntilItHasFewer) {
  w.Establish(Key("c"));
  size_t groups = 2;
  for (uint32_t cseq = 2; groups <= kGroupsPerImage; ++cseq) {
    for (int i = 0; i < 31 && groups <= kGroupsPerImage; ++i, ++groups) {
      ASSERT_EQ(told.told.size(), 1u) << groups;
      const SessionKey key = Key("c", cseq, "alice", absl::StrCat("phone", i));
      ASSERT_TRUE(w.Reply(key, {}).ok());
      if (i == 0) ++groups;  // the offer counts, made or not
    }
  }
  EXPECT_TRUE(told.told.empty());
  EXPECT_FALSE(w.manager.Close(Key("c", 2)).ok());
  ASSERT_EQ(told.told.size(), 1u);
  EXPECT_EQ(told.told[0].call, Image(w, "c").call);
}

// ---- what comes back -------------------------------------------------------

TEST_F(Restore, ACallHasItsPortsAndPartiesAgain) {
  w.Establish(Key("c"));
  const std::string before = Picture(w);
  EXPECT_EQ(Again(again), 0u) << why;
  TellTale later;
  again.manager.SetObserver(&later);
  EXPECT_EQ(Picture(again), before);
  EXPECT_EQ(again.sessions(), 1u);
  // The same offer gets the same answer, and nobody else its ports.
  const auto offered = *w.Offer(Key("c"), {Audio(kAlice, 4000)});
  const auto repeated = *again.Offer(Key("c"), {Audio(kAlice, 4000)});
  EXPECT_EQ(repeated[0].port, offered[0].port);
  EXPECT_EQ(repeated[0].made, offered[0].made);
  EXPECT_EQ(*again.manager.Close(Bye("c")), 1);
  again.PassSlowly(Micros::Seconds(3));
  EXPECT_TRUE(again.NothingLeft());
  EXPECT_TRUE(later.told.empty());
}

TEST_F(Restore, WhoWasBelievedIsBelievedFromTheStart) {
  w.Establish(Key("c"));
  const Endpoint elsewhere = At(kBob, 7777);
  const Endpoint local = HearBob(elsewhere, true);
  EXPECT_EQ(Again(again), 0u) << why;
  EXPECT_EQ(BelievedIn(again), (std::vector<Believed>{{local, elsewhere}}));
  // Let go again: nothing to believe.
  HearBob(elsewhere, false);
  World third(OtherSeed());
  EXPECT_EQ(Again(third), 0u) << why;
  EXPECT_TRUE(BelievedIn(third).empty());
}

TEST_F(Restore, WhoWasBelievedInOneCallIsNobodyInAnother) {
  w.Establish(Key("c"));
  w.Establish(Key("d"));
  // A source on a port that is another call's: what is handed over with a call
  // ends with it.
  const auto port = *Ports(told.Find("d")->call).begin();
  told.Find("c")->believed = {{port, At(kCarol, 7777)}};
  EXPECT_EQ(Again(again), 0u) << why;
  EXPECT_TRUE(BelievedIn(again).empty());
}

TEST_F(Restore, WhoIsDeniedNowOrNotTheSdpsIsNotBelieved) {
  w.Establish(Key("c"));
  for (const Endpoint& port : Ports(told.told[0].call)) {
    told.told[0].believed.push_back({port, At(kCarol, 7777)});
  }
  SessionManager::Options denying = OtherSeed(), strict = OtherSeed();
  denying.deny_targets = {*Prefix::Parse("203.0.113.99/32")};
  for (auto& i : strict.interfaces) i.latch = relay::LatchPolicy::kStrict;
  for (const auto& options : {denying, strict}) {
    World to(options);
    EXPECT_EQ(Again(to), 0u) << why;
    EXPECT_TRUE(BelievedIn(to).empty());
  }
  for (Believed& b : told.told[0].believed) b.source.port = Port();
  EXPECT_EQ(Again(again), 0u) << why;
  EXPECT_TRUE(BelievedIn(again).empty());
}

// The offer's ports face both phones: which of them was heard is not known.
TEST_F(Restore, OnAPortOfSeveralSessionsNobodyIsBelieved) {
  w.Ring(Key("c"));
  const SessionKey second = Key("c", 1, "alice", "carol");
  ASSERT_TRUE(w.Reply(second, {Audio(kCarol, 6000)}).ok());
  ASSERT_TRUE(w.manager.Activate(second).ok());
  const OfferImage& offer = told.told[0].call.offers[0];
  ASSERT_TRUE(offer.forks.size() == 2 && offer.forks[1].up);
  const auto first = [](const GroupImage& group) {
    return *FirstPort(group.local, group.media);
  };
  const Believed alice{first(offer.forks[0].group), At(kAlice, 4444)};
  told.told[0].believed = {{first(*offer.from), At(kBob, 7777)}, alice};
  EXPECT_EQ(Again(again), 0u) << why;
  EXPECT_EQ(BelievedIn(again), std::vector<Believed>{alice});
}

// Who was refused had been heard on the ports that the other one is up on.
TEST_F(Restore, WhoWasRefusedIsNotBelievedInPlaceOfWhoAnswered) {
  w.Ring(Key("c"));
  const SessionKey second = Key("c", 1, "alice", "carol");
  ASSERT_TRUE(w.Reply(second, {Audio(kCarol, 6000)}).ok());
  const Endpoint local = HearBob(At(kBob, 7777), true);
  ASSERT_TRUE(w.manager.Activate(second).ok());
  ASSERT_FALSE(told.told[0].believed.empty());
  EXPECT_EQ(*w.manager.Close(Key("c")), 1);
  for (const Believed& b : told.told[0].believed) EXPECT_NE(b.local, local);
  EXPECT_EQ(Again(again), 0u) << why;
  EXPECT_TRUE(BelievedIn(again).empty());
}

TEST_F(Restore, CallsThatAreOverStayOver) {
  w.Establish(Key("c"));
  w.Establish(Key("d"));
  EXPECT_EQ(*w.manager.Close(Bye("c")), 1);
  EXPECT_EQ(Again(again), 0u) << why;
  EXPECT_EQ(again.calls(), 1u);
  // Ended by silence.
  w.PassSlowly(Micros::Seconds(250));
  EXPECT_TRUE(told.told.empty());
}

TEST_F(Restore, ARefusedOfferLeavesTheCallAsItWas) {
  w.Establish(Key("c"));
  const std::string before = Picture(w);
  ASSERT_TRUE(w.Offer(Key("c", 2), {WideAudio(kAlice, 4002)}).ok());
  EXPECT_FALSE(w.manager.Close(Key("c", 2)).ok());
  EXPECT_GT(told.told[0].call.refused, Micros());
  EXPECT_EQ(Again(again), 0u) << why;
  EXPECT_EQ(Picture(again), before);
}

TEST_F(Restore, WhatIsSetAsideComesBackWhenTheNewerOneIsRefused) {
  w.Establish(Key("c"));
  const std::string before = Picture(w);
  ASSERT_TRUE(w.Offer(Key("c", 2), {WideAudio(kAlice, 4002)}).ok());
  ASSERT_TRUE(w.Reply(Key("c", 2), {WideAudio(kBob, 6002)}).ok());
  SessionKey early = Key("c", 2);
  early.stage = sip::AnswerStage::kEarly;
  ASSERT_TRUE(w.manager.Activate(early).ok());
  EXPECT_NE(Picture(w), before);
  EXPECT_EQ(Again(again), 0u) << why;
  EXPECT_EQ(Picture(again), Picture(w));
  EXPECT_EQ(*again.manager.Close(Key("c", 2)), 1);
  EXPECT_EQ(Picture(again), before);
  EXPECT_TRUE(again.manager.Validate());
}

// A session answered once may still be ringing; one that was acknowledged and
// has been heard goes at once when it falls silent.
TEST_F(Restore, WhatWasAcknowledgedStillIs) {
  w.Ring(Key("rings"));
  w.Establish(Key("talks"));
  EXPECT_EQ(Again(again), 0u) << why;
  again.Talk();
  again.PassSlowly(Micros::Seconds(40));
  EXPECT_TRUE(again.manager.Image("rings").ok());
  EXPECT_FALSE(again.manager.Image("talks").ok());
}

// ---- one call's ports are no other's ---------------------------------------

// A call that offers and is refused again and again has had every port there
// is; only those that it has are its own.
TEST(RestoreOfMany, PortsThatACallGaveBackAreNotClaimedAgain) {
  SessionManager::Options options = World::Defaults();
  options.port_last = Port::FromHost(20015);
  World w(options);
  TellTale told;
  w.manager.SetObserver(&told);
  w.Establish(Key("eve"));
  std::set<Endpoint> had;
  for (uint32_t cseq = 2; cseq < 60; ++cseq) {
    ASSERT_TRUE(w.Offer(Key("eve", cseq), {WideAudio(kAlice, 4002)}).ok());
    ASSERT_TRUE(w.Reply(Key("eve", cseq), {WideAudio(kBob, 6002)}).ok());
    had.merge(Ports(told.Find("eve")->call));
    EXPECT_FALSE(w.manager.Close(Key("eve", cseq)).ok());
    w.Pass(Micros::Seconds(3));
    w.Talk();
  }
  EXPECT_EQ(had.size(), 32u) << "all that there are";
  for (const char* id : {"a", "b", "c", "d", "e", "f", "g"}) {
    w.Establish(Key(id));
  }
  // The others begin before it in one restart and after it in the next.
  for (int turn = 0; turn < 2; ++turn) {
    options.port_seed = 99;
    World again(options);
    again.Pass(w.now - again.now);
    for (const auto& [call, believed] : told.told) {
      const absl::Status status = again.manager.RestoreCall(call, believed);
      EXPECT_TRUE(status.ok()) << call.call_id << ": " << status;
      EXPECT_EQ(Image(again, call.call_id), (ToldCall{call, {}}));
    }
    EXPECT_EQ(again.sessions(), 8u);
    EXPECT_EQ(Picture(again), Picture(w));
    EXPECT_TRUE(again.manager.Validate());
    std::reverse(told.told.begin(), told.told.end());
  }
}

TEST_F(Restore, ACallWhosePortIsGoneEndsAndTheOthersGoOn) {
  w.Establish(Key("c"));
  w.Establish(Key("d"));
  again.plane.Occupy(*Ports(told.Find("d")->call).rbegin());
  EXPECT_EQ(Again(again), 1u);
  EXPECT_NE(why, "");
  EXPECT_EQ(again.calls(), 1u);
  EXPECT_EQ(again.sessions(), 1u);
  again.Pump();
  EXPECT_EQ(again.manager.status().ports_taken, 4u);
  // What it took for a moment rests like any port, and is free then.
  again.PassSlowly(Micros::Seconds(2));
  again.Establish(Key("e"));
  EXPECT_EQ(again.manager.status().ports_quarantined, 0u);
}

TEST_F(Restore, ACallWhoseFlowsDoNotOpenLeavesNothing) {
  w.Establish(Key("c"));
  for (const int which : {1, 2}) {
    World to(OtherSeed());
    to.plane.FailEveryNthFlow(which, absl::ResourceExhaustedError("full"));
    EXPECT_EQ(Again(to), 1u);
    EXPECT_TRUE(to.NothingLeft());
  }
}

TEST_F(Restore, WhatIsNotAllowedTodayEndsTheCall) {
  w.Establish(Key("c"));
  struct {
    const char* why;
    std::function<void(SessionManager::Options&)> change;
  } const rows[] = {
      {"relay.deny_targets",
       [](auto& o) { o.deny_targets = {*Prefix::Parse("203.0.113.0/24")}; }},
      {"any more", [](auto& o) { o.interfaces.pop_back(); }},
      {"any more",
       [](auto& o) {
         o.interfaces[1].address = kCarol;
         o.interfaces[1].advertise = kOutside;
       }},
      {"not of the range",
       [](auto& o) { o.port_last = Port::FromHost(20001); }},
      {"max_flows_per_call", [](auto& o) { o.max_flows_per_call = 1; }},
      {"max_flows_per_session", [](auto& o) { o.max_flows_per_session = 1; }},
      {"range", [](auto& o) { o.max_range = 1; }},
  };
  for (const auto& row : rows) {
    SCOPED_TRACE(row.why);
    SessionManager::Options options = OtherSeed();
    row.change(options);
    World strict(options);
    EXPECT_EQ(Again(strict), 1u);
    EXPECT_TRUE(absl::StrContains(why, row.why)) << why;
    EXPECT_TRUE(strict.NothingLeft());
  }
  SessionManager::Options one = OtherSeed();
  one.max_sessions = 1;
  World small(one);
  w.Establish(Key("d"));
  EXPECT_EQ(Again(small), 1u);
  EXPECT_EQ(small.calls(), 1u);
}

// ---- whatever an image says ------------------------------------------------

TEST_F(Restore, WhatIsNotOneCallIsRefusedInWordsAndLeavesNothing) {
  w.Establish(Key("c"));
  ASSERT_TRUE(w.Offer(Key("c", 2), {WideAudio(kAlice, 4002)}).ok());
  ASSERT_TRUE(w.Reply(Key("c", 2), {WideAudio(kBob, 6002)}).ok());
  const CallImage good = told.told[0].call;
  ASSERT_EQ(good.offers.size(), 2u);
  using Change = std::function<void(CallImage&)>;
  const auto up = [](OfferImage& offer) -> ForkImage& {
    return offer.forks[0];
  };
  struct {
    const char* why;
    Change change;
  } const rows[] = {
      {"no offers", [](CallImage& c) { c.offers.clear(); }},
      {"an offer twice", [](CallImage& c) { c.offers[1].cseq = 1; }},
      {"holds nothing",
       [](CallImage& c) {
         c.offers[1].from.reset();
         c.offers[1].forks.clear();
       }},
      {"too many offers",
       [](CallImage& c) {
         c.offers.resize(kTransactionsPerCall + 1, c.offers[1]);
       }},
      {"too many forks",
       [](CallImage& c) {
         c.offers[1].forks.resize(kForksPerTransaction + 1);
       }},
      {"an answerer of an offer twice",
       [](CallImage& c) { c.offers[1].forks.push_back(c.offers[1].forks[0]); }},
      {"identifier is too long",
       [](CallImage& c) { c.call_id = std::string(kIdOctets + 1, 'x'); }},
      {"two sessions", [&](CallImage& c) { up(c.offers[1]).up = true; }},
      {"two sessions",
       [&](CallImage& c) {
         up(c.offers[1]).up = true;
         std::swap(c.offers[1].id_from, c.offers[1].forks[0].id_to);
       }},
      {"that is over is up",
       [&](CallImage& c) { up(c.offers[0]).over = true; }},
      {"that is over is up",
       [&](CallImage& c) { up(c.offers[0]).group.given_up = true; }},
      {"offer is given up is up",
       [](CallImage& c) { c.offers[0].from->given_up = true; }},
      {"without an offer", [](CallImage& c) { c.offers[0].from.reset(); }},
      {"that is not over", [&](CallImage& c) { up(c.offers[1]).aside = true; }},
      {"without an offer",
       [&](CallImage& c) {
         up(c.offers[1]).aside = up(c.offers[1]).over = true;
         c.offers[1].from.reset();
       }},
      {"different media lines",
       [&](CallImage& c) { up(c.offers[0]).group.media.clear(); }},
      {"different media lines",
       [&](CallImage& c) { up(c.offers[0]).group.media[0].range = 1; }},
      {"different media lines",
       [&](CallImage& c) {
         ForkImage& fork = up(c.offers[1]);
         fork.aside = fork.over = true;
         fork.group.media[0].range = 1;
       }},
      {"face the same party",
       [&](CallImage& c) {
         up(c.offers[0]).group.faces = c.offers[0].from->faces;
       }},
      {"faces both ways",
       [](CallImage& c) {
         c.offers[1].from = c.offers[0].from;
         c.offers[1].from->faces = Other(c.offers[0].from->faces);
       }},
      // Joined by an activate, its ports would face both ways.
      {"face the same party",
       [&](CallImage& c) {
         up(c.offers[1]).group = up(c.offers[0]).group;
         c.offers[1].from->faces = up(c.offers[0]).group.faces;
       }},
      {"some of their ports in common",
       [](CallImage& c) {
         c.offers[1].from = c.offers[0].from;
         c.offers[1].from->media[0].range = 4;
       }},
      {"twice",
       [](CallImage& c) {
         Medium& first = c.offers[0].from->media[0];
         Medium& second = c.offers[1].from->media[0];
         second.base = static_cast<uint16_t>(first.base - 2);
         second.range = 4;
       }},
      {"twice",
       [](CallImage& c) {
         auto& media = c.offers[1].from->media;
         media.push_back(media[0]);
       }},
      {"without ports of ours",
       [](CallImage& c) { c.offers[1].from->media[0].base = 0; }},
      {"without ports of ours",
       [](CallImage& c) { c.offers[1].from->media[0].range = 0; }},
      {"not of the range",
       [](CallImage& c) { c.offers[1].from->media[0].base = 65534; }},
      {"not of the range",
       [](CallImage& c) { c.offers[1].from->media[0].base = 65535; }},
      {"RTCP alone",
       [](CallImage& c) {
         c.offers[1].from->media[0].first = relay::FlowKind::kRtcp;
       }},
      {"go past 65535",
       [](CallImage& c) { c.offers[1].from->media[0].port = 65535; }},
      {"not the address of any",
       [](CallImage& c) { c.offers[1].from->local = kBob; }},
      {"not the address of any",
       [](CallImage& c) { c.offers[1].from->local = kOutsideTold; }},
      // One of its own ports: a loop.
      {"media of a call goes to",
       [](CallImage& c) {
         Medium& medium = c.offers[0].from->media[0];
         medium.ip = c.offers[0].from->local;
         medium.port = medium.base;
       }},
  };
  for (const auto& row : rows) {
    SCOPED_TRACE(row.why);
    CallImage bad = good;
    row.change(bad);
    World to(OtherSeed());
    const absl::Status status = to.manager.RestoreCall(bad, {});
    EXPECT_FALSE(status.ok());
    EXPECT_TRUE(absl::StrContains(status.message(), row.why)) << status;
    EXPECT_TRUE(to.NothingLeft());
  }
  EXPECT_TRUE(again.manager.RestoreCall(good, {}).ok());
  const absl::Status twice = again.manager.RestoreCall(good, {});
  EXPECT_EQ(twice.code(), absl::StatusCode::kAlreadyExists);
  EXPECT_EQ(Image(again, "c").call, good);
}

TEST_F(Restore, TimesToComeAreNow) {
  w.Establish(Key("c"));
  CallImage call = told.told[0].call;
  call.refused = Micros(INT64_MAX);
  call.offers[0].from->made = Micros(INT64_MAX);
  call.offers[0].forks[0].group.made = Micros(INT64_MIN);
  ASSERT_TRUE(again.manager.RestoreCall(call, {}).ok());
  const CallImage image = *again.manager.Image("c");
  EXPECT_EQ(image.refused, again.now);
  EXPECT_EQ(image.offers[0].from->made, again.now);
  EXPECT_EQ(image.offers[0].forks[0].group.made, Micros());
}

// ---- random lives ----------------------------------------------------------

class Lives : public testing::Test {
 protected:
  void SetUp() override {
    std::string name = absl::StrCat(testing::TempDir(), "/lives.XXXXXX");
    ASSERT_NE(mkdtemp(name.data()), nullptr);
    folder_ = name;
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  // A daemon killed now, and the next one on its file.
  void KillAndGoOn(RandomWorld& old, SessionJournal& journal, uint64_t seed) {
    ASSERT_TRUE(journal.Flush().ok());
    const std::string copy = folder_ + "/copy";
    std::filesystem::copy_file(
        folder_ + "/calls", copy,
        std::filesystem::copy_options::overwrite_existing);
    auto file = SessionJournal::Open(copy);
    ASSERT_TRUE(file.ok()) << file.status();
    ASSERT_EQ((*file)->cut(), "");
    RandomWorld fresh(seed, 0, 0);
    World& was = old.world();
    World& is = fresh.world();
    is.Pass(was.now - is.now);
    (*file)->Load(
        [&](const CallImage& call, absl::Span<const Believed> believed) {
          const absl::Status status = is.manager.RestoreCall(call, believed);
          EXPECT_TRUE(status.ok()) << call.call_id << ": " << status;
          return status.ok();
        });
    std::set<std::string> ids;
    for (const std::string& id : old.CallIds()) {
      const ToldCall image = Image(was, id);
      if (image.call.offers.empty()) continue;  // all of it is lost
      ids.insert(id);
      ASSERT_TRUE(is.manager.Image(id).ok()) << id;
      ASSERT_EQ(Image(is, id), image);
      restored_ += image.call.offers.size() > 1 ? 1 : 0;
    }
    ASSERT_EQ(is.calls(), ids.size());
    ASSERT_NO_FATAL_FAILURE(fresh.CheckBooks());
    if (!old.lost()) {
      ASSERT_EQ(Picture(is), Picture(was));
    }
    is.manager.SetObserver(file->get());
    for (int i = 0; i < 60; ++i) {
      fresh.Step();
      ASSERT_NO_FATAL_FAILURE(fresh.CheckBooks());
    }
    ASSERT_NO_FATAL_FAILURE(fresh.End());
    EXPECT_EQ((*file)->stats().calls, 0u);
  }

  std::string folder_;
  int restored_ = 0;  // calls of several offers
};

TEST_F(Lives, WhateverWasDoneTheNextDaemonHasTheSameCalls) {
  const char* from_outside = std::getenv("SLUICE_TEST_SEED");
  const uint64_t first =
      from_outside != nullptr ? std::strtoull(from_outside, nullptr, 10) : 1;
  for (uint64_t seed = first; seed < first + 4; ++seed) {
    for (const int fail_every : {0, 7}) {
      SCOPED_TRACE(absl::StrCat("SLUICE_TEST_SEED=", seed, ", failing every ",
                                fail_every));
      RandomWorld old(seed, fail_every);
      std::filesystem::remove(folder_ + "/calls");
      auto journal = SessionJournal::Open(folder_ + "/calls");
      ASSERT_TRUE(journal.ok()) << journal.status();
      old.world().manager.SetObserver(journal->get());
      for (int i = 0; i < 600; ++i) {
        old.Step();
        if (i % 20 != 0) continue;
        ASSERT_NO_FATAL_FAILURE(KillAndGoOn(old, **journal, seed + 1000));
      }
      EXPECT_EQ((*journal)->stats().left_out, 0u);
      old.world().manager.SetObserver(nullptr);
    }
  }
  EXPECT_GT(restored_, 100);
}

}  // namespace
}  // namespace sluice::control
