#ifndef SLUICE_RELAY_XDP_OFFLOAD_H_
#define SLUICE_RELAY_XDP_OFFLOAD_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/container/inlined_vector.h"
#include "absl/container/node_hash_map.h"
#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/address.h"
#include "base/net/event_loop.h"
#include "base/net/next_hops.h"
#include "base/types.h"
#include "relay/media_plane.h"
#include "relay/xdp/rule_table.h"

namespace sluice::relay::xdp {

// Who knows the next hop towards an address. The real one is net::NextHops.
class Ways {
 public:
  using Id = uint32_t;
  virtual ~Ways() = default;
  virtual absl::StatusOr<Id> Watch(const IpAddress& from,
                                   const IpAddress& to) = 0;
  virtual void Release(Id id) = 0;
  virtual std::optional<net::NextHop> Find(Id id) const = 0;
  // For the log, where Find has no answer. "": not known.
  virtual std::string Why(Id) const { return ""; }
};

// What the offload has done, and what kept it from doing it.
struct OffloadCounters {
#define OFFLOAD_COUNTER(name, help) uint64_t name = 0;
#include "relay/xdp/offload.def"
#undef OFFLOAD_COUNTER
};

// Leads confirmed flows past the sockets. Stands between the session manager
// and the shards and is a media plane itself, so neither knows of it: it sees
// each flow's sockets, targets and latches go by, and adds up what both paths
// have counted.
//
//   SessionManager --MediaPlane--> Offload --MediaPlane--> ShardPool
//                                     |
//                                     +--> RuleTable (Program), Ways
//
// Each direction of a flow has its own way, by the port on which it comes in:
//
//            both sides confirmed, nobody        the cell has rested,
//            else on either socket               next hop known
//   kSockets ---------------------> kWaiting ------------------> kJoining
//      ^                                                            |
//      |       anything about it changes: first the rule is         v
//      '------- retired, then the shard is told -------------- kInForce
//
// Nothing is learnt here: what a rule says is what the latch has confirmed.
//
// Thread: control only.
class Offload final : public MediaPlane {
 public:
  enum class Hook : uint8_t { kXdp, kTc };
  // A device to which the program is attached.
  struct Device {
    int ifindex = 0;
    Hook hook = Hook::kXdp;
    uint16_t hop_flags = 0;  // of NextHopFlag, for what leaves by it
  };
  // A range of relay ports on one of them.
  struct Range {
    IpAddress local{};
    uint16_t first_port = 0;
    uint16_t last_port = 0;
    Device device{};
  };

  // How often a flow that joins is looked at: at first a packet of voice, then
  // more and more seldom, as one that is silent cannot join.
  static constexpr Micros kLook = Micros::Millis(20);
  static constexpr Micros kLookMax = Micros::Millis(640);
  // Flows looked at in one go; the others wait for the next.
  static constexpr size_t kLooks = 4'096;

  // `sockets`, `table`, `ways` and `loop` outlive it.
  Offload(MediaPlane& sockets, RuleTable& table, Ways& ways,
          net::EventLoop& loop);
  ~Offload() override;
  Offload(const Offload&) = delete;
  Offload& operator=(const Offload&) = delete;

  // Its ports are the cells from `base` on. InvalidArgument: there are not so
  // many, or the address has some already. Before any socket is opened.
  absl::Status AddRange(const Range& range, uint32_t base);
  // The table is an earlier process's. A flow that is opened with sources that
  // are believed from the start goes on by the rule that is in force for it,
  // if that is to the letter what it would be given now. Before any socket is
  // opened.
  void Inherit();
  // Who has not been vouched for by now is gone: retires the rest of its rules.
  // How many there were.
  size_t EndInheritance();
  // Its packets do not come by the program any more: they are the sockets' from
  // here on.
  void RemoveDevice(int ifindex);
  // Off: every flow goes by the sockets, as if it could not leave them.
  void SetOn(bool on);
  bool on() const { return on_; }
  // What Ways has to say of one of its ids.
  void OnWayChanged(Ways::Id id);

  const OffloadCounters& counters() const { return counters_; }
  // Directions of flows, as in the picture.
  size_t waiting() const { return Count(State::kWaiting); }
  size_t joining() const { return Count(State::kJoining); }
  size_t in_force() const { return Count(State::kInForce); }
  // Whether the packets of this party go past the sockets.
  bool InForce(uint32_t shard, Slot flow, Side from) const;

  uint32_t shards() const override { return sockets_.shards(); }
  uint32_t PickShard() const override { return sockets_.PickShard(); }
  absl::StatusOr<Slot> OpenSocket(uint32_t shard, const Endpoint& local,
                                  int tos) override;
  void CloseSocket(uint32_t shard, Slot socket) override;
  absl::StatusOr<Slot> OpenFlow(uint32_t shard, const FlowSpec& spec) override;
  void Retarget(uint32_t shard, Slot flow, Side side,
                const SideTarget& target) override;
  void CloseFlow(uint32_t shard, Slot flow) override;
  FlowReport Report(uint32_t shard, Slot flow) const override;
  Micros LastPacket(uint32_t shard, Slot flow) const override;
  std::optional<uint16_t> LastSent(uint32_t shard, Slot flow,
                                   Side to) const override {
    return sockets_.LastSent(shard, flow, to);
  }
  void Pause(uint32_t shard, Slot flow, Side from) override {
    sockets_.Pause(shard, flow, from);
  }
  void DrainEvents(
      absl::FunctionRef<void(uint32_t shard, const Event&)> visit) override;
  void Watch(uint32_t shard, Slot flow, bool on) override;
  void DrainCopies(absl::FunctionRef<void(const PacketCopy&)> visit) override;
  uint64_t CopiesLost() const override {
    return sockets_.CopiesLost() + table_.MirrorLost();
  }

