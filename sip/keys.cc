#include "sip/keys.h"

// The plain SHA256 calls: since 3.0 called deprecated, and as supported.
#define OPENSSL_SUPPRESS_DEPRECATED
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/sha.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "base/status_macros.h"
#include "sip/hex.h"
#include "sip/key_file.h"

namespace sluice::sip {
namespace {

constexpr size_t kHashOctets = 32;
constexpr size_t kMacOctets = 16;
constexpr size_t kTagOctets = 16;
constexpr size_t kSealKeyOctets = 64;

using Hash = std::array<unsigned char, kHashOctets>;

struct Freer {
  void operator()(EVP_CIPHER* p) const { EVP_CIPHER_free(p); }
  void operator()(EVP_CIPHER_CTX* p) const { EVP_CIPHER_CTX_free(p); }
};
template <typename T>
using Owned = std::unique_ptr<T, Freer>;

const unsigned char* Octets(std::string_view text) {
  return reinterpret_cast<const unsigned char*>(text.data());
}
unsigned char* Octets(std::string* text) {
  return reinterpret_cast<unsigned char*>(text->data());
}

// Lengths of what goes through here are those of SIP messages.
int Length(std::string_view text) {
  CHECK(text.size() <= INT32_MAX);
  return static_cast<int>(text.size());
}

// An HMAC-SHA-256 (RFC 2104) with its key in it: the states in which the two
// hashes have taken in the key are kept, and copied for each. The library's own
// HMAC does the same behind three layers of look-ups and allocations, which for
// the few octets of a branch cost more than the hashing.
class Hmac {
 public:
  Hmac(const unsigned char* key, size_t octets) {
    std::array<unsigned char, kBlockOctets> pad{};
    if (octets > pad.size()) {
      SHA256(key, octets, pad.data());
    } else {
      std::memcpy(pad.data(), key, octets);
    }
    Begin(pad, 0x36, &inner_);
    Begin(pad, 0x5c, &outer_);
    OPENSSL_cleanse(pad.data(), pad.size());
  }
  ~Hmac() {
    OPENSSL_cleanse(&inner_, sizeof(inner_));
    OPENSSL_cleanse(&outer_, sizeof(outer_));
  }
  // Over the parts, each behind its length.
  Hash Of(std::string_view purpose,
          absl::Span<const std::string_view> parts) const {
    SHA256_CTX sha = inner_;
    Feeder feeder(&sha);
    feeder.Add(purpose);
    for (const std::string_view part : parts) feeder.Add(part);
    feeder.Flush();
    Hash hash;
    CHECK(SHA256_Final(hash.data(), &sha) == 1);
    sha = outer_;
    CHECK(SHA256_Update(&sha, hash.data(), hash.size()) == 1);
    CHECK(SHA256_Final(hash.data(), &sha) == 1);
    return hash;
  }

 private:
  static constexpr size_t kBlockOctets = 64;

  static void Begin(std::array<unsigned char, kBlockOctets> pad,
                    unsigned char with, SHA256_CTX* sha) {
    for (unsigned char& octet : pad) octet ^= with;
    CHECK(SHA256_Init(sha) == 1);
    CHECK(SHA256_Update(sha, pad.data(), pad.size()) == 1);
    OPENSSL_cleanse(pad.data(), pad.size());
  }
  // Each part behind its length. Gathered, as most parts are short and the
  // library's call costs more than they do.
  class Feeder {
   public:
    explicit Feeder(SHA256_CTX* sha) : sha_(sha) {}
    void Add(std::string_view part) {
      char length[4];
      for (int i = 0; i < 4; ++i) {
        length[i] = static_cast<char>(part.size() >> (24 - 8 * i));
      }
      Put({length, sizeof(length)});
      Put(part);
    }
    void Flush() {
      CHECK(SHA256_Update(sha_, gathered_, size_) == 1);
      size_ = 0;
    }

