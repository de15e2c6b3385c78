#include "base/net/epoll_engine.h"

#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cerrno>

#include "base/clock.h"
#include "base/net/socket.h"
#include "base/status_macros.h"

namespace sluice::net {

EpollEngine::EpollEngine(const EngineOptions& options) : options_(options) {}

absl::StatusOr<std::unique_ptr<EpollEngine>> EpollEngine::Create(
    const EngineOptions& options) {
  std::unique_ptr<EpollEngine> engine(new EpollEngine(options));
  RETURN_IF_ERROR(engine->Init());
  return engine;
}

absl::Status EpollEngine::Init() {
  epoll_ = Fd(epoll_create1(EPOLL_CLOEXEC));
  if (!epoll_) return ErrnoStatus(errno, "epoll_create");
  if (options_.wake_fd >= 0) {
    epoll_event event{.events = EPOLLIN, .data = {}};
    event.data.u64 = OpTag{.kind = OpTag::Kind::kWake}.Pack();
    if (epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, options_.wake_fd, &event) != 0) {
      return ErrnoStatus(errno, "epoll_ctl");
    }
  }
  buffers_ = std::bit_ceil(std::clamp(options_.receive_buffers, 1u, 32768u));
  stride_ = (options_.max_datagram + 63) / 64 * 64;
  // Not zeroed: pages are touched when a datagram lands in them.
  memory_ =
      std::make_unique_for_overwrite<uint8_t[]>(size_t{stride_} * buffers_);
  free_.reserve(buffers_);
  for (uint32_t id = buffers_; id-- > 0;) {
    free_.push_back(static_cast<uint16_t>(id));
  }
  fds_ = std::make_unique_for_overwrite<int[]>(options_.sockets);
  sends_.reserve(buffers_);
  // A turn's receives and sends, a cancel for each socket, the wake-up.
  done_.reserve(size_t{buffers_} * 2 + options_.sockets + kReadySockets + 1);
  return absl::OkStatus();
}

bool EpollEngine::ArmReceive(OpTag tag) noexcept {
  epoll_event event{.events = EPOLLIN, .data = {}};
  event.data.u64 = tag.Pack();
  return epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fds_[tag.socket], &event) == 0;
}

bool EpollEngine::CancelReceive(OpTag tag) noexcept {
  if (done_.size() == done_.capacity()) return false;
  epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, fds_[tag.socket], nullptr);
  done_.push_back({.tag = tag, .result = -ECANCELED, .more = false});
  return true;
}

bool EpollEngine::Send(OpTag tag, uint32_t length,
                       const SendAddress& to) noexcept {
  if (sends_.size() == sends_.capacity()) return false;
  sends_.push_back({.tag = tag, .length = length, .to = &to});
  return true;
}

void EpollEngine::FlushSends() noexcept {
  size_t first = 0;
  while (first < sends_.size()) {
    // A run for one socket goes out in one call, in the order it came (L8).
    unsigned n = 0;
    const uint32_t socket = sends_[first].tag.socket;
    while (first + n < sends_.size() && n < kHelping &&
           sends_[first + n].tag.socket == socket) {
      const PendingSend& send = sends_[first + n];
      vectors_[n] = {.iov_base = BufferAt(send.tag.buffer),
                     .iov_len = send.length};
      headers_[n] = {};
      headers_[n].msg_hdr.msg_iov = &vectors_[n];
      headers_[n].msg_hdr.msg_iovlen = 1;
      headers_[n].msg_hdr.msg_name = const_cast<sockaddr_in*>(&send.to->v4);
      headers_[n].msg_hdr.msg_namelen = send.to->length;
      ++n;
    }
    int sent = sendmmsg(fds_[socket], headers_, n, MSG_DONTWAIT | MSG_NOSIGNAL);
    // The first of a run that fails is the answer's errno; the rest is tried
    // again in the next round of the loop.
    const int error = sent <= 0 ? errno : 0;
    const unsigned answered = sent > 0 ? static_cast<unsigned>(sent) : 1;
    for (unsigned i = 0; i < answered; ++i) {
      const PendingSend& send = sends_[first + i];
      done_.push_back(
          {.tag = send.tag,
           .result = sent > 0 ? static_cast<int32_t>(send.length) : -error});
    }
    first += answered;
  }
  sends_.clear();
}

