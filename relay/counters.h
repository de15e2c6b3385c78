#ifndef SLUICE_RELAY_COUNTERS_H_
#define SLUICE_RELAY_COUNTERS_H_

#include <array>
#include <cstddef>
#include <cstdint>

#include "base/cell.h"

namespace sluice::relay {

// Why a packet went nowhere. Exactly one a packet (L1).
enum class DropReason : uint8_t {
#define COUNTER(name, help)
#define DROP(name, help) k_##name,
#include "relay/counters.def"
#undef COUNTER
#undef DROP
};

inline constexpr size_t kDropReasons = 0
#define COUNTER(name, help)
#define DROP(name, help) +1
#include "relay/counters.def"
#undef COUNTER
#undef DROP
    ;

struct NamedNumber {
  const char* name;
  const char* help;
};

inline constexpr std::array<NamedNumber, kDropReasons> kDropNames = {{
#define COUNTER(name, help)
#define DROP(name, help) {#name, help},
#include "relay/counters.def"
#undef COUNTER
#undef DROP
}};

constexpr const char* Name(DropReason reason) {
  return kDropNames[static_cast<size_t>(reason)].name;
}

// What one shard counts. The shard writes, anybody reads.
struct alignas(64) ShardCounters {
#define COUNTER(name, help) Cell<uint64_t> name;
#define DROP(name, help)
#include "relay/counters.def"
#undef COUNTER
#undef DROP
  std::array<Cell<uint64_t>, kDropReasons> drops;

  void Drop(DropReason reason) noexcept {
    drops[static_cast<size_t>(reason)].Add(1);
  }
  uint64_t Drops(DropReason reason) const noexcept {
    return drops[static_cast<size_t>(reason)].Get();
  }
  uint64_t DropsTotal() const noexcept {
    uint64_t sum = 0;
    for (const auto& d : drops) sum += d.Get();
    return sum;
  }
  // visit(name, help, value) for every COUNTER line, in the order of the file.
  template <typename Visit>
  void ForEach(Visit&& visit) const {
#define COUNTER(name, help) visit(#name, help, name.Get());
#define DROP(name, help)
#include "relay/counters.def"
#undef COUNTER
#undef DROP
  }
};

}  // namespace sluice::relay

#endif  // SLUICE_RELAY_COUNTERS_H_
