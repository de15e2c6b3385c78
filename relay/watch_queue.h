#ifndef SLUICE_RELAY_WATCH_QUEUE_H_
#define SLUICE_RELAY_WATCH_QUEUE_H_

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

#include "base/address.h"
#include "base/fixed_table.h"
#include "base/types.h"

namespace sluice::relay {

// A datagram that a watched flow has received, as its shard saw it.
struct WatchedPacket {
  static constexpr size_t kBytesMax = 2048;

  Micros at{};          // SystemClock
  Endpoint source{};    // who sent it
  Slot socket{};        // where it came in
  uint32_t length = 0;  // of the payload
  uint32_t captured = 0;
  uint8_t payload[kBytesMax];
};

// Copies on their way from a shard to the control thread: a lock-free queue of
// one producer and one consumer, as base/spsc_queue.h, but written and read in
// place. Its memory is touched only where copies have been, so that a shard
// that never was watched has none.
//
// Thread: Push on the shard's, the others on the control thread.
class WatchQueue {
 public:
  // 20 ms, the control thread's look, of some 12,000 packets a second.
  static constexpr uint32_t kCapacity = 256;

  // False when full.
  bool Push(Micros at, const Endpoint& source, Slot socket,
            std::span<const uint8_t> payload) noexcept {
    const uint64_t tail = tail_.load(std::memory_order_relaxed);
    if (tail - head_.load(std::memory_order_acquire) == kCapacity) {
      return false;
    }
    WatchedPacket& to = packets_[static_cast<uint32_t>(tail % kCapacity)];
    to.at = at;
    to.source = source;
    to.socket = socket;
    to.length = static_cast<uint32_t>(payload.size());
    to.captured = static_cast<uint32_t>(
        std::min(payload.size(), WatchedPacket::kBytesMax));
    if (to.captured > 0) {
      std::memcpy(to.payload, payload.data(), to.captured);
    }
    tail_.store(tail + 1, std::memory_order_release);
    return true;
  }

  // The oldest; nullptr: none. It stays where it is until Pop().
  const WatchedPacket* Front() const noexcept {
    const uint64_t head = head_.load(std::memory_order_relaxed);
    if (tail_.load(std::memory_order_acquire) == head) return nullptr;
    return &packets_[static_cast<uint32_t>(head % kCapacity)];
  }
  // REQUIRES: Front() was not null.
  void Pop() noexcept {
    head_.store(head_.load(std::memory_order_relaxed) + 1,
                std::memory_order_release);
  }

 private:
  alignas(64) std::atomic<uint64_t> tail_{0};
  alignas(64) std::atomic<uint64_t> head_{0};
  FixedTable<WatchedPacket> packets_{kCapacity};
};

}  // namespace sluice::relay

#endif  // SLUICE_RELAY_WATCH_QUEUE_H_
