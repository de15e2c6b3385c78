#ifndef SLUICE_RTP_SESSION_H_
#define SLUICE_RTP_SESSION_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "absl/container/inlined_vector.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/address.h"
#include "base/types.h"
#include "rtp/audio.h"
#include "rtp/dtmf.h"
#include "rtp/g711.h"
#include "rtp/media_loop.h"
#include "rtp/stream_stats.h"

namespace sluice::rtp {

class SessionImpl;

// What an offer and its answer have agreed on for the audio of one party. The
// numbers of what is sent are the peer's, of what is heard ours (RFC 3264 5.1).
struct Agreed {
  Codec codec = Codec::kPcmu;
  uint8_t payload_type = 0;  // of `codec`, 0..127
  uint8_t event_type = 0;    // of telephone-event (RFC 4733); 0: not agreed
  struct Format {
    uint8_t payload_type = 0;
    Codec codec = Codec::kPcmu;
  };
  // What may come, whenever the peer likes; none: payload_type alone.
  absl::InlinedVector<Format, 2> receives{};
  uint8_t receive_event_type = 0;  // 0: event_type
  int ptime_ms = 20;  // of what we send: 10..200, rounded down to whole tens
  Endpoint remote{};  // where the peer wants its RTP
  Endpoint remote_rtcp{};  // none: the port behind it (RFC 3550 11)
  bool send = true;        // a=sendrecv, sendonly
  bool receive = true;     // a=sendrecv, recvonly
};

struct SessionOptions {
  // False: heard is who sends from `Agreed::remote`'s address, from any port of
  // it (phones behind a NAT that keeps the address, and those that send from
  // another port than they receive on); sent is to `remote` exactly.
  // True: heard is the address and port that the first valid packet after
  // Start() comes from, whichever it is, and sent is to there from then on
  // (RFC 4961 and RFC 7362: for peers behind a NAT that say their private
  // address). Whoever guesses the port first has the call: only where it is
  // needed.
  bool latch = false;
  // Where it may latch to, others are strangers; null: anywhere.
  std::function<bool(const Endpoint&)> may_latch{};
  // Digits are looked for in the audio too when somebody listens (OnDtmf).
  bool hear_in_band = true;
  bool rtcp = true;     // send reports; they are read in any case
  std::string cname{};  // SDES CNAME (RFC 3550 6.5.1); empty: made up
};

struct DtmfSending {
  // Falls back to kInBand when no telephone-event was agreed.
  DtmfMethod method = DtmfMethod::kRfc4733;
  bool fall_back = true;
  int duration_ms = kDtmfDurationMs;
  int gap_ms = kDtmfGapMs;
};

// What the peer's last report says of our stream (RFC 3550 6.4.1).
struct PeerReport {
  Micros heard{};            // when it came; 0: there was none
  double fraction_lost = 0;  // since the report before it, 0..1
  int32_t packets_lost = 0;  // of all; negative with duplicates
  double jitter_ms = 0;
  double rtt_ms = 0;  // 0: unknown
};

struct TrafficCount {
  uint64_t packets = 0;
  uint64_t octets = 0;  // of payload
};

// Packets that were not taken.
struct SessionDrops {
  uint64_t strangers = 0;    // from whom nothing is expected
  uint64_t malformed = 0;    // no RTP, cut, or longer than we send
  uint64_t other_types = 0;  // a payload type that was not agreed
  uint64_t not_agreed = 0;   // came while nothing is to be received
  uint64_t late = 0;         // behind what the sink has got, or twice
  uint64_t too_fast = 0;     // seconds ahead of the clock, or of who can dial
  uint64_t unsent = 0;       // ours, that the kernel would not take
};

// One party's audio of one call: a pair of ports, a source that is sent, a sink
// that gets what is heard, digits both ways, and the books.
//
//   source --> pace, 20 ms --> [DTMF instead] --> RTP --> peer
//   sink <-- order, silence for gaps <-- is it the peer's? <-- RTP <-- peer
//                   \--> digits
//
// Once started it sends all the time: the source while there is one, silence of
// the codec otherwise, so that NATs and peers keep a one-way call alive.
//
// Thread: the loop's. Callbacks come from the loop, never out of a call of this
// class, and may do anything, destroying the session included.
class Session {
 public:
  // Binds a pair of ports of the loop's window on `local`. ResourceExhausted
  // when none is free.
  static absl::StatusOr<std::unique_ptr<Session>> Open(
      MediaLoop& media, const IpAddress& local, SessionOptions options = {});
  // As Stop(), then closes the sink; an error of it is nobody's then.
  ~Session();
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  // Where the peer shall send to, for m=audio. What comes before the first
  // Start() waits in the socket: it may overtake the answer that allows it (RFC
  // 3264 5.1).
  uint16_t port() const;
  const IpAddress& local() const;

  // Begins, or goes on as newly agreed: SSRC, sequence numbers, timestamps and
  // books are kept, source and sink stay. InvalidArgument when no packet could
  // be sent or told apart by it; then nothing has changed.
  absl::Status Start(const Agreed& agreed);
  // Sends no more (a BYE of RTCP excepted), hears no more, gives the sink what
  // was held back for its order. Ports and books are kept; Start() may follow.
  void Stop();
  bool started() const;
  const Agreed& agreed() const;

  using Callback = std::function<void()>;
  // What is sent from the next packet on; null: silence. `on_end`: the source
  // has ended and its last sample is sent. It is not called for a source that
  // is replaced. While nothing may be sent the source waits.
  void SetSource(std::unique_ptr<AudioSource> source, Callback on_end = {});
  // Gets what is heard from the next packet on, in order: its first sample is
  // the first packet's first, gaps are silence. The last sink is given what is
  // held back and closed; its Close() is what is returned.
  absl::Status SetSink(std::unique_ptr<AudioSink> sink);
  // Each packet heard goes back at once, its payload untouched, with our
  // sequence number and timestamp. The source waits; silence is sent only while
  // nothing is heard.
  void SetEcho(bool echo);

  // Behind the digits that wait already. InvalidArgument for what is no digit
  // of "0-9*#A-D" (nothing is sent then) or for a duration outside
  // kDtmfDurationMsMin..Max; ResourceExhausted beyond kDigitsMax;
  // FailedPrecondition when kRfc4733 is not agreed and may not fall back.
  // The source waits meanwhile. `on_sent`: the last digit's gap is over.
  static constexpr size_t kDigitsMax = 64;
  absl::Status SendDtmf(std::string_view digits,
                        const DtmfSending& sending = {}, Callback on_sent = {});
  size_t digits_waiting() const;
  // Each digit once: by event when it begins, by tone when it is certain. By
  // event no more than 25 a second for long; others are too_fast.
  void OnDtmf(std::function<void(char digit, DtmfMethod method)> callback);

  // Of what is heard. Its rtt_ms is from RTCP.
  StreamQuality quality() const;
  // 1..4.41 (rtp/quality.h); 0: too little was heard to tell.
  double mos() const;
  TrafficCount sent() const;
  TrafficCount received() const;
  SessionDrops drops() const;
  // When RTP of the peer last came; Micros(): never.
  Micros last_heard() const;
  // Where RTP goes to: the agreed one, or the one latched.
  Endpoint remote() const;
  PeerReport peer_report() const;
  uint32_t ssrc() const;

 private:
  explicit Session(std::unique_ptr<SessionImpl> impl);
  const std::unique_ptr<SessionImpl> impl_;
};

}  // namespace sluice::rtp

#endif  // SLUICE_RTP_SESSION_H_
