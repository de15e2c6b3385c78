// Attaching the forwarding program, and leaving nothing behind.

#include <linux/filter.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstring>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "relay/xdp/attachment.h"
#include "tests/relay/xdp_attached.h"

namespace sluice::relay::xdp {
namespace {

using namespace by_hand;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using Hook = Program::Hook;

// --- Taking one, and giving it back ------------------------------------------

TEST_F(XdpAttachment, NativeStandsUntilItIsDestroyed) {
  auto attached = On(relay_, Mode::kNative);
  ASSERT_NE(attached, nullptr);
  EXPECT_EQ(attached->hook(), Hook::kXdp);
  EXPECT_TRUE(attached->attached());
  EXPECT_EQ(attached->reason(), "native XDP on relay0");
  EXPECT_FALSE(XdpIsFree(relay_));
  EXPECT_TRUE(XdpIsFree(phone_));
  attached.reset();
  EXPECT_TRUE(XdpIsFree(relay_));
}

TEST_F(XdpAttachmentTc, TcStandsUntilItIsDestroyed) {
  auto attached = On(relay_, Mode::kTc);
  ASSERT_NE(attached, nullptr);
  EXPECT_EQ(attached->hook(), Hook::kTc);
  EXPECT_TRUE(attached->attached());
  EXPECT_EQ(attached->reason(), "tc on relay0");
  EXPECT_EQ(TcCount(relay_), 1);
  EXPECT_TRUE(XdpIsFree(relay_));
  attached.reset();
  EXPECT_EQ(TcCount(relay_), 0);
}

TEST_F(XdpAttachment, AutoTakesNativeWhereTheDriverHasIt) {
  const auto attached = On(relay_, Mode::kAuto);
  ASSERT_NE(attached, nullptr);
  EXPECT_EQ(attached->hook(), Hook::kXdp);
  EXPECT_EQ(std::max(TcCount(relay_), 0), 0);
}

TEST_F(XdpAttachmentTc, AutoTakesTcWhereItHasNone) {
  const auto attached = On(Bridge(), Mode::kAuto);
  ASSERT_NE(attached, nullptr);
  EXPECT_EQ(attached->hook(), Hook::kTc);
  EXPECT_TRUE(attached->attached());
  EXPECT_THAT(attached->reason(),
              AllOf(HasSubstr("tc on bridge0"), HasSubstr("no native XDP")));
}

TEST_F(XdpAttachment, NativeIsRefusedWhereTheDriverHasNone) {
  const Device bridge = Bridge();
  EXPECT_THAT(
      Refusal(bridge, Mode::kNative),
      AllOf(HasSubstr("UNIMPLEMENTED"), HasSubstr("bridge0"),
            HasSubstr("no native XDP"), HasSubstr("driver: bridge"),
            HasSubstr("the kernel says: "),
            HasSubstr("generic XDP is not taken"), HasSubstr("use tc")));
  // Nor was generic taken: a program that takes any mode still finds room.
  const Fd program = ForeignProgram(kXdpProgram, "probe", 2);
  struct {
    uint32_t program, ifindex, attach_type, flags;
  } const any{static_cast<uint32_t>(program.get()), bridge.ifindex, kAttachXdp,
              0};
  EXPECT_TRUE(Fd(Bpf(kLinkCreate, any)));
}

// The program runs on what arrives: it counts a frame that it passes.
void SeesWhatArrives(const Program& program, const Device& from,
                     const char* how) {
  constexpr uint16_t kNobodysType = 0x88b5;  // IEEE 802: for experiments
  const Fd fd(socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0));
  ASSERT_TRUE(fd) << std::strerror(errno);
  std::array<uint8_t, 60> frame{};
  std::fill_n(frame.begin(), 12, uint8_t{0xff});
  frame[6] = 2;  // the source: an address of our own making
  frame[12] = kNobodysType >> 8;
  frame[13] = kNobodysType & 0xff;
  sockaddr_ll to{};
  to.sll_family = AF_PACKET;
  to.sll_ifindex = static_cast<int>(from.ifindex);
  // The stack's own (neighbour discovery) are counted elsewhere.
  const auto before = program.Counters();
  ASSERT_TRUE(before.ok());
  ASSERT_EQ(sendto(fd.get(), frame.data(), frame.size(), 0,
                   reinterpret_cast<const sockaddr*>(&to), sizeof(to)),
            static_cast<ssize_t>(frame.size()))
      << std::strerror(errno);
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(10);
  while (std::chrono::steady_clock::now() < end) {
    const auto now = program.Counters();
    ASSERT_TRUE(now.ok());
    if ((*now)[k_pass_not_ip] > (*before)[k_pass_not_ip]) return;
  }
  ADD_FAILURE() << how << ": the frame was not counted";
}

TEST_F(XdpAttachment, NativeSeesWhatArrives) {
  const auto attached = On(relay_, Mode::kNative);
  ASSERT_NE(attached, nullptr);
  SeesWhatArrives(*program_, phone_, "native");
}

TEST_F(XdpAttachmentTc, TcSeesWhatArrives) {
  const auto attached = On(relay_, Mode::kTc);
  ASSERT_NE(attached, nullptr);
  SeesWhatArrives(*program_, phone_, "tc");
}

// --- What stands in the way --------------------------------------------------

TEST_F(XdpAttachment, SaysWhoseProgramHoldsThePlaceByALink) {
  const Fd program = ForeignProgram(kXdpProgram, "foreign", 2);
  ASSERT_TRUE(program);
  const Fd link = ForeignLink(program, relay_, kAttachXdp);
  ASSERT_TRUE(link);
  const LinkInfo info = InfoOf(link);
  EXPECT_THAT(
      Refusal(relay_, Mode::kNative),
      AllOf(HasSubstr("FAILED_PRECONDITION"), HasSubstr("program foreign"),
            HasSubstr(absl::StrCat("id ", info.program)),
            HasSubstr(absl::StrCat("bpftool link detach id ", info.id)),
            Not(HasSubstr("sluiced"))));
  EXPECT_EQ(InfoOf(link).ifindex, relay_.ifindex);
}

TEST_F(XdpAttachmentTc, AutoStandsBesideAForeignXdpProgram) {
  const Fd program = ForeignProgram(kXdpProgram, "foreign", 2);
  const Fd link = ForeignLink(program, relay_, kAttachXdp);
  ASSERT_TRUE(link);
  const auto attached = On(relay_, Mode::kAuto);
  ASSERT_NE(attached, nullptr);
  EXPECT_EQ(attached->hook(), Hook::kTc);
  EXPECT_THAT(attached->reason(), HasSubstr("program foreign"));
  EXPECT_EQ(InfoOf(link).ifindex, relay_.ifindex);
}

TEST_F(XdpAttachment, SaysHowToTakeAProgramOffThatNoLinkHolds) {
  const Fd program = ForeignProgram(kXdpProgram, "foreign", 2);
  const std::string pin = mounted_ + "/foreign";
  ASSERT_EQ(Pin(program, pin), 0);
  if (!Ip("link set dev relay0 xdpdrv pinned " + pin)) {
    // It is built without libbpf by some distributions.
    GTEST_SKIP() << "this ip command does not attach pinned programs";
  }
  EXPECT_THAT(Refusal(relay_, Mode::kNative),
              AllOf(HasSubstr("FAILED_PRECONDITION"), HasSubstr("native"),
                    HasSubstr("ip link set dev relay0 xdp off")));
  ASSERT_TRUE(Ip("link set dev relay0 xdp off"));
  ASSERT_TRUE(Ip("link set dev relay0 xdpgeneric pinned " + pin));
  EXPECT_THAT(Refusal(relay_, Mode::kNative),
              AllOf(HasSubstr("FAILED_PRECONDITION"), HasSubstr("generic"),
                    HasSubstr("ip link set dev relay0 xdpgeneric off")));
  ASSERT_TRUE(Ip("link set dev relay0 xdpgeneric off"));
  EXPECT_NE(On(relay_, Mode::kNative), nullptr);
}

TEST_F(XdpAttachment, SaysThatAnotherSluicedHoldsIt) {
  const auto first = On(relay_, Mode::kNative);
  ASSERT_NE(first, nullptr);
  EXPECT_THAT(Refusal(relay_, Mode::kNative),
              AllOf(HasSubstr("FAILED_PRECONDITION"), HasSubstr("forward_xdp"),
                    HasSubstr("another sluiced")));
  EXPECT_TRUE(first->attached());
}

TEST_F(XdpAttachment, SaysThatTheMtuIsTooLarge) {
  ASSERT_TRUE(Ip("link set dev relay0 mtu 9000"));
  ASSERT_TRUE(Ip("link set dev phone0 mtu 9000"));
  EXPECT_THAT(Refusal(Named("relay0"), Mode::kNative),
              AllOf(HasSubstr("FAILED_PRECONDITION"), HasSubstr("MTU"),
                    HasSubstr("the kernel says: "), HasSubstr("9000"),
                    HasSubstr("mtu 3498")));
  // The words are true: with that, it is taken.
  ASSERT_TRUE(Ip("link set dev relay0 mtu 3498"));
  ASSERT_TRUE(Ip("link set dev phone0 mtu 3498"));
  EXPECT_NE(On(Named("relay0"), Mode::kNative), nullptr);
}

TEST_F(XdpAttachment, SaysThatTheDeviceIsGone) {
  ASSERT_TRUE(Ip("link del relay0"));
  for (Mode mode : {Mode::kNative, Mode::kTc, Mode::kAuto}) {
    EXPECT_THAT(
        Refusal(relay_, mode),
        AllOf(HasSubstr("NOT_FOUND"), HasSubstr("relay0"), HasSubstr("gone")));
  }
}

TEST_F(XdpAttachment, RefusesDevicesWithNothingToForward) {
  EXPECT_THAT(Refusal(Named("lo"), Mode::kAuto),
              AllOf(HasSubstr("INVALID_ARGUMENT"), HasSubstr("loopback")));
  Device tunnel = relay_;
  tunnel.has_ethernet = false;
  EXPECT_THAT(Refusal(tunnel, Mode::kAuto),
              AllOf(HasSubstr("INVALID_ARGUMENT"), HasSubstr("Ethernet")));
  EXPECT_TRUE(XdpIsFree(relay_));
}

// From here on in this process, a command of bpf(2) fails with this errno: as a
// container's filter has it, or an older kernel.
struct Refuses {
  Command command;
  int error;
};
bool Install(const std::vector<Refuses>& list) {
  const auto load = [](size_t at) {
    return sock_filter BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
                                static_cast<uint32_t>(at));
  };
  const auto unless = [](uint32_t value, uint8_t skip) {
    return sock_filter BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, 0, skip);
  };
  const auto answer = [](uint32_t verdict) {
    return sock_filter BPF_STMT(BPF_RET | BPF_K, verdict);
  };
  std::vector<sock_filter> filter;
  filter.push_back(load(offsetof(seccomp_data, nr)));
  filter.push_back(unless(SYS_bpf, static_cast<uint8_t>(1 + 2 * list.size())));
  filter.push_back(load(offsetof(seccomp_data, args)));
  for (const Refuses& each : list) {
    filter.push_back(unless(each.command, 1));
    filter.push_back(
        answer(SECCOMP_RET_ERRNO | static_cast<uint32_t>(each.error)));
  }
  filter.push_back(answer(SECCOMP_RET_ALLOW));
  const sock_fprog program{static_cast<unsigned short>(filter.size()),
                           filter.data()};
  return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
         prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

