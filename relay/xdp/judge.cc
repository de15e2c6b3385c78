// Judge() of device.h: facts about a device in, findings out. Asks nobody.

#include <algorithm>
#include <iterator>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "relay/xdp/device.h"

namespace sluice::relay::xdp {
namespace {

using Harm = Finding::Harm;

// What a driver does with a frame redirected to it by a CPU for which it has no
// queue of its own.
enum class Short { kShares, kDrops, kUnknown };
Short WhenShort(const std::string& driver) {
  constexpr std::string_view kShare[] = {"bnxt_en", "ena",   "ice", "igb",
                                         "igc",     "ixgbe", "veth"};
  constexpr std::string_view kDrop[] = {"i40e", "mlx5_core"};
  const auto in = [&driver](const auto& list) {
    return std::find(std::begin(list), std::end(list), driver) !=
           std::end(list);
  };
  if (in(kShare)) return Short::kShares;
  return in(kDrop) ? Short::kDrops : Short::kUnknown;
}

class Judgement {
 public:
  explicit Judgement(const DeviceFacts& facts)
      : facts_(facts), name_(facts.device.name) {}

  void Native() {
    Mtu();
    Offloads();
    if (facts_.device.driver == "veth") Veth();
    Queues();
    Hashes();
  }
  void Tc() {
    if (facts_.rx_udp_gro_forwarding) {
      Add(Harm::kSlow, true,
          absl::StrCat(name_,
                       " merges UDP packets on receipt, and merged ones "
                       "go through the sockets"),
          Switch("rx-udp-gro-forwarding"));
    }
    Hashes();
  }
  std::vector<Finding> Take() {
    std::stable_sort(
        findings_.begin(), findings_.end(),
        [](const Finding& a, const Finding& b) { return a.harm < b.harm; });
    return std::move(findings_);
  }

 private:
  void Add(Harm harm, bool certain, std::string what, std::string mend) {
    findings_.push_back({.harm = harm,
                         .certain = certain,
                         .what = std::move(what),
                         .mend = std::move(mend)});
  }
  std::string Switch(std::string_view feature) const {
    return absl::StrCat("ethtool -K ", name_, " ",
                        absl::string_view(feature.data(), feature.size()),
                        " off");
  }

  void Mtu() {
    if (facts_.device.mtu <= kNativeMtuMax) return;
    Add(Harm::kLoss, true,
        absl::StrCat("the MTU of ", name_, ", ", facts_.device.mtu,
                     ", is more than one buffer of native XDP holds (",
                     kNativeMtuMax, "): drivers refuse the program"),
        absl::StrCat("ip link set dev ", name_, " mtu ", kNativeMtuMax));
  }

  void Offloads() {
    if (facts_.large_receive_offload) {
      Add(Harm::kLoss, true,
          absl::StrCat(name_,
                       " merges packets on receipt (LRO): drivers "
                       "refuse native XDP with it"),
          Switch("lro"));
    }
    if (facts_.rx_gro_hw) {
      Add(Harm::kLoss, true,
          absl::StrCat(name_,
                       " merges packets on receipt (GRO_HW): drivers "
                       "refuse native XDP with it"),
          Switch("rx-gro-hw"));
    }
    if (facts_.rx_vlan_offload) {
      // Only tagged packets are lost; without VLAN devices on top there should
      // be none, or none for us.
      Add(Harm::kLoss, facts_.has_vlan_devices,
          absl::StrCat(name_,
                       " takes VLAN tags off before XDP sees the frame: "
                       "a tagged packet would leave without its tag, in "
                       "another network",
                       facts_.has_vlan_devices
                           ? ""
                           : " (there are no VLAN devices on it)"),
          Switch("rxvlan"));
    }
  }

