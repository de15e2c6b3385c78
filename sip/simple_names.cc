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
    if (rest.starts_with('[') && rest.ends_with(']')) {
      rest = rest.substr(1, rest.size() - 2);
    }
    const auto ip = IpAddress::Parse(rest);
    if (ip) {
      return std::pair(
          transport, Endpoint{.ip = *ip,
                              .port = Port::FromHost(
                                  transport == Transport::kTls ? 5061 : 5060)});
    }
  } else if (const auto uri = Uri::Parse(rest)) {
    std::optional<Transport> named = Transport::kUdp;
    if (const auto parameter = uri->Param("transport")) {
      named = TransportOf(*parameter);
    } else if (uri->scheme == Uri::Scheme::kSips) {
      named = Transport::kTls;
    }
    const auto ip = uri->ip();
    if (named && ip) {
      int port = uri->port;
      if (port == 0) port = named == Transport::kTls ? 5061 : 5060;
      return std::pair(
          *named,
          Endpoint{.ip = *ip,
                   .port = Port::FromHost(static_cast<uint16_t>(port))});
    }
  }
  return absl::InvalidArgumentError(
      Cat("a leg listens on an address, \"udp:192.0.2.1:5060\" or "
          "\"sip:192.0.2.1:5060;transport=tcp\"; \"",
          text, "\" is none"));
}

absl::Status CheckText(std::string_view what, std::string_view text) {
  for (const char c : text) {
    if (static_cast<uint8_t>(c) >= ' ' && c != 0x7f) continue;
    return absl::InvalidArgumentError(
        Cat(what,
            " has a control character: it could end the line of its "
            "header field and begin another"));
  }
  return absl::OkStatus();
}

absl::Status CheckContact(std::string_view uri) {
  RETURN_IF_ERROR(CheckText("contact", uri));
  if (uri.empty() || IsSipUri(uri)) return absl::OkStatus();
  return absl::InvalidArgumentError(
      Cat("contact: \"", uri, "\" is no SIP URI: write sip:user@host"));
}

absl::Status CheckRoutes(const std::vector<std::string>& routes) {
  for (const std::string& route : routes) {
    RETURN_IF_ERROR(CheckText("route", route));
    if (IsSipUri(UriOfRoute(route))) continue;
    return absl::InvalidArgumentError(
        Cat("route: \"", route, "\" is none: write <sip:proxy;lr>"));
  }
  return absl::OkStatus();
}

absl::StatusOr<Party> PartyOf(std::string_view text, std::string_view domain) {
  RETURN_IF_ERROR(CheckText("a party's name", text));
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
  // A tag is made by us.
  Party party{.value = WithoutTag(*value),
              .uri = std::string(WithoutHeaders(value->uri)),
              .user = std::string(value->uri.user)};
  if (!value->uri.headers.empty()) party.value = Cat("<", party.uri, ">");
  return party;
}

}  // namespace sluice::sip
