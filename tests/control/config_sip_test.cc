// The keys of the SIP side (control/sip_options.def).

#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "control/config.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace sluice::control {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::Pair;
using ::testing::StartsWith;

// Every key of every SIP section, none of them at its default.
constexpr char kEverything[] = R"([[relay.interface]]
name = "out"
address = "192.0.2.7"
[sip]
domains = ["example.com", "*.example.org", "*"]
anchor = "always"
nathelper = "tcp:127.0.0.1:8004"
key_file = "/var/lib/sluice/key"
rewrite_contact = false
force_rewrite = true
domain2proxy = { "example.net" = "sip:192.0.2.1:5060", "*" = "sips:[::1]" }
block = { SUBSCRIBE = "403 No \"way\"", PUBLISH = "405" }
trace_messages = 7
[[sip.chain]]
name = "doors"
handlers = ["dropper", "blocker"]
methods = ["INVITE", "REGISTER"]
[[sip.leg]]
name = "outside"
trusted = true
anchor = "never"
listen = ["udp:192.0.2.7:5060", "tls:192.0.2.7:5061"]
advertise = "198.51.100.7"
media = "out"
chain = ["doors", "authorize", "registrar", "redirect", "proxy"]
outgoing_proxy = "sip:192.0.2.1;transport=tcp"
dst = "192.0.2.1:5060"
connected = true
domains = ["far.example"]
prefix = { "0049" = "de.example.com", "+43" = "at.example.com" }
tls_certificate = "/etc/sluice/chain.pem"
tls_key = "/etc/sluice/key.pem"
tls_ca = "/etc/sluice/ca.pem"
tls_client = "require"
[[sip.leg]]
name = "inside"
media = "out"
[sip.pool]
max_sip_header = 8192
max_sip_body = 0
max_tidlist = 5
min_expire_s = 3
max_expire_s = 30
connect_timeout_s = 2
tcp_readsize = 4096
max_connections = 9
max_connections_per_ip = 2
[sip.registrar]
domains = ["example.com"]
min_expires_s = 60
max_expires_s = 3600
max_contacts = 3
database = "/var/lib/sluice/users.db"
[sip.auth]
realm = "the realm"
users = "sqlite:/var/lib/sluice/auth.db"
opaque = "o"
algorithms = ["SHA-512-256"]
nonce_ttl_s = 60
methods = ["INVITE", "REGISTER"]
domains = ["example.com"]
i_am_proxy = true
filters = { REGISTER = "FromIsRealm FromIsAuthUser, ToIsFrom" }
[sip.dropper]
per_second = 10
burst = 20
methods = ["OPTIONS"]
patterns = { "User-Agent" = "friendly-scanner", "" = "sip:100@" }
)";

Config Good(const std::string& text) {
  auto config = ParseConfig(text, "t.toml");
  EXPECT_TRUE(config.ok()) << config.status();
  return config.ok() ? *config : DefaultConfig();
}

std::string Bad(const std::string& text) {
  const auto config = ParseConfig(text, "t.toml");
  if (config.ok()) return "accepted";
  EXPECT_EQ(config.status().code(), absl::StatusCode::kInvalidArgument);
  return std::string(config.status().message());
}

TEST(SipConfig, IsOffUntilThereIsALeg) {
  EXPECT_THAT(DefaultConfig().legs, IsEmpty());
  EXPECT_THAT(Good("[sip]\ndomains = [\"example.com\"]\n").legs, IsEmpty());
}

TEST(SipConfig, ALegWithoutKeysIsOpenToThisMachineOnly) {
  const Config config = Good("[[sip.leg]]\n");
  ASSERT_EQ(config.legs.size(), 1u);
  EXPECT_THAT(config.legs[0].listen,
              ElementsAre("udp:127.0.0.1:5060", "tcp:127.0.0.1:5060"));
  EXPECT_EQ(config.legs[0].media, "default");
  EXPECT_THAT(config.legs[0].chain, ElementsAre("registrar", "proxy"));
}

