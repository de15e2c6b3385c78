#include "base/net/uring.h"

#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cstring>

#include "absl/strings/str_format.h"
#include "base/clock.h"
#include "base/net/fd.h"
#include "base/net/socket.h"
#include "base/status_macros.h"

namespace sluice::net {
namespace {

constexpr int kBufferGroup = 0;
// Not in liburing 2.3's copy of the header: Linux 6.12, a minimum time to wait
// for more than one completion, in the word after sigmask_sz.
constexpr uint32_t kFeatureMinTimeout = 1u << 15;
// Without kFeatureMinTimeout a batch is waited for by number.
constexpr unsigned kBatchOfOldKernels = 32;

// What a multishot recvmsg puts before the payload.
constexpr uint32_t kHeadBytes =
    sizeof(io_uring_recvmsg_out) + sizeof(sockaddr_in6) + kDropsControlBytes;

uint32_t RoundUp(uint32_t n, uint32_t to) { return (n + to - 1) / to * to; }

}  // namespace

UringEngine::UringEngine(const EngineOptions& options) : options_(options) {}

absl::StatusOr<std::unique_ptr<UringEngine>> UringEngine::Create(
    const EngineOptions& options) {
  std::unique_ptr<UringEngine> engine(new UringEngine(options));
  RETURN_IF_ERROR(engine->Init());
  return engine;
}

absl::Status UringEngine::Init() {
  io_uring_params params{};
  // SINGLE_ISSUER: one thread submits. DEFER_TASKRUN: the work of completions
  // is done when this thread asks for them, not in the middle of something
  // (Linux 6.1). R_DISABLED: made here, while privileges last, bound to the
  // shard's thread by Start(). SUBMIT_ALL: one refused operation does not hold
  // back those behind it. CQSIZE: a turn's receives must fit; the default of
  // twice the submission ring would overflow under a burst.
  params.flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN |
                 IORING_SETUP_R_DISABLED | IORING_SETUP_SUBMIT_ALL |
                 IORING_SETUP_CQSIZE | IORING_SETUP_CLAMP;
  params.cq_entries =
      std::bit_ceil(std::max(options_.cq_entries, options_.sq_entries));
  int error = io_uring_queue_init_params(std::bit_ceil(options_.sq_entries),
                                         &ring_, &params);
  if (error < 0) return ErrnoStatus(-error, "io_uring_setup");
  has_ring_ = true;
  min_wait_ = (params.features & kFeatureMinTimeout) != 0;

  buffers_ = std::bit_ceil(std::clamp(options_.receive_buffers, 1u, 32768u));
  receive_header_.msg_namelen = sizeof(sockaddr_in6);
  receive_header_.msg_controllen = kDropsControlBytes;
  buffer_bytes_ = kHeadBytes + options_.max_datagram;
  stride_ = RoundUp(buffer_bytes_, 64);
  memory_bytes_ = size_t{stride_} * buffers_;
  buffer_ring_bytes_ = sizeof(io_uring_buf) * buffers_;
  for (auto [at, bytes] :
       {std::pair{reinterpret_cast<void**>(&memory_), memory_bytes_},
        std::pair{reinterpret_cast<void**>(&buffer_ring_),
                  buffer_ring_bytes_}}) {
    void* p = mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED) return ErrnoStatus(errno, "receive buffers");
    *at = p;
  }
  // A turn walks over the buffers one after the other: on small pages that is a
  // miss of the TLB a packet. Where the system has no huge pages, nothing is
  // lost.
  madvise(memory_, memory_bytes_, MADV_HUGEPAGE);
  io_uring_buf_reg reg{};
  reg.ring_addr = reinterpret_cast<uint64_t>(buffer_ring_);
  reg.ring_entries = buffers_;
  reg.bgid = kBufferGroup;
  error = io_uring_register_buf_ring(&ring_, &reg, 0);
  if (error < 0) return ErrnoStatus(-error, "io_uring buffer ring");
  for (uint32_t id = 0; id < buffers_; ++id) {
    Recycle(static_cast<uint16_t>(id));
  }
  // Not zeroed: a page is touched when its sockets come into use.
  fds_ = std::make_unique_for_overwrite<int[]>(options_.sockets);
  if (options_.hold_files) {
    rlimit limit{};
    getrlimit(RLIMIT_NOFILE, &limit);
    const auto size = static_cast<uint32_t>(
        std::min<uint64_t>(options_.sockets, limit.rlim_cur));
    // Refused: they stay plain descriptors, which always works.
    if (io_uring_register_files_sparse(&ring_, size) == 0) table_size_ = size;
  }
  return absl::OkStatus();
}

UringEngine::~UringEngine() {
  if (has_ring_) io_uring_queue_exit(&ring_);
  if (buffer_ring_ != nullptr) munmap(buffer_ring_, buffer_ring_bytes_);
  if (memory_ != nullptr) munmap(memory_, memory_bytes_);
}

