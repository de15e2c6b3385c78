#ifndef SLUICE_SIP_STATELESS_PROXY_H_
#define SLUICE_SIP_STATELESS_PROXY_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/types/span.h"
#include "sip/admitted.h"
#include "sip/branch.h"
#include "sip/dispatcher.h"
#include "sip/handler.h"
#include "sip/keys.h"
#include "sip/media_nat.h"
#include "sip/router.h"

namespace sluice::sip {

// The stateless proxy (RFC 3261 16.11): a message goes on changed as 16.6
// wants, and nothing of it is kept. What a response or a later request of the
// dialog needs to find its way is in what was sent: the leg in the Via's branch
// and in the Contact's token, leave to pass in the Record-Route.
//
//   request   check (Max-Forwards, Proxy-Require, loop, whose it is)
//             -> Route, token: where to, by which leg
//             -> Router: addresses        (a name: later)
//             -> MediaNat: the body       (a relay elsewhere: later)
//             -> Via, Record-Route, Contact -> Dispatcher
//   response  top Via ours and keyed? -> MediaNat -> Contact -> next Via
//
// What is waited for outside holds a copy of the message; nothing else does.
//
// Never relays between strangers (security P16): a request goes on when it is
// for one of our domains, from a user who has logged in or by a trusted leg, or
// to the other party of a dialog that was set up through here.
//
// Thread: control only. Borrows all it is given; `media` may be null.
class StatelessProxy final : public Handler {
 public:
  struct Options {
    // Contacts are rewritten also where a message leaves by the leg it came in.
    bool force_rewrite = false;
    bool rewrite_contact = true;
  };

  StatelessProxy(Dispatcher& dispatcher, Router& router, const Keys& keys,
                 MediaNat* media, Options options);

  std::string_view name() const override { return "proxy"; }
  Handled Receive(Incoming& in) override;

 private:
  static constexpr int kMaxForwards = 70;  // RFC 3261 8.1.1.6

  struct Plan {
    // Of the request as it is now: views, until there is something to wait for.
    std::optional<Uri> uri{};
    std::string next;  // URI of the next hop; "" : the request's
    // It parsed, until there is something to wait for: views into the former.
    std::optional<Uri> next_uri{};
    Leg* leg = nullptr;    // by which it leaves, where that is known
    LoopText loop;         // for the branch
    std::string branch{};  // of our Via
    int max_forwards = kMaxForwards;
    size_t routes = 0;    // of ours, to be taken off the top
    bool strict = false;  // all Routes are written anew
    std::vector<std::string> rewritten_routes{};
    // The next hop is a strict router: it is the Request-URI, and what that was
    // the last Route.
    bool last_route = false;
    std::string path{};          // Routes to be put on top (RFC 3327)
    std::optional<Peer> peer{};  // where it goes, where that is known
    bool in_dialog = false;      // of one that was set up through here
    std::string hop_mark{};      // its leave to pass, to be looked at
    bool trusted = false;        // goes to whom we lead to
    bool may_choose = false;     // its sender may name the way
    bool by_user = false;        // goes where its user may send it, or had
  };
  struct Refuse {
    int code = 0;
    std::string extra{};
    std::string_view reason{};  // "" : the code's own
  };
  // A message that waits for somebody.
  struct Held;

  std::optional<Refuse> MakePlan(Incoming& in, Plan* plan) const;
  std::optional<Refuse> CheckRequest(const Incoming& in, Plan* plan) const;
  bool MayChoose(const Incoming& in) const;
  std::optional<Refuse> FollowRoutes(Incoming& in, Plan* plan) const;
  bool NoteMark(const Uri& route, const Message& message, Plan* plan) const;
  std::optional<Refuse> OpenToken(Incoming& in, Plan* plan) const;
  std::optional<Refuse> CheckPassage(const Incoming& in, Plan* plan) const;
  void FollowTarget(const Incoming& in, Plan* plan) const;
  void ApplyPrefixes(Incoming& in, Plan* plan) const;
  static void SetUri(Incoming& in, Plan* plan, std::string uri);
  bool IsPing(const Incoming& in, const Uri& uri) const;

  void OnRequest(Incoming& in);
  void Forward(Incoming& in, const Plan& plan, Router::Ways ways);
  void Send(const Incoming& in, const Plan& plan,
            absl::Span<const Router::Way> ways);
  // Nobody took it.
  void Undelivered(const Incoming& in, std::string_view branch, const Leg& out);
  std::string Write(const Incoming& in, const Plan& plan,
                    const Router::Way& way) const;
  void Answer(const Incoming& in, const Refuse& refuse);

  void OnResponse(Incoming& in);
  void SendResponse(const Incoming& in, Leg& out, const Peer& to,
                    const Via& next);

  // Whether its sender is the party itself, and no proxy before it.
  bool IsDirect(const Message& message) const;
  // The party's own address, where it is known.
  IpAddress HeardFrom(const Message& message, const Peer& from) const;
  std::optional<Peer> HeardElsewhere(const Message& message, const Peer& from,
                                     const Uri& uri) const;
  // Contacts of a message that goes from one leg to the other.
  // `own`: the address of `out` by which it leaves.
  void RewriteContacts(const Message& message, const Peer& from, const Leg& in,
                       const Leg& out, const Leg::Address& own,
                       Edit* edit) const;
  void RecordRoute(const Incoming& in, const Leg& out, const Leg::Address& own,
                   std::string_view branch, Edit* edit) const;
  void MarkHops(const Message& response, const Leg& out, Edit* edit) const;
  std::string ContactShown(const Message& response, const Leg& out) const;

  static std::shared_ptr<Held> Hold(const Incoming& in);

  Dispatcher& dispatcher_;
  Router& router_;
  const Keys& keys_;
  const ContactTokens tokens_;
  Admitted admitted_;
  MediaNat* const media_;
  const Options options_;
};

}  // namespace sluice::sip

#endif  // SLUICE_SIP_STATELESS_PROXY_H_
