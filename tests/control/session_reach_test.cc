// Goal: no session is half up: what would send to a party can reach it, or the
// offer or answer that makes it impossible is refused in words, before it takes
// a port, and what was there stays as it was.

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "control/session_manager.h"
#include "tests/control/manager_world.h"

namespace sluice::control {
namespace {

IpAddress Ip(const char* text) { return *IpAddress::Parse(text); }

const IpAddress kSix = Ip("2001:db8::1");
const IpAddress kAliceSix = Ip("2001:db8:a::7");
const IpAddress kBobSix = Ip("2001:db8:b::8");

SessionManager::Options Dual() {
  SessionManager::Options options = World::Defaults();
  options.interfaces.push_back({.name = "six", .address = kSix});
  return options;
}

struct DualWorld : World {
  DualWorld() : World(Dual()) {}
  // `on` is told to the other party, and will send to that one.
  Answer Ask(const SessionKey& key, Side side, const IpAddress& on,
             const IpAddress& party, uint16_t port = 4000) {
    return manager.Allocate(key, side, on,
                            std::vector<Media>{Audio(party, port)});
  }
  bool Refused(const Answer& answer) {
    return absl::IsPermissionDenied(answer.status()) &&
           counter("allocate_unreachable") == ++refusals;
  }
  uint64_t refusals = 0;
};

TEST(Reach, JoinsTheFamiliesInEveryWayThatWorks) {
  for (const bool from_six : {false, true}) {
    for (const bool to_six : {false, true}) {
      SCOPED_TRACE(testing::Message() << from_six << to_six);
      const IpAddress alice = from_six ? kAliceSix : kAlice;
      const IpAddress bob = to_six ? kBobSix : kBob;
      DualWorld w;
      ASSERT_TRUE(
          w.Ask(Key("c"), Side::kFrom, to_six ? kSix : kOutside, alice).ok());
      ASSERT_TRUE(
          w.Ask(Key("c"), Side::kTo, from_six ? kSix : kInside, bob).ok());
      ASSERT_TRUE(w.manager.Activate(Key("c")).ok());
      for (const Pair& flow : Flows(w)) {
        for (const Side side : {Side::kFrom, Side::kTo}) {
          EXPECT_EQ(flow.local[Index(side)].family(),
                    TargetOf(flow, side).target.family());
        }
      }
    }
  }
}

TEST(Reach, RefusesAFamilyThatNoInterfaceHas) {
  World w;
  EXPECT_TRUE(absl::IsPermissionDenied(
      w.Offer(Key("c"), {Audio(kAliceSix, 4000)}).status()));
  // One such line is enough, wherever it stands.
  EXPECT_TRUE(absl::IsPermissionDenied(
      w.Reply(Key("c"), {Audio(kBob, 6000), Audio(kBobSix, 6002)}).status()));
  EXPECT_EQ(w.counter("allocate_unreachable"), 2u);
  EXPECT_EQ(w.plane.sockets_opened, 0u);
  EXPECT_TRUE(w.NothingLeft());
  // What is on hold is sent nothing.
  EXPECT_TRUE(w.Offer(Key("c"), {Audio(kAliceSix, 0)}).ok());
  EXPECT_TRUE(w.Reply(Key("c"), {Audio(IpAddress(), 6000)}).ok());
  EXPECT_TRUE(w.manager.Activate(Key("c")).ok());
}

TEST(Reach, RefusesTheHalfThatDoesNotFitTheOther) {
  const struct {
    const char* name;
    Side first;  // which half comes first
    IpAddress offer_on, alice, answer_on, bob;
  } rows[] = {
      {"the answerer's family", Side::kFrom, kOutside, kAlice, kInside,
       kBobSix},
      {"the interface for the offerer", Side::kFrom, kOutside, kAlice, kSix,
       kBob},
      {"the offerer's family", Side::kFrom, kOutside, kAliceSix, kInside, kBob},
      {"the interface for the answerer", Side::kFrom, kSix, kAlice, kInside,
       kBob},
      {"the answerer's, answer first", Side::kTo, kOutside, kAlice, kInside,
       kBobSix},
      {"the offerer's, answer first", Side::kTo, kOutside, kAliceSix, kInside,
       kBob},
  };
  for (const auto& row : rows) {
    SCOPED_TRACE(row.name);
    DualWorld w;
    const auto half = [&](Side side) {
      return side == Side::kFrom
                 ? w.Ask(Key("c"), side, row.offer_on, row.alice)
                 : w.Ask(Key("c"), side, row.answer_on, row.bob);
    };
    ASSERT_TRUE(half(row.first).ok());
    EXPECT_TRUE(w.Refused(half(Other(row.first))));
    EXPECT_EQ(w.plane.sockets_opened, 2u);
    EXPECT_FALSE(w.manager.Activate(Key("c")).ok());
    EXPECT_TRUE(w.manager.Validate());
    ASSERT_TRUE(w.manager.CloseCall("c").ok());
    EXPECT_TRUE(w.NothingLeft());
  }
}

TEST(Reach, RefusesAMoveToTheOtherFamilyAndChangesNothing) {
  for (const bool active : {false, true}) {
    SCOPED_TRACE(active);
    DualWorld w;
    ASSERT_TRUE(w.Ask(Key("c"), Side::kFrom, kOutside, kAlice).ok());
    ASSERT_TRUE(w.Ask(Key("c"), Side::kTo, kInside, kBob).ok());
    if (active) {
      ASSERT_TRUE(w.manager.Activate(Key("c")).ok());
    }
    EXPECT_TRUE(w.Refused(w.Ask(Key("c"), Side::kFrom, kOutside, kAliceSix)));
    EXPECT_TRUE(w.Refused(w.Ask(Key("c"), Side::kTo, kInside, kBobSix)));
    EXPECT_TRUE(w.plane.moved.empty());
    // On hold first, and then there.
    EXPECT_TRUE(w.Ask(Key("c"), Side::kTo, kInside, kBobSix, 0).ok());
    EXPECT_TRUE(w.Refused(w.Ask(Key("c"), Side::kTo, kInside, kBobSix)));
    EXPECT_TRUE(w.Ask(Key("c"), Side::kTo, kInside, kBob).ok());
    ASSERT_TRUE(w.manager.Activate(Key("c")).ok());
    EXPECT_EQ(TargetOf(Flows(w)[0], Side::kFrom).target, At(kAlice, 4000));
    EXPECT_EQ(TargetOf(Flows(w)[0], Side::kTo).target, At(kBob, 4000));
    EXPECT_TRUE(w.manager.Validate());
  }
}

TEST(Reach, HoldsAnOfferAgainstEveryFork) {
  DualWorld w;
  const SessionKey bob = Key("c"), carol = Key("c", 1, "alice", "carol");
  ASSERT_TRUE(w.Ask(bob, Side::kFrom, kOutside, kAlice).ok());
  ASSERT_TRUE(w.Ask(bob, Side::kTo, kInside, kBob).ok());
  EXPECT_TRUE(w.Refused(w.Ask(carol, Side::kTo, kSix, kCarol)));
  ASSERT_TRUE(w.Ask(carol, Side::kTo, kInside, kCarol).ok());
  ASSERT_TRUE(w.manager.Activate(bob).ok());
  ASSERT_TRUE(w.manager.Activate(carol).ok());
  EXPECT_TRUE(w.Refused(w.Ask(bob, Side::kFrom, kOutside, kAliceSix)));
  EXPECT_EQ(w.sessions(), 2u);
  EXPECT_TRUE(w.plane.moved.empty());
  // A new offer of hers has its own forks.
  EXPECT_TRUE(w.Ask(Key("c", 2), Side::kFrom, kOutside, kAliceSix).ok());
  EXPECT_TRUE(w.Ask(Key("c", 2), Side::kTo, kSix, kBob).ok());
  EXPECT_TRUE(w.manager.Activate(Key("c", 2)).ok());
}

}  // namespace
}  // namespace sluice::control