TEST(SipConfig, EveryValueOfAFileArrives) {
  const Config config = Good(kEverything);
  EXPECT_THAT(config.sip.domains,
              ElementsAre("example.com", "*.example.org", "*"));
  EXPECT_EQ(config.sip.anchor, sip::Anchor::kAlways);
  EXPECT_FALSE(config.sip.rewrite_contact);
  EXPECT_TRUE(config.sip.force_rewrite);
  EXPECT_THAT(config.sip.domain2proxy,
              ElementsAre(Pair("*", "sips:[::1]"),
                          Pair("example.net", "sip:192.0.2.1:5060")));
  EXPECT_THAT(
      config.sip.block,
      ElementsAre(Pair("PUBLISH", "405"), Pair("SUBSCRIBE", "403 No \"way\"")));
  EXPECT_EQ(config.sip.trace_messages, 7u);
  ASSERT_EQ(config.chains.size(), 1u);
  EXPECT_EQ(config.chains[0].name, "doors");
  EXPECT_THAT(config.chains[0].handlers, ElementsAre("dropper", "blocker"));
  EXPECT_THAT(config.chains[0].methods, ElementsAre("INVITE", "REGISTER"));
  ASSERT_EQ(config.legs.size(), 2u);
  const LegConfig& leg = config.legs[0];
  EXPECT_EQ(leg.name, "outside");
  EXPECT_THAT(leg.listen,
              ElementsAre("udp:192.0.2.7:5060", "tls:192.0.2.7:5061"));
  EXPECT_EQ(leg.advertise, IpAddress::V4(198, 51, 100, 7));
  EXPECT_EQ(leg.chain.size(), 5u);
  EXPECT_EQ(leg.anchor, sip::Anchor::kNever);
  EXPECT_EQ(leg.dst, "192.0.2.1:5060");
  EXPECT_TRUE(leg.connected);
  EXPECT_THAT(leg.prefix, ElementsAre(Pair("+43", "at.example.com"),
                                      Pair("0049", "de.example.com")));
  EXPECT_EQ(leg.tls_client, sip::ClientCertificate::kRequire);
  EXPECT_EQ(config.legs[1].name, "inside");
  EXPECT_EQ(config.legs[1].anchor, sip::Anchor::kAlways) << "as [sip] has it";
  EXPECT_EQ(config.sip_pool.max_sip_header, 8192u);
  EXPECT_EQ(config.sip_pool.max_sip_body, 0u);
  EXPECT_EQ(config.sip_registrar.max_expires_s, 3600u);
  EXPECT_EQ(config.sip_registrar.database, "/var/lib/sluice/users.db");
  EXPECT_EQ(config.sip_auth.realm, "the realm");
  EXPECT_TRUE(config.sip_auth.i_am_proxy);
  EXPECT_THAT(
      config.sip_auth.filters,
      ElementsAre(Pair("REGISTER", "FromIsRealm FromIsAuthUser, ToIsFrom")));
  EXPECT_EQ(config.sip_dropper.burst, 20u);
  EXPECT_THAT(config.sip_dropper.patterns,
              ElementsAre(Pair("", "sip:100@"),
                          Pair("User-Agent", "friendly-scanner")));
}

TEST(SipConfig, AMapMayBeATableOfItsOwn) {
  EXPECT_THAT(Good("[sip.domain2proxy]\n\"example.com\" = \"sip:192.0.2.1\"\n")
                  .sip.domain2proxy,
              ElementsAre(Pair("example.com", "sip:192.0.2.1")));
}

TEST(SipConfig, WhatIsPrintedIsReadBackTheSame) {
  const Config config = Good(kEverything);
  const std::string printed = PrintConfig(config);
  const Config again = Good(printed);
  EXPECT_EQ(PrintConfig(again), printed);
  EXPECT_THAT(Differences(config, again), IsEmpty());
  // None of it is the default, or the last line proves nothing.
  const Config bare = Good("[[sip.leg]]\nname = \"outside\"\n");
  size_t keys = 0, changed = 0;
  for (const OptionInfo& option : ListOptions()) {
    keys += option.key.starts_with("sip.");
  }
  for (const Difference& d : Differences(bare, config)) {
    changed +=
        d.key.starts_with("sip.") && !d.key.starts_with("sip.leg.inside.");
  }
  EXPECT_EQ(changed, keys - 1) << "all but the leg's name";
}

