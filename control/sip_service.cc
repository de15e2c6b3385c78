#include "control/sip_service.h"

#include <algorithm>
#include <cstring>
#include <ctime>
#include <functional>
#include <optional>
#include <string_view>
#include <utility>

#include "base/clock.h"
#include "base/log.h"
#include "base/status_macros.h"
#include "base/text.h"
#include "control/local_relay.h"
#include "control/manager_options.h"
#include "control/nathelper_client.h"
#include "control/process.h"
#include "control/sip_handlers.h"
#include "control/target_policy.h"
#include "sip/bad_frame.h"
#include "sip/key_file.h"
#include "sip/keys.h"
#include "sip/leg.h"
#include "sip/media_nat.h"
#include "sip/resolver.h"
#include "sip/router.h"

namespace sluice::control {
namespace {

int64_t WallClock() { return static_cast<int64_t>(std::time(nullptr)); }

absl::Status Bad(std::string what) {
  return absl::InvalidArgumentError(std::move(what));
}

std::string HostOf(const IpAddress& ip) {
  const std::string text = ip.ToString();
  return ip.is_v4() ? text : Cat("[", text, "]");
}

sip::PoolOptions PoolOf(const Config::SipPool& from) {
  sip::PoolOptions pool;
  pool.max_sip_header = from.max_sip_header;
  pool.max_sip_body = from.max_sip_body;
  pool.max_tidlist = from.max_tidlist;
  pool.min_expire = Micros::Seconds(from.min_expire_s);
  pool.max_expire = Micros::Seconds(from.max_expire_s);
  pool.connect_timeout = Micros::Seconds(from.connect_timeout_s);
  pool.tcp_readsize = from.tcp_readsize;
  pool.max_connections = static_cast<int>(from.max_connections);
  pool.max_connections_per_ip = static_cast<int>(from.max_connections_per_ip);
  return pool;
}

// At start; a reload reads the file as the account that we have become.
absl::StatusOr<sip::Keys> FirstKeys(const Config& config) {
  const std::string& path = config.sip.key_file;
  ASSIGN_OR_RETURN(const std::optional<Account> account,
                   AccountToBecome(config.process.user));
  if (path.empty() || !account) return sip::Keys::Load(path);
  ASSIGN_OR_RETURN(sip::Keys keys, sip::LoadKeysFor(path, account->uid));
  const absl::Status handed =
      sip::HandOverKeyFile(path, account->uid, account->gid);
  if (!handed.ok()) {
    log::Line("the key file stays root's: a reload will be refused")
        .With("why", std::string(handed.message()))
        .With("account", account->name)
        .Warn();
  }
  return keys;
}

// The files of a reload that no account was given.
absl::Status CheckFilesReadable(const Config& config) {
  std::vector<std::string> files = {config.sip.key_file};
  for (const LegConfig& leg : config.legs) {
    files.insert(files.end(), {leg.tls_certificate, leg.tls_key, leg.tls_ca});
  }
  for (const std::string& file : files) {
    if (!file.empty()) RETURN_IF_ERROR(CheckReadable(file));
  }
  return absl::OkStatus();
}

}  // namespace

// In the order in which they need each other; destroyed the other way round.
struct SipService::Parts {
  Parts(net::EventLoop& l, const Config& c)
      : loop(l), config(c), trace(c.sip.trace_messages) {}

  net::EventLoop& loop;
  const Config config;
  SipTrace trace;
  std::function<bool(const Endpoint&)> allowed;  // messages to there
  std::unique_ptr<sip::Keys> keys;
  sip::Legs legs;
  std::unique_ptr<sip::Resolver> resolver;
  std::unique_ptr<sip::Router> router;
  std::unique_ptr<sip::Dispatcher> dispatcher;
  std::unique_ptr<sip::MediaRelay> relay;
  // `relay`, when it is another node's.
  const NatHelperClient* remote = nullptr;
  std::unique_ptr<sip::MediaNat> media;
  std::unique_ptr<SipHandlers> handlers;

