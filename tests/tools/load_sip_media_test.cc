// Goal: a call's packets go where its descriptions say, every one that is lost,
// doubled, damaged, late or another call's is counted as just that, and its
// place is back when it is over.
// Method: places with real sockets on loopback, where a packet has arrived when
// it has been sent; a clock of our own; and a relay between the sides that does
// to a packet what it is told.
#include <gtest/gtest.h>
#include <sys/socket.h>

#include <algorithm>
#include <functional>
#include <set>
#include <string>
#include <vector>

#include "base/net/socket.h"
#include "tools/load/sip_media.h"
#include "tools/load/sip_messages.h"
#include "tools/load/sip_scan.h"

namespace sluice::load {
namespace {

constexpr uint64_t kTurn = SipMedia::kPacketNs;
constexpr uint32_t kPackets = 5;  // of each side
constexpr uint32_t kDrainTurns = SipMedia::kDrainNs / kTurn;

using Packet = std::vector<uint8_t>;
using Packets = std::vector<Packet>;
using Fault = std::function<Packets(Packet)>;

net::Fd Socket() { return *net::OpenUdp(*Endpoint::Parse("127.0.0.1:0"), {}); }
Endpoint AddressOf(const net::Fd& fd) { return *net::LocalEndpoint(fd.get()); }

class World {
 public:
  explicit World(uint32_t places = 4) : media(Options(places), calls_) {
    EXPECT_TRUE(media.Open().ok());
  }

  Endpoint AddressOf(uint32_t number, Party party) const {
    return SdpAudioAddress(media.Body(number, party)).value_or(Endpoint());
  }
  // Both sides of a call that has been taken are told, and it is up.
  void Begin(uint32_t number, const Endpoint& caller_to,
             const Endpoint& callee_to) {
    media.OnDescription(number, kCallee, SipAudioBody(callee_to));
    media.OnDescription(number, kCaller, SipAudioBody(caller_to));
    ASSERT_TRUE(media.Begin(number, now_ns));
  }
  // Straight from side to side.
  void BeginDirectly(uint32_t number) {
    Begin(number, AddressOf(number, kCallee), AddressOf(number, kCaller));
  }
  // Turns of every call, with `between` behind each; who has ended meanwhile.
  std::vector<uint32_t> Pass(uint32_t turns,
                             const std::function<void()>& between = {}) {
    std::vector<uint32_t> over;
    for (; turns > 0; --turns) {
      now_ns += kTurn;
      while (media.Work(now_ns) > 0) {
        over.insert(over.end(), media.over().begin(), media.over().end());
      }
      if (between) between();
    }
    return over;
  }
  Totals packets() const {
    Totals totals;
    totals.Add(media.packets());
    return totals;
  }
  SipTotals calls() const {
    SipTotals totals;
    totals.Add(calls_);
    return totals;
  }

 private:
  static SipMediaOptions Options(uint32_t places) {
    SipMediaOptions options;
    options.uac = IpAddress::V4(127, 0, 0, 2);
    options.uas = IpAddress::V4(127, 0, 0, 3);
    options.run = 0xfeedbeef;
    options.seconds = 0.1;
    options.places = places;
    options.slots = 16;
    return options;
  }
  SipTally calls_;

 public:
  SipMedia media;
  uint64_t now_ns = 1'000'000'000;
};

// What both sides of call 1 send to, and what it makes of their packets.
class Relay {
 public:
  explicit Relay(World& world)
      : sides_{world.AddressOf(1, kCaller), world.AddressOf(1, kCallee)} {
    world.Begin(1, AddressOf(fd_), AddressOf(fd_));
  }

  void Carry(const Fault& fault) {
    for (Packet packet(2048);; packet.resize(2048)) {
      const ssize_t n = ::recv(fd_.get(), packet.data(), packet.size(), 0);
      if (n < 0) return;
      packet.resize(static_cast<size_t>(n));
      const auto probe = ReadProbe(packet);
      ASSERT_TRUE(probe.has_value());
      for (const Packet& out : fault(packet)) Send(probe->direction ^ 1, out);
    }
  }
  void Send(int party, const Packet& packet) {
    sockaddr_storage to{};
    const socklen_t length = sides_[party].ToSockaddr(AF_INET, &to);
    ASSERT_EQ(::sendto(fd_.get(), packet.data(), packet.size(), 0,
                       reinterpret_cast<const sockaddr*>(&to), length),
              static_cast<ssize_t>(packet.size()));
  }

