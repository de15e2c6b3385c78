// Decide() under a stream of hostile datagrams: whatever comes, exactly one
// verdict, the drop counted where it belongs, what is sent goes only to a party
// of the flow, and nobody is learnt without his packets in sequence. The input
// is a list of records: one octet of control (side, source, kind of step), one
// of length, then the datagram.
#include <cstddef>
#include <cstdint>
#include <memory>

#include "base/check.h"
#include "relay/forwarder.h"
#include "rtp/packet.h"

namespace {

using namespace sluice;         // NOLINT
using namespace sluice::relay;  // NOLINT

const IpAddress kParties[2] = {IpAddress::V4(192, 0, 2, 1),
                               IpAddress::V4(10, 0, 0, 7)};
const IpAddress kStranger = IpAddress::V4(198, 51, 100, 66);

Endpoint Source(uint8_t control, int side) {
  const auto port = static_cast<uint16_t>(4000 + (control >> 6));
  const bool stranger = (control & 0x20) != 0;
  return {stranger ? kStranger : kParties[side], Port::FromHost(port)};
}

// What one source has said in RTP, whoever else spoke in between.
struct Run {
  uint32_t ssrc = 0;
  uint16_t sequence = 0;
  int length = 0;  // packets in sequence by now

  void Add(const rtp::RtpHeader& header) {
    const bool next = header.ssrc == ssrc &&
                      header.sequence == static_cast<uint16_t>(sequence + 1);
    length = next && length > 0 ? length + 1 : 1;
    ssrc = header.ssrc;
    sequence = header.sequence;
  }
};

uint64_t Drops(const Flow& flow, int side) {
  uint64_t sum = 0;
  for (const auto& d : flow.side[side].cells.drops) sum += d.Get();
  return sum;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 2) return 0;
  auto flow = std::make_unique<Flow>();
  auto rtp = std::make_unique<Flow>();
  flow->kind = static_cast<FlowKind>(data[0] % 4);
  const auto policy = static_cast<LatchPolicy>(data[1] % 3);
  flow->policy[0] = flow->policy[1] = policy;
  Micros now = Micros::Seconds(1);
  Run runs[2][8];  // by side, by the bits of `control` that make the source
  for (Flow* f : {flow.get(), rtp.get()}) {
    f->generation = 1;
    for (int s : {0, 1}) {
      f->side[s].cells.Reset(8000);
      // The second party is behind a NAT and may be learnt.
      f->side[s].latch.Reset(
          {.target = {kParties[s], Port::FromHost(4000)}, .learn_any = s == 1},
          now + Micros::Seconds(3));
      f->side[s].to = net::SendAddress(AF_INET, f->side[s].latch.destination());
    }
  }
  for (size_t at = 2; at + 2 <= size;) {
    const uint8_t control = data[at];
    const size_t length =
        data[at + 1] < size - at - 2 ? data[at + 1] : size - at - 2;
    const int side = control & 1;
    const Datagram packet{.source = Source(control, side),
                          .payload = {data + at + 2, length},
                          .truncated = (control & 0x10) != 0};
    at += 2 + length;
    now = now + Micros::Millis(20);
    if ((control & 0x0e) == 0x0e) {
      flow->side[side].latch.Retarget(
          {.target = {kParties[side], packet.source.port},
           .learn_any = side == 1},
          now + Micros::Seconds(3));
      continue;
    }
    const uint64_t drops = Drops(*flow, side);
    const uint64_t in = flow->side[side].cells.packets_in.Get();
    const bool closed =
        flow->side[side].latch.state() == Latch::State::kConfirmed;
    const Endpoint before =
        closed ? flow->side[side].latch.source() : Endpoint{};
    Run& run = runs[side][control >> 5];
    if (!packet.truncated && !rtp::LooksLikeRtcp(packet.payload)) {
      if (const auto header = rtp::ParseRtp(packet.payload)) run.Add(*header);
    }
    const Verdict verdict =
        Decide(*flow, static_cast<Side>(side), packet, rtp.get(), now);
    CHECK(Drops(*flow, side) - drops == (verdict.send ? 0u : 1u));
    if (verdict.send) {
      CHECK(flow->side[side].cells.packets_in.Get() == in + 1);
      CHECK(!packet.truncated && length > 0);
    }
    // No packet moves a confirmed latch, and none of a stranger's passes one.
    if (closed) {
      CHECK(flow->side[side].latch.source() == before);
      CHECK(!verdict.send || packet.source == before || HasRtcp(flow->kind));
    }
    const Latch& latch = flow->side[side].latch;
    if (flow->kind == FlowKind::kRtp && !closed &&
        latch.by() == LatchedBy::kLearnt) {
      CHECK(run.length >= Latch::kToLearn);
    }
    // The first party can never be moved to another address.
    const Latch& first = flow->side[0].latch;
    if (policy != LatchPolicy::kFirstPacket && first.believed()) {
      CHECK(first.source().ip == kParties[0]);
    }
    if (policy == LatchPolicy::kStrict && first.believed()) {
      CHECK(first.by() == LatchedBy::kSdp);
    }
  }
  return 0;
}
