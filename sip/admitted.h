#ifndef SLUICE_SIP_ADMITTED_H_
#define SLUICE_SIP_ADMITTED_H_

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "absl/container/flat_hash_set.h"
#include "base/address.h"
#include "base/sip_hash.h"
#include "base/types.h"
#include "sip/message.h"

namespace sluice::sip {

// The INVITEs that went on because their user had logged in. Their CANCEL and
// their ACK go the same way and cannot show why (RFC 3261 22.1); of a failure
// there is no answer to have given the caller leave, and a success may come
// from where another answer did not.
//
// Known by source, Call-ID, From tag and CSeq number, for the CANCEL by the
// branch, too, for kHold to 2 kHold since the INVITE or its last provisional
// answer; when kMost come sooner, the older ones go sooner. Only hashes are
// kept.
//
// Thread: control only.
class Admitted {
 public:
  // An INVITE rings for three minutes (RFC 3261 16.6 11, timer C).
  static constexpr Micros kHold = Micros::Seconds(240);
  static constexpr size_t kMost = 65'536;  // twice two hashes, 2 MB

  Admitted() : key_(SipHashKey::FromKernel()) {}
  // REQUIRES of all: the message has a top Via, a response a second one.
  // `from`: the source of the request.
  void Note(const Message& invite, const IpAddress& from, Micros now);
  // It rings on (RFC 3261 16.7 2: timer C begins anew).
  void Refresh(const Message& provisional, const IpAddress& from, Micros now);
  // `request`: CANCEL or ACK.
  bool Has(const Message& request, const IpAddress& from, Micros now) const;

 private:
  uint64_t HashOf(const Message& message, std::string_view branch,
                  const IpAddress& from) const;
  bool Knows(uint64_t hash, Micros now) const;
  void Add(const Message& message, std::string_view branch,
           const IpAddress& from, Micros now);

  const SipHashKey key_;
  absl::flat_hash_set<uint64_t> young_, old_;
  Micros young_since_{};
};

}  // namespace sluice::sip

#endif  // SLUICE_SIP_ADMITTED_H_
