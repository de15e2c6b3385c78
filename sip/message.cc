#include "sip/message.h"

#include <algorithm>

#include "base/text.h"
#include "sip/cursor.h"
#include "sip/fields.h"
#include "sip/uri.h"

namespace sluice::sip {
namespace {

constexpr uint64_t kMaxForwardsMax = 255;     // RFC 3261 20.22
constexpr uint64_t kExpiresMax = UINT32_MAX;  // RFC 3261 20.19
constexpr int kStatusMin = 100, kStatusMax = 699;
constexpr std::string_view kVersion = "SIP/2.0";

constexpr bool IsControl(char c) {
  return (static_cast<uint8_t>(c) < 0x20 && c != '\t') || c == 0x7f;
}

// Without a branch, so that the compiler looks at many octets at once.
bool HasControl(std::string_view text) {
  uint8_t found = 0;
  for (const char c : text) {
    const auto octet = static_cast<uint8_t>(c);
    found |=
        static_cast<uint8_t>((octet < 0x20 && octet != '\t') || octet == 0x7f);
  }
  return found != 0;
}

// A quoted string may hold any octet but CR and LF behind a backslash (RFC 3261
// 25.1; RFC 4475 3.1.1.2 sends NUL so): nothing of the grammar can be hidden
// there. `value` may have folds.
bool ControlsAreQuoted(std::string_view value) {
  bool quoted = false;
  for (size_t i = 0; i < value.size(); ++i) {
    const char c = value[i];
    if (c == '"') {
      quoted = !quoted;
    } else if (c == '\\' && quoted && i + 1 < value.size() &&
               value[i + 1] != '\r' && value[i + 1] != '\n') {
      ++i;
    } else if (c == '\r') {
      if (i + 1 == value.size() || value[i + 1] != '\n') return false;
    } else if (IsControl(c) && c != '\n') {
      return false;
    }
  }
  return !quoted;
}

// One line of `text`, with its end; "" when no LF comes.
std::string_view LineOf(std::string_view text) {
  const size_t lf = text.find('\n');
  return lf == std::string_view::npos ? std::string_view()
                                      : text.substr(0, lf + 1);
}

std::string_view WithoutEnd(std::string_view line) {
  line.remove_suffix(1);
  if (line.ends_with('\r')) line.remove_suffix(1);
  return line;
}

// "SIP/" digits "." digits, in any case.
bool LooksLikeVersion(std::string_view text) {
  Cursor c(text);
  if (!EqualsNoCase(c.Take(4), "SIP/")) return false;
  if (c.TakeWhile(kDigit).empty() || !c.TakeChar('.')) return false;
  return !c.TakeWhile(kDigit).empty() && c.done();
}

// The first of several refusals is the one that is told.
void Note(Refusal* refusal, int code, const char* reason) {
  if (!*refusal) *refusal = {code, reason};
}

// One or more octets of a set, and nothing else.
bool IsAll(const CharSet& set, std::string_view text) {
  Cursor c(text);
  return !c.TakeWhile(set).empty() && c.done();
}

}  // namespace

Refusal Message::Parse(std::string_view octets) {
  *this = Message();
  while (octets.starts_with('\r') || octets.starts_with('\n')) {
    octets.remove_prefix(1);  // RFC 3261 7.5
  }
  octets_ = octets;
  headers_end_ = octets.data() + octets.size();
  if (octets.size() > kMessageOctetsMax) return {513, "Message Too Large"};
  start_line_ = LineOf(octets);
  if (start_line_.empty()) return {400, "No start line"};

  // All of it is read even when something is wrong, for the sake of an answer.
  Refusal first = ParseStartLine(WithoutEnd(start_line_));
  const auto note = [&first](const Refusal& refusal) {
    if (!first) first = refusal;
  };
  size_t at = start_line_.size();
  note(ParseHeaders(octets, &at));
  note(CheckHeaders());
  note(CheckNumbers());
  note(CheckGrammar());
  note(FindBody(octets, at));
  return first;
}

Refusal Message::ParseStartLine(std::string_view line) {
  const size_t space = line.find(' ');
  const std::string_view word = line.substr(0, space);
  response_ = EqualsNoCase(word.substr(0, 4), "SIP/");
  if (HasControl(line)) return {400, "Control octet in the start line"};
  if (space == std::string_view::npos) return {400, "Bad start line"};
  line.remove_prefix(space + 1);
  if (response_) {
    if (!EqualsNoCase(word, kVersion)) return {505, "Version Not Supported"};
    const std::string_view code = line.substr(0, line.find(' '));
    const auto status = ParseNumber(code, kStatusMax);
    if (code.size() != 3 || !status || *status < kStatusMin) {
      return {400, "Bad status code"};
    }
    status_ = static_cast<int>(*status);
    reason_ = line.substr(std::min(code.size() + 1, line.size()));
    return {};
  }

  Cursor method(word);
  method_text_ = method.TakeWhile(kToken);
  if (method_text_.empty() || !method.done()) {
    method_text_ = {};
    return {400, "Bad method"};
  }
  method_ = MethodOf(method_text_);
  const size_t last = line.rfind(' ');
  if (last == std::string_view::npos) return {400, "Bad request line"};
  const std::string_view version = line.substr(last + 1);
  const std::string_view uri = line.substr(0, last);
  if (!EqualsNoCase(version, kVersion)) {
    if (LooksLikeVersion(version)) return {505, "Version Not Supported"};
    return {400, "Bad request line"};
  }
  if (uri.size() > kUriOctetsMax) return {414, "Request-URI Too Long"};
  parsed_uri_ = Uri::Parse(uri);
  // Headers are not allowed there (RFC 3261 19.1.1), and never honoured.
  if (!parsed_uri_ || !parsed_uri_->headers.empty()) {
    parsed_uri_.reset();
    return {400, "Bad Request-URI"};
  }
  uri_ = uri;
  return {};
}

Refusal Message::ParseHeaders(std::string_view octets, size_t* at) {
  Refusal refusal;
  while (true) {
    std::string_view rest = octets.substr(*at);
    std::string_view line = LineOf(rest);
    if (line.empty()) {
      Note(&refusal, 400, "No end of the headers");
      *at = octets.size();
      return refusal;
    }
    std::string_view content = WithoutEnd(line);
    if (content.empty()) {
      headers_end_ = line.data();
      *at += line.size();
      return refusal;
    }
    bool control = HasControl(content);
    size_t length = line.size();
    // A line that begins with white space goes on with the one before.
    while (length < rest.size() &&
           (rest[length] == ' ' || rest[length] == '\t')) {
      const std::string_view more = LineOf(rest.substr(length));
      if (more.empty()) break;
      control |= HasControl(WithoutEnd(more));
      length += more.size();
    }
    line = rest.substr(0, length);
    content = WithoutEnd(line);
    *at += length;

    const size_t colon = content.find(':');
    std::string_view name = content.substr(0, colon);
    while (!name.empty() && kBlank.Has(name.back())) name.remove_suffix(1);
    const HeaderId id = HeaderIdOf(name);
    if (colon == std::string_view::npos ||
        (id == HeaderId::kOther && !IsAll(kToken, name))) {
      Note(&refusal, 400, "Bad header line");
      continue;
    }
    const std::string_view behind = content.substr(colon + 1);
    const std::string_view value = Trim(behind);
    if (control && !ControlsAreQuoted(behind)) {
      Note(&refusal, 400, "Control octet in a header");
      continue;
    }
    uint16_t& first = first_[static_cast<size_t>(id)];
    if (headers_.full()) {
      Note(&refusal, 400, "Too many headers");
      continue;
    }
    if (first != 0 && FormOf(id) == HeaderForm::kSingle &&
        headers()[first - 1u].value != value) {
      Note(&refusal, 400, "Two values of a single header");
    }
    headers_.Add({id, name, value, line});
    if (first == 0) first = static_cast<uint16_t>(headers().size());
  }
}

Refusal Message::CheckHeaders() {
  // RFC 3261 8.1.1.
  for (const HeaderId id : {HeaderId::kVia, HeaderId::kFrom, HeaderId::kTo,
                            HeaderId::kCallId, HeaderId::kCSeq}) {
    if (Value(id).empty()) return {400, "A mandatory header is missing"};
  }
  // Nothing can be answered to a response, nor to what may have been one.
  answerable_ = !response_ && !method_text_.empty();
  if (!IsAll(kVisible, call_id())) return {400, "Bad Call-ID"};
  return {};
}

Refusal Message::CheckNumbers() {
  Refusal refusal;
  if (const auto cseq = CSeq::Parse(Value(HeaderId::kCSeq))) {
    cseq_ = cseq->number;
    if (response_) {
      method_text_ = cseq->method;
      method_ = MethodOf(method_text_);
    } else if (cseq->method != method_text_) {
      Note(&refusal, 400, "CSeq is of another method");
    }
  } else {
    Note(&refusal, 400, "Bad CSeq");
  }
  if (const Header* h = Find(HeaderId::kMaxForwards)) {
    const auto number = ParseNumber(h->value, kMaxForwardsMax);
    if (!number) Note(&refusal, 400, "Bad Max-Forwards");
    max_forwards_ = static_cast<int>(number.value_or(0));
  }
  if (const Header* h = Find(HeaderId::kExpires)) {
    const auto number = ParseNumber(h->value, kExpiresMax);
    if (!number) Note(&refusal, 400, "Bad Expires");
    expires_ = static_cast<int64_t>(number.value_or(0));
  }
  return refusal;
}

Refusal Message::CheckGrammar() {
  Refusal refusal = CheckVias();
  // An answer goes by the top Via.
  answerable_ = answerable_ && vias_[0].has_value();
  if (const Refusal parties = CheckParties(); parties && !refusal) {
    refusal = parties;
  }
  return refusal;
}

Refusal Message::CheckVias() {
  Refusal refusal;
  ForEach(HeaderId::kVia, [&](std::string_view value) {
    if (++via_count_ > kViasMax) {
      refusal = {400, "Too many Vias"};
      return false;
    }
    auto via = Via::Parse(value);
    if (!via) refusal = {400, "Bad Via"};
    if (via_count_ <= std::size(vias_)) vias_[via_count_ - 1] = via;
    return !refusal;
  });
  return refusal;
}

Refusal Message::CheckParties() {
  size_t contacts = 0;
  bool star = false;
  for (const Header& h : headers()) {
    switch (h.id) {
      case HeaderId::kFrom:
        if (!from_) from_ = NameAddr::Parse(h.value);
        if (!from_) return {400, "Bad From"};
        continue;
      case HeaderId::kTo:
        if (!to_) to_ = NameAddr::Parse(h.value);
        if (!to_) return {400, "Bad To"};
        // RFC 3261 10.2: it is the address-of-record.
        if (method_ == Method::kRegister && !to_->uri.is_sip()) {
          return {400, "To is no SIP URI"};
        }
        continue;
      case HeaderId::kVia:
      case HeaderId::kContact:
      case HeaderId::kRoute:
      case HeaderId::kRecordRoute:
      case HeaderId::kPath: break;
      default: continue;
    }
    std::string_view rest = h.value;
    // Otherwise the comma would vanish with the value that does not follow.
    if (rest.ends_with(',')) return {400, "Empty value in a list"};
    if (h.id == HeaderId::kVia) continue;
    while (!rest.empty()) {
      const std::string_view value = NextListValue(&rest);
      if (h.id == HeaderId::kContact) {
        ++contacts;
        if (value == "*") {
          star = true;
        } else if (!NameAddr::Parse(value)) {
          return {400, "Bad Contact"};
        }
      } else {
        const auto route = NameAddr::Parse(value);
        if (!route || !route->brackets) return {400, "Bad Route"};
      }
    }
  }
  if (!response_ && contacts > kContactsMax) return {400, "Too many Contacts"};
  if (star && contacts > 1) return {400, "Contact * is not alone"};
  return {};
}

Refusal Message::FindBody(std::string_view octets, size_t at) {
  const std::string_view rest = octets.substr(at);
  body_ = rest;
  const Header* h = Find(HeaderId::kContentLength);
  if (h == nullptr) return {};
  const auto length = ParseNumber(h->value, kMessageOctetsMax);
  if (!length) return {400, "Bad Content-Length"};
  if (*length > rest.size()) return {400, "Content-Length beyond the end"};
  body_ = rest.substr(0, *length);
  octets_ = octets.substr(0, at + body_.size());
  return {};
}

const Header* Message::Find(HeaderId id) const {
  const size_t first = first_[static_cast<size_t>(id)];
  return first == 0 ? nullptr : &headers()[first - 1];
}

std::string_view Message::Nth(HeaderId id, size_t n) const {
  std::string_view found;
  ForEach(id, [&](std::string_view value) {
    if (n-- != 0) return true;
    found = value;
    return false;
  });
  return found;
}

size_t Message::Count(HeaderId id) const {
  size_t count = 0;
  ForEach(id, [&count](std::string_view) {
    ++count;
    return true;
  });
  return count;
}

std::string_view NextListValue(std::string_view* rest) {
  static constexpr CharSet kPlain = CharSet::Range(0, 0xff).Without("\",<");
  const std::string_view text = *rest;
  if (text.find(',') == std::string_view::npos) {
    *rest = text.substr(text.size());
    return Trim(text);
  }
  Cursor c(text);
  while (true) {
    c.TakeWhile(kPlain);
    if (c.done() || c.At(',')) break;
    if (c.At('"') ? c.TakeQuoted().has_value() : c.TakeThrough('>')) continue;
    c.Take(c.rest().size());  // not closed: all of it is one value, a bad one
  }
  const std::string_view value = c.Since(text);
  c.TakeChar(',');
  *rest = c.rest();
  return Trim(value);
}

bool HasWord(const Message& message, HeaderId id, std::string_view word) {
  return !message.ForEach(id, [word](std::string_view value) {
    return !EqualsNoCase(value, word);
  });
}

}  // namespace sluice::sip
