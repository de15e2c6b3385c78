#ifndef SLUICE_CONTROL_LOCAL_RELAY_H_
#define SLUICE_CONTROL_LOCAL_RELAY_H_

#include "control/session_verbs.h"
#include "sip/media_relay.h"

namespace sluice::control {

// Our own session manager as the SIP proxy sees a relay (the seeds' Local): the
// same function that the RPC ends in, answered before the call returns.
//
// Thread: control only. Borrows the verbs.
class LocalRelay final : public sip::MediaRelay {
 public:
  explicit LocalRelay(SessionVerbs& verbs) : verbs_(verbs) {}

  void Allocate(const Key& key, Side side, const IpAddress& local,
                absl::Span<const Media> media, Allocated done) override;
  void Activate(const Key& key, Done done) override;
  void Close(const Key& key, Done done) override;

 private:
  SessionVerbs& verbs_;
};

}  // namespace sluice::control

#endif  // SLUICE_CONTROL_LOCAL_RELAY_H_
