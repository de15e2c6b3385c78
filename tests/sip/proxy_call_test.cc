#include <gtest/gtest.h>

#include "tests/sip/sip_world.h"

// Calls from end to end through the proxy, on one leg and between two.
namespace sluice::sip {
namespace {

Ask Invite(const Phone& callee) {
  return {.method = "INVITE", .uri = callee.uri("bob")};
}

// An in-dialog request of the party that has seen `seen` (a request or a
// response with Contact and Record-Route).
Ask InDialog(const std::string& method, const std::string& seen, int cseq,
             bool callee) {
  Ask ask{.method = method, .uri = ContactUri(seen), .cseq = cseq};
  ask.branch = Cat("z9hG4bKindialog", method, cseq, callee ? "b" : "a");
  ask.from = Value(seen, callee ? HeaderId::kTo : HeaderId::kFrom);
  ask.to = Value(seen, callee ? HeaderId::kFrom : HeaderId::kTo);
  if (callee) ask.from += ";tag=b";
  auto routes = Values(seen, HeaderId::kRecordRoute);
  // The caller takes them from the last to the first (RFC 3261 12.1.2).
  if (!callee) std::reverse(routes.begin(), routes.end());
  for (const std::string& route : routes) {
    Append(&ask.more, "Route: ", route, "\r\n");
  }
  return ask;
}

class OneLeg : public testing::Test {
 protected:
  OneLeg() : leg(world.AddLeg("one", "127.0.0.1")) { world.Start(); }
  ~OneLeg() override { world.ExpectLaw(); }
  SipWorld world;
  Leg& leg;
  Phone alice{world, Transport::kUdp};
  Phone bob{world, Transport::kUdp};
};

class TwoLegs : public testing::Test {
 protected:
  TwoLegs()
      : in(world.AddLeg("in", "127.0.0.1")),
        out(world.AddLeg("out", "127.0.0.2")) {
    out.domains = {"example.com"};
    world.router_options.domain2proxy = {
        {"example.com", Cat("sip:", bob.host())}};
    world.Start();
  }
  ~TwoLegs() override { world.ExpectLaw(); }
  SipWorld world;
  Leg& in;
  Leg& out;
  Phone alice{world, Transport::kUdp};
  Phone bob{world, Transport::kUdp, "127.0.0.2"};
};

TEST_F(OneLeg, AddsOneViaAndOneRecordRouteAndLeavesTheRestAsItCame) {
  Ask ask = Invite(bob);
  ask.more = "x-Odd:   two  spaces \r\n folded\r\nSUBJECT: \xc3\xa4\r\n";
  ask.via = "";
  const std::string sent = alice.Write(ask);
  alice.Send(leg, sent);
  const std::string got = bob.Next();
  const std::string via = LineOf(got, "Via: SIP/2.0/UDP " + Named(leg));
  const std::string route = LineOf(got, "Record-Route: <sip:" + Named(leg));
  ASSERT_NE(via, "");
  ASSERT_NE(route, "");
  EXPECT_EQ(Values(got, HeaderId::kVia).size(), 2u);
  EXPECT_EQ(Values(got, HeaderId::kRecordRoute).size(), 1u);
  std::string expected = Replaced(sent, "Via: ", via + "\r\nVia: ");
  expected = Replaced(expected, "Max-Forwards: 70", "Max-Forwards: 69");
  // Where there was none it goes below all headers.
  expected = Replaced(expected, "\r\n\r\n", "\r\n" + route + "\r\n\r\n");
  EXPECT_EQ(got, expected);
}

TEST_F(OneLeg, CallsGoThroughAndEndFromEitherSide) {
  for (const bool callee_hangs_up : {false, true}) {
    Ask ask = Invite(bob);
    ask.call_id = callee_hangs_up ? "callee" : "caller";
    alice.Request(leg, ask);
    const std::string invite = bob.Next();
    // Both are behind the same leg: they may as well know each other.
    EXPECT_EQ(ContactUri(invite), alice.uri("alice"));
    for (const int code : {100, 180, 200}) {
      bob.Respond(invite, {.code = code});
      const std::string got = alice.Next();
      EXPECT_EQ(StatusOf(got), code);
      EXPECT_EQ(Values(got, HeaderId::kVia).size(), 1u);
      EXPECT_EQ(BranchOf(got), ask.branch);
      EXPECT_EQ(ContactUri(got), bob.uri("bob"));
    }
    const std::string ok = bob.WriteAnswer(invite, {});
    Ask ack = InDialog("ACK", ok, 1, false);
    ack.call_id = ask.call_id;
    alice.Request(leg, ack);
    const std::string got_ack = bob.Next();
    EXPECT_EQ(UriOf(got_ack), bob.uri("bob"));
    EXPECT_EQ(Values(got_ack, HeaderId::kRoute).size(), 0u);
    EXPECT_EQ(Values(got_ack, HeaderId::kRecordRoute).size(), 0u);

    Ask bye =
        InDialog("BYE", callee_hangs_up ? invite : ok, 2, callee_hangs_up);
    bye.call_id = ask.call_id;
    Phone& from = callee_hangs_up ? bob : alice;
    Phone& to = callee_hangs_up ? alice : bob;
    from.Request(leg, bye);
    const std::string got_bye = to.Next();
    EXPECT_EQ(UriOf(got_bye), to.uri(callee_hangs_up ? "alice" : "bob"));
    to.Respond(got_bye, {.tag = "", .contact = ""});
    EXPECT_EQ(StatusOf(from.Next()), 200);
  }
}

TEST_F(OneLeg, MarksWhereARequestReallyCameFrom) {
  Ask ask = Invite(bob);
  std::string text = alice.Write(ask);
  text = Replaced(text, alice.host(), "phone.invalid:5070");
  alice.Send(leg, text);
  const std::string got = bob.Next();
  const std::string via = Value(got, HeaderId::kVia, 1);
  EXPECT_EQ(via, Cat("SIP/2.0/UDP phone.invalid:5070;branch=z9hG4bKphone1"
                     ";received=127.0.0.1;rport=",
                     alice.at().port.host()));
  bob.Respond(got, {});
  EXPECT_EQ(StatusOf(alice.Next()), 200);
}

TEST_F(OneLeg, WhatASenderSaysOfWhereItIsSeenIsNotBelieved) {
  Ask ask = Invite(bob);
  ask.via = ";received=192.0.2.1";
  alice.Request(leg, ask);
  const std::string got = bob.Next();
  EXPECT_EQ(Value(got, HeaderId::kVia, 1),
            Cat("SIP/2.0/UDP ", alice.host(),
                ";branch=z9hG4bKphone1;received=127.0.0.1"));
  bob.Respond(got, {});
  EXPECT_EQ(StatusOf(alice.Next()), 200);
}

TEST_F(OneLeg, WithoutRportTheAnswerGoesToThePortOfTheVia) {
  Phone other(world, Transport::kUdp);
  Ask ask = Invite(bob);
  ask.via = "";
  alice.Send(leg, Replaced(alice.Write(ask), alice.host(), other.host()));
  const std::string got = bob.Next();
  EXPECT_EQ(Value(got, HeaderId::kVia, 1).find("received"), std::string::npos);
  bob.Respond(got, {});
  EXPECT_EQ(StatusOf(other.Next()), 200);
  EXPECT_TRUE(alice.Silent());
}

TEST_F(OneLeg, MaxForwardsGoesDownFromNoMoreThanSeventy) {
  for (const auto& [given, forwarded] :
       std::vector<std::pair<std::string, std::string>>{
           {"", "70"},
           {"Max-Forwards: 255\r\n", "69"},
           {"Max-Forwards: 70\r\n", "69"},
           {"Max-Forwards: 1\r\n", "0"}}) {
    Ask ask = Invite(bob);
    ask.forwards = given;
    alice.Request(leg, ask);
    EXPECT_EQ(Value(bob.Next(), HeaderId::kMaxForwards), forwarded) << given;
  }
}

TEST_F(OneLeg, ContentLengthIsAddedWhereItWasMissing) {
  Ask ask = Invite(bob);
  ask.body = "v=0\r\n";
  ask.type = "text/plain";
  alice.Send(leg, Replaced(alice.Write(ask), "Content-Length: 5\r\n", ""));
  const std::string got = bob.Next();
  EXPECT_EQ(Value(got, HeaderId::kContentLength), "5");
  EXPECT_EQ(BodyOf(got), "v=0\r\n");
}

TEST_F(OneLeg, RecordsNoRouteWhereNoDialogBegins) {
  for (const char* method : {"OPTIONS", "MESSAGE", "REGISTER", "PUBLISH"}) {
    Ask ask{.method = method, .uri = bob.uri("bob")};
    ask.call_id = method;
    alice.Request(leg, ask);
    EXPECT_EQ(Values(bob.Next(), HeaderId::kRecordRoute).size(), 0u) << method;
  }
  for (const char* method : {"INVITE", "SUBSCRIBE", "REFER", "FANCY"}) {
    Ask ask{.method = method, .uri = bob.uri("bob")};
    ask.call_id = method;
    alice.Request(leg, ask);
    EXPECT_EQ(Values(bob.Next(), HeaderId::kRecordRoute).size(), 1u) << method;
  }
}

TEST_F(TwoLegs, HidesEachPartyFromTheOtherBehindATokenOfTheLeg) {
  Ask ask{.method = "INVITE"};
  alice.Request(in, ask);
  const std::string invite = bob.Next();
  EXPECT_EQ(Value(invite, HeaderId::kVia, 0)
                .find("SIP/2.0/UDP " + Named(out) + ";branch=z9hG4bKs00"),
            0u);
  const auto routes = Values(invite, HeaderId::kRecordRoute);
  ASSERT_EQ(routes.size(), 2u);
  EXPECT_EQ(routes[0].find(Cat("<sip:", Named(out), ";lr;s=")), 0u);
  EXPECT_EQ(routes[1].find(Cat("<sip:", Named(in), ";lr;s=")), 0u);
  const std::string contact = ContactUri(invite);
  EXPECT_EQ(contact.find("sip:b"), 0u);
  EXPECT_EQ(contact.substr(contact.find('@')), "@" + Named(out));
  EXPECT_EQ(invite.find("alice@127"), std::string::npos);

  bob.Respond(invite, {});
  const std::string ok = alice.Next();
  EXPECT_EQ(Values(ok, HeaderId::kVia).size(), 1u);
  const std::string back = ContactUri(ok);
  EXPECT_EQ(back.substr(back.find('@')), "@" + Named(in));
  EXPECT_EQ(ok.find("bob@127"), std::string::npos);
  // The Record-Routes stay as they were, or the two would not agree on them;
  // but each party gets leave for the other's side.
  const auto mark = [](std::string_view route) {
    return std::string(*NameAddr::Parse(route)->uri.Param("n"));
  };
  const auto back_routes = Values(ok, HeaderId::kRecordRoute);
  ASSERT_EQ(back_routes.size(), 2u);
  for (size_t i : {0, 1}) {
    EXPECT_NE(mark(routes[i]), mark(back_routes[i]));
    EXPECT_EQ(Replaced(back_routes[i], mark(back_routes[i]), mark(routes[i])),
              routes[i]);
  }
}

TEST_F(TwoLegs, RequestsInTheDialogReachTheRealContactFromBothSides) {
  alice.Request(in, {.method = "INVITE"});
  const std::string invite = bob.Next();
  bob.Respond(invite, {});
  const std::string ok = alice.Next();
  alice.Request(in, InDialog("ACK", ok, 1, false));
  const std::string ack = bob.Next();
  EXPECT_EQ(UriOf(ack), bob.uri("bob"));
  EXPECT_EQ(Values(ack, HeaderId::kRoute).size(), 0u);

  bob.Request(out, InDialog("UPDATE", invite, 1, true));
  const std::string update = alice.Next();
  EXPECT_EQ(UriOf(update), alice.uri("alice"));
  EXPECT_EQ(Values(update, HeaderId::kRoute).size(), 0u);
  EXPECT_EQ(Values(update, HeaderId::kRecordRoute).size(), 2u);
  alice.Respond(update, {.contact = "alice"});
  EXPECT_EQ(StatusOf(bob.Next()), 200);

  alice.Request(in, InDialog("BYE", ok, 2, false));
  const std::string bye = bob.Next();
  EXPECT_EQ(UriOf(bye), bob.uri("bob"));
  bob.Respond(bye, {.contact = ""});
  EXPECT_EQ(StatusOf(alice.Next()), 200);
}

TEST_F(TwoLegs, TheTokenAloneFindsTheWayWithoutRoutes) {
  alice.Request(in, {.method = "INVITE"});
  const std::string invite = bob.Next();
  bob.Respond(invite, {});
  Ask bye = InDialog("BYE", alice.Next(), 2, false);
  bye.more = "";
  alice.Request(in, bye);
  EXPECT_EQ(UriOf(bob.Next()), bob.uri("bob"));
}

TEST_F(TwoLegs, ATokenIsNobodyOnTheLegThatWasNotShownIt) {
  alice.Request(in, {.method = "INVITE"});
  const std::string invite = bob.Next();
  Ask bye = InDialog("BYE", invite, 2, true);
  bye.more = "";
  // bob's token for alice, on alice's own leg.
  alice.Request(in, bye);
  EXPECT_EQ(StatusOf(alice.Next()), 404);
}

TEST_F(TwoLegs, ABareContactGetsItsBrackets) {
  Ask ask{.method = "INVITE"};
  ask.contact = "";
  ask.more = Cat("Contact: sip:alice@", alice.host(), ";q=0.5\r\n");
  alice.Request(in, ask);
  const std::string contact = Value(bob.Next(), HeaderId::kContact);
  EXPECT_EQ(contact.find("<sip:b"), 0u) << contact;
  EXPECT_NE(contact.find(">;q=0.5"), std::string::npos) << contact;
}

TEST_F(TwoLegs, ARedirectToOneOfOursComesHomeAsWhatItWas) {
  alice.Request(in, {.method = "INVITE"});
  const std::string invite = bob.Next();
  // bob sends the caller back to itself: what he knows of it is our token.
  Answer moved{.code = 302, .contact = ""};
  moved.more = Cat("Contact: <", ContactUri(invite), ">\r\n");
  bob.Respond(invite, moved);
  EXPECT_EQ(ContactUri(alice.Next()), alice.uri("alice"));
}

TEST_F(TwoLegs, ATokenOfTheWrongSideIsNotOpened) {
  alice.Request(in, {.method = "INVITE"});
  const std::string invite = bob.Next();
  bob.Respond(invite, {});
  // What alice knows bob by, told by bob: it would tell her who he is.
  Answer moved{.code = 302, .contact = ""};
  moved.more = Cat("Contact: <", ContactUri(alice.Next()), ">\r\n");
  bob.Respond(invite, moved);
  EXPECT_EQ(alice.Next().find(bob.host()), std::string::npos);
}

TEST_F(TwoLegs, ContactsStayWhereRewritingIsOff) {
  world.proxy_options.rewrite_contact = false;
  world.Start();
  alice.Request(in, {.method = "INVITE"});
  EXPECT_EQ(ContactUri(bob.Next()), alice.uri("alice"));
}

TEST_F(OneLeg, ForceRewriteHidesAlsoOnTheSameLeg) {
  world.proxy_options.force_rewrite = true;
  world.Start();
  alice.Request(leg, Invite(bob));
  const std::string invite = bob.Next();
  EXPECT_EQ(invite.find("alice@127"), std::string::npos);
  bob.Request(leg, InDialog("BYE", invite, 1, true));
  EXPECT_EQ(UriOf(alice.Next()), alice.uri("alice"));
}

TEST(ProxyTransports, TcpInAndUdpOutAndBack) {
  SipWorld world;
  Leg& leg = world.AddLeg("one", "127.0.0.1");
  world.Start();
  Phone alice(world, Transport::kTcp);
  Phone bob(world, Transport::kUdp);
  alice.Request(leg, Invite(bob));
  const std::string invite = bob.Next();
  EXPECT_EQ(Value(invite, HeaderId::kVia, 0).find("SIP/2.0/UDP "), 0u);
  const auto routes = Values(invite, HeaderId::kRecordRoute);
  ASSERT_EQ(routes.size(), 2u);
  EXPECT_EQ(routes[0].find(Cat("<sip:", Named(leg), ";lr")), 0u);
  EXPECT_EQ(routes[1].find(
                Cat("<sip:", Named(leg, Transport::kTcp), ";transport=tcp;lr")),
            0u);
  bob.Respond(invite, {});
  const std::string ok = alice.Next();
  EXPECT_EQ(StatusOf(ok), 200);
  alice.Request(leg, InDialog("ACK", ok, 1, false));
  EXPECT_EQ(UriOf(bob.Next()), bob.uri("bob"));
  // And from the callee, to where the caller listens.
  bob.Request(leg, InDialog("BYE", invite, 1, true));
  const std::string bye = alice.Next();
  EXPECT_EQ(Value(bye, HeaderId::kVia, 0).find("SIP/2.0/TCP "), 0u);
  alice.Respond(bye, {.contact = ""});
  EXPECT_EQ(StatusOf(bob.Next()), 200);
  world.ExpectLaw();
}

TEST(ProxyTransports, UdpInAndTcpOutToAnotherLegNamesItsTransport) {
  SipWorld world;
  Leg& in = world.AddLeg("in", "127.0.0.1", {Transport::kUdp});
  Leg& out = world.AddLeg("out", "127.0.0.2", {Transport::kTcp});
  world.Start();
  Phone alice(world, Transport::kUdp);
  Phone bob(world, Transport::kTcp, "127.0.0.2");
  alice.Request(in, Invite(bob));
  const std::string invite = bob.Next();
  const std::string contact = ContactUri(invite);
  EXPECT_EQ(contact.substr(contact.find('@')),
            Cat("@", Named(out, Transport::kTcp), ";transport=tcp"));
  bob.Respond(invite, {});
  const std::string ok = alice.Next();
  alice.Request(in, InDialog("BYE", ok, 2, false));
  EXPECT_EQ(UriOf(bob.Next()), bob.uri("bob"));
  world.ExpectLaw();
}

TEST(ProxyTransports, Ipv4InAndIpv6OutAndBack) {
  SipWorld world;
  Leg& in = world.AddLeg("in", "127.0.0.1");
  Leg& out = world.AddLeg("out", "::1");
  world.Start();
  Phone alice(world, Transport::kUdp);
  Phone bob(world, Transport::kUdp, "::1");
  alice.Request(in, Invite(bob));
  const std::string invite = bob.Next();
  EXPECT_EQ(Value(invite, HeaderId::kVia, 0).find("SIP/2.0/UDP [::1]:"), 0u);
  bob.Respond(invite, {});
  EXPECT_EQ(StatusOf(alice.Next()), 200);
  bob.Request(out, InDialog("BYE", invite, 1, true));
  EXPECT_EQ(UriOf(alice.Next()), alice.uri("alice"));
  world.ExpectLaw();
}

TEST(ProxyTransports, OneLegOfBothFamiliesSpeaksFromTheRightAddress) {
  SipWorld world;
  Leg& leg = world.AddLeg("one", "127.0.0.1", {Transport::kUdp});
  Leg& six = world.AddLeg("six", "::1", {Transport::kUdp});
  // A leg has the sockets of both; here one only lends its address.
  leg.addresses.push_back(six.addresses[0]);
  EXPECT_EQ(leg.Find(Transport::kUdp, false)->host, "[::1]");
  EXPECT_EQ(leg.Find(Transport::kUdp, true)->host, "127.0.0.1");
  EXPECT_EQ(leg.Find(Transport::kTls, true), nullptr);
}

TEST(ProxyTransports, AConnectionThatCannotBeMadeIsAnsweredWith503) {
  SipWorld world;
  Leg& leg = world.AddLeg("one", "127.0.0.1");
  world.Start();
  Phone alice(world, Transport::kUdp);
  std::string nobody;
  {
    Phone gone(world, Transport::kTcp);
    nobody = gone.uri("bob");
  }
  alice.Request(leg, {.method = "OPTIONS", .uri = nobody});
  EXPECT_EQ(StatusOf(alice.Next()), 503);
  world.ExpectLaw();
  EXPECT_EQ(world.counters().requests_forwarded, 0u);
}

}  // namespace
}  // namespace sluice::sip
