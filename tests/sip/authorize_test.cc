// Goal: only who proves to be a user gets past, and what he proved it with goes
// no further; parties of a call that is up are not asked.
// Method: a phone that answers the real challenges, over real sockets.

#include "sip/authorize.h"

#include <gtest/gtest.h>

#include "tests/sip/sip_world.h"

namespace sluice::sip {
namespace {

class OneUser final : public UserStore {
 public:
  std::optional<std::string> A1(std::string_view user, std::string_view realm,
                                DigestAlgorithm algorithm) override {
    if (user != "alice" || realm != "example.com") return std::nullopt;
    return DigestA1(algorithm, user, realm, "wonderland");
  }
};

class Auth : public testing::Test {
 protected:
  Auth() : leg(world.AddLeg("one", "127.0.0.1")) {
    world.Start();
    Make({.realm = "example.com"});
  }
  ~Auth() override { world.ExpectLaw(); }

  void Make(Authorize::Options options) {
    authorize = std::make_unique<Authorize>(*world.dispatcher, digest,
                                            std::move(options));
    world.SetChains({authorize.get(), world.proxy.get()});
  }
  // The line that answers a challenge.
  std::string Credentials(const std::string& challenged, const Ask& ask,
                          const std::string& secret = "wonderland",
                          int nc = 1) {
    const bool as_proxy = StatusOf(challenged) == 407;
    const std::string text =
        Value(challenged, as_proxy ? HeaderId::kProxyAuthenticate
                                   : HeaderId::kWwwAuthenticate);
    const auto challenge = AuthValue::Parse(text);
    EXPECT_TRUE(challenge.has_value());
    const std::string nonce = challenge->Get("nonce").value_or("");
    const auto algorithm =
        DigestAlgorithmOf(challenge->Get("algorithm").value_or("MD5"));
    const std::string count = Cat("0000000", nc);
    const std::string response = DigestResponse(
        *algorithm, DigestA1(*algorithm, "alice", "example.com", secret), nonce,
        count, "c", ask.method, ask.uri);
    return Cat(as_proxy ? "Proxy-Authorization: " : "Authorization: ",
               "Digest username=\"alice\", realm=\"example.com\", nonce=\"",
               nonce, "\", uri=\"", ask.uri, "\", response=\"", response,
               "\", algorithm=", NameOf(*algorithm),
               ", cnonce=\"c\", qop=auth, nc=", count, "\r\n");
  }
  std::string Says(const Ask& ask) {
    alice.Request(leg, ask);
    return alice.Next();
  }
  // Asks, is challenged, asks again.
  void Prove(Ask ask) {
    ask.more += Credentials(Says(ask), ask);
    ++ask.cseq;
    alice.Request(leg, ask);
  }
  uint64_t Count(const std::string& name) {
    for (const Handler::Number& n : authorize->Counters()) {
      if (n.name == name) return n.value;
    }
    ADD_FAILURE() << name;
    return 0;
  }

