#include "sip/fields.h"

#include "base/text.h"
#include "sip/cursor.h"
#include "sip/host.h"
#include "sip/message.h"

namespace sluice::sip {
namespace {

// gen-value is a token, a host or a quoted string (RFC 3261 25.1). Taken more
// widely, as tags like "ab==" and bare URIs are about; what could end a value
// cannot be inside one.
constexpr CharSet kValue = kVisible.Without("\",;<>\\");
// Credentials of other schemes, "QWxhZGRpbg==", are no list of these.
constexpr CharSet kAuthValue = kValue.Without("=");
// A display name without quotes is tokens. "J. (Sales)" and unescaped UTF-8 are
// about too, and the '<' behind says where they end.
constexpr CharSet kDisplay =
    (kVisible | kHighOctets | kLws).Without("\",;:<>\\");
constexpr CharSet kBareUri = kVisible.Without("\",;<>?");

constexpr std::string_view kTransportNames[] = {"UDP", "TCP", "TLS"};

// Quoted or bare; "" for neither.
std::string_view TakeValue(Cursor* c, const CharSet& bare) {
  if (c->At('"')) return c->TakeQuoted().value_or(std::string_view());
  return c->TakeWhile(bare);
}

}  // namespace

bool Params::Next(std::string_view* rest, std::string_view* name,
                  std::string_view* value) {
  Cursor c(*rest);
  if (!c.TakeChar(';')) return false;
  c.SkipLws();
  *name = c.TakeWhile(kToken);
  if (name->empty()) return false;
  *value = {};
  c.SkipLws();
  if (c.TakeChar('=')) {
    c.SkipLws();
    *value = TakeValue(&c, kValue);
    if (value->empty()) return false;
    c.SkipLws();
  }
  *rest = c.rest();
  return true;
}

std::optional<std::string_view> Params::Get(std::string_view wanted) const {
  std::string_view rest = text_, name, value;
  while (Next(&rest, &name, &value)) {
    if (EqualsNoCase(name, wanted)) return value;
  }
  return std::nullopt;
}

std::string Unquote(std::string_view text) {
  if (text.size() < 2 || text.front() != '"' || text.back() != '"') {
    return std::string(text);
  }
  std::string out;
  out.reserve(text.size());
  const std::string_view inside = text.substr(1, text.size() - 2);
  for (size_t i = 0; i < inside.size(); ++i) {
    if (inside[i] == '\\' && i + 1 < inside.size()) ++i;
    out += inside[i];
  }
  return out;
}

std::string Quote(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\' || static_cast<uint8_t>(c) < ' ') out += '\\';
    out += c;
  }
  out += '"';
  return out;
}

uint16_t Qvalue(std::string_view q) {
  if (q.empty() || q[0] != '0' || (q.size() > 1 && q[1] != '.')) return 1000;
  uint16_t value = 0, unit = 100;
  for (size_t i = 2; i < q.size() && i < 5; ++i, unit /= 10) {
    if (q[i] < '0' || q[i] > '9') return 1000;
    value = static_cast<uint16_t>(value + (q[i] - '0') * unit);
  }
  return value;
}

std::string_view NameOf(Transport transport) {
  return kTransportNames[static_cast<size_t>(transport)];
}

std::optional<Transport> TransportOf(std::string_view name) {
  for (const Transport t :
       {Transport::kUdp, Transport::kTcp, Transport::kTls}) {
    if (EqualsNoCase(name, NameOf(t))) return t;
  }
  return std::nullopt;
}

std::optional<Via> Via::Parse(std::string_view text) {
  Via via;
  via.text = text;
  Cursor c(text);
  c.SkipLws();
  const std::string_view start = c.rest();
  if (c.TakeWhile(kToken).empty()) return std::nullopt;
  c.SkipLws();
  if (!c.TakeChar('/')) return std::nullopt;
  c.SkipLws();
  if (c.TakeWhile(kToken).empty()) return std::nullopt;
  via.protocol = c.Since(start);
  c.SkipLws();
  if (!c.TakeChar('/')) return std::nullopt;
  c.SkipLws();
  via.transport = c.TakeWhile(kToken);
  if (via.transport.empty() || !c.SkipLws()) return std::nullopt;

  via.host = TakeHost(&c);
  if (via.host.empty()) return std::nullopt;
  c.SkipLws();
  if (c.TakeChar(':')) {
    c.SkipLws();
    via.port = TakePort(&c);
    if (via.port == 0) return std::nullopt;
    c.SkipLws();
  }
  bool has_branch = false;
  const auto params = Params::Parse(
      c.rest(), [&](std::string_view name, std::string_view value) {
        const auto first = [&](std::optional<std::string_view>& of) {
          if (!of) of = value;
        };
        switch (Lower(name.front())) {
          case 'b':
            if (!has_branch && EqualsNoCase(name, "branch")) {
              has_branch = true;
              via.branch = value;
            }
            break;
          case 'm':
            if (EqualsNoCase(name, "maddr")) first(via.maddr);
            break;
          case 'r':
            if (EqualsNoCase(name, "received")) first(via.received);
            if (EqualsNoCase(name, "rport")) first(via.rport);
            break;
          default: break;
        }
      });
  if (!params) return std::nullopt;
  via.params = *params;
  return via;
}

