#include "sip/requester.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "tests/sip/scripted_peer.h"

// Where a request goes next when the first place does not do (RFC 3261 8.1.3.4,
// RFC 3263 4.3).
namespace sluice::sip {
namespace {

using ::testing::ElementsAre;

class RequesterPlaces : public ScriptWorld {
 protected:
  RequesterPlaces() : second_(loop_) {
    Simple::Options options = OptionsOf("me");
    Simple::LegOptions leg;
    leg.listen = {"udp:127.0.0.1:0", "tcp:127.0.0.1:0"};
    options.legs = {std::move(leg)};
    auto made = Simple::Create(std::move(options));
    EXPECT_TRUE(made.ok()) << made.status();
    free_ = *std::move(made);
    peer_.Face(At(*free_));
    second_.Face(At(*free_));
  }
  // Redirected to these, the first with the greater wish.
  void Redirected(const std::vector<std::string>& uris) {
    auto call = free_->Invite(Cat("sip:one@", peer_.host()), Told());
    ASSERT_TRUE(call.ok()) << call.status();
    call_ = *std::move(call);
    std::string more;
    int q = 9;
    for (const std::string& uri : uris) {
      Append(&more, "Contact: <", uri, ">;q=0.", q--, "\r\n");
    }
    peer_.Answer(Hear("INVITE"), 302, {.contact = "", .more = more});
  }
  bool SecondHears(Micros most) {
    return RunUntil([&] { return second_.Count("INVITE") > 0; }, most);
  }
  // A port of TCP that nobody listens on.
  std::string Closed() const { return peer_.host(); }

  ScriptedPeer second_;
  std::unique_ptr<Simple> free_;
};

TEST_F(RequesterPlaces, TriesTheNextWhereNoConnectionIsMade) {
  Redirected({Cat("sip:two@", Closed(), ";transport=tcp"),
              Cat("sip:three@", second_.host())});
  ASSERT_TRUE(SecondHears(Micros::Seconds(40)));
  EXPECT_EQ(sip::UriOf(second_.Nth("INVITE", 0)),
            Cat("sip:three@", second_.host()));
}

TEST_F(RequesterPlaces, TriesTheNextWhereItIsRefusedOrNobodyAnswers) {
  for (const int code : {503, 480, 0}) {
    SCOPED_TRACE(code);
    peer_.Forget();
    second_.Forget();
    told_.clear();
    Redirected(
        {Cat("sip:two@", peer_.host()), Cat("sip:three@", second_.host())});
    const std::string two = Hear("INVITE", 1);
    if (code != 0) peer_.Answer(two, code);
    ASSERT_TRUE(SecondHears(Micros::Seconds(40)));
    second_.Answer(second_.Nth("INVITE", 0), 200, {.body = SdpAt(30'000)});
    ASSERT_TRUE(
        RunUntil([&] { return call_->state() == Call::State::kEstablished; }));
    EXPECT_THAT(told_, ElementsAre("final 200", "established"));
    ASSERT_TRUE(call_->Bye().ok());
    ASSERT_TRUE(RunUntil([&] { return second_.Count("BYE") == 1; }));
    second_.Answer(second_.Nth("BYE", 0), 200);
    ASSERT_TRUE(RunUntil([&] { return free_->calls() == 0; }));
  }
}

TEST_F(RequesterPlaces, WhoDeclinesEverywhereIsAskedNowhereElse) {
  Redirected(
      {Cat("sip:two@", peer_.host()), Cat("sip:three@", second_.host())});
  peer_.Answer(Hear("INVITE", 1), 603);  // 16.7: final for all
  ASSERT_TRUE(RunUntil([&] { return free_->calls() == 0; }));
  EXPECT_EQ(second_.Count("INVITE"), 0u);
  EXPECT_THAT(told_, ElementsAre("final 603", "cleanup"));
}

TEST_F(RequesterPlaces, WhereNoneIsReachedTheLastSaysHow) {
  Redirected({Cat("sip:two@", Closed(), ";transport=tcp"),
              Cat("sip:three@", Closed(), ";transport=tcp")});
  ASSERT_TRUE(RunUntil([&] { return free_->calls() == 0; }));
  EXPECT_THAT(told_, ElementsAre("final 503", "cleanup"));
}

TEST_F(RequesterPlaces, TakenBackOnTheWayItIsAskedNowhereElse) {
  Redirected(
      {Cat("sip:two@", peer_.host()), Cat("sip:three@", second_.host())});
  const std::string two = Hear("INVITE", 1);
  ASSERT_TRUE(call_->Cancel().ok());
  peer_.Answer(two, 486);
  ASSERT_TRUE(RunUntil([&] { return free_->calls() == 0; }));
  EXPECT_EQ(second_.Count("INVITE"), 0u);
  EXPECT_THAT(told_, ElementsAre("final 486", "cleanup"));
}

TEST_F(RequesterPlaces, WhereNoWayLeadsIsSaidInTheNextTurn) {
  bool told = false;
  CallParams params;
  params.cb_final = [&](Call&, const CallResult& result) {
    told = true;
    EXPECT_FALSE(result.ok());
    EXPECT_GE(result.code, 400);
    EXPECT_FALSE(result.reason.empty());
  };
  // No leg of ours speaks IPv6.
  const auto call = free_->Invite("sip:x@[2001:db8::1]", std::move(params));
  EXPECT_FALSE(told);
  ASSERT_TRUE(call.ok()) << call.status();
  EXPECT_TRUE(RunUntil([&] { return told; }, Micros::Seconds(1)));
  EXPECT_EQ((*call)->state(), Call::State::kEnded);
}

}  // namespace
}  // namespace sluice::sip
