// Goal: who registers is found where he said he is, and nobody else decides
// where that is (RFC 3261 10.3, security P11 and P12).
// Method: phones that register over real sockets, a store and a clock of the
// test's, a handler that stands for who has proved to be whom.

#include "sip/registrar.h"

#include <gtest/gtest.h>

#include "tests/sip/fake_location.h"
#include "tests/sip/sip_world.h"

namespace sluice::sip {
namespace {

// Says who the sender is, as Authorize does.
class Identify final : public Handler {
 public:
  std::string_view name() const override { return "identify"; }
  Handled Receive(Incoming& in) override {
    in.user = user;
    return Handled::kNotMine;
  }
  std::string user;
};

class Register : public testing::Test {
 protected:
  Register()
      : in(world.AddLeg("in", "127.0.0.1")),
        out(world.AddLeg("out", "127.0.0.2")) {
    world.Start();
    Make({"example.com"});
  }
  ~Register() override { world.ExpectLaw(); }

  void Make(std::vector<std::string> domains, size_t max_contacts = 3) {
    registrar = std::make_unique<Registrar>(
        *world.dispatcher, store,
        Registrar::Options{.domains = std::move(domains),
                           .max_contacts = max_contacts,
                           .wall_clock = [this] { return store.wall; }});
    world.SetChains({&identify, registrar.get(), world.proxy.get()});
  }
  // A REGISTER of bob's; `contacts` are whole lines.
  Ask Bob(const std::string& contacts, int cseq = 1,
          const std::string& call_id = "reg-1") {
    return {.method = "REGISTER",
            .uri = "sip:example.com",
            .from = "<sip:bob@example.com>;tag=r",
            .to = "<sip:bob@example.com>",
            .call_id = call_id,
            .cseq = cseq,
            .branch = Cat("z9hG4bKreg", cseq, call_id),
            .contact = "",
            .more = contacts};
  }
  std::string Says(const Ask& ask) {
    phone.Request(in, ask);
    return phone.Next();
  }
  int Code(const Ask& ask) { return StatusOf(Says(ask)); }
  std::vector<std::string> Stored() {
    std::vector<std::string> uris;
    for (const Binding& b : store.Find("sip:bob@example.com")) {
      uris.push_back(b.contact);
    }
    return uris;
  }
  uint64_t Count(const std::string& name) {
    for (const Handler::Number& n : registrar->Counters()) {
      if (n.name == name) return n.value;
    }
    ADD_FAILURE() << name;
    return 0;
  }
  std::string Line(const std::string& uri, const std::string& params = "") {
    return Cat("Contact: <", uri, ">", params, "\r\n");
  }

