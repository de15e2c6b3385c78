#ifndef SLUICE_RELAY_SHARD_POOL_H_
#define SLUICE_RELAY_SHARD_POOL_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "relay/counters.h"
#include "relay/media_plane.h"

namespace sluice::relay {

enum class EngineKind { kAuto, kUring, kEpoll };

// The shards: threads, cores, queues, and which sockets and flows live where.
//
// Thread: control only, but counters(), shards() and engine() on any.
// Owns: the shard threads, every relay socket until its kSocketClosed.
class ShardPool final : public MediaPlane {
 public:
  struct Options {
    uint32_t shards = 0;  // 0: one per usable core
    EngineKind engine = EngineKind::kAuto;
    uint32_t sockets_per_shard = 65536;
    uint32_t flows_per_shard = 32768;
    // What all shards together may hold open where sockets are descriptors of
    // the process; 0: no bound of ours. A ring that holds them itself may have
    // as many as the process descriptors, each.
    uint64_t descriptors = 0;
    uint32_t batch_wait_us = 0;
    uint32_t max_datagram = 2048;
    uint32_t sq_entries = 1024, cq_entries = 16384, receive_buffers = 4096;
    Micros learn_window = Micros::Seconds(3);
    // Core of shard k is the k-th usable one. Off when there is one core.
    bool pin = true;
  };
  // Starts the threads; fails in words when an engine asked for by name cannot
  // be had (auto takes the best that works).
  static absl::StatusOr<std::unique_ptr<ShardPool>> Start(
      const Options& options);
  // Stops and joins; every socket is closed.
  ~ShardPool() override;

  // Readable when events wait; to be added to the control thread's loop. The
  // owner reads it empty before DrainEvents (8 octets, eventfd).
  int event_fd() const;
  // "io_uring" or "epoll", and why that one.
  const std::string& engine() const;
  const std::string& engine_reason() const;
  const ShardCounters& counters(uint32_t shard) const;
  // How many sockets can be open at once, in all shards.
  uint64_t sockets_max() const;

  uint32_t shards() const override;
  uint32_t PickShard() const override;
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
                                   Side to) const override;
  void Pause(uint32_t shard, Slot flow, Side from) override;
  void DrainEvents(
      absl::FunctionRef<void(uint32_t shard, const Event&)> visit) override;
  void Watch(uint32_t shard, Slot flow, bool on) override;
  void DrainCopies(absl::FunctionRef<void(const PacketCopy&)> visit) override;
  uint64_t CopiesLost() const override;

 private:
  struct Impl;
  explicit ShardPool(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace sluice::relay

#endif  // SLUICE_RELAY_SHARD_POOL_H_
