#ifndef SLUICE_BASE_NET_EPOLL_ENGINE_H_
#define SLUICE_BASE_NET_EPOLL_ENGINE_H_

#include <sys/socket.h>
#include <sys/uio.h>

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "base/net/engine.h"
#include "base/net/fd.h"

namespace sluice::net {

// The same engine over epoll, recvmmsg and sendmmsg: for kernels and containers
// where io_uring is forbidden. Each ready socket is read in bounded helpings,
// in turn, and stays armed whatever comes (level-triggered), so a burst on one
// neither starves the others nor leaves it deaf (security M9).
//
// Thread: made on any, then used by the shard's thread alone.
// Owns: the buffers, the epoll descriptor and the sockets it adopted.
class EpollEngine {
 public:
  static absl::StatusOr<std::unique_ptr<EpollEngine>> Create(
      const EngineOptions& options);
  absl::Status Start() noexcept { return absl::OkStatus(); }

  void Adopt(uint32_t socket, int fd) noexcept { fds_[socket] = fd; }
  bool ArmReceive(OpTag tag) noexcept;
  bool CancelReceive(OpTag tag) noexcept;
  bool Send(OpTag tag, uint32_t length, const SendAddress& to) noexcept;
  void Recycle(uint16_t buffer) noexcept { free_.push_back(buffer); }
  Micros SubmitAndWait(Micros wait) noexcept;
  template <typename Visit>
  void ForEachCompletion(Visit&& visit) noexcept {
    // By index: a visit may add to the list.
    for (size_t i = 0; i < done_.size(); ++i) {
      const Completion c = done_[i];
      visit(c);
    }
    completed_last_turn_ = done_.size();
    done_.clear();
  }
  uint64_t overflows() const noexcept { return 0; }
  void Close(uint32_t socket) noexcept;
  uint32_t buffers_total() const noexcept { return buffers_; }

 private:
  static constexpr unsigned kReadySockets = 256;  // a turn
  static constexpr unsigned kHelping = 32;        // datagrams a socket a turn

  struct PendingSend {
    OpTag tag{};
    uint32_t length = 0;
    const SendAddress* to = nullptr;
  };

  explicit EpollEngine(const EngineOptions& options);
  absl::Status Init();
  void FlushSends() noexcept;
  void ReadSocket(OpTag tag) noexcept;
  uint8_t* BufferAt(uint16_t id) { return &memory_[size_t{id} * stride_]; }

  // Fixed after construction. The vectors are reserved once and never grow.
  EngineOptions options_;
  uint32_t buffers_ = 0;
  uint32_t stride_ = 0;
  Fd epoll_;

  // The shard's thread only.
  std::unique_ptr<uint8_t[]> memory_;
  std::vector<uint16_t> free_;
  std::unique_ptr<int[]> fds_;  // by socket
  std::vector<PendingSend> sends_;
  std::vector<Completion> done_;
  size_t completed_last_turn_ = 0;
  mmsghdr headers_[kHelping]{};
  iovec vectors_[kHelping]{};
  sockaddr_in6 names_[kHelping]{};
  alignas(cmsghdr) uint8_t controls_[kHelping][kDropsControlBytes]{};
};

}  // namespace sluice::net

#endif  // SLUICE_BASE_NET_EPOLL_ENGINE_H_
