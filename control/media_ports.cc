#include "control/media_ports.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "base/status_macros.h"

namespace sluice::control {
namespace {

// Runs tried before an interface counts as full: with half of the range bound
// by other programs, a hundred pairs in a row are all taken once in 10^60.
constexpr int kRunTries = 100;

Port At(Port base, int i) {
  return Port::FromHost(static_cast<uint16_t>(base.host() + i));
}

}  // namespace

MediaPorts::MediaPorts(const Options& options, relay::MediaPlane& plane,
                       ManagerCounters& counters)
    : plane_(plane), counters_(counters), holders_(plane.shards()) {
  CHECK(!options.interfaces.empty() &&
        options.interfaces.size() <= std::numeric_limits<uint8_t>::max());
  for (const InterfaceConfig& config : options.interfaces) {
    relay::PortPool::Options pool{.first = options.first, .last = options.last};
    // Not the same order on every interface.
    if (options.seed != 0) pool.seed = options.seed + interfaces_.size();
    interfaces_.push_back(
        {.config = config, .pool = std::make_unique<relay::PortPool>(pool)});
  }
}

std::optional<uint8_t> MediaPorts::Find(const IpAddress& local) const {
  if (local.is_any()) return std::nullopt;
  for (size_t i = 0; i < interfaces_.size(); ++i) {
    if (interfaces_[i].config.address == local) return static_cast<uint8_t>(i);
  }
  for (size_t i = 0; i < interfaces_.size(); ++i) {
    if (interfaces_[i].config.advertise == local) {
      return static_cast<uint8_t>(i);
    }
  }
  return std::nullopt;
}

const IpAddress& MediaPorts::Announced(size_t interface) const {
  const InterfaceConfig& config = interfaces_[interface].config;
  return config.advertise.is_any() ? config.address : config.advertise;
}

bool MediaPorts::IsOwn(const IpAddress& ip) const {
  return std::any_of(
      interfaces_.begin(), interfaces_.end(), [&ip](const Interface& i) {
        return i.config.address == ip || i.config.advertise == ip;
      });
}

bool MediaPorts::IsTaken(const Endpoint& endpoint) const {
  for (const Interface& i : interfaces_) {
    if (i.config.address != endpoint.ip && i.config.advertise != endpoint.ip) {
      continue;
    }
    if (i.pool->IsTaken(endpoint.port)) return true;
  }
  return false;
}

bool MediaPorts::AnyIsTarget(const IpAddress& address, Port base,
                             int range) const {
  if (own_targets_.empty()) return false;
  for (int i = 0; i < range; ++i) {
    if (own_targets_.contains(Endpoint{.ip = address, .port = At(base, i)})) {
      return true;
    }
  }
  return false;
}

template <typename OpenOne>
absl::StatusOr<std::vector<Slot>> MediaPorts::OpenEach(uint32_t shard,
                                                       absl::Span<Medium> media,
                                                       OpenOne&& open) {
  std::vector<Slot> sockets;
  size_t wanted = 0;
  for (const Medium& medium : media) wanted += medium.range;
  sockets.reserve(wanted);
  for (Medium& medium : media) {
    if (absl::Status status = open(medium, sockets); !status.ok()) {
      for (const Slot socket : sockets) Close(shard, socket);
      return status;
    }
  }
  return sockets;
}

absl::StatusOr<std::vector<Slot>> MediaPorts::Open(uint32_t shard,
                                                   uint8_t interface,
                                                   absl::Span<Medium> media,
                                                   Micros now) {
  return OpenEach(shard, media,
                  [&](Medium& medium, std::vector<Slot>& sockets) {
                    return OpenRun(shard, interface, medium, sockets, now);
                  });
}

absl::StatusOr<std::vector<Slot>> MediaPorts::OpenThese(
    uint32_t shard, uint8_t interface, absl::Span<Medium> media, Micros now) {
  return OpenEach(shard, media,
                  [&](const Medium& medium, std::vector<Slot>& sockets) {
                    return OpenThis(shard, interface, medium, sockets, now);
                  });
}

absl::Status MediaPorts::OpenThis(uint32_t shard, uint8_t interface,
                                  const Medium& medium,
                                  std::vector<Slot>& sockets, Micros now) {
  const Interface& on = interfaces_[interface];
  const Port first = medium.Local(0);
  RETURN_IF_ERROR(on.pool->TakeThese(first, medium.range, now));
  if (AnyIsTarget(on.config.address, first, medium.range) ||
      AnyIsTarget(on.config.advertise, first, medium.range)) {
    for (int i = 0; i < medium.range; ++i) {
      on.pool->Release(At(first, i), now);
    }
    return absl::PermissionDeniedError(
        absl::StrCat("media of a call goes to port ", medium.base,
                     " or one of the next ", medium.range - 1));
  }
  return OpenPorts(shard, interface, first, medium.range, sockets, now);
}

std::optional<Endpoint> MediaPorts::LocalOf(uint32_t shard, Slot socket) const {
  const Holder* const holder = FindHolder(shard, socket);
  if (holder == nullptr) return std::nullopt;
  return Endpoint{.ip = interfaces_[holder->interface].config.address,
                  .port = holder->port};
}

absl::Status MediaPorts::OpenRun(uint32_t shard, uint8_t interface,
                                 Medium& medium, std::vector<Slot>& sockets,
                                 Micros now) {
  const Interface& on = interfaces_[interface];
  for (int attempt = 0; attempt < kRunTries; ++attempt) {
    const absl::StatusOr<Port> base = on.pool->Take(medium.range, now);
    if (!base.ok()) {
      ++counters_.allocate_no_ports;
      return absl::ResourceExhaustedError(absl::StrCat(
          "interface ", on.config.name, ": ", base.status().message()));
    }
    if (AnyIsTarget(on.config.address, *base, medium.range) ||
        AnyIsTarget(on.config.advertise, *base, medium.range)) {
      for (int i = 0; i < medium.range; ++i) {
        on.pool->Release(At(*base, i), now);
      }
      continue;
    }
    const absl::Status status =
        OpenPorts(shard, interface, *base, medium.range, sockets, now);
    if (status.ok()) {
      medium.base = base->host();
      return status;
    }
    if (!absl::IsAlreadyExists(status)) {
      ++counters_.allocate_failed;
      return status;
    }
    ++counters_.port_conflicts;
  }
  ++counters_.allocate_no_ports;
  return absl::ResourceExhaustedError(absl::StrCat(
      "interface ", on.config.name, ": ", kRunTries,
      " runs of ports tried, in each a port was in use by somebody else"));
}

absl::Status MediaPorts::OpenPorts(uint32_t shard, uint8_t interface, Port base,
                                   int range, std::vector<Slot>& sockets,
                                   Micros now) {
  Interface& on = interfaces_[interface];
  for (int i = 0; i < range; ++i) {
    const Endpoint local{.ip = on.config.address, .port = At(base, i)};
    const absl::StatusOr<Slot> socket =
        plane_.OpenSocket(shard, local, on.config.tos);
    if (!socket.ok()) {
      for (int opened = 0; opened < i; ++opened) {
        Close(shard, sockets.back());
        sockets.pop_back();
      }
      on.pool->Reject(local.port, now);
      for (int rest = i + 1; rest < range; ++rest) {
        on.pool->Release(At(base, rest), now);
      }
      return socket.status();
    }
    std::vector<Holder>& holders = holders_[shard];
    if (holders.size() <= socket->index) holders.resize(socket->index + 1);
    Holder& holder = holders[socket->index];
    CHECK(holder.generation == 0);
    holder = {.generation = socket->generation,
              .port = local.port,
              .interface = interface};
    ++sockets_open_;
    sockets.push_back(*socket);
  }
  return absl::OkStatus();
}

const MediaPorts::Holder* MediaPorts::FindHolder(uint32_t shard,
                                                 Slot socket) const {
  if (shard >= holders_.size() || !socket) return nullptr;
  const std::vector<Holder>& holders = holders_[shard];
  if (socket.index >= holders.size() ||
      holders[socket.index].generation != socket.generation) {
    return nullptr;
  }
  return &holders[socket.index];
}

MediaPorts::Holder* MediaPorts::FindHolder(uint32_t shard, Slot socket) {
  return const_cast<Holder*>(std::as_const(*this).FindHolder(shard, socket));
}

bool MediaPorts::IsOpen(uint32_t shard, Slot socket) const {
  const Holder* holder = FindHolder(shard, socket);
  return holder != nullptr && !holder->closing;
}

void MediaPorts::Share(uint32_t shard, Slot socket) {
  CHECK(IsOpen(shard, socket));
  Holder* holder = FindHolder(shard, socket);
  CHECK(holder->groups < std::numeric_limits<uint16_t>::max());
  ++holder->groups;
}

void MediaPorts::Close(uint32_t shard, Slot socket) {
  Holder* holder = FindHolder(shard, socket);
  // The shard may have closed it by itself; we close it once.
  if (holder == nullptr) return;
  CHECK(!holder->closing);
  if (--holder->groups > 0) return;
  holder->closing = true;
  ++sockets_closing_;
  plane_.CloseSocket(shard, socket);
}

bool MediaPorts::OnClosed(uint32_t shard, Slot socket, Micros now) {
  Holder* holder = FindHolder(shard, socket);
  if (holder == nullptr) return true;
  const bool asked = holder->closing;
  if (asked) {
    --sockets_closing_;
  } else {
    ++counters_.sockets_lost;
  }
  interfaces_[holder->interface].pool->Release(holder->port, now);
  *holder = Holder{};
  --sockets_open_;
  return asked;
}

void MediaPorts::AddTargets(const Medium& medium) {
  if (!medium.active() || !IsOwn(medium.ip)) return;
  for (int i = 0; i < medium.range; ++i) ++own_targets_[medium.Target(i)];
}

void MediaPorts::RemoveTargets(const Medium& medium) {
  if (!medium.active() || !IsOwn(medium.ip)) return;
  for (int i = 0; i < medium.range; ++i) {
    const auto it = own_targets_.find(medium.Target(i));
    CHECK(it != own_targets_.end());
    if (--it->second == 0) own_targets_.erase(it);
  }
}

bool MediaPorts::Validate() const {
  size_t open = 0, closing = 0;
  std::vector<uint32_t> taken(interfaces_.size());
  for (const std::vector<Holder>& holders : holders_) {
    for (const Holder& holder : holders) {
      if (holder.generation == 0) continue;
      ++open;
      if (holder.closing) ++closing;
      ++taken[holder.interface];
      if (!interfaces_[holder.interface].pool->IsTaken(holder.port)) {
        return false;
      }
    }
  }
  for (size_t i = 0; i < interfaces_.size(); ++i) {
    const relay::PortPool& pool = *interfaces_[i].pool;
    if (pool.taken() != taken[i] || !pool.Validate()) return false;
  }
  return open == sockets_open_ && closing == sockets_closing_;
}

}  // namespace sluice::control
