#include "base/net/next_hops.h"

#include <linux/capability.h>
#include <linux/netlink.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/base/next_hops_world.h"

namespace sluice::net {
namespace {

using testing::HasSubstr;

// --- Found ------------------------------------------------------------------

TEST_F(NextHopsTest, HasTheKernelFindANeighbourOnTheLink) {
  AddIpv6();
  for (const auto& [from, to] : {std::pair("10.0.0.1", "10.0.0.2"),
                                 std::pair("2001:db8::1", "2001:db8::2")}) {
    SCOPED_TRACE(to);
    told_.clear();
    const Id id = Watch(from, to);
    EXPECT_FALSE(hops_->Find(id));
    EXPECT_TRUE(told_.empty());
    EXPECT_THAT(hops_->Why(id), HasSubstr("is not known yet"));
    ASSERT_TRUE(UntilFound(id)) << hops_->Why(id);
    const NextHop hop = *hops_->Find(id);
    EXPECT_GT(hop.ifindex, 0);
    EXPECT_EQ(hop.via, Ip(to));
    EXPECT_EQ(hop.neighbour, kFar0);
    EXPECT_EQ(hop.own, kV0);
    EXPECT_EQ(hop.mtu, 1500u);
    EXPECT_EQ(hops_->Why(id), "");
    ASSERT_EQ(told_.size(), 1u);
    EXPECT_EQ(told_[0], std::pair(id, std::optional(hop)));
  }
}

TEST_F(NextHopsTest, GoesThroughAGatewayOfEitherFamily) {
  AddIpv6();
  Fix("10.0.1.2", "v1", 0x33);
  Fix("2001:db8:1::2", "v1", 0x66);
  net_.Ip("route add 192.0.2.0/24 via 10.0.1.2 mtu 1400");
  net_.Ip("route add 198.51.100.0/24 via inet6 2001:db8:1::2");
  net_.Ip("route add 2001:db8:9::/48 via 2001:db8:1::2 mtu 9000");
  const Id four = Watch("10.0.1.1", "192.0.2.7");
  const Id cross = Watch("10.0.1.1", "198.51.100.7");
  const Id six = Watch("2001:db8:1::1", "2001:db8:9::7");
  // Known already: found at once, and not told.
  ASSERT_TRUE(hops_->Find(four)) << hops_->Why(four);
  ASSERT_TRUE(hops_->Find(cross)) << hops_->Why(cross);
  ASSERT_TRUE(hops_->Find(six)) << hops_->Why(six);
  EXPECT_EQ(hops_->Find(four)->via, Ip("10.0.1.2"));
  EXPECT_EQ(hops_->Find(four)->neighbour, (Mac{2, 0, 0, 0, 0, 0x33}));
  EXPECT_EQ(hops_->Find(four)->own, kV1);
  EXPECT_EQ(hops_->Find(four)->mtu, 1400u);
  EXPECT_EQ(hops_->Find(cross)->via, Ip("2001:db8:1::2"));
  EXPECT_EQ(hops_->Find(cross)->neighbour, (Mac{2, 0, 0, 0, 0, 0x66}));
  EXPECT_EQ(hops_->Find(six)->via, Ip("2001:db8:1::2"));
  // No longer than the device sends.
  EXPECT_EQ(hops_->Find(six)->mtu, 1500u);
  EXPECT_EQ(hops_->stats().neighbours, 2u);
  Settle();
  EXPECT_TRUE(told_.empty());
  EXPECT_EQ(hops_->stats().asked, 0u);
}

TEST_F(NextHopsTest, TheSourceDecidesWhereRulesSaySo) {
  Fix("10.0.0.2", "v0");
  Fix("10.0.1.2", "v1");
  net_.Ip("route add default via 10.0.0.2");
  net_.Ip("route add default via 10.0.1.2 table 7");
  const Id zero = Watch("10.0.0.1", "192.0.2.7");
  const Id one = Watch("10.0.1.1", "192.0.2.7");
  const Id any = Watch("0.0.0.0", "192.0.2.7");
  EXPECT_EQ(hops_->Find(one)->own, kV0);
  Settle();
  // A rule, and nothing else, changes.
  net_.Ip("rule add from 10.0.1.1 lookup 7");
  Settle();
  EXPECT_EQ(hops_->Find(zero)->own, kV0);
  EXPECT_EQ(hops_->Find(one)->own, kV1);
  EXPECT_EQ(hops_->Find(any)->own, kV0);
  ASSERT_EQ(told_.size(), 1u);
  EXPECT_EQ(told_[0].first, one);
}

// --- Changes ----------------------------------------------------------------

TEST_F(NextHopsTest, TellsOfANeighbourThatComesChangesAndGoes) {
  const Id id = Watch("10.0.0.1", "10.0.0.9");
  const Id other = Watch("10.0.1.1", "10.0.1.9");
  EXPECT_FALSE(hops_->Find(id));
  Settle();
  ASSERT_TRUE(told_.empty());
  const uint64_t lookups = hops_->stats().route_lookups;

  Fix("10.0.0.9", "v0", 0x91);
  Settle();
  ASSERT_EQ(told_.size(), 1u);
  ASSERT_TRUE(told_[0].second);
  EXPECT_EQ(told_[0].second->neighbour, (Mac{2, 0, 0, 0, 0, 0x91}));
  EXPECT_EQ(hops_->Find(id), told_[0].second);

  Fix("10.0.0.9", "v0", 0x92);
  Settle();
  ASSERT_EQ(told_.size(), 2u);
  ASSERT_TRUE(told_[1].second);
  EXPECT_EQ(told_[1].second->neighbour, (Mac{2, 0, 0, 0, 0, 0x92}));

  net_.Ip("neigh del 10.0.0.9 dev v0");
  Settle();
  ASSERT_EQ(told_.size(), 3u);
  EXPECT_FALSE(told_[2].second);
  EXPECT_FALSE(hops_->Find(id));
  EXPECT_NE(hops_->Why(id), "");
  // Neighbours touch no routes, and nobody else.
  EXPECT_EQ(hops_->stats().route_lookups, lookups);
  EXPECT_FALSE(hops_->Find(other));
}

TEST_F(NextHopsTest, ARouteToAnotherDeviceIsToldWhenChangesAreGathered) {
  Fix("10.0.0.2", "v0", 0x20);
  Fix("10.0.1.2", "v1", 0x21);
  net_.Ip("route add 192.0.2.0/24 via 10.0.0.2");
  const Id id = Watch("0.0.0.0", "192.0.2.7");
  ASSERT_TRUE(hops_->Find(id));
  net_.Ip("route replace 192.0.2.0/24 via 10.0.1.2");
  Advance(Micros());
  Advance(NextHops::kGather - Micros::Millis(20));
  EXPECT_TRUE(told_.empty());
  Advance(Micros::Millis(40));
  ASSERT_EQ(told_.size(), 1u);
  ASSERT_TRUE(told_[0].second);
  EXPECT_EQ(told_[0].second->via, Ip("10.0.1.2"));
  EXPECT_EQ(told_[0].second->own, kV1);
  EXPECT_EQ(told_[0].second->neighbour, kFar1);
  EXPECT_EQ(hops_->stats().neighbours, 1u);

  net_.Ip("route del 192.0.2.0/24");
  Settle();
  ASSERT_EQ(told_.size(), 2u);
  EXPECT_FALSE(told_[1].second);
  EXPECT_EQ(hops_->Why(id), "there is no route to 192.0.2.7");
  EXPECT_EQ(hops_->stats().neighbours, 0u);
}

TEST_F(NextHopsTest, ADeviceGoesDownAndComesBack) {
  const Id on_link = Watch("10.0.0.1", "10.0.0.2");
  // Its route the kernel drops without a word.
  net_.Ip("route add 192.0.2.0/24 via 10.0.0.2");
  const Id behind = Watch("0.0.0.0", "192.0.2.7");
  ASSERT_TRUE(UntilFound(on_link) && UntilFound(behind));
  told_.clear();
  net_.Ip("link set v0 down");
  ASSERT_TRUE(UntilLost(on_link) && UntilLost(behind));
  Settle();
  EXPECT_EQ(hops_->Why(on_link), "there is no route to 10.0.0.2");
  EXPECT_EQ(hops_->Why(behind), "there is no route to 192.0.2.7");
  net_.Ip("link set v0 up");
  ASSERT_TRUE(UntilFound(on_link)) << hops_->Why(on_link);
  EXPECT_FALSE(hops_->Find(behind));
}

TEST_F(NextHopsTest, ACarrierGoesAndComesBack) {
  const Id id = Watch("10.0.0.1", "10.0.0.2");
  ASSERT_TRUE(UntilFound(id));
  net_.FarIp("link set far0 down");
  // The neighbour may be lost before the device.
  ASSERT_TRUE(Until([&] {
    return hops_->Why(id) == "the device v0 towards 10.0.0.2 has no carrier";
  })) << hops_->Why(id);
  // Asking in vain is over, until it is tried again in a while.
  for (int i = 0; i < 40; ++i) Advance(Micros::Millis(100));
  net_.FarIp("link set far0 up");
  const Micros up = time_;
  ASSERT_TRUE(UntilFound(id)) << hops_->Why(id);
  EXPECT_LT(time_ - up, NextHops::kConfirm);  // not only when its turn came
  EXPECT_EQ(hops_->Find(id)->neighbour, kFar0);
}

TEST_F(NextHopsTest, ADeviceThatIsTakenAwayIsTold) {
  Fix("10.0.0.2", "v0");
  const Id id = Watch("10.0.0.1", "10.0.0.2");
  ASSERT_TRUE(hops_->Find(id));
  net_.Ip("link del v0");
  ASSERT_TRUE(UntilLost(id));
  Settle();
  EXPECT_EQ(hops_->Why(id), "there is no route to 10.0.0.2");
}

TEST_F(NextHopsTest, TellsOfTheDevicesMtuAndMac) {
  Fix("10.0.0.2", "v0");
  Fix("10.0.1.2", "v1");
  const Id id = Watch("10.0.0.1", "10.0.0.2");
  const Id other = Watch("10.0.1.1", "10.0.1.2");
  ASSERT_TRUE(hops_->Find(id) && hops_->Find(other));
  net_.Ip("link set v0 mtu 1280");
  Settle();
  ASSERT_EQ(told_.size(), 1u);
  EXPECT_EQ(told_[0].first, id);
  ASSERT_TRUE(told_[0].second);
  EXPECT_EQ(told_[0].second->mtu, 1280u);
  net_.Ip("link set v0 address 02:00:00:00:00:55");
  // With its MAC the device loses all neighbours; this one has another to say.
  ASSERT_TRUE(Until([&] {
    const auto hop = hops_->Find(id);
    return hop && hop->neighbour == kFar0;
  })) << hops_->Why(id);
  EXPECT_EQ(hops_->Find(id)->own, (Mac{2, 0, 0, 0, 0, 0x55}));
}

TEST_F(NextHopsTest, AnAddressOfOursThatGoesIsTold) {
  Fix("10.0.0.2", "v0");
  net_.Ip("addr add 10.0.0.3/24 dev v0");
  const Id id = Watch("10.0.0.3", "10.0.0.2");
  ASSERT_TRUE(hops_->Find(id));
  net_.Ip("addr del 10.0.0.3/24 dev v0");
  Settle();
  EXPECT_FALSE(hops_->Find(id));
  EXPECT_EQ(hops_->Why(id), "10.0.0.3 is no address of this machine");
}

// --- Not found --------------------------------------------------------------

TEST_F(NextHopsTest, SaysWhyThereIsNoNextHop) {
  AddIpv6();
  net_.Ip("route add blackhole 10.9.0.0/16");
  net_.Ip("route add prohibit 10.8.0.0/16");
  net_.Ip("route add unreachable 10.7.0.0/16");
  net_.Ip("route add blackhole 2001:db8:9::/48");
  net_.Ip("route add 10.6.0.0/16 dev lo");
  struct Row {
    const char* from;
    const char* to;
    const char* why;
  };
  const Row rows[] = {
      {"10.0.0.1", "192.0.2.1", "there is no route to 192.0.2.1"},
      {"2001:db8::1", "2001:db9::1", "there is no route to 2001:db9::1"},
      {"10.0.0.1", "10.9.0.1", "the route to 10.9.0.1 is a blackhole"},
      {"2001:db8::1", "2001:db8:9::1",
       "the route to 2001:db8:9::1 is a blackhole"},
      {"10.0.0.1", "10.8.0.1", "the route to 10.8.0.1 is prohibited"},
      {"10.0.0.1", "10.7.0.1",
       "the route to 10.7.0.1 says that it is unreachable"},
      {"127.0.0.1", "127.0.0.1", "127.0.0.1 is an address of this machine"},
      {"10.0.0.1", "10.0.1.1", "10.0.1.1 is an address of this machine"},
      {"2001:db8::1", "2001:db8:1::1",
       "2001:db8:1::1 is an address of this machine"},
      {"10.0.0.1", "10.0.0.255", "10.0.0.255 is not one host"},
      {"2001:db8::1", "ff02::1", "ff02::1 is not one host"},
      {"2001:db8::1", "fe80::1", "fe80::1 is link-local"},
      {"10.0.0.99", "10.0.0.2", "10.0.0.99 is no address of this machine"},
      {"10.0.0.1", "10.6.0.1",
       "the device lo towards 10.6.0.1 has no Ethernet addresses"},
  };
  for (const Row& row : rows) {
    const Id id = Watch(row.from, row.to);
    EXPECT_FALSE(hops_->Find(id)) << row.to;
    EXPECT_THAT(hops_->Why(id), HasSubstr(row.why));
  }
  EXPECT_EQ(hops_->stats().asked, 0u);
}

TEST_F(NextHopsTest, ANeighbourThatDoesNotAnswerIsSaidToBeSo) {
  const Id id = Watch("10.0.0.1", "10.0.0.9");
  EXPECT_TRUE(Until([&] {
    return hops_->Why(id) ==
           "10.0.0.9 on v0 does not answer when asked for its MAC address";
  })) << hops_->Why(id);
  EXPECT_TRUE(told_.empty());
}

TEST_F(NextHopsTest, WithoutTheRightToAskItSaysSo) {
  __user_cap_header_struct header{};
  header.version = _LINUX_CAPABILITY_VERSION_3;
  __user_cap_data_struct had[2] = {}, less[2] = {};
  ASSERT_EQ(syscall(SYS_capget, &header, had), 0);
  std::copy(std::begin(had), std::end(had), std::begin(less));
  less[0].effective &= ~(1u << CAP_NET_ADMIN);
  ASSERT_EQ(syscall(SYS_capset, &header, less), 0);
  const Id id = Watch("10.0.0.1", "10.0.0.9");
  ASSERT_EQ(syscall(SYS_capset, &header, had), 0);
  EXPECT_THAT(hops_->Why(id), HasSubstr("does not look for it"));
  EXPECT_THAT(hops_->Why(id), HasSubstr("(CAP_NET_ADMIN)"));
}

TEST_F(NextHopsTest, RefusesWhatIsNoWay) {
  EXPECT_TRUE(absl::IsInvalidArgument(
      hops_->Watch(Ip("10.0.0.1"), Ip("2001:db8::2")).status()));
  EXPECT_TRUE(absl::IsInvalidArgument(
      hops_->Watch(Ip("10.0.0.1"), Ip("0.0.0.0")).status()));
  EXPECT_EQ(hops_->stats().watches, 0u);
}

// --- Books ------------------------------------------------------------------

TEST_F(NextHopsTest, TheSamePairIsCounted) {
  Fix("10.0.0.2", "v0");
  const Id id = Watch("10.0.0.1", "10.0.0.2");
  EXPECT_NE(id, 0u);
  EXPECT_EQ(Watch("10.0.0.1", "10.0.0.2"), id);
  const Id any = Watch("0.0.0.0", "10.0.0.2");
  EXPECT_NE(any, id);
  EXPECT_EQ(hops_->stats().watches, 2u);
  EXPECT_EQ(hops_->stats().neighbours, 1u);
  hops_->Release(any);
  hops_->Release(id);
  EXPECT_TRUE(hops_->Find(id));
  hops_->Release(id);
  EXPECT_EQ(hops_->stats().watches, 0u);
  EXPECT_EQ(hops_->stats().neighbours, 0u);
  // What happens afterwards is nobody's.
  net_.Ip("neigh del 10.0.0.2 dev v0");
  net_.Ip("link set v0 mtu 1280");
  Settle();
  Advance(Micros::Seconds(60));
  EXPECT_TRUE(told_.empty());
  EXPECT_NE(Watch("10.0.0.1", "10.0.0.2"), id);
}

TEST_F(NextHopsTest, WhoIsToldMayReleaseAndWatch) {
  Fix("10.0.0.2", "v0");
  const Id id = Watch("10.0.0.1", "10.0.0.2");
  const Id any = Watch("0.0.0.0", "10.0.0.2");
  Id next = 0;
  on_told_ = [&](Id told, const std::optional<NextHop>&) {
    // Both of them, the other one before it is told.
    EXPECT_TRUE(told == id || told == any);
    hops_->Release(id);
    hops_->Release(any);
    next = Watch("10.0.1.1", "10.0.0.2");
  };
  net_.Ip("link set v0 mtu 1280");
  Settle();
  EXPECT_EQ(told_.size(), 1u);
  ASSERT_NE(next, 0u);
  EXPECT_EQ(hops_->Find(next)->mtu, 1280u);
  EXPECT_EQ(hops_->stats().watches, 1u);
}

TEST_F(NextHopsTest, OneTooManyIsRefused) {
  const auto nth = [](size_t n) {
    return IpAddress::V4(203, static_cast<uint8_t>(n >> 16),
                         static_cast<uint8_t>(n >> 8), static_cast<uint8_t>(n));
  };
  for (size_t n = 0; n < NextHops::kWatchesMax; ++n) {
    ASSERT_TRUE(hops_->Watch(IpAddress(), nth(n)).ok());
  }
  EXPECT_TRUE(absl::IsResourceExhausted(
      hops_->Watch(IpAddress(), nth(NextHops::kWatchesMax)).status()));
  const auto again = hops_->Watch(IpAddress(), nth(5));
  ASSERT_TRUE(again.ok());
  hops_->Release(*again);
  hops_->Release(*again);
  EXPECT_TRUE(hops_->Watch(IpAddress(), nth(NextHops::kWatchesMax)).ok());
}

TEST_F(NextHopsTest, GoneWithWorkWaitingItLeavesTheLoopAlone) {
  Fix("10.0.0.2", "v0");
  Watch("10.0.0.1", "10.0.0.2");
  net_.Ip("route add 192.0.2.0/24 via 10.0.0.2");
  Advance(Micros());
  // Told while work is posted: the first of two goes, with all timers.
  Watch("0.0.0.0", "10.0.0.2");
  net_.Ip("link set v0 mtu 1280");
  ASSERT_TRUE(loop_.Post([&] { hops_.reset(); }));
  Settle();
  Advance(Micros::Seconds(60));
  EXPECT_EQ(hops_, nullptr);
  EXPECT_TRUE(told_.empty());
}

// --- Confirming -------------------------------------------------------------

TEST_F(NextHopsTest, AStaleNeighbourIsConfirmedAndAFixedOneLeftAlone) {
  net_.Sysctl("ipv4/neigh/v0/delay_first_probe_time", 1);
  net_.Ip("neigh replace 10.0.0.2 lladdr 02:00:00:00:00:20 dev v0 nud stale");
  Fix("10.0.0.9", "v0");
  const Id id = Watch("10.0.0.1", "10.0.0.2");
  const Id fixed = Watch("10.0.0.1", "10.0.0.9");
  ASSERT_TRUE(hops_->Find(id) && hops_->Find(fixed));
  Advance(NextHops::kConfirm - Micros::Millis(20));
  EXPECT_EQ(hops_->stats().asked, 0u);
  EXPECT_THAT(net_.IpSays("neigh show 10.0.0.2"), HasSubstr("STALE"));
  Advance(Micros::Millis(40));
  Advance(Micros());
  EXPECT_EQ(hops_->stats().asked, 1u);
  EXPECT_TRUE(Until([&] {
    return net_.IpSays("neigh show 10.0.0.2").find("REACHABLE") !=
           std::string::npos;
  })) << net_.IpSays("neigh show 10.0.0.2");
  EXPECT_THAT(net_.IpSays("neigh show 10.0.0.9"), HasSubstr("PERMANENT"));
  EXPECT_TRUE(told_.empty());
}

TEST_F(NextHopsTest, ANeighbourThatIsLostIsFoundAgain) {
  const Id id = Watch("10.0.0.1", "10.0.0.2");
  ASSERT_TRUE(UntilFound(id));
  net_.FarIp("link set far0 address 02:00:00:00:00:44");
  net_.Ip("neigh del 10.0.0.2 dev v0");
  ASSERT_TRUE(Until([&] {
    const auto hop = hops_->Find(id);
    return hop && hop->neighbour == Mac{2, 0, 0, 0, 0, 0x44};
  })) << hops_->Why(id);
}

TEST_F(NextHopsTest, ASilentNeighbourIsAskedForLessAndLessOften) {
  Watch("10.0.0.1", "10.0.0.9");
  EXPECT_EQ(hops_->stats().asked, 1u);
  // At 1, 3, 7, 15, 30, 45 and 60 s, and some ticks.
  const auto until = [&, start = time_](int seconds) {
    const Micros end = start + Micros::Seconds(seconds);
    while (time_ < end) Advance(Micros::Millis(20));
    return hops_->stats().asked;
  };
  EXPECT_EQ(until(2), 2u);
  EXPECT_EQ(until(6), 3u);
  EXPECT_EQ(until(14), 4u);
  EXPECT_EQ(until(28), 5u);
  EXPECT_EQ(until(43), 6u);
  EXPECT_EQ(until(58), 7u);
  EXPECT_EQ(until(73), 8u);
}

TEST_F(NextHopsTest, ANeighbourThatComesAndGoesIsAskedForOnceASecond) {
  Fix("10.0.0.9", "v0");
  Watch("10.0.0.1", "10.0.0.9");
  for (int i = 0; i < 20; ++i) {
    net_.Ip("neigh del 10.0.0.9 dev v0");
    Advance(Micros());
    Fix("10.0.0.9", "v0");
    Advance(Micros());
  }
  EXPECT_GE(told_.size(), 2u);
  EXPECT_EQ(hops_->stats().asked, 1u);
}

// --- Many, and lost events --------------------------------------------------

TEST_F(NextHopsTest, EventsThatWereLostAreMadeUpFor) {
  Start({.event_buffer_bytes = 1});  // the kernel's least
  Fix("10.0.0.2", "v0", 0x20);
  Fix("10.0.1.2", "v1", 0x21);
  net_.Ip("route add 192.0.2.0/24 via 10.0.0.2");
  const Id near = Watch("10.0.0.1", "10.0.0.2");
  const Id far = Watch("0.0.0.0", "192.0.2.7");
  const Id missing = Watch("10.0.0.1", "10.0.0.9");
  Settle();
  const uint64_t before = hops_->stats().overruns;
  std::string lines;
  for (int i = 0; i < 200; ++i) {
    lines += absl::StrCat("neigh replace 10.0.1.", 10 + i,
                          " lladdr 02:00:00:00:01:00 dev v1 nud permanent\n");
  }
  // Nobody reads meanwhile: of these there is no word any more.
  lines +=
      "neigh replace 10.0.0.2 lladdr 02:00:00:00:00:99 dev v0 nud permanent\n"
      "neigh replace 10.0.0.9 lladdr 02:00:00:00:00:98 dev v0 nud permanent\n"
      "link set v1 mtu 1300\n"
      "route replace 192.0.2.0/24 via 10.0.1.2\n";
  net_.IpBatch(lines);
  Settle();
  EXPECT_GT(hops_->stats().overruns, before);
  ASSERT_TRUE(hops_->Find(near) && hops_->Find(far) && hops_->Find(missing));
  EXPECT_EQ(hops_->Find(near)->neighbour, (Mac{2, 0, 0, 0, 0, 0x99}));
  EXPECT_EQ(hops_->Find(missing)->neighbour, (Mac{2, 0, 0, 0, 0, 0x98}));
  EXPECT_EQ(hops_->Find(far)->own, kV1);
  EXPECT_EQ(hops_->Find(far)->mtu, 1300u);
  EXPECT_EQ(hops_->stats().neighbours, 3u);
}

TEST_F(NextHopsTest, TenThousandPairsFollowARouteASliceATurn) {
  constexpr size_t kPairs = 10'000;
  Fix("10.0.0.2", "v0", 0x20);
  Fix("10.0.1.2", "v1", 0x21);
  net_.Ip("route add 10.64.0.0/10 via 10.0.0.2");
  std::vector<std::pair<Id, bool>> pairs;  // and whether it is to move
  for (size_t n = 0; n < kPairs; ++n) {
    const auto to =
        IpAddress::V4(10, static_cast<uint8_t>(64 + n % 2),
                      static_cast<uint8_t>(n >> 8), static_cast<uint8_t>(n));
    const auto id = hops_->Watch(IpAddress(), to);
    ASSERT_TRUE(id.ok()) << id.status();
    pairs.emplace_back(*id, n % 2 == 1);
  }
  net_.Ip("route add 10.65.0.0/16 via 10.0.1.2");
  const uint64_t before = hops_->stats().route_lookups;
  uint64_t looked_up = before, most = 0;
  size_t told = 0, told_most = 0;
  for (size_t turn = 0; turn < kPairs; ++turn) {
    Advance(Micros::Millis(1));
    const uint64_t now = hops_->stats().route_lookups;
    most = std::max(most, now - std::exchange(looked_up, now));
    told_most =
        std::max(told_most, told_.size() - std::exchange(told, told_.size()));
  }
  EXPECT_EQ(looked_up - before, kPairs);
  EXPECT_EQ(most, NextHops::kSlice);
  EXPECT_LE(told_most, NextHops::kSlice);
  std::map<Id, int> times;
  for (const auto& [id, hop] : told_) ++times[id];
  for (const auto& [id, moves] : pairs) {
    ASSERT_TRUE(hops_->Find(id));
    ASSERT_EQ(hops_->Find(id)->own, moves ? kV1 : kV0);
    ASSERT_EQ(times[id], moves ? 1 : 0);
  }

  // And all of one gateway's, when its MAC changes: told, not looked up.
  told_.clear();
  Fix("10.0.1.2", "v1", 0x31);
  told = told_most = 0;
  for (int turn = 0; turn < 100; ++turn) {
    Advance(Micros());
    told_most =
        std::max(told_most, told_.size() - std::exchange(told, told_.size()));
  }
  EXPECT_EQ(told_.size(), kPairs / 2);
  EXPECT_LE(told_most, NextHops::kSlice);
  EXPECT_EQ(hops_->stats().route_lookups, looked_up);
}

TEST_F(NextHopsTest, AfterALongLookAtAllItRests) {
  for (size_t n = 0; n < 2 * NextHops::kSlice; ++n) {
    ASSERT_TRUE(hops_
                    ->Watch(IpAddress(),
                            IpAddress::V4(203, 0, static_cast<uint8_t>(n >> 8),
                                          static_cast<uint8_t>(n)))
                    .ok());
  }
  net_.Ip("route add 192.0.2.0/24 via 10.0.0.2");
  Advance(Micros());
  const uint64_t before = hops_->stats().route_lookups;
  Advance(NextHops::kGather + Micros::Millis(20));
  EXPECT_EQ(hops_->stats().route_lookups, before + NextHops::kSlice);
  Advance(Micros::Millis(200));
  Advance(Micros());
  EXPECT_EQ(hops_->stats().route_lookups, before + 2 * NextHops::kSlice);
  // It took 200 ms.
  net_.Ip("route del 192.0.2.0/24");
  Advance(Micros());
  Advance(Micros::Millis(200 * NextHops::kRest - 20));
  EXPECT_EQ(hops_->stats().route_lookups, before + 2 * NextHops::kSlice);
  Advance(Micros::Millis(40));
  EXPECT_EQ(hops_->stats().route_lookups, before + 3 * NextHops::kSlice);
  // This one takes a night.
  Advance(Micros::Seconds(8 * 3600));
  Advance(Micros());
  EXPECT_EQ(hops_->stats().route_lookups, before + 4 * NextHops::kSlice);
  net_.Ip("route add 192.0.2.0/24 via 10.0.0.2");
  Advance(Micros());
  Advance(NextHops::kRestMax + Micros::Millis(20));
  EXPECT_EQ(hops_->stats().route_lookups, before + 5 * NextHops::kSlice);
}

// The socket that asks is the netlink one that is in no group.
int RequesterFd() {
  for (int fd = 3; fd < 64; ++fd) {
    sockaddr_nl name{};
    socklen_t length = sizeof(name);
    if (getsockname(fd, reinterpret_cast<sockaddr*>(&name), &length) == 0 &&
        name.nl_family == AF_NETLINK && name.nl_groups == 0) {
      return fd;
    }
  }
  return -1;
}

TEST_F(NextHopsTest, AfterARequestThatFailedItTriesAgainASecondLater) {
  Fix("10.0.0.2", "v0", 0x20);
  const Id id = Watch("10.0.0.1", "10.0.0.2");
  const int fd = RequesterFd();
  ASSERT_GE(fd, 0);
  const Fd kept(dup(fd));
  const Fd deaf(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  ASSERT_EQ(dup2(deaf.get(), fd), fd);
  EXPECT_FALSE(hops_->Watch(Ip("10.0.0.1"), Ip("10.0.0.9")).ok());
  EXPECT_EQ(hops_->stats().watches, 1u);
  Fix("10.0.0.2", "v0", 0x21);
  for (int i = 0; i < 90; ++i) Advance(Micros::Millis(10));
  EXPECT_EQ(hops_->stats().failures, 2u);
  ASSERT_EQ(dup2(kept.get(), fd), fd);
  EXPECT_TRUE(told_.empty());
  Settle();
  EXPECT_EQ(hops_->stats().failures, 2u);
  ASSERT_EQ(told_.size(), 1u);
  EXPECT_EQ(hops_->Find(id)->neighbour, kFar1);
}

}  // namespace
}  // namespace sluice::net
