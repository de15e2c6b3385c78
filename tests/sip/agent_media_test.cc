#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "sip/rtp.h"
#include "tests/sip/rtp_party.h"
#include "tests/sip/scripted_peer.h"

// What the parameters of a call make of its sound, as a party hears it that is
// no session of ours: where it goes, who is heard, how fast an echo may be.
namespace sluice::sip {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

constexpr std::string_view kNowhere = "c=IN IP4 0.0.0.0\r\n";
constexpr std::string_view kHere = "c=IN IP4 127.0.0.1\r\n";

class AgentMedia : public ScriptWorld {
 protected:
  // A call of ours whose description the party's is answered with.
  rtp::Session& SpeakWith(const RtpParty& party, CallParams params) {
    const std::string invite = Begin(Told(std::move(params)));
    peer_.Answer(invite, 200, {.body = SdpAt(party.port())});
    Hear("ACK");
    EXPECT_EQ(call_->state(), Call::State::kEstablished) << ua_->Error();
    return *call_->media();
  }
  void HangUp() {
    ASSERT_TRUE(call_->Bye().ok());
    peer_.Answer(Hear("BYE"), 200);
    ASSERT_TRUE(RunUntil([&] { return Over(); }));
    peer_.Forget();
  }
};

// ---- where it goes ----------------------------------------------------------

TEST_F(AgentMedia, SymmetricSoundGoesBackToWhereThePeersComesFrom) {
  for (const bool symmetric : {true, false}) {
    SCOPED_TRACE(symmetric);
    RtpParty named(loop_), behind(loop_, "127.0.0.2");
    rtp::Session& media = SpeakWith(named, {.symmetric_rtp = symmetric});
    RunFor(Micros::Millis(100));
    // Until something comes, to where the description says.
    EXPECT_GE(named.heard().size(), 4u);
    for (int i = 0; i < 10; ++i) {
      behind.Say(media);
      RunFor(Micros::Millis(20));
    }
    named.Forget();
    behind.Forget();
    RunFor(Micros::Millis(200));
    if (symmetric) {
      EXPECT_GE(behind.heard().size(), 9u);
      EXPECT_EQ(named.heard().size(), 0u);
      EXPECT_EQ(media.received().packets, 10u);
      EXPECT_EQ(media.drops().strangers, 0u);
    } else {
      EXPECT_EQ(behind.heard().size(), 0u);
      EXPECT_GE(named.heard().size(), 9u);
      EXPECT_EQ(media.received().packets, 0u);
      EXPECT_EQ(media.drops().strangers, 10u);
    }
    HangUp();
  }
}

TEST_F(AgentMedia, SymmetricSoundIsOfTheFirstThatSpeaksAlone) {
  RtpParty named(loop_), behind(loop_, "127.0.0.2"),
      stranger(loop_, "127.0.0.3");
  rtp::Session& media = SpeakWith(named, {.symmetric_rtp = true});
  behind.Say(media);
  RunFor(Micros::Millis(20));
  for (int i = 0; i < 10; ++i) {
    stranger.Say(media);
    RunFor(Micros::Millis(20));
  }
  EXPECT_EQ(stranger.heard().size(), 0u);
  EXPECT_GE(behind.heard().size(), 9u);
  EXPECT_EQ(media.drops().strangers, 10u);
}

// ---- call_on_hold -----------------------------------------------------------

TEST_F(AgentMedia, AnOfferOnHoldNamesNoAddressOnce) {
  Establish({.call_on_hold = true});
  EXPECT_THAT(BodyOf(invite_), HasSubstr(kNowhere));
  EXPECT_THAT(BodyOf(invite_), Not(HasSubstr(kHere)));
  EXPECT_FALSE(call_->params().call_on_hold);
  ASSERT_TRUE(call_->Reinvite().ok());
  const std::string again = Hear("INVITE");
  EXPECT_THAT(BodyOf(again), HasSubstr(kHere));
  EXPECT_THAT(BodyOf(again), Not(HasSubstr(kNowhere)));
}

TEST_F(AgentMedia, AnAnswerOnHoldNamesNoAddressOnce) {
  BeCalled({.call_on_hold = true});
  EXPECT_THAT(BodyOf(answer_), HasSubstr(kNowhere));
  EXPECT_THAT(BodyOf(answer_), Not(HasSubstr(kHere)));
  peer_.Within(answer_, {.method = "INVITE",
                         .cseq = 2,
                         .said = {.body = SdpAt(30'000, "sendrecv", 2)}});
  const std::string again = Hear("200 INVITE");
  EXPECT_THAT(BodyOf(again), HasSubstr(kHere));
  EXPECT_THAT(BodyOf(again), Not(HasSubstr(kNowhere)));
}

// What the old way means to one of ours.
TEST_F(AgentMedia, WhoIsCalledOnHoldIsHeldAndSendsNothing) {
  std::shared_ptr<Call> his;
  Simple::ListenArgs args;
  args.cb_create = [&](Call& call, const Message&) {
    his = call.shared_from_this();
    return true;
  };
  ASSERT_TRUE(bob_->Listen(std::move(args)).ok());
  const auto hers = alice_->Invite("bob", {.call_on_hold = true});
  ASSERT_TRUE(hers.ok()) << hers.status();
  const auto established = [&] {
    return his && his->state() == Call::State::kEstablished;
  };
  ASSERT_TRUE(RunUntil(established));
  RunFor(Micros::Millis(200));
  EXPECT_TRUE(his->held_by_peer());
  EXPECT_EQ(his->media()->sent().packets, 0u);
  ASSERT_TRUE((*hers)->Reinvite().ok());
  ASSERT_TRUE(RunUntil([&] { return !his->held_by_peer(); }));
  RunFor(Micros::Millis(200));
  EXPECT_GE(his->media()->sent().packets, 9u);
  EXPECT_GE((*hers)->media()->received().packets, 9u);
}

// ---- allowed ----------------------------------------------------------------

TEST_F(AgentMedia, SoundIsNotSentToWhereItIsNotAllowed) {
  RtpParty forbidden(loop_), open(loop_);
  Simple::Options options = OptionsOf("me");
  options.legs = {"udp:127.0.0.1:0"};
  options.outgoing_proxy = peer_.host();
  options.allowed = [port = forbidden.port()](const Endpoint& to) {
    return to.port.host() != port;
  };
  auto made = Simple::Create(std::move(options));
  ASSERT_TRUE(made.ok()) << made.status();
  ua_ = *std::move(made);
  peer_.Face(At(*ua_));
  peer_.Answer(Begin(Told()), 200, {.body = SdpAt(forbidden.port())});
  Hear("ACK");
  peer_.Answer(Hear("BYE"), 200);
  ASSERT_TRUE(RunUntil([&] { return Over(); }));
  EXPECT_EQ(forbidden.heard().size(), 0u);
  EXPECT_EQ(Finals(), 1u);
  EXPECT_EQ(TimesTold("final 200"), 0u);
  EXPECT_EQ(TimesTold("established"), 0u);
  EXPECT_EQ(TimesTold("cleanup"), 1u);
  EXPECT_EQ(ua_->Error().code(), absl::StatusCode::kPermissionDenied);
  EXPECT_THAT(std::string(ua_->Error().message()),
              HasSubstr(Cat("127.0.0.1:", forbidden.port())));
  peer_.Forget();
  SpeakWith(open, {});
  RunFor(Micros::Millis(200));
  EXPECT_GE(open.heard().size(), 9u);
}

// ---- an echo ----------------------------------------------------------------

class AgentEcho : public AgentMedia {
 protected:
  AgentEcho() : party_(loop_) {}
  rtp::Session& Echo() {
    return SpeakWith(party_, {.init_media = Rtp::MediaRecvEcho()});
  }
  RtpParty party_;
};

TEST_F(AgentEcho, IsNotFasterThanSpeechButForTwoSeconds) {
  rtp::Session& media = Echo();
  constexpr size_t kAhead = 2 * 50;  // packets
  // A burst at one moment: more than one turn takes from a socket.
  for (size_t i = 0; i < 2 * kAhead; ++i) {
    party_.Say(media);
    if (i % 16 == 15) Settle();
  }
  Settle();
  EXPECT_EQ(media.received().packets, 2 * kAhead);
  EXPECT_EQ(party_.Count(1), kAhead + 1);
  // As time goes on there is room for as much as time has gone on.
  party_.Forget();
  RunFor(Micros::Millis(100));
  for (size_t i = 0; i < 20; ++i) party_.Say(media);
  Settle();
  EXPECT_EQ(party_.Count(1), 5u);
}

TEST_F(AgentEcho, IsSilenceAgainWhenNothingCame) {
  rtp::Session& media = Echo();
  RunFor(Micros::Millis(100));
  EXPECT_GE(party_.Count(0xff), 4u);
  party_.Say(media);
  Settle();
  party_.Forget();
  RunFor(Micros::Millis(190));
  EXPECT_EQ(party_.heard().size(), 0u);
  RunFor(Micros::Millis(100));
  EXPECT_GE(party_.Count(0xff), 3u);
}

TEST_F(AgentEcho, TiesItsTimestampsAnewWhenThePeersHaveJumpedByASecond) {
  rtp::Session& media = Echo();
  party_.Say(media);
  RunFor(Micros::Millis(20));
  const auto last = [&] { return party_.heard().back(); };
  ASSERT_EQ(last().first, 1);
  // Within a second it is the peer's business.
  uint32_t before = last().timestamp;
  party_.Say(media, 2, 160 + 7'000);
  RunFor(Micros::Millis(20));
  ASSERT_EQ(last().first, 2);
  EXPECT_EQ(last().timestamp - before, 160u + 7'000u);
  // Beyond, ours run on with the clock.
  before = last().timestamp - 7'000;
  party_.Say(media, 3, 5'000'000);
  RunFor(Micros::Millis(20));
  ASSERT_EQ(last().first, 3);
  EXPECT_LE(last().timestamp - before, 2u * 160u);
}

}  // namespace
}  // namespace sluice::sip
