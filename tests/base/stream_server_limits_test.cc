// What a server bears: connections, replies that are not read, and a process
// that is out of descriptors.

#include <fcntl.h>
#include <sys/resource.h>

#include <algorithm>
#include <cerrno>
#include <string>
#include <utility>
#include <vector>

#include "base/net/stream_server.h"
#include "gtest/gtest.h"
#include "tests/base/stream_server_world.h"

namespace sluice::net {
namespace {

class StreamServerLimitsTest : public testing::Test, protected World {};

// --- The cap on connections -----------------------------------------------

TEST_F(StreamServerLimitsTest, WhenFullTheOldestMakesRoom) {
  Start({.max_connections = 3});
  Client a = Connect();
  Turns();
  Advance(Micros::Millis(10));
  Client b = Connect();
  Turns();
  Client c = Connect();
  Turns();
  a.Send("begun");  // octet by octet is no way to keep a place
  Turns();
  Client d = Connect();
  Turns();
  EXPECT_EQ(server_->connections(), 3);
  EXPECT_EQ(counters().evicted, 1u);
  EXPECT_TRUE(a.closed());
  EXPECT_FALSE(b.closed());
  EXPECT_FALSE(c.closed());
  d.Send("hello\n");
  Turns();
  EXPECT_EQ(d.received(), "re:hello\n");
  b.Send("late\n");
  Turns();
  EXPECT_EQ(b.received(), "re:late\n");
}

TEST_F(StreamServerLimitsTest, WhatCameWithTheConnectionIsReadAtOnce) {
  Start({.max_connections = 1});
  Client a = Connect();
  a.Send("hello\n");
  Client b = Connect();
  b.Send("hello\n");
  Turns();
  EXPECT_EQ(a.received(), "re:hello\n");
  EXPECT_EQ(b.received(), "re:hello\n");
}

TEST_F(StreamServerLimitsTest,
       WhenAllAreInTheMiddleOfAFrameTheOldestOfThemGoes) {
  Start({.max_connections = 2});
  Client a = Connect();
  a.Send("a");
  Turns();
  Advance(Micros::Millis(10));
  Client b = Connect();
  b.Send("b");
  Turns();
  Client c = Connect();
  Turns();
  EXPECT_TRUE(a.closed());
  EXPECT_FALSE(b.closed());
  EXPECT_EQ(counters().evicted, 1u);
}

TEST_F(StreamServerLimitsTest, OneThatIsBeingAnsweredIsNotClosedForANewOne) {
  Start({.max_connections = 1, .max_write_bytes = 8 * 1024 * 1024});
  Client reader = Connect();
  reader.Send("big 4000000\n");
  Turns();
  ASSERT_EQ(server_->connections(), 1);
  Client client = Connect();
  Turns();
  EXPECT_TRUE(client.closed());
  EXPECT_EQ(counters().refused_full, 1u);
  EXPECT_EQ(counters().evicted, 0u);
  for (int i = 0; i < 1000 && !reader.closed(); ++i) Turns();
  EXPECT_EQ(reader.received().size(), 4'000'000u);
}

TEST_F(StreamServerLimitsTest, AFloodOfConnectionsNeverExceedsTheCap) {
  Start({.max_connections = 8});
  std::vector<Client> clients;
  for (int i = 0; i < 100; ++i) {
    clients.push_back(Connect());
    loop_.RunOnce(Micros());
    ASSERT_LE(server_->connections(), 8);
  }
  Turns();
  EXPECT_EQ(counters().accepted, 100u);
  EXPECT_EQ(counters().evicted, 92u);
}

// --- Readers that do not read ---------------------------------------------

TEST_F(StreamServerLimitsTest, ASlowReaderIsClosedAtTheCapOnWhatWaits) {
  Start({.max_write_bytes = 64 * 1024, .close_after_reply = false});
  Client client = Connect();
  // It asks on and on and reads nothing; the kernel's own buffer is filled
  // first, whatever its size here.
  int asked = 0;
  while (counters().slow_readers == 0 && asked < 2000) {
    if (client.Send("big 16000\n") < 0) break;
    ++asked;
    Turns();
  }
  EXPECT_EQ(counters().slow_readers, 1u);
  EXPECT_EQ(server_->connections(), 0);
  EXPECT_EQ(counters().timed_out, 0u);
}

TEST_F(StreamServerLimitsTest, AReplyThatIsNotReadIsTimedOutBelowTheCapToo) {
  Start({.max_write_bytes = 8 * 1024 * 1024});
  Client client = Connect();
  client.Send("big 4000000\n");
  Turns();
  ASSERT_EQ(server_->connections(), 1);
  Advance(Micros::Millis(990));
  EXPECT_EQ(server_->connections(), 1);
  Advance(Micros::Millis(10));
  EXPECT_EQ(server_->connections(), 0);
  EXPECT_EQ(counters().timed_out, 1u);
}

TEST_F(StreamServerLimitsTest, AReaderWhoTakesItsTimeGetsEverything) {
  Start({.max_write_bytes = 8 * 1024 * 1024});
  Client client = Connect();
  client.Send("big 4000000\n");
  while (!client.closed()) {
    ASSERT_EQ(counters().timed_out, 0u);
    Turns();
  }
  EXPECT_EQ(client.received(), std::string(4'000'000, 'b'));
}

// --- Out of descriptors (F9) ----------------------------------------------

// Takes every descriptor there is, under a limit lowered for the test.
class AllDescriptors {
 public:
  AllDescriptors() {
    EXPECT_EQ(getrlimit(RLIMIT_NOFILE, &before_), 0);
    rlimit low = before_;
    low.rlim_cur = std::min<rlim_t>(before_.rlim_cur, 256);
    EXPECT_EQ(setrlimit(RLIMIT_NOFILE, &low), 0);
    for (;;) {
      Fd fd(open("/dev/null", O_RDONLY | O_CLOEXEC));
      if (!fd) break;
      held_.push_back(std::move(fd));
    }
    EXPECT_EQ(errno, EMFILE);
  }
  ~AllDescriptors() {
    held_.clear();
    setrlimit(RLIMIT_NOFILE, &before_);
  }

