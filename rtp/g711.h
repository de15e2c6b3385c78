#ifndef SLUICE_RTP_G711_H_
#define SLUICE_RTP_G711_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

namespace sluice::rtp {

// ITU-T G.711 at 8 kHz: an octet a sample. The static payload types of RFC 3551
// 6 are the enumerators' values.
enum class Codec : uint8_t { kPcmu = 0, kPcma = 8 };

inline constexpr int kSampleHz = 8000;
inline constexpr int kSamplesPerMs = kSampleHz / 1000;

constexpr uint8_t StaticPayloadType(Codec codec) {
  return static_cast<uint8_t>(codec);
}
// nullopt: neither 0 nor 8.
std::optional<Codec> CodecOfPayloadType(int payload_type);
// "PCMU", "PCMA": the encoding names of RFC 3551, for a=rtpmap.
const char* Name(Codec codec);
// By encoding name, upper or lower case.
std::optional<Codec> CodecOfName(std::string_view name);

// What a sample of 0 becomes.
constexpr uint8_t SilenceOctet(Codec codec) {
  return codec == Codec::kPcmu ? 0xff : 0xd5;
}

uint8_t Encode(Codec codec, int16_t sample);
int16_t Decode(Codec codec, uint8_t octet);
// REQUIRES: both spans are of one length.
void Encode(Codec codec, std::span<const int16_t> samples,
            std::span<uint8_t> octets);
void Decode(Codec codec, std::span<const uint8_t> octets,
            std::span<int16_t> samples);
// From one law to the other, in place; nothing when they are the same.
void Transcode(Codec from, Codec to, std::span<uint8_t> octets);

}  // namespace sluice::rtp

#endif  // SLUICE_RTP_G711_H_
