#include "rtp/quality.h"

#include <algorithm>
#include <cmath>

namespace sluice::rtp {
namespace {

constexpr double kRDefault = 93.2;
constexpr double kIe = 0;
constexpr double kBpl = 25.1;
constexpr double kBurstR = 1;
constexpr double kFreeDelayMs = 100;  // shorter ones do not disturb a talk

double LossPercent(const MosInput& input) {
  const uint64_t unique =
      input.received - std::min(input.received, input.duplicates);
  if (input.expected <= unique) return 0;
  return 100.0 * static_cast<double>(input.expected - unique) /
         static_cast<double>(input.expected);
}

double DelayImpairment(double one_way_ms) {
  if (!(one_way_ms > kFreeDelayMs)) return 0;
  const double x = std::log2(one_way_ms / kFreeDelayMs);
  const auto root = [](double base) {
    return std::pow(1 + std::pow(base, 6), 1.0 / 6);
  };
  return 25 * (root(x) - 3 * root(x / 3) + 2);
}

double MosOfR(double r) {
  if (r <= 0) return 1;
  if (r >= 100) return 4.5;
  // The cubic dips below 1 for the smallest R.
  return std::max(1.0, 1 + 0.035 * r + 7e-6 * r * (r - 60) * (100 - r));
}

}  // namespace

MosInput MosInputOf(const StreamQuality& from, double listener_rtt_ms) {
  return {.received = from.received,
          .expected = from.expected,
          .duplicates = from.duplicates,
          .jitter_ms = from.jitter_ms,
          .rtt_ms = from.rtt_ms + listener_rtt_ms};
}

double EstimateMos(const MosInput& input) {
  if (input.received < kMosPacketsMin) return 0;
  const double loss = LossPercent(input);
  const double equipment = kIe + (95 - kIe) * loss / (loss / kBurstR + kBpl);
  const double one_way_ms =
      std::max(0.0, input.rtt_ms) / 2 + 2 * std::max(0.0, input.jitter_ms);
  return MosOfR(kRDefault - DelayImpairment(one_way_ms) - equipment);
}

}  // namespace sluice::rtp
