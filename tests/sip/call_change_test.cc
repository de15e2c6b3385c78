#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "tests/sip/scripted_peer.h"

// What changes a call that is up: re-INVITE (RFC 3261 14), UPDATE (RFC 3311),
// other requests within it (12.2), and its end (15).
namespace sluice::sip {
namespace {

using ::testing::ElementsAre;

class CallChange : public ScriptWorld {
 protected:
  static std::string DirectionOf(const std::string& text) {
    for (const char* d : {"sendrecv", "sendonly", "recvonly", "inactive"}) {
      if (BodyOf(text).find(Cat("a=", d)) != std::string::npos) return d;
    }
    return "none";
  }
  // The peer's request within the call, and its answer.
  std::string Asks(const ScriptedPeer::Asked& asked, int code) {
    const std::string name = Cat(code, " ", asked.method);
    const size_t before = peer_.Count(name);
    peer_.Within(answer_, asked);
    return Hear(name, before);
  }
};

TEST_F(CallChange, HoldsAndResumes) {
  Establish(Told());
  ASSERT_TRUE(call_->Hold().ok());
  EXPECT_FALSE(call_->Resume().ok());  // one at a time
  const std::string hold = Hear("INVITE");
  EXPECT_EQ(DirectionOf(hold), "sendonly");
  EXPECT_EQ(Value(hold, HeaderId::kCSeq), "2 INVITE");
  EXPECT_EQ(Value(hold, HeaderId::kTo), Value(answer_, HeaderId::kTo));
  EXPECT_NE(ContactUri(hold), "");
  peer_.Answer(hold, 200, {.body = SdpAt(30'000, "recvonly", 2)});
  Hear("ACK");
  EXPECT_TRUE(call_->held());
  ASSERT_TRUE(call_->Resume().ok());
  const std::string resume = Hear("INVITE", 1);
  EXPECT_EQ(DirectionOf(resume), "sendrecv");
  EXPECT_EQ(Value(resume, HeaderId::kCSeq), "3 INVITE");
  peer_.Answer(resume, 200, {.body = SdpAt(30'000, "sendrecv", 3)});
  Hear("ACK", 1);
  EXPECT_FALSE(call_->held());
  EXPECT_EQ(TimesTold("final 200"), 3u);
  EXPECT_EQ(TimesTold("established"), 1u);
}

TEST_F(CallChange, IsHeldByThePeerAndMadeToGoOn) {
  BeCalled(Told());
  const std::string held =
      Asks({.method = "INVITE",
            .cseq = 2,
            .said = {.body = SdpAt(30'000, "sendonly", 2)}},
           200);
  EXPECT_EQ(DirectionOf(held), "recvonly");
  EXPECT_TRUE(call_->held_by_peer());
  peer_.Within(answer_, {.method = "ACK", .cseq = 2});
  Turn();
  Asks({.method = "INVITE",
        .cseq = 3,
        .said = {.body = SdpAt(30'000, "sendrecv", 3)}},
       200);
  EXPECT_FALSE(call_->held_by_peer());
  peer_.Within(answer_, {.method = "ACK", .cseq = 3});
  Turn();
  EXPECT_EQ(TimesTold("established"), 1u);
}

TEST_F(CallChange, ARefusedOfferLeavesTheCallAsItWas) {
  Establish(Told());
  const auto before = call_->media()->sent().packets;
  ASSERT_TRUE(call_->Hold().ok());
  peer_.Answer(Hear("INVITE"), 488);
  Hear("ACK");
  EXPECT_EQ(call_->state(), Call::State::kEstablished);
  EXPECT_TRUE(call_->media()->started());
  EXPECT_FALSE(call_->held());
  EXPECT_EQ(call_->media()->sent().packets, before);
  EXPECT_EQ(TimesTold("final 488"), 1u);
  // The next offer says what stands.
  ASSERT_TRUE(call_->Reinvite().ok());
  EXPECT_EQ(DirectionOf(Hear("INVITE", 1)), "sendrecv");
}

TEST_F(CallChange, AnOfferThatItCannotTakeLeavesTheCallAsItWas) {
  BeCalled(Told());
  Asks({.method = "INVITE",
        .cseq = 2,
        .said = {.body = SdpAt(30'000, "sendonly", 2, "18")}},
       488);
  Asks({.method = "INVITE",
        .cseq = 3,
        .said = {.body = "hello", .type = "text/plain"}},
       415);
  EXPECT_EQ(call_->state(), Call::State::kEstablished);
  EXPECT_TRUE(call_->media()->started());
  EXPECT_FALSE(call_->held_by_peer());
  Asks({.method = "INVITE",
        .cseq = 4,
        .said = {.body = SdpAt(30'000, "sendrecv", 2)}},
       200);
}

TEST_F(CallChange, MeetsTheOtherSidesOfferWithA491AndTriesAgain) {
  Establish(Told());
  ASSERT_TRUE(call_->Hold().ok());
  const std::string ours = Hear("INVITE");
  Asks({.method = "INVITE",
        .cseq = 1,
        .said = {.body = SdpAt(30'000, "sendrecv", 2)}},
       491);
  peer_.Answer(ours, 491);
  Hear("ACK");
  // 14.1: 2.1 to 4 s, for the Call-ID is ours.
  RunFor(Micros::Millis(2'050));
  EXPECT_EQ(peer_.Count("INVITE"), 1u);
  ASSERT_TRUE(RunUntil([&] { return peer_.Count("INVITE") == 2; },
                       Micros::Millis(2'000)));
  const std::string again = peer_.Last("INVITE");
  EXPECT_EQ(DirectionOf(again), "sendonly");
  EXPECT_EQ(TimesTold("final 491"), 0u);
  peer_.Answer(again, 200, {.body = SdpAt(30'000, "recvonly", 3)});
  Hear("ACK", 1);
  EXPECT_TRUE(call_->held());
}

TEST_F(CallChange, TheCalledOneTriesAgainSooner) {
  BeCalled(Told());
  ASSERT_TRUE(call_->Reinvite().ok());
  peer_.Answer(Hear("INVITE"), 491);
  EXPECT_TRUE(RunUntil([&] { return peer_.Count("INVITE") == 2; },
                       Micros::Millis(2'010)));
}

TEST_F(CallChange, GivesUpAfterSoManyGlares) {
  Establish(Told());
  ASSERT_TRUE(call_->Reinvite().ok());
  for (size_t i = 0; i < 20 && TimesTold("final 491") == 0; ++i) {
    peer_.Answer(Hear("INVITE", i), 491);
    RunUntil([&] {
      return TimesTold("final 491") == 1 || peer_.Count("INVITE") > i + 1;
    });
  }
  EXPECT_EQ(TimesTold("final 491"), 1u);
  EXPECT_EQ(call_->state(), Call::State::kEstablished);
}

TEST_F(CallChange, EndsWhenThePeerKnowsNoCallOrSaysNothing) {
  for (const int code : {481, 408, 0}) {
    SCOPED_TRACE(code);
    told_.clear();
    peer_.Forget();
    Establish(Told());
    ASSERT_TRUE(call_->Reinvite().ok());
    const std::string invite = Hear("INVITE");
    if (code != 0) peer_.Answer(invite, code);
    peer_.Answer(Hear("BYE"), 481);
    ASSERT_TRUE(RunUntil([&] { return Over(); }));
    EXPECT_EQ(TimesTold("cleanup"), 1u);
    EXPECT_EQ(told_.back(), "cleanup");
  }
}

TEST_F(CallChange, OtherRequestsEndItTooWhenThePeerKnowsNoCall) {
  for (const int code : {481, 408, 0}) {
    SCOPED_TRACE(code);
    told_.clear();
    peer_.Forget();
    Establish(Told());
    int heard = 0;
    ASSERT_TRUE(call_
                    ->Send({.method = "INFO"},
                           [&](Call&, const CallResult& r) { heard = r.code; })
                    .ok());
    const std::string info = Hear("INFO");
    if (code != 0) peer_.Answer(info, code);
    peer_.Answer(Hear("BYE"), 481);
    ASSERT_TRUE(RunUntil([&] { return Over(); }));
    EXPECT_EQ(heard, code == 0 ? 408 : code);
    EXPECT_EQ(TimesTold("cleanup"), 1u);
  }
}

TEST_F(CallChange, ASecondOfferWhileTheFirstIsOpenIs500) {
  BeCalled(Told());
  const std::string first =
      Asks({.method = "INVITE",
            .cseq = 2,
            .said = {.body = SdpAt(30'000, "sendrecv", 2)}},
           200);
  // Its ACK has not come.
  const std::string second =
      Asks({.method = "INVITE",
            .cseq = 3,
            .said = {.body = SdpAt(30'000, "sendonly", 3)}},
           500);
  EXPECT_NE(Value(second, HeaderId::kRetryAfter), "");  // 14.2
  EXPECT_FALSE(call_->held_by_peer());
  peer_.Within(first, {.method = "ACK", .cseq = 2});
  Turn();
  RunFor(Micros::Seconds(40), Micros::Millis(100));
  EXPECT_EQ(call_->state(), Call::State::kEstablished);
}

TEST_F(CallChange, AnOlderCSeqIs500) {
  BeCalled(Told());
  Asks({.method = "INFO", .cseq = 10}, 200);
  Asks({.method = "INFO", .cseq = 9}, 500);  // 12.2.2
  Asks({.method = "BYE", .cseq = 1}, 500);
  EXPECT_EQ(call_->state(), Call::State::kEstablished);
}

TEST_F(CallChange, AReinviteWithoutItsAckEndsTheCall) {
  BeCalled(Told());
  Asks({.method = "INVITE",
        .cseq = 2,
        .said = {.body = SdpAt(30'000, "sendrecv", 2)}},
       200);
  RunFor(Micros::Seconds(31), Micros::Millis(50));
  EXPECT_EQ(peer_.Count("200 INVITE"), 10u);
  peer_.Answer(Hear("BYE"), 200);
  ASSERT_TRUE(RunUntil([&] { return Over(); }));
}

TEST_F(CallChange, AReinviteMayBeTakenBackAndTheCallStands) {
  CallParams params = Told();
  BeCalled(std::move(params));
  const std::string invite =
      peer_.Within(answer_, {.method = "INVITE",
                             .cseq = 2,
                             .said = {.body = SdpAt(30'000, "sendrecv", 2)}});
  const std::string answer = Hear("200 INVITE");
  // It crosses the 200: nothing changes (9.2).
  peer_.Within(answer_, {.method = "CANCEL",
                         .cseq = 2,
                         .said = {.contact = ""},
                         .branch = BranchOf(invite)});
  Hear("200 CANCEL");
  RunFor(Micros::Seconds(2));
  EXPECT_GT(peer_.Count("200 INVITE"), 1u);
  peer_.Within(answer, {.method = "ACK", .cseq = 2});
  RunFor(Micros::Seconds(40), Micros::Millis(100));
  EXPECT_EQ(call_->state(), Call::State::kEstablished);
  EXPECT_EQ(peer_.Count("BYE"), 0u);
}

TEST_F(CallChange, OffersAnewWithoutAnOfferOfOurs) {
  CallParams params = Told();
  Establish(Told());
  params.sdp_on_ack = true;
  ASSERT_TRUE(call_->Reinvite(params).ok());
  const std::string invite = Hear("INVITE");
  EXPECT_EQ(BodyOf(invite), "");
  peer_.Answer(invite, 200, {.body = SdpAt(30'000, "sendonly", 2)});
  EXPECT_EQ(DirectionOf(Hear("ACK")), "recvonly");
  EXPECT_TRUE(call_->held_by_peer());
}

TEST_F(CallChange, OffersInTheAnswerToAReinviteWithoutOne) {
  BeCalled(Told());
  const std::string ok = Asks({.method = "INVITE", .cseq = 2}, 200);
  EXPECT_NE(BodyOf(ok).find("m=audio"), std::string::npos);
  peer_.Within(answer_, {.method = "ACK",
                         .cseq = 2,
                         .said = {.body = SdpAt(30'000, "sendrecv", 2)}});
  Turn();
  EXPECT_EQ(call_->state(), Call::State::kEstablished);
}

// ---- UPDATE -----------------------------------------------------------------

TEST_F(CallChange, UpdatesAConfirmedCallBothWays) {
  Establish(Told());
  ASSERT_TRUE(call_->Update().ok());
  EXPECT_FALSE(call_->Update().ok());
  EXPECT_FALSE(call_->Reinvite().ok());
  const std::string update = Hear("UPDATE");
  EXPECT_NE(BodyOf(update).find("m=audio"), std::string::npos);
  EXPECT_NE(ContactUri(update), "");
  // Theirs while ours is under way (RFC 3311 5.2).
  Asks({.method = "UPDATE",
        .cseq = 1,
        .said = {.body = SdpAt(30'000, "sendonly", 2)}},
       491);
  peer_.Answer(update, 200, {.body = SdpAt(30'000, "sendonly", 2)});
  ASSERT_TRUE(RunUntil([&] { return call_->held_by_peer(); }));
  const std::string ok = Asks({.method = "UPDATE",
                               .cseq = 2,
                               .said = {.body = SdpAt(30'000, "sendrecv", 3)}},
                              200);
  EXPECT_EQ(DirectionOf(ok), "sendrecv");
  EXPECT_NE(ContactUri(ok), "");
  EXPECT_FALSE(call_->held_by_peer());
  // Without an offer it moves the target only.
  const std::string moved =
      Asks({.method = "UPDATE", .cseq = 3, .said = {.contact = "moved"}}, 200);
  EXPECT_EQ(BodyOf(moved), "");
  ASSERT_TRUE(call_->Bye().ok());
  EXPECT_EQ(sip::UriOf(Hear("BYE")), peer_.UriOf("moved"));
}

TEST_F(CallChange, ARefusedUpdateLeavesTheCallAsItWas) {
  for (const int code : {488, 491, 500, 504}) {
    SCOPED_TRACE(code);
    peer_.Forget();
    told_.clear();
    Establish(Told());
    ASSERT_TRUE(call_->Update().ok());
    peer_.Answer(Hear("UPDATE"), code);
    RunFor(Micros::Millis(100));
    EXPECT_EQ(call_->state(), Call::State::kEstablished);
    EXPECT_TRUE(call_->media()->started());
    ASSERT_TRUE(call_->Bye().ok());
    peer_.Answer(Hear("BYE"), 200);
    ASSERT_TRUE(RunUntil([&] { return Over(); }));
  }
}

TEST_F(CallChange, RefusesAnUpdateThatItCannotTake) {
  BeCalled(Told());
  Asks({.method = "UPDATE",
        .cseq = 2,
        .said = {.body = SdpAt(30'000, "sendonly", 2, "18")}},
       488);
  Asks({.method = "UPDATE",
        .cseq = 3,
        .said = {.body = "hello", .type = "text/plain"}},
       415);
  EXPECT_TRUE(call_->media()->started());
  EXPECT_FALSE(call_->held_by_peer());
}

TEST_F(CallChange, UpdatesACallThatRingsAtThePeer) {
  const std::string invite = Begin(Told());
  EXPECT_FALSE(call_->Update().ok());  // with nobody yet
  answer_ = peer_.WriteAnswer(
      invite, 183,
      {.more = "Require: 100rel\r\nRSeq: 1\r\n", .body = SdpAt(30'000)});
  peer_.Send(answer_);
  peer_.Answer(Hear("PRACK"), 200);
  ASSERT_TRUE(
      RunUntil([&] { return call_->Update().ok(); }, Micros::Seconds(1)));
  const std::string update = Hear("UPDATE");
  EXPECT_NE(Value(update, HeaderId::kTo).find(";tag=peer"), std::string::npos);
  peer_.Answer(update, 200, {.body = SdpAt(30'000, "sendrecv", 2)});
  // And theirs (RFC 3311 5.1).
  const std::string ok = Asks({.method = "UPDATE",
                               .cseq = 1,
                               .said = {.body = SdpAt(30'000, "sendonly", 3)}},
                              200);
  EXPECT_EQ(DirectionOf(ok), "recvonly");
  peer_.Answer(invite, 200);
  EXPECT_EQ(BodyOf(Hear("ACK")), "");
  EXPECT_EQ(call_->state(), Call::State::kEstablished);
  EXPECT_TRUE(call_->held_by_peer());
}

TEST_F(CallChange, IsUpdatedWhileItRings) {
  CallParams params = Told();
  params.auto_answer = false;
  Listen(std::move(params));
  peer_.Ask({.said = {.more = "Supported: 100rel\r\n", .body = SdpAt(30'000)}});
  ASSERT_TRUE(RunUntil([&] { return call_ != nullptr; }));
  ASSERT_TRUE(call_->Ring({.media = true, .reliable = true}).ok());
  answer_ = Hear("183 INVITE");
  Asks({.method = "PRACK",
        .cseq = 2,
        .said = {.more = Cat("RAck: ", Value(answer_, HeaderId::kRSeq),
                             " 1 INVITE\r\n")}},
       200);
  const std::string ok = Asks({.method = "UPDATE",
                               .cseq = 3,
                               .said = {.body = SdpAt(30'000, "sendonly", 2)}},
                              200);
  EXPECT_EQ(DirectionOf(ok), "recvonly");
  ASSERT_TRUE(call_->Update().ok());
  peer_.Answer(Hear("UPDATE"), 200, {.body = SdpAt(30'000, "sendrecv", 3)});
  ASSERT_TRUE(RunUntil([&] { return !call_->held_by_peer(); }));
  ASSERT_TRUE(call_->Answer().ok());
  const std::string answer = Hear("200 INVITE");
  peer_.Within(answer, {.method = "ACK", .cseq = 1});
  Turn();
  EXPECT_EQ(call_->state(), Call::State::kEstablished);
}

TEST_F(CallChange, AnUpdateBeforeTheInvitesOfferIsAnsweredIs500) {
  CallParams params = Told();
  params.auto_answer = false;
  Listen(std::move(params));
  peer_.Ask({.said = {.body = SdpAt(30'000)}});
  ASSERT_TRUE(RunUntil([&] { return call_ != nullptr; }));
  ASSERT_TRUE(call_->Ring().ok());
  answer_ = Hear("180 INVITE");
  const std::string refusal =
      Asks({.method = "UPDATE",
            .cseq = 2,
            .said = {.body = SdpAt(30'000, "sendonly", 2)}},
           500);
  EXPECT_NE(Value(refusal, HeaderId::kRetryAfter), "");
}

// ---- other requests ---------------------------------------------------------

TEST_F(CallChange, OtherRequestsOfThePeerAreAnswered) {
  CallParams params = Told();
  std::string notified;
  params.cb_notify = [&](Call&, const Message& m) {
    notified = std::string(m.body());
  };
  BeCalled(std::move(params));
  Asks({.method = "INFO", .cseq = 2}, 200);
  Asks({.method = "MESSAGE", .cseq = 3}, 200);
  EXPECT_NE(LineOf(Asks({.method = "OPTIONS", .cseq = 4}, 200), "Allow: "), "");
  Asks({.method = "NOTIFY",
        .cseq = 5,
        .said = {.body = "text", .type = "text/plain"}},
       200);
  EXPECT_EQ(notified, "text");
  EXPECT_NE(LineOf(Asks({.method = "REFER", .cseq = 6}, 405), "Allow: "), "");
  EXPECT_EQ(LineOf(Asks({.method = "INFO",
                         .cseq = 7,
                         .said = {.more = "Require: frobnicate\r\n"}},
                        420),
                   "Unsupported: "),
            "Unsupported: frobnicate");
  Asks({.method = "PRACK", .cseq = 8}, 481);
  EXPECT_EQ(call_->state(), Call::State::kEstablished);
}

TEST_F(CallChange, SendsWhatItIsAsked) {
  Establish(Told());
  CallResult heard;
  ASSERT_TRUE(call_
                  ->Send({.method = "INFO",
                          .headers = {{"X-One", "1"}},
                          .content_type = "text/plain",
                          .body = "hi"},
                         [&](Call&, const CallResult& r) { heard = r; })
                  .ok());
  const std::string info = Hear("INFO");
  EXPECT_EQ(BodyOf(info), "hi");
  EXPECT_EQ(LineOf(info, "X-One: "), "X-One: 1");
  EXPECT_EQ(LineOf(info, "Content-Type: "), "Content-Type: text/plain");
  EXPECT_EQ(Value(info, HeaderId::kCSeq), "2 INFO");
  peer_.Answer(info, 202, {.reason = "Thanks"});
  ASSERT_TRUE(RunUntil([&] { return heard.code == 202; }));
  EXPECT_EQ(heard.reason, "Thanks");
}

// ---- routes -----------------------------------------------------------------

TEST_F(CallChange, SpeaksThroughTheProxiesThatRecordedThemselves) {
  const std::string invite = Begin(Told());
  const std::string near = Cat("<sip:", peer_.host(), ";lr>");
  peer_.Answer(invite, 200,
               {.more = Cat("Record-Route: <sip:192.0.2.9;lr>, ", near, "\r\n"),
                .body = SdpAt(30'000)});
  for (const std::string& text : {Hear("ACK")}) {
    EXPECT_THAT(Values(text, HeaderId::kRoute),
                ElementsAre(near, "<sip:192.0.2.9;lr>"));
    EXPECT_EQ(sip::UriOf(text), peer_.UriOf("peer"));
  }
  ASSERT_TRUE(call_->Bye().ok());
  EXPECT_THAT(Values(Hear("BYE"), HeaderId::kRoute),
              ElementsAre(near, "<sip:192.0.2.9;lr>"));
}

TEST_F(CallChange, AStrictRouterGetsTheRequestForItself) {
  CallParams params = Told();
  params.auth = Credentials("me", "secret");
  const std::string invite = Begin(std::move(params));
  const std::string strict = Cat("sip:", peer_.host());
  peer_.Answer(
      invite, 200,
      {.more = Cat("Record-Route: <sip:192.0.2.9;lr>, <", strict, ">\r\n"),
       .body = SdpAt(30'000)});
  Hear("ACK");
  ASSERT_TRUE(call_->Bye().ok());
  const std::string bye = Hear("BYE");
  EXPECT_EQ(sip::UriOf(bye), strict);  // 12.2.1.1
  EXPECT_THAT(
      Values(bye, HeaderId::kRoute),
      ElementsAre("<sip:192.0.2.9;lr>", Cat("<", peer_.UriOf("peer"), ">")));
  // The digest is about the Request-URI as it stands there (22.4).
  peer_.Answer(bye, 407,
               {.more = "Proxy-Authenticate: Digest realm=\"r\", "
                        "nonce=\"n\", qop=\"auth\"\r\n"});
  EXPECT_NE(LineOf(Hear("BYE", 1), "Proxy-Authorization: ")
                .find(Cat("uri=\"", strict, "\"")),
            std::string::npos);
}

// ---- the end ----------------------------------------------------------------

TEST_F(CallChange, EndsByItsByeWhateverComesOfThat) {
  for (const int code : {200, 481, 500, 0}) {
    SCOPED_TRACE(code);
    peer_.Forget();
    told_.clear();
    Establish(Told());
    ASSERT_TRUE(call_->Bye().ok());
    EXPECT_EQ(call_->state(), Call::State::kEnded);
    EXPECT_FALSE(call_->Bye().ok());
    EXPECT_FALSE(call_->media()->started());
    const std::string bye = Hear("BYE");
    if (code != 0) peer_.Answer(bye, code);
    ASSERT_TRUE(RunUntil([&] { return Over(); }));
    EXPECT_THAT(told_, ElementsAre("final 200", "established",
                                   Cat("bye answered ", code == 0 ? 408 : code),
                                   "cleanup"));
  }
}

TEST_F(CallChange, ByesThatMeetEndItOnce) {
  Establish(Told());
  ASSERT_TRUE(call_->Bye().ok());
  const std::string bye = Hear("BYE");
  peer_.Within(answer_, {.method = "BYE", .cseq = 1});
  ASSERT_TRUE(RunUntil(
      [&] { return peer_.Count("200 BYE") + peer_.Count("481 BYE") == 1; }));
  peer_.Answer(bye, 481);
  ASSERT_TRUE(RunUntil([&] { return Over(); }));
  EXPECT_EQ(TimesTold("cleanup"), 1u);
  EXPECT_EQ(told_.back(), "cleanup");
}

TEST_F(CallChange, IsHungUpByThePeerOnce) {
  BeCalled(Told());
  const std::string bye = peer_.Within(answer_, {.method = "BYE", .cseq = 2});
  const std::string ok = Hear("200 BYE");
  ASSERT_TRUE(RunUntil([&] { return Over(); }));
  peer_.Send(bye);  // its 200 was lost
  EXPECT_EQ(Hear("200 BYE", 1), ok);
  EXPECT_THAT(told_,
              ElementsAre("final 200", "established", "bye came", "cleanup"));
  EXPECT_FALSE(call_->Reinvite().ok());
  EXPECT_FALSE(call_->Hold().ok());
  EXPECT_FALSE(call_->Update().ok());
  EXPECT_FALSE(call_->Send({.method = "INFO"}, {}).ok());
  EXPECT_FALSE(call_->Dtmf("1").ok());
  EXPECT_FALSE(call_->Ring().ok());
}

TEST_F(CallChange, ASilentPeerIsHungUpAfterItsTime) {
  CallParams params = Told();
  params.rtp_timeout = Micros::Seconds(10);
  const std::string invite = Begin(std::move(params));
  peer_.Answer(invite, 200, {.body = SdpAt(30'000)});
  Hear("ACK");
  RunFor(Micros::Seconds(9), Micros::Millis(50));
  EXPECT_EQ(peer_.Count("BYE"), 0u);
  RunFor(Micros::Seconds(3), Micros::Millis(50));
  peer_.Answer(Hear("BYE"), 200);
  ASSERT_TRUE(RunUntil([&] { return Over(); }));
  EXPECT_NE(ua_->Error().message().find("10 s"), std::string_view::npos)
      << ua_->Error();
  EXPECT_EQ(TimesTold("cleanup"), 1u);
}

TEST_F(CallChange, SilenceIsNoFaultOfWhoIsHeld) {
  CallParams params = Told();
  params.rtp_timeout = Micros::Seconds(10);
  peer_.Answer(Begin(std::move(params)), 200, {.body = SdpAt(30'000)});
  Hear("ACK");
  ASSERT_TRUE(call_->Hold().ok());
  peer_.Answer(Hear("INVITE", 1), 200, {.body = SdpAt(30'000, "recvonly", 2)});
  Hear("ACK", 1);
  RunFor(Micros::Seconds(30), Micros::Millis(50));
  EXPECT_EQ(call_->state(), Call::State::kEstablished);
}

}  // namespace
}  // namespace sluice::sip
