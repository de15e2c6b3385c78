#include "sip/transactions.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "sip/handler.h"
#include "tests/sip/sip_world.h"

namespace sluice::sip {
namespace {

// The layer on the SIP floor of the proxy's tests, with a phone opposite.
class TransactionsTest : public ::testing::Test {
 protected:
  class Station final : public Handler {
   public:
    explicit Station(TransactionsTest& test) : test_(test) {}
    std::string_view name() const override { return "test"; }
    Handled Receive(Incoming& in) override {
      if (test_.layer_->Receive(in) == Handled::kMine) return Handled::kMine;
      test_.unknown_.emplace_back(in.message.method_text());
      if (in.message.is_response()) return Handled::kNotMine;
      if (in.message.method() == Method::kCancel) {
        test_.invite_ = test_.layer_->InviteOf(in);
      }
      if (in.message.method() != Method::kAck && test_.accept_) {
        test_.server_ = test_.layer_->Accept(in, "ours");
      }
      return Handled::kMine;
    }

   private:
    TransactionsTest& test_;
  };

  TransactionsTest()
      : leg_(world_.AddLeg("a", "127.0.0.1", {Transport::kUdp})),
        phone_(world_, Transport::kUdp),
        station_(*this) {
    world_.Start();
    world_.SetChains({&station_});
    layer_ = std::make_unique<Transactions>(world_.loop, *world_.dispatcher,
                                            TransactionTimers());
  }
  Router::Way Way() {
    return {
        .leg = &leg_,
        .destination = {.transport = Transport::kUdp, .address = phone_.at()}};
  }
  static OutgoingRequest Request(std::string_view method) {
    return {.method = std::string(method),
            .uri = "sip:x@example.com",
            .headers = Cat("From: <sip:a@example.com>;tag=a\r\n"
                           "To: <sip:x@example.com>\r\nCall-ID: 1\r\nCSeq: 1 ",
                           method, "\r\n"),
            .call_id = "1"};
  }
  void Later(Micros time) {
    for (const Micros end = world_.now + time; world_.now < end;
         world_.now = world_.now + Micros::Millis(100)) {
      world_.Settle();
    }
    world_.Settle();
  }

