#ifndef SLUICE_CONTROL_SESSION_OBSERVER_H_
#define SLUICE_CONTROL_SESSION_OBSERVER_H_

#include <string_view>

#include "base/address.h"
#include "control/call_image.h"

namespace sluice::control {

// Who is told what a session manager's calls have become.
//
// Thread: control only. Must not call back.
class SessionObserver {
 public:
  virtual ~SessionObserver() = default;

  // What the call is now; after all that may have changed it, and so perhaps
  // the same again.
  virtual void OnCall(const CallImage& call) = 0;
  // Nothing is left of this call, whatever ended it; or nothing that can be
  // made again (kGroupsPerImage).
  virtual void OnGone(std::string_view call_id) = 0;
  // Who is believed on this port of ours from now on; none: nobody for sure.
  virtual void OnConfirmed(std::string_view call_id, const Endpoint& local,
                           const Endpoint& source) = 0;
};

}  // namespace sluice::control

#endif  // SLUICE_CONTROL_SESSION_OBSERVER_H_
