#ifndef SLUICE_BASE_NET_DATAGRAM_SOCKET_H_
#define SLUICE_BASE_NET_DATAGRAM_SOCKET_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/address.h"
#include "base/net/event_loop.h"
#include "base/net/fd.h"

namespace sluice::net {

// A bound UDP socket on a loop. What waits in its queue is taken a batch at a
// time (one system call a turn, at most kBatch datagrams, into memory used
// again and again); what is sent is handed to the kernel at once.
//
// Thread: the loop's. Not destroyed in its own callback.
class DatagramSocket {
 public:
  // What one turn takes from a socket: the rest comes back next turn, after
  // everybody else has had theirs.
  static constexpr size_t kBatch = 32;
  // No UDP payload is longer, so none is ever cut.
  static constexpr size_t kDatagramOctetsMax = 65'536;

  // `octets` are gone when it returns.
  using Receiver =
      std::function<void(const Endpoint& from, std::string_view octets)>;

  // Takes a socket of OpenUdp.
  static absl::StatusOr<std::unique_ptr<DatagramSocket>> Create(
      EventLoop& loop, Fd fd, Receiver receiver);
  ~DatagramSocket();

  const Endpoint& local() const { return local_; }
  int fd() const { return fd_.get(); }
  // To `to`, or to whom the socket is connected when that is none. Statuses
  // are those of ErrnoStatus; full buffers are ResourceExhausted, an address of
  // the other family is Unavailable.
  absl::Status Send(const Endpoint& to, std::string_view octets);

 private:
  struct Batch;

  DatagramSocket(EventLoop& loop, Fd fd, const Endpoint& local,
                 Receiver receiver);
  void OnReadable();

  EventLoop& loop_;
  const Fd fd_;
  const Endpoint local_;
  const Receiver receiver_;
  const std::unique_ptr<Batch> batch_;
};

}  // namespace sluice::net

#endif  // SLUICE_BASE_NET_DATAGRAM_SOCKET_H_
