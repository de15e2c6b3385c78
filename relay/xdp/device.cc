#include "relay/xdp/device.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <linux/ethtool.h>
#include <linux/genetlink.h>
#include <linux/if_link.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <iterator>
#include <sstream>
#include <string_view>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/net/fd.h"
#include "base/net/netlink.h"
#include "base/status_macros.h"

namespace sluice::relay::xdp {
namespace {

namespace netlink = net::netlink;
using net::Fd;

absl::Status FromErrno(int error, const std::string& what) {
  const std::string text = absl::StrCat(what, ": ", std::strerror(error));
  return error == ENODEV || error == ENXIO ? absl::NotFoundError(text)
                                           : absl::InternalError(text);
}

// --- ioctl -------------------------------------------------------------------
//
// Not /sys/class/net: that shows the namespace it was mounted in, which need
// not be ours.

class Ioctl {
 public:
  explicit Ioctl(const std::string& name)
      : fd_(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)) {
    // One of AF_UNIX will do where there is no IPv4.
    if (!fd_) fd_ = Fd(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    std::memcpy(request_.ifr_name, name.data(),
                std::min(name.size(), sizeof(request_.ifr_name) - 1));
  }
  // 0, or errno.
  int Do(unsigned long what) {
    return ioctl(fd_.get(), what, &request_) == 0 ? 0 : errno;
  }
  // `command` is one of linux/ethtool.h's structs, which begin with a number.
  template <typename T>
  bool Ethtool(T* command) {
    request_.ifr_data = reinterpret_cast<char*>(command);
    return Do(SIOCETHTOOL) == 0;
  }
  const ifreq& request() const { return request_; }

 private:
  Fd fd_;
  ifreq request_{};
};

// One with an array behind it, of `words` words.
template <typename T>
class WithArray {
 public:
  explicit WithArray(size_t words)
      : storage_((sizeof(T) + 3) / 4 + words, uint32_t{0}) {}
  T* get() { return reinterpret_cast<T*>(storage_.data()); }
  T* operator->() { return get(); }
  const char* behind() const {
    return reinterpret_cast<const char*>(storage_.data()) + sizeof(T);
  }

 private:
  std::vector<uint32_t> storage_;
};

// The features of a device that are on, by the names of the kernel.
class Features {
 public:
  explicit Features(Ioctl* ioctl) {
    WithArray<ethtool_sset_info> set(1);
    set->cmd = ETHTOOL_GSSET_INFO;
    set->sset_mask = uint64_t{1} << ETH_SS_FEATURES;
    if (!ioctl->Ethtool(set.get()) || set->sset_mask == 0) return;
    uint32_t count = 0;
    std::memcpy(&count, set.behind(), sizeof(count));
    WithArray<ethtool_gstrings> names(count * ETH_GSTRING_LEN / 4);
    names->cmd = ETHTOOL_GSTRINGS;
    names->string_set = ETH_SS_FEATURES;
    names->len = count;
    const uint32_t blocks = (count + 31) / 32;
    WithArray<ethtool_gfeatures> features(
        blocks * sizeof(ethtool_get_features_block) / 4);
    features->cmd = ETHTOOL_GFEATURES;
    features->size = blocks;
    if (!ioctl->Ethtool(names.get()) || !ioctl->Ethtool(features.get())) return;
    for (uint32_t i = 0; i < count; ++i) {
      ethtool_get_features_block block;
      std::memcpy(&block, features.behind() + i / 32 * sizeof(block),
                  sizeof(block));
      if ((block.active >> i % 32 & 1) == 0) continue;
      const char* name = names.behind() + i * ETH_GSTRING_LEN;
      on_.emplace_back(name, strnlen(name, ETH_GSTRING_LEN));
    }
  }
  bool Has(std::string_view name) const {
    return std::find(on_.begin(), on_.end(), name) != on_.end();
  }

