// StreamPool: what happens on one connection.

#include <sys/epoll.h>

#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "base/log.h"
#include "base/net/socket.h"
#include "sip/stream_pool.h"

namespace sluice::sip {

void StreamPool::OnIo(uint64_t id, uint32_t events) {
  const auto found = connections_.find(id);
  if (found == connections_.end()) return;
  const Ptr alive = found->second;
  Connection& c = *alive;
  if (c.state == Connection::State::kConnecting) FinishConnect(c);
  if (c.closed) return;
  if (c.state == Connection::State::kHandshaking) {
    StepHandshake(c);
    if (c.closed || c.state != Connection::State::kOpen) return;
  } else if (!c.ending && (c.read_wants_write ||
                           (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0)) {
    Read(c);
  } else if ((events & (EPOLLHUP | EPOLLERR)) != 0) {
    Close(c, absl::UnavailableError("the peer has gone"));
  }
  Flush(c);
}

void StreamPool::FinishConnect(Connection& c) {
  if (absl::Status status = net::SocketError(c.fd.get(), "connect");
      !status.ok()) {
    ++counters_.connect_failures;
    return Close(c, status);
  }
  ++counters_.connected;
  c.state_since = c.last_activity = c.last_message = loop_.now();
  c.state = c.tls != nullptr ? Connection::State::kHandshaking
                             : Connection::State::kOpen;
}

bool StreamPool::TakeHandshakeTurn() {
  if (*handshake_turns_ == 0) return false;
  // Full again when this turn is over.
  if (*handshake_turns_ == kHandshakesPerTurn &&
      !loop_.Post(
          [turns = handshake_turns_] { *turns = kHandshakesPerTurn; })) {
    return false;
  }
  --*handshake_turns_;
  return true;
}

void StreamPool::StepHandshake(Connection& c) {
  // What is left for the next turn is still readable then.
  if (TakeHandshakeTurn()) {
    const IoResult r = c.tls->Handshake();
    c.read_wants_write = r.kind == IoResult::Kind::kWantWrite;
    switch (r.kind) {
      case IoResult::Kind::kWantRead:
      case IoResult::Kind::kWantWrite: break;
      case IoResult::Kind::kDone:
        if (c.maker == Connection::Maker::kPeer) --handshakes_;
        c.state = Connection::State::kOpen;
        c.last_activity = loop_.now();
        break;
      case IoResult::Kind::kEnd:
        return HandshakeFailed(c,
                               absl::UnavailableError("TLS: the peer hung up"));
      case IoResult::Kind::kFailed: return HandshakeFailed(c, r.status);
    }
  }
  Rearm(c);
}

void StreamPool::HandshakeFailed(Connection& c, const absl::Status& why) {
  ++counters_.handshake_failures;
  // Of strangers' attempts a counter is enough; ours are somebody's call.
  if (c.maker == Connection::Maker::kUs) {
    log::Line("TLS handshake failed")
        .With("leg", options_.leg)
        .With("peer", c.peer.ToString())
        .With("name", c.tls_name)
        .With("why", std::string(why.message()))
        .WarnLimited();
  }
  Close(c, why);
}

void StreamPool::Read(Connection& c) {
  const std::span<char> into(read_buffer_.get(), options_.pool.tcp_readsize);
  size_t total = 0;
  // A descriptor is looked at again next turn; what TLS has decrypted already
  // is not, and a record may be longer than the buffer.
  do {
    const IoResult r = c.Read(into);
    c.read_wants_write = r.kind == IoResult::Kind::kWantWrite;
    switch (r.kind) {
      case IoResult::Kind::kWantRead:
      case IoResult::Kind::kWantWrite: return;
      case IoResult::Kind::kEnd:
        return Close(c, absl::UnavailableError("closed by the peer"));
      case IoResult::Kind::kFailed: return Close(c, r.status);
      case IoResult::Kind::kDone: break;
    }
    total += r.octets;
    c.last_activity = loop_.now();
    c.Feed({into.data(), r.octets}, loop_.now(),
           [&](Framer::Step step, std::string_view octets) {
             return OnStep(c, step, octets);
           });
  } while (!c.closed && !c.ending && c.tls != nullptr &&
           (c.tls->has_pending() || total < into.size()));
}

bool StreamPool::OnStep(Connection& c, Framer::Step step,
                        std::string_view octets) {
  switch (step.kind) {
    case Framer::Step::Kind::kMore:
    case Framer::Step::Kind::kSkip: break;
    case Framer::Step::Kind::kPing:
      ++counters_.keepalives;
      Deliver(c, {.octets = "\r\n", .is_message = false});
      break;
    case Framer::Step::Kind::kMessage:
      ++counters_.frames_in;
      c.last_message = loop_.now();
      in_callback_ = c.id;
      callbacks_.receiver(c.AsPeer(), octets);
      in_callback_ = 0;
      break;
    case Framer::Step::Kind::kBad: OnBad(c, step, octets); break;
  }
  return !c.closed && !c.ending;
}

void StreamPool::OnBad(Connection& c, Framer::Step step,
                       std::string_view octets) {
  ++counters_.bad_frames;
  std::string answer;
  if (callbacks_.refuser) {
    in_callback_ = c.id;
    answer = callbacks_.refuser(c.AsPeer(), octets, step.code);
    in_callback_ = 0;
  }
  if (c.closed) return;
  if (!answer.empty()) c.Queue({.octets = std::move(answer)}, loop_.now());
  c.ending = true;  // Flush, after reading, writes and closes.
}

void StreamPool::Deliver(Connection& c, Outgoing message) {
  if (c.state != Connection::State::kOpen &&
      c.output_octets() + message.octets.size() >
          options_.pool.max_write_bytes) {
    // Nobody has refused to read yet; the ones before it have a chance.
    return Fail(std::move(message), absl::ResourceExhaustedError(
                                        "too much waits for the connection"));
  }
  c.Queue(std::move(message), loop_.now());
  Flush(c);
}

void StreamPool::Flush(Connection& c) {
  if (c.closed) return;
  const Ptr alive = connections_.find(c.id)->second;
  if (c.state == Connection::State::kOpen) {
    const IoResult r = c.Flush(loop_.now(), [this](Outgoing message) {
      if (message.is_message) ++counters_.frames_out;
      if (message.sent) message.sent(absl::OkStatus());
    });
    if (c.closed) return;
    if (r.kind == IoResult::Kind::kFailed) return Close(c, r.status);
  }
  // Only what the kernel would not take counts against the peer.
  if (c.output_octets() > options_.pool.max_write_bytes) {
    ++counters_.slow_readers;
    return Close(c, absl::ResourceExhaustedError("the peer does not read"));
  }
  if (c.ending && !c.has_output()) {
    return Close(c, absl::CancelledError("closed"));
  }
  Rearm(c);
}

void StreamPool::Rearm(Connection& c) {
  const uint32_t interest = c.Interest();
  if (interest == c.interest) return;
  c.interest = interest;
  loop_.Modify(c.fd.get(), interest);
}

void StreamPool::Fail(Outgoing message, const absl::Status& why) {
  if (!message.is_message) return;
  ++counters_.send_failures;
  if (message.sent) message.sent(why);
}

}  // namespace sluice::sip
