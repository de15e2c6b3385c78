#include <gtest/gtest.h>

#include <utility>

#include "tests/sip/sip_world.h"

// What the proxy answers itself instead of forwarding it.
namespace sluice::sip {
namespace {

class Refusals : public testing::Test {
 protected:
  Refusals() : leg(world.AddLeg("one", "127.0.0.1")) { world.Start(); }
  ~Refusals() override { world.ExpectLaw(); }

  // The answer to what alice asks; nothing reaches bob.
  std::string Refused(const Ask& ask) {
    alice.Request(leg, ask);
    std::string answer = alice.Next();
    EXPECT_TRUE(bob.Silent());
    return answer;
  }
  int Code(const Ask& ask) { return StatusOf(Refused(ask)); }

  SipWorld world;
  Leg& leg;
  Phone alice{world, Transport::kUdp};
  Phone bob{world, Transport::kUdp};
};

TEST_F(Refusals, TooManyHopsAre483) {
  EXPECT_EQ(Code({.uri = bob.uri("bob"), .forwards = "Max-Forwards: 0\r\n"}),
            483);
  EXPECT_EQ(Code({.uri = bob.uri("bob"), .forwards = "Max-Forwards: 256\r\n"}),
            400);
}

TEST_F(Refusals, ARequestThatComesBackIsALoop) {
  // A domain whose proxy is bob, who sends everything back as it came.
  Ask ask{.method = "INVITE", .uri = bob.uri("bob")};
  alice.Request(leg, ask);
  const std::string forwarded = bob.Next();
  bob.Return(forwarded);
  // Our own Via on top brings the answer to us, and from here to the caller.
  EXPECT_EQ(StatusOf(alice.Next()), 482);
  EXPECT_TRUE(bob.Silent());
}

TEST_F(Refusals, TheSameRequestForSomebodyElseIsASpiralAndNoLoop) {
  Ask ask{.method = "INVITE", .uri = bob.uri("bob")};
  alice.Request(leg, ask);
  const std::string forwarded = bob.Next();
  Phone carol(world, Transport::kUdp);
  bob.Return(Replaced(forwarded, bob.uri("bob"), carol.uri("carol")));
  const std::string spiral = carol.Next();
  EXPECT_EQ(Values(spiral, HeaderId::kVia).size(), 3u);
  // And all the way back, twice through here.
  carol.Respond(spiral, {});
  EXPECT_EQ(StatusOf(alice.Next()), 200);
}

TEST_F(Refusals, AnotherNodeWithOurMarkIsNoLoop) {
  Ask ask{.method = "INVITE", .uri = bob.uri("bob")};
  alice.Request(leg, ask);
  const std::string forwarded = bob.Next();
  bob.Return(Replaced(forwarded, Named(leg), "127.0.0.77:5060"));
  EXPECT_EQ(UriOf(bob.Next()), bob.uri("bob"));
}

TEST_F(Refusals, ARequestForOurselvesEndsHere) {
  const std::string us = Named(leg);
  EXPECT_EQ(Code({.method = "INVITE", .uri = "sip:bob@" + us}), 404);
  EXPECT_EQ(Code({.method = "INVITE", .uri = "sip:" + us}), 404);
  EXPECT_EQ(Code({.method = "OPTIONS", .uri = "sip:bob@" + us}), 404);
  // By maddr, past the look at the host.
  EXPECT_EQ(Code({.method = "INVITE",
                  .uri = Cat("sip:bob@example.com:",
                             us.substr(us.find(':') + 1), ";maddr=127.0.0.1")}),
            482);
  EXPECT_EQ(world.counters().requests_in, 4u);
}

TEST_F(Refusals, APingIsAnsweredEvenWithoutForwards) {
  const std::string ping = "sip:" + Named(leg);
  const std::string answer =
      Refused({.uri = ping, .forwards = "Max-Forwards: 0\r\n"});
  EXPECT_EQ(StatusOf(answer), 200);
  EXPECT_NE(LineOf(answer, "Allow: "), "");
  EXPECT_NE(Value(answer, HeaderId::kTo).find(kTag), std::string::npos);
}

TEST_F(Refusals, UnknownSchemesAre416) {
  EXPECT_EQ(Code({.uri = "tel:+4912345"}), 416);
  EXPECT_EQ(Code({.uri = "http://example.com/"}), 416);
}

TEST_F(Refusals, WhatAProxyMustUnderstandIs420) {
  const std::string answer =
      Refused({.uri = bob.uri("bob"), .more = "Proxy-Require: foo, bar\r\n"});
  EXPECT_EQ(StatusOf(answer), 420);
  EXPECT_EQ(LineOf(answer, "Unsupported: "), "Unsupported: foo, bar");
}

TEST_F(Refusals, StrangersDoNotMeetHere) {
  leg.trusted = false;
  Ask ask{.uri = bob.uri("bob")};
  ask.from = "<sip:eve@evilexample.com>;tag=e";
  EXPECT_EQ(Code(ask), 403);
  ask.from = "<sip:eve@sub.example.com>;tag=e";
  EXPECT_EQ(Code(ask), 403);
  // Anybody can write one of ours.
  EXPECT_EQ(Code({.uri = bob.uri("bob")}), 403);
  // Where nobody else can come in, who calls is one of ours.
  leg.trusted = true;
  alice.Request(leg, {.uri = bob.uri("bob")});
  EXPECT_EQ(UriOf(bob.Next()), bob.uri("bob"));
}

TEST_F(Refusals, AStrangerReachesOurDomain) {
  leg.trusted = false;
  world.router_options.domain2proxy = {
      {"example.com", Cat("sip:", bob.host())}};
  world.Start();
  Ask ask;
  ask.from = "<sip:eve@elsewhere.test>;tag=e";
  alice.Request(leg, ask);
  EXPECT_EQ(UriOf(bob.Next()), ask.uri);
}

TEST_F(Refusals, AStrangersRouteLeadsNobodyPastUs) {
  leg.trusted = false;
  EXPECT_EQ(Code({.uri = "sip:example.com",
                  .more = Cat("Route: <", bob.uri("x"), ";lr>\r\n")}),
            403);
}

TEST_F(Refusals, ARouteThroughUsIsNoPassWithoutOurMark) {
  leg.trusted = false;
  Ask ask{.method = "BYE", .uri = bob.uri("bob")};
  ask.from = "<sip:eve@elsewhere.test>;tag=e";
  ask.to = "<sip:bob@elsewhere.test>;tag=b";
  for (const char* mark : {"", ";s=0123456789abcdef0123456789abcdef"}) {
    ask.more = Cat("Route: <sip:", Named(leg), ";lr", mark, ">\r\n");
    EXPECT_EQ(Code(ask), 403);
  }
}

TEST_F(Refusals, TheMarkOfACallIsNoPassForAnother) {
  alice.Request(leg, {.method = "INVITE", .uri = bob.uri("bob")});
  const std::string invite = bob.Next();
  bob.Respond(invite, {});
  const std::string callee = Value(invite, HeaderId::kRecordRoute);
  const std::string caller = Value(alice.Next(), HeaderId::kRecordRoute);
  leg.trusted = false;
  Ask bye{.method = "BYE", .uri = bob.uri("bob")};
  bye.from = "<sip:eve@elsewhere.test>;tag=e";
  bye.to = "<sip:bob@elsewhere.test>;tag=b";
  bye.more = Cat("Route: ", caller, "\r\n");
  bye.call_id = "call-1";
  EXPECT_EQ(Code(bye), 403);
  bye.call_id = "another";
  bye.from = "<sip:alice@example.net>;tag=a";
  EXPECT_EQ(Code(bye), 403);
  // Whoever has asked says it with his own tag, whoever was called with his.
  bye.call_id = "call-1";
  alice.Request(leg, bye);
  EXPECT_EQ(UriOf(bob.Next()), bob.uri("bob"));
  std::swap(bye.from, bye.to);
  bye.uri = alice.uri("alice");
  bye.more = Cat("Route: ", callee, "\r\n");
  bob.Request(leg, bye);
  EXPECT_EQ(UriOf(alice.Next()), alice.uri("alice"));
  // What begins another dialog is no part of that one.
  bye.from = "<sip:bob@elsewhere.test>;tag=a";
  bye.to = "<sip:alice@elsewhere.test>";
  for (const char* method : {"INVITE", "MESSAGE", "REFER"}) {
    bye.method = method;
    EXPECT_EQ(Code(bye), 403) << method;
  }
}

TEST_F(Refusals, TheMarkOfWhoHadNoTagIsNoPass) {
  Ask ask{.method = "INVITE", .uri = bob.uri("bob")};
  ask.from = "<sip:alice@example.com>";
  alice.Request(leg, ask);
  const std::string route = Value(bob.Next(), HeaderId::kRecordRoute);
  leg.trusted = false;
  ask.method = "BYE";
  ask.from = "<sip:alice@elsewhere.test>";
  ask.to = "<sip:bob@elsewhere.test>;tag=b";
  ask.more = Cat("Route: ", route, "\r\n");
  EXPECT_EQ(Code(ask), 403);
}

TEST_F(Refusals, NothingIsSentToWhatIsNobodysAddress) {
  for (const char* host : {"0.0.0.0:5070", "224.0.0.1:5070",
                           "255.255.255.255:5070", "240.0.0.1:5070"}) {
    EXPECT_EQ(Code({.uri = Cat("sip:bob@", host)}), 403) << host;
  }
}

TEST_F(Refusals, ThePolicyOfTargetsIsAsked) {
  world.router_options.allowed = [&](const Endpoint& to) {
    return to != bob.at();
  };
  world.Start();
  EXPECT_EQ(Code({.uri = bob.uri("bob")}), 403);
}

TEST_F(Refusals, NamesThatCannotBeFoundAre404) {
  EXPECT_EQ(Code({.uri = "sip:bob@nowhere.example.com"}), 404);
}

TEST_F(Refusals, AnAddressThatNoLegReachesIs480) {
  EXPECT_EQ(Code({.uri = "sip:bob@[::1]:5070"}), 480);
}

TEST_F(Refusals, BrokenRequestsAre400AndHaveTheirReason) {
  std::string text = alice.Write({.uri = bob.uri("bob")});
  alice.Send(leg, Replaced(text, "CSeq: 1 OPTIONS", "CSeq: 1 INVITE"));
  EXPECT_EQ(StatusOf(alice.Next()), 400);
  alice.Send(leg, Replaced(text, "SIP/2.0\r\n", "SIP/3.0\r\n"));
  EXPECT_EQ(StatusOf(alice.Next()), 505);
  EXPECT_EQ(world.counters().replies_by_class[4], 1u);
  EXPECT_EQ(world.counters().replies_by_class[5], 1u);
}

TEST_F(Refusals, WhatCannotBeAnsweredIsDropped) {
  alice.Send(leg, "complete nonsense of some length\r\n\r\n");
  alice.Send(leg, "OPTIONS sip:a@b SIP/2.0\r\nVia: what\r\n\r\n");
  std::string ack = alice.Write({.method = "ACK", .uri = bob.uri("bob")});
  alice.Send(leg, Replaced(ack, "CSeq: 1 ACK", "CSeq: 1 INVITE"));
  EXPECT_TRUE(alice.Silent());
  EXPECT_EQ(world.Drops(SipDrop::k_unparsable), 3u);
}

TEST_F(Refusals, AnAckIsNeverAnswered) {
  alice.Request(leg, {.method = "ACK", .uri = "sip:bob@" + Named(leg)});
  alice.Request(leg, {.method = "ACK",
                      .uri = bob.uri("bob"),
                      .forwards = "Max-Forwards: 0\r\n"});
  EXPECT_TRUE(alice.Silent());
  EXPECT_TRUE(bob.Silent());
  EXPECT_EQ(world.Drops(SipDrop::k_bad_ack), 2u);
}

TEST_F(Refusals, TheAckOfOurOwnAnswerEndsHere) {
  Ask ask{.method = "INVITE", .uri = bob.uri("bob")};
  ask.more = "Proxy-Require: foo\r\n";
  const std::string answer = Refused(ask);
  ask.method = "ACK";
  ask.more = "";
  ask.to = Value(answer, HeaderId::kTo);
  alice.Request(leg, ask);
  EXPECT_TRUE(bob.Silent());
  EXPECT_EQ(world.Drops(SipDrop::k_own_ack), 1u);
  // That of an answer of bob's goes on.
  ask.to = "<sip:bob@example.com>;tag=b";
  alice.Request(leg, ask);
  EXPECT_EQ(UriOf(bob.Next()), bob.uri("bob"));
}

TEST_F(Refusals, TheSameRequestGetsTheSameTag) {
  const Ask ask{.method = "INVITE", .uri = "sip:bob@" + Named(leg)};
  EXPECT_EQ(Refused(ask), Refused(ask));
  Ask other = ask;
  other.branch = "z9hG4bKother";
  EXPECT_NE(Value(Refused(ask), HeaderId::kTo),
            Value(Refused(other), HeaderId::kTo));
}

TEST_F(Refusals, AnEmptyChainAnswers404) {
  world.SetChains({});
  EXPECT_EQ(Code({.uri = bob.uri("bob")}), 404);
}

TEST_F(Refusals, ARequestTooLongForADatagramIs503) {
  // It fitted as it came; what is added to it is what makes it too long.
  Ask ask{.method = "INVITE", .uri = bob.uri("bob")};
  const std::string line = Cat("X: ", std::string(2'000, 'x'), "\r\n");
  const size_t rest = 65'400 - alice.Write(ask).size();
  for (size_t n = 0; n < rest / line.size(); ++n) ask.more += line;
  Append(&ask.more, "Y: ", std::string(rest % line.size() - 5, 'y'), "\r\n");
  EXPECT_EQ(Code(ask), 503);
}

}  // namespace
}  // namespace sluice::sip
