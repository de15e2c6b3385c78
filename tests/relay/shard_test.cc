#include "relay/shard.h"

#include <gtest/gtest.h>

#include <memory>
#include <set>
#include <vector>

#include "tests/fakes/fake_engine.h"
#include "tests/fakes/packets.h"

namespace sluice::relay {
namespace {

using net::FakeEngine;

const Endpoint kAlice = At("192.0.2.1:4000");
const Endpoint kBob = At("192.0.2.2:6000");
const Endpoint kBob2 = At("192.0.2.3:6000");
constexpr int kToAlice = 100;  // descriptors
constexpr int kToBob = 101;

// A shard on a fake engine, commanded by hand.
class ShardTest : public testing::Test {
 protected:
  explicit ShardTest(uint32_t buffers = 16) : engine(buffers) {
    shard = std::make_unique<Shard<FakeEngine>>(
        engine, Shard<FakeEngine>::Options{.sockets = 64}, flows, counters,
        commands, events);
  }

  Slot OpenSocket(uint32_t index, int fd, uint32_t generation = 1) {
    Command c{.kind = Command::Kind::kOpenSocket,
              .fd = fd,
              .slot = {index, generation}};
    c.target[0].target = At("127.0.0.1:10000");
    EXPECT_TRUE(commands.TryPush(c));
    return c.slot;
  }
  Slot OpenFlow(uint32_t index, Slot from, Slot to, const Endpoint& alice,
                const Endpoint& bob, uint32_t generation = 1) {
    Command c{.kind = Command::Kind::kOpenFlow, .slot = {index, generation}};
    c.socket[0] = from;
    c.socket[1] = to;
    c.target[0].target = alice;
    c.target[1].target = bob;
    EXPECT_TRUE(commands.TryPush(c));
    return c.slot;
  }
  void Tell(Command::Kind kind, Slot slot) {
    EXPECT_TRUE(commands.TryPush(Command{.kind = kind, .slot = slot}));
  }
  // Sockets 0 (faces Alice) and 1 (faces Bob) in flow 0.
  Slot OpenCall() {
    alice_socket = OpenSocket(0, kToAlice);
    bob_socket = OpenSocket(1, kToBob);
    return OpenFlow(0, alice_socket, bob_socket, kAlice, kBob);
  }
  void Run(int turns = 3) {
    for (int i = 0; i < turns; ++i) {
      last = shard->RunOnce(Micros::Millis(10));
      EXPECT_EQ(counters.packets_in.Get(), counters.packets_out.Get() +
                                               counters.DropsTotal() +
                                               shard->sends_in_flight());
      EXPECT_EQ(engine.buffers_free() + shard->sends_in_flight(),
                engine.buffers_total());
    }
  }
  std::vector<Event> Events() {
    std::vector<Event> out;
    Event e;
    while (events.TryPop(&e)) out.push_back(e);
    return out;
  }

