// What the forwarding program of relay/xdp costs: of a packet, and of keeping
// its rules and reading its books.
//
// A packet: the kernel's own clock around repeated runs of the real program
// (BPF_PROG_TEST_RUN), with checksum, RTP statistics and all. Such a run starts
// each time with the frame as the run before left it, so the rules are made a
// ring in random order: what leaves flow i is exactly what flow i + 1 awaits.
//
//   frame --> flow 17 --> flow 4 --> flow 93 --> ... kHops of them, then the
//                                                next frame takes over there
//
// So each packet is of another flow and each flow is met once a round, in no
// order. Its RTP is in order.
//
// BM_Random4 does without: another program writes each packet into the frame,
// of a flow picked by chance, and calls the real one (bench/xdp/drive.bpf.c),
// two million times in one run. What the writing and calling cost alone is
// measured beside it and subtracted. That is a busy relay, with code and cells
// as warm as so many flows leave them.
//
// Between two runs the kernel waits for its readers, some 10 ms in which others
// have the CPU and its caches: every 250 packets begin cold, cells and code.
// The figures are a ceiling of what a busy relay pays, and farthest above it
// where all flows would have stayed in the caches (1 and 1,000). BM_NotIp is
// the kernel's loop, the program's first test and one counter. Receiving and
// sending on a device cost extra.
//
// The kernel's clock goes on while others have the CPU, so `ns/packet` is the
// median of the runs and `best` the least; the time beside them is the mean of
// a run.

#include <algorithm>
#include <cstdint>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "bench/xdp/driver.h"
#include "benchmark/benchmark.h"
#include "relay/xdp/program.h"
#include "relay/xdp/rule.h"
#include "tests/relay/xdp_packet.h"

namespace sluice::relay::xdp {
namespace {

constexpr uint32_t kFlowsMax = 100'000;
constexpr uint16_t kPortsEach = 50'000;  // of an address
constexpr uint16_t kFirstPort = 10'000;
// A packet loses one at each.
constexpr uint32_t kHops = 250;
// The kernel waits for its readers before and after each run, some 10 ms.
constexpr int kRuns = 40;
constexpr uint32_t kLoopback = 1;

// The second party of every flow, and our address towards it: the same, for
// what leaves is what comes.
Endpoint Party(bool v6) {
  return *Endpoint::Parse(v6 ? "[2001:db8:1::5]:5004" : "192.0.2.5:5004");
}
Endpoint Ours(bool v6, uint32_t flow) {
  const Port port =
      Port::FromHost(static_cast<uint16_t>(kFirstPort + flow % kPortsEach));
  const auto low = static_cast<uint8_t>(1 + flow / kPortsEach);
  if (!v6) return {IpAddress::V4(198, 51, 100, low), port};
  uint8_t octets[16] = {0x20, 0x01, 0x0d, 0xb8};
  octets[15] = low;
  return {IpAddress::FromOctets(octets), port};
}

struct Bench {
  std::unique_ptr<Program> program{};
  std::vector<uint32_t> ring{};  // the flow after flow i
  std::string error{};

  RuleSpec Spec(bool v6, uint32_t flow) const {
    return {.from = Party(v6),
            .at = Ours(v6, flow),
            .out = Party(v6),
            .to = Ours(v6, ring[flow]),
            .local = static_cast<uint16_t>(v6)};
  }
};

absl::Status Load(Bench* bench) {
  auto program = Program::Load({.cells = kFlowsMax});
  if (!program.ok()) return program.status();
  bench->program = *std::move(program);
  Program& p = *bench->program;
  NextHop hop{};
  hop.ifindex = kLoopback;
  hop.mtu = 1500;
  for (absl::Status status :
       {p.SetProfile(0, MakeProfile(8000)), p.SetNextHop(0, hop),
        p.SetLocal(0, Party(false).ip), p.SetLocal(1, Party(true).ip)}) {
    if (!status.ok()) return status;
  }
  for (bool v6 : {false, true}) {
    for (uint32_t flow = 0; flow < kFlowsMax; flow += kPortsEach) {
      absl::Status status =
          p.SetRange(Ours(v6, flow).ip, kFirstPort, kPortsEach, flow);
      if (!status.ok()) return status;
    }
  }
  return absl::OkStatus();
}

// nullptr when the kernel or our rights do not allow it: `state` says why.
Bench* Start(benchmark::State& state) {
  static Bench* const bench = [] {
    auto* made = new Bench;
    if (absl::Status status = Load(made); !status.ok()) {
      made->error = status.ToString();
    }
    return made;
  }();
  if (bench->error.empty()) return bench;
  state.SkipWithError(bench->error.c_str());
  return nullptr;
}

// One ring through `flows` flows; where each is in it does not matter.
void MakeRing(Bench* bench, uint32_t flows) {
  std::vector<uint32_t> order(flows);
  for (uint32_t i = 0; i < flows; ++i) order[i] = i;
  std::shuffle(order.begin(), order.end(), std::mt19937_64(1));
  bench->ring.assign(flows, 0);
  for (uint32_t i = 0; i < flows; ++i) {
    bench->ring[order[i]] = order[(i + 1) % flows];
  }
}

absl::Status InstallAll(Bench* bench, bool v6, uint32_t flows) {
  for (uint32_t flow = 0; flow < flows; ++flow) {
    const auto rule = MakeRule(bench->Spec(v6, flow));
    if (!rule.ok()) return rule.status();
    bench->program->Retire(flow);
    bench->program->Install(flow, *rule);
  }
  return absl::OkStatus();
}

// Of one packet, by runs.
class Costs {
 public:
  void Add(benchmark::State& state, uint32_t packet_ns, int packets) {
    each_.push_back(packet_ns);
    packets_ += packets;
    state.SetIterationTime(packet_ns * 1e-9 * packets);
  }
  void Tell(benchmark::State& state) {
    if (each_.empty()) return;
    std::sort(each_.begin(), each_.end());
    state.SetItemsProcessed(packets_);
    state.counters["ns/packet"] = each_[each_.size() / 2];
    state.counters["best"] = each_.front();
  }

