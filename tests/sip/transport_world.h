#ifndef SLUICE_TESTS_SIP_TRANSPORT_WORLD_H_
#define SLUICE_TESTS_SIP_TRANSPORT_WORLD_H_

#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/net/event_loop.h"
#include "base/net/socket.h"
#include "gtest/gtest.h"
#include "sip/transport.h"

namespace sluice::sip {

inline const Endpoint kLoopback4 = *Endpoint::Parse("127.0.0.1:0");
inline const Endpoint kLoopback6 = *Endpoint::Parse("[::1]:0");

// A message that a framer takes for one, and a datagram too.
inline std::string Request(std::string_view word, size_t body = 0) {
  return "OPTIONS sip:" + std::string(word) +
         " SIP/2.0\r\nContent-Length: " + std::to_string(body) + "\r\n\r\n" +
         std::string(body, 'b');
}

// A leg and what came to it.
struct Node {
  struct Got {
    Peer from;
    std::string octets;
  };

  Node(net::EventLoop& loop, LegTransport::Options options)
      : leg(loop, std::move(options),
            [this](const Peer& from, std::string_view octets) {
              got.push_back({from, std::string(octets)});
              if (then) then(from, octets);
            }) {}

  Endpoint at(Transport transport) const {
    for (const auto& [bound, address] : leg.listeners()) {
      if (bound == transport) return address;
    }
    ADD_FAILURE() << "no such listener";
    return {};
  }
  const TransportCounters& counters() const { return leg.counters(); }
  // Sends and keeps what becomes of it, by order of the asking.
  size_t Send(const Peer& to, std::string octets,
              std::string_view tls_name = "") {
    return Put(to, std::move(octets), "", false, tls_name);
  }
  size_t Respond(const Peer& to, std::string octets,
                 std::string_view transaction = "") {
    return Put(to, std::move(octets), transaction, true, "");
  }

  std::vector<Got> got;
  LegTransport::Receiver then;
  std::vector<std::optional<absl::Status>> sent;  // nullopt: not told yet
  LegTransport leg;

 private:
  size_t Put(const Peer& to, std::string octets, std::string_view transaction,
             bool response, std::string_view tls_name) {
    const size_t index = sent.size();
    sent.emplace_back();
    leg.Send(to, std::move(octets), transaction, response, tls_name,
             [this, index](absl::Status status) {
               EXPECT_FALSE(sent[index].has_value()) << "told twice";
               sent[index] = std::move(status);
             });
    return index;
  }
};

// A TCP peer that speaks octets and never blocks.
class TcpPeer {
 public:
  // From `from`'s address (127.0.0.0/8 is all ours).
  explicit TcpPeer(const Endpoint& server, Endpoint from = {}) {
    if (from.is_none()) {
      from = server.family() == AF_INET ? kLoopback4 : kLoopback6;
    }
    absl::StatusOr<net::Fd> fd = net::ConnectTcp(from, server);
    EXPECT_TRUE(fd.ok()) << fd.status();
    if (fd.ok()) fd_ = *std::move(fd);
  }
  explicit TcpPeer(net::Fd fd) : fd_(std::move(fd)) {}

  // How much the kernel took.
  ssize_t Send(std::string_view octets) {
    return send(fd_.get(), octets.data(), octets.size(), MSG_NOSIGNAL);
  }
  const std::string& received() {
    char octets[64 * 1024];
    ssize_t n;
    while ((n = recv(fd_.get(), octets, sizeof(octets), 0)) > 0) {
      received_.append(octets, static_cast<size_t>(n));
    }
    if (n == 0 || (errno != EAGAIN && errno != ENOTCONN)) closed_ = true;
    if (n < 0 && errno == ECONNRESET) reset_ = true;
    return received_;
  }
  bool closed() {
    received();
    return closed_;
  }
  bool reset() const { return reset_; }
  void NoMoreFromMe() { EXPECT_EQ(shutdown(fd_.get(), SHUT_WR), 0); }
  void Leave() { fd_.Reset(); }
  int fd() const { return fd_.get(); }
  Endpoint local() const { return *net::LocalEndpoint(fd_.get()); }

 private:
  net::Fd fd_;
  std::string received_;
  bool closed_ = false;
  bool reset_ = false;
};

// A loop whose time stands still until a test moves it, and the legs on it.
class TransportWorld : public testing::Test {
 protected:
  Node& Make(LegTransport::Options options) {
    if (options.name.empty()) options.name = "test";
    nodes_.push_back(std::make_unique<Node>(loop_, std::move(options)));
    const absl::Status listening = nodes_.back()->leg.Listen();
    EXPECT_TRUE(listening.ok()) << listening;
    return *nodes_.back();
  }
  Node& Make(Transport transport, PoolOptions pool = {}) {
    return Make({.listen = {{transport, kLoopback4}}, .pool = pool});
  }

  void Turns(int n = 4) {
    for (int i = 0; i < n; ++i) loop_.RunOnce(Micros());
  }
  // The number of turns ends a test that would never end.
  void TurnUntil(const std::function<bool()>& done) {
    bool is_done = done();
    for (int i = 0; i < 20'000 && !is_done; ++i) {
      loop_.RunOnce(Micros::Millis(1));
      is_done = done();
    }
    EXPECT_TRUE(is_done);
  }
  // In steps that the loop does not take for a stall.
  void Advance(Micros by) {
    constexpr Micros kStep = Micros::Millis(250);
    while (by > Micros()) {
      const Micros step = std::min(by, kStep);
      time_ = time_ + step;
      by = by - step;
      Turns(2);
    }
  }
  void Stall(Micros by) {
    time_ = time_ + by;
    Turns(2);
  }
  TcpPeer Join(Node& node, Endpoint from = {},
               Transport transport = Transport::kTcp) {
    const uint64_t before = node.counters().accepted;
    TcpPeer peer(node.at(transport), from);
    TurnUntil([&] { return node.counters().accepted > before; });
    return peer;
  }
  void ExpectLaw(const Node& node) {
    const TransportCounters& c = node.counters();
    EXPECT_EQ(c.accepted + c.connected, c.closed + node.leg.connections());
  }

  Micros time_ = Micros::Seconds(1000);
  net::EventLoop loop_{[this] { return time_; }};
  std::vector<std::unique_ptr<Node>> nodes_;
};

}  // namespace sluice::sip

#endif  // SLUICE_TESTS_SIP_TRANSPORT_WORLD_H_
