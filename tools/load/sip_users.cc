#include "tools/load/sip_users.h"

#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/text.h"
#include "sip/digest.h"
#include "sip/fields.h"

namespace sluice::load {
namespace {

std::string Numbered(std::string_view pattern, uint32_t number) {
  const size_t at = pattern.find("{}");
  if (at == pattern.npos) return std::string(pattern);
  return Cat(pattern.substr(0, at), number, pattern.substr(at + 2));
}

// What would end a URI or a line that it is written into.
bool IsName(std::string_view name) {
  return !name.empty() && name.find_first_of(" \t\r\n<>\"@:;,?{}") == name.npos;
}

}  // namespace

absl::StatusOr<SipUsers> SipUsers::FromPattern(std::string_view name,
                                               std::string_view password,
                                               uint32_t count) {
  if (count == 0 || count > kMax) {
    return absl::InvalidArgumentError(
        absl::StrCat("users: between 1 and ", kMax, " are possible"));
  }
  SipUsers users;
  users.users_.reserve(count);
  for (uint32_t i = 0; i < count; ++i) {
    users.users_.push_back({Numbered(name, i), Numbered(password, i)});
  }
  if (!IsName(users.users_[0].name)) {
    return absl::InvalidArgumentError("--user: not a user's name");
  }
  return users;
}

absl::StatusOr<SipUsers> SipUsers::FromText(std::string_view text) {
  SipUsers users;
  for (uint32_t line_number = 1; !text.empty(); ++line_number) {
    const size_t end = text.find('\n');
    std::string_view line = text.substr(0, end);
    text = end == text.npos ? "" : text.substr(end + 1);
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (line.empty() || line.starts_with('#')) continue;
    const size_t colon = line.find(':');
    SipUser user{std::string(line.substr(0, colon))};
    if (colon != line.npos) user.password = line.substr(colon + 1);
    if (!IsName(user.name) || users.users_.size() == kMax) {
      return absl::InvalidArgumentError(
          absl::StrCat("users, line ", line_number,
                       ": not user or user:password, or one of "
                       "more than ",
                       kMax));
    }
    users.users_.push_back(std::move(user));
  }
  if (users.users_.empty()) return absl::InvalidArgumentError("no users");
  return users;
}

bool PutAuthorization(const SipScan& challenge, const SipUser& user,
                      std::string_view method, std::string_view uri,
                      uint32_t number, std::string* out) {
  const auto value = sip::AuthValue::Parse(challenge.challenge);
  if (!value.has_value() || !EqualsNoCase(value->scheme, "Digest")) {
    return false;
  }
  const auto realm = value->Get("realm");
  const auto nonce = value->Get("nonce");
  if (!realm.has_value() || !nonce.has_value()) return false;
  const auto name = value->Get("algorithm");
  const auto algorithm = name.has_value() ? sip::DigestAlgorithmOf(*name)
                                          : sip::DigestAlgorithm::kMd5;
  if (!algorithm.has_value()) return false;
  const bool qop = value->Get("qop").has_value();
  const std::string_view nc = qop ? "00000001" : "";
  const std::string cnonce = qop ? Cat("c", number) : "";
  const std::string a1 =
      sip::DigestA1(*algorithm, user.name, *realm, user.password);
  const std::string response =
      sip::DigestResponse(*algorithm, a1, *nonce, nc, cnonce, method, uri);
  if (response.empty()) return false;
  Append(out, challenge.status == 407 ? "Proxy-Authorization" : "Authorization",
         ": Digest username=\"", user.name, "\", realm=\"", *realm,
         "\", nonce=\"", *nonce, "\", uri=\"", uri, "\", response=\"", response,
         "\", algorithm=", sip::NameOf(*algorithm));
  if (qop) Append(out, ", qop=auth, nc=", nc, ", cnonce=\"", cnonce, "\"");
  if (const auto opaque = value->Get("opaque"); opaque.has_value()) {
    Append(out, ", opaque=\"", *opaque, "\"");
  }
  out->append("\r\n");
  return true;
}

}  // namespace sluice::load
