#include "rtp/tone.h"

#include <cmath>
#include <numbers>
#include <vector>

#include "gtest/gtest.h"

namespace sluice::rtp {
namespace {

std::vector<uint8_t> ReadAll(AudioSource& source, Codec codec, size_t chunk,
                             size_t most) {
  std::vector<uint8_t> all;
  while (all.size() < most) {
    std::vector<uint8_t> part(chunk);
    const size_t got = source.Read(codec, part);
    all.insert(all.end(), part.begin(),
               part.begin() + static_cast<ptrdiff_t>(got));
    if (got < chunk) break;
  }
  return all;
}

TEST(Tone, IsTheSineItSaysForMinutes) {
  Oscillator oscillator(1004, 10'000);
  double worst = 0;
  for (int i = 0; i < 8000 * 300; ++i) {
    const double want = 10'000 * std::sin(2 * std::numbers::pi *
                                          std::fmod(1004.0 * i / 8000, 1.0));
    worst = std::max(worst, std::abs(oscillator.Next() - want));
  }
  EXPECT_LT(worst, 0.5);
}

TEST(Tone, IsOneToneHoweverItIsAskedFor) {
  const auto whole = ReadAll(*ToneSource(440), Codec::kPcma, 8000, 8000);
  for (const size_t chunk : {1u, 7u, 160u, 240u}) {
    auto part = ReadAll(*ToneSource(440), Codec::kPcma, chunk, 8000);
    part.resize(8000);
    EXPECT_EQ(part, whole) << chunk;
  }
}

TEST(Tone, HasItsLevel) {
  // ITU-T G.711: a sine of +3.17 dBm0 reaches the clipping point of mu-law.
  EXPECT_NEAR(AmplitudeOfDbm0(3.17), 32636, 1);
  EXPECT_NEAR(AmplitudeOfDbm0(-16.83), 3263.6, 0.5);
  double power = 0;
  const auto octets = ReadAll(*ToneSource(1000, 0), Codec::kPcmu, 160, 8000);
  for (const uint8_t octet : octets) {
    power += std::pow(Decode(Codec::kPcmu, octet), 2);
  }
  const double amplitude = std::sqrt(2 * power / 8000);
  EXPECT_NEAR(amplitude, AmplitudeOfDbm0(0), 0.02 * AmplitudeOfDbm0(0));
}

TEST(Tone, LastsAsLongAsItShould) {
  for (const Codec codec : {Codec::kPcmu, Codec::kPcma}) {
    EXPECT_EQ(
        ReadAll(*ToneSource(440, -10, Micros::Millis(333)), codec, 160, 100'000)
            .size(),
        2664u);
    const auto quiet =
        ReadAll(*SilenceSource(Micros::Millis(50)), codec, 160, 100'000);
    EXPECT_EQ(quiet, std::vector<uint8_t>(400, SilenceOctet(codec)));
    EXPECT_EQ(ReadAll(*SilenceSource(Micros()), codec, 160, 1000).size(), 0u);
    EXPECT_EQ(ReadAll(*DigitSource(*PairOfDigit('5'), -10), codec, 160, 16'000)
                  .size(),
              16'000u);
  }
}

}  // namespace
}  // namespace sluice::rtp
