// Goal: what a decode costs is bounded by its limits, whatever it is given, and
// the limits hold everything that a real proxy sends.
// Method: values at, below and beyond each limit, with every allocation
// counted.

#include <gtest/gtest.h>
#include <malloc.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <new>
#include <string>

#include "base/check.h"
#include "control/storable.h"
#include "tests/control/hex.h"

// Every allocation of this program passes here, so that a test can say how much
// a decode took at its worst moment.
namespace {
size_t heap_now = 0;
size_t heap_peak = 0;

// Not inlined: GCC would otherwise see malloc() meet operator delete.
[[gnu::noinline]] void* Take(size_t bytes) {
  void* block = std::malloc(bytes);
  CHECK(block != nullptr);
  heap_now += malloc_usable_size(block);
  heap_peak = std::max(heap_peak, heap_now);
  return block;
}
[[gnu::noinline]] void Give(void* block) {
  if (block != nullptr) heap_now -= malloc_usable_size(block);
  std::free(block);
}
}  // namespace

void* operator new(size_t bytes) { return Take(bytes); }
void* operator new(size_t bytes, const std::nothrow_t&) noexcept {
  return Take(bytes);
}
void operator delete(void* block) noexcept { Give(block); }
void operator delete(void* block, size_t) noexcept { Give(block); }

namespace sluice::control::storable {
namespace {

using List = Value::List;

TEST(StorableLimits, StopsAtItsDepth) {
  auto lists = [](int n) {
    std::string hex = "050b";
    for (int i = 0; i < n; ++i) hex += "04 02 00000001";
    return Hex(hex + "05");
  };
  EXPECT_TRUE(Decode(lists(8)).ok());
  EXPECT_EQ(Decode(lists(9)).status().code(),
            absl::StatusCode::kResourceExhausted);
  EXPECT_FALSE(Decode(lists(10'000)).ok());
  EXPECT_TRUE(Decode(lists(9), {.levels_max = 18}).ok());
  // Bare references and bare lists are levels too.
  EXPECT_FALSE(Decode("\x05\x0b" + std::string(100'000, '\x04')).ok());
  std::string bare = "050b";
  for (int i = 0; i < 17; ++i) bare += "02 00000001";
  EXPECT_FALSE(Decode(Hex(bare + "05")).ok());
  std::string maps = "050b";
  for (int i = 0; i < 17; ++i) maps += "03 00000001";
  EXPECT_FALSE(Decode(Hex(maps) + std::string(200, '\0')).ok());
}

// A list of ten, then lists of ten references to the one before.
std::string Bomb(int levels, int width) {
  std::string hex = "050b 02 ";
  char number[9];
  auto u32 = [&](int n) {
    std::snprintf(number, sizeof(number), "%08x", n);
    return std::string(number);
  };
  hex += u32(levels + 1);
  hex += "04 02" + u32(width);
  for (int i = 0; i < width; ++i) hex += "0881";
  int target = 2;  // the list's own number
  int next = 3 + width;
  for (int level = 0; level < levels; ++level) {
    hex += "04 02" + u32(width);
    for (int i = 0; i < width; ++i) hex += "04 00" + u32(target);
    target = next + 1;
    next += 2 + width;
  }
  return Hex(hex);
}

TEST(StorableLimits, RefusesExpansionBombsWithinItsBudgets) {
  const auto small = Decode(Bomb(2, 10));
  ASSERT_TRUE(small.ok()) << small.status();
  EXPECT_EQ((*small->list())[2].list()->size(), 10u);

  heap_peak = heap_now;
  const size_t before = heap_now;
  for (int width : {2, 10, 100, 1000}) {
    EXPECT_EQ(Decode(Bomb(20, width), {.levels_max = 100}).status().code(),
              absl::StatusCode::kResourceExhausted)
        << width;
  }
  EXPECT_LT(heap_peak - before, 8u << 20);
  EXPECT_EQ(heap_now, before);

  // One long string, said again and again.
  std::string strings = Hex("050b 02 00000401 01 00010000");
  strings += std::string(65536, 'x');
  for (int i = 0; i < 1024; ++i) strings += Hex("00 00000001");
  EXPECT_EQ(Decode(strings).status().code(),
            absl::StatusCode::kResourceExhausted);
}

TEST(StorableLimits, ReservesNothingForCountsBeyondTheOctets) {
  for (const char* hex :
       {"050b 02 7fffffff 05", "050b 03 7fffffff 05000000 00",
        "050b 19 01 7fffffff 0500000000 00", "050b 01 7fffffff 61"}) {
    const std::string frame = Hex(hex);
    const size_t before = heap_peak = heap_now;
    // No budget in the way: the octets left are what decides.
    EXPECT_FALSE(
        Decode(frame, {.nodes_max = SIZE_MAX, .bytes_max = SIZE_MAX}).ok())
        << hex;
    EXPECT_LT(heap_peak - before, 4096u) << hex;
  }
}

TEST(StorableLimits, SpendsTheBudgetExactly) {
  // A root list and three elements are four nodes; "abc" and "d" four octets.
  const std::string frame = Hex("050b 02 00000003 0a03616263 0a0164 05");
  EXPECT_TRUE(Decode(frame, {.nodes_max = 4, .bytes_max = 4}).ok());
  EXPECT_FALSE(Decode(frame, {.nodes_max = 3}).ok());
  EXPECT_FALSE(Decode(frame, {.bytes_max = 3}).ok());
  EXPECT_FALSE(Decode(frame, {.nodes_max = 0}).ok());
}

TEST(StorableLimits, TakesAsManyValuesAsAFrameOfSdpLinesHolds) {
  // 128 KiB of ["a","sendrecv"], the shortest lines there are.
  const Value line(List{Value("a"), Value("sendrecv")});
  List lines(6800, line);
  const std::string frame = Encode(Value(lines), Root::kReferent);
  EXPECT_GT(frame.size(), 126u * 1024);
  const auto got = Decode(frame);
  ASSERT_TRUE(got.ok()) << got.status();
  EXPECT_EQ(got->list()->size(), lines.size());
}

}  // namespace
}  // namespace sluice::control::storable
