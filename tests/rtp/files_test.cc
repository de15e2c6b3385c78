#include "rtp/files.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <random>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "rtp/wav.h"
#include "tests/base/temp_folder.h"

namespace sluice::rtp {
namespace {

using Octets = std::vector<uint8_t>;

Octets Slurp(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return Octets(std::istreambuf_iterator<char>(file), {});
}
void Spill(const std::string& path, const Octets& octets) {
  std::ofstream file(path, std::ios::binary);
  file.write(reinterpret_cast<const char*>(octets.data()),
             static_cast<std::streamsize>(octets.size()));
}
Octets Some(size_t size) {
  std::mt19937_64 random(size);
  Octets octets(size);
  for (uint8_t& octet : octets) {
    // mu-law's second zero has no way back from its sample.
    do octet = static_cast<uint8_t>(random());
    while (octet == 0x7f);
  }
  return octets;
}
Octets Play(const std::string& path, Codec codec, int times = 1,
            size_t most = 1 << 20, size_t chunk = 160) {
  auto source = OpenSource(path, times);
  EXPECT_TRUE(source.ok()) << source.status();
  if (!source.ok()) return {};
  Octets all;
  while (all.size() < most) {
    Octets part(chunk);
    const size_t got = (*source)->Read(codec, part);
    all.insert(all.end(), part.begin(),
               part.begin() + static_cast<ptrdiff_t>(got));
    if (got < chunk) break;
  }
  return all;
}
void Record(const std::string& path, Codec codec, const Octets& octets,
            size_t chunk = 160) {
  auto sink = OpenSink(path);
  ASSERT_TRUE(sink.ok()) << sink.status();
  for (size_t at = 0; at < octets.size(); at += chunk) {
    (*sink)->Write(codec, std::span(octets).subspan(
                              at, std::min(chunk, octets.size() - at)));
  }
  EXPECT_TRUE((*sink)->Close().ok());
}

class FilesTest : public testing::Test {
 protected:
  TempFolder folder_;
};

TEST_F(FilesTest, RawOctetsAreKeptAsTheyAre) {
  const Octets octets = Some(10'001);
  for (const char* name :
       {"a.pcmu", "a.ulaw", "a.UL", "a.raw", "a.pcmu-8000"}) {
    Record(folder_ / name, Codec::kPcmu, octets, 77);
    EXPECT_EQ(Slurp(folder_ / name), octets) << name;
    EXPECT_EQ(Play(folder_ / name, Codec::kPcmu), octets) << name;
  }
  for (const char* name : {"a.pcma", "a.alaw", "a.al"}) {
    Record(folder_ / name, Codec::kPcma, octets, 4096);
    EXPECT_EQ(Slurp(folder_ / name), octets) << name;
    EXPECT_EQ(Play(folder_ / name, Codec::kPcma), octets) << name;
  }
}

TEST_F(FilesTest, TheOtherLawIsTranscoded) {
  const Octets octets = Some(5000);
  Octets want = octets;
  Transcode(Codec::kPcmu, Codec::kPcma, want);
  Spill(folder_ / "a.ulaw", octets);
  EXPECT_EQ(Play(folder_ / "a.ulaw", Codec::kPcma), want);
  Record(folder_ / "b.alaw", Codec::kPcmu, octets);
  EXPECT_EQ(Slurp(folder_ / "b.alaw"), want);
}

TEST_F(FilesTest, AWavComesBackOctetByOctet) {
  for (const Codec codec : {Codec::kPcmu, Codec::kPcma}) {
    for (const size_t size : {0u, 1u, 2047u, 2048u, 2049u, 50'000u}) {
      const Octets octets = Some(size);
      Record(folder_ / "a.wav", codec, octets, 33);
      const Octets file = Slurp(folder_ / "a.wav");
      ASSERT_EQ(file.size(), kWavHeadBytes + 2 * size);
      const auto head = WavHead(static_cast<uint32_t>(2 * size));
      EXPECT_TRUE(std::equal(head.begin(), head.end(), file.begin()));
      if (size == 0) continue;  // nothing to play
      EXPECT_EQ(Play(folder_ / "a.wav", codec), octets);
    }
  }
}

TEST_F(FilesTest, AWavOfG711IsPlayedAsItIs) {
  const Octets octets = Some(3000);
  for (const auto& [tag, codec] :
       {std::pair{7, Codec::kPcmu}, std::pair{6, Codec::kPcma}}) {
    const auto head = WavHead(3000);
    Octets file(head.begin(), head.end());
    file[20] = static_cast<uint8_t>(tag);
    file[34] = 8;
    file.insert(file.end(), octets.begin(), octets.end());
    Spill(folder_ / "g.wav", file);
    EXPECT_EQ(Play(folder_ / "g.wav", codec), octets);
  }
}

TEST_F(FilesTest, RepeatsWithoutAGap) {
  const Octets octets = Some(1000);
  Spill(folder_ / "a.pcmu", octets);
  Octets want;
  for (int i = 0; i < 3; ++i) {
    want.insert(want.end(), octets.begin(), octets.end());
  }
  EXPECT_EQ(Play(folder_ / "a.pcmu", Codec::kPcmu, 3), want);
  want.resize(2560);
  EXPECT_EQ(Play(folder_ / "a.pcmu", Codec::kPcmu, kRepeatForever, 2560), want);
}

TEST_F(FilesTest, AFileThatShrinksEnds) {
  Spill(folder_ / "a.pcmu", Some(100'000));
  auto source = OpenSource(folder_ / "a.pcmu", kRepeatForever);
  ASSERT_TRUE(source.ok());
  Octets part(160);
  EXPECT_EQ((*source)->Read(Codec::kPcmu, part), 160u);
  Spill(folder_ / "a.pcmu", {});
  size_t read = 0;
  for (size_t got = 160; got == 160 && read < 1'000'000; read += got) {
    got = (*source)->Read(Codec::kPcmu, part);
  }
  EXPECT_LE(read, 4096u);
}

TEST_F(FilesTest, ARecordingThatNobodyClosedIsReadable) {
  const Octets octets = Some(10'000);
  auto sink = OpenSink(folder_ / "a.wav");
  ASSERT_TRUE(sink.ok());
  (*sink)->Write(Codec::kPcmu, octets);
  // As a crash leaves it.
  const Octets played = Play(folder_ / "a.wav", Codec::kPcmu);
  EXPECT_GE(played.size(), octets.size() - 2048);
  EXPECT_TRUE(std::equal(played.begin(), played.end(), octets.begin()));
}

TEST_F(FilesTest, ADestroyedSinkHasItsLength) {
  auto sink = OpenSink(folder_ / "a.wav");
  ASSERT_TRUE(sink.ok());
  (*sink)->Write(Codec::kPcma, Some(500));
  sink->reset();
  EXPECT_EQ(Play(folder_ / "a.wav", Codec::kPcma), Some(500));
}

TEST_F(FilesTest, RefusesInWords) {
  const auto said = [](const absl::Status& status) {
    return std::string(status.message());
  };
  const auto missing = OpenSource(folder_ / "no.wav").status();
  EXPECT_EQ(missing.code(), absl::StatusCode::kNotFound);
  EXPECT_NE(said(missing).find("no.wav"), std::string::npos);
  const auto name = OpenSource(folder_ / "a.mp3").status();
  EXPECT_EQ(name.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_NE(said(name).find(".wav, .pcmu"), std::string::npos);
  EXPECT_EQ(OpenSink(folder_ / "a.mp3").status().code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(OpenSink(folder_ / "no/a.wav").status().code(),
            absl::StatusCode::kNotFound);
  Spill(folder_ / "empty.pcmu", {});
  EXPECT_NE(
      said(OpenSource(folder_ / "empty.pcmu").status()).find("nothing to play"),
      std::string::npos);
  Spill(folder_ / "raw.wav", Some(100));
  EXPECT_NE(said(OpenSource(folder_ / "raw.wav").status()).find("RIFF"),
            std::string::npos);
  ASSERT_EQ(mkfifo((folder_ / "pipe.pcmu").c_str(), 0600), 0);
  EXPECT_NE(
      said(OpenSource(folder_ / "pipe.pcmu").status()).find("no regular file"),
      std::string::npos);
  std::filesystem::create_directory(folder_ / "folder.pcmu");
  EXPECT_FALSE(OpenSource(folder_ / "folder.pcmu").ok());
}

TEST_F(FilesTest, AFullDiskIsToldAtTheEnd) {
  if (access("/dev/full", W_OK) != 0) GTEST_SKIP() << "there is no /dev/full";
  std::filesystem::create_symlink("/dev/full", folder_ / "full.pcmu");
  auto sink = OpenSink(folder_ / "full.pcmu");
  ASSERT_TRUE(sink.ok()) << sink.status();
  for (int i = 0; i < 100; ++i) (*sink)->Write(Codec::kPcmu, Some(160));
  const absl::Status closed = (*sink)->Close();
  EXPECT_EQ(closed.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_NE(closed.message().find("full.pcmu"), std::string::npos);
  EXPECT_EQ((*sink)->Close(), closed);
}

}  // namespace
}  // namespace sluice::rtp
