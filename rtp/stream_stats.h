#ifndef SLUICE_RTP_STREAM_STATS_H_
#define SLUICE_RTP_STREAM_STATS_H_

#include <cstddef>
#include <cstdint>
#include <span>

#include "base/cell.h"
#include "base/types.h"
#include "rtp/packet.h"

namespace sluice::rtp {

// What the RTP of one party says about the road from it to us. A copy, for
// anyone.
struct StreamQuality {
  uint32_t ssrc = 0;
  uint32_t ssrc_changes = 0;
  uint64_t received = 0;    // RTP packets counted below
  uint64_t expected = 0;    // RFC 3550 A.3, over all SSRCs of the side
  int64_t lost = 0;         // expected - received; negative with duplicates
  uint64_t reordered = 0;   // arrived after a higher sequence number
  uint64_t duplicates = 0;  // a sequence number seen among the last 64
  double jitter_ms = 0;     // RFC 3550 A.8, in milliseconds
  double rtt_ms = 0;        // us <-> party from RTCP SR/RR; 0 unknown
};

// The receiver's books of RFC 3550 for one side of one flow.
//
// A sequence number is judged by its distance to the highest one (A.1):
//
//   behind by 0..99        0 (the highest)       ahead by 1..2999
//   reordered or        <------- | ------->      in order: the gap counts as
//   a duplicate                                  expected
//
//   anything farther: a jump. Not counted, unless the next number follows: then
//   the source has begun anew, and both are counted.
//
// One source at a time: another SSRC opens new books, and what was expected of
// the earlier ones stays in the sum. There is no probation (A.1 has it for
// receivers that are open to anybody; here the latch decides who is heard).
//
// Thread: the shard writes (OnRtp, OnSenderReport, SetRtt, Reset), anybody may
// call Quality(), whose fields may be a packet apart.
// No allocation, no division per packet (jitter is kept scaled by 16, A.8).
class StreamStats {
 public:
  // `clock_hz`: the RTP clock of the medium; 0: unknown, no jitter is told.
  void Reset(uint32_t clock_hz) noexcept;
  inline void OnRtp(const RtpHeader& header, Micros arrival) noexcept;
  // An SR from this party: remember when it passed, so that the other party's
  // report block on it gives the round trip from us to that party. The road is
  // the same whichever of the party's SSRCs it speaks for, and the peer's lsr
  // names the report itself.
  //
  //     party          we                    its peer
  //       | ---SR(ntp)--> | --------------------> |
  //       |               t1                      |  dlsr: how long it waited
  //       |               t2                      |
  //       | <------------ | <--RR(lsr=ntp, dlsr)- |
  //
  //   round trip us <-> peer = (t2 - t1) - dlsr
  //
  // The last two are remembered: a report may cross the newest SR on the road.
  void OnSenderReport(uint32_t ntp_middle, Micros now) noexcept;
  // A report block of this party's *peer* about this party's SSRC: lsr and dlsr
  // of RFC 3550 6.4.1. The round trip it gives is between us and that peer, so
  // the caller stores it with the peer's SetRtt.
  // Returns the round trip in microseconds, or 0 when lsr is not ours or the
  // numbers cannot be true.
  uint32_t RoundTrip(uint32_t lsr, uint32_t dlsr, Micros now) const noexcept;
  // The packets take another way from here on: what is missing when the next
  // one comes is not lost. Its SSRC is no change, whichever it is.
  void Pause() noexcept;
  void SetRtt(uint32_t rtt_us) noexcept { rtt_us_.Set(rtt_us); }
  StreamQuality Quality() const noexcept;
  // Sequence number of the packets that were counted.
  uint16_t highest() const noexcept { return highest_.Get(); }

 private:
  // RFC 3550 A.1.
  static constexpr uint16_t kMaxDropout = 3000;
  static constexpr uint16_t kMaxMisorder = 100;
  static constexpr uint32_t kNoSequence = 0x10000;  // equals no uint16_t
  // A step of the transit time beyond this is the sender's clock set anew (a
  // hold, another mixer behind the same SSRC), not a late packet. It would
  // stand as minutes of jitter in the books for seconds; departs from A.8.
  static constexpr uint64_t kClockStepSeconds = 4;

  void StartSource(const RtpHeader& header, uint32_t transit) noexcept;
  // Anything but the next few numbers. False: a jump, not to be counted.
  bool OnOddSequence(uint16_t sequence, uint32_t transit) noexcept;

  // One cache line for a packet.
  Cell<uint64_t> received_{};
  Cell<uint64_t> expected_{};      // 0: nothing heard yet
  Cell<uint64_t> seen_{};          // bit i: highest - i has arrived
  Cell<uint64_t> ticks_per_us_{};  // 32.32 fixed point
  Cell<uint64_t> jitter_q4_{};     // RTP units times 16
  Cell<uint32_t> clock_hz_{};
  Cell<uint32_t> ssrc_{};
  Cell<uint32_t> transit_{};  // arrival - timestamp of the last, RTP units
  Cell<uint16_t> highest_{};  // sequence number
  Cell<bool> paused_{};       // then ssrc_ is inverted: nobody's
  // What must follow for a jump to be a new beginning.
  Cell<uint32_t> after_jump_{kNoSequence};

  // Rarely touched.
  Cell<uint64_t> reordered_{};
  Cell<uint64_t> duplicates_{};
  Cell<uint32_t> ssrc_changes_{};
  Cell<uint32_t> rtt_us_{};
  struct SentReport {
    Cell<int64_t> passed_us{};  // 0: none
    Cell<uint32_t> ntp_middle{};
  };
  SentReport reports_[2]{};  // newest first
};
static_assert(sizeof(StreamStats) <= 128);

inline void StreamStats::OnRtp(const RtpHeader& header,
                               Micros arrival) noexcept {
  // Bits 32..63 of the product are the ticks modulo 2^32, which is all that a
  // difference of timestamps needs; the overflow above is harmless.
  const auto now = static_cast<uint32_t>(
      (static_cast<uint64_t>(arrival.us()) * ticks_per_us_.Get()) >> 32);
  const uint32_t transit = now - header.timestamp;
  const uint64_t expected = expected_.Get();
  if (header.ssrc != ssrc_.Get() || expected == 0) [[unlikely]] {
    return StartSource(header, transit);
  }
  const auto ahead = static_cast<uint16_t>(header.sequence - highest_.Get());
  if (ahead - 1u < kMaxDropout - 1u) [[likely]] {
    seen_.Set(ahead < 64 ? seen_.Get() << ahead | 1 : 1);
    expected_.Set(expected + ahead);
    highest_.Set(header.sequence);
  } else if (!OnOddSequence(header.sequence, transit)) {
    return;
  }
  received_.Add(1);

  const int64_t step = static_cast<int32_t>(transit - transit_.Get());
  const auto distance = static_cast<uint64_t>(step < 0 ? -step : step);
  transit_.Set(transit);
  if (distance <= kClockStepSeconds * clock_hz_.Get()) [[likely]] {
    const uint64_t jitter = jitter_q4_.Get();
    jitter_q4_.Set(jitter + distance - ((jitter + 8) >> 4));
  }
}

}  // namespace sluice::rtp

#endif  // SLUICE_RTP_STREAM_STATS_H_
