// Goal: users are whom the command line or the file says, templates are written
// field by field, and a challenge is answered as it is asked.
#include <gtest/gtest.h>

#include <string>

#include "base/text.h"
#include "tools/load/sip_template.h"
#include "tools/load/sip_users.h"

namespace sluice::load {
namespace {

std::string Written(const SipTemplate& text, const SipValues& values,
                    size_t room = 1000) {
  std::string out(room, '\0');
  SipWriter writer(out.data(), out.size());
  text.Write(values, &writer);
  out.resize(writer.size());
  return out;
}

TEST(SipTemplateTest, FieldsAreWrittenWhereTheyStand) {
  SipValues values;
  values.number = 0xab;
  values.cseq = 12;
  values.step = 'b';
  values.user = "alice";
  values.target = "sip:t";
  values.to = "To: x\r\n";
  values.lines = "Route: r\r\n";
  values.body = "Content-Length: 0\r\n\r\n";
  EXPECT_EQ(Written(SipTemplate("{number}{step} {cseq} <{user}> {target}"
                                "|{to}|{lines}|{body}"),
                    values),
            "000000abb 12 <alice> sip:t|To: x\r\n|Route: r\r\n|"
            "Content-Length: 0\r\n\r\n");
}

TEST(SipTemplateTest, OtherBracesAreText) {
  for (const std::string_view text :
       {"", "{", "}", "{}", "{x}", "a{", "{user"}) {
    EXPECT_EQ(Written(SipTemplate(text), {}), text);
  }
  SipValues values;
  values.user = "u";
  EXPECT_EQ(Written(SipTemplate("{{user}}{x{user}"), values), "{u}{xu");
}

TEST(SipTemplateTest, WhatDoesNotFitIsNothing) {
  SipValues values;
  values.user = "abc";
  const SipTemplate text("12{user}45");
  EXPECT_EQ(Written(text, values, 7), "12abc45");
  for (size_t room = 0; room < 7; ++room) {
    EXPECT_EQ(Written(text, values, room), "") << room;
  }
}

TEST(SipUsersTest, APatternNumbersThem) {
  const auto users = SipUsers::FromPattern("u{}x", "p{}", 12);
  ASSERT_TRUE(users.ok());
  EXPECT_EQ(users->size(), 12u);
  EXPECT_EQ(users->Of(11).name, "u11x");
  EXPECT_EQ(users->Of(11).password, "p11");
  EXPECT_EQ(users->Of(25).name, "u1x");
  EXPECT_FALSE(SipUsers::FromPattern("u", "", 0).ok());
  EXPECT_FALSE(SipUsers::FromPattern("u", "", SipUsers::kMax + 1).ok());
  EXPECT_FALSE(SipUsers::FromPattern("u@h", "", 1).ok());
  EXPECT_FALSE(SipUsers::FromPattern("", "", 1).ok());
}

TEST(SipUsersTest, AFileNamesThem) {
  const auto users =
      SipUsers::FromText("# who\nalice:secret:with colon\r\n\nbob\n");
  ASSERT_TRUE(users.ok());
  ASSERT_EQ(users->size(), 2u);
  EXPECT_EQ(users->Of(0).name, "alice");
  EXPECT_EQ(users->Of(0).password, "secret:with colon");
  EXPECT_EQ(users->Of(1).name, "bob");
  EXPECT_FALSE(SipUsers::FromText("").ok());
  EXPECT_FALSE(SipUsers::FromText("a b\n").ok());
  EXPECT_FALSE(SipUsers::FromText(":x\n").ok());
}

TEST(SipCredentialsTest, AnswerAChallengeWithoutQopWithMd5) {
  SipScan scan;
  scan.status = 401;
  scan.challenge = "Digest realm=\"r\", nonce=\"n\"";
  std::string line;
  ASSERT_TRUE(
      PutAuthorization(scan, {"u", "p"}, "REGISTER", "sip:d", 1, &line));
  // MD5(MD5(u:r:p):n:MD5(REGISTER:sip:d)), by md5sum.
  EXPECT_EQ(line,
            "Authorization: Digest username=\"u\", realm=\"r\", nonce=\"n\", "
            "uri=\"sip:d\", response=\"114d779e912aea3b2895aea155a420c1\", "
            "algorithm=MD5\r\n");
}

TEST(SipCredentialsTest, AProxyIsAnsweredAsAProxyWithWhatItOffers) {
  SipScan scan;
  scan.status = 407;
  scan.challenge =
      "Digest realm=\"r\", qop=\"auth,auth-int\", nonce=\"n\", "
      "algorithm=SHA-256, opaque=\"o\"";
  std::string line;
  ASSERT_TRUE(PutAuthorization(scan, {"u", "p"}, "OPTIONS", "sip:d", 7, &line));
  EXPECT_TRUE(line.starts_with("Proxy-Authorization: Digest username=\"u\""));
  EXPECT_TRUE(line.ends_with(
      ", algorithm=SHA-256, qop=auth, nc=00000001, cnonce=\"c7\", "
      "opaque=\"o\"\r\n"))
      << line;
}

TEST(SipCredentialsTest, WhatIsNoChallengeThatWeKnowIsNotAnswered) {
  for (const std::string_view challenge :
       {"", "Basic realm=\"r\"", "Digest realm=\"r\"", "Digest nonce=\"n\"",
        "Digest realm=\"r\", nonce=\"n\", algorithm=MD4",
        "Digest realm=\"r\", realm=\"s\", nonce=\"n\""}) {
    SipScan scan;
    scan.status = 401;
    scan.challenge = challenge;
    std::string line;
    EXPECT_FALSE(
        PutAuthorization(scan, {"u", "p"}, "REGISTER", "sip:d", 1, &line))
        << challenge;
    EXPECT_EQ(line, "");
  }
}

}  // namespace
}  // namespace sluice::load
