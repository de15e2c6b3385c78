#ifndef SLUICE_BASE_NET_ACCEPTOR_H_
#define SLUICE_BASE_NET_ACCEPTOR_H_

#include <functional>
#include <memory>

#include "absl/status/statusor.h"
#include "base/address.h"
#include "base/net/event_loop.h"
#include "base/net/fd.h"

namespace sluice::net {

// Accepts the TCP connections of one listening socket, at most kAcceptsPerTurn
// a turn. Out of descriptors it gives up a reserve descriptor to accept and
// close at once, so that the loop does not spin over a connection that nobody
// can take (F9); when not even that helps it rests for a moment.
//
// Thread: the loop's. Not destroyed in its own callbacks.
class Acceptor {
 public:
  using Taker = std::function<void(Fd connection, const Endpoint& peer)>;
  // Told of each connection that was closed for want of descriptors.
  using Refused = std::function<void()>;

  // Takes a socket of ListenTcp.
  static absl::StatusOr<std::unique_ptr<Acceptor>> Create(EventLoop& loop,
                                                          Fd listener,
                                                          Taker taker,
                                                          Refused refused);
  ~Acceptor();
  // Takes no more and closes the listening socket; also inside its callbacks.
  void Stop();
  const Endpoint& local() const { return local_; }

 private:
  Acceptor(EventLoop& loop, Fd listener, const Endpoint& local, Taker taker,
           Refused refused);
  void OnReadable();
  // 0, or the errno of why not (EAGAIN: nobody is waiting).
  int RefuseOne();
  void Pause();
  void Resume();

  EventLoop& loop_;
  Fd listener_;  // none: stopped
  const Endpoint local_;
  const Taker taker_;
  const Refused refused_;
  Fd reserve_;
  EventLoop::TimerId resume_timer_ = 0;  // not 0: resting
};

}  // namespace sluice::net

#endif  // SLUICE_BASE_NET_ACCEPTOR_H_
