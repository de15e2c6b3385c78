// Goal: what a session manager did is told again, call by call and in its
// order, after whatever life of calls; what changes nothing is not kept.
// Method: real files in a folder of this process's own; a file "of a killed
// daemon" is a copy of what is on the disk. Random content comes from a printed
// seed.

#include "control/session_journal.h"

#include <sys/stat.h>

#include <algorithm>
#include <filesystem>
#include <map>
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

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

// One thing that is told, with values of its own.
class Maker {
 public:
  explicit Maker(uint64_t seed) : random_(seed) {}

  uint64_t Below(uint64_t n) { return random_() % n; }
  std::string Text(size_t max) {
    std::string text(Below(4) == 0 ? max : Below(std::min<size_t>(max, 40) + 1),
                     '\0');
    for (char& c : text) c = static_cast<char>(Below(256));
    return text;
  }
  IpAddress Ip() {
    if (Below(2) == 0) {
      return IpAddress::V4(10, 0, 0, static_cast<uint8_t>(1 + Below(250)));
    }
    uint8_t octets[16];
    for (uint8_t& octet : octets) octet = static_cast<uint8_t>(Below(256));
    return IpAddress::FromOctets(octets);
  }
  Endpoint Somewhere() {
    return At(static_cast<uint16_t>(1 + Below(65535)), Ip());
  }
  SessionKey Key(const std::string& call_id) {
    SessionKey key;
    key.call_id = call_id;
    key.cseq = static_cast<uint32_t>(random_());
    key.id_from = Text(kIdOctets);
    key.id_to = Text(kIdOctets);
    key.half_open_only = Below(2) == 0;
    key.stage = static_cast<sip::AnswerStage>(Below(3));
    return key;
  }
  void Allocated(const std::string& call_id, SessionObserver& to) {
    SessionKey key = Key(call_id);
    key.uri_from = Text(kUriOctets);
    key.uri_to = Text(kUriOctets);
    std::vector<Media> media(Below(4) == 0 ? journal::kMediaMax : Below(4));
    std::vector<uint16_t> bases;
    for (Media& medium : media) {
      medium.range = 1 + static_cast<int>(Below(64));
      if (Below(4) != 0) {
        medium.ip = Ip();
        medium.port = static_cast<uint16_t>(Below(65536 - 64));
      }
      constexpr relay::FlowKind kKinds[] = {
          relay::FlowKind::kRtp, relay::FlowKind::kSrtp, relay::FlowKind::kRaw};
      medium.first = kKinds[Below(3)];
      medium.clock_hz = static_cast<uint32_t>(random_());
      if (Below(2) == 0) medium.heard_from = Ip();
      const bool active = medium.port != 0 && !medium.ip.is_any();
      bases.push_back(
          static_cast<uint16_t>(active ? 1 + Below(65000) : Below(65000)));
    }
    to.OnAllocated(key, Below(2) == 0 ? Side::kFrom : Side::kTo, Ip(), media,
                   bases);
  }
  void Activated(const std::string& call_id, SessionObserver& to) {
    to.OnActivated(Key(call_id));
  }
  void Closed(const std::string& call_id, SessionObserver& to) {
    SessionKey key = Key(call_id);
    if (Below(2) == 0) key.cseq.reset();
    to.OnClosed(key);
  }

 private:
  std::mt19937_64 random_;
};

// ---- what is told comes back -----------------------------------------------

