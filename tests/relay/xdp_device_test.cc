// Network devices: finding one, and what of it spoils forwarding.

#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstring>
#include <functional>
#include <string>
#include <vector>

#include "base/net/fd.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "relay/xdp/device.h"
#include "tests/relay/xdp_namespace.h"

namespace sluice::relay::xdp {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::Field;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using Harm = Finding::Harm;
using Hook = Program::Hook;

auto Is(Harm harm, bool certain, const char* what, const char* mend) {
  return AllOf(Field("harm", &Finding::harm, harm),
               Field("certain", &Finding::certain, certain),
               Field("what", &Finding::what, HasSubstr(what)),
               Field("mend", &Finding::mend, mend));
}
auto Mended(const char* mend) { return Field("mend", &Finding::mend, mend); }

// --- Judging: facts in, findings out -----------------------------------------

// A server's port as it should be.
DeviceFacts Clean() {
  DeviceFacts facts;
  facts.device = {.ifindex = 2,
                  .name = "eth0",
                  .driver = "ice",
                  .mtu = 1500,
                  .has_ethernet = true};
  facts.cpus = 4;
  facts.receive_queues = facts.send_queues = 4;
  facts.combined_queues_max = 16;
  facts.hashes_udp4_ports = facts.hashes_udp6_ports = true;
  return facts;
}

DeviceFacts CleanVeth() {
  DeviceFacts facts;
  facts.device = {.ifindex = 3,
                  .name = "veth0",
                  .driver = "veth",
                  .mtu = 1500,
                  .has_ethernet = true};
  facts.receive_queues = facts.send_queues = 1;
  facts.peer = "veth1";
  facts.peer_tx_checksum = false;
  facts.takes_redirects = true;
  return facts;
}

TEST(XdpJudge, HasNothingToSayOfACleanDevice) {
  for (Hook hook : {Hook::kXdp, Hook::kTc}) {
    EXPECT_THAT(Judge(Clean(), hook), IsEmpty());
    EXPECT_THAT(Judge(CleanVeth(), hook), IsEmpty());
    // Of which the kernel tells nothing more.
    DeviceFacts untold;
    untold.device = Clean().device;
    EXPECT_THAT(Judge(untold, hook), IsEmpty());
  }
}

TEST(XdpJudge, NamesEachFaultItsHarmAndItsMend) {
  const struct {
    const char* name;
    DeviceFacts facts;
    std::function<void(DeviceFacts&)> spoil;
    Harm harm;
    bool certain;
    const char* what;
    const char* mend;
    bool on_native = true, on_tc = false;
  } rows[] = {
      {"an MTU of more than a buffer", Clean(),
       [](auto& f) { f.device.mtu = kNativeMtuMax + 1; }, Harm::kLoss, true,
       "3499", "ip link set dev eth0 mtu 3498"},
      {"LRO", Clean(), [](auto& f) { f.large_receive_offload = true; },
       Harm::kLoss, true, "LRO", "ethtool -K eth0 lro off"},
      {"GRO_HW", Clean(), [](auto& f) { f.rx_gro_hw = true; }, Harm::kLoss,
       true, "GRO_HW", "ethtool -K eth0 rx-gro-hw off"},
      {"tags taken off, and VLANs", Clean(),
       [](auto& f) { f.rx_vlan_offload = f.has_vlan_devices = true; },
       Harm::kLoss, true, "VLAN", "ethtool -K eth0 rxvlan off"},
      {"tags taken off, no VLANs", Clean(),
       [](auto& f) { f.rx_vlan_offload = true; }, Harm::kLoss, false,
       "no VLAN devices on it", "ethtool -K eth0 rxvlan off"},
      {"half checksums from a veth", CleanVeth(),
       [](auto& f) { f.peer_tx_checksum = true; }, Harm::kCorruption, true,
       "veth1, the other end of veth0",
       "ethtool -K veth1 tx off gso off tso off"},
      {"a veth's other end elsewhere", CleanVeth(),
       [](auto& f) {
         f.peer.clear();
         f.peer_tx_checksum.reset();
       },
       Harm::kCorruption, false,
       "the other end of veth0 is not in this network",
       "ethtool -K DEV (there, the other end) tx off gso off tso off"},
      {"nobody takes redirects at a veth's other end", CleanVeth(),
       [](auto& f) { f.takes_redirects = false; }, Harm::kLoss, true,
       "neither GRO nor an XDP program",
       "ip link set dev veth1 up && ethtool -K veth1 gro on"},
      {"an old kernel that does not say so", CleanVeth(),
       [](auto& f) { f.takes_redirects.reset(); }, Harm::kLoss, false,
       "Linux 6.3", "ip link set dev veth1 up && ethtool -K veth1 gro on"},
      {"fewer send queues than CPUs, shared", Clean(),
       [](auto& f) { f.send_queues = 3; }, Harm::kSlow, true,
       "3 send queues for 4 CPUs", "ethtool -L eth0 combined 4"},
      {"fewer send queues than CPUs, a driver that drops", Clean(),
       [](auto& f) {
         f.device.driver = "mlx5_core";
         f.send_queues = 3;
       },
       Harm::kLoss, true, "are lost", "ethtool -L eth0 combined 4"},
      {"fewer send queues than CPUs, a driver that we do not know", Clean(),
       [](auto& f) {
         f.device.driver = "newnic";
         f.send_queues = 3;
         f.combined_queues_max = 0;
       },
       Harm::kLoss, false, "may be lost", "ethtool -L eth0 tx 4"},
      {"fewer send queues than CPUs, and no more to have", Clean(),
       [](auto& f) {
         f.device.driver = "i40e";
         f.send_queues = f.combined_queues_max = 3;
       },
       Harm::kLoss, true, "are lost",
       "ethtool -L eth0 combined 3, and its interrupts to the first 3 CPUs"},
      {"virtio without queues for redirects", Clean(),
       [](auto& f) {
         f.device.driver = "virtio_net";
         f.combined_queues_max = 7;
       },
       Harm::kSlow, true, "7 queue pairs", "ethtool -L eth0 combined 3"},
      {"virtio with too few queues at all", Clean(),
       [](auto& f) {
         f.device.driver = "virtio_net";
         f.combined_queues_max = 4;
       },
       Harm::kSlow, true, "4 queue pairs",
       "on the host: queues=8 for this device"},
      {"ENA with more than half of its queues", Clean(),
       [](auto& f) {
         f.device.driver = "ena";
         f.combined_queues_max = 7;
       },
       Harm::kLoss, true, "4 of 7", "ethtool -L eth0 combined 3"},
      {"no UDP ports in the hash, IPv4", Clean(),
       [](auto& f) { f.hashes_udp4_ports = false; }, Harm::kSlow, true, "IPv4",
       "ethtool -N eth0 rx-flow-hash udp4 sdfn", true, true},
      {"no UDP ports in the hash, IPv6", Clean(),
       [](auto& f) { f.hashes_udp6_ports = false; }, Harm::kSlow, true, "IPv6",
       "ethtool -N eth0 rx-flow-hash udp6 sdfn", true, true},
      {"UDP merged for forwarding", Clean(),
       [](auto& f) { f.rx_udp_gro_forwarding = true; }, Harm::kSlow, true,
       "merges UDP", "ethtool -K eth0 rx-udp-gro-forwarding off", false, true},
  };
  for (const auto& row : rows) {
    DeviceFacts facts = row.facts;
    row.spoil(facts);
    for (Hook hook : {Hook::kXdp, Hook::kTc}) {
      const auto found = Judge(facts, hook);
      if (hook == Hook::kXdp ? row.on_native : row.on_tc) {
        EXPECT_THAT(found,
                    ElementsAre(Is(row.harm, row.certain, row.what, row.mend)))
            << row.name;
      } else {
        EXPECT_THAT(found, IsEmpty()) << row.name;
      }
    }
  }
}

TEST(XdpJudge, StopsAtTheBound) {
  DeviceFacts facts = Clean();
  facts.device.mtu = kNativeMtuMax;
  facts.receive_queues = 1;
  facts.hashes_udp4_ports = facts.hashes_udp6_ports = false;
  EXPECT_THAT(Judge(facts, Hook::kXdp), IsEmpty());
  facts = Clean();
  facts.device.driver = "virtio_net";
  facts.combined_queues_max = 8;
  EXPECT_THAT(Judge(facts, Hook::kXdp), IsEmpty());
  facts = Clean();
  facts.device.driver = "ena";
  facts.combined_queues_max = 8;
  EXPECT_THAT(Judge(facts, Hook::kXdp), IsEmpty());
}

TEST(XdpJudge, PutsWhatLosesFirst) {
  DeviceFacts facts = CleanVeth();
  facts.cpus = 2;
  facts.peer_tx_checksum = true;
  facts.takes_redirects = false;
  facts.device.mtu = 9000;
  std::vector<Harm> harms;
  for (const Finding& finding : Judge(facts, Hook::kXdp)) {
    harms.push_back(finding.harm);
  }
  EXPECT_THAT(harms, ElementsAre(Harm::kLoss, Harm::kLoss, Harm::kCorruption,
                                 Harm::kSlow));
}

TEST(XdpJudge, ReadsWhichDevicesHaveVlans) {
  // As Linux 6.1 writes it.
  const std::string config =
      "VLAN Dev name    | VLAN ID\n"
      "Name-Type: VLAN_NAME_TYPE_RAW_PLUS_VID_NO_PAD\n"
      "eth1.10        | 10  | eth1\n"
      "media          | 7  | bond0\n";
  EXPECT_TRUE(NamesVlanOn(config, "eth1"));
  EXPECT_TRUE(NamesVlanOn(config, "bond0"));
  for (const char* none : {"eth1.10", "eth", "eth11", "media", "7", "10", ""}) {
    EXPECT_FALSE(NamesVlanOn(config, none)) << none;
  }
  EXPECT_FALSE(NamesVlanOn("", "eth1"));
}

// --- Finding and reading -----------------------------------------------------

class XdpDevice : public ::testing::Test {
 protected:
  void SetUp() override {
    const std::string lack = EnterNamespace();
    // An account that may make no namespaces has no devices to try this on; CI
    // runs as root.
    if (!lack.empty()) GTEST_SKIP() << lack;
    ASSERT_TRUE(Ip("link add relay0 type veth peer name phone0"));
    ASSERT_TRUE(Ip("addr add 192.0.2.1/24 dev relay0"));
    ASSERT_TRUE(Ip("addr add 2001:db8::1/64 dev relay0 nodad"));
    ASSERT_TRUE(Ip("link set dev relay0 up"));
    ASSERT_TRUE(Ip("link set dev phone0 up"));
  }

