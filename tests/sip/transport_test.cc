// Messages over UDP and TCP: framing on a live socket, which connection a
// message takes, and what its sender is told.

#include "sip/transport.h"

#include <csignal>
#include <string>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "tests/sip/transport_world.h"

namespace sluice::sip {
namespace {

using absl::StatusCode;

// What ends a connection: a header without Content-Length.
constexpr std::string_view kNoFrame = "OPTIONS sip:x SIP/2.0\r\n\r\n";

class UdpTransportTest : public TransportWorld {};
class TcpTransportTest : public TransportWorld {};

// --- Listening --------------------------------------------------------------

TEST_F(UdpTransportTest, SaysTheAddressesAsBound) {
  Node& node = Make({.listen = {{Transport::kUdp, kLoopback4},
                                {Transport::kTcp, kLoopback6}}});
  ASSERT_EQ(node.leg.listeners().size(), 2u);
  EXPECT_EQ(node.leg.listeners()[0].first, Transport::kUdp);
  EXPECT_EQ(node.at(Transport::kUdp).ip, kLoopback4.ip);
  EXPECT_NE(node.at(Transport::kUdp).port, Port());
  EXPECT_EQ(node.at(Transport::kTcp), node.leg.listeners()[1].second);
  EXPECT_EQ(node.at(Transport::kTcp).ip, kLoopback6.ip);
}

TEST_F(UdpTransportTest, SaysTheWildcardAsItIs) {
  Node& node =
      Make({.listen = {{Transport::kUdp, *Endpoint::Parse("0.0.0.0:0")}}});
  EXPECT_EQ(node.at(Transport::kUdp).ip, *IpAddress::Parse("0.0.0.0"));
  EXPECT_NE(node.at(Transport::kUdp).port, Port());
}

TEST_F(UdpTransportTest, BindsAllOrNothing) {
  Node& first = Make(Transport::kTcp);
  Node second(loop_,
              {.listen = {{Transport::kUdp, kLoopback4},
                          {Transport::kTcp, first.at(Transport::kTcp)}}});
  EXPECT_EQ(second.leg.Listen().code(), StatusCode::kAlreadyExists);
  EXPECT_TRUE(second.leg.listeners().empty());
}

// --- UDP --------------------------------------------------------------------

TEST_F(UdpTransportTest, ADatagramIsAMessageInBothFamilies) {
  for (const Endpoint& address : {kLoopback4, kLoopback6}) {
    Node& a = Make({.listen = {{Transport::kUdp, address}}});
    Node& b = Make({.listen = {{Transport::kUdp, address}}});
    const size_t sent =
        a.Send({.address = b.at(Transport::kUdp)}, Request("b"));
    EXPECT_TRUE(a.sent[sent]->ok());  // before Send returned
    TurnUntil([&] { return b.got.size() == 1; });
    EXPECT_EQ(b.got[0].octets, Request("b"));
    EXPECT_EQ(b.got[0].from, (Peer{.address = a.at(Transport::kUdp)}));
    b.Respond(b.got[0].from, Request("a"));
    TurnUntil([&] { return a.got.size() == 1; });
    EXPECT_EQ(a.counters().datagrams_out, 1u);
    EXPECT_EQ(a.counters().datagrams_in, 1u);
  }
}

TEST_F(UdpTransportTest, ALegOfBothFamiliesSendsFromTheOneThatReaches) {
  Node& both = Make({.listen = {{Transport::kUdp, kLoopback4},
                                {Transport::kUdp, kLoopback6}}});
  Node& four = Make({.listen = {{Transport::kUdp, kLoopback4}}});
  Node& six = Make({.listen = {{Transport::kUdp, kLoopback6}}});
  both.Send({.address = four.at(Transport::kUdp)}, Request("4"));
  both.Send({.address = six.at(Transport::kUdp)}, Request("6"));
  TurnUntil([&] { return four.got.size() == 1 && six.got.size() == 1; });
  EXPECT_EQ(six.got[0].from.address, both.leg.listeners()[1].second);
}

TEST_F(UdpTransportTest, AShortDatagramIsAKeepalive) {
  Node& a = Make(Transport::kUdp);
  Node& b = Make(Transport::kUdp);
  const Peer to = {.address = b.at(Transport::kUdp)};
  for (const char* octets : {"", "\r\n\r\n", "123456789012"}) {
    a.Send(to, octets);
  }
  a.Send(to, "1234567890123");
  TurnUntil([&] { return b.got.size() == 1; });
  EXPECT_EQ(b.counters().keepalives, 3u);
  EXPECT_EQ(b.counters().datagrams_in, 1u);
}

TEST_F(UdpTransportTest, MoreThanABatchComesInOrder) {
  Node& a = Make(Transport::kUdp);
  Node& b = Make(Transport::kUdp);
  constexpr size_t kMany = 100;
  for (size_t i = 0; i < kMany; ++i) {
    a.Send({.address = b.at(Transport::kUdp)}, Request(std::to_string(i)));
  }
  TurnUntil([&] { return b.got.size() == kMany; });
  for (size_t i = 0; i < kMany; ++i) {
    EXPECT_EQ(b.got[i].octets, Request(std::to_string(i)));
  }
}

TEST_F(UdpTransportTest, TheLongestDatagramComesWhole) {
  Node& a = Make(Transport::kUdp);
  Node& b = Make(Transport::kUdp);
  const std::string longest(65'507, 'x');
  a.Send({.address = b.at(Transport::kUdp)}, longest);
  TurnUntil([&] { return b.got.size() == 1; });
  EXPECT_TRUE(b.got[0].octets == longest);
}

TEST_F(UdpTransportTest, SaysWhyADatagramCannotBeSent) {
  Node& a = Make(Transport::kUdp);
  const Peer to = {.address = a.at(Transport::kUdp)};
  size_t failed = a.Send(to, std::string(65'508, 'x'));
  EXPECT_EQ(a.sent[failed]->code(), StatusCode::kInvalidArgument);
  failed = a.Send({.address = *Endpoint::Parse("[::1]:5060")}, Request("x"));
  EXPECT_EQ(a.sent[failed]->code(), StatusCode::kNotFound);
  EXPECT_EQ(a.counters().send_failures, 2u);
  EXPECT_EQ(a.counters().datagrams_out, 0u);
  // Nobody need want to know.
  a.leg.Send(to, Request("x"), "", false, "", nullptr);
  EXPECT_EQ(a.counters().datagrams_out, 1u);
}

TEST_F(UdpTransportTest, WithDstThereIsNobodyElse) {
  for (const bool connected : {false, true}) {
    Node& friend_node = Make(Transport::kUdp);
    Node& stranger = Make(Transport::kUdp);
    Node& node = Make({.listen = {{Transport::kUdp, kLoopback4}},
                       .dst = friend_node.at(Transport::kUdp),
                       .connected = connected});
    const Peer to = {.address = node.at(Transport::kUdp)};
    stranger.Send(to, Request("stranger"));
    friend_node.Send(to, Request("friend"));
    TurnUntil([&] { return node.got.size() == 1; });
    EXPECT_EQ(node.got[0].octets, Request("friend"));
    // The kernel counts for itself what a connected socket does not want.
    EXPECT_EQ(node.counters().strangers, connected ? 0u : 1u);
    node.Send({.address = stranger.at(Transport::kUdp)}, Request("to"));
    TurnUntil([&] { return friend_node.got.size() == 1; });
    EXPECT_TRUE(stranger.got.empty());
  }
}

// As nobody could be answered there.
TEST_F(UdpTransportTest, ADatagramFromPortZeroIsAStrangers) {
  const net::Fd raw(socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_UDP));
  // No socket can be bound to port 0, so the header is written by hand; CI runs
  // as root and has this.
  if (!raw) GTEST_SKIP() << "only root may write a UDP header";
  Node& us = Make(Transport::kUdp);
  const Endpoint to = us.at(Transport::kUdp);
  const std::string message = Request("nobody");
  const auto datagram = [&](uint16_t source) {
    const uint16_t words[4] = {htons(source), to.port.network(),
                               htons(static_cast<uint16_t>(8 + message.size())),
                               0};
    std::string octets(reinterpret_cast<const char*>(words), sizeof(words));
    return octets + message;
  };
  sockaddr_storage address;
  const socklen_t length = to.ToSockaddr(AF_INET, &address);
  for (const uint16_t source : {uint16_t{0}, uint16_t{4711}}) {
    const std::string octets = datagram(source);
    ASSERT_EQ(sendto(raw.get(), octets.data(), octets.size(), 0,
                     reinterpret_cast<const sockaddr*>(&address), length),
              static_cast<ssize_t>(octets.size()));
  }
  TurnUntil([&] { return us.got.size() == 1; });
  EXPECT_EQ(us.got[0].from.address.port, Port::FromHost(4711));
  EXPECT_EQ(us.counters().strangers, 1u);
}

TEST_F(UdpTransportTest, AConnectedSocketOutlivesRefusals) {
  Node& gone = Make(Transport::kUdp);
  const Endpoint address = gone.at(Transport::kUdp);
  Node& node = Make({.listen = {{Transport::kUdp, kLoopback4}},
                     .dst = address,
                     .connected = true});
  nodes_.erase(nodes_.begin());
  // The refusal of each is waiting when the next one is sent.
  for (int i = 0; i < 3; ++i)
    EXPECT_TRUE(node.sent[node.Send({}, Request("x"))]->ok());
  Turns();
  Node& back = Make({.listen = {{Transport::kUdp, address}}});
  node.Send({}, Request("hello"));
  TurnUntil([&] { return back.got.size() == 1; });
}

// --- TCP: what comes --------------------------------------------------------

TEST_F(TcpTransportTest, MessagesComeHoweverTheyAreCut) {
  Node& node = Make(Transport::kTcp);
  TcpPeer peer = Join(node);
  const std::string stream =
      "\r\n" + Request("a") + Request("b", 10) + "\r\n\r\n" + Request("c", 3);
  for (const char octet : stream) {
    ASSERT_EQ(peer.Send({&octet, 1}), 1);
    Turns(1);
  }
  peer.Send(stream);
  TurnUntil([&] { return node.got.size() == 6; });
  for (size_t i = 0; i < 6; ++i) {
    EXPECT_EQ(node.got[i].octets, (std::vector{Request("a"), Request("b", 10),
                                               Request("c", 3)})[i % 3]);
    EXPECT_EQ(node.got[i].from.address, peer.local());
    EXPECT_EQ(node.got[i].from.transport, Transport::kTcp);
    EXPECT_NE(node.got[i].from.connection, 0u);
  }
  EXPECT_EQ(node.counters().frames_in, 6u);
  // CRLFCRLF was a ping, each time.
  EXPECT_EQ(node.counters().keepalives, 2u);
  EXPECT_EQ(peer.received(), "\r\n\r\n");
  EXPECT_EQ(node.counters().frames_out, 0u);
}

TEST_F(TcpTransportTest, WhatIsNoMessageEndsTheConnection) {
  Node& node = Make(Transport::kTcp);
  for (const std::string& bad :
       {std::string("\x16\x03\x01 hello"),
        std::string("GET / HTTP/1.1\r\nHost: a\r\n\r\n"),
        std::string(20'000, 'x')}) {
    const uint64_t before = node.counters().bad_frames;
    TcpPeer peer = Join(node);
    peer.Send(Request("first") + bad + Request("lost"));
    TurnUntil([&] { return peer.closed(); });
    EXPECT_EQ(node.counters().bad_frames, before + 1);
  }
  EXPECT_EQ(node.got.size(), 3u);
  ExpectLaw(node);
}

TEST_F(TcpTransportTest, TheRefuserHasTheLastWord) {
  Node& node = Make(Transport::kTcp);
  std::vector<std::pair<std::string, int>> refused;
  node.leg.SetRefuser([&](const Peer& from, std::string_view octets, int code) {
    EXPECT_NE(from.connection, 0u);
    refused.emplace_back(octets, code);
    return "SIP/2.0 413 Too Large\r\n\r\n";
  });
  TcpPeer peer = Join(node);
  const std::string header = "INVITE sip:a SIP/2.0\r\nl: 70000\r\n\r\n";
  peer.Send(header + std::string(50'000, 'x'));
  TurnUntil([&] { return peer.closed(); });
  EXPECT_EQ(peer.received(), "SIP/2.0 413 Too Large\r\n\r\n");
  ASSERT_EQ(refused.size(), 1u);
  EXPECT_EQ(refused[0], std::pair(header, 413));
  ExpectLaw(node);
}

TEST_F(TcpTransportTest, TheEndOfThePeerIsTheConnections) {
  Node& node = Make(Transport::kTcp);
  TcpPeer peer = Join(node);
  peer.Send(Request("a") + "OPTIONS sip:cut");
  peer.NoMoreFromMe();
  TurnUntil([&] { return node.leg.connections() == 0; });
  EXPECT_EQ(node.got.size(), 1u);
  EXPECT_EQ(node.counters().closed, 1u);
  EXPECT_EQ(node.counters().bad_frames, 0u);
}

// --- TCP: which connection --------------------------------------------------

TEST_F(TcpTransportTest, MakesAConnectionFromItsAddressAndUsesItAgain) {
  for (const Endpoint& address :
       {*Endpoint::Parse("127.0.0.3:0"), kLoopback6}) {
    Node& a = Make({.listen = {{Transport::kTcp, address}}});
    Node& b = Make({.listen = {{Transport::kTcp, address}}});
    const Peer to = {.transport = Transport::kTcp,
                     .address = b.at(Transport::kTcp)};
    a.Send(to, Request("1"));
    a.Send(to, Request("2"));  // while it is being made
    TurnUntil([&] { return b.got.size() == 2; });
    a.Send(to, Request("3"));
    TurnUntil([&] { return b.got.size() == 3; });
    EXPECT_EQ(b.got[0].from.address.ip, address.ip);
    EXPECT_EQ(a.counters().connected, 1u);
    EXPECT_EQ(b.counters().accepted, 1u);
    EXPECT_EQ(a.counters().frames_out, 3u);
    for (const auto& sent : a.sent) EXPECT_TRUE(sent->ok());
    // And back over it, by its number or by its address.
    b.Send(b.got[0].from, Request("4"));
    b.Send({.transport = Transport::kTcp, .address = b.got[0].from.address},
           Request("5"));
    TurnUntil([&] { return a.got.size() == 2; });
    EXPECT_EQ(b.counters().connected, 0u);
    ExpectLaw(a);
    ExpectLaw(b);
  }
}

TEST_F(TcpTransportTest, AResponseTakesTheConnectionOfItsTransaction) {
  Node& node = Make(Transport::kTcp);
  TcpPeer one = Join(node);
  TcpPeer two = Join(node);
  one.Send(Request("1"));
  TurnUntil([&] { return node.got.size() == 1; });
  two.Send(Request("2"));
  TurnUntil([&] { return node.got.size() == 2; });
  const std::string long_text(5'000, 't');
  node.leg.Remember(node.got[0].from.connection, "one");
  node.leg.Remember(node.got[0].from.connection, "one");  // retransmitted
  node.leg.Remember(node.got[1].from.connection, long_text);
  node.leg.Remember(4711, "nobody");
  const Peer anywhere = {.transport = Transport::kTcp};
  node.Respond(anywhere, "to one", "one");
  node.Respond(anywhere, "to two", long_text);
  TurnUntil([&] { return !one.received().empty() && !two.received().empty(); });
  EXPECT_EQ(one.received(), "to one");
  EXPECT_EQ(two.received(), "to two");
  // A request may have the same text; it is none of this connection's.
  const size_t request = node.Send(anywhere, Request("x"));
  EXPECT_EQ(node.sent[request]->code(), StatusCode::kUnavailable);
  EXPECT_EQ(node.sent[node.Respond(anywhere, "x", "nobody")]->code(),
            StatusCode::kUnavailable);
}

TEST_F(TcpTransportTest, APolicySaysWhereAnswersMakeConnectionsTo) {
  Node& us = Make(Transport::kTcp);
  Node& phone = Make(Transport::kTcp);
  const Endpoint forbidden = phone.at(Transport::kTcp);
  us.leg.SetAnswerPolicy([&](const Endpoint& to) { return to != forbidden; });
  const Peer to = {.transport = Transport::kTcp, .address = forbidden};
  const size_t answer = us.Respond(to, Request("answer"));
  ASSERT_TRUE(us.sent[answer].has_value());
  EXPECT_EQ(us.sent[answer]->code(), absl::StatusCode::kPermissionDenied);
  // Requests are none of its business, nor is a connection that is there.
  us.Send(to, Request("request"));
  TurnUntil([&] { return phone.got.size() == 1; });
  us.Respond(to, Request("again"));
  TurnUntil([&] { return phone.got.size() == 2; });
  EXPECT_EQ(us.counters().connected, 1u);
  EXPECT_EQ(us.counters().send_failures, 1u);
}

TEST_F(TcpTransportTest, ForgetsTheOldestTransactionsAndFallsBackToThePeer) {
  Node& node = Make(Transport::kTcp, {.max_tidlist = 2});
  TcpPeer peer = Join(node);
  peer.Send(Request("1"));
  TurnUntil([&] { return node.got.size() == 1; });
  const Peer from = node.got[0].from;
  for (const char* text : {"a", "b", "b", "c"}) {
    node.leg.Remember(from.connection, text);
  }
  const Peer anywhere = {.transport = Transport::kTcp};
  EXPECT_FALSE(node.sent[node.Respond(anywhere, "1", "a")]->ok());
  EXPECT_TRUE(node.sent[node.Respond(anywhere, "2", "b")]->ok());
  EXPECT_TRUE(node.sent[node.Respond(anywhere, "3", "c")]->ok());
  EXPECT_TRUE(node.sent[node.Respond({.transport = Transport::kTcp,
                                      .address = from.address},
                                     "4", "a")]
                  ->ok());
  TurnUntil([&] { return peer.received() == "234"; });
}

TEST_F(TcpTransportTest, OfTwoThatClaimATransactionTheLaterHasIt) {
  Node& node = Make(Transport::kTcp);
  TcpPeer one = Join(node);
  TcpPeer two = Join(node);
  one.Send(Request("1"));
  TurnUntil([&] { return node.got.size() == 1; });
  two.Send(Request("2"));
  TurnUntil([&] { return node.got.size() == 2; });
  node.leg.Remember(node.got[0].from.connection, "t");
  node.leg.Remember(node.got[1].from.connection, "t");
  one.Leave();  // forgets only what is its own
  TurnUntil([&] { return node.leg.connections() == 1; });
  const Peer anywhere = {.transport = Transport::kTcp};
  EXPECT_TRUE(node.sent[node.Respond(anywhere, "x", "t")]->ok());
  two.Leave();
  TurnUntil([&] { return node.leg.connections() == 0; });
  EXPECT_FALSE(node.sent[node.Respond(anywhere, "x", "t")]->ok());
}

TEST_F(TcpTransportTest, AConnectionThatIsGoneIsMadeAnew) {
  Node& a = Make(Transport::kTcp);
  Node& b = Make(Transport::kTcp);
  const Peer to = {.transport = Transport::kTcp,
                   .address = b.at(Transport::kTcp)};
  a.Send(to, Request("1"));
  TurnUntil([&] { return b.got.size() == 1; });
  a.Send(to, std::string(kNoFrame));
  TurnUntil([&] { return a.leg.connections() == 0; });
  Peer old = to;
  old.connection = 1;
  a.Send(old, Request("2"));
  TurnUntil([&] { return b.got.size() == 2; });
  EXPECT_EQ(a.counters().connected, 2u);
  ExpectLaw(a);
  ExpectLaw(b);
}

TEST_F(TcpTransportTest, SaysWhyThereIsNoConnection) {
  Node& node = Make(Transport::kTcp);
  const absl::StatusOr<net::Fd> nobody = net::ListenTcp(kLoopback4, 1);
  const Endpoint refuses = *net::LocalEndpoint(nobody->get());
  const_cast<net::Fd&>(*nobody).Reset();
  const size_t refused = node.Send(
      {.transport = Transport::kTcp, .address = refuses}, Request("x"));
  TurnUntil([&] { return node.sent[refused].has_value(); });
  EXPECT_EQ(node.sent[refused]->code(), StatusCode::kUnavailable);
  EXPECT_EQ(node.counters().connect_failures, 1u);

  const Endpoint six = *Endpoint::Parse("[::1]:5060");
  for (const auto& [to, code] : std::vector<std::pair<Peer, StatusCode>>{
           {{.transport = Transport::kTcp, .address = six},
            StatusCode::kNotFound},
           {{.transport = Transport::kTls, .address = refuses},
            StatusCode::kNotFound},
           {{.transport = Transport::kTcp, .connection = 99},
            StatusCode::kUnavailable},
       }) {
    EXPECT_EQ(node.sent[node.Send(to, Request("x"))]->code(), code);
  }
  EXPECT_EQ(
      node.sent[node.Send({.transport = Transport::kTcp, .address = refuses},
                          "")]
          ->code(),
      StatusCode::kInvalidArgument);
  EXPECT_EQ(node.counters().send_failures, 5u);
  EXPECT_EQ(node.counters().closed, 0u);
  ExpectLaw(node);
}

TEST_F(TcpTransportTest, WhoIsToldMaySendAgain) {
  Node& node = Make(Transport::kTcp);
  Node& other = Make(Transport::kTcp);
  net::Fd nobody = *net::ListenTcp(kLoopback4, 1);
  const Peer refuses = {.transport = Transport::kTcp,
                        .address = *net::LocalEndpoint(nobody.get())};
  nobody.Reset();
  node.leg.Send(refuses, Request("x"), "", false, "", [&](absl::Status status) {
    EXPECT_EQ(status.code(), StatusCode::kUnavailable);
    node.Send(
        {.transport = Transport::kTcp, .address = other.at(Transport::kTcp)},
        Request("elsewhere"));
  });
  TurnUntil([&] { return other.got.size() == 1; });
  EXPECT_EQ(other.got[0].octets, Request("elsewhere"));
}

TEST_F(TcpTransportTest, WithDstOnlyItsHostMayConnect) {
  Node& server = Make(Transport::kTcp);
  Node& node = Make({.listen = {{Transport::kTcp, kLoopback4}},
                     .dst = server.at(Transport::kTcp)});
  TcpPeer stranger(node.at(Transport::kTcp), *Endpoint::Parse("127.0.0.9:0"));
  TurnUntil([&] { return stranger.closed(); });
  EXPECT_EQ(node.counters().strangers, 1u);
  EXPECT_EQ(node.counters().accepted, 0u);
  TcpPeer same_host = Join(node);
  // Wherever it was to go.
  node.Send({.transport = Transport::kTcp,
             .address = *Endpoint::Parse("127.0.0.1:9")},
            Request("x"));
  TurnUntil([&] { return server.got.size() == 1; });
}

// --- TCP: what goes ---------------------------------------------------------

TEST_F(TcpTransportTest, AMessageIsSentWhenTheKernelHasAllOfIt) {
  Node& node = Make(Transport::kTcp, {.max_write_bytes = 64 << 20});
  TcpPeer peer = Join(node);
  peer.Send(Request("1"));
  TurnUntil([&] { return node.got.size() == 1; });
  // More than loopback's socket buffers hold.
  constexpr size_t kMany = 300;
  std::string want;
  for (size_t i = 0; i < kMany; ++i) {
    node.Send(node.got[0].from, Request(std::to_string(i), 60'000));
    want += Request(std::to_string(i), 60'000);
  }
  EXPECT_TRUE(node.sent.front()->ok());
  EXPECT_FALSE(node.sent.back().has_value());
  TurnUntil([&] { return peer.received().size() == want.size(); });
  EXPECT_TRUE(peer.received() == want);
  for (const auto& sent : node.sent) EXPECT_TRUE(sent->ok());
  EXPECT_EQ(node.counters().frames_out, kMany);
}

TEST_F(TcpTransportTest, WhoDoesNotReadIsClosedAtTheCap) {
  Node& node = Make(Transport::kTcp);
  TcpPeer peer = Join(node);
  TcpPeer other = Join(node);
  peer.Send(Request("1"));
  TurnUntil([&] { return node.got.size() == 1; });
  const Peer to = {.transport = Transport::kTcp,
                   .connection = node.got[0].from.connection};
  while (node.leg.connections() == 2 && node.sent.size() < 1'000) {
    node.Send(to, Request("x", 60'000));
    Turns(1);
  }
  EXPECT_EQ(node.counters().slow_readers, 1u);
  EXPECT_EQ(node.leg.connections(), 1u);
  size_t lost = 0;
  for (const auto& sent : node.sent) {
    ASSERT_TRUE(sent.has_value());
    if (!sent->ok()) {
      EXPECT_EQ(sent->code(), StatusCode::kResourceExhausted);
      ++lost;
    }
  }
  // The queue held what is beyond the cap and no more.
  EXPECT_GE(lost, 4u);
  EXPECT_LE(lost, 6u);
  EXPECT_EQ(node.counters().send_failures, lost);
  EXPECT_FALSE(other.closed());
}

TEST_F(TcpTransportTest, ClosesWhenAllIsWritten) {
  Node& node = Make(Transport::kTcp);
  TcpPeer peer = Join(node);
  node.leg.SetRefuser([&](const Peer& from, std::string_view octets, int) {
    const std::string before(octets);
    node.Send(from, Request("bye", 9));
    EXPECT_EQ(octets, before);  // they are ours until we return
    return Request("really");
  });
  peer.Send(Request("1") + std::string(kNoFrame) + Request("unheard"));
  TurnUntil([&] { return peer.closed(); });
  EXPECT_EQ(peer.received(), Request("bye", 9) + Request("really"));
  EXPECT_FALSE(peer.reset());
  EXPECT_EQ(node.got.size(), 1u);
  EXPECT_EQ(node.leg.connections(), 0u);
  ExpectLaw(node);
}

// Unread octets would make the kernel reset the connection, and the peer lose
// what it was told.
TEST_F(TcpTransportTest, ClosesWithoutAResetOverWhatItHasNotRead) {
  Node& node = Make(Transport::kTcp, {.tcp_readsize = kNoFrame.size()});
  TcpPeer peer = Join(node);
  node.leg.SetRefuser(
      [](const Peer&, std::string_view, int) { return Request("bye"); });
  peer.Send(std::string(kNoFrame) + std::string(10'000, 'x'));
  TurnUntil([&] { return node.leg.connections() == 0; });
  TurnUntil([&] { return peer.closed(); });
  EXPECT_EQ(peer.received(), Request("bye"));
  EXPECT_FALSE(peer.reset());
}

TEST_F(TcpTransportTest, ClosesALongAnswerOnlyWhenItIsRead) {
  Node& node = Make(Transport::kTcp, {.max_write_bytes = 64 << 20});
  TcpPeer peer = Join(node);
  const std::string answer(12 << 20, 'a');
  Peer from;
  node.leg.SetRefuser([&](const Peer& p, std::string_view, int) {
    from = p;
    return answer;
  });
  peer.Send(kNoFrame);
  TurnUntil([&] { return node.counters().bad_frames == 1; });
  Turns();
  EXPECT_EQ(node.leg.connections(), 1u);
  // It takes nothing more.
  EXPECT_FALSE(node.sent[node.Send({.transport = Transport::kTcp,
                                    .connection = from.connection},
                                   "more")]
                   ->ok());
  TurnUntil([&] { return peer.closed(); });
  EXPECT_EQ(peer.received().size(), answer.size());
}

TEST_F(TcpTransportTest, APeerThatHasGoneIsAStatusAndNoSignal) {
  Node& node = Make(Transport::kTcp);
  TcpPeer peer = Join(node);
  peer.Send(Request("1"));
  TurnUntil([&] { return node.got.size() == 1; });
  const Peer to = {.transport = Transport::kTcp,
                   .connection = node.got[0].from.connection};
  // The process would end by SIGPIPE here, unless whoever started it ignores
  // that. The first is still taken by the kernel, and answered by a reset.
  const auto before = std::signal(SIGPIPE, SIG_DFL);
  peer.Leave();
  for (int i = 0; i < 10 && node.leg.connections() == 1; ++i) {
    node.Send(to, Request("y"));
  }
  std::signal(SIGPIPE, before);
  EXPECT_EQ(node.leg.connections(), 0u);
  EXPECT_EQ(node.sent.back()->code(), StatusCode::kUnavailable);
}

TEST_F(TcpTransportTest, WhatWaitsForAPeerThatGoesIsTold) {
  Node& node = Make(Transport::kTcp, {.max_write_bytes = 64 << 20});
  TcpPeer peer = Join(node);
  peer.Send(Request("1"));
  TurnUntil([&] { return node.got.size() == 1; });
  node.Send(node.got[0].from, std::string(12 << 20, 'x'));
  node.Send(node.got[0].from, Request("y"));
  peer.Leave();
  TurnUntil([&] { return node.leg.connections() == 0; });
  for (const auto& sent : node.sent) {
    EXPECT_EQ(sent->code(), StatusCode::kUnavailable) << *sent;
  }
  EXPECT_EQ(node.counters().send_failures, 2u);
}

TEST_F(TcpTransportTest, ALegMayGoWithMessagesWaiting) {
  {
    Node node(loop_, {.listen = {{Transport::kTcp, kLoopback4}}});
    ASSERT_TRUE(node.leg.Listen().ok());
    TcpPeer peer = Join(node);
    node.Send({.transport = Transport::kTcp, .address = kLoopback4},
              Request("x"));
  }
  Advance(Micros::Seconds(60));
}

}  // namespace
}  // namespace sluice::sip
