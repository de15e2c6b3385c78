#include "rtp/wav.h"

#include <algorithm>
#include <string>
#include <vector>

#include "gtest/gtest.h"

namespace sluice::rtp {
namespace {

using Octets = std::vector<uint8_t>;

void Le(Octets* out, uint64_t value, int octets) {
  for (int i = 0; i < octets; ++i) {
    out->push_back(static_cast<uint8_t>(value >> 8 * i));
  }
}
void Text(Octets* out, const std::string& text) {
  out->insert(out->end(), text.begin(), text.end());
}
Octets Riff() {
  Octets file;
  Text(&file, "RIFF");
  Le(&file, 0, 4);  // nobody looks at it
  Text(&file, "WAVE");
  return file;
}
void Format(Octets* file, int tag, int channels, uint32_t hz, int bits) {
  Text(file, "fmt ");
  Le(file, 16, 4);
  Le(file, static_cast<uint64_t>(tag), 2);
  Le(file, static_cast<uint64_t>(channels), 2);
  Le(file, hz, 4);
  Le(file, 0, 4);
  Le(file, 0, 2);
  Le(file, static_cast<uint64_t>(bits), 2);
}
void Data(Octets* file, uint32_t claimed, size_t there) {
  Text(file, "data");
  Le(file, claimed, 4);
  file->resize(file->size() + there, 7);
}
Octets Wav(int tag, int channels, uint32_t hz, int bits, uint32_t claimed,
           size_t there) {
  Octets file = Riff();
  Format(&file, tag, channels, hz, bits);
  Data(&file, claimed, there);
  return file;
}

absl::StatusOr<WavLayout> Read(const Octets& file) {
  return ReadWavLayout([&](uint64_t offset, std::span<uint8_t> into) {
    if (offset >= file.size()) return size_t{0};
    const size_t count = std::min<uint64_t>(into.size(), file.size() - offset);
    std::copy_n(file.begin() + static_cast<ptrdiff_t>(offset), count,
                into.begin());
    return count;
  });
}

TEST(Wav, TakesTheThreeItKnows) {
  struct Row {
    int tag;
    int bits;
    WavEncoding want;
  };
  for (const Row& row :
       {Row{1, 16, WavEncoding::kPcm16}, Row{6, 8, WavEncoding::kPcma},
        Row{7, 8, WavEncoding::kPcmu}}) {
    const auto layout = Read(Wav(row.tag, 1, 8000, row.bits, 100, 120));
    ASSERT_TRUE(layout.ok()) << layout.status();
    EXPECT_EQ(layout->encoding, row.want);
    EXPECT_EQ(layout->data_offset, 44u);
    EXPECT_EQ(layout->data_octets, 100u);
  }
}

TEST(Wav, RefusesOthersInWordsThatSayWhatAndHow) {
  for (const auto& [file, what] : std::vector<std::pair<Octets, std::string>>{
           {Wav(1, 2, 44'100, 16, 4, 4), "2 channels, 44100 Hz"},
           {Wav(1, 1, 8000, 8, 4, 4), "PCM of 8 bits"},
           {Wav(3, 1, 8000, 32, 4, 4), "floating point"},
           {Wav(6, 1, 16'000, 8, 4, 4), "A-law of 8 bits, 1 channel, 16000"},
           {Wav(0x1234, 1, 8000, 16, 4, 4), "format 0x1234"}}) {
    const auto refused = Read(file);
    EXPECT_EQ(refused.status().code(), absl::StatusCode::kInvalidArgument);
    const std::string text(refused.status().message());
    EXPECT_NE(text.find(what), std::string::npos) << text;
    EXPECT_NE(text.find("sox in.wav -r 8000 -c 1 -b 16"), std::string::npos);
  }
}

TEST(Wav, LooksBehindOtherChunks) {
  Octets file = Riff();
  Text(&file, "LIST");
  Le(&file, 3, 4);  // odd: a chunk begins on an even octet
  file.resize(file.size() + 4);
  // An extensible format says its tag further behind.
  Text(&file, "fmt ");
  Le(&file, 40, 4);
  Le(&file, 0xfffe, 2);
  Le(&file, 1, 2);
  Le(&file, 8000, 4);
  Le(&file, 16'000, 4);
  Le(&file, 2, 2);
  Le(&file, 16, 2);
  Le(&file, 22, 2);
  Le(&file, 16, 2);
  Le(&file, 4, 4);
  Le(&file, 1, 2);
  file.resize(file.size() + 14);
  Text(&file, "fact");
  Le(&file, 4, 4);
  Le(&file, 0, 4);
  Data(&file, 6, 6);
  const auto layout = Read(file);
  ASSERT_TRUE(layout.ok()) << layout.status();
  EXPECT_EQ(layout->data_octets, 6u);
  EXPECT_EQ(layout->data_offset, file.size() - 6);
}

TEST(Wav, AWrongLengthIsWhatTheFileHolds) {
  for (const uint32_t claimed : {0u, 0xffffffffu, 0x7fffffffu, 101u}) {
    for (const size_t there : {0u, 1u, 2u, 63u, 100u}) {
      const auto layout = Read(Wav(1, 1, 8000, 16, claimed, there));
      ASSERT_TRUE(layout.ok());
      EXPECT_EQ(layout->data_octets, there & ~size_t{1})
          << claimed << ' ' << there;
    }
  }
}

TEST(Wav, EveryCutIsAnAnswer) {
  const Octets whole = Wav(1, 1, 8000, 16, 8, 8);
  for (size_t length = 0; length < whole.size(); ++length) {
    const Octets cut(whole.begin(),
                     whole.begin() + static_cast<ptrdiff_t>(length));
    EXPECT_EQ(Read(cut).ok(), length >= 44) << length;
  }
}

TEST(Wav, DamageIsRefused) {
  Octets no_format = Riff();
  Data(&no_format, 4, 4);
  EXPECT_FALSE(Read(no_format).ok());
  Octets short_format = Riff();
  Text(&short_format, "fmt ");
  Le(&short_format, 15, 4);
  short_format.resize(100);
  EXPECT_FALSE(Read(short_format).ok());
  // A chunk whose length goes beyond all files.
  Octets far = Riff();
  Text(&far, "junk");
  Le(&far, 0xffffffff, 4);
  EXPECT_FALSE(Read(far).ok());
  Octets many = Riff();
  for (int i = 0; i < kWavChunksMax; ++i) {
    Text(&many, "junk");
    Le(&many, 0, 4);
  }
  Format(&many, 1, 1, 8000, 16);
  Data(&many, 4, 4);
  const auto refused = Read(many);
  EXPECT_NE(refused.status().message().find("more than 64 chunks"),
            std::string::npos);
}

TEST(Wav, AHeadIsReadAsItWasWritten) {
  for (const uint32_t octets : {0u, 2u, 1000u, kWavOctetsUnknown}) {
    const auto head = WavHead(octets);
    Octets file(head.begin(), head.end());
    file.resize(file.size() + 1000);
    const auto layout = Read(file);
    ASSERT_TRUE(layout.ok()) << layout.status();
    EXPECT_EQ(layout->encoding, WavEncoding::kPcm16);
    EXPECT_EQ(layout->data_offset, kWavHeadBytes);
    EXPECT_EQ(layout->data_octets,
              octets == 0 || octets == kWavOctetsUnknown ? 1000u : octets);
  }
}

}  // namespace
}  // namespace sluice::rtp
