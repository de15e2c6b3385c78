// TLS of a leg: who is believed, what is spoken, what is told when it fails.

#include <openssl/ssl.h>

#include <csignal>
#include <fstream>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "sip/tls_context.h"
#include "sip/transport.h"
#include "tests/sip/certificates.h"
#include "tests/sip/transport_world.h"

namespace sluice::sip {
namespace {

using absl::StatusCode;
using ClientCert = TlsOptions::ClientCertificate;

// A client that speaks as the test wants, not as we would.
class OddClient {
 public:
  OddClient(const Endpoint& server,
            const std::function<void(SSL_CTX*, SSL*)>& set_up)
      : peer_(server), context_(SSL_CTX_new(TLS_client_method())) {
    // Levels above 0 forbid what some tests try.
    SSL_CTX_set_security_level(context_, 0);
    ssl_ = SSL_new(context_);
    SSL_set_fd(ssl_, peer_.fd());
    SSL_set_connect_state(ssl_);
    set_up(context_, ssl_);
  }
  ~OddClient() {
    SSL_free(ssl_);
    SSL_CTX_free(context_);
  }
  OddClient(const OddClient&) = delete;
  OddClient& operator=(const OddClient&) = delete;

  // One attempt; true when the handshake is done.
  bool Step() {
    if (failed_) return false;
    const int r = SSL_do_handshake(ssl_);
    if (r == 1) return true;
    const int error = SSL_get_error(ssl_, r);
    failed_ = error != SSL_ERROR_WANT_READ && error != SSL_ERROR_WANT_WRITE &&
              !(error == SSL_ERROR_SYSCALL && errno == ENOTCONN);
    return false;
  }
  bool failed() const { return failed_; }
  SSL* ssl() { return ssl_; }

 private:
  TcpPeer peer_;
  SSL_CTX* context_;
  SSL* ssl_ = nullptr;
  bool failed_ = false;
};

class TlsTransportTest : public TransportWorld {
 protected:
  LegTransport::Options Tls(const TlsOptions& tls, PoolOptions pool = {}) {
    return {
        .listen = {{Transport::kTls, kLoopback4}}, .pool = pool, .tls = tls};
  }
  Peer At(const Node& node) {
    return {.transport = Transport::kTls, .address = node.at(Transport::kTls)};
  }
  // What becomes of a message from one to the other.
  absl::Status Try(Node& from, const Peer& to, std::string_view name) {
    const size_t index = from.Send(to, Request("try"), name);
    TurnUntil([&] { return from.sent[index].has_value(); });
    return *from.sent[index];
  }
  bool Shakes(OddClient& client) {
    bool done = false;
    TurnUntil([&] { return (done = client.Step()) || client.failed(); });
    return done;
  }

