#ifndef SLUICE_RTP_MEDIA_LOOP_H_
#define SLUICE_RTP_MEDIA_LOOP_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/address.h"
#include "base/net/event_loop.h"
#include "base/net/fd.h"
#include "base/types.h"

namespace sluice::rtp {

class Session;
class SessionImpl;

// From where a session's pair of ports is taken: RTP on an even one, RTCP on
// the next. `last` is the highest port that may be used at all.
struct PortWindow {
  Port first = Port::FromHost(2000);
  Port last = Port::FromHost(12000);
};

// An even port and the one behind it, bound.
struct PortPair {
  net::Fd rtp{};
  net::Fd rtcp{};
  Port port{};
};

// For SSRCs and the like, which a stranger must not guess.
uint64_t Random64();

// What the sessions of one loop share: one timer that paces them all, one
// memory into which all of them receive, and the ports.
//
//   tick (10 ms)     |     |     |     |     |
//   sessions, 20 ms  a     b     a     b     a     spread over the phases
//
// Thread: the loop's. Outlives its sessions; the loop outlives it.
class MediaLoop {
 public:
  static constexpr Micros kTick = Micros::Millis(10);

  explicit MediaLoop(net::EventLoop& loop, PortWindow window = {});
  ~MediaLoop();
  MediaLoop(const MediaLoop&) = delete;
  MediaLoop& operator=(const MediaLoop&) = delete;

  // What is opened from here on is taken from `window`. InvalidArgument when
  // not one pair is in it.
  absl::Status SetPorts(PortWindow window);
  net::EventLoop& loop() { return loop_; }
  // Of all sessions that exist.
  size_t sessions() const { return sessions_; }

 private:
  friend class Session;
  friend class SessionImpl;

  static constexpr size_t kBatch = 16;
  // A G.711 packet of 200 ms is 1612 octets long; what is longer is cut by the
  // kernel, seen as such, and dropped.
  static constexpr size_t kDatagramOctetsMax = 2048;
  struct Batch;

  absl::StatusOr<PortPair> OpenPair(const IpAddress& local);
  // Watches both sockets until Close().
  absl::Status Watch(SessionImpl* session);
  void Unwatch(SessionImpl* session);
  // Into and out of what is paced.
  void Enter(SessionImpl* session);
  void Leave(SessionImpl* session);
  // The next tick of a phase; sessions of one packet time take turns.
  Micros NextPhase(int ptime_ms);
  // For a callback of a session's user: called when the packets of this turn
  // are done, so it may do anything with any session.
  void Tell(std::function<void()> call);
  void RunTold();
  void OnTick();
  void OnReadable(SessionImpl* session, int fd, bool rtcp);

  net::EventLoop& loop_;
  PortWindow window_;
  std::optional<uint32_t> next_pair_;  // where the search goes on
  const int64_t wall_us_;              // the wall clock's lead over the loop's
  std::unique_ptr<Batch> batch_;
  std::vector<SessionImpl*> started_;
  std::vector<std::function<void()>> told_;
  net::EventLoop::TimerId tick_ = 0;   // runs while a session is started
  net::EventLoop::TimerId later_ = 0;  // for what is told between turns
  bool at_work_ = false;               // RunTold() follows
  uint32_t phase_ = 0;
  size_t sessions_ = 0;
};

}  // namespace sluice::rtp

#endif  // SLUICE_RTP_MEDIA_LOOP_H_
