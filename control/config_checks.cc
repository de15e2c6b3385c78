#include "control/config_checks.h"

#include <algorithm>
#include <cstddef>
#include <iterator>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "base/address.h"
#include "base/nearest.h"

namespace sluice::control {
namespace {

// A key where it is written, else the table that lacks it.
const toml::source_region& Place(const toml::table& table, const char* key) {
  const toml::node* node = table.get(key);
  return node != nullptr ? node->source() : table.source();
}

bool Has(const std::vector<std::string>& words, std::string_view word) {
  return std::find(words.begin(), words.end(), word) != words.end();
}

// `high` must not be below `low`.
void CheckOrder(const toml::table& root, const char* section, const char* low,
                uint32_t low_value, const char* high, uint32_t high_value,
                Complain complain) {
  if (high_value >= low_value) return;
  const auto table = root.at_path(section);
  const toml::node* node = table[high] ? table[high].node() : table[low].node();
  if (node == nullptr) return;  // the defaults fit
  complain(node->source(),
           absl::StrFormat("%s.%s (%u) must not be below %s.%s (%u)", section,
                           high, high_value, section, low, low_value));
}

// Whoever reaches the RPC owns the media: who may is said before a door is
// opened to other machines (C1).
void CheckListeners(const toml::table& root, Complain complain) {
  const toml::array* listeners = root["nathelper"]["listen"].as_array();
  if (listeners == nullptr) return;  // the default is a UNIX socket
  for (const toml::node& listener : *listeners) {
    const std::string where = listener.value_or(std::string());
    if (!where.starts_with("tcp:")) continue;
    const auto endpoint = Endpoint::Parse(std::string_view(where).substr(4));
    if (!endpoint || endpoint->ip.is_loopback()) continue;
    complain(listener.source(),
             absl::StrFormat("nathelper.listen \"%s\" is open to other "
                             "machines: name those that may connect in "
                             "nathelper.allow",
                             where));
  }
}

struct Listener {
  std::string_view transport;  // "udp"
  Endpoint address{};
};
// nullopt: refused already.
std::optional<Listener> ListenerOf(std::string_view where) {
  const size_t colon = where.find(':');
  if (colon == std::string_view::npos) return std::nullopt;
  const auto address = Endpoint::Parse(where.substr(colon + 1));
  if (!address) return std::nullopt;
  return Listener{.transport = where.substr(0, colon), .address = *address};
}

bool IsListenedTwice(const LegConfig& leg, size_t i, const Config& config) {
  const std::string& where = leg.listen[i];
  const auto here = leg.listen.begin() + static_cast<std::ptrdiff_t>(i);
  return std::find(leg.listen.begin(), here, where) != here ||
         std::any_of(
             config.legs.begin(), config.legs.end(),
             [&](const LegConfig& other) { return Has(other.listen, where); });
}

// What a leg sends leaves by its one socket of that transport and family: by
// another than a request came by, no NAT would let the answer through.
bool HasOneBefore(const LegConfig& leg, size_t i, const Listener& listener) {
  for (size_t k = 0; k < i; ++k) {
    const auto other = ListenerOf(leg.listen[k]);
    if (other && other->transport == listener.transport &&
        other->address.family() == listener.address.family()) {
      return true;
    }
  }
  return false;
}

void CheckLegListeners(const toml::table& table, const LegConfig& leg,
                       const Config& config, Complain complain) {
  const toml::source_region& place = Place(table, "listen");
  bool tls = false;
  for (size_t i = 0; i < leg.listen.size(); ++i) {
    const std::string& where = leg.listen[i];
    const auto listener = ListenerOf(where);
    if (!listener) continue;
    const IpAddress& ip = listener->address.ip;
    tls = tls || listener->transport == "tls";
    if (IsListenedTwice(leg, i, config)) {
      complain(place, absl::StrFormat("%s.listen \"%s\" is there twice",
                                      kLegSection, where));
    } else if (HasOneBefore(leg, i, *listener)) {
      complain(place, absl::StrFormat("%s.listen \"%s\" is the second address "
                                      "of that transport and family: give it a "
                                      "leg of its own",
                                      kLegSection, where));
    }
    // Via, Contact and Record-Route would name an address of nobody.
    if (ip.is_any() && leg.advertise == IpAddress()) {
      complain(place, absl::StrFormat("%s.listen \"%s\" is no address that "
                                      "others can be told: name one, or set "
                                      "advertise",
                                      kLegSection, where));
    }
    // They would name one that its peers cannot reach.
    if (leg.advertise != IpAddress() && leg.advertise.is_v4() != ip.is_v4()) {
      complain(Place(table, "advertise"),
               absl::StrFormat("%s.advertise must be of the same family as "
                               "listen \"%s\"",
                               kLegSection, where));
    }
  }
  if (leg.listen.empty()) {
    complain(place,
             absl::StrFormat("%s.listen must not be empty", kLegSection));
  }
  if (tls && (leg.tls_certificate.empty() || leg.tls_key.empty())) {
    complain(place, absl::StrFormat("%s: a tls listener needs tls_certificate "
                                    "and tls_key",
                                    kLegSection));
  }
}

void CheckLegPeer(const toml::table& table, const LegConfig& leg,
                  Complain complain) {
  if (!leg.connected) return;
  const toml::source_region& place = Place(table, "connected");
  const auto dst = Endpoint::Parse(leg.dst);
  if (!dst) {
    complain(place, absl::StrFormat("%s.connected needs dst", kLegSection));
    return;
  }
  // One of each family at most, and a socket has one.
  size_t udp = 0, fitting = 0;
  for (const std::string& where : leg.listen) {
    const auto listener = ListenerOf(where);
    if (!listener || listener->transport != "udp") continue;
    ++udp;
    fitting += listener->address.family() == dst->family() ? 1 : 0;
  }
  if (udp == 0 || fitting != udp) {
    complain(place,
             absl::StrFormat("%s.connected needs a udp listener of the family "
                             "of dst, and none of the other",
                             kLegSection));
  }
}

constexpr std::string_view kHandlers[] = {
#define HANDLER(name, Make) #name,
#include "control/handlers.def"
#undef HANDLER
};

bool IsHandler(std::string_view name) {
  return std::find(std::begin(kHandlers), std::end(kHandlers), name) !=
         std::end(kHandlers);
}

const ChainConfig* FindChain(const Config& config, std::string_view name) {
  for (const ChainConfig& chain : config.chains) {
    if (chain.name == name) return &chain;
  }
  return nullptr;
}

// Calls visit(handler) for each station of a chain. Stops, and returns false,
// when `left` of them have been: chains that name each other grow fast.
bool EachStation(const Config& config, const std::vector<std::string>& names,
                 size_t* left,
                 absl::FunctionRef<void(std::string_view)> visit) {
  for (const std::string& name : names) {
    if (*left == 0) return false;
    --*left;
    visit(name);
    const ChainConfig* chain = FindChain(config, name);
    if (chain != nullptr && !IsHandler(name) &&
        !EachStation(config, chain->handlers, left, visit)) {
      return false;
    }
  }
  return true;
}

bool Authorizes(const Config& config, const std::vector<std::string>& names) {
  bool found = false;
  size_t left = kStationsMax;
  EachStation(config, names, &left,
              [&](std::string_view name) { found |= name == "authorize"; });
  return found;
}

// A list of handlers and chains, those of `config` being the ones it may name.
void CheckHandlers(const toml::table& table, const char* section,
                   const char* name_of_list,
                   const std::vector<std::string>& names, const Config& config,
                   Complain complain) {
  const toml::source_region& place = Place(table, name_of_list);
  const std::string key = absl::StrFormat("%s.%s", section, name_of_list);
  if (names.empty()) {
    complain(place, absl::StrFormat("%s must not be empty", key));
    return;
  }
  std::vector<std::string> known(std::begin(kHandlers), std::end(kHandlers));
  for (const ChainConfig& chain : config.chains) known.push_back(chain.name);
  for (size_t i = 0; i < names.size(); ++i) {
    // An empty one has been refused as a word.
    if (names[i].empty() || Has(known, names[i])) continue;
    const toml::array* list = table[name_of_list].as_array();
    complain(
        list == nullptr ? place : list->get(i)->source(),
        absl::StrFormat("%s \"%s\": the nearest is \"%s\" of %s", key, names[i],
                        Nearest(names[i], known), absl::StrJoin(known, ", ")));
  }
  size_t left = kStationsMax;
  if (!EachStation(config, names, &left, [](std::string_view) {})) {
    complain(place, absl::StrFormat("%s: a message would pass more than %u "
                                    "handlers",
                                    key, kStationsMax));
  }
}

// Two tables of one name; `all` are those before it.
template <typename Table>
void CheckName(const toml::table& table, const char* section, const Table& mine,
               const std::vector<Table>& all, Complain complain) {
  for (const Table& other : all) {
    if (other.name != mine.name) continue;
    complain(
        Place(table, "name"),
        absl::StrFormat("%s.name \"%s\" is there twice", section, mine.name));
  }
}

}  // namespace

void CheckChain(const toml::table& table, const ChainConfig& chain,
                const Config& config, Complain complain) {
  CheckName(table, kChainSection, chain, config.chains, complain);
  if (IsHandler(chain.name)) {
    complain(Place(table, "name"),
             absl::StrFormat("%s.name \"%s\" is a handler's", kChainSection,
                             chain.name));
  }
  CheckHandlers(table, kChainSection, "handlers", chain.handlers, config,
                complain);
  // Whoever is not shown a request asks nobody for a password.
  if (!chain.methods.empty() && Authorizes(config, chain.handlers)) {
    complain(Place(table, "methods"),
             absl::StrFormat("%s.methods: \"authorize\" stands in this chain, "
                             "and what passes by it would need no password: "
                             "name its methods in sip.auth.methods",
                             kChainSection));
  }
}

void CheckInterface(const toml::table& table, const InterfaceConfig& interface,
                    const Config& config, Complain complain) {
  CheckName(table, kInterfaceSection, interface, config.interfaces, complain);
  for (const InterfaceConfig& other : config.interfaces) {
    // The same ports would be given out twice.
    if (other.address == interface.address) {
      complain(Place(table, "address"),
               absl::StrFormat("%s.address %s is that of interface \"%s\" too",
                               kInterfaceSection, interface.address.ToString(),
                               other.name));
    }
  }
  if (interface.advertise != IpAddress() &&
      interface.advertise.is_v4() != interface.address.is_v4()) {
    complain(Place(table, "advertise"),
             absl::StrFormat("%s.advertise must be of the same family as "
                             "address",
                             kInterfaceSection));
  }
}

void CheckLeg(const toml::table& table, const LegConfig& leg,
              const Config& config, Complain complain) {
  CheckName(table, kLegSection, leg, config.legs, complain);
  if (std::none_of(
          config.interfaces.begin(), config.interfaces.end(),
          [&](const InterfaceConfig& i) { return i.name == leg.media; })) {
    complain(Place(table, "media"),
             absl::StrFormat("%s.media \"%s\" is no %s", kLegSection, leg.media,
                             kInterfaceSection));
  }
  CheckLegListeners(table, leg, config, complain);
  CheckLegPeer(table, leg, complain);
  CheckHandlers(table, kLegSection, "chain", leg.chain, config, complain);
  if (!Authorizes(config, leg.chain)) return;
  if (config.sip_auth.users.empty()) {
    complain(Place(table, "chain"),
             absl::StrFormat("%s.chain has \"authorize\": name the users in "
                             "sip.auth.users",
                             kLegSection));
  }
  // A pattern is no name that a phone could show.
  const std::vector<std::string>& domains = config.sip.domains;
  if (config.sip_auth.realm.empty() &&
      (domains.empty() || domains.front().starts_with('*'))) {
    complain(Place(table, "chain"),
             absl::StrFormat("%s.chain has \"authorize\": name what users log "
                             "in to in sip.auth.realm",
                             kLegSection));
  }
}

void CheckTogether(const toml::table& root, const Config& config,
                   Complain complain) {
  CheckOrder(root, "relay", "sq_entries", config.relay.sq_entries, "cq_entries",
             config.relay.cq_entries, complain);
  CheckOrder(root, "sip.pool", "min_expire_s", config.sip_pool.min_expire_s,
             "max_expire_s", config.sip_pool.max_expire_s, complain);
  CheckOrder(root, "sip.registrar", "min_expires_s",
             config.sip_registrar.min_expires_s, "max_expires_s",
             config.sip_registrar.max_expires_s, complain);
  if (config.nathelper.allow.empty()) CheckListeners(root, complain);
}

}  // namespace sluice::control
