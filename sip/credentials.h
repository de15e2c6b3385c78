#ifndef SLUICE_SIP_CREDENTIALS_H_
#define SLUICE_SIP_CREDENTIALS_H_

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "sip/digest.h"
#include "sip/message.h"

// How a user agent answers 401 and 407 (RFC 3261 22.2, 22.3) by Digest (RFC
// 7616; RFC 8760: MD5, SHA-256, SHA-512-256; without qop as RFC 2069).
namespace sluice::sip {

struct Login {
  std::string user, password;
};

// Who we are, by realm. Who is asked by a stranger answers a stranger: with one
// login for all realms whoever can challenge us can try passwords on our answer
// at home, so by realm is better where the realms are known. To whom a
// redirection leads, such a login is not shown, unless for a realm that asked
// before; a function decides for itself.
//
// Thread: that of its function; a value.
class Credentials {
 public:
  using Map = std::map<std::string, Login, std::less<>>;
  using Lookup = std::function<std::optional<Login>(std::string_view realm)>;

  Credentials() = default;                              // nobody
  Credentials(std::string user, std::string password);  // in every realm
  explicit Credentials(Map by_realm);   // realms with case, as RFC 7616 3.3
  explicit Credentials(Lookup lookup);  // counts as by realm
  std::optional<Login> Find(std::string_view realm) const;
  bool empty() const { return !lookup_; }  // nobody, anywhere
  bool in_every_realm() const { return in_every_realm_; }

 private:
  Lookup lookup_;
  bool in_every_realm_ = false;
};

// The challenges of one dialog or registration, so that the next request
// carries credentials at once, with nc counted up. Of a login only
// H(user:realm:password) and the user are kept.
//
// One request at a time: a challenge is held against the last Lines. To begin
// anew, assign a new one.
//
// Thread: its owner's; a value.
class Challenges {
 public:
  // What strangers can make us keep and send: realms, and octets of one
  // challenge, of which realm, nonce and opaque come back in each request.
  static constexpr size_t kRealmsMax = 8;
  static constexpr size_t kChallengeOctetsMax = 2048;
  // Challenges of one response that are looked at.
  static constexpr size_t kValuesMax = 32;
  // Answers to one realm without a word of success between them: who says
  // stale=true to each is not answered for ever.
  static constexpr int kAnswersMax = 4;
  static std::string RandomCnonce();  // 128 bits

  explicit Challenges(std::function<std::string()> cnonce = RandomCnonce);

  // Takes what a 401 or 407 asks for; both sorts of challenge of either, as a
  // fork's may have both (16.7 step 7). Of several of one realm the first that
  // we can do: they stand in the server's order (RFC 8760 2.4).
  //
  // `redirected`: somebody else than the user says who asks (RFC 3261 8.1.3.4).
  // Then a login for every realm is not shown to a realm that has not asked
  // before.
  //
  // False when the request would only be refused again: no login for any realm;
  // no algorithm or qop of ours; a realm that refused this login before and
  // does not say stale=true (22.2: a wrong password is said once); kRealmsMax,
  // kAnswersMax reached. Passed over are challenges that are broken, longer
  // than kChallengeOctetsMax or have control octets in what would come back,
  // and qop "auth-int" alone: proxies between us change bodies (we do), so it
  // could not hold what it promises.
  bool Take(const Message& response, const Credentials& who,
            bool redirected = false);
  // A final response that is no challenge came: what is refused from here on is
  // refused anew. Without this, a server whose nonces end but which never says
  // stale is answered once only.
  void Accepted();

  // Authorization and Proxy-Authorization, each with its CRLF, in the order in
  // which the realms came; "" when there is nothing. nc goes up at each call:
  // a retransmission is the same octets, and the ACK of an INVITE carries the
  // lines of the INVITE (22.1). `request_uri`: as it stands in the request.
  std::string Lines(std::string_view method, std::string_view request_uri);
  bool empty() const { return realms_.empty(); }

 private:
  struct Realm {
    bool proxy = false;  // 407's
    std::string name, nonce;
    std::optional<std::string> opaque{};
    DigestAlgorithm algorithm = DigestAlgorithm::kMd5;
    bool named = false;  // the algorithm was
    bool qop = false;    // auth
    bool stale = false;
    // Ours.
    std::string user{}, a1{};
    uint32_t nc = 0;        // last used with this nonce
    bool answered = false;  // by Lines, since Accepted
    bool refused = false;   // and left out of Lines
    int answers = 0;        // challenges taken since Accepted
  };
  static std::optional<Realm> Parse(std::string_view value);
  Realm* Find(bool proxy, std::string_view name);
  bool TakeOne(Realm challenge, const Login& login);

  std::function<std::string()> cnonce_;
  std::vector<Realm> realms_;
};

}  // namespace sluice::sip

#endif  // SLUICE_SIP_CREDENTIALS_H_
