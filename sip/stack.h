#ifndef SLUICE_SIP_STACK_H_
#define SLUICE_SIP_STACK_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/net/event_loop.h"
#include "sip/dispatcher.h"
#include "sip/keys.h"
#include "sip/leg.h"
#include "sip/resolver.h"
#include "sip/router.h"
#include "sip/transport.h"

namespace sluice::sip {

// Legs, resolver, router and dispatcher, joined: what the daemon and a user
// agent have in common. Whoever makes it hangs chains into the dispatcher.
//
// Thread: the loop's. Borrows loop and keys. Nothing of it is destroyed in its
// callbacks.
class Stack {
 public:
  struct LegPlan {
    std::unique_ptr<Leg> leg{};  // without index, addresses and sockets
    LegTransport::Options sockets{};
    IpAddress advertise{};  // none: as bound
  };

  // InvalidArgument, or what libraries said. No socket is open yet.
  static absl::StatusOr<std::unique_ptr<Stack>> Create(
      net::EventLoop& loop, const Keys& keys, std::vector<LegPlan> legs,
      Router::Options routes);
  Stack(const Stack&) = delete;
  Stack& operator=(const Stack&) = delete;

  // Binds every leg.
  absl::Status Listen();

  Legs& legs() { return legs_; }
  const Legs& legs() const { return legs_; }
  Resolver& resolver() { return *resolver_; }
  Router& router() { return *router_; }
  Dispatcher& dispatcher() { return *dispatcher_; }
  const Dispatcher& dispatcher() const { return *dispatcher_; }

 private:
  Stack() = default;
  void MakeSockets(net::EventLoop& loop, const Keys& keys, Leg& leg,
                   LegTransport::Options options,
                   const Router::Options& routes);

  // In the order in which they need each other; destroyed the other way round.
  Legs legs_;
  std::vector<IpAddress> advertise_;  // by leg
  std::unique_ptr<Resolver> resolver_;
  std::unique_ptr<Router> router_;
  std::unique_ptr<Dispatcher> dispatcher_;
};

// "udp:192.0.2.1:5060" as the transport and the address. nullopt: it is none.
std::optional<std::pair<Transport, Endpoint>> ParseListener(
    std::string_view text);
// An address as it stands in URIs: IPv6 in brackets.
std::string HostOf(const IpAddress& ip);

}  // namespace sluice::sip

#endif  // SLUICE_SIP_STACK_H_
