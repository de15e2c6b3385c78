// Goal: only who knows the secret gets in, once a nonce and nc, in its time;
// who tried learns nothing else.
// Method: the published examples; a phone that answers the real challenges,
// with one thing wrong at a time, on a clock of the test's.

#include "sip/digest.h"

#include <openssl/evp.h>

#include <cstdlib>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace sluice::sip {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using Result = DigestCheck::Result;
using Verdict = NonceBook::Verdict;

constexpr DigestAlgorithm kMd5 = DigestAlgorithm::kMd5;
constexpr DigestAlgorithm kSha256 = DigestAlgorithm::kSha256;
constexpr DigestAlgorithm kSha512 = DigestAlgorithm::kSha512_256;

const Micros kStart = Micros::Seconds(1000);
const Micros kTtl = Micros::Seconds(30);
const std::string kKey(32, 'k');

// --- The arithmetic --------------------------------------------------------

TEST(DigestArithmetic, IsThatOfRfc7616) {
  const auto answer = [](DigestAlgorithm algorithm) {
    return DigestResponse(algorithm,
                          DigestA1(algorithm, "Mufasa", "http-auth@example.org",
                                   "Circle of Life"),
                          "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v",
                          "00000001",
                          "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ", "GET",
                          "/dir/index.html");
  };
  EXPECT_EQ(answer(kMd5), "8ca523f5e9506fed4657c9700eebdbec");
  EXPECT_EQ(answer(kSha256),
            "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1");
  // 3.9.2, the response as corrected by erratum 4897.
  EXPECT_EQ(
      DigestResponse(kSha512,
                     DigestA1(kSha512, "J\xc3\xa4s\xc3\xb8n Doe",
                              "api@example.org", "Secret, or not?"),
                     "5TsQWLVdgBdmrQ0XsxbDODV+57QdFR34I9HAbC/RVvkK", "00000001",
                     "NTg6RKcb9boFIAS3KrFK9BGeh+iDa/sm6jUMp2wds69v", "GET",
                     "/doe.json"),
      "3798d4131c277846293534c3edc11bd8a5e4cdcbff78b05db9d95eeb1cec68a5");
}

