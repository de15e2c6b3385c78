#include "rtp/dtmf.h"

#include <string>
#include <vector>

#include "gtest/gtest.h"

namespace sluice::rtp {
namespace {

constexpr char kAll[] = "0123456789*#ABCD";

TEST(Dtmf, DigitsAreEvents0To15) {
  for (uint8_t event = 0; event < 16; ++event) {
    EXPECT_EQ(EventOfDigit(kAll[event]), event);
    EXPECT_EQ(DigitOfEvent(event), kAll[event]);
  }
  EXPECT_EQ(EventOfDigit('d'), 15);
  for (const char c : std::string("E:/ \0+", 6)) {
    EXPECT_EQ(EventOfDigit(c), std::nullopt) << c;
    EXPECT_FALSE(PairOfDigit(c).has_value()) << c;
  }
  for (int event = 16; event < 256; ++event) {
    EXPECT_EQ(DigitOfEvent(static_cast<uint8_t>(event)), std::nullopt);
  }
}

TEST(Dtmf, PairsAreThoseOfTheKeypad) {
  EXPECT_EQ(PairOfDigit('1')->low_hz, 697);
  EXPECT_EQ(PairOfDigit('1')->high_hz, 1209);
  EXPECT_EQ(PairOfDigit('0')->low_hz, 941);
  EXPECT_EQ(PairOfDigit('0')->high_hz, 1336);
  EXPECT_EQ(PairOfDigit('D')->high_hz, 1633);
  EXPECT_EQ(PairOfDigit('6')->low_hz, 770);
}

TEST(Dtmf, APayloadIsReadAsItWasWritten) {
  for (const TelephoneEvent& event : std::vector<TelephoneEvent>{
           {.event = 0, .duration = 0},
           {.event = 11, .end = true, .volume = 63, .duration = 0xffff},
           {.event = 255, .end = false, .volume = 0, .duration = 0x1234}}) {
    EXPECT_EQ(DecodeEvent(EncodeEvent(event)), event);
  }
  EXPECT_EQ(
      EncodeEvent({.event = 5, .end = true, .volume = 10, .duration = 0x0a0b}),
      (std::array<uint8_t, 4>{5, 0x8a, 0x0a, 0x0b}));
  // R is ignored, and so is what follows the first event.
  EXPECT_EQ(
      DecodeEvent(std::vector<uint8_t>{5, 0xca, 0x0a, 0x0b, 1, 2})->volume, 10);
  EXPECT_EQ(DecodeEvent(std::vector<uint8_t>{5, 0xca, 0x0a}), std::nullopt);
}

TEST(EventReceiver, TellsAnEventOnceWhicheverPacketComesFirst) {
  EventReceiver receiver;
  EXPECT_EQ(receiver.OnEvent(1000, {.event = 1, .end = true}), '1');
  EXPECT_EQ(receiver.OnEvent(1000, {.event = 1}), std::nullopt);
  EXPECT_EQ(receiver.OnEvent(3000, {.event = 1, .duration = 160}), '1');
  EXPECT_EQ(receiver.OnEvent(5000, {.event = 2}), '2');
  // Late, of the ones before.
  EXPECT_EQ(receiver.OnEvent(3000, {.event = 1, .end = true}), std::nullopt);
  EXPECT_EQ(receiver.OnEvent(1000, {.event = 1, .end = true}), std::nullopt);
  EXPECT_EQ(receiver.OnEvent(7000, {.event = 16}), std::nullopt);
}

TEST(EventReceiver, ALongEventIsOneDigit) {
  EventReceiver receiver;
  const uint32_t begin = 0xfffff000;  // the timestamp wraps on the way
  EXPECT_EQ(receiver.OnEvent(begin, {.event = 4, .duration = 0xffff}), '4');
  EXPECT_EQ(receiver.OnEvent(begin + 0xffff, {.event = 4, .duration = 80}),
            std::nullopt);
  EXPECT_EQ(receiver.OnEvent(begin + 0xffff, {.event = 4, .end = true}),
            std::nullopt);
  // Ended: what follows as far behind is another.
  EXPECT_EQ(receiver.OnEvent(begin + 2 * 0xffff, {.event = 4}), '4');
}

TEST(EventReceiver, AResetForgetsTimestamps) {
  EventReceiver receiver;
  EXPECT_EQ(receiver.OnEvent(9, {.event = 4}), '4');
  receiver.Reset();
  EXPECT_EQ(receiver.OnEvent(9, {.event = 4}), '4');
}

}  // namespace
}  // namespace sluice::rtp
