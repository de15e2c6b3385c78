#include "control/json_view.h"

#include <array>
#include <cstddef>
#include <cstdint>

#include "absl/strings/str_cat.h"
#include "control/explain.h"
#include "nlohmann/json.hpp"
#include "relay/counters.h"

namespace sluice::control {
namespace {

constexpr char kHex[] = "0123456789abcdef";

int HexValue(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

// The octet written in two hexadecimal digits at `text[at]`, or -1.
int HexOctet(std::string_view text, size_t at) {
  if (at + 2 > text.size()) return -1;
  const int high = HexValue(text[at]), low = HexValue(text[at + 1]);
  return high < 0 || low < 0 ? -1 : high * 16 + low;
}

// Zero width and direction marks (U+200B..U+200F, U+202A..U+202E,
// U+2066..U+2069): two ids that differ must look different.
bool IsInvisible(std::string_view character) {
  if (character.size() != 3 || character[0] != '\xe2') return false;
  const auto last = static_cast<uint8_t>(character[2]);
  if (character[1] == '\x80') {
    return (last >= 0x8b && last <= 0x8f) || (last >= 0xaa && last <= 0xae);
  }
  return character[1] == '\x81' && last >= 0xa6 && last <= 0xa9;
}

// How many octets at the start of `bytes` are one printable UTF-8 character
// (RFC 3629 4); 0 when they are none. C1 controls count as none: some terminals
// obey them.
size_t PrintableLength(std::string_view bytes) {
  const auto at = [&](size_t i) { return static_cast<uint8_t>(bytes[i]); };
  const uint8_t first = at(0);
  if (first < 0x80) return first >= 0x20 && first != 0x7f && first != '\\';
  size_t length = 0;
  uint8_t second_min = 0x80, second_max = 0xbf;
  if (first >= 0xc2 && first <= 0xdf) {
    length = 2;
    if (first == 0xc2) second_min = 0xa0;
  } else if (first >= 0xe0 && first <= 0xef) {
    length = 3;
    if (first == 0xe0) second_min = 0xa0;
    if (first == 0xed) second_max = 0x9f;
  } else if (first >= 0xf0 && first <= 0xf4) {
    length = 4;
    if (first == 0xf0) second_min = 0x90;
    if (first == 0xf4) second_max = 0x8f;
  }
  if (length == 0 || bytes.size() < length) return 0;
  if (at(1) < second_min || at(1) > second_max) return 0;
  for (size_t i = 2; i < length; ++i) {
    if (at(i) < 0x80 || at(i) > 0xbf) return 0;
  }
  return IsInvisible(bytes.substr(0, length)) ? 0 : length;
}

Json Address(const Endpoint& endpoint) {
  if (endpoint.is_none()) return nullptr;
  return endpoint.ToString();
}

double Seconds(Micros distance) {
  return static_cast<double>(distance.us()) / 1e6;
}

// How long ago; null for never. A packet may be newer than `now`, which was
// read before it came.
Json Ago(Micros point, Micros now) {
  if (point == Micros()) return nullptr;
  return point > now ? 0.0 : Seconds(now - point);
}

Json Drops(const relay::SideReport& report) {
  Json drops = Json::object();
  for (size_t i = 0; i < relay::kDropReasons; ++i) {
    if (report.drops[i] != 0)
      drops[relay::kDropNames[i].name] = report.drops[i];
  }
  return drops;
}

Json Quality(const FlowView::SideView& side) {
  const rtp::StreamQuality& q = side.report.quality;
  if (q.received == 0) return nullptr;
  const double loss = q.expected == 0 || q.lost <= 0
                          ? 0.0
                          : 100.0 * static_cast<double>(q.lost) /
                                static_cast<double>(q.expected);
  Json json = {{"ssrc", q.ssrc},           {"ssrc_changes", q.ssrc_changes},
               {"received", q.received},   {"expected", q.expected},
               {"lost", q.lost},           {"loss_percent", loss},
               {"reordered", q.reordered}, {"duplicates", q.duplicates},
               {"jitter_ms", q.jitter_ms}};
  json["rtt_ms"] = q.rtt_ms > 0 ? Json(q.rtt_ms) : Json(nullptr);
  json["mos"] = side.mos > 0 ? Json(side.mos) : Json(nullptr);
  return json;
}

Json SideToJson(const FlowView& flow, Side which, Micros now) {
  const FlowView::SideView& side = flow.side[Index(which)];
  const std::string hint = WhyNoAudio(flow, which, now);
  return {{"local", Address(side.local)},
          {"target", Address(side.target)},
          {"latched", Address(side.latched)},
          {"latched_by", Name(side.by)},
          {"confirmed", side.confirmed},
          {"packets_in", side.report.packets_in},
          {"bytes_in", side.report.bytes_in},
          {"packets_out", side.report.packets_out},
          {"bytes_out", side.report.bytes_out},
          {"last_packet_ago_s", Ago(side.report.last_packet, now)},
          {"drops", Drops(side.report)},
          {"quality", Quality(side)},
          {"hint", hint.empty() ? Json(nullptr) : Json(hint)}};
}

Json FlowToJson(const FlowView& flow, Micros now) {
  return {{"medium", SafeText(flow.call_medium)},
          {"index", flow.index},
          {"kind", Name(flow.kind)},
          {"sides",
           {{"from", SideToJson(flow, Side::kFrom, now)},
            {"to", SideToJson(flow, Side::kTo, now)}}}};
}

Json Ports(uint64_t total, uint64_t taken, uint64_t quarantined) {
  const uint64_t used = taken + quarantined;
  return {{"total", total},
          {"taken", taken},
          {"quarantined", quarantined},
          {"free", total > used ? total - used : 0}};
}

Json Named(const std::vector<std::pair<std::string, uint64_t>>& numbers) {
  Json json = Json::object();
  for (const auto& [name, value] : numbers) json[SafeText(name)] = value;
  return json;
}

Json SafeTexts(const std::vector<std::string>& texts) {
  Json json = Json::array();
  for (const std::string& text : texts) json.push_back(SafeText(text));
  return json;
}

Json Numbers(const std::vector<relay::xdp::FastPath::Number>& numbers) {
  Json json = Json::object();
  for (const auto& number : numbers) json[number.name] = number.value;
  return json;
}

std::string Href(std::string_view call_id) {
  return absl::StrCat("/v1/calls/", PercentEncode(call_id));
}

}  // namespace

std::string SafeText(std::string_view bytes) {
  std::string text;
  text.reserve(bytes.size());
  while (!bytes.empty()) {
    const size_t length = PrintableLength(bytes);
    if (length > 0) {
      text.append(bytes.substr(0, length));
      bytes.remove_prefix(length);
      continue;
    }
    const auto octet = static_cast<uint8_t>(bytes[0]);
    text += {'\\', 'x', kHex[octet >> 4], kHex[octet & 15]};
    bytes.remove_prefix(1);
  }
  return text;
}

std::string FromSafeText(std::string_view text) {
  std::string bytes;
  bytes.reserve(text.size());
  for (size_t i = 0; i < text.size(); ++i) {
    if (text.substr(i, 2) == "\\x") {
      if (const int octet = HexOctet(text, i + 2); octet >= 0) {
        bytes += static_cast<char>(octet);
        i += 3;
        continue;
      }
    }
    bytes += text[i];
  }
  return bytes;
}

std::string PercentEncode(std::string_view bytes) {
  std::string text;
  for (const char c : bytes) {
    const auto octet = static_cast<uint8_t>(c);
    const bool unreserved = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                            (c >= '0' && c <= '9') || c == '-' || c == '.' ||
                            c == '_' || c == '~';
    if (unreserved) {
      text += c;
    } else {
      text += {'%', kHex[octet >> 4], kHex[octet & 15]};
    }
  }
  return text;
}

std::optional<std::string> PercentDecode(std::string_view text) {
  std::string bytes;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      bytes += text[i];
      continue;
    }
    const int octet = HexOctet(text, i + 1);
    if (octet < 0) return std::nullopt;
    bytes += static_cast<char>(octet);
    i += 2;
  }
  return bytes;
}

