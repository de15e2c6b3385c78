#ifndef SLUICE_TESTS_RELAY_XDP_ATTACHED_H_
#define SLUICE_TESTS_RELAY_XDP_ATTACHED_H_

// For tests of what is attached to devices: a place for it, other owners'
// programs, and what the kernel says without the code under test.

#include <fcntl.h>
#include <linux/capability.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "base/net/fd.h"
#include "gtest/gtest.h"
#include "relay/xdp/attachment.h"
#include "tests/relay/xdp_fixtures.h"
#include "tests/relay/xdp_namespace.h"

namespace sluice::relay::xdp {

namespace by_hand {

using net::Fd;

// --- The kernel's own view, without the code under test ----------------------
//
// bpf(2) by hand: what these calls take of the kernel's union of arguments.

enum Command : int {
  kProgramLoad = 5,
  kPin = 6,
  kOpenPin = 7,
  kInfo = 15,
  kQuery = 16,
  kLinkCreate = 28,
  kLinkDetach = 34,
};
constexpr uint32_t kXdpProgram = 6, kTcProgram = 3;
constexpr uint32_t kAttachXdp = 37, kAttachTcx = 46;
constexpr uint32_t kNativeMode = 1 << 2;

template <typename T>
int Bpf(Command command, T arguments) {
  return static_cast<int>(
      syscall(SYS_bpf, command, &arguments, sizeof(arguments)));
}
template <typename T>
uint64_t Pointer(const T* to) {
  return reinterpret_cast<uintptr_t>(to);
}

// `return verdict;`, of another owner.
inline Fd ForeignProgram(uint32_t type, const char* name, int32_t verdict) {
  const struct {
    uint8_t code, registers;
    int16_t offset;
    int32_t value;
  } instructions[] = {{0xb7, 0, 0, verdict}, {0x95, 0, 0, 0}};
  struct {
    uint32_t type, instructions_count;
    uint64_t instructions, license;
    uint32_t log_level, log_size;
    uint64_t log;
    uint32_t kernel_version, flags;
    char name[16];
  } load{};
  load.type = type;
  load.instructions_count = 2;
  load.instructions = Pointer(instructions);
  load.license = Pointer("GPL");
  std::memcpy(load.name, name,
              std::min(std::strlen(name), sizeof(load.name) - 1));
  return Fd(Bpf(kProgramLoad, load));
}

inline Fd ForeignLink(const Fd& program, const Device& device,
                      uint32_t attach_type) {
  struct {
    uint32_t program, ifindex, attach_type, flags;
  } const create{static_cast<uint32_t>(program.get()), device.ifindex,
                 attach_type, attach_type == kAttachXdp ? kNativeMode : 0};
  return Fd(Bpf(kLinkCreate, create));
}

inline int Pin(const Fd& what, const std::string& path) {
  struct {
    uint64_t path;
    uint32_t fd, flags;
  } const pin{Pointer(path.c_str()), static_cast<uint32_t>(what.get()), 0};
  return Bpf(kPin, pin);
}
inline int Pin(int what, const std::string& path) {
  Fd fd(dup(what));
  return Pin(fd, path);
}

inline Fd OpenPin(const std::string& path) {
  struct {
    uint64_t path;
    uint32_t fd, flags;
  } const open{Pointer(path.c_str()), 0, 0};
  return Fd(Bpf(kOpenPin, open));
}

struct LinkInfo {
  uint32_t type, id, program, pad;
  uint32_t ifindex, more[9];
};
inline LinkInfo InfoOf(const Fd& link) {
  LinkInfo info{};
  struct {
    uint32_t fd, bytes;
    uint64_t info;
  } const ask{static_cast<uint32_t>(link.get()), sizeof(info), Pointer(&info)};
  EXPECT_EQ(Bpf(kInfo, ask), 0) << std::strerror(errno);
  return info;
}

inline bool DetachByForce(const std::string& pin) {
  const Fd link = OpenPin(pin);
  struct {
    uint32_t fd;
  } const detach{static_cast<uint32_t>(link.get())};
  return link && Bpf(kLinkDetach, detach) == 0;
}

// The programs on the tc hook.
inline int TcCount(const Device& device) {
  std::array<uint32_t, 16> ids{};
  struct {
    uint32_t ifindex, attach_type, flags, attach_flags;
    uint64_t ids;
    uint32_t count, pad;
    uint64_t program_flags, link_ids, link_flags, revision;
  } query{};
  query.ifindex = device.ifindex;
  query.attach_type = kAttachTcx;
  query.ids = Pointer(ids.data());
  query.count = ids.size();
  if (Bpf(kQuery, query) != 0) return -1;
  return static_cast<int>(std::count_if(ids.begin(), ids.end(),
                                        [](uint32_t id) { return id != 0; }));
}

// Whether native XDP is to be had: nobody is there.
inline bool XdpIsFree(const Device& device) {
  const Fd program = ForeignProgram(kXdpProgram, "probe", 2);
  return static_cast<bool>(ForeignLink(program, device, kAttachXdp));
}

}  // namespace by_hand

// --- The fixture: relay0 and phone0, a veth; a BPF file system; a program ----

class XdpAttachment : public ::testing::Test {
 protected:
  void SetUp() override {
    const std::string lack = EnterNamespace();
    // An account that may make no namespaces has no devices to try this on; CI
    // runs as root.
    if (!lack.empty()) GTEST_SKIP() << lack;
    program_ = Load();
    if (!program_) {
      // Nothing to attach, on such a kernel; CI has one that takes it.
      GTEST_SKIP() << "the program does not load here";
    }
    ASSERT_TRUE(Ip("link add relay0 type veth peer name phone0"));
    ASSERT_TRUE(Ip("link set dev relay0 up"));
    ASSERT_TRUE(Ip("link set dev phone0 up"));
    relay_ = Named("relay0");
    phone_ = Named("phone0");

    std::string folder = ::testing::TempDir() + "sluice_pins_XXXXXX";
    ASSERT_NE(mkdtemp(folder.data()), nullptr);
    mounted_ = folder;
    ASSERT_EQ(mount("bpf", folder.c_str(), "bpf", 0, "mode=0700"), 0)
        << std::strerror(errno);
    pins_ = folder + "/sluice";
  }
  void TearDown() override {
    if (mounted_.empty()) return;
    umount2(mounted_.c_str(), MNT_DETACH);
    rmdir(mounted_.c_str());
  }