  using Uris = std::vector<std::string>;
  SipWorld world;
  Leg& in;
  Leg& out;
  FakeLocation store;
  Identify identify;
  std::unique_ptr<Registrar> registrar;
  Phone phone{world, Transport::kUdp};
  Phone alice{world, Transport::kUdp, "127.0.0.2"};
};

TEST_F(Register, AnswersWithWhatIsLeftOfEachBinding) {
  const std::string answer =
      Says(Bob(Line("sip:bob@10.0.0.1", ";expires=60;q=0.5")));
  EXPECT_EQ(StatusOf(answer), 200);
  EXPECT_EQ(LineOf(answer, "Contact: "),
            "Contact: <sip:bob@10.0.0.1>;expires=60;q=0.500");
  EXPECT_NE(Value(answer, HeaderId::kTo).find(kTag), std::string::npos);
  store.wall += 25;
  const std::string later = Says(Bob("", 2));
  EXPECT_EQ(LineOf(later, "Contact: "),
            "Contact: <sip:bob@10.0.0.1>;expires=35;q=0.500");
  EXPECT_EQ(Count("registered"), 1u);
  EXPECT_EQ(Count("queries"), 1u);
  store.wall += 36;
  EXPECT_EQ(LineOf(Says(Bob("", 3)), "Contact: "), "");
}

// Security P9: a forged source gets no more than twice what was sent and 600
// octets, whoever has proved himself all of it.
TEST_F(Register, AStrangersAnswerIsCutToWholeLinesThatFit) {
  Make({"example.com"}, 10);
  std::string contacts;
  for (int i = 0; i < 10; ++i) {
    contacts += Line(Cat("sip:bob@10.0.0.", i, ";x=", std::string(150, 'x')));
  }
  ASSERT_EQ(Code(Bob(contacts)), 200);
  const Ask query = Bob("", 2);
  const std::string cut = Says(query);
  EXPECT_EQ(StatusOf(cut), 200);
  const size_t some = Values(cut, HeaderId::kContact).size();
  EXPECT_GT(some, 0u);
  EXPECT_LT(some, 10u);
  EXPECT_LE(cut.size(), 2 * phone.Write(query).size() + 600);
  EXPECT_EQ(world.dispatcher->counters().replies_cut, 1u);
  identify.user = "bob";
  EXPECT_EQ(Values(Says(Bob("", 3)), HeaderId::kContact).size(), 10u);
}

TEST_F(Register, ExpiryComesFromTheContactThenTheHeaderThenTheDefault) {
  for (const auto& [param, header, expected] :
       std::vector<std::tuple<std::string, std::string, std::string>>{
           {";expires=100", "Expires: 200\r\n", "100"},
           {"", "Expires: 200\r\n", "200"},
           {"", "", "300"},
           {";expires=9999999", "", "300"},
           {";expires=soon", "Expires: 200\r\n", "200"},
           {";expires=99999999999", "", "300"}}) {
    const std::string answer =
        Says(Bob(Line("sip:bob@10.0.0.1", param) + header));
    EXPECT_EQ(LineOf(answer, "Contact: "),
              Cat("Contact: <sip:bob@10.0.0.1>;expires=", expected));
  }
}

TEST_F(Register, TooBriefIs423AndSaysWhatIsNot) {
  const std::string answer = Says(Bob(Line("sip:bob@10.0.0.1", ";expires=29")));
  EXPECT_EQ(StatusOf(answer), 423);
  EXPECT_EQ(Value(answer, HeaderId::kMinExpires), "30");
  EXPECT_EQ(Stored(), Uris{});
  EXPECT_EQ(Count("too_brief"), 1u);
  EXPECT_EQ(Code(Bob(Line("sip:bob@10.0.0.1", ";expires=30"))), 200);
}

TEST_F(Register, ContactsOfOtherDevicesStay) {
  Says(Bob(Line("sip:bob@10.0.0.1"), 1, "one"));
  Says(Bob(Line("sip:bob@10.0.0.2"), 1, "two"));
  EXPECT_EQ(Stored().size(), 2u);
  Says(Bob(Line("sip:BOB@10.0.0.1"), 2, "one"));
  EXPECT_EQ(Stored().size(), 3u);
  Says(Bob(Line("sip:bob@10.0.0.1", ";expires=0"), 3, "one"));
  const Uris expected = {"sip:BOB@10.0.0.1", "sip:bob@10.0.0.2"};
  EXPECT_EQ(Stored(), expected);
  EXPECT_EQ(Count("removed"), 1u);
}

TEST_F(Register, AStarTakesAllAwayAndOnlyThat) {
  Says(Bob(Line("sip:bob@10.0.0.1") + Line("sip:bob@10.0.0.2")));
  EXPECT_EQ(Code(Bob("Contact: *\r\n", 2)), 400);
  EXPECT_EQ(Code(Bob("Contact: *\r\nExpires: 60\r\n", 2)), 400);
  EXPECT_EQ(
      Code(
          Bob(Cat("Contact: *\r\nExpires: 0\r\n", Line("sip:bob@1.1.1.1")), 2)),
      400);
  EXPECT_EQ(Stored().size(), 2u);
  const std::string answer = Says(Bob("Contact: *\r\nExpires: 0\r\n", 2));
  EXPECT_EQ(StatusOf(answer), 200);
  EXPECT_EQ(LineOf(answer, "Contact: "), "");
  EXPECT_EQ(Stored(), Uris{});
  // With nothing there it is the same answer, and nothing to be written.
  const int stores = store.stores;
  EXPECT_EQ(Code(Bob("Contact: *\r\nExpires: 0\r\n", 3)), 200);
  EXPECT_EQ(store.stores, stores);
}

TEST_F(Register, WhatIsOlderThanItsCallIdSaidIsRefused) {
  Says(Bob(Line("sip:bob@10.0.0.1"), 5));
  EXPECT_EQ(Code(Bob(Line("sip:bob@10.0.0.1", ";expires=0"), 4)), 500);
  EXPECT_EQ(Code(Bob("Contact: *\r\nExpires: 0\r\n", 4)), 500);
  EXPECT_EQ(Stored().size(), 1u);
  EXPECT_EQ(Count("out_of_order"), 2u);
  // The same again is answered again, and a new Call-ID begins anew.
  EXPECT_EQ(Code(Bob(Line("sip:bob@10.0.0.1"), 5)), 200);
  EXPECT_EQ(Code(Bob(Line("sip:bob@10.0.0.1"), 1, "rebooted")), 200);
}

TEST_F(Register, ADeviceReplacesWhatItHadByItsInstance) {
  const std::string instance = ";+sip.instance=\"<urn:uuid:1>\"";
  Says(Bob(Line("sip:bob@10.0.0.1", instance + ";reg-id=1")));
  Says(Bob(Line("sip:bob@10.0.0.2", instance + ";reg-id=2"), 1, "flow2"));
  EXPECT_EQ(Stored().size(), 2u);
  const std::string answer =
      Says(Bob(Line("sip:bob@10.0.0.3", instance + ";reg-id=1"), 1, "moved"));
  const Uris expected = {"sip:bob@10.0.0.3", "sip:bob@10.0.0.2"};
  EXPECT_EQ(Stored(), expected);
  EXPECT_NE(answer.find("<sip:bob@10.0.0.3>;expires=300;+sip.instance=\""
                        "<urn:uuid:1>\";reg-id=1"),
            std::string::npos);
}

TEST_F(Register, BothTheOldContactAndTheOldInstanceGo) {
  const std::string instance = ";+sip.instance=\"<urn:uuid:1>\"";
  Says(Bob(Line("sip:bob@10.0.0.1", instance)));
  Says(Bob(Line("sip:bob@10.0.0.2"), 1, "other"));
  Says(Bob(Line("sip:bob@10.0.0.2", instance), 1, "both"));
  EXPECT_EQ(Stored(), Uris{"sip:bob@10.0.0.2"});
}

TEST_F(Register, AQuoteInAnInstanceStaysInItsQuotes) {
  const std::string answer =
      Says(Bob(Line("sip:bob@10.0.0.1", ";+sip.instance=\"a\\\"b\\\\;x=y\"")));
  EXPECT_NE(answer.find(";+sip.instance=\"a\\\"b\\\\;x=y\"\r\n"),
            std::string::npos);
}

TEST_F(Register, TheBestByQIsCalledOfEqualsTheNewest) {
  Says(Bob(Line("sip:low@10.0.0.1", ";q=0.2") +
           Line("sip:bob@10.0.0.2", ";q=0.7")));
  EXPECT_EQ(store.Find("sip:bob@example.com")[0].contact, "sip:bob@10.0.0.2");
  store.wall += 1;
  Says(Bob(Line("sip:bob@10.0.0.3", ";q=0.7"), 1, "newer"));
  // The clock counts seconds: a phone that starts anew within one is newer.
  const Uris expected = {"sip:bob@10.0.0.4", "sip:bob@10.0.0.3",
                         "sip:bob@10.0.0.2", "sip:low@10.0.0.1"};
  Make({"example.com"}, 4);
  Says(Bob(Line("sip:bob@10.0.0.4", ";q=0.7"), 1, "newest"));
  EXPECT_EQ(Stored(), expected);
}

TEST_F(Register, ARefreshKeepsItsPlaceAndANewStartDoesNot) {
  Says(Bob(Line("sip:bob@10.0.0.1"), 1, "desk"));
  store.wall += 1;
  Says(Bob(Line("sip:bob@10.0.0.2"), 1, "soft"));
  store.wall += 1;
  Says(Bob(Line("sip:bob@10.0.0.1"), 2, "desk"));
  EXPECT_EQ(Stored(), (Uris{"sip:bob@10.0.0.2", "sip:bob@10.0.0.1"}));
  Says(Bob(Line("sip:bob@10.0.0.1"), 1, "desk-anew"));
  EXPECT_EQ(Stored(), (Uris{"sip:bob@10.0.0.1", "sip:bob@10.0.0.2"}));
}

TEST_F(Register, QIsReadAsRfc3261WritesIt) {
  Make({"example.com"}, 10);
  for (const auto& [text, q] :
       std::vector<std::pair<std::string, int>>{{"0", 0},
                                                {"0.", 0},
                                                {"0.1", 100},
                                                {"0.05", 50},
                                                {"0.125", 125},
                                                {"1", 1000},
                                                {"1.0", 1000},
                                                {"2", 1000},
                                                {"0.x", 1000},
                                                {"00", 1000}}) {
    Says(Bob(Line("sip:bob@10.0.0.1", ";q=" + text)));
    EXPECT_EQ(store.Find("sip:bob@example.com")[0].q, q) << text;
  }
}

TEST_F(Register, TooManyContactsAreRefusedAndNothingIsStored) {
  Says(Bob(Line("sip:1@10.0.0.1") + Line("sip:2@10.0.0.1")));
  EXPECT_EQ(Code(Bob(Line("sip:3@10.0.0.1") + Line("sip:4@10.0.0.1"), 2)), 403);
  EXPECT_EQ(Stored().size(), 2u);
  EXPECT_EQ(Count("refused"), 1u);
  // One that takes another's place is not one more.
  EXPECT_EQ(Code(Bob(Line("sip:1@10.0.0.1", ";expires=0") +
                         Line("sip:3@10.0.0.1") + Line("sip:4@10.0.0.1"),
                     3)),
            200);
}

TEST_F(Register, WhatOneContactMakesUsKeepIsBounded) {
  const Ask ask = Bob(Line("sip:bob@10.0.0.1"), 1, std::string(2'048, 'c'));
  EXPECT_EQ(Code(ask), 403);
  EXPECT_EQ(Stored(), Uris{});
}

TEST_F(Register, DomainsAreExact) {
  in.trusted = false;
  Ask evil = Bob(Line("sip:bob@10.0.0.1"));
  evil.uri = "sip:evilexample.com";
  evil.to = evil.from = "<sip:bob@evilexample.com>";
  evil.from += ";tag=1";
  // It goes on to the proxy, which serves no strangers.
  EXPECT_EQ(Code(evil), 403);
  EXPECT_TRUE(store.all.empty());
  Ask upper = Bob(Line("sip:bob@10.0.0.1"));
  upper.to = "<sip:bob@EXAMPLE.com>";
  EXPECT_EQ(Code(upper), 200);
  EXPECT_EQ(Stored().size(), 1u);
}

TEST_F(Register, WithoutDomainsEverybodyIsServed) {
  Make({});
  Ask ask = Bob(Line("sip:bob@10.0.0.1"));
  ask.to = "<sip:bob@any.test>";
  EXPECT_EQ(Code(ask), 200);
  EXPECT_EQ(store.all.count("sip:bob@any.test"), 1u);
}

TEST_F(Register, NobodyRegistersForSomebodyElse) {
  identify.user = "mallory";
  EXPECT_EQ(Code(Bob(Line("sip:mallory@10.0.0.1"))), 403);
  EXPECT_EQ(Code(Bob("")), 403);
  identify.user = "bob";
  EXPECT_EQ(Code(Bob(Line("sip:bob@10.0.0.1"))), 200);
}

TEST_F(Register, AContactThatIsThisProxyIsRefused) {
  EXPECT_EQ(Code(Bob(Line("sip:bob@" + Named(in)))), 403);
  EXPECT_EQ(Code(Bob(Line("sip:bob@" + Named(out)))), 403);
  EXPECT_EQ(Stored(), Uris{});
}

TEST_F(Register, WhatIsNoSipContactIsRefused) {
  EXPECT_EQ(Code(Bob("Contact: <mailto:bob@example.com>\r\n")), 400);
}

TEST_F(Register, UnknownExtensionsAreRefused) {
  Ask ask = Bob(Cat(Line("sip:bob@10.0.0.1"), "Require: path, gruu\r\n"));
  const std::string answer = Says(ask);
  EXPECT_EQ(StatusOf(answer), 420);
  EXPECT_EQ(LineOf(answer, "Unsupported: "), "Unsupported: gruu");
}

TEST_F(Register, The200WaitsForTheDisk) {
  store.slow = true;
  phone.Request(in, Bob(Line("sip:bob@10.0.0.1")));
  EXPECT_TRUE(phone.Silent());
  // What comes meanwhile is read into the same room.
  store.slow = false;
  EXPECT_EQ(Code(Bob("", 1, "query")), 200);
  ASSERT_TRUE(store.Flush().ok());
  const std::string answer = phone.Next();
  EXPECT_EQ(StatusOf(answer), 200);
  EXPECT_EQ(Value(answer, HeaderId::kCallId), "reg-1");
}

TEST_F(Register, WhatIsNotOnTheDiskIsNoSuccess) {
  store.disk = absl::InternalError("no space");
  EXPECT_EQ(Code(Bob(Line("sip:bob@10.0.0.1"))), 500);
  store.full = true;
  const std::string answer = Says(Bob(Line("sip:bob@10.0.0.2"), 2));
  EXPECT_EQ(StatusOf(answer), 503);
  EXPECT_EQ(Value(answer, HeaderId::kRetryAfter), "60");
  EXPECT_EQ(Count("not_stored"), 2u);
  EXPECT_EQ(Count("registered"), 0u);
}

TEST_F(Register, APhoneBehindNatIsCalledWhereItWasSeen) {
  Says(Bob(Line("sip:bob@10.0.0.1:5060") + "User-Agent: a phone\r\n"));
  EXPECT_EQ(store.Find("sip:bob@example.com")[0].user_agent, "a phone");
  alice.Request(out, {.method = "INVITE", .uri = "sip:bob@example.com"});
  const std::string got = phone.Next();
  EXPECT_EQ(UriOf(got), "sip:bob@10.0.0.1:5060");
  EXPECT_EQ(Value(got, HeaderId::kVia).find("SIP/2.0/UDP " + Named(in)), 0u);
  EXPECT_EQ(Count("found"), 1u);
  // The other one, who has not registered.
  alice.Request(out, {.method = "INVITE", .uri = "sip:carol@example.com"});
  EXPECT_EQ(StatusOf(alice.Next()), 404);
  EXPECT_EQ(Count("not_found"), 1u);
}

TEST_F(Register, BehindAProxyItIsCalledByItsPath) {
  Ask ask = Bob(Cat(Line("sip:bob@10.0.0.1"), "Path: <sip:", phone.host(),
                    ";lr>\r\nPath: <sip:192.0.2.2;lr>\r\n"));
  std::string text = phone.Write(ask);
  text = Replaced(text, "Via: ",
                  "Via: SIP/2.0/UDP " + phone.host() +
                      ";branch=z9hG4bKedge;rport\r\nVia: ");
  phone.Send(in, text);
  const std::string answer = phone.Next();
  const std::vector<std::string> path = {Cat("<sip:", phone.host(), ";lr>"),
                                         "<sip:192.0.2.2;lr>"};
  EXPECT_EQ(Values(answer, HeaderId::kPath), path);
  EXPECT_TRUE(store.Find("sip:bob@example.com")[0].received.address.is_none());
  alice.Request(out, {.method = "INVITE", .uri = "sip:bob@example.com"});
  const std::string got = phone.Next();
  EXPECT_EQ(UriOf(got), "sip:bob@10.0.0.1");
  EXPECT_EQ(Values(got, HeaderId::kRoute), path);
}

TEST_F(Register, WhoHasProvedNothingIsReachedWhereHeWasHeardOnly) {
  in.trusted = false;
  EXPECT_EQ(
      Code(Bob(Cat(Line("sip:bob@10.0.0.1"), "Path: <sip:192.0.2.2;lr>\r\n"),
               1)),
      403);
  std::string text = phone.Write(Bob(Line("sip:bob@192.0.2.9"), 2));
  phone.Send(
      in,
      Replaced(text, "Via: ",
               "Via: SIP/2.0/UDP 192.0.2.9;branch=z9hG4bKx;rport\r\nVia: "));
  EXPECT_EQ(StatusOf(phone.Next()), 403);
  EXPECT_TRUE(store.all.empty());
  EXPECT_EQ(Code(Bob(Line("sip:bob@192.0.2.9"), 3)), 200);
  alice.Request(out, {.method = "INVITE", .uri = "sip:bob@example.com"});
  EXPECT_EQ(UriOf(phone.Next()), "sip:bob@192.0.2.9");
}

TEST_F(Register, APhoneOnAConnectionIsCalledOnItAfterALongSilence) {
  Phone tcp(world, Transport::kTcp);
  tcp.Request(in, Bob(Line("sip:bob@10.0.0.1;transport=tcp")));
  EXPECT_EQ(StatusOf(tcp.Next()), 200);
  // Longer than idle connections live, in steps that are no stall.
  for (int i = 0; i < 400; ++i) {
    world.now = world.now + Micros::Millis(500);
    world.loop.RunOnce(Micros(0));
  }
  alice.Request(out, {.method = "INVITE", .uri = "sip:bob@example.com"});
  EXPECT_EQ(UriOf(tcp.Next()), "sip:bob@10.0.0.1;transport=tcp");
}

TEST_F(Register, AnOpenDomainLeavesUnknownUsersToTheNextHandler) {
  Make({"*"});
  alice.Request(out, {.uri = phone.uri("x")});
  EXPECT_EQ(UriOf(phone.Next()), phone.uri("x"));
}

TEST_F(Register, RedirectTellsTheCallerWhereTheUserIs) {
  Redirect redirect(*world.dispatcher, *registrar);
  Says(Bob(Line("sip:1@10.0.0.1", ";q=0.5") + Line("sip:2@10.0.0.2")));
  world.SetChains({&redirect, registrar.get(), world.proxy.get()});
  const Ask ask{.method = "INVITE", .uri = "sip:bob@example.com"};
  alice.Request(out, ask);
  const std::string answer = alice.Next();
  EXPECT_EQ(StatusOf(answer), 302);
  const std::vector<std::string> expected = {"<sip:2@10.0.0.2>;q=1.0",
                                             "<sip:1@10.0.0.1>;q=0.500"};
  EXPECT_EQ(Values(answer, HeaderId::kContact), expected);

  Ask other = ask;
  other.method = "CANCEL";
  alice.Request(out, other);
  EXPECT_EQ(StatusOf(alice.Next()), 200);
  other.method = "ACK";
  alice.Request(out, other);
  EXPECT_TRUE(alice.Silent());
  other.method = "INVITE";
  other.uri = "sip:nobody@example.com";
  alice.Request(out, other);
  EXPECT_EQ(StatusOf(alice.Next()), 404);
  other.uri = "tel:123";
  alice.Request(out, other);
  EXPECT_EQ(StatusOf(alice.Next()), 404);
  // A REGISTER is the registrar's.
  EXPECT_EQ(Code(Bob("", 2)), 200);
  // Responses are nobody's here.
  alice.Send(out, alice.WriteAnswer(alice.Write(ask), {}));
  EXPECT_TRUE(alice.Silent());
}

}  // namespace
}  // namespace sluice::sip
