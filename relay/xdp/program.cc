#include "relay/xdp/program.h"

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <linux/bpf.h>
#include <linux/capability.h>
#include <linux/membarrier.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "base/status_macros.h"
#include "relay/xdp/pins.h"
#include "relay/xdp/rule.h"

// Generated from the compiled program; a system header, for it is not held to
// our warnings.
#include <forward.skel.h>

namespace sluice::relay::xdp {
namespace {

// BPF_F_TEST_SKB_CHECKSUM_COMPLETE: newer than the headers.
constexpr uint32_t kTestChecksumComplete = 1u << 2;

// Of the verifier's log, the end: there it says what it did not like.
constexpr size_t kLogTailBytes = 2'000;
constexpr size_t kLogBytes = 1 << 20;

absl::Status FromErrno(int error, const std::string& what) {
  const std::string text = absl::StrCat(what, ": ", std::strerror(error));
  switch (error) {
    case EPERM:
    case EACCES: return absl::PermissionDeniedError(text);
    case ENOSYS:
    case EOPNOTSUPP: return absl::UnimplementedError(text);
    case ENOMEM:
    case E2BIG: return absl::ResourceExhaustedError(text);
    case EINVAL: return absl::InvalidArgumentError(text);
    case ENOENT: return absl::NotFoundError(text);
  }
  return absl::InternalError(text);
}

uint64_t EffectiveCapabilities() {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3]{};
  if (syscall(SYS_capget, &header, data) != 0) return 0;
  return uint64_t{data[1].effective} << 32 | data[0].effective;
}

// libbpf talks to stderr unless told otherwise; what it says reaches the
// operator in the status.
int Silent(libbpf_print_level, const char*, va_list) { return 0; }

template <typename T>
void Store(T* to, T value) noexcept {
  __atomic_store_n(to, value, __ATOMIC_RELAXED);
}
template <typename T>
T Get(const T& from) noexcept {
  return __atomic_load_n(&from, __ATOMIC_RELAXED);
}

}  // namespace

absl::Status CheckCapabilities() {
  const uint64_t effective = EffectiveCapabilities();
  const auto has = [effective](int capability) {
    return (effective >> capability & 1) != 0;
  };
  const bool all_of_old = has(CAP_SYS_ADMIN);
  std::string missing;
  const auto want = [&missing](const char* name) {
    absl::StrAppend(&missing, missing.empty() ? "" : ", ", name);
  };
  if (!has(CAP_BPF) && !all_of_old) want("CAP_BPF");
  if (!has(CAP_NET_ADMIN)) want("CAP_NET_ADMIN");
  // Without it the kernel puts barriers against Spectre into the program: three
  // times the cost of a packet, if the verifier takes it at all.
  if (!has(CAP_PERFMON) && !all_of_old) want("CAP_PERFMON");
  if (missing.empty()) return absl::OkStatus();
  return absl::PermissionDeniedError(absl::StrCat(
      "the XDP program needs capabilities that this process lacks: ", missing));
}

struct Program::Kernel {
  ~Kernel() {
    ring_buffer__free(ring);
    forward__destroy(skeleton);
  }
  static int OnCopy(void* self, void* data, size_t bytes);

  // What a rule needs to go on working.
  std::vector<bpf_map*> Lasting() const {
    const auto& maps = skeleton->maps;
    return {maps.cells,    maps.ranges,   maps.locals,
            maps.profiles, maps.nexthops, maps.tx_ports};
  }

  forward* skeleton = nullptr;
  ring_buffer* ring = nullptr;
  const Visit* visit = nullptr;  // of the DrainMirror under way
};

int Program::Kernel::OnCopy(void* self, void* data, size_t bytes) {
  auto* kernel = static_cast<Kernel*>(self);
  Mirrored head;
  CHECK(bytes >= sizeof(head));
  std::memcpy(&head, data, sizeof(head));
  CHECK(head.captured <= bytes - sizeof(head));
  (*kernel->visit)(
      head, {static_cast<const uint8_t*>(data) + sizeof(head), head.captured});
  return 0;
}

Program::Program() : kernel_(std::make_unique<Kernel>()) {}

