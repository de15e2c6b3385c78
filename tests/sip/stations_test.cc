#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "sip/digest.h"
#include "tests/sip/fake_relay.h"
#include "tests/sip/scripted_peer.h"

// The stations that a Simple makes: registrar, proxy, logging in, chains.
namespace sluice::sip {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

class Stations : public ScriptWorld {
 protected:
  Stations() : caller_(loop_) { caller_.Face(At(*ua_)); }
  std::string Hears(ScriptedPeer& peer, std::string_view name, size_t n = 0) {
    EXPECT_TRUE(
        RunUntil([&] { return peer.Count(name) > n; }, Micros::Seconds(5)))
        << name << " " << ::testing::PrintToString(peer.Story());
    return peer.Nth(name, n);
  }
  // Another agent, without a proxy to send to.
  std::unique_ptr<Simple> Bare() {
    Simple::Options options;
    options.loop = &loop_;
    options.legs = {"udp:127.0.0.1:0"};
    auto made = Simple::Create(std::move(options));
    EXPECT_TRUE(made.ok()) << made.status();
    return *std::move(made);
  }
  ScriptedPeer caller_;
};

TEST_F(Stations, ARegistrarAndAProxyBringACallToWhoIsRegistered) {
  const auto station = Bare();
  const auto registrar = station->CreateRegistrar({.domains = {"example.com"}});
  ASSERT_TRUE(registrar.ok()) << registrar.status();
  const auto proxy = station->CreateStatelessProxy(
      {.domains = {"example.com"}, .trusted = true});
  ASSERT_TRUE(proxy.ok()) << proxy.status();
  ASSERT_TRUE(station->CreateChain({*registrar, *proxy}, {}).ok());
  const std::string at = At(*station).ToString();
  const auto agent = [&](const std::string& user) {
    Simple::Options options = OptionsOf(user);
    options.legs = {"udp:127.0.0.1:0"};
    options.outgoing_proxy = at;
    options.registrar = at;
    auto made = Simple::Create(std::move(options));
    EXPECT_TRUE(made.ok()) << made.status();
    return *std::move(made);
  };
  const auto anna = agent("anna");
  const auto bert = agent("bert");
  uint32_t granted = 0;
  ASSERT_TRUE(bert->Register({.expires = 60,
                              .cb_final =
                                  [&](const absl::StatusOr<uint32_t>& r) {
                                    if (r.ok()) granted = *r;
                                  }})
                  .ok());
  ASSERT_TRUE(RunUntil([&] { return granted == 60; }, Micros::Seconds(5)));
  ASSERT_TRUE(bert->Listen({}).ok());
  bool over = false;
  CallParams params;
  params.cb_cleanup = [&](Call&) { over = true; };
  const auto call = anna->Invite("bert", std::move(params));
  ASSERT_TRUE(call.ok()) << call.status();
  ASSERT_TRUE(
      RunUntil([&] { return (*call)->state() == Call::State::kEstablished; },
               Micros::Seconds(5)))
      << (*call)->result().code;
  ASSERT_TRUE(RunUntil([&] { return bert->calls() == 1; }));
  ASSERT_TRUE((*call)->Hold().ok());
  ASSERT_TRUE((*call)->state() == Call::State::kEstablished);
  RunFor(Micros::Millis(100));
  ASSERT_TRUE((*call)->Bye().ok());
  EXPECT_TRUE(
      RunUntil([&] { return over && bert->calls() == 0; }, Micros::Seconds(5)));
  // Nobody is called so.
  const auto nobody = anna->Invite("carl", {});
  ASSERT_TRUE(nobody.ok());
  EXPECT_TRUE(
      RunUntil([&] { return (*nobody)->state() == Call::State::kEnded; },
               Micros::Seconds(5)));
  EXPECT_EQ((*nobody)->result().code, 404);
}

TEST_F(Stations, ACallerHasToLogInWhereListenSaysSo) {
  Simple::ListenArgs args;
  args.auth = Simple::AuthArgs{.user2pass = {{"you", "pw"}}, .realm = "here"};
  args.cb_create = [this](Call& call, const Message&) {
    call_ = call.shared_from_this();
    return true;
  };
  ASSERT_TRUE(bob_->Listen(std::move(args)).ok());
  for (const char* password : {"wrong", "pw"}) {
    SCOPED_TRACE(password);
    wire_.Forget();
    CallParams params;
    params.auth = Credentials("you", password);
    const auto call = alice_->Invite("bob", std::move(params));
    ASSERT_TRUE(call.ok());
    const bool good = std::string_view(password) == "pw";
    ASSERT_TRUE(RunUntil(
        [&] {
          return (*call)->state() ==
                 (good ? Call::State::kEstablished : Call::State::kEnded);
        },
        Micros::Seconds(5)));
    EXPECT_EQ(call_ != nullptr, good);
    if (!good) {
      EXPECT_TRUE((*call)->result().code == 401 ||
                  (*call)->result().code == 407);
      continue;
    }
    ASSERT_TRUE((*call)->Bye().ok());
    EXPECT_TRUE(RunUntil([&] { return bob_->calls() == 0; }));
  }
}

TEST_F(Stations, ARegistrarBehindALoginTakesItsUsersOnly) {
  const auto station = Bare();
  ASSERT_TRUE(station
                  ->CreateRegistrar(
                      {.domains = {"example.com"},
                       .auth = Simple::AuthArgs{.user2pass = {{"me", "pw"}}}})
                  .ok());
  for (const char* password : {"wrong", "pw"}) {
    Simple::Options options = OptionsOf("me");
    options.legs = {"udp:127.0.0.1:0"};
    options.registrar = At(*station).ToString();
    options.auth = Credentials("me", password);
    auto agent = Simple::Create(std::move(options));
    ASSERT_TRUE(agent.ok());
    const auto granted = (*agent)->Register({.expires = 100});
    EXPECT_EQ(granted.ok(), std::string_view(password) == "pw")
        << granted.status();
    if (!granted.ok()) {
      EXPECT_EQ(granted.status().code(), absl::StatusCode::kPermissionDenied);
    }
  }
}

TEST_F(Stations, AChainIsForItsMethodsAndWhatItsFilterLetsIn) {
  const auto registrar = ua_->CreateRegistrar({.domains = {"example.com"}});
  ASSERT_TRUE(registrar.ok());
  bool open = false;
  ASSERT_TRUE(
      ua_->CreateChain({*registrar},
                       {.methods = {"REGISTER"},
                        .filter = [&](const Incoming&) { return open; }})
          .ok());
  const auto ask = [&](int cseq) {
    caller_.Ask({.method = "REGISTER",
                 .uri = "sip:example.com",
                 .from = "<sip:x@example.com>;tag=x",
                 .to = "<sip:x@example.com>",
                 .call_id = "reg",
                 .cseq = cseq,
                 .said = {.more = "Expires: 100\r\n"}});
  };
  ask(1);
  Hears(caller_, "405 REGISTER");
  open = true;
  ask(2);
  Hears(caller_, "200 REGISTER");
  caller_.Ask({.method = "OPTIONS", .call_id = "o"});
  Hears(caller_, "200 OPTIONS");
}

TEST_F(Stations, ALoginNeedsUsers) {
  const auto none = ua_->CreateAuth({});
  EXPECT_EQ(none.status().code(), absl::StatusCode::kInvalidArgument);
  const auto both =
      ua_->CreateAuth({.users = "/nowhere", .user2pass = {{"a", "b"}}});
  EXPECT_EQ(both.status().code(), absl::StatusCode::kInvalidArgument);
  const auto missing = ua_->CreateAuth({.users = "/nowhere/at/all"});
  EXPECT_FALSE(missing.ok());
  EXPECT_NE(missing.status().message().find("/nowhere/at/all"),
            std::string_view::npos);
  EXPECT_EQ(ua_->Error(), missing.status());
  ASSERT_TRUE(
      ua_->CreateAuth({.user2pass = {{"a", "b"}}, .i_am_proxy = true}).ok());
  caller_.Ask({.method = "OPTIONS"});
  EXPECT_NE(LineOf(Hears(caller_, "407 OPTIONS"), "Proxy-Authenticate: "), "");
}

TEST_F(Stations, ALoginSaysItsOpaqueAndAsksByItsAlgorithmsAlone) {
  Simple::ListenArgs args;
  args.auth = Simple::AuthArgs{.user2pass = {{"you", "pw"}},
                               .realm = "here",
                               .opaque = "what comes back",
                               .algorithms = {DigestAlgorithm::kSha512_256}};
  ASSERT_TRUE(bob_->Listen(std::move(args)).ok());
  CallParams params = Told();
  params.auth = Credentials("you", "pw");
  const auto call = alice_->Invite("bob", std::move(params));
  ASSERT_TRUE(call.ok()) << call.status();
  ASSERT_TRUE(RunUntil([&] { return TimesTold("established") == 1; },
                       Micros::Seconds(5)));
  ASSERT_TRUE((*call)->Bye().ok());
  ASSERT_TRUE(RunUntil([&] { return TimesTold("cleanup") == 1; }));
  std::vector<std::string> challenges, logins;
  for (const Wire::Seen& seen : wire_.seen()) {
    const std::string name = ScriptedPeer::NameOf(seen.octets);
    for (std::string& value : Values(seen.octets, HeaderId::kWwwAuthenticate)) {
      challenges.push_back(std::move(value));
    }
    if (name != "INVITE") continue;
    const std::string line = LineOf(seen.octets, "Authorization: ");
    if (!line.empty()) logins.push_back(line);
  }
  ASSERT_EQ(challenges.size(), 1u);
  EXPECT_THAT(challenges[0], HasSubstr("algorithm=SHA-512-256"));
  EXPECT_THAT(challenges[0], HasSubstr("opaque=\"what comes back\""));
  ASSERT_EQ(logins.size(), 1u);
  EXPECT_THAT(logins[0], HasSubstr("algorithm=SHA-512-256"));
  EXPECT_THAT(logins[0], HasSubstr("opaque=\"what comes back\""));
}

TEST_F(Stations, AnotherAlgorithmThanIsAskedForIsNoLogin) {
  ASSERT_TRUE(ua_->CreateAuth({.user2pass = {{"you", "pw"}},
                               .algorithms = {DigestAlgorithm::kSha256}})
                  .ok());
  caller_.Ask({.method = "OPTIONS"});
  const std::string challenge = Hears(caller_, "401 OPTIONS");
  const std::string line = Value(challenge, HeaderId::kWwwAuthenticate);
  const auto param = [&line](std::string_view name) {
    const size_t at = line.find(Cat(name, "=\"")) + name.size() + 2;
    return line.substr(at, line.find('"', at) - at);
  };
  int n = 0;
  for (const DigestAlgorithm algorithm :
       {DigestAlgorithm::kMd5, DigestAlgorithm::kSha256}) {
    ++n;
    const std::string a1 = DigestA1(algorithm, "you", "sluice", "pw");
    const std::string response =
        DigestResponse(algorithm, a1, param("nonce"), Cat("0000000", n), "c",
                       "OPTIONS", "sip:me@example.com");
    caller_.Ask(
        {.method = "OPTIONS",
         .cseq = 1 + n,
         .said = {
             .more = Cat("Authorization: Digest username=\"you\", "
                         "realm=\"sluice\", nonce=\"",
                         param("nonce"),
                         "\", uri=\"sip:me@example.com\", qop=auth, "
                         "cnonce=\"c\", nc=0000000",
                         n, ", algorithm=",
                         algorithm == DigestAlgorithm::kMd5 ? "MD5" : "SHA-256",
                         ", response=\"", response, "\"\r\n")}});
    if (algorithm == DigestAlgorithm::kMd5) {
      Hears(caller_, "401 OPTIONS", 1);
      EXPECT_EQ(caller_.Count("200 OPTIONS"), 0u);
    } else {
      Hears(caller_, "200 OPTIONS");
    }
  }
}

TEST_F(Stations, ARegistrarKeepsSoManyContactsOfAnAddress) {
  ASSERT_TRUE(
      ua_->CreateRegistrar({.domains = {"example.com"}, .max_contacts = 2})
          .ok());
  int cseq = 0;
  const auto ask = [&](std::string_view contact, std::string_view who = "x",
                       int expires = 100) {
    caller_.Forget();
    caller_.Ask({.method = "REGISTER",
                 .uri = "sip:example.com",
                 .from = Cat("<sip:", who, "@example.com>;tag=x"),
                 .to = Cat("<sip:", who, "@example.com>"),
                 .call_id = Cat("reg-", who),
                 .cseq = ++cseq,
                 .said = {.contact = std::string(contact),
                          .more = Cat("Expires: ", expires, "\r\n")}});
    EXPECT_TRUE(
        RunUntil([&] { return !caller_.heard().empty(); }, Micros::Seconds(5)));
    return StatusOf(caller_.heard().front());
  };
  EXPECT_EQ(ask("one"), 200);
  EXPECT_EQ(ask("two"), 200);
  EXPECT_EQ(ask("three"), 403);
  EXPECT_EQ(ask("two"), 200);         // again is not one more
  EXPECT_EQ(ask("three", "y"), 200);  // another's are another's
  EXPECT_EQ(ask("one", "x", 0), 200);
  EXPECT_EQ(ask("three"), 200);
}

// ---- a proxy ----------------------------------------------------------------

class StationsProxy : public Stations {
 protected:
  // A station with two legs, of which the second hears the caller; what goes to
  // the peer leaves by the first.
  void Make(Simple::ProxyArgs args, bool same_leg) {
    Simple::Options options;
    options.loop = &loop_;
    options.legs = {"udp:127.0.0.1:0", "udp:127.0.0.1:0"};
    auto made = Simple::Create(std::move(options));
    ASSERT_TRUE(made.ok()) << made.status();
    station_ = *std::move(made);
    args.trusted = true;
    const auto proxy = station_->CreateStatelessProxy(std::move(args));
    ASSERT_TRUE(proxy.ok()) << proxy.status();
    const auto at = [this](size_t leg) {
      return *Endpoint::Parse(
          std::string_view(station_->Listening()[leg]).substr(4));
    };
    caller_.Face(at(same_leg ? 0 : 1));
    peer_.Face(at(0));
  }
  // The INVITE of the caller as it comes to the peer.
  std::string Passed() {
    peer_.Forget();
    caller_.Forget();
    caller_.Ask({.uri = Cat("sip:bob@", peer_.host()),
                 .call_id = Cat("call-", ++calls_),
                 .said = {.contact = "anna", .body = SdpAt(40'000)}});
    return Hears(peer_, "INVITE");
  }

  // Before the station, which borrows it.
  FakeRelay relay_;
  std::unique_ptr<Simple> station_;
  int calls_ = 0;
};

TEST_F(StationsProxy, RewritesContactsAsItIsTold) {
  struct Row {
    bool rewrite, force, same_leg, rewritten;
  };
  for (const Row& row :
       {Row{true, false, false, true}, Row{true, false, true, false},
        Row{true, true, true, true}, Row{false, false, false, false},
        Row{false, true, false, false}}) {
    SCOPED_TRACE(Cat(int{row.rewrite}, int{row.force}, int{row.same_leg}));
    Make({.force_rewrite = row.force, .rewrite_contact = row.rewrite},
         row.same_leg);
    const std::string contact = ContactUri(Passed());
    EXPECT_EQ(contact == caller_.UriOf("anna"), !row.rewritten) << contact;
    // Where it is hidden it leads back all the same.
    peer_.Ask({.method = "OPTIONS", .uri = contact, .call_id = "back"});
    if (row.rewritten) {
      EXPECT_EQ(sip::UriOf(Hears(caller_, "OPTIONS")), caller_.UriOf("anna"));
    }
  }
}

TEST_F(StationsProxy, LeadsMediaFromLegToLegByItsRelay) {
  Make({.nathelper = &relay_}, false);
  const std::string invite = Passed();
  EXPECT_THAT(BodyOf(invite), HasSubstr("m=audio 30000 RTP/AVP"));
  EXPECT_THAT(BodyOf(invite), Not(HasSubstr("40000")));
  ASSERT_FALSE(relay_.asked.empty());
  ASSERT_EQ(relay_.asked.front().media.size(), 1u);
  EXPECT_EQ(relay_.asked.front().media[0].port, 40'000);
  peer_.Answer(invite, 200, {.body = SdpAt(50'000)});
  const std::string ok = Hears(caller_, "200 INVITE");
  EXPECT_THAT(BodyOf(ok), HasSubstr("m=audio 30002 RTP/AVP"));
  EXPECT_THAT(BodyOf(ok), Not(HasSubstr("50000")));
  EXPECT_EQ(relay_.Verbs(), "allocate from, activate, allocate to, activate");
  // Without one, or by one leg alone, it is the parties' business.
  relay_.asked.clear();
  station_.reset();
  Make({}, false);
  EXPECT_THAT(BodyOf(Passed()), HasSubstr("m=audio 40000 RTP/AVP"));
  station_.reset();
  Make({.nathelper = &relay_}, true);
  EXPECT_THAT(BodyOf(Passed()), HasSubstr("m=audio 40000 RTP/AVP"));
  EXPECT_TRUE(relay_.asked.empty());
}

}  // namespace
}  // namespace sluice::sip
