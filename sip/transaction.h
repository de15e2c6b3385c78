#ifndef SLUICE_SIP_TRANSACTION_H_
#define SLUICE_SIP_TRANSACTION_H_

#include <cstdint>

#include "base/types.h"

// The transactions of a user agent: RFC 3261 17 as RFC 6026 corrects it. What
// came and the time go in, what is to be done comes out. No sockets, no
// messages, no memory but the value's own, no clock: who owns one keeps the
// request (or the last response), does what Does says in its order, and calls
// OnTime when due() has come.
//
// Timer C is a proxy's (16.6) and is not here: an INVITE that was answered with
// 1xx waits for as long as its user does.
//
// Thread: any; values.
namespace sluice::sip {

// RFC 3261 17.1.1.1. REQUIRES: all above 0.
struct TransactionTimers {
  Micros t1 = Micros::Millis(500);  // round trip
  Micros t2 = Micros::Seconds(4);   // longest between two of the same
  Micros t4 = Micros::Seconds(5);   // longest that a message lives
};

// Nothing is due.
inline constexpr Micros kNeverDue{INT64_MAX};

// Who sent a request.
//
//   INVITE (figure 5)                          others (figure 6)
//
//   kCalling --1xx--> kProceeding              kTrying --1xx--> kProceeding
//    |  |  |           |     |                  |    |           |      |
//    | 2xx 3xx-6xx    2xx 3xx-6xx               F  2xx-6xx    2xx-6xx   F
//    B  |  |           |     |                  |    v           v      |
//    |  |  +-----------|-> kCompleted           |   kCompleted          |
//    |  +----------> kAccepted | D              |    | K                |
//    v                 | M     v                v    v                  v
//   kTerminated <------+-------+               kTerminated <------------+
//
// By a reliable transport nothing is sent again, and D and K are 0: kCompleted
// is kTerminated at once.
class ClientTransaction {
 public:
  enum class State : uint8_t {
    kCalling,  // INVITE only
    kTrying,   // all others
    kProceeding,
    kAccepted,  // INVITE only: each 2xx, of whatever branch, is passed
    kCompleted,
    kTerminated,
  };
  // In this order.
  struct Does {
    bool send = false;     // the request again
    bool ack = false;      // an ACK of the failure (again); of a 2xx the user
                           // sends it (13.2.2.4)
    bool pass = false;     // the response goes to the user
    bool timeout = false;  // B or F: the user hears 408 (8.1.3.1)
    // The transport's error goes to the user: 503 (8.1.3.1). In kCompleted it
    // was the ACK that did not go; the user has its answer.
    bool failed = false;
    friend constexpr bool operator==(const Does&, const Does&) = default;
  };

  // The request was sent at `now`. `reliable`: any transport but UDP.
  ClientTransaction(bool invite, bool reliable, const TransactionTimers& timers,
                    Micros now);
  // `status`: 100 to 699, anything else is nothing.
  Does OnResponse(int status, Micros now);
  // What is due by now. Late (after a stall of the loop) it sends once, and the
  // next interval counts from then.
  Does OnTime(Micros now);
  // What was to be sent could not be. Heard only in the states that send
  // (17.1.4): elsewhere it was another's.
  Does OnTransportError(Micros now);
  Micros due() const;  // kNeverDue: only a response, or the user, goes on
  State state() const { return state_; }

 private:
  void Terminate();

