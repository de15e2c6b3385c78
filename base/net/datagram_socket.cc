#include "base/net/datagram_socket.h"

#include <sys/epoll.h>
#include <sys/socket.h>

#include <cerrno>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/net/socket.h"
#include "base/status_macros.h"

namespace sluice::net {

// The headers point into the octets and addresses beside them, once. Octets are
// left as they come: a page that no datagram has reached is never touched.
struct DatagramSocket::Batch {
  Batch() : octets(new char[kBatch * kDatagramOctetsMax]) {
    for (size_t i = 0; i < kBatch; ++i) {
      parts[i] = {.iov_base = octets.get() + i * kDatagramOctetsMax,
                  .iov_len = kDatagramOctetsMax};
      headers[i].msg_hdr.msg_name = &from[i];
      headers[i].msg_hdr.msg_iov = &parts[i];
      headers[i].msg_hdr.msg_iovlen = 1;
    }
  }
  const char* at(size_t i) const {
    return octets.get() + i * kDatagramOctetsMax;
  }

  mmsghdr headers[kBatch]{};
  iovec parts[kBatch]{};
  sockaddr_storage from[kBatch]{};
  const std::unique_ptr<char[]> octets;
};

absl::StatusOr<std::unique_ptr<DatagramSocket>> DatagramSocket::Create(
    EventLoop& loop, Fd fd, Receiver receiver) {
  ASSIGN_OR_RETURN(const Endpoint local, LocalEndpoint(fd.get()));
  std::unique_ptr<DatagramSocket> made(
      new DatagramSocket(loop, std::move(fd), local, std::move(receiver)));
  DatagramSocket* socket = made.get();
  RETURN_IF_ERROR(loop.Add(socket->fd(), EPOLLIN,
                           [socket](uint32_t) { socket->OnReadable(); }));
  return made;
}

DatagramSocket::DatagramSocket(EventLoop& loop, Fd fd, const Endpoint& local,
                               Receiver receiver)
    : loop_(loop),
      fd_(std::move(fd)),
      local_(local),
      receiver_(std::move(receiver)),
      batch_(std::make_unique<Batch>()) {}

DatagramSocket::~DatagramSocket() { loop_.Remove(fd_.get()); }

void DatagramSocket::OnReadable() {
  for (mmsghdr& header : batch_->headers) {
    header.msg_hdr.msg_namelen = sizeof(sockaddr_storage);
  }
  // An error is what became of an earlier datagram of ours (a connected socket
  // is told of refusals), and taken by this very call.
  const int count =
      recvmmsg(fd_.get(), batch_->headers, kBatch, MSG_DONTWAIT, nullptr);
  for (int i = 0; i < count; ++i) {
    const mmsghdr& header = batch_->headers[i];
    const std::optional<Endpoint> from = Endpoint::FromSockaddr(
        reinterpret_cast<const sockaddr*>(header.msg_hdr.msg_name),
        header.msg_hdr.msg_namelen);
    if (!from) continue;  // The kernel names none for a socket of our families.
    receiver_(*from, {batch_->at(static_cast<size_t>(i)), header.msg_len});
  }
}

absl::Status DatagramSocket::Send(const Endpoint& to, std::string_view octets) {
  sockaddr_storage address;
  socklen_t length = 0;
  if (!to.is_none()) {
    length = to.ToSockaddr(local_.family(), &address);
    if (length == 0) {
      return absl::UnavailableError(absl::StrCat(
          to.ToString(), " is of another family than ", local_.ToString()));
    }
  }
  const auto* name =
      length == 0 ? nullptr : reinterpret_cast<const sockaddr*>(&address);
  // Once more when a connected socket says how the last datagram ended: this
  // one has not been tried yet.
  for (bool again : {true, false}) {
    if (sendto(fd_.get(), octets.data(), octets.size(), MSG_NOSIGNAL, name,
               length) >= 0) {
      return absl::OkStatus();
    }
    if (errno != ECONNREFUSED || !again) break;
  }
  return ErrnoStatus(errno, absl::StrCat("send to ", to.ToString()));
}

}  // namespace sluice::net
