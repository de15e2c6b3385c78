// Goal: tables that are pinned are the next process's, rules in force and all;
// tables of another shape are nobody's; who ends in good order leaves nothing.
// Method: Program with a BPF file system of the test's own; leaving the tables
// behind is done by pinning again what the first one would have taken along.

#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <memory>
#include <string>

#include "gtest/gtest.h"
#include "relay/xdp/program.h"
#include "tests/relay/xdp_fixtures.h"
#include "tests/relay/xdp_namespace.h"

namespace sluice::relay::xdp {
namespace {

namespace fs = std::filesystem;

class XdpPins : public testing::Test {
 protected:
  void SetUp() override {
    const std::string why = EnterNamespace();
    if (!why.empty()) GTEST_SKIP() << why;
    char folder[] = "/tmp/sluice-pins-XXXXXX";
    ASSERT_NE(mkdtemp(folder), nullptr);
    root_ = folder;
    if (mount("bpf", folder, "bpf", 0, nullptr) != 0) {
      GTEST_SKIP() << "no BPF file system can be mounted here";
    }
    mounted_ = true;
    pins_ = root_ + "/ours";
  }
  void TearDown() override {
    if (mounted_) umount2(root_.c_str(), MNT_DETACH);
    if (!root_.empty()) rmdir(root_.c_str());
  }
  absl::StatusOr<std::unique_ptr<Program>> Load(uint32_t cells = 16) {
    return Program::Load({.cells = cells, .pins = pins_});
  }
  // As a process that is killed: its descriptors go, the pins stay.
  void Kill(std::unique_ptr<Program> program) {
    const std::string aside = root_ + "/aside";
    ASSERT_EQ(mkdir(aside.c_str(), 0700), 0);
    for (const auto& pin : fs::directory_iterator(pins_)) {
      fs::rename(pin.path(), aside / pin.path().filename());
    }
    program.reset();
    ASSERT_TRUE(fs::exists(pins_) || mkdir(pins_.c_str(), 0700) == 0);
    for (const auto& pin : fs::directory_iterator(aside)) {
      fs::rename(pin.path(), pins_ / pin.path().filename());
    }
    rmdir(aside.c_str());
  }
  size_t Pins() const {
    if (!fs::exists(pins_)) return 0;
    return static_cast<size_t>(
        std::distance(fs::directory_iterator(pins_), {}));
  }

  std::string root_;
  fs::path pins_;
  bool mounted_ = false;
};

const NamedRange kRange{.local = Spec(false, false).at.ip,
                        .first_port = 10'000,
                        .count = 8,
                        .base = 4};

TEST_F(XdpPins, WhoEndsInGoodOrderLeavesNothing) {
  auto program = Load();
  if (CannotRunHere(program.status())) GTEST_SKIP() << program.status();
  ASSERT_TRUE(program.ok()) << program.status();
  EXPECT_FALSE((*program)->inherited());
  EXPECT_EQ(Pins(), 6u);
  program->reset();
  EXPECT_EQ(Pins(), 0u);
  EXPECT_FALSE(fs::exists(pins_));
}

TEST_F(XdpPins, TheNextProcessHasTablesAndRules) {
  auto first = Load();
  if (CannotRunHere(first.status())) GTEST_SKIP() << first.status();
  ASSERT_TRUE(first.ok()) << first.status();
  Program& old = **first;
  ASSERT_TRUE(
      old.SetRange(kRange.local, kRange.first_port, kRange.count, kRange.base)
          .ok());
  const IpAddress v4 = Spec(false, false).out.ip, v6 = Spec(true, true).out.ip;
  ASSERT_TRUE(old.SetLocal(0, v4).ok());
  ASSERT_TRUE(old.SetLocal(1, v6).ok());
  NextHop hop{};
  hop.macs[3] = 7;
  hop.ifindex = 1;
  hop.mtu = 1400;
  ASSERT_TRUE(old.SetNextHop(0, hop).ok());
  const Rule rule = *MakeRule(Spec(false, false));
  old.Install(5, rule);
  Kill(*std::move(first));

  auto second = Load();
  ASSERT_TRUE(second.ok()) << second.status();
  Program& now = **second;
  EXPECT_TRUE(now.inherited());
  EXPECT_EQ(now.ReadLocal(0), v4);
  EXPECT_EQ(now.ReadLocal(1), v6);
  EXPECT_EQ(now.ReadNextHop(0)->macs[3], 7);
  EXPECT_EQ(now.ReadNextHop(0)->mtu, 1400);
  EXPECT_EQ(now.ReadNextHop(1)->ifindex, 0u);
  EXPECT_EQ(now.ReadRule(5).state, kRuleInForce);
  EXPECT_EQ(now.ReadRule(5).new_destination_port_be,
            rule.new_destination_port_be);
  EXPECT_EQ(now.ReadRule(4).state, kRuleOff);

  // The same ranges: all stays. Others: nothing does.
  EXPECT_TRUE(now.ForgetUnless({kRange}).ok());
  EXPECT_TRUE(now.inherited());
  EXPECT_EQ(now.ReadRule(5).state, kRuleInForce);
  NamedRange moved = kRange;
  moved.base = 0;
  EXPECT_TRUE(now.ForgetUnless({moved}).ok());
  EXPECT_FALSE(now.inherited());
  EXPECT_EQ(now.ReadRule(5).state, kRuleOff);
  EXPECT_TRUE(now.ForgetUnless({}).ok()) << "no range is left";
}

TEST_F(XdpPins, TablesOfAnotherShapeAreMadeAnew) {
  auto first = Load(16);
  if (CannotRunHere(first.status())) GTEST_SKIP() << first.status();
  ASSERT_TRUE(first.ok()) << first.status();
  (*first)->Install(5, *MakeRule(Spec(false, false)));
  Kill(*std::move(first));
  auto second = Load(32);
  ASSERT_TRUE(second.ok()) << second.status();
  EXPECT_FALSE((*second)->inherited());
  EXPECT_EQ((*second)->cells(), 32u);
  EXPECT_EQ((*second)->ReadRule(5).state, kRuleOff);
  EXPECT_EQ(Pins(), 6u);
}

TEST_F(XdpPins, OneTableMissingIsAllOfThemMissing) {
  auto first = Load();
  if (CannotRunHere(first.status())) GTEST_SKIP() << first.status();
  ASSERT_TRUE(first.ok()) << first.status();
  (*first)->Install(5, *MakeRule(Spec(false, false)));
  Kill(*std::move(first));
  fs::remove(pins_ / "nexthops");
  auto second = Load();
  ASSERT_TRUE(second.ok()) << second.status();
  EXPECT_FALSE((*second)->inherited());
  EXPECT_EQ((*second)->ReadRule(5).state, kRuleOff);
}

TEST_F(XdpPins, AFolderElsewhereIsRefusedInWords) {
  pins_ = "/tmp/sluice-no-bpf/abi";
  const auto program = Load();
  if (CannotRunHere(program.status())) GTEST_SKIP() << program.status();
  ASSERT_FALSE(program.ok());
  EXPECT_NE(program.status().message().find("mount -t bpf"), std::string::npos)
      << program.status();
}

}  // namespace
}  // namespace sluice::relay::xdp
