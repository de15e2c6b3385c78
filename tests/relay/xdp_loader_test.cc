// Loading the forwarding program, its tables, and that both sides of
// relay/xdp/abi.h agree.

#include <linux/capability.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstddef>
#include <functional>
#include <memory>
#include <string>

#include "gtest/gtest.h"
#include "relay/xdp/program.h"
#include "tests/relay/xdp_fixtures.h"

namespace sluice::relay::xdp {
namespace {

constexpr uint32_t kCells = 16;

class XdpLoader : public ::testing::Test {
 protected:
  void SetUp() override {
    auto loaded = Program::Load({.cells = kCells, .mirror_bytes = 4096});
    // Without the capabilities, or on a kernel without such programs, there is
    // nothing to test; CI runs as root and has this. Whatever else the loader
    // says is a failure.
    if (CannotRunHere(loaded.status())) GTEST_SKIP() << loaded.status();
    ASSERT_TRUE(loaded.ok()) << loaded.status();
    program_ = *std::move(loaded);
  }

  std::unique_ptr<Program> program_;
};

TEST_F(XdpLoader, BothCompilersLaidTheAbiOutAlike) {
  const auto size = [this](const char* type) {
    const auto found = program_->TypeSize(type);
    EXPECT_TRUE(found.ok()) << found.status();
    return found.ok() ? *found : 0;
  };
  EXPECT_EQ(size("RangeKey"), sizeof(RangeKey));
  EXPECT_EQ(size("Range"), sizeof(Range));
  EXPECT_EQ(size("PortCell"), sizeof(PortCell));
  EXPECT_EQ(size("Rule"), sizeof(Rule));
  EXPECT_EQ(size("Stats"), sizeof(Stats));
  EXPECT_EQ(size("Local"), sizeof(Local));
  EXPECT_EQ(size("Profile"), sizeof(Profile));
  EXPECT_EQ(size("NextHop"), sizeof(NextHop));
#define MEMBER(type, member)                                         \
  do {                                                               \
    const auto offset = program_->MemberOffset(#type, #member);      \
    ASSERT_TRUE(offset.ok()) << offset.status();                     \
    EXPECT_EQ(*offset, offsetof(type, member)) << #type "." #member; \
  } while (false)
  MEMBER(RangeKey, address);
  MEMBER(RangeKey, family);
  MEMBER(Range, base);
  MEMBER(Range, first_port);
  MEMBER(Range, count);
  MEMBER(PortCell, rule);
  MEMBER(PortCell, stats);
  MEMBER(Rule, source);
  MEMBER(Rule, destination);
  MEMBER(Rule, source_port_be);
  MEMBER(Rule, new_source_port_be);
  MEMBER(Rule, new_destination_port_be);
  MEMBER(Rule, local);
  MEMBER(Rule, nexthop);
  MEMBER(Rule, profile);
  MEMBER(Rule, l4_delta);
  MEMBER(Rule, l3_delta);
  MEMBER(Rule, gate);
  MEMBER(Rule, state);
  MEMBER(Rule, tos);
  MEMBER(Rule, flags);
  MEMBER(Rule, gap_ns);
  MEMBER(Rule, burst_ns);
  MEMBER(Rule, cookie);
  MEMBER(Stats, packets);
  MEMBER(Stats, bytes);
  MEMBER(Stats, last_ns);
  MEMBER(Stats, debt_ns);
  MEMBER(Stats, ssrc);
  MEMBER(Stats, ext_seq);
  MEMBER(Stats, expected);
  MEMBER(Stats, received);
  MEMBER(Stats, transit);
  MEMBER(Stats, jitter_q4);
  MEMBER(Stats, after_jump);
  MEMBER(Stats, dropped);
  MEMBER(Stats, late);
  MEMBER(Stats, ssrc_changes);
  MEMBER(Local, address);
  MEMBER(Profile, pass_payload_types);
  MEMBER(Profile, ticks_per_ns_q32);
  MEMBER(Profile, clock_hz);
  MEMBER(NextHop, macs);
  MEMBER(NextHop, ifindex);
  MEMBER(NextHop, mtu);
  MEMBER(NextHop, flags);
#undef MEMBER
}

TEST_F(XdpLoader, RefusesARangeThatIsNone) {
  const IpAddress ip = IpAddress::V4(192, 0, 2, 99);
  for (const absl::Status& status :
       {program_->SetRange(ip, 0, 1, 0), program_->SetRange(ip, 10'000, 0, 0),
        program_->SetRange(ip, 65'535, 2, 0),
        program_->SetRange(ip, 10'000, 1, kCells),
        program_->SetRange(ip, 10'000, kCells, 1)}) {
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
  }
  EXPECT_TRUE(program_->SetRange(ip, 65'535, 1, kCells - 1).ok());
  EXPECT_TRUE(program_->RemoveRange(ip).ok());
  EXPECT_TRUE(absl::IsNotFound(program_->RemoveRange(ip)));
}

TEST_F(XdpLoader, ReadersHaveLeftAfterTheWait) {
  EXPECT_TRUE(Program::WaitForReaders().ok());
}

// Runs `body` in a child with only the capabilities `kept`; its exit status.
int WithCapabilities(uint64_t kept, const std::function<int()>& body) {
  const pid_t child = fork();
  if (child == 0) {
    __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
    __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3]{};
    for (int i = 0; i < _LINUX_CAPABILITY_U32S_3; ++i) {
      data[i].effective = data[i].permitted =
          static_cast<uint32_t>(kept >> 32 * i);
    }
    if (syscall(SYS_capset, &header, data) != 0) _exit(99);
    _exit(body());
  }
  int status = 0;
  EXPECT_EQ(waitpid(child, &status, 0), child);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

constexpr uint64_t Bit(int capability) { return uint64_t{1} << capability; }
constexpr uint64_t kDocumented =
    Bit(CAP_BPF) | Bit(CAP_NET_ADMIN) | Bit(CAP_PERFMON);

TEST_F(XdpLoader, LoadsAndRunsWithExactlyTheDocumentedCapabilities) {
  EXPECT_EQ(WithCapabilities(kDocumented,
                             [] {
                               const auto p = Program::Load({});
                               return p.ok() ? 0 : 1;
                             }),
            0);
}

TEST_F(XdpLoader, NamesTheCapabilityThatIsMissing) {
  const struct {
    int capability;
    const char* name;
  } rows[] = {{CAP_BPF, "CAP_BPF"},
              {CAP_NET_ADMIN, "CAP_NET_ADMIN"},
              {CAP_PERFMON, "CAP_PERFMON"}};
  for (const auto& row : rows) {
    EXPECT_EQ(
        WithCapabilities(kDocumented & ~Bit(row.capability),
                         [&row] {
                           const auto p = Program::Load({});
                           if (!absl::IsPermissionDenied(p.status())) return 1;
                           const std::string said(p.status().message());
                           if (!said.ends_with(std::string(": ") + row.name))
                             return 2;
                           return 0;
                         }),
        0)
        << row.name;
  }
}

}  // namespace
}  // namespace sluice::relay::xdp
