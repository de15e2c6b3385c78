// What is done of a packet's decision in rtp/packet.h and rtp/stream_stats.h:
// is it RTP, and what does it say of the road. A floor of forwarder_bench: a
// decision also looks its flow up and asks the latch.

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <random>
#include <span>
#include <vector>

#include "benchmark/benchmark.h"
#include "rtp/packet.h"
#include "rtp/stream_stats.h"

namespace sluice::relay {
namespace {

using Packet = std::array<uint8_t, 172>;  // G.711, 20 ms

void SetSequence(Packet& packet, uint16_t sequence) {
  const uint32_t timestamp = sequence * 160u;
  packet[2] = static_cast<uint8_t>(sequence >> 8);
  packet[3] = static_cast<uint8_t>(sequence);
  for (size_t i = 0; i < 4; ++i) {
    packet[7 - i] = static_cast<uint8_t>(timestamp >> 8 * i);
  }
}

Packet MakePacket() {
  Packet packet{};
  packet[0] = 0x80;
  packet[11] = 1;
  SetSequence(packet, 1);
  return packet;
}

void BM_ParseRtp(benchmark::State& state) {
  const Packet packet = MakePacket();
  for (auto _ : state) {
    benchmark::DoNotOptimize(packet.data());
    benchmark::DoNotOptimize(rtp::ParseRtp(packet));
  }
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(BM_ParseRtp);

// CSRC, extension and padding: the way off the hot path.
void BM_ParseRtpWithEverything(benchmark::State& state) {
  Packet packet = MakePacket();
  packet[0] = 0xb1;
  packet[19] = 2;     // two words of extension
  packet.back() = 4;  // octets of padding
  for (auto _ : state) {
    benchmark::DoNotOptimize(packet.data());
    benchmark::DoNotOptimize(rtp::ParseRtp(packet));
  }
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(BM_ParseRtpWithEverything);

// ParseRtp and OnRtp, a packet of each of so many streams in turn, in no order:
// with many the books come from memory, as in life.
void BM_ParseAndBook(benchmark::State& state) {
  std::vector<rtp::StreamStats> books(static_cast<size_t>(state.range(0)));
  for (rtp::StreamStats& stats : books) stats.Reset(8000);
  std::vector<rtp::StreamStats*> order;
  for (rtp::StreamStats& stats : books) order.push_back(&stats);
  std::shuffle(order.begin(), order.end(), std::mt19937(1));
  Packet packet = MakePacket();
  Micros now = Micros::Seconds(1);
  uint16_t sequence = 1;
  auto next = order.begin();
  for (auto _ : state) {
    benchmark::DoNotOptimize(packet.data());
    benchmark::ClobberMemory();
    if (const auto header = rtp::ParseRtp(packet)) (*next)->OnRtp(*header, now);
    if (++next == order.end()) {
      next = order.begin();
      SetSequence(packet, ++sequence);
      now = now + Micros::Millis(20);
    }
  }
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(BM_ParseAndBook)->Arg(1)->Arg(64)->Arg(20'000);

// A road that reorders: one packet in eight comes two places late.
void BM_BookReordered(benchmark::State& state) {
  rtp::StreamStats stats;
  stats.Reset(8000);
  Micros now = Micros::Seconds(1);
  uint32_t i = 0;
  for (auto _ : state) {
    const uint32_t sequence = (i & 7) == 5 ? i + 2 : (i & 7) == 7 ? i - 2 : i;
    stats.OnRtp({.ssrc = 1,
                 .timestamp = sequence * 160,
                 .sequence = static_cast<uint16_t>(sequence)},
                now);
    now = now + Micros::Millis(20);
    ++i;
  }
  benchmark::DoNotOptimize(stats.Quality());
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(BM_BookReordered);

// Once a second or so for each side: SR with one block, and SDES.
void BM_ReadRtcpReports(benchmark::State& state) {
  std::vector<uint8_t> packet(52 + 16);
  packet[0] = 0x81;
  packet[1] = 200;
  packet[3] = 12;
  packet[52] = 0x81;
  packet[53] = 202;
  packet[55] = 3;
  for (auto _ : state) {
    benchmark::DoNotOptimize(packet.data());
    if (rtp::ValidRtcp(packet))
      benchmark::DoNotOptimize(rtp::ReadRtcpReports(packet));
  }
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(BM_ReadRtcpReports);

}  // namespace
}  // namespace sluice::relay
