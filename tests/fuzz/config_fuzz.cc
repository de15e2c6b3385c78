// Goal: no file ends the program, and a configuration that is accepted is what
// it says it is: it keeps its own rules, and printing and reading it gives the
// same back.
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/check.h"
#include "control/config.h"

using sluice::control::Config;
using sluice::control::InterfaceConfig;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto config = sluice::control::ParseConfig(text, "fuzz");
  if (!config.ok()) {
    CHECK(config.status().message().substr(0, 5) == "fuzz:");
    return 0;
  }
  CHECK(!config->interfaces.empty());
  CHECK(config->interfaces.size() <= sluice::control::kInterfacesMax);
  for (const InterfaceConfig& interface : config->interfaces) {
    CHECK(!interface.address.is_any());
  }
  const auto& relay = config->relay;
  CHECK(relay.ports.first % 2 == 0 && relay.ports.last % 2 == 1);
  CHECK(relay.ports.first < relay.ports.last);
  CHECK(relay.cq_entries >= relay.sq_entries);

  const std::string printed = sluice::control::PrintConfig(*config);
  // The help texts may take a long file beyond what is read.
  if (printed.size() > sluice::control::kConfigBytesMax) return 0;
  const auto again = sluice::control::ParseConfig(printed, "printed");
  CHECK(again.ok());
  CHECK(sluice::control::PrintConfig(*again) == printed);
  CHECK(sluice::control::Differences(*config, *again).empty());

  Config running = sluice::control::DefaultConfig();
  sluice::control::ApplyLive(*config, &running);
  for (const auto& left : sluice::control::Differences(running, *config)) {
    CHECK(!left.live);
  }
  return 0;
}
