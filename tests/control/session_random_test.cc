// Goal: whatever proxies ask for, in any order, while sockets and flows fail
// and shards are slow to close, the manager's books are right after every verb,
// and when all is over every port is back (L5).
// Method: random verbs over few names from a printed seed; the fake plane holds
// the manager to its contract by CHECK; Validate and the views every turn.

#include <gtest/gtest.h>

#include <cstdlib>
#include <map>
#include <string>

#include "tests/control/random_world.h"

namespace sluice::control {
namespace {

constexpr int kVerbs = 6000;

TEST(RandomWorld, BooksAreRightAfterEveryVerbAndEveryPortComesBack) {
  const char* from_outside = std::getenv("SLUICE_TEST_SEED");
  const uint64_t first =
      from_outside != nullptr ? std::strtoull(from_outside, nullptr, 10) : 1;
  std::map<std::string, uint64_t> seen;
  for (uint64_t seed = first; seed < first + 6; ++seed) {
    for (const int fail_every : {0, 13, 3}) {
      SCOPED_TRACE("SLUICE_TEST_SEED=" + std::to_string(seed) +
                   ", failing every " + std::to_string(fail_every));
      RandomWorld world(seed, fail_every);
      for (int i = 0; i < kVerbs / 3; ++i) {
        world.Step();
        world.CheckBooks();
        if (HasFatalFailure()) return;
      }
      world.End();
      if (HasFatalFailure()) return;
      world.Count(seen);
    }
  }
  // It has been everywhere: what random verbs on this world cannot do is only
  // what they never say.
  for (const auto& [name, times] : seen) {
    if (name == "allocate_invalid" || name == "allocate_no_interface" ||
        name == "allocate_too_many_flows" || name == "allocate_draining" ||
        name == "allocate_call_full" || name == "activate_invalid" ||
        name == "allocate_no_ports") {
      continue;
    }
    EXPECT_GT(times, 0u) << name;
  }
}

}  // namespace
}  // namespace sluice::control
