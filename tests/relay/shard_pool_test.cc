// The real engines on loopback: what the fake cannot show.
#include "relay/shard_pool.h"

#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>

#include <atomic>
#include <cstdlib>
#include <map>
#include <new>
#include <string>
#include <thread>

#include "base/net/socket.h"
#include "base/net/uring.h"
#include "tests/fakes/packets.h"

// Every allocation of the program is counted, to show that a packet makes none.
namespace {
std::atomic<uint64_t> g_allocations{0};
}
// Not inlined: the compiler would see free() meet new and warn.
__attribute__((noinline)) void* operator new(size_t bytes) {
  g_allocations.fetch_add(1, std::memory_order_relaxed);
  if (void* p = std::malloc(bytes)) return p;
  throw std::bad_alloc();
}
__attribute__((noinline)) void operator delete(void* p) noexcept {
  std::free(p);
}
__attribute__((noinline)) void operator delete(void* p, size_t) noexcept {
  std::free(p);
}

namespace sluice::relay {
namespace {

struct EngineSetup {
  const char* name;
  EngineKind engine;
  uint32_t sq = 1024, cq = 16384, buffers = 4096;
  uint32_t batch_wait_us = 0;
};
void PrintTo(const EngineSetup& s, std::ostream* out) { *out << s.name; }

// A party: a UDP socket on 127.0.0.1.
struct Party {
  Party() {
    fd = *net::OpenUdp(At("127.0.0.1:0"), {});
    address = *net::LocalEndpoint(fd.get());
  }
  void Send(const Endpoint& to, const Bytes& packet) {
    net::SendAddress a(AF_INET, to);
    // A full buffer of our own is no loss of the relay's: wait it out.
    while (sendto(fd.get(), packet.data(), packet.size(), MSG_DONTWAIT,
                  reinterpret_cast<sockaddr*>(&a.v4), a.length) < 0) {
      ASSERT_EQ(errno, EAGAIN);
      std::this_thread::yield();
    }
  }
  // Waits for a packet; -1 when none comes in ten seconds.
  ssize_t Receive(uint8_t* out, size_t size, Endpoint* from) {
    pollfd p{.fd = fd.get(), .events = POLLIN, .revents = 0};
    if (poll(&p, 1, 10'000) != 1) return -1;
    sockaddr_storage sa{};
    socklen_t length = sizeof(sa);
    const ssize_t n = recvfrom(fd.get(), out, size, 0,
                               reinterpret_cast<sockaddr*>(&sa), &length);
    if (auto e =
            Endpoint::FromSockaddr(reinterpret_cast<sockaddr*>(&sa), length)) {
      *from = *e;
    }
    return n;
  }
  net::Fd fd;
  Endpoint address;
};

class ShardPoolTest : public testing::TestWithParam<EngineSetup> {
 protected:
  void SetUp() override {
    const EngineSetup& s = GetParam();
    auto started = ShardPool::Start({.shards = 1,
                                     .engine = s.engine,
                                     .sockets_per_shard = 256,
                                     .flows_per_shard = 128,
                                     .batch_wait_us = s.batch_wait_us,
                                     .sq_entries = s.sq,
                                     .cq_entries = s.cq,
                                     .receive_buffers = s.buffers,
                                     .pin = false});
    ASSERT_TRUE(started.ok()) << started.status();
    pool = *std::move(started);
  }

  struct Call {
    Party alice, bob;
    Slot alice_socket, bob_socket, flow;
    Endpoint to_alice, to_bob;  // our ports that face them
  };
  std::unique_ptr<Call> OpenCall() {
    auto call = std::make_unique<Call>();
    for (auto [slot, port] : {std::pair{&call->alice_socket, &call->to_alice},
                              std::pair{&call->bob_socket, &call->to_bob}}) {
      for (;;) {
        *port = Endpoint{.ip = IpAddress::V4(127, 0, 0, 1),
                         .port = Port::FromHost(next_port++)};
        auto opened = pool->OpenSocket(0, *port, 184);
        if (opened.ok()) {
          *slot = *opened;
          break;
        }
        EXPECT_EQ(opened.status().code(), absl::StatusCode::kAlreadyExists)
            << opened.status();
      }
    }
    MediaPlane::FlowSpec spec{.socket = {call->alice_socket, call->bob_socket}};
    spec.target[0].target = call->alice.address;
    spec.target[1].target = call->bob.address;
    call->flow = *pool->OpenFlow(0, spec);
    return call;
  }

  template <typename Condition>
  bool WaitFor(Condition condition) {
    for (int i = 0; i < 100'000; ++i) {
      pool->DrainEvents([this](uint32_t, const Event& e) {
        if (e.kind == Event::Kind::kSocketClosed) ++closed;
        if (e.kind == Event::Kind::kLatched) ++latched;
      });
      if (condition()) return true;
      std::this_thread::sleep_for(std::chrono::microseconds(100));
    }
    return false;
  }

  std::unique_ptr<ShardPool> pool;
  uint16_t next_port = 20000;
  int closed = 0, latched = 0;
};

TEST_P(ShardPoolTest, RelaysBothWaysKeepsOrderAndLosesNothing) {
  std::vector<std::unique_ptr<Call>> calls;
  for (int i = 0; i < 8; ++i) calls.push_back(OpenCall());
  uint8_t buffer[2048];
  Endpoint from;
  // Bursts larger than the tiny rings, smaller than a socket's buffer.
  for (uint16_t round = 0; round < 20; ++round) {
    for (auto& call : calls) {
      for (uint16_t i = 0; i < 24; ++i) {
        const auto s = static_cast<uint16_t>(round * 24 + i);
        call->alice.Send(call->to_alice, Rtp(s, 1));
        call->bob.Send(call->to_bob, Rtp(s, 2));
      }
    }
    for (auto& call : calls) {
      for (uint16_t i = 0; i < 24; ++i) {
        const auto s = static_cast<uint16_t>(round * 24 + i);
        ASSERT_EQ(call->bob.Receive(buffer, sizeof(buffer), &from), 172);
        ASSERT_EQ(Bytes(buffer, buffer + 172), Rtp(s, 1));
        ASSERT_EQ(from, call->to_bob) << "leaves from the announced port";
        ASSERT_EQ(call->alice.Receive(buffer, sizeof(buffer), &from), 172);
        ASSERT_EQ(Bytes(buffer, buffer + 172), Rtp(s, 2));
        ASSERT_EQ(from, call->to_alice);
      }
    }
  }
  const ShardCounters& n = pool->counters(0);
  ASSERT_TRUE(WaitFor([&] { return n.packets_out.Get() == 8u * 2 * 20 * 24; }));
  EXPECT_EQ(n.packets_in.Get(), n.packets_out.Get());
  EXPECT_EQ(n.DropsTotal(), 0u);
  EXPECT_TRUE(WaitFor([&] { return latched == 16; }));
  const FlowReport report = pool->Report(0, calls[0]->flow);
  EXPECT_EQ(report.side[0].packets_in, 480u);
  EXPECT_EQ(report.side[0].packets_out, 480u);
  EXPECT_EQ(report.side[0].quality.received, 480u);
  EXPECT_EQ(report.side[0].quality.lost, 0);
  EXPECT_EQ(pool->LastSent(0, calls[0]->flow, Side::kFrom), 479);
  EXPECT_GT(pool->LastPacket(0, calls[0]->flow), Micros());

  for (auto& call : calls) {
    pool->CloseFlow(0, call->flow);
    pool->CloseSocket(0, call->alice_socket);
    pool->CloseSocket(0, call->bob_socket);
  }
  EXPECT_TRUE(WaitFor([&] { return closed == 16; }));
  EXPECT_EQ(pool->Report(0, calls[0]->flow).side[0].packets_in, 0u);
  // The very ports can be bound again.
  EXPECT_TRUE(net::OpenUdp(calls[0]->to_alice, {}).ok());
}

TEST_P(ShardPoolTest, OddDatagramsHarmNobody) {
  auto call = OpenCall();
  const ShardCounters& n = pool->counters(0);
  call->alice.Send(call->to_alice, {});
  call->alice.Send(call->to_alice, Bytes(2049, 0x80));
  call->alice.Send(call->to_alice, Bytes(65507, 0x80));
  call->alice.Send(call->to_alice, Bytes(1, 0x80));
  ASSERT_TRUE(WaitFor([&] { return n.packets_in.Get() == 4; }));
  EXPECT_EQ(n.Drops(DropReason::k_empty), 1u);
  EXPECT_EQ(n.Drops(DropReason::k_truncated), 2u);
  EXPECT_EQ(n.Drops(DropReason::k_not_rtp), 1u);
  Bytes full = Rtp(1, 7, 2048 - 12);
  call->alice.Send(call->to_alice, full);
  uint8_t buffer[4096];
  Endpoint from;
  ASSERT_EQ(call->bob.Receive(buffer, sizeof(buffer), &from), 2048);
  EXPECT_EQ(Bytes(buffer, buffer + 2048), full);
}

TEST_P(ShardPoolTest, AStrangerIsADropAndNeverHeard) {
  auto call = OpenCall();
  Party stranger;
  uint8_t buffer[256];
  Endpoint from;
  call->alice.Send(call->to_alice, Rtp(1));
  ASSERT_EQ(call->bob.Receive(buffer, sizeof(buffer), &from), 172);
  for (uint16_t s = 0; s < 50; ++s) {
    stranger.Send(call->to_alice, Rtp(s, 0xbad));
  }
  const ShardCounters& n = pool->counters(0);
  ASSERT_TRUE(
      WaitFor([&] { return n.Drops(DropReason::k_wrong_source) == 50; }));
  call->alice.Send(call->to_alice, Rtp(2));
  ASSERT_EQ(call->bob.Receive(buffer, sizeof(buffer), &from), 172);
  EXPECT_EQ(Bytes(buffer, buffer + 172), Rtp(2));
}

TEST_P(ShardPoolTest, APacketMakesNoAllocation) {
  auto call = OpenCall();
  std::vector<Bytes> packets;
  for (uint16_t s = 0; s < 512; ++s) packets.push_back(Rtp(s));
  uint8_t buffer[256];
  Endpoint from;
  auto round_trip = [&] {
    for (const Bytes& packet : packets) {
      call->alice.Send(call->to_alice, packet);
      if (call->bob.Receive(buffer, sizeof(buffer), &from) != 172) return false;
    }
    return true;
  };
  ASSERT_TRUE(round_trip());
  const uint64_t before = g_allocations.load();
  ASSERT_TRUE(round_trip());
  EXPECT_EQ(g_allocations.load() - before, 0u);
}

TEST_P(ShardPoolTest, AFullTableRefusesInWords) {
  absl::Status refusal;
  for (int i = 0;
       i < 2000 && refusal.code() != absl::StatusCode::kResourceExhausted;
       ++i) {
    refusal = pool->OpenSocket(0,
                               {.ip = IpAddress::V4(127, 0, 0, 1),
                                .port = Port::FromHost(next_port++)},
                               0)
                  .status();
  }
  EXPECT_EQ(refusal.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_NE(refusal.message().find("256 sockets"), std::string::npos);
}

TEST_P(ShardPoolTest, EndsWithCallsUp) {
  auto call = OpenCall();
  call->alice.Send(call->to_alice, Rtp(1));
  const Endpoint port = call->to_alice;
  pool.reset();
  EXPECT_TRUE(net::OpenUdp(port, {}).ok());
}

INSTANTIATE_TEST_SUITE_P(
    Engines, ShardPoolTest,
    testing::Values(EngineSetup{.name = "uring", .engine = EngineKind::kUring},
                    // Everything overflows and starves on purpose (F6, F7).
                    EngineSetup{.name = "uring_tiny",
                                .engine = EngineKind::kUring,
                                .sq = 4,
                                .cq = 16,
                                .buffers = 8},
                    EngineSetup{.name = "uring_batch",
                                .engine = EngineKind::kUring,
                                .batch_wait_us = 200},
                    EngineSetup{.name = "epoll", .engine = EngineKind::kEpoll},
                    EngineSetup{.name = "epoll_tiny",
                                .engine = EngineKind::kEpoll,
                                .buffers = 4},
                    EngineSetup{.name = "epoll_batch",
                                .engine = EngineKind::kEpoll,
                                .batch_wait_us = 200}),
    [](const auto& row) { return std::string(row.param.name); });

TEST(ShardPool, TinyRingsOverflowStarveAndRecover) {
  auto pool = ShardPool::Start({.shards = 1,
                                .engine = EngineKind::kUring,
                                .sockets_per_shard = 64,
                                .flows_per_shard = 32,
                                .sq_entries = 4,
                                .cq_entries = 4,
                                .receive_buffers = 4,
                                .pin = false});
  ASSERT_TRUE(pool.ok()) << pool.status();
  Party alice, bob;
  Slot sockets[2];
  Endpoint ports[2];
  uint16_t next = 21000;
  for (int i : {0, 1}) {
    absl::StatusOr<Slot> slot;
    do {
      ports[i] = {.ip = IpAddress::V4(127, 0, 0, 1),
                  .port = Port::FromHost(next++)};
      slot = (*pool)->OpenSocket(0, ports[i], 0);
    } while (!slot.ok());
    sockets[i] = *slot;
  }
  // Everything is there before the flow opens: one burst against four buffers.
  for (uint16_t s = 0; s < 100; ++s) {
    alice.Send(ports[0], Rtp(s));
    bob.Send(ports[1], Rtp(s));
  }
  MediaPlane::FlowSpec spec{.socket = {sockets[0], sockets[1]}};
  spec.target[0].target = alice.address;
  spec.target[1].target = bob.address;
  ASSERT_TRUE((*pool)->OpenFlow(0, spec).ok());
  uint8_t buffer[256];
  Endpoint from;
  for (uint16_t s = 0; s < 100; ++s) {
    ASSERT_EQ(bob.Receive(buffer, sizeof(buffer), &from), 172);
    ASSERT_EQ(Bytes(buffer, buffer + 172), Rtp(s)) << "order is kept";
    ASSERT_EQ(alice.Receive(buffer, sizeof(buffer), &from), 172);
  }
  const ShardCounters& n = (*pool)->counters(0);
  EXPECT_GT(n.buffers_starved.Get(), 0u);
  EXPECT_GT(n.receive_rearms.Get(), 0u);
  EXPECT_EQ(n.DropsTotal(), 0u);
  // A few more rounds, and the receives are still armed.
  for (uint16_t s = 100; s < 200; ++s) {
    alice.Send(ports[0], Rtp(s));
    ASSERT_EQ(bob.Receive(buffer, sizeof(buffer), &from), 172);
  }
}

TEST(ShardPool, AutoSaysWhatItTookAndWhy) {
  auto pool = ShardPool::Start({.shards = 2, .engine = EngineKind::kAuto});
  ASSERT_TRUE(pool.ok()) << pool.status();
  const bool uring = net::UringEngine::Probe().ok();
  EXPECT_EQ((*pool)->engine(), uring ? "io_uring" : "epoll");
  EXPECT_FALSE((*pool)->engine_reason().empty());
  EXPECT_EQ((*pool)->shards(), 2u);
}

}  // namespace
}  // namespace sluice::relay
