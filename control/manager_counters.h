#ifndef SLUICE_CONTROL_MANAGER_COUNTERS_H_
#define SLUICE_CONTROL_MANAGER_COUNTERS_H_

#include <cstdint>

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

}  // namespace sluice::control

#endif  // SLUICE_CONTROL_MANAGER_COUNTERS_H_
