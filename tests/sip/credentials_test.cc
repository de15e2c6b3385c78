// Goal: whoever challenges us by the book is answered by the book, at once in
// the next request too; nobody makes us loop, grow or write a header of his.
// Method: the published examples; our own Digest and NonceBook at the other
// end; hostile challenges, with answers parsed by our own parser.

#include "sip/credentials.h"

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "base/text.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/sip/messages.h"

namespace sluice::sip {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr DigestAlgorithm kMd5 = DigestAlgorithm::kMd5;
constexpr DigestAlgorithm kSha256 = DigestAlgorithm::kSha256;
constexpr DigestAlgorithm kSha512 = DigestAlgorithm::kSha512_256;
constexpr std::string_view kUri = "sip:example.com";

// A 401 or 407 with these header lines; some tests say something else.
struct Response {
  explicit Response(std::string_view lines, int status = 401)
      : text(Cat("SIP/2.0 ", status, " No\r\n",
                 "Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1\r\n"
                 "From: <sip:alice@example.com>;tag=a\r\n"
                 "To: <sip:bob@example.net>;tag=b\r\n"
                 "Call-ID: 1@example.com\r\nCSeq: 7 REGISTER\r\n",
                 lines, "Content-Length: 0\r\n\r\n")) {
    const Refusal refusal = message.Parse(text);
    EXPECT_FALSE(refusal) << refusal.reason << "\n" << text;
  }
  std::string text;
  Message message;
};
std::string Www(std::string_view value) {
  return Cat("WWW-Authenticate: ", value, "\r\n");
}
std::string Proxy(std::string_view value) {
  return Cat("Proxy-Authenticate: ", value, "\r\n");
}
bool Take(Challenges* challenges, std::string_view lines,
          const Credentials& who, int status = 401) {
  const Response response(lines, status);
  return challenges->Take(response.message, who);
}

// The values of one header of a request that has these lines.
std::vector<std::string> Values(const std::string& lines, HeaderId id) {
  const std::string text = RequestText{.more = lines}.Text();
  Message request;
  const Refusal refusal = request.Parse(text);
  EXPECT_FALSE(refusal) << refusal.reason << "\n" << text;
  std::vector<std::string> values;
  for (const Header& header : request.headers()) {
    if (header.id == id) values.emplace_back(header.value);
  }
  return values;
}
// One parameter of the only Authorization; "(none)" when it is not there.
std::string Get(const std::string& lines, std::string_view name) {
  const auto values = Values(lines, HeaderId::kAuthorization);
  EXPECT_EQ(values.size(), 1u) << lines;
  if (values.size() != 1) return "";
  const auto auth = AuthValue::Parse(values[0]);
  EXPECT_TRUE(auth) << lines;
  return auth ? auth->Get(name).value_or("(none)") : "";
}

const Credentials kAlice("alice", "wonderland");
constexpr std::string_view kChallenge =
    R"(Digest realm="r", nonce="n1", qop="auth", algorithm=MD5)";
constexpr std::string_view kStale =
    R"(Digest realm="r", nonce="n2", qop="auth", algorithm=MD5, stale=TRUE)";

// --- Who we are ------------------------------------------------------------

TEST(Credentials, AreFoundByRealm) {
  EXPECT_TRUE(Credentials().empty());
  EXPECT_FALSE(Credentials().Find("r"));
  EXPECT_FALSE(kAlice.empty());
  EXPECT_EQ(kAlice.Find("anything")->user, "alice");
  EXPECT_EQ(kAlice.Find("")->password, "wonderland");
  const Credentials map(
      Credentials::Map{{"one", {"a", "x"}}, {"two", {"b", "y"}}});
  EXPECT_EQ(map.Find("one")->user, "a");
  EXPECT_EQ(map.Find("two")->password, "y");
  EXPECT_FALSE(map.Find("three"));
  EXPECT_FALSE(map.Find("ONE"));
  EXPECT_TRUE(Credentials(Credentials::Map{}).empty());
  std::string asked;
  const Credentials lookup(
      [&asked](std::string_view realm) -> std::optional<Login> {
        asked = realm;
        if (realm != "one") return std::nullopt;
        return Login{.user = "c", .password = "z"};
      });
  EXPECT_EQ(lookup.Find("one")->user, "c");
  EXPECT_FALSE(lookup.Find("two"));
  EXPECT_EQ(asked, "two");
  EXPECT_TRUE(Credentials(Credentials::Lookup()).empty());
}

// --- The arithmetic --------------------------------------------------------

TEST(Challenges, AnswerAsTheExamplesOfTheRfcsDo) {
  struct Row {
    std::string challenge, user, password, cnonce, uri, response;
  };
  const std::string mufasa =
      R"(Digest realm="http-auth@example.org", qop="auth, auth-int", )"
      R"(algorithm=%, nonce="7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v", )"
      R"(opaque="FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS")";
  const std::string cnonce = "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ";
  const std::string older = R"(Digest realm="testrealm@host.com", )"
                            R"(nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093", )"
                            R"(opaque="5ccc069c403ebaf9f0171e9517f40e41")";
  const Row rows[] = {
      // RFC 7616 3.9.1.
      {absl::StrReplaceAll(mufasa, {{"%", "MD5"}}), "Mufasa", "Circle of Life",
       cnonce, "/dir/index.html", "8ca523f5e9506fed4657c9700eebdbec"},
      {absl::StrReplaceAll(mufasa, {{"%", "SHA-256"}}), "Mufasa",
       "Circle of Life", cnonce, "/dir/index.html",
       "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"},
      // 3.9.2 by erratum 4897. Its userhash changes how the user is named, not
      // the response; we name him as he is, which it leaves to us.
      {R"(Digest realm="api@example.org", qop="auth", algorithm=SHA-512-256, )"
       R"(nonce="5TsQWLVdgBdmrQ0XsxbDODV+57QdFR34I9HAbC/RVvkK", )"
       R"(opaque="HRPCssKJSGjCrkzDg8OhwpzCiGPChXYjwrI2QmXDnsOS", )"
       R"(charset=UTF-8, userhash=true)",
       "J\xc3\xa4s\xc3\xb8n Doe", "Secret, or not?",
       "NTg6RKcb9boFIAS3KrFK9BGeh+iDa/sm6jUMp2wds69v", "/doe.json",
       "3798d4131c277846293534c3edc11bd8a5e4cdcbff78b05db9d95eeb1cec68a5"},
      // RFC 2617 3.5.
      {older + R"(, qop="auth,auth-int")", "Mufasa", "Circle Of Life",
       "0a4f113b", "/dir/index.html", "6629fae49393a05397450978507c4ef1"},
      // RFC 2069 2.4 by erratum 749.
      {older, "Mufasa", "CircleOfLife", "unused", "/dir/index.html",
       "1949323746fe6a43ef61f9606e7febea"},
  };
  for (const Row& row : rows) {
    SCOPED_TRACE(row.challenge);
    Challenges challenges([&row] { return row.cnonce; });
    ASSERT_TRUE(Take(&challenges, Www(row.challenge),
                     Credentials(row.user, row.password)));
    const std::string lines = challenges.Lines("GET", row.uri);
    EXPECT_EQ(Get(lines, "response"), row.response);
    EXPECT_EQ(Get(lines, "username"), row.user);
    EXPECT_EQ(Get(lines, "uri"), row.uri);
    const auto given = AuthValue::Parse(row.challenge);
    for (const char* name : {"realm", "nonce", "opaque", "algorithm"}) {
      EXPECT_EQ(Get(lines, name), given->Get(name).value_or("(none)"));
    }
    const bool qop = given->Get("qop").has_value();
    EXPECT_EQ(Get(lines, "qop"), qop ? "auth" : "(none)");
    EXPECT_EQ(Get(lines, "nc"), qop ? "00000001" : "(none)");
    EXPECT_EQ(Get(lines, "cnonce"), qop ? row.cnonce : "(none)");
  }
}

