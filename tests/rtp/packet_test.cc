#include "rtp/packet.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "gtest/gtest.h"

namespace sluice::rtp {
namespace {

using Bytes = std::vector<uint8_t>;

// A packet of `size` octets that begins with `head` and ends with `tail`.
Bytes Packet(Bytes head, size_t size, Bytes tail = {}) {
  head.resize(size);
  std::copy(tail.begin(), tail.end(),
            head.end() - static_cast<ptrdiff_t>(tail.size()));
  return head;
}

struct RtpCase {
  const char* name = "";
  Bytes packet{};
  bool want = false;
};

const RtpCase kRtpCases[] = {
    {.name = "empty", .packet = {}, .want = false},
    {.name = "eleven octets", .packet = Packet({0x80}, 11), .want = false},
    {.name = "the header alone", .packet = Packet({0x80}, 12), .want = true},
    {.name = "G.711 at 20 ms", .packet = Packet({0x80}, 172), .want = true},
    {.name = "version 0", .packet = Packet({0x00}, 172), .want = false},
    {.name = "version 1", .packet = Packet({0x40}, 172), .want = false},
    {.name = "version 3", .packet = Packet({0xc0}, 172), .want = false},
    // RFC 7983 7: what shares a port with RTP, by the first octet.
    {.name = "STUN", .packet = Packet({0, 1, 0, 0}, 20), .want = false},
    {.name = "ZRTP", .packet = Packet({0x10}, 32), .want = false},
    {.name = "DTLS", .packet = Packet({22, 0xfe}, 64), .want = false},
    {.name = "DTLS, the last", .packet = Packet({63}, 64), .want = false},
    {.name = "TURN channel", .packet = Packet({64}, 64), .want = false},
    {.name = "127", .packet = Packet({127}, 2048), .want = false},
    {.name = "192", .packet = Packet({192}, 2048), .want = false},

    {.name = "one CSRC", .packet = Packet({0x81}, 16), .want = true},
    {.name = "one CSRC cut", .packet = Packet({0x81}, 15), .want = false},
    {.name = "15 CSRCs", .packet = Packet({0x8f}, 72), .want = true},
    {.name = "15 CSRCs cut", .packet = Packet({0x8f}, 71), .want = false},

    {.name = "extension of no words",
     .packet = Packet({0x90}, 16),
     .want = true},
    {.name = "extension header cut",
     .packet = Packet({0x90}, 15),
     .want = false},
    {.name = "extension of two words",
     .packet =
         Packet({0x90, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xbe, 0xde, 0, 2}, 24),
     .want = true},
    {.name = "extension of two words cut",
     .packet =
         Packet({0x90, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xbe, 0xde, 0, 2}, 23),
     .want = false},
    {.name = "extension longer than any datagram",
     .packet = Packet(
         {0x90, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xbe, 0xde, 0xff, 0xff}, 2048),
     .want = false},
    {.name = "extension behind a CSRC",
     .packet = Packet(
         {0x91, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9, 9, 9, 9, 0, 0, 0, 1}, 24),
     .want = true},
    {.name = "extension behind a CSRC cut",
     .packet = Packet(
         {0x91, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9, 9, 9, 9, 0, 0, 0, 1}, 23),
     .want = false},

    {.name = "padding of 4", .packet = Packet({0xa0}, 40, {4}), .want = true},
    {.name = "padding of 0", .packet = Packet({0xa0}, 40, {0}), .want = false},
    {.name = "padding of 1", .packet = Packet({0xa0}, 13, {1}), .want = true},
    {.name = "nothing but padding",
     .packet = Packet({0xa0}, 40, {28}),
     .want = true},
    {.name = "padding into the header",
     .packet = Packet({0xa0}, 40, {29}),
     .want = false},
    {.name = "padding into the CSRC",
     .packet = Packet({0xa1}, 40, {25}),
     .want = false},
    {.name = "padding bit without a payload",
     .packet = Packet({0xa0}, 12, {1}),
     .want = false},
    {.name = "CSRC, extension and padding at once",
     .packet =
         Packet({0xb1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9, 9, 9, 9, 0, 0, 0, 1},
                26, {0, 2}),
     .want = true},
};

TEST(ParseRtp, TakesWhatLiesInsideTheDatagramAndNothingElse) {
  for (const RtpCase& c : kRtpCases) {
    EXPECT_EQ(ParseRtp(c.packet).has_value(), c.want) << c.name;
  }
}

TEST(ParseRtp, ReadsTheFixedPart) {
  const Bytes packet = {0x80, 0xe5, 0x12, 0x34, 0x89, 0xab,
                        0xcd, 0xef, 0xfe, 0xdc, 0xba, 0x98};
  const auto header = ParseRtp(packet);
  ASSERT_TRUE(header.has_value());
  EXPECT_EQ(header->sequence, 0x1234);
  EXPECT_EQ(header->timestamp, 0x89abcdefu);
  EXPECT_EQ(header->ssrc, 0xfedcba98u);
}

TEST(RtpPayload, IsWhatIsBetweenTheHeaderAndThePadding) {
  Bytes packet = Packet({0x80}, 15, {1, 2, 3});
  const auto payload = [&] {
    EXPECT_TRUE(ParseRtp(packet).has_value());
    const auto octets = RtpPayload(packet);
    return Bytes(octets.begin(), octets.end());
  };
  EXPECT_EQ(payload(), (Bytes{1, 2, 3}));
  // One CSRC, an extension of one word, padding of two.
  packet = Packet(
      {0xb1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9, 9, 9, 9, 0, 0, 0, 1, 8, 8, 8},
      29, {1, 2, 3, 0, 2});
  EXPECT_EQ(payload(), (Bytes{1, 2, 3}));
  packet = Packet({0xa0}, 40, {28});
  EXPECT_EQ(payload(), Bytes{});
  packet = Packet({0x80}, 12);
  EXPECT_EQ(payload(), Bytes{});
}

TEST(WriteRtpHeader, IsReadAsItWasWritten) {
  Bytes packet(12);
  WriteRtpHeader(
      {.ssrc = 0xfedcba98, .timestamp = 0x89abcdef, .sequence = 0x1234},
      {.payload_type = 0x65, .marker = true}, packet);
  EXPECT_EQ(packet, (Bytes{0x80, 0xe5, 0x12, 0x34, 0x89, 0xab, 0xcd, 0xef, 0xfe,
                           0xdc, 0xba, 0x98}));
  EXPECT_EQ(PayloadType(packet), 0x65);
}

TEST(LooksLikeRtcp, TakesTypes192To223OfTheSecondOctet) {
  for (int type = 0; type < 256; ++type) {
    EXPECT_EQ(LooksLikeRtcp(Bytes{0x80, static_cast<uint8_t>(type)}),
              type >= 192 && type <= 223)
        << type;
  }
  EXPECT_FALSE(LooksLikeRtcp(Bytes{0x80}));
  EXPECT_FALSE(LooksLikeRtcp(Bytes{}));
}

// Builds compound packets word by word.
class Rtcp {
 public:
  Rtcp& Word(uint32_t word) {
    for (int shift = 24; shift >= 0; shift -= 8) {
      bytes_.push_back(static_cast<uint8_t>(word >> shift));
    }
    return *this;
  }
  // `words`: the length field, the words behind the first.
  Rtcp& Header(int count, int type, uint32_t words) {
    return Word(0x80000000u | static_cast<uint32_t>(count) << 24 |
                static_cast<uint32_t>(type) << 16 | words);
  }
  Rtcp& SenderInfo(uint32_t ntp_high, uint32_t ntp_low) {
    return Word(ntp_high).Word(ntp_low).Word(160).Word(1).Word(172);
  }
  Rtcp& Block(uint32_t ssrc, uint32_t lsr, uint32_t dlsr) {
    return Word(ssrc).Word(0).Word(0).Word(0).Word(lsr).Word(dlsr);
  }
  const Bytes& bytes() const { return bytes_; }

