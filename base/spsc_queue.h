#ifndef SLUICE_BASE_SPSC_QUEUE_H_
#define SLUICE_BASE_SPSC_QUEUE_H_

#include <array>
#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <type_traits>

namespace sluice {

// A queue of fixed capacity between exactly two threads. Nothing blocks,
// nothing allocates, nothing is thrown away: a full queue is the producer's
// problem, and TryPush() says so.
//
//        head_ (consumer moves)     tail_ (producer moves)
//          v                          v
//   | . | A | B | C | D | E | F | G | . | . |      size = tail_ - head_
//
// Invariants:
//  (1) 0 <= tail_ - head_ <= kCapacity. Both only grow; the place is the low
//      bits.
//  (2) A place in [head_, tail_) belongs to the consumer, every other place to
//      the producer. The release store of an index hands the place over, and
//      the other side's acquire load of that index takes it.
template <typename T, size_t kCapacity>
class SpscQueue {
  static_assert(std::has_single_bit(kCapacity), "place = index & mask");
  static_assert(std::is_trivially_copyable_v<T>, "a message is bytes");

 public:
  // Producer. False when full.
  bool TryPush(const T& item) noexcept {
    const uint64_t tail = tail_.load(std::memory_order_relaxed);
    if (tail - head_seen_ == kCapacity) {
      head_seen_ = head_.load(std::memory_order_acquire);
      if (tail - head_seen_ == kCapacity) return false;
    }
    items_[tail & (kCapacity - 1)] = item;
    tail_.store(tail + 1, std::memory_order_release);
    return true;
  }

  // Consumer. False when empty.
  bool TryPop(T* item) noexcept {
    const uint64_t head = head_.load(std::memory_order_relaxed);
    if (head == tail_seen_) {
      tail_seen_ = tail_.load(std::memory_order_acquire);
      if (head == tail_seen_) return false;
    }
    *item = items_[head & (kCapacity - 1)];
    head_.store(head + 1, std::memory_order_release);
    return true;
  }

  // Any thread; a moment's truth.
  bool empty() const noexcept {
    return tail_.load(std::memory_order_acquire) ==
           head_.load(std::memory_order_acquire);
  }
  // Producer: places that are certainly free now.
  size_t room() const noexcept {
    return kCapacity - (tail_.load(std::memory_order_relaxed) -
                        head_.load(std::memory_order_acquire));
  }

 private:
  // Each thread's index with what it last saw of the other's, a line apart so
  // that neither pulls the other's line for nothing.
  alignas(64) std::atomic<uint64_t> tail_{0};
  uint64_t head_seen_ = 0;
  alignas(64) std::atomic<uint64_t> head_{0};
  uint64_t tail_seen_ = 0;
  alignas(64) std::array<T, kCapacity> items_{};
};

}  // namespace sluice

#endif  // SLUICE_BASE_SPSC_QUEUE_H_
