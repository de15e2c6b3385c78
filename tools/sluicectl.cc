// sluicectl: the operator's command line. Asks sluiced over its control socket
// (or its HTTP address) and shows the answer; what a verb does is in
// tools/ctl/.

#include <CLI/CLI.hpp>
#include <cstdio>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/nearest.h"
#include "base/types.h"
#include "tools/ctl/capture.h"
#include "tools/ctl/client.h"
#include "tools/ctl/text.h"
#include "tools/ctl/verbs.h"
#include "tools/ctl/watch.h"

namespace sluice::ctl {
namespace {

// Of a word that is no verb.
constexpr size_t kWordShownMax = 64;

struct CommandLine {
  std::string server = DefaultSocket();
  std::string output = "text";
  double timeout_s = 5;
  std::string call_id;
  CallsOptions calls;
  RegistrationsOptions registrations;
  DrainOptions drain;
  std::string offload;
  CaptureOptions capture;
  WatchOptions watch;
  bool watch_stats = false;
};

// `watch`: the flag without which they mean nothing; null for a verb that
// always watches.
void AddWatchOptions(CLI::App* verb, WatchOptions* options,
                     CLI::Option* watch) {
  CLI::Option* interval = verb->add_option("--interval", options->interval_s,
                                           "Seconds between two pictures (2)")
                              ->check(CLI::Range(0.1, 3600.0))
                              ->type_name("S");
  CLI::Option* count =
      verb->add_option("--count", options->count,
                       "How many pictures; 0 goes on until interrupted")
          ->check(CLI::NonNegativeNumber)
          ->type_name("N");
  if (watch == nullptr) return;
  interval->needs(watch);
  count->needs(watch);
}

void Describe(CLI::App* app, CommandLine* line) {
  app->require_subcommand(1);
  app->fallthrough();
  app->set_version_flag("--version", "sluicectl " SLUICE_VERSION);
  app->add_option("-s,--server", line->server,
                  "Control socket, or http://HOST:PORT of the daemon")
      ->take_last()
      ->type_name("SOCKET|URL");
  app->add_option("-o,--output", line->output,
                  "text for people, json for programs")
      ->check(CLI::IsMember({"text", "json"}))
      ->take_last()
      ->type_name("FORMAT");
  app->add_option("--timeout", line->timeout_s,
                  "Seconds to wait for an answer (5)")
      ->check(CLI::Range(0.1, 3600.0))
      ->type_name("S");
  app->footer(
      "Exit codes: 0 done, 1 the server said no, 2 usage, 3 cannot reach it,\n"
      "4 there is no such thing, 5 no answer in time. See sluicectl(1).");

  app->add_subcommand("status", "What runs, how full it is, where it listens");
  CLI::App* calls = app->add_subcommand("calls", "All calls, oldest first");
  calls->add_option("--offset", line->calls.offset, "Leave out the first N")
      ->check(CLI::NonNegativeNumber)
      ->type_name("N");
  calls->add_option("--limit", line->calls.limit, "At most N")
      ->check(CLI::NonNegativeNumber)
      ->type_name("N");
  calls->add_flag("-q,--quiet", line->calls.ids_only, "Only the Call-IDs");
  CLI::App* call = app->add_subcommand(
      "call", "One call: ports, latches, quality, drops, why no audio");
  call->add_option("CALL-ID", line->call_id, "As `calls` shows it")->required();
  CLI::App* close = app->add_subcommand("close", "End a call, free its ports");
  close->add_option("CALL-ID", line->call_id, "As `calls` shows it")
      ->required();
  app->add_subcommand("legs", "SIP: the legs, their listeners and counters");
  CLI::App* registrations = app->add_subcommand(
      "registrations", "SIP: who is registered, by address-of-record");
  registrations->add_option("AOR", line->registrations.aor,
                            "As alice@example.com or sip:alice@example.com");
  registrations
      ->add_option("--offset", line->registrations.offset,
                   "Leave out the first N")
      ->check(CLI::NonNegativeNumber)
      ->type_name("N");
  registrations
      ->add_option("--limit", line->registrations.limit,
                   "At most N (1000); 0 is all")
      ->check(CLI::NonNegativeNumber)
      ->type_name("N");
  registrations->add_flag("-q,--quiet", line->registrations.aors_only,
                          "Only the addresses-of-record");
  CLI::App* trace = app->add_subcommand(
      "trace", "SIP: the messages of a call as they passed");
  trace->add_option("CALL-ID", line->call_id, "As its messages say it")
      ->required();
  CLI::App* stats = app->add_subcommand("stats", "Every counter by shard");
  CLI::Option* watch = stats->add_flag("--watch", line->watch_stats,
                                       "Again and again, with rates");
  AddWatchOptions(stats, &line->watch, watch);
  CLI::App* top =
      app->add_subcommand("top", "The busiest calls and shards, redrawn");
  AddWatchOptions(top, &line->watch, nullptr);
  CLI::App* drain =
      app->add_subcommand("drain", "Refuse new calls, let running ones end");
  CLI::Option* off =
      drain->add_flag("--off", line->drain.off, "Take new calls again");
  CLI::Option* wait = drain->add_flag("--wait", line->drain.wait,
                                      "Come back when the last call has ended");
  off->excludes(wait);
  drain
      ->add_option("--deadline", line->drain.deadline_s,
                   "Give up waiting after S seconds (exit code 5)")
      ->needs(wait)
      ->check(CLI::NonNegativeNumber)
      ->type_name("S");
  CLI::App* offload = app->add_subcommand(
      "offload", "Lead media past the sockets (XDP, tc), or bring it back");
  offload->add_option("on|off", line->offload, "Which of the two")
      ->required()
      ->check(CLI::IsMember({"on", "off"}));
  CLI::App* capture = app->add_subcommand(
      "capture", "Copy the packets of a call into a file (pcap)");
  capture->add_option("CALL-ID", line->call_id, "As `calls` shows it")
      ->required();
  capture->add_option("-w,--write", line->capture.file, "The file; - is stdout")
      ->required()
      ->type_name("FILE");
  capture->add_option("--seconds", line->capture.seconds, "For how long (10)")
      ->check(CLI::Range(1, 3600))
      ->type_name("N");
  capture
      ->add_option("--bytes", line->capture.bytes,
                   "How long the file may become (64 MiB)")
      ->check(CLI::PositiveNumber)
      ->type_name("N");
  capture->add_flag("--force", line->capture.force,
                    "Write over a file that is there");
  app->add_subcommand("reload", "Read the configuration file again");
  app->add_subcommand("version", "Versions of sluicectl and of the daemon");
}

// What is said of a command line without a verb that is one; empty: the
// trouble is another.
std::string NoVerb(const CLI::App& app) {
  if (!app.get_subcommands().empty()) return "";
  std::vector<std::string> verbs;
  for (const CLI::App* verb : app.get_subcommands([](auto*) { return true; })) {
    verbs.push_back(verb->get_name());
  }
  const std::vector<std::string> words = app.remaining();
  if (words.empty()) return "name a verb: " + absl::StrJoin(verbs, ", ");
  const std::string word = words.front().substr(0, kWordShownMax);
  if (word.starts_with('-')) return "";
  return absl::StrCat("there is no verb \"", ShownText(word),
                      "\"; the nearest is \"", Nearest(word, verbs), "\"");
}

ExitCode Run(const std::string& verb, const CommandLine& line,
             const Server& server) {
  const Client client(server,
                      Micros(static_cast<int64_t>(line.timeout_s * 1'000'000)));
  const Session session{
      .client = client,
      .output = line.output == "json" ? Output::kJson : Output::kText};
  if (verb == "status") return Status(session);
  if (verb == "calls") return Calls(session, line.calls);
  if (verb == "call") return Call(session, line.call_id);
  if (verb == "close") return Close(session, line.call_id);
  if (verb == "legs") return Legs(session);
  if (verb == "registrations")
    return Registrations(session, line.registrations);
  if (verb == "trace") return Trace(session, line.call_id);
  if (verb == "stats") {
    return line.watch_stats ? WatchStats(session, line.watch) : Stats(session);
  }
  if (verb == "top") return Top(session, line.watch);
  if (verb == "drain") return Drain(session, line.drain);
  if (verb == "offload") return Offload(session, line.offload == "on");
  if (verb == "capture") return Capture(session, line.call_id, line.capture);
  if (verb == "reload") return Reload(session);
  return Version(session);
}

int Main(int argc, char** argv) {
  CommandLine line;
  CLI::App app("Asks and steers a running sluiced.", "sluicectl");
  Describe(&app, &line);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) return app.exit(error), kDone;
    const std::string why = NoVerb(app);
    if (why.empty()) return app.exit(error), kUsage;
    std::fprintf(stderr, "sluicectl: %s\n", why.c_str());
    return kUsage;
  }
  const bool names_call =
      app.got_subcommand("call") || app.got_subcommand("close") ||
      app.got_subcommand("capture") || app.got_subcommand("trace");
  if (names_call && line.call_id.empty()) {
    std::fprintf(stderr, "sluicectl: an empty CALL-ID names no call\n");
    return kUsage;
  }
  const auto server = ParseServer(line.server);
  if (!server) {
    std::fprintf(stderr,
                 "sluicectl: -s takes the path of a socket or "
                 "http://HOST:PORT\n");
    return kUsage;
  }
  return Run(app.get_subcommands().front()->get_name(), line, *server);
}

}  // namespace
}  // namespace sluice::ctl

int main(int argc, char** argv) { return sluice::ctl::Main(argc, argv); }
