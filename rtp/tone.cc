#include "rtp/tone.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <span>

#include "base/check.h"

namespace sluice::rtp {
namespace {

// ITU-T G.711: the peak of a sine of +3.17 dBm0 is mu-law's clipping point.
constexpr double kFullScale = 32636;
constexpr double kFullScaleDbm0 = 3.17;

int16_t ToSample(double value) {
  return static_cast<int16_t>(
      std::lround(std::clamp(value, -32768.0, 32767.0)));
}

// How much of a source is left.
class Left {
 public:
  explicit Left(std::optional<Micros> duration) {
    if (duration) samples_ = duration->us() * kSamplesPerMs / 1'000;
  }
  size_t Take(size_t wanted) {
    if (!samples_) return wanted;
    const auto taken =
        static_cast<size_t>(std::min(*samples_, static_cast<int64_t>(wanted)));
    *samples_ -= static_cast<int64_t>(taken);
    return taken;
  }

 private:
  std::optional<int64_t> samples_;
};

template <typename Wave>
class WaveSource : public AudioSource {
 public:
  WaveSource(Wave wave, std::optional<Micros> duration)
      : wave_(std::move(wave)), left_(duration) {}
  size_t Read(Codec codec, std::span<uint8_t> octets) override {
    const size_t count = left_.Take(octets.size());
    for (uint8_t& octet : octets.first(count)) octet = Encode(codec, wave_());
    return count;
  }

 private:
  Wave wave_;
  Left left_;
};

template <typename Wave>
std::unique_ptr<AudioSource> MakeSource(Wave wave,
                                        std::optional<Micros> duration) {
  return std::make_unique<WaveSource<Wave>>(std::move(wave), duration);
}

}  // namespace

Oscillator::Oscillator(double hz, double amplitude)
    : re_(1), amplitude_(amplitude) {
  const double turn = 2 * std::numbers::pi * hz / kSampleHz;
  turn_re_ = std::cos(turn);
  turn_im_ = std::sin(turn);
}

double Oscillator::Next() {
  const double sample = im_ * amplitude_;
  const double re = re_ * turn_re_ - im_ * turn_im_;
  im_ = re_ * turn_im_ + im_ * turn_re_;
  re_ = re;
  if (++since_set_right_ == kSampleHz) {
    since_set_right_ = 0;
    const double length = std::hypot(re_, im_);
    if (length > 0) {
      re_ /= length;
      im_ /= length;
    }
  }
  return sample;
}

double AmplitudeOfDbm0(double dbm0) {
  return kFullScale * std::pow(10, (dbm0 - kFullScaleDbm0) / 20);
}

DigitTones::DigitTones(const DtmfPair& pair, double dbm0)
    : low_(pair.low_hz, AmplitudeOfDbm0(dbm0)),
      high_(pair.high_hz, AmplitudeOfDbm0(dbm0)) {}

int16_t DigitTones::Next() { return ToSample(low_.Next() + high_.Next()); }

std::unique_ptr<AudioSource> SilenceSource(std::optional<Micros> duration) {
  return MakeSource([] { return int16_t{0}; }, duration);
}

std::unique_ptr<AudioSource> ToneSource(double hz, double dbm0,
                                        std::optional<Micros> duration) {
  CHECK(hz > 0 && hz < kSampleHz / 2.0);
  return MakeSource(
      [tone = Oscillator(hz, AmplitudeOfDbm0(dbm0))]() mutable {
        return ToSample(tone.Next());
      },
      duration);
}

std::unique_ptr<AudioSource> DigitSource(const DtmfPair& pair, double dbm0,
                                         std::optional<Micros> duration) {
  return MakeSource(
      [tones = DigitTones(pair, dbm0)]() mutable { return tones.Next(); },
      duration);
}

}  // namespace sluice::rtp
