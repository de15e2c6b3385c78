#include "sip/digest.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>

#include <algorithm>
#include <initializer_list>
#include <utility>

#include "base/text.h"
#include "sip/cursor.h"
#include "sip/uri.h"

namespace sluice::sip {
namespace {

constexpr DigestAlgorithm kAlgorithms[] = {DigestAlgorithm::kMd5,
                                           DigestAlgorithm::kSha256,
                                           DigestAlgorithm::kSha512_256};

// Looked up once: OpenSSL 3 searches its providers each time it is asked by
// name. nullptr where it has none.
const EVP_MD* MdOf(DigestAlgorithm algorithm) {
  static const EVP_MD* const kMds[] = {
      EVP_MD_fetch(nullptr, "MD5", nullptr),
      EVP_MD_fetch(nullptr, "SHA2-256", nullptr),
      EVP_MD_fetch(nullptr, "SHA2-512/256", nullptr)};
  return kMds[static_cast<size_t>(algorithm)];
}

struct FreeContext {
  void operator()(EVP_MD_CTX* context) const { EVP_MD_CTX_free(context); }
};

std::string Hex(const unsigned char* octets, size_t size) {
  constexpr char kDigits[] = "0123456789abcdef";
  std::string hex;
  hex.reserve(2 * size);
  for (size_t i = 0; i < size; ++i) {
    hex += kDigits[octets[i] >> 4];
    hex += kDigits[octets[i] & 15];
  }
  return hex;
}

// Of the parts with colons between them.
std::string HashOf(DigestAlgorithm algorithm,
                   std::initializer_list<std::string_view> parts) {
  thread_local const std::unique_ptr<EVP_MD_CTX, FreeContext> context(
      EVP_MD_CTX_new());
  const EVP_MD* md = MdOf(algorithm);
  if (md == nullptr || context == nullptr ||
      EVP_DigestInit_ex2(context.get(), md, nullptr) != 1) {
    return "";
  }
  unsigned char hash[EVP_MAX_MD_SIZE];
  unsigned size = 0;
  bool ok = true;
  for (const std::string_view& part : parts) {
    if (&part != parts.begin()) {
      ok = ok && EVP_DigestUpdate(context.get(), ":", 1) == 1;
    }
    ok = ok && EVP_DigestUpdate(context.get(), part.data(), part.size()) == 1;
  }
  if (!ok || EVP_DigestFinal_ex(context.get(), hash, &size) != 1) return "";
  return Hex(hash, size);
}

// Eight hexadecimal digits (RFC 7616 3.4), at least 1.
std::optional<uint32_t> ParseNc(std::string_view text) {
  uint32_t nc = 0;
  for (const char c : text) {
    const int digit = HexDigit(c);
    if (digit < 0) return std::nullopt;
    nc = (nc << 4) | static_cast<uint32_t>(digit);
  }
  if (text.size() != 8 || nc == 0) return std::nullopt;
  return nc;
}

bool NamesTheSame(std::string_view a, std::string_view b) {
  if (a == b) return true;
  const auto first = Uri::Parse(a);
  const auto second = Uri::Parse(b);
  return first && second && SameUri(*first, *second);
}

// Without letting the time tell where they begin to differ.
bool SameResponse(std::string_view expected, std::string given) {
  for (char& c : given) c = Lower(c);
  return !expected.empty() && expected.size() == given.size() &&
         CRYPTO_memcmp(expected.data(), given.data(), given.size()) == 0;
}

// The parameters of a value of scheme Digest for this realm.
std::optional<AuthValue> ParseFor(std::string_view realm,
                                  std::string_view value) {
  auto auth = AuthValue::Parse(value);
  if (!auth || !EqualsNoCase(auth->scheme, "Digest")) return std::nullopt;
  if (auth->Get("realm") != realm) return std::nullopt;
  return auth;
}

}  // namespace

std::string_view NameOf(DigestAlgorithm algorithm) {
  switch (algorithm) {
    case DigestAlgorithm::kMd5: return "MD5";
    case DigestAlgorithm::kSha256: return "SHA-256";
    case DigestAlgorithm::kSha512_256: return "SHA-512-256";
  }
  return "";
}

std::optional<DigestAlgorithm> DigestAlgorithmOf(std::string_view name) {
  for (const DigestAlgorithm algorithm : kAlgorithms) {
    if (EqualsNoCase(name, NameOf(algorithm))) return algorithm;
  }
  return std::nullopt;
}

std::string DigestHex(DigestAlgorithm algorithm, std::string_view octets) {
  return HashOf(algorithm, {octets});
}

std::string DigestA1(DigestAlgorithm algorithm, std::string_view user,
                     std::string_view realm, std::string_view password) {
  return HashOf(algorithm, {user, realm, password});
}

std::string DigestResponse(DigestAlgorithm algorithm, std::string_view a1,
                           std::string_view nonce, std::string_view nc,
                           std::string_view cnonce, std::string_view method,
                           std::string_view uri) {
  const std::string a2 = HashOf(algorithm, {method, uri});
  if (nc.empty()) return HashOf(algorithm, {a1, nonce, a2});
  return HashOf(algorithm, {a1, nonce, nc, cnonce, "auth", a2});
}

Digest::Digest(Options options, UserStore& users, NonceBook& nonces)
    : options_(std::move(options)), users_(users), nonces_(nonces) {}

std::vector<std::string> Digest::Challenges(bool stale, Micros now) {
  const std::string nonce = nonces_.Make(options_.realm, now);
  std::vector<std::string> challenges;
  for (const DigestAlgorithm algorithm : options_.algorithms) {
    std::string value =
        Cat("Digest realm=", Quote(options_.realm), ", nonce=", Quote(nonce));
    if (!options_.opaque.empty()) {
      Append(&value, ", opaque=", Quote(options_.opaque));
    }
    Append(&value, ", algorithm=", NameOf(algorithm), ", qop=\"auth\"",
           stale ? ", stale=true" : "");
    challenges.push_back(std::move(value));
  }
  return challenges;
}

bool Digest::IsOurs(std::string_view value) const {
  return ParseFor(options_.realm, value).has_value();
}

DigestCheck Digest::CheckOne(std::string_view value, std::string_view method,
                             std::string_view request_uri, Micros now,
                             std::string_view transaction) {
  constexpr DigestCheck::Result kWrong = DigestCheck::Result::kWrong;
  const auto auth = ParseFor(options_.realm, value);
  if (!auth) return {.result = DigestCheck::Result::kNone};

  const auto algorithm =
      DigestAlgorithmOf(auth->Get("algorithm").value_or("MD5"));
  if (!algorithm ||
      std::find(options_.algorithms.begin(), options_.algorithms.end(),
                *algorithm) == options_.algorithms.end()) {
    return {.result = kWrong};
  }
  if (!options_.opaque.empty() && auth->Get("opaque") != options_.opaque) {
    return {.result = kWrong};
  }
  // A hashed user name was not offered (RFC 7616 3.4.4).
  if (EqualsNoCase(auth->Get("userhash").value_or("false"), "true")) {
    return {.result = kWrong};
  }
  const auto user = auth->Get("username");
  const auto nonce = auth->Get("nonce");
  const auto uri = auth->Get("uri");
  const auto response = auth->Get("response");
  if (!user || !nonce || !uri || !response ||
      !NamesTheSame(*uri, request_uri)) {
    return {.result = kWrong};
  }

  std::string nc_text, cnonce;
  uint32_t nc = 1;  // of an answer without qop: each nonce once
  if (const auto qop = auth->Get("qop")) {
    nc_text = auth->Get("nc").value_or("");
    cnonce = auth->Get("cnonce").value_or("");
    const auto number = ParseNc(nc_text);
    if (!EqualsNoCase(*qop, "auth") || !number || cnonce.empty()) {
      return {.result = kWrong};
    }
    nc = *number;
  } else if (!options_.allow_rfc2069) {
    return {.result = kWrong};
  }

  if (nonces_.Peek(*nonce, options_.realm, now) ==
      NonceBook::Verdict::kForged) {
    return {.result = kWrong};
  }

  // The work is the same for a user who is not there: how long the answer takes
  // is not to say who is.
  const auto a1 = users_.A1(*user, options_.realm, *algorithm);
  const std::string expected =
      DigestResponse(*algorithm, a1.value_or(std::string(64, '0')), *nonce,
                     nc_text, cnonce, method, *uri);
  if (!SameResponse(expected, *response) || !a1) return {.result = kWrong};

  if (nonces_.Check(*nonce, options_.realm, nc, now, transaction) !=
      NonceBook::Verdict::kGood) {
    return {.result = DigestCheck::Result::kStale};
  }
  return {.result = DigestCheck::Result::kOk, .user = *user};
}

}  // namespace sluice::sip
