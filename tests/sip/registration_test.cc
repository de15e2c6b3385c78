#include "sip/registration.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "tests/sip/scripted_peer.h"

namespace sluice::sip {
namespace {

using Code = absl::StatusCode;
using Granted = absl::StatusOr<uint32_t>;

class RegistrationOfOurs : public ScriptWorld {
 protected:
  RegistrationOfOurs() {
    Simple::Options options = OptionsOf("me");
    options.legs = {"udp:127.0.0.1:0"};
    options.registrar = peer_.host();
    options.auth = Credentials("me", "secret");
    auto made = Simple::Create(std::move(options));
    EXPECT_TRUE(made.ok()) << made.status();
    ua_ = *std::move(made);
    peer_.Face(At(*ua_));
  }
  // Returns the REGISTER that was heard; answers come to heard_.
  std::string Ask(Simple::RegisterArgs args = {}) {
    const size_t before = peer_.Count("REGISTER");
    args.cb_final = [this](const Granted& result) { heard_.push_back(result); };
    const auto begun = ua_->Register(std::move(args));
    EXPECT_TRUE(begun.ok()) << begun.status();
    return Hear("REGISTER", before);
  }
  Granted Answered(const std::string& text, int code,
                   const ScriptedPeer::Said& said) {
    const size_t before = heard_.size();
    peer_.Answer(text, code, said);
    EXPECT_TRUE(
        RunUntil([&] { return heard_.size() > before; }, Micros::Seconds(5)));
    return heard_.size() > before ? heard_.back()
                                  : Granted(absl::UnknownError("nothing"));
  }
  static ScriptedPeer::Said Saying(std::string more) {
    return {.contact = "", .more = std::move(more)};
  }
  static std::string Challenge(std::string_view nonce,
                               std::string_view more = "") {
    return Cat("WWW-Authenticate: Digest realm=\"r\", nonce=\"", nonce,
               "\", qop=\"auth\"", more, "\r\n");
  }

