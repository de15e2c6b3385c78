#include "sip/simple.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "tests/sip/simple_world.h"

namespace sluice::sip {
namespace {

class SimpleCall : public SimpleWorld {
 protected:
  void Listen(CallParams params = {}) {
    Simple::ListenArgs args;
    args.cb_create = [this](Call& call, const Message&) {
      his_ = call.shared_from_this();
      return true;
    };
    args.cb_cleanup = [this](Call&) { ++his_cleanups_; };
    args.call = std::move(params);
    ASSERT_TRUE(bob_->Listen(std::move(args)).ok());
  }
  void Invite(CallParams params = {}) {
    params.cb_cleanup = [this](Call&) { ++her_cleanups_; };
    auto call = alice_->Invite("bob", std::move(params));
    ASSERT_TRUE(call.ok()) << call.status();
    hers_ = *std::move(call);
  }
  bool Established() const {
    return hers_ && his_ && hers_->state() == Call::State::kEstablished &&
           his_->state() == Call::State::kEstablished;
  }
  bool Over() const { return alice_->calls() == 0 && bob_->calls() == 0; }

  std::shared_ptr<Call> hers_, his_;
  int her_cleanups_ = 0, his_cleanups_ = 0;
};

TEST_F(SimpleCall, IsMadeSpeaksAndEndsWithoutOneMessageTooMany) {
  Listen({.init_media = Rtp::MediaRecvEcho()});
  Invite({.init_media = Rtp::Tone(440)});
  ASSERT_TRUE(RunUntil([&] { return Established(); }))
      << ::testing::PrintToString(wire_.Story()) << alice_->Error()
      << bob_->Error();
  EXPECT_EQ(wire_.Story(),
            (std::vector<std::string>{">INVITE", "<200 INVITE", ">ACK"}));
  RunFor(Micros::Seconds(2));
  EXPECT_GE(hers_->media()->sent().packets, 95u);
  EXPECT_GE(hers_->media()->received().packets, 95u);
  EXPECT_EQ(hers_->media()->quality().lost, 0);
  wire_.Forget();
  ASSERT_TRUE(hers_->Bye().ok());
  ASSERT_TRUE(RunUntil([&] { return Over(); }));
  EXPECT_EQ(wire_.Story(), (std::vector<std::string>{">BYE", "<200 BYE"}));
  EXPECT_EQ(her_cleanups_, 1);
  EXPECT_EQ(his_cleanups_, 1);
}

}  // namespace
}  // namespace sluice::sip
