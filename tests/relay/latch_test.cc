#include "relay/latch.h"

#include <gtest/gtest.h>

#include "tests/fakes/packets.h"

namespace sluice::relay {
namespace {

using Answer = Latch::Answer;
using State = Latch::State;

const Endpoint kSdp = At("192.0.2.10:4000");
const Endpoint kSdpRtcp = At("192.0.2.10:4001");
const Endpoint kSameAddress = At("192.0.2.10:9999");
const Endpoint kSignalled = At("203.0.113.7:5555");
const Endpoint kStranger = At("198.51.100.66:4000");
constexpr Micros kNow = Micros::Seconds(50);
constexpr Micros kWindow = Micros::Seconds(53);

Latch Fresh(SideTarget target = {.target = kSdp}) {
  Latch latch;
  latch.Reset(target, kWindow);
  return latch;
}

Answer Hear(Latch& latch, const Endpoint& from, uint16_t sequence,
            LatchPolicy policy = LatchPolicy::kSdpFirst, Micros now = kNow) {
  const rtp::RtpHeader header{.ssrc = 7, .sequence = sequence};
  return latch.OnPacket(from, &header, policy, now);
}

struct FirstPacket {
  const char* name;
  LatchPolicy policy = LatchPolicy::kSdpFirst;
  Endpoint from{};
  SideTarget target{.target = kSdp};
  Answer want{};
  State state{};
  LatchedBy by = LatchedBy::kNothing;
};

TEST(Latch, FirstPacketByPolicyAndSource) {
  const SideTarget natted{.target = At("10.0.0.5:4000"), .learn_any = true};
  const SideTarget signalled{.target = At("10.0.0.5:4000"),
                             .signalled = kSignalled.ip};
  const FirstPacket kRows[] = {
      {.name = "the exact address confirms at once",
       .from = kSdp,
       .want = Answer::kLatched,
       .state = State::kConfirmed,
       .by = LatchedBy::kSdp},
      {.name = "another port of the SDP's address is tentative",
       .from = kSameAddress,
       .want = Answer::kLatched,
       .state = State::kTentative,
       .by = LatchedBy::kSameAddress},
      {.name = "the signalling's address is as good as the SDP's",
       .from = kSignalled,
       .target = signalled,
       .want = Answer::kLatched,
       .state = State::kTentative,
       .by = LatchedBy::kSameAddress},
      {.name = "with a signalling address nobody else is learnt",
       .from = kStranger,
       .target = signalled,
       .want = Answer::kRefuse,
       .state = State::kOpen},
      {.name = "a stranger is refused while the SDP is routable",
       .from = kStranger,
       .want = Answer::kRefuse,
       .state = State::kOpen},
      {.name = "with an unroutable SDP a source is only watched at first",
       .from = kStranger,
       .target = natted,
       .want = Answer::kLearning,
       .state = State::kProbing},
      {.name = "strict believes the exact address",
       .policy = LatchPolicy::kStrict,
       .from = kSdp,
       .want = Answer::kLatched,
       .state = State::kConfirmed,
       .by = LatchedBy::kSdp},
      {.name = "strict refuses another port",
       .policy = LatchPolicy::kStrict,
       .from = kSameAddress,
       .want = Answer::kRefuse,
       .state = State::kOpen},
      {.name = "strict learns nothing behind a NAT either",
       .policy = LatchPolicy::kStrict,
       .from = kStranger,
       .target = natted,
       .want = Answer::kRefuse,
       .state = State::kOpen},
      {.name = "first-packet believes anybody",
       .policy = LatchPolicy::kFirstPacket,
       .from = kStranger,
       .want = Answer::kLatched,
       .state = State::kConfirmed,
       .by = LatchedBy::kFirstPacket},
  };
  for (const auto& row : kRows) {
    SCOPED_TRACE(row.name);
    Latch latch = Fresh(row.target);
    EXPECT_EQ(Hear(latch, row.from, 1, row.policy), row.want);
    EXPECT_EQ(latch.state(), row.state);
    EXPECT_EQ(latch.by(), row.by);
    EXPECT_EQ(latch.believed(), row.by != LatchedBy::kNothing);
  }
}

TEST(Latch, WhoWasBelievedBeforeIsBelievedFromTheStart) {
  const struct {
    Endpoint source;
    LatchedBy by;
  } kRows[] = {{kSdp, LatchedBy::kSdp},
               {kSameAddress, LatchedBy::kSameAddress},
               {kStranger, LatchedBy::kLearnt}};
  for (const auto& row : kRows) {
    Latch latch;
    latch.Believe({.target = kSdp}, row.source);
    EXPECT_EQ(latch.state(), State::kConfirmed);
    EXPECT_EQ(latch.by(), row.by);
    EXPECT_TRUE(latch.Believes(row.source));
    EXPECT_EQ(latch.destination(), row.source);
    // Another address lets it go, the same one does not.
    EXPECT_FALSE(latch.Retarget({.target = kSdp}, kWindow));
    EXPECT_TRUE(latch.Retarget({.target = kSignalled}, kWindow));
  }
}

TEST(Latch, AConfirmedLatchIsMovedByNoPacket) {
  for (auto policy : {LatchPolicy::kStrict, LatchPolicy::kSdpFirst,
                      LatchPolicy::kFirstPacket}) {
    Latch latch = Fresh();
    ASSERT_EQ(Hear(latch, kSdp, 1, policy), Answer::kLatched);
    for (uint16_t s = 2; s < 100; ++s) {
      EXPECT_EQ(Hear(latch, kStranger, s, policy), Answer::kRefuse);
      EXPECT_EQ(Hear(latch, kSameAddress, s, policy), Answer::kRefuse);
    }
    EXPECT_EQ(Hear(latch, kSdp, 2, policy), Answer::kAccept);
    EXPECT_TRUE(latch.Believes(kSdp));
    EXPECT_FALSE(latch.Believes(kStranger));
  }
}

TEST(Latch, TheExactAddressTakesATentativeFlowOver) {
  Latch latch = Fresh();
  Hear(latch, kSameAddress, 1);
  EXPECT_EQ(latch.destination(), kSameAddress);
  EXPECT_EQ(Hear(latch, kSdp, 1), Answer::kLatched);
  EXPECT_EQ(latch.source(), kSdp);
  EXPECT_EQ(Hear(latch, kSameAddress, 2), Answer::kRefuse);
}

TEST(Latch, TwoInSequenceConfirmATentativeSource) {
  Latch latch = Fresh();
  Hear(latch, kSameAddress, 10);
  EXPECT_EQ(Hear(latch, kSameAddress, 20), Answer::kAccept) << "a gap";
  EXPECT_EQ(Hear(latch, kSameAddress, 21), Answer::kLatched);
  EXPECT_EQ(latch.state(), State::kConfirmed);
  EXPECT_EQ(latch.by(), LatchedBy::kSameAddress);
  EXPECT_EQ(Hear(latch, kSdp, 1), Answer::kRefuse) << "closed by now";
}

TEST(Latch, AnotherPortOfTheAddressCountsWithinTheWindowOnly) {
  const Endpoint other = At("192.0.2.10:7777");
  Latch latch = Fresh();
  Hear(latch, kSameAddress, 1);
  EXPECT_EQ(Hear(latch, other, 1), Answer::kLatched);
  EXPECT_EQ(latch.source(), other);
  EXPECT_EQ(
      Hear(latch, kSameAddress, 2, LatchPolicy::kSdpFirst, kWindow + Micros(1)),
      Answer::kRefuse);
  EXPECT_EQ(latch.source(), other);
}

TEST(Latch, AFlowThatNeverHadASourceFindsItLate) {
  Latch latch = Fresh();
  EXPECT_EQ(Hear(latch, kSameAddress, 1, LatchPolicy::kSdpFirst,
                 kWindow + Micros::Seconds(60)),
            Answer::kLatched);
}

TEST(Latch, FourInSequenceAreLearntBehindANat) {
  Latch latch = Fresh({.target = At("10.0.0.5:4000"), .learn_any = true});
  EXPECT_EQ(Hear(latch, kStranger, 65534), Answer::kLearning);
  EXPECT_EQ(Hear(latch, kStranger, 65535), Answer::kLearning);
  EXPECT_EQ(Hear(latch, kStranger, 0), Answer::kLearning) << "wraps";
  EXPECT_FALSE(latch.believed());
  EXPECT_EQ(latch.destination(), At("10.0.0.5:4000"))
      << "nothing is sent to a source that is only watched";
  EXPECT_EQ(Hear(latch, kStranger, 1), Answer::kLatched);
  EXPECT_EQ(latch.by(), LatchedBy::kLearnt);
  EXPECT_EQ(latch.destination(), kStranger);
}

TEST(Latch, AFloodOfSourcesDoesNotKeepTheHonestOneFromCounting) {
  Latch latch = Fresh({.target = At("10.0.0.5:4000"), .learn_any = true});
  Micros now = kNow;
  Hear(latch, kSignalled, 1, LatchPolicy::kSdpFirst, now);
  for (uint16_t s = 2; s <= 3; ++s) {
    now = now + Micros::Millis(20);
    for (int i = 0; i < 50; ++i) {
      EXPECT_EQ(Hear(latch, kStranger, static_cast<uint16_t>(i),
                     LatchPolicy::kSdpFirst, now),
                Answer::kLearning);
    }
    Hear(latch, kSignalled, s, LatchPolicy::kSdpFirst, now);
  }
  EXPECT_EQ(Hear(latch, kSignalled, 4, LatchPolicy::kSdpFirst, now),
            Answer::kLatched);
  EXPECT_EQ(latch.source(), kSignalled);
}

// One that only makes noise would otherwise keep the party from ever being
// heard, packet by packet, for as long as it likes.
TEST(Latch, AProbedSourceThatBreaksItsSequenceGivesWay) {
  // Slow enough to be overtaken, fast enough never to count as silent.
  for (const int noise_ms : {1, 7, 20, 33, 150}) {
    SCOPED_TRACE(noise_ms);
    Latch latch = Fresh({.target = At("10.0.0.5:4000"), .learn_any = true});
    uint16_t noise = 5, sequence = 100;
    int packets = 0;
    for (int ms = 0; ms < 1000 && !latch.believed(); ++ms) {
      const Micros now = kNow + Micros::Millis(ms);
      if (ms % noise_ms == 0) {
        EXPECT_EQ(Hear(latch, kStranger, noise = noise * 31 + 7,
                       LatchPolicy::kSdpFirst, now),
                  Answer::kLearning);
      }
      if (ms % 20 == 3) {
        Hear(latch, kSignalled, sequence++, LatchPolicy::kSdpFirst, now);
        ++packets;
      }
    }
    ASSERT_TRUE(latch.believed());
    EXPECT_EQ(latch.source(), kSignalled);
    EXPECT_LE(packets, Latch::kToLearn + (noise_ms + 19) / 20 + 1);
  }
}

TEST(Latch, WhoTakesAPlaceIsCountedFromItsFirstPacket) {
  Latch latch = Fresh({.target = At("10.0.0.5:4000"), .learn_any = true});
  for (const uint16_t s : {1, 2, 3, 9}) Hear(latch, kStranger, s);
  EXPECT_FALSE(latch.believed());
  // It goes on where the other one stopped, and that helps it nothing.
  for (const uint16_t s : {10, 11, 12}) {
    EXPECT_EQ(Hear(latch, kSignalled, s), Answer::kLearning);
    EXPECT_FALSE(latch.believed());
  }
  // It keeps its sequence, so it keeps its place.
  EXPECT_EQ(Hear(latch, kStranger, 13), Answer::kLearning);
  EXPECT_TRUE(latch.Probes(kSignalled));
  EXPECT_EQ(Hear(latch, kSignalled, 13), Answer::kLatched);
  EXPECT_EQ(latch.source(), kSignalled);
}

TEST(Latch, AProbedSourceAloneMayLoseAPacket) {
  Latch latch = Fresh({.target = At("10.0.0.5:4000"), .learn_any = true});
  for (const uint16_t s : {1, 2, 4, 5, 6}) {
    EXPECT_EQ(Hear(latch, kStranger, s), Answer::kLearning);
  }
  EXPECT_EQ(Hear(latch, kStranger, 7), Answer::kLatched);
}

TEST(Latch, AProbedSourceThatFallsSilentGivesWay) {
  Latch latch = Fresh({.target = At("10.0.0.5:4000"), .learn_any = true});
  Hear(latch, kSignalled, 1);
  const Micros later = kNow + Latch::kProbeSilence + Micros(1);
  for (uint16_t s = 1; s <= 3; ++s) {
    Hear(latch, kStranger, s, LatchPolicy::kSdpFirst, later);
  }
  EXPECT_EQ(Hear(latch, kStranger, 4, LatchPolicy::kSdpFirst, later),
            Answer::kLatched);
}

TEST(Latch, RtcpNeverLatchesByItself) {
  Latch rtp = Fresh();
  Latch rtcp = Fresh({.target = kSdpRtcp});
  const Endpoint nearby = At("192.0.2.10:9998");
  EXPECT_EQ(rtcp.OnRtcp(nearby, &rtp, LatchPolicy::kSdpFirst), Answer::kRefuse)
      << "the stream has no source yet";
  Hear(rtp, kSameAddress, 1);
  Hear(rtp, kSameAddress, 2);
  EXPECT_EQ(rtcp.OnRtcp(kStranger, &rtp, LatchPolicy::kSdpFirst),
            Answer::kRefuse);
  EXPECT_EQ(rtcp.OnRtcp(nearby, &rtp, LatchPolicy::kStrict), Answer::kRefuse);
  EXPECT_EQ(rtcp.OnRtcp(nearby, &rtp, LatchPolicy::kSdpFirst),
            Answer::kLatched);
  EXPECT_EQ(rtcp.OnRtcp(kSdpRtcp, &rtp, LatchPolicy::kSdpFirst),
            Answer::kRefuse);
}

TEST(Latch, RtcpOfTheExactAddressIsBelieved) {
  Latch rtcp = Fresh({.target = kSdpRtcp});
  EXPECT_EQ(rtcp.OnRtcp(kSdpRtcp, nullptr, LatchPolicy::kStrict),
            Answer::kLatched);
  EXPECT_EQ(rtcp.OnRtcp(kSdpRtcp, nullptr, LatchPolicy::kStrict),
            Answer::kAccept);
  Latch open = Fresh({.target = kSdpRtcp});
  EXPECT_EQ(open.OnRtcp(kStranger, nullptr, LatchPolicy::kFirstPacket),
            Answer::kLatched);
}

TEST(Latch, RawPacketsCountWithoutSequence) {
  Latch latch = Fresh();
  EXPECT_EQ(latch.OnPacket(kSameAddress, nullptr, LatchPolicy::kSdpFirst, kNow),
            Answer::kLatched);
  EXPECT_EQ(latch.OnPacket(kSameAddress, nullptr, LatchPolicy::kSdpFirst, kNow),
            Answer::kLatched);
  EXPECT_EQ(latch.state(), State::kConfirmed);
}

TEST(Latch, ARepeatedOfferKeepsTheLatchAndDoesNotReopenTheWindow) {
  Latch latch = Fresh();
  Hear(latch, kSameAddress, 1);
  Hear(latch, kSameAddress, 2);
  EXPECT_FALSE(latch.Retarget({.target = kSdp}, kWindow + Micros::Seconds(9)));
  EXPECT_EQ(latch.source(), kSameAddress);
  EXPECT_EQ(Hear(latch, kStranger, 1), Answer::kRefuse);
}

TEST(Latch, AChangedOfferMovesTheLatchAtOnce) {
  const Endpoint moved = At("192.0.2.99:6000");
  Latch latch = Fresh();
  Hear(latch, kSdp, 1);
  EXPECT_TRUE(latch.Retarget({.target = moved}, kWindow));
  EXPECT_EQ(latch.destination(), moved);
  EXPECT_EQ(Hear(latch, kSdp, 2), Answer::kRefuse) << "the old address";
  EXPECT_EQ(Hear(latch, moved, 1), Answer::kLatched);
}

TEST(Latch, ASignalledAddressThatWasLearntIsConfirmed) {
  Latch latch = Fresh();
  Hear(latch, kSameAddress, 1);
  EXPECT_FALSE(latch.Retarget({.target = kSameAddress}, kWindow));
  EXPECT_EQ(latch.state(), State::kConfirmed);
  EXPECT_EQ(latch.by(), LatchedBy::kSdp);
}

TEST(Latch, HoldSendsNothingAndResumeFindsTheLatch) {
  Latch latch = Fresh();
  Hear(latch, kSameAddress, 1);
  Hear(latch, kSameAddress, 2);
  EXPECT_FALSE(latch.Retarget({}, kWindow));
  EXPECT_TRUE(latch.destination().is_none());
  EXPECT_EQ(Hear(latch, kSameAddress, 3), Answer::kAccept)
      << "the party on hold may still speak";
  EXPECT_FALSE(latch.Retarget({.target = kSdp}, kWindow));
  EXPECT_EQ(latch.destination(), kSameAddress);
}

TEST(Latch, APartyOnHoldFromTheStartIsHeardButNothingIsSentToIt) {
  Latch latch = Fresh({});
  EXPECT_EQ(Hear(latch, kStranger, 1), Answer::kLatched);
  EXPECT_TRUE(latch.destination().is_none());
  EXPECT_EQ(Hear(latch, kSameAddress, 1), Answer::kRefuse);
  EXPECT_TRUE(latch.Retarget({.target = kSdp}, kWindow)) << "now it is named";
  EXPECT_EQ(Hear(latch, kStranger, 2), Answer::kRefuse);

  Latch strict = Fresh({});
  EXPECT_EQ(Hear(strict, kStranger, 1, LatchPolicy::kStrict), Answer::kRefuse);
  Latch known = Fresh({.signalled = kSdp.ip});
  EXPECT_EQ(Hear(known, kStranger, 1), Answer::kRefuse);
  EXPECT_EQ(Hear(known, kSameAddress, 1), Answer::kLatched);
}

}  // namespace
}  // namespace sluice::relay
