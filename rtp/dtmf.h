#ifndef SLUICE_RTP_DTMF_H_
#define SLUICE_RTP_DTMF_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

namespace sluice::rtp {

// How a digit travels: as a named event beside the audio, or as two tones in
// it.
enum class DtmfMethod : uint8_t { kRfc4733, kInBand };
const char* Name(DtmfMethod method);

// Of a digit that is sent, when nobody says otherwise. 160 ms is what SIP
// phones write in INFO bodies too, and is twice what ITU-T Q.24 networks need.
inline constexpr int kDtmfDurationMs = 160;
inline constexpr int kDtmfGapMs = 100;
// Shorter ones are heard by nobody; a longer one does not fit into the 16 bits
// of RFC 4733's duration at 8 kHz.
inline constexpr int kDtmfDurationMsMin = 40;
inline constexpr int kDtmfDurationMsMax = 8000;

// RFC 4733 3.2: 0..9 are the digits, then * # A B C D.
std::optional<uint8_t> EventOfDigit(char digit);  // a..d are A..D
std::optional<char> DigitOfEvent(uint8_t event);

// The payload of a telephone-event packet (RFC 4733 2.3):
//
//   |     event     |E R|  volume   |           duration            |
struct TelephoneEvent {
  uint8_t event = 0;
  bool end = false;
  uint8_t volume = 10;    // -dBm0, 0..63
  uint16_t duration = 0;  // in samples so far
  friend bool operator==(const TelephoneEvent&,
                         const TelephoneEvent&) = default;
};
inline constexpr size_t kTelephoneEventBytes = 4;
std::array<uint8_t, kTelephoneEventBytes> EncodeEvent(
    const TelephoneEvent& event);
// Of a packet that carries several, the first; nullopt when there is none.
std::optional<TelephoneEvent> DecodeEvent(std::span<const uint8_t> payload);

// Which packets of one peer begin a new digit. All packets of an event have its
// timestamp, and any of them may be lost, doubled or late: an event is known by
// its timestamp, and told when the first of its packets comes, whichever that
// is.
class EventReceiver {
 public:
  // The digit that begins with this packet; nullopt when it has been told or is
  // none.
  std::optional<char> OnEvent(uint32_t timestamp, const TelephoneEvent& event);
  // The peer's timestamps begin anew (another SSRC).
  void Reset() { heard_ = 0; }

 private:
  // A longer event than the field can say goes on as one with a new timestamp,
  // 0xffff samples later (RFC 4733 2.5.1.3): no digit of its own.
  static constexpr size_t kRemembered = 4;
  struct Heard {
    uint32_t timestamp = 0;
    uint8_t event = 0;
    bool ended = false;
  };
  std::array<Heard, kRemembered> last_{};  // newest first
  size_t heard_ = 0;
};

// The frequencies of a digit (ITU-T Q.23).
struct DtmfPair {
  int low_hz = 0;
  int high_hz = 0;
};
std::optional<DtmfPair> PairOfDigit(char digit);

}  // namespace sluice::rtp

#endif  // SLUICE_RTP_DTMF_H_
