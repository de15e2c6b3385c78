#include "sip/stream_pool.h"

#include <openssl/evp.h>
#include <sys/epoll.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <tuple>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "base/limits.h"
#include "base/net/socket.h"
#include "base/status_macros.h"
#include "base/text.h"

namespace sluice::sip {
namespace {

// How late a deadline may be noticed. Thousands of connections looked at so
// often cost a fraction of a millisecond a second.
constexpr Micros kSweep = Micros::Millis(250);

// Longer texts of strangers are remembered by their digest: a connection holds
// max_tidlist of them.
constexpr size_t kTransactionOctetsMax = 64;

// Whom an address counts for.
IpAddress NetworkOf(const IpAddress& ip) {
  if (ip.is_v4()) return ip;
  std::array<uint8_t, 16> octets = ip.octets();
  std::fill(octets.begin() + 8, octets.end(), uint8_t{0});
  return IpAddress::FromOctets(octets.data());
}

// What a certificate is to carry, in one spelling.
std::string TlsName(std::string_view name, const Endpoint& peer) {
  if (name.empty()) return peer.ip.ToString();
  if (name.size() > 2 && name.front() == '[' && name.back() == ']') {
    name = name.substr(1, name.size() - 2);
  }
  return Lower(name);
}

// Over unread octets the kernel would reset the connection, and take what we
// have just sent from the peer.
void DiscardInput(int fd) {
  char octets[4'096];
  for (size_t total = 0; total < kStreamBytesPerTurn;) {
    const IoResult r = ReadPlain(fd, octets);
    if (r.kind != IoResult::Kind::kDone) return;
    total += r.octets;
  }
}

}  // namespace

StreamPool::StreamPool(net::EventLoop& loop, Options options,
                       const Callbacks& callbacks, TransportCounters& counters)
    : loop_(loop),
      options_(std::move(options)),
      callbacks_(callbacks),
      counters_(counters),
      read_buffer_(new char[options_.pool.tcp_readsize]),
      handshake_turns_(std::make_shared<int>(kHandshakesPerTurn)) {
  CHECK(options_.pool.tcp_readsize > 0);
}

StreamPool::~StreamPool() {
  loop_.Cancel(sweep_timer_);
  for (const auto& [id, c] : connections_) loop_.Remove(c->fd.get());
}

// --- Finding ----------------------------------------------------------------

StreamPool::Ptr StreamPool::Get(uint64_t id) const {
  const auto found = connections_.find(id);
  if (found == connections_.end() || found->second->ending) return nullptr;
  return found->second;
}

bool StreamPool::Serves(const Connection& c, const Route& route) const {
  if (c.ending) return false;
  if (c.transport != Transport::kTls || route.response) return true;
  // Whom a connection that the peer made belongs to, only its address says.
  if (c.maker == Connection::Maker::kPeer) return route.tls_name.empty();
  return c.tls_name == TlsName(route.tls_name, c.peer);
}

StreamPool::Ptr StreamPool::Find(const Route& route) const {
  if (Ptr c = Get(route.to.connection); c != nullptr) return c;
  if (route.response && !route.transaction.empty()) {
    const auto known = by_transaction_.find(TransactionKey(route.transaction));
    if (known != by_transaction_.end()) {
      if (Ptr c = Get(known->second); c != nullptr) return c;
    }
  }
  const auto peers =
      by_peer_.find(PeerKey(route.to.transport, route.to.address));
  if (peers == by_peer_.end()) return nullptr;
  // The latest first: an older one may be dead without our knowing.
  for (auto id = peers->second.rbegin(); id != peers->second.rend(); ++id) {
    const Ptr& c = connections_.find(*id)->second;
    if (Serves(*c, route)) return c;
  }
  return nullptr;
}

std::string StreamPool::TransactionKey(std::string_view transaction) {
  if (transaction.size() <= kTransactionOctetsMax) {
    return std::string(transaction);
  }
  // Longer than any text that is its own key.
  std::string key(kTransactionOctetsMax + 1, '\0');
  static_assert(kTransactionOctetsMax + 1 >= EVP_MAX_MD_SIZE);
  CHECK(EVP_Digest(transaction.data(), transaction.size(),
                   reinterpret_cast<unsigned char*>(key.data()), nullptr,
                   EVP_sha256(), nullptr) == 1);
  return key;
}

void StreamPool::ForgetOldest(Connection& c) {
  const auto known = by_transaction_.find(c.transactions.front());
  // Another connection may have claimed it since.
  if (known != by_transaction_.end() && known->second == c.id) {
    by_transaction_.erase(known);
  }
  c.transactions.pop_front();
}

void StreamPool::Send(const Route& route, Outgoing message) {
  Ptr c = Find(route);
  if (c == nullptr) {
    // Requests were judged when their way was looked for.
    if (route.response && callbacks_.may_answer &&
        !callbacks_.may_answer(route.to.address)) {
      return Fail(std::move(message),
                  absl::PermissionDeniedError("no answers are sent to there"));
    }
    absl::StatusOr<Ptr> made = Connect(route);
    if (!made.ok()) return Fail(std::move(message), made.status());
    c = *std::move(made);
  }
  Deliver(*c, std::move(message));
}

void StreamPool::Remember(uint64_t connection, std::string_view transaction) {
  const Ptr c = Get(connection);
  if (c == nullptr || options_.pool.max_tidlist == 0) return;
  std::string key = TransactionKey(transaction);
  const auto known = by_transaction_.find(key);
  const bool ours =
      known != by_transaction_.end() && known->second == connection;
  if (ours) return;  // A retransmission.
  // It may have been ours before another connection claimed it.
  if (std::find(c->transactions.begin(), c->transactions.end(), key) ==
      c->transactions.end()) {
    if (c->transactions.size() >= options_.pool.max_tidlist) ForgetOldest(*c);
    c->transactions.push_back(key);
  }
  by_transaction_[std::move(key)] = connection;
}

void StreamPool::KeepAlive(uint64_t connection, Micros how_long) {
  if (const Ptr c = Get(connection); c != nullptr) {
    c->kept_until = std::max(c->kept_until, loop_.now() + how_long);
  }
}

// --- Coming and going -------------------------------------------------------

void StreamPool::Accept(net::Fd fd, const Endpoint& peer, Transport transport) {
  if (options_.only && peer.ip != *options_.only) {
    ++counters_.strangers;
    return;
  }
  if (!HasRoomFor(peer)) {
    ++counters_.refused_full;
    return;
  }
  if (transport == Transport::kTls &&
      handshakes_ >= options_.pool.max_handshakes) {
    DropOldestHandshake();
  }
  const Ptr c = Make(Connection::Maker::kPeer, std::move(fd), peer, transport);
  if (transport == Transport::kTls) {
    c->tls = tls_->Accept(c->fd.get());
    c->state = Connection::State::kHandshaking;
  }
  if ((transport == Transport::kTls && c->tls == nullptr) || !Enter(c).ok()) {
    ++counters_.refused_full;
    return;
  }
  ++counters_.accepted;
}

StreamPool::Ptr StreamPool::Make(Connection::Maker maker, net::Fd fd,
                                 const Endpoint& peer, Transport transport) {
  return std::make_shared<Connection>(
      Connection::Origin{.id = ++last_id_,
                         .transport = transport,
                         .peer = peer,
                         .maker = maker},
      std::move(fd),
      Framer::Limits{.header_octets_max = options_.pool.max_sip_header,
                     .body_octets_max = options_.pool.max_sip_body},
      loop_.now());
}

absl::StatusOr<StreamPool::Ptr> StreamPool::Connect(const Route& route) {
  const Endpoint& peer = route.to.address;
  if (peer.is_none()) {
    return absl::UnavailableError(
        "the connection is gone, and no address is known");
  }
  if (!route.local) {
    return absl::NotFoundError(absl::StrCat(
        "leg ", options_.leg, " has no stream that reaches ", peer.ToString()));
  }
  if (size() >= static_cast<size_t>(options_.pool.max_connections) &&
      !MakeRoom(nullptr)) {
    ++counters_.refused_full;
    return absl::ResourceExhaustedError("all connections are in use");
  }
  // Who names a host that does not answer takes no place but these.
  if (static_cast<size_t>(std::count_if(
          connections_.begin(), connections_.end(), [](const auto& entry) {
            return entry.second->state == Connection::State::kConnecting;
          })) >= kConnectingMax) {
    ++counters_.refused_full;
    return absl::ResourceExhaustedError("too many connections are being made");
  }
  absl::StatusOr<net::Fd> fd = net::ConnectTcp({.ip = *route.local}, peer);
  if (!fd.ok()) {
    ++counters_.connect_failures;
    return fd.status();
  }
  const Ptr c =
      Make(Connection::Maker::kUs, *std::move(fd), peer, route.to.transport);
  c->state = Connection::State::kConnecting;
  if (route.to.transport == Transport::kTls) {
    c->tls_name = TlsName(route.tls_name, peer);
    c->tls = tls_->Connect(c->fd.get(), c->tls_name);
    if (c->tls == nullptr) {
      ++counters_.connect_failures;
      return absl::InvalidArgumentError(
          "TLS: no stream to that name can be made");
    }
  }
  if (absl::Status entered = Enter(c); !entered.ok()) {
    ++counters_.connect_failures;
    return entered;
  }
  return c;
}

absl::Status StreamPool::Enter(const Ptr& c) {
  c->interest = c->Interest();
  RETURN_IF_ERROR(
      loop_.Add(c->fd.get(), c->interest,
                [this, id = c->id](uint32_t events) { OnIo(id, events); }));
  connections_.emplace(c->id, c);
  by_peer_[PeerKey(c->transport, c->peer)].push_back(c->id);
  if (c->maker == Connection::Maker::kPeer) {
    ++accepted_from_[NetworkOf(c->peer.ip)];
    if (c->state == Connection::State::kHandshaking) ++handshakes_;
  }
  if (sweep_timer_ == 0) {
    sweep_timer_ = loop_.Every(kSweep, [this] { Sweep(); });
  }
  return absl::OkStatus();
}

bool StreamPool::HasRoomFor(const Endpoint& peer) {
  const IpAddress network = NetworkOf(peer.ip);
  const auto from = accepted_from_.find(network);
  if (from != accepted_from_.end() &&
      from->second >= options_.pool.max_connections_per_ip) {
    return MakeRoom(&network);
  }
  return size() < static_cast<size_t>(options_.pool.max_connections) ||
         MakeRoom(nullptr);
}

bool StreamPool::MakeRoom(const IpAddress* network) {
  const auto rank = [](const Connection& c) {
    return std::tuple(c.last_message, c.id);
  };
  Ptr oldest;
  for (const auto& [id, c] : connections_) {
    if (c->has_output() || c->kept_until > loop_.now() || id == in_callback_ ||
        (network != nullptr && (c->maker != Connection::Maker::kPeer ||
                                NetworkOf(c->peer.ip) != *network))) {
      continue;
    }
    if (oldest == nullptr || rank(*c) < rank(*oldest)) oldest = c;
  }
  if (oldest == nullptr) return false;
  ++counters_.evicted;
  Close(*oldest, absl::ResourceExhaustedError("closed to make room"));
  return true;
}

void StreamPool::DropOldestHandshake() {
  Ptr oldest;
  for (const auto& [id, c] : connections_) {
    if (c->state == Connection::State::kHandshaking &&
        c->maker == Connection::Maker::kPeer &&
        (oldest == nullptr || id < oldest->id)) {
      oldest = c;
    }
  }
  if (oldest == nullptr) return;
  ++counters_.evicted;
  Close(*oldest, absl::ResourceExhaustedError("closed to make room"));
}

// Takes it out of every table.
void StreamPool::Leave(Connection& c) {
  const auto peers = by_peer_.find(PeerKey(c.transport, c.peer));
  std::erase(peers->second, c.id);
  if (peers->second.empty()) by_peer_.erase(peers);
  while (!c.transactions.empty()) ForgetOldest(c);
  if (c.maker == Connection::Maker::kPeer) {
    const auto from = accepted_from_.find(NetworkOf(c.peer.ip));
    if (--from->second == 0) accepted_from_.erase(from);
    if (c.state == Connection::State::kHandshaking) --handshakes_;
  }
  loop_.Remove(c.fd.get());
  connections_.erase(c.id);
  if (connections_.empty()) loop_.Cancel(std::exchange(sweep_timer_, 0));
}

void StreamPool::Close(Connection& c, const absl::Status& why) {
  if (c.closed) return;
  c.closed = true;
  const Ptr alive = connections_.find(c.id)->second;
  Leave(c);
  if (c.state != Connection::State::kConnecting) ++counters_.closed;
  if (c.tls != nullptr && c.state == Connection::State::kOpen) c.tls->SayEnd();
  if (c.ending) DiscardInput(c.fd.get());
  c.fd.Reset();
  // Last: who is told may send again, and find another connection.
  for (Outgoing& message : c.TakeOutput()) Fail(std::move(message), why);
}

// --- Time -------------------------------------------------------------------

void StreamPool::Sweep() {
  std::vector<Ptr> all;  // closing one may tell somebody who closes another
  all.reserve(connections_.size());
  for (const auto& [id, c] : connections_) all.push_back(c);
  const PoolOptions& pool = options_.pool;
  const Micros idle_limit(pool.min_expire.us() +
                          (pool.max_expire - pool.min_expire).us() /
                              static_cast<int64_t>(all.size()));
  for (const Ptr& c : all) {
    if (!c->closed) CheckDeadlines(*c, idle_limit);
  }
}

void StreamPool::CheckDeadlines(Connection& c, Micros idle_limit) {
  const PoolOptions& pool = options_.pool;
  const Micros now = loop_.now();
  const auto over = [&](Micros since, Micros limit) {
    return now - std::max(since, loop_.last_stall_end()) >= limit;
  };
  const auto late = [&](const char* why) {
    ++counters_.timed_out;
    Close(c, absl::DeadlineExceededError(why));
  };
  switch (c.state) {
    case Connection::State::kConnecting:
      if (!over(c.state_since, pool.connect_timeout)) return;
      ++counters_.connect_failures;
      return Close(c, absl::DeadlineExceededError("connect"));
    case Connection::State::kHandshaking:
      if (over(c.state_since, pool.handshake_timeout)) late("TLS handshake");
      return;
    case Connection::State::kOpen: break;
  }
  const Framer& framer = c.frames.framer();
  if (c.has_output() && over(c.output_since, pool.message_timeout)) {
    return late("the peer does not read");
  }
  if (framer.in_message() && !c.ending) {
    if (!framer.in_body() && over(c.message_since, pool.header_timeout)) {
      return late("header");
    }
    if (over(c.message_since, pool.message_timeout)) return late("message");
  }
  if (c.kept_until <= now && over(c.last_activity, idle_limit)) {
    ++counters_.idle_closed;
    Close(c, absl::DeadlineExceededError("silent for too long"));
  }
}

}  // namespace sluice::sip