   private:
    void Put(std::string_view octets) {
      if (octets.size() > sizeof(gathered_) - size_) Flush();
      if (octets.size() > sizeof(gathered_)) {
        CHECK(SHA256_Update(sha_, octets.data(), octets.size()) == 1);
        return;
      }
      std::copy(octets.begin(), octets.end(), gathered_ + size_);
      size_ += octets.size();
    }

    SHA256_CTX* const sha_;
    size_t size_ = 0;
    char gathered_[512];
  };

  SHA256_CTX inner_, outer_;
};

HexText<kMacOctets> ToMac(const Hash& hash) {
  return HexText<kMacOctets>(hash.data());
}

// Purpose and context as one string that no other two give.
std::string AssociatedData(std::string_view purpose, std::string_view context) {
  return absl::StrCat(purpose.size(), ":",
                      absl::string_view(purpose.data(), purpose.size()),
                      absl::string_view(context.data(), context.size()));
}

}  // namespace

// What is derived from one secret. Each use has a key of its own, so nothing
// that one use lets out says anything about another.
class Keys::Secret {
 public:
  explicit Secret(std::string_view raw)
      : root_(Octets(raw), raw.size()), mac_(MakeMac(root_)) {
    Hash halves[2] = {root_.Of("seal", {"1"}), root_.Of("seal", {"2"})};
    unsigned char key[kSealKeyOctets];
    std::memcpy(key, halves[0].data(), kHashOctets);
    std::memcpy(key + kHashOctets, halves[1].data(), kHashOctets);
    const Owned<EVP_CIPHER> siv(
        EVP_CIPHER_fetch(nullptr, "AES-256-SIV", nullptr));
    sealer_.reset(EVP_CIPHER_CTX_new());
    opener_.reset(EVP_CIPHER_CTX_new());
    work_.reset(EVP_CIPHER_CTX_new());
    CHECK(siv != nullptr && sealer_ != nullptr && opener_ != nullptr &&
          work_ != nullptr);
    CHECK(EVP_CIPHER_get_key_length(siv.get()) == sizeof(key));
    CHECK(EVP_EncryptInit_ex2(sealer_.get(), siv.get(), key, nullptr,
                              nullptr) == 1);
    CHECK(EVP_DecryptInit_ex2(opener_.get(), siv.get(), key, nullptr,
                              nullptr) == 1);
    OPENSSL_cleanse(key, sizeof(key));
    OPENSSL_cleanse(halves, sizeof(halves));
  }

  Hash Mac(std::string_view purpose,
           absl::Span<const std::string_view> parts) const {
    return mac_.Of(purpose, parts);
  }

  Hash Derive(std::string_view purpose) const {
    return root_.Of("derive", {purpose});
  }

  std::string Seal(std::string_view associated, std::string_view plain) const {
    // A keyed state serves one message; copying it is cheaper than keying.
    CHECK(EVP_CIPHER_CTX_copy(work_.get(), sealer_.get()) == 1);
    std::string sealed(kTagOctets + plain.size(), '\0');
    int octets = 0;
    CHECK(EVP_EncryptUpdate(work_.get(), nullptr, &octets, Octets(associated),
                            Length(associated)) == 1);
    CHECK(EVP_EncryptUpdate(work_.get(), Octets(&sealed) + kTagOctets, &octets,
                            Octets(plain), Length(plain)) == 1);
    CHECK(static_cast<size_t>(octets) == plain.size());
    int rest = 0;
    CHECK(EVP_EncryptFinal_ex(work_.get(), nullptr, &rest) == 1);
    CHECK(EVP_CIPHER_CTX_ctrl(work_.get(), EVP_CTRL_AEAD_GET_TAG, kTagOctets,
                              sealed.data()) == 1);
    return sealed;
  }