TEST_F(XdpAttachment, SaysThatItIsNotAllowed) {
  InChild([this]() -> std::string {
    if (!Install({{kLinkCreate, EPERM}})) return "no filter";
    for (Mode mode : {Mode::kNative, Mode::kTc, Mode::kAuto}) {
      const std::string said = Refusal(relay_, mode);
      if (said.find("PERMISSION_DENIED") == std::string::npos ||
          said.find("relay0") == std::string::npos ||
          said.find("CAP_NET_ADMIN") == std::string::npos) {
        return said;
      }
    }
    return "";
  });
}

TEST_F(XdpAttachment, SaysThatTheKernelHasNoTcx) {
  InChild([this]() -> std::string {
    // What a kernel says that knows no such attach type.
    if (!Install({{kLinkCreate, EINVAL}, {kQuery, EINVAL}})) return "no filter";
    const std::string said = Refusal(relay_, Mode::kTc);
    return said.find("UNIMPLEMENTED") != std::string::npos &&
                   said.find("Linux 6.6") != std::string::npos
               ? ""
               : said;
  });
}

TEST_F(XdpAttachment, AutoSaysWhyNeitherIsToBeHad) {
  const Device bridge = Bridge();
  InChild([&]() -> std::string {
    if (!Install({{kLinkCreate, EOPNOTSUPP}, {kQuery, EINVAL}})) {
      return "no filter";
    }
    const std::string said = Refusal(bridge, Mode::kAuto);
    return said.find("no native XDP") != std::string::npos &&
                   said.find("Linux 6.6") != std::string::npos
               ? ""
               : said;
  });
}

