#include "control/pcap.h"

#include <gtest/gtest.h>

#include <string>
#include <string_view>
#include <vector>

namespace sluice::control {
namespace {

using namespace std::string_literals;

TEST(Pcap, HeadIsThatOfRawIpInMicroseconds) {
  EXPECT_EQ(PcapHead(),
            "\xd4\xc3\xb2\xa1\x02\x00\x04\x00\x00\x00\x00\x00\x00\x00\x00\x00"
            "\xff\xff\x00\x00\x65\x00\x00\x00"s);
  EXPECT_EQ(PcapHead().size(), kPcapHeadBytes);
}

TEST(Pcap, RecordHasTimeBothLengthsAndTheOctets) {
  std::string out = "before";
  const std::vector<uint8_t> octets = {0x45, 0, 0xff};
  AppendPcapRecord(Micros(0x01020304 * int64_t{1'000'000} + 999'999), 300,
                   octets, &out);
  EXPECT_EQ(out,
            "before\x04\x03\x02\x01\x3f\x42\x0f\x00\x03\x00\x00\x00\x2c\x01\x00"
            "\x00\x45\x00\xff"s);
}

TEST(Pcap, CutsWhatIsLongerThanTheHeadSays) {
  std::string out;
  const std::vector<uint8_t> octets(70'000, 7);
  AppendPcapRecord(Micros(1), 70'000, octets, &out);
  ASSERT_EQ(out.size(), kPcapRecordHeadBytes + kPcapPacketBytesMax);
  EXPECT_EQ(out.substr(8, 8), "\xff\xff\x00\x00\x70\x11\x01\x00"s);
}

}  // namespace
}  // namespace sluice::control