TEST_F(SessionJournalTest, EveryFieldOfEveryRecordComesBack) {
  const uint64_t seed = std::random_device{}();
  SCOPED_TRACE(absl::StrCat("seed ", seed));
  Maker make(seed);
  Told expected;
  {
    const auto journal = Open();
    for (int i = 0; i < 300; ++i) {
      const std::string id = absl::StrCat(make.Text(40), "#", i);
      Teller teller;
      const Endpoint socket = make.Somewhere(), source = make.Somewhere();
      for (SessionObserver* to :
           {static_cast<SessionObserver*>(&teller),
            static_cast<SessionObserver*>(journal.get())}) {
        Maker same(seed + static_cast<uint64_t>(i));
        if (!source.ip.is_any()) to->OnConfirmed(id, socket, source);
        same.Allocated(id, *to);
        same.Activated(id, *to);
        same.Closed(id, *to);
      }
      expected.insert(expected.end(), teller.told.begin(), teller.told.end());
    }
    Flush(*journal);
    EXPECT_EQ(journal->stats().left_out, 0u);
    EXPECT_EQ(journal->stats().records, expected.size());
    EXPECT_EQ(Load(*journal), expected);
  }
  const auto again = Open();
  EXPECT_EQ(again->cut(), "");
  EXPECT_EQ(Load(*again), expected);
  EXPECT_EQ(again->stats().octets, std::filesystem::file_size(path_));
  EXPECT_EQ(again->stats().records, expected.size());
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
  journal->OnConfirmed("one", At(20000), At(4000, kAlice));
  journal->OnGone("one");
  journal->OnGone("never");
  // Told late, of nothing.
  journal->OnActivated(KeyOf("one"));
  journal->OnClosed(KeyOf("one"));
  journal->OnConfirmed("one", At(20000), Endpoint{});
  Flush(*journal);
  Teller two;
  TellCall(two, "two");
  EXPECT_EQ(Load(*journal), two.told);
  EXPECT_EQ(LoadCopy(), two.told);
  TellCall(*journal, "one", 9);
  Flush(*journal);
  TellCall(two, "one", 9);
  EXPECT_EQ(LoadCopy(), two.told);
}

TEST_F(SessionJournalTest, OfTheSourcesTheLastIsToldAndBeforeTheRest) {
  const auto journal = Open();
  TellCall(*journal, "one");
  journal->OnConfirmed("one", At(20000), At(4000, kAlice));
  journal->OnConfirmed("one", At(20002), At(4002, kAlice));
  journal->OnConfirmed("one", At(20004), At(4004, kAlice));
  journal->OnConfirmed("one", At(20000), At(5000, kAlice));
  journal->OnConfirmed("one", At(20002), Endpoint{});
  Flush(*journal);
  Teller expected;
  expected.OnConfirmed("one", At(20000), At(5000, kAlice));
  expected.OnConfirmed("one", At(20004), At(4004, kAlice));
  TellCall(expected, "one");
  EXPECT_EQ(Load(*journal), expected.told);
  EXPECT_EQ(LoadCopy(), expected.told);
}

TEST_F(SessionJournalTest, OfManySourcesTheFirstGivesWay) {
  const auto journal = Open();
  TellCall(*journal, "one");
  for (size_t i = 0; i <= SessionJournal::kSourcesMax; ++i) {
    journal->OnConfirmed("one", At(static_cast<uint16_t>(10000 + i)),
                         At(4000, kAlice));
  }
  Flush(*journal);
  const Told told = Load(*journal);
  EXPECT_THAT(told, SizeIs(SessionJournal::kSourcesMax + 3));
  EXPECT_THAT(told.front(), HasSubstr("192.0.2.1:10001"));
  EXPECT_EQ(LoadCopy(), told);
}

TEST_F(SessionJournalTest, ARepetitionIsNotWrittenButTheAcknowledgementIs) {
  const auto journal = Open();
  const SessionKey key = KeyOf("one");
  TellHalf(*journal, key, Side::kFrom, 20000);
  TellHalf(*journal, key, Side::kFrom, 20000);
  TellHalf(*journal, key, Side::kTo, 20002);
  for (int i = 0; i < 5; ++i) journal->OnActivated(key);
  for (int i = 0; i < 5; ++i) {
    journal->OnConfirmed("one", At(20000), At(4000, kAlice));
  }
  // Not repetitions: there was something else in between.
  TellHalf(*journal, key, Side::kFrom, 20000);
  journal->OnActivated(key);
  Flush(*journal);
  EXPECT_EQ(journal->stats().records, 7u);
  Teller expected;
  expected.OnConfirmed("one", At(20000), At(4000, kAlice));
  TellHalf(expected, key, Side::kFrom, 20000);
  TellHalf(expected, key, Side::kTo, 20002);
  expected.OnActivated(key);
  expected.OnActivated(key);
  TellHalf(expected, key, Side::kFrom, 20000);
  expected.OnActivated(key);
  EXPECT_EQ(Load(*journal), expected.told);
  EXPECT_EQ(LoadCopy(), expected.told);
}

