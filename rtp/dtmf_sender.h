#ifndef SLUICE_RTP_DTMF_SENDER_H_
#define SLUICE_RTP_DTMF_SENDER_H_

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <optional>
#include <span>

#include "rtp/dtmf.h"
#include "rtp/g711.h"
#include "rtp/tone.h"

namespace sluice::rtp {

// What is sent of a row of digits, packet by packet.
//
//   RFC 4733   M e e e e e e E E E . .     M: marker, E: the end, three times,
//   in band    ~ ~ ~ ~ ~ ~ ~ ~ _ _ _ _     within the gap; then nothing
//              |-- duration --|-- gap --|
class DtmfSender {
 public:
  struct Digit {
    char digit = 0;
    DtmfMethod method = DtmfMethod::kRfc4733;
    int duration_ms = kDtmfDurationMs;
    int gap_ms = kDtmfGapMs;
    std::function<void()> on_sent{};
  };
  void Add(Digit digit) { digits_.push_back(std::move(digit)); }
  // Also while the last digit's gap lasts.
  bool busy() const { return !digits_.empty(); }
  size_t waiting() const { return digits_.size(); }
  // By which the next packet goes. REQUIRES: busy().
  DtmfMethod method() const { return digits_.front().method; }

  // The first digit goes in band, or what is left of it is silent. REQUIRES:
  // busy().
  void FallBack();

  struct EventPacket {
    TelephoneEvent event{};
    uint32_t timestamp = 0;
    bool marker = false;
  };
  // What is sent in the place of a packet of `samples` at `timestamp`; nullopt:
  // nothing. REQUIRES: method() is kRfc4733.
  std::optional<EventPacket> NextEvent(uint32_t timestamp, int samples);
  // The same in band: fills all of `octets`. REQUIRES: method() is kInBand.
  void NextOctets(Codec codec, std::span<uint8_t> octets);
  // Of a digit that has ended since the last call.
  std::function<void()> TakeSent();

 private:
  static constexpr int kEndPackets = 3;  // RFC 4733 2.5.1.4

  void Finish();

  std::deque<Digit> digits_;
  int at_ = 0;  // samples of the first one that are sent, its gap included
  int ends_ = 0;
  uint32_t began_ = 0;  // its timestamp
  DigitTones tones_;
  std::deque<std::function<void()>> sent_;
};

}  // namespace sluice::rtp

#endif  // SLUICE_RTP_DTMF_SENDER_H_
