#include "sip/authorize.h"

#include <algorithm>

#include "base/text.h"
#include "sip/fields.h"
#include "sip/reply.h"

namespace sluice::sip {

std::optional<Authorize::Filter> Authorize::FilterOf(std::string_view name) {
  if (name == "FromIsRealm") return Filter::kFromIsRealm;
  if (name == "FromIsAuthUser") return Filter::kFromIsAuthUser;
  if (name == "ToIsFrom") return Filter::kToIsFrom;
  return std::nullopt;
}

Authorize::Authorize(Dispatcher& dispatcher, Digest& digest, Options options)
    : dispatcher_(dispatcher), digest_(digest), options_(std::move(options)) {}

bool Authorize::Concerns(const Incoming& in) const {
  const Message& m = in.message;
  if (m.method() == Method::kAck || m.method() == Method::kCancel) return false;
  if (!options_.methods.empty() &&
      std::find(options_.methods.begin(), options_.methods.end(),
                m.method_text()) == options_.methods.end()) {
    return false;
  }
  if (options_.domains.empty()) return true;
  const auto is_of = [&](HeaderId party) {
    const auto address = NameAddr::Parse(m.Value(party));
    return address && MatchDomain(options_.domains, address->uri.host) > 0;
  };
  return is_of(HeaderId::kFrom) ||
         (m.method() == Method::kRegister && is_of(HeaderId::kTo));
}

void Authorize::RemoveCredentials(Incoming& in, HeaderId id) const {
  for (const Header& h : in.message.headers()) {
    if (h.id == id && digest_.IsOurs(h.value)) in.edit.RemoveLine(h);
  }
}

bool Authorize::Holds(Filter filter, const Incoming& in,
                      const std::string& user) const {
  const auto from = NameAddr::Parse(in.message.Value(HeaderId::kFrom));
  const auto to = NameAddr::Parse(in.message.Value(HeaderId::kTo));
  if (!from || !to) return false;
  switch (filter) {
    case Filter::kFromIsRealm:
      return EqualsNoCase(from->uri.host, options_.realm) ||
             (EndsWithNoCase(from->uri.host, Cat(".", options_.realm)));
    case Filter::kFromIsAuthUser: return Unescape(from->uri.user) == user;
    case Filter::kToIsFrom:
      return !AddressOfRecord(from->uri).empty() &&
             AddressOfRecord(from->uri) == AddressOfRecord(to->uri);
  }
  return false;
}

bool Authorize::Passes(const Incoming& in, const std::string& user) const {
  for (const auto& [method, alternatives] : options_.filters) {
    if (method != in.message.method_text()) continue;
    return std::any_of(alternatives.begin(), alternatives.end(),
                       [&](const std::vector<Filter>& all) {
                         return std::all_of(all.begin(), all.end(),
                                            [&](Filter filter) {
                                              return Holds(filter, in, user);
                                            });
                       });
  }
  return true;
}

namespace {

// One an algorithm.
constexpr size_t kAnswersMax = 3;

// A Route of ours and a To tag show that a request belongs to a dialog that was
// let through. These two never do, and one of them moves a user's calls.
bool BelongsToDialogs(Method method) {
  return method != Method::kRegister && method != Method::kPublish;
}

}  // namespace

Handler::Handled Authorize::Receive(Incoming& in) {
  const Message& m = in.message;
  if (m.is_response()) return Handled::kNotMine;
  const bool as_proxy =
      options_.i_am_proxy ||
      (!options_.i_am_user_agent && m.method() != Method::kRegister);
  const HeaderId id =
      as_proxy ? HeaderId::kProxyAuthorization : HeaderId::kAuthorization;
  if (!Concerns(in) ||
      (BelongsToDialogs(m.method()) && dispatcher_.InDialog(m))) {
    RemoveCredentials(in, id);
    return Handled::kNotMine;
  }
  std::vector<std::string_view> values;
  for (const Header& h : m.headers()) {
    if (h.id != id || !digest_.IsOurs(h.value)) continue;
    // An answer to each challenge is all that there can be.
    if (values.size() == kAnswersMax) break;
    values.push_back(h.value);
  }
  // A retransmission is no replay: the same octets again.
  const std::string transaction =
      Cat(in.from.address.ToString(), " ",
          values.empty() ? std::string()
                         : DigestHex(DigestAlgorithm::kSha256, m.octets()));
  DigestCheck check =
      digest_.Check(values, m.method_text(), m.uri(), in.now, transaction);
  if (check.result == DigestCheck::Result::kWrong && options_.i_am_user_agent) {
    check = digest_.Check(values, m.method_text(), m.to()->uri_text, in.now,
                          transaction);
  }
  if (check.result == DigestCheck::Result::kOk && Passes(in, check.user)) {
    ++passed_;
    in.user = check.user;
    RemoveCredentials(in, id);
    return Handled::kNotMine;
  }
  const bool stale = check.result == DigestCheck::Result::kStale;
  if (stale) {
    ++stale_;
  } else if (check.result == DigestCheck::Result::kNone) {
    ++challenged_;
  } else {
    ++wrong_;
  }
  std::string lines;
  for (const std::string& challenge : digest_.Challenges(stale, in.now)) {
    Append(&lines,
           as_proxy ? "Proxy-Authenticate: " : "WWW-Authenticate: ", challenge,
           "\r\n");
  }
  const int code = as_proxy ? 407 : 401;
  dispatcher_.Reply(in, code, ReasonOf(code), lines);
  return Handled::kMine;
}

std::vector<Handler::Number> Authorize::Counters() const {
  return {{"passed", passed_},
          {"challenged", challenged_},
          {"stale", stale_},
          {"wrong", wrong_}};
}

}  // namespace sluice::sip