TEST(SipConfig, ShowsALegAsACommentWhenThereIsNone) {
  const std::string printed = PrintConfig(DefaultConfig());
  EXPECT_THAT(printed, HasSubstr("\n\n#[[sip.leg]]\n# "));
  EXPECT_THAT(printed, HasSubstr("\n#name = \"default\"\n"));
  EXPECT_THAT(Good(printed).legs, IsEmpty());
  // Without the '#' before its keys it is a leg.
  std::string open;
  for (const absl::string_view shown : absl::StrSplit(printed, '\n')) {
    std::string line(shown);
    if (line.starts_with('#') && !line.starts_with("# ")) line.erase(0, 1);
    absl::StrAppend(&open, line, "\n");
  }
  const Config config = Good(open);
  ASSERT_EQ(config.legs.size(), 1u);
  EXPECT_THAT(Differences(config, Good("[[sip.chain]]\n[[sip.leg]]\n")),
              IsEmpty());
  // And there is no example where there are legs.
  EXPECT_THAT(PrintConfig(config), Not(HasSubstr("#[[")));
  EXPECT_THAT(PrintConfig(config), HasSubstr("\n[[sip.leg]]\n# "));
}

TEST(SipConfig, AChainMayStandInALaterOne) {
  const Config config = Good(
      "[[sip.chain]]\nname = \"a\"\nhandlers = [\"blocker\"]\n"
      "[[sip.chain]]\nname = \"b\"\nhandlers = [\"dropper\", \"a\"]\n"
      "[[sip.leg]]\nchain = [\"b\", \"proxy\"]\n");
  ASSERT_EQ(config.chains.size(), 2u);
  EXPECT_THAT(config.chains[1].handlers, ElementsAre("dropper", "a"));
}

TEST(SipConfig, AuthorizeIsFoundInsideOfChains) {
  EXPECT_THAT(Bad("[[sip.chain]]\nname = \"a\"\nhandlers = [\"authorize\"]\n"
                  "[[sip.leg]]\nchain = [\"a\"]\n"),
              HasSubstr("t.toml:5: sip.leg.chain has \"authorize\": name the "
                        "users in sip.auth.users"));
}

// Each names the one before it twice: a page of them would be 2^64 handlers.
TEST(SipConfig, ChainsOfChainsDoNotGrowWithoutBound) {
  std::string text;
  for (int i = 0; i < 64; ++i) {
    const std::string inside =
        i == 0 ? "\"proxy\"" : absl::StrCat("\"c", i - 1, "\"");
    absl::StrAppend(&text, "[[sip.chain]]\nname = \"c", i, "\"\nhandlers = [",
                    inside, ", ", inside, "]\n");
  }
  EXPECT_THAT(Bad(text), StartsWith("t.toml:18: sip.chain.handlers: a message "
                                    "would pass more than 64 handlers\n"));
}

TEST(SipConfig, TakesChainsUpToTheCap) {
  std::string text;
  for (size_t i = 0; i < kChainsMax; ++i) {
    absl::StrAppend(&text, "[[sip.chain]]\nname = \"c", i, "\"\n");
  }
  EXPECT_EQ(Good(text).chains.size(), kChainsMax);
  EXPECT_THAT(Bad(text + "[[sip.chain]]\nname = \"more\"\n"),
              HasSubstr("sip.chain: write one [[sip.chain]] for each, at most "
                        "64"));
}

TEST(SipConfig, ExplainsAKeyOnceForAllLegs) {
  const std::string printed = PrintConfig(Good(kEverything));
  size_t told = 0, at = 0;
  while ((at = printed.find("# What the leg is called", at)) !=
         std::string::npos) {
    ++told, ++at;
  }
  EXPECT_EQ(told, 1u);
}

