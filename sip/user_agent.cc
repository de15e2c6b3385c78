#include "sip/user_agent.h"

#include <algorithm>
#include <ctime>
#include <utility>

#include "base/check.h"
#include "base/net/socket.h"
#include "base/status_macros.h"
#include "base/text.h"
#include "sip/reply.h"
#include "sip/simple_names.h"

namespace sluice::sip {
namespace {

std::string CallKey(std::string_view call_id, std::string_view tag) {
  return Cat(tag, " ", call_id);
}

// Where the system sends from when it knows nothing better: an address of
// documentation (RFC 5737), to which nothing is sent.
IpAddress DefaultSource() {
  const auto source = net::SourceTowards(*Endpoint::Parse("192.0.2.1:9"));
  return source.ok() ? *source : *IpAddress::Parse("127.0.0.1");
}

}  // namespace

class UserAgent::Station final : public Handler {
 public:
  Station(std::string name, std::function<Handled(Incoming&)> receive)
      : name_(std::move(name)), receive_(std::move(receive)) {}
  std::string_view name() const override { return name_; }
  Handled Receive(Incoming& in) override { return receive_(in); }

 private:
  const std::string name_;
  const std::function<Handled(Incoming&)> receive_;
};

absl::StatusOr<std::unique_ptr<Simple>> Simple::Create(Options options) {
  return UserAgent::Make(std::move(options));
}

absl::StatusOr<std::unique_ptr<UserAgent>> UserAgent::Make(Options options) {
  ASSIGN_OR_RETURN(Keys keys, Keys::Load(""));
  std::unique_ptr<UserAgent> agent(
      new UserAgent(std::move(options), std::move(keys)));
  RETURN_IF_ERROR(agent->MakeStack());
  return agent;
}

UserAgent::UserAgent(Options options, Keys keys)
    : options_(std::move(options)),
      own_loop_(options_.loop == nullptr ? std::make_unique<net::EventLoop>()
                                         : nullptr),
      loop_(options_.loop == nullptr ? *own_loop_ : *options_.loop),
      keys_(std::move(keys)) {}

UserAgent::~UserAgent() { Cleanup(); }

absl::Status UserAgent::MakeStack() {
  std::string proxy;
  if (!options_.outgoing_proxy.empty()) {
    proxy = ProxyUri(options_.outgoing_proxy);
    if (proxy.empty()) {
      return absl::InvalidArgumentError(Cat("outgoing_proxy: \"",
                                            options_.outgoing_proxy,
                                            "\" is no address and no SIP URI"));
    }
  }
  std::string registrar;
  if (!options_.registrar.empty()) {
    registrar = ProxyUri(options_.registrar);
    if (registrar.empty()) {
      return absl::InvalidArgumentError(Cat("registrar: \"", options_.registrar,
                                            "\" is no address and no SIP URI"));
    }
  }
  // The address from which our first station is reached.
  const std::string& station = proxy.empty() ? registrar : proxy;
  IpAddress facing = DefaultSource();
  Transport transport = Transport::kUdp;
  if (const auto uri = Uri::Parse(station)) {
    if (const auto ip = uri->ip()) {
      ASSIGN_OR_RETURN(
          facing,
          net::SourceTowards(
              {.ip = *ip, .port = Port::FromHost(uri->port_or_default())}));
    }
    if (const auto named = uri->Param("transport")) {
      transport = TransportOf(*named).value_or(transport);
    }
  }
  std::vector<LegOptions> legs = options_.legs;
  if (legs.empty()) {
    if (station.empty()) {
      return absl::InvalidArgumentError(
          "legs: say where to listen, or name an outgoing_proxy");
    }
    legs.emplace_back(Cat(Lower(NameOf(transport)), ":",
                          Endpoint{.ip = facing, .port = Port()}.ToString()));
  }
  if (legs.size() > ContactTokens::kLegsMax) {
    return absl::InvalidArgumentError("legs: too many");
  }
  std::vector<Stack::LegPlan> plans;
  for (const LegOptions& from : legs) {
    Stack::LegPlan plan{.leg = std::make_unique<Leg>()};
    plan.leg->name = from.name.empty() ? Cat("leg", plans.size()) : from.name;
    if (!proxy.empty()) {
      plan.leg->outgoing_proxy_text = proxy;
      plan.leg->outgoing_proxy = Uri::Parse(plan.leg->outgoing_proxy_text);
    }
    plan.sockets.name = plan.leg->name;
    plan.sockets.tls = from.tls;
    for (const std::string& where : from.listen) {
      ASSIGN_OR_RETURN(plan.sockets.listen.emplace_back(), ListenerOf(where));
      // Nobody can answer to the wildcard.
      if (plan.sockets.listen.back().second.ip.is_any()) {
        plan.advertise = facing;
      }
    }
    if (from.listen.empty()) {
      return absl::InvalidArgumentError(
          Cat("legs: \"", plan.leg->name, "\" listens nowhere"));
    }
    if (!from.dst.empty()) {
      plan.sockets.dst = Endpoint::Parse(from.dst);
      if (!plan.sockets.dst) {
        return absl::InvalidArgumentError(
            Cat("legs: dst \"", from.dst, "\" is no address:port"));
      }
    }
    plans.push_back(std::move(plan));
  }
  Router::Options routes{
      .domains = {}, .domain2proxy = {}, .allowed = options_.allowed};
  for (const auto& [domain, to] : options_.domain2proxy) {
    const std::string uri = ProxyUri(to);
    if (uri.empty()) {
      return absl::InvalidArgumentError(
          Cat("domain2proxy: \"", to, "\" is no address and no SIP URI"));
    }
    routes.domain2proxy.emplace_back(Lower(domain), uri);
  }
  options_.outgoing_proxy = proxy;
  options_.registrar = registrar;
  if (!options_.domain.empty())
    routes.domains.push_back(Lower(options_.domain));
  ASSIGN_OR_RETURN(
      stack_, Stack::Create(loop_, keys_, std::move(plans), std::move(routes)));
  RETURN_IF_ERROR(stack_->Listen());
  transactions_ = std::make_unique<Transactions>(loop_, stack_->dispatcher(),
                                                 options_.timers);
  requester_ =
      std::make_unique<Requester>(loop_, stack_->router(), *transactions_);
  media_ = std::make_unique<rtp::MediaLoop>(loop_);
  RETURN_IF_ERROR(
      media_->SetPorts({.first = Port::FromHost(options_.rtp_ports.first),
                        .last = Port::FromHost(options_.rtp_ports.second)}));
  if (options_.trace) {
    stack_->dispatcher().SetTrace([this](const SipTrace& seen) {
      options_.trace(seen.in, seen.peer, seen.octets);
    });
  }
  world_ = std::make_unique<CallWorld>(CallWorld{
      .loop = loop_,
      .dispatcher = stack_->dispatcher(),
      .transactions = *transactions_,
      .requester = *requester_,
      .media = *media_,
      .auth = options_.auth,
      .contact = options_.contact,
      .user_agent = options_.user_agent,
      .enter =
          [this](UserCall& call) {
            calls_[CallKey(call.call_id(), call.local_tag())] =
                std::static_pointer_cast<UserCall>(call.shared_from_this());
          },
      .leave =
          [this](UserCall& call) {
            if (call.incoming()) {
              callers_.erase(CallKey(call.call_id(), call.caller_tag()));
            }
            const auto it =
                calls_.find(CallKey(call.call_id(), call.local_tag()));
            if (it == calls_.end()) return;
            over_.push_back(std::move(it->second));
            calls_.erase(it);
            if (over_timer_ != 0) return;
            over_timer_ = loop_.After(Micros(), [this] {
              over_timer_ = 0;
              over_.clear();
            });
          },
      .error = [this](absl::Status why) { error_ = std::move(why); }});
  known_ = Keep(std::make_unique<Station>(
      "known", [this](Incoming& in) { return Known(in); }));
  last_ = Keep(std::make_unique<Station>(
      "last", [this](Incoming& in) { return Last(in); }));
  InForce({});
  return absl::OkStatus();
}

absl::Status UserAgent::Gone() const {
  return stack_ != nullptr
             ? absl::OkStatus()
             : absl::FailedPreconditionError("it has been cleaned up");
}

// ---- what comes -------------------------------------------------------------

Handler::Handled UserAgent::Known(Incoming& in) {
  const Message& m = in.message;
  if (transactions_->Receive(in) == Handler::Handled::kMine) {
    return Handler::Handled::kMine;
  }
  if (m.is_response()) return Handler::Handled::kNotMine;
  if (m.method() == Method::kCancel) {
    if (transactions_->InviteOf(in) == 0) return Handler::Handled::kNotMine;
    OnCancel(in);
    return Handler::Handled::kMine;
  }
  if (m.to()->tag.empty()) return Handler::Handled::kNotMine;
  const auto it = calls_.find(CallKey(m.call_id(), m.to()->tag));
  if (it == calls_.end()) return Handler::Handled::kNotMine;
  const std::shared_ptr<UserCall> call = it->second;
  call->Receive(in);
  return Handler::Handled::kMine;
}

void UserAgent::OnCancel(Incoming& in) {
  const Transactions::Id invite = transactions_->InviteOf(in);
  const Transactions::Id id = transactions_->Accept(in, RandomHex(8), {});
  if (id == 0) return stack_->dispatcher().Reply(in, 503, ReasonOf(503));
  transactions_->Respond(id, 200, ReasonOf(200));
  for (const auto& [key, call] : calls_) {
    if (call->invite_server() != invite) continue;
    const std::shared_ptr<UserCall> keep = call;
    return keep->Cancelled(invite);
  }
}

Handler::Handled UserAgent::OnNewCall(Incoming& in) {
  const Message& m = in.message;
  if (m.is_response() || m.method() != Method::kInvite ||
      !m.to()->tag.empty()) {
    return Handler::Handled::kNotMine;
  }
  Dispatcher& dispatcher = stack_->dispatcher();
  const auto answer = [&](int code) {
    dispatcher.Reply(in, code, ReasonOf(code));
    return Handler::Handled::kMine;
  };
  const std::string caller = CallKey(m.call_id(), m.from()->tag);
  // The same request by another way: a fork has met again behind us.
  if (callers_.contains(caller)) return answer(482);
  if (listen_.filter && !listen_.filter(m.Value(HeaderId::kFrom), m)) {
    return answer(403);
  }
  if (calls_.size() >= options_.calls_max) return answer(486);
  const std::string tag = RandomHex(8);
  const Transactions::Id id = transactions_->Accept(in, tag, {});
  if (id == 0) return answer(503);
  CallParams params = listen_.call;
  if (listen_.cb_established && !params.cb_established) {
    params.cb_established = listen_.cb_established;
  }
  if (listen_.cb_cleanup && !params.cb_cleanup) {
    params.cb_cleanup = listen_.cb_cleanup;
  }
  const auto call = std::make_shared<UserCall>(*world_, std::move(params));
  callers_.emplace(caller, tag);
  call->Invited(in, id, tag, m.parsed_uri()->user, listen_.cb_create);
  return Handler::Handled::kMine;
}

std::string UserAgent::OptionsHeaders() const {
  const std::pair<std::string_view, std::string_view> defaults[] = {
      {"Allow", kAllow},
      {"Accept", "application/sdp"},
      {"Accept-Encoding", ""},
      {"Accept-Language", "en"},
      {"Supported", "100rel"}};
  std::string out;
  for (const auto& [name, value] : defaults) {
    const bool given = std::any_of(
        options_.options.begin(), options_.options.end(),
        [n = name](const auto& o) { return EqualsNoCase(o.first, n); });
    if (!given) Append(&out, name, ": ", value, "\r\n");
  }
  for (const auto& [name, value] : options_.options) {
    Append(&out, name, ": ", value, "\r\n");
  }
  return out;
}

Handler::Handled UserAgent::Last(Incoming& in) {
  const Message& m = in.message;
  if (m.is_response()) return Handler::Handled::kNotMine;
  Dispatcher& dispatcher = stack_->dispatcher();
  if (m.method() == Method::kAck) {
    // Of a call that is over.
    dispatcher.Drop(SipDrop::k_bad_ack);
  } else if (m.method() == Method::kCancel || m.method() == Method::kBye ||
             !m.to()->tag.empty()) {
    dispatcher.Reply(in, 481, ReasonOf(481));
  } else if (m.method() == Method::kOptions) {
    dispatcher.Reply(in, 200, ReasonOf(200), OptionsHeaders());
  } else if (m.method() == Method::kInvite) {
    dispatcher.Reply(in, 480, ReasonOf(480));
  } else {
    dispatcher.Reply(in, 405, ReasonOf(405), Cat("Allow: ", kAllow, "\r\n"));
  }
  return Handler::Handled::kMine;
}

// ---- stations ---------------------------------------------------------------

Handler* UserAgent::Keep(std::unique_ptr<Handler> handler) {
  handlers_.push_back(std::move(handler));
  return handlers_.back().get();
}

void UserAgent::InForce(std::vector<Handler*> handlers) {
  handlers.insert(handlers.begin(), known_);
  handlers.push_back(last_);
  for (const auto& leg : stack_->legs()) {
    stack_->dispatcher().SetChain(*leg, handlers);
  }
}

absl::Status UserAgent::InForceBehind(const std::optional<AuthArgs>& auth,
                                      Handler* handler) {
  if (!auth) {
    InForce({handler});
    return absl::OkStatus();
  }
  ASSIGN_OR_RETURN(Handler* const gate, MakeAuth(*auth));
  InForce({gate, handler});
  return absl::OkStatus();
}

namespace {

// Users of a program's own, by password.
class PasswordStore final : public UserStore {
 public:
  PasswordStore(std::string realm,
                const std::vector<std::pair<std::string, std::string>>& users,
                const std::vector<DigestAlgorithm>& algorithms)
      : realm_(std::move(realm)) {
    for (const auto& [user, password] : users) {
      for (const DigestAlgorithm algorithm : algorithms) {
        a1_[std::pair(user, algorithm)] =
            DigestA1(algorithm, user, realm_, password);
      }
    }
  }
  std::optional<std::string> A1(std::string_view user, std::string_view realm,
                                DigestAlgorithm algorithm) override {
    const auto it = a1_.find(std::pair(std::string(user), algorithm));
    if (realm != realm_ || it == a1_.end()) return std::nullopt;
    return it->second;
  }

