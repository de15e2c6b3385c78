#include "relay/watch_queue.h"

#include <cstdint>
#include <memory>
#include <thread>
#include <vector>

#include "base/address.h"
#include "base/types.h"
#include "gtest/gtest.h"

namespace sluice::relay {
namespace {

// Written and read in place, so a slot that is given over too early shows as a
// torn packet, and to the thread sanitizer as a race.
TEST(WatchQueue, PacketsAreWholeAndInOrderBetweenTwoThreads) {
  constexpr uint32_t kPackets = 50'000;
  const auto queue = std::make_unique<WatchQueue>();
  std::thread shard([&] {
    std::vector<uint8_t> payload;
    for (uint32_t n = 0; n < kPackets; ++n) {
      payload.assign(n % (WatchedPacket::kBytesMax + 64),
                     static_cast<uint8_t>(n));
      while (!queue->Push(Micros(n), Endpoint(), {n, 1}, payload)) {
        std::this_thread::yield();
      }
    }
  });
  uint32_t wrong = 0;
  for (uint32_t n = 0; n < kPackets;) {
    const WatchedPacket* const packet = queue->Front();
    if (packet == nullptr) {
      std::this_thread::yield();
      continue;
    }
    const auto length =
        static_cast<uint32_t>(n % (WatchedPacket::kBytesMax + 64));
    bool right = packet->at == Micros(n) && packet->socket == Slot{n, 1} &&
                 packet->length == length && packet->captured <= length;
    for (uint32_t i = 0; i < packet->captured; ++i) {
      right = right && packet->payload[i] == static_cast<uint8_t>(n);
    }
    wrong += right ? 0 : 1;
    queue->Pop();
    ++n;
  }
  shard.join();
  EXPECT_EQ(wrong, 0u);
  EXPECT_EQ(queue->Front(), nullptr);
}

}  // namespace
}  // namespace sluice::relay
