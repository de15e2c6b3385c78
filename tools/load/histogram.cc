#include "tools/load/histogram.h"

#include <algorithm>
#include <bit>
#include <cmath>

namespace sluice::load {

// With e = (width of value in bits) - 1 and e >= kSubBits, the top kSubBits + 1
// bits are a number m in [64, 127]; the bucket is 64 * (e - kSubBits) + m. For
// e == kSubBits that is the value itself, so the linear part joins seamlessly.
size_t Histogram::BucketOf(uint64_t value) noexcept {
  value = std::min(value, kMax);
  if (value < kSub) return value;
  const int shift = std::bit_width(value) - 1 - kSubBits;
  return static_cast<size_t>(shift) * kSub + (value >> shift);
}

uint64_t Histogram::UpperBound(size_t bucket) noexcept {
  if (bucket < 2 * kSub) return bucket;
  const size_t shift = bucket / kSub - 1;
  const uint64_t mantissa = kSub + bucket % kSub;
  return ((mantissa + 1) << shift) - 1;
}

void Histogram::Record(uint64_t value) noexcept {
  if (value > kMax) {
    ++clamped_;
    value = kMax;
  }
  ++buckets_[BucketOf(value)];
  ++count_;
  min_ = std::min(min_, value);
  max_ = std::max(max_, value);
  sum_ += static_cast<double>(value);
}

void Histogram::Merge(const Histogram& other) noexcept {
  for (size_t i = 0; i < kBuckets; ++i) buckets_[i] += other.buckets_[i];
  count_ += other.count_;
  clamped_ += other.clamped_;
  min_ = std::min(min_, other.min_);
  max_ = std::max(max_, other.max_);
  sum_ += other.sum_;
}

double Histogram::mean() const {
  return count_ == 0 ? 0 : sum_ / static_cast<double>(count_);
}

uint64_t Histogram::Quantile(double q) const {
  if (count_ == 0) return 0;
  const double wanted = std::ceil(q * static_cast<double>(count_));
  const uint64_t rank =
      std::clamp<uint64_t>(static_cast<uint64_t>(wanted), 1, count_);
  uint64_t seen = 0;
  for (size_t i = 0; i < kBuckets; ++i) {
    seen += buckets_[i];
    if (seen >= rank) return std::min(UpperBound(i), max_);
  }
  return max_;
}

}  // namespace sluice::load
