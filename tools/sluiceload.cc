// The load generator and measuring instrument: RTP streams through a relay,
// every packet checked at the other end; SIP requests and calls through a
// proxy.
//
// Exit codes: 0 done, 1 it could not be done or --strict found a fault, 2
// usage.

#include <signal.h>

#include <CLI/CLI.hpp>
#include <atomic>
#include <iostream>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/status_macros.h"
#include "tools/load/files.h"
#include "tools/load/process_stats.h"
#include "tools/load/report.h"
#include "tools/load/rpc_client.h"
#include "tools/load/session_plan.h"
#include "tools/load/session_setup.h"
#include "tools/load/sip_command.h"
#include "tools/load/traffic_run.h"

namespace sluice::load {
namespace {

// Everything the command line says.
struct Options {
  uint32_t sessions = 1000;
  std::string rpc, endpoints;
  bool self = false;
  std::string from_ip = "127.0.0.2", to_ip = "127.0.0.3",
              relay_ip = "127.0.0.1";
  uint16_t bind_base = 20000;
  uint32_t parallel = 4, rpc_timeout_ms = 5000;
  uint32_t payload = 160, ptime_ms = 20;
  std::string rate = "natural";
  bool flat_out = false, rtcp = false, strict = false, quiet = false;
  double rtcp_interval_s = 5;
  std::string json;
  RunOptions run;
  LocalAddresses local;
};

std::atomic<bool> g_stop{false};
void OnSignal(int) { g_stop.store(true, std::memory_order_relaxed); }

void CatchSignals() {
  struct sigaction action = {};
  action.sa_handler = OnSignal;
  // A second one ends the program the hard way.
  action.sa_flags = static_cast<int>(SA_RESETHAND);
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
}

absl::Status ParseAddress(const char* option, const std::string& text,
                          IpAddress* out) {
  const auto ip = IpAddress::Parse(text);
  if (!ip.has_value()) {
    return absl::InvalidArgumentError(
        absl::StrFormat("%s: \"%s\" is not an IP address", option, text));
  }
  *out = *ip;
  return absl::OkStatus();
}

// From what was typed to what the machinery takes.
absl::Status Resolve(Options& o) {
  RETURN_IF_ERROR(ParseAddress("--from-ip", o.from_ip, &o.local.from_ip));
  RETURN_IF_ERROR(ParseAddress("--to-ip", o.to_ip, &o.local.to_ip));
  o.local.bind_base = o.bind_base;
  TrafficOptions& t = o.run.traffic;
  t.packet_bytes = o.payload + 12;
  if (t.packet_bytes < kRtpProbeMin || t.packet_bytes > kProbeMax) {
    return absl::InvalidArgumentError(
        absl::StrFormat("--payload must be between %d and %d",
                        kRtpProbeMin - 12, kProbeMax - 12));
  }
  t.samples_a_packet = 8 * o.ptime_ms;
  if (t.connected && o.local.share > 1) {
    return absl::InvalidArgumentError("--connect needs --share 1");
  }
  t.rtcp_every_s = o.rtcp ? o.rtcp_interval_s : 0;
  o.run.progress = !o.quiet;
  return absl::OkStatus();
}

// Needs the number of sessions, which a file of endpoints may have decided.
absl::Status ResolveRate(Options& o, size_t sessions) {
  double rate = 0;
  if (o.flat_out) {
    rate = 0;
  } else if (o.rate == "natural") {
    rate = 2.0 * static_cast<double>(sessions) * 1000.0 / o.ptime_ms;
  } else if (!absl::SimpleAtod(o.rate, &rate) || !(rate > 0) || rate > 1e9) {
    return absl::InvalidArgumentError(absl::StrFormat(
        "--rate: \"%s\" is neither packets/s nor \"natural\"", o.rate));
  }
  o.run.traffic.rate = rate;
  return absl::OkStatus();
}

absl::StatusOr<SessionSetup::Options> SetupOptions(const Options& o) {
  SessionSetup::Options setup;
  RETURN_IF_ERROR(ParseAddress("--relay-ip", o.relay_ip, &setup.relay_ip));
  setup.parallel = o.parallel;
  setup.name = absl::StrCat(::getpid(), "-", NowNs());
  return setup;
}

void TellSetup(const SessionSetup& setup, size_t sessions) {
  absl::FPrintF(
      stderr, "set up %d sessions in %.3f s (%.0f/s)\n", sessions,
      setup.setup_s(),
      static_cast<double>(sessions) / std::max(setup.setup_s(), 1e-9));
}

void TellClose(const SessionSetup& setup, size_t sessions) {
  absl::FPrintF(
      stderr, "closed %d sessions in %.3f s (%.0f/s)%s\n", sessions,
      setup.close_s(),
      static_cast<double>(sessions) / std::max(setup.close_s(), 1e-9),
      setup.close_unknown() == 0
          ? ""
          : absl::StrCat("; the relay no longer knew ", setup.close_unknown()));
}

// `sluiceload rtp`.
absl::Status RunRtp(Options& o) {
  RETURN_IF_ERROR(Resolve(o));
  if ((o.rpc.empty() ? 0 : 1) + (o.endpoints.empty() ? 0 : 1) +
          (o.self ? 1 : 0) !=
      1) {
    return absl::InvalidArgumentError(
        "rtp: one of --rpc, --endpoints and --loopback-self is needed");
  }
  std::vector<SessionPlan> plan;
  if (!o.endpoints.empty()) {
    ASSIGN_OR_RETURN(const std::string text, ReadFile(o.endpoints));
    ASSIGN_OR_RETURN(plan, ParseEndpoints(text, o.local));
  } else {
    ASSIGN_OR_RETURN(plan, PlanSessions(o.sessions, o.local));
  }
  RETURN_IF_ERROR(ResolveRate(o, plan.size()));
  RETURN_IF_ERROR(RaiseDescriptorLimit(plan.size() * (o.rtcp ? 4 : 2)));

  std::unique_ptr<RpcClient> client;
  std::unique_ptr<SessionSetup> setup;
  if (o.self) ConnectDirectly(plan);
  if (!o.rpc.empty()) {
    ASSIGN_OR_RETURN(RpcClient made, RpcClient::Make(o.rpc, o.rpc_timeout_ms));
    client = std::make_unique<RpcClient>(std::move(made));
    ASSIGN_OR_RETURN(const SessionSetup::Options options, SetupOptions(o));
    setup = std::make_unique<SessionSetup>(*client, options, plan);
    RETURN_IF_ERROR(setup->SetUp(g_stop));
    if (!o.quiet) TellSetup(*setup, plan.size());
  }
  ASSIGN_OR_RETURN(const RunResult result, RunTraffic(o.run, plan, g_stop));
  nlohmann::ordered_json json = ToJson(o.run, result, plan.size());
  absl::Status closed;
  if (setup != nullptr) {
    closed = setup->Close();
    if (!o.quiet) TellClose(*setup, plan.size());
    json["setup"] = SetupJson(*setup, plan.size());
  }
  if (o.json != "-") std::cout << ToText(o.run, result, plan.size());
  RETURN_IF_ERROR(WriteJson(o.json, json));
  RETURN_IF_ERROR(closed);
  if (o.strict && (result.whole.lost() > 0 || result.whole.rtcp_lost() > 0 ||
                   result.whole.faults() > 0)) {
    return absl::DataLossError("--strict: packets were lost or at fault");
  }
  return absl::OkStatus();
}

nlohmann::ordered_json ProcessJson(const ProcessStats& stats) {
  return {{"cpu_s", static_cast<double>(stats.cpu_ns) * 1e-9},
          {"rss_bytes", stats.rss_bytes},
          {"fds", stats.fds}};
}

// `sluiceload setup`: how fast sessions come and go and what they cost, without
// a packet.
absl::Status RunSetup(Options& o) {
  RETURN_IF_ERROR(Resolve(o));
  if (o.rpc.empty())
    return absl::InvalidArgumentError("setup: --rpc is needed");
  ASSIGN_OR_RETURN(std::vector<SessionPlan> plan,
                   PlanSessions(o.sessions, o.local));
  ASSIGN_OR_RETURN(const RpcClient client,
                   RpcClient::Make(o.rpc, o.rpc_timeout_ms));
  ASSIGN_OR_RETURN(const SessionSetup::Options options, SetupOptions(o));
  nlohmann::ordered_json relay;
  std::optional<ProcessStats> before;
  const auto look = [&](const char* when) -> std::optional<ProcessStats> {
    if (o.run.relay_pid == 0) return std::nullopt;
    const auto stats = ReadProcessStats(o.run.relay_pid);
    if (stats.has_value()) {
      relay[when] = ProcessJson(*stats);
      absl::FPrintF(stderr, "relay %s: %.1f MB, %d descriptors\n", when,
                    static_cast<double>(stats->rss_bytes) / 1e6, stats->fds);
    }
    return stats;
  };
  before = look("before");
  SessionSetup setup(client, options, plan);
  // Also when it ended early: what is up is worth knowing, and is closed.
  const absl::Status made = setup.SetUp(g_stop);
  const uint32_t up = setup.sessions_up();
  TellSetup(setup, up);
  const auto during = look("up");
  if (before.has_value() && during.has_value() && up > 0) {
    const auto grown = static_cast<double>(during->rss_bytes) -
                       static_cast<double>(before->rss_bytes);
    relay["rss_bytes_per_session"] = grown / up;
    relay["setup_cpu_us_per_session"] =
        static_cast<double>(during->cpu_ns - before->cpu_ns) / 1000.0 / up;
    absl::FPrintF(stderr, "relay: %.0f octets of memory a session\n",
                  grown / up);
  }
  const absl::Status closed = setup.Close();
  TellClose(setup, up);
  look("after");
  nlohmann::ordered_json json = {{"version", SLUICE_VERSION},
                                 {"sessions_asked", o.sessions},
                                 {"setup", SetupJson(setup, up)}};
  if (!relay.is_null()) json["relay"] = relay;
  RETURN_IF_ERROR(WriteJson(o.json, json));
  if (!made.ok() && !absl::IsCancelled(made)) return made;
  return closed;
}

// `sluiceload plan`: the local addresses, for programs that set calls up for
// us.
absl::Status RunPlan(Options& o) {
  RETURN_IF_ERROR(Resolve(o));
  ASSIGN_OR_RETURN(const std::vector<SessionPlan> plan,
                   PlanSessions(o.sessions, o.local));
  for (const SessionPlan& session : plan) {
    std::cout << session.party[kCaller].local.ToString() << " "
              << session.party[kCallee].local.ToString() << "\n";
  }
  return absl::OkStatus();
}

void AddPlanOptions(CLI::App* app, Options& o) {
  app->add_option("-n,--sessions", o.sessions, "number of sessions")
      ->check(CLI::Range(1, 32768))
      ->capture_default_str();
  app->add_option("--from-ip", o.from_ip, "address of the callers")
      ->capture_default_str();
  app->add_option("--to-ip", o.to_ip, "address of the callees")
      ->capture_default_str();
  app->add_option("--bind-base", o.bind_base,
                  "first local port; session i takes base + 2 i / share")
      ->check(CLI::Range(2, 65534))
      ->capture_default_str();
  app->add_option("--share", o.local.share,
                  "sessions whose parties share a local address: fewer system "
                  "calls for the generator")
      ->check(CLI::Range(1, 32768))
      ->capture_default_str();
}

void AddRpcOptions(CLI::App* app, Options& o) {
  app->add_option("--rpc", o.rpc,
                  "NAT helper to set the sessions up at: unix:/path or "
                  "tcp:ip:port");
  app->add_option("--relay-ip", o.relay_ip, "address to ask for ports on")
      ->capture_default_str();
  app->add_option("--parallel", o.parallel, "requests at a time")
      ->check(CLI::Range(1, 64))
      ->capture_default_str();
  app->add_option("--rpc-timeout-ms", o.rpc_timeout_ms, "patience a request")
      ->check(CLI::Range(10, 600000))
      ->capture_default_str();
  app->add_option("--pid", o.run.relay_pid,
                  "process of the relay: measure its CPU time and memory")
      ->check(CLI::PositiveNumber);
  app->add_option("--json", o.json, "write the result there; - is stdout");
  app->add_flag("-q,--quiet", o.quiet, "no progress");
}

void AddRtpOptions(CLI::App* app, Options& o) {
  TrafficOptions& t = o.run.traffic;
  app->add_option("--endpoints", o.endpoints,
                  "file with the relay's addresses of calls that another "
                  "program set up");
  app->add_flag("--loopback-self", o.self,
                "no relay: the generator's own limit");
  app->add_option("--rate", o.rate,
                  "packets/s of all streams together, or \"natural\"")
      ->capture_default_str();
  app->add_flag("--flat-out", o.flat_out, "as fast as the window allows");
  app->add_option("--window", t.window, "packets under way when flat out")
      ->check(CLI::Range(1, 1 << 20))
      ->capture_default_str();
  app->add_option("--burst", t.burst, "packets that a stream sends at once")
      ->check(CLI::Range(1, 32))
      ->capture_default_str();
  app->add_option("--payload", o.payload, "octets behind the RTP header")
      ->capture_default_str();
  app->add_option("--ptime", o.ptime_ms, "milliseconds a packet stands for")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str();
  app->add_flag("--rtcp", o.rtcp, "send RTCP, too");
  app->add_option("--rtcp-interval", o.rtcp_interval_s,
                  "seconds between two RTCP packets of a party")
      ->check(CLI::Range(0.01, 3600.0))
      ->capture_default_str();
  app->add_option("--seconds", o.run.seconds, "measured time")
      ->check(CLI::Range(0.01, 86400.0))
      ->capture_default_str();
  app->add_option("--warm-up", o.run.warm_up_s, "seconds before measuring")
      ->check(CLI::Range(0.0, 3600.0))
      ->capture_default_str();
  app->add_option("--cores", o.run.cores,
                  "pin a worker to each of these cores (1,3)")
      ->delimiter(',');
  app->add_flag("--spin", t.spin, "never sleep: for a core of its own");
  app->add_flag("--connect", t.connected,
                "connect the sockets: cheaper, but the kernel hides what is "
                "misrouted");
  app->add_flag("--strict", o.strict, "fail when anything is lost or at fault");
}

int ExitCode(const absl::Status& status) {
  if (status.ok()) return 0;
  absl::FPrintF(stderr, "sluiceload: %s\n", status.message());
  return absl::IsInvalidArgument(status) ? 2 : 1;
}

int Main(int argc, char** argv) {
  CLI::App app(
      "Sends RTP through a relay, or SIP through a proxy, and checks what "
      "arrives.",
      "sluiceload");
  app.set_version_flag("--version", "sluiceload " SLUICE_VERSION);
  app.require_subcommand(1);
  Options options;
  CLI::App* rtp = app.add_subcommand("rtp", "send RTP, judge what arrives");
  AddPlanOptions(rtp, options);
  AddRpcOptions(rtp, options);
  AddRtpOptions(rtp, options);
  CLI::App* setup = app.add_subcommand(
      "setup", "set sessions up and close them: rates, memory, descriptors");
  AddPlanOptions(setup, options);
  AddRpcOptions(setup, options);
  CLI::App* plan =
      app.add_subcommand("plan", "print the local addresses of the sessions");
  AddPlanOptions(plan, options);
  CLI::App* sip =
      app.add_subcommand("sip", "send requests or calls, answer them, measure");
  SipCommand sip_command;
  AddSipOptions(sip, sip_command);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  CatchSignals();
  if (rtp->parsed()) return ExitCode(RunRtp(options));
  if (setup->parsed()) return ExitCode(RunSetup(options));
  if (sip->parsed()) return ExitCode(RunSipCommand(sip_command, g_stop));
  return ExitCode(RunPlan(options));
}

}  // namespace
}  // namespace sluice::load

int main(int argc, char** argv) { return sluice::load::Main(argc, argv); }
