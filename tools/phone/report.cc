#include "tools/phone/report.h"

#include <algorithm>

#include "absl/strings/str_format.h"
#include "base/text.h"
#include "control/json_view.h"
#include "tools/ctl/text.h"

namespace sluice::phone {
namespace {

using Json = nlohmann::ordered_json;

Json Known(double value) { return value > 0 ? Json(value) : Json(nullptr); }
Json Known(const std::string& text) {
  return text.empty() ? Json(nullptr) : Json(control::SafeText(text));
}
template <typename T>
Json Known(const std::optional<T>& value) {
  return value ? Json(*value) : Json(nullptr);
}

void AddMedia(const std::optional<MediaRecord>& media, Json& json) {
  const MediaRecord m = media.value_or(MediaRecord{});
  json["codec"] = Known(m.codec);
  json["remote"] = Known(m.remote);
  json["sent"] = m.sent;
  json["received"] = m.received;
  json["expected"] = m.expected;
  json["lost"] = m.lost;
  json["reordered"] = m.reordered;
  json["duplicates"] = m.duplicates;
  json["jitter_ms"] = m.received == 0 ? Json(nullptr) : Json(m.jitter_ms);
  json["mos"] = Known(m.mos);
  json["rtt_ms"] = Known(m.rtt_ms);
  json["peer_lost"] = Known(m.peer_lost);
  json["peer_jitter_ms"] = Known(m.peer_jitter_ms);
  json["drops"] = {{"strangers", m.drops.strangers},
                   {"malformed", m.drops.malformed},
                   {"other_types", m.drops.other_types},
                   {"not_agreed", m.drops.not_agreed},
                   {"late", m.drops.late},
                   {"too_fast", m.drops.too_fast},
                   {"unsent", m.drops.unsent}};
}

Json CallJson(const CallRecord& call) {
  Json digits = Json::array();
  for (const Digit& digit : call.digits) {
    digits.push_back({{"digit", std::string(1, digit.digit)},
                      {"method", OptionName(digit.method)}});
  }
  Json json = {
      {"call_id", Known(call.call_id)},
      {"peer", Known(call.peer)},
      {"direction", call.incoming ? "in" : "out"},
      {"state", Name(call.state)},
      {"established", call.established},
      {"code", call.result.code == 0 ? Json(nullptr) : Json(call.result.code)},
      {"reason", Known(call.result.reason)},
      {"error", Known(call.error)},
      {"ended_by", call.ended_by == EndedBy::kNobody
                       ? Json(nullptr)
                       : Json(Name(call.ended_by))},
      {"held", call.held},
      {"held_by_peer", call.held_by_peer},
      {"duration_s", call.duration_s},
      {"dtmf", std::move(digits)}};
  AddMedia(call.media, json);
  return json;
}

Json RegistrationJson(const RegistrationRecord& r) {
  return {{"registrar", Known(r.registrar)},
          {"ok", r.ok},
          {"expires_s", r.ok ? Json(r.expires_s) : Json(nullptr)},
          {"error", r.error.ok() ? Json(nullptr)
                                 : Known(std::string(r.error.message()))},
          {"removed", r.removed}};
}

// Of all calls.
MediaRecord Sum(const std::vector<CallRecord>& calls) {
  MediaRecord sum;
  for (const CallRecord& call : calls) {
    if (!call.media) continue;
    const MediaRecord& m = *call.media;
    sum.sent += m.sent;
    sum.received += m.received;
    sum.expected += m.expected;
    sum.lost += m.lost;
    sum.reordered += m.reordered;
    sum.duplicates += m.duplicates;
    sum.jitter_ms = std::max(sum.jitter_ms, m.jitter_ms);
    // The worst that is known.
    if (m.mos > 0 && (sum.mos <= 0 || m.mos < sum.mos)) sum.mos = m.mos;
  }
  return sum;
}

size_t Established(const std::vector<CallRecord>& calls) {
  return static_cast<size_t>(
      std::count_if(calls.begin(), calls.end(),
                    [](const CallRecord& call) { return call.established; }));
}

std::string LossText(const MediaRecord& m) {
  const double percent = m.expected == 0 ? 0
                                         : 100.0 * static_cast<double>(m.lost) /
                                               static_cast<double>(m.expected);
  return absl::StrFormat("%d (%.1f %%)", m.lost, percent);
}
std::string MosText(const MediaRecord& m) {
  return m.mos > 0 ? absl::StrFormat("%.2f", m.mos) : "-";
}

std::string ResultText(const CallRecord& call) {
  if (!call.error.empty()) return ctl::ShownText(call.error);
  if (call.gave_up_ringing) return "nobody answered";
  if (call.result.code == 0) return Name(call.state);
  std::string text =
      Cat(call.result.code, " ", ctl::ShownText(call.result.reason));
  if (call.ended_by == EndedBy::kSilence) text += ", then silence";
  return text;
}

}  // namespace

nlohmann::ordered_json ToJson(
    const std::optional<RegistrationRecord>& registration,
    const std::vector<CallRecord>& calls, ExitCode code) {
  Json list = Json::array();
  for (const CallRecord& call : calls) list.push_back(CallJson(call));
  const MediaRecord sum = Sum(calls);
  return {{"version", SLUICE_VERSION},
          {"registration",
           registration ? RegistrationJson(*registration) : Json(nullptr)},
          {"calls", std::move(list)},
          {"totals",
           {{"calls", calls.size()},
            {"established", Established(calls)},
            {"sent", sum.sent},
            {"received", sum.received},
            {"expected", sum.expected},
            {"lost", sum.lost},
            {"reordered", sum.reordered},
            {"duplicates", sum.duplicates},
            {"jitter_ms_max", sum.jitter_ms},
            {"mos_min", Known(sum.mos)}}},
          {"exit_code", static_cast<int>(code)}};
}

std::string ToText(const std::optional<RegistrationRecord>& registration,
                   const std::vector<CallRecord>& calls) {
  std::string out;
  if (registration) {
    const RegistrationRecord& r = *registration;
    const std::string at = ctl::ShownText(r.registrar);
    if (r.removed) {
      Append(&out, "registration at ", at, " removed\n");
    } else if (r.ok) {
      Append(&out, "registered at ", at, " for ", r.expires_s, " s\n");
    } else {
      Append(&out, "not registered at ", at, ": ",
             r.answered ? ctl::ShownText(std::string(r.error.message()))
                        : "no answer yet",
             "\n");
    }
  }
  if (calls.empty()) return out;
  using Align = ctl::Table::Align;
  ctl::Table table;
  table.Column("PEER");
  table.Column("RESULT");
  for (const char* title :
       {"SECONDS", "SENT", "RECEIVED", "LOST", "JITTER ms", "RTT ms", "MOS"}) {
    table.Column(title, Align::kRight);
  }
  table.Column("CODEC");
  table.Column("DTMF");
  for (const CallRecord& call : calls) {
    const MediaRecord m = call.media.value_or(MediaRecord{});
    std::string digits;
    for (const Digit& digit : call.digits) digits += digit.digit;
    table.Row({Cat(call.incoming ? "from " : "to ", ctl::ShownText(call.peer)),
               ResultText(call), absl::StrFormat("%.1f", call.duration_s),
               Cat(m.sent), Cat(m.received), LossText(m),
               m.received == 0 ? "-" : absl::StrFormat("%.1f", m.jitter_ms),
               m.rtt_ms > 0 ? absl::StrFormat("%.1f", m.rtt_ms) : "-",
               MosText(m), m.codec.empty() ? "-" : m.codec,
               digits.empty() ? "-" : digits});
  }
  return out + table.ToString();
}

std::string LiveLine(const std::vector<CallRecord>& calls) {
  size_t up = 0;
  const CallRecord* shown = nullptr;
  for (const CallRecord& call : calls) {
    if (call.state == sip::Call::State::kEnded) continue;
    ++up;
    shown = &call;
  }
  if (up == 0) return "no call";
  const MediaRecord m =
      up == 1 ? shown->media.value_or(MediaRecord{}) : Sum(calls);
  std::string state =
      up == 1 ? Cat(Name(shown->state), shown->held           ? ", held"
                                        : shown->held_by_peer ? ", held by peer"
                                                              : "")
              : Cat(up, " calls up");
  if (up == 1 && shown->established) {
    state += absl::StrFormat(", %.0f s", shown->duration_s);
  }
  // What matters first: a narrow terminal cuts the rest.
  return absl::StrFormat("%s, MOS %s, lost %s, jitter %.1f ms, %d in, %d out",
                         state, MosText(m), LossText(m), m.jitter_ms,
                         m.received, m.sent);
}

}  // namespace sluice::phone