 private:
  enum class State : uint8_t { kSockets, kWaiting, kJoining, kInForce };
  // A slot of a shard.
  using Key = uint64_t;
  static Key KeyOf(uint32_t shard, Slot slot) {
    return uint64_t{shard} << 32 | slot.index;
  }

  struct Socket {
    Endpoint local{};
    int tos = 0;
    absl::InlinedVector<Key, 1> flows{};  // open on it
    // Where a program sees its packets.
    const Range* range = nullptr;
    uint32_t cell = 0;
  };
  // What has been counted past the sockets.
  struct Books {
    uint64_t packets = 0, bytes = 0, expected = 0, received = 0;
    uint64_t late = 0, ssrc_changes = 0;
    uint64_t refused = 0;  // of `packets`, those that did not go out
    Stats newest{};        // of the rule that was in force last
    void Add(const Stats& stats);
    // last_ns, in the sockets' clock; 0: never.
    Micros last() const;
  };
  // One direction: what comes from one side.
  struct Half {
    State state = State::kSockets;
    bool has_books = false;  // those in the cell are its own
    bool queued = false;     // is in queue_
    Ways::Id way = 0;        // 0: not watched (yet)
    uint16_t place = 0;      // of `nexthops`; kJoining and kInForce
    Micros not_before{};
    Micros look_at{};
    Micros pause = kLook;
    Books past{};  // of the rules before
  };
  struct Flow {
    uint32_t shard = 0;
    Slot slot{};
    FlowSpec spec{};
    // Confirmed sources; none: not (yet).
    Endpoint source[2]{};  // by Side
    Half half[2]{};        // by Side that sends
    bool watched = false;  // the copies of its rules go into the mirror
  };
  struct HalfId {
    Key flow = 0;
    uint32_t generation = 0;
    Side from = Side::kFrom;
    friend bool operator==(const HalfId&, const HalfId&) = default;
    template <typename H>
    friend H AbslHashValue(H h, const HalfId& id) {
      return H::combine(std::move(h), id.flow, id.generation, id.from);
    }
  };
  // A place of `nexthops`.
  using HopKey =
      std::tuple<int, std::array<uint8_t, 6>, std::array<uint8_t, 6>, uint32_t>;
  struct Place {
    HopKey hop{};
    uint32_t users = 0;
    Micros free_at{};
  };

  size_t Count(State state) const {
    return states_[static_cast<size_t>(state)];
  }
  void SetState(Half& half, State state);
  Flow* Find(Key key, uint32_t generation);
  const Flow* Find(Key key, uint32_t generation) const;
  const Socket& SocketOf(const Flow& flow, Side side) const;
  // Of all its rules, the one in force among them.
  Books BooksOf(const Flow& flow, Side from) const;
  void OnLatched(uint32_t shard, const Event& event);

  bool MayLeaveSockets(const Flow& flow, Side from) const;
  // Begins what may begin.
  void Consider(Flow& flow);
  // Back to kSockets.
  void Stop(Flow& flow);
  void Stop(Flow& flow, Side from);
  // Back to kWaiting, from kJoining or kInForce.
  void Retire(Flow& flow, Side from);
  // Whether it has its way; a Status that is not InvalidArgument: not now.
  absl::Status FindWay(Flow& flow, Side from);

  // The queue of what waits and joins.
  void Enqueue(Flow& flow, Side from, Micros at);
  void LookAround();
  void LeavePlace(uint16_t index);
  // Whether the rule of an earlier process does for this one. Else it is
  // retired.
  bool TryAdopt(Half& half, uint32_t cell, const Rule& rule);
  // False: it need not be looked at again until something changes.
  bool Look(Flow& flow, Side from);
  bool TryJoin(Flow& flow, Side from);

  absl::StatusOr<Rule> RuleOf(const Flow& flow, Side from);
  absl::StatusOr<uint16_t> PlaceFor(const net::NextHop& hop, uint16_t flags);
  absl::StatusOr<uint16_t> LocalFor(const IpAddress& ip);
  const Device* FindDevice(int ifindex) const;

  MediaPlane& sockets_;
  RuleTable& table_;
  Ways& ways_;
  net::EventLoop& loop_;
  std::deque<Range> ranges_;    // never moves
  std::deque<uint32_t> bases_;  // by range
  bool on_ = true;
  absl::flat_hash_map<Key, Socket> open_;
  absl::node_hash_map<Key, Flow> flows_;
  absl::flat_hash_map<Ways::Id, absl::flat_hash_set<HalfId>> by_way_;
  // What waits or joins and whose turn comes by the clock: Half::look_at says
  // when. May name what is gone.
  std::vector<HalfId> queue_;
  size_t cursor_ = 0;
  net::EventLoop::TimerId timer_ = 0;
  std::vector<Micros> rests_;    // by cell: until when nothing may be written
  std::vector<bool> inherited_;  // by cell: an earlier process's rule; or empty
  std::vector<Place> places_;
  absl::flat_hash_map<HopKey, uint16_t> place_of_;
  std::vector<IpAddress> locals_;
  std::array<size_t, 4> states_{};  // directions, by State
  OffloadCounters counters_;
};

}  // namespace sluice::relay::xdp

#endif  // SLUICE_RELAY_XDP_OFFLOAD_H_
