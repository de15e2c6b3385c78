#ifndef SLUICE_RELAY_SHARD_H_
#define SLUICE_RELAY_SHARD_H_

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <vector>

#include "base/check.h"
#include "base/net/engine.h"
#include "base/spsc_queue.h"
#include "relay/counters.h"
#include "relay/flow.h"
#include "relay/forwarder.h"
#include "relay/session_command.h"
#include "relay/watch_queue.h"
#include "rtp/packet.h"

namespace sluice::relay {

inline constexpr size_t kCommandQueue = 4096;
inline constexpr size_t kEventQueue = 4096;
using CommandQueue = SpscQueue<Command, kCommandQueue>;
using EventQueue = SpscQueue<Event, kEventQueue>;

// One data-plane thread's work: commands in, packets through, events out. The
// decision on a packet is Decide()'s; this is the shell that moves buffers and
// keeps the laws L1, L2, L3 and L8.
//
// A turn: one system call, commands (bounded), completions, events. In a turn
// nothing is locked, allocated, formatted or logged; the clock is read once.
//
// Thread: the shard's own, all of it. What others may look at are the flows'
// cells (FlowTable) and the counters.
template <net::EngineLike Engine>
class Shard {
 public:
  struct Options {
    uint32_t sockets = 0;  // capacity
    Micros learn_window = Micros::Seconds(3);
    // Takes the packets of watched flows; null: nobody watches.
    WatchQueue* copies = nullptr;
  };

  Shard(Engine& engine, const Options& options, FlowTable& flows,
        ShardCounters& counters, CommandQueue& commands, EventQueue& events)
      : engine_(engine),
        options_(options),
        flows_(flows),
        counters_(counters),
        commands_(commands),
        events_(events),
        sockets_(options.sockets),
        in_flight_(engine.buffers_total()) {
    // Each socket is on each list at most once, each side of a flow told once:
    // nothing below ever grows.
    to_arm_.reserve(options.sockets);
    to_cancel_.reserve(options.sockets);
    untold_.reserve(options.sockets + size_t{flows.capacity()} * 2);
  }
  Shard(const Shard&) = delete;
  Shard& operator=(const Shard&) = delete;

  enum class Turn : uint8_t { kQuiet, kTold, kStopped };

  // One turn. kTold: events were pushed, wake the control thread.
  Turn RunOnce(Micros wait) noexcept {
    told_ = false;
    counters_.turns.Add(1);
    RetryLeftovers();
    if (!commands_.empty()) {
      wait = Micros();
    } else if (!to_arm_.empty() || !to_cancel_.empty() || !untold_.empty() ||
               stopping_) {
      // What is left over is tried again soon, not in a spin.
      wait = std::min(wait, kRetryPause);
    }
    now_ = engine_.SubmitAndWait(wait);
    // Commands between the call that hands over the last turn's sends and the
    // completions that ask for new ones: nothing is sent for a flow that a
    // command has closed (L3).
    DrainCommands();
    engine_.ForEachCompletion(
        [this](const net::Completion& c) { OnCompletion(c); });
    counters_.cq_overflows.Set(engine_.overflows());
    RetryUntold();
    if (stopping_ && open_sockets_ == 0 && untold_.empty() &&
        events_.TryPush(Event{.kind = Event::Kind::kStopped})) {
      return Turn::kStopped;
    }
    return told_ ? Turn::kTold : Turn::kQuiet;
  }

  // For the laws' tests: buffers in the kernel's hands as sends.
  uint32_t sends_in_flight() const { return sends_in_flight_; }

 private:
  static constexpr int kCommandsPerTurn = 512;
  static constexpr Micros kRetryPause = Micros::Millis(1);

  struct InFlight {
    uint32_t flow = 0;
    uint32_t generation = 0;
    uint32_t length = 0;
    uint32_t sequence = 0;  // SequenceMark
    Side in = Side::kFrom;
  };
  struct Untold {
    Event::Kind kind{};
    Side side{};
    uint32_t index = 0;
  };

  // ---- commands ----------------------------------------------------------

  void DrainCommands() noexcept {
    Command command;
    for (int i = 0; i < kCommandsPerTurn && commands_.TryPop(&command); ++i) {
      Apply(command);
    }
  }

  void Apply(const Command& c) noexcept {
    switch (c.kind) {
      case Command::Kind::kOpenSocket: return OpenSocket(c);
      case Command::Kind::kCloseSocket: return CloseSocket(c.slot);
      case Command::Kind::kOpenFlow: return OpenFlow(c);
      case Command::Kind::kRetarget: return Retarget(c);
      case Command::Kind::kPause: return Pause(c);
      case Command::Kind::kWatch: return Watch(c);
      case Command::Kind::kCloseFlow: return CloseFlow(c.slot);
      case Command::Kind::kStop: return Stop();
    }
  }

