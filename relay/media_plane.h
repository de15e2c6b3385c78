#ifndef SLUICE_RELAY_MEDIA_PLANE_H_
#define SLUICE_RELAY_MEDIA_PLANE_H_

#include <array>
#include <cstdint>
#include <optional>
#include <span>

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "relay/counters.h"
#include "relay/session_command.h"
#include "rtp/stream_stats.h"

namespace sluice::relay {

// What a flow has done for one side so far, copied out of the shard's cells.
// "in" is what came from this party, "out" what was sent to it.
struct SideReport {
  uint64_t packets_in = 0;
  uint64_t bytes_in = 0;
  uint64_t packets_out = 0;
  uint64_t bytes_out = 0;
  Micros last_packet{};                        // 0: never
  std::array<uint32_t, kDropReasons> drops{};  // by DropReason, packets from it
  rtp::StreamQuality quality{};
};
struct FlowReport {
  SideReport side[2]{};  // by Side
};

// A packet of a watched flow as it came in.
struct PacketCopy {
  Micros at{};          // SystemClock
  uint32_t length = 0;  // from the IP header on
  // IP header, UDP, payload; not all of it where it is long.
  std::span<const uint8_t> octets{};
};

// The data plane as the session manager sees it: shards that take sockets and
// flows. The real one is ShardPool; tests have a fake.
//
// Thread: control only. Every call returns at once.
// Errors: AlreadyExists (port in use), ResourceExhausted (table, queue or
// descriptors full), Unavailable (address not here), Internal (with errno
// text).
class MediaPlane {
 public:
  virtual ~MediaPlane() = default;

  virtual uint32_t shards() const = 0;
  // The shard with the fewest sockets; a session stays on it for life.
  virtual uint32_t PickShard() const = 0;

  // Opens and binds a UDP socket and hands it to the shard.
  virtual absl::StatusOr<Slot> OpenSocket(uint32_t shard, const Endpoint& local,
                                          int tos) = 0;
  // Closed later: an Event::kSocketClosed names the slot, and only then may the
  // port be used again. Its flows must have been closed first.
  virtual void CloseSocket(uint32_t shard, Slot socket) = 0;

  struct FlowSpec {
    FlowKind kind = FlowKind::kRtp;
    LatchPolicy policy[2] = {LatchPolicy::kSdpFirst,
                             LatchPolicy::kSdpFirst};  // by Side
    uint32_t clock_hz = 8000;
    Slot socket[2]{};
    Slot rtp_flow{};
    SideTarget target[2]{};
    // Who was believed before this process was; none: nobody.
    Endpoint believed[2]{};
  };
  // A socket may be in several flows, facing the same side in all.
  virtual absl::StatusOr<Slot> OpenFlow(uint32_t shard,
                                        const FlowSpec& spec) = 0;
  // An unchanged address and port keeps the latch, a changed one moves it at
  // once and opens a new learning window (security: re-INVITE must not).
  virtual void Retarget(uint32_t shard, Slot flow, Side side,
                        const SideTarget& target) = 0;
  virtual void CloseFlow(uint32_t shard, Slot flow) = 0;

  // All zero while the shard has not yet applied the open.
  virtual FlowReport Report(uint32_t shard, Slot flow) const = 0;
  // The newest packet of either side; cheap. 0: none yet.
  virtual Micros LastPacket(uint32_t shard, Slot flow) const = 0;

  // The last RTP sequence number that was sent to this party; nullopt: none
  // yet.
  virtual std::optional<uint16_t> LastSent(uint32_t shard, Slot flow,
                                           Side to) const = 0;
  // This party's packets take another way from here on, past the sockets: its
  // stream's books rest until the next one comes here.
  virtual void Pause(uint32_t shard, Slot flow, Side from) = 0;

  // Hands every waiting event to `visit`.
  virtual void DrainEvents(
      absl::FunctionRef<void(uint32_t shard, const Event&)> visit) = 0;

  // Copies what comes in on this flow, from both parties and by whichever path
  // it goes, until it is told not to or the flow is closed.
  virtual void Watch(uint32_t, Slot, bool /*on*/) {}
  // Hands every waiting copy to `visit`: of one port in the order in which they
  // came. Its octets are gone when it returns. A plane that is watched must be
  // drained, or copies are lost (and counted).
  virtual void DrainCopies(absl::FunctionRef<void(const PacketCopy&)>) {}
  // Packets of watched flows of which there is no copy, ever.
  virtual uint64_t CopiesLost() const { return 0; }
};

}  // namespace sluice::relay

#endif  // SLUICE_RELAY_MEDIA_PLANE_H_
