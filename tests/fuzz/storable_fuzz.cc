// Goal: no octets make the Storable decoder crash, hang or go beyond its
// limits, and what it did understand it can say again: encode -> decode gives
// the same. Method: the input is one frozen value.

#include <cstdint>
#include <string_view>

#include "base/check.h"
#include "control/storable.h"

namespace {

using sluice::control::storable::Value;

struct Size {
  size_t nodes = 0;
  size_t bytes = 0;
};

void Measure(const Value& value, Size* size) {
  ++size->nodes;
  if (value.bytes() != nullptr) size->bytes += value.bytes()->size();
  if (value.list() != nullptr) {
    for (const Value& element : *value.list()) Measure(element, size);
  }
  if (value.map() != nullptr) {
    const Value::Entry* previous = nullptr;
    for (const Value::Entry& entry : *value.map()) {
      CHECK(previous == nullptr || previous->first < entry.first);
      CHECK(value.Find(entry.first) == &entry.second);
      previous = &entry;
      size->bytes += entry.first.size();
      Measure(entry.second, size);
    }
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  namespace storable = sluice::control::storable;
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  // Small enough that the fuzzer meets them.
  const storable::Limits limits = {
      .nodes_max = 512, .bytes_max = 4096, .levels_max = 16};
  const auto value = storable::Decode(input, limits);
  if (!value.ok()) return 0;
  Size expanded;
  Measure(*value, &expanded);
  CHECK(expanded.nodes <= limits.nodes_max);
  CHECK(expanded.bytes <= limits.bytes_max);
  for (storable::Root root :
       {storable::Root::kValue, storable::Root::kReferent}) {
    // The references it is written with are nodes and levels of their own.
    const auto again = storable::Decode(storable::Encode(*value, root),
                                        {.nodes_max = 2 * limits.nodes_max,
                                         .bytes_max = limits.bytes_max,
                                         .levels_max = 2 * limits.levels_max});
    CHECK(again.ok());
    CHECK(*again == *value);
  }
  return 0;
}