// What the reader would take for damage must never be written, or everything
// behind it would be lost with it.
TEST_F(SessionJournalTest, WhatNoRecordCanHoldIsLeftOutAndCounted) {
  const auto journal = Open();
  TellCall(*journal, "one");
  const SessionKey key = KeyOf("one", 2);
  const Media good{.ip = kAlice, .port = 4000};
  const auto tell = [&](const Media& medium, uint16_t base) {
    journal->OnAllocated(key, Side::kFrom, kHere, {medium}, {base});
  };
  SessionKey longer = key;
  longer.id_to = std::string(kIdOctets + 1, 'x');
  SessionKey none = key;
  none.cseq.reset();
  SessionKey stage = key;
  stage.stage = static_cast<sip::AnswerStage>(3);
  Media kind = good, rtcp = good, port = good, range = good;
  kind.first = static_cast<relay::FlowKind>(4);
  rtcp.first = relay::FlowKind::kRtcp;
  port.port = 65535;
  range.range = journal::kRangeMax + 1;
  tell(kind, 20000);
  tell(rtcp, 20000);
  tell(port, 20000);
  tell(range, 20000);
  range.range = 0;
  tell(range, 20000);
  tell(good, 0);
  tell(good, 65535);
  journal->OnAllocated(key, static_cast<Side>(2), kHere, {good}, {20000});
  journal->OnAllocated(key, Side::kFrom, kHere, {good, good}, {20000});
  const std::vector<Media> many(journal::kMediaMax + 1, good);
  const std::vector<uint16_t> bases(many.size(), 20000);
  journal->OnAllocated(key, Side::kFrom, kHere, many, bases);
  journal->OnAllocated(none, Side::kFrom, kHere, {good}, {20000});
  journal->OnActivated(none);
  journal->OnActivated(longer);
  journal->OnActivated(stage);
  journal->OnClosed(longer);
  journal->OnGone(longer.id_to);
  journal->OnConfirmed(longer.id_to, At(20000), At(4000));
  journal->OnConfirmed("one", At(0), At(4000));
  journal->OnConfirmed("one", At(20000), At(0));
  journal->OnConfirmed("one", At(20000), At(4000, IpAddress()));
  EXPECT_EQ(journal->stats().left_out, 20u);
  Flush(*journal);
  EXPECT_EQ(journal->stats().records, 3u);
  // On hold a medium needs no port of ours; what it has is kept.
  tell(Media{}, 0);
  Flush(*journal);
  EXPECT_EQ(journal->stats().left_out, 20u);
  EXPECT_THAT(LoadCopy(), SizeIs(4));
}

TEST_F(SessionJournalTest, LongUrisAreCutAsInTheCall) {
  const auto journal = Open();
  SessionKey key = KeyOf("one");
  key.uri_from = std::string(kUriOctets + 1, 'u');
  TellHalf(*journal, key, Side::kFrom, 20000);
  Flush(*journal);
  Teller expected;
  key.uri_from.pop_back();
  TellHalf(expected, key, Side::kFrom, 20000);
  EXPECT_EQ(LoadCopy(), expected.told);
}

