#ifndef SLUICE_SIP_GATES_H_
#define SLUICE_SIP_GATES_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "base/types.h"
#include "sip/dispatcher.h"
#include "sip/handler.h"

// Handlers that stop what should go no further.
namespace sluice::sip {

// Answers requests of some methods (the seeds' Blocker). An ACK is swallowed
// where INVITE is blocked: it belongs to our answer.
class Blocker final : public Handler {
 public:
  struct Rule {
    std::string method;
    int code = 403;
    std::string reason;
  };
  // "403" or "403 Not here"; nullopt for what is no code of a final failure.
  static std::optional<Rule> RuleOf(std::string_view method,
                                    std::string_view answer);
  Blocker(Dispatcher& dispatcher, std::vector<Rule> rules);

  std::string_view name() const override { return "blocker"; }
  Handled Receive(Incoming& in) override;
  std::vector<Number> Counters() const override;

 private:
  Dispatcher& dispatcher_;
  const std::vector<Rule> rules_;
  uint64_t blocked_ = 0;
};

// Drops in silence: what comes too fast from one address (a token bucket
// each, an IPv6 network of 64 bits counting as one),
// and what has a header that looks wrong (the seeds' ByIPPort and ByField).
// Responses pass: they are keyed (sip/branch.h).
class Dropper final : public Handler {
 public:
  // Sources remembered. When they are more, those whose bucket is full again
  // go; if none is, the newcomer is let pass uncounted.
  static constexpr size_t kSourcesMax = 65'536;
  struct Pattern {
    std::string header;  // by name; "" : the Request-URI
    std::string text;    // part of the value, without regard to case
  };
  struct Options {
    double per_second = 0;  // 0: no limit
    double burst = 50;
    std::vector<std::string> methods{};  // limited; empty: all
    std::vector<Pattern> patterns{};
  };
  Dropper(Dispatcher& dispatcher, Options options);

  std::string_view name() const override { return "dropper"; }
  Handled Receive(Incoming& in) override;
  void Tick(Micros now) override;
  std::vector<Number> Counters() const override;
  size_t sources() const { return buckets_.size(); }

 private:
  struct Bucket {
    double tokens;
    Micros at;
  };
  bool TooFast(const Incoming& in);
  bool LooksWrong(const Message& message) const;
  double Filled(const Bucket& bucket, Micros now) const;

  Dispatcher& dispatcher_;
  const Options options_;
  absl::flat_hash_map<IpAddress, Bucket> buckets_;
  uint64_t too_fast_ = 0, by_pattern_ = 0, untracked_ = 0;
};

}  // namespace sluice::sip

#endif  // SLUICE_SIP_GATES_H_
