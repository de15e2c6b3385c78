// Any datagram as RTP and as RTCP: nothing outside the span is read (the
// sanitizer holds that), what is accepted keeps its promises, and the books
// stay sound whatever is written into them.

#include <cstdint>
#include <span>

#include "base/check.h"
#include "rtp/packet.h"
#include "rtp/stream_stats.h"

namespace {

using sluice::Micros;
using sluice::rtp::RtpHeader;
using sluice::rtp::StreamStats;

void CheckRtp(std::span<const uint8_t> packet) {
  const auto header = sluice::rtp::ParseRtp(packet);
  if (!header) return;
  CHECK(packet.size() >= sluice::rtp::kRtpHeaderBytes);
  CHECK(packet[0] >= 128 && packet[0] <= 191);  // RFC 7983
}

void CheckRtcp(std::span<const uint8_t> packet, StreamStats* stats) {
  if (!sluice::rtp::ValidRtcp(packet)) return;
  CHECK(packet.size() >= 8 && sluice::rtp::LooksLikeRtcp(packet));
  const auto reports = sluice::rtp::ReadRtcpReports(packet);
  CHECK(reports.block_count <= sluice::rtp::RtcpReports::kBlocks);
  // A block takes 24 octets behind a header of 8.
  CHECK(reports.block_count * 24 + 8 <= packet.size());
  CHECK(!reports.sender || packet.size() >= 28);
  const Micros sent = Micros::Seconds(1);
  if (reports.sender) {
    stats->OnSenderReport(reports.sender->ntp_middle, sent);
  }
  for (size_t i = 0; i < reports.block_count; ++i) {
    CHECK(stats->RoundTrip(reports.blocks[i].lsr, reports.blocks[i].dlsr,
                           sent + Micros::Millis(50)) <= 50'000);
  }
}

// The input as a row of packets: each its first octets, a step of time behind
// the one before. Short headers let the fuzzer try long rows.
void CheckBooks(std::span<const uint8_t> input) {
  constexpr size_t kStepBytes = 6;
  StreamStats stats;
  stats.Reset(8000);
  Micros now = Micros::Seconds(1);
  uint32_t timestamp = 0;
  uint64_t sent = 0;
  for (; input.size() >= kStepBytes; input = input.subspan(kStepBytes)) {
    timestamp += uint32_t{input[2]} << (input[3] & 31);
    now = now + Micros(int64_t{input[4]} << (input[5] & 31));
    stats.OnRtp({.ssrc = uint32_t{input[5]} >> 7,
                 .timestamp = timestamp,
                 .sequence = static_cast<uint16_t>(input[0] << 8 | input[1])},
                now);
    ++sent;
    const auto quality = stats.Quality();
    CHECK(quality.received >= 1 && quality.received <= sent);
    CHECK(quality.expected >= 1 && quality.expected <= sent * 2999);
    CHECK(quality.reordered + quality.duplicates < quality.received);
    CHECK(quality.ssrc_changes < sent);
    CHECK(quality.lost == static_cast<int64_t>(quality.expected) -
                              static_cast<int64_t>(quality.received));
    CHECK(quality.jitter_ms >= 0 && quality.jitter_ms <= 4'001);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::span<const uint8_t> input(data, size);
  StreamStats stats;
  stats.Reset(8000);
  CheckRtp(input);
  CheckRtcp(input, &stats);
  CheckBooks(input);
  return 0;
}
