#ifndef SLUICE_TOOLS_LOAD_SIP_COMMAND_H_
#define SLUICE_TOOLS_LOAD_SIP_COMMAND_H_

#include <atomic>
#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "tools/load/sip_run.h"

namespace CLI {
class App;
}

namespace sluice::load {

// What the command line of `sluiceload sip` says.
struct SipCommand {
  std::string scenario{}, proxy{}, transport = "udp", spacing = "even";
  bool self = false;
  std::string uac = "127.0.0.2:21000", uas = "127.0.0.3:21001";
  std::string domain = "example.com", to{}, contact{};
  uint32_t expires_s = 3600;
  uint32_t users = 1000;
  std::string user = "u{}", password{}, user_file{};
  double timeout_s = 4;
  std::string json{};
  bool strict = false, quiet = false;
  SipRunOptions run{};
};

void AddSipOptions(CLI::App* app, SipCommand& command);
// `sluiceload sip`. InvalidArgument is the operator's; DataLoss: --strict and
// something failed.
absl::Status RunSipCommand(SipCommand& command, const std::atomic<bool>& stop);

}  // namespace sluice::load

#endif  // SLUICE_TOOLS_LOAD_SIP_COMMAND_H_
