// Which URIs there are, which are one, and the key of an address-of-record.
#include "sip/uri.h"

#include <gtest/gtest.h>

#include <string>

#include "base/text.h"
#include "sip/message.h"

namespace sluice::sip {
namespace {

using Scheme = Uri::Scheme;
using std::string_literals::operator""s;

TEST(UriTest, TakesASipUriApart) {
  const std::string text =
      "SIPS:al%69ce;x=y?:pa$s,%20@[2001:db8::1]:5070"
      ";transport=tcp;lr;m%61ddr=%41?Subject=a%20b&To=";
  const auto uri = Uri::Parse(text);
  ASSERT_TRUE(uri);
  EXPECT_EQ(uri->scheme, Scheme::kSips);
  EXPECT_EQ(uri->text, text);
  EXPECT_EQ(uri->scheme_text, "SIPS");
  EXPECT_TRUE(uri->has_user);
  EXPECT_EQ(uri->user, "al%69ce;x=y?");
  EXPECT_EQ(uri->password, "pa$s,%20");
  EXPECT_EQ(uri->host, "[2001:db8::1]");
  EXPECT_EQ(uri->port, 5070);
  EXPECT_EQ(uri->params, "transport=tcp;lr;m%61ddr=%41");
  EXPECT_EQ(uri->headers, "Subject=a%20b&To=");
  EXPECT_EQ(uri->ip(), IpAddress::Parse("2001:db8::1"));
  EXPECT_EQ(uri->Param("Transport"), "tcp");
  EXPECT_EQ(uri->Param("lr"), "");
  EXPECT_EQ(uri->Param("maddr"), "%41");
  EXPECT_EQ(uri->Param("ttl"), std::nullopt);
  EXPECT_EQ(uri->Param(""), std::nullopt);
  EXPECT_TRUE(uri->is_sip());
}

TEST(UriTest, KnowsTheDefaultPorts) {
  EXPECT_EQ(Uri::Parse("sip:h")->port, 0);
  EXPECT_EQ(Uri::Parse("sip:h")->port_or_default(), 5060);
  EXPECT_EQ(Uri::Parse("sips:h")->port_or_default(), 5061);
  EXPECT_EQ(Uri::Parse("sips:h:5060")->port_or_default(), 5060);
}

TEST(UriTest, TakesATelephoneNumberApart) {
  const auto uri = Uri::Parse("tel:+1-201.(555)0123;phone-context=example.com");
  ASSERT_TRUE(uri);
  EXPECT_EQ(uri->scheme, Scheme::kTel);
  EXPECT_EQ(uri->user, "+1-201.(555)0123");
  EXPECT_TRUE(uri->has_user);
  EXPECT_EQ(uri->host, "");
  EXPECT_EQ(uri->Param("phone-context"), "example.com");
  EXPECT_FALSE(uri->is_sip());
  EXPECT_TRUE(Uri::Parse("tel:*21#;phone-context=+1"));
  for (const std::string_view bad :
       {"tel:", "tel:+", "tel:12x", "tel:1;", "tel:1@example.com", "tel:1 2"}) {
    EXPECT_FALSE(Uri::Parse(bad)) << bad;
  }
}

TEST(UriTest, LetsOtherSchemesPassUnlookedInto) {
  for (const std::string_view text :
       {"http://www.example.com/?a#b", "nobodyKnows+this.1-2:opaque", "isbn:2",
        "urn:service:sos", "x:@", "sipx:@"}) {
    const auto uri = Uri::Parse(text);
    ASSERT_TRUE(uri) << text;
    EXPECT_EQ(uri->scheme, Scheme::kOther) << text;
    EXPECT_EQ(uri->host, "");
    EXPECT_EQ(uri->ip(), std::nullopt);
  }
}

TEST(UriTest, TakesHostsOfEveryKind) {
  for (const std::string_view host :
       {"h", "example.com", "example.com.", "a-b.c_d.1e", "192.0.2.1",
        "[2001:db8::10:5070]", "[::]", "[::ffff:192.0.2.10]",
        "[2001:db8:::192.0.2.1]", "xn--bcher-kva.example", "1.2.3.4.example"}) {
    const auto uri = Uri::Parse(Cat("sip:a@", host));
    EXPECT_TRUE(uri) << host;
    EXPECT_TRUE(Uri::Parse(Cat("sip:", host, ":65535;lr"))) << host;
  }
  // RFC 5118 4.10: three colons stand for two.
  EXPECT_EQ(Uri::Parse("sip:[2001:db8:::192.0.2.1]")->ip(),
            IpAddress::Parse("2001:db8::192.0.2.1"));
  EXPECT_EQ(Uri::Parse("sip:192.0.2.1")->ip(), IpAddress::V4(192, 0, 2, 1));
  EXPECT_EQ(Uri::Parse("sip:example.com")->ip(), std::nullopt);
}

TEST(UriTest, RefusesWhatIsNoHost) {
  const std::string label64(64, 'a');
  std::string long_name;
  while (long_name.size() < 256) long_name += "abcdefg.";
  for (const std::string& host : {""s,
                                  "."s,
                                  ".a"s,
                                  "a..b"s,
                                  "a.."s,
                                  "a b"s,
                                  "a@b"s,
                                  "a/b"s,
                                  "a%41"s,
                                  "\xc3\xa4"s,
                                  "a\0b"s,
                                  "a\n"s,
                                  "a\x7f"s,
                                  "[]"s,
                                  "[::1"s,
                                  "::1"s,
                                  "2001:db8::10"s,
                                  "[1.2.3.4]"s,
                                  "[::1%eth0]"s,
                                  "[:::::1]"s,
                                  "[::1::2]"s,
                                  "[12345::]"s,
                                  "[:::1:::2]"s,
                                  "[" + std::string(90, ':') + "]",
                                  "127.1"s,
                                  "2130706433"s,
                                  "1.2.3.4.5"s,
                                  "192.0.2.256"s,
                                  "1.2.3.4."s,
                                  "<h>"s,
                                  label64,
                                  label64 + ".com",
                                  long_name + "com",
                                  "h:"s,
                                  "h:0"s,
                                  "h:00"s,
                                  "h:65536"s,
                                  "h:99999999999999999999"s,
                                  "h:+1"s,
                                  "h:5060:1"s,
                                  "h: 5060"s}) {
    EXPECT_FALSE(Uri::Parse("sip:a@" + host)) << host;
  }
}

TEST(UriTest, RefusesWhatTheGrammarForbids) {
  for (const std::string& text : {""s,
                                  ":"s,
                                  "sip"s,
                                  "sip:"s,
                                  "1sip:h"s,
                                  "si p:h"s,
                                  " sip:h"s,
                                  "sip:h "s,
                                  "sip :h"s,
                                  "sip:@h"s,
                                  "sip::p@h"s,
                                  "sip:a b@h"s,
                                  "sip:a%@h"s,
                                  "sip:a%4@h"s,
                                  "sip:a%4g@h"s,
                                  "sip:a%g4@h"s,
                                  "sip:a%%41@h"s,
                                  "sip:a\"b@h"s,
                                  "sip:a<b@h"s,
                                  "sip:a\\@h"s,
                                  "sip:\xc3\xa4@h"s,
                                  "sip:a@b@h"s,
                                  "sip:a:b:c@h"s,
                                  "sip:a:p?@h"s,
                                  "sip:h;"s,
                                  "sip:h;;lr"s,
                                  "sip:h;=a"s,
                                  "sip:h;a="s,
                                  "sip:h;a=b=c"s,
                                  "sip:h;a=%4"s,
                                  "sip:h;a b"s,
                                  "sip:h?"s,
                                  "sip:h?a"s,
                                  "sip:h?=b"s,
                                  "sip:h?a=b&"s,
                                  "sip:h?a=b;c"s,
                                  "sip:h?a=<b>"s,
                                  "<sip:h>"s,
                                  "*"s,
                                  "x:"s,
                                  "x:a b"s,
                                  "x:a\0"s,
                                  "x:<a>"s,
                                  "x:\"a\""s,
                                  "x:\xff"s}) {
    EXPECT_FALSE(Uri::Parse(text)) << text;
  }
}

TEST(UriTest, TakesWhatIsOnlyOdd) {
  for (const std::string_view text :
       {"sip:*21#@h", "sip:a:@h", "sip:%00@h", "sip:h;%6C%72",
        "sip:1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*:&it+has=1,weird!"
        "*pas$wo~d_too.(doesn't-it)@example.com",
        "sip:user;par=u%40example.net@example.com", "sip:h?a=&b=c"}) {
    EXPECT_TRUE(Uri::Parse(text)) << text;
  }
}

TEST(UriTest, HoldsTheCaps) {
  const std::string text = "sip:" + std::string(kUriOctetsMax - 6, 'u') + "@h";
  EXPECT_TRUE(Uri::Parse(text));
  EXPECT_FALSE(Uri::Parse(text + "h"));
  std::string params = "sip:h", headers = "sip:h?a=b";
  for (size_t i = 0; i < kParamsMax; ++i) params += ";p";
  for (size_t i = 1; i < kParamsMax; ++i) headers += "&a=b";
  EXPECT_TRUE(Uri::Parse(params));
  EXPECT_FALSE(Uri::Parse(params + ";p"));
  EXPECT_TRUE(Uri::Parse(headers));
  EXPECT_FALSE(Uri::Parse(headers + "&a=b"));
}

TEST(UriTest, UnescapesAndEscapes) {
  EXPECT_EQ(Unescape("a%20b%00%fF"), "a b\0\xff"s);
  EXPECT_EQ(Unescape(""), "");
  for (const std::string_view broken :
       {"a%", "a%2", "a%2x", "a%x2", "a%-1", "%41%"}) {
    EXPECT_EQ(Unescape(broken), broken);
  }
  EXPECT_EQ(EscapeUser("a;b?/c+$"), "a;b?/c+$");
  EXPECT_EQ(EscapeUser("a@b:c#%\0\xff"s), "a%40b%3Ac%23%25%00%FF");
  for (int c = 0; c < 256; ++c) {
    const std::string text(1, static_cast<char>(c));
    EXPECT_EQ(Unescape(EscapeUser(text)), text);
    EXPECT_TRUE(Uri::Parse(Cat("sip:", EscapeUser(text), "@h"))) << c;
  }
}

bool Same(std::string_view a, std::string_view b) {
  const auto x = Uri::Parse(a), y = Uri::Parse(b);
  EXPECT_TRUE(x) << a;
  EXPECT_TRUE(y) << b;
  if (!x || !y) return false;
  EXPECT_TRUE(SameUri(*x, *x)) << a;
  EXPECT_EQ(SameUri(*x, *y), SameUri(*y, *x)) << a << " " << b;
  return SameUri(*x, *y);
}

// RFC 3261 19.1.4, its examples among others.
TEST(UriTest, ComparesAsTheRfcDoes) {
  const std::string_view kSame[][2] = {
      {"sip:%61lice@atlanta.com;transport=TCP",
       "sip:alice@AtlanTa.CoM;Transport=tcp"},
      {"sip:carol@chicago.com", "sip:carol@chicago.com;newparam=5"},
      {"sip:carol@chicago.com;newparam=5", "sip:carol@chicago.com;security=on"},
      {"sip:biloxi.com;transport=tcp;method=REGISTER?to=sip:bob%40biloxi.com",
       "sip:biloxi.com;method=REGISTER;transport=tcp?to=sip:bob%40biloxi.com"},
      {"sip:alice@atlanta.com?subject=project%20x&priority=urgent",
       "sip:alice@atlanta.com?priority=urgent&Subject=project%20x"},
      {"sip:a%3b@h", "sip:a%3B@h"},
      {"sip:#@h", "sip:%23@h"},
      {"sip:[2001:db8::1]", "sip:[2001:DB8:0::1]"},
      {"sip:[::ffff:192.0.2.1]", "sip:192.0.2.1"},
      {"sip:h;l%72", "sip:h;lr"},
      {"tel:+1-201-555", "tel:+1(201)555"},
      {"sip:h;maddr=a;maddr=b", "sip:h;maddr=a"},
      {"isbn:1", "isbn:1"},
  };
  for (const auto& pair : kSame) {
    EXPECT_TRUE(Same(pair[0], pair[1])) << pair[0] << " " << pair[1];
  }
  const std::string_view kDifferent[][2] = {
      {"SIP:ALICE@AtLanTa.CoM;Transport=udp",
       "sip:alice@AtLanTa.CoM;Transport=UDP"},
      {"sip:bob@biloxi.com", "sip:bob@biloxi.com:5060"},
      {"sip:bob@biloxi.com", "sip:bob@biloxi.com;transport=udp"},
      {"sip:bob@biloxi.com", "sip:bob@biloxi.com:6000;transport=tcp"},
      {"sip:carol@chicago.com", "sip:carol@chicago.com?Subject=next%20meeting"},
      {"sip:carol@chicago.com;newparam=5", "sip:carol@chicago.com;newparam=6"},
      {"sip:bob@phone21.boxesbybob.com", "sip:bob@192.0.2.4"},
      {"sip:h;user=phone", "sip:h"},
      {"sip:h;ttl=1", "sip:h"},
      {"sip:h;maddr=192.0.2.1", "sip:h"},
      {"sip:h;method=INVITE", "sip:h"},
      {"sip:h", "sips:h"},
      {"sip:a@h", "sip:h"},
      {"sip:a:p@h", "sip:a@h"},
      {"sip:a:p@h", "sip:a:P@h"},
      {"sip:a%3Bb@h", "sip:a;b@h"},
      {"sip:%00@h", "sip:%00%00@h"},
      {"sip:h?a=b&a=b", "sip:h?a=b"},
      {"sip:h?a=b", "sip:h?a=B"},
      {"tel:+1", "tel:1"},
      {"tel:+1;ext=5", "tel:+1"},
      {"tel:1;phone-context=a.example", "tel:1"},
      {"tel:1;phone-context=+1", "tel:1;phone-context=+2"},
      {"isbn:1", "isbn:2"},
  };
  for (const auto& pair : kDifferent) {
    EXPECT_FALSE(Same(pair[0], pair[1])) << pair[0] << " " << pair[1];
  }
}

TEST(UriTest, AnAddressOfRecordHasOneSpelling) {
  const std::string_view kCases[][2] = {
      {"sip:bob@example.com", "sip:bob@example.com"},
      {"SIPS:bob:secret@EXAMPLE.com:5061;x=y?a=b", "sip:bob@example.com"},
      {"sip:b%6Fb@example.com:5060", "sip:bob@example.com"},
      {"sip:Bob@example.com", "sip:Bob@example.com"},
      {"sip:bob@example.com:5061", "sip:bob@example.com:5061"},
      {"sip:example.com", "sip:example.com"},
      {"sip:a%40b@h", "sip:a%40b@h"},
      {"sip:*21#@h", "sip:*21%23@h"},
      {"sip:%00@h", "sip:%00@h"},
      {"sip:%00%00@h", "sip:%00%00@h"},
      {"sip:bob@192.0.2.1", "sip:bob@192.0.2.1"},
      {"sip:bob@[::ffff:192.0.2.1]", "sip:bob@192.0.2.1"},
      {"sip:bob@[2001:DB8:0::1]", "sip:bob@[2001:db8::1]"},
      {"tel:+1", ""},
      {"isbn:1", ""},
  };
  for (const auto& c : kCases) {
    const auto uri = Uri::Parse(c[0]);
    ASSERT_TRUE(uri) << c[0];
    const std::string key = AddressOfRecord(*uri);
    EXPECT_EQ(key, c[1]);
    if (key.empty()) continue;
    const auto again = Uri::Parse(key);
    ASSERT_TRUE(again) << key;
    EXPECT_EQ(AddressOfRecord(*again), key);
  }
}

}  // namespace
}  // namespace sluice::sip
