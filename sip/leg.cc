#include "sip/leg.h"

#include <algorithm>

#include "base/text.h"
#include "sip/host.h"

namespace sluice::sip {

const Leg::Address* Leg::Find(Transport transport, bool v4) const {
  const Address* other = nullptr;
  for (const Address& a : addresses) {
    if (a.transport != transport) continue;
    if (a.bound.ip.is_v4() == v4) return &a;
    if (other == nullptr) other = &a;
  }
  return other;
}

const Leg::Address* Leg::Own(std::string_view host, uint16_t port,
                             Transport transport) const {
  const Address* found = nullptr;
  std::optional<IpAddress> ip;
  bool parsed = false;
  for (const Address& a : addresses) {
    const uint16_t standard = a.transport == Transport::kTls ? 5061 : 5060;
    if ((port == 0 ? standard : port) != a.port) continue;
    if (!EqualsNoCase(host, a.host)) {
      // A phone may name the bound address although another is advertised, and
      // write an IPv6 address in its own way.
      if (!parsed) ip = IpOfHost(host);
      parsed = true;
      if (!ip || *ip != a.bound.ip) continue;
    }
    if (a.transport == transport) return &a;
    if (found == nullptr) found = &a;
  }
  return found;
}

size_t FitOfDomain(std::string_view pattern, std::string_view host) {
  if (pattern == "*") return 1;
  if (pattern.size() > 2 && pattern.starts_with("*.")) {
    // "*.example.com" is below example.com, not itself.
    const std::string_view tail = pattern.substr(1);
    return host.size() > tail.size() && EndsWithNoCase(host, tail)
               ? pattern.size()
               : 0;
  }
  return EqualsNoCase(pattern, host) ? kUriOctetsMax + pattern.size() : 0;
}

size_t MatchDomain(const std::vector<std::string>& domains,
                   std::string_view host) {
  size_t best = 0;
  for (const std::string& domain : domains) {
    best = std::max(best, FitOfDomain(domain, host));
  }
  return best;
}

}  // namespace sluice::sip
