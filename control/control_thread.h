#ifndef SLUICE_CONTROL_CONTROL_THREAD_H_
#define SLUICE_CONTROL_CONTROL_THREAD_H_

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/net/event_loop.h"
#include "base/net/fd.h"
#include "control/capture.h"
#include "control/capture_stream.h"
#include "control/config.h"
#include "control/nathelper_rpc.h"
#include "control/operator_api.h"
#include "control/process.h"
#include "control/session_journal.h"
#include "control/session_manager.h"
#include "control/sip_service.h"
#include "relay/shard_pool.h"
#include "relay/xdp/fast_path.h"

namespace sluice::control {

// The one thread that knows calls: wires the loop, the shards' events, the
// session manager and the control protocols together, and answers operators.
//
//   proxies --RPC--> [ EventLoop: NatHelperRpc -> SessionManager ] --> shards
//   signals -------> [            ^                              ] <-- events
//   HTTP thread --OperatorApi: question by a queue, answer waited for
//
//                   SetReady              drain on / off
//   starting -----------------> serving <----------------> draining
//                                   |                        |
//                                   |   SIGTERM, SIGINT      |
//                                   +-------> stopping <-----+
//                                                | empty, or drain_timeout_s
//                                                | over, or a second signal
//                                                v
//                                             stopped
//
// While stopping, new calls are refused and closes are answered (F3).
//
// Thread: made, Listen, SetReady and Run on one thread, which becomes the
// control thread; the OperatorApi on any other. Run returns when stopped.
class ControlThread final : public OperatorApi {
 public:
  struct Options {
    Config config{};
    // What a reload reads; null when there is no file.
    std::function<absl::StatusOr<Config>()> read_config{};
    // How long an operator's question may wait for the control thread.
    Micros answer_deadline = Micros::Seconds(2);
  };
  // Signals that Run answers; they must be blocked in every thread, and so
  // before the first one is started.
  static void BlockSignals();

  // `pool` and `notifier` outlive this.
  ControlThread(Options options, relay::ShardPool& pool,
                const Notifier& notifier);
  ~ControlThread() override;
  ControlThread(const ControlThread&) = delete;
  ControlThread& operator=(const ControlThread&) = delete;

  // Binds the control protocols' listeners and takes the signals.
  absl::Status Listen();
  // For status(): where the operator's doors are.
  void AddListener(const std::string& kind, const std::string& address);
  // Whether the process still writes to the XDP program after it has started.
  bool needs_bpf() const { return fast_path_->active(); }
  // "unix:PATH", "tcp:ADDRESS:PORT", as bound.
  const std::vector<std::string>& rpc_listeners() const {
    return rpc_.listeners();
  }
  // "LEG udp:ADDRESS:PORT", as bound.
  std::vector<std::string> sip_listeners() const;
  // Every listener of the daemon is bound.
  void SetReady();
  void Run();

  // OperatorApi: any thread but this one.
  absl::StatusOr<DaemonStatus> Status() override;
  absl::StatusOr<CallPage> Calls(size_t offset, size_t limit) override;
  absl::StatusOr<CallView> Call(const std::string& call_id) override;
  absl::StatusOr<int> Close(const std::string& call_id) override;
  absl::Status Drain(bool on) override;
  absl::Status Offload(bool on) override;
  absl::StatusOr<std::shared_ptr<CaptureStream>> StartCapture(
      const CaptureRequest& request) override;
  absl::StatusOr<CaptureView> StopCapture() override;
  absl::StatusOr<CaptureView> LastCapture() override;
  absl::StatusOr<std::string> Reload() override;
  absl::StatusOr<std::vector<SipService::LegView>> Legs() override;
  absl::StatusOr<SipService::RegistrationPage> Registrations(
      const std::string& aor, size_t offset, size_t limit) override;
  absl::StatusOr<std::vector<SipTrace::Entry>> Trace(
      const std::string& call_id) override;
  absl::StatusOr<std::vector<SipService::Number>> SipNumbers() override;
  bool ready() const override { return ready_.load(); }
  uint32_t shards() const override { return pool_.shards(); }
  const relay::ShardCounters& counters(uint32_t shard) const override {
    return pool_.counters(shard);
  }

 private:
  enum class Phase { kStarting, kServing, kDraining, kStopping, kStopped };

  // Runs `question` on the control thread and waits for what it returns.
  template <typename T>
  absl::StatusOr<T> Ask(std::function<absl::StatusOr<T>()> question);

  void OnTick();
  void OnShardEvents();
  // Calls that an earlier process has left.
  absl::Status RestoreSessions();
  void FlushJournal();
  void OnSignal();
  void OnStopSignal();
  void SetPhase(Phase phase);
  // Ends Run if nothing is left to wait for.
  void StopIfDone();
  DaemonStatus MakeStatus() const;
  absl::StatusOr<std::string> ReloadNow();

  // Fixed after construction.
  const std::function<absl::StatusOr<Config>()> read_config_;
  const Micros answer_deadline_;
  relay::ShardPool& pool_;
  const Notifier& notifier_;

  // Control thread only.
  Config config_;
  net::EventLoop loop_;
  const Micros started_;
  // Before the manager, whose flows it may lead past the sockets.
  const std::unique_ptr<relay::xdp::FastPath> fast_path_;
  std::unique_ptr<SessionJournal> journal_;  // null: none is kept
  SessionManager manager_;
  Capture capture_;  // before the manager goes
  NatHelperRpc rpc_;
  std::unique_ptr<SipService> sip_;  // null: off
  net::Fd signals_;
  std::vector<DaemonStatus::ListenerView> operator_listeners_;
  Phase phase_ = Phase::kStarting;
  Micros stop_by_{};  // kStopping: when running calls are cut

  // Any thread.
  std::atomic<bool> ready_{false};
  std::mutex answers_mutex_;
  std::condition_variable answers_;
  bool stopped_ = false;  // guarded by answers_mutex_
};

}  // namespace sluice::control

#endif  // SLUICE_CONTROL_CONTROL_THREAD_H_
