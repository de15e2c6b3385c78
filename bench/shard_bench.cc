// A turn of the shard on an engine that costs nothing: what our shell adds to
// the decision (tables, books, laws), and the ceiling of what one core could
// relay if the kernel were free.
//
//   BM_ShardTurn/N   N packets a turn, each on another of 256 flows.
#include <benchmark/benchmark.h>

#include <memory>
#include <vector>

#include "relay/shard.h"
#include "tests/fakes/packets.h"

namespace sluice::relay {
namespace {

constexpr uint32_t kFlowCount = 256;

// Receives the same datagrams every turn, swallows what is sent.
class NullEngine {
 public:
  explicit NullEngine(uint32_t per_turn) : per_turn_(per_turn) {
    for (uint32_t i = 0; i < kFlowCount; ++i) packets_.push_back(Rtp(0));
  }
  void Adopt(uint32_t, int) noexcept {}
  bool ArmReceive(net::OpTag tag) noexcept {
    if (tag.socket % 2 == 0) tags_.push_back(tag);
    return true;
  }
  bool CancelReceive(net::OpTag) noexcept { return true; }
  bool Send(net::OpTag tag, uint32_t length, const net::SendAddress&) noexcept {
    sends_.push_back({.tag = tag, .result = static_cast<int32_t>(length)});
    return true;
  }
  void Recycle(uint16_t) noexcept { ++recycled_; }
  Micros SubmitAndWait(Micros) noexcept {
    return now_ = now_ + Micros::Millis(20);
  }
  template <typename Visit>
  void ForEachCompletion(Visit&& visit) noexcept {
    done_.swap(sends_);
    for (const auto& c : done_) visit(c);
    done_.clear();
    if (tags_.empty()) return;
    for (uint32_t i = 0; i < per_turn_; ++i) {
      const auto k = next_++ % tags_.size();
      Bytes& packet = packets_[k];
      if (++packet[3] == 0) ++packet[2];
      net::Completion c{.tag = tags_[k],
                        .result = 172,
                        .more = true,
                        .has_buffer = true,
                        .source = source_,
                        .payload = packet};
      c.tag.buffer = static_cast<uint16_t>(i);
      visit(c);
    }
  }
  uint64_t overflows() const noexcept { return 0; }
  void Close(uint32_t) noexcept {}
  uint32_t buffers_total() const noexcept { return 4096; }

 private:
  const Endpoint source_ = At("192.0.2.1:4000");
  uint32_t per_turn_;
  size_t next_ = 0;
  uint64_t recycled_ = 0;
  Micros now_ = Micros::Seconds(1);
  std::vector<Bytes> packets_;
  std::vector<net::OpTag> tags_;
  std::vector<net::Completion> sends_, done_;
};

void BM_ShardTurn(benchmark::State& state) {
  const auto per_turn = static_cast<uint32_t>(state.range(0));
  NullEngine engine(per_turn);
  FlowTable flows(kFlowCount);
  ShardCounters counters;
  auto commands = std::make_unique<CommandQueue>();
  auto events = std::make_unique<EventQueue>();
  Shard<NullEngine> shard(engine, {.sockets = 2 * kFlowCount}, flows, counters,
                          *commands, *events);
  for (uint32_t i = 0; i < kFlowCount; ++i) {
    Command flow{.kind = Command::Kind::kOpenFlow, .slot = {i, 1}};
    for (uint32_t s : {0u, 1u}) {
      Command socket{
          .kind = Command::Kind::kOpenSocket, .fd = 3, .slot = {2 * i + s, 1}};
      socket.target[0].target = At("127.0.0.1:1");
      commands->TryPush(socket);
      flow.socket[s] = socket.slot;
    }
    flow.target[0].target = At("192.0.2.1:4000");
    flow.target[1].target = At("192.0.2.2:6000");
    commands->TryPush(flow);
  }
  for (int turn = 0; turn < 8; ++turn) shard.RunOnce(Micros());
  const uint64_t before = counters.packets_out.Get();
  for (auto _ : state) shard.RunOnce(Micros());
  if (counters.DropsTotal() != 0) state.SkipWithError("a packet was dropped");
  state.SetItemsProcessed(
      static_cast<int64_t>(counters.packets_out.Get() - before));
}
BENCHMARK(BM_ShardTurn)->Arg(1)->Arg(64)->Arg(1024);

}  // namespace
}  // namespace sluice::relay
