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
// EADDRINUSE -> AlreadyExists; EMFILE, ENFILE, ENOBUFS, ENOMEM ->
// ResourceExhausted; EADDRNOTAVAIL -> Unavailable; EACCES, EPERM ->
// PermissionDenied; the rest -> Internal.
absl::Status ErrnoStatus(int error, std::string_view what);

struct UdpOptions {
  int tos = 0;                   // IP_TOS / IPV6_TCLASS
  int receive_buffer_bytes = 0;  // SO_RCVBUF; 0: the system's
  bool freebind = false;         // bind while the address is away (F14)
};
// A bound UDP socket; IPv6 sockets are V6ONLY. Reports drops of its receive
// queue as ancillary data (SO_RXQ_OVFL) when the caller asks for control data.
absl::StatusOr<Fd> OpenUdp(const Endpoint& local, const UdpOptions& options);

absl::StatusOr<Fd> ListenTcp(const Endpoint& local, int backlog);

// A listening UNIX stream socket with `mode`. A socket file that nobody listens
// on is replaced; one that somebody does is AlreadyExists (F20). Missing last
// folder of the path is made (0700). An abstract or over-long path is refused.
absl::StatusOr<Fd> ListenUnix(const std::string& path, int mode, int backlog);

// The address a socket is bound to.
absl::StatusOr<Endpoint> LocalEndpoint(int fd);

}  // namespace sluice::net

#endif  // SLUICE_BASE_NET_SOCKET_H_