std::optional<Endpoint> Via::ResponseAddress() const {
  std::optional<IpAddress> ip;
  if (received) {
    ip = received->starts_with('[') ? IpOfHost(*received)
                                    : IpAddress::Parse(*received);
  } else {
    ip = IpOfHost(host);
  }
  if (!ip) return std::nullopt;
  Port to = port_or_default();
  if (rport && !rport->empty()) {
    const auto number = ParseNumber(*rport, UINT16_MAX);
    if (!number || *number == 0) return std::nullopt;
    to = Port::FromHost(static_cast<uint16_t>(*number));
  }
  return Endpoint{*ip, to};
}

std::optional<NameAddr> NameAddr::Parse(std::string_view text) {
  NameAddr name;
  name.text = text;
  Cursor c(text);
  c.SkipLws();
  if (const auto quoted = c.TakeQuoted()) {
    name.display = *quoted;
    c.SkipLws();
    if (!c.At('<')) return std::nullopt;
  } else {
    Cursor ahead = c;
    const std::string_view words = ahead.TakeWhile(kDisplay);
    if (ahead.At('<')) {
      name.display = Trim(words);
      c = ahead;
    }
  }
  if (c.TakeChar('<')) {
    name.brackets = true;
    const size_t end = c.rest().find('>');
    if (end == std::string_view::npos) return std::nullopt;
    name.uri_text = c.Take(end);
    c.TakeChar('>');
  } else {
    name.uri_text = c.TakeWhile(kBareUri);
  }
  const auto uri = Uri::Parse(name.uri_text);
  if (!uri) return std::nullopt;
  name.uri = *uri;
  c.SkipLws();
  bool has_tag = false;
  const auto params = Params::Parse(
      c.rest(), [&](std::string_view key, std::string_view value) {
        if (has_tag || !EqualsNoCase(key, "tag")) return;
        has_tag = true;
        name.tag = value;
      });
  if (!params) return std::nullopt;
  name.params = *params;
  return name;
}

std::optional<CSeq> CSeq::Parse(std::string_view text) {
  Cursor c(text);
  c.SkipLws();
  const auto number = ParseNumber(c.TakeWhile(kDigit), kCSeqMax);
  if (!number || !c.SkipLws()) return std::nullopt;
  CSeq cseq;
  cseq.number = static_cast<uint32_t>(*number);
  cseq.method = c.TakeWhile(kToken);
  c.SkipLws();
  if (cseq.method.empty() || !c.done()) return std::nullopt;
  return cseq;
}

std::optional<uint64_t> ParseNumber(std::string_view text, uint64_t max) {
  if (text.empty()) return std::nullopt;
  uint64_t number = 0;
  for (const char c : text) {
    if (!kDigit.Has(c)) return std::nullopt;
    const auto digit = static_cast<uint64_t>(c - '0');
    if (digit > max || number > (max - digit) / 10) return std::nullopt;
    number = number * 10 + digit;
  }
  return number;
}

std::optional<MediaType> MediaType::Parse(std::string_view text) {
  MediaType media;
  Cursor c(text);
  c.SkipLws();
  media.type = c.TakeWhile(kToken);
  c.SkipLws();
  if (media.type.empty() || !c.TakeChar('/')) return std::nullopt;
  c.SkipLws();
  media.subtype = c.TakeWhile(kToken);
  if (media.subtype.empty()) return std::nullopt;
  c.SkipLws();
  const auto params = Params::Parse(c.rest());
  if (!params) return std::nullopt;
  media.params = *params;
  return media;
}

bool MediaType::Is(std::string_view wanted, std::string_view sub) const {
  return EqualsNoCase(type, wanted) && EqualsNoCase(subtype, sub);
}

namespace {

// Takes the next name=value; false at the end, and for what is none.
bool NextAuthParam(Cursor* c, std::string_view* name, std::string_view* value) {
  c->SkipLws();
  *name = c->TakeWhile(kToken);
  c->SkipLws();
  if (name->empty() || !c->TakeChar('=')) return false;
  c->SkipLws();
  *value = TakeValue(c, kAuthValue);
  if (value->empty()) return false;
  c->SkipLws();
  return true;
}

}  // namespace

std::optional<AuthValue> AuthValue::Parse(std::string_view text) {
  AuthValue auth;
  Cursor c(text);
  c.SkipLws();
  auth.scheme = c.TakeWhile(kToken);
  if (auth.scheme.empty() || !c.SkipLws()) return std::nullopt;
  auth.text = c.rest();
  std::array<std::string_view, kParamsMax> names;
  size_t count = 0;
  std::string_view name, value;
  do {
    if (count == names.size() || !NextAuthParam(&c, &name, &value)) {
      return std::nullopt;
    }
    for (size_t i = 0; i < count; ++i) {
      if (EqualsNoCase(names[i], name)) return std::nullopt;
    }
    names[count++] = name;
  } while (c.TakeChar(','));
  if (!c.done()) return std::nullopt;
  return auth;
}

std::optional<std::string> AuthValue::Get(std::string_view wanted) const {
  Cursor c(text);
  std::string_view name, value;
  do {
    if (!NextAuthParam(&c, &name, &value)) return std::nullopt;
    if (EqualsNoCase(name, wanted)) return Unquote(value);
  } while (c.TakeChar(','));
  return std::nullopt;
}

}  // namespace sluice::sip
