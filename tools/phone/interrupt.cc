#include "tools/phone/interrupt.h"

#include <signal.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdint>
#include <cstring>

#include "absl/strings/str_cat.h"

namespace sluice::phone {
namespace {

std::atomic<int> g_count{0};
std::atomic<int> g_wake{-1};
static_assert(std::atomic<int>::is_always_lock_free);

void OnSignal(int number) {
  if (g_count.fetch_add(1, std::memory_order_relaxed) >= 1) {
    signal(number, SIG_DFL);
  }
  const int error = errno;
  const uint64_t one = 1;
  // A counter that is full is readable all the same.
  [[maybe_unused]] const ssize_t wrote =
      write(g_wake.load(std::memory_order_relaxed), &one, sizeof(one));
  errno = error;
}

}  // namespace

absl::StatusOr<Interrupt> Interrupt::Catch() {
  net::Fd wake(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
  if (!wake) {
    return absl::UnavailableError(
        absl::StrCat("eventfd: ", std::strerror(errno)));
  }
  g_wake.store(wake.get(), std::memory_order_relaxed);
  struct sigaction action = {};
  action.sa_handler = OnSignal;
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
  return Interrupt(std::move(wake));
}

int Interrupt::Count() { return g_count.load(std::memory_order_relaxed); }

void Interrupt::Clear() {
  uint64_t count = 0;
  [[maybe_unused]] const ssize_t got = read(wake_.get(), &count, sizeof(count));
}

}  // namespace sluice::phone