Program::~Program() {
  // Whoever is killed leaves them.
  if (!pins_.empty()) UnpinMaps(kernel_->Lasting(), pins_);
  if (mapped_ != nullptr) munmap(mapped_, mapped_bytes_);
}

absl::StatusOr<std::unique_ptr<Program>> Program::Load(const Options& options) {
  RETURN_IF_ERROR(CheckCapabilities());
  libbpf_set_print(Silent);
  std::string log(kLogBytes, '\0');
  bpf_object_open_opts open{};
  open.sz = sizeof(open);
  open.kernel_log_buf = log.data();
  open.kernel_log_size = log.size();

  std::unique_ptr<Program> program(new Program);
  forward*& skeleton = program->kernel_->skeleton;
  skeleton = forward__open_opts(&open);
  if (skeleton == nullptr) {
    return FromErrno(errno, "libbpf does not take the XDP program");
  }
  if (int error = bpf_map__set_max_entries(skeleton->maps.cells, options.cells);
      error != 0) {
    return FromErrno(-error, absl::StrCat("cells: ", options.cells));
  }
  if (int error =
          bpf_map__set_max_entries(skeleton->maps.mirror, options.mirror_bytes);
      error != 0) {
    return FromErrno(-error, absl::StrCat("mirror: ", options.mirror_bytes));
  }
  bool inherited = false;
  if (!options.pins.empty()) {
    ASSIGN_OR_RETURN(inherited,
                     TakeOver(program->kernel_->Lasting(), options.pins));
  }
  if (int error = forward__load(skeleton); error != 0) {
    log.resize(std::strlen(log.c_str()));
    const size_t from =
        log.size() > kLogTailBytes ? log.size() - kLogTailBytes : 0;
    std::string what = "the kernel does not take the XDP program or its maps";
    if (!log.empty()) absl::StrAppend(&what, " (", log.substr(from), ")");
    if (error == -EPERM || error == -EACCES) return FromErrno(-error, what);
    if (libbpf_probe_bpf_map_type(BPF_MAP_TYPE_RINGBUF, nullptr) == 0) {
      return absl::UnimplementedError(
          absl::StrCat("this kernel has no BPF ring buffers (Linux 5.8): ",
                       std::strerror(-error)));
    }
    if (libbpf_probe_bpf_helper(BPF_PROG_TYPE_XDP, BPF_FUNC_xdp_load_bytes,
                                nullptr) == 0) {
      return absl::UnimplementedError(
          absl::StrCat("this kernel has no bpf_xdp_load_bytes (Linux 5.18): ",
                       std::strerror(-error)));
    }
    return FromErrno(-error, what);
  }

  if (!options.pins.empty() && !inherited) {
    RETURN_IF_ERROR(PinMaps(program->kernel_->Lasting(), options.pins));
  }
  program->pins_ = options.pins;
  program->inherited_ = inherited;
  program->cells_ = options.cells;
  const auto page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  program->mapped_bytes_ =
      (options.cells * sizeof(PortCell) + page - 1) / page * page;
  void* mapped = mmap(nullptr, program->mapped_bytes_, PROT_READ | PROT_WRITE,
                      MAP_SHARED, bpf_map__fd(skeleton->maps.cells), 0);
  if (mapped == MAP_FAILED) {
    return FromErrno(errno, "mapping the cells of the XDP program");
  }
  program->mapped_ = static_cast<PortCell*>(mapped);

  program->kernel_->ring =
      ring_buffer__new(bpf_map__fd(skeleton->maps.mirror), Kernel::OnCopy,
                       program->kernel_.get(), nullptr);
  if (program->kernel_->ring == nullptr) {
    return FromErrno(errno, "mapping the ring buffer of the XDP program");
  }
  return program;
}

// --- Tables ------------------------------------------------------------------

