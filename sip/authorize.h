#ifndef SLUICE_SIP_AUTHORIZE_H_
#define SLUICE_SIP_AUTHORIZE_H_

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "sip/digest.h"
#include "sip/dispatcher.h"
#include "sip/handler.h"

namespace sluice::sip {

// Lets a request pass to the next handler when its sender has proved to be a
// user (RFC 3261 22, RFC 7616); answers 401 to a REGISTER, 407 to anything else
// otherwise (`i_am_proxy` makes it 407 for all). The credentials for our realm
// are taken out of what goes on.
//
// ACK and CANCEL cannot be challenged, and do nothing without the INVITE that
// was: they pass. So does what shows that it belongs to a dialog that was set
// up through here (Dispatcher::InDialog): the other party of it has no account.
// Their credentials for us are taken out all the same.
//
// Thread: control only.
class Authorize final : public Handler {
 public:
  // What must hold besides the right response, by method: any one list, and of
  // it all. The seeds' names.
  enum class Filter : uint8_t { kFromIsRealm, kFromIsAuthUser, kToIsFrom };
  static std::optional<Filter> FilterOf(std::string_view name);
  struct Options {
    std::string realm;
    bool i_am_proxy = false;
    // We are whom the request is for: 401 for all. A proxy in between may have
    // led it here by another Request-URI than its sender knew (RFC 3261 16.6
    // step 2): uri= may be the To's as well.
    bool i_am_user_agent = false;
    // Empty: all methods.
    std::vector<std::string> methods{};
    // Only who is of these domains is asked, by From, and for a REGISTER by the
    // To that it is about as well; empty: everybody.
    std::vector<std::string> domains{};
    std::vector<std::pair<std::string, std::vector<std::vector<Filter>>>>
        filters{};
  };

  Authorize(Dispatcher& dispatcher, Digest& digest, Options options);

  std::string_view name() const override { return "authorize"; }
  Handled Receive(Incoming& in) override;
  std::vector<Number> Counters() const override;

 private:
  bool Concerns(const Incoming& in) const;
  // Those for our realm.
  void RemoveCredentials(Incoming& in, HeaderId id) const;
  bool Passes(const Incoming& in, const std::string& user) const;
  bool Holds(Filter filter, const Incoming& in, const std::string& user) const;

  Dispatcher& dispatcher_;
  Digest& digest_;
  const Options options_;
  uint64_t passed_ = 0, challenged_ = 0, stale_ = 0, wrong_ = 0;
};

}  // namespace sluice::sip

#endif  // SLUICE_SIP_AUTHORIZE_H_
