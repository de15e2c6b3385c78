#include "base/net/socket.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <system_error>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/status_macros.h"

namespace sluice::net {
namespace {

absl::Status SetOption(int fd, int level, int name, int value,
                       std::string_view what) {
  if (setsockopt(fd, level, name, &value, sizeof(value)) == 0) {
    return absl::OkStatus();
  }
  return ErrnoStatus(errno, what);
}

// A socket for `local`, not yet bound. IPv6 ones are V6ONLY: a wildcard socket
// that also took IPv4 would collide with the IPv4 one beside it.
absl::StatusOr<Fd> OpenSocket(const Endpoint& local, int type) {
  Fd fd(socket(local.family(), type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd)
    return ErrnoStatus(errno, absl::StrCat("socket for ", local.ToString()));
  if (local.family() == AF_INET6) {
    RETURN_IF_ERROR(
        SetOption(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY, 1, "IPV6_V6ONLY"));
  }
  return fd;
}

absl::Status Bind(int fd, const Endpoint& local) {
  sockaddr_storage address;
  const socklen_t length = local.ToSockaddr(local.family(), &address);
  if (bind(fd, reinterpret_cast<const sockaddr*>(&address), length) == 0) {
    return absl::OkStatus();
  }
  return ErrnoStatus(errno, absl::StrCat("bind ", local.ToString()));
}

// 0, or the errno.
int Connect(int fd, const Endpoint& local, const Endpoint& peer) {
  sockaddr_storage address;
  const socklen_t length = peer.ToSockaddr(local.family(), &address);
  if (length == 0) return EAFNOSUPPORT;
  return connect(fd, reinterpret_cast<const sockaddr*>(&address), length) == 0
             ? 0
             : errno;
}

absl::Status Listen(int fd, int backlog, const std::string& name) {
  if (listen(fd, backlog) == 0) return absl::OkStatus();
  return ErrnoStatus(errno, absl::StrCat("listen on ", name));
}

// REQUIRES: path.size() < sizeof(sun_path).
sockaddr_un UnixAddress(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path.data(), path.size());
  return address;
}

absl::Status CheckUnixPath(const std::string& path) {
  // One octet is kept for the NUL.
  constexpr size_t kPathMax = sizeof(sockaddr_un::sun_path) - 1;
  if (path.empty() || path.front() == '@' ||
      path.find('\0') != std::string::npos) {
    return absl::InvalidArgumentError(
        "a UNIX socket needs a path in the file system: abstract names have no "
        "permissions");
  }
  if (path.size() > kPathMax) {
    return absl::InvalidArgumentError(absl::StrFormat(
        "UNIX socket path of %d octets, at most %d are possible", path.size(),
        kPathMax));
  }
  return absl::OkStatus();
}

absl::Status MakeFolder(const std::string& path) {
  const size_t slash = path.rfind('/');
  if (slash == std::string::npos || slash == 0) return absl::OkStatus();
  const std::string folder = path.substr(0, slash);
  if (mkdir(folder.c_str(), 0700) == 0 || errno == EEXIST) {
    return absl::OkStatus();
  }
  return ErrnoStatus(errno, absl::StrCat("mkdir ", folder));
}

// Held while a socket file is judged and replaced. Without it two instances
// that start together both find a stale file, and the second one unlinks what
// the first has just bound: both run, and one of them is deaf (F20).
class PathLock {
 public:
  static absl::StatusOr<PathLock> Take(const std::string& socket_path) {
    const std::string path = absl::StrCat(socket_path, ".lock");
    for (;;) {
      Fd fd(
          open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
      if (!fd) return ErrnoStatus(errno, absl::StrCat("open ", path));
      if (flock(fd.get(), LOCK_EX | LOCK_NB) != 0) {
        if (errno == EINTR) continue;
        if (errno != EWOULDBLOCK) {
          return ErrnoStatus(errno, absl::StrCat("lock ", path));
        }
        return absl::AlreadyExistsError(absl::StrCat(
            "another instance is starting to listen on ", socket_path));
      }
      // The last holder may have removed the file between our open and our
      // lock; a lock on a file without a name keeps nobody out.
      struct stat held;
      if (fstat(fd.get(), &held) == 0 && held.st_nlink > 0) {
        return PathLock(std::move(fd), path);
      }
    }
  }
  PathLock(PathLock&& other) noexcept
      : fd_(std::move(other.fd_)), path_(std::move(other.path_)) {}
  ~PathLock() {
    if (fd_) unlink(path_.c_str());
  }

 private:
  PathLock(Fd fd, std::string path)
      : fd_(std::move(fd)), path_(std::move(path)) {}
  Fd fd_;
  std::string path_;
};

// Removes a socket file that nobody listens on. What is not a socket is not
// ours to remove.
absl::Status RemoveStale(const std::string& path) {
  struct stat found;
  if (lstat(path.c_str(), &found) != 0) {
    if (errno == ENOENT) return absl::OkStatus();
    return ErrnoStatus(errno, path);
  }
  if (!S_ISSOCK(found.st_mode)) {
    return absl::AlreadyExistsError(
        absl::StrCat(path, " exists and is not a socket"));
  }
  Fd probe(socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!probe) return ErrnoStatus(errno, "socket");
  const sockaddr_un address = UnixAddress(path);
  const int connected =
      connect(probe.get(), reinterpret_cast<const sockaddr*>(&address),
              sizeof(address));
  const int error = connected == 0 ? 0 : errno;
  if (error == ENOENT) return absl::OkStatus();
  if (error == ECONNREFUSED) {
    if (unlink(path.c_str()) == 0 || errno == ENOENT) return absl::OkStatus();
    return ErrnoStatus(errno, absl::StrCat("remove stale ", path));
  }
  // A full backlog (EAGAIN) or a socket of another type (EPROTOTYPE) is
  // somebody's as well.
  if (error == 0 || error == EAGAIN || error == EPROTOTYPE) {
    return absl::AlreadyExistsError(
        absl::StrCat("somebody else listens on ", path));
  }
  return ErrnoStatus(error, absl::StrCat("probe ", path));
}

}  // namespace

absl::Status ErrnoStatus(int error, std::string_view what) {
  std::string message(what);
  absl::StrAppend(&message, ": ", std::generic_category().message(error));
  switch (error) {
    case EADDRINUSE: return absl::AlreadyExistsError(message);
    case EMFILE:
    case ENFILE:
    case ENOBUFS:
    case ENOMEM:
    case EAGAIN: return absl::ResourceExhaustedError(message);
    case EADDRNOTAVAIL:
    case ECONNREFUSED:
    case ECONNRESET:
    case EPIPE:
    case EHOSTUNREACH:
    case ENETUNREACH: return absl::UnavailableError(message);
    case ETIMEDOUT: return absl::DeadlineExceededError(message);
    case EACCES:
    case EPERM: return absl::PermissionDeniedError(message);
    case EMSGSIZE: return absl::InvalidArgumentError(message);
    default: return absl::InternalError(message);
  }
}

absl::StatusOr<Fd> OpenUdp(const Endpoint& local, const UdpOptions& options) {
  ASSIGN_OR_RETURN(Fd fd, OpenSocket(local, SOCK_DGRAM));
  const bool v4 = local.family() == AF_INET;
  RETURN_IF_ERROR(
      SetOption(fd.get(), SOL_SOCKET, SO_RXQ_OVFL, 1, "SO_RXQ_OVFL"));
  if (options.tos != 0) {
    RETURN_IF_ERROR(
        v4 ? SetOption(fd.get(), IPPROTO_IP, IP_TOS, options.tos, "IP_TOS")
           : SetOption(fd.get(), IPPROTO_IPV6, IPV6_TCLASS, options.tos,
                       "IPV6_TCLASS"));
  }
  if (options.receive_buffer_bytes > 0) {
    RETURN_IF_ERROR(SetOption(fd.get(), SOL_SOCKET, SO_RCVBUF,
                              options.receive_buffer_bytes, "SO_RCVBUF"));
  }
  RETURN_IF_ERROR(Bind(fd.get(), local));
  return fd;
}

absl::StatusOr<Fd> ListenTcp(const Endpoint& local, int backlog) {
  ASSIGN_OR_RETURN(Fd fd, OpenSocket(local, SOCK_STREAM));
  // Over connections of an earlier run in TIME_WAIT; a port on which somebody
  // listens stays refused.
  RETURN_IF_ERROR(
      SetOption(fd.get(), SOL_SOCKET, SO_REUSEADDR, 1, "SO_REUSEADDR"));
  RETURN_IF_ERROR(Bind(fd.get(), local));
  RETURN_IF_ERROR(Listen(fd.get(), backlog, local.ToString()));
  return fd;
}

absl::StatusOr<Fd> ConnectTcp(const Endpoint& local, const Endpoint& peer) {
  ASSIGN_OR_RETURN(Fd fd, OpenSocket(local, SOCK_STREAM));
  RETURN_IF_ERROR(
      SetOption(fd.get(), IPPROTO_TCP, TCP_NODELAY, 1, "TCP_NODELAY"));
  // The port is chosen when the peer is known, so that one port serves several
  // peers. A kernel that cannot only has fewer of them.
  const int one = 1;
  setsockopt(fd.get(), IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof(one));
  RETURN_IF_ERROR(Bind(fd.get(), local));
  const int error = Connect(fd.get(), local, peer);
  if (error == 0 || error == EINPROGRESS) return fd;
  return ErrnoStatus(error, absl::StrCat("connect to ", peer.ToString()));
}

absl::Status ConnectUdp(int fd, const Endpoint& peer) {
  ASSIGN_OR_RETURN(const Endpoint local, LocalEndpoint(fd));
  const int error = Connect(fd, local, peer);
  if (error == 0) return absl::OkStatus();
  return ErrnoStatus(error, absl::StrCat("connect to ", peer.ToString()));
}

absl::Status SocketError(int fd, std::string_view what) {
  int error = 0;
  socklen_t length = sizeof(error);
  if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length) != 0) error = errno;
  return error == 0 ? absl::OkStatus() : ErrnoStatus(error, what);
}

