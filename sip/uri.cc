#include "sip/uri.h"

#include <algorithm>
#include <vector>

#include "base/text.h"
#include "sip/cursor.h"
#include "sip/host.h"
#include "sip/message.h"

namespace sluice::sip {
namespace {

constexpr CharSet kSchemeTail = kAlnum | CharSet("+-.");
constexpr CharSet kUserStrict = kUnreserved | CharSet("&=+$,;?/");
// Phones dial *21# and leave the # unescaped.
constexpr CharSet kUser = kUserStrict | CharSet("#");
constexpr CharSet kPassword = kUnreserved | CharSet("&=+$,");
constexpr CharSet kParam = kUnreserved | CharSet("[]/:&+$");
constexpr CharSet kHeader = kUnreserved | CharSet("[]/?:+$");
constexpr CharSet kPhone = kHex | CharSet("*#-.()");  // RFC 3966 3
constexpr std::string_view kPhoneSeparators = "-.()";
constexpr CharSet kOpaque = kVisible.Without("\"<>");

// ";name=value;name" up to '?' or the end. False for an empty one, and for too
// many.
bool TakeParams(Cursor* c, std::string_view* params) {
  const std::string_view start = c->rest();
  for (size_t n = 0; c->TakeChar(';'); ++n) {
    if (n == kParamsMax || c->TakeEscaped(kParam).empty()) return false;
    if (c->TakeChar('=') && c->TakeEscaped(kParam).empty()) return false;
  }
  *params = c->Since(start);
  if (!params->empty()) params->remove_prefix(1);
  return true;
}

// "?name=value&name=value" to the end.
bool TakeHeaders(Cursor* c, std::string_view* headers) {
  if (!c->TakeChar('?')) return true;
  const std::string_view start = c->rest();
  size_t n = 0;
  do {
    if (n++ == kParamsMax || c->TakeEscaped(kHeader).empty()) return false;
    if (!c->TakeChar('=')) return false;
    c->TakeEscaped(kHeader);
  } while (c->TakeChar('&'));
  *headers = c->Since(start);
  return true;
}

bool ParseSip(Cursor c, Uri* uri) {
  // No '@' can stand behind the host, so the first one ends the user.
  const size_t at = c.rest().find('@');
  if (at != std::string_view::npos) {
    Cursor user(c.Take(at));
    c.TakeChar('@');
    uri->has_user = true;
    uri->user = user.TakeEscaped(kUser);
    if (uri->user.empty()) return false;
    if (user.TakeChar(':')) uri->password = user.TakeEscaped(kPassword);
    if (!user.done()) return false;
  }
  uri->host = TakeHost(&c);
  if (uri->host.empty()) return false;
  if (c.TakeChar(':') && (uri->port = TakePort(&c)) == 0) return false;
  return TakeParams(&c, &uri->params) && TakeHeaders(&c, &uri->headers) &&
         c.done();
}

bool ParseTel(Cursor c, Uri* uri) {
  const std::string_view start = c.rest();
  c.TakeChar('+');
  if (c.TakeWhile(kPhone).empty()) return false;
  uri->user = c.Since(start);
  uri->has_user = true;
  return TakeParams(&c, &uri->params) && c.done();
}

void AppendEscaped(char c, std::string* out) {
  static constexpr char kDigits[] = "0123456789ABCDEF";
  const auto octet = static_cast<uint8_t>(c);
  *out += '%';
  *out += kDigits[octet >> 4];
  *out += kDigits[octet & 15];
}

// The one spelling of an escaped text: escapes of what needs none are resolved,
// the others are in capitals, and what ought to have been escaped is. Two texts
// are equal by RFC 3261 19.1.4 if and only if these are.
std::string OneSpelling(std::string_view text, const CharSet& plain) {
  std::string out;
  out.reserve(text.size());
  for (size_t i = 0; i < text.size(); ++i) {
    char c = text[i];
    bool keep = plain.Has(c);
    if (c == '%' && text.size() - i >= 3 && HexDigit(text[i + 1]) >= 0 &&
        HexDigit(text[i + 2]) >= 0) {
      c = static_cast<char>(HexDigit(text[i + 1]) << 4 | HexDigit(text[i + 2]));
      keep = kUnreserved.Has(c);
      i += 2;
    }
    if (keep) {
      out += c;
    } else {
      AppendEscaped(c, &out);
    }
  }
  return out;
}

bool SameHost(const Uri& a, const Uri& b) {
  if (EqualsNoCase(a.host, b.host)) return true;
  const auto ip = a.ip();
  return ip && ip == b.ip();
}

// Takes the next of "name=value;name" or "name=value&name=value".
bool NextPair(std::string_view* rest, char separator, std::string_view* name,
              std::string_view* value) {
  if (rest->empty()) return false;
  const std::string_view pair = rest->substr(0, rest->find(separator));
  rest->remove_prefix(std::min(pair.size() + 1, rest->size()));
  const size_t equals = pair.find('=');
  *name = pair.substr(0, equals);
  *value = equals == std::string_view::npos ? std::string_view()
                                            : pair.substr(equals + 1);
  return true;
}

bool SameText(std::string_view a, std::string_view b, const CharSet& plain) {
  return a == b || EqualsNoCase(OneSpelling(a, plain), OneSpelling(b, plain));
}

// What `a` has is in `b` with the same value, or may be missing there (not in a
// tel URI, RFC 3966 4).
bool ParamsAgree(const Uri& a, const Uri& b) {
  std::string_view rest = a.params, name, value;
  while (NextPair(&rest, ';', &name, &value)) {
    const std::string plain_name = Unescape(name);
    // Of a name that comes twice, which is not allowed, the first counts.
    if (a.Param(plain_name)->data() != value.data()) continue;
    const auto other = b.Param(plain_name);
    if (other) {
      if (!SameText(value, *other, kParam)) return false;
      continue;
    }
    if (a.scheme == Uri::Scheme::kTel) return false;
    for (const std::string_view counts :
         {"user", "ttl", "method", "maddr", "transport"}) {
      if (EqualsNoCase(plain_name, counts)) return false;
    }
  }
  return true;
}

bool SameHeaders(std::string_view a, std::string_view b) {
  if (a == b) return true;
  const auto sorted = [](std::string_view rest) {
    std::vector<std::string> pairs;
    std::string_view name, value;
    while (NextPair(&rest, '&', &name, &value)) {
      pairs.push_back(Lower(OneSpelling(name, kHeader)) + '=' +
                      OneSpelling(value, kHeader));
    }
    std::sort(pairs.begin(), pairs.end());
    return pairs;
  };
  return sorted(a) == sorted(b);
}

std::string PhoneDigits(std::string_view number) {
  std::string digits;
  for (const char c : number) {
    if (kPhoneSeparators.find(c) == std::string_view::npos) digits += Lower(c);
  }
  return digits;
}

}  // namespace

std::optional<Uri> Uri::Parse(std::string_view text) {
  if (text.size() > kUriOctetsMax) return std::nullopt;
  Uri uri;
  uri.text = text;
  Cursor c(text);
  if (c.done() || !kAlpha.Has(text.front())) return std::nullopt;
  uri.scheme_text = c.TakeWhile(kSchemeTail);
  if (!c.TakeChar(':')) return std::nullopt;

  bool fine;
  if (EqualsNoCase(uri.scheme_text, "sip")) {
    uri.scheme = Scheme::kSip;
    fine = ParseSip(c, &uri);
  } else if (EqualsNoCase(uri.scheme_text, "sips")) {
    uri.scheme = Scheme::kSips;
    fine = ParseSip(c, &uri);
  } else if (EqualsNoCase(uri.scheme_text, "tel")) {
    uri.scheme = Scheme::kTel;
    fine = ParseTel(c, &uri);
  } else {
    fine = !c.TakeWhile(kOpaque).empty() && c.done();
  }
  if (!fine) return std::nullopt;
  return uri;
}

std::optional<IpAddress> Uri::ip() const { return IpOfHost(host); }

std::optional<std::string_view> Uri::Param(std::string_view wanted) const {
  std::string_view rest = params, name, value;
  while (NextPair(&rest, ';', &name, &value)) {
    if (EqualsNoCase(name, wanted)) return value;
    // %6C%72 is lr (RFC 3261 19.1.4, RFC 4475 3.1.1.3).
    if (name.find('%') != std::string_view::npos &&
        EqualsNoCase(Unescape(name), wanted)) {
      return value;
    }
  }
  return std::nullopt;
}

std::string Unescape(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      out += text[i];
      continue;
    }
    const int high = text.size() - i < 3 ? -1 : HexDigit(text[i + 1]);
    const int low = high < 0 ? -1 : HexDigit(text[i + 2]);
    if (low < 0) return std::string(text);
    out += static_cast<char>(high << 4 | low);
    i += 2;
  }
  return out;
}

