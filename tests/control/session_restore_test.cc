// Goal: what a session manager's observer was told makes the same calls in a
// new manager: the same ports, parties and believed sources, and nothing of
// calls that are over or cannot be had again.
// Method: two managers over fake planes, the second told what the first did.

#include "control/session_restore.h"

#include <gtest/gtest.h>

#include <functional>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "tests/control/manager_world.h"

namespace sluice::control {
namespace {

// Keeps what it is told, as the session file does: sources before the rest of
// their call, nothing of a call that is gone.
class Record final : public SessionObserver {
 public:
  void OnAllocated(const SessionKey& key, Side side, const IpAddress& local,
                   absl::Span<const Media> media,
                   absl::Span<const uint16_t> bases) override {
    Add(key.call_id,
        [=, m = std::vector<Media>(media.begin(), media.end()),
         b = std::vector<uint16_t>(bases.begin(), bases.end())](
            SessionObserver& to) { to.OnAllocated(key, side, local, m, b); });
  }
  void OnActivated(const SessionKey& key) override {
    Add(key.call_id, [=](SessionObserver& to) { to.OnActivated(key); });
  }
  void OnClosed(const SessionKey& key) override {
    Add(key.call_id, [=](SessionObserver& to) { to.OnClosed(key); });
  }
  void OnGone(std::string_view call_id) override {
    calls_.erase(std::string(call_id));
  }
  void OnConfirmed(std::string_view call_id, const Endpoint& local,
                   const Endpoint& source) override {
    auto& sources = calls_[std::string(call_id)].sources;
    if (source.is_none()) {
      sources.erase(local);
    } else {
      sources[local] = source;
    }
  }
  void Tell(SessionObserver& to) const {
    for (const auto& [id, call] : calls_) {
      for (const auto& [local, source] : call.sources) {
        to.OnConfirmed(id, local, source);
      }
      for (const auto& tell : call.verbs) tell(to);
    }
  }
  size_t calls() const { return calls_.size(); }

