#ifndef SLUICE_BASE_TEXT_H_
#define SLUICE_BASE_TEXT_H_

#include <algorithm>
#include <charconv>
#include <concepts>
#include <string>
#include <string_view>

// Text by std::string_view. Abseil's own string_view is another type where the
// distribution built it for an older C++, so its functions cannot take ours.
namespace sluice {

constexpr char Lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c;
}
inline std::string Lower(std::string_view text) {
  std::string out(text);
  std::transform(out.begin(), out.end(), out.begin(),
                 [](char c) { return Lower(c); });
  return out;
}
// ASCII only, as protocols compare.
constexpr bool EqualsNoCase(std::string_view a, std::string_view b) {
  return a.size() == b.size() &&
         std::equal(a.begin(), a.end(), b.begin(),
                    [](char x, char y) { return Lower(x) == Lower(y); });
}
constexpr bool EndsWithNoCase(std::string_view text, std::string_view end) {
  return text.size() >= end.size() &&
         EqualsNoCase(text.substr(text.size() - end.size()), end);
}

// Anything that Cat and Append put together: text, or a whole number.
class Piece {
 public:
  Piece(std::string_view text) : text_(text) {}
  Piece(const std::string& text) : text_(text) {}
  Piece(const char* text) : text_(text) {}
  template <std::integral T>
  requires(!std::same_as<T, char> && !std::same_as<T, bool>) Piece(T number)
      : text_(
            digits_,
            static_cast<size_t>(
                std::to_chars(digits_, digits_ + sizeof(digits_), number).ptr -
                digits_)) {}
  Piece(const Piece&) = delete;
  Piece& operator=(const Piece&) = delete;
  std::string_view text() const { return text_; }

 private:
  char digits_[24];
  std::string_view text_;
};

template <typename... Pieces>
void Append(std::string* out, const Pieces&... pieces) {
  const auto put = [out](const Piece& piece) { out->append(piece.text()); };
  (put(pieces), ...);
}
template <typename... Pieces>
std::string Cat(const Pieces&... pieces) {
  const auto cat = [](const auto&... piece) {
    std::string out;
    out.reserve((piece.text().size() + ...));
    (out.append(piece.text()), ...);
    return out;
  };
  return cat(Piece(pieces)...);
}

}  // namespace sluice

#endif  // SLUICE_BASE_TEXT_H_