TEST_F(XdpAttachment, TheDocumentedCapabilitiesAreEnough) {
  const std::string pin = PinNamed("relay0");
  LeaveBehind(relay_, Mode::kNative, pin);
  InChild([&]() -> std::string {
    if (!KeepTheDocumentedCapabilities()) return "capset";
    const auto program = Load();
    if (!program) return "the program does not load";
    const auto over = Attachment::Attach(*program, relay_,
                                         {.mode = Mode::kNative, .pin = pin});
    if (!over.ok()) return over.status().ToString();
    const auto anew = Attachment::Attach(
        *program, phone_, {.mode = Mode::kAuto, .pin = PinNamed("phone0")});
    if (!anew.ok()) return anew.status().ToString();
    return (*over)->attached() && (*anew)->attached() ? "" : "not attached";
  });
  EXPECT_TRUE(XdpIsFree(relay_));
  EXPECT_TRUE(XdpIsFree(phone_));
}

// --- Detached by others ------------------------------------------------------

TEST_F(XdpAttachment, ForceIsSeen) {
  const std::string pin = PinNamed("relay0");
  const auto attached = On(relay_, Mode::kNative, pin);
  ASSERT_NE(attached, nullptr);
  ASSERT_TRUE(DetachByForce(pin));
  EXPECT_FALSE(attached->attached());
  EXPECT_TRUE(XdpIsFree(relay_));
  // What is at the pin now is of no use, and is made anew.
  const auto again = On(relay_, Mode::kNative, pin);
  ASSERT_NE(again, nullptr);
  EXPECT_TRUE(again->attached());
  EXPECT_FALSE(XdpIsFree(relay_));
}

