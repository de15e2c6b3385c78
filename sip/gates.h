#ifndef SLUICE_SIP_GATES_H_
#define SLUICE_SIP_GATES_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/sip_hash.h"
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

// Drops in silence: what comes too fast from one address (a token bucket each,
// an IPv6 network of 64 bits counting as one), and what has a header that looks
// wrong (the seeds' ByIPPort and ByField).
// Responses pass: they are keyed (sip/branch.h).
//
// The buckets stand in a table that never grows, in sets of kWays that a keyed
// hash of the source chooses. A newcomer takes the place of the fullest bucket
// of its set: who is forgotten is who has used least of his burst, so a flood
// of sources, each heard a few times, cannot wash out one that sends too much.
class Dropper final : public Handler {
 public:
  static constexpr size_t kWays = 8;
  static constexpr size_t kSourcesMax = 65'536;  // 1.5 MB
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
  std::vector<Number> Counters() const override;

 private:
  // Whose it is, only a hash says: of two sources in one set that have the same
  // 64 bits, each is counted for the other.
  struct Bucket {
    uint64_t source = 0;
    double tokens = 0;
    Micros at{};
  };
  bool TooFast(const Incoming& in);
  bool LooksWrong(const Message& message) const;
  double Filled(const Bucket& bucket, Micros now) const;

  Dispatcher& dispatcher_;
  const Options options_;
  const SipHashKey key_;
  std::vector<Bucket> buckets_;  // none where there is no limit
  // forgotten_: buckets given to a newcomer before they were full again.
  uint64_t too_fast_ = 0, by_pattern_ = 0, forgotten_ = 0;
};

}  // namespace sluice::sip

#endif  // SLUICE_SIP_GATES_H_
