#ifndef SLUICE_TOOLS_LOAD_HISTOGRAM_H_
#define SLUICE_TOOLS_LOAD_HISTOGRAM_H_

#include <array>
#include <cstddef>
#include <cstdint>

namespace sluice::load {

// Counts of values whose size matters to about one part in 64.
//
// Below 128 each value has a bucket of its own. Above, every power of two is
// cut into 64 equal buckets, so what a quantile reports is at most 1/64 (1.6 %)
// above some value that was recorded, and never below it:
//
//   value   0 ... 127 | 128 ... 255  | 256 ... 511  | ...  | kMax
//   width       1     |      2       |      4       | ...
//
// Values above kMax are counted as kMax, and counted apart (clamped()).
//
// Thread: one.
class Histogram {
 public:
  static constexpr int kSubBits = 6;
  static constexpr int kMaxBits = 40;  // 2^40 ns: eighteen minutes
  static constexpr uint64_t kMax = (uint64_t{1} << kMaxBits) - 1;

  void Record(uint64_t value) noexcept;
  void Merge(const Histogram& other) noexcept;
  void Clear() noexcept { *this = Histogram(); }

  uint64_t count() const { return count_; }
  uint64_t clamped() const { return clamped_; }
  uint64_t min() const { return count_ == 0 ? 0 : min_; }
  uint64_t max() const { return max_; }
  double mean() const;
  // The smallest bucket bound that at least `q` (0..1] of the values do not
  // exceed, and never above max(). 0 when nothing was recorded.
  uint64_t Quantile(double q) const;

  // Where a value is counted, and the largest value counted there.
  static size_t BucketOf(uint64_t value) noexcept;
  static uint64_t UpperBound(size_t bucket) noexcept;

 private:
  static constexpr size_t kSub = size_t{1} << kSubBits;
  static constexpr size_t kBuckets = (kMaxBits - kSubBits + 1) * kSub;

  std::array<uint64_t, kBuckets> buckets_{};
  uint64_t count_ = 0;
  uint64_t clamped_ = 0;
  uint64_t min_ = kMax;
  uint64_t max_ = 0;
  double sum_ = 0;
};

}  // namespace sluice::load

#endif  // SLUICE_TOOLS_LOAD_HISTOGRAM_H_
