// Goal: each description is taken for what RFC 6337 2.2 says it is, whichever
// side we are, and what breaks those patterns neither passes nor confuses.
// Method: tables of whole exchanges, each played by both sides, and seeded
// walks of two sides that see each other's messages at once.

#include "sip/offer_answer.h"

#include <random>
#include <string>
#include <vector>

#include "gtest/gtest.h"

namespace sluice::sip {
namespace {

using Carrier = OfferAnswer::Carrier;
using Means = OfferAnswer::Means;
using State = OfferAnswer::State;

// `by_uac`: who sends it, of the INVITE.
struct Step {
  bool by_uac;
  Carrier carrier;
  bool has_sdp;
  Means means;
};

struct Pattern {
  const char* name;
  std::vector<Step> steps;
};

constexpr bool kUac = true;
constexpr bool kUas = false;
constexpr bool kSdp = true;
constexpr bool kBare = false;

// The patterns of table 1, initial and later, and what is built of them.
const std::vector<Pattern> kPatterns = {
    {"1: INVITE, 2xx",
     {{kUac, Carrier::kInvite, kSdp, Means::kOffer},
      {kUas, Carrier::kProvisional, kBare, Means::kNothing},
      {kUas, Carrier::kFinal, kSdp, Means::kAnswer},
      {kUac, Carrier::kAck, kBare, Means::kNothing}}},
    {"1 with previews",
     {{kUac, Carrier::kInvite, kSdp, Means::kOffer},
      {kUas, Carrier::kProvisional, kSdp, Means::kPreview},
      {kUas, Carrier::kProvisional, kBare, Means::kNothing},
      {kUas, Carrier::kProvisional, kSdp, Means::kRepeatedAnswer},
      {kUas, Carrier::kFinal, kSdp, Means::kAnswer},
      {kUac, Carrier::kAck, kBare, Means::kNothing}}},
    {"2: 2xx, ACK",
     {{kUac, Carrier::kInvite, kBare, Means::kNothing},
      {kUas, Carrier::kProvisional, kBare, Means::kNothing},
      {kUas, Carrier::kFinal, kSdp, Means::kOffer},
      {kUac, Carrier::kAck, kSdp, Means::kAnswer}}},
    {"3: INVITE, reliable 1xx",
     {{kUac, Carrier::kInvite, kSdp, Means::kOffer},
      {kUas, Carrier::kReliable, kSdp, Means::kAnswer},
      {kUac, Carrier::kPrack, kBare, Means::kNothing},
      {kUas, Carrier::kPrackOk, kBare, Means::kNothing},
      {kUas, Carrier::kFinal, kBare, Means::kNothing},
      {kUac, Carrier::kAck, kBare, Means::kNothing}}},
    {"3 after a preview and a bare reliable 1xx, repeated in the 2xx",
     {{kUac, Carrier::kInvite, kSdp, Means::kOffer},
      {kUas, Carrier::kProvisional, kSdp, Means::kPreview},
      {kUas, Carrier::kReliable, kBare, Means::kNothing},
      {kUac, Carrier::kPrack, kBare, Means::kNothing},
      {kUas, Carrier::kPrackOk, kBare, Means::kNothing},
      {kUas, Carrier::kReliable, kSdp, Means::kAnswer},
      {kUac, Carrier::kPrack, kBare, Means::kNothing},
      {kUas, Carrier::kPrackOk, kBare, Means::kNothing},
      {kUas, Carrier::kProvisional, kSdp, Means::kRepeatedAnswer},
      {kUas, Carrier::kReliable, kSdp, Means::kRepeatedAnswer},
      {kUac, Carrier::kPrack, kBare, Means::kNothing},
      {kUas, Carrier::kPrackOk, kBare, Means::kNothing},
      {kUas, Carrier::kFinal, kSdp, Means::kRepeatedAnswer},
      {kUac, Carrier::kAck, kBare, Means::kNothing}}},
    {"4: reliable 1xx, PRACK",
     {{kUac, Carrier::kInvite, kBare, Means::kNothing},
      {kUas, Carrier::kReliable, kSdp, Means::kOffer},
      {kUac, Carrier::kPrack, kSdp, Means::kAnswer},
      {kUas, Carrier::kPrackOk, kBare, Means::kNothing},
      {kUas, Carrier::kReliable, kBare, Means::kNothing},
      {kUac, Carrier::kPrack, kBare, Means::kNothing},
      {kUas, Carrier::kPrackOk, kBare, Means::kNothing},
      {kUas, Carrier::kFinal, kBare, Means::kNothing},
      {kUac, Carrier::kAck, kBare, Means::kNothing}}},
    {"3 and 5: PRACK, 2xx to PRACK",
     {{kUac, Carrier::kInvite, kSdp, Means::kOffer},
      {kUas, Carrier::kReliable, kSdp, Means::kAnswer},
      {kUac, Carrier::kPrack, kSdp, Means::kOffer},
      {kUas, Carrier::kPrackOk, kSdp, Means::kAnswer},
      {kUas, Carrier::kFinal, kBare, Means::kNothing},
      {kUac, Carrier::kAck, kBare, Means::kNothing}}},
    {"4 and 5",
     {{kUac, Carrier::kInvite, kBare, Means::kNothing},
      {kUas, Carrier::kReliable, kSdp, Means::kOffer},
      {kUac, Carrier::kPrack, kSdp, Means::kAnswer},
      {kUas, Carrier::kPrackOk, kBare, Means::kNothing},
      {kUas, Carrier::kReliable, kBare, Means::kNothing},
      {kUac, Carrier::kPrack, kSdp, Means::kOffer},
      {kUas, Carrier::kPrackOk, kSdp, Means::kAnswer},
      {kUas, Carrier::kFinal, kBare, Means::kNothing},
      {kUac, Carrier::kAck, kBare, Means::kNothing}}},
    {"3 and 6: UPDATE of either, early",
     {{kUac, Carrier::kInvite, kSdp, Means::kOffer},
      {kUas, Carrier::kReliable, kSdp, Means::kAnswer},
      {kUac, Carrier::kPrack, kBare, Means::kNothing},
      {kUas, Carrier::kPrackOk, kBare, Means::kNothing},
      {kUac, Carrier::kUpdate, kSdp, Means::kOffer},
      {kUas, Carrier::kUpdateOk, kSdp, Means::kAnswer},
      {kUas, Carrier::kUpdate, kSdp, Means::kOffer},
      {kUac, Carrier::kUpdateOk, kSdp, Means::kAnswer},
      {kUas, Carrier::kFinal, kBare, Means::kNothing},
      {kUac, Carrier::kAck, kBare, Means::kNothing}}},
    {"1 and 6: UPDATE of either, confirmed; one without a description",
     {{kUac, Carrier::kInvite, kSdp, Means::kOffer},
      {kUas, Carrier::kFinal, kSdp, Means::kAnswer},
      {kUac, Carrier::kAck, kBare, Means::kNothing},
      {kUas, Carrier::kUpdate, kSdp, Means::kOffer},
      {kUac, Carrier::kUpdateOk, kSdp, Means::kAnswer},
      {kUac, Carrier::kUpdate, kBare, Means::kNothing},
      {kUas, Carrier::kUpdateOk, kBare, Means::kNothing},
      {kUac, Carrier::kUpdate, kSdp, Means::kOffer},
      {kUas, Carrier::kUpdateOk, kSdp, Means::kAnswer}}},
    {"an UPDATE that is answered after the 2xx",
     {{kUac, Carrier::kInvite, kSdp, Means::kOffer},
      {kUas, Carrier::kReliable, kSdp, Means::kAnswer},
      {kUac, Carrier::kPrack, kBare, Means::kNothing},
      {kUas, Carrier::kPrackOk, kBare, Means::kNothing},
      {kUac, Carrier::kUpdate, kSdp, Means::kOffer},
      {kUas, Carrier::kFinal, kBare, Means::kNothing},
      {kUac, Carrier::kAck, kBare, Means::kNothing},
      {kUas, Carrier::kUpdateOk, kSdp, Means::kAnswer}}},
};

OfferAnswer Established() {
  OfferAnswer call;
  call.Sending(Carrier::kInvite, kSdp);
  call.Received(Carrier::kFinal, kSdp);
  call.Sending(Carrier::kAck, kBare);
  return call;
}

// Plays a pattern on one side; the messages of `by_uac` == `uac` are ours.
void Play(const Pattern& pattern, bool uac, OfferAnswer* side) {
  for (size_t i = 0; i < pattern.steps.size(); ++i) {
    SCOPED_TRACE(std::string(pattern.name) + (uac ? ", UAC" : ", UAS") +
                 ", step " + std::to_string(i));
    const Step& step = pattern.steps[i];
    const bool ours = step.by_uac == uac;
    const State before = side->state();
    if (ours) {
      const Means due = side->Due(step.carrier);
      if (due != Means::kNothing) {
        EXPECT_EQ(due, step.means);
      }
      if (step.means == Means::kOffer && due == Means::kNothing) {
        EXPECT_TRUE(step.carrier == Carrier::kInvite ? side->MayInvite()
                                                     : side->MayOffer());
      }
      EXPECT_EQ(side->Sending(step.carrier, step.has_sdp), step.means);
    } else {
      if (step.carrier == Carrier::kInvite || step.carrier == Carrier::kPrack ||
          step.carrier == Carrier::kUpdate) {
        EXPECT_EQ(side->RefusalOf(step.carrier, step.has_sdp), 0);
      }
      EXPECT_EQ(side->Received(step.carrier, step.has_sdp), step.means);
    }
    switch (step.means) {
      case Means::kOffer:
        EXPECT_EQ(side->state(),
                  ours ? State::kOfferSent : State::kOfferReceived);
        EXPECT_FALSE(side->MayOffer());
        break;
      case Means::kAnswer: EXPECT_EQ(side->state(), State::kStable); break;
      default: EXPECT_EQ(side->state(), before);
    }
  }
  EXPECT_EQ(side->state(), State::kStable) << pattern.name;
  EXPECT_TRUE(side->MayOffer()) << pattern.name;
  EXPECT_TRUE(side->MayInvite()) << pattern.name;
}

TEST(OfferAnswer, KnowsEveryPatternOfTheFirstInvite) {
  for (const Pattern& pattern : kPatterns) {
    for (const bool uac : {true, false}) {
      OfferAnswer side;
      Play(pattern, uac, &side);
    }
  }
}

// Each after each other one, by either side: a dialog is not left half-way.
TEST(OfferAnswer, KnowsEveryPatternAgainAsAReInvite) {
  for (const Pattern& first : kPatterns) {
    for (const Pattern& second : kPatterns) {
      for (const bool uac : {true, false}) {
        OfferAnswer side;
        Play(first, true, &side);
        Play(second, uac, &side);
      }
    }
  }
}

// What was due is missing, or too much was there: `received` is what the other
// side thinks of it.
struct Breach {
  const char* name;
  std::vector<Step> before;
  Step last;
  Means received;
};

const std::vector<Breach> kBreaches = {
    {"2xx without the answer",
     {{kUac, Carrier::kInvite, kSdp, Means::kOffer}},
     {kUas, Carrier::kFinal, kBare, Means::kViolation},
     Means::kViolation},
    {"2xx without the answer that was previewed",
     {{kUac, Carrier::kInvite, kSdp, Means::kOffer},
      {kUas, Carrier::kProvisional, kSdp, Means::kPreview}},
     {kUas, Carrier::kFinal, kBare, Means::kViolation},
     Means::kNothing},
    {"2xx without the offer",
     {{kUac, Carrier::kInvite, kBare, Means::kNothing}},
     {kUas, Carrier::kFinal, kBare, Means::kViolation},
     Means::kViolation},
    {"reliable 1xx without the offer",
     {{kUac, Carrier::kInvite, kBare, Means::kNothing}},
     {kUas, Carrier::kReliable, kBare, Means::kViolation},
     Means::kNothing},
    {"an offer in an unreliable 1xx",
     {{kUac, Carrier::kInvite, kBare, Means::kNothing}},
     {kUas, Carrier::kProvisional, kSdp, Means::kViolation},
     Means::kNothing},
    {"a second offer in the 2xx",
     {{kUac, Carrier::kInvite, kBare, Means::kNothing},
      {kUas, Carrier::kReliable, kSdp, Means::kOffer},
      {kUac, Carrier::kPrack, kSdp, Means::kAnswer},
      {kUas, Carrier::kPrackOk, kBare, Means::kNothing}},
     {kUas, Carrier::kFinal, kSdp, Means::kViolation},
     Means::kNothing},
    {"2xx before the offer in the reliable 1xx was answered",
     {{kUac, Carrier::kInvite, kBare, Means::kNothing},
      {kUas, Carrier::kReliable, kSdp, Means::kOffer}},
     {kUas, Carrier::kFinal, kBare, Means::kViolation},
     Means::kNothing},
    {"PRACK without the answer",
     {{kUac, Carrier::kInvite, kBare, Means::kNothing},
      {kUas, Carrier::kReliable, kSdp, Means::kOffer}},
     {kUac, Carrier::kPrack, kBare, Means::kViolation},
     Means::kViolation},
    {"ACK without the answer",
     {{kUac, Carrier::kInvite, kBare, Means::kNothing},
      {kUas, Carrier::kFinal, kSdp, Means::kOffer}},
     {kUac, Carrier::kAck, kBare, Means::kViolation},
     Means::kViolation},
    {"an offer in the ACK",
     {{kUac, Carrier::kInvite, kSdp, Means::kOffer},
      {kUas, Carrier::kFinal, kSdp, Means::kAnswer}},
     {kUac, Carrier::kAck, kSdp, Means::kViolation},
     Means::kNothing},
    {"a PRACK that offers over the INVITE's offer",
     {{kUac, Carrier::kInvite, kSdp, Means::kOffer},
      {kUas, Carrier::kReliable, kBare, Means::kNothing}},
     {kUac, Carrier::kPrack, kSdp, Means::kViolation},
     Means::kViolation},
    {"an UPDATE that offers over the preview",
     {{kUac, Carrier::kInvite, kSdp, Means::kOffer},
      {kUas, Carrier::kProvisional, kSdp, Means::kPreview}},
     {kUac, Carrier::kUpdate, kSdp, Means::kViolation},
     Means::kViolation},
    {"an UPDATE that offers before the first offer",
     {{kUac, Carrier::kInvite, kBare, Means::kNothing}},
     {kUac, Carrier::kUpdate, kSdp, Means::kViolation},
     Means::kViolation},
    {"2xx to UPDATE without the answer",
     {{kUac, Carrier::kInvite, kSdp, Means::kOffer},
      {kUas, Carrier::kReliable, kSdp, Means::kAnswer},
      {kUac, Carrier::kUpdate, kSdp, Means::kOffer}},
     {kUas, Carrier::kUpdateOk, kBare, Means::kViolation},
     Means::kViolation},
    {"2xx to PRACK without the answer",
     {{kUac, Carrier::kInvite, kSdp, Means::kOffer},
      {kUas, Carrier::kReliable, kSdp, Means::kAnswer},
      {kUac, Carrier::kPrack, kSdp, Means::kOffer}},
     {kUas, Carrier::kPrackOk, kBare, Means::kViolation},
     Means::kViolation},
    {"an answer to an UPDATE that offered nothing",
     {{kUac, Carrier::kInvite, kSdp, Means::kOffer},
      {kUas, Carrier::kReliable, kSdp, Means::kAnswer},
      {kUac, Carrier::kUpdate, kBare, Means::kNothing}},
     {kUas, Carrier::kUpdateOk, kSdp, Means::kViolation},
     Means::kNothing},
    {"an answer to the UPDATE in the 2xx to a PRACK",
     {{kUac, Carrier::kInvite, kSdp, Means::kOffer},
      {kUas, Carrier::kReliable, kSdp, Means::kAnswer},
      {kUac, Carrier::kPrack, kBare, Means::kNothing},
      {kUac, Carrier::kUpdate, kSdp, Means::kOffer}},
     {kUas, Carrier::kPrackOk, kSdp, Means::kViolation},
     Means::kNothing},
    {"a response of the side that invites",
     {{kUac, Carrier::kInvite, kSdp, Means::kOffer}},
     {kUac, Carrier::kFinal, kSdp, Means::kViolation},
     Means::kViolation},
    {"a response to no INVITE",
     {},
     {kUas, Carrier::kProvisional, kSdp, Means::kViolation},
     Means::kViolation},
};

TEST(OfferAnswer, SendsNoneOfTheBreachesAndHearsThemForWhatTheyAre) {
  for (const Breach& breach : kBreaches) {
    SCOPED_TRACE(breach.name);
    for (const bool sender : {true, false}) {
      OfferAnswer side;
      const bool uac = sender == breach.last.by_uac;
      for (const Step& step : breach.before) {
        const Means means = step.by_uac == uac
                                ? side.Sending(step.carrier, step.has_sdp)
                                : side.Received(step.carrier, step.has_sdp);
        ASSERT_EQ(means, step.means);
      }
      const State before = side.state();
      // `sender`: the breach would be ours.
      const bool ours = uac == breach.last.by_uac;
      ASSERT_EQ(ours, sender);
      if (ours) {
        EXPECT_EQ(side.Sending(breach.last.carrier, breach.last.has_sdp),
                  Means::kViolation);
        EXPECT_EQ(side.state(), before);
      } else {
        EXPECT_EQ(side.Received(breach.last.carrier, breach.last.has_sdp),
                  breach.received);
      }
    }
  }
}

TEST(OfferAnswer, AnAnswerThatNeverCameLeavesWhatStood) {
  OfferAnswer call = Established();
  ASSERT_EQ(call.Sending(Carrier::kUpdate, kSdp), Means::kOffer);
  EXPECT_EQ(call.Received(Carrier::kUpdateOk, kBare), Means::kViolation);
  EXPECT_TRUE(call.MayInvite());

  ASSERT_EQ(call.Sending(Carrier::kInvite, kSdp), Means::kOffer);
  EXPECT_EQ(call.Received(Carrier::kFinal, kBare), Means::kViolation);
  EXPECT_TRUE(call.MayInvite());

  ASSERT_EQ(call.Received(Carrier::kInvite, kBare), Means::kNothing);
  ASSERT_EQ(call.Sending(Carrier::kFinal, kSdp), Means::kOffer);
  EXPECT_EQ(call.Received(Carrier::kAck, kBare), Means::kViolation);
  EXPECT_TRUE(call.MayInvite());
}

// A PRACK without its answer is refused; the next one may have it.
TEST(OfferAnswer, APrackThatWasRefusedMayComeAgain) {
  OfferAnswer call;
  call.Received(Carrier::kInvite, kBare);
  call.Sending(Carrier::kReliable, kSdp);
  EXPECT_EQ(call.Received(Carrier::kPrack, kBare), Means::kViolation);
  EXPECT_EQ(call.state(), State::kOfferSent);
  EXPECT_EQ(call.Received(Carrier::kPrack, kSdp), Means::kAnswer);
}

// A gateway that rings reliably before it knows its media.
TEST(OfferAnswer, TheOfferMayComeAfterABareReliable1xx) {
  OfferAnswer call;
  call.Sending(Carrier::kInvite, kBare);
  EXPECT_EQ(call.Received(Carrier::kReliable, kBare), Means::kNothing);
  EXPECT_EQ(call.Sending(Carrier::kPrack, kBare), Means::kNothing);
  EXPECT_EQ(call.Received(Carrier::kFinal, kSdp), Means::kOffer);
  EXPECT_EQ(call.Due(Carrier::kAck), Means::kAnswer);
}

// The 2xx overtakes our PRACK.
TEST(OfferAnswer, AnOfferIn1xxIsStillAnsweredInPrackAfterThe2xx) {
  OfferAnswer call;
  call.Sending(Carrier::kInvite, kBare);
  ASSERT_EQ(call.Received(Carrier::kReliable, kSdp), Means::kOffer);
  EXPECT_EQ(call.Received(Carrier::kFinal, kBare), Means::kNothing);
  EXPECT_EQ(call.Due(Carrier::kAck), Means::kNothing);
  EXPECT_EQ(call.Due(Carrier::kPrack), Means::kAnswer);
  EXPECT_EQ(call.Sending(Carrier::kPrack, kSdp), Means::kAnswer);
}

// --- Refusals --------------------------------------------------------------

TEST(OfferAnswer, BothOfferAtOnceAndBothAreRefusedWith491) {
  for (const Carrier ours : {Carrier::kInvite, Carrier::kUpdate}) {
    for (const Carrier theirs : {Carrier::kInvite, Carrier::kUpdate}) {
      OfferAnswer call = Established();
      ASSERT_EQ(call.Sending(ours, kSdp), Means::kOffer);
      EXPECT_EQ(call.RefusalOf(theirs), 491);
      EXPECT_EQ(call.Received(theirs, kSdp), Means::kViolation);
      EXPECT_EQ(call.state(), State::kOfferSent);
      EXPECT_TRUE(call.OursFailed(ours));  // they say 491, too
      EXPECT_EQ(call.RefusalOf(theirs), 0);
      EXPECT_EQ(call.Received(theirs, kSdp), Means::kOffer);
    }
  }
}

TEST(OfferAnswer, ASecondOfferOfTheirsIsRefusedWith500) {
  for (const Carrier first : {Carrier::kInvite, Carrier::kUpdate}) {
    for (const Carrier second : {Carrier::kInvite, Carrier::kUpdate}) {
      OfferAnswer call = Established();
      ASSERT_EQ(call.Received(first, kSdp), Means::kOffer);
      EXPECT_EQ(call.RefusalOf(second), 500);
      EXPECT_EQ(call.Received(second, kSdp), Means::kViolation);
      EXPECT_EQ(call.state(), State::kOfferReceived);
      EXPECT_EQ(call.Sending(Carrier::kUpdate, kSdp), Means::kViolation);
      EXPECT_EQ(call.Sending(Carrier::kInvite, kSdp), Means::kViolation);
      EXPECT_EQ(call.state(), State::kOfferReceived);
    }
  }
}

// Even when neither has a description: one INVITE at a time (RFC 3261 14).
TEST(OfferAnswer, InvitesWithoutOffersDoNotCrossEither) {
  OfferAnswer call = Established();
  ASSERT_EQ(call.Sending(Carrier::kInvite, kBare), Means::kNothing);
  EXPECT_FALSE(call.MayInvite());
  EXPECT_EQ(call.RefusalOf(Carrier::kInvite, kBare), 491);
  EXPECT_EQ(call.RefusalOf(Carrier::kUpdate, kSdp), 491);
  EXPECT_EQ(call.RefusalOf(Carrier::kUpdate, kBare), 0);
  EXPECT_FALSE(call.OursFailed(Carrier::kInvite));  // there was no offer
  EXPECT_TRUE(call.MayInvite());

  ASSERT_EQ(call.Received(Carrier::kInvite, kBare), Means::kNothing);
  EXPECT_EQ(call.RefusalOf(Carrier::kInvite, kBare), 500);
  EXPECT_EQ(call.RefusalOf(Carrier::kUpdate, kSdp), 500);
  EXPECT_FALSE(call.MayOffer());
}

TEST(OfferAnswer, APrackThatOffersMeetsOurUpdate) {
  OfferAnswer call;
  call.Received(Carrier::kInvite, kSdp);
  call.Sending(Carrier::kReliable, kSdp);
  ASSERT_EQ(call.Sending(Carrier::kUpdate, kSdp), Means::kOffer);
  EXPECT_EQ(call.RefusalOf(Carrier::kPrack, kSdp), 491);
  EXPECT_EQ(call.RefusalOf(Carrier::kPrack, kBare), 0);
  EXPECT_EQ(call.Received(Carrier::kUpdateOk, kSdp), Means::kAnswer);
  EXPECT_EQ(call.RefusalOf(Carrier::kPrack, kSdp), 0);
}

TEST(OfferAnswer, WaitsForTheAckBeforeItInvites) {
  OfferAnswer call;
  call.Received(Carrier::kInvite, kSdp);
  call.Sending(Carrier::kFinal, kSdp);
  EXPECT_FALSE(call.MayInvite());
  EXPECT_EQ(call.Sending(Carrier::kInvite, kSdp), Means::kViolation);
  EXPECT_TRUE(call.MayOffer());
  // Theirs tells that the 2xx came: its ACK is lost or late.
  EXPECT_EQ(call.RefusalOf(Carrier::kInvite), 0);
  EXPECT_EQ(call.Received(Carrier::kAck, kBare), Means::kNothing);
  EXPECT_TRUE(call.MayInvite());
}

// --- Failures --------------------------------------------------------------

TEST(OfferAnswer, AFailedRequestTakesItsOfferWithIt) {
  for (const Carrier request : {Carrier::kInvite, Carrier::kUpdate}) {
    OfferAnswer call = Established();
    ASSERT_EQ(call.Sending(request, kSdp), Means::kOffer);
    EXPECT_FALSE(call.TheirsFailed(request));
    EXPECT_EQ(call.state(), State::kOfferSent);
    EXPECT_TRUE(call.OursFailed(request));
    EXPECT_TRUE(call.MayInvite());
    ASSERT_EQ(call.Received(request, kSdp), Means::kOffer);
    EXPECT_FALSE(call.OursFailed(request));
    EXPECT_EQ(call.state(), State::kOfferReceived);
    EXPECT_TRUE(call.TheirsFailed(request));
    EXPECT_TRUE(call.MayInvite());
  }
}

TEST(OfferAnswer, AFailedInviteTakesTheOfferOfIts1xxWithIt) {
  OfferAnswer call = Established();
  call.Received(Carrier::kInvite, kBare);
  ASSERT_EQ(call.Sending(Carrier::kReliable, kSdp), Means::kOffer);
  EXPECT_TRUE(call.TheirsFailed(Carrier::kInvite));  // CANCEL
  EXPECT_TRUE(call.MayInvite());
}

// A preview is void; the request again, with credentials, starts anew.
TEST(OfferAnswer, AfterAChallengeThePreviewIsForgotten) {
  OfferAnswer call;
  call.Sending(Carrier::kInvite, kSdp);
  ASSERT_EQ(call.Received(Carrier::kProvisional, kSdp), Means::kPreview);
  EXPECT_TRUE(call.OursFailed(Carrier::kInvite));
  ASSERT_EQ(call.Sending(Carrier::kInvite, kSdp), Means::kOffer);
  EXPECT_EQ(call.Received(Carrier::kProvisional, kSdp), Means::kPreview);
  EXPECT_EQ(call.Received(Carrier::kFinal, kSdp), Means::kAnswer);
}

TEST(OfferAnswer, WhatAFailedInviteHadAgreedOnStands) {
  OfferAnswer call = Established();
  call.Sending(Carrier::kInvite, kSdp);
  ASSERT_EQ(call.Received(Carrier::kReliable, kSdp), Means::kAnswer);
  ASSERT_EQ(call.Sending(Carrier::kUpdate, kSdp), Means::kOffer);
  EXPECT_FALSE(call.OursFailed(Carrier::kInvite));
  EXPECT_EQ(call.state(), State::kOfferSent);  // of the UPDATE
  EXPECT_EQ(call.Received(Carrier::kUpdateOk, kSdp), Means::kAnswer);
}

TEST(OfferAnswer, AForkStartsFromWhatStoodWhenTheInviteWasSent) {
  OfferAnswer invited;
  invited.Sending(Carrier::kInvite, kSdp);
  OfferAnswer early = invited;
  OfferAnswer winner = invited;
  EXPECT_EQ(early.Received(Carrier::kReliable, kSdp), Means::kAnswer);
  EXPECT_EQ(winner.Received(Carrier::kProvisional, kSdp), Means::kPreview);
  EXPECT_EQ(winner.Received(Carrier::kFinal, kSdp), Means::kAnswer);
  EXPECT_EQ(winner.Sending(Carrier::kAck, kBare), Means::kNothing);
}

// --- Walks -----------------------------------------------------------------

// Two sides that hear each other at once agree about everything, always, but
// for what is sent twice in vain.
TEST(OfferAnswer, TwoSidesNeverDisagree) {
  constexpr unsigned kSeed = 6337;
  SCOPED_TRACE(kSeed);
  std::mt19937_64 random(kSeed);
  int answers = 0;
  for (int walk = 0; walk < 500; ++walk) {
    OfferAnswer side[2];
    for (int step = 0; step < 60; ++step) {
      const size_t who = random() % 2;
      OfferAnswer& from = side[who];
      OfferAnswer& to = side[1 - who];
      if (random() % 12 == 0) {
        const auto request = std::vector{Carrier::kInvite, Carrier::kUpdate,
                                         Carrier::kPrack}[random() % 3];
        EXPECT_EQ(from.OursFailed(request), to.TheirsFailed(request));
      } else {
        const auto carrier = static_cast<Carrier>(random() % 9);
        const bool has_sdp = random() % 2 == 0;
        const OfferAnswer before = to;
        const Means due = from.Due(carrier);
        const Means sent = from.Sending(carrier, has_sdp);
        if (due != Means::kNothing) {
          EXPECT_EQ(sent, has_sdp ? due : Means::kViolation);
        }
        if (sent == Means::kViolation) continue;
        if (carrier == Carrier::kInvite || carrier == Carrier::kUpdate ||
            carrier == Carrier::kPrack) {
          EXPECT_EQ(before.RefusalOf(carrier, has_sdp), 0);
        }
        EXPECT_EQ(to.Received(carrier, has_sdp), sent)
            << static_cast<int>(carrier) << has_sdp;
        answers += sent == Means::kAnswer;
      }
      EXPECT_EQ(side[0].state() == State::kOfferSent,
                side[1].state() == State::kOfferReceived);
      EXPECT_EQ(side[1].state() == State::kOfferSent,
                side[0].state() == State::kOfferReceived);
      EXPECT_EQ(side[0].MayOffer(), side[1].MayOffer());
    }
  }
  EXPECT_GT(answers, 500);
}

// Whatever a peer sends, in whatever order, one of the three states is left.
TEST(OfferAnswer, NoOrderOfMessagesIsTooMuch) {
  std::mt19937_64 random(3264);
  int violations = 0;
  for (int walk = 0; walk < 500; ++walk) {
    OfferAnswer side;
    for (int step = 0; step < 60; ++step) {
      const auto carrier = static_cast<Carrier>(random() % 9);
      const bool has_sdp = random() % 2 == 0;
      const Means means = random() % 2 == 0 ? side.Received(carrier, has_sdp)
                                            : side.Sending(carrier, has_sdp);
      violations += means == Means::kViolation;
      EXPECT_TRUE(means != Means::kOffer || side.state() != State::kStable);
      EXPECT_TRUE(means != Means::kAnswer || side.state() == State::kStable);
      EXPECT_FALSE(means == Means::kPreview && side.MayOffer());
      EXPECT_FALSE(side.MayInvite() && !side.MayOffer());
    }
  }
  EXPECT_GT(violations, 1000);
}

}  // namespace
}  // namespace sluice::sip