  SipWorld world;
  Leg& leg;
  OneUser users;
  NonceBook nonces{std::string(32, 'k'), Micros::Seconds(30)};
  Digest digest{{.realm = "example.com"}, users, nonces};
  std::unique_ptr<Authorize> authorize;
  Phone alice{world, Transport::kUdp};
  Phone bob{world, Transport::kUdp};
};

TEST_F(Auth, ARequestIsChallengedAndPassesWithTheRightAnswer) {
  Ask ask{.method = "INVITE", .uri = bob.uri("bob")};
  const std::string challenge = Says(ask);
  EXPECT_EQ(StatusOf(challenge), 407);
  // One an algorithm, the best first (RFC 8760 2.3).
  EXPECT_EQ(Values(challenge, HeaderId::kProxyAuthenticate).size(), 2u);
  ask.more = Credentials(challenge, ask) +
             "Proxy-Authorization: Digest username=\"x\", realm=\"other\", "
             "nonce=\"n\", uri=\"sip:x\", response=\"r\"\r\n";
  alice.Request(leg, ask);
  // Ours are taken out, those for others stay.
  const auto left = Values(bob.Next(), HeaderId::kProxyAuthorization);
  ASSERT_EQ(left.size(), 1u);
  EXPECT_NE(left[0].find("realm=\"other\""), std::string::npos);
  EXPECT_EQ(Count("challenged"), 1u);
  EXPECT_EQ(Count("passed"), 1u);
}

TEST_F(Auth, ARegisterGets401AndWithIAmProxy407) {
  const Ask ask{.method = "REGISTER", .uri = "sip:example.com"};
  EXPECT_EQ(StatusOf(Says(ask)), 401);
  Make({.realm = "example.com", .i_am_proxy = true});
  EXPECT_EQ(StatusOf(Says(ask)), 407);
}

TEST_F(Auth, ARetransmissionPassesAgainAReplayDoesNot) {
  Ask ask{.method = "INVITE", .uri = bob.uri("bob")};
  ask.more = Credentials(Says(ask), ask);
  alice.Request(leg, ask);
  const std::string first = bob.Next();
  alice.Request(leg, ask);
  EXPECT_EQ(bob.Next(), first);
  ask.cseq = 2;
  EXPECT_EQ(StatusOf(Says(ask)), 407);
  // The same octets, but from elsewhere.
  ask.cseq = 1;
  Phone eve(world, Transport::kUdp);
  eve.Request(leg, ask);
  EXPECT_EQ(StatusOf(eve.Next()), 407);
  EXPECT_TRUE(bob.Silent());
}

TEST_F(Auth, AnOldNonceIsStaleAWrongSecretIsNot) {
  Ask ask{.method = "INVITE", .uri = bob.uri("bob")};
  const std::string challenge = Says(ask);
  ask.more = Credentials(challenge, ask, "looking-glass");
  const std::string wrong = Says(ask);
  EXPECT_EQ(StatusOf(wrong), 407);
  EXPECT_EQ(wrong.find("stale=true"), std::string::npos);
  EXPECT_EQ(Count("wrong"), 1u);
  world.now = world.now + Micros::Seconds(31);
  world.Settle();
  ask.more = Credentials(challenge, ask);
  EXPECT_NE(Says(ask).find("stale=true"), std::string::npos);
  EXPECT_EQ(Count("stale"), 1u);
}

TEST_F(Auth, AckAndCancelPassAndLoseTheirCredentials) {
  Ask ask{.method = "INVITE", .uri = bob.uri("bob")};
  ask.more = Credentials(Says(ask), ask);
  for (const char* method : {"ACK", "CANCEL"}) {
    ask.method = method;
    alice.Request(leg, ask);
    EXPECT_EQ(Values(bob.Next(), HeaderId::kProxyAuthorization).size(), 0u);
  }
}

TEST_F(Auth, TheAckOfAChallengeEndsHere) {
  Ask ask{.method = "INVITE", .uri = bob.uri("bob")};
  ask.to = Value(Says(ask), HeaderId::kTo);
  ask.method = "ACK";
  alice.Request(leg, ask);
  EXPECT_TRUE(bob.Silent());
  EXPECT_EQ(world.Drops(SipDrop::k_own_ack), 1u);
}

TEST_F(Auth, TheOtherPartyOfACallIsNotAsked) {
  Prove({.method = "INVITE", .uri = bob.uri("bob")});
  const std::string invite = bob.Next();
  Ask bye{.method = "BYE", .uri = alice.uri("alice")};
  bye.from = "<sip:bob@elsewhere.test>;tag=b";
  bye.to = Value(invite, HeaderId::kFrom);
  bye.more = Cat("Route: ", Value(invite, HeaderId::kRecordRoute), "\r\n");
  bob.Request(leg, bye);
  EXPECT_EQ(UriOf(alice.Next()), alice.uri("alice"));
  // Led elsewhere it is no part of the call.
  for (const std::string& more :
       {Cat(bye.more, "Route: <sip:192.0.2.9;lr>\r\n"), bye.more}) {
    Ask astray = bye;
    astray.more = more;
    if (more == bye.more) astray.uri = "sip:alice@192.0.2.9";
    bob.Request(leg, astray);
    EXPECT_EQ(StatusOf(bob.Next()), 407);
  }
  // A strict router has put our Route where the URI was.
  const std::string record = Value(invite, HeaderId::kRecordRoute);
  Ask strict = bye;
  strict.branch = "z9hG4bKstrict";
  strict.uri = record.substr(1, record.size() - 2);
  strict.more = Cat("Route: <", bye.uri, ">\r\n");
  bob.Request(leg, strict);
  EXPECT_EQ(UriOf(alice.Next()), alice.uri("alice"));
  strict.more = "Route: <sip:alice@192.0.2.9>\r\n";
  bob.Request(leg, strict);
  EXPECT_EQ(StatusOf(bob.Next()), 407);
  // Without a To tag it begins something new.
  bye.method = "INVITE";
  bye.to = "<sip:alice@example.com>";
  bob.Request(leg, bye);
  EXPECT_EQ(StatusOf(bob.Next()), 407);
  // A registration never belongs to a call, whatever it shows: whoever was once
  // called would else take over everybody's.
  Ask hijack = bye;
  hijack.method = "REGISTER";
  hijack.to = "<sip:alice@example.com>;tag=a";
  bob.Request(leg, hijack);
  EXPECT_EQ(StatusOf(bob.Next()), 401);
  // With one, but without our mark, it shows nothing.
  bye.to = "<sip:alice@example.com>;tag=a";
  bye.more = "";
  bob.Request(leg, bye);
  EXPECT_EQ(StatusOf(bob.Next()), 407);
}

TEST_F(Auth, AUsersInviteToAStrangerIsCancelledAndItsFailureConfirmed) {
  leg.trusted = false;
  const Ask invite{.method = "INVITE", .uri = bob.uri("bob")};
  Prove(invite);
  const std::string got = bob.Next();
  Ask cancel = invite;
  cancel.method = "CANCEL";
  cancel.contact = "";
  ++cancel.cseq;
  alice.Request(leg, cancel);
  EXPECT_EQ(LineOf(bob.Next(), "CANCEL "),
            Cat("CANCEL ", invite.uri, " SIP/2.0"));
  bob.Respond(got, {.code = 487});
  const std::string failed = alice.Next();
  Ask ack = cancel;
  ack.method = "ACK";
  ack.to = Value(failed, HeaderId::kTo);
  alice.Request(leg, ack);
  EXPECT_EQ(LineOf(bob.Next(), "ACK "), Cat("ACK ", invite.uri, " SIP/2.0"));
  // Of an INVITE that nobody has sent.
  cancel.branch = "z9hG4bKnone";
  alice.Request(leg, cancel);
  EXPECT_EQ(StatusOf(alice.Next()), 403);
}

TEST_F(Auth, OurContactShowsThatACallIsUpWithOurRouteOnly) {
  world.proxy_options.force_rewrite = true;
  world.Start();
  Make({.realm = "example.com"});
  Prove({.method = "INVITE", .uri = bob.uri("bob")});
  const std::string invite = bob.Next();
  Ask bye{.method = "BYE", .uri = ContactUri(invite)};
  bye.from = "<sip:bob@elsewhere.test>;tag=b";
  bye.to = Value(invite, HeaderId::kFrom);
  // Answers that make no dialog have such contacts, too.
  bob.Request(leg, bye);
  EXPECT_EQ(StatusOf(bob.Next()), 407);
  bye.branch = "z9hG4bKled";
  bye.more = Cat("Route: ", Value(invite, HeaderId::kRecordRoute), "\r\n");
  bob.Request(leg, bye);
  EXPECT_EQ(UriOf(alice.Next()), alice.uri("alice"));
}

TEST_F(Auth, OnlyTheNamedMethodsAreAsked) {
  Make({.realm = "example.com", .methods = {"INVITE"}});
  alice.Request(leg, {.uri = bob.uri("bob")});
  EXPECT_EQ(Value(bob.Next(), HeaderId::kCSeq), "1 OPTIONS");
  EXPECT_EQ(StatusOf(Says({.method = "INVITE", .uri = bob.uri("bob")})), 407);
}

TEST_F(Auth, OnlyWhoClaimsToBeOfOursIsAsked) {
  Make({.realm = "example.com", .domains = {"example.com"}});
  Ask ask{.uri = "sip:bob@example.com"};
  ask.from = "<sip:eve@elsewhere.test>;tag=e";
  // From outside to one of ours: passes, and finds nobody here.
  EXPECT_EQ(StatusOf(Says(ask)), 404);
  // But nobody from outside registers for one of ours.
  ask.method = "REGISTER";
  ask.to = "<sip:alice@example.com>";
  EXPECT_EQ(StatusOf(Says(ask)), 401);
  EXPECT_EQ(StatusOf(Says({.uri = bob.uri("bob")})), 407);
}

TEST_F(Auth, FiltersNeedAllOfOneOfTheirLists) {
  using Filter = Authorize::Filter;
  world.router_options.domains.push_back("*.example.com");
  world.Start();
  Make({.realm = "example.com",
        .filters = {{"MESSAGE",
                     {{Filter::kFromIsRealm, Filter::kFromIsAuthUser},
                      {Filter::kToIsFrom}}}}});
  const auto passes = [&](const std::string& from, const std::string& to) {
    Ask ask{.method = "MESSAGE", .uri = bob.uri("bob")};
    ask.from = Cat("<", from, ">;tag=1");
    ask.to = Cat("<", to, ">");
    Prove(ask);
    world.Settle();
    if (bob.Silent()) {
      EXPECT_EQ(StatusOf(alice.Next()), 407);
      return false;
    }
    return true;
  };
  EXPECT_TRUE(passes("sip:alice@example.com", "sip:bob@x.test"));
  EXPECT_TRUE(passes("sip:alice@sub.example.com", "sip:bob@example.com"));
  EXPECT_FALSE(passes("sip:bob@example.com", "sip:carol@x.test"));
  EXPECT_FALSE(passes("sip:alice@evilexample.com", "sip:bob@example.com"));
  EXPECT_TRUE(passes("sip:bob@example.com", "sip:bob@EXAMPLE.com:5060"));
}

TEST(AuthorizeFilter, HasTheNamesOfTheSeeds) {
  EXPECT_EQ(Authorize::FilterOf("FromIsRealm"),
            Authorize::Filter::kFromIsRealm);
  EXPECT_EQ(Authorize::FilterOf("FromIsAuthUser"),
            Authorize::Filter::kFromIsAuthUser);
  EXPECT_EQ(Authorize::FilterOf("ToIsFrom"), Authorize::Filter::kToIsFrom);
  EXPECT_EQ(Authorize::FilterOf("toisfrom"), std::nullopt);
}

}  // namespace
}  // namespace sluice::sip
