// Goal: what a session manager's calls are is told again after whatever life of
// calls, call by call in the order of their beginnings; what changes nothing is
// not written.
// Method: real files in a folder of this process's own; a file "of a killed
// daemon" is a copy of what is on the disk. Random content comes from a printed
// seed.

#include "control/session_journal.h"

#include <sys/stat.h>

#include <algorithm>
#include <filesystem>
#include <limits>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/control/session_journal_world.h"

namespace sluice::control {
namespace {

using ::testing::IsEmpty;
using ::testing::SizeIs;

// Images with any values that a field may have; they need not be calls.
class Maker {
 public:
  explicit Maker(uint64_t seed) : random_(seed) {}

  uint64_t Below(uint64_t n) { return random_() % n; }
  bool Toss() { return Below(2) == 0; }
  std::string Text(size_t max) {
    std::string text(Below(8) == 0 ? max : Below(std::min<size_t>(max, 40) + 1),
                     '\0');
    for (char& c : text) c = static_cast<char>(Below(256));
    return text;
  }
  IpAddress Ip() {
    if (Toss()) {
      return IpAddress::V4(10, 0, 0, static_cast<uint8_t>(1 + Below(250)));
    }
    uint8_t octets[16];
    for (uint8_t& octet : octets) octet = static_cast<uint8_t>(Below(256));
    return IpAddress::FromOctets(octets);
  }
  Endpoint Somewhere() {
    return SocketAt(static_cast<uint16_t>(1 + Below(65535)), Ip());
  }
  Micros Time() { return Micros(static_cast<int64_t>(random_())); }
  GroupImage Group() {
    GroupImage group{.local = Ip(),
                     .media = std::vector<Medium>(
                         Below(16) == 0 ? journal::kMediaMax : Below(4)),
                     .made = Time(),
                     .faces = Toss() ? Side::kFrom : Side::kTo,
                     .given_up = Toss()};
    for (Medium& medium : group.media) {
      constexpr relay::FlowKind kKinds[] = {
          relay::FlowKind::kRtp, relay::FlowKind::kSrtp, relay::FlowKind::kRaw};
      medium = {.base = static_cast<uint16_t>(1 + Below(65000)),
                .range = static_cast<uint8_t>(1 + Below(64)),
                .first = kKinds[Below(3)],
                .clock_hz = static_cast<uint32_t>(random_())};
      if (Toss()) medium.heard_from = Ip();
      if (Below(4) == 0) continue;
      medium.ip = Ip();
      medium.port = static_cast<uint16_t>(Below(65536 - 64));
    }
    return group;
  }
  CallImage Call(const std::string& call_id) {
    CallImage call{.call_id = call_id,
                   .uri_from = Text(kUriOctets),
                   .uri_to = Text(kUriOctets),
                   .refused = Time(),
                   .offers = std::vector<OfferImage>(Below(4))};
    for (OfferImage& offer : call.offers) {
      offer = {.id_from = Text(kIdOctets),
               .cseq = static_cast<uint32_t>(random_())};
      if (Toss()) offer.from = Group();
      offer.forks.resize(Below(4));
      for (ForkImage& fork : offer.forks) {
        fork = {.id_to = Text(kIdOctets),
                .group = Group(),
                .up = Toss(),
                .over = Toss(),
                .aside = Toss()};
        fork.acknowledged = fork.up && Toss();
      }
    }
    return call;
  }

