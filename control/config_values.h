#ifndef SLUICE_CONTROL_CONFIG_VALUES_H_
#define SLUICE_CONTROL_CONFIG_VALUES_H_

#include <toml++/toml.h>

#include <cstdint>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "control/config.h"

// One value of the configuration: the rules that options.def names, how a value
// is read under its rule, and how it is written again.
namespace sluice::control {

struct Range {
  constexpr Range(int64_t low, int64_t high) : min(low), max(high) {}
  int64_t min, max;
};
struct PowerOfTwo {
  constexpr PowerOfTwo(int64_t low, int64_t high) : min(low), max(high) {}
  int64_t min, max;
};
struct Named {};              // an enumeration, by the names of its values
struct LevelName {};          // one of log::kLevelNames
struct XdpMode {};            // off auto
struct Word {};               // 1 to 32 of A-Z a-z 0-9 _ -
struct UserName {};           // an account that exists, or empty
struct EvenToOdd {};          // [first, last]
struct LocalAddress {};       // one that can be bound and announced
struct AdvertisedAddress {};  // one that can be announced, or empty
struct Prefixes {};           // ["192.0.2.0/24", "2001:db8::/32"]
struct Listeners {};          // ["unix:PATH", "tcp:ADDRESS:PORT"]
struct HttpListener {};       // "ADDRESS:PORT", or empty
struct SocketPath {};         // absolute, fits sockaddr_un, or empty
struct Flag {};               // true, false
struct AnyText {};            // without control characters
struct Words {};              // a list of Word
struct Methods {};            // a list of SIP methods, as INVITE
struct Algorithms {};         // names of digest algorithms
struct TextMap {};            // { "key" = "text", ... }
struct ProxyMap {};           // { "domain" = "sip:...", ... }
struct PrefixMap {};          // { "0049" = "domain", ... }
struct AnswerMap {};          // { METHOD = "403 Forbidden", ... }
struct FilterMap {};          // { METHOD = "ToIsFrom FromIsRealm, ...", ... }
struct FilePath {};           // absolute, or empty
struct UsersFile {};          // absolute, "sqlite:" and that, or empty
struct Domains {};            // ["example.com", "*.example.com", "*"]
struct SipListeners {};       // ["udp:ADDRESS:PORT", "tcp:...", "tls:..."]
struct SipUri {};             // "sip:...", "sips:...", or empty
struct PeerAddress {};        // "ADDRESS:PORT", or empty
struct RelayServer {};        // "unix:PATH", "tcp:ADDRESS:PORT", or empty

// Called for what is wrong, with the node that shows the line.
using Refuse =
    absl::FunctionRef<void(const toml::node& where, const std::string& what)>;

// Each sets `out` when the node is what the rule accepts, else refuses and
// leaves it alone.
void Read(const toml::node& node, const Range& rule, uint32_t* out, Refuse no);
void Read(const toml::node& node, const Range& rule, int* out, Refuse no);
void Read(const toml::node& node, const PowerOfTwo& rule, uint32_t* out,
          Refuse no);
void Read(const toml::node& node, Named, LogFormat* out, Refuse no);
void Read(const toml::node& node, Named, relay::EngineKind* out, Refuse no);
void Read(const toml::node& node, Named, relay::LatchPolicy* out, Refuse no);
void Read(const toml::node& node, LevelName, std::string* out, Refuse no);
void Read(const toml::node& node, XdpMode, std::string* out, Refuse no);
void Read(const toml::node& node, Word, std::string* out, Refuse no);
void Read(const toml::node& node, UserName, std::string* out, Refuse no);
void Read(const toml::node& node, HttpListener, std::string* out, Refuse no);
void Read(const toml::node& node, SocketPath, std::string* out, Refuse no);
void Read(const toml::node& node, EvenToOdd, PortRange* out, Refuse no);
void Read(const toml::node& node, LocalAddress, IpAddress* out, Refuse no);
void Read(const toml::node& node, AdvertisedAddress, IpAddress* out, Refuse no);
void Read(const toml::node& node, Prefixes, std::vector<std::string>* out,
          Refuse no);
void Read(const toml::node& node, Listeners, std::vector<std::string>* out,
          Refuse no);
void Read(const toml::node& node, Named, sip::Anchor* out, Refuse no);
void Read(const toml::node& node, Named, sip::ClientCertificate* out,
          Refuse no);
void Read(const toml::node& node, Flag, bool* out, Refuse no);
void Read(const toml::node& node, AnyText, std::string* out, Refuse no);
void Read(const toml::node& node, Methods, std::vector<std::string>* out,
          Refuse no);
void Read(const toml::node& node, Words, std::vector<std::string>* out,
          Refuse no);
void Read(const toml::node& node, Algorithms, std::vector<std::string>* out,
          Refuse no);
void Read(const toml::node& node, TextMap, StringMap* out, Refuse no);
void Read(const toml::node& node, ProxyMap, StringMap* out, Refuse no);
void Read(const toml::node& node, PrefixMap, StringMap* out, Refuse no);
void Read(const toml::node& node, AnswerMap, StringMap* out, Refuse no);
void Read(const toml::node& node, FilterMap, StringMap* out, Refuse no);
void Read(const toml::node& node, FilePath, std::string* out, Refuse no);
void Read(const toml::node& node, UsersFile, std::string* out, Refuse no);
void Read(const toml::node& node, Domains, std::vector<std::string>* out,
          Refuse no);
void Read(const toml::node& node, SipListeners, std::vector<std::string>* out,
          Refuse no);
void Read(const toml::node& node, SipUri, std::string* out, Refuse no);
void Read(const toml::node& node, PeerAddress, std::string* out, Refuse no);
void Read(const toml::node& node, RelayServer, std::string* out, Refuse no);

// As TOML.
std::string Print(uint32_t value);
std::string Print(int value);
std::string Print(const std::string& value);
std::string Print(const std::vector<std::string>& value);
std::string Print(const PortRange& value);
std::string Print(const IpAddress& value);  // :: is ""
std::string Print(LogFormat value);
std::string Print(relay::EngineKind value);
std::string Print(relay::LatchPolicy value);
std::string Print(sip::Anchor value);
std::string Print(sip::ClientCertificate value);
std::string Print(bool value);
std::string Print(const StringMap& value);

}  // namespace sluice::control

#endif  // SLUICE_CONTROL_CONFIG_VALUES_H_
