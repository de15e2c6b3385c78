#include "base/sip_hash.h"

#include <gtest/gtest.h>

#include <array>
#include <cstdint>

namespace sluice {
namespace {

// The vectors of the authors: key 00..0f, input 00..(n-1).
TEST(SipHash, IsTheOneOfItsAuthors) {
  const SipHashKey key = {.k0 = 0x0706050403020100, .k1 = 0x0f0e0d0c0b0a0908};
  std::array<uint8_t, 16> in{};
  for (uint8_t i = 0; i < in.size(); ++i) in[i] = i;
  const std::span<const uint8_t> all(in);
  EXPECT_EQ(SipHash(key, {}), 0x726fdb47dd0e0e31u);
  EXPECT_EQ(SipHash(key, all.first(8)), 0x93f5f5799a932462u);
  EXPECT_EQ(SipHash(key, all.first(15)), 0xa129ca6149be45e5u);
}

TEST(SipHash, DependsOnItsKey) {
  const SipHashKey one = SipHashKey::FromKernel();
  const SipHashKey two = SipHashKey::FromKernel();
  const std::array<uint8_t, 16> in{};
  EXPECT_EQ(SipHash(one, in), SipHash(one, in));
  EXPECT_NE(SipHash(one, in), SipHash(two, in));
}

}  // namespace
}  // namespace sluice
