#ifndef SLUICE_BENCH_XDP_DRIVER_H_
#define SLUICE_BENCH_XDP_DRIVER_H_

#include <cstdint>
#include <memory>
#include <span>

#include "absl/status/statusor.h"

namespace sluice::relay::xdp {

// Calls an XDP program with a new packet each time, of a flow taken by chance,
// as often as wanted in one test run.
class Driver {
 public:
  struct Flows {
    std::span<const uint8_t> first{};  // the frame of flow 0
    uint32_t count = 0;
    // The ports they go to, so many at an address; then the next address.
    uint16_t first_port = 0;
    uint32_t ports_each = 0;
  };
  struct Run {
    uint32_t packet_ns = 0;  // the mean, with the making of the packet
    uint32_t verdict = 0;    // the last
  };

  static absl::StatusOr<std::unique_ptr<Driver>> Load(const Flows& flows);
  ~Driver();
  Driver(const Driver&) = delete;
  Driver& operator=(const Driver&) = delete;

  absl::StatusOr<Run> Drive(int program, int packets);
  // A program that does nothing: what is left is the driver's own cost.
  int Nothing() const;

 private:
  struct Kernel;
  Driver();
  std::unique_ptr<Kernel> kernel_;
};

}  // namespace sluice::relay::xdp

#endif  // SLUICE_BENCH_XDP_DRIVER_H_
