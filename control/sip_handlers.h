#ifndef SLUICE_CONTROL_SIP_HANDLERS_H_
#define SLUICE_CONTROL_SIP_HANDLERS_H_

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/net/event_loop.h"
#include "control/config.h"
#include "sip/digest.h"
#include "sip/dispatcher.h"
#include "sip/handler.h"
#include "sip/keys.h"
#include "sip/location.h"
#include "sip/media_nat.h"
#include "sip/registrar.h"
#include "sip/router.h"

namespace sluice::control {

// The handlers of control/handlers.def and the chains of the configuration,
// each made when a chain first names it, with what it keeps. One of each serves
// all legs.
//
// Thread: control only. Borrows all that it is made of, and it goes first.
class SipHandlers {
 public:
  struct World {
    net::EventLoop& loop;
    const Config& config;
    const sip::Keys& keys;
    sip::Router& router;
    sip::Dispatcher& dispatcher;
    sip::MediaNat& media;
  };
  explicit SipHandlers(const World& world);
  ~SipHandlers();

  // Those of a list of names, as configured. InvalidArgument, or what files and
  // libraries said.
  absl::StatusOr<std::vector<sip::Handler*>> Chain(
      const std::vector<std::string>& names);

  // The users of their file as it is now, nullptr where no chain asks for
  // passwords; and their taking effect.
  absl::StatusOr<std::unique_ptr<sip::UserStore>> LoadUsers() const;
  void UseUsers(std::unique_ptr<sip::UserStore> users);

  const std::vector<std::unique_ptr<sip::Handler>>& all() const {
    return handlers_;
  }
  // nullptr where no chain registers.
  sip::LocationStore* store() const { return store_.get(); }

 private:
  class Users;
  using Made = absl::StatusOr<std::unique_ptr<sip::Handler>>;

  absl::StatusOr<sip::Handler*> Named(std::string_view name);
#define HANDLER(name, Make) Made Make();
#include "control/handlers.def"
#undef HANDLER

  const World world_;
  std::unique_ptr<sip::LocationStore> store_;
  std::unique_ptr<Users> users_;
  std::unique_ptr<sip::NonceBook> nonces_;
  std::unique_ptr<sip::Digest> digest_;
  std::vector<std::unique_ptr<sip::Handler>> handlers_;
};

}  // namespace sluice::control

#endif  // SLUICE_CONTROL_SIP_HANDLERS_H_
