#include "sip/router.h"

#include <algorithm>
#include <utility>

#include "absl/status/status.h"
#include "base/net/socket.h"
#include "sip/host.h"

namespace sluice::sip {
namespace {

// What no request is ever sent to.
bool IsNobody(const Endpoint& to) {
  return to.port == Port() || to.ip.is_any() || to.ip.is_multicast() ||
         to.ip.is_reserved();
}

std::string_view WithoutBrackets(std::string_view host) {
  if (host.size() > 2 && host.front() == '[' && host.back() == ']') {
    host = host.substr(1, host.size() - 2);
  }
  return host;
}

// The same in each run, as the draws that go by it are to be.
uint64_t NumberOf(std::string_view text) {
  uint64_t number = 0xcbf29ce484222325;  // FNV-1a
  for (const char c : text) {
    number = (number ^ static_cast<uint8_t>(c)) * 0x100000001b3;
  }
  return number | 1;  // 0 would be chance
}

}  // namespace

Router::Router(Legs& legs, Resolver* resolver, Options options)
    : legs_(legs), resolver_(resolver), options_(std::move(options)) {
  for (const auto& [domain, to] : options_.domain2proxy) {
    if (const auto proxy = Uri::Parse(to); proxy && proxy->is_sip()) {
      proxied_.push_back({.domain = domain, .proxy = *proxy});
    }
  }
}

void Router::AddDomain(std::string domain) {
  options_.domains.push_back(std::move(domain));
}

bool Router::IsOurDomain(std::string_view host) const {
  if (MatchDomain(options_.domains, host) > 0) return true;
  return LegOfDomain(host) != nullptr;
}

Leg* Router::LegOfDomain(std::string_view host) const {
  Leg* best = nullptr;
  size_t fit = 0;
  for (const auto& leg : legs_) {
    const size_t f = MatchDomain(leg->domains, host);
    if (f > fit) {
      fit = f;
      best = leg.get();
    }
  }
  return best;
}

Router::Hop Router::HopOf(const Uri& uri, const Leg* leg) const {
  const Uri* target = &uri;
  size_t fit = 0;
  for (const Proxied& p : proxied_) {
    const size_t f = FitOfDomain(p.domain, uri.host);
    if (f > fit) {
      fit = f;
      target = &p.proxy;
    }
  }
  if (fit == 0 && leg != nullptr && leg->outgoing_proxy) {
    target = &*leg->outgoing_proxy;
  }
  Hop hop{
      .host = WithoutBrackets(target->Param("maddr").value_or(target->host)),
      .domain = target->host,
      .port = target->port,
      .sips = target->scheme == Uri::Scheme::kSips};
  if (const auto name = target->Param("transport")) {
    hop.transport = TransportOf(*name);
  }
  return hop;
}

Router::Ways Router::ReachLiteral(const Hop& hop, const IpAddress& ip,
                                  Leg* leg) {
  // RFC 3263 4.1: a literal without a transport is UDP, TLS for sips.
  Destination to{.transport = hop.sips
                                  ? Transport::kTls
                                  : hop.transport.value_or(Transport::kUdp)};
  const uint16_t port = hop.port != 0
                            ? hop.port
                            : (to.transport == Transport::kTls ? 5061 : 5060);
  to.address = {.ip = ip, .port = Port::FromHost(port)};
  // A certificate names a domain, or else the address.
  if (to.transport == Transport::kTls && !IpOfHost(hop.domain)) {
    to.tls_name = std::string(hop.domain);
  }
  Ways ways = Reach({&to, 1}, leg);
  // A leg that cannot speak UDP may reach it by TCP.
  if (absl::IsUnavailable(ways.status()) && !hop.sips && !hop.transport) {
    to.transport = Transport::kTcp;
    return Reach({&to, 1}, leg);
  }
  return ways;
}

std::optional<Router::Ways> Router::FindNow(const Uri& uri, Leg* leg) {
  if (leg == nullptr) leg = LegOfDomain(uri.host);
  const Hop hop = HopOf(uri, leg);
  if (const auto ip = IpAddress::Parse(hop.host)) {
    return ReachLiteral(hop, *ip, leg);
  }
  if (resolver_ == nullptr) {
    return absl::NotFoundError("names are not resolved here");
  }
  return std::nullopt;
}

void Router::Find(const Uri& uri, Leg* leg, std::string_view dialog,
                  const Found& found) {
  if (auto ways = FindNow(uri, leg)) return found(*std::move(ways));
  if (leg == nullptr) leg = LegOfDomain(uri.host);
  const Hop hop = HopOf(uri, leg);
  Resolver::Question question{.host = std::string(hop.host),
                              .port = hop.port,
                              .sips = hop.sips,
                              .transport = hop.transport,
                              .ipv4 = false,
                              .ipv6 = false,
                              .draw = NumberOf(dialog)};
  for (const auto& l : legs_) {
    if (leg != nullptr && l.get() != leg) continue;
    for (const Leg::Address& a : l->addresses) {
      (a.bound.ip.is_v4() ? question.ipv4 : question.ipv6) = true;
      if (std::find(question.allowed.begin(), question.allowed.end(),
                    a.transport) == question.allowed.end()) {
        question.allowed.push_back(a.transport);
      }
    }
  }
  resolver_->Resolve(
      question,
      [this, leg, found](absl::StatusOr<std::vector<Destination>> to) {
        if (!to.ok()) return found(to.status());
        found(Reach(absl::MakeSpan(*to), leg));
      });
}

Router::Ways Router::Reach(absl::Span<Destination> destinations, Leg* leg) {
  absl::InlinedVector<Way, 1> ways;
  absl::Status why;
  for (Destination& to : destinations) {
    if (IsNobody(to.address) ||
        (options_.allowed && !options_.allowed(to.address))) {
      why = absl::PermissionDeniedError("a forbidden address");
      continue;
    }
    if (IsOurselves(to.address)) {
      why = absl::AlreadyExistsError("that is ourselves");
      continue;
    }
    const bool v4 = to.address.ip.is_v4();
    Leg* chosen = nullptr;
    int candidates = 0;
    for (const auto& l : legs_) {
      if (leg != nullptr && l.get() != leg) continue;
      const Leg::Address* a = l->Find(to.transport, v4);
      if (a == nullptr || a->bound.ip.is_v4() != v4) continue;
      ++candidates;
      if (chosen == nullptr) chosen = l.get();
    }
    if (candidates > 1) {
      if (const auto source = SourceFor(to.address)) {
        for (const auto& l : legs_) {
          const Leg::Address* a = l->Find(to.transport, v4);
          if (a != nullptr && a->bound.ip == *source) {
            chosen = l.get();
            break;
          }
        }
      }
    }
    if (chosen != nullptr) {
      ways.push_back({.leg = chosen, .destination = std::move(to)});
    }
  }
  if (!ways.empty()) return ways;
  return why.ok() ? absl::UnavailableError("no leg reaches it") : why;
}

bool Router::IsOurselves(const Endpoint& to) {
  for (const auto& leg : legs_) {
    for (const Leg::Address& own : leg->addresses) {
      if (own.bound.port != to.port) continue;
      if (own.bound.ip == to.ip) return true;
      // Bound to all addresses: an address of this machine is sent to from
      // itself.
      if (own.bound.ip.is_any() && SourceFor(to) == to.ip) return true;
    }
  }
  return false;
}

std::optional<IpAddress> Router::SourceFor(const Endpoint& to) {
  if (const auto it = sources_.find(to.ip); it != sources_.end()) {
    return it->second;
  }
  const auto source = net::SourceTowards(to);
  if (!source.ok()) return std::nullopt;
  if (sources_.size() >= kSourcesMax) sources_.clear();
  sources_.emplace(to.ip, *source);
  return *source;
}

}  // namespace sluice::sip