Json ToJson(const DaemonStatus& status, bool ready) {
  const ManagerStatus& manager = status.manager;
  Json json = {{"version", status.version},
               {"pid", status.pid},
               {"uptime_s", status.uptime_s},
               {"engine", status.engine},
               {"engine_reason", SafeText(status.engine_reason)},
               {"ready", ready},
               {"draining", manager.draining},
               {"calls", manager.calls},
               {"sessions", manager.sessions},
               {"flows", manager.flows},
               {"sockets", manager.sockets},
               {"ports", Ports(manager.ports_total, manager.ports_taken,
                               manager.ports_quarantined)},
               {"interfaces", Json::array()},
               {"shards", Json::array()},
               {"listeners", Json::array()},
               {"manager", Named(manager.counters)},
               {"rpc", Named(status.rpc_counters)},
               {"fast_path", Numbers(status.fast_path)},
               {"session_file", Numbers(status.session_file)},
               {"log_lines_dropped", status.log_lines_dropped}};
  for (const auto& interface : status.interfaces) {
    json["interfaces"].push_back(
        {{"name", SafeText(interface.name)},
         {"address", SafeText(interface.address)},
         {"advertise", SafeText(interface.advertise)},
         {"latch", interface.latch},
         {"xdp", interface.xdp},
         {"path", interface.path},
         {"path_reason", SafeText(interface.path_reason)},
         {"path_hints", SafeTexts(interface.path_hints)},
         {"ports", Ports(interface.ports_total, interface.ports_taken,
                         interface.ports_quarantined)}});
  }
  for (const DaemonStatus::ShardView& shard : status.shards) {
    const auto most = static_cast<double>(shard.sockets_max);
    json["shards"].push_back(
        {{"shard", json["shards"].size()},
         {"engine", status.engine},
         {"sockets", shard.sockets},
         {"sockets_max", shard.sockets_max},
         {"load", most > 0 ? Json(static_cast<double>(shard.sockets) / most)
                           : Json(nullptr)}});
  }
  for (const auto& listener : status.listeners) {
    json["listeners"].push_back(
        {{"kind", listener.kind}, {"address", SafeText(listener.address)}});
  }
  return json;
}