  void Veth() {
    const std::string peer =
        facts_.peer.empty()
            ? absl::StrCat("the other end of ", name_)
            : absl::StrCat(facts_.peer, ", the other end of ", name_, ",");
    const std::string of_peer =
        facts_.peer.empty() ? "DEV (there, the other end)" : facts_.peer;
    if (facts_.peer_tx_checksum.value_or(true)) {
      Add(Harm::kCorruption, facts_.peer_tx_checksum.has_value(),
          facts_.peer_tx_checksum
              ? absl::StrCat(peer,
                             " leaves checksums to be completed by "
                             "whoever sends next, which XDP does not do")
              : absl::StrCat(peer,
                             " is not in this network namespace: whether "
                             "it sends half made checksums, which XDP "
                             "does not complete, cannot be seen"),
          absl::StrCat("ethtool -K ", of_peer, " tx off gso off tso off"));
    }
    if (!facts_.takes_redirects.value_or(false)) {
      Add(Harm::kLoss, facts_.takes_redirects.has_value(),
          facts_.takes_redirects
              ? absl::StrCat(peer,
                             " has neither GRO nor an XDP program: what "
                             "is redirected to ",
                             name_, " is lost")
              : absl::StrCat("this kernel does not say (Linux 6.3 does) "
                             "whether ",
                             peer,
                             " has GRO or an XDP program: without, what "
                             "is redirected to ",
                             name_, " is lost"),
          // While it is down, this would be without effect.
          absl::StrCat("ip link set dev ", of_peer, " up && ethtool -K ",
                       of_peer, " gro on"));
    }
  }

  void Queues() {
    const std::string& driver = facts_.device.driver;
    const int queues = facts_.send_queues;
    const int cpus = facts_.cpus;
    const int max = facts_.combined_queues_max;
    if (queues == 0) return;
    if (driver == "ena" && max != 0 && queues > max / 2) {
      Add(Harm::kLoss, true,
          absl::StrCat(name_, " uses ", queues, " of ", max,
                       " queue pairs: its driver refuses native XDP with "
                       "more than half"),
          SetCombined(max / 2));
    }
    if (driver == "virtio_net") {
      // It sends redirected frames by queues beyond those in use.
      if (max >= queues + cpus) return;
      Add(Harm::kSlow, true,
          absl::StrCat(name_, " has ", max, " queue pairs, ", queues,
                       " of them in use: redirecting by ", cpus,
                       " CPUs takes one more for each, or they wait for each "
                       "other"),
          max > cpus ? SetCombined(max - cpus)
                     : absl::StrCat("on the host: queues=", queues + cpus,
                                    " for this device"));
      return;
    }
    if (queues >= cpus) return;
    const std::string what =
        absl::StrCat(name_, " has ", queues, " send queues for ", cpus,
                     " CPUs: redirects by a CPU without one ");
    switch (WhenShort(driver)) {
      case Short::kShares:
        Add(Harm::kSlow, true, what + "wait for the others", MoreQueues());
        break;
      case Short::kDrops:
        Add(Harm::kLoss, true, what + "are lost", MoreQueues());
        break;
      case Short::kUnknown:
        Add(Harm::kLoss, false, what + "may be lost", MoreQueues());
        break;
    }
  }
  std::string SetCombined(int queues) const {
    return absl::StrCat("ethtool -L ", name_, " combined ",
                        std::max(1, queues));
  }
  std::string MoreQueues() const {
    if (facts_.combined_queues_max >= facts_.cpus) {
      return SetCombined(facts_.cpus);
    }
    if (facts_.combined_queues_max == 0) {
      return absl::StrCat("ethtool -L ", name_, " tx ", facts_.cpus);
    }
    // It has no more: then no other CPU may receive.
    return absl::StrCat("ethtool -L ", name_, " combined ",
                        facts_.combined_queues_max,
                        ", and its interrupts to the first ",
                        facts_.combined_queues_max, " CPUs");
  }

  void Hashes() {
    if (facts_.receive_queues <= 1) return;
    Hash(facts_.hashes_udp4_ports, "IPv4", "udp4");
    Hash(facts_.hashes_udp6_ports, "IPv6", "udp6");
  }
  void Hash(std::optional<bool> ports, const char* family, const char* flow) {
    if (ports.value_or(true)) return;
    Add(Harm::kSlow, true,
        absl::StrCat(name_, " chooses among its ", facts_.receive_queues,
                     " queues by addresses and not by UDP ports (", family,
                     "): all calls of a trunk go by one CPU"),
        absl::StrCat("ethtool -N ", name_, " rx-flow-hash ", flow, " sdfn"));
  }

  const DeviceFacts& facts_;
  const std::string& name_;
  std::vector<Finding> findings_;
};

}  // namespace

std::vector<Finding> Judge(const DeviceFacts& facts, Program::Hook hook) {
  Judgement judgement(facts);
  switch (hook) {
    case Program::Hook::kXdp: judgement.Native(); break;
    case Program::Hook::kTc: judgement.Tc(); break;
  }
  return judgement.Take();
}

}  // namespace sluice::relay::xdp
