#include <algorithm>
#include <utility>

#include "base/status_macros.h"
#include "base/text.h"
#include "sip/fields.h"
#include "sip/reply.h"
#include "sip/simple_names.h"
#include "sip/user_call.h"

// The called one's part, and what comes within a dialog (RFC 3261 12.2.2, 13.3,
// 14.2, 15.1.2; RFC 3262 3; RFC 3311 5.2).
namespace sluice::sip {
namespace {

constexpr std::string_view kAccept = "Accept: application/sdp\r\n";

// What is required of us and is not 100rel (8.2.2.3); "" : nothing.
std::string Unsupported(const Message& message) {
  std::string out;
  message.ForEach(HeaderId::kRequire, [&](std::string_view value) {
    if (!EqualsNoCase(value, "100rel")) {
      Append(&out, out.empty() ? "" : ", ", value);
    }
    return true;
  });
  return out;
}

// RFC 3261 14.2, RFC 3311 5.2: 0 to 10 s.
std::string RetryAfter() {
  return Cat("Retry-After: ", RandomBelow(11), "\r\n");
}

}  // namespace

std::optional<UserCall::Judgement> UserCall::Judge(const Message& invite,
                                                   const CallParams& params) {
  if (!invite.parsed_uri() || !invite.parsed_uri()->is_sip()) {
    return Judgement{.code = 416};
  }
  if (const std::string what = Unsupported(invite); !what.empty()) {
    return Judgement{.code = 420,
                     .headers = Cat("Unsupported: ", what, "\r\n")};
  }
  const auto dialog = Dialog::OfRequest(invite, "tag");
  if (!dialog || dialog->remote_tag.empty()) return Judgement{.code = 400};
  // What becomes of its To when our tag is added; we could never hang up.
  if (!NameAddr::Parse(Cat(dialog->local, ";tag=ours"))) {
    return Judgement{.code = 400};
  }
  const auto sdp = SdpOf(invite);
  if (!sdp && !invite.body().empty()) {
    return Judgement{.code = 415, .headers = std::string(kAccept)};
  }
  int refused = 0;
  if (sdp && !CanAnswer(*sdp, params, &refused)) {
    return Judgement{.code = refused};
  }
  return std::nullopt;
}

void UserCall::Invited(
    const Incoming& in, Transactions::Id server, std::string_view local_tag,
    std::string_view user,
    const std::function<bool(Call&, const Message&)>& create) {
  const auto keep = shared_from_this();
  const Message& m = in.message;
  incoming_ = true;
  caller_tag_ = std::string(m.from()->tag);
  state_ = State::kRinging;
  server_ = server;
  leg_ = &in.leg;
  own_ = in.leg.Find(in.from.transport, in.from.address.ip.is_v4());
  parties_.user = std::string(user);
  peer_ = std::string(m.from()->uri_text);
  supports_100rel_ = HasWord(m, HeaderId::kSupported, "100rel");
  requires_100rel_ = HasWord(m, HeaderId::kRequire, "100rel");
  server_cseq_ = m.cseq();
  final_due_ = true;
  const auto refuse = [this](int code, std::string_view headers) {
    Refuse(std::exchange(server_, 0), code, headers);
    result_ = {.code = code, .reason = std::string(ReasonOf(code))};
    End();
  };
  dialog_ = Dialog::OfRequest(m, local_tag).value_or(Dialog());
  for (const std::string& route : dialog_.routes) {
    Append(&routes_line_, "Record-Route: ", route, "\r\n");
  }
  contact_scheme_ = m.parsed_uri()->scheme;
  if (!dialog_.routes.empty() && contact_scheme_ != Uri::Scheme::kSips) {
    contact_scheme_ = SchemeFor(UriOfRoute(dialog_.routes.front()));
  }
  world_->enter(*this);
  const auto sdp = SdpOf(m);
  offers_.Received(Carrier::kInvite, sdp.has_value());
  if (sdp) offered_ = std::string(*sdp);
  const absl::Status opened = OpenMedia(in.leg);
  if (!opened.ok()) {
    world_->error(opened);
    return refuse(503, {});
  }
  if (params_.ring_time != Micros()) {
    // For as long as the caller wants to wait, at most (13.3.1).
    Micros most = params_.ring_time;
    if (m.expires() > 0 && m.expires() < most.us() / 1'000'000) {
      most = Micros::Seconds(m.expires());
    }
    ring_timer_ = world_->loop.After(most, [this, self = keep] {
      ring_timer_ = 0;
      if (params_.cb_noanswer) Tell(params_.cb_noanswer, *this);
      (void)Reject(480, {});
    });
  }
  if (create && !create(*this, m)) {
    if (state_ == State::kRinging) refuse(480, {});
    return;
  }
  if (state_ != State::kRinging) return;  // refused, or answered already
  if (params_.cb_invite && !Tell(params_.cb_invite, *this, m)) {
    if (state_ == State::kRinging) refuse(488, {});
    return;
  }
  if (params_.auto_answer && state_ == State::kRinging) (void)Answer();
}

void UserCall::Cancelled(Transactions::Id invite) {
  // After the final answer it changes nothing (RFC 3261 9.2).
  if (world_ == nullptr || invite != server_ || state_ != State::kRinging) {
    return;
  }
  result_ = {.code = 487, .reason = std::string(ReasonOf(487))};
  End();
}

absl::Status UserCall::Ring(Ringing how) {
  if (world_ == nullptr || state_ != State::kRinging || !incoming_) {
    return absl::FailedPreconditionError("there is nobody to ring for");
  }
  if (provisional_) {
    return absl::FailedPreconditionError("the last one has no PRACK yet");
  }
  SendProvisional(how.media ? 183 : 180, how.media,
                  requires_100rel_ || (how.reliable && supports_100rel_));
  return absl::OkStatus();
}

void UserCall::SendProvisional(int code, bool with_media, bool reliable) {
  std::string headers = OurHeaders(*own_), body;
  if (with_media && answered_.empty()) {
    int refused = 0;
    std::optional<std::string> made;
    if (offered_.empty()) {
      // An offer in a 1xx has to be reliable (RFC 3262 5).
      if (reliable) made = MakeOffer();
    } else {
      made = MakeAnswer(offered_, &refused);
    }
    if (made) body = *std::move(made);
  } else if (with_media) {
    body = answered_;
  }
  if (!body.empty()) {
    const Means means = offers_.Sending(
        reliable ? Carrier::kReliable : Carrier::kProvisional, true);
    if (means == Means::kViolation) {
      body.clear();
    } else {
      answered_ = body;
      headers += SdpType(body);
    }
  } else {
    offers_.Sending(reliable ? Carrier::kReliable : Carrier::kProvisional,
                    false);
  }
  // The routes, so that the caller's dialog has them (12.1.1).
  headers += routes_line_;
  if (reliable) {
    last_rseq_ = last_rseq_ == 0 ? 1 : last_rseq_ + 1;
    Append(&headers, "Require: 100rel\r\nRSeq: ", last_rseq_, "\r\n");
    provisional_ =
        Provisional{.rseq = last_rseq_,
                    .cseq = server_cseq_,
                    .code = code,
                    .headers = headers,
                    .body = body,
                    .repeater = Repeater(Repeater::Kind::kProvisional,
                                         world_->transactions.timers(),
                                         world_->loop.now())};
    ArmProvisional();
  }
  world_->transactions.Respond(server_, code, ReasonOf(code), headers, body);
  if (!body.empty() && !offered_.empty()) {
    const absl::Status begun = Begin();
    if (!begun.ok()) Fail(begun);
  }
}

void UserCall::ArmProvisional() {
  world_->loop.Cancel(std::exchange(provisional_timer_, 0));
  if (!provisional_) return;
  provisional_timer_ = world_->loop.After(
      provisional_->repeater.due() - world_->loop.now(), [this] {
        provisional_timer_ = 0;
        const auto keep = shared_from_this();
        const auto does = provisional_->repeater.OnTime(world_->loop.now());
        if (does.send) {
          world_->transactions.Respond(
              server_, provisional_->code, ReasonOf(provisional_->code),
              provisional_->headers, provisional_->body);
        }
        if (does.give_up) {
          // RFC 3262 3: 5xx.
          provisional_.reset();
          (void)Reject(504, "no PRACK came");
          return;
        }
        ArmProvisional();
      });
}

absl::Status UserCall::Answer() {
  if (world_ == nullptr || state_ != State::kRinging || !incoming_) {
    return absl::FailedPreconditionError("there is no call to answer");
  }
  if (provisional_) {
    // A 2xx before the PRACK of what had a description would leave the offer
    // open (RFC 3262 3).
    answer_wanted_ = true;
    return absl::OkStatus();
  }
  return SendFinal();
}

// The 200 of an INVITE, the first or another.
absl::Status UserCall::SendFinal() {
  const auto keep = shared_from_this();
  std::string body;
  int refused = 0;
  if (!offered_.empty()) {
    if (!answered_.empty()) {
      body = answered_;
    } else if (auto made = MakeAnswer(offered_, &refused)) {
      body = *std::move(made);
    } else {
      offers_.TheirsFailed(Carrier::kInvite);
      if (!established_) {
        RETURN_IF_ERROR(Reject(refused, {}));
        return absl::FailedPreconditionError(
            "the offer of the caller has nothing for us: it was refused");
      }
      Refuse(std::exchange(server_, 0), refused);
      return absl::OkStatus();
    }
  } else if (offers_.Due(Carrier::kFinal) == Means::kOffer) {
    body = MakeOffer();
  }
  if (offers_.Sending(Carrier::kFinal, !body.empty()) == Means::kViolation) {
    body.clear();
  }
  std::string headers = Cat(OurHeaders(*own_), routes_line_, SdpType(body));
  final_headers_ = headers;
  final_body_ = body;
  world_->transactions.Respond(server_, 200, ReasonOf(200), headers, body);
  final_.emplace(Repeater::Kind::kFinal, world_->transactions.timers(),
                 world_->loop.now());
  ArmFinal();
  if (!established_) {
    state_ = State::kAnswered;
    result_ = {.code = 200, .reason = "OK"};
    world_->loop.Cancel(std::exchange(ring_timer_, 0));
  }
  // Of a new call not before its ACK: an INVITE from a forged source would have
  // us send to whom it names (the original waits, too). What the caller says
  // meanwhile waits in the socket.
  if (offered_.empty() || !established_) return absl::OkStatus();
  const absl::Status begun = Begin();
  if (!begun.ok()) Fail(begun);
  return begun;
}

void UserCall::ArmFinal() {
  world_->loop.Cancel(std::exchange(final_timer_, 0));
  if (!final_ || final_->done()) return;
  final_timer_ = world_->loop.After(final_->due() - world_->loop.now(), [this] {
    final_timer_ = 0;
    const auto keep = shared_from_this();
    const auto does = final_->OnTime(world_->loop.now());
    if (does.send) {
      world_->transactions.Respond(server_, 200, ReasonOf(200), final_headers_,
                                   final_body_);
    }
    if (does.give_up) {
      // 13.3.1.4: the dialog is there, the session is not.
      final_.reset();
      server_ = 0;
      return Fail(absl::DeadlineExceededError(Cat("no ACK came from ", peer_)));
    }
    ArmFinal();
  });
}

absl::Status UserCall::Reject(int code, std::string_view reason) {
  if (world_ == nullptr || state_ != State::kRinging || !incoming_) {
    return absl::FailedPreconditionError("there is no call to refuse");
  }
  if (code < 300 || code > 699) {
    return absl::InvalidArgumentError(Cat(code, " refuses nothing"));
  }
  RETURN_IF_ERROR(CheckText("reason", reason));
  world_->transactions.Respond(std::exchange(server_, 0), code,
                               reason.empty() ? ReasonOf(code) : reason);
  result_ = {.code = code,
             .reason = std::string(reason.empty() ? ReasonOf(code) : reason)};
  End();
  return absl::OkStatus();
}

void UserCall::Refuse(Transactions::Id id, int code, std::string_view headers) {
  world_->transactions.Respond(id, code, ReasonOf(code), headers);
}

// ---- within the dialog ------------------------------------------------------

void UserCall::Receive(const Incoming& in) {
  if (world_ == nullptr) return;
  const auto keep = shared_from_this();
  switch (in.message.method()) {
    case Method::kAck: return OnAck(in);
    case Method::kInvite: return OnInvite(in);
    case Method::kBye: return OnBye(in);
    case Method::kPrack: return OnPrack(in);
    case Method::kUpdate: return OnUpdate(in);
    default: return OnOther(in);
  }
}

Transactions::Id UserCall::AcceptRequest(const Incoming& in) {
  const Message& m = in.message;
  const Transactions::Id id =
      world_->transactions.Accept(in, dialog_.local_tag);
  if (id == 0) {
    world_->dispatcher.Reply(in, 503, ReasonOf(503));
    return 0;
  }
  // The other party, by its tag. A fork that lost the call may still hang up.
  Dialog* const dialog = DialogOf(m.from()->tag);
  const bool lost = dialog != &dialog_ && !dialog_.remote_tag.empty();
  if (dialog == nullptr || state_ == State::kEnded || lost) {
    Refuse(id, dialog != nullptr && m.method() == Method::kBye ? 200 : 481);
    return 0;
  }
  // Who is called may not hang up before he has answered (RFC 3261 15): the
  // INVITE would still want its answer.
  if (m.method() == Method::kBye && dialog != &dialog_) {
    Refuse(id, 481);
    return 0;
  }
  if (!dialog->TakeCSeq(m.cseq())) {
    Refuse(id, 500);
    return 0;
  }
  if (const std::string what = Unsupported(m); !what.empty()) {
    Refuse(id, 420, Cat("Unsupported: ", what, "\r\n"));
    return 0;
  }
  return id;
}

void UserCall::OnAck(const Incoming& in) {
  const Message& m = in.message;
  if (!final_ || m.cseq() != server_cseq_ ||
      m.from()->tag != dialog_.remote_tag) {
    return;
  }
  final_.reset();
  world_->loop.Cancel(std::exchange(final_timer_, 0));
  server_ = 0;
  if (state_ == State::kEnded) return;
  Heard heard = Hear(offers_, Carrier::kAck, m);
  if (heard.missing) {
    heard.media = absl::FailedPreconditionError(
        "the ACK of the peer does not answer our offer");
  }
  const bool first = !std::exchange(established_, true);
  state_ = State::kEstablished;
  offered_.clear();
  answered_.clear();
  if (!heard.media.ok()) return Fail(heard.media);
  if (bye_wanted_) {
    (void)Bye(std::move(bye_done_));
    return;
  }
  if (first) quiet_since_ = world_->loop.now();
  if (heard.agreed || first) {
    if (const absl::Status begun = Begin(); !begun.ok()) return Fail(begun);
  }
  TellFinal();
  if (first && state_ == State::kEstablished && params_.cb_established) {
    Tell(params_.cb_established, *this);
  }
}

void UserCall::OnInvite(const Incoming& in) {
  const Message& m = in.message;
  const Transactions::Id id = AcceptRequest(in);
  if (id == 0) return;
  const auto sdp = SdpOf(m);
  if (!sdp && !m.body().empty()) return Refuse(id, 415, kAccept);
  int refusal = offers_.RefusalOf(Carrier::kInvite, sdp.has_value());
  if (refusal == 0 && server_ != 0) refusal = 500;
  if (refusal == 0 && request_ != 0) refusal = 491;
  if (refusal == 0 && state_ != State::kEstablished) refusal = 500;
  if (refusal != 0) {
    return Refuse(id, refusal, refusal == 500 ? RetryAfter() : std::string());
  }
  server_ = id;
  server_cseq_ = m.cseq();
  own_ = in.leg.Find(in.from.transport, in.from.address.ip.is_v4());
  dialog_.RefreshTarget(m);
  routes_line_.clear();
  offers_.Received(Carrier::kInvite, sdp.has_value());
  offered_ = sdp ? std::string(*sdp) : std::string();
  answered_.clear();
  if (params_.cb_invite && !Tell(params_.cb_invite, *this, m)) {
    offers_.TheirsFailed(Carrier::kInvite);
    return Refuse(std::exchange(server_, 0), 488);
  }
  if (state_ == State::kEstablished) (void)SendFinal();
}

void UserCall::OnBye(const Incoming& in) {
  const Transactions::Id id = AcceptRequest(in);
  if (id == 0) return;
  Refuse(id, 200);
  // Our own BYE, if there is one, has lost.
  const bool was = state_ != State::kEnded;
  if (final_due_ && state_ == State::kRinging)
    result_ = {.code = 487, .reason = "hung up while ringing"};
  if (was && params_.recv_bye) Tell(params_.recv_bye, *this);
  End();
}

void UserCall::OnPrack(const Incoming& in) {
  const Message& m = in.message;
  const Transactions::Id id = AcceptRequest(in);
  if (id == 0) return;
  if (!provisional_ ||
      m.Value(HeaderId::kRAck) !=
          Cat(provisional_->rseq, " ", provisional_->cseq, " INVITE")) {
    return Refuse(id, 481);
  }
  const auto sdp = SdpOf(m);
  if (!sdp && !m.body().empty()) return Refuse(id, 415, kAccept);
  const int refusal = offers_.RefusalOf(Carrier::kPrack, sdp.has_value());
  if (refusal != 0) return Refuse(id, refusal, RetryAfter());
  Heard heard = Hear(offers_, Carrier::kPrack, m);
  if (heard.missing) return Refuse(id, 400);
  if (heard.refused != 0) {
    offers_.TheirsFailed(Carrier::kPrack);
    return Refuse(id, heard.refused);
  }
  provisional_.reset();
  ArmProvisional();
  offers_.Sending(Carrier::kPrackOk, !heard.answer.empty());
  world_->transactions.Respond(id, 200, ReasonOf(200), SdpType(heard.answer),
                               heard.answer);
  if (heard.agreed) heard.media = Begin();
  if (!heard.media.ok()) return Fail(heard.media);
  if (std::exchange(answer_wanted_, false)) (void)Answer();
}

void UserCall::OnUpdate(const Incoming& in) {
  const Message& m = in.message;
  const Transactions::Id id = AcceptRequest(in);
  if (id == 0) return;
  OfferAnswer& offers = *OffersOf(m.from()->tag);
  const auto sdp = SdpOf(m);
  if (!sdp && !m.body().empty()) return Refuse(id, 415, kAccept);
  const int refusal = offers.RefusalOf(Carrier::kUpdate, sdp.has_value());
  if (refusal != 0) {
    return Refuse(id, refusal, refusal == 500 ? RetryAfter() : std::string());
  }
  const Heard heard = Hear(offers, Carrier::kUpdate, m);
  if (heard.refused != 0) {
    offers.TheirsFailed(Carrier::kUpdate);
    return Refuse(id, heard.refused);
  }
  DialogOf(m.from()->tag)->RefreshTarget(m);
  offers.Sending(Carrier::kUpdateOk, !heard.answer.empty());
  const Leg::Address* const own =
      in.leg.Find(in.from.transport, in.from.address.ip.is_v4());
  world_->transactions.Respond(id, 200, ReasonOf(200),
                               Cat(OurHeaders(*own), SdpType(heard.answer)),
                               heard.answer);
  if (!heard.agreed) return;
  const absl::Status begun = Begin();
  if (!begun.ok()) Fail(begun);
}

void UserCall::OnOther(const Incoming& in) {
  const Transactions::Id id = AcceptRequest(in);
  if (id == 0) return;
  switch (in.message.method()) {
    case Method::kNotify:
      Refuse(id, 200);
      if (params_.cb_notify) Tell(params_.cb_notify, *this, in.message);
      return;
    case Method::kInfo:
    case Method::kMessage:
    case Method::kOptions:
      return Refuse(id, 200, Cat("Allow: ", kAllow, "\r\n"));
    default: return Refuse(id, 405, Cat("Allow: ", kAllow, "\r\n"));
  }
}

}  // namespace sluice::sip
