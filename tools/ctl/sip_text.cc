#include "tools/ctl/sip_text.h"

#include <algorithm>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "control/json_view.h"
#include "tools/ctl/text.h"

namespace sluice::ctl {
namespace {

std::string Joined(const Json& words) {
  std::string out;
  for (const Json& word : List(words)) {
    absl::StrAppend(&out, out.empty() ? "" : ", ", Shown(word));
  }
  return out.empty() ? "-" : out;
}

// Every counter that any leg has, in the order of their first appearance.
std::vector<std::string> CounterNames(const Json& legs) {
  std::vector<std::string> names;
  for (const Json& leg : legs) {
    const Json& counters = At(leg, "counters");
    if (!counters.is_object()) continue;
    for (const auto& [name, value] : counters.items()) {
      if (std::find(names.begin(), names.end(), name) == names.end()) {
        names.push_back(name);
      }
    }
  }
  return names;
}

// The octets of a message, safe line by line.
std::string Indented(const Json& text) {
  std::string octets;
  if (text.is_string()) {
    octets = control::FromSafeText(text.get_ref<const std::string&>());
  }
  std::string out;
  std::string_view rest = octets;
  while (!rest.empty()) {
    const size_t end = std::min(rest.find('\n'), rest.size());
    std::string_view line = rest.substr(0, end);
    if (end < rest.size() && line.ends_with('\r')) line.remove_suffix(1);
    rest.remove_prefix(std::min(end + 1, rest.size()));
    if (!line.empty()) {
      absl::StrAppend(&out, "    ", control::SafeText(line));
    }
    out += '\n';
  }
  return out;
}

}  // namespace

std::string LegsText(const Json& answer) {
  const Json& legs = List(At(answer, "legs"));
  if (legs.empty()) return "no legs\n";
  Table table;
  table.Column("LEG");
  table.Column("LISTENERS");
  table.Column("CHAIN");
  table.Column("CONNECTIONS", Table::Align::kRight);
  Table counters;
  counters.Column("COUNTER");
  for (const Json& leg : legs) {
    table.Row({Shown(At(leg, "name")), Joined(At(leg, "listeners")),
               Joined(At(leg, "chain")), Count(At(leg, "connections"))});
    counters.Column(Shown(At(leg, "name")), Table::Align::kRight);
  }
  for (const std::string& name : CounterNames(legs)) {
    std::vector<std::string> row = {ShownText(name)};
    for (const Json& leg : legs) {
      row.push_back(Count(At(leg, "counters", name)));
    }
    counters.Row(std::move(row));
  }
  return absl::StrCat(table.ToString(), "\n", counters.ToString());
}

std::string RegistrationsText(const Json& page) {
  const Json& list = List(At(page, "registrations"));
  const bool paths = std::any_of(list.begin(), list.end(), [](const Json& one) {
    return At(one, "path").is_string();
  });
  const bool instances = std::any_of(
      list.begin(), list.end(),
      [](const Json& one) { return At(one, "instance").is_string(); });
  Table table;
  table.Column("AOR");
  table.Column("CONTACT");
  table.Column("Q", Table::Align::kRight);
  table.Column("EXPIRES", Table::Align::kRight);
  table.Column("LEG");
  table.Column("RECEIVED");
  if (paths) table.Column("PATH");
  if (instances) table.Column("INSTANCE");
  for (const Json& one : list) {
    const Json& expires = At(one, "expires_in_s");
    std::vector<std::string> row = {
        Shown(At(one, "aor")),
        Shown(At(one, "contact")),
        Decimal(At(one, "q"), 1, ""),
        expires.is_number() ? "in " + Decimal(expires, 0, " s") : "-",
        Shown(At(one, "leg")),
        Shown(At(one, "received"))};
    if (paths) row.push_back(Shown(At(one, "path")));
    if (instances) row.push_back(Shown(At(one, "instance")));
    table.Row(std::move(row));
  }
  const double total = Number(At(page, "total"));
  if (total == 0) return "no registrations\n";
  std::string out = table.ToString();
  if (static_cast<double>(table.rows()) < total) {
    absl::StrAppend(&out, Count(Json(table.rows())), " of ",
                    Count(At(page, "total")), " registrations\n");
  }
  return out;
}

std::string TraceText(const Json& trace) {
  const Json& messages = List(At(trace, "messages"));
  std::string out =
      absl::StrCat("call ", Shown(At(trace, "call_id")), ", ",
                   Count(Json(messages.size()), "message"), " kept");
  if (!messages.empty()) {
    absl::StrAppend(&out, ", the first ", Age(At(messages.front(), "age_s")),
                    " ago");
  }
  out += '\n';
  for (const Json& message : messages) {
    const Json& direction = At(message, "direction");
    const bool in = direction.is_string() && direction == "in";
    absl::StrAppend(&out, "\n", in ? "<- " : "-> ", Shown(At(message, "leg")),
                    in ? "  from " : "  to ", Shown(At(message, "peer")), "  +",
                    Decimal(At(message, "after_s"), 6, " s"),
                    IsTrue(At(message, "cut")) ? "  (cut)" : "", "\n",
                    Indented(At(message, "text")));
  }
  return out;
}

}  // namespace sluice::ctl
