#include "sip/gates.h"

#include <algorithm>
#include <array>
#include <utility>

#include "base/text.h"
#include "sip/fields.h"
#include "sip/reply.h"

namespace sluice::sip {
namespace {

bool ContainsNoCase(std::string_view text, std::string_view part) {
  return std::search(text.begin(), text.end(), part.begin(), part.end(),
                     [](char a, char b) { return Lower(a) == Lower(b); }) !=
         text.end();
}

// Whoever has one address of an IPv6 network has them all.
IpAddress SourceOf(const IpAddress& ip) {
  if (ip.is_v4()) return ip;
  std::array<uint8_t, 16> network = ip.octets();
  std::fill(network.begin() + 8, network.end(), uint8_t{0});
  return IpAddress::FromOctets(network.data());
}

}  // namespace

std::optional<Blocker::Rule> Blocker::RuleOf(std::string_view method,
                                             std::string_view answer) {
  const auto space = answer.find(' ');
  const auto code = ParseNumber(answer.substr(0, space), 699);
  if (!code || *code < 300) return std::nullopt;
  Rule rule{.method = std::string(method),
            .code = static_cast<int>(*code),
            .reason = std::string(ReasonOf(static_cast<int>(*code)))};
  if (space != std::string_view::npos) {
    rule.reason = std::string(answer.substr(space + 1));
  }
  return rule;
}

Blocker::Blocker(Dispatcher& dispatcher, std::vector<Rule> rules)
    : dispatcher_(dispatcher), rules_(std::move(rules)) {}

Handler::Handled Blocker::Receive(Incoming& in) {
  if (in.message.is_response()) return Handled::kNotMine;
  const bool ack = in.message.method() == Method::kAck;
  const std::string_view method = ack ? "INVITE" : in.message.method_text();
  for (const Rule& rule : rules_) {
    if (rule.method != method) continue;
    ++blocked_;
    if (ack) {
      dispatcher_.Drop(SipDrop::k_dropper);
    } else {
      dispatcher_.Reply(in, rule.code, rule.reason);
    }
    return Handled::kMine;
  }
  return Handled::kNotMine;
}

std::vector<Handler::Number> Blocker::Counters() const {
  return {{"blocked", blocked_}};
}

Dropper::Dropper(Dispatcher& dispatcher, Options options)
    : dispatcher_(dispatcher),
      options_(std::move(options)),
      key_(SipHashKey::FromKernel()) {
  if (options_.per_second <= 0) return;
  // A full bucket is nobody's.
  buckets_.assign(kSourcesMax, {.source = 0, .tokens = options_.burst});
}

double Dropper::Filled(const Bucket& bucket, Micros now) const {
  const double seconds = static_cast<double>((now - bucket.at).us()) / 1e6;
  return std::min(options_.burst,
                  bucket.tokens + seconds * options_.per_second);
}

bool Dropper::TooFast(const Incoming& in) {
  if (options_.per_second <= 0) return false;
  if (!options_.methods.empty() &&
      std::find(options_.methods.begin(), options_.methods.end(),
                in.message.method_text()) == options_.methods.end()) {
    return false;
  }
  static_assert(kSourcesMax % kWays == 0);
  const IpAddress ip = SourceOf(in.from.address.ip);
  const uint64_t source = SipHash(key_, ip.octets());
  Bucket* const set = &buckets_[source % (kSourcesMax / kWays) * kWays];
  Bucket* mine = nullptr;
  for (Bucket* b = set; b != set + kWays && mine == nullptr; ++b) {
    if (b->source == source) mine = b;
  }
  if (mine == nullptr) {
    // Of several that are full, the one longest without a message.
    const auto rank = [&](const Bucket& b) {
      return std::pair(-Filled(b, in.now), b.at);
    };
    mine = std::min_element(
        set, set + kWays,
        [&](const Bucket& a, const Bucket& b) { return rank(a) < rank(b); });
    if (Filled(*mine, in.now) < options_.burst) ++forgotten_;
    *mine = {.source = source, .tokens = options_.burst, .at = in.now};
  }
  mine->tokens = Filled(*mine, in.now);
  mine->at = in.now;
  if (mine->tokens < 1) return true;
  mine->tokens -= 1;
  return false;
}

bool Dropper::LooksWrong(const Message& message) const {
  for (const Pattern& pattern : options_.patterns) {
    if (pattern.header.empty()) {
      if (ContainsNoCase(message.uri(), pattern.text)) return true;
      continue;
    }
    const HeaderId id = HeaderIdOf(pattern.header);
    for (const Header& h : message.headers()) {
      const bool named = id != HeaderId::kOther
                             ? h.id == id
                             : EqualsNoCase(h.name, pattern.header);
      if (named && ContainsNoCase(h.value, pattern.text)) return true;
    }
  }
  return false;
}

Handler::Handled Dropper::Receive(Incoming& in) {
  if (in.message.is_response()) return Handled::kNotMine;
  if (TooFast(in)) {
    ++too_fast_;
  } else if (LooksWrong(in.message)) {
    ++by_pattern_;
  } else {
    return Handled::kNotMine;
  }
  dispatcher_.Drop(SipDrop::k_dropper);
  return Handled::kMine;
}

std::vector<Handler::Number> Dropper::Counters() const {
  return {{"too_fast", too_fast_},
          {"by_pattern", by_pattern_},
          {"forgotten", forgotten_}};
}

}  // namespace sluice::sip
