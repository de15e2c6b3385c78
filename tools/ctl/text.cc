#include "tools/ctl/text.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/check.h"
#include "control/json_view.h"

namespace sluice::ctl {
namespace {

// Characters, not octets, so that a column with "é" in it stays straight.
size_t Width(std::string_view text) {
  return static_cast<size_t>(std::count_if(
      text.begin(), text.end(),
      [](char c) { return (static_cast<unsigned char>(c) & 0xc0) != 0x80; }));
}

}  // namespace

const Json& At(const Json& json, std::string_view name) {
  static const Json* const none = new Json(nullptr);
  if (!json.is_object()) return *none;
  const auto at = json.find(std::string(name));
  return at == json.end() ? *none : *at;
}

const Json& List(const Json& json) {
  static const Json* const none = new Json(Json::array());
  return json.is_array() ? json : *none;
}

std::string Shown(const Json& text) {
  return text.is_string() ? ShownText(text.get_ref<const std::string&>()) : "-";
}

std::string ShownText(std::string_view text) {
  // Made safe anew: whoever answers at a URL need not be sluiced.
  const std::string safe = control::SafeText(control::FromSafeText(text));
  return safe.empty() ? "-" : safe;
}

double Number(const Json& json) {
  return json.is_number() ? json.get<double>() : 0;
}

bool IsTrue(const Json& json) { return json.is_boolean() && json.get<bool>(); }

std::string Count(const Json& json) {
  if (!json.is_number()) return "-";
  std::string digits = absl::StrFormat("%.0f", Number(json));
  const size_t first = digits[0] == '-' ? 1 : 0;
  for (size_t at = digits.size(); at > first + 3;) {
    at -= 3;
    digits.insert(at, 1, ' ');
  }
  return digits;
}

std::string Count(const Json& json, std::string_view noun) {
  return Count(json).append(" ").append(noun).append(Number(json) == 1 ? ""
                                                                       : "s");
}

std::string Bytes(const Json& json) {
  if (!json.is_number()) return "-";
  double value = Number(json);
  const char* const units[] = {"B", "kB", "MB", "GB", "TB", "PB"};
  size_t unit = 0;
  while (std::abs(value) >= 999.5 && unit + 1 < std::size(units)) {
    value /= 1000;
    ++unit;
  }
  return absl::StrFormat("%.*f %s", unit == 0 ? 0 : 1, value, units[unit]);
}

std::string Age(const Json& seconds) {
  if (!seconds.is_number()) return "-";
  const double s = Number(seconds);
  if (s < 0) return "-";
  if (s < 10) return absl::StrFormat("%.1f s", s);
  const auto whole = static_cast<int64_t>(std::min(s, 1e15));
  if (whole < 60) return absl::StrFormat("%d s", whole);
  if (whole < 3600) return absl::StrFormat("%d m %d s", whole / 60, whole % 60);
  if (whole < 86400) {
    return absl::StrFormat("%d h %d m", whole / 3600, whole / 60 % 60);
  }
  return absl::StrFormat("%d d %d h", whole / 86400, whole / 3600 % 24);
}

std::string Decimal(const Json& json, int places, std::string_view unit) {
  if (!json.is_number()) return "-";
  return absl::StrFormat("%.*f", places, Number(json)).append(unit);
}

std::string Rate(double per_second) {
  if (per_second >= 99.95 || per_second == 0) {
    return Count(Json(std::round(per_second)));
  }
  return absl::StrFormat("%.1f", per_second);
}

void Table::Column(std::string title, Align align) {
  columns_.push_back({std::move(title), align});
}

void Table::Row(std::vector<std::string> cells) {
  CHECK(cells.size() == columns_.size());
  rows_.push_back(std::move(cells));
}

std::string Table::ToString(std::string_view indent) const {
  std::vector<size_t> widths;
  for (size_t c = 0; c < columns_.size(); ++c) {
    size_t width = Width(columns_[c].title);
    for (const auto& row : rows_) width = std::max(width, Width(row[c]));
    widths.push_back(width);
  }
  std::string out;
  const auto line = [&](const auto& cell) {
    std::string text(indent);
    for (size_t c = 0; c < columns_.size(); ++c) {
      const std::string& word = cell(c);
      const std::string pad(widths[c] - Width(word), ' ');
      if (c > 0) text += "  ";
      text += columns_[c].align == Align::kRight ? pad + word : word + pad;
    }
    text.erase(text.find_last_not_of(' ') + 1);
    out += text + "\n";
  };
  line([&](size_t c) -> const std::string& { return columns_[c].title; });
  for (const auto& row : rows_) {
    line([&](size_t c) -> const std::string& { return row[c]; });
  }
  return out;
}

}  // namespace sluice::ctl
