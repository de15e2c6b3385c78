// SPDX-License-Identifier: MIT OR GPL-2.0-only
//
// Forwards the packets of confirmed flows before the machine's own network
// stack sees them: native XDP (`forward_xdp`), or the tc hook (`forward_tc`)
// where a device has no XDP. One decision for both, for IPv4 and IPv6 and from
// either to the other.
//
//   frame -> whose address -> whole UDP? -> cell -> rule in force -> source
//     -> RTP? -> way out known -> rate -> books -> mirror | write -> send
//                                                         |
//            everything that may pass is left of here ----'
//
// Nothing is learnt here: a source, a port or a payload that the rule does not
// name goes up the stack to the daemon's socket. Each way out is one line of
// verdicts.def and is counted once, in Finish().

// The types first: bpf_helpers.h names them and does not include them.
// clang-format off
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/udp.h>
#include <stddef.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
// clang-format on

#include "relay/xdp/abi.h"

// The kernel's tables hold this string against the helpers' own; "Apache-2.0"
// is none that it knows.
char program_license[] SEC("license") = "Dual MIT/GPL";

// --- The maps. Those without max_entries get theirs from the loader ---------

struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, kRangesMax);
  __type(key, struct RangeKey);
  __type(value, struct Range);
} ranges SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(map_flags, BPF_F_MMAPABLE);
  __uint(max_entries, 1);
  __type(key, __u32);
  __type(value, struct PortCell);
} cells SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, kLocalsMax);
  __type(key, __u32);
  __type(value, struct Local);
} locals SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, kProfilesMax);
  __type(key, __u32);
  __type(value, struct Profile);
} profiles SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, kNextHopsMax);
  __type(key, __u32);
  __type(value, struct NextHop);
} nexthops SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_DEVMAP);
  __uint(max_entries, kNextHopsMax);
  __type(key, __u32);
  __type(value, __u32);
} tx_ports SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
  __uint(max_entries, kCounters);
  __type(key, __u32);
  __type(value, __u64);
} counters SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_RINGBUF);
  __uint(max_entries, 4096);
} mirror SEC(".maps");

// --- One packet --------------------------------------------------------------

#define INLINE static __always_inline

// Constants after inlining: each hook has its own copy of everything.
enum Hook { kXdp, kTc };

enum {
  kEth = sizeof(struct ethhdr),
  kIp4 = sizeof(struct iphdr),
  kIp6 = sizeof(struct ipv6hdr),
  kUdp = sizeof(struct udphdr),
  kRtp = 12,
  kRtcpMin = 8,
  kHeadersMax = kEth + kIp6 + kUdp + kRtp,
};

// RFC 3550 A.1, as rtp/stream_stats.h has it.
enum { kMaxDropout = 3000, kMaxMisorder = 100, kClockStepSeconds = 4 };

struct Packet {
  __u8 state;  // of the rule, read once
  __u32 ip_bytes;
  __u32 udp_bytes;
  __u8 tos;
  __u8 ttl;
  // Of the RTP header, in host order.
  __u16 sequence;
  __u32 timestamp;
  __u32 ssrc;
};

INLINE void* Data(void* ctx, const enum Hook hook) {
  return hook == kXdp ? (void*)(long)((struct xdp_md*)ctx)->data
                      : (void*)(long)((struct __sk_buff*)ctx)->data;
}
INLINE void* End(void* ctx, const enum Hook hook) {
  return hook == kXdp ? (void*)(long)((struct xdp_md*)ctx)->data_end
                      : (void*)(long)((struct __sk_buff*)ctx)->data_end;
}
// Octets of the packet that need not lie in one piece.
INLINE long Load(void* ctx, const enum Hook hook, __u32 offset, void* to,
                 __u32 bytes) {
  return hook == kXdp ? bpf_xdp_load_bytes(ctx, offset, to, bytes)
                      : bpf_skb_load_bytes(ctx, offset, to, bytes);
}

INLINE void Count(__u32 counter) {
  __u64* count = bpf_map_lookup_elem(&counters, &counter);
  if (count) ++*count;
}