 private:
  struct Kept {
    std::map<Endpoint, Endpoint> sources{};
    std::vector<std::function<void(SessionObserver&)>> verbs{};
  };
  void Add(const std::string& id, std::function<void(SessionObserver&)> tell) {
    calls_[id].verbs.push_back(std::move(tell));
  }
  std::map<std::string, Kept> calls_;
};

// Who has which ports and sends where, in words.
std::string Picture(World& w) {
  std::vector<std::string> flows;
  w.plane.ForEachFlow([&](uint32_t shard, FakeMediaPlane::Flow& flow) {
    std::string text;
    for (int s : {0, 1}) {
      text += w.plane.SocketAt(shard, flow.spec.socket[s]).local.ToString() +
              " <-> " + flow.spec.target[s].target.ToString() + "  ";
    }
    flows.push_back(text + relay::Name(flow.spec.kind));
  });
  std::sort(flows.begin(), flows.end());
  std::string all;
  for (const std::string& flow : flows) all += flow + "\n";
  return all;
}

class Restore : public testing::Test {
 protected:
  Restore() { w.manager.SetObserver(&record); }
  // Into a new manager; how many calls were refused.
  size_t Again(World& to, SessionObserver* observer) {
    SessionRestore restore(to.manager);
    record.Tell(restore);
    const size_t refused = restore.Finish(observer);
    why = restore.why();
    return refused;
  }
  static SessionManager::Options OtherSeed() {
    SessionManager::Options options = World::Defaults();
    options.port_seed = 99;
    return options;
  }
  World w;
  Record record;
  World again{OtherSeed()};
  std::string why;
};

TEST_F(Restore, ACallHasItsPortsAndPartiesAgain) {
  w.Establish(Key("c"));
  const std::string before = Picture(w);
  Record later;
  EXPECT_EQ(Again(again, &later), 0u);
  EXPECT_EQ(Picture(again), before);
  EXPECT_TRUE(again.manager.Validate());
  EXPECT_EQ(again.sessions(), 1u);
  // The same offer gets the same answer, and nobody else its ports.
  EXPECT_EQ((*again.Offer(Key("c"), {Audio(kAlice, 4000)}))[0].port,
            (*w.Offer(Key("c"), {Audio(kAlice, 4000)}))[0].port);
  EXPECT_EQ(*again.manager.Close(Bye("c")), 1);
  EXPECT_TRUE(again.NothingLeft());
  EXPECT_EQ(later.calls(), 0u);
}

TEST_F(Restore, WhoWasBelievedIsBelievedFromTheStart) {
  w.Establish(Key("c"));
  const Endpoint elsewhere{kBob, Port::FromHost(7777)};
  Slot rtp{}, socket{};
  int facing_bob = 0;
  w.plane.ForEachFlow([&](uint32_t, FakeMediaPlane::Flow& flow) {
    if (flow.spec.kind != relay::FlowKind::kRtp) return;
    rtp = flow.slot;
    facing_bob = flow.spec.target[0].target.ip == kBob ? 0 : 1;
    socket = flow.spec.socket[facing_bob];
  });
  const auto tell = [&](bool confirmed) {
    w.plane.Tell(0, {.kind = relay::Event::Kind::kLatched,
                     .side = static_cast<Side>(facing_bob),
                     .by = relay::LatchedBy::kSameAddress,
                     .confirmed = confirmed,
                     .slot = rtp,
                     .source = elsewhere});
    w.Pump();
  };
  tell(true);
  Again(again, nullptr);
  int believed = 0;
  again.plane.ForEachFlow([&](uint32_t, FakeMediaPlane::Flow& flow) {
    for (int s : {0, 1}) {
      if (flow.spec.believed[s].is_none()) continue;
      ++believed;
      EXPECT_EQ(flow.spec.believed[s], elsewhere);
      EXPECT_EQ(again.plane.SocketAt(0, flow.spec.socket[s]).local,
                w.plane.SocketAt(0, socket).local);
    }
  });
  EXPECT_EQ(believed, 1);
  // Let go again: nothing to believe.
  tell(false);
  World third{OtherSeed()};
  Again(third, nullptr);
  third.plane.ForEachFlow([&](uint32_t, FakeMediaPlane::Flow& flow) {
    EXPECT_TRUE(flow.spec.believed[0].is_none());
    EXPECT_TRUE(flow.spec.believed[1].is_none());
  });
  // What was not used is forgotten: a later call on that port starts anew.
}

TEST_F(Restore, WhoWasBelievedInOneCallIsNobodyInAnother) {
  w.Establish(Key("c"));
  const Endpoint eve{kCarol, Port::FromHost(7777)};
  SessionRestore restore(again.manager);
  // A call that once had every port there is, and none of them any more.
  w.plane.ForEachSocket([&](uint32_t, FakeMediaPlane::Socket& socket) {
    restore.OnConfirmed("eve", socket.local, eve);
  });
  record.Tell(restore);
  EXPECT_EQ(restore.Finish(nullptr), 0u);
  again.plane.ForEachFlow([&](uint32_t, FakeMediaPlane::Flow& flow) {
    EXPECT_TRUE(flow.spec.believed[0].is_none());
    EXPECT_TRUE(flow.spec.believed[1].is_none());
  });
}

TEST_F(Restore, WhoIsDeniedNowOrNotTheSdpsIsNotBelieved) {
  w.Establish(Key("c"));
  const Endpoint elsewhere{kCarol, Port::FromHost(7777)};
  w.plane.ForEachSocket([&](uint32_t, FakeMediaPlane::Socket& socket) {
    record.OnConfirmed("c", socket.local, elsewhere);
  });
  SessionManager::Options denying = OtherSeed(), strict = OtherSeed();
  denying.deny_targets = {*Prefix::Parse("203.0.113.99/32")};
  for (auto& i : strict.interfaces) i.latch = relay::LatchPolicy::kStrict;
  for (const auto& options : {denying, strict}) {
    World to(options);
    EXPECT_EQ(Again(to, nullptr), 0u) << why;
    to.plane.ForEachFlow([&](uint32_t, FakeMediaPlane::Flow& flow) {
      EXPECT_TRUE(flow.spec.believed[0].is_none());
      EXPECT_TRUE(flow.spec.believed[1].is_none());
    });
  }
}

TEST_F(Restore, AClosingThatDidNothingIsNotTold) {
  w.Establish(Key("c"));
  class Count final : public SessionObserver {
   public:
    void OnAllocated(const SessionKey&, Side, const IpAddress&,
                     absl::Span<const Media>,
                     absl::Span<const uint16_t>) override {}
    void OnActivated(const SessionKey&) override {}
    void OnClosed(const SessionKey&) override { ++closed; }
    void OnGone(std::string_view) override { ++gone; }
    void OnConfirmed(std::string_view, const Endpoint&,
                     const Endpoint&) override {}
    int closed = 0, gone = 0;
  } count;
  w.manager.SetObserver(&count);
  EXPECT_FALSE(w.manager.Close(Bye("c", "eve", "mallory")).ok());
  EXPECT_FALSE(w.manager.Close(Key("c", 9)).ok());
  EXPECT_EQ(count.closed, 0);
  ASSERT_TRUE(w.Offer(Key("c", 2), {WideAudio(kAlice, 4002)}).ok());
  EXPECT_FALSE(w.manager.Close(Key("c", 2)).ok());
  EXPECT_EQ(count.closed, 1) << "it has freed the ports of an offer";
  EXPECT_EQ(*w.manager.Close(Bye("c")), 1);
  EXPECT_EQ(count.gone, 1);
}

TEST_F(Restore, CallsThatAreOverStayOver) {
  w.Establish(Key("c"));
  w.Establish(Key("d"));
  EXPECT_EQ(*w.manager.Close(Bye("c")), 1);
  // Ended by silence.
  w.PassSlowly(Micros::Seconds(200));
  EXPECT_EQ(record.calls(), 0u);
  EXPECT_EQ(Again(again, nullptr), 0u);
  EXPECT_EQ(again.calls(), 0u);
  EXPECT_TRUE(again.NothingLeft());
}

TEST_F(Restore, ARefusedOfferLeavesTheCallAsItWas) {
  w.Establish(Key("c"));
  const std::string before = Picture(w);
  ASSERT_TRUE(w.Offer(Key("c", 2), {WideAudio(kAlice, 4002)}).ok());
  EXPECT_FALSE(w.manager.Close(Key("c", 2)).ok());
  w.Pump();
  EXPECT_EQ(Again(again, nullptr), 0u);
  again.Pump();
  EXPECT_EQ(Picture(again), before);
}

TEST_F(Restore, ACallWhosePortIsGoneEndsAndTheOthersGoOn) {
  w.Establish(Key("c"));
  w.Establish(Key("d"));
  Endpoint taken;
  w.plane.ForEachSocket([&](uint32_t, FakeMediaPlane::Socket& socket) {
    taken = socket.local;  // the last one is of the later call
  });
  again.plane.Occupy(taken);
  Record later;
  EXPECT_EQ(Again(again, &later), 1u);
  EXPECT_NE(why, "");
  EXPECT_EQ(again.calls(), 1u);
  EXPECT_EQ(again.sessions(), 1u);
  EXPECT_TRUE(again.manager.Validate());
}

TEST_F(Restore, ADeniedTargetEndsTheCall) {
  w.Establish(Key("c"));
  SessionManager::Options options = OtherSeed();
  options.deny_targets = {*Prefix::Parse("203.0.113.0/24")};
  World strict(options);
  EXPECT_EQ(Again(strict, &record), 1u);
  EXPECT_TRUE(strict.NothingLeft());
  EXPECT_EQ(record.calls(), 0u);
}

TEST_F(Restore, RandomCallsComeBackAsTheyWere) {
  std::mt19937 random(11);
  for (int round = 0; round < 40; ++round) {
    World old;
    Record told;
    old.manager.SetObserver(&told);
    for (int step = 0; step < 60; ++step) {
      const std::string id(1, static_cast<char>('a' + random() % 5));
      const auto cseq = static_cast<uint32_t>(1 + random() % 3);
      const auto port = static_cast<uint16_t>(4000 + 2 * (random() % 4));
      switch (random() % 8) {
        case 0:
        case 1:
        case 2:
          old.Offer(Key(id, cseq), {Audio(kAlice, port)}).IgnoreError();
          break;
        case 3:
        case 4:
          old.Reply(Key(id, cseq), {Audio(kBob, port)}).IgnoreError();
          break;
        case 5:
        case 6: old.manager.Activate(Key(id, cseq)).IgnoreError(); break;
        case 7:
          old.manager.Close(random() % 2 == 0 ? Bye(id) : Key(id, cseq))
              .IgnoreError();
      }
      old.Pump();
    }
    World fresh{OtherSeed()};
    SessionRestore restore(fresh.manager);
    told.Tell(restore);
    EXPECT_EQ(restore.Finish(nullptr), 0u) << restore.why();
    fresh.Pump();
    ASSERT_EQ(Picture(fresh), Picture(old)) << "round " << round;
    EXPECT_EQ(fresh.calls(), old.calls());
    EXPECT_EQ(fresh.sessions(), old.sessions());
    EXPECT_TRUE(fresh.manager.Validate());
    fresh.manager.CloseAll();
    EXPECT_TRUE(fresh.NothingLeft());
  }
}

}  // namespace
}  // namespace sluice::control
