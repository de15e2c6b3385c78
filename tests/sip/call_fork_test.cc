#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "tests/sip/scripted_peer.h"

// One INVITE of ours with several who answer it, and what answers it twice (RFC
// 3261 12.1.2, 13.2.2.4); reliable 1xx (RFC 3262 4, 5).
namespace sluice::sip {
namespace {

using ::testing::ElementsAre;

class CallFork : public ScriptWorld {
 protected:
  static std::string Reliable(int rseq) {
    return Cat("Require: 100rel\r\nRSeq: ", rseq, "\r\n");
  }
  static std::string TagOf(const std::string& to) {
    const size_t at = to.find(kTag);
    return at == std::string::npos ? "" : to.substr(at + kTag.size());
  }
  // The INVITE of a call that leaves the offer to the peer; `media` counts how
  // often its sound was set up.
  std::string BeginWithoutOffer(int* media) {
    CallParams params = Told();
    params.sdp_on_ack = true;
    params.init_media = [media](Call&, rtp::Session&) {
      ++*media;
      return absl::OkStatus();
    };
    std::string invite = Begin(std::move(params));
    EXPECT_EQ(BodyOf(invite), "");
    return invite;
  }
};

TEST_F(CallFork, HearsEachEarlyDialogAndSpeaksWithWhoAnswersFirst) {
  const std::string invite = Begin(Told());
  peer_.Answer(invite, 180, {.tag = "one", .contact = "one"});
  peer_.Answer(invite, 183,
               {.tag = "two", .contact = "two", .body = SdpAt(30'002)});
  peer_.Answer(invite, 180, {.tag = "three", .contact = "three"});
  ASSERT_TRUE(RunUntil([&] { return told_.size() == 3; }));
  peer_.Answer(invite, 200,
               {.tag = "three", .contact = "three", .body = SdpAt(30'004)});
  const std::string ack = Hear("ACK");
  EXPECT_EQ(TagOf(Value(ack, HeaderId::kTo)), "three");
  EXPECT_THAT(told_,
              ElementsAre("preliminary 180", "preliminary 183",
                          "preliminary 180", "final 200", "established"));
  // The other one that answers is acknowledged and hung up.
  peer_.Answer(invite, 200,
               {.tag = "one", .contact = "one", .body = SdpAt(30'000)});
  const std::string other = Hear("ACK", 1);
  EXPECT_EQ(TagOf(Value(other, HeaderId::kTo)), "one");
  EXPECT_EQ(sip::UriOf(other), peer_.UriOf("one"));
  const std::string bye = Hear("BYE");
  EXPECT_EQ(TagOf(Value(bye, HeaderId::kTo)), "one");
  EXPECT_EQ(sip::UriOf(bye), peer_.UriOf("one"));
  peer_.Answer(bye, 200);
  RunFor(Micros::Seconds(1));
  EXPECT_EQ(call_->state(), Call::State::kEstablished);
  EXPECT_EQ(TimesTold("final 200"), 1u);
  ASSERT_TRUE(call_->Bye().ok());
  const std::string last = Hear("BYE", 1);
  EXPECT_EQ(TagOf(Value(last, HeaderId::kTo)), "three");
  peer_.Answer(last, 200);
  ASSERT_TRUE(RunUntil([&] { return Over(); }));
  EXPECT_EQ(TimesTold("cleanup"), 1u);
}

TEST_F(CallFork, HangsUpTheSecondWhoeverItWasBefore) {
  // Its 1xx named no Contact; its 2xx does, and routes of its own.
  const std::string invite = Begin(Told());
  peer_.Answer(invite, 180, {.tag = "late", .contact = ""});
  peer_.Answer(invite, 200, {.tag = "won", .body = SdpAt(30'000)});
  Hear("ACK");
  peer_.Answer(invite, 200,
               {.tag = "late",
                .contact = "late",
                .more = Cat("Record-Route: <sip:", peer_.host(), ";lr>\r\n"),
                .body = SdpAt(30'002)});
  for (const std::string& text : {Hear("ACK", 1), Hear("BYE")}) {
    EXPECT_EQ(sip::UriOf(text), peer_.UriOf("late"));
    EXPECT_EQ(TagOf(Value(text, HeaderId::kTo)), "late");
    EXPECT_THAT(Values(text, HeaderId::kRoute),
                ElementsAre(Cat("<sip:", peer_.host(), ";lr>")));
  }
}

TEST_F(CallFork, AcknowledgesEachRepeatedAnswerByTheSameOctets) {
  const std::string invite = Begin(Told());
  const std::string answer =
      peer_.WriteAnswer(invite, 200, {.body = SdpAt(30'000)});
  peer_.Send(answer);
  const std::string ack = Hear("ACK");
  for (size_t i = 1; i <= 3; ++i) {
    peer_.Send(answer);
    EXPECT_EQ(Hear("ACK", i), ack);
  }
  EXPECT_THAT(told_, ElementsAre("final 200", "established"));
  EXPECT_EQ(peer_.Count("INVITE"), 1u);
}

TEST_F(CallFork, ARepeatedAnswerIsNotTheAnswerOfTheNextInvite) {
  Establish(Told());
  ASSERT_TRUE(call_->Hold().ok());
  const std::string again = Hear("INVITE");
  peer_.Send(answer_);  // our ACK was lost
  EXPECT_EQ(Hear("ACK"), ack_);
  RunFor(Micros::Millis(100));
  EXPECT_EQ(TimesTold("final 200"), 1u);
  EXPECT_FALSE(call_->Reinvite().ok());  // it is still under way
  peer_.Answer(again, 200, {.body = SdpAt(30'000, "recvonly", 2)});
  const std::string ack = Hear("ACK", 1);
  EXPECT_EQ(Value(ack, HeaderId::kCSeq), "2 ACK");
  EXPECT_EQ(TimesTold("final 200"), 2u);
}

TEST_F(CallFork, ALateBranchIsHungUpWhileTheCallGoesOn) {
  Establish(Told());
  ASSERT_TRUE(call_->Hold().ok());
  const std::string again = Hear("INVITE");
  peer_.Answer(invite_, 200,
               {.tag = "late", .contact = "late", .body = SdpAt(30'002)});
  EXPECT_EQ(TagOf(Value(Hear("ACK"), HeaderId::kTo)), "late");
  const std::string bye = Hear("BYE");
  EXPECT_EQ(TagOf(Value(bye, HeaderId::kTo)), "late");
  peer_.Answer(bye, 481);
  peer_.Answer(again, 200, {.body = SdpAt(30'000, "recvonly", 2)});
  Hear("ACK", 1);
  EXPECT_EQ(call_->state(), Call::State::kEstablished);
}

TEST_F(CallFork, ABranchThatEndsItselfDoesNotEndTheCall) {
  const std::string invite = Begin(Told());
  peer_.Answer(invite, 180, {.tag = "one"});
  peer_.Answer(invite, 200, {.tag = "two", .body = SdpAt(30'000)});
  Hear("ACK");
  peer_.Within(peer_.WriteAnswer(invite, 180, {.tag = "one"}),
               {.method = "BYE", .cseq = 1});
  ASSERT_TRUE(RunUntil(
      [&] { return peer_.Count("200 BYE") + peer_.Count("481 BYE") == 1; }));
  EXPECT_EQ(call_->state(), Call::State::kEstablished);
}

TEST_F(CallFork, KeepsOnlySoManyEarlyDialogs) {
  const std::string invite = Begin(Told());
  for (int i = 0; i < 40; ++i) {
    peer_.Answer(invite, 180, {.tag = Cat("t", i), .more = Reliable(1)});
    Turn();
  }
  // Whoever is one too many gets no PRACK, and knows no dialog.
  EXPECT_EQ(peer_.Count("PRACK"), 16u);
  peer_.Answer(invite, 200, {.tag = "t3", .body = SdpAt(30'000)});
  Hear("ACK");
  EXPECT_EQ(call_->state(), Call::State::kEstablished);
}

// ---- reliable 1xx -----------------------------------------------------------

TEST_F(CallFork, SaysPrackForEachReliableOnceAndInOrder) {
  const std::string invite = Begin(Told());
  EXPECT_EQ(LineOf(invite, "Supported: "), "Supported: 100rel");
  const std::string first =
      peer_.WriteAnswer(invite, 180, {.more = Reliable(7)});
  peer_.Send(first);
  const std::string prack = Hear("PRACK");
  EXPECT_EQ(Value(prack, HeaderId::kRAck), "7 1 INVITE");
  EXPECT_EQ(Value(prack, HeaderId::kCSeq), "2 PRACK");
  EXPECT_EQ(TagOf(Value(prack, HeaderId::kTo)), "peer");
  EXPECT_EQ(sip::UriOf(prack), peer_.UriOf("peer"));
  peer_.Answer(prack, 200);
  peer_.Send(first);  // again
  // One too far: its predecessor has to come first (RFC 3262 4).
  peer_.Answer(invite, 183, {.more = Reliable(9)});
  RunFor(Micros::Millis(100));
  EXPECT_EQ(peer_.Count("PRACK"), 1u);
  EXPECT_EQ(TimesTold("preliminary 180"), 1u);
  EXPECT_EQ(TimesTold("preliminary 183"), 0u);
  peer_.Answer(invite, 183, {.more = Reliable(8)});
  const std::string second = Hear("PRACK", 1);
  EXPECT_EQ(Value(second, HeaderId::kRAck), "8 1 INVITE");
  EXPECT_EQ(Value(second, HeaderId::kCSeq), "3 PRACK");
  peer_.Answer(second, 200);
  peer_.Answer(invite, 183, {.more = Reliable(9)});
  peer_.Answer(Hear("PRACK", 2), 200);
  peer_.Answer(invite, 200, {.body = SdpAt(30'000)});
  EXPECT_EQ(Value(Hear("ACK"), HeaderId::kCSeq), "1 ACK");
  ASSERT_TRUE(call_->Bye().ok());
  EXPECT_EQ(Value(Hear("BYE"), HeaderId::kCSeq), "5 BYE");
}

TEST_F(CallFork, CountsReliableOnesOfEachBranchByThemselves) {
  const std::string invite = Begin(Told());
  peer_.Answer(invite, 180, {.tag = "one", .more = Reliable(100)});
  peer_.Answer(invite, 180, {.tag = "two", .more = Reliable(5)});
  EXPECT_EQ(Value(Hear("PRACK", 0), HeaderId::kRAck), "100 1 INVITE");
  const std::string two = Hear("PRACK", 1);
  EXPECT_EQ(Value(two, HeaderId::kRAck), "5 1 INVITE");
  EXPECT_EQ(TagOf(Value(two, HeaderId::kTo)), "two");
}

TEST_F(CallFork, AReliableOneWithoutItsNumberIsNone) {
  const std::string invite = Begin(Told());
  for (const char* more :
       {"Require: 100rel\r\n", "Require: 100rel\r\nRSeq: 0\r\n",
        "Require: 100rel\r\nRSeq: 4294967296\r\n",
        "Require: 100rel\r\nRSeq: x\r\n"}) {
    peer_.Answer(invite, 183, {.more = more});
  }
  RunFor(Micros::Millis(100));
  EXPECT_EQ(peer_.Count("PRACK"), 0u);
  // An RSeq without Require asks for nothing.
  peer_.Answer(invite, 183, {.more = "RSeq: 1\r\n"});
  RunFor(Micros::Millis(100));
  EXPECT_EQ(peer_.Count("PRACK"), 0u);
  EXPECT_EQ(TimesTold("preliminary 183"), 1u);
}

TEST_F(CallFork, TakesTheAnswerOfAReliableOneAndNoneOfThe2xx) {
  CallParams params = Told();
  int media = 0;
  params.init_media = [&media](Call&, rtp::Session&) {
    ++media;
    return absl::OkStatus();
  };
  const std::string invite = Begin(std::move(params));
  peer_.Answer(invite, 183, {.more = Reliable(1), .body = SdpAt(30'000)});
  const std::string prack = Hear("PRACK");
  EXPECT_EQ(BodyOf(prack), "");
  EXPECT_EQ(media, 1);
  peer_.Answer(prack, 200);
  peer_.Answer(invite, 200);
  EXPECT_EQ(BodyOf(Hear("ACK")), "");
  EXPECT_EQ(media, 1);
  EXPECT_THAT(told_,
              ElementsAre("preliminary 183", "final 200", "established"));
}

TEST_F(CallFork, AnswersInPrackWhatAReliableOneOffers) {
  int media = 0;
  const std::string invite = BeginWithoutOffer(&media);
  peer_.Answer(invite, 183, {.more = Reliable(1), .body = SdpAt(30'000)});
  const std::string prack = Hear("PRACK");
  EXPECT_NE(BodyOf(prack).find("m=audio "), std::string::npos);
  EXPECT_NE(LineOf(prack, "Content-Type: "), "");
  peer_.Answer(prack, 200);
  peer_.Answer(invite, 200);
  EXPECT_EQ(BodyOf(Hear("ACK")), "");
  EXPECT_EQ(call_->state(), Call::State::kEstablished);
  EXPECT_EQ(media, 1);
  EXPECT_TRUE(call_->media()->started());
}

TEST_F(CallFork, APrackThatIsRefusedTakesTheInviteBackAndSaysNoByeToNobody) {
  for (const int code : {481, 408}) {
    SCOPED_TRACE(code);
    peer_.Forget();
    told_.clear();
    const std::string invite = Begin(Told());
    peer_.Answer(invite, 183, {.more = Reliable(1)});
    peer_.Answer(Hear("PRACK"), code);
    RunFor(Micros::Seconds(1));
    for (size_t i = 0; i < peer_.Count("BYE"); ++i) {
      EXPECT_NE(TagOf(Value(peer_.Nth("BYE", i), HeaderId::kTo)), "");
    }
    // Either it is taken back, or it goes on; it does not end with the INVITE
    // left ringing.
    if (peer_.Count("CANCEL") == 0) {
      peer_.Answer(invite, 200, {.body = SdpAt(30'000)});
      Hear("ACK");
      EXPECT_EQ(call_->state(), Call::State::kEstablished);
      ASSERT_TRUE(call_->Bye().ok());
      peer_.Answer(Hear("BYE", peer_.Count("BYE")), 200);
    } else {
      peer_.Answer(peer_.Last("CANCEL"), 200);
      peer_.Answer(invite, 487);
    }
    ASSERT_TRUE(RunUntil([&] { return Over(); }));
    EXPECT_EQ(TimesTold("cleanup"), 1u);
  }
}

// ---- an INVITE without an offer ---------------------------------------------

TEST_F(CallFork, AnswersInTheAckWhatThe2xxOffers) {
  int media = 0;
  const std::string invite = BeginWithoutOffer(&media);
  EXPECT_EQ(LineOf(invite, "Content-Type"), "");
  peer_.Answer(invite, 200, {.body = SdpAt(30'000)});
  const std::string ack = Hear("ACK");
  EXPECT_NE(BodyOf(ack).find("m=audio "), std::string::npos);
  EXPECT_EQ(media, 1);
  EXPECT_EQ(call_->state(), Call::State::kEstablished);
}

TEST_F(CallFork, HangsUpA2xxThatOffersNothingItCanTake) {
  for (const std::string& body :
       {std::string(), SdpAt(30'000, "sendrecv", 1, "18")}) {
    SCOPED_TRACE(body);
    peer_.Forget();
    told_.clear();
    CallParams params = Told();
    params.sdp_on_ack = true;
    peer_.Answer(Begin(std::move(params)), 200, {.body = body});
    Hear("ACK");
    peer_.Answer(Hear("BYE"), 200);
    ASSERT_TRUE(RunUntil([&] { return Over(); }));
    EXPECT_EQ(Finals(), 1u);
    EXPECT_EQ(TimesTold("established"), 0u);
    EXPECT_EQ(TimesTold("cleanup"), 1u);
  }
}

}  // namespace
}  // namespace sluice::sip
