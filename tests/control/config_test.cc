#include "control/config.h"

#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace sluice::control {
namespace {

using ::testing::ElementsAre;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::StartsWith;

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

TEST(Config, AnEmptyFileIsTheDefault) {
  EXPECT_EQ(PrintConfig(Good("")), PrintConfig(DefaultConfig()));
}

TEST(Config, TheDefaultIsOpenToThisMachineOnly) {
  const Config config = DefaultConfig();
  ASSERT_EQ(config.interfaces.size(), 1u);
  EXPECT_TRUE(config.interfaces[0].address.is_loopback());
  EXPECT_EQ(config.http.listen, "127.0.0.1:9080");
  EXPECT_EQ(config.relay.latch, relay::LatchPolicy::kSdpFirst);
  ASSERT_EQ(config.nathelper.listen.size(), 1u);
  EXPECT_THAT(config.nathelper.listen[0], StartsWith("unix:/"));
  EXPECT_THAT(config.nathelper.listen[0], EndsWith("sluice/nathelper.sock"));
}

TEST(Config, WhatIsPrintedIsReadBackTheSame) {
  for (const Config& config : {DefaultConfig(), Good(R"(
[log]
level = "debug"
format = "json"
[relay]
shards = 3
engine = "epoll"
ports = [20000, 29999]
max_sessions = 77
latch = "strict"
deny_targets = ["10.0.0.0/8", "2001:db8::/32"]
allow_targets = ["192.0.2.1"]
cq_entries = 16
sq_entries = 16
[[relay.interface]]
name = "out"
address = "192.0.2.7"
advertise = "198.51.100.7"
latch = "first-packet"
tos = 0
[[relay.interface]]
name = "in"
address = "2001:db8::7"
[nathelper]
listen = ["unix:/run/a \"quoted\\\" name.sock", "tcp:[::1]:8004"]
max_range = 4
[store]
sessions = "/var/lib/sluice/sessions"
xdp_pins = ""
[http]
listen = ""
[control]
socket = ""
[process]
user = "nobody"
)")}) {
    const std::string printed = PrintConfig(config);
    const Config again = Good(printed);
    EXPECT_EQ(PrintConfig(again), printed);
    EXPECT_THAT(Differences(config, again), IsEmpty());
  }
}

TEST(Config, EveryValueOfAFileArrives) {
  const Config config = Good(R"(
[relay]
ports = [20000, 29999]
active_timeout_s = 7
engine = "io_uring"
latch = "strict"
[[relay.interface]]
name = "out"
address = "192.0.2.7"
advertise = "198.51.100.7"
[nathelper]
listen = ["tcp:192.0.2.7:8004"]
allow = ["10.0.0.0/8", "::1"]
frame_timeout_ms = 250
)");
  EXPECT_EQ(config.relay.ports, PortRange(20000, 29999));
  EXPECT_EQ(config.relay.active_timeout_s, 7u);
  EXPECT_EQ(config.relay.engine, relay::EngineKind::kUring);
  ASSERT_EQ(config.interfaces.size(), 1u);
  EXPECT_EQ(config.interfaces[0].advertise, IpAddress::V4(198, 51, 100, 7));
  EXPECT_EQ(config.nathelper.frame_timeout_ms, 250u);
  EXPECT_THAT(config.nathelper.listen, ElementsAre("tcp:192.0.2.7:8004"));
  EXPECT_THAT(config.nathelper.allow, ElementsAre("10.0.0.0/8", "::1"));
}

TEST(Config, TellsWhatIsWrongInTheOrderOfTheLines) {
  EXPECT_EQ(Bad("[process]\nuser = 1\n[relay]\nshrads = 1\nshards = -1\n"
                "[[relay.interface]]\ntos = 256\n[http]\nlisten = 2\n"),
            "t.toml:2: process.user must be a string, not an integer\n"
            "t.toml:4: unknown key \"relay.shrads\"; the nearest is "
            "\"relay.shards\"\n"
            "t.toml:5: relay.shards is -1; must be 0 to 256\n"
            "t.toml:7: relay.interface.tos is 256; must be 0 to 255\n"
            "t.toml:9: http.listen must be a string, not an integer");
}

TEST(Config, AnInterfaceLatchesAsTheRelayUnlessToldOtherwise) {
  const std::string text = R"(
[[relay.interface]]
name = "a"
address = "192.0.2.1"
[[relay.interface]]
name = "b"
address = "192.0.2.2"
latch = "sdp-first"
)";
  const Config config = Good(absl::StrCat("[relay]\nlatch = \"strict\"", text));
  EXPECT_EQ(config.interfaces[0].latch, relay::LatchPolicy::kStrict);
  EXPECT_EQ(config.interfaces[1].latch, relay::LatchPolicy::kSdpFirst);
  EXPECT_EQ(Good("[relay]\nlatch = \"strict\"\n").interfaces[0].latch,
            relay::LatchPolicy::kStrict);
}

struct BadCase {
  const char* name;
  const char* text;
  const char* want;
};
const BadCase kBadCases[] = {
    {"not TOML", "[log]\nlevel = \n", "t.toml:2: "},
    {"key written twice", "[log]\nlevel = \"info\"\nlevel = \"info\"\n",
     "t.toml:3: "},
    {"unknown key", "[relay]\n\nmax_session = 5\n",
     "t.toml:3: unknown key \"relay.max_session\"; the nearest is "
     "\"relay.max_sessions\""},
    {"unknown section", "[rely]\nshards = 1\n",
     "t.toml:1: unknown section \"rely\"; the nearest is \"relay\""},
    {"unknown key of an interface",
     "[[relay.interface]]\nadress = \"127.0.0.1\"\n",
     "t.toml:2: unknown key \"relay.interface.adress\"; the nearest is "
     "\"relay.interface.address\""},
    {"key outside of its section", "level = \"info\"\n",
     "t.toml:1: unknown section \"level\""},
    {"control characters in a key", "\"a\\u001b[2J\" = 1\n",
     "t.toml:1: unknown section \"a\\x1b[2J\""},
    {"section that is no table", "relay = 5\n",
     "t.toml:1: relay must be a table: [relay]"},
    {"wrong type, integer", "[relay]\nshards = \"two\"\n",
     "t.toml:2: relay.shards must be an integer, not a string"},
    {"wrong type, fraction", "[relay]\nshards = 1.5\n",
     "t.toml:2: relay.shards must be an integer, not a fraction"},
    {"wrong type, string", "[log]\nlevel = true\n",
     "t.toml:2: log.level must be a string, not true or false"},
    {"wrong type, list", "[nathelper]\nlisten = \"unix:/a\"\n",
     "t.toml:2: nathelper.listen must be a list of strings, not a string"},
    {"below the range", "[relay]\nactive_timeout_s = 0\n",
     "t.toml:2: relay.active_timeout_s is 0; must be 1 to 86400"},
    {"above the range", "[relay]\nmax_datagram = 65536\n",
     "t.toml:2: relay.max_datagram is 65536; must be 128 to 65535"},
    {"above 32 bits", "[relay]\nmax_sessions = 4294967296\n",
     "t.toml:2: relay.max_sessions is 4294967296; must be 0 to 1000000"},
    {"negative", "[relay]\nmax_sessions = -1\n",
     "t.toml:2: relay.max_sessions is -1; must be"},
    {"not a power of two", "[relay]\nreceive_buffers = 1000\n",
     "t.toml:2: relay.receive_buffers is 1000; must be a power of two"},
    {"rings that do not fit", "[relay]\ncq_entries = 16\n",
     "t.toml:2: relay.cq_entries (16) must not be below relay.sq_entries "
     "(1024)"},
    {"unknown name", "[relay]\nengine = \"uring\"\n",
     "t.toml:2: relay.engine \"uring\": must be one of auto, io_uring, epoll"},
    {"unknown level", "[log]\nlevel = \"loud\"\n",
     "t.toml:2: log.level \"loud\": must be one of trace, debug, info"},
    {"odd first port", "[relay]\nports = [10001, 20001]\n",
     "t.toml:2: relay.ports the first port (10001) must be even"},
    {"even last port", "[relay]\nports = [10000, 20000]\n",
     "t.toml:2: relay.ports the last port (20000) must be odd"},
    {"ports backwards", "[relay]\nports = [20000, 10001]\n",
     "t.toml:2: relay.ports the last port (10001) is before the first"},
    {"one port", "[relay]\nports = [20000]\n",
     "t.toml:2: relay.ports must be two ports"},
    {"ports on lines of their own", "[relay]\nports = [\n  10000,\n  70000]\n",
     "t.toml:4: relay.ports is 70000; must be 1024 to 65535"},
    {"system port", "[relay]\nports = [80, 20001]\n",
     "t.toml:2: relay.ports is 80; must be 1024 to 65535"},
    {"no address", "[[relay.interface]]\naddress = \"localhost\"\n",
     "t.toml:2: relay.interface.address \"localhost\": must be an IPv4 or "
     "IPv6 address"},
    {"wildcard address", "[[relay.interface]]\naddress = \"0.0.0.0\"\n",
     "must be the address of one host"},
    {"IPv6 wildcard address", "[[relay.interface]]\naddress = \"::\"\n",
     "must be the address of one host"},
    {"multicast address", "[[relay.interface]]\nadvertise = \"224.0.0.1\"\n",
     "must be the address of one host"},
    {"families mixed", "[[relay.interface]]\nadvertise = \"2001:db8::1\"\n",
     "t.toml:2: relay.interface.advertise must be of the same family"},
    {"interface twice",
     "[[relay.interface]]\naddress = \"192.0.2.1\"\n"
     "[[relay.interface]]\naddress = \"192.0.2.2\"\n",
     "t.toml:3: relay.interface.name \"default\" is there twice"},
    {"address twice",
     "[[relay.interface]]\nname = \"a\"\naddress = \"192.0.2.1\"\n"
     "[[relay.interface]]\nname = \"b\"\naddress = \"::ffff:192.0.2.1\"\n",
     "t.toml:6: relay.interface.address 192.0.2.1 is that of interface \"a\" "
     "too"},
    {"interface as a table", "[relay.interface]\nname = \"a\"\n",
     "t.toml:1: relay.interface: write one [[relay.interface]] for each"},
    {"no interface at all", "[relay]\ninterface = []\n",
     "t.toml:2: relay.interface: write one"},
    {"interface that is no table", "[relay]\ninterface = [1]\n",
     "t.toml:2: relay.interface must be a table"},
    {"interface name", "[[relay.interface]]\nname = \"a b\"\n",
     "t.toml:2: relay.interface.name \"a b\": must be 1 to 32 letters"},
    {"empty interface name", "[[relay.interface]]\nname = \"\"\n",
     "must be 1 to 32 letters"},
    {"the stack's XDP", "[[relay.interface]]\nxdp = \"generic\"\n",
     "generic XDP leaves checksums"},
    {"driver nobody has", "[[relay.interface]]\nxdp = \"fast\"\n",
     "must be off, auto, native or tc"},
    {"listener of no kind", "[nathelper]\nlisten = [\"/run/a.sock\"]\n",
     "t.toml:2: nathelper.listen \"/run/a.sock\": must be unix:PATH or"},
    {"relative path", "[nathelper]\nlisten = [\"unix:a.sock\"]\n",
     "must be an absolute path"},
    {"TCP without port", "[nathelper]\nlisten = [\"tcp:127.0.0.1\"]\n",
     "must be ADDRESS:PORT"},
    {"TCP by name", "[nathelper]\nlisten = [\"tcp:localhost:8004\"]\n",
     "must be ADDRESS:PORT"},
    {"HTTP without address", "[http]\nlisten = \":9080\"\n",
     "t.toml:2: http.listen \":9080\": must be ADDRESS:PORT"},
    {"HTTP on port 0", "[http]\nlisten = \"127.0.0.1:0\"\n",
     "must be ADDRESS:PORT"},
    {"network",
     "[relay]\ndeny_targets = [\n\"10.0.0.0/8\",\n\"10.0.0.0/33\"]\n",
     "t.toml:4: relay.deny_targets \"10.0.0.0/33\": "},
    {"list of numbers", "[relay]\nallow_targets = [1]\n",
     "t.toml:2: relay.allow_targets must be a string, not an integer"},
    {"control character", "[process]\nuser = \"a\\u0000b\"\n",
     "t.toml:2: process.user must not contain control characters"},
    {"account", "[process]\nuser = \"-x\"\n", "is not the name of an account"},
    {"account that is not there", "[process]\n\nuser = \"no-such-user\"\n",
     "t.toml:3: process.user \"no-such-user\": there is no such account"},
    {"root's account", "[process]\nuser = \"root\"\n",
     "t.toml:2: process.user \"root\": is root itself"},
    {"TCP beyond this machine",
     "[nathelper]\nlisten = [\"tcp:127.0.0.1:8004\",\n"
     "\"tcp:192.0.2.1:8004\"]\n",
     "t.toml:3: nathelper.listen \"tcp:192.0.2.1:8004\" is open to other "
     "machines: name those that may connect in nathelper.allow"},
    {"TCP on every IPv4 address",
     "[nathelper]\nlisten = [\"tcp:0.0.0.0:8004\"]\nallow = []\n",
     "t.toml:2: nathelper.listen \"tcp:0.0.0.0:8004\" is open"},
    {"TCP on every address", "[nathelper]\nlisten = [\"tcp:[::]:8004\"]\n",
     "t.toml:2: nathelper.listen \"tcp:[::]:8004\" is open"},
    {"who may connect", "[nathelper]\nallow = [\"10.0.0.1/8\"]\n",
     "t.toml:2: nathelper.allow \"10.0.0.1/8\": "},
};

TEST(Config, RefusesWithFileLineAndReason) {
  for (const BadCase& c : kBadCases) {
    SCOPED_TRACE(c.name);
    EXPECT_THAT(Bad(c.text), HasSubstr(c.want));
    EXPECT_THAT(Bad(c.text), StartsWith("t.toml:"));
  }
}

TEST(Config, RefusesAPathThatNoSocketCanHave) {
  const std::string longest = absl::StrCat("/", std::string(106, 'a'));
  EXPECT_EQ(Good(absl::StrCat("[control]\nsocket = \"", longest, "\"\n"))
                .control.socket,
            longest);
  EXPECT_THAT(Bad(absl::StrCat("[control]\nsocket = \"", longest, "a\"\n")),
              HasSubstr("t.toml:2: control.socket"));
}

TEST(Config, TellsEverythingThatIsWrongUpToALimit) {
  EXPECT_THAT(Bad("[log]\nlevel = 1\nform = 2\n[relay]\nshards = -1\n"),
              AllOf(HasSubstr("t.toml:2: "), HasSubstr("\nt.toml:3: "),
                    HasSubstr("\nt.toml:5: ")));
  std::string many = "[relay]\n";
  for (int i = 0; i < 100; ++i) absl::StrAppend(&many, "key", i, " = 1\n");
  const std::string message = Bad(many);
  EXPECT_EQ(std::count(message.begin(), message.end(), '\n'),
            kConfigErrorsMax - 1);
}

TEST(Config, RefusesListsThatAreTooLong) {
  const auto with = [](int count) {
    std::string text = "[relay]\ndeny_targets = [";
    for (int i = 0; i < count; ++i) absl::StrAppend(&text, "\"192.0.2.1\",");
    return absl::StrCat(text, "]\n");
  };
  EXPECT_EQ(Good(with(1024)).relay.deny_targets.size(), 1024u);
  EXPECT_THAT(Bad(with(1025)), HasSubstr("at most 1024"));
}

TEST(Config, RefusesTooManyInterfaces) {
  const auto with = [](size_t count) {
    std::string text;
    for (size_t i = 1; i <= count; ++i) {
      absl::StrAppend(&text, "[[relay.interface]]\nname = \"n", i,
                      "\"\naddress = \"192.0.2.", i, "\"\n");
    }
    return text;
  };
  EXPECT_EQ(Good(with(kInterfacesMax)).interfaces.size(), kInterfacesMax);
  EXPECT_THAT(Bad(with(kInterfacesMax + 1)), HasSubstr("at most 64"));
}

TEST(Config, RefusesAFileThatIsTooLong) {
  std::string text(kConfigBytesMax, '#');
  Good(text);
  EXPECT_THAT(Bad(text + "#"), HasSubstr("t.toml:1: is longer than"));
}

// Goal: a nest of tables as deep as a file can hold does not run off the stack.
TEST(Config, LivesThroughTheDeepestNest) {
  std::string text;
  while (text.size() + 10 < kConfigBytesMax) text += "a.";
  EXPECT_THAT(Bad(text + "a = 1\n"), HasSubstr("unknown section \"a\""));
}

TEST(Config, SaysWhyAFileCannotBeRead) {
  const auto missing = LoadConfig("/nonexistent/sluice.toml");
  EXPECT_EQ(missing.status().code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(missing.status().message()),
              HasSubstr("/nonexistent/sluice.toml"));
  EXPECT_FALSE(LoadConfig("/").ok());
}

TEST(Config, LoadsAFile) {
  const std::string path =
      absl::StrCat(::testing::TempDir(), "/config_test.", getpid(), ".toml");
  std::ofstream(path) << "[relay]\nshards = 2\n";
  const auto config = LoadConfig(path);
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->relay.shards, 2u);
  std::ofstream(path) << "[relay]\nshards = x\n";
  EXPECT_THAT(std::string(LoadConfig(path).status().message()),
              StartsWith(path + ":2: "));
  unlink(path.c_str());
}

