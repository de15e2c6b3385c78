#include "rtp/wav.h"

#include <algorithm>
#include <cstring>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "rtp/g711.h"

namespace sluice::rtp {
namespace {

//   RIFF length WAVE | fmt  length, format | ... | data length, samples
constexpr size_t kRiffBytes = 12;
constexpr size_t kChunkBytes = 8;
constexpr size_t kFormatBytes = 16;
constexpr size_t kExtensibleBytes = 40;  // up to the end of the sub-format

constexpr uint16_t kTagPcm = 1;
constexpr uint16_t kTagAlaw = 6;
constexpr uint16_t kTagMulaw = 7;
// WAVE_FORMAT_EXTENSIBLE: the tag is the first field of a GUID further behind.
constexpr uint16_t kTagExtensible = 0xfffe;

uint16_t LoadLe16(const uint8_t* p) {
  return static_cast<uint16_t>(p[0] | p[1] << 8);
}
uint32_t LoadLe32(const uint8_t* p) {
  return uint32_t{LoadLe16(p)} | uint32_t{LoadLe16(p + 2)} << 16;
}
void StoreLe16(uint8_t* p, uint16_t value) {
  p[0] = static_cast<uint8_t>(value);
  p[1] = static_cast<uint8_t>(value >> 8);
}
void StoreLe32(uint8_t* p, uint32_t value) {
  StoreLe16(p, static_cast<uint16_t>(value));
  StoreLe16(p + 2, static_cast<uint16_t>(value >> 16));
}
bool Is(const uint8_t* p, const char (&four)[5]) {
  return std::memcmp(p, four, 4) == 0;
}

struct Format {
  uint16_t tag = 0;
  uint16_t channels = 0;
  uint32_t hz = 0;
  uint16_t bits = 0;
};

std::string TagName(uint16_t tag) {
  switch (tag) {
    case kTagPcm: return "PCM";
    case 2: return "MS ADPCM";
    case 3: return "floating point";
    case kTagAlaw: return "A-law";
    case kTagMulaw: return "mu-law";
    case 0x11: return "IMA ADPCM";
    case 0x31: return "GSM 06.10";
    case 0x55: return "MP3";
  }
  return absl::StrCat("format 0x", absl::Hex(tag));
}

absl::Status NotOurs(const Format& f) {
  return absl::InvalidArgumentError(absl::StrCat(
      "the WAV is ", TagName(f.tag), " of ", f.bits, " bits, ", f.channels,
      f.channels == 1 ? " channel" : " channels", ", ", f.hz,
      " Hz; a call takes 16 bit PCM, A-law or mu-law of 1 channel, 8000 Hz: "
      "sox in.wav -r 8000 -c 1 -b 16 -e signed-integer out.wav"));
}

absl::StatusOr<WavEncoding> EncodingOf(const Format& f) {
  if (f.channels != 1 || f.hz != kSampleHz) return NotOurs(f);
  if (f.tag == kTagPcm && f.bits == 16) return WavEncoding::kPcm16;
  if (f.tag == kTagAlaw && f.bits == 8) return WavEncoding::kPcma;
  if (f.tag == kTagMulaw && f.bits == 8) return WavEncoding::kPcmu;
  return NotOurs(f);
}

absl::StatusOr<Format> ReadFormat(ReadAt read, uint64_t offset,
                                  uint32_t length) {
  uint8_t octets[kExtensibleBytes];
  const size_t wanted = std::min<size_t>(length, sizeof(octets));
  const size_t got = read(offset, std::span(octets).first(wanted));
  if (wanted < kFormatBytes || got < wanted) {
    return absl::InvalidArgumentError(
        absl::StrCat("the WAV's format chunk has ", std::min(got, wanted),
                     " octets, at least ", kFormatBytes,
                     " are needed: the file is damaged"));
  }
  Format f{.tag = LoadLe16(&octets[0]),
           .channels = LoadLe16(&octets[2]),
           .hz = LoadLe32(&octets[4]),
           .bits = LoadLe16(&octets[14])};
  if (f.tag == kTagExtensible && wanted == kExtensibleBytes) {
    f.tag = LoadLe16(&octets[24]);
  }
  return f;
}

// How many octets the file has from `offset` on, of at most `most`. A file's
// end is found by halving, since nothing but reading is asked of it.
uint64_t OctetsThere(ReadAt read, uint64_t offset, uint64_t most) {
  const auto there = [&](uint64_t count) {  // are there as many?
    uint8_t octet;
    return count == 0 || read(offset + count - 1, {&octet, 1}) == 1;
  };
  if (there(most)) return most;
  uint64_t low = 0;
  uint64_t high = most;  // not there
  while (high - low > 1) {
    const uint64_t middle = low + (high - low) / 2;
    (there(middle) ? low : high) = middle;
  }
  return low;
}

}  // namespace

absl::StatusOr<WavLayout> ReadWavLayout(ReadAt read) {
  uint8_t head[kRiffBytes];
  if (read(0, head) < sizeof(head) || !Is(head, "RIFF") ||
      !Is(head + 8, "WAVE")) {
    return absl::InvalidArgumentError(
        "it does not begin as a WAV file does (RIFF, WAVE); raw G.711 is known "
        "by its name: .pcmu, .ulaw, .pcma, .alaw");
  }
  WavLayout layout;
  bool formatted = false;
  uint64_t offset = kRiffBytes;
  for (int i = 0; i < kWavChunksMax; ++i) {
    uint8_t chunk[kChunkBytes];
    if (read(offset, chunk) < sizeof(chunk)) {
      return absl::InvalidArgumentError(
          formatted ? "the WAV ends before its samples: it has no data chunk"
                    : "the WAV ends before its format is told: it has no fmt "
                      "chunk");
    }
    offset += kChunkBytes;
    const uint32_t length = LoadLe32(chunk + 4);
    if (Is(chunk, "fmt ")) {
      auto format = ReadFormat(read, offset, length);
      if (!format.ok()) return format.status();
      auto encoding = EncodingOf(*format);
      if (!encoding.ok()) return encoding.status();
      layout.encoding = *encoding;
      formatted = true;
    } else if (Is(chunk, "data")) {
      if (!formatted) {
        return absl::InvalidArgumentError(
            "the WAV has samples before their format is told: it is damaged");
      }
      layout.data_offset = offset;
      // 0 is what a program leaves that was killed before it came back to
      // write the length.
      layout.data_octets = OctetsThere(
          read, offset, length == 0 ? kWavOctetsUnknown : uint64_t{length});
      if (layout.encoding == WavEncoding::kPcm16) layout.data_octets &= ~1ull;
      return layout;
    }
    offset += uint64_t{length} + (length & 1);  // chunks begin on even octets
  }
  return absl::InvalidArgumentError(
      absl::StrCat("the WAV has more than ", kWavChunksMax,
                   " chunks before its samples: it is damaged"));
}

std::array<uint8_t, kWavHeadBytes> WavHead(uint32_t data_octets) {
  std::array<uint8_t, kWavHeadBytes> head{};
  const bool known = data_octets <= kWavOctetsMax;
  std::memcpy(&head[0], "RIFF", 4);
  StoreLe32(&head[4],
            known ? data_octets + kWavHeadBytes - 8 : kWavOctetsUnknown);
  std::memcpy(&head[8], "WAVEfmt ", 8);
  StoreLe32(&head[16], kFormatBytes);
  StoreLe16(&head[20], kTagPcm);
  StoreLe16(&head[22], 1);
  StoreLe32(&head[24], kSampleHz);
  StoreLe32(&head[28], kSampleHz * 2);
  StoreLe16(&head[32], 2);
  StoreLe16(&head[34], 16);
  std::memcpy(&head[36], "data", 4);
  StoreLe32(&head[40], known ? data_octets : kWavOctetsUnknown);
  return head;
}

}  // namespace sluice::rtp
