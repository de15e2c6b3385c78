// Goal: names become the destinations of RFC 3263, in its order, asking no more
// than is needed and nothing twice; silent, broken and lying servers cost time
// and nothing else.
// Method: a name server of our own in the same loop; the loop's time, which
// keeps or forgets answers, is the test's, c-ares' own timeouts are real.

#include "sip/resolver.h"

#include <gtest/gtest.h>

#include <fstream>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "sip/dns_lookups.h"
#include "tests/base/temp_folder.h"
#include "tests/sip/dns_server.h"

namespace sluice::sip {
namespace {

using dns::Type;
using Mood = DnsServer::Mood;
using Question = Resolver::Question;
using Answered = absl::StatusOr<std::vector<Destination>>;
using Strings = std::vector<std::string>;

constexpr uint64_t kSeed = 20240229;

std::string Text(const Destination& d) {
  std::string text(NameOf(d.transport));
  text += " " + d.address.ToString();
  if (!d.tls_name.empty()) text += " " + d.tls_name;
  return text;
}

class ResolverTest : public testing::Test {
 protected:
  ResolverTest() { Make({}); }

  void Make(Resolver::Options options) {
    options.servers = {server_.address()};
    if (options.hosts_file == Resolver::Options().hosts_file) {
      options.hosts_file = "";
    }
    if (options.seed == 0) options.seed = kSeed;
    auto resolver = Resolver::Create(loop_, options);
    CHECK(resolver.ok());
    resolver_ = *std::move(resolver);
  }
  // One that gives up soon, for servers that do not answer.
  void MakeHasty() { Make({.timeout = Micros::Millis(20), .tries = 1}); }

  void Turn() {
    loop_.RunOnce(Micros::Millis(5));
    time_ = time_ + Micros::Millis(10);  // c-ares looks at its own clock then
  }
  Answered Ask(const Question& question) {
    std::optional<Answered> answered;
    resolver_->Resolve(question, [&](Answered answer) {
      EXPECT_FALSE(answered.has_value());
      answered = std::move(answer);
    });
    while (!answered.has_value()) Turn();
    return *std::move(answered);
  }
  Strings Places(const Question& question) {
    const Answered answered = Ask(question);
    EXPECT_TRUE(answered.ok()) << answered.status();
    Strings texts;
    if (!answered.ok()) return texts;
    for (const Destination& d : *answered) texts.push_back(Text(d));
    return texts;
  }
  absl::StatusCode Code(const Question& question) {
    return Ask(question).status().code();
  }
  void Later(Micros by) {
    time_ = time_ + by;
    loop_.RunOnce(Micros());
  }
  // The name's addresses, IPv4 only, so that there is one query.
  static Question Host(std::string host) {
    return {.host = std::move(host), .port = 5060, .ipv6 = false};
  }

