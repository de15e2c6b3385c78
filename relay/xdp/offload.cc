#include "relay/xdp/offload.h"

#include <linux/if_ether.h>

#include <algorithm>
#include <cstring>
#include <iterator>
#include <limits>
#include <span>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "base/log.h"
#include "base/status_macros.h"
#include "relay/xdp/rule.h"

namespace sluice::relay::xdp {
namespace {

constexpr Micros kRest = Micros::Seconds(RuleTable::kRestSeconds);
constexpr Side kSides[] = {Side::kFrom, Side::kTo};

// Of the codecs' clocks (RFC 3551 6, RFC 7587, video). The party names its own,
// so that others share the place without one: their jitter is not told.
constexpr uint32_t kClocks[] = {0,      8'000,  11'025, 12'000, 16'000, 22'050,
                                24'000, 32'000, 44'100, 48'000, 90'000};
static_assert(std::size(kClocks) <= kProfilesMax);

uint16_t ProfileOf(uint32_t clock_hz) {
  const auto* at = std::find(std::begin(kClocks), std::end(kClocks), clock_hz);
  return at == std::end(kClocks)
             ? uint16_t{0}
             : static_cast<uint16_t>(at - std::begin(kClocks));
}

// The counters have all of them, the log one a second.
constexpr char kNoWay[] = "no next hop, media stays on the sockets";
void TellNoRule(const absl::Status& why) {
  log::Line("no rule for XDP, media stays on the sockets")
      .With("why", std::string(why.message()))
      .WarnLimited();
}

}  // namespace

Offload::Offload(MediaPlane& sockets, RuleTable& table, Ways& ways,
                 net::EventLoop& loop)
    : sockets_(sockets),
      table_(table),
      ways_(ways),
      loop_(loop),
      rests_(table.cells()) {}

Offload::~Offload() {
  if (timer_ != 0) loop_.Cancel(timer_);
  EndInheritance();
  for (auto& [key, flow] : flows_) Stop(flow);
}

absl::Status Offload::AddRange(const Range& range, uint32_t base) {
  CHECK(open_.empty() && range.first_port <= range.last_port);
  if (ranges_.empty()) {
    for (uint16_t i = 0; i < std::size(kClocks); ++i) {
      RETURN_IF_ERROR(table_.SetProfile(i, MakeProfile(kClocks[i])));
    }
  }
  const uint32_t count = range.last_port - range.first_port + 1u;
  if (base > table_.cells() || table_.cells() - base < count) {
    return absl::InvalidArgumentError(
        absl::StrCat("the XDP program has ", table_.cells(), " cells: no ",
                     count, " from ", base, " on"));
  }
  for (const Range& known : ranges_) {
    if (known.local != range.local) continue;
    return absl::InvalidArgumentError(absl::StrCat(
        range.local.ToString(), " has its ports in the XDP program already"));
  }
  RETURN_IF_ERROR(table_.SetRange(range.local, range.first_port,
                                  static_cast<uint16_t>(count), base));
  ranges_.push_back(range);
  bases_.push_back(base);
  return absl::OkStatus();
}

void Offload::Inherit() {
  CHECK(open_.empty());
  for (uint16_t i = 0; i < kNextHopsMax; ++i) {
    const auto hop = table_.ReadNextHop(i);
    if (!hop || hop->ifindex == 0) continue;
    HopKey key{static_cast<int>(hop->ifindex), {}, {}, hop->mtu};
    std::copy(hop->macs, hop->macs + 6, std::get<1>(key).begin());
    std::copy(hop->macs + 6, hop->macs + 12, std::get<2>(key).begin());
    places_.resize(i + size_t{1});
    places_[i].hop = key;
    place_of_[key] = i;
  }
  for (uint16_t i = 0; i < kLocalsMax; ++i) {
    const auto ip = table_.ReadLocal(i);
    if (!ip || *ip == IpAddress::V4(0, 0, 0, 0)) break;
    locals_.push_back(*ip);
  }
  inherited_.resize(table_.cells());
  for (uint32_t cell = 0; cell < table_.cells(); ++cell) {
    const Rule rule = table_.ReadRule(cell);
    if (rule.state == kRuleOff) continue;
    inherited_[cell] = true;
    // No rule is to find another hop there than its own.
    places_.resize(std::max(places_.size(), rule.nexthop + size_t{1}));
    ++places_[rule.nexthop].users;
  }
}

size_t Offload::EndInheritance() {
  size_t left = 0;
  for (uint32_t cell = 0; cell < inherited_.size(); ++cell) {
    if (!inherited_[cell]) continue;
    LeavePlace(table_.ReadRule(cell).nexthop);
    table_.Retire(cell);
    rests_[cell] = loop_.now() + kRest;
    ++left;
  }
  inherited_.clear();
  return left;
}

void Offload::LeavePlace(uint16_t index) {
  Place& place = places_[index];
  CHECK(place.users > 0);
  if (--place.users == 0) place.free_at = loop_.now() + kRest;
}

bool Offload::TryAdopt(Half& half, uint32_t cell, const Rule& rule) {
  if (inherited_.empty() || !inherited_[cell]) return false;
  inherited_[cell] = false;
  Rule there = table_.ReadRule(cell);
  LeavePlace(there.nexthop);
  // What the switch-over has left there.
  there.gate = rule.gate;
  there.state = rule.state;
  // Who watches is not what the rule does with a packet: TryJoin sets it anew.
  Rule wanted = rule;
  for (Rule* one : {&there, &wanted}) {
    one->flags &= static_cast<uint16_t>(~kRuleMirror);
  }
  if (std::memcmp(&there, &wanted, sizeof(there)) == 0 && table_.Joined(cell)) {
    half.has_books = true;
    return true;
  }
  table_.Retire(cell);
  rests_[cell] = loop_.now() + kRest;
  return false;
}

void Offload::RemoveDevice(int ifindex) {
  for (Range& range : ranges_) {
    if (range.device.ifindex == ifindex) range.device.ifindex = 0;
  }
  for (auto& [key, flow] : flows_) {
    Stop(flow);
    Consider(flow);
  }
}

void Offload::SetOn(bool on) {
  on_ = on;
  if (!on) EndInheritance();
  for (auto& [key, flow] : flows_) {
    if (!on) Stop(flow);
    Consider(flow);
  }
}

// ---- the media plane --------------------------------------------------------

absl::StatusOr<Slot> Offload::OpenSocket(uint32_t shard, const Endpoint& local,
                                         int tos) {
  ASSIGN_OR_RETURN(const Slot slot, sockets_.OpenSocket(shard, local, tos));
  Socket& socket = open_[KeyOf(shard, slot)];
  CHECK(socket.flows.empty());
  socket.local = local;
  socket.tos = tos;
  const uint16_t port = local.port.host();
  for (size_t i = 0; i < ranges_.size(); ++i) {
    const Range& range = ranges_[i];
    if (range.local == local.ip && port >= range.first_port &&
        port <= range.last_port) {
      socket.range = &range;
      socket.cell = bases_[i] + port - range.first_port;
      break;
    }
  }
  return slot;
}

void Offload::CloseSocket(uint32_t shard, Slot socket) {
  const auto it = open_.find(KeyOf(shard, socket));
  CHECK(it != open_.end() && it->second.flows.empty());
  open_.erase(it);
  sockets_.CloseSocket(shard, socket);
}

absl::StatusOr<Slot> Offload::OpenFlow(uint32_t shard, const FlowSpec& spec) {
  // Who shares a socket with another cannot be told by its port.
  std::vector<Key> others;
  for (const Slot socket : spec.socket) {
    const auto& flows = open_.at(KeyOf(shard, socket)).flows;
    others.insert(others.end(), flows.begin(), flows.end());
  }
  for (const Key other : others) Stop(flows_.at(other));
  auto slot = sockets_.OpenFlow(shard, spec);
  if (!slot.ok()) {
    for (const Key other : others) Consider(flows_.at(other));
    return slot;
  }
  const Key key = KeyOf(shard, *slot);
  Flow& flow = flows_[key];
  flow = Flow{.shard = shard, .slot = *slot, .spec = spec};
  states_[static_cast<size_t>(State::kSockets)] += 2;
  for (const Slot socket : spec.socket) {
    open_.at(KeyOf(shard, socket)).flows.push_back(key);
  }
  return slot;
}

void Offload::Retarget(uint32_t shard, Slot slot, Side side,
                       const SideTarget& target) {
  Flow* const flow = Find(KeyOf(shard, slot), slot.generation);
  CHECK(flow != nullptr);
  SideTarget& known = flow->spec.target[Index(side)];
  if (known.target != target.target || known.signalled != target.signalled ||
      known.learn_any != target.learn_any) {
    Stop(*flow);
    known = target;
    // The shard tells what it believes now; what it told before is older.
    flow->source[Index(side)] = Endpoint();
    for (Half& half : flow->half) half.not_before = loop_.now() + kRest;
  }
  sockets_.Retarget(shard, slot, side, target);
}

void Offload::CloseFlow(uint32_t shard, Slot slot) {
  const Key key = KeyOf(shard, slot);
  Flow* const flow = Find(key, slot.generation);
  CHECK(flow != nullptr);
  Stop(*flow);
  std::vector<Key> left;
  for (const Slot at : flow->spec.socket) {
    auto& flows = open_.at(KeyOf(shard, at)).flows;
    flows.erase(std::find(flows.begin(), flows.end(), key));
    left.insert(left.end(), flows.begin(), flows.end());
  }
  flows_.erase(key);
  states_[static_cast<size_t>(State::kSockets)] -= 2;
  sockets_.CloseFlow(shard, slot);
  for (const Key other : left) Consider(flows_.at(other));
}

void Offload::DrainEvents(
    absl::FunctionRef<void(uint32_t shard, const Event&)> visit) {
  sockets_.DrainEvents([&](uint32_t shard, const Event& event) {
    if (event.kind == Event::Kind::kLatched) OnLatched(shard, event);
    visit(shard, event);
  });
}

void Offload::OnLatched(uint32_t shard, const Event& event) {
  Flow* const flow = Find(KeyOf(shard, event.slot), event.slot.generation);
  if (flow == nullptr) return;
  const Endpoint source = event.confirmed ? event.source : Endpoint();
  Endpoint& known = flow->source[Index(event.side)];
  if (known != source) {
    Stop(*flow);
    known = source;
  }
  Consider(*flow);
}

// ---- what is watched --------------------------------------------------------

void Offload::Watch(uint32_t shard, Slot slot, bool on) {
  if (Flow* const flow = Find(KeyOf(shard, slot), slot.generation)) {
    flow->watched = on;
    for (const Side from : kSides) {
      const State state = flow->half[Index(from)].state;
      if (state == State::kJoining || state == State::kInForce) {
        table_.SetMirror(SocketOf(*flow, from).cell, on);
      }
    }
  }
  sockets_.Watch(shard, slot, on);
}

void Offload::DrainCopies(absl::FunctionRef<void(const PacketCopy&)> visit) {
  sockets_.DrainCopies(visit);
  // One that cannot be read now can be next time.
  table_
      .DrainMirror([&](const Mirrored& head, std::span<const uint8_t> frame) {
        // Ethernet goes: the sockets' copies have none.
        if (frame.size() <= ETH_HLEN || head.length <= ETH_HLEN) return;
        visit({.at = Micros(static_cast<int64_t>(head.ns / 1000)),
               .length = head.length - uint32_t{ETH_HLEN},
               .octets = frame.subspan(ETH_HLEN)});
      })
      .IgnoreError();
}

bool Offload::InForce(uint32_t shard, Slot slot, Side from) const {
  const Flow* const flow = Find(KeyOf(shard, slot), slot.generation);
  return flow != nullptr && flow->half[Index(from)].state == State::kInForce;
}

// ---- directions -------------------------------------------------------------

const Offload::Flow* Offload::Find(Key key, uint32_t generation) const {
  const auto it = flows_.find(key);
  return it != flows_.end() && it->second.slot.generation == generation
             ? &it->second
             : nullptr;
}

Offload::Flow* Offload::Find(Key key, uint32_t generation) {
  return const_cast<Flow*>(std::as_const(*this).Find(key, generation));
}

const Offload::Socket& Offload::SocketOf(const Flow& flow, Side side) const {
  return open_.at(KeyOf(flow.shard, flow.spec.socket[Index(side)]));
}

void Offload::SetState(Half& half, State state) {
  --states_[static_cast<size_t>(half.state)];
  ++states_[static_cast<size_t>(state)];
  half.state = state;
}

bool Offload::MayLeaveSockets(const Flow& flow, Side from) const {
  if (!on_) return false;
  const Side to = Other(from);
  if (!HasRtcp(flow.spec.kind)) return false;  // RTCP, T.38: seldom a packet
  if (flow.source[0].is_none() || flow.source[1].is_none()) return false;
  if (flow.spec.target[Index(to)].target.is_none()) return false;  // on hold
  const Socket& in = SocketOf(flow, from);
  return in.range != nullptr && in.range->device.ifindex != 0 &&
         in.flows.size() == 1 && SocketOf(flow, to).flows.size() == 1;
}

void Offload::Consider(Flow& flow) {
  for (const Side from : kSides) {
    Half& half = flow.half[Index(from)];
    if (half.state != State::kSockets || !MayLeaveSockets(flow, from)) continue;
    if (absl::IsInvalidArgument(FindWay(flow, from))) continue;
    SetState(half, State::kWaiting);
    Enqueue(flow, from, loop_.now());
  }
}

absl::Status Offload::FindWay(Flow& flow, Side from) {
  Half& half = flow.half[Index(from)];
  if (half.way != 0) return absl::OkStatus();
  const Side to = Other(from);
  const auto way =
      ways_.Watch(SocketOf(flow, to).local.ip, flow.source[Index(to)].ip);
  if (!way.ok()) {
    ++counters_.no_way;
    log::Line(kNoWay)
        .With("to", flow.source[Index(to)].ip.ToString())
        .With("why", std::string(way.status().message()))
        .WarnLimited();
    half.not_before = loop_.now() + kRest;
    return way.status();
  }
  half.way = *way;
  by_way_[*way].insert(
      {KeyOf(flow.shard, flow.slot), flow.slot.generation, from});
  return absl::OkStatus();
}

void Offload::Stop(Flow& flow) {
  for (const Side from : kSides) Stop(flow, from);
}

void Offload::Stop(Flow& flow, Side from) {
  Half& half = flow.half[Index(from)];
  if (half.state == State::kSockets) return;
  if (half.state != State::kWaiting) Retire(flow, from);
  SetState(half, State::kSockets);
  if (half.way == 0) return;
  auto& users = by_way_.at(half.way);
  users.erase(HalfId{KeyOf(flow.shard, flow.slot), flow.slot.generation, from});
  if (users.empty()) by_way_.erase(half.way);
  ways_.Release(std::exchange(half.way, 0));
}

void Offload::Retire(Flow& flow, Side from) {
  Half& half = flow.half[Index(from)];
  const uint32_t cell = SocketOf(flow, from).cell;
  table_.Retire(cell);
  rests_[cell] = loop_.now() + kRest;
  LeavePlace(half.place);
  if (half.state == State::kJoining && table_.Joined(cell)) {
    // It had, and nobody has looked since.
    sockets_.Pause(flow.shard, flow.slot, from);
    ++counters_.joined;
    ++counters_.left;
  }
  if (half.state == State::kInForce) ++counters_.left;
  SetState(half, State::kWaiting);
}

void Offload::OnWayChanged(Ways::Id id) {
  const auto it = by_way_.find(id);
  if (it == by_way_.end()) return;
  for (const HalfId& user : it->second) {
    Flow& flow = flows_.at(user.flow);
    if (flow.half[Index(user.from)].state != State::kWaiting) {
      Retire(flow, user.from);
    }
    Enqueue(flow, user.from, loop_.now());
  }
}

// ---- the queue --------------------------------------------------------------

void Offload::Enqueue(Flow& flow, Side from, Micros at) {
  Half& half = flow.half[Index(from)];
  half.look_at = at;
  half.pause = kLook;
  if (!half.queued) {
    half.queued = true;
    queue_.push_back(
        {KeyOf(flow.shard, flow.slot), flow.slot.generation, from});
  }
  if (timer_ == 0) {
    timer_ = loop_.After(kLook, [this] { LookAround(); });
  }
}

void Offload::LookAround() {
  timer_ = 0;
  const size_t looks = std::min(queue_.size(), kLooks);
  for (size_t n = 0; n < looks && !queue_.empty(); ++n) {
    if (cursor_ >= queue_.size()) cursor_ = 0;
    const HalfId id = queue_[cursor_];
    Flow* const flow = Find(id.flow, id.generation);
    bool again = false;
    if (flow != nullptr) {
      Half& half = flow->half[Index(id.from)];
      again = half.look_at > loop_.now() || Look(*flow, id.from);
      half.queued = again;
    }
    if (again) {
      ++cursor_;
    } else {
      queue_[cursor_] = queue_.back();
      queue_.pop_back();
    }
  }
  if (!queue_.empty() && timer_ == 0) {
    timer_ = loop_.After(kLook, [this] { LookAround(); });
  }
}

bool Offload::Look(Flow& flow, Side from) {
  Half& half = flow.half[Index(from)];
  const uint32_t cell = SocketOf(flow, from).cell;
  switch (half.state) {
    case State::kSockets:
    case State::kInForce: return false;
    case State::kWaiting: {
      const Micros free = std::max(half.not_before, rests_[cell]);
      if (loop_.now() < free) {
        half.look_at = free;
        return true;
      }
      if (!TryJoin(flow, from)) return false;
      half.look_at = loop_.now() + kLook;
      return true;
    }
    case State::kJoining: break;
  }
  if (table_.Joined(cell)) {
    SetState(half, State::kInForce);
    sockets_.Pause(flow.shard, flow.slot, from);
    ++counters_.joined;
    return false;
  }
  if (const auto sent = sockets_.LastSent(flow.shard, flow.slot, Other(from))) {
    table_.SetGate(cell, *sent);
  }
  half.look_at = loop_.now() + half.pause;
  half.pause = std::min(half.pause + half.pause, kLookMax);
  return true;
}

bool Offload::TryJoin(Flow& flow, Side from) {
  Half& half = flow.half[Index(from)];
  // Not now, which not_before says, too.
  if (!FindWay(flow, from).ok()) return true;
  const auto hop = ways_.Find(half.way);
  if (!hop) {
    ++counters_.no_way;
    log::Line(kNoWay)
        .With("to", flow.source[Index(Other(from))].ip.ToString())
        .With("why", ways_.Why(half.way))
        .InfoLimited();  // often it is only being asked for
    return false;
  }
  const Device* const out = FindDevice(hop->ifindex);
  const Socket& in = SocketOf(flow, from);
  // tc hands a frame to any device; XDP only to one that takes them, which is
  // known of those that have the program.
  if (in.range->device.hook == Hook::kXdp &&
      (out == nullptr || out->hook != Hook::kXdp)) {
    ++counters_.no_device;
    return false;
  }
  const auto place = PlaceFor(*hop, out == nullptr ? 0 : out->hop_flags);
  if (!place.ok()) {
    ++counters_.no_room;
    TellNoRule(place.status());
    half.not_before = loop_.now() + kRest;  // by then one may be free
    return true;
  }
  half.place = *place;
  const auto rule = RuleOf(flow, from);
  if (!rule.ok()) {
    ++(absl::IsResourceExhausted(rule.status()) ? counters_.no_room
                                                : counters_.no_rule);
    TellNoRule(rule.status());
    return false;
  }
  if (TryAdopt(half, in.cell, *rule)) {
    table_.SetMirror(in.cell, flow.watched);
    ++places_[*place].users;
    SetState(half, State::kInForce);
    sockets_.Pause(flow.shard, flow.slot, from);
    ++counters_.adopted;
    return true;
  }
  if (rests_[in.cell] > loop_.now()) return true;
  if (half.has_books) half.past.Add(table_.ReadStats(in.cell));
  half.has_books = true;
  ++places_[*place].users;
  table_.Join(in.cell, *rule);
  SetState(half, State::kJoining);
  half.pause = kLook;
  return true;
}

absl::StatusOr<Rule> Offload::RuleOf(const Flow& flow, Side from) {
  const Side to = Other(from);
  const Socket& in = SocketOf(flow, from);
  const Socket& out = SocketOf(flow, to);
  RuleSpec spec{.from = flow.source[Index(from)],
                .at = in.local,
                .out = out.local,
                .to = flow.source[Index(to)],
                .nexthop = flow.half[Index(from)].place,
                // As the socket would mark it.
                .dscp = out.tos >> 2,
                .cookie = in.cell};
  if (flow.spec.kind == FlowKind::kSrtp) spec.flags |= kRuleEnciphered;
  if (flow.watched) spec.flags |= kRuleMirror;
  ASSIGN_OR_RETURN(spec.local, LocalFor(out.local.ip));
  spec.profile = ProfileOf(flow.spec.clock_hz);
  ASSIGN_OR_RETURN(const Rule rule, MakeRule(spec));
  // Books::Add takes all that the rule drops for refused.
  CHECK((rule.flags & (kRuleDropSource | kRuleBlock)) == 0 && rule.gap_ns == 0);
  return rule;
}

// ---- places in the program's tables -----------------------------------------

const Offload::Device* Offload::FindDevice(int ifindex) const {
  for (const Range& range : ranges_) {
    if (range.device.ifindex == ifindex) return &range.device;
  }
  return nullptr;
}

absl::StatusOr<uint16_t> Offload::PlaceFor(const net::NextHop& hop,
                                           uint16_t flags) {
  const auto mtu = static_cast<uint16_t>(
      std::min<uint32_t>(hop.mtu, std::numeric_limits<uint16_t>::max()));
  const HopKey key{hop.ifindex, hop.neighbour, hop.own, mtu};
  if (const auto it = place_of_.find(key); it != place_of_.end()) {
    return it->second;
  }
  size_t at = places_.size();
  if (at == kNextHopsMax) {
    at = 0;
    while (at < places_.size() &&
           (places_[at].users != 0 || places_[at].free_at > loop_.now())) {
      ++at;
    }
    if (at == places_.size()) {
      return absl::ResourceExhaustedError("all next hops are in use");
    }
  }
  NextHop written{};
  std::copy(hop.neighbour.begin(), hop.neighbour.end(), written.macs);
  std::copy(hop.own.begin(), hop.own.end(), written.macs + 6);
  written.ifindex = static_cast<uint32_t>(hop.ifindex);
  written.mtu = mtu;
  written.flags = flags;
  if (at < places_.size()) {
    // What is half written is nobody's.
    place_of_.erase(places_[at].hop);
    places_[at] = {};
  }
  RETURN_IF_ERROR(table_.SetNextHop(static_cast<uint16_t>(at), written));
  if (at == places_.size()) places_.emplace_back();
  places_[at] = {.hop = key};
  place_of_[key] = static_cast<uint16_t>(at);
  return static_cast<uint16_t>(at);
}

namespace {

// The index of `value`, taken when it is new.
template <typename T, typename Write>
absl::StatusOr<uint16_t> IndexOf(std::vector<T>* known, const T& value,
                                 size_t most, Write&& write) {
  const auto it = std::find(known->begin(), known->end(), value);
  const auto index = static_cast<uint16_t>(it - known->begin());
  if (it != known->end()) return index;
  if (known->size() == most) {
    return absl::ResourceExhaustedError("a table of the program is full");
  }
  RETURN_IF_ERROR(write(index));
  known->push_back(value);
  return index;
}

}  // namespace

absl::StatusOr<uint16_t> Offload::LocalFor(const IpAddress& ip) {
  return IndexOf(&locals_, ip, kLocalsMax,
                 [&](uint16_t index) { return table_.SetLocal(index, ip); });
}

}  // namespace sluice::relay::xdp
