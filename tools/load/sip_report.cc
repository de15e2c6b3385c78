#include "tools/load/sip_report.h"

#include <algorithm>

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
  const std::pair<const char*, const SipTotals*> totals[] = {
      {"whole_run", &r.whole}, {"measured", &r.measured}};
  for (const auto& [name, sum] : totals) {
    nlohmann::ordered_json counts;
#define SIP_TALLY(field, help) counts[#field] = sum->field;
#include "tools/load/sip_tally.def"
#undef SIP_TALLY
    j[name] = counts;
  }
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
