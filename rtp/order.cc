#include "rtp/order.h"

#include <algorithm>
#include <cstring>

#include "base/check.h"

namespace sluice::rtp {
namespace {

constexpr uint32_t kSilenceChunk = 160;

}  // namespace

void ReorderWindow::Step(Out out) {
  Held& slot = At(next_++);
  if (!slot.full) return;
  slot.full = false;
  --held_;
  out(slot.timestamp, {slot.payload.data(), slot.size});
}

void ReorderWindow::Drain(Out out) {
  while (held_ > 0 && At(next_).full) Step(out);
}

void ReorderWindow::Flush(Out out) {
  while (held_ > 0) Step(out);
  begun_ = false;
  after_jump_ = kNoSequence;
}

void ReorderWindow::Expire(Micros now, Out out) {
  while (held_ > 0) {
    uint16_t first = next_;
    while (!At(first).full) ++first;
    if (now - At(first).arrival < kHold) return;
    next_ = first;
    Drain(out);
  }
}

bool ReorderWindow::Push(const RtpHeader& header,
                         std::span<const uint8_t> payload, Micros arrival,
                         Out out) {
  CHECK(payload.size() <= kPayloadBytesMax);
  const uint16_t sequence = header.sequence;
  if (!begun_) {
    begun_ = true;
    next_ = sequence;
  }
  const auto ahead = static_cast<uint16_t>(sequence - next_);
  if (ahead == 0) {
    // The usual packet. Its slot is empty: what is at next_ has been drained.
    ++next_;
    after_jump_ = kNoSequence;
    out(header.timestamp, payload);
    Drain(out);
    return true;
  }
  if (ahead >= kMaxDropout) {
    const auto behind = static_cast<uint16_t>(next_ - sequence);
    if (behind <= kMaxMisorder) return false;
    // A jump. Believed when the next number follows, as in the books.
    if (sequence != after_jump_) {
      after_jump_ = static_cast<uint16_t>(sequence + 1);
      return false;
    }
    Flush(out);
    begun_ = true;
    next_ = static_cast<uint16_t>(sequence + 1);
    out(header.timestamp, payload);
    return true;
  }
  // Room for it: the oldest gap is given up. At most kSlots have to be looked
  // at, however far the number is.
  for (size_t i = 0;
       i < kSlots && static_cast<uint16_t>(sequence - next_) >= kSlots; ++i) {
    Step(out);
  }
  if (static_cast<uint16_t>(sequence - next_) >= kSlots) {
    next_ = static_cast<uint16_t>(sequence - (kSlots - 1));
  }
  Held& slot = At(sequence);
  if (slot.full) return false;
  slot.full = true;
  slot.size = static_cast<uint16_t>(payload.size());
  slot.timestamp = header.timestamp;
  slot.arrival = arrival;
  if (!payload.empty()) {
    std::memcpy(slot.payload.data(), payload.data(), payload.size());
  }
  ++held_;
  Drain(out);
  return true;
}

Timeline::Fate Timeline::Put(uint32_t timestamp,
                             std::span<const uint8_t> payload, uint8_t silence,
                             Micros now, Out out) {
  if (payload.empty()) return Fate::kWritten;
  if (!metered_) {
    metered_ = true;
    first_ = now;
  }
  const auto distance = static_cast<int32_t>(timestamp - next_);
  uint32_t gap = 0;
  if (begun_ && distance > 0 && distance <= static_cast<int32_t>(kGapMax)) {
    gap = static_cast<uint32_t>(distance);
  } else if (begun_ && distance < 0 &&
             distance >= -static_cast<int32_t>(kGapMax)) {
    const auto overlap = static_cast<size_t>(-static_cast<int64_t>(distance));
    if (overlap >= payload.size()) return Fate::kLate;
    payload = payload.subspan(overlap);
    timestamp = next_;
  }
  const auto since = std::max<int64_t>((now - first_).us(), 0);
  const uint64_t allowed =
      static_cast<uint64_t>(since) * kSamplesPerMs / 1'000 + kAheadMax;
  if (written_ + gap + payload.size() > allowed) return Fate::kTooFast;
  begun_ = true;
  written_ += gap + payload.size();
  next_ = timestamp + static_cast<uint32_t>(payload.size());
  if (gap > 0) {
    std::array<uint8_t, kSilenceChunk> quiet;
    quiet.fill(silence);
    while (gap > 0) {
      const uint32_t part = std::min(gap, kSilenceChunk);
      out(std::span<const uint8_t>(quiet).first(part));
      gap -= part;
    }
  }
  out(payload);
  return Fate::kWritten;
}

}  // namespace sluice::rtp
