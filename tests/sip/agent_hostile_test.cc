#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>

#include "sip/rtp.h"
#include "sip/transactions.h"
#include "tests/sip/rtp_party.h"
#include "tests/sip/scripted_peer.h"

// What peers may say to an agent that harms it or others, and what they may
// rightly say and not be punished for.
namespace sluice::sip {
namespace {

using ::testing::ElementsAre;

class AgentHostile : public ScriptWorld {
 protected:
  static std::string Reliable(int rseq) {
    return Cat("Require: 100rel\r\nRSeq: ", rseq, "\r\n");
  }
  // The peer's re-INVITE and what is answered to it.
  std::string Reoffer(int cseq, const std::string& sdp) {
    const size_t before = peer_.Count("200 INVITE");
    peer_.Within(answer_,
                 {.method = "INVITE", .cseq = cseq, .said = {.body = sdp}});
    std::string ok = Hear("200 INVITE", before);
    peer_.Within(ok, {.method = "ACK", .cseq = cseq});
    Turn();
    return ok;
  }
  // Of so many octets, as a request brings them from many proxies.
  static std::string Vias(size_t octets) {
    std::string vias;
    while (vias.size() < octets) {
      Append(&vias, "Via: SIP/2.0/UDP h;branch=z9hG4bK", std::string(900, 'v'),
             "\r\n");
    }
    return vias;
  }
  // The agent anew, which may send to 127.0.0.1 alone.
  void AllowHomeOnly() {
    ua_.reset();
    Simple::Options options = OptionsOf("me");
    options.legs = {"udp:127.0.0.1:0"};
    options.outgoing_proxy = peer_.host();
    options.allowed = [](const Endpoint& to) {
      return to.ip == *IpAddress::Parse("127.0.0.1");
    };
    auto made = Simple::Create(std::move(options));
    ASSERT_TRUE(made.ok()) << made.status();
    ua_ = *std::move(made);
    peer_.Face(At(*ua_));
  }
  // Callbacks that tell, and the sound is waited for as it is by default.
  CallParams Patient(Micros rtp_timeout = Micros::Seconds(10)) {
    CallParams params = Told();
    params.rtp_timeout = rtp_timeout;
    return params;
  }
};

// ---- reliable 1xx of re-INVITEs ---------------------------------------------

// RFC 3262 3: each INVITE begins with an RSeq of its own.
TEST_F(AgentHostile, EachReinviteHasItsOwnRSeq) {
  invite_ = Begin(Told());
  peer_.Answer(invite_, 183, {.more = Reliable(7)});
  peer_.Answer(Hear("PRACK"), 200);
  answer_ = peer_.WriteAnswer(invite_, 200, {.body = SdpAt(30'000)});
  peer_.Send(answer_);
  Hear("ACK");
  for (const int rseq : {4711, 3}) {
    peer_.Forget();
    ASSERT_TRUE(call_->Reinvite().ok());
    const std::string again = Hear("INVITE");
    peer_.Answer(again, 183, {.more = Reliable(rseq)});
    // Those of the last one are still repeated.
    EXPECT_TRUE(RunUntil(
        [&] {
          return peer_.Count("PRACK") > 0 &&
                 Value(peer_.Last("PRACK"), HeaderId::kRAck)
                     .starts_with(Cat(rseq, " "));
        },
        Micros::Seconds(1)));
    // Without an answer to it.
    peer_.Answer(again, 200, {.body = SdpAt(30'000)});
    Hear("ACK");
  }
}

// The one that has the call does not care what became of the other.
TEST_F(AgentHostile, AForkThatIsGoneDoesNotEndTheCallOfAnother) {
  invite_ = Begin(Told());
  peer_.Answer(invite_, 183, {.tag = "a", .more = Reliable(1)});
  const std::string prack = Hear("PRACK");
  bool told = false;
  ASSERT_TRUE(call_
                  ->Send({.method = "INFO"},
                         [&](Call&, const CallResult&) { told = true; })
                  .ok());
  peer_.Answer(invite_, 200, {.tag = "b", .body = SdpAt(30'000)});
  Hear("ACK");
  peer_.Answer(prack, 481);
  peer_.Answer(Hear("INFO"), 481);
  ASSERT_TRUE(RunUntil([&] { return told; }));
  EXPECT_EQ(call_->state(), Call::State::kEstablished);
  EXPECT_EQ(peer_.Count("BYE"), 0u);
}

// ---- floods -----------------------------------------------------------------

TEST_F(AgentHostile, StrangersLeaveRoomForTheByeOfACall) {
  BeCalled(Told());
  // Whose calls are none, but whose answers are kept for their ACK.
  Simple::ListenArgs args;
  args.cb_create = [](Call&, const Message&) { return false; };
  ASSERT_TRUE(ua_->Listen(std::move(args)).ok());
  bool full = false;
  peer_.OnMessage([&](const std::string& text) {
    full = full || text.starts_with("SIP/2.0 503 ");
  });
  // As much of each is kept as may be, to the first that finds no room.
  const std::string vias = Vias(3'000);
  const size_t enough = Transactions::kServerOctetsMax / vias.size();
  for (size_t i = 0; i < enough && !full; ++i) {
    peer_.Ask({.from = Cat("<sip:p@x>;tag=", i),
               .call_id = Cat("flood", i),
               .said = {.more = vias, .body = SdpAt(30'000)}});
    loop_.RunOnce(Micros());
    if (i % 64 == 63) peer_.Forget();
  }
  ASSERT_TRUE(full);
  Turn();
  peer_.Forget();
  peer_.Within(answer_, {.method = "INFO", .cseq = 7});
  peer_.Within(answer_, {.method = "BYE", .cseq = 8});
  Turn();
  EXPECT_THAT(peer_.Story(), ElementsAre("200 INFO", "200 BYE"));
}

TEST_F(AgentHostile, WhatWouldBeAnsweredAtLengthIsNotKept) {
  Listen(Told());
  peer_.Ask({.said = {.more = Vias(8'000), .body = SdpAt(30'000)}});
  Hear("513 INVITE");
  RunFor(Micros::Seconds(80), Micros::Millis(100));
  EXPECT_EQ(peer_.heard().size(), 1u);
  EXPECT_EQ(ua_->calls(), 0u);
  // What ordinary roads are like.
  peer_.Ask({.call_id = "2",
             .branch = "z9hG4bKother",
             .said = {.more = Vias(2'000), .body = SdpAt(30'000)}});
  Hear("200 INVITE");
}

TEST_F(AgentHostile, ACallThatCouldNotBeHungUpIsNone) {
  Listen(Told());
  std::string to = "<sip:me@example.com>";
  for (size_t i = 1; i < kParamsMax; ++i) Append(&to, ";p", i);
  // A tag of ours is one more: one too many.
  peer_.Ask({.to = Cat(to, ";last"), .said = {.body = SdpAt(30'000)}});
  RunFor(Micros::Seconds(1));
  EXPECT_EQ(ua_->calls(), 0u);
  peer_.Ask({.to = to,
             .call_id = "2",
             .branch = "z9hG4bKother",
             .said = {.body = SdpAt(30'000)}});
  answer_ = Hear("200 INVITE");
  peer_.Within(answer_, {.method = "ACK", .cseq = 1});
  Turn();
  ASSERT_TRUE(call_->Bye({}).ok());
  Hear("BYE");
}

// ---- sound that is sent to who never asked for it ---------------------------

TEST_F(AgentHostile, OffersGiveNoNewTimeToWhoIsNeverHeard) {
  CallParams params = Patient();
  params.init_media = Rtp::Tone(440);
  BeCalled(std::move(params));
  for (int i = 0; i < 3; ++i) {
    peer_.Within(answer_, {.method = "UPDATE",
                           .cseq = 2 + i,
                           .said = {.body = SdpAt(30'000, "sendrecv", 2 + i)}});
    RunFor(Micros::Seconds(4), Micros::Millis(20));
  }
  // 12 s have been, of which 4 are since the last of them.
  EXPECT_GE(peer_.Count("BYE"), 1u);
  EXPECT_TRUE(absl::IsDeadlineExceeded(call_->error())) << call_->error();
}

TEST_F(AgentHostile, ReportsGoWhereSoundMayGo) {
  AllowHomeOnly();
  Listen(Told());
  invite_ = peer_.Ask(
      {.said = {.body = Cat(SdpAt(30'000), "a=rtcp:9 IN IP4 127.0.0.66\r\n")}});
  answer_ = Hear("200 INVITE");
  peer_.Within(answer_, {.method = "ACK", .cseq = 1});
  peer_.Answer(Hear("BYE"), 200);
  EXPECT_TRUE(absl::IsPermissionDenied(call_->error())) << call_->error();
}

TEST_F(AgentHostile, ALatchTakesNobodyWhoIsNotAllowed) {
  AllowHomeOnly();
  CallParams params = Told();
  params.symmetric_rtp = true;
  BeCalled(std::move(params));
  RtpParty stranger(loop_, "127.0.0.66"), peer(loop_);
  stranger.Say(*call_->media());
  RunFor(Micros::Millis(200));
  EXPECT_EQ(stranger.heard().size(), 0u);
  EXPECT_EQ(call_->media()->drops().strangers, 1u);
  peer.Say(*call_->media());
  RunFor(Micros::Millis(200));
  EXPECT_GE(peer.heard().size(), 8u);
}

// ---- digits and echoes ------------------------------------------------------

TEST_F(AgentHostile, DigitsComeNoFasterThanTheyAreDialled) {
  size_t told = 0;
  CallParams params = Told();
  params.cb_dtmf = [&](Call&, char, rtp::DtmfMethod) { ++told; };
  BeCalled(std::move(params));
  RtpParty peer(loop_);
  for (int i = 0; i < 200; ++i) {
    peer.Dial(*call_->media(), static_cast<uint8_t>(i % 10));
    loop_.RunOnce(Micros());
  }
  Turn();
  // What a stalled road may bring at once.
  EXPECT_GE(told, 32u);
  EXPECT_LE(told, 33u);
  EXPECT_EQ(call_->media()->drops().too_fast, 200 - told);
  RunFor(Micros::Seconds(1));
  peer.Dial(*call_->media(), 5);
  const size_t before = told;
  RunFor(Micros::Millis(100));
  EXPECT_EQ(told, before + 1);
}

TEST_F(AgentHostile, AnHoursQuietIsNoLeaveForAnHoursEcho) {
  CallParams params = Told();
  params.init_media = Rtp::MediaRecvEcho();
  BeCalled(std::move(params));
  RtpParty peer(loop_);
  peer.Say(*call_->media());
  RunFor(Micros::Seconds(3'600), Micros::Seconds(1));
  const uint64_t before = call_->media()->sent().packets;
  for (int i = 0; i < 1'000; ++i) {
    peer.Say(*call_->media());
    if (i % 8 == 7) loop_.RunOnce(Micros());
  }
  Turn();
  // Two seconds ahead, 20 ms each, and the packet that ended the quiet.
  EXPECT_LE(call_->media()->sent().packets - before, 110u);
  EXPECT_GE(call_->media()->drops().too_fast, 800u);
}

// ---- who is silent with good reason -----------------------------------------

TEST_F(AgentHostile, WhoHoldsWithoutMusicIsWaitedFor) {
  BeCalled(Patient());
  Reoffer(2, SdpAt(30'000, "sendonly", 2));
  ASSERT_TRUE(call_->held_by_peer());
  RunFor(Micros::Seconds(300), Micros::Millis(500));
  EXPECT_EQ(call_->state(), Call::State::kEstablished);
  // Once he is back he has to speak.
  Reoffer(3, SdpAt(30'000, "sendrecv", 3));
  RunFor(Micros::Seconds(15), Micros::Millis(100));
  EXPECT_TRUE(absl::IsDeadlineExceeded(call_->error())) << call_->error();
}

TEST_F(AgentHostile, WhoRingsSilentlyWithADescriptionIsWaitedFor) {
  // Reliably said it is the answer, and the 200 has none.
  for (const bool reliable : {false, true}) {
    SCOPED_TRACE(reliable);
    peer_.Forget();
    RtpParty party(loop_);
    const std::string description = SdpAt(party.port());
    invite_ = Begin(Patient());
    peer_.Answer(
        invite_, 183,
        {.more = reliable ? Reliable(1) : std::string(), .body = description});
    if (reliable) peer_.Answer(Hear("PRACK"), 200);
    RunFor(Micros::Seconds(70), Micros::Millis(20));
    EXPECT_EQ(peer_.Count("CANCEL"), 0u);
    // But is not sent to all the time.
    EXPECT_GT(party.heard().size(), 2'000u);
    party.Forget();
    RunFor(Micros::Seconds(5), Micros::Millis(20));
    EXPECT_EQ(party.heard().size(), 0u);
    peer_.Answer(invite_, 200, {.body = reliable ? "" : description});
    Hear("ACK");
    RunFor(Micros::Seconds(5), Micros::Millis(20));
    EXPECT_EQ(call_->state(), Call::State::kEstablished);
    EXPECT_GT(party.heard().size(), 200u);
    EXPECT_EQ(call_->media()->received().packets, 0u);
    party.Say(*call_->media());
    RunFor(Micros::Seconds(5), Micros::Millis(20));
    EXPECT_EQ(call_->state(), Call::State::kEstablished);
    call_.reset();
  }
}

// ---- offers that cross ------------------------------------------------------

TEST_F(AgentHostile, ANewOfferTakesThePlaceOfOneThatMetAnother) {
  Establish(Told());
  told_.clear();
  ASSERT_TRUE(call_->Hold().ok());
  peer_.Answer(Hear("INVITE"), 491);
  Hear("ACK");
  ASSERT_TRUE(call_->Resume().ok());
  const std::string resume = Hear("INVITE", 1);
  RunFor(Micros::Seconds(5));  // when the first would have been tried again
  EXPECT_THAT(told_, ElementsAre());
  peer_.Answer(resume, 488);
  const size_t offers = peer_.Count("INVITE");
  RunFor(Micros::Seconds(10));
  EXPECT_THAT(told_, ElementsAre("final 488"));
  EXPECT_FALSE(call_->held());  // no hold was ever agreed
  // Nor is the first tried again behind the second.
  EXPECT_EQ(peer_.Count("INVITE"), offers);
}

}  // namespace
}  // namespace sluice::sip
