#ifndef SLUICE_RELAY_XDP_ABI_H_
#define SLUICE_RELAY_XDP_ABI_H_

// What the forwarding program and the daemon share: the layouts of the maps and
// the list of verdicts. C for clang -target bpf, C++20 for the daemon.
//
//   packet's destination address      port - first_port
//        |                                  |
//   ranges (hash) --> base cell  ---------- + --> cells[] (array, mapped)
//                                                 | Rule      64 octets
//                                                 | Stats     64 octets
//        .------------------.-------------------. |
//        v                  v                   v v
//   profiles[]          locals[]            nexthops[] -- same index -->
//   tx_ports payload types,      our address         MACs, device, (devmap) RTP
//   clock           towards there       MTU
//
//   counters[] (per CPU): one for each line of verdicts.def
//   mirror (ring buffer): copies of packets of flows that are watched
//
// A rule is changed so (Program does it):
//
//   kRuleOff  -->  no packet still reads it  -->  write  -->  another state
//                  (membarrier, or it has                     (store-release)
//                  rested for a second)
//
// Meanwhile its packets go up the stack to the daemon's socket. Only x86-64:
// elsewhere the program would have to read `state` with acquire.
//
// Packets that are on their way through the socket must not be overtaken (L8):
//
//   program   kRuleJoining: passes each packet up and notes its number
//   daemon    its socket has sent number N: gate = N, kRuleGated
//   program   the last one passed up was N, so none is under way: forwards
//             this one and all that follow (Stats.packets is not 0 any more)
//
// Numbers in network order are named _be. Addresses are in network order; IPv4
// is word 0 and the others are 0.

#include <linux/types.h>

