#include "base/net/acceptor.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <cerrno>
#include <optional>
#include <utility>

#include "base/limits.h"
#include "base/net/socket.h"
#include "base/status_macros.h"

namespace sluice::net {
namespace {

constexpr Micros kPause = Micros::Millis(100);

Fd OpenReserve() { return Fd(open("/dev/null", O_RDONLY | O_CLOEXEC)); }

// No way to take a connection now, whoever it is from.
bool OutOfResources(int error) {
  return error == EMFILE || error == ENFILE || error == ENOBUFS ||
         error == ENOMEM;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Acceptor>> Acceptor::Create(EventLoop& loop,
                                                           Fd listener,
                                                           Taker taker,
                                                           Refused refused) {
  ASSIGN_OR_RETURN(const Endpoint local, LocalEndpoint(listener.get()));
  std::unique_ptr<Acceptor> made(new Acceptor(
      loop, std::move(listener), local, std::move(taker), std::move(refused)));
  Acceptor* acceptor = made.get();
  RETURN_IF_ERROR(loop.Add(acceptor->listener_.get(), EPOLLIN,
                           [acceptor](uint32_t) { acceptor->OnReadable(); }));
  return made;
}

Acceptor::Acceptor(EventLoop& loop, Fd listener, const Endpoint& local,
                   Taker taker, Refused refused)
    : loop_(loop),
      listener_(std::move(listener)),
      local_(local),
      taker_(std::move(taker)),
      refused_(std::move(refused)),
      reserve_(OpenReserve()) {}

Acceptor::~Acceptor() { Stop(); }

void Acceptor::Stop() {
  if (!listener_) return;
  loop_.Cancel(std::exchange(resume_timer_, 0));
  loop_.Remove(listener_.get());
  listener_.Reset();
}

void Acceptor::OnReadable() {
  for (int i = 0; i < kAcceptsPerTurn && listener_; ++i) {
    sockaddr_storage address{};
    socklen_t length = sizeof(address);
    Fd fd(accept4(listener_.get(), reinterpret_cast<sockaddr*>(&address),
                  &length, SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (fd) {
      const std::optional<Endpoint> peer = Endpoint::FromSockaddr(
          reinterpret_cast<const sockaddr*>(&address), length);
      if (!peer) continue;  // Not of a family that we listen on.
      // Messages are written whole: nothing is gained by waiting for more.
      const int one = 1;
      setsockopt(fd.get(), IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
      taker_(std::move(fd), *peer);
    } else if (OutOfResources(errno)) {
      const int error = RefuseOne();
      if (OutOfResources(error)) return Pause();
      if (error == EAGAIN) return;
    } else if (errno == EAGAIN) {
      return;
    }
    // Anything else is the end of that one connection before we had it.
  }
}

int Acceptor::RefuseOne() {
  if (!reserve_) return EMFILE;
  reserve_.Reset();
  Fd taken(accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
  const int error = taken ? 0 : errno;
  taken.Reset();
  reserve_ = OpenReserve();
  if (error == 0) refused_();
  return error;
}

void Acceptor::Pause() {
  if (resume_timer_ != 0) return;
  loop_.Modify(listener_.get(), 0);
  resume_timer_ = loop_.After(kPause, [this] { Resume(); });
}

void Acceptor::Resume() {
  resume_timer_ = 0;
  if (!reserve_) reserve_ = OpenReserve();
  loop_.Modify(listener_.get(), EPOLLIN);
}

}  // namespace sluice::net
