#include "tools/phone/command.h"

#include <CLI/CLI.hpp>

#include "rtp/dtmf.h"
#include "sip/audio_sdp.h"

namespace sluice::phone {
namespace {

constexpr double kDayS = 86'400;

void AddAccount(CLI::App* verb, Options* o) {
  verb->add_option("--proxy", o->proxy,
                   "Where all requests go: ADDRESS[:PORT], HOST[:PORT] or a "
                   "SIP URI")
      ->type_name("WHERE")
      ->group("Account");
  verb->add_option("--registrar", o->registrar,
                   "Where to register (our domain; without one, the proxy)")
      ->type_name("WHERE")
      ->group("Account");
  verb->add_option("--user,--from", o->from,
                   "Who we are: me, me@example.com, '\"Me\" "
                   "<sip:me@example.com>'")
      ->type_name("WHO")
      ->group("Account");
  verb->add_option("--domain", o->domain,
                   "Completes what has no @: ours, and whom we call")
      ->type_name("NAME")
      ->group("Account");
  verb->add_option("--auth-user", o->auth_user,
                   "The name for the digest (that of --user)")
      ->type_name("NAME")
      ->group("Account");
  verb->add_option("--password", o->password,
                   "Seen by everybody on this machine, as command lines are: "
                   "rather SLUICEPHONE_PASSWORD in the environment, or a file")
      ->type_name("TEXT")
      ->group("Account");
  verb->add_option("--password-file", o->password_file,
                   "Its first line; - is standard input")
      ->type_name("FILE")
      ->group("Account");
  verb->add_option("--contact", o->contact,
                   "URI at which we are to be reached (the leg's address)")
      ->type_name("URI")
      ->group("Account");
  verb->add_option("--expires", o->expires_s,
                   "Seconds that a registration is to last (900); 0 with "
                   "`register` removes it")
      ->check(CLI::Range(0u, 604'800u))
      ->type_name("S")
      ->group("Account");
}

void AddSockets(CLI::App* verb, Options* o) {
  verb->add_option("--leg", o->legs,
                   "Listen there: udp:127.0.0.1:0, tcp:[::1]:5060; several "
                   "behind commas are one leg, several --leg several")
      ->type_name("LEG")
      ->allow_extra_args(false)
      ->group("Sockets");
  verb->add_option("--tls-certificate", o->tls_certificate,
                   "PEM file for tls legs, chain included")
      ->check(CLI::ExistingFile)
      ->type_name("FILE")
      ->group("Sockets");
  verb->add_option("--tls-key", o->tls_key, "Its key")
      ->check(CLI::ExistingFile)
      ->type_name("FILE")
      ->group("Sockets");
  verb->add_option("--tls-ca", o->tls_ca,
                   "PEM file of those we trust (the system's)")
      ->check(CLI::ExistingFile)
      ->type_name("FILE")
      ->group("Sockets");
}

void AddOutput(CLI::App* verb, Options* o) {
  verb->add_option("-o,--output", o->output,
                   "The result on standard output: text for people, json for "
                   "programs")
      ->check(CLI::IsMember({"text", "json"}))
      ->type_name("FORMAT")
      ->group("Output");
  verb->add_flag("-q,--quiet", o->quiet, "No progress on standard error")
      ->group("Output");
  verb->add_flag("--trace", o->trace, "SIP messages on standard error")
      ->group("Output");
}

void AddMedia(CLI::App* verb, Options* o) {
  verb->add_option("--codec", o->codecs, "In order of wish (pcmu,pcma)")
      ->type_name("LIST")
      ->group("Media");
  verb->add_option("--ptime", o->ptime_ms,
                   "Milliseconds a packet of ours stands for (20)")
      ->check(CLI::Range(sip::kPtimeMsMin, sip::kPtimeMsMax))
      ->type_name("MS")
      ->group("Media");
  verb->add_option("--rtp-ports", o->rtp_ports, "For media (2000-12000)")
      ->type_name("FIRST-LAST")
      ->group("Media");
  verb->add_flag("--latch", o->latch,
                 "Media goes to where it first comes from, whatever the peer "
                 "says (for peers behind a NAT)")
      ->group("Media");
  verb->add_option("--silence", o->silence_s,
                   "Seconds without a packet of the peer that end a call "
                   "(10); 0: none do")
      ->check(CLI::Range(0.0, kDayS))
      ->type_name("S")
      ->group("Media");
  verb->add_option("--record", o->record,
                   "Write what is heard: .wav, or raw G.711 as .pcmu, .pcma; "
                   "{} is the number of the call")
      ->type_name("FILE")
      ->group("Media");
}

void AddSound(CLI::App* verb, Options* o) {
  verb->add_option("--play", o->play,
                   "Send this sound: .wav (PCM 16 bit or G.711, mono, 8000 "
                   "Hz), .pcmu, .pcma")
      ->check(CLI::ExistingFile)
      ->type_name("FILE")
      ->group("Media");
  verb->add_option("--repeat", o->repeat, "How often (1); 0: for ever")
      ->check(CLI::NonNegativeNumber)
      ->type_name("N")
      ->group("Media");
  verb->add_option("--tone", o->tone_hz, "Send a tone instead")
      ->check(CLI::Range(20.0, 3'900.0))
      ->type_name("HZ")
      ->group("Media");
}

void AddCourse(CLI::App* verb, Options* o) {
  verb->add_option("--dtmf", o->dtmf,
                   "Send these digits once the call is up: 0-9 * # A-D")
      ->type_name("DIGITS")
      ->group("Course of a call");
  verb->add_option("--dtmf-method", o->dtmf_method,
                   "rfc4733 (events; tones where the peer takes none) or "
                   "inband (tones)")
      ->check(CLI::IsMember({"rfc4733", "inband"}))
      ->type_name("HOW")
      ->group("Course of a call");
  verb->add_option("--duration", o->duration_s, "Hang up after S seconds")
      ->check(CLI::Range(0.1, kDayS))
      ->type_name("S")
      ->group("Course of a call");
  verb->add_option("--hold-after", o->hold_after_s,
                   "Put the call on hold after S seconds")
      ->check(CLI::Range(0.01, kDayS))
      ->type_name("S")
      ->group("Course of a call");
  verb->add_option("--resume-after", o->resume_after_s,
                   "Take it back S seconds after the hold")
      ->check(CLI::Range(0.01, kDayS))
      ->type_name("S")
      ->group("Course of a call");
}

void AddAnswering(CLI::App* verb, Options* o) {
  verb->add_flag("--register", o->do_register,
                 "Register first, again before it ends, and take it back at "
                 "the end")
      ->group("Account");
  verb->add_option("--ring", o->ring_s, "Ring for S seconds before answering")
      ->check(CLI::Range(0.0, 180.0))
      ->type_name("S")
      ->group("Course of a call");
  verb->add_option("--count", o->count, "End after N calls; 0: go on")
      ->type_name("N")
      ->group("Course of a call");
  verb->add_option("--lines", o->lines,
                   "So many calls at a time; more hear 486 Busy Here")
      ->type_name("N")
      ->group("Course of a call");
  verb->add_option("--refuse", o->refuse, "Answer each call with this instead")
      ->check(CLI::Range(400, 699))
      ->type_name("CODE")
      ->group("Course of a call");
}

}  // namespace

void Describe(CLI::App* app, Options* o) {
  app->require_subcommand(1);
  app->set_version_flag("--version", "sluicephone " SLUICE_VERSION);
  app->footer(
      "Exit codes: 0 done, 1 refused or failed, 2 usage, 3 cannot be reached "
      "or\nbound, 5 no answer in time. See sluicephone(1).");

  CLI::App* registers =
      app->add_subcommand("register", "Register, and tell for how long");
  registers
      ->add_flag("--stay", o->stay,
                 "Again and again, until interrupted; then remove it")
      ->group("Account");
  CLI::App* call = app->add_subcommand("call", "Call somebody");
  call->add_option("WHOM", o->whom,
                   "bob (at --domain), bob@example.com, or a SIP URI")
      ->required();
  call->add_flag("--register", o->do_register, "Register first")
      ->group("Account");
  call->add_option("--ring", o->ring_s,
                   "Give up when nobody has answered after S seconds")
      ->check(CLI::Range(0.1, kDayS))
      ->type_name("S")
      ->group("Course of a call");
  call->add_option("--count", o->count, "So many calls at once (1)")
      ->check(CLI::Range(1u, 10'000u))
      ->type_name("N")
      ->group("Course of a call");
  call->add_flag("--delayed-offer", o->delayed_offer,
                 "No SDP in the INVITE; ours goes in the ACK")
      ->group("Course of a call");
  CLI::App* answer = app->add_subcommand("answer", "Be called");
  CLI::App* echo =
      app->add_subcommand("echo", "Be called, and send back what is heard");
  for (CLI::App* verb : {registers, call, answer, echo}) {
    AddAccount(verb, o);
    AddSockets(verb, o);
    AddOutput(verb, o);
  }
  for (CLI::App* verb : {call, answer, echo}) {
    AddMedia(verb, o);
    AddCourse(verb, o);
  }
  for (CLI::App* verb : {call, answer}) AddSound(verb, o);
  for (CLI::App* verb : {answer, echo}) AddAnswering(verb, o);
}

Role RoleOf(const CLI::App& app) {
  const std::string verb = app.get_subcommands().front()->get_name();
  if (verb == "register") return Role::kRegister;
  if (verb == "answer") return Role::kAnswer;
  if (verb == "echo") return Role::kEcho;
  return Role::kCall;
}

}  // namespace sluice::phone