  // REQUIRES: sealed.size() > kTagOctets.
  std::optional<std::string> Open(std::string_view associated,
                                  std::string_view sealed) const {
    CHECK(EVP_CIPHER_CTX_copy(work_.get(), opener_.get()) == 1);
    std::string tag(sealed.substr(0, kTagOctets));
    const std::string_view hidden = sealed.substr(kTagOctets);
    CHECK(EVP_CIPHER_CTX_ctrl(work_.get(), EVP_CTRL_AEAD_SET_TAG, kTagOctets,
                              tag.data()) == 1);
    std::string plain(hidden.size(), '\0');
    int octets = 0;
    CHECK(EVP_DecryptUpdate(work_.get(), nullptr, &octets, Octets(associated),
                            Length(associated)) == 1);
    int rest = 0;
    if (EVP_DecryptUpdate(work_.get(), Octets(&plain), &octets, Octets(hidden),
                          Length(hidden)) != 1 ||
        EVP_DecryptFinal_ex(work_.get(), nullptr, &rest) != 1) {
      return std::nullopt;
    }
    return plain;
  }

 private:
  static Hmac MakeMac(const Hmac& root) {
    Hash key = root.Of("mac", {});
    const Hmac mac(key.data(), key.size());
    OPENSSL_cleanse(key.data(), key.size());
    return mac;
  }

  const Hmac root_;
  const Hmac mac_;
  Owned<EVP_CIPHER_CTX> sealer_;  // keyed, never used but to be copied
  Owned<EVP_CIPHER_CTX> opener_;
  Owned<EVP_CIPHER_CTX> work_;
};

Keys::Keys() = default;
Keys::Keys(Keys&&) noexcept = default;
Keys& Keys::operator=(Keys&&) noexcept = default;
Keys::~Keys() = default;

absl::StatusOr<Keys> Keys::Load(const std::string& path) {
  ASSIGN_OR_RETURN(std::vector<std::string> secrets,
                   path.empty() ? NewSecrets() : LoadKeyFile(path));
  Keys keys = FromSecrets(secrets);
  for (std::string& secret : secrets) {
    OPENSSL_cleanse(secret.data(), secret.size());
  }
  return keys;
}

Keys Keys::FromSecrets(const std::vector<std::string>& secrets) {
  CHECK(!secrets.empty() && secrets.size() <= kKeysMax);
  Keys keys;
  for (const std::string& secret : secrets) {
    CHECK(!secret.empty());
    keys.secrets_.push_back(std::make_unique<Secret>(secret));
  }
  return keys;
}

std::string Keys::Mac(std::string_view purpose,
                      absl::Span<const std::string_view> parts) const {
  return std::string(ToMac(secrets_.front()->Mac(purpose, parts)).text());
}

bool Keys::IsMac(std::string_view mac, std::string_view purpose,
                 absl::Span<const std::string_view> parts) const {
  if (mac.size() != 2 * kMacOctets) return false;
  bool is = false;
  for (const auto& secret : secrets_) {
    const auto expected = ToMac(secret->Mac(purpose, parts));
    is |= CRYPTO_memcmp(expected.text().data(), mac.data(), mac.size()) == 0;
  }
  return is;
}

std::string Keys::Seal(std::string_view purpose, std::string_view context,
                       std::string_view plain) const {
  if (plain.empty()) return "";
  return secrets_.front()->Seal(AssociatedData(purpose, context), plain);
}

std::optional<std::string> Keys::Open(std::string_view purpose,
                                      std::string_view context,
                                      std::string_view sealed) const {
  if (sealed.size() <= kTagOctets) return std::nullopt;
  const std::string associated = AssociatedData(purpose, context);
  for (const auto& secret : secrets_) {
    if (auto plain = secret->Open(associated, sealed)) return plain;
  }
  return std::nullopt;
}

std::string Keys::Derive(std::string_view purpose) const {
  const Hash hash = secrets_.front()->Derive(purpose);
  return std::string(hash.begin(), hash.end());
}

}  // namespace sluice::sip