Json StatsToJson(const OperatorApi& api, Micros now) {
  Json shards = Json::array();
  for (uint32_t i = 0; i < api.shards(); ++i) {
    const relay::ShardCounters& counters = api.counters(i);
    Json shard = {{"shard", i}};
    counters.ForEach([&shard](const char* name, const char*, uint64_t value) {
      shard[name] = value;
    });
    Json drops = Json::object();
    for (size_t r = 0; r < relay::kDropReasons; ++r) {
      drops[relay::kDropNames[r].name] = counters.drops[r].Get();
    }
    shard["drops"] = std::move(drops);
    shards.push_back(std::move(shard));
  }
  // The clock of the numbers, so that rates do not depend on how long the
  // answer took.
  return {{"time_s", Seconds(now)}, {"shards", std::move(shards)}};
}

Json ToJson(const CallPage& page, size_t offset, size_t limit, Micros now) {
  Json calls = Json::array();
  for (const CallSummary& call : page.calls) {
    calls.push_back({{"call_id", SafeText(call.call_id)},
                     {"href", Href(call.call_id)},
                     {"shard", call.shard},
                     {"age_s", Ago(call.created, now)},
                     {"last_packet_ago_s", Ago(call.last_packet, now)},
                     {"sessions", call.sessions},
                     {"sockets", call.sockets},
                     {"packets", call.packets},
                     {"bytes", call.bytes}});
  }
  return {{"total", page.total},
          {"offset", offset},
          {"limit", limit},
          {"time_s", Seconds(now)},
          {"calls", std::move(calls)}};
}

Json ToJson(const CaptureView& capture) {
  if (capture.number == 0) return {{"capture", 0}, {"running", false}};
  return {{"capture", capture.number},
          {"call_id", SafeText(capture.call_id)},
          {"running", capture.running},
          {"ended", capture.running ? Json() : Json(capture.ended)},
          {"packets", capture.packets},
          {"bytes", capture.bytes},
          {"lost", capture.lost}};
}

Json ToJson(const CallView& call, Micros now) {
  Json sessions = Json::array();
  for (const SessionView& session : call.sessions) {
    Json flows = Json::array();
    for (const FlowView& flow : session.flows) {
      flows.push_back(FlowToJson(flow, now));
    }
    sessions.push_back({{"id", session.id},
                        {"cseq", session.cseq},
                        {"id_from", SafeText(session.id_from)},
                        {"id_to", SafeText(session.id_to)},
                        {"age_s", Ago(session.created, now)},
                        {"last_packet_ago_s", Ago(session.last_packet, now)},
                        {"flows", std::move(flows)}});
  }
  return {{"call_id", SafeText(call.call_id)},
          {"href", Href(call.call_id)},
          {"uri_from", SafeText(call.uri_from)},
          {"uri_to", SafeText(call.uri_to)},
          {"shard", call.shard},
          {"age_s", Ago(call.created, now)},
          {"sockets", call.sockets},
          {"sessions", std::move(sessions)}};
}

Json ErrorJson(std::string_view message) {
  return {{"error", SafeText(message)}};
}

std::string Dump(const Json& json) {
  return json.dump(-1, ' ', /*ensure_ascii=*/true,
                   Json::error_handler_t::replace) +
         "\n";
}

}  // namespace sluice::control
