#ifndef SLUICE_SIP_HANDLER_H_
#define SLUICE_SIP_HANDLER_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/types.h"
#include "sip/edit.h"
#include "sip/leg.h"
#include "sip/message.h"

namespace sluice::sip {

// A message on its way through a chain of handlers. What came stands in
// `message`; what is to go on differs from it by `edit` and, for a request, by
// `uri`.
struct Incoming {
  Incoming(const Message& m, Leg& l, const Peer& f, Micros n)
      : message(m), leg(l), from(f), now(n), edit(m), uri(m.uri()) {}
  // The same with a copy of the message, for what has to wait.
  Incoming(const Message& copy, const Incoming& in)
      : message(copy),
        leg(in.leg),
        from(in.from),
        now(in.now),
        edit(copy, in.edit),
        uri(in.uri),
        via(in.via),
        target(in.target),
        body_rewritten(in.body_rewritten),
        user(in.user) {}

  const Message& message;
  Leg& leg;
  const Peer from;
  const Micros now;

  Edit edit;
  std::string uri;  // the Request-URI as it is now
  // The top Via as it will be forwarded: with received and rport (RFC 3261
  // 18.2.1, RFC 3581 4).
  std::string via;
  // Set by a registrar that knows where the user is: overrides the way by
  // Request-URI and DNS.
  struct Target {
    std::string leg;  // by name
    std::optional<Peer> peer{};
    std::string path;  // Route values to put on top (RFC 3327)
  };
  std::optional<Target> target{};
  bool body_rewritten = false;  // with ports of the relay
  std::string user;             // who has proved to be whom (digest); "" nobody
};

// One station of a chain (the seeds' ReceiveChain). A chain is a vector of
// them; they are asked in order, and the first to say kMine ends it.
//
// Thread: control only.
class Handler {
 public:
  enum class Handled : uint8_t { kNotMine, kMine };
  virtual ~Handler() = default;
  virtual std::string_view name() const = 0;
  virtual Handled Receive(Incoming& in) = 0;
  struct Number {
    std::string name;  // of a counter; sluice_sip_<handler>_<name>_total
    uint64_t value = 0;
  };
  virtual std::vector<Number> Counters() const { return {}; }
};

}  // namespace sluice::sip

#endif  // SLUICE_SIP_HANDLER_H_
