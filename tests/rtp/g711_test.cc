#include "rtp/g711.h"

#include <algorithm>
#include <cstdlib>
#include <vector>

#include "gtest/gtest.h"

namespace sluice::rtp {
namespace {

constexpr Codec kBoth[] = {Codec::kPcmu, Codec::kPcma};

// ITU-T G.711, tables 1a to 2b: decision and output values, scaled to 16 bits.
TEST(G711, HasTheTablesValues) {
  struct Row {
    Codec codec;
    uint8_t octet;
    int sample;
  };
  for (const Row& row : std::vector<Row>{
           {Codec::kPcmu, 0x80, 8031 * 4},
           {Codec::kPcmu, 0x00, -8031 * 4},
           {Codec::kPcmu, 0x8f, 4191 * 4},
           {Codec::kPcmu, 0xff, 0},
           {Codec::kPcmu, 0x7f, 0},
           {Codec::kPcmu, 0xfe, 2 * 4},
           {Codec::kPcmu, 0x7e, -2 * 4},
           {Codec::kPcma, 0xaa, 4032 * 8},
           {Codec::kPcma, 0x2a, -4032 * 8},
           {Codec::kPcma, 0xd5, 1 * 8},
           {Codec::kPcma, 0x55, -1 * 8},
           {Codec::kPcma, 0xd4, 3 * 8},
       }) {
    EXPECT_EQ(Decode(row.codec, row.octet), row.sample)
        << Name(row.codec) << ' ' << int{row.octet};
  }
}

TEST(G711, EveryOctetSurvivesTheRoundTrip) {
  for (const Codec codec : kBoth) {
    for (int i = 0; i < 256; ++i) {
      const auto octet = static_cast<uint8_t>(i);
      const uint8_t back = Encode(codec, Decode(codec, octet));
      // mu-law has two zeros.
      if (codec == Codec::kPcmu && octet == 0x7f) {
        EXPECT_EQ(back, 0xff);
      } else {
        EXPECT_EQ(back, octet) << Name(codec);
      }
    }
  }
}

// Steps grow with the loudness, and a sample is off by half of its step at
// most.
TEST(G711, EverySampleIsOffByHalfAStepAtMost) {
  for (const Codec codec : kBoth) {
    // mu-law's last two bits are not looked at, A-law's -n counts as n - 1.
    const int slack = codec == Codec::kPcmu ? 4 : 1;
    int last = -40'000;
    for (int sample = -32768; sample <= 32767; ++sample) {
      const int got =
          Decode(codec, Encode(codec, static_cast<int16_t>(sample)));
      ASSERT_GE(got, last) << Name(codec) << ' ' << sample;
      last = got;
      // 16 steps in each power of two, above the first one's.
      const int bias = codec == Codec::kPcmu ? 132 : 0;
      int step = codec == Codec::kPcmu ? 8 : 16;
      const int first = codec == Codec::kPcmu ? 256 : 512;
      for (int end = first; std::abs(sample) + bias >= end; end *= 2) step *= 2;
      const int clipped = std::clamp(sample, -32'635, 32'635);
      ASSERT_LE(std::abs(got - clipped), step / 2 + slack)
          << Name(codec) << ' ' << sample;
    }
    EXPECT_GT(last, 32'000);
  }
}

TEST(G711, SilenceIsSilent) {
  EXPECT_EQ(Encode(Codec::kPcmu, 0), SilenceOctet(Codec::kPcmu));
  EXPECT_EQ(Encode(Codec::kPcma, 0), SilenceOctet(Codec::kPcma));
  EXPECT_EQ(Decode(Codec::kPcmu, SilenceOctet(Codec::kPcmu)), 0);
  EXPECT_LE(std::abs(Decode(Codec::kPcma, SilenceOctet(Codec::kPcma))), 8);
}

TEST(G711, SpansAreSampleBySample) {
  std::vector<int16_t> samples;
  for (int i = 0; i < 1000; ++i) {
    samples.push_back(static_cast<int16_t>(i * 7919));
  }
  for (const Codec codec : kBoth) {
    std::vector<uint8_t> octets(samples.size());
    Encode(codec, samples, octets);
    std::vector<int16_t> back(samples.size());
    Decode(codec, octets, back);
    for (size_t i = 0; i < samples.size(); ++i) {
      EXPECT_EQ(octets[i], Encode(codec, samples[i]));
      EXPECT_EQ(back[i], Decode(codec, octets[i]));
    }
    const Codec other = codec == Codec::kPcmu ? Codec::kPcma : Codec::kPcmu;
    std::vector<uint8_t> same = octets;
    Transcode(codec, codec, same);
    EXPECT_EQ(same, octets);
    Transcode(codec, other, octets);
    for (size_t i = 0; i < samples.size(); ++i) {
      EXPECT_EQ(octets[i], Encode(other, back[i]));
    }
  }
}

TEST(G711, HasTheNamesAndTypesOfTheProfile) {
  EXPECT_EQ(StaticPayloadType(Codec::kPcmu), 0);
  EXPECT_EQ(StaticPayloadType(Codec::kPcma), 8);
  EXPECT_EQ(CodecOfPayloadType(8), Codec::kPcma);
  EXPECT_EQ(CodecOfPayloadType(0), Codec::kPcmu);
  EXPECT_EQ(CodecOfPayloadType(3), std::nullopt);
  EXPECT_EQ(CodecOfName("pcmA"), Codec::kPcma);
  EXPECT_EQ(CodecOfName(Name(Codec::kPcmu)), Codec::kPcmu);
  EXPECT_EQ(CodecOfName("PCM"), std::nullopt);
}

}  // namespace
}  // namespace sluice::rtp
