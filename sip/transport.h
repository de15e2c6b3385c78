#ifndef SLUICE_SIP_TRANSPORT_H_
#define SLUICE_SIP_TRANSPORT_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/address.h"
#include "base/net/event_loop.h"
#include "base/types.h"
#include "sip/fields.h"
#include "sip/peer.h"
#include "sip/settings.h"

namespace sluice::sip {

// The settings of the seeds' socket pool, by their names ([sip.pool]).
struct PoolOptions {
  size_t max_sip_header = 16'384;
  size_t max_sip_body = 65'536;
  size_t max_tidlist = 30;  // transactions remembered a connection
  // Idle connections live between these, the fewer of them the longer:
  // min + (max - min) / connections of the leg. Octets either way are life.
  Micros min_expire = Micros::Seconds(15);
  Micros max_expire = Micros::Seconds(120);
  Micros connect_timeout = Micros::Seconds(10);
  size_t tcp_readsize = 65'536;
  // Security P5, P15.
  Micros header_timeout = Micros::Seconds(10);  // first octet to empty line
  // First octet of a message to its last; what we write and the peer does not
  // read.
  Micros message_timeout = Micros::Seconds(30);
  Micros handshake_timeout = Micros::Seconds(5);
  size_t max_write_bytes = 256 * 1024;  // waiting for a peer that does not read
  int max_connections = 4'096;          // of a leg
  // Accepted from one address, or one IPv6 network of 64 bits: whoever has one
  // of its addresses has them all.
  int max_connections_per_ip = 1'024;
  // TLS handshakes of strangers under way; the oldest makes room.
  int max_handshakes = 512;
};

struct TlsOptions {
  std::string certificate{};  // PEM file, chain included; "" : no TLS listener
  std::string key{};
  std::string ca{};  // who is trusted; "" : the system's
  using ClientCertificate = sip::ClientCertificate;
  ClientCertificate client = ClientCertificate::kNone;
};

class TlsContext;

struct TransportCounters {  // monotonic
#define SIP_TRANSPORT(name, help) uint64_t name = 0;
#include "sip/transport.def"
#undef SIP_TRANSPORT
};

// The sockets of one leg: a UDP socket, TCP and TLS listeners on the same
// address, and the connections accepted by or made from them (the seeds'
// SocketPool).
//
//   UDP:    datagram = message; shorter than 13 octets: keep-alive, ignored
//   stream: accepted / connecting --TLS handshake--> open --frames--> Receiver
//             deadlines: connect, handshake, header, message, idle
//             framing by Content-Length (RFC 3261 18.3), CRLFCRLF answered by
//             CRLF (RFC 5626 4.4.1)
//
// A frame is only found here, never understood: what is in it is
// Message::Parse's business. `transaction` in Send and Remember is any text
// that a request and its responses have in common.
//
// Thread: the loop's. Nothing of it may be destroyed in its callbacks.
class LegTransport {
 public:
  struct Options {
    std::string name{};  // of the leg, for the log
    // At most one of a transport and family: what is sent leaves by the first
    // that fits. Port 0: any.
    std::vector<std::pair<Transport, Endpoint>> listen{};
    // Only this peer: it replaces every destination; messages from others, and
    // connections from other hosts, are dropped and counted.
    std::optional<Endpoint> dst{};
    // With dst, of the family of the UDP listener: its socket is connected to
    // it. That saves the kernel a look for the way of each message, but it
    // drops what others send uncounted.
    bool connected = false;
    PoolOptions pool{};
    TlsOptions tls{};
  };
  // A whole message from `from`; `octets` are gone when it returns.
  using Receiver =
      std::function<void(const Peer& from, std::string_view octets)>;
  // Something on a stream that is no SIP message, and the code it deserves
  // (400, 413, 513); `octets`: its header, empty when that never ended. The
  // connection is closed after what this returns (may be empty) has been sent:
  // where the next message begins, nobody can tell any more.
  using Refuser = std::function<std::string(const Peer& from,
                                            std::string_view octets, int code)>;
  using Sent = std::function<void(absl::Status)>;
  // Whether a connection may be made to answer to.
  using AnswerPolicy = std::function<bool(const Endpoint&)>;

  LegTransport(net::EventLoop& loop, Options options, Receiver receiver);
  // Messages that still wait are not told of.
  ~LegTransport();
  LegTransport(const LegTransport&) = delete;
  LegTransport& operator=(const LegTransport&) = delete;

  void SetRefuser(Refuser refuser);
  // Without one all are. A Via that came by UDP can name a stream's port at
  // whatever source was forged.
  void SetAnswerPolicy(AnswerPolicy policy);

  // Binds all listeners, or none.
  absl::Status Listen();
  // As bound; the wildcard is said as it is.
  const std::vector<std::pair<Transport, Endpoint>>& listeners() const;

  // Sends `octets`. On streams: `to.connection` if it is still there, else for
  // a response the connection on which its `transaction` came, else one whose
  // peer is `to.address`, else a new one made from the leg's address of that
  // family. `tls_name` is the SIP domain that the certificate of a new outgoing
  // connection must carry ("" : the address), without wildcards (RFC 5922 7.2).
  // A connection that we made is used again for the same name only (P15); one
  // that the peer made serves requests that want no domain.
  //
  // `sent`, if given, is told once: OK when the kernel took all of it,
  // ResourceExhausted (write queue, connections), Unavailable (refused,
  // unreachable), DeadlineExceeded (connect, handshake), PermissionDenied
  // (certificate, the policy for answers), NotFound (the leg has no such
  // transport in that family), InvalidArgument (too long for a datagram).
  // Perhaps before this returns.
  void Send(const Peer& to, std::string octets, std::string_view transaction,
            bool response, std::string_view tls_name, Sent sent);
  // A request of this transaction came on that connection. The last
  // max_tidlist of a connection are known; of two that claim one the later has
  // it.
  void Remember(uint64_t connection, std::string_view transaction);
  // The connection's peer has registered: it is kept for `how_long` although it
  // is idle.
  void KeepAlive(uint64_t connection, Micros how_long);

  // The certificates as they are in the files now; null when the leg has no TLS
  // listener. InvalidArgument names the file that is wrong.
  absl::StatusOr<std::shared_ptr<const TlsContext>> LoadTls() const;
  // From here on for new connections (null: as before); running ones stay.
  void UseTls(std::shared_ptr<const TlsContext> tls);

  size_t connections() const;
  const TransportCounters& counters() const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace sluice::sip

#endif  // SLUICE_SIP_TRANSPORT_H_