struct BadCase {
  const char* name;
  const char* text;
  const char* want;
};
const BadCase kBadCases[] = {
    {"unknown key", "[sip]\n\ndomain = []\n",
     "t.toml:3: unknown key \"sip.domain\"; the nearest is \"sip.domains\""},
    {"unknown section", "[sip.regstrar]\nmax_contacts = 1\n",
     "t.toml:1: unknown section \"sip.regstrar\"; the nearest is "
     "\"sip.registrar\""},
    {"unknown array of tables", "[sip]\n[[sip.legs]]\nname = \"a\"\n",
     "t.toml:2: unknown section \"sip.legs\"; the nearest is \"sip.leg\""},
    {"unknown key of a section", "[sip.registrar]\nmax_contact = 1\n",
     "t.toml:2: unknown key \"sip.registrar.max_contact\"; the nearest is "
     "\"sip.registrar.max_contacts\""},
    {"unknown key of a leg", "[[sip.leg]]\nlisen = []\n",
     "t.toml:2: unknown key \"sip.leg.lisen\"; the nearest is "
     "\"sip.leg.listen\""},
    {"section that is no table", "[sip]\nauth = 1\n",
     "t.toml:2: sip.auth must be a table: [sip.auth]"},
    {"leg as a table", "[sip.leg]\nname = \"a\"\n",
     "t.toml:1: sip.leg: write one [[sip.leg]] for each"},
    {"leg that is no table", "[sip]\nleg = [1]\n",
     "t.toml:2: sip.leg must be a table: [[sip.leg]]"},
    {"leg twice",
     "[[sip.leg]]\nname = \"a\"\n[[sip.leg]]\nname = \"a\"\n"
     "listen = [\"udp:127.0.0.1:5070\"]\n",
     "t.toml:4: sip.leg.name \"a\" is there twice"},
    {"listener of two legs",
     "[[sip.leg]]\nname = \"a\"\n[[sip.leg]]\nname = \"b\"\n"
     "listen = [\"tcp:127.0.0.1:5060\"]\n",
     "t.toml:5: sip.leg.listen \"tcp:127.0.0.1:5060\" is there twice"},
    {"listener twice",
     "[[sip.leg]]\nlisten = [\"udp:127.0.0.1:5060\", \"udp:127.0.0.1:5060\"]\n",
     "t.toml:2: sip.leg.listen \"udp:127.0.0.1:5060\" is there twice"},
    {"no listener", "[[sip.leg]]\nlisten = []\n",
     "t.toml:2: sip.leg.listen must not be empty"},
    {"listener of no kind", "[[sip.leg]]\nlisten = [\"sctp:127.0.0.1:5060\"]\n",
     "t.toml:2: sip.leg.listen \"sctp:127.0.0.1:5060\": must be "
     "udp:ADDRESS:PORT, tcp:ADDRESS:PORT or tls:ADDRESS:PORT"},
    {"listener without port", "[[sip.leg]]\nlisten = [\"udp:127.0.0.1\"]\n",
     "must be ADDRESS:PORT"},
    {"listener on every address", "[[sip.leg]]\nlisten = [\"udp:[::]:5060\"]\n",
     "t.toml:2: sip.leg.listen \"udp:[::]:5060\" is no address that others can "
     "be told"},
    {"second listener of a transport and family",
     "[[sip.leg]]\n\nlisten = [\"udp:127.0.0.1:5060\", "
     "\"tcp:127.0.0.1:5060\", \"udp:127.0.0.2:5060\"]\n",
     "t.toml:3: sip.leg.listen \"udp:127.0.0.2:5060\" is the second address of "
     "that transport and family: give it a leg of its own"},
    {"second port of an address",
     "[[sip.leg]]\nlisten = [\"udp:[::1]:5060\", \"udp:[::1]:5070\"]\n",
     "t.toml:2: sip.leg.listen \"udp:[::1]:5070\" is the second address"},
    {"advertised address of another family",
     "[[sip.leg]]\nlisten = [\"udp:127.0.0.1:5060\", \"udp:[::1]:5060\"]\n"
     "advertise = \"198.51.100.7\"\n",
     "t.toml:3: sip.leg.advertise must be of the same family as listen "
     "\"udp:[::1]:5060\""},
    {"connected to nobody", "[[sip.leg]]\nconnected = true\n",
     "t.toml:2: sip.leg.connected needs dst"},
    {"connected without a datagram",
     "[[sip.leg]]\nlisten = [\"tcp:127.0.0.1:5060\"]\n"
     "dst = \"192.0.2.1:5060\"\nconnected = true\n",
     "t.toml:4: sip.leg.connected needs a udp listener of the family of dst"},
    {"connected in another family",
     "[[sip.leg]]\nlisten = [\"udp:127.0.0.1:5060\", \"udp:[::1]:5060\"]\n"
     "dst = \"192.0.2.1:5060\"\nconnected = true\n",
     "t.toml:4: sip.leg.connected needs a udp listener of the family of dst, "
     "and none of the other"},
    {"tls without certificate",
     "[[sip.leg]]\n\nlisten = [\"tls:127.0.0.1:5061\"]\ntls_key = \"/k\"\n",
     "t.toml:3: sip.leg: a tls listener needs tls_certificate and tls_key"},
    {"tls without key",
     "[[sip.leg]]\nlisten = [\"tls:127.0.0.1:5061\"]\n"
     "tls_certificate = \"/c\"\n",
     "t.toml:2: sip.leg: a tls listener needs tls_certificate and tls_key"},
    {"relative path", "[[sip.leg]]\ntls_ca = \"ca.pem\"\n",
     "t.toml:2: sip.leg.tls_ca \"ca.pem\": must be an absolute path"},
    {"unknown interface", "[[sip.leg]]\nmedia = \"out\"\n",
     "t.toml:2: sip.leg.media \"out\" is no relay.interface"},
    {"default interface that is not there",
     "[[relay.interface]]\nname = \"out\"\n\n[[sip.leg]]\n",
     "t.toml:4: sip.leg.media \"default\" is no relay.interface"},
    {"unknown handler", "[[sip.leg]]\nchain = [\n\"registrar\",\n\"prxy\"]\n",
     "t.toml:4: sip.leg.chain \"prxy\": the nearest is \"proxy\" of dropper, "
     "blocker, authorize, registrar, redirect, proxy"},
    {"no handler", "[[sip.leg]]\nchain = []\n",
     "t.toml:2: sip.leg.chain must not be empty"},
    {"no handler of a chain", "[[sip.chain]]\nhandlers = []\n",
     "t.toml:2: sip.chain.handlers must not be empty"},
    {"chain in itself", "[[sip.chain]]\nname = \"a\"\nhandlers = [\"a\"]\n",
     "t.toml:3: sip.chain.handlers \"a\": the nearest is"},
    {"chain of a later one",
     "[[sip.chain]]\nname = \"a\"\nhandlers = [\"bee\"]\n"
     "[[sip.chain]]\nname = \"bee\"\n",
     "t.toml:3: sip.chain.handlers \"bee\": the nearest is"},
    {"chain twice", "[[sip.chain]]\n[[sip.chain]]\nname = \"chain\"\n",
     "t.toml:3: sip.chain.name \"chain\" is there twice"},
    {"chain that is called as a handler", "[[sip.chain]]\nname = \"proxy\"\n",
     "t.toml:2: sip.chain.name \"proxy\" is a handler's"},
    {"authorize for some methods",
     "[[sip.chain]]\nname = \"in\"\nhandlers = [\"authorize\"]\n"
     "[[sip.chain]]\nhandlers = [\"in\"]\nmethods = [\"INVITE\"]\n",
     "t.toml:6: sip.chain.methods: \"authorize\" stands in this chain"},
    {"methods of a chain", "[[sip.chain]]\nmethods = [\"invite\"]\n",
     "t.toml:2: sip.chain.methods \"invite\": must be a method"},
    {"anchor of a leg", "[[sip.leg]]\nanchor = \"sometimes\"\n",
     "t.toml:2: sip.leg.anchor \"sometimes\": must be one of cross-leg"},
    {"authorize without users",
     "[sip.auth]\nrealm = \"r\"\n[[sip.leg]]\nchain = [\"authorize\"]\n",
     "t.toml:4: sip.leg.chain has \"authorize\": name the users in "
     "sip.auth.users"},
    {"authorize without realm",
     "[[sip.leg]]\nchain = [\"authorize\"]\n[sip.auth]\nusers = \"/u\"\n",
     "t.toml:2: sip.leg.chain has \"authorize\": name what users log in to in "
     "sip.auth.realm"},
    {"a pattern as realm",
     "[sip]\ndomains = [\"*.example.com\"]\n[[sip.leg]]\n"
     "chain = [\"authorize\"]\n[sip.auth]\nusers = \"/u\"\n",
     "t.toml:4: sip.leg.chain has \"authorize\": name what users log in to"},
    {"outgoing proxy", "[[sip.leg]]\noutgoing_proxy = \"192.0.2.1\"\n",
     "t.toml:2: sip.leg.outgoing_proxy \"192.0.2.1\": must be a SIP URI"},
    {"peer by name", "[[sip.leg]]\ndst = \"pbx.example.com:5060\"\n",
     "t.toml:2: sip.leg.dst \"pbx.example.com:5060\": must be ADDRESS:PORT"},
    {"prefix", "[[sip.leg]]\nprefix = { \"abc\" = \"example.com\" }\n",
     "t.toml:2: sip.leg.prefix \"abc\": must be digits"},
    {"prefix to everybody", "[[sip.leg]]\nprefix = { \"0\" = \"*\" }\n",
     "t.toml:2: sip.leg.prefix \"*\": must be a domain"},
    {"no domain", "[sip]\ndomains = [\"sip:example.com\",\n\"a b\"]\n",
     "t.toml:3: sip.domains \"a b\": must be a domain"},
    {"unknown anchor", "[sip]\nanchor = \"sometimes\"\n",
     "t.toml:2: sip.anchor \"sometimes\": must be one of cross-leg, always, "
     "never"},
    {"flag", "[sip]\nrewrite_contact = \"yes\"\n",
     "t.toml:2: sip.rewrite_contact must be true or false, not a string"},
    {"map", "[sip]\nblock = [\"INVITE\"]\n",
     "t.toml:2: sip.block must be a table of at most 1024 texts"},
    {"map of numbers", "[sip]\nblock = { INVITE = 403 }\n",
     "t.toml:2: sip.block must be a string, not an integer"},
    {"method", "[sip]\nblock = { invite = \"403 No\" }\n",
     "t.toml:2: sip.block \"invite\": must be a method"},
    {"answer", "[sip]\nblock = { INVITE = \"No\" }\n",
     "t.toml:2: sip.block \"No\": must be a code of 300 to 699"},
    {"answer that is no refusal", "[sip]\nblock = { INVITE = \"200 OK\" }\n",
     "must be a code of 300 to 699"},
    {"answer of four digits", "[sip]\nblock = { INVITE = \"4030\" }\n",
     "must be a code of 300 to 699"},
    {"control character in a key",
     "[sip.dropper]\npatterns = { \"a\\u0007\" = \"x\" }\n",
     "t.toml:2: sip.dropper.patterns must not have a key with control"},
    {"control character in a value",
     "[sip.dropper]\npatterns = { \"a\" = \"x\\u001b\" }\n",
     "t.toml:2: sip.dropper.patterns must not contain control characters"},
    {"proxy of a domain",
     "[sip]\ndomain2proxy = { \"example.com\" = \"192.0.2.1\" }\n",
     "t.toml:2: sip.domain2proxy \"192.0.2.1\": must be a SIP URI"},
    {"no proxy of a domain",
     "[sip]\ndomain2proxy = { \"example.com\" = \"\" }\n",
     "t.toml:2: sip.domain2proxy \"\": must be a SIP URI"},
    {"relay of another node", "[sip]\nnathelper = \"udp:127.0.0.1:1\"\n",
     "t.toml:2: sip.nathelper \"udp:127.0.0.1:1\": must be unix:PATH or"},
    {"pool backwards", "[sip.pool]\nmin_expire_s = 60\nmax_expire_s = 30\n",
     "t.toml:3: sip.pool.max_expire_s (30) must not be below "
     "sip.pool.min_expire_s (60)"},
    {"pool below the default", "[sip.pool]\nmin_expire_s = 121\n",
     "t.toml:2: sip.pool.max_expire_s (120) must not be below"},
    {"registrar backwards", "[sip.registrar]\nmax_expires_s = 10\n",
     "t.toml:2: sip.registrar.max_expires_s (10) must not be below "
     "sip.registrar.min_expires_s (30)"},
    {"algorithm", "[sip.auth]\nalgorithms = [\"SHA-1\"]\n",
     "t.toml:2: sip.auth.algorithms \"SHA-1\": the nearest is \"SHA-256\""},
    {"filter",
     "[sip.auth]\nfilters = { REGISTER = \"ToIsFrom, FromIsRelm\" }\n",
     "t.toml:2: sip.auth.filters \"ToIsFrom, FromIsRelm\": the nearest is "
     "\"FromIsRealm\""},
    {"users by a relative path", "[sip.auth]\nusers = \"sqlite:users.db\"\n",
     "t.toml:2: sip.auth.users \"sqlite:users.db\": must be an absolute path"},
    {"users of no file", "[sip.auth]\nusers = \"sqlite:\"\n",
     "must name a file behind sqlite:"},
    {"range", "[sip]\ntrace_messages = 65537\n",
     "t.toml:2: sip.trace_messages is 65537; must be 0 to 65536"},
};