 private:
  Bytes bytes_;
};

struct RtcpCase {
  const char* name = "";
  Bytes packet{};
  bool want = false;
};

TEST(ValidRtcp, HoldsTheFirstPacketAgainstTheDatagram) {
  const RtcpCase kCases[] = {
      {.name = "empty", .packet = {}, .want = false},
      {.name = "four octets disable no check",
       .packet = Rtcp().Header(0, 203, 0).bytes(),
       .want = false},
      {.name = "four octets before something",
       .packet = Rtcp().Header(0, 203, 0).Header(0, 203, 0).bytes(),
       .want = false},
      {.name = "BYE",
       .packet = Rtcp().Header(1, 203, 1).Word(7).bytes(),
       .want = true},
      {.name = "empty RR",
       .packet = Rtcp().Header(0, 201, 1).Word(7).bytes(),
       .want = true},
      {.name = "reduced size feedback (RFC 5506)",
       .packet = Rtcp().Header(1, 206, 2).Word(7).Word(8).bytes(),
       .want = true},
      {.name = "enciphered behind 8 octets",
       .packet = Rtcp()
                     .Header(0, 200, 6)
                     .Word(7)
                     .SenderInfo(~0u, ~0u)
                     .Word(~0u)
                     .Word(~0u)
                     .bytes(),
       .want = true},
      {.name = "longer than the datagram",
       .packet = Rtcp().Header(0, 201, 2).Word(7).bytes(),
       .want = false},
      {.name = "far longer than the datagram",
       .packet = Rtcp().Header(0, 201, 0xffff).Word(7).bytes(),
       .want = false},
      {.name = "type 191", .packet = Packet({0x80, 191, 0, 1}, 8)},
      {.name = "type 192",
       .packet = Packet({0x80, 192, 0, 1}, 8),
       .want = true},
      {.name = "type 223",
       .packet = Packet({0x80, 223, 0, 1}, 8),
       .want = true},
      {.name = "type 224", .packet = Packet({0x80, 224, 0, 1}, 8)},
      {.name = "version 1", .packet = Packet({0x40, 201, 0, 1}, 8)},
      {.name = "version 3", .packet = Packet({0xc0, 201, 0, 1}, 8)},
      {.name = "a telephone event", .packet = Packet({0x80, 101, 0, 1}, 172)},
  };
  for (const RtcpCase& c : kCases) {
    EXPECT_EQ(ValidRtcp(c.packet), c.want) << c.name;
  }
}

TEST(ReadRtcpReports, FindsTheSenderAndItsBlocks) {
  const Bytes packet = Rtcp()
                           .Header(2, 200, 6 + 12)
                           .Word(0xa)
                           .SenderInfo(0x11112222, 0x33334444)
                           .Block(0xb, 0x10, 0x20)
                           .Block(0xc, 0x30, 0x40)
                           .Header(1, 202, 2)
                           .Word(0xa)
                           .Word(0)
                           .bytes();
  ASSERT_TRUE(ValidRtcp(packet));
  const RtcpReports reports = ReadRtcpReports(packet);
  ASSERT_TRUE(reports.sender.has_value());
  EXPECT_EQ(reports.sender->ssrc, 0xau);
  EXPECT_EQ(reports.sender->ntp_middle, 0x22223333u);
  ASSERT_EQ(reports.block_count, 2u);
  EXPECT_EQ(reports.blocks[0].ssrc, 0xbu);
  EXPECT_EQ(reports.blocks[0].lsr, 0x10u);
  EXPECT_EQ(reports.blocks[0].dlsr, 0x20u);
  EXPECT_EQ(reports.blocks[1].ssrc, 0xcu);
  EXPECT_EQ(reports.blocks[1].lsr, 0x30u);
  EXPECT_EQ(reports.blocks[1].dlsr, 0x40u);
}

TEST(ReadRtcpReports, ReadsAReceiverReportBehindOtherPackets) {
  const Bytes packet = Rtcp()
                           .Header(1, 206, 2)
                           .Word(7)
                           .Word(8)
                           .Header(0, 203, 0)  // no SSRC, and allowed here
                           .Header(1, 201, 7)
                           .Word(0xa)
                           .Block(0xb, 0x10, 0x20)
                           .bytes();
  const RtcpReports reports = ReadRtcpReports(packet);
  EXPECT_FALSE(reports.sender.has_value());
  ASSERT_EQ(reports.block_count, 1u);
  EXPECT_EQ(reports.blocks[0].dlsr, 0x20u);
}

TEST(ReadRtcpReports, BelievesTheLengthAndNotTheCount) {
  // 31 blocks announced, one in the packet; more octets behind it.
  Rtcp rtcp;
  rtcp.Header(31, 201, 7).Word(0xa).Block(0xb, 1, 2);
  rtcp.Header(0, 202, 6).Block(0xdead, 3, 4);
  const RtcpReports reports = ReadRtcpReports(rtcp.bytes());
  ASSERT_EQ(reports.block_count, 1u);
  EXPECT_EQ(reports.blocks[0].ssrc, 0xbu);
}

TEST(ReadRtcpReports, TakesAProfilesExtensionForNoBlock) {
  // RFC 3550 6.4.3: behind the blocks that the count announces.
  const Bytes packet =
      Rtcp().Header(0, 201, 7).Word(0xa).Block(0xb, 1, 2).bytes();
  EXPECT_EQ(ReadRtcpReports(packet).block_count, 0u);
}

TEST(ReadRtcpReports, LeavesOutASenderReportThatIsTooShort) {
  const Bytes packet = Rtcp()
                           .Header(1, 200, 5)
                           .Word(0xa)
                           .Word(1)
                           .Word(2)
                           .Word(3)
                           .Word(4)
                           .bytes();
  ASSERT_TRUE(ValidRtcp(packet));
  const RtcpReports reports = ReadRtcpReports(packet);
  EXPECT_FALSE(reports.sender.has_value());
  EXPECT_EQ(reports.block_count, 0u);
}

TEST(ReadRtcpReports, LooksAtSoManyBlocksAndPacketsAndNoMore) {
  Rtcp blocks;
  blocks.Header(6, 201, 1 + 6 * 6).Word(0xa);
  for (uint32_t i = 0; i < 6; ++i) blocks.Block(i, 0, 0);
  const RtcpReports four = ReadRtcpReports(blocks.bytes());
  ASSERT_EQ(four.block_count, RtcpReports::kBlocks);
  EXPECT_EQ(four.blocks[3].ssrc, 3u);

  for (const int before : {kRtcpPacketsMax - 1, kRtcpPacketsMax}) {
    Rtcp packets;
    for (int i = 0; i < before; ++i) packets.Header(1, 203, 1).Word(7);
    packets.Header(1, 201, 7).Word(0xa).Block(0xb, 1, 2);
    EXPECT_EQ(ReadRtcpReports(packets.bytes()).block_count,
              before < kRtcpPacketsMax ? 1u : 0u)
        << before;
  }
}

TEST(ReadRtcpReports, KeepsTheFirstOfTwoSenders) {
  Rtcp rtcp;
  rtcp.Header(0, 200, 6).Word(0xa).SenderInfo(1, 0);
  rtcp.Header(0, 200, 6).Word(0xb).SenderInfo(2, 0);
  EXPECT_EQ(ReadRtcpReports(rtcp.bytes()).sender->ssrc, 0xau);
}

TEST(ReadRtcpReports, SurvivesACutAtEveryOctet) {
  const Bytes whole = Rtcp()
                          .Header(1, 200, 12)
                          .Word(0xa)
                          .SenderInfo(1, 2)
                          .Block(0xb, 1, 2)
                          .Header(1, 201, 7)
                          .Word(0xa)
                          .Block(0xb, 1, 2)
                          .bytes();
  for (size_t size = 0; size <= whole.size(); ++size) {
    const Bytes cut(whole.begin(),
                    whole.begin() + static_cast<ptrdiff_t>(size));
    EXPECT_EQ(ValidRtcp(cut), size >= 52) << size;
    EXPECT_EQ(ReadRtcpReports(cut).block_count, size == whole.size() ? 2u
                                                : size >= 52         ? 1u
                                                                     : 0u)
        << size;
  }
}

}  // namespace
}  // namespace sluice::rtp
