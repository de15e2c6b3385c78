// Goal: whatever arrives, in any order, at any moment of a flow's life, and
// whatever operation fails, the laws hold: every packet is sent or dropped for
// one reason (L1), no buffer is lost (L2), nothing of a closed flow is sent
// (L3), nobody gets a packet whom neither signalling named nor a latch learnt
// (L4), every socket opened is closed exactly once (L5), and packets of a flow
// keep their order (L8).
// Method: random traffic and commands from a seed that a failure prints; the
// laws checked every turn. Then the same worlds again, failing every n-th
// operation of each kind.
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <memory>
#include <random>
#include <vector>

#include "relay/shard.h"
#include "tests/fakes/fake_engine.h"
#include "tests/fakes/packets.h"

namespace sluice::relay {
namespace {

using net::FakeEngine;

constexpr int kTurns = 120;
constexpr uint32_t kSockets = 24;
constexpr uint32_t kFlows = 12;

struct Faults {
  uint32_t refuse_arm = 0, refuse_cancel = 0, refuse_send = 0, fail_send = 0,
           end_receive = 0;
  int send_delay = 0;
  uint32_t buffers = 12;
};

// The mark in a payload: whose packet it is.
struct Mark {
  uint32_t flow;  // serial number, never used twice
  uint8_t side;
  uint32_t number;  // counts within flow and side
};

class World {
 public:
  World(uint32_t seed, const Faults& faults)
      : random_(seed), engine_(faults.buffers, 200), flows_(kFlows) {
    engine_.refuse_arm_every = faults.refuse_arm;
    engine_.refuse_cancel_every = faults.refuse_cancel;
    engine_.refuse_send_every = faults.refuse_send;
    engine_.fail_send_every = faults.fail_send;
    engine_.end_receive_every = faults.end_receive;
    engine_.send_delay_turns = faults.send_delay;
    shard_ = std::make_unique<Shard<FakeEngine>>(
        engine_, Shard<FakeEngine>::Options{.sockets = kSockets}, flows_,
        counters_, commands_, events_);
    engine_.on_send = [this](const FakeEngine::Sent& sent) { Check(sent); };
  }

  void Run() {
    for (int turn = 0; turn < kTurns && !testing::Test::HasFailure(); ++turn) {
      for (int i = Below(3); i > 0; --i) Command_();
      for (int i = Below(12); i > 0; --i) Traffic();
      Turn();
    }
    CloseAll();
    // Faults may delay the end, not prevent it.
    for (int turn = 0; turn < 400 && open_ > 0; ++turn) Turn();
    EXPECT_EQ(open_, 0) << "L5: every open has its close";
    EXPECT_EQ(counters_.sockets_opened.Get(), counters_.sockets_closed.Get());
    EXPECT_EQ(engine_.buffers_free(), engine_.buffers_total());
  }

 private:
  struct Party {
    Endpoint named;   // by signalling
    Endpoint natted;  // same address, another port
    Endpoint elsewhere;
  };
  struct LiveFlow {
    uint32_t serial = 0;
    Slot slot{};
    Slot socket[2]{};
    int fd[2]{};
    Party party[2]{};
    bool learn[2]{};
    uint32_t number[2]{};
    uint16_t sequence[2]{};
    LatchPolicy policy{};
  };

  int Below(int n) {
    return static_cast<int>(random_() % static_cast<uint32_t>(n));
  }

  Party NewParty(bool learn) {
    const auto a = static_cast<uint8_t>(++addresses_);
    const auto b = static_cast<uint8_t>(addresses_ >> 8);
    Party p;
    p.named = {learn ? IpAddress::V4(10, 0, b, a) : IpAddress::V4(192, 0, b, a),
               Port::FromHost(4000)};
    p.natted = {p.named.ip, Port::FromHost(4444)};
    p.elsewhere = {IpAddress::V4(203, 1, b, a), Port::FromHost(5000)};
    return p;
  }

  uint32_t FreeIndex(const std::vector<bool>& used) {
    for (uint32_t i = 0; i < used.size(); ++i) {
      if (!used[i]) return i;
    }
    return UINT32_MAX;
  }

  Slot OpenSocket(int* fd) {
    const uint32_t index = FreeIndex(socket_used_);
    if (index == UINT32_MAX) return {};
    socket_used_[index] = true;
    Command c{.kind = Command::Kind::kOpenSocket,
              .fd = *fd = next_fd_++,
              .slot = {index, ++generation_}};
    c.target[0].target = At("127.0.0.1:1");
    commands_.TryPush(c);
    ++open_;
    return c.slot;
  }

