// Goal: whatever comes in whatever order, a transaction keeps its laws: nothing
// behind its end, one end told, no timer in the past.
// Method: all sequences of four events, and long random ones with a printed
// seed, each event held against the laws.

#include <algorithm>
#include <random>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "sip/transaction.h"
#include "tests/sip/transaction_events.h"

namespace sluice::sip {
namespace {

// A transaction with what was seen of it; each event is held against the laws.
class CheckedClient {
 public:
  CheckedClient(bool invite, bool reliable)
      : invite_(invite),
        reliable_(reliable),
        client_(invite, reliable, {}, kStart) {}
  Micros due() const { return client_.due(); }
  bool over() const { return client_.state() == Client::State::kTerminated; }
  // An INVITE that is proceeding may wait for ever.
  bool waits() const {
    return invite_ && client_.state() == Client::State::kProceeding;
  }
  void Do(const Event& event) {
    const bool was_over = over();
    const auto does = Tell(&client_, event);
    if (was_over) {
      EXPECT_EQ(does, Client::Does{});
    }
    if (over()) {
      EXPECT_EQ(due(), kNeverDue);
    }
    if (event.kind == Kind::kTime) {
      EXPECT_GT(due(), At(event.ms));
    }
    EXPECT_LE(does.send + does.pass + does.timeout + does.failed, 1);
    EXPECT_FALSE(does.send && (reliable_ || ended_ || waits()));
    EXPECT_FALSE(does.ack && (!invite_ || event.status < 300));
    EXPECT_FALSE((does.timeout || does.failed) && !over());
    EXPECT_FALSE(does.timeout && ended_);
    if (does.pass && event.status >= 200) {
      EXPECT_TRUE(!ended_ || (accepted_ && event.status < 300));
      accepted_ = invite_ && event.status < 300;
      ended_ = true;
    } else if (does.pass) {
      EXPECT_FALSE(ended_);
    }
    // Behind an answer only the ACK of an INVITE's failure can fail.
    EXPECT_FALSE(does.failed && ended_ && (!invite_ || accepted_));
    ended_ |= does.timeout || does.failed;
  }
  static constexpr int kStatuses[] = {99, 100, 183, 200, 202, 302, 486, 699};
  static constexpr Kind kKinds[] = {Kind::kStatus, Kind::kTime, Kind::kError};

 private:
  const bool invite_, reliable_;
  bool ended_ = false, accepted_ = false;  // an end was told; it was a 2xx
  Client client_;
};

class CheckedServer {
 public:
  CheckedServer(bool invite, bool reliable)
      : invite_(invite),
        reliable_(reliable),
        server_(invite, reliable, {}, kStart) {}
  Micros due() const { return server_.due(); }
  bool over() const { return server_.state() == Server::State::kTerminated; }
  // For the user.
  bool waits() const { return !over() && final_ == 0; }
  void Do(const Event& event) {
    const bool was_over = over();
    const auto does = Tell(&server_, event);
    if (was_over) {
      EXPECT_EQ(does, Server::Does{});
    }
    if (over()) {
      EXPECT_EQ(due(), kNeverDue);
    }
    if (event.kind == Kind::kTime) {
      EXPECT_GT(due(), At(event.ms));
    }
    EXPECT_LE(does.send + does.trying + does.pass + does.timeout + does.failed,
              1);
    EXPECT_FALSE(does.trying && (!invite_ || said_));
    EXPECT_FALSE(does.pass && (event.kind != Kind::kAck || final_ / 100 != 2));
    EXPECT_FALSE(does.timeout && (final_ < 300 || acknowledged_ || !over()));
    EXPECT_FALSE(does.failed && invite_ && over());
    if (does.send && event.kind == Kind::kStatus) {
      EXPECT_TRUE(final_ == 0 ||
                  (invite_ && final_ / 100 == 2 && event.status / 100 == 2));
      if (event.status >= 200) final_ = event.status;
      said_ = true;
    } else if (does.send) {
      EXPECT_TRUE(said_);
      EXPECT_FALSE(acknowledged_);
      EXPECT_FALSE(invite_ && final_ / 100 == 2);  // is the user's to repeat
      EXPECT_FALSE(event.kind == Kind::kTime && (reliable_ || final_ == 0));
    }
    said_ |= does.trying;
    acknowledged_ |= event.kind == Kind::kAck && final_ >= 300 && invite_;
  }
  static constexpr int kStatuses[] = {99, 100, 183, 200, 202, 302, 486, 699};
  static constexpr Kind kKinds[] = {Kind::kStatus, Kind::kRequest, Kind::kAck,
                                    Kind::kTime, Kind::kError};

