// The decision on one packet, without a socket: the floor of what a packet
// costs in our own code. Budget: 60 ns and 400 instructions (callgrind) a
// packet.
//
//   BM_Decide/N   N flows taken in turn, so that N x ~700 octets of flow are
//   the
//                 cache's problem as they are in a full shard.
#include <benchmark/benchmark.h>

#include "relay/flow.h"
#include "relay/forwarder.h"
#include "tests/fakes/packets.h"

namespace sluice::relay {
namespace {

const Endpoint kAlice = At("192.0.2.1:4000");
const Endpoint kBob = At("192.0.2.2:6000");
constexpr Micros kStart = Micros::Seconds(10);

void BM_Decide(benchmark::State& state) {
  const auto n = static_cast<uint32_t>(state.range(0));
  FlowTable flows(n);
  const Endpoint parties[] = {kAlice, kBob};
  for (uint32_t i = 0; i < n; ++i) {
    flows[i].generation = 1;
    flows[i].policy[0] = LatchPolicy::kSdpFirst;
    for (int s : {0, 1}) {
      FlowSide& side = flows[i].side[s];
      side.cells.Reset(8000);
      side.latch.Reset({.target = parties[s]}, kStart);
      side.to = net::SendAddress(AF_INET, parties[s]);
    }
  }
  Bytes packet = Rtp(0);
  uint64_t sent = 0;
  uint64_t packets = 0;
  for (auto _ : state) {
    for (uint32_t i = 0; i < n; ++i) {
      // Every flow sees its own stream in sequence, 20 ms apart.
      const auto round = static_cast<uint16_t>(packets / n);
      packet[2] = static_cast<uint8_t>(round >> 8);
      packet[3] = static_cast<uint8_t>(round);
      const Verdict v =
          Decide(flows[i], Side::kFrom, {.source = kAlice, .payload = packet},
                 nullptr, kStart + Micros::Millis(20 * round));
      sent += v.send ? 1 : 0;
      ++packets;
    }
  }
  // Nobody makes this faster by making it wrong.
  if (sent != packets) state.SkipWithError("a packet was not sent");
  state.SetItemsProcessed(static_cast<int64_t>(packets));
}
BENCHMARK(BM_Decide)->Arg(1)->Arg(1'000)->Arg(20'000);

// The longest road to a drop: a stranger at a confirmed latch.
void BM_DecideStranger(benchmark::State& state) {
  FlowTable flows(1);
  flows[0].generation = 1;
  flows[0].policy[0] = LatchPolicy::kSdpFirst;
  for (int s : {0, 1}) {
    flows[0].side[s].cells.Reset(8000);
    flows[0].side[s].latch.Reset({.target = s == 0 ? kAlice : kBob}, kStart);
    flows[0].side[s].to = net::SendAddress(AF_INET, kBob);
  }
  const Bytes packet = Rtp(1);
  Decide(flows[0], Side::kFrom, {.source = kAlice, .payload = packet}, nullptr,
         kStart);
  uint64_t sent = 0;
  for (auto _ : state) {
    sent += Decide(flows[0], Side::kFrom, {.source = kBob, .payload = packet},
                   nullptr, kStart)
                    .send
                ? 1
                : 0;
  }
  if (sent != 0) state.SkipWithError("a stranger was heard");
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(BM_DecideStranger);

}  // namespace
}  // namespace sluice::relay
