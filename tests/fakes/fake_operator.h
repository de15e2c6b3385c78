#ifndef SLUICE_TESTS_FAKES_FAKE_OPERATOR_H_
#define SLUICE_TESTS_FAKES_FAKE_OPERATOR_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "control/manager_counters.h"
#include "control/operator_api.h"
#include "control/pcap.h"
#include "relay/counters.h"

namespace sluice::control {

// A daemon that is only its books: what it is asked is counted, what it answers
// is set by the test. `fail`, when set, is the answer to every question.
//
// Thread: set up before a server is started on it, read after it has ended, or
// used on one thread.
class FakeOperator final : public OperatorApi {
 public:
  explicit FakeOperator(uint32_t shard_count = 2) : shards_(shard_count) {
    status.version = "0.1.0";
    status.pid = 4711;
    status.uptime_s = 90061;
    status.engine = "epoll";
    status.engine_reason = "asked for";
    status.manager.ports_total = 50000;
    status.manager.ports_taken = 8;
    status.manager.ports_quarantined = 2;
    ManagerCounters{}.ForEach([this](const char* name, uint64_t value) {
      status.manager.counters.emplace_back(name, value);
    });
    status.interfaces.push_back({.name = "default",
                                 .address = "127.0.0.1",
                                 .advertise = "",
                                 .latch = "sdp-first",
                                 .xdp = "auto",
                                 .path = "tc",
                                 .path_reason = "tc on eth1",
                                 .path_hints = {"not native: no driver"},
                                 .ports_total = 50000,
                                 .ports_taken = 8,
                                 .ports_quarantined = 2});
    for (uint32_t i = 0; i < shard_count; ++i) {
      status.shards.push_back({.sockets = 4 * i, .sockets_max = 16});
    }
    status.listeners.push_back(
        {.kind = "nathelper", .address = "unix:/tmp/n.sock"});
    status.rpc_counters.emplace_back("accepted", 3);
  }

  absl::StatusOr<DaemonStatus> Status() override {
    ++asked;
    if (!fail.ok()) return fail;
    return status;
  }
  absl::StatusOr<CallPage> Calls(size_t offset, size_t limit) override {
    ++asked;
    if (!fail.ok()) return fail;
    CallPage page{.total = calls.size(), .calls = {}};
    for (size_t i = offset; i < calls.size() && page.calls.size() < limit;
         ++i) {
      CallSummary summary;
      summary.call_id = calls[i].call_id;
      summary.shard = calls[i].shard;
      summary.created = calls[i].created;
      summary.sessions = static_cast<int>(calls[i].sessions.size());
      summary.sockets = calls[i].sockets;
      page.calls.push_back(std::move(summary));
    }
    return page;
  }
  absl::StatusOr<CallView> Call(const std::string& call_id) override {
    ++asked;
    if (!fail.ok()) return fail;
    for (const CallView& call : calls) {
      if (call.call_id == call_id) return call;
    }
    return absl::NotFoundError("no such call: " + call_id);
  }
  absl::StatusOr<int> Close(const std::string& call_id) override {
    ++asked;
    if (!fail.ok()) return fail;
    const auto call =
        std::find_if(calls.begin(), calls.end(),
                     [&](const CallView& c) { return c.call_id == call_id; });
    if (call == calls.end()) {
      return absl::NotFoundError("no such call: " + call_id);
    }
    const int sessions = static_cast<int>(call->sessions.size());
    calls.erase(call);
    return sessions;
  }
  absl::Status Drain(bool on) override {
    ++asked;
    if (!fail.ok()) return fail;
    status.manager.draining = on;
    return absl::OkStatus();
  }
  absl::Status Offload(bool on) override {
    ++asked;
    if (!fail.ok()) return fail;
    offload = on;
    return absl::OkStatus();
  }
  absl::StatusOr<std::shared_ptr<CaptureStream>> StartCapture(
      const CaptureRequest& request) override {
    ++asked;
    if (!fail.ok()) return fail;
    capture_request = request;
    const bool known = std::any_of(
        calls.begin(), calls.end(),
        [&](const CallView& c) { return c.call_id == request.call_id; });
    if (!known) return absl::NotFoundError("no such call: " + request.call_id);
    if (capture.use_count() > 1) {
      return absl::FailedPreconditionError("another capture runs");
    }
    capture = std::make_shared<CaptureStream>(7, PcapHead());
    return capture;
  }
  absl::StatusOr<CaptureView> StopCapture() override {
    ++asked;
    if (!fail.ok()) return fail;
    if (capture != nullptr) capture->End();
    return last_capture;
  }
  absl::StatusOr<CaptureView> LastCapture() override {
    ++asked;
    if (!fail.ok()) return fail;
    return last_capture;
  }
  absl::StatusOr<std::string> Reload() override {
    ++asked;
    if (!fail.ok()) return fail;
    return reload;
  }
  absl::StatusOr<std::vector<SipService::LegView>> Legs() override {
    ++asked;
    if (!fail.ok()) return fail;
    if (sip_is_off) return SipIsOff();
    return legs;
  }
  absl::StatusOr<SipService::RegistrationPage> Registrations(
      const std::string& aor, size_t offset, size_t limit) override {
    ++asked;
    if (!fail.ok()) return fail;
    if (sip_is_off) return SipIsOff();
    SipService::RegistrationPage page;
    for (const SipService::RegistrationView& one : registrations) {
      if (!aor.empty() && one.aor != aor) continue;
      if (page.total++ >= offset && page.registrations.size() < limit) {
        page.registrations.push_back(one);
      }
    }
    return page;
  }
  absl::StatusOr<std::vector<SipTrace::Entry>> Trace(
      const std::string& call_id) override {
    ++asked;
    if (!fail.ok()) return fail;
    if (sip_is_off) return SipIsOff();
    std::vector<SipTrace::Entry> found;
    for (const SipTrace::Entry& one : trace) {
      if (one.call_id == call_id) found.push_back(one);
    }
    if (found.empty()) {
      return absl::NotFoundError("no message of this call is kept");
    }
    return found;
  }
  absl::StatusOr<std::vector<SipService::Number>> SipNumbers() override {
    ++asked;
    if (!fail.ok()) return fail;
    return sip_numbers;
  }

  bool ready() const override { return is_ready; }
  uint32_t shards() const override {
    return static_cast<uint32_t>(shards_.size());
  }
  const relay::ShardCounters& counters(uint32_t shard) const override {
    return shards_[shard];
  }
  relay::ShardCounters& mutable_counters(uint32_t shard) {
    return shards_[shard];
  }

  DaemonStatus status;
  bool offload = true;
  CaptureRequest capture_request;          // the last one
  std::shared_ptr<CaptureStream> capture;  // of it
  CaptureView last_capture;
  std::vector<CallView> calls;
  absl::StatusOr<std::string> reload = std::string("nothing changed");
  std::vector<SipService::LegView> legs;
  std::vector<SipService::RegistrationView> registrations;
  std::vector<SipTrace::Entry> trace;
  std::vector<SipService::Number> sip_numbers;
  bool sip_is_off = false;
  absl::Status fail;
  bool is_ready = true;
  int asked = 0;

 private:
  static absl::Status SipIsOff() { return absl::NotFoundError("SIP is off"); }

  std::vector<relay::ShardCounters> shards_;
};

}  // namespace sluice::control

#endif  // SLUICE_TESTS_FAKES_FAKE_OPERATOR_H_
