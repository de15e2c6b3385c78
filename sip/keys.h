#ifndef SLUICE_SIP_KEYS_H_
#define SLUICE_SIP_KEYS_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "sip/peer.h"

namespace sluice::sip {

// The secrets of a proxy: one to make with, and the one before it to recognise
// what was made before a rotation. Several nodes share a file. The same after a
// restart, or calls that are up could not send their BYE (security P14).
//
// File, mode 0600 or less, ours or root's, made on first start when it is
// missing: one line or two, newest first, each 64 hexadecimal digits. Rotation:
// put a new line on top, leave the old one below, reload.
//
// A secret itself is not kept, only what was keyed with it: states of SHA-256
// (ours, wiped at the end) and of the library's SIV. So one HMAC costs well
// below a microsecond.
//
// Thread: control only.
class Keys {
 public:
  static constexpr size_t kOctets = 32;
  static constexpr size_t kKeysMax = 2;
  // PermissionDenied (others than its owner may touch it, or a stranger owns
  // it), InvalidArgument (with FILE:LINE), or what the system said. `path` "":
  // a key of this process alone.
  static absl::StatusOr<Keys> Load(const std::string& path);
  // REQUIRES: 1 to kKeysMax secrets, none of them empty.
  static Keys FromSecrets(const std::vector<std::string>& secrets);

  Keys(Keys&&) noexcept;
  Keys& operator=(Keys&&) noexcept;
  ~Keys();

  // The first 16 octets of HMAC-SHA-256 over the parts (each with its length
  // before it, so that no two lists are the same octets), as 32 hexadecimal
  // digits. `purpose` keeps uses apart.
  std::string Mac(std::string_view purpose,
                  absl::Span<const std::string_view> parts) const;
  // Whether `mac` is that of one of the keys. Constant time.
  bool IsMac(std::string_view mac, std::string_view purpose,
             absl::Span<const std::string_view> parts) const;

  // AES-256-SIV (RFC 5297): deterministic, so a retransmission is sealed to
  // the same octets, with a tag of 128 bits in front. Associated data: purpose
  // and `context`. "" for an empty `plain`, of which there is nothing to hide.
  std::string Seal(std::string_view purpose, std::string_view context,
                   std::string_view plain) const;
  // nullopt for what none of the keys has sealed.
  std::optional<std::string> Open(std::string_view purpose,
                                  std::string_view context,
                                  std::string_view sealed) const;
  // A secret of kOctets derived for another user of secrets (nonces); from the
  // newest key alone.
  std::string Derive(std::string_view purpose) const;

 private:
  class Secret;
  Keys();
  std::vector<std::unique_ptr<Secret>> secrets_;  // newest first, never empty
};

// A user part that stands for a URI behind one of our legs (rewrite_contact of
// the seeds):
//
//   "b" base32-lower( SIV( day 2 | transport, leg in 1 | family, leg out 1 |
//                          address 0, 4 or 16, port 2 | URI ) )
//
// Base32 without padding, one spelling only; '@' and the like never occur.
// Common URIs are shortened ("sip:" is left out) so that a normal contact stays
// below 96 characters. Both legs are under the seal: what was shown to one leg
// cannot be made to open another, and the caller refuses what comes in by a leg
// other than `facing`.
//
// A token (but for those of a REGISTER) is good for kDaysMax days, or whoever
// was once shown one could reach its owner for as long as the key is kept. No
// dialog lasts that long without a request that shows a new one (RFC
// 3261 12.2.1.1).
//
// Thread: control only.
class ContactTokens {
 public:
  static constexpr int kDaysMax = 30;
  // `today`: days since 1970, the lower 16 bits.
  explicit ContactTokens(const Keys& keys,
                         std::function<uint16_t()> today = Today)
      : keys_(keys), today_(std::move(today)) {}
  static uint16_t Today();
  struct Contact {
    uint8_t leg = 0;     // behind which it lives
    uint8_t facing = 0;  // the leg it was shown to
    std::string uri;
    // Where its owner was heard, when that is not what the URI says: behind a
    // NAT, or on a connection that the URI does not name.
    std::optional<Peer> heard{};
    // Of a REGISTER, whose registrar knows when it ends: the same every day,
    // and good as long as the key.
    bool lasting = false;
  };
  // "" when it would be longer than kUriOctetsMax, and for no URI.
  // REQUIRES: both legs are below kLegsMax.
  static constexpr uint8_t kLegsMax = 64;
  std::string Make(const Contact& contact) const;
  // nullopt for what is no token of ours, or too old, without distinction.
  std::optional<Contact> Open(std::string_view user) const;

 private:
  const Keys& keys_;
  const std::function<uint16_t()> today_;
};

}  // namespace sluice::sip

#endif  // SLUICE_SIP_KEYS_H_
