// Goal: whoever takes part in a call reaches the other party and nobody else,
// whatever he writes into his requests or has others write into theirs; and an
// ordinary call, however it is led, is not refused anything.
// Method: strangers on a leg that trusts nobody, behind an honest phone.

#include <gtest/gtest.h>

#include "tests/sip/sip_world.h"

namespace sluice::sip {
namespace {

std::string HopMarkOf(std::string_view route) {
  return std::string(NameAddr::Parse(route)->uri.Param("n").value_or("none"));
}

class Passage : public testing::Test {
 protected:
  Passage() : leg(world.AddLeg("one", "127.0.0.1")) {
    // Calls for our domain are bob's.
    world.router_options.domains = {"example.com"};
    world.router_options.domain2proxy = {
        {"example.com", Cat("sip:", bob.host())}};
    world.Start();
    leg.trusted = false;
  }
  ~Passage() override { world.ExpectLaw(); }

  // The stranger calls bob, and bob answers: what he is told.
  std::string Call(const Ask& ask, const Answer& answer) {
    eve.Request(leg, ask);
    bob.Respond(bob.Next(), answer);
    return eve.Next();
  }
  // What eve, who has called, is told when she leads a request to the victim
  // by these Routes; 0 when the victim has it.
  int Astray(const std::vector<std::string>& routes) {
    Ask ask{.method = "MESSAGE", .uri = victim.uri("v"), .contact = ""};
    ask.branch = Cat("z9hG4bKastray", ++tries);
    ask.from = "<sip:eve@elsewhere.test>;tag=e";
    ask.to = "<sip:bob@example.com>;tag=b";
    for (const std::string& route : routes) {
      Append(&ask.more, "Route: ", route, "\r\n");
    }
    eve.Request(leg, ask);
    return StatusOf(eve.Next());
  }
  Ask Invite() {
    Ask ask{.method = "INVITE", .uri = "sip:bob@example.com"};
    ask.from = "<sip:eve@elsewhere.test>;tag=e";
    ask.to = "<sip:bob@example.com>";
    return ask;
  }

