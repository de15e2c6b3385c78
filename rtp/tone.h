#ifndef SLUICE_RTP_TONE_H_
#define SLUICE_RTP_TONE_H_

#include <cstdint>
#include <memory>
#include <optional>

#include "base/types.h"
#include "rtp/audio.h"
#include "rtp/dtmf.h"

namespace sluice::rtp {

// A sine of constant amplitude, sample by sample; its phase goes on from one
// sample to the next however they are asked for.
class Oscillator {
 public:
  Oscillator() = default;
  // `amplitude`: of the sine's peak, in units of a 16 bit sample.
  Oscillator(double hz, double amplitude);
  double Next();

 private:
  // A turning pointer: one complex multiplication a sample. Its length is set
  // right each second, long before rounding is heard.
  double re_ = 0;
  double im_ = 0;
  double turn_re_ = 1;
  double turn_im_ = 0;
  double amplitude_ = 0;
  int since_set_right_ = 0;
};

// The peak of a sine of `dbm0`. G.711's full scale is +3.17 dBm0 (mu-law; 3.14
// in A-law), so louder ones are clipped by the codec.
double AmplitudeOfDbm0(double dbm0);

// What a tone is sent with when nobody says otherwise, and each of a digit's
// two.
inline constexpr double kToneDbm0 = -10;

// The two tones of a digit, as 16 bit samples.
class DigitTones {
 public:
  DigitTones() = default;
  explicit DigitTones(const DtmfPair& pair, double dbm0 = kToneDbm0);
  int16_t Next();

 private:
  Oscillator low_;
  Oscillator high_;
};

// Sources. Each has `duration` of audio, or never ends.
std::unique_ptr<AudioSource> SilenceSource(
    std::optional<Micros> duration = std::nullopt);
// 0 < hz < 4000.
std::unique_ptr<AudioSource> ToneSource(
    double hz, double dbm0 = kToneDbm0,
    std::optional<Micros> duration = std::nullopt);
std::unique_ptr<AudioSource> DigitSource(
    const DtmfPair& pair, double dbm0 = kToneDbm0,
    std::optional<Micros> duration = std::nullopt);

}  // namespace sluice::rtp

#endif  // SLUICE_RTP_TONE_H_
