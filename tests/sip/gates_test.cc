// Goal: what is to go no further does not, and nothing else is stopped.
// Method: requests over real sockets where an answer is looked for, else handed
// over with the source and the time that the test wants.

#include "sip/gates.h"

#include <gtest/gtest.h>

#include <array>
#include <cstdint>
#include <cstring>
#include <string>

#include "sip/receive_chain.h"
#include "tests/sip/sip_world.h"

namespace sluice::sip {
namespace {

class Gates : public testing::Test {
 protected:
  Gates() : leg(world.AddLeg("one", "127.0.0.1")) { world.Start(); }
  ~Gates() override { world.ExpectLaw(); }

  SipWorld world;
  Leg& leg;
  Phone alice{world, Transport::kUdp};
  Phone bob{world, Transport::kUdp};
};

TEST_F(Gates, ABlockedMethodIsAnswered) {
  Blocker blocker(*world.dispatcher,
                  {*Blocker::RuleOf("INVITE", "603 Not today"),
                   *Blocker::RuleOf("MESSAGE", "405")});
  world.SetChains({&blocker, world.proxy.get()});
  Ask ask{.method = "INVITE", .uri = bob.uri("bob")};
  alice.Request(leg, ask);
  EXPECT_EQ(LineOf(alice.Next(), "SIP/2.0"), "SIP/2.0 603 Not today");
  ask.method = "MESSAGE";
  alice.Request(leg, ask);
  EXPECT_EQ(LineOf(alice.Next(), "SIP/2.0"), "SIP/2.0 405 Method Not Allowed");
  // The ACK belongs to our answer, whatever tag it has.
  ask.method = "ACK";
  alice.Request(leg, ask);
  EXPECT_TRUE(bob.Silent());
  EXPECT_EQ(world.Drops(SipDrop::k_dropper), 1u);
  ask.method = "OPTIONS";
  alice.Request(leg, ask);
  const std::string request = bob.Next();
  bob.Respond(request, {});
  EXPECT_EQ(StatusOf(alice.Next()), 200);
  EXPECT_EQ(blocker.Counters()[0].value, 3u);
}

// Takes nothing, and remembers what it was shown.
class Witness final : public Handler {
 public:
  std::string_view name() const override { return "witness"; }
  Handled Receive(Incoming& in) override {
    seen += Cat(seen.empty() ? "" : " ",
                in.message.is_request() ? "" : "re:", in.message.method_text());
    return Handled::kNotMine;
  }
  std::string seen;
};

TEST_F(Gates, AChainInAChainIsForItsMethods) {
  Witness inner, behind;
  Blocker blocker(*world.dispatcher, {*Blocker::RuleOf("MESSAGE", "405")});
  ReceiveChain chain("calls", {&inner, &blocker}, {"INVITE", "MESSAGE"});
  world.SetChains({&chain, &behind, world.proxy.get()});
  Ask ask{.method = "INVITE", .uri = bob.uri("bob")};
  alice.Request(leg, ask);
  bob.Respond(bob.Next(), {});
  EXPECT_EQ(StatusOf(alice.Next()), 200);
  // What one of its handlers has taken goes no further.
  ask.method = "MESSAGE";
  alice.Request(leg, ask);
  EXPECT_EQ(StatusOf(alice.Next()), 405);
  ask.method = "OPTIONS";
  alice.Request(leg, ask);
  bob.Respond(bob.Next(), {});
  EXPECT_EQ(StatusOf(alice.Next()), 200);
  // What belongs to an INVITE goes where it went.
  for (const char* method : {"CANCEL", "ACK"}) {
    ask.method = method;
    alice.Request(leg, ask);
    bob.Next();
  }
  EXPECT_EQ(inner.seen, "INVITE re:INVITE MESSAGE CANCEL ACK");
  EXPECT_EQ(behind.seen, "INVITE re:INVITE OPTIONS re:OPTIONS CANCEL ACK");
}

TEST(BlockerRule, HasACodeOfAFinalFailure) {
  EXPECT_FALSE(Blocker::RuleOf("INVITE", "200 OK"));
  EXPECT_FALSE(Blocker::RuleOf("INVITE", "700"));
  EXPECT_FALSE(Blocker::RuleOf("INVITE", "Forbidden"));
  EXPECT_FALSE(Blocker::RuleOf("INVITE", ""));
  EXPECT_EQ(Blocker::RuleOf("INVITE", "403")->reason, "Forbidden");
  EXPECT_EQ(Blocker::RuleOf("INVITE", "699 x y")->reason, "x y");
}

class Drops : public Gates {
 protected:
  // Whether it is let pass.
  bool Passes(Dropper& dropper, const IpAddress& from,
              const std::string& method = "OPTIONS") {
    Ask ask{.method = method};
    const std::string text = alice.Write(ask);
    Message m;
    EXPECT_FALSE(m.Parse(text));
    return Passes(dropper, from, m);
  }
  bool Passes(Dropper& dropper, const IpAddress& from, const Message& m) {
    const Peer peer{.transport = Transport::kUdp,
                    .address = {from, Port::FromHost(5060)}};
    Incoming in(m, leg, peer, world.now);
    const bool passes = dropper.Receive(in) == Handler::Handled::kNotMine;
    // They came by no socket.
    if (!passes) ++world.dispatcher->mutable_counters().requests_in;
    return passes;
  }
  int PassingOf(Dropper& dropper, const IpAddress& from, int asked) {
    int passed = 0;
    for (int i = 0; i < asked; ++i) passed += Passes(dropper, from) ? 1 : 0;
    return passed;
  }
  const IpAddress one = *IpAddress::Parse("192.0.2.1");
  const IpAddress two = *IpAddress::Parse("192.0.2.2");
};

TEST_F(Drops, ABurstPassesThenOnlyWhatTheRateAllows) {
  Dropper dropper(*world.dispatcher, {.per_second = 10, .burst = 5});
  EXPECT_EQ(PassingOf(dropper, one, 9), 5);
  EXPECT_EQ(PassingOf(dropper, two, 9), 5);
  world.now = world.now + Micros::Millis(350);
  EXPECT_EQ(PassingOf(dropper, one, 9), 3);
  // It fills up to the burst and no further.
  world.now = world.now + Micros::Seconds(60);
  EXPECT_EQ(PassingOf(dropper, one, 9), 5);
  EXPECT_EQ(dropper.Counters()[0].name, "too_fast");
  EXPECT_EQ(dropper.Counters()[0].value, 18u);
}

TEST_F(Drops, OnlyTheNamedMethodsAreCounted) {
  Dropper dropper(*world.dispatcher,
                  {.per_second = 1, .burst = 1, .methods = {"REGISTER"}});
  EXPECT_TRUE(Passes(dropper, one, "REGISTER"));
  EXPECT_FALSE(Passes(dropper, one, "REGISTER"));
  EXPECT_TRUE(Passes(dropper, one, "OPTIONS"));
}

TEST_F(Drops, WithoutARateEverythingPasses) {
  Dropper dropper(*world.dispatcher, {});
  EXPECT_EQ(PassingOf(dropper, one, 100), 100);
}

TEST_F(Drops, AnIpv6NetworkIsOneSource) {
  Dropper dropper(*world.dispatcher, {.per_second = 1, .burst = 1});
  EXPECT_TRUE(Passes(dropper, *IpAddress::Parse("2001:db8::1")));
  EXPECT_FALSE(Passes(dropper, *IpAddress::Parse("2001:db8::2:1")));
  EXPECT_TRUE(Passes(dropper, *IpAddress::Parse("2001:db8:0:1::1")));
}

// Whatever the key of the table is: eight newcomers in one set of 8,192 between
// two messages of the heavy one, a thousand sources apart, do not happen.
TEST_F(Drops, AFloodOfSourcesDoesNotWashOutAHeavyOne) {
  constexpr uint32_t kSpoofed = 1'000'000;
  constexpr uint32_t kBetween = 1'000;
  Dropper dropper(*world.dispatcher, {.per_second = 1, .burst = 5});
  Ask ask{.method = "OPTIONS"};
  const std::string text = alice.Write(ask);
  Message m;
  ASSERT_FALSE(m.Parse(text));
  int heavy = 0;
  uint32_t others = 0;
  for (uint32_t n = 0; n < kSpoofed; ++n) {
    const IpAddress spoofed =
        IpAddress::V4(10, static_cast<uint8_t>(n >> 16),
                      static_cast<uint8_t>(n >> 8), static_cast<uint8_t>(n));
    others += Passes(dropper, spoofed, m) ? 1 : 0;
    if (n % kBetween == 0) heavy += Passes(dropper, one, m) ? 1 : 0;
    if (n % (kSpoofed / 10) == 0) world.now = world.now + Micros::Seconds(1);
  }
  // Its burst and what ten seconds allow, of a thousand.
  EXPECT_GE(heavy, 5 + 9);
  EXPECT_LE(heavy, 5 + 10);
  // Nobody else suffers.
  EXPECT_EQ(others, kSpoofed);
  EXPECT_EQ(dropper.Counters()[2].name, "forgotten");
  EXPECT_GT(dropper.Counters()[2].value, kSpoofed / 4);
}

TEST_F(Drops, AFloodOfIpv6NetworksDoesNotEither) {
  Dropper dropper(*world.dispatcher, {.per_second = 1, .burst = 2});
  const IpAddress heavy = *IpAddress::Parse("2001:db8::1");
  Ask ask{.method = "OPTIONS"};
  const std::string text = alice.Write(ask);
  Message m;
  ASSERT_FALSE(m.Parse(text));
  int passed = 0;
  for (uint32_t n = 0; n < 200'000; ++n) {
    std::array<uint8_t, 16> octets = {0x20, 0x02};
    std::memcpy(octets.data() + 4, &n, sizeof n);
    EXPECT_TRUE(Passes(dropper, IpAddress::FromOctets(octets.data()), m));
    if (n % 500 == 0) passed += Passes(dropper, heavy, m) ? 1 : 0;
  }
  EXPECT_EQ(passed, 2);
}

TEST_F(Drops, WhoIsFullAgainIsForgottenUncounted) {
  Dropper dropper(*world.dispatcher, {.per_second = 1, .burst = 2});
  EXPECT_EQ(dropper.Counters()[2].value, 0u);
  EXPECT_EQ(PassingOf(dropper, one, 5), 2);
  EXPECT_EQ(dropper.Counters()[2].value, 0u);
  for (uint32_t n = 0; n < Dropper::kSourcesMax; ++n) {
    Passes(dropper, IpAddress::V4(10, 0, static_cast<uint8_t>(n >> 8),
                                  static_cast<uint8_t>(n)));
  }
  const uint64_t before = dropper.Counters()[2].value;
  world.now = world.now + Micros::Seconds(2);
  EXPECT_EQ(PassingOf(dropper, two, 5), 2);
  EXPECT_EQ(dropper.Counters()[2].value, before);
}

TEST_F(Drops, APatternInAHeaderOrInTheUriIsDropped) {
  Dropper dropper(*world.dispatcher,
                  {.patterns = {{.header = "User-Agent", .text = "sipVICIOUS"},
                                {.header = "f", .text = "mallory"},
                                {.header = "", .text = "0900"}}});
  world.SetChains({&dropper, world.proxy.get()});
  Ask ask{.uri = bob.uri("bob")};
  ask.more = "user-agent: friendly SIPvicious 1.0\r\n";
  alice.Request(leg, ask);
  ask.more = "";
  ask.from = "<sip:mallory@example.com>;tag=m";
  alice.Request(leg, ask);
  ask = {.uri = bob.uri("0900123")};
  alice.Request(leg, ask);
  EXPECT_TRUE(alice.Silent());
  EXPECT_TRUE(bob.Silent());
  EXPECT_EQ(world.Drops(SipDrop::k_dropper), 3u);
  EXPECT_EQ(dropper.Counters()[1].value, 3u);
  ask = {.uri = bob.uri("bob")};
  ask.more = "User-Agent: a phone\r\nSubject: sipvicious\r\n";
  alice.Request(leg, ask);
  const std::string request = bob.Next();
  // Responses are keyed, and pass.
  bob.Respond(request, {.more = "User-Agent: sipvicious\r\n"});
  EXPECT_EQ(StatusOf(alice.Next()), 200);
}

}  // namespace
}  // namespace sluice::sip