std::string EscapeUser(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (const char c : text) {
    if (kUserStrict.Has(c)) {
      out += c;
    } else {
      AppendEscaped(c, &out);
    }
  }
  return out;
}

bool SameUri(const Uri& a, const Uri& b) {
  if (a.scheme != b.scheme) return false;
  if (a.scheme == Uri::Scheme::kOther) return a.text == b.text;
  if (a.scheme == Uri::Scheme::kTel) {
    return PhoneDigits(a.user) == PhoneDigits(b.user) && ParamsAgree(a, b) &&
           ParamsAgree(b, a);
  }
  return a.has_user == b.has_user && a.port == b.port && SameHost(a, b) &&
         OneSpelling(a.user, kUserStrict) == OneSpelling(b.user, kUserStrict) &&
         OneSpelling(a.password, kPassword) ==
             OneSpelling(b.password, kPassword) &&
         ParamsAgree(a, b) && ParamsAgree(b, a) &&
         SameHeaders(a.headers, b.headers);
}

std::string AddressOfRecord(const Uri& uri) {
  if (!uri.is_sip()) return "";
  std::string key = "sip:";
  if (uri.has_user) {
    Append(&key, OneSpelling(uri.user, kUserStrict), "@");
  }
  const auto ip = uri.ip();
  if (!ip) {
    key += Lower(uri.host);
  } else if (ip->is_v4()) {
    key += ip->ToString();
  } else {
    Append(&key, "[", ip->ToString(), "]");
  }
  const uint16_t default_port = uri.scheme == Uri::Scheme::kSips ? 5061 : 5060;
  if (uri.port != 0 && uri.port != default_port) {
    Append(&key, ":", uri.port);
  }
  return key;
}

}  // namespace sluice::sip
