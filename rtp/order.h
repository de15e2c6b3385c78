#ifndef SLUICE_RTP_ORDER_H_
#define SLUICE_RTP_ORDER_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "absl/functional/function_ref.h"
#include "base/types.h"
#include "rtp/g711.h"
#include "rtp/packet.h"

namespace sluice::rtp {

// 200 ms of G.711, the longest packet time there is use for.
inline constexpr size_t kPayloadBytesMax = 1600;

// Puts the packets of one source in the order of their sequence numbers. What
// comes in order passes through uncopied; behind a gap up to kSlots - 1 packets
// wait for what is missing, and no longer than kHold.
//
//   next_ = 5:   push 5    -> out 5
//                push 7, 8 -> held
//                push 6    -> out 6 7 8
//
// Bounded memory, no allocation.
class ReorderWindow {
 public:
  static constexpr size_t kSlots = 8;
  static constexpr Micros kHold = Micros::Millis(120);

  // In order; an empty payload for a packet that is no audio.
  using Out = absl::FunctionRef<void(uint32_t timestamp,
                                     std::span<const uint8_t> payload)>;

  // False: a duplicate, or too late for its place. REQUIRES: payload.size() <=
  // kPayloadBytesMax.
  bool Push(const RtpHeader& header, std::span<const uint8_t> payload,
            Micros arrival, Out out);
  // Gives up the gaps that somebody waits behind for too long.
  void Expire(Micros now, Out out);
  // Gives out all there is. The next packet may have any number.
  void Flush(Out out);
  size_t held() const { return held_; }

 private:
  // RFC 3550 A.1, as StreamStats has them.
  static constexpr uint16_t kMaxDropout = 3000;
  static constexpr uint16_t kMaxMisorder = 100;
  static constexpr uint32_t kNoSequence = 0x10000;

  struct Held {
    bool full = false;
    uint16_t size = 0;
    uint32_t timestamp = 0;
    Micros arrival{};
    std::array<uint8_t, kPayloadBytesMax> payload;
  };

  Held& At(uint16_t sequence) { return slots_[sequence % kSlots]; }
  // Gives out what lies at next_, if anything, and goes one on.
  void Step(Out out);
  // Gives out whatever follows without a gap.
  void Drain(Out out);

  bool begun_ = false;
  uint16_t next_ = 0;  // what is given out next
  uint32_t after_jump_ = kNoSequence;
  size_t held_ = 0;
  std::array<Held, kSlots> slots_;
};

// Makes one unbroken run of samples of packets in order, by their timestamps:
// gaps become silence, what overlaps is cut. A jump beyond kGapMax is another
// beginning and leaves no gap. Nobody can make it write faster than the clock,
// kAheadMax excepted: what a peer sends is a recording's length, and a
// timestamp costs four octets.
class Timeline {
 public:
  static constexpr uint32_t kGapMax = 10 * kSampleHz;
  static constexpr uint64_t kAheadMax = 15 * kSampleHz;

  using Out = absl::FunctionRef<void(std::span<const uint8_t> octets)>;

  // False: not one octet of it was given out, or not all.
  enum class Fate : uint8_t { kWritten, kLate, kTooFast };
  Fate Put(uint32_t timestamp, std::span<const uint8_t> payload,
           uint8_t silence, Micros now, Out out);
  // Another source, or another sink: what comes next is a beginning.
  void Restart() { begun_ = false; }

 private:
  bool begun_ = false;
  bool metered_ = false;
  uint32_t next_ = 0;     // the timestamp of the sample that follows
  uint64_t written_ = 0;  // samples, since first_
  Micros first_{};
};

}  // namespace sluice::rtp

#endif  // SLUICE_RTP_ORDER_H_
