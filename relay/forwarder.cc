#include "relay/forwarder.h"

#include "rtp/packet.h"

namespace sluice::relay {
namespace {

Verdict Drop(FlowSide& side, DropReason reason, bool latched = false) noexcept {
  side.cells.drops[static_cast<size_t>(reason)].Add(1);
  return Verdict::Drop(reason, latched);
}

// Round trips (RFC 3550 6.4.1): the reports of one party speak of the other's
// stream, which passed us on its way.
void ReadReports(FlowSide& from, FlowSide& about,
                 std::span<const uint8_t> packet, Micros now) noexcept {
  const rtp::RtcpReports reports = rtp::ReadRtcpReports(packet);
  if (reports.sender) {
    from.cells.stream.OnSenderReport(reports.sender->ntp_middle, now);
  }
  for (size_t i = 0; i < reports.block_count; ++i) {
    const uint32_t rtt = about.cells.stream.RoundTrip(
        reports.blocks[i].lsr, reports.blocks[i].dlsr, now);
    if (rtt != 0) from.cells.stream.SetRtt(rtt);
  }
}

// A valid packet of RTP, or with no header a raw one, before its latch.
Latch::Answer Hear(FlowSide& side, const Endpoint& source,
                   const rtp::RtpHeader* header, LatchPolicy policy,
                   Micros now) noexcept {
  if (side.latch.Believes(source)) return Latch::Answer::kAccept;
  return side.latch.OnPacket(source, header, policy, now);
}

bool Passes(Latch::Answer answer) noexcept {
  return answer == Latch::Answer::kAccept || answer == Latch::Answer::kLatched;
}

}  // namespace

Verdict Decide(Flow& flow, Side in, const Datagram& packet, const Flow* rtp,
               Micros now) noexcept {
  FlowSide& side = flow.side[Index(in)];
  FlowSide& other = flow.side[Index(Other(in))];
  const LatchPolicy policy = flow.policy[Index(in)];

  if (packet.truncated) return Drop(side, DropReason::k_truncated);
  if (packet.payload.empty()) return Drop(side, DropReason::k_empty);

  Latch::Answer answer = Latch::Answer::kAccept;
  switch (flow.kind) {
    case FlowKind::kRtp:
    case FlowKind::kSrtp: {
      if (rtp::LooksLikeRtcp(packet.payload)) {
        // Multiplexed (RFC 5761): rides on the RTP's latch, never makes one.
        if (!rtp::ValidRtcp(packet.payload)) {
          return Drop(side, DropReason::k_not_rtcp);
        }
        const bool known = side.latch.believed()
                               ? packet.source == side.latch.source()
                               : packet.source == side.latch.target().target;
        if (!known) return Drop(side, DropReason::k_wrong_source);
        // Enciphered reports say nothing to us.
        if (flow.kind == FlowKind::kRtp) {
          ReadReports(side, other, packet.payload, now);
        }
        break;
      }
      const auto header = flow.kind == FlowKind::kRtp
                              ? rtp::ParseRtp(packet.payload)
                              : rtp::ParseSrtp(packet.payload);
      if (!header) return Drop(side, DropReason::k_not_rtp);
      answer = Hear(side, packet.source, &*header, policy, now);
      if (Passes(answer)) side.cells.stream.OnRtp(*header, now);
      break;
    }
    case FlowKind::kRtcp: {
      if (!rtp::ValidRtcp(packet.payload)) {
        return Drop(side, DropReason::k_not_rtcp);
      }
      answer = side.latch.OnRtcp(
          packet.source, rtp ? &rtp->side[Index(in)].latch : nullptr, policy);
      if (Passes(answer)) ReadReports(side, other, packet.payload, now);
      break;
    }
    case FlowKind::kRaw: {
      answer = Hear(side, packet.source, nullptr, policy, now);
      break;
    }
  }
  if (!Passes(answer)) {
    return Drop(side, answer == Latch::Answer::kLearning
                          ? DropReason::k_learning
                          : DropReason::k_wrong_source);
  }
  const bool latched = answer == Latch::Answer::kLatched;
  side.cells.packets_in.Add(1);
  side.cells.bytes_in.Add(packet.payload.size());
  side.cells.last_packet_us.Set(now.us());

  if (other.to.length == 0) return Drop(side, DropReason::k_no_target, latched);
  return Verdict::Send(latched);
}

}  // namespace sluice::relay