TEST_F(XdpAttachmentTc, ForceIsSeenOnTc) {
  const std::string pin = PinNamed("relay0");
  const auto attached = On(relay_, Mode::kTc, pin);
  ASSERT_NE(attached, nullptr);
  ASSERT_TRUE(DetachByForce(pin));
  EXPECT_FALSE(attached->attached());
  EXPECT_EQ(TcCount(relay_), 0);
  const auto again = On(relay_, Mode::kTc, pin);
  ASSERT_NE(again, nullptr);
  EXPECT_TRUE(again->attached());
}

TEST_F(XdpAttachment, ThatTheDeviceIsGoneIsSeen) {
  const auto native = On(relay_, Mode::kNative);
  ASSERT_NE(native, nullptr);
  const auto tc = HasTcx(phone_) ? On(phone_, Mode::kTc) : nullptr;
  ASSERT_TRUE(Ip("link del relay0"));
  EXPECT_FALSE(native->attached());
  if (tc) {
    EXPECT_FALSE(tc->attached());
  }
}

// --- Pins --------------------------------------------------------------------

TEST_F(XdpAttachment, WhatIsPinnedGoesWithItsOwner) {
  const std::string pin = PinNamed("relay0");
  auto attached = On(relay_, Mode::kNative, pin);
  ASSERT_NE(attached, nullptr);
  struct stat entry;
  ASSERT_EQ(stat(pins_.c_str(), &entry), 0);
  EXPECT_EQ(entry.st_mode & 0777u, 0700u);
  EXPECT_EQ(InfoOf(OpenPin(pin)).ifindex, relay_.ifindex);
  attached.reset();
  EXPECT_NE(access(pin.c_str(), F_OK), 0);
  EXPECT_TRUE(XdpIsFree(relay_));
}

