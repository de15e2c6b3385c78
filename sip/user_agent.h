#ifndef SLUICE_SIP_USER_AGENT_H_
#define SLUICE_SIP_USER_AGENT_H_

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "sip/digest.h"
#include "sip/keys.h"
#include "sip/location.h"
#include "sip/media_nat.h"
#include "sip/registration.h"
#include "sip/simple.h"
#include "sip/simple_names.h"
#include "sip/stack.h"
#include "sip/stateless_proxy.h"
#include "sip/user_call.h"

namespace sluice::sip {

// Simple as it is made. Its chain on every leg:
//
//   Known      what belongs to a transaction or call of ours
//   in force   Listen(), CreateChain() and the like
//   Last       answers what nobody wanted: OPTIONS 200, 481, 405
//
// Thread: the loop's.
class UserAgent final : public Simple {
 public:
  static absl::StatusOr<std::unique_ptr<UserAgent>> Make(Options options);
  ~UserAgent() override;

  absl::StatusOr<uint32_t> Register(RegisterArgs args) override;
  absl::StatusOr<std::shared_ptr<Call>> Invite(std::string_view who,
                                               CallParams params) override;
  absl::Status Listen(ListenArgs args) override;
  absl::StatusOr<Handler*> CreateAuth(AuthArgs args) override;
  absl::StatusOr<Handler*> CreateRegistrar(RegistrarArgs args) override;
  absl::StatusOr<Handler*> CreateStatelessProxy(ProxyArgs args) override;
  absl::StatusOr<Handler*> CreateChain(std::vector<Handler*> objects,
                                       ChainArgs args) override;
  bool Loop(Micros timeout, std::initializer_list<const bool*> stop) override;
  void Stop() override;
  uint64_t AddTimer(Micros when, std::function<void()> callback,
                    Micros repeat) override;
  void CancelTimer(uint64_t timer) override;
  void Cleanup() override;
  const absl::Status& Error() const override { return error_; }
  std::vector<std::string> Listening() const override;
  size_t calls() const override { return calls_.size(); }
  net::EventLoop& loop() override { return loop_; }

 private:
  // A handler that is a function of ours.
  class Station final : public Handler {
   public:
    Station(std::string name, std::function<Handled(Incoming&)> receive)
        : name_(std::move(name)), receive_(std::move(receive)) {}
    std::string_view name() const override { return name_; }
    Handled Receive(Incoming& in) override { return receive_(in); }

   private:
    const std::string name_;
    const std::function<Handled(Incoming&)> receive_;
  };

  UserAgent(Options options, Keys keys);
  void LetGo();
  absl::Status CheckOptions() const;
  absl::Status MakeStack();
  absl::Status Gone() const;  // Cleanup has been

  Handler::Handled Known(Incoming& in);
  Handler::Handled OnNewCall(Incoming& in);
  Handler::Handled Last(Incoming& in);
  void OnCancel(Incoming& in);
  std::string OptionsHeaders() const;

  Handler* Keep(std::unique_ptr<Handler> handler);
  void InForce(std::vector<Handler*> handlers);
  absl::StatusOr<Handler*> MakeAuth(const AuthArgs& args);
  // Alone, or behind its password.
  absl::Status InForceBehind(const std::optional<AuthArgs>& auth,
                             Handler* handler);

  absl::StatusOr<Party> Me(const std::string& given) const;
  // The leg that is named, or reaches `next_hop`; where names have to be asked
  // for, the first.
  absl::StatusOr<Leg*> LegFor(const std::string& name,
                              std::string_view next_hop);
  std::string DomainOrHost() const;
  absl::Status Failed(absl::Status why) {
    error_ = why;
    return why;
  }

  Options options_;
  std::unique_ptr<net::EventLoop> own_loop_;
  net::EventLoop& loop_;
  absl::Status error_;
  std::atomic<bool> stopped_{false};
  net::EventLoop::TimerId cleanup_timer_ = 0;
  bool going_ = false;  // in Cleanup, and behind it
  uint64_t last_timer_ = 0;
  absl::flat_hash_map<uint64_t, net::EventLoop::TimerId> timers_;

  // In the order in which they need each other; Cleanup lets go the other way
  // round.
  Keys keys_;
  std::unique_ptr<Stack> stack_;
  std::unique_ptr<Transactions> transactions_;
  std::unique_ptr<Requester> requester_;
  std::unique_ptr<rtp::MediaLoop> media_;
  std::unique_ptr<CallWorld> world_;
  std::vector<std::unique_ptr<UserStore>> users_;
  std::vector<std::unique_ptr<NonceBook>> nonces_;
  std::vector<std::unique_ptr<Digest>> digests_;
  std::vector<std::unique_ptr<LocationStore>> stores_;
  std::vector<std::unique_ptr<MediaNat>> relays_;
  std::vector<std::unique_ptr<Handler>> handlers_;
  Handler* known_ = nullptr;
  Handler* last_ = nullptr;
  Handler* listener_ = nullptr;
  ListenArgs listen_{};
  std::vector<std::unique_ptr<Registration>> registrations_;
  // By Call-ID and our tag.
  absl::flat_hash_map<std::string, std::shared_ptr<UserCall>> calls_;
  // Of those that came in: by Call-ID and the caller's tag (RFC 3261 8.2.2.2).
  absl::flat_hash_map<std::string, std::string> callers_;
  // Over, for this turn.
  std::vector<std::shared_ptr<UserCall>> over_;
  net::EventLoop::TimerId over_timer_ = 0;
};

}  // namespace sluice::sip

#endif  // SLUICE_SIP_USER_AGENT_H_
