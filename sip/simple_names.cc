#include "sip/simple_names.h"

#include "absl/status/status.h"
#include "base/status_macros.h"
#include "base/text.h"
#include "sip/dialog.h"
#include "sip/uri.h"

namespace sluice::sip {
namespace {

bool IsSipUri(std::string_view text) {
  const auto uri = Uri::Parse(text);
  return uri && uri->is_sip();
}

bool HasScheme(std::string_view text) {
  const std::string_view head = text.substr(0, text.find(':'));
  return EqualsNoCase(head, "sip") || EqualsNoCase(head, "sips");
}

}  // namespace

std::string ProxyUri(std::string_view text) {
  std::string uri(text);
  if (!HasScheme(text)) {
    // An IPv6 address by itself, as people write it.
    const auto ip = IpAddress::Parse(text);
    uri = ip && !ip->is_v4() ? Cat("sip:[", text, "]") : Cat("sip:", text);
  }
  return IsSipUri(uri) ? uri : std::string();
}

absl::StatusOr<std::pair<Transport, Endpoint>> ListenerOf(
    std::string_view text) {
  std::string_view rest = text;
  Transport transport = Transport::kUdp;
  if (!HasScheme(rest)) {
    const size_t colon = rest.find(':');
    if (colon != std::string_view::npos) {
      if (const auto named = TransportOf(rest.substr(0, colon))) {
        transport = *named;
        rest.remove_prefix(colon + 1);
      }
    }
    if (const auto endpoint = Endpoint::Parse(rest)) {
      return std::pair(transport, *endpoint);
    }
    const auto ip = IpAddress::Parse(rest);
    if (ip) {
      return std::pair(
          transport, Endpoint{.ip = *ip,
                              .port = Port::FromHost(
                                  transport == Transport::kTls ? 5061 : 5060)});
    }
  } else if (const auto uri = Uri::Parse(rest)) {
    if (const auto named = uri->Param("transport")) {
      transport = TransportOf(*named).value_or(transport);
    } else if (uri->scheme == Uri::Scheme::kSips) {
      transport = Transport::kTls;
    }
    if (const auto ip = uri->ip()) {
      return std::pair(
          transport,
          Endpoint{.ip = *ip, .port = Port::FromHost(uri->port_or_default())});
    }
  }
  return absl::InvalidArgumentError(
      Cat("a leg listens on an address, \"udp:192.0.2.1:5060\" or "
          "\"sip:192.0.2.1:5060;transport=tcp\"; \"",
          text, "\" is none"));
}

absl::StatusOr<Party> PartyOf(std::string_view text, std::string_view domain) {
  std::string whole(text);
  if (text.find('<') == std::string_view::npos) {
    if (!HasScheme(text)) {
      if (text.find('@') == std::string_view::npos) {
        whole = Cat("sip:", EscapeUser(text), "@", domain);
      } else {
        whole = Cat("sip:", text);
      }
    }
    whole = Cat("<", whole, ">");
  }
  const auto value = NameAddr::Parse(whole);
  if (text.empty() || !value || !value->uri.is_sip()) {
    return absl::InvalidArgumentError(
        Cat("\"", text, "\" names nobody: write \"sip:user@host\"",
            domain.empty() ? ", or set a domain" : ""));
  }
  // Header fields of a URI would become ours (19.1.5); a tag is made by us.
  Party party{
      .value = WithoutTag(*value),
      .uri = std::string(value->uri_text.substr(0, value->uri_text.find('?'))),
      .user = std::string(value->uri.user)};
  if (value->uri_text.size() != party.uri.size()) {
    party.value = Cat("<", party.uri, ">");
  }
  return party;
}

}  // namespace sluice::sip
