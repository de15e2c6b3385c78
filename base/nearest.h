#ifndef SLUICE_BASE_NEAREST_H_
#define SLUICE_BASE_NEAREST_H_

#include <string>
#include <string_view>
#include <vector>

namespace sluice {

// The one of `known` that takes the fewest changes of a character, or swaps of
// two neighbours, to make from `word`, for "the nearest is ..."; the first of
// several. Costs the product of the lengths: for words of people, cut by the
// caller. REQUIRES: known is not empty.
const std::string& Nearest(std::string_view word,
                           const std::vector<std::string>& known);

}  // namespace sluice

#endif  // SLUICE_BASE_NEAREST_H_
