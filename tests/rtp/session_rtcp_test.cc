// What sessions tell each other about the road.
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "rtp/rtcp.h"
#include "rtp/session.h"
#include "tests/rtp/session_world.h"

namespace sluice::rtp {
namespace {

bool HasType(const Octets& compound, uint8_t type) {
  size_t at = 0;
  while (at + 4 <= compound.size()) {
    if (compound[at + 1] == type) return true;
    at += 4 * (1 + size_t{static_cast<uint16_t>(compound[at + 2] << 8 |
                                                compound[at + 3])});
  }
  EXPECT_EQ(at, compound.size());
  return false;
}

constexpr uint8_t kSr = 200;
constexpr uint8_t kRr = 201;
constexpr uint8_t kSdes = 202;
constexpr uint8_t kBye = 203;

TEST(SessionRtcp, EachHearsOfTheOthersLossAndTheRoundTrip) {
  SessionWorld world;
  auto a = world.Open();
  auto b = world.Open();
  const RawPeer road;  // a's RTP to b, of which every fourth is lost
  ASSERT_TRUE(
      a->Start({.remote = road.local(),
                .remote_rtcp = {.ip = kLoopback,
                                .port = Port::FromHost(
                                    static_cast<uint16_t>(b->port() + 1))}})
          .ok());
  ASSERT_TRUE(b->Start({.remote = At(*a)}).ok());
  int number = 0;
  for (int i = 0; i < 1000; ++i) {
    world.Advance(Micros::Millis(20));
    for (const RawPacket& packet : road.Take()) {
      if (++number % 4 != 0) road.Send(b->port(), packet.whole);
    }
    world.Settle();
  }
  const PeerReport of_a = a->peer_report();
  EXPECT_GT(of_a.heard, world.time - Micros::Seconds(7));
  EXPECT_NEAR(of_a.fraction_lost, 0.25, 0.02);
  EXPECT_GT(of_a.packets_lost, 100);
  EXPECT_GT(of_a.rtt_ms, 0);
  EXPECT_LT(of_a.rtt_ms, 20);
  EXPECT_EQ(b->peer_report().fraction_lost, 0);
  EXPECT_EQ(b->peer_report().packets_lost, 0);
  EXPECT_GT(a->quality().rtt_ms, 0);
}

class RtcpPeerTest : public testing::Test {
 protected:
  RtcpPeerTest() : session_(world_.Open({.cname = "me@here"})) {}
  absl::Status Start(bool send) {
    return session_->Start(
        {.remote = rtp_.local(), .remote_rtcp = rtcp_.local(), .send = send});
  }

