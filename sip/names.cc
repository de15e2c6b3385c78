// The tables of headers.def and methods.def, and the way from a name to its id.

#include <array>

#include "base/text.h"
#include "sip/cursor.h"
#include "sip/message.h"

namespace sluice::sip {
namespace {

constexpr std::string_view kMethods[] = {
    "",
#define METHOD(id, text) text,
#include "sip/methods.def"
#undef METHOD
};

struct HeaderRow {
  std::string_view name;
  char compact = 0;
  HeaderForm form = HeaderForm::kMany;
};
constexpr HeaderRow kHeaders[] = {
    {},
#define HEADER(id, name, compact, form) {name, compact, HeaderForm::form},
#include "sip/headers.def"
#undef HEADER
};
constexpr size_t kHeaderCount = std::size(kHeaders);

// A table without collisions: the place of a name is made of its length, its
// first and its last octet, times a number that the compiler looks for.
constexpr size_t kPlaces = 128;

constexpr size_t PlaceOf(std::string_view name, uint32_t factor) {
  const uint32_t key = static_cast<uint32_t>(name.size() & 0xff) |
                       static_cast<uint32_t>(Lower(name.front())) << 8 |
                       static_cast<uint32_t>(Lower(name.back())) << 16;
  return (key * factor) >> 25;
}

struct Table {
  uint32_t factor = 0;  // 0: none was found
  std::array<uint8_t, kPlaces> at{};
};

constexpr Table MakeTable() {
  for (uint32_t factor = 0x9e3779b1; factor < 0x9e3779b1 + 20'000;
       factor += 2) {
    Table table{.factor = factor};
    bool fits = true;
    for (size_t i = 1; i < kHeaderCount && fits; ++i) {
      uint8_t& place = table.at[PlaceOf(kHeaders[i].name, factor)];
      fits = place == 0;
      place = static_cast<uint8_t>(i);
    }
    if (fits) return table;
  }
  return {};
}

constexpr Table kTable = MakeTable();
static_assert(kTable.factor != 0,
              "two names of headers.def share length, first and last octet, or "
              "the table is too small");

constexpr std::array<uint8_t, 128> kCompact = [] {
  std::array<uint8_t, 128> table{};
  for (size_t i = 1; i < kHeaderCount; ++i) {
    if (kHeaders[i].compact != 0) {
      table[static_cast<size_t>(kHeaders[i].compact)] = static_cast<uint8_t>(i);
    }
  }
  return table;
}();

}  // namespace

Method MethodOf(std::string_view text) {
  for (size_t i = 1; i < std::size(kMethods); ++i) {
    if (kMethods[i] == text) return static_cast<Method>(i);
  }
  return Method::kOther;
}

HeaderId HeaderIdOf(std::string_view name) {
  if (name.empty()) return HeaderId::kOther;
  if (name.size() == 1) {
    const auto c = static_cast<uint8_t>(Lower(name.front()));
    return static_cast<HeaderId>(c < kCompact.size() ? kCompact[c] : 0);
  }
  const size_t id = kTable.at[PlaceOf(name, kTable.factor)];
  // Most spell it as the table does.
  const std::string_view known = kHeaders[id].name;
  return name == known || EqualsNoCase(name, known) ? static_cast<HeaderId>(id)
                                                    : HeaderId::kOther;
}

std::string_view NameOf(HeaderId id) {
  return kHeaders[static_cast<size_t>(id)].name;
}

HeaderForm FormOf(HeaderId id) {
  return kHeaders[static_cast<size_t>(id)].form;
}

}  // namespace sluice::sip
