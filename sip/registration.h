#ifndef SLUICE_SIP_REGISTRATION_H_
#define SLUICE_SIP_REGISTRATION_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/net/event_loop.h"
#include "sip/credentials.h"
#include "sip/dialog.h"
#include "sip/requester.h"

namespace sluice::sip {

// One contact of ours at one registrar (RFC 3261 10.2): a series of REGISTERs
// of one Call-ID with rising CSeq.
//
// Thread: the loop's. Borrows loop and requester.
class Registration {
 public:
  // Seconds. A failed one is tried again after so long, or later if it says so
  // (Retry-After), but for PermissionDenied.
  static constexpr int64_t kRetryAfter = 30;
  // What a registrar may make of us: neither a storm nor a promise for years.
  static constexpr int64_t kBriefestWait = 5, kLongestWait = 86'400;

  struct Plan {
    std::string registrar;  // URI that it is sent to
    std::string aor;        // URI of From and To
    std::string value;      // of From and To
    std::string contact{};  // URI; "" : `user` at the address it is sent from
    std::string user{};
    std::string user_agent{};
    std::vector<std::string> routes{};
    Leg* leg = nullptr;
  };
  // The seconds that were granted. The error has its code: PermissionDenied
  // (401, 403, 407), NotFound (404), DeadlineExceeded (408), Unavailable (503,
  // no way there), else Aborted (also where no time was granted).
  using Done = std::function<void(const absl::StatusOr<uint32_t>&)>;

  Registration(net::EventLoop& loop, Requester& requester, Plan plan);
  ~Registration();
  Registration(const Registration&) = delete;
  Registration& operator=(const Registration&) = delete;

  // Whether it is the series of such a plan.
  bool Is(const Plan& plan) const;
  // `refresh`: again and again before it ends. `done` hears each answer.
  void Register(uint32_t expires, bool refresh, Credentials who, Done done);

 private:
  void Send();
  OutgoingRequest Write(const Requester::Attempt& attempt);
  void OnResponse(const Message& response);
  void Tell(const absl::StatusOr<uint32_t>& result);
  uint32_t Granted(const Message& response) const;

  net::EventLoop& loop_;
  Requester& requester_;
  const Plan plan_;
  Dialog series_;  // Call-ID, tag, CSeq
  Credentials who_;
  Challenges challenges_;
  uint32_t expires_ = 0;
  bool refresh_ = false;
  bool briefer_ = false;               // 423 has been answered
  int64_t retry_after_ = kRetryAfter;  // seconds
  std::string contact_{};              // as sent
  Done done_;
  Requester::Id request_ = 0;
  net::EventLoop::TimerId timer_ = 0;
};

// What a final code means to a program.
absl::Status StatusOfCode(int code, std::string_view reason);

}  // namespace sluice::sip

#endif  // SLUICE_SIP_REGISTRATION_H_
