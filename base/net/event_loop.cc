#include "base/net/event_loop.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/net/socket.h"

namespace sluice::net {
namespace {

// Generation 0 is no watch's: the eventfd's events carry it.
constexpr uint64_t Pack(uint32_t generation, int fd) {
  return uint64_t{generation} << 32 | static_cast<uint32_t>(fd);
}
constexpr uint32_t GenerationOf(uint64_t data) {
  return static_cast<uint32_t>(data >> 32);
}
constexpr int FdOf(uint64_t data) {
  return static_cast<int>(static_cast<uint32_t>(data));
}

constexpr Micros kForever = Micros(INT64_MAX);
constexpr Micros kStall = Micros::Seconds(1);

// Whole milliseconds for epoll_wait, rounded up: waking early would only turn
// once more for nothing.
int EpollTimeout(Micros sleep) {
  if (sleep == kForever) return -1;
  const int64_t ms = sleep.us() / 1000 + (sleep.us() % 1000 != 0 ? 1 : 0);
  return static_cast<int>(std::min<int64_t>(ms, INT32_MAX));
}

// Whatever the clock says, time does not go back.
EventLoop::Clock Forward(EventLoop::Clock clock) {
  return [clock = std::move(clock), last = Micros()]() mutable {
    last = std::max(last, clock());
    return last;
  };
}

}  // namespace

EventLoop::EventLoop() : EventLoop([] { return SystemClock::Now(); }) {}

EventLoop::EventLoop(Clock clock)
    : clock_(Forward(std::move(clock))),
      epoll_(epoll_create1(EPOLL_CLOEXEC)),
      wake_(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)),
      wheel_(clock_()),
      now_(clock_()) {
  // At start, before there are peers; a program that cannot even have these two
  // descriptors has nothing to fall back to.
  CHECK(epoll_ && wake_);
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.u64 = Pack(0, wake_.get());
  CHECK(epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, wake_.get(), &event) == 0);
}

EventLoop::~EventLoop() = default;

absl::Status EventLoop::Add(int fd, uint32_t events, IoCallback callback) {
  if (watches_.contains(fd)) {
    return absl::AlreadyExistsError(
        absl::StrCat("descriptor ", fd, " is already watched"));
  }
  if (++last_generation_ == 0) ++last_generation_;
  epoll_event event{};
  event.events = events;
  event.data.u64 = Pack(last_generation_, fd);
  if (epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) != 0) {
    return ErrnoStatus(errno, "epoll_ctl");
  }
  watches_.emplace(fd, std::make_shared<Watch>(
                           Watch{last_generation_, std::move(callback)}));
  return absl::OkStatus();
}

void EventLoop::Modify(int fd, uint32_t events) {
  const auto found = watches_.find(fd);
  CHECK(found != watches_.end());
  epoll_event event{};
  event.events = events;
  event.data.u64 = Pack(found->second->generation, fd);
  CHECK(epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, fd, &event) == 0);
}

void EventLoop::Remove(int fd) {
  if (watches_.erase(fd) == 0) return;
  epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, fd, nullptr);
}

EventLoop::TimerId EventLoop::AddTimer(Micros due, Micros period, Task task) {
  const TimerId id = ++last_timer_;
  timers_.emplace(id, Timer{.in_wheel = wheel_.Schedule(due, id),
                            .period = period,
                            .due = due,
                            .task = std::move(task)});
  return id;
}

EventLoop::TimerId EventLoop::After(Micros delay, Task task) {
  return AddTimer(TimeNow() + delay, Micros(), std::move(task));
}

EventLoop::TimerId EventLoop::Every(Micros period, Task task) {
  CHECK(period > Micros());
  return AddTimer(TimeNow() + period, period, std::move(task));
}

void EventLoop::Cancel(TimerId id) {
  const auto found = timers_.find(id);
  if (found == timers_.end()) return;
  wheel_.Cancel(found->second.in_wheel);
  // Goes last: what it holds may cancel, too.
  const Task gone = std::move(found->second.task);
  timers_.erase(found);
}

