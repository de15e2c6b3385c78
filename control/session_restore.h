#ifndef SLUICE_CONTROL_SESSION_RESTORE_H_
#define SLUICE_CONTROL_SESSION_RESTORE_H_

#include <cstdint>
#include <set>
#include <string>
#include <string_view>

#include "absl/types/span.h"
#include "control/session_manager.h"
#include "control/session_observer.h"

namespace sluice::control {

// Tells a new session manager what an old one's observer was told. A call of
// which something is refused (a port that somebody else has by now, a target
// that is denied now) is not half made: nothing more of it is told, and Finish
// ends it.
//
// Thread: control only.
class SessionRestore final : public SessionObserver {
 public:
  explicit SessionRestore(SessionManager& manager) : manager_(manager) {}

  void OnAllocated(const SessionKey& key, Side side, const IpAddress& local,
                   absl::Span<const Media> media,
                   absl::Span<const uint16_t> bases) override;
  void OnActivated(const SessionKey& key) override;
  void OnClosed(const SessionKey& key) override;
  void OnGone(std::string_view call_id) override;
  void OnConfirmed(std::string_view call_id, const Endpoint& local,
                   const Endpoint& source) override;

  // The observer of the manager from here on (null: none) is told of the calls
  // that end.
  // How many did.
  size_t Finish(SessionObserver* observer);
  // Why the first one did; empty: none.
  const std::string& why() const { return why_; }

 private:
  bool Refused(const std::string& call_id) const {
    return refused_.contains(call_id);
  }
  // What one call's ports were told is nothing to another's.
  void Enter(std::string_view call_id);
  void Note(const std::string& call_id, const absl::Status& status);

  SessionManager& manager_;
  std::string current_;
  std::set<std::string> refused_;
  std::string why_;
};

}  // namespace sluice::control

#endif  // SLUICE_CONTROL_SESSION_RESTORE_H_
