#ifndef SLUICE_TESTS_SIP_SIMPLE_WORLD_H_
#define SLUICE_TESTS_SIP_SIMPLE_WORLD_H_

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/net/datagram_socket.h"
#include "base/net/event_loop.h"
#include "base/net/socket.h"
#include "sip/message.h"
#include "sip/simple.h"

namespace sluice::sip {

// A road of datagrams between two agents, on which what is told may happen to
// each message: what comes from one end leaves to the other.
//
//   alice --> near | Wire | far --> bob
class Wire {
 public:
  // kLate: after the next message, whoever sends it.
  enum class Fate : uint8_t { kPass, kLose, kTwice, kLate };
  struct Seen {
    bool from_near = false;
    std::string octets;
  };
  using Judge = std::function<Fate(const Seen& seen, size_t index)>;

  explicit Wire(net::EventLoop& loop) {
    near_ = Open(loop, true);
    far_ = Open(loop, false);
  }
  std::string near() const { return near_->local().ToString(); }
  std::string far() const { return far_->local().ToString(); }
  // Who is where; until then what would go there is lost.
  void Connect(const Endpoint& near_peer, const Endpoint& far_peer) {
    near_peer_ = near_peer;
    far_peer_ = far_peer;
  }
  void SetJudge(Judge judge) { judge_ = std::move(judge); }
  const std::vector<Seen>& seen() const { return seen_; }
  void Forget() { seen_.clear(); }
  // "INVITE", "200 INVITE", ... in order, those from the near end with ">".
  std::vector<std::string> Story() const {
    std::vector<std::string> out;
    for (const Seen& s : seen_) {
      Message m;
      if (m.Parse(s.octets)) {
        out.push_back("?");
        continue;
      }
      std::string what = s.from_near ? ">" : "<";
      if (m.is_response()) what += std::to_string(m.status()) + " ";
      out.push_back(what + std::string(m.method_text()));
    }
    return out;
  }

 private:
  std::unique_ptr<net::DatagramSocket> Open(net::EventLoop& loop,
                                            bool from_near) {
    auto fd = net::OpenUdp(*Endpoint::Parse("127.0.0.1:0"), {});
    EXPECT_TRUE(fd.ok()) << fd.status();
    auto socket = net::DatagramSocket::Create(
        loop, *std::move(fd),
        [this, from_near](const Endpoint&, std::string_view octets) {
          OnDatagram(from_near, octets);
        });
    EXPECT_TRUE(socket.ok()) << socket.status();
    return *std::move(socket);
  }
  void OnDatagram(bool from_near, std::string_view octets) {
    seen_.push_back({.from_near = from_near, .octets = std::string(octets)});
    const Seen seen = seen_.back();
    const Fate fate = judge_ ? judge_(seen, seen_.size() - 1) : Fate::kPass;
    if (fate == Fate::kLate) {
      late_.push_back(seen);
      return;
    }
    if (fate != Fate::kLose) Deliver(seen);
    if (fate == Fate::kTwice) Deliver(seen);
    for (const Seen& late : std::exchange(late_, {})) Deliver(late);
  }
  void Deliver(const Seen& seen) {
    const absl::Status sent = seen.from_near
                                  ? far_->Send(far_peer_, seen.octets)
                                  : near_->Send(near_peer_, seen.octets);
    EXPECT_TRUE(sent.ok()) << sent;
  }

  Endpoint near_peer_{}, far_peer_{};
  std::unique_ptr<net::DatagramSocket> near_, far_;
  Judge judge_;
  std::vector<Seen> seen_;
  std::vector<Seen> late_;  // held back
};

// Two agents on one loop whose time the test tells, with a wire between them.
class SimpleAgents {
 public:
  SimpleAgents() : loop_([this] { return now_; }), wire_(loop_) {
    alice_ = Make("alice", wire_.near());
    bob_ = Make("bob", wire_.far());
    wire_.Connect(At(*alice_), At(*bob_));
  }
  virtual ~SimpleAgents() = default;

  std::unique_ptr<Simple> Make(const std::string& user,
                               const std::string& wire) {
    Simple::Options options = OptionsOf(user);
    options.legs = {"udp:127.0.0.1:0"};
    options.outgoing_proxy = wire;
    auto made = Simple::Create(std::move(options));
    EXPECT_TRUE(made.ok()) << made.status();
    return made.ok() ? *std::move(made) : nullptr;
  }
  virtual Simple::Options OptionsOf(const std::string& user) {
    Simple::Options options;
    options.from = user;
    options.domain = "example.com";
    options.loop = &loop_;
    options.rtp_ports = {20'000, 29'999};
    return options;
  }
  static Endpoint At(const Simple& agent) {
    return *Endpoint::Parse(
        std::string_view(agent.Listening().front()).substr(4));
  }

  // Everything that can happen without time going on.
  void Settle() {
    size_t quiet = 0;
    for (int turns = 0; quiet < 4 && turns < 10'000; ++turns) {
      const size_t before = wire_.seen().size();
      loop_.RunOnce(Micros());
      quiet = wire_.seen().size() == before ? quiet + 1 : 0;
    }
  }
  void RunFor(Micros time, Micros step = Micros::Millis(10)) {
    for (const Micros end = now_ + time; now_ < end;) {
      Settle();
      now_ = std::min(end, now_ + step);
    }
    Settle();
  }
  // Time goes on until it is so; false after `most`.
  bool RunUntil(const std::function<bool()>& so,
                Micros most = Micros::Seconds(200)) {
    for (const Micros end = now_ + most; now_ < end;) {
      Settle();
      if (so()) return true;
      now_ = now_ + Micros::Millis(10);
    }
    return so();
  }

  Micros now_ = Micros::Seconds(1'000);
  net::EventLoop loop_;
  Wire wire_;
  std::unique_ptr<Simple> alice_, bob_;
};

class SimpleWorld : public ::testing::Test, protected SimpleAgents {};

}  // namespace sluice::sip

#endif  // SLUICE_TESTS_SIP_SIMPLE_WORLD_H_
