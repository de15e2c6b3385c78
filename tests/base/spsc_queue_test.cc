#include "base/spsc_queue.h"

#include <cstdint>
#include <memory>
#include <thread>

#include "gtest/gtest.h"

namespace sluice {
namespace {

TEST(SpscQueueTest, RefusesWhenFullAndKeepsOrder) {
  SpscQueue<int, 4> queue;
  EXPECT_TRUE(queue.empty());
  EXPECT_EQ(queue.room(), 4u);
  for (int i = 0; i < 4; ++i) EXPECT_TRUE(queue.TryPush(i));
  EXPECT_EQ(queue.room(), 0u);
  EXPECT_FALSE(queue.TryPush(99));
  int got = -1;
  for (int i = 0; i < 4; ++i) {
    ASSERT_TRUE(queue.TryPop(&got));
    EXPECT_EQ(got, i);
  }
  EXPECT_FALSE(queue.TryPop(&got));
  EXPECT_TRUE(queue.empty());
}

TEST(SpscQueueTest, GoesRoundManyTimes) {
  SpscQueue<uint64_t, 4> queue;
  uint64_t pushed = 0, popped = 0;
  for (int round = 0; round < 1000; ++round) {
    for (int i = 0; i < round % 5; ++i) {
      if (queue.TryPush(pushed)) ++pushed;
    }
    ASSERT_EQ(queue.room(), 4 - (pushed - popped));
    uint64_t got;
    for (int i = 0; i < round % 3 && queue.TryPop(&got); ++i) {
      ASSERT_EQ(got, popped++);
    }
    ASSERT_LE(pushed - popped, 4u);
  }
  EXPECT_GT(pushed, 500u);
}

// Goal: a message is whole and in order whatever the timing; for TSan, that the
// two threads touch a place only after it was handed over.
// Method: messages whose parts depend on each other, a queue small enough to be
// full and empty again and again.
TEST(SpscQueueTest, HandsWholeMessagesFromThreadToThreadInOrder) {
  struct Message {
    uint64_t number = 0;
    uint64_t parts[6] = {};
  };
  constexpr uint64_t kMessages = 200'000;
  const auto queue = std::make_unique<SpscQueue<Message, 8>>();
  std::thread producer([&] {
    for (uint64_t n = 0; n < kMessages;) {
      Message m{.number = n};
      for (uint64_t i = 0; i < 6; ++i) m.parts[i] = n * 7 + i;
      if (queue->TryPush(m)) {
        ++n;
      } else {
        std::this_thread::yield();
      }
    }
  });
  uint64_t wrong = 0;
  for (uint64_t n = 0; n < kMessages;) {
    Message m;
    if (!queue->TryPop(&m)) {
      std::this_thread::yield();
      continue;
    }
    if (m.number != n) ++wrong;
    for (uint64_t i = 0; i < 6; ++i) {
      if (m.parts[i] != n * 7 + i) ++wrong;
    }
    ++n;
  }
  producer.join();
  EXPECT_EQ(wrong, 0u);
  EXPECT_TRUE(queue->empty());
}

}  // namespace
}  // namespace sluice
