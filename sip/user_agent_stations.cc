#include <ctime>
#include <utility>

#include "base/status_macros.h"
#include "base/text.h"
#include "sip/user_agent.h"

// What stands between a user agent's legs and its calls.
namespace sluice::sip {

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
  if (const absl::Status bad = UserCall::CheckParams(args.call); !bad.ok()) {
    return Failed(bad);
  }
  listen_ = std::move(args);
  return InForceBehind(listen_.auth, listener_);
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

}  // namespace sluice::sip
