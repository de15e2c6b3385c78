#ifndef SLUICE_TOOLS_CTL_WATCH_H_
#define SLUICE_TOOLS_CTL_WATCH_H_

#include <cstdint>

#include "tools/ctl/verbs.h"

namespace sluice::ctl {

struct WatchOptions {
  double interval_s = 2;
  uint64_t count = 0;  // how many times; 0: until interrupted
};

// Every counter of every shard, once.
ExitCode Stats(const Session& session);
// The same again and again, with what changed each second.
ExitCode WatchStats(const Session& session, const WatchOptions& options);
// The busiest calls and how busy each shard is; redraws a terminal, else prints
// one picture after the other.
ExitCode Top(const Session& session, const WatchOptions& options);

}  // namespace sluice::ctl

#endif  // SLUICE_TOOLS_CTL_WATCH_H_
