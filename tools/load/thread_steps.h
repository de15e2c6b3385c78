#ifndef SLUICE_TOOLS_LOAD_THREAD_STEPS_H_
#define SLUICE_TOOLS_LOAD_THREAD_STEPS_H_

#include <atomic>
#include <functional>
#include <thread>

#include "absl/status/status.h"

// What the main thread does with workers whatever they send.
namespace sluice::load {

void PauseFor(double seconds);

// Pauses through a phase in short steps; false when `stop` ended it early.
// each_second(seconds since the beginning).
bool PauseThrough(double seconds, const std::atomic<bool>& stop,
                  const std::function<void(double)>& each_second);

// InvalidArgument for what is no core.
absl::Status PinToCore(std::thread& thread, int core);

}  // namespace sluice::load

#endif  // SLUICE_TOOLS_LOAD_THREAD_STEPS_H_
