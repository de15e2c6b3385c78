#include "sip/framer.h"

#include <cstring>

#include "base/text.h"

namespace sluice::sip {
namespace {

constexpr std::string_view kPing = "\r\n\r\n";
constexpr std::string_view kBlank = " \t";
constexpr std::string_view kBlankOrFold = " \t\r\n";

bool IsLineEnd(char c) { return c == '\r' || c == '\n'; }

// A method and "SIP/2.0" both begin with a token (RFC 3261 25.1). What does not
// is known for nonsense by its first octet: a TLS hello, a zero.
bool BeginsToken(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
         (c >= '0' && c <= '9') ||
         std::string_view("-.!%*_+`'~").find(c) != std::string_view::npos;
}

std::string_view Trim(std::string_view text, std::string_view blank) {
  const size_t begin = text.find_first_not_of(blank);
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(blank) + 1 - begin);
}

// The next field with its folds, taken off `rest`.
std::string_view TakeField(std::string_view* rest) {
  size_t end = 0;
  do {
    const size_t newline = rest->find('\n', end);
    if (newline == std::string_view::npos) {
      end = rest->size();
      break;
    }
    end = newline + 1;
  } while (end < rest->size() && kBlank.find((*rest)[end]) != kBlank.npos);
  const std::string_view field = rest->substr(0, end);
  rest->remove_prefix(end);
  return field;
}

// False when there is something else than digits, or nothing.
bool ParseDigits(std::string_view text, uint64_t* value) {
  if (text.empty()) return false;
  *value = 0;
  for (const char c : text) {
    if (c < '0' || c > '9') return false;
    const auto digit = static_cast<uint64_t>(c - '0');
    *value =
        *value > (UINT64_MAX - digit) / 10 ? UINT64_MAX : *value * 10 + digit;
  }
  return true;
}

}  // namespace

ContentLength FindContentLength(std::string_view header) {
  ContentLength found;
  TakeField(&header);  // the start line
  while (!header.empty()) {
    const std::string_view field = TakeField(&header);
    const size_t colon = field.find(':');
    if (colon == std::string_view::npos) continue;
    const std::string_view name = Trim(field.substr(0, colon), kBlank);
    if (!EqualsNoCase(name, "Content-Length") && !EqualsNoCase(name, "l")) {
      continue;
    }
    uint64_t octets = 0;
    if (!ParseDigits(Trim(field.substr(colon + 1), kBlankOrFold), &octets) ||
        (found.kind == ContentLength::Kind::kOne && octets != found.octets)) {
      return {.kind = ContentLength::Kind::kBad};
    }
    found = {.kind = ContentLength::Kind::kOne, .octets = octets};
  }
  return found;
}

Framer::Step Framer::NextBetween(std::string_view buffer) {
  size_t at = 0;
  for (; at < buffer.size() && IsLineEnd(buffer[at]); ++at) {
    if (buffer[at] == kPing[ping_matched_]) {
      ++ping_matched_;
    } else {
      ping_matched_ = buffer[at] == kPing[0] ? 1 : 0;
    }
    if (ping_matched_ == kPing.size()) {
      ping_matched_ = 0;
      return {.kind = Step::Kind::kPing, .octets = at + 1};
    }
  }
  if (at > 0) return {.kind = Step::Kind::kSkip, .octets = at};
  return {};
}

bool Framer::FindHeaderEnd(std::string_view buffer) {
  while (searched_ < buffer.size()) {
    const auto* newline = static_cast<const char*>(std::memchr(
        buffer.data() + searched_, '\n', buffer.size() - searched_));
    if (newline == nullptr) {
      searched_ = buffer.size();
      return false;
    }
    const auto at = static_cast<size_t>(newline - buffer.data());
    const std::string_view line = buffer.substr(line_begin_, at - line_begin_);
    searched_ = line_begin_ = at + 1;
    if (line.empty() || line == "\r") return true;
  }
  return false;
}

Framer::Step Framer::Next(std::string_view buffer) {
  if (buffer.empty()) return {};
  if (!in_message()) {
    if (IsLineEnd(buffer.front())) return NextBetween(buffer);
    if (!BeginsToken(buffer.front())) return Bad(400, 0);
    ping_matched_ = 0;
  }
  if (!in_body()) {
    // No further than a header may go, or whether it is too long would depend
    // on how much came at once.
    const std::string_view header = buffer.substr(0, limits_.header_octets_max);
    if (!FindHeaderEnd(header)) {
      return header.size() == limits_.header_octets_max ? Bad(513, 0) : Step{};
    }
    const ContentLength length = FindContentLength(header.substr(0, searched_));
    if (length.kind != ContentLength::Kind::kOne) return Bad(400, searched_);
    if (length.octets > limits_.body_octets_max) return Bad(413, searched_);
    message_octets_ = searched_ + static_cast<size_t>(length.octets);
  }
  if (buffer.size() < message_octets_) return {};
  const size_t octets = message_octets_;
  searched_ = line_begin_ = message_octets_ = 0;
  return {.kind = Step::Kind::kMessage, .octets = octets};
}

void FrameBuffer::Keep(std::string_view rest) {
  if (held_.empty()) {
    held_.assign(rest);
  } else {
    held_.erase(0, held_.size() - rest.size());
  }
  // Thousands of connections that once brought a long message would hold its
  // memory for as long as they live.
  constexpr size_t kSpareOctets = 4'096;
  if (held_.empty() && held_.capacity() > kSpareOctets) {
    held_.shrink_to_fit();
  }
}

}  // namespace sluice::sip