namespace {

absl::Status Update(bpf_map* map, uint32_t index, const void* value) {
  if (bpf_map_update_elem(bpf_map__fd(map), &index, value, BPF_ANY) == 0) {
    return absl::OkStatus();
  }
  return FromErrno(
      errno, absl::StrCat("writing ", bpf_map__name(map), "[", index, "]"));
}

RangeKey KeyOf(const IpAddress& ip) {
  const AbiAddress address = ToAbi(ip);
  RangeKey key{};
  std::memcpy(key.address, address.words, sizeof(key.address));
  key.family = address.family;
  return key;
}

}  // namespace

absl::Status Program::SetRange(const IpAddress& local, uint16_t first_port,
                               uint16_t count, uint32_t base) {
  if (first_port == 0 || count == 0 || 65'536 - first_port < count ||
      base > cells_ || cells_ - base < count) {
    return absl::InvalidArgumentError(
        absl::StrCat("no range: ", count, " ports from ", first_port,
                     " on in cells from ", base, " on, of ", cells_));
  }
  const RangeKey key = KeyOf(local);
  const Range range{.base = base, .first_port = first_port, .count = count};
  if (bpf_map_update_elem(bpf_map__fd(kernel_->skeleton->maps.ranges), &key,
                          &range, BPF_ANY) != 0) {
    return FromErrno(errno, absl::StrCat("the range of ", local.ToString()));
  }
  return absl::OkStatus();
}

absl::Status Program::RemoveRange(const IpAddress& local) {
  const RangeKey key = KeyOf(local);
  if (bpf_map_delete_elem(bpf_map__fd(kernel_->skeleton->maps.ranges), &key) !=
      0) {
    return FromErrno(errno, absl::StrCat("the range of ", local.ToString()));
  }
  return absl::OkStatus();
}

absl::Status Program::SetLocal(uint16_t index, const IpAddress& ip) {
  const AbiAddress address = ToAbi(ip);
  Local local{};
  std::memcpy(local.address, address.words, sizeof(local.address));
  return Update(kernel_->skeleton->maps.locals, index, &local);
}

absl::Status Program::SetProfile(uint16_t index, const Profile& profile) {
  return Update(kernel_->skeleton->maps.profiles, index, &profile);
}

absl::Status Program::SetNextHop(uint16_t index, const NextHop& hop) {
  bpf_map* const hops = kernel_->skeleton->maps.nexthops;
  bpf_map* const ports = kernel_->skeleton->maps.tx_ports;
  const uint32_t key = index;
  if (hop.ifindex == 0) {
    RETURN_IF_ERROR(Update(hops, index, &hop));
    if (bpf_map_delete_elem(bpf_map__fd(ports), &key) != 0 && errno != ENOENT) {
      return FromErrno(errno, absl::StrCat("clearing tx_ports[", index, "]"));
    }
    return absl::OkStatus();
  }
  RETURN_IF_ERROR(Update(ports, index, &hop.ifindex));
  NextHop written = hop;
  written.ifindex = 0;
  RETURN_IF_ERROR(Update(hops, index, &written));
  return Update(hops, index, &hop);
}

absl::Status Program::ForgetUnless(const std::vector<NamedRange>& ranges) {
  const int map = bpf_map__fd(kernel_->skeleton->maps.ranges);
  std::vector<RangeKey> keys;
  std::vector<NamedRange> there, wanted = ranges;
  RangeKey key{};
  for (const RangeKey* at = nullptr;
       bpf_map_get_next_key(map, at, &key) == 0;) {
    Range range{};
    if (bpf_map_lookup_elem(map, &key, &range) != 0) {
      return FromErrno(errno, "reading the ranges");
    }
    there.push_back({.local = FromAbi(key.address),
                     .first_port = range.first_port,
                     .count = range.count,
                     .base = range.base});
    keys.push_back(key);
    at = &keys.back();
  }
  std::sort(there.begin(), there.end());
  std::sort(wanted.begin(), wanted.end());
  if (there == wanted) return absl::OkStatus();
  inherited_ = false;
  for (const RangeKey& old : keys) {
    if (bpf_map_delete_elem(map, &old) != 0) {
      return FromErrno(errno, "removing a range");
    }
  }
  for (uint32_t cell = 0; cell < cells_; ++cell) Retire(cell);
  return WaitForReaders();
}

