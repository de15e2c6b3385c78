#ifndef SLUICE_BASE_CHECK_H_
#define SLUICE_BASE_CHECK_H_

#include <cstdio>
#include <cstdlib>

namespace sluice {

[[noreturn]] inline void CheckFailed(const char* expression, const char* file,
                                     int line) noexcept {
  std::fprintf(stderr, "%s:%d: CHECK failed: %s\n", file, line, expression);
  std::abort();
}

}  // namespace sluice

// A bug of ours ends the process: going on would relay somebody's call on
// broken books. Nothing a peer sends may be able to reach one (L9).
#define CHECK(condition)        \
  (static_cast<bool>(condition) \
       ? static_cast<void>(0)   \
       : ::sluice::CheckFailed(#condition, __FILE__, __LINE__))

// The same on the packet path: compiled in where SLUICE_DCHECK is defined,
// which the sanitizer and fuzz builds do.
#ifdef SLUICE_DCHECK
#define DCHECK(condition) CHECK(condition)
#else
#define DCHECK(condition) static_cast<void>(sizeof(condition))
#endif

#endif  // SLUICE_BASE_CHECK_H_