TEST(Challenges, AreAnsweredInTheFormOfTheGrammar) {
  Challenges challenges([] { return std::string("c"); });
  ASSERT_TRUE(Take(&challenges,
                   Proxy(R"(digest Realm="r", NONCE="n", opaque="", )"
                         R"(algorithm=sha-256, qop="auth")"),
                   kAlice, 407));
  EXPECT_EQ(
      challenges.Lines("INVITE", kUri),
      Cat("Proxy-Authorization: Digest username=\"alice\", realm=\"r\", "
          "nonce=\"n\", uri=\"sip:example.com\", response=\"",
          DigestResponse(kSha256, DigestA1(kSha256, "alice", "r", "wonderland"),
                         "n", "00000001", "c", "INVITE", kUri),
          "\", algorithm=SHA-256, opaque=\"\", qop=auth, nc=00000001, "
          "cnonce=\"c\"\r\n"));
}

TEST(Challenges, AreAnsweredWithAFreshCnonceAndACountThatGrows) {
  Challenges challenges;
  EXPECT_TRUE(challenges.empty());
  EXPECT_EQ(challenges.Lines("REGISTER", kUri), "");
  ASSERT_TRUE(Take(&challenges, Www(kChallenge), kAlice));
  EXPECT_FALSE(challenges.empty());
  std::string last, nc;
  for (int i = 0; i < 17; ++i) {
    const std::string lines = challenges.Lines("REGISTER", kUri);
    EXPECT_EQ(Get(lines, "cnonce").size(), 32u);
    EXPECT_NE(Get(lines, "cnonce"), last);
    EXPECT_GT(Get(lines, "nc"), nc);
    last = Get(lines, "cnonce");
    nc = Get(lines, "nc");
  }
  EXPECT_EQ(nc, "00000011");
  // A new nonce counts from 1.
  ASSERT_TRUE(Take(&challenges, Www(kStale), kAlice));
  const std::string lines = challenges.Lines("REGISTER", kUri);
  EXPECT_EQ(Get(lines, "nc"), "00000001");
  EXPECT_EQ(Get(lines, "nonce"), "n2");
}

