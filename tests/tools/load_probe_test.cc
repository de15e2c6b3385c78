// Goal: a probe is valid RTP or RTCP, comes back as it was written, and no
// change to it goes unseen.
#include <gtest/gtest.h>

#include <set>
#include <vector>

#include "tools/load/probe.h"

namespace sluice::load {
namespace {

Probe Sample(ProbeKind kind) {
  Probe probe;
  probe.kind = kind;
  probe.direction = 1;
  probe.run = 0xdeadbeef;
  probe.session = 4711;
  probe.sequence = 70'000;
  probe.slot = 17;
  probe.timestamp = 160 * 70'000;
  probe.sent_ns = 123'456'789'012'345;
  return probe;
}

std::vector<uint8_t> Write(const Probe& probe, size_t bytes) {
  std::vector<uint8_t> packet(bytes, 0xee);
  WriteProbe(probe, packet);
  return packet;
}

const std::pair<ProbeKind, size_t> kForms[] = {
    {ProbeKind::kRtp, kRtpProbeMin},
    {ProbeKind::kRtp, 172},
    {ProbeKind::kRtp, 173},
    {ProbeKind::kRtp, kProbeMax},
    {ProbeKind::kRtcp, kRtcpProbeBytes}};

TEST(ProbeTest, ComesBackAsItWasWritten) {
  for (const auto& [kind, bytes] : kForms) {
    const Probe probe = Sample(kind);
    const auto read = ReadProbe(Write(probe, bytes));
    ASSERT_TRUE(read.has_value()) << bytes;
    EXPECT_EQ(read->kind, probe.kind);
    EXPECT_EQ(read->direction, probe.direction);
    EXPECT_EQ(read->run, probe.run);
    EXPECT_EQ(read->session, probe.session);
    EXPECT_EQ(read->sequence, probe.sequence);
    EXPECT_EQ(read->slot, probe.slot);
    EXPECT_EQ(read->sent_ns, probe.sent_ns);
  }
}

TEST(ProbeTest, SeesEveryFlippedBit) {
  for (const auto& [kind, bytes] : kForms) {
    std::vector<uint8_t> packet = Write(Sample(kind), bytes);
    for (size_t bit = 0; bit < bytes * 8; ++bit) {
      packet[bit / 8] ^= static_cast<uint8_t>(1u << (bit % 8));
      ASSERT_FALSE(ReadProbe(packet).has_value()) << bytes << ", bit " << bit;
      packet[bit / 8] ^= static_cast<uint8_t>(1u << (bit % 8));
    }
  }
}

TEST(ProbeTest, SeesEveryOtherLength) {
  for (const auto& [kind, bytes] : kForms) {
    std::vector<uint8_t> packet = Write(Sample(kind), bytes);
    for (size_t n = 0; n < bytes; ++n) {
      ASSERT_FALSE(ReadProbe(std::span(packet).first(n)).has_value()) << n;
    }
    packet.push_back(0);
    EXPECT_FALSE(ReadProbe(packet).has_value());
  }
}

TEST(ProbeTest, IsTheRtpThatItSays) {
  const Probe probe = Sample(ProbeKind::kRtp);
  const auto packet = Write(probe, 172);
  EXPECT_EQ(packet[0], 0x80);  // RFC 3550 5.1: version 2 and nothing else
  EXPECT_EQ(packet[1], 0);     // PCMU, no marker
  EXPECT_EQ(packet[2] << 8 | packet[3], 70'000 & 0xffff);
  const uint32_t ssrc = uint32_t{packet[8]} << 24 | uint32_t{packet[9]} << 16 |
                        uint32_t{packet[10]} << 8 | packet[11];
  EXPECT_EQ(ssrc, SsrcOf(probe.run, probe.session, probe.direction));
}

// RFC 3550 6.1: a compound packet begins with a report, and the lengths of its
// parts add up to the datagram.
TEST(ProbeTest, IsTheRtcpThatItSays) {
  const auto packet = Write(Sample(ProbeKind::kRtcp), kRtcpProbeBytes);
  size_t at = 0;
  std::vector<int> types;
  while (at + 4 <= packet.size()) {
    EXPECT_EQ(packet[at] >> 6, 2);
    types.push_back(packet[at + 1]);
    at += 4 * (size_t{1} +
               static_cast<size_t>(packet[at + 2] << 8 | packet[at + 3]));
  }
  EXPECT_EQ(at, packet.size());
  EXPECT_EQ(types, (std::vector<int>{200, 204}));
}

TEST(ProbeTest, StreamsOfARunHaveDifferentSsrcs) {
  std::set<uint32_t> seen;
  for (uint32_t session = 0; session < 20'000; ++session) {
    for (uint8_t direction = 0; direction < 2; ++direction) {
      EXPECT_TRUE(seen.insert(SsrcOf(1, session, direction)).second);
    }
  }
}

TEST(ProbeTest, NeighboursDifferInTheirFiller) {
  Probe probe = Sample(ProbeKind::kRtp);
  const auto one = Write(probe, 172);
  ++probe.sequence;
  const auto next = Write(probe, 172);
  EXPECT_NE(std::vector(one.begin() + kRtpProbeMin, one.end()),
            std::vector(next.begin() + kRtpProbeMin, next.end()));
}

}  // namespace
}  // namespace sluice::load