TEST_F(XdpAttachment, WhatIsKeptIsTakenOverInPlace) {
  const std::string pin = PinNamed("relay0");
  LeaveBehind(relay_, Mode::kNative, pin);
  EXPECT_FALSE(XdpIsFree(relay_));
  const LinkInfo before = InfoOf(OpenPin(pin));
  ASSERT_EQ(before.ifindex, relay_.ifindex);

  program_ = Load();  // the next process has its own
  ASSERT_NE(program_, nullptr);
  for (Mode mode : {Mode::kNative, Mode::kAuto}) {
    const auto attached = On(relay_, mode, pin);
    ASSERT_NE(attached, nullptr);
    EXPECT_EQ(attached->hook(), Hook::kXdp);
    EXPECT_TRUE(attached->attached());
    EXPECT_THAT(attached->reason(), HasSubstr("earlier process"));
    const LinkInfo now = InfoOf(OpenPin(pin));
    EXPECT_EQ(now.id, before.id);
    EXPECT_NE(now.program, before.program);
    SeesWhatArrives(*program_, phone_, "taken over");
    attached->Keep();
  }
  // Nobody else kept it: this one ends it.
  On(relay_, Mode::kNative, pin).reset();
  EXPECT_TRUE(XdpIsFree(relay_));
}

TEST_F(XdpAttachmentTc, WhatIsKeptIsTakenOverInPlaceOnTc) {
  const std::string pin = PinNamed("relay0");
  LeaveBehind(relay_, Mode::kTc, pin);
  EXPECT_EQ(TcCount(relay_), 1);
  const LinkInfo before = InfoOf(OpenPin(pin));
  program_ = Load();
  ASSERT_NE(program_, nullptr);
  const auto attached = On(relay_, Mode::kTc, pin);
  ASSERT_NE(attached, nullptr);
  const LinkInfo now = InfoOf(OpenPin(pin));
  EXPECT_EQ(now.id, before.id);
  EXPECT_NE(now.program, before.program);
  EXPECT_EQ(TcCount(relay_), 1);
  SeesWhatArrives(*program_, phone_, "taken over");
}

TEST_F(XdpAttachment, APinOfAnotherDeviceIsMadeAnew) {
  const std::string pin = PinNamed("media");
  LeaveBehind(relay_, Mode::kNative, pin);
  const auto attached = On(phone_, Mode::kNative, pin);
  ASSERT_NE(attached, nullptr);
  EXPECT_EQ(InfoOf(OpenPin(pin)).ifindex, phone_.ifindex);
  EXPECT_TRUE(XdpIsFree(relay_));
  EXPECT_FALSE(XdpIsFree(phone_));
}

TEST_F(XdpAttachmentTc, APinOfAnotherHookIsMadeAnew) {
  const std::string pin = PinNamed("media");
  LeaveBehind(relay_, Mode::kNative, pin);
  auto tc = On(relay_, Mode::kTc, pin);
  ASSERT_NE(tc, nullptr);
  EXPECT_EQ(tc->hook(), Hook::kTc);
  EXPECT_TRUE(XdpIsFree(relay_));
  EXPECT_EQ(TcCount(relay_), 1);
  tc->Keep();
  tc.reset();
  const auto native = On(relay_, Mode::kAuto, pin);
  ASSERT_NE(native, nullptr);
  EXPECT_EQ(native->hook(), Hook::kXdp);
  EXPECT_EQ(TcCount(relay_), 0);
}

TEST_F(XdpAttachment, AnOwnerLeavesThePinOfItsSuccessor) {
  const std::string pin = PinNamed("media");
  auto first = On(relay_, Mode::kNative, pin);
  ASSERT_NE(first, nullptr);
  const auto second = On(phone_, Mode::kNative, pin);
  ASSERT_NE(second, nullptr);
  first.reset();
  EXPECT_TRUE(XdpIsFree(relay_));
  EXPECT_EQ(access(pin.c_str(), F_OK), 0);
  EXPECT_TRUE(second->attached());
}