Rule Program::ReadRule(uint32_t cell) const noexcept {
  CHECK(cell < cells_);
  return mapped_[cell].rule;
}

std::optional<NextHop> Program::ReadNextHop(uint16_t index) const {
  const uint32_t key = index;
  NextHop hop{};
  if (bpf_map_lookup_elem(bpf_map__fd(kernel_->skeleton->maps.nexthops), &key,
                          &hop) != 0) {
    return std::nullopt;
  }
  return hop;
}

std::optional<IpAddress> Program::ReadLocal(uint16_t index) const {
  const uint32_t key = index;
  Local local{};
  if (bpf_map_lookup_elem(bpf_map__fd(kernel_->skeleton->maps.locals), &key,
                          &local) != 0) {
    return std::nullopt;
  }
  return FromAbi(local.address);
}

// --- Rules -------------------------------------------------------------------

void Program::Retire(uint32_t cell) noexcept {
  CHECK(cell < cells_);
  Store(&mapped_[cell].rule.state, uint8_t{kRuleOff});
}

absl::Status Program::WaitForReaders() {
  if (syscall(SYS_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0) == 0) {
    return absl::OkStatus();
  }
  return FromErrno(errno, "membarrier");
}

void Program::Install(uint32_t cell, const Rule& rule) noexcept {
  Write(cell, rule, kRuleInForce);
}

void Program::Join(uint32_t cell, const Rule& rule) noexcept {
  Write(cell, rule, kRuleJoining);
}

void Program::Write(uint32_t cell, const Rule& rule, RuleState state) noexcept {
  CHECK(cell < cells_);
  PortCell& place = mapped_[cell];
  CHECK(Get(place.rule.state) == kRuleOff);
  Rule written = rule;
  written.state = kRuleOff;
  place.rule = written;
  place.stats = Stats{};
  __atomic_store_n(&place.rule.state, static_cast<uint8_t>(state),
                   __ATOMIC_RELEASE);
}

void Program::SetGate(uint32_t cell, uint16_t sequence) noexcept {
  CHECK(cell < cells_);
  Rule& rule = mapped_[cell].rule;
  CHECK(Get(rule.state) == kRuleJoining || Get(rule.state) == kRuleGated);
  Store(&rule.gate, sequence);
  __atomic_store_n(&rule.state, uint8_t{kRuleGated}, __ATOMIC_RELEASE);
}

void Program::SetMirror(uint32_t cell, bool on) noexcept {
  CHECK(cell < cells_);
  Rule& rule = mapped_[cell].rule;
  CHECK(Get(rule.state) != kRuleOff);
  // The program only reads them, once a packet.
  const uint16_t others = Get(rule.flags) & static_cast<uint16_t>(~kRuleMirror);
  Store(&rule.flags,
        static_cast<uint16_t>(others | (on ? uint16_t{kRuleMirror} : 0)));
}

bool Program::Joined(uint32_t cell) const noexcept {
  CHECK(cell < cells_);
  return Get(mapped_[cell].stats.packets) != 0;
}

Stats Program::ReadStats(uint32_t cell) const noexcept {
  CHECK(cell < cells_);
  const Stats& from = mapped_[cell].stats;
  Stats to;
  to.packets = Get(from.packets);
  to.bytes = Get(from.bytes);
  to.last_ns = Get(from.last_ns);
  to.debt_ns = Get(from.debt_ns);
  to.ssrc = Get(from.ssrc);
  to.ext_seq = Get(from.ext_seq);
  to.expected = Get(from.expected);
  to.received = Get(from.received);
  to.transit = Get(from.transit);
  to.jitter_q4 = Get(from.jitter_q4);
  to.after_jump = Get(from.after_jump);
  to.dropped = Get(from.dropped);
  to.late = Get(from.late);
  to.ssrc_changes = Get(from.ssrc_changes);
  return to;
}

// --- What was seen -----------------------------------------------------------

