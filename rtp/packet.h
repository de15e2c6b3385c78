#ifndef SLUICE_RTP_PACKET_H_
#define SLUICE_RTP_PACKET_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

namespace sluice::rtp {

// What is needed of the fixed part of an RTP packet (RFC 3550 5.1), in
// host order.
//
//    0                   1                   2                   3
//   |V=2|P|X|  CC   |M|     PT      |            sequence           |
//   |                           timestamp                           |
//   |                             SSRC                              |
//   | CC times CSRC | X: profile, length, words | payload | padding |
struct RtpHeader {
  uint32_t ssrc = 0;
  uint32_t timestamp = 0;
  uint16_t sequence = 0;
};
inline constexpr size_t kRtpHeaderBytes = 12;

namespace internal {

inline uint16_t LoadBe16(const uint8_t* p) noexcept {
  return static_cast<uint16_t>(p[0] << 8 | p[1]);
}
inline uint32_t LoadBe32(const uint8_t* p) noexcept {
  return uint32_t{p[0]} << 24 | uint32_t{p[1]} << 16 | uint32_t{p[2]} << 8 |
         uint32_t{p[3]};
}
// REQUIRES: packet.size() >= kRtpHeaderBytes. Whether it is version 2 and what
// its first octet promises (CSRCs, extension, padding) is there. The padding of
// SRTP is enciphered, and what stands last is its authentication tag.
enum class Padding : uint8_t { kCheck, kEnciphered };
bool RtpPromisesKept(std::span<const uint8_t> packet, Padding padding) noexcept;

}  // namespace internal

// nullopt unless version 2, and CSRCs, header extension and padding all lie
// inside the datagram (security: nothing is relayed that only looks like RTP).
// Version 2 leaves the first octets 128..191: STUN, ZRTP, DTLS and TURN
// channels (RFC 7983 7) are refused by it.
//
// Inline, with the octet 0x80 of almost every voice packet tried first: this
// runs once for each packet.
inline std::optional<RtpHeader> ParseRtp(
    std::span<const uint8_t> packet,
    internal::Padding padding = internal::Padding::kCheck) noexcept {
  if (packet.size() < kRtpHeaderBytes) return std::nullopt;
  const uint8_t* p = packet.data();
  if (p[0] != 0x80 && !internal::RtpPromisesKept(packet, padding))
    return std::nullopt;
  return RtpHeader{.ssrc = internal::LoadBe32(p + 8),
                   .timestamp = internal::LoadBe32(p + 4),
                   .sequence = internal::LoadBe16(p + 2)};
}

// The same for SRTP (RFC 3711 3.1), whose header is in the clear.
inline std::optional<RtpHeader> ParseSrtp(
    std::span<const uint8_t> packet) noexcept {
  return ParseRtp(packet, internal::Padding::kEnciphered);
}

// The second octet: RTP's payload type. REQUIRES: packet.size() >= 2.
inline uint8_t PayloadType(std::span<const uint8_t> packet) noexcept {
  return packet[1] & 0x7f;
}
// What is behind CSRCs and extension and before the padding. REQUIRES:
// ParseRtp(packet).
std::span<const uint8_t> RtpPayload(std::span<const uint8_t> packet) noexcept;

struct RtpSending {
  uint8_t payload_type = 0;  // 0..127
  bool marker = false;
};
// The fixed part, without CSRCs and extension, into the first kRtpHeaderBytes
// of `packet`. REQUIRES: it is as long.
void WriteRtpHeader(const RtpHeader& header, RtpSending sending,
                    std::span<uint8_t> packet) noexcept;

// Whether it is, and the sequence number, in one word; 0 for what is no RTP.
// Of a packet that was found valid.
inline constexpr uint32_t kSequenceKnown = 1 << 16;
inline uint32_t SequenceMark(std::span<const uint8_t> packet) noexcept {
  if (packet.size() < kRtpHeaderBytes || packet[1] >> 5 == 192 >> 5) return 0;
  return kSequenceKnown | internal::LoadBe16(packet.data() + 2);
}

// RFC 5761 4: payload types 192..223 of the second octet are RTCP. Says nothing
// about the rest of the packet.
inline bool LooksLikeRtcp(std::span<const uint8_t> packet) noexcept {
  return packet.size() >= 2 && packet[1] >> 5 == 192 >> 5;
}
// A compound packet (RFC 3550 6.1, A.2): version 2, type 192..223, at least 8
// octets, the first packet's length inside the datagram. Reduced-size (RFC
// 5506) passes. SRTCP passes: behind the first 8 octets everything may be
// enciphered, so the first packet's length is the only one held against the
// datagram.
bool ValidRtcp(std::span<const uint8_t> packet) noexcept;

// What of a compound RTCP packet a stream's books need.
struct RtcpReports {
  struct SenderInfo {
    uint32_t ssrc = 0;
    uint32_t ntp_middle = 0;  // the middle 32 bits of the NTP timestamp
  };
  struct Block {
    uint32_t ssrc = 0;          // whom it reports on
    uint8_t fraction_lost = 0;  // of 256, since the report before
    int32_t packets_lost = 0;   // of all; 24 bits with a sign
    uint32_t jitter = 0;        // in RTP units
    uint32_t lsr = 0;
    uint32_t dlsr = 0;
  };
  std::optional<SenderInfo> sender{};   // the first one
  static constexpr size_t kBlocks = 4;  // more are not looked at
  Block blocks[kBlocks]{};
  size_t block_count = 0;
};
// A peer may put thousands of packets into one compound one; a real one has a
// report, an SDES and some feedback.
inline constexpr int kRtcpPacketsMax = 16;
// REQUIRES: ValidRtcp(packet). Trusts no length inside; stops at the first
// thing that is not a whole RTCP packet.
RtcpReports ReadRtcpReports(std::span<const uint8_t> packet) noexcept;

}  // namespace sluice::rtp

#endif  // SLUICE_RTP_PACKET_H_
