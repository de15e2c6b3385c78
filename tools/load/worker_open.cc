// The half of Worker that is over before the first packet is sent (and what is
// asked of it after the last): sockets, streams and their order.

#include <errno.h>
#include <linux/sock_diag.h>

#include <algorithm>
#include <cstring>
#include <random>

#include "absl/strings/str_cat.h"
#include "base/net/socket.h"
#include "base/status_macros.h"
#include "tools/load/worker.h"

namespace sluice::load {
namespace {

// Room for the whole window should one stream be all of it; the kernel takes
// the memory only when packets lie there.
constexpr int kReceiveBufferBytes = 4 << 20;

}  // namespace

absl::StatusOr<uint32_t> Worker::OpenSocket(const Endpoint& local) {
  const auto it = socket_of_.find(local);
  if (it != socket_of_.end()) return it->second;
  net::UdpOptions udp;
  udp.receive_buffer_bytes = kReceiveBufferBytes;
  ASSIGN_OR_RETURN(net::Fd fd, net::OpenUdp(local, udp));
  const auto index = static_cast<uint32_t>(sockets_.size());
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.u32 = index;
  if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd.get(), &event) != 0) {
    return net::ErrnoStatus(errno, "epoll_ctl");
  }
  sockets_.push_back(std::move(fd));
  socket_of_[local] = index;
  return index;
}

absl::Status Worker::AddChannel(const PartyPlan& plan, ProbeKind kind,
                                uint32_t session, uint8_t party) {
  const bool rtcp = kind == ProbeKind::kRtcp;
  const Endpoint local = rtcp ? RtcpOf(plan.local) : plan.local;
  const Endpoint relay = rtcp ? RtcpOf(plan.relay) : plan.relay;
  Channel channel;
  ASSIGN_OR_RETURN(channel.socket, OpenSocket(local));
  sockaddr_storage address{};
  channel.relay_length = relay.ToSockaddr(local.family(), &address);
  if (channel.relay_length == 0 ||
      channel.relay_length > sizeof channel.relay) {
    return absl::InvalidArgumentError(absl::StrCat(
        relay.ToString(), " cannot be reached from ", local.ToString()));
  }
  std::memcpy(&channel.relay, &address, channel.relay_length);
  if (options_.connected &&
      ::connect(sockets_[channel.socket].get(),
                reinterpret_cast<const sockaddr*>(&channel.relay),
                channel.relay_length) != 0) {
    return net::ErrnoStatus(errno, absl::StrCat("connect ", relay.ToString()));
  }
  channel.session = session;
  channel.party = party;
  channel.kind = kind;
  channels_.push_back(channel);
  return absl::OkStatus();
}

absl::Status Worker::Open(std::span<const SessionPlan> sessions,
                          uint32_t first_session) {
  epoll_ = net::Fd(::epoll_create1(EPOLL_CLOEXEC));
  if (!epoll_) return net::ErrnoStatus(errno, "epoll_create1");
  first_session_ = first_session;
  kinds_ = options_.rtcp_every_s > 0 ? 2 : 1;
  channels_.reserve(sessions.size() * 2 * kinds_);
  for (uint32_t i = 0; i < sessions.size(); ++i) {
    for (uint8_t p = 0; p < 2; ++p) {
      for (uint32_t k = 0; k < kinds_; ++k) {
        RETURN_IF_ERROR(AddChannel(sessions[i].party[p],
                                   static_cast<ProbeKind>(k), first_session + i,
                                   p));
      }
    }
  }
  MakeOrder();
  flights_.resize(options_.rate > 0 ? 0 : options_.window);
  for (uint32_t i = 0; i < flights_.size(); ++i) free_slots_.push_back(i);
  for (size_t i = 0; i < kReceiveBatch; ++i) {
    in_iov_[i] = {in_[i].data(), in_[i].size()};
    in_msgs_[i].msg_hdr = {};
    in_msgs_[i].msg_hdr.msg_name = &sources_[i];
    in_msgs_[i].msg_hdr.msg_namelen = sizeof(sockaddr_in6);
    in_msgs_[i].msg_hdr.msg_iov = &in_iov_[i];
    in_msgs_[i].msg_hdr.msg_iovlen = 1;
  }
  for (size_t i = 0; i < kSendBatch; ++i) {
    out_iov_[i] = {out_[i].data(), options_.packet_bytes};
    out_msgs_[i].msg_hdr = {};
    out_msgs_[i].msg_hdr.msg_iov = &out_iov_[i];
    out_msgs_[i].msg_hdr.msg_iovlen = 1;
  }
  return absl::OkStatus();
}

// Each stream once a round (`burst` times, one after the other). Streams are
// shuffled; those of one socket stand together in helpings that one system call
// can send, and sockets take turns.
void Worker::MakeOrder() {
  std::vector<std::vector<uint32_t>> by_socket(sockets_.size());
  std::vector<uint32_t> shuffled(channels_.size());
  for (uint32_t i = 0; i < shuffled.size(); ++i) shuffled[i] = i;
  std::shuffle(shuffled.begin(), shuffled.end(), std::mt19937(1));
  std::vector<uint32_t> sockets;
  for (const uint32_t c : shuffled) {
    if (channels_[c].kind == ProbeKind::kRtcp) {
      rtcp_order_.push_back(c);
      continue;
    }
    auto& here = by_socket[channels_[c].socket];
    if (here.empty()) sockets.push_back(channels_[c].socket);
    here.push_back(c);
  }
  const size_t helping = std::max<size_t>(1, kSendBatch / options_.burst);
  for (size_t at = 0, left = sockets.size(); left > 0; at += helping) {
    left = 0;
    for (const uint32_t s : sockets) {
      const auto& here = by_socket[s];
      for (size_t i = at; i < std::min(at + helping, here.size()); ++i) {
        rtp_order_.insert(rtp_order_.end(), options_.burst, here[i]);
      }
      if (here.size() > at + helping) ++left;
    }
  }
}

uint64_t ReceiveDropsOf(int fd) noexcept {
  uint32_t info[SK_MEMINFO_VARS] = {};
  socklen_t length = sizeof info;
  if (::getsockopt(fd, SOL_SOCKET, SO_MEMINFO, info, &length) != 0) return 0;
  return info[SK_MEMINFO_DROPS];
}

uint64_t Worker::ReceiveDrops() const {
  uint64_t drops = 0;
  for (const net::Fd& fd : sockets_) drops += ReceiveDropsOf(fd.get());
  return drops;
}

uint64_t Worker::SilentStreams() const {
  uint64_t silent = 0;
  for (size_t i = 0; i < channels_.size(); ++i) {
    const Channel& to = channels_[i];
    const Channel& from =
        channels_[to.party == kCaller ? i + kinds_ : i - kinds_];
    if (to.received == 0 && from.next_sequence > 0) ++silent;
  }
  return silent;
}

}  // namespace sluice::load
