#ifndef SLUICE_SIP_ROUTER_H_
#define SLUICE_SIP_ROUTER_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/inlined_vector.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "base/address.h"
#include "sip/leg.h"
#include "sip/resolver.h"
#include "sip/uri.h"

namespace sluice::sip {

// From a URI to places and the legs from which they are reached.
//
// Where, the first that says something: domain2proxy (exact, "*.parent" going
// up, "*"), the outgoing proxy of the leg, maddr, the host, by DNS if it is a
// name (RFC 3263).
//
// Leg, the first that says something: who was named (a token, a Route of ours,
// a binding), the leg that serves the domain, the leg whose address the
// system's routes would send from.
//
// Thread: control only. Borrows all it is given.
class Router {
 public:
  struct Options {
    std::vector<std::string> domains{};  // ours, besides those of the legs
    // Domain -> "sip:proxy:port".
    std::vector<std::pair<std::string, std::string>> domain2proxy{};
    // Where requests may be sent to (security M5, P16). Null: anywhere but to
    // what is no host's address.
    std::function<bool(const Endpoint&)> allowed{};
  };
  struct Way {
    Leg* leg = nullptr;
    Destination destination{};
  };
  // NotFound, DeadlineExceeded (DNS), Unavailable (no leg reaches it),
  // PermissionDenied (forbidden target), AlreadyExists (it is ourselves).
  using Ways = absl::StatusOr<absl::InlinedVector<Way, 1>>;
  using Found = std::function<void(Ways)>;

  Router(Legs& legs, Resolver* resolver, Options options);

  // Another one of ours, lower case.
  void AddDomain(std::string domain);
  bool IsOurDomain(std::string_view host) const;
  // The leg that serves the domain best, or null.
  Leg* LegOfDomain(std::string_view host) const;
  // `uri` is the next hop. What Find() would say at once; nullopt when DNS has
  // to be asked.
  std::optional<Ways> FindNow(const Uri& uri, Leg* leg);
  // `found` is called once, perhaps before this returns. `dialog`: what the
  // requests have in common that shall go the same way where DNS leaves a
  // choice (RFC 3263 4.3).
  void Find(const Uri& uri, Leg* leg, std::string_view dialog,
            const Found& found);
  // Ways to known addresses; takes what is in them.
  Ways Reach(absl::Span<Destination> destinations, Leg* leg);

 private:
  // What stands in for the URI: views into it, or into what was configured.
  struct Hop {
    std::string_view host;  // without brackets
    std::string_view domain;
    uint16_t port = 0;
    bool sips = false;
    std::optional<Transport> transport{};
  };
  Hop HopOf(const Uri& uri, const Leg* leg) const;
  Ways ReachLiteral(const Hop& hop, const IpAddress& ip, Leg* leg);
  bool IsOurselves(const Endpoint& to);
  // The address that the system would send from.
  std::optional<IpAddress> SourceFor(const Endpoint& to);

  Legs& legs_;
  Resolver* resolver_;
  Options options_;
  struct Proxied {
    std::string_view domain;
    Uri proxy{};
  };
  std::vector<Proxied> proxied_;  // views into options_
  // Routes change seldom, and a wrong guess is only a less good leg: kept for
  // kSourcesMax addresses, then forgotten all at once.
  static constexpr size_t kSourcesMax = 4'096;
  absl::flat_hash_map<IpAddress, IpAddress> sources_;
};

}  // namespace sluice::sip

#endif  // SLUICE_SIP_ROUTER_H_
