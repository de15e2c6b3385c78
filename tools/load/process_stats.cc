#include "tools/load/process_stats.h"

#include <time.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <system_error>

#include "absl/strings/str_cat.h"

namespace sluice::load {

std::optional<ProcessStats> ReadProcessStats(pid_t pid) {
  ProcessStats stats;
  // The clock of a process has nanoseconds; /proc/PID/stat has hundredths of a
  // second, too coarse for a run of a few.
  clockid_t clock;
  timespec cpu;
  if (clock_getcpuclockid(pid, &clock) != 0 ||
      clock_gettime(clock, &cpu) != 0) {
    return std::nullopt;
  }
  stats.cpu_ns = static_cast<uint64_t>(cpu.tv_sec) * 1'000'000'000 +
                 static_cast<uint64_t>(cpu.tv_nsec);
  const std::string proc = absl::StrCat("/proc/", pid);
  std::ifstream statm(proc + "/statm");
  uint64_t size = 0, resident = 0;
  if (statm >> size >> resident) {
    stats.rss_bytes = resident * static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
  }
  std::error_code error;
  std::filesystem::directory_iterator it(proc + "/fd", error);
  for (; !error && it != std::filesystem::directory_iterator();
       it.increment(error)) {
    ++stats.fds;
  }
  return stats;
}

}  // namespace sluice::load