 private:
  rlimit before_{};
  std::vector<Fd> held_;
};

TEST_F(StreamServerLimitsTest,
       OutOfDescriptorsItRefusesAtOnceDoesNotSpinAndRecovers) {
  World& w = *this;
  w.Start({});
  std::vector<Client> clients;
  for (int i = 0; i < 3; ++i) clients.push_back(w.Connect());
  {
    AllDescriptors all;
    w.Turns();
    EXPECT_EQ(w.counters().refused_fds, 3u);
    EXPECT_EQ(w.counters().accepted, 0u);
    for (Client& c : clients) EXPECT_TRUE(c.closed());
    EXPECT_LE(w.TurnsWhileNothingHappens(), 10);
    EXPECT_EQ(w.counters().refused_fds, 3u);
  }
  Client client = w.Connect();
  client.Send("hello\n");
  w.Turns();
  EXPECT_EQ(client.received(), "re:hello\n");
}

TEST_F(StreamServerLimitsTest, WithoutEvenAReserveAcceptingRestsAndThenGoesOn) {
  World& w = *this;
  auto listener = ListenUnix(w.path_, 0600, 16);
  ASSERT_TRUE(listener.ok());
  Client client = w.Connect();
  client.Send("hello\n");
  {
    AllDescriptors all;
    w.Make({});
    ASSERT_TRUE(w.server_->Serve(*std::move(listener)).ok());
    w.Turns();
    EXPECT_LE(w.TurnsWhileNothingHappens(), 10);
    w.Advance(Micros::Millis(100));  // tries again, in vain
    EXPECT_LE(w.TurnsWhileNothingHappens(), 10);
    EXPECT_EQ(w.counters().refused_fds, 0u);
    EXPECT_FALSE(client.closed());
  }
  w.Advance(Micros::Millis(100));
  EXPECT_EQ(client.received(), "re:hello\n");
  // The reserve has been had meanwhile, and serves the next time.
  Client next = w.Connect();
  AllDescriptors all;
  w.Turns();
  EXPECT_TRUE(next.closed());
  EXPECT_EQ(w.counters().refused_fds, 1u);
}

}  // namespace
}  // namespace sluice::net
