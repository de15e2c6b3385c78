#include "sip/admitted.h"

#include <string>
#include <utility>

#include "base/text.h"

namespace sluice::sip {

// `branch`: "" for the ACK of a success, which has one of its own.
uint64_t Admitted::HashOf(const Message& message, std::string_view branch,
                          const IpAddress& from) const {
  const auto& caller = message.from();
  std::string text =
      Cat(message.call_id(), " ", branch, " ",
          caller ? caller->tag : std::string_view(), " ", message.cseq(), " ");
  text.append(reinterpret_cast<const char*>(from.octets().data()),
              from.octets().size());
  return SipHash(key_,
                 {reinterpret_cast<const uint8_t*>(text.data()), text.size()});
}

void Admitted::Add(const Message& message, std::string_view branch,
                   const IpAddress& from, Micros now) {
  const bool aged = now - young_since_ > kHold;
  if (aged || young_.size() >= 2 * kMost) {
    // Twice as long ago nobody waits for the old ones, nor for these.
    if (now - young_since_ > kHold + kHold) young_.clear();
    old_ = std::exchange(young_, {});
    young_since_ = now;
  }
  young_.insert(HashOf(message, branch, from));
  young_.insert(HashOf(message, "", from));
}

void Admitted::Note(const Message& invite, const IpAddress& from, Micros now) {
  Add(invite, invite.top_via()->branch, from, now);
}

void Admitted::Refresh(const Message& provisional, const IpAddress& from,
                       Micros now) {
  const std::string_view branch = provisional.next_via()->branch;
  if (Knows(HashOf(provisional, branch, from), now)) {
    Add(provisional, branch, from, now);
  }
}

bool Admitted::Knows(uint64_t hash, Micros now) const {
  if (now - young_since_ > kHold + kHold) return false;
  if (young_.contains(hash)) return true;
  return now - young_since_ <= kHold && old_.contains(hash);
}

bool Admitted::Has(const Message& request, const IpAddress& from,
                   Micros now) const {
  const bool ack = request.method() == Method::kAck;
  // An ACK answers somebody.
  if (ack && (!request.to() || request.to()->tag.empty())) return false;
  const std::string_view branch =
      ack ? std::string_view() : request.top_via()->branch;
  return Knows(HashOf(request, branch, from), now);
}

}  // namespace sluice::sip
