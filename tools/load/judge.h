#ifndef SLUICE_TOOLS_LOAD_JUDGE_H_
#define SLUICE_TOOLS_LOAD_JUDGE_H_

#include <array>
#include <cstdint>

#include "tools/load/tally.h"

namespace sluice::load {

// The record of one stream at its receiving end: which sequence numbers came,
// and what the next one makes of the order.
//
// The last kWindow numbers below the highest are remembered one by one; one
// that is older still cannot be told from its duplicate and is kTooOld.
//
// Thread: the worker that owns the stream.
class Judge {
 public:
  enum class Arrival : uint8_t {
    kInOrder,    // above everything seen before
    kReordered,  // first time, but a later one was here first (RFC 4737 3.3)
    kDuplicate,
    kTooOld,
  };
  static constexpr uint32_t kWindow = 1024;

  Arrival OnSequence(uint32_t sequence) noexcept;

 private:
  static constexpr uint32_t kWords = kWindow / 64;
  // Bit (s % kWindow) tells of s in (next_ - kWindow, next_).
  std::array<uint64_t, kWords> seen_{};
  uint32_t next_ = 0;  // one past the highest seen
};

// Counts an arrival where it belongs; false for what is no first one, and so
// not received.
bool CountArrival(Judge::Arrival arrival, Tally& tally) noexcept;

}  // namespace sluice::load

#endif  // SLUICE_TOOLS_LOAD_JUDGE_H_