// One's complement arithmetic (RFC 1071) on words as they lie in memory. Each
// fold may carry once more: a few 16-bit words take two, and 33 bits a third.
INLINE __u16 Fold(__u64 sum) {
  sum = (sum & 0xffffffff) + (sum >> 32);
  sum = (sum & 0xffff) + (sum >> 16);
  sum = (sum & 0xffff) + (sum >> 16);
  sum = (sum & 0xffff) + (sum >> 16);
  return (__u16)sum;
}
// RFC 1624, equation 3.
INLINE __u16 Adjust(__u16 checksum, __u64 delta) {
  return (__u16)~Fold((__u16)~checksum + delta);
}

// --- What an RTP header says -------------------------------------------------

// rtp/packet.h, RtpPromisesKept: CSRCs, extension and padding lie inside the
// datagram. Off the way of almost every voice packet.
INLINE int PromisesKept(void* ctx, const enum Hook hook, __u32 at,
                        __u32 payload_bytes, __u8 first, int enciphered) {
  __u32 header = kRtp + 4 * (first & 0x0f);
  if (first & 0x10) {
    __be16 words;
    if (payload_bytes < header + 4) return 0;
    if (Load(ctx, hook, at + header + 2, &words, sizeof(words))) return 0;
    header += 4 + 4 * (__u32)bpf_ntohs(words);
  }
  if (payload_bytes < header) return 0;
  if ((first & 0x20) && !enciphered) {
    __u8 padding;
    if (Load(ctx, hook, at + payload_bytes - 1, &padding, 1)) return 0;
    if (padding == 0 || padding > payload_bytes - header) return 0;
  }
  return 1;
}

// --- Books -------------------------------------------------------------------

// rtp/stream_stats.h, OnRtp; what that calls a duplicate or reordered is one
// number here. Flows have one writer as long as the device spreads them by
// address and port; where it changes its mind, a packet's worth of these is
// lost, never of the atomic counts.
INLINE void Book(struct Stats* stats, const struct Profile* profile,
                 const struct Packet* packet, __u64 now) {
  const __u32 ticks = (__u32)((now * profile->ticks_per_ns_q32) >> 32);
  const __u32 transit = ticks - packet->timestamp;
  const __u32 expected = stats->expected;
  const __u16 sequence = packet->sequence;
  if (expected == 0 || stats->ssrc != packet->ssrc) {
    if (expected != 0) ++stats->ssrc_changes;
    stats->ssrc = packet->ssrc;
    stats->ext_seq = sequence;
    stats->after_jump = 0;
    stats->transit = transit;
    stats->jitter_q4 = 0;
    stats->expected = expected + 1;
    ++stats->received;
    return;
  }
  const __u32 highest = stats->ext_seq;
  const __u16 ahead = sequence - (__u16)highest;
  if (ahead != 0 && ahead < kMaxDropout) {
    stats->ext_seq = highest + ahead;
    stats->expected = expected + ahead;
  } else if ((__u16)-ahead < kMaxMisorder) {
    ++stats->late;
  } else if (stats->after_jump != (__u32)sequence + 1) {
    stats->after_jump = ((sequence + 1) & 0xffff) + 1;
    return;
  } else {
    // Two in a row: a restart. The first of them is counted now.
    stats->ext_seq = sequence;
    stats->after_jump = 0;
    stats->transit = transit;
    stats->expected = expected + 2;
    ++stats->received;
  }
  ++stats->received;

  const __u32 step = transit - stats->transit;
  const __u32 distance = (__s32)step < 0 ? -step : step;
  stats->transit = transit;
  if (distance <= (__u64)kClockStepSeconds * profile->clock_hz) {
    const __u32 jitter = stats->jitter_q4;
    stats->jitter_q4 = jitter + distance - ((jitter + 8) >> 4);
  }
}

// Whether the socket path is empty, as the daemon and the books have it; and
// notes the packet, which passes or is the first to be sent.
INLINE int Joins(struct Stats* stats, const struct Rule* rule,
                 const struct Profile* profile, const struct Packet* packet,
                 __u64 now) {
  // The daemon tells it while we look.
  const __u16 gate = *(const volatile __u16*)&rule->gate;
  const int open = packet->state == kRuleGated && stats->expected != 0 &&
                   stats->ssrc == packet->ssrc &&
                   (__u16)stats->ext_seq == gate;
  const __u32 ticks = (__u32)((now * profile->ticks_per_ns_q32) >> 32);
  stats->ssrc = packet->ssrc;
  stats->ext_seq = packet->sequence;
  stats->transit = ticks - packet->timestamp;
  stats->expected = 1;
  stats->received = 1;
  return open;
}

