#include <gtest/gtest.h>

#include "sip/sdp.h"
#include "tests/sip/sip_world.h"

// Session descriptions on their way through the proxy, and what the relay is
// asked because of them.
namespace sluice::sip {
namespace {

std::string SdpText(std::string_view ip, int port, std::string_view more = "") {
  return Cat("v=0\r\no=phone 100 7 IN IP4 ", ip, "\r\ns=-\r\nc=IN IP4 ", ip,
             "\r\nt=0 0\r\nm=audio ", port, " RTP/AVP 0\r\n", more);
}
const char kOffer[] = "10.1.1.1";
const char kAnswer[] = "10.2.2.2";

class Media : public testing::Test {
 protected:
  Media()
      : in(world.AddLeg("in", "127.0.0.1")),
        out(world.AddLeg("out", "127.0.0.2")) {
    out.domains = {"127.0.0.2"};
    in.domains = {"127.0.0.1"};
    world.with_media = true;
    world.Start();
    invite.uri = bob.uri("bob");
    invite.body = SdpText(kOffer, 4000);
  }
  ~Media() override { world.ExpectLaw(); }

  FakeRelay& relay() { return world.relay; }
  std::string Offered() {
    alice.Request(in, invite);
    return bob.Next();
  }
  std::string Answered(const std::string& request, int code = 200) {
    bob.Respond(request, {.code = code, .body = SdpText(kAnswer, 6000)});
    return alice.Next();
  }
  // As alice asks it in the dialog that `request` has set up.
  Ask Later(const std::string& method, int cseq, const std::string& request) {
    Ask ask{.method = method, .uri = bob.uri("bob"), .cseq = cseq};
    Append(&ask.to, kTag, "b");
    ask.contact = "";
    const auto routes = Values(request, HeaderId::kRecordRoute);
    for (auto it = routes.rbegin(); it != routes.rend(); ++it) {
      Append(&ask.more, "Route: ", *it, "\r\n");
    }
    return ask;
  }

