#ifndef SLUICE_TESTS_FAKES_FAKE_MEDIA_PLANE_H_
#define SLUICE_TESTS_FAKES_FAKE_MEDIA_PLANE_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/check.h"
#include "base/slot_map.h"
#include "relay/media_plane.h"

namespace sluice {

// Shards without threads and sockets: what is open, what was asked, and any
// failure a test wants. It holds its caller to the contract of MediaPlane by
// CHECK: no socket is closed under a flow, nothing is closed twice, no port is
// opened while another socket has it, a socket faces the same side in all flows
// that are open on it.
//
// A closed socket is told by DrainEvents, or, after HoldCloses(), not before
// DeliverCloses().
class FakeMediaPlane final : public relay::MediaPlane {
 public:
  struct Socket {
    Endpoint local{};
    int tos = 0;
    int flows = 0;  // open on it
    Side faces{};   // in all of them
    bool closing = false;
    Slot slot{};
  };
  struct Flow {
    FlowSpec spec{};
    relay::FlowReport report{};
    Micros last_packet{};
    std::optional<uint16_t> last_sent[2]{};  // by Side
    bool paused[2]{};
    Slot slot{};
  };
  struct Moved {
    uint32_t shard = 0;
    Slot flow{};
    Side side{};
    relay::SideTarget target{};
  };

  explicit FakeMediaPlane(uint32_t shards = 1, uint32_t sockets = 65536,
                          uint32_t flows = 32768) {
    for (uint32_t i = 0; i < shards; ++i) shards_.emplace_back(sockets, flows);
  }

  // ---- what a test may do to it ----
  // Each n-th call fails, counted from the last change; 0: none.
  void FailEveryNthSocket(int n, absl::Status status) {
    socket_failure_ = {.every = n, .status = std::move(status)};
  }
  void FailEveryNthFlow(int n, absl::Status status) {
    flow_failure_ = {.every = n, .status = std::move(status)};
  }
  // Somebody else has bound it: AlreadyExists.
  void Occupy(const Endpoint& local) { occupied_.insert(local); }
  void HoldCloses() { hold_closes_ = true; }
  void DeliverCloses(size_t most = SIZE_MAX) {
    for (; most > 0 && !held_.empty(); --most) {
      events_.push_back(held_.front());
      held_.pop_front();
    }
  }
  size_t held() const { return held_.size(); }
  void Tell(uint32_t shard, const relay::Event& event) {
    events_.emplace_back(shard, event);
  }
  // The shard closes a socket by itself.
  void Lose(uint32_t shard, Slot slot) {
    Socket& socket = SocketAt(shard, slot);
    CHECK(!socket.closing);
    socket.closing = true;
    events_.emplace_back(shard, Closed(slot));
  }

  // ---- what a test may ask ----
  size_t sockets() const {
    return Sum([](const Shard& s) { return s.sockets.size(); });
  }
  size_t flows() const {
    return Sum([](const Shard& s) { return s.flows.size(); });
  }
  size_t sockets_on(uint32_t shard) const {
    return shards_[shard].sockets.size();
  }
  Flow& FlowAt(uint32_t shard, Slot slot) {
    const auto it = shards_[shard].flows.find(slot.index);
    CHECK(it != shards_[shard].flows.end() && it->second.slot == slot);
    return it->second;
  }
  Socket& SocketAt(uint32_t shard, Slot slot) {
    const auto it = shards_[shard].sockets.find(slot.index);
    CHECK(it != shards_[shard].sockets.end() && it->second.slot == slot);
    return it->second;
  }
  // visit(shard, Flow&), in the order of slots.
  template <typename Visit>
  void ForEachFlow(Visit&& visit) {
    for (uint32_t s = 0; s < shards_.size(); ++s) {
      for (auto& [index, flow] : shards_[s].flows) visit(s, flow);
    }
  }
  // visit(shard, Socket&), those that are not closing.
  template <typename Visit>
  void ForEachSocket(Visit&& visit) {
    for (uint32_t s = 0; s < shards_.size(); ++s) {
      for (auto& [index, socket] : shards_[s].sockets) {
        if (!socket.closing) visit(s, socket);
      }
    }
  }
  struct Watched {
    uint32_t shard = 0;
    Slot flow{};
    bool on = false;
    friend bool operator==(const Watched&, const Watched&) = default;
  };
  struct Copy {
    Micros at{};
    std::vector<uint8_t> octets{};
  };
  std::vector<Moved> moved{};      // every Retarget
  std::vector<Watched> watched{};  // every Watch
  std::deque<Copy> copies{};       // for the next DrainCopies
  uint64_t copies_lost = 0;
  uint64_t sockets_opened = 0, flows_opened = 0;

