#ifndef SLUICE_SIP_REGISTRAR_H_
#define SLUICE_SIP_REGISTRAR_H_

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "sip/dispatcher.h"
#include "sip/handler.h"
#include "sip/location.h"

namespace sluice::sip {

// The registrar (RFC 3261 10.3) and what it knows, for the requests behind it
// in the chain: a REGISTER for one of its domains is answered; any other
// request for a user who has registered is aimed at where that user is, and
// goes on to the next handler.
//
// The best contact by q is taken, of equals the newest. The next one is not
// tried when it fails: that would take a proxy that remembers (RFC 3261 16.7).
//
// A 200 is sent when what it says is on the disk. Contacts of a request replace
// those of the same URI, or of the same instance and reg-id (RFC 5626); others
// of the user stay. A REGISTER older than what its Call-ID last said is
// refused; the same one again is answered again. What one contact makes us keep
// is bounded: kBindingOctetsMax.
//
// Thread: control only. Borrows store and dispatcher.
class Registrar final : public Handler {
 public:
  struct Options {
    // Exact names, "*.parent", "*"; empty: everything.
    std::vector<std::string> domains{};
    uint32_t min_expires = 30;
    uint32_t max_expires = 300;
    size_t max_contacts = 10;  // of one address-of-record
    // Seconds since 1970.
    std::function<int64_t()> wall_clock{};
  };
  struct Counts {
    uint64_t registered = 0, removed = 0, queries = 0, too_brief = 0,
             refused = 0, out_of_order = 0, not_stored = 0, found = 0,
             not_found = 0;
  };

  Registrar(Dispatcher& dispatcher, LocationStore& store, Options options);

  std::string_view name() const override { return "registrar"; }
  Handled Receive(Incoming& in) override;
  std::vector<Number> Counters() const override;

  // Contacts, best first (the seeds' query).
  const std::vector<Binding>& Query(std::string_view aor) {
    return store_.Find(aor);
  }
  bool Serves(std::string_view host) const;

 private:
  struct Wish;  // what one Contact of a request asks for
  Handled Lookup(Incoming& in);
  void Register(Incoming& in, const std::string& aor);
  // What the request asks for; an answer when it may not.
  struct Refuse {
    int code;
    std::string extra;
  };
  struct Changes {
    size_t registered = 0, removed = 0;
    int64_t longest = 0;  // seconds that the longest one lasts
  };
  std::optional<Refuse> ReadWishes(const Incoming& in,
                                   std::vector<Wish>* wishes, bool* all) const;
  std::optional<Refuse> Merge(const Incoming& in,
                              const std::vector<Wish>& wishes,
                              std::vector<Binding>* bindings, Changes* changes);
  std::string ContactLines(const std::vector<Binding>& bindings) const;

  Dispatcher& dispatcher_;
  LocationStore& store_;
  const Options options_;
  Counts counts_;
};

// Answers requests by where the registrar says the user is: 302 with all
// contacts, or 404 (the seeds' Redirect). REGISTER goes on.
class Redirect final : public Handler {
 public:
  Redirect(Dispatcher& dispatcher, Registrar& registrar)
      : dispatcher_(dispatcher), registrar_(registrar) {}
  std::string_view name() const override { return "redirect"; }
  Handled Receive(Incoming& in) override;

 private:
  Dispatcher& dispatcher_;
  Registrar& registrar_;
};

}  // namespace sluice::sip

#endif  // SLUICE_SIP_REGISTRAR_H_
