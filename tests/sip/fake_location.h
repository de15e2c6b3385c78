#ifndef SLUICE_TESTS_SIP_FAKE_LOCATION_H_
#define SLUICE_TESTS_SIP_FAKE_LOCATION_H_

#include <algorithm>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "sip/location.h"

namespace sluice::sip {

// Bindings in a map, with a disk that is as slow as the test wants it.
class FakeLocation final : public LocationStore {
 public:
  const std::vector<Binding>& Find(std::string_view aor) override {
    found_.clear();
    const auto it = all.find(std::string(aor));
    if (it == all.end()) return found_;
    for (const Binding& b : it->second) {
      if (b.expires_at > wall) found_.push_back(b);
    }
    return found_;
  }
  absl::Status Store(std::string_view aor, std::vector<Binding> bindings,
                     Durable durable) override {
    if (full) return absl::ResourceExhaustedError("full");
    all[std::string(aor)] = std::move(bindings);
    ++stores;
    if (slow) {
      waiting.push_back(std::move(durable));
    } else {
      durable(disk);
    }
    return absl::OkStatus();
  }
  void ForEach(
      const std::function<bool(std::string_view, const std::vector<Binding>&)>&
          visit) const override {
    for (const auto& [aor, bindings] : all) {
      if (!visit(aor, bindings)) return;
    }
  }
  size_t size() const override { return all.size(); }
  size_t records() const override { return all.size(); }
  const Counters& counters() const override { return counters_; }
  absl::Status Flush() override {
    for (const Durable& d : std::exchange(waiting, {})) d(disk);
    return absl::OkStatus();
  }

  int64_t wall = 1'700'000'000;  // seconds since 1970
  bool full = false;
  bool slow = false;
  absl::Status disk;
  int stores = 0;
  std::map<std::string, std::vector<Binding>> all;
  std::vector<Durable> waiting;

 private:
  std::vector<Binding> found_;
  Counters counters_;
};

}  // namespace sluice::sip

#endif  // SLUICE_TESTS_SIP_FAKE_LOCATION_H_
