#ifndef SLUICE_TESTS_CONTROL_RANDOM_WORLD_H_
#define SLUICE_TESTS_CONTROL_RANDOM_WORLD_H_

#include <cstdint>
#include <map>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "control/session_manager.h"
#include "gtest/gtest.h"
#include "tests/control/manager_world.h"

namespace sluice::control {

inline const IpAddress kSix = *IpAddress::Parse("2001:db8::1");

// Random verbs over few names, while sockets and flows fail and shards are slow
// to close.
class RandomWorld {
 public:
  // `occupied`: how many ports of ours somebody else has.
  RandomWorld(uint64_t seed, int fail_every, int occupied = 20)
      : random_(seed), w_(Options(), 2) {
    w_.plane.HoldCloses();
    if (fail_every > 0) {
      w_.plane.FailEveryNthSocket(fail_every,
                                  absl::ResourceExhaustedError("EMFILE"));
      w_.plane.FailEveryNthFlow(fail_every,
                                absl::ResourceExhaustedError("table full"));
    }
    for (int i = 0; i < occupied; ++i) {
      w_.plane.Occupy(
          {.ip = Chance(2) ? kInside : kOutside,
           .port = Port::FromHost(static_cast<uint16_t>(20000 + Below(200)))});
    }
  }

  void Step() {
    switch (Below(18)) {
      case 0:
      case 1:
      case 2:
      case 3: Offer(); break;
      case 4:
      case 5:
      case 6: Reply(); break;
      case 7:
      case 8:
      case 9: (void)w_.manager.Activate(AnyKey()); break;
      case 10: (void)w_.manager.Close(AnyKey()); break;
      case 11: {
        SessionKey key = AnyKey();
        key.cseq.reset();
        (void)w_.manager.Close(key);
        break;
      }
      case 12:
        if (Chance(3)) (void)w_.manager.CloseCall(AnyName("call", 5));
        break;
      case 13: w_.Pass(Micros::Millis(Below(3000))); break;
      case 14:
        if (Chance(4)) Wait();
        break;
      case 16:
      case 17: {  // all of a call, or as much of it as is let through
        const SessionKey key = AnyKey();
        (void)w_.Offer(key, {Audio(kAlice, 4000)});
        (void)w_.Reply(key, {Audio(kBob, 6000)});
        (void)w_.manager.Activate(key);
        break;
      }
      case 15: Shard(); break;
    }
    w_.plane.DeliverCloses(static_cast<size_t>(Below(4)));
    if (Chance(2)) w_.Pump();
  }

  World& world() { return w_; }
  bool lost() const { return lost_; }
  std::vector<std::string> CallIds() const {
    std::vector<std::string> ids;
    for (const CallSummary& call : w_.manager.ListCalls(0, 1000).calls) {
      ids.push_back(call.call_id);
    }
    return ids;
  }

  void CheckBooks() {
    ASSERT_TRUE(w_.manager.Validate());
    const ManagerStatus status = w_.manager.status();
    ASSERT_EQ(status.flows, w_.plane.flows());
    const CallPage page = w_.manager.ListCalls(0, 1000);
    ASSERT_EQ(page.total, status.calls);
    ASSERT_EQ(page.calls.size(), status.calls);
    uint64_t sessions = 0, flows = 0;
    for (const CallSummary& summary : page.calls) {
      const absl::StatusOr<CallView> call =
          w_.manager.FindCall(summary.call_id);
      ASSERT_TRUE(call.ok());
      ASSERT_EQ(call->sessions.size(), static_cast<size_t>(summary.sessions));
      ASSERT_EQ(call->sockets, summary.sockets);
      ASSERT_LE(call->sockets, 2 * Options().max_flows_per_call);
      ASSERT_EQ(call->shard, summary.shard);
      sessions += call->sessions.size();
      for (const SessionView& session : call->sessions) {
        flows += session.flows.size();
        for (const FlowView& flow : session.flows) {
          for (const auto& side : flow.side) {
            ASSERT_TRUE(lost_ || w_.manager.ports().IsTaken(side.local));
            // L4's half of the control thread: never to our own ports.
            ASSERT_FALSE(w_.manager.ports().IsTaken(side.target));
          }
        }
      }
    }
    ASSERT_EQ(sessions, status.sessions);
    ASSERT_EQ(flows, status.flows);
  }

