#include "control/nathelper_commands.h"

#include <utility>

#include "absl/status/statusor.h"

namespace sluice::control {

void CommandTable::Define(std::string name, Handler handler) {
  commands_.insert_or_assign(std::move(name), std::move(handler));
}

std::string CommandTable::Answer(std::string_view request) {
  const absl::StatusOr<storable::Value> value =
      storable::Decode(request, limits_);
  if (!value.ok()) {
    ++counters_.undecodable;
    return "";
  }
  const storable::Value::List* list = value->list();
  const std::string* name =
      list == nullptr || list->empty() ? nullptr : list->front().bytes();
  if (name == nullptr) {
    ++counters_.nameless;
    return "";
  }
  const auto command = commands_.find(*name);
  if (command == commands_.end()) {
    ++counters_.unknown;
    return "";
  }
  // A copy, because a handler may redefine commands, its own too.
  const Handler handler = command->second;
  const std::optional<storable::Value> reply =
      handler(Arguments(*list).subspan(1));
  if (!reply.has_value()) {
    ++counters_.silent;
    return "";
  }
  ++counters_.answered;
  return storable::Encode(*reply);
}

}  // namespace sluice::control
