#ifndef SLUICE_BASE_CELL_H_
#define SLUICE_BASE_CELL_H_

#include <atomic>

namespace sluice {

// A number that one thread writes and any thread may read, without tearing and
// without ordering: a counter, a "last seen". On x86-64 it costs what a plain
// variable costs (no locked instruction). Only the owner may call Set and Add.
template <typename T>
class Cell {
 public:
  constexpr Cell() = default;
  constexpr explicit Cell(T value) : value_(value) {}
  Cell(const Cell& other) noexcept : value_(other.Get()) {}
  Cell& operator=(const Cell& other) noexcept {
    Set(other.Get());
    return *this;
  }
  T Get() const noexcept { return value_.load(std::memory_order_relaxed); }
  void Set(T value) noexcept { value_.store(value, std::memory_order_relaxed); }
  void Add(T n) noexcept { Set(static_cast<T>(Get() + n)); }

 private:
  std::atomic<T> value_{};
  static_assert(std::atomic<T>::is_always_lock_free);
};

}  // namespace sluice

#endif  // SLUICE_BASE_CELL_H_
