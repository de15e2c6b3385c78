#include "rtp/dtmf_detector.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace sluice::rtp {
namespace {

constexpr double kHz[] = {697, 770, 852, 941, 1209, 1336, 1477, 1633};
constexpr char kKeypad[] = "123A456B789C*0#D";

// Each tone at least -36 dBm0: Q.24's networks hear from -29 dBm (AT&T) or -25
// down; what is softer is echo.
constexpr double kToneAmplitudeMin = 360;
// The high group may be 8 dB softer or 4 dB louder than the low one in Q.24;
// 2 dB more of each for the block's place in the tone.
constexpr float kTwistDown = 10.0f;  // 10 dB
constexpr float kTwistUp = 4.0f;     // 6 dB
// The strongest of a group against the next of it: 7 dB. A pure pair's
// neighbours are 12 dB down with blocks of this length, and 1.5 % off still 9.
constexpr float kAlone = 5.0f;
// The part of a block's energy that the two must hold. Speech and music spread
// theirs.
constexpr float kPart = 0.80f;
constexpr int kBlocksToEnd = 2;

std::array<float, 8> Coefficients() {
  std::array<float, 8> c{};
  for (size_t i = 0; i < c.size(); ++i) {
    c[i] = static_cast<float>(
        2 * std::cos(2 * std::numbers::pi * kHz[i] / kSampleHz));
  }
  return c;
}
const std::array<float, 8> kCoefficients = Coefficients();

}  // namespace

char DtmfDetector::Judge() const {
  std::array<float, kTones> power;
  for (size_t i = 0; i < kTones; ++i) {
    power[i] =
        s1_[i] * s1_[i] + s2_[i] * s2_[i] - kCoefficients[i] * s1_[i] * s2_[i];
  }
  const auto strongest = [&](size_t from) {
    return static_cast<size_t>(
        std::max_element(power.begin() + static_cast<ptrdiff_t>(from),
                         power.begin() + static_cast<ptrdiff_t>(from + 4)) -
        power.begin());
  };
  const size_t low = strongest(0);
  const size_t high = strongest(4);
  // A sine of amplitude a gives (a * N / 2)^2.
  constexpr auto kPowerMin = static_cast<float>(
      (kToneAmplitudeMin * kBlock / 2) * (kToneAmplitudeMin * kBlock / 2));
  if (power[low] < kPowerMin || power[high] < kPowerMin) return 0;
  if (power[high] * kTwistDown < power[low]) return 0;
  if (power[low] * kTwistUp < power[high]) return 0;
  for (size_t i = 0; i < kTones; ++i) {
    if (i == low || i == high) continue;
    if (power[i] * kAlone > power[i < 4 ? low : high]) return 0;
  }
  // And its energy, a^2 * N / 2.
  if (power[low] + power[high] < kPart * energy_ * kBlock / 2) return 0;
  return kKeypad[low * 4 + (high - 4)];
}

bool DtmfDetector::OnBlock(char heard) {
  const bool twice = heard != 0 && heard == last_;
  last_ = heard;
  if (told_ != 0) {
    if (heard == told_) {
      without_ = 0;
      return false;
    }
    if (!twice && ++without_ < kBlocksToEnd) return false;
    told_ = 0;
  }
  if (!twice) return false;
  told_ = heard;
  without_ = 0;
  return true;
}

void DtmfDetector::Feed(Codec codec, std::span<const uint8_t> octets,
                        absl::FunctionRef<void(char digit)> found) {
  for (const uint8_t octet : octets) {
    const auto sample = static_cast<float>(Decode(codec, octet));
    energy_ += sample * sample;
    for (size_t i = 0; i < kTones; ++i) {
      const float s0 = sample + kCoefficients[i] * s1_[i] - s2_[i];
      s2_[i] = s1_[i];
      s1_[i] = s0;
    }
    if (++filled_ < kBlock) continue;
    const char heard = Judge();
    s1_ = {};
    s2_ = {};
    energy_ = 0;
    filled_ = 0;
    if (OnBlock(heard)) found(heard);
  }
}

}  // namespace sluice::rtp