TEST(SipConfig, RefusesWithFileLineAndReason) {
  for (const BadCase& c : kBadCases) {
    SCOPED_TRACE(c.name);
    EXPECT_THAT(Bad(c.text), HasSubstr(c.want));
    EXPECT_THAT(Bad(c.text), StartsWith("t.toml:"));
  }
}

TEST(SipConfig, TakesEveryAddressWhenOneIsAdvertised) {
  const Config config = Good(
      "[[sip.leg]]\nlisten = [\"udp:0.0.0.0:5060\"]\n"
      "advertise = \"198.51.100.7\"\n");
  EXPECT_THAT(config.legs[0].listen, ElementsAre("udp:0.0.0.0:5060"));
}

TEST(SipConfig, TakesOneListenerOfEachTransportAndFamily) {
  const Config config = Good(
      "[[sip.leg]]\nlisten = [\"udp:127.0.0.1:5060\", "
      "\"tcp:127.0.0.1:5060\", \"udp:[::1]:5060\", \"tcp:[::1]:5060\"]\n");
  EXPECT_EQ(config.legs[0].listen.size(), 4u);
}

TEST(SipConfig, SaysWhatIsWrongWithAnAddressOnce) {
  const std::string message = Bad("[[sip.leg]]\nlisten = [\"a\", \"b\"]\n");
  EXPECT_THAT(message, Not(HasSubstr("twice")));
}

