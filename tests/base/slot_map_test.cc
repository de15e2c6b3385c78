#include "base/slot_map.h"

#include <algorithm>
#include <random>
#include <vector>

#include "gtest/gtest.h"

namespace sluice {
namespace {

TEST(SlotMapTest, RefusesWhenFullAndHasRoomAgainAfterAFree) {
  SlotMap map(2);
  const Slot a = map.Take();
  const Slot b = map.Take();
  EXPECT_NE(a.index, b.index);
  EXPECT_FALSE(map.Take());
  map.Free(a);
  EXPECT_TRUE(map.Take());
  EXPECT_FALSE(map.Take());
}

TEST(SlotMapTest, GivesTheLastFreedFirst) {
  SlotMap map(8);
  const Slot a = map.Take();
  const Slot b = map.Take();
  map.Free(a);
  map.Free(b);
  EXPECT_EQ(map.Take().index, b.index);
  EXPECT_EQ(map.Take().index, a.index);
}

TEST(SlotMapTest, RefusesTheFormerTenant) {
  SlotMap map(1);
  const Slot old = map.Take();
  map.Free(old);
  EXPECT_FALSE(map.Has(old));
  const Slot now = map.Take();
  EXPECT_EQ(now.index, old.index);
  EXPECT_FALSE(map.Has(old));
  EXPECT_TRUE(map.Has(now));
  EXPECT_FALSE(map.Has(Slot()));
  EXPECT_FALSE(map.Has(Slot{.index = 1, .generation = 1}));
}

TEST(SlotMapDeathTest, FreeingTwiceIsABug) {
  SlotMap map(1);
  const Slot slot = map.Take();
  map.Free(slot);
  EXPECT_DEATH(map.Free(slot), "CHECK failed");
}

// Goal: taken + free = capacity, and no two live slots are the same place.
// Method: random takes and frees beside a plain list of what is live.
TEST(SlotMapTest, AgreesWithAPlainListUnderRandomUse) {
  constexpr uint64_t kSeed = 11;
  SCOPED_TRACE(kSeed);
  std::mt19937_64 random(kSeed);
  SlotMap map(32);
  std::vector<Slot> live, gone;
  for (int step = 0; step < 20'000; ++step) {
    if (random() % 2 == 0) {
      const Slot slot = map.Take();
      ASSERT_EQ(static_cast<bool>(slot), live.size() < map.capacity());
      if (slot) {
        ASSERT_TRUE(std::none_of(live.begin(), live.end(), [&](Slot s) {
          return s.index == slot.index;
        }));
        ASSERT_LT(slot.index, map.capacity());
        live.push_back(slot);
      }
    } else if (!live.empty()) {
      std::swap(live[random() % live.size()], live.back());
      map.Free(live.back());
      gone.push_back(live.back());
      live.pop_back();
    }
    ASSERT_EQ(map.size(), live.size());
    if (!live.empty()) {
      ASSERT_TRUE(map.Has(live[random() % live.size()]));
    }
    if (!gone.empty()) {
      ASSERT_FALSE(map.Has(gone[random() % gone.size()]));
    }
  }
}

}  // namespace
}  // namespace sluice
