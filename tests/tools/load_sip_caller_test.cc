// Goal: each side says what its scenario wants, every transaction and call ends
// as exactly one of answered, failed and timed out, and what goes wrong on the
// way is counted as just that.
// Method: both sides wired to each other in memory with a clock of our own, and
// a proxy in between that may do anything to a message.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <deque>
#include <functional>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "base/text.h"
#include "sip/message.h"
#include "tools/load/sip_answerer.h"
#include "tools/load/sip_caller.h"

namespace sluice::load {
namespace {

constexpr uint64_t kMs = 1'000'000;

class Box final : public SipSink {
 public:
  char* Room() override { return room_.data(); }
  void Send(size_t octets) override {
    messages.emplace_back(room_.data(), octets);
  }
  std::deque<std::string> messages;

 private:
  std::array<char, kSipMessageMax> room_{};
};

SipParties Parties(SipScenario scenario) {
  SipParties parties;
  parties.scenario = scenario;
  parties.uac = *Endpoint::Parse("127.0.0.2:5070");
  parties.uas = *Endpoint::Parse("127.0.0.3:5072");
  parties.domain = "example.com";
  parties.run = 0xfeedbeef;
  return parties;
}

class World {
 public:
  // What the proxy makes of a message; "" is nothing.
  using Proxy = std::function<std::vector<std::string>(std::string)>;

  explicit World(SipScenario scenario, int code = 200,
                 std::function<void(SipCallerOptions*)> change = {})
      : options_(Options(scenario, change)),
        media(Media(options_, tally)),
        caller(options_, users_, tally, media.get()),
        answerer_(options_.parties, code, options_.slots, tally, media.get()) {}

  bool Start() { return caller.Start(now_ns, uac); }
  // Carries messages until nobody says any more.
  void Run() {
    while (!uac.messages.empty() || !uas.messages.empty()) {
      Carry(uac, [&](const std::string& m) { answerer_.OnMessage(m, uas); });
      Carry(uas, [&](const std::string& m) { Deliver(m); });
    }
  }
  void Deliver(const std::string& message) {
    caller.OnMessage(message, now_ns, uac);
  }
  void Pass(uint64_t ns) {
    now_ns += ns;
    caller.Sweep(now_ns, uac);
  }
  // Lets calls talk for so many packets' time, and hang up as they end.
  void Talk(uint32_t packets) {
    for (; packets > 0; --packets) {
      Pass(SipMedia::kPacketNs);
      while (media->Work(now_ns) > 0) {
        for (const uint32_t number : media->over()) {
          caller.HangUp(number, now_ns, uac);
        }
      }
    }
  }
  SipTotals totals() const {
    SipTotals t;
    t.Add(tally);
    return t;
  }
  // Every message that went to the proxy, in order.
  std::vector<std::string> log;
  Proxy proxy = [](std::string m) { return std::vector{std::move(m)}; };
  SipTally tally;
  Box uac, uas;
  uint64_t now_ns = 1'000 * kMs;

 private:
  static SipCallerOptions Options(
      SipScenario scenario, std::function<void(SipCallerOptions*)> change) {
    SipCallerOptions options;
    options.parties = Parties(scenario);
    options.slots = 4;
    options.timeout_ns = 1000 * kMs;
    if (change) change(&options);
    return options;
  }
  static std::unique_ptr<SipMedia> Media(const SipCallerOptions& options,
                                         SipTally& tally) {
    if (!options.parties.media) return nullptr;
    SipMediaOptions of;
    of.uac = options.parties.uac.ip;
    of.uas = options.parties.uas.ip;
    of.run = options.parties.run;
    of.seconds = 0.06;
    of.places = 2;
    of.slots = options.slots;
    auto media = std::make_unique<SipMedia>(of, tally);
    EXPECT_TRUE(media->Open().ok());
    return media;
  }
  void Carry(Box& from, const std::function<void(const std::string&)>& to) {
    std::deque<std::string> messages;
    messages.swap(from.messages);
    for (std::string& message : messages) {
      log.push_back(message);
      for (const std::string& out : proxy(std::move(message))) to(out);
    }
  }

