#ifndef SLUICE_BASE_NET_EVENT_LOOP_H_
#define SLUICE_BASE_NET_EVENT_LOOP_H_

#include <atomic>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "base/limits.h"
#include "base/net/fd.h"
#include "base/timer_wheel.h"
#include "base/types.h"

namespace sluice::net {

// The loop of a cold thread (the control thread): descriptors by epoll, timers
// by a wheel, closures posted from other threads. Nothing of it is on the path
// of a packet; it uses epoll so that it runs where io_uring is forbidden.
//
//   turn:  wait --> clock --> descriptors --> timers --> posted --> OnTurn
//
// Descriptors go before timers: after a stall, what a peer sent in time is read
// before its deadline is looked at (F5).
//
// Thread: all members on the loop's own thread, but Post and Stop on any. Stop
// may also be called in a signal handler.
class EventLoop {
 public:
  // `events` is EPOLLIN | EPOLLOUT | EPOLLERR | EPOLLHUP as they came.
  using IoCallback = std::function<void(uint32_t events)>;
  using Task = std::function<void()>;
  using TimerId = uint64_t;  // 0 is never given out
  using Clock = std::function<Micros()>;

  EventLoop();  // with SystemClock
  // With the time from elsewhere, for tests. It decides when timers are due;
  // waiting for descriptors is always real.
  explicit EventLoop(Clock clock);
  ~EventLoop();
  EventLoop(const EventLoop&) = delete;
  EventLoop& operator=(const EventLoop&) = delete;

  // Level-triggered. The descriptor stays the caller's; Remove before closing
  // it. Inside a callback any descriptor may be removed, also its own.
  absl::Status Add(int fd, uint32_t events, IoCallback callback);
  void Modify(int fd, uint32_t events);
  void Remove(int fd);

  TimerId After(Micros delay, Task task);
  // First after `period`, then again and again; a late turn runs it once (no
  // storm after a stall, F5).
  TimerId Every(Micros period, Task task);
  void Cancel(TimerId id);

  // Runs `task` on the loop's thread soon. False when `kPostedMax` are waiting.
  static constexpr size_t kPostedMax = kPostedTasksMax;
  bool Post(Task task);

  // Called at the end of every turn (the place for draining shard events).
  void OnTurn(Task task);

  // Runs until Stop().
  void Run();
  // One turn: waits at most `wait` for something to happen.
  void RunOnce(Micros wait);
  void Stop();

  // Whether this is called out of a turn: RunOnce must not be then.
  bool in_turn() const { return in_turn_; }
  // The time of this turn, which stands still while its callbacks run; between
  // turns the clock's.
  Micros now() const { return TimeNow(); }
  // When the loop last came back from having been away: more than a second
  // later than it had asked to be woken (a stopped process, a suspended
  // machine, a callback that blocked). Never: Micros(). Whoever judges silence
  // counts it from here, so that a stopped machine's calls do not all expire at
  // once (F5).
  Micros last_stall_end() const { return last_stall_end_; }

 private:
  struct Watch {
    uint32_t generation = 0;
    IoCallback callback;
  };
  struct Timer {
    TimerWheel::Id in_wheel = 0;
    Micros period{};  // 0: once
    Micros due{};
    Task task;
  };

  // Callbacks see the turn's time; others, before and between turns, the
  // clock's, or a timer set before Run() would count from construction.
  Micros TimeNow() const { return in_turn_ ? now_ : clock_(); }
  TimerId AddTimer(Micros due, Micros period, Task task);
  // How long the kernel may sleep: until `wait` is over or a timer is due.
  Micros Sleep(Micros wait, Micros from) const;
  void DispatchIo(uint64_t data, uint32_t events);
  void FireTimer(TimerId id);
  void RunPosted();
  void Wake() noexcept;

  // Fixed after construction.
  const Clock clock_;
  Fd epoll_;
  Fd wake_;  // eventfd

  // The loop's thread only.
  absl::flat_hash_map<int, std::shared_ptr<Watch>> watches_;
  uint32_t last_generation_ = 0;
  absl::flat_hash_map<TimerId, Timer> timers_;
  TimerId last_timer_ = 0;
  TimerWheel wheel_;
  std::deque<Task> on_turn_;  // a deque: one may add another while it runs
  Micros now_;
  Micros last_stall_end_{};
  bool in_turn_ = false;
  bool turned_ = false;  // there has been a turn

  // Any thread.
  std::mutex posted_mutex_;
  std::vector<Task> posted_;  // guarded by posted_mutex_
  std::atomic<bool> stop_{false};
};

}  // namespace sluice::net

#endif  // SLUICE_BASE_NET_EVENT_LOOP_H_
