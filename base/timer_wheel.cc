#include "base/timer_wheel.h"

#include <algorithm>
#include <bit>
#include <cstdint>

#include "absl/strings/str_format.h"
#include "base/check.h"

namespace sluice {
namespace {

constexpr int ByteOf(int64_t tick, int level) {
  return static_cast<int>((tick >> (8 * level)) & 0xff);
}

}  // namespace

TimerWheel::TimerWheel(Micros start)
    : current_(std::max<int64_t>(0, start.us() / kTickUs)), target_(current_) {}

int64_t TimerWheel::TickAtOrAfter(Micros when) {
  if (when.us() <= 0) return 0;
  return when.us() / kTickUs + (when.us() % kTickUs != 0 ? 1 : 0);
}

uint16_t TimerWheel::ListFor(int64_t tick) const {
  if (tick <= current_) return kDue;
  const auto differ = static_cast<uint64_t>(tick ^ current_);
  const int level = (std::bit_width(differ) - 1) / 8;
  if (level >= kLevels) return kFar;
  return static_cast<uint16_t>(level * kSlots + ByteOf(tick, level));
}

void TimerWheel::Append(uint16_t list, uint32_t index) {
  Cell& cell = cells_[index];
  List& to = lists_[list];
  cell.list = list;
  cell.next = kNone;
  cell.prev = to.tail;
  if (to.tail == kNone) {
    to.head = index;
    if (list < kWheelLists) {
      const int slot = list % kSlots;
      occupied_[list / kSlots][slot / 64] |= uint64_t{1} << (slot % 64);
    }
  } else {
    cells_[to.tail].next = index;
  }
  to.tail = index;
}

void TimerWheel::Unlink(uint32_t index) {
  const Cell& cell = cells_[index];
  List& from = lists_[cell.list];
  (cell.prev == kNone ? from.head : cells_[cell.prev].next) = cell.next;
  (cell.next == kNone ? from.tail : cells_[cell.next].prev) = cell.prev;
  if (from.head == kNone && cell.list < kWheelLists) {
    const int slot = cell.list % kSlots;
    occupied_[cell.list / kSlots][slot / 64] &= ~(uint64_t{1} << (slot % 64));
  }
}

void TimerWheel::Release(uint32_t index) {
  Unlink(index);
  Cell& cell = cells_[index];
  cell.list = kFree;
  if (++cell.generation == 0) cell.generation = 1;
  free_.push_back(index);
  --size_;
}

TimerWheel::Id TimerWheel::Schedule(Micros when, uint64_t value) {
  uint32_t index;
  if (!free_.empty()) {
    index = free_.back();
    free_.pop_back();
  } else {
    CHECK(cells_.size() < kNone - 1);
    index = static_cast<uint32_t>(cells_.size());
    cells_.emplace_back();
  }
  Cell& cell = cells_[index];
  cell.value = value;
  cell.tick = TickAtOrAfter(when);
  Append(advancing_ && cell.tick <= target_ ? kHeldBack : ListFor(cell.tick),
         index);
  ++size_;
  return uint64_t{cell.generation} << 32 | (index + 1);
}

bool TimerWheel::Cancel(Id id) {
  const auto number = static_cast<uint32_t>(id);
  if (number == 0 || number > cells_.size()) return false;
  const uint32_t index = number - 1;
  if (cells_[index].list == kFree || cells_[index].generation != id >> 32) {
    return false;
  }
  Release(index);
  return true;
}

int TimerWheel::FirstSlotAfter(int level, int slot) const {
  for (int at = slot + 1; at < kSlots; at = (at / 64 + 1) * 64) {
    const uint64_t rest = occupied_[level][at / 64] >> (at % 64);
    if (rest != 0) return at + std::countr_zero(rest);
  }
  return -1;
}

int64_t TimerWheel::NextTick() const {
  for (int level = 0; level < kLevels; ++level) {
    const int slot = FirstSlotAfter(level, ByteOf(current_, level));
    if (slot < 0) continue;
    // Where the slot's range begins: nothing in it is due earlier.
    const int64_t above = current_ >> (8 * (level + 1));
    return (above << 8 | slot) << (8 * level);
  }
  if (lists_[kFar].head == kNone) return INT64_MAX;
  constexpr int kBits = 8 * kLevels;
  return ((current_ >> kBits) + 1) << kBits;
}

void TimerWheel::Resort(uint16_t list) {
  uint32_t index = lists_[list].head;
  // Cells may go back to the list that they came from (kFar), so the end is
  // where it was at the start.
  const uint32_t last = lists_[list].tail;
  while (index != kNone) {
    const uint32_t next = cells_[index].next;
    Unlink(index);
    Append(ListFor(cells_[index].tick), index);
    if (index == last) break;
    index = next;
  }
}

void TimerWheel::StepTo(int64_t tick) {
  const int64_t before = current_;
  current_ = tick;
  if (before >> (8 * kLevels) != tick >> (8 * kLevels)) Resort(kFar);
  // The slots that begin at this tick, the widest first: what comes out of one
  // may lie in the next.
  for (int level = kLevels - 1; level >= 0; --level) {
    const int64_t within = tick & ((int64_t{1} << (8 * level)) - 1);
    if (within != 0) continue;
    Resort(static_cast<uint16_t>(level * kSlots + ByteOf(tick, level)));
  }
}

size_t TimerWheel::Advance(Micros now, size_t max,
                           absl::FunctionRef<void(uint64_t)> visit) {
  CHECK(!advancing_);
  advancing_ = true;
  // Rounded down: tick n is the point n * 10 ms, and it must have come.
  target_ = std::max(target_, now.us() / kTickUs);
  size_t fired = 0;
  while (fired < max) {
    if (const uint32_t index = lists_[kDue].head; index != kNone) {
      const uint64_t value = cells_[index].value;
      Release(index);
      ++fired;
      visit(value);
      continue;
    }
    if (current_ == target_) break;
    if (const int64_t next = NextTick(); next <= target_) {
      StepTo(next);
    } else {
      // Nothing lies between; every cell stays where it belongs, as its slot is
      // still ahead (invariant 1).
      current_ = target_;
    }
  }
  advancing_ = false;
  Resort(kHeldBack);
  return fired;
}

Micros TimerWheel::NextDue() const {
  if (size_ == 0) return Micros(INT64_MAX);
  const int64_t tick = lists_[kDue].head != kNone ? current_ : NextTick();
  return Micros(tick > INT64_MAX / kTickUs ? INT64_MAX : tick * kTickUs);
}

bool TimerWheel::Validate() const {
  size_t linked = 0;
  for (uint16_t list = 0; list < kLists; ++list) {
    uint32_t prev = kNone;
    for (uint32_t i = lists_[list].head; i != kNone; i = cells_[i].next) {
      const Cell& cell = cells_[i];
      if (cell.list != list || cell.prev != prev || ++linked > size_) {
        return false;
      }
      const bool held_back = advancing_ && list == kHeldBack;
      if (!held_back && list != ListFor(cell.tick)) return false;
      prev = i;
    }
    if (lists_[list].tail != prev) return false;
    if (list >= kWheelLists) continue;
    const int slot = list % kSlots;
    const bool bit =
        (occupied_[list / kSlots][slot / 64] >> (slot % 64) & 1) != 0;
    if (bit != (prev != kNone)) return false;
  }
  for (const uint32_t index : free_) {
    if (cells_[index].list != kFree) return false;
  }
  return linked == size_ && size_ + free_.size() == cells_.size() &&
         current_ <= target_;
}

std::string TimerWheel::Dump() const {
  std::string text = absl::StrFormat("tick %d, target %d, %d timers\n",
                                     current_, target_, size_);
  for (uint16_t list = 0; list < kLists; ++list) {
    for (uint32_t i = lists_[list].head; i != kNone; i = cells_[i].next) {
      const Cell& cell = cells_[i];
      const std::string where =
          list == kDue        ? "due"
          : list == kFar      ? "far"
          : list == kHeldBack ? "held back"
                              : absl::StrFormat("level %d slot %d",
                                                list / kSlots, list % kSlots);
      absl::StrAppendFormat(&text, "%s: tick %d value %d\n", where, cell.tick,
                            cell.value);
    }
  }
  return text;
}

}  // namespace sluice
