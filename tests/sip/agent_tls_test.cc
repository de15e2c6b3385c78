#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "tests/sip/certificates.h"
#include "tests/sip/simple_world.h"

// An agent whose only leg speaks TLS.
namespace sluice::sip {
namespace {

using ::testing::Each;

class AgentTls : public SimpleWorld {
 protected:
  // Every transport that something came or went by.
  using Seen = std::vector<Transport>;

  std::unique_ptr<Simple> Secure(const std::string& user, const TlsOptions& tls,
                                 const std::string& proxy, Seen* seen) {
    Simple::Options options = OptionsOf(user);
    Simple::LegOptions leg("tls:127.0.0.1:0");
    leg.tls = tls;
    options.legs = {std::move(leg)};
    options.outgoing_proxy = options.registrar = proxy;
    options.trace = [seen](bool, const Peer& peer, std::string_view) {
      seen->push_back(peer.transport);
    };
    auto made = Simple::Create(std::move(options));
    EXPECT_TRUE(made.ok()) << made.status();
    return *std::move(made);
  }
  static std::string Where(const Simple& agent) {
    return "sip:" + At(agent).ToString() + ";transport=tls";
  }
  absl::StatusOr<uint32_t> Register(Simple& agent) {
    bool answered = false;
    absl::StatusOr<uint32_t> result = absl::UnknownError("nothing came");
    const auto begun = agent.Register(
        {.expires = 100, .cb_final = [&](const absl::StatusOr<uint32_t>& r) {
           answered = true;
           result = r;
         }});
    EXPECT_TRUE(begun.ok()) << begun.status();
    EXPECT_TRUE(RunUntil([&] { return answered; }));
    return result;
  }

  Authority ca_;
  const TlsOptions server_ = ca_.Issue("server", "IP:127.0.0.1");
  const TlsOptions phone_ = ca_.Issue("phone", "IP:127.0.0.1");
  // Before the agents, whose end is traced as well.
  Seen hers_, his_;
};

TEST_F(AgentTls, RegistersAndCallsAndIsCalledOverIt) {
  const auto station = Secure("bob", server_, "", &his_);
  const auto phone = Secure("alice", phone_, Where(*station), &hers_);
  ASSERT_TRUE(station->CreateRegistrar({.domains = {"example.com"}}).ok());
  const auto granted = Register(*phone);
  ASSERT_TRUE(granted.ok()) << granted.status();
  EXPECT_EQ(*granted, 100u);

  std::shared_ptr<Call> his, hers;
  const auto listen = [&his](Simple& agent) {
    Simple::ListenArgs args;
    args.cb_create = [&his](Call& call, const Message& invite) {
      his = call.shared_from_this();
      // Who answers within the call does so by TLS, too.
      EXPECT_NE(invite.Value(HeaderId::kContact).find(";transport=tls"),
                std::string_view::npos);
      return true;
    };
    ASSERT_TRUE(agent.Listen(std::move(args)).ok());
  };
  const auto established = [&] {
    return his && his->state() == Call::State::kEstablished &&
           hers->state() == Call::State::kEstablished;
  };
  const auto over = [&] {
    return station->calls() == 0 && phone->calls() == 0;
  };
  // She calls and he hangs up, then he calls and she does.
  for (Simple* const caller : {phone.get(), station.get()}) {
    Simple& called = caller == phone.get() ? *station : *phone;
    SCOPED_TRACE(caller == phone.get() ? "she calls" : "he calls");
    his.reset();
    listen(called);
    auto call =
        caller->Invite("sip:x@" + At(called).ToString() + ";transport=tls", {});
    ASSERT_TRUE(call.ok()) << call.status();
    hers = *std::move(call);
    ASSERT_TRUE(RunUntil(established)) << hers->result().reason;
    ASSERT_TRUE(his->Bye().ok());
    ASSERT_TRUE(RunUntil(over));
    EXPECT_EQ(hers->result().code, 200);
  }
  EXPECT_FALSE(hers_.empty());
  EXPECT_THAT(hers_, Each(Transport::kTls));
  EXPECT_FALSE(his_.empty());
  EXPECT_THAT(his_, Each(Transport::kTls));
}

TEST_F(AgentTls, BelievesNobodyElsesCertificate) {
  Authority other("other");
  for (const TlsOptions& shown :
       {other.Issue("stranger", "IP:127.0.0.1"),
        ca_.Issue("elsewhere", "IP:127.0.0.2,DNS:example.com")}) {
    SCOPED_TRACE(shown.certificate);
    hers_.clear();
    his_.clear();
    const auto station = Secure("bob", shown, "", &his_);
    const auto phone = Secure("alice", phone_, Where(*station), &hers_);
    ASSERT_TRUE(station->CreateRegistrar({.domains = {"example.com"}}).ok());
    const auto granted = Register(*phone);
    EXPECT_EQ(granted.status().code(), absl::StatusCode::kUnavailable)
        << granted.status();
    const auto call = phone->Invite("bob", {});
    ASSERT_TRUE(call.ok()) << call.status();
    ASSERT_TRUE(RunUntil([&] { return phone->calls() == 0; }));
    EXPECT_EQ((*call)->result().code, 503);
    // Not a word was said to it.
    EXPECT_TRUE(his_.empty());
  }
}

TEST_F(AgentTls, NamesTheCertificateThatIsMissing) {
  Simple::Options options = OptionsOf("alice");
  Simple::LegOptions leg("tls:127.0.0.1:0");
  leg.tls = {.certificate = "/nowhere/at.pem", .key = "/nowhere/at.key"};
  options.legs = {std::move(leg)};
  const auto made = Simple::Create(std::move(options));
  EXPECT_FALSE(made.ok());
  EXPECT_NE(made.status().message().find("/nowhere/at.pem"),
            std::string_view::npos)
      << made.status();
}

}  // namespace
}  // namespace sluice::sip
