#ifndef SLUICE_TOOLS_LOAD_SIP_WORKER_H_
#define SLUICE_TOOLS_LOAD_SIP_WORKER_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <random>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "base/address.h"
#include "tools/load/sip_answerer.h"
#include "tools/load/sip_caller.h"
#include "tools/load/sip_media.h"
#include "tools/load/sip_port.h"
#include "tools/load/sip_tally.h"
#include "tools/load/worker.h"

namespace sluice::load {

struct SipTlsFiles {
  std::string certificate{}, key{}, ca{};
};

struct SipTrafficOptions {
  enum class Spacing : uint8_t { kEven, kExponential };

  SipCallerOptions caller{};  // with who is where
  Endpoint proxy{};
  SipTlsFiles tls{};
  uint32_t connections = 1;  // of the calling side to the proxy
  int answer_code = 200;
  double rate = 1000;  // begun a second
  Spacing spacing = Spacing::kEven;
  bool spin = false;   // never sleep while looking for messages
  double media_s = 0;  // of each call; 0: none
  uint32_t media_places = 0;

  // From the first message of a transaction or call until it is given up.
  uint64_t patience_ns() const;
};

// One generator thread with both sides: begins transactions or calls at the
// times that the rate says, whatever becomes of those before, and answers them
// on the address of its answering side.
//
// Spacing is even, or exponential as arrivals of independent callers are
// (drawn from a fixed seed: two runs with the same rate are alike).
//
// Thread: made and read by the main thread, Run() on its own.
class SipWorker final : SipPort::Visitor {
 public:
  SipWorker(const SipTrafficOptions& options, const SipUsers& users,
            const std::atomic<Phase>& phase);

  // Binds, and connects where there is something to connect. Once, before Run.
  absl::Status Open();
  // Until the phase is kStop.
  void Run();
  // Calls that talk are to end soon. By the main thread, while Run() is on.
  void Hurry() { hurry_.store(true, std::memory_order_relaxed); }

  const SipTally& tally() const { return tally_; }
  // These are for after Run. CPU time of this thread in the measured phase.
  const SipCaller& caller() const { return caller_; }
  uint64_t cpu_ns() const { return cpu_ns_; }
  // Null where calls have none.
  const SipMedia* media() const { return media_.get(); }
  uint64_t ReceiveDrops() const;

 private:
  // Begun in one turn at most: what has arrived is not to wait for longer.
  static constexpr uint32_t kStartsATurn = 32;
  // Looks at each side in one turn.
  static constexpr uint32_t kReceivesATurn = 4;

  void OnMessage(SipPort& port, std::string_view message) override;
  uint32_t StartDue(uint64_t now_ns);
  uint32_t ReceiveAll();
  uint32_t WorkMedia(uint64_t now_ns);
  void Wait(uint64_t now_ns);
  void OnPhase(Phase phase, uint64_t now_ns);
  double Interval();

  const SipTrafficOptions options_;
  const std::atomic<Phase>& phase_;
  SipTally tally_;
  const std::unique_ptr<SipMedia> media_;
  SipCaller caller_;
  SipAnswerer answerer_;
  std::unique_ptr<SipPort> uac_, uas_;

  std::atomic<bool> hurry_{false};
  Phase seen_ = Phase::kWarmUp;
  double next_start_ns_ = 0;
  uint32_t started_ = 0;
  std::mt19937_64 random_{1};
  std::exponential_distribution<double> exponential_{1};
  uint64_t cpu_ns_ = 0, cpu_at_measure_ns_ = 0;
};

}  // namespace sluice::load

#endif  // SLUICE_TOOLS_LOAD_SIP_WORKER_H_