// --- The mirror --------------------------------------------------------------

INLINE void MirrorInto(void* ctx, const enum Hook hook, __u32 cookie,
                       __u32 length, const __u32 record_bytes, __u64 now) {
  struct Mirrored* record = bpf_ringbuf_reserve(&mirror, record_bytes, 0);
  if (!record) {
    Count(k_event_mirror_lost);
    return;
  }
  __u32 captured = record_bytes - sizeof(*record);
  if (captured > length) captured = length;
  // The compiler knows the bound and the verifier would not.
  asm volatile("" : "+r"(captured));
  if (captured == 0 || captured > record_bytes - sizeof(*record) ||
      Load(ctx, hook, 0, record + 1, captured)) {
    bpf_ringbuf_discard(record, 0);
    Count(k_event_mirror_lost);
    return;
  }
  record->ns = now;
  record->cookie = cookie;
  record->length = length;
  record->captured = captured;
  bpf_ringbuf_submit(record, 0);
  Count(k_event_mirrored);
}

INLINE void Mirror(void* ctx, const enum Hook hook, __u32 cookie, __u32 length,
                   __u64 now) {
  if (length <= kMirrorSmallBytes - sizeof(struct Mirrored)) {
    MirrorInto(ctx, hook, cookie, length, kMirrorSmallBytes, now);
  } else {
    MirrorInto(ctx, hook, cookie, length, kMirrorBytes, now);
  }
}

// --- The new headers ---------------------------------------------------------

INLINE void WriteV4(struct iphdr* ip, const struct Rule* rule,
                    const struct Local* local, const struct Packet* packet,
                    __u8 tos) {
  // Atomic (RFC 6864): not to be fragmented, so the identification is free.
  struct iphdr header = {
      .version = 4,
      .ihl = kIp4 / 4,
      .tos = tos,
      .tot_len = bpf_htons(kIp4 + packet->udp_bytes),
      .frag_off = bpf_htons(0x4000),
      .ttl = packet->ttl - 1,
      .protocol = IPPROTO_UDP,
      .saddr = local->address[0],
      .daddr = rule->destination[0],
  };
  header.check = (__u16)~Fold((__u64)rule->l3_delta + bpf_htons(tos) +
                              header.tot_len + bpf_htons(header.ttl << 8));
  *ip = header;
}

INLINE void WriteV6(struct ipv6hdr* ip, const struct Rule* rule,
                    const struct Local* local, const struct Packet* packet,
                    __u8 tos) {
  ((__u8*)ip)[0] = 0x60 | tos >> 4;
  ((__u8*)ip)[1] = tos << 4;
  ((__be16*)ip)[1] = 0;
  ip->payload_len = bpf_htons(packet->udp_bytes);
  ip->nexthdr = IPPROTO_UDP;
  ip->hop_limit = packet->ttl - 1;
  __builtin_memcpy(&ip->saddr, local->address, sizeof(ip->saddr));
  __builtin_memcpy(&ip->daddr, rule->destination, sizeof(ip->daddr));
}

// Same family: what is not named stays, the identification and the flow label
// among it.
INLINE void ChangeV4(struct iphdr* ip, const struct Rule* rule,
                     const struct Local* local, __u8 tos) {
  ip->check =
      Adjust(ip->check, (__u64)rule->l3_delta + (__u16)~bpf_htons(ip->tos) +
                            bpf_htons(tos));
  ip->tos = tos;
  --ip->ttl;
  ip->saddr = local->address[0];
  ip->daddr = rule->destination[0];
}

INLINE void ChangeV6(struct ipv6hdr* ip, const struct Rule* rule,
                     const struct Local* local, __u8 tos) {
  __u8* first = (__u8*)ip;
  first[0] = 0x60 | tos >> 4;
  first[1] = tos << 4 | (first[1] & 0x0f);
  --ip->hop_limit;
  __builtin_memcpy(&ip->saddr, local->address, sizeof(ip->saddr));
  __builtin_memcpy(&ip->daddr, rule->destination, sizeof(ip->daddr));
}

