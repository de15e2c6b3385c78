#ifndef SLUICE_BENCH_XDP_TRAFFIC_H_
#define SLUICE_BENCH_XDP_TRAFFIC_H_

// What traffic.bpf.c and generator.cc say to each other. C and C++.

#include <linux/types.h>

enum {
  kTrafficFlowsMax = 16384,
  // Ethernet, IPv4, UDP and RTP: what a relay changes of a packet, and more.
  kTrafficHeadBytes = 14 + 20 + 8 + 12,
  kTrafficPayloadBytes = 160,
  // Between callees' ports; the odd ones are for RTCP.
  kTrafficPortStep = 2,
};

// A stream that is sent. A cache line.
struct TrafficFlow {
  // As on the wire; sequence number, timestamp and UDP checksum are each
  // packet's own.
  __u8 head[kTrafficHeadBytes];
  __u16 sequence;  // of the next packet
  __u32 timestamp;
  // The UDP checksum's sum over everything that stays, unfolded.
  __u32 sum;
};

// The same where it arrives.
struct TrafficArrival {
  // What it must come with: addresses of the relay and of the callee, its port
  // and the SSRC (network order).
  __u32 source, destination, ssrc;
  __u16 source_port, pad;
  // Of the last packet: what a flow loses while the relay's core is away is
  // more than a sequence number can count.
  __u32 timestamp, pad2;
  __u64 packets;
  // Not after the last one.
  __u64 out_of_order;
};

struct TrafficSettings {
  // Sending.
  __u32 flows, ifindex;
  __u32 burst;  // so many packets at once
  __u32 in_burst;
  __u64 gap_ns;  // between two bursts; 0: none
  __u64 next_ns;
  __u64 first_ns, last_ns;  // when packets were sent, CLOCK_MONOTONIC
  __u64 sent;
  __u64 late;  // over a millisecond; what was missed is not made up for
  // Arriving.
  __u32 callee;  // network order
  __u32 core;    // where it is to be
  __u16 first_port, pad[3];
};

struct TrafficArrivals {
  __u64 right;
  // RTP of ours that is not what its flow must be: addresses, ports, SSRC.
  __u64 misrouted;
  // Right, but counted on another core.
  __u64 elsewhere;
};

#endif  // SLUICE_BENCH_XDP_TRAFFIC_H_
