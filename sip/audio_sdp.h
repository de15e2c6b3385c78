#ifndef SLUICE_SIP_AUDIO_SDP_H_
#define SLUICE_SIP_AUDIO_SDP_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "base/address.h"
#include "rtp/g711.h"
#include "sip/sdp.h"

// The one audio medium of a user agent, described and agreed on (RFC 3264,
// RFC 3551, RFC 4733, RFC 8866).
//
// Thread: any; values and pure functions.
namespace sluice::sip {

// Of one packet, in milliseconds: what we take and what we send.
inline constexpr int kPtimeMsMin = 10;
inline constexpr int kPtimeMsMax = 60;

// What we say of ourselves.
struct AudioOurs {
  Endpoint rtp{};          // port 0: no audio, the medium is told as refused
  uint16_t rtcp_port = 0;  // 0: rtp's + 1; any other is told in a=rtcp
  // In the order we wish for in an offer; in an answer the offer's order
  // counts. REQUIRES: not empty, none twice.
  std::vector<rtp::Codec> codecs{rtp::Codec::kPcmu, rtp::Codec::kPcma};
  // telephone-event 0-15 in our offers, 96 to 127; in an answer it has the
  // offer's number. 0: we take no events.
  uint8_t event_type = 101;
  int ptime_ms = 20;  // kPtimeMsMin to kPtimeMsMax, a multiple of 10
  SdpMedium::Direction direction = SdpMedium::Direction::kSendRecv;
  bool hold_by_address = false;  // c=0.0.0.0, the old way to hold (RFC 2543)
  bool rtcp_mux = false;         // offered, and taken when offered (RFC 5761)
  // o= and s=: "-" stands for what is no word, or has a control character.
  uint64_t session_id = 0;
  uint64_t version = 0;  // the caller's to raise whenever the text changes
  std::string user = "-";
  std::string name = "-";
  // Our description that was agreed on last in this dialog, offer or answer; ""
  // before the first. A new offer keeps its media in their places, all but the
  // audio refused, and its payload numbers (RFC 3264 8).
  std::string previous{};
};

// A payload number of one codec.
struct AudioFormat {
  uint8_t payload_type = 0;
  rtp::Codec codec = rtp::Codec::kPcmu;
  friend bool operator==(const AudioFormat&, const AudioFormat&) = default;
};

// What both have.
struct AudioAgreed {
  // false: there is no audio (port 0 on either side); the rest says nothing.
  bool active = false;
  rtp::Codec codec = rtp::Codec::kPcmu;  // what we send
  uint8_t payload_type = 0;              // of what we send: the peer's number
  uint8_t receive_type = 0;              // ours for the same codec
  std::vector<AudioFormat> receives{};   // all that may come, that one first
  uint8_t event_type = 0;          // telephone-event we send; 0: none taken
  uint8_t receive_event_type = 0;  // that comes; 0: none
  uint16_t events = 0;             // bit n: the peer takes event n, 0 to 15
  int ptime_ms = 20;               // of what we send
  // Where we send; none where the peer holds by c=0.0.0.0. RTCP has none either
  // when there is no port after the RTP's.
  Endpoint remote_rtp{};
  Endpoint remote_rtcp{};  // remote_rtp when rtcp_mux
  bool rtcp_mux = false;
  // After hold on either side.
  bool send = false;
  bool receive = false;
  // The peer wants nothing of what we would send: sendonly, inactive or
  // c=0.0.0.0 in its offer, or in its answer where we had offered to send.
  bool held_by_peer = false;
};

// REQUIRES: `ours` as said there.
std::string MakeAudioOffer(const AudioOurs& ours);

struct AudioAnswer {
  std::string text;
  AudioAgreed agreed;
};
// Answers every medium of `offer` in its place (RFC 3264 6): takes the first
// audio over RTP/AVP or RTP/AVPF with a codec of ours, from a unicast address,
// with that one codec and telephone-event, and refuses all others by port 0. An
// offer of no medium at all, or of refused ones only, is answered in kind and
// leaves nothing active.
//
// NotFound: nothing in it that we can take, say 488. InvalidArgument: broken,
// 400. Unimplemented (of Sdp::Parse: a host name in c=, ...): 488.
absl::StatusOr<AudioAnswer> AnswerAudio(std::string_view offer,
                                        const AudioOurs& ours);

// What an answer to MakeAudioOffer(offered) means. InvalidArgument and
// Unimplemented as above; FailedPrecondition: it does not answer that offer
// (number, order or protocol of the media, none of the formats offered, a port
// where we had refused, or an address that is not one host's).
absl::StatusOr<AudioAgreed> ReadAudioAnswer(const AudioOurs& offered,
                                            std::string_view answer);

}  // namespace sluice::sip

#endif  // SLUICE_SIP_AUDIO_SDP_H_
