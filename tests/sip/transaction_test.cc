// Goal: figures 5 to 8 of RFC 3261 as RFC 6026 corrects them, each arrow and
// each timer, and nothing that is not in them.
// Method: tables of one event a row, on a clock of the test's; the times at
// which an unanswered message goes out.

#include "sip/transaction.h"

#include <string>
#include <type_traits>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/sip/transaction_events.h"

namespace sluice::sip {
namespace {

using ::testing::ElementsAre;

// They are kept by the thousand and copied as they are.
static_assert(std::is_trivially_copyable_v<Client>);
static_assert(std::is_trivially_copyable_v<Server>);
static_assert(std::is_trivially_copyable_v<Repeater>);

// A transaction of one sort in one state, and what each event does there.
template <typename Transaction>
struct Table {
  bool invite;
  bool reliable;
  std::vector<Event> before;  // that lead into the state
  typename Transaction::State state;
  int64_t due;
  struct Row {
    Event event;
    std::string does;
    typename Transaction::State after;
    int64_t due;
  };
  std::vector<Row> rows;
};

template <typename Transaction>
void Expect(const std::vector<Table<Transaction>>& tables) {
  for (const auto& table : tables) {
    std::string before = absl::StrCat(table.invite ? "INVITE" : "OPTIONS",
                                      table.reliable ? " by TCP" : " by UDP");
    for (const Event& event : table.before) {
      absl::StrAppend(&before, ", ", Words(event));
    }
    for (const auto& row : table.rows) {
      SCOPED_TRACE(absl::StrCat(before, "; ", Words(row.event)));
      Transaction transaction(table.invite, table.reliable, {}, kStart);
      for (const Event& event : table.before) Tell(&transaction, event);
      ASSERT_EQ(transaction.state(), table.state);
      ASSERT_EQ(Ms(transaction.due()), table.due);
      EXPECT_EQ(Words(Tell(&transaction, row.event)), row.does);
      EXPECT_EQ(transaction.state(), row.after);
      EXPECT_EQ(Ms(transaction.due()), row.due);
    }
  }
}

// --- The client's ----------------------------------------------------------

TEST(ClientTransaction, OfAnInviteIsFigure5) {
  constexpr auto kCalling = Client::State::kCalling;
  constexpr auto kProceeding = Client::State::kProceeding;
  constexpr auto kAccepted = Client::State::kAccepted;
  constexpr auto kCompleted = Client::State::kCompleted;
  constexpr auto kTerminated = Client::State::kTerminated;
  Expect<Client>({
      {kInvite,
       kUdp,
       {},
       kCalling,
       500,
       {{Time(499), "", kCalling, 500},
        {Time(500), "send ", kCalling, 1500},  // A
        {Time(31'999), "send ", kCalling, 32'000},
        {Time(32'000), "timeout ", kTerminated, kNever},  // B
        {Status(100), "pass ", kProceeding, kNever},
        {Status(180), "pass ", kProceeding, kNever},
        {Status(199), "pass ", kProceeding, kNever},
        {Status(200), "pass ", kAccepted, 32'300},
        {Status(299), "pass ", kAccepted, 32'300},
        {Status(300), "ack pass ", kCompleted, 32'300},
        {Status(486), "ack pass ", kCompleted, 32'300},
        {Status(699), "ack pass ", kCompleted, 32'300},
        {Error(), "failed ", kTerminated, kNever},
        {Status(-1), "", kCalling, 500},
        {Status(99), "", kCalling, 500},
        {Status(700), "", kCalling, 500}}},
      {kInvite,
       kTcp,
       {},
       kCalling,
       32'000,
       {{Time(500), "", kCalling, 32'000},  // no A
        {Time(32'000), "timeout ", kTerminated, kNever},
        {Status(100), "pass ", kProceeding, kNever},
        {Status(200), "pass ", kAccepted, 32'300},        // M is not 0
        {Status(486), "ack pass ", kTerminated, kNever},  // D is
        {Error(), "failed ", kTerminated, kNever}}},
      {kInvite,
       kUdp,
       {Status(100, 100)},
       kProceeding,
       kNever,
       {{Time(1'000'000), "", kProceeding, kNever},  // no A, no B, no C
        {Status(183), "pass ", kProceeding, kNever},
        {Status(200), "pass ", kAccepted, 32'300},
        {Status(404), "ack pass ", kCompleted, 32'300},
        {Error(), "", kProceeding, kNever}}},  // nothing was being sent
      {kInvite,
       kTcp,
       {Status(100, 100)},
       kProceeding,
       kNever,
       {{Status(183), "pass ", kProceeding, kNever},
        {Status(200), "pass ", kAccepted, 32'300},
        {Status(404), "ack pass ", kTerminated, kNever},
        {Error(), "", kProceeding, kNever}}},
      {kInvite,
       kUdp,
       {Status(200, 200)},
       kAccepted,
       32'200,
       {{Status(200), "pass ", kAccepted, 32'200},
        {Status(202), "pass ", kAccepted, 32'200},
        {Status(180), "", kAccepted, 32'200},
        {Status(486), "", kAccepted, 32'200},
        {Error(), "", kAccepted, 32'200},
        {Time(32'199), "", kAccepted, 32'200},
        {Time(32'200), "", kTerminated, kNever}}},  // M
      {kInvite,
       kTcp,
       {Status(180, 100), Status(200, 200)},
       kAccepted,
       32'200,
       {{Status(200), "pass ", kAccepted, 32'200},
        {Status(500), "", kAccepted, 32'200},
        {Time(32'200), "", kTerminated, kNever}}},
      {kInvite,
       kUdp,
       {Status(486, 200)},
       kCompleted,
       32'200,
       {{Status(486), "ack ", kCompleted, 32'200},
        {Status(603), "ack ", kCompleted, 32'200},
        {Status(180), "", kCompleted, 32'200},
        {Status(200), "", kCompleted, 32'200},
        {Error(), "failed ", kTerminated, kNever},
        {Time(32'199), "", kCompleted, 32'200},
        {Time(32'200), "", kTerminated, kNever}}},  // D
      {kInvite,
       kUdp,
       {Time(32'000)},
       kTerminated,
       kNever,
       {{Status(180, 32'100), "", kTerminated, kNever},
        {Status(200, 32'100), "", kTerminated, kNever},
        {Status(486, 32'100), "", kTerminated, kNever},
        {Error(32'100), "", kTerminated, kNever},
        {Time(99'000), "", kTerminated, kNever}}},
  });
}

TEST(ClientTransaction, OfAnotherIsFigure6) {
  constexpr auto kTrying = Client::State::kTrying;
  constexpr auto kProceeding = Client::State::kProceeding;
  constexpr auto kCompleted = Client::State::kCompleted;
  constexpr auto kTerminated = Client::State::kTerminated;
  Expect<Client>({
      {kOther,
       kUdp,
       {},
       kTrying,
       500,
       {{Time(499), "", kTrying, 500},
        {Time(500), "send ", kTrying, 1500},              // E
        {Time(32'000), "timeout ", kTerminated, kNever},  // F
        {Status(100), "pass ", kProceeding, 500},         // E goes on
        {Status(199), "pass ", kProceeding, 500},
        {Status(200), "pass ", kCompleted, 5300},
        {Status(401), "pass ", kCompleted, 5300},
        {Status(699), "pass ", kCompleted, 5300},
        {Error(), "failed ", kTerminated, kNever},
        {Status(0), "", kTrying, 500},
        {Status(700), "", kTrying, 500}}},
      {kOther,
       kTcp,
       {},
       kTrying,
       32'000,
       {{Time(500), "", kTrying, 32'000},  // no E
        {Time(32'000), "timeout ", kTerminated, kNever},
        {Status(100), "pass ", kProceeding, 32'000},
        {Status(200), "pass ", kTerminated, kNever},  // K is 0
        {Status(404), "pass ", kTerminated, kNever},
        {Error(), "failed ", kTerminated, kNever}}},
      {kOther,
       kUdp,
       {Status(100, 100)},
       kProceeding,
       500,
       {{Time(500), "send ", kProceeding, 4500},  // E is T2
        {Time(32'000), "timeout ", kTerminated, kNever},
        {Status(180), "pass ", kProceeding, 500},
        {Status(200), "pass ", kCompleted, 5300},
        {Status(503), "pass ", kCompleted, 5300},
        {Error(), "failed ", kTerminated, kNever}}},
      {kOther,
       kTcp,
       {Status(100, 100)},
       kProceeding,
       32'000,
       {{Time(4500), "", kProceeding, 32'000},
        {Time(32'000), "timeout ", kTerminated, kNever},
        {Status(180), "pass ", kProceeding, 32'000},
        {Status(200), "pass ", kTerminated, kNever},
        {Error(), "failed ", kTerminated, kNever}}},
      {kOther,
       kUdp,
       {Status(200, 200)},
       kCompleted,
       5200,
       {{Status(100), "", kCompleted, 5200},
        {Status(200), "", kCompleted, 5200},
        {Status(500), "", kCompleted, 5200},
        {Error(), "", kCompleted, 5200},
        {Time(5199), "", kCompleted, 5200},
        {Time(5200), "", kTerminated, kNever}}},  // K
      {kOther,
       kTcp,
       {Status(200, 200)},
       kTerminated,
       kNever,
       {{Status(100), "", kTerminated, kNever},
        {Status(200), "", kTerminated, kNever},
        {Error(), "", kTerminated, kNever},
        {Time(99'000), "", kTerminated, kNever}}},
  });
}

// --- The server's ----------------------------------------------------------

TEST(ServerTransaction, OfAnInviteIsFigure7) {
  constexpr auto kProceeding = Server::State::kProceeding;
  constexpr auto kAccepted = Server::State::kAccepted;
  constexpr auto kCompleted = Server::State::kCompleted;
  constexpr auto kConfirmed = Server::State::kConfirmed;
  constexpr auto kTerminated = Server::State::kTerminated;
  Expect<Server>({
      {kInvite,
       kUdp,
       {},
       kProceeding,
       200,
       {{Time(199), "", kProceeding, 200},
        {Time(200), "trying ", kProceeding, kNever},
        {Time(99'000), "trying ", kProceeding, kNever},
        {Request(150), "", kProceeding, 200},  // nothing to send yet
        {Ack(150), "", kProceeding, 200},
        {Error(150), "failed ", kProceeding, 200},
        {Status(100, 150), "send ", kProceeding, kNever},
        {Status(183, 150), "send ", kProceeding, kNever},
        {Status(200, 150), "send ", kAccepted, 32'150},
        {Status(299, 150), "send ", kAccepted, 32'150},
        {Status(300, 150), "send ", kCompleted, 650},
        {Status(699, 150), "send ", kCompleted, 650},
        {Status(99, 150), "", kProceeding, 200},
        {Status(700, 150), "", kProceeding, 200}}},
      {kInvite,
       kUdp,
       {Time(200)},
       kProceeding,
       kNever,
       {{Request(), "send ", kProceeding, kNever},  // the 100
        {Status(180), "send ", kProceeding, kNever},
        {Status(200), "send ", kAccepted, 32'300},
        {Time(99'000), "", kProceeding, kNever}}},
      {kInvite,
       kTcp,
       {Status(180, 100)},
       kProceeding,
       kNever,
       {{Time(200), "", kProceeding, kNever},  // no 100 behind a 180
        {Request(), "send ", kProceeding, kNever},
        {Status(183), "send ", kProceeding, kNever},
        {Status(200), "send ", kAccepted, 32'300},
        {Status(486), "send ", kCompleted, 32'300},  // H, no G
        {Ack(), "", kProceeding, kNever},
        {Error(), "failed ", kProceeding, kNever}}},
      {kInvite,
       kTcp,
       {},
       kProceeding,
       200,
       {{Time(200), "trying ", kProceeding, kNever}}},
      {kInvite,
       kUdp,
       {Status(200, 100)},
       kAccepted,
       32'100,
       {{Request(), "", kAccepted, 32'100},
        {Ack(), "pass ", kAccepted, 32'100},
        {Status(200), "send ", kAccepted, 32'100},
        {Status(180), "", kAccepted, 32'100},
        {Status(486), "", kAccepted, 32'100},
        {Error(), "failed ", kAccepted, 32'100},
        {Time(32'099), "", kAccepted, 32'100},
        {Time(32'100), "", kTerminated, kNever}}},  // L
      {kInvite,
       kTcp,
       {Status(200, 100), Ack(150)},
       kAccepted,
       32'100,
       {{Ack(), "pass ", kAccepted, 32'100},
        {Status(200), "send ", kAccepted, 32'100},
        {Time(32'100), "", kTerminated, kNever}}},  // nor is L 0
      {kInvite,
       kUdp,
       {Status(486, 100)},
       kCompleted,
       600,
       {{Time(599), "", kCompleted, 600},
        {Time(600), "send ", kCompleted, 1600},  // G
        {Request(), "send ", kCompleted, 600},
        {Ack(), "", kConfirmed, 5300},
        {Status(180), "", kCompleted, 600},
        {Status(200), "", kCompleted, 600},
        {Status(486), "", kCompleted, 600},
        {Error(), "failed ", kCompleted, 600},
        {Time(32'100), "timeout ", kTerminated, kNever}}},  // H
      {kInvite,
       kTcp,
       {Status(486, 100)},
       kCompleted,
       32'100,
       {{Time(600), "", kCompleted, 32'100},
        {Request(), "send ", kCompleted, 32'100},
        {Ack(), "", kTerminated, kNever},  // I is 0
        {Error(), "failed ", kCompleted, 32'100},
        {Time(32'100), "timeout ", kTerminated, kNever}}},
      {kInvite,
       kUdp,
       {Status(486, 100), Ack(200)},
       kConfirmed,
       5200,
       {{Ack(), "", kConfirmed, 5200},
        {Request(), "", kConfirmed, 5200},
        {Status(180), "", kConfirmed, 5200},
        {Status(200), "", kConfirmed, 5200},
        {Status(486), "", kConfirmed, 5200},
        {Error(), "", kConfirmed, 5200},
        {Time(5199), "", kConfirmed, 5200},
        {Time(5200), "", kTerminated, kNever}}},  // I
      {kInvite,
       kTcp,
       {Status(486, 100), Ack(200)},
       kTerminated,
       kNever,
       {{Ack(), "", kTerminated, kNever},
        {Request(), "", kTerminated, kNever},
        {Status(200), "", kTerminated, kNever},
        {Error(), "", kTerminated, kNever},
        {Time(99'000), "", kTerminated, kNever}}},
  });
}

TEST(ServerTransaction, OfAnotherIsFigure8) {
  constexpr auto kTrying = Server::State::kTrying;
  constexpr auto kProceeding = Server::State::kProceeding;
  constexpr auto kCompleted = Server::State::kCompleted;
  constexpr auto kTerminated = Server::State::kTerminated;
  Expect<Server>({
      {kOther,
       kUdp,
       {},
       kTrying,
       kNever,
       {{Time(200), "", kTrying, kNever},  // 100 is an INVITE's
        {Request(), "", kTrying, kNever},
        {Ack(), "", kTrying, kNever},
        {Error(), "", kTrying, kNever},
        {Status(100), "send ", kProceeding, kNever},
        {Status(200), "send ", kCompleted, 32'300},
        {Status(699), "send ", kCompleted, 32'300},
        {Status(0), "", kTrying, kNever},
        {Status(700), "", kTrying, kNever}}},
      {kOther,
       kTcp,
       {},
       kTrying,
       kNever,
       {{Request(), "", kTrying, kNever},
        {Status(100), "send ", kProceeding, kNever},
        {Status(200), "send ", kTerminated, kNever},  // J is 0
        {Status(404), "send ", kTerminated, kNever}}},
      {kOther,
       kUdp,
       {Status(100, 100)},
       kProceeding,
       kNever,
       {{Request(), "send ", kProceeding, kNever},
        {Status(182), "send ", kProceeding, kNever},
        {Status(200), "send ", kCompleted, 32'300},
        {Status(500), "send ", kCompleted, 32'300},
        {Ack(), "", kProceeding, kNever},
        {Error(), "failed ", kTerminated, kNever},
        {Time(99'000), "", kProceeding, kNever}}},
      {kOther,
       kTcp,
       {Status(100, 100)},
       kProceeding,
       kNever,
       {{Request(), "send ", kProceeding, kNever},
        {Status(500), "send ", kTerminated, kNever},
        {Error(), "failed ", kTerminated, kNever}}},
      {kOther,
       kUdp,
       {Status(200, 100)},
       kCompleted,
       32'100,
       {{Request(), "send ", kCompleted, 32'100},
        {Status(100), "", kCompleted, 32'100},
        {Status(200), "", kCompleted, 32'100},
        {Status(500), "", kCompleted, 32'100},
        {Ack(), "", kCompleted, 32'100},
        {Error(), "failed ", kTerminated, kNever},
        {Time(32'099), "", kCompleted, 32'100},
        {Time(32'100), "", kTerminated, kNever}}},  // J
      {kOther,
       kUdp,
       {Status(200, 100), Time(32'100)},
       kTerminated,
       kNever,
       {{Request(33'000), "", kTerminated, kNever},
        {Ack(33'000), "", kTerminated, kNever},
        {Status(200, 33'000), "", kTerminated, kNever},
        {Error(33'000), "", kTerminated, kNever},
        {Time(99'000), "", kTerminated, kNever}}},
  });
}

// --- The times -------------------------------------------------------------

// When it sends again while nobody answers, and last when it ends.
template <typename Repeating>
std::vector<int64_t> Times(Repeating repeating) {
  std::vector<int64_t> times;
  while (repeating.due() != kNeverDue && times.size() < 100) {
    const Micros now = repeating.due();
    const auto does = repeating.OnTime(now);
    EXPECT_TRUE(does.send || repeating.due() == kNeverDue) << Ms(now);
    times.push_back(Ms(now));
  }
  return times;
}

TEST(ClientTransaction, AnUnansweredInviteDoublesWithoutEnd) {
  EXPECT_THAT(Times(Client(kInvite, kUdp, {}, kStart)),
              ElementsAre(500, 1500, 3500, 7500, 15'500, 31'500, 32'000));
  EXPECT_THAT(Times(Client(kInvite, kTcp, {}, kStart)), ElementsAre(32'000));
}

TEST(ClientTransaction, AnotherDoublesUpToT2) {
  EXPECT_THAT(Times(Client(kOther, kUdp, {}, kStart)),
              ElementsAre(500, 1500, 3500, 7500, 11'500, 15'500, 19'500, 23'500,
                          27'500, 31'500, 32'000));
  EXPECT_THAT(Times(Client(kOther, kTcp, {}, kStart)), ElementsAre(32'000));
  Client client(kOther, kUdp, {}, kStart);
  client.OnTime(At(500));
  client.OnResponse(100, At(700));
  EXPECT_THAT(Times(client), ElementsAre(1500, 5500, 9500, 13'500, 17'500,
                                         21'500, 25'500, 29'500, 32'000));
}

TEST(ServerTransaction, AFailureDoublesUpToT2UntilItsAck) {
  Server server(kInvite, kUdp, {}, kStart);
  server.Respond(486, kStart);
  EXPECT_THAT(Times(server),
              ElementsAre(500, 1500, 3500, 7500, 11'500, 15'500, 19'500, 23'500,
                          27'500, 31'500, 32'000));
}

TEST(Transactions, TakeTheirTimesFromTheTimers) {
  const TransactionTimers fast{.t1 = Micros::Millis(10),
                               .t2 = Micros::Millis(40),
                               .t4 = Micros::Millis(50)};
  EXPECT_THAT(Times(Client(kInvite, kUdp, fast, kStart)),
              ElementsAre(10, 30, 70, 150, 310, 630, 640));
  Client client(kInvite, kUdp, fast, kStart);
  client.OnResponse(486, kStart);
  EXPECT_EQ(Ms(client.due()), 32'000) << "D is 32 s at least";
  Client slow(kInvite, kUdp, {.t1 = Micros::Seconds(1)}, kStart);
  slow.OnResponse(486, kStart);
  EXPECT_EQ(Ms(slow.due()), 64'000);
  Client other(kOther, kUdp, fast, kStart);
  other.OnResponse(200, kStart);
  EXPECT_EQ(Ms(other.due()), 50);
}

TEST(Transactions, LateTheySendOnceAndTheNextCountsFromThen) {
  Client client(kInvite, kUdp, {}, kStart);
  EXPECT_EQ(Words(client.OnTime(At(9000))), "send ");
  EXPECT_EQ(Ms(client.due()), 10'000);
  EXPECT_EQ(Words(client.OnTime(At(9000))), "");
  EXPECT_EQ(Words(client.OnTime(At(10'000))), "send ");
  EXPECT_EQ(Ms(client.due()), 12'000);
  // Past both: nobody would wait for the answer.
  EXPECT_EQ(Words(client.OnTime(At(40'000))), "timeout ");
  EXPECT_EQ(Words(client.OnTime(At(41'000))), "");
  Server server(kInvite, kUdp, {}, kStart);
  server.Respond(486, kStart);
  EXPECT_EQ(Words(server.OnTime(At(9000))), "send ");
  EXPECT_EQ(Ms(server.due()), 10'000);
}

// --- What the user repeats -------------------------------------------------

TEST(Repeater, SendsA2xxAtT1DoubledUpToT2AndGivesUp) {
  EXPECT_THAT(Times(Repeater(Repeater::Kind::kFinal, {}, kStart)),
              ElementsAre(500, 1500, 3500, 7500, 11'500, 15'500, 19'500, 23'500,
                          27'500, 31'500, 32'000));
  Repeater repeater(Repeater::Kind::kFinal, {}, kStart);
  EXPECT_EQ(repeater.OnTime(At(499)), Repeater::Does{});
  EXPECT_EQ(repeater.OnTime(At(500)), Repeater::Does{.send = true});
  EXPECT_FALSE(repeater.done());
  EXPECT_EQ(repeater.OnTime(At(32'000)), Repeater::Does{.give_up = true});
  EXPECT_TRUE(repeater.done());
  EXPECT_EQ(repeater.OnTime(At(99'000)), Repeater::Does{});
}

TEST(Repeater, SendsA1xxAtT1DoubledWithoutEnd) {
  EXPECT_THAT(Times(Repeater(Repeater::Kind::kProvisional, {}, kStart)),
              ElementsAre(500, 1500, 3500, 7500, 15'500, 31'500, 32'000));
}

TEST(Repeater, IsSilentOnceAcknowledged) {
  for (const auto kind :
       {Repeater::Kind::kFinal, Repeater::Kind::kProvisional}) {
    Repeater repeater(kind, {}, kStart);
    repeater.OnTime(At(500));
    repeater.Acknowledged();
    EXPECT_TRUE(repeater.done());
    EXPECT_EQ(repeater.due(), kNeverDue);
    EXPECT_EQ(repeater.OnTime(At(1500)), Repeater::Does{});
    EXPECT_EQ(repeater.OnTime(At(99'000)), Repeater::Does{});
  }
}

}  // namespace
}  // namespace sluice::sip