// What of an IPv6 header counts in skb->csum and is not an address.
INLINE __u32 FirstWords(const struct ipv6hdr* ip) {
  return Fold((__u64)((const __u32*)ip)[0] + ((const __u32*)ip)[1]);
}

// The tc hook: the UDP checksum may be only begun (CHECKSUM_PARTIAL), and
// skb->csum may hold the device's sum of everything behind the Ethernet header
// (CHECKSUM_COMPLETE). Only the helpers know. They take it that the sum of a
// header with new addresses stays, which is so for IPv4; the rest of what they
// get wrong is `complete`, to be added to skb->csum at the end.
INLINE long AdjustTc(struct __sk_buff* skb, const int in6, __u16 addresses,
                     __u16 ports) {
  const __u32 at = kEth + (in6 ? kIp6 : kIp4) + offsetof(struct udphdr, check);
  if (bpf_l4_csum_replace(skb, at, 0, addresses,
                          BPF_F_PSEUDO_HDR | BPF_F_MARK_MANGLED_0))
    return -1;
  return bpf_l4_csum_replace(skb, at, 0, ports, BPF_F_MARK_MANGLED_0);
}

INLINE enum Verdict Rewrite(void* ctx, const enum Hook hook, const int in6,
                            const int out6, const struct Rule* rule,
                            const struct Local* local,
                            const struct NextHop* hop,
                            const struct Packet* packet) {
  const __u32 l3_in = in6 ? kIp6 : kIp4, l3_out = out6 ? kIp6 : kIp4;
  void* data = Data(ctx, hook);
  struct udphdr* udp = data + kEth + l3_in;
  if ((void*)(udp + 1) > End(ctx, hook)) return k_drop_refused;
  const __u16 old_checksum = udp->check;
  __u8 tos = packet->tos;
  if (rule->flags & kRuleSetDscp) tos = (rule->tos & 0xfc) | (tos & 3);
  // What AdjustTc leaves to be said of the octets that changed.
  __u64 complete = 0;

  if (hook == kTc) {
    const __u16 ports =
        Fold((__u64)(__u16)~udp->source + rule->new_source_port_be +
             (__u16)~udp->dest + rule->new_destination_port_be);
    const __u16 addresses = Fold((__u64)rule->l4_delta + (__u16)~ports);
    if (in6 && out6) complete = (__u16)~FirstWords(data + kEth) + addresses;
    if (in6 && !out6) {
      // A whole IPv4 header adds nothing. It comes where the last 20 octets
      // were; the others are taken away with their sum.
      const __u32* words = data + kEth + kIp6 - kIp4;
#pragma unroll
      for (int i = 0; i < 5; ++i) complete += (__u32)~words[i];
    }
    if (AdjustTc(ctx, in6, addresses, ports)) return k_drop_refused;
    if (in6 != out6 &&
        bpf_skb_change_proto(ctx, bpf_htons(out6 ? ETH_P_IPV6 : ETH_P_IP), 0))
      return k_drop_refused;
  } else if (in6 != out6 &&
             bpf_xdp_adjust_head(ctx, (int)l3_in - (int)l3_out)) {
    return k_drop_refused;
  }

  data = Data(ctx, hook);
  struct ethhdr* eth = data;
  udp = data + kEth + l3_out;
  if ((void*)(udp + 1) > End(ctx, hook)) return k_drop_refused;
  __builtin_memcpy(eth, hop->macs, sizeof(hop->macs));
  eth->h_proto = bpf_htons(out6 ? ETH_P_IPV6 : ETH_P_IP);
  void* ip = data + kEth;
  if (in6 == out6) {
    if (in6) {
      ChangeV6(ip, rule, local, tos);
    } else {
      ChangeV4(ip, rule, local, tos);
    }
  } else if (out6) {
    WriteV6(ip, rule, local, packet, tos);
  } else {
    WriteV4(ip, rule, local, packet, tos);
  }

  if (hook == kTc) {
    if (out6) {
      complete += FirstWords(ip);
      if (!in6) {
        const __u32* words = ip + 8;
#pragma unroll
        for (int i = 0; i < 8; ++i) complete += words[i];
      }
    }
    udp->source = rule->new_source_port_be;
    udp->dest = rule->new_destination_port_be;
    if (in6 || out6) bpf_csum_update(ctx, Fold(complete));
    bpf_redirect(hop->ifindex, 0);
    return k_send_redirect;
  }

  udp->source = rule->new_source_port_be;
  udp->dest = rule->new_destination_port_be;
  if (!out6 && (rule->flags & kRuleNoChecksum)) {
    udp->check = 0;
  } else if (in6 || out6 || old_checksum != 0) {
    // 0 would say that there is none (RFC 768).
    const __u16 checksum = Adjust(old_checksum, rule->l4_delta);
    udp->check = checksum ? checksum : 0xffff;
  }
  if (hop->ifindex == ((struct xdp_md*)ctx)->ingress_ifindex &&
      !(hop->flags & kNextHopNeverTransmit))
    return k_send_transmit;
  return bpf_redirect_map(&tx_ports, rule->nexthop, XDP_DROP) == XDP_REDIRECT
             ? k_send_redirect
             : k_drop_refused;
}

