#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "sip/digest.h"
#include "sip/requester.h"
#include "tests/sip/scripted_peer.h"

// How a call of ours begins: logging in, redirections, taking it back.
namespace sluice::sip {
namespace {

using ::testing::ElementsAre;

class CallBegin : public ScriptWorld {};

// The response that an Authorization or Proxy-Authorization line should have.
std::string Proof(const std::string& line, std::string_view method,
                  DigestAlgorithm algorithm, std::string_view a1) {
  const auto param = [&](std::string_view name) {
    const std::string start = Cat(name, "=");
    size_t at = line.find(Cat(" ", start));
    if (at == std::string::npos) at = line.find(Cat(",", start));
    if (at == std::string::npos) return std::string();
    at += 1 + start.size();
    const bool quoted = line[at] == '"';
    if (quoted) ++at;
    return line.substr(at, line.find_first_of(quoted ? "\"" : ",\r", at) - at);
  };
  const auto hash = [&](std::string_view text) {
    return DigestHex(algorithm, text);
  };
  const std::string a2 = hash(Cat(method, ":", param("uri")));
  return hash(Cat(a1, ":", param("nonce"), ":", param("nc"), ":",
                  param("cnonce"), ":auth:", a2)) == param("response")
             ? "right"
             : "wrong";
}

TEST_F(CallBegin, LogsInByEachAlgorithmAtThePartyAndAtAProxy) {
  struct Row {
    int code;
    DigestAlgorithm algorithm;
    std::string_view name;
  };
  for (const Row& row :
       {Row{401, DigestAlgorithm::kMd5, "MD5"},
        Row{407, DigestAlgorithm::kMd5, "MD5"},
        Row{401, DigestAlgorithm::kSha256, "SHA-256"},
        Row{407, DigestAlgorithm::kSha256, "SHA-256"},
        Row{401, DigestAlgorithm::kSha512_256, "SHA-512-256"},
        Row{407, DigestAlgorithm::kSha512_256, "SHA-512-256"}}) {
    SCOPED_TRACE(Cat(row.code, " ", row.name));
    peer_.Forget();
    CallParams params = Told();
    params.auth = Credentials("me", "secret");
    const std::string first = Begin(std::move(params));
    peer_.Answer(
        first, row.code,
        {.contact = "",
         .more =
             Cat(row.code == 401 ? "WWW-Authenticate" : "Proxy-Authenticate",
                 ": Digest realm=\"here\", nonce=\"n1\", qop=\"auth\", "
                 "algorithm=",
                 row.name, "\r\n")});
    const std::string second = Hear("INVITE", 1);
    const std::string line = LineOf(
        second, row.code == 401 ? "Authorization: " : "Proxy-Authorization: ");
    EXPECT_EQ(Proof(line, "INVITE", row.algorithm,
                    DigestA1(row.algorithm, "me", "here", "secret")),
              "right")
        << line;
    // 22.2: the same call, the next CSeq; the failure has its ACK.
    EXPECT_EQ(Value(second, HeaderId::kCallId),
              Value(first, HeaderId::kCallId));
    EXPECT_EQ(Value(second, HeaderId::kFrom), Value(first, HeaderId::kFrom));
    EXPECT_EQ(Value(first, HeaderId::kCSeq), "1 INVITE");
    EXPECT_EQ(Value(second, HeaderId::kCSeq), "2 INVITE");
    EXPECT_NE(BranchOf(second), BranchOf(first));
    EXPECT_EQ(BranchOf(Hear("ACK")), BranchOf(first));
    peer_.Answer(second, 200, {.body = SdpAt(30'000)});
    const std::string ack = Hear("ACK", 1);
    EXPECT_EQ(Value(ack, HeaderId::kCSeq), "2 ACK");
    // 22.1: the ACK carries the credentials of the INVITE.
    EXPECT_EQ(LineOf(ack, line.substr(0, line.find(' '))), line);
    EXPECT_EQ(call_->state(), Call::State::kEstablished);
    ASSERT_TRUE(call_->Bye().ok());
    peer_.Answer(Hear("BYE"), 200);
    ASSERT_TRUE(RunUntil([&] { return Over(); }));
  }
}

TEST_F(CallBegin, AnswersAChallengeOfTheProxyAndOneOfThePartyTogether) {
  CallParams params = Told();
  params.auth = Credentials(
      Credentials::Map{{"proxy", {"p", "1"}}, {"home", {"h", "2"}}});
  const std::string first = Begin(std::move(params));
  peer_.Answer(first, 407,
               {.contact = "",
                .more = "Proxy-Authenticate: Digest realm=\"proxy\", "
                        "nonce=\"np\", qop=\"auth\"\r\n"});
  const std::string second = Hear("INVITE", 1);
  peer_.Answer(second, 401,
               {.contact = "",
                .more = "WWW-Authenticate: Digest realm=\"home\", "
                        "nonce=\"nh\", qop=\"auth\"\r\n"});
  const std::string third = Hear("INVITE", 2);
  const std::string proxy = LineOf(third, "Proxy-Authorization: ");
  const std::string home = LineOf(third, "Authorization: ");
  EXPECT_EQ(Proof(proxy, "INVITE", DigestAlgorithm::kMd5,
                  DigestA1(DigestAlgorithm::kMd5, "p", "proxy", "1")),
            "right");
  EXPECT_EQ(Proof(home, "INVITE", DigestAlgorithm::kMd5,
                  DigestA1(DigestAlgorithm::kMd5, "h", "home", "2")),
            "right");
  // nc goes on with the nonce that was used before.
  EXPECT_NE(proxy.find("nc=00000002"), std::string::npos) << proxy;
}

TEST_F(CallBegin, SaysAWrongPasswordOnce) {
  CallParams params = Told();
  params.auth = Credentials("me", "wrong");
  const std::string challenge =
      "WWW-Authenticate: Digest realm=\"here\", nonce=\"n\", qop=\"auth\"\r\n";
  peer_.Answer(Begin(std::move(params)), 401,
               {.contact = "", .more = challenge});
  peer_.Answer(Hear("INVITE", 1), 401, {.contact = "", .more = challenge});
  ASSERT_TRUE(RunUntil([&] { return Over(); }));
  RunFor(Micros::Seconds(2));
  EXPECT_EQ(peer_.Count("INVITE"), 2u);
  EXPECT_EQ(peer_.Count("ACK"), 2u);
  EXPECT_THAT(told_, ElementsAre("final 401", "cleanup"));
  EXPECT_EQ(call_->result().code, 401);
}

TEST_F(CallBegin, WithoutCredentialsAChallengeIsTheEnd) {
  peer_.Answer(Begin(Told()), 407,
               {.contact = "",
                .more = "Proxy-Authenticate: Digest realm=\"r\", "
                        "nonce=\"n\"\r\n"});
  ASSERT_TRUE(RunUntil([&] { return Over(); }));
  EXPECT_EQ(peer_.Count("INVITE"), 1u);
  EXPECT_THAT(told_, ElementsAre("final 407", "cleanup"));
}

TEST_F(CallBegin, TakesTheContactsOfARedirectionByTheirWish) {
  for (const int code : {301, 302}) {
    SCOPED_TRACE(code);
    peer_.Forget();
    told_.clear();
    const std::string host = peer_.host();
    peer_.Answer(
        Begin(Told()), code,
        {.contact = "",
         .more = Cat("Contact: <sip:third@", host, ">;q=0.1, <sip:first@", host,
                     "?Subject=x&Call-ID=mine>;q=0.9\r\nContact: "
                     "<tel:+1>, <sip:second@",
                     host, ">;q=0.5\r\n")});
    const std::string first = Hear("INVITE", 1);
    EXPECT_EQ(sip::UriOf(first), Cat("sip:first@", host));
    EXPECT_EQ(first.find("Subject"), std::string::npos);
    // 8.1.3.4: To, From and Call-ID stay.
    EXPECT_EQ(Value(first, HeaderId::kTo), "<sip:peer@example.com>");
    EXPECT_EQ(Value(first, HeaderId::kCallId), call_->call_id());
    EXPECT_EQ(Value(first, HeaderId::kCSeq), "2 INVITE");
    peer_.Answer(first, 486);
    const std::string second = Hear("INVITE", 2);
    EXPECT_EQ(sip::UriOf(second), Cat("sip:second@", host));
    peer_.Answer(second, 404);
    const std::string third = Hear("INVITE", 3);
    EXPECT_EQ(sip::UriOf(third), Cat("sip:third@", host));
    peer_.Answer(third, 200, {.body = SdpAt(30'000)});
    ASSERT_TRUE(RunUntil([&] { return told_.size() == 2; }));
    EXPECT_THAT(told_, ElementsAre("final 200", "established"));
    ASSERT_TRUE(call_->Bye().ok());
    peer_.Answer(Hear("BYE"), 200);
    ASSERT_TRUE(RunUntil([&] { return Over(); }));
  }
}

TEST_F(CallBegin, GoesByTheProxyThatA305Names) {
  const std::string first = Begin(Told());
  peer_.Answer(
      first, 305,
      {.contact = "", .more = Cat("Contact: <sip:", peer_.host(), ">\r\n")});
  const std::string second = Hear("INVITE", 1);
  EXPECT_EQ(sip::UriOf(second), "sip:peer@example.com");
  EXPECT_EQ(Value(second, HeaderId::kRoute),
            Cat("<sip:", peer_.host(), ";lr>"));
}

TEST_F(CallBegin, AsksNoPlaceTwiceAndNotForEver) {
  // A circle of two, which are each other's contacts.
  std::string invite = Begin(Told());
  const auto moved = [&](std::string_view to) {
    return ScriptedPeer::Said{
        .contact = "", .more = Cat("Contact: <", peer_.UriOf(to), ">\r\n")};
  };
  peer_.Answer(invite, 302, moved("a"));
  invite = Hear("INVITE", 1);
  peer_.Answer(invite, 302, moved("b"));
  invite = Hear("INVITE", 2);
  peer_.Answer(invite, 302, moved("a"));
  ASSERT_TRUE(RunUntil([&] { return Over(); }));
  EXPECT_EQ(peer_.Count("INVITE"), 3u);
  EXPECT_THAT(told_, ElementsAre("final 302", "cleanup"));
  // Its own URI is a place, too (8.1.3.4).
  peer_.Forget();
  told_.clear();
  invite = Begin(Told());
  peer_.Answer(invite, 302, moved("sip:peer@example.com"));
  ASSERT_TRUE(RunUntil([&] { return Over() || peer_.Count("INVITE") > 1; }));
  EXPECT_EQ(peer_.Count("INVITE"), 1u);
  // Always another one.
  peer_.Forget();
  told_.clear();
  invite = Begin(Told());
  constexpr size_t kMost = Requester::kRedirectsMax;
  for (size_t i = 1; i <= kMost; ++i) {
    peer_.Answer(invite, 302, moved(Cat("x", i)));
    invite = Hear("INVITE", i);
  }
  peer_.Answer(invite, 302, moved("last"));
  ASSERT_TRUE(RunUntil([&] { return TimesTold("cleanup") == 1; }));
  EXPECT_EQ(peer_.Count("INVITE"), 1 + kMost);
  EXPECT_THAT(told_, ElementsAre("final 302", "cleanup"));
}

// 300 asks the user and 380 offers another service (21.3): neither is ours to
// choose.
TEST_F(CallBegin, LeavesAChoiceToTheProgram) {
  for (const int code : {300, 380}) {
    SCOPED_TRACE(code);
    peer_.Forget();
    told_.clear();
    peer_.Answer(Begin(Told()), code,
                 {.contact = "",
                  .more = Cat("Contact: <", peer_.UriOf("a"), ">\r\nContact: <",
                              peer_.UriOf("b"), ">\r\n"),
                  .reason = "Choose"});
    ASSERT_TRUE(RunUntil([&] { return Over(); }));
    RunFor(Micros::Seconds(1));
    EXPECT_EQ(peer_.Count("INVITE"), 1u);
    EXPECT_EQ(peer_.Count("ACK"), 1u);
    EXPECT_THAT(told_, ElementsAre(Cat("final ", code), "cleanup"));
    EXPECT_EQ(call_->result().code, code);
    EXPECT_EQ(call_->result().reason, "Choose");
  }
}

TEST_F(CallBegin, TellsOfARedirectionThatItIsNotToFollow) {
  CallParams params = Told();
  params.follow_redirects = false;
  peer_.Answer(
      Begin(std::move(params)), 302,
      {.contact = "", .more = Cat("Contact: <", peer_.UriOf("a"), ">\r\n")});
  ASSERT_TRUE(RunUntil([&] { return Over(); }));
  EXPECT_EQ(peer_.Count("INVITE"), 1u);
  EXPECT_THAT(told_, ElementsAre("final 302", "cleanup"));
}

// ---- taking it back ---------------------------------------------------------

TEST_F(CallBegin, TakesNothingBackBeforeAWordHasCome) {
  const std::string invite = Begin(Told());
  ASSERT_TRUE(call_->Cancel().ok());
  Turn();
  EXPECT_EQ(peer_.Count("CANCEL"), 0u);  // 9.1
  peer_.Answer(invite, 100, {.tag = "", .contact = ""});
  const std::string cancel = Hear("CANCEL");
  EXPECT_EQ(BranchOf(cancel), BranchOf(invite));
  EXPECT_EQ(sip::UriOf(cancel), sip::UriOf(invite));
  EXPECT_EQ(Value(cancel, HeaderId::kCSeq), "1 CANCEL");
  EXPECT_EQ(Value(cancel, HeaderId::kTo), Value(invite, HeaderId::kTo));
  EXPECT_EQ(Values(cancel, HeaderId::kVia).size(), 1u);
  peer_.Answer(cancel, 200);
  peer_.Answer(invite, 487);
  const std::string ack = Hear("ACK");
  EXPECT_EQ(BranchOf(ack), BranchOf(invite));
  ASSERT_TRUE(RunUntil([&] { return Over(); }));
  EXPECT_THAT(told_, ElementsAre("final 487", "cleanup"));
}

TEST_F(CallBegin, TakesItBackOnceWhileItRings) {
  const std::string invite = Begin(Told());
  peer_.Answer(invite, 180);
  ASSERT_TRUE(RunUntil([&] { return TimesTold("preliminary 180") == 1; }));
  EXPECT_EQ(call_->state(), Call::State::kRinging);
  ASSERT_TRUE(call_->Bye().ok());     // which is a Cancel
  ASSERT_TRUE(call_->Cancel().ok());  // and again
  peer_.Answer(Hear("CANCEL"), 200);
  peer_.Answer(invite, 487);
  ASSERT_TRUE(RunUntil([&] { return Over(); }));
  RunFor(Micros::Seconds(1));
  EXPECT_EQ(peer_.Count("CANCEL"), 1u);
  EXPECT_EQ(peer_.Count("BYE"), 0u);
  EXPECT_THAT(told_, ElementsAre("preliminary 180", "final 487", "cleanup"));
  EXPECT_FALSE(call_->Cancel().ok());
}

TEST_F(CallBegin, HangsUpWhatCrossedItsCancel) {
  const std::string invite = Begin(Told());
  peer_.Answer(invite, 180);
  ASSERT_TRUE(RunUntil([&] { return TimesTold("preliminary 180") == 1; }));
  ASSERT_TRUE(call_->Cancel().ok());
  peer_.Answer(invite, 200, {.body = SdpAt(30'000)});
  Hear("ACK");
  const std::string bye = Hear("BYE");
  EXPECT_EQ(sip::UriOf(bye), peer_.UriOf("peer"));
  EXPECT_NE(Value(bye, HeaderId::kTo).find(";tag=peer"), std::string::npos);
  peer_.Answer(bye, 200);
  ASSERT_TRUE(RunUntil([&] { return Over(); }));
  EXPECT_EQ(TimesTold("final 200"), 1u);
  EXPECT_EQ(TimesTold("established"), 0u);
  EXPECT_EQ(TimesTold("cleanup"), 1u);
  EXPECT_EQ(told_.back(), "cleanup");
}

TEST_F(CallBegin, DoesNotWaitForWhoAnswersNoCancel) {
  const std::string invite = Begin(Told());
  peer_.Answer(invite, 180);
  ASSERT_TRUE(RunUntil([&] { return TimesTold("preliminary 180") == 1; }));
  ASSERT_TRUE(call_->Cancel().ok());
  RunFor(Micros::Seconds(31), Micros::Millis(50));
  EXPECT_FALSE(Over());
  RunFor(Micros::Seconds(2), Micros::Millis(50));
  EXPECT_TRUE(Over());
  EXPECT_THAT(told_, ElementsAre("preliminary 180", "final 487", "cleanup"));
}

TEST_F(CallBegin, ManyAreTakenBackAtOnce) {
  constexpr size_t kCalls = 100;
  std::vector<std::shared_ptr<Call>> his, hers;
  Simple::ListenArgs args;
  args.cb_create = [&](Call& call, const Message&) {
    his.push_back(call.shared_from_this());
    return call.Ring().ok();
  };
  args.call = {.auto_answer = false};
  ASSERT_TRUE(bob_->Listen(std::move(args)).ok());
  for (size_t i = 0; i < kCalls; ++i) {
    auto call = alice_->Invite("bob", Told());
    ASSERT_TRUE(call.ok()) << i << " " << call.status();
    hers.push_back(*std::move(call));
    Settle();
  }
  ASSERT_EQ(his.size(), kCalls);
  for (const auto& call : hers) {
    ASSERT_EQ(call->state(), Call::State::kRinging);
    ASSERT_TRUE(call->Cancel().ok());
    EXPECT_TRUE(call->Cancel().ok());  // twice is once
  }
  ASSERT_TRUE(
      RunUntil([&] { return alice_->calls() == 0 && bob_->calls() == 0; }));
  EXPECT_EQ(told_.size(), 3 * kCalls);
  EXPECT_EQ(TimesTold("preliminary 180"), kCalls);
  EXPECT_EQ(TimesTold("final 487"), kCalls);
  EXPECT_EQ(TimesTold("cleanup"), kCalls);
  for (const auto& call : his) EXPECT_EQ(call->result().code, 487);
  // Each has a CANCEL of its own.
  std::set<std::string> cancelled;
  for (const Wire::Seen& seen : wire_.seen()) {
    if (ScriptedPeer::NameOf(seen.octets) == "CANCEL") {
      cancelled.insert(Value(seen.octets, HeaderId::kCallId));
    }
  }
  EXPECT_EQ(cancelled.size(), kCalls);
}

// A program that makes its agent and does something else for a minute: the
// minute is not the call's.
TEST_F(CallBegin, AClockThatStoodIdleBeforeItIsNotItsOwn) {
  ua_.reset();
  Settle();
  ua_ = Make("me", peer_.host());
  peer_.Face(At(*ua_));
  now_ = now_ + Micros::Seconds(60);
  CallParams params = Told();
  params.ring_time = Micros::Seconds(30);
  const std::string invite = Begin(std::move(params));
  EXPECT_EQ(peer_.Count("INVITE"), 1u);
  peer_.Answer(invite, 180);
  RunFor(Micros::Seconds(29));
  EXPECT_THAT(told_, ElementsAre("preliminary 180"));
  EXPECT_EQ(peer_.Count("INVITE"), 1u);
  Hear("CANCEL");
  EXPECT_EQ(TimesTold("noanswer"), 1u);
}

TEST_F(CallBegin, AClockThatStoodIdleBetweenTwoDeedsIsNotItsOwn) {
  Establish(Told());
  now_ = now_ + Micros::Seconds(60);
  ASSERT_TRUE(call_->Bye().ok());
  const std::string bye = Hear("BYE");
  EXPECT_EQ(peer_.Count("BYE"), 1u);
  EXPECT_EQ(TimesTold("cleanup"), 0u);
  peer_.Answer(bye, 200);
  ASSERT_TRUE(RunUntil([&] { return Over(); }));
  EXPECT_EQ(TimesTold("bye answered 200"), 1u);
}

TEST_F(CallBegin, RingsForItsTimeOnly) {
  CallParams params = Told();
  params.ring_time = Micros::Seconds(20);
  const std::string invite = Begin(std::move(params));
  peer_.Answer(invite, 180);
  RunFor(Micros::Seconds(19), Micros::Millis(50));
  EXPECT_EQ(TimesTold("noanswer"), 0u);
  peer_.Answer(Hear("CANCEL"), 200);
  peer_.Answer(invite, 487);
  ASSERT_TRUE(RunUntil([&] { return Over(); }));
  EXPECT_THAT(told_, ElementsAre("preliminary 180", "noanswer", "final 487",
                                 "cleanup"));
}

TEST_F(CallBegin, RingsNoLongerWhenItIsAnswered) {
  CallParams params = Told();
  params.ring_time = Micros::Seconds(5);
  Establish(std::move(params));
  RunFor(Micros::Seconds(10), Micros::Millis(50));
  EXPECT_EQ(call_->state(), Call::State::kEstablished);
  EXPECT_THAT(told_, ElementsAre("final 200", "established"));
}

TEST_F(CallBegin, EndsWith408WhenNobodyIsThere) {
  Begin(Told());
  ASSERT_TRUE(RunUntil([&] { return Over(); }));
  EXPECT_THAT(told_, ElementsAre("final 408", "cleanup"));
  // A, seven times in all (17.1.1.2).
  EXPECT_EQ(peer_.Count("INVITE"), 7u);
  EXPECT_EQ(peer_.Count("CANCEL"), 0u);
}

TEST_F(CallBegin, TellsEachRefusalByItsCode) {
  for (const int code : {400, 403, 404, 480, 486, 488, 500, 503, 600, 603}) {
    SCOPED_TRACE(code);
    peer_.Forget();
    told_.clear();
    peer_.Answer(Begin(Told()), code, {.contact = "", .reason = "No"});
    ASSERT_TRUE(RunUntil([&] { return Over(); }));
    EXPECT_THAT(told_, ElementsAre(Cat("final ", code), "cleanup"));
    EXPECT_EQ(call_->result().code, code);
    EXPECT_EQ(call_->result().reason, "No");
    EXPECT_EQ(peer_.Count("ACK"), 1u);
  }
}

// ---- answers that are none --------------------------------------------------

TEST_F(CallBegin, EndsWhenTheAnswerNamesNobodyToSpeakWith) {
  struct Row {
    std::string_view what;
    ScriptedPeer::Said said;
  };
  for (const Row& row :
       {Row{"no Contact", {.contact = "", .body = SdpAt(30'000)}},
        Row{"no tag", {.tag = "", .body = SdpAt(30'000)}}}) {
    SCOPED_TRACE(row.what);
    told_.clear();
    peer_.Forget();
    peer_.Answer(Begin(Told()), 200, row.said);
    RunFor(Micros::Seconds(70), Micros::Millis(100));
    EXPECT_TRUE(Over());
    EXPECT_EQ(TimesTold("cleanup"), 1u);
    EXPECT_EQ(TimesTold("established"), 0u);
  }
}

TEST_F(CallBegin, HangsUpAnAnswerThatItCannotUse) {
  for (const std::string& body :
       {std::string(), std::string("v=0\r\nnonsense\r\n"),
        SdpAt(30'000, "sendrecv", 1, "18"), std::string(SdpAt(0))}) {
    SCOPED_TRACE(body);
    told_.clear();
    peer_.Forget();
    peer_.Answer(Begin(Told()), 200, {.body = body});
    if (body == SdpAt(0)) {
      // Refused media is an answer; the call stands without sound.
      Hear("ACK");
      EXPECT_EQ(call_->state(), Call::State::kEstablished);
      ASSERT_TRUE(call_->Bye().ok());
      peer_.Answer(Hear("BYE"), 200);
      ASSERT_TRUE(RunUntil([&] { return Over(); }));
      continue;
    }
    Hear("ACK");  // 13.2.2.4: acknowledged, then hung up
    peer_.Answer(Hear("BYE"), 200);
    ASSERT_TRUE(RunUntil([&] { return Over(); }));
    EXPECT_EQ(Finals(), 1u);
    EXPECT_EQ(TimesTold("established"), 0u);
    EXPECT_EQ(TimesTold("cleanup"), 1u);
    EXPECT_FALSE(ua_->Error().ok());
  }
}

// ---- what it says -----------------------------------------------------------

TEST_F(CallBegin, SaysTheHeadersContactAndRouteOfItsParameters) {
  CallParams params = Told();
  params.from = "\"Me Myself\" <sip:myself@example.net>";
  params.contact = "sip:elsewhere@192.0.2.7:5070";
  params.sip_header = {{"Subject", "a test"}, {"X-Two", "2"}};
  params.route = {Cat("<sip:", peer_.host(), ";lr>"), "<sip:192.0.2.8;lr>"};
  const std::string invite = Begin(std::move(params));
  EXPECT_EQ(sip::UriOf(invite), "sip:peer@example.com");
  EXPECT_EQ(ContactUri(invite), "sip:elsewhere@192.0.2.7:5070");
  EXPECT_EQ(LineOf(invite, "Subject: "), "Subject: a test");
  EXPECT_EQ(LineOf(invite, "X-Two: "), "X-Two: 2");
  EXPECT_THAT(
      Values(invite, HeaderId::kRoute),
      ElementsAre(Cat("<sip:", peer_.host(), ";lr>"), "<sip:192.0.2.8;lr>"));
  const std::string from = Value(invite, HeaderId::kFrom);
  EXPECT_EQ(from.substr(0, from.find(";tag=")),
            "\"Me Myself\" <sip:myself@example.net>");
  EXPECT_EQ(LineOf(invite, "Supported: "), "Supported: 100rel");
  EXPECT_NE(LineOf(invite, "Allow: ").find("UPDATE"), std::string::npos);
  EXPECT_EQ(LineOf(invite, "User-Agent: "), "User-Agent: Sluice");
  // 22.1, 17.1.1.3: what is acknowledged for it goes the same way.
  peer_.Answer(invite, 486);
  EXPECT_THAT(
      Values(Hear("ACK"), HeaderId::kRoute),
      ElementsAre(Cat("<sip:", peer_.host(), ";lr>"), "<sip:192.0.2.8;lr>"));
}

TEST_F(CallBegin, SaysADescriptionOfTheCallersOwnAsItIs) {
  CallParams params = Told();
  params.sdp = "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=own\r\nt=0 0\r\n";
  params.init_media = [this](Call&, rtp::Session&) {
    told_.push_back("media");
    return absl::OkStatus();
  };
  const std::string sdp = params.sdp;
  const std::string invite = Begin(std::move(params));
  EXPECT_EQ(BodyOf(invite), sdp);
  EXPECT_EQ(call_->media(), nullptr);
  peer_.Answer(invite, 200, {.body = "v=0\r\ns=whatever\r\n"});
  Hear("ACK");
  EXPECT_THAT(told_, ElementsAre("final 200", "established"));
}

}  // namespace
}  // namespace sluice::sip
