#include "rtp/stream_stats.h"

namespace sluice::rtp {
namespace {

constexpr int64_t kMicrosPerSecond = 1'000'000;
// The receiver's clock runs a little faster than ours while it waits: 100 ppm
// of a five-second report interval and some rounding.
constexpr int64_t kDlsrSlackUs = 5'000;
// Longer ones come from receivers that leave dlsr at 0.
constexpr int64_t kRttMaxUs = 10 * kMicrosPerSecond;

}  // namespace

void StreamStats::Reset(uint32_t clock_hz) noexcept {
  *this = StreamStats();
  clock_hz_.Set(clock_hz);
  ticks_per_us_.Set((uint64_t{clock_hz} << 32) / kMicrosPerSecond);
}

void StreamStats::StartSource(const RtpHeader& header,
                              uint32_t transit) noexcept {
  if (paused_.Get()) {
    paused_.Set(false);
  } else {
    if (expected_.Get() != 0) ssrc_changes_.Add(1);
    jitter_q4_.Set(0);
  }
  ssrc_.Set(header.ssrc);
  highest_.Set(header.sequence);
  seen_.Set(1);
  after_jump_.Set(kNoSequence);
  transit_.Set(transit);
  expected_.Add(1);
  received_.Add(1);
}

bool StreamStats::OnOddSequence(uint16_t sequence, uint32_t transit) noexcept {
  const auto behind = static_cast<uint16_t>(highest_.Get() - sequence);
  if (behind >= kMaxMisorder) {
    if (sequence != after_jump_.Get()) {
      after_jump_.Set(static_cast<uint16_t>(sequence + 1));
      return false;
    }
    // Two in a row: a restart. The first of them is counted now.
    highest_.Set(sequence);
    seen_.Set(0b11);
    after_jump_.Set(kNoSequence);
    transit_.Set(transit);
    expected_.Add(2);
    received_.Add(1);
    return true;
  }
  const uint64_t bit = behind < 64 ? uint64_t{1} << behind : 0;
  if ((seen_.Get() & bit) != 0) {
    duplicates_.Add(1);
  } else {
    seen_.Set(seen_.Get() | bit);
    reordered_.Add(1);
  }
  return true;
}

void StreamStats::Pause() noexcept {
  if (expected_.Get() == 0 || paused_.Get()) return;
  paused_.Set(true);
  ssrc_.Set(~ssrc_.Get());
}

void StreamStats::OnSenderReport(uint32_t ntp_middle, Micros now) noexcept {
  // A repeated report must not push out the one before it.
  if (reports_[0].ntp_middle.Get() != ntp_middle) reports_[1] = reports_[0];
  reports_[0].ntp_middle.Set(ntp_middle);
  reports_[0].passed_us.Set(now.us());
}

uint32_t StreamStats::RoundTrip(uint32_t lsr, uint32_t dlsr,
                                Micros now) const noexcept {
  if (lsr == 0) return 0;  // the peer has seen no SR
  for (const SentReport& report : reports_) {
    if (report.passed_us.Get() == 0 || report.ntp_middle.Get() != lsr) continue;
    // dlsr counts in 1/65536 s.
    const int64_t waited = int64_t{dlsr} * kMicrosPerSecond / 65'536;
    const int64_t rtt = now.us() - report.passed_us.Get() - waited;
    if (rtt < -kDlsrSlackUs || rtt > kRttMaxUs) return 0;
    return rtt < 1 ? 1 : static_cast<uint32_t>(rtt);
  }
  return 0;
}

StreamQuality StreamStats::Quality() const noexcept {
  StreamQuality quality;
  quality.ssrc = paused_.Get() ? ~ssrc_.Get() : ssrc_.Get();
  quality.ssrc_changes = ssrc_changes_.Get();
  quality.received = received_.Get();
  quality.expected = expected_.Get();
  quality.lost = static_cast<int64_t>(quality.expected - quality.received);
  quality.reordered = reordered_.Get();
  quality.duplicates = duplicates_.Get();
  if (const uint32_t hz = clock_hz_.Get(); hz != 0) {
    quality.jitter_ms = static_cast<double>(jitter_q4_.Get()) * 1'000 / 16 / hz;
  }
  quality.rtt_ms = rtt_us_.Get() / 1'000.0;
  return quality;
}

}  // namespace sluice::rtp
