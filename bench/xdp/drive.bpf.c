// SPDX-License-Identifier: MIT OR GPL-2.0-only
//
// For xdp_bench: makes each packet anew in the frame of a test run and calls
// what is in `next` with it.

// The types first: bpf_helpers.h names them and does not include them.
// clang-format off
#include <linux/bpf.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
// clang-format on

#include "bench/xdp/drive.h"

char program_license[] SEC("license") = "Dual MIT/GPL";

struct {
  __uint(type, BPF_MAP_TYPE_PROG_ARRAY);
  __uint(max_entries, 1);
  __type(key, __u32);
  __type(value, __u32);
} next SEC(".maps");

struct DriveSettings settings;

enum {
  kIpChecksum = 14 + 10,
  kLastOctet = 14 + 19,
  kPort = 14 + 20 + 2,
  kSequence = 14 + 20 + 8 + 2,
  kTimestamp = 14 + 20 + 8 + 4,
  kSamples = 160,  // of a packet of G.711
  // By chance a flow comes twice in a round; only one in so many times does it
  // then have the number that it had.
  kStride = 64,
};

SEC("xdp")
int drive(struct xdp_md* ctx) {
  __u8* data = (void*)(long)ctx->data;
  if (data + kDriveHeadBytes > (__u8*)(long)ctx->data_end) return XDP_ABORTED;
  const __u32 flow = bpf_get_prandom_u32() % settings.flows;
  const __u32 higher = flow / settings.ports_each;
  const __u64 packet = settings.packets++;
  const __u32 timestamp =
      bpf_htonl((__u32)(packet / settings.flows) * kSamples);
  __builtin_memcpy(data, settings.head, kDriveHeadBytes);
  data[kLastOctet] += higher;
  // RFC 1624; the octet is the low one of its word.
  __u32 sum = (__u16)~*(__u16*)(data + kIpChecksum) + bpf_htons(higher);
  sum = (sum & 0xffff) + (sum >> 16);
  *(__u16*)(data + kIpChecksum) = ~sum;
  *(__u16*)(data + kPort) =
      bpf_htons(settings.first_port + flow % settings.ports_each);
  *(__u16*)(data + kSequence) = bpf_htons(packet * kStride / settings.flows);
  *(__u16*)(data + kTimestamp) = timestamp;
  *(__u16*)(data + kTimestamp + 2) = timestamp >> 16;
  bpf_tail_call(ctx, &next, 0);
  return XDP_ABORTED;
}

// To be subtracted: what it costs to make the packet and to call.
SEC("xdp")
int nothing(struct xdp_md* unused __attribute__((unused))) { return XDP_TX; }