// --- Against our own server ------------------------------------------------

class OneUser : public UserStore {
 public:
  std::optional<std::string> A1(std::string_view user, std::string_view realm,
                                DigestAlgorithm algorithm) override {
    if (user != R"(al"i\ce)") return std::nullopt;
    return DigestA1(algorithm, user, realm, "wonder:land");
  }
};

class ServerTest : public ::testing::Test {
 protected:
  static constexpr std::string_view kRealm = R"(a "b\c)";
  const Micros kStart = Micros::Seconds(1000);
  const Micros kTtl = Micros::Seconds(30);

  void Serve(std::vector<DigestAlgorithm> algorithms, bool old = false) {
    digest_ = std::make_unique<Digest>(
        Digest::Options{.realm = std::string(kRealm),
                        .opaque = R"(o"p\)",
                        .algorithms = std::move(algorithms),
                        .allow_rfc2069 = old},
        users_, nonces_);
  }
  std::string Challenge(bool stale = false, std::string_view without = "") {
    std::string lines;
    for (const std::string& value : digest_->Challenges(stale, now_)) {
      lines += Www(absl::StrReplaceAll(
          value, {{absl::string_view(without.data(), without.size()), ""}}));
    }
    return lines;
  }
  // One request with what we have.
  DigestCheck::Result Send() {
    return digest_
        ->Check(Values(challenges_.Lines("REGISTER", kUri),
                       HeaderId::kAuthorization),
                "REGISTER", kUri, now_)
        .result;
  }

  OneUser users_;
  NonceBook nonces_{std::string(32, 'k'), kTtl};
  std::unique_ptr<Digest> digest_;
  Micros now_ = kStart;
  Challenges challenges_;
  const Credentials who_{R"(al"i\ce)", "wonder:land"};
};

TEST_F(ServerTest, LetsUsInByEachAlgorithmAgainAndAgain) {
  for (const DigestAlgorithm algorithm : {kMd5, kSha256, kSha512}) {
    Serve({algorithm});
    challenges_ = Challenges();
    EXPECT_EQ(Send(), DigestCheck::Result::kNone);
    ASSERT_TRUE(Take(&challenges_, Challenge(), who_)) << NameOf(algorithm);
    for (int i = 0; i < 20; ++i) {
      EXPECT_EQ(Send(), DigestCheck::Result::kOk) << i;
    }
  }
}

TEST_F(ServerTest, LetsUsInByTheOneItWantsMost) {
  Serve({kSha512, kMd5, kSha256});
  ASSERT_TRUE(Take(&challenges_, Challenge(), who_));
  const std::string lines = challenges_.Lines("REGISTER", kUri);
  EXPECT_EQ(Get(lines, "algorithm"), "SHA-512-256");
  EXPECT_EQ(Send(), DigestCheck::Result::kOk);
}

TEST_F(ServerTest, LetsUsInWithoutQopWhereThatIsAllowed) {
  Serve({kMd5}, true);
  ASSERT_TRUE(Take(&challenges_, Challenge(false, ", qop=\"auth\""), who_));
  EXPECT_EQ(Send(), DigestCheck::Result::kOk);
  // Each nonce once.
  EXPECT_EQ(Send(), DigestCheck::Result::kStale);
  ASSERT_TRUE(Take(&challenges_, Challenge(true, ", qop=\"auth\""), who_));
  EXPECT_EQ(Send(), DigestCheck::Result::kOk);
}

