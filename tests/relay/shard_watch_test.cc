// Goal: a watched flow's packets are copied as they came, whatever becomes of
// them; any other flow's are not; a full queue costs copies and no packet.
// Method: a shard on a fake engine, commanded by hand.

#include <gtest/gtest.h>

#include <memory>
#include <vector>

#include "relay/shard.h"
#include "relay/watch_queue.h"
#include "tests/fakes/fake_engine.h"
#include "tests/fakes/packets.h"

namespace sluice::relay {
namespace {

using net::FakeEngine;

const Endpoint kAlice = At("192.0.2.1:4000");
const Endpoint kBob = At("192.0.2.2:6000");
const Endpoint kEve = At("192.0.2.3:6000");
constexpr int kToAlice = 100, kToBob = 101;  // descriptors

class ShardWatch : public testing::Test {
 protected:
  ShardWatch() {
    for (uint32_t i : {0u, 1u}) {
      Command c{.kind = Command::Kind::kOpenSocket,
                .fd = kToAlice + static_cast<int>(i),
                .slot = {i, 3}};
      c.target[0].target = At("127.0.0.1:10000");
      EXPECT_TRUE(commands.TryPush(c));
    }
    OpenFlow(1);
  }
  void OpenFlow(uint32_t generation) {
    Command c{.kind = Command::Kind::kOpenFlow, .slot = {0, generation}};
    c.socket[0] = {0, 3};
    c.socket[1] = {1, 3};
    c.target[0].target = kAlice;
    c.target[1].target = kBob;
    EXPECT_TRUE(commands.TryPush(c));
  }
  void Watch(bool on, uint32_t generation = 1) {
    const Command watch{
        .kind = Command::Kind::kWatch, .on = on, .slot = {0, generation}};
    EXPECT_TRUE(commands.TryPush(watch));
  }
  void Run() {
    for (int i = 0; i < 3; ++i) shard.RunOnce(Micros::Millis(1));
    EXPECT_EQ(counters.packets_in.Get(), counters.packets_out.Get() +
                                             counters.DropsTotal() +
                                             shard.sends_in_flight());
  }
  struct Seen {
    Endpoint source;
    uint32_t socket;
    std::vector<uint8_t> payload;
  };
  std::vector<Seen> Copies() {
    std::vector<Seen> seen;
    for (; const WatchedPacket* packet = copies.Front(); copies.Pop()) {
      EXPECT_EQ(packet->socket.generation, 3u);
      EXPECT_LE(packet->at, engine.now);
      EXPECT_GT(packet->at, Micros());
      seen.push_back({packet->source,
                      packet->socket.index,
                      {packet->payload, packet->payload + packet->captured}});
    }
    return seen;
  }

  FakeEngine engine{1024, 4096};
  FlowTable flows{4};
  ShardCounters counters;
  CommandQueue commands;
  EventQueue events;
  WatchQueue copies;
  Shard<FakeEngine> shard{engine,   {.sockets = 4, .copies = &copies},
                          flows,    counters,
                          commands, events};
};

TEST_F(ShardWatch, CopiesNothingUnasked) {
  engine.Deliver(kToAlice, kAlice, Rtp(1));
  Run();
  EXPECT_EQ(engine.sent.size(), 1u);
  EXPECT_TRUE(Copies().empty());
  EXPECT_EQ(counters.watch_copied.Get(), 0u);
}

TEST_F(ShardWatch, CopiesBothDirectionsAndWhatIsDroppedUntilToldNotTo) {
  Watch(true);
  Run();
  engine.Deliver(kToAlice, kAlice, Rtp(1));
  Run();
  engine.Deliver(kToBob, kBob, Rtp(9));
  Run();
  engine.Deliver(kToBob, kEve, Rtp(5));
  Run();
  engine.Deliver(kToAlice, kAlice, {});
  Run();
  const std::vector<Seen> seen = Copies();
  ASSERT_EQ(seen.size(), 4u);
  EXPECT_EQ(seen[0].source, kAlice);
  EXPECT_EQ(seen[0].socket, 0u);
  EXPECT_EQ(seen[0].payload, Rtp(1));
  EXPECT_EQ(seen[1].source, kBob);
  EXPECT_EQ(seen[1].socket, 1u);
  EXPECT_EQ(seen[1].payload, Rtp(9));
  EXPECT_EQ(seen[2].source, kEve);
  EXPECT_TRUE(seen[3].payload.empty());
  EXPECT_EQ(engine.sent.size(), 2u);
  EXPECT_EQ(counters.watch_copied.Get(), 4u);
  Watch(false);
  engine.Deliver(kToAlice, kAlice, Rtp(2));
  Run();
  EXPECT_EQ(engine.sent.size(), 3u);
  EXPECT_TRUE(Copies().empty());
}

TEST_F(ShardWatch, KeepsTheBeginningOfWhatIsLong) {
  Watch(true);
  Run();
  std::vector<uint8_t> packet = Rtp(1);
  packet.resize(3'000, 7);
  engine.Deliver(kToAlice, kAlice, packet);
  Run();
  const WatchedPacket* const copy = copies.Front();
  ASSERT_NE(copy, nullptr);
  EXPECT_EQ(copy->length, 3'000u);
  EXPECT_EQ(copy->captured, WatchedPacket::kBytesMax);
  EXPECT_EQ(engine.sent.at(0).payload, packet);
}

TEST_F(ShardWatch, AFullQueueCostsCopiesAndNoPacket) {
  Watch(true);
  Run();
  constexpr uint32_t kMore = 10;
  const uint32_t all = WatchQueue::kCapacity + kMore;
  for (uint32_t s = 0; s < all; ++s) {
    engine.Deliver(kToAlice, kAlice, Rtp(static_cast<uint16_t>(s)));
  }
  Run();
  EXPECT_EQ(engine.sent.size(), all);
  EXPECT_EQ(counters.watch_lost.Get(), kMore);
  const std::vector<Seen> seen = Copies();
  ASSERT_EQ(seen.size(), WatchQueue::kCapacity);
  EXPECT_EQ(seen.back().payload, Rtp(WatchQueue::kCapacity - 1));
  // There is room again.
  engine.Deliver(kToAlice, kAlice, Rtp(1000));
  Run();
  EXPECT_EQ(Copies().size(), 1u);
}

TEST_F(ShardWatch, EndsWithTheFlow) {
  Watch(true);
  Run();
  EXPECT_TRUE(commands.TryPush(
      Command{.kind = Command::Kind::kCloseFlow, .slot = {0, 1}}));
  OpenFlow(2);
  Watch(true, 1);  // late: of the one before
  engine.Deliver(kToAlice, kAlice, Rtp(1));
  Run();
  EXPECT_EQ(engine.sent.size(), 1u);
  EXPECT_TRUE(Copies().empty());
}

}  // namespace
}  // namespace sluice::relay
