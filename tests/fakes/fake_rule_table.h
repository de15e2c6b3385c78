#ifndef SLUICE_TESTS_FAKES_FAKE_RULE_TABLE_H_
#define SLUICE_TESTS_FAKES_FAKE_RULE_TABLE_H_

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <cstring>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "base/address.h"
#include "base/check.h"
#include "base/net/event_loop.h"
#include "base/net/next_hops.h"
#include "gtest/gtest.h"
#include "relay/media_plane.h"
#include "relay/xdp/offload.h"
#include "relay/xdp/rule.h"
#include "relay/xdp/rule_table.h"
#include "tests/fakes/fake_media_plane.h"

namespace sluice {

// The tables of the forwarding program without a kernel, and the program as far
// as a flow's joining and its books go. It holds its caller to the contract of
// RuleTable by CHECK, with the loop's clock: a rule is written only to a cell
// that has rested, and names only places that are written; a place is written
// only when no rule names it and the last one that did has rested; a gate is
// set only of a rule that has not been retired.
//
// Join and Retire stand in `log` as "join 7" and "retire 7".
class FakeRuleTable final : public relay::xdp::RuleTable {
 public:
  using Rule = relay::xdp::Rule;
  using Stats = relay::xdp::Stats;

  static constexpr Micros kRest = Micros::Seconds(kRestSeconds);

  FakeRuleTable(const net::EventLoop& loop, std::vector<std::string>& log,
                uint32_t cells)
      : loop_(loop), log_(log), cells_(cells) {}

  // ---- the program ----
  struct Rtp {
    Endpoint from{};
    uint32_t ssrc = 0;
    uint16_t sequence = 0;
    uint32_t bytes = 0;
  };
  // Whether it sends the packet on; else the socket gets it.
  bool OnPacket(uint32_t cell, const Rtp& packet) {
    Cell& at = At(cell);
    Stats& stats = at.stats;
    if (at.rule.state == relay::xdp::kRuleOff || !IsSource(at, packet.from)) {
      return false;
    }
    if (stats.packets == 0) {
      const bool open = at.rule.state == relay::xdp::kRuleGated &&
                        stats.expected != 0 && stats.ssrc == packet.ssrc &&
                        Low(stats.ext_seq) == at.rule.gate;
      stats.ssrc = packet.ssrc;
      stats.ext_seq = packet.sequence;
      stats.expected = stats.received = 1;
      if (!open) return false;
    } else {
      Note(stats, packet);
    }
    ++stats.packets;
    stats.bytes += packet.bytes;
    stats.last_ns = static_cast<uint64_t>(loop_.now().us()) * 1000;
    return true;
  }
  // The books of a cell, to change them as the program would.
  Stats& Books(uint32_t cell) { return At(cell).stats; }

  // ---- what a test may ask ----
  // The rule that packets see; nullptr: none.
  const Rule* RuleAt(uint32_t cell) const {
    const Cell& at = cells_.at(cell);
    return at.rule.state == relay::xdp::kRuleOff ? nullptr : &at.rule;
  }
  // Cells with a rule.
  size_t rules() const { return rules_; }
  std::optional<uint16_t> GateAt(uint32_t cell) const {
    const Cell& at = cells_.at(cell);
    if (at.rule.state != relay::xdp::kRuleGated) return std::nullopt;
    return at.rule.gate;
  }
  const relay::xdp::NextHop& HopAt(uint16_t index) const {
    return hops_.at(index).value;
  }
  const IpAddress& LocalAt(uint16_t index) const {
    return locals_.at(index).value;
  }
  const relay::xdp::Profile& ProfileAt(uint16_t index) const {
    return profiles_.at(index).value;
  }
  size_t hops() const { return hops_.size(); }
  size_t hops_written() const { return hops_written_; }
  struct Span {
    IpAddress local{};
    uint16_t first_port = 0;
    uint16_t count = 0;
    uint32_t base = 0;
  };
  const std::vector<Span>& ranges() const { return ranges_; }

  // ---- RuleTable ----
  absl::Status SetRange(const IpAddress& local, uint16_t first_port,
                        uint16_t count, uint32_t base) override {
    CHECK(count > 0 && base + count <= cells());
    for (const Span& other : ranges_) {
      CHECK(other.local != local);  // the map's key
      CHECK(base >= other.base + other.count || base + count <= other.base);
    }
    ranges_.push_back({local, first_port, count, base});
    return absl::OkStatus();
  }
  absl::Status SetLocal(uint16_t index, const IpAddress& ip) override {
    CHECK(index < relay::xdp::kLocalsMax);
    Write(locals_[index], ip);
    return absl::OkStatus();
  }
  absl::Status SetProfile(uint16_t index,
                          const relay::xdp::Profile& profile) override {
    CHECK(index < relay::xdp::kProfilesMax);
    Write(profiles_[index], profile);
    return absl::OkStatus();
  }
  absl::Status SetNextHop(uint16_t index,
                          const relay::xdp::NextHop& hop) override {
    CHECK(index < relay::xdp::kNextHopsMax);
    Write(hops_[index], hop);
    ++hops_written_;
    return refuse_hops_;
  }

