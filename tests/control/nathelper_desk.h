#ifndef SLUICE_TESTS_CONTROL_NATHELPER_DESK_H_
#define SLUICE_TESTS_CONTROL_NATHELPER_DESK_H_

#include <gtest/gtest.h>

#include <cstdint>
#include <string>
#include <utility>

#include "control/nathelper_commands.h"
#include "control/nathelper_verbs.h"
#include "tests/control/fake_verbs.h"

namespace sluice::control {

using storable::Value;

// The command table with our verbs in it, over a fake session manager.
struct Desk {
  FakeVerbs sessions;
  CommandTable table;
  NatHelperVerbs verbs{sessions, ArgumentLimits{}};
  Desk() { verbs.DefineIn(table); }

  // The value answered; a failed test when there is no answer.
  Value Ask(const Value& request) {
    const std::string answer =
        table.Answer(storable::Encode(request, storable::Root::kReferent));
    const auto value = storable::Decode(answer);
    EXPECT_TRUE(value.ok()) << value.status();
    return value.value_or(Value("no answer"));
  }
  uint64_t Total(NatHelperVerbs::Verb verb) const {
    uint64_t sum = 0;
    for (int i = 0; i < static_cast<int>(NatHelperVerbs::Outcome::kCount);
         ++i) {
      sum += verbs.count(verb, static_cast<NatHelperVerbs::Outcome>(i));
    }
    return sum;
  }
};

inline Value Key() {
  return Value(Value::List{Value("c1"), Value("7"), Value("A"), Value("B"),
                           Value("sip:a@x"), Value("sip:b@x")});
}
inline Value Medium(const char* addr = "127.0.0.1", int port = 9576,
                    int range = 2) {
  return Value::MapOf(
      {{"addr", Value(addr)}, {"port", Value(port)}, {"range", Value(range)}});
}
inline Value AllocateRequest(Value key, Value side, Value local, Value media) {
  return Value(Value::List{Value("allocate"), std::move(key), std::move(side),
                           std::move(local), std::move(media)});
}
inline Value AllocateMedium(Value medium) {
  return AllocateRequest(Key(), Value(0), Value("127.0.0.1"),
                         Value(Value::List{std::move(medium)}));
}
// A copy of `medium` with one member set.
inline Value With(const Value& medium, const char* key, Value value) {
  Value::Map members = *medium.map();
  members.emplace_back(key, std::move(value));
  return Value::MapOf(std::move(members));
}

}  // namespace sluice::control

#endif  // SLUICE_TESTS_CONTROL_NATHELPER_DESK_H_
