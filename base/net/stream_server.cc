#include "base/net/stream_server.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <optional>
#include <tuple>
#include <utility>

#include "base/net/socket.h"

namespace sluice::net {
namespace {

// How long a listener rests when not even the reserve descriptor helps.
constexpr Micros kAcceptPause = Micros::Millis(100);

Fd OpenReserve() { return Fd(open("/dev/null", O_RDONLY | O_CLOEXEC)); }

Fd Accept(int listener) {
  return Fd(accept4(listener, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
}

// No way to take a connection now, whoever it is from.
bool OutOfResources(int error) {
  return error == EMFILE || error == ENFILE || error == ENOBUFS ||
         error == ENOMEM;
}

// Reads what the peer has sent beyond its last request: closing a TCP socket
// over unread octets resets the connection, and the reply is lost on its way.
void DiscardInput(int fd) {
  char octets[4096];
  for (size_t total = 0; total < kStreamBytesPerTurn;) {
    const ssize_t n = recv(fd, octets, sizeof(octets), 0);
    if (n <= 0) return;
    total += static_cast<size_t>(n);
  }
}

}  // namespace

StreamServer::StreamServer(EventLoop& loop, Options options, Framer framer,
                           Handler handler, Acceptor acceptor)
    : loop_(loop),
      options_(options),
      framer_(std::move(framer)),
      handler_(std::move(handler)),
      acceptor_(std::move(acceptor)),
      reserve_(OpenReserve()) {}

StreamServer::~StreamServer() {
  StopAccepting();
  while (!connections_.empty()) Close(connections_.begin()->first);
}

absl::Status StreamServer::Serve(Fd listener) {
  int domain = 0;
  socklen_t length = sizeof(domain);
  if (getsockopt(listener.get(), SOL_SOCKET, SO_DOMAIN, &domain, &length) !=
      0) {
    return ErrnoStatus(errno, "SO_DOMAIN of a listener");
  }
  const int fd = listener.get();
  if (absl::Status added =
          loop_.Add(fd, EPOLLIN, [this, fd](uint32_t) { OnAccept(fd); });
      !added.ok()) {
    return added;
  }
  listeners_.push_back(
      {.fd = std::move(listener), .unix_socket = domain == AF_UNIX});
  return absl::OkStatus();
}

void StreamServer::StopAccepting() {
  for (const Listener& listener : listeners_) loop_.Remove(listener.fd.get());
  listeners_.clear();
  loop_.Cancel(std::exchange(resume_timer_, 0));
}

// --- Accepting ------------------------------------------------------------

void StreamServer::OnAccept(int listener) {
  for (int i = 0; i < kAcceptsPerTurn; ++i) {
    // The acceptor is the owner's code: it may have stopped us.
    const auto at =
        std::find_if(listeners_.begin(), listeners_.end(),
                     [&](const Listener& l) { return l.fd.get() == listener; });
    if (at == listeners_.end()) return;

    Fd fd = Accept(listener);
    if (fd) {
      Admit(std::move(fd), at->unix_socket);
    } else if (OutOfResources(errno)) {
      const int error = RefuseOne(listener);
      if (OutOfResources(error)) return PauseAccepting();
      if (error == EAGAIN) return;
    } else if (errno == EAGAIN) {
      return;
    }
    // Anything else is the end of that one connection before we had it.
  }
}

int StreamServer::RefuseOne(int listener) {
  if (!reserve_) return EMFILE;
  reserve_.Reset();
  Fd refused = Accept(listener);
  const int error = refused ? 0 : errno;
  if (refused) ++counters_.refused_fds;
  refused.Reset();
  reserve_ = OpenReserve();
  return error;
}

void StreamServer::PauseAccepting() {
  if (resume_timer_ != 0) return;
  for (const Listener& l : listeners_) loop_.Modify(l.fd.get(), 0);
  resume_timer_ = loop_.After(kAcceptPause, [this] { ResumeAccepting(); });
}

void StreamServer::ResumeAccepting() {
  resume_timer_ = 0;
  if (!reserve_) reserve_ = OpenReserve();
  for (const Listener& l : listeners_) loop_.Modify(l.fd.get(), EPOLLIN);
}

bool StreamServer::DescribePeer(int fd, bool unix_socket, Peer* peer) const {
  peer->unix_socket = unix_socket;
  if (unix_socket) {
    ucred credentials{};
    socklen_t length = sizeof(credentials);
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &length) != 0) {
      return false;
    }
    peer->uid = credentials.uid;
    return true;
  }
  sockaddr_storage address{};
  socklen_t length = sizeof(address);
  if (getpeername(fd, reinterpret_cast<sockaddr*>(&address), &length) != 0) {
    return false;  // gone already
  }
  const std::optional<Endpoint> from = Endpoint::FromSockaddr(
      reinterpret_cast<const sockaddr*>(&address), length);
  if (!from) return false;
  peer->address = *from;
  const int one = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
  return true;
}

void StreamServer::Admit(Fd fd, bool unix_socket) {
  Peer peer;
  // Before anybody is evicted: a peer that may not come in costs nobody a
  // place.
  if (!DescribePeer(fd.get(), unix_socket, &peer) || !acceptor_(peer)) {
    ++counters_.peers_refused;
    return;
  }
  if (connections() >= options_.max_connections && !MakeRoom()) {
    ++counters_.refused_full;
    return;
  }
  const uint64_t id = ++last_id_;
  if (!loop_
           .Add(fd.get(), EPOLLIN,
                [this, id](uint32_t events) { OnIo(id, events); })
           .ok()) {
    ++counters_.refused_fds;
    return;
  }
  auto connection = std::make_unique<Connection>();
  connection->id = id;
  connection->fd = std::move(fd);
  connection->peer = peer;
  connection->interest = EPOLLIN;
  connection->reading_since = loop_.now();
  Rearm(*connection);
  connections_.emplace(id, std::move(connection));
  ++counters_.accepted;
  // What came with the connection is read before anybody else can take its
  // place.
  OnIo(id, EPOLLIN);
}

bool StreamServer::MakeRoom() {
  const Connection* oldest = nullptr;
  // By age alone. To let the silent ones go first would give the place of who
  // has just come, and whose request is on its way, to who sends octet by
  // octet.
  const auto rank = [](const Connection& c) {
    return std::tuple(c.reading_since, c.id);
  };
  for (const auto& [id, c] : connections_) {
    if (c->has_output() || c->rest != nullptr) continue;
    if (oldest == nullptr || rank(*c) < rank(*oldest)) oldest = c.get();
  }
  if (oldest == nullptr) return false;
  ++counters_.evicted;
  Close(oldest->id);
  return true;
}

// --- One connection -------------------------------------------------------

void StreamServer::OnIo(uint64_t id, uint32_t events) {
  const auto found = connections_.find(id);
  if (found == connections_.end()) return;
  Connection& c = *found->second;
  Next next = Next::kGoOn;
  if (c.rest != nullptr && (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0) {
    return Close(id);
  }
  if (!c.ending && (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0) {
    next = Read(c);
  }
  if (next == Next::kGoOn) next = Write(c);
  if (next == Next::kClose) return Close(id);
  Rearm(c);
}

StreamServer::Next StreamServer::Read(Connection& c) {
  char octets[16 * 1024];
  for (size_t total = 0; total < kStreamBytesPerTurn && !c.ending;) {
    // HandleFrames() leaves less than a whole frame's worth, so there is room.
    const size_t room = options_.max_frame_bytes - c.in.size();
    const ssize_t n =
        recv(c.fd.get(), octets, std::min(room, sizeof(octets)), 0);
    if (n < 0) {
      if (errno == EINTR) continue;
      return errno == EAGAIN ? Next::kGoOn : Next::kClose;
    }
    if (n == 0) {
      // The client will send no more. What it asked for is still answered; a
      // request cut short is not.
      c.ending = true;
      return Next::kGoOn;
    }
    total += static_cast<size_t>(n);
    if (c.in.empty()) c.reading_since = loop_.now();
    c.in.append(octets, static_cast<size_t>(n));
    if (HandleFrames(c) == Next::kClose) return Next::kClose;
  }
  return Next::kGoOn;
}

StreamServer::Next StreamServer::HandleFrames(Connection& c) {
  size_t used = 0;
  while (used < c.in.size() && !c.ending) {
    const std::string_view rest = std::string_view(c.in).substr(used);
    const int64_t framed = framer_(rest);
    if (framed < 0) {
      ++counters_.bad_frames;
      return Next::kClose;
    }
    const auto length = static_cast<uint64_t>(framed);
    if (length > options_.max_frame_bytes ||
        (length == 0 && rest.size() == options_.max_frame_bytes)) {
      ++counters_.oversized;
      return Next::kClose;
    }
    if (length == 0 || length > rest.size()) break;

    Reply reply = handler_(c.peer, rest.substr(0, length));
    used += length;
    c.reading_since = loop_.now();
    if (reply.octets.empty()) {
      c.ending = true;
      break;
    }
    ++counters_.replies;
    // Send first what the kernel will take: only what a client leaves unread
    // counts against it.
    if (!c.has_output()) c.writing_since = loop_.now();
    c.out.append(reply.octets);
    c.rest = std::move(reply.rest);
    if (c.rest != nullptr) c.ending = true;
    if (Write(c) == Next::kClose) return Next::kClose;
    if (c.out.size() - c.out_sent > options_.max_write_bytes) {
      ++counters_.slow_readers;
      return Next::kClose;
    }
    if (options_.close_after_reply) c.ending = true;
  }
  c.in.erase(0, used);
  return Next::kGoOn;
}

StreamServer::Next StreamServer::Write(Connection& c) {
  for (size_t total = 0;;) {
    if (Send(c) == Next::kClose) return Next::kClose;
    // A source is asked only when the client has taken what there was, and the
    // others have their turn in between.
    if (c.has_output() || c.rest == nullptr || total >= kStreamBytesPerTurn) {
      break;
    }
    const bool more = c.rest->Read(&c.out);
    if (!more) c.rest.reset();
    if (!c.has_output()) break;
    c.writing_since = loop_.now();
    total += c.out.size();
  }
  const bool done = !c.has_output() && c.rest == nullptr;
  return c.ending && done ? Next::kClose : Next::kGoOn;
}

StreamServer::Next StreamServer::Send(Connection& c) {
  while (c.has_output()) {
    // MSG_NOSIGNAL: a client that has gone is an error, not a signal.
    const ssize_t n = send(c.fd.get(), c.out.data() + c.out_sent,
                           c.out.size() - c.out_sent, MSG_NOSIGNAL);
    if (n < 0) {
      if (errno == EINTR) continue;
      if (errno != EAGAIN) return Next::kClose;
      // What has been sent goes, so that `out` is what waits and no more.
      c.out.erase(0, std::exchange(c.out_sent, 0));
      return Next::kGoOn;
    }
    c.out_sent += static_cast<size_t>(n);
  }
  if (c.out_sent > 0) {
    c.out.clear();
    c.out_sent = 0;
    if (c.in.empty()) c.reading_since = loop_.now();
  }
  return Next::kGoOn;
}

void StreamServer::Rearm(Connection& c) {
  const uint32_t interest = (c.ending ? 0u : uint32_t{EPOLLIN}) |
                            (c.has_output() ? uint32_t{EPOLLOUT} : 0u) |
                            (c.rest != nullptr ? uint32_t{EPOLLRDHUP} : 0u);
  if (interest != c.interest) {
    c.interest = interest;
    loop_.Modify(c.fd.get(), interest);
  }
  // A frame and a reply each have their own second, whatever the other does.
  Micros deadline(INT64_MAX);
  if (c.has_output()) deadline = c.writing_since + options_.frame_timeout;
  if (c.rest != nullptr) {
    if (!c.has_output()) deadline = loop_.now() + kSourceLook;
  } else if (!c.in.empty()) {
    deadline = std::min(deadline, c.reading_since + options_.frame_timeout);
  } else if (!c.has_output()) {
    deadline = c.reading_since + options_.idle_timeout;
  }
  if (deadline == c.deadline) return;
  c.deadline = deadline;
  loop_.Cancel(c.timer);
  c.timer = loop_.After(deadline - loop_.now(),
                        [this, id = c.id] { OnDeadline(id); });
}

void StreamServer::OnDeadline(uint64_t id) {
  const auto found = connections_.find(id);
  if (found != connections_.end() && found->second->rest != nullptr &&
      !found->second->has_output()) {
    found->second->deadline = Micros();  // has passed
    return OnIo(id, 0);
  }
  ++counters_.timed_out;
  Close(id);
}

void StreamServer::Close(uint64_t id) {
  const auto found = connections_.find(id);
  if (found == connections_.end()) return;
  const std::unique_ptr<Connection> c = std::move(found->second);
  connections_.erase(found);
  loop_.Cancel(c->timer);
  loop_.Remove(c->fd.get());
  DiscardInput(c->fd.get());
  ++counters_.closed;
}

}  // namespace sluice::net
