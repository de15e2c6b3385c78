#ifndef SLUICE_TESTS_SIP_FAKE_RELAY_H_
#define SLUICE_TESTS_SIP_FAKE_RELAY_H_

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "base/text.h"
#include "sip/media_relay.h"

namespace sluice::sip {

// A relay that only writes down what it is asked, and answers as it is told:
// even ports from 30000 on, a refusal, or nothing until Answer().
class FakeRelay final : public MediaRelay {
 public:
  struct Asked {
    std::string verb;  // "allocate from", "allocate to", "activate", "close"
    Key key;
    IpAddress local{};
    std::vector<Media> media{};
  };

  void Allocate(const Key& key, Side side, const IpAddress& local,
                absl::Span<const Media> media, Allocated done) override {
    asked.push_back({.verb = Cat("allocate ", Name(side)),
                     .key = key,
                     .local = local,
                     .media = {media.begin(), media.end()}});
    Later([this, local, list = asked.back().media, done = std::move(done)] {
      if (!refuse.ok()) return done(refuse);
      std::vector<Port> ports;
      for (const Media& m : list) {
        // As the engine of the seeds: no port for who does not listen.
        const bool heard = m.port != 0 && !m.ip.is_any();
        ports.push_back({.ip = local,
                         .port = heard ? std::exchange(next_port, next_port + 2)
                                       : uint16_t{0},
                         .range = m.range,
                         .edition = edition});
      }
      if (one_too_few && !ports.empty()) ports.pop_back();
      done(std::move(ports));
    });
  }
  void Activate(const Key& key, Done done) override {
    asked.push_back({.verb = "activate", .key = key});
    Later([this, done = std::move(done)] { done(activate); });
  }
  void Close(const Key& key, Done done) override {
    asked.push_back({.verb = "close", .key = key});
    Later([done = std::move(done)] { done(absl::NotFoundError("none")); });
  }

  // The verbs, one after the other with ", ".
  std::string Verbs() const {
    std::string all;
    for (const Asked& a : asked) {
      Append(&all, all.empty() ? "" : ", ", a.verb);
    }
    return all;
  }
  const Asked& Last(std::string_view verb) const {
    for (auto it = asked.rbegin(); it != asked.rend(); ++it) {
      if (it->verb == verb) return *it;
    }
    static const Asked kNone;
    return kNone;
  }
  // Answers what waits, also what is asked meanwhile.
  void AnswerAll() {
    while (!waiting.empty()) {
      const auto next = std::move(waiting.front());
      waiting.erase(waiting.begin());
      next();
    }
  }

  std::vector<Asked> asked;
  absl::Status refuse;
  absl::Status activate = absl::FailedPreconditionError("half");
  bool late = false;
  bool one_too_few = false;
  uint16_t next_port = 30'000;
  uint64_t edition = 0;
  std::vector<std::function<void()>> waiting;

 private:
  void Later(std::function<void()> answer) {
    if (late) {
      waiting.push_back(std::move(answer));
    } else {
      answer();
    }
  }
};

}  // namespace sluice::sip

#endif  // SLUICE_TESTS_SIP_FAKE_RELAY_H_