TEST_F(ServerTest, IsAnsweredAnewWhenTheNonceHasHadItsTime) {
  Serve({kSha256, kMd5});
  ASSERT_TRUE(Take(&challenges_, Challenge(), who_));
  EXPECT_EQ(Send(), DigestCheck::Result::kOk);
  now_ = now_ + kTtl + Micros(1);
  EXPECT_EQ(Send(), DigestCheck::Result::kStale);
  ASSERT_TRUE(Take(&challenges_, Challenge(true), who_));
  EXPECT_EQ(Send(), DigestCheck::Result::kOk);
}

TEST_F(ServerTest, HearsAWrongPasswordOnce) {
  Serve({kSha256, kMd5});
  const Credentials wrong(R"(al"i\ce)", "wonder");
  ASSERT_TRUE(Take(&challenges_, Challenge(), wrong));
  EXPECT_EQ(Send(), DigestCheck::Result::kWrong);
  EXPECT_FALSE(Take(&challenges_, Challenge(), wrong));
  EXPECT_EQ(challenges_.Lines("REGISTER", kUri), "");
  EXPECT_FALSE(Take(&challenges_, Challenge(), wrong));
  // Somebody typed another.
  ASSERT_TRUE(Take(&challenges_, Challenge(), who_));
  EXPECT_EQ(Send(), DigestCheck::Result::kOk);
}

// --- Once, and not for ever ------------------------------------------------

TEST(Challenges, OfOneRealmAreAnsweredOnce) {
  Challenges challenges;
  ASSERT_TRUE(Take(&challenges, Www(kChallenge), kAlice));
  challenges.Lines("REGISTER", kUri);
  const std::string other =
      absl::StrReplaceAll(std::string(kChallenge), {{"n1", "n3"}});
  EXPECT_FALSE(Take(&challenges, Www(other), kAlice));
  // Nor by another algorithm, nor because it is stale all of a sudden.
  EXPECT_FALSE(Take(&challenges,
                    Www(absl::StrReplaceAll(other, {{"MD5", "SHA-256"}})),
                    kAlice));
  EXPECT_FALSE(Take(&challenges, Www(kStale), kAlice));
  // Another user is another answer.
  EXPECT_TRUE(Take(&challenges, Www(other), Credentials("bob", "wonderland")));
}

TEST(Challenges, ThatWereNotAnsweredYetAreReplaced) {
  Challenges challenges;
  for (int i = 0; i < 10; ++i) {
    ASSERT_TRUE(Take(&challenges, Www(kChallenge), kAlice));
  }
  EXPECT_EQ(Get(challenges.Lines("REGISTER", kUri), "nc"), "00000001");
  EXPECT_TRUE(Take(&challenges, Www(kStale), kAlice));
}

TEST(Challenges, StaleWithTheSameNonceIsARefusal) {
  Challenges challenges;
  ASSERT_TRUE(Take(&challenges, Www(kStale), kAlice));
  challenges.Lines("REGISTER", kUri);
  EXPECT_FALSE(Take(&challenges, Www(kStale), kAlice));
}

TEST(Challenges, AlwaysStaleComeToAnEnd) {
  Challenges challenges;
  int made = 0;
  const auto answer = [&] {
    const std::string stale = absl::StrReplaceAll(
        std::string(kStale), {{"n2", absl::StrCat("s", ++made)}});
    if (!Take(&challenges, Www(stale), kAlice)) return false;
    EXPECT_NE(challenges.Lines("REGISTER", kUri), "");
    return true;
  };
  // A success between them begins anew: its own answer, and as many more.
  for (int i = 1; i < Challenges::kAnswersMax; ++i) ASSERT_TRUE(answer());
  challenges.Accepted();
  challenges.Lines("REGISTER", kUri);
  for (int i = 0; i < Challenges::kAnswersMax; ++i) ASSERT_TRUE(answer()) << i;
  EXPECT_FALSE(answer());
  EXPECT_EQ(challenges.Lines("REGISTER", kUri), "");
  EXPECT_FALSE(answer());
}