 private:
  net::Fd fd_ = Socket();
  const Endpoint sides_[2];
};

// A call through a relay with that fault, to its end.
void Through(World* world, const Fault& fault) {
  EXPECT_TRUE(world->media.Take(1));
  Relay relay(*world);
  const auto over =
      world->Pass(kPackets + kDrainTurns + 2, [&] { relay.Carry(fault); });
  EXPECT_EQ(over, std::vector<uint32_t>{1});
  EXPECT_EQ(world->packets().sent, 2 * kPackets);
}

Packet ReadOne(const net::Fd& fd) {
  Packet packet(2048);
  const ssize_t n = ::recv(fd.get(), packet.data(), packet.size(), 0);
  packet.resize(n < 0 ? 0 : static_cast<size_t>(n));
  return packet;
}

TEST(SipMediaTest, BothSidesSendAndTheCallIsOverWhenAllHasCome) {
  World world(1);
  ASSERT_TRUE(world.media.Take(7));
  world.BeginDirectly(7);
  EXPECT_EQ(world.media.next_due_ns(), world.now_ns + kTurn);
  EXPECT_TRUE(world.Pass(kPackets).empty());
  EXPECT_EQ(world.packets().sent, 2 * kPackets);
  EXPECT_EQ(world.packets().received, 2 * kPackets);
  EXPECT_EQ(world.Pass(1), std::vector<uint32_t>{7});
  EXPECT_EQ(world.media.next_due_ns(), UINT64_MAX);
  EXPECT_TRUE(world.Pass(3).empty());
  const Totals packets = world.packets();
  EXPECT_EQ(packets.sent, 2 * kPackets);
  EXPECT_EQ(packets.lost() + packets.faults(), 0u);
  EXPECT_EQ(world.calls().media_calls, 1u);
  EXPECT_EQ(world.media.delay_ns().count(), 2 * kPackets);
}

TEST(SipMediaTest, PacketsAreRtpOfTheCall) {
  World world;
  const net::Fd ear = Socket();
  ASSERT_TRUE(world.media.Take(3));
  world.Begin(3, AddressOf(ear), AddressOf(ear));
  world.Pass(2);
  std::set<Packet> ssrcs;
  for (uint32_t i = 0; i < 4; ++i) {
    const Packet packet = ReadOne(ear);
    ASSERT_EQ(packet.size(), 172u);
    EXPECT_EQ(packet[0], 0x80);  // version 2
    EXPECT_EQ(packet[1], 0);     // PCMU
    const auto probe = ReadProbe(packet);
    ASSERT_TRUE(probe.has_value());
    EXPECT_EQ(probe->session, 3u);
    EXPECT_EQ(probe->direction, i % 2);
    EXPECT_EQ(probe->sequence, i / 2);
    EXPECT_EQ(packet[6] << 8 | packet[7], static_cast<int>(i / 2 * 160));
    ssrcs.insert(std::vector(packet.begin() + 8, packet.begin() + 12));
  }
  EXPECT_EQ(ssrcs.size(), 2u);
  EXPECT_TRUE(ReadOne(ear).empty());
}

TEST(SipMediaTest, EverySideOfEveryPlaceHasAPortOfItsOwnAndNamesIt) {
  World world(4);
  std::set<Endpoint> addresses;
  for (uint32_t number = 0; number < 4; ++number) {
    ASSERT_TRUE(world.media.Take(number));
    for (const Party party : {kCaller, kCallee}) {
      addresses.insert(world.AddressOf(number, party));
      const std::string body(world.media.Body(number, party));
      const size_t end = body.find("\r\n\r\n") + 4;
      EXPECT_NE(body.find("Content-Length: " +
                          std::to_string(body.size() - end) + "\r\n\r\n"),
                body.npos)
          << body;
    }
    EXPECT_EQ(world.AddressOf(number, kCaller).ip.ToString(), "127.0.0.2");
    EXPECT_EQ(world.AddressOf(number, kCallee).ip.ToString(), "127.0.0.3");
  }
  EXPECT_EQ(addresses.size(), 8u);
  EXPECT_TRUE(world.media.Body(4, kCaller).empty());
}

TEST(SipMediaTest, WhatNobodyPassesOnIsLostAndWaitedForNoLongerThanTold) {
  World world;
  const net::Fd hole = Socket();
  ASSERT_TRUE(world.media.Take(1));
  world.Begin(1, AddressOf(hole), AddressOf(hole));
  EXPECT_TRUE(world.Pass(kPackets + kDrainTurns).empty());
  EXPECT_EQ(world.Pass(1), std::vector<uint32_t>{1});
  EXPECT_EQ(world.packets().received, 0u);
  EXPECT_EQ(world.packets().lost(), 2 * kPackets);
  EXPECT_EQ(world.packets().faults(), 0u);
}

TEST(SipMediaTest, AnotherCallsPacketIsMisroutedAndNotReceived) {
  World world;
  for (const uint32_t number : {1u, 2u}) ASSERT_TRUE(world.media.Take(number));
  world.Begin(1, world.AddressOf(2, kCallee), world.AddressOf(1, kCaller));
  world.BeginDirectly(2);
  world.Pass(kPackets);
  EXPECT_EQ(world.packets().misrouted, kPackets);
  EXPECT_EQ(world.packets().received, 3 * kPackets);
  EXPECT_EQ(world.packets().lost(), kPackets);
}

TEST(SipMediaTest, APacketThatComesBackToItsSenderIsMisrouted) {
  World world;
  ASSERT_TRUE(world.media.Take(1));
  world.Begin(1, world.AddressOf(1, kCaller), world.AddressOf(1, kCallee));
  world.Pass(kPackets);
  EXPECT_EQ(world.packets().misrouted, 2 * kPackets);
  EXPECT_EQ(world.packets().received, 0u);
}

TEST(SipMediaTest, AnHonestRelayHasNoFault) {
  World world;
  Through(&world, [](Packet p) { return Packets{p}; });
  EXPECT_EQ(world.packets().lost() + world.packets().faults(), 0u);
}

TEST(SipMediaTest, ADoubledPacketIsADuplicate) {
  World world;
  Through(&world, [](Packet p) { return Packets{p, p}; });
  // The last of each may come when the call is over, for all has come.
  EXPECT_GE(world.packets().duplicates, 2 * (kPackets - 1));
  EXPECT_EQ(world.packets().duplicates + world.calls().media_late,
            2 * kPackets);
  EXPECT_EQ(world.packets().lost(), 0u);
}

TEST(SipMediaTest, PacketsThatChangePlacesAreReordered) {
  World world;
  Packets kept[2];
  Through(&world, [&](Packet p) {
    // The second of each side waits for the third.
    const auto probe = *ReadProbe(p);
    auto& mine = kept[probe.direction];
    if (probe.sequence == 1) {
      mine = {p};
      return Packets{};
    }
    Packets out{p};
    out.insert(out.end(), mine.begin(), mine.end());
    mine.clear();
    return out;
  });
  EXPECT_EQ(world.packets().reordered, 2u);
  EXPECT_EQ(world.packets().lost(), 0u);
}

TEST(SipMediaTest, WhatIsChangedOnTheWayIsCorruptedAndLost) {
  const std::function<void(Packet*)> changes[] = {
      [](Packet* p) { (*p)[100] ^= 1; }, [](Packet* p) { p->push_back(0); },
      [](Packet* p) { p->resize(171); }, [](Packet* p) { p->clear(); },
      [](Packet* p) { p->resize(2000); }};
  for (const auto& change : changes) {
    World world;
    Through(&world, [&](Packet p) {
      change(&p);
      return Packets{p};
    });
    EXPECT_EQ(world.packets().corrupted, 2 * kPackets);
    EXPECT_EQ(world.packets().lost(), 2 * kPackets);
  }
}

TEST(SipMediaTest, WhatIsOfAnotherRunIsForeign) {
  World world;
  Through(&world, [](Packet p) {
    Probe probe = *ReadProbe(p);
    ++probe.run;
    WriteProbe(probe, p);
    return Packets{p};
  });
  EXPECT_EQ(world.packets().foreign, 2 * kPackets);
}

TEST(SipMediaTest, APacketFromElsewhereThanAnnouncedIsToldSo) {
  World world;
  const net::Fd elsewhere = Socket();
  ASSERT_TRUE(world.media.Take(1));
  // Straight to the callee, which has been told of somebody else.
  world.Begin(1, world.AddressOf(1, kCallee), AddressOf(elsewhere));
  world.Pass(kPackets);
  EXPECT_EQ(world.packets().wrong_source, kPackets);
  EXPECT_EQ(world.packets().received, kPackets);
}

TEST(SipMediaTest, APacketBehindItsCallsEndIsLateUntilItsPlaceHasForgotten) {
  World world(1);
  ASSERT_TRUE(world.media.Take(1));
  Relay relay(world);
  Packet kept;
  world.Pass(kPackets + kDrainTurns + 1, [&] {
    relay.Carry([&](Packet p) {
      const Probe probe = *ReadProbe(p);
      if (probe.direction != kCaller || probe.sequence != 2) {
        return Packets{p};
      }
      kept = p;
      return Packets{};
    });
  });
  ASSERT_EQ(world.packets().lost(), 1u);
  const auto late = [&] {
    relay.Send(kCallee, kept);
    world.media.Work(world.now_ns);
    return world.calls().media_late;
  };
  EXPECT_EQ(late(), 1u);
  ASSERT_TRUE(world.media.Take(2));
  EXPECT_EQ(late(), 2u);
  world.BeginDirectly(2);
  EXPECT_EQ(late(), 3u);
  EXPECT_EQ(world.packets().misrouted, 0u);
  world.Pass(kPackets + 1);
  ASSERT_TRUE(world.media.Take(3));
  EXPECT_EQ(late(), 3u);
  EXPECT_EQ(world.packets().misrouted, 1u);
  EXPECT_EQ(world.packets().lost(), 1u);
}

TEST(SipMediaTest, ACallThatDoesNotKnowWhereToSendHasNoMedia) {
  World world(1);
  const std::string good = SipAudioBody(*Endpoint::Parse("127.0.0.1:9"));
  const std::string six = SipAudioBody(*Endpoint::Parse("[2001:db8::1]:9"));
  const std::pair<std::string, std::string> cases[] = {
      {good, ""}, {"", good}, {good, "m=audio 0"}, {good, six}};
  uint32_t number = 0;
  for (const auto& [offer, answer] : cases) {
    ASSERT_TRUE(world.media.Take(++number));
    world.media.OnDescription(number, kCallee, offer);
    world.media.OnDescription(number, kCaller, answer);
    EXPECT_FALSE(world.media.Begin(number, world.now_ns));
    EXPECT_EQ(world.calls().media_failed, number);
  }
  EXPECT_EQ(world.calls().media_calls, 0u);
  EXPECT_EQ(world.media.next_due_ns(), UINT64_MAX);
}

TEST(SipMediaTest, WithoutAFreePlaceACallIsNotBegun) {
  World world(2);
  EXPECT_TRUE(world.media.Take(1));
  EXPECT_TRUE(world.media.Take(2));
  EXPECT_FALSE(world.media.Take(3));
  EXPECT_EQ(world.calls().media_no_place, 1u);
  world.media.Free(9);  // nobody's
  EXPECT_FALSE(world.media.Take(3));
  world.media.Free(1);
  EXPECT_TRUE(world.media.Take(3));
  EXPECT_FALSE(world.media.Take(4));
  // Once for each time it had it.
  world.media.Free(1);
  EXPECT_FALSE(world.media.Take(4));
}

TEST(SipMediaTest, ACallThatEndsWhileItTalksSendsNoMore) {
  World world(1);
  ASSERT_TRUE(world.media.Take(1));
  world.BeginDirectly(1);
  world.Pass(2);
  world.media.Free(1);
  EXPECT_FALSE(world.media.Take(2));
  EXPECT_TRUE(world.Pass(1).empty());
  EXPECT_EQ(world.packets().sent, 4u);
  EXPECT_TRUE(world.media.Take(2));
  EXPECT_TRUE(world.Pass(1).empty());
}

TEST(SipMediaTest, ACallThatIsCutShortEndsWithWhatItHasSaid) {
  World world;
  for (const uint32_t number : {1u, 2u}) ASSERT_TRUE(world.media.Take(number));
  world.BeginDirectly(1);
  world.Pass(2);
  world.BeginDirectly(2);
  world.media.Shorten();
  EXPECT_EQ(world.Pass(1), (std::vector<uint32_t>{1, 2}));
  EXPECT_EQ(world.packets().sent, 4u);
  EXPECT_EQ(world.packets().lost(), 0u);
  EXPECT_EQ(world.calls().media_calls, 2u);
}

TEST(SipMediaTest, WhatACutCallHasSaidIsStillWaitedFor) {
  World world;
  const net::Fd hole = Socket();
  ASSERT_TRUE(world.media.Take(1));
  world.Begin(1, AddressOf(hole), AddressOf(hole));
  world.Pass(2);
  world.media.Shorten();
  EXPECT_TRUE(world.Pass(kDrainTurns).empty());
  EXPECT_EQ(world.Pass(1), std::vector<uint32_t>{1});
  EXPECT_EQ(world.packets().lost(), 4u);
}

TEST(SipMediaTest, TurnsOfManyCallsComeInTheOrderOfTime) {
  World world(8);
  const net::Fd ear = Socket();
  for (uint32_t number = 0; number < 8; ++number) {
    ASSERT_TRUE(world.media.Take(number));
    world.Begin(number, AddressOf(ear), AddressOf(ear));
    world.now_ns += kTurn / 8;
    world.media.Work(world.now_ns);
  }
  // All that is due by then, from wherever in the turn it is called.
  for (int i = 0; i < 16; ++i) {
    world.now_ns += kTurn / 8;
    world.media.Work(world.now_ns);
    EXPECT_GT(world.media.next_due_ns(), world.now_ns);
  }
  std::vector<uint32_t> order;
  for (Packet p = ReadOne(ear); !p.empty(); p = ReadOne(ear)) {
    const Probe probe = *ReadProbe(p);
    order.push_back(probe.sequence * 8 + probe.session);
  }
  EXPECT_GE(order.size(), 32u);
  EXPECT_TRUE(std::is_sorted(order.begin(), order.end()));
}

TEST(SipMediaTest, ACallThatWasLeftAloneForLongSendsWhatItOwes) {
  World world;
  ASSERT_TRUE(world.media.Take(1));
  world.BeginDirectly(1);
  world.now_ns += 100 * kTurn;
  EXPECT_EQ(world.Pass(2), std::vector<uint32_t>{1});
  EXPECT_EQ(world.packets().sent, 2 * kPackets);
  EXPECT_EQ(world.packets().lost() + world.packets().faults(), 0u);
}

TEST(SipMediaTest, PlacesFollowFromRateAndDuration) {
  const auto few = SipMedia::PlacesFor(50, 0.3, 1);
  ASSERT_TRUE(few.ok());
  EXPECT_GE(*few, 50 * 0.5 * 1.25);
  EXPECT_LT(*few, 200u);
  EXPECT_GT(*SipMedia::PlacesFor(50, 10, 1), 50 * 10.0 * 1.25);
  EXPECT_TRUE(SipMedia::PlacesFor(0.01, 0.02, 1).ok());
  const auto many = SipMedia::PlacesFor(500, 60, 2);
  ASSERT_TRUE(absl::IsInvalidArgument(many.status()));
  for (const char* word : {"1000 calls", "60 s", "75908", "20000", "--media"}) {
    EXPECT_NE(many.status().message().find(word), std::string::npos)
        << word << " in " << many.status();
  }
  // Workers have to share.
  EXPECT_TRUE(SipMedia::PlacesFor(300, 30, 1).ok());
  EXPECT_FALSE(SipMedia::PlacesFor(300, 30, 2).ok());
}

}  // namespace
}  // namespace sluice::load
