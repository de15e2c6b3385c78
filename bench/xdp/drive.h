#ifndef SLUICE_BENCH_XDP_DRIVE_H_
#define SLUICE_BENCH_XDP_DRIVE_H_

// What drive.bpf.c and xdp_bench.cc say to each other. C and C++.

#include <linux/types.h>

enum {
  // Ethernet, IPv4, UDP and RTP.
  kDriveHeadBytes = 14 + 20 + 8 + 12,
};

struct DriveSettings {
  // A packet of flow 0: all of the others but destination, sequence number and
  // timestamp. Its UDP checksum is nobody's business here.
  __u8 head[kDriveHeadBytes];
  __u16 first_port;
  __u32 flows;
  // Of an address; the next ones are at the address one higher.
  __u32 ports_each;
  __u64 packets;  // made so far
};

#endif  // SLUICE_BENCH_XDP_DRIVE_H_
