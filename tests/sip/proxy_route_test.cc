#include <gtest/gtest.h>

#include "tests/sip/sip_world.h"

// Where a request goes: routes, strict routers, proxies, targets, prefixes.
namespace sluice::sip {
namespace {

class Routes : public testing::Test {
 protected:
  Routes()
      : in(world.AddLeg("in", "127.0.0.1")),
        out(world.AddLeg("out", "127.0.0.2")) {
    world.Start();
  }
  ~Routes() override { world.ExpectLaw(); }

  // A call of alice to bob between the legs, as bob saw it.
  std::string SetUp2() {
    alice.Request(in, {.method = "INVITE",
                       .uri = bob.uri("bob"),
                       .more = Cat("Route: <sip:", Named(out), ";lr>\r\n")});
    return bob.Next();
  }

  SipWorld world;
  Leg& in;
  Leg& out;
  Phone alice{world, Transport::kUdp};
  Phone bob{world, Transport::kUdp, "127.0.0.2"};
  Phone proxy{world, Transport::kUdp};
};

TEST_F(Routes, OwnRoutesAreTakenOffAndTheLastNamesTheLeg) {
  alice.Request(in, {.uri = bob.uri("bob"),
                     .more = Cat("Route: <sip:", Named(in),
                                 ";lr>, <sip:", Named(out), ";lr>\r\n")});
  const std::string got = bob.Next();
  EXPECT_EQ(Values(got, HeaderId::kRoute).size(), 0u);
  EXPECT_EQ(Value(got, HeaderId::kVia).find("SIP/2.0/UDP " + Named(out)), 0u);
}

TEST_F(Routes, TheRouteOfAPhoneDoesNotNameTheLegItLeavesBy) {
  // Configured with us as its proxy; bob is the other leg's.
  out.domains = {"127.0.0.2"};
  alice.Request(in, {.uri = bob.uri("bob"),
                     .more = Cat("Route: <sip:", Named(in), ";lr>\r\n")});
  EXPECT_EQ(Value(bob.Next(), HeaderId::kVia).find("SIP/2.0/UDP " + Named(out)),
            0u);
}

TEST_F(Routes, ARouteBelowOursIsTheNextHop) {
  alice.Request(in, {.uri = "sip:bob@example.com",
                     .more = Cat("Route: <sip:", Named(in),
                                 ";lr>\r\nRoute: <sip:", proxy.host(),
                                 ";lr>, <sip:192.0.2.9;lr>\r\n")});
  const std::string got = proxy.Next();
  EXPECT_EQ(UriOf(got), "sip:bob@example.com");
  const auto routes = Values(got, HeaderId::kRoute);
  ASSERT_EQ(routes.size(), 2u);
  EXPECT_EQ(routes[0], Cat("<sip:", proxy.host(), ";lr>"));
}

TEST_F(Routes, AStrictRouterNextGetsTheUriInItsRoutes) {
  alice.Request(in, {.uri = "sip:bob@example.com",
                     .more = Cat("Route: <sip:", Named(in), ";lr>, <sip:",
                                 proxy.host(), ">, <sip:192.0.2.9;lr>\r\n")});
  const std::string got = proxy.Next();
  EXPECT_EQ(UriOf(got), "sip:" + proxy.host());
  const std::vector<std::string> expected = {"<sip:192.0.2.9;lr>",
                                             "<sip:bob@example.com>"};
  EXPECT_EQ(Values(got, HeaderId::kRoute), expected);
}

TEST_F(Routes, AStrictRouterBeforeUsIsSetRight) {
  const std::string invite = SetUp2();
  const auto records = Values(invite, HeaderId::kRecordRoute);
  ASSERT_EQ(records.size(), 2u);
  // It has put our Record-Route into the URI, and the URI below the routes.
  const auto mine = NameAddr::Parse(records[0]);
  Ask bye{.method = "BYE", .uri = std::string(mine->uri_text)};
  bye.from = "<sip:bob@elsewhere.test>;tag=b";
  bye.to = "<sip:alice@elsewhere.test>;tag=a";
  bye.more =
      Cat("Route: ", records[1], "\r\nRoute: <", ContactUri(invite), ">\r\n");
  bob.Request(out, bye);
  const std::string got = alice.Next();
  EXPECT_EQ(UriOf(got), alice.uri("alice"));
  EXPECT_EQ(Values(got, HeaderId::kRoute).size(), 0u);
}

TEST_F(Routes, AStrictRouterBeforeUsWithMoreRoutesBehind) {
  alice.Request(in, {.uri = Cat("sip:", Named(in), ";lr"),
                     .more = Cat("Route: <sip:", proxy.host(),
                                 ";lr>\r\nRoute: <sip:bob@example.com>\r\n")});
  const std::string got = proxy.Next();
  EXPECT_EQ(UriOf(got), "sip:bob@example.com");
  const std::vector<std::string> expected = {
      Cat("<sip:", proxy.host(), ";lr>")};
  EXPECT_EQ(Values(got, HeaderId::kRoute), expected);
}

TEST_F(Routes, TheTokenNamesTheLegBehindAnotherProxy) {
  const std::string invite = SetUp2();
  Ask bye{.method = "BYE", .uri = ContactUri(invite)};
  bye.from = "<sip:bob@elsewhere.test>;tag=b";
  bye.to = "<sip:alice@elsewhere.test>;tag=a";
  bye.more = Cat("Route: <sip:", proxy.host(), ";lr>\r\n");
  bob.Request(out, bye);
  const std::string got = proxy.Next();
  EXPECT_EQ(UriOf(got), alice.uri("alice"));
  EXPECT_EQ(Value(got, HeaderId::kVia).find("SIP/2.0/UDP " + Named(in)), 0u);
  // The token is leave to reach its contact, not to lead past us.
  out.trusted = false;
  bye.branch = "z9hG4bKagain";
  bob.Request(out, bye);
  EXPECT_EQ(StatusOf(bob.Next()), 403);
  bye.more = "";
  bob.Request(out, bye);
  EXPECT_EQ(UriOf(alice.Next()), alice.uri("alice"));
}

TEST_F(Routes, ADialogKeepsTheProxiesOnBothSidesOfUs) {
  // alice -> near -> us -> proxy -> bob, who says nothing of himself here.
  Phone near(world, Transport::kUdp);
  const auto record = [](const Phone& by) {
    return Cat("<sip:", by.host(), ";lr>");
  };
  near.Request(in, {.method = "INVITE",
                    .uri = proxy.uri("bob"),
                    .more = Cat("Record-Route: ", record(near), "\r\n")});
  const std::string invite = proxy.Next();
  const std::string callee = Value(invite, HeaderId::kRecordRoute, 0);
  proxy.Return(
      Replaced(proxy.WriteAnswer(invite, {}), "Record-Route: ",
               Cat("Record-Route: ", record(proxy), "\r\nRecord-Route: ")));
  const auto routes = Values(near.Next(), HeaderId::kRecordRoute);
  ASSERT_EQ(routes.size(), 3u);
  const std::string& caller = routes[1];
  in.trusted = false;

  Ask bye{.method = "BYE", .uri = "sip:bob@192.0.2.9", .call_id = "call-1"};
  bye.from = "<sip:alice@elsewhere.test>;tag=a";
  bye.to = "<sip:bob@elsewhere.test>;tag=b";
  bye.more = Cat("Route: ", caller, ", ", record(proxy), "\r\n");
  near.Request(in, bye);
  EXPECT_EQ(UriOf(proxy.Next()), bye.uri);
  std::swap(bye.from, bye.to);
  bye.uri = "sip:alice@192.0.2.8";
  bye.branch = "z9hG4bKback";
  bye.more = Cat("Route: ", callee, ", ", record(near), "\r\n");
  proxy.Request(in, bye);
  EXPECT_EQ(UriOf(near.Next()), bye.uri);
}

TEST_F(Routes, TheBestFittingDomainSaysWhichProxy) {
  Phone star(world, Transport::kUdp), parent(world, Transport::kUdp),
      exact(world, Transport::kUdp);
  world.router_options.domain2proxy = {
      {"*.example.net", Cat("sip:", parent.host())},
      {"a.example.net", Cat("sip:", exact.host())},
      {"*", Cat("sip:", star.host())}};
  world.Start();
  alice.Request(in, {.uri = "sip:x@a.example.net"});
  EXPECT_EQ(UriOf(exact.Next()), "sip:x@a.example.net");
  alice.Request(in, {.uri = "sip:x@b.a.example.net"});
  EXPECT_EQ(UriOf(parent.Next()), "sip:x@b.a.example.net");
  alice.Request(in, {.uri = "sip:x@example.net"});
  EXPECT_EQ(UriOf(star.Next()), "sip:x@example.net");
}

TEST_F(Routes, ADomainWithoutAProxyOfItsOwnGoesToThatOfItsLeg) {
  out.domains = {"example.org"};
  out.outgoing_proxy_text = "sip:" + bob.host();
  out.outgoing_proxy = Uri::Parse(out.outgoing_proxy_text);
  alice.Request(in, {.uri = "sip:x@example.org"});
  EXPECT_EQ(UriOf(bob.Next()), "sip:x@example.org");
}

TEST_F(Routes, MaddrGoesBeforeTheHost) {
  const std::string uri =
      Cat("sip:x@nowhere.test:", bob.at().port.host(), ";maddr=127.0.0.2");
  alice.Request(in, {.uri = uri});
  EXPECT_EQ(UriOf(bob.Next()), uri);
}

TEST_F(Routes, ThePortTellsLegsOfOneAddressApart) {
  Leg& other = world.AddLeg("other", "127.0.0.1");
  world.Start();
  alice.Request(in, {.uri = proxy.uri("x"),
                     .more = Cat("Route: <sip:", Named(other), ";lr>\r\n")});
  EXPECT_EQ(
      Value(proxy.Next(), HeaderId::kVia).find("SIP/2.0/UDP " + Named(other)),
      0u);
}

TEST_F(Routes, DigitsInFrontMeanADomain) {
  in.prefixes = {{"0049", "de.test"}, {"00", "world.test"}};
  world.router_options.domain2proxy = {{"de.test", Cat("sip:", proxy.host())},
                                       {"world.test", Cat("sip:", bob.host())}};
  world.Start();
  alice.Request(in, {.uri = "sip:004912@example.com:5099;user=phone"});
  EXPECT_EQ(UriOf(proxy.Next()), "sip:004912@de.test;user=phone");
  alice.Request(in, {.uri = "sip:0012@example.com"});
  EXPECT_EQ(UriOf(bob.Next()), "sip:0012@world.test");
}

TEST_F(Routes, ThePrefixIsForWhatWasDialledNotForContacts) {
  in.prefixes = {{"1", "world.test"}};
  alice.Request(in, {.method = "INVITE", .uri = bob.uri("bob")});
  const std::string invite = bob.Next();
  Ask bye{.method = "BYE", .uri = bob.uri("1234")};
  bye.to += ";tag=b";
  bye.more = Cat("Route: ", Value(invite, HeaderId::kRecordRoute), "\r\n");
  alice.Request(in, bye);
  EXPECT_EQ(UriOf(bob.Next()), bob.uri("1234"));
}

// Aims everything as a registrar would.
class Aim final : public Handler {
 public:
  std::string_view name() const override { return "aim"; }
  Handled Receive(Incoming& in) override {
    if (in.message.is_request()) {
      in.uri = uri;
      in.target = target;
    }
    return Handled::kNotMine;
  }
  std::string uri;
  Incoming::Target target;
};

TEST_F(Routes, ATargetIsReachedWhereItWasSeen) {
  Aim aim;
  aim.uri = "sip:bob@10.0.0.1:5060";
  aim.target = {.leg = "out",
                .peer = Peer{.transport = Transport::kUdp, .address = bob.at()},
                .path = ""};
  world.SetChains({&aim, world.proxy.get()});
  alice.Request(in, {.uri = "sip:bob@example.com"});
  const std::string got = bob.Next();
  EXPECT_EQ(UriOf(got), "sip:bob@10.0.0.1:5060");
  EXPECT_EQ(Value(got, HeaderId::kVia).find("SIP/2.0/UDP " + Named(out)), 0u);
}

TEST_F(Routes, ThePathOfATargetGoesOnTop) {
  Aim aim;
  aim.uri = "sip:bob@10.0.0.1:5060";
  const std::string path =
      Cat("<sip:", proxy.host(), ";lr>, <sip:192.0.2.7;lr>");
  aim.target = {.leg = "in", .path = path};
  world.SetChains({&aim, world.proxy.get()});
  alice.Request(in, {.uri = "sip:bob@example.com",
                     .more = Cat("Route: <sip:", Named(in), ";lr>\r\n")});
  const std::string got = proxy.Next();
  EXPECT_EQ(UriOf(got), "sip:bob@10.0.0.1:5060");
  const std::vector<std::string> expected = {Cat("<sip:", proxy.host(), ";lr>"),
                                             "<sip:192.0.2.7;lr>"};
  EXPECT_EQ(Values(got, HeaderId::kRoute), expected);
}

TEST_F(Routes, ARouteGoesBeforeTheWayToATarget) {
  Aim aim;
  aim.uri = "sip:bob@10.0.0.1:5060";
  aim.target = {.leg = "out",
                .peer = Peer{.transport = Transport::kUdp, .address = bob.at()},
                .path = ""};
  world.SetChains({&aim, world.proxy.get()});
  alice.Request(in, {.uri = "sip:bob@example.com",
                     .more = Cat("Route: <sip:", proxy.host(), ";lr>\r\n")});
  EXPECT_EQ(UriOf(proxy.Next()), aim.uri);
  EXPECT_TRUE(bob.Silent());
  // Whoever is for one of ours may come in, and not lead on to others.
  in.trusted = false;
  alice.Request(in, {.uri = "sip:bob@example.com",
                     .more = Cat("Route: <sip:", proxy.host(), ";lr>\r\n")});
  EXPECT_EQ(StatusOf(alice.Next()), 403);
}

TEST_F(Routes, ATargetOnAConnectionIsReachedOnIt) {
  Phone tcp(world, Transport::kTcp);
  tcp.Request(in, {.uri = "sip:" + Named(in)});
  EXPECT_EQ(StatusOf(tcp.Next()), 200);
  Aim aim;
  aim.uri = "sip:bob@10.0.0.1;transport=tcp";
  // Nobody listens there: it is the connection or nothing.
  aim.target = {.leg = "in",
                .peer = Peer{.transport = Transport::kTcp,
                             .address = *Endpoint::Parse("127.0.0.1:9"),
                             .connection = 1},
                .path = ""};
  world.SetChains({&aim, world.proxy.get()});
  alice.Request(in, {.uri = "sip:bob@example.com"});
  EXPECT_EQ(UriOf(tcp.Next()), aim.uri);
}

TEST_F(Routes, AConnectionThatIsGoneIsLookedForWhereItsOwnerWasHeardOnly) {
  Phone tcp(world, Transport::kTcp);  // listens
  for (const bool own : {true, false}) {
    Aim aim;
    aim.uri = Cat("sip:bob@", tcp.host(), ";transport=tcp");
    const Endpoint gone = *Endpoint::Parse(own ? "127.0.0.1:9" : "127.0.0.9:9");
    aim.target = {.leg = "in",
                  .peer = Peer{.transport = Transport::kTcp, .address = gone},
                  .path = ""};
    world.SetChains({&aim, world.proxy.get()});
    alice.Request(in, {.uri = "sip:bob@example.com"});
    if (own) {
      EXPECT_EQ(UriOf(tcp.Next()), aim.uri);
    } else {
      EXPECT_EQ(StatusOf(alice.Next()), 503);
      EXPECT_TRUE(tcp.Silent());
    }
  }
}

TEST_F(Routes, TheNextDestinationIsTriedWhenOneRefuses) {
  std::string gone;
  {
    Phone nobody(world, Transport::kTcp);
    gone = nobody.host();
  }
  Dispatcher::Hops hops(2);
  const std::string text = alice.Write({.uri = bob.uri("bob")});
  for (Dispatcher::Hop& hop : hops) {
    hop.leg = &in;
    hop.octets = text;
  }
  hops[0].destination = {.transport = Transport::kTcp,
                         .address = *Endpoint::Parse(gone)};
  hops[1].destination = {.transport = Transport::kUdp, .address = bob.at()};
  world.dispatcher->SendRequest(std::move(hops), "call-1",
                                [] { ADD_FAILURE() << "none took it"; });
  EXPECT_EQ(bob.Next(), text);
  EXPECT_EQ(world.counters().next_destinations, 1u);
  EXPECT_EQ(world.counters().requests_forwarded, 1u);
  world.dispatcher->mutable_counters().requests_in = 1;
}

TEST_F(Routes, WhatGoesByIsShownToTheTrace) {
  std::vector<std::string> seen;
  world.dispatcher->SetTrace([&](const SipTrace& t) {
    seen.push_back(Cat(t.in ? "in " : "out ", t.leg.name, " ",
                       t.peer.address.ToString(), " ", t.call_id));
  });
  const std::string invite = SetUp2();
  bob.Respond(invite, {});
  alice.Next();
  alice.Request(in, {.uri = "tel:1", .call_id = "other"});
  alice.Next();
  const std::vector<std::string> expected = {
      Cat("in in ", alice.host(), " call-1"),
      Cat("out out ", bob.host(), " call-1"),
      Cat("in out ", bob.host(), " call-1"),
      Cat("out in ", alice.host(), " call-1"),
      Cat("in in ", alice.host(), " other"),
      Cat("out in ", alice.host(), " other")};
  EXPECT_EQ(seen, expected);
}

TEST(MatchDomain, ExactGoesBeforeParentsAndParentsBeforeAll) {
  const std::vector<std::string> all = {"*", "*.example.com", "*.a.example.com",
                                        "b.example.com"};
  EXPECT_EQ(MatchDomain(all, "example.com"), 1u);
  EXPECT_EQ(MatchDomain(all, "c.EXAMPLE.com"), 13u);
  EXPECT_EQ(MatchDomain(all, "c.a.example.com"), 15u);
  EXPECT_GT(MatchDomain(all, "B.example.com"), kUriOctetsMax);
  EXPECT_EQ(MatchDomain({"example.com"}, "evilexample.com"), 0u);
  EXPECT_EQ(MatchDomain({"*.example.com"}, "evilexample.com"), 0u);
  EXPECT_EQ(MatchDomain({"*.example.com"}, ".example.com"), 0u);
}

TEST(LegOwn, KnowsItsNamesAndItsAddress) {
  Leg leg;
  leg.addresses = {{.transport = Transport::kUdp,
                    .bound = *Endpoint::Parse("[::1]:5060"),
                    .host = "sip.example.com",
                    .port = 5060},
                   {.transport = Transport::kTls,
                    .bound = *Endpoint::Parse("127.0.0.1:5061"),
                    .host = "sip.example.com",
                    .port = 5061}};
  EXPECT_TRUE(leg.Is("SIP.example.com", 0));
  EXPECT_TRUE(leg.Is("sip.example.com", 5060));
  EXPECT_TRUE(leg.Is("[0:0::1]", 5060));
  EXPECT_FALSE(leg.Is("::1", 5060));
  EXPECT_FALSE(leg.Is("sip.example.com", 5070));
  EXPECT_FALSE(leg.Is("example.com", 0));
  EXPECT_EQ(leg.Own("sip.example.com", 0, Transport::kTls)->transport,
            Transport::kTls);
  EXPECT_EQ(leg.Own("127.0.0.1", 0, Transport::kUdp)->transport,
            Transport::kTls);
}

}  // namespace
}  // namespace sluice::sip