 private:
  std::vector<uint32_t> each_{};
  int64_t packets_ = 0;
};

void Forward(benchmark::State& state, bool v6) {
  Bench* const bench = Start(state);
  if (bench == nullptr) return;
  const auto flows = static_cast<uint32_t>(state.range(0));
  MakeRing(bench, flows);
  if (absl::Status status = InstallAll(bench, v6, flows); !status.ok()) {
    return state.SkipWithError(status.ToString().c_str());
  }
  RtpPacket rtp{.sequence = 0};
  uint32_t flow = 0;
  uint64_t hops = 0;
  Costs costs;
  const Program::RunOptions options{.repeat = kHops};
  for (auto _ : state) {
    // As many hops as there are flows are a round: 20 ms of everybody.
    const uint64_t round = hops / flows;
    rtp.sequence = static_cast<uint16_t>(round);
    rtp.timestamp = static_cast<uint32_t>(round * 160);
    const Packet packet{.from = Party(v6),
                        .to = Ours(v6, flow),
                        .ttl = 255,
                        .payload = rtp.Bytes()};
    const auto run =
        bench->program->TestRun(Program::Hook::kXdp, packet.Bytes(), options);
    if (!run.ok()) {
      return state.SkipWithError(run.status().ToString().c_str());
    }
    costs.Add(state, run->duration_ns, options.repeat);
    hops += kHops;
    for (uint32_t i = 0; i < kHops; ++i) flow = bench->ring[flow];
  }
  // What did not get as far as the books would be cheap.
  uint64_t booked = 0;
  for (uint32_t i = 0; i < flows; ++i) {
    booked += bench->program->ReadStats(i).packets;
  }
  if (booked != hops) return state.SkipWithError("not every packet was sent");
  costs.Tell(state);
}

// --- Another flow by chance each time ----------------------------------------

constexpr int kRandomRuns = 5;
constexpr int kRandomPackets = 2'000'000;

void BM_Random4(benchmark::State& state) {
  Bench* const bench = Start(state);
  if (bench == nullptr) return;
  const auto flows = static_cast<uint32_t>(state.range(0));
  MakeRing(bench, flows);
  if (absl::Status status = InstallAll(bench, false, flows); !status.ok()) {
    return state.SkipWithError(status.ToString().c_str());
  }
  const Frame first = Packet{.from = Party(false),
                             .to = Ours(false, 0),
                             .payload = RtpPacket().Bytes()}
                          .Bytes();
  const auto driver = Driver::Load({.first = first,
                                    .count = flows,
                                    .first_port = kFirstPort,
                                    .ports_each = kPortsEach});
  if (!driver.ok()) {
    return state.SkipWithError(driver.status().ToString().c_str());
  }
  const int forward = bench->program->ProgramDescriptor(Program::Hook::kXdp);
  Costs costs;
  uint64_t runs = 0;
  std::vector<uint32_t> made;
  for (auto _ : state) {
    const auto without = (*driver)->Drive((*driver)->Nothing(), kRandomPackets);
    if (!without.ok()) {
      return state.SkipWithError(without.status().ToString().c_str());
    }
    const auto with = (*driver)->Drive(forward, kRandomPackets);
    if (!with.ok()) {
      return state.SkipWithError(with.status().ToString().c_str());
    }
    const uint32_t less = std::min(with->packet_ns, without->packet_ns);
    costs.Add(state, with->packet_ns - less, kRandomPackets);
    made.push_back(without->packet_ns);
    ++runs;
  }
  uint64_t booked = 0;
  for (uint32_t i = 0; i < flows; ++i) {
    booked += bench->program->ReadStats(i).packets;
  }
  if (booked != runs * kRandomPackets) {
    return state.SkipWithError("not every packet was sent");
  }
  costs.Tell(state);
  std::sort(made.begin(), made.end());
  state.counters["subtracted"] = made[made.size() / 2];
}
BENCHMARK(BM_Random4)
    ->Arg(1)
    ->Arg(1'000)
    ->Arg(100'000)
    ->Iterations(kRandomRuns)
    ->UseManualTime();

// --- In a ring ---------------------------------------------------------------

void BM_Forward4(benchmark::State& state) { Forward(state, false); }
BENCHMARK(BM_Forward4)
    ->Arg(1)
    ->Arg(1'000)
    ->Arg(100'000)
    ->Iterations(kRuns)
    ->UseManualTime();
void BM_Forward6(benchmark::State& state) { Forward(state, true); }
BENCHMARK(BM_Forward6)
    ->Arg(1)
    ->Arg(1'000)
    ->Arg(100'000)
    ->Iterations(kRuns)
    ->UseManualTime();

// Frames that are not ours, over and over: the kernel's loop and what the
// program costs everybody else on the machine.
void NotOurs(benchmark::State& state, const Frame& frame) {
  Bench* const bench = Start(state);
  if (bench == nullptr) return;
  const Program::RunOptions options{.repeat = 10'000};
  Costs costs;
  for (auto _ : state) {
    const auto run =
        bench->program->TestRun(Program::Hook::kXdp, frame, options);
    if (!run.ok()) {
      return state.SkipWithError(run.status().ToString().c_str());
    }
    costs.Add(state, run->duration_ns, options.repeat);
  }
  costs.Tell(state);
}
void BM_NotIp(benchmark::State& state) {
  Frame frame = Packet{.from = Party(false), .to = Ours(false, 0)}.Bytes();
  Packet::Set16(frame, 12, 0x0806);
  NotOurs(state, frame);
}
BENCHMARK(BM_NotIp)->Iterations(kRuns)->UseManualTime();
void BM_OtherAddress(benchmark::State& state) {
  NotOurs(state, Packet{.from = Ours(false, 0), .to = Party(false)}.Bytes());
}
BENCHMARK(BM_OtherAddress)->Iterations(kRuns)->UseManualTime();

// --- Rules and books: times are of one rule ----------------------------------

void BM_MakeAndInstall(benchmark::State& state) {
  Bench* const bench = Start(state);
  if (bench == nullptr) return;
  MakeRing(bench, kFlowsMax);
  for (auto _ : state) {
    if (absl::Status status = InstallAll(bench, false, kFlowsMax);
        !status.ok()) {
      return state.SkipWithError(status.ToString().c_str());
    }
  }
  state.SetItemsProcessed(state.iterations() * kFlowsMax);
}
BENCHMARK(BM_MakeAndInstall)->Unit(benchmark::kMillisecond);

void BM_Install(benchmark::State& state) {
  Bench* const bench = Start(state);
  if (bench == nullptr) return;
  MakeRing(bench, kFlowsMax);
  const auto rule = MakeRule(bench->Spec(false, 0));
  if (!rule.ok()) {
    return state.SkipWithError(rule.status().ToString().c_str());
  }
  for (auto _ : state) {
    for (uint32_t flow = 0; flow < kFlowsMax; ++flow) {
      bench->program->Retire(flow);
      bench->program->Install(flow, *rule);
    }
  }
  state.SetItemsProcessed(state.iterations() * kFlowsMax);
}
BENCHMARK(BM_Install)->Unit(benchmark::kMillisecond);

void BM_ReadAllStats(benchmark::State& state) {
  Bench* const bench = Start(state);
  if (bench == nullptr) return;
  for (auto _ : state) {
    uint64_t packets = 0;
    for (uint32_t flow = 0; flow < kFlowsMax; ++flow) {
      const Stats stats = bench->program->ReadStats(flow);
      packets += stats.packets + stats.jitter_q4 + stats.expected + stats.late;
    }
    benchmark::DoNotOptimize(packets);
  }
  state.SetItemsProcessed(state.iterations() * kFlowsMax);
}
BENCHMARK(BM_ReadAllStats)->Unit(benchmark::kMillisecond);

// Between Retire and Install, for any number of rules.
void BM_WaitForReaders(benchmark::State& state) {
  for (auto _ : state) {
    if (absl::Status status = Program::WaitForReaders(); !status.ok()) {
      return state.SkipWithError(status.ToString().c_str());
    }
  }
}
BENCHMARK(BM_WaitForReaders)->Unit(benchmark::kMillisecond)->UseRealTime();

}  // namespace
}  // namespace sluice::relay::xdp
