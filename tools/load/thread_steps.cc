#include "tools/load/thread_steps.h"

#include <pthread.h>
#include <sched.h>
#include <time.h>

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "base/net/socket.h"
#include "tools/load/worker.h"

namespace sluice::load {

void PauseFor(double seconds) {
  timespec ts;
  ts.tv_sec = static_cast<time_t>(seconds);
  ts.tv_nsec =
      static_cast<long>((seconds - static_cast<double>(ts.tv_sec)) * 1e9);
  nanosleep(&ts, nullptr);
}

bool PauseThrough(double seconds, const std::atomic<bool>& stop,
                  const std::function<void(double)>& each_second) {
  const uint64_t began = NowNs();
  double told = 1;
  while (!stop.load(std::memory_order_relaxed)) {
    const double at = static_cast<double>(NowNs() - began) * 1e-9;
    if (at >= seconds) return true;
    if (at >= told) {
      each_second(at);
      told += 1;
    }
    PauseFor(std::min(0.05, seconds - at));
  }
  return false;
}

absl::Status PinToCore(std::thread& thread, int core) {
  if (core < 0 || core >= CPU_SETSIZE) {
    return absl::InvalidArgumentError(absl::StrCat("no core ", core));
  }
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(core, &set);
  const int error =
      pthread_setaffinity_np(thread.native_handle(), sizeof set, &set);
  if (error != 0) {
    return net::ErrnoStatus(error, absl::StrCat("pin to core ", core));
  }
  return absl::OkStatus();
}

}  // namespace sluice::load
