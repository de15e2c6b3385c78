#ifndef SLUICE_SIP_FIELDS_H_
#define SLUICE_SIP_FIELDS_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/address.h"
#include "sip/uri.h"

// The insides of header values, as views. Each Parse returns nullopt for what
// the grammar forbids (RFC 3261 25.1), and never looks outside its argument.
namespace sluice::sip {

// ";name=value;name" behind a value. Names without regard to case; a quoted
// value keeps its quotes here.
class Params {
 public:
  Params() = default;
  // `text` begins at the first ';' or is empty. nullopt: an empty parameter,
  // more than kParamsMax, an unterminated quote, junk. visit(name, value) is
  // called for each, before it is known that all are fine.
  static std::optional<Params> Parse(std::string_view text) {
    return Parse(text, [](std::string_view, std::string_view) {});
  }
  template <typename Visit>
  static std::optional<Params> Parse(std::string_view text, Visit&& visit);
  // "" for one without a value; nullopt when it is not there.
  std::optional<std::string_view> Get(std::string_view name) const;
  std::string_view text() const { return text_; }
  // visit(name, value); value "" when there is none.
  template <typename Visit>
  void ForEach(Visit&& visit) const {
    std::string_view rest = text_, name, value;
    while (Next(&rest, &name, &value)) visit(name, value);
  }
  // Takes the next parameter off `rest`, which begins at ';' or is empty.
  // False at the end, and for what is no parameter (then rest is not empty).
  static bool Next(std::string_view* rest, std::string_view* name,
                   std::string_view* value);

 private:
  std::string_view text_;
};
template <typename Visit>
std::optional<Params> Params::Parse(std::string_view text, Visit&& visit) {
  Params params;
  params.text_ = text;
  std::string_view rest = text, name, value;
  for (size_t n = 0; Next(&rest, &name, &value); ++n) {
    if (n == kParamsMax) return std::nullopt;
    visit(name, value);
  }
  if (!rest.empty()) return std::nullopt;
  return params;
}
// "a \"quoted\" one" without quotes and escapes; other text as it is.
std::string Unquote(std::string_view text);
// The other way: quotes, backslashes and control octets get a backslash.
std::string Quote(std::string_view text);
// "0.25" in thousandths (RFC 3261 25.1 qvalue); what is no qvalue counts as 1.
uint16_t Qvalue(std::string_view q);

enum class Transport : uint8_t { kUdp, kTcp, kTls };
std::string_view NameOf(Transport transport);  // "UDP", "TCP", "TLS"
std::optional<Transport> TransportOf(std::string_view name);  // any case

// Via: SIP/2.0/UDP host:port;branch=...;received=...;rport=...
struct Via {
  static constexpr std::string_view kMagic = "z9hG4bK";  // RFC 3261 8.1.1.7

  std::string_view text;
  std::string_view protocol;   // "SIP/2.0" as written, spaces around / allowed
  std::string_view transport;  // as written: may be one that we do not know
  std::string_view host;       // IPv6 with its brackets (without: tolerated in
                               // received only, RFC 5118 4.5)
  uint16_t port = 0;           // 0: none given
  Params params{};
  // Of those, the first of each name; "" for one without a value.
  std::string_view branch;  // "": none
  std::optional<std::string_view> received{}, rport{}, maddr{};

  static std::optional<Via> Parse(std::string_view text);
  // branch has the magic and something behind it.
  bool is_3261() const {
    return branch.size() > kMagic.size() && branch.starts_with(kMagic);
  }
  // Where a response goes by RFC 3261 18.2.2 and RFC 3581 4 when the host is a
  // literal: received, else the host; rport, else the port, else the default of
  // the transport. nullopt: a name, to be resolved, or nonsense.
  std::optional<Endpoint> ResponseAddress() const;
  // The one given, else the default of the transport.
  Port port_or_default() const {
    return Port::FromHost(port != 0 ? port
                          : TransportOf(transport) == Transport::kTls
                              ? uint16_t{5061}
                              : uint16_t{5060});
  }
};

// From, To, Contact, Route, Record-Route, Path: name-addr or addr-spec with
// parameters. Without <> parameters belong to the header, not to the URI, and a
// '?' or ',' is not allowed (RFC 3261 20.10). A display name without quotes may
// have more than tokens, but no comma, semicolon or colon. "*" is none of
// these.
struct NameAddr {
  std::string_view text;
  std::string_view display;  // as written, with its quotes
  std::string_view uri_text;
  Uri uri{};
  Params params{};
  std::string_view tag;  // the first of them; "": none
  bool brackets = false;

  static std::optional<NameAddr> Parse(std::string_view text);
};

// "4711 INVITE". Numbers up to kCSeqMax (RFC 3261 8.1.1.5).
struct CSeq {
  uint32_t number = 0;
  std::string_view method;
  static std::optional<CSeq> Parse(std::string_view text);
};

// Digits only, no sign, no wrap: nullopt above `max`.
std::optional<uint64_t> ParseNumber(std::string_view text, uint64_t max);

// Content-Type: type/subtype;parameters.
struct MediaType {
  std::string_view type, subtype;
  Params params{};
  static std::optional<MediaType> Parse(std::string_view text);
  bool Is(std::string_view type, std::string_view subtype) const;  // any case
};

// Authorization, WWW-Authenticate and their proxy twins (RFC 7616 3.3, 3.4):
// scheme, then name=value or name="value" with commas.
struct AuthValue {
  std::string_view scheme;
  std::string_view text;  // behind the scheme
  // nullopt when the list is broken, names a parameter twice or has more than
  // kParamsMax.
  static std::optional<AuthValue> Parse(std::string_view text);
  // Unquoted; nullopt when it is not there.
  std::optional<std::string> Get(std::string_view name) const;
};

}  // namespace sluice::sip

#endif  // SLUICE_SIP_FIELDS_H_
