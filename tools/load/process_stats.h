#ifndef SLUICE_TOOLS_LOAD_PROCESS_STATS_H_
#define SLUICE_TOOLS_LOAD_PROCESS_STATS_H_

#include <sys/types.h>

#include <cstdint>
#include <optional>

namespace sluice::load {

// What the kernel says of a process, ours or another's.
struct ProcessStats {
  uint64_t cpu_ns = 0;  // all its threads together, user and kernel
  uint64_t rss_bytes = 0;
  uint64_t fds = 0;
};

// nullopt when there is no such process. Descriptors are 0 when /proc does not
// let us count them.
std::optional<ProcessStats> ReadProcessStats(pid_t pid);

}  // namespace sluice::load

#endif  // SLUICE_TOOLS_LOAD_PROCESS_STATS_H_
