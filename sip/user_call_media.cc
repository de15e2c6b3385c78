#include <algorithm>
#include <utility>

#include "base/status_macros.h"
#include "base/text.h"
#include "sip/host.h"
#include "sip/user_call.h"

// A call's descriptions of its audio, and the audio itself.
namespace sluice::sip {
namespace {

// How often silence of the peer is looked for.
constexpr Micros kWatchEvery = Micros::Seconds(1);
// Where only we speak: RTCP comes every 5 s or so. Where it still rings only
// the sending ends.
constexpr Micros kQuietPeerMax = Micros::Seconds(60);

std::vector<rtp::Codec> CodecsOf(const CallParams::RtpParam& param) {
  if (!param.codecs.empty()) return param.codecs;
  return {rtp::Codec::kPcmu, rtp::Codec::kPcma};
}

std::vector<rtp::DtmfMethod> DtmfMethodsOf(const CallParams& params) {
  if (!params.dtmf_methods.empty()) return params.dtmf_methods;
  return {rtp::DtmfMethod::kRfc4733, rtp::DtmfMethod::kInBand};
}

bool Takes(const CallParams& params, rtp::DtmfMethod method) {
  const auto methods = DtmfMethodsOf(params);
  return std::find(methods.begin(), methods.end(), method) != methods.end();
}

// Events that nobody here listens for are not asked for.
uint8_t EventTypeOf(const CallParams& params) {
  return Takes(params, rtp::DtmfMethod::kRfc4733) ? params.rtp_param.event_type
                                                  : uint8_t{0};
}

}  // namespace

absl::Status UserCall::OpenMedia(const Leg& leg) {
  if (!params_.sdp.empty() || media_ != nullptr) return absl::OkStatus();
  const Leg::Address& own = own_ != nullptr ? *own_ : leg.addresses.front();
  // Bound to all addresses: that which is told.
  const IpAddress local = own.bound.ip.is_any()
                              ? IpOfHost(own.host).value_or(own.bound.ip)
                              : own.bound.ip;
  rtp::SessionOptions options{.latch = params_.symmetric_rtp,
                              .may_latch = world_->allowed};
  options.hear_in_band = Takes(params_, rtp::DtmfMethod::kInBand);
  ASSIGN_OR_RETURN(media_, rtp::Session::Open(world_->media, local, options));
  return absl::OkStatus();
}

bool UserCall::CanAnswer(std::string_view offer, const CallParams& params,
                         int* refused) {
  if (!params.sdp.empty()) return true;
  // In which port, and whose family it is, only the leg will say.
  for (const IpAddress& local :
       {IpAddress::V4(127, 0, 0, 1), *IpAddress::Parse("::1")}) {
    const absl::StatusOr<AudioAnswer> answer =
        AnswerAudio(offer, {.rtp = {.ip = local, .port = Port::FromHost(2)},
                            .codecs = CodecsOf(params.rtp_param),
                            .event_type = EventTypeOf(params)});
    if (answer.ok()) return true;
    *refused = absl::IsInvalidArgument(answer.status()) ? 400 : 488;
  }
  return false;
}

AudioOurs UserCall::OursNow() {
  AudioOurs ours{
      .rtp = {.ip = media_->local(), .port = Port::FromHost(media_->port())},
      .codecs = CodecsOf(params_.rtp_param),
      .event_type = EventTypeOf(params_),
      .ptime_ms = params_.rtp_param.ptime_ms,
      .direction = held_ ? SdpMedium::Direction::kSendOnly
                         : SdpMedium::Direction::kSendRecv,
      .hold_by_address = std::exchange(params_.call_on_hold, false),
      .session_id = session_id_,
      .version = ++version_,
      .previous = description_};
  return ours;
}

std::string UserCall::MakeOffer() {
  described_ = !params_.sdp.empty();
  if (described_) return params_.sdp;
  ours_before_ = ours_;
  ours_ = OursNow();
  return MakeAudioOffer(ours_);
}

void UserCall::RollBack() { ours_ = ours_before_; }

std::optional<std::string> UserCall::MakeAnswer(std::string_view offer,
                                                int* refused) {
  if (!params_.sdp.empty()) return params_.sdp;
  AudioOurs ours = OursNow();
  absl::StatusOr<AudioAnswer> answer = AnswerAudio(offer, ours);
  if (!answer.ok()) {
    *refused = absl::IsInvalidArgument(answer.status()) ? 400 : 488;
    world_->error(answer.status());
    return std::nullopt;
  }
  ours_ = std::move(ours);
  description_ = answer->text;
  agreed_ = answer->agreed;
  return std::move(answer->text);
}

absl::Status UserCall::TakeAnswer(std::string_view answer) {
  // To what was offered, whatever the parameters are now.
  if (described_) return absl::OkStatus();
  ASSIGN_OR_RETURN(const AudioAgreed agreed, ReadAudioAnswer(ours_, answer));
  description_ = MakeAudioOffer(ours_);
  agreed_ = agreed;
  return absl::OkStatus();
}

UserCall::Heard UserCall::Hear(OfferAnswer& offers, Carrier carrier,
                               const Message& message) {
  const auto sdp = SdpOf(message);
  Heard heard;
  switch (offers.Received(carrier, sdp.has_value())) {
    case Means::kPreview:
    case Means::kAnswer:
      heard.media = TakeAnswer(*sdp);
      heard.agreed = heard.media.ok();
      break;
    case Means::kOffer:
      if (auto made = MakeAnswer(*sdp, &heard.refused)) {
        heard.answer = *std::move(made);
        heard.agreed = true;
      }
      break;
    case Means::kViolation: heard.missing = true; break;
    case Means::kRepeatedAnswer:
    case Means::kNothing: break;
  }
  return heard;
}

absl::Status UserCall::Begin() {
  if (media_ == nullptr) return absl::OkStatus();
  // New time to be heard is for who has been heard in the last.
  if (quiet_since_ == Micros() ||
      std::max(media_->last_heard(), media_->peer_report().heard) >=
          quiet_since_) {
    quiet_since_ = world_->loop.now();
  }
  if (!agreed_.active) {
    media_->Stop();
    return absl::OkStatus();
  }
  const bool somewhere = agreed_.remote_rtp.port.host() != 0;
  for (const Endpoint& to : {agreed_.remote_rtp, agreed_.remote_rtcp}) {
    if (to.port.host() == 0 || !world_->allowed || world_->allowed(to)) {
      continue;
    }
    return absl::PermissionDeniedError(
        Cat("sound is not to be sent to ", to.ToString()));
  }
  const bool events = Takes(params_, rtp::DtmfMethod::kRfc4733);
  absl::InlinedVector<rtp::Agreed::Format, 2> receives;
  for (const AudioFormat& format : agreed_.receives) {
    receives.push_back(
        {.payload_type = format.payload_type, .codec = format.codec});
  }
  RETURN_IF_ERROR(media_->Start(
      {.codec = agreed_.codec,
       .payload_type = agreed_.payload_type,
       .event_type = events ? agreed_.event_type : uint8_t{0},
       .receives = std::move(receives),
       .receive_event_type = events ? agreed_.receive_event_type : uint8_t{0},
       .ptime_ms = agreed_.ptime_ms,
       .remote = agreed_.remote_rtp,
       .remote_rtcp = agreed_.remote_rtcp,
       .send = agreed_.send && somewhere,
       .receive = agreed_.receive}));
  HearDigits();
  if (begun_) return absl::OkStatus();
  begun_ = true;
  WatchMedia();
  return params_.init_media ? Tell(params_.init_media, *this, *media_)
                            : absl::OkStatus();
}

void UserCall::HearDigits() {
  if (!params_.cb_dtmf || std::exchange(digits_heard_, true)) return;
  media_->OnDtmf([weak = weak_from_this()](char digit, rtp::DtmfMethod method) {
    const auto call = std::static_pointer_cast<UserCall>(weak.lock());
    if (call != nullptr && call->params_.cb_dtmf) {
      Tell(call->params_.cb_dtmf, *call, digit, method);
    }
  });
}

// A peer that is gone says nothing more, in both senses.
void UserCall::WatchMedia() {
  if (watch_timer_ != 0 || media_ == nullptr) return;
  watch_timer_ = world_->loop.Every(kWatchEvery, [this] {
    // Nobody is sent to for ever who never says a word (RFC 7675's reason: the
    // address is only what a message says): reports count, and have time where
    // no sound is due.
    if (!agreed_.active || held_ ||
        (!agreed_.send && (!agreed_.receive || agreed_.held_by_peer)) ||
        params_.rtp_timeout == Micros()) {
      quiet_since_ = world_->loop.now();
      return;
    }
    const bool sound_due = agreed_.receive && state_ == State::kEstablished;
    const Micros most = sound_due
                            ? params_.rtp_timeout
                            : std::max(params_.rtp_timeout, kQuietPeerMax);
    const Micros heard =
        std::max({media_->last_heard(), media_->peer_report().heard,
                  quiet_since_, world_->loop.last_stall_end()});
    if (world_->loop.now() - heard < most) return;
    // Whoever only rings may be silent, but is not sent to any longer.
    if (state_ != State::kEstablished) {
      rtp::Agreed quiet = media_->agreed();
      if (!media_->started() || !std::exchange(quiet.send, false)) return;
      const absl::Status said = media_->Start(quiet);
      if (!said.ok()) world_->error(said);
      return;
    }
    Fail(absl::DeadlineExceededError(Cat("nothing came from ", peer_, " for ",
                                         most.us() / 1'000'000, " s")));
  });
}

void UserCall::StopMedia() {
  if (media_ == nullptr) return;
  media_->Stop();
  // Files are whole when the call is over.
  const absl::Status closed = media_->SetSink(nullptr);
  if (!closed.ok() && world_ != nullptr) world_->error(closed);
  media_->SetSource(nullptr);
}

absl::Status UserCall::Dtmf(std::string_view digits, int duration_ms) {
  if (media_ == nullptr || !media_->started()) {
    return absl::FailedPreconditionError("there is no sound to put digits in");
  }
  for (const rtp::DtmfMethod method : DtmfMethodsOf(params_)) {
    if (method == rtp::DtmfMethod::kRfc4733 && agreed_.event_type == 0) {
      continue;
    }
    return media_->SendDtmf(
        digits,
        {.method = method, .fall_back = false, .duration_ms = duration_ms});
  }
  return absl::FailedPreconditionError(
      "the peer takes no telephone-event, and in-band tones are not allowed");
}

}  // namespace sluice::sip
