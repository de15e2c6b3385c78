#include "tools/load/probe.h"

#include <array>
#include <bit>
#include <cstring>

#include "base/check.h"

namespace sluice::load {
namespace {

constexpr size_t kRtpHeader = 12;
constexpr size_t kSenderReport = 28;
constexpr size_t kAppHeader = 12;
constexpr size_t kBlock = 40;
constexpr size_t kChecksumAt = 32;
constexpr uint32_t kMagic = 0x534c4f44;  // "SLOD"
constexpr uint8_t kVersion2 = 0x80;
constexpr uint8_t kPcmu = 0;
constexpr uint8_t kSr = 200, kApp = 204;

void Put32Be(uint8_t* at, uint32_t v) {
  at[0] = static_cast<uint8_t>(v >> 24);
  at[1] = static_cast<uint8_t>(v >> 16);
  at[2] = static_cast<uint8_t>(v >> 8);
  at[3] = static_cast<uint8_t>(v);
}
void Put16Be(uint8_t* at, uint32_t v) {
  at[0] = static_cast<uint8_t>(v >> 8);
  at[1] = static_cast<uint8_t>(v);
}
// The block is read only by the program that wrote it, on the same machine:
// host byte order.
template <typename T>
void Put(uint8_t* at, T v) {
  std::memcpy(at, &v, sizeof v);
}
template <typename T>
T Get(const uint8_t* at) {
  T v;
  std::memcpy(&v, at, sizeof v);
  return v;
}

// Each step is a bijection of the running value for a given word and of the
// word for a given running value: two packets which differ in one word alone
// never have the same sum.
constexpr uint64_t Mix(uint64_t h, uint64_t word) {
  return std::rotl((h ^ word) * 0x9e3779b97f4a7c15u, 29);
}

uint64_t Sum(uint64_t h, const uint8_t* at, size_t n) {
  for (; n >= 8; at += 8, n -= 8) h = Mix(h, Get<uint64_t>(at));
  if (n > 0) {
    uint64_t word = 0;
    std::memcpy(&word, at, n);
    h = Mix(h, word);
  }
  return h;
}

uint64_t ChecksumOf(std::span<const uint8_t> packet, size_t block) {
  const size_t after = block + kBlock;
  uint64_t h = Mix(0x5c1e, packet.size());
  h = Sum(h, packet.data(), block + kChecksumAt);
  return Sum(h, packet.data() + after, packet.size() - after);
}

// Fillers are windows into this at an offset that the sequence number picks.
constexpr size_t kFillerStarts = 256;
const std::array<uint8_t, kProbeMax + kFillerStarts>& Filler() {
  static const auto filler = [] {
    std::array<uint8_t, kProbeMax + kFillerStarts> bytes{};
    uint64_t h = 1;
    for (auto& b : bytes) b = static_cast<uint8_t>((h = Mix(h, 1)) >> 56);
    return bytes;
  }();
  return filler;
}

// Where the block lies in a packet, as the packet's second octet tells RTP from
// RTCP (RFC 5761 4); 0 when it is neither of ours.
size_t BlockAt(std::span<const uint8_t> packet) {
  if (packet.size() < kRtpProbeMin || packet.size() > kProbeMax) return 0;
  if (packet[1] == kPcmu) return kRtpHeader;
  if (packet[1] == kSr && packet.size() == kRtcpProbeBytes) {
    return kSenderReport + kAppHeader;
  }
  return 0;
}

void WriteSenderReport(const Probe& p, uint8_t* at) {
  const uint32_t ssrc = SsrcOf(p.run, p.session, p.direction);
  at[0] = kVersion2;
  at[1] = kSr;
  Put16Be(at + 2, kSenderReport / 4 - 1);
  Put32Be(at + 4, ssrc);
  // NTP form of the monotonic clock: a receiver needs differences only.
  Put32Be(at + 8, static_cast<uint32_t>(p.sent_ns / 1'000'000'000));
  Put32Be(at + 12, static_cast<uint32_t>(((p.sent_ns % 1'000'000'000) << 32) /
                                         1'000'000'000));
  Put32Be(at + 16, p.timestamp);
  Put32Be(at + 20, 0);
  Put32Be(at + 24, 0);
  uint8_t* app = at + kSenderReport;
  app[0] = kVersion2;
  app[1] = kApp;
  Put16Be(app + 2, (kAppHeader + kBlock) / 4 - 1);
  Put32Be(app + 4, ssrc);
  std::memcpy(app + 8, "SLUI", 4);
}

}  // namespace

uint32_t SsrcOf(uint32_t run, uint32_t session, uint8_t direction) noexcept {
  // An odd multiplier permutes the 32-bit numbers, so no two streams collide.
  return run + (session * 2 + direction + 1) * 0x9e3779b1u;
}

void WriteProbe(const Probe& probe, std::span<uint8_t> packet) noexcept {
  size_t block = kRtpHeader;
  uint8_t* p = packet.data();
  if (probe.kind == ProbeKind::kRtp) {
    CHECK(packet.size() >= kRtpProbeMin && packet.size() <= kProbeMax);
    p[0] = kVersion2;
    p[1] = kPcmu;
    Put16Be(p + 2, probe.sequence);
    Put32Be(p + 4, probe.timestamp);
    Put32Be(p + 8, SsrcOf(probe.run, probe.session, probe.direction));
    const size_t filled = packet.size() - kRtpProbeMin;
    std::memcpy(p + kRtpProbeMin,
                Filler().data() + probe.sequence % kFillerStarts, filled);
  } else {
    CHECK(packet.size() == kRtcpProbeBytes);
    block = kSenderReport + kAppHeader;
    WriteSenderReport(probe, p);
  }
  uint8_t* b = p + block;
  Put(b, kMagic);
  Put(b + 4, probe.run);
  Put(b + 8, probe.session);
  Put(b + 12, probe.sequence);
  Put(b + 16, probe.slot);
  b[20] = static_cast<uint8_t>(probe.kind);
  b[21] = probe.direction;
  b[22] = b[23] = 0;
  Put(b + 24, probe.sent_ns);
  Put(b + kChecksumAt, ChecksumOf(packet, block));
}

std::optional<Probe> ReadProbe(std::span<const uint8_t> packet) noexcept {
  const size_t block = BlockAt(packet);
  if (block == 0) return std::nullopt;
  const uint8_t* b = packet.data() + block;
  if (Get<uint32_t>(b) != kMagic ||
      Get<uint64_t>(b + kChecksumAt) != ChecksumOf(packet, block)) {
    return std::nullopt;
  }
  Probe probe;
  probe.kind = static_cast<ProbeKind>(b[20]);
  probe.direction = b[21];
  probe.run = Get<uint32_t>(b + 4);
  probe.session = Get<uint32_t>(b + 8);
  probe.sequence = Get<uint32_t>(b + 12);
  probe.slot = Get<uint32_t>(b + 16);
  probe.sent_ns = Get<uint64_t>(b + 24);
  return probe;
}

}  // namespace sluice::load
