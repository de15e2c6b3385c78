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

std::string_view Text(const absl::Status& status) {
  return {status.message().data(), status.message().size()};
}

// Where the system sends from when it knows nothing better: an address of
// documentation (RFC 5737), to which nothing is sent.
IpAddress DefaultSource() {
  const auto source = net::SourceTowards(*Endpoint::Parse("192.0.2.1:9"));
  return source.ok() ? *source : *IpAddress::Parse("127.0.0.1");
}

}  // namespace

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

UserAgent::~UserAgent() { LetGo(); }

absl::Status UserAgent::CheckOptions() const {
  if (!options_.from.empty()) {
    const auto from = PartyOf(options_.from, "example.invalid");
    if (!from.ok()) {
      return absl::InvalidArgumentError(Cat("from: ", Text(from.status())));
    }
  }
  RETURN_IF_ERROR(CheckContact(options_.contact));
  RETURN_IF_ERROR(CheckRoutes(options_.route));
  RETURN_IF_ERROR(CheckText("domain", options_.domain));
  RETURN_IF_ERROR(CheckText("user_agent", options_.user_agent));
  for (const auto& [name, value] : options_.options) {
    RETURN_IF_ERROR(CheckText("options", name));
    RETURN_IF_ERROR(CheckText(Cat("options ", name), value));
  }
  return absl::OkStatus();
}

absl::Status UserAgent::MakeStack() {
  RETURN_IF_ERROR(CheckOptions());
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
      .allowed = options_.allowed,
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
              // Whoever still holds one shall not hold its ports. What their
              // callbacks held may end others.
              const auto gone = std::exchange(over_, {});
              for (const auto& over : gone) over->LetGo();
            });
          },
      .error = [this](absl::Status why) { error_ = std::move(why); }});
  known_ = Keep(std::make_unique<Station>(
      "known", [this](Incoming& in) { return Known(in); }));
  last_ = Keep(std::make_unique<Station>(
      "last", [this](Incoming& in) { return Last(in); }));
  listener_ = Keep(std::make_unique<Station>(
      "listen", [this](Incoming& in) { return OnNewCall(in); }));
  InForce({});
  return absl::OkStatus();
}

absl::Status UserAgent::Gone() const {
  return stack_ != nullptr && !going_
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
  const Message& m = in.message;
  // Our tag, as the answers to the INVITE have it (RFC 3261 9.2).
  const auto caller = callers_.find(CallKey(m.call_id(), m.from()->tag));
  const std::string tag =
      caller == callers_.end() ? RandomHex(8) : caller->second;
  const Transactions::Id id = transactions_->Accept(in, tag);
  if (id == 0) return stack_->dispatcher().Reply(in, 503, ReasonOf(503));
  transactions_->Respond(id, 200, ReasonOf(200));
  const auto it = calls_.find(CallKey(m.call_id(), tag));
  if (it == calls_.end()) return;
  const std::shared_ptr<UserCall> call = it->second;
  call->Cancelled(invite);
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
  // Copies: in them the program may listen anew.
  const auto filter = listen_.filter;
  const auto create = listen_.cb_create;
  if (filter && !filter(m.Value(HeaderId::kFrom), m)) return answer(403);
  if (calls_.size() >= options_.calls_max) return answer(486);
  if (transactions_->crowded()) return answer(503);
  // It may be from nobody, and the answer is said again and again.
  if (dispatcher.Owe(in).headers.size() > Transactions::kAnswerHeadersMax) {
    return answer(513);
  }
  // What could never be a call is answered without keeping anything of it.
  if (const auto refusal = UserCall::Judge(m, listen_.call)) {
    dispatcher.Reply(in, refusal->code, ReasonOf(refusal->code),
                     refusal->headers);
    return Handler::Handled::kMine;
  }
  const std::string tag = RandomHex(8);
  const Transactions::Id id = transactions_->Accept(in, tag);
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
  call->Invited(in, id, tag, m.parsed_uri()->user, create);
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
  if (const absl::Status bad = CheckContact(args.contact); !bad.ok()) {
    return Failed(bad);
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
  if (loop_.in_turn()) {
    return Failed(absl::FailedPreconditionError(
        "register: in a callback nothing can be waited for, give cb_final"));
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
  if (loop_.in_turn()) {
    error_ = absl::FailedPreconditionError(
        "a callback cannot turn the loop that has called it");
    return false;
  }
  constexpr Micros kLongest = Micros::Seconds(3600);
  const Micros end = loop_.now() + timeout;
  for (;;) {
    for (const bool* const over : stop) {
      if (!*over) continue;
      stopped_ = false;  // nor does it stop another one
      return true;
    }
    if (stopped_.exchange(false) || going_) return false;
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
  if (going_) return 0;
  const uint64_t timer = ++last_timer_;
  timers_[timer] = loop_.After(when, [this, timer, repeat, callback] {
    if (repeat <= Micros()) {
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
  const net::EventLoop::TimerId id = it->second;
  timers_.erase(it);
  loop_.Cancel(id);
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
  // Somebody whom it tells of its end asks for it.
  if (going_ && cleanup_timer_ == 0) return;
  if (!loop_.in_turn()) return LetGo();
  // Somebody of ours has called, and has to come back first.
  if (std::exchange(going_, true)) return;
  cleanup_timer_ = loop_.After(Micros(), [this] {
    cleanup_timer_ = 0;
    LetGo();
  });
}

void UserAgent::LetGo() {
  going_ = true;
  loop_.Cancel(std::exchange(cleanup_timer_, 0));
  // What their callbacks hold may cancel others.
  for (const auto& [timer, id] : std::exchange(timers_, {})) loop_.Cancel(id);
  registrations_.clear();
  if (world_ != nullptr) {
    // Calls that only the program holds, too. What they are told may let go of
    // others.
    std::vector<std::shared_ptr<UserCall>> calls;
    for (UserCall* const call : world_->all) {
      if (auto held = call->weak_from_this().lock()) {
        calls.push_back(std::static_pointer_cast<UserCall>(held));
      }
    }
    for (const auto& call : calls) call->Release();
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
