#ifndef SLUICE_TESTS_CONTROL_TOLD_CALLS_H_
#define SLUICE_TESTS_CONTROL_TOLD_CALLS_H_

#include <algorithm>
#include <ostream>
#include <string>
#include <string_view>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "control/session_observer.h"

namespace sluice::control {

// What is known of a call from what was told of it.
struct ToldCall {
  CallImage call{};
  std::vector<Believed> believed{};
  friend bool operator==(const ToldCall&, const ToldCall&) = default;

  static std::string Text(const GroupImage& group) {
    std::string text = absl::StrCat(
        group.local.ToString(), " made ", group.made.us(), " faces ",
        Name(group.faces), group.given_up ? " given up" : "");
    for (const Medium& m : group.media) {
      absl::StrAppend(&text, " [", m.ip.ToString(), " ", m.port, " ", m.range,
                      " ", relay::Name(m.first), " ", m.clock_hz, " ",
                      m.heard_from.ToString(), " on ", m.base, "]");
    }
    return text;
  }
  // Long ones in tests are all alike.
  static std::string Text(std::string_view id) {
    return absl::CHexEscape(std::string(id.substr(0, 40)));
  }
  friend void PrintTo(const ToldCall& told, std::ostream* out) {
    const CallImage& image = told.call;
    *out << "call " << Text(image.call_id) << " " << Text(image.uri_from) << " "
         << Text(image.uri_to) << " refused " << image.refused.us();
    for (const OfferImage& offer : image.offers) {
      *out << "\n  offer " << Text(offer.id_from) << " " << offer.cseq << " "
           << (offer.from ? Text(*offer.from) : "none") << " ways "
           << offer.ways.size();
      for (const ForkImage& fork : offer.forks) {
        *out << "\n    fork " << Text(fork.id_to) << (fork.up ? " up" : "")
             << (fork.acknowledged ? " acknowledged" : "")
             << (fork.over ? " over" : "") << (fork.aside ? " aside " : " ")
             << Text(fork.group);
      }
    }
    for (const Believed& b : told.believed) {
      *out << "\n  believed " << b.local.ToString() << " "
           << b.source.ToString();
    }
  }
};
using Told = std::vector<ToldCall>;

// Remembers all that it is told, as whoever is to make the calls again must.
class TellTale final : public SessionObserver {
 public:
  void OnCall(const CallImage& call) override {
    ++calls_told;
    ToldCall* known = Find(call.call_id);
    if (known == nullptr) known = &told.emplace_back();
    known->call = call;
    std::erase_if(known->believed,
                  [&](const Believed& b) { return !call.Has(b.local); });
  }
  void OnGone(std::string_view call_id) override {
    std::erase_if(told,
                  [&](const ToldCall& t) { return t.call.call_id == call_id; });
  }
  void OnConfirmed(std::string_view call_id, const Endpoint& local,
                   const Endpoint& source) override {
    ToldCall* known = Find(call_id);
    if (known == nullptr) return;
    for (Believed& b : known->believed) {
      if (b.local == local && !source.is_none()) {
        b.source = source;
        return;
      }
    }
    std::erase_if(known->believed,
                  [&](const Believed& b) { return b.local == local; });
    if (!source.is_none()) known->believed.push_back({local, source});
  }
  ToldCall* Find(std::string_view call_id) {
    const auto found = std::find_if(
        told.begin(), told.end(),
        [&](const ToldCall& t) { return t.call.call_id == call_id; });
    return found == told.end() ? nullptr : &*found;
  }

  Told told{};  // in the order of their beginnings
  int calls_told = 0;
};

}  // namespace sluice::control

#endif  // SLUICE_TESTS_CONTROL_TOLD_CALLS_H_