absl::StatusOr<Program::CounterArray> Program::Counters() const {
  const int cpus = libbpf_num_possible_cpus();
  if (cpus <= 0) return FromErrno(-cpus, "counting the CPUs");
  std::vector<uint64_t> each(static_cast<size_t>(cpus));
  CounterArray sums{};
  for (uint32_t i = 0; i < kCounters; ++i) {
    if (bpf_map_lookup_elem(bpf_map__fd(kernel_->skeleton->maps.counters), &i,
                            each.data()) != 0) {
      return FromErrno(errno, absl::StrCat("reading counters[", i, "]"));
    }
    for (uint64_t count : each) sums[i] += count;
  }
  return sums;
}

absl::StatusOr<int> Program::DrainMirror(const Visit& visit) {
  kernel_->visit = &visit;
  const int seen = ring_buffer__consume(kernel_->ring);
  kernel_->visit = nullptr;
  if (seen < 0) return FromErrno(-seen, "reading the mirror");
  return seen;
}

uint64_t Program::MirrorLost() const {
  const auto counters = Counters();
  return counters.ok() ? (*counters)[k_event_mirror_lost] : 0;
}

int Program::ProgramDescriptor(Hook hook) const {
  return bpf_program__fd(hook == Hook::kXdp
                             ? kernel_->skeleton->progs.forward_xdp
                             : kernel_->skeleton->progs.forward_tc);
}

// --- For tests and benchmarks ------------------------------------------------

absl::StatusOr<Program::Run> Program::TestRun(Hook hook,
                                              std::span<const uint8_t> frame,
                                              const RunOptions& options) const {
  // A longer header, at most.
  constexpr size_t kGrowth = 64;
  Run run;
  run.frame.resize(frame.size() + kGrowth);
  __sk_buff skb{};
  skb.gso_size = options.gso_bytes;
  bpf_test_run_opts test{};
  test.sz = sizeof(test);
  test.data_in = frame.data();
  test.data_size_in = static_cast<uint32_t>(frame.size());
  test.data_out = run.frame.data();
  test.data_size_out = static_cast<uint32_t>(run.frame.size());
  test.repeat = options.repeat;
  if (hook == Hook::kTc) {
    if (options.gso_bytes != 0) {
      test.ctx_in = &skb;
      test.ctx_size_in = sizeof(skb);
    }
    if (options.complete_checksum) test.flags = kTestChecksumComplete;
  }
  const bpf_program* program = hook == Hook::kXdp
                                   ? kernel_->skeleton->progs.forward_xdp
                                   : kernel_->skeleton->progs.forward_tc;
  if (bpf_prog_test_run_opts(bpf_program__fd(program), &test) != 0) {
    return FromErrno(errno, "BPF_PROG_TEST_RUN");
  }
  run.action = static_cast<int>(test.retval);
  run.frame.resize(test.data_size_out);
  run.duration_ns = test.duration;
  return run;
}

int Program::MapDescriptor(const char* name) const {
  return bpf_object__find_map_fd_by_name(kernel_->skeleton->obj, name);
}

absl::StatusOr<uint32_t> Program::TypeSize(const char* type) const {
  const btf* types = bpf_object__btf(kernel_->skeleton->obj);
  const int id = btf__find_by_name_kind(types, type, BTF_KIND_STRUCT);
  if (id < 0) return absl::NotFoundError(absl::StrCat("no struct ", type));
  return static_cast<uint32_t>(
      btf__resolve_size(types, static_cast<uint32_t>(id)));
}

absl::StatusOr<uint32_t> Program::MemberOffset(const char* type,
                                               const char* member) const {
  const btf* types = bpf_object__btf(kernel_->skeleton->obj);
  const int id = btf__find_by_name_kind(types, type, BTF_KIND_STRUCT);
  if (id < 0) return absl::NotFoundError(absl::StrCat("no struct ", type));
  const btf_type* found = btf__type_by_id(types, static_cast<uint32_t>(id));
  const btf_member* members = btf_members(found);
  for (uint32_t i = 0; i < btf_vlen(found); ++i) {
    if (std::strcmp(btf__name_by_offset(types, members[i].name_off), member) ==
        0) {
      return btf_member_bit_offset(found, i) / 8;
    }
  }
  return absl::NotFoundError(absl::StrCat("no ", type, ".", member));
}

}  // namespace sluice::relay::xdp