  SipWorld world;
  Leg& in;
  Leg& out;
  Phone alice{world, Transport::kUdp};
  Phone bob{world, Transport::kUdp, "127.0.0.2"};
  Ask invite{.method = "INVITE"};
};

TEST_F(Media, OfferAndAnswerNameTheRelayBetweenLegs) {
  const std::string request = Offered();
  const std::string offer = BodyOf(request);
  EXPECT_NE(LineOf(offer, "c=IN IP4 127.0.0.2"), "");
  EXPECT_EQ(LineOf(offer, "m="), "m=audio 30000 RTP/AVP 0");
  EXPECT_EQ(offer.find(kOffer), std::string::npos);
  EXPECT_EQ(Value(request, HeaderId::kContentLength), Cat(offer.size()));

  const std::string answer = BodyOf(Answered(request));
  EXPECT_NE(LineOf(answer, "c=IN IP4 127.0.0.1"), "");
  EXPECT_EQ(LineOf(answer, "m="), "m=audio 30002 RTP/AVP 0");
  EXPECT_EQ(relay().Verbs(), "allocate from, activate, allocate to, activate");

  const FakeRelay::Asked& from = relay().Last("allocate from");
  const FakeRelay::Asked& to = relay().Last("allocate to");
  EXPECT_EQ(from.key.call_id, "call-1");
  EXPECT_EQ(from.key.cseq, 1u);
  EXPECT_EQ(from.local, out.media);
  EXPECT_EQ(to.local, in.media);
  ASSERT_EQ(from.media.size(), 1u);
  EXPECT_EQ(from.media[0].ip.ToString(), kOffer);
  EXPECT_EQ(from.media[0].port, 4000);
  EXPECT_EQ(from.media[0].range, 2);
  EXPECT_EQ(from.key.id_from, to.key.id_from);
  EXPECT_EQ(to.media[0].port, 6000);
  EXPECT_EQ(world.media->counters().offers, 1u);
  EXPECT_EQ(world.media->counters().answers, 1u);
}

TEST_F(Media, ACallOnOneLegIsLeftAlone) {
  Phone carol(world, Transport::kUdp);
  invite.uri = carol.uri("carol");
  alice.Request(in, invite);
  EXPECT_EQ(BodyOf(carol.Next()), invite.body);
  EXPECT_EQ(relay().Verbs(), "");
}

TEST_F(Media, AnchoredAlwaysMeansAlsoOnOneLeg) {
  in.anchor = Leg::Anchor::kAlways;
  Phone carol(world, Transport::kUdp);
  invite.uri = carol.uri("carol");
  alice.Request(in, invite);
  EXPECT_EQ(LineOf(BodyOf(carol.Next()), "m="), "m=audio 30000 RTP/AVP 0");
}

TEST_F(Media, AnchoredNeverMeansAlsoBetweenLegs) {
  out.anchor = Leg::Anchor::kNever;
  EXPECT_EQ(BodyOf(Offered()), invite.body);
  EXPECT_EQ(relay().Verbs(), "");
}

TEST_F(Media, ARetransmissionIsTheSameOctets) {
  const std::string first = Offered();
  relay().next_port = 30'000;
  EXPECT_EQ(Offered(), first);
}

TEST_F(Media, ARefusedOfferIsAnsweredByWhy) {
  for (const auto& [refusal, code] : std::vector<std::pair<absl::Status, int>>{
           {absl::PermissionDeniedError("x"), 488},
           {absl::InvalidArgumentError("x"), 488},
           {absl::ResourceExhaustedError("x"), 503},
           {absl::UnavailableError("x"), 503},
           {absl::DeadlineExceededError("x"), 503}}) {
    relay().refuse = refusal;
    alice.Request(in, invite);
    const std::string answer = alice.Next();
    EXPECT_EQ(StatusOf(answer), code);
    EXPECT_EQ(Value(answer, HeaderId::kRetryAfter), code == 503 ? "5" : "");
    EXPECT_TRUE(bob.Silent());
  }
  EXPECT_EQ(world.media->counters().refused, 5u);
}

TEST_F(Media, ARelayThatGivesTooFewPortsIsARefusal) {
  relay().one_too_few = true;
  alice.Request(in, invite);
  EXPECT_EQ(StatusOf(alice.Next()), 488);
}

TEST_F(Media, PortsOfARequestThatNobodyTakesGoBack) {
  {
    Phone gone(world, Transport::kTcp, "127.0.0.2");
    invite.uri = gone.uri("bob");
  }
  alice.Request(in, invite);
  EXPECT_EQ(StatusOf(alice.Next()), 503);
  EXPECT_EQ(relay().Verbs(), "allocate from, activate, close");
  // Of this offer alone: what was up before stays.
  EXPECT_EQ(relay().Last("close").key.cseq, 1u);
  EXPECT_TRUE(relay().Last("close").key.half_open_only);
  EXPECT_EQ(relay().Last("close").key.id_from,
            relay().Last("allocate from").key.id_from);
}

TEST_F(Media, ADescriptionThatIsNoneIs488) {
  invite.body = "v=0\r\nthis is not SDP\r\n";
  alice.Request(in, invite);
  EXPECT_EQ(StatusOf(alice.Next()), 488);
  EXPECT_EQ(world.media->counters().bad_sdp, 1u);
}

TEST_F(Media, OtherBodiesPass) {
  invite.type = "application/pidf+xml";
  EXPECT_EQ(BodyOf(Offered()), invite.body);
  invite.call_id = "none";
  invite.body = "";
  EXPECT_EQ(BodyOf(Offered()), "");
  EXPECT_EQ(relay().Verbs(), "");
}

TEST_F(Media, TheTypeMayHaveParametersAndTheBodyParts) {
  invite.type = "Application/SDP; charset=utf-8";
  EXPECT_EQ(LineOf(BodyOf(Offered()), "m="), "m=audio 30000 RTP/AVP 0");
  invite.call_id = "parts";
  invite.type = "multipart/mixed;boundary=xx";
  invite.body =
      Cat("--xx\r\nContent-Type: text/plain\r\n\r\nhello\r\n--xx\r\n"
          "Content-Type: application/sdp\r\n\r\n",
          SdpText(kOffer, 4000), "\r\n--xx--\r\n");
  const std::string got = Offered();
  EXPECT_NE(BodyOf(got).find("m=audio 30002 "), std::string::npos);
  EXPECT_EQ(BodyOf(got).find("--xx\r\nContent-Type: text/plain"), 0u);
  EXPECT_EQ(BodyOf(got).substr(BodyOf(got).size() - 10), "\r\n--xx--\r\n");
  EXPECT_EQ(Value(got, HeaderId::kContentLength), Cat(BodyOf(got).size()));
}

TEST_F(Media, OfTwoDescriptionsNoneIsChosen) {
  const std::string part = Cat("--xx\r\nContent-Type: application/sdp\r\n\r\n",
                               SdpText(kOffer, 4000), "\r\n");
  invite.type = "multipart/mixed;boundary=xx";
  invite.body = Cat(part, part, "--xx--\r\n");
  alice.Request(in, invite);
  EXPECT_EQ(StatusOf(alice.Next()), 488);
  EXPECT_EQ(relay().Verbs(), "");
}

TEST_F(Media, AnAnswerThatTheRelayRefusesIsHeldBack) {
  const std::string request = Offered();
  relay().refuse = absl::ResourceExhaustedError("full");
  const Answer ok{.body = SdpText(kAnswer, 6000)};
  bob.Respond(request, ok);
  EXPECT_TRUE(alice.Silent());
  EXPECT_EQ(world.Drops(SipDrop::k_media_refused), 1u);
  // It is sent again, and by then there is room.
  relay().refuse = absl::OkStatus();
  bob.Respond(request, ok);
  EXPECT_EQ(StatusOf(alice.Next()), 200);
}

TEST_F(Media, LateAnswersOfTheRelayAreWaitedFor) {
  relay().late = true;
  alice.Request(in, invite);
  EXPECT_TRUE(bob.Silent());
  relay().AnswerAll();
  const std::string request = bob.Next();
  EXPECT_EQ(LineOf(BodyOf(request), "m="), "m=audio 30000 RTP/AVP 0");
  bob.Respond(request, {.body = SdpText(kAnswer, 6000)});
  EXPECT_TRUE(alice.Silent());
  // Another message has long been read into the same room.
  alice.Request(in, {.uri = "sip:" + Named(in), .call_id = "ping"});
  EXPECT_EQ(StatusOf(alice.Next()), 200);
  relay().AnswerAll();
  EXPECT_EQ(LineOf(BodyOf(alice.Next()), "m="), "m=audio 30002 RTP/AVP 0");
}

TEST_F(Media, WhatTellsTheRelayAndChangesNothingDoesNotWaitForIt) {
  const std::string request = Offered();
  Answered(request);
  relay().late = true;
  relay().asked.clear();
  alice.Request(in, Later("ACK", 1, request));
  EXPECT_EQ(Value(bob.Next(), HeaderId::kCSeq), "1 ACK");
  alice.Request(in, Later("BYE", 2, request));
  const std::string bye = bob.Next();
  bob.Respond(bye, {.contact = ""});
  EXPECT_EQ(StatusOf(alice.Next()), 200);
  EXPECT_EQ(relay().Verbs(), "activate, close");
  EXPECT_FALSE(relay().Last("close").key.cseq.has_value());
  relay().AnswerAll();
}

TEST_F(Media, TheAckGoesOnWhateverTheRelaySays) {
  invite.body = "";
  const std::string request = Offered();
  // A delayed offer: it comes with the 200, its answer with the ACK.
  const std::string offer = BodyOf(Answered(request));
  EXPECT_EQ(LineOf(offer, "m="), "m=audio 30000 RTP/AVP 0");
  Ask ack = Later("ACK", 1, request);
  ack.body = SdpText(kOffer, 4000);
  alice.Request(in, ack);
  EXPECT_EQ(LineOf(BodyOf(bob.Next()), "m="), "m=audio 30002 RTP/AVP 0");
  EXPECT_EQ(relay().Verbs(), "allocate to, activate, allocate from, activate");
  EXPECT_EQ(relay().Last("allocate from").key.id_to,
            relay().Last("allocate to").key.id_to);

  relay().refuse = absl::ResourceExhaustedError("full");
  alice.Request(in, ack);
  EXPECT_EQ(BodyOf(bob.Next()), ack.body);
  ack.body = "no SDP at all";
  alice.Request(in, ack);
  EXPECT_EQ(BodyOf(bob.Next()), ack.body);
}

TEST_F(Media, OutsideOfADialogTheseTakeNoPorts) {
  const std::string request = Offered();
  relay().asked.clear();
  for (const char* method : {"ACK", "UPDATE", "PRACK"}) {
    Ask ask = Later(method, 1, request);
    ask.more = "";
    ask.body = SdpText(kOffer, 4000);
    alice.Request(in, ask);
    EXPECT_EQ(BodyOf(bob.Next()), ask.body) << method;
  }
  EXPECT_EQ(relay().Verbs(), "");
}

TEST_F(Media, ByeOfTheCalleeClosesAllWithTheIdsTurnedRound) {
  const std::string request = Offered();
  Answered(request);
  Ask bye{.method = "BYE", .uri = ContactUri(request), .cseq = 5};
  bye.from = "<sip:bob@example.com>;tag=b";
  bye.to = "<sip:alice@example.com>;tag=a";
  bob.Request(out, bye);
  alice.Next();
  const MediaRelay::Key& key = relay().Last("close").key;
  EXPECT_FALSE(key.cseq.has_value());
  EXPECT_EQ(key.id_from, relay().Last("allocate to").key.id_to);
  EXPECT_EQ(key.id_to, relay().Last("allocate to").key.id_from);
}

TEST_F(Media, FailuresCloseTheirWayOfTheOfferAndCancelNothing) {
  const std::string request = Offered();
  const uint64_t branch = relay().Last("allocate from").key.branch;
  EXPECT_NE(branch, 0u);
  Ask cancel = invite;
  cancel.method = "CANCEL";
  cancel.body = "";
  // Its 487 closes; a stranger's will have none.
  relay().asked.clear();
  alice.Request(in, cancel);
  bob.Next();
  EXPECT_EQ(relay().Verbs(), "");
  for (const int code : {302, 400, 407, 487, 500, 603}) {
    relay().asked.clear();
    bob.Respond(request, {.code = code, .contact = ""});
    EXPECT_EQ(StatusOf(alice.Next()), code);
    EXPECT_EQ(relay().Verbs(), "close") << code;
    EXPECT_EQ(relay().Last("close").key.cseq, 1u);
    EXPECT_EQ(relay().Last("close").key.branch, branch);
  }
  EXPECT_EQ(world.media->counters().closed, 6u);
  // Who forked it has sent the offer another way, too.
  Ask fork = invite;
  fork.branch = "z9hG4bKanother";
  alice.Request(in, fork);
  bob.Next();
  EXPECT_NE(relay().Last("allocate from").key.branch, branch);
}

TEST_F(Media, ADescriptionInAFailureIsNotLookedAt) {
  const std::string request = Offered();
  EXPECT_EQ(BodyOf(Answered(request, 488)), SdpText(kAnswer, 6000));
  EXPECT_EQ(relay().Verbs(), "allocate from, activate, close");
}

// After them no refusal comes.
TEST_F(Media, OnlyA2xxAndAnAckAreToldAsFinal) {
  const auto stage = [this] { return relay().Last("activate").key.stage; };
  const std::string request = Offered();
  EXPECT_EQ(stage(), AnswerStage::kEarly) << "it may be repeated behind a 183";
  Answered(request, 183);
  EXPECT_EQ(stage(), AnswerStage::kEarly);
  Offered();
  EXPECT_EQ(stage(), AnswerStage::kEarly);
  Answered(request, 200);
  EXPECT_EQ(stage(), AnswerStage::kFinal);
  for (const bool with_answer : {false, true}) {
    relay().asked.clear();
    Ask ack = Later("ACK", 1, request);
    if (with_answer) ack.body = SdpText(kOffer, 4000);
    alice.Request(in, ack);
    bob.Next();
    EXPECT_EQ(stage(), AnswerStage::kFinal) << with_answer;
  }
}

TEST_F(Media, UpdateAndPrackCarryOffersToo) {
  const std::string dialog = Offered();
  for (const char* method : {"UPDATE", "PRACK"}) {
    relay().asked.clear();
    Ask ask = Later(method, 2, dialog);
    ask.body = SdpText(kOffer, 4000);
    alice.Request(in, ask);
    const std::string request = bob.Next();
    EXPECT_NE(BodyOf(request).find("127.0.0.2"), std::string::npos) << method;
    bob.Respond(request, {.body = SdpText(kAnswer, 6000)});
    EXPECT_NE(BodyOf(alice.Next()).find("127.0.0.1"), std::string::npos);
    EXPECT_EQ(relay().Verbs(),
              "allocate from, activate, allocate to, activate");
    bob.Return(bob.WriteAnswer(request, {.code = 488}));
    alice.Next();
    EXPECT_EQ(relay().asked.back().verb, "close") << method;
  }
  // Others may carry what they like.
  relay().asked.clear();
  Ask info = Later("INFO", 3, dialog);
  info.body = SdpText(kOffer, 4000);
  alice.Request(in, info);
  EXPECT_EQ(BodyOf(bob.Next()), info.body);
  EXPECT_EQ(relay().Verbs(), "");
}

TEST_F(Media, ForksAreToldApartByTheirTag) {
  const std::string request = Offered();
  for (const char* tag : {"b1", "b2"}) {
    bob.Respond(request,
                {.code = 183, .tag = tag, .body = SdpText(kAnswer, 6000)});
    alice.Next();
  }
  std::vector<std::string> ids;
  for (const FakeRelay::Asked& a : relay().asked) {
    if (a.verb == "allocate to") ids.push_back(a.key.id_to);
  }
  ASSERT_EQ(ids.size(), 2u);
  EXPECT_NE(ids[0], ids[1]);
}

TEST_F(Media, HoldStaysHoldInBothItsForms) {
  invite.body = SdpText("0.0.0.0", 4000);
  const std::string old_way = BodyOf(Offered());
  EXPECT_NE(LineOf(old_way, "c=IN IP4 0.0.0.0"), "");
  EXPECT_EQ(LineOf(old_way, "m="), "m=audio 4000 RTP/AVP 0");
  invite.cseq = 2;
  invite.body = SdpText(kOffer, 4000, "a=sendonly\r\n");
  const std::string new_way = BodyOf(Offered());
  EXPECT_EQ(LineOf(new_way, "a="), "a=sendonly");
  EXPECT_EQ(LineOf(new_way, "m="), "m=audio 30000 RTP/AVP 0");
}

TEST_F(Media, ARefusedMediumStaysRefused) {
  invite.body = SdpText(kOffer, 4000, "m=video 0 RTP/AVP 31\r\n");
  const std::string body = BodyOf(Offered());
  EXPECT_NE(body.find("m=video 0 RTP/AVP 31"), std::string::npos);
  EXPECT_EQ(relay().Last("allocate from").media.size(), 2u);
}

TEST_F(Media, KindsAndRangesAreTold) {
  invite.body = SdpText(kOffer, 4000,
                        "m=audio 5000 RTP/SAVP 0\r\nm=image 5010 udptl t38\r\n"
                        "m=video 5020/2 RTP/AVP 31\r\n");
  Offered();
  const auto& media = relay().Last("allocate from").media;
  ASSERT_EQ(media.size(), 4u);
  using Kind = MediaRelay::Media::Kind;
  EXPECT_EQ(media[0].kind, Kind::kRtp);
  EXPECT_EQ(media[0].clock_hz, 8'000u);
  EXPECT_EQ(media[1].kind, Kind::kSrtp);
  EXPECT_EQ(media[2].kind, Kind::kOther);
  EXPECT_EQ(media[2].range, 1);
  EXPECT_EQ(media[3].range, 4);
}

TEST_F(Media, MediaThatAreNoDatagramsPassBesideTheOthers) {
  invite.body = SdpText(kOffer, 4000, "m=message 5000 TCP/MSRP *\r\n");
  const std::string body = BodyOf(Offered());
  EXPECT_NE(body.find("m=audio 30000 "), std::string::npos);
  EXPECT_NE(body.find("m=message 5000 TCP/MSRP *\r\nc=IN IP4 10.1.1.1"),
            std::string::npos)
      << body;
  EXPECT_EQ(relay().Last("allocate from").media[1].port, 0);
}

TEST_F(Media, ADescriptionWithoutMediaPasses) {
  invite.body = "v=0\r\no=- 1 1 IN IP4 10.1.1.1\r\ns=-\r\nt=0 0\r\n";
  EXPECT_EQ(BodyOf(Offered()), invite.body);
}

TEST_F(Media, TheOriginIsHiddenAndItsVersionRisesWithTheirsAndWithThePorts) {
  const auto origin = [&](int version, uint64_t edition) {
    ++invite.cseq;
    relay().edition = edition;
    invite.body = Replaced(SdpText(kOffer, 4000), "o=phone 100 7",
                           Cat("o=phone 100 ", version));
    const std::string body = BodyOf(Offered());
    const auto sdp = Sdp::Parse(body);
    EXPECT_TRUE(sdp.ok());
    EXPECT_NE(LineOf(body, "o=").find("IN IP4 127.0.0.2"), std::string::npos);
    return std::pair(std::string(sdp->origin_session()), sdp->origin_version());
  };
  const auto first = origin(7, 1000);
  EXPECT_NE(first.first, "100");
  EXPECT_EQ(origin(7, 1000), first);
  const auto changed = origin(8, 1000);
  EXPECT_EQ(changed.first, first.first);
  EXPECT_EQ(changed.second, first.second + 1);
  EXPECT_GT(origin(8, 1001).second, changed.second);
}

}  // namespace
}  // namespace sluice::sip
