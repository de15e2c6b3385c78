#ifndef SLUICE_TESTS_BASE_NET_NAMESPACE_H_
#define SLUICE_TESTS_BASE_NET_NAMESPACE_H_

#include <fcntl.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <set>
#include <string>

#include "absl/strings/str_cat.h"
#include "base/clock.h"
#include "base/net/fd.h"
#include "base/net/netlink.h"
#include "gtest/gtest.h"

namespace sluice::net {

// Two network namespaces of a test's own, near and far; the calling thread is
// in the near one until the end. The machine's own network is not touched.
//
// Thread: one, and no other that uses the network.
class NetNamespaces {
 public:
  // Why not, in words; empty: we are there.
  std::string Enter() {
    before_ = Here();
    if (!before_) return "there is no /proc/thread-self/ns/net";
    if (!New(&far_) || !New(&near_)) {
      return "no right to make a network namespace (CAP_SYS_ADMIN)";
    }
    if (Shell("ip -V >/dev/null 2>&1") != 0) {
      return "there is no ip program (iproute2)";
    }
    return "";
  }
  ~NetNamespaces() {
    if (!far_) return;  // never left
    EXPECT_EQ(setns(before_.get(), CLONE_NEWNET), 0);
  }

  // `ip` with these arguments, here.
  static void Ip(const std::string& arguments) {
    EXPECT_EQ(Shell("ip " + arguments), 0) << "ip " << arguments;
  }
  // Many of them, a line each, by one process.
  static void IpBatch(const std::string& lines) {
    FILE* ip = popen((kPath + std::string("ip -batch -")).c_str(), "w");
    ASSERT_NE(ip, nullptr);
    EXPECT_EQ(fwrite(lines.data(), 1, lines.size(), ip), lines.size());
    EXPECT_EQ(pclose(ip), 0);
  }
  // In the far namespace.
  void FarIp(const std::string& arguments) {
    ASSERT_EQ(setns(far_.get(), CLONE_NEWNET), 0);
    Ip(arguments);
    ASSERT_EQ(setns(near_.get(), CLONE_NEWNET), 0);
  }
  // What `ip` takes for the far namespace.
  std::string FarName() const {
    return absl::StrCat("/proc/", getpid(), "/fd/", far_.get());
  }
  // One line of what `ip` prints.
  static std::string IpSays(const std::string& arguments) {
    FILE* ip = popen((kPath + ("ip " + arguments)).c_str(), "r");
    if (ip == nullptr) return "";
    char line[512] = "";
    const bool read = fgets(line, sizeof(line), ip) != nullptr;
    EXPECT_EQ(pclose(ip), 0) << "ip " << arguments;
    return read ? line : "";
  }
  static void Sysctl(const std::string& name, int value) {
    std::ofstream file("/proc/sys/net/" + name);
    file << value << std::flush;
    EXPECT_TRUE(file.good()) << name;
  }

 private:
  static constexpr const char* kPath = "PATH=$PATH:/usr/sbin:/sbin; ";

  static Fd Here() {
    return Fd(open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC));
  }
  static bool New(Fd* made) {
    if (unshare(CLONE_NEWNET) != 0) return false;
    *made = Here();
    return static_cast<bool>(*made);
  }
  static int Shell(const std::string& command) {
    const int status = std::system((kPath + command).c_str());
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  }

  Fd before_;
  Fd far_;
  Fd near_;
};

// Until the kernel has said of `count` devices, but the loopback, that they
// run: it does some time after they were set up, or in the middle of a test.
// The listener has heard of RTNLGRP_LINK since before.
inline bool AwaitRunning(netlink::Listener& listener, size_t count) {
  std::set<std::string> running;
  const Micros deadline = SystemClock::Now() + Micros::Seconds(20);
  while (running.size() < count && SystemClock::Now() < deadline) {
    pollfd readable = {.fd = listener.fd(), .events = POLLIN, .revents = 0};
    poll(&readable, 1, 100);
    listener.Receive([&](const netlink::Message& message) {
      const auto link = netlink::ReadLink(message);
      if (link && link->name != "lo" && (link->flags & IFF_RUNNING) != 0) {
        running.insert(link->name);
      }
    });
  }
  return running.size() == count;
}

}  // namespace sluice::net

#endif  // SLUICE_TESTS_BASE_NET_NAMESPACE_H_
