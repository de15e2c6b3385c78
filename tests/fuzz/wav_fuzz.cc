// Goal: no file makes the WAV reader crash, read for long, or name samples that
// are not there; and a head of ours in front of any octets is read as written.
// Method: the input is the file.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <vector>

#include "base/check.h"
#include "rtp/wav.h"

namespace {

using sluice::rtp::ReadWavLayout;
using sluice::rtp::WavEncoding;

// Each chunk is a read or two, and the end is found by halving.
constexpr int kReadsMax = 3 * sluice::rtp::kWavChunksMax + 40;

absl::StatusOr<sluice::rtp::WavLayout> Read(std::span<const uint8_t> file) {
  int reads = 0;
  auto layout = ReadWavLayout([&](uint64_t offset, std::span<uint8_t> into) {
    CHECK(++reads <= kReadsMax);
    if (offset >= file.size()) return size_t{0};
    const size_t count = std::min<uint64_t>(into.size(), file.size() - offset);
    std::memcpy(into.data(), file.data() + offset, count);
    return count;
  });
  if (layout.ok()) {
    CHECK(layout->data_offset <= file.size());
    CHECK(layout->data_octets <= file.size() - layout->data_offset);
    CHECK(layout->encoding != WavEncoding::kPcm16 ||
          layout->data_octets % 2 == 0);
  } else {
    CHECK(!layout.status().message().empty());
  }
  return layout;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  Read({data, size}).status().IgnoreError();

  const auto head = sluice::rtp::WavHead(static_cast<uint32_t>(size));
  std::vector<uint8_t> ours(head.begin(), head.end());
  ours.insert(ours.end(), data, data + size);
  const auto layout = Read(ours);
  CHECK(layout.ok() && layout->data_octets == (size & ~size_t{1}));
  return 0;
}
