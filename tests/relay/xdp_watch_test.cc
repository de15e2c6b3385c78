// Goal: the rules of a watched flow mirror, those that are in force and those
// that are written while it is watched, and no others; copies of both paths
// come out as packets that begin with their IP header.
// Method: the offload's scene, with a table and a plane in between that note
// what they are asked for.

#include <gtest/gtest.h>
#include <time.h>

#include <cstdlib>
#include <deque>
#include <string>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "tests/relay/xdp_offload_scene.h"

namespace sluice::relay::xdp {
namespace {

class MirrorTable final : public RuleTable {
 public:
  explicit MirrorTable(FakeRuleTable& table) : table_(table) {}

  std::vector<std::pair<uint32_t, bool>> set{};  // every SetMirror
  std::deque<std::pair<Mirrored, std::vector<uint8_t>>> mirror{};
  uint64_t lost = 0;

  void SetMirror(uint32_t cell, bool on) noexcept override {
    CHECK(table_.RuleAt(cell) != nullptr);
    set.emplace_back(cell, on);
  }
  absl::StatusOr<int> DrainMirror(const Visit& visit) override {
    int seen = 0;
    for (; !mirror.empty(); mirror.pop_front(), ++seen) {
      visit(mirror.front().first, mirror.front().second);
    }
    return seen;
  }
  uint64_t MirrorLost() const override { return lost; }

  absl::Status SetRange(const IpAddress& local, uint16_t first, uint16_t count,
                        uint32_t base) override {
    return table_.SetRange(local, first, count, base);
  }
  absl::Status SetLocal(uint16_t index, const IpAddress& ip) override {
    return table_.SetLocal(index, ip);
  }
  absl::Status SetProfile(uint16_t index, const Profile& profile) override {
    return table_.SetProfile(index, profile);
  }
  absl::Status SetNextHop(uint16_t index, const NextHop& hop) override {
    return table_.SetNextHop(index, hop);
  }
  void Retire(uint32_t cell) noexcept override { table_.Retire(cell); }
  void Join(uint32_t cell, const Rule& rule) noexcept override {
    table_.Join(cell, rule);
  }
  void SetGate(uint32_t cell, uint16_t sequence) noexcept override {
    table_.SetGate(cell, sequence);
  }
  bool Joined(uint32_t cell) const noexcept override {
    return table_.Joined(cell);
  }
  Stats ReadStats(uint32_t cell) const noexcept override {
    return table_.ReadStats(cell);
  }
  uint32_t cells() const override { return table_.cells(); }

 private:
  FakeRuleTable& table_;
};

class OffloadWatch : public OffloadScene {
 protected:
  OffloadWatch() {
    offload_.reset();
    table_.emplace(loop_, log_, 2 * kPorts);
    offload_.emplace(shards_, mirror_, ways_, loop_);
    for (const IpAddress& ip : {kInside, kOutside}) {
      const absl::Status added = offload_->AddRange(
          {.local = ip,
           .first_port = kFirstPort,
           .last_port = static_cast<uint16_t>(kFirstPort + kPorts - 1),
           .device = {.ifindex = Gateway(ip).ifindex,
                      .hook = Offload::Hook::kXdp}},
          ip == kInside ? 0 : kPorts);
      EXPECT_TRUE(added.ok()) << added;
    }
  }
  ~OffloadWatch() override { offload_.reset(); }

  bool Mirrors(const Call& call, Side from) const {
    const Rule* const rule = table_->RuleAt(CellOf(call, from));
    return rule != nullptr && (rule->flags & kRuleMirror) != 0;
  }

  MirrorTable mirror_{*table_};
};

TEST_F(OffloadWatch, RulesInForceMirrorFromNowOn) {
  const Call other = OpenInForce(1);
  const Call call = OpenInForce(2);
  offload_->Watch(0, call.flow, true);
  using Set = std::vector<std::pair<uint32_t, bool>>;
  EXPECT_EQ(mirror_.set, (Set{{CellOf(call, Side::kFrom), true},
                              {CellOf(call, Side::kTo), true}}));
  offload_->Watch(0, call.flow, false);
  EXPECT_EQ(mirror_.set, (Set{{CellOf(call, Side::kFrom), true},
                              {CellOf(call, Side::kTo), true},
                              {CellOf(call, Side::kFrom), false},
                              {CellOf(call, Side::kTo), false}}));
  // The sockets are told each time.
  EXPECT_EQ(shards_.watched, (std::vector<FakeMediaPlane::Watched>{
                                 {0, call.flow, true}, {0, call.flow, false}}));
  EXPECT_FALSE(Mirrors(other, Side::kFrom));
}

TEST_F(OffloadWatch, RulesThatAreWrittenMeanwhileMirrorToo) {
  Call call = Open(1);
  offload_->Watch(0, call.flow, true);
  EXPECT_TRUE(mirror_.set.empty());
  LatchBoth(call);
  Converse(call, 4);
  ASSERT_TRUE(InForce(call));
  EXPECT_TRUE(Mirrors(call, Side::kFrom) && Mirrors(call, Side::kTo));
  offload_->SetOn(false);
  offload_->Watch(0, call.flow, false);
  EXPECT_TRUE(mirror_.set.empty());
  offload_->SetOn(true);
  ConversePastRest(call);
  ASSERT_TRUE(InForce(call));
  EXPECT_FALSE(Mirrors(call, Side::kFrom) || Mirrors(call, Side::kTo));
}

TEST_F(OffloadWatch, AFlowThatIsGoneIsNoMatter) {
  const Call call = OpenInForce(1);
  Close(call);
  offload_->Watch(0, call.flow, true);
  EXPECT_TRUE(mirror_.set.empty());
}

TEST_F(OffloadWatch, CopiesOfBothPathsBeginWithTheirIpHeader) {
  shards_.copies.push_back({.at = Micros(5), .octets = {0x45, 1}});
  timespec monotonic{};
  clock_gettime(CLOCK_MONOTONIC, &monotonic);
  const Micros now = SystemClock::Now();
  std::vector<uint8_t> frame(14, 0xee);
  frame.insert(frame.end(), {0x60, 2, 3});
  mirror_.mirror.push_back(
      {{.ns = static_cast<uint64_t>(monotonic.tv_sec) * 1'000'000'000 +
              static_cast<uint64_t>(monotonic.tv_nsec),
        .cookie = 0,
        .length = 100,
        .captured = 17},
       frame});
  mirror_.mirror.push_back(
      {{.ns = 1, .cookie = 0, .length = 14, .captured = 14}, {}});
  std::vector<std::vector<uint8_t>> seen;
  offload_->DrainCopies([&](const PacketCopy& copy) {
    seen.emplace_back(copy.octets.begin(), copy.octets.end());
    if (seen.size() < 2) return;
    EXPECT_EQ(copy.length, 86u);
    // Two clocks were read one after the other, twice.
    EXPECT_LT(std::abs((copy.at - now).us()), 1'000'000);
  });
  EXPECT_EQ(seen, (std::vector<std::vector<uint8_t>>{{0x45, 1}, {0x60, 2, 3}}));
  shards_.copies_lost = 3;
  mirror_.lost = 4;
  EXPECT_EQ(offload_->CopiesLost(), 7u);
}

}  // namespace
}  // namespace sluice::relay::xdp