  SipWorld world;
  Leg& leg;
  Phone bob{world, Transport::kUdp};
  Phone eve{world, Transport::kUdp};
  Phone victim{world, Transport::kUdp};
  int tries = 0;
};

TEST_F(Passage, APartyOfACallReachesItsOtherPartyOnly) {
  leg.trusted = true;
  eve.Request(leg, {.method = "INVITE", .uri = bob.uri("bob")});
  const std::string invite = bob.Next();
  bob.Respond(invite, {});
  const std::string ok = eve.Next();
  leg.trusted = false;
  const std::string via_victim = Cat("Route: <", victim.uri("x"), ";lr>\r\n");
  for (const bool callee : {false, true}) {
    Ask ask{.method = "MESSAGE", .call_id = "call-1"};
    ask.from = callee ? "<sip:bob@elsewhere.test>;tag=b"
                      : "<sip:alice@example.net>;tag=a";
    ask.to = callee ? "<sip:alice@example.net>;tag=a"
                    : "<sip:bob@elsewhere.test>;tag=b";
    const std::string ours = Cat(
        "Route: ", Value(callee ? invite : ok, HeaderId::kRecordRoute), "\r\n");
    Phone& party = callee ? bob : eve;
    Phone& other = callee ? eve : bob;
    const std::string target = ContactUri(callee ? invite : ok);
    const auto code = [&] {
      ask.branch = Cat("z9hG4bKtry", ++tries);
      party.Request(leg, ask);
      return StatusOf(party.Next());
    };
    ask.uri = victim.uri("v");
    ask.more = ours;
    EXPECT_EQ(code(), 403);
    // Another port, user, transport, or what a literal's maddr says.
    ask.uri = target.substr(0, target.rfind(':'));
    EXPECT_EQ(code(), 403);
    ask.uri = other.uri("another");
    EXPECT_EQ(code(), 403);
    ask.uri = Cat(target, ";transport=tcp");
    EXPECT_EQ(code(), 403);
    ask.uri = Cat(target, ";maddr=127.0.0.9");
    EXPECT_EQ(code(), 403);
    // A Route more.
    ask.uri = target;
    ask.more = ours + via_victim;
    EXPECT_EQ(code(), 403);
    ask.more = via_victim + ours;
    EXPECT_EQ(code(), 403);
    // The other's leave is none for oneself.
    ask.more = Cat(
        "Route: ", Value(callee ? ok : invite, HeaderId::kRecordRoute), "\r\n");
    EXPECT_EQ(code(), 403);
    ask.more = ours;
    party.Request(leg, ask);
    EXPECT_EQ(UriOf(other.Next()), target);
  }
  EXPECT_TRUE(victim.Silent());
}

TEST_F(Passage, RecordRoutesThatTheCallerForgedAreNotSigned) {
  const std::string ok = Call(Invite(), {});
  const std::string honest = Value(ok, HeaderId::kRecordRoute);
  // By now she knows what ours looks like on this very pass.
  for (const std::string& forged :
       {Cat("<sip:", Named(leg), ";lr;n=x>"), honest}) {
    Ask again = Invite();
    again.more = Cat("Record-Route: <", victim.uri("v"),
                     ";lr>\r\nRecord-Route: ", forged, "\r\n");
    const auto routes = Values(Call(again, {}), HeaderId::kRecordRoute);
    ASSERT_EQ(routes.size(), 3u);
    EXPECT_EQ(routes[2], forged);
    EXPECT_EQ(Astray({routes[0]}), 403);
    EXPECT_EQ(Astray({routes[2]}), 403);
    EXPECT_EQ(Astray({Replaced(routes[0], HopMarkOf(routes[0]),
                               HopMarkOf(routes[2]))}),
              403);
  }
  EXPECT_TRUE(victim.Silent());
}

TEST_F(Passage, ARotationInTheMiddleGivesTheCallerNoLeaveForItsOwnSide) {
  const std::vector<std::string> keys = {"the new one", "the secret of a test"};
  Ask ask = Invite();
  ask.contact = "";
  ask.more = Cat("Contact: <", victim.uri("v"), ">\r\n");
  eve.Request(leg, ask);
  const std::string seen = bob.Next();
  world.keys = Keys::FromSecrets(keys);
  bob.Respond(seen, {});
  const std::string ok = eve.Next();
  const std::string route = Value(ok, HeaderId::kRecordRoute);
  EXPECT_NE(HopMarkOf(route), HopMarkOf(Value(seen, HeaderId::kRecordRoute)));
  EXPECT_EQ(Astray({route}), 403);
  EXPECT_TRUE(victim.Silent());
  // And an honest caller reaches whom it has called.
  Ask bye{.method = "BYE", .uri = ContactUri(ok)};
  bye.from = ask.from;
  bye.to = Value(ok, HeaderId::kTo);
  bye.more = Cat("Route: ", route, "\r\n");
  eve.Request(leg, bye);
  EXPECT_EQ(UriOf(bob.Next()), bye.uri);
}

TEST_F(Passage, NoAnswerBringsTheCallerTheLeaveForItsOwnSide) {
  // Her contact is the victim's: bob's leave is for that.
  Ask ask = Invite();
  ask.contact = "";
  ask.more = Cat("Contact: <", victim.uri("v"), ">\r\n");
  std::vector<Answer> answers;
  for (int code : {100, 180, 200}) {
    answers.push_back({.code = code, .contact = ""});
  }
  for (int code : {100, 302, 404, 486, 603}) answers.push_back({.code = code});
  for (const Answer& answer : answers) {
    SCOPED_TRACE(answer.code);
    const std::string route = Value(Call(ask, answer), HeaderId::kRecordRoute);
    EXPECT_EQ(HopMarkOf(route), kNoHop);
    EXPECT_EQ(Astray({route}), 403);
  }
  EXPECT_TRUE(victim.Silent());
}

TEST_F(Passage, MaddrLeadsNobodyPastOurDomain) {
  const std::string port = victim.host().substr(victim.host().find(':'));
  world.router_options.domain2proxy.clear();
  world.Start();
  leg.trusted = false;
  const std::string there = Cat("example.com", port, ";maddr=127.0.0.1");
  Ask ask{.uri = Cat("sip:", there)};
  const auto code = [&] {
    ask.branch = Cat("z9hG4bKtry", ++tries);
    eve.Request(leg, ask);
    return StatusOf(eve.Next());
  };
  EXPECT_EQ(code(), 403);
  ask.uri = "sip:example.com";
  ask.more = Cat("Route: <sip:", there, ";lr>\r\n");
  EXPECT_EQ(code(), 403);
  ask.uri = Cat("sip:", Named(leg), ";lr");
  ask.more = Cat("Route: <sip:bob@", there, ">\r\n");
  EXPECT_EQ(code(), 403);
  EXPECT_TRUE(victim.Silent());
}

TEST_F(Passage, OneSpellingOfAContactIsAsGoodAsAnother) {
  world.router_options.domain2proxy.clear();
  world.Start();
  leg.trusted = true;
  Answer answer{.contact = ""};
  answer.more = Cat("Contact: <sip:b%6Fb@", bob.host(), ">\r\n");
  eve.Request(leg, {.method = "INVITE", .uri = bob.uri("bob")});
  bob.Respond(bob.Next(), answer);
  const std::string route = Value(eve.Next(), HeaderId::kRecordRoute);
  leg.trusted = false;
  Ask bye{.method = "BYE", .uri = bob.uri("bob"), .cseq = 2};
  bye.to += ";tag=b";
  bye.more = Cat("Route: ", route, "\r\n");
  eve.Request(leg, bye);
  EXPECT_EQ(UriOf(bob.Next()), bye.uri);
}

TEST_F(Passage, AnAckIsNoWayToOthersEither) {
  const std::string ok = Call(Invite(), {});
  Ask ack{.method = "ACK", .uri = bob.uri("bob")};
  ack.from = "<sip:eve@elsewhere.test>;tag=e";
  ack.to = "<sip:bob@example.com>;tag=b";
  ack.more = Cat("Route: ", Value(ok, HeaderId::kRecordRoute), "\r\n");
  eve.Request(leg, ack);
  EXPECT_EQ(UriOf(bob.Next()), ack.uri);
  ack.uri = victim.uri("v");
  eve.Request(leg, ack);
  EXPECT_TRUE(victim.Silent());
  EXPECT_EQ(world.Drops(SipDrop::k_bad_ack), 1u);
}

TEST_F(Passage, WhatRecordsNoRouteOfOursSignsNoneOfOthers) {
  const std::string honest =
      Value(Call(Invite(), {.code = 180}), HeaderId::kRecordRoute);
  // The same branch and CSeq with another method: the same pass, but nothing of
  // ours stands above what she writes.
  for (const char* method : {"OPTIONS", "INFO", "MESSAGE"}) {
    Ask ask = Invite();
    ask.method = method;
    ask.more = Cat("Record-Route: <", victim.uri("v"),
                   ";lr>\r\nRecord-Route: ", honest, "\r\n");
    const auto routes = Values(Call(ask, {}), HeaderId::kRecordRoute);
    ASSERT_EQ(routes.size(), 2u);
    EXPECT_EQ(routes[1], honest);
    EXPECT_EQ(Astray({routes[1]}), 403);
  }
  EXPECT_TRUE(victim.Silent());
}

// alice and carol are on one leg, between them stands a proxy on another.
// Two legs: strangers come in by one, the other leads to a carrier.
class Carrier : public testing::Test {
 protected:
  Carrier()
      : open(world.AddLeg("open", "127.0.0.1")),
        trunk(world.AddLeg("trunk", "127.0.0.2")) {
    open.trusted = false;
    trunk.outgoing_proxy_text = Cat("sip:", carrier.host());
    trunk.outgoing_proxy = *Uri::Parse(trunk.outgoing_proxy_text);
    world.Start();
  }
  ~Carrier() override { world.ExpectLaw(); }