 private:
  const bool invite_, reliable_;
  bool said_ = false, acknowledged_ = false;
  int final_ = 0;
  Server server_;
};

// What can come next: each status and kind now, and time when something is due.
template <typename Checked>
std::vector<Event> Next(const Checked& checked, int64_t now) {
  std::vector<Event> next;
  for (const Kind kind : Checked::kKinds) {
    if (kind != Kind::kStatus) next.push_back({.kind = kind, .ms = now});
  }
  for (const int status : Checked::kStatuses) {
    next.push_back(Status(status, now));
  }
  if (checked.due() != kNeverDue) {
    next.push_back(Time(std::max(now, Ms(checked.due()))));
    next.push_back(Time(now + 40'000));
  }
  return next;
}

// Left alone it ends, unless it waits for somebody.
template <typename Checked>
void RunOut(Checked checked) {
  int steps = 0;
  while (checked.due() != kNeverDue && ++steps < 100) {
    checked.Do(Time(Ms(checked.due())));
  }
  EXPECT_EQ(checked.due(), kNeverDue);
  EXPECT_TRUE(checked.over() || checked.waits());
}

template <typename Checked>
void WalkAll(const Checked& checked, int64_t now, int depth, int64_t* seen) {
  RunOut(checked);
  ++*seen;
  if (depth == 0 || ::testing::Test::HasFailure()) return;
  for (const Event& event : Next(checked, now)) {
    Checked after = checked;
    after.Do(event);
    if (::testing::Test::HasFailure()) {
      ADD_FAILURE() << "by " << Words(event) << ", " << depth << " to go";
      return;
    }
    WalkAll(after, event.ms + 10, depth - 1, seen);
  }
}

template <typename Checked>
void WalkRandomly() {
  const uint64_t seed = std::random_device()();
  SCOPED_TRACE(absl::StrCat("seed ", seed));
  std::mt19937_64 random(seed);
  for (int walk = 0; walk < 4000; ++walk) {
    Checked checked(walk % 2 == 0, walk / 2 % 2 == 0);
    int64_t now = 0;
    std::string path;
    for (int step = 0; step < 40; ++step) {
      now += static_cast<int64_t>(random() % (random() % 8 == 0 ? 9000 : 300));
      const std::vector<Event> next = Next(checked, now);
      const Event event = next[random() % next.size()];
      now = event.ms;
      absl::StrAppend(&path, Words(event), "; ");
      checked.Do(event);
    }
    RunOut(checked);
    ASSERT_FALSE(::testing::Test::HasFailure()) << path;
  }
}

template <typename Checked>
class AnySequence : public ::testing::Test {};
using Both = ::testing::Types<CheckedClient, CheckedServer>;
TYPED_TEST_SUITE(AnySequence, Both);

TYPED_TEST(AnySequence, OfFourEventsKeepsTheLaws) {
  for (const bool invite : {true, false}) {
    for (const bool reliable : {true, false}) {
      int64_t seen = 0;
      WalkAll(TypeParam(invite, reliable), 0, 4, &seen);
      EXPECT_GT(seen, 10'000);
    }
  }
}

TYPED_TEST(AnySequence, AtRandomKeepsTheLaws) { WalkRandomly<TypeParam>(); }

}  // namespace
}  // namespace sluice::sip