#ifdef __cplusplus
#include <cstddef>
#define SLUICE_ABI_ASSERT(condition) static_assert(condition)
namespace sluice::relay::xdp {
#else
#include <stddef.h>
#define SLUICE_ABI_ASSERT(condition) _Static_assert(condition, #condition)
#endif

// Names the folder of the pinned maps: another number, other maps.
enum { kAbiVersion = 2 };

enum { kRangesMax = 256, kLocalsMax = 256, kProfilesMax = 256 };
enum { kNextHopsMax = 4096 };

enum { kFamilyV4 = 4, kFamilyV6 = 6 };

// The key and the value of `ranges`: which ports of one of our addresses are
// relay ports, and the cell of the first one.
struct RangeKey {
  __u32 address[4];
  __u32 family;  // kFamilyV4, kFamilyV6
};
struct Range {
  __u32 base;
  __u16 first_port;
  __u16 count;
};

// Rule.state
enum RuleState { kRuleOff, kRuleInForce, kRuleJoining, kRuleGated };

// Rule.flags
//
// What no rule of the daemon has yet, and only the tests of the program set:
// kRuleAnyPayload, kRuleForwardRtcp, kRuleDropSource, kRuleNoChecksum and
// kRuleBlock, gap_ns and burst_ns, and pass_payload_types of a Profile. Who
// begins to use one that drops looks at Offload::Books first.
enum RuleFlag {
  kRuleOut6 = 1 << 0,         // leaves as IPv6
  kRuleAnyPayload = 1 << 1,   // not RTP (T.38): no header is looked at
  kRuleEnciphered = 1 << 2,   // SRTP: what stands last is no padding count
  kRuleForwardRtcp = 1 << 3,  // multiplexed RTCP (RFC 5761) is forwarded, too
  kRuleDropSource = 1 << 4,   // other sources are dropped, not shown
  // Leaves as IPv4 without a UDP checksum, for a sender whose checksums never
  // were completed (a veth peer with offload on). Only in XDP: at the tc hook
  // the kernel knows which ones are incomplete, and they leave complete.
  kRuleNoChecksum = 1 << 5,
  kRuleMirror = 1 << 6,
  kRuleSetDscp = 1 << 7,  // from `tos`; the two ECN bits stay the packet's
  kRuleBlock = 1 << 8,    // what would be forwarded is dropped
};

// How packets to one port of ours leave. Written by the daemon.
struct Rule {
  __u32 source[4];       // who may send
  __u32 destination[4];  // where it goes
  __u16 source_port_be;
  __u16 new_source_port_be;  // ours, of the partner port
  __u16 new_destination_port_be;
  __u16 gate;     // kRuleGated: the number that the socket path has sent
  __u16 nexthop;  // of `nexthops`
  __u8 local;     // of `locals`: our address there
  __u8 profile;   // of `profiles`
  // One's complement sums of what the rewriting adds, in memory's own order
  // (RFC 1624). l4: addresses and ports. l3, 4 to 4: addresses and one hop
  // less; l3, 6 to 4: all of the new header that does not vary; else unused.
  __u16 l4_delta;
  __u16 l3_delta;
  __u8 state;  // of RuleState
  __u8 tos;
  __u16 flags;
  // GCRA: a packet every gap_ns, burst_ns ahead of its time at most. 0: no
  // limit. REQUIRES: their sum fits 32 bits.
  __u32 gap_ns;
  __u32 burst_ns;
  __u32 cookie;  // the cell's number; the daemon does not look at it yet
};

// The books of one port, as rtp/stream_stats.h keeps them: RFC 3550 A.1, A.3,
// A.8. Written by the program; the daemon reads, and clears them with a rule.
struct Stats {
  __u64 packets;  // sent on, or tried to (drop_refused)
  __u64 bytes;    // of UDP payload
  __u64 last_ns;  // CLOCK_BOOTTIME; 0: never
  __u32 debt_ns;  // at last_ns, how far the flow was ahead of its rate
  __u32 ssrc;
  __u32 ext_seq;    // the highest sequence number, cycles in the upper half
  __u32 expected;   // RTP packets, over all SSRCs; 0: none heard yet
  __u32 received;   // of them
  __u32 transit;    // arrival - timestamp of the last, in RTP units
  __u32 jitter_q4;  // in RTP units times 16
  // What must follow for a jump to be a new beginning, and 1; 0: nothing.
  __u32 after_jump;
  __u32 dropped;  // by DROP verdicts, those that were refused among them
  __u16 late;     // reordered or duplicates; turns over, as all of these do
  __u16 ssrc_changes;
};

// A port has both side by side: 128 octets a packet, and no more lines.
struct PortCell {
  struct Rule rule;
  struct Stats stats;
};

struct Local {
  __u32 address[4];
};

struct Profile {
  __u64 pass_payload_types[2];  // a bit for each that the daemon wants
  __u32 ticks_per_ns_q32;       // clock_hz * 2^32 / 1e9
  __u32 clock_hz;               // 0: unknown, no jitter is told
};

enum NextHopFlag {
  // Redirect even out of the device that it came in by. A veth without an XDP
  // program on its peer loses what is transmitted.
  kNextHopNeverTransmit = 1 << 0,
};
struct NextHop {
  __u8 macs[12];  // destination and source, as in the frame
  __u32 ifindex;  // 0: not resolved
  __u16 mtu;
  __u16 flags;
};

// In `mirror`: this, and `captured` octets of the frame as it came in.
struct Mirrored {
  __u64 ns;  // CLOCK_BOOTTIME
  __u32 cookie;
  __u16 length;  // of the frame, from the Ethernet header on
  __u16 captured;
};
// Two sizes of record: 20 ms of voice, and anything else up to the larger one.
enum { kMirrorSmallBytes = 256, kMirrorBytes = 2048 };

enum Verdict {
#define PASS(name, help) k_pass_##name,
#define DROP(name, help) k_drop_##name,
#define SEND(name, help) k_send_##name,
#define EVENT(name, help) k_event_##name,
#include "relay/xdp/verdicts.def"
#undef PASS
#undef DROP
#undef SEND
#undef EVENT
  kVerdictsEnd
};
enum { kCounters = kVerdictsEnd };

SLUICE_ABI_ASSERT(sizeof(struct RangeKey) == 20);
SLUICE_ABI_ASSERT(sizeof(struct Range) == 8);
SLUICE_ABI_ASSERT(sizeof(struct Rule) == 64);
SLUICE_ABI_ASSERT(offsetof(struct Rule, source_port_be) == 32);
SLUICE_ABI_ASSERT(offsetof(struct Rule, l4_delta) == 44);
SLUICE_ABI_ASSERT(offsetof(struct Rule, gate) == 38);
SLUICE_ABI_ASSERT(offsetof(struct Rule, state) == 48);
SLUICE_ABI_ASSERT(offsetof(struct Rule, gap_ns) == 52);
SLUICE_ABI_ASSERT(sizeof(struct Stats) == 64);
SLUICE_ABI_ASSERT(offsetof(struct Stats, ssrc) == 28);
SLUICE_ABI_ASSERT(offsetof(struct Stats, late) == 60);
SLUICE_ABI_ASSERT(sizeof(struct PortCell) == 128);
SLUICE_ABI_ASSERT(offsetof(struct PortCell, stats) == 64);
SLUICE_ABI_ASSERT(sizeof(struct Local) == 16);
SLUICE_ABI_ASSERT(sizeof(struct Profile) == 24);
SLUICE_ABI_ASSERT(sizeof(struct NextHop) == 20);
SLUICE_ABI_ASSERT(offsetof(struct NextHop, ifindex) == 12);
SLUICE_ABI_ASSERT(sizeof(struct Mirrored) == 16);
SLUICE_ABI_ASSERT(kCounters <= 64);  // the program keeps them as bits

#ifdef __cplusplus
}  // namespace sluice::relay::xdp
#endif

#endif  // SLUICE_RELAY_XDP_ABI_H_
