#ifndef SLUICE_SIP_DIGEST_H_
#define SLUICE_SIP_DIGEST_H_

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/types.h"
#include "sip/fields.h"

namespace sluice::sip {

// RFC 7616, RFC 8760.
enum class DigestAlgorithm : uint8_t { kMd5, kSha256, kSha512_256 };
std::string_view NameOf(DigestAlgorithm algorithm);  // "MD5", "SHA-256", ...
std::optional<DigestAlgorithm> DigestAlgorithmOf(std::string_view name);
// Lower-case hexadecimal of the hash; "" where the system's OpenSSL has none of
// that algorithm (MD5 on a FIPS machine).
std::string DigestHex(DigestAlgorithm algorithm, std::string_view octets);
// H(user:realm:password).
std::string DigestA1(DigestAlgorithm algorithm, std::string_view user,
                     std::string_view realm, std::string_view password);
// The answer to a challenge with qop=auth (RFC 7616 3.4.1); without qop when
// `nc` is empty (RFC 2069). `nc` goes in as it was written.
std::string DigestResponse(DigestAlgorithm algorithm, std::string_view a1,
                           std::string_view nonce, std::string_view nc,
                           std::string_view cnonce, std::string_view method,
                           std::string_view uri);

// Nonces that need no memory to be recognised, and a bounded one against
// replays (security P10):
//
//   base64url( issue time 6 | instance 4 | counter 4 | MAC 16 ), 40 characters
//
// The time is in milliseconds, the MAC the first half of HMAC-SHA-256(key, what
// is before it | realm). `instance` is drawn at random for each book, because
// what was used up is not remembered past its end: a nonce of another instance
// (before a restart, or of another node with the same key) is stale.
//
// A nonce is good for `ttl`; its nc must grow: the highest seen is kept for at
// most kNoncesMax nonces in their lifetime. When that table is full, the oldest
// goes and whatever came before it is stale.
//
// Thread: control only.
class NonceBook {
 public:
  static constexpr size_t kNoncesMax = 65'536;
  static constexpr size_t kKeyOctetsMin = 32;
  enum class Verdict : uint8_t { kGood, kStale, kForged, kReplayed };

  // REQUIRES: `key` has at least kKeyOctetsMin octets.
  NonceBook(std::string key, Micros ttl);
  std::string Make(std::string_view realm, Micros now);
  // `nc`: of the credentials, 1 at least; kReplayed when it is not above the
  // last. To be asked after the response has been found right, so that a
  // stranger cannot use up a nonce.
  //
  // `transaction`: what a request has in common with its retransmissions (and
  // an INVITE with its ACK), with which the last nc is good again; "" : nothing
  // has. It should hold the source's address beside Call-ID and CSeq number, or
  // a replay from elsewhere would be taken for a retransmission.
  Verdict Check(std::string_view nonce, std::string_view realm, uint32_t nc,
                Micros now, std::string_view transaction = {});
  // Without using it: is it ours and young enough?
  Verdict Peek(std::string_view nonce, std::string_view realm,
               Micros now) const;

 private:
  struct Impl;
  std::shared_ptr<Impl> impl_;
};

// Who may log in: a file of user:realm:secret lines, or an SQLite table.
//
//   alice:example.com:wonderland
//   bob:example.com:{SHA-256}0a1b...   H(user:realm:password), so no password
//   carol:example.com:{MD5}2c3d...
//
// One line a user, realm and algorithm; a plain password serves all algorithms.
// Empty lines and those that begin with # are nothing. The file must not be
// readable by others nor writable by its group (0600 or 0640). Plain passwords
// are turned into hashes as they are read and are not kept.
//
// "sqlite:FILE" opens a database with a table users(user, realm, algorithm, a1)
// instead, under the same rule. It is asked anew each time, on the loop: with
// an index that begins with user and realm about 8 us a question of 100,000
// users (99 of 100 below 25 us), the file being in the page cache. Without one
// 5 ms, for which all calls would wait: refused beyond kUnindexedMax rows. It
// waits for nobody's lock. What it cannot answer is as if the user were not
// there, with a line in the log.
//
// Thread: control only.
class UserStore {
 public:
  virtual ~UserStore() = default;
  static constexpr size_t kFileOctetsMax = 64 * 1024 * 1024;
  static constexpr int kUnindexedMax = 1'000;
  // InvalidArgument (with FILE:LINE, or what is wrong with the database),
  // PermissionDenied (mode), NotFound, ResourceExhausted (kFileOctetsMax).
  static absl::StatusOr<std::unique_ptr<UserStore>> Open(
      const std::string& where);
  // nullopt: no such user there, or none for this algorithm.
  virtual std::optional<std::string> A1(std::string_view user,
                                        std::string_view realm,
                                        DigestAlgorithm algorithm) = 0;
};

// What a request's credentials are worth.
struct DigestCheck {
  enum class Result : uint8_t {
    kOk,
    kNone,   // no credentials for this realm
    kStale,  // right, but the nonce is old or used up: challenge again with
             // stale=true
    kWrong,  // anything else; why is told to nobody
  };
  Result result = Result::kNone;
  std::string user{};  // kOk only
};

class Digest {
 public:
  struct Options {
    std::string realm;
    std::string opaque{};
    std::vector<DigestAlgorithm> algorithms{DigestAlgorithm::kSha256,
                                            DigestAlgorithm::kMd5};
    bool allow_rfc2069 = false;  // answers without qop, each nonce once
  };
  Digest(Options options, UserStore& users, NonceBook& nonces);

  // The values of WWW-/Proxy-Authenticate, one an algorithm, in the order of
  // Options (RFC 8760 2.3: the one that is wanted most first), with one nonce.
  std::vector<std::string> Challenges(bool stale, Micros now);
  // `values`: every Authorization (or Proxy-Authorization) of the request.
  // Their uri must be the Request-URI, or one that RFC 3261 19.1.4 finds equal
  // to it (RFC 7616 3.4.6). `transaction`: see NonceBook::Check. Constant time
  // in the comparison, and for users that there are not.
  template <typename Values>
  DigestCheck Check(const Values& values, std::string_view method,
                    std::string_view request_uri, Micros now,
                    std::string_view transaction = {}) {
    DigestCheck best;
    for (std::string_view value : values) {
      DigestCheck check =
          CheckOne(value, method, request_uri, now, transaction);
      if (check.result == DigestCheck::Result::kOk) return check;
      if (check.result > best.result) best = check;
    }
    return best;
  }
  // Whether a value names our realm: such are taken out before forwarding.
  bool IsOurs(std::string_view value) const;

 private:
  DigestCheck CheckOne(std::string_view value, std::string_view method,
                       std::string_view request_uri, Micros now,
                       std::string_view transaction);

  const Options options_;
  UserStore& users_;
  NonceBook& nonces_;
};

}  // namespace sluice::sip

#endif  // SLUICE_SIP_DIGEST_H_