  FakeEngine engine;
  FlowTable flows{64};
  ShardCounters counters;
  CommandQueue commands;
  EventQueue events;
  std::unique_ptr<Shard<FakeEngine>> shard;
  Slot alice_socket, bob_socket;
  Shard<FakeEngine>::Turn last{};
};

TEST_F(ShardTest, WhatComesInOnOneSideLeavesFromTheOther) {
  OpenCall();
  engine.Deliver(kToAlice, kAlice, Rtp(1));
  engine.Deliver(kToBob, kBob, Rtp(9));
  Run();
  ASSERT_EQ(engine.sent.size(), 2u);
  for (const auto& sent : engine.sent) {
    EXPECT_EQ(sent.to, sent.fd == kToBob ? kBob : kAlice);
    EXPECT_EQ(sent.payload, sent.fd == kToBob ? Rtp(1) : Rtp(9));
  }
  const SideCells& alice = flows[0].side[0].cells;
  EXPECT_EQ(alice.packets_in.Get(), 1u);
  EXPECT_EQ(alice.packets_out.Get(), 1u);
  EXPECT_EQ(alice.bytes_out.Get(), 172u);
}

TEST_F(ShardTest, KeepsTheOrderInWhichPacketsCame) {
  OpenCall();
  for (uint16_t s = 0; s < 12; ++s) engine.Deliver(kToAlice, kAlice, Rtp(s));
  Run();
  ASSERT_EQ(engine.sent.size(), 12u);
  for (uint16_t s = 0; s < 12; ++s) EXPECT_EQ(engine.sent[s].payload, Rtp(s));
}

TEST_F(ShardTest, EarlyPacketsWaitInTheSocketUntilAFlowOpens) {
  alice_socket = OpenSocket(0, kToAlice);
  bob_socket = OpenSocket(1, kToBob);
  engine.Deliver(kToAlice, kAlice, Rtp(1));
  engine.Deliver(kToAlice, kAlice, Rtp(2));
  Run();
  EXPECT_EQ(engine.waiting(kToAlice), 2u);
  EXPECT_EQ(counters.packets_in.Get(), 0u);
  OpenFlow(0, alice_socket, bob_socket, kAlice, kBob);
  Run();
  ASSERT_EQ(engine.sent.size(), 2u);
  EXPECT_EQ(engine.sent[0].payload, Rtp(1));
}

TEST_F(ShardTest, ALatchIsToldOnceAndMovesTheDestination) {
  OpenCall();
  const Endpoint moved = At("192.0.2.1:7777");
  for (uint16_t s = 1; s < 6; ++s) engine.Deliver(kToAlice, moved, Rtp(s));
  Run();
  engine.Deliver(kToBob, kBob, Rtp(1));
  Run();
  EXPECT_EQ(engine.sent.back().to, moved);
  const auto told = Events();
  ASSERT_EQ(told.size(), 3u) << "tentative, confirmed, and Bob";
  EXPECT_EQ(told[0].kind, Event::Kind::kLatched);
  EXPECT_EQ(told[0].source, moved);
  EXPECT_FALSE(told[0].confirmed);
  EXPECT_TRUE(told[1].confirmed);
  EXPECT_EQ(told[2].side, Side::kTo);
  EXPECT_EQ(counters.latches.Get(), 3u);
}

TEST_F(ShardTest, RetargetMovesTheMediaAtOnceAndSaysSo) {
  const Slot flow = OpenCall();
  engine.Deliver(kToAlice, kAlice, Rtp(1));
  Run();
  Events();
  Command c{.kind = Command::Kind::kRetarget, .side = Side::kTo, .slot = flow};
  c.target[1].target = kBob2;
  commands.TryPush(c);
  engine.Deliver(kToAlice, kAlice, Rtp(2));
  Run();
  EXPECT_EQ(engine.sent.back().to, kBob2);
  const auto told = Events();
  ASSERT_EQ(told.size(), 1u);
  EXPECT_EQ(told[0].by, LatchedBy::kNothing);
  // Of a flow that is gone: nothing happens.
  c.slot.generation = 77;
  commands.TryPush(c);
  Run();
  EXPECT_TRUE(Events().empty());
}

TEST_F(ShardTest, AForkedOffersSocketServesTheFlowThatTheSourceNames) {
  alice_socket = OpenSocket(0, kToAlice);
  const Slot alice2 = OpenSocket(3, 103);
  const Slot offer = OpenSocket(1, kToBob);
  OpenFlow(0, alice_socket, offer, kAlice, kBob);
  OpenFlow(1, alice2, offer, kAlice, kBob2);
  engine.Deliver(kToBob, kBob, Rtp(1));
  engine.Deliver(kToBob, kBob2, Rtp(2));
  engine.Deliver(kToBob, kBob, Rtp(3));
  Run();
  ASSERT_EQ(engine.sent.size(), 3u);
  EXPECT_EQ(engine.sent[0].fd, kToAlice);
  EXPECT_EQ(engine.sent[1].fd, 103);
  EXPECT_EQ(engine.sent[2].fd, kToAlice);
  // One fork goes, the other talks on.
  Tell(Command::Kind::kCloseFlow, {0, 1});
  engine.Deliver(kToBob, kBob2, Rtp(4));
  engine.Deliver(kToBob, kBob, Rtp(5));
  Run();
  EXPECT_EQ(engine.sent.size(), 4u);
  EXPECT_EQ(engine.sent.back().fd, 103);
  EXPECT_EQ(counters.Drops(DropReason::k_wrong_source), 1u);
}

TEST_F(ShardTest, AForkBehindANatIsNotTakenForTheSilentOne) {
  alice_socket = OpenSocket(0, kToAlice);
  const Slot alice2 = OpenSocket(3, 103);
  const Slot offer = OpenSocket(1, kToBob);
  // The list has the newest answer first; the one that speaks is the older,
  // then the newer: both are told by their address.
  OpenFlow(0, alice_socket, offer, kAlice, kBob);
  OpenFlow(1, alice2, offer, kAlice, kBob2);
  const Endpoint natted{kBob.ip, Port::FromHost(7777)};
  const Endpoint natted2{kBob2.ip, Port::FromHost(7777)};
  engine.Deliver(kToBob, natted, Rtp(1));
  engine.Deliver(kToBob, natted2, Rtp(2));
  Run();
  ASSERT_EQ(engine.sent.size(), 2u);
  EXPECT_EQ(engine.sent[0].fd, kToAlice);
  EXPECT_EQ(engine.sent[1].fd, 103);
  EXPECT_EQ(counters.DropsTotal(), 0u);
}

TEST_F(ShardTest, AClosedFlowsSocketCountsNoFlow) {
  const Slot flow = OpenCall();
  Run();
  Tell(Command::Kind::kCloseFlow, flow);
  engine.Deliver(kToAlice, kAlice, Rtp(1));
  Run();
  EXPECT_EQ(counters.Drops(DropReason::k_no_flow), 1u);
  EXPECT_TRUE(engine.sent.empty());
}

TEST_F(ShardTest, AClosedSocketIsGivenBackOnceAndItsLatePacketsAreStale) {
  const Slot flow = OpenCall();
  Run();
  // Arrives in the turn in which the socket is closed.
  engine.Deliver(kToAlice, kAlice, Rtp(1));
  Tell(Command::Kind::kCloseFlow, flow);
  Tell(Command::Kind::kCloseSocket, alice_socket);
  Run();
  EXPECT_EQ(counters.Drops(DropReason::k_stale), 1u);
  EXPECT_EQ(engine.closed, std::set<int>{kToAlice});
  const auto told = Events();
  ASSERT_EQ(told.size(), 1u);
  EXPECT_EQ(told[0].kind, Event::Kind::kSocketClosed);
  EXPECT_EQ(told[0].slot, alice_socket);
  Tell(Command::Kind::kCloseSocket, bob_socket);
  Run();
  EXPECT_EQ(Events().size(), 1u);
  EXPECT_EQ(counters.sockets_closed.Get(), 2u);
}

TEST_F(ShardTest, ASocketWithSendsUnderWayIsClosedAfterThem) {
  engine.send_delay_turns = 4;
  const Slot flow = OpenCall();
  engine.Deliver(kToAlice, kAlice, Rtp(1));
  Run(2);
  Tell(Command::Kind::kCloseFlow, flow);
  Tell(Command::Kind::kCloseSocket, bob_socket);
  Run(2);
  EXPECT_TRUE(engine.closed.empty());
  Run(8);
  EXPECT_EQ(engine.closed, std::set<int>{kToBob});
  EXPECT_EQ(counters.packets_out.Get(), 1u);
  EXPECT_EQ(flows[0].side[1].cells.packets_out.Get(), 0u)
      << "the flow was gone when it was sent";
}

TEST_F(ShardTest, FailedSendsAreCountedByReason) {
  OpenCall();
  engine.fail_send_every = 1;
  for (auto [error, reason] :
       {std::pair{EAGAIN, DropReason::k_send_failed},
        std::pair{ENOBUFS, DropReason::k_send_failed},
        std::pair{ECONNREFUSED, DropReason::k_unreachable},
        std::pair{ENETUNREACH, DropReason::k_unreachable}}) {
    const uint64_t before = counters.Drops(reason);
    engine.fail_send_errno = error;
    engine.Deliver(kToAlice, kAlice, Rtp(1));
    Run();
    EXPECT_EQ(counters.Drops(reason), before + 1);
    const auto r = static_cast<size_t>(reason);
    EXPECT_EQ(flows[0].side[0].cells.drops[r].Get(), before + 1);
  }
}

TEST_F(ShardTest, ARefusedSendIsADropAndTheBufferComesBack) {
  OpenCall();
  engine.refuse_send_every = 2;
  for (uint16_t s = 0; s < 10; ++s) engine.Deliver(kToAlice, kAlice, Rtp(s));
  Run();
  EXPECT_EQ(counters.Drops(DropReason::k_ring_full), 5u);
  EXPECT_EQ(engine.sent.size(), 5u);
}

TEST_F(ShardTest, AReceiveThatEndsIsArmedAgain) {
  engine.end_receive_every = 2;
  OpenCall();
  for (uint16_t s = 0; s < 9; ++s) engine.Deliver(kToAlice, kAlice, Rtp(s));
  Run(12);
  EXPECT_EQ(engine.sent.size(), 9u);
  EXPECT_EQ(counters.receive_rearms.Get(), 4u);
}

TEST_F(ShardTest, ASocketErrorLeavesNobodyDeaf) {
  OpenCall();
  Run();
  engine.FailReceive(kToAlice, ECONNREFUSED);
  Run();
  EXPECT_EQ(counters.socket_errors.Get(), 1u);
  engine.Deliver(kToAlice, kAlice, Rtp(1));
  Run();
  EXPECT_EQ(engine.sent.size(), 1u);
}

TEST_F(ShardTest, AnArmThatFindsNoRoomIsTriedAgain) {
  engine.refuse_arm_every = 2;
  OpenCall();
  engine.Deliver(kToAlice, kAlice, Rtp(1));
  engine.Deliver(kToBob, kBob, Rtp(2));
  Run(5);
  EXPECT_EQ(engine.sent.size(), 2u);
}

TEST_F(ShardTest, ACancelThatFindsNoRoomIsTriedAgain) {
  const Slot flow = OpenCall();
  Run();
  engine.refuse_cancel_every = 2;
  Tell(Command::Kind::kCloseFlow, flow);
  Tell(Command::Kind::kCloseSocket, alice_socket);
  Tell(Command::Kind::kCloseSocket, bob_socket);
  Run(6);
  EXPECT_EQ(engine.closed, (std::set<int>{kToAlice, kToBob}));
}

class StarvedShardTest : public ShardTest {
 protected:
  StarvedShardTest() : ShardTest(2) {}
};

TEST_F(StarvedShardTest, RunsOnWhenBuffersRunOutAndLosesNothing) {
  OpenCall();
  for (uint16_t s = 0; s < 20; ++s) engine.Deliver(kToAlice, kAlice, Rtp(s));
  Run(60);
  EXPECT_EQ(engine.sent.size(), 20u);
  EXPECT_GT(counters.buffers_starved.Get(), 0u);
}

TEST_F(ShardTest, KernelDropsAreCountedOnce) {
  OpenCall();
  for (uint32_t dropped : {0u, 7u, 7u, 9u}) {
    engine.kernel_drops[kToAlice] = dropped;
    engine.Deliver(kToAlice, kAlice, Rtp(1));
    Run();
  }
  EXPECT_EQ(counters.kernel_drops.Get(), 9u);
}

TEST_F(ShardTest, AFullEventQueueDelaysEventsAndLosesNone) {
  // Leave room for one event only.
  for (size_t i = 0; i + 1 < kEventQueue; ++i) {
    ASSERT_TRUE(events.TryPush(Event{}));
  }
  const Slot flow = OpenCall();
  engine.Deliver(kToAlice, kAlice, Rtp(1));
  engine.Deliver(kToBob, kBob, Rtp(1));
  Run();
  Tell(Command::Kind::kCloseFlow, flow);
  Tell(Command::Kind::kCloseSocket, alice_socket);
  Tell(Command::Kind::kCloseSocket, bob_socket);
  Run(6);
  EXPECT_GE(counters.events_deferred.Get(), 2u);
  std::set<uint32_t> closed;
  for (int round = 0; round < 3; ++round) {
    for (const Event& e : Events()) {
      if (e.kind == Event::Kind::kSocketClosed) closed.insert(e.slot.index);
    }
    Run();
  }
  EXPECT_EQ(closed, (std::set<uint32_t>{0, 1}));
}

TEST_F(ShardTest, StopClosesEverythingAndSaysSoLast) {
  OpenCall();
  engine.Deliver(kToAlice, kAlice, Rtp(1));
  Run();
  Events();
  Tell(Command::Kind::kStop, {});
  for (int i = 0; i < 10 && last != Shard<FakeEngine>::Turn::kStopped; ++i) {
    Run(1);
  }
  EXPECT_EQ(last, Shard<FakeEngine>::Turn::kStopped);
  EXPECT_EQ(engine.closed, (std::set<int>{kToAlice, kToBob}));
  const auto told = Events();
  ASSERT_FALSE(told.empty());
  EXPECT_EQ(told.back().kind, Event::Kind::kStopped);
}

}  // namespace
}  // namespace sluice::relay
