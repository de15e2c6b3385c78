#include "tools/load/report.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace sluice::load {
namespace {

double Us(uint64_t ns) { return static_cast<double>(ns) / 1000.0; }

double Ratio(uint64_t part, uint64_t whole) {
  return whole == 0 ? 0
                    : static_cast<double>(part) / static_cast<double>(whole);
}

// CPU time of the relay in the measured phase; 0 when it was not asked for.
uint64_t RelayCpuNs(const RunResult& r) {
  if (!r.relay_before.has_value() || !r.relay_after.has_value()) return 0;
  return r.relay_after->cpu_ns - r.relay_before->cpu_ns;
}

}  // namespace

nlohmann::ordered_json DelayJson(const Histogram& ns) {
  return {{"count", ns.count()},
          {"min", Us(ns.min())},
          {"mean", ns.mean() / 1000.0},
          {"p50", Us(ns.Quantile(0.5))},
          {"p90", Us(ns.Quantile(0.9))},
          {"p99", Us(ns.Quantile(0.99))},
          {"p99.9", Us(ns.Quantile(0.999))},
          {"max", Us(ns.max())}};
}

nlohmann::ordered_json ToJson(const RunOptions& o, const RunResult& r,
                              size_t sessions) {
  const double span = std::max(r.measured_s, 1e-9);
  nlohmann::ordered_json j;
  j["version"] = SLUICE_VERSION;
  j["method"] = o.traffic.rate > 0 ? "paced" : "window";
  j["sessions"] = sessions;
  j["packet_bytes"] = o.traffic.packet_bytes;
  j["burst"] = o.traffic.burst;
  if (o.traffic.rate > 0) {
    j["rate_asked_pps"] = o.traffic.rate;
  } else {
    j["window"] = o.traffic.window;
  }
  j["interrupted"] = r.interrupted;
  j["measured_s"] = r.measured_s;
  j["sent_pps"] = static_cast<double>(r.measured.sent) / span;
  j["received_pps"] = static_cast<double>(r.measured.received) / span;
  j["lost"] = r.whole.lost();
  j["loss_ratio"] = Ratio(r.whole.lost(), r.whole.sent);
  j["rtcp_lost"] = r.whole.rtcp_lost();
  j["faults"] = r.whole.faults();
  j["silent_streams"] = r.silent_streams;
  j["delay_us"] = DelayJson(r.delay_ns);
  const std::pair<const char*, const Totals*> totals[] = {
      {"whole_run", &r.whole}, {"measured", &r.measured}};
  for (const auto& [name, t] : totals) {
    nlohmann::ordered_json counts;
#define TALLY(field, help) counts[#field] = t->field;
#include "tools/load/tally.def"
#undef TALLY
    j[name] = counts;
  }
  const auto doubts = r.Doubts(o);
  j["generator"] = {
      {"workers", std::max<size_t>(o.cores.size(), 1)},
      {"cpu_share", r.generator_cpu},
      {"idle_share", r.idle_share()},
      {"polls_full_share", Ratio(r.measured.polls_full, r.measured.polls)},
      {"receive_drops", r.receive_drops},
      {"bottleneck", !doubts.empty()},
      {"doubts", doubts}};
  if (r.relay_before.has_value() && r.relay_after.has_value()) {
    const uint64_t cpu = RelayCpuNs(r);
    j["relay"] = {{"pid", o.relay_pid},
                  {"cpu_share", static_cast<double>(cpu) * 1e-9 / span},
                  {"cpu_ns_per_packet", Ratio(cpu, r.measured.received)},
                  {"rss_bytes", r.relay_after->rss_bytes},
                  {"fds", r.relay_after->fds}};
  } else if (o.relay_pid != 0) {
    j["relay"] = {{"pid", o.relay_pid}, {"gone", true}};
  }
  return j;
}

std::string ToText(const RunOptions& o, const RunResult& r, size_t sessions) {
  const double span = std::max(r.measured_s, 1e-9);
  std::string text;
  absl::StrAppendFormat(
      &text, "%d sessions, %d-octet packets, %s, %.1f s%s\n", sessions,
      o.traffic.packet_bytes,
      o.traffic.rate > 0
          ? absl::StrFormat("paced at %.0f packets/s", o.traffic.rate)
          : absl::StrFormat("window of %d packets", o.traffic.window),
      r.measured_s, r.interrupted ? " (interrupted)" : "");
  absl::StrAppendFormat(&text, "  sent      %10.0f packets/s\n",
                        static_cast<double>(r.measured.sent) / span);
  absl::StrAppendFormat(&text, "  arrived   %10.0f packets/s\n",
                        static_cast<double>(r.measured.received) / span);
  absl::StrAppendFormat(
      &text,
      "  delay     p50 %.0f us, p99 %.0f us, p99.9 %.0f us, max %.0f us\n",
      Us(r.delay_ns.Quantile(0.5)), Us(r.delay_ns.Quantile(0.99)),
      Us(r.delay_ns.Quantile(0.999)), Us(r.delay_ns.max()));
  absl::StrAppendFormat(&text, "  lost      %10d of %d (%.4f %%)\n",
                        r.whole.lost(), r.whole.sent,
                        100 * Ratio(r.whole.lost(), r.whole.sent));
  absl::StrAppendFormat(
      &text,
      "  reordered %d, duplicates %d, too old %d, misrouted %d, from a wrong "
      "source %d, corrupted %d, silent streams %d\n",
      r.whole.reordered, r.whole.duplicates, r.whole.too_old, r.whole.misrouted,
      r.whole.wrong_source, r.whole.corrupted, r.silent_streams);
  if (o.traffic.rtcp_every_s > 0) {
    absl::StrAppendFormat(&text, "  RTCP      %10d sent, %d lost\n",
                          r.whole.rtcp_sent, r.whole.rtcp_lost());
  }
  if (r.relay_before.has_value() && r.relay_after.has_value()) {
    const uint64_t cpu = RelayCpuNs(r);
    absl::StrAppendFormat(
        &text,
        "  relay     %.0f ns CPU a packet, %.0f %% of a core, %.1f MB, %d "
        "descriptors\n",
        Ratio(cpu, r.measured.received),
        100 * static_cast<double>(cpu) * 1e-9 / span,
        static_cast<double>(r.relay_after->rss_bytes) / 1e6,
        r.relay_after->fds);
  }
  absl::StrAppendFormat(&text,
                        "  generator %.0f %% of its core, idle %.0f %%\n",
                        100 * r.generator_cpu, 100 * r.idle_share());
  for (const std::string& doubt : r.Doubts(o)) {
    absl::StrAppend(&text, "  WARNING: ", doubt, "\n");
  }
  return text;
}

nlohmann::ordered_json SetupJson(const SessionSetup& setup, size_t sessions) {
  const auto rate = [&](double seconds) {
    return seconds > 0 ? static_cast<double>(sessions) / seconds : 0;
  };
  return {{"sessions", sessions},
          {"setup_s", setup.setup_s()},
          {"setups_per_s", rate(setup.setup_s())},
          {"close_s", setup.close_s()},
          {"closes_per_s", rate(setup.close_s())},
          {"close_unknown", setup.close_unknown()}};
}

}  // namespace sluice::load
