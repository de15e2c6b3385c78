// Goal: what was told to be durable is there after any end of the program; what
// is found is what was stored and has not expired; nothing waits for the disk.
// Method: real databases in a folder of the test's, a wall clock of the test's,
// another connection that locks or breaks the file, and a child that is killed.

#include "sip/location.h"

#include <signal.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <functional>
#include <map>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/clock.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/base/temp_folder.h"

namespace sluice::sip {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr int64_t kNow = 1'700'000'000;

Binding Contact(std::string uri, int64_t expires_in = 60, uint16_t q = 1000,
                int64_t changed_at = kNow) {
  Binding b;
  b.contact = std::move(uri);
  b.expires_at = kNow + expires_in;
  b.q = q;
  b.changed_at = changed_at;
  b.received = {.transport = Transport::kUdp,
                .address = *Endpoint::Parse("192.0.2.1:5060")};
  return b;
}

std::vector<std::string> Contacts(const std::vector<Binding>& bindings) {
  std::vector<std::string> contacts;
  for (const Binding& b : bindings) contacts.push_back(b.contact);
  return contacts;
}

// Another program with the file open.
class Outsider {
 public:
  explicit Outsider(const std::string& path) {
    EXPECT_EQ(sqlite3_open(path.c_str(), &handle_), SQLITE_OK);
    sqlite3_busy_timeout(handle_, 10'000);
  }
  ~Outsider() { sqlite3_close(handle_); }
  void Do(const char* sql) {
    EXPECT_EQ(sqlite3_exec(handle_, sql, nullptr, nullptr, nullptr), SQLITE_OK)
        << sqlite3_errmsg(handle_);
  }
  int64_t Number(const char* sql) {
    sqlite3_stmt* s = nullptr;
    EXPECT_EQ(sqlite3_prepare_v2(handle_, sql, -1, &s, nullptr), SQLITE_OK);
    EXPECT_EQ(sqlite3_step(s), SQLITE_ROW);
    const int64_t number = sqlite3_column_int64(s, 0);
    sqlite3_finalize(s);
    return number;
  }

 private:
  sqlite3* handle_ = nullptr;
};

class LocationTest : public ::testing::Test {
 protected:
  absl::StatusOr<std::unique_ptr<LocationStore>> TryOpen(
      const std::string& database, size_t bindings_max = 1'000'000) {
    return LocationStore::Open(loop_, {.database = database,
                                       .bindings_max = bindings_max,
                                       .wall_clock = [this] { return now_; }});
  }
  void Open(const std::string& database, size_t bindings_max = 1'000'000) {
    store_.reset();
    auto store = TryOpen(database, bindings_max);
    ASSERT_TRUE(store.ok()) << store.status();
    store_ = *std::move(store);
  }
  absl::Status Store(const std::string& aor, std::vector<Binding> bindings) {
    ++asked_;
    return store_->Store(aor, std::move(bindings), [this](absl::Status status) {
      told_.push_back(std::move(status));
    });
  }
  // Turns the loop until everything stored has been told of.
  void AwaitAll() {
    while (told_.size() < asked_) loop_.RunOnce(Micros::Seconds(1));
  }
  // Lets time pass on both clocks, and the loop sweep.
  void Pass(int64_t seconds) {
    now_ += seconds;
    monotonic_ = monotonic_ + Micros::Seconds(seconds);
    loop_.RunOnce(Micros());
  }
  std::vector<std::string> Find(const std::string& aor) {
    return Contacts(store_->Find(aor));
  }

