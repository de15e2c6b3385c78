#include "sip/admitted.h"

#include <string>
#include <utility>

#include "base/text.h"

namespace sluice::sip {

uint64_t Admitted::HashOf(const Message& message, const IpAddress& from,
                          bool by_branch) const {
  std::string text =
      Cat(message.call_id(), " ",
          by_branch ? message.top_via()->branch : std::string_view());
  text.append(reinterpret_cast<const char*>(from.octets().data()),
              from.octets().size());
  return SipHash(key_,
                 {reinterpret_cast<const uint8_t*>(text.data()), text.size()});
}

void Admitted::Note(const Message& invite, const IpAddress& from, Micros now) {
  const bool aged = now - young_since_ > kHold;
  if (aged || young_.size() >= 2 * kMost) {
    // Twice as long ago nobody waits for the old ones, nor for these.
    if (now - young_since_ > kHold + kHold) young_.clear();
    old_ = std::exchange(young_, {});
    young_since_ = now;
  }
  young_.insert(HashOf(invite, from, true));
  young_.insert(HashOf(invite, from, false));
}

bool Admitted::Has(const Message& request, const IpAddress& from,
                   Micros now) const {
  if (now - young_since_ > kHold + kHold) return false;
  const uint64_t hash = HashOf(request, from, request.method() != Method::kAck);
  if (young_.contains(hash)) return true;
  return now - young_since_ <= kHold && old_.contains(hash);
}

}  // namespace sluice::sip
