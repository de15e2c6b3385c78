#ifndef SLUICE_TOOLS_LOAD_SESSION_SETUP_H_
#define SLUICE_TOOLS_LOAD_SESSION_SETUP_H_

#include <atomic>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "tools/load/rpc_client.h"
#include "tools/load/session_plan.h"

namespace sluice::load {

// Sets the sessions of a plan up at a NAT helper and closes them again, several
// connections at a time. Whatever was set up is closed, also after a failure
// and by the destructor.
class SessionSetup {
 public:
  struct Options {
    IpAddress relay_ip = IpAddress::V4(127, 0, 0, 1);
    uint32_t parallel = 4;
    std::string name;  // in every Call-ID
  };
  SessionSetup(const RpcClient& client, const Options& options,
               std::vector<SessionPlan>& plan);
  ~SessionSetup();
  SessionSetup(const SessionSetup&) = delete;
  SessionSetup& operator=(const SessionSetup&) = delete;

  // Offer, answer and activation of each session; fills in the relay's
  // addresses. Stops at the first refusal, or when `stop` becomes true
  // (Cancelled).
  absl::Status SetUp(const std::atomic<bool>& stop);
  // Closes what is up.
  absl::Status Close();

  uint32_t sessions_up() const;
  double setup_s() const { return setup_s_; }
  double close_s() const { return close_s_; }
  // Sessions of which the helper knew nothing any more when they were closed.
  uint32_t close_unknown() const { return close_unknown_; }

 private:
  enum class State : uint8_t { kNone, kStarted, kUp };

  RpcClient::Key KeyOf(uint32_t session) const;
  absl::Status SetUpOne(uint32_t session);
  absl::Status CloseOne(uint32_t session);
  template <typename F>
  absl::Status ForAll(int errors_max, F&& one);

  const RpcClient& client_;
  const Options options_;
  std::vector<SessionPlan>& plan_;
  std::vector<State> states_;
  std::atomic<uint32_t> close_unknown_{0};
  double setup_s_ = 0, close_s_ = 0;
};

}  // namespace sluice::load

#endif  // SLUICE_TOOLS_LOAD_SESSION_SETUP_H_
