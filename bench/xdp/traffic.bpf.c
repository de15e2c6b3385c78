// SPDX-License-Identifier: MIT OR GPL-2.0-only
//
// Both ends of bench/compare-xdp: `generate` writes RTP packets into frames
// that the kernel then sends, `arrive` checks and counts what comes out of the
// relay and drops it, `swallow` stands in the relay's place and drops all.

// The types first: bpf_helpers.h names them and does not include them.
// clang-format off
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/udp.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
// clang-format on

#include "bench/xdp/traffic.h"

char program_license[] SEC("license") = "Dual MIT/GPL";

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, kTrafficFlowsMax);
  __type(key, __u32);
  __type(value, struct TrafficFlow);
} flows SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, kTrafficFlowsMax);
  __type(key, __u32);
  __type(value, struct TrafficArrival);
} arrivals SEC(".maps");

// Each has a writer at a time, so no additions are atomic.
struct TrafficSettings settings;
struct TrafficArrivals arrived;

enum {
  kIp = 14,
  kUdp = kIp + 20,
  kUdpChecksum = kUdp + 6,
  kRtp = kUdp + 8,
  kSequence = kRtp + 2,
  kTimestamp = kRtp + 4,
  kLateNs = 1000 * 1000,
  kWaitLoops = 1 << 20,  // some 20 ms
  kSamples = 160,  // of a packet of G.711
};

static long wait(__u32 unused, void* now) {
  (void)unused;
  *(__u64*)now = bpf_ktime_get_ns();
  return *(__u64*)now >= settings.next_ns;
}

// Called for a frame as often as the kernel can. It waits here until the next
// burst is due: a frame that is given back takes a lock that those who return
// the frames on the relay's core need, too.
SEC("xdp")
int generate(struct xdp_md* ctx) {
  __u8* data = (void*)(long)ctx->data;
  if (data + kTrafficHeadBytes > (__u8*)(long)ctx->data_end) return XDP_DROP;
  if (settings.in_burst == 0) {
    __u64 now = 0;
    bpf_loop(kWaitLoops, wait, &now, 0);
    if (now < settings.next_ns) return XDP_DROP;
    if (settings.first_ns == 0) settings.first_ns = settings.next_ns = now;
    settings.last_ns = now;
    if (settings.gap_ns != 0 && now - settings.next_ns > kLateNs) {
      settings.next_ns = now;
      ++settings.late;
    }
    settings.next_ns += settings.gap_ns;
    settings.in_burst = settings.burst;
  }
  --settings.in_burst;
  __u32 index = bpf_get_prandom_u32() % settings.flows;
  struct TrafficFlow* flow = bpf_map_lookup_elem(&flows, &index);
  if (!flow) return XDP_DROP;
  // All of it: the frame may come back with what the relay made of it.
  __builtin_memcpy(data, flow->head, kTrafficHeadBytes);
  const __u16 sequence = bpf_htons(flow->sequence++);
  const __u32 timestamp = bpf_htonl(flow->timestamp);
  flow->timestamp += kSamples;
  __u32 sum = flow->sum + sequence + (timestamp & 0xffff) + (timestamp >> 16);
  sum = (sum & 0xffff) + (sum >> 16);
  sum = (sum & 0xffff) + (sum >> 16);
  const __u16 checksum = ~sum;
  *(__u16*)(data + kUdpChecksum) = checksum ? checksum : 0xffff;
  *(__u16*)(data + kSequence) = sequence;
  *(__u16*)(data + kTimestamp) = timestamp;
  *(__u16*)(data + kTimestamp + 2) = timestamp >> 16;
  ++settings.sent;
  return bpf_redirect(settings.ifindex, 0);
}

SEC("xdp")
int arrive(struct xdp_md* ctx) {
  __u8* data = (void*)(long)ctx->data;
  if (data + kTrafficHeadBytes > (__u8*)(long)ctx->data_end) return XDP_PASS;
  const struct ethhdr* eth = (void*)data;
  const struct iphdr* ip = (void*)(data + kIp);
  const struct udphdr* udp = (void*)(data + kUdp);
  if (eth->h_proto != bpf_htons(ETH_P_IP) || ip->protocol != IPPROTO_UDP ||
      ip->daddr != settings.callee)
    return XDP_PASS;
  __u32 index =
      (__u16)(bpf_ntohs(udp->dest) - settings.first_port) / kTrafficPortStep;
  if (index >= settings.flows) return XDP_PASS;
  struct TrafficArrival* flow = bpf_map_lookup_elem(&arrivals, &index);
  if (!flow) return XDP_PASS;
  const __u16* ssrc = (void*)(data + kRtp + 8);
  if (ip->saddr != flow->source || udp->source != flow->source_port ||
      ((__u32)ssrc[1] << 16 | ssrc[0]) != flow->ssrc ||
      bpf_ntohs(udp->dest) !=
          settings.first_port + index * kTrafficPortStep) {
    ++arrived.misrouted;
    return XDP_DROP;
  }
  const __u16* words = (void*)(data + kTimestamp);
  const __u32 timestamp = bpf_ntohl((__u32)words[1] << 16 | words[0]);
  if (flow->packets != 0 && (__s32)(timestamp - flow->timestamp) <= 0)
    ++flow->out_of_order;
  flow->timestamp = timestamp;
  ++flow->packets;
  ++arrived.right;
  if (bpf_get_smp_processor_id() != settings.core) ++arrived.elsewhere;
  return XDP_DROP;
}

SEC("xdp")
int swallow(struct xdp_md* unused __attribute__((unused))) {
  ++arrived.right;
  if (bpf_get_smp_processor_id() != settings.core) ++arrived.elsewhere;
  return XDP_DROP;
}
