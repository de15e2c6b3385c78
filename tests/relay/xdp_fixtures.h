#ifndef SLUICE_TESTS_RELAY_XDP_FIXTURES_H_
#define SLUICE_TESTS_RELAY_XDP_FIXTURES_H_

// For each verdict of relay/xdp/verdicts.def the packets that reach it.

#include <functional>
#include <vector>

#include "absl/status/status.h"
#include "relay/xdp/program.h"
#include "relay/xdp/rule.h"
#include "tests/relay/xdp_packet.h"

namespace sluice::relay::xdp {

// Whether what Load() said is this machine's or this account's lack, no fault.
inline bool CannotRunHere(const absl::Status& loaded) {
  return absl::IsPermissionDenied(loaded) || absl::IsUnimplemented(loaded);
}

// --- The scene: two local addresses, one rule under test ---------------------

// Ports 10,000 to 10,007 of either address.
inline constexpr uint16_t kPorts = 8;
inline constexpr uint16_t kMtu = 1500;
// Places in `nexthops`.
enum Hop : uint16_t { kHairpin, kAcross, kUnresolved, kGone };
// The payload type that the daemon wants, as DTMF has it often.
inline constexpr uint8_t kPassedType = 101;

inline Endpoint At(const char* text) { return *Endpoint::Parse(text); }

inline RuleSpec Spec(bool in6, bool out6) {
  return {.from = At(in6 ? "[2001:db8:1::5]:5004" : "192.0.2.5:5004"),
          .at = At(in6 ? "[2001:db8::1]:10002" : "198.51.100.1:10002"),
          .out = At(out6 ? "[2001:db8::2]:10006" : "198.51.100.2:10006"),
          .to = At(out6 ? "[2001:db8:2::7]:6004" : "203.0.113.7:6004"),
          .local = static_cast<uint16_t>(out6),
          .nexthop = kHairpin};
}

inline Packet From(const RuleSpec& spec) {
  return {.from = spec.from, .to = spec.at, .payload = RtpPacket().Bytes()};
}

struct Scene {
  RuleSpec rule{};
  Packet packet{};
  std::function<void(Frame&)> spoil{};  // of the finished frame
  Program::RunOptions run{};
  bool installed = true;

