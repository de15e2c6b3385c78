#ifndef SLUICE_TOOLS_LOAD_PROBE_H_
#define SLUICE_TOOLS_LOAD_PROBE_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

namespace sluice::load {

enum class ProbeKind : uint8_t { kRtp = 0, kRtcp = 1 };

// Everything one packet of ours knows of itself.
struct Probe {
  ProbeKind kind = ProbeKind::kRtp;
  uint8_t direction = 0;  // 0: sent by the caller, 1: by the callee
  uint32_t run = 0;       // tells this run's packets from an earlier one's
  uint32_t session = 0;
  uint32_t sequence = 0;   // counts from 0 within (session, direction, kind)
  uint32_t slot = 0;       // place in the sender's window; kNoSlot when paced
  uint32_t timestamp = 0;  // RTP media clock
  uint64_t sent_ns = 0;    // CLOCK_MONOTONIC just before the send
};
inline constexpr uint32_t kNoSlot = UINT32_MAX;

// What a probe needs at least, and what fits the generator's buffers.
inline constexpr size_t kRtpProbeMin = 12 + 40;
inline constexpr size_t kRtcpProbeBytes = 28 + 12 + 40;
inline constexpr size_t kProbeMax = 2048;

// Writes a packet that is valid RTP (RFC 3550 5.1: version 2, PCMU, an SSRC a
// stream) or RTCP (6.1: a sender report, then an APP packet which carries
// ours):
//
//    RTP  | 12 header |                      40 block | filler ... |
//    RTCP | 28 SR     | 12 APP, name "SLUI" | 40 block |
//
//    block  0 magic    4 run      8 session   12 sequence   16 slot
//          20 kind, direction, zero, zero     24 sent_ns    32 checksum
//
// The checksum covers every octet of the packet but its own eight, so that no
// change by a relay goes unseen. The filler differs from packet to packet.
//
// `packet` is kRtpProbeMin..kProbeMax octets for RTP and exactly
// kRtcpProbeBytes for RTCP; all of it is written.
void WriteProbe(const Probe& probe, std::span<uint8_t> packet) noexcept;

// nullopt: not a packet of ours as it was sent; damaged, cut or lengthened.
std::optional<Probe> ReadProbe(std::span<const uint8_t> packet) noexcept;

// The SSRC of a stream: differs between all streams of a run.
uint32_t SsrcOf(uint32_t run, uint32_t session, uint8_t direction) noexcept;

}  // namespace sluice::load

#endif  // SLUICE_TOOLS_LOAD_PROBE_H_
