#include "rtp/g711.h"

#include <array>

#include "base/check.h"
#include "base/text.h"

namespace sluice::rtp {
namespace {

// ITU-T G.711: a sign, a segment (which power of two) and four bits within it.
// mu-law works on 14 bits with a bias of 33, A-law on 13; both are left-aligned
// in our 16 bits here, which makes the bias 132.
//
//   mu-law  octet = ~(S EEE MMMM)         A-law  octet = (S EEE MMMM) ^ 0x55
constexpr int kMuBias = 33 << 2;
// One less than a magnitude that would need a ninth segment.
constexpr int kMuClip = (8159 << 2) - 1;
constexpr uint8_t kAlawToggle = 0x55;

constexpr int16_t DecodeMu(uint8_t octet) {
  const int code = ~octet & 0xff;
  const int exponent = code >> 4 & 7;
  const int magnitude = (((code & 0x0f) << 3) + kMuBias) << exponent;
  return static_cast<int16_t>((code & 0x80) != 0 ? kMuBias - magnitude
                                                 : magnitude - kMuBias);
}

constexpr int16_t DecodeA(uint8_t octet) {
  const int code = octet ^ kAlawToggle;
  const int exponent = code >> 4 & 7;
  int magnitude = ((code & 0x0f) << 4) + 8;
  if (exponent != 0) magnitude = (magnitude + 0x100) << (exponent - 1);
  return static_cast<int16_t>((code & 0x80) != 0 ? magnitude : -magnitude);
}

// The highest bit of `value` above bit `lowest`, counted from there.
constexpr int Segment(int value, int lowest) {
  int segment = 0;
  while (value >> (lowest + segment) > 1) ++segment;
  return segment;
}

// As ITU-T G.191's reference has it: the bits that the codec does not look at
// are cut towards zero on both sides of it.
constexpr int Magnitude(int sample) { return sample < 0 ? ~sample : sample; }

constexpr uint8_t EncodeMu(int sample) {
  const int sign = sample < 0 ? 0x80 : 0;
  int magnitude = Magnitude(sample);
  magnitude = (magnitude < kMuClip ? magnitude : kMuClip) + kMuBias;
  const int exponent = Segment(magnitude, 7);
  const int mantissa = magnitude >> (exponent + 3) & 0x0f;
  return static_cast<uint8_t>(~(sign | exponent << 4 | mantissa));
}

constexpr uint8_t EncodeA(int sample) {
  const int sign = sample < 0 ? 0 : 0x80;
  const int magnitude = Magnitude(sample);
  const int exponent = magnitude < 0x100 ? 0 : Segment(magnitude, 7);
  const int mantissa = magnitude >> (exponent == 0 ? 4 : exponent + 3) & 0x0f;
  return static_cast<uint8_t>((sign | exponent << 4 | mantissa) ^ kAlawToggle);
}

struct Tables {
  std::array<int16_t, 256> decode[2];
  // By the 14 bits that mu-law looks at, and A-law's 13 within them.
  std::array<uint8_t, 1 << 14> encode[2];
  std::array<uint8_t, 256> other[2];  // into the other law
};

constexpr size_t Row(Codec codec) { return codec == Codec::kPcmu ? 0 : 1; }

Tables MakeTables() {
  Tables t;
  for (int i = 0; i < 256; ++i) {
    const auto octet = static_cast<uint8_t>(i);
    const auto at = static_cast<size_t>(i);
    t.decode[0][at] = DecodeMu(octet);
    t.decode[1][at] = DecodeA(octet);
    t.other[0][at] = EncodeA(DecodeMu(octet));
    t.other[1][at] = EncodeMu(DecodeA(octet));
  }
  for (int i = 0; i < 1 << 14; ++i) {
    const int sample = static_cast<int16_t>(static_cast<uint16_t>(i << 2));
    t.encode[0][static_cast<size_t>(i)] = EncodeMu(sample);
    t.encode[1][static_cast<size_t>(i)] = EncodeA(sample);
  }
  return t;
}
const Tables& Laws() {
  static const Tables tables = MakeTables();
  return tables;
}

}  // namespace

std::optional<Codec> CodecOfPayloadType(int payload_type) {
  if (payload_type == StaticPayloadType(Codec::kPcmu)) return Codec::kPcmu;
  if (payload_type == StaticPayloadType(Codec::kPcma)) return Codec::kPcma;
  return std::nullopt;
}

const char* Name(Codec codec) {
  return codec == Codec::kPcmu ? "PCMU" : "PCMA";
}

std::optional<Codec> CodecOfName(std::string_view name) {
  if (EqualsNoCase(name, "PCMU")) return Codec::kPcmu;
  if (EqualsNoCase(name, "PCMA")) return Codec::kPcma;
  return std::nullopt;
}

uint8_t Encode(Codec codec, int16_t sample) {
  return Laws().encode[Row(codec)][static_cast<uint16_t>(sample) >> 2];
}

int16_t Decode(Codec codec, uint8_t octet) {
  return Laws().decode[Row(codec)][octet];
}

void Encode(Codec codec, std::span<const int16_t> samples,
            std::span<uint8_t> octets) {
  CHECK(samples.size() == octets.size());
  const auto& law = Laws().encode[Row(codec)];
  for (size_t i = 0; i < samples.size(); ++i) {
    octets[i] = law[static_cast<uint16_t>(samples[i]) >> 2];
  }
}

void Decode(Codec codec, std::span<const uint8_t> octets,
            std::span<int16_t> samples) {
  CHECK(samples.size() == octets.size());
  const auto& law = Laws().decode[Row(codec)];
  for (size_t i = 0; i < octets.size(); ++i) samples[i] = law[octets[i]];
}

void Transcode(Codec from, Codec to, std::span<uint8_t> octets) {
  if (from == to) return;
  const auto& law = Laws().other[Row(from)];
  for (uint8_t& octet : octets) octet = law[octet];
}

}  // namespace sluice::rtp
