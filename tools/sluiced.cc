// sluiced: the relay daemon. Puts the parts together in the order in which they
// need each other; what each does is said where it is.

#include <linux/capability.h>
#include <sys/stat.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/log.h"
#include "base/status_macros.h"
#include "control/config.h"
#include "control/control_thread.h"
#include "control/http_server.h"
#include "control/manager_options.h"
#include "control/process.h"
#include "relay/port_pool.h"
#include "relay/shard_pool.h"
#include "relay/xdp/fast_path.h"

namespace sluice {
namespace {

using control::Config;

enum ExitCode : int { kOk = 0, kRuntimeFailure = 1, kUsage = 2 };

struct CommandLine {
  std::string config;
  std::string log_level;
  bool check = false;
  bool print_config = false;
  bool detach = false;
};

// nullopt when all is said and done, with the exit code in `exit_code`.
std::optional<CommandLine> ParseCommandLine(int argc, char** argv,
                                            int* exit_code) {
  CommandLine line;
  CLI::App app(
      "Sluice, a relay for the media of telephone calls, with a SIP proxy and\n"
      "registrar of its own; confirmed streams may go past the sockets (XDP).",
      "sluiced");
  app.add_option("--config", line.config,
                 "Configuration file (TOML); without one everything stays on "
                 "this machine")
      ->type_name("FILE");
  app.add_flag("--check", line.check,
               "Only say whether the configuration is good");
  app.add_flag("--print-config", line.print_config,
               "Print the effective configuration with every key explained");
  app.add_flag("--detach", line.detach,
               "Take everything of ours off the network devices (XDP, tc): "
               "what a killed daemon has left, or a running one has; as root");
  app.add_option("--log-level", line.log_level,
                 "debug, info, warn or error (trace is debug); outweighs the "
                 "file")
      ->check(CLI::IsMember(std::vector<std::string>(log::kLevelNames.begin(),
                                                     log::kLevelNames.end())))
      ->type_name("LEVEL");
  app.set_version_flag("--version", "sluiced " SLUICE_VERSION);
  app.footer(
      "Signals: TERM and INT end when the calls have ended, HUP reads the\n"
      "configuration again. Exit codes: 0 ended as told, 1 failed, 2 usage or\n"
      "configuration. See sluiced(8), sluiced.conf(5).");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    *exit_code = app.exit(error) == 0 ? kOk : kUsage;
    return std::nullopt;
  }
  return line;
}

absl::StatusOr<Config> ReadConfig(const CommandLine& line) {
  Config config = control::DefaultConfig();
  if (!line.config.empty()) {
    ASSIGN_OR_RETURN(config, control::LoadConfig(line.config));
  }
  if (!line.log_level.empty()) config.log.level = line.log_level;
  return config;
}

// What an operator should hear before the first call and not after the first
// complaint.
void WarnOfWhatIsRisky(const Config& config) {
  const auto first = Port::FromHost(config.relay.ports.first);
  const auto last = Port::FromHost(config.relay.ports.last);
  if (const auto overlap = relay::EphemeralOverlap(first, last)) {
    log::Line(*overlap).Warn();
  }
  for (const control::InterfaceConfig& interface : config.interfaces) {
    if (interface.latch == relay::LatchPolicy::kFirstPacket) {
      log::Line(
          "latch first-packet is unsafe: whoever sends first has the call")
          .With("interface", interface.name)
          .Warn();
    }
  }
  const auto http = Endpoint::Parse(config.http.listen);
  if (http && !http->ip.is_loopback()) {
    log::Line(
        "http listens beyond this machine: whoever reaches it may close calls")
        .With("address", config.http.listen)
        .Warn();
  }
}

// Makes the folders of our UNIX sockets where they are missing, private ones,
// and returns those it made. The default folder must be nobody else's; one that
// the operator named and made is his business.
absl::StatusOr<std::vector<std::string>> PrepareFolders(const Config& config) {
  const std::string standard = control::DefaultConfig().control.socket;
  std::vector<std::string> sockets = {config.control.socket};
  for (const std::string& where : config.nathelper.listen) {
    if (where.starts_with("unix:")) sockets.push_back(where.substr(5));
  }
  std::vector<std::string> made;
  for (const std::string& socket : sockets) {
    const std::string folder = socket.substr(0, socket.rfind('/') + 1);
    if (folder.size() < 2 ||
        std::find(made.begin(), made.end(), folder) != made.end()) {
      continue;
    }
    struct stat info {};
    const bool ours = standard.starts_with(folder);
    if (!ours && ::stat(folder.c_str(), &info) == 0) continue;
    ASSIGN_OR_RETURN(
        const bool is_new,
        control::MakePrivateFolder(folder.substr(0, folder.size() - 1)));
    if (is_new) made.push_back(folder);
  }
  return made;
}

absl::Status DropPrivileges(const Config& config,
                            const control::ControlThread& control,
                            const std::vector<std::string>& made_folders) {
  if (config.process.user.empty() || geteuid() != 0) return absl::OkStatus();
  ASSIGN_OR_RETURN(const control::Account account,
                   control::FindAccount(config.process.user));
  std::vector<std::string> paths = made_folders;
  if (!config.control.socket.empty()) paths.push_back(config.control.socket);
  for (const std::string& where : control.rpc_listeners()) {
    if (where.starts_with("unix:")) paths.push_back(where.substr(5));
  }
  for (const std::string& path : paths) {
    RETURN_IF_ERROR(control::HandOver(path, account));
  }
  if (control.needs_bpf()) {
    RETURN_IF_ERROR(control::BecomeAccount(account, {CAP_BPF, CAP_NET_ADMIN}));
  } else {
    RETURN_IF_ERROR(control::BecomeAccount(account));
  }
  log::Line("privileges dropped").With("user", account.name).Info();
  return absl::OkStatus();
}

// For people and for programs that wait: where everything is, then `ready`.
void PrintReady(const Config& config, const control::ControlThread& control,
                const relay::ShardPool& pool) {
  std::string out =
      absl::StrFormat("sluiced %s, %d shards on %s\n", SLUICE_VERSION,
                      pool.shards(), pool.engine());
  for (const control::InterfaceConfig& interface : config.interfaces) {
    absl::StrAppendFormat(
        &out, "media      %s ports %d-%d (%s)\n", interface.address.ToString(),
        config.relay.ports.first, config.relay.ports.last, interface.name);
  }
  for (const std::string& where : control.rpc_listeners()) {
    absl::StrAppend(&out, "nathelper  ", where, "\n");
  }
  for (const std::string& where : control.sip_listeners()) {
    absl::StrAppend(&out, "sip        ", where, "\n");
  }
  if (!config.http.listen.empty()) {
    absl::StrAppend(&out, "http       http://", config.http.listen, "/\n");
  }
  if (!config.control.socket.empty()) {
    absl::StrAppend(&out, "control    unix:", config.control.socket, "\n");
  }
  absl::StrAppend(&out, "ready\n");
  std::fputs(out.c_str(), stdout);
  std::fflush(stdout);
}

absl::Status RunDaemon(const CommandLine& line, const Config& config) {
  control::ControlThread::BlockSignals();
  const auto notifier = control::Notifier::FromEnvironment();
  // Before the first thread is made: it holds for a thread and those it makes.
  RETURN_IF_ERROR(control::ForbidNewPrivileges());
  RETURN_IF_ERROR(
      log::Init(config.log.level, config.log.format == control::LogFormat::kJson
                                      ? log::Format::kJson
                                      : log::Format::kText));
  const uint64_t descriptors =
      control::RaiseDescriptorLimit(control::DescriptorsWanted(config));
  WarnOfWhatIsRisky(config);

  // Rings are made while we still have every privilege.
  ASSIGN_OR_RETURN(
      const std::unique_ptr<relay::ShardPool> pool,
      relay::ShardPool::Start(control::ShardOptions(config, descriptors)));
  log::Line("engine chosen")
      .With("engine", pool->engine())
      .With("why", pool->engine_reason())
      .With("shards", int64_t{pool->shards()})
      .Info();
  if (const uint64_t wanted = control::MediaSockets(config);
      pool->sockets_max() < wanted) {
    log::Line("fewer sockets than ports: calls above are refused")
        .With("sockets", static_cast<int64_t>(pool->sockets_max()))
        .With("ports", static_cast<int64_t>(wanted))
        .With("descriptors", static_cast<int64_t>(descriptors))
        .Warn();
  }

  control::ControlThread::Options options{.config = config};
  if (!line.config.empty()) {
    options.read_config = [line] { return ReadConfig(line); };
  }
  control::ControlThread control(std::move(options), *pool, notifier);
  ASSIGN_OR_RETURN(const auto made_folders, PrepareFolders(config));
  RETURN_IF_ERROR(control.Listen());
  ASSIGN_OR_RETURN(
      const std::unique_ptr<control::HttpServer> http,
      control::HttpServer::Start({.tcp_listen = config.http.listen,
                                  .unix_path = config.control.socket},
                                 control));
  if (!config.http.listen.empty()) {
    control.AddListener("http", config.http.listen);
  }
  if (!config.control.socket.empty()) {
    control.AddListener("control", "unix:" + config.control.socket);
  }
  RETURN_IF_ERROR(DropPrivileges(config, control, made_folders));
  RETURN_IF_ERROR(control::Harden());

  control.SetReady();
  PrintReady(config, control, *pool);
  notifier.Ready("relaying");
  control.Run();
  return absl::OkStatus();
}

int Detach(const Config& config) {
  const auto removed = relay::xdp::FastPath::DetachAll(config.store.xdp_pins);
  if (!removed.ok()) {
    std::fprintf(stderr, "sluiced: %s\n",
                 std::string(removed.status().message()).c_str());
    return kRuntimeFailure;
  }
  for (const std::string& line : *removed) std::puts(line.c_str());
  if (removed->empty()) std::puts("there is nothing of ours");
  return kOk;
}

int Main(int argc, char** argv) {
  int exit_code = kOk;
  const auto line = ParseCommandLine(argc, argv, &exit_code);
  if (!line) return exit_code;

  const absl::StatusOr<Config> config = ReadConfig(*line);
  if (!config.ok()) {
    std::fprintf(stderr, "%s\n",
                 std::string(config.status().message()).c_str());
    return kUsage;
  }
  if (line->print_config) {
    std::fputs(control::PrintConfig(*config).c_str(), stdout);
    return kOk;
  }
  if (line->check) {
    std::puts("the configuration is good");
    return kOk;
  }

  if (line->detach) return Detach(*config);

  const absl::Status status = RunDaemon(*line, *config);
  log::Flush();
  if (status.ok()) return kOk;
  std::fprintf(stderr, "sluiced: %s\n", std::string(status.message()).c_str());
  return kRuntimeFailure;
}

}  // namespace
}  // namespace sluice

int main(int argc, char** argv) { return sluice::Main(argc, argv); }
