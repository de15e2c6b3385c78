#include "base/net/event_loop.h"

#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <thread>
#include <utility>
#include <vector>

#include "gtest/gtest.h"

namespace sluice::net {
namespace {

// A loop whose time stands still until it is moved.
class EventLoopTest : public testing::Test {
 protected:
  EventLoopTest() : loop_([this] { return time_; }) {}

  void Advance(Micros by) {
    time_ = time_ + by;
    Turn();
  }
  void Turn() { loop_.RunOnce(Micros()); }

  Micros time_ = Micros::Seconds(1000);
  EventLoop loop_;
};

std::pair<Fd, Fd> Pair() {
  int fds[2] = {-1, -1};
  EXPECT_EQ(
      socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds),
      0);
  return {Fd(fds[0]), Fd(fds[1])};
}

void WriteOctet(const Fd& fd) { ASSERT_EQ(write(fd.get(), "x", 1), 1); }

TEST_F(EventLoopTest, AfterFiresOnceAndNotEarly) {
  int fired = 0;
  EXPECT_NE(loop_.After(Micros::Millis(100), [&] { ++fired; }), 0u);
  Advance(Micros::Millis(99));
  EXPECT_EQ(fired, 0);
  Advance(Micros::Millis(1));
  EXPECT_EQ(fired, 1);
  Advance(Micros::Seconds(1));
  EXPECT_EQ(fired, 1);
}

TEST_F(EventLoopTest, AfterCountsFromTheClockWhenSetBetweenTurns) {
  Turn();
  time_ = time_ + Micros::Seconds(10);  // no turn has seen this
  int fired = 0;
  loop_.After(Micros::Seconds(1), [&] { ++fired; });
  Turn();
  EXPECT_EQ(fired, 0);
  Advance(Micros::Seconds(1));
  EXPECT_EQ(fired, 1);
}

TEST_F(EventLoopTest, EveryKeepsItsBeat) {
  std::vector<int64_t> at;
  const Micros start = time_;
  loop_.Every(Micros::Millis(100),
              [&] { at.push_back((loop_.now() - start).us() / 1000); });
  for (int i = 0; i < 4; ++i) {
    Advance(Micros::Millis(100));
    Advance(Micros::Millis(10));  // late by more each time, if it drifted
    time_ = time_ - Micros::Millis(10);
  }
  EXPECT_EQ(at, (std::vector<int64_t>{100, 200, 300, 400}));
}

TEST_F(EventLoopTest, EveryRunsOnceAfterAStallAndThenAPeriodLater) {
  int fired = 0;
  loop_.Every(Micros::Millis(100), [&] { ++fired; });
  Advance(Micros::Seconds(60));
  Turn();
  EXPECT_EQ(fired, 1);
  Advance(Micros::Millis(100));
  EXPECT_EQ(fired, 2);
}

TEST_F(EventLoopTest, CancelledTimersStaySilent) {
  int fired = 0;
  const auto once = loop_.After(Micros::Millis(10), [&] { ++fired; });
  const auto often = loop_.Every(Micros::Millis(10), [&] { ++fired; });
  loop_.Cancel(once);
  loop_.Cancel(once);
  loop_.Cancel(0);
  Advance(Micros::Millis(10));
  EXPECT_EQ(fired, 1);
  loop_.Cancel(often);
  Advance(Micros::Millis(100));
  EXPECT_EQ(fired, 1);
}

TEST_F(EventLoopTest, ATimerMayCancelItselfAndOthersAndSetNewOnes) {
  int self = 0, other = 0, added = 0;
  EventLoop::TimerId mine = 0, theirs = 0;
  mine = loop_.Every(Micros::Millis(10), [&] {
    ++self;
    loop_.Cancel(mine);
    loop_.Cancel(theirs);
    // Many, so that the table of timers is moved under the running one.
    for (int i = 0; i < 100; ++i) {
      loop_.After(Micros::Millis(10), [&] { ++added; });
    }
  });
  theirs = loop_.After(Micros::Millis(10), [&] { ++other; });
  Advance(Micros::Millis(10));
  Advance(Micros::Millis(10));
  EXPECT_EQ(self, 1);
  EXPECT_EQ(other, 0);
  EXPECT_EQ(added, 100);
}

TEST_F(EventLoopTest, ATurnFiresABoundedNumberOfTimersAndTheNextGoesOn) {
  size_t fired = 0;
  for (size_t i = 0; i < kTimersPerTurn + 5; ++i) {
    loop_.After(Micros::Millis(10), [&] { ++fired; });
  }
  Advance(Micros::Millis(10));
  EXPECT_EQ(fired, kTimersPerTurn);
  // Not even a patient turn sleeps while some are due.
  loop_.RunOnce(Micros(INT64_MAX));
  EXPECT_EQ(fired, kTimersPerTurn + 5);
}

// --- Descriptors ----------------------------------------------------------

TEST_F(EventLoopTest, TellsOfADescriptorUntilItIsRead) {
  auto [near, far] = Pair();
  uint32_t seen = 0;
  int calls = 0;
  ASSERT_TRUE(loop_
                  .Add(near.get(), EPOLLIN,
                       [&](uint32_t events) {
                         seen = events;
                         ++calls;
                       })
                  .ok());
  Turn();
  EXPECT_EQ(calls, 0);
  WriteOctet(far);
  Turn();
  Turn();
  EXPECT_EQ(calls, 2);
  EXPECT_EQ(seen, uint32_t{EPOLLIN});
  loop_.Modify(near.get(), EPOLLOUT);
  Turn();
  EXPECT_EQ(seen, uint32_t{EPOLLOUT});
  loop_.Modify(near.get(), 0);
  Turn();
  EXPECT_EQ(calls, 3);
  loop_.Remove(near.get());
  loop_.Remove(near.get());
  far.Reset();
  Turn();
  EXPECT_EQ(calls, 3);
}

TEST_F(EventLoopTest, RefusesADescriptorTwiceAndWhatIsNone) {
  auto [near, far] = Pair();
  EXPECT_TRUE(loop_.Add(near.get(), EPOLLIN, [](uint32_t) {}).ok());
  EXPECT_EQ(loop_.Add(near.get(), EPOLLIN, [](uint32_t) {}).code(),
            absl::StatusCode::kAlreadyExists);
  EXPECT_FALSE(loop_.Add(-1, EPOLLIN, [](uint32_t) {}).ok());
  // A refused one is not half there.
  EXPECT_TRUE(loop_.Add(far.get(), EPOLLIN, [](uint32_t) {}).ok());
}

TEST_F(EventLoopTest, ACallbackMayRemoveItselfAndOthersThatAreReady) {
  auto [a, a_far] = Pair();
  auto [b, b_far] = Pair();
  WriteOctet(a_far);
  WriteOctet(b_far);
  int calls = 0;
  const auto remove_both = [&, ra = a.get(), rb = b.get()](uint32_t) {
    ++calls;
    loop_.Remove(ra);
    loop_.Remove(rb);
  };
  ASSERT_TRUE(loop_.Add(a.get(), EPOLLIN, remove_both).ok());
  ASSERT_TRUE(loop_.Add(b.get(), EPOLLIN, remove_both).ok());
  Turn();
  Turn();
  EXPECT_EQ(calls, 1);
}

TEST_F(EventLoopTest, AnEventOfAFormerDescriptorDoesNotReachItsSuccessor) {
  auto [a, a_far] = Pair();
  auto [b, b_far] = Pair();
  auto [c, c_far] = Pair();
  const int rc = c.get();
  WriteOctet(a_far);
  WriteOctet(b_far);
  int successor = 0;
  // Whoever is called first puts another socket, with nothing to read, in the
  // number of the other, whose event is in the same batch.
  bool done = false;
  const auto replace = [&](int victim) {
    if (std::exchange(done, true)) return;
    loop_.Remove(victim);
    ASSERT_EQ(dup3(rc, victim, O_CLOEXEC), victim);
    ASSERT_TRUE(
        loop_.Add(victim, EPOLLIN, [&](uint32_t) { ++successor; }).ok());
  };
  const int ra = a.get(), rb = b.get();
  ASSERT_TRUE(loop_.Add(ra, EPOLLIN, [&](uint32_t) { replace(rb); }).ok());
  ASSERT_TRUE(loop_.Add(rb, EPOLLIN, [&](uint32_t) { replace(ra); }).ok());
  Turn();
  EXPECT_TRUE(done);
  EXPECT_EQ(successor, 0);
  WriteOctet(c_far);
  Turn();
  EXPECT_EQ(successor, 1);
}

TEST_F(EventLoopTest, ReadsBeforeItLooksAtDeadlines) {
  auto [near, far] = Pair();
  std::vector<char> order;
  loop_.After(Micros::Seconds(1), [&] { order.push_back('t'); });
  ASSERT_TRUE(
      loop_.Add(near.get(), EPOLLIN, [&](uint32_t) { order.push_back('r'); })
          .ok());
  WriteOctet(far);
  Advance(Micros::Seconds(60));
  EXPECT_EQ(order, (std::vector<char>{'r', 't'}));
}

// --- Stalls (F5) ----------------------------------------------------------

TEST_F(EventLoopTest, RemembersWhenItCameBackFromAStall) {
  Turn();
  EXPECT_EQ(loop_.last_stall_end(), Micros());
  Advance(Micros::Seconds(1));  // late, but no more than a busy machine is
  EXPECT_EQ(loop_.last_stall_end(), Micros());
  Advance(Micros::Seconds(1) + Micros(1));
  EXPECT_EQ(loop_.last_stall_end(), time_);
  const Micros end = time_;
  for (int i = 0; i < 5; ++i) Advance(Micros::Seconds(1));
  EXPECT_EQ(loop_.last_stall_end(), end);
  Advance(Micros::Seconds(30));
  EXPECT_EQ(loop_.last_stall_end(), time_);
}

TEST_F(EventLoopTest, WhatTookTimeBeforeTheFirstTurnIsNoStall) {
  Advance(Micros::Seconds(60));
  EXPECT_EQ(loop_.last_stall_end(), Micros());
}

TEST_F(EventLoopTest, ACallbackThatBlockedIsAStall) {
  Turn();
  loop_.Post([&] { time_ = time_ + Micros::Seconds(5); });
  Turn();
  EXPECT_EQ(loop_.last_stall_end(), Micros());
  Turn();
  EXPECT_EQ(loop_.last_stall_end(), time_);
}

TEST_F(EventLoopTest, SleepingNoLongerThanItAskedIsNoStall) {
  auto [near, far] = Pair();
  ASSERT_TRUE(loop_.Add(near.get(), EPOLLIN, [](uint32_t) {}).ok());
  WriteOctet(far);  // the real wait ends at once; the clock says otherwise
  loop_.RunOnce(Micros());
  time_ = time_ + Micros::Seconds(10);
  loop_.RunOnce(Micros::Seconds(20));
  EXPECT_EQ(loop_.last_stall_end(), Micros());
  // A timer's planned wake-up counts for as much as the caller's.
  loop_.After(Micros::Seconds(5), [] {});
  time_ = time_ + Micros::Seconds(7);
  loop_.RunOnce(Micros::Seconds(20));
  EXPECT_EQ(loop_.last_stall_end(), time_);
}

TEST_F(EventLoopTest, TimeDoesNotGoBack) {
  Turn();
  const Micros now = loop_.now();
  time_ = time_ - Micros::Seconds(100);
  Turn();
  EXPECT_EQ(loop_.now(), now);
}

TEST_F(EventLoopTest, TheTimeOfATurnStandsStill) {
  Micros before, after;
  loop_.Post([&] {
    before = loop_.now();
    time_ = time_ + Micros::Seconds(1);
    after = loop_.now();
  });
  Turn();
  EXPECT_EQ(before, after);
}

// --- Posted tasks, turns, stopping ----------------------------------------

TEST_F(EventLoopTest, RefusesPostedTasksWhenFullAndHasRoomAgainAfterATurn) {
  size_t ran = 0;
  for (size_t i = 0; i < EventLoop::kPostedMax; ++i) {
    ASSERT_TRUE(loop_.Post([&] { ++ran; }));
  }
  EXPECT_FALSE(loop_.Post([&] { ++ran; }));
  Turn();
  EXPECT_EQ(ran, EventLoop::kPostedMax);
  EXPECT_TRUE(loop_.Post([&] { ++ran; }));
}

TEST_F(EventLoopTest, WhatAPostedTaskPostsRunsInTheNextTurn) {
  int ran = 0;
  EventLoop::Task again = [&] {
    ++ran;
    loop_.Post(again);
  };
  loop_.Post(again);
  Turn();
  EXPECT_EQ(ran, 1);
  Turn();
  EXPECT_EQ(ran, 2);
}

TEST_F(EventLoopTest, OnTurnComesLastInEveryTurnAndMayAddAnother) {
  std::vector<char> order;
  bool added = false;
  loop_.OnTurn([&] {
    order.push_back('e');
    if (!std::exchange(added, true)) {
      for (int i = 0; i < 100; ++i) loop_.OnTurn([] {});
    }
  });
  loop_.Post([&] { order.push_back('p'); });
  loop_.After(Micros(), [&] { order.push_back('t'); });
  Turn();
  Turn();
  EXPECT_EQ(order, (std::vector<char>{'t', 'p', 'e', 'e'}));
}

TEST(EventLoopThreadTest, PostWakesASleepingLoopAndNothingIsLost) {
  EventLoop loop;
  constexpr int kThreads = 3, kTasks = 2000;
  int ran = 0;  // the loop's thread only
  std::thread runner([&] { loop.Run(); });
  std::vector<std::thread> posters;
  for (int t = 0; t < kThreads; ++t) {
    posters.emplace_back([&] {
      for (int i = 0; i < kTasks; ++i) {
        while (!loop.Post([&] {
          if (++ran == kThreads * kTasks) loop.Stop();
        })) {
          std::this_thread::yield();
        }
      }
    });
  }
  for (std::thread& t : posters) t.join();
  runner.join();
  EXPECT_EQ(ran, kThreads * kTasks);
}

TEST(EventLoopThreadTest, StopBeforeRunIsNotForgottenAndRunWorksAgain) {
  EventLoop loop;
  loop.Stop();
  loop.Run();
  int fired = 0;
  loop.After(Micros::Millis(10), [&] {
    ++fired;
    loop.Stop();
  });
  loop.Run();
  EXPECT_EQ(fired, 1);
}

EventLoop* signalled = nullptr;

TEST(EventLoopThreadTest, StopsFromASignalHandler) {
  EventLoop loop;
  signalled = &loop;
  const auto before = std::signal(SIGUSR1, [](int) { signalled->Stop(); });
  loop.Post([] { std::raise(SIGUSR1); });
  loop.Run();
  std::signal(SIGUSR1, before);
}

}  // namespace
}  // namespace sluice::net
