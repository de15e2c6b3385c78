#include "rtp/dtmf_sender.h"

#include <utility>

namespace sluice::rtp {

void DtmfSender::Finish() {
  if (digits_.front().on_sent) {
    sent_.push_back(std::move(digits_.front().on_sent));
  }
  digits_.pop_front();
  at_ = 0;
  ends_ = 0;
}

void DtmfSender::FallBack() {
  if (method() == DtmfMethod::kInBand) return;
  digits_.front().method = DtmfMethod::kInBand;
  tones_ = DigitTones();
}

std::optional<DtmfSender::EventPacket> DtmfSender::NextEvent(uint32_t timestamp,
                                                             int samples) {
  const Digit& digit = digits_.front();
  const int duration = digit.duration_ms * kSamplesPerMs;
  const bool first = at_ == 0;
  if (first) began_ = timestamp;
  at_ += samples;
  std::optional<EventPacket> packet;
  const bool end = at_ >= duration;
  if (!end || ends_ < kEndPackets) {
    packet = EventPacket{
        .event = {.event = EventOfDigit(digit.digit).value_or(0),
                  .end = end,
                  .duration = static_cast<uint16_t>(end ? duration : at_)},
        .timestamp = began_,
        .marker = first};
    if (end) ++ends_;
  }
  if (ends_ == kEndPackets && at_ >= duration + digit.gap_ms * kSamplesPerMs) {
    Finish();
  }
  return packet;
}

void DtmfSender::NextOctets(Codec codec, std::span<uint8_t> octets) {
  for (uint8_t& octet : octets) {
    octet = SilenceOctet(codec);
    if (digits_.empty() || method() != DtmfMethod::kInBand) continue;
    const Digit& digit = digits_.front();
    const int duration = digit.duration_ms * kSamplesPerMs;
    if (at_ == 0) {
      tones_ = DigitTones(PairOfDigit(digit.digit).value_or(DtmfPair{}));
    }
    if (at_ < duration) octet = Encode(codec, tones_.Next());
    if (++at_ == duration + digit.gap_ms * kSamplesPerMs) Finish();
  }
}

std::function<void()> DtmfSender::TakeSent() {
  if (sent_.empty()) return {};
  std::function<void()> sent = std::move(sent_.front());
  sent_.pop_front();
  return sent;
}

}  // namespace sluice::rtp
