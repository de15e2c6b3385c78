#ifndef SLUICE_RTP_SESSION_IMPL_H_
#define SLUICE_RTP_SESSION_IMPL_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "rtp/dtmf_detector.h"
#include "rtp/dtmf_sender.h"
#include "rtp/order.h"
#include "rtp/packet.h"
#include "rtp/rtcp.h"
#include "rtp/session.h"

namespace sluice::rtp {

// A Session from within: what the loop and the session's own files see.
// session.cc is what its owner calls, session_send.cc what the clock drives,
// session_receive.cc what the peer does.
class SessionImpl {
 public:
  using Callback = Session::Callback;
  using OnDigit = std::function<void(char digit, DtmfMethod method)>;

  SessionImpl(MediaLoop& media, const IpAddress& local, PortPair ports,
              SessionOptions options);
  ~SessionImpl();
  SessionImpl(const SessionImpl&) = delete;
  SessionImpl& operator=(const SessionImpl&) = delete;

  // --- session.h's -------------------------------------------------------
  absl::Status Start(const Agreed& agreed);
  void Stop();
  void SetSource(std::unique_ptr<AudioSource> source, Callback on_end);
  absl::Status SetSink(std::unique_ptr<AudioSink> sink);
  void SetEcho(bool echo) { echo_ = echo; }
  absl::Status SendDtmf(std::string_view digits, const DtmfSending& sending,
                        Callback on_sent);
  void OnDtmf(OnDigit callback);

  const PortPair& ports() const { return ports_; }
  const IpAddress& local() const { return local_; }
  bool started() const { return started_; }
  const Agreed& agreed() const { return agreed_; }
  size_t digits_waiting() const { return dtmf_.waiting(); }
  StreamQuality quality() const;
  TrafficCount sent() const { return sent_; }
  TrafficCount received() const { return received_; }
  SessionDrops drops() const { return drops_; }
  Micros last_heard() const { return last_heard_; }
  Endpoint remote() const { return latched_ ? latch_ : agreed_.remote; }
  PeerReport peer_report() const { return peer_report_; }
  uint32_t ssrc() const { return ssrc_; }

  // --- The loop's --------------------------------------------------------
  void OnTick(Micros now);
  void OnRtp(const Endpoint& from, std::span<const uint8_t> packet, bool cut,
             Micros now);
  void OnRtcp(const Endpoint& from, std::span<const uint8_t> packet,
              Micros now);
  size_t place = 0;  // among the loop's started ones

 private:
  // After a stall so much is sent at once; what is older is left out. A
  // receiver's buffer holds about this.
  static constexpr Micros kBehindMax = Micros::Millis(100);
  // With an echo on, silence is sent when nothing came for so long.
  static constexpr Micros kEchoQuiet = Micros::Millis(200);
  // An echo is not faster than speech, but for this: two that speak with each
  // other would be the machine's whole work.
  static constexpr int64_t kEchoAheadMax = 2 * kSampleHz;
  // Of digits that come as events: the shortest there are (RFC 4733's tones of
  // 40 ms), and so much of them at once where the road has held them up.
  static constexpr Micros kDigitEvery = Micros::Millis(kDtmfDurationMsMin);
  static constexpr Micros kDigitsAhead =
      Micros::Millis(32 * kDtmfDurationMsMin);
  // Beyond this the echo's timestamps are tied to the clock anew.
  static constexpr int32_t kEchoDriftMax = kSampleHz;
  // RFC 3550 6.2; e - 1.5 makes up for what reconsideration would shorten.
  static constexpr double kReportSeconds = 5.0;
  static constexpr double kReportCompensation = 1.21828;

  // The user's callbacks, if it is still there then.
  template <typename F>
  void Tell(F call) {
    media_.Tell([alive = std::weak_ptr<bool>(alive_), call = std::move(call)] {
      if (!alive.expired()) call();
    });
  }

  // Sending.
  int samples() const { return ptime_ms_ * kSamplesPerMs; }
  void SendDue(Micros now);
  void SendOne();
  void FillAudio(std::span<uint8_t> octets);
  void SendRtp(uint8_t payload_type, bool marker, uint32_t timestamp,
               std::span<const uint8_t> payload);
  void SendTo(int fd, const Endpoint& to, std::span<const uint8_t> packet);
  void Echo(const RtpHeader& header, bool event, bool marker,
            std::span<const uint8_t> payload, Micros now);
  // The timestamp that audio of this moment has.
  uint32_t TimestampAt(Micros now) const;
  void SendReport(Micros now, bool bye);
  void PlanReport(Micros now);

  // Receiving.
  std::optional<Codec> CodecOf(uint8_t payload_type) const;
  bool IsPeer(const Endpoint& from) const;
  void OnNewSource(const RtpHeader& header);
  void OnEventPacket(const RtpHeader& header, std::span<const uint8_t> payload);
  void TellDigit(char digit, DtmfMethod method);
  // The next packet in order.
  void OnOrdered(uint32_t timestamp, std::span<const uint8_t> payload);
  void OnSamples(std::span<const uint8_t> octets);
  void FlushHeld();

  MediaLoop& media_;
  const IpAddress local_;
  const int family_;  // of the sockets
  const PortPair ports_;
  SessionOptions options_;
  const std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);

  bool watched_ = false;
  bool started_ = false;
  Agreed agreed_{};
  int ptime_ms_ = 20;
  sockaddr_storage to_{};  // remote(), as the kernel wants it
  socklen_t to_length_ = 0;

  // What is sent.
  const uint32_t ssrc_;
  uint16_t sequence_;
  uint32_t timestamp_;  // of the packet that is due at due_
  Micros due_{};
  bool marker_ = true;  // the next packet is the first after a silence
  std::unique_ptr<AudioSource> source_;
  Callback on_end_;
  uint64_t source_number_ = 0;  // which one it is
  DtmfSender dtmf_;
  TrafficCount sent_{};

  bool echo_ = false;
  bool echo_tied_ = false;
  uint32_t echo_offset_ = 0;  // our timestamp - theirs
  Micros echo_last_{};
  Micros echo_began_{};
  int64_t echo_samples_ = 0;  // since then

  // What is heard.
  bool latched_ = false;
  Endpoint latch_{};
  bool heard_ = false;  // there is a source
  Codec heard_codec_ = Codec::kPcmu;
  uint32_t heard_ssrc_ = 0;
  uint32_t highest_ = 0;  // extended sequence number (RFC 3550 A.1)
  Micros digit_due_ = Micros() - kDigitsAhead;  // not sooner another is told
  StreamStats books_;
  ReorderWindow window_;
  Timeline timeline_;
  std::unique_ptr<AudioSink> sink_;
  std::shared_ptr<const OnDigit> on_digit_;
  EventReceiver events_;
  DtmfDetector detector_;
  TrafficCount received_{};
  SessionDrops drops_{};
  Micros last_heard_{};
  Micros now_{};  // of the turn that hears or paces

  // RTCP.
  Micros report_due_{};
  uint64_t reported_packets_ = 0;  // sent_.packets at the last report
  uint64_t block_expected_ = 0;    // of the books, then
  uint64_t block_received_ = 0;
  StreamStats our_reports_;  // when each SR of ours left
  uint32_t peer_lsr_ = 0;    // its last SR, 0: none
  Micros peer_lsr_came_{};
  PeerReport peer_report_{};
};

}  // namespace sluice::rtp

#endif  // SLUICE_RTP_SESSION_IMPL_H_
