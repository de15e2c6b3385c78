#ifndef SLUICE_BASE_NET_NEXT_HOPS_H_
#define SLUICE_BASE_NET_NEXT_HOPS_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/address.h"
#include "base/net/event_loop.h"
#include "base/net/netlink.h"
#include "base/types.h"

namespace sluice::net {

// How a frame leaves this machine towards one address.
struct NextHop {
  int ifindex = 0;                     // the device it leaves by
  IpAddress via{};                     // the gateway, or the address itself
  std::array<uint8_t, 6> neighbour{};  // the MAC of `via`
  std::array<uint8_t, 6> own{};        // the MAC of the device
  uint32_t mtu = 0;  // octets of the packet: the route's if less, the device's
  friend bool operator==(const NextHop&, const NextHop&) = default;
};

// Who is the next hop on the way to an address: route, neighbour and device,
// kept current from the kernel. For traffic that the stack does not see, so it
// also does what the stack would: it has the kernel find a neighbour that is
// not known, and confirm one that is.
//
//   pair (from, to) --route--> neighbour (ifindex, via) --> device (ifindex)
//        |                           |                           |
//        +---- each is asked for again when the kernel says that it
//              may have changed, a bounded number a turn; who sees
//              another answer then is told
//
// What the kernel sends is taken as a hint only, and the truth asked for: no
// order of events, and no lost one, can leave a wrong answer behind. Changes of
// routes, addresses and rules are gathered, and every pair looked up again; a
// neighbour or a device touches only the pairs that go by it.
//
// The lookup is that of a UDP packet without ports and marks: a rule that goes
// by those is not seen. A path MTU that the kernel learns, or an ICMP redirect,
// it tells nobody of; such is seen when the pair is next looked up. That `from`
// is an address of this machine the kernel checks for IPv4 only.
//
// The device may be a VLAN, a bridge or a bond: whether frames can be handed to
// it is for the caller to know.
//
// Watching needs no rights; having neighbours found and confirmed needs
// CAP_NET_ADMIN. Everything is of the network namespace of Create.
//
// Thread: the loop's.
class NextHops {
 public:
  using Id = uint32_t;  // 0 is never given out
  // What Find says has changed: resolved, another MAC, device or MTU, or lost
  // (nullopt). Never called inside Watch or Release. It may call both, but not
  // destroy the NextHops.
  using Changed = std::function<void(Id, const std::optional<NextHop>&)>;

  // Some 50 MB, were every one by a neighbour of its own.
  static constexpr size_t kWatchesMax = 65'536;
  // What one turn asks the kernel for again, and whom it tells: at 4 us a
  // request about a millisecond.
  static constexpr size_t kSlice = 256;
  static constexpr int kEventsPerTurn = 64;
  // One change of a route seldom comes alone.
  static constexpr Micros kGather = Micros::Millis(100);
  // And they may never cease (a router's full table): after every pair has been
  // looked up, the next time is not before this many times as long has passed,
  // and kRestMax at most.
  static constexpr int64_t kRest = 4;
  static constexpr Micros kRestMax = Micros::Seconds(2);
  // Well below the 30 s for which the kernel believes a neighbour unconfirmed,
  // and the 60 s after which it may forget an unused one.
  static constexpr Micros kConfirm = Micros::Seconds(15);
  // A neighbour that does not answer is asked for again after this, then after
  // twice as long, up to kConfirm.
  static constexpr Micros kAskAgain = Micros::Seconds(1);
  // After a request that the kernel did not answer.
  static constexpr Micros kRetry = Micros::Seconds(1);

  struct Options {
    // Of the queue of events: some thousand. It running over costs a look at
    // everything.
    int event_buffer_bytes = 1024 * 1024;
  };
  struct Stats {
    size_t watches = 0;
    size_t neighbours = 0;  // that some watch goes by
    uint64_t route_lookups = 0;
    uint64_t asked = 0;     // neighbours to be found or confirmed
    uint64_t overruns = 0;  // events lost, everything asked for again
    uint64_t failures = 0;  // requests without an answer
  };

  // `loop` outlives it.
  static absl::StatusOr<std::unique_ptr<NextHops>> Create(EventLoop& loop,
                                                          Changed changed);
  static absl::StatusOr<std::unique_ptr<NextHops>> Create(
      EventLoop& loop, Changed changed, const Options& options);
  ~NextHops();
  NextHops(const NextHops&) = delete;
  NextHops& operator=(const NextHops&) = delete;

  // Begins to watch the way from a local address (the wildcard: any) to a
  // remote one; Find answers at once where the neighbour is known. The same
  // pair has the same Id and is counted. InvalidArgument: not one family, or
  // no destination; ResourceExhausted: kWatchesMax; else the kernel did not
  // answer.
  absl::StatusOr<Id> Watch(const IpAddress& from, const IpAddress& to);
  // As often as Watch. REQUIRES: watched.
  void Release(Id id);

  // nullopt: not resolved, Why says for what reason. REQUIRES: watched.
  std::optional<NextHop> Find(Id id) const;
  // Empty where Find has an answer. REQUIRES: watched.
  std::string Why(Id id) const;

