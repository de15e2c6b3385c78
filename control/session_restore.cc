#include "control/session_restore.h"

#include <vector>

#include "absl/strings/str_cat.h"

namespace sluice::control {

void SessionRestore::Enter(std::string_view call_id) {
  if (current_ == call_id) return;
  manager_.EndRestoring();
  current_ = std::string(call_id);
}

void SessionRestore::Note(const std::string& call_id,
                          const absl::Status& status) {
  if (status.ok()) return;
  if (refused_.empty()) why_ = std::string(status.message());
  refused_.insert(call_id);
}

void SessionRestore::OnAllocated(const SessionKey& key, Side side,
                                 const IpAddress& local,
                                 absl::Span<const Media> media,
                                 absl::Span<const uint16_t> bases) {
  Enter(key.call_id);
  if (Refused(key.call_id)) return;
  Note(key.call_id, manager_.RestoreAllocated(
                        key, side, local, media,
                        std::vector<uint16_t>(bases.begin(), bases.end())));
}

void SessionRestore::OnActivated(const SessionKey& key) {
  Enter(key.call_id);
  if (Refused(key.call_id)) return;
  Note(key.call_id, manager_.Activate(key).status());
}

void SessionRestore::OnClosed(const SessionKey& key) {
  if (Refused(key.call_id)) return;
  // That there is nothing to close is no fault: it may have freed an offer.
  manager_.Close(key).IgnoreError();
}

void SessionRestore::OnGone(std::string_view call_id) {
  manager_.CloseCall(call_id).IgnoreError();
}

void SessionRestore::OnConfirmed(std::string_view call_id,
                                 const Endpoint& local,
                                 const Endpoint& source) {
  Enter(call_id);
  manager_.RestoreConfirmed(local, source);
}

size_t SessionRestore::Finish(SessionObserver* observer) {
  manager_.EndRestoring();
  manager_.SetObserver(observer);
  for (const std::string& call_id : refused_) {
    // It may hold nothing at all; the observer hears of it all the same.
    if (!manager_.CloseCall(call_id).ok() && observer != nullptr) {
      observer->OnGone(call_id);
    }
  }
  return refused_.size();
}

}  // namespace sluice::control