void EventLoop::FireTimer(TimerId id) {
  const auto found = timers_.find(id);
  CHECK(found != timers_.end());  // Cancel() takes both away together.
  Timer& timer = found->second;
  // Out of the table while it runs: it may cancel itself, and adding timers
  // moves the table's entries.
  Task task = std::move(timer.task);
  if (timer.period == Micros()) {
    timers_.erase(found);
    task();
    return;
  }
  // On the beat where it can be kept; after a stall the missed turns are left
  // out.
  timer.due = timer.due + timer.period;
  if (timer.due <= now_) timer.due = now_ + timer.period;
  timer.in_wheel = wheel_.Schedule(timer.due, id);
  task();
  if (const auto still = timers_.find(id); still != timers_.end()) {
    still->second.task = std::move(task);
  }
}

bool EventLoop::Post(Task task) {
  {
    const std::lock_guard<std::mutex> lock(posted_mutex_);
    if (posted_.size() >= kPostedMax) return false;
    posted_.push_back(std::move(task));
  }
  Wake();
  return true;
}

void EventLoop::OnTurn(Task task) { on_turn_.push_back(std::move(task)); }

void EventLoop::Wake() noexcept {
  // A counter that is full (EAGAIN) wakes as well. errno is kept for the code
  // that a signal handler interrupted.
  const int saved = errno;
  const uint64_t one = 1;
  [[maybe_unused]] const ssize_t n = write(wake_.get(), &one, sizeof(one));
  errno = saved;
}

void EventLoop::Stop() {
  stop_.store(true, std::memory_order_release);
  Wake();
}

void EventLoop::Run() {
  while (!stop_.load(std::memory_order_acquire)) RunOnce(kForever);
  stop_.store(false, std::memory_order_relaxed);
}

Micros EventLoop::Sleep(Micros wait, Micros from) const {
  const Micros due = wheel_.NextDue();
  if (due == kForever) return std::max(wait, Micros());
  return std::clamp(due - from, Micros(), std::max(wait, Micros()));
}

void EventLoop::RunOnce(Micros wait) {
  CHECK(!in_turn_);
  const Micros from = clock_();
  // What took time before the first turn was no stall of the loop.
  if (!std::exchange(turned_, true)) now_ = from;
  const Micros sleep = Sleep(wait, from);
  epoll_event events[kIoEventsPerTurn];
  // EINTR counts as nothing ready.
  const int ready =
      epoll_wait(epoll_.get(), events, kIoEventsPerTurn, EpollTimeout(sleep));
  const Micros before = std::exchange(now_, clock_());
  if (sleep != kForever && now_ - before - sleep > kStall) {
    last_stall_end_ = now_;
  }

  in_turn_ = true;
  for (int i = 0; i < ready; ++i) {
    DispatchIo(events[i].data.u64, events[i].events);
  }
  wheel_.Advance(now_, kTimersPerTurn, [this](TimerId id) { FireTimer(id); });
  RunPosted();
  for (size_t i = 0; i < on_turn_.size(); ++i) on_turn_[i]();
  in_turn_ = false;
}

void EventLoop::DispatchIo(uint64_t data, uint32_t events) {
  if (GenerationOf(data) == 0) {
    uint64_t count;
    [[maybe_unused]] const ssize_t n = read(wake_.get(), &count, sizeof(count));
    return;
  }
  // An earlier callback of this turn may have removed this descriptor, and even
  // added another one of the same number.
  const auto found = watches_.find(FdOf(data));
  if (found == watches_.end() ||
      found->second->generation != GenerationOf(data)) {
    return;
  }
  const std::shared_ptr<Watch> watch = found->second;  // it may remove itself
  watch->callback(events);
}

void EventLoop::RunPosted() {
  std::vector<Task> tasks;
  {
    const std::lock_guard<std::mutex> lock(posted_mutex_);
    tasks.swap(posted_);
  }
  for (const Task& task : tasks) task();
}

}  // namespace sluice::net
