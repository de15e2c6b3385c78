#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "tests/sip/simple_world.h"

// The sound of two agents of ours: digits, holding, the end of it.
namespace sluice::sip {
namespace {

class CallMedia : public SimpleWorld {
 protected:
  void Establish(CallParams hers, CallParams his) {
    Simple::ListenArgs args;
    args.cb_create = [this](Call& call, const Message&) {
      his_ = call.shared_from_this();
      return true;
    };
    const auto listening = [](std::string& heard) {
      return [&heard](Call&, char digit, rtp::DtmfMethod method) {
        heard += digit;
        heard += method == rtp::DtmfMethod::kRfc4733 ? 'e' : 'b';
      };
    };
    hers.cb_dtmf = listening(she_heard_);
    his.cb_dtmf = listening(he_heard_);
    args.call = std::move(his);
    ASSERT_TRUE(bob_->Listen(std::move(args)).ok());
    auto call = alice_->Invite("bob", std::move(hers));
    ASSERT_TRUE(call.ok()) << call.status();
    hers_ = *std::move(call);
    ASSERT_TRUE(RunUntil([&] {
      return his_ && hers_->state() == Call::State::kEstablished &&
             his_->state() == Call::State::kEstablished;
    }));
  }
  static CallParams Playing(std::vector<rtp::DtmfMethod> methods = {}) {
    CallParams params;
    params.init_media = Rtp::Tone(300);
    params.dtmf_methods = std::move(methods);
    return params;
  }
  bool Over() const { return alice_->calls() == 0 && bob_->calls() == 0; }