 private:
  std::mt19937_64 random_;
};

// ---- what is told comes back -----------------------------------------------

TEST_F(SessionJournalTest, EveryFieldOfEveryRecordComesBack) {
  const uint64_t seed = std::random_device{}();
  SCOPED_TRACE(absl::StrCat("seed ", seed));
  Maker make(seed);
  TellTale expected;
  {
    const auto journal = Open();
    uint64_t sources = 0;
    for (int i = 0; i < 300; ++i) {
      const CallImage call = make.Call(absl::StrCat(make.Text(40), "#", i));
      const Endpoint local = make.Somewhere(), source = make.Somewhere();
      const bool heard = !source.ip.is_any();
      for (SessionObserver* to :
           {static_cast<SessionObserver*>(&expected),
            static_cast<SessionObserver*>(journal.get())}) {
        to->OnCall(call);
        if (heard) to->OnConfirmed(call.call_id, local, source);
      }
      sources += heard ? 1 : 0;
    }
    Flush(*journal);
    EXPECT_EQ(journal->stats().left_out, 0u);
    EXPECT_EQ(journal->stats().records, 300 + sources);
    EXPECT_EQ(Load(*journal), expected.told);
  }
  const auto again = Open();
  EXPECT_EQ(again->cut(), "");
  EXPECT_EQ(Load(*again), expected.told);
  EXPECT_EQ(again->stats().octets, std::filesystem::file_size(path_));
}

TEST_F(SessionJournalTest, AnEmptyOrMissingFileIsANewOne) {
  EXPECT_THAT(LoadFile(), IsEmpty());
  EXPECT_EQ(Content(), journal::kHeader);
  Write("");
  EXPECT_THAT(LoadFile(), IsEmpty());
  EXPECT_EQ(Content(), journal::kHeader);
}

TEST_F(SessionJournalTest, ACallThatIsGoneIsNotToldAndMayComeAgain) {
  const auto journal = Open();
  TellCall(*journal, "one");
  TellCall(*journal, "two");
  journal->OnConfirmed("one", SocketAt(20000), PhoneAt(4000));
  journal->OnGone("one");
  journal->OnGone("never");
  // Told late, of nothing.
  journal->OnConfirmed("one", SocketAt(20000), PhoneAt(4000));
  journal->OnConfirmed("one", SocketAt(20000), Endpoint{});
  Flush(*journal);
  EXPECT_EQ(journal->stats().records, 4u);
  TellTale two;
  TellCall(two, "two");
  EXPECT_EQ(Load(*journal), two.told);
  EXPECT_EQ(LoadCopy(), two.told);
  TellCall(*journal, "one", 9);
  Flush(*journal);
  TellCall(two, "one", 9);
  EXPECT_EQ(LoadCopy(), two.told);
}

TEST_F(SessionJournalTest, OnlyWhatHasChangedIsWritten) {
  const auto journal = Open();
  TellTale expected;
  for (SessionObserver* to : {static_cast<SessionObserver*>(&expected),
                              static_cast<SessionObserver*>(journal.get())}) {
    for (int i = 0; i < 5; ++i) TellCall(*to, "one");
    for (int i = 0; i < 5; ++i) TellCall(*to, "one", 2);
    for (int i = 0; i < 5; ++i) {
      to->OnConfirmed("one", SocketAt(20000), PhoneAt(4000));
    }
    TellCall(*to, "one");
  }
  Flush(*journal);
  EXPECT_EQ(journal->stats().records, 4u);
  EXPECT_EQ(Load(*journal), expected.told);
  EXPECT_EQ(LoadCopy(), expected.told);
}

TEST_F(SessionJournalTest, OfTheSourcesOfAPortTheLastIsTold) {
  const auto journal = Open();
  TellCall(*journal, "one");
  journal->OnConfirmed("one", SocketAt(20000), PhoneAt(4000));
  journal->OnConfirmed("one", SocketAt(20001), PhoneAt(4002));
  journal->OnConfirmed("one", SocketAt(20002), PhoneAt(4004));
  journal->OnConfirmed("one", SocketAt(20000), PhoneAt(5000));
  journal->OnConfirmed("one", SocketAt(20001), Endpoint{});
  journal->OnConfirmed("one", SocketAt(20001), Endpoint{});
  Flush(*journal);
  EXPECT_EQ(journal->stats().records, 6u);
  const Told expected = {
      {CallOf("one"),
       {{SocketAt(20000), PhoneAt(5000)}, {SocketAt(20002), PhoneAt(4004)}}}};
  EXPECT_EQ(Load(*journal), expected);
  EXPECT_EQ(LoadCopy(), expected);
}

// Whoever has the port next is believed for what he sends.
TEST_F(SessionJournalTest, SourcesOfPortsThatACallNoLongerHasAreDropped) {
  const auto journal = Open();
  TellCall(*journal, "one");
  for (const uint16_t port : {20000, 20001, 20002, 20003}) {
    journal->OnConfirmed("one", SocketAt(port), PhoneAt(4000));
  }
  const auto other = SocketAt(20002, PhoneAt(0).ip);
  journal->OnConfirmed("one", other, PhoneAt(4000));
  const uint64_t all = journal->stats().live_octets;
  journal->OnCall(CallOf("one", 2, 20002));
  EXPECT_EQ(all - journal->stats().live_octets,
            3 * journal::ConfirmedOctets(3));
  Flush(*journal);
  const Told expected = {
      {CallOf("one", 2, 20002),
       {{SocketAt(20002), PhoneAt(4000)}, {SocketAt(20003), PhoneAt(4000)}}}};
  EXPECT_EQ(Load(*journal), expected);
  EXPECT_EQ(LoadCopy(), expected);
}

TEST_F(SessionJournalTest, OfManySourcesTheFirstGivesWay) {
  const auto journal = Open();
  TellCall(*journal, "one");
  for (size_t i = 0; i <= SessionJournal::kSourcesMax; ++i) {
    journal->OnConfirmed("one", SocketAt(static_cast<uint16_t>(10000 + i)),
                         PhoneAt(4000));
  }
  Flush(*journal);
  const Told told = Load(*journal);
  ASSERT_THAT(told, SizeIs(1));
  ASSERT_THAT(told[0].believed, SizeIs(SessionJournal::kSourcesMax));
  EXPECT_EQ(told[0].believed[0].local, SocketAt(10001));
  EXPECT_EQ(LoadCopy(), told);
}

// What the reader would take for damage must never be written, or everything
// behind it would be lost with it.
TEST_F(SessionJournalTest, WhatNoRecordCanHoldIsLeftOutAndCounted) {
  const auto journal = Open();
  TellCall(*journal, "one");
  const std::string longer(kIdOctets + 1, 'x');
  uint64_t left_out = 0;
  const auto tell = [&](auto&& change) {
    CallImage call = CallOf("two");
    change(call);
    journal->OnCall(call);
    EXPECT_EQ(journal->stats().left_out, ++left_out);
  };
  const auto tell_medium = [&](auto&& change) {
    tell([&](CallImage& c) { change(c.offers[0].forks[0].group.media[0]); });
  };
  tell_medium([](Medium& m) { m.first = static_cast<relay::FlowKind>(4); });
  tell_medium([](Medium& m) { m.first = relay::FlowKind::kRtcp; });
  tell_medium([](Medium& m) { m.port = 65535; });
  tell_medium([](Medium& m) { m.range = journal::kRangeMax + 1; });
  tell_medium([](Medium& m) { m.range = 0; });
  tell_medium([](Medium& m) { m.base = 0; });
  tell_medium([](Medium& m) { m.base = 65535; });
  tell([&](CallImage& c) { c.call_id = longer; });
  tell([&](CallImage& c) { c.offers[0].id_from = longer; });
  tell([&](CallImage& c) { c.offers[0].forks[0].id_to = longer; });
  tell([](CallImage& c) { c.offers.resize(kTransactionsPerCall + 1); });
  tell(
      [](CallImage& c) { c.offers[0].forks.resize(kForksPerTransaction + 1); });
  tell([](CallImage& c) { c.offers[0].ways.resize(kForksPerTransaction + 1); });
  tell([](CallImage& c) {
    auto& media = c.offers[0].from->media;
    media.resize(journal::kMediaMax + 1, media[0]);
  });
  tell([](CallImage& c) {
    c.offers[0].forks[0].up = false;
    c.offers[0].forks[0].acknowledged = true;
  });
  journal->OnGone(longer);
  journal->OnConfirmed(longer, SocketAt(20000), PhoneAt(4000));
  journal->OnConfirmed("one", SocketAt(0), PhoneAt(4000));
  journal->OnConfirmed("one", SocketAt(20000), PhoneAt(0));
  journal->OnConfirmed("one", SocketAt(20000), SocketAt(4000, IpAddress()));
  EXPECT_EQ(journal->stats().left_out, left_out + 5);
  Flush(*journal);
  EXPECT_EQ(journal->stats().records, 1u);
  EXPECT_THAT(LoadCopy(), SizeIs(1));
}

TEST_F(SessionJournalTest, LongUrisAreCutAsInTheCall) {
  const auto journal = Open();
  CallImage call = CallOf("one");
  call.uri_from = std::string(kUriOctets + 1, 'u');
  journal->OnCall(call);
  Flush(*journal);
  call.uri_from.pop_back();
  EXPECT_EQ(LoadCopy(), (Told{{call, {}}}));
}

TEST_F(SessionJournalTest, ACallThatCannotBeRestoredIsGone) {
  const auto journal = Open();
  for (const char* id : {"one", "two", "three", "four"}) TellCall(*journal, id);
  Flush(*journal);
  const SessionJournal::Stats before = journal->stats();
  // Their ports are somebody else's now: of the last, too.
  const auto played =
      journal->Load([](const CallImage& call, absl::Span<const Believed>) {
        return call.call_id != "two" && call.call_id != "four";
      });
  EXPECT_EQ(played.calls, 4u);
  EXPECT_EQ(played.records, 4u);
  Flush(*journal);
  EXPECT_EQ(journal->stats().records, before.records + 2);
  TellTale expected;
  TellCall(expected, "one");
  TellCall(expected, "three");
  EXPECT_EQ(Load(*journal), expected.told);
  EXPECT_EQ(LoadCopy(), expected.told);
}

// ---- a random life ---------------------------------------------------------

TEST_F(SessionJournalTest, AfterAnyLifeItTellsTheCallsThatAreUp) {
  const uint64_t seed = std::random_device{}();
  SCOPED_TRACE(absl::StrCat("seed ", seed));
  Maker make(seed);
  TellTale model;
  auto journal = Open();
  uint64_t compactions = 0, reopened = 0;
  for (int step = 0; step < 8000; ++step) {
    const std::string id = absl::StrCat("call-", make.Below(40));
    SessionObserver* const both[] = {&model, journal.get()};
    switch (make.Below(7)) {
      case 0:
      case 1:
      case 2: {
        const CallImage call = make.Call(id);
        for (SessionObserver* to : both) to->OnCall(call);
        break;
      }
      case 3:
      case 4: {
        // Of the call or not: sources of a port that it has live longer.
        Endpoint local = SocketAt(static_cast<uint16_t>(20000 + make.Below(6)));
        if (const ToldCall* known = model.Find(id); known && make.Toss()) {
          known->call.ForEachGroup([&](const GroupImage& group) {
            for (const Medium& m : group.media) {
              local = {.ip = group.local, .port = m.Local(0)};
            }
          });
        }
        const Endpoint source =
            make.Below(4) == 0
                ? Endpoint{}
                : PhoneAt(static_cast<uint16_t>(4000 + make.Below(3)));
        for (SessionObserver* to : both) to->OnConfirmed(id, local, source);
        break;
      }
      case 5:
        for (SessionObserver* to : both) to->OnGone(id);
        break;
      case 6:
        if (make.Below(3) != 0) Flush(*journal);
        if (make.Below(40) != 0) break;
        ASSERT_EQ(Load(*journal), model.told);
        Flush(*journal);
        compactions += journal->stats().compactions;
        ASSERT_EQ(journal->stats().octets, std::filesystem::file_size(path_));
        journal.reset();
        journal = Open();
        ++reopened;
        ASSERT_EQ(journal->cut(), "");
        ASSERT_EQ(Load(*journal), model.told);
        break;
    }
  }
  Flush(*journal);
  compactions += journal->stats().compactions;
  EXPECT_GT(compactions, 0u);
  EXPECT_GT(reopened, 0u);
  EXPECT_EQ(LoadCopy(), model.told);
}

// ---- a call that goes on and on --------------------------------------------

TEST_F(SessionJournalTest, ACallThatIsOfferedAnewForeverStaysSmall) {
  const auto journal = Open();
  for (uint32_t i = 1; i <= 20'000; ++i) {
    TellCall(*journal, "one", i);
    Flush(*journal);
    ASSERT_LE(journal->stats().octets, SessionJournal::kRewriteOctets + 500);
  }
  EXPECT_GT(journal->stats().compactions, 0u);
  EXPECT_LT(journal->stats().live_octets, 500u);
  EXPECT_EQ(LoadCopy(), (Told{{CallOf("one", 20'000), {}}}));
}

CallImage Greedy(size_t octets_of_tags) {
  CallImage call = CallOf("greedy");
  for (size_t i = 0; call.offers[0].forks.size() < kForksPerTransaction; ++i) {
    ForkImage& fork = call.offers[0].forks.emplace_back();
    fork.id_to = absl::StrCat(i, std::string(octets_of_tags, 'x'));
  }
  call.offers.resize(2, call.offers[0]);
  return call;
}

TEST_F(SessionJournalTest, ACallThatTakesTooMuchIsGivenUpUntilItTakesLess) {
  const auto journal = Open();
  TellTale expected;
  TellCall(expected, "one");
  TellCall(*journal, "one");
  TellCall(*journal, "greedy");
  journal->OnConfirmed("greedy", SocketAt(20000), PhoneAt(4000));
  for (int i = 0; i < 5; ++i) {
    journal->OnCall(Greedy(1020));
    journal->OnConfirmed("greedy", SocketAt(20000), PhoneAt(4000));
  }
  Flush(*journal);
  // What it was before must not come back: its ports may be others' by then.
  EXPECT_EQ(Load(*journal), expected.told);
  EXPECT_EQ(LoadCopy(), expected.told);
  EXPECT_EQ(journal->stats().calls_given_up, 1u);
  EXPECT_EQ(journal->stats().left_out, 4u);
  EXPECT_EQ(journal->stats().calls, 1u);
  // Just about as much as there is room for.
  journal->OnCall(Greedy(480));
  Flush(*journal);
  EXPECT_GT(journal->stats().octets, SessionJournal::kCallOctetsMax * 9 / 10);
  expected.OnCall(Greedy(480));
  EXPECT_EQ(Load(*journal), expected.told);
  EXPECT_EQ(LoadCopy(), expected.told);
}

}  // namespace
}  // namespace sluice::control
