#ifndef SLUICE_BASE_CLOCK_H_
#define SLUICE_BASE_CLOCK_H_

#include <time.h>

#include "base/types.h"

namespace sluice {

// The monotonic clock: steps of the wall clock move no call timer (F13).
// CLOCK_BOOTTIME so that a suspended machine's dead calls are seen as old.
struct SystemClock {
  static Micros Now() noexcept {
    timespec ts;
    clock_gettime(CLOCK_BOOTTIME, &ts);
    return Micros(int64_t{ts.tv_sec} * 1'000'000 + ts.tv_nsec / 1'000);
  }
};

}  // namespace sluice

#endif  // SLUICE_BASE_CLOCK_H_
