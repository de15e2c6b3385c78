#include "base/types.h"

#include <arpa/inet.h>

#include "gtest/gtest.h"

namespace sluice {
namespace {

TEST(PortTest, SpeaksNetworkOrderOnlyWhereAsked) {
  for (uint32_t p = 0; p <= UINT16_MAX; ++p) {
    const auto host = static_cast<uint16_t>(p);
    EXPECT_EQ(Port::FromHost(host).network(), htons(host));
    EXPECT_EQ(Port::FromNetwork(htons(host)).host(), host);
    EXPECT_EQ(Port::FromHost(host).is_even(), p % 2 == 0);
  }
}

TEST(PortTest, IsOrderedAsItsNumber) {
  // 256 is 0x0100: in network order it would come before 2 on this machine.
  EXPECT_LT(Port::FromHost(2), Port::FromHost(256));
  EXPECT_EQ(Port(), Port::FromHost(0));
}

TEST(MicrosTest, CountsInItsUnits) {
  EXPECT_EQ(Micros::Seconds(2), Micros::Millis(2000));
  EXPECT_EQ(Micros::Millis(1).us(), 1000);
  EXPECT_EQ(Micros::Seconds(1) + Micros(5) - Micros::Seconds(1), Micros(5));
  EXPECT_LT(Micros(-1), Micros());
}

TEST(SideTest, TheOtherOfTheOtherIsItself) {
  for (const Side side : {Side::kFrom, Side::kTo}) {
    EXPECT_NE(Other(side), side);
    EXPECT_EQ(Other(Other(side)), side);
  }
  EXPECT_EQ(Index(Side::kFrom), 0);
  EXPECT_EQ(Index(Side::kTo), 1);
  EXPECT_STREQ(Name(Side::kFrom), "from");
  EXPECT_STREQ(Name(Side::kTo), "to");
}

TEST(SlotTest, ADefaultOneNamesNothing) {
  EXPECT_FALSE(Slot());
  EXPECT_TRUE((Slot{.index = 0, .generation = 1}));
  EXPECT_NE((Slot{.index = 0, .generation = 1}),
            (Slot{.index = 0, .generation = 2}));
}

}  // namespace
}  // namespace sluice
