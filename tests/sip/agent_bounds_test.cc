#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "sip/registration.h"
#include "sip/requester.h"
#include "sip/user_call.h"
#include "tests/sip/scripted_peer.h"

// What a peer can make an agent keep and say, and how often: each bound is
// reached, and gone beyond.
namespace sluice::sip {
namespace {

using ::testing::ElementsAre;

// ---- the ACK of a 2xx -------------------------------------------------------

class AgentAcks : public ScriptWorld {
 protected:
  // How many ACKs are the answer to one more copy of that 2xx.
  size_t AcksTo(const std::string& ok) {
    const size_t before = peer_.Count("ACK");
    peer_.Send(ok);
    RunFor(Micros::Millis(20));
    return peer_.Count("ACK") - before;
  }
};

TEST_F(AgentAcks, AreRepeatedForEachCopyOfTheAnswerButNotForEver) {
  Establish(Told());
  for (int i = 0; i < UserCall::kAckRepeatsMax; ++i) {
    EXPECT_EQ(AcksTo(answer_), 1u) << i;
  }
  EXPECT_EQ(peer_.Last("ACK"), ack_);  // the same octets (13.2.2.4)
  for (int i = 0; i < 3; ++i) EXPECT_EQ(AcksTo(answer_), 0u) << i;
  // It is the copies that have lost: the call is up.
  EXPECT_EQ(call_->state(), Call::State::kEstablished);
  ASSERT_TRUE(call_->Reinvite().ok());
  const std::string ok =
      peer_.WriteAnswer(Hear("INVITE"), 200, {.body = SdpAt(30'000)});
  EXPECT_EQ(AcksTo(ok), 1u);
  EXPECT_EQ(AcksTo(ok), 1u);
}

TEST_F(AgentAcks, OfSoManyAnswersOfACallAreKeptAndTheOldestGoes) {
  Establish(Told());
  std::vector<std::string> answers{answer_};
  while (answers.size() < UserCall::kAckedMax) {
    ASSERT_TRUE(call_->Reinvite().ok());
    answers.push_back(peer_.WriteAnswer(Hear("INVITE", answers.size() - 1), 200,
                                        {.body = SdpAt(30'000)}));
    ASSERT_EQ(AcksTo(answers.back()), 1u);
  }
  // All of them are there.
  EXPECT_EQ(AcksTo(answers.front()), 1u);
  ASSERT_TRUE(call_->Reinvite().ok());
  answers.push_back(peer_.WriteAnswer(Hear("INVITE", answers.size() - 1), 200,
                                      {.body = SdpAt(30'000)}));
  ASSERT_EQ(AcksTo(answers.back()), 1u);
  EXPECT_EQ(AcksTo(answers[0]), 0u);
  EXPECT_EQ(AcksTo(answers[1]), 1u);
  EXPECT_EQ(AcksTo(answers.back()), 1u);
}

// ---- redirections -----------------------------------------------------------

class AgentRedirects : public ScriptWorld {};

TEST_F(AgentRedirects, SoManyContactsOfAllAreTried) {
  std::string invite = Begin(Told());
  std::string more;
  for (size_t i = 0; i < Requester::kContactsMax + 5; ++i) {
    Append(&more, "Contact: <", peer_.UriOf(Cat("x", i)), ">\r\n");
  }
  peer_.Answer(invite, 302, {.contact = "", .more = more});
  for (size_t i = 1; i <= Requester::kContactsMax; ++i) {
    invite = Hear("INVITE", i);
    EXPECT_EQ(sip::UriOf(invite), peer_.UriOf(Cat("x", i - 1)));
    peer_.Answer(invite, 404);
  }
  ASSERT_TRUE(RunUntil([&] { return Over(); }));
  EXPECT_EQ(peer_.Count("INVITE"), 1 + Requester::kContactsMax);
  EXPECT_THAT(told_, ElementsAre("final 404", "cleanup"));
}

// ---- what a registrar makes of us -------------------------------------------

class AgentRegistration : public ScriptWorld {
 protected:
  static constexpr int64_t kBriefestWait = Registration::kBriefestWait;
  static constexpr int64_t kLongestWait = Registration::kLongestWait;

  AgentRegistration() {
    Simple::Options options = OptionsOf("me");
    options.legs = {"udp:127.0.0.1:0"};
    options.registrar = peer_.host();
    auto made = Simple::Create(std::move(options));
    EXPECT_TRUE(made.ok()) << made.status();
    ua_ = *std::move(made);
    peer_.Face(At(*ua_));
  }
  void Register(uint32_t expires) {
    const auto begun = ua_->Register(
        {.expires = expires,
         .refresh = true,
         .cb_final = [this](const absl::StatusOr<uint32_t>& r) {
           heard_.push_back(r.ok() ? Cat("granted ", *r)
                                   : std::string(r.status().message()));
         }});
    ASSERT_TRUE(begun.ok()) << begun.status();
  }
  void Answer(size_t n, int code, std::string more) {
    peer_.Answer(Hear("REGISTER", n), code,
                 {.contact = "", .more = std::move(more), .reason = "Why"});
    Settle();
  }
  size_t Asked() const { return peer_.Count("REGISTER"); }

  std::vector<std::string> heard_;
};

TEST_F(AgentRegistration, IsNotMadeAStormByWhoGrantsASecond) {
  Register(600);
  Answer(0, 200, "Expires: 1\r\n");
  EXPECT_THAT(heard_, ElementsAre("granted 1"));
  RunFor(Micros::Millis(kBriefestWait * 1'000 - 100));
  EXPECT_EQ(Asked(), 1u);
  RunFor(Micros::Millis(200));
  EXPECT_EQ(Asked(), 2u);
  // Where there is time, three quarters of it.
  Answer(1, 200, Cat("Expires: ", 4 * kBriefestWait, "\r\n"));
  RunFor(Micros::Millis(kBriefestWait * 3'000 - 100));
  EXPECT_EQ(Asked(), 2u);
  RunFor(Micros::Millis(200));
  EXPECT_EQ(Asked(), 3u);
}

TEST_F(AgentRegistration, PromisesNoMoreThanItsLongest) {
  Register(600);
  Answer(0, 423, Cat("Min-Expires: ", kLongestWait + 1, "\r\n"));
  EXPECT_THAT(heard_, ElementsAre("423 Why"));
  EXPECT_EQ(Asked(), 1u);
  Register(600);
  Answer(1, 423, Cat("Min-Expires: ", kLongestWait, "\r\n"));
  EXPECT_EQ(Value(Hear("REGISTER", 2), HeaderId::kExpires), Cat(kLongestWait));
}

}  // namespace
}  // namespace sluice::sip
