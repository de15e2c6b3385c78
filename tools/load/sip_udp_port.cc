#include <errno.h>

#include <cstring>

#include "absl/strings/str_cat.h"
#include "base/net/socket.h"
#include "base/status_macros.h"
#include "tools/load/sip_port.h"
#include "tools/load/worker.h"

namespace sluice::load {
namespace {

// A few thousand messages: what arrives while a batch is dealt with.
constexpr int kReceiveBufferBytes = 4 << 20;

}  // namespace

absl::Status SipUdpPort::Open(const Endpoint& local, const Endpoint& proxy) {
  net::UdpOptions udp;
  udp.receive_buffer_bytes = kReceiveBufferBytes;
  ASSIGN_OR_RETURN(fd_, net::OpenUdp(local, udp));
  if (!proxy.is_none()) {
    sockaddr_storage address{};
    proxy_.length = proxy.ToSockaddr(local.family(), &address);
    if (proxy_.length == 0 || proxy_.length > sizeof proxy_.address) {
      return absl::InvalidArgumentError(absl::StrCat(
          proxy.ToString(), " cannot be reached from ", local.ToString()));
    }
    std::memcpy(&proxy_.address, &address, proxy_.length);
  }
  out_.resize(kBatch);
  in_.resize(kBatch);
  for (size_t i = 0; i < kBatch; ++i) {
    out_iov_[i] = {out_[i].data(), 0};
    out_msgs_[i].msg_hdr.msg_name = &out_peers_[i].address;
    out_msgs_[i].msg_hdr.msg_iov = &out_iov_[i];
    out_msgs_[i].msg_hdr.msg_iovlen = 1;
    in_iov_[i] = {in_[i].data(), in_[i].size()};
    in_msgs_[i].msg_hdr.msg_name = &in_peers_[i];
    in_msgs_[i].msg_hdr.msg_iov = &in_iov_[i];
    in_msgs_[i].msg_hdr.msg_iovlen = 1;
  }
  return absl::OkStatus();
}

void SipUdpPort::ToProxy(uint32_t) { peer_ = proxy_; }

char* SipUdpPort::Room() {
  if (waiting_ == kBatch) Flush();
  return out_[waiting_].data();
}

void SipUdpPort::Send(size_t octets) {
  out_iov_[waiting_].iov_len = octets;
  out_peers_[waiting_] = peer_;
  out_msgs_[waiting_].msg_hdr.msg_namelen = peer_.length;
  ++waiting_;
}

void SipUdpPort::Flush() {
  uint32_t done = 0;
  while (done < waiting_) {
    const int n = ::sendmmsg(fd_.get(), &out_msgs_[done], waiting_ - done, 0);
    if (n > 0) {
      done += static_cast<uint32_t>(n);
    } else if (errno != EINTR) {
      tally_.send_refused.Add(1);
      ++done;
    }
  }
  waiting_ = 0;
}

uint32_t SipUdpPort::Receive(Visitor& visitor) {
  for (mmsghdr& message : in_msgs_) {
    message.msg_hdr.msg_namelen = sizeof(sockaddr_in6);
  }
  const int n =
      ::recvmmsg(fd_.get(), in_msgs_.data(), kBatch, MSG_DONTWAIT, nullptr);
  if (n <= 0) return 0;
  for (size_t i = 0; i < static_cast<size_t>(n); ++i) {
    const bool cut = (in_msgs_[i].msg_hdr.msg_flags & MSG_TRUNC) != 0;
    peer_ = {in_peers_[i], in_msgs_[i].msg_hdr.msg_namelen};
    visitor.OnMessage(
        *this, std::string_view(in_[i].data(), cut ? 0 : in_msgs_[i].msg_len));
  }
  return static_cast<uint32_t>(n);
}

uint64_t SipUdpPort::ReceiveDrops() const { return ReceiveDropsOf(fd_.get()); }

}  // namespace sluice::load
