#include "tools/load/sip_stream_port.h"

#include <errno.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <span>
#include <string_view>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/net/socket.h"
#include "base/status_macros.h"
#include "tools/load/sip_worker.h"

namespace sluice::load {
namespace {

using sip::IoResult;

constexpr uint32_t kListener = UINT32_MAX;
constexpr int kConnectWaitMs = 5000;
constexpr int kEventsATurn = 64;
// Reads of one connection before the others get their turn.
constexpr int kReadsATurn = 4;

}  // namespace

absl::Status SipStreamPort::Prepare(sip::Transport transport,
                                    const SipTlsFiles& tls) {
  epoll_ = net::Fd(::epoll_create1(EPOLL_CLOEXEC));
  if (!epoll_) return net::ErrnoStatus(errno, "epoll_create1");
  if (transport == sip::Transport::kTls) {
    ASSIGN_OR_RETURN(
        tls_,
        sip::TlsContext::Load(
            {.certificate = tls.certificate, .key = tls.key, .ca = tls.ca}));
  }
  return absl::OkStatus();
}

absl::Status SipStreamPort::Add(net::Fd fd,
                                std::unique_ptr<sip::TlsStream> tls) {
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.u32 = static_cast<uint32_t>(connections_.size());
  if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd.get(), &event) != 0) {
    return net::ErrnoStatus(errno, "epoll_ctl");
  }
  auto made = std::make_unique<Connection>();
  made->fd = std::move(fd);
  made->tls = std::move(tls);
  if (made->tls != nullptr) made->state = State::kHandshaking;
  connections_.push_back(std::move(made));
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<SipPort>> SipStreamPort::Listen(
    sip::Transport transport, const Endpoint& local, const SipTlsFiles& tls,
    SipTally& tally) {
  std::unique_ptr<SipStreamPort> port(new SipStreamPort(tally));
  RETURN_IF_ERROR(port->Prepare(transport, tls));
  ASSIGN_OR_RETURN(port->listener_, net::ListenTcp(local, 128));
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.u32 = kListener;
  if (::epoll_ctl(port->epoll_.get(), EPOLL_CTL_ADD, port->listener_.get(),
                  &event) != 0) {
    return net::ErrnoStatus(errno, "epoll_ctl");
  }
  return std::unique_ptr<SipPort>(std::move(port));
}

absl::StatusOr<std::unique_ptr<SipPort>> SipStreamPort::Connect(
    sip::Transport transport, const IpAddress& from, const Endpoint& proxy,
    uint32_t connections, const SipTlsFiles& tls, SipTally& tally) {
  std::unique_ptr<SipStreamPort> port(new SipStreamPort(tally));
  RETURN_IF_ERROR(port->Prepare(transport, tls));
  for (uint32_t i = 0; i < connections; ++i) {
    ASSIGN_OR_RETURN(net::Fd fd, net::ConnectTcp({from, Port()}, proxy));
    pollfd poll = {fd.get(), POLLOUT, 0};
    if (::poll(&poll, 1, kConnectWaitMs) != 1) {
      return absl::DeadlineExceededError(
          absl::StrCat("connect ", proxy.ToString(), ": no answer"));
    }
    RETURN_IF_ERROR(
        net::SocketError(fd.get(), absl::StrCat("connect ", proxy.ToString())));
    std::unique_ptr<sip::TlsStream> stream;
    if (port->tls_ != nullptr) {
      stream = port->tls_->Connect(fd.get(), proxy.ip.ToString());
    }
    RETURN_IF_ERROR(port->Add(std::move(fd), std::move(stream)));
    // The client speaks first.
    if (port->tls_ != nullptr) port->Handshake(i);
  }
  return std::unique_ptr<SipPort>(std::move(port));
}

void SipStreamPort::Ask(uint32_t index, bool write) {
  Connection& c = *connections_[index];
  if (c.waits_to_write == write || c.state == State::kLost) return;
  c.waits_to_write = write;
  epoll_event event{};
  event.events = write ? EPOLLIN | EPOLLOUT : EPOLLIN;
  event.data.u32 = index;
  if (::epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, c.fd.get(), &event) != 0) {
    Lose(index);
  }
}

void SipStreamPort::Lose(uint32_t index) {
  Connection& c = *connections_[index];
  if (c.state == State::kLost) return;
  c.state = State::kLost;
  c.tls.reset();
  c.fd.Reset();
  c.out.clear();
  tally_.connections_lost.Add(1);
}

void SipStreamPort::MarkDirty(uint32_t index) {
  if (std::exchange(connections_[index]->dirty, true)) return;
  dirty_.push_back(index);
}

