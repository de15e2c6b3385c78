#ifndef SLUICE_CONTROL_SIP_SERVICE_H_
#define SLUICE_CONTROL_SIP_SERVICE_H_

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/net/event_loop.h"
#include "control/config.h"
#include "control/session_verbs.h"
#include "control/sip_trace.h"
#include "sip/dispatcher.h"

namespace sluice::control {

// The SIP side of the daemon as the configuration wants it: legs, their chains,
// the registrar's store, the relay behind the proxy.
//
// Thread: control only. Borrows loop and verbs. Nothing of it is destroyed in
// its callbacks.
class SipService {
 public:
  struct LegView {
    std::string name;
    std::vector<std::string> listeners{};  // "udp:127.0.0.1:5060", as bound
    std::vector<std::string> chain{};
    uint64_t connections = 0;
    std::vector<std::pair<std::string, uint64_t>> counters{};
  };
  struct RegistrationView {
    std::string aor, contact, leg, received, path, instance;
    double q = 1;
    int64_t expires_in_s = 0;
  };
  struct RegistrationPage {
    uint64_t total = 0;  // contacts
    std::vector<RegistrationView> registrations{};
  };
  struct Number {
    std::string name;  // metric without prefix: "sip_requests_in"
    std::string help;
    std::vector<std::pair<std::string, std::string>> labels{};
    uint64_t value = 0;
  };

  // InvalidArgument, or what files and libraries said. No socket is open yet.
  static absl::StatusOr<std::unique_ptr<SipService>> Create(
      net::EventLoop& loop, const Config& config, SessionVerbs& verbs);
  ~SipService();

  // Binds every leg.
  absl::Status Listen();
  // Keys, users and certificates from their files again.
  absl::Status Reload();
  // What was answered is on the disk.
  void Flush();

  std::vector<LegView> Legs() const;
  // Of one address-of-record, or (empty) of all, in their order by name.
  RegistrationPage Registrations(const std::string& aor, size_t offset,
                                 size_t limit) const;
  std::vector<SipTrace::Entry> Trace(std::string_view call_id) const;
  std::vector<Number> Numbers() const;

 private:
  struct Parts;
  explicit SipService(std::unique_ptr<Parts> parts);
  std::unique_ptr<Parts> parts_;
};

}  // namespace sluice::control

#endif  // SLUICE_CONTROL_SIP_SERVICE_H_
