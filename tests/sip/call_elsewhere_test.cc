#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "sip/requester.h"
#include "tests/sip/scripted_peer.h"

// A call of ours that leads to where nobody of ours has sent it: who may ask
// for our password there, and by what transport it goes.
namespace sluice::sip {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::StartsWith;

constexpr std::string_view kAsked =
    "Proxy-Authenticate: Digest realm=\"there\", nonce=\"n\", qop=\"auth\"\r\n";

class CallElsewhere : public ScriptWorld {
 protected:
  CallElsewhere() : second_(loop_) { MakeFree("tcp:127.0.0.1:0"); }

  // Without an outgoing proxy; `more`: where it listens besides UDP.
  void MakeFree(const std::string& more) {
    Simple::Options options = OptionsOf("me");
    Simple::LegOptions leg;
    leg.listen = {"udp:127.0.0.1:0"};
    if (!more.empty()) leg.listen.push_back(more);
    options.legs = {std::move(leg)};
    auto made = Simple::Create(std::move(options));
    ASSERT_TRUE(made.ok()) << made.status();
    free_ = *std::move(made);
    peer_.Face(At(*free_));
    second_.Face(At(*free_));
  }
  void Call(const std::string& uri, CallParams params) {
    auto call = free_->Invite(uri, std::move(params));
    ASSERT_TRUE(call.ok()) << call.status();
    call_ = *std::move(call);
  }
  // The peer is called, asks who we are if `asks`, and sends us to the second.
  // What that one hears.
  std::string Redirected(Credentials who, std::string_view asks) {
    CallParams params = Told();
    params.auth = std::move(who);
    Call(Cat("sip:one@", peer_.host()), std::move(params));
    size_t heard = 0;
    if (!asks.empty()) {
      peer_.Answer(Hear("INVITE", heard++), 407,
                   {.contact = "", .more = std::string(asks)});
    }
    peer_.Answer(Hear("INVITE", heard), 302,
                 {.contact = "",
                  .more = Cat("Contact: <sip:two@", second_.host(), ">\r\n")});
    return SecondHears(1);
  }
  std::string SecondHears(size_t n) {
    EXPECT_TRUE(RunUntil([&] { return second_.Count("INVITE") >= n; }));
    return second_.Nth("INVITE", n - 1);
  }
  CallParams Long() {
    CallParams params = Told();
    params.sip_header = {
        {"Subject", std::string(Requester::kDatagramMax, 'x')}};
    return params;
  }
  bool FreeIsOver() {
    return RunUntil([&] { return free_->calls() == 0; });
  }

