#include "control/sip_service.h"

#include <algorithm>
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
#include "sip/key_file.h"
#include "sip/keys.h"
#include "sip/media_nat.h"
#include "sip/stack.h"

namespace sluice::control {
namespace {

int64_t WallClock() { return static_cast<int64_t>(std::time(nullptr)); }

absl::Status Bad(std::string what) {
  return absl::InvalidArgumentError(std::move(what));
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
  std::unique_ptr<sip::Keys> keys;
  std::unique_ptr<sip::Stack> stack;
  std::unique_ptr<sip::MediaRelay> relay;
  // `relay`, when it is another node's.
  const NatHelperClient* remote = nullptr;
  std::unique_ptr<sip::MediaNat> media;
  std::unique_ptr<SipHandlers> handlers;

  absl::StatusOr<std::unique_ptr<sip::Leg>> MakeLeg(
      const LegConfig& from) const;
  absl::StatusOr<sip::LegTransport::Options> SocketsOf(
      const LegConfig& from) const;
  absl::Status MakeStack();
  absl::Status MakeRelay(SessionVerbs& verbs);
  absl::Status MakeHandlers();
};

absl::StatusOr<std::unique_ptr<sip::Leg>> SipService::Parts::MakeLeg(
    const LegConfig& from) const {
  auto leg = std::make_unique<sip::Leg>();
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
  return leg;
}

absl::StatusOr<sip::LegTransport::Options> SipService::Parts::SocketsOf(
    const LegConfig& from) const {
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
    const auto listener = sip::ParseListener(where);
    if (!listener) return Bad(Cat("sip.leg.listen ", where));
    options.listen.push_back(*listener);
  }
  if (!from.dst.empty()) options.dst = Endpoint::Parse(from.dst);
  return options;
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
                         .router = stack->router(),
                         .dispatcher = stack->dispatcher(),
                         .media = *media});
  const sip::Legs& legs = stack->legs();
  for (size_t i = 0; i < legs.size(); ++i) {
    ASSIGN_OR_RETURN(auto chain, handlers->Chain(config.legs[i].chain));
    stack->dispatcher().SetChain(*legs[i], std::move(chain));
  }
  return absl::OkStatus();
}

absl::Status SipService::Parts::MakeStack() {
  std::vector<sip::Stack::LegPlan> plans;
  for (const LegConfig& from : config.legs) {
    sip::Stack::LegPlan plan{.advertise = from.advertise};
    ASSIGN_OR_RETURN(plan.leg, MakeLeg(from));
    ASSIGN_OR_RETURN(plan.sockets, SocketsOf(from));
    plans.push_back(std::move(plan));
  }
  // The media's rules hold for messages, too (M5, P16): strangers choose where
  // both go.
  TargetPolicy::Options targets;
  targets.deny = Networks(config.relay.deny_targets);
  targets.listeners = ManagerOptions(config).listeners;
  for (const InterfaceConfig& interface : config.interfaces) {
    targets.own.push_back(interface.address);
  }
  for (const sip::Stack::LegPlan& plan : plans) {
    for (const auto& [transport, own] : plan.sockets.listen) {
      targets.own.push_back(own.ip);
    }
  }
  sip::Router::Options routes{
      .domains = {},
      .domain2proxy = {},
      .allowed = [policy =
                      TargetPolicy(std::move(targets))](const Endpoint& to) {
        return policy
            .Check(to.ip, to.port.host(), 1,
                   [](const Endpoint&) { return false; })
            .ok();
      }};
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
  ASSIGN_OR_RETURN(stack, sip::Stack::Create(loop, *keys, std::move(plans),
                                             std::move(routes)));
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
  RETURN_IF_ERROR(parts->MakeStack());
  RETURN_IF_ERROR(parts->MakeRelay(verbs));
  RETURN_IF_ERROR(parts->MakeHandlers());
  if (parts->trace.size() > 0) {
    parts->stack->dispatcher().SetTrace(
        [p = parts.get()](const sip::SipTrace& seen) {
          p->trace.Add(seen, p->loop.now());
        });
  }
  return std::unique_ptr<SipService>(new SipService(std::move(parts)));
}

absl::Status SipService::Listen() { return parts_->stack->Listen(); }

absl::Status SipService::Reload() {
  // All files are read before any of them is used.
  RETURN_IF_ERROR(CheckFilesReadable(parts_->config));
  ASSIGN_OR_RETURN(sip::Keys keys,
                   sip::Keys::Load(parts_->config.sip.key_file));
  ASSIGN_OR_RETURN(auto users, parts_->handlers->LoadUsers());
  std::vector<std::shared_ptr<const sip::TlsContext>> tls;
  for (const auto& leg : parts_->stack->legs()) {
    ASSIGN_OR_RETURN(tls.emplace_back(), leg->sockets->LoadTls());
  }
  for (size_t i = 0; i < tls.size(); ++i) {
    parts_->stack->legs()[i]->sockets->UseTls(std::move(tls[i]));
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
  for (size_t i = 0; i < parts_->stack->legs().size(); ++i) {
    const sip::Leg& leg = *parts_->stack->legs()[i];
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
  AddDispatcher(parts_->stack->dispatcher().counters(), &out);
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
            ValuesOf(parts_->stack->resolver().counters()), &out);
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
