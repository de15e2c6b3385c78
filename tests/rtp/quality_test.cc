#include "rtp/quality.h"

#include <limits>

#include "gtest/gtest.h"

namespace sluice::rtp {
namespace {

struct Case {
  const char* name = "";
  MosInput input{};
  double want = 0;
};

// Worked out apart from this code, from the formulas in the header.
const Case kCases[] = {
    {.name = "49 packets say nothing",
     .input = {.received = 49, .expected = 49},
     .want = 0},
    {.name = "a clean road: R = 93.2",
     .input = {.received = 50, .expected = 50},
     .want = 4.409},
    {.name = "1 % lost: R = 89.560",
     .input = {.received = 990, .expected = 1000},
     .want = 4.3281},
    {.name = "10 % lost: R = 66.134",
     .input = {.received = 900, .expected = 1000},
     .want = 3.4109},
    {.name = "half lost: R = 29.951",
     .input = {.received = 500, .expected = 1000},
     .want = 1.6070},
    {.name = "duplicates make up for no loss",
     .input = {.received = 1000, .expected = 1000, .duplicates = 10},
     .want = 4.3281},
    {.name = "more received than expected is no loss",
     .input = {.received = 1010, .expected = 1000},
     .want = 4.409},
    {.name = "Ta = 100 ms is still free",
     .input = {.received = 50, .expected = 50, .rtt_ms = 200},
     .want = 4.409},
    {.name = "jitter counts twice: Ta = 100 ms",
     .input = {.received = 50, .expected = 50, .jitter_ms = 50},
     .want = 4.409},
    {.name = "Ta = 400 ms: Id = 24.070, R = 69.130",
     .input = {.received = 50, .expected = 50, .rtt_ms = 800},
     .want = 3.5559},
    {.name = "Ta = 400 ms, half of it from jitter",
     .input = {.received = 50, .expected = 50, .jitter_ms = 100, .rtt_ms = 400},
     .want = 3.5559},
    {.name = "a minute of delay: Id = 49.955, R = 43.245",
     .input = {.received = 50, .expected = 50, .rtt_ms = 120'000},
     .want = 2.2257},
};

TEST(EstimateMos, FollowsTheEModel) {
  for (const Case& c : kCases) {
    EXPECT_NEAR(EstimateMos(c.input), c.want, 0.001) << c.name;
  }
}

TEST(EstimateMos, StaysOnTheScaleWhateverTheBooksSay) {
  constexpr uint64_t kMax = std::numeric_limits<uint64_t>::max();
  constexpr double kInf = std::numeric_limits<double>::infinity();
  const double kNan = std::numeric_limits<double>::quiet_NaN();
  for (const uint64_t received : {uint64_t{50}, uint64_t{1000}, kMax}) {
    for (const uint64_t expected : {uint64_t{0}, uint64_t{51}, kMax}) {
      for (const uint64_t duplicates : {uint64_t{0}, uint64_t{60}, kMax}) {
        for (const double ms : {0.0, -5.0, 1e-3, 150.0, 1e9, kInf, kNan}) {
          const double mos = EstimateMos({.received = received,
                                          .expected = expected,
                                          .duplicates = duplicates,
                                          .jitter_ms = ms,
                                          .rtt_ms = ms});
          EXPECT_GE(mos, 1) << received << " " << expected << " " << ms;
          EXPECT_LE(mos, 4.41) << received << " " << expected << " " << ms;
        }
      }
    }
  }
}

TEST(EstimateMos, NeverRisesWithLossOrDelay) {
  double before = 5;
  for (uint64_t lost = 0; lost <= 900; lost += 10) {
    const double mos = EstimateMos({.received = 1000 - lost, .expected = 1000});
    EXPECT_LT(mos, before) << lost;
    before = mos;
  }
  before = 5;
  for (double rtt_ms = 0; rtt_ms < 2000; rtt_ms += 10) {
    const double mos =
        EstimateMos({.received = 1000, .expected = 1000, .rtt_ms = rtt_ms});
    EXPECT_LE(mos, before) << rtt_ms;
    before = mos;
  }
}

TEST(MosInputOf, AddsTheListenersHalfOfTheRoad) {
  StreamQuality quality;
  quality.received = 7;
  quality.expected = 8;
  quality.duplicates = 1;
  quality.jitter_ms = 2.5;
  quality.rtt_ms = 30;
  const MosInput input = MosInputOf(quality, 12);
  EXPECT_EQ(input.received, 7u);
  EXPECT_EQ(input.expected, 8u);
  EXPECT_EQ(input.duplicates, 1u);
  EXPECT_EQ(input.jitter_ms, 2.5);
  EXPECT_EQ(input.rtt_ms, 42);
}

}  // namespace
}  // namespace sluice::rtp