// --- The decision ------------------------------------------------------------

INLINE enum Verdict Drop(struct Stats* stats, enum Verdict verdict) {
  __sync_fetch_and_add(&stats->dropped, 1);
  return verdict;
}

// `udp` lies inside the frame with its eight octets.
INLINE enum Verdict OnDatagram(void* ctx, const enum Hook hook, const int in6,
                               struct PortCell* cell, struct udphdr* udp,
                               struct Packet* packet) {
  const __u32 at = kEth + (in6 ? kIp6 : kIp4) + kUdp;
  struct Rule* rule = &cell->rule;
  struct Stats* stats = &cell->stats;
  const __u32 flags = rule->flags;
  const __u32 payload_bytes = packet->udp_bytes - kUdp;
  if (payload_bytes == 0) return k_pass_empty;

  __u32 index = rule->profile;
  const struct Profile* profile = bpf_map_lookup_elem(&profiles, &index);
  if (!profile) return k_pass_no_rule;

  int rtp = 0;
  if (!(flags & kRuleAnyPayload)) {
    const __u8* payload = (const void*)(udp + 1);
    void* end = End(ctx, hook);
    if (payload_bytes < kRtcpMin || (void*)(payload + kRtcpMin) > end)
      return k_pass_not_rtp;
    if (payload[0] >> 6 != 2) return k_pass_not_rtp;
    if (payload[1] >> 5 == 192 >> 5) {
      const __u32 length = 4 * (bpf_ntohs(*(const __be16*)(payload + 2)) + 1u);
      if (!(flags & kRuleForwardRtcp) || length < kRtcpMin ||
          length > payload_bytes)
        return k_pass_rtcp;
    } else {
      if (payload_bytes < kRtp || (void*)(payload + kRtp) > end)
        return k_pass_not_rtp;
      rtp = 1;
      packet->sequence = bpf_ntohs(*(const __be16*)(payload + 2));
      packet->timestamp = bpf_ntohl(*(const __be32*)(payload + 4));
      packet->ssrc = bpf_ntohl(*(const __be32*)(payload + 8));
      const __u8 type = payload[1] & 0x7f;
      if (payload[0] != 0x80 &&
          !PromisesKept(ctx, hook, at, payload_bytes, payload[0],
                        flags & kRuleEnciphered))
        return k_pass_not_rtp;
      if (profile->pass_payload_types[type >> 6] >> (type & 63) & 1)
        return k_pass_payload_type;
    }
  }

  // As the sockets' clock: a sleep of the machine is time, too.
  const __u64 now = bpf_ktime_get_boot_ns();
  const int joining = packet->state != kRuleInForce && stats->packets == 0;
  if (joining && !(rtp && Joins(stats, rule, profile, packet, now)))
    return k_pass_joining;

  if (packet->ttl <= 1) return k_pass_ttl;
  const int out6 = (flags & kRuleOut6) != 0;
  if (in6 || out6) {
    // Mandatory there (RFC 8200 8.1), and none to be made from nothing.
    if ((void*)(udp + 1) > End(ctx, hook)) return k_pass_malformed;
    if (udp->check == 0) return k_pass_no_checksum;
  }
  index = rule->nexthop;
  const struct NextHop* hop = bpf_map_lookup_elem(&nexthops, &index);
  if (!hop || hop->ifindex == 0) return k_pass_no_nexthop;
  index = rule->local;
  const struct Local* local = bpf_map_lookup_elem(&locals, &index);
  if (!local) return k_pass_no_nexthop;
  if (packet->udp_bytes + (out6 ? kIp6 : kIp4) > hop->mtu) return k_pass_mtu;

  if (flags & kRuleBlock) return Drop(stats, k_drop_blocked);
  if (rule->gap_ns != 0) {
    const __u64 since = now - stats->last_ns;
    const __u32 debt = stats->debt_ns > since ? stats->debt_ns - since : 0;
    if (debt > rule->burst_ns) return Drop(stats, k_drop_rate);
    stats->debt_ns = debt + rule->gap_ns;
  }
  __sync_fetch_and_add(&stats->packets, 1);
  __sync_fetch_and_add(&stats->bytes, payload_bytes);
  stats->last_ns = now;
  if (rtp && !joining) Book(stats, profile, packet, now);
  if (flags & kRuleMirror)
    Mirror(ctx, hook, rule->cookie, kEth + packet->ip_bytes, now);

  const enum Verdict verdict =
      out6 ? Rewrite(ctx, hook, in6, 1, rule, local, hop, packet)
           : Rewrite(ctx, hook, in6, 0, rule, local, hop, packet);
  return verdict == k_drop_refused ? Drop(stats, verdict) : verdict;
}