// A manager that is made again and tells the journal what it is told.
TEST_F(SessionJournalTest, WhatIsToldWhileLoadingIsNotWrittenTwice) {
  const auto journal = Open();
  TellCall(*journal, "one");
  TellCall(*journal, "two");
  TellCall(*journal, "three");
  Flush(*journal);
  const SessionJournal::Stats before = journal->stats();

  class Again : public Teller {
   public:
    explicit Again(SessionJournal& j) : journal_(j) {}
    void OnAllocated(const SessionKey& key, Side side, const IpAddress& local,
                     absl::Span<const Media> media,
                     absl::Span<const uint16_t> bases) override {
      journal_.OnAllocated(key, side, local, media, bases);
      // Its ports are somebody else's now.
      if (key.call_id == "two") journal_.OnGone("two");
    }
    void OnActivated(const SessionKey& key) override {
      journal_.OnActivated(key);
    }

   private:
    SessionJournal& journal_;
  } again(*journal);
  const auto played = journal->Load(again);
  EXPECT_EQ(played.calls, 3u);
  EXPECT_EQ(played.records, 9u);
  Flush(*journal);
  EXPECT_EQ(journal->stats().records, before.records + 1);  // "two" is gone
  Teller expected;
  TellCall(expected, "one");
  TellCall(expected, "three");
  EXPECT_EQ(Load(*journal), expected.told);
  EXPECT_EQ(LoadCopy(), expected.told);
}

// ---- a random life ---------------------------------------------------------

// What is to be told of the calls that are up.
struct Model {
  struct Call {
    Told told;
    std::vector<std::pair<Endpoint, Endpoint>> sources;
  };
  std::vector<std::string> order;
  std::map<std::string, Call> calls;

  Told Expected() const {
    Told all;
    for (const std::string& id : order) {
      const Call& call = calls.at(id);
      Teller sources;
      for (const auto& [socket, source] : call.sources) {
        sources.OnConfirmed(id, socket, source);
      }
      all.insert(all.end(), sources.told.begin(), sources.told.end());
      all.insert(all.end(), call.told.begin(), call.told.end());
    }
    return all;
  }
  void Gone(const std::string& id) {
    if (calls.erase(id) != 0) std::erase(order, id);
  }
};

TEST_F(SessionJournalTest, AfterAnyLifeItTellsTheCallsThatAreUp) {
  const uint64_t seed = std::random_device{}();
  SCOPED_TRACE(absl::StrCat("seed ", seed));
  Maker make(seed);
  Model model;
  auto journal = Open();
  uint64_t compactions = 0, reopened = 0;
  // Larger than life, so that the file is often rewritten: 5 KB a call.
  for (int step = 0; step < 8000; ++step) {
    const std::string id = absl::StrCat("call-", make.Below(40));
    const auto known = model.calls.find(id);
    const bool up = known != model.calls.end();
    const auto record = [&](auto&& tell) {
      Teller told;
      tell(told);
      tell(*journal);
      known->second.told.push_back(told.told.at(0));
    };
    switch (make.Below(9)) {
      case 0:
      case 1:
      case 2: {
        if (up) break;
        Teller told;
        const uint64_t offer = make.Below(~uint64_t{0});
        Maker(offer).Allocated(id, told);
        Maker(offer).Allocated(id, *journal);
        model.order.push_back(id);
        model.calls[id].told = told.told;
        break;
      }
      case 3:
      case 4: {
        if (!up) {
          make.Closed(id, *journal);
          make.Activated(id, *journal);
        } else if (known->second.told.size() < 3) {
          const uint64_t key = make.Below(~uint64_t{0});
          record([&](SessionObserver& to) { Maker(key).Activated(id, to); });
        }
        break;
      }
      case 5: {
        if (up && known->second.told.size() < 3) {
          const uint64_t key = make.Below(~uint64_t{0});
          record([&](SessionObserver& to) { Maker(key).Closed(id, to); });
        }
        break;
      }
      case 6: {
        if (!up) break;
        const Endpoint socket =
            At(static_cast<uint16_t>(20000 + make.Below(6)));
        const Endpoint source =
            make.Below(4) == 0
                ? Endpoint{}
                : At(static_cast<uint16_t>(4000 + make.Below(3)), kAlice);
        journal->OnConfirmed(id, socket, source);
        auto& sources = known->second.sources;
        const auto at =
            std::find_if(sources.begin(), sources.end(),
                         [&](const auto& s) { return s.first == socket; });
        if (source.is_none()) {
          if (at != sources.end()) sources.erase(at);
        } else if (at != sources.end()) {
          at->second = source;
        } else {
          sources.emplace_back(socket, source);
        }
        break;
      }
      case 7:
        journal->OnGone(id);
        model.Gone(id);
        break;
      case 8:
        if (make.Below(3) != 0) Flush(*journal);
        if (make.Below(40) != 0) break;
        ASSERT_EQ(Load(*journal), model.Expected());
        Flush(*journal);
        compactions += journal->stats().compactions;
        ASSERT_EQ(journal->stats().octets, std::filesystem::file_size(path_));
        ASSERT_EQ(journal->stats().calls, model.calls.size());
        journal.reset();
        journal = Open();
        ++reopened;
        ASSERT_EQ(journal->cut(), "");
        ASSERT_EQ(Load(*journal), model.Expected());
        break;
    }
  }
  Flush(*journal);
  compactions += journal->stats().compactions;
  EXPECT_GT(compactions, 0u);
  EXPECT_GT(reopened, 0u);
  EXPECT_EQ(LoadCopy(), model.Expected());
}

