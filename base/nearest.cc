#include "base/nearest.h"

#include <algorithm>
#include <cstddef>
#include <utility>

#include "base/check.h"

namespace sluice {
namespace {

// Characters put in, left out, mistaken, and neighbours that changed places,
// each a change (optimal string alignment). By rows: row[j] is the distance of
// the first i characters of `a` to the first j of `b`.
size_t EditDistance(std::string_view a, std::string_view b) {
  std::vector<size_t> row(b.size() + 1), above(row), two_above(row);
  for (size_t j = 0; j < row.size(); ++j) row[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    std::swap(two_above, above);
    std::swap(above, row);
    row[0] = i;
    for (size_t j = 1; j < row.size(); ++j) {
      const size_t changed = above[j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1);
      row[j] = std::min({above[j] + 1, row[j - 1] + 1, changed});
      const bool crossed =
          i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
      if (crossed) row[j] = std::min(row[j], two_above[j - 2] + 1);
    }
  }
  return row.back();
}

}  // namespace

const std::string& Nearest(std::string_view word,
                           const std::vector<std::string>& known) {
  CHECK(!known.empty());
  return *std::min_element(
      known.begin(), known.end(), [word](const auto& a, const auto& b) {
        return EditDistance(word, a) < EditDistance(word, b);
      });
}

}  // namespace sluice