void EpollEngine::ReadSocket(OpTag tag) noexcept {
  const int fd = fds_[tag.socket];
  const auto n = static_cast<unsigned>(std::min<size_t>(
      {kHelping, free_.size(), done_.capacity() - done_.size()}));
  if (n == 0) {
    if (done_.size() < done_.capacity()) {
      done_.push_back({.tag = tag, .result = -ENOBUFS, .more = true});
    }
    return;
  }
  for (unsigned i = 0; i < n; ++i) {
    const uint16_t buffer = free_[free_.size() - 1 - i];
    vectors_[i] = {.iov_base = BufferAt(buffer),
                   .iov_len = options_.max_datagram};
    headers_[i] = {};
    headers_[i].msg_hdr.msg_iov = &vectors_[i];
    headers_[i].msg_hdr.msg_iovlen = 1;
    headers_[i].msg_hdr.msg_name = &names_[i];
    headers_[i].msg_hdr.msg_namelen = sizeof(names_[i]);
    headers_[i].msg_hdr.msg_control = controls_[i];
    headers_[i].msg_hdr.msg_controllen = sizeof(controls_[i]);
  }
  const int got = recvmmsg(fd, headers_, n, MSG_DONTWAIT, nullptr);
  if (got <= 0) {
    if (errno != EAGAIN && errno != EINTR) {
      done_.push_back({.tag = tag, .result = -errno, .more = true});
    }
    return;
  }
  for (int i = 0; i < got; ++i) {
    const msghdr& header = headers_[i].msg_hdr;
    Completion c{.tag = tag,
                 .result = static_cast<int32_t>(headers_[i].msg_len),
                 .more = true,
                 .has_buffer = true,
                 .truncated = (header.msg_flags & MSG_TRUNC) != 0};
    c.tag.buffer = free_.back();
    free_.pop_back();
    if (header.msg_controllen != 0) {
      c.kernel_drops =
          DropsFromControl(header.msg_control, header.msg_controllen);
    }
    c.payload = {BufferAt(c.tag.buffer), headers_[i].msg_len};
    if (auto source = Endpoint::FromSockaddr(
            reinterpret_cast<const sockaddr*>(&names_[i]),
            header.msg_namelen)) {
      c.source = *source;
    }
    done_.push_back(c);
  }
}

Micros EpollEngine::SubmitAndWait(Micros wait) noexcept {
  FlushSends();
  if (options_.batch_wait_us > 0 && completed_last_turn_ > 0) {
    timespec pause{.tv_sec = 0,
                   .tv_nsec = int64_t{options_.batch_wait_us} * 1'000};
    nanosleep(&pause, nullptr);
  }
  // Rounded up: a wait shorter than a millisecond must not become a spin.
  const int timeout =
      done_.empty() ? static_cast<int>((wait.us() + 999) / 1'000) : 0;
  epoll_event events[kReadySockets];
  const int ready = epoll_wait(epoll_.get(), events, kReadySockets, timeout);
  for (int i = 0; i < ready; ++i) {
    const OpTag tag = OpTag::Unpack(events[i].data.u64);
    if (tag.kind == OpTag::Kind::kWake) {
      uint64_t count;
      [[maybe_unused]] const ssize_t n =
          read(options_.wake_fd, &count, sizeof(count));
      done_.push_back({.tag = tag});
      continue;
    }
    ReadSocket(tag);
  }
  return SystemClock::Now();
}

void EpollEngine::Close(uint32_t socket) noexcept { ::close(fds_[socket]); }

}  // namespace sluice::net
