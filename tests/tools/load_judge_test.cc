// Goal: each arrival of a stream is called what it is.
// Method: the named cases, then random arrivals from a printed seed against a
// model that remembers everything.
#include <gtest/gtest.h>

#include <random>
#include <set>

#include "tools/load/judge.h"

namespace sluice::load {
namespace {

using Arrival = Judge::Arrival;

TEST(JudgeTest, TellsOrderFromReorderingFromDuplicates) {
  Judge judge;
  EXPECT_EQ(judge.OnSequence(0), Arrival::kInOrder);
  EXPECT_EQ(judge.OnSequence(3), Arrival::kInOrder);
  EXPECT_EQ(judge.OnSequence(1), Arrival::kReordered);
  EXPECT_EQ(judge.OnSequence(1), Arrival::kDuplicate);
  EXPECT_EQ(judge.OnSequence(3), Arrival::kDuplicate);
  EXPECT_EQ(judge.OnSequence(2), Arrival::kReordered);
  EXPECT_EQ(judge.OnSequence(4), Arrival::kInOrder);
  EXPECT_EQ(judge.OnSequence(0), Arrival::kDuplicate);
}

TEST(JudgeTest, ALeapForgetsWhatWasBefore) {
  Judge judge;
  for (uint32_t s = 0; s < 10; ++s) judge.OnSequence(s);
  EXPECT_EQ(judge.OnSequence(100'000), Arrival::kInOrder);
  EXPECT_EQ(judge.OnSequence(100'000 - Judge::kWindow + 1),
            Arrival::kReordered);
  EXPECT_EQ(judge.OnSequence(100'001 - Judge::kWindow - 1), Arrival::kTooOld);
  EXPECT_EQ(judge.OnSequence(5), Arrival::kTooOld);
}

TEST(JudgeTest, AgreesWithAModelThatForgetsNothing) {
  const auto seed = std::random_device()();
  SCOPED_TRACE(seed);
  std::mt19937 random(seed);
  Judge judge;
  std::set<uint32_t> seen;
  uint32_t top = 0;
  for (int i = 0; i < 100'000; ++i) {
    const bool leap = random() % 1000 == 0;
    const uint32_t back = random() % (leap ? 3000 : 40);
    const uint32_t on = random() % (leap ? 3000 : 40);
    const uint32_t sequence = top + on < back ? 0 : top + on - back;
    Arrival want = Arrival::kInOrder;
    if (sequence < top) {
      want = top - sequence > Judge::kWindow ? Arrival::kTooOld
             : seen.contains(sequence)       ? Arrival::kDuplicate
                                             : Arrival::kReordered;
    }
    ASSERT_EQ(judge.OnSequence(sequence), want) << i << ": " << sequence;
    seen.insert(sequence);
    top = std::max(top, sequence + 1);
  }
}

}  // namespace
}  // namespace sluice::load