  std::vector<Granted> heard_;
};

TEST_F(RegistrationOfOurs, SaysWhoItIsAndWhere) {
  const std::string text = Ask({.expires = 600});
  EXPECT_EQ(sip::UriOf(text), "sip:example.com");  // 10.2: without a user
  EXPECT_EQ(Value(text, HeaderId::kTo), "<sip:me@example.com>");
  EXPECT_TRUE(
      Value(text, HeaderId::kFrom).starts_with("<sip:me@example.com>;tag="));
  EXPECT_EQ(Value(text, HeaderId::kExpires), "600");
  EXPECT_EQ(ContactUri(text), Cat("sip:me@", At(*ua_).ToString()));
  EXPECT_EQ(Value(text, HeaderId::kCSeq), "1 REGISTER");
}

TEST_F(RegistrationOfOurs, TheContactsExpiresHasPrecedence) {
  struct Row {
    std::string_view more;
    uint32_t granted;
  };
  for (const Row& row :
       {Row{"Contact: <sip:else@192.0.2.1>;expires=7, <OURS>;expires=120\r\n"
            "Expires: 300\r\n",
            120},
        Row{"Contact: <OURS>\r\nExpires: 300\r\n", 300},
        Row{"Expires: 250\r\n", 250}, Row{"Contact: <OURS>\r\n", 900},
        Row{"Contact: <OURS>;expires=nonsense\r\nExpires: 61\r\n", 61}}) {
    SCOPED_TRACE(row.more);
    const std::string text = Ask();
    std::string more(row.more);
    if (const size_t at = more.find("OURS"); at != std::string::npos) {
      more.replace(at, 4, ContactUri(text));
    }
    const Granted granted = Answered(text, 200, Saying(more));
    ASSERT_TRUE(granted.ok()) << granted.status();
    EXPECT_EQ(*granted, row.granted);
  }
}

TEST_F(RegistrationOfOurs, AsksForWhatIsLongEnoughOnce) {
  peer_.Answer(Ask({.expires = 60}), 423, Saying("Min-Expires: 1800\r\n"));
  const std::string longer = Hear("REGISTER", 1);
  EXPECT_EQ(Value(longer, HeaderId::kExpires), "1800");
  EXPECT_EQ(Value(longer, HeaderId::kCSeq), "2 REGISTER");
  const Granted still = Answered(longer, 423, Saying("Min-Expires: 3600\r\n"));
  EXPECT_EQ(still.status().code(), Code::kAborted);
  RunFor(Micros::Seconds(1));
  EXPECT_EQ(peer_.Count("REGISTER"), 2u);
}

TEST_F(RegistrationOfOurs, EachRefusalHasItsCodeAndWords) {
  struct Row {
    int code;
    Code is;
  };
  for (const Row& row :
       {Row{403, Code::kPermissionDenied}, Row{404, Code::kNotFound},
        Row{408, Code::kDeadlineExceeded}, Row{503, Code::kUnavailable},
        Row{500, Code::kAborted}, Row{600, Code::kAborted}}) {
    SCOPED_TRACE(row.code);
    const Granted result =
        Answered(Ask(), row.code, {.contact = "", .reason = "Such words"});
    EXPECT_EQ(result.status().code(), row.is);
    EXPECT_NE(result.status().message().find(Cat(row.code, " Such words")),
              std::string_view::npos)
        << result.status();
    EXPECT_EQ(ua_->Error(), result.status());
  }
  // And who says nothing.
  Ask();
  ASSERT_TRUE(RunUntil([&] { return heard_.size() == 7; }));
  EXPECT_EQ(heard_.back().status().code(), Code::kDeadlineExceeded);
}

TEST_F(RegistrationOfOurs,
       RefreshesInTimeWithTheSameCallAndCountedCredentials) {
  const std::string first = Ask({.expires = 100, .refresh = true});
  peer_.Answer(first, 401, Saying(Challenge("n1")));
  const std::string second = Hear("REGISTER", 1);
  EXPECT_NE(LineOf(second, "Authorization: ").find("nc=00000001"),
            std::string::npos);
  ASSERT_TRUE(Answered(second, 200, Saying("Expires: 100\r\n")).ok());
  RunFor(Micros::Seconds(70), Micros::Millis(100));
  EXPECT_EQ(peer_.Count("REGISTER"), 2u);
  const std::string third = Hear("REGISTER", 2);
  EXPECT_LT(now_, Micros::Seconds(1'100));
  EXPECT_EQ(Value(third, HeaderId::kCallId), Value(first, HeaderId::kCallId));
  EXPECT_EQ(Value(third, HeaderId::kFrom), Value(first, HeaderId::kFrom));
  EXPECT_EQ(Value(third, HeaderId::kCSeq), "3 REGISTER");
  EXPECT_NE(LineOf(third, "Authorization: ").find("nc=00000002"),
            std::string::npos);
  // Its nonce is over: another one, at once.
  peer_.Answer(third, 401, Saying(Challenge("n2", ", stale=true")));
  const std::string fourth = Hear("REGISTER", 3);
  EXPECT_NE(LineOf(fourth, "Authorization: ").find("nonce=\"n2\""),
            std::string::npos);
  EXPECT_NE(LineOf(fourth, "Authorization: ").find("nc=00000001"),
            std::string::npos);
  ASSERT_TRUE(Answered(fourth, 200, Saying("Expires: 100\r\n")).ok());
}

TEST_F(RegistrationOfOurs, AFailedRefreshIsTriedAgain) {
  ASSERT_TRUE(Answered(Ask({.expires = 100, .refresh = true}), 200,
                       Saying("Expires: 100\r\n"))
                  .ok());
  RunFor(Micros::Seconds(80), Micros::Millis(100));
  EXPECT_FALSE(Answered(peer_.Nth("REGISTER", 1), 500, Saying("")).ok());
  const size_t before = peer_.Count("REGISTER");
  RunFor(Micros::Seconds(29), Micros::Millis(100));
  EXPECT_EQ(peer_.Count("REGISTER"), before);
  ASSERT_TRUE(
      Answered(Hear("REGISTER", before), 200, Saying("Expires: 100\r\n")).ok());
}

// RFC 3261 20.33, 21.5.4; not sooner than we would, nor for years.
TEST_F(RegistrationOfOurs, AFailedOneIsTriedAgainWhenItSays) {
  struct Row {
    std::string_view line;
    int64_t seconds;
  };
  for (const Row& row : {Row{"120", 120}, Row{"90 (at lunch);duration=5", 90},
                         Row{"1", Registration::kRetryAfter},
                         Row{"soon", Registration::kRetryAfter},
                         Row{"4294967295", Registration::kLongestWait}}) {
    SCOPED_TRACE(row.line);
    const std::string text = Ask({.expires = 100, .refresh = true});
    const size_t before = peer_.Count("REGISTER");
    EXPECT_FALSE(
        Answered(text, 500, Saying(Cat("Retry-After: ", row.line, "\r\n")))
            .ok());
    RunFor(Micros::Seconds(row.seconds - 1), Micros::Seconds(row.seconds / 30));
    EXPECT_EQ(peer_.Count("REGISTER"), before);
    RunFor(Micros::Seconds(2), Micros::Millis(100));
    EXPECT_GT(peer_.Count("REGISTER"), before);
    peer_.Answer(peer_.Last("REGISTER"), 200, Saying("Expires: 100\r\n"));
    Turn();
  }
}

TEST_F(RegistrationOfOurs, AWrongPasswordIsSaidOnce) {
  peer_.Answer(Ask(), 401, Saying(Challenge("n1")));
  const Granted result =
      Answered(Hear("REGISTER", 1), 401, Saying(Challenge("n2")));
  EXPECT_EQ(result.status().code(), Code::kPermissionDenied);
  RunFor(Micros::Seconds(60), Micros::Millis(100));
  EXPECT_EQ(peer_.Count("REGISTER"), 2u);
}

TEST_F(RegistrationOfOurs, IsRemovedAndNotRefreshedThen) {
  const std::string first = Ask({.expires = 100, .refresh = true});
  ASSERT_TRUE(Answered(first, 200, Saying("Expires: 100\r\n")).ok());
  const std::string last = Ask({.expires = 0, .refresh = true});
  EXPECT_EQ(Value(last, HeaderId::kExpires), "0");
  EXPECT_EQ(Value(last, HeaderId::kCallId), Value(first, HeaderId::kCallId));
  EXPECT_EQ(Value(last, HeaderId::kCSeq), "2 REGISTER");
  EXPECT_EQ(ContactUri(last), ContactUri(first));
  const Granted gone = Answered(last, 200, Saying(""));
  ASSERT_TRUE(gone.ok()) << gone.status();
  EXPECT_EQ(*gone, 0u);
  RunFor(Micros::Seconds(300), Micros::Millis(500));
  EXPECT_EQ(peer_.Count("REGISTER"), 2u);
}

TEST_F(RegistrationOfOurs, AnotherRegistrarIsAnotherSeries) {
  ScriptedPeer other(loop_);
  other.Face(At(*ua_));
  const std::string here = Ask();
  int answers = 0;
  ASSERT_TRUE(ua_->Register({.registrar = other.host(),
                             .cb_final = [&](const Granted&) { ++answers; }})
                  .ok());
  ASSERT_TRUE(RunUntil([&] { return other.Count("REGISTER") == 1; }));
  const std::string there = other.Nth("REGISTER", 0);
  EXPECT_NE(Value(there, HeaderId::kCallId), Value(here, HeaderId::kCallId));
  other.Answer(there, 200, Saying("Expires: 1\r\n"));
  ASSERT_TRUE(RunUntil([&] { return answers == 1; }));
  EXPECT_TRUE(heard_.empty());
}

TEST_F(RegistrationOfOurs, ItsEndMayBeginAnother) {
  int rounds = 0;
  std::function<void(const Granted&)> again = [&](const Granted&) {
    if (++rounds < 3) {
      EXPECT_TRUE(ua_->Register({.cb_final = again}).ok());
    }
  };
  peer_.OnMessage([&](const std::string& text) { peer_.Answer(text, 200); });
  ASSERT_TRUE(ua_->Register({.cb_final = again}).ok());
  ASSERT_TRUE(RunUntil([&] { return rounds == 3; }));
}

TEST_F(RegistrationOfOurs, WithoutACallbackItWaitsForTheFirstAnswer) {
  peer_.OnMessage([&](const std::string& text) {
    peer_.Answer(text, 200, Saying("Expires: 77\r\n"));
  });
  const Granted granted = ua_->Register({});
  ASSERT_TRUE(granted.ok()) << granted.status();
  EXPECT_EQ(*granted, 77u);
  peer_.OnMessage([&](const std::string&) { ua_->Stop(); });
  EXPECT_FALSE(ua_->Register({}).ok());
}

TEST_F(RegistrationOfOurs, CleanupEndsTheWaiting) {
  bool stuck = false;
  peer_.OnMessage([&](const std::string&) {
    loop_.After(Micros(), [&] {
      ua_->Cleanup();
      // Turns later nobody waits any more; else this ends the test.
      loop_.After(Micros(), [&] {
        loop_.After(Micros(), [&] {
          stuck = true;
          ua_->Stop();
        });
      });
    });
  });
  EXPECT_FALSE(ua_->Register({}).ok());
  EXPECT_FALSE(stuck);
}

TEST_F(RegistrationOfOurs, SaysWhatIsMissing) {
  Simple::Options options;
  options.loop = &loop_;
  options.legs = {"udp:127.0.0.1:0"};
  auto bare = Simple::Create(std::move(options));
  ASSERT_TRUE(bare.ok()) << bare.status();
  const Granted no_registrar = (*bare)->Register({});
  EXPECT_EQ(no_registrar.status().code(), Code::kInvalidArgument);
  EXPECT_NE(no_registrar.status().message().find("registrar"),
            std::string_view::npos);
  const Granted nobody = (*bare)->Register({.registrar = peer_.host()});
  EXPECT_EQ(nobody.status().code(), Code::kInvalidArgument);
  EXPECT_NE(nobody.status().message().find("from"), std::string_view::npos);
  const Granted no_leg = (*bare)->Register(
      {.registrar = peer_.host(), .from = "sip:a@b", .leg = "nowhere"});
  EXPECT_NE(no_leg.status().message().find("nowhere"), std::string_view::npos);
}

}  // namespace
}  // namespace sluice::sip