TEST(DigestArithmetic, IsThatOfTheOlderOnes) {
  // RFC 2617 3.5, and RFC 2069 2.4 as its erratum 749 corrects it.
  const std::string nonce = "dcd98b7102dd2f0e8b11d0f600bfb0c093";
  EXPECT_EQ(
      DigestResponse(
          kMd5,
          DigestA1(kMd5, "Mufasa", "testrealm@host.com", "Circle Of Life"),
          nonce, "00000001", "0a4f113b", "GET", "/dir/index.html"),
      "6629fae49393a05397450978507c4ef1");
  EXPECT_EQ(
      DigestResponse(
          kMd5, DigestA1(kMd5, "Mufasa", "testrealm@host.com", "CircleOfLife"),
          nonce, "", "", "GET", "/dir/index.html"),
      "1949323746fe6a43ef61f9606e7febea");
  EXPECT_EQ(DigestHex(kMd5, ""), "d41d8cd98f00b204e9800998ecf8427e");
  EXPECT_EQ(DigestHex(kSha256, "abc"),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

TEST(DigestArithmetic, KnowsItsNames) {
  for (const DigestAlgorithm algorithm : {kMd5, kSha256, kSha512}) {
    EXPECT_EQ(DigestAlgorithmOf(NameOf(algorithm)), algorithm);
  }
  EXPECT_EQ(DigestAlgorithmOf("sha-512-256"), kSha512);
  for (const char* name : {"", "SHA", "MD5-sess", "SHA-512"}) {
    EXPECT_EQ(DigestAlgorithmOf(name), std::nullopt) << name;
  }
}

// --- Nonces ----------------------------------------------------------------

TEST(NonceBook, RecognisesItsOwnForTheirTime) {
  NonceBook book(kKey, kTtl);
  const std::string nonce = book.Make("r", kStart);
  EXPECT_EQ(nonce.size(), 40u);
  EXPECT_NE(nonce, book.Make("r", kStart));
  EXPECT_EQ(book.Peek(nonce, "r", kStart), Verdict::kGood);
  EXPECT_EQ(book.Peek(nonce, "r", kStart + kTtl), Verdict::kGood);
  EXPECT_EQ(book.Peek(nonce, "r", kStart + kTtl + Micros(1)), Verdict::kStale);
  EXPECT_EQ(book.Check(nonce, "r", 1, kStart + kTtl + Micros(1)),
            Verdict::kStale);
  // From the future: before the machine was started anew.
  EXPECT_EQ(book.Peek(nonce, "r", kStart - Micros(1)), Verdict::kStale);
}

TEST(NonceBook, TakesNothingThatItDidNotMake) {
  NonceBook book(kKey, kTtl);
  const std::string nonce = book.Make("r", kStart);
  EXPECT_EQ(book.Peek(nonce, "R", kStart), Verdict::kForged);
  EXPECT_EQ(book.Peek("", "r", kStart), Verdict::kForged);
  EXPECT_EQ(book.Peek(nonce + "A", "r", kStart), Verdict::kForged);
  EXPECT_EQ(book.Peek(nonce.substr(1), "r", kStart), Verdict::kForged);
  EXPECT_EQ(book.Peek(std::string(40, 'A'), "r", kStart), Verdict::kForged);
  // Any other character in any place.
  for (size_t i = 0; i < nonce.size(); ++i) {
    for (const char c : {'A', 'B', '=', '+', '\0', '\xff'}) {
      std::string other = nonce;
      if (other[i] == c) continue;
      other[i] = c;
      EXPECT_EQ(book.Check(other, "r", 1, kStart), Verdict::kForged) << i;
    }
  }
  NonceBook stranger(std::string(32, 'x'), kTtl);
  EXPECT_EQ(stranger.Peek(nonce, "r", kStart), Verdict::kForged);
}

TEST(NonceBook, AfterARestartTheOldOnesAreStaleForNoUseIsRemembered) {
  NonceBook before(kKey, kTtl);
  const std::string nonce = before.Make("r", kStart);
  ASSERT_EQ(before.Check(nonce, "r", 1, kStart), Verdict::kGood);
  NonceBook after(kKey, kTtl);
  EXPECT_EQ(after.Check(nonce, "r", 1, kStart), Verdict::kStale);
}

TEST(NonceBook, LetsTheCountOnlyGrow) {
  NonceBook book(kKey, kTtl);
  const std::string nonce = book.Make("r", kStart);
  EXPECT_EQ(book.Check(nonce, "r", 0, kStart), Verdict::kReplayed);
  EXPECT_EQ(book.Check(nonce, "r", 1, kStart), Verdict::kGood);
  EXPECT_EQ(book.Check(nonce, "r", 1, kStart), Verdict::kReplayed);
  EXPECT_EQ(book.Check(nonce, "r", 5, kStart), Verdict::kGood);
  EXPECT_EQ(book.Check(nonce, "r", 4, kStart), Verdict::kReplayed);
  EXPECT_EQ(book.Check(nonce, "r", 6, kStart + kTtl), Verdict::kGood);
  EXPECT_EQ(book.Peek(nonce, "r", kStart + kTtl), Verdict::kGood);
}

TEST(NonceBook, TakesARetransmissionOfTheLastForWhatItIs) {
  NonceBook book(kKey, kTtl);
  const std::string nonce = book.Make("r", kStart);
  EXPECT_EQ(book.Check(nonce, "r", 1, kStart, "call 1"), Verdict::kGood);
  EXPECT_EQ(book.Check(nonce, "r", 1, kStart, "call 1"), Verdict::kGood);
  EXPECT_EQ(book.Check(nonce, "r", 1, kStart, "call 2"), Verdict::kReplayed);
  EXPECT_EQ(book.Check(nonce, "r", 1, kStart, ""), Verdict::kReplayed);
  EXPECT_EQ(book.Check(nonce, "r", 2, kStart, "call 2"), Verdict::kGood);
  EXPECT_EQ(book.Check(nonce, "r", 1, kStart, "call 1"), Verdict::kReplayed);
}

TEST(NonceBook, WhenFullTheOldestGoesAndIsNotTakenTwice) {
  NonceBook book(kKey, kTtl);
  const std::string unused = book.Make("r", kStart);
  const std::string oldest = book.Make("r", kStart);
  const std::string second = book.Make("r", kStart);
  ASSERT_EQ(book.Check(oldest, "r", 1, kStart), Verdict::kGood);
  ASSERT_EQ(book.Check(second, "r", 1, kStart), Verdict::kGood);
  std::string last;
  for (size_t i = 2; i < NonceBook::kNoncesMax; ++i) {
    last = book.Make("r", kStart);
    ASSERT_EQ(book.Check(last, "r", 1, kStart), Verdict::kGood);
  }
  // Full. One that is older than all that are kept is itself the oldest.
  EXPECT_EQ(book.Check(unused, "r", 1, kStart), Verdict::kStale);
  EXPECT_EQ(book.Check(oldest, "r", 2, kStart), Verdict::kGood);
  EXPECT_EQ(book.Check(book.Make("r", kStart), "r", 1, kStart), Verdict::kGood);
  EXPECT_EQ(book.Check(oldest, "r", 3, kStart), Verdict::kStale);
  EXPECT_EQ(book.Check(oldest, "r", 2, kStart), Verdict::kStale);
  EXPECT_EQ(book.Peek(unused, "r", kStart), Verdict::kStale);
  EXPECT_EQ(book.Check(second, "r", 1, kStart), Verdict::kReplayed);
  EXPECT_EQ(book.Check(last, "r", 1, kStart), Verdict::kReplayed);
  // What has had its time makes room by itself.
  const Micros later = kStart + kTtl + Micros::Millis(1);
  const std::string fresh = book.Make("r", later);
  EXPECT_EQ(book.Check(fresh, "r", 1, later), Verdict::kGood);
  EXPECT_EQ(book.Check(fresh, "r", 1, later), Verdict::kReplayed);
}

// --- Credentials -----------------------------------------------------------

class OneUser : public UserStore {
 public:
  std::optional<std::string> A1(std::string_view user, std::string_view realm,
                                DigestAlgorithm algorithm) override {
    ++asked;
    if (user != "alice" || realm != "example.com") return std::nullopt;
    if (algorithm == kSha512) return std::nullopt;
    return DigestA1(algorithm, user, realm, "wonderland");
  }
  int asked = 0;
};

class DigestTest : public ::testing::Test {
 protected:
  // A phone's answer, from the parameters of a challenge. A parameter of
  // `other` replaces the phone's, "" takes it out; response is made last, from
  // what is then there, unless it is replaced too.
  std::string Answer(const std::string& challenge,
                     std::map<std::string, std::string> other = {}) {
    const auto given = AuthValue::Parse(challenge);
    EXPECT_TRUE(given) << challenge;
    std::map<std::string, std::string> p{
        {"username", "alice"},
        {"realm", given->Get("realm").value_or("")},
        {"nonce", given->Get("nonce").value_or("")},
        {"uri", "sip:example.com"},
        {"algorithm", given->Get("algorithm").value_or("")},
        {"qop", "auth"},
        {"nc", "00000001"},
        {"cnonce", "0a4f"},
        {"password", "wonderland"},
        {"method", "REGISTER"}};
    if (const auto opaque = given->Get("opaque")) p["opaque"] = *opaque;
    for (const auto& [name, value] : other) {
      p[name] = value;
      if (value.empty()) p.erase(name);
    }
    const auto get = [&p](const char* name) {
      const auto found = p.find(name);
      return found == p.end() ? std::string() : found->second;
    };
    const DigestAlgorithm algorithm =
        DigestAlgorithmOf(get("algorithm")).value_or(kMd5);
    if (other.count("response") == 0) {
      p["response"] = DigestResponse(
          algorithm,
          DigestA1(algorithm, get("username"), get("realm"), get("password")),
          get("nonce"), p.count("qop") ? get("nc") : "", get("cnonce"),
          get("method"), get("uri"));
    }
    p.erase("password");
    p.erase("method");
    std::string value = "Digest ";
    for (const auto& [name, text] : p) {
      const bool bare = name == "nc" || name == "qop" || name == "algorithm";
      absl::StrAppend(
          &value, value.size() > 7 ? ", " : "", name, "=",
          bare ? text
               : absl::StrCat("\"", absl::StrReplaceAll(text, {{"\"", "\\\""}}),
                              "\""));
    }
    return value;
  }
  DigestCheck Check(const std::string& value, Micros now = kStart,
                    std::string_view transaction = {}) {
    return digest_.Check(std::vector<std::string_view>{value}, "REGISTER",
                         "sip:example.com", now, transaction);
  }
  std::string Fresh(size_t which = 0) {
    return digest_.Challenges(false, kStart)[which];
  }
  // What an answer that differs in `other` is worth, to a fresh challenge.
  Result Worth(std::map<std::string, std::string> other) {
    return Check(Answer(Fresh(), std::move(other))).result;
  }

  OneUser users_;
  NonceBook nonces_{kKey, kTtl};
  Digest digest_{{.realm = "example.com", .opaque = "o\"p"}, users_, nonces_};
};

TEST_F(DigestTest, ChallengesInTheOrderOfTheOptions) {
  const auto challenges = digest_.Challenges(false, kStart);
  ASSERT_EQ(challenges.size(), 2u);
  const auto first = AuthValue::Parse(challenges[0]);
  const auto second = AuthValue::Parse(challenges[1]);
  ASSERT_TRUE(first && second);
  EXPECT_EQ(first->scheme, "Digest");
  EXPECT_EQ(first->Get("algorithm"), "SHA-256");
  EXPECT_EQ(second->Get("algorithm"), "MD5");
  EXPECT_EQ(first->Get("realm"), "example.com");
  EXPECT_EQ(first->Get("qop"), "auth");
  EXPECT_EQ(first->Get("opaque"), "o\"p");
  EXPECT_EQ(first->Get("nonce"), second->Get("nonce"));
  EXPECT_EQ(first->Get("stale"), std::nullopt);
  EXPECT_NE(Fresh(), Fresh());
  for (const std::string& value : digest_.Challenges(true, kStart)) {
    EXPECT_THAT(value, HasSubstr("stale=true"));
  }
}

TEST_F(DigestTest, LetsInWhoKnowsThePassword) {
  for (const size_t which : {0, 1}) {
    const DigestCheck check = Check(Answer(Fresh(which)));
    EXPECT_EQ(check.result, Result::kOk);
    EXPECT_EQ(check.user, "alice");
  }
  EXPECT_EQ(Worth({{"qop", "AUTH"}}), Result::kOk);
  // Without an algorithm it is MD5.
  EXPECT_EQ(Check(Answer(Fresh(1), {{"algorithm", ""}})).result, Result::kOk);
  // Digits of the response in capitals.
  std::string loud = Answer(Fresh());
  const size_t at = loud.find("response=\"") + 10;
  for (size_t i = at; loud[i] != '"'; ++i) loud[i] = toupper(loud[i]);
  EXPECT_EQ(Check(loud).result, Result::kOk);
}

TEST_F(DigestTest, LetsInNobodyElse) {
  const std::map<std::string, std::string> wrong[] = {
      {{"password", "wonderlanD"}},
      {{"username", "bob"}},
      {{"username", ""}},
      {{"method", "INVITE"}},
      {{"uri", "sip:example.org"}},
      {{"uri", ""}},
      {{"uri", "*"}},
      {{"nonce", ""}},
      {{"nonce", std::string(40, 'A')}},
      {{"response", ""}},
      {{"response", "0"}},
      {{"response", std::string(64, '0')}},
      {{"opaque", ""}},
      {{"opaque", "x"}},
      {{"algorithm", "SHA-512-256"}},  // not offered
      {{"algorithm", "MD5-sess"}},
      {{"userhash", "true"}},
      {{"qop", "auth-int"}},
      {{"qop", ""}},  // RFC 2069, which is not allowed
      {{"nc", ""}},
      {{"nc", "1"}},
      {{"nc", "0000000g"}},
      {{"nc", "000000001"}},
      {{"nc", "00000000"}},
      {{"cnonce", ""}},
  };
  for (const auto& other : wrong) {
    EXPECT_EQ(Worth(other), Result::kWrong)
        << other.begin()->first << "=" << other.begin()->second;
    EXPECT_THAT(Check(Answer(Fresh(), other)).user, IsEmpty());
  }
  EXPECT_EQ(Worth({{"userhash", "false"}}), Result::kOk);
}

TEST_F(DigestTest, AsksForAUserEvenWhenItIsNobody) {
  users_.asked = 0;
  EXPECT_EQ(Worth({{"username", "nobody"}}), Result::kWrong);
  EXPECT_EQ(users_.asked, 1);
}

TEST_F(DigestTest, NobodysSecretIsNotOneThatCanBeGuessed) {
  const std::string challenge = Fresh();
  const std::string nonce =
      AuthValue::Parse(challenge)->Get("nonce").value_or("");
  for (const std::string& a1 : {std::string(), std::string(64, '0')}) {
    const std::string response = DigestResponse(
        kSha256, a1, nonce, "00000001", "0a4f", "REGISTER", "sip:example.com");
    EXPECT_EQ(Check(Answer(challenge,
                           {{"username", "nobody"}, {"response", response}}))
                  .result,
              Result::kWrong);
  }
}

TEST_F(DigestTest, LeavesOtherRealmsAndSchemesAlone) {
  EXPECT_EQ(Worth({{"realm", "example.org"}}), Result::kNone);
  EXPECT_EQ(Worth({{"realm", ""}}), Result::kNone);
  EXPECT_EQ(Check("Basic YWxhZGRpbjpvcGVuc2VzYW1l").result, Result::kNone);
  EXPECT_EQ(Check("").result, Result::kNone);
  EXPECT_EQ(Check("Digest").result, Result::kNone);
  EXPECT_EQ(digest_
                .Check(std::vector<std::string_view>{}, "REGISTER",
                       "sip:example.com", kStart)
                .result,
            Result::kNone);
  EXPECT_TRUE(digest_.IsOurs(Answer(Fresh())));
  EXPECT_FALSE(digest_.IsOurs(Answer(Fresh(), {{"realm", "example.org"}})));
  EXPECT_FALSE(digest_.IsOurs("Basic realm=\"example.com\""));
}

TEST_F(DigestTest, FindsTheRightOneAmongSeveral) {
  const std::string other = Answer(Fresh(), {{"realm", "example.org"}});
  const std::string wrong = Answer(Fresh(), {{"password", "x"}});
  const std::string right = Answer(Fresh());
  const auto check = [&](std::vector<std::string_view> values) {
    return digest_.Check(values, "REGISTER", "sip:example.com", kStart).result;
  };
  EXPECT_EQ(check({other, wrong}), Result::kWrong);
  EXPECT_EQ(check({wrong, other}), Result::kWrong);
  EXPECT_EQ(check({other, wrong, right}), Result::kOk);
}

TEST_F(DigestTest, TakesTheSameUriInAnotherSpelling) {
  const auto check = [&](std::string_view request_uri) {
    const std::string value =
        Answer(Fresh(), {{"uri", "sip:Example.com;transport=udp"}});
    return digest_
        .Check(std::vector<std::string_view>{value}, "REGISTER", request_uri,
               kStart)
        .result;
  };
  EXPECT_EQ(check("sip:example.COM;transport=UDP"), Result::kOk);
  EXPECT_EQ(check("sip:example.com"), Result::kWrong);
  EXPECT_EQ(check("sips:example.com;transport=udp"), Result::kWrong);
}

TEST_F(DigestTest, SaysStaleOnlyToWhoWasRight) {
  const std::string challenge = Fresh();
  const Micros late = kStart + kTtl + Micros(1);
  EXPECT_EQ(Check(Answer(challenge), late).result, Result::kStale);
  EXPECT_EQ(Check(Answer(challenge, {{"password", "x"}}), late).result,
            Result::kWrong);
  EXPECT_EQ(Check(Answer(challenge), kStart + kTtl).result, Result::kOk);
}

TEST_F(DigestTest, AReplayIsStaleAndARetransmissionIsNot) {
  const std::string challenge = Fresh();
  const std::string value = Answer(challenge);
  EXPECT_EQ(Check(value, kStart, "call 1 from A").result, Result::kOk);
  EXPECT_EQ(Check(value, kStart, "call 1 from A").result, Result::kOk);
  EXPECT_EQ(Check(value, kStart, "call 1 from B").result, Result::kStale);
  EXPECT_EQ(Check(value, kStart).result, Result::kStale);
  EXPECT_EQ(Check(Answer(challenge, {{"nc", "0000000A"}}), kStart).result,
            Result::kOk);
  EXPECT_EQ(Check(Answer(challenge, {{"nc", "00000009"}}), kStart).result,
            Result::kStale);
}

TEST_F(DigestTest, AWrongAnswerUsesUpNothing) {
  const std::string challenge = Fresh();
  EXPECT_EQ(
      Check(Answer(challenge, {{"password", "x"}, {"nc", "ffffffff"}})).result,
      Result::kWrong);
  EXPECT_EQ(Check(Answer(challenge)).result, Result::kOk);
}

TEST_F(DigestTest, WithoutQopEachNonceOnceWhereThatIsAllowed) {
  Digest old({.realm = "example.com", .allow_rfc2069 = true}, users_, nonces_);
  const std::string challenge = old.Challenges(false, kStart)[1];
  const std::string value =
      Answer(challenge, {{"qop", ""}, {"nc", ""}, {"cnonce", ""}});
  const auto check = [&] {
    return old
        .Check(std::vector<std::string_view>{value}, "REGISTER",
               "sip:example.com", kStart)
        .result;
  };
  EXPECT_EQ(check(), Result::kOk);
  EXPECT_EQ(check(), Result::kStale);
}

// A library that is to be FIPS's has no MD5, and its digest of anything is "":
// so may a stranger's response be.
TEST_F(DigestTest, WhereTheLibraryHasNoSuchDigestNobodyGetsIn) {
  // In a program of its own: what the library has is asked once.
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  const auto verdict = [this] {
    if (EVP_set_default_properties(nullptr, "fips=yes") != 1) return 2;
    if (!DigestHex(kMd5, "abc").empty()) return 3;
    const std::string nothing =
        absl::StrReplaceAll(Answer(Fresh(1), {{"response", "x"}}),
                            {{"response=\"x\"", "response=\"\""}});
    return Check(nothing).result == Result::kWrong ? 0 : 1;
  };
  EXPECT_EXIT(std::exit(verdict()), ::testing::ExitedWithCode(0), "");
}

TEST_F(DigestTest, QuotesWhatItIsGiven) {
  Digest odd({.realm = R"(a"b\c)", .algorithms = {kSha512}}, users_, nonces_);
  const auto challenges = odd.Challenges(false, kStart);
  ASSERT_EQ(challenges.size(), 1u);
  EXPECT_EQ(AuthValue::Parse(challenges[0])->Get("realm"), R"(a"b\c)");
  EXPECT_THAT(challenges[0], Not(HasSubstr("opaque")));
  EXPECT_TRUE(odd.IsOurs(challenges[0]));
}

}  // namespace
}  // namespace sluice::sip