  TransactionTimers timers_;
  Micros again_ = kNeverDue;  // A, E
  Micros end_ = kNeverDue;    // B, F; then D, K, M
  Micros interval_;           // that again_ was set with
  bool invite_, reliable_;
  State state_;
};

// Who received one.
//
//   INVITE (figure 7)                          others (figure 8)
//
//   kProceeding --2xx--> kAccepted             kTrying --1xx--> kProceeding
//    | 3xx-6xx            | L                   | 2xx-6xx         | 2xx-6xx
//    v                    |                     v                 |
//   kCompleted -- H --+   |                    kCompleted <-------+
//    | ACK            |   |                     | J
//    v                v   v                     v
//   kConfirmed -I-> kTerminated                kTerminated
//
// By a reliable transport I and J are 0 and G is not there: what would be
// kConfirmed, or kCompleted of others than INVITE, is kTerminated at once.
class ServerTransaction {
 public:
  // 17.2.1: how long a user may keep a caller without a word.
  static constexpr Micros kTryingAfter = Micros::Millis(200);

  enum class State : uint8_t {
    kTrying,      // all but INVITE
    kProceeding,  // INVITE begins here
    kAccepted,    // INVITE only: repeats of the request are swallowed; the 2xx
                  // is the user's to repeat (Repeater)
    kCompleted,
    kConfirmed,  // INVITE only: ACKs are swallowed
    kTerminated,
  };
  // In this order.
  struct Does {
    bool send = false;     // the last response (again)
    bool trying = false;   // 100 Trying, which is now the last response: an
                           // INVITE whose user said nothing for kTryingAfter
    bool pass = false;     // the ACK of a 2xx goes to the user
    bool timeout = false;  // H: no ACK came
    bool failed = false;   // the transport's error
    friend constexpr bool operator==(const Does&, const Does&) = default;
  };

  // The request came at `now`, and is the user's from then on.
  ServerTransaction(bool invite, bool reliable, const TransactionTimers& timers,
                    Micros now);
  // The same request again.
  Does OnRequest(Micros now);
  // Of a failure it ends here; of a 2xx (kAccepted) it is passed.
  Does OnAck(Micros now);
  // The user's answer. send is false for what the state does not allow: 1xx
  // behind a final one, a second final one, what is not 100 to 699. A repeated
  // (or another) 2xx is allowed in kAccepted (RFC 6026 8.7).
  Does Respond(int status, Micros now);
  // Like the client's.
  Does OnTime(Micros now);
  // A response could not be sent. INVITE: the state stays, so that repeats are
  // not taken for new calls (RFC 6026 7.1); others end (17.2.4). Our users do
  // nothing about either: who has answered waits for an ACK of his own.
  Does OnTransportError(Micros now);
  Micros due() const;
  State state() const { return state_; }

 private:
  void Terminate();

  TransactionTimers timers_;
  Micros again_ = kNeverDue;  // the 100; then G
  Micros end_ = kNeverDue;    // H, I, J, L
  Micros interval_{};         // that again_ was set with
  bool invite_, reliable_;
  bool answered_ = false;  // there is a last response
  State state_;
};

// What a user agent sends again, by any transport, until the other end says
// that it has it:
//
//   kFinal        2xx to INVITE    until its ACK (RFC 3261 13.3.1.4):
//                                  after T1, then twice that, up to T2
//   kProvisional  a reliable 1xx   until its PRACK (RFC 3262 3):
//                                  after T1, then twice that, without end
//
// and which after 64 * T1 it gives up: then it is to send BYE, or a 5xx to the
// INVITE.
class Repeater {
 public:
  enum class Kind : uint8_t { kFinal, kProvisional };
  struct Does {
    bool send = false;  // the response again
    bool give_up = false;
    friend constexpr bool operator==(const Does&, const Does&) = default;
  };
  // The response was sent at `now`.
  Repeater(Kind kind, const TransactionTimers& timers, Micros now);
  // Late it sends once. After give_up there is nothing more.
  Does OnTime(Micros now);
  // The ACK or PRACK came: nothing more.
  void Acknowledged();
  Micros due() const { return again_ < end_ ? again_ : end_; }
  bool done() const { return end_ == kNeverDue; }

 private:
  Micros again_, end_, interval_;
  Micros interval_max_;
};

}  // namespace sluice::sip

#endif  // SLUICE_SIP_TRANSACTION_H_
