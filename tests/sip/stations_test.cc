#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "tests/sip/scripted_peer.h"

// The stations that a Simple makes: registrar, proxy, logging in, chains.
namespace sluice::sip {
namespace {

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

}  // namespace
}  // namespace sluice::sip