TEST(SipConfig, RefusesTooManyLegs) {
  const auto with = [](size_t count) {
    std::string text;
    for (size_t i = 1; i <= count; ++i) {
      absl::StrAppend(&text, "[[sip.leg]]\nname = \"n", i,
                      "\"\nlisten = [\"udp:192.0.2.", i, ":5060\"]\n");
    }
    return text;
  };
  EXPECT_EQ(Good(with(kLegsMax)).legs.size(), kLegsMax);
  EXPECT_THAT(Bad(with(kLegsMax + 1)), HasSubstr("at most 64"));
}

TEST(SipReload, KnowsLegsByNameNotByPlace) {
  const std::string a = "[[sip.leg]]\nname = \"a\"\n";
  const std::string b =
      "[[sip.leg]]\nname = \"b\"\nlisten = [\"udp:127.0.0.1:5070\"]\n";
  EXPECT_THAT(Differences(Good(a + b), Good(b + a)), IsEmpty());
  const auto added = Differences(Good(a), Good(a + b));
  ASSERT_THAT(added, Not(IsEmpty()));
  for (const Difference& change : added) {
    EXPECT_THAT(change.key, StartsWith("sip.leg.b."));
    EXPECT_EQ(change.before, "");
    EXPECT_FALSE(change.live);
  }
  EXPECT_EQ(Differences(Good(a + b), Good(a)).size(), added.size());
  // The first leg of all: what was shown as an example was never there.
  for (const Difference& change : Differences(Good(""), Good(a))) {
    EXPECT_EQ(change.before, "") << change.key;
  }
}

// Files are read again where they are; that they are elsewhere now has to wait,
// like all else.
TEST(SipReload, LeavesEveryKeyToARestart) {
  Config running = Good("[[sip.leg]]\nname = \"outside\"\n");
  const Config wanted = Good(kEverything);
  for (const Difference& change : Differences(running, wanted)) {
    if (change.key.starts_with("sip.")) {
      EXPECT_FALSE(change.live) << change.key;
    }
  }
  ApplyLive(wanted, &running);
  EXPECT_EQ(running.legs.size(), 1u);
  EXPECT_EQ(running.legs[0].tls_key, "");
  EXPECT_EQ(running.sip.key_file, "");
}

}  // namespace
}  // namespace sluice::control