// ---- a call that goes on and on --------------------------------------------

TEST_F(SessionJournalTest, ACallThatIsOfferedAnewForeverStaysSmall) {
  const auto journal = Open();
  // The first offer knows no tag of the other party, and rang a second phone.
  const auto first = [](SessionObserver& to) {
    SessionKey key = KeyOf("one");
    key.id_to = "";
    TellHalf(to, key, Side::kFrom, 20000);
    key.id_to = "b";
    TellHalf(to, key, Side::kTo, 20002);
    to.OnActivated(key);
    key.id_to = "c";
    TellHalf(to, key, Side::kTo, 20010);
  };
  first(*journal);
  constexpr uint32_t kTimes = 2000;
  for (uint32_t i = 2; i <= kTimes; ++i) {
    SessionKey key = KeyOf("one", i);
    if (i % 2 == 0) std::swap(key.id_from, key.id_to);
    TellHalf(*journal, key, Side::kFrom, 20000);
    TellHalf(*journal, key, Side::kTo, 20002);
    journal->OnActivated(key);
    journal->OnActivated(key);
    ASSERT_LE(journal->stats().live_octets, 3 * SessionJournal::kPruneOctets);
    Flush(*journal);
  }
  const Told told = Load(*journal);
  EXPECT_EQ(LoadCopy(), told);
  EXPECT_EQ(journal->stats().calls_given_up, 0u);
  // What is needed is there: the fork that still rings, and the last offer.
  Teller last;
  first(last);
  EXPECT_EQ(Told(told.begin(), told.begin() + 4), last.told);
  last.told.clear();
  SessionKey key = KeyOf("one", kTimes);
  std::swap(key.id_from, key.id_to);
  TellHalf(last, key, Side::kFrom, 20000);
  TellHalf(last, key, Side::kTo, 20002);
  last.OnActivated(key);
  last.OnActivated(key);
  EXPECT_EQ(Told(told.end() - 4, told.end()), last.told);
}

