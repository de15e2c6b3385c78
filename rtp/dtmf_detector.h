#ifndef SLUICE_RTP_DTMF_DETECTOR_H_
#define SLUICE_RTP_DTMF_DETECTOR_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "absl/functional/function_ref.h"
#include "rtp/g711.h"

namespace sluice::rtp {

// Finds digits in audio (ITU-T Q.24): of blocks of 12.75 ms the energy at the
// eight frequencies by Goertzel's algorithm, and a digit when one of each group
// stands out, the two hold most of all energy, and neither is too weak for the
// other.
//
//   blocks    .  .  5  5  5  5  .  .  5  5  5
//   told               5                 5     by the second of two equal ones
//                               ^--^ two others end it
//
// So tones from 40 ms are heard, and a break of less than a block does not make
// two digits of one. No allocation.
class DtmfDetector {
 public:
  void Feed(Codec codec, std::span<const uint8_t> octets,
            absl::FunctionRef<void(char digit)> found);
  void Reset() { *this = DtmfDetector(); }

 private:
  static constexpr size_t kTones = 8;  // four low, four high
  static constexpr int kBlock = 102;

  // What the block that is full holds: a digit, or 0.
  char Judge() const;
  // True: `heard` is a digit to be told.
  bool OnBlock(char heard);

  std::array<float, kTones> s1_{};
  std::array<float, kTones> s2_{};
  float energy_ = 0;
  int filled_ = 0;
  char last_ = 0;    // of the block before
  char told_ = 0;    // sounds still
  int without_ = 0;  // blocks since the told one sounded
};

}  // namespace sluice::rtp

#endif  // SLUICE_RTP_DTMF_DETECTOR_H_
