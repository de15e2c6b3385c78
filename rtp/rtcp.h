#ifndef SLUICE_RTP_RTCP_H_
#define SLUICE_RTP_RTCP_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

namespace sluice::rtp {

// What we say in RTCP (RFC 3550 6): one compound packet of a report, an SDES
// with the CNAME, and at the end a BYE. Reading is packet.h's.
struct RtcpOut {
  struct Sender {
    uint64_t ntp = 0;  // 32.32 seconds since 1900
    uint32_t timestamp = 0;
    uint32_t packets = 0;
    uint32_t octets = 0;
  };
  struct Block {
    uint32_t ssrc = 0;
    uint8_t fraction_lost = 0;  // of 256
    int32_t packets_lost = 0;   // clamped to 24 bits
    uint32_t highest = 0;       // extended sequence number
    uint32_t jitter = 0;
    uint32_t lsr = 0;
    uint32_t dlsr = 0;
  };
  uint32_t ssrc = 0;
  std::optional<Sender> sender{};  // then it is an SR, else an RR
  std::optional<Block> block{};
  std::string_view cname{};  // its first kCnameMax octets
  bool bye = false;
};
inline constexpr size_t kCnameMax = 255;
inline constexpr size_t kRtcpOutBytesMax = 28 + 24 + (10 + kCnameMax + 4) + 8;

// Returns the length. REQUIRES: out.size() >= kRtcpOutBytesMax.
size_t WriteRtcp(const RtcpOut& report, std::span<uint8_t> out);

// NTP's time of a point of the wall clock, given in microseconds since 1970.
uint64_t NtpOfUnix(int64_t us);

}  // namespace sluice::rtp

#endif  // SLUICE_RTP_RTCP_H_
