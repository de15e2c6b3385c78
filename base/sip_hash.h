#ifndef SLUICE_BASE_SIP_HASH_H_
#define SLUICE_BASE_SIP_HASH_H_

#include <sys/random.h>

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

#include "base/check.h"

namespace sluice {

struct SipHashKey {
  uint64_t k0 = 0, k1 = 0;

  static SipHashKey FromKernel() {
    SipHashKey key;
    CHECK(getrandom(&key, sizeof(key), 0) == sizeof(key));
    return key;
  }
};

// SipHash-2-4 (Aumasson, Bernstein 2012), no relation to SIP: for tables whose
// keys are an attacker's. Without the key nobody can tell which of them meet in
// one place. About 20 ns for 16 octets.
//
// Thread: any.
inline uint64_t SipHash(const SipHashKey& key, std::span<const uint8_t> in) {
  static_assert(std::endian::native == std::endian::little);
  uint64_t v0 = key.k0 ^ 0x736f6d6570736575;
  uint64_t v1 = key.k1 ^ 0x646f72616e646f6d;
  uint64_t v2 = key.k0 ^ 0x6c7967656e657261;
  uint64_t v3 = key.k1 ^ 0x7465646279746573;
  const auto rounds = [&](int count) {
    for (int i = 0; i < count; ++i) {
      v0 += v1, v1 = std::rotl(v1, 13) ^ v0, v0 = std::rotl(v0, 32);
      v2 += v3, v3 = std::rotl(v3, 16) ^ v2;
      v0 += v3, v3 = std::rotl(v3, 21) ^ v0;
      v2 += v1, v1 = std::rotl(v1, 17) ^ v2, v2 = std::rotl(v2, 32);
    }
  };
  const auto take = [&](uint64_t word) {
    v3 ^= word;
    rounds(2);
    v0 ^= word;
  };
  const size_t whole = in.size() / 8 * 8;
  for (size_t at = 0; at < whole; at += 8) {
    uint64_t word;
    std::memcpy(&word, in.data() + at, 8);
    take(word);
  }
  uint64_t last = static_cast<uint64_t>(in.size()) << 56;
  for (size_t i = whole; i < in.size(); ++i) {
    last |= static_cast<uint64_t>(in[i]) << (8 * (i - whole));
  }
  take(last);
  v2 ^= 0xff;
  rounds(4);
  return v0 ^ v1 ^ v2 ^ v3;
}

}  // namespace sluice

#endif  // SLUICE_BASE_SIP_HASH_H_