// ---- reload ---------------------------------------------------------------

TEST(Reload, TellsWhatChangedAndWhetherItCanBeApplied) {
  const Config before = Good("");
  const Config after =
      Good("[log]\nlevel = \"debug\"\n[relay]\nshards = 2\nmax_sessions = 9\n");
  const auto changes = Differences(before, after);
  ASSERT_EQ(changes.size(), 3u);
  EXPECT_EQ(changes[0].key, "log.level");
  EXPECT_EQ(changes[0].before, "\"info\"");
  EXPECT_EQ(changes[0].after, "\"debug\"");
  EXPECT_TRUE(changes[0].live);
  EXPECT_EQ(changes[1].key, "relay.shards");
  EXPECT_FALSE(changes[1].live);
  EXPECT_EQ(changes[2].key, "relay.max_sessions");
  EXPECT_TRUE(changes[2].live);
}

TEST(Reload, AppliesWhatMayChangeAndNothingElse) {
  Config running = Good("");
  const Config wanted = Good(
      "[log]\nlevel = \"debug\"\nformat = \"json\"\n"
      "[relay]\nshards = 2\nmax_sessions = 9\nlatch = \"strict\"\n"
      "deny_targets = [\"192.0.2.0/24\"]\nports = [2000, 2001]\n");
  ApplyLive(wanted, &running);
  EXPECT_EQ(running.log.level, "debug");
  EXPECT_EQ(running.relay.max_sessions, 9u);
  EXPECT_EQ(running.relay.latch, relay::LatchPolicy::kStrict);
  EXPECT_EQ(running.interfaces[0].latch, relay::LatchPolicy::kStrict);
  EXPECT_THAT(running.relay.deny_targets, ElementsAre("192.0.2.0/24"));
  EXPECT_EQ(running.log.format, LogFormat::kText);
  EXPECT_EQ(running.relay.shards, 0u);
  EXPECT_EQ(running.relay.ports, PortRange(10000, 59999));
  for (const Difference& left : Differences(running, wanted)) {
    EXPECT_FALSE(left.live) << left.key;
  }
}