  void Count(std::map<std::string, uint64_t>& seen) const {
    for (const auto& [name, value] : w_.manager.status().counters) {
      seen[name] += value;
    }
  }

  void End() {
    if (Chance(2)) {
      w_.manager.CloseAll();
    } else {
      w_.PassSlowly(Micros::Seconds(400));
    }
    w_.plane.DeliverCloses();
    ASSERT_TRUE(w_.NothingLeft());
  }

 private:
  static SessionManager::Options Options() {
    SessionManager::Options options = World::Defaults();
    options.port_last = Port::FromHost(20199);
    options.max_sessions = 4;
    options.max_flows_per_call = 8;
    options.interfaces.push_back({.name = "six", .address = kSix});
    return options;
  }
  int Below(int n) {
    return static_cast<int>(random_() % static_cast<uint64_t>(n));
  }
  bool Chance(int one_in) { return Below(one_in) == 0; }
  std::string AnyName(const char* kind, int of) {
    return kind + std::to_string(Below(of));
  }
  SessionKey AnyKey() {
    SessionKey key =
        Key(AnyName("call", 5), static_cast<uint32_t>(1 + Below(2)),
            AnyName("id", 2), AnyName("id", 2));
    key.branch = static_cast<uint64_t>(Below(3));
    return key;
  }
  std::vector<Media> AnyMedia() {
    const IpAddress ips[] = {kAlice,
                             kBob,
                             kOutside,
                             IpAddress::V4(192, 168, 1, 1),
                             IpAddress::V4(127, 0, 0, 1),
                             *IpAddress::Parse("2001:db8::7"),
                             IpAddress()};
    std::vector<Media> media;
    // Mostly the same shape, so that offers and answers match.
    const int lines = Chance(8) ? Below(4) : 1;
    for (int i = 0; i < lines; ++i) {
      media.push_back(
          {.ip = ips[Below(Chance(4) ? 7 : 2)],
           .port = static_cast<uint16_t>(Chance(10) ? 0 : 20000 + Below(8)),
           .range = Chance(10) ? 1 + Below(5) : 2,
           .first = Chance(20) ? relay::FlowKind::kRaw : relay::FlowKind::kRtp,
           .clock_hz = Chance(4) ? 16'000u : 8'000u});
    }
    return media;
  }
  // Few, so that later offers find what was given before.
  IpAddress AnyInterface() {
    return Chance(8) ? kSix : Chance(4) ? kInside : kOutside;
  }
  void Offer() {
    (void)w_.manager.Allocate(AnyKey(), Side::kFrom, AnyInterface(),
                              AnyMedia());
  }
  void Reply() {
    (void)w_.manager.Allocate(AnyKey(), Side::kTo, AnyInterface(), AnyMedia());
  }
  void Wait() {
    const int seconds = Below(200);
    if (Chance(3)) w_.stall_end = w_.now + Micros::Seconds(seconds);
    w_.Pass(Micros::Seconds(seconds));
  }
  void Shard() {
    if (Chance(2)) {
      w_.plane.ForEachFlow([this](uint32_t, FakeMediaPlane::Flow& flow) {
        if (Chance(2)) flow.last_packet = w_.now;
      });
    }
    std::vector<std::pair<uint32_t, Slot>> idle;
    w_.plane.ForEachSocket([&](uint32_t shard, FakeMediaPlane::Socket& socket) {
      idle.emplace_back(shard, socket.slot);
    });
    if (Chance(6) && !idle.empty()) {
      const auto [shard, slot] =
          idle[static_cast<size_t>(Below(static_cast<int>(idle.size())))];
      if (w_.plane.SocketAt(shard, slot).flows > 0) return;
      w_.plane.Lose(shard, slot);
      w_.Pass(Micros());
      lost_ = true;
    }
  }

  std::mt19937_64 random_;
  World w_;
  bool lost_ = false;
};

}  // namespace sluice::control

#endif  // SLUICE_TESTS_CONTROL_RANDOM_WORLD_H_
