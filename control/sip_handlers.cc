#include "control/sip_handlers.h"

#include <ctime>
#include <optional>
#include <utility>

#include "base/status_macros.h"
#include "base/text.h"
#include "sip/authorize.h"
#include "sip/gates.h"
#include "sip/receive_chain.h"
#include "sip/stateless_proxy.h"

namespace sluice::control {
namespace {

int64_t WallClock() { return static_cast<int64_t>(std::time(nullptr)); }

absl::Status Bad(std::string what) {
  return absl::InvalidArgumentError(std::move(what));
}

}  // namespace

// The users of the file as it was last read.
class SipHandlers::Users final : public sip::UserStore {
 public:
  explicit Users(std::unique_ptr<sip::UserStore> now) : now_(std::move(now)) {}
  void Replace(std::unique_ptr<sip::UserStore> by) { now_ = std::move(by); }
  std::optional<std::string> A1(std::string_view user, std::string_view realm,
                                sip::DigestAlgorithm algorithm) override {
    return now_->A1(user, realm, algorithm);
  }

 private:
  std::unique_ptr<sip::UserStore> now_;
};

SipHandlers::SipHandlers(const World& world) : world_(world) {}
SipHandlers::~SipHandlers() = default;

absl::StatusOr<std::vector<sip::Handler*>> SipHandlers::Chain(
    const std::vector<std::string>& names) {
  std::vector<sip::Handler*> chain;
  for (const std::string& name : names) {
    ASSIGN_OR_RETURN(sip::Handler * handler, Named(name));
    chain.push_back(handler);
  }
  return chain;
}

absl::StatusOr<sip::Handler*> SipHandlers::Named(std::string_view name) {
  static constexpr struct {
    std::string_view name;
    Made (SipHandlers::*make)();
  } kKinds[] = {
#define HANDLER(name, Make) {#name, &SipHandlers::Make},
#include "control/handlers.def"
#undef HANDLER
  };
  for (const auto& handler : handlers_) {
    if (handler->name() == name) return handler.get();
  }
  for (const auto& kind : kKinds) {
    if (kind.name != name) continue;
    ASSIGN_OR_RETURN(auto made, (this->*kind.make)());
    handlers_.push_back(std::move(made));
    return handlers_.back().get();
  }
  for (const ChainConfig& from : world_.config.chains) {
    if (from.name != name) continue;
    ASSIGN_OR_RETURN(auto inside, Chain(from.handlers));
    handlers_.push_back(std::make_unique<sip::ReceiveChain>(
        from.name, std::move(inside), from.methods));
    return handlers_.back().get();
  }
  return Bad(Cat("no handler or sip.chain is called \"", name, "\""));
}

absl::StatusOr<std::unique_ptr<sip::UserStore>> SipHandlers::LoadUsers() const {
  if (users_ == nullptr) return nullptr;
  return sip::UserStore::Open(world_.config.sip_auth.users);
}

void SipHandlers::UseUsers(std::unique_ptr<sip::UserStore> users) {
  if (users != nullptr) users_->Replace(std::move(users));
}

// ---- one for each row of control/handlers.def -------------------------------

SipHandlers::Made SipHandlers::MakeDropper() {
  const Config::SipDropper& from = world_.config.sip_dropper;
  sip::Dropper::Options options{
      .per_second = static_cast<double>(from.per_second),
      .burst = static_cast<double>(from.burst),
      .methods = from.methods,
      .patterns = {}};
  for (const auto& [header, text] : from.patterns) {
    options.patterns.push_back({.header = header, .text = text});
  }
  return std::make_unique<sip::Dropper>(world_.dispatcher, std::move(options));
}

SipHandlers::Made SipHandlers::MakeBlocker() {
  std::vector<sip::Blocker::Rule> rules;
  for (const auto& [method, answer] : world_.config.sip.block) {
    auto rule = sip::Blocker::RuleOf(method, answer);
    if (!rule) {
      return Bad(Cat("sip.block: ", method, " = \"", answer,
                     "\" is no answer; write it as \"403 Forbidden\""));
    }
    rules.push_back(*std::move(rule));
  }
  return std::make_unique<sip::Blocker>(world_.dispatcher, std::move(rules));
}

SipHandlers::Made SipHandlers::MakeAuthorize() {
  const Config::SipAuth& from = world_.config.sip_auth;
  if (from.users.empty()) {
    return Bad("a chain has \"authorize\", but sip.auth.users names no file");
  }
  sip::Digest::Options options;
  options.realm = from.realm.empty() && !world_.config.sip.domains.empty()
                      ? world_.config.sip.domains.front()
                      : from.realm;
  options.opaque = from.opaque;
  options.algorithms.clear();
  for (const std::string& name : from.algorithms) {
    const auto algorithm = sip::DigestAlgorithmOf(name);
    if (!algorithm) return Bad(Cat("sip.auth.algorithms: ", name));
    options.algorithms.push_back(*algorithm);
  }
  sip::Authorize::Options gate{.realm = options.realm,
                               .i_am_proxy = from.i_am_proxy,
                               .methods = from.methods,
                               .domains = from.domains,
                               .filters = {}};
  for (const auto& [method, names] : from.filters) {
    // "FromIsRealm FromIsAuthUser, ToIsFrom": any of the lists, all of its
    // names.
    std::vector<std::vector<sip::Authorize::Filter>> any(1);
    std::string word;
    for (const char c : names + ",") {
      if (c != ' ' && c != ',') {
        word += c;
        continue;
      }
      if (!word.empty()) {
        const auto filter = sip::Authorize::FilterOf(word);
        if (!filter) return Bad(Cat("sip.auth.filters: ", word));
        any.back().push_back(*filter);
        word.clear();
      }
      if (c == ',') any.emplace_back();
    }
    any.pop_back();
    gate.filters.emplace_back(method, std::move(any));
  }
  ASSIGN_OR_RETURN(auto opened, sip::UserStore::Open(from.users));
  users_ = std::make_unique<Users>(std::move(opened));
  nonces_ = std::make_unique<sip::NonceBook>(world_.keys.Derive("nonce"),
                                             Micros::Seconds(from.nonce_ttl_s));
  digest_ =
      std::make_unique<sip::Digest>(std::move(options), *users_, *nonces_);
  return std::make_unique<sip::Authorize>(world_.dispatcher, *digest_,
                                          std::move(gate));
}

SipHandlers::Made SipHandlers::MakeRegistrar() {
  const Config::SipRegistrar& from = world_.config.sip_registrar;
  ASSIGN_OR_RETURN(
      store_, sip::LocationStore::Open(world_.loop, {.database = from.database,
                                                     .wall_clock = WallClock}));
  return std::make_unique<sip::Registrar>(
      world_.dispatcher, *store_,
      sip::Registrar::Options{.domains = from.domains.empty()
                                             ? world_.config.sip.domains
                                             : from.domains,
                              .min_expires = from.min_expires_s,
                              .max_expires = from.max_expires_s,
                              .max_contacts = from.max_contacts,
                              .wall_clock = WallClock});
}

SipHandlers::Made SipHandlers::MakeRedirect() {
  ASSIGN_OR_RETURN(sip::Handler * registrar, Named("registrar"));
  return std::make_unique<sip::Redirect>(
      world_.dispatcher, static_cast<sip::Registrar&>(*registrar));
}

SipHandlers::Made SipHandlers::MakeProxy() {
  return std::make_unique<sip::StatelessProxy>(
      world_.dispatcher, world_.router, world_.keys, &world_.media,
      sip::StatelessProxy::Options{
          .force_rewrite = world_.config.sip.force_rewrite,
          .rewrite_contact = world_.config.sip.rewrite_contact});
}

}  // namespace sluice::control
