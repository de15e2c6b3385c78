#ifndef SLUICE_TESTS_FAKES_FAKE_ENGINE_H_
#define SLUICE_TESTS_FAKES_FAKE_ENGINE_H_

#include <cerrno>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <set>
#include <vector>

#include "base/net/engine.h"

namespace sluice::net {

// The network and the kernel of a test: counted and dumb. Datagrams are put in
// by Deliver(), what was sent is in `sent`, time is `now`. Faults are asked for
// by the number of the operation that shall fail.
class FakeEngine {
 public:
  struct Sent {
    int fd;
    OpTag tag;
    Endpoint to;
    std::vector<uint8_t> payload;
  };

  explicit FakeEngine(uint32_t buffers = 16, uint32_t max_datagram = 256)
      : max_datagram_(max_datagram), memory_(buffers) {
    for (uint32_t b = buffers; b-- > 0;) {
      free_.push_back(static_cast<uint16_t>(b));
    }
  }

  // ---- the test's side ----------------------------------------------------
  // Waits at the socket until a receive is armed, like a kernel's queue.
  void Deliver(int fd, const Endpoint& from, std::vector<uint8_t> payload) {
    waiting_[fd].push_back({from, std::move(payload)});
  }
  // The receive of `fd` ends with this error, as an ICMP answer would end it.
  void FailReceive(int fd, int error) { receive_errors_[fd] = error; }

  Micros now = Micros::Seconds(100);
  std::vector<Sent> sent;
  std::set<int> closed;
  // Every n-th of the operation is refused for want of room (0: none).
  uint32_t refuse_arm_every = 0, refuse_cancel_every = 0, refuse_send_every = 0;
  // Every n-th send completes with this error.
  uint32_t fail_send_every = 0;
  int fail_send_errno = EAGAIN;
  // Every n-th received datagram ends the multishot.
  uint32_t end_receive_every = 0;
  // Called when a packet leaves, before its completion is seen.
  std::function<void(const Sent&)> on_send;
  // Sends wait this many turns for their completion.
  int send_delay_turns = 0;
  std::map<int, uint32_t> kernel_drops;
  size_t waiting(int fd) { return waiting_[fd].size(); }
  size_t buffers_free() const { return free_.size(); }
  bool armed(int fd) const { return armed_.count(fd) > 0; }

  // ---- EngineLike ---------------------------------------------------------
  void Adopt(uint32_t socket, int fd) noexcept { fds_[socket] = fd; }
  bool ArmReceive(OpTag tag) noexcept {
    if (Nth(refuse_arm_every, &arms_)) return false;
    armed_[fds_[tag.socket]] = tag;
    return true;
  }
  bool CancelReceive(OpTag tag) noexcept {
    if (Nth(refuse_cancel_every, &cancels_)) return false;
    if (armed_.erase(fds_[tag.socket]) > 0) {
      done_.push_back({.tag = tag, .result = -ECANCELED, .more = false});
    }
    return true;
  }
  bool Send(OpTag tag, uint32_t length, const SendAddress& to) noexcept {
    if (Nth(refuse_send_every, &sends_)) return false;
    pending_.push_back({turn_, fds_[tag.socket], tag, length, to});
    return true;
  }
  void Recycle(uint16_t buffer) noexcept { free_.push_back(buffer); }

  Micros SubmitAndWait(Micros wait) noexcept {
    ++turn_;
    FinishSends();
    bool something = !done_.empty();
    for (auto it = armed_.begin(); it != armed_.end();) {
      const bool ended = Receive(it->first, it->second, &something);
      it = ended ? armed_.erase(it) : std::next(it);
    }
    if (!something) now = now + wait;
    now = now + Micros(10);
    return now;
  }
  template <typename Visit>
  void ForEachCompletion(Visit&& visit) noexcept {
    for (size_t i = 0; i < done_.size(); ++i) {
      const Completion c = done_[i];
      visit(c);
    }
    done_.clear();
  }
  uint64_t overflows() const noexcept { return 0; }
  void Close(uint32_t socket) noexcept { closed.insert(fds_[socket]); }
  uint32_t buffers_total() const noexcept {
    return static_cast<uint32_t>(memory_.size());
  }

 private:
  struct Waiting {
    Endpoint from;
    std::vector<uint8_t> payload;
  };
  struct Pending {
    int turn;
    int fd;
    OpTag tag;
    uint32_t length;
    SendAddress to;
  };

  static bool Nth(uint32_t every, uint32_t* count) {
    return every != 0 && ++*count % every == 0;
  }

  void FinishSends() {
    while (!pending_.empty() &&
           pending_.front().turn + send_delay_turns < turn_) {
      const Pending p = pending_.front();
      pending_.pop_front();
      if (Nth(fail_send_every, &send_failures_)) {
        done_.push_back({.tag = p.tag, .result = -fail_send_errno});
        continue;
      }
      const auto& bytes = memory_[p.tag.buffer];
      const auto to = Endpoint::FromSockaddr(
          reinterpret_cast<const sockaddr*>(&p.to.v4), p.to.length);
      sent.push_back({p.fd,
                      p.tag,
                      to.value_or(Endpoint{}),
                      {bytes.begin(), bytes.begin() + p.length}});
      if (on_send) on_send(sent.back());
      done_.push_back({.tag = p.tag, .result = static_cast<int32_t>(p.length)});
    }
  }

  // Returns whether the receive has ended.
  bool Receive(int fd, OpTag tag, bool* something) {
    if (auto error = receive_errors_.find(fd); error != receive_errors_.end()) {
      done_.push_back({.tag = tag, .result = -error->second, .more = false});
      receive_errors_.erase(error);
      return *something = true;
    }
    auto& queue = waiting_[fd];
    while (!queue.empty()) {
      *something = true;
      if (free_.empty()) {
        done_.push_back({.tag = tag, .result = -ENOBUFS, .more = false});
        return true;
      }
      const uint16_t buffer = free_.back();
      free_.pop_back();
      Waiting datagram = std::move(queue.front());
      queue.pop_front();
      Completion c{.tag = tag, .more = true, .has_buffer = true};
      c.truncated = datagram.payload.size() > max_datagram_;
      if (c.truncated) datagram.payload.resize(max_datagram_);
      memory_[buffer] = std::move(datagram.payload);
      c.tag.buffer = buffer;
      c.payload = memory_[buffer];
      c.result = static_cast<int32_t>(c.payload.size());
      c.source = datagram.from;
      c.kernel_drops = kernel_drops[fd];
      if (Nth(end_receive_every, &received_)) c.more = false;
      done_.push_back(c);
      if (!c.more) return true;
    }
    return false;
  }

  uint32_t max_datagram_;
  std::vector<std::vector<uint8_t>> memory_;
  std::vector<uint16_t> free_;
  std::map<uint32_t, int> fds_;  // by socket
  std::map<int, OpTag> armed_;
  std::map<int, std::deque<Waiting>> waiting_;
  std::map<int, int> receive_errors_;
  std::deque<Pending> pending_;
  std::vector<Completion> done_;
  int turn_ = 0;
  uint32_t arms_ = 0, cancels_ = 0, sends_ = 0, send_failures_ = 0,
           received_ = 0;
};
static_assert(EngineLike<FakeEngine>);

}  // namespace sluice::net

#endif  // SLUICE_TESTS_FAKES_FAKE_ENGINE_H_
