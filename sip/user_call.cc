#include "sip/user_call.h"

#include <algorithm>
#include <charconv>
#include <utility>

#include "base/check.h"
#include "base/status_macros.h"
#include "base/text.h"
#include "sip/reply.h"
#include "sip/simple_names.h"

namespace sluice::sip {
namespace {

absl::Status NoCall() {
  return absl::FailedPreconditionError("the call is not established");
}

absl::Status OfferOpen() {
  return absl::FailedPreconditionError("an offer is under way already");
}

}  // namespace

std::string_view SdpType(std::string_view body) {
  return body.empty() ? std::string_view()
                      : "Content-Type: application/sdp\r\n";
}

std::optional<std::string_view> SdpOf(const Message& message) {
  return FindSdp(message.Value(HeaderId::kContentType), message.body());
}

CallResult ResultOf(const Message& response) {
  return {.code = response.status(), .reason = std::string(response.reason())};
}

UserCall::UserCall(CallWorld& world, CallParams params)
    : world_(&world), params_(std::move(params)) {
  world.all.insert(this);
  const std::string digits = RandomHex(8);
  std::from_chars(digits.data(), digits.data() + digits.size(), session_id_,
                  16);
  session_id_ >>= 2;  // 62 bits, as o= has it (RFC 8866 5.2, RFC 3264 5)
}

UserCall::~UserCall() {
  if (world_ == nullptr) return;
  StopTimers();
  world_->all.erase(this);
}

void UserCall::StopTimers() {
  for (net::EventLoop::TimerId* timer :
       {&ring_timer_, &retry_timer_, &final_timer_, &provisional_timer_,
        &watch_timer_}) {
    world_->loop.Cancel(std::exchange(*timer, 0));
  }
}

void UserCall::Release() {
  if (world_ == nullptr) return;
  const auto keep = shared_from_this();
  if (state_ != State::kEnded) {
    if (state_ == State::kEstablished || state_ == State::kAnswered) {
      SendBye({});
    } else if (incoming_) {
      world_->transactions.Respond(server_, 480, ReasonOf(480));
    } else {
      world_->requester.Cancel(request_);
    }
  }
  // It is told of the end, and nothing else any more.
  auto cleanup = std::move(params_.cb_cleanup);
  params_ = {};
  params_.cb_cleanup = std::move(cleanup);
  const auto untold = std::exchange(waiting_, {});
  End();
  Finish();
  media_.reset();
  world_->all.erase(this);
  world_ = nullptr;
}

const Credentials& UserCall::credentials() const {
  return params_.auth ? *params_.auth : world_->auth;
}

std::string UserCall::ContactOf(const Leg::Address& own) const {
  const std::string& given =
      params_.contact.empty() ? world_->contact : params_.contact;
  if (!given.empty()) return Cat("<", given, ">");
  return Cat("<", ContactAt(parties_.user, own, contact_scheme_), ">");
}

std::string UserCall::OurHeaders(const Leg::Address& own) const {
  std::string out = Cat("Contact: ", ContactOf(own), "\r\n");
  if (!world_->user_agent.empty()) {
    Append(&out, "User-Agent: ", world_->user_agent, "\r\n");
  }
  Append(&out, "Allow: ", kAllow, "\r\nSupported: 100rel\r\n");
  for (const auto& [name, value] : params_.sip_header) {
    Append(&out, name, ": ", value, "\r\n");
  }
  return out;
}

absl::Status UserCall::CheckParams(const CallParams& params) {
  const CallParams::RtpParam& rtp = params.rtp_param;
  if (rtp.ptime_ms < kPtimeMsMin || rtp.ptime_ms > kPtimeMsMax ||
      rtp.ptime_ms % 10 != 0) {
    return absl::InvalidArgumentError(Cat("rtp_param.ptime_ms: ", rtp.ptime_ms,
                                          " is none of 10, 20, ... ",
                                          kPtimeMsMax));
  }
  if (rtp.event_type != 0 && (rtp.event_type < 96 || rtp.event_type > 127)) {
    return absl::InvalidArgumentError(
        Cat("rtp_param.event_type: ", rtp.event_type,
            " is neither 0 nor one of 96 to 127 (RFC 3551 6)"));
  }
  for (const rtp::Codec codec : rtp.codecs) {
    if (std::count(rtp.codecs.begin(), rtp.codecs.end(), codec) > 1) {
      return absl::InvalidArgumentError("rtp_param.codecs: one stands twice");
    }
  }
  RETURN_IF_ERROR(CheckContact(params.contact));
  RETURN_IF_ERROR(CheckRoutes(params.route));
  for (const auto& [name, value] : params.sip_header) {
    RETURN_IF_ERROR(CheckText("sip_header", name));
    RETURN_IF_ERROR(CheckText(Cat("sip_header ", name), value));
  }
  return absl::OkStatus();
}

void UserCall::SetParam(CallParams params) {
  if (const absl::Status bad = CheckParams(params); !bad.ok()) {
    if (world_ != nullptr) world_->error(bad);
    return;
  }
  // Nobody will be told anything any more.
  if (finished_) return;
  // Whoever has described his media himself may want ours from now on.
  std::string described = std::exchange(params_, std::move(params)).sdp;
  if (world_ != nullptr && leg_ != nullptr && state_ != State::kEnded) {
    if (const absl::Status opened = OpenMedia(*leg_); !opened.ok()) {
      params_.sdp = std::move(described);
      world_->error(opened);
    }
  }
  if (begun_ && media_ != nullptr) HearDigits();
  begun_ = begun_ && !params_.init_media;
}

// ---- requests within the dialog ---------------------------------------------

Dialog* UserCall::DialogOf(std::string_view tag) {
  if (tag.empty()) return nullptr;
  if (dialog_.remote_tag == tag) return &dialog_;
  for (Fork& fork : forks_) {
    if (fork.dialog.remote_tag == tag) return &fork.dialog;
  }
  return nullptr;
}

OfferAnswer* UserCall::OffersOf(std::string_view tag) {
  if (dialog_.remote_tag == tag) return &offers_;
  for (Fork& fork : forks_) {
    if (fork.dialog.remote_tag == tag) return &fork.offers;
  }
  return nullptr;
}

std::string_view UserCall::PartyTag() const {
  if (!dialog_.remote_tag.empty() || forks_.empty()) return dialog_.remote_tag;
  return forks_.back().dialog.remote_tag;
}

bool UserCall::PrackOpen(std::string_view tag) const {
  return (tag == dialog_.remote_tag && prack_open_) ||
         std::any_of(forks_.begin(), forks_.end(), [&](const Fork& fork) {
           return fork.dialog.remote_tag == tag && fork.prack_open;
         });
}

void UserCall::SendWaiting() {
  for (auto& [tag, inside] : std::exchange(waiting_, {})) {
    const Dialog* const dialog = DialogOf(tag);
    if (dialog != nullptr && state_ != State::kEnded) {
      SendInside(*dialog, std::move(inside));
    } else if (inside.failed) {
      inside.failed(481, ReasonOf(481));
    }
  }
}

void UserCall::SendInside(const Dialog& dialog, Inside inside) {
  if (inside.method != "PRACK" && inside.method != "BYE" &&
      PrackOpen(dialog.remote_tag)) {
    waiting_.emplace_back(dialog.remote_tag, std::move(inside));
    return;
  }
  auto shared = std::make_shared<Inside>(std::move(inside));
  // It lives as long as what it has asked.
  const auto self = Self();
  // 12.2.1.2: there is no dialog there any more.
  const auto gone = [this, self, method = shared->method,
                     tag = dialog.remote_tag](int code, std::string reason) {
    // Nor is it the call's end that a fork is gone which has lost it.
    if ((code != 481 && code != 408) || method == "BYE" ||
        state_ != State::kEstablished || tag != dialog_.remote_tag) {
      return;
    }
    result_ = {.code = code, .reason = std::move(reason)};
    SendBye({});
    End();
  };
  world_->requester.Start(
      {.next_hop = std::string(dialog.NextHop()),
       .method = shared->method,
       .uri = dialog.RequestUri(),
       .call_id = dialog.call_id,
       .leg = leg_,
       .credentials = credentials(),
       .challenges = &challenges_,
       .redirected = redirected_,
       .write =
           [this, self, shared,
            copy = dialog](const Requester::Attempt& attempt) {
             Dialog* const live = DialogOf(copy.remote_tag);
             Dialog as_sent = copy;
             Dialog& counted = live != nullptr ? *live : as_sent;
             return copy.Request(
                 shared->method, ++counted.local_cseq,
                 Cat(attempt.credentials,
                     shared->method == "UPDATE" ? OurHeaders(attempt.own)
                                                : std::string(),
                     shared->headers),
                 shared->body);
           },
       .response =
           [this, shared, gone](const Incoming& in) {
             if (world_ == nullptr) return;
             gone(in.message.status(), std::string(in.message.reason()));
             if (shared->response) shared->response(in);
           },
       .failed =
           [this, shared, gone](int code, std::string_view reason) {
             if (world_ == nullptr) return;
             gone(code, std::string(reason));
             if (shared->failed) shared->failed(code, reason);
           }});
}

absl::Status UserCall::Send(const Request& request, Done done) {
  if (world_ == nullptr || PartyTag().empty() || state_ == State::kEnded) {
    return NoCall();
  }
  switch (MethodOf(request.method)) {
    case Method::kInvite:
    case Method::kAck:
    case Method::kBye:
    case Method::kCancel:
    case Method::kPrack:
    case Method::kUpdate:
      return absl::InvalidArgumentError(
          Cat("method: ", request.method, " has a function of its own"));
    default: break;
  }
  RETURN_IF_ERROR(CheckText("method", request.method));
  RETURN_IF_ERROR(CheckText("content_type", request.content_type));
  Inside inside{.method = request.method, .headers = {}, .body = request.body};
  for (const auto& [name, value] : request.headers) {
    RETURN_IF_ERROR(CheckText("headers", name));
    RETURN_IF_ERROR(CheckText(Cat("headers: ", name), value));
    Append(&inside.headers, name, ": ", value, "\r\n");
  }
  if (!request.content_type.empty()) {
    Append(&inside.headers, "Content-Type: ", request.content_type, "\r\n");
  }
  const auto keep = Self();
  inside.response = [keep, done](const Incoming& in) {
    if (in.message.status() < 200 || !done) return;
    done(*keep, ResultOf(in.message));
  };
  inside.failed = [keep, done](int code, std::string_view reason) {
    if (done) done(*keep, {.code = code, .reason = std::string(reason)});
  };
  SendInside(*DialogOf(PartyTag()), std::move(inside));
  return absl::OkStatus();
}

absl::Status UserCall::SetHold(bool held) {
  // What waits to be tried again after a 491 was never agreed.
  const bool agreed = retry_timer_ != 0 ? held_before_ : held_;
  const bool before = std::exchange(held_, held);
  const absl::Status begun = Reinvite();
  if (begun.ok()) {
    held_before_ = agreed;
  } else {
    held_ = before;
  }
  return begun;
}

absl::Status UserCall::Reinvite(const CallParams& params) {
  if (world_ == nullptr || state_ != State::kEstablished) return NoCall();
  RETURN_IF_ERROR(CheckParams(params));
  if (!offers_.MayInvite() || request_ != 0) return OfferOpen();
  SetParam(params);
  return SendInvite();
}

absl::Status UserCall::Reinvite() {
  if (world_ == nullptr || state_ != State::kEstablished) return NoCall();
  if (!offers_.MayInvite() || request_ != 0) return OfferOpen();
  return SendInvite();
}

absl::Status UserCall::Update(Done done) {
  const std::string tag(PartyTag());
  if (world_ == nullptr || tag.empty() || state_ == State::kEnded) {
    return NoCall();
  }
  if (!OffersOf(tag)->MayOffer() || media_ == nullptr) {
    return OfferOpen();
  }
  CHECK(OffersOf(tag)->Sending(Carrier::kUpdate, true) == Means::kOffer);
  Inside inside{.method = "UPDATE", .body = MakeOffer()};
  inside.headers = SdpType(inside.body);
  const auto keep = Self();
  const auto refused = [keep, tag] {
    OfferAnswer* const offers = keep->OffersOf(tag);
    if (offers != nullptr && offers->OursFailed(Carrier::kUpdate)) {
      keep->RollBack();
    }
  };
  inside.response = [keep, tag, refused, done](const Incoming& in) {
    const CallResult result = ResultOf(in.message);
    if (result.code < 200) return;
    const auto tell = [&](const CallResult& how) {
      if (done) done(*keep, how);
    };
    OfferAnswer* const offers = keep->OffersOf(tag);
    if (keep->state_ == State::kEnded || offers == nullptr) return tell(result);
    if (!result.ok()) {
      refused();
      return tell(result);
    }
    keep->DialogOf(tag)->RefreshTarget(in.message);
    Heard heard = keep->Hear(*offers, Carrier::kUpdateOk, in.message);
    if (heard.missing) {
      heard.media = absl::FailedPreconditionError(
          "the answer to an UPDATE does not answer it");
    }
    if (heard.agreed) heard.media = keep->Begin();
    if (heard.media.ok()) return tell(result);
    keep->Fail(heard.media);
    tell({.code = 488, .reason = std::string(heard.media.message())});
  };
  inside.failed = [keep, refused, done](int code, std::string_view reason) {
    refused();
    if (done) done(*keep, {.code = code, .reason = std::string(reason)});
  };
  SendInside(*DialogOf(tag), std::move(inside));
  return absl::OkStatus();
}

// ---- the end ----------------------------------------------------------------

absl::Status UserCall::Bye(Done done) {
  if (world_ == nullptr || state_ == State::kEnded) return NoCall();
  const auto keep = shared_from_this();
  switch (state_) {
    case State::kAnswered:
      // Not before the ACK, or the peer may take it for a stranger's (RFC 3261
      // 15); there will be one, or none in 64 * T1.
      if (final_) {
        bye_wanted_ = true;
        bye_done_ = std::move(done);
        return absl::OkStatus();
      }
      [[fallthrough]];
    case State::kEstablished:
      SendBye(done ? std::move(done) : params_.send_bye);
      End();
      return absl::OkStatus();
    default: break;
  }
  return incoming_ ? Reject(480, {}) : Cancel();
}

void UserCall::SendBye(Done done) {
  if (bye_sent_) return;
  bye_sent_ = true;
  const auto keep = Self();
  const auto heard = [keep, done = std::move(done)](int code,
                                                    std::string_view reason) {
    if (done) done(*keep, {.code = code, .reason = std::string(reason)});
    keep->Finish();
  };
  SendInside(dialog_, {.method = "BYE",
                       .response =
                           [heard](const Incoming& in) {
                             if (in.message.status() < 200) return;
                             heard(in.message.status(), in.message.reason());
                           },
                       .failed = heard});
}

void UserCall::Fail(absl::Status why) {
  if (world_ == nullptr || state_ == State::kEnded) return;
  const auto keep = shared_from_this();
  // Of an INVITE whose outcome nobody has heard yet this is it.
  if (final_due_) result_.code = absl::IsDeadlineExceeded(why) ? 408 : 488;
  result_.reason = std::string(why.message());
  error_ = why;
  world_->error(std::move(why));
  (void)Bye(std::move(bye_done_));
}

void UserCall::TellFinal() {
  if (!std::exchange(final_due_, false)) return;
  if (params_.cb_final) Tell(params_.cb_final, *this, CallResult(result_));
}

void UserCall::End() {
  if (world_ == nullptr || state_ == State::kEnded) return;
  state_ = State::kEnded;
  StopTimers();
  final_.reset();
  provisional_.reset();
  // Of an INVITE that came, whoever ended the call (RFC 3261 15.1.2).
  if (server_ != 0) {
    world_->transactions.Respond(server_, 487, ReasonOf(487));
  }
  // A 2xx that comes all the same is hung up.
  world_->requester.Cancel(request_);
  StopMedia();
  const auto keep = shared_from_this();
  SendWaiting();
  TellFinal();
  if (!bye_sent_) Finish();
}

void UserCall::Finish() {
  if (world_ == nullptr || finished_) return;
  finished_ = true;
  const auto keep = shared_from_this();
  if (params_.cb_cleanup) Tell(params_.cb_cleanup, *this);
  if (world_ != nullptr) world_->leave(*this);
}

}  // namespace sluice::sip