  Authority ca_;
};

TEST_F(TlsTransportTest, MessagesGoBothWaysUnderTheNameThatWasAskedFor) {
  Node& a = Make(Tls(ca_.Issue("a.example", "DNS:a.example")));
  Node& b = Make(Tls(ca_.Issue("b.example", "DNS:b.example")));
  a.Send(At(b), Request("1", 3), "B.example");
  a.Send(At(b), Request("2", 60'000), "b.example");
  TurnUntil([&] { return b.got.size() == 2; });
  EXPECT_EQ(b.got[0].octets, Request("1", 3));
  EXPECT_TRUE(b.got[1].octets == Request("2", 60'000));
  EXPECT_EQ(b.got[0].from.transport, Transport::kTls);
  b.Respond(b.got[0].from, Request("3"));
  TurnUntil([&] { return a.got.size() == 1; });
  EXPECT_EQ(a.counters().connected, 1u);
  EXPECT_EQ(b.counters().accepted, 1u);
  a.Send(At(b), "OPTIONS sip:no-length SIP/2.0\r\n\r\n", "b.example");
  TurnUntil([&] { return a.leg.connections() == 0; });
  ExpectLaw(a);
  ExpectLaw(b);
}

TEST_F(TlsTransportTest, BelievesOnlyTheNameAndTheAuthority) {
  Node& node = Make(Tls(ca_.Issue("a.example", "DNS:a.example")));
  Node& named = Make(Tls(
      ca_.Issue("b.example", "DNS:b.example,DNS:*.wild.example,IP:127.0.0.1")));
  // Any alternative name makes the common name count for nothing.
  Node& common = Make(Tls(ca_.Issue("c.example", "DNS:d.example")));
  Authority other("other");
  Node& foreign = Make(Tls(other.Issue("b.example", "DNS:b.example")));

  EXPECT_TRUE(Try(node, At(named), "b.example").ok());
  EXPECT_TRUE(Try(node, At(named), "").ok());  // its address
  EXPECT_TRUE(Try(node, At(named), "127.0.0.1").ok());
  for (const auto& [to, name] : std::vector<std::pair<Node*, std::string>>{
           {&named, "x.example"},
           {&named, "sub.b.example"},
           {&named, "a.wild.example"},  // RFC 5922 7.2
           {&named, "127.0.0.2"},
           {&named, "::1"},
           {&common, "c.example"},
           {&common, ""},
           {&foreign, "b.example"}}) {
    const uint64_t before = node.counters().handshake_failures;
    EXPECT_EQ(Try(node, At(*to), name).code(), StatusCode::kPermissionDenied)
        << name;
    EXPECT_EQ(node.counters().handshake_failures, before + 1);
  }
  EXPECT_TRUE(common.got.empty());
  EXPECT_TRUE(foreign.got.empty());
  ExpectLaw(node);
}

TEST_F(TlsTransportTest, AnIPv6LiteralIsAnAddressWithItsBracketsToo) {
  const TlsOptions tls = ca_.Issue("six", "IP:::1");
  Node& a = Make({.listen = {{Transport::kTls, kLoopback6}}, .tls = tls});
  Node& b = Make({.listen = {{Transport::kTls, kLoopback6}}, .tls = tls});
  EXPECT_TRUE(Try(a, At(b), "[::1]").ok());
  EXPECT_TRUE(Try(a, At(b), "").ok());
  EXPECT_EQ(a.counters().connected, 1u);
}

// pjsip's CVE-2020-15260: a connection whose certificate named one domain
// carried requests for another.
TEST_F(TlsTransportTest, AConnectionServesTheNameThatItWasMadeForAlone) {
  Node& a = Make(Tls(ca_.Issue("a.example", "DNS:a.example")));
  Node& b = Make(Tls(ca_.Issue("b.example", "DNS:b.example,DNS:c.example")));
  EXPECT_TRUE(Try(a, At(b), "b.example").ok());
  EXPECT_TRUE(Try(a, At(b), "c.example").ok());
  EXPECT_EQ(a.counters().connected, 2u);
  EXPECT_TRUE(Try(a, At(b), "b.example").ok());
  EXPECT_EQ(a.counters().connected, 2u);
  EXPECT_EQ(Try(a, At(b), "evil.example").code(),
            StatusCode::kPermissionDenied);
  // Who connects to us has shown no domain. A response goes there, and what
  // wants only that address.
  TurnUntil([&] { return b.got.size() == 3; });
  const Peer back = {.transport = Transport::kTls,
                     .address = b.got[0].from.address};
  EXPECT_TRUE(Try(b, back, "").ok());
  EXPECT_TRUE(b.sent[b.Respond(back, Request("r"))]->ok());
  EXPECT_EQ(Try(b, back, "a.example").code(), StatusCode::kUnavailable);
}

TEST_F(TlsTransportTest, TellsThePeerTheNameThatItWants) {
  const TlsOptions tls = ca_.Issue("a.example", "DNS:a.example");
  net::Fd listener = *net::ListenTcp(kLoopback4, 1);
  Node& node = Make(Tls(tls));
  node.Send({.transport = Transport::kTls,
             .address = *net::LocalEndpoint(listener.get())},
            Request("x"), "Sip.Example");
  net::Fd accepted;
  TurnUntil([&] {
    accepted =
        net::Fd(accept4(listener.get(), nullptr, nullptr, SOCK_NONBLOCK));
    return static_cast<bool>(accepted);
  });
  TcpPeer peer(std::move(accepted));
  TurnUntil(
      [&] { return peer.received().find("sip.example") != std::string::npos; });
}

TEST_F(TlsTransportTest, AsksClientsForCertificatesAsConfigured) {
  Authority other("other");
  const struct {
    ClientCert wanted;
    bool trusted, foreign, none;
  } kCases[] = {
      {ClientCert::kNone, true, true, true},
      {ClientCert::kAsk, true, false, true},
      {ClientCert::kRequire, true, false, false},
  };
  for (const auto& c : kCases) {
    TlsOptions tls = ca_.Issue("b.example", "DNS:b.example");
    tls.client = c.wanted;
    Node& server = Make(Tls(tls));
    TlsOptions foreign = other.Issue("a.example", "DNS:a.example");
    foreign.ca = ca_.file();  // it trusts the server; the server not it
    for (const auto& [own, welcome] :
         {std::pair(ca_.Issue("a.example", "DNS:a.example"), c.trusted),
          std::pair(foreign, c.foreign)}) {
      Node& client = Make(Tls(own));
      const size_t before = server.got.size();
      client.Send(At(server), Request("x"), "b.example");
      // In TLS 1.3 the client is done before it is judged.
      TurnUntil([&] {
        return server.got.size() > before || (client.counters().connected > 0 &&
                                              client.leg.connections() == 0);
      });
      EXPECT_EQ(server.got.size() > before, welcome);
    }
    const uint64_t failures = server.counters().handshake_failures;
    OddClient bare(server.at(Transport::kTls), [](SSL_CTX*, SSL* ssl) {
      SSL_set_max_proto_version(ssl, TLS1_2_VERSION);
    });
    EXPECT_EQ(Shakes(bare), c.none);
    EXPECT_EQ(server.counters().handshake_failures,
              failures + (c.none ? 0u : 1u));
    nodes_.clear();
  }
}

TEST_F(TlsTransportTest, SpeaksNothingOldOrWeak) {
  Node& node = Make(Tls(ca_.Issue("a.example", "DNS:a.example")));
  const struct {
    const char* name;
    int version;
    const char* ciphers;
    bool welcome;
  } kCases[] = {
      {"1.3", TLS1_3_VERSION, "ALL", true},
      {"1.2", TLS1_2_VERSION, "ECDHE-ECDSA-AES128-GCM-SHA256", true},
      {"1.2 chacha", TLS1_2_VERSION, "ECDHE-ECDSA-CHACHA20-POLY1305", true},
      {"1.2 cbc", TLS1_2_VERSION,
       "ECDHE-ECDSA-AES128-SHA:ECDHE-ECDSA-AES128-SHA256", false},
      {"1.2 ccm", TLS1_2_VERSION, "ECDHE-ECDSA-AES128-CCM", false},
      {"1.2 no forward secrecy", TLS1_2_VERSION, "AES128-GCM-SHA256", false},
      {"1.2 nobody's", TLS1_2_VERSION, "aNULL", false},
      {"1.1", TLS1_1_VERSION, "ALL:@SECLEVEL=0", false},
      {"1.0", TLS1_VERSION, "ALL:@SECLEVEL=0", false},
  };
  uint64_t failures = 0;
  for (const auto& c : kCases) {
    OddClient client(node.at(Transport::kTls), [&](SSL_CTX*, SSL* ssl) {
      SSL_set_min_proto_version(ssl, c.version);
      SSL_set_max_proto_version(ssl, c.version);
      ASSERT_EQ(SSL_set_cipher_list(ssl, c.ciphers), 1) << c.name;
    });
    EXPECT_EQ(Shakes(client), c.welcome) << c.name;
    if (!c.welcome) ++failures;
    EXPECT_EQ(node.counters().handshake_failures, failures) << c.name;
    if (c.welcome) {
      EXPECT_EQ(SSL_get_current_compression(client.ssl()), nullptr);
    }
  }
}

TEST_F(TlsTransportTest, DoesNotRenegotiate) {
  Node& node = Make(Tls(ca_.Issue("a.example", "DNS:a.example")));
  OddClient client(node.at(Transport::kTls), [](SSL_CTX*, SSL* ssl) {
    SSL_set_max_proto_version(ssl, TLS1_2_VERSION);
  });
  ASSERT_TRUE(Shakes(client));
  ASSERT_EQ(SSL_renegotiate(client.ssl()), 1);
  EXPECT_FALSE(Shakes(client));
}

TEST_F(TlsTransportTest, ReadsRecordsThatAreLongerThanItsBuffer) {
  const TlsOptions tls = ca_.Issue("a.example", "DNS:a.example");
  Node& a = Make(Tls(tls));
  Node& b = Make(Tls(tls, {.tcp_readsize = 100}));
  EXPECT_TRUE(Try(a, At(b), "a.example").ok());
  a.Send(At(b), Request("long", 15'000), "a.example");
  TurnUntil([&] { return b.got.size() == 2; });
}

TEST_F(TlsTransportTest, AMessageIsSentWhenTheKernelHasAllOfIt) {
  const TlsOptions tls = ca_.Issue("a.example", "DNS:a.example");
  Node& a = Make(Tls(tls, {.max_write_bytes = 64 << 20}));
  Node& b = Make(Tls(tls));
  constexpr size_t kMany = 200;
  for (size_t i = 0; i < kMany; ++i) {
    a.Send(At(b), Request(std::to_string(i), 60'000), "a.example");
  }
  TurnUntil([&] { return b.got.size() == kMany; });
  for (size_t i = 0; i < kMany; ++i) {
    ASSERT_TRUE(a.sent[i]->ok());
    ASSERT_TRUE(b.got[i].octets == Request(std::to_string(i), 60'000));
  }
  EXPECT_EQ(a.counters().frames_out, kMany);
}

TEST_F(TlsTransportTest, AReloadIsForNewConnectionsAndAFailedOneForNone) {
  const TlsOptions tls = ca_.Issue("a.example", "DNS:a.example");
  Node& a = Make(Tls(tls));
  Node& b = Make(Tls(tls));
  ASSERT_TRUE(Try(a, At(b), "a.example").ok());
  // The same files, another name.
  const TlsOptions fresh = ca_.Issue("a.example", "DNS:fresh.example");
  ASSERT_EQ(fresh.certificate, tls.certificate);
  const auto loaded = b.leg.LoadTls();
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  // To load is not to use.
  EXPECT_FALSE(Try(a, At(b), "fresh.example").ok());
  b.leg.UseTls(*loaded);
  EXPECT_TRUE(Try(a, At(b), "a.example").ok());  // the one there is
  EXPECT_TRUE(Try(a, At(b), "fresh.example").ok());
  std::ofstream(tls.key) << "nonsense";
  const absl::Status broken = b.leg.LoadTls().status();
  EXPECT_EQ(broken.code(), StatusCode::kInvalidArgument);
  EXPECT_NE(broken.message().find(tls.key), std::string::npos) << broken;
  Node& c = Make(Tls(ca_.Issue("c.example", "DNS:c.example")));
  EXPECT_TRUE(Try(c, At(b), "fresh.example").ok());
  // A leg without TLS has nothing to reload.
  const auto none = Make(Transport::kTcp).leg.LoadTls();
  ASSERT_TRUE(none.ok());
  EXPECT_EQ(*none, nullptr);
  b.leg.UseTls(nullptr);
  EXPECT_TRUE(Try(c, At(b), "fresh.example").ok());
}

TEST_F(TlsTransportTest, NamesTheFileThatIsWrong) {
  const TlsOptions good = ca_.Issue("a.example", "DNS:a.example");
  const TlsOptions other = ca_.Issue("b.example", "DNS:b.example");
  EVP_PKEY* key = EVP_EC_gen("P-256");
  TempFolder folder;
  const std::string locked = folder / "locked.key";
  Authority::WriteKey(locked, key, "secret");
  EVP_PKEY_free(key);
  const struct {
    TlsOptions tls;
    std::string names;
  } kCases[] = {
      {{}, "certificate"},
      {{.certificate = "/nowhere", .key = good.key, .ca = good.ca}, "/nowhere"},
      {{.certificate = good.certificate, .key = "", .ca = good.ca}, "key"},
      {{.certificate = good.certificate, .key = other.key, .ca = good.ca},
       other.key},
      // Nobody is asked for the password on the terminal.
      {{.certificate = good.certificate, .key = locked, .ca = good.ca}, locked},
      {{.certificate = good.certificate, .key = good.key, .ca = good.key},
       "trusted certificates"},
  };
  for (const auto& c : kCases) {
    Node node(loop_, Tls(c.tls));
    const absl::Status status = node.leg.Listen();
    EXPECT_EQ(status.code(), StatusCode::kInvalidArgument);
    EXPECT_NE(status.message().find(c.names), std::string::npos) << status;
    EXPECT_TRUE(node.leg.listeners().empty());
  }
  // The system's authorities will do.
  EXPECT_TRUE(
      TlsContext::Load({.certificate = good.certificate, .key = good.key})
          .ok());
}

TEST_F(TlsTransportTest, APeerThatSpeaksNoTlsFails) {
  Node& node = Make(Tls(ca_.Issue("a.example", "DNS:a.example")));
  TcpPeer peer = Join(node, {}, Transport::kTls);
  peer.Send(Request("plain"));
  TurnUntil([&] { return peer.closed(); });
  TcpPeer gone = Join(node, {}, Transport::kTls);
  gone.Leave();
  TurnUntil([&] { return node.leg.connections() == 0; });
  EXPECT_EQ(node.counters().handshake_failures, 2u);
  // And the other way round.
  Node& plain = Make(Transport::kTcp);
  const Peer to = {.transport = Transport::kTls,
                   .address = plain.at(Transport::kTcp)};
  EXPECT_EQ(Try(node, to, "x.example").code(), StatusCode::kUnavailable);
  EXPECT_EQ(node.counters().handshake_failures, 3u);
  EXPECT_EQ(Try(node, to, std::string(300, 'x')).code(),
            StatusCode::kInvalidArgument);
  EXPECT_EQ(node.counters().connect_failures, 1u);
  ExpectLaw(node);
}

TEST_F(TlsTransportTest, APeerThatHasGoneIsAStatusAndNoSignal) {
  const TlsOptions tls = ca_.Issue("a.example", "DNS:a.example");
  Node& a = Make(Tls(tls));
  Node& b = Make(Tls(tls));
  ASSERT_TRUE(Try(a, At(b), "a.example").ok());
  TurnUntil([&] { return b.got.size() == 1; });
  nodes_.pop_back();
  const Peer gone = {.transport = Transport::kTls, .connection = 1};
  // As over TCP: the first is still taken.
  const auto before = std::signal(SIGPIPE, SIG_DFL);
  for (int i = 0; i < 10 && a.leg.connections() == 1; ++i) {
    a.Send(gone, Request("x"));
  }
  std::signal(SIGPIPE, before);
  EXPECT_EQ(a.leg.connections(), 0u);
  EXPECT_EQ(a.sent.back()->code(), StatusCode::kUnavailable);
  ExpectLaw(a);
}

TEST_F(TlsTransportTest, AHandshakeHasFiveSeconds) {
  const TlsOptions tls = ca_.Issue("a.example", "DNS:a.example");
  Node& node = Make(Tls(tls));
  TcpPeer silent = Join(node, {}, Transport::kTls);
  // A server that accepts and says nothing: its connections are in its backlog.
  net::Fd mute = *net::ListenTcp(kLoopback4, 4);
  const size_t waiting = node.Send({.transport = Transport::kTls,
                                    .address = *net::LocalEndpoint(mute.get())},
                                   Request("x"), "a.example");
  TurnUntil([&] { return node.counters().connected == 1; });
  Advance(Micros::Millis(4'500));
  EXPECT_EQ(node.leg.connections(), 2u);
  Advance(Micros::Millis(1'000));
  EXPECT_EQ(node.leg.connections(), 0u);
  EXPECT_TRUE(silent.closed());
  EXPECT_EQ(node.sent[waiting]->code(), StatusCode::kDeadlineExceeded);
  EXPECT_EQ(node.counters().timed_out, 2u);
  EXPECT_EQ(node.counters().handshake_failures, 0u);
  ExpectLaw(node);
}

TEST_F(TlsTransportTest, OfHalfHandshakesTheOldestMakesRoom) {
  const TlsOptions tls = ca_.Issue("a.example", "DNS:a.example");
  Node& client = Make(Tls(tls));
  Node& node = Make(Tls(tls, {.max_handshakes = 2}));
  EXPECT_TRUE(Try(client, At(node), "a.example").ok());  // done: not of them
  TcpPeer one = Join(node, {}, Transport::kTls);
  TcpPeer two = Join(node, {}, Transport::kTls);
  EXPECT_EQ(node.counters().evicted, 0u);
  TcpPeer three = Join(node, {}, Transport::kTls);
  EXPECT_EQ(node.counters().evicted, 1u);
  TurnUntil([&] { return one.closed(); });
  EXPECT_FALSE(two.closed());
  EXPECT_EQ(node.leg.connections(), 3u);
  EXPECT_EQ(client.leg.connections(), 1u);
  ExpectLaw(node);
}

// More at once than one turn may take: none is forgotten.
TEST_F(TlsTransportTest, ManyHandshakesAtOnceAllEnd) {
  const TlsOptions tls = ca_.Issue("a.example", "DNS:a.example");
  Node& node = Make(Tls(tls));
  constexpr size_t kMany = 40;
  for (size_t i = 0; i < kMany; ++i) {
    Make(Tls(tls)).Send(At(node), Request(std::to_string(i)), "a.example");
  }
  TurnUntil([&] { return node.got.size() == kMany; });
  EXPECT_EQ(node.counters().accepted, kMany);
}

}  // namespace
}  // namespace sluice::sip
