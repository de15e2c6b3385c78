// Goal: the messages of RFC 4475 and RFC 5118, and those that brought other
// parsers down, are taken or refused as they should be.
// Method: a row a file, and a test that no file is without a row. Refusals for
// what a message means (416, 420, 483, a challenge) are the proxy's; here these
// are taken.
#include <gtest/gtest.h>

#include <algorithm>
#include <span>
#include <string>
#include <vector>

#include "sip/edit.h"
#include "sip/fields.h"
#include "sip/message.h"
#include "tests/test_data.h"

namespace sluice::sip {
namespace {

struct Row {
  std::string name;
  int code = 0;
};

const Row kRfc4475[] = {
    // 3.1.1: valid.
    {"wsinv"},
    {"intmeth"},
    {"esc01"},
    {"escnull"},
    {"esc02"},
    {"lwsdisp"},
    {"longreq"},
    {"dblreq"},
    {"semiuri"},
    {"transports"},
    {"mpart01"},
    {"unreason"},
    {"noreason"},
    // 3.1.2: invalid.
    {"badinv01", 400},
    {"clerr", 400},
    {"ncl", 400},
    {"scalar02", 400},
    {"scalarlg", 400},
    {"quotbal", 400},
    {"ltgtruri", 400},
    {"lwsruri", 400},
    {"lwsstart", 400},
    {"trws", 400},
    {"escruri", 400},
    {"baddate"},
    {"regbadct", 400},
    {"badaspec", 400},
    {"baddn", 400},
    {"badvers", 505},
    {"mismatch01", 400},
    {"mismatch02", 400},
    {"bigcode", 400},
    // 3.2 and 3.3: what it means is not for the parser, but for a few.
    {"badbranch"},
    {"insuf", 400},
    {"unkscm"},
    {"novelsc"},
    {"unksm2", 400},
    {"bext01"},
    {"invut"},
    {"regaut01"},
    {"multi01", 400},
    {"mcl01", 400},
    {"bcast"},
    {"zeromf"},
    {"cparam01"},
    {"cparam02"},
    {"regescrt"},
    {"sdp01"},
    // 3.4: RFC 2543.
    {"inv2543"},
};

const Row kRfc5118[] = {
    {"ipv6-good"},
    {"ipv6-bad", 400},
    {"port-ambiguous"},
    {"port-unambiguous"},
    {"via-received-param-with-delim"},
    {"via-received-param-no-delim"},
    {"ipv6-in-sdp"},
    {"mult-ip-in-header"},
    {"mult-ip-in-sdp"},
    {"ipv4-mapped-ipv6"},
    {"ipv6-bug-abnf-3-colons"},
    {"ipv6-correct-abnf-2-colons"},
};

// Made after what is publicly told of the advisories that they are named for,
// not copies of anybody's exploits.
const Row kPublished[] = {
    {"ghsa-wxfg-3gwh-rhvx-to", 400},
    {"ghsa-wxfg-3gwh-rhvx-via", 400},
    {"ghsa-wxfg-3gwh-rhvx-via-cut", 400},
    {"ghsa-358f-935m-7p9c-user", 400},
    {"ghsa-358f-935m-7p9c-port", 400},
    {"ghsa-358f-935m-7p9c-param", 400},
    {"cve-2023-28098-digest"},
    {"cve-2018-8828-tag"},
    {"cve-2018-8828-tag-empty", 400},
    {"cve-2018-16657-via", 400},
    {"cve-2018-16657-no-via", 400},
    {"cve-2020-27507-dup", 400},
    {"cve-2020-28361-space-before-colon"},
    {"cve-2026-106803-alias", 400},
    {"cve-2017-9372-cseq", 400},
    {"cve-2017-9372-cseq-method"},
    {"cve-2022-21723-multipart"},
    {"ast-2018-002-fmtp"},
    {"ast-2018-004-accept"},
    {"sofia-percent-at-the-end", 400},
    {"sofia-percent-contact", 400},
    {"sofia-percent-in-params", 400},
    {"sofia-percent-in-headers", 400},
    {"smuggling-bare-cr", 400},
    {"smuggling-nul", 400},
    {"smuggling-vt", 400},
    {"ghsa-pg59-5vwg-4jxq-length", 400},
    {"length-wraps", 400},
    {"length-negative", 400},
};

void CheckFolder(const std::string& folder, std::span<const Row> rows) {
  std::vector<std::string> names;
  for (const Row& row : rows) {
    names.push_back(row.name);
    const std::string text = TestData(folder + "/" + row.name + ".msg");
    Message m;
    const Refusal refusal = m.Parse(text);
    EXPECT_EQ(refusal.code, row.code) << row.name << ": " << refusal.reason;
    if (refusal) continue;
    // L7.
    EXPECT_TRUE(text.starts_with(m.octets())) << row.name;
    if (m.Find(HeaderId::kContentLength) != nullptr) {
      EXPECT_EQ(Edit(m).Apply(), m.octets()) << row.name;
    }
  }
  std::sort(names.begin(), names.end());
  EXPECT_EQ(TestDataNames(folder, ".msg"), names);
}

TEST(TortureTest, Rfc4475IsTakenOrRefusedAsRequired) {
  static_assert(std::size(kRfc4475) == 49);
  CheckFolder("rfc4475", kRfc4475);
}

TEST(TortureTest, Rfc5118IsTakenOrRefusedAsRequired) {
  static_assert(std::size(kRfc5118) == 12);
  CheckFolder("rfc5118", kRfc5118);
}

TEST(TortureTest, PublishedTriggersAreTakenOrRefused) {
  CheckFolder("published", kPublished);
}

class TortureMessageTest : public testing::Test {
 protected:
  void Read(const std::string& name) {
    text_ = TestData(name + ".msg");
    refusal_ = message_.Parse(text_);
  }
  std::string text_;
  Message message_;
  Refusal refusal_;
};

TEST_F(TortureMessageTest, WsinvIsReadThroughItsWhiteSpace) {
  Read("rfc4475/wsinv");
  EXPECT_EQ(message_.max_forwards(), 68);
  EXPECT_EQ(message_.cseq(), 9u);
  EXPECT_EQ(message_.method(), Method::kInvite);
  EXPECT_EQ(message_.Count(HeaderId::kVia), 3u);
  const auto top = Via::Parse(message_.Nth(HeaderId::kVia, 0));
  EXPECT_EQ(top->host, "192.0.2.2");
  EXPECT_EQ(top->branch, "390skdjuw");
  const auto second = Via::Parse(message_.Nth(HeaderId::kVia, 1));
  EXPECT_EQ(second->transport, "TCP");
  EXPECT_EQ(second->branch, "z9hG4bK9ikj8");
  const auto from = NameAddr::Parse(message_.Value(HeaderId::kFrom));
  EXPECT_EQ(Unquote(from->display), "J Rosenberg \\\"");
  EXPECT_EQ(from->tag, "98asjd8");
  EXPECT_EQ(NameAddr::Parse(message_.Value(HeaderId::kTo))->tag, "1918181833n");
  const auto contact = NameAddr::Parse(message_.Value(HeaderId::kContact));
  EXPECT_EQ(contact->params.Get("q"), "0.33");
  EXPECT_EQ(contact->params.Get("newparam"), "newvalue");
  EXPECT_EQ(contact->params.Get("secondparam"), "");
  EXPECT_EQ(message_.body().size(), 150u);
}

TEST_F(TortureMessageTest, EscapedNamesAreOtherNames) {
  Read("rfc4475/esc02");
  EXPECT_EQ(message_.method(), Method::kOther);
  // C%6Fntact is no Contact.
  EXPECT_EQ(message_.Count(HeaderId::kContact), 2u);
}

TEST_F(TortureMessageTest, EscapedNulsAreDifferentBindings) {
  Read("rfc4475/escnull");
  const auto a = NameAddr::Parse(message_.Nth(HeaderId::kContact, 0));
  const auto b = NameAddr::Parse(message_.Nth(HeaderId::kContact, 1));
  EXPECT_FALSE(SameUri(a->uri, b->uri));
  EXPECT_EQ(Unescape(a->uri.user), std::string(1, '\0'));
  EXPECT_EQ(Unescape(b->uri.user), std::string(2, '\0'));
}

TEST_F(TortureMessageTest, AParameterIsTheHeadersOrTheUris) {
  Read("rfc4475/cparam01");
  auto contact = NameAddr::Parse(message_.Value(HeaderId::kContact));
  EXPECT_EQ(contact->params.Get("unknownparam"), "");
  EXPECT_EQ(contact->uri.Param("unknownparam"), std::nullopt);
  Read("rfc4475/cparam02");
  contact = NameAddr::Parse(message_.Value(HeaderId::kContact));
  EXPECT_EQ(contact->params.Get("unknownparam"), std::nullopt);
  EXPECT_EQ(contact->uri.Param("unknownparam"), "");
}

TEST_F(TortureMessageTest, ASemicolonInTheUserBeginsNoParameter) {
  Read("rfc4475/semiuri");
  const auto uri = Uri::Parse(message_.uri());
  EXPECT_EQ(uri->user, "user;par=u%40example.net");
  EXPECT_EQ(uri->host, "example.com");
  EXPECT_EQ(uri->params, "");
}

TEST_F(TortureMessageTest, WhatFollowsTheBodyIsNotPartOfIt) {
  Read("rfc4475/dblreq");
  EXPECT_EQ(message_.method(), Method::kRegister);
  EXPECT_EQ(message_.body(), "");
  EXPECT_LT(message_.octets().size(), text_.size());
}

TEST_F(TortureMessageTest, RefusedResponsesAreNotTakenForRequests) {
  for (const char* name : {"rfc4475/bigcode", "rfc4475/scalarlg"}) {
    Read(name);
    EXPECT_TRUE(refusal_);
    EXPECT_TRUE(message_.is_response()) << name;
    EXPECT_FALSE(message_.Answerable()) << name;
  }
}

TEST_F(TortureMessageTest, RefusedRequestsCanBeAnsweredWhereTheyCan) {
  for (const char* name :
       {"clerr", "ncl", "scalar02", "quotbal", "ltgtruri", "lwsruri",
        "lwsstart", "trws", "escruri", "regbadct", "badaspec", "baddn",
        "badvers", "mismatch01", "mismatch02", "unksm2", "multi01", "mcl01"}) {
    Read(std::string("rfc4475/") + name);
    EXPECT_TRUE(refusal_) << name;
    EXPECT_TRUE(message_.Answerable()) << name;
  }
  // Nowhere to send it; nothing to say it about.
  for (const char* name : {"badinv01", "insuf"}) {
    Read(std::string("rfc4475/") + name);
    EXPECT_FALSE(message_.Answerable()) << name;
  }
}

TEST_F(TortureMessageTest, ThePortOfAnAmbiguousIp6IsPartOfTheAddress) {
  Read("rfc5118/port-ambiguous");
  EXPECT_EQ(Uri::Parse(message_.uri())->port, 0);
  Read("rfc5118/port-unambiguous");
  EXPECT_EQ(Uri::Parse(message_.uri())->port, 5070);
}

// CVE-2020-28361: white space before the colon made a header another one.
TEST_F(TortureMessageTest, WhiteSpaceBeforeTheColonIsNoPartOfTheName) {
  Read("published/cve-2020-28361-space-before-colon");
  const auto named =
      std::count_if(message_.headers().begin(), message_.headers().end(),
                    [](const Header& h) { return h.name == "X-Auth"; });
  EXPECT_EQ(named, 2);
}

}  // namespace
}  // namespace sluice::sip
