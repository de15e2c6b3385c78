#include "tools/load/sip_command.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <iostream>

#include "absl/strings/str_format.h"
#include "base/status_macros.h"
#include "base/text.h"
#include "tools/load/files.h"
#include "tools/load/sip_report.h"
#include "tools/load/traffic_run.h"

namespace sluice::load {
namespace {

absl::Status ParseEndpoint(const char* option, const std::string& text,
                           Endpoint* out) {
  const auto endpoint = Endpoint::Parse(text);
  if (!endpoint.has_value() || endpoint->port == Port()) {
    return absl::InvalidArgumentError(
        absl::StrFormat("%s: \"%s\" is not ip:port", option, text));
  }
  *out = *endpoint;
  return absl::OkStatus();
}

// What would end the URI that it is written into.
absl::Status CheckHost(const char* option, const std::string& text) {
  if (text.find_first_of(" \t\r\n<>\"@;,?{}") == text.npos) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(
      absl::StrFormat("%s: \"%s\" is no host", option, text));
}

// From what was typed to what the machinery takes.
absl::Status Resolve(SipCommand& c) {
  SipTrafficOptions& t = c.run.traffic;
  SipParties& parties = t.caller.parties;
  const auto scenario = SipScenarioOf(c.scenario);
  const auto transport = sip::TransportOf(c.transport);
  if (!scenario.has_value() || !transport.has_value()) {
    return absl::InvalidArgumentError(
        "sip: a scenario is needed: options, message, register or call");
  }
  parties.scenario = *scenario;
  parties.transport = *transport;
  RETURN_IF_ERROR(ParseEndpoint("--uac", c.uac, &parties.uac));
  RETURN_IF_ERROR(ParseEndpoint("--uas", c.uas, &parties.uas));
  if (c.self == !c.proxy.empty()) {
    return absl::InvalidArgumentError(
        "sip: one of --proxy and --loopback-self is needed");
  }
  t.proxy = parties.uas;
  if (!c.self) RETURN_IF_ERROR(ParseEndpoint("--proxy", c.proxy, &t.proxy));
  RETURN_IF_ERROR(CheckHost("--domain", c.domain));
  RETURN_IF_ERROR(CheckHost("--to", c.to));
  RETURN_IF_ERROR(CheckHost("--contact", c.contact));
  if (c.domain.empty()) {
    return absl::InvalidArgumentError("--domain must not be empty");
  }
  parties.domain = c.domain;
  parties.to = c.to;
  parties.contact = c.contact;
  parties.expires_s = c.expires_s;
  t.caller.timeout_ns = static_cast<uint64_t>(c.timeout_s * 1e9);
  t.spacing = c.spacing == "exponential"
                  ? SipTrafficOptions::Spacing::kExponential
                  : SipTrafficOptions::Spacing::kEven;
  t.caller.digest = !c.password.empty() || !c.user_file.empty();
  if (t.caller.digest && *scenario == SipScenario::kCall) {
    if (!c.password.empty()) {
      return absl::InvalidArgumentError("sip: calls answer no challenge");
    }
    t.caller.digest = false;
  }
  if (*transport == sip::Transport::kTls &&
      (t.tls.certificate.empty() || t.tls.key.empty())) {
    return absl::InvalidArgumentError(
        "sip: tls needs --tls-certificate and --tls-key");
  }
  for (const pid_t pid : c.run.proxy_pids) {
    if (pid <= 0) {
      return absl::InvalidArgumentError(
          absl::StrFormat("--pid: %d is no process", pid));
    }
  }
  if (t.media_s > 0 && *scenario != SipScenario::kCall) {
    return absl::InvalidArgumentError("--media: only calls have media");
  }
  c.run.progress = !c.quiet;
  return absl::OkStatus();
}

absl::StatusOr<SipUsers> MakeUsers(const SipCommand& c) {
  if (c.user_file.empty()) {
    return SipUsers::FromPattern(c.user, c.password, c.users);
  }
  ASSIGN_OR_RETURN(const std::string text, ReadFile(c.user_file));
  return SipUsers::FromText(text);
}

void AddPartyOptions(CLI::App* app, SipCommand& c) {
  app->add_option("--proxy", c.proxy, "ip:port of the proxy or registrar");
  app->add_flag("--loopback-self", c.self,
                "no proxy: the generator's own limit");
  app->add_option("--transport", c.transport, "udp, tcp or tls")
      ->check(CLI::IsMember({"udp", "tcp", "tls"}))
      ->capture_default_str();
  app->add_option("--uac", c.uac, "ip:port of the calling side")
      ->capture_default_str();
  app->add_option("--uas", c.uas, "ip:port of the answering side")
      ->capture_default_str();
  app->add_option("--domain", c.domain, "of From, and of REGISTER")
      ->capture_default_str();
  app->add_option("--to", c.to,
                  "domain of the Request-URI, for the proxy to find; without "
                  "it the address of the answering side");
  app->add_option("--contact", c.contact,
                  "ip:port that REGISTER binds; without it the calling side's");
  app->add_option("--expires", c.expires_s, "seconds that REGISTER asks for")
      ->capture_default_str();
  app->add_option("-n,--users", c.users, "number of users")
      ->check(CLI::Range(1u, SipUsers::kMax))
      ->capture_default_str();
  app->add_option("--user", c.user, "their names; {} is the user's number")
      ->capture_default_str();
  app->add_option("--password", c.password,
                  "theirs, {} as above: answer challenges");
  app->add_option("--user-file", c.user_file,
                  "lines of user or user:password instead");
  app->add_option("--tls-certificate", c.run.traffic.tls.certificate,
                  "PEM file of the answering side");
  app->add_option("--tls-key", c.run.traffic.tls.key, "its key");
  app->add_option("--tls-ca", c.run.traffic.tls.ca, "who is trusted");
}

void AddTrafficOptions(CLI::App* app, SipCommand& c) {
  SipTrafficOptions& t = c.run.traffic;
  app->add_option("--rate", t.rate, "begun a second, whatever is answered")
      ->check(CLI::Range(0.01, 1e6))
      ->capture_default_str();
  app->add_option("--spacing", c.spacing, "even or exponential")
      ->check(CLI::IsMember({"even", "exponential"}))
      ->capture_default_str();
  app->add_option("--seconds", c.run.seconds, "measured time")
      ->check(CLI::Range(0.01, 86400.0))
      ->capture_default_str();
  app->add_option("--warm-up", c.run.warm_up_s, "seconds before measuring")
      ->check(CLI::Range(0.0, 3600.0))
      ->capture_default_str();
  app->add_option("--timeout", c.timeout_s, "seconds until one is given up")
      ->check(CLI::Range(0.01, 300.0))
      ->capture_default_str();
  app->add_flag("--retransmit", t.caller.retransmit,
                "repeat requests that are not answered, as RFC 3261 says");
  app->add_option("--answer", t.answer_code,
                  "what the answering side answers instead of 200")
      ->check(CLI::Range(200, 699));
  app->add_option("--media", t.media_s,
                  "seconds that each call stays up, with RTP both ways")
      ->check(CLI::Range(0.02, 3600.0));
  app->add_option("--connections", t.connections,
                  "of the calling side to the proxy (tcp, tls)")
      ->check(CLI::Range(1, 4096))
      ->capture_default_str();
  app->add_option("--cores", c.run.cores,
                  "pin a worker to each of these cores (1,3)")
      ->delimiter(',');
  app->add_flag("--spin", t.spin, "never sleep: for a core of its own");
  app->add_option("--pid", c.run.proxy_pids,
                  "process of the proxy (several: 17,18): measure its CPU time "
                  "and memory")
      ->delimiter(',');
  app->add_option("--json", c.json, "write the result there; - is stdout");
  app->add_flag("-q,--quiet", c.quiet, "no progress");
  app->add_flag("--strict", c.strict, "fail when anything failed");
}

}  // namespace

void AddSipOptions(CLI::App* app, SipCommand& command) {
  app->add_option("scenario", command.scenario,
                  "options, message, register or call")
      ->check(CLI::IsMember({"options", "message", "register", "call"}));
  AddPartyOptions(app, command);
  AddTrafficOptions(app, command);
}

absl::Status RunSipCommand(SipCommand& c, const std::atomic<bool>& stop) {
  RETURN_IF_ERROR(Resolve(c));
  ASSIGN_OR_RETURN(const SipUsers users, MakeUsers(c));
  RETURN_IF_ERROR(
      RaiseDescriptorLimit(2 * uint64_t{c.run.traffic.connections} *
                           std::max<size_t>(c.run.cores.size(), 1)));
  ASSIGN_OR_RETURN(const SipRunResult result, RunSip(c.run, users, stop));
  if (c.json != "-") std::cout << ToText(c.run, result, users.size());
  RETURN_IF_ERROR(WriteJson(c.json, ToJson(c.run, result, users.size())));
  if (c.strict && result.whole.failed_share() > 0) {
    return absl::DataLossError("--strict: not everything was answered");
  }
  if (c.strict && !result.media_is_whole()) {
    return absl::DataLossError(
        "--strict: media was lost or at fault, or calls had none");
  }
  return absl::OkStatus();
}

}  // namespace sluice::load