  const SipCallerOptions options_;
  const SipUsers users_ = *SipUsers::FromPattern("u{}", "p{}", 3);

 public:
  const std::unique_ptr<SipMedia> media;
  SipCaller caller;

 private:
  SipAnswerer answerer_;
};

std::string StartLine(const std::string& message) {
  return message.substr(0, message.find('\r'));
}
bool Has(const std::string& message, std::string_view text) {
  return message.find(text) != message.npos;
}
void Replace(std::string* message, std::string_view what,
             std::string_view with) {
  const size_t at = message->find(what);
  ASSERT_NE(at, message->npos) << what << " in\n" << *message;
  message->replace(at, what.size(), with);
}

TEST(SipCallerTest, EveryScenarioIsSpokenInSipAndEndsWell) {
  const struct {
    SipScenario scenario;
    std::vector<std::string> methods;
  } cases[] = {{SipScenario::kOptions, {"OPTIONS"}},
               {SipScenario::kMessage, {"MESSAGE"}},
               {SipScenario::kRegister, {"REGISTER"}},
               {SipScenario::kCall, {"INVITE", "ACK", "BYE"}}};
  for (const auto& c : cases) {
    SCOPED_TRACE(NameOf(c.scenario));
    World world(c.scenario);
    for (int i = 0; i < 10; ++i) {
      world.Start();
      world.Run();
    }
    const SipTotals t = world.totals();
    EXPECT_EQ(t.started, 10u);
    EXPECT_EQ(t.answered, 10u);
    EXPECT_EQ(t.under_way(), 0u);
    EXPECT_EQ(t.retransmissions + t.late + t.unexpected + t.foreign +
                  t.malformed + t.too_long,
              0u);
    EXPECT_EQ(world.caller.answer_ns().count(), 10u);
    EXPECT_EQ(world.caller.whole_ns().count(), 10u);
    std::vector<std::string> methods;
    for (const std::string& message : world.log) {
      // The daemon's own parser has the last word on whether this is SIP.
      sip::Message parsed;
      const sip::Refusal refusal = parsed.Parse(message);
      ASSERT_FALSE(refusal) << refusal.reason << "\n" << message;
      const std::string line = StartLine(message);
      if (!line.starts_with("SIP/")) {
        methods.push_back(line.substr(0, line.find(' ')));
      }
    }
    ASSERT_EQ(methods.size(), 10 * c.methods.size());
    for (size_t i = 0; i < methods.size(); ++i) {
      EXPECT_EQ(methods[i], c.methods[i % c.methods.size()]);
    }
  }
}

TEST(SipCallerTest, ACallIsSixMessagesBesidesTheHundred) {
  World world(SipScenario::kCall);
  world.Start();
  world.Run();
  const SipTotals t = world.totals();
  EXPECT_EQ(t.messages(), 6u);
  EXPECT_EQ(t.ringing, 1u);
  EXPECT_EQ(t.acknowledged, 1u);
}

TEST(SipCallerTest, EveryTransactionHasABranchOfItsOwn) {
  World world(SipScenario::kCall);
  std::set<std::string> branches;
  for (int i = 0; i < 3; ++i) {
    world.Start();
    world.Run();
  }
  for (const std::string& m : world.log) {
    if (m.starts_with("SIP/")) continue;
    const size_t at = m.find("branch=");
    branches.insert(m.substr(at, m.find(';', at) - at));
  }
  EXPECT_EQ(branches.size(), 9u);
}

TEST(SipCallerTest, RequestsOfADialogFollowItsRouteSetBackwards) {
  World world(SipScenario::kCall);
  world.proxy = [](std::string m) {
    if (m.starts_with("INVITE")) {
      Replace(&m, "Max-Forwards",
              "Record-Route: <sip:p3;lr>, \"a,b\" <sip:p2;x=1,2;lr>\r\n"
              "Record-Route: <sip:p1;lr>\r\nMax-Forwards");
    }
    return std::vector{m};
  };
  world.Start();
  world.Run();
  EXPECT_EQ(world.totals().answered, 1u);
  int dialog = 0;
  for (const std::string& m : world.log) {
    if (!m.starts_with("ACK") && !m.starts_with("BYE")) continue;
    ++dialog;
    EXPECT_TRUE(Has(m, " sip:uas@127.0.0.3:5072 SIP/2.0\r\n")) << m;
    const size_t first = m.find("Route: <sip:p1;lr>\r\n");
    const size_t second = m.find("Route:  \"a,b\" <sip:p2;x=1,2;lr>\r\n");
    const size_t third = m.find("Route: <sip:p3;lr>\r\n");
    EXPECT_LT(first, second) << m;
    EXPECT_LT(second, third) << m;
    EXPECT_NE(third, m.npos) << m;
    EXPECT_TRUE(Has(m, ";tag=feedbeefuas\r\n")) << m;
  }
  EXPECT_EQ(dialog, 2);
}

TEST(SipCallerTest, FailuresAreCountedByTheirCode) {
  for (const SipScenario scenario :
       {SipScenario::kOptions, SipScenario::kCall}) {
    World world(scenario, 486);
    world.Start();
    world.Run();
    const SipTotals t = world.totals();
    EXPECT_EQ(t.failed, 1u);
    EXPECT_EQ(t.answered, 0u);
    EXPECT_EQ(t.under_way(), 0u);
    EXPECT_EQ(t.failed_share(), 1.0);
    EXPECT_EQ(world.caller.failures()[486], 1u);
    // RFC 3261 17.1.1.3: same branch as the INVITE, no Route.
    EXPECT_EQ(t.acknowledged, scenario == SipScenario::kCall ? 1u : 0u);
    if (scenario == SipScenario::kCall) {
      EXPECT_TRUE(Has(world.log.back(), "branch=z9hG4bKfeedbeef000000001;"));
    }
  }
}

TEST(SipCallerTest, AByeThatFailsIsACallThatFailed) {
  World world(SipScenario::kCall);
  world.proxy = [](std::string m) {
    if (m.starts_with("SIP/2.0 200") && Has(m, " BYE\r\n")) {
      Replace(&m, "200 OK", "481 Gone");
    }
    return std::vector{m};
  };
  world.Start();
  world.Run();
  EXPECT_EQ(world.totals().failed, 1u);
  EXPECT_EQ(world.caller.failures()[481], 1u);
}

TEST(SipCallerTest, WhatIsNotAnsweredTimesOutAndItsAnswerIsLate) {
  World world(SipScenario::kOptions);
  std::string kept;
  world.proxy = [&](std::string m) {
    if (m.starts_with("SIP")) kept = m;
    return m.starts_with("SIP") ? std::vector<std::string>{} : std::vector{m};
  };
  world.Start();
  world.Run();
  world.Pass(999 * kMs);
  EXPECT_EQ(world.totals().timed_out, 0u);
  world.Pass(1 * kMs);
  EXPECT_EQ(world.totals().timed_out, 1u);
  EXPECT_EQ(world.totals().under_way(), 0u);
  world.Deliver(kept);
  EXPECT_EQ(world.totals().late, 1u);
  EXPECT_EQ(world.totals().answered, 0u);
}

TEST(SipCallerTest, AFullTableGivesUpTheOldestAndNoOther) {
  World world(SipScenario::kOptions);  // of four places
  for (int i = 0; i < 5; ++i) world.Start();
  EXPECT_EQ(world.totals().timed_out, 1u);
  world.Run();
  const SipTotals t = world.totals();
  EXPECT_EQ(t.answered, 4u);
  EXPECT_EQ(t.late, 1u);
  EXPECT_EQ(t.under_way(), 0u);
}

TEST(SipCallerTest, WhatComesTwiceIsARetransmissionWhereverItComes) {
  for (const SipScenario scenario :
       {SipScenario::kOptions, SipScenario::kCall}) {
    World world(scenario);
    world.proxy = [](std::string m) { return std::vector{m, m}; };
    world.Start();
    world.Run();
    const SipTotals t = world.totals();
    EXPECT_EQ(t.answered, 1u);
    EXPECT_EQ(t.under_way(), 0u);
    EXPECT_EQ(t.late + t.unexpected + t.malformed, 0u);
    // Each message and its answers come twice; how often in all follows from
    // each copy of a request being answered.
    EXPECT_EQ(t.retransmissions,
              t.messages() - (scenario == SipScenario::kCall ? 6 : 2));
  }
}

TEST(SipCallerTest, ASecondOkOfAnInviteIsAcknowledgedAgain) {
  World world(SipScenario::kCall);
  std::string ok;
  world.proxy = [&](std::string m) {
    const bool bye = m.starts_with("BYE");
    if (m.starts_with("SIP/2.0 200")) ok = m;
    return bye ? std::vector<std::string>{} : std::vector{m};
  };
  world.Start();
  world.Run();
  EXPECT_EQ(world.totals().acknowledged, 1u);
  world.Deliver(ok);
  world.Run();
  EXPECT_EQ(world.totals().acknowledged, 2u);
}

TEST(SipCallerTest, ChallengesAreAnsweredOnceWhenThatIsWanted) {
  const auto challenge = [](int times) {
    return [times, seen = 0](std::string m) mutable {
      if (m.starts_with("SIP/2.0 200") && seen++ < times) {
        Replace(&m, "200 OK", "401 Who");
        Replace(&m, "Content-Length",
                "WWW-Authenticate: Digest realm=\"r\", nonce=\"n\", "
                "qop=\"auth\", algorithm=SHA-256, opaque=\"o\"\r\n"
                "Content-Length");
      }
      return std::vector{m};
    };
  };
  const auto digest = [](SipCallerOptions* o) { o->digest = true; };
  {
    World world(SipScenario::kRegister, 200, digest);
    world.proxy = challenge(1);
    world.Start();
    world.Run();
    EXPECT_EQ(world.totals().answered, 1u);
    EXPECT_EQ(world.totals().challenged, 1u);
    const std::string& second = world.log[2];
    EXPECT_TRUE(Has(second, "CSeq: 2 REGISTER\r\n")) << second;
    EXPECT_TRUE(Has(second, "\r\nAuthorization: Digest username=\"u0\""))
        << second;
    EXPECT_TRUE(Has(second, "uri=\"sip:example.com\"")) << second;
    EXPECT_TRUE(Has(second, "branch=z9hG4bKfeedbeef000000002;")) << second;
  }
  {
    World world(SipScenario::kRegister, 200, digest);
    world.proxy = challenge(2);
    world.Start();
    world.Run();
    EXPECT_EQ(world.totals().failed, 1u);
    EXPECT_EQ(world.caller.failures()[401], 1u);
  }
  {
    World world(SipScenario::kRegister);
    world.proxy = challenge(1);
    world.Start();
    world.Run();
    EXPECT_EQ(world.totals().challenged, 0u);
    EXPECT_EQ(world.caller.failures()[401], 1u);
  }
}

TEST(SipCallerTest, RepeatsOnlyWhenToldAndOnlyWhatIsNotHeardOf) {
  World mute(SipScenario::kOptions);
  mute.Start();
  mute.uac.messages.clear();
  mute.Pass(900 * kMs);
  EXPECT_TRUE(mute.uac.messages.empty());

  const auto repeat = [](SipCallerOptions* o) {
    o->retransmit = true;
    o->timeout_ns = 32'000 * kMs;
  };
  World world(SipScenario::kCall, 200, repeat);
  world.Start();
  const std::string invite = world.uac.messages.front();
  world.uac.messages.clear();
  world.Pass(499 * kMs);
  EXPECT_TRUE(world.uac.messages.empty());
  world.Pass(51 * kMs);
  ASSERT_EQ(world.uac.messages.size(), 1u);
  EXPECT_EQ(world.uac.messages.front(), invite);
  EXPECT_EQ(world.totals().resent, 1u);
  // Once it has been heard of, no more; the BYE is another matter.
  world.proxy = [](std::string m) {
    return m.starts_with("SIP/2.0 200") ? std::vector<std::string>{}
                                        : std::vector{m};
  };
  world.Run();
  EXPECT_EQ(world.totals().ringing, 1u);
  world.Pass(5'000 * kMs);
  EXPECT_TRUE(world.uac.messages.empty());
}

TEST(SipCallerTest, StrangeMessagesAreCountedAndChangeNothing) {
  World world(SipScenario::kOptions);
  std::string ok;
  world.proxy = [&](std::string m) {
    if (m.starts_with("SIP")) ok = m;
    return m.starts_with("SIP") ? std::vector<std::string>{} : std::vector{m};
  };
  world.Start();
  world.Run();
  ASSERT_FALSE(ok.empty());
  world.Deliver("rubbish");
  world.Deliver("");
  world.Deliver("OPTIONS sip:a SIP/2.0" + ok.substr(ok.find("\r\n")));
  std::string two = ok;
  Replace(&two, "Via:", "Via: SIP/2.0/UDP 127.0.0.1\r\nVia:");
  world.Deliver(two);
  EXPECT_EQ(world.totals().malformed, 4u);
  std::string foreign = ok;
  Replace(&foreign, "Call-ID: feed", "Call-ID: f00d");
  world.Deliver(foreign);
  EXPECT_EQ(world.totals().foreign, 1u);
  std::string never = ok;
  Replace(&never, "-00000000@", "-00000003@");
  world.Deliver(never);
  EXPECT_EQ(world.totals().late, 1u);
  std::string other = ok;
  Replace(&other, "CSeq: 1", "CSeq: 9");
  world.Deliver(other);
  EXPECT_EQ(world.totals().unexpected, 1u);
  std::string trying = ok;
  Replace(&trying, "200 OK", "100 Trying");
  world.Deliver(trying);
  EXPECT_EQ(world.totals().trying, 1u);
  EXPECT_EQ(world.totals().answered, 0u);
  world.Deliver(ok);
  EXPECT_EQ(world.totals().answered, 1u);
}

TEST(SipCallerTest, WhatDoesNotFitIsNotSent) {
  World world(SipScenario::kCall);
  world.proxy = [](std::string m) {
    if (m.starts_with("SIP/2.0 200") && Has(m, "INVITE")) {
      Replace(&m, "Content-Length",
              Cat("Record-Route: <sip:", std::string(kSipMessageMax, 'x'),
                  ">\r\nContent-Length"));
    }
    return std::vector{m};
  };
  world.Start();
  world.Run();
  EXPECT_EQ(world.totals().too_long, 2u);
  world.Pass(1'000 * kMs);
  EXPECT_EQ(world.totals().timed_out, 1u);
}

TEST(SipCallerTest, EverythingEndsOnceWhateverIsLostOrDoubled) {
  const auto seed = std::random_device()();
  SCOPED_TRACE(seed);
  std::mt19937 random(seed);
  for (const SipScenario scenario :
       {SipScenario::kOptions, SipScenario::kRegister, SipScenario::kCall}) {
    World world(scenario, 200, [](SipCallerOptions* o) {
      o->slots = 64;
      o->retransmit = true;
    });
    world.proxy = [&](std::string m) {
      switch (random() % 8) {
        case 0: return std::vector<std::string>{};
        case 1: return std::vector{m, m};
        default: return std::vector{m};
      }
    };
    for (int i = 0; i < 2'000; ++i) {
      world.Start();
      if (random() % 4 == 0) world.Run();
      world.Pass(random() % (40 * kMs));
    }
    world.Run();
    world.Pass(2'000 * kMs);
    const SipTotals t = world.totals();
    EXPECT_EQ(t.started, 2'000u);
    EXPECT_EQ(t.under_way(), 0u);
    EXPECT_EQ(t.malformed + t.foreign + t.unexpected, 0u);
    EXPECT_GT(t.answered, 500u);
    EXPECT_GT(t.timed_out, 0u);
    EXPECT_GT(t.resent, 0u);
  }
}

void WithMedia(SipCallerOptions* options) { options->parties.media = true; }

int Byes(const World& world) {
  return static_cast<int>(
      std::count_if(world.log.begin(), world.log.end(),
                    [](const auto& m) { return m.starts_with("BYE"); }));
}

TEST(SipCallerTest, ACallWithMediaIsLeftWhenItsMediaIsOver) {
  World world(SipScenario::kCall, 200, WithMedia);
  for (uint32_t call = 0; call < 5; ++call) {
    world.Start();
    world.Run();
    world.Talk(3);
    world.Run();
    EXPECT_EQ(world.totals().answered, call);
    EXPECT_TRUE(world.log.back().starts_with("ACK")) << world.log.back();
    world.Talk(1);
    world.Run();
    EXPECT_EQ(world.totals().answered, call + 1);
  }
  const SipTotals t = world.totals();
  EXPECT_EQ(t.messages(), 5 * 6u);
  EXPECT_EQ(t.media_calls, 5u);
  EXPECT_EQ(t.unexpected + t.retransmissions + t.malformed, 0u);
  EXPECT_EQ(world.media->packets().sent.Get(), 5 * 3 * 2u);
  EXPECT_EQ(world.media->packets().received.Get(), 5 * 3 * 2u);
  // Inside the dialog, as without media.
  EXPECT_TRUE(Has(world.log[world.log.size() - 2], "CSeq: 2 BYE\r\n"));
  EXPECT_TRUE(Has(world.log[world.log.size() - 2], ";tag=feedbeefuas\r\n"));
}

TEST(SipCallerTest, OffersAndAnswersNameThePortsOfTheirCall) {
  World world(SipScenario::kCall, 200, WithMedia);
  world.Start();
  world.Start();
  world.Run();
  std::set<Endpoint> named;
  for (const std::string& message : world.log) {
    sip::Message parsed;
    ASSERT_FALSE(parsed.Parse(message)) << message;
    const auto at = SdpAudioAddress(message);
    if (at.has_value()) named.insert(*at);
  }
  EXPECT_EQ(named.size(), 4u);
  for (const uint32_t number : {0u, 1u}) {
    for (const Party party : {kCaller, kCallee}) {
      EXPECT_TRUE(
          named.contains(*SdpAudioAddress(world.media->Body(number, party))));
    }
  }
}

TEST(SipCallerTest, WithoutMediaDescriptionsAreWhatTheyWere) {
  World world(SipScenario::kCall);
  world.Start();
  world.Run();
  EXPECT_TRUE(Has(world.log.front(),
                  "Content-Type: application/sdp\r\nContent-Length: 153\r\n\r\n"
                  "v=0\r\no=- 1 1 IN IP4 127.0.0.2\r\ns=-\r\n"
                  "c=IN IP4 127.0.0.2\r\nt=0 0\r\n"
                  "m=audio 40000 RTP/AVP 0 8 101\r\n"
                  "a=rtpmap:101 telephone-event/8000\r\na=ptime:20\r\n"
                  "a=sendrecv\r\n"))
      << world.log.front();
  EXPECT_TRUE(Has(world.log[2], "m=audio 40002 RTP/AVP")) << world.log[2];
}

TEST(SipCallerTest, ACallThatIsToldNoAddressHasNoMediaAndEndsAtOnce) {
  for (const std::string_view start : {"INVITE", "SIP/2.0 200"}) {
    World world(SipScenario::kCall, 200, WithMedia);
    world.proxy = [&](std::string m) {
      const size_t at = m.find("m=audio ");
      if (m.starts_with(start) && at != m.npos) m.replace(at, 2, "x=");
      return std::vector{m};
    };
    for (int i = 0; i < 5; ++i) {
      EXPECT_TRUE(world.Start());
      world.Run();
    }
    EXPECT_EQ(world.totals().answered, 5u);
    EXPECT_EQ(world.totals().media_failed, 5u);
    EXPECT_EQ(world.totals().media_calls, 0u);
  }
}

TEST(SipCallerTest, ACallOfAnotherRunIsAnsweredWithoutAudio) {
  World world(SipScenario::kCall, 200, WithMedia);
  world.proxy = [](std::string m) {
    if (m.starts_with("INVITE")) Replace(&m, "Call-ID: feed", "Call-ID: f00d");
    return std::vector{m};
  };
  world.Start();
  world.Run();
  EXPECT_EQ(world.totals().foreign, 3u);
  EXPECT_TRUE(Has(world.log.back(), "m=audio 0 RTP/AVP")) << world.log.back();
}

TEST(SipCallerTest, ACallWithoutAPlaceForItsMediaIsNotBegun) {
  World world(SipScenario::kCall, 200, WithMedia);
  EXPECT_TRUE(world.Start());
  EXPECT_TRUE(world.Start());
  EXPECT_FALSE(world.Start());
  EXPECT_EQ(world.totals().started, 2u);
  EXPECT_EQ(world.totals().media_no_place, 1u);
  world.Run();
  EXPECT_FALSE(world.Start());
  world.Talk(4);
  EXPECT_TRUE(world.Start());
  world.Run();
  world.Talk(4);
  world.Run();
  EXPECT_EQ(world.totals().answered, 3u);
  EXPECT_EQ(world.media->packets().misrouted.Get(), 0u);
}

TEST(SipCallerTest, AFailedCallAndOneThatTimesOutGiveTheirPlacesBack) {
  World busy(SipScenario::kCall, 486, WithMedia);
  World silent(SipScenario::kCall, 200, WithMedia);
  silent.proxy = [](std::string) { return std::vector<std::string>{}; };
  for (World* world : {&busy, &silent}) {
    for (uint32_t i = 0; i < 6; ++i) {
      EXPECT_TRUE(world->Start());
      world->Run();
      world->Pass(1'000 * kMs);
    }
  }
  EXPECT_EQ(busy.totals().failed, 6u);
  EXPECT_EQ(silent.totals().timed_out, 6u);
}

TEST(SipCallerTest, WhatComesWhileACallTalksIsAnsweredAndChangesNothing) {
  World world(SipScenario::kCall, 200, [](SipCallerOptions* options) {
    WithMedia(options);
    options->retransmit = true;
    options->timeout_ns = 60'000 * kMs;
  });
  std::string ok;
  world.proxy = [&](std::string m) {
    if (m.starts_with("SIP/2.0 200") && Has(m, "INVITE")) ok = m;
    return std::vector{m};
  };
  world.Start();
  world.Run();
  world.Deliver(ok);
  world.Run();
  EXPECT_EQ(world.totals().acknowledged, 2u);
  // Nothing is repeated, and nothing but the end of the media ends it.
  world.Pass(5'000 * kMs);
  EXPECT_TRUE(world.uac.messages.empty());
  std::string bye = ok;
  Replace(&bye, "CSeq: 1 INVITE", "CSeq: 2 BYE");
  world.Deliver(bye);
  EXPECT_EQ(world.totals().unexpected, 1u);
  EXPECT_EQ(world.totals().answered, 0u);
  world.Talk(4);
  // The BYE is repeated until it is answered.
  world.uac.messages.clear();
  world.Pass(551 * kMs);
  world.Run();
  EXPECT_EQ(world.totals().resent, 1u);
  EXPECT_EQ(Byes(world), 1);
  EXPECT_EQ(world.totals().answered, 1u);
}

}  // namespace
}  // namespace sluice::load
