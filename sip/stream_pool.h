#ifndef SLUICE_SIP_STREAM_POOL_H_
#define SLUICE_SIP_STREAM_POOL_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "base/address.h"
#include "base/net/event_loop.h"
#include "sip/connection.h"
#include "sip/tls_context.h"
#include "sip/transport.h"

namespace sluice::sip {

// The stream connections of a leg: found by number, transaction or peer, made
// where there is none, closed when they are silent, slow, wrong or too many.
//
// Every deadline is looked at four times a second, over all connections, while
// there are any: nothing is armed or cancelled for a message. After a stall
// deadlines count from its end (F5).
//
// To make room the connection goes that has been longest without a whole
// message, whatever else it sends. Never one whose peer has registered, one
// with output waiting, or the one whose message is being handled.
//
// Law, for tests: accepted + connected == closed + size() (those still
// connecting aside).
//
// Thread: the loop's. Not destroyed in its own callbacks.
class StreamPool {
 public:
  struct Options {
    std::string leg{};  // its name, for the log
    PoolOptions pool{};
    // Whom alone connections are accepted from.
    std::optional<IpAddress> only{};
  };
  struct Callbacks {
    LegTransport::Receiver receiver;
    LegTransport::Refuser refuser{};
    LegTransport::AnswerPolicy may_answer{};
  };
  // Where a message is to go; views are the caller's.
  struct Route {
    Peer to{};
    // A new connection is made from there; nullopt: the leg has no address that
    // reaches the peer.
    std::optional<IpAddress> local{};
    std::string_view transaction{};
    bool response = false;
    std::string_view tls_name{};
  };

  // `counters` and `callbacks` are the leg's and outlive the pool.
  StreamPool(net::EventLoop& loop, Options options, const Callbacks& callbacks,
             TransportCounters& counters);
  ~StreamPool();
  StreamPool(const StreamPool&) = delete;
  StreamPool& operator=(const StreamPool&) = delete;

  void SetTls(std::shared_ptr<const TlsContext> tls) { tls_ = std::move(tls); }

  void Accept(net::Fd fd, const Endpoint& peer, Transport transport);
  // As LegTransport::Send.
  void Send(const Route& route, Outgoing message);
  void Remember(uint64_t connection, std::string_view transaction);
  void KeepAlive(uint64_t connection, Micros how_long);

  size_t size() const { return connections_.size(); }

 private:
  using Ptr = std::shared_ptr<Connection>;
  using PeerKey = std::pair<Transport, Endpoint>;

  // A full handshake costs about a millisecond of signing: so many in a row is
  // what everybody else has to wait for them.
  static constexpr int kHandshakesPerTurn = 8;
  static constexpr size_t kConnectingMax = 256;

  // --- Finding ---
  Ptr Get(uint64_t id) const;  // null: gone, or ending
  Ptr Find(const Route& route) const;
  bool Serves(const Connection& c, const Route& route) const;
  static std::string TransactionKey(std::string_view transaction);
  void ForgetOldest(Connection& c);

  // --- Coming and going ---
  absl::StatusOr<Ptr> Connect(const Route& route);
  Ptr Make(Connection::Maker maker, net::Fd fd, const Endpoint& peer,
           Transport transport);
  absl::Status Enter(const Ptr& c);
  bool HasRoomFor(const Endpoint& peer);
  // Closes one that is idle; of that network, if one is named.
  bool MakeRoom(const IpAddress* network);
  void DropOldestHandshake();
  void Leave(Connection& c);
  void Close(Connection& c, const absl::Status& why);

  // --- One connection ---
  void OnIo(uint64_t id, uint32_t events);
  void FinishConnect(Connection& c);
  void StepHandshake(Connection& c);
  void HandshakeFailed(Connection& c, const absl::Status& why);
  void Read(Connection& c);
  bool OnStep(Connection& c, Framer::Step step, std::string_view octets);
  void OnBad(Connection& c, Framer::Step step, std::string_view octets);
  void Deliver(Connection& c, Outgoing message);
  void Flush(Connection& c);
  void Rearm(Connection& c);
  bool TakeHandshakeTurn();

  // --- Time ---
  void Sweep();
  void CheckDeadlines(Connection& c, Micros idle_limit);

  void Fail(Outgoing message, const absl::Status& why);

  // Fixed after construction.
  net::EventLoop& loop_;
  const Options options_;
  const Callbacks& callbacks_;
  TransportCounters& counters_;
  // What one read takes; shared, as no read happens inside another.
  const std::unique_ptr<char[]> read_buffer_;

  std::shared_ptr<const TlsContext> tls_;
  // By a number never used twice: an event of one that is gone finds nothing.
  // Shared: a callback may close the connection that it is called for.
  absl::flat_hash_map<uint64_t, Ptr> connections_;
  absl::flat_hash_map<PeerKey, std::vector<uint64_t>> by_peer_;
  absl::flat_hash_map<std::string, uint64_t> by_transaction_;
  // Accepted ones of an address, or of an IPv6 network of 64 bits.
  absl::flat_hash_map<IpAddress, int> accepted_from_;
  uint64_t last_id_ = 0;
  int handshakes_ = 0;        // of strangers
  uint64_t in_callback_ = 0;  // the connection whose message is being handled
  net::EventLoop::TimerId sweep_timer_ = 0;
  // Handshake steps left in this turn; shared with a posted task.
  const std::shared_ptr<int> handshake_turns_;
};

}  // namespace sluice::sip

#endif  // SLUICE_SIP_STREAM_POOL_H_