  void Retire(uint32_t cell) noexcept override {
    Cell& at = At(cell);
    CHECK(at.rule.state != relay::xdp::kRuleOff);  // the rest began before
    at.rule.state = relay::xdp::kRuleOff;
    at.free_at = loop_.now() + kRest;
    --rules_;
    Leave(hops_.at(at.rule.nexthop));
    Leave(locals_.at(at.rule.local));
    Leave(profiles_.at(at.rule.profile));
    log_.push_back(absl::StrCat("retire ", cell));
  }
  void Join(uint32_t cell, const Rule& rule) noexcept override {
    Cell& at = At(cell);
    CHECK(at.rule.state == relay::xdp::kRuleOff && loop_.now() >= at.free_at);
    CHECK(hops_.contains(rule.nexthop) && locals_.contains(rule.local) &&
          profiles_.contains(rule.profile));
    at.rule = rule;
    at.rule.state = relay::xdp::kRuleJoining;
    at.stats = Stats{};
    ++rules_;
    ++hops_.at(rule.nexthop).rules;
    ++locals_.at(rule.local).rules;
    ++profiles_.at(rule.profile).rules;
    log_.push_back(absl::StrCat("join ", cell));
  }
  void SetGate(uint32_t cell, uint16_t sequence) noexcept override {
    Cell& at = At(cell);
    CHECK(at.rule.state == relay::xdp::kRuleJoining ||
          at.rule.state == relay::xdp::kRuleGated);
    at.rule.gate = sequence;
    at.rule.state = relay::xdp::kRuleGated;
  }
  bool Joined(uint32_t cell) const noexcept override {
    return ReadStats(cell).packets != 0;
  }
  Stats ReadStats(uint32_t cell) const noexcept override {
    CHECK(cell < cells_.size());
    return cells_[cell].stats;
  }
  uint32_t cells() const override {
    return static_cast<uint32_t>(cells_.size());
  }
  Rule ReadRule(uint32_t cell) const noexcept override {
    CHECK(cell < cells_.size());
    return cells_[cell].rule;
  }
  std::optional<relay::xdp::NextHop> ReadNextHop(uint16_t i) const override {
    return ValueOf(hops_, i);
  }
  std::optional<IpAddress> ReadLocal(uint16_t i) const override {
    return ValueOf(locals_, i);
  }
  // What SetNextHop says from now on; it has written all the same.
  void RefuseHops(absl::Status status) { refuse_hops_ = std::move(status); }
  // Whose process was killed: its rules stay, the next one says where it is.
  void Orphan() { ranges_.clear(); }

 private:
  struct Cell {
    Rule rule{};
    Stats stats{};
    Micros free_at{};
  };
  template <typename T>
  struct Place {
    T value{};
    uint32_t rules = 0;  // that name it
    Micros free_at{};
  };
  template <typename T>
  using Places = absl::flat_hash_map<uint16_t, Place<T>>;

  template <typename T>
  static std::optional<T> ValueOf(const Places<T>& places, uint16_t index) {
    const auto it = places.find(index);
    if (it == places.end()) return std::nullopt;
    return it->second.value;
  }
  static uint16_t Low(uint32_t number) { return static_cast<uint16_t>(number); }
  static bool IsSource(const Cell& at, const Endpoint& from) {
    const relay::xdp::AbiAddress ip = relay::xdp::ToAbi(from.ip);
    for (int i = 0; i < 4; ++i) {
      if (at.rule.source[i] != ip.words[i]) return false;
    }
    return at.rule.source_port_be == from.port.network();
  }
  static void Note(Stats& stats, const Rtp& packet) {
    const uint16_t ahead = Low(packet.sequence - stats.ext_seq);
    if (packet.ssrc != stats.ssrc) {
      ++stats.ssrc_changes;
      stats.ssrc = packet.ssrc;
      stats.ext_seq = packet.sequence;
      ++stats.expected;
    } else if (ahead != 0 && ahead < 3000) {
      stats.ext_seq += ahead;
      stats.expected += ahead;
    } else {
      ++stats.late;
    }
    ++stats.received;
  }
  template <typename T>
  void Write(Place<T>& place, const T& value) {
    const bool same = std::memcmp(&place.value, &value, sizeof(value)) == 0;
    CHECK(same || (place.rules == 0 && loop_.now() >= place.free_at));
    place.value = value;
  }
  template <typename T>
  void Leave(Place<T>& place) {
    CHECK(place.rules > 0);
    --place.rules;
    place.free_at = loop_.now() + kRest;
  }
  Cell& At(uint32_t cell) {
    CHECK(cell < cells_.size());
    return cells_[cell];
  }

