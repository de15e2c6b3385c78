#ifndef SLUICE_SIP_LEG_H_
#define SLUICE_SIP_LEG_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/address.h"
#include "sip/message.h"
#include "sip/settings.h"
#include "sip/transport.h"
#include "sip/uri.h"

namespace sluice::sip {

// One local SIP address set, as configured and as bound.
//
// Thread: control only. Everything but `sockets` is fixed after start.
struct Leg {
  struct Address {  // one a transport and family, as configured
    Transport transport = Transport::kUdp;
    Endpoint bound{};
    // What Via, Contact and Record-Route say: advertised, else bound. The port
    // is left out of texts when it is the transport's default.
    std::string host;  // IPv6 with its brackets
    uint16_t port = 0;
  };
  struct Prefix {  // digits in front of the user part -> domain
    std::string digits;
    std::string domain;
  };

  uint8_t index = 0;  // in Legs, also in branches and tokens
  std::string name;
  std::vector<Address> addresses{};
  std::vector<std::string> domains{};  // lower case; "*.example.com", "*"
  std::optional<Uri> outgoing_proxy{};
  std::string outgoing_proxy_text{};  // what outgoing_proxy views
  std::vector<Prefix> prefixes{};     // longest first
  IpAddress media{};  // the relay's address facing this leg's parties
  using Anchor = sip::Anchor;
  Anchor anchor = Anchor::kCrossLeg;
  bool trusted = false;  // its parties may call anybody
  std::unique_ptr<LegTransport> sockets{};

  // The address that speaks with peers of that family by `transport`; one of
  // the other family where there is no better one, null where there is none.
  const Address* Find(Transport transport, bool v4) const;
  // Which of ours host[:port] of a URI or Via names, of several the one with
  // that transport; null: none.
  const Address* Own(std::string_view host, uint16_t port,
                     Transport transport) const;
  bool Is(std::string_view host, uint16_t port) const {
    return Own(host, port, Transport::kUdp) != nullptr;
  }
};
using Legs = std::vector<std::unique_ptr<Leg>>;

// Whether, and how well, a name fits a pattern of a domain: the exact name
// best, then "*.parent", the longer the better, 1 for "*"; 0 not at all.
size_t FitOfDomain(std::string_view pattern, std::string_view host);
// The best fit of several patterns.
size_t MatchDomain(const std::vector<std::string>& domains,
                   std::string_view host);

}  // namespace sluice::sip

#endif  // SLUICE_SIP_LEG_H_
