#include "rtp/dtmf_detector.h"

#include <cmath>
#include <random>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "rtp/dtmf.h"
#include "rtp/tone.h"

namespace sluice::rtp {
namespace {

constexpr char kAll[] = "0123456789*#ABCD";

// Samples put together by hand.
class Audio {
 public:
  Audio& Digit(char digit, int ms, double low_dbm0 = -10,
               double high_dbm0 = -10, double off = 1) {
    const DtmfPair pair = *PairOfDigit(digit);
    return Tones(
        {{pair.low_hz * off, low_dbm0}, {pair.high_hz * off, high_dbm0}}, ms);
  }
  Audio& Tones(const std::vector<std::pair<double, double>>& tones, int ms) {
    std::vector<Oscillator> oscillators;
    for (const auto& [hz, dbm0] : tones) {
      oscillators.emplace_back(hz, AmplitudeOfDbm0(dbm0));
    }
    for (int i = 0; i < ms * kSamplesPerMs; ++i) {
      double sum = 0;
      for (Oscillator& o : oscillators) sum += o.Next();
      samples_.push_back(sum);
    }
    return *this;
  }
  Audio& Quiet(int ms) { return Tones({}, ms); }
  Audio& Shift(int samples) {
    samples_.insert(samples_.end(), static_cast<size_t>(samples), 0.0);
    return *this;
  }
  Audio& Hiss(double amplitude, uint64_t seed) {
    std::mt19937_64 random(seed);
    std::normal_distribution<double> hiss(0, amplitude);
    for (double& sample : samples_) sample += hiss(random);
    return *this;
  }
  std::string Heard(Codec codec, size_t chunk = 160) const {
    std::vector<uint8_t> octets;
    for (const double sample : samples_) {
      octets.push_back(Encode(
          codec, static_cast<int16_t>(
                     std::lround(std::clamp(sample, -32768.0, 32767.0)))));
    }
    DtmfDetector detector;
    std::string heard;
    for (size_t at = 0; at < octets.size(); at += chunk) {
      detector.Feed(
          codec,
          std::span(octets).subspan(at, std::min(chunk, octets.size() - at)),
          [&](char digit) { heard += digit; });
    }
    return heard;
  }

