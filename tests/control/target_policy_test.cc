#include "control/target_policy.h"

#include <gtest/gtest.h>

#include <string>
#include <tuple>
#include <vector>

namespace sluice::control {
namespace {

IpAddress Ip(const char* text) {
  const std::optional<IpAddress> ip = IpAddress::Parse(text);
  EXPECT_TRUE(ip) << text;
  return ip.value_or(IpAddress());
}
std::vector<Prefix> Prefixes(const std::vector<std::string>& texts) {
  absl::StatusOr<std::vector<Prefix>> prefixes = ParsePrefixes(texts);
  EXPECT_TRUE(prefixes.ok()) << prefixes.status();
  return *std::move(prefixes);
}
bool NoMediaPort(const Endpoint&) { return false; }

TEST(Prefix, ContainsItsBlockAndNothingElse) {
  const struct {
    const char* prefix;
    const char* inside;
    const char* outside;
  } rows[] = {
      {"192.0.2.0/24", "192.0.2.255", "192.0.3.0"},
      {"192.0.2.128/25", "192.0.2.128", "192.0.2.127"},
      {"192.0.2.1", "192.0.2.1", "192.0.2.0"},
      {"192.0.2.1/32", "192.0.2.1", "192.0.2.3"},
      {"128.0.0.0/1", "255.0.0.1", "127.255.255.255"},
      {"0.0.0.0/0", "203.0.113.9", "2001:db8::1"},
      {"::/0", "2001:db8::1", "203.0.113.9"},
      {"2001:db8::/33", "2001:db8:7fff::1", "2001:db8:8000::1"},
      {"2001:db8::1", "2001:db8::1", "2001:db8::2"},
      {"::ffff:10.0.0.0/104", "10.255.0.1", "11.0.0.1"},
      {"fc00::/7", "fdff::1", "fe00::1"},
  };
  for (const auto& row : rows) {
    SCOPED_TRACE(row.prefix);
    const auto prefix = Prefix::Parse(row.prefix);
    ASSERT_TRUE(prefix.ok()) << prefix.status();
    EXPECT_TRUE(prefix->Contains(Ip(row.inside)));
    EXPECT_FALSE(prefix->Contains(Ip(row.outside)));
  }
}

TEST(Prefix, RefusesWhatIsNotMeantInWords) {
  const struct {
    const char* text;
    const char* words;
  } rows[] = {
      {"", "is not an address"},
      {"example.com", "is not an address"},
      {"10.0.0.0/", "0 to 32"},
      {"10.0.0.0/33", "0 to 32"},
      {"10.0.0.0/-1", "0 to 32"},
      {"10.0.0.0/+8", "0 to 32"},
      {"10.0.0.0/ 8", "0 to 32"},
      {"10.0.0.0/8x", "0 to 32"},
      {"10.0.0.0/8/8", "0 to 32"},
      {"10.0.0.0/99999999999", "0 to 32"},
      {"2001:db8::/129", "0 to 128"},
      {"10.0.0.1/8", "bits set beyond"},
      {"2001:db8::1/64", "bits set beyond"},
  };
  for (const auto& row : rows) {
    SCOPED_TRACE(row.text);
    const auto prefix = Prefix::Parse(row.text);
    ASSERT_FALSE(prefix.ok());
    EXPECT_TRUE(absl::IsInvalidArgument(prefix.status()));
    const std::string message(prefix.status().message());
    EXPECT_NE(message.find(row.words), std::string::npos) << message;
    EXPECT_NE(message.find(row.text), std::string::npos) << message;
    EXPECT_FALSE(
        ParsePrefixes(std::vector<std::string>{"::/0", row.text}).ok());
  }
}

// An interface to the world, listeners on loopback, on all addresses, and on
// the interface itself.
TargetPolicy::Options World() {
  return {.deny = Prefixes({"192.0.2.0/24", "2001:db8:bad::/48"}),
          .listeners = {*Endpoint::Parse("203.0.113.1:8004"),
                        *Endpoint::Parse("0.0.0.0:9080"),
                        *Endpoint::Parse("[2001:db8::1]:5061")},
          .own = {Ip("203.0.113.1"), Ip("203.0.113.200"), Ip("2001:db8::1")}};
}

struct Row {
  const char* ip;
  uint16_t port = 4000;
  const char* refused = nullptr;  // words; none: allowed
  int range = 2;
};
void Check(const TargetPolicy& policy, const Row& row) {
  SCOPED_TRACE(std::string(row.ip) + " " + std::to_string(row.port));
  const absl::Status status =
      policy.Check(Ip(row.ip), row.port, row.range, NoMediaPort);
  if (row.refused == nullptr) {
    EXPECT_TRUE(status.ok()) << status;
    return;
  }
  EXPECT_TRUE(absl::IsPermissionDenied(status)) << status;
  EXPECT_NE(std::string(status.message()).find(row.refused), std::string::npos)
      << status;
}

TEST(TargetPolicy, DecidesByAddressAndPort) {
  const TargetPolicy policy(World());
  const Row rows[] = {
      {.ip = "198.51.100.7"},
      {.ip = "10.0.0.1"},  // private networks have phones
      {.ip = "fd00::1"},
      {.ip = "198.51.100.7", .port = 1024},
      {.ip = "198.51.100.7", .port = 65534},
      {.ip = "198.51.100.7", .port = 1023, .refused = "below 1024"},
      {.ip = "198.51.100.7", .port = 1, .refused = "below 1024"},
      {.ip = "127.0.0.1", .refused = "loopback"},
      {.ip = "127.8.8.8", .refused = "loopback"},
      {.ip = "::1", .refused = "loopback"},
      {.ip = "::ffff:127.0.0.1", .refused = "loopback"},
      {.ip = "169.254.169.254", .refused = "link-local"},
      {.ip = "fe80::1", .refused = "link-local"},
      {.ip = "::ffff:169.254.169.254", .refused = "link-local"},
      {.ip = "224.0.0.1", .refused = "multicast"},
      {.ip = "239.1.2.3", .refused = "multicast"},
      {.ip = "ff02::1", .refused = "multicast"},
      {.ip = "0.1.2.3", .refused = "reserved"},
      {.ip = "240.0.0.1", .refused = "reserved"},
      {.ip = "255.255.255.255", .refused = "broadcast"},
      {.ip = "192.0.2.9", .refused = "relay.deny_targets"},
      {.ip = "2001:db8:bad::9", .refused = "relay.deny_targets"},
      {.ip = "203.0.113.1", .port = 8004, .refused = "control port"},
      {.ip = "::ffff:203.0.113.1", .port = 8004, .refused = "control port"},
      {.ip = "203.0.113.1", .port = 8003, .refused = "control port"},
      {.ip = "203.0.113.1", .port = 8003, .range = 1},
      {.ip = "203.0.113.1",
       .port = 7990,
       .refused = "control port",
       .range = 15},
      {.ip = "203.0.113.1", .port = 8005},
      {.ip = "203.0.113.2", .port = 8004},
      // A listener on all addresses is on each of ours, and on no other's.
      {.ip = "203.0.113.1", .port = 9080, .refused = "control port"},
      {.ip = "203.0.113.200", .port = 9080, .refused = "control port"},
      {.ip = "2001:db8::1", .port = 9080, .refused = "control port"},
      {.ip = "127.0.0.1", .port = 9080, .refused = "control port"},
      {.ip = "198.51.100.7", .port = 9080},
      {.ip = "2001:db8::1", .port = 5061, .refused = "control port"},
  };
  for (const Row& row : rows) Check(policy, row);
}

// A translator or a tunnel on the way would send it to the IPv4 address inside.
TEST(TargetPolicy, JudgesTheIPv4AddressInsideAnIPv6One) {
  const TargetPolicy policy(World());
  const Row rows[] = {
      // IPv4-compatible.
      {.ip = "::127.0.0.1", .refused = "loopback"},
      {.ip = "::169.254.169.254", .refused = "link-local"},
      {.ip = "::2", .refused = "reserved"},
      {.ip = "::198.51.100.7"},
      // NAT64.
      {.ip = "64:ff9b::127.0.0.1", .refused = "loopback"},
      {.ip = "64:ff9b::7f00:1", .refused = "loopback"},
      {.ip = "64:ff9b::169.254.169.254", .refused = "link-local"},
      {.ip = "64:ff9b::224.0.0.1", .refused = "multicast"},
      {.ip = "64:ff9b::255.255.255.255", .refused = "broadcast"},
      {.ip = "64:ff9b::", .refused = "reserved"},
      {.ip = "64:ff9b::192.0.2.9", .refused = "relay.deny_targets"},
      {.ip = "64:ff9b::203.0.113.1", .port = 8004, .refused = "control port"},
      {.ip = "64:ff9b::203.0.113.1", .port = 8003, .refused = "control port"},
      {.ip = "64:ff9b::203.0.113.200", .port = 9080, .refused = "control port"},
      {.ip = "64:ff9b::203.0.113.1", .refused = "address of this relay"},
      {.ip = "64:ff9b::198.51.100.7"},
      {.ip = "64:ff9b::198.51.100.7", .port = 1023, .refused = "below 1024"},
      // NAT64 by a prefix of somebody's own, of 96, 64, 56 and 48 bits.
      {.ip = "64:ff9b:1::127.0.0.1", .refused = "loopback"},
      {.ip = "64:ff9b:1:aa:bb:cc:127.0.0.1", .refused = "loopback"},
      {.ip = "64:ff9b:1:2:7f:0:100:0", .refused = "loopback"},
      {.ip = "64:ff9b:1:207f:0:100::", .refused = "loopback"},
      {.ip = "64:ff9b:1:7f00:0:100::", .refused = "loopback"},
      {.ip = "64:ff9b:1:7f00:0:100:0:1", .refused = "loopback"},
      {.ip = "64:ff9b:1::", .refused = "reserved"},
      {.ip = "64:ff9b:1::198.51.100.7"},
      {.ip = "64:ff9b:1:c633:64:700::"},
      {.ip = "64:ff9b:1::192.0.2.9", .refused = "relay.deny_targets"},
      {.ip = "64:ff9b:1:c000:2:900::", .refused = "relay.deny_targets"},
      // 6to4.
      {.ip = "2002:7f00:1::1", .refused = "loopback"},
      {.ip = "2002:a9fe:a9fe::", .refused = "link-local"},
      {.ip = "2002:c000:209:1::5", .refused = "relay.deny_targets"},
      {.ip = "2002:cb00:7101::1", .port = 8004, .refused = "control port"},
      {.ip = "2002:c633:6407::1"},
      // Near misses carry nothing.
      {.ip = "64:ff9b:2::127.0.0.1"},
      {.ip = "64:ff9b::1:127.0.0.1"},
      {.ip = "2003:7f00:1::1"},
      {.ip = "2001:db8::127.0.0.1"},
  };
  for (const Row& row : rows) Check(policy, row);
}

TEST(TargetPolicy, AnIPv4AddressInsideIsAskedForAmongOurMediaPorts) {
  TargetPolicy::Options options = World();
  options.own.clear();
  const TargetPolicy policy(std::move(options));
  const auto status = policy.Check(
      Ip("64:ff9b::203.0.113.1"), 20000, 2, [](const Endpoint& endpoint) {
        return endpoint == *Endpoint::Parse("203.0.113.1:20001");
      });
  EXPECT_TRUE(absl::IsPermissionDenied(status));
  const std::string words(status.message());
  EXPECT_NE(words.find("media port"), std::string::npos) << words;
  EXPECT_NE(words.find("64:ff9b::cb00:7101"), std::string::npos) << words;
}

TEST(TargetPolicy, AnAddressInsideIsNotAllowedByItsOutside) {
  TargetPolicy::Options options = World();
  options.allow = Prefixes({"64:ff9b::/96", "198.51.100.0/24"});
  const TargetPolicy policy(std::move(options));
  Check(policy, {.ip = "64:ff9b::198.51.100.7"});
  Check(policy,
        {.ip = "64:ff9b::198.51.101.7", .refused = "relay.allow_targets"});
  Check(policy, {.ip = "2002:c633:6407::1", .refused = "relay.allow_targets"});
}

TEST(TargetPolicy, AnInterfaceReachesItsOwnFamilyOnly) {
  const auto from = [](const char* interface, const char* ip) {
    return TargetPolicy::CheckFrom(Ip(interface), Ip(ip));
  };
  EXPECT_TRUE(from("203.0.113.1", "198.51.100.7").ok());
  EXPECT_TRUE(from("203.0.113.1", "::ffff:198.51.100.7").ok());
  EXPECT_TRUE(from("2001:db8::1", "2001:db8::2").ok());
  EXPECT_TRUE(from("2001:db8::1", "64:ff9b::198.51.100.7").ok());
  EXPECT_TRUE(from("::1", "::1").ok());
  for (const auto& status :
       {from("203.0.113.1", "2001:db8::2"), from("127.0.0.1", "::1"),
        from("2001:db8::1", "198.51.100.7"), from("::1", "127.0.0.1"),
        from("2001:db8::1", "64:ff9b::127.0.0.1")}) {
    EXPECT_TRUE(absl::IsPermissionDenied(status)) << status;
  }
}

TEST(TargetPolicy, AllowsLoopbackWhereMediaIsOnLoopback) {
  TargetPolicy::Options options = World();
  options.own.push_back(Ip("127.0.0.1"));
  const TargetPolicy policy(std::move(options));
  Check(policy, {.ip = "127.0.0.1"});
  Check(policy, {.ip = "127.0.0.1", .port = 9080, .refused = "control port"});
  Check(policy, {.ip = "::1"});  // is no 0.0.0.1
  EXPECT_TRUE(TargetPolicy::CheckFrom(Ip("127.0.0.1"), Ip("127.9.9.9")).ok());
  EXPECT_TRUE(TargetPolicy::CheckFrom(Ip("203.0.113.1"), Ip("10.0.0.1")).ok());
  EXPECT_TRUE(absl::IsPermissionDenied(
      TargetPolicy::CheckFrom(Ip("203.0.113.1"), Ip("127.0.0.1"))));
  EXPECT_TRUE(absl::IsPermissionDenied(
      TargetPolicy::CheckFrom(Ip("2001:db8::1"), Ip("::1"))));
}

TEST(TargetPolicy, AnAllowListIsAllThatIsAllowed) {
  TargetPolicy::Options options = World();
  options.allow = Prefixes({"198.51.100.0/24", "192.0.2.0/28", "127.0.0.0/8"});
  const TargetPolicy policy(std::move(options));
  Check(policy, {.ip = "198.51.100.7"});
  Check(policy, {.ip = "198.51.101.7", .refused = "relay.allow_targets"});
  Check(policy, {.ip = "2001:db8:1::1", .refused = "relay.allow_targets"});
  // It opens nothing that is denied otherwise.
  Check(policy, {.ip = "192.0.2.1", .refused = "relay.deny_targets"});
  Check(policy, {.ip = "127.0.0.1", .refused = "loopback"});
}

TEST(TargetPolicy, AsksForEveryPortOfTheRange) {
  const TargetPolicy policy(World());
  std::vector<uint16_t> asked;
  EXPECT_TRUE(policy
                  .Check(Ip("203.0.113.1"), 20000, 4,
                         [&](const Endpoint& endpoint) {
                           asked.push_back(endpoint.port.host());
                           return false;
                         })
                  .ok());
  EXPECT_EQ(asked, (std::vector<uint16_t>{20000, 20001, 20002, 20003}));
  EXPECT_TRUE(absl::IsPermissionDenied(
      policy.Check(Ip("203.0.113.1"), 20000, 4, [](const Endpoint& endpoint) {
        return endpoint.port == Port::FromHost(20003);
      })));
}

// Strangers write it: into an answer's Via, a source, a description.
TEST(TargetPolicy, RefusesWhatIsNoAddressOfAHost) {
  const TargetPolicy policy({});
  EXPECT_TRUE(policy.Check(Ip("192.0.2.1"), 65'535, 1, NoMediaPort).ok());
  for (const auto& [ip, port, range] :
       std::vector<std::tuple<const char*, uint16_t, int>>{
           {"0.0.0.0", 5060, 1},
           {"::", 5060, 1},
           {"192.0.2.1", 0, 1},
           {"192.0.2.1", 65'535, 2}}) {
    EXPECT_TRUE(absl::IsPermissionDenied(
        policy.Check(Ip(ip), port, range, NoMediaPort)))
        << ip << " " << port;
  }
}

}  // namespace
}  // namespace sluice::control
