#include "tools/load/session_plan.h"

#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/status_macros.h"

namespace sluice::load {
namespace {

// One session as the other program wrote it.
struct Entry {
  std::optional<Endpoint> relay[2];
  std::optional<Endpoint> local[2];
};

absl::StatusOr<Endpoint> ParseOne(std::string_view where,
                                  std::string_view text) {
  const std::optional<Endpoint> endpoint = Endpoint::Parse(text);
  if (!endpoint.has_value() || endpoint->port == Port()) {
    return absl::InvalidArgumentError(
        absl::StrFormat("%s: \"%s\" is not address:port", where, text));
  }
  return *endpoint;
}

absl::StatusOr<std::vector<Entry>> ParseJson(std::string_view text) {
  const auto root = nlohmann::json::parse(text, nullptr, false);
  if (!root.is_object() || !root.contains("sessions") ||
      !root["sessions"].is_array()) {
    return absl::InvalidArgumentError(
        "endpoints: not JSON with a list \"sessions\"");
  }
  static constexpr const char* kRelay[2] = {"caller_relay", "callee_relay"};
  static constexpr const char* kLocal[2] = {"caller_local", "callee_local"};
  std::vector<Entry> entries;
  for (const auto& session : root["sessions"]) {
    const std::string where =
        absl::StrCat("endpoints: session ", entries.size());
    if (!session.is_object()) {
      return absl::InvalidArgumentError(absl::StrCat(where, ": not a map"));
    }
    Entry entry;
    for (int p = 0; p < 2; ++p) {
      for (const auto& [key, out] : {std::pair(kRelay[p], &entry.relay[p]),
                                     std::pair(kLocal[p], &entry.local[p])}) {
        const auto it = session.find(key);
        if (it == session.end()) continue;
        if (!it->is_string()) {
          return absl::InvalidArgumentError(
              absl::StrCat(where, ": ", key, " is not a string"));
        }
        ASSIGN_OR_RETURN(*out,
                         ParseOne(where, it->get_ref<const std::string&>()));
      }
    }
    entries.push_back(entry);
  }
  return entries;
}

// The next piece of `text` up to one of `ends`, which is taken off it, too.
std::string_view TakeUntil(std::string_view& text, std::string_view ends) {
  const size_t end = text.find_first_of(ends);
  const std::string_view piece = text.substr(0, end);
  text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
  return piece;
}

absl::StatusOr<std::vector<Entry>> ParseLines(std::string_view text) {
  std::vector<Entry> entries;
  int number = 0;
  while (!text.empty()) {
    ++number;
    std::string_view line = TakeUntil(text, "\n");
    line = line.substr(0, line.find('#'));
    std::vector<std::string_view> words;
    while (!line.empty()) {
      const std::string_view word = TakeUntil(line, " \t\r");
      if (!word.empty()) words.push_back(word);
    }
    if (words.empty()) continue;
    if (words.size() != 2 && words.size() != 4) {
      return absl::InvalidArgumentError(
          absl::StrFormat("endpoints:%d: 2 or 4 addresses wanted, %d found",
                          number, words.size()));
    }
    const std::string where = absl::StrCat("endpoints:", number);
    Entry entry;
    for (size_t i = 0; i < words.size(); ++i) {
      auto& out = i < 2 ? entry.relay[i] : entry.local[i - 2];
      ASSIGN_OR_RETURN(out, ParseOne(where, words[i]));
    }
    entries.push_back(entry);
  }
  return entries;
}

}  // namespace

Endpoint RtcpOf(const Endpoint& rtp) {
  return {rtp.ip, Port::FromHost(static_cast<uint16_t>(rtp.port.host() + 1))};
}

absl::StatusOr<std::vector<SessionPlan>> PlanSessions(
    uint32_t sessions, const LocalAddresses& addresses) {
  const uint32_t stride = addresses.from_ip == addresses.to_ip ? 4 : 2;
  const uint32_t room = (65536u - addresses.bind_base) / stride;
  if (addresses.bind_base % 2 != 0) {
    return absl::InvalidArgumentError(
        absl::StrFormat("bind base (%d) must be even", addresses.bind_base));
  }
  if ((sessions + addresses.share - 1) / addresses.share > room) {
    return absl::InvalidArgumentError(absl::StrFormat(
        "%d sessions do not fit above port %d (%d do): lower --bind-base or "
        "give the parties two addresses",
        sessions, addresses.bind_base, room * addresses.share));
  }
  std::vector<SessionPlan> plan(sessions);
  for (uint32_t i = 0; i < sessions; ++i) {
    const uint32_t port = addresses.bind_base + stride * (i / addresses.share);
    plan[i].party[kCaller].local = {
        addresses.from_ip, Port::FromHost(static_cast<uint16_t>(port))};
    plan[i].party[kCallee].local = {
        addresses.to_ip,
        Port::FromHost(static_cast<uint16_t>(port + (stride - 2)))};
  }
  return plan;
}

absl::StatusOr<std::vector<SessionPlan>> ParseEndpoints(
    std::string_view text, const LocalAddresses& addresses) {
  const size_t first = text.find_first_not_of(" \t\r\n");
  const bool json = first != std::string_view::npos && text[first] == '{';
  auto entries = json ? ParseJson(text) : ParseLines(text);
  if (!entries.ok()) return entries.status();
  if (entries->empty()) {
    return absl::InvalidArgumentError("endpoints: no session in it");
  }
  if (entries->size() > 65536) {
    return absl::InvalidArgumentError("endpoints: more than 65536 sessions");
  }
  ASSIGN_OR_RETURN(
      std::vector<SessionPlan> plan,
      PlanSessions(static_cast<uint32_t>(entries->size()), addresses));
  for (size_t i = 0; i < plan.size(); ++i) {
    for (int p = 0; p < 2; ++p) {
      const Entry& entry = (*entries)[i];
      if (!entry.relay[p].has_value()) {
        return absl::InvalidArgumentError(
            absl::StrFormat("endpoints: session %d has no %s", i,
                            p == kCaller ? "caller_relay" : "callee_relay"));
      }
      plan[i].party[p].relay = *entry.relay[p];
      if (entry.local[p].has_value()) plan[i].party[p].local = *entry.local[p];
    }
  }
  return plan;
}

void ConnectDirectly(std::vector<SessionPlan>& plan) {
  for (SessionPlan& session : plan) {
    session.party[kCaller].relay = session.party[kCallee].local;
    session.party[kCallee].relay = session.party[kCaller].local;
  }
}

}  // namespace sluice::load
