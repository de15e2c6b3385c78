#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "tests/sip/rtp_party.h"
#include "tests/sip/scripted_peer.h"

// What a program may do to its agent at odd moments.
namespace sluice::sip {
namespace {

using ::testing::ElementsAre;

class AgentProgram : public ScriptWorld {};

TEST_F(AgentProgram, CleansUpWhenItHearsThatItCleansUp) {
  CallParams params = Told();
  int told = 0;
  params.cb_cleanup = [&](Call&) {
    ++told;
    ua_->Cleanup();
  };
  Establish(std::move(params));
  ua_->Cleanup();
  EXPECT_EQ(told, 1);
  EXPECT_FALSE(ua_->Invite("peer", {}).ok());
}

TEST_F(AgentProgram, CleansUpWhenItIsDestroyed) {
  Simple* const ua = ua_.get();
  CallParams params = Told();
  int told = 0;
  params.cb_cleanup = [&told, ua](Call&) {
    ++told;
    ua->Cleanup();
  };
  Establish(std::move(params));
  call_.reset();
  ua_.reset();
  EXPECT_EQ(told, 1);
}

// As a session object does that is held by callbacks alone.
TEST_F(AgentProgram, EndsCallsWhenTheLastCallbackGoes) {
  struct Guard {
    std::vector<std::shared_ptr<Call>> others;
    ~Guard() {
      for (const auto& other : others) (void)other->Reject(486);
    }
  };
  const auto guard = std::make_shared<Guard>();
  std::weak_ptr<Guard> seen = guard;
  Simple::ListenArgs args;
  args.cb_create = [&](Call& call, const Message&) {
    if (const auto held = seen.lock()) {
      held->others.push_back(call.shared_from_this());
    }
    return true;
  };
  args.call.auto_answer = false;
  ASSERT_TRUE(ua_->Listen(std::move(args)).ok());
  for (int i = 0; i < 8; ++i) {
    peer_.Ask({.from = Cat("<sip:p@x>;tag=", i),
               .call_id = Cat("g", i),
               .said = {.body = SdpAt(30'000)}});
  }
  Turn();
  ASSERT_EQ(guard->others.size(), 8u);
  {
    auto last = std::make_shared<std::shared_ptr<Guard>>(guard);
    const_cast<std::shared_ptr<Guard>&>(guard).reset();
    for (int i = 0; i < 3; ++i) {
      CallParams params = Told();
      if (i == 0) params.cb_noanswer = [last](Call&) {};
      ASSERT_TRUE(ua_->Invite("peer", std::move(params)).ok());
    }
  }
  Turn();
  ASSERT_EQ(peer_.Count("INVITE"), 3u);
  for (int i = 0; i < 3; ++i) peer_.Answer(peer_.Nth("INVITE", i), 486);
  ASSERT_TRUE(RunUntil([&] { return seen.expired() && Over(); }));
  EXPECT_EQ(peer_.Count("486 INVITE"), 8u);
}

TEST_F(AgentProgram, ListensAnewInTheFilterOfAChain) {
  const auto auth = ua_->CreateAuth({.user2pass = {{"a", "b"}}, .realm = "r"});
  ASSERT_TRUE(auth.ok()) << auth.status();
  int asked = 0;
  ASSERT_TRUE(ua_->CreateChain({*auth}, {.filter =
                                             [&](const Incoming&) {
                                               ++asked;
                                               (void)ua_->Listen({});
                                               return false;
                                             }})
                  .ok());
  peer_.Ask({.said = {.body = SdpAt(30'000)}});
  RunFor(Micros::Millis(50));
  EXPECT_EQ(asked, 1);
  EXPECT_EQ(peer_.heard().size(), 1u);
}

TEST_F(AgentProgram, TakesOurMediaAfterItsOwn) {
  for (const bool by_peer : {false, true}) {
    SCOPED_TRACE(by_peer);
    peer_.Forget();
    CallParams own = Told();
    own.sdp = SdpAt(4'000);
    Establish(std::move(own));
    EXPECT_EQ(call_->media(), nullptr);
    call_->SetParam(Told());
    ASSERT_NE(call_->media(), nullptr);
    std::string said;
    if (by_peer) {
      peer_.Within(answer_, {.method = "INVITE",
                             .cseq = 9,
                             .said = {.body = SdpAt(30'000, "sendrecv", 2)}});
      said = Hear("200 INVITE");
    } else {
      ASSERT_TRUE(call_->Reinvite().ok());
      said = Hear("INVITE");
    }
    EXPECT_NE(BodyOf(said).find(Cat("m=audio ", call_->media()->port(), " ")),
              std::string::npos);
    ua_->Cleanup();
    ua_ = Make("me", peer_.host());
    peer_.Face(At(*ua_));
  }
}

TEST_F(AgentProgram, ThinksBetterOfItsMediaBeforeTheAnswer) {
  CallParams own = Told();
  own.sdp = SdpAt(4'000);
  const std::string invite = Begin(std::move(own));
  call_->SetParam(Told());
  peer_.Answer(invite, 200, {.body = SdpAt(30'000)});
  Hear("ACK");
  EXPECT_EQ(call_->state(), Call::State::kEstablished);
  // The next offer is ours.
  ASSERT_TRUE(call_->Reinvite().ok());
  EXPECT_NE(BodyOf(Hear("INVITE", 1))
                .find(Cat("m=audio ", call_->media()->port(), " ")),
            std::string::npos);
}

TEST_F(AgentProgram, SetsParametersOfACallThatIsOver) {
  Establish(Told());
  peer_.Within(answer_, {.method = "BYE", .cseq = 7});
  ASSERT_TRUE(RunUntil([&] { return Over(); }));
  RunFor(Micros::Millis(10));
  const auto held = std::make_shared<int>(1);
  CallParams params;
  params.cb_dtmf = [held](Call&, char, rtp::DtmfMethod) {};
  call_->SetParam(std::move(params));
  EXPECT_EQ(held.use_count(), 1);  // nothing of it stays
}

// As an object does that its own timer's callback holds.
TEST_F(AgentProgram, CancelsATimerWhoseCallbackIsGoing) {
  struct Session {
    Simple& ua;
    uint64_t timer = 0;
    int& gone;
    ~Session() {
      ua.CancelTimer(timer);
      ++gone;
    }
  };
  int gone = 0;
  const auto add = [&] {
    const std::shared_ptr<Session> session(
        new Session{.ua = *ua_, .gone = gone});
    session->timer = ua_->AddTimer(Micros::Seconds(5), [session] {});
    return session->timer;
  };
  ua_->CancelTimer(add());
  EXPECT_EQ(gone, 1);
  add();
  add();
  ua_->Cleanup();
  EXPECT_EQ(gone, 3);
}

TEST_F(AgentProgram, StopsOneLoopOnly) {
  bool over = false;
  CallParams params = Told();
  params.cb_cleanup = [&](Call&) {
    over = true;
    ua_->Stop();
  };
  Establish(std::move(params));
  peer_.Within(answer_, {.method = "BYE", .cseq = 7});
  EXPECT_TRUE(ua_->Loop(Micros::Seconds(5), {&over}));
  bool never = false, timer = false;
  ua_->AddTimer(Micros(), [&] { timer = true; });
  EXPECT_TRUE(ua_->Loop(Micros::Seconds(5), {&never, &timer}));
}

TEST_F(AgentProgram, HearsOfItsUpdateHoweverItEnds) {
  std::vector<int> done;
  const auto hear = [&](Call&, const CallResult& r) { done.push_back(r.code); };
  Establish(Told());
  ASSERT_TRUE(call_->Update(hear).ok());
  peer_.Answer(Hear("UPDATE"), 481);
  ASSERT_TRUE(RunUntil([&] { return !done.empty(); }));
  EXPECT_THAT(done, ElementsAre(481));
  peer_.Answer(Hear("BYE"), 200);
  ASSERT_TRUE(RunUntil([&] { return Over(); }));
  peer_.Forget();
  done.clear();
  Establish(Told());
  ASSERT_TRUE(call_->Update(hear).ok());
  const std::string update = Hear("UPDATE");
  peer_.Within(answer_, {.method = "BYE", .cseq = 7});
  Turn();
  peer_.Answer(update, 200, {.body = SdpAt(30'000)});
  ASSERT_TRUE(RunUntil([&] { return !done.empty(); }));
  EXPECT_EQ(done.size(), 1u);
}

TEST_F(AgentProgram, ListensForDigitsLaterOn) {
  Establish(Told());
  std::string digits;
  CallParams params = Told();
  params.cb_dtmf = [&](Call&, char digit, rtp::DtmfMethod) { digits += digit; };
  call_->SetParam(std::move(params));
  RtpParty party(loop_);
  party.Dial(*call_->media(), 5);
  RunFor(Micros::Millis(50));
  EXPECT_EQ(digits, "5");
}

TEST_F(AgentProgram, ATimerThatRepeatsBackwardsComesOnce) {
  int came = 0;
  ua_->AddTimer(
      Micros::Millis(1), [&] { ++came; }, Micros(-1));
  RunFor(Micros::Millis(50));
  EXPECT_EQ(came, 1);
}

TEST_F(AgentProgram, ARegistrationForNoTimeIsNone) {
  absl::StatusOr<uint32_t> told = 7;
  ASSERT_TRUE(ua_->Register({.registrar = peer_.host(),
                             .cb_final = [&](const auto& r) { told = r; }})
                  .ok());
  peer_.Answer(Hear("REGISTER"), 200,
               {.contact = "", .more = "Expires: 0\r\n"});
  ASSERT_TRUE(RunUntil([&] { return !told.ok(); }));
  EXPECT_TRUE(absl::IsAborted(told.status())) << told.status();
}

}  // namespace
}  // namespace sluice::sip
