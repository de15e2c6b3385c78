#ifndef SLUICE_BASE_SLOT_MAP_H_
#define SLUICE_BASE_SLOT_MAP_H_

#include <cstdint>
#include <vector>

#include "base/check.h"
#include "base/types.h"

namespace sluice {

// Gives out the slots of a fixed table: last freed, first given, so that the
// table's used part stays small and warm. What lies in the slots is kept
// elsewhere, indexed by Slot::index.
//
// Invariants: a slot is either live or in free_; a generation is never 0 and
// grows each time its slot is given out, so a Slot kept too long is refused.
class SlotMap {
 public:
  explicit SlotMap(uint32_t capacity) : capacity_(capacity) {}

  // A slot of generation 0 (false) when the table is full.
  Slot Take() {
    uint32_t index;
    if (!free_.empty()) {
      index = free_.back();
      free_.pop_back();
    } else if (generation_.size() < capacity_) {
      index = static_cast<uint32_t>(generation_.size());
      generation_.push_back(0);
      live_.push_back(false);
    } else {
      return Slot{};
    }
    if (++generation_[index] == 0) generation_[index] = 1;
    live_[index] = true;
    ++size_;
    return Slot{.index = index, .generation = generation_[index]};
  }

  // REQUIRES: Has(slot).
  void Free(Slot slot) {
    CHECK(Has(slot));
    live_[slot.index] = false;
    free_.push_back(slot.index);
    --size_;
  }

  bool Has(Slot slot) const {
    return slot.index < generation_.size() && live_[slot.index] &&
           generation_[slot.index] == slot.generation;
  }
  uint32_t size() const { return size_; }
  uint32_t capacity() const { return capacity_; }

 private:
  uint32_t capacity_;
  uint32_t size_ = 0;
  std::vector<uint32_t> generation_;
  std::vector<bool> live_;
  std::vector<uint32_t> free_;
};

}  // namespace sluice

#endif  // SLUICE_BASE_SLOT_MAP_H_
