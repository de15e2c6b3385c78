// ContactTokens (sip/keys.h): the octets of a token and their spelling.

#include <array>
#include <cstdint>
#include <ctime>
#include <optional>
#include <string>
#include <string_view>

#include "base/check.h"
#include "sip/keys.h"
#include "sip/message.h"

namespace sluice::sip {
namespace {

constexpr std::string_view kPurpose = "contact";
constexpr char kFirst = 'b';
constexpr std::string_view kAlphabet = "abcdefghijklmnopqrstuvwxyz234567";
constexpr uint8_t kNoDigit = 0xff;
constexpr int kDigitBits = 5;

constexpr std::array<uint8_t, 256> MakeValues() {
  std::array<uint8_t, 256> values{};
  for (uint8_t& value : values) value = kNoDigit;
  for (size_t i = 0; i < kAlphabet.size(); ++i) {
    values[static_cast<uint8_t>(kAlphabet[i])] = static_cast<uint8_t>(i);
  }
  return values;
}
constexpr std::array<uint8_t, 256> kValues = MakeValues();

constexpr size_t Base32Digits(size_t octets) {
  return (octets * 8 + kDigitBits - 1) / kDigitBits;
}

void AppendBase32(std::string_view octets, std::string* out) {
  uint32_t bits = 0;
  int held = 0;
  for (const char c : octets) {
    bits = bits << 8 | static_cast<uint8_t>(c);
    held += 8;
    while (held >= kDigitBits) {
      held -= kDigitBits;
      *out += kAlphabet[bits >> held & 31];
    }
  }
  if (held > 0) *out += kAlphabet[bits << (kDigitBits - held) & 31];
}

// The one text of each list of octets: the bits behind the last octet are 0,
// and there is no digit without a bit of an octet in it.
std::optional<std::string> ParseBase32(std::string_view text) {
  std::string octets;
  octets.reserve(text.size() * kDigitBits / 8);
  uint32_t bits = 0;
  int held = 0;
  for (const char c : text) {
    const uint8_t value = kValues[static_cast<uint8_t>(c)];
    if (value == kNoDigit) return std::nullopt;
    bits = bits << kDigitBits | value;
    held += kDigitBits;
    if (held >= 8) {
      held -= 8;
      octets += static_cast<char>(bits >> held & 0xff);
    }
  }
  if (held >= kDigitBits || (bits & ((1u << held) - 1)) != 0) {
    return std::nullopt;
  }
  return octets;
}

// A URI in short: "sip:" is left out, and whatever has none or would then look
// like the long form is written behind a ':' instead.
constexpr std::string_view kScheme = "sip:";
constexpr char kLong = ':';

std::string Shorten(std::string_view uri) {
  if (uri.starts_with(kScheme)) {
    const std::string_view rest = uri.substr(kScheme.size());
    if (!rest.starts_with(kLong)) return std::string(rest);
  }
  return kLong + std::string(uri);
}

std::string Lengthen(std::string_view text) {
  if (text.starts_with(kLong)) return std::string(text.substr(1));
  return std::string(kScheme) + std::string(text);
}

// In front of the URI: the day, two octets that hold a leg each in their low
// bits, the transport and the family in their high ones, then the address of
// `heard`.
constexpr int kLegBits = 6;
static_assert(ContactTokens::kLegsMax == 1 << kLegBits);
constexpr uint8_t kLegMask = (1 << kLegBits) - 1;
enum Family : uint8_t { kNone = 0, kFour = 1, kSix = 2 };
constexpr size_t kFourAt = 12;  // of the sixteen octets of a v4-mapped address
constexpr size_t kHeadOctets = 4;
constexpr size_t kPortOctets = 2;

std::string HeadOf(uint16_t day, const ContactTokens::Contact& contact) {
  uint8_t transport = 0;
  Family family = kNone;
  std::string address;
  if (contact.heard) {
    transport = static_cast<uint8_t>(contact.heard->transport);
    const IpAddress& ip = contact.heard->address.ip;
    family = ip.is_v4() ? kFour : kSix;
    const auto& octets = ip.octets();
    address.assign(octets.begin() + (family == kFour ? kFourAt : 0),
                   octets.end());
    const uint16_t port = contact.heard->address.port.host();
    address += static_cast<char>(port >> 8);
    address += static_cast<char>(port & 0xff);
  }
  std::string head;
  head += static_cast<char>(day >> 8);
  head += static_cast<char>(day & 0xff);
  head += static_cast<char>(transport << kLegBits | contact.leg);
  head += static_cast<char>(family << kLegBits | contact.facing);
  return head + address;
}

// What HeadOf() wrote; takes it off `plain`. False for anything else.
bool TakeHead(std::string_view* plain, uint16_t* day,
              ContactTokens::Contact* contact) {
  if (plain->size() < kHeadOctets) return false;
  const auto octet = [plain](size_t i) {
    return static_cast<uint8_t>((*plain)[i]);
  };
  *day = static_cast<uint16_t>(octet(0) << 8 | octet(1));
  const uint8_t first = octet(2), second = octet(3);
  plain->remove_prefix(kHeadOctets);
  contact->leg = first & kLegMask;
  contact->facing = second & kLegMask;
  const int family = second >> kLegBits;
  if (family == kNone) return true;
  const size_t at = family == kFour ? kFourAt : 0;
  std::array<uint8_t, 16> octets = IpAddress::V4(0, 0, 0, 0).octets();
  const size_t length = octets.size() - at;
  if (family > kSix || first >> kLegBits > static_cast<int>(Transport::kTls) ||
      plain->size() < length + kPortOctets) {
    return false;
  }
  for (size_t i = 0; i < length; ++i) octets[at + i] = octet(i);
  const uint8_t high = octet(length), low = octet(length + 1);
  plain->remove_prefix(length + kPortOctets);
  contact->heard =
      Peer{.transport = static_cast<Transport>(first >> kLegBits),
           .address = {
               .ip = IpAddress::FromOctets(octets.data()),
               .port = Port::FromHost(static_cast<uint16_t>(high << 8 | low))}};
  return true;
}

// A clock that is a little slow, here or on the node that made it, is no lie.
constexpr int kDaysEarly = 1;

// 1 January 1970, and the same again in 2149.
constexpr uint16_t kNoDay = 0;

bool IsFresh(uint16_t made, uint16_t today) {
  if (made == kNoDay) return true;
  const int age = static_cast<int16_t>(static_cast<uint16_t>(today - made));
  return age >= -kDaysEarly && age <= ContactTokens::kDaysMax;
}

}  // namespace

uint16_t ContactTokens::Today() {
  return static_cast<uint16_t>(std::time(nullptr) / (24 * 60 * 60));
}

std::string ContactTokens::Make(const Contact& contact) const {
  if (contact.uri.empty() || contact.uri.size() > kUriOctetsMax) return "";
  CHECK(contact.leg < kLegsMax && contact.facing < kLegsMax);
  const std::string plain =
      HeadOf(contact.lasting ? kNoDay : today_(), contact) +
      Shorten(contact.uri);
  const std::string sealed = keys_.Seal(kPurpose, "", plain);
  if (1 + Base32Digits(sealed.size()) > kUriOctetsMax) return "";
  std::string token(1, kFirst);
  AppendBase32(sealed, &token);
  return token;
}

std::optional<ContactTokens::Contact> ContactTokens::Open(
    std::string_view user) const {
  if (user.size() > kUriOctetsMax || !user.starts_with(kFirst)) {
    return std::nullopt;
  }
  const std::optional<std::string> sealed = ParseBase32(user.substr(1));
  if (!sealed.has_value()) return std::nullopt;
  const std::optional<std::string> plain = keys_.Open(kPurpose, "", *sealed);
  if (!plain.has_value()) return std::nullopt;
  Contact contact;
  std::string_view rest = *plain;
  uint16_t day = 0;
  if (!TakeHead(&rest, &day, &contact) || !IsFresh(day, today_())) {
    return std::nullopt;
  }
  contact.lasting = day == kNoDay;
  contact.uri = Lengthen(rest);
  return contact;
}

}  // namespace sluice::sip
