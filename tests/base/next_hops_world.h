#ifndef SLUICE_TESTS_BASE_NEXT_HOPS_WORLD_H_
#define SLUICE_TESTS_BASE_NEXT_HOPS_WORLD_H_

#include <linux/rtnetlink.h>

#include <array>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/clock.h"
#include "base/net/event_loop.h"
#include "base/net/next_hops.h"
#include "gtest/gtest.h"
#include "tests/base/net_namespace.h"

namespace sluice::net {

using Id = NextHops::Id;
using Mac = std::array<uint8_t, 6>;

inline constexpr Mac kV0 = {2, 0, 0, 0, 0, 0x10};
inline constexpr Mac kFar0 = {2, 0, 0, 0, 0, 0x20};
inline constexpr Mac kV1 = {2, 0, 0, 0, 0, 0x11};
inline constexpr Mac kFar1 = {2, 0, 0, 0, 0, 0x21};

inline IpAddress Ip(const std::string& text) { return *IpAddress::Parse(text); }

//      near                                       far
//   v0 10.0.0.1/24  2001:db8::1/64    ---   far0 .2, ::2
//   v1 10.0.1.1/24  2001:db8:1::1/64  ---   far1 .2, ::2
class NextHopsTest : public testing::Test {
 protected:
  NextHopsTest() : loop_([this] { return time_; }) {}

  void SetUp() override {
    // An account that may make no namespaces has no routes to try this on; CI
    // runs as root.
    if (const std::string why = net_.Enter(); !why.empty()) {
      GTEST_SKIP() << why;
    }
    const unsigned links[] = {RTNLGRP_LINK};
    auto listener = netlink::Listener::Open(links, {}, 1 << 20);
    ASSERT_TRUE(listener.ok()) << listener.status();
    net_.Ip("link set lo up");
    // It talks of its addresses when it likes: for the tests that need it.
    net_.Sysctl("ipv6/conf/default/disable_ipv6", 1);
    for (int i = 0; i < 2; ++i) {
      net_.Ip(absl::StrCat("link add v", i, " address 02:00:00:00:00:1", i,
                           " type veth peer name far", i,
                           " address 02:00:00:00:00:2", i, " netns ",
                           net_.FarName()));
      const std::string six = i == 0 ? "2001:db8::" : "2001:db8:1::";
      net_.FarIp(absl::StrCat("link set far", i, " up"));
      net_.FarIp(absl::StrCat("addr add 10.0.", i, ".2/24 dev far", i));
      net_.FarIp(absl::StrCat("addr add ", six, "2/64 dev far", i, " nodad"));
      // What is lost while a device comes up is soon sent again.
      for (const char* version : {"ipv4", "ipv6"}) {
        net_.Sysctl(absl::StrCat(version, "/neigh/v", i, "/retrans_time_ms"),
                    50);
      }
      net_.Ip(absl::StrCat("link set v", i, " up"));
      net_.Ip(absl::StrCat("addr add 10.0.", i, ".1/24 dev v", i));
    }
    ASSERT_TRUE(AwaitRunning(*listener, 2));
    Start();
  }

  void AddIpv6() {
    for (const auto& [device, ip] :
         {std::pair("v0", "2001:db8::1"), std::pair("v1", "2001:db8:1::1")}) {
      net_.Sysctl(absl::StrCat("ipv6/conf/", device, "/accept_dad"), 0);
      net_.Sysctl(absl::StrCat("ipv6/conf/", device, "/disable_ipv6"), 0);
      net_.Ip(absl::StrCat("addr add ", ip, "/64 dev ", device, " nodad"));
    }
  }

  void Start(const NextHops::Options& options = {}) {
    hops_.reset();
    auto made = NextHops::Create(
        loop_,
        [this](Id id, const std::optional<NextHop>& hop) {
          told_.emplace_back(id, hop);
          if (on_told_) on_told_(id, hop);
        },
        options);
    ASSERT_TRUE(made.ok()) << made.status();
    hops_ = *std::move(made);
  }

  Id Watch(const std::string& from, const std::string& to) {
    const auto id = hops_->Watch(Ip(from), Ip(to));
    EXPECT_TRUE(id.ok()) << id.status();
    return id.value_or(0);
  }

  void Advance(Micros by) {
    time_ = time_ + by;
    loop_.RunOnce(Micros());
  }
  // Until nothing that has happened already is still to be told: what was
  // gathered is due, and every pair had its turn.
  void Settle() {
    for (int i = 0; i < 20; ++i) Advance(Micros::Millis(10));
  }
  // The kernel's own threads and timers take part.
  template <typename Condition>
  [[nodiscard]] bool Until(Condition condition) {
    const Micros deadline = SystemClock::Now() + Micros::Seconds(20);
    while (!condition() && SystemClock::Now() < deadline) {
      time_ = time_ + Micros::Millis(10);
      loop_.RunOnce(Micros::Millis(10));
    }
    return condition();
  }
  bool UntilFound(Id id) {
    return Until([&] { return hops_->Find(id).has_value(); });
  }
  bool UntilLost(Id id) {
    return Until([&] { return !hops_->Find(id).has_value(); });
  }
  // A fixed neighbour.
  void Fix(const std::string& ip, const std::string& device, int last = 0x77) {
    net_.Ip(absl::StrCat("neigh replace ", ip, " lladdr 02:00:00:00:00:",
                         absl::Hex(last, absl::kZeroPad2), " dev ", device,
                         " nud permanent"));
  }

  NetNamespaces net_;
  Micros time_ = Micros::Seconds(1000);
  EventLoop loop_;
  std::vector<std::pair<Id, std::optional<NextHop>>> told_;
  std::function<void(Id, const std::optional<NextHop>&)> on_told_;
  std::unique_ptr<NextHops> hops_;
};

}  // namespace sluice::net

#endif  // SLUICE_TESTS_BASE_NEXT_HOPS_WORLD_H_
