#ifndef SLUICE_CONTROL_CONFIG_H_
#define SLUICE_CONTROL_CONFIG_H_

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "base/address.h"
#include "relay/session_command.h"
#include "relay/shard_pool.h"
#include "sip/settings.h"

namespace sluice::control {

enum class LogFormat { kText, kJson };

// Both ends belong to it.
struct PortRange {
  constexpr PortRange(uint16_t f, uint16_t l) : first(f), last(l) {}
  uint16_t first;
  uint16_t last;
  friend bool operator==(const PortRange&, const PortRange&) = default;
};

using StringMap = std::map<std::string, std::string>;

// The effective configuration: the fields are the keys of control/options.def,
// and every one has been judged by its rule there. Nothing below tools/ reads a
// file or a flag; each class is given the few values that it needs.
#define FIELD(type, key, initial, ...) type key = initial;

struct InterfaceConfig {
#define INTERFACE_OPTION(...) FIELD(__VA_ARGS__)
#include "control/options.def"
};

struct ChainConfig {
#define CHAIN_OPTION(...) FIELD(__VA_ARGS__)
#include "control/options.def"
};

struct LegConfig {
#define LEG_OPTION(...) FIELD(__VA_ARGS__)
#include "control/options.def"
};

struct Config {
  struct Log {
#define LOG_OPTION(...) FIELD(__VA_ARGS__)
#include "control/options.def"
  } log;
  struct Relay {
#define RELAY_OPTION(...) FIELD(__VA_ARGS__)
#include "control/options.def"
  } relay;
  std::vector<InterfaceConfig> interfaces;  // never empty
  struct NatHelper {
#define NATHELPER_OPTION(...) FIELD(__VA_ARGS__)
#include "control/options.def"
  } nathelper;
  struct Sip {
#define SIP_OPTION(...) FIELD(__VA_ARGS__)
#include "control/options.def"
  } sip;
  std::vector<ChainConfig> chains;  // each names handlers or those before it
  std::vector<LegConfig> legs;      // none: no SIP
  struct SipPool {
#define POOL_OPTION(...) FIELD(__VA_ARGS__)
#include "control/options.def"
  } sip_pool;
  struct SipRegistrar {
#define REGISTRAR_OPTION(...) FIELD(__VA_ARGS__)
#include "control/options.def"
  } sip_registrar;
  struct SipAuth {
#define AUTH_OPTION(...) FIELD(__VA_ARGS__)
#include "control/options.def"
  } sip_auth;
  struct SipDropper {
#define DROPPER_OPTION(...) FIELD(__VA_ARGS__)
#include "control/options.def"
  } sip_dropper;
  struct Store {
#define STORE_OPTION(...) FIELD(__VA_ARGS__)
#include "control/options.def"
  } store;
  struct Http {
#define HTTP_OPTION(...) FIELD(__VA_ARGS__)
#include "control/options.def"
  } http;
  struct Control {
#define CONTROL_OPTION(...) FIELD(__VA_ARGS__)
#include "control/options.def"
  } control;
  struct Process {
#define PROCESS_OPTION(...) FIELD(__VA_ARGS__)
#include "control/options.def"
  } process;
};

#undef FIELD

// A configuration file is a page, not a data base: the bound keeps a file given
// by mistake from being read whole, and the deepest nest of tables that fits
// (a.a.a... = 1, which the TOML library takes apart recursively) on the stack.
inline constexpr size_t kConfigBytesMax = 32 * 1024;
inline constexpr size_t kInterfacesMax = 64;
inline constexpr size_t kChainsMax = 64;
inline constexpr size_t kLegsMax = 64;

// The built-in one: everything on the loopback interface, sockets in
// RuntimeFolder() (control/runtime_folder.h).
Config DefaultConfig();

// InvalidArgument with one `FILE:LINE: what is wrong` a line, by line, at most
// kConfigErrorsMax of them. Keys left out keep their defaults.
inline constexpr int kConfigErrorsMax = 20;
absl::StatusOr<Config> ParseConfig(std::string_view text,
                                   const std::string& filename);
// ParseConfig of a file; NotFound, PermissionDenied ... when it cannot be read.
absl::StatusOr<Config> LoadConfig(const std::string& path);

// TOML with every key, its help above it ("# "). ParseConfig gives the same
// back. A leg is shown behind "#" when there is none.
std::string PrintConfig(const Config& config);

// A key whose value differs between two configurations.
struct Difference {
  std::string key;     // "relay.max_sessions", "relay.interface.out.latch"
  std::string before;  // as TOML
  std::string after;
  bool live = false;  // a reload applies it
};
std::vector<Difference> Differences(const Config& before, const Config& after);
// Copies into `running` what a reload may change, and nothing else.
void ApplyLive(const Config& wanted, Config* running);

// Every key as "section.key" with its help, in the order of options.def.
struct OptionInfo {
  std::string key;
  std::string help;
};
std::vector<OptionInfo> ListOptions();

}  // namespace sluice::control

#endif  // SLUICE_CONTROL_CONFIG_H_
