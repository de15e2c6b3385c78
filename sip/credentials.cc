#include "sip/credentials.h"

#include <openssl/rand.h>

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "base/text.h"
#include "sip/cursor.h"
#include "sip/fields.h"
#include "sip/hex.h"

namespace sluice::sip {
namespace {

// Behind a backslash a quoted string may hold any of these (RFC 3261 25.1), and
// a fold's line end without one. Nobody needs them, and a line end of a
// stranger's has no business in a header of ours.
bool HasControl(std::string_view text) {
  return std::any_of(text.begin(), text.end(), [](char c) {
    return static_cast<uint8_t>(c) < ' ' || c == '\x7f';
  });
}

// Whether the list of a challenge's qop has it.
bool HasOption(std::string_view list, std::string_view wanted) {
  while (!list.empty()) {
    const size_t comma = std::min(list.find(','), list.size());
    if (EqualsNoCase(Trim(list.substr(0, comma)), wanted)) return true;
    list.remove_prefix(std::min(comma + 1, list.size()));
  }
  return false;
}

// Eight digits (RFC 7616 3.4).
HexText<4> NcText(uint32_t nc) {
  const uint8_t octets[] = {
      static_cast<uint8_t>(nc >> 24), static_cast<uint8_t>(nc >> 16),
      static_cast<uint8_t>(nc >> 8), static_cast<uint8_t>(nc)};
  return HexText<4>(octets);
}

}  // namespace

Credentials::Credentials(std::string user, std::string password)
    : lookup_([login = Login{std::move(user), std::move(password)}](
                  std::string_view) { return login; }),
      in_every_realm_(true) {}

Credentials::Credentials(Map by_realm) {
  if (by_realm.empty()) return;
  lookup_ = [map = std::move(by_realm)](
                std::string_view realm) -> std::optional<Login> {
    const auto found = map.find(realm);
    if (found == map.end()) return std::nullopt;
    return found->second;
  };
}

Credentials::Credentials(Lookup lookup) : lookup_(std::move(lookup)) {}

std::optional<Login> Credentials::Find(std::string_view realm) const {
  if (!lookup_) return std::nullopt;
  return lookup_(realm);
}

std::string Challenges::RandomCnonce() {
  uint8_t octets[16];
  CHECK(RAND_bytes(octets, sizeof(octets)) == 1);
  return std::string(HexText<sizeof(octets)>(octets).text());
}

Challenges::Challenges(std::function<std::string()> cnonce)
    : cnonce_(std::move(cnonce)) {}

// nullopt for what we cannot answer, or will not.
std::optional<Challenges::Realm> Challenges::Parse(std::string_view value) {
  if (value.size() > kChallengeOctetsMax) return std::nullopt;
  const auto auth = AuthValue::Parse(value);
  if (!auth || !EqualsNoCase(auth->scheme, "Digest")) return std::nullopt;
  const auto realm = auth->Get("realm");
  const auto nonce = auth->Get("nonce");
  if (!realm || !nonce || nonce->empty()) return std::nullopt;
  const auto opaque = auth->Get("opaque");
  if (HasControl(*realm) || HasControl(*nonce) ||
      HasControl(opaque.value_or(""))) {
    return std::nullopt;
  }
  const auto name = auth->Get("algorithm");
  const auto algorithm = DigestAlgorithmOf(name.value_or("MD5"));
  // The library may have been built, or told, to be without it.
  if (!algorithm || DigestHex(*algorithm, "").empty()) return std::nullopt;
  const std::string qop = auth->Get("qop").value_or("");
  if (!qop.empty() && !HasOption(qop, "auth")) return std::nullopt;
  return Realm{.name = *realm,
               .nonce = *nonce,
               .opaque = opaque,
               .algorithm = *algorithm,
               .named = name.has_value(),
               .qop = !qop.empty(),
               .stale = EqualsNoCase(auth->Get("stale").value_or(""), "true")};
}

Challenges::Realm* Challenges::Find(bool proxy, std::string_view name) {
  const auto known =
      std::find_if(realms_.begin(), realms_.end(), [&](const Realm& realm) {
        return realm.proxy == proxy && realm.name == name;
      });
  return known == realms_.end() ? nullptr : &*known;
}

bool Challenges::Take(const Message& response, const Credentials& who,
                      bool redirected) {
  if (response.status() != 401 && response.status() != 407) return false;
  bool any = false;
  size_t values = 0;
  std::vector<std::pair<bool, std::string>> seen;
  for (const Header& header : response.headers()) {
    const bool proxy = header.id == HeaderId::kProxyAuthenticate;
    if (!proxy && header.id != HeaderId::kWwwAuthenticate) continue;
    if (++values > kValuesMax) break;
    auto challenge = Parse(header.value);
    if (!challenge) continue;
    // The first of each realm decides, and its login is asked for once.
    std::pair<bool, std::string> key(proxy, challenge->name);
    if (std::find(seen.begin(), seen.end(), key) != seen.end()) continue;
    seen.push_back(std::move(key));
    if (redirected && who.in_every_realm() &&
        Find(proxy, challenge->name) == nullptr) {
      continue;
    }
    const std::optional<Login> login = who.Find(challenge->name);
    if (!login || HasControl(login->user)) continue;
    challenge->proxy = proxy;
    any |= TakeOne(*std::move(challenge), *login);
  }
  return any;
}

bool Challenges::TakeOne(Realm challenge, const Login& login) {
  challenge.user = login.user;
  challenge.a1 =
      DigestA1(challenge.algorithm, login.user, challenge.name, login.password);
  Realm* const known = Find(challenge.proxy, challenge.name);
  if (known == nullptr) {
    if (realms_.size() == kRealmsMax) return false;
    challenge.answers = 1;
    realms_.push_back(std::move(challenge));
    return true;
  }
  if (known->answered) {
    // With the algorithm of then, or the same password would look like another.
    const bool same_login = known->user == login.user &&
                            known->a1 == DigestA1(known->algorithm, login.user,
                                                  known->name, login.password);
    // Stale is what an old nonce is: the very same one is not.
    const bool stale =
        challenge.stale && !known->refused && challenge.nonce != known->nonce;
    if ((same_login && !stale) || known->answers >= kAnswersMax) {
      known->refused = true;
      return false;
    }
  }
  challenge.answers = known->answers + (known->answered ? 1 : 0);
  *known = std::move(challenge);
  return true;
}

void Challenges::Accepted() {
  realms_.erase(std::remove_if(realms_.begin(), realms_.end(),
                               [](const Realm& r) { return r.refused; }),
                realms_.end());
  for (Realm& realm : realms_) {
    realm.answered = false;
    realm.answers = 0;
  }
}

std::string Challenges::Lines(std::string_view method,
                              std::string_view request_uri) {
  std::string lines;
  for (Realm& realm : realms_) {
    if (realm.refused) continue;
    realm.answered = true;
    ++realm.nc;
    const auto nc = NcText(realm.nc);
    const std::string cnonce = realm.qop ? cnonce_() : "";
    const std::string response =
        DigestResponse(realm.algorithm, realm.a1, realm.nonce,
                       realm.qop ? nc.text() : std::string_view(), cnonce,
                       method, request_uri);
    Append(&lines,
           NameOf(realm.proxy ? HeaderId::kProxyAuthorization
                              : HeaderId::kAuthorization),
           ": Digest username=", Quote(realm.user),
           ", realm=", Quote(realm.name), ", nonce=", Quote(realm.nonce),
           ", uri=", Quote(request_uri), ", response=\"", response, "\"");
    if (realm.named) Append(&lines, ", algorithm=", NameOf(realm.algorithm));
    if (realm.opaque) Append(&lines, ", opaque=", Quote(*realm.opaque));
    if (realm.qop) {
      Append(&lines, ", qop=auth, nc=", nc.text(), ", cnonce=", Quote(cnonce));
    }
    lines += "\r\n";
  }
  return lines;
}

}  // namespace sluice::sip
