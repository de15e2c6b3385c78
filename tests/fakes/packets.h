#ifndef SLUICE_TESTS_FAKES_PACKETS_H_
#define SLUICE_TESTS_FAKES_PACKETS_H_

#include <cstdint>
#include <vector>

#include "base/address.h"

namespace sluice {

using Bytes = std::vector<uint8_t>;

inline void Put(Bytes& out, uint64_t value, int octets) {
  for (int shift = (octets - 1) * 8; shift >= 0; shift -= 8) {
    out.push_back(static_cast<uint8_t>(value >> shift));
  }
}

// RFC 3550 5.1, PCMU.
inline Bytes Rtp(uint16_t sequence, uint32_t ssrc = 0x11223344,
                 size_t payload = 160) {
  Bytes out{0x80, 0x00};
  Put(out, sequence, 2);
  Put(out, uint32_t{sequence} * 160, 4);
  Put(out, ssrc, 4);
  out.resize(out.size() + payload, 0xd5);
  return out;
}

// RFC 3550 6.4.2: a receiver report with one block.
inline Bytes Rtcp(uint32_t ssrc = 0x11223344, uint32_t about = 0x55667788,
                  uint32_t lsr = 0, uint32_t dlsr = 0) {
  Bytes out{0x81, 201};
  Put(out, 7, 2);
  Put(out, ssrc, 4);
  Put(out, about, 4);
  Put(out, 0, 4);  // lost
  Put(out, 0, 4);  // highest sequence
  Put(out, 0, 4);  // jitter
  Put(out, lsr, 4);
  Put(out, dlsr, 4);
  return out;
}

// RFC 3550 6.4.1 without blocks.
inline Bytes SenderReport(uint32_t ssrc, uint64_t ntp) {
  Bytes out{0x80, 200};
  Put(out, 6, 2);
  Put(out, ssrc, 4);
  Put(out, ntp, 8);
  Put(out, 0, 4);
  Put(out, 0, 4);
  Put(out, 0, 4);
  return out;
}

inline Endpoint At(const char* text) { return *Endpoint::Parse(text); }

}  // namespace sluice

#endif  // SLUICE_TESTS_FAKES_PACKETS_H_