  Stats stats() const;

 private:
  struct Device;
  struct Neighbour;
  struct Pair;
  struct NeighbourKey {
    int ifindex = 0;
    IpAddress ip{};
    friend bool operator==(const NeighbourKey&, const NeighbourKey&) = default;
    template <typename H>
    friend H AbslHashValue(H h, const NeighbourKey& key) {
      return H::combine(std::move(h), key.ifindex, key.ip);
    }
  };
  // Why a pair has no next hop.
  enum class Lack : uint8_t;
  struct Way;

  // A place in a line, or the line itself. A place leaves without knowing which
  // line it is in: so a whole line is put behind another in one step, however
  // many pairs go by one gateway.
  template <typename T>
  class Place {
   public:
    explicit Place(T* item) : item_(item) {}  // nullptr: a line
    ~Place() { Leave(); }
    Place(const Place&) = delete;
    Place& operator=(const Place&) = delete;

    // Of a line: nobody is in it. Of a place: it is in none.
    bool empty() const { return after_ == this; }
    T* front() const { return after_->item_; }  // nullptr: empty
    void Leave() {
      before_->after_ = after_;
      after_->before_ = before_;
      before_ = after_ = this;
    }
    // To the end, from wherever it is.
    void Join(Place& line) {
      Leave();
      before_ = line.before_;
      after_ = &line;
      before_->after_ = line.before_ = this;
    }
    void TakeAll(Place& line) {
      if (line.empty()) return;
      before_->after_ = line.after_;
      line.after_->before_ = before_;
      before_ = line.before_;
      before_->after_ = this;
      line.before_ = line.after_ = &line;
    }

   private:
    T* const item_;
    Place* before_ = this;
    Place* after_ = this;
  };

  NextHops(EventLoop& loop, Changed changed, netlink::Requester requester,
           netlink::Listener events);

  // From the kernel.
  void OnEvents();
  void OnEvent(const netlink::Message& message);
  void LookAtAllSoon();
  void LookAtRoutesSoon();
  void OnGathered();

  // A bounded part of what waits, now and every turn until nothing does.
  void WorkSoon();
  void Work();
  absl::Status WorkOnce(bool* worked);
  // To be asked for again.
  void Due(Device& device);
  void Due(Neighbour& neighbour);
  // Whom it concerns is to hear that it has changed.
  void TellOf(Device& device);
  void TellOf(Neighbour& neighbour);
  void Tell(Pair& pair);

  // They ask the kernel, and queue whom the answer concerns. A Status: it did
  // not answer, nothing has changed.
  absl::Status LookUp(Pair& pair);
  absl::Status Refresh(Device& device);
  absl::Status Refresh(Neighbour& neighbour);
  // Counts and logs that there was no answer.
  absl::StatusOr<int> Said(absl::StatusOr<int> said);
  absl::StatusOr<Way> FindWay(const IpAddress& from, const IpAddress& to);
  void SetTimer(Neighbour& neighbour);

  Neighbour& NeighbourAt(const NeighbourKey& key);
  Device& DeviceAt(int ifindex);
  // Which neighbour the pair goes by, or none. One that nobody goes by is
  // forgotten, and so is its device.
  void GoBy(Pair& pair, Neighbour* neighbour);

  const Pair& At(Id id) const;
  static Lack LackOf(int error);
  static Lack LackOf(const netlink::Route& route);
  // kNone: `hop` is it.
  Lack Judge(const Pair& pair, NextHop* hop) const;

  // Fixed after construction.
  EventLoop& loop_;
  const Changed changed_;
  // Gone before what a posted task captured is used.
  const std::shared_ptr<NextHops*> self_;

  netlink::Requester requester_;
  netlink::Listener events_;
  // What is to be asked for again, and what is not.
  Place<Device> devices_due_{nullptr};
  Place<Neighbour> neighbours_due_{nullptr};
  Place<Neighbour> neighbours_resting_{nullptr};
  Place<Pair> pairs_due_{nullptr};
  Place<Pair> pairs_resting_{nullptr};
  // Which have changed, and of whom some are still to hear it.
  Place<Device> devices_telling_{nullptr};
  Place<Neighbour> neighbours_telling_{nullptr};
  // Counted up when all of them become due.
  uint64_t neighbour_round_ = 0;
  absl::flat_hash_map<Id, std::unique_ptr<Pair>> pairs_;
  absl::flat_hash_map<std::pair<IpAddress, IpAddress>, Id> ids_;
  absl::flat_hash_map<NeighbourKey, std::unique_ptr<Neighbour>> neighbours_;
  absl::flat_hash_map<int, std::unique_ptr<Device>> devices_;
  Id last_id_ = 0;
  EventLoop::TimerId gather_ = 0;  // 0: not running
  EventLoop::TimerId retry_ = 0;   // 0: not running
  bool everything_ = false;        // gathered: not only routes
  // Looking up every pair: since when (never: it is done), and when again.
  Micros pass_began_{};
  Micros next_pass_{};
  bool work_posted_ = false;
  Stats stats_;
};

}  // namespace sluice::net

#endif  // SLUICE_BASE_NET_NEXT_HOPS_H_