  // ---- MediaPlane ----
  uint32_t shards() const override {
    return static_cast<uint32_t>(shards_.size());
  }
  uint32_t PickShard() const override {
    const auto least = std::min_element(
        shards_.begin(), shards_.end(), [](const Shard& a, const Shard& b) {
          return a.sockets.size() < b.sockets.size();
        });
    return static_cast<uint32_t>(least - shards_.begin());
  }
  absl::StatusOr<Slot> OpenSocket(uint32_t shard, const Endpoint& local,
                                  int tos) override {
    if (absl::Status status = socket_failure_.Next(); !status.ok()) {
      return status;
    }
    if (occupied_.contains(local)) {
      return absl::AlreadyExistsError(local.ToString() + " is in use");
    }
    Shard& at = shards_.at(shard);
    const Slot slot = at.socket_slots.Take();
    if (!slot) return absl::ResourceExhaustedError("socket table full");
    // Also one that is closing still has its port.
    CHECK(bound_.insert(local).second);
    at.sockets[slot.index] = {.local = local, .tos = tos, .slot = slot};
    ++sockets_opened;
    return slot;
  }
  void CloseSocket(uint32_t shard, Slot slot) override {
    Socket& socket = SocketAt(shard, slot);
    CHECK(!socket.closing && socket.flows == 0);
    socket.closing = true;
    if (hold_closes_) {
      held_.emplace_back(shard, Closed(slot));
    } else {
      events_.emplace_back(shard, Closed(slot));
    }
  }
  absl::StatusOr<Slot> OpenFlow(uint32_t shard, const FlowSpec& spec) override {
    if (absl::Status status = flow_failure_.Next(); !status.ok()) {
      return status;
    }
    Shard& at = shards_.at(shard);
    const Slot slot = at.flow_slots.Take();
    if (!slot) return absl::ResourceExhaustedError("flow table full");
    for (const Side side : {Side::kFrom, Side::kTo}) {
      Socket& socket = SocketAt(shard, spec.socket[Index(side)]);
      CHECK(socket.flows++ == 0 || socket.faces == side);
      socket.faces = side;
    }
    if (spec.rtp_flow) FlowAt(shard, spec.rtp_flow);
    at.flows[slot.index] = {.spec = spec, .slot = slot};
    ++flows_opened;
    return slot;
  }
  void Retarget(uint32_t shard, Slot slot, Side side,
                const relay::SideTarget& target) override {
    FlowAt(shard, slot).spec.target[Index(side)] = target;
    moved.push_back(
        {.shard = shard, .flow = slot, .side = side, .target = target});
  }
  void CloseFlow(uint32_t shard, Slot slot) override {
    const Flow flow = FlowAt(shard, slot);
    for (const Slot socket : flow.spec.socket) {
      const auto it = shards_[shard].sockets.find(socket.index);
      // One that the shard lost may be gone already.
      if (it != shards_[shard].sockets.end() && it->second.slot == socket) {
        --it->second.flows;
      }
    }
    shards_[shard].flows.erase(slot.index);
    shards_[shard].flow_slots.Free(slot);
  }
  relay::FlowReport Report(uint32_t shard, Slot slot) const override {
    const auto it = shards_[shard].flows.find(slot.index);
    CHECK(it != shards_[shard].flows.end() && it->second.slot == slot);
    return it->second.report;
  }
  Micros LastPacket(uint32_t shard, Slot slot) const override {
    const auto it = shards_[shard].flows.find(slot.index);
    CHECK(it != shards_[shard].flows.end() && it->second.slot == slot);
    ++last_packet_calls;
    return it->second.last_packet;
  }
  std::optional<uint16_t> LastSent(uint32_t shard, Slot slot,
                                   Side to) const override {
    const auto it = shards_[shard].flows.find(slot.index);
    CHECK(it != shards_[shard].flows.end() && it->second.slot == slot);
    return it->second.last_sent[Index(to)];
  }
  void Pause(uint32_t shard, Slot slot, Side from) override {
    FlowAt(shard, slot).paused[Index(from)] = true;
  }
  void Watch(uint32_t shard, Slot flow, bool on) override {
    watched.push_back({shard, flow, on});
  }
  void DrainCopies(
      absl::FunctionRef<void(const relay::PacketCopy&)> visit) override {
    for (; !copies.empty(); copies.pop_front()) {
      const Copy& copy = copies.front();
      visit({.at = copy.at,
             .length = static_cast<uint32_t>(copy.octets.size()),
             .octets = copy.octets});
    }
  }
  uint64_t CopiesLost() const override { return copies_lost; }
  void DrainEvents(
      absl::FunctionRef<void(uint32_t, const relay::Event&)> visit) override {
    while (!events_.empty()) {
      const auto [shard, event] = events_.front();
      events_.pop_front();
      if (event.kind == relay::Event::Kind::kSocketClosed) {
        Shard& at = shards_[shard];
        const auto it = at.sockets.find(event.slot.index);
        if (it != at.sockets.end() && it->second.slot == event.slot) {
          bound_.erase(it->second.local);
          at.sockets.erase(it);
          at.socket_slots.Free(event.slot);
        }
      }
      visit(shard, event);
    }
  }
  mutable uint64_t last_packet_calls = 0;

 private:
  struct Shard {
    Shard(uint32_t sockets_max, uint32_t flows_max)
        : socket_slots(sockets_max), flow_slots(flows_max) {}
    SlotMap socket_slots, flow_slots;
    std::map<uint32_t, Socket> sockets{};
    std::map<uint32_t, Flow> flows{};
  };
  struct Failure {
    int every = 0;
    int calls = 0;
    absl::Status status{};
    absl::Status Next() {
      if (every == 0 || ++calls % every != 0) return absl::OkStatus();
      return status;
    }
  };
  static relay::Event Closed(Slot slot) {
    return {.kind = relay::Event::Kind::kSocketClosed, .slot = slot};
  }
  template <typename Size>
  size_t Sum(Size&& size) const {
    size_t sum = 0;
    for (const Shard& s : shards_) sum += size(s);
    return sum;
  }

  std::vector<Shard> shards_{};
  std::set<Endpoint> occupied_{};
  std::set<Endpoint> bound_{};
  Failure socket_failure_{}, flow_failure_{};
  bool hold_closes_ = false;
  std::deque<std::pair<uint32_t, relay::Event>> held_{};
  std::deque<std::pair<uint32_t, relay::Event>> events_{};
};

}  // namespace sluice

#endif  // SLUICE_TESTS_FAKES_FAKE_MEDIA_PLANE_H_
