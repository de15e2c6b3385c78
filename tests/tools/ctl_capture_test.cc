#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/types.h"
#include "control/pcap.h"
#include "gtest/gtest.h"
#include "tools/ctl/capture.h"

namespace sluice::ctl {
namespace {

// A file of records of these lengths, and where each ends.
struct Pcap {
  explicit Pcap(const std::vector<size_t>& lengths)
      : octets(control::PcapHead()) {
    ends.push_back(octets.size());
    for (const size_t length : lengths) {
      const std::vector<uint8_t> packet(length, 0x45);
      control::AppendPcapRecord(Micros::Seconds(1),
                                static_cast<uint32_t>(length), packet, &octets);
      ends.push_back(octets.size());
    }
  }
  // Up to the last end that is not behind `octets_read`.
  size_t WholeBefore(size_t octets_read) const {
    size_t whole = 0;
    for (const size_t end : ends) {
      if (end <= octets_read) whole = end;
    }
    return whole;
  }

  std::string octets;
  std::vector<size_t> ends{};
};

TEST(PcapCutter, WhatIsWrittenIsAWholeFileWhereverThePartsEnd) {
  const Pcap pcap({0, 1, 200, control::kPcapPacketBytesMax, 3});
  for (const size_t part : {1, 7, 16, 24, 25, 1000, 70'000, 1'000'000}) {
    SCOPED_TRACE(part);
    PcapCutter cutter;
    std::string written;
    for (size_t at = 0; at < pcap.octets.size(); at += part) {
      written += cutter.Add(std::string_view(pcap.octets).substr(at, part));
      const size_t read = std::min(at + part, pcap.octets.size());
      ASSERT_EQ(written.size(), pcap.WholeBefore(read));
    }
    EXPECT_EQ(written, pcap.octets);
    EXPECT_EQ(cutter.packets(), 5u);
    EXPECT_TRUE(cutter.good());
  }
}

TEST(PcapCutter, AHeadThatIsNotOursIsNoPcap) {
  Pcap pcap({20});
  pcap.octets[20] = 1;  // Ethernet
  PcapCutter cutter;
  EXPECT_EQ(cutter.Add(pcap.octets), "");
  EXPECT_FALSE(cutter.good());
  EXPECT_EQ(cutter.Add(pcap.octets), "");
  EXPECT_EQ(cutter.packets(), 0u);
}

TEST(PcapCutter, ARecordLongerThanAnyPacketIsNoPcap) {
  Pcap pcap({20});
  std::string liar;
  const std::vector<uint8_t> packet(4, 0x45);
  control::AppendPcapRecord(Micros(), 4, packet, &liar);
  liar[8 + 2] = 1;  // 65,540 octets
  PcapCutter cutter;
  EXPECT_EQ(cutter.Add(pcap.octets), pcap.octets);
  EXPECT_EQ(cutter.Add(liar), "");
  EXPECT_FALSE(cutter.good());
  EXPECT_EQ(cutter.packets(), 1u);
}

}  // namespace
}  // namespace sluice::ctl
