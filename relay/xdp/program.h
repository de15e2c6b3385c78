#ifndef SLUICE_RELAY_XDP_PROGRAM_H_
#define SLUICE_RELAY_XDP_PROGRAM_H_

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/address.h"
#include "relay/xdp/abi.h"
#include "relay/xdp/rule_table.h"

namespace sluice::relay::xdp {

struct NamedVerdict {
  const char* name;
  const char* help;
};
// By Verdict, and the events behind them.
inline constexpr std::array<NamedVerdict, kCounters> kVerdictNames = {{
#define PASS(name, help) {"pass_" #name, help},
#define DROP(name, help) {"drop_" #name, help},
#define SEND(name, help) {"send_" #name, help},
#define EVENT(name, help) {"event_" #name, help},
#include "relay/xdp/verdicts.def"
#undef PASS
#undef DROP
#undef SEND
#undef EVENT
}};

// The first EVENT: below it, each packet is counted once.
inline constexpr int kWaysOut = 0
#define PASS(name, help) +1
#define DROP(name, help) +1
#define SEND(name, help) +1
#define EVENT(name, help)
#include "relay/xdp/verdicts.def"
#undef PASS
#undef DROP
#undef SEND
#undef EVENT
    ;

// What this process lacks to load the program. PermissionDenied names the
// capabilities. Only what can be known before trying.
absl::Status CheckCapabilities();

// A range as SetRange takes it.
struct NamedRange {
  IpAddress local{};
  uint16_t first_port = 0, count = 0;
  uint32_t base = 0;
  friend auto operator<=>(const NamedRange&, const NamedRange&) = default;
};

// The forwarding program in the kernel, and its maps. Attached to nothing.
//
// Threads: one owner, but that ReadStats and Counters may be called by anybody.
// Retire, Install and ReadStats are loads and stores in mapped memory.
class Program final : public RuleTable {
 public:
  struct Options {
    uint32_t cells = 65'536;             // ports, over all ranges
    uint32_t mirror_bytes = 256 * 1024;  // a power of two, whole pages
    // A folder in a BPF file system where the tables outlive the process if it
    // is killed; "": they do not. What an earlier process left there is taken
    // over when it has the same shape.
    std::string pins{};
  };
  enum class Hook { kXdp, kTc };
  using CounterArray = std::array<uint64_t, kCounters>;

  // PermissionDenied names the missing capabilities (CAP_BPF, CAP_NET_ADMIN,
  // CAP_PERFMON), Unimplemented what the kernel is without; anything else has
  // the verifier's last words.
  static absl::StatusOr<std::unique_ptr<Program>> Load(const Options& options);
  // Whether the tables are an earlier process's, with rules in force.
  bool inherited() const { return inherited_; }
  ~Program() override;
  Program(const Program&) = delete;
  Program& operator=(const Program&) = delete;

  // --- Tables and rules (RuleTable) ------------------------------------------

  absl::Status SetRange(const IpAddress& local, uint16_t first_port,
                        uint16_t count, uint32_t base) override;
  absl::Status RemoveRange(const IpAddress& local);
  absl::Status SetLocal(uint16_t index, const IpAddress& ip) override;
  absl::Status SetProfile(uint16_t index, const Profile& profile) override;
  absl::Status SetNextHop(uint16_t index, const NextHop& hop) override;

  // Retires all rules of an earlier process unless its ranges were these, by
  // local address, family, base, first port and count; then none is left.
  absl::Status ForgetUnless(const std::vector<NamedRange>& ranges);
  Rule ReadRule(uint32_t cell) const noexcept override;
  std::optional<NextHop> ReadNextHop(uint16_t index) const override;
  std::optional<IpAddress> ReadLocal(uint16_t index) const override;

  void Retire(uint32_t cell) noexcept override;
  void Join(uint32_t cell, const Rule& rule) noexcept override;
  void SetGate(uint32_t cell, uint16_t sequence) noexcept override;
  void SetMirror(uint32_t cell, bool on) noexcept override;
  bool Joined(uint32_t cell) const noexcept override;
  Stats ReadStats(uint32_t cell) const noexcept override;
  uint32_t cells() const override { return cells_; }
  // As Join, but in force at once: no socket has the flow's packets.
  void Install(uint32_t cell, const Rule& rule) noexcept;
  // Until every packet that could have seen a rule before its Retire is gone:
  // some milliseconds, one for any number of rules. Not for an event loop.
  static absl::Status WaitForReaders();

  // --- What was seen ---------------------------------------------------------

  // By Verdict, over all CPUs.
  absl::StatusOr<CounterArray> Counters() const;
  // (RuleTable)
  absl::StatusOr<int> DrainMirror(const Visit& visit) override;
  uint64_t MirrorLost() const override;

  // Of the program for a hook, for who attaches it. This object's.
  int ProgramDescriptor(Hook hook) const;

  // --- For tests and benchmarks ----------------------------------------------

  struct Run {
    int action = 0;  // XDP_* or TC_ACT_*
    std::vector<uint8_t> frame{};
    uint32_t duration_ns = 0;  // the mean of one
  };
  struct RunOptions {
    int repeat = 1;
    uint32_t gso_bytes = 0;  // kTc only: as if merged by GRO
    // kTc only: the kernel sums the frame, and afterwards holds its sum against
    // the frame's.
    bool complete_checksum = false;
  };
  // One frame through the program (BPF_PROG_TEST_RUN), as if it came in by the
  // loopback device.
  absl::StatusOr<Run> TestRun(Hook hook, std::span<const uint8_t> frame,
                              const RunOptions& options) const;
  absl::StatusOr<Run> TestRun(Hook hook, std::span<const uint8_t> frame) const {
    return TestRun(hook, frame, RunOptions());
  }
  // A map of the program by its name in the source; -1: none such.
  int MapDescriptor(const char* name) const;
  // Size of a type of the program as its compiler laid it out, and the octet
  // where a member begins. NotFound: it has no such type or member.
  absl::StatusOr<uint32_t> TypeSize(const char* type) const;
  absl::StatusOr<uint32_t> MemberOffset(const char* type,
                                        const char* member) const;

 private:
  struct Kernel;
  Program();
  void Write(uint32_t cell, const Rule& rule, RuleState state) noexcept;

  std::unique_ptr<Kernel> kernel_;
  PortCell* mapped_ = nullptr;
  size_t mapped_bytes_ = 0;
  uint32_t cells_ = 0;
  std::string pins_{};
  bool inherited_ = false;
};

}  // namespace sluice::relay::xdp

#endif  // SLUICE_RELAY_XDP_PROGRAM_H_
