#ifndef SLUICE_CONTROL_NATHELPER_VERBS_H_
#define SLUICE_CONTROL_NATHELPER_VERBS_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "control/nathelper_arguments.h"
#include "control/nathelper_commands.h"
#include "control/session_verbs.h"
#include "control/storable.h"

namespace sluice::control {

// The original's three commands, as entries of a CommandTable.
//
// Whatever fails is answered undef, which the client knows as "refused",
// counted by its reason and (where an operator can do something about it)
// logged.
//
// Thread: control only.
class NatHelperVerbs {
 public:
  enum class Verb : uint8_t {
#define COMMAND(name, method, arguments, help) k_##name,
#define OUTCOME(name, help)
#include "control/commands.def"
#undef COMMAND
#undef OUTCOME
    kCount
  };
  enum class Outcome : uint8_t {
#define COMMAND(name, method, arguments, help)
#define OUTCOME(name, help) k_##name,
#include "control/commands.def"
#undef COMMAND
#undef OUTCOME
    kCount
  };

  NatHelperVerbs(SessionVerbs& sessions, ArgumentLimits limits);
  NatHelperVerbs(const NatHelperVerbs&) = delete;
  NatHelperVerbs& operator=(const NatHelperVerbs&) = delete;

  // Puts allocate, activate and close into `table`, which must not be asked
  // for them after this object's end.
  void DefineIn(CommandTable& table);

  // The three verbs. Always a value: undef is "no".
  storable::Value Allocate(CommandTable::Arguments arguments);
  storable::Value Activate(CommandTable::Arguments arguments);
  storable::Value Close(CommandTable::Arguments arguments);

  uint64_t count(Verb verb, Outcome outcome) const;
  // "allocate_ok" and so on, every pair of verb and outcome.
  std::vector<std::pair<std::string, uint64_t>> counters() const;

 private:
  void Count(Verb verb, Outcome outcome);
  // Counts and logs; returns undef.
  storable::Value Refuse(Verb verb, const absl::Status& why,
                         std::string_view call_id = {});

  SessionVerbs& sessions_;
  const ArgumentLimits limits_;
  uint64_t counts_[static_cast<size_t>(Verb::kCount)]
                  [static_cast<size_t>(Outcome::kCount)] = {};
};

}  // namespace sluice::control

#endif  // SLUICE_CONTROL_NATHELPER_VERBS_H_
