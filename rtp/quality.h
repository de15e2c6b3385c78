#ifndef SLUICE_RTP_QUALITY_H_
#define SLUICE_RTP_QUALITY_H_

#include <cstdint>

#include "rtp/stream_stats.h"

namespace sluice::rtp {

// How well one party's voice is likely to be heard by the other, from what was
// seen of its packets. Everything may be zero: unknown counts as harmless.
struct MosInput {
  uint64_t received = 0;    // RTP packets, duplicates among them
  uint64_t expected = 0;    // RFC 3550 A.3
  uint64_t duplicates = 0;  // they make up for no loss
  double jitter_ms = 0;
  // Between the two parties: the sum of both sides' rtt_ms.
  double rtt_ms = 0;
};
// The input for the stream `from` whose listener is `rtt_ms` away from us.
MosInput MosInputOf(const StreamQuality& from, double listener_rtt_ms);

// A mean opinion score between 1 and 4.41; 0 when fewer than
// kMosPacketsMin packets were received, since a second of speech says nothing.
//
// The E-model (ITU-T G.107) with every parameter that a relay cannot measure at
// its default (together: 93.2), echo taken as cancelled, and no advantage:
//
//   R      = 93.2 - Id - Ie_eff
//   Ie_eff = Ie + (95 - Ie) * Ppl / (Ppl / BurstR + Bpl)         (G.107 7.5)
//            Ppl: lost packets in percent; BurstR = 1, random loss;
//            Ie = 0, Bpl = 25.1: G.711 with concealment (G.113 Appendix I).
//            Other codecs start lower; what is compared here is roads, not
//            codecs.
//   Id     = 0                                      up to Ta = 100 ms
//          = 25 * ((1 + X^6)^(1/6) - 3 * (1 + (X/3)^6)^(1/6) + 2)
//            beyond, with X = log2(Ta / 100 ms)            (Idd, G.107 7.4)
//   Ta     = rtt / 2 + 2 * jitter: half the round trip, and a receiver's jitter
//            buffer taken to hold twice the mean jitter.
//   MOS    = 1 + 0.035 R + 7e-6 R (R - 60)(100 - R)      (G.107 Annex B),
//            kept within 1 and 4.5.
double EstimateMos(const MosInput& input);

inline constexpr uint64_t kMosPacketsMin = 50;  // a second at 20 ms a packet

}  // namespace sluice::rtp

#endif  // SLUICE_RTP_QUALITY_H_