// Each of these may still be wanted: the last answer can be refused, and the
// offers may be answered.
TEST_F(SessionJournalTest, WhatMayStillComeToLifeIsKept) {
  const auto journal = Open();
  Teller expected;
  for (SessionObserver* to : {static_cast<SessionObserver*>(&expected),
                              static_cast<SessionObserver*>(journal.get())}) {
    for (uint32_t i = 1; i <= 100; ++i) {
      SessionKey key = KeyOf("one", i);
      key.stage = sip::AnswerStage::kEarly;
      TellHalf(*to, key, Side::kFrom, 20000);
      TellHalf(*to, key, Side::kTo, 20002);
      if (i % 2 == 0) to->OnActivated(key);
    }
    // A late acknowledgement of something that the journal has no halves of.
    SessionKey late = KeyOf("one", 1000);
    late.stage = sip::AnswerStage::kFinal;
    to->OnActivated(late);
  }
  Flush(*journal);
  EXPECT_GT(journal->stats().live_octets, 2 * SessionJournal::kPruneOctets);
  EXPECT_EQ(Load(*journal), expected.told);
  EXPECT_EQ(LoadCopy(), expected.told);
}

// The last answer is made on the ports that it had only if what came before is
// told as well, as long as the first offer is needed for another phone.
TEST_F(SessionJournalTest, WhatAnAnswerStandsOnIsKept) {
  const auto journal = Open();
  Teller expected;
  for (SessionObserver* to : {static_cast<SessionObserver*>(&expected),
                              static_cast<SessionObserver*>(journal.get())}) {
    SessionKey key = KeyOf("one");
    TellHalf(*to, key, Side::kFrom, 20000);
    TellHalf(*to, key, Side::kTo, 20002);
    key.id_to = "c";
    TellHalf(*to, key, Side::kTo, 20010);
    for (uint32_t i = 2; i <= 100; ++i) {
      key = KeyOf("one", i);
      key.stage = sip::AnswerStage::kFinal;
      TellHalf(*to, key, Side::kFrom, 30000);
      TellHalf(*to, key, Side::kTo, 30002);
      to->OnActivated(key);
    }
  }
  Flush(*journal);
  EXPECT_EQ(Load(*journal), expected.told);
  EXPECT_EQ(LoadCopy(), expected.told);
}

TEST_F(SessionJournalTest, OfTwoPartiesAloneOnlyTheLastOffersAreKept) {
  const auto journal = Open();
  for (uint32_t i = 1; i <= 500; ++i) {
    // New ports each time; every third offer is left alone or refused.
    SessionKey key = KeyOf("one", i);
    const auto base = static_cast<uint16_t>(20000 + 4 * i);
    TellHalf(*journal, key, Side::kFrom, base);
    if (i % 3 == 1) continue;
    if (i % 3 == 2) {
      journal->OnClosed(key);
      continue;
    }
    TellHalf(*journal, key, Side::kTo, static_cast<uint16_t>(base + 2));
    key.stage = sip::AnswerStage::kFinal;
    journal->OnActivated(key);
  }
  Flush(*journal);
  EXPECT_LE(journal->stats().live_octets, 2 * SessionJournal::kPruneOctets);
  EXPECT_THAT(Load(*journal).front(), HasSubstr("allocated one|"));
  EXPECT_EQ(LoadCopy(), Load(*journal));
}

TEST_F(SessionJournalTest, ACallThatTakesTooMuchIsGivenUp) {
  const auto journal = Open();
  TellCall(*journal, "one");
  Teller expected;
  TellCall(expected, "one");
  for (uint32_t i = 1; i <= 5000; ++i) {
    TellHalf(*journal, KeyOf("greedy", i), Side::kFrom, 20000);
    journal->OnConfirmed("greedy", At(20000), At(4000, kAlice));
  }
  Flush(*journal);
  EXPECT_EQ(journal->stats().calls_given_up, 1u);
  EXPECT_EQ(journal->stats().calls, 1u);
  EXPECT_LT(journal->stats().octets, 2 * SessionJournal::kCallOctetsMax);
  EXPECT_EQ(Load(*journal), expected.told);
  EXPECT_EQ(LoadCopy(), expected.told);
  // Once it is gone the name is as good as any.
  journal->OnGone("greedy");
  TellCall(*journal, "greedy");
  Flush(*journal);
  TellCall(expected, "greedy");
  EXPECT_EQ(LoadCopy(), expected.told);
}

}  // namespace
}  // namespace sluice::control
