#include "rtp/packet.h"

namespace sluice::rtp {
namespace {

using internal::LoadBe16;
using internal::LoadBe32;

constexpr size_t kRtcpHeaderBytes = 4;
constexpr size_t kRtcpBytesMin = 8;  // header and SSRC
constexpr size_t kSenderInfoBytes = 20;
constexpr size_t kBlockBytes = 24;
constexpr uint8_t kSenderReport = 200;
constexpr uint8_t kReceiverReport = 201;

// The whole length of the RTCP packet at the start of `rest`; 0 when it is not
// one or does not end inside.
size_t RtcpLength(std::span<const uint8_t> rest) noexcept {
  if (rest.size() < kRtcpHeaderBytes) return 0;
  if (rest[0] >> 6 != 2 || !LooksLikeRtcp(rest)) return 0;
  const size_t length = 4 * (size_t{LoadBe16(&rest[2])} + 1);
  return length <= rest.size() ? length : 0;
}

// The part of an SR or RR behind its fixed octets (RFC 3550 6.4).
void ReadBlocks(std::span<const uint8_t> blocks, int count,
                RtcpReports* reports) noexcept {
  while (count-- > 0 && blocks.size() >= kBlockBytes &&
         reports->block_count < RtcpReports::kBlocks) {
    // The shift back brings the sign of 24 bits along.
    const auto lost = static_cast<int32_t>(LoadBe32(&blocks[4]) << 8) >> 8;
    reports->blocks[reports->block_count++] = {.ssrc = LoadBe32(&blocks[0]),
                                               .fraction_lost = blocks[4],
                                               .packets_lost = lost,
                                               .jitter = LoadBe32(&blocks[12]),
                                               .lsr = LoadBe32(&blocks[16]),
                                               .dlsr = LoadBe32(&blocks[20])};
    blocks = blocks.subspan(kBlockBytes);
  }
}

// `packet` is one RTCP packet, whole.
void ReadReport(std::span<const uint8_t> packet,
                RtcpReports* reports) noexcept {
  const int count = packet[0] & 0x1f;
  switch (packet[1]) {
    case kSenderReport: {
      constexpr size_t kFixed = kRtcpBytesMin + kSenderInfoBytes;
      if (packet.size() < kFixed) return;
      if (!reports->sender) {
        reports->sender = {.ssrc = LoadBe32(&packet[4]),
                           .ntp_middle = LoadBe32(&packet[10])};
      }
      return ReadBlocks(packet.subspan(kFixed), count, reports);
    }
    case kReceiverReport:
      if (packet.size() < kRtcpBytesMin) return;
      return ReadBlocks(packet.subspan(kRtcpBytesMin), count, reports);
  }
}

// Where the payload begins, for a packet of which this is known to be inside.
size_t HeaderLength(std::span<const uint8_t> packet) noexcept {
  size_t header = kRtpHeaderBytes + 4 * size_t{packet[0] & 0x0fu};
  if ((packet[0] & 0x10) != 0) {
    header += 4 + 4 * size_t{LoadBe16(&packet[header + 2])};
  }
  return header;
}

void StoreBe16(uint8_t* p, uint16_t value) noexcept {
  p[0] = static_cast<uint8_t>(value >> 8);
  p[1] = static_cast<uint8_t>(value);
}
void StoreBe32(uint8_t* p, uint32_t value) noexcept {
  StoreBe16(p, static_cast<uint16_t>(value >> 16));
  StoreBe16(p + 2, static_cast<uint16_t>(value));
}

}  // namespace

std::span<const uint8_t> RtpPayload(std::span<const uint8_t> packet) noexcept {
  const size_t padding = (packet[0] & 0x20) != 0 ? packet.back() : 0;
  const size_t header = HeaderLength(packet);
  return packet.subspan(header, packet.size() - header - padding);
}

void WriteRtpHeader(const RtpHeader& header, RtpSending sending,
                    std::span<uint8_t> packet) noexcept {
  packet[0] = 0x80;
  packet[1] = static_cast<uint8_t>((sending.marker ? 0x80 : 0) |
                                   (sending.payload_type & 0x7f));
  StoreBe16(&packet[2], header.sequence);
  StoreBe32(&packet[4], header.timestamp);
  StoreBe32(&packet[8], header.ssrc);
}

bool internal::RtpPromisesKept(std::span<const uint8_t> packet,
                               Padding enciphered) noexcept {
  const uint8_t first = packet[0];
  if (first >> 6 != 2) return false;
  size_t header = kRtpHeaderBytes + 4 * size_t{first & 0x0fu};
  if ((first & 0x10) != 0) {  // X: profile and length, then so many words
    if (packet.size() < header + 4) return false;
    header += 4 + 4 * size_t{LoadBe16(&packet[header + 2])};
  }
  if (packet.size() < header) return false;
  if ((first & 0x20) == 0 || enciphered == Padding::kEnciphered) return true;
  // P: the last octet counts the padding, itself included.
  const uint8_t padding = packet.back();
  return padding != 0 && padding <= packet.size() - header;
}

bool ValidRtcp(std::span<const uint8_t> packet) noexcept {
  return RtcpLength(packet) >= kRtcpBytesMin;
}

RtcpReports ReadRtcpReports(std::span<const uint8_t> packet) noexcept {
  RtcpReports reports;
  for (int i = 0; i < kRtcpPacketsMax; ++i) {
    const size_t length = RtcpLength(packet);
    if (length == 0) break;
    ReadReport(packet.first(length), &reports);
    packet = packet.subspan(length);
  }
  return reports;
}

}  // namespace sluice::rtp
