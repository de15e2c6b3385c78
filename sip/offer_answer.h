#ifndef SLUICE_SIP_OFFER_ANSWER_H_
#define SLUICE_SIP_OFFER_ANSWER_H_

#include <cstdint>

namespace sluice::sip {

// Which session description of a dialog is an offer, which an answer, and when
// a new offer may be made (RFC 3261 13.2.1 and 14, RFC 3262 5, RFC 3311 5; the
// patterns are those of RFC 6337 2.2):
//
//    offer in        answered in
//    INVITE          reliable 1xx, else 2xx      a preview in unreliable 1xx
//    reliable 1xx    PRACK                       to an INVITE without an offer,
//    2xx             ACK                         the first reliable of the two
//    PRACK           2xx to PRACK
//    UPDATE          2xx to UPDATE
//
// Told of each message once: retransmissions are known, and let go, before.
// Strict in what is sent; of what is received a description too many is let
// go, one that is missing is a violation. One per dialog: where an INVITE
// forks, each early dialog starts from a copy of what stood when it was sent.
//
// Thread: any; a value.
class OfferAnswer {
 public:
  enum class State : uint8_t { kStable, kOfferSent, kOfferReceived };
  enum class Carrier : uint8_t {
    kInvite,
    kProvisional,  // unreliable 1xx
    kReliable,     // 1xx with RSeq
    kPrack,
    kPrackOk,
    kUpdate,
    kUpdateOk,
    kFinal,  // 2xx to INVITE
    kAck
  };
  enum class Means : uint8_t {
    kNothing,  // none there, or one that is to be ignored
    kOffer,
    kAnswer,
    // In an unreliable 1xx: what the answer is going to be. Media may begin by
    // it; no new offer may be made on it.
    kPreview,
    kRepeatedAnswer,  // the answer or the preview again, to be ignored
    // A description that is due is missing, or one is where none may be. Of a
    // request: refuse it by RefusalOf, else by 400; of a 2xx or an ACK: BYE.
    // What was asked to be sent is not to be sent.
    kViolation
  };

  // A message of this dialog came. A request that RefusalOf refuses is not
  // told.
  Means Received(Carrier carrier, bool has_sdp);
  // One is about to be sent; on kViolation nothing has changed.
  Means Sending(Carrier carrier, bool has_sdp);

  // What the message has to carry if it is sent now: kOffer, kAnswer, or
  // kNothing when none is due. Where none is due a request may offer if
  // MayOffer (kInvite: MayInvite), and a 1xx may give the answer early.
  Means Due(Carrier carrier) const;

  State state() const { return state_; }
  // An offer in an UPDATE (or a PRACK) would be in order.
  bool MayOffer() const;
  // A re-INVITE would, with an offer or without.
  bool MayInvite() const;
  // What a request that came is refused with before it is told: 491 where our
  // offer or INVITE is under way, 500 (with Retry-After, 0 to 10 s at random)
  // where theirs is, 0: not for that. REQUIRES: kInvite, kUpdate or kPrack.
  int RefusalOf(Carrier request, bool has_sdp = true) const;

  // That request (kInvite, kUpdate, kPrack), sent by us or received, has ended
  // without a 2xx. true: the offer that hung on it is forgotten, and what stood
  // before it stands; a preview of its answer is void. An exchange that was
  // over before, say in its reliable 1xx, stands (RFC 6141 3.4 asks for a 2xx
  // there).
  bool OursFailed(Carrier request);
  bool TheirsFailed(Carrier request);

 private:
  enum class Side : uint8_t { kNone, kOurs, kTheirs };
  static Side Other(Side side);
  Side offerer() const;
  // The offer that is open was made in `in` by the other one than `sender`.
  bool Answers(Side sender, Carrier in) const;
  // `sender` owes the offer to an INVITE that had none.
  bool OwesOffer(Side sender) const;
  Means Told(Side sender, Carrier carrier, bool has_sdp);
  Means ToldInvite(Side sender, bool has_sdp);
  Means ToldResponse(Side sender, Carrier carrier, bool has_sdp);
  Means ToldOffer(Side sender, Carrier carrier);
  Means ToldAnswer(Side sender, Carrier carrier, Carrier in, bool has_sdp);
  bool Failed(Side side, Carrier request);
  void Close();

  State state_ = State::kStable;
  Carrier offered_in_ = Carrier::kInvite;  // unless kStable
  bool previewed_ = false;                 // the answer to that offer
  Side invite_ = Side::kNone;              // whose is under way, up to its 2xx
  bool invite_offered_ = false;            // it had an offer
  bool offered_ = false;                   // it had, or a response to it
  bool ack_due_ = false;                   // we sent the 2xx
};

}  // namespace sluice::sip

#endif  // SLUICE_SIP_OFFER_ANSWER_H_
