#include "relay/udp_header.h"

#include <gtest/gtest.h>

#include <array>
#include <string>
#include <vector>

#include "tests/fakes/packets.h"

namespace sluice::relay {
namespace {

std::vector<uint8_t> Headers(const char* from, const char* to, size_t length,
                             const std::vector<uint8_t>& captured) {
  std::array<uint8_t, kIpUdpBytesMax> out;
  out.fill(0xee);
  const size_t n = WriteIpUdp(At(from), At(to), length, captured, out);
  return {out.begin(), out.begin() + static_cast<ptrdiff_t>(n)};
}

// The sums were worked out apart from this code, word by word (RFC 1071).
TEST(UdpHeader, V4) {
  EXPECT_EQ(
      Headers("192.0.2.1:4000", "198.51.100.7:10000", 3, {1, 2, 3}),
      (std::vector<uint8_t>{0x45, 0,    0,    31,   0, 0,  0,    0,   64,  17,
                            0x8e, 0x92, 192,  0,    2, 1,  198,  51,  100, 7,
                            0x0f, 0xa0, 0x27, 0x10, 0, 11, 0xd8, 0xe9}));
}

// A sum over the packet as its receiver makes it comes to all ones.
TEST(UdpHeader, BothChecksumsAreRight) {
  struct Case {
    const char *from, *to;
    size_t ip;
  };
  for (const Case& c : {Case{"192.0.2.1:4000", "198.51.100.7:10000", 20},
                        Case{"[2001:db8::1]:65535", "[2001:db8::ffff:2]:1", 40},
                        // IPv4 as its IPv6 socket has it.
                        Case{"192.0.2.1:4000", "[2001:db8::2]:10000", 40}}) {
    for (size_t length : {0u, 1u, 172u, 1'471u, 2'048u}) {
      std::vector<uint8_t> payload(length);
      for (size_t i = 0; i < length; ++i) {
        payload[i] = static_cast<uint8_t>(i * 31 + 200);
      }
      std::vector<uint8_t> packet = Headers(c.from, c.to, length, payload);
      ASSERT_EQ(packet.size(), c.ip + 8);
      packet.insert(packet.end(), payload.begin(), payload.end());
      const auto sum = [&](size_t from, size_t to, uint64_t start) {
        for (size_t i = from; i < to; ++i) {
          start += uint64_t{packet[i]} << ((i - from) % 2 == 0 ? 8 : 0);
        }
        while (start > 0xffff) start = (start >> 16) + (start & 0xffff);
        return start;
      };
      if (c.ip == 20) {
        EXPECT_EQ(sum(0, 20, 0), 0xffffu);
      }
      const uint64_t pseudo = sum(c.ip == 20 ? 12 : 8, c.ip, 17 + 8 + length);
      EXPECT_EQ(sum(c.ip, packet.size(), pseudo), 0xffffu) << length;
      EXPECT_NE(packet[c.ip + 6] << 8 | packet[c.ip + 7], 0);
    }
  }
}

TEST(UdpHeader, WhatIsCutHasItsLengthAndNoChecksum) {
  const auto cut = Headers("192.0.2.1:4000", "192.0.2.2:6000", 3'000,
                           std::vector<uint8_t>(2'048, 9));
  ASSERT_EQ(cut.size(), 28u);
  EXPECT_EQ(cut[2] << 8 | cut[3], 3'028);
  EXPECT_EQ(cut[24] << 8 | cut[25], 3'008);
  EXPECT_EQ(cut[26] << 8 | cut[27], 0);
}

}  // namespace
}  // namespace sluice::relay