TEST(Reload, KnowsInterfacesByNameNotByPlace) {
  const std::string a = "[[relay.interface]]\nname = \"a\"\n";
  const std::string b =
      "[[relay.interface]]\nname = \"b\"\naddress = \"192.0.2.2\"\n";
  EXPECT_THAT(Differences(Good(a + b), Good(b + a)), IsEmpty());

  const auto added = Differences(Good(a), Good(a + b));
  ASSERT_THAT(added, Not(IsEmpty()));
  for (const Difference& change : added) {
    EXPECT_THAT(change.key, StartsWith("relay.interface.b."));
    EXPECT_FALSE(change.live);
  }
  EXPECT_EQ(Differences(Good(a + b), Good(a)).size(), added.size());

  Config running = Good(a + b);
  ApplyLive(Good(b + "latch = \"strict\"\n" + a), &running);
  EXPECT_EQ(running.interfaces[0].latch, relay::LatchPolicy::kSdpFirst);
  EXPECT_EQ(running.interfaces[1].latch, relay::LatchPolicy::kStrict);
}

// ---- what is written about the keys ---------------------------------------

TEST(Options, EveryKeyIsPrintedOnceWithItsHelpAbove) {
  const std::string printed = PrintConfig(DefaultConfig());
  for (const OptionInfo& option : ListOptions()) {
    const std::string key = option.key.substr(option.key.rfind('.') + 1);
    // Of a leg and a chain, there is but an example.
    const bool example = option.key.starts_with("sip.leg.") ||
                         option.key.starts_with("sip.chain.");
    EXPECT_THAT(printed,
                HasSubstr(absl::StrCat(example ? "\n#" : "\n", key, " = ")));
    // Wrapping is undone, so that a help text is found whole.
    EXPECT_THAT(absl::StrReplaceAll(printed, {{"\n# ", " "}}),
                HasSubstr(option.help));
  }
  for (const absl::string_view line : absl::StrSplit(printed, '\n')) {
    EXPECT_LE(line.size(), 79u) << line;
  }
}

}  // namespace
}  // namespace sluice::control
