#ifndef SLUICE_TOOLS_LOAD_SIP_TALLY_H_
#define SLUICE_TOOLS_LOAD_SIP_TALLY_H_

#include <cstdint>

#include "base/cell.h"

namespace sluice::load {

// What one worker has counted since it was made. Written by the worker, read by
// the thread that reports.
struct SipTally {
#define SIP_TALLY(name, help) Cell<uint64_t> name;
#include "tools/load/sip_tally.def"
#undef SIP_TALLY
};

// A sum of tallies at a moment, or the difference of two moments.
struct SipTotals {
#define SIP_TALLY(name, help) uint64_t name = 0;
#include "tools/load/sip_tally.def"
#undef SIP_TALLY

  void Add(const SipTally& tally) {
#define SIP_TALLY(name, help) name += tally.name.Get();
#include "tools/load/sip_tally.def"
#undef SIP_TALLY
  }
  SipTotals Since(const SipTotals& before) const {
    SipTotals d;
#define SIP_TALLY(name, help) d.name = name - before.name;
#include "tools/load/sip_tally.def"
#undef SIP_TALLY
    return d;
  }
  // Messages that arrived somewhere: those that a proxy in between forwarded,
  // or answered itself.
  uint64_t messages() const { return uac_received + uas_received; }
  uint64_t under_way() const { return started - answered - failed - timed_out; }
  double failed_share() const {
    return started == 0 ? 0
                        : static_cast<double>(started - answered) /
                              static_cast<double>(started);
  }
};

}  // namespace sluice::load

#endif  // SLUICE_TOOLS_LOAD_SIP_TALLY_H_
