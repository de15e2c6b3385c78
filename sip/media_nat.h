#ifndef SLUICE_SIP_MEDIA_NAT_H_
#define SLUICE_SIP_MEDIA_NAT_H_

#include <functional>
#include <optional>
#include <string>

#include "sip/keys.h"
#include "sip/leg.h"
#include "sip/media_relay.h"
#include "sip/message.h"
#include "sip/sdp.h"

namespace sluice::sip {

// From offers and answers (RFC 3264, 6337) on their way through the proxy to
// the relay's three verbs, and back into the session descriptions. Remembers
// nothing: what belongs together is told by the ids of the verbs.
//
//   request with SDP (INVITE, UPDATE, PRACK)     Allocate(from), Activate
//   1xx, 2xx with SDP                            Allocate(to), Activate
//   ACK with SDP (the answer to one in a 2xx)    Allocate(from), Activate
//   ACK without                                  Activate
//   3xx-6xx to INVITE, UPDATE, PRACK             Close of that transaction
//   BYE                                          Close of all
//
// A CANCEL closes nothing: anybody who knows the call can send one. What it
// ends says so itself, by its 487.
//
// An ACK goes on whatever comes of it. The answer of a PRACK to an offer in a
// reliable 1xx to an INVITE without one is not joined with it: they have
// different CSeq numbers, and which offer it answers only a memory could tell.
//
// Media of a protocol that is no datagram's pass untouched, beside the others.
//
// A failed Activate is no failure: half of the session is known so far.
//
// Thread: control only. Borrows relay and keys.
class MediaNat {
 public:
  // What the message is to become.
  struct Outcome {
    int code = 0;  // not 0: the request is answered so, the response dropped
    const char* reason = "";
    std::optional<std::string> body{};  // replaces the old one
  };
  using Done = std::function<void(Outcome)>;
  struct Counters {
    uint64_t offers = 0, answers = 0, refused = 0, bad_sdp = 0, closed = 0;
  };

  MediaNat(MediaRelay& relay, const Keys& keys) : relay_(relay), keys_(keys) {}

  // Whether the relay has to do with a message that goes from one leg to the
  // other.
  static bool Concerns(const Message& message, const Leg& in, const Leg& out);
  // Whether what goes on has to wait for the relay: there is a description.
  static bool Rewrites(const Message& message);
  // REQUIRES: Concerns(), Rewrites(). `done` is called once, perhaps before
  // this returns; `message` must live until then.
  // `branch`: of our Via, by which the way of a fork is told from another's.
  // `heard_from`: where the party itself sent it from; :: when unknown.
  void Run(const Message& message, std::string_view branch,
           const IpAddress& heard_from, const Leg& in, const Leg& out,
           Done done);
  // REQUIRES: Concerns(), not Rewrites(). The relay is told and not waited for.
  void Tell(const Message& message, std::string_view branch, const Leg& in,
            const Leg& out);
  // REQUIRES: Rewrites(), Run() is done. The request went nowhere after all:
  // its ports go back, what was up before stays.
  void Abandon(const Message& request, std::string_view branch, const Leg& in,
               const Leg& out);
  const Counters& counters() const { return counters_; }

 private:
  MediaRelay::Key KeyOf(const Message& message, std::string_view branch,
                        const Leg& in, const Leg& out) const;
  void OnSdp(const Message& message, MediaRelay::Key key, std::string_view text,
             const IpAddress& heard_from, const Leg& out, Done done);
  // The body with the description in it replaced.
  std::string Rewrite(const Message& message, std::string_view text,
                      const Sdp& sdp, absl::Span<const MediaRelay::Port> ports,
                      const Leg& out) const;

  MediaRelay& relay_;
  const Keys& keys_;
  Counters counters_;
};

}  // namespace sluice::sip

#endif  // SLUICE_SIP_MEDIA_NAT_H_
