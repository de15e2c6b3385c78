#ifndef SLUICE_SIP_CURSOR_H_
#define SLUICE_SIP_CURSOR_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

#include "base/check.h"
#include "base/text.h"

// What every parser of sip/ reads through: sets of octets and one cursor that
// cannot leave its text. Nothing here knows a header.
//
// Thread: any; values.
namespace sluice::sip {

class CharSet {
 public:
  constexpr CharSet() = default;
  constexpr explicit CharSet(std::string_view chars) {
    for (const char c : chars) in_[static_cast<uint8_t>(c)] = true;
  }
  static constexpr CharSet Range(uint8_t first, uint8_t last) {
    CharSet set;
    for (unsigned c = first; c <= last; ++c) set.in_[c] = true;
    return set;
  }
  constexpr CharSet operator|(const CharSet& other) const {
    CharSet set = *this;
    for (size_t i = 0; i < in_.size(); ++i) set.in_[i] |= other.in_[i];
    return set;
  }
  constexpr CharSet Without(std::string_view chars) const {
    CharSet set = *this;
    for (const char c : chars) set.in_[static_cast<uint8_t>(c)] = false;
    return set;
  }
  constexpr bool Has(char c) const { return in_[static_cast<uint8_t>(c)]; }

 private:
  std::array<bool, 256> in_{};
};

// RFC 3261 25.1.
inline constexpr CharSet kDigit = CharSet::Range('0', '9');
inline constexpr CharSet kAlpha =
    CharSet::Range('a', 'z') | CharSet::Range('A', 'Z');
inline constexpr CharSet kAlnum = kAlpha | kDigit;
inline constexpr CharSet kHex =
    kDigit | CharSet::Range('a', 'f') | CharSet::Range('A', 'F');
inline constexpr CharSet kToken = kAlnum | CharSet("-.!%*_+`'~");
inline constexpr CharSet kUnreserved = kAlnum | CharSet("-_.!~*'()");
inline constexpr CharSet kVisible = CharSet::Range('!', '~');
inline constexpr CharSet kHighOctets = CharSet::Range(0x80, 0xff);
inline constexpr CharSet kBlank{" \t"};
// Inside a header's value a line end is a fold, which is white space (7.3.1).
inline constexpr CharSet kLws{" \t\r\n"};

// Without the white space around it; what is left of nothing still points into
// `text`.
constexpr std::string_view Trim(std::string_view text) {
  while (!text.empty() && kLws.Has(text.front())) text.remove_prefix(1);
  while (!text.empty() && kLws.Has(text.back())) text.remove_suffix(1);
  return text;
}

constexpr int HexDigit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  const char lower = Lower(c);
  return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

// A place in a text. Whatever is taken is a view of that text; at its end
// everything that could be taken is "nothing".
class Cursor {
 public:
  explicit constexpr Cursor(std::string_view text) : rest_(text) {}

  constexpr bool done() const { return rest_.empty(); }
  constexpr std::string_view rest() const { return rest_; }
  constexpr bool At(char c) const {
    return !rest_.empty() && rest_.front() == c;
  }
  // What lies between an earlier rest() and here.
  constexpr std::string_view Since(std::string_view earlier) const {
    DCHECK(earlier.size() >= rest_.size());
    return earlier.substr(0, earlier.size() - rest_.size());
  }

  constexpr std::string_view Take(size_t n) {
    const std::string_view taken = rest_.substr(0, n);
    rest_.remove_prefix(taken.size());
    return taken;
  }
  constexpr bool TakeChar(char c) {
    if (!At(c)) return false;
    rest_.remove_prefix(1);
    return true;
  }
  constexpr std::string_view TakeWhile(const CharSet& set) {
    size_t n = 0;
    while (n < rest_.size() && set.Has(rest_[n])) ++n;
    return Take(n);
  }
  // Up to and with the first `c`; false, and nothing taken, when none comes.
  constexpr bool TakeThrough(char c) {
    const size_t at = rest_.find(c);
    if (at == std::string_view::npos) return false;
    rest_.remove_prefix(at + 1);
    return true;
  }
  // Octets of `set` and percent escapes (%HH), which need not be in it.
  constexpr std::string_view TakeEscaped(const CharSet& set) {
    size_t n = 0;
    while (n < rest_.size()) {
      if (rest_[n] == '%') {
        if (rest_.size() - n < 3 || !kHex.Has(rest_[n + 1]) ||
            !kHex.Has(rest_[n + 2])) {
          break;
        }
        n += 3;
      } else if (set.Has(rest_[n])) {
        ++n;
      } else {
        break;
      }
    }
    return Take(n);
  }
  // "..." with its quotes; nullopt, and nothing taken, when it is not closed.
  // A backslash takes the octet behind it along.
  constexpr std::optional<std::string_view> TakeQuoted() {
    if (!At('"')) return std::nullopt;
    for (size_t n = 1; n < rest_.size(); ++n) {
      if (rest_[n] == '\\') {
        ++n;
      } else if (rest_[n] == '"') {
        return Take(n + 1);
      }
    }
    return std::nullopt;
  }
  // Whether there was any.
  constexpr bool SkipLws() { return !TakeWhile(kLws).empty(); }

 private:
  std::string_view rest_;
};

}  // namespace sluice::sip

#endif  // SLUICE_SIP_CURSOR_H_
