#include "sip/offer_answer.h"

#include "base/check.h"

namespace sluice::sip {

OfferAnswer::Side OfferAnswer::Other(Side side) {
  switch (side) {
    case Side::kNone: return Side::kNone;
    case Side::kOurs: return Side::kTheirs;
    case Side::kTheirs: return Side::kOurs;
  }
  return Side::kNone;
}

OfferAnswer::Side OfferAnswer::offerer() const {
  switch (state_) {
    case State::kStable: return Side::kNone;
    case State::kOfferSent: return Side::kOurs;
    case State::kOfferReceived: return Side::kTheirs;
  }
  return Side::kNone;
}

bool OfferAnswer::Answers(Side sender, Carrier in) const {
  return state_ != State::kStable && offerer() == Other(sender) &&
         offered_in_ == in;
}

bool OfferAnswer::OwesOffer(Side sender) const {
  return invite_ != Side::kNone && invite_ == Other(sender) && !offered_;
}

void OfferAnswer::Close() {
  state_ = State::kStable;
  previewed_ = false;
}

OfferAnswer::Means OfferAnswer::Received(Carrier carrier, bool has_sdp) {
  return Told(Side::kTheirs, carrier, has_sdp);
}

OfferAnswer::Means OfferAnswer::Sending(Carrier carrier, bool has_sdp) {
  return Told(Side::kOurs, carrier, has_sdp);
}

OfferAnswer::Means OfferAnswer::Told(Side sender, Carrier carrier,
                                     bool has_sdp) {
  switch (carrier) {
    case Carrier::kInvite: return ToldInvite(sender, has_sdp);
    case Carrier::kProvisional:
    case Carrier::kReliable:
    case Carrier::kFinal: return ToldResponse(sender, carrier, has_sdp);
    case Carrier::kPrack:
      if (has_sdp && !Answers(sender, Carrier::kReliable)) {
        return ToldOffer(sender, carrier);
      }
      return ToldAnswer(sender, carrier, Carrier::kReliable, has_sdp);
    case Carrier::kUpdate:
      return has_sdp ? ToldOffer(sender, carrier) : Means::kNothing;
    case Carrier::kPrackOk:
      return ToldAnswer(sender, carrier, Carrier::kPrack, has_sdp);
    case Carrier::kUpdateOk:
      return ToldAnswer(sender, carrier, Carrier::kUpdate, has_sdp);
    case Carrier::kAck:
      if (sender == Side::kTheirs) ack_due_ = false;
      return ToldAnswer(sender, carrier, Carrier::kFinal, has_sdp);
  }
  return Means::kViolation;
}

OfferAnswer::Means OfferAnswer::ToldInvite(Side sender, bool has_sdp) {
  const bool may = sender == Side::kOurs
                       ? MayInvite()
                       : RefusalOf(Carrier::kInvite, has_sdp) == 0;
  if (!may) return Means::kViolation;
  invite_ = sender;
  invite_offered_ = has_sdp;
  offered_ = false;
  ack_due_ = false;
  return has_sdp ? ToldOffer(sender, Carrier::kInvite) : Means::kNothing;
}

// An offer where one may be, if nothing is open.
OfferAnswer::Means OfferAnswer::ToldOffer(Side sender, Carrier carrier) {
  if (carrier == Carrier::kUpdate || carrier == Carrier::kPrack) {
    if (!MayOffer()) return Means::kViolation;
  } else {
    CHECK(state_ == State::kStable);
    offered_ = true;
  }
  state_ = sender == Side::kOurs ? State::kOfferSent : State::kOfferReceived;
  offered_in_ = carrier;
  previewed_ = false;
  return Means::kOffer;
}

// A message that answers what was offered in `in`, and else has nothing.
OfferAnswer::Means OfferAnswer::ToldAnswer(Side sender, Carrier carrier,
                                           Carrier in, bool has_sdp) {
  if (Answers(sender, in)) {
    if (has_sdp) {
      Close();
      return Means::kAnswer;
    }
    // A PRACK may be refused and come again; no other message has a second try.
    if (sender == Side::kTheirs && carrier != Carrier::kPrack) Close();
    return Means::kViolation;
  }
  return has_sdp && sender == Side::kOurs ? Means::kViolation : Means::kNothing;
}

OfferAnswer::Means OfferAnswer::ToldResponse(Side sender, Carrier carrier,
                                             bool has_sdp) {
  if (invite_ == Side::kNone || invite_ != Other(sender)) {
    return Means::kViolation;
  }
  const bool ours = sender == Side::kOurs;
  const bool final = carrier == Carrier::kFinal;
  const auto end = [&](Means means) {
    // What cannot be sent has not been, and what came has.
    if (final && !(ours && means == Means::kViolation)) {
      invite_ = Side::kNone;
      ack_due_ = ours;
    }
    return means;
  };

  if (Answers(sender, Carrier::kInvite)) {
    if (has_sdp && carrier == Carrier::kProvisional) {
      if (previewed_) return Means::kRepeatedAnswer;
      previewed_ = true;
      return Means::kPreview;
    }
    if (has_sdp) {
      Close();
      return end(Means::kAnswer);
    }
    if (!final) return Means::kNothing;
    // Many give their answer in a 180 or 183 only; what has come is then it.
    const bool known = previewed_ && !ours;
    if (!ours) Close();
    return end(known ? Means::kNothing : Means::kViolation);
  }
  if (invite_offered_) {
    return end(has_sdp ? Means::kRepeatedAnswer : Means::kNothing);
  }
  if (OwesOffer(sender) && carrier != Carrier::kProvisional) {
    if (has_sdp) return end(ToldOffer(sender, carrier));
    // A reliable 1xx has to have it, too, but its 2xx can make it good.
    return end(ours || final ? Means::kViolation : Means::kNothing);
  }
  // Ours in the reliable 1xx is to be answered first (RFC 3262 5).
  if (ours && final && state_ == State::kOfferSent &&
      offered_in_ == Carrier::kReliable) {
    return Means::kViolation;
  }
  return end(has_sdp && ours ? Means::kViolation : Means::kNothing);
}

OfferAnswer::Means OfferAnswer::Due(Carrier carrier) const {
  const auto answer = [this](Carrier in) {
    return Answers(Side::kOurs, in) ? Means::kAnswer : Means::kNothing;
  };
  switch (carrier) {
    case Carrier::kInvite:
    case Carrier::kProvisional:
    case Carrier::kUpdate: return Means::kNothing;
    case Carrier::kReliable:
      return OwesOffer(Side::kOurs) ? Means::kOffer : Means::kNothing;
    case Carrier::kFinal:
      return OwesOffer(Side::kOurs) ? Means::kOffer : answer(Carrier::kInvite);
    case Carrier::kPrack: return answer(Carrier::kReliable);
    case Carrier::kPrackOk: return answer(Carrier::kPrack);
    case Carrier::kUpdateOk: return answer(Carrier::kUpdate);
    case Carrier::kAck: return answer(Carrier::kFinal);
  }
  return Means::kNothing;
}

bool OfferAnswer::MayOffer() const {
  return state_ == State::kStable && (invite_ == Side::kNone || offered_);
}

bool OfferAnswer::MayInvite() const {
  return state_ == State::kStable && invite_ == Side::kNone && !ack_due_;
}

int OfferAnswer::RefusalOf(Carrier request, bool has_sdp) const {
  const auto pending = [](Side whose) {
    switch (whose) {
      case Side::kNone: return 0;
      case Side::kOurs: return 491;    // RFC 3261 14.2, RFC 3311 5.2
      case Side::kTheirs: return 500;  // the same
    }
    return 0;
  };
  if (request == Carrier::kInvite) {
    const int refusal = pending(invite_);
    return refusal != 0 ? refusal : pending(offerer());
  }
  CHECK(request == Carrier::kUpdate || request == Carrier::kPrack);
  if (!has_sdp || (request == Carrier::kPrack &&
                   Answers(Side::kTheirs, Carrier::kReliable))) {
    return 0;
  }
  if (state_ != State::kStable) return pending(offerer());
  return offered_ ? 0 : pending(invite_);
}

bool OfferAnswer::OursFailed(Carrier request) {
  return Failed(Side::kOurs, request);
}

bool OfferAnswer::TheirsFailed(Carrier request) {
  return Failed(Side::kTheirs, request);
}

bool OfferAnswer::Failed(Side side, Carrier request) {
  bool open = false;
  if (request == Carrier::kInvite) {
    if (invite_ != side) return false;
    invite_ = Side::kNone;
    open = Answers(Other(side), Carrier::kInvite) ||
           Answers(side, Carrier::kReliable);
  } else {
    CHECK(request == Carrier::kUpdate || request == Carrier::kPrack);
    open = Answers(Other(side), request);
  }
  if (open) Close();
  return open;
}

}  // namespace sluice::sip