  void OpenSocket(const Command& c) noexcept {
    RelaySocket& socket = sockets_[c.slot.index];
    CHECK(socket.generation == 0);
    engine_.Adopt(c.slot.index, c.fd);
    socket = RelaySocket{.generation = c.slot.generation,
                         .family = c.target[0].target.family()};
    ++open_sockets_;
    sockets_used_ = std::max(sockets_used_, c.slot.index + 1);
    counters_.sockets_opened.Add(1);
  }

  void OpenFlow(const Command& c) noexcept {
    Flow& flow = flows_[c.slot.index];
    CHECK(!flow.open());
    flow.kind = c.flow_kind;
    flow.rtp_flow = c.rtp_flow ? c.rtp_flow.index : FlowSide::kNone;
    flow.rtp_generation = c.rtp_flow.generation;
    for (Side s : {Side::kFrom, Side::kTo}) {
      FlowSide& side = flow.side[Index(s)];
      RelaySocket& socket = sockets_[c.socket[Index(s)].index];
      CHECK(socket.generation == c.socket[Index(s)].generation &&
            !socket.closing);
      CHECK(socket.first_flow == FlowSide::kNone || socket.faces == s);
      side.socket = c.socket[Index(s)].index;
      side.next = socket.first_flow;
      socket.first_flow = c.slot.index;
      socket.faces = s;
      flow.policy[Index(s)] = c.policy[Index(s)];
      side.cells.Reset(c.clock_hz);
      const Endpoint& believed = c.believed[Index(s)];
      if (believed.is_none()) {
        side.latch.Reset(c.target[Index(s)], now_ + options_.learn_window);
      } else {
        side.latch.Believe(c.target[Index(s)], believed);
      }
      Aim(side, socket);
      Arm(side.socket);
    }
    flow.generation.store(c.slot.generation, std::memory_order_release);
    for (Side s : {Side::kFrom, Side::kTo}) {
      if (flow.side[Index(s)].latch.believed()) {
        Tell(Untold{Event::Kind::kLatched, s, c.slot.index});
      }
    }
  }

  void Retarget(const Command& c) noexcept {
    Flow& flow = flows_[c.slot.index];
    if (flow.generation.load(std::memory_order_relaxed) != c.slot.generation) {
      return;
    }
    FlowSide& side = flow.side[Index(c.side)];
    side.latch.Retarget(c.target[Index(c.side)], now_ + options_.learn_window);
    Aim(side, sockets_[side.socket]);
    Tell(Untold{Event::Kind::kLatched, c.side, c.slot.index});
  }

  void Pause(const Command& c) noexcept {
    Flow& flow = flows_[c.slot.index];
    if (flow.generation.load(std::memory_order_relaxed) != c.slot.generation) {
      return;
    }
    flow.side[Index(c.side)].cells.stream.Pause();
  }

  void Watch(const Command& c) noexcept {
    Flow& flow = flows_[c.slot.index];
    if (flow.generation.load(std::memory_order_relaxed) != c.slot.generation) {
      return;
    }
    flow.watched = c.on && options_.copies != nullptr;
  }

  void CloseFlow(Slot slot) noexcept {
    Flow& flow = flows_[slot.index];
    CHECK(flow.generation.load(std::memory_order_relaxed) == slot.generation);
    for (FlowSide& side : flow.side) {
      const Side s = &side == &flow.side[0] ? Side::kFrom : Side::kTo;
      uint32_t* at = &sockets_[side.socket].first_flow;
      while (*at != slot.index) at = &flows_[*at].side[Index(s)].next;
      *at = side.next;
    }
    flow.watched = false;
    flow.generation.store(0, std::memory_order_release);
  }

  void CloseSocket(Slot slot) noexcept {
    RelaySocket& socket = sockets_[slot.index];
    CHECK(socket.generation == slot.generation &&
          socket.first_flow == FlowSide::kNone);
    socket.closing = true;
    if (socket.armed) {
      Cancel(slot.index);
    } else {
      MaybeClosed(slot.index);
    }
  }

