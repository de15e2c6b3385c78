#ifndef SLUICE_RTP_WAV_H_
#define SLUICE_RTP_WAV_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"

namespace sluice::rtp {

// WAV as far as a telephone needs it: one channel of 8000 Hz, as 16 bit PCM or
// as G.711.
enum class WavEncoding : uint8_t { kPcm16, kPcmu, kPcma };

// Where a file's samples are. They may come from a stranger: no number in the
// file is trusted, and nothing is allocated by it.
struct WavLayout {
  WavEncoding encoding = WavEncoding::kPcm16;
  uint64_t data_offset = 0;
  uint64_t data_octets = 0;  // whole samples, inside the file
};

// As pread: fills `into` from `offset` of the file and returns how many octets
// there were; fewer than asked for: the file ends there.
using ReadAt =
    absl::FunctionRef<size_t(uint64_t offset, std::span<uint8_t> into)>;

// Chunks in a file that are looked at before the samples must have come.
inline constexpr int kWavChunksMax = 64;

// InvalidArgument for what is no WAV, or another one than we play: what it is,
// and the command that converts it. A length that is wrong because nobody came
// to write it (0, ~0, beyond the file's end) is what the file holds.
absl::StatusOr<WavLayout> ReadWavLayout(ReadAt read);

// The head of a file of 16 bit PCM with so many octets of samples, which follow
// it. kWavOctetsUnknown: it is still being written; ReadWavLayout and most
// programs read such a file to its end.
inline constexpr size_t kWavHeadBytes = 44;
inline constexpr uint32_t kWavOctetsUnknown = 0xffffffff;
inline constexpr uint32_t kWavOctetsMax = kWavOctetsUnknown - kWavHeadBytes - 1;
std::array<uint8_t, kWavHeadBytes> WavHead(uint32_t data_octets);

}  // namespace sluice::rtp

#endif  // SLUICE_RTP_WAV_H_
