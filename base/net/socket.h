#ifndef SLUICE_BASE_NET_SOCKET_H_
#define SLUICE_BASE_NET_SOCKET_H_

#include <string>

#include "absl/status/statusor.h"
#include "base/address.h"
#include "base/net/fd.h"

namespace sluice::net {

// Sockets as this program wants them: non-blocking, close-on-exec, with the
// errno of a refusal turned into a Status once, here. Messages name the
// address.
//
// EADDRINUSE -> AlreadyExists; EMFILE, ENFILE, ENOBUFS, ENOMEM, EAGAIN ->
// ResourceExhausted; EADDRNOTAVAIL, and a peer that refuses, resets or cannot
// be reached -> Unavailable; ETIMEDOUT -> DeadlineExceeded; EACCES, EPERM ->
// PermissionDenied; EMSGSIZE -> InvalidArgument; the rest -> Internal.
absl::Status ErrnoStatus(int error, std::string_view what);

struct UdpOptions {
  int tos = 0;                   // IP_TOS / IPV6_TCLASS
  int receive_buffer_bytes = 0;  // SO_RCVBUF; 0: the system's
};
// A bound UDP socket; IPv6 sockets are V6ONLY. Reports drops of its receive
// queue as ancillary data (SO_RXQ_OVFL) when the caller asks for control data.
absl::StatusOr<Fd> OpenUdp(const Endpoint& local, const UdpOptions& options);

absl::StatusOr<Fd> ListenTcp(const Endpoint& local, int backlog);

// Begins to connect from `local` (port 0: any; the wildcard: what the route
// says) with TCP_NODELAY. Connected, or failed, when the socket is writable:
// SocketError() says which.
absl::StatusOr<Fd> ConnectTcp(const Endpoint& local, const Endpoint& peer);
// From then on a UDP socket speaks with `peer` alone, and hears of its
// refusals.
absl::Status ConnectUdp(int fd, const Endpoint& peer);
// The error that waits on a socket; reading it clears it.
absl::Status SocketError(int fd, std::string_view what);

// A listening UNIX stream socket with `mode`. A socket file that nobody listens
// on is replaced; one that somebody does is AlreadyExists (F20). Missing last
// folder of the path is made (0700). An abstract or over-long path is refused.
absl::StatusOr<Fd> ListenUnix(const std::string& path, int mode, int backlog);

// The address from which the system's routes send to `to`. Unavailable: there
// is no way. Sends nothing.
absl::StatusOr<IpAddress> SourceTowards(const Endpoint& to);

// The address a socket is bound to.
absl::StatusOr<Endpoint> LocalEndpoint(int fd);

}  // namespace sluice::net

#endif  // SLUICE_BASE_NET_SOCKET_H_
