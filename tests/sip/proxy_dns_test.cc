// Goal: a request for a name waits for DNS without holding up others, and goes
// on as it came; the requests of a call go to one place.
// Method: a name server in the test's own loop.

#include <gtest/gtest.h>

#include "tests/sip/dns_server.h"
#include "tests/sip/sip_world.h"

namespace sluice::sip {
namespace {

using Mood = DnsServer::Mood;
using dns::Type;

class Names : public testing::Test {
 protected:
  Names() : leg(world.AddLeg("one", "127.0.0.1")) {
    auto made = Resolver::Create(world.loop, {.servers = {server.address()},
                                              .hosts_file = "",
                                              .timeout = Micros::Millis(20),
                                              .tries = 1,
                                              .seed = 7});
    EXPECT_TRUE(made.ok());
    resolver = *std::move(made);
    world.resolver = resolver.get();
    world.Start();
  }
  ~Names() override { world.ExpectLaw(); }

  std::string At(const std::string& name, const Phone& phone) {
    return Cat("sip:bob@", name, ":", phone.at().port.host());
  }
  // Until what was held has been answered by us.
  std::string Answered() {
    // c-ares counts its timeouts by the real clock.
    for (int i = 0; i < 1'000'000 && world.counters().replies == 0; ++i) {
      world.now = world.now + Micros::Millis(10);
      world.Turn();
    }
    return alice.Next();
  }

  SipWorld world;
  DnsServer server{world.loop};
  std::unique_ptr<Resolver> resolver;
  Leg& leg;
  Phone alice{world, Transport::kUdp};
  Phone bob{world, Transport::kUdp};
};

TEST_F(Names, ARequestWaitsForItsNameAndGoesOnAsItCame) {
  server.Put("bob.test", A("127.0.0.1"));
  Ask ask{.method = "INVITE", .uri = At("bob.test", bob)};
  ask.body = "a body";
  ask.type = "text/plain";
  alice.Request(leg, ask);
  // Read into the same room before the name is there.
  alice.Request(leg, {.uri = "sip:" + Named(leg), .call_id = "ping"});
  EXPECT_EQ(Value(alice.Next(), HeaderId::kCallId), "ping");
  const std::string late = bob.Next();
  EXPECT_EQ(UriOf(late), ask.uri);
  EXPECT_EQ(BodyOf(late), "a body");
  // From the cache it is the same octets.
  alice.Request(leg, ask);
  EXPECT_EQ(bob.Next(), late);
}

TEST_F(Names, ANameThatIsNotThereIs404) {
  alice.Request(leg, {.uri = "sip:bob@nobody.test:5070"});
  EXPECT_EQ(StatusOf(Answered()), 404);
}

TEST_F(Names, AServerThatIsSilentIs408) {
  server.Set("slow.test", Type::kA, Mood::kSilent);
  server.Set("slow.test", Type::kAaaa, Mood::kSilent);
  alice.Request(leg, {.uri = "sip:bob@slow.test:5070"});
  EXPECT_EQ(StatusOf(Answered()), 408);
}

TEST_F(Names, ANameThatIsAForbiddenAddressIsRefused) {
  server.Put("trap.test", A("0.0.0.0"));
  alice.Request(leg, {.uri = "sip:bob@trap.test:5070"});
  EXPECT_EQ(StatusOf(Answered()), 403);
}

TEST_F(Names, ANameThatIsOursIsALoop) {
  server.Put("us.test", A("127.0.0.1"));
  alice.Request(leg, {.uri = Cat("sip:bob@us.test:",
                                 leg.addresses[0].bound.port.host())});
  EXPECT_EQ(StatusOf(Answered()), 482);
}

TEST_F(Names, TheRequestsOfACallGoToOnePlace) {
  Phone other(world, Transport::kUdp);
  const std::string phones[] = {"one.test", "two.test"};
  server.Put(phones[0], A("127.0.0.1"));
  server.Put(phones[1], A("127.0.0.1"));
  server.Put("_sip._udp.farm.test",
             SrvRr(1, 1, bob.at().port.host(), phones[0]));
  server.Put("_sip._udp.farm.test",
             SrvRr(1, 1, other.at().port.host(), phones[1]));
  int at_bob = 0, at_other = 0;
  for (int call = 0; call < 12; ++call) {
    Phone* first = nullptr;
    for (const char* method : {"INVITE", "INVITE", "CANCEL"}) {
      Ask ask{.method = method, .uri = "sip:bob@farm.test;transport=udp"};
      ask.call_id = Cat("call-", call);
      alice.Request(leg, ask);
      const uint64_t before = world.counters().requests_forwarded;
      for (int i = 0; i < 400; ++i) {
        if (world.counters().requests_forwarded > before) break;
        world.Turn();
      }
      Phone* got = bob.Silent() ? &other : &bob;
      if (got == &other) {
        EXPECT_NE(other.Next(), "");
      }
      if (first == nullptr) first = got;
      EXPECT_EQ(got, first) << ask.call_id;
    }
    ++(first == &bob ? at_bob : at_other);
  }
  // And different calls to different ones.
  EXPECT_GT(at_bob, 0);
  EXPECT_GT(at_other, 0);
}

}  // namespace
}  // namespace sluice::sip
