// What a leg bears: slow peers, silent ones, too many of them, and a process
// that is out of descriptors.

#include <fcntl.h>
#include <sys/resource.h>

#include <cerrno>
#include <string>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "sip/transport.h"
#include "tests/sip/transport_world.h"

namespace sluice::sip {
namespace {

using absl::StatusCode;

class TransportLimitsTest : public TransportWorld {
 protected:
  // Sends one message over the peer and says as which connection it came.
  uint64_t Introduce(Node& node, TcpPeer& peer) {
    const size_t before = node.got.size();
    peer.Send(Request("hello"));
    TurnUntil([&] { return node.got.size() > before; });
    return node.got.back().from.connection;
  }
  Peer Numbered(uint64_t connection) {
    return {.transport = Transport::kTcp, .connection = connection};
  }
};

// --- Deadlines (security P5) ------------------------------------------------

TEST_F(TransportLimitsTest, AHeaderHasTenSecondsWhateverDrips) {
  Node& node = Make(Transport::kTcp);
  TcpPeer slow = Join(node);
  slow.Send("O");
  for (int i = 0; i < 19; ++i) {
    Advance(Micros::Millis(500));
    slow.Send("x");
  }
  EXPECT_EQ(node.leg.connections(), 1u);
  Advance(Micros::Millis(1'500));
  EXPECT_EQ(node.leg.connections(), 0u);
  EXPECT_TRUE(slow.closed());
  EXPECT_EQ(node.counters().timed_out, 1u);
  EXPECT_EQ(node.counters().idle_closed, 0u);
  ExpectLaw(node);
}

TEST_F(TransportLimitsTest, AMessageHasThirtySecondsAndTheNextOnesTheirOwn) {
  Node& node = Make(Transport::kTcp);
  TcpPeer slow = Join(node);
  const std::string message = Request("a", 1'000);
  for (int round = 0; round < 2; ++round) {
    slow.Send(message.substr(0, 100));
    Advance(Micros::Seconds(29));
    slow.Send(message.substr(100));
    TurnUntil([&] { return node.got.size() == size_t(round) + 1; });
  }
  slow.Send(message.substr(0, 100));
  for (int i = 0; i < 29; ++i) {
    Advance(Micros::Seconds(1));
    slow.Send("b");
  }
  EXPECT_EQ(node.leg.connections(), 1u);
  Advance(Micros::Seconds(2));
  EXPECT_EQ(node.leg.connections(), 0u);
  EXPECT_EQ(node.counters().timed_out, 1u);
}

TEST_F(TransportLimitsTest, OutputThatIsNotReadHasThirtySeconds) {
  Node& node = Make(Transport::kTcp, {.max_write_bytes = 64 << 20});
  TcpPeer peer = Join(node);
  const uint64_t id = Introduce(node, peer);
  node.leg.KeepAlive(id, Micros::Seconds(3'600));
  const size_t waiting = node.Send(Numbered(id), std::string(20 << 20, 'x'));
  Turns(100);
  // Pings are no excuse. (The kernels still move some octets at first.)
  int seconds = 0;
  for (; node.leg.connections() == 1 && seconds < 60; ++seconds) {
    Advance(Micros::Seconds(1));
    peer.Send("\r\n\r\n");
  }
  EXPECT_GE(seconds, 30);
  EXPECT_LE(seconds, 35);
  ASSERT_TRUE(node.sent[waiting].has_value());
  EXPECT_EQ(node.counters().timed_out, 1u);
  EXPECT_EQ(node.sent[waiting]->code(), StatusCode::kDeadlineExceeded);
}

TEST_F(TransportLimitsTest, AConnectHasTenSeconds) {
  // Its queue is full: the kernel ignores who comes now.
  net::Fd full = *net::ListenTcp(kLoopback4, 0);
  const Endpoint address = *net::LocalEndpoint(full.get());
  TcpPeer first(address), second(address);
  Node& node = Make(Transport::kTcp, {.max_write_bytes = 1'000});
  const Peer to = {.transport = Transport::kTcp, .address = address};
  const size_t waiting = node.Send(to, Request("x", 600));
  const size_t too_much = node.Send(to, Request("y", 600));
  Turns();
  // Who has not been asked yet has not refused to read.
  EXPECT_EQ(node.sent[too_much]->code(), StatusCode::kResourceExhausted);
  EXPECT_EQ(node.counters().slow_readers, 0u);
  Advance(Micros::Millis(9'500));
  EXPECT_FALSE(node.sent[waiting].has_value());
  Advance(Micros::Millis(1'000));
  ASSERT_TRUE(node.sent[waiting].has_value());
  EXPECT_EQ(node.sent[waiting]->code(), StatusCode::kDeadlineExceeded);
  EXPECT_EQ(node.counters().connect_failures, 1u);
  EXPECT_EQ(node.counters().timed_out, 0u);
  EXPECT_EQ(node.counters().send_failures, 2u);
  ExpectLaw(node);
}

TEST_F(TransportLimitsTest, TheFewerTheConnectionsTheLongerTheyMayBeSilent) {
  // 15 + 105 / n seconds, with the seeds' numbers.
  for (const auto& [n, seconds] :
       std::vector<std::pair<size_t, int>>{{1, 120}, {3, 50}, {7, 30}}) {
    Node& node = Make(Transport::kTcp);
    std::vector<TcpPeer> peers;
    for (size_t i = 0; i < n; ++i) peers.push_back(Join(node));
    Advance(Micros::Seconds(seconds) - Micros::Millis(500));
    EXPECT_EQ(node.leg.connections(), n);
    Advance(Micros::Seconds(1));
    EXPECT_EQ(node.leg.connections(), 0u);
    EXPECT_EQ(node.counters().idle_closed, n);
    EXPECT_EQ(node.counters().timed_out, 0u);
    ExpectLaw(node);
  }
}

TEST_F(TransportLimitsTest, OctetsEitherWayAreLife) {
  Node& node = Make(Transport::kTcp, {.max_expire = Micros::Seconds(20)});
  TcpPeer pinging = Join(node);
  const uint64_t id = Introduce(node, pinging);
  for (int i = 0; i < 3; ++i) {
    Advance(Micros::Seconds(19));
    pinging.Send("\r\n\r\n");
    Advance(Micros::Seconds(19));
    node.Send(Numbered(id), Request("x"));
  }
  EXPECT_EQ(node.leg.connections(), 1u);
  EXPECT_EQ(node.counters().keepalives, 3u);
  Advance(Micros::Seconds(21));
  EXPECT_EQ(node.leg.connections(), 0u);
}

TEST_F(TransportLimitsTest, ARegisteredPeerMayBeSilent) {
  Node& node = Make(Transport::kTcp, {.max_expire = Micros::Seconds(20)});
  TcpPeer peer = Join(node);
  const uint64_t id = Introduce(node, peer);
  node.leg.KeepAlive(id, Micros::Seconds(300));
  node.leg.KeepAlive(id, Micros::Seconds(60));  // never shorter
  node.leg.KeepAlive(4711, Micros::Seconds(300));
  Advance(Micros::Seconds(299));
  EXPECT_EQ(node.leg.connections(), 1u);
  Advance(Micros::Seconds(2));
  EXPECT_EQ(node.leg.connections(), 0u);
  EXPECT_EQ(node.counters().idle_closed, 1u);
}

TEST_F(TransportLimitsTest, AStallIsNobodysSilence) {
  Node& node = Make(Transport::kTcp);
  TcpPeer peer = Join(node);
  peer.Send("OPTIONS");
  Turns();
  Stall(Micros::Seconds(3'600));
  Advance(Micros::Seconds(9));
  EXPECT_EQ(node.leg.connections(), 1u);
  Advance(Micros::Seconds(2));
  EXPECT_EQ(node.counters().timed_out, 1u);
}

// --- Too many ---------------------------------------------------------------

TEST_F(TransportLimitsTest, WhoHasBeenLongestWithoutAMessageMakesRoom) {
  Node& node = Make(Transport::kTcp, {.max_connections = 3});
  TcpPeer a = Join(node);
  TcpPeer b = Join(node);
  TcpPeer c = Join(node);
  Advance(Micros::Seconds(1));
  Introduce(node, a);
  b.Send("octets are no merit");
  Turns();
  TcpPeer d = Join(node);
  EXPECT_EQ(node.counters().evicted, 1u);
  TurnUntil([&] { return b.closed(); });
  EXPECT_FALSE(a.closed());
  EXPECT_FALSE(c.closed());
  Advance(Micros::Seconds(1));
  TcpPeer e = Join(node);
  TurnUntil([&] { return c.closed(); });
  Introduce(node, e);
  EXPECT_EQ(node.leg.connections(), 3u);
  ExpectLaw(node);
}

TEST_F(TransportLimitsTest, WhoIsNeededKeepsItsPlace) {
  Node& node = Make(Transport::kTcp,
                    {.max_write_bytes = 64 << 20, .max_connections = 2});
  TcpPeer registered = Join(node);
  node.leg.KeepAlive(Introduce(node, registered), Micros::Seconds(60));
  TcpPeer reading = Join(node);
  node.Send(Numbered(Introduce(node, reading)), std::string(20 << 20, 'x'));
  TcpPeer refused(node.at(Transport::kTcp));
  TurnUntil([&] { return refused.closed(); });
  EXPECT_EQ(node.counters().refused_full, 1u);
  EXPECT_EQ(node.counters().evicted, 0u);
  // Nor is there a place for one of our own making.
  Node& other = Make(Transport::kTcp);
  const Peer to = {.transport = Transport::kTcp,
                   .address = other.at(Transport::kTcp)};
  EXPECT_EQ(node.sent[node.Send(to, Request("x"))]->code(),
            StatusCode::kResourceExhausted);
  EXPECT_EQ(node.counters().refused_full, 2u);
  Advance(Micros::Seconds(20));
  TurnUntil([&] { return reading.received().size() >= 20u << 20; });
  const size_t sent = node.Send(to, Request("x"));
  TurnUntil([&] { return node.sent[sent].has_value(); });
  EXPECT_TRUE(node.sent[sent]->ok());
  EXPECT_EQ(node.counters().evicted, 1u);
  EXPECT_FALSE(registered.closed());
  ExpectLaw(node);
}

TEST_F(TransportLimitsTest, AMessageIsNotCutOffByWhatItCauses) {
  Node& node = Make(Transport::kTcp, {.max_connections = 1});
  Node& other = Make(Transport::kTcp);
  TcpPeer peer = Join(node);
  node.then = [&](const Peer&, std::string_view) {
    const size_t sent = node.Send(
        {.transport = Transport::kTcp, .address = other.at(Transport::kTcp)},
        Request("x"));
    EXPECT_EQ(node.sent[sent]->code(), StatusCode::kResourceExhausted);
  };
  Introduce(node, peer);
  EXPECT_EQ(node.leg.connections(), 1u);
  EXPECT_FALSE(peer.closed());
}

TEST_F(TransportLimitsTest, AnAddressHasItsShareAndHarmsNobodyElse) {
  Node& node = Make(Transport::kTcp,
                    {.max_connections = 10, .max_connections_per_ip = 2});
  TcpPeer friend_peer = Join(node, *Endpoint::Parse("127.0.0.2:0"));
  Advance(Micros::Seconds(1));
  std::vector<TcpPeer> crowd;
  for (int i = 0; i < 5; ++i) crowd.push_back(Join(node));
  EXPECT_EQ(node.leg.connections(), 3u);
  EXPECT_EQ(node.counters().evicted, 3u);
  EXPECT_FALSE(friend_peer.closed());
  for (int i = 3; i < 5; ++i) {
    node.leg.KeepAlive(Introduce(node, crowd[size_t(i)]), Micros::Seconds(60));
  }
  TcpPeer refused(node.at(Transport::kTcp));
  TurnUntil([&] { return refused.closed(); });
  EXPECT_EQ(node.counters().refused_full, 1u);
  // What we make is not counted against its peer.
  Node& other = Make(Transport::kTcp);
  node.Send(
      {.transport = Transport::kTcp, .address = other.at(Transport::kTcp)},
      Request("x"));
  TurnUntil([&] { return other.got.size() == 1; });
  // Places are given back.
  for (TcpPeer& peer : crowd) peer.Leave();
  TurnUntil([&] { return node.leg.connections() == 2; });
  TcpPeer again = Join(node);
  TcpPeer and_again = Join(node);
  EXPECT_EQ(node.leg.connections(), 4u);
  ExpectLaw(node);
}

// 300 of them beside one that behaves.
TEST_F(TransportLimitsTest, SlowHalfOpenAndGarbagePeersDelayNobody) {
  Node& node = Make(Transport::kTcp);
  std::vector<TcpPeer> bad;
  for (int i = 0; i < 300; ++i) {
    bad.push_back(Join(node));
    if (i % 3 == 0) bad.back().Send("OPTIONS sip:a SIP/2.0\r\nX: ");
    if (i % 3 == 1) bad.back().Send("\x80\x81");
  }
  TurnUntil([&] { return node.counters().bad_frames == 100; });
  TcpPeer good = Join(node);
  node.then = [&](const Peer& from, std::string_view) {
    node.Respond(from, "answer");
  };
  constexpr size_t kSeconds = 18;  // 15 + 105 / 101 and the rest
  for (size_t second = 0; second < kSeconds; ++second) {
    good.Send(Request("q"));
    TurnUntil([&] { return good.received().size() == 6 * (second + 1); });
    for (size_t i = 0; i < 300; i += 3) bad[i].Send("x");
    Advance(Micros::Seconds(1));
  }
  EXPECT_EQ(node.got.size(), kSeconds);
  EXPECT_EQ(node.counters().timed_out, 100u);
  EXPECT_EQ(node.counters().idle_closed, 100u);
  EXPECT_EQ(node.leg.connections(), 1u);
  ExpectLaw(node);
}

// --- No descriptors ---------------------------------------------------------

class DescriptorsTest : public TransportWorld {
 protected:
  DescriptorsTest() {
    EXPECT_EQ(getrlimit(RLIMIT_NOFILE, &before_), 0);
    // UBSan opens a pipe when it meets the virtual functions under this for the
    // first time.
    EXPECT_FALSE(net::ErrnoStatus(EMFILE, "").ok());
  }
  ~DescriptorsTest() override {
    EXPECT_EQ(setrlimit(RLIMIT_NOFILE, &before_), 0);
  }
  // No descriptor beyond those there are.
  void TakeAll() {
    const net::Fd next(open("/dev/null", O_RDONLY | O_CLOEXEC));
    ASSERT_TRUE(next);
    rlimit limit = before_;
    limit.rlim_cur = static_cast<rlim_t>(next.get());
    ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &limit), 0);
  }
  void GiveBack() { ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &before_), 0); }

  rlimit before_{};
};

TEST_F(DescriptorsTest, WithoutDescriptorsConnectionsAreRefusedNotForgotten) {
  Node& node = Make(Transport::kTcp);
  TcpPeer a(node.at(Transport::kTcp));
  TcpPeer b(node.at(Transport::kTcp));
  TakeAll();
  TurnUntil([&] { return node.counters().refused_full == 2; });
  const size_t failed = node.Send(
      {.transport = Transport::kTcp, .address = node.at(Transport::kTcp)},
      Request("x"));
  EXPECT_EQ(node.sent[failed]->code(), StatusCode::kResourceExhausted);
  EXPECT_EQ(node.counters().connect_failures, 1u);
  GiveBack();
  EXPECT_TRUE(a.closed());
  EXPECT_TRUE(b.closed());
  TcpPeer c = Join(node);
  EXPECT_EQ(node.leg.connections(), 1u);
}

TEST_F(DescriptorsTest, WithoutEvenTheReserveTheListenerRestsAMoment) {
  Node& node = Make(Transport::kTcp);
  TcpPeer peer(node.at(Transport::kTcp));
  TcpPeer second(node.at(Transport::kTcp));
  // A limit below every descriptor there is: the reserve, once closed, is not
  // had again.
  rlimit limit = before_;
  limit.rlim_cur = 0;
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &limit), 0);
  Turns(20);
  EXPECT_EQ(node.counters().accepted, 0u);
  GiveBack();
  Turns(20);
  EXPECT_EQ(node.counters().accepted, 0u);  // it rests
  Advance(Micros::Millis(250));
  TurnUntil([&] { return node.counters().accepted == 2; });
}

}  // namespace
}  // namespace sluice::sip
