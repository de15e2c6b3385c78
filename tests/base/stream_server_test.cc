// What a server serves, and to whom: requests, replies, and peers that are
// wrong. What it bears is in stream_server_limits_test.cc.

#include "base/net/stream_server.h"

#include <unistd.h>

#include <csignal>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "tests/base/stream_server_world.h"

namespace sluice::net {
namespace {

class StreamServerTest : public testing::Test, protected World {};

TEST_F(StreamServerTest, AnswersAndCloses) {
  Start({});
  Client client = Connect();
  client.Send("hello\n");
  Turns();
  EXPECT_EQ(client.received(), "re:hello\n");
  EXPECT_TRUE(client.closed());
  EXPECT_EQ(counters().accepted, 1u);
  EXPECT_EQ(counters().replies, 1u);
  EXPECT_EQ(server_->connections(), 0);
}

TEST_F(StreamServerTest, KeepsTheConnectionWhereAskedAndAnswersInOrder) {
  Start({.close_after_reply = false});
  Client client = Connect();
  client.Send("a\nb\nc");
  Turns();
  EXPECT_EQ(client.received(), "re:a\nre:b\n");
  client.Send("\nd\n");
  Turns();
  EXPECT_EQ(client.received(), "re:a\nre:b\nre:c\nre:d\n");
  EXPECT_FALSE(client.closed());
  EXPECT_EQ(counters().replies, 4u);
}

TEST_F(StreamServerTest, AFrameSplitAtEveryOctetIsTheSameFrame) {
  Start({.close_after_reply = false});
  const std::string frames = "first one\nsecond\n";
  for (size_t cut = 1; cut < frames.size(); ++cut) {
    SCOPED_TRACE(cut);
    frames_.clear();
    Client client = Connect();
    client.Send(frames.substr(0, cut));
    Turns();
    client.Send(frames.substr(cut));
    Turns();
    EXPECT_EQ(frames_, (std::vector<std::string>{"first one\n", "second\n"}));
    EXPECT_EQ(client.received(), "re:first one\nre:second\n");
  }
  // And one octet at a time.
  frames_.clear();
  Client client = Connect();
  for (const char c : frames) {
    client.Send(std::string_view(&c, 1));
    Turns();
  }
  EXPECT_EQ(frames_, (std::vector<std::string>{"first one\n", "second\n"}));
}

TEST_F(StreamServerTest, OneRequestOnlyWhereItClosesAfterTheReply) {
  Start({});
  Client client = Connect();
  client.Send("one\ntwo\n");
  Turns();
  EXPECT_EQ(client.received(), "re:one\n");
  EXPECT_TRUE(client.closed());
  EXPECT_EQ(frames_.size(), 1u);
}

TEST_F(StreamServerTest, AnEmptyAnswerClosesWithoutAWord) {
  Start({.close_after_reply = false});
  Client client = Connect();
  client.Send("a\n$\nb\n");
  Turns();
  EXPECT_EQ(client.received(), "re:a\n");
  EXPECT_TRUE(client.closed());
  EXPECT_EQ(frames_.size(), 2u);
  EXPECT_EQ(counters().replies, 1u);
}

// --- Peers that are wrong (C1, C3, F18) -----------------------------------

TEST_F(StreamServerTest, AHalfOpenClientIsTimedOutAndOthersAreServedMeanwhile) {
  Start({});
  std::vector<Client> silent;
  for (int i = 0; i < 12; ++i) silent.push_back(Connect());
  Turns();
  Client client = Connect();
  client.Send("hello\n");
  Turns();
  EXPECT_EQ(client.received(), "re:hello\n");
  Advance(Micros::Millis(1990));
  EXPECT_EQ(server_->connections(), 12);
  Advance(Micros::Millis(10));
  EXPECT_EQ(server_->connections(), 0);
  EXPECT_EQ(counters().timed_out, 12u);
  for (Client& c : silent) EXPECT_TRUE(c.closed());
}

TEST_F(StreamServerTest, TricklingDoesNotStretchAFramesSecond) {
  Start({});
  Client client = Connect();
  Turns();
  Advance(Micros::Millis(1500));  // idle counts apart
  for (int i = 0; i < 10; ++i) {
    EXPECT_FALSE(client.closed());
    EXPECT_EQ(client.Send("x"), 1);
    Turns();
    Advance(Micros::Millis(100));
  }
  EXPECT_TRUE(client.closed());
  EXPECT_EQ(counters().timed_out, 1u);
  EXPECT_TRUE(frames_.empty());
}

TEST_F(StreamServerTest, EveryFrameOfAKeptConnectionHasItsOwnSecond) {
  Start({.close_after_reply = false});
  Client client = Connect();
  client.Send("a");
  Advance(Micros::Millis(900));
  client.Send("\nb");
  Advance(Micros::Millis(900));
  client.Send("\n");
  Turns();
  EXPECT_EQ(client.received(), "re:a\nre:b\n");
  // Then it is idle, and idle has its own time too.
  Advance(Micros::Millis(1990));
  EXPECT_FALSE(client.closed());
  Advance(Micros::Millis(10));
  EXPECT_TRUE(client.closed());
  EXPECT_EQ(counters().timed_out, 1u);
}

TEST_F(StreamServerTest, AnOversizedFrameIsClosedAtTheCap) {
  Start({.max_frame_bytes = 100});
  Client fits = Connect();
  fits.Send(std::string(99, 'x') + "\n");
  Turns();
  EXPECT_EQ(fits.received().size(), 103u);

  Client client = Connect();
  client.Send(std::string(99, 'x'));
  Turns();
  EXPECT_FALSE(client.closed());
  client.Send("x");
  Turns();
  EXPECT_TRUE(client.closed());
  EXPECT_EQ(counters().oversized, 1u);
  // One that announces its size is not waited for.
  Client announced = Connect();
  announced.Send("@");
  Turns();
  EXPECT_TRUE(announced.closed());
  EXPECT_EQ(counters().oversized, 2u);
  EXPECT_EQ(frames_.size(), 1u);
}

TEST_F(StreamServerTest, GarbageIsClosedAtOnce) {
  Start({.close_after_reply = false});
  Client client = Connect();
  client.Send("good\n!\x01\x02\xff");
  Turns();
  EXPECT_TRUE(client.closed());
  EXPECT_EQ(counters().bad_frames, 1u);
  EXPECT_EQ(frames_.size(), 1u);
}

TEST_F(StreamServerTest, ARequestCutShortIsNeverHandled) {
  Start({});
  Client client = Connect();
  client.Send("allocate som");
  client.NoMoreFromMe();
  Turns();
  EXPECT_TRUE(client.closed());
  EXPECT_TRUE(frames_.empty());
  EXPECT_EQ(counters().timed_out, 0u);
}

TEST_F(StreamServerTest, AClientThatHasFinishedSendingIsStillAnswered) {
  Start({.close_after_reply = false});
  Client client = Connect();
  client.Send("a\nb\n");
  client.NoMoreFromMe();
  Turns();
  EXPECT_EQ(client.received(), "re:a\nre:b\n");
  EXPECT_TRUE(client.closed());
}

TEST_F(StreamServerTest, AClientGoneBeforeTheReplyHurtsNobody) {
  // The process would end by SIGPIPE here, unless whoever started it ignores
  // that.
  const auto before = std::signal(SIGPIPE, SIG_DFL);
  Start({.close_after_reply = false});
  for (int i = 0; i < 3; ++i) {
    Client client = Connect();
    client.Send("a\nb\nbig 100000\n");
    client.Leave();
    Turns();
  }
  EXPECT_EQ(server_->connections(), 0);
  Client client = Connect();
  client.Send("still\n");
  Turns();
  EXPECT_EQ(client.received(), "re:still\n");
  std::signal(SIGPIPE, before);
}

TEST_F(StreamServerTest, APeerThatMayNotComeInIsClosedUnread) {
  Start({.max_connections = 1});
  Client inside = Connect();
  Turns();
  admit_ = false;
  Client client = Connect();
  client.Send("hello\n");
  Turns();
  EXPECT_TRUE(client.closed());
  EXPECT_TRUE(frames_.empty());
  EXPECT_EQ(counters().peers_refused, 1u);
  // And has cost nobody a place.
  EXPECT_EQ(counters().evicted, 0u);
  EXPECT_FALSE(inside.closed());
}

TEST_F(StreamServerTest, KnowsAUnixPeersUser) {
  Start({});
  Client client = Connect();
  Turns();
  EXPECT_TRUE(last_peer_.unix_socket);
  EXPECT_EQ(last_peer_.uid, getuid());
}

// --- TCP ------------------------------------------------------------------

TEST_F(StreamServerTest, ServesTcpAndKnowsThePeersAddress) {
  Start({});
  auto listener = ListenTcp(*Endpoint::Parse("127.0.0.1:0"), 16);
  ASSERT_TRUE(listener.ok());
  const Endpoint at = *LocalEndpoint(listener->get());
  ASSERT_TRUE(server_->Serve(*std::move(listener)).ok());
  Client client = Client::Tcp(at);
  client.Send("hello\n");
  TurnUntil([&] { return client.closed(); });
  EXPECT_EQ(client.received(), "re:hello\n");
  EXPECT_FALSE(last_peer_.unix_socket);
  EXPECT_EQ(last_peer_.address.ip, at.ip);
}

TEST_F(StreamServerTest, OctetsAfterTheRequestDoNotCostTheReply) {
  Start({});
  auto listener = ListenTcp(*Endpoint::Parse("127.0.0.1:0"), 16);
  ASSERT_TRUE(listener.ok());
  const Endpoint at = *LocalEndpoint(listener->get());
  ASSERT_TRUE(server_->Serve(*std::move(listener)).ok());
  Client client = Client::Tcp(at);
  // More than one read takes, so that some of it is unread at the close.
  client.Send("hello\n" + std::string(40'000, 'x'));
  TurnUntil([&] { return counters().closed == 1; });
  TurnUntil([&] { return client.closed(); });
  EXPECT_EQ(client.received(), "re:hello\n");
  EXPECT_FALSE(client.reset());
}

// --- The end ---------------------------------------------------------------

TEST_F(StreamServerTest, StopAcceptingLetsRunningOnesEnd) {
  Start({});
  Client client = Connect();
  client.Send("hel");
  Turns();
  server_->StopAccepting();
  client.Send("lo\n");
  Turns();
  EXPECT_EQ(client.received(), "re:hello\n");
  EXPECT_EQ(server_->connections(), 0);
  server_->StopAccepting();
  // Nobody listens any more.
  EXPECT_TRUE(ListenUnix(path_, 0600, 1).ok());
}

TEST_F(StreamServerTest, DestroyedItLeavesNothingInTheLoop) {
  Start({});
  Client a = Connect();
  Client b = Connect();
  b.Send("half");
  Turns();
  server_.reset();
  EXPECT_TRUE(a.closed());
  EXPECT_TRUE(b.closed());
  time_ = time_ + Micros::Seconds(10);
  loop_.RunOnce(Micros());  // no timer of theirs is left to fire
}

}  // namespace
}  // namespace sluice::net