TEST(Challenges, AfterASuccessARefusalIsANewOne) {
  Challenges challenges;
  for (int i = 0; i < 3 * Challenges::kAnswersMax; ++i) {
    const std::string fresh = absl::StrReplaceAll(
        std::string(kChallenge), {{"n1", absl::StrCat("f", i)}});
    ASSERT_TRUE(Take(&challenges, Www(fresh), kAlice)) << i;
    EXPECT_EQ(Get(challenges.Lines("REGISTER", kUri), "nc"), "00000001");
    challenges.Accepted();
    EXPECT_EQ(Get(challenges.Lines("REGISTER", kUri), "nc"), "00000002");
    challenges.Accepted();
  }
}

// --- Several realms --------------------------------------------------------

TEST(Challenges, OfSeveralRealmsAddUp) {
  const Credentials who(Credentials::Map{
      {"proxy", {"p", "1"}}, {"server", {"s", "2"}}, {"both", {"b", "3"}}});
  Challenges challenges;
  ASSERT_TRUE(Take(&challenges,
                   Proxy(R"(Digest realm="proxy", nonce="n")") +
                       Proxy(R"(Digest realm="both", nonce="n")") +
                       Proxy(R"(Digest realm="stranger", nonce="n")"),
                   who, 407));
  // A fork puts both sorts into one (RFC 3261 16.7 step 7).
  ASSERT_TRUE(
      Take(&challenges,
           Www(R"(Digest realm="server", nonce="n")") +
               Proxy(R"(Digest realm="proxy", nonce="n2", stale=true)") +
               Www(R"(Digest realm="both", nonce="n")"),
           who));
  const std::string lines = challenges.Lines("INVITE", kUri);
  const auto realms = [&lines](HeaderId id) {
    std::vector<std::string> names;
    for (const std::string& value : Values(lines, id)) {
      const auto auth = AuthValue::Parse(value);
      names.push_back(Cat(auth->Get("realm").value_or(""), " ",
                          auth->Get("username").value_or(""), " ",
                          auth->Get("nonce").value_or("")));
    }
    return names;
  };
  EXPECT_THAT(realms(HeaderId::kProxyAuthorization),
              ElementsAre("proxy p n2", "both b n"));
  EXPECT_THAT(realms(HeaderId::kAuthorization),
              ElementsAre("server s n", "both b n"));
  // One that refuses does not hold up another that is new.
  const Credentials more(Credentials::Map{
      {"proxy", {"p", "1"}}, {"server", {"s", "2"}}, {"third", {"t", "4"}}});
  EXPECT_TRUE(Take(&challenges,
                   Www(R"(Digest realm="server", nonce="n3")") +
                       Www(R"(Digest realm="third", nonce="n")"),
                   more));
  EXPECT_THAT(
      Values(challenges.Lines("INVITE", kUri), HeaderId::kAuthorization),
      ElementsAre(HasSubstr("\"both\""), HasSubstr("\"third\"")));
}

TEST(Challenges, OfOneRealmTheFirstThatWeCanIsTaken) {
  int asked = 0;
  const Credentials who([&asked](std::string_view) -> std::optional<Login> {
    ++asked;
    return Login{.user = "alice", .password = "wonderland"};
  });
  Challenges challenges;
  ASSERT_TRUE(
      Take(&challenges,
           Www(R"(Basic realm="r")") +
               Www(R"(Digest realm="r", nonce="1", algorithm=X)") +
               Www(R"(Digest realm="r", nonce="2", algorithm=MD5-sess)") +
               Www(R"(Digest realm="r", nonce="3", qop="auth-int")") +
               Www(R"(Digest realm="r", nonce="4", algorithm=SHA-256)") +
               Www(R"(Digest realm="r", nonce="5", algorithm=MD5)"),
           who));
  EXPECT_EQ(Get(challenges.Lines("REGISTER", kUri), "nonce"), "4");
  EXPECT_EQ(asked, 1);
}

// --- Strangers -------------------------------------------------------------

