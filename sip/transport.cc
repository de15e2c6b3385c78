#include "sip/transport.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "base/net/acceptor.h"
#include "base/net/datagram_socket.h"
#include "base/net/socket.h"
#include "base/status_macros.h"
#include "sip/stream_pool.h"
#include "sip/tls_context.h"

namespace sluice::sip {
namespace {

// Shorter ones keep a NAT's binding open, and say nothing (the seeds' number).
constexpr size_t kDatagramOctetsMin = 13;

// Room for the messages of a busy moment; the kernel cuts it to its own limit.
constexpr int kUdpBufferBytes = 4 << 20;

constexpr int kBacklog = 1'024;

}  // namespace

class LegTransport::Impl {
 public:
  Impl(net::EventLoop& loop, Options options, Receiver receiver)
      : loop_(loop),
        options_(std::move(options)),
        callbacks_{.receiver = std::move(receiver)},
        pool_(loop, PoolOptionsOf(options_), callbacks_, counters_) {}

  absl::Status Listen();
  void Send(Peer to, std::string octets, std::string_view transaction,
            bool response, std::string_view tls_name, Sent sent);
  absl::StatusOr<std::shared_ptr<const TlsContext>> LoadTls() const;
  void SetRefuser(Refuser refuser) { callbacks_.refuser = std::move(refuser); }
  void SetAnswerPolicy(AnswerPolicy policy) {
    callbacks_.may_answer = std::move(policy);
  }

  StreamPool& pool() { return pool_; }
  const StreamPool& pool() const { return pool_; }
  const std::vector<std::pair<Transport, Endpoint>>& listeners() const {
    return bound_;
  }
  const TransportCounters& counters() const { return counters_; }

 private:
  static StreamPool::Options PoolOptionsOf(const Options& options) {
    StreamPool::Options pool{.leg = options.name, .pool = options.pool};
    if (options.dst) pool.only = options.dst->ip;
    return pool;
  }
  absl::Status Open(Transport transport, const Endpoint& address);
  absl::Status OpenUdp(const Endpoint& address);
  absl::Status OpenStream(Transport transport, const Endpoint& address);
  void OnDatagram(const Endpoint& from, std::string_view octets);
  absl::Status SendDatagram(const Endpoint& to, std::string_view octets);
  // The listener from whose address that peer is reached.
  const Endpoint* LocalFor(Transport transport, const Endpoint& peer) const;