  static absl::StatusOr<Device> At(const char* address) {
    return FindDevice(*IpAddress::Parse(address));
  }
  static DeviceFacts Facts(const std::string& name) {
    const auto device = FindDevice(name);
    EXPECT_TRUE(device.ok()) << device.status();
    if (!device.ok()) return {};
    const auto facts = ReadFacts(*device);
    EXPECT_TRUE(facts.ok()) << facts.status();
    return facts.ok() ? *facts : DeviceFacts();
  }
  // As ethtool -K does it.
  static void Set(const char* name, uint32_t command, uint32_t value) {
    ethtool_value set{.cmd = command, .data = value};
    ifreq request{};
    std::memcpy(request.ifr_name, name, std::strlen(name));
    request.ifr_data = reinterpret_cast<char*>(&set);
    const net::Fd fd(socket(AF_INET, SOCK_DGRAM, 0));
    ASSERT_EQ(ioctl(fd.get(), SIOCETHTOOL, &request), 0) << name;
  }
};

TEST_F(XdpDevice, IsFoundByAddressAndByName) {
  const auto by_name = FindDevice(std::string("relay0"));
  ASSERT_TRUE(by_name.ok()) << by_name.status();
  EXPECT_EQ(by_name->ifindex, if_nametoindex("relay0"));
  EXPECT_EQ(by_name->name, "relay0");
  EXPECT_EQ(by_name->driver, "veth");
  EXPECT_EQ(by_name->mtu, 1500u);
  EXPECT_TRUE(by_name->has_ethernet);
  EXPECT_FALSE(by_name->is_loopback);
  for (const char* address : {"192.0.2.1", "::ffff:192.0.2.1", "2001:db8::1"}) {
    const auto found = At(address);
    ASSERT_TRUE(found.ok()) << found.status();
    EXPECT_EQ(found->ifindex, by_name->ifindex) << address;
    EXPECT_EQ(found->name, "relay0");
  }
}

TEST_F(XdpDevice, IsFoundByAnAddressWithALabel) {
  ASSERT_TRUE(Ip("addr add 192.0.2.77/32 dev phone0 label phone0:sip"));
  const auto found = At("192.0.2.77");
  ASSERT_TRUE(found.ok()) << found.status();
  EXPECT_EQ(found->name, "phone0");
}

TEST_F(XdpDevice, OfLoopbackIsSaid) {
  for (const char* address : {"127.0.0.1", "::1"}) {
    const auto found = At(address);
    ASSERT_TRUE(found.ok()) << found.status();
    EXPECT_EQ(found->name, "lo");
    EXPECT_TRUE(found->is_loopback);
    EXPECT_TRUE(found->has_ethernet);
  }
}

TEST_F(XdpDevice, WithoutEthernetIsSaid) {
  if (!Ip("tuntap add tunnel0 mode tun")) {
    // Small kernels leave the driver out, small containers /dev/net/tun.
    GTEST_SKIP() << "there are no tun devices here";
  }
  const auto found = FindDevice(std::string("tunnel0"));
  ASSERT_TRUE(found.ok()) << found.status();
  EXPECT_FALSE(found->has_ethernet);
  EXPECT_FALSE(found->is_loopback);
}

TEST_F(XdpDevice, IsRefusedInWords) {
  const auto said = [](const absl::StatusOr<Device>& found) {
    return found.ok() ? found->name : found.status().ToString();
  };
  for (const char* any : {"0.0.0.0", "::"}) {
    EXPECT_THAT(said(At(any)), AllOf(HasSubstr("INVALID_ARGUMENT"),
                                     HasSubstr("every address")));
  }
  EXPECT_THAT(said(At("192.0.2.2")),
              AllOf(HasSubstr("NOT_FOUND"), HasSubstr("192.0.2.2")));
  ASSERT_TRUE(Ip("addr add 192.0.2.1/32 dev phone0"));
  EXPECT_THAT(said(At("192.0.2.1")),
              AllOf(HasSubstr("FAILED_PRECONDITION"), HasSubstr("relay0"),
                    HasSubstr("phone0")));
  EXPECT_THAT(said(FindDevice(std::string("relay9"))),
              AllOf(HasSubstr("NOT_FOUND"), HasSubstr("relay9")));
  EXPECT_THAT(said(FindDevice(std::string(IFNAMSIZ, 'x'))),
              HasSubstr("INVALID_ARGUMENT"));
  EXPECT_THAT(said(FindDevice(std::string())), HasSubstr("INVALID_ARGUMENT"));
}

TEST_F(XdpDevice, OfAVethShowsItsOtherEnd) {
  DeviceFacts facts = Facts("relay0");
  EXPECT_EQ(facts.peer, "phone0");
  EXPECT_EQ(facts.receive_queues, 1);
  EXPECT_EQ(facts.send_queues, 1);
  EXPECT_GE(facts.cpus, 1);
  Set("phone0", ETHTOOL_STXCSUM, 1);
  EXPECT_EQ(Facts("relay0").peer_tx_checksum, true);
  Set("phone0", ETHTOOL_STXCSUM, 0);
  EXPECT_EQ(Facts("relay0").peer_tx_checksum, false);
  // Its own offload is a matter of who receives from it.
  EXPECT_THAT(Judge(Facts("relay0"), Hook::kXdp),
              Not(Contains(Field(&Finding::harm, Harm::kCorruption))));
}

TEST_F(XdpDevice, OfAVethTellsWhoTakesRedirects) {
  if (!Facts("relay0").takes_redirects) {
    GTEST_SKIP() << "this kernel does not say so (before Linux 6.3)";
  }
  Set("phone0", ETHTOOL_SGRO, 0);
  EXPECT_EQ(Facts("relay0").takes_redirects, false);
  Set("phone0", ETHTOOL_SGRO, 1);
  EXPECT_EQ(Facts("relay0").takes_redirects, true);
  // This end's GRO is for the other one.
  Set("phone0", ETHTOOL_SGRO, 0);
  Set("relay0", ETHTOOL_SGRO, 1);
  EXPECT_EQ(Facts("relay0").takes_redirects, false);
  EXPECT_EQ(Facts("phone0").takes_redirects, true);
}

TEST_F(XdpDevice, OfAVethAcrossNamespacesLeavesOpenWhatIsNotSeen) {
  const net::Fd before = ThisNamespace();
  ASSERT_EQ(unshare(CLONE_NEWNET), 0);
  // The same indices as there: only the namespace tells them apart.
  ASSERT_TRUE(Ip("link add relay0 type veth peer name away0"));
  ASSERT_TRUE(Ip("link set dev away0 netns " + PathOf(before)));
  ASSERT_TRUE(Ip("link add decoy0 type veth peer name decoy1"));
  const DeviceFacts facts = Facts("relay0");
  EXPECT_EQ(facts.peer, "");
  EXPECT_EQ(facts.peer_tx_checksum, std::nullopt);
  EXPECT_THAT(Judge(facts, Hook::kXdp),
              Contains(AllOf(Field(&Finding::harm, Harm::kCorruption),
                             Field(&Finding::certain, false))));
}

TEST_F(XdpDevice, ShowsTagsTakenOffAndVlans) {
  const char* mend = "ethtool -K relay0 rxvlan off";
  Set("relay0", ETHTOOL_SFLAGS, ETH_FLAG_RXVLAN);
  const auto device = FindDevice(std::string("relay0"));
  ASSERT_TRUE(device.ok()) << device.status();
  EXPECT_THAT(Inspect(*device, Hook::kXdp),
              Contains(AllOf(Mended(mend), Field(&Finding::certain, false))));
  EXPECT_THAT(Inspect(*device, Hook::kTc), Not(Contains(Mended(mend))));
  if (Ip("link add link relay0 name relay0.7 type vlan id 7")) {
    EXPECT_THAT(Inspect(*device, Hook::kXdp),
                Contains(AllOf(Mended(mend), Field(&Finding::certain, true))));
  }
  Set("relay0", ETHTOOL_SFLAGS, 0);
  EXPECT_THAT(Inspect(*device, Hook::kXdp), Not(Contains(Mended(mend))));
}

TEST_F(XdpDevice, ThatWasMadeAnewIsAnother) {
  const auto device = FindDevice(std::string("relay0"));
  ASSERT_TRUE(device.ok()) << device.status();
  ASSERT_TRUE(Ip("link del relay0"));
  EXPECT_TRUE(absl::IsNotFound(ReadFacts(*device).status()));
  ASSERT_TRUE(Ip("link add relay0 index 77 type veth peer name phone0"));
  EXPECT_TRUE(absl::IsNotFound(ReadFacts(*device).status()));
  EXPECT_THAT(Inspect(*device, Hook::kXdp),
              ElementsAre(AllOf(Field(&Finding::harm, Harm::kLoss),
                                Field(&Finding::what, HasSubstr("relay0")))));
}

}  // namespace
}  // namespace sluice::relay::xdp
