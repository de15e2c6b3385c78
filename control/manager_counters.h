#ifndef SLUICE_CONTROL_MANAGER_COUNTERS_H_
#define SLUICE_CONTROL_MANAGER_COUNTERS_H_

#include <cstdint>

#include "absl/status/status.h"
#include "relay/counters.h"

namespace sluice::control {

// What the session manager counts, by manager.def.
//
// Thread: control only.
struct ManagerCounters {
#define OUTCOME(name, help) uint64_t name = 0;
#include "control/manager.def"
#undef OUTCOME

  // visit(name, value) for every line, in the order of the file.
  template <typename Visit>
  void ForEach(Visit&& visit) const {
#define OUTCOME(name, help) visit(#name, name);
#include "control/manager.def"
#undef OUTCOME
  }
};

// The same lines with their help texts, in the same order.
inline constexpr relay::NamedNumber kManagerOutcomes[] = {
#define OUTCOME(name, help) {#name, help},
#include "control/manager.def"
#undef OUTCOME
};

// A refusal and the counter that tells of it.
inline absl::Status Count(uint64_t& counter, absl::Status refusal) {
  ++counter;
  return refusal;
}

}  // namespace sluice::control

#endif  // SLUICE_CONTROL_MANAGER_COUNTERS_H_
