#include "control/metrics.h"

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "control/manager_counters.h"
#include "prometheus/client_metric.h"
#include "prometheus/metric_family.h"
#include "prometheus/text_serializer.h"
#include "relay/counters.h"

namespace sluice::control {
namespace {

using prometheus::ClientMetric;
using prometheus::MetricFamily;
using prometheus::MetricType;
using Labels = std::vector<ClientMetric::Label>;

ClientMetric Sample(MetricType type, Labels labels, double value) {
  ClientMetric metric;
  metric.label = std::move(labels);
  (type == MetricType::Counter ? metric.counter.value : metric.gauge.value) =
      value;
  return metric;
}

MetricFamily Family(std::string name, std::string help, MetricType type) {
  MetricFamily family;
  family.name = std::move(name);
  family.help = std::move(help);
  family.type = type;
  return family;
}

MetricFamily Gauge(std::string name, std::string help, double value) {
  MetricFamily family =
      Family(std::move(name), std::move(help), MetricType::Gauge);
  family.metric.push_back(Sample(MetricType::Gauge, {}, value));
  return family;
}

MetricFamily Counter(std::string name, std::string help, uint64_t value) {
  MetricFamily family =
      Family(std::move(name), std::move(help), MetricType::Counter);
  family.metric.push_back(
      Sample(MetricType::Counter, {}, static_cast<double>(value)));
  return family;
}

// A name that came at run time, as Prometheus allows it.
std::string MetricWord(std::string_view name) {
  std::string word;
  for (const char c : name) {
    const bool good = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                      (c >= '0' && c <= '9') || c == '_';
    word += good ? c : '_';
  }
  return word;
}

std::string ManagerHelp(const std::string& name) {
  for (const relay::NamedNumber& outcome : kManagerOutcomes) {
    if (name == outcome.name) return outcome.help;
  }
  return "Session manager";
}

void AddShards(const OperatorApi& api, std::vector<MetricFamily>* out) {
  const size_t first = out->size();
  MetricFamily drops =
      Family("sluice_drops_total",
             "Datagrams that went nowhere, by the one reason of each",
             MetricType::Counter);
  for (uint32_t i = 0; i < api.shards(); ++i) {
    const relay::ShardCounters& counters = api.counters(i);
    const std::string shard = absl::StrCat(i);
    size_t at = first;
    counters.ForEach([&](const char* name, const char* help, uint64_t value) {
      if (i == 0) {
        out->push_back(Family(absl::StrCat("sluice_", name, "_total"), help,
                              MetricType::Counter));
      }
      (*out)[at++].metric.push_back(Sample(
          MetricType::Counter, {{"shard", shard}}, static_cast<double>(value)));
    });
    for (size_t r = 0; r < relay::kDropReasons; ++r) {
      drops.metric.push_back(
          Sample(MetricType::Counter,
                 {{"shard", shard}, {"reason", relay::kDropNames[r].name}},
                 static_cast<double>(counters.drops[r].Get())));
    }
  }
  out->push_back(std::move(drops));
}

MetricFamily Ports(const DaemonStatus& status) {
  MetricFamily family =
      Family("sluice_ports", "Relay ports of an interface by state",
             MetricType::Gauge);
  for (const auto& interface : status.interfaces) {
    const uint64_t used = interface.ports_taken + interface.ports_quarantined;
    const std::pair<const char*, uint64_t> states[] = {
        {"taken", interface.ports_taken},
        {"quarantined", interface.ports_quarantined},
        {"free",
         interface.ports_total > used ? interface.ports_total - used : 0}};
    for (const auto& [state, value] : states) {
      family.metric.push_back(Sample(
          MetricType::Gauge, {{"interface", interface.name}, {"state", state}},
          static_cast<double>(value)));
    }
  }
  return family;
}

void AddStatus(const DaemonStatus& status, std::vector<MetricFamily>* out) {
  const ManagerStatus& manager = status.manager;
  const auto gauge = [out](const char* name, const char* help, auto value) {
    out->push_back(Gauge(name, help, static_cast<double>(value)));
  };
  gauge("sluice_calls", "Calls that hold ports", manager.calls);
  gauge("sluice_sessions", "Active sessions", manager.sessions);
  gauge("sluice_flows", "Open flows", manager.flows);
  gauge("sluice_sockets", "Open relay sockets", manager.sockets);
  gauge("sluice_draining", "1 while new calls are refused on request",
        manager.draining ? 1 : 0);
  out->push_back(Ports(status));

  MetricFamily build = Family("sluice_build_info", "1, labelled with what runs",
                              MetricType::Gauge);
  build.metric.push_back(
      Sample(MetricType::Gauge,
             {{"version", status.version}, {"engine", status.engine}}, 1));
  out->push_back(std::move(build));

  for (const auto& [name, value] : manager.counters) {
    out->push_back(
        Counter(absl::StrCat("sluice_manager_", MetricWord(name), "_total"),
                ManagerHelp(name), value));
  }
  for (const auto& [name, value] : status.rpc_counters) {
    out->push_back(
        Counter(absl::StrCat("sluice_rpc_", MetricWord(name), "_total"),
                absl::StrCat("NATHelper RPC: ", MetricWord(name)), value));
  }
  MetricFamily verdicts =
      Family("sluice_xdp_packets_total",
             "Packets that the XDP program saw, by what became of each",
             MetricType::Counter);
  const auto tell = [&](const relay::xdp::FastPath::Number& number) {
    constexpr std::string_view kVerdict = "verdict_";
    const auto value = static_cast<double>(number.value);
    if (number.name.starts_with(kVerdict)) {
      verdicts.metric.push_back(
          Sample(MetricType::Counter,
                 {{"verdict", number.name.substr(kVerdict.size())}}, value));
    } else if (number.is_gauge) {
      out->push_back(
          Gauge(absl::StrCat("sluice_", number.name), number.help, value));
    } else {
      out->push_back(Counter(absl::StrCat("sluice_", number.name, "_total"),
                             number.help, number.value));
    }
  };
  for (const auto& number : status.fast_path) tell(number);
  for (const auto& number : status.session_file) tell(number);
  if (!verdicts.metric.empty()) out->push_back(std::move(verdicts));
  out->push_back(Counter("sluice_log_lines_dropped_total",
                         "Log lines lost because the log could not keep up",
                         status.log_lines_dropped));
}

// The numbers of a family come from many places; it stands together on the
// page, where its first number was.
void AddSip(const SipNumbers& numbers, std::vector<MetricFamily>* out) {
  absl::flat_hash_map<std::string, size_t> places;
  for (const SipService::Number& number : numbers) {
    std::string name =
        absl::StrCat("sluice_", MetricWord(number.name), "_total");
    const auto [place, is_new] = places.try_emplace(name, out->size());
    if (is_new) {
      out->push_back(Family(std::move(name), number.help, MetricType::Counter));
    }
    Labels labels;
    for (const auto& [label, value] : number.labels) {
      labels.push_back({MetricWord(label), value});
    }
    (*out)[place->second].metric.push_back(
        Sample(MetricType::Counter, std::move(labels),
               static_cast<double>(number.value)));
  }
}

}  // namespace

std::string RenderMetrics(const OperatorApi& api,
                          const absl::StatusOr<DaemonStatus>& status,
                          const absl::StatusOr<SipNumbers>& sip,
                          double start_time_s) {
  std::vector<MetricFamily> families;
  AddShards(api, &families);
  families.push_back(Gauge("sluice_control_up",
                           "1 when the control thread answered this scrape",
                           status.ok() ? 1 : 0));
  families.push_back(Gauge("sluice_ready",
                           "1 when every listener is bound and new calls are "
                           "taken",
                           api.ready() ? 1 : 0));
  if (status.ok()) AddStatus(*status, &families);
  if (sip.ok()) AddSip(*sip, &families);
  families.push_back(Gauge("process_start_time_seconds",
                           "Start of the process, seconds of the Unix epoch",
                           start_time_s));
  return prometheus::TextSerializer().Serialize(families);
}

}  // namespace sluice::control