  std::string she_heard_, he_heard_;
  std::shared_ptr<Call> hers_, his_;
};

TEST_F(CallMedia, DigitsGoBothWaysAsEvents) {
  Establish(Playing(), Playing());
  RunFor(Micros::Millis(200));
  ASSERT_TRUE(hers_->Dtmf("1*A").ok());
  ASSERT_TRUE(his_->Dtmf("#0").ok());
  RunFor(Micros::Seconds(3));
  EXPECT_EQ(he_heard_, "1e*eAe");
  EXPECT_EQ(she_heard_, "#e0e");
}

TEST_F(CallMedia, DigitsGoInTheBandWhereTheyMust) {
  Establish(Playing({rtp::DtmfMethod::kInBand}),
            Playing({rtp::DtmfMethod::kInBand}));
  RunFor(Micros::Millis(200));
  ASSERT_TRUE(hers_->Dtmf("159D").ok());
  RunFor(Micros::Seconds(3));
  EXPECT_EQ(he_heard_, "1b5b9bDb");
}

TEST_F(CallMedia, DigitsGoInTheBandToWhoTakesNoEvents) {
  CallParams his = Playing();
  his.rtp_param.event_type = 0;
  Establish(Playing(), std::move(his));
  RunFor(Micros::Millis(200));
  ASSERT_TRUE(hers_->Dtmf("7").ok());
  RunFor(Micros::Seconds(1));
  EXPECT_EQ(he_heard_, "7b");
}

TEST_F(CallMedia, ADigitThatIsNoneIsNamed) {
  Establish(Playing(), Playing());
  const absl::Status wrong = hers_->Dtmf("12x");
  EXPECT_EQ(wrong.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_NE(wrong.message().find("x"), std::string_view::npos) << wrong;
  CallParams only = hers_->params();
  only.dtmf_methods = {rtp::DtmfMethod::kRfc4733};
  hers_->SetParam(std::move(only));
  EXPECT_TRUE(hers_->Dtmf("1").ok());
}

TEST_F(CallMedia, WhoIsHeldSendsNothingUntilItIsResumed) {
  Establish(Playing(), Playing());
  RunFor(Micros::Seconds(1));
  ASSERT_TRUE(hers_->Hold().ok());
  ASSERT_TRUE(RunUntil([&] { return his_->held_by_peer(); }));
  RunFor(Micros::Millis(100));
  EXPECT_TRUE(hers_->held());
  const auto sent = his_->media()->sent().packets;
  RunFor(Micros::Seconds(20));  // longer than rtp_timeout
  EXPECT_EQ(his_->media()->sent().packets, sent);
  EXPECT_EQ(hers_->state(), Call::State::kEstablished);
  EXPECT_EQ(his_->state(), Call::State::kEstablished);
  ASSERT_TRUE(hers_->Resume().ok());
  ASSERT_TRUE(RunUntil([&] { return !his_->held_by_peer(); }));
  RunFor(Micros::Seconds(1));
  EXPECT_GT(his_->media()->sent().packets, sent + 40);
}

TEST_F(CallMedia, BothMayHold) {
  Establish(Playing(), Playing());
  ASSERT_TRUE(hers_->Hold().ok());
  ASSERT_TRUE(RunUntil([&] { return his_->held_by_peer(); }));
  RunFor(Micros::Millis(100));
  ASSERT_TRUE(his_->Hold().ok());
  ASSERT_TRUE(RunUntil([&] { return hers_->held_by_peer(); }));
  RunFor(Micros::Millis(100));
  ASSERT_TRUE(hers_->Resume().ok());
  RunFor(Micros::Millis(500));
  EXPECT_FALSE(his_->held_by_peer());
  EXPECT_TRUE(hers_->held_by_peer());  // by him, still
  ASSERT_TRUE(his_->Resume().ok());
  RunFor(Micros::Millis(500));
  EXPECT_FALSE(hers_->held_by_peer());
}

TEST_F(CallMedia, OffersThatMeetAreBothMadeInTheEnd) {
  Establish(Playing(), Playing());
  ASSERT_TRUE(hers_->Hold().ok());
  ASSERT_TRUE(his_->Hold().ok());
  EXPECT_TRUE(
      RunUntil([&] { return his_->held_by_peer() && hers_->held_by_peer(); },
               Micros::Seconds(30)))
      << ::testing::PrintToString(wire_.Story());
  EXPECT_EQ(hers_->state(), Call::State::kEstablished);
  EXPECT_EQ(his_->state(), Call::State::kEstablished);
}

TEST_F(CallMedia, MediaIsAgreedInTheAckAndByUpdatesToo) {
  CallParams hers = Playing();
  hers.sdp_on_ack = true;
  Establish(std::move(hers), Playing());
  RunFor(Micros::Seconds(1));
  EXPECT_GT(hers_->media()->received().packets, 40u);
  EXPECT_GT(his_->media()->received().packets, 40u);
  ASSERT_TRUE(his_->Update().ok());
  RunFor(Micros::Millis(100));
  ASSERT_TRUE(hers_->Update().ok());
  const auto before = his_->media()->received().packets;
  RunFor(Micros::Seconds(1));
  EXPECT_GT(his_->media()->received().packets, before + 40);
}

TEST_F(CallMedia, EachEndsACallWhoseOtherEndIsSilent) {
  CallParams mute;  // whose media is its own business: there is none
  mute.sdp =
      "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\n"
      "t=0 0\r\nm=audio 29998 RTP/AVP 0\r\n";
  Establish(Playing(), std::move(mute));
  const Micros from = now_;
  ASSERT_TRUE(RunUntil([&] { return Over(); }, Micros::Seconds(30)));
  EXPECT_GE(now_, from + Micros::Seconds(9));
  EXPECT_LE(now_, from + Micros::Seconds(13));
}

TEST_F(CallMedia, AToneOfZeroIsSilence) {
  CallParams silent = Playing();
  silent.init_media = Rtp::Tone(0);
  Establish(std::move(silent), Playing());
  RunFor(Micros::Seconds(1));
  EXPECT_EQ(hers_->state(), Call::State::kEstablished);
  EXPECT_GT(his_->media()->received().packets, 40u);
}

}  // namespace
}  // namespace sluice::sip
