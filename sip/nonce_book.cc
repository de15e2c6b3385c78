#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <openssl/rand.h>

#include <array>
#include <compare>
#include <cstring>
#include <map>
#include <utility>

#include "base/check.h"
#include "sip/digest.h"

namespace sluice::sip {
namespace {

constexpr size_t kTimeOctets = 6;
constexpr size_t kInstanceOctets = 4;
constexpr size_t kCounterOctets = 4;
constexpr size_t kMacOctets = 16;
constexpr size_t kClearOctets = kTimeOctets + kInstanceOctets + kCounterOctets;
constexpr size_t kNonceOctets = kClearOctets + kMacOctets;
// No bits are left over, so a nonce has one spelling.
static_assert(kNonceOctets % 3 == 0);
constexpr size_t kNonceCharacters = kNonceOctets / 3 * 4;

// RFC 4648 5.
constexpr char kBase64Url[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
constexpr std::array<int8_t, 256> kFromBase64Url = [] {
  std::array<int8_t, 256> from{};
  for (int8_t& value : from) value = -1;
  for (int8_t i = 0; i < 64; ++i) {
    from[static_cast<uint8_t>(kBase64Url[i])] = i;
  }
  return from;
}();

using NonceOctets = std::array<uint8_t, kNonceOctets>;

std::string Encode(const NonceOctets& octets) {
  std::string text;
  text.reserve(kNonceCharacters);
  for (size_t i = 0; i < octets.size(); i += 3) {
    const uint32_t bits = uint32_t{octets[i]} << 16 |
                          uint32_t{octets[i + 1]} << 8 | octets[i + 2];
    for (const int shift : {18, 12, 6, 0}) {
      text += kBase64Url[(bits >> shift) & 63];
    }
  }
  return text;
}

bool Decode(std::string_view text, NonceOctets* octets) {
  if (text.size() != kNonceCharacters) return false;
  for (size_t i = 0, out = 0; i < text.size(); i += 4) {
    uint32_t bits = 0;
    for (size_t k = 0; k < 4; ++k) {
      const int value = kFromBase64Url[static_cast<uint8_t>(text[i + k])];
      if (value < 0) return false;
      bits = bits << 6 | static_cast<uint32_t>(value);
    }
    for (const int shift : {16, 8, 0}) {
      (*octets)[out++] = static_cast<uint8_t>(bits >> shift);
    }
  }
  return true;
}

void PutBigEndian(uint64_t value, size_t octets, uint8_t* out) {
  for (size_t i = octets; i > 0; --i, value >>= 8) {
    out[i - 1] = static_cast<uint8_t>(value);
  }
}

uint64_t GetBigEndian(const uint8_t* in, size_t octets) {
  uint64_t value = 0;
  for (size_t i = 0; i < octets; ++i) value = value << 8 | in[i];
  return value;
}

struct FreeMac {
  void operator()(EVP_MAC_CTX* context) const { EVP_MAC_CTX_free(context); }
};

}  // namespace

struct NonceBook::Impl {
  // When it was made, and its number: in the order of making.
  struct Id {
    int64_t time_ms = -1;
    uint32_t counter = 0;
    friend auto operator<=>(const Id&, const Id&) = default;
  };
  struct Use {
    uint32_t nc = 0;           // the highest
    uint64_t transaction = 0;  // keyed hash of the one that brought it; 0 none
  };

  Micros ttl;
  uint32_t instance = 0;
  uint32_t counter = 0;
  std::unique_ptr<EVP_MAC_CTX, FreeMac> mac;
  // At most kNoncesMax; a nonce that is not here and is not below `forgotten`
  // has not been used.
  std::map<Id, Use> used;
  Id forgotten{};

  // The first `size` octets of HMAC-SHA-256 over the two.
  void Mac(std::string_view first, std::string_view second, size_t size,
           uint8_t* out) const {
    uint8_t whole[32];
    size_t length = 0;
    const auto update = [this](std::string_view text) {
      return EVP_MAC_update(mac.get(),
                            reinterpret_cast<const uint8_t*>(text.data()),
                            text.size()) == 1;
    };
    // With the key it already has.
    CHECK(EVP_MAC_init(mac.get(), nullptr, 0, nullptr) == 1);
    CHECK(update(first) && update(second));
    CHECK(EVP_MAC_final(mac.get(), whole, &length, sizeof(whole)) == 1);
    CHECK(length == sizeof(whole) && size <= length);
    std::memcpy(out, whole, size);
  }

  void MacOfNonce(const NonceOctets& octets, std::string_view realm,
                  uint8_t* out) const {
    Mac({reinterpret_cast<const char*>(octets.data()), kClearOctets}, realm,
        kMacOctets, out);
  }

