// Whatever single message of a call is lost on the way, comes twice, or is
// overtaken by the next, both sides end in the state in which they would have
// been without (RFC 3261 17, 13.2.2.4, 13.3.1.4; RFC 3262 3).

#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "sip/simple.h"
#include "tests/sip/simple_world.h"

namespace sluice::sip {
namespace {

// What became of it, as both programs saw it.
struct Outcome {
  std::vector<std::string> hers, his;
  bool over = false;
};

class Course : public SimpleAgents {
 public:
  using Play = void (*)(Course&);

  // From the first message to the last.
  Outcome Run(Play play, Wire::Judge judge) {
    wire_.SetJudge(std::move(judge));
    play(*this);
    outcome_.over =
        RunUntil([&] { return alice_->calls() == 0 && bob_->calls() == 0; });
    // What is repeated until it is heard has its time.
    RunFor(Micros::Seconds(40), Micros::Millis(20));
    return outcome_;
  }
  const Wire& wire() const { return wire_; }

  void Told(bool hers, std::string what) {
    (hers ? outcome_.hers : outcome_.his).push_back(std::move(what));
  }
  CallParams Told(bool hers, CallParams params) {
    const auto tell = [this, hers](std::string what) {
      Told(hers, std::move(what));
    };
    params.rtp_timeout = Micros();
    // What the course leaves open it hears itself.
    if (!params.cb_final) {
      params.cb_final = [tell](Call&, const CallResult& r) {
        tell("final " + std::to_string(r.code));
      };
    }
    if (!params.cb_established) {
      params.cb_established = [tell](Call&) { tell("established"); };
    }
    params.recv_bye = [tell](Call&) { tell("their bye"); };
    params.send_bye = [tell](Call&, const CallResult& r) {
      tell("our bye " + std::to_string(r.code));
    };
    params.cb_noanswer = [tell](Call&) { tell("no answer"); };
    params.cb_cleanup = [tell](Call&) { tell("over"); };
    return params;
  }
  void Listen(CallParams params,
              std::function<bool(Call&, const Message&)> create = {},
              std::optional<Simple::AuthArgs> auth = {}) {
    Simple::ListenArgs args;
    args.auth = std::move(auth);
    args.cb_create = [this, create](Call& call, const Message& m) {
      his_ = call.shared_from_this();
      return !create || create(call, m);
    };
    args.call = Told(false, std::move(params));
    ASSERT_TRUE(bob_->Listen(std::move(args)).ok());
  }
  void Invite(CallParams params) {
    auto call = alice_->Invite("bob", Told(true, std::move(params)));
    ASSERT_TRUE(call.ok()) << call.status();
    hers_ = *call;
  }
  // Callers log in, where their party or a proxy asks.
  static Simple::AuthArgs Login(bool proxy) {
    return {.user2pass = {{"alice", "secret"}},
            .realm = "here",
            .i_am_proxy = proxy};
  }
  static Credentials Alice() { return {"alice", "secret"}; }
  // `seconds` of a contact of hers at him, who is a registrar.
  void Register(uint32_t seconds) {
    bool answered = false;
    const auto begun = alice_->Register(
        {.registrar = "example.com",
         .auth = Alice(),
         .expires = seconds,
         .cb_final = [&](const absl::StatusOr<uint32_t>& granted) {
           answered = true;
           EXPECT_TRUE(granted.ok()) << granted.status();
           Told(true, granted.ok() ? "granted " + std::to_string(*granted)
                                   : granted.status().ToString());
         }});
    ASSERT_TRUE(begun.ok()) << begun.status();
    ASSERT_TRUE(RunUntil([&] { return answered; }));
  }
  void CreateRegistrar() {
    const auto made = bob_->CreateRegistrar(
        {.domains = {"example.com"}, .auth = Login(false)});
    ASSERT_TRUE(made.ok()) << made.status();
  }
  bool Established() const {
    return hers_ && his_ && hers_->state() == Call::State::kEstablished &&
           his_->state() == Call::State::kEstablished;
  }
  using SimpleAgents::RunFor;
  using SimpleAgents::RunUntil;

  std::shared_ptr<Call> hers_, his_;

