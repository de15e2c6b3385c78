// Goal: DNS answers are read exactly, whatever is broken in them is refused
// without reading outside them, and services are ordered as RFC 2782 and
// RFC 3263 say.
// Method: messages made by hand; every prefix and every changed octet of them;
// draws given by the test.

#include "sip/dns_records.h"

#include <gtest/gtest.h>

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "tests/sip/dns_server.h"

namespace sluice::sip::dns {
namespace {

std::string Message(std::string_view name, Type type,
                    const std::vector<std::string>& answers) {
  std::string message = "id" + U16(0x8180) + U16(1) + U16(answers.size()) +
                        U16(0) + U16(0) + WireName(name) +
                        U16(static_cast<size_t>(type)) + U16(1);
  for (const std::string& answer : answers) message += answer;
  return message;
}

std::vector<std::string> Ips(const absl::StatusOr<Records>& records) {
  EXPECT_TRUE(records.ok()) << records.status();
  std::vector<std::string> ips;
  if (!records.ok()) return ips;
  for (const IpAddress& ip : records->addresses) ips.push_back(ip.ToString());
  return ips;
}

using Strings = std::vector<std::string>;

// ---- names ----------------------------------------------------------------

TEST(DnsName, IsLabelsThatCouldBeAskedFor) {
  const std::string label(63, 'a');
  const std::string most =
      label + "." + label + "." + label + "." + std::string(61, 'a');
  ASSERT_EQ(most.size(), kNameOctetsMax);
  for (const std::string& name :
       {std::string("a"), std::string("example.com"),
        std::string("example.com."), std::string("_sip._udp.example.com"),
        std::string("EXAMPLE"), std::string("1.example"), std::string("a-1.x1"),
        label, most, most + "."}) {
    EXPECT_TRUE(IsName(name)) << name;
  }
  for (const std::string& name :
       {std::string(), std::string("."), std::string(".."), std::string(".a"),
        std::string("a..b"), std::string("a.."), std::string("a b"),
        std::string("a\0b", 3), std::string("a/b"), std::string("[::1]"),
        std::string("::1"), std::string("1.2.3"), std::string("256.1.1.1"),
        std::string("a.1"), std::string("a.1."), std::string("a\\.b"),
        std::string("\xc3\xa9.fr"), label + "a", most + "a"}) {
    EXPECT_FALSE(IsName(name)) << name;
  }
  EXPECT_EQ(CanonicalName("Example.COM."), "example.com");
}

// ---- answers --------------------------------------------------------------

TEST(DnsAnswer, GivesAddressesAndTheLeastTtl) {
  const auto four = ParseAnswer(Message("h.test", Type::kA,
                                        {A("192.0.2.1", 300).Wire("h.test"),
                                         A("192.0.2.2", 20).Wire("H.Test"),
                                         A("192.0.2.3").Wire("h.test")}),
                                "h.test", Type::kA);
  EXPECT_EQ(Ips(four), (Strings{"192.0.2.1", "192.0.2.2", "192.0.2.3"}));
  EXPECT_EQ(four->ttl_s, 20u);
  const auto six = ParseAnswer(
      Message("h.test", Type::kAaaa, {Aaaa("2001:db8::1").Wire("h.test")}),
      "h.test", Type::kAaaa);
  EXPECT_EQ(Ips(six), (Strings{"2001:db8::1"}));
  // RFC 2181 8: a TTL with the top bit is none.
  const auto no_ttl = ParseAnswer(
      Message("h", Type::kA, {A("192.0.2.1", 0x80000000u).Wire("h")}), "h",
      Type::kA);
  EXPECT_EQ(no_ttl->ttl_s, 0u);
}

TEST(DnsAnswer, FollowsAliasesAndBelievesNoOtherNames) {
  const auto records = ParseAnswer(
      Message("h.test", Type::kA,
              {A("192.0.2.66").Wire("other.test"),
               Cname("a.test", 10).Wire("h.test"),
               A("192.0.2.67").Wire("h.test"), Cname("b.test").Wire("a.test"),
               A("192.0.2.68").Wire("a.test"), A("192.0.2.1").Wire("b.test")}),
      "h.test", Type::kA);
  EXPECT_EQ(Ips(records), (Strings{"192.0.2.1"}));
  EXPECT_EQ(records->ttl_s, 10u);
  const auto circle = ParseAnswer(
      Message("h", Type::kA, {Cname("a").Wire("h"), Cname("h").Wire("a")}), "h",
      Type::kA);
  EXPECT_TRUE(Ips(circle).empty());
}

TEST(DnsAnswer, PassesOverWhatItWasNotAskedFor) {
  Rr chaos = A("192.0.2.66");
  std::string wire = chaos.Wire("h");
  wire[4] = 3;  // its class
  const auto records = ParseAnswer(
      Message("h", Type::kA,
              {wire, Aaaa("2001:db8::1").Wire("h"),
               Rr{16, 60, "\x03txt"}.Wire("h"), A("192.0.2.1").Wire("h")}),
      "h", Type::kA);
  EXPECT_EQ(Ips(records), (Strings{"192.0.2.1"}));
  const auto disguised =
      ParseAnswer(Message("h", Type::kAaaa,
                          {Rr{28, 60,
                              std::string(10, '\0') + "\xff\xff\x7f" +
                                  std::string(2, '\0') + "\x01"}
                               .Wire("h")}),
                  "h", Type::kAaaa);
  EXPECT_TRUE(Ips(disguised).empty());
}

TEST(DnsAnswer, GivesServices) {
  const auto records =
      ParseAnswer(Message("_sip._udp.d", Type::kSrv,
                          {SrvRr(10, 60, 5062, "A.Test").Wire("_sip._udp.d"),
                           SrvRr(0, 0, 0, "").Wire("_sip._udp.d"),
                           SrvRr(0, 0, 1, "bad name").Wire("_sip._udp.d"),
                           SrvRr(0, 0, 1, "192.0.2.1").Wire("_sip._udp.d")}),
                  "_sip._udp.d", Type::kSrv);
  ASSERT_TRUE(records.ok()) << records.status();
  EXPECT_EQ(records->srvs,
            (std::vector<Srv>{{10, 60, 5062, "a.test"}, {0, 0, 0, ""}}));
}

TEST(DnsAnswer, GivesRewritingRules) {
  const auto records = ParseAnswer(
      Message("d", Type::kNaptr,
              {NaptrRr(1, 2, "s", "SIP+D2U", "_sip._udp.d").Wire("d"),
               NaptrRr(3, 4, "u", "E2U+sip", "", "!^.*$!sip:a@b!").Wire("d")}),
      "d", Type::kNaptr);
  ASSERT_TRUE(records.ok()) << records.status();
  EXPECT_EQ(records->naptrs,
            (std::vector<Naptr>{{1, 2, "s", "SIP+D2U", "", "_sip._udp.d"},
                                {3, 4, "u", "E2U+sip", "!^.*$!sip:a@b!", ""}}));
}

TEST(DnsAnswer, UnderstandsPointersBackwards) {
  // Owner: a pointer to the question. Target: a label, then a pointer into it.
  const std::string data = U16(1) + U16(2) + U16(5060) + "\x02s1" + "\xc0\x0c";
  const std::string record =
      "\xc0\x0c" + U16(33) + U16(1) + U32(60) + U16(data.size()) + data;
  const auto records = ParseAnswer(Message("d.test", Type::kSrv, {record}),
                                   "d.test", Type::kSrv);
  ASSERT_TRUE(records.ok()) << records.status();
  EXPECT_EQ(records->srvs, (std::vector<Srv>{{1, 2, 5060, "s1.d.test"}}));
}

TEST(DnsAnswer, FollowsAPointerToAPointerAndReadsOnBehindTheFirst) {
  const size_t at = Message("d.test", Type::kA, {}).size();
  const std::string rest = U16(1) + U16(1) + U32(60) + U16(4);
  const auto records =
      ParseAnswer(Message("d.test", Type::kA,
                          {"\xc0\x0c" + rest + "\x0a\x01\x01\x01",
                           U16(0xc000 | at) + rest + "\x0a\x02\x02\x02",
                           A("192.0.2.1").Wire("d.test")}),
                  "d.test", Type::kA);
  EXPECT_EQ(Ips(records), (Strings{"10.1.1.1", "10.2.2.2", "192.0.2.1"}));
}

TEST(DnsAnswer, RefusesNamesThatDoNotEnd) {
  const size_t at = Message("d", Type::kA, {}).size();
  auto with_owner = [&](const std::string& owner) {
    return ParseAnswer(
               Message("d", Type::kA,
                       {owner + U16(1) + U16(1) + U32(60) + U16(4) + "abcd"}),
               "d", Type::kA)
        .status()
        .code();
  };
  ASSERT_EQ(with_owner("\xc0\x0c"), absl::StatusCode::kOk);
  const auto bad = absl::StatusCode::kInvalidArgument;
  EXPECT_EQ(with_owner(U16(0xc000 | at)), bad);            // to itself
  EXPECT_EQ(with_owner(U16(0xc000 | (at + 2))), bad);      // ahead
  EXPECT_EQ(with_owner("\x01x" + U16(0xc000 | at)), bad);  // round and round
  EXPECT_EQ(with_owner("\xff\xff"), bad);                  // beyond the end
  EXPECT_EQ(with_owner("\x40"), bad);                      // RFC 2671 labels
  EXPECT_EQ(with_owner("\x80"), bad);
  std::string endless;
  for (int i = 0; i < 5; ++i) endless += '\x3f' + std::string(63, 'a');
  EXPECT_EQ(with_owner(endless + '\0'), bad);
}

TEST(DnsAnswer, RefusesRecordsOfAWrongLength) {
  auto code = [](Type type, uint16_t length, const std::string& data) {
    const std::string record = WireName("d") + U16(static_cast<size_t>(type)) +
                               U16(1) + U32(60) + U16(length) + data;
    return ParseAnswer(Message("d", type, {record}), "d", type).status().code();
  };
  const auto bad = absl::StatusCode::kInvalidArgument;
  EXPECT_EQ(code(Type::kA, 4, "abcd"), absl::StatusCode::kOk);
  EXPECT_EQ(code(Type::kA, 5, "abcde"), bad);
  EXPECT_EQ(code(Type::kA, 3, "abcd"), bad);
  EXPECT_EQ(code(Type::kA, 0, ""), bad);
  EXPECT_EQ(code(Type::kAaaa, 4, "abcd"), bad);
  EXPECT_EQ(code(Type::kA, 65535, "abcd"), bad);
  EXPECT_EQ(code(Type::kSrv, 7, std::string(7, '\0')), absl::StatusCode::kOk);
  EXPECT_EQ(code(Type::kSrv, 6, std::string(7, '\0')), bad);
  for (uint16_t n = 0; n < 7; ++n) {  // cut short at the message's end
    EXPECT_EQ(code(Type::kSrv, n, std::string(n, '\0')), bad) << n;
  }
  EXPECT_EQ(code(Type::kNaptr, 8, std::string(4, '\0') + "\xff" + "abc"), bad);
}

TEST(DnsAnswer, StopsAtTheRecordsThatItTakes) {
  std::vector<std::string> answers(kRecordsMax + 10, A("192.0.2.1").Wire("h"));
  const auto records =
      ParseAnswer(Message("h", Type::kA, answers), "h", Type::kA);
  ASSERT_TRUE(records.ok()) << records.status();
  EXPECT_EQ(records->addresses.size(), kRecordsMax);
}

TEST(DnsAnswer, SurvivesEveryPrefixAndEveryOctet) {
  const std::string message = Message(
      "d.test", Type::kNaptr,
      {Cname("e.test").Wire("d.test"),
       NaptrRr(1, 2, "s", "SIP+D2U", "_sip._udp.d").Wire("e.test"),
       NaptrRr(3, 4, "s", "SIP+D2T", "_sip._tcp.d", "re").Wire("e.test")});
  for (size_t n = 0; n < message.size(); ++n) {
    // On the heap and exactly as long, so that a sanitizer sees one octet more.
    const std::vector<char> cut(message.begin(),
                                message.begin() + static_cast<ptrdiff_t>(n));
    EXPECT_FALSE(
        ParseAnswer({cut.data(), cut.size()}, "d.test", Type::kNaptr).ok())
        << n;
  }
  for (size_t i = 0; i < message.size(); ++i) {
    for (int value = 0; value < 256; ++value) {
      std::vector<char> changed(message.begin(), message.end());
      changed[i] = static_cast<char>(value);
      const auto records =
          ParseAnswer({changed.data(), changed.size()}, "d.test", Type::kNaptr);
      if (!records.ok()) continue;
      EXPECT_LE(records->naptrs.size(), 2u);
      for (const Naptr& naptr : records->naptrs) {
        EXPECT_TRUE(naptr.replacement.empty() || IsName(naptr.replacement));
      }
    }
  }
}

// ---- hosts ----------------------------------------------------------------

TEST(DnsHosts, FindsEveryLineOfAName) {
  const char kFile[] =
      "# a comment 192.0.2.9 h\n"
      "127.0.0.1\tlocalhost\n"
      "::1 localhost ip6-localhost\n"
      "192.0.2.1   first  H.Test h # 192.0.2.2\n"
      "nonsense h\n"
      "\n"
      "2001:db8::1 h.test\r\n"
      "192.0.2.3 #h\n"
      "192.0.2.4 hh x.h\n"
      "192.0.2.5 h";
  auto find = [&](std::string_view name) {
    Strings ips;
    for (const IpAddress& ip : FindInHosts(kFile, name)) {
      ips.push_back(ip.ToString());
    }
    return ips;
  };
  EXPECT_EQ(find("localhost"), (Strings{"127.0.0.1", "::1"}));
  EXPECT_EQ(find("h"), (Strings{"192.0.2.1", "192.0.2.5"}));
  EXPECT_EQ(find("h.test"), (Strings{"192.0.2.1", "2001:db8::1"}));
  EXPECT_EQ(find("192.0.2.1"), Strings{});
  EXPECT_EQ(find("nobody"), Strings{});
  std::string many;
  for (int i = 0; i < 100; ++i) many += "192.0.2.1 h\n";
  EXPECT_EQ(FindInHosts(many, "h").size(), kRecordsMax);
}

// ---- order ----------------------------------------------------------------

std::string Targets(const std::vector<Srv>& srvs) {
  std::string all;
  for (const Srv& srv : srvs) all += srv.target;
  return all;
}

TEST(DnsOrder, IsByPriorityThenByTheDraw) {
  const std::vector<Srv> srvs = {
      {20, 1, 1, "z"}, {10, 10, 1, "b"}, {10, 0, 1, "a"}, {10, 30, 1, "c"}};
  auto order = [&](std::vector<uint64_t> draws) {
    std::vector<Srv> ordered = srvs;
    std::vector<uint64_t> most;
    size_t next = 0;
    OrderSrvs(&ordered, [&](uint64_t n) {
      most.push_back(n);
      return draws.at(next++);
    });
    EXPECT_EQ(most.front(), 40u);
    return Targets(ordered);
  };
  EXPECT_EQ(order({0, 0, 0, 0}), "abcz");
  EXPECT_EQ(order({1, 0, 0, 0}), "bacz");
  EXPECT_EQ(order({10, 1, 0, 0}), "bcaz");
  EXPECT_EQ(order({11, 0, 0, 0}), "cabz");
  EXPECT_EQ(order({40, 10, 0, 1}), "cbaz");
}

TEST(DnsOrder, FavoursByWeightAndForgetsHowTheyWereSorted) {
  std::vector<Srv> srvs = {{1, 3, 1, "a"}, {1, 1, 1, "b"}, {1, 0, 1, "c"}};
  std::map<std::string, int> first;
  // Every number there is, once: exactly as often as the weights say.
  for (uint64_t drawn = 1; drawn <= 4; ++drawn) {
    std::vector<Srv> ordered = srvs;
    OrderSrvs(&ordered, [&](uint64_t most) { return std::min(most, drawn); });
    std::vector<Srv> backwards(srvs.rbegin(), srvs.rend());
    OrderSrvs(&backwards, [&](uint64_t most) { return std::min(most, drawn); });
    EXPECT_EQ(ordered, backwards);
    ++first[ordered.front().target];
  }
  EXPECT_EQ(first, (std::map<std::string, int>{{"a", 3}, {"b", 1}}));
  std::vector<Srv> none;
  OrderSrvs(&none, [](uint64_t) { return 0; });
  EXPECT_TRUE(none.empty());
}

TEST(DnsOrder, OfRulesIsByOrderThenPreference) {
  const std::vector<Naptr> terminal =
      TerminalNaptrs({{2, 1, "s", "d", "", "d"},
                      {1, 2, "S", "b", "", "b"},
                      {1, 1, "s", "a", "", "a"},
                      {1, 0, "u", "e", "", "e"},
                      {1, 0, "", "f", "", "f"},
                      {1, 0, "s", "g", "!x!y!", "g"},
                      {1, 0, "s", "h", "", ""},
                      {1, 2, "s", "c", "", "c"}});
  std::string order;
  for (const Naptr& naptr : terminal) order += naptr.service;
  EXPECT_EQ(order, "abcd");
}

}  // namespace
}  // namespace sluice::sip::dns