  ScriptedPeer second_;
  std::unique_ptr<Simple> free_;
};

TEST_F(CallElsewhere, ALoginForEveryRealmIsNotShownToWhomARedirectionNames) {
  const std::string two = Redirected(Credentials("me", "secret"), "");
  second_.Answer(two, 407, {.contact = "", .more = std::string(kAsked)});
  ASSERT_TRUE(FreeIsOver());
  EXPECT_EQ(second_.Count("INVITE"), 1u);
  EXPECT_THAT(told_, ElementsAre("final 407", "cleanup"));
}

TEST_F(CallElsewhere, ALoginForThatRealmIs) {
  const std::string two = Redirected(
      Credentials(Credentials::Map{{"there", {"me", "secret"}}}), "");
  EXPECT_EQ(LineOf(two, "Proxy-Authorization: "), "");
  second_.Answer(two, 407, {.contact = "", .more = std::string(kAsked)});
  EXPECT_THAT(LineOf(SecondHears(2), "Proxy-Authorization: "),
              HasSubstr("realm=\"there\""));
}

// What was said to the first is not said to the second unasked; a realm that
// the user was led to by himself may ask again.
TEST_F(CallElsewhere, IsSilentUntilItIsAskedAnew) {
  const std::string two = Redirected(Credentials("me", "secret"), kAsked);
  EXPECT_THAT(LineOf(peer_.Nth("INVITE", 1), "Proxy-Authorization: "),
              HasSubstr("realm=\"there\""));
  EXPECT_EQ(LineOf(two, "Proxy-Authorization: "), "");
  second_.Answer(two, 407, {.contact = "", .more = std::string(kAsked)});
  EXPECT_THAT(LineOf(SecondHears(2), "Proxy-Authorization: "),
              HasSubstr("realm=\"there\""));
}

// Within the dialog, too.
TEST_F(CallElsewhere, WhoWasNamedByARedirectionAsksInVainLaterOn) {
  const std::string two = Redirected(Credentials("me", "secret"), "");
  second_.Answer(two, 200, {.body = SdpAt(30'000)});
  ASSERT_TRUE(RunUntil([&] { return second_.Count("ACK") == 1; }));
  ASSERT_TRUE(call_->Bye().ok());
  ASSERT_TRUE(RunUntil([&] { return second_.Count("BYE") == 1; }));
  second_.Answer(second_.Nth("BYE", 0), 407,
                 {.contact = "", .more = std::string(kAsked)});
  ASSERT_TRUE(FreeIsOver());
  EXPECT_EQ(second_.Count("BYE"), 1u);
}

TEST_F(CallElsewhere, A305WhoseParametersBeginLikeLrIsNoLooseRouterYet) {
  Call(Cat("sip:one@", peer_.host()), Told());
  peer_.Answer(Hear("INVITE"), 305,
               {.contact = "",
                .more = Cat("Contact: <sip:", second_.host(), ";lrx=1>\r\n")});
  EXPECT_EQ(Value(SecondHears(1), HeaderId::kRoute),
            Cat("<sip:", second_.host(), ";lrx=1;lr>"));
}

// ---- by which transport (RFC 3261 18.1.1) -----------------------------------

// At a port of TCP whose like of UDP is nobody's: what went there by UDP would
// not be heard.
class StreamParty : public CallElsewhere {
 protected:
  StreamParty() {
    // Somebody else may take the port of TCP in between.
    for (int i = 0; i < 20 && party_ == nullptr; ++i) {
      const ScriptedPeer probe(loop_);
      const std::string at = probe.host();
      Simple::Options options = OptionsOf("party");
      Simple::LegOptions tcp;
      tcp.listen = {Cat("tcp:", at)};
      options.legs = {std::move(tcp)};
      auto made = Simple::Create(std::move(options));
      if (!made.ok()) continue;
      party_ = *std::move(made);
      host_ = at;
    }
    EXPECT_NE(party_, nullptr);
  }

  std::unique_ptr<Simple> party_;
  std::string host_;
};

TEST_F(StreamParty, WhatIsLongGoesByTheStream) {
  std::vector<std::string> heard;
  const auto listen = [&](std::string_view, const Message& m) {
    heard.emplace_back(m.top_via()->text.substr(0, 11));
    return false;
  };
  ASSERT_TRUE(party_->Listen({.filter = listen}).ok());
  Call(Cat("sip:party@", host_), Long());
  ASSERT_TRUE(FreeIsOver());
  EXPECT_THAT(heard, ElementsAre("SIP/2.0/TCP"));
  EXPECT_EQ(call_->result().code, 403);
}

// Nobody listens at that port of TCP, or is asked to.
TEST_F(CallElsewhere, WhatIsLongGoesByUdpWhereNoStreamIsMade) {
  Call(Cat("sip:one@", peer_.host()), Long());
  peer_.Answer(Hear("INVITE"), 486);
  ASSERT_TRUE(FreeIsOver());
  EXPECT_THAT(Value(peer_.Nth("INVITE", 0), HeaderId::kVia),
              StartsWith("SIP/2.0/UDP "));
  EXPECT_THAT(told_, ElementsAre("final 486", "cleanup"));
}

TEST_F(CallElsewhere, WhatIsLongGoesByUdpWhereTheUriOrTheLegWantsIt) {
  size_t calls = 0;
  for (const char* more : {"tcp:127.0.0.1:0", ""}) {
    free_.reset();
    MakeFree(more);
    Call(Cat("sip:one@", peer_.host(), *more != '\0' ? ";transport=udp" : ""),
         Long());
    const std::string invite = Hear("INVITE", calls++);
    // An attempt by TCP would have had the first number.
    EXPECT_EQ(Value(invite, HeaderId::kCSeq), "1 INVITE");
    peer_.Answer(invite, 486);
    ASSERT_TRUE(FreeIsOver());
  }
}

}  // namespace
}  // namespace sluice::sip
