#include "rtp/order.h"

#include <algorithm>
#include <random>
#include <vector>

#include "gtest/gtest.h"

namespace sluice::rtp {
namespace {

using Octets = std::vector<uint8_t>;

class ReorderTest : public testing::Test {
 protected:
  bool Push(int number, Micros now = Micros()) {
    const Octets payload(1, static_cast<uint8_t>(number));
    return window_.Push({.timestamp = static_cast<uint32_t>(number),
                         .sequence = static_cast<uint16_t>(number)},
                        payload, now, Take());
  }
  std::function<void(uint32_t, std::span<const uint8_t>)> Take() {
    return [this](uint32_t timestamp, std::span<const uint8_t> payload) {
      ASSERT_EQ(payload.size(), 1u);
      ASSERT_EQ(payload[0], static_cast<uint8_t>(timestamp));
      out_.push_back(static_cast<int>(timestamp));
    };
  }
  std::vector<int> Out() { return std::exchange(out_, {}); }

  ReorderWindow window_;
  std::vector<int> out_;
};

using Numbers = std::vector<int>;

TEST_F(ReorderTest, WhatIsInOrderPassesAtOnce) {
  for (int i = 65'530; i < 65'550; ++i) {
    EXPECT_TRUE(Push(i));
    EXPECT_EQ(Out(), Numbers{i});
  }
  EXPECT_EQ(window_.held(), 0u);
}

TEST_F(ReorderTest, WhatIsAheadWaits) {
  EXPECT_TRUE(Push(1));
  EXPECT_TRUE(Push(4));
  EXPECT_TRUE(Push(3));
  EXPECT_EQ(Out(), Numbers{1});
  EXPECT_EQ(window_.held(), 2u);
  EXPECT_FALSE(Push(4));
  EXPECT_TRUE(Push(2));
  EXPECT_EQ(Out(), (Numbers{2, 3, 4}));
  EXPECT_FALSE(Push(2));
  EXPECT_FALSE(Push(-95));
  EXPECT_TRUE(Out().empty());
}

TEST_F(ReorderTest, AFullWindowGivesTheOldestGapUp) {
  Push(0);
  for (int i = 2; i <= 8; ++i) Push(i);
  EXPECT_EQ(Out(), Numbers{0});
  Push(9);
  EXPECT_EQ(Out(), (Numbers{2, 3, 4, 5, 6, 7, 8, 9}));
  EXPECT_FALSE(Push(1));
}

TEST_F(ReorderTest, ALongGapGivesAllUp) {
  Push(0);
  Push(3);
  Push(5);
  Push(2000);
  EXPECT_EQ(Out(), (Numbers{0, 3, 5}));
  EXPECT_EQ(window_.held(), 1u);
  window_.Flush(Take());
  EXPECT_EQ(Out(), Numbers{2000});
}

TEST_F(ReorderTest, AJumpIsBelievedWhenTheNextOneFollows) {
  Push(0);
  EXPECT_FALSE(Push(20'000));
  EXPECT_TRUE(Push(1));
  EXPECT_FALSE(Push(30'000));
  EXPECT_TRUE(Push(30'001));
  EXPECT_TRUE(Push(30'002));
  EXPECT_EQ(Out(), (Numbers{0, 1, 30'001, 30'002}));
}

TEST_F(ReorderTest, NobodyWaitsLongerThanTheHold) {
  Push(0);
  Push(2, Micros(1));
  Push(5, Micros::Millis(50));
  window_.Expire(ReorderWindow::kHold, Take());
  EXPECT_EQ(Out(), Numbers{0});
  window_.Expire(ReorderWindow::kHold + Micros(1), Take());
  EXPECT_EQ(Out(), Numbers{2});
  window_.Expire(ReorderWindow::kHold + Micros::Millis(50), Take());
  EXPECT_EQ(Out(), Numbers{5});
}

TEST_F(ReorderTest, WhateverComesNothingComesOutTwiceOrOutOfOrder) {
  for (uint64_t seed = 1; seed <= 50; ++seed) {
    std::mt19937_64 random(seed);
    window_ = ReorderWindow();
    int front = 0;
    Micros now;
    for (int i = 0; i < 2000; ++i) {
      front += static_cast<int>(random() % 3);
      const int number = std::max(0, front - static_cast<int>(random() % 12));
      Push(number, now);
      now = now + Micros::Millis(static_cast<int64_t>(random() % 30));
      if (random() % 4 == 0) window_.Expire(now, Take());
      ASSERT_LE(window_.held(), ReorderWindow::kSlots);
    }
    window_.Flush(Take());
    const Numbers out = Out();
    EXPECT_TRUE(std::is_sorted(out.begin(), out.end(), std::less_equal<>()))
        << seed;
    EXPECT_GT(out.size(), 1000u);
  }
}

class TimelineTest : public testing::Test {
 protected:
  Timeline::Fate Put(uint32_t timestamp, Octets payload,
                     Micros now = Micros()) {
    return timeline_.Put(
        timestamp, payload, 0, now, [this](std::span<const uint8_t> octets) {
          out_.insert(out_.end(), octets.begin(), octets.end());
        });
  }
  Timeline timeline_;
  Octets out_;
};

TEST_F(TimelineTest, GapsAreSilenceAndOverlapsAreCut) {
  EXPECT_EQ(Put(0xfffffffe, {1, 2, 3}), Timeline::Fate::kWritten);
  EXPECT_EQ(Put(4, {4}), Timeline::Fate::kWritten);
  EXPECT_EQ(Put(3, {9, 9, 5}), Timeline::Fate::kWritten);
  EXPECT_EQ(Put(3, {9, 9, 9}), Timeline::Fate::kLate);
  EXPECT_EQ(out_, (Octets{1, 2, 3, 0, 0, 0, 4, 5}));
}

TEST_F(TimelineTest, AJumpIsNoGap) {
  Put(0, {1});
  Put(1 + Timeline::kGapMax + 1, {2});
  Put(0, {3});
  EXPECT_EQ(out_, (Octets{1, 2, 3}));
  Put(1 + Timeline::kGapMax, {4});
  EXPECT_EQ(out_.size(), 4u + Timeline::kGapMax);
}

TEST_F(TimelineTest, NobodyIsFasterThanTheClockForLong) {
  uint32_t at = 0;
  size_t refused = 0;
  for (int i = 0; i < 1000; ++i) {
    refused += Put(at, Octets(1000, 1)) == Timeline::Fate::kTooFast;
    at += 1000;
  }
  EXPECT_EQ(out_.size(), Timeline::kAheadMax);
  EXPECT_EQ(refused, 880u);
  // A second later there is room for a second.
  out_.clear();
  timeline_.Restart();
  for (int i = 0; i < 100; ++i) {
    Put(at, Octets(1000, 1), Micros::Seconds(1));
    at += 1000;
  }
  EXPECT_EQ(out_.size(), 8000u);
}

}  // namespace
}  // namespace sluice::rtp
