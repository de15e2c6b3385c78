#ifndef SLUICE_CONTROL_MEDIA_PORTS_H_
#define SLUICE_CONTROL_MEDIA_PORTS_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "base/address.h"
#include "base/types.h"
#include "control/call.h"
#include "control/config.h"
#include "control/manager_counters.h"
#include "relay/media_plane.h"
#include "relay/port_pool.h"

namespace sluice::control {

// The media interfaces, their ports, and which port every open socket holds.
//
//   pool --Take--> OpenSocket --> open --Close--> closing --OnClosed--> pool
//
// A port is back in its pool only when the shard has said that the socket is
// closed: before that a late packet could reach the port's next call (L5).
//
// A port that is the target of a live call is not given out either: refusing
// our ports in use as targets (security M6) would be worth little if a call
// could name a free one and wait for it to be taken.
//
// Thread: control only. Borrows the plane and the counters.
class MediaPorts {
 public:
  struct Options {
    std::vector<InterfaceConfig> interfaces{};  // 1 to 255
    Port first{};                               // even
    Port last{};                                // odd
    uint64_t seed = 0;  // of the pools; 0: from the kernel's random source
  };
  MediaPorts(const Options& options, relay::MediaPlane& plane,
             ManagerCounters& counters);

  // By the address sockets are bound to, or by the one that is announced.
  std::optional<uint8_t> Find(const IpAddress& local) const;
  size_t interfaces() const { return interfaces_.size(); }
  const InterfaceConfig& config(size_t interface) const {
    return interfaces_[interface].config;
  }
  // Ports of all interfaces, free or not.
  size_t total() const {
    size_t sum = 0;
    for (size_t i = 0; i < interfaces(); ++i) sum += pool(i).size();
    return sum;
  }
  const relay::PortPool& pool(size_t interface) const {
    return *interfaces_[interface].pool;
  }
  // What peers are told: the advertised address if there is one.
  const IpAddress& Announced(size_t interface) const;
  void SetLatch(size_t interface, relay::LatchPolicy latch) {
    interfaces_[interface].config.latch = latch;
  }
  // Whether this is a port of ours that a socket holds.
  bool IsTaken(const Endpoint& endpoint) const;

  // A run of ports and their sockets for every medium; sets Medium::base.
  // Whole or not at all. ResourceExhausted when there are no ports, else
  // whatever the plane said.
  absl::StatusOr<std::vector<Slot>> Open(uint32_t shard, uint8_t interface,
                                         absl::Span<Medium> media, Micros now);
  // The same on the ports that the media say (Medium::base), for a call that
  // had them before this process was. InvalidArgument (not of our range),
  // AlreadyExists (not free), PermissionDenied (a live call's target).
  absl::StatusOr<std::vector<Slot>> OpenThese(uint32_t shard, uint8_t interface,
                                              absl::Span<Medium> media,
                                              Micros now);
  // Where an open socket is bound.
  std::optional<Endpoint> LocalOf(uint32_t shard, Slot socket) const;
  // Another group holds this open socket: it is closed by as many Closes.
  void Share(uint32_t shard, Slot socket);
  void Close(uint32_t shard, Slot socket);
  // Event::kSocketClosed. One of another generation is not ours any more.
  // False: nobody had asked for it.
  bool OnClosed(uint32_t shard, Slot socket, Micros now);

  // Media goes to (no longer to) the addresses of `medium`.
  void AddTargets(const Medium& medium);
  void RemoveTargets(const Medium& medium);

  // Sockets whose kSocketClosed has not come yet, asked to close or not.
  size_t sockets() const { return sockets_open_; }
  size_t closing() const { return sockets_closing_; }
  bool IsOpen(uint32_t shard, Slot socket) const;
  // The books against the pools, for tests.
  bool Validate() const;

 private:
  struct Interface {
    InterfaceConfig config{};
    std::unique_ptr<relay::PortPool> pool;
  };
  // Who holds which port, by the index of the socket's slot.
  struct Holder {
    uint32_t generation = 0;  // 0: nobody
    Port port{};
    uint8_t interface = 0;
    bool closing = false;
    uint16_t groups = 1;  // that hold it
  };

  bool IsOwn(const IpAddress& ip) const;
  bool AnyIsTarget(const IpAddress& address, Port base, int range) const;
  absl::Status OpenRun(uint32_t shard, uint8_t interface, Medium& medium,
                       std::vector<Slot>& sockets, Micros now);
  absl::Status OpenThis(uint32_t shard, uint8_t interface, const Medium& medium,
                        std::vector<Slot>& sockets, Micros now);
  template <typename OpenOne>
  absl::StatusOr<std::vector<Slot>> OpenEach(uint32_t shard,
                                             absl::Span<Medium> media,
                                             OpenOne&& open);
  absl::Status OpenPorts(uint32_t shard, uint8_t interface, Port base,
                         int range, std::vector<Slot>& sockets, Micros now);
  const Holder* FindHolder(uint32_t shard, Slot socket) const;
  Holder* FindHolder(uint32_t shard, Slot socket);

  relay::MediaPlane& plane_;
  ManagerCounters& counters_;
  std::vector<Interface> interfaces_;
  std::vector<std::vector<Holder>> holders_;  // by shard, by slot index
  size_t sockets_open_ = 0;
  size_t sockets_closing_ = 0;  // of those
  // Targets on our own addresses, with how many media name each.
  absl::flat_hash_map<Endpoint, uint32_t> own_targets_;
};

}  // namespace sluice::control

#endif  // SLUICE_CONTROL_MEDIA_PORTS_H_