  Micros time_ = Micros::Seconds(1000);
  net::EventLoop loop_{[this] { return time_; }};
  DnsServer server_{loop_};
  std::unique_ptr<Resolver> resolver_;
};

// ---- which records --------------------------------------------------------

TEST_F(ResolverTest, AsksNobodyForALiteral) {
  const Transport kUdp = Transport::kUdp;
  const Transport kTcp = Transport::kTcp;
  const Transport kTls = Transport::kTls;
  const struct {
    Question question;
    std::string place;
  } kCases[] = {
      {{.host = "192.0.2.1"}, "UDP 192.0.2.1:5060"},
      {{.host = "192.0.2.1", .port = 5080}, "UDP 192.0.2.1:5080"},
      {{.host = "2001:db8::1"}, "UDP [2001:db8::1]:5060"},
      {{.host = "192.0.2.1", .transport = kTcp}, "TCP 192.0.2.1:5060"},
      {{.host = "192.0.2.1", .transport = kTls},
       "TLS 192.0.2.1:5061 192.0.2.1"},
      {{.host = "192.0.2.1", .sips = true}, "TLS 192.0.2.1:5061 192.0.2.1"},
      {{.host = "192.0.2.1", .sips = true, .transport = kTcp},
       "TLS 192.0.2.1:5061 192.0.2.1"},
      {{.host = "192.0.2.1", .allowed = {kTls, kTcp}}, "TCP 192.0.2.1:5060"},
      {{.host = "192.0.2.1", .allowed = {kUdp, kTcp}}, "UDP 192.0.2.1:5060"},
  };
  for (const auto& c : kCases) {
    bool answered = false;
    resolver_->Resolve(c.question, [&](const Answered& answer) {
      answered = true;
      ASSERT_TRUE(answer.ok()) << answer.status();
      ASSERT_EQ(answer->size(), 1u);
      EXPECT_EQ(Text(answer->front()), c.place);
    });
    EXPECT_TRUE(answered) << "at once";
  }
  EXPECT_EQ(resolver_->counters().queries, 0u);
  EXPECT_EQ(resolver_->counters().questions, std::size(kCases));
}

TEST_F(ResolverTest, RefusesWhatIsNotAllowedOrNoName) {
  const auto not_found = absl::StatusCode::kNotFound;
  EXPECT_EQ(Code({.host = "192.0.2.1", .ipv4 = false}), not_found);
  EXPECT_EQ(Code({.host = "::1", .ipv6 = false}), not_found);
  EXPECT_EQ(Code({.host = "h.test", .ipv4 = false, .ipv6 = false}), not_found);
  EXPECT_EQ(Code({.host = "h.test",
                  .transport = Transport::kTcp,
                  .allowed = {Transport::kUdp}}),
            not_found);
  EXPECT_EQ(
      Code({.host = "h.test", .sips = true, .allowed = {Transport::kUdp}}),
      not_found);
  EXPECT_EQ(
      Code({.host = "h.test", .sips = true, .transport = Transport::kUdp}),
      not_found);
  const uint64_t asked = resolver_->counters().questions;
  for (const std::string& host :
       {std::string(), std::string("a b"), std::string("[::1]"),
        std::string("1.2.3"), std::string("a..b"), std::string("a\0b.test", 8),
        std::string(300, 'a')}) {
    EXPECT_EQ(Code({.host = host}), absl::StatusCode::kInvalidArgument) << host;
  }
  EXPECT_EQ(resolver_->counters().questions, asked + 7);
  EXPECT_EQ(resolver_->counters().failures, asked + 7);
}

TEST_F(ResolverTest, AsksForAddressesOnlyWhenThereIsAPort) {
  server_.Put("h.test", A("192.0.2.1"));
  server_.Put("h.test", Aaaa("2001:db8::1"));
  EXPECT_EQ(Places({.host = "H.Test.", .port = 5070}),
            (Strings{"UDP [2001:db8::1]:5070", "UDP 192.0.2.1:5070"}));
  EXPECT_EQ(server_.asked.size(), 2u);
  EXPECT_EQ(
      Places({.host = "h.test", .port = 5070, .sips = true}),
      (Strings{"TLS [2001:db8::1]:5070 h.test", "TLS 192.0.2.1:5070 h.test"}));
  EXPECT_EQ(Places({.host = "h.test", .port = 1, .ipv6 = false}),
            (Strings{"UDP 192.0.2.1:1"}));
  EXPECT_EQ(Places({.host = "h.test", .port = 1, .ipv4 = false}),
            (Strings{"UDP [2001:db8::1]:1"}));
  EXPECT_EQ(server_.asked.size(), 2u);
  EXPECT_EQ(resolver_->counters().queries, 2u);
  EXPECT_EQ(resolver_->counters().cache_hits, 4u);
}

TEST_F(ResolverTest, AsksForOneServiceWhenThereIsATransport) {
  server_.Put("_sip._tcp.d.test", SrvRr(1, 1, 5071, "h.test"));
  server_.Put("h.test", A("192.0.2.1"));
  EXPECT_EQ(Places({.host = "d.test", .transport = Transport::kTcp}),
            (Strings{"TCP 192.0.2.1:5071"}));
  EXPECT_EQ(server_.Count("_sip._tcp.d.test", Type::kSrv), 1);
  EXPECT_EQ(server_.asked.size(), 3u);  // and the host's A and AAAA
  server_.Put("_sips._tcp.d.test", SrvRr(1, 1, 5072, "h.test"));
  EXPECT_EQ(Places({.host = "d.test", .transport = Transport::kTls}),
            (Strings{"TLS 192.0.2.1:5072 d.test"}));
}

TEST_F(ResolverTest, GoesFromNaptrToServiceToHost) {
  server_.Put("d.test", NaptrRr(20, 1, "s", "SIP+D2U", "u.other.test"));
  server_.Put("d.test", NaptrRr(10, 2, "S", "sip+d2t", "t.other.test"));
  server_.Put("d.test", NaptrRr(10, 1, "s", "SIPS+D2T", "s.other.test"));
  server_.Put("d.test", NaptrRr(1, 1, "s", "SIP+D2S", "sctp.other.test"));
  server_.Put("d.test", NaptrRr(1, 1, "u", "E2U+sip", "", "!^.*$!sip:x@y!"));
  server_.Put("u.other.test", SrvRr(1, 1, 5060, "h.test"));
  server_.Put("t.other.test", SrvRr(1, 1, 5062, "h.test"));
  server_.Put("s.other.test", SrvRr(1, 1, 5061, "h.test"));
  server_.Put("h.test", A("192.0.2.1"));
  EXPECT_EQ(Places({.host = "d.test"}),
            (Strings{"TLS 192.0.2.1:5061 d.test", "TCP 192.0.2.1:5062",
                     "UDP 192.0.2.1:5060"}));
  EXPECT_EQ(server_.Count("sctp.other.test", Type::kSrv), 0);
  EXPECT_EQ(Places({.host = "d.test", .sips = true}),
            (Strings{"TLS 192.0.2.1:5061 d.test"}));
  EXPECT_EQ(Places({.host = "d.test", .allowed = {Transport::kUdp}}),
            (Strings{"UDP 192.0.2.1:5060"}));
}

TEST_F(ResolverTest, AsksForEveryAllowedServiceWithoutNaptr) {
  server_.Put("_sip._udp.d.test", SrvRr(2, 1, 1, "h.test"));
  server_.Put("_sip._udp.d.test", SrvRr(1, 1, 2, "h.test"));
  server_.Put("_sip._tcp.d.test", SrvRr(0, 1, 3, "h.test"));
  server_.Put("_sips._tcp.d.test", SrvRr(0, 1, 4, "h.test"));
  server_.Put("h.test", A("192.0.2.1"));
  EXPECT_EQ(Places({.host = "d.test"}),
            (Strings{"UDP 192.0.2.1:2", "UDP 192.0.2.1:1", "TCP 192.0.2.1:3",
                     "TLS 192.0.2.1:4 d.test"}));
  EXPECT_EQ(
      Places({.host = "d.test", .allowed = {Transport::kTcp, Transport::kUdp}}),
      (Strings{"UDP 192.0.2.1:2", "UDP 192.0.2.1:1", "TCP 192.0.2.1:3"}));
  EXPECT_EQ(Places({.host = "d.test", .sips = true}),
            (Strings{"TLS 192.0.2.1:4 d.test"}));
  EXPECT_EQ(server_.Count("d.test", Type::kNaptr), 1);
}

TEST_F(ResolverTest, TakesTheHostItselfWithoutServices) {
  server_.Put("h.test", A("192.0.2.1"));
  EXPECT_EQ(Places({.host = "h.test"}), (Strings{"UDP 192.0.2.1:5060"}));
  EXPECT_EQ(Places({.host = "h.test", .sips = true}),
            (Strings{"TLS 192.0.2.1:5061 h.test"}));
  EXPECT_EQ(Places({.host = "h.test", .allowed = {Transport::kTls}}),
            (Strings{"TLS 192.0.2.1:5061 h.test"}));
  EXPECT_EQ(Places({.host = "h.test", .transport = Transport::kTcp}),
            (Strings{"TCP 192.0.2.1:5060"}));
  // A name that leaves no room for "_sip._udp." before it.
  const std::string label(60, 'a');
  const std::string longest = label + "." + label + "." + label + "." + label;
  server_.Put(longest, A("192.0.2.2"));
  EXPECT_EQ(Places({.host = longest, .transport = Transport::kTls}),
            (Strings{"TLS 192.0.2.2:5061 " + longest}));
}

TEST_F(ResolverTest, BelievesADomainThatSaysItHasNoService) {
  server_.Put("h.test", A("192.0.2.1"));
  server_.Put("_sip._udp.h.test", SrvRr(0, 0, 5060, ""));
  EXPECT_EQ(Code({.host = "h.test", .transport = Transport::kUdp}),
            absl::StatusCode::kNotFound);
  EXPECT_EQ(server_.asked.size(), 1u);
  server_.Put("_sip._tcp.h.test", SrvRr(0, 0, 5060, "h.test"));
  EXPECT_EQ(Places({.host = "h.test"}), (Strings{"TCP 192.0.2.1:5060"}));
}

TEST_F(ResolverTest, FollowsAliases) {
  server_.Put("h.test", Cname("a.test"));
  server_.Put("a.test", Cname("b.test"));
  server_.Put("b.test", A("192.0.2.1"));
  EXPECT_EQ(Places(Host("h.test")), (Strings{"UDP 192.0.2.1:5060"}));
  server_.Put("nowhere.test", Cname("missing.test"));
  EXPECT_EQ(Code(Host("nowhere.test")), absl::StatusCode::kNotFound);
}

TEST_F(ResolverTest, TakesNamesOfTheHostsFileFromThere) {
  const TempFolder folder;
  std::ofstream(folder / "hosts") << "192.0.2.9 gw\n192.0.2.8 gw\n";
  Make({.hosts_file = folder / "hosts"});
  const Strings places = Places({.host = "gw", .port = 5060});
  EXPECT_EQ(
      std::set<std::string>(places.begin(), places.end()),
      (std::set<std::string>{"UDP 192.0.2.9:5060", "UDP 192.0.2.8:5060"}));
  EXPECT_EQ(Code({.host = "gw", .port = 5060, .ipv4 = false}),
            absl::StatusCode::kNotFound);
  EXPECT_TRUE(server_.asked.empty());
  // An edit is seen a second later; names that are not there are asked for.
  std::ofstream(folder / "hosts") << "192.0.2.7 gw\n";
  Later(Micros::Seconds(2));
  EXPECT_EQ(Places(Host("gw")), (Strings{"UDP 192.0.2.7:5060"}));
  server_.Put("other", A("192.0.2.1"));
  EXPECT_EQ(Places(Host("other")), (Strings{"UDP 192.0.2.1:5060"}));
}

// ---- order ----------------------------------------------------------------

TEST_F(ResolverTest, DrawsByWeight) {
  SCOPED_TRACE(kSeed);
  server_.Put("_sip._udp.d.test", SrvRr(1, 30, 1, "h.test"));
  server_.Put("_sip._udp.d.test", SrvRr(1, 10, 2, "h.test"));
  server_.Put("_sip._udp.d.test", SrvRr(1, 0, 3, "h.test"));
  server_.Put("_sip._udp.d.test", SrvRr(2, 9999, 4, "h.test"));
  server_.Put("h.test", A("192.0.2.1"));
  std::map<int, int> first;
  for (int i = 0; i < 4000; ++i) {
    const Answered all =
        Ask({.host = "d.test", .transport = Transport::kUdp, .ipv6 = false});
    ASSERT_TRUE(all.ok());
    ASSERT_EQ(all->size(), 4u);
    EXPECT_EQ(all->back().address.port.host(), 4);
    ++first[all->front().address.port.host()];
  }
  // 30 and 10 of 41 numbers, by a fixed seed.
  EXPECT_NEAR(first[1], 4000 * 30 / 41, 150);
  EXPECT_NEAR(first[2], 4000 * 10 / 41, 150);
  EXPECT_NEAR(first[3], 4000 * 1 / 41, 50);
}

TEST_F(ResolverTest, GivesTheSameOrderForTheSameDraw) {
  for (int port = 1; port <= 6; ++port) {
    server_.Put("_sip._udp.d.test", SrvRr(1, 10, port, "h.test", 1));
  }
  for (const char* ip : {"192.0.2.1", "192.0.2.2", "192.0.2.3"}) {
    server_.Put("h.test", A(ip, 1));
  }
  std::map<uint64_t, Strings> seen;
  std::set<std::string> firsts;
  for (uint64_t draw = 1; draw <= 200; ++draw) {
    seen[draw] = Places({.host = "d.test", .ipv6 = false, .draw = draw});
    EXPECT_EQ(seen[draw].size(), 18u);
    firsts.insert(seen[draw].front());
  }
  EXPECT_EQ(firsts.size(), 18u) << "every host and address has its turn";
  // Other answers in between, and the records sorted otherwise by the server.
  Later(Micros::Seconds(5));
  server_.Remove("_sip._udp.d.test");
  server_.Remove("h.test");
  for (int port = 6; port >= 1; --port) {
    server_.Put("_sip._udp.d.test", SrvRr(1, 10, port, "h.test", 1));
  }
  for (const char* ip : {"192.0.2.2", "192.0.2.3", "192.0.2.1"}) {
    server_.Put("h.test", A(ip, 1));
  }
  for (const auto& [draw, places] : seen) {
    EXPECT_EQ(Places({.host = "d.test", .ipv6 = false, .draw = draw}), places);
  }
  EXPECT_GE(server_.Count("h.test", Type::kA), 2);
}

TEST_F(ResolverTest, LooksAtNoMoreThanItsCaps) {
  for (int i = 0; i < 20; ++i) {
    const std::string host = "h" + std::to_string(i) + ".test";
    server_.Put("_sip._udp.d.test", SrvRr(i, 0, 5060, host));
    for (int j = 0; j < 10; ++j) {
      server_.Put(host, A("192.0.2." + std::to_string(10 * i + j)));
    }
  }
  const Strings places =
      Places({.host = "d.test", .transport = Transport::kUdp, .ipv6 = false});
  EXPECT_EQ(places.size(), Resolver::kDestinationsMax);
  EXPECT_EQ(server_.asked.size(), 1 + Resolver::kTargetsMax);
  EXPECT_EQ(server_.Count("h8.test", Type::kA), 0);
  for (int i = 0; i < 20; ++i) {
    const std::string name = "s" + std::to_string(i) + ".test";
    server_.Put("n.test", NaptrRr(i, 0, "s", "SIP+D2U", name));
  }
  server_.asked.clear();
  EXPECT_EQ(Code({.host = "n.test", .ipv6 = false}),
            absl::StatusCode::kNotFound);
  EXPECT_EQ(server_.asked.size(), 1 + Resolver::kTargetsMax + 1);
}

TEST_F(ResolverTest, NamesEveryPlaceOnce) {
  server_.Put("_sip._udp.d.test", SrvRr(1, 0, 5060, "a.test"));
  server_.Put("_sip._udp.d.test", SrvRr(2, 0, 5060, "b.test"));
  for (const char* host : {"a.test", "b.test"}) {
    server_.Put(host, A("192.0.2.1"));
    server_.Put(host, A("192.0.2.1"));
  }
  EXPECT_EQ(Places({.host = "d.test", .transport = Transport::kUdp}),
            (Strings{"UDP 192.0.2.1:5060"}));
}

// ---- the cache ------------------------------------------------------------

TEST_F(ResolverTest, KeepsAnAnswerForItsTtl) {
  const struct {
    const char* host;
    uint32_t ttl_s;
    int64_t kept_s;
  } kCases[] = {{"a.test", 20, 20},
                {"b.test", 0, 1},
                {"c.test", 86'400, 3'600},
                {"d.test", 0x7fff'ffff, 3'600}};
  for (const auto& c : kCases) {
    server_.Put(c.host, A("192.0.2.1", c.ttl_s));
    Places(Host(c.host));
    Later(Micros::Seconds(c.kept_s) - Micros::Millis(500));
    Places(Host(c.host));
    EXPECT_EQ(server_.Count(c.host, Type::kA), 1) << c.host;
    Later(Micros::Millis(500));
    Places(Host(c.host));
    EXPECT_EQ(server_.Count(c.host, Type::kA), 2) << c.host;
  }
}

TEST_F(ResolverTest, KeepsARefusalForHalfAMinute) {
  EXPECT_EQ(Code(Host("h.test")), absl::StatusCode::kNotFound);
  server_.Put("h.test", Aaaa("2001:db8::1"));  // there, but without an A
  EXPECT_EQ(Code(Host("g.test")), absl::StatusCode::kNotFound);
  Later(Micros::Seconds(29));
  server_.Put("h.test", A("192.0.2.1"));
  EXPECT_EQ(Code(Host("h.test")), absl::StatusCode::kNotFound);
  EXPECT_EQ(server_.Count("h.test", Type::kA), 1);
  Later(Micros::Seconds(1));
  EXPECT_EQ(Places(Host("h.test")), (Strings{"UDP 192.0.2.1:5060"}));
}

TEST_F(ResolverTest, AsksOnceHoweverManyWait) {
  server_.Put("h.test", A("192.0.2.1"));
  int answered = 0;
  for (int i = 0; i < 100; ++i) {
    resolver_->Resolve(Host("h.test"), [&](const Answered& answer) {
      EXPECT_TRUE(answer.ok());
      ++answered;
    });
  }
  EXPECT_EQ(answered, 0);
  while (answered < 100) Turn();
  EXPECT_EQ(server_.asked.size(), 1u);
  EXPECT_EQ(resolver_->counters().queries, 1u);
}

TEST_F(ResolverTest, AnswersMayAskAgain) {
  server_.Put("h.test", A("192.0.2.1"));
  int depth = 0;
  std::function<void(const Answered&)> again = [&](const Answered& answer) {
    EXPECT_TRUE(answer.ok());
    if (++depth < 10) resolver_->Resolve(Host("h.test"), again);
    if (depth == 10)
      resolver_->Resolve(Host("other.test"), [&](Answered) { ++depth; });
  };
  resolver_->Resolve(Host("h.test"), again);
  while (depth < 11) Turn();
}

TEST_F(ResolverTest, ForgetsTheLeastLatelyUsed) {
  auto lookups = dns::Lookups::Create(loop_, {.servers = {server_.address()},
                                              .timeout = Micros::Seconds(2),
                                              .tries = 2,
                                              .names_max = 2});
  ASSERT_TRUE(lookups.ok());
  auto ask = [&](const std::string& name) {
    bool ready = false;
    (*lookups)->Ask(name, Type::kA, [&](const auto&) { ready = true; });
    while (!ready) Turn();
  };
  ask("a.test");
  ask("b.test");
  ask("a.test");
  ask("c.test");  // b goes
  EXPECT_EQ((*lookups)->names(), 2u);
  ask("a.test");
  EXPECT_EQ(server_.Count("a.test", Type::kA), 1);
  ask("b.test");  // c goes
  EXPECT_EQ(server_.Count("b.test", Type::kA), 2);
  ask("a.test");
  EXPECT_EQ(server_.Count("a.test", Type::kA), 1);
  EXPECT_EQ((*lookups)->counters().cache_hits, 3u);
}

// ---- servers that are not as they should be -------------------------------

TEST_F(ResolverTest, GivesUpOnSilenceAndSoonAsksAgain) {
  MakeHasty();
  server_.Put("h.test", A("192.0.2.1"));
  server_.Set("h.test", Type::kA, Mood::kSilent);
  EXPECT_EQ(Code(Host("h.test")), absl::StatusCode::kDeadlineExceeded);
  EXPECT_EQ(resolver_->counters().timeouts, 1u);
  EXPECT_EQ(resolver_->counters().failures, 1u);
  const int asked = server_.Count("h.test", Type::kA);
  EXPECT_EQ(Code(Host("h.test")), absl::StatusCode::kDeadlineExceeded);
  EXPECT_EQ(server_.Count("h.test", Type::kA), asked);
  Later(Micros::Seconds(5));
  EXPECT_EQ(Code(Host("h.test")), absl::StatusCode::kDeadlineExceeded);
  EXPECT_EQ(server_.Count("h.test", Type::kA), asked + 1);
  EXPECT_EQ(resolver_->counters().timeouts, 2u);
}

TEST_F(ResolverTest, TriesAsOftenAsItIsTold) {
  Make({.timeout = Micros::Millis(20), .tries = 3});
  server_.Set("h.test", Type::kA, Mood::kSilent);
  EXPECT_EQ(Code(Host("h.test")), absl::StatusCode::kDeadlineExceeded);
  EXPECT_EQ(server_.Count("h.test", Type::kA), 3);
  EXPECT_EQ(resolver_->counters().queries, 1u);
}

TEST_F(ResolverTest, MakesDoWithTheHalfThatIsAnswered) {
  // Tries enough for the half that is answered, on a busy machine too.
  Make({.timeout = Micros::Millis(200), .tries = 3});
  server_.Put("h.test", A("192.0.2.1"));
  server_.Set("h.test", Type::kAaaa, Mood::kSilent);
  server_.Set("h.test", Type::kNaptr, Mood::kRefused);
  server_.Set("_sip._udp.h.test", Type::kSrv, Mood::kServFail);
  EXPECT_EQ(Places({.host = "h.test"}), (Strings{"UDP 192.0.2.1:5060"}));
  EXPECT_EQ(resolver_->counters().failures, 0u);
}

TEST_F(ResolverTest, TakesAFailureForNoAnswer) {
  MakeHasty();
  server_.Set("a.test", Type::kA, Mood::kServFail);
  server_.Set("b.test", Type::kA, Mood::kRefused);
  server_.Set("c.test", Type::kA, Mood::kBroken);
  server_.Put("c.test", A("192.0.2.1"));
  server_.Set("d.test", Type::kA, Mood::kGarbage);
  server_.Set("e.test", Type::kA, Mood::kForged);
  for (const char* host : {"a.test", "b.test", "c.test", "d.test", "e.test"}) {
    EXPECT_EQ(Code(Host(host)), absl::StatusCode::kDeadlineExceeded) << host;
  }
  // And goes on working.
  Make({});
  server_.Put("h.test", A("192.0.2.1"));
  EXPECT_EQ(Places(Host("h.test")), (Strings{"UDP 192.0.2.1:5060"}));
}

TEST_F(ResolverTest, BelievesTheAnswerToItsQuestionOnly) {
  server_.Put("h.test", A("192.0.2.1"));
  server_.Set("h.test", Type::kA, Mood::kForgedFirst);
  EXPECT_EQ(Places(Host("h.test")), (Strings{"UDP 192.0.2.1:5060"}));
}

TEST_F(ResolverTest, AsksOverTcpForAnAnswerThatWasCut) {
  for (int i = 0; i < 30; ++i) {
    server_.Put("h.test", A("192.0.2." + std::to_string(i + 1)));
  }
  server_.Set("h.test", Type::kA, Mood::kTruncated);
  EXPECT_EQ(Places(Host("h.test")).size(), 30u);
  ASSERT_EQ(server_.Count("h.test", Type::kA), 2);
  EXPECT_TRUE(server_.asked.back().tcp);
}

TEST_F(ResolverTest, FindsNobodyWhereNobodyListens) {
  const Endpoint nobody = [] {
    auto fd = net::OpenUdp({IpAddress::V4(127, 0, 0, 1), Port()}, {});
    CHECK(fd.ok());
    return *net::LocalEndpoint(fd->get());
  }();
  auto resolver = Resolver::Create(loop_, {.servers = {nobody},
                                           .hosts_file = "",
                                           .timeout = Micros::Millis(20),
                                           .tries = 1});
  ASSERT_TRUE(resolver.ok());
  std::optional<Answered> answered;
  (*resolver)->Resolve(Host("h.test"),
                       [&](Answered answer) { answered = answer; });
  while (!answered.has_value()) Turn();
  EXPECT_EQ(answered->status().code(), absl::StatusCode::kDeadlineExceeded);
}

TEST_F(ResolverTest, RefusesMoreThanItsPendingQuestions) {
  MakeHasty();
  size_t answered = 0;
  for (size_t i = 0; i < Resolver::kPendingMax; ++i) {
    const std::string host = "h" + std::to_string(i) + ".test";
    server_.Set(host, Type::kA, Mood::kSilent);
    resolver_->Resolve(Host(host), [&](const Answered& answer) {
      EXPECT_FALSE(answer.ok());
      ++answered;
    });
  }
  EXPECT_EQ(answered, 0u);
  absl::StatusCode code = absl::StatusCode::kOk;
  resolver_->Resolve(Host("more.test"), [&](const Answered& answer) {
    code = answer.status().code();
  });
  EXPECT_EQ(code, absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(resolver_->counters().refused_full, 1u);
  // A literal needs no room.
  EXPECT_EQ(Places({.host = "192.0.2.1"}), (Strings{"UDP 192.0.2.1:5060"}));
  while (answered < Resolver::kPendingMax) Turn();
  EXPECT_NE(Code(Host("after.test")), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(answered, Resolver::kPendingMax);
  EXPECT_LE(resolver_->names(), Resolver::kNamesMax);
}

class CrowdedResolver : public ResolverTest {
 protected:
  CrowdedResolver() { Make({.timeout = Micros::Seconds(60), .tries = 1}); }
  // A question that no server answers.
  void AskInVain(const std::string& host, bool both_families = false) {
    for (const Type type : {Type::kA, Type::kAaaa}) {
      server_.Set(dns::CanonicalName(host), type, Mood::kSilent);
    }
    ++asked_;
    Question question = Host(host);
    question.ipv6 = both_families;
    resolver_->Resolve(question, [this, host](const Answered& answer) {
      EXPECT_FALSE(answer.ok());
      ++told_;
      if (absl::IsResourceExhausted(answer.status())) no_room_.push_back(host);
    });
  }
  void AskInVain(const std::string& domain, size_t names) {
    for (size_t i = 0; i < names; ++i) {
      AskInVain("h" + std::to_string(i) + ".x." + domain);
      // The server takes one a turn, and its socket holds only so many.
      loop_.RunOnce(Micros());
    }
  }

  size_t asked_ = 0, told_ = 0;
  Strings no_room_;
};

TEST_F(CrowdedResolver, GivesUpTheOldestOfACrowdForAnotherDomain) {
  AskInVain("Evil.test", Resolver::kPendingMax);
  server_.Put("good.test", A("192.0.2.1"));
  EXPECT_EQ(Places(Host("good.test")), (Strings{"UDP 192.0.2.1:5060"}));
  EXPECT_EQ(resolver_->counters().given_up, 1u);
  EXPECT_EQ(no_room_, Strings{"h0.x.Evil.test"});
  EXPECT_EQ(resolver_->counters().refused_full, 0u);
}

TEST_F(CrowdedResolver, TheCrowdItselfIsRefused) {
  AskInVain("evil.test", Resolver::kPendingMax);
  AskInVain("deep.below.EVIL.test.");
  EXPECT_EQ(no_room_, Strings{"deep.below.EVIL.test."});
  EXPECT_EQ(resolver_->counters().refused_full, 1u);
  EXPECT_EQ(resolver_->counters().given_up, 0u);
}

TEST_F(CrowdedResolver, TwoCrowdsDoNotWashEachOtherOut) {
  AskInVain("one.test", Resolver::kPendingMax / 2 + 1);
  AskInVain("two.test", Resolver::kPendingMax / 2 - 1);
  for (int i = 0; i < 100; ++i) {
    AskInVain("more" + std::to_string(i) + ".one.test");
    AskInVain("more" + std::to_string(i) + ".two.test");
  }
  // Once, to have as many of each.
  EXPECT_EQ(resolver_->counters().given_up, 1u);
  EXPECT_EQ(resolver_->counters().refused_full, 199u);
}

// What was given up is bounded, and its place comes back.
TEST_F(CrowdedResolver, ACrowdOfDomainsIsRefusedLikeAnother) {
  MakeHasty();
  AskInVain("evil.test", Resolver::kPendingMax);
  for (size_t i = 0; i < 2 * Resolver::kPendingMax; ++i) {
    AskInVain("d" + std::to_string(i) + ".test");
  }
  EXPECT_EQ(resolver_->counters().given_up, Resolver::kPendingMax - 1);
  EXPECT_EQ(resolver_->counters().refused_full, Resolver::kPendingMax + 1);
  while (told_ < asked_) Turn();
  // All of it again: none of the places was lost.
  Later(Micros::Seconds(6));
  AskInVain("again.test", Resolver::kPendingMax);
  for (size_t i = 0; i < Resolver::kPendingMax; ++i) {
    AskInVain("e" + std::to_string(i) + ".test");
  }
  EXPECT_EQ(resolver_->counters().given_up, 2 * (Resolver::kPendingMax - 1));
}

// What was given up is still asked of the servers.
TEST_F(CrowdedResolver, GivesUpNoMoreThanItMayAskInVain) {
  for (size_t i = 0; i < Resolver::kPendingMax; ++i) {
    AskInVain("h" + std::to_string(i) + ".evil.test", /*both_families=*/true);
  }
  for (size_t i = 0; i < Resolver::kPendingMax; ++i) {
    AskInVain("d" + std::to_string(i) + ".test");
  }
  // Two lookups each.
  EXPECT_EQ(resolver_->counters().given_up, Resolver::kPendingMax / 2);
  EXPECT_EQ(resolver_->counters().refused_full, Resolver::kPendingMax / 2);
}

TEST_F(ResolverTest, AnswersNobodyAfterItsEnd) {
  server_.Set("h.test", Type::kA, Mood::kSilent);
  resolver_->Resolve(Host("h.test"), [](const Answered&) { FAIL(); });
  resolver_->Resolve({.host = "d.test"}, [](const Answered&) { FAIL(); });
  Turn();
  resolver_.reset();
  for (int i = 0; i < 10; ++i) Turn();
}

}  // namespace
}  // namespace sluice::sip
