// Goal: the SIP side as the configuration wants it: what a reload takes and
// when it takes nothing, what a leg says to a frame that is none, and that all
// it counts is told.
// Method: the service on a loop of the test's, real sockets on the loopback.

#include "control/sip_service.h"

#include <sys/stat.h>

#include <fstream>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/text.h"
#include "control/metrics.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "sip/transport.h"
#include "tests/base/temp_folder.h"
#include "tests/control/fake_verbs.h"
#include "tests/fakes/fake_operator.h"
#include "tests/sip/certificates.h"
#include "tests/sip/transport_world.h"

namespace sluice::control {
namespace {

using ::testing::StartsWith;

using sip::Authority;
using sip::Node;
using sip::TcpPeer;
using sip::Transport;
using sip::TransportWorld;

class SipServiceTest : public TransportWorld {
 protected:
  SipServiceTest() { config_.sip.domains = {"example.com"}; }

  LegConfig& AddLeg(const std::string& name, const std::string& listen) {
    LegConfig leg;
    leg.name = name;
    leg.listen = {listen};
    config_.legs.push_back(std::move(leg));
    return config_.legs.back();
  }
  LegConfig& AddTlsLeg(const std::string& name, const sip::TlsOptions& tls) {
    LegConfig& leg = AddLeg(name, "tls:127.0.0.1:0");
    leg.tls_certificate = tls.certificate;
    leg.tls_key = tls.key;
    leg.tls_ca = tls.ca;
    return leg;
  }
  void Start() {
    auto made = SipService::Create(loop_, config_, verbs_);
    ASSERT_TRUE(made.ok()) << made.status();
    service_ = *std::move(made);
    const absl::Status listening = service_->Listen();
    ASSERT_TRUE(listening.ok()) << listening;
  }
  Endpoint At(size_t leg) const {
    const std::string where = service_->Legs().at(leg).listeners.at(0);
    return *Endpoint::Parse(std::string_view(where).substr(4));
  }
  // Whether a new connection to that leg is shown a certificate of that name.
  bool Shows(size_t leg, const std::string& name) {
    Node& client =
        Make({.listen = {{Transport::kTls, sip::kLoopback4}}, .tls = client_});
    const size_t sent =
        client.Send({.transport = Transport::kTls, .address = At(leg)},
                    sip::Request("hello"), name);
    TurnUntil([&] { return client.sent[sent].has_value(); });
    return client.sent[sent]->ok();
  }
  // What a phone is answered on the first leg.
  std::string AnswerTo(const std::string& method) {
    Node& phone = Make(Transport::kUdp);
    const std::string at = phone.at(Transport::kUdp).ToString();
    phone.Send({.transport = Transport::kUdp, .address = At(0)},
               Cat(method, " sip:example.com SIP/2.0\r\nVia: SIP/2.0/UDP ", at,
                   ";branch=z9hG4bK1\r\nFrom: <sip:a@example.com>;tag=1\r\n"
                   "To: <sip:a@example.com>\r\nCall-ID: c\r\nCSeq: 1 ",
                   method, "\r\nContact: <sip:a@", at,
                   ">\r\nExpires: 60\r\nContent-Length: 0\r\n\r\n"));
    TurnUntil([&] { return phone.got.size() == 1; });
    return phone.got.empty() ? "" : phone.got[0].octets;
  }
  // By name and labels, as the page has them.
  std::map<std::string, uint64_t> Numbers() const {
    std::map<std::string, uint64_t> all;
    for (const SipService::Number& n : service_->Numbers()) {
      std::string key = n.name;
      for (const auto& [label, value] : n.labels) {
        key += " " + label + "=" + value;
      }
      EXPECT_FALSE(n.help.empty()) << key;
      EXPECT_TRUE(all.emplace(key, n.value).second) << key << " twice";
    }
    return all;
  }