  net::EventLoop& loop_;
  const Options options_;
  StreamPool::Callbacks callbacks_;
  TransportCounters counters_;
  std::vector<std::pair<Transport, Endpoint>> bound_;
  std::vector<std::unique_ptr<net::DatagramSocket>> datagrams_;
  std::vector<std::unique_ptr<net::Acceptor>> acceptors_;
  StreamPool pool_;
};

absl::Status LegTransport::Impl::Listen() {
  for (const auto& [transport, address] : options_.listen) {
    if (absl::Status opened = Open(transport, address); !opened.ok()) {
      bound_.clear();
      datagrams_.clear();
      acceptors_.clear();
      return opened;
    }
  }
  return absl::OkStatus();
}

absl::Status LegTransport::Impl::Open(Transport transport,
                                      const Endpoint& address) {
  switch (transport) {
    case Transport::kUdp: return OpenUdp(address);
    case Transport::kTls: {
      ASSIGN_OR_RETURN(std::shared_ptr<const TlsContext> tls, LoadTls());
      pool_.SetTls(std::move(tls));
      return OpenStream(transport, address);
    }
    case Transport::kTcp: return OpenStream(transport, address);
  }
  return absl::InvalidArgumentError("no such transport");
}

absl::Status LegTransport::Impl::OpenUdp(const Endpoint& address) {
  ASSIGN_OR_RETURN(net::Fd fd, net::OpenUdp(address, {.receive_buffer_bytes =
                                                          kUdpBufferBytes}));
  if (options_.connected && options_.dst) {
    RETURN_IF_ERROR(net::ConnectUdp(fd.get(), *options_.dst));
  }
  ASSIGN_OR_RETURN(std::unique_ptr<net::DatagramSocket> socket,
                   net::DatagramSocket::Create(
                       loop_, std::move(fd),
                       [this](const Endpoint& from, std::string_view octets) {
                         OnDatagram(from, octets);
                       }));
  bound_.emplace_back(Transport::kUdp, socket->local());
  datagrams_.push_back(std::move(socket));
  return absl::OkStatus();
}

absl::Status LegTransport::Impl::OpenStream(Transport transport,
                                            const Endpoint& address) {
  ASSIGN_OR_RETURN(net::Fd fd, net::ListenTcp(address, kBacklog));
  ASSIGN_OR_RETURN(std::unique_ptr<net::Acceptor> acceptor,
                   net::Acceptor::Create(
                       loop_, std::move(fd),
                       [this, transport](net::Fd made, const Endpoint& peer) {
                         pool_.Accept(std::move(made), peer, transport);
                       },
                       [this] { ++counters_.refused_full; }));
  bound_.emplace_back(transport, acceptor->local());
  acceptors_.push_back(std::move(acceptor));
  return absl::OkStatus();
}

const Endpoint* LegTransport::Impl::LocalFor(Transport transport,
                                             const Endpoint& peer) const {
  for (const auto& [bound, address] : bound_) {
    if (bound == transport && address.family() == peer.family()) {
      return &address;
    }
  }
  return nullptr;
}

void LegTransport::Impl::OnDatagram(const Endpoint& from,
                                    std::string_view octets) {
  if (octets.size() < kDatagramOctetsMin) {
    ++counters_.keepalives;
    return;
  }
  // Nobody is there to be answered, and the kernel takes such an address for
  // ourselves.
  const bool nobody = from.port == Port() || from.ip.is_any();
  if (nobody || (options_.dst && from != *options_.dst)) {
    ++counters_.strangers;
    return;
  }
  ++counters_.datagrams_in;
  callbacks_.receiver({.transport = Transport::kUdp, .address = from}, octets);
}

absl::Status LegTransport::Impl::SendDatagram(const Endpoint& to,
                                              std::string_view octets) {
  for (const auto& socket : datagrams_) {
    if (socket->local().family() != to.family()) continue;
    return socket->Send(options_.connected && options_.dst ? Endpoint() : to,
                        octets);
  }
  return absl::NotFoundError(absl::StrCat("leg ", options_.name,
                                          " has no UDP socket that reaches ",
                                          to.ToString()));
}

void LegTransport::Impl::Send(Peer to, std::string octets,
                              std::string_view transaction, bool response,
                              std::string_view tls_name, Sent sent) {
  if (options_.dst) to.address = *options_.dst;
  absl::Status status;
  if (to.transport == Transport::kUdp) {
    status = SendDatagram(to.address, octets);
    if (status.ok()) ++counters_.datagrams_out;
  } else if (octets.empty()) {
    status = absl::InvalidArgumentError("an empty message");
  } else {
    const Endpoint* local = LocalFor(to.transport, to.address);
    StreamPool::Route route = {.to = to,
                               .transaction = transaction,
                               .response = response,
                               .tls_name = tls_name};
    if (local != nullptr) route.local = local->ip;
    return pool_.Send(route,
                      {.octets = std::move(octets), .sent = std::move(sent)});
  }
  if (!status.ok()) ++counters_.send_failures;
  if (sent) sent(status);
}

absl::StatusOr<std::shared_ptr<const TlsContext>> LegTransport::Impl::LoadTls()
    const {
  if (std::none_of(options_.listen.begin(), options_.listen.end(),
                   [](const auto& l) { return l.first == Transport::kTls; })) {
    return nullptr;
  }
  return TlsContext::Load(options_.tls);
}

LegTransport::LegTransport(net::EventLoop& loop, Options options,
                           Receiver receiver)
    : impl_(std::make_unique<Impl>(loop, std::move(options),
                                   std::move(receiver))) {}
LegTransport::~LegTransport() = default;

void LegTransport::SetRefuser(Refuser refuser) {
  impl_->SetRefuser(std::move(refuser));
}
void LegTransport::SetAnswerPolicy(AnswerPolicy policy) {
  impl_->SetAnswerPolicy(std::move(policy));
}
absl::Status LegTransport::Listen() { return impl_->Listen(); }
const std::vector<std::pair<Transport, Endpoint>>& LegTransport::listeners()
    const {
  return impl_->listeners();
}
void LegTransport::Send(const Peer& to, std::string octets,
                        std::string_view transaction, bool response,
                        std::string_view tls_name, Sent sent) {
  impl_->Send(to, std::move(octets), transaction, response, tls_name,
              std::move(sent));
}
void LegTransport::Remember(uint64_t connection, std::string_view transaction) {
  impl_->pool().Remember(connection, transaction);
}
void LegTransport::KeepAlive(uint64_t connection, Micros how_long) {
  impl_->pool().KeepAlive(connection, how_long);
}
absl::StatusOr<std::shared_ptr<const TlsContext>> LegTransport::LoadTls()
    const {
  return impl_->LoadTls();
}
void LegTransport::UseTls(std::shared_ptr<const TlsContext> tls) {
  if (tls != nullptr) impl_->pool().SetTls(std::move(tls));
}
size_t LegTransport::connections() const { return impl_->pool().size(); }
const TransportCounters& LegTransport::counters() const {
  return impl_->counters();
}

}  // namespace sluice::sip
