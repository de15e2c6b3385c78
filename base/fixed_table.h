#ifndef SLUICE_BASE_FIXED_TABLE_H_
#define SLUICE_BASE_FIXED_TABLE_H_

#include <sys/mman.h>

#include <cstddef>
#include <cstdint>

#include "base/check.h"

namespace sluice {

// A table of fixed size whose memory is reserved whole and touched only as its
// slots come into use (SlotMap gives out the lowest first), so that a generous
// capacity costs nothing. All octets of an unused slot are zero: T must take
// that for "free", and is never constructed or destroyed.
template <typename T>
class FixedTable {
 public:
  explicit FixedTable(uint32_t capacity) : capacity_(capacity) {
    void* memory = mmap(nullptr, bytes(), PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    CHECK(memory != MAP_FAILED);
    slots_ = static_cast<T*>(memory);
  }
  ~FixedTable() { munmap(static_cast<void*>(slots_), bytes()); }
  FixedTable(const FixedTable&) = delete;
  FixedTable& operator=(const FixedTable&) = delete;

  T& operator[](uint32_t index) { return slots_[index]; }
  const T& operator[](uint32_t index) const { return slots_[index]; }
  uint32_t capacity() const { return capacity_; }

 private:
  size_t bytes() const { return sizeof(T) * capacity_; }
  uint32_t capacity_;
  T* slots_;
};

}  // namespace sluice

#endif  // SLUICE_BASE_FIXED_TABLE_H_