  SessionWorld world_;
  RawPeer rtp_;
  RawPeer rtcp_;
  std::unique_ptr<Session> session_;
};

TEST_F(RtcpPeerTest, ReportsEverySoOftenAndSaysGoodbye) {
  ASSERT_TRUE(Start(true).ok());
  world_.Advance(Micros::Seconds(60));
  std::vector<Octets> reports = rtcp_.TakeRaw();
  // Each 2.05 to 6.16 seconds.
  EXPECT_GE(reports.size(), 9u);
  EXPECT_LE(reports.size(), 29u);
  for (const Octets& report : reports) {
    EXPECT_TRUE(ValidRtcp(report));
    EXPECT_TRUE(HasType(report, kSr) && HasType(report, kSdes));
    EXPECT_FALSE(HasType(report, kBye));
    const std::string text(report.begin(), report.end());
    EXPECT_NE(text.find("me@here"), std::string::npos);
    const RtcpReports read = ReadRtcpReports(report);
    ASSERT_TRUE(read.sender.has_value());
    EXPECT_EQ(read.sender->ssrc, session_->ssrc());
  }
  session_->Stop();
  reports = rtcp_.TakeRaw();
  ASSERT_EQ(reports.size(), 1u);
  EXPECT_TRUE(HasType(reports[0], kBye));
}

TEST_F(RtcpPeerTest, WhoSendsNothingSendsReceiverReports) {
  ASSERT_TRUE(Start(false).ok());
  // Before it has heard anything it has nothing to say.
  world_.Advance(Micros::Seconds(20));
  EXPECT_TRUE(rtcp_.TakeRaw().empty());
  rtp_.Send(
      session_->port(),
      MakeRtp({.ssrc = 7, .timestamp = 0, .sequence = 1}, 0, Octets(160, 1)));
  world_.Advance(Micros::Seconds(20));
  const std::vector<Octets> reports = rtcp_.TakeRaw();
  ASSERT_FALSE(reports.empty());
  for (const Octets& report : reports) {
    EXPECT_TRUE(HasType(report, kRr));
    EXPECT_FALSE(HasType(report, kSr));
  }
}

TEST_F(RtcpPeerTest, StrangersAndRubbishChangeNothing) {
  ASSERT_TRUE(Start(true).ok());
  const auto port = static_cast<uint16_t>(session_->port() + 1);
  Octets report(kRtcpOutBytesMax);
  report.resize(WriteRtcp({.ssrc = 9,
                           .block = RtcpOut::Block{.ssrc = session_->ssrc(),
                                                   .fraction_lost = 128,
                                                   .packets_lost = -3}},
                          report));
  const RawPeer stranger(IpAddress::V4(127, 0, 0, 2));
  stranger.Send(port, report);
  rtcp_.Send(port, Octets(7, 0x80));
  rtcp_.Send(port, Octets(64, 0xff));
  world_.Settle();
  EXPECT_EQ(session_->peer_report().heard, Micros());
  EXPECT_EQ(session_->drops().strangers, 1u);
  EXPECT_EQ(session_->drops().malformed, 2u);
  rtcp_.Send(port, report);
  world_.Settle();
  EXPECT_EQ(session_->peer_report().heard, world_.time);
  EXPECT_EQ(session_->peer_report().fraction_lost, 0.5);
  EXPECT_EQ(session_->peer_report().packets_lost, -3);
  EXPECT_EQ(session_->peer_report().rtt_ms, 0);
}

// RFC 3550 A.1: two in a row are believed, one is not; and a wrap is counted.
TEST_F(RtcpPeerTest, AWildSequenceNumberIsNotReported) {
  ASSERT_TRUE(Start(false).ok());
  const auto say = [&](std::initializer_list<int> numbers) {
    for (const int n : numbers) {
      rtp_.Send(
          session_->port(),
          MakeRtp(
              {.ssrc = 7, .timestamp = 0, .sequence = static_cast<uint16_t>(n)},
              0, Octets(160, 1)));
    }
    world_.Settle();
  };
  // The extended highest sequence number of the next report.
  const auto reported = [&] {
    rtcp_.TakeRaw();
    world_.Advance(Micros::Seconds(7));
    const std::vector<Octets> reports = rtcp_.TakeRaw();
    // Of an RR's first block (6.4.2).
    constexpr size_t kAt = 8 + 8;
    if (reports.empty() || !HasType(reports.back(), kRr) ||
        reports.back().size() < kAt + 4) {
      ADD_FAILURE() << "no report";
      return uint32_t{0};
    }
    uint32_t highest = 0;
    for (size_t i = 0; i < 4; ++i)
      highest = highest << 8 | reports.back()[kAt + i];
    return highest;
  };
  say({65'530, 65'531, 30'000, 65'532});
  EXPECT_EQ(reported(), 65'532u);
  say({65'535, 2, 1});
  EXPECT_EQ(reported(), 65'536u + 2);
  say({20'000, 3, 20'000, 20'001});
  EXPECT_EQ(reported(), 65'536u + 20'001);
}

TEST_F(RtcpPeerTest, NoneIsSentWhereNoneIsWanted) {
  session_ = world_.Open({.rtcp = false});
  ASSERT_TRUE(Start(true).ok());
  world_.Advance(Micros::Seconds(20));
  session_->Stop();
  EXPECT_TRUE(rtcp_.TakeRaw().empty());
}

TEST(WriteRtcp, IsWhatReadRtcpReportsReads) {
  for (size_t length = 0; length < 300; ++length) {
    const std::string cname(length, 'c');
    Octets packet(kRtcpOutBytesMax);
    packet.resize(
        WriteRtcp({.ssrc = 5,
                   .sender = RtcpOut::Sender{.ntp = 0x1122334455667788},
                   .block = RtcpOut::Block{.ssrc = 6,
                                           .fraction_lost = 255,
                                           .packets_lost = INT32_MIN,
                                           .jitter = 77,
                                           .lsr = 8,
                                           .dlsr = 9},
                   .cname = cname,
                   .bye = true},
                  packet));
    ASSERT_TRUE(ValidRtcp(packet));
    EXPECT_TRUE(HasType(packet, kBye));
    const RtcpReports read = ReadRtcpReports(packet);
    ASSERT_TRUE(read.sender.has_value());
    EXPECT_EQ(read.sender->ntp_middle, 0x33445566u);
    ASSERT_EQ(read.block_count, 1u);
    EXPECT_EQ(read.blocks[0].ssrc, 6u);
    EXPECT_EQ(read.blocks[0].fraction_lost, 255);
    EXPECT_EQ(read.blocks[0].packets_lost, -0x800000);
    EXPECT_EQ(read.blocks[0].jitter, 77u);
    EXPECT_EQ(read.blocks[0].lsr, 8u);
    EXPECT_EQ(read.blocks[0].dlsr, 9u);
  }
}

TEST(NtpOfUnix, Is1900sClock) {
  EXPECT_EQ(NtpOfUnix(0), 2'208'988'800ull << 32);
  EXPECT_EQ(NtpOfUnix(1'500'000), (2'208'988'801ull << 32) + (1ull << 31));
}

}  // namespace
}  // namespace sluice::rtp
