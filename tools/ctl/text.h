#ifndef SLUICE_TOOLS_CTL_TEXT_H_
#define SLUICE_TOOLS_CTL_TEXT_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "tools/ctl/client.h"

// How answers look to people. Every reader here takes any JSON without
// complaint: what is missing or of another kind shows as "-".
namespace sluice::ctl {

// The member `name`; null when there is none.
const Json& At(const Json& json, std::string_view name);
template <typename... Names>
const Json& At(const Json& json, std::string_view name, Names... more) {
  return At(At(json, name), more...);
}
// The elements of an array; none of anything else.
const Json& List(const Json& json);

// A peer's octets, safe on a terminal; can be given back as a CALL-ID.
std::string Shown(const Json& text);
std::string ShownText(std::string_view text);
double Number(const Json& json);
bool IsTrue(const Json& json);

std::string Count(const Json& json);  // 1234567 -> "1 234 567"
std::string Count(const Json& json,
                  std::string_view noun);  // "1 call", "2 calls"
std::string Bytes(const Json& json);       // 1234567 -> "1.2 MB"
std::string Age(const Json& seconds);      // 90061 -> "1 d 1 h"
std::string Decimal(const Json& json, int places, std::string_view unit);
std::string Rate(double per_second);

// Columns as wide as their widest cell; numbers to the right.
class Table {
 public:
  enum class Align { kLeft, kRight };
  void Column(std::string title, Align align = Align::kLeft);
  void Row(std::vector<std::string> cells);
  size_t rows() const { return rows_.size(); }
  std::string ToString(std::string_view indent = "") const;

 private:
  struct ColumnHead {
    std::string title;
    Align align;
  };
  std::vector<ColumnHead> columns_;
  std::vector<std::vector<std::string>> rows_;
};

}  // namespace sluice::ctl

#endif  // SLUICE_TOOLS_CTL_TEXT_H_
