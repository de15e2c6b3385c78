#include "control/config_values.h"

#include <sys/un.h>

#include <array>
#include <bit>
#include <optional>
#include <string_view>
#include <utility>

#include "absl/algorithm/container.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "base/log.h"
#include "base/nearest.h"
#include "control/process.h"
#include "control/target_policy.h"
#include "sip/uri.h"

namespace sluice::control {
namespace {

// A list longer than this is a mistake; a firewall holds longer ones better.
constexpr size_t kListMax = 1024;

const char* TypeName(const toml::node& node) {
  switch (node.type()) {
    case toml::node_type::none: return "nothing";
    case toml::node_type::table: return "a table";
    case toml::node_type::array: return "a list";
    case toml::node_type::string: return "a string";
    case toml::node_type::integer: return "an integer";
    case toml::node_type::floating_point: return "a fraction";
    case toml::node_type::boolean: return "true or false";
    case toml::node_type::date: return "a date";
    case toml::node_type::time: return "a time";
    case toml::node_type::date_time: return "a date and time";
  }
  return "something else";
}

std::optional<int64_t> Integer(const toml::node& node, Refuse no) {
  if (const auto* value = node.as_integer()) return value->get();
  no(node, absl::StrCat("must be an integer, not ", TypeName(node)));
  return std::nullopt;
}

// Text that can stand in a log, a path and a C string.
std::optional<std::string> Text(const toml::node& node, Refuse no) {
  const auto* value = node.as_string();
  if (value == nullptr) {
    no(node, absl::StrCat("must be a string, not ", TypeName(node)));
    return std::nullopt;
  }
  for (const char c : value->get()) {
    if (absl::ascii_iscntrl(static_cast<unsigned char>(c))) {
      no(node, "must not contain control characters");
      return std::nullopt;
    }
  }
  return value->get();
}

// `what`: nullopt when the value is good, else what it must be.
using Judge = std::optional<std::string> (*)(const std::string& value);

void ReadText(const toml::node& node, Judge judge, std::string* out,
              Refuse no) {
  std::optional<std::string> text = Text(node, no);
  if (!text) return;
  if (auto must = judge(*text)) {
    no(node, absl::StrCat("\"", *text, "\": ", *must));
    return;
  }
  *out = *std::move(text);
}

void ReadList(const toml::node& node, Judge judge,
              std::vector<std::string>* out, Refuse no) {
  const toml::array* list = node.as_array();
  if (list == nullptr) {
    no(node, absl::StrCat("must be a list of strings, not ", TypeName(node)));
    return;
  }
  if (list->size() > kListMax) {
    no(node, absl::StrFormat("has %u entries; at most %u are taken",
                             list->size(), kListMax));
    return;
  }
  std::vector<std::string> values;
  for (const toml::node& entry : *list) {
    std::string value;
    ReadText(entry, judge, &value, no);
    values.push_back(std::move(value));
  }
  *out = std::move(values);
}

void ReadMap(const toml::node& node, Judge judge_key, Judge judge,
             StringMap* out, Refuse no) {
  const toml::table* table = node.as_table();
  if (table == nullptr || table->size() > kListMax) {
    no(node, absl::StrFormat("must be a table of at most %u texts, as "
                             "{ \"key\" = \"text\" }",
                             kListMax));
    return;
  }
  StringMap values;
  for (const auto& [key, value] : *table) {
    const std::string name(key.str());
    if (absl::c_any_of(name, [](char c) {
          return absl::ascii_iscntrl(static_cast<unsigned char>(c));
        })) {
      no(value, "must not have a key with control characters");
      return;
    }
    if (auto must = judge_key(name)) {
      no(value, absl::StrCat("\"", name, "\": ", *must));
    }
    std::string text;
    ReadText(value, judge, &text, no);
    values[name] = std::move(text);
  }
  *out = std::move(values);
}

template <typename T>
void ReadInteger(const toml::node& node, const Range& rule, T* out, Refuse no) {
  std::optional<int64_t> value = Integer(node, no);
  if (!value) return;
  if (*value < rule.min || *value > rule.max) {
    no(node,
       absl::StrFormat("is %d; must be %d to %d", *value, rule.min, rule.max));
    return;
  }
  *out = static_cast<T>(*value);
}

template <typename Enum, size_t kCount>
using Names = std::array<std::pair<const char*, Enum>, kCount>;

constexpr Names<LogFormat, 2> kLogFormats = {
    {{"text", LogFormat::kText}, {"json", LogFormat::kJson}}};
constexpr Names<relay::EngineKind, 3> kEngines = {
    {{"auto", relay::EngineKind::kAuto},
     {"io_uring", relay::EngineKind::kUring},
     {"epoll", relay::EngineKind::kEpoll}}};
constexpr Names<relay::LatchPolicy, 3> kLatches = {
    {{"strict", relay::LatchPolicy::kStrict},
     {"sdp-first", relay::LatchPolicy::kSdpFirst},
     {"first-packet", relay::LatchPolicy::kFirstPacket}}};

constexpr Names<sip::Anchor, 3> kAnchors = {
    {{"cross-leg", sip::Anchor::kCrossLeg},
     {"always", sip::Anchor::kAlways},
     {"never", sip::Anchor::kNever}}};
constexpr Names<sip::ClientCertificate, 3> kClientCertificates = {
    {{"none", sip::ClientCertificate::kNone},
     {"ask", sip::ClientCertificate::kAsk},
     {"require", sip::ClientCertificate::kRequire}}};

template <typename Enum, size_t kCount>
void ReadNamed(const toml::node& node, const Names<Enum, kCount>& names,
               Enum* out, Refuse no) {
  std::optional<std::string> text = Text(node, no);
  if (!text) return;
  for (const auto& [name, value] : names) {
    if (*text == name) {
      *out = value;
      return;
    }
  }
  no(node, absl::StrCat("\"", *text, "\": must be one of ",
                        absl::StrJoin(names, ", ",
                                      [](std::string* s, const auto& entry) {
                                        absl::StrAppend(s, entry.first);
                                      })));
}

template <typename Enum, size_t kCount>
std::string PrintNamed(const Names<Enum, kCount>& names, Enum value) {
  for (const auto& [name, v] : names) {
    if (v == value) return Print(std::string(name));
  }
  return Print(std::string());
}

std::optional<std::string> JudgeLevel(const std::string& value) {
  if (log::IsLevel(value)) return std::nullopt;
  return "must be one of " + log::LevelList();
}

std::optional<std::string> JudgeXdp(const std::string& value) {
  for (const char* mode : {"off", "auto", "native", "tc"}) {
    if (value == mode) return std::nullopt;
  }
  if (value == "generic") {
    return "must be off, auto, native or tc: generic XDP leaves checksums of "
           "senders on the same machine half made, which tc does not";
  }
  return "must be off, auto, native or tc";
}

std::optional<std::string> JudgeWord(const std::string& value) {
  bool good = !value.empty() && value.size() <= 32;
  for (const char c : value) {
    good = good && (absl::ascii_isalnum(static_cast<unsigned char>(c)) ||
                    c == '_' || c == '-');
  }
  if (good) return std::nullopt;
  return "must be 1 to 32 letters, digits, _ or -";
}

std::optional<std::string> JudgeUser(const std::string& value) {
  bool good = value.size() <= 32;
  for (const char c : value) {
    good = good && (absl::ascii_isalnum(static_cast<unsigned char>(c)) ||
                    c == '_' || c == '-' || c == '.');
  }
  if (!good || absl::StartsWith(value, "-")) {
    return "is not the name of an account";
  }
  if (value.empty()) return std::nullopt;
  const absl::Status found = FindAccount(value).status();
  if (absl::IsNotFound(found)) return "there is no such account";
  if (absl::IsInvalidArgument(found)) return "is root itself";
  // One that could not be looked up is found, or not, when it is needed.
  return std::nullopt;
}

std::optional<std::string> JudgePath(const std::string& value) {
  if (value.empty() || value.front() != '/') {
    return "must be an absolute path";
  }
  if (value.size() >= sizeof(sockaddr_un::sun_path)) {
    return absl::StrFormat("is longer than a socket's path may be (%d)",
                           sizeof(sockaddr_un::sun_path) - 1);
  }
  return std::nullopt;
}

std::optional<std::string> JudgeSocket(const std::string& value) {
  return value.empty() ? std::nullopt : JudgePath(value);
}

std::optional<std::string> JudgeEndpoint(const std::string& value) {
  const auto endpoint = Endpoint::Parse(value);
  if (!endpoint || endpoint->port == Port()) {
    return "must be ADDRESS:PORT, as 127.0.0.1:9080 or [::1]:9080";
  }
  return std::nullopt;
}

std::optional<std::string> JudgeHttp(const std::string& value) {
  return value.empty() ? std::nullopt : JudgeEndpoint(value);
}

std::optional<std::string> JudgeListener(const std::string& value) {
  absl::string_view rest = value;
  if (absl::ConsumePrefix(&rest, "unix:")) return JudgePath(std::string(rest));
  if (absl::ConsumePrefix(&rest, "tcp:")) {
    return JudgeEndpoint(std::string(rest));
  }
  return "must be unix:PATH or tcp:ADDRESS:PORT";
}

std::optional<std::string> JudgePrefix(const std::string& value) {
  const auto prefix = Prefix::Parse(value);
  if (prefix.ok()) return std::nullopt;
  return std::string(prefix.status().message());
}

std::optional<std::string> JudgeNothing(const std::string&) {
  return std::nullopt;
}

std::optional<std::string> JudgeFile(const std::string& value) {
  if (value.empty() || value.front() == '/') return std::nullopt;
  return "must be an absolute path";
}

std::optional<std::string> JudgeUsers(const std::string& value) {
  absl::string_view file = value;
  if (absl::ConsumePrefix(&file, "sqlite:") && file.empty()) {
    return "must name a file behind sqlite:";
  }
  return JudgeFile(std::string(file));
}

std::optional<std::string> JudgeDomain(const std::string& value) {
  absl::string_view name = value;
  if (name == "*") return std::nullopt;
  absl::ConsumePrefix(&name, "*.");
  bool good = !name.empty() && name.size() <= 253;
  for (const char c : name) {
    // An IPv6 literal is a domain of SIP, too.
    good = good && (absl::ascii_isalnum(static_cast<unsigned char>(c)) ||
                    c == '.' || c == '-' || c == ':' || c == '[' || c == ']');
  }
  if (good) return std::nullopt;
  return "must be a domain, \"*.\" and a domain, or \"*\"";
}

std::optional<std::string> JudgeHost(const std::string& value) {
  if (absl::StartsWith(value, "*")) return "must be a domain";
  return JudgeDomain(value);
}

std::optional<std::string> JudgeDigits(const std::string& value) {
  const bool good = !value.empty() && value.size() <= 32 &&
                    value.find_first_not_of("0123456789+*#") == value.npos;
  if (good) return std::nullopt;
  return "must be digits, as 0049 or +49";
}

std::optional<std::string> JudgeSipListener(const std::string& value) {
  absl::string_view rest = value;
  if (absl::ConsumePrefix(&rest, "udp:") ||
      absl::ConsumePrefix(&rest, "tcp:") ||
      absl::ConsumePrefix(&rest, "tls:")) {
    return JudgeEndpoint(std::string(rest));
  }
  return "must be udp:ADDRESS:PORT, tcp:ADDRESS:PORT or tls:ADDRESS:PORT";
}

std::optional<std::string> JudgeSipUri(const std::string& value) {
  if (value.empty()) return std::nullopt;
  const auto uri = sip::Uri::Parse(value);
  if (uri && uri->is_sip()) return std::nullopt;
  return "must be a SIP URI, as sip:192.0.2.1:5060";
}

std::optional<std::string> JudgeRelayServer(const std::string& value) {
  return value.empty() ? std::nullopt : JudgeListener(value);
}

std::optional<std::string> JudgeProxy(const std::string& value) {
  return value.empty() ? "must be a SIP URI, as sip:192.0.2.1:5060"
                       : JudgeSipUri(value);
}

// One of `names`, which stand with a space between.
std::optional<std::string> JudgeName(absl::string_view names,
                                     const std::string& value) {
  const std::vector<std::string> known = absl::StrSplit(names, ' ');
  if (absl::c_linear_search(known, value)) return std::nullopt;
  return absl::StrCat("the nearest is \"", Nearest(value.substr(0, 64), known),
                      "\" of ", absl::StrJoin(known, ", "));
}

std::optional<std::string> JudgeAlgorithm(const std::string& value) {
  return JudgeName("SHA-512-256 SHA-256 MD5", value);
}

// RFC 3261 25.1 `token`, written as methods are.
std::optional<std::string> JudgeMethod(const std::string& value) {
  const bool good =
      !value.empty() && value.size() <= 32 && absl::c_all_of(value, [](char c) {
        return absl::ascii_isupper(static_cast<unsigned char>(c)) ||
               absl::ascii_isdigit(static_cast<unsigned char>(c)) ||
               absl::StrContains("-.!%*_+`'~", c);
      });
  if (good) return std::nullopt;
  return "must be a method, as INVITE";
}

std::optional<std::string> JudgeAnswer(const std::string& value) {
  const absl::string_view code = absl::string_view(value).substr(0, 3);
  const bool good = code.size() == 3 && code >= "300" && code <= "699" &&
                    absl::c_all_of(code,
                                   [](char c) {
                                     return absl::ascii_isdigit(
                                         static_cast<unsigned char>(c));
                                   }) &&
                    (value.size() == 3 || value[3] == ' ');
  if (good) return std::nullopt;
  return "must be a code of 300 to 699 and a reason, as 403 Forbidden";
}

std::optional<std::string> JudgeFilters(const std::string& value) {
  for (const absl::string_view name :
       absl::StrSplit(value, absl::ByAnyChar(" ,"), absl::SkipEmpty())) {
    if (auto must = JudgeName("FromIsRealm FromIsAuthUser ToIsFrom",
                              std::string(name))) {
      return must;
    }
  }
  return std::nullopt;
}

std::optional<IpAddress> Address(const toml::node& node,
                                 const std::string& text, Refuse no) {
  const auto ip = IpAddress::Parse(text);
  if (!ip) {
    no(node, absl::StrCat("\"", text, "\": must be an IPv4 or IPv6 address"));
    return std::nullopt;
  }
  // A wildcard cannot be announced, and answers would leave from an address
  // that the other party was not told.
  if (ip->is_any() || ip->is_multicast() || ip->is_reserved()) {
    no(node, absl::StrCat("\"", text, "\": must be the address of one host"));
    return std::nullopt;
  }
  return ip;
}

}  // namespace

void Read(const toml::node& node, const Range& rule, uint32_t* out, Refuse no) {
  ReadInteger(node, rule, out, no);
}
void Read(const toml::node& node, const Range& rule, int* out, Refuse no) {
  ReadInteger(node, rule, out, no);
}
void Read(const toml::node& node, const PowerOfTwo& rule, uint32_t* out,
          Refuse no) {
  uint32_t value = 0;
  ReadInteger(node, Range(rule.min, rule.max), &value, no);
  if (value == 0) return;
  if (!std::has_single_bit(value)) {
    no(node, absl::StrFormat("is %u; must be a power of two", value));
    return;
  }
  *out = value;
}

void Read(const toml::node& node, Named, LogFormat* out, Refuse no) {
  ReadNamed(node, kLogFormats, out, no);
}
void Read(const toml::node& node, Named, relay::EngineKind* out, Refuse no) {
  ReadNamed(node, kEngines, out, no);
}
void Read(const toml::node& node, Named, relay::LatchPolicy* out, Refuse no) {
  ReadNamed(node, kLatches, out, no);
}

void Read(const toml::node& node, LevelName, std::string* out, Refuse no) {
  ReadText(node, JudgeLevel, out, no);
}
void Read(const toml::node& node, XdpMode, std::string* out, Refuse no) {
  ReadText(node, JudgeXdp, out, no);
}
void Read(const toml::node& node, Word, std::string* out, Refuse no) {
  ReadText(node, JudgeWord, out, no);
}
void Read(const toml::node& node, UserName, std::string* out, Refuse no) {
  ReadText(node, JudgeUser, out, no);
}
void Read(const toml::node& node, HttpListener, std::string* out, Refuse no) {
  ReadText(node, JudgeHttp, out, no);
}
void Read(const toml::node& node, SocketPath, std::string* out, Refuse no) {
  ReadText(node, JudgeSocket, out, no);
}
void Read(const toml::node& node, Prefixes, std::vector<std::string>* out,
          Refuse no) {
  ReadList(node, JudgePrefix, out, no);
}
void Read(const toml::node& node, Listeners, std::vector<std::string>* out,
          Refuse no) {
  ReadList(node, JudgeListener, out, no);
}

void Read(const toml::node& node, EvenToOdd, PortRange* out, Refuse no) {
  const toml::array* list = node.as_array();
  if (list == nullptr || list->size() != 2) {
    no(node, "must be two ports, as [10000, 59999]");
    return;
  }
  // Below 1024 are the ports of the system's services.
  PortRange range(0, 0);
  ReadInteger((*list)[0], Range(1024, 65'535), &range.first, no);
  ReadInteger((*list)[1], Range(1024, 65'535), &range.last, no);
  if (range.first == 0 || range.last == 0) return;
  if (range.first % 2 != 0) {
    no((*list)[0],
       absl::StrFormat("the first port (%u) must be even", range.first));
  } else if (range.last % 2 != 1) {
    no((*list)[1],
       absl::StrFormat("the last port (%u) must be odd", range.last));
  } else if (range.last < range.first) {
    no((*list)[1],
       absl::StrFormat("the last port (%u) is before the first (%u)",
                       range.last, range.first));
  } else {
    *out = range;
  }
}

void Read(const toml::node& node, LocalAddress, IpAddress* out, Refuse no) {
  const auto text = Text(node, no);
  if (!text) return;
  if (const auto ip = Address(node, *text, no)) *out = *ip;
}
void Read(const toml::node& node, AdvertisedAddress, IpAddress* out,
          Refuse no) {
  const auto text = Text(node, no);
  if (!text) return;
  if (text->empty()) {
    *out = IpAddress();
  } else if (const auto ip = Address(node, *text, no)) {
    *out = *ip;
  }
}

void Read(const toml::node& node, Named, sip::Anchor* out, Refuse no) {
  ReadNamed(node, kAnchors, out, no);
}
void Read(const toml::node& node, Named, sip::ClientCertificate* out,
          Refuse no) {
  ReadNamed(node, kClientCertificates, out, no);
}
void Read(const toml::node& node, Flag, bool* out, Refuse no) {
  const auto* value = node.as_boolean();
  if (value == nullptr) {
    no(node, absl::StrCat("must be true or false, not ", TypeName(node)));
    return;
  }
  *out = value->get();
}
void Read(const toml::node& node, AnyText, std::string* out, Refuse no) {
  ReadText(node, JudgeNothing, out, no);
}
void Read(const toml::node& node, Methods, std::vector<std::string>* out,
          Refuse no) {
  ReadList(node, JudgeMethod, out, no);
}
void Read(const toml::node& node, Words, std::vector<std::string>* out,
          Refuse no) {
  ReadList(node, JudgeWord, out, no);
}
void Read(const toml::node& node, Algorithms, std::vector<std::string>* out,
          Refuse no) {
  ReadList(node, JudgeAlgorithm, out, no);
}
void Read(const toml::node& node, FilePath, std::string* out, Refuse no) {
  ReadText(node, JudgeFile, out, no);
}
void Read(const toml::node& node, UsersFile, std::string* out, Refuse no) {
  ReadText(node, JudgeUsers, out, no);
}
void Read(const toml::node& node, Domains, std::vector<std::string>* out,
          Refuse no) {
  ReadList(node, JudgeDomain, out, no);
}
void Read(const toml::node& node, SipListeners, std::vector<std::string>* out,
          Refuse no) {
  ReadList(node, JudgeSipListener, out, no);
}
void Read(const toml::node& node, SipUri, std::string* out, Refuse no) {
  ReadText(node, JudgeSipUri, out, no);
}
void Read(const toml::node& node, PeerAddress, std::string* out, Refuse no) {
  ReadText(node, JudgeHttp, out, no);
}
void Read(const toml::node& node, RelayServer, std::string* out, Refuse no) {
  ReadText(node, JudgeRelayServer, out, no);
}
void Read(const toml::node& node, TextMap, StringMap* out, Refuse no) {
  ReadMap(node, JudgeNothing, JudgeNothing, out, no);
}
void Read(const toml::node& node, ProxyMap, StringMap* out, Refuse no) {
  ReadMap(node, JudgeDomain, JudgeProxy, out, no);
}
void Read(const toml::node& node, PrefixMap, StringMap* out, Refuse no) {
  ReadMap(node, JudgeDigits, JudgeHost, out, no);
}
void Read(const toml::node& node, AnswerMap, StringMap* out, Refuse no) {
  ReadMap(node, JudgeMethod, JudgeAnswer, out, no);
}
void Read(const toml::node& node, FilterMap, StringMap* out, Refuse no) {
  ReadMap(node, JudgeMethod, JudgeFilters, out, no);
}

std::string Print(uint32_t value) { return absl::StrCat(value); }
std::string Print(int value) { return absl::StrCat(value); }

// The rules let no control character in, so these two are all that a basic
// string has to escape.
std::string Print(const std::string& value) {
  std::string out = "\"";
  for (const char c : value) {
    if (c == '"' || c == '\\') out += '\\';
    out += c;
  }
  return out + "\"";
}

std::string Print(const std::vector<std::string>& value) {
  return absl::StrCat(
      "[",
      absl::StrJoin(value, ", ",
                    [](std::string* out, const std::string& entry) {
                      absl::StrAppend(out, Print(entry));
                    }),
      "]");
}

std::string Print(const PortRange& value) {
  return absl::StrFormat("[%u, %u]", value.first, value.last);
}

std::string Print(const IpAddress& value) {
  return Print(value == IpAddress() ? std::string() : value.ToString());
}

std::string Print(LogFormat value) { return PrintNamed(kLogFormats, value); }
std::string Print(relay::EngineKind value) {
  return PrintNamed(kEngines, value);
}
std::string Print(relay::LatchPolicy value) {
  return PrintNamed(kLatches, value);
}
std::string Print(sip::Anchor value) { return PrintNamed(kAnchors, value); }
std::string Print(sip::ClientCertificate value) {
  return PrintNamed(kClientCertificates, value);
}
std::string Print(bool value) { return value ? "true" : "false"; }
std::string Print(const StringMap& value) {
  if (value.empty()) return "{}";
  return absl::StrCat("{ ",
                      absl::StrJoin(value, ", ",
                                    [](std::string* out, const auto& entry) {
                                      absl::StrAppend(out, Print(entry.first),
                                                      " = ",
                                                      Print(entry.second));
                                    }),
                      " }");
}

}  // namespace sluice::control
