// Taking ports and giving them back, with nothing opened or bound. A floor of
// what setting a call up costs; two socket() and bind() calls are about a
// hundred times as much.

#include <cstdint>
#include <vector>

#include "base/check.h"
#include "benchmark/benchmark.h"
#include "relay/port_pool.h"

namespace sluice::relay {
namespace {

constexpr uint64_t kSeed = 1;

PortPool::Options Range() {
  return {.first = Port::FromHost(10'000),
          .last = Port::FromHost(59'999),
          .quarantine = Micros::Seconds(2),
          .seed = kSeed};
}

// Take(n) and n times Release in a pool of which so many percent are taken as
// singles, so that runs are hard to find. The clock moves 20 ms a call: some
// hundred runs rest at any time.
void BM_TakeAndRelease(benchmark::State& state) {
  const auto count = static_cast<int>(state.range(0));
  PortPool pool(Range());
  Micros now = Micros::Seconds(1);
  const auto singles = static_cast<uint32_t>(
      pool.size() / 2 * static_cast<uint64_t>(state.range(1)) / 100);
  for (uint32_t i = 0; i < singles; ++i) CHECK(pool.Take(1, now).ok());
  uint64_t refused = 0;
  for (auto _ : state) {
    now = now + Micros::Millis(20);
    const auto port = pool.Take(count, now);
    if (!port.ok()) {
      ++refused;
      continue;
    }
    for (int i = 0; i < count; ++i) {
      pool.Release(Port::FromHost(static_cast<uint16_t>(port->host() + i)),
                   now);
    }
  }
  state.counters["refused"] = benchmark::Counter(
      static_cast<double>(refused) / static_cast<double>(state.iterations()));
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(BM_TakeAndRelease)
    ->ArgNames({"ports", "percent_taken"})
    ->Args({1, 0})
    ->Args({2, 0})
    ->Args({2, 50})
    ->Args({4, 0})
    ->Args({4, 50})
    ->Args({8, 50})
    ->Args({16, 50});

// The worst there is: 16 ports wanted, no two pairs free side by side, so that
// the whole range is walked and the answer is no.
void BM_RefuseARun(benchmark::State& state) {
  PortPool pool(Range());
  const Micros now = Micros::Seconds(1);
  while (pool.Take(2, now).ok()) {
  }
  for (uint16_t port = 10'000; port < 59'999;
       port = static_cast<uint16_t>(port + 4)) {
    pool.Release(Port::FromHost(port), now);
    pool.Release(Port::FromHost(static_cast<uint16_t>(port + 1)), now);
  }
  const Micros later = now + Micros::Seconds(2);
  for (auto _ : state) {
    CHECK(!pool.Take(16, later).ok());
  }
}
BENCHMARK(BM_RefuseARun)->Unit(benchmark::kMicrosecond);

}  // namespace
}  // namespace sluice::relay