void SipStreamPort::ToProxy(uint32_t number) {
  if (!connections_.empty()) {
    current_ = number % static_cast<uint32_t>(connections_.size());
  }
}

void SipStreamPort::Send(size_t octets) {
  if (current_ >= connections_.size() ||
      connections_[current_]->state == State::kLost ||
      connections_[current_]->out.size() + octets > kOutMax) {
    tally_.send_refused.Add(1);
    return;
  }
  connections_[current_]->out.append(room_.data(), octets);
  MarkDirty(current_);
}

void SipStreamPort::Flush() {
  for (const uint32_t index : dirty_) {
    connections_[index]->dirty = false;
    if (connections_[index]->state == State::kOpen) Write(index);
  }
  dirty_.clear();
}

void SipStreamPort::Write(uint32_t index) {
  Connection& c = *connections_[index];
  size_t sent = 0;
  while (sent < c.out.size()) {
    const std::string_view rest = std::string_view(c.out).substr(sent);
    const IoResult r = c.tls != nullptr ? c.tls->Write(rest)
                                        : sip::WritePlain(c.fd.get(), rest);
    if (r.kind == IoResult::Kind::kEnd || r.kind == IoResult::Kind::kFailed) {
      return Lose(index);
    }
    if (r.kind != IoResult::Kind::kDone) break;
    sent += r.octets;
  }
  c.out.erase(0, sent);
  Ask(index, !c.out.empty());
}

void SipStreamPort::Handshake(uint32_t index) {
  Connection& c = *connections_[index];
  if (c.tls == nullptr) return Lose(index);
  switch (c.tls->Handshake().kind) {
    case IoResult::Kind::kWantRead: Ask(index, false); break;
    case IoResult::Kind::kWantWrite: Ask(index, true); break;
    case IoResult::Kind::kEnd:
    case IoResult::Kind::kFailed: Lose(index); break;
    case IoResult::Kind::kDone:
      c.state = State::kOpen;
      Write(index);
      break;
  }
}

void SipStreamPort::Accept() {
  while (connections_.size() < kConnectionsMax) {
    net::Fd fd(::accept4(listener_.get(), nullptr, nullptr,
                         SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (!fd) return;
    std::unique_ptr<sip::TlsStream> stream;
    if (tls_ != nullptr) {
      stream = tls_->Accept(fd.get());
      if (stream == nullptr) continue;
    }
    if (!Add(std::move(fd), std::move(stream)).ok()) return;
  }
  // The full table lets the others wait in the kernel, without being told of
  // them over and over.
  ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, listener_.get(), nullptr);
}

bool SipStreamPort::Read(uint32_t index, Visitor& visitor, uint32_t* messages) {
  Connection& c = *connections_[index];
  const IoResult r =
      c.tls != nullptr ? c.tls->Read(in_) : sip::ReadPlain(c.fd.get(), in_);
  if (r.kind == IoResult::Kind::kEnd || r.kind == IoResult::Kind::kFailed) {
    Lose(index);
    return false;
  }
  if (r.kind != IoResult::Kind::kDone) return false;
  bool good = true;
  c.frames.Feed(std::string_view(in_.data(), r.octets),
                [&](const sip::Framer::Step& step, std::string_view octets) {
                  if (step.kind == sip::Framer::Step::Kind::kMessage) {
                    current_ = index;
                    visitor.OnMessage(*this, octets);
                    ++*messages;
                  } else if (step.kind == sip::Framer::Step::Kind::kBad) {
                    tally_.malformed.Add(1);
                    good = false;
                  }
                  return good;
                });
  if (!good) Lose(index);
  return good;
}

uint32_t SipStreamPort::Receive(Visitor& visitor) {
  std::array<epoll_event, kEventsATurn> events;
  const int n = ::epoll_wait(epoll_.get(), events.data(), kEventsATurn, 0);
  uint32_t messages = 0;
  for (int i = 0; i < n; ++i) {
    const epoll_event& event = events[static_cast<size_t>(i)];
    const uint32_t index = event.data.u32;
    if (index == kListener) {
      Accept();
      continue;
    }
    if (connections_[index]->state == State::kHandshaking) Handshake(index);
    if (connections_[index]->state != State::kOpen) continue;
    if ((event.events & EPOLLOUT) != 0) Write(index);
    for (int reads = 0;
         reads < kReadsATurn && connections_[index]->state == State::kOpen &&
         Read(index, visitor, &messages);
         ++reads) {
    }
    // What TLS holds decrypted makes no descriptor readable.
    while (connections_[index]->state == State::kOpen &&
           connections_[index]->tls != nullptr &&
           connections_[index]->tls->has_pending() &&
           Read(index, visitor, &messages)) {
    }
  }
  return messages;
}

}  // namespace sluice::load
