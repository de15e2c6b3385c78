// Whatever single message of a call is lost on the way, or comes twice, both
// sides end in the state in which they would have been without (RFC 3261 17,
// 13.2.2.4, 13.3.1.4; RFC 3262 3).

#include <gtest/gtest.h>

#include <memory>
#include <string>
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
    params.cb_final = [tell](Call&, const CallResult& r) {
      tell("final " + std::to_string(r.code));
    };
    params.cb_established = [tell](Call&) { tell("established"); };
    params.recv_bye = [tell](Call&) { tell("their bye"); };
    params.send_bye = [tell](Call&, const CallResult& r) {
      tell("our bye " + std::to_string(r.code));
    };
    params.cb_noanswer = [tell](Call&) { tell("no answer"); };
    params.cb_cleanup = [tell](Call&) { tell("over"); };
    return params;
  }
  void Listen(CallParams params,
              std::function<bool(Call&, const Message&)> create = {}) {
    Simple::ListenArgs args;
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
  c.Listen({.auto_answer = false}, [](Call& call, const Message&) {
    return call.Ring(false, false).ok();
  });
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
    return call.Ring(true, true).ok();
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
  c.Listen({.auto_answer = false}, [](Call& call, const Message&) {
    return call.Ring(false, false).ok();
  });
  c.Invite({});
  c.RunUntil([&] { return c.his_ != nullptr; });
  (void)c.hers_->Cancel();
}

void Refuse(Course& c) {
  c.Listen({.auto_answer = false},
           [](Call& call, const Message&) { return call.Reject(486).ok(); });
  c.Invite({});
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

INSTANTIATE_TEST_SUITE_P(
    Courses, CallLoss,
    ::testing::Values(Row{"CallAndHangUp", CallAndHangUp},
                      Row{"CallAndBeHungUp", CallAndBeHungUp},
                      Row{"RingAndAnswer", RingAndAnswer},
                      Row{"RingReliablyWithMedia", RingReliablyWithMedia},
                      Row{"HoldAndResume", HoldAndResume},
                      Row{"CancelWhileRinging", CancelWhileRinging},
                      Row{"Refuse", Refuse}),
    [](const auto& row) { return std::string(row.param.name); });

}  // namespace
}  // namespace sluice::sip
