#ifndef SLUICE_BASE_NET_URING_H_
#define SLUICE_BASE_NET_URING_H_

// The library's header is C: zero-length arrays and the like.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wpedantic"
#include <liburing.h>
#pragma GCC diagnostic pop

#include <cstdint>
#include <memory>

#include "absl/status/statusor.h"
#include "base/net/engine.h"

namespace sluice::net {

// The io_uring engine (Linux 6.1 and later): one multishot recvmsg a socket
// into one ring of provided buffers, one send operation a packet straight from
// the buffer it was received into, one io_uring_enter a turn.
//
// Sockets live in the ring's own file table where the kernel gives a removed
// one back at once (Linux 6.13 and later; tried out by CanHoldFiles): that
// saves a look-up an operation, and a process may then hold as many sockets a
// ring as it may descriptors. Elsewhere they are plain descriptors.
//
// Thread: made on any, then used by the shard's thread alone (the ring binds
// itself to the thread that first submits).
// Owns: the ring, the buffers, the sockets it adopted.
class UringEngine {
 public:
  // Runs a datagram through a throw-away ring, so that what the kernel, a
  // container's seccomp profile or kernel.io_uring_disabled forbid is known
  // before the first call. The status says in words what is missing.
  static absl::Status Probe();

  // Whether a socket taken out of a ring's table is closed although another
  // one's receive goes on. Older kernels wait for all operations begun before:
  // a port would stay taken as long as the longest call. Asked once a process.
  static bool CanHoldFiles();

  static absl::StatusOr<std::unique_ptr<UringEngine>> Create(
      const EngineOptions& options);
  ~UringEngine();
  UringEngine(const UringEngine&) = delete;
  UringEngine& operator=(const UringEngine&) = delete;

  // To be called once on the thread that will run the engine.
  absl::Status Start() noexcept;

  void Adopt(uint32_t socket, int fd) noexcept;
  bool ArmReceive(OpTag tag) noexcept;
  bool CancelReceive(OpTag tag) noexcept;
  bool Send(OpTag tag, uint32_t length, const SendAddress& to) noexcept;
  void Recycle(uint16_t buffer) noexcept;
  Micros SubmitAndWait(Micros wait) noexcept;
  template <typename Visit>
  void ForEachCompletion(Visit&& visit) noexcept;
  uint64_t overflows() const noexcept { return overflows_; }
  void Close(uint32_t socket) noexcept;
  uint32_t buffers_total() const noexcept { return buffers_; }

 private:
  explicit UringEngine(const EngineOptions& options);
  absl::Status Init();
  io_uring_sqe* GetSqe() noexcept;
  void ArmWake() noexcept;
  void Aim(io_uring_sqe* sqe, uint32_t socket) const noexcept;
  void WaitForBatch(Micros wait) noexcept;
  uint8_t* BufferAt(uint16_t id) const noexcept {
    return memory_ + size_t{id} * stride_;
  }
  void Read(const io_uring_cqe& cqe, Completion* c) noexcept;

  // Fixed after construction.
  EngineOptions options_;
  uint32_t buffers_ = 0;
  uint32_t buffer_bytes_ = 0;  // headers and max_datagram, exactly
  uint32_t stride_ = 0;        // the same, rounded to whole cache lines
  uint8_t* memory_ = nullptr;
  size_t memory_bytes_ = 0;
  io_uring_buf_ring* buffer_ring_ = nullptr;
  size_t buffer_ring_bytes_ = 0;
  // Only name and control lengths are read by a multishot recvmsg.
  msghdr receive_header_{};
  uint32_t table_size_ = 0;  // sockets below it are held by the ring
  bool has_ring_ = false;
  bool min_wait_ = false;

  // The shard's thread only.
  static constexpr int kHeld = -2;  // in the ring's table
  std::unique_ptr<int[]> fds_;      // by socket: descriptor, kHeld
  io_uring ring_{};
  uint64_t overflows_ = 0;
  uint64_t wake_value_ = 0;
  uint16_t buffer_tail_ = 0;
  uint32_t completed_last_turn_ = 0;
  bool wake_armed_ = false;
};

template <typename Visit>
void UringEngine::ForEachCompletion(Visit&& visit) noexcept {
  unsigned head;
  unsigned seen = 0;
  io_uring_cqe* cqe;
  io_uring_for_each_cqe(&ring_, head, cqe) {
    ++seen;
    Completion c;
    Read(*cqe, &c);
    if (c.tag.kind == OpTag::Kind::kWake) wake_armed_ = false;
    visit(c);
  }
  io_uring_cq_advance(&ring_, seen);
  completed_last_turn_ = seen;
}

inline void UringEngine::Read(const io_uring_cqe& cqe, Completion* c) noexcept {
  c->tag = OpTag::Unpack(cqe.user_data);
  c->result = cqe.res;
  c->more = (cqe.flags & IORING_CQE_F_MORE) != 0;
  if ((cqe.flags & IORING_CQE_F_BUFFER) == 0) return;
  const auto id = static_cast<uint16_t>(cqe.flags >> IORING_CQE_BUFFER_SHIFT);
  c->tag.buffer = id;
  c->has_buffer = true;
  // | io_uring_recvmsg_out | name | control | payload ...
  const uint8_t* at = BufferAt(id);
  const auto* out = reinterpret_cast<const io_uring_recvmsg_out*>(at);
  const uint8_t* name = at + sizeof(*out);
  const uint8_t* control = name + receive_header_.msg_namelen;
  const uint8_t* payload = control + receive_header_.msg_controllen;
  if (cqe.res < 0) return;
  const auto whole = static_cast<uint32_t>(cqe.res);
  const auto head = static_cast<uint32_t>(payload - at);
  const uint32_t length = whole > head ? whole - head : 0;
  c->truncated = (out->flags & MSG_TRUNC) != 0;
  if (out->controllen != 0) [[unlikely]] {
    c->kernel_drops = DropsFromControl(control, out->controllen);
  }
  if (auto source = Endpoint::FromSockaddr(
          reinterpret_cast<const sockaddr*>(name), out->namelen)) {
    c->source = *source;
  }
  c->payload = {payload, length};
  c->result = static_cast<int32_t>(length);
}

inline void UringEngine::Recycle(uint16_t buffer) noexcept {
  io_uring_buf& entry = buffer_ring_->bufs[buffer_tail_ & (buffers_ - 1)];
  entry.addr = reinterpret_cast<uint64_t>(BufferAt(buffer));
  entry.len = buffer_bytes_;
  entry.bid = buffer;
  ++buffer_tail_;
  // The release pairs with the kernel's acquire of the tail: the entry above is
  // whole before it can be taken.
  __atomic_store_n(&buffer_ring_->tail, buffer_tail_, __ATOMIC_RELEASE);
}

}  // namespace sluice::net

#endif  // SLUICE_BASE_NET_URING_H_
