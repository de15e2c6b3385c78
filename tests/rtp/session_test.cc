#include "rtp/session.h"

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "tests/rtp/session_world.h"

namespace sluice::rtp {
namespace {

class SessionTest : public testing::Test {
 protected:
  Agreed To(const Endpoint& remote) { return {.remote = remote}; }

  // `a` and `b` hear each other.
  void Connect(Session& a, Session& b, Codec codec = Codec::kPcmu,
               int ptime_ms = 20) {
    Agreed agreed{.codec = codec,
                  .payload_type = StaticPayloadType(codec),
                  .ptime_ms = ptime_ms,
                  .remote = At(b)};
    ASSERT_TRUE(a.Start(agreed).ok());
    agreed.remote = At(a);
    ASSERT_TRUE(b.Start(agreed).ok());
  }

  SessionWorld world_;
};

TEST_F(SessionTest, WhatIsPlayedIsHeardOctetByOctet) {
  for (const Codec codec : {Codec::kPcmu, Codec::kPcma}) {
    for (const int ptime_ms : {10, 20, 30, 60}) {
      auto a = world_.Open();
      auto b = world_.Open();
      // Ends within a packet.
      const Octets played = Noise(8000 + 77, 5);
      Octets heard;
      bool ended = false;
      a->SetSource(std::make_unique<MemorySource>(played),
                   [&] { ended = true; });
      ASSERT_TRUE(b->SetSink(std::make_unique<MemorySink>(&heard)).ok());
      Connect(*a, *b, codec, ptime_ms);
      world_.Advance(Micros::Millis(900));
      EXPECT_FALSE(ended);
      world_.Advance(Micros::Millis(600));
      EXPECT_TRUE(ended);
      b->Stop();
      ASSERT_GT(heard.size(), played.size());
      EXPECT_TRUE(std::equal(played.begin(), played.end(), heard.begin()))
          << Name(codec) << ' ' << ptime_ms;
      EXPECT_TRUE(std::all_of(
          heard.begin() + static_cast<ptrdiff_t>(played.size()), heard.end(),
          [&](uint8_t octet) { return octet == SilenceOctet(codec); }));
      EXPECT_EQ(b->quality().lost, 0);
      EXPECT_EQ(b->received().packets, a->sent().packets);
      EXPECT_EQ(b->received().octets, heard.size());
      EXPECT_EQ(b->quality().ssrc, a->ssrc());
    }
  }
}

TEST_F(SessionTest, SendsAPacketEachPacketTimeWithoutASource) {
  auto session = world_.Open();
  const RawPeer peer;
  ASSERT_TRUE(session->Start(To(peer.local())).ok());
  world_.Advance(Micros::Seconds(1));
  const auto packets = peer.Take();
  ASSERT_GE(packets.size(), 49u);
  ASSERT_LE(packets.size(), 50u);
  for (size_t i = 0; i < packets.size(); ++i) {
    EXPECT_EQ(packets[i].marker, i == 0);
    EXPECT_EQ(packets[i].type, 0);
    EXPECT_EQ(packets[i].header.ssrc, session->ssrc());
    EXPECT_EQ(packets[i].payload, Octets(160, SilenceOctet(Codec::kPcmu)));
    if (i == 0) continue;
    EXPECT_EQ(static_cast<uint16_t>(packets[i].header.sequence -
                                    packets[i - 1].header.sequence),
              1);
    EXPECT_EQ(packets[i].header.timestamp - packets[i - 1].header.timestamp,
              160u);
  }
}

TEST_F(SessionTest, SessionsOfOnePacketTimeTakeTurns) {
  std::vector<std::unique_ptr<Session>> sessions;
  std::vector<std::unique_ptr<RawPeer>> peers;
  for (int i = 0; i < 10; ++i) {
    sessions.push_back(world_.Open());
    peers.push_back(std::make_unique<RawPeer>());
    ASSERT_TRUE(sessions.back()->Start(To(peers.back()->local())).ok());
  }
  world_.Advance(Micros::Millis(40));
  for (const auto& peer : peers) peer->Take();
  for (int tick = 0; tick < 4; ++tick) {
    world_.Advance(MediaLoop::kTick);
    size_t sent = 0;
    for (const auto& peer : peers) sent += peer->Take().size();
    EXPECT_EQ(sent, 5u);
  }
}

TEST_F(SessionTest, AStallIsMadeUpForByTheTimestampAndNotByAStorm) {
  auto session = world_.Open();
  const RawPeer peer;
  ASSERT_TRUE(session->Start(To(peer.local())).ok());
  world_.Advance(Micros::Seconds(1));
  const RawPacket last = peer.Take().back();
  world_.time = world_.time + Micros::Seconds(7);
  world_.Settle();
  const auto late = peer.Take();
  ASSERT_FALSE(late.empty());
  EXPECT_LE(late.size(), 6u);
  EXPECT_EQ(
      static_cast<uint16_t>(late[0].header.sequence - last.header.sequence), 1);
  EXPECT_TRUE(late[0].marker);
  const uint32_t jump = late[0].header.timestamp - last.header.timestamp;
  EXPECT_GE(jump, 7u * 8000 - 160);
  EXPECT_LE(jump, 7u * 8000 + 160);
}

TEST_F(SessionTest, ALateTurnSendsWhatIsDue) {
  auto session = world_.Open();
  const RawPeer peer;
  ASSERT_TRUE(session->Start(To(peer.local())).ok());
  world_.Advance(Micros::Millis(200));
  peer.Take();
  world_.time = world_.time + Micros::Millis(80);
  world_.Settle();
  const auto packets = peer.Take();
  ASSERT_EQ(packets.size(), 4u);
  EXPECT_EQ(packets[3].header.timestamp - packets[0].header.timestamp, 480u);
  EXPECT_FALSE(packets[0].marker);
}

TEST_F(SessionTest, ARenegotiationKeepsTheStream) {
  auto session = world_.Open();
  const RawPeer before;
  const RawPeer after;
  const Octets played = Noise(1600, 1);
  session->SetSource(std::make_unique<MemorySource>(played));
  ASSERT_TRUE(session->Start(To(before.local())).ok());
  world_.Advance(Micros::Millis(100));
  // On hold: nothing is sent, the source waits and the clock runs on.
  Agreed hold = To({});
  hold.send = false;
  ASSERT_TRUE(session->Start(hold).ok());
  const auto first = before.Take();
  ASSERT_EQ(first.size(), 5u);
  world_.Advance(Micros::Millis(400));
  EXPECT_TRUE(before.Take().empty());
  ASSERT_TRUE(session->Start(To(after.local())).ok());
  world_.Advance(Micros::Millis(100));
  const auto second = after.Take();
  ASSERT_EQ(second.size(), 5u);
  EXPECT_TRUE(before.Take().empty());
  EXPECT_EQ(second[0].header.ssrc, first[0].header.ssrc);
  EXPECT_TRUE(second[0].marker);
  EXPECT_EQ(static_cast<uint16_t>(second[0].header.sequence -
                                  first[4].header.sequence),
            1);
  EXPECT_EQ(second[0].header.timestamp - first[4].header.timestamp,
            160u + 400 * 8);
  Octets sent;
  for (const auto& packets : {first, second}) {
    for (const RawPacket& p : packets) {
      sent.insert(sent.end(), p.payload.begin(), p.payload.end());
    }
  }
  EXPECT_EQ(sent, played);
}

TEST_F(SessionTest, ANewPacketTimeKeepsTheClock) {
  auto session = world_.Open();
  const RawPeer peer;
  Agreed agreed = To(peer.local());
  ASSERT_TRUE(session->Start(agreed).ok());
  world_.Advance(Micros::Millis(100));
  const RawPacket last = peer.Take().back();
  const Micros when = world_.time;
  agreed.ptime_ms = 40;
  ASSERT_TRUE(session->Start(agreed).ok());
  while (session->sent().packets < 6) {
    world_.Advance(MediaLoop::kTick);
    ASSERT_LT(world_.time - when, Micros::Seconds(1));
  }
  const RawPacket next = peer.Take().back();
  EXPECT_EQ(next.payload.size(), 320u);
  const uint32_t step = next.header.timestamp - last.header.timestamp;
  EXPECT_GE(step, 80u);
  EXPECT_LE(step, 480u);
}

TEST_F(SessionTest, PortsAreAnEvenPairOfTheWindowAndComeBack) {
  SessionWorld narrow(
      {.first = Port::FromHost(30001), .last = Port::FromHost(30007)});
  std::vector<std::unique_ptr<Session>> sessions;
  for (int i = 0; i < 3; ++i) {
    sessions.push_back(narrow.Open());
    EXPECT_EQ(sessions.back()->port() % 2, 0);
    EXPECT_GE(sessions.back()->port(), 30002);
    EXPECT_LE(sessions.back()->port(), 30006);
    // The RTCP port is bound too.
    EXPECT_FALSE(net::OpenUdp({.ip = kLoopback,
                               .port = Port::FromHost(static_cast<uint16_t>(
                                   sessions.back()->port() + 1))},
                              {})
                     .ok());
  }
  const auto refused = Session::Open(narrow.media, kLoopback);
  EXPECT_EQ(refused.status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_NE(refused.status().message().find("30001..30007"), std::string::npos)
      << refused.status();
  const uint16_t port = sessions[1]->port();
  sessions[1].reset();
  EXPECT_EQ(narrow.Open()->port(), port);
  EXPECT_EQ(narrow.media.sessions(), 2u);
  EXPECT_FALSE(
      narrow.media
          .SetPorts({.first = Port::FromHost(5), .last = Port::FromHost(6)})
          .ok());
  EXPECT_TRUE(narrow.media
                  .SetPorts({.first = Port::FromHost(65534),
                             .last = Port::FromHost(65535)})
                  .ok());
}

TEST_F(SessionTest, StartRefusesWhatCannotBeSentOrToldApart) {
  auto session = world_.Open();
  const Endpoint peer{.ip = kLoopback, .port = Port::FromHost(9)};
  const auto refused = [&](Agreed agreed) {
    return session->Start(agreed).code() == absl::StatusCode::kInvalidArgument;
  };
  EXPECT_TRUE(refused({.payload_type = 128, .remote = peer}));
  EXPECT_TRUE(refused({.payload_type = 72, .remote = peer}));
  EXPECT_TRUE(
      refused({.payload_type = 101, .event_type = 101, .remote = peer}));
  EXPECT_TRUE(refused({.ptime_ms = 9, .remote = peer}));
  EXPECT_TRUE(refused({.ptime_ms = 201, .remote = peer}));
  EXPECT_TRUE(refused({}));
  EXPECT_TRUE(refused({.remote = {.ip = kLoopback, .port = Port()}}));
  EXPECT_TRUE(refused(
      {.remote = {.ip = *IpAddress::Parse("::1"), .port = Port::FromHost(9)}}));
  EXPECT_FALSE(session->started());
  EXPECT_TRUE(session->Start({.send = false}).ok());
}

TEST_F(SessionTest, AnEchoSendsBackWhatItHears) {
  auto echo = world_.Open();
  auto caller = world_.Open();
  const Octets played = Noise(4000, 9);
  Octets heard;
  echo->SetEcho(true);
  caller->SetSource(std::make_unique<MemorySource>(played));
  ASSERT_TRUE(caller->SetSink(std::make_unique<MemorySink>(&heard)).ok());
  Connect(*caller, *echo);
  world_.Advance(Micros::Seconds(1));
  caller->Stop();
  // What the echo sent before it heard anything is silence.
  const auto found =
      std::search(heard.begin(), heard.end(), played.begin(), played.end());
  EXPECT_NE(found, heard.end());
  EXPECT_LE(found - heard.begin(), 320);
  EXPECT_NE(echo->ssrc(), caller->ssrc());
  EXPECT_EQ(caller->quality().ssrc, echo->ssrc());
  EXPECT_EQ(caller->quality().lost, 0);
  // When nothing comes any more, silence keeps the call alive.
  const uint64_t sent = echo->sent().packets;
  world_.Advance(Micros::Seconds(1));
  EXPECT_GE(echo->sent().packets, sent + 38);
}

TEST_F(SessionTest, ACallbackMayDestroyItsSession) {
  auto a = world_.Open();
  auto b = world_.Open();
  a->SetSource(std::make_unique<MemorySource>(Noise(100, 1)),
               [&] { a.reset(); });
  bool heard = false;
  b->OnDtmf([&](char, DtmfMethod) {
    heard = true;
    b.reset();
  });
  Connect(*a, *b);
  ASSERT_TRUE(b->SendDtmf("1", {.method = DtmfMethod::kInBand}, [] {}).ok());
  world_.Advance(Micros::Millis(100));
  EXPECT_EQ(a, nullptr);
  const RawPeer peer;
  Agreed agreed = To(peer.local());
  agreed.event_type = 101;
  ASSERT_TRUE(b->Start(agreed).ok());
  peer.Send(b->port(), MakeRtp({.ssrc = 1, .timestamp = 2, .sequence = 3}, 101,
                               {5, 10, 0, 160}));
  world_.Settle();
  EXPECT_TRUE(heard);
  EXPECT_EQ(b, nullptr);
  EXPECT_EQ(world_.media.sessions(), 0u);
}

TEST_F(SessionTest, AReplacedSourceEndsUntold) {
  auto session = world_.Open();
  const RawPeer peer;
  ASSERT_TRUE(session->Start(To(peer.local())).ok());
  bool first = false;
  bool second = false;
  session->SetSource(std::make_unique<MemorySource>(Noise(8000, 1)),
                     [&] { first = true; });
  world_.Advance(Micros::Millis(100));
  session->SetSource(std::make_unique<MemorySource>(Noise(100, 1)),
                     [&] { second = true; });
  world_.Advance(Micros::Seconds(2));
  EXPECT_FALSE(first);
  EXPECT_TRUE(second);
}

TEST_F(SessionTest, ASecondsTalkIsJudged) {
  auto a = world_.Open();
  auto b = world_.Open();
  Connect(*a, *b);
  EXPECT_EQ(b->mos(), 0);
  EXPECT_EQ(b->last_heard(), Micros());
  world_.Advance(Micros::Seconds(2));
  EXPECT_GT(b->mos(), 4.3);
  EXPECT_GT(b->last_heard(), world_.time - Micros::Millis(40));
}

}  // namespace
}  // namespace sluice::rtp
