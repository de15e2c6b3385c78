#include "base/address.h"

#include <netinet/in.h>

#include <cstring>
#include <string>

#include "absl/hash/hash_testing.h"
#include "gtest/gtest.h"

namespace sluice {
namespace {

IpAddress Ip(std::string_view text) {
  const auto ip = IpAddress::Parse(text);
  EXPECT_TRUE(ip.has_value()) << text;
  return ip.value_or(IpAddress());
}

TEST(IpAddressTest, ParsesAndPrintsTheCanonicalSpelling) {
  const struct {
    const char* text;
    const char* want;
  } kCases[] = {
      {"192.0.2.1", "192.0.2.1"},
      {"0.0.0.0", "0.0.0.0"},
      {"255.255.255.255", "255.255.255.255"},
      {"::", "::"},
      {"::1", "::1"},
      {"2001:DB8::1", "2001:db8::1"},
      {"2001:db8:0:0:0:0:0:1", "2001:db8::1"},
      {"::ffff:192.0.2.1", "192.0.2.1"},
      {"::ffff:c000:201", "192.0.2.1"},
      {"0:0:0:0:0:FFFF:192.0.2.1", "192.0.2.1"},
  };
  for (const auto& c : kCases) EXPECT_EQ(Ip(c.text).ToString(), c.want);
}

TEST(IpAddressTest, RefusesWhatIsNotALiteral) {
  const std::string_view kCases[] = {
      "",
      " 192.0.2.1",
      "192.0.2.1 ",
      "192.0.2",
      "192.0.2.1.1",
      "192.0.2.256",
      "192.0.02.1",  // octal, to some readers
      "0x7f.0.0.1",  // hexadecimal, to some readers
      "2130706433",  // 127.0.0.1, to some readers
      "127.1",       // 127.0.0.1, to some readers
      "::ffff:010.1.1.1",
      "localhost",
      "[::1]",
      "fe80::1%eth0",
      "fe80::1%1",
      "1:2:3:4:5:6:7:8:9",
      "1::2::3",
      "12345::",
      ":::",
      "192.0.2.1:80",
      std::string_view("192.0.2.1\0", 10),
      std::string_view("::1\0x", 5),
      "0000:0000:0000:0000:0000:0000:0000:0000:0000:0000",
  };
  for (const auto text : kCases) {
    EXPECT_FALSE(IpAddress::Parse(text).has_value()) << text;
  }
}

TEST(IpAddressTest, TheMappedFormIsTheIPv4Address) {
  EXPECT_EQ(Ip("::ffff:127.0.0.1"), Ip("127.0.0.1"));
  EXPECT_TRUE(Ip("::ffff:7f00:1").is_loopback());
  EXPECT_TRUE(Ip("::ffff:0.0.0.0").is_any());
  EXPECT_TRUE(Ip("::ffff:10.0.0.1").is_private());
  // The old compatible form is another address, and not IPv4.
  EXPECT_FALSE(Ip("::127.0.0.1").is_v4());
  EXPECT_NE(Ip("::127.0.0.1"), Ip("127.0.0.1"));
}

struct Kind {
  const char* text;
  const char* is;  // letters, below
};
// a any, l loopback, m multicast, k link-local, p private, r reserved. Each
// block by its first and last address and its neighbours.
const Kind kKinds[] = {
    {"::", "a"},           {"::1", "l"},
    {"::2", ""},           {"1::1", ""},
    {"0.0.0.0", "ar"},     {"0.255.255.255", "r"},
    {"1.0.0.0", ""},       {"9.255.255.255", ""},
    {"10.0.0.0", "p"},     {"10.255.255.255", "p"},
    {"11.0.0.0", ""},      {"100.63.255.255", ""},
    {"100.64.0.0", "p"},   {"100.127.255.255", "p"},
    {"100.128.0.0", ""},   {"126.255.255.255", ""},
    {"127.0.0.0", "l"},    {"127.255.255.255", "l"},
    {"128.0.0.0", ""},     {"169.253.255.255", ""},
    {"169.254.0.0", "kp"}, {"169.254.255.255", "kp"},
    {"169.255.0.0", ""},   {"172.15.255.255", ""},
    {"172.16.0.0", "p"},   {"172.31.255.255", "p"},
    {"172.32.0.0", ""},    {"192.167.255.255", ""},
    {"192.168.0.0", "p"},  {"192.168.255.255", "p"},
    {"192.169.0.0", ""},   {"223.255.255.255", ""},
    {"224.0.0.0", "m"},    {"239.255.255.255", "m"},
    {"240.0.0.0", "r"},    {"255.255.255.255", "r"},
    {"fbff::", ""},        {"fc00::", "p"},
    {"fdff:ffff::", "p"},  {"fe00::", ""},
    {"fe7f::", ""},        {"fe80::", "kp"},
    {"febf:ffff::", "kp"}, {"fec0::", ""},
    {"feff::", ""},        {"ff00::", "m"},
    {"ffff::", "m"},
};

TEST(IpAddressTest, KnowsItsKinds) {
  for (const Kind& kind : kKinds) {
    const IpAddress ip = Ip(kind.text);
    const std::string is = kind.is;
    const auto has = [&](char c) { return is.find(c) != std::string::npos; };
    EXPECT_EQ(ip.is_any(), has('a')) << kind.text;
    EXPECT_EQ(ip.is_loopback(), has('l')) << kind.text;
    EXPECT_EQ(ip.is_multicast(), has('m')) << kind.text;
    EXPECT_EQ(ip.is_link_local(), has('k')) << kind.text;
    EXPECT_EQ(ip.is_private(), has('p')) << kind.text;
    EXPECT_EQ(ip.is_reserved(), has('r')) << kind.text;
  }
}

TEST(IpAddressTest, SharesAScopeOnlyWithinOneBlock) {
  const char* const kBlocks[][2] = {
      {"10.0.0.1", "10.9.9.9"},       {"172.16.0.1", "172.31.0.1"},
      {"192.168.0.1", "192.168.9.9"}, {"100.64.0.1", "100.100.0.1"},
      {"169.254.1.1", "169.254.9.9"}, {"fe80::1", "fe80::2"},
      {"fc00::1", "fd00::1"},         {"127.0.0.1", "127.9.9.9"},
  };
  for (const auto& a : kBlocks) {
    for (const auto& b : kBlocks) {
      EXPECT_EQ(Ip(a[0]).SharesScopeWith(Ip(b[1])), &a == &b)
          << a[0] << " " << b[1];
    }
  }
  EXPECT_TRUE(Ip("::1").SharesScopeWith(Ip("127.0.0.1")));
  // Two public addresses share no scope, not even an address with itself.
  EXPECT_FALSE(Ip("192.0.2.1").SharesScopeWith(Ip("192.0.2.1")));
}

TEST(EndpointTest, ParsesBothForms) {
  const struct {
    const char* text;
    const char* want;
  } kCases[] = {
      {"192.0.2.1:5060", "192.0.2.1:5060"},
      {"192.0.2.1:0", "192.0.2.1:0"},
      {"192.0.2.1:65535", "192.0.2.1:65535"},
      {"[2001:db8::1]:5060", "[2001:db8::1]:5060"},
      {"[::ffff:192.0.2.1]:80", "192.0.2.1:80"},
  };
  for (const auto& c : kCases) {
    const auto endpoint = Endpoint::Parse(c.text);
    ASSERT_TRUE(endpoint.has_value()) << c.text;
    EXPECT_EQ(endpoint->ToString(), c.want);
  }
}

TEST(EndpointTest, RefusesEverythingElse) {
  const std::string_view kCases[] = {
      "",
      ":",
      "192.0.2.1",
      "192.0.2.1:",
      ":5060",
      "192.0.2.1:65536",
      "192.0.2.1:99999999999999999999",
      "192.0.2.1:-1",
      "192.0.2.1:+1",
      "192.0.2.1: 1",
      "192.0.2.1:080",
      "192.0.2.1:0x50",
      "::1:5060",
      "2001:db8::1",
      "[192.0.2.1]:80",
      "[::1]",
      "[::1]5060",
      "[::1:5060",
      "::1]:5060",
      "[]:1",
      "[[::1]]:1",
      "localhost:80",
      "[fe80::1%1]:80",
  };
  for (const auto text : kCases) {
    EXPECT_FALSE(Endpoint::Parse(text).has_value()) << text;
  }
}

TEST(EndpointTest, SurvivesTheKernelsForm) {
  for (const char* text : {"192.0.2.1:5060", "[2001:db8::1]:5061"}) {
    const Endpoint endpoint = *Endpoint::Parse(text);
    sockaddr_storage storage;
    std::memset(&storage, 0xee, sizeof(storage));
    const socklen_t length = endpoint.ToSockaddr(endpoint.family(), &storage);
    ASSERT_GT(length, 0u);
    EXPECT_EQ(storage.ss_family, endpoint.family());
    const auto* sa = reinterpret_cast<const sockaddr*>(&storage);
    EXPECT_EQ(Endpoint::FromSockaddr(sa, length), endpoint);
    // Cut short, as a kernel never does and a mistake of ours might.
    EXPECT_EQ(Endpoint::FromSockaddr(sa, length - 1), std::nullopt);
  }
}

TEST(EndpointTest, AMappedSourceFromAnIPv6SocketIsTheIPv4Endpoint) {
  const Endpoint endpoint = *Endpoint::Parse("192.0.2.1:5060");
  sockaddr_storage storage;
  const socklen_t length = endpoint.ToSockaddr(AF_INET6, &storage);
  ASSERT_EQ(length, sizeof(sockaddr_in6));
  const auto back = Endpoint::FromSockaddr(
      reinterpret_cast<const sockaddr*>(&storage), length);
  EXPECT_EQ(back, endpoint);
  EXPECT_EQ(back->family(), AF_INET);
}

TEST(EndpointTest, SaysWhenASocketCannotReachIt) {
  sockaddr_storage storage;
  EXPECT_EQ(Endpoint::Parse("[2001:db8::1]:1")->ToSockaddr(AF_INET, &storage),
            0u);
  EXPECT_EQ(Endpoint::Parse("[::]:1")->ToSockaddr(AF_INET, &storage), 0u);
  EXPECT_EQ(Endpoint::Parse("192.0.2.1:1")->ToSockaddr(AF_UNIX, &storage), 0u);
}

TEST(EndpointTest, RefusesAddressesOfOtherFamilies) {
  sockaddr_storage storage{};
  const auto* sa = reinterpret_cast<const sockaddr*>(&storage);
  storage.ss_family = AF_UNIX;
  EXPECT_EQ(Endpoint::FromSockaddr(sa, sizeof(storage)), std::nullopt);
  EXPECT_EQ(Endpoint::FromSockaddr(sa, 0), std::nullopt);
  EXPECT_EQ(Endpoint::FromSockaddr(nullptr, 16), std::nullopt);
}

TEST(EndpointTest, ADefaultOneIsNoneAndOthersAreNot) {
  EXPECT_TRUE(Endpoint().is_none());
  EXPECT_FALSE(Endpoint::Parse("0.0.0.0:0")->is_none());
  EXPECT_FALSE(Endpoint::Parse("[::]:1")->is_none());
}

TEST(EndpointTest, EqualOnesHashAlike) {
  EXPECT_TRUE(absl::VerifyTypeImplementsAbslHashCorrectly(
      {Endpoint(), *Endpoint::Parse("192.0.2.1:1"),
       *Endpoint::Parse("192.0.2.1:2"), *Endpoint::Parse("192.0.2.2:1"),
       *Endpoint::Parse("[::ffff:192.0.2.1]:1"),
       *Endpoint::Parse("[2001:db8::1]:1")}));
}

}  // namespace
}  // namespace sluice