 private:
  const std::string realm_;
  absl::flat_hash_map<std::pair<std::string, DigestAlgorithm>, std::string> a1_;
};

constexpr Micros kNonceTtl = Micros::Seconds(60);

}  // namespace

absl::StatusOr<Handler*> UserAgent::MakeAuth(const AuthArgs& args) {
  if (args.users.empty() == args.user2pass.empty()) {
    return Failed(absl::InvalidArgumentError(
        "auth: name a file of users, or users and passwords"));
  }
  if (args.users.empty()) {
    users_.push_back(std::make_unique<PasswordStore>(args.realm, args.user2pass,
                                                     args.algorithms));
  } else {
    absl::StatusOr<std::unique_ptr<UserStore>> opened =
        UserStore::Open(args.users);
    if (!opened.ok()) return Failed(opened.status());
    users_.push_back(*std::move(opened));
  }
  nonces_.push_back(
      std::make_unique<NonceBook>(keys_.Derive("nonce"), kNonceTtl));
  digests_.push_back(
      std::make_unique<Digest>(Digest::Options{.realm = args.realm,
                                               .opaque = args.opaque,
                                               .algorithms = args.algorithms},
                               *users_.back(), *nonces_.back()));
  return Keep(std::make_unique<Authorize>(
      stack_->dispatcher(), *digests_.back(),
      Authorize::Options{.realm = args.realm,
                         .i_am_proxy = args.i_am_proxy,
                         .i_am_user_agent = !args.i_am_proxy,
                         .methods = args.methods}));
}

absl::Status UserAgent::Listen(ListenArgs args) {
  RETURN_IF_ERROR(Gone());
  listen_ = std::move(args);
  return InForceBehind(
      listen_.auth,
      Keep(std::make_unique<Station>(
          "listen", [this](Incoming& in) { return OnNewCall(in); })));
}

absl::StatusOr<Handler*> UserAgent::CreateAuth(AuthArgs args) {
  RETURN_IF_ERROR(Gone());
  ASSIGN_OR_RETURN(Handler* const gate, MakeAuth(args));
  InForce({gate});
  return gate;
}

absl::StatusOr<Handler*> UserAgent::CreateRegistrar(RegistrarArgs args) {
  RETURN_IF_ERROR(Gone());
  const auto wall_clock = [] {
    return static_cast<int64_t>(std::time(nullptr));
  };
  auto store = LocationStore::Open(
      loop_, {.database = args.database, .wall_clock = wall_clock});
  if (!store.ok()) return Failed(store.status());
  stores_.push_back(*std::move(store));
  for (std::string& domain : args.domains) {
    domain = Lower(domain);
    stack_->router().AddDomain(domain);
  }
  Handler* const registrar = Keep(std::make_unique<Registrar>(
      stack_->dispatcher(), *stores_.back(),
      Registrar::Options{.domains = std::move(args.domains),
                         .min_expires = args.min_expires,
                         .max_expires = args.max_expires,
                         .max_contacts = args.max_contacts,
                         .wall_clock = wall_clock}));
  RETURN_IF_ERROR(InForceBehind(args.auth, registrar));
  return registrar;
}

absl::StatusOr<Handler*> UserAgent::CreateStatelessProxy(ProxyArgs args) {
  RETURN_IF_ERROR(Gone());
  for (const std::string& domain : args.domains) {
    stack_->router().AddDomain(Lower(domain));
  }
  if (args.trusted) {
    for (const auto& leg : stack_->legs()) leg->trusted = true;
  }
  MediaNat* relay = nullptr;
  if (args.nathelper != nullptr) {
    relays_.push_back(std::make_unique<MediaNat>(*args.nathelper, keys_));
    relay = relays_.back().get();
  }
  Handler* const proxy = Keep(std::make_unique<StatelessProxy>(
      stack_->dispatcher(), stack_->router(), keys_, relay,
      StatelessProxy::Options{.force_rewrite = args.force_rewrite,
                              .rewrite_contact = args.rewrite_contact}));
  // The seeds' proxies forget that they are ones, and say 401.
  if (args.auth) args.auth->i_am_proxy = true;
  RETURN_IF_ERROR(InForceBehind(args.auth, proxy));
  return proxy;
}

absl::StatusOr<Handler*> UserAgent::CreateChain(std::vector<Handler*> objects,
                                                ChainArgs args) {
  RETURN_IF_ERROR(Gone());
  Handler* chain = Keep(std::make_unique<ReceiveChain>(
      "chain", std::move(objects), std::move(args.methods)));
  if (args.filter) {
    chain = Keep(std::make_unique<Station>(
        "chain", [chain, filter = std::move(args.filter)](Incoming& in) {
          return filter(in) ? chain->Receive(in) : Handler::Handled::kNotMine;
        }));
  }
  InForce({chain});
  return chain;
}

// ---- what we begin ----------------------------------------------------------

std::string UserAgent::DomainOrHost() const {
  return options_.domain.empty() ? stack_->legs()[0]->addresses[0].host
                                 : options_.domain;
}

absl::StatusOr<Party> UserAgent::Me(const std::string& given) const {
  const std::string& from = given.empty() ? options_.from : given;
  if (from.empty()) return PartyOf("sip:anonymous@anonymous.invalid", "");
  return PartyOf(from, DomainOrHost());
}

absl::StatusOr<Leg*> UserAgent::LegFor(const std::string& name,
                                       std::string_view next_hop) {
  if (!name.empty()) {
    Leg* const leg = stack_->dispatcher().FindLeg(name);
    if (leg != nullptr) return leg;
    return Failed(
        absl::InvalidArgumentError(Cat("no leg is called \"", name, "\"")));
  }
  const auto uri = Uri::Parse(next_hop);
  if (uri) {
    const auto ways = stack_->router().FindNow(*uri, nullptr);
    if (ways && ways->ok()) return (*ways)->front().leg;
  }
  return stack_->legs()[0].get();
}

absl::StatusOr<uint32_t> UserAgent::Register(RegisterArgs args) {
  RETURN_IF_ERROR(Gone());
  const std::string registrar =
      args.registrar.empty() ? options_.registrar : ProxyUri(args.registrar);
  if (registrar.empty()) {
    return Failed(absl::InvalidArgumentError("register: name a registrar"));
  }
  if (args.from.empty() && options_.from.empty()) {
    return Failed(absl::InvalidArgumentError("register: say who, in from"));
  }
  ASSIGN_OR_RETURN(const Party me, Me(args.from));
  ASSIGN_OR_RETURN(Leg* const leg, LegFor(args.leg, registrar));
  Registration::Plan plan{
      .registrar = registrar,
      .aor = me.uri,
      .value = me.value,
      .contact = args.contact.empty() ? options_.contact : args.contact,
      .user = me.user,
      .user_agent = options_.user_agent,
      .routes = options_.route,
      .leg = leg};
  Registration* series = nullptr;
  for (const auto& r : registrations_) {
    if (r->Is(plan)) series = r.get();
  }
  if (series == nullptr) {
    registrations_.push_back(
        std::make_unique<Registration>(loop_, *requester_, std::move(plan)));
    series = registrations_.back().get();
  }
  const Credentials who = args.auth ? *args.auth : options_.auth;
  if (args.cb_final) {
    series->Register(args.expires, args.refresh, who,
                     [this, cb = std::move(args.cb_final)](
                         const absl::StatusOr<uint32_t>& result) {
                       if (!result.ok()) error_ = result.status();
                       cb(result);
                     });
    return 0;
  }
  // What outlives this call is the refreshing, which nobody hears of.
  struct Waiting {
    bool done = false;
    absl::StatusOr<uint32_t> result = absl::CancelledError("stopped");
  };
  const auto waiting = std::make_shared<Waiting>();
  series->Register(args.expires, args.refresh, who,
                   [this, waiting](const absl::StatusOr<uint32_t>& result) {
                     waiting->done = true;
                     waiting->result = result;
                     if (!result.ok()) error_ = result.status();
                   });
  Loop(Micros(), {&waiting->done});
  return waiting->result;
}

absl::StatusOr<std::shared_ptr<Call>> UserAgent::Invite(std::string_view who,
                                                        CallParams params) {
  RETURN_IF_ERROR(Gone());
  const auto to = PartyOf(who, DomainOrHost());
  if (!to.ok()) return Failed(to.status());
  const auto me = Me(params.from);
  if (!me.ok()) return Failed(me.status());
  if (calls_.size() >= options_.calls_max) {
    return Failed(absl::ResourceExhaustedError(
        Cat("there are ", calls_.size(), " calls, which is calls_max")));
  }
  if (params.route.empty()) params.route = options_.route;
  ASSIGN_OR_RETURN(Leg* const leg,
                   LegFor(params.leg, params.route.empty()
                                          ? std::string_view(to->uri)
                                          : UriOfRoute(params.route.front())));
  const auto call = std::make_shared<UserCall>(*world_, std::move(params));
  const absl::Status begun = call->Invite({.local = me->value,
                                           .remote = to->value,
                                           .uri = to->uri,
                                           .user = me->user,
                                           .leg = leg});
  if (!begun.ok()) return Failed(begun);
  return call;
}

// ---- the loop ---------------------------------------------------------------

bool UserAgent::Loop(Micros timeout, std::initializer_list<const bool*> stop) {
  constexpr Micros kLongest = Micros::Seconds(3600);
  const Micros end = loop_.now() + timeout;
  for (;;) {
    for (const bool* const over : stop) {
      if (*over) return true;
    }
    if (stopped_.exchange(false)) return false;
    Micros wait = kLongest;
    if (timeout != Micros()) {
      wait = end - loop_.now();
      if (wait <= Micros()) return false;
    }
    loop_.RunOnce(wait);
  }
}

void UserAgent::Stop() {
  stopped_ = true;
  loop_.Stop();
}

uint64_t UserAgent::AddTimer(Micros when, std::function<void()> callback,
                             Micros repeat) {
  const uint64_t timer = ++last_timer_;
  timers_[timer] = loop_.After(when, [this, timer, repeat, callback] {
    if (repeat == Micros()) {
      timers_.erase(timer);
    } else {
      timers_[timer] = loop_.Every(repeat, callback);
    }
    callback();
  });
  return timer;
}

void UserAgent::CancelTimer(uint64_t timer) {
  const auto it = timers_.find(timer);
  if (it == timers_.end()) return;
  loop_.Cancel(it->second);
  timers_.erase(it);
}

std::vector<std::string> UserAgent::Listening() const {
  std::vector<std::string> out;
  if (stack_ == nullptr) return out;
  for (const auto& leg : stack_->legs()) {
    for (const auto& [transport, bound] : leg->sockets->listeners()) {
      out.push_back(Cat(Lower(NameOf(transport)), ":", bound.ToString()));
    }
  }
  return out;
}

void UserAgent::Cleanup() {
  for (const auto& [timer, id] : timers_) loop_.Cancel(id);
  timers_.clear();
  registrations_.clear();
  if (world_ != nullptr) {
    // Calls that only the program holds still have a port each.
    const auto calls = std::exchange(world_->all, {});
    for (UserCall* const call : calls) call->Release();
  }
  calls_.clear();
  over_.clear();
  loop_.Cancel(std::exchange(over_timer_, 0));
  callers_.clear();
  requester_.reset();
  transactions_.reset();
  media_.reset();
  stack_.reset();
  listen_ = {};
  handlers_.clear();
  relays_.clear();
  stores_.clear();
  digests_.clear();
  nonces_.clear();
  users_.clear();
  world_.reset();
}

}  // namespace sluice::sip
