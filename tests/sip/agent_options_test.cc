#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "tests/sip/scripted_peer.h"

// What the options of an agent do to whom it speaks with, and when.
namespace sluice::sip {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

class AgentOptions : public ScriptWorld {
 protected:
  AgentOptions() : second_(loop_) {}
  // The agent anew, without a proxy unless `change` names one.
  void Remake(const std::function<void(Simple::Options&)>& change) {
    Simple::Options options = OptionsOf("me");
    options.legs = {"udp:127.0.0.1:0"};
    change(options);
    auto made = Simple::Create(std::move(options));
    ASSERT_TRUE(made.ok()) << made.status();
    ua_ = *std::move(made);
    peer_.Face(At(*ua_));
    second_.Face(At(*ua_));
  }
  void Calls(const std::string& who) {
    auto call = ua_->Invite(who, Told());
    ASSERT_TRUE(call.ok()) << call.status();
    call_ = *std::move(call);
  }
  bool SecondHears(std::string_view name) {
    return RunUntil([&] { return second_.Count(name) > 0; },
                    Micros::Seconds(5));
  }

  ScriptedPeer second_;
};

TEST_F(AgentOptions, RequestsAreNotSentToWhereItIsNotAllowed) {
  const Endpoint forbidden = *Endpoint::Parse(second_.host());
  std::vector<Endpoint> asked;
  Remake([&](auto& o) {
    o.allowed = [&, forbidden](const Endpoint& to) {
      asked.push_back(to);
      return to != forbidden;
    };
  });
  Calls(Cat("sip:two@", second_.host()));
  ASSERT_TRUE(RunUntil([&] { return Over(); }));
  EXPECT_THAT(told_, ElementsAre("final 503", "cleanup"));
  EXPECT_THAT(call_->result().reason, ::testing::HasSubstr("forbidden"));
  EXPECT_THAT(asked, ::testing::Contains(forbidden));
  // Not by a redirection, either: the first place that is open has it.
  told_.clear();
  Calls(Cat("sip:one@", peer_.host()));
  peer_.Answer(
      Hear("INVITE"), 302,
      {.contact = "",
       .more = Cat("Contact: <sip:two@", second_.host(), ">;q=0.9, <sip:three@",
                   peer_.host(), ">;q=0.1\r\n")});
  EXPECT_EQ(sip::UriOf(Hear("INVITE", 1)), Cat("sip:three@", peer_.host()));
  EXPECT_THAT(second_.heard(), IsEmpty());
}

// A dialog's target is a place, too.
TEST_F(AgentOptions, NorWithinACallToWhereItIsNotAllowed) {
  const Endpoint forbidden = *Endpoint::Parse(second_.host());
  Remake([&](auto& o) {
    o.allowed = [forbidden](const Endpoint& to) { return to != forbidden; };
  });
  Calls(Cat("sip:one@", peer_.host()));
  peer_.Answer(
      Hear("INVITE"), 200,
      {.contact = Cat("sip:two@", second_.host()), .body = SdpAt(30'000)});
  ASSERT_TRUE(RunUntil([&] { return TimesTold("established") == 1; }));
  ASSERT_TRUE(call_->Bye().ok());
  ASSERT_TRUE(RunUntil([&] { return Over(); }));
  EXPECT_THAT(told_, ElementsAre("final 200", "established", "bye answered 503",
                                 "cleanup"));
  EXPECT_THAT(second_.heard(), IsEmpty());
}

TEST_F(AgentOptions, ItsTimersAreThoseOfItsTransactions) {
  Remake([](auto& o) {
    o.timers = {.t1 = Micros::Millis(100), .t2 = Micros::Millis(400)};
  });
  Calls(Cat("sip:one@", peer_.host()));
  // 0, 0.1, 0.3, 0.7, 1.5, 3.1, 6.3; given up after 64 * T1 (17.1.1.2).
  RunFor(Micros::Millis(3'000));
  EXPECT_EQ(peer_.Count("INVITE"), 5u);
  RunFor(Micros::Millis(3'200));
  EXPECT_EQ(peer_.Count("INVITE"), 6u);
  EXPECT_THAT(told_, IsEmpty());
  RunFor(Micros::Millis(400));
  EXPECT_THAT(told_, ElementsAre("final 408", "cleanup"));
  // Others are not further apart than T2: 0, 0.1, 0.3, 0.7, 1.1, 1.5 ...
  told_.clear();
  peer_.Forget();
  Calls(Cat("sip:one@", peer_.host()));
  peer_.Answer(Hear("INVITE"), 200, {.body = SdpAt(30'000)});
  Hear("ACK");
  ASSERT_TRUE(call_->Bye().ok());
  RunFor(Micros::Millis(1'600));
  EXPECT_EQ(peer_.Count("BYE"), 6u);
  ASSERT_TRUE(RunUntil([&] { return Over(); }, Micros::Seconds(5)));
  EXPECT_EQ(TimesTold("bye answered 408"), 1u);
}

TEST_F(AgentOptions, TheAnswerOfACallIsRepeatedByItsTimers) {
  Remake([](auto& o) {
    o.timers = {.t1 = Micros::Millis(100), .t2 = Micros::Millis(400)};
  });
  Listen(Told());
  peer_.Ask({.said = {.body = SdpAt(30'000)}});
  Hear("200 INVITE");
  // 0, 0.1, 0.3, 0.7, 1.1, 1.5 (13.3.1.4); no ACK in 64 * T1: it is hung up.
  RunFor(Micros::Millis(1'560));
  EXPECT_EQ(peer_.Count("200 INVITE"), 6u);
  EXPECT_EQ(peer_.Count("BYE"), 0u);
  RunFor(Micros::Millis(5'000));
  EXPECT_GE(peer_.Count("BYE"), 1u);
}

TEST_F(AgentOptions, ADomainGoesToItsProxyAndTheClosestNameDecides) {
  Remake([&](auto& o) {
    o.outgoing_proxy = peer_.host();
    o.domain2proxy = {{"*.far.example", Cat("sip:", second_.host())},
                      {"near.far.example", Cat("sip:", peer_.host())}};
  });
  Calls("sip:two@sub.far.example");
  ASSERT_TRUE(SecondHears("INVITE"));
  // The proxy is asked, the domain stays.
  EXPECT_EQ(sip::UriOf(second_.Nth("INVITE", 0)), "sip:two@sub.far.example");
  EXPECT_EQ(peer_.Count("INVITE"), 0u);
  Calls("sip:three@near.far.example");
  EXPECT_EQ(sip::UriOf(Hear("INVITE")), "sip:three@near.far.example");
  // What is none of them goes by the outgoing proxy.
  Calls("sip:four@else.example");
  EXPECT_EQ(sip::UriOf(Hear("INVITE", 1)), "sip:four@else.example");
  EXPECT_EQ(second_.Count("INVITE"), 1u);
}

TEST_F(AgentOptions, ALegWithADestinationSpeaksWithItAlone) {
  Remake([&](auto& o) { o.legs[0].dst = peer_.host(); });
  Calls("sip:one@192.0.2.77:5099");
  EXPECT_EQ(sip::UriOf(Hear("INVITE")), "sip:one@192.0.2.77:5099");
  second_.Ask({.method = "OPTIONS", .call_id = "stranger"});
  peer_.Ask({.method = "OPTIONS", .call_id = "friend"});
  Hear("200 OPTIONS");
  RunFor(Micros::Millis(100));
  EXPECT_THAT(second_.heard(), IsEmpty());
}

}  // namespace
}  // namespace sluice::sip
