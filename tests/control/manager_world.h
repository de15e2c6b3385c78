#ifndef SLUICE_TESTS_CONTROL_MANAGER_WORLD_H_
#define SLUICE_TESTS_CONTROL_MANAGER_WORLD_H_

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/check.h"
#include "control/session_manager.h"
#include "tests/fakes/fake_media_plane.h"

namespace sluice::control {

inline const IpAddress kInside = IpAddress::V4(198, 51, 100, 1);
inline const IpAddress kOutside = IpAddress::V4(203, 0, 113, 1);
inline const IpAddress kOutsideTold = IpAddress::V4(203, 0, 113, 200);
inline const IpAddress kAlice = IpAddress::V4(198, 51, 100, 77);
inline const IpAddress kBob = IpAddress::V4(203, 0, 113, 88);
inline const IpAddress kCarol = IpAddress::V4(203, 0, 113, 99);

inline Media Audio(const IpAddress& ip, uint16_t port) {
  return {.ip = ip, .port = port};
}
inline Media Fax(const IpAddress& ip, uint16_t port) {
  return {.ip = ip, .port = port, .range = 1, .first = relay::FlowKind::kRaw};
}
// Of another clock: no session with Audio can go on with it.
inline Media WideAudio(const IpAddress& ip, uint16_t port) {
  return {.ip = ip, .port = port, .clock_hz = 16'000};
}
inline SessionKey Key(std::string call, std::optional<uint32_t> cseq = 1,
                      std::string from = "alice", std::string to = "bob") {
  return {.call_id = std::move(call),
          .cseq = cseq,
          .id_from = std::move(from),
          .id_to = std::move(to),
          .uri_from = "sip:alice@example.com",
          .uri_to = "sip:bob@example.com"};
}
inline SessionKey Bye(std::string call, std::string from = "alice",
                      std::string to = "bob") {
  return Key(std::move(call), std::nullopt, std::move(from), std::move(to));
}

// A manager over fake shards and a clock that only a test moves. Alice sits on
// the inside interface and calls Bob and Carol on the outside.
struct World {
  static SessionManager::Options Defaults() {
    SessionManager::Options options;
    options.interfaces = {
        {.name = "inside", .address = kInside},
        {.name = "outside", .address = kOutside, .advertise = kOutsideTold}};
    options.port_first = Port::FromHost(20000);
    options.port_last = Port::FromHost(20999);
    options.port_seed = 7;
    return options;
  }
  // `flows` of a shard, and twice as many sockets.
  explicit World(const SessionManager::Options& options = Defaults(),
                 uint32_t shards = 1, uint32_t flows = 32768)
      : plane(shards, 2 * flows, flows), manager(options, plane, now) {}

  void Pump() {
    plane.DrainEvents([this](uint32_t shard, const relay::Event& event) {
      manager.OnEvent(shard, event);
    });
  }
  void Pass(Micros time) {
    now = now + time;
    Pump();
    manager.Tick(now, stall_end);
    Pump();
  }
  // In steps of a tick, as the control thread does.
  void PassSlowly(Micros time) {
    const Micros end = now + time;
    while (now < end) Pass(std::min(Micros::Millis(100), end - now));
  }

  using Answer = absl::StatusOr<std::vector<Allocation>>;
  // An offer goes out through the outside interface, an answer comes back
  // through the inside one.
  Answer Offer(const SessionKey& key, std::vector<Media> media) {
    return manager.Allocate(key, Side::kFrom, kOutside, media);
  }
  Answer Reply(const SessionKey& key, std::vector<Media> media) {
    return manager.Allocate(key, Side::kTo, kInside, media);
  }
  // A whole call with one audio stream, activated once.
  void Ring(const SessionKey& key) {
    CHECK(Offer(key, {Audio(kAlice, 4000)}).ok());
    CHECK(Reply(key, {Audio(kBob, 6000)}).ok());
    CHECK(manager.Activate(key).ok());
  }
  void Establish(const SessionKey& key) {
    Ring(key);
    CHECK(*manager.Activate(key) == Activation::kAgain);
  }
  // Every flow hears something now.
  void Talk() {
    plane.ForEachFlow([this](uint32_t, FakeMediaPlane::Flow& flow) {
      flow.last_packet = now;
    });
  }

  uint64_t calls() const { return manager.status().calls; }
  uint64_t sessions() const { return manager.status().sessions; }
  uint64_t counter(std::string_view name) const {
    for (const auto& [known, value] : manager.status().counters) {
      if (known == name) return value;
    }
    CHECK(false);
    return 0;
  }
  // L5: nothing is left, and every port is where it belongs.
  bool NothingLeft() {
    Pump();
    const ManagerStatus status = manager.status();
    uint32_t free = 0;
    for (size_t i = 0; i < manager.ports().interfaces(); ++i) {
      free += manager.ports().pool(i).free();
    }
    return manager.empty() && manager.Validate() && status.calls == 0 &&
           status.sessions == 0 && status.flows == 0 && status.sockets == 0 &&
           status.ports_taken == 0 && plane.sockets() == 0 &&
           plane.flows() == 0 &&
           free + status.ports_quarantined == status.ports_total;
  }

  Micros now = Micros::Seconds(1000);
  Micros stall_end{};
  FakeMediaPlane plane;
  SessionManager manager;
};

// A flow as the plane was asked for it, and the addresses of its sockets.
struct Pair {
  uint32_t shard = 0;
  FakeMediaPlane::Flow flow{};
  Endpoint local[2]{};
};
inline std::vector<Pair> Flows(World& w) {
  std::vector<Pair> flows;
  w.plane.ForEachFlow([&](uint32_t shard, FakeMediaPlane::Flow& flow) {
    Pair pair{.shard = shard, .flow = flow, .local = {}};
    for (const int side : {0, 1}) {
      pair.local[side] = w.plane.SocketAt(shard, flow.spec.socket[side]).local;
    }
    flows.push_back(pair);
  });
  return flows;
}
inline const relay::SideTarget& TargetOf(const Pair& pair, Side side) {
  return pair.flow.spec.target[Index(side)];
}
inline Endpoint At(const IpAddress& ip, uint16_t port) {
  return {.ip = ip, .port = Port::FromHost(port)};
}

}  // namespace sluice::control

#endif  // SLUICE_TESTS_CONTROL_MANAGER_WORLD_H_
