#include "base/nearest.h"

#include <string>
#include <vector>

#include "gtest/gtest.h"

namespace sluice {
namespace {

TEST(Nearest, IsTheWordWithTheFewestChanges) {
  const std::vector<std::string> verbs = {"status", "calls", "call", "close",
                                          "stats"};
  EXPECT_EQ(Nearest("stauts", verbs), "status");
  EXPECT_EQ(Nearest("cal", verbs), "call");
  EXPECT_EQ(Nearest("callls", verbs), "calls");
  EXPECT_EQ(Nearest("clse", verbs), "close");
  EXPECT_EQ(Nearest("stas", verbs), "stats");
}

TEST(Nearest, CountsNeighboursThatChangedPlacesAsOneChange) {
  EXPECT_EQ(Nearest("abdc", {"abzz", "abcd"}), "abcd");
  EXPECT_EQ(Nearest("ba", {"xay", "ab"}), "ab");
}

TEST(Nearest, IsTheFirstWhereSeveralAreAsNear) {
  EXPECT_EQ(Nearest("zz", {"aa", "bb"}), "aa");
  EXPECT_EQ(Nearest("", {"ab", "c", "d"}), "c");
}

}  // namespace
}  // namespace sluice
