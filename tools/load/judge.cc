#include "tools/load/judge.h"

namespace sluice::load {

Judge::Arrival Judge::OnSequence(uint32_t sequence) noexcept {
  const uint64_t bit = uint64_t{1} << (sequence % 64);
  uint64_t& word = seen_[sequence % kWindow / 64];
  if (sequence >= next_) {
    // What leaves the window on the way up is forgotten.
    if (sequence - next_ >= kWindow) {
      seen_.fill(0);
    } else {
      for (uint32_t s = next_; s < sequence; ++s) {
        seen_[s % kWindow / 64] &= ~(uint64_t{1} << (s % 64));
      }
    }
    word |= bit;
    next_ = sequence + 1;
    return Arrival::kInOrder;
  }
  if (next_ - sequence > kWindow) return Arrival::kTooOld;
  if ((word & bit) != 0) return Arrival::kDuplicate;
  word |= bit;
  return Arrival::kReordered;
}

bool CountArrival(Judge::Arrival arrival, Tally& tally) noexcept {
  switch (arrival) {
    case Judge::Arrival::kDuplicate: tally.duplicates.Add(1); return false;
    case Judge::Arrival::kTooOld: tally.too_old.Add(1); return false;
    case Judge::Arrival::kReordered: tally.reordered.Add(1); return true;
    case Judge::Arrival::kInOrder: return true;
  }
  return true;
}

}  // namespace sluice::load