  SipWorld world_;
  Leg& leg_;
  Phone phone_;
  Station station_;
  std::unique_ptr<Transactions> layer_;
  std::vector<std::string> unknown_;
  Transactions::Id server_ = 0, invite_ = 0;
  bool accept_ = true;
};

TEST_F(TransactionsTest, EachRequestHasABranchOfItsOwnAndHearsItsAnswerOnly) {
  std::vector<std::string> heard;
  const auto send = [&](const std::string& name) {
    return layer_->Send(Request("OPTIONS"), Way(),
                        {.response = [&heard, name](const Incoming& in) {
                          heard.push_back(Cat(name, in.message.status()));
                        }});
  };
  const auto one = send("one ");
  const auto two = send("two ");
  EXPECT_NE(one, two);
  const std::string first = phone_.Next();
  const std::string second = phone_.Next();
  EXPECT_NE(BranchOf(first), BranchOf(second));
  EXPECT_TRUE(BranchOf(first).starts_with("z9hG4bK"));
  phone_.Respond(second, {.code = 200});
  phone_.Respond(second, {.code = 200});  // again: absorbed
  phone_.Respond(first, {.code = 404});
  world_.Settle();
  EXPECT_EQ(heard, (std::vector<std::string>{"two 200", "one 404"}));
  // K is over: nothing of them is kept, and what still comes is a stranger's.
  Later(Micros::Seconds(6));
  EXPECT_EQ(layer_->size(), 0u);
  phone_.Respond(first, {.code = 404});
  world_.Settle();
  EXPECT_EQ(heard.size(), 2u);
}

TEST_F(TransactionsTest, AnAbandonedOneTellsNothingAndEnds) {
  bool told = false;
  const auto id =
      layer_->Send(Request("OPTIONS"), Way(),
                   {.response = [&](const Incoming&) { told = true; },
                    .failed = [&](int) { told = true; }});
  layer_->Abandon(id);
  Later(Micros::Seconds(40));
  EXPECT_FALSE(told);
  EXPECT_EQ(layer_->size(), 0u);
  layer_->Abandon(id);
  layer_->Abandon(0);
}

TEST_F(TransactionsTest, ACancelIsForWhatHasAProvisionalAnswerAndNoOther) {
  const auto options = layer_->Send(Request("OPTIONS"), Way(), {});
  layer_->Cancel(options);
  layer_->Cancel(12'345);
  phone_.Next();
  const auto id = layer_->Send(Request("INVITE"), Way(), {});
  const std::string invite = phone_.Next();
  layer_->Cancel(id);
  EXPECT_TRUE(phone_.Silent());
  phone_.Respond(invite, {.code = 180});
  world_.Settle();
  layer_->Cancel(id);
  layer_->Cancel(id);
  EXPECT_EQ(BranchOf(phone_.Next()), BranchOf(invite));
  EXPECT_TRUE(phone_.Silent());
  phone_.Respond(invite, {.code = 200});
  world_.Settle();
  layer_->Cancel(id);
  EXPECT_TRUE(phone_.Silent());
}

TEST_F(TransactionsTest, ARepeatedRequestGetsTheLastAnswerAgain) {
  const std::string request = phone_.Write({.method = "MESSAGE"});
  phone_.Send(leg_, request);
  world_.Settle();
  ASSERT_NE(server_, 0u);
  phone_.Send(leg_, request);  // nothing to say yet
  EXPECT_TRUE(phone_.Silent());
  EXPECT_TRUE(layer_->Respond(server_, 202, "Fine", "X-A: b\r\n", "body"));
  const std::string answer = phone_.Next();
  EXPECT_EQ(LineOf(answer, "X-A: "), "X-A: b");
  EXPECT_EQ(BodyOf(answer), "body");
  EXPECT_NE(Value(answer, HeaderId::kTo).find(";tag=ours"), std::string::npos);
  phone_.Send(leg_, request);
  EXPECT_EQ(phone_.Next(), answer);
  EXPECT_EQ(unknown_, std::vector<std::string>{"MESSAGE"});
  EXPECT_FALSE(layer_->Respond(server_, 200, "Again"));
  EXPECT_FALSE(layer_->Respond(0, 200, "Nobody"));
  Later(Micros::Seconds(40));
  EXPECT_EQ(layer_->size(), 0u);
  EXPECT_FALSE(layer_->Respond(server_, 200, "Gone"));
}

TEST_F(TransactionsTest, SaysTryingForAUserWhoIsSlow) {
  phone_.Send(leg_, phone_.Write({.method = "INVITE"}));
  world_.Settle();
  EXPECT_TRUE(phone_.Silent());
  Later(Micros::Millis(300));
  EXPECT_EQ(StatusOf(phone_.Next()), 100);
}

TEST_F(TransactionsTest, AFailureIsRepeatedUntilItsAckAndItsUserToldWithout) {
  const std::string request = phone_.Write({.method = "INVITE"});
  phone_.Send(leg_, request);
  world_.Settle();
  ASSERT_TRUE(layer_->Respond(server_, 486, "Busy Here"));
  const std::string answer = phone_.Next();
  world_.now = world_.now + Micros::Millis(600);
  EXPECT_EQ(phone_.Next(), answer);
  phone_.Send(leg_, phone_.Write({.method = "ACK"}));
  Later(Micros::Seconds(10));
  EXPECT_TRUE(phone_.Silent());
  EXPECT_EQ(layer_->size(), 0u);
  phone_.Send(leg_, phone_.Write({.method = "INVITE",
                                  .call_id = "2",
                                  .branch = "z9hG4bKother"}));
  world_.Settle();
  ASSERT_TRUE(layer_->Respond(server_, 486, "Busy Here"));
  Later(Micros::Seconds(40));
  EXPECT_EQ(layer_->size(), 0u);
}

TEST_F(TransactionsTest, ACancelNamesTheInviteOfItsBranch) {
  phone_.Send(leg_, phone_.Write({.method = "INVITE"}));
  world_.Settle();
  const auto invite = server_;
  phone_.Send(leg_, phone_.Write({.method = "CANCEL"}));
  world_.Settle();
  EXPECT_EQ(invite_, invite);
  phone_.Send(leg_,
              phone_.Write({.method = "CANCEL", .branch = "z9hG4bKnone"}));
  world_.Settle();
  EXPECT_EQ(invite_, 0u);
}

TEST_F(TransactionsTest, WithoutAMagicBranchRequestsAreToldApartByTheRest) {
  const Ask old{.method = "INVITE", .branch = "1"};
  phone_.Send(leg_, phone_.Write(old));
  world_.Settle();
  const auto first = server_;
  phone_.Send(leg_, phone_.Write(old));
  world_.Settle();
  EXPECT_EQ(server_, first);
  Ask other = old;
  other.call_id = "another";
  phone_.Send(leg_, phone_.Write(other));
  world_.Settle();
  EXPECT_NE(server_, first);
  // The ACK of a failure finds its INVITE (RFC 2543).
  ASSERT_TRUE(layer_->Respond(first, 486, "Busy Here"));
  unknown_.clear();
  Ask ack = old;
  ack.method = "ACK";
  ack.to = Cat(ack.to, ";tag=ours");
  phone_.Send(leg_, phone_.Write(ack));
  world_.Settle();
  EXPECT_TRUE(unknown_.empty());
}

TEST_F(TransactionsTest, ThereAreNoMoreThanItsMost) {
  for (size_t i = 0; i < Transactions::kMax; ++i) {
    ASSERT_NE(layer_->Send(Request("OPTIONS"), Way(), {}), 0u) << i;
  }
  EXPECT_EQ(layer_->size(), Transactions::kMax);
  bool told = false;
  EXPECT_EQ(layer_->Send(Request("OPTIONS"), Way(),
                         {.failed = [&](int) { told = true; }}),
            0u);
  phone_.Send(leg_, phone_.Write({.method = "MESSAGE"}));
  world_.Settle();
  // Others have a room of their own.
  EXPECT_EQ(unknown_, std::vector<std::string>{"MESSAGE"});
  EXPECT_NE(server_, 0u);
  ASSERT_TRUE(layer_->Respond(server_, 200, "OK"));
  // All are over in 64 * T1, and there is room again.
  world_.now = world_.now + Micros::Seconds(33);
  for (int i = 0; i < 10'000 && layer_->size() > 0; ++i) {
    world_.loop.RunOnce(Micros());
  }
  EXPECT_EQ(layer_->size(), 0u);
  EXPECT_FALSE(told);
  EXPECT_NE(layer_->Send(Request("OPTIONS"), Way(), {}), 0u);
}

// What is kept to answer others is bounded by its octets, too: long answers to
// few requests.
TEST_F(TransactionsTest, KeepsNoMoreForOthersThanItsMostOctets) {
  constexpr size_t kBody = 60'000;
  constexpr size_t kAnswers = Transactions::kServerOctetsMax / kBody;
  const std::string body(kBody, 'x');
  const auto ask = [this](size_t n) {
    server_ = 0;
    phone_.Send(leg_, phone_.Write({.method = "MESSAGE",
                                    .call_id = Cat("call-", n),
                                    .branch = Cat("z9hG4bKn", n)}));
    world_.Settle();
    return server_;
  };
  // As much as the bodies alone; what is around them goes beyond.
  size_t answered = 0;
  while (answered <= kAnswers && ask(answered) != 0) {
    ASSERT_TRUE(layer_->Respond(server_, 200, "OK",
                                "Content-Type: text/plain\r\n", body));
    ++answered;
    // Strangers' half: to within one answer.
    if (answered * kBody >= Transactions::kServerOctetsMax / 2) {
      EXPECT_TRUE(layer_->crowded());
    } else if ((answered + 20) * kBody < Transactions::kServerOctetsMax / 2) {
      EXPECT_FALSE(layer_->crowded());
    }
  }
  EXPECT_GE(answered, kAnswers * 97 / 100);
  EXPECT_LE(answered, kAnswers);
  EXPECT_EQ(layer_->size(), answered);
  // There is no room for others, but for ours.
  EXPECT_EQ(ask(answered), 0u);
  EXPECT_NE(layer_->Send(Request("OPTIONS"), Way(), {}), 0u);
  // It is let go of with its transactions (timer J).
  world_.now = world_.now + Micros::Seconds(33);
  world_.Settle();
  EXPECT_NE(ask(kAnswers + 2), 0u);
}

}  // namespace
}  // namespace sluice::sip
