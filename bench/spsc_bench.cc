// A message through base/spsc_queue.h. With one thread: a floor of what a
// command costs its two threads together. With two: a ceiling of how many a
// second can pass, since here neither thread does anything else; on a machine
// with one free core it measures the scheduler.

#include <atomic>
#include <cstdint>
#include <memory>
#include <thread>

#include "base/check.h"
#include "base/spsc_queue.h"
#include "benchmark/benchmark.h"

namespace sluice {
namespace {

// As large as the messages between control thread and shard: an event, and a
// command.
template <size_t kBytes>
struct Message {
  uint64_t number = 0;
  uint8_t rest[kBytes - sizeof(uint64_t)] = {};
};
static_assert(sizeof(Message<64>) == 64);

constexpr size_t kCapacity = 1024;

template <size_t kBytes>
void BM_OneThread(benchmark::State& state) {
  auto queue = std::make_unique<SpscQueue<Message<kBytes>, kCapacity>>();
  Message<kBytes> message;
  for (auto _ : state) {
    ++message.number;
    benchmark::DoNotOptimize(queue->TryPush(message));
    Message<kBytes> out;
    benchmark::DoNotOptimize(queue->TryPop(&out));
    benchmark::DoNotOptimize(out.number);
  }
  state.SetItemsProcessed(state.iterations());
  state.SetBytesProcessed(state.iterations() * int64_t{kBytes});
}
BENCHMARK(BM_OneThread<64>);
BENCHMARK(BM_OneThread<192>);

// One iteration is so many messages pushed here and popped, in order, there.
template <size_t kBytes>
void BM_TwoThreads(benchmark::State& state) {
  constexpr uint64_t kBatch = 64 * kCapacity;
  auto queue = std::make_unique<SpscQueue<Message<kBytes>, kCapacity>>();
  std::atomic<uint64_t> popped{0};
  std::atomic<bool> done{false};
  std::thread consumer([&] {
    Message<kBytes> message;
    uint64_t want = 0;
    // Told once an empty queue, so that the count is no second queue.
    while (!done.load(std::memory_order_relaxed)) {
      while (queue->TryPop(&message)) {
        CHECK(message.number == want);
        ++want;
      }
      popped.store(want, std::memory_order_release);
      std::this_thread::yield();
    }
  });
  Message<kBytes> message;
  for (auto _ : state) {
    const uint64_t end = message.number + kBatch;
    while (message.number < end) {
      if (queue->TryPush(message)) {
        ++message.number;
      } else {
        std::this_thread::yield();
      }
    }
    while (popped.load(std::memory_order_acquire) != end) {
      std::this_thread::yield();
    }
  }
  done.store(true, std::memory_order_relaxed);
  consumer.join();
  state.SetItemsProcessed(state.iterations() * int64_t{kBatch});
  state.SetBytesProcessed(state.iterations() * int64_t{kBatch * kBytes});
}
BENCHMARK(BM_TwoThreads<64>)->UseRealTime()->Unit(benchmark::kMicrosecond);
BENCHMARK(BM_TwoThreads<192>)->UseRealTime()->Unit(benchmark::kMicrosecond);

}  // namespace
}  // namespace sluice