  void Stop() noexcept {
    stopping_ = true;
    for (uint32_t i = 0; i < sockets_used_; ++i) {
      RelaySocket& socket = sockets_[i];
      if (socket.generation == 0 || socket.closing) continue;
      while (socket.first_flow != FlowSide::kNone) {
        const uint32_t flow = socket.first_flow;
        CloseFlow(Slot{.index = flow,
                       .generation = flows_[flow].generation.load(
                           std::memory_order_relaxed)});
      }
      CloseSocket(Slot{.index = i, .generation = socket.generation});
    }
  }

  // ---- sockets -----------------------------------------------------------

  // Where the side's packets go follows from what its latch believes.
  void Aim(FlowSide& side, const RelaySocket& socket) noexcept {
    side.to = net::SendAddress(socket.family, side.latch.destination());
  }

  net::OpTag ReceiveTag(uint32_t index) const noexcept {
    return {
        .kind = net::OpTag::Kind::kReceive,
        .generation = sockets_[index].generation & net::OpTag::kGenerationMask,
        .socket = index};
  }

  void Arm(uint32_t index) noexcept {
    RelaySocket& socket = sockets_[index];
    if (socket.armed || socket.closing) return;
    socket.armed = true;
    if (!engine_.ArmReceive(ReceiveTag(index))) {
      socket.armed = false;
      if (!socket.arm_waits) to_arm_.push_back(index);
      socket.arm_waits = true;
    }
  }

  void Cancel(uint32_t index) noexcept {
    if (!engine_.CancelReceive(ReceiveTag(index))) {
      to_cancel_.push_back(index);
    }
  }

  // Bounded: what found no room this turn is tried again in the next.
  void RetryLeftovers() noexcept {
    for (size_t n = to_arm_.size(); n > 0; --n) {
      const uint32_t index = to_arm_.back();
      to_arm_.pop_back();
      sockets_[index].arm_waits = false;
      if (sockets_[index].generation == 0 ||
          sockets_[index].first_flow == FlowSide::kNone) {
        continue;  // another tenant by now, or nobody who listens
      }
      Arm(index);
      if (sockets_[index].arm_waits) break;
      counters_.receive_rearms.Add(1);
    }
    for (size_t n = to_cancel_.size(); n > 0; --n) {
      const uint32_t index = to_cancel_.back();
      to_cancel_.pop_back();
      if (sockets_[index].armed) {
        const size_t before = to_cancel_.size();
        Cancel(index);
        if (to_cancel_.size() > before) break;
      }
    }
  }

  void MaybeClosed(uint32_t index) noexcept {
    RelaySocket& socket = sockets_[index];
    if (!socket.closing || socket.armed || socket.sends > 0) return;
    engine_.Close(index);
    socket.closed = true;
    --open_sockets_;
    counters_.sockets_closed.Add(1);
    Tell(Untold{Event::Kind::kSocketClosed, Side::kFrom, index});
  }

  // ---- events ------------------------------------------------------------

  Event Build(const Untold& u) const noexcept {
    if (u.kind == Event::Kind::kSocketClosed) {
      return {.kind = u.kind, .slot = {u.index, sockets_[u.index].generation}};
    }
    const Flow& flow = flows_[u.index];
    const Latch& latch = flow.side[Index(u.side)].latch;
    return {.kind = u.kind,
            .side = u.side,
            .by = latch.believed() ? latch.by() : LatchedBy::kNothing,
            .confirmed = latch.state() == Latch::State::kConfirmed,
            .slot = {u.index, flow.generation.load(std::memory_order_relaxed)},
            .source = latch.believed() ? latch.source() : Endpoint{}};
  }

  // Tells now, or remembers to: what is told is built when it is told, so it
  // is what is true then.
  void Tell(const Untold& u) noexcept {
    if (u.kind == Event::Kind::kLatched) {
      bool& untold = flows_[u.index].side[Index(u.side)].untold;
      if (untold) return;
      untold = true;
    }
    if (!TryTell(u)) {
      untold_.push_back(u);
      counters_.events_deferred.Add(1);
    }
  }

  bool TryTell(const Untold& u) noexcept {
    // A flow closed in between has nothing more to say.
    if (u.kind == Event::Kind::kLatched && !flows_[u.index].open()) {
      flows_[u.index].side[Index(u.side)].untold = false;
      return true;
    }
    if (!events_.TryPush(Build(u))) return false;
    told_ = true;
    if (u.kind == Event::Kind::kSocketClosed) {
      sockets_[u.index] = RelaySocket{};
    } else {
      flows_[u.index].side[Index(u.side)].untold = false;
    }
    return true;
  }

  void RetryUntold() noexcept {
    size_t told = 0;
    while (told < untold_.size() && TryTell(untold_[told])) ++told;
    if (told > 0) {
      untold_.erase(untold_.begin(),
                    untold_.begin() + static_cast<ptrdiff_t>(told));
    }
  }

