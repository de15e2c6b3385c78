#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "tests/sip/scripted_peer.h"

// A call that comes: who is let in, ringing, answering, refusing (RFC 3261 8.2,
// 9.2, 13.3; RFC 3262 3).
namespace sluice::sip {
namespace {

using ::testing::ElementsAre;

class CallAnswer : public ScriptWorld {
 protected:
  // It rings until told otherwise.
  CallParams Ringing() {
    CallParams params = Told();
    params.auto_answer = false;
    return params;
  }
  // An INVITE of the peer that the agent has taken.
  std::string Asked(std::string more = "", std::string body = SdpAt(30'000)) {
    call_.reset();
    std::string invite =
        peer_.Ask({.said = {.more = std::move(more), .body = std::move(body)}});
    EXPECT_TRUE(RunUntil([&] { return call_ != nullptr; }));
    return invite;
  }
  // The peer acknowledges `answer` to `invite`.
  void Acknowledge(const std::string& answer, std::string body = "") {
    peer_.Within(answer, {.method = "ACK", .cseq = 1, .said = {.body = body}});
    Turn();
  }
  void CancelOf(const std::string& invite) {
    peer_.Ask({.method = "CANCEL",
               .branch = BranchOf(invite),
               .said = {.contact = ""}});
  }
};

TEST_F(CallAnswer, IsAnsweredAtOnceAndIsThereWithTheAck) {
  Listen(Told());
  const std::string invite = Asked();
  const std::string answer = Hear("200 INVITE");
  EXPECT_EQ(call_->state(), Call::State::kAnswered);
  EXPECT_TRUE(call_->incoming());
  EXPECT_EQ(call_->peer(), "sip:peer@example.com");
  EXPECT_NE(BodyOf(answer).find("m=audio "), std::string::npos);
  EXPECT_EQ(LineOf(answer, "Content-Type: "), "Content-Type: application/sdp");
  EXPECT_NE(LineOf(answer, "Allow: "), "");
  EXPECT_NE(ContactUri(answer), "");
  Acknowledge(answer);
  EXPECT_EQ(call_->state(), Call::State::kEstablished);
  EXPECT_THAT(told_, ElementsAre("final 200", "established"));
  EXPECT_EQ(ua_->calls(), 1u);
}

TEST_F(CallAnswer, RepeatsItsAnswerUntilTheAckAndHangsUpWithoutOne) {
  Listen(Told());
  Asked();
  RunFor(Micros::Seconds(31), Micros::Millis(20));
  // 0.5, 1.5, 3.5, 7.5, ... by 4 s (13.3.1.4).
  EXPECT_EQ(peer_.Count("200 INVITE"), 10u);
  EXPECT_EQ(peer_.Nth("200 INVITE", 9), peer_.Nth("200 INVITE", 0));
  EXPECT_EQ(peer_.Count("BYE"), 0u);
  peer_.Answer(Hear("BYE"), 200);
  ASSERT_TRUE(RunUntil([&] { return Over(); }));
  EXPECT_EQ(TimesTold("established"), 0u);
  EXPECT_EQ(TimesTold("cleanup"), 1u);
  EXPECT_EQ(Finals(), 1u);
  EXPECT_EQ(told_.back(), "cleanup");
}

TEST_F(CallAnswer, RingsUntilItIsToldToAnswer) {
  Listen(Ringing());
  Asked();
  EXPECT_EQ(call_->state(), Call::State::kRinging);
  ASSERT_TRUE(call_->Ring().ok());
  const std::string ringing = Hear("180 INVITE");
  EXPECT_EQ(BodyOf(ringing), "");
  EXPECT_EQ(LineOf(ringing, "RSeq"), "");
  RunFor(Micros::Seconds(40), Micros::Millis(50));
  EXPECT_EQ(peer_.Count("200 INVITE"), 0u);
  ASSERT_TRUE(call_->Answer().ok());
  const std::string answer = Hear("200 INVITE");
  EXPECT_EQ(Value(answer, HeaderId::kTo), Value(ringing, HeaderId::kTo));
  EXPECT_FALSE(call_->Answer().ok());
  EXPECT_FALSE(call_->Ring().ok());
  EXPECT_FALSE(call_->Reject(486).ok());
  Acknowledge(answer);
  EXPECT_THAT(told_, ElementsAre("final 200", "established"));
}

TEST_F(CallAnswer, SaysItsMediaBeforeItIsAnsweredAndTheSameThen) {
  CallParams params = Ringing();
  int media = 0;
  params.init_media = [&media](Call&, rtp::Session&) {
    ++media;
    return absl::OkStatus();
  };
  Listen(std::move(params));
  Asked();
  ASSERT_TRUE(call_->Ring({.media = true}).ok());
  const std::string progress = Hear("183 INVITE");
  EXPECT_NE(BodyOf(progress).find("m=audio "), std::string::npos);
  EXPECT_EQ(media, 1);
  ASSERT_TRUE(call_->Answer().ok());
  const std::string answer = Hear("200 INVITE");
  EXPECT_EQ(BodyOf(answer), BodyOf(progress));
  Acknowledge(answer);
  EXPECT_EQ(media, 1);
  EXPECT_EQ(call_->state(), Call::State::kEstablished);
}

TEST_F(CallAnswer, RefusesByEachCode) {
  Listen(Ringing());
  for (const int code : {300, 302, 400, 404, 480, 486, 488, 503, 600, 603}) {
    SCOPED_TRACE(code);
    told_.clear();
    const std::string call_id = Cat("refuse-", code);
    const std::string invite =
        peer_.Ask({.call_id = call_id, .said = {.body = SdpAt(30'000)}});
    ASSERT_TRUE(RunUntil([&] { return call_ && call_->call_id() == call_id; }));
    EXPECT_FALSE(call_->Reject(200).ok());
    EXPECT_FALSE(call_->Reject(700).ok());
    ASSERT_TRUE(call_->Reject(code, "Not now").ok());
    const std::string refusal = Hear(Cat(code, " INVITE"));
    EXPECT_TRUE(refusal.starts_with(Cat("SIP/2.0 ", code, " Not now\r\n")))
        << refusal;
    peer_.Ask({.method = "ACK",
               .to = Value(refusal, HeaderId::kTo),
               .call_id = call_id,
               .branch = BranchOf(invite)});
    ASSERT_TRUE(RunUntil([&] { return Over(); }));
    EXPECT_THAT(told_, ElementsAre(Cat("final ", code), "cleanup"));
    EXPECT_EQ(call_->result().code, code);
  }
}

TEST_F(CallAnswer, ByeWhileItRingsIsARefusal) {
  Listen(Ringing());
  Asked();
  ASSERT_TRUE(call_->Bye().ok());
  Hear("480 INVITE");
  EXPECT_EQ(peer_.Count("BYE"), 0u);
  ASSERT_TRUE(RunUntil([&] { return Over(); }));
  EXPECT_THAT(told_, ElementsAre("final 480", "cleanup"));
}

TEST_F(CallAnswer, AByeBeforeTheAckWaitsForIt) {
  Listen(Told());
  Asked();
  const std::string answer = Hear("200 INVITE");
  int done = 0;
  ASSERT_TRUE(
      call_->Bye([&](Call&, const CallResult& r) { done = r.code; }).ok());
  Turn();
  EXPECT_EQ(peer_.Count("BYE"), 0u);  // 15
  Acknowledge(answer);
  peer_.Answer(Hear("BYE"), 200);
  ASSERT_TRUE(RunUntil([&] { return Over(); }));
  EXPECT_EQ(done, 200);
  EXPECT_EQ(TimesTold("cleanup"), 1u);
}

TEST_F(CallAnswer, WhoWaitsForAByeHearsOfItWithoutAnAckToo) {
  Listen(Told());
  Asked();
  Hear("200 INVITE");
  int done = 0;
  ASSERT_TRUE(
      call_->Bye([&](Call&, const CallResult& r) { done = r.code; }).ok());
  peer_.Answer(Hear("BYE"), 200);
  ASSERT_TRUE(RunUntil([&] { return Over(); }));
  EXPECT_EQ(done, 200);
}

// ---- the caller's part ------------------------------------------------------

TEST_F(CallAnswer, IsTakenBackWhileItRings) {
  Listen(Ringing());
  const std::string invite = Asked();
  ASSERT_TRUE(call_->Ring().ok());
  CancelOf(invite);
  // 9.2: with the tag of the INVITE's answers.
  EXPECT_EQ(Value(Hear("200 CANCEL"), HeaderId::kTo),
            Value(Hear("487 INVITE"), HeaderId::kTo));
  ASSERT_TRUE(RunUntil([&] { return Over(); }));
  EXPECT_THAT(told_, ElementsAre("final 487", "cleanup"));
  EXPECT_EQ(call_->result().code, 487);
  EXPECT_FALSE(call_->Answer().ok());
}

TEST_F(CallAnswer, ACancelThatCrossesTheAnswerChangesNothing) {
  Listen(Told());
  const std::string invite = Asked();
  const std::string answer = Hear("200 INVITE");
  CancelOf(invite);
  Hear("200 CANCEL");  // 9.2
  RunFor(Micros::Seconds(2));
  EXPECT_GT(peer_.Count("200 INVITE"), 1u);
  EXPECT_EQ(call_->state(), Call::State::kAnswered);
  Acknowledge(answer);
  EXPECT_EQ(call_->state(), Call::State::kEstablished);
  peer_.Within(answer, {.method = "BYE", .cseq = 2});
  Hear("200 BYE");
  ASSERT_TRUE(RunUntil([&] { return Over(); }));
  EXPECT_THAT(told_,
              ElementsAre("final 200", "established", "bye came", "cleanup"));
}

TEST_F(CallAnswer, IsHungUpWhileItRings) {
  Listen(Ringing());
  Asked();
  ASSERT_TRUE(call_->Ring().ok());
  peer_.Within(Hear("180 INVITE"), {.method = "BYE", .cseq = 2});
  Hear("200 BYE");
  Hear("487 INVITE");  // 15.1.2
  ASSERT_TRUE(RunUntil([&] { return Over(); }));
  EXPECT_EQ(TimesTold("bye came"), 1u);
  EXPECT_EQ(TimesTold("final 487"), 1u);
  EXPECT_EQ(TimesTold("cleanup"), 1u);
  EXPECT_EQ(told_.back(), "cleanup");
}

TEST_F(CallAnswer, TheSameInviteByAnotherWayIsMerged) {
  Listen(Ringing());
  Asked();
  peer_.Ask({.said = {.body = SdpAt(30'000)}});  // a new branch
  Hear("482 INVITE");
  EXPECT_EQ(ua_->calls(), 1u);
  // After it is over the caller may try again.
  ASSERT_TRUE(call_->Reject(486).ok());
  ASSERT_TRUE(RunUntil([&] { return Over(); }));
  call_.reset();
  peer_.Ask({.cseq = 2, .said = {.body = SdpAt(30'000)}});
  ASSERT_TRUE(RunUntil([&] { return call_ != nullptr; }));
}

TEST_F(CallAnswer, ARetransmissionIsNotAnotherCall) {
  Listen(Ringing());
  const std::string invite = Asked();
  ASSERT_TRUE(call_->Ring().ok());
  const std::string ringing = Hear("180 INVITE");
  peer_.Send(invite);
  EXPECT_EQ(Hear("180 INVITE", 1), ringing);
  EXPECT_EQ(ua_->calls(), 1u);
}

// ---- who is not let in ------------------------------------------------------

TEST_F(CallAnswer, RefusesWhatItCannotTakeWithTheFieldThatSaysWhy) {
  struct Row {
    std::string_view what;
    ScriptedPeer::Said said;
    int code;
    std::string_view line;
  };
  int n = 0;
  Listen(Ringing());
  for (const Row& row :
       {Row{"another type",
            {.body = "hello", .type = "text/plain"},
            415,
            "Accept: application/sdp"},
        Row{"an unknown extension",
            {.more = "Require: 100rel, frobnicate\r\n", .body = SdpAt(30'000)},
            420,
            "Unsupported: frobnicate"},
        Row{"no codec of ours",
            {.body = SdpAt(30'000, "sendrecv", 1, "18")},
            488,
            ""},
        Row{"no audio",
            {.body = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\n"
                     "c=IN IP4 127.0.0.1\r\nt=0 0\r\n"
                     "m=video 30000 RTP/AVP 31\r\n"},
            488,
            ""},
        Row{"a broken description", {.body = "v=0\r\nnonsense\r\n"}, 400, ""},
        Row{"nobody to speak with",
            {.contact = "", .body = SdpAt(30'000)},
            400,
            ""}}) {
    SCOPED_TRACE(row.what);
    peer_.Forget();
    peer_.Ask({.call_id = Cat("no-", ++n), .said = row.said});
    const std::string refusal = Hear(Cat(row.code, " INVITE"));
    EXPECT_NE(refusal.find(Cat("\r\n", row.line)), std::string::npos)
        << refusal;
    EXPECT_NE(Value(refusal, HeaderId::kTo).find(kTag), std::string::npos);
    ASSERT_TRUE(RunUntil([&] { return Over(); }));
    EXPECT_EQ(TimesTold("established"), 0u);
  }
}

TEST_F(CallAnswer, AFilterAndCreateMayRefuse) {
  Simple::ListenArgs args;
  args.filter = [](std::string_view from, const Message& m) {
    EXPECT_EQ(m.method(), Method::kInvite);
    return from.find("friend") != std::string_view::npos;
  };
  args.cb_create = [](Call&, const Message&) { return false; };
  ASSERT_TRUE(ua_->Listen(std::move(args)).ok());
  peer_.Ask({.call_id = "1", .said = {.body = SdpAt(30'000)}});
  Hear("403 INVITE");
  peer_.Ask({.from = "<sip:friend@example.com>;tag=f",
             .call_id = "2",
             .said = {.body = SdpAt(30'000)}});
  Hear("480 INVITE");
  EXPECT_TRUE(Over());
}

TEST_F(CallAnswer, CbInviteMayRefuseTheFirstAndALaterOne) {
  CallParams params = Told();
  int asked = 0;
  bool yes = false;
  params.cb_invite = [&](Call&, const Message&) {
    ++asked;
    return yes;
  };
  Listen(std::move(params));
  peer_.Ask({.call_id = "1", .said = {.body = SdpAt(30'000)}});
  Hear("488 INVITE");
  EXPECT_EQ(TimesTold("cleanup"), 1u);
  yes = true;
  peer_.Forget();
  peer_.Ask({.call_id = "2", .said = {.body = SdpAt(30'000)}});
  const std::string answer = Hear("200 INVITE");
  Acknowledge(answer);
  yes = false;
  peer_.Within(answer, {.method = "INVITE",
                        .cseq = 2,
                        .said = {.body = SdpAt(30'000, "sendonly", 2)}});
  Hear("488 INVITE");
  EXPECT_EQ(asked, 3);
  EXPECT_EQ(call_->state(), Call::State::kEstablished);
  EXPECT_FALSE(call_->held_by_peer());
}

TEST_F(CallAnswer, WithoutListenNobodyIsAtHome) {
  peer_.Ask({.said = {.body = SdpAt(30'000)}});
  Hear("480 INVITE");
}

TEST_F(CallAnswer, WhatIsOfNoCallIs481) {
  Listen(Told());
  for (const char* method :
       {"BYE", "CANCEL", "UPDATE", "PRACK", "INFO", "INVITE"}) {
    SCOPED_TRACE(method);
    peer_.Ask({.method = method,
               .to = "<sip:me@example.com>;tag=nobody",
               .call_id = Cat("none-", method)});
    Hear(Cat("481 ", method));
  }
  peer_.Ask({.method = "ACK", .to = "<sip:me@example.com>;tag=nobody"});
  peer_.Forget();
  RunFor(Micros::Seconds(1));
  EXPECT_TRUE(peer_.heard().empty());
}

TEST_F(CallAnswer, TakesNoMoreThanCallsMax) {
  Simple::Options options = OptionsOf("small");
  options.legs = {"udp:127.0.0.1:0"};
  options.outgoing_proxy = peer_.host();
  options.calls_max = 2;
  auto small = Simple::Create(std::move(options));
  ASSERT_TRUE(small.ok()) << small.status();
  peer_.Face(At(**small));
  Simple::ListenArgs args;
  args.call.auto_answer = false;
  ASSERT_TRUE((*small)->Listen(std::move(args)).ok());
  for (const char* id : {"1", "2", "3"}) {
    peer_.Ask({.call_id = id, .said = {.body = SdpAt(30'000)}});
  }
  Hear("486 INVITE");
  EXPECT_EQ((*small)->calls(), 2u);
  const auto more = (*small)->Invite("somebody", {});
  EXPECT_EQ(more.status().code(), absl::StatusCode::kResourceExhausted);
}

// ---- reliable 1xx of ours ---------------------------------------------------

TEST_F(CallAnswer, RepeatsAReliable1xxUntilItsPrackThenAnswers) {
  Listen(Ringing());
  Asked("Supported: 100rel\r\n");
  ASSERT_TRUE(call_->Ring({.media = true, .reliable = true}).ok());
  const std::string progress = Hear("183 INVITE");
  EXPECT_EQ(LineOf(progress, "Require: "), "Require: 100rel");
  const std::string rseq = Value(progress, HeaderId::kRSeq);
  ASSERT_NE(rseq, "");
  EXPECT_NE(ContactUri(progress), "");
  RunFor(Micros::Millis(1'600));
  EXPECT_EQ(peer_.Count("183 INVITE"), 3u);  // 0.5, 1.5 s
  EXPECT_EQ(peer_.Last("183 INVITE"), progress);
  // What the wrong PRACK is about is not there (RFC 3262 3).
  for (const std::string& wrong :
       {Cat(std::stoul(rseq) + 1, " 1 INVITE"), Cat(rseq, " 2 INVITE"),
        Cat(rseq, " 1 BYE"), std::string("x")}) {
    const size_t before = peer_.Count("481 PRACK") + peer_.Count("400 PRACK");
    peer_.Within(progress, {.method = "PRACK",
                            .cseq = 2,
                            .said = {.more = Cat("RAck: ", wrong, "\r\n")}});
    EXPECT_TRUE(RunUntil(
        [&] {
          return peer_.Count("481 PRACK") + peer_.Count("400 PRACK") > before;
        },
        Micros::Seconds(1)))
        << wrong;
  }
  // An answer waits for the PRACK of what had a description.
  ASSERT_TRUE(call_->Answer().ok());
  Turn();
  EXPECT_EQ(peer_.Count("200 INVITE"), 0u);
  peer_.Within(progress,
               {.method = "PRACK",
                .cseq = 3,
                .said = {.more = Cat("RAck: ", rseq, " 1 INVITE\r\n")}});
  Hear("200 PRACK");
  const std::string answer = Hear("200 INVITE");
  const size_t so_far = peer_.Count("183 INVITE");
  Acknowledge(answer);
  EXPECT_EQ(call_->state(), Call::State::kEstablished);
  RunFor(Micros::Seconds(10), Micros::Millis(50));
  EXPECT_EQ(peer_.Count("183 INVITE"), so_far);
  EXPECT_EQ(peer_.Count("200 INVITE"), 1u);
}

TEST_F(CallAnswer, SaysSeveralReliable1xxEachWithTheNextNumber) {
  Listen(Ringing());
  Asked("Require: 100rel\r\n");
  ASSERT_TRUE(call_->Ring().ok());  // it must be reliable
  const std::string first = Hear("180 INVITE");
  const uint64_t rseq = std::stoul(Value(first, HeaderId::kRSeq));
  EXPECT_FALSE(
      call_->Ring({.media = true, .reliable = true}).ok());  // one at a time
  peer_.Within(first, {.method = "PRACK",
                       .cseq = 2,
                       .said = {.more = Cat("RAck: ", rseq, " 1 INVITE\r\n")}});
  Hear("200 PRACK");
  ASSERT_TRUE(call_->Ring({.media = true, .reliable = true}).ok());
  const std::string second = Hear("183 INVITE");
  EXPECT_EQ(Value(second, HeaderId::kRSeq), Cat(rseq + 1));
  peer_.Within(second,
               {.method = "PRACK",
                .cseq = 3,
                .said = {.more = Cat("RAck: ", rseq + 1, " 1 INVITE\r\n")}});
  Hear("200 PRACK", 1);
  ASSERT_TRUE(call_->Answer().ok());
  Acknowledge(Hear("200 INVITE"));
  EXPECT_EQ(call_->state(), Call::State::kEstablished);
}

TEST_F(CallAnswer, EndsWith504WithoutAPrack) {
  Listen(Ringing());
  Asked("Supported: 100rel\r\n");
  ASSERT_TRUE(call_->Ring({.reliable = true}).ok());
  RunFor(Micros::Seconds(31), Micros::Millis(50));
  EXPECT_EQ(peer_.Count("504 INVITE"), 0u);
  Hear("504 INVITE");
  ASSERT_TRUE(RunUntil([&] { return Over(); }));
  EXPECT_THAT(told_, ElementsAre("final 504", "cleanup"));
}

TEST_F(CallAnswer, IsNotReliableWithWhoCannotBe) {
  Listen(Ringing());
  Asked();
  ASSERT_TRUE(call_->Ring({.media = true, .reliable = true}).ok());
  EXPECT_EQ(LineOf(Hear("183 INVITE"), "Require"), "");
  ASSERT_TRUE(call_->Answer().ok());
  Hear("200 INVITE");
}

TEST_F(CallAnswer, OffersInAReliable1xxWhereTheInviteHasNone) {
  CallParams params = Ringing();
  int media = 0;
  params.init_media = [&media](Call&, rtp::Session&) {
    ++media;
    return absl::OkStatus();
  };
  Listen(std::move(params));
  Asked("Supported: 100rel\r\n", "");
  ASSERT_TRUE(call_->Ring({.media = true, .reliable = true}).ok());
  const std::string progress = Hear("183 INVITE");
  EXPECT_NE(BodyOf(progress).find("m=audio "), std::string::npos);
  EXPECT_EQ(media, 0);
  peer_.Within(progress,
               {.method = "PRACK",
                .cseq = 2,
                .said = {.more = Cat("RAck: ", Value(progress, HeaderId::kRSeq),
                                     " 1 INVITE\r\n"),
                         .body = SdpAt(30'000)}});
  Hear("200 PRACK");
  EXPECT_EQ(media, 1);
  ASSERT_TRUE(call_->Answer().ok());
  const std::string answer = Hear("200 INVITE");
  EXPECT_EQ(BodyOf(answer), "");
  Acknowledge(answer);
  EXPECT_EQ(call_->state(), Call::State::kEstablished);
}

TEST_F(CallAnswer, TakesAnOfferInAPrackToo) {
  Listen(Ringing());
  Asked("Supported: 100rel\r\n");
  ASSERT_TRUE(call_->Ring({.media = true, .reliable = true}).ok());
  const std::string progress = Hear("183 INVITE");
  peer_.Within(progress,
               {.method = "PRACK",
                .cseq = 2,
                .said = {.more = Cat("RAck: ", Value(progress, HeaderId::kRSeq),
                                     " 1 INVITE\r\n"),
                         .body = SdpAt(30'000, "sendonly", 2)}});
  const std::string ok = Hear("200 PRACK");
  EXPECT_NE(BodyOf(ok).find("a=recvonly"), std::string::npos) << ok;
  EXPECT_TRUE(call_->held_by_peer());
}

TEST_F(CallAnswer, OffersInThe2xxWhereTheInviteHasNone) {
  Listen(Told());
  Asked("", "");
  const std::string answer = Hear("200 INVITE");
  EXPECT_NE(BodyOf(answer).find("m=audio "), std::string::npos);
  Acknowledge(answer, SdpAt(30'000));
  EXPECT_EQ(call_->state(), Call::State::kEstablished);
  EXPECT_TRUE(call_->media()->started());
}

TEST_F(CallAnswer, HangsUpWhenTheAckDoesNotAnswerItsOffer) {
  Listen(Told());
  Asked("", "");
  Acknowledge(Hear("200 INVITE"), "");
  peer_.Answer(Hear("BYE"), 200);
  ASSERT_TRUE(RunUntil([&] { return Over(); }));
  EXPECT_EQ(Finals(), 1u);
  EXPECT_EQ(TimesTold("cleanup"), 1u);
}

TEST_F(CallAnswer, KnowsItsAckByTheCSeqOfTheInviteAlone) {
  Listen(Told());
  Asked();
  const std::string answer = Hear("200 INVITE");
  peer_.Within(answer, {.method = "ACK", .cseq = 2});
  Turn();
  EXPECT_EQ(call_->state(), Call::State::kAnswered);
  // Another request of the dialog in between changes nothing of that.
  peer_.Within(answer, {.method = "INFO", .cseq = 2});
  Hear("200 INFO");
  peer_.Within(answer, {.method = "ACK", .cseq = 1});
  Turn();
  EXPECT_EQ(call_->state(), Call::State::kEstablished);
}

TEST_F(CallAnswer, RecordRoutesStandInItsAnswersAndLeadItsRequests) {
  Listen(Ringing());
  const std::string near = Cat("<sip:", peer_.host(), ";lr>");
  const std::string far = "<sip:192.0.2.77;lr>";
  Asked(Cat("Record-Route: ", near, ", ", far, "\r\n"));
  ASSERT_TRUE(call_->Ring().ok());
  EXPECT_THAT(Values(Hear("180 INVITE"), HeaderId::kRecordRoute),
              ElementsAre(near, far));
  ASSERT_TRUE(call_->Answer().ok());
  const std::string answer = Hear("200 INVITE");
  // As they came (12.1.1), once each.
  EXPECT_THAT(Values(answer, HeaderId::kRecordRoute), ElementsAre(near, far));
  Acknowledge(answer);
  ASSERT_TRUE(call_->Bye().ok());
  const std::string bye = Hear("BYE");
  EXPECT_THAT(Values(bye, HeaderId::kRoute), ElementsAre(near, far));
  EXPECT_EQ(sip::UriOf(bye), peer_.UriOf("peer"));
}

}  // namespace
}  // namespace sluice::sip
