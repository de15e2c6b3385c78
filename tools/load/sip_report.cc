#include "tools/load/sip_report.h"

#include <algorithm>
#include <string_view>
#include <tuple>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/text.h"
#include "tools/load/report.h"

namespace sluice::load {
namespace {

double Us(uint64_t ns) { return static_cast<double>(ns) / 1000.0; }

void AppendDelays(std::string* text, const char* what, const Histogram& ns) {
  absl::StrAppendFormat(
      text, "  %-9s p50 %.0f us, p99 %.0f us, p99.9 %.0f us, max %.0f us\n",
      what, Us(ns.Quantile(0.5)), Us(ns.Quantile(0.99)), Us(ns.Quantile(0.999)),
      Us(ns.max()));
}

// Counters that are zero in a run without fault, as far as they are not.
std::string Oddities(const SipTotals& t) {
  std::string text;
  const auto tell = [&](uint64_t count, const char* what) {
    if (count > 0) {
      absl::StrAppend(&text, text.empty() ? "" : ", ", count, " ", what);
    }
  };
  tell(t.retransmissions, "came again");
  tell(t.resent, "sent again by us");
  tell(t.late, "late");
  tell(t.unexpected, "unexpected");
  tell(t.foreign, "foreign");
  tell(t.malformed, "malformed");
  return text;
}

// The packets of calls: what tally.def has for them, in the names that the
// counters of calls have.
void PutMedia(const Totals& t, nlohmann::ordered_json* counts) {
  const std::pair<const char*, uint64_t> rows[] = {
      {"media_sent", t.sent},
      {"media_received", t.received},
      {"media_reordered", t.reordered},
      {"media_duplicates", t.duplicates},
      {"media_too_old", t.too_old},
      {"media_misrouted", t.misrouted},
      {"media_wrong_source", t.wrong_source},
      {"media_corrupted", t.corrupted},
      {"media_foreign", t.foreign},
      {"media_send_refused", t.send_refused}};
  for (const auto& [name, count] : rows) (*counts)[name] = count;
}

double LostShare(const Totals& t) {
  return t.sent == 0
             ? 0
             : static_cast<double>(t.lost()) / static_cast<double>(t.sent);
}

void AppendMedia(const SipRunResult& r, double span, std::string* text) {
  const Totals& t = r.media;
  absl::StrAppendFormat(
      text, "  media     %10.0f packets/s, of %d calls in all\n",
      static_cast<double>(r.media_measured.sent) / span, r.whole.media_calls);
  AppendDelays(text, "packet", r.media_ns);
  absl::StrAppendFormat(text,
                        "  lost      %10d of %d packets (%.4f %%), %d "
                        "misrouted\n",
                        t.lost(), t.sent, 100 * LostShare(t), t.misrouted);
  const std::pair<uint64_t, const char*> rows[] = {
      {r.whole.media_failed, "calls without an address to send to"},
      {r.whole.media_no_place, "calls not begun for want of a place"},
      {r.whole.media_late, "packets came after their call's media"},
      {t.reordered, "packets reordered"},
      {t.duplicates + t.too_old, "packets came again"},
      {t.wrong_source, "packets from another address than announced"},
      {t.corrupted, "packets corrupted"},
      {t.foreign, "packets of another run"}};
  for (const auto& [count, what] : rows) {
    if (count > 0) absl::StrAppend(text, "  media: ", count, " ", what, "\n");
  }
}

}  // namespace

nlohmann::ordered_json ToJson(const SipRunOptions& o, const SipRunResult& r,
                              size_t users) {
  const double span = std::max(r.measured_s, 1e-9);
  const SipTrafficOptions& t = o.traffic;
  nlohmann::ordered_json j;
  j["version"] = SLUICE_VERSION;
  j["scenario"] = std::string(NameOf(t.caller.parties.scenario));
  j["transport"] = Lower(sip::NameOf(t.caller.parties.transport));
  j["rate_asked_per_s"] = t.rate;
  j["spacing"] =
      t.spacing == SipTrafficOptions::Spacing::kEven ? "even" : "exponential";
  j["users"] = users;
  j["interrupted"] = r.interrupted;
  j["measured_s"] = r.measured_s;
  j["started_per_s"] = static_cast<double>(r.measured.started) / span;
  j["answered_per_s"] = static_cast<double>(r.measured.answered) / span;
  j["messages_per_s"] = static_cast<double>(r.measured.messages()) / span;
  j["failed_ratio"] = r.whole.failed_share();
  nlohmann::ordered_json codes = nlohmann::ordered_json::object();
  for (size_t code = 0; code < r.failures.size(); ++code) {
    if (r.failures[code] > 0) codes[absl::StrCat(code)] = r.failures[code];
  }
  j["failed_by_code"] = codes;
  j["answer_us"] = DelayJson(r.answer_ns);
  j["whole_us"] = DelayJson(r.whole_ns);
  const bool media = t.media_s > 0;
  if (media) {
    j["media_s"] = t.media_s;
    j["media_pps"] = static_cast<double>(r.media_measured.sent) / span;
    j["media_loss_ratio"] = LostShare(r.media);
    j["media_us"] = DelayJson(r.media_ns);
  }
  const std::tuple<const char*, const SipTotals*, const Totals*> totals[] = {
      {"whole_run", &r.whole, &r.media},
      {"measured", &r.measured, &r.media_measured}};
  for (const auto& [name, sum, packets] : totals) {
    nlohmann::ordered_json counts;
#define SIP_TALLY(field, help)                                    \
  if (media || !std::string_view(#field).starts_with("media_")) { \
    counts[#field] = sum->field;                                  \
  }
#include "tools/load/sip_tally.def"
#undef SIP_TALLY
    if (media) PutMedia(*packets, &counts);
    j[name] = counts;
  }
  // Of the whole run alone: at a moment in between some are under way.
  if (media) j["whole_run"]["media_lost"] = r.media.lost();
  const auto doubts = r.Doubts(o);
  j["generator"] = {{"workers", std::max<size_t>(o.cores.size(), 1)},
                    {"cpu_share", r.generator_cpu},
                    {"idle_share", r.idle_share()},
                    {"receive_drops", r.receive_drops},
                    {"bottleneck", !doubts.empty()},
                    {"doubts", doubts}};
  if (r.proxy_before.has_value() && r.proxy_after.has_value()) {
    const uint64_t cpu_ns = r.proxy_after->cpu_ns - r.proxy_before->cpu_ns;
    j["proxy"] = {{"pids", o.proxy_pids},
                  {"cpu_share", static_cast<double>(cpu_ns) * 1e-9 / span},
                  {"cpu_us_per_message", r.proxy_us_per_message().value_or(0)},
                  {"rss_bytes", r.proxy_after->rss_bytes},
                  {"fds", r.proxy_after->fds}};
  } else if (!o.proxy_pids.empty()) {
    j["proxy"] = {{"pids", o.proxy_pids}, {"gone", true}};
  }
  return j;
}

std::string ToText(const SipRunOptions& o, const SipRunResult& r,
                   size_t users) {
  const double span = std::max(r.measured_s, 1e-9);
  const SipParties& parties = o.traffic.caller.parties;
  const bool call = parties.scenario == SipScenario::kCall;
  std::string text;
  Append(&text, NameOf(parties.scenario), " over ",
         sip::NameOf(parties.transport));
  absl::StrAppendFormat(&text, ", %d users, %.0f/s asked for, %.1f s%s\n",
                        users, o.traffic.rate, r.measured_s,
                        r.interrupted ? " (interrupted)" : "");
  absl::StrAppendFormat(&text, "  begun     %10.0f /s\n",
                        static_cast<double>(r.measured.started) / span);
  absl::StrAppendFormat(&text, "  answered  %10.0f /s\n",
                        static_cast<double>(r.measured.answered) / span);
  absl::StrAppendFormat(&text, "  messages  %10.0f /s through the proxy\n",
                        static_cast<double>(r.measured.messages()) / span);
  AppendDelays(&text, call ? "200 after" : "answer", r.answer_ns);
  if (call || r.whole.challenged > 0) {
    AppendDelays(&text, "whole", r.whole_ns);
  }
  absl::StrAppendFormat(
      &text, "  failed    %10d of %d (%.4f %%), %d of them timed out\n",
      r.whole.started - r.whole.answered, r.whole.started,
      100 * r.whole.failed_share(), r.whole.timed_out);
  for (size_t code = 0; code < r.failures.size(); ++code) {
    if (r.failures[code] > 0) {
      absl::StrAppendFormat(&text, "    %d       %10d\n", code,
                            r.failures[code]);
    }
  }
  if (const std::string odd = Oddities(r.whole); !odd.empty()) {
    absl::StrAppend(&text, "  messages: ", odd, "\n");
  }
  if (o.traffic.media_s > 0) AppendMedia(r, span, &text);
  if (const auto us = r.proxy_us_per_message(); us.has_value()) {
    const uint64_t cpu_ns = r.proxy_after->cpu_ns - r.proxy_before->cpu_ns;
    absl::StrAppendFormat(
        &text,
        "  proxy     %.2f us CPU a message, %.0f %% of a core, %.1f MB, %d "
        "descriptors\n",
        *us, 100 * static_cast<double>(cpu_ns) * 1e-9 / span,
        static_cast<double>(r.proxy_after->rss_bytes) / 1e6,
        r.proxy_after->fds);
  }
  absl::StrAppendFormat(&text,
                        "  generator %.0f %% of its core, idle %.0f %%\n",
                        100 * r.generator_cpu, 100 * r.idle_share());
  for (const std::string& doubt : r.Doubts(o)) {
    absl::StrAppend(&text, "  WARNING: ", doubt, "\n");
  }
  return text;
}

}  // namespace sluice::load
