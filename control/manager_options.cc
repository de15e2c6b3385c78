#include "control/manager_options.h"

#include <algorithm>
#include <string_view>
#include <variant>

#include "control/nathelper_rpc.h"
#include "control/target_policy.h"

namespace sluice::control {
namespace {

// Logs, rings, event descriptors, libraries, listeners.
constexpr uint64_t kDescriptorsOfOurOwn = 192;
// An HTTP connection of each of the two doors' full houses.
constexpr uint64_t kHttpConnections = 128;
// Audio and video with their RTCP, on two sides.
constexpr uint64_t kSocketsOfASession = 8;
// What the engines' tags and the queues of a shard are laid out for.
constexpr uint64_t kSocketsOfAShardMax = 65'536;
constexpr uint64_t kSocketsOfAShardMin = 64;

uint64_t DescriptorsBesidesMedia(const Config& config) {
  return kDescriptorsOfOurOwn + kHttpConnections +
         config.nathelper.max_connections +
         config.legs.size() * (config.sip_pool.max_connections + 3);
}

// Our own doors: media must never be sent to them (M5).
std::vector<Endpoint> ControlSockets(const Config& config) {
  std::vector<Endpoint> sockets;
  for (const std::string& text : config.nathelper.listen) {
    const auto where = ParseRpcListen(text);
    if (!where.ok()) continue;
    if (const auto* endpoint = std::get_if<Endpoint>(&*where)) {
      sockets.push_back(*endpoint);
    }
  }
  if (const auto http = Endpoint::Parse(config.http.listen)) {
    sockets.push_back(*http);
  }
  for (const LegConfig& leg : config.legs) {
    for (const std::string& where : leg.listen) {
      const auto endpoint = Endpoint::Parse(std::string_view(where).substr(4));
      if (endpoint) sockets.push_back(*endpoint);
    }
  }
  return sockets;
}

}  // namespace

std::vector<Prefix> Networks(const std::vector<std::string>& texts) {
  return ParsePrefixes(texts).value_or(std::vector<Prefix>());
}

uint64_t MediaSockets(const Config& config) {
  const uint64_t ports =
      uint64_t{config.relay.ports.last} - config.relay.ports.first + 1;
  const uint64_t all = ports * config.interfaces.size();
  if (config.relay.max_sessions == 0) return all;
  return std::min(all, config.relay.max_sessions * kSocketsOfASession);
}

SessionManager::Options ManagerOptions(const Config& config) {
  const Config::Relay& relay = config.relay;
  SessionManager::Options options;
  options.interfaces = config.interfaces;
  options.port_first = Port::FromHost(relay.ports.first);
  options.port_last = Port::FromHost(relay.ports.last);
  options.max_sessions = relay.max_sessions;
  options.max_flows_per_session = static_cast<int>(relay.max_flows_per_session);
  options.max_flows_per_call = static_cast<int>(relay.max_flows_per_call);
  options.max_range = static_cast<int>(config.nathelper.max_range);
  options.active = Micros::Seconds(relay.active_timeout_s);
  options.unused = Micros::Seconds(relay.unused_timeout_s);
  options.closed = Micros::Seconds(relay.closed_timeout_s);
  options.deny_targets = Networks(relay.deny_targets);
  options.allow_targets = Networks(relay.allow_targets);
  options.listeners = ControlSockets(config);
  return options;
}

uint64_t DescriptorsWanted(const Config& config) {
  return DescriptorsBesidesMedia(config) + MediaSockets(config);
}

relay::ShardPool::Options ShardOptions(const Config& config,
                                       uint64_t descriptors) {
  const Config::Relay& relay = config.relay;
  relay::ShardPool::Options options;
  options.shards = relay.shards;
  options.engine = relay.engine;
  const uint64_t besides = DescriptorsBesidesMedia(config);
  const uint64_t left = descriptors > besides ? descriptors - besides : 0;
  options.sockets_per_shard = static_cast<uint32_t>(std::clamp(
      MediaSockets(config), kSocketsOfAShardMin, kSocketsOfAShardMax));
  // Two sockets are one flow; those of a forked offer are in several.
  options.flows_per_shard = options.sockets_per_shard;
  options.descriptors = std::max<uint64_t>(left, 1);
  options.batch_wait_us = relay.batch_wait_us;
  options.max_datagram = relay.max_datagram;
  options.sq_entries = relay.sq_entries;
  options.cq_entries = relay.cq_entries;
  options.receive_buffers = relay.receive_buffers;
  return options;
}

}  // namespace sluice::control
