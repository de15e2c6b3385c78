#include "rtp/media_loop.h"

#include <sys/epoll.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <time.h>

#include <cerrno>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "base/net/socket.h"
#include "base/status_macros.h"
#include "rtp/session_impl.h"

namespace sluice::rtp {
namespace {

// The first even port of a window, as host number; 65536 when there is none.
uint32_t FirstEven(const PortWindow& window) {
  const uint32_t first = window.first.host();
  return first + (first & 1);
}

uint32_t PairsIn(const PortWindow& window) {
  const uint32_t first = FirstEven(window);
  const uint32_t end = uint32_t{window.last.host()} + 1;
  return first == 0 || end < first + 2 ? 0 : (end - first) / 2;
}

int64_t WallClockUs() {
  timespec ts;
  clock_gettime(CLOCK_REALTIME, &ts);
  return int64_t{ts.tv_sec} * 1'000'000 + ts.tv_nsec / 1'000;
}

}  // namespace

uint64_t Random64() {
  uint64_t value = 0;
  // 8 octets are never cut short, and the pool is ready long before us.
  CHECK(getrandom(&value, sizeof(value), 0) == sizeof(value));
  return value;
}

// The headers point into the octets and addresses beside them, once.
struct MediaLoop::Batch {
  Batch() {
    for (size_t i = 0; i < kBatch; ++i) {
      parts[i] = {.iov_base = octets[i], .iov_len = kDatagramOctetsMax};
      headers[i].msg_hdr.msg_name = &from[i];
      headers[i].msg_hdr.msg_iov = &parts[i];
      headers[i].msg_hdr.msg_iovlen = 1;
    }
  }
  mmsghdr headers[kBatch]{};
  iovec parts[kBatch]{};
  sockaddr_storage from[kBatch]{};
  uint8_t octets[kBatch][kDatagramOctetsMax];
};

MediaLoop::MediaLoop(net::EventLoop& loop, PortWindow window)
    : loop_(loop),
      window_(window),
      wall_us_(WallClockUs() - loop.now().us()),
      batch_(std::make_unique<Batch>()) {}

MediaLoop::~MediaLoop() {
  CHECK(sessions_ == 0);
  loop_.Cancel(tick_);
  loop_.Cancel(later_);
}

absl::Status MediaLoop::SetPorts(PortWindow window) {
  if (PairsIn(window) == 0) {
    return absl::InvalidArgumentError(absl::StrCat(
        "ports ", window.first.host(), "..", window.last.host(),
        " hold no even port with the one behind it: RTP and RTCP need both"));
  }
  window_ = window;
  next_pair_.reset();
  return absl::OkStatus();
}

absl::StatusOr<PortPair> MediaLoop::OpenPair(const IpAddress& local) {
  const uint32_t pairs = PairsIn(window_);
  if (pairs == 0) RETURN_IF_ERROR(SetPorts(window_));
  // Round and round, so that a port that was in use a moment ago is the last to
  // be taken: what its last peer still sends meets nobody. Begun anywhere, or
  // two processes of one machine would fight for the same pairs.
  if (!next_pair_) next_pair_ = static_cast<uint32_t>(Random64() % pairs);
  for (uint32_t i = 0; i < pairs; ++i) {
    const uint32_t pair = *next_pair_;
    next_pair_ = (pair + 1) % pairs;
    const auto port = static_cast<uint16_t>(FirstEven(window_) + 2 * pair);
    absl::StatusOr<net::Fd> rtp =
        net::OpenUdp({.ip = local, .port = Port::FromHost(port)}, {});
    if (absl::IsAlreadyExists(rtp.status())) continue;
    RETURN_IF_ERROR(rtp.status());
    absl::StatusOr<net::Fd> rtcp = net::OpenUdp(
        {.ip = local, .port = Port::FromHost(static_cast<uint16_t>(port + 1))},
        {});
    if (absl::IsAlreadyExists(rtcp.status())) continue;
    RETURN_IF_ERROR(rtcp.status());
    return PortPair{.rtp = *std::move(rtp),
                    .rtcp = *std::move(rtcp),
                    .port = Port::FromHost(port)};
  }
  return absl::ResourceExhaustedError(
      absl::StrCat("all ", pairs, " pairs of the ports ", window_.first.host(),
                   "..", window_.last.host(), " on ", local.ToString(),
                   " are in use: end calls or choose a wider window"));
}

absl::Status MediaLoop::Watch(SessionImpl* session) {
  const int rtp = session->ports().rtp.get();
  const int rtcp = session->ports().rtcp.get();
  RETURN_IF_ERROR(loop_.Add(rtp, EPOLLIN, [this, session, rtp](uint32_t) {
    OnReadable(session, rtp, false);
  }));
  absl::Status added = loop_.Add(
      rtcp, EPOLLIN,
      [this, session, rtcp](uint32_t) { OnReadable(session, rtcp, true); });
  if (!added.ok()) {
    loop_.Remove(rtp);
    return added;
  }
  return absl::OkStatus();
}

void MediaLoop::Unwatch(SessionImpl* session) {
  loop_.Remove(session->ports().rtp.get());
  loop_.Remove(session->ports().rtcp.get());
}

void MediaLoop::Enter(SessionImpl* session) {
  session->place = started_.size();
  started_.push_back(session);
  if (tick_ == 0) tick_ = loop_.Every(kTick, [this] { OnTick(); });
}

void MediaLoop::Leave(SessionImpl* session) {
  started_.back()->place = session->place;
  started_[session->place] = started_.back();
  started_.pop_back();
  if (started_.empty()) loop_.Cancel(std::exchange(tick_, 0));
}

Micros MediaLoop::NextPhase(int ptime_ms) {
  const int64_t tick_ms = kTick.us() / 1'000;
  const int64_t phases = ptime_ms / tick_ms;
  const int64_t phase = phase_++ % phases;
  const int64_t tick = loop_.now().us() / kTick.us() + 1 + phase;
  return Micros(tick * kTick.us());
}

void MediaLoop::Tell(std::function<void()> call) {
  told_.push_back(std::move(call));
  if (!at_work_ && later_ == 0) {
    later_ = loop_.After(Micros(), [this] {
      later_ = 0;
      RunTold();
    });
  }
}

void MediaLoop::RunTold() {
  at_work_ = false;
  if (told_.empty()) return;
  std::vector<std::function<void()>> told;
  told.swap(told_);
  for (const std::function<void()>& call : told) call();
}

void MediaLoop::OnTick() {
  at_work_ = true;
  const Micros now = loop_.now();
  for (SessionImpl* session : started_) session->OnTick(now);
  RunTold();
}

void MediaLoop::OnReadable(SessionImpl* session, int fd, bool rtcp) {
  Batch& batch = *batch_;
  for (mmsghdr& header : batch.headers) {
    header.msg_hdr.msg_namelen = sizeof(sockaddr_storage);
  }
  // One call a turn: what is left makes the socket readable again, after
  // everybody else has had their turn.
  const int count = recvmmsg(fd, batch.headers, kBatch, MSG_DONTWAIT, nullptr);
  at_work_ = true;
  for (int i = 0; i < count; ++i) {
    const mmsghdr& header = batch.headers[i];
    const std::optional<Endpoint> from = Endpoint::FromSockaddr(
        reinterpret_cast<const sockaddr*>(header.msg_hdr.msg_name),
        header.msg_hdr.msg_namelen);
    if (!from) continue;  // The kernel names none for a socket of our families.
    const std::span<const uint8_t> octets(batch.octets[i], header.msg_len);
    const bool cut = (header.msg_hdr.msg_flags & MSG_TRUNC) != 0;
    if (rtcp) {
      if (!cut) session->OnRtcp(*from, octets, loop_.now());
    } else {
      session->OnRtp(*from, octets, cut, loop_.now());
    }
  }
  RunTold();
}

}  // namespace sluice::rtp
