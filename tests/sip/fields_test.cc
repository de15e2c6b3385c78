// The insides of header values: what each production takes, and what it must
// not.
#include "sip/fields.h"

#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "base/text.h"
#include "sip/message.h"

namespace sluice::sip {
namespace {

using std::string_literals::operator""s;
using Pairs = std::vector<std::pair<std::string, std::string>>;

Pairs All(const Params& params) {
  Pairs pairs;
  params.ForEach([&pairs](std::string_view name, std::string_view value) {
    pairs.emplace_back(name, value);
  });
  return pairs;
}

TEST(ParamsTest, AreTokensWithOrWithoutAValue) {
  const auto params = Params::Parse(
      ";lr ; \r\n A = b;c=\"q;\\\"=,\" ;received=[2001:db8::1];tag=x==;"
      "b=sip:a@h?");
  ASSERT_TRUE(params);
  EXPECT_EQ(All(*params), (Pairs{{"lr", ""},
                                 {"A", "b"},
                                 {"c", "\"q;\\\"=,\""},
                                 {"received", "[2001:db8::1]"},
                                 {"tag", "x=="},
                                 {"b", "sip:a@h?"}}));
  EXPECT_EQ(params->Get("LR"), "");
  EXPECT_EQ(params->Get("a"), "b");
  EXPECT_EQ(params->Get("d"), std::nullopt);
  EXPECT_EQ(params->Get(""), std::nullopt);
  const auto none = Params::Parse("");
  ASSERT_TRUE(none);
  EXPECT_EQ(none->text(), "");
  EXPECT_TRUE(All(*none).empty());
}

TEST(ParamsTest, RefuseEmptyOnesJunkAndTooMany) {
  for (const std::string& text :
       {" "s,       ";"s,          ";;"s,        "; ;a"s,      ";a;"s,
        ";=b"s,     ";a="s,        ";a= ;b"s,    ";a b"s,      ";a=b c"s,
        ";a=\"b"s,  ";a=\"b\\\""s, ";a=\"b\"c"s, ";a=b\"c\""s, ";a=b,c"s,
        "a"s,       ";a=<b>"s,     ";(a)=b"s,    ";a\0"s,      ";a=\0"s,
        ";a=b\\c"s, ";\xc3\xa4"s}) {
    EXPECT_FALSE(Params::Parse(text)) << text;
  }
  std::string text;
  for (size_t i = 0; i < kParamsMax; ++i) text += ";p=1";
  EXPECT_TRUE(Params::Parse(text));
  EXPECT_FALSE(Params::Parse(text + ";p"));
}

TEST(FieldsTest, UnquotesAQuotedString) {
  EXPECT_EQ(Unquote("\"a \\\"b\\\" \\\\\""), "a \"b\" \\");
  EXPECT_EQ(Unquote("\"\""), "");
  EXPECT_EQ(Unquote("plain"), "plain");
  EXPECT_EQ(Unquote("\""), "\"");
  EXPECT_EQ(Unquote("\"\\\""), "\\");
  EXPECT_EQ(Unquote("\"open"), "\"open");
  EXPECT_EQ(Unquote(""), "");
}

TEST(FieldsTest, TransportsHaveNames) {
  for (const Transport t :
       {Transport::kUdp, Transport::kTcp, Transport::kTls}) {
    EXPECT_EQ(TransportOf(NameOf(t)), t);
    EXPECT_EQ(TransportOf(Lower(NameOf(t))), t);
  }
  EXPECT_EQ(TransportOf("SCTP"), std::nullopt);
  EXPECT_EQ(TransportOf(""), std::nullopt);
}

TEST(ViaTest, IsTakenApart) {
  const auto via = Via::Parse(
      "SIP  /   2.0\r\n / uDp\r\n    192.0.2.2 : 5070 ;\r\n branch =  "
      "z9hG4bK9 ;rport;received=192.0.2.9");
  ASSERT_TRUE(via);
  EXPECT_EQ(via->protocol, "SIP  /   2.0");
  EXPECT_EQ(via->transport, "uDp");
  EXPECT_EQ(via->host, "192.0.2.2");
  EXPECT_EQ(via->port, 5070);
  EXPECT_EQ(via->branch, "z9hG4bK9");
  EXPECT_TRUE(via->is_3261());
  EXPECT_EQ(via->params.Get("rport"), "");

  const auto bare = Via::Parse("SIP/2.0/UNKNOWN [2001:db8::9:1]");
  ASSERT_TRUE(bare);
  EXPECT_EQ(bare->host, "[2001:db8::9:1]");
  EXPECT_EQ(bare->port, 0);
  EXPECT_EQ(bare->branch, "");
  EXPECT_FALSE(bare->is_3261());
  // The magic alone identifies nothing (RFC 4475 3.2.1).
  EXPECT_FALSE(Via::Parse("SIP/2.0/UDP h;branch=z9hG4bK")->is_3261());
  EXPECT_FALSE(Via::Parse("SIP/2.0/UDP h;branch=z9hg4bk1")->is_3261());
}

TEST(ViaTest, RefusesWhatTheGrammarForbids) {
  for (const std::string& text : {""s,
                                  "SIP"s,
                                  "SIP/2.0"s,
                                  "SIP/2.0/UDP"s,
                                  "SIP/2.0/UDP "s,
                                  "SIP/2.0 h"s,
                                  "/2.0/UDP h"s,
                                  "SIP//UDP h"s,
                                  "SIP/2.0/ h"s,
                                  "SIP/2.0/"s,
                                  "SIP/2.0/(UDP) h"s,
                                  "SIP/2.0/UDPh"s,
                                  "SIP/2.0/UDP[::1]"s,
                                  "SIP/2.0/UDP/h"s,
                                  "SIP/2.0/UDP 2001:db8::1"s,
                                  "SIP/2.0/UDP h:"s,
                                  "SIP/2.0/UDP h:0"s,
                                  "SIP/2.0/UDP h:65536"s,
                                  "SIP/2.0/UDP h:5060x"s,
                                  "SIP/2.0/UDP h x"s,
                                  "SIP/2.0/UDP h;"s,
                                  "SIP/2.0/UDP h;;a"s,
                                  "SIP/2.0/UDP h,"s,
                                  "SIP/2.0/UDP h(comment)"s,
                                  "SIP/2.0/UDP <h>"s,
                                  "SIP/2.0/UDP [::1"s,
                                  "SIP/2.0/UDP \0"s,
                                  "SIP/2.0/UDP h;branch=\"x"s}) {
    EXPECT_FALSE(Via::Parse(text)) << text;
  }
}

// Whoever adds a second one further back must not turn the response.
TEST(ViaTest, OfAParameterThatComesTwiceTheFirstCounts) {
  const auto via = Via::Parse(
      "SIP/2.0/UDP h;mode=x;branch=z9hG4bKa;received=192.0.2.1;rport=1;r=x"
      ";maddr=192.0.2.2;Branch=z9hG4bKb;RECEIVED=192.0.2.9;rport=9"
      ";maddr=192.0.2.9");
  ASSERT_TRUE(via);
  EXPECT_EQ(via->branch, "z9hG4bKa");
  EXPECT_EQ(via->maddr, "192.0.2.2");
  ASSERT_TRUE(via->ResponseAddress());
  EXPECT_EQ(via->ResponseAddress()->ToString(), "192.0.2.1:1");
  // Also when the first has no value.
  const auto empty = Via::Parse("SIP/2.0/UDP 192.0.2.1:5070;rport;rport=9");
  ASSERT_TRUE(empty && empty->ResponseAddress());
  EXPECT_EQ(empty->ResponseAddress()->ToString(), "192.0.2.1:5070");
}

TEST(ViaTest, SaysWhereAResponseGoes) {
  const std::string_view kCases[][2] = {
      {"SIP/2.0/UDP 192.0.2.1", "192.0.2.1:5060"},
      {"SIP/2.0/TLS 192.0.2.1", "192.0.2.1:5061"},
      {"SIP/2.0/SCTP 192.0.2.1", "192.0.2.1:5060"},
      {"SIP/2.0/UDP 192.0.2.1:5070", "192.0.2.1:5070"},
      {"SIP/2.0/UDP 192.0.2.1:5070;rport", "192.0.2.1:5070"},
      {"SIP/2.0/UDP 192.0.2.1:5070;rport=9", "192.0.2.1:9"},
      {"SIP/2.0/UDP h.example.com:5070;received=192.0.2.9", "192.0.2.9:5070"},
      {"SIP/2.0/UDP 10.0.0.1;rport=1024;received=192.0.2.9", "192.0.2.9:1024"},
      {"SIP/2.0/UDP [2001:db8::1]", "[2001:db8::1]:5060"},
      {"SIP/2.0/UDP h;received=2001:db8::9:255", "[2001:db8::9:255]:5060"},
      {"SIP/2.0/UDP h;received=[2001:db8::9:255]", "[2001:db8::9:255]:5060"},
  };
  for (const auto& c : kCases) {
    const auto via = Via::Parse(c[0]);
    ASSERT_TRUE(via) << c[0];
    const auto address = via->ResponseAddress();
    ASSERT_TRUE(address) << c[0];
    EXPECT_EQ(address->ToString(), c[1]) << c[0];
  }
  for (const std::string_view text :
       {"SIP/2.0/UDP h.example.com", "SIP/2.0/UDP h;rport=5060",
        "SIP/2.0/UDP 192.0.2.1;received=h", "SIP/2.0/UDP 192.0.2.1;received",
        "SIP/2.0/UDP 192.0.2.1;received=[2001:db8::9",
        "SIP/2.0/UDP 192.0.2.1;received=[", "SIP/2.0/UDP 192.0.2.1;received=[]",
        "SIP/2.0/UDP 192.0.2.1;rport=0", "SIP/2.0/UDP 192.0.2.1;rport=65536",
        "SIP/2.0/UDP 192.0.2.1;rport=x"}) {
    const auto via = Via::Parse(text);
    ASSERT_TRUE(via) << text;
    EXPECT_FALSE(via->ResponseAddress()) << text;
  }
}

TEST(NameAddrTest, IsTakenApart) {
  struct Case {
    std::string_view text, display, uri, tag;
    bool brackets;
  };
  const Case kCases[] = {
      {"sip:a@h", "", "sip:a@h", "", false},
      {"sip:a@h;tag=1", "", "sip:a@h", "1", false},
      {"sip:a@h ;\r\n tag = 1", "", "sip:a@h", "1", false},
      {"<sip:a@h;tag=no>;tag=1", "", "sip:a@h;tag=no", "1", true},
      {"<sip:a@h?X=y>", "", "sip:a@h?X=y", "", true},
      {"caller<sip:a@h>", "caller", "sip:a@h", "", true},
      {"A. G.  Bell <sip:a@h>", "A. G.  Bell", "sip:a@h", "", true},
      {"Bell (Sales) @ home/2 <sip:a@h>", "Bell (Sales) @ home/2", "sip:a@h",
       "", true},
      {"\xd0\xb4 <sip:a@h>", "\xd0\xb4", "sip:a@h", "", true},
      {"\"Bell, \\\"A\\\" <\" \r\n <sip:a,b@h>;tag=1", "\"Bell, \\\"A\\\" <\"",
       "sip:a,b@h", "1", true},
      {"\"\"<tel:+1>", "\"\"", "tel:+1", "", true},
      {"sip:a@h;x=\"<\"", "", "sip:a@h", "", false},
      {"<sip:a@h> ;tag=\"q\"", "", "sip:a@h", "\"q\"", true},
  };
  for (const Case& c : kCases) {
    const auto name = NameAddr::Parse(c.text);
    ASSERT_TRUE(name) << c.text;
    EXPECT_EQ(name->text, c.text);
    EXPECT_EQ(name->display, c.display) << c.text;
    EXPECT_EQ(name->uri_text, c.uri) << c.text;
    EXPECT_EQ(name->uri.text, c.uri) << c.text;
    EXPECT_EQ(name->tag, c.tag) << c.text;
    EXPECT_EQ(name->brackets, c.brackets) << c.text;
  }
}

TEST(NameAddrTest, RefusesWhatTheGrammarForbids) {
  for (const std::string& text : {""s,
                                  "*"s,
                                  "a"s,
                                  "<>"s,
                                  "<sip:a@h"s,
                                  "sip:a@h>"s,
                                  "\"a <sip:a@h>"s,
                                  "\"a\" sip:a@h"s,
                                  "\"a\" \"b\" <sip:a@h>"s,
                                  "a \"b\" <sip:a@h>"s,
                                  "a, b <sip:a@h>"s,
                                  "a; b <sip:a@h>"s,
                                  "a: b <sip:a@h>"s,
                                  "< sip:a@h>"s,
                                  "<sip:a@h >"s,
                                  "<<sip:a@h>>"s,
                                  "<sip:a@h>x"s,
                                  "<sip:a@h> tag=1"s,
                                  "<sip:a@h>,<sip:b@h>"s,
                                  "<sip:a@h>;"s,
                                  "<sip:a@h>;;tag=1"s,
                                  "sip:a@h?X=y"s,
                                  "sip:a,b@h"s,
                                  "sip:a@h x"s,
                                  "sip:a@h;tag=\"1"s,
                                  "<sip:a\0@h>"s,
                                  "<sip:a\r\n @h>"s,
                                  "<\"sip:a@h\">"s}) {
    EXPECT_FALSE(NameAddr::Parse(text)) << text;
  }
}

TEST(CSeqTest, IsANumberAndAMethod) {
  const auto cseq = CSeq::Parse("  0004711\r\n \tINVITE ");
  ASSERT_TRUE(cseq);
  EXPECT_EQ(cseq->number, 4711u);
  EXPECT_EQ(cseq->method, "INVITE");
  EXPECT_EQ(CSeq::Parse("2147483647 A")->number, kCSeqMax);
  EXPECT_EQ(CSeq::Parse("0 A")->number, 0u);
  for (const std::string& text :
       {""s, "1"s, "1 "s, "INVITE"s, "INVITE 1"s, "1INVITE"s, "-1 A"s, "+1 A"s,
        "1 A B"s, "1 A,"s, "1 (A)"s, "2147483648 A"s, "4294967297 A"s,
        "36893488147419103232 REGISTER"s, "1 \0"s}) {
    EXPECT_FALSE(CSeq::Parse(text)) << text;
  }
}

TEST(FieldsTest, NumbersDoNotWrap) {
  EXPECT_EQ(ParseNumber("0", 0), 0u);
  EXPECT_EQ(ParseNumber("255", 255), 255u);
  EXPECT_EQ(ParseNumber("256", 255), std::nullopt);
  EXPECT_EQ(ParseNumber("000000000000000000000000255", 255), 255u);
  EXPECT_EQ(ParseNumber("18446744073709551615", UINT64_MAX), UINT64_MAX);
  EXPECT_EQ(ParseNumber("18446744073709551616", UINT64_MAX), std::nullopt);
  EXPECT_EQ(ParseNumber("99999999999999999999999", UINT64_MAX), std::nullopt);
  EXPECT_EQ(ParseNumber("7", 5), std::nullopt);
  for (const std::string_view text :
       {"", "-1", "+1", " 1", "1 ", "0x1", "1e3"}) {
    EXPECT_EQ(ParseNumber(text, 1000), std::nullopt) << text;
  }
}

TEST(MediaTypeTest, IsTypeSubtypeAndParameters) {
  const auto media =
      MediaType::Parse("Multipart / Mixed ; boundary=\"a b\";x=1");
  ASSERT_TRUE(media);
  EXPECT_TRUE(media->Is("multipart", "mixed"));
  EXPECT_FALSE(media->Is("multipart", "alternative"));
  EXPECT_FALSE(media->Is("text", "mixed"));
  EXPECT_EQ(media->params.Get("boundary"), "\"a b\"");
  EXPECT_TRUE(MediaType::Parse("application/sdp")->Is("application", "sdp"));
  for (const std::string_view text :
       {"", "a", "a/", "/b", "a b", "a/b c", "a/b,", "a/b;", "a/b;c=\"",
        "a/(b)", "a//b"}) {
    EXPECT_FALSE(MediaType::Parse(text)) << text;
  }
}

TEST(AuthValueTest, IsASchemeAndNamesWithValues) {
  const auto auth = AuthValue::Parse(
      "Digest  username=\"al\\\"ice, x\", realm = \"a\",\r\n nc=00000001,"
      "uri=\"sip:h;x=y\" , algorithm=MD5");
  ASSERT_TRUE(auth);
  EXPECT_EQ(auth->scheme, "Digest");
  EXPECT_EQ(auth->Get("Username"), "al\"ice, x");
  EXPECT_EQ(auth->Get("realm"), "a");
  EXPECT_EQ(auth->Get("nc"), "00000001");
  EXPECT_EQ(auth->Get("uri"), "sip:h;x=y");
  EXPECT_EQ(auth->Get("algorithm"), "MD5");
  EXPECT_EQ(auth->Get("qop"), std::nullopt);
  EXPECT_EQ(auth->Get(""), std::nullopt);
  EXPECT_EQ(AuthValue::Parse("NoOneKnowsThisScheme opaque-data=here")
                ->Get("opaque-data"),
            "here");
  EXPECT_EQ(AuthValue::Parse("Digest realm=\"\"")->Get("realm"), "");
}

TEST(AuthValueTest, RefusesBrokenListsRepeatedNamesAndTooMany) {
  for (const std::string& text :
       {""s, "Digest"s, "Digest "s, "Digest a"s, "Digest a="s, "Digest =b"s,
        "Digest a=b,"s, "Digest a=b,,c=d"s, "Digest ,a=b"s, "Digest a=b c=d"s,
        "Digest a=\"b"s, "Digest a=\"b\\\""s, "Digest a=\"b\"c"s,
        "Digest a=b, A=c"s, "Digest a=b;c=d"s, "Dig\0st a=b"s,
        "Basic QWxhZGRpbg=="s}) {
    EXPECT_FALSE(AuthValue::Parse(text)) << text;
  }
  std::string text = "Digest p0=1";
  for (size_t i = 1; i < kParamsMax; ++i) Append(&text, ",p", i, "=1");
  EXPECT_TRUE(AuthValue::Parse(text));
  EXPECT_FALSE(AuthValue::Parse(text + ",q=1"));
}

}  // namespace
}  // namespace sluice::sip
