#ifndef SLUICE_RELAY_FLOW_H_
#define SLUICE_RELAY_FLOW_H_

#include <array>
#include <atomic>
#include <cstdint>

#include "base/cell.h"
#include "base/fixed_table.h"
#include "base/net/engine.h"
#include "base/types.h"
#include "relay/counters.h"
#include "relay/latch.h"
#include "relay/session_command.h"
#include "rtp/stream_stats.h"

namespace sluice::relay {

// What a flow has counted for one side. The shard writes, anybody reads.
struct SideCells {
  Cell<uint64_t> packets_in, bytes_in, packets_out, bytes_out;
  Cell<int64_t> last_packet_us;
  // SequenceMark of the last RTP packet that the kernel has taken for it.
  Cell<uint32_t> last_sent;
  rtp::StreamStats stream;
  std::array<Cell<uint32_t>, kDropReasons> drops;

  void Reset(uint32_t clock_hz) noexcept;
};

// One side of a flow: the socket that faces the party, whom it believes, and
// where it sends to.
struct FlowSide {
  static constexpr uint32_t kNone = UINT32_MAX;

  uint32_t socket = 0;    // index into the shard's sockets
  uint32_t next = kNone;  // next flow on the same socket
  bool untold = false;    // a change of the latch waits to be told
  net::SendAddress to{};  // made from latch.destination()
  Latch latch{};
  SideCells cells{};
};

// A flow as its shard keeps it.
//
// The generation is the tenant's; 0 while the flow is closed. It is stored last
// when a flow opens (release), so that a reader of the cells who sees his own
// generation (acquire) sees cells that were reset for it.
struct Flow {
  std::atomic<uint32_t> generation{0};
  FlowKind kind = FlowKind::kRtp;
  LatchPolicy policy[2] = {LatchPolicy::kSdpFirst,
                           LatchPolicy::kSdpFirst};  // by Side
  // What comes in is copied for a capture.
  bool watched = false;
  uint32_t rtp_flow = FlowSide::kNone;  // kRtcp: whose latch decides
  uint32_t rtp_generation = 0;
  FlowSide side[2];  // by Side

  bool open() const { return generation.load(std::memory_order_relaxed) != 0; }
};

// A relay socket as its shard keeps it.
//
//   (free) --kOpenSocket--> idle --first flow--> armed --kCloseSocket-->
//   closing --receive ended, sends done--> closed, kSocketClosed told -->
//   (free)
struct RelaySocket {
  uint32_t generation = 0;  // 0: free, and nothing else here means anything
  uint32_t first_flow = FlowSide::kNone;
  Side faces = Side::kFrom;  // of the flows on it
  int family = 0;
  bool armed = false;       // a receive is under way
  bool closing = false;     // no receive is armed again
  bool closed = false;      // given back to the system, not yet told
  bool arm_waits = false;   // on the list of receives to arm
  uint32_t sends = 0;       // handed to the kernel, not yet done
  uint32_t drops_seen = 0;  // of the kernel's count
};

// What ARCHITECTURE.md counts with.
static_assert(sizeof(Flow) == 752);

using FlowTable = FixedTable<Flow>;
using SocketTable = FixedTable<RelaySocket>;

}  // namespace sluice::relay

#endif  // SLUICE_RELAY_FLOW_H_