  Authority ca_;
  sip::TlsOptions client_ = ca_.Issue("client.example", "DNS:client.example");
  TempFolder folder_;
  Config config_ = DefaultConfig();
  FakeVerbs verbs_;
  std::unique_ptr<SipService> service_;
};

TEST_F(SipServiceTest, AReloadIsOfAllLegs) {
  AddTlsLeg("one", ca_.Issue("one", "DNS:one.example"));
  AddTlsLeg("two", ca_.Issue("two", "DNS:two.example"));
  Start();
  EXPECT_TRUE(Shows(0, "one.example"));
  ca_.Issue("one", "DNS:new-one.example");
  ca_.Issue("two", "DNS:new-two.example");
  EXPECT_TRUE(Shows(0, "one.example"));  // until it is asked for
  const absl::Status reloaded = service_->Reload();
  ASSERT_TRUE(reloaded.ok()) << reloaded;
  EXPECT_TRUE(Shows(0, "new-one.example"));
  EXPECT_FALSE(Shows(0, "one.example"));
  EXPECT_TRUE(Shows(1, "new-two.example"));
}

TEST_F(SipServiceTest, ABadCertificateLeavesAllLegsAsTheyWere) {
  AddTlsLeg("one", ca_.Issue("one", "DNS:one.example"));
  const std::string broken =
      AddTlsLeg("two", ca_.Issue("two", "DNS:two.example")).tls_certificate;
  AddTlsLeg("three", ca_.Issue("three", "DNS:three.example"));
  AddLeg("without", "tcp:127.0.0.1:0");
  Start();
  ca_.Issue("one", "DNS:new-one.example");
  ca_.Issue("three", "DNS:new-three.example");
  std::ofstream(broken) << "nonsense";
  const absl::Status reloaded = service_->Reload();
  EXPECT_EQ(reloaded.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_NE(reloaded.message().find(broken), std::string::npos) << reloaded;
  EXPECT_TRUE(Shows(0, "one.example"));
  EXPECT_TRUE(Shows(1, "two.example"));
  EXPECT_TRUE(Shows(2, "three.example"));
  EXPECT_FALSE(Shows(0, "new-one.example"));
  // Mended, it is taken.
  ca_.Issue("two", "DNS:new-two.example");
  ASSERT_TRUE(service_->Reload().ok());
  EXPECT_TRUE(Shows(0, "new-one.example"));
  EXPECT_TRUE(Shows(1, "new-two.example"));
  EXPECT_TRUE(Shows(2, "new-three.example"));
}

// Keys are read first, certificates last.
TEST_F(SipServiceTest, ABadFileOfUsersLeavesTheCertificatesToo) {
  AddTlsLeg("one", ca_.Issue("one", "DNS:one.example")).chain = {"authorize",
                                                                 "proxy"};
  config_.sip_auth.users = folder_ / "users";
  std::ofstream(config_.sip_auth.users) << "a:example.com:secret\n";
  ASSERT_EQ(chmod(config_.sip_auth.users.c_str(), 0600), 0);
  Start();
  ca_.Issue("one", "DNS:new-one.example");
  std::ofstream(config_.sip_auth.users) << "nonsense\n";
  EXPECT_FALSE(service_->Reload().ok());
  EXPECT_TRUE(Shows(0, "one.example"));
}

TEST_F(SipServiceTest, AFrameWithoutLengthIsAnsweredBeforeTheEnd) {
  AddLeg("one", "tcp:127.0.0.1:0");
  Start();
  TcpPeer peer(At(0));
  peer.Send(
      "OPTIONS sip:example.com SIP/2.0\r\n"
      "Via: SIP/2.0/TCP a.invalid;branch=z9hG4bK1\r\n"
      "From: <sip:a@example.com>;tag=1\r\nTo: <sip:example.com>\r\n"
      "Call-ID: c\r\nCSeq: 1 OPTIONS\r\n\r\n");
  // What is sent before the connection stands is lost.
  TurnUntil([&] {
    if (Numbers()["sip_transport_accepted leg=one"] == 0) return false;
    return peer.closed();
  });
  EXPECT_TRUE(peer.received().starts_with("SIP/2.0 400 "));
  EXPECT_EQ(Numbers()["sip_transport_bad_frames leg=one"], 1u);
  EXPECT_EQ(Numbers()["sip_requests_in"], 0u);
}

TEST_F(SipServiceTest, AConnectedLegHearsItsPeerAlone) {
  Node& peer = Make(Transport::kUdp);
  Node& stranger = Make(Transport::kUdp);
  LegConfig& leg = AddLeg("one", "udp:127.0.0.1:0");
  leg.dst = peer.at(Transport::kUdp).ToString();
  leg.connected = true;
  Start();
  const sip::Peer to = {.transport = Transport::kUdp, .address = At(0)};
  stranger.Send(to, sip::Request("stranger"));
  peer.Send(to, sip::Request("peer"));
  TurnUntil(
      [&] { return Numbers()["sip_transport_datagrams_in leg=one"] == 1; });
  // Not even seen: that is what connecting means.
  EXPECT_EQ(Numbers()["sip_transport_strangers leg=one"], 0u);
}

TEST_F(SipServiceTest, ChainsOfTheConfigurationStandInEachOther) {
  config_.sip.block = {{"MESSAGE", "403 Not here"}};
  ChainConfig doors{.name = "doors", .handlers = {"blocker"}, .methods = {}};
  ChainConfig calls{
      .name = "calls", .handlers = {"doors"}, .methods = {"MESSAGE"}};
  config_.chains = {doors, calls};
  AddLeg("one", "udp:127.0.0.1:0").chain = {"calls", "registrar"};
  Start();
  EXPECT_THAT(AnswerTo("MESSAGE"), StartsWith("SIP/2.0 403 Not here\r\n"));
  EXPECT_THAT(AnswerTo("OPTIONS"), StartsWith("SIP/2.0 404 "));
}

TEST_F(SipServiceTest, TellsAllThatItsPartsCount) {
  AddLeg("one", "udp:127.0.0.1:0");
  Start();
  const auto numbers = Numbers();
  for (const char* name :
       {"sip_resolver_questions", "sip_resolver_cache_hits",
        "sip_resolver_queries", "sip_resolver_timeouts",
        "sip_resolver_failures", "sip_resolver_given_up",
        "sip_resolver_refused_full", "sip_location_stored",
        "sip_location_removed", "sip_location_expired",
        "sip_location_transactions", "sip_location_write_failures",
        "sip_media_offers", "sip_transport_datagrams_in leg=one"}) {
    EXPECT_TRUE(numbers.contains(name)) << name;
  }
  FakeOperator fake;
  const std::string page =
      RenderMetrics(fake, fake.Status(), service_->Numbers(), 0);
  for (const char* name : {"sluice_sip_resolver_given_up_total 0\n",
                           "sluice_sip_location_write_failures_total 0\n"}) {
    EXPECT_NE(page.find(name), std::string::npos) << name;
  }
  // The relay is our own.
  for (const auto& [name, value] : numbers) {
    EXPECT_FALSE(name.starts_with("sip_nathelper_")) << name;
  }
}

TEST_F(SipServiceTest, TellsOfARelayOfAnotherNodeAndNoRegistrar) {
  AddLeg("one", "udp:127.0.0.1:0").chain = {"proxy"};
  config_.sip.nathelper = "unix:" + (folder_ / "nobody");
  Start();
  const auto numbers = Numbers();
  for (const char* name :
       {"requests", "answered", "refused", "refused_full", "timed_out",
        "unreachable", "bad_answers", "too_long"}) {
    EXPECT_TRUE(numbers.contains(std::string("sip_nathelper_") + name)) << name;
  }
  EXPECT_FALSE(numbers.contains("sip_location_stored"));
}

// The numbers are those of the parts, not only their names.
TEST_F(SipServiceTest, CountsARegistrationInItsStore) {
  AddLeg("one", "udp:127.0.0.1:0");
  Start();
  EXPECT_THAT(AnswerTo("REGISTER"), StartsWith("SIP/2.0 200 "));
  EXPECT_EQ(Numbers()["sip_location_stored"], 1u);
}

}  // namespace
}  // namespace sluice::control