 private:
  std::vector<std::string> on_;
};

bool ChecksumsOnSend(Ioctl* ioctl) {
  const Features features(ioctl);
  return features.Has("tx-checksum-ip-generic") ||
         features.Has("tx-checksum-ipv4") || features.Has("tx-checksum-ipv6");
}

std::optional<bool> HashesPorts(Ioctl* ioctl, uint32_t flow) {
  ethtool_rxnfc command{};
  command.cmd = ETHTOOL_GRXFH;
  command.flow_type = flow;
  if (!ioctl->Ethtool(&command)) return std::nullopt;
  constexpr uint64_t kPorts = RXH_L4_B_0_1 | RXH_L4_B_2_3;
  return (command.data & kPorts) == kPorts;
}

absl::StatusOr<Device> Describe(const std::string& name) {
  Device device;
  device.name = name;
  Ioctl ioctl(name);
  if (int error = ioctl.Do(SIOCGIFINDEX); error != 0) {
    return FromErrno(error, absl::StrCat("the network device ", name));
  }
  device.ifindex = static_cast<uint32_t>(ioctl.request().ifr_ifindex);
  if (int error = ioctl.Do(SIOCGIFMTU); error != 0) {
    return FromErrno(error, absl::StrCat("the MTU of ", name));
  }
  device.mtu = static_cast<uint32_t>(ioctl.request().ifr_mtu);
  if (int error = ioctl.Do(SIOCGIFHWADDR); error != 0) {
    return FromErrno(error, absl::StrCat("the kind of ", name));
  }
  const int kind = ioctl.request().ifr_hwaddr.sa_family;
  device.is_loopback = kind == ARPHRD_LOOPBACK;
  device.has_ethernet = kind == ARPHRD_ETHER || device.is_loopback;
  ethtool_drvinfo driver{};
  driver.cmd = ETHTOOL_GDRVINFO;
  if (ioctl.Ethtool(&driver)) {
    device.driver.assign(driver.driver,
                         strnlen(driver.driver, sizeof(driver.driver)));
  }
  return device;
}

// --- netlink, for what no ioctl says -----------------------------------------

// Newer than the headers: linux/netdev.h.
constexpr uint8_t kNetdevFamily[] = "netdev";  // with its end
constexpr uint8_t kNetdevGetDevice = 1;
constexpr uint16_t kNetdevIfindex = 1, kNetdevXdpFeatures = 3;
constexpr uint64_t kXdpFeatureRedirectTarget = 1 << 2;

// The attribute `wanted` of the one answer to a request, read by `as`; nullopt:
// there is none.
template <typename Head, typename As>
auto Asked(int protocol, netlink::Request request, uint16_t wanted, As as) {
  decltype((std::declval<netlink::Attribute>().*as)()) found;
  auto requester = netlink::Requester::Open(protocol);
  if (!requester.ok()) return found;
  requester
      ->Ask(request,
            [&](const netlink::Message& answer) {
              auto attributes = answer.AttributesAfter<Head>();
              while (const auto attribute = attributes.Next()) {
                if (attribute->type == wanted) found = ((*attribute).*as)();
              }
            })
      .IgnoreError();
  return found;
}

// The other end of a veth, if it is in this namespace. Its index alone would
// not tell: each namespace counts its own.
std::string PeerOf(const Device& device) {
  ifinfomsg head{};
  head.ifi_index = static_cast<int>(device.ifindex);
  const netlink::Request request(RTM_GETLINK, 0, head);
  const auto elsewhere = Asked<ifinfomsg>(
      NETLINK_ROUTE, request, IFLA_LINK_NETNSID, &netlink::Attribute::AsU32);
  const auto peer = Asked<ifinfomsg>(NETLINK_ROUTE, request, IFLA_LINK,
                                     &netlink::Attribute::AsU32);
  char name[IF_NAMESIZE];
  if (!peer || elsewhere || if_indextoname(*peer, name) == nullptr) return {};
  return name;
}

// What a device's driver does of XDP (linux/netdev.h, NETDEV_XDP_ACT_*). A veth
// takes redirected frames exactly while this says so: it goes by the GRO and
// the program of the other end, wherever that is.
std::optional<uint64_t> XdpFeatures(const Device& device) {
  netlink::Request family(
      GENL_ID_CTRL, 0,
      genlmsghdr{.cmd = CTRL_CMD_GETFAMILY, .version = 1, .reserved = 0});
  family.Add(CTRL_ATTR_FAMILY_NAME, kNetdevFamily);
  const auto id = Asked<genlmsghdr>(
      NETLINK_GENERIC, family, CTRL_ATTR_FAMILY_ID, &netlink::Attribute::AsU16);
  if (!id) return std::nullopt;  // before Linux 6.3
  netlink::Request get(
      *id, 0, genlmsghdr{.cmd = kNetdevGetDevice, .version = 1, .reserved = 0});
  get.AddU32(kNetdevIfindex, static_cast<uint32_t>(device.ifindex));
  return Asked<genlmsghdr>(NETLINK_GENERIC, get, kNetdevXdpFeatures,
                           &netlink::Attribute::AsU64);
}

std::string VlanConfig() {
  std::ifstream file("/proc/thread-self/net/vlan/config");
  return {std::istreambuf_iterator<char>(file), {}};
}

}  // namespace

// --- Finding one -------------------------------------------------------------

absl::StatusOr<Device> FindDevice(const std::string& name) {
  if (name.empty() || name.size() >= IFNAMSIZ) {
    return absl::InvalidArgumentError(
        absl::StrCat("\"", name, "\" is no name of a network device: 1 to ",
                     IFNAMSIZ - 1, " characters"));
  }
  if (if_nametoindex(name.c_str()) == 0) {
    return absl::NotFoundError(
        absl::StrCat("there is no network device ", name, " (see: ip link)"));
  }
  return Describe(name);
}

absl::StatusOr<Device> FindDevice(const IpAddress& local) {
  const std::string text = local.ToString();
  if (local.is_any()) {
    return absl::InvalidArgumentError(absl::StrCat(
        text,
        " is every address of this machine, on no one device: name the "
        "address that the media is sent to"));
  }
  ifaddrs* all = nullptr;
  if (getifaddrs(&all) != 0) {
    return FromErrno(errno, "listing the addresses of this machine");
  }
  std::vector<std::string> names;
  for (const ifaddrs* each = all; each != nullptr; each = each->ifa_next) {
    if (each->ifa_addr == nullptr) continue;
    const int family = each->ifa_addr->sa_family;
    if (family != AF_INET && family != AF_INET6) continue;
    const auto endpoint = Endpoint::FromSockaddr(
        each->ifa_addr,
        family == AF_INET ? sizeof(sockaddr_in) : sizeof(sockaddr_in6));
    if (!endpoint || endpoint->ip != local) continue;
    // An IPv4 address may have a label instead, as eth0:1.
    const std::string_view label(each->ifa_name);
    const std::string name(label.substr(0, label.find(':')));
    if (std::find(names.begin(), names.end(), name) == names.end()) {
      names.push_back(name);
    }
  }
  freeifaddrs(all);
  if (names.empty()) {
    return absl::NotFoundError(absl::StrCat(
        "no network device has the address ", text, " (see: ip address)"));
  }
  if (names.size() > 1) {
    return absl::FailedPreconditionError(
        absl::StrCat("both ", names[0], " and ", names[1], " have the address ",
                     text, ": name the device that the media comes in by"));
  }
  return FindDevice(names.front());
}

// --- Reading -----------------------------------------------------------------

// Two lines of heading, then lines of "name | tag | device".
bool NamesVlanOn(const std::string& config, const std::string& device) {
  std::istringstream lines(config);
  std::string line;
  while (std::getline(lines, line)) {
    while (!line.empty() && line.back() == ' ') line.pop_back();
    const size_t at = line.rfind("| ");
    if (at != std::string::npos && line.substr(at + 2) == device) return true;
  }
  return false;
}

absl::StatusOr<DeviceFacts> ReadFacts(const Device& device) {
  DeviceFacts facts;
  ASSIGN_OR_RETURN(facts.device, FindDevice(device.name));
  if (facts.device.ifindex != device.ifindex) {
    return absl::NotFoundError(
        absl::StrCat("the network device ", device.name,
                     " is another one by now: it was made anew"));
  }
  facts.cpus = static_cast<int>(std::max(1L, sysconf(_SC_NPROCESSORS_ONLN)));

  Ioctl ioctl(device.name);
  const Features features(&ioctl);
  facts.large_receive_offload = features.Has("rx-lro");
  facts.rx_gro_hw = features.Has("rx-gro-hw");
  facts.rx_vlan_offload = features.Has("rx-vlan-hw-parse");
  facts.rx_udp_gro_forwarding = features.Has("rx-udp-gro-forwarding");
  facts.has_vlan_devices = NamesVlanOn(VlanConfig(), device.name);

  ethtool_channels channels{};
  channels.cmd = ETHTOOL_GCHANNELS;
  if (ioctl.Ethtool(&channels)) {
    facts.receive_queues =
        static_cast<int>(channels.rx_count + channels.combined_count);
    facts.send_queues =
        static_cast<int>(channels.tx_count + channels.combined_count);
    facts.combined_queues_max = static_cast<int>(channels.max_combined);
  }
  ethtool_rxnfc rings{};
  rings.cmd = ETHTOOL_GRXRINGS;
  if (ioctl.Ethtool(&rings)) {
    facts.receive_queues = static_cast<int>(rings.data);
  }
  facts.hashes_udp4_ports = HashesPorts(&ioctl, UDP_V4_FLOW);
  facts.hashes_udp6_ports = HashesPorts(&ioctl, UDP_V6_FLOW);

  if (facts.device.driver == "veth") {
    facts.peer = PeerOf(device);
    if (!facts.peer.empty()) {
      Ioctl other(facts.peer);
      facts.peer_tx_checksum = ChecksumsOnSend(&other);
    }
    if (const auto xdp = XdpFeatures(device)) {
      facts.takes_redirects = (*xdp & kXdpFeatureRedirectTarget) != 0;
    }
  }
  return facts;
}

std::vector<Finding> Inspect(const Device& device, Program::Hook hook) {
  const auto facts = ReadFacts(device);
  if (facts.ok()) return Judge(*facts, hook);
  return {{.harm = Finding::Harm::kLoss,
           .certain = false,
           .what = absl::StrCat(
               device.name, " cannot be looked at: ", facts.status().message()),
           .mend = "ip link"}};
}

}  // namespace sluice::relay::xdp
