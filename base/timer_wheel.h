#ifndef SLUICE_BASE_TIMER_WHEEL_H_
#define SLUICE_BASE_TIMER_WHEEL_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "base/types.h"

namespace sluice {

// A hierarchical timer wheel: 4 levels of 256 slots over 10 ms ticks, so up to
// about 497 days ahead; later ones wait in a list beside the last level and are
// sorted in when it has gone round. Schedule, Cancel and one expiry are O(1);
// timers are cells of a growing pool, linked by index.
//
// A timer carries a 64-bit value of the owner's. It never fires early: `when`
// is rounded up to a tick. Time never goes back: an earlier `now` is taken as
// the last one.
//
//   tick   = | byte 3 | byte 2 | byte 1 | byte 0 |   (and higher ones)
//   level  =  that of the highest byte in which tick and current_ differ,
//   slot   =  that byte of tick.
//
// Invariants:
//  (1) A cell in the wheel has tick > current_, and lies where the drawing
//  says;
//      so everything in a level is due before anything in the next, and a slot
//      is always ahead of current_'s byte of its level.
//  (2) A cell with tick <= current_ is in the due list.
//  (3) A bit of occupied_ says whether its slot has cells.
class TimerWheel {
 public:
  using Id = uint64_t;  // generation << 32 | cell + 1; 0 is never given out

  explicit TimerWheel(Micros start);

  Id Schedule(Micros when, uint64_t value);
  // False when it has fired or was cancelled before.
  bool Cancel(Id id);
  // Fires everything due by `now`, earliest tick first; `visit` may schedule
  // and cancel (what it schedules for the past fires in the next Advance).
  // At most `max` are fired; returns how many were.
  size_t Advance(Micros now, size_t max,
                 absl::FunctionRef<void(uint64_t)> visit);
  // When Advance should be called next, never later than the earliest timer;
  // Micros(INT64_MAX) when empty.
  Micros NextDue() const;
  size_t size() const { return size_; }

  // The structure's own invariants, for tests.
  bool Validate() const;
  std::string Dump() const;

 private:
  static constexpr int64_t kTickUs = 10'000;
  static constexpr int kLevels = 4;
  static constexpr int kSlots = 256;
  // The lists: the wheel's slots, level by level, and three more.
  static constexpr uint16_t kWheelLists = kLevels * kSlots;
  static constexpr uint16_t kDue = kWheelLists;
  // What visit() schedules for a time that this Advance has yet to reach or has
  // passed: held back until it returns, or a timer that schedules itself for
  // now would keep Advance for ever.
  static constexpr uint16_t kHeldBack = kWheelLists + 1;
  static constexpr uint16_t kFar = kWheelLists + 2;
  static constexpr uint16_t kLists = kWheelLists + 3;
  static constexpr uint16_t kFree = kLists;  // in no list: in free_
  static constexpr uint32_t kNone = UINT32_MAX;

  struct Cell {
    uint64_t value = 0;
    int64_t tick = 0;
    uint32_t generation = 1;
    uint32_t next = kNone;
    uint32_t prev = kNone;
    uint16_t list = kFree;
  };
  struct List {
    uint32_t head = kNone;
    uint32_t tail = kNone;
  };

  static int64_t TickAtOrAfter(Micros when);
  uint16_t ListFor(int64_t tick) const;
  void Append(uint16_t list, uint32_t index);
  void Unlink(uint32_t index);
  void Release(uint32_t index);
  // Empties `list`, sorting its cells in again around the current tick.
  void Resort(uint16_t list);
  // The first tick after current_ at which a slot must be looked at; INT64_MAX
  // when nothing is in the wheel.
  int64_t NextTick() const;
  // Moves current_ to `tick` (= NextTick()) and what is due then to kDue.
  void StepTo(int64_t tick);
  int FirstSlotAfter(int level, int slot) const;

  std::vector<Cell> cells_;
  std::vector<uint32_t> free_;
  std::array<List, kLists> lists_{};
  std::array<std::array<uint64_t, kSlots / 64>, kLevels> occupied_{};
  size_t size_ = 0;
  int64_t current_;  // every tick up to this one has been stepped through
  int64_t target_;   // the latest `now` there was; >= current_
  bool advancing_ = false;
};

}  // namespace sluice

#endif  // SLUICE_BASE_TIMER_WHEEL_H_
