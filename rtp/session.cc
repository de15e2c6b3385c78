#include "rtp/session.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/status_macros.h"
#include "rtp/quality.h"
#include "rtp/session_impl.h"

namespace sluice::rtp {
namespace {

constexpr int kPtimeMinMs = 10;
constexpr int kPtimeMaxMs = 200;
static_assert(kPtimeMaxMs * kSamplesPerMs <=
              static_cast<int>(kPayloadBytesMax));
constexpr int kPayloadTypeMax = 127;
// RFC 5761 4: with the marker bit these look like RTCP.
constexpr bool LooksLikeRtcpType(int type) { return type >= 64 && type <= 95; }

absl::Status CheckAgreed(const Agreed& agreed, const IpAddress& local) {
  for (const int type : {agreed.payload_type, agreed.event_type}) {
    if (type > kPayloadTypeMax || LooksLikeRtcpType(type)) {
      return absl::InvalidArgumentError(absl::StrCat(
          "payload type ", type,
          " is none of RTP's: 0..63 and 96..127 are (RFC 5761 4)"));
    }
  }
  if (agreed.event_type == agreed.payload_type && agreed.event_type != 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("payload type ", agreed.event_type,
                     " is both the audio's and telephone-event's"));
  }
  if (agreed.ptime_ms < kPtimeMinMs || agreed.ptime_ms > kPtimeMaxMs) {
    return absl::InvalidArgumentError(
        absl::StrCat("a packet time of ", agreed.ptime_ms, " ms: ", kPtimeMinMs,
                     "..", kPtimeMaxMs, " are possible"));
  }
  if (!agreed.send) return absl::OkStatus();
  if (agreed.remote.ip.is_any() || agreed.remote.port == Port()) {
    return absl::InvalidArgumentError(
        absl::StrCat("nothing can be sent to ", agreed.remote.ToString(),
                     ": a call on hold is started with send = false"));
  }
  if (agreed.remote.ip.is_v4() != local.is_v4()) {
    return absl::InvalidArgumentError(
        absl::StrCat(agreed.remote.ToString(), " is of another family than ",
                     local.ToString()));
  }
  return absl::OkStatus();
}

std::string RandomCname() {
  return absl::StrFormat("%016x@sluice", Random64());
}

}  // namespace

// --- SessionImpl: what its owner calls -------------------------------------

SessionImpl::SessionImpl(MediaLoop& media, const IpAddress& local,
                         PortPair ports, SessionOptions options)
    : media_(media),
      local_(local),
      family_(local.is_v4() ? AF_INET : AF_INET6),
      ports_(std::move(ports)),
      options_(std::move(options)),
      ssrc_(static_cast<uint32_t>(Random64())),
      sequence_(static_cast<uint16_t>(Random64())),
      timestamp_(static_cast<uint32_t>(Random64())) {
  if (options_.cname.empty()) options_.cname = RandomCname();
  ++media_.sessions_;
  books_.Reset(kSampleHz);
  our_reports_.Reset(kSampleHz);
}

SessionImpl::~SessionImpl() {
  Stop();
  SetSink(nullptr).IgnoreError();
  if (watched_) media_.Unwatch(this);
  --media_.sessions_;
}

absl::Status SessionImpl::Start(const Agreed& agreed) {
  RETURN_IF_ERROR(CheckAgreed(agreed, local_));
  if (!watched_) RETURN_IF_ERROR(media_.Watch(this));
  watched_ = true;
  // What is held back is of the old codec.
  FlushHeld();
  if (agreed.remote != agreed_.remote) latched_ = false;
  const bool resumed = agreed.send && !(started_ && agreed_.send);
  agreed_ = agreed;
  to_length_ = remote().ToSockaddr(family_, &to_);
  const int ptime_ms = agreed.ptime_ms - agreed.ptime_ms % kPtimeMinMs;
  if (resumed) marker_ = true;
  if (started_ && ptime_ms == ptime_ms_) return absl::OkStatus();
  ptime_ms_ = ptime_ms;
  const Micros due = media_.NextPhase(ptime_ms_);
  if (started_) {
    // The clock of the stream runs on while the beat changes.
    timestamp_ = TimestampAt(due);
    due_ = due;
    return absl::OkStatus();
  }
  timestamp_ = due_ == Micros() ? timestamp_ : TimestampAt(due);
  due_ = due;
  started_ = true;
  media_.Enter(this);
  PlanReport(media_.loop().now());
  return absl::OkStatus();
}

void SessionImpl::Stop() {
  if (!started_) return;
  FlushHeld();
  SendReport(media_.loop().now(), /*bye=*/true);
  started_ = false;
  latched_ = false;
  media_.Leave(this);
}

void SessionImpl::SetSource(std::unique_ptr<AudioSource> source,
                            Callback on_end) {
  source_ = std::move(source);
  on_end_ = std::move(on_end);
  ++source_number_;
}

absl::Status SessionImpl::SetSink(std::unique_ptr<AudioSink> sink) {
  FlushHeld();
  const std::unique_ptr<AudioSink> last = std::exchange(sink_, std::move(sink));
  timeline_ = Timeline();
  return last == nullptr ? absl::OkStatus() : last->Close();
}