TEST_F(XdpAttachment, AnOwnerLeavesTheLinkThatWasTakenOver) {
  const std::string pin = PinNamed("relay0");
  const std::unique_ptr<Program> old_program = std::move(program_);
  program_ = Load();
  ASSERT_NE(program_, nullptr);
  auto first = Attachment::Attach(*old_program, relay_,
                                  {.mode = Mode::kNative, .pin = pin});
  ASSERT_TRUE(first.ok()) << first.status();
  const auto second = On(relay_, Mode::kNative, pin);
  ASSERT_NE(second, nullptr);
  EXPECT_FALSE((*first)->attached());
  EXPECT_TRUE(second->attached());
  first->reset();
  EXPECT_TRUE(second->attached());
  EXPECT_EQ(access(pin.c_str(), F_OK), 0);
  SeesWhatArrives(*program_, phone_, "the second");
}

TEST_F(XdpAttachment, APinOfAnotherNamespacesDeviceIsMadeAnew) {
  const std::string pin = PinNamed("media");
  LeaveBehind(relay_, Mode::kNative, pin);
  const net::Fd before = ThisNamespace();
  ASSERT_EQ(unshare(CLONE_NEWNET), 0);
  ASSERT_TRUE(Ip(absl::StrCat("link add relay0 index ", relay_.ifindex,
                              " type veth peer name phone0")));
  const Device here = Named("relay0");
  ASSERT_EQ(here.ifindex, relay_.ifindex);
  const auto attached = On(here, Mode::kNative, pin);
  ASSERT_NE(attached, nullptr);
  EXPECT_FALSE(XdpIsFree(here));
  EXPECT_TRUE(attached->attached());
}

TEST_F(XdpAttachmentTc, APinOfAnotherNamespacesDeviceIsMadeAnewOnTc) {
  const std::string pin = PinNamed("media");
  LeaveBehind(relay_, Mode::kTc, pin);
  const net::Fd before = ThisNamespace();
  ASSERT_EQ(unshare(CLONE_NEWNET), 0);
  ASSERT_TRUE(Ip(absl::StrCat("link add relay0 index ", relay_.ifindex,
                              " type veth peer name phone0")));
  const auto attached = On(Named("relay0"), Mode::kTc, pin);
  ASSERT_NE(attached, nullptr);
  EXPECT_EQ(TcCount(relay_), 1);
}

TEST_F(XdpAttachment, AForeignPinIsLeftAlone) {
  const std::string pin = mounted_ + "/foreign";
  const Fd program = ForeignProgram(kXdpProgram, "foreign", 2);
  {
    const Fd link = ForeignLink(program, phone_, kAttachXdp);
    ASSERT_EQ(Pin(link, pin), 0);
  }
  for (Mode mode : {Mode::kNative, Mode::kTc, Mode::kAuto}) {
    EXPECT_THAT(Refusal(relay_, mode, pin),
                AllOf(HasSubstr("FAILED_PRECONDITION"), HasSubstr("not ours"),
                      HasSubstr("program foreign"), HasSubstr(pin)));
  }
  EXPECT_EQ(InfoOf(OpenPin(pin)).ifindex, phone_.ifindex);
  EXPECT_TRUE(XdpIsFree(relay_));
  // Nor something that is no link.
  const std::string other = mounted_ + "/program";
  ASSERT_EQ(Pin(program, other), 0);
  EXPECT_THAT(Refusal(relay_, Mode::kNative, other), HasSubstr("not ours"));
  EXPECT_EQ(access(other.c_str(), F_OK), 0);
}

TEST_F(XdpAttachment, APinIsRefusedWhereNoneCanBe) {
  const std::string plain = ::testing::TempDir() + "sluice_no_bpffs/relay0";
  EXPECT_THAT(Refusal(relay_, Mode::kNative, plain),
              AllOf(HasSubstr("INVALID_ARGUMENT"),
                    HasSubstr("mount -t bpf bpf /sys/fs/bpf")));
  EXPECT_THAT(Refusal(relay_, Mode::kNative, PinNamed("relay0.7")),
              AllOf(HasSubstr("INVALID_ARGUMENT"), HasSubstr("dot")));
  EXPECT_THAT(Refusal(relay_, Mode::kNative, "relay0"),
              AllOf(HasSubstr("INVALID_ARGUMENT"), HasSubstr("absolute")));
  EXPECT_NE(access((::testing::TempDir() + "sluice_no_bpffs").c_str(), F_OK),
            0);
  EXPECT_TRUE(XdpIsFree(relay_));
}

}  // namespace
}  // namespace sluice::relay::xdp