  size_t udp() const { return 14 + packet.ip_header(); }
  void SetRtp(const RtpPacket& rtp) { packet.payload = rtp.Bytes(); }
};

// Which families, and which hooks, a fixture is for.
enum : unsigned { k44 = 1, k46 = 2, k64 = 4, k66 = 8 };
enum : unsigned { kIn4 = k44 | k46, kIn6 = k64 | k66, kAll = kIn4 | kIn6 };
enum : unsigned { kOnXdp = 1, kOnTc = 2, kOnBoth = 3 };

struct Fixture {
  const char* name;
  Verdict verdict;
  std::function<void(Scene&)> change;
  unsigned crossings = kAll;
  unsigned hooks = kOnBoth;
};

// Makes the checksum of a spoilt IPv4 header right again.
inline void Seal(Frame& f) {
  const size_t bytes = size_t{f[14] & 0x0fu} * 4;
  Packet::Set16(f, 24, 0);
  Packet::Set16(f, 24, Packet::Checksum({f.data() + 14, bytes}));
}
inline void SealIf4(Frame& f) {
  if (f[12] == 0x08) Seal(f);
}

inline std::vector<Fixture> Fixtures() {
  using Octets = std::vector<uint8_t>;
  const auto next_header = [](uint8_t next) {
    return [next](Scene& s) { s.spoil = [next](Frame& f) { f[20] = next; }; };
  };
  const auto ether_type = [](uint16_t type) {
    return [type](Scene& s) {
      s.spoil = [type](Frame& f) { Packet::Set16(f, 12, type); };
    };
  };
  const auto payload = [](Octets octets) {
    return [octets](Scene& s) { s.packet.payload = octets; };
  };
  const auto rtp = [](uint8_t first, Octets rest) {
    return
        [first, rest](Scene& s) { s.SetRtp({.first = first, .rest = rest}); };
  };
  const auto flags = [](uint16_t bits) {
    return [bits](Scene& s) { s.rule.flags |= bits; };
  };
  // A receiver report without blocks: 8 octets, RFC 3550 6.4.2.
  const Octets report = {0x80, 201, 0, 1, 1, 2, 3, 4};
  const auto hop = [](Hop place) {
    return [place](Scene& s) { s.rule.nexthop = place; };
  };

  return {
      // Not IP over Ethernet, or not ours.
      {"ARP", k_pass_not_ip, ether_type(0x0806)},
      {"a tag", k_pass_vlan, ether_type(0x8100)},
      {"a provider's tag", k_pass_vlan, ether_type(0x88a8)},
      {"TCP", k_pass_not_udp,
       [](Scene& s) {
         s.spoil = [](Frame& f) {
           f[23] = 6;
           Seal(f);
         };
       },
       kIn4},
      {"ICMPv6", k_pass_not_udp, next_header(58), kIn6},
      {"another address", k_pass_other_address,
       [](Scene& s) {
         s.packet.to.ip = s.packet.to.ip.is_v4() ? IpAddress::V4(192, 0, 2, 1)
                                                 : At("[2001:db8::9]:1").ip;
       }},

      // Lengths.
      {"cut in the IP header", k_pass_malformed,
       [](Scene& s) { s.spoil = [n = s.udp() - 1](Frame& f) { f.resize(n); }; },
       // The kernel makes no such test frame for tc.
       kAll, kOnXdp},
      {"cut in the UDP header", k_pass_malformed,
       [](Scene& s) {
         s.spoil = [n = s.udp() + 7](Frame& f) { f.resize(n); };
       }},
      {"an octet short", k_pass_malformed,
       [](Scene& s) { s.spoil = [](Frame& f) { f.pop_back(); }; }},
      {"version 5", k_pass_malformed,
       [](Scene& s) {
         s.spoil = [](Frame& f) {
           f[14] = static_cast<uint8_t>(0x50 | (f[14] & 0x0f));
           SealIf4(f);
         };
       }},
      {"a header of four words", k_pass_malformed,
       [](Scene& s) { s.spoil = [](Frame& f) { f[14] = 0x44; }; }, kIn4},
      {"UDP shorter than IP says", k_pass_malformed,
       [](Scene& s) { s.spoil = [at = s.udp() + 5](Frame& f) { --f[at]; }; }},
      {"UDP longer than IP says", k_pass_malformed,
       [](Scene& s) { s.spoil = [at = s.udp() + 5](Frame& f) { ++f[at]; }; }},
      {"UDP of seven octets", k_pass_malformed,
       [](Scene& s) {
         s.packet.payload.clear();
         s.spoil = [at = s.udp() + 5](Frame& f) {
           f[at] = 7;
           if (f[12] == 0x08) {
             f[17] = 27;
             Seal(f);
           } else {
             f[19] = 7;
           }
         };
       }},
      {"a wrong header checksum", k_pass_bad_checksum,
       [](Scene& s) { s.spoil = [](Frame& f) { ++f[25]; }; }, kIn4},

      // What only the stack can do.
      {"IPv4 options", k_pass_options,
       [](Scene& s) {
         s.spoil = [](Frame& f) {
           f.insert(f.begin() + 34, {1, 1, 1, 0});
           f[14] = 0x46;
           f[17] = static_cast<uint8_t>(f[17] + 4);
           Seal(f);
         };
       },
       kIn4},
      {"hop-by-hop options", k_pass_options, next_header(0), kIn6},
      {"a routing header", k_pass_options, next_header(43), kIn6},
      {"destination options", k_pass_options, next_header(60), kIn6},
      {"the first fragment", k_pass_fragment,
       [](Scene& s) {
         s.spoil = [](Frame& f) {
           Packet::Set16(f, 20, 0x2000);
           Seal(f);
         };
       },
       kIn4},
      {"a later fragment", k_pass_fragment,
       [](Scene& s) {
         s.spoil = [](Frame& f) {
           Packet::Set16(f, 20, 5);
           Seal(f);
         };
       },
       kIn4},
      {"a fragment header", k_pass_fragment, next_header(44), kIn6},
      {"merged by GRO", k_pass_merged, [](Scene& s) { s.run.gso_bytes = 100; },
       kAll, kOnTc},

      // The rule.
      {"the port below the range", k_pass_other_port,
       [](Scene& s) { s.packet.to.port = Port::FromHost(9'999); }},
      {"the port above the range", k_pass_other_port,
       [](Scene& s) { s.packet.to.port = Port::FromHost(10'000 + kPorts); }},
      {"a port without a rule", k_pass_no_rule,
       [](Scene& s) { s.packet.to.port = Port::FromHost(10'001); }},
      {"a rule at rest", k_pass_no_rule, [](Scene& s) { s.installed = false; }},
      {"another source port", k_pass_wrong_source,
       [](Scene& s) { s.packet.from.port = Port::FromHost(5005); }},
      {"another source address", k_pass_wrong_source,
       [](Scene& s) {
         s.packet.from.ip = s.packet.from.ip.is_v4()
                                ? IpAddress::V4(192, 0, 2, 6)
                                : At("[2001:db8:1::6]:1").ip;
       }},
      {"another network with the same host part", k_pass_wrong_source,
       [](Scene& s) { s.packet.from.ip = At("[2001:db8:2::5]:1").ip; }, kIn6},
      {"another source, strict", k_drop_wrong_source,
       [](Scene& s) {
         s.rule.flags |= kRuleDropSource;
         s.packet.from.port = Port::FromHost(5005);
       }},
      {"blocked", k_drop_blocked, flags(kRuleBlock)},

      // The payload.
      {"no payload", k_pass_empty, payload({})},
      {"no payload, any taken", k_pass_empty,
       [](Scene& s) {
         s.rule.flags |= kRuleAnyPayload;
         s.packet.payload.clear();
       }},
      {"a keep-alive of two octets", k_pass_not_rtp, payload({0, 0})},
      {"STUN", k_pass_not_rtp, payload(Octets(20))},
      {"DTLS", k_pass_not_rtp, payload(Octets(30, 22))},
      {"eleven octets", k_pass_not_rtp, payload(Octets(11, 0x80))},
      {"CSRCs that end outside", k_pass_not_rtp, rtp(0x82, Octets(7))},
      {"an extension that begins outside", k_pass_not_rtp,
       rtp(0x90, Octets(3))},
      {"an extension that ends outside", k_pass_not_rtp,
       rtp(0x90, {0, 0, 0, 2, 1, 1, 1, 1, 2, 2, 2})},
      {"padding of nothing", k_pass_not_rtp, rtp(0xa0, {1, 2, 3, 0})},
      {"padding longer than the payload", k_pass_not_rtp,
       rtp(0xa0, {1, 2, 3, 5})},
      {"a blocked keep-alive still passes", k_pass_not_rtp,
       [](Scene& s) {
         s.rule.flags |= kRuleBlock;
         s.packet.payload = {0, 0};
       }},
      {"RTCP", k_pass_rtcp, payload(report)},
      {"RTCP forwarded, but shorter than it says", k_pass_rtcp,
       [report](Scene& s) {
         s.rule.flags |= kRuleForwardRtcp;
         s.packet.payload = report;
         s.packet.payload[3] = 2;
       }},
      {"RTCP forwarded, but of one word", k_pass_rtcp,
       [report](Scene& s) {
         s.rule.flags |= kRuleForwardRtcp;
         s.packet.payload = report;
         s.packet.payload[3] = 0;
       }},
      {"a payload type of the daemon's", k_pass_payload_type,
       [](Scene& s) { s.SetRtp({.type = kPassedType}); }},
      {"the same with the marker", k_pass_payload_type,
       [](Scene& s) {
         s.SetRtp({.type = static_cast<uint8_t>(0x80 | kPassedType)});
       }},

      // The way out.
      {"the last hop", k_pass_ttl, [](Scene& s) { s.packet.ttl = 1; }},
      {"no hop at all", k_pass_ttl, [](Scene& s) { s.packet.ttl = 0; }},
      {"no checksum, with IPv6", k_pass_no_checksum,
       [](Scene& s) { s.packet.udp_checksum = false; }, k46 | k64 | k66},
      {"an unresolved next hop", k_pass_no_nexthop, hop(kUnresolved)},
      {"longer than the MTU", k_pass_mtu,
       [](Scene& s) {
         const size_t ip = s.rule.to.ip.is_v4() ? 20 : 40;
         s.SetRtp({.rest = Octets(kMtu - ip - 8 - 12 + 1)});
       }},
      {"a device that is gone", k_drop_refused, hop(kGone), kAll, kOnXdp},

      // Sent.
      {"RTP", k_send_transmit, [](Scene&) {}},
      {"RTP, by the device map", k_send_redirect, hop(kAcross)},
      {"as long as the MTU", k_send_transmit,
       [](Scene& s) {
         const size_t ip = s.rule.to.ip.is_v4() ? 20 : 40;
         s.SetRtp({.rest = Octets(kMtu - ip - 8 - 12)});
       }},
      {"a header alone", k_send_transmit, rtp(0x80, {})},
      {"an odd number of octets", k_send_transmit, rtp(0x80, Octets(33, 9))},
      {"CSRCs", k_send_transmit, rtp(0x82, Octets(8))},
      {"an extension", k_send_transmit,
       rtp(0x90, {0, 0, 0, 2, 1, 1, 1, 1, 2, 2, 2, 2})},
      {"CSRCs, extension and padding", k_send_transmit,
       rtp(0xb1, {9, 9, 9, 9, 0, 0, 0, 1, 1, 1, 1, 1, 5, 0, 2})},
      {"enciphered, no padding count at its end", k_send_transmit,
       [](Scene& s) {
         s.rule.flags |= kRuleEnciphered;
         s.SetRtp({.first = 0xa0, .rest = {1, 2, 3, 0}});
       }},
      {"RTCP forwarded", k_send_transmit,
       [report](Scene& s) {
         s.rule.flags |= kRuleForwardRtcp;
         s.packet.payload = report;
       }},
      {"any payload", k_send_transmit,
       [](Scene& s) {
         s.rule.flags |= kRuleAnyPayload;
         s.packet.payload = {1};
       }},
      {"TOS, identification and flow label are kept", k_send_transmit,
       [](Scene& s) {
         s.packet.tos = 0xb9;
         s.packet.id = 0xbeef;
         s.packet.dont_fragment = false;
         s.packet.flow_label = 0xabcde;
       }},
      {"DSCP is set and ECN kept", k_send_transmit,
       [](Scene& s) {
         s.rule.dscp = 46;
         s.packet.tos = 0x63;
         s.packet.flow_label = 0xabcde;
       }},
      {"two hops left", k_send_transmit, [](Scene& s) { s.packet.ttl = 2; }},
      {"a frame padded behind the datagram", k_send_transmit,
       [](Scene& s) {
         s.SetRtp({.rest = {}});
         s.packet.padding = Octets(6, 0xee);
       }},
      {"no checksum, from IPv4 to IPv4", k_send_transmit,
       [](Scene& s) { s.packet.udp_checksum = false; }, k44},
      {"no checksum wanted", k_send_transmit, flags(kRuleNoChecksum)},
      // Wrong as it came: the receiver is to see that.
      {"a wrong UDP checksum", k_send_transmit,
       [](Scene& s) { s.packet.checksum_error = 0x1234; }},
  };
}

}  // namespace sluice::relay::xdp

#endif  // SLUICE_TESTS_RELAY_XDP_FIXTURES_H_
