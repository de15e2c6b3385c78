#ifndef SLUICE_RELAY_XDP_DEVICE_H_
#define SLUICE_RELAY_XDP_DEVICE_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/address.h"
#include "relay/xdp/program.h"

// Network devices as the forwarding program sees them. All of this asks the
// kernel in the network namespace of the calling thread, and needs no rights.
//
// Threads: any; nothing is kept.
namespace sluice::relay::xdp {

struct Device {
  uint32_t ifindex = 0;
  std::string name{};
  std::string driver{};  // as ethtool -i says; empty: not told
  uint32_t mtu = 0;      // octets, without the Ethernet header
  bool is_loopback = false;
  bool has_ethernet = false;  // its frames begin with an Ethernet header
};

// The device that has this address. InvalidArgument: an any-address, which is
// on all of them. NotFound: on none. FailedPrecondition: on more than one.
absl::StatusOr<Device> FindDevice(const IpAddress& local);
absl::StatusOr<Device> FindDevice(const std::string& name);

// Something about a device that spoils forwarding there.
struct Finding {
  enum class Harm {
    kLoss,        // packets go nowhere, or the driver refuses the program
    kCorruption,  // packets arrive spoilt
    kSlow,        // all arrive, at a price
  };
  Harm harm = Harm::kSlow;
  // False: it may be so, and cannot be seen from here.
  bool certain = true;
  std::string what{};  // in plain words, with the device's name
  std::string mend{};  // the command
};

// What Judge() goes by. Defaults are those of a device with nothing wrong.
struct DeviceFacts {
  Device device{};
  int cpus = 1;  // that are online
  // Queues in use, 0: not told. `combined` ones receive and send.
  int receive_queues = 0;
  int send_queues = 0;
  int combined_queues_max = 0;  // 0: it has no combined ones, or not told
  // As ethtool -k names them; not told: off.
  bool large_receive_offload = false;
  bool rx_gro_hw = false;
  bool rx_vlan_offload = false;
  bool rx_udp_gro_forwarding = false;
  bool has_vlan_devices = false;  // on top of it
  // Whether its queues are chosen by UDP ports, too; nullopt: not told.
  std::optional<bool> hashes_udp4_ports{};
  std::optional<bool> hashes_udp6_ports{};
  // Of a veth. The other end's name, when it is in this namespace.
  std::string peer{};
  std::optional<bool> peer_tx_checksum{};
  // Whether frames redirected to it are taken in at the other end.
  std::optional<bool> takes_redirects{};
};

absl::StatusOr<DeviceFacts> ReadFacts(const Device& device);
// Whether /proc/net/vlan/config, of which this is the text, has one on top of
// `device`. Pure.
bool NamesVlanOn(const std::string& config, const std::string& device);
// Pure. In the order in which one would mend them: loss, corruption, slow.
std::vector<Finding> Judge(const DeviceFacts& facts, Program::Hook hook);
// Judge() of what ReadFacts() says; that it says nothing is a finding, too.
std::vector<Finding> Inspect(const Device& device, Program::Hook hook);

// Octets of MTU that native XDP has room for in one buffer (a page, less 256
// octets of headroom and what the kernel keeps behind the frame). Drivers
// differ by some octets; this is the smallest.
inline constexpr uint32_t kNativeMtuMax = 3'498;

}  // namespace sluice::relay::xdp

#endif  // SLUICE_RELAY_XDP_DEVICE_H_
