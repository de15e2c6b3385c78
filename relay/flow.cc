#include "relay/flow.h"

namespace sluice::relay {

void SideCells::Reset(uint32_t clock_hz) noexcept {
  packets_in.Set(0);
  bytes_in.Set(0);
  packets_out.Set(0);
  bytes_out.Set(0);
  last_packet_us.Set(0);
  last_sent.Set(0);
  stream.Reset(clock_hz);
  for (auto& drop : drops) drop.Set(0);
}

}  // namespace sluice::relay
