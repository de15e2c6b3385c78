#ifndef SLUICE_CONTROL_NATHELPER_COMMANDS_H_
#define SLUICE_CONTROL_NATHELPER_COMMANDS_H_

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "absl/container/flat_hash_map.h"
#include "absl/types/span.h"
#include "control/storable.h"

namespace sluice::control {

// What a request may ask for: name -> handler. A request is a list whose first
// element is a name; the rest are the handler's arguments.
//
// The table is open: an embedder adds commands of its own and replaces ours.
//
//   rpc.commands().Define("uptime", [&](CommandTable::Arguments) {
//     return storable::Value(Uptime());
//   });
//
// Thread: one (the control thread).
class CommandTable {
 public:
  using Arguments = absl::Span<const storable::Value>;
  // Arguments are whatever a peer sent, of any kind and number. Returns what
  // to answer; nullopt closes the connection without a word.
  using Handler = std::function<std::optional<storable::Value>(Arguments)>;

  struct Counters {  // monotonic; each request is exactly one of these
    uint64_t answered = 0;
    uint64_t undecodable = 0;  // not Storable, or beyond its limits
    uint64_t nameless = 0;     // no list, an empty one, or no name at its head
    uint64_t unknown = 0;      // a name that is not in the table
    uint64_t silent = 0;       // the handler wanted no answer
  };

  explicit CommandTable(storable::Limits limits = {}) : limits_(limits) {}

  // A name that is there already means the new handler from now on.
  void Define(std::string name, Handler handler);
  bool Has(const std::string& name) const { return commands_.contains(name); }

  // A request's frozen octets to the answer's. Empty: no answer, as the
  // original does for everything it does not understand.
  std::string Answer(std::string_view request);

  const Counters& counters() const { return counters_; }

 private:
  const storable::Limits limits_;
  absl::flat_hash_map<std::string, Handler> commands_;
  Counters counters_;
};

}  // namespace sluice::control

#endif  // SLUICE_CONTROL_NATHELPER_COMMANDS_H_