absl::Status UringEngine::Start() noexcept {
  // io_uring_enable_rings() by hand: liburing 2.3 declares it, its shared
  // library does not export it.
  if (syscall(__NR_io_uring_register, ring_.ring_fd,
              IORING_REGISTER_ENABLE_RINGS, nullptr, 0) < 0) {
    return ErrnoStatus(errno, "io_uring enable");
  }
  // Saves looking the ring's descriptor up each turn; without it the ring works
  // all the same.
  io_uring_register_ring_fd(&ring_);
  ArmWake();
  return absl::OkStatus();
}

io_uring_sqe* UringEngine::GetSqe() noexcept {
  if (io_uring_sqe* sqe = io_uring_get_sqe(&ring_)) return sqe;
  // Full in the middle of a turn: hand over what is there and go on. Refused
  // only while the kernel holds completions back; then the caller waits a turn.
  io_uring_submit(&ring_);
  return io_uring_get_sqe(&ring_);
}

void UringEngine::ArmWake() noexcept {
  if (wake_armed_ || options_.wake_fd < 0) return;
  io_uring_sqe* sqe = GetSqe();
  if (sqe == nullptr) return;
  io_uring_prep_read(sqe, options_.wake_fd, &wake_value_, sizeof(wake_value_),
                     0);
  io_uring_sqe_set_data64(sqe, OpTag{.kind = OpTag::Kind::kWake}.Pack());
  wake_armed_ = true;
}

void UringEngine::Adopt(uint32_t socket, int fd) noexcept {
  fds_[socket] = fd;
  if (socket >= table_size_) return;
  if (io_uring_register_files_update(&ring_, socket, &fd, 1) == 1) {
    fds_[socket] = kHeld;
    ::close(fd);
  }
}

void UringEngine::Close(uint32_t socket) noexcept {
  if (fds_[socket] == kHeld) {
    const int none = -1;
    io_uring_register_files_update(&ring_, socket, &none, 1);
  } else {
    ::close(fds_[socket]);
  }
}

void UringEngine::Aim(io_uring_sqe* sqe, uint32_t socket) const noexcept {
  if (fds_[socket] == kHeld) {
    sqe->fd = static_cast<int>(socket);
    sqe->flags |= IOSQE_FIXED_FILE;
  } else {
    sqe->fd = fds_[socket];
  }
}

bool UringEngine::ArmReceive(OpTag tag) noexcept {
  io_uring_sqe* sqe = GetSqe();
  if (sqe == nullptr) return false;
  io_uring_prep_recvmsg_multishot(sqe, -1, &receive_header_, 0);
  sqe->flags |= IOSQE_BUFFER_SELECT;
  sqe->buf_group = kBufferGroup;
  Aim(sqe, tag.socket);
  io_uring_sqe_set_data64(sqe, tag.Pack());
  return true;
}

bool UringEngine::CancelReceive(OpTag tag) noexcept {
  io_uring_sqe* sqe = GetSqe();
  if (sqe == nullptr) return false;
  io_uring_prep_cancel64(sqe, tag.Pack(), 0);
  io_uring_sqe_set_data64(sqe, OpTag{.kind = OpTag::Kind::kCancel}.Pack());
  return true;
}

bool UringEngine::Send(OpTag tag, uint32_t length,
                       const SendAddress& to) noexcept {
  io_uring_sqe* sqe = GetSqe();
  if (sqe == nullptr) return false;
  const uint8_t* payload = BufferAt(tag.buffer) + kHeadBytes;
  // DONTWAIT: a full socket is an answer (-EAGAIN), never a wait in the kernel
  // that would let later packets of the flow overtake this one (L8).
  io_uring_prep_send(sqe, -1, payload, length, MSG_DONTWAIT | MSG_NOSIGNAL);
  io_uring_prep_send_set_addr(sqe, reinterpret_cast<const sockaddr*>(&to.v4),
                              static_cast<__u16>(to.length));
  Aim(sqe, tag.socket);
  io_uring_sqe_set_data64(sqe, tag.Pack());
  return true;
}