  // ---- packets -----------------------------------------------------------

  void OnCompletion(const net::Completion& c) noexcept {
    switch (c.tag.kind) {
      case net::OpTag::Kind::kReceive: return OnReceive(c);
      case net::OpTag::Kind::kSend: return OnSend(c);
      case net::OpTag::Kind::kWake: return;    // commands: at the next turn
      case net::OpTag::Kind::kCancel: return;  // the receive's end says it
    }
  }

  void OnReceive(const net::Completion& c) noexcept {
    RelaySocket& socket = sockets_[c.tag.socket];
    const bool stale =
        socket.generation == 0 || socket.closed ||
        (socket.generation & net::OpTag::kGenerationMask) != c.tag.generation;
    if (!stale && !c.more) socket.armed = false;

    if (c.has_buffer) {
      counters_.packets_in.Add(1);
      counters_.bytes_in.Add(c.payload.size());
      if (c.kernel_drops != 0 && !stale) [[unlikely]] {
        counters_.kernel_drops.Add(c.kernel_drops - socket.drops_seen);
        socket.drops_seen = c.kernel_drops;
      }
      if (stale || socket.closing) {
        Drop(c.tag.buffer, DropReason::k_stale);
      } else {
        Relay(socket, c);
      }
    } else if (!stale) {
      OnReceiveError(c.result);
    }

    if (stale || c.more) return;
    if (socket.closing) return MaybeClosed(c.tag.socket);
    // The kernel ended the receive (no buffer, no room for completions, an
    // ICMP error): the socket must never stay deaf (F6, F7, F11).
    counters_.receive_rearms.Add(1);
    Arm(c.tag.socket);
  }

  void OnReceiveError(int32_t result) noexcept {
    switch (-result) {
      case ENOBUFS: return counters_.buffers_starved.Add(1);
      case ECANCELED: return;
      default: return counters_.socket_errors.Add(1);
    }
  }

  void Relay(const RelaySocket& socket, const net::Completion& c) noexcept {
    const uint32_t index = SelectFlow(socket, c.source);
    if (index == FlowSide::kNone) {
      return Drop(c.tag.buffer, DropReason::k_no_flow);
    }
    Flow& flow = flows_[index];
    const Side in = socket.faces;
    // Whatever becomes of it, on the line that Decide() looks at anyway.
    if (flow.watched) [[unlikely]]
      Copy(socket, c);
    const Verdict verdict = Decide(
        flow, in,
        {.source = c.source, .payload = c.payload, .truncated = c.truncated},
        RtpOf(flow), now_);
    if (verdict.latched) {
      FlowSide& side = flow.side[Index(in)];
      Aim(side, socket);
      counters_.latches.Add(1);
      Tell(Untold{Event::Kind::kLatched, in, index});
    }
    if (!verdict.send) return Drop(c.tag.buffer, verdict.reason);
    Send(flow, index, in, c);
  }

  [[gnu::noinline, gnu::cold]] void Copy(const RelaySocket& socket,
                                         const net::Completion& c) noexcept {
    const Slot at{.index = c.tag.socket, .generation = socket.generation};
    if (options_.copies->Push(now_, c.source, at, c.payload)) {
      counters_.watch_copied.Add(1);
    } else {
      counters_.watch_lost.Add(1);
    }
  }

  void Send(Flow& flow, uint32_t index, Side in,
            const net::Completion& c) noexcept {
    const FlowSide& out = flow.side[Index(Other(in))];
    RelaySocket& socket = sockets_[out.socket];
    const auto length = static_cast<uint32_t>(c.payload.size());
    const net::OpTag tag{
        .kind = net::OpTag::Kind::kSend,
        .generation = socket.generation & net::OpTag::kGenerationMask,
        .socket = out.socket,
        .buffer = c.tag.buffer};
    if (!engine_.Send(tag, length, out.to)) {
      FlowDrop(flow, in, DropReason::k_ring_full);
      return Drop(c.tag.buffer, DropReason::k_ring_full);
    }
    ++socket.sends;
    ++sends_in_flight_;
    in_flight_[c.tag.buffer] = {
        .flow = index,
        .generation = flow.generation.load(std::memory_order_relaxed),
        .length = length,
        .sequence = rtp::SequenceMark(c.payload),
        .in = in};
  }