  TempFolder folder_;
  const std::string file_ = folder_ / "location.db";
  int64_t now_ = kNow;
  Micros monotonic_ = Micros::Seconds(10);
  net::EventLoop loop_{[this] { return monotonic_; }};
  size_t asked_ = 0;
  std::vector<absl::Status> told_;
  std::unique_ptr<LocationStore> store_;
};

// --- Memory ----------------------------------------------------------------

TEST_F(LocationTest, FindsTheBestFirstThenTheNewest) {
  Open("");
  ASSERT_TRUE(Store("sip:a@x", {Contact("sip:1", 60, 500, kNow),
                                Contact("sip:2", 60, 1000, kNow - 9),
                                Contact("sip:3", 60, 500, kNow + 1),
                                Contact("sip:4", 60, 1000, kNow)})
                  .ok());
  EXPECT_THAT(told_, ElementsAre(absl::OkStatus()));  // at once
  EXPECT_THAT(Find("sip:a@x"), ElementsAre("sip:4", "sip:2", "sip:3", "sip:1"));
  EXPECT_THAT(Find("sip:b@x"), IsEmpty());
  EXPECT_EQ(store_->size(), 4u);
  EXPECT_EQ(store_->records(), 1u);
}

TEST_F(LocationTest, ReplacesAndRemoves) {
  Open("");
  ASSERT_TRUE(Store("sip:a@x", {Contact("sip:1"), Contact("sip:2")}).ok());
  ASSERT_TRUE(Store("sip:b@x", {Contact("sip:9")}).ok());
  ASSERT_TRUE(Store("sip:a@x", {Contact("sip:2"), Contact("sip:3")}).ok());
  EXPECT_THAT(Find("sip:a@x"), ElementsAre("sip:2", "sip:3"));
  ASSERT_TRUE(Store("sip:a@x", {}).ok());
  EXPECT_THAT(Find("sip:a@x"), IsEmpty());
  EXPECT_EQ(store_->size(), 1u);
  EXPECT_EQ(store_->records(), 1u);
  ASSERT_TRUE(Store("sip:c@x", {}).ok());
  EXPECT_EQ(store_->records(), 1u);
  EXPECT_EQ(store_->counters().stored, 5u);
  EXPECT_EQ(store_->counters().removed, 3u);
  EXPECT_TRUE(store_->Store("sip:d@x", {Contact("sip:1")}, nullptr).ok());
  EXPECT_TRUE(store_->Flush().ok());
  EXPECT_EQ(store_->counters().transactions, 0u);
}

TEST_F(LocationTest, LeavesOutWhatHasExpiredAndThenForgetsIt) {
  Open("");
  ASSERT_TRUE(
      Store("sip:a@x", {Contact("sip:1", 10), Contact("sip:2", 20)}).ok());
  now_ = kNow + 9;
  EXPECT_THAT(Find("sip:a@x"), ElementsAre("sip:1", "sip:2"));
  now_ = kNow + 10;
  EXPECT_THAT(Find("sip:a@x"), ElementsAre("sip:2"));
  EXPECT_EQ(store_->size(), 2u);  // not swept yet
  Pass(1);
  EXPECT_EQ(store_->size(), 1u);
  EXPECT_EQ(store_->counters().expired, 1u);
  EXPECT_THAT(Find("sip:a@x"), ElementsAre("sip:2"));
  Pass(60);
  EXPECT_EQ(store_->records(), 0u);
  EXPECT_EQ(store_->size(), 0u);
  EXPECT_EQ(store_->counters().expired, 2u);
  EXPECT_EQ(store_->counters().removed, 0u);
}

TEST_F(LocationTest, RefusesWhenFullAndKeepsWhatItHas) {
  Open("", 3);
  ASSERT_TRUE(Store("sip:a@x", {Contact("sip:1"), Contact("sip:2")}).ok());
  const absl::Status full =
      store_->Store("sip:b@x", {Contact("sip:3"), Contact("sip:4")},
                    [](absl::Status) { FAIL() << "told"; });
  EXPECT_EQ(full.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(Find("sip:b@x"), IsEmpty());
  EXPECT_TRUE(Store("sip:b@x", {Contact("sip:3")}).ok());
  // Full: what is there may still be renewed, and go.
  EXPECT_TRUE(Store("sip:a@x", {Contact("sip:1"), Contact("sip:5")}).ok());
  EXPECT_EQ(Store("sip:b@x", {Contact("sip:3"), Contact("sip:4")}).code(),
            absl::StatusCode::kResourceExhausted);
  EXPECT_TRUE(Store("sip:a@x", {}).ok());
  EXPECT_EQ(store_->size(), 1u);
}

TEST_F(LocationTest, VisitsEachUntilToldToStop) {
  Open("");
  for (const char* aor : {"sip:a@x", "sip:b@x", "sip:c@x"}) {
    ASSERT_TRUE(Store(aor, {Contact(absl::StrCat(aor, "1"))}).ok());
  }
  std::map<std::string, std::vector<std::string>> seen;
  store_->ForEach([&](std::string_view aor, const std::vector<Binding>& b) {
    seen[std::string(aor)] = Contacts(b);
    return true;
  });
  EXPECT_EQ(seen.size(), 3u);
  EXPECT_THAT(seen["sip:b@x"], ElementsAre("sip:b@x1"));
  int visits = 0;
  store_->ForEach([&](std::string_view, const std::vector<Binding>&) {
    return ++visits < 2;
  });
  EXPECT_EQ(visits, 2);
}

TEST_F(LocationTest, AnswersAsASetOfRecordsDoes) {
  Open("");
  const uint64_t seed = std::random_device()();
  SCOPED_TRACE(absl::StrCat("seed ", seed));
  std::mt19937_64 random(seed);
  std::map<std::string, std::map<std::string, int64_t>> model;
  for (int step = 0; step < 3'000; ++step) {
    const std::string aor = absl::StrCat("sip:", random() % 20, "@x");
    std::vector<Binding> bindings;
    model[aor].clear();
    for (size_t n = random() % 4; n > 0; --n) {
      const std::string contact = absl::StrCat("sip:", n);
      const auto expires = static_cast<int64_t>(random() % 50);
      Binding b = Contact(contact, now_ - kNow + expires);
      model[aor][contact] = b.expires_at;
      bindings.push_back(std::move(b));
    }
    ASSERT_TRUE(Store(aor, std::move(bindings)).ok());
    if (random() % 8 == 0) Pass(static_cast<int64_t>(random() % 10));
    size_t live = 0;
    for (const auto& [who, contacts] : model) {
      std::set<std::string> want;
      for (const auto& [contact, expires_at] : contacts) {
        if (expires_at > now_) want.insert(contact);
      }
      live += want.size();
      const auto found = Find(who);
      ASSERT_EQ(std::set<std::string>(found.begin(), found.end()), want);
    }
    ASSERT_GE(store_->size(), live);
  }
  Pass(100);
  EXPECT_EQ(store_->size(), 0u);
  EXPECT_EQ(store_->records(), 0u);
}

// --- Disk ------------------------------------------------------------------

TEST_F(LocationTest, GivesBackEveryFieldAfterARestart) {
  Open(file_);
  Binding b = Contact("sip:alice@192.0.2.7:1234;transport=tls", 100, 700, 42);
  b.path = "<sip:edge.example.com;lr>";
  b.call_id = std::string("call\0id", 7);
  b.instance = "<urn:uuid:00000000-0000-1000-8000-000A95A0E128>";
  b.reg_id = "1";
  b.user_agent = "phone/1.0 \"x\"";
  b.leg = "inside";
  b.received = {.transport = Transport::kTls,
                .address = *Endpoint::Parse("[2001:db8::7]:40000"),
                .connection = 77};
  b.cseq = 4'000'000'000;
  ASSERT_TRUE(Store("sip:alice@example.com", {b, Contact("sip:2", 50)}).ok());
  EXPECT_THAT(told_, IsEmpty());  // not before it is on the disk
  AwaitAll();
  EXPECT_THAT(told_, ElementsAre(absl::OkStatus()));
  EXPECT_EQ(store_->counters().transactions, 1u);

  Open(file_);
  EXPECT_EQ(store_->size(), 2u);
  const auto& found = store_->Find("sip:alice@example.com");
  ASSERT_EQ(found.size(), 2u);
  const Binding& again = found[1];
  EXPECT_EQ(again.contact, b.contact);
  EXPECT_EQ(again.path, b.path);
  EXPECT_EQ(again.call_id, b.call_id);
  EXPECT_EQ(again.instance, b.instance);
  EXPECT_EQ(again.reg_id, b.reg_id);
  EXPECT_EQ(again.user_agent, b.user_agent);
  EXPECT_EQ(again.leg, b.leg);
  EXPECT_EQ(again.received.transport, Transport::kTls);
  EXPECT_EQ(again.received.address, b.received.address);
  EXPECT_EQ(again.received.connection, 0u);  // of the last process
  EXPECT_EQ(again.cseq, b.cseq);
  EXPECT_EQ(again.q, b.q);
  EXPECT_EQ(again.expires_at, b.expires_at);
  EXPECT_EQ(again.changed_at, b.changed_at);
}

TEST_F(LocationTest, KeepsWhatWasReplacedRemovedAndExpiredAsItIs) {
  Open(file_);
  ASSERT_TRUE(Store("sip:a@x", {Contact("sip:1"), Contact("sip:2")}).ok());
  ASSERT_TRUE(Store("sip:a@x", {Contact("sip:3", 20)}).ok());
  ASSERT_TRUE(Store("sip:b@x", {Contact("sip:4")}).ok());
  ASSERT_TRUE(Store("sip:b@x", {}).ok());
  ASSERT_TRUE(Store("sip:c@x", {Contact("sip:5", 10), Contact("sip:6")}).ok());
  ASSERT_TRUE(Store("sip:d@x", {Contact("sip:7", 10)}).ok());
  Pass(10);  // sweeps
  ASSERT_TRUE(store_->Flush().ok());
  EXPECT_EQ(Outsider(file_).Number("SELECT count(*) FROM bindings"), 2);
  Open(file_);
  EXPECT_EQ(store_->size(), 2u);
  EXPECT_THAT(Find("sip:a@x"), ElementsAre("sip:3"));
  EXPECT_THAT(Find("sip:c@x"), ElementsAre("sip:6"));
  // And what expires while we are away goes when we come back.
  store_.reset();
  now_ = kNow + 20;
  Open(file_);
  EXPECT_EQ(store_->size(), 1u);
  EXPECT_EQ(Outsider(file_).Number("SELECT count(*) FROM bindings"), 1);
}

TEST_F(LocationTest, WritesWhatComesMeanwhileInOneTransaction) {
  Open(file_);
  Outsider other(file_);
  other.Do("BEGIN IMMEDIATE");
  for (int i = 0; i < 1'000; ++i) {
    ASSERT_TRUE(Store(absl::StrCat("sip:", i, "@x"), {Contact("sip:1")}).ok());
  }
  // The disk is held up; the loop is not, and memory knows.
  EXPECT_THAT(Find("sip:999@x"), ElementsAre("sip:1"));
  loop_.RunOnce(Micros());
  EXPECT_THAT(told_, IsEmpty());
  other.Do("ROLLBACK");
  AwaitAll();
  EXPECT_LE(store_->counters().transactions, 2u);
  EXPECT_EQ(other.Number("SELECT count(*) FROM bindings"), 1'000);
}

TEST_F(LocationTest, TellsAFailedWriteAndGoesOn) {
  Open(file_);
  Outsider other(file_);
  other.Do("ALTER TABLE bindings RENAME TO elsewhere");
  ASSERT_TRUE(Store("sip:a@x", {Contact("sip:1")}).ok());
  AwaitAll();
  ASSERT_EQ(told_.size(), 1u);
  EXPECT_FALSE(told_[0].ok());
  EXPECT_EQ(store_->counters().write_failures, 1u);
  EXPECT_EQ(store_->counters().transactions, 0u);
  EXPECT_FALSE(store_->Flush().ok());
  EXPECT_TRUE(store_->Flush().ok());
  EXPECT_THAT(Find("sip:a@x"), ElementsAre("sip:1"));

  other.Do("ALTER TABLE elsewhere RENAME TO bindings");
  ASSERT_TRUE(Store("sip:a@x", {Contact("sip:2")}).ok());
  AwaitAll();
  EXPECT_TRUE(told_[1].ok()) << told_[1];
  EXPECT_EQ(other.Number("SELECT count(*) FROM bindings"), 1);
}

TEST_F(LocationTest, AFailedTransactionLeavesNothingOfItself) {
  Open(file_);
  Outsider other(file_);
  other.Do(
      "CREATE TRIGGER no BEFORE INSERT ON bindings WHEN NEW.contact = "
      "'sip:bad' BEGIN SELECT raise(FAIL, 'no'); END");
  ASSERT_TRUE(Store("sip:a@x", {Contact("sip:1"), Contact("sip:bad")}).ok());
  AwaitAll();
  EXPECT_FALSE(told_[0].ok());
  EXPECT_EQ(other.Number("SELECT count(*) FROM bindings"), 0);
  ASSERT_TRUE(Store("sip:a@x", {Contact("sip:2")}).ok());
  AwaitAll();
  EXPECT_TRUE(told_[1].ok()) << told_[1];
}

TEST_F(LocationTest, FlushWaitsForTheTransactionThatIsUnderWay) {
  Open(file_);
  Outsider other(file_);
  for (int i = 1; i <= 50; ++i) {
    ASSERT_TRUE(Store(absl::StrCat("sip:", i, "@x"), {Contact("sip:1")}).ok());
    // So that the writer has it more often than not.
    std::this_thread::sleep_for(std::chrono::microseconds(200));
    ASSERT_TRUE(store_->Flush().ok());
    ASSERT_EQ(other.Number("SELECT count(*) FROM bindings"), i);
  }
}

TEST_F(LocationTest, RefusesWhenTheDiskDoesNotKeepUp) {
  Open(file_);
  Outsider other(file_);
  other.Do("BEGIN IMMEDIATE");
  absl::Status status;
  size_t taken = 0;
  // One batch may be out of the queue and waiting for the lock.
  while (taken <= 2 * LocationStore::kWritesMax) {
    status = store_->Store("sip:a@x", {Contact("sip:1")},
                           [this](absl::Status s) { told_.push_back(s); });
    if (!status.ok()) break;
    ++taken;
  }
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_GE(taken, LocationStore::kWritesMax);
  asked_ = taken;
  other.Do("ROLLBACK");
  AwaitAll();
  EXPECT_TRUE(Store("sip:a@x", {Contact("sip:2")}).ok());
  AwaitAll();
  EXPECT_TRUE(told_.back().ok()) << told_.back();
}

TEST_F(LocationTest, TellsItToALoopThatHadNoRoom) {
  Open(file_);
  size_t ran = 0;
  while (loop_.Post([&ran] { ++ran; })) {
  }
  ASSERT_TRUE(Store("sip:a@x", {Contact("sip:1")}).ok());
  ASSERT_TRUE(store_->Flush().ok());  // does not wait for the loop
  ASSERT_TRUE(Store("sip:b@x", {Contact("sip:1")}).ok());
  ASSERT_TRUE(store_->Flush().ok());
  EXPECT_THAT(told_, IsEmpty());
  AwaitAll();
  EXPECT_EQ(ran, net::EventLoop::kPostedMax);
  EXPECT_THAT(told_, ElementsAre(absl::OkStatus(), absl::OkStatus()));
}

TEST_F(LocationTest, TellsNobodyOnceItIsGone) {
  Open(file_);
  ASSERT_TRUE(Store("sip:a@x", {Contact("sip:1")}).ok());
  store_.reset();  // writes what is pending
  loop_.RunOnce(Micros());
  EXPECT_THAT(told_, IsEmpty());
  EXPECT_EQ(Outsider(file_).Number("SELECT count(*) FROM bindings"), 1);
}

// --- Files that are not right ----------------------------------------------

TEST_F(LocationTest, MakesItsFileForItsOwnerAlone) {
  Open(file_);
  ASSERT_TRUE(Store("sip:a@x", {Contact("sip:1")}).ok());
  ASSERT_TRUE(store_->Flush().ok());
  for (const char* suffix : {"", "-wal", "-shm"}) {
    struct stat info {};
    ASSERT_EQ(stat((file_ + suffix).c_str(), &info), 0) << suffix;
    EXPECT_EQ(info.st_mode & 0777, 0600u) << suffix;
  }
  Outsider other(file_);
  EXPECT_EQ(other.Number("PRAGMA user_version"), 1);
}

TEST_F(LocationTest, RefusesWhatIsNoDatabaseOfOurs) {
  EXPECT_EQ(TryOpen(folder_ / "none/x.db").status().code(),
            absl::StatusCode::kNotFound);
  {
    FILE* file = fopen(file_.c_str(), "w");
    for (int i = 0; i < 100; ++i) fputs("this is no database\n", file);
    fclose(file);
  }
  EXPECT_EQ(TryOpen(file_).status().code(), absl::StatusCode::kDataLoss);
  ASSERT_EQ(unlink(file_.c_str()), 0);
  Outsider(file_).Do("PRAGMA user_version = 2");
  EXPECT_EQ(TryOpen(file_).status().code(),
            absl::StatusCode::kFailedPrecondition);
}

TEST_F(LocationTest, LeavesOutRowsThatMakeNoSense) {
  Open(file_);
  for (const char* aor :
       {"sip:a@x", "sip:b@x", "sip:c@x", "sip:d@x", "sip:e@x", "sip:f@x"}) {
    ASSERT_TRUE(Store(aor, {Contact("sip:1")}).ok());
  }
  ASSERT_TRUE(store_->Flush().ok());
  store_.reset();
  {
    Outsider other(file_);
    other.Do("UPDATE bindings SET transport='SCTP' WHERE aor='sip:a@x'");
    other.Do("UPDATE bindings SET received='here' WHERE aor='sip:b@x'");
    other.Do("UPDATE bindings SET cseq=-1 WHERE aor='sip:c@x'");
    other.Do("UPDATE bindings SET q=1001 WHERE aor='sip:d@x'");
    other.Do("UPDATE bindings SET contact=x'' WHERE aor='sip:e@x'");
  }
  Open(file_);
  EXPECT_EQ(store_->records(), 1u);
  EXPECT_THAT(Find("sip:f@x"), ElementsAre("sip:1"));
}

TEST_F(LocationTest, LoadsNoMoreThanItMayHold) {
  Open(file_);
  for (int i = 0; i < 5; ++i) {
    ASSERT_TRUE(Store(absl::StrCat("sip:", i, "@x"),
                      {Contact("sip:1"), Contact("sip:2")})
                    .ok());
  }
  ASSERT_TRUE(store_->Flush().ok());
  Open(file_, 7);
  EXPECT_EQ(store_->records(), 3u);
  EXPECT_EQ(store_->size(), 6u);
}

TEST_F(LocationTest, LoadsAHundredThousand) {
  constexpr int kMany = 100'000;
  Open(file_);
  for (int i = 0; i < kMany; ++i) {
    const std::string aor = absl::StrFormat("sip:user%06d@example.com", i);
    Binding b = Contact(
        absl::StrFormat("sip:user%06d@10.0.0.1:5060;transport=udp", i), 3600);
    b.call_id = absl::StrFormat("%d-call-id-of-some-length@10.0.0.1", i);
    b.user_agent = "A usual telephone/1.2.3";
    b.leg = "inside";
    absl::Status status;
    while (!(status = store_->Store(aor, {b}, nullptr)).ok()) {
      ASSERT_TRUE(store_->Flush().ok());
    }
  }
  ASSERT_TRUE(store_->Flush().ok());
  store_.reset();
  const Micros before = SystemClock::Now();
  Open(file_);
  RecordProperty("load_ms",
                 static_cast<int>((SystemClock::Now() - before).us() / 1000));
  EXPECT_EQ(store_->size(), size_t{kMany});
  EXPECT_THAT(Find("sip:user099999@example.com"),
              ElementsAre("sip:user099999@10.0.0.1:5060;transport=udp"));
}

// --- The end of the program ------------------------------------------------

// In a process of its own: stores without end, three requests in flight, and
// writes the number of each to `out` once it is durable.
[[noreturn]] void StoreUntilKilled(const std::string& file, int out) {
  net::EventLoop loop;
  auto store = LocationStore::Open(
      loop, {.database = file, .wall_clock = [] { return kNow; }});
  if (!store.ok()) _exit(1);
  uint32_t next = 0;
  std::function<void()> one = [&] {
    const uint32_t number = next++;
    // Every tenth one is stored anew, to replace as well as to add.
    const std::string aor = absl::StrCat("sip:", number - number % 10 / 9);
    const absl::Status status = (*store)->Store(
        aor, {Contact(absl::StrCat("sip:", number))},
        [&, number](absl::Status durable) {
          if (!durable.ok() ||
              write(out, &number, sizeof(number)) != sizeof(number)) {
            _exit(1);
          }
          one();
        });
    if (!status.ok()) _exit(1);
  };
  for (int i = 0; i < 3; ++i) one();
  loop.Run();
  _exit(1);
}

TEST_F(LocationTest, EverythingToldDurableSurvivesKillMinusNine) {
  size_t survived = 0;
  for (int round = 0; round < 5; ++round) {
    const std::string file = folder_ / absl::StrCat("kill", round);
    int ends[2];
    ASSERT_EQ(pipe(ends), 0);
    const pid_t child = fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      close(ends[0]);
      StoreUntilKilled(file, ends[1]);
    }
    close(ends[1]);
    // Killed in the middle of what it is doing, at another place each time.
    std::vector<uint32_t> durable;
    uint32_t number = 0;
    const size_t enough = 50 + 37 * static_cast<size_t>(round);
    while (durable.size() < enough &&
           read(ends[0], &number, sizeof(number)) == sizeof(number)) {
      durable.push_back(number);
    }
    ASSERT_EQ(durable.size(), enough) << "the child failed";
    ASSERT_EQ(kill(child, SIGKILL), 0);
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    ASSERT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    while (read(ends[0], &number, sizeof(number)) == sizeof(number)) {
      durable.push_back(number);
    }
    close(ends[0]);

    Open(file);
    for (const uint32_t n : durable) {
      const auto found = Find(absl::StrCat("sip:", n - n % 10 / 9));
      ASSERT_EQ(found.size(), 1u) << n;
      // What replaced it may have reached the disk and its news not us.
      const bool replaced =
          found[0] == absl::StrCat("sip:", n + 1) && n % 10 == 8;
      ASSERT_TRUE(found[0] == absl::StrCat("sip:", n) || replaced)
          << n << " " << found[0];
      ++survived;
    }
    store_.reset();  // no thread of it is to be there at the next fork
  }
  EXPECT_GE(survived, 5u * 50u);
}

}  // namespace
}  // namespace sluice::sip