 private:
  Outcome outcome_;
};

// ---- what is played ---------------------------------------------------------

void CallAndHangUp(Course& c) {
  c.Listen({});
  c.Invite({});
  c.RunUntil([&] { return c.Established(); });
  (void)c.hers_->Bye();
}

void CallAndBeHungUp(Course& c) {
  c.Listen({});
  c.Invite({.sdp_on_ack = true});
  c.RunUntil([&] { return c.Established(); });
  (void)c.his_->Bye();
}

void RingAndAnswer(Course& c) {
  c.Listen({.auto_answer = false},
           [](Call& call, const Message&) { return call.Ring().ok(); });
  c.Invite({});
  c.RunUntil([&] { return c.his_ != nullptr; });
  c.RunUntil([&] { return c.hers_->state() == Call::State::kRinging; },
             Micros::Seconds(1));
  (void)c.his_->Answer();
  c.RunUntil([&] { return c.Established(); });
  (void)c.his_->Bye();
}

void RingReliablyWithMedia(Course& c) {
  c.Listen({.auto_answer = false}, [](Call& call, const Message&) {
    return call.Ring({.media = true, .reliable = true}).ok();
  });
  c.Invite({});
  c.RunUntil([&] { return c.hers_->state() == Call::State::kRinging; });
  (void)c.his_->Answer();
  c.RunUntil([&] { return c.Established(); });
  (void)c.hers_->Bye();
}

void HoldAndResume(Course& c) {
  // What is lost is repeated within 64 * T1; one thing after the other.
  constexpr Micros kSettled = Micros::Seconds(33);
  c.Listen({});
  c.Invite({});
  c.RunUntil([&] { return c.Established(); });
  c.RunFor(kSettled);
  EXPECT_TRUE(c.hers_->Hold().ok());
  c.RunFor(kSettled);
  EXPECT_TRUE(c.his_->held_by_peer());
  EXPECT_TRUE(c.his_->Update().ok());
  c.RunFor(kSettled);
  EXPECT_TRUE(c.hers_->Resume().ok());
  c.RunFor(kSettled);
  EXPECT_FALSE(c.his_->held_by_peer());
  EXPECT_TRUE(c.hers_->Bye().ok());
}

void CancelWhileRinging(Course& c) {
  c.Listen({.auto_answer = false},
           [](Call& call, const Message&) { return call.Ring().ok(); });
  c.Invite({});
  c.RunUntil([&] { return c.his_ != nullptr; });
  (void)c.hers_->Cancel();
}

void Refuse(Course& c) {
  c.Listen({.auto_answer = false},
           [](Call& call, const Message&) { return call.Reject(486).ok(); });
  c.Invite({});
}

// Both have spoken when neither has heard the other yet. Her BYE may overtake
// her ACK: then he hears of no call that was up.
void CancelCrossesTheAnswer(Course& c) {
  c.Listen({.auto_answer = false,
            .cb_final = [](Call&, const CallResult&) {},
            .cb_established = [](Call&) {}},
           [](Call& call, const Message&) { return call.Ring().ok(); });
  c.Invite({});
  c.RunUntil([&] { return c.hers_->state() == Call::State::kRinging; });
  EXPECT_TRUE(c.his_->Answer().ok());
  EXPECT_TRUE(c.hers_->Cancel().ok());
}

void BothHangUpAtOnce(Course& c) {
  // Who has left already says 481, which ends it as 200 does (RFC 3261 15.1.1);
  // and whose BYE comes first is chance.
  const auto done = [&c](bool hers) {
    return [&c, hers](Call&, const CallResult& r) {
      EXPECT_TRUE(r.code == 200 || r.code == 481) << r.code;
      c.Told(hers, "our bye is answered");
    };
  };
  c.Listen({});
  c.Invite({});
  c.RunUntil([&] { return c.Established(); });
  EXPECT_TRUE(c.hers_->Bye(done(true)).ok());
  EXPECT_TRUE(c.his_->Bye(done(false)).ok());
}

void LogInAtTheParty(Course& c) {
  c.Listen({}, {}, Course::Login(false));
  c.Invite({.auth = Course::Alice()});
  c.RunUntil([&] { return c.Established(); });
  EXPECT_TRUE(c.hers_->Bye().ok());
}

void LogInAtAProxy(Course& c) {
  c.Listen({}, {}, Course::Login(true));
  c.Invite({.auth = Course::Alice()});
  c.RunUntil([&] { return c.Established(); });
  EXPECT_TRUE(c.his_->Bye().ok());
}

// The second one has credentials at once, the third removes.
void RegisterWithALogin(Course& c) {
  c.CreateRegistrar();
  c.Register(200);
  c.Register(100);
  c.Register(0);
}

// Another offer of hers while it rings (RFC 3311).
void UpdateWhileRinging(Course& c) {
  c.Listen({.auto_answer = false}, [](Call& call, const Message&) {
    return call.Ring({.media = true, .reliable = true}).ok();
  });
  c.Invite({.rtp_param = {.codecs = {rtp::Codec::kPcmu}}});
  c.RunUntil([&] { return c.hers_->state() == Call::State::kRinging; });
  CallParams params = c.hers_->params();
  params.rtp_param.codecs = {rtp::Codec::kPcma};
  c.hers_->SetParam(std::move(params));
  bool updated = false;
  // It waits until the PRACK has its answer: overtaken, that would be refused
  // as out of order (RFC 3261 12.2.2).
  EXPECT_TRUE(c.hers_
                  ->Update([&](Call&, const CallResult& r) {
                    updated = true;
                    c.Told(true, "update " + std::to_string(r.code));
                  })
                  .ok());
  EXPECT_TRUE(c.RunUntil([&] { return updated; }));
  EXPECT_EQ(c.his_->media()->agreed().codec, rtp::Codec::kPcma);
  EXPECT_EQ(c.hers_->media()->agreed().codec, rtp::Codec::kPcma);
  EXPECT_TRUE(c.his_->Answer().ok());
  c.RunUntil([&] { return c.Established(); });
  EXPECT_TRUE(c.hers_->Bye().ok());
}

struct Row {
  const char* name;
  Course::Play play;
};
void PrintTo(const Row& row, std::ostream* out) { *out << row.name; }

class CallLoss : public ::testing::TestWithParam<Row> {
 protected:
  // Without a fault.
  Outcome Clean(std::vector<std::string>* story) {
    Course course;
    const Outcome outcome = course.Run(GetParam().play, {});
    *story = course.wire().Story();
    return outcome;
  }
  void Each(Wire::Fate fate) {
    std::vector<std::string> story;
    const Outcome clean = Clean(&story);
    ASSERT_TRUE(clean.over);
    ASSERT_GE(story.size(), 3u);
    for (size_t i = 0; i < story.size(); ++i) {
      SCOPED_TRACE(std::string("message ") + std::to_string(i) + " " +
                   story[i]);
      Course course;
      const Outcome outcome =
          course.Run(GetParam().play, [&](const Wire::Seen&, size_t index) {
            return index == i ? fate : Wire::Fate::kPass;
          });
      EXPECT_TRUE(outcome.over);
      EXPECT_EQ(outcome.hers, clean.hers)
          << ::testing::PrintToString(course.wire().Story());
      EXPECT_EQ(outcome.his, clean.his)
          << ::testing::PrintToString(course.wire().Story());
    }
  }
};

TEST_P(CallLoss, OfAnyOneMessageChangesNothing) { Each(Wire::Fate::kLose); }
TEST_P(CallLoss, AnyMessageTwiceIsOnce) { Each(Wire::Fate::kTwice); }
TEST_P(CallLoss, AnyMessageAfterTheNextIsAsInOrder) { Each(Wire::Fate::kLate); }

INSTANTIATE_TEST_SUITE_P(
    Courses, CallLoss,
    ::testing::Values(Row{"CallAndHangUp", CallAndHangUp},
                      Row{"CallAndBeHungUp", CallAndBeHungUp},
                      Row{"RingAndAnswer", RingAndAnswer},
                      Row{"RingReliablyWithMedia", RingReliablyWithMedia},
                      Row{"HoldAndResume", HoldAndResume},
                      Row{"CancelWhileRinging", CancelWhileRinging},
                      Row{"CancelCrossesTheAnswer", CancelCrossesTheAnswer},
                      Row{"BothHangUpAtOnce", BothHangUpAtOnce},
                      Row{"LogInAtTheParty", LogInAtTheParty},
                      Row{"LogInAtAProxy", LogInAtAProxy},
                      Row{"RegisterWithALogin", RegisterWithALogin},
                      Row{"UpdateWhileRinging", UpdateWhileRinging},
                      Row{"Refuse", Refuse}),
    [](const auto& row) { return std::string(row.param.name); });

}  // namespace
}  // namespace sluice::sip