INLINE int IsExtension(__u8 next) {
  return next == IPPROTO_HOPOPTS || next == IPPROTO_ROUTING ||
         next == IPPROTO_FRAGMENT || next == IPPROTO_DSTOPTS;
}

INLINE int GoodHeader(const struct iphdr* ip) {
  const __u32* words = (const void*)ip;
  return Fold((__u64)words[0] + words[1] + words[2] + words[3] + words[4]) ==
         0xffff;
}

INLINE enum Verdict OnIp(void* ctx, const enum Hook hook, const int in6) {
  void* data = Data(ctx, hook);
  void* end = End(ctx, hook);
  const __u32 l3 = in6 ? kIp6 : kIp4;
  if (data + kEth + l3 > end) return k_pass_malformed;
  const struct iphdr* ip4 = data + kEth;
  const struct ipv6hdr* ip6 = data + kEth;
  struct Packet packet = {};
  struct RangeKey key = {};
  if (in6) {
    if (ip6->version != 6) return k_pass_malformed;
    if (ip6->nexthdr != IPPROTO_UDP && !IsExtension(ip6->nexthdr))
      return k_pass_not_udp;
    __builtin_memcpy(key.address, &ip6->daddr, sizeof(key.address));
    key.family = kFamilyV6;
  } else {
    if (ip4->version != 4 || ip4->ihl < kIp4 / 4) return k_pass_malformed;
    if (ip4->protocol != IPPROTO_UDP) return k_pass_not_udp;
    key.address[0] = ip4->daddr;
    key.family = kFamilyV4;
  }
  const struct Range* range = bpf_map_lookup_elem(&ranges, &key);
  if (!range) return k_pass_other_address;

  if (in6) {
    if (ip6->nexthdr == IPPROTO_FRAGMENT) return k_pass_fragment;
    if (ip6->nexthdr != IPPROTO_UDP) return k_pass_options;
    packet.ip_bytes = kIp6 + bpf_ntohs(ip6->payload_len);
    packet.tos = ((const __u8*)ip6)[0] << 4 | ((const __u8*)ip6)[1] >> 4;
    packet.ttl = ip6->hop_limit;
  } else {
    if (ip4->ihl != kIp4 / 4) return k_pass_options;
    if (!GoodHeader(ip4)) return k_pass_bad_checksum;
    if (ip4->frag_off & bpf_htons(0x3fff)) return k_pass_fragment;
    packet.ip_bytes = bpf_ntohs(ip4->tot_len);
    packet.tos = ip4->tos;
    packet.ttl = ip4->ttl;
  }
  if (hook == kTc && ((struct __sk_buff*)ctx)->gso_size != 0)
    return k_pass_merged;
  struct udphdr* udp = data + kEth + l3;
  if ((void*)(udp + 1) > end) return k_pass_malformed;
  packet.udp_bytes = bpf_ntohs(udp->len);
  if (packet.udp_bytes < kUdp || packet.ip_bytes != l3 + packet.udp_bytes)
    return k_pass_malformed;
  // What is behind the datagram pads a short frame.
  if (hook == kTc ? kEth + packet.ip_bytes > ((struct __sk_buff*)ctx)->len
                  : data + kEth + packet.ip_bytes > end)
    return k_pass_malformed;

  const __u16 offset = bpf_ntohs(udp->dest) - range->first_port;
  if (offset >= range->count) return k_pass_other_port;
  __u32 index = range->base + offset;
  struct PortCell* cell = bpf_map_lookup_elem(&cells, &index);
  if (!cell) return k_pass_no_rule;
  const struct Rule* rule = &cell->rule;
  packet.state = *(const volatile __u8*)&rule->state;
  if (packet.state == kRuleOff) return k_pass_no_rule;
  // Loads stay in order on x86; the compiler is to leave them so.
  asm volatile("" ::: "memory");

  int ours = rule->source_port_be == udp->source;
  if (in6) {
    const __u32* source = (const void*)&ip6->saddr;
    ours = ours && rule->source[0] == source[0] &&
           rule->source[1] == source[1] && rule->source[2] == source[2] &&
           rule->source[3] == source[3];
  } else {
    ours = ours && rule->source[0] == ip4->saddr;
  }
  if (!ours) {
    return rule->flags & kRuleDropSource
               ? Drop(&cell->stats, k_drop_wrong_source)
               : k_pass_wrong_source;
  }
  return OnDatagram(ctx, hook, in6, cell, udp, &packet);
}

