// Goal: what the histogram says of the delays is true to a part in 64.
// Method: the bucket functions over their whole range, and quantiles against a
// sorted list of random values from a printed seed.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <vector>

#include "tools/load/histogram.h"

namespace sluice::load {
namespace {

TEST(HistogramTest, EveryValueLiesAtMostOneSixtyFourthBelowItsBucketsBound) {
  for (int bits = 0; bits < Histogram::kMaxBits; ++bits) {
    const uint64_t power = uint64_t{1} << bits;
    for (const uint64_t value :
         {power - 1, power, power + 1, power + power / 3, 2 * power - 1}) {
      if (value > Histogram::kMax) continue;
      const uint64_t bound = Histogram::UpperBound(Histogram::BucketOf(value));
      EXPECT_GE(bound, value);
      EXPECT_LE(bound - value, value / 64) << value;
    }
  }
}

TEST(HistogramTest, BucketsFollowEachOtherWithoutAGap) {
  const size_t last = Histogram::BucketOf(Histogram::kMax);
  for (size_t bucket = 0; bucket < last; ++bucket) {
    EXPECT_EQ(Histogram::BucketOf(Histogram::UpperBound(bucket)), bucket);
    EXPECT_EQ(Histogram::BucketOf(Histogram::UpperBound(bucket) + 1),
              bucket + 1);
  }
  EXPECT_EQ(Histogram::UpperBound(last), Histogram::kMax);
}

TEST(HistogramTest, QuantilesAreThoseOfTheSortedValues) {
  const auto seed = std::random_device()();
  SCOPED_TRACE(seed);
  std::mt19937_64 random(seed);
  std::lognormal_distribution<double> delay(10, 2);
  Histogram histogram;
  std::vector<uint64_t> values;
  for (int i = 0; i < 20000; ++i) {
    values.push_back(static_cast<uint64_t>(delay(random)));
    histogram.Record(values.back());
  }
  std::sort(values.begin(), values.end());
  for (const double q : {0.001, 0.1, 0.5, 0.9, 0.99, 0.999, 1.0}) {
    const auto rank =
        static_cast<size_t>(std::ceil(q * static_cast<double>(values.size())));
    const uint64_t exact = values[rank - 1];
    EXPECT_GE(histogram.Quantile(q), exact) << q;
    EXPECT_LE(histogram.Quantile(q), exact + exact / 64) << q;
  }
  EXPECT_EQ(histogram.count(), values.size());
  EXPECT_EQ(histogram.min(), values.front());
  EXPECT_EQ(histogram.max(), values.back());
  EXPECT_EQ(histogram.Quantile(1), values.back());
}

TEST(HistogramTest, AnEmptyOneSaysZero) {
  const Histogram histogram;
  EXPECT_EQ(histogram.Quantile(0.5), 0u);
  EXPECT_EQ(histogram.min(), 0u);
  EXPECT_EQ(histogram.max(), 0u);
  EXPECT_EQ(histogram.mean(), 0);
}

TEST(HistogramTest, ATooLargeValueIsClampedAndCounted) {
  Histogram histogram;
  histogram.Record(Histogram::kMax + 1);
  histogram.Record(UINT64_MAX);
  histogram.Record(Histogram::kMax);
  EXPECT_EQ(histogram.clamped(), 2u);
  EXPECT_EQ(histogram.count(), 3u);
  EXPECT_EQ(histogram.max(), Histogram::kMax);
}

TEST(HistogramTest, AMergeIsTheHistogramOfBoth) {
  Histogram a, b, both;
  for (uint64_t v = 1; v < 5000; v += 7) {
    (v % 2 == 0 ? a : b).Record(v * v);
    both.Record(v * v);
  }
  a.Merge(b);
  EXPECT_EQ(a.count(), both.count());
  EXPECT_EQ(a.min(), both.min());
  EXPECT_EQ(a.max(), both.max());
  EXPECT_DOUBLE_EQ(a.mean(), both.mean());
  for (const double q : {0.01, 0.5, 0.77, 0.99}) {
    EXPECT_EQ(a.Quantile(q), both.Quantile(q));
  }
}

}  // namespace
}  // namespace sluice::load