  // nullptr: not here.
  static std::unique_ptr<Program> Load() {
    auto loaded = Program::Load({.cells = 16, .mirror_bytes = 4096});
    if (loaded.ok()) return *std::move(loaded);
    EXPECT_TRUE(CannotRunHere(loaded.status())) << loaded.status();
    return nullptr;
  }
  static Device Named(const std::string& name) {
    const auto device = FindDevice(name);
    EXPECT_TRUE(device.ok()) << device.status();
    return device.ok() ? *device : Device();
  }
  // A device whose driver has no XDP.
  static Device Bridge() {
    EXPECT_TRUE(Ip("link add bridge0 type bridge"));
    EXPECT_TRUE(Ip("link set dev bridge0 up"));
    return Named("bridge0");
  }
  std::string PinNamed(const std::string& name) const {
    return absl::StrCat(pins_, "/", name);
  }

  absl::StatusOr<std::unique_ptr<Attachment>> Try(const Device& device,
                                                  Mode mode,
                                                  const std::string& pin = "") {
    return Attachment::Attach(*program_, device, {.mode = mode, .pin = pin});
  }
  // nullptr: it was refused, which fails the test.
  std::unique_ptr<Attachment> On(const Device& device, Mode mode,
                                 const std::string& pin = "") {
    auto attached = Try(device, mode, pin);
    EXPECT_TRUE(attached.ok()) << attached.status();
    return attached.ok() ? *std::move(attached) : nullptr;
  }
  std::string Refusal(const Device& device, Mode mode,
                      const std::string& pin = "") {
    const auto attached = Try(device, mode, pin);
    return attached.ok() ? "none: " + (*attached)->reason()
                         : attached.status().ToString();
  }
  // Pinned and left behind, as by a process that ended.
  void LeaveBehind(const Device& device, Mode mode, const std::string& pin) {
    const auto attached = On(device, mode, pin);
    ASSERT_NE(attached, nullptr);
    attached->Keep();
  }
  static bool HasTcx(const Device& device) {
    return by_hand::TcCount(device) >= 0;
  }

  std::unique_ptr<Program> program_;
  Device relay_, phone_;
  std::string mounted_, pins_;
};

// Those that need the tc hook by a link.
class XdpAttachmentTc : public XdpAttachment {
 protected:
  void SetUp() override {
    XdpAttachment::SetUp();
    if (!IsSkipped() && !HasFatalFailure() && !HasTcx(relay_)) {
      // Before Linux 6.6; there is nothing to attach to.
      GTEST_SKIP() << "this kernel has no tcx";
    }
  }
};

// --- Processes with fewer rights ---------------------------------------------

// Runs `body` in a child, and fails if it says anything.
inline void InChild(const std::function<std::string()>& body) {
  int ends[2];
  ASSERT_EQ(pipe2(ends, O_CLOEXEC), 0);
  const net::Fd from(ends[0]);
  net::Fd to(ends[1]);
  const pid_t child = fork();
  if (child == 0) {
    const std::string said = body();
    const ssize_t written = write(to.get(), said.data(), said.size());
    _exit(written == static_cast<ssize_t>(said.size()) ? 0 : 1);
  }
  to.Reset();
  std::string said;
  char buffer[512];
  for (ssize_t got; (got = read(from.get(), buffer, sizeof(buffer))) > 0;) {
    said.append(buffer, static_cast<size_t>(got));
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
  EXPECT_EQ(said, "");
}

// Gives up all but what Program::Load asks for.
inline bool KeepTheDocumentedCapabilities() {
  constexpr uint64_t kKept = uint64_t{1} << CAP_BPF |
                             uint64_t{1} << CAP_NET_ADMIN |
                             uint64_t{1} << CAP_PERFMON;
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3]{};
  for (int i = 0; i < _LINUX_CAPABILITY_U32S_3; ++i) {
    data[i].effective = data[i].permitted =
        static_cast<uint32_t>(kKept >> 32 * i);
  }
  return syscall(SYS_capset, &header, data) == 0;
}

}  // namespace sluice::relay::xdp

#endif  // SLUICE_TESTS_RELAY_XDP_ATTACHED_H_
