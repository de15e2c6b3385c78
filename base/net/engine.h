#ifndef SLUICE_BASE_NET_ENGINE_H_
#define SLUICE_BASE_NET_ENGINE_H_

#include <netinet/in.h>
#include <sys/socket.h>

#include <concepts>
#include <cstdint>
#include <cstring>
#include <span>

#include "base/address.h"
#include "base/types.h"

// What moves datagrams between sockets and a shard: the seam at which io_uring,
// epoll and the tests' fake are exchanged. A shard is a template over it, so
// that nothing is virtual on the way of a packet.
//
// Where a receive buffer is at every moment (L2):
//
//     kernel (free) --receive completes--> shard --Send()--> kernel
//          ^                                  |                 |
//          +----------- Recycle() ------------+-----------------+
//                                                 send completes

namespace sluice::net {

// The 64 bits that travel with an operation.
//
//    63    60 59            40 39            16 15             0
//   +--------+----------------+----------------+----------------+
//   |  kind  |  generation    |  socket index  |   buffer id    |
//   +--------+----------------+----------------+----------------+
//
// A completion whose generation is old belongs to a socket already given back;
// its data is dropped without looking at anything else.
struct OpTag {
  enum class Kind : uint8_t { kReceive = 1, kSend, kWake, kCancel };
  static constexpr uint32_t kGenerationMask = (1u << 20) - 1;
  static constexpr uint32_t kSocketsMax = 1u << 24;

  Kind kind = Kind::kWake;
  uint32_t generation = 0;  // the low 20 bits of the slot's
  uint32_t socket = 0;
  uint16_t buffer = 0;

  constexpr uint64_t Pack() const {
    return uint64_t{static_cast<uint8_t>(kind)} << 60 |
           uint64_t{generation & kGenerationMask} << 40 |
           uint64_t{socket & (kSocketsMax - 1)} << 16 | buffer;
  }
  static constexpr OpTag Unpack(uint64_t bits) {
    return {.kind = static_cast<Kind>(bits >> 60),
            .generation = static_cast<uint32_t>(bits >> 40) & kGenerationMask,
            .socket = static_cast<uint32_t>(bits >> 16) & (kSocketsMax - 1),
            .buffer = static_cast<uint16_t>(bits)};
  }
  friend constexpr bool operator==(OpTag, OpTag) = default;
};
inline constexpr OpTag kTagExample{.kind = OpTag::Kind::kSend,
                                   .generation = 0xabcde,
                                   .socket = 0x123456,
                                   .buffer = 0xfedc};
static_assert(OpTag::Unpack(kTagExample.Pack()) == kTagExample);
static_assert(kTagExample.Pack() == 0x2abcde123456fedc);

// Where to send, in the kernel's own form, made once when it changes.
struct SendAddress {
  socklen_t length = 0;  // 0: nowhere
  union {
    sockaddr_in v4;
    sockaddr_in6 v6;
  };
  SendAddress() : v6{} {}
  // `family` of the sending socket; length stays 0 when it cannot reach `to`.
  SendAddress(int family, const Endpoint& to) : v6{} {
    sockaddr_storage storage;
    const socklen_t n = to.is_none() ? 0 : to.ToSockaddr(family, &storage);
    if (n != 0 && n <= sizeof(v6)) {
      __builtin_memcpy(&v6, &storage, n);
      length = n;
    }
  }
};

// What one finished operation brought.
struct Completion {
  OpTag tag{};
  // kReceive, kSend: octets, or -errno. A receive of -errno has no buffer.
  int32_t result = 0;
  // kReceive: the receive goes on by itself. False: arm it again.
  bool more = false;
  bool has_buffer = false;  // kReceive: tag.buffer is lent until Recycle/Send
  bool truncated = false;   // kReceive: longer than max_datagram
  // kReceive: datagrams the kernel dropped at this socket for want of room, as
  // counted since it was opened (wraps); 0: not told.
  uint32_t kernel_drops = 0;
  Endpoint source{};                   // kReceive
  std::span<const uint8_t> payload{};  // kReceive: in the buffer
};

struct EngineOptions {
  uint32_t sq_entries = 1024;
  uint32_t cq_entries = 16384;
  uint32_t receive_buffers = 4096;  // rounded up to a power of two, <= 32768
  uint32_t max_datagram = 2048;
  uint32_t batch_wait_us = 0;
  uint32_t sockets = 65536;
  // io_uring: keep adopted sockets in the ring's table.
  bool hold_files = false;
  int wake_fd = -1;  // an eventfd; readable ends the wait (kWake)
};

// The drop count in the control data of a received message (SO_RXQ_OVFL): the
// kernel adds it only where there is something to tell. 0 without.
inline constexpr size_t kDropsControlBytes = CMSG_SPACE(sizeof(uint32_t));
inline uint32_t DropsFromControl(const void* control, size_t length) noexcept {
  if (length < CMSG_LEN(sizeof(uint32_t))) return 0;
  cmsghdr header;
  std::memcpy(&header, control, sizeof(header));
  if (header.cmsg_level != SOL_SOCKET || header.cmsg_type != SO_RXQ_OVFL) {
    return 0;
  }
  uint32_t drops;
  std::memcpy(&drops, static_cast<const uint8_t*>(control) + CMSG_LEN(0),
              sizeof(drops));
  return drops;
}

template <typename E>
concept EngineLike = requires(E& engine, OpTag tag, int fd, uint32_t socket,
                              uint16_t buffer, uint32_t length,
                              const SendAddress& to, Micros wait,
                              void (*visit)(const Completion&)) {
  // Takes the descriptor of a socket, which from here on is `socket`, the index
  // in every tag.
  { engine.Adopt(socket, fd) }
  noexcept;
  // Each false: no room this turn, ask again in the next.
  { engine.ArmReceive(tag) }
  noexcept->std::same_as<bool>;
  // Its end is the receive's completion with more == false.
  { engine.CancelReceive(tag) }
  noexcept->std::same_as<bool>;
  // Sends `length` octets of the payload of tag.buffer from tag.socket. `to`
  // stays where it is until the next SubmitAndWait returns.
  { engine.Send(tag, length, to) }
  noexcept->std::same_as<bool>;
  { engine.Recycle(buffer) }
  noexcept;
  // Hands over what was asked for and waits for something to happen, at most
  // `wait`. Returns the time. The one system call of a turn.
  { engine.SubmitAndWait(wait) }
  noexcept->std::same_as<Micros>;
  { engine.ForEachCompletion(visit) }
  noexcept;
  // Times the kernel kept completions back for want of room, so far.
  { engine.overflows() }
  noexcept->std::same_as<uint64_t>;
  // Nothing of the socket may be under way; its port is free when this returns.
  { engine.Close(socket) }
  noexcept;
  // All buffers: free, lent to the shard, being sent (L2).
  { engine.buffers_total() }
  noexcept->std::same_as<uint32_t>;
};

}  // namespace sluice::net

#endif  // SLUICE_BASE_NET_ENGINE_H_