  void OnSend(const net::Completion& c) noexcept {
    const InFlight& sent = in_flight_[c.tag.buffer];
    Flow& flow = flows_[sent.flow];
    const bool live =
        flow.generation.load(std::memory_order_relaxed) == sent.generation;
    --sends_in_flight_;
    if (c.result >= 0) {
      counters_.packets_out.Add(1);
      counters_.bytes_out.Add(sent.length);
      if (live) {
        SideCells& cells = flow.side[Index(Other(sent.in))].cells;
        cells.packets_out.Add(1);
        cells.bytes_out.Add(sent.length);
        if (sent.sequence != 0) cells.last_sent.Set(sent.sequence);
      }
      engine_.Recycle(c.tag.buffer);
    } else {
      const DropReason reason = ReasonOf(-c.result);
      if (live) FlowDrop(flow, sent.in, reason);
      Drop(c.tag.buffer, reason);
    }
    RelaySocket& socket = sockets_[c.tag.socket];
    --socket.sends;
    if (socket.closing) MaybeClosed(c.tag.socket);
  }

  static DropReason ReasonOf(int error) noexcept {
    switch (error) {
      case ECONNREFUSED:
      case ENETUNREACH:
      case EHOSTUNREACH:
      case ENETDOWN:
      case EHOSTDOWN:
      case EACCES:
      case EPERM:
      case EINVAL:
      case EADDRNOTAVAIL: return DropReason::k_unreachable;
      default: return DropReason::k_send_failed;
    }
  }

  void Drop(uint16_t buffer, DropReason reason) noexcept {
    counters_.Drop(reason);
    engine_.Recycle(buffer);
  }

  static void FlowDrop(Flow& flow, Side in, DropReason reason) noexcept {
    flow.side[Index(in)].cells.drops[static_cast<size_t>(reason)].Add(1);
  }

  // Nearly always the only one. The offerer's socket of a forked call is in
  // one flow for each answer; then the source says whose packet it is: who is
  // believed, else whose SDP names it, else the first that still listens.
  uint32_t SelectFlow(const RelaySocket& socket,
                      const Endpoint& source) const noexcept {
    const uint32_t first = socket.first_flow;
    if (first == FlowSide::kNone) return first;
    const int s = Index(socket.faces);
    if (flows_[first].side[s].next == FlowSide::kNone) return first;
    // Of those who still listen: whose SDP names the source, else its address,
    // else who may learn one; the newest answer before the older ones.
    uint32_t best = FlowSide::kNone;
    int best_claim = 0;
    for (uint32_t i = first; i != FlowSide::kNone; i = flows_[i].side[s].next) {
      const Latch& latch = flows_[i].side[s].latch;
      if (latch.believed() && latch.source() == source) return i;
      const int claim = Claim(flows_[i], s, source);
      if (claim > best_claim) {
        best = i;
        best_claim = claim;
      }
    }
    return best != FlowSide::kNone ? best : first;
  }

  int Claim(const Flow& flow, int s, const Endpoint& source) const noexcept {
    const Latch& latch = flow.side[s].latch;
    if (latch.target().target == source) return 5;
    if (latch.believed()) return 0;
    if (latch.Probes(source)) return 4;
    const Flow* rtp = RtpOf(flow);
    if (latch.target().target.ip == source.ip ||
        (rtp != nullptr && rtp->side[s].latch.believed() &&
         rtp->side[s].latch.source().ip == source.ip)) {
      return 3;
    }
    return latch.target().learn_any ? 2 : 1;
  }

  const Flow* RtpOf(const Flow& flow) const noexcept {
    if (flow.rtp_flow == FlowSide::kNone) return nullptr;
    const Flow& rtp = flows_[flow.rtp_flow];
    return rtp.generation.load(std::memory_order_relaxed) == flow.rtp_generation
               ? &rtp
               : nullptr;
  }

  // Fixed after construction.
  Engine& engine_;
  const Options options_;
  FlowTable& flows_;
  ShardCounters& counters_;
  CommandQueue& commands_;
  EventQueue& events_;

  // Shard thread only.
  SocketTable sockets_;
  std::vector<InFlight> in_flight_;  // by buffer id
  std::vector<uint32_t> to_arm_;     // sockets whose receive found no room
  std::vector<uint32_t> to_cancel_;
  std::vector<Untold> untold_;
  uint32_t open_sockets_ = 0;
  uint32_t sockets_used_ = 0;  // no slot from here on was ever open
  uint32_t sends_in_flight_ = 0;
  Micros now_{};
  bool stopping_ = false;
  bool told_ = false;
};

}  // namespace sluice::relay

#endif  // SLUICE_RELAY_SHARD_H_