absl::StatusOr<Fd> ListenUnix(const std::string& path, int mode, int backlog) {
  RETURN_IF_ERROR(CheckUnixPath(path));
  RETURN_IF_ERROR(MakeFolder(path));
  ASSIGN_OR_RETURN(PathLock lock, PathLock::Take(path));
  RETURN_IF_ERROR(RemoveStale(path));

  Fd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd) return ErrnoStatus(errno, absl::StrCat("socket for ", path));
  // The file is made with the socket's own mode less the umask, so that it is
  // never wider than `mode`, not even for the moment until chmod; and nobody
  // can connect before listen.
  const auto permissions = static_cast<mode_t>(mode & 0777);
  const sockaddr_un address = UnixAddress(path);
  if (fchmod(fd.get(), permissions) != 0 ||
      bind(fd.get(), reinterpret_cast<const sockaddr*>(&address),
           sizeof(address)) != 0) {
    return ErrnoStatus(errno, absl::StrCat("bind ", path));
  }
  if (chmod(path.c_str(), permissions) != 0) {
    const int error = errno;
    unlink(path.c_str());
    return ErrnoStatus(error, absl::StrCat("chmod ", path));
  }
  RETURN_IF_ERROR(Listen(fd.get(), backlog, path));
  return fd;
}

absl::StatusOr<IpAddress> SourceTowards(const Endpoint& to) {
  // Connecting a datagram socket sends nothing; it makes the system choose.
  const Fd probe(::socket(to.family(), SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!probe) return ErrnoStatus(errno, "socket");
  RETURN_IF_ERROR(ConnectUdp(probe.get(), to));
  ASSIGN_OR_RETURN(const Endpoint local, LocalEndpoint(probe.get()));
  return local.ip;
}

absl::StatusOr<Endpoint> LocalEndpoint(int fd) {
  sockaddr_storage address{};
  socklen_t length = sizeof(address);
  if (getsockname(fd, reinterpret_cast<sockaddr*>(&address), &length) != 0) {
    return ErrnoStatus(errno, "getsockname");
  }
  const std::optional<Endpoint> local = Endpoint::FromSockaddr(
      reinterpret_cast<const sockaddr*>(&address), length);
  if (!local) return absl::InvalidArgumentError("not an IP socket");
  return *local;
}

}  // namespace sluice::net
