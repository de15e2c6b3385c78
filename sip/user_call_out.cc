#include <algorithm>
#include <utility>

#include "base/check.h"
#include "base/status_macros.h"
#include "base/text.h"
#include "sip/fields.h"
#include "sip/reply.h"
#include "sip/user_call.h"

// The caller's part: INVITE and what comes of it (RFC 3261 13.2, 14.1).
namespace sluice::sip {
namespace {

// After a 491 (RFC 3261 14.1): whoever made the Call-ID waits longer.
Micros GlarePause(bool ours) {
  return Micros::Millis((ours ? 2'100 : 0) + 10 * RandomBelow(191));
}

}  // namespace

absl::Status UserCall::Invite(Parties parties) {
  parties_ = std::move(parties);
  leg_ = parties_.leg;
  peer_ = parties_.uri;
  dialog_.call_id = RandomHex(16);
  dialog_.local_tag = RandomHex(8);
  dialog_.local = parties_.local;
  dialog_.remote = parties_.remote;
  dialog_.remote_target = parties_.uri;
  dialog_.routes = params_.route;
  contact_scheme_ = SchemeFor(dialog_.NextHop());
  forks_.reserve(kForksMax);
  RETURN_IF_ERROR(CheckParams(params_));
  RETURN_IF_ERROR(OpenMedia(*leg_));
  const absl::Status begun = SendInvite();
  if (begun.ok()) world_->enter(*this);
  return begun;
}

absl::Status UserCall::SendInvite() {
  const bool first = dialog_.remote_tag.empty();
  const bool offer = !params_.sdp_on_ack;
  auto body = std::make_shared<std::string>();
  if (offers_.Sending(Carrier::kInvite, offer) == Means::kViolation) {
    return absl::FailedPreconditionError("an offer is under way already");
  }
  if (offer) *body = MakeOffer();
  final_due_ = true;
  rseq_ = 0;
  prack_open_ = false;
  // Whoever offers anew does not try the last offer again.
  world_->loop.Cancel(std::exchange(retry_timer_, 0));
  const auto self = Self();
  request_ = world_->requester.Start(
      {.next_hop = std::string(dialog_.NextHop()),
       .method = "INVITE",
       .uri = dialog_.RequestUri(),
       .call_id = dialog_.call_id,
       .leg = leg_,
       .credentials = credentials(),
       .challenges = &challenges_,
       .follow = first && params_.follow_redirects,
       .redirected = redirected_,
       .write =
           [this, self, body](const Requester::Attempt& attempt) {
             return WriteInvite(attempt, *body);
           },
       .response =
           [this, self, first](const Incoming& in) {
             if (world_ != nullptr) OnInviteResponse(in, first);
           },
       .failed =
           [this, self](int code, std::string_view reason) {
             if (world_ == nullptr) return;
             OnInviteFailed({.code = code, .reason = std::string(reason)});
           }});
  if (first && params_.ring_time != Micros()) {
    ring_timer_ = world_->loop.After(params_.ring_time, [this, self] {
      ring_timer_ = 0;
      if (params_.cb_noanswer) Tell(params_.cb_noanswer, *this);
      (void)Cancel();
    });
  }
  return absl::OkStatus();
}

OutgoingRequest UserCall::WriteInvite(const Requester::Attempt& attempt,
                                      const std::string& body) {
  ++dialog_.local_cseq;
  if (dialog_.remote_tag.empty()) base_ = dialog_;
  invite_credentials_ = attempt.credentials;
  redirected_ |= !attempt.uri.empty() || !attempt.route.empty();
  std::string headers;
  if (!attempt.route.empty()) {
    Append(&headers, "Route: ", attempt.route, "\r\n");
  }
  Append(&headers, attempt.credentials, OurHeaders(attempt.own), SdpType(body));
  return dialog_.Request("INVITE", dialog_.local_cseq, headers, body,
                         attempt.uri);
}

// Whether there is a dialog for the response: a known one, or one more.
bool UserCall::TakeFork(const Message& response) {
  if (DialogOf(response.to()->tag) != nullptr) return true;
  if (forks_.size() == kForksMax) return false;
  std::optional<Dialog> made = base_.Made(response);
  if (!made) return false;
  forks_.push_back({.dialog = *std::move(made), .offers = offers_});
  return true;
}

void UserCall::OnInviteResponse(const Incoming& in, bool first) {
  const Message& m = in.message;
  const int status = m.status();
  const std::string tag(m.to()->tag);
  const auto keep = shared_from_this();
  if (status >= 300) {
    return OnInviteFailed(ResultOf(m));
  }
  if (status == 100) return;
  for (Acked& acked : acked_) {
    if (acked.remote_tag != tag || acked.cseq != m.cseq()) continue;
    // Our ACK was lost.
    if (status >= 200 && acked.way && ++acked.repeats <= kAckRepeatsMax) {
      world_->transactions.Resend(acked.octets, *acked.way, call_id());
    }
    return;
  }
  if (first && !dialog_.remote_tag.empty()) {
    // Another branch has the call already.
    if (status < 200 || tag == dialog_.remote_tag) return;
    // More branches than anybody has: somebody has us send to whom he names.
    if (++forks_ended_ > kForksMax) return;
    if (const auto other = base_.Made(m)) EndFork(*other, m.cseq());
    return;
  }
  if (!first && tag != dialog_.remote_tag) return;
  if (!tag.empty() && (TakeFork(m) || status >= 200)) {
    return status < 200 ? OnProvisional(in, tag) : OnAnswered(in, first);
  }
  if (status < 200) {
    if (!tag.empty()) return;  // one fork too many
    // No dialog: of RFC 2543.
    if (state_ == State::kCalling) state_ = State::kRinging;
    if (params_.cb_preliminary) Tell(params_.cb_preliminary, *this, m);
    return;
  }
  EndNameless();
}

// Nobody can be told that we are not content: he gives up without an ACK.
void UserCall::EndNameless() {
  if (state_ == State::kEnded) return;
  result_ = {.code = 500, .reason = "the answer names nobody to speak with"};
  error_ = absl::AbortedError(result_.reason);
  world_->error(error_);
  End();
}

void UserCall::OnProvisional(const Incoming& in, std::string_view tag) {
  const Message& m = in.message;
  if (state_ == State::kEnded) return;
  const bool reliable = HasWord(m, HeaderId::kRequire, "100rel");
  uint32_t rseq = 0;
  if (reliable) {
    // RFC 3262 4: in order, each once.
    const auto number = ParseNumber(m.Value(HeaderId::kRSeq), UINT32_MAX);
    if (!number || *number == 0) return;
    rseq = static_cast<uint32_t>(*number);
    uint32_t* last = &rseq_;
    bool* open = &prack_open_;
    for (Fork& fork : forks_) {
      // Of a re-INVITE the fork that has the call knows nothing.
      if (fork.dialog.remote_tag != tag || tag == dialog_.remote_tag) continue;
      last = &fork.rseq;
      open = &fork.prack_open;
    }
    // One at a time: who says the next before he has our PRACK repeats it.
    if (*open || (*last != 0 && rseq != *last + 1)) return;
    *last = rseq;
    *open = true;
    DialogOf(tag)->RefreshTarget(m);
  }
  Heard heard = Hear(*OffersOf(tag),
                     reliable ? Carrier::kReliable : Carrier::kProvisional, m);
  if (reliable) SendPrack(tag, rseq, m, heard.answer);
  if (state_ == State::kCalling) state_ = State::kRinging;
  // Early media: what is said is heard before the call is answered.
  if (heard.agreed) heard.media = Begin();
  if (!heard.media.ok()) world_->error(heard.media);
  if (params_.cb_preliminary) Tell(params_.cb_preliminary, *this, m);
}

void UserCall::SendPrack(std::string_view tag, uint32_t rseq,
                         const Message& reliable, const std::string& body) {
  OffersOf(tag)->Sending(Carrier::kPrack, !body.empty());
  const auto self = Self();
  const auto over = [self, tag = std::string(tag)] {
    self->prack_open_ = false;
    for (Fork& fork : self->forks_) {
      if (fork.dialog.remote_tag == tag) fork.prack_open = false;
    }
    self->SendWaiting();
  };
  SendInside(*DialogOf(tag),
             {.method = "PRACK",
              .headers = Cat("RAck: ", rseq, " ", reliable.cseq(), " ",
                             reliable.method_text(), "\r\n", SdpType(body)),
              .body = body,
              .response =
                  [self, over, tag = std::string(tag)](const Incoming& in) {
                    if (in.message.status() < 200) return;
                    if (OfferAnswer* const offers = self->OffersOf(tag)) {
                      if (in.message.status() >= 300) {
                        offers->OursFailed(Carrier::kPrack);
                      } else {
                        offers->Received(Carrier::kPrackOk, false);
                      }
                    }
                    over();
                  },
              .failed = [over](int, std::string_view) { over(); }});
}

void UserCall::SendAck(const Dialog& dialog, uint32_t cseq,
                       const std::string& body) {
  if (acked_.size() == kAckedMax) acked_.erase(acked_.begin());
  acked_.push_back({.remote_tag = dialog.remote_tag, .cseq = cseq});
  const auto self = Self();
  const std::string headers = Cat(invite_credentials_, SdpType(body));
  world_->requester.SendWithout(
      dialog.Request("ACK", cseq, headers, body), dialog.NextHop(), leg_,
      [self, cseq, tag = dialog.remote_tag](std::string octets,
                                            const Router::Way& way) {
        for (Acked& acked : self->acked_) {
          if (acked.remote_tag != tag || acked.cseq != cseq) continue;
          acked.octets = std::move(octets);
          acked.way = way;
          return;
        }
      });
}

void UserCall::EndFork(const Dialog& dialog, uint32_t cseq) {
  SendAck(dialog, cseq, {});
  SendInside(dialog, {.method = "BYE"});
}

void UserCall::OnAnswered(const Incoming& in, bool first) {
  const Message& m = in.message;
  const std::string tag(m.to()->tag);
  request_ = 0;
  world_->loop.Cancel(std::exchange(ring_timer_, 0));
  // Early dialogs have targets of their own; the 2xx has the last word, on its
  // routes, too (RFC 3261 12.1.2, 13.2.2.4).
  if (first) {
    std::optional<Dialog> made = base_.Made(m);
    if (!made) return EndNameless();
    // One fork too many has no early dialog.
    if (const Dialog* const early = DialogOf(tag)) {
      made->local_cseq = std::max(made->local_cseq, early->local_cseq);
      made->remote_cseq = early->remote_cseq;
      offers_ = *OffersOf(tag);
    }
    dialog_ = *std::move(made);
  } else {
    dialog_.RefreshTarget(m);
  }
  if (state_ == State::kEnded) {
    // It crossed our CANCEL, or we gave up: it is hung up (RFC 3261 15).
    return EndFork(dialog_, m.cseq());
  }
  Heard heard = Hear(offers_, Carrier::kFinal, m);
  if (heard.missing) {
    heard.media = absl::FailedPreconditionError(
        "the answer of the peer describes no media");
  } else if (heard.refused != 0) {
    heard.media =
        absl::NotFoundError("the offer of the peer has nothing for us");
  }
  offers_.Sending(Carrier::kAck, !heard.answer.empty());
  SendAck(dialog_, m.cseq(), heard.answer);
  state_ = State::kEstablished;
  if (!heard.media.ok()) return Fail(heard.media);
  if (!established_) quiet_since_ = world_->loop.now();
  result_ = ResultOf(m);
  glares_ = 0;
  held_before_ = held_;
  if (cancelled_) {
    established_ = true;
    (void)Bye({});
    return;
  }
  // What was agreed while it rang may have fallen silent since.
  if (heard.agreed || !established_) {
    heard.media = Begin();
  }
  if (!heard.media.ok()) return Fail(heard.media);
  const bool again = std::exchange(established_, true);
  TellFinal();
  if (!again && state_ == State::kEstablished && params_.cb_established) {
    Tell(params_.cb_established, *this);
  }
}

void UserCall::OnInviteFailed(const CallResult& result) {
  const auto keep = Self();
  request_ = 0;
  world_->loop.Cancel(std::exchange(ring_timer_, 0));
  if (state_ == State::kEnded) return;
  if (offers_.OursFailed(Carrier::kInvite)) RollBack();
  if (!established_) {
    result_ = result;
    return End();
  }
  // Within a dialog: it stands as it was (14.1), but for these.
  if (result.code == 491 && ++glares_ <= kGlaresMax) {
    retry_timer_ = world_->loop.After(
        GlarePause(!incoming_), [this, keep, again = result] {
          retry_timer_ = 0;
          if (state_ != State::kEstablished || Reinvite().ok()) return;
          // Theirs is under way: once more, or it is 491 for good.
          OnInviteFailed(again);
        });
    return;
  }
  glares_ = 0;
  held_ = held_before_;
  result_ = result;
  if (result.code == 481 || result.code == 408) {
    (void)Bye({});
    return;
  }
  TellFinal();
}

absl::Status UserCall::Cancel() {
  if (world_ == nullptr || state_ == State::kEnded || incoming_ ||
      established_ || request_ == 0) {
    return absl::FailedPreconditionError("there is no INVITE to take back");
  }
  cancelled_ = true;
  world_->requester.Cancel(request_);
  return absl::OkStatus();
}

}  // namespace sluice::sip