  uint64_t HashOf(std::string_view transaction) const {
    if (transaction.empty()) return 0;
    uint8_t octets[8];
    Mac("transaction", transaction, sizeof(octets), octets);
    return GetBigEndian(octets, sizeof(octets)) | 1;
  }

  bool IsOver(int64_t time_ms, Micros now) const {
    return now - Micros::Millis(time_ms) > ttl;
  }

  Verdict Judge(std::string_view nonce, std::string_view realm, Micros now,
                Id* id) const {
    NonceOctets octets;
    uint8_t expected[kMacOctets];
    if (!Decode(nonce, &octets)) return Verdict::kForged;
    MacOfNonce(octets, realm, expected);
    if (CRYPTO_memcmp(expected, octets.data() + kClearOctets, kMacOctets) !=
        0) {
      return Verdict::kForged;
    }
    const uint8_t* at = octets.data();
    id->time_ms = static_cast<int64_t>(GetBigEndian(at, kTimeOctets));
    at += kTimeOctets;
    const bool of_this = GetBigEndian(at, kInstanceOctets) == instance;
    at += kInstanceOctets;
    id->counter = static_cast<uint32_t>(GetBigEndian(at, kCounterOctets));
    if (!of_this || Micros::Millis(id->time_ms) > now ||
        IsOver(id->time_ms, now) || *id <= forgotten) {
      return Verdict::kStale;
    }
    return Verdict::kGood;
  }
};

NonceBook::NonceBook(std::string key, Micros ttl)
    : impl_(std::make_shared<Impl>()) {
  CHECK(key.size() >= kKeyOctetsMin);
  impl_->ttl = ttl;
  EVP_MAC* hmac = EVP_MAC_fetch(nullptr, "HMAC", nullptr);
  CHECK(hmac != nullptr);
  impl_->mac.reset(EVP_MAC_CTX_new(hmac));
  EVP_MAC_free(hmac);
  CHECK(impl_->mac != nullptr);
  char digest[] = "SHA2-256";
  const OSSL_PARAM params[] = {
      OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
      OSSL_PARAM_construct_end()};
  CHECK(EVP_MAC_init(impl_->mac.get(),
                     reinterpret_cast<const uint8_t*>(key.data()), key.size(),
                     params) == 1);
  OPENSSL_cleanse(key.data(), key.size());
  CHECK(RAND_bytes(reinterpret_cast<uint8_t*>(&impl_->instance),
                   sizeof(impl_->instance)) == 1);
}

std::string NonceBook::Make(std::string_view realm, Micros now) {
  NonceOctets octets;
  uint8_t* at = octets.data();
  PutBigEndian(static_cast<uint64_t>(now.us() / 1000), kTimeOctets, at);
  at += kTimeOctets;
  PutBigEndian(impl_->instance, kInstanceOctets, at);
  at += kInstanceOctets;
  PutBigEndian(++impl_->counter, kCounterOctets, at);
  impl_->MacOfNonce(octets, realm, octets.data() + kClearOctets);
  return Encode(octets);
}

NonceBook::Verdict NonceBook::Peek(std::string_view nonce,
                                   std::string_view realm, Micros now) const {
  Impl::Id id;
  return impl_->Judge(nonce, realm, now, &id);
}

NonceBook::Verdict NonceBook::Check(std::string_view nonce,
                                    std::string_view realm, uint32_t nc,
                                    Micros now, std::string_view transaction) {
  Impl::Id id;
  const Verdict verdict = impl_->Judge(nonce, realm, now, &id);
  if (verdict != Verdict::kGood) return verdict;
  if (nc == 0) return Verdict::kReplayed;

  auto& used = impl_->used;
  while (!used.empty() && impl_->IsOver(used.begin()->first.time_ms, now)) {
    used.erase(used.begin());
  }
  const uint64_t hash = impl_->HashOf(transaction);
  const auto known = used.find(id);
  if (known != used.end()) {
    Impl::Use& use = known->second;
    if (nc == use.nc && hash != 0 && hash == use.transaction) {
      return Verdict::kGood;
    }
    if (nc <= use.nc) return Verdict::kReplayed;
    use = {.nc = nc, .transaction = hash};
    return Verdict::kGood;
  }
  if (used.size() == kNoncesMax) {
    // Whichever is the oldest goes, be it this one.
    if (id < used.begin()->first) return Verdict::kStale;
    impl_->forgotten = used.begin()->first;
    used.erase(used.begin());
  }
  used.emplace(id, Impl::Use{.nc = nc, .transaction = hash});
  return Verdict::kGood;
}

}  // namespace sluice::sip