Micros UringEngine::SubmitAndWait(Micros wait) noexcept {
  if (!wake_armed_) ArmWake();
  if (options_.batch_wait_us > 0 && wait.us() > 0) {
    WaitForBatch(wait);
  } else {
    __kernel_timespec ts{.tv_sec = wait.us() / 1'000'000,
                         .tv_nsec = wait.us() % 1'000'000 * 1'000};
    io_uring_cqe* cqe;
    // Always for one, if only for no time: without a number to wait for the
    // library does not ask for completions, and under DEFER_TASKRUN nothing is
    // received until it does.
    io_uring_submit_and_wait_timeout(&ring_, &cqe, 1, &ts, nullptr);
  }
  // Set while completions wait in the kernel for room; the call above has
  // brought what fits, the next one brings the rest. None is lost (NODROP).
  if (__atomic_load_n(ring_.sq.kflags, __ATOMIC_RELAXED) &
      IORING_SQ_CQ_OVERFLOW) {
    ++overflows_;
  }
  return SystemClock::Now();
}

void UringEngine::WaitForBatch(Micros wait) noexcept {
  io_uring_submit(&ring_);
  __kernel_timespec ts{.tv_sec = wait.us() / 1'000'000,
                       .tv_nsec = wait.us() % 1'000'000 * 1'000};
  if (min_wait_) {
    io_uring_getevents_arg arg{};
    arg.pad = options_.batch_wait_us;  // min_wait_usec since Linux 6.12
    arg.ts = reinterpret_cast<uint64_t>(&ts);
    // Enough to be full is never waited for: the time decides, or the first
    // completion after it.
    io_uring_enter2(static_cast<unsigned>(ring_.ring_fd), 0,
                    std::max(1u, options_.receive_buffers / 2),
                    IORING_ENTER_GETEVENTS | IORING_ENTER_EXT_ARG,
                    reinterpret_cast<sigset_t*>(&arg), sizeof(arg));
    return;
  }
  io_uring_cqe* cqe;
  if (completed_last_turn_ == 0) {  // idle: sleep until the first packet
    io_uring_wait_cqes(&ring_, &cqe, 1, &ts, nullptr);
    return;
  }
  ts = {.tv_sec = 0, .tv_nsec = int64_t{options_.batch_wait_us} * 1'000};
  io_uring_wait_cqes(&ring_, &cqe, kBatchOfOldKernels, &ts, nullptr);
}

bool UringEngine::CanHoldFiles() {
  static const bool can = [] {
    const Endpoint any{.ip = IpAddress::V4(127, 0, 0, 1), .port = Port()};
    auto first = OpenUdp(any, {});
    auto second = OpenUdp(any, {});
    auto engine = Create({.sq_entries = 8,
                          .cq_entries = 16,
                          .receive_buffers = 4,
                          .max_datagram = 64,
                          .sockets = 2,
                          .hold_files = true});
    if (!first.ok() || !second.ok() || !engine.ok() ||
        !(*engine)->Start().ok() || (*engine)->table_size_ < 2) {
      return false;
    }
    const auto port = LocalEndpoint(second->get());
    (*engine)->Adopt(0, first->Release());
    (*engine)->Adopt(1, second->Release());
    const OpTag receive{.kind = OpTag::Kind::kReceive, .generation = 1};
    (*engine)->ArmReceive(receive);
    (*engine)->SubmitAndWait(Micros());
    (*engine)->Close(1);
    const bool closed = port.ok() && OpenUdp(*port, {}).ok();
    (*engine)->CancelReceive(receive);
    (*engine)->SubmitAndWait(Micros::Millis(10));
    (*engine)->Close(0);
    return closed;
  }();
  return can;
}

absl::Status UringEngine::Probe() {
  ASSIGN_OR_RETURN(
      Fd socket,
      OpenUdp(Endpoint{.ip = IpAddress::V4(127, 0, 0, 1), .port = Port()}, {}));
  ASSIGN_OR_RETURN(Endpoint self, LocalEndpoint(socket.get()));
  ASSIGN_OR_RETURN(auto engine, Create({.sq_entries = 8,
                                        .cq_entries = 16,
                                        .receive_buffers = 4,
                                        .max_datagram = 64,
                                        .sockets = 1}));
  RETURN_IF_ERROR(engine->Start());
  const int fd = socket.Release();  // ours until Close(0)
  engine->Adopt(0, fd);
  engine->ArmReceive({.kind = OpTag::Kind::kReceive, .generation = 1});
  // The first packet comes from outside, its echo through the ring.
  const char ping[] = "probe";
  SendAddress to(AF_INET, self);
  if (sendto(fd, ping, sizeof(ping), MSG_DONTWAIT,
             reinterpret_cast<sockaddr*>(&to.v4), to.length) < 0) {
    const int error = errno;
    engine->Close(0);
    return ErrnoStatus(error, "probe datagram on loopback");
  }
  int received = 0;
  absl::Status failure;
  for (int turn = 0; turn < 8 && received < 2 && failure.ok(); ++turn) {
    engine->SubmitAndWait(Micros::Millis(250));
    engine->ForEachCompletion([&](const Completion& c) {
      if (c.result < 0) {
        failure = ErrnoStatus(-c.result, c.tag.kind == OpTag::Kind::kReceive
                                             ? "multishot recvmsg"
                                             : "send with an address");
      } else if (c.tag.kind == OpTag::Kind::kReceive && c.has_buffer) {
        if (++received == 1) {
          engine->Send({.kind = OpTag::Kind::kSend,
                        .generation = 1,
                        .buffer = c.tag.buffer},
                       static_cast<uint32_t>(c.payload.size()), to);
        }
      }
    });
  }
  engine->Close(0);
  if (!failure.ok()) return failure;
  if (received < 2) {
    return absl::UnavailableError("a datagram did not come back");
  }
  return absl::OkStatus();
}

}  // namespace sluice::net
