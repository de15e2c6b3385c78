#include "sip/connection.h"

#include <sys/epoll.h>

namespace sluice::sip {

void Connection::Queue(Outgoing message, Micros now) {
  if (!has_output()) output_since = now;
  waiting_octets_ += message.octets.size();
  waiting_.push_back(std::move(message));
}

IoResult Connection::WriteFront() {
  const std::string_view rest =
      std::string_view(waiting_.front().octets).substr(front_sent_);
  IoResult r = tls != nullptr ? tls->Write(rest) : WritePlain(fd.get(), rest);
  write_wants_read = r.kind == IoResult::Kind::kWantRead;
  front_sent_ += r.octets;
  waiting_octets_ -= r.octets;
  return r;
}

Outgoing Connection::TakeFront() {
  Outgoing front = std::move(waiting_.front());
  waiting_.pop_front();
  front_sent_ = 0;
  return front;
}

std::deque<Outgoing> Connection::TakeOutput() {
  front_sent_ = waiting_octets_ = 0;
  return std::exchange(waiting_, {});
}

uint32_t Connection::Interest() const {
  if (state == State::kConnecting) return EPOLLOUT;
  uint32_t events = ending ? 0u : uint32_t{EPOLLIN};
  if (state == State::kHandshaking) {
    return read_wants_write ? EPOLLOUT : EPOLLIN;
  }
  if (write_wants_read) events |= EPOLLIN;
  if (read_wants_write || (has_output() && !write_wants_read)) {
    events |= EPOLLOUT;
  }
  return events;
}

}  // namespace sluice::sip
