// sluicephone: a telephone without a bell. Registers, calls, is called, plays
// and records sounds, and tells how well all of it went; what a verb does is in
// tools/phone/.

#include <CLI/CLI.hpp>
#include <cstdio>
#include <iostream>
#include <string>

#include "control/process.h"
#include "tools/ctl/text.h"
#include "tools/phone/command.h"
#include "tools/phone/interrupt.h"
#include "tools/phone/phone.h"
#include "tools/phone/report.h"

namespace sluice::phone {
namespace {

ExitCode Trouble(const absl::Status& status) {
  std::cerr << "sluicephone: " << ctl::ShownText(std::string(status.message()))
            << "\n";
  return ExitCodeOf(status);
}

int Main(int argc, char** argv) {
  Options options;
  CLI::App app("A SIP phone for the command line.", "sluicephone");
  Describe(&app, &options);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? kDone : kUsage;
  }
  options.role = RoleOf(app);
  const bool json = options.output == "json";
  // A call has two, and many systems begin with 1,024.
  control::RaiseDescriptorLimit(0);
  // Before the first socket: an interrupt always ends in good order.
  auto interrupt = Interrupt::Catch();
  if (!interrupt.ok()) return Trouble(interrupt.status());
  auto phone = Phone::Create(options);
  if (!phone.ok()) {
    // What is no fault of the command line is one of sockets.
    return Trouble(phone.status()) == kUsage ? kUsage : kUnreachable;
  }
  const absl::Status run = (*phone)->Run(*interrupt);
  const auto& registration = (*phone)->registration();
  const auto calls = (*phone)->calls();
  ExitCode code = ExitCodeOf(registration, calls);
  if (!run.ok()) code = Trouble(run);
  std::cout << (json ? ToJson(registration, calls, code).dump(2) + "\n"
                     : ToText(registration, calls))
            << std::flush;
  if (!std::cout) {
    std::cerr << "sluicephone: the result could not be written\n";
    return code == kDone ? kFailed : code;
  }
  return code;
}

}  // namespace
}  // namespace sluice::phone

int main(int argc, char** argv) { return sluice::phone::Main(argc, argv); }
