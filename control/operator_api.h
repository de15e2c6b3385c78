#ifndef SLUICE_CONTROL_OPERATOR_API_H_
#define SLUICE_CONTROL_OPERATOR_API_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "control/capture.h"
#include "control/capture_stream.h"
#include "control/session_manager.h"
#include "control/sip_service.h"
#include "relay/counters.h"
#include "relay/xdp/fast_path.h"

namespace sluice::control {

// What the daemon as a whole says of itself.
struct DaemonStatus {
  std::string version;
  int64_t pid = 0;
  double uptime_s = 0;
  std::string engine;         // "io_uring" or "epoll"
  std::string engine_reason;  // why that one, in words
  ManagerStatus manager;
  struct ListenerView {
    std::string kind;     // "nathelper", "sip", "http", "control"
    std::string address;  // as configured
  };
  std::vector<ListenerView> listeners;
  struct InterfaceView {
    std::string name, address, advertise, latch;
    std::string xdp;          // as configured
    std::string path;         // native, tc, sockets: where media goes
    std::string path_reason;  // one line
    std::vector<std::string> path_hints;  // what is wrong, what mends it
    uint64_t ports_total = 0, ports_taken = 0, ports_quarantined = 0;
  };
  std::vector<InterfaceView> interfaces;
  struct ShardView {
    uint64_t sockets = 0;      // bound now
    uint64_t sockets_max = 0;  // its share of what all can have open
  };
  std::vector<ShardView> shards;  // by number
  // Of the XDP program and the offload; none where there is no program.
  std::vector<relay::xdp::FastPath::Number> fast_path;
  // Of store.sessions; none where there is no such file.
  std::vector<relay::xdp::FastPath::Number> session_file;
  uint64_t log_lines_dropped = 0;
  // RPC listener counters, name -> value (net::StreamServer::Counters and the
  // verbs' outcomes).
  std::vector<std::pair<std::string, uint64_t>> rpc_counters;
};

// What an operator's face (HTTP, sluicectl behind it) may ask of the daemon.
//
// Thread: any but the control thread. Each call goes to the control thread by a
// queue and waits for its answer: DeadlineExceeded after 2 s, Unavailable when
// the daemon is stopping. shards()/counters() read shared cells at once.
class OperatorApi {
 public:
  virtual ~OperatorApi() = default;

  virtual absl::StatusOr<DaemonStatus> Status() = 0;
  // Calls in the order of their making, `offset` left out; `total` of all.
  virtual absl::StatusOr<CallPage> Calls(size_t offset, size_t limit) = 0;
  virtual absl::StatusOr<CallView> Call(const std::string& call_id) = 0;
  // NotFound when there is no such call; else how many sessions were closed.
  virtual absl::StatusOr<int> Close(const std::string& call_id) = 0;
  // Refuse new calls (true) or take them again (false).
  virtual absl::Status Drain(bool on) = 0;
  // Lead media past the sockets (true) or bring all of it back to them; until
  // the next restart. FailedPrecondition: there is no other path.
  virtual absl::Status Offload(bool on) = 0;
  // Begins to copy the packets of a call. NotFound: no such call;
  // FailedPrecondition: another capture runs. It ends when the
  // stream is let go of.
  virtual absl::StatusOr<std::shared_ptr<CaptureStream>> StartCapture(
      const CaptureRequest& request) = 0;
  // Ends the capture that runs, if any: its reader gets what is there by now.
  virtual absl::StatusOr<CaptureView> StopCapture() = 0;
  // The capture that runs, or the last one.
  virtual absl::StatusOr<CaptureView> LastCapture() = 0;
  // Re-read the configuration file; InvalidArgument with FILE:LINE text when it
  // is bad and the old one stays. Returns what changed and what needs a
  // restart.
  virtual absl::StatusOr<std::string> Reload() = 0;

  // The SIP side; NotFound when it is off (no [[sip.leg]]).
  virtual absl::StatusOr<std::vector<SipService::LegView>> Legs() = 0;
  // Of one address-of-record ("sip:user@domain"), or of all when it is empty.
  virtual absl::StatusOr<SipService::RegistrationPage> Registrations(
      const std::string& aor, size_t offset, size_t limit) = 0;
  // The messages of a call that are still kept, oldest first; NotFound when
  // there are none.
  virtual absl::StatusOr<std::vector<SipTrace::Entry>> Trace(
      const std::string& call_id) = 0;
  // For metrics; empty when SIP is off.
  virtual absl::StatusOr<std::vector<SipService::Number>> SipNumbers() = 0;

  // True when every listener is bound and the daemon takes new calls.
  virtual bool ready() const = 0;
  virtual uint32_t shards() const = 0;
  virtual const relay::ShardCounters& counters(uint32_t shard) const = 0;
};

}  // namespace sluice::control

#endif  // SLUICE_CONTROL_OPERATOR_API_H_
