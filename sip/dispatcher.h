#ifndef SLUICE_SIP_DISPATCHER_H_
#define SLUICE_SIP_DISPATCHER_H_

#include <array>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/container/inlined_vector.h"
#include "base/types.h"
#include "sip/fields.h"
#include "sip/handler.h"
#include "sip/keys.h"
#include "sip/leg.h"
#include "sip/message.h"
#include "sip/receive_chain.h"
#include "sip/resolver.h"

namespace sluice::sip {

// Why a message went nowhere.
enum class SipDrop : uint8_t {
#define SIP_COUNTER(name, help)
#define SIP_DROP(name, help) k_##name,
#include "sip/counters.def"
#undef SIP_COUNTER
#undef SIP_DROP
};
inline constexpr size_t kSipDrops = 0
#define SIP_COUNTER(name, help)
#define SIP_DROP(name, help) +1
#include "sip/counters.def"
#undef SIP_COUNTER
#undef SIP_DROP
    ;

// What the SIP side counts. Written and read on the control thread.
//
// Law: requests_in + responses_in = forwarded + replies + drops, once nothing
// waits for a name or a relay.
struct SipCounters {
#define SIP_COUNTER(name, help) uint64_t name = 0;
#define SIP_DROP(name, help)
#include "sip/counters.def"
#undef SIP_COUNTER
#undef SIP_DROP
  std::array<uint64_t, kSipDrops> drops{};
  std::array<uint64_t, 16> requests_by_method{};  // by Method
  std::array<uint64_t, 7> replies_by_class{};     // [4]: 4xx
};

// What is seen of a message on its way, for the operator's trace.
struct SipTrace {
  bool in = false;
  const Leg& leg;
  const Peer& peer;
  std::string_view octets;
  std::string_view call_id;
};

// Between the legs and the chains: parses what comes, answers what is no SIP
// fit to go on, hands the rest to the chain of its leg, and sends.
//
//   LegTransport --octets--> Dispatcher --Incoming--> chain of the leg
//        ^                                                  |
//        +------------------ SendRequest / SendResponse / Reply
//
// Thread: control only. Borrows legs and keys.
class Dispatcher final {
 public:
  using TraceSink = std::function<void(const SipTrace&)>;

  Dispatcher(Legs& legs, const Keys& keys, std::function<Micros()> clock);

  // The chain of a leg, in order. Handlers outlive this.
  void SetChain(const Leg& leg, std::vector<Handler*> chain);
  void SetTrace(TraceSink sink) { trace_ = std::move(sink); }

  // What a leg's transport received.
  void OnMessage(Leg& leg, const Peer& from, std::string_view octets);

  // Answers a request by where it came from. Never answers an ACK. `extra`:
  // whole header lines, each with CRLF; the last ones are left out where the
  // answer would be long beyond what a source that may be forged can be sent
  // (security P9).
  void Reply(const Incoming& in, int code, std::string_view reason,
             std::string_view extra = {});
  // What of a request it takes to answer it when the request itself is gone.
  struct Owed {
    Leg* leg = nullptr;
    Peer to{};
    std::string headers{};  // of the answer, as ReplyHeaders makes them
    std::string call_id{};
    std::string transaction{};  // "" by UDP
    size_t octets_max = SIZE_MAX;
  };
  // `to_tag`: where the request has none. REQUIRES: not an ACK.
  Owed Owe(const Incoming& in, std::string_view to_tag) const;
  Owed Owe(const Incoming& in) const;  // with TagOf (sip/reply.h)
  void Reply(const Owed& owed, int code, std::string_view reason,
             std::string_view extra = {});
  // A whole response, whatever its length.
  void Send(const Owed& owed, std::string octets, int code);
  // The next of `hops` is tried when one refuses (a connection that cannot be
  // made, a datagram that the kernel does not take); nobody hears whether a
  // datagram arrived. `failed`, if none took it: before this returns when all
  // are UDP. Counted as forwarded here, once.
  struct Hop {
    Leg* leg = nullptr;
    Destination destination{};
    uint64_t connection = 0;
    std::string octets{};  // Via and Record-Route name the leg: one text a hop
  };
  using Hops = absl::InlinedVector<Hop, 1>;
  void SendRequest(Hops hops, std::string_view call_id,
                   std::function<void()> failed) {
    Try(std::move(hops), 0, call_id, std::move(failed));
  }
  // `in`: the response as it came, with `next` below our Via.
  void SendResponse(Leg& leg, const Peer& to, std::string octets,
                    const Message& in, const Via& next);
  void Drop(SipDrop reason) { ++counters_.drops[static_cast<size_t>(reason)]; }

  Legs& legs() { return legs_; }
  Leg* FindLeg(std::string_view name);
  // The leg that host[:port] names, or null.
  Leg* OwnerOf(std::string_view host, uint16_t port);
  // The same, of several the one whose transport the URI means.
  Leg* OwnerOf(const Uri& uri);
  // Whether a URI is our Record-Route, and the message of the dialog that was
  // set up with it.
  bool IsOurMark(const Uri& uri, const Message& message);
  // Whether a request has a To tag and shows that it goes to the other party of
  // a dialog that was set up through here (security P13): by the leave of our
  // Record-Route for its next hop, or by that one's mark and a token of ours as
  // its target. Neither mark nor token is enough alone.
  bool InDialog(const Message& request);
  // Whether a URI stands for a contact on another leg: nobody's address.
  bool IsToken(const Uri& uri);
  Micros now() const { return clock_(); }
  const SipCounters& counters() const { return counters_; }
  SipCounters& mutable_counters() { return counters_; }

 private:
  void Try(Hops hops, size_t next, std::string_view call_id,
           std::function<void()> failed);
  void OnRequest(Leg& leg, const Peer& from, Refusal refusal);
  void OnResponse(Leg& leg, const Peer& from, Refusal refusal);
  void Trace(bool in, const Leg& leg, const Peer& peer, std::string_view octets,
             std::string_view call_id);

  Legs& legs_;
  const Keys& keys_;
  const ContactTokens tokens_;
  const std::function<Micros()> clock_;
  // By leg index. Shared with a message that is on its way through one: a
  // handler of it may set another.
  std::vector<std::shared_ptr<ReceiveChain>> chains_;
  TraceSink trace_;
  SipCounters counters_;
  Message message_;  // of the turn; large, so made once
};

// What a request and its responses have in common, for finding the connection.
// `via`: the one that the request came with.
std::string TransactionOf(const Message& message, const Via& via);

}  // namespace sluice::sip

#endif  // SLUICE_SIP_DISPATCHER_H_
