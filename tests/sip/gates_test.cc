// Goal: what is to go no further does not, and nothing else is stopped.
// Method: requests over real sockets where an answer is looked for, else handed
// over with the source and the time that the test wants.

#include "sip/gates.h"

#include <gtest/gtest.h>

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
  EXPECT_EQ(dropper.sources(), 0u);
}

TEST_F(Drops, AnIpv6NetworkIsOneSource) {
  Dropper dropper(*world.dispatcher, {.per_second = 1, .burst = 1});
  EXPECT_TRUE(Passes(dropper, *IpAddress::Parse("2001:db8::1")));
  EXPECT_FALSE(Passes(dropper, *IpAddress::Parse("2001:db8::2:1")));
  EXPECT_TRUE(Passes(dropper, *IpAddress::Parse("2001:db8:0:1::1")));
}

TEST_F(Drops, TheTableIsBoundedAndForgetsWhoHasBeenQuiet) {
  Dropper dropper(*world.dispatcher, {.per_second = 1, .burst = 2});
  const auto source = [](size_t n) {
    return IpAddress::V4(10, static_cast<uint8_t>(n >> 16),
                         static_cast<uint8_t>(n >> 8), static_cast<uint8_t>(n));
  };
  for (size_t n = 0; n < Dropper::kSourcesMax; ++n) {
    ASSERT_TRUE(Passes(dropper, source(n)));
  }
  // No room for a newcomer, who is let pass; who is known is counted.
  EXPECT_EQ(PassingOf(dropper, one, 5), 5);
  EXPECT_EQ(PassingOf(dropper, source(7), 5), 1);
  EXPECT_EQ(dropper.sources(), Dropper::kSourcesMax);
  EXPECT_EQ(dropper.Counters()[2].value, 5u);
  dropper.Tick(world.now);
  EXPECT_EQ(dropper.sources(), Dropper::kSourcesMax);
  world.now = world.now + Micros::Seconds(1);
  dropper.Tick(world.now);
  EXPECT_EQ(dropper.sources(), 1u);  // source(7) has more to fill
  EXPECT_EQ(PassingOf(dropper, one, 5), 2);
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