  absl::Status MakeLegs();
  absl::Status MakeSockets();
  absl::Status MakeRelay(SessionVerbs& verbs);
  absl::Status MakeHandlers();
};

absl::Status SipService::Parts::MakeLegs() {
  for (const LegConfig& from : config.legs) {
    auto leg = std::make_unique<sip::Leg>();
    leg->index = static_cast<uint8_t>(legs.size());
    leg->name = from.name;
    for (const std::string& domain : from.domains) {
      leg->domains.push_back(Lower(domain));
    }
    if (!from.outgoing_proxy.empty()) {
      leg->outgoing_proxy_text = from.outgoing_proxy;
      leg->outgoing_proxy = sip::Uri::Parse(leg->outgoing_proxy_text);
      if (!leg->outgoing_proxy || !leg->outgoing_proxy->is_sip()) {
        return Bad(
            Cat("sip.leg \"", from.name, "\": outgoing_proxy is no SIP URI"));
      }
    }
    for (const auto& [digits, domain] : from.prefix) {
      leg->prefixes.push_back({.digits = digits, .domain = domain});
    }
    std::sort(leg->prefixes.begin(), leg->prefixes.end(),
              [](const auto& a, const auto& b) {
                return a.digits.size() > b.digits.size();
              });
    leg->anchor = from.anchor;
    leg->trusted = from.trusted;
    bool found = false;
    for (const InterfaceConfig& interface : config.interfaces) {
      if (interface.name == from.media) {
        leg->media = interface.address;
        found = true;
      }
    }
    if (!found) {
      return Bad(Cat("sip.leg \"", from.name, "\": media = \"", from.media,
                     "\" is no relay.interface"));
    }
    legs.push_back(std::move(leg));
  }
  return absl::OkStatus();
}

absl::Status SipService::Parts::MakeSockets() {
  for (size_t i = 0; i < legs.size(); ++i) {
    const LegConfig& from = config.legs[i];
    sip::Leg* leg = legs[i].get();
    sip::LegTransport::Options options{.name = from.name,
                                       .listen = {},
                                       .dst = std::nullopt,
                                       .connected = from.connected,
                                       .pool = PoolOf(config.sip_pool),
                                       .tls = {}};
    options.tls.certificate = from.tls_certificate;
    options.tls.key = from.tls_key;
    options.tls.ca = from.tls_ca;
    options.tls.client = from.tls_client;
    for (const std::string& where : from.listen) {
      const auto colon = where.find(':');
      const auto transport =
          sip::TransportOf(std::string_view(where).substr(0, colon));
      const auto endpoint =
          Endpoint::Parse(std::string_view(where).substr(colon + 1));
      if (!transport || !endpoint) return Bad(Cat("sip.leg.listen ", where));
      options.listen.emplace_back(*transport, *endpoint);
    }
    if (!from.dst.empty()) options.dst = Endpoint::Parse(from.dst);
    leg->sockets = std::make_unique<sip::LegTransport>(
        loop, std::move(options),
        [this, leg](const sip::Peer& peer, std::string_view octets) {
          dispatcher->OnMessage(*leg, peer, octets);
        });
    leg->sockets->SetAnswerPolicy(allowed);
    // It is no message: no chain sees it.
    leg->sockets->SetRefuser(
        [this](const sip::Peer& peer, std::string_view header, int code) {
          return sip::AnswerToBadFrame(*keys, peer, header, code);
        });
  }
  return absl::OkStatus();
}

absl::Status SipService::Parts::MakeRelay(SessionVerbs& verbs) {
  if (config.sip.nathelper.empty()) {
    relay = std::make_unique<LocalRelay>(verbs);
  } else {
    ASSIGN_OR_RETURN(auto client,
                     NatHelperClient::Create(loop, config.sip.nathelper, {}));
    remote = client.get();
    relay = std::move(client);
  }
  media = std::make_unique<sip::MediaNat>(*relay, *keys);
  return absl::OkStatus();
}

absl::Status SipService::Parts::MakeHandlers() {
  handlers = std::make_unique<SipHandlers>(
      SipHandlers::World{.loop = loop,
                         .config = config,
                         .keys = *keys,
                         .router = *router,
                         .dispatcher = *dispatcher,
                         .media = *media});
  for (size_t i = 0; i < legs.size(); ++i) {
    ASSIGN_OR_RETURN(auto chain, handlers->Chain(config.legs[i].chain));
    dispatcher->SetChain(*legs[i], std::move(chain));
  }
  return absl::OkStatus();
}

SipService::SipService(std::unique_ptr<Parts> parts)
    : parts_(std::move(parts)) {}
SipService::~SipService() = default;

absl::StatusOr<std::unique_ptr<SipService>> SipService::Create(
    net::EventLoop& loop, const Config& config, SessionVerbs& verbs) {
  auto parts = std::make_unique<Parts>(loop, config);
  ASSIGN_OR_RETURN(sip::Keys keys, FirstKeys(config));
  parts->keys = std::make_unique<sip::Keys>(std::move(keys));
  RETURN_IF_ERROR(parts->MakeLegs());
  // Nodes that share keys draw alike, and so does this one after a restart:
  // the ACK of a call goes where its INVITE went.
  sip::Resolver::Options names;
  const std::string seed = parts->keys->Derive("resolver");
  std::memcpy(&names.seed, seed.data(), sizeof names.seed);
  ASSIGN_OR_RETURN(parts->resolver, sip::Resolver::Create(loop, names));
  // The media's rules hold for messages, too (M5, P16): strangers choose where
  // both go.
  TargetPolicy::Options targets;
  targets.deny = Networks(config.relay.deny_targets);
  targets.listeners = ManagerOptions(config).listeners;
  for (const InterfaceConfig& interface : config.interfaces) {
    targets.own.push_back(interface.address);
  }
  for (const LegConfig& leg : config.legs) {
    for (const std::string& where : leg.listen) {
      const auto own = Endpoint::Parse(std::string_view(where).substr(4));
      if (own) targets.own.push_back(own->ip);
    }
  }
  parts->allowed = [policy =
                        TargetPolicy(std::move(targets))](const Endpoint& to) {
    return policy
        .Check(to.ip, to.port.host(), 1, [](const Endpoint&) { return false; })
        .ok();
  };
  sip::Router::Options routes{
      .domains = {}, .domain2proxy = {}, .allowed = parts->allowed};
  for (const std::string& d : config.sip.domains) {
    routes.domains.push_back(Lower(d));
  }
  for (const auto& [domain, proxy] : config.sip.domain2proxy) {
    const auto uri = sip::Uri::Parse(proxy);
    if (!uri || !uri->is_sip()) {
      return Bad(Cat("sip.domain2proxy: ", proxy, " is no SIP URI"));
    }
    routes.domain2proxy.emplace_back(Lower(domain), proxy);
  }
  parts->router = std::make_unique<sip::Router>(
      parts->legs, parts->resolver.get(), std::move(routes));
  parts->dispatcher = std::make_unique<sip::Dispatcher>(
      parts->legs, *parts->keys, [l = &loop] { return l->now(); });
  RETURN_IF_ERROR(parts->MakeSockets());
  RETURN_IF_ERROR(parts->MakeRelay(verbs));
  RETURN_IF_ERROR(parts->MakeHandlers());
  if (parts->trace.size() > 0) {
    parts->dispatcher->SetTrace([p = parts.get()](const sip::SipTrace& seen) {
      p->trace.Add(seen, p->loop.now());
    });
  }
  return std::unique_ptr<SipService>(new SipService(std::move(parts)));
}

absl::Status SipService::Listen() {
  for (size_t i = 0; i < parts_->legs.size(); ++i) {
    sip::Leg& leg = *parts_->legs[i];
    RETURN_IF_ERROR(leg.sockets->Listen());
    const IpAddress advertise = parts_->config.legs[i].advertise;
    for (const auto& [transport, bound] : leg.sockets->listeners()) {
      leg.addresses.push_back(
          {.transport = transport,
           .bound = bound,
           .host = HostOf(advertise == IpAddress() ? bound.ip : advertise),
           .port = bound.port.host()});
    }
  }
  return absl::OkStatus();
}

absl::Status SipService::Reload() {
  // All files are read before any of them is used.
  RETURN_IF_ERROR(CheckFilesReadable(parts_->config));
  ASSIGN_OR_RETURN(sip::Keys keys,
                   sip::Keys::Load(parts_->config.sip.key_file));
  ASSIGN_OR_RETURN(auto users, parts_->handlers->LoadUsers());
  std::vector<std::shared_ptr<const sip::TlsContext>> tls;
  for (const auto& leg : parts_->legs) {
    ASSIGN_OR_RETURN(tls.emplace_back(), leg->sockets->LoadTls());
  }
  for (size_t i = 0; i < tls.size(); ++i) {
    parts_->legs[i]->sockets->UseTls(std::move(tls[i]));
  }
  // Without a file a new key would end every dialog that is up.
  if (!parts_->config.sip.key_file.empty()) *parts_->keys = std::move(keys);
  parts_->handlers->UseUsers(std::move(users));
  return absl::OkStatus();
}

void SipService::Flush() {
  sip::LocationStore* const store = parts_->handlers->store();
  if (store == nullptr) return;
  const absl::Status flushed = store->Flush();
  if (!flushed.ok()) {
    log::Line("registrations were not written")
        .With("why", std::string(flushed.message()))
        .Error();
  }
}

std::vector<SipService::LegView> SipService::Legs() const {
  std::vector<LegView> views;
  for (size_t i = 0; i < parts_->legs.size(); ++i) {
    const sip::Leg& leg = *parts_->legs[i];
    LegView view{.name = leg.name,
                 .chain = parts_->config.legs[i].chain,
                 .connections = leg.sockets->connections()};
    for (const auto& [transport, bound] : leg.sockets->listeners()) {
      view.listeners.push_back(
          Cat(Lower(sip::NameOf(transport)), ":", bound.ToString()));
    }
    const sip::TransportCounters& counters = leg.sockets->counters();
#define SIP_TRANSPORT(name, help) \
  view.counters.emplace_back(#name, counters.name);
#include "sip/transport.def"
#undef SIP_TRANSPORT
    views.push_back(std::move(view));
  }
  return views;
}

SipService::RegistrationPage SipService::Registrations(const std::string& aor,
                                                       size_t offset,
                                                       size_t limit) const {
  RegistrationPage page;
  sip::LocationStore* const store = parts_->handlers->store();
  if (store == nullptr) return page;
  const int64_t now = WallClock();
  std::vector<std::pair<std::string, const sip::Binding*>> all;
  store->ForEach(
      [&](std::string_view name, const std::vector<sip::Binding>& bindings) {
        if (!aor.empty() && name != aor) return true;
        for (const sip::Binding& b : bindings) {
          if (b.expires_at > now) all.emplace_back(name, &b);
        }
        return true;
      });
  std::sort(all.begin(), all.end(), [](const auto& a, const auto& b) {
    return a.first != b.first ? a.first < b.first
                              : a.second->contact < b.second->contact;
  });
  page.total = all.size();
  for (size_t i = offset; i < all.size() && page.registrations.size() < limit;
       ++i) {
    const sip::Binding& b = *all[i].second;
    RegistrationView view{.aor = all[i].first,
                          .contact = b.contact,
                          .leg = b.leg,
                          .received = {},
                          .path = b.path,
                          .instance = b.instance,
                          .q = b.q / 1000.0,
                          .expires_in_s = b.expires_at - now};
    if (!b.received.address.is_none()) {
      view.received = Cat(Lower(sip::NameOf(b.received.transport)), ":",
                          b.received.address.ToString());
    }
    page.registrations.push_back(std::move(view));
  }
  return page;
}

std::vector<SipTrace::Entry> SipService::Trace(std::string_view call_id) const {
  return parts_->trace.Find(call_id);
}

namespace {

using Values = std::vector<std::pair<const char*, uint64_t>>;

// Counters that stand for themselves, as "sip_<of>_<name>".
void AddValues(const char* of, const char* help, const Values& values,
               std::vector<SipService::Number>* out) {
  for (const auto& [name, value] : values) {
    out->push_back({Cat("sip_", of, "_", name), help, {}, value});
  }
}

void AddDispatcher(const sip::SipCounters& c,
                   std::vector<SipService::Number>* out) {
#define SIP_COUNTER(name, help) \
  out->push_back({"sip_" #name, help, {}, c.name});
#define SIP_DROP(name, help)                        \
  out->push_back({"sip_drops",                      \
                  "SIP messages that went nowhere", \
                  {{"reason", #name}},              \
                  c.drops[static_cast<size_t>(sip::SipDrop::k_##name)]});
#include "sip/counters.def"
#undef SIP_COUNTER
#undef SIP_DROP
#define METHOD(id, text)         \
  out->push_back(                \
      {"sip_requests",           \
       "SIP requests by method", \
       {{"method", text}},       \
       c.requests_by_method[static_cast<size_t>(sip::Method::id)]});
#include "sip/methods.def"
#undef METHOD
  out->push_back({"sip_requests",
                  "SIP requests by method",
                  {{"method", "other"}},
                  c.requests_by_method[0]});
  for (int i = 1; i <= 6; ++i) {
    out->push_back({"sip_replies_sent",
                    "Requests answered by this proxy, by class",
                    {{"class", Cat(i, "xx")}},
                    c.replies_by_class[static_cast<size_t>(i)]});
  }
}

Values ValuesOf(const sip::MediaNat::Counters& c) {
  return {{"offers", c.offers},
          {"answers", c.answers},
          {"refused", c.refused},
          {"bad_sdp", c.bad_sdp},
          {"closed", c.closed}};
}

Values ValuesOf(const sip::Resolver::Counters& c) {
  return {{"questions", c.questions},      {"cache_hits", c.cache_hits},
          {"queries", c.queries},          {"timeouts", c.timeouts},
          {"failures", c.failures},        {"given_up", c.given_up},
          {"refused_full", c.refused_full}};
}

Values ValuesOf(const sip::LocationStore::Counters& c) {
  return {{"stored", c.stored},
          {"removed", c.removed},
          {"expired", c.expired},
          {"transactions", c.transactions},
          {"write_failures", c.write_failures}};
}

Values ValuesOf(const NatHelperClient::Counters& c) {
  return {{"requests", c.requests},       {"answered", c.answered},
          {"refused", c.refused},         {"refused_full", c.refused_full},
          {"timed_out", c.timed_out},     {"unreachable", c.unreachable},
          {"bad_answers", c.bad_answers}, {"too_long", c.too_long}};
}

}  // namespace

std::vector<SipService::Number> SipService::Numbers() const {
  std::vector<Number> out;
  AddDispatcher(parts_->dispatcher->counters(), &out);
  for (const LegView& leg : Legs()) {
    for (const auto& [name, value] : leg.counters) {
      out.push_back({Cat("sip_transport_", name),
                     "Of a leg's sockets",
                     {{"leg", leg.name}},
                     value});
    }
  }
  for (const auto& handler : parts_->handlers->all()) {
    for (const sip::Handler::Number& n : handler->Counters()) {
      out.push_back({Cat("sip_", handler->name(), "_", n.name),
                     "Of a handler of the chains",
                     {},
                     n.value});
    }
  }
  AddValues("media", "Of session descriptions",
            ValuesOf(parts_->media->counters()), &out);
  AddValues("resolver", "Of the search for names",
            ValuesOf(parts_->resolver->counters()), &out);
  if (const sip::LocationStore* store = parts_->handlers->store()) {
    AddValues("location", "Of the registrations' store",
              ValuesOf(store->counters()), &out);
  }
  if (parts_->remote != nullptr) {
    AddValues("nathelper", "Of requests to another node's relay",
              ValuesOf(parts_->remote->counters()), &out);
  }
  return out;
}

}  // namespace sluice::control
