#include "tools/load/sip_scan.h"

#include <charconv>

#include "base/text.h"

namespace sluice::load {
namespace {

constexpr std::string_view kVersion = "SIP/2.0";

bool IsSpace(char c) { return c == ' ' || c == '\t'; }

std::string_view Trim(std::string_view text) noexcept {
  const auto cut = [](char c) { return IsSpace(c) || c == '\r' || c == '\n'; };
  while (!text.empty() && cut(text.front())) text.remove_prefix(1);
  while (!text.empty() && cut(text.back())) text.remove_suffix(1);
  return text;
}

// Takes a header line with its continuation lines off the front of `rest`.
std::string_view TakeLine(std::string_view* rest) noexcept {
  size_t end = 0;
  do {
    const size_t newline = rest->find('\n', end);
    if (newline == std::string_view::npos) {
      end = rest->size();
      break;
    }
    end = newline + 1;
  } while (end < rest->size() && IsSpace((*rest)[end]));
  const std::string_view line = rest->substr(0, end);
  rest->remove_prefix(end);
  return line;
}

bool ReadStartLine(std::string_view line, SipScan* out) noexcept {
  line = Trim(line);
  if (line.starts_with("SIP/2.0 ")) {
    if (line.size() < 11) return false;
    const char* code = line.data() + 8;
    const auto [end, error] = std::from_chars(code, code + 3, out->status);
    return error == std::errc() && end == code + 3 && out->status >= 100 &&
           out->status <= 699;
  }
  const size_t space = line.find(' ');
  if (space == std::string_view::npos || space == 0) return false;
  out->method = line.substr(0, space);
  return line.size() > space + kVersion.size() + 2 && line.ends_with(kVersion);
}

bool ReadCSeq(std::string_view line, SipScan* out) noexcept {
  const std::string_view value = SipLineValue(line);
  const auto [end, error] =
      std::from_chars(value.data(), value.data() + value.size(), out->cseq);
  if (error != std::errc()) return false;
  const std::string_view method =
      Trim(value.substr(static_cast<size_t>(end - value.data())));
  if (out->status != 0) out->method = method;
  out->cseq_line = line;
  return !method.empty();
}

bool Keep(std::string_view line,
          std::array<std::string_view, SipScan::kLinesMax>* lines,
          size_t* count) noexcept {
  if (*count == lines->size()) return false;
  (*lines)[(*count)++] = line;
  return true;
}

void KeepFirst(std::string_view text, std::string_view* out) noexcept {
  if (out->empty()) *out = text;
}

// False where the line makes the message useless.
bool ReadHeader(std::string_view line, SipScan* out) noexcept {
  const size_t colon = line.find(':');
  if (colon == std::string_view::npos) return true;
  const std::string_view name = Trim(line.substr(0, colon));
  const auto is = [&](std::string_view full, char compact) {
    return name.size() == 1 ? Lower(name[0]) == compact
                            : EqualsNoCase(name, full);
  };
  if (name.empty()) return true;
  // By first letters, for this is done for every line of every message.
  switch (Lower(name[0])) {
    case 'v':
      return !is("via", 'v') || Keep(line, &out->via_lines, &out->via_count);
    case 'r':
      return !is("record-route", 0) ||
             Keep(line, &out->route_lines, &out->route_count);
    case 'f':
      if (is("from", 'f')) KeepFirst(line, &out->from_line);
      return true;
    case 't':
      if (is("to", 't')) KeepFirst(line, &out->to_line);
      return true;
    case 'c':
      if (is("cseq", 0)) return ReadCSeq(line, out);
      if (is("call-id", 0)) KeepFirst(line, &out->call_id_line);
      if (is("contact", 0)) KeepFirst(SipLineValue(line), &out->contact);
      return true;
    case 'i':
      if (name.size() == 1) KeepFirst(line, &out->call_id_line);
      return true;
    case 'm':
      if (name.size() == 1) KeepFirst(SipLineValue(line), &out->contact);
      return true;
    case 'w':
      if (is("www-authenticate", 0)) {
        KeepFirst(SipLineValue(line), &out->challenge);
      }
      return true;
    case 'p':
      if (is("proxy-authenticate", 0)) {
        KeepFirst(SipLineValue(line), &out->challenge);
      }
      return true;
    default: return true;
  }
}

// The address of a c= line: "IN IP4 192.0.2.1/127" and the like.
std::optional<IpAddress> ReadConnection(std::string_view value) {
  if (!value.starts_with("IN IP4 ") && !value.starts_with("IN IP6 ")) {
    return std::nullopt;
  }
  value.remove_prefix(7);
  const auto ip = IpAddress::Parse(value.substr(0, value.find_first_of("/ ")));
  return ip.has_value() && !ip->is_any() ? ip : std::nullopt;
}

// The port of an m= line behind its media; 0 for none.
uint16_t ReadMediaPort(std::string_view value) {
  uint16_t port = 0;
  const auto [end, error] =
      std::from_chars(value.data(), value.data() + value.size(), port);
  const bool whole = error == std::errc() &&
                     end != value.data() + value.size() &&
                     (*end == ' ' || *end == '/');
  return whole ? port : 0;
}

bool ReadHex(std::string_view digits, uint32_t* out) noexcept {
  const auto [end, error] =
      std::from_chars(digits.data(), digits.data() + digits.size(), *out, 16);
  return error == std::errc() && end == digits.data() + digits.size();
}

}  // namespace

bool ScanSip(std::string_view message, SipScan* out) noexcept {
  *out = SipScan();
  std::string_view rest = message;
  if (!ReadStartLine(TakeLine(&rest), out)) return false;
  while (!rest.empty()) {
    const std::string_view line = TakeLine(&rest);
    if (line == "\r\n" || line == "\n") {
      out->body = rest;
      break;
    }
    if (!ReadHeader(line, out)) return false;
  }
  out->call_id = SipLineValue(out->call_id_line);
  return out->via_count > 0 && !out->from_line.empty() &&
         !out->to_line.empty() && !out->call_id.empty() &&
         !out->cseq_line.empty();
}

std::string_view SipLineValue(std::string_view line) noexcept {
  const size_t colon = line.find(':');
  return colon == std::string_view::npos ? std::string_view()
                                         : Trim(line.substr(colon + 1));
}

std::string_view SipAddressOf(std::string_view value) noexcept {
  const size_t open = value.find('<');
  if (open == std::string_view::npos) {
    return Trim(value.substr(0, value.find_first_of(";,")));
  }
  const size_t close = value.find('>', open);
  return close == std::string_view::npos
             ? std::string_view()
             : value.substr(open + 1, close - open - 1);
}

bool HasSipTag(std::string_view line) noexcept {
  // Behind the address, where a URI's parameters are not taken for the field's.
  const size_t close = line.rfind('>');
  if (close != std::string_view::npos) line.remove_prefix(close);
  for (size_t at = line.find(';'); at != std::string_view::npos;
       at = line.find(';', at + 1)) {
    const std::string_view parameter = line.substr(at + 1);
    const std::string_view name =
        Trim(parameter.substr(0, parameter.find_first_of("=;")));
    if (EqualsNoCase(name, "tag")) return true;
  }
  return false;
}

bool ReadSipCallId(std::string_view call_id, SipNumber* out) noexcept {
  return call_id.size() == 17 + kSipCallIdEnd.size() && call_id[8] == '-' &&
         call_id.ends_with(kSipCallIdEnd) &&
         ReadHex(call_id.substr(0, 8), &out->run) &&
         ReadHex(call_id.substr(9, 8), &out->number);
}

std::optional<Endpoint> SdpAudioAddress(std::string_view sdp) {
  static constexpr std::string_view kLine = "m=audio ";
  enum class Part { kSession, kOther, kAudio } part = Part::kSession;
  std::optional<IpAddress> ip;
  uint16_t port = 0;
  while (!sdp.empty()) {
    const size_t newline = sdp.find('\n');
    const std::string_view line = Trim(sdp.substr(0, newline));
    sdp.remove_prefix(newline == sdp.npos ? sdp.size() : newline + 1);
    if (line.starts_with("m=")) {
      if (part == Part::kAudio) break;
      part = line.starts_with(kLine) ? Part::kAudio : Part::kOther;
      if (part == Part::kAudio) port = ReadMediaPort(line.substr(kLine.size()));
    } else if (line.starts_with("c=") && part != Part::kOther) {
      ip = ReadConnection(line.substr(2));
    }
  }
  if (port == 0 || !ip.has_value()) return std::nullopt;
  return Endpoint{*ip, Port::FromHost(port)};
}

}  // namespace sluice::load