  const net::EventLoop& loop_;
  std::vector<std::string>& log_;
  std::vector<Cell> cells_;
  size_t rules_ = 0;
  Places<relay::xdp::NextHop> hops_{};
  Places<IpAddress> locals_{};
  Places<relay::xdp::Profile> profiles_{};
  std::vector<Span> ranges_{};
  size_t hops_written_ = 0;
  absl::Status refuse_hops_{};
};

// Ways that a test lays, and that hold their caller to the contract of
// net::NextHops by CHECK. A pair that was never laid has no next hop.
class FakeWays final : public relay::xdp::Ways {
 public:
  // From now on; 0: nobody watches the pair, who does is told by the test.
  Id Lay(const IpAddress& from, const IpAddress& to,
         std::optional<net::NextHop> hop) {
    Way& way = ways_[{from, to}];
    way.hop = hop;
    return way.users == 0 ? 0 : way.id;
  }
  std::optional<net::NextHop> At(const IpAddress& from,
                                 const IpAddress& to) const {
    const auto it = ways_.find({from, to});
    return it == ways_.end() ? std::nullopt : it->second.hop;
  }
  // How Watch fails from here on.
  void Refuse(absl::Status status) { refuse_ = std::move(status); }
  size_t watches() const { return watches_; }

  absl::StatusOr<Id> Watch(const IpAddress& from,
                           const IpAddress& to) override {
    if (!refuse_.ok()) return refuse_;
    Way& way = ways_[{from, to}];
    if (way.users++ == 0) {
      way.id = ++last_id_;
      by_id_[way.id] = &way;
    }
    ++watches_;
    return way.id;
  }
  void Release(Id id) override {
    Way& way = *by_id_.at(id);
    CHECK(way.users > 0);
    --watches_;
    if (--way.users == 0) by_id_.erase(id);
  }
  std::optional<net::NextHop> Find(Id id) const override {
    const auto it = by_id_.find(id);
    CHECK(it != by_id_.end());
    return it->second->hop;
  }

 private:
  struct Way {
    std::optional<net::NextHop> hop{};
    uint32_t users = 0;
    Id id = 0;
  };
  std::map<std::pair<IpAddress, IpAddress>, Way> ways_{};
  std::map<Id, Way*> by_id_{};
  Id last_id_ = 0;
  size_t watches_ = 0;
  absl::Status refuse_{};
};

// The shards, and what was said to them in the common log.
class Recorder final : public relay::MediaPlane {
 public:
  Recorder(FakeMediaPlane& shards, const net::EventLoop& loop,
           std::vector<std::string>& log)
      : shards_(shards), loop_(loop), log_(log) {}

  uint32_t shards() const override { return shards_.shards(); }
  uint32_t PickShard() const override { return shards_.PickShard(); }
  absl::StatusOr<Slot> OpenSocket(uint32_t shard, const Endpoint& local,
                                  int tos) override {
    return shards_.OpenSocket(shard, local, tos);
  }
  void CloseSocket(uint32_t shard, Slot socket) override {
    shards_.CloseSocket(shard, socket);
  }
  absl::StatusOr<Slot> OpenFlow(uint32_t shard, const FlowSpec& spec) override {
    log_.push_back("open flow");
    return shards_.OpenFlow(shard, spec);
  }
  void Retarget(uint32_t shard, Slot flow, Side side,
                const relay::SideTarget& target) override {
    log_.push_back(absl::StrCat("retarget ", flow.index));
    shards_.Retarget(shard, flow, side, target);
  }
  void CloseFlow(uint32_t shard, Slot flow) override {
    log_.push_back(absl::StrCat("close flow ", flow.index));
    shards_.CloseFlow(shard, flow);
  }
  relay::FlowReport Report(uint32_t shard, Slot flow) const override {
    return shards_.Report(shard, flow);
  }
  Micros LastPacket(uint32_t shard, Slot flow) const override {
    return shards_.LastPacket(shard, flow);
  }
  std::optional<uint16_t> LastSent(uint32_t shard, Slot flow,
                                   Side to) const override {
    looks.push_back(loop_.now());
    return shards_.LastSent(shard, flow, to);
  }
  void Pause(uint32_t shard, Slot flow, Side from) override {
    log_.push_back(absl::StrCat("pause ", flow.index, " ", Name(from)));
    shards_.Pause(shard, flow, from);
  }
  void DrainEvents(
      absl::FunctionRef<void(uint32_t, const relay::Event&)> visit) override {
    shards_.DrainEvents(visit);
  }
  mutable std::vector<Micros> looks{};  // when a gate was asked for

 private:
  FakeMediaPlane& shards_;
  const net::EventLoop& loop_;
  std::vector<std::string>& log_;
};

}  // namespace sluice

#endif  // SLUICE_TESTS_FAKES_FAKE_RULE_TABLE_H_
