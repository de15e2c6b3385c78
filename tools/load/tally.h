#ifndef SLUICE_TOOLS_LOAD_TALLY_H_
#define SLUICE_TOOLS_LOAD_TALLY_H_

#include <cstdint>

#include "base/cell.h"

namespace sluice::load {

// What one worker has counted since it was made. Written by the worker, read by
// the thread that reports.
struct Tally {
#define TALLY(name, help) Cell<uint64_t> name;
#include "tools/load/tally.def"
#undef TALLY
};

// A sum of tallies at a moment, or the difference of two moments.
struct Totals {
#define TALLY(name, help) uint64_t name = 0;
#include "tools/load/tally.def"
#undef TALLY

  void Add(const Tally& tally) {
#define TALLY(name, help) name += tally.name.Get();
#include "tools/load/tally.def"
#undef TALLY
  }
  Totals Since(const Totals& before) const {
    Totals d;
#define TALLY(name, help) d.name = name - before.name;
#include "tools/load/tally.def"
#undef TALLY
    return d;
  }
  // What was sent and has not arrived intact where it belongs.
  uint64_t lost() const { return sent > received ? sent - received : 0; }
  uint64_t rtcp_lost() const {
    return rtcp_sent > rtcp_received ? rtcp_sent - rtcp_received : 0;
  }
  // Faults that no honest relay has, whatever the load.
  uint64_t faults() const {
    return reordered + duplicates + too_old + misrouted + wrong_source +
           corrupted;
  }
};

}  // namespace sluice::load

#endif  // SLUICE_TOOLS_LOAD_TALLY_H_
