// Who is heard, and what becomes of what others send.
#include <algorithm>
#include <random>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "rtp/order.h"
#include "rtp/session.h"
#include "tests/rtp/session_world.h"

namespace sluice::rtp {
namespace {

class SessionPeerTest : public testing::Test {
 protected:
  SessionPeerTest() { Listen({}); }

  void Listen(SessionOptions options) {
    heard_.clear();
    session_ = world_.Open(std::move(options));
    ASSERT_TRUE(session_->SetSink(std::make_unique<MemorySink>(&heard_)).ok());
    ASSERT_TRUE(session_->Start({.remote = peer_.local()}).ok());
  }
  Octets Packet(int number, uint32_t ssrc = 7, uint8_t type = 0) {
    return MakeRtp({.ssrc = ssrc,
                    .timestamp = static_cast<uint32_t>(160 * number),
                    .sequence = static_cast<uint16_t>(number)},
                   type, Octets(160, static_cast<uint8_t>(number)));
  }
  void Send(int number) { peer_.Send(session_->port(), Packet(number)); }

  SessionWorld world_;
  RawPeer peer_;
  Octets heard_;
  std::unique_ptr<Session> session_;
};

Octets Runs(std::vector<int> numbers) {
  Octets octets;
  for (const int n : numbers) {
    octets.insert(octets.end(), 160,
                  n < 0 ? SilenceOctet(Codec::kPcmu) : static_cast<uint8_t>(n));
  }
  return octets;
}

TEST_F(SessionPeerTest, AStrangerIsACountedDrop) {
  const RawPeer stranger(IpAddress::V4(127, 0, 0, 2));
  Send(1);
  for (int i = 2; i < 40; ++i) stranger.Send(session_->port(), Packet(i, 99));
  Send(2);
  for (int i = 0; i < 5; ++i) world_.Settle();
  EXPECT_EQ(session_->drops().strangers, 38u);
  EXPECT_EQ(session_->received().packets, 2u);
  EXPECT_EQ(heard_, Runs({1, 2}));
  EXPECT_EQ(session_->quality().ssrc, 7u);
  EXPECT_EQ(session_->quality().ssrc_changes, 0u);
}

TEST_F(SessionPeerTest, AnotherPortOfThePeerIsHeardAndNotSentTo) {
  const RawPeer other;
  other.Send(session_->port(), Packet(1));
  world_.Advance(Micros::Millis(100));
  EXPECT_EQ(session_->received().packets, 1u);
  EXPECT_EQ(session_->remote(), peer_.local());
  EXPECT_TRUE(other.Take().empty());
  EXPECT_FALSE(peer_.Take().empty());
}

TEST_F(SessionPeerTest, ALatchTakesTheFirstValidSourceAndNoOther) {
  Listen({.latch = true});
  const RawPeer real(IpAddress::V4(127, 0, 0, 3));
  const RawPeer late(IpAddress::V4(127, 0, 0, 4));
  // Neither rubbish nor a payload type of somebody else's latches.
  late.Send(session_->port(), {1, 2, 3});
  late.Send(session_->port(), Packet(1, 5, 33));
  world_.Settle();
  EXPECT_EQ(session_->remote(), peer_.local());
  real.Send(session_->port(), Packet(1));
  world_.Settle();
  late.Send(session_->port(), Packet(2));
  peer_.Send(session_->port(), Packet(3));
  world_.Advance(Micros::Millis(100));
  EXPECT_EQ(session_->remote(), real.local());
  EXPECT_EQ(session_->received().packets, 1u);
  EXPECT_EQ(session_->drops().strangers, 2u);
  EXPECT_FALSE(real.Take().empty());
  EXPECT_EQ(heard_, Runs({1}));
}

TEST_F(SessionPeerTest, RubbishIsCountedAndHarmless) {
  peer_.Send(session_->port(), {});
  peer_.Send(session_->port(), {0x80});
  peer_.Send(session_->port(), Octets(172, 0x00));
  peer_.Send(session_->port(), Octets(1900, 0x80));
  peer_.Send(session_->port(), Octets(4000, 0x80));
  world_.Settle();
  EXPECT_EQ(session_->drops().malformed, 4u + 1u);
  EXPECT_EQ(session_->received().packets, 0u);
  peer_.Send(session_->port(), Packet(1, 7, 18));
  world_.Settle();
  EXPECT_EQ(session_->drops().other_types, 1u);
  EXPECT_TRUE(heard_.empty());
}

TEST_F(SessionPeerTest, WhatOvertakesTheAnswerWaitsForTheStart) {
  heard_.clear();
  session_ = world_.Open();
  ASSERT_TRUE(session_->SetSink(std::make_unique<MemorySink>(&heard_)).ok());
  Send(1);
  world_.Advance(Micros::Millis(100));
  EXPECT_EQ(session_->received().packets, 0u);
  ASSERT_TRUE(session_->Start({.remote = peer_.local()}).ok());
  Send(2);
  world_.Settle();
  EXPECT_EQ(heard_, Runs({1, 2}));
}

TEST_F(SessionPeerTest, ThePeerMayUseAnyOfWhatWeTakeByOurNumbers) {
  Agreed agreed{.remote = peer_.local()};
  agreed.receives = {{.payload_type = 0},
                     {.payload_type = 97, .codec = Codec::kPcma}};
  ASSERT_TRUE(session_->Start(agreed).ok());
  session_->SetEcho(true);
  peer_.Send(session_->port(), Packet(1));
  peer_.Send(session_->port(), Packet(2, 7, 97));
  peer_.Send(session_->port(), Packet(3, 7, 8));
  world_.Settle();
  EXPECT_EQ(heard_, Runs({1, 2}));
  EXPECT_EQ(session_->received().packets, 2u);
  EXPECT_EQ(session_->drops().other_types, 1u);
  // What goes back is in our codec, and by its number.
  Octets second(160, 2);
  Transcode(Codec::kPcma, Codec::kPcmu, second);
  std::vector<Octets> echoes;
  for (const RawPacket& packet : peer_.Take()) {
    EXPECT_EQ(packet.type, 0);
    if (packet.payload != Runs({-1})) echoes.push_back(packet.payload);
  }
  EXPECT_EQ(echoes, (std::vector<Octets>{Runs({1}), second}));
}

TEST_F(SessionPeerTest, AnEchoBeginsBehindTheSilenceBeforeIt) {
  session_->SetEcho(true);
  world_.Advance(Micros::Millis(45));
  Send(1);
  world_.Settle();
  const std::vector<RawPacket> sent = peer_.Take();
  ASSERT_GE(sent.size(), 2u);
  EXPECT_EQ(sent.back().payload, Runs({1}));
  EXPECT_EQ(
      sent.back().header.timestamp - sent[sent.size() - 2].header.timestamp,
      160u);
}

// An hour of silence is no leave to send an hour at once.
TEST_F(SessionPeerTest, AnEchosUnusedTimeIsGone) {
  session_->SetEcho(true);
  int number = 0;
  // How many of so many come back, which all are sent at this moment.
  const auto echoes = [&](int count) {
    for (int i = 0; i < count; ++i) {
      peer_.Send(session_->port(),
                 MakeRtp({.ssrc = 7,
                          .timestamp = static_cast<uint32_t>(160 * ++number),
                          .sequence = static_cast<uint16_t>(number)},
                         0, Octets(160, 1)));
      if (i % 8 == 7) world_.Settle();
    }
    world_.Settle();
    int back = 0;
    for (const RawPacket& packet : peer_.Take()) {
      back += packet.payload == Runs({1});
    }
    return back;
  };
  EXPECT_EQ(echoes(1), 1);
  world_.time = world_.time + Micros::Seconds(3'600);
  // Two seconds ahead of the clock and the packet that gets there.
  EXPECT_EQ(echoes(200), 101);
  EXPECT_EQ(echoes(1), 0);
  // A second brings a second's.
  world_.time = world_.time + Micros::Seconds(1);
  EXPECT_EQ(echoes(200), 50);
}

TEST_F(SessionPeerTest, NothingIsHeardBetweenStopAndStart) {
  session_->Stop();
  Send(1);
  world_.Settle();
  EXPECT_EQ(session_->drops().not_agreed, 1u);
  ASSERT_TRUE(
      session_->Start({.remote = peer_.local(), .receive = false}).ok());
  Send(2);
  world_.Settle();
  EXPECT_EQ(session_->drops().not_agreed, 2u);
  EXPECT_TRUE(heard_.empty());
}

TEST_F(SessionPeerTest, TheSinkGetsOrderAndSilenceForGaps) {
  for (const int n : {1, 3, 2, 2, 5, 4, 7, 8}) Send(n);
  world_.Settle();
  EXPECT_EQ(heard_, Runs({1, 2, 3, 4, 5}));
  Send(1);
  world_.Settle();
  EXPECT_EQ(session_->drops().late, 2u);  // 2 again, and 1
  // Held back no longer than a moment.
  world_.Advance(Micros::Millis(200));
  EXPECT_EQ(heard_, Runs({1, 2, 3, 4, 5, -1, 7, 8}));
  const StreamQuality q = session_->quality();
  EXPECT_EQ(q.duplicates, 2u);
  EXPECT_EQ(q.expected, 8u);
}

TEST_F(SessionPeerTest, StopGivesTheSinkWhatWasHeldBack) {
  for (const int n : {1, 3}) Send(n);
  world_.Settle();
  EXPECT_EQ(heard_, Runs({1}));
  session_->Stop();
  EXPECT_EQ(heard_, Runs({1, -1, 3}));
}

TEST_F(SessionPeerTest, AJumpOfTheTimestampIsANewBeginning) {
  Send(1);
  const auto send = [&](uint16_t sequence, uint32_t timestamp, int mark) {
    peer_.Send(
        session_->port(),
        MakeRtp({.ssrc = 7, .timestamp = timestamp, .sequence = sequence}, 0,
                Octets(160, static_cast<uint8_t>(mark))));
  };
  send(2, 0x80000000u, 2);
  send(3, 0x80000000u + 160, 3);
  send(4, 320, 4);
  world_.Settle();
  EXPECT_EQ(heard_, Runs({1, 2, 3, 4}));
}

TEST_F(SessionPeerTest, TimestampsBuyNoMoreThanSecondsOfSilence) {
  // Each packet is nine seconds behind the last one's timestamp.
  for (uint16_t i = 0; i < 200; ++i) {
    peer_.Send(session_->port(),
               MakeRtp({.ssrc = 7, .timestamp = i * 72'000u, .sequence = i}, 0,
                       Octets(160, 1)));
    if (i % 10 == 9) world_.Settle();
  }
  world_.Settle();
  EXPECT_LE(heard_.size(), Timeline::kAheadMax);
  EXPECT_GT(session_->drops().too_fast, 50u);
}

TEST_F(SessionPeerTest, AnotherSourceIsANewBeginning) {
  for (const int n : {1, 2}) Send(n);
  for (const int n : {900, 901}) {
    peer_.Send(session_->port(), Packet(n, 8));
  }
  world_.Settle();
  EXPECT_EQ(heard_, Runs({1, 2, 900, 901}));
  EXPECT_EQ(session_->quality().ssrc_changes, 1u);
}

// Loses, doubles and reorders what it is given, by a seed.
TEST_F(SessionPeerTest, ALossyRoadIsPutInOrder) {
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    Listen({});
    std::mt19937_64 random(seed);
    constexpr int kPackets = 1000;
    const int first = 65'000;               // the sequence wraps on the way
    std::vector<std::pair<int, int>> road;  // when it arrives, its number
    std::vector<int> came(kPackets, 0);
    for (int i = 0; i < kPackets; ++i) {
      // The first comes first: before it nothing can be known. The last comes.
      const bool edge = i == 0 || i == kPackets - 1;
      if (!edge && random() % 10 == 0) continue;
      const int delay =
          edge || i < 4 ? 0 : static_cast<int>(random() % 4);  // in packets
      road.emplace_back(4 * (i + delay), i);
      ++came[static_cast<size_t>(i)];
      if (random() % 20 == 0 && !edge) {
        road.emplace_back(4 * (i + delay) + 1, i);
        ++came[static_cast<size_t>(i)];
      }
    }
    std::stable_sort(road.begin(), road.end(),
                     [](auto& a, auto& b) { return a.first < b.first; });
    const Octets audio = Noise(160 * kPackets, seed);
    int moment = 0;
    for (const auto& [when, number] : road) {
      while (moment < when) {
        moment += 4;
        world_.Advance(Micros::Millis(20));
      }
      const auto begin = audio.begin() + 160 * number;
      peer_.Send(session_->port(),
                 MakeRtp({.ssrc = 7,
                          .timestamp = static_cast<uint32_t>(number * 160),
                          .sequence = static_cast<uint16_t>(first + number)},
                         0, Octets(begin, begin + 160)));
      world_.Settle();
    }
    session_->Stop();
    Octets want;
    uint64_t arrived = 0;
    uint64_t doubled = 0;
    for (int i = 0; i < kPackets; ++i) {
      const int n = came[static_cast<size_t>(i)];
      arrived += static_cast<uint64_t>(n);
      if (n > 1) ++doubled;
      if (n == 0) {
        want.insert(want.end(), 160, SilenceOctet(Codec::kPcmu));
      } else {
        want.insert(want.end(), audio.begin() + 160 * i,
                    audio.begin() + 160 * (i + 1));
      }
    }
    EXPECT_TRUE(heard_ == want) << "seed " << seed;
    EXPECT_EQ(heard_.size(), want.size()) << "seed " << seed;
    const StreamQuality q = session_->quality();
    EXPECT_EQ(q.expected, static_cast<uint64_t>(kPackets)) << "seed " << seed;
    EXPECT_EQ(q.received, arrived) << "seed " << seed;
    EXPECT_EQ(q.duplicates, doubled) << "seed " << seed;
    EXPECT_GT(q.reordered, 50u) << "seed " << seed;
    EXPECT_EQ(session_->drops().late, doubled) << "seed " << seed;
  }
}

}  // namespace
}  // namespace sluice::rtp
