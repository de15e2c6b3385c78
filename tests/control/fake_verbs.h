#ifndef SLUICE_TESTS_CONTROL_FAKE_VERBS_H_
#define SLUICE_TESTS_CONTROL_FAKE_VERBS_H_

#include <optional>
#include <vector>

#include "control/session_verbs.h"

namespace sluice::control {

// A session manager that writes down what it is asked and answers what it was
// told to.
class FakeVerbs : public SessionVerbs {
 public:
  struct AllocateCall {
    SessionKey key;
    Side side{};
    IpAddress local{};
    std::vector<Media> media;
  };

  // Unset: 4992 and so on for each medium asked for.
  std::optional<absl::StatusOr<std::vector<Allocation>>> allocations;
  absl::StatusOr<Activation> activation = Activation::kNew;
  absl::StatusOr<int> closed = 1;

  std::vector<AllocateCall> allocates;
  std::vector<SessionKey> activates;
  std::vector<SessionKey> closes;

  absl::StatusOr<std::vector<Allocation>> Allocate(
      const SessionKey& key, Side side, const IpAddress& local,
      absl::Span<const Media> media) override {
    allocates.push_back({key, side, local, {media.begin(), media.end()}});
    if (allocations.has_value()) return *allocations;
    std::vector<Allocation> answer;
    uint16_t port = 4992;
    for (const Media& medium : media) {
      answer.push_back({local, port, medium.range});
      port = static_cast<uint16_t>(port + 2);
    }
    return answer;
  }
  absl::StatusOr<Activation> Activate(const SessionKey& key) override {
    activates.push_back(key);
    return activation;
  }
  absl::StatusOr<int> Close(const SessionKey& key) override {
    closes.push_back(key);
    return closed;
  }
};

}  // namespace sluice::control

#endif  // SLUICE_TESTS_CONTROL_FAKE_VERBS_H_