absl::Status SessionImpl::SendDtmf(std::string_view digits,
                                   const DtmfSending& sending,
                                   Callback on_sent) {
  for (const char digit : digits) {
    if (!EventOfDigit(digit)) {
      return absl::InvalidArgumentError(
          absl::StrFormat("'%c' is no digit: 0-9, *, # and A-D are", digit));
    }
  }
  if (digits.empty()) return absl::InvalidArgumentError("no digit to send");
  if (sending.duration_ms < kDtmfDurationMsMin ||
      sending.duration_ms > kDtmfDurationMsMax || sending.gap_ms < 0 ||
      sending.gap_ms > kDtmfDurationMsMax) {
    return absl::InvalidArgumentError(absl::StrCat(
        "a digit of ", sending.duration_ms, " ms and a gap of ", sending.gap_ms,
        " ms: ", kDtmfDurationMsMin, "..", kDtmfDurationMsMax, " and 0..",
        kDtmfDurationMsMax, " are possible"));
  }
  if (dtmf_.waiting() + digits.size() > Session::kDigitsMax) {
    return absl::ResourceExhaustedError(absl::StrCat(
        dtmf_.waiting(), " digits wait to be sent, ", digits.size(),
        " more do not fit: at most ", Session::kDigitsMax));
  }
  DtmfMethod method = sending.method;
  // Before the first Start() nobody knows; then SendOne() decides.
  if (method == DtmfMethod::kRfc4733 && agreed_.event_type == 0 &&
      due_ != Micros()) {
    if (!sending.fall_back) {
      return absl::FailedPreconditionError(
          "the peer has not agreed to telephone-event (RFC 4733): send the "
          "digits in band");
    }
    method = DtmfMethod::kInBand;
  }
  for (size_t i = 0; i < digits.size(); ++i) {
    dtmf_.Add(
        {.digit = digits[i],
         .method = method,
         .duration_ms = sending.duration_ms,
         .gap_ms = sending.gap_ms,
         .on_sent = i + 1 == digits.size() ? std::move(on_sent) : Callback()});
  }
  return absl::OkStatus();
}

void SessionImpl::OnDtmf(OnDigit callback) {
  on_digit_ =
      callback ? std::make_shared<const OnDigit>(std::move(callback)) : nullptr;
  detector_.Reset();
}

StreamQuality SessionImpl::quality() const {
  StreamQuality quality = books_.Quality();
  quality.rtt_ms = peer_report_.rtt_ms;
  return quality;
}

// --- Session ---------------------------------------------------------------

absl::StatusOr<std::unique_ptr<Session>> Session::Open(MediaLoop& media,
                                                       const IpAddress& local,
                                                       SessionOptions options) {
  ASSIGN_OR_RETURN(PortPair ports, media.OpenPair(local));
  auto impl = std::make_unique<SessionImpl>(media, local, std::move(ports),
                                            std::move(options));
  return std::unique_ptr<Session>(new Session(std::move(impl)));
}

Session::Session(std::unique_ptr<SessionImpl> impl) : impl_(std::move(impl)) {}
Session::~Session() = default;

uint16_t Session::port() const { return impl_->ports().port.host(); }
const IpAddress& Session::local() const { return impl_->local(); }
absl::Status Session::Start(const Agreed& agreed) {
  return impl_->Start(agreed);
}
void Session::Stop() { impl_->Stop(); }
bool Session::started() const { return impl_->started(); }
const Agreed& Session::agreed() const { return impl_->agreed(); }
void Session::SetSource(std::unique_ptr<AudioSource> source, Callback on_end) {
  impl_->SetSource(std::move(source), std::move(on_end));
}
absl::Status Session::SetSink(std::unique_ptr<AudioSink> sink) {
  return impl_->SetSink(std::move(sink));
}
void Session::SetEcho(bool echo) { impl_->SetEcho(echo); }
absl::Status Session::SendDtmf(std::string_view digits,
                               const DtmfSending& sending, Callback on_sent) {
  return impl_->SendDtmf(digits, sending, std::move(on_sent));
}
size_t Session::digits_waiting() const { return impl_->digits_waiting(); }
void Session::OnDtmf(std::function<void(char, DtmfMethod)> callback) {
  impl_->OnDtmf(std::move(callback));
}
StreamQuality Session::quality() const { return impl_->quality(); }
double Session::mos() const {
  return EstimateMos(MosInputOf(impl_->quality(), 0));
}
TrafficCount Session::sent() const { return impl_->sent(); }
TrafficCount Session::received() const { return impl_->received(); }
SessionDrops Session::drops() const { return impl_->drops(); }
Micros Session::last_heard() const { return impl_->last_heard(); }
Endpoint Session::remote() const { return impl_->remote(); }
PeerReport Session::peer_report() const { return impl_->peer_report(); }
uint32_t Session::ssrc() const { return impl_->ssrc(); }

}  // namespace sluice::rtp
