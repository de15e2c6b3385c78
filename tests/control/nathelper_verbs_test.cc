// Goal: the three verbs answer a real proxy's requests as the original does,
// and tell every failure apart. Method: frames of the original against a
// session manager that only writes down what it was asked.

#include "control/nathelper_verbs.h"

#include <gtest/gtest.h>

#include <set>
#include <string>
#include <vector>

#include "tests/control/hex.h"
#include "tests/control/nathelper_desk.h"

namespace sluice::control {
namespace {

using List = Value::List;
using Outcome = NatHelperVerbs::Outcome;
using Verb = NatHelperVerbs::Verb;

// ---- the original's frames ------------------------------------------------

TEST(NatHelperVerbs, AnswersTheOriginalsAllocate) {
  Desk desk;
  EXPECT_EQ(desk.table.Answer(Hex(kAllocateHex)),
            Hex("050b 04 02 00000001 04 02 00000003 0a09 3132372e302e302e31"
                "09 00001380 08 82"));
  ASSERT_EQ(desk.sessions.allocates.size(), 1u);
  const FakeVerbs::AllocateCall& call = desk.sessions.allocates[0];
  EXPECT_EQ(call.key.call_id, "c1");
  EXPECT_EQ(call.key.cseq, 1u);
  EXPECT_EQ(call.key.id_from, std::string("sip:user\0a\0l1", 13));
  EXPECT_EQ(call.key.id_to, std::string("sip:b@x\0tag\0l2", 14));
  EXPECT_EQ(call.key.uri_from, "sip:a@x");
  EXPECT_EQ(call.key.uri_to, "sip:b@x");
  EXPECT_EQ(call.side, Side::kFrom);
  EXPECT_EQ(call.local, IpAddress::V4(127, 0, 0, 1));
  ASSERT_EQ(call.media.size(), 1u);
  EXPECT_EQ(call.media[0].ip, IpAddress::V4(127, 0, 0, 1));
  EXPECT_EQ(call.media[0].port, 9576);
  EXPECT_EQ(call.media[0].range, 2);
  EXPECT_EQ(call.media[0].first, relay::FlowKind::kRtp);
  EXPECT_EQ(call.media[0].clock_hz, 8000u);
  EXPECT_EQ(desk.verbs.count(Verb::k_allocate, Outcome::k_ok), 1u);
}

TEST(NatHelperVerbs, AnswersTheOriginalsActivateWithOneAndMinusOne) {
  Desk desk;
  EXPECT_EQ(desk.table.Answer(Hex(kActivateHex)), Hex("050b 08 81"));
  desk.sessions.activation = Activation::kAgain;
  EXPECT_EQ(desk.table.Answer(Hex(kActivateHex)), Hex("050b 08 7f"));
  desk.sessions.activation = absl::NotFoundError("no such call");
  EXPECT_EQ(desk.table.Answer(Hex(kActivateHex)), Hex("050b 05"));
  EXPECT_EQ(desk.verbs.count(Verb::k_activate, Outcome::k_ok), 1u);
  EXPECT_EQ(desk.verbs.count(Verb::k_activate, Outcome::k_again), 1u);
  EXPECT_EQ(desk.verbs.count(Verb::k_activate, Outcome::k_not_found), 1u);
}

TEST(NatHelperVerbs, AnswersTheOriginalsCloseWithACountOrUndef) {
  Desk desk;
  desk.sessions.closed = 2;
  EXPECT_EQ(desk.table.Answer(Hex(kCloseHex)), Hex("050b 08 82"));
  ASSERT_EQ(desk.sessions.closes.size(), 1u);
  EXPECT_EQ(desk.sessions.closes[0].cseq, std::nullopt);
  desk.sessions.closed = 200;
  EXPECT_EQ(desk.table.Answer(Hex(kCloseHex)), Hex("050b 09 000000c8"));
  desk.sessions.closed = absl::NotFoundError("nothing");
  EXPECT_EQ(desk.table.Answer(Hex(kCloseHex)), Hex("050b 05"));
}

TEST(NatHelperVerbs, AnswersEachMediumWithItsAddressPortAndRange) {
  Desk desk;
  desk.sessions.allocations = {{{IpAddress::V4(192, 0, 2, 1), 4992, 1},
                                {*IpAddress::Parse("2001:db8::1"), 65520, 16}}};
  EXPECT_EQ(
      desk.Ask(AllocateMedium(Medium())),
      Value(List{Value(List{Value("192.0.2.1"), Value(4992), Value(1)}),
                 Value(List{Value("2001:db8::1"), Value(65520), Value(16)})}));
}

TEST(NatHelperVerbs, AnswersInactiveAndNoMedia) {
  Desk desk;
  desk.sessions.allocations = {{{IpAddress::V4(127, 0, 0, 1), 4992, 2},
                                {IpAddress::V4(127, 0, 0, 1), 0, 2}}};
  EXPECT_EQ(
      desk.table.Answer(Hex(kAllocateHex)),
      Hex("050b 04 02 00000002 0402 00000003 0a09 3132372e302e302e31"
          "09 00001380 0882 0402 00000003 0a09 3132372e302e302e31 0880 0882"));
  desk.sessions.allocations = {std::vector<Allocation>{}};
  EXPECT_EQ(desk.table.Answer(Hex(kAllocateHex)), Hex("050b 04 02 00000000"));
}

// ---- reasons --------------------------------------------------------------

TEST(NatHelperVerbs, CountsEveryFailureByItsReason) {
  const std::pair<absl::StatusCode, Outcome> reasons[] = {
      {absl::StatusCode::kInvalidArgument, Outcome::k_bad_arguments},
      {absl::StatusCode::kOutOfRange, Outcome::k_out_of_range},
      {absl::StatusCode::kUnimplemented, Outcome::k_not_literal},
      {absl::StatusCode::kNotFound, Outcome::k_not_found},
      {absl::StatusCode::kFailedPrecondition, Outcome::k_refused},
      {absl::StatusCode::kPermissionDenied, Outcome::k_refused},
      {absl::StatusCode::kAborted, Outcome::k_refused},
      {absl::StatusCode::kAlreadyExists, Outcome::k_refused},
      {absl::StatusCode::kResourceExhausted, Outcome::k_exhausted},
      {absl::StatusCode::kUnavailable, Outcome::k_unavailable},
      {absl::StatusCode::kInternal, Outcome::k_failed},
      {absl::StatusCode::kUnknown, Outcome::k_failed},
  };
  std::set<Outcome> seen{Outcome::k_ok, Outcome::k_again};
  for (const auto& [code, outcome] : reasons) {
    Desk desk;
    const absl::Status status(code, "why");
    desk.sessions.allocations = status;
    desk.sessions.activation = status;
    desk.sessions.closed = status;
    EXPECT_EQ(desk.table.Answer(Hex(kAllocateHex)), Hex("050b05"));
    EXPECT_EQ(desk.table.Answer(Hex(kActivateHex)), Hex("050b05"));
    EXPECT_EQ(desk.table.Answer(Hex(kCloseHex)), Hex("050b05"));
    for (Verb verb : {Verb::k_allocate, Verb::k_activate, Verb::k_close}) {
      EXPECT_EQ(desk.verbs.count(verb, outcome), 1u) << status;
      EXPECT_EQ(desk.Total(verb), 1u) << status;
    }
    seen.insert(outcome);
  }
  // Nothing in commands.def without a row here.
  EXPECT_EQ(seen.size(), static_cast<size_t>(Outcome::kCount));
}

TEST(NatHelperVerbs, NamesItsCountersOnce) {
  Desk desk;
  desk.table.Answer(Hex(kCloseHex));
  std::set<std::string> names;
  uint64_t total = 0;
  for (const auto& [name, value] : desk.verbs.counters()) {
    EXPECT_TRUE(names.insert(name).second) << name;
    total += value;
    EXPECT_EQ(value, name == "close_ok" ? 1u : 0u) << name;
  }
  EXPECT_EQ(total, 1u);
  EXPECT_EQ(names.size(), static_cast<size_t>(Verb::kCount) *
                              static_cast<size_t>(Outcome::kCount));
  EXPECT_TRUE(names.contains("allocate_exhausted"));
}

}  // namespace
}  // namespace sluice::control