INLINE enum Verdict Decide(void* ctx, const enum Hook hook) {
  if (hook == kTc) {
    struct __sk_buff* skb = ctx;
    // The device took the tag out of the frame.
    if (skb->vlan_present) return k_pass_vlan;
    if (Data(ctx, hook) + kHeadersMax > End(ctx, hook))
      bpf_skb_pull_data(skb, skb->len < kHeadersMax ? skb->len : kHeadersMax);
  }
  const struct ethhdr* eth = Data(ctx, hook);
  if ((void*)(eth + 1) > End(ctx, hook)) return k_pass_not_ip;
  switch (eth->h_proto) {
    case bpf_htons(ETH_P_IP): return OnIp(ctx, hook, 0);
    case bpf_htons(ETH_P_IPV6): return OnIp(ctx, hook, 1);
    case bpf_htons(ETH_P_8021Q):
    case bpf_htons(ETH_P_8021AD): return k_pass_vlan;
  }
  return k_pass_not_ip;
}

// --- The hooks ---------------------------------------------------------------

#define IS(name) | 1ull << name
#define PASS(name, help) IS(k_pass_##name)
#define DROP(name, help)
#define SEND(name, help)
#define EVENT(name, help)
static const __u64 kPasses = 0
#include "relay/xdp/verdicts.def"
    ;
#undef PASS
#undef DROP
#define PASS(name, help)
#define DROP(name, help) IS(k_drop_##name)
static const __u64 kDrops = 0
#include "relay/xdp/verdicts.def"
    ;

INLINE int Finish(enum Verdict verdict, int pass, int drop, int transmit,
                  int redirect) {
  Count(verdict);
  if (kPasses >> verdict & 1) return pass;
  if (kDrops >> verdict & 1) return drop;
  return verdict == k_send_transmit ? transmit : redirect;
}

SEC("xdp")
int forward_xdp(struct xdp_md* ctx) {
  return Finish(Decide(ctx, kXdp), XDP_PASS, XDP_DROP, XDP_TX, XDP_REDIRECT);
}

// Passing is TCX_NEXT: who else is attached to the device has its say. A tc
// program never transmits back by itself, it redirects.
enum { kTcNext = -1, kTcShot = 2, kTcRedirect = 7 };

SEC("tc")
int forward_tc(struct __sk_buff* skb) {
  return Finish(Decide(skb, kTc), kTcNext, kTcShot, kTcRedirect, kTcRedirect);
}