  void Command_() {
    switch (Below(6)) {
      case 0:
      case 1:
      case 2: return OpenFlow();
      case 3: return Retarget();
      case 4: return CloseFlow();
      case 5: return Hold();
    }
  }

  void OpenFlow() {
    const uint32_t index = FreeIndex(flow_used_);
    if (index == UINT32_MAX) return;
    LiveFlow f;
    f.serial = ++serial_;
    for (int s : {0, 1}) {
      f.socket[s] = OpenSocket(&f.fd[s]);
      if (!f.socket[s]) {  // half a pair is given back at once
        if (s == 1) CloseSocket(f.socket[0]);
        return;
      }
    }
    flow_used_[index] = true;
    f.slot = {index, ++generation_};
    f.policy = static_cast<LatchPolicy>(Below(3));
    Command c{.kind = Command::Kind::kOpenFlow,
              .policy = {f.policy, f.policy},
              .slot = f.slot};
    for (int s : {0, 1}) {
      f.learn[s] = Below(3) == 0;
      f.party[s] = NewParty(f.learn[s]);
      c.socket[s] = f.socket[s];
      c.target[s] = {.target = f.party[s].named, .learn_any = f.learn[s]};
      Allow(f, s);
    }
    commands_.TryPush(c);
    slots_[f.serial] = f.slot;
    live_.push_back(f);
  }

  // Who may ever be sent to from this socket.
  void Allow(const LiveFlow& f, int side) {
    auto& allowed = allowed_[f.fd[side]];
    const Party& p = f.party[side];
    allowed.push_back(p.named);
    if (f.policy != LatchPolicy::kStrict) allowed.push_back(p.natted);
    if (f.learn[side] || f.policy == LatchPolicy::kFirstPacket) {
      allowed.push_back(p.elsewhere);
    }
    if (f.policy == LatchPolicy::kFirstPacket) allowed.push_back(kStranger);
    // Sources of a former address of the party may be learnt while natted.
    if (f.learn[side]) allowed.push_back(kStranger);
  }

  LiveFlow* Any() {
    return live_.empty() ? nullptr
                         : &live_[static_cast<size_t>(
                               Below(static_cast<int>(live_.size())))];
  }

  void Retarget() {
    LiveFlow* f = Any();
    if (f == nullptr) return;
    const int s = Below(2);
    f->party[s] = NewParty(f->learn[s]);
    Allow(*f, s);
    Command c{.kind = Command::Kind::kRetarget,
              .side = static_cast<Side>(s),
              .slot = f->slot};
    c.target[s] = {.target = f->party[s].named, .learn_any = f->learn[s]};
    commands_.TryPush(c);
  }

  void Hold() {
    LiveFlow* f = Any();
    if (f == nullptr) return;
    const int s = Below(2);
    commands_.TryPush(Command{.kind = Command::Kind::kRetarget,
                              .side = static_cast<Side>(s),
                              .slot = f->slot});
  }

  void CloseSocket(Slot slot) {
    commands_.TryPush(
        Command{.kind = Command::Kind::kCloseSocket, .slot = slot});
  }

  void CloseFlow() {
    LiveFlow* f = Any();
    if (f == nullptr) return;
    commands_.TryPush(
        Command{.kind = Command::Kind::kCloseFlow, .slot = f->slot});
    for (int s : {0, 1}) CloseSocket(f->socket[s]);
    flow_used_[f->slot.index] = false;
    std::swap(*f, live_.back());
    live_.pop_back();
  }

  void CloseAll() {
    while (!live_.empty()) CloseFlow();
  }

  void Traffic() {
    LiveFlow* f = Any();
    if (f == nullptr) return;
    const int s = Below(2);
    const Party& p = f->party[s];
    Endpoint from = p.named;
    switch (Below(10)) {
      case 0: from = kStranger; break;
      case 1: from = p.elsewhere; break;
      case 2:
      case 3: from = p.natted; break;
      default: break;
    }
    Bytes packet =
        Rtp(++f->sequence[s], f->serial * 2 + static_cast<uint32_t>(s), 0);
    Put(packet, f->serial, 4);
    Put(packet, static_cast<uint64_t>(s), 1);
    Put(packet, ++f->number[s], 4);
    switch (Below(12)) {
      case 0: packet[0] = 0x12; break;    // not RTP
      case 1: packet.clear(); break;      // nothing
      case 2: packet.resize(201); break;  // too long
      default: break;
    }
    engine_.Deliver(f->fd[s], from, std::move(packet));
    if (Below(40) == 0) engine_.FailReceive(f->fd[s], ECONNREFUSED);
  }