TEST(Challenges, ThatWeCannotAnswerAreNotTaken) {
  const std::string huge(Challenges::kChallengeOctetsMax, 'x');
  const std::string rows[] = {
      "",
      Www("Basic realm=\"r\", nonce=\"n\""),
      Www("Digest"),
      Www("Digest realm=\"r\""),
      Www("Digest nonce=\"n\""),
      Www("Digest realm=\"r\", nonce=\"\""),
      Www("Digest realm=\"r\", nonce=\"n"),
      Www("Digest realm=\"r\", nonce=\"n\" qop=auth"),
      Www("Digest realm=\"r\", nonce=\"n\", nonce=\"m\""),
      Www("Digest realm=\"r\", nonce=\"n\", algorithm=SHA-1"),
      Www("Digest realm=\"r\", nonce=\"n\", algorithm=MD5-sess"),
      Www("Digest realm=\"r\", nonce=\"n\", qop=\"auth-int\""),
      Www("Digest realm=\"r\", nonce=\"n\", qop=\"token, auth-ints\""),
      Www(Cat("Digest realm=\"r\", nonce=\"", huge, "\"")),
      Www(Cat("Digest realm=\"", huge, "\", nonce=\"n\"")),
      Www(Cat("Digest realm=\"r\", nonce=\"n\", opaque=\"", huge, "\"")),
      // What the grammar lets through inside of quotes.
      Www("Digest realm=\"r\", nonce=\"n\r\n Evil: x\""),
      Www("Digest realm=\"r\r\n x\", nonce=\"n\""),
      Www("Digest realm=\"r\", nonce=\"n\", opaque=\"\\\x01\""),
      Www("Digest realm=\"r\", nonce=\"n\", opaque=\"\\\x7f\""),
      Www("Digest realm=\"r\", nonce=\"\\\t\""),
  };
  for (const std::string& row : rows) {
    Challenges challenges;
    EXPECT_FALSE(Take(&challenges, row, kAlice)) << row;
    EXPECT_EQ(challenges.Lines("REGISTER", kUri), "") << row;
  }
  // Nor without a login, nor out of another response.
  Challenges challenges;
  EXPECT_FALSE(Take(&challenges, Www(kChallenge), Credentials()));
  EXPECT_FALSE(Take(&challenges, Www(kChallenge),
                    Credentials(Credentials::Map{{"other", {"alice", "x"}}})));
  EXPECT_FALSE(
      Take(&challenges, Www(kChallenge), Credentials("alice\r\nEvil: x", "x")));
  for (const int status : {200, 400, 403, 486}) {
    EXPECT_FALSE(Take(&challenges, Www(kChallenge), kAlice, status));
  }
  EXPECT_TRUE(challenges.empty());
}

TEST(Challenges, WithQuotesAndBackslashesComeBackAsTheyWere) {
  Challenges challenges;
  const Credentials who(R"(a"\"; x="y)", R"(sesame"\)");
  ASSERT_TRUE(Take(&challenges,
                   Www(R"(Digest realm="r\"\\, nonce=\"z\"", nonce="\\\"", )"
                       R"(opaque="\a\"b\\", qop=auth)"),
                   who));
  const std::string lines = challenges.Lines("REGISTER", kUri);
  EXPECT_EQ(Get(lines, "realm"), R"(r"\, nonce="z")");
  EXPECT_EQ(Get(lines, "nonce"), R"(\")");
  EXPECT_EQ(Get(lines, "opaque"), R"(a"b\)");
  EXPECT_EQ(Get(lines, "username"), R"(a"\"; x="y)");
  EXPECT_EQ(
      Get(lines, "response"),
      DigestResponse(
          kMd5,
          DigestA1(kMd5, R"(a"\"; x="y)", R"(r"\, nonce="z")", R"(sesame"\)"),
          R"(\")", "00000001", Get(lines, "cnonce"), "REGISTER", kUri));
  EXPECT_THAT(lines, Not(HasSubstr("sesame")));
}

TEST(Challenges, OfManyRealmsAreBounded) {
  Challenges challenges;
  size_t taken = 0;
  for (int i = 0; i < 100; ++i) {
    taken += Take(&challenges,
                  Www(Cat("Digest realm=\"r", i, "\", nonce=\"n\"")), kAlice);
  }
  EXPECT_EQ(taken, Challenges::kRealmsMax);
  EXPECT_EQ(Values(challenges.Lines("REGISTER", kUri), HeaderId::kAuthorization)
                .size(),
            Challenges::kRealmsMax);
}

TEST(Challenges, OfOneResponseAreLookedAtUpToABound) {
  size_t asked = 0;
  const Credentials nobody([&asked](std::string_view) -> std::optional<Login> {
    ++asked;
    return std::nullopt;
  });
  std::string lines;
  for (int i = 0; i < 200; ++i) {
    lines += Www(Cat("Digest realm=\"r", i, "\", nonce=\"n\""));
  }
  Challenges challenges;
  EXPECT_FALSE(Take(&challenges, lines, nobody));
  EXPECT_EQ(asked, Challenges::kValuesMax);
}

}  // namespace
}  // namespace sluice::sip
