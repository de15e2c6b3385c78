// What both paths have counted, added up.

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "relay/counters.h"
#include "relay/xdp/offload.h"

namespace sluice::relay::xdp {
namespace {

constexpr Side kSides[] = {Side::kFrom, Side::kTo};

double JitterMs(const Stats& stats, uint32_t clock_hz) {
  if (clock_hz == 0) return 0;
  return static_cast<double>(stats.jitter_q4) / 16 * 1000 / clock_hz;
}

}  // namespace

void Offload::Books::Add(const Stats& stats) {
  // Before that they only note what the sockets have.
  if (stats.packets == 0) return;
  packets += stats.packets;
  bytes += stats.bytes;
  expected += stats.expected;
  received += stats.received;
  late += stats.late;
  ssrc_changes += stats.ssrc_changes;
  // Of all the DROP verdicts only `refused` comes after the packet was counted,
  // and RuleOf makes no rule that gives another one. `dropped` is read after
  // `packets`, and may have gone on meanwhile.
  refused += std::min<uint64_t>(stats.dropped, stats.packets);
  newest = stats;
}

Micros Offload::Books::last() const {
  return Micros(static_cast<int64_t>(newest.last_ns / 1000));
}

Offload::Books Offload::BooksOf(const Flow& flow, Side from) const {
  const Half& half = flow.half[Index(from)];
  Books books = half.past;
  if (half.has_books) books.Add(table_.ReadStats(SocketOf(flow, from).cell));
  return books;
}

FlowReport Offload::Report(uint32_t shard, Slot slot) const {
  FlowReport report = sockets_.Report(shard, slot);
  const Flow* const flow = Find(KeyOf(shard, slot), slot.generation);
  if (flow == nullptr) return report;
  for (const Side from : kSides) {
    const Books books = BooksOf(*flow, from);
    SideReport& side = report.side[Index(from)];
    rtp::StreamQuality& quality = side.quality;
    if (books.last() > side.last_packet) {
      side.last_packet = books.last();
      quality.ssrc = books.newest.ssrc;
      quality.jitter_ms = JitterMs(books.newest, flow->spec.clock_hz);
    }
    SideReport& other = report.side[Index(Other(from))];
    side.packets_in += books.packets;
    side.bytes_in += books.bytes;
    other.packets_out += books.packets - books.refused;
    // The octets of the refused are not counted apart: they are in here.
    other.bytes_out += books.bytes;
    side.drops[static_cast<size_t>(DropReason::k_send_failed)] +=
        static_cast<uint32_t>(books.refused);
    quality.received += books.received;
    quality.expected += books.expected;
    quality.lost = static_cast<int64_t>(quality.expected - quality.received);
    quality.reordered += books.late;
    quality.ssrc_changes += static_cast<uint32_t>(books.ssrc_changes);
  }
  return report;
}

Micros Offload::LastPacket(uint32_t shard, Slot slot) const {
  Micros last = sockets_.LastPacket(shard, slot);
  const Flow* const flow = Find(KeyOf(shard, slot), slot.generation);
  if (flow == nullptr) return last;
  for (const Side from : kSides) {
    last = std::max(last, BooksOf(*flow, from).last());
  }
  return last;
}

}  // namespace sluice::relay::xdp
