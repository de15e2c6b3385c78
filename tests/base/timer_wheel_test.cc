#include "base/timer_wheel.h"

#include <algorithm>
#include <cstdint>
#include <iterator>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "gtest/gtest.h"

namespace sluice {
namespace {

constexpr int64_t kTick = 10'000;
constexpr size_t kAll = SIZE_MAX;

std::vector<uint64_t> Fire(TimerWheel& wheel, Micros now, size_t max = kAll) {
  std::vector<uint64_t> fired;
  const size_t n =
      wheel.Advance(now, max, [&](uint64_t value) { fired.push_back(value); });
  EXPECT_EQ(n, fired.size());
  EXPECT_TRUE(wheel.Validate()) << wheel.Dump();
  return fired;
}

using Values = std::vector<uint64_t>;

TEST(TimerWheelTest, FiresNotBeforeItsTimeAndAtTheNextTick) {
  TimerWheel wheel(Micros(0));
  wheel.Schedule(Micros(25'000), 7);
  EXPECT_EQ(wheel.NextDue(), Micros(30'000));
  EXPECT_EQ(Fire(wheel, Micros(25'000)), Values{});
  EXPECT_EQ(Fire(wheel, Micros(29'999)), Values{});
  EXPECT_EQ(Fire(wheel, Micros(30'000)), Values{7});
  EXPECT_EQ(wheel.size(), 0u);
  EXPECT_EQ(wheel.NextDue(), Micros(INT64_MAX));
}

TEST(TimerWheelTest, FiresWhatIsForThePastAtOnce) {
  TimerWheel wheel(Micros::Seconds(100));
  wheel.Schedule(Micros::Seconds(1), 1);
  wheel.Schedule(Micros(-5), 2);
  wheel.Schedule(Micros::Seconds(100), 3);
  EXPECT_LE(wheel.NextDue(), Micros::Seconds(100));
  EXPECT_EQ(Fire(wheel, Micros::Seconds(100)), (Values{1, 2, 3}));
}

TEST(TimerWheelTest, CancelsOnce) {
  TimerWheel wheel(Micros(0));
  const auto id = wheel.Schedule(Micros::Seconds(1), 1);
  EXPECT_NE(id, 0u);
  EXPECT_TRUE(wheel.Cancel(id));
  EXPECT_FALSE(wheel.Cancel(id));
  EXPECT_EQ(Fire(wheel, Micros::Seconds(2)), Values{});
}

TEST(TimerWheelTest, RefusesTheIdOfAFormerTimerInTheSameCell) {
  TimerWheel wheel(Micros(0));
  const auto old = wheel.Schedule(Micros::Seconds(1), 1);
  Fire(wheel, Micros::Seconds(1));
  const auto now = wheel.Schedule(Micros::Seconds(2), 2);
  EXPECT_EQ(static_cast<uint32_t>(old), static_cast<uint32_t>(now));
  EXPECT_FALSE(wheel.Cancel(old));
  EXPECT_FALSE(wheel.Cancel(0));
  EXPECT_FALSE(wheel.Cancel(uint64_t{1} << 32 | 99));
  EXPECT_EQ(wheel.size(), 1u);
  EXPECT_TRUE(wheel.Cancel(now));
}

TEST(TimerWheelTest, StopsAtMaxAndGoesOnInOrder) {
  TimerWheel wheel(Micros(0));
  for (uint64_t i = 0; i < 10; ++i) {
    wheel.Schedule(Micros(static_cast<int64_t>(9 - i) * kTick), i);
  }
  EXPECT_EQ(Fire(wheel, Micros::Seconds(1), 0), Values{});
  EXPECT_EQ(Fire(wheel, Micros::Seconds(1), 4), (Values{9, 8, 7, 6}));
  EXPECT_LE(wheel.NextDue(), Micros::Seconds(1));
  EXPECT_EQ(Fire(wheel, Micros::Seconds(1)), (Values{5, 4, 3, 2, 1, 0}));
}

TEST(TimerWheelTest, AnEarlierNowChangesNothing) {
  TimerWheel wheel(Micros(0));
  Fire(wheel, Micros::Seconds(10));
  wheel.Schedule(Micros::Seconds(9), 1);
  wheel.Schedule(Micros::Seconds(11), 2);
  EXPECT_EQ(Fire(wheel, Micros::Seconds(1)), Values{1});
  EXPECT_EQ(Fire(wheel, Micros::Seconds(11)), Values{2});
}

TEST(TimerWheelTest, WhatAVisitSchedulesForThePastWaitsForTheNextAdvance) {
  TimerWheel wheel(Micros(0));
  wheel.Schedule(Micros::Seconds(1), 1);
  int fired = 0;
  // One that wants to be fired now, for ever; and one for a time between.
  const auto visit = [&](uint64_t) {
    ++fired;
    wheel.Schedule(Micros::Seconds(1), 1);
    EXPECT_TRUE(wheel.Validate());
  };
  EXPECT_EQ(wheel.Advance(Micros::Seconds(5), kAll, visit), 1u);
  EXPECT_EQ(wheel.Advance(Micros::Seconds(5), kAll, visit), 1u);
  EXPECT_EQ(fired, 2);
  EXPECT_EQ(wheel.size(), 1u);
  EXPECT_TRUE(wheel.Validate()) << wheel.Dump();
}

TEST(TimerWheelTest, AVisitMayCancelWhatIsDueWithIt) {
  TimerWheel wheel(Micros(0));
  std::vector<TimerWheel::Id> ids;
  for (uint64_t i = 0; i < 3; ++i) {
    ids.push_back(wheel.Schedule(Micros::Seconds(1), i));
  }
  Values fired;
  wheel.Advance(Micros::Seconds(1), kAll, [&](uint64_t value) {
    fired.push_back(value);
    if (value != 0) return;
    EXPECT_FALSE(wheel.Cancel(ids[0]));  // it is this one, and has fired
    EXPECT_TRUE(wheel.Cancel(ids[1]));
  });
  EXPECT_EQ(fired, (Values{0, 2}));
  EXPECT_TRUE(wheel.Validate());
}

// At each boundary between levels, and past the last, a timer one tick before,
// on and after it.
TEST(TimerWheelTest, CarriesTimersOverEveryLevelsBoundary) {
  for (const int bits : {8, 16, 24, 32, 40}) {
    const int64_t boundary = int64_t{1} << bits;
    for (const int64_t start : {int64_t{0}, boundary - 2, boundary - 1}) {
      TimerWheel wheel(Micros(start * kTick));
      for (const int64_t at : {boundary + 1, boundary, boundary - 1}) {
        wheel.Schedule(Micros(at * kTick), static_cast<uint64_t>(at));
      }
      ASSERT_TRUE(wheel.Validate()) << wheel.Dump();
      for (const int64_t at : {boundary - 1, boundary, boundary + 1}) {
        if (at > start) {
          ASSERT_EQ(Fire(wheel, Micros(at * kTick - 1)), Values{});
        }
        ASSERT_EQ(Fire(wheel, Micros(at * kTick)),
                  Values{static_cast<uint64_t>(at)});
      }
    }
  }
}

TEST(TimerWheelTest, SleepingUntilNextDueReachesAFarTimerInAFewSteps) {
  TimerWheel wheel(Micros(12345));
  const Micros when = Micros::Seconds(600LL * 24 * 3600);  // beyond the levels
  wheel.Schedule(when, 1);
  int turns = 0;
  Values fired;
  while (fired.empty()) {
    ASSERT_LE(wheel.NextDue(), when + Micros(kTick));
    ASSERT_LT(++turns, 10);
    fired = Fire(wheel, wheel.NextDue());
  }
  EXPECT_EQ(fired, Values{1});
}

TEST(TimerWheelTest, KeepsATimerForTheEndOfTime) {
  TimerWheel wheel(Micros(0));
  const auto id = wheel.Schedule(Micros(INT64_MAX), 1);
  EXPECT_TRUE(wheel.Validate());
  EXPECT_EQ(Fire(wheel, Micros::Seconds(3'000'000'000)), Values{});
  EXPECT_TRUE(wheel.Cancel(id));
}

TEST(TimerWheelTest, DumpNamesWhereEachTimerWaits) {
  TimerWheel wheel(Micros(0));
  wheel.Schedule(Micros(0), 5);
  wheel.Schedule(Micros(3 * kTick), 6);
  wheel.Schedule(Micros(kTick << 33), 7);
  const std::string text = wheel.Dump();
  EXPECT_NE(text.find("3 timers"), std::string::npos) << text;
  EXPECT_NE(text.find("due: tick 0 value 5"), std::string::npos) << text;
  EXPECT_NE(text.find("level 0 slot 3: tick 3 value 6"), std::string::npos)
      << text;
  EXPECT_NE(text.find("far: "), std::string::npos) << text;
}

// Goal: whatever is scheduled, cancelled and advanced, the wheel fires exactly
// what a sorted list would, and its structure stays sound.
// Method: random operations from a printed seed beside a std::multimap; times
// are drawn at every scale so that each level and the list beyond it are used.
void RunAgainstReference(uint64_t seed, int64_t start_tick) {
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937_64 random(seed);
  struct Entry {
    uint64_t value;
    TimerWheel::Id id;
  };
  std::multimap<int64_t, Entry> reference;  // by tick
  int64_t now = start_tick * kTick;
  TimerWheel wheel{Micros(now)};
  uint64_t next_value = 1;
  size_t fired_total = 0;

  const auto schedule = [&] {
    const int scale = static_cast<int>(random() % 44);
    int64_t delta = static_cast<int64_t>(random() % (uint64_t{1} << scale));
    if (random() % 8 == 0) delta = -delta;
    const int64_t when = std::max<int64_t>(0, now + delta);
    const uint64_t value = next_value++;
    const auto id = wheel.Schedule(Micros(when), value);
    reference.emplace((when + kTick - 1) / kTick, Entry{value, id});
  };

  for (int step = 0; step < 3000; ++step) {
    const uint64_t what = random() % 10;
    if (what < 5) {
      schedule();
    } else if (what < 7 && !reference.empty()) {
      auto it = reference.begin();
      std::advance(it, static_cast<int64_t>(random() % reference.size()));
      ASSERT_TRUE(wheel.Cancel(it->second.id));
      ASSERT_FALSE(wheel.Cancel(it->second.id));
      reference.erase(it);
    } else {
      const int scale = static_cast<int>(random() % 42);
      now += static_cast<int64_t>(random() % (uint64_t{1} << scale));
      const size_t max = random() % 3 == 0 ? random() % 4 : kAll;
      const int64_t now_tick = now / kTick;
      // Scheduled during the advance: not to be fired in it if already due.
      const uint64_t first_new = next_value;
      const size_t n = wheel.Advance(Micros(now), max, [&](uint64_t value) {
        ASSERT_LT(value, first_new);
        const auto it = std::find_if(
            reference.begin(), reference.end(),
            [&](const auto& e) { return e.second.value == value; });
        ASSERT_NE(it, reference.end()) << "fired twice, or never scheduled";
        ASSERT_LE(it->first, now_tick) << "early";
        reference.erase(it);
        if (random() % 8 == 0 && reference.size() < 500) schedule();
      });
      fired_total += n;
      ASSERT_LE(n, max);
      if (n < max) {
        for (auto it = reference.begin();
             it != reference.end() && it->first <= now_tick; ++it) {
          ASSERT_GE(it->second.value, first_new) << "due and not fired";
        }
      }
    }
    ASSERT_EQ(wheel.size(), reference.size());
    ASSERT_TRUE(wheel.Validate()) << wheel.Dump();
    if (reference.empty()) {
      ASSERT_EQ(wheel.NextDue(), Micros(INT64_MAX));
    } else {
      ASSERT_LE(wheel.NextDue().us(),
                std::max(reference.begin()->first * kTick, now));
    }
  }
  ASSERT_GT(fired_total, 100u);
}

TEST(TimerWheelTest, AgreesWithASortedListUnderRandomUse) {
  for (uint64_t seed = 1; seed <= 8; ++seed) RunAgainstReference(seed, 0);
}

TEST(TimerWheelTest, AgreesWithASortedListNearTheEndOfTheLastLevel) {
  for (uint64_t seed = 100; seed <= 103; ++seed) {
    RunAgainstReference(seed, (int64_t{1} << 32) - 50);
  }
}

// Goal: order. Everything is scheduled ahead, so that each has its own tick.
TEST(TimerWheelTest, FiresInOrderOfTicksHoweverFarItGoesInOneStep) {
  for (uint64_t seed = 1; seed <= 4; ++seed) {
    SCOPED_TRACE(seed);
    std::mt19937_64 random(seed);
    TimerWheel wheel(Micros(0));
    for (int i = 0; i < 2000; ++i) {
      const uint64_t tick = 1 + random() % (uint64_t{1} << (random() % 34));
      wheel.Schedule(Micros(static_cast<int64_t>(tick) * kTick), tick);
    }
    Values fired;
    // In three parts, the first two cut by `max`.
    const Micros end(kTick << 34);
    for (const size_t max : {size_t{700}, size_t{700}, kAll}) {
      for (const uint64_t v : Fire(wheel, end, max)) fired.push_back(v);
    }
    EXPECT_EQ(fired.size(), 2000u);
    EXPECT_TRUE(std::is_sorted(fired.begin(), fired.end()));
  }
}

}  // namespace
}  // namespace sluice
