#ifndef SLUICE_TESTS_RELAY_XDP_NAMESPACE_H_
#define SLUICE_TESTS_RELAY_XDP_NAMESPACE_H_

// Network devices for tests, in a network namespace that nobody else sees.

#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <string>

#include "absl/strings/str_cat.h"
#include "base/net/fd.h"

namespace sluice::relay::xdp {

// Runs `ip` with these arguments, and says whether it was content.
inline bool Ip(const std::string& arguments) {
  const std::string command =
      absl::StrCat("PATH=$PATH:/usr/sbin:/sbin ip ", arguments, " 2>&1");
  return std::system(command.c_str()) == 0;
}

// Moves the calling thread into a new network and a new mount namespace; the
// ones before end with what was made in them. "": done, else why it cannot be.
inline std::string EnterNamespace() {
  if (unshare(CLONE_NEWNET | CLONE_NEWNS) != 0) {
    return absl::StrCat("no namespaces for this account (CAP_SYS_ADMIN): ",
                        std::strerror(errno));
  }
  if (mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) {
    return absl::StrCat("no mounts of our own: ", std::strerror(errno));
  }
  if (!Ip("-V >/dev/null")) return "there is no ip command (iproute2)";
  if (!Ip("link set dev lo up")) return "the loopback device does not come up";
  return "";
}

// The network namespace of the calling thread, kept alive.
inline net::Fd ThisNamespace() {
  return net::Fd(open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC));
}
// As `ip link set ... netns` takes it.
inline std::string PathOf(const net::Fd& fd) {
  return absl::StrCat("/proc/", getpid(), "/fd/", fd.get());
}

}  // namespace sluice::relay::xdp

#endif  // SLUICE_TESTS_RELAY_XDP_NAMESPACE_H_