  void Turn() {
    shard_->RunOnce(Micros::Millis(1));

    EXPECT_EQ(counters_.packets_in.Get(), counters_.packets_out.Get() +
                                              counters_.DropsTotal() +
                                              shard_->sends_in_flight())
        << "L1";
    EXPECT_EQ(engine_.buffers_free() + shard_->sends_in_flight(),
              engine_.buffers_total())
        << "L2";
    Event e;
    while (events_.TryPop(&e)) {
      if (e.kind != Event::Kind::kSocketClosed) continue;
      EXPECT_TRUE(socket_used_[e.slot.index]) << "L5: told twice";
      socket_used_[e.slot.index] = false;
      --open_;
    }
  }

  void Check(const FakeEngine::Sent& sent) {
    ASSERT_EQ(sent.payload.size(), 12u + 9u) << "only whole RTP leaves";
    auto read = [&](size_t at, int octets) {
      uint32_t v = 0;
      for (int i = 0; i < octets; ++i) {
        v = v << 8 | sent.payload[at + static_cast<size_t>(i)];
      }
      return v;
    };
    const Mark mark{read(12, 4), static_cast<uint8_t>(read(16, 1)),
                    read(17, 4)};
    if (engine_.send_delay_turns == 0) {
      const Slot slot = slots_[mark.flow];
      EXPECT_EQ(flows_[slot.index].generation.load(), slot.generation)
          << "L3: flow " << mark.flow << " is closed";
    }
    const auto& allowed = allowed_[sent.fd];
    EXPECT_NE(std::find(allowed.begin(), allowed.end(), sent.to), allowed.end())
        << "L4: sent to " << sent.to.ToString();
    uint32_t& last = last_number_[{mark.flow, mark.side}];
    EXPECT_GT(mark.number, last) << "L8";
    last = mark.number;
  }

  const Endpoint kStranger = At("198.51.100.66:6666");

  std::mt19937 random_;
  FakeEngine engine_;
  FlowTable flows_;
  ShardCounters counters_;
  CommandQueue commands_;
  EventQueue events_;
  std::unique_ptr<Shard<FakeEngine>> shard_;

  std::vector<bool> socket_used_ = std::vector<bool>(kSockets);
  std::vector<bool> flow_used_ = std::vector<bool>(kFlows);
  std::vector<LiveFlow> live_;
  std::map<int, std::vector<Endpoint>> allowed_;  // by descriptor
  std::map<std::pair<uint32_t, uint8_t>, uint32_t> last_number_;
  std::map<uint32_t, Slot> slots_;  // by serial
  uint32_t serial_ = 0, generation_ = 0, addresses_ = 0;
  int next_fd_ = 100;
  int open_ = 0;
};

void RunSeeds(uint32_t first, uint32_t count, const Faults& faults) {
  for (uint32_t seed = first; seed < first + count; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    World(seed, faults).Run();
    if (testing::Test::HasFailure()) return;
  }
}

TEST(ShardWorld, LawsHoldOnAFairNetwork) { RunSeeds(1, 1000, {}); }

TEST(ShardWorld, LawsHoldWithFewBuffers) {
  RunSeeds(2001, 300, {.buffers = 2});
}

TEST(ShardWorld, LawsHoldWithSlowSends) {
  RunSeeds(3001, 300, {.send_delay = 3});
}

TEST(ShardWorld, LawsHoldWhereEveryNthOperationFails) {
  uint32_t seed = 10'000;
  for (uint32_t n = 2; n <= 9; ++n) {
    for (const Faults& faults :
         {Faults{.refuse_arm = n}, Faults{.refuse_cancel = n},
          Faults{.refuse_send = n}, Faults{.fail_send = n},
          Faults{.end_receive = n},
          Faults{.refuse_arm = n,
          .refuse_cancel = n + 1,
          .refuse_send = n + 2,
          .fail_send = n + 3,
          .end_receive = n + 1,
          .buffers = 3}}) {
      RunSeeds(seed, 20, faults);
      seed += 20;
      if (HasFailure()) return;
    }
  }
}

}  // namespace
}  // namespace sluice::relay
