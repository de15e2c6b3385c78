#ifndef SLUICE_CONTROL_CONFIG_CHECKS_H_
#define SLUICE_CONTROL_CONFIG_CHECKS_H_

#include <toml++/toml.h>

#include <string>

#include "absl/functional/function_ref.h"
#include "control/config.h"

// What no key can be judged for by itself: values that must fit each other.
namespace sluice::control {

inline constexpr const char kInterfaceSection[] = "relay.interface";
inline constexpr const char kChainSection[] = "sip.chain";
inline constexpr const char kLegSection[] = "sip.leg";
// Handlers that one message may be shown to, those of chains within chains
// counted where they stand.
inline constexpr size_t kStationsMax = 64;

// Called for what is wrong, with the place that shows the line.
using Complain = absl::FunctionRef<void(const toml::source_region& where,
                                        const std::string& what)>;

// One [[relay.interface]] beside those before it (config.interfaces).
void CheckInterface(const toml::table& table, const InterfaceConfig& interface,
                    const Config& config, Complain complain);
// One [[sip.chain]] beside those before it (config.chains).
void CheckChain(const toml::table& table, const ChainConfig& chain,
                const Config& config, Complain complain);
// One [[sip.leg]] beside those before it (config.legs), the interfaces, the
// chains and the users, which are read already.
void CheckLeg(const toml::table& table, const LegConfig& leg,
              const Config& config, Complain complain);
// Single keys of the file.
void CheckTogether(const toml::table& root, const Config& config,
                   Complain complain);

}  // namespace sluice::control

#endif  // SLUICE_CONTROL_CONFIG_CHECKS_H_
