#ifndef SLUICE_CONTROL_MANAGER_OPTIONS_H_
#define SLUICE_CONTROL_MANAGER_OPTIONS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "control/config.h"
#include "control/session_manager.h"
#include "control/target_policy.h"
#include "relay/shard_pool.h"

// From the operator's words to what the engine's parts are given.
namespace sluice::control {

// Of lists that the configuration's rules have let in.
std::vector<Prefix> Networks(const std::vector<std::string>& texts);

SessionManager::Options ManagerOptions(const Config& config);

// Sockets that the configured ports and sessions can come to need.
uint64_t MediaSockets(const Config& config);
// Descriptors that the configured sessions and listeners can come to need.
uint64_t DescriptorsWanted(const Config& config);
// `descriptors`: the limit that holds for the process.
relay::ShardPool::Options ShardOptions(const Config& config,
                                       uint64_t descriptors);

}  // namespace sluice::control

#endif  // SLUICE_CONTROL_MANAGER_OPTIONS_H_
