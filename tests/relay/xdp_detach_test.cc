// DetachAll: nothing of ours is left, and all of the others'.

#include <unistd.h>

#include <string>
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
using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using Hook = Program::Hook;

class XdpDetachAll : public XdpAttachment {
 protected:
  std::vector<std::string> All(const std::string& folder) {
    auto removed = DetachAll(folder);
    EXPECT_TRUE(removed.ok()) << removed.status();
    return removed.ok() ? *std::move(removed) : std::vector<std::string>();
  }
};

TEST_F(XdpDetachAll, HasNothingToDoWhereNothingIs) {
  EXPECT_THAT(All(pins_), IsEmpty());
  EXPECT_THAT(All(""), IsEmpty());
}

TEST_F(XdpDetachAll, RemovesWhatIsPinned) {
  LeaveBehind(relay_, Mode::kNative, PinNamed("v1/relay0"));
  ASSERT_EQ(Pin(program_->MapDescriptor("cells"), PinNamed("v1/cells")), 0);
  ASSERT_EQ(Pin(program_->MapDescriptor("tx_ports"), PinNamed("tx_ports")), 0);
  ASSERT_EQ(Pin(program_->ProgramDescriptor(Hook::kXdp), PinNamed("xdp")), 0);
  const auto removed = All(pins_);
  EXPECT_THAT(removed, SizeIs(4));
  EXPECT_THAT(
      removed,
      Contains(AllOf(HasSubstr("/v1/relay0: link"), HasSubstr("forward_xdp"),
                     HasSubstr("tag "), HasSubstr("native XDP on relay0"))));
  EXPECT_THAT(removed, Contains(HasSubstr("/v1/cells: map cells")));
  EXPECT_THAT(removed, Contains(HasSubstr("/tx_ports: map tx_ports")));
  EXPECT_THAT(removed, Contains(HasSubstr("/xdp: program forward_xdp")));
  EXPECT_TRUE(XdpIsFree(relay_));
  EXPECT_NE(access(pins_.c_str(), F_OK), 0);
  EXPECT_THAT(All(pins_), IsEmpty());
}

TEST_F(XdpDetachAll, TakesOffWhatARunningProcessHolds) {
  const auto native = On(relay_, Mode::kNative);
  const auto tc = HasTcx(phone_) ? On(phone_, Mode::kTc) : nullptr;
  ASSERT_NE(native, nullptr);
  const auto removed = All(pins_);
  EXPECT_THAT(removed,
              Contains(AllOf(HasSubstr("relay0: "), HasSubstr("forward_xdp"))));
  EXPECT_FALSE(native->attached());
  EXPECT_TRUE(XdpIsFree(relay_));
  if (tc) {
    EXPECT_THAT(removed, Contains(AllOf(HasSubstr("phone0: "),
                                        HasSubstr("forward_tc"))));
    EXPECT_FALSE(tc->attached());
    EXPECT_EQ(TcCount(phone_), 0);
  }
}

TEST_F(XdpDetachAll, TakesOffWhatARunningProcessHoldsAndPinned) {
  const auto native = On(relay_, Mode::kNative, PinNamed("relay0"));
  ASSERT_NE(native, nullptr);
  EXPECT_THAT(All(pins_), SizeIs(1));
  EXPECT_FALSE(native->attached());
  EXPECT_TRUE(XdpIsFree(relay_));
}

TEST_F(XdpDetachAll, TakesOffWhatNoLinkHolds) {
  const std::string pin = mounted_ + "/ours";
  for (const char* mode : {"xdpdrv", "xdpgeneric"}) {
    ASSERT_EQ(Pin(program_->ProgramDescriptor(Hook::kXdp), pin), 0);
    if (!Ip(absl::StrCat("link set dev relay0 ", mode, " pinned ", pin))) {
      // It is built without libbpf by some distributions.
      GTEST_SKIP() << "this ip command does not attach pinned programs";
    }
    unlink(pin.c_str());
    EXPECT_THAT(All(""), SizeIs(1)) << mode;
    EXPECT_TRUE(XdpIsFree(relay_)) << mode;
  }
}

TEST_F(XdpDetachAll, LeavesTheForeignAlone) {
  LeaveBehind(relay_, Mode::kNative, PinNamed("relay0"));
  // One of our name, even; it has not our maps.
  const Fd xdp = ForeignProgram(kXdpProgram, "forward_xdp", 2);
  const Fd xdp_link = ForeignLink(xdp, phone_, kAttachXdp);
  ASSERT_TRUE(xdp_link);
  ASSERT_EQ(Pin(xdp_link, PinNamed("phone0")), 0);
  const Fd tc = ForeignProgram(kTcProgram, "other", -1);
  const Fd tc_link =
      HasTcx(phone_) ? ForeignLink(tc, phone_, kAttachTcx) : Fd();
  EXPECT_THAT(All(pins_), SizeIs(1));
  EXPECT_TRUE(XdpIsFree(relay_));
  EXPECT_EQ(InfoOf(OpenPin(PinNamed("phone0"))).ifindex, phone_.ifindex);
  if (tc_link) {
    EXPECT_EQ(TcCount(phone_), 1);
  }
}

TEST_F(XdpDetachAll, TouchesNoOtherFileSystem) {
  const auto native = On(relay_, Mode::kNative);
  ASSERT_NE(native, nullptr);
  const auto removed = DetachAll(::testing::TempDir());
  EXPECT_EQ(removed.status().code(), absl::StatusCode::kInvalidArgument)
      << removed.status();
  EXPECT_TRUE(native->attached());
}

TEST_F(XdpDetachAll, SaysThatItMayNotSeeWhoseProgramThatIs) {
  LeaveBehind(relay_, Mode::kNative, PinNamed("relay0"));
  InChild([&]() -> std::string {
    if (!KeepTheDocumentedCapabilities()) return "capset";
    const std::string said = DetachAll(pins_).status().ToString();
    return said.find("PERMISSION_DENIED") != std::string::npos &&
                   said.find("CAP_SYS_ADMIN") != std::string::npos
               ? ""
               : said;
  });
  EXPECT_FALSE(XdpIsFree(relay_));
}

}  // namespace
}  // namespace sluice::relay::xdp
