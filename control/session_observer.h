#ifndef SLUICE_CONTROL_SESSION_OBSERVER_H_
#define SLUICE_CONTROL_SESSION_OBSERVER_H_

#include <cstdint>
#include <string_view>

#include "absl/types/span.h"
#include "base/address.h"
#include "base/types.h"
#include "control/session_verbs.h"

namespace sluice::control {

// Who is told what a session manager has done, in the order in which it did it:
// told again to a new manager, in the same order, it makes the same calls.
// Refused requests are not told.
//
// Thread: control only. Must not call back.
class SessionObserver {
 public:
  virtual ~SessionObserver() = default;

  // `bases`: the first of our ports, by medium; also when it was a repetition
  // or kept ports of before.
  virtual void OnAllocated(const SessionKey& key, Side side,
                           const IpAddress& local,
                           absl::Span<const Media> media,
                           absl::Span<const uint16_t> bases) = 0;
  virtual void OnActivated(const SessionKey& key) = 0;
  virtual void OnClosed(const SessionKey& key) = 0;
  // Nothing is left of this call, whatever ended it.
  virtual void OnGone(std::string_view call_id) = 0;
  // Who is believed on this port of ours from now on; none: nobody for sure.
  virtual void OnConfirmed(std::string_view call_id, const Endpoint& local,
                           const Endpoint& source) = 0;
};

}  // namespace sluice::control

#endif  // SLUICE_CONTROL_SESSION_OBSERVER_H_
