#ifndef SLUICE_SIP_REQUESTER_H_
#define SLUICE_SIP_REQUESTER_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "base/net/event_loop.h"
#include "sip/credentials.h"
#include "sip/handler.h"
#include "sip/leg.h"
#include "sip/router.h"
#include "sip/transactions.h"

namespace sluice::sip {

// One request of a user agent until its final answer: where it goes (RFC 3263),
// the next place where one does not answer, our credentials where they are
// asked for (RFC 3261 22.2), the contacts of a redirection (8.1.3.4), and
// taking it back (9.1).
//
// What would be long for a datagram goes by a stream first, where the leg has
// one and the URI does not say otherwise (18.1.1).
//
//   Start --DNS--> way 1 --408, 503, not sent--> way 2 ...
//                   |--401, 407--> the same way, with credentials
//                   |--301, 302, 305--> DNS of the next contact
//                   +--else--> response()
//
// Thread: the loop's. Callbacks may use any member. Borrows all it is given.
class Requester {
 public:
  using Id = uint64_t;  // 0 is never given out
  // Of one request, all of its redirections together.
  static constexpr int kRedirectsMax = 5;
  static constexpr size_t kContactsMax = 10;
  static constexpr size_t kDatagramMax = 1'300;  // octets of a request

  // One sending of it.
  struct Attempt {
    const Leg& leg;
    const Leg::Address& own;         // by which it leaves: for Contact
    const std::string& uri;          // for whom, "" : as planned
    const std::string& route;        // a Route value to put on top; "" none
    const std::string& credentials;  // header lines
  };
  struct Plan {
    std::string next_hop;  // URI
    std::string method;
    std::string uri;  // as planned: what `write` makes the Request-URI
    std::string call_id;
    Leg* leg = nullptr;         // null: that which reaches it
    Credentials credentials{};  // who answers a challenge
    // What is remembered of them; null: none is answered. It outlives the
    // request.
    Challenges* challenges = nullptr;
    bool follow = false;  // redirections
    // Somebody else than the user has said who is asked (8.1.3.4).
    bool redirected = false;
    // The request for one sending of it. Each is a new one: its CSeq rises.
    // What turns out long for a datagram is thrown away, and asked for again.
    std::function<OutgoingRequest(const Attempt&)> write{};
    // What is not dealt with here: 1xx, and final answers; of an INVITE each
    // 2xx there is (RFC 3261 13.2.2.4).
    std::function<void(const Incoming&)> response{};
    // There is no answer and will be none: 408, 503, 404 (no such host), 487
    // (taken back), 480 and the like.
    std::function<void(int code, std::string_view reason)> failed{};
  };

  Requester(net::EventLoop& loop, Router& router, Transactions& transactions);
  ~Requester();
  Requester(const Requester&) = delete;
  Requester& operator=(const Requester&) = delete;

  // No callback comes before this returns, except `write`.
  Id Start(Plan plan);
  // Takes an INVITE back: as soon as there is a provisional answer a CANCEL is
  // sent. The final answer comes as ever, a 2xx that crosses the CANCEL
  // included; if none comes within 64 * T1, failed(487).
  void Cancel(Id id);
  // No callback any more. What is under way is not taken back.
  void Abandon(Id id);
  // ACK of a 2xx and the like: sent once, by where `next_hop` is.
  // `sent`: the octets and the way, for sending it again; not when there is no
  // way.
  using Sent = std::function<void(std::string octets, const Router::Way& way)>;
  void SendWithout(OutgoingRequest request, std::string_view next_hop, Leg* leg,
                   Sent sent);

  size_t size() const { return requests_.size(); }

 private:
  struct Request;

  Request* Find(Id id);
  void Resolve(Id id, const std::string& next_hop);
  void OnWays(Id id, Router::Ways ways);
  void Send(Id id);
  bool PreferStream(Request& request, size_t octets) const;
  void OnResponse(Id id, const Incoming& in);
  void OnFailed(Id id, int code);
  bool Redirect(Request& request, const Message& response);
  bool NextContact(Id id);
  void Fail(Id id, int code, std::string_view reason);

  net::EventLoop& loop_;
  Router& router_;
  Transactions& transactions_;
  Id last_ = 0;
  absl::flat_hash_map<Id, std::shared_ptr<Request>> requests_;
  // Where no stream was made.
  static constexpr size_t kDatagramOnlyMax = 1'024;
  absl::flat_hash_set<Endpoint> datagram_only_;
};

}  // namespace sluice::sip

#endif  // SLUICE_SIP_REQUESTER_H_