  SipWorld world;
  Leg& open;
  Leg& trunk;
  Phone carrier{world, Transport::kUdp};
  Phone eve{world, Transport::kUdp};
};

TEST_F(Carrier, AStrangersRouteDoesNotChooseTheLeg) {
  Ask ask{.method = "INVITE", .uri = "sip:0900@example.com"};
  ask.from = "<sip:eve@elsewhere.test>;tag=e";
  ask.more = Cat("Route: <sip:", Named(trunk), ";lr>\r\n");
  eve.Request(open, ask);
  EXPECT_NE(StatusOf(eve.Next()), 100);
  // As a strict router would write it, past whoever looks at the first URI.
  ask.uri = Cat("sip:", Named(open), ";lr");
  ask.branch = "z9hG4bKstrict";
  ask.more =
      Cat("Route: <sip:", Named(trunk), ";lr>, <sip:0900@example.com>\r\n");
  eve.Request(open, ask);
  EXPECT_EQ(StatusOf(eve.Next()), 403);
  EXPECT_TRUE(carrier.Silent());
  // Who may choose does.
  open.trusted = true;
  ask.uri = "sip:0900@example.com";
  ask.branch = "z9hG4bKtrusted";
  ask.more = Cat("Route: <sip:", Named(trunk), ";lr>\r\n");
  eve.Request(open, ask);
  EXPECT_EQ(UriOf(carrier.Next()), ask.uri);
}

class Hairpin : public testing::TestWithParam<bool> {};

TEST_P(Hairpin, BothPartiesReachEachOtherThroughTheCore) {
  const bool records = GetParam();
  SipWorld world;
  Leg& access = world.AddLeg("access", "127.0.0.1");
  Leg& inner = world.AddLeg("inner", "127.0.0.2");
  access.trusted = false;
  inner.domains = {"example.com"};
  Phone alice(world, Transport::kUdp);
  Phone carol(world, Transport::kUdp);
  Phone core(world, Transport::kUdp, "127.0.0.2");
  world.router_options.domains = {"example.com"};
  world.router_options.domain2proxy = {
      {"example.com", Cat("sip:", core.host())}};
  world.Start();
  const std::string recorded =
      Cat("Record-Route: <sip:", core.host(), ";lr>\r\n");

  alice.Request(access, {.method = "INVITE"});
  std::string invite = core.Next();
  // The core sends it on to carol, through us again.
  std::string onward = Replaced(invite, UriOf(invite), carol.uri("carol"));
  onward = Replaced(
      onward, "Via: ",
      Cat("Via: SIP/2.0/UDP ", core.host(), ";branch=z9hG4bKcore\r\nVia: "));
  if (records)
    onward = Replaced(onward, "Record-Route: ", recorded + "Record-Route: ");
  core.Return(onward);
  const std::string seen = carol.Next();
  carol.Respond(seen, {.contact = "carol"});
  std::string answer = core.Next();
  const size_t via = answer.find("Via: ");
  answer.erase(via, answer.find('\n', via) + 1 - via);
  core.Return(answer);
  const std::string ok = alice.Next();
  ASSERT_EQ(StatusOf(ok), 200);
  EXPECT_EQ(ContactUri(ok), carol.uri("carol"));

  // Each hangs up; the core's part is done by hand.
  for (const bool callee : {false, true}) {
    SCOPED_TRACE(callee);
    Ask bye{.method = "BYE", .uri = ContactUri(callee ? seen : ok), .cseq = 2};
    bye.branch = callee ? "z9hG4bKbye2" : "z9hG4bKbye1";
    bye.from = Value(ok, callee ? HeaderId::kTo : HeaderId::kFrom);
    bye.to = Value(ok, callee ? HeaderId::kFrom : HeaderId::kTo);
    auto routes = Values(callee ? seen : ok, HeaderId::kRecordRoute);
    if (!callee) std::reverse(routes.begin(), routes.end());
    for (const std::string& route : routes) {
      Append(&bye.more, "Route: ", route, "\r\n");
    }
    Phone& from = callee ? carol : alice;
    Phone& to = callee ? alice : carol;
    from.Request(access, bye);
    if (records) {
      std::string forwarded = core.Next();
      const std::string own = Cat("Route: <sip:", core.host(), ";lr>\r\n");
      forwarded = Replaced(forwarded, own, "");
      core.Return(
          Replaced(forwarded, "Via: ",
                   Cat("Via: SIP/2.0/UDP ", core.host(), ";branch=z9hG4bKcore",
                       callee ? "2" : "1", "\r\nVia: ")));
    }
    EXPECT_EQ(UriOf(to.Next()),
              (callee ? alice.uri("alice") : carol.uri("carol")));
  }
  world.ExpectLaw();
}

INSTANTIATE_TEST_SUITE_P(Core, Hairpin, testing::Bool());

}  // namespace
}  // namespace sluice::sip
