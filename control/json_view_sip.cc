#include <utility>

#include "control/json_view.h"
#include "nlohmann/json.hpp"

namespace sluice::control {
namespace {

double Seconds(Micros distance) {
  return static_cast<double>(distance.us()) / 1e6;
}

Json Words(const std::vector<std::string>& words) {
  Json json = Json::array();
  for (const std::string& word : words) json.push_back(SafeText(word));
  return json;
}

Json TextOrNull(const std::string& text) {
  return text.empty() ? Json(nullptr) : Json(SafeText(text));
}

}  // namespace

Json ToJson(const std::vector<SipService::LegView>& legs) {
  Json list = Json::array();
  for (const SipService::LegView& leg : legs) {
    Json counters = Json::object();
    for (const auto& [name, value] : leg.counters) {
      counters[SafeText(name)] = value;
    }
    list.push_back({{"name", SafeText(leg.name)},
                    {"listeners", Words(leg.listeners)},
                    {"chain", Words(leg.chain)},
                    {"connections", leg.connections},
                    {"counters", std::move(counters)}});
  }
  return {{"legs", std::move(list)}};
}

Json ToJson(const SipService::RegistrationPage& page, size_t offset,
            size_t limit) {
  Json list = Json::array();
  for (const SipService::RegistrationView& one : page.registrations) {
    list.push_back({{"aor", SafeText(one.aor)},
                    {"contact", SafeText(one.contact)},
                    {"q", one.q},
                    {"expires_in_s", one.expires_in_s},
                    {"leg", SafeText(one.leg)},
                    {"received", TextOrNull(one.received)},
                    {"path", TextOrNull(one.path)},
                    {"instance", TextOrNull(one.instance)}});
  }
  return {{"total", page.total},
          {"offset", offset},
          {"limit", limit},
          {"registrations", std::move(list)}};
}

Json ToJson(const std::vector<SipTrace::Entry>& messages,
            std::string_view call_id, Micros now) {
  Json list = Json::array();
  for (const SipTrace::Entry& one : messages) {
    // One may be newer than `now`, which was read before it came.
    const Micros age = one.at > now ? Micros() : now - one.at;
    list.push_back({{"age_s", Seconds(age)},
                    {"after_s", Seconds(one.at - messages.front().at)},
                    {"direction", one.in ? "in" : "out"},
                    {"leg", SafeText(one.leg)},
                    {"peer", SafeText(one.peer)},
                    {"cut", one.cut},
                    {"text", SafeText(one.octets)}});
  }
  return {{"call_id", SafeText(call_id)}, {"messages", std::move(list)}};
}

}  // namespace sluice::control