 private:
  std::vector<double> samples_;
};

TEST(DtmfDetector, HearsEachDigitOf40MsWhereverItBegins) {
  for (const Codec codec : {Codec::kPcmu, Codec::kPcma}) {
    for (int shift = 0; shift < 102; shift += 3) {
      Audio audio;
      audio.Shift(shift);
      for (const char* digit = kAll; *digit != 0; ++digit) {
        audio.Digit(*digit, 40).Quiet(40);
      }
      EXPECT_EQ(audio.Heard(codec), kAll) << Name(codec) << ' ' << shift;
    }
  }
}

TEST(DtmfDetector, ChunksMakeNoDifference) {
  Audio audio;
  audio.Digit('1', 50).Quiet(50).Digit('1', 50).Quiet(50).Digit('2', 200);
  for (const size_t chunk : {1u, 31u, 80u, 102u, 480u}) {
    EXPECT_EQ(audio.Heard(Codec::kPcmu, chunk), "112") << chunk;
  }
}

TEST(DtmfDetector, ALongDigitIsOneAndAShortBreakDoesNotSplitIt) {
  EXPECT_EQ(Audio().Digit('8', 3000).Quiet(50).Heard(Codec::kPcma), "8");
  EXPECT_EQ(Audio().Digit('8', 100).Quiet(8).Digit('8', 100).Quiet(50).Heard(
                Codec::kPcma),
            "8");
  EXPECT_EQ(
      Audio().Digit('8', 100).Digit('9', 100).Quiet(50).Heard(Codec::kPcma),
      "89");
}

TEST(DtmfDetector, HearsLevelsTwistAndDriftOfTheNetwork) {
  for (const char* digit = kAll; *digit != 0; ++digit) {
    const std::string want(1, *digit);
    const auto heard = [&](double low, double high, double off) {
      return Audio()
          .Quiet(20)
          .Digit(*digit, 80, low, high, off)
          .Quiet(60)
          .Heard(Codec::kPcmu);
    };
    EXPECT_EQ(heard(-3, -3, 1), want) << "loud";
    EXPECT_EQ(heard(-29, -29, 1), want) << "soft";
    EXPECT_EQ(heard(-8, -15, 1), want) << "the high one 7 dB softer";
    EXPECT_EQ(heard(-14, -10, 1), want) << "the high one 4 dB louder";
    EXPECT_EQ(heard(-10, -10, 1.015), want) << "1.5 % high";
    EXPECT_EQ(heard(-10, -10, 0.985), want) << "1.5 % low";
    EXPECT_EQ(heard(-45, -45, 1), "") << "an echo";
    EXPECT_EQ(heard(-5, -20, 1), "") << "15 dB of twist";
    EXPECT_EQ(heard(-20, -8, 1), "") << "12 dB of twist the other way";
    EXPECT_EQ(heard(-10, -10, 1.045), "") << "4.5 % high";
  }
}

TEST(DtmfDetector, HearsThroughSomeHiss) {
  Audio audio;
  for (const char* digit = kAll; *digit != 0; ++digit) {
    audio.Digit(*digit, 60).Quiet(60);
  }
  // 20 dB below each tone.
  EXPECT_EQ(audio.Hiss(AmplitudeOfDbm0(-30), 3).Heard(Codec::kPcmu), kAll);
}

TEST(DtmfDetector, TooShortIsNoDigit) {
  for (int shift = 0; shift < 102; shift += 7) {
    EXPECT_EQ(Audio()
                  .Shift(shift)
                  .Digit('5', 10)
                  .Quiet(50)
                  .Digit('5', 10)
                  .Quiet(50)
                  .Heard(Codec::kPcmu),
              "")
        << shift;
  }
}

// One block that looks like a digit is not yet one.
TEST(DtmfDetector, OneBlockIsNoDigit) {
  for (int shift = 0; shift < 102; shift += 3) {
    Audio audio;
    audio.Shift(shift);
    for (int i = 0; i < 20; ++i) audio.Digit('5', 13).Quiet(50);
    EXPECT_EQ(audio.Heard(Codec::kPcmu), "") << shift;
  }
}

// Three tones are no digit, however much of the energy two of them have.
TEST(DtmfDetector, ATonesNeighbourSpoilsIt) {
  for (const double third : {770.0, 852.0}) {
    EXPECT_EQ(Audio()
                  .Tones({{697, -10.0}, {1209, -10.0}, {third, -15.5}}, 200)
                  .Heard(Codec::kPcmu),
              "")
        << third;
  }
}

TEST(DtmfDetector, OneToneIsNoDigit) {
  for (int hz = 300; hz < 3400; hz += 5) {
    EXPECT_EQ(Audio().Tones({{hz, -5.0}}, 60).Quiet(30).Heard(Codec::kPcmu), "")
        << hz;
  }
  // What telephones are full of: dial tone, ringing, busy, and SIT.
  for (const auto& [low, high] : std::vector<std::pair<double, double>>{
           {350, 440}, {440, 480}, {480, 620}, {425, 425}, {1400, 2060}}) {
    EXPECT_EQ(
        Audio().Tones({{low, -10.0}, {high, -10.0}}, 500).Heard(Codec::kPcma),
        "")
        << low;
  }
}

TEST(DtmfDetector, NoiseIsNoDigit) {
  for (uint64_t seed = 1; seed <= 5; ++seed) {
    EXPECT_EQ(Audio().Quiet(60'000).Hiss(4000, seed).Heard(Codec::kPcmu), "")
        << seed;
  }
}

// A voice as a telephone hears it: a pitch that wanders, its harmonics through
// three formants that jump, syllables and pauses.
TEST(DtmfDetector, SpeechIsNoDigit) {
  for (uint64_t seed = 1; seed <= 10; ++seed) {
    std::mt19937_64 random(seed);
    const auto between = [&](double low, double high) {
      return std::uniform_real_distribution<double>(low, high)(random);
    };
    Audio audio;
    for (int syllable = 0; syllable < 300; ++syllable) {
      const double pitch = between(85, 280);
      const double formants[] = {between(300, 900), between(900, 2300),
                                 between(2300, 3200)};
      std::vector<std::pair<double, double>> harmonics;
      for (double hz = pitch; hz < 3600; hz += pitch) {
        double level = -50;
        for (const double formant : formants) {
          level = std::max(level, -12 - std::abs(hz - formant) / 35);
        }
        harmonics.emplace_back(hz, level);
      }
      audio.Tones(harmonics, static_cast<int>(between(60, 220)));
      if (random() % 4 == 0) audio.Quiet(static_cast<int>(between(20, 150)));
    }
    EXPECT_EQ(audio.Hiss(60, seed).Heard(Codec::kPcmu), "") << seed;
  }
}

}  // namespace
}  // namespace sluice::rtp
