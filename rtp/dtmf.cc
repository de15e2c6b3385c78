#include "rtp/dtmf.h"

#include <algorithm>
#include <string_view>

namespace sluice::rtp {
namespace {

// At its event's number.
constexpr std::string_view kDigits = "0123456789*#ABCD";

constexpr uint8_t kEndBit = 0x80;
constexpr uint8_t kVolumeBits = 0x3f;
constexpr uint16_t kDurationMax = 0xffff;

// Rows and columns of the keypad (ITU-T Q.23).
constexpr int kLowHz[] = {697, 770, 852, 941};
constexpr int kHighHz[] = {1209, 1336, 1477, 1633};
constexpr std::string_view kKeypad = "123A456B789C*0#D";

char Upper(char digit) {
  return digit >= 'a' && digit <= 'd' ? static_cast<char>(digit - 'a' + 'A')
                                      : digit;
}

}  // namespace

const char* Name(DtmfMethod method) {
  return method == DtmfMethod::kRfc4733 ? "rfc4733" : "in-band";
}

std::optional<uint8_t> EventOfDigit(char digit) {
  const size_t at = kDigits.find(Upper(digit));
  if (at == std::string_view::npos) return std::nullopt;
  return static_cast<uint8_t>(at);
}

std::optional<char> DigitOfEvent(uint8_t event) {
  if (event >= kDigits.size()) return std::nullopt;
  return kDigits[event];
}

std::array<uint8_t, kTelephoneEventBytes> EncodeEvent(
    const TelephoneEvent& event) {
  return {event.event,
          static_cast<uint8_t>((event.end ? kEndBit : 0) |
                               (event.volume & kVolumeBits)),
          static_cast<uint8_t>(event.duration >> 8),
          static_cast<uint8_t>(event.duration)};
}

std::optional<TelephoneEvent> DecodeEvent(std::span<const uint8_t> payload) {
  if (payload.size() < kTelephoneEventBytes) return std::nullopt;
  return TelephoneEvent{
      .event = payload[0],
      .end = (payload[1] & kEndBit) != 0,
      .volume = static_cast<uint8_t>(payload[1] & kVolumeBits),
      .duration = static_cast<uint16_t>(payload[2] << 8 | payload[3])};
}

std::optional<char> EventReceiver::OnEvent(uint32_t timestamp,
                                           const TelephoneEvent& event) {
  const std::optional<char> digit = DigitOfEvent(event.event);
  if (!digit) return std::nullopt;
  bool continued = false;
  for (size_t i = 0; i < heard_; ++i) {
    Heard& one = last_[i];
    if (one.timestamp == timestamp) {
      one.ended |= event.end;
      return std::nullopt;
    }
    continued |= one.event == event.event && !one.ended &&
                 timestamp - one.timestamp == kDurationMax;
  }
  std::copy_backward(last_.begin(), last_.end() - 1, last_.end());
  last_[0] = {.timestamp = timestamp, .event = event.event, .ended = event.end};
  heard_ = std::min(heard_ + 1, kRemembered);
  if (continued) return std::nullopt;
  return digit;
}

std::optional<DtmfPair> PairOfDigit(char digit) {
  const size_t at = kKeypad.find(Upper(digit));
  if (at == std::string_view::npos) return std::nullopt;
  return DtmfPair{.low_hz = kLowHz[at / 4], .high_hz = kHighHz[at % 4]};
}

}  // namespace sluice::rtp
