#ifndef SLUICE_CONTROL_NATHELPER_RPC_H_
#define SLUICE_CONTROL_NATHELPER_RPC_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "base/address.h"
#include "base/net/event_loop.h"
#include "base/net/stream_server.h"
#include "control/nathelper_arguments.h"
#include "control/nathelper_commands.h"
#include "control/nathelper_verbs.h"
#include "control/session_verbs.h"
#include "control/storable.h"
#include "control/target_policy.h"

namespace sluice::control {

// One frame of the RPC:
//
//    0        4                4 + N
//   +--------+------------------+
//   |   N    | frozen value     |   N in network order, 1..kRpcPayloadBytesMax
//   +--------+------------------+
//
// The original's limit is 32 KiB, which the SDP of a browser with many
// candidates exceeds; its client takes no longer answer than that.
inline constexpr size_t kRpcHeaderBytes = 4;
inline constexpr size_t kRpcPayloadBytesMax = 128 * 1024;

// How much of `buffer` the frame at its head takes (net::StreamServer::Framer):
// 0 when that cannot be told yet or the rest is still to come, -1 when it would
// be empty. A frame beyond the limit is told at once, by its length.
int64_t RpcFrameBytes(std::string_view buffer);
std::string RpcFrame(std::string_view payload);

// Where a listener is: a path for a UNIX socket, else an address.
using RpcListenAddress = std::variant<std::string, Endpoint>;
// "unix:/path", "tcp:127.0.0.1:8004", "tcp:[::1]:8004", and the original's own
// forms "/path" and "ip:port". A folder, or a path that ends in '/', means the
// file "socket" in it. InvalidArgument says what is wrong.
absl::StatusOr<RpcListenAddress> ParseRpcListen(std::string_view text);

// Whether `peer` may speak to a server that runs as `server_uid`. The mode of
// the socket file keeps others out already; the uid is what holds where the
// file was made accessible. A TCP peer must be in `allow`; when that is empty,
// on a loopback address.
bool RpcAcceptsPeer(const net::StreamServer::Peer& peer, uint32_t server_uid,
                    absl::Span<const Prefix> allow);

// The NATHelper RPC of Net::SIP: a connection, a request, an answer, the end.
//
//   client --frame--> StreamServer --payload--> CommandTable --> SessionVerbs
//
// Whoever reaches this owns the media, so UNIX sockets are for our own user and
// root (mode 0600 and the peer's uid), and TCP is for loopback or for whom the
// operator names. Others are closed at accept, unread, and counted as
// connections_peers_refused.
//
// Thread: control only.
class NatHelperRpc {
 public:
  struct Options {
    int connections_max = 64;
    Micros frame_timeout = Micros::Seconds(1);
    Micros idle_timeout = Micros::Seconds(2);
    storable::Limits storable{};
    ArgumentLimits arguments{};
    std::vector<Prefix> allow{};  // TCP peers; empty: loopback addresses
  };

  // `loop` and `sessions` outlive this.
  NatHelperRpc(net::EventLoop& loop, SessionVerbs& sessions, Options options);
  NatHelperRpc(const NatHelperRpc&) = delete;
  NatHelperRpc& operator=(const NatHelperRpc&) = delete;

  // allocate, activate, close, and whatever the embedder defines.
  CommandTable& commands() { return commands_; }

  // See ParseRpcListen. Port 0 takes any.
  absl::Status Listen(std::string_view where);
  // "unix:/path" or "tcp:ip:port", as bound.
  const std::vector<std::string>& listeners() const { return listeners_; }
  // From the next connection on.
  void SetAllow(std::vector<Prefix> allow) { allow_ = std::move(allow); }

  // Name -> value, monotonic: the verbs' outcomes, then the requests that got
  // to no command, then the connections.
  std::vector<std::pair<std::string, uint64_t>> counters() const;

 private:
  bool Accepts(const net::StreamServer::Peer& peer) const;

  std::vector<Prefix> allow_;
  CommandTable commands_;
  NatHelperVerbs verbs_;
  net::StreamServer server_;
  std::vector<std::string> listeners_;
};

}  // namespace sluice::control

#endif  // SLUICE_CONTROL_NATHELPER_RPC_H_
