// Goal: whatever a kill, a full disk or a stranger left of the file, what was
// whole before it is told and the rest is not; whose file it is, and what is
// wrong with it, is said in words; and rewriting loses nothing.
// Method: real files in a folder of this process's own, its own limit of file
// sizes for a disk that is full, another account for rights that root has.

#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/strings/str_cat.h"
#include "control/session_journal.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/control/session_journal_world.h"

namespace sluice::control {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr uint32_t kNobody = 65534;

// ---- what a kill or a disk left --------------------------------------------

// A small file with a record of every type, where its records end, and what is
// told of each of its beginnings.
struct Small {
  std::string content;
  std::vector<size_t> ends;  // after the header, after each record
  std::vector<Told> told;    // of so many records

  size_t Whole(size_t octets) const {
    size_t n = 0;
    while (n + 1 < ends.size() && ends[n + 1] <= octets) ++n;
    return n;
  }
};

class DamagedJournalTest : public SessionJournalTest {
 protected:
  void SetUp() override {
    SessionJournalTest::SetUp();
    const auto journal = Open();
    ASSERT_NE(journal, nullptr);
    Mark(*journal);
    TellCall(*journal, "one"), Mark(*journal);
    journal->OnConfirmed("one", SocketAt(20000), PhoneAt(4000));
    Mark(*journal);
    TellCall(*journal, "two"), Mark(*journal);
    TellCall(*journal, "one", 2), Mark(*journal);
    journal->OnConfirmed("one", SocketAt(20000), Endpoint{}), Mark(*journal);
    journal->OnGone("two"), Mark(*journal);
    TellCall(*journal, "three"), Mark(*journal);
    small_.content = Content();
    ASSERT_EQ(small_.content.size(), small_.ends.back());
  }

  void Mark(SessionJournal& journal) {
    Flush(journal);
    small_.ends.push_back(journal.stats().octets);
    small_.told.push_back(Load(journal));
  }

  Small small_;
};

TEST_F(DamagedJournalTest, AFileCutAnywhereTellsTheRecordsBefore) {
  for (size_t octets = 0; octets <= small_.content.size(); ++octets) {
    SCOPED_TRACE(octets);
    Write(small_.content.substr(0, octets));
    const size_t whole = small_.Whole(octets);
    const bool torn = octets > small_.ends[0] && octets != small_.ends[whole];
    {
      const auto journal = Open();
      ASSERT_NE(journal, nullptr);
      ASSERT_EQ(Load(*journal), small_.told[whole]);
      ASSERT_EQ(journal->cut().empty(), !torn);
      if (torn) {
        EXPECT_THAT(journal->cut(),
                    HasSubstr(absl::StrCat(
                        whole, " records are good, the next one, at octet ",
                        small_.ends[whole], ", is not (it is cut short); ",
                        octets - small_.ends[whole], " octets were cut off")));
      }
      ASSERT_EQ(Content(), small_.content.substr(0, small_.ends[whole]));
      TellCall(*journal, "later");
      Flush(*journal);
    }
    Told expected = small_.told[whole];
    expected.push_back({CallOf("later"), {}});
    ASSERT_EQ(LoadFile(), expected);
  }
}

TEST_F(DamagedJournalTest, EverySingleDamagedOctetIsFound) {
  for (size_t at = 0; at < small_.content.size(); ++at) {
    for (const char with : {'\x01', '\xff'}) {
      SCOPED_TRACE(absl::StrCat(at, " ", static_cast<int>(with)));
      std::string damaged = small_.content;
      damaged[at] = static_cast<char>(damaged[at] ^ with);
      Write(damaged);
      const auto journal = SessionJournal::Open(path_);
      if (at < small_.ends[0]) {
        ASSERT_EQ(journal.status().code(),
                  absl::StatusCode::kFailedPrecondition);
        ASSERT_EQ(Content(), damaged);
        continue;
      }
      ASSERT_TRUE(journal.ok()) << journal.status();
      const size_t whole = small_.Whole(at);
      ASSERT_EQ(Load(**journal), small_.told[whole]);
      ASSERT_NE((*journal)->cut(), "");
      ASSERT_EQ(std::filesystem::file_size(path_), small_.ends[whole]);
    }
  }
}

TEST_F(DamagedJournalTest, AnotherVersionOrKindIsRefusedAndLeftAsItIs) {
  std::string other = small_.content;
  other[15] = 1;
  Write(other);
  absl::Status status = SessionJournal::Open(path_).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(status.message()),
              HasSubstr("version 1, this program knows 2; move it away"));
  EXPECT_EQ(Content(), other);
  for (const std::string kind : {"#", "sluice journey", "{\"calls\": []}\n"}) {
    Write(kind);
    status = SessionJournal::Open(path_).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
    EXPECT_THAT(std::string(status.message()),
                HasSubstr("not a journal of sessions; move it away"));
    EXPECT_EQ(Content(), kind);
  }
}

TEST_F(DamagedJournalTest, ALengthThatLiesIsNotBelieved) {
  for (const uint32_t length :
       {uint32_t{0}, uint32_t{1}, uint32_t{1000},
        static_cast<uint32_t>(journal::kPayloadOctetsMax),
        static_cast<uint32_t>(journal::kPayloadOctetsMax + 1), 0x7fffffffu,
        0xffffffffu}) {
    SCOPED_TRACE(length);
    std::string lying = small_.content;
    for (int shift = 24; shift >= 0; shift -= 8) {
      lying += static_cast<char>(length >> shift & 0xff);
    }
    Write(lying + std::string(40, '\x01'));
    const auto journal = Open();
    ASSERT_NE(journal, nullptr);
    EXPECT_EQ(Load(*journal), small_.told.back());
    EXPECT_NE(journal->cut(), "");
    EXPECT_EQ(Content(), small_.content);
  }
}

// The check is right, the content is not: somebody wrote it so.
TEST_F(DamagedJournalTest, ARecordWithWrongFieldsIsDamaged) {
  std::string good;
  ASSERT_TRUE(journal::PutCall(CallOf("x"), &good));
  const std::string payload =
      good.substr(journal::kHeadOctets,
                  good.size() - journal::kHeadOctets - journal::kCheckOctets);
  // What lies at the end of it: a fork of "b" with one medium.
  const size_t medium = payload.size() - 42;
  const size_t group = medium - 26;
  const size_t fork = group - 4;
  const auto with = [&](size_t offset, std::string_view octets) {
    std::string changed = payload;
    return changed.replace(offset, octets.size(), octets);
  };
  const auto times = [](size_t n, const std::string& octets) {
    std::string all;
    for (size_t i = 0; i < n; ++i) all += octets;
    return all;
  };
  using std::string_view_literals::operator""sv;
  struct {
    const char* what;
    uint8_t type;
    std::string payload;
  } const rows[] = {
      {"no type", 0, payload},
      {"no such type", 4, payload},
      {"another type", 2, payload},
      {"one octet more", 1, payload + '\0'},
      {"one octet less", 1, payload.substr(0, payload.size() - 1)},
      {"nothing", 1, ""},
      {"call_id longer than all", 1, with(0, "\xff\xff"sv)},
      {"call_id longer than the rest", 1, with(0, "\x03\x00"sv)},
      {"a URI longer than is kept", 1, with(3, "\x01\x01"sv)},
      {"offers that are not there", 1, with(15, "\x02"sv)},
      {"too many offers", 1, with(15, "\xff"sv)},
      {"a flag of an offer", 1, with(23, "\x02"sv)},
      {"a group that is not there", 1, with(23, "\x00"sv)},
      {"forks that are not there", 1, with(fork - 1, "\x02"sv)},
      {"too many forks", 1, with(fork - 1, "\xff"sv)},
      {"33 forks", 1,
       with(fork - 1, "\x21"sv) + times(32, payload.substr(fork))},
      {"an id longer than the rest", 1, with(fork, "\x04\x00"sv)},
      {"a flag of a fork", 1, with(group - 1, "\x11"sv)},
      {"acknowledged and not up", 1, with(group - 1, "\x02"sv)},
      {"a flag of a group", 1, with(medium - 2, "\x04"sv)},
      {"more media", 1, with(medium - 1, "\x02"sv)},
      {"too many media", 1, with(medium - 1, "\xff"sv)},
      {"a port near the end", 1, with(medium + 16, "\xff\xff"sv)},
      {"range 0", 1, with(medium + 18, "\x00"sv)},
      {"range 65", 1, with(medium + 18, "\x41"sv)},
      {"RTCP alone", 1, with(medium + 19, "\x02"sv)},
      {"a kind", 1, with(medium + 19, "\x04"sv)},
      {"no base", 1, with(medium + 40, "\x00\x00"sv)},
      {"a base near the end", 1, with(medium + 40, "\xff\xff"sv)},
      {"33 media", 1,
       with(medium - 1, "\x21"sv) + times(32, payload.substr(medium))},
  };
  for (const auto& row : rows) {
    SCOPED_TRACE(row.what);
    std::string content = small_.content;
    journal::PutFrame(row.type, row.payload, &content);
    content += good;
    Write(content);
    const auto journal = Open();
    ASSERT_NE(journal, nullptr);
    EXPECT_EQ(Load(*journal), small_.told.back());
    EXPECT_NE(journal->cut(), "");
    EXPECT_EQ(Content(), small_.content);
  }
  Write(small_.content + good);
  EXPECT_EQ(Open()->cut(), "");
}

// ---- whose file it is ------------------------------------------------------

TEST_F(SessionJournalTest, OnlyOneMayWriteIt) {
  auto first = Open();
  const auto second = SessionJournal::Open(path_);
  EXPECT_EQ(second.status().code(), absl::StatusCode::kAlreadyExists);
  EXPECT_THAT(std::string(second.status().message()),
              HasSubstr("another daemon writes it"));
  TellCall(*first, "one");
  Flush(*first);
  first.reset();
  EXPECT_THAT(LoadFile(), SizeIs(1));
}

TEST_F(SessionJournalTest, IsItsOwnersAlone) {
  const mode_t before = umask(0);
  EXPECT_THAT(LoadFile(), IsEmpty());
  umask(before);
  struct stat info {};
  ASSERT_EQ(stat(path_.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777, 0600u);
  for (const mode_t mode : {0620, 0602, 0666}) {
    ASSERT_EQ(chmod(path_.c_str(), mode), 0);
    const absl::Status status = SessionJournal::Open(path_).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kPermissionDenied);
    EXPECT_THAT(std::string(status.message()), HasSubstr("must be 0600"));
  }
}

// Its mode is worth nothing where others may put a file in its place.
TEST_F(SessionJournalTest, ItsFolderIsNotOthersToWriteInto) {
  for (const mode_t mode : {0720, 0702, 0777}) {
    ASSERT_EQ(chmod(folder_.c_str(), mode), 0);
    const absl::Status status = SessionJournal::Open(path_).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kPermissionDenied);
    EXPECT_THAT(std::string(status.message()),
                HasSubstr("chmod go-w " + folder_));
    EXPECT_FALSE(std::filesystem::exists(path_));
  }
  // As /tmp is: files there are their owners' alone.
  ASSERT_EQ(chmod(folder_.c_str(), 01777), 0);
  EXPECT_THAT(LoadFile(), IsEmpty());
}

TEST_F(SessionJournalTest, TakesNoLinkAndNothingThatIsNotAFile) {
  Write(folder_ + "/other", "");
  ASSERT_EQ(symlink("other", path_.c_str()), 0);
  EXPECT_EQ(SessionJournal::Open(path_).status().code(),
            absl::StatusCode::kPermissionDenied);
  ASSERT_EQ(unlink(path_.c_str()), 0);
  ASSERT_EQ(mkfifo(path_.c_str(), 0600), 0);
  EXPECT_EQ(SessionJournal::Open(path_).status().code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_FALSE(SessionJournal::Open(folder_).ok());
  const absl::Status none =
      SessionJournal::Open(folder_ + "/no/calls").status();
  EXPECT_EQ(none.code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(none.message()), HasSubstr("/no/calls"));
}

// As an account that the folder's mode holds for.
class WithoutRights {
 public:
  explicit WithoutRights(const std::string& folder) {
    if (geteuid() != 0) return;
    as_root_ = true;
    if (chown(folder.c_str(), kNobody, kNobody) != 0 || seteuid(kNobody) != 0) {
      failed_ = true;
    }
  }
  ~WithoutRights() {
    if (as_root_) {
      EXPECT_EQ(seteuid(0), 0);
    }
  }
  bool failed() const { return failed_; }

 private:
  bool as_root_ = false;
  bool failed_ = false;
};

TEST_F(SessionJournalTest, AnAccountsFileIsNotTakenByAnother) {
  if (geteuid() != 0) {
    // Nobody else can give a file away; CI runs as root.
    GTEST_SKIP() << "a file of another account needs root to make";
  }
  Write("");
  ASSERT_EQ(chown(path_.c_str(), kNobody, kNobody), 0);
  const absl::Status status = SessionJournal::Open(path_).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kPermissionDenied);
  EXPECT_THAT(std::string(status.message()), HasSubstr("chown it to 0"));
}

TEST_F(SessionJournalTest, AnotherAccountsFolderIsNotTaken) {
  if (geteuid() != 0) {
    // Nobody else can give a folder away; CI runs as root.
    GTEST_SKIP() << "a folder of another account needs root to make";
  }
  ASSERT_EQ(chown(folder_.c_str(), kNobody, kNobody), 0);
  const absl::Status status = SessionJournal::Open(path_).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kPermissionDenied);
  EXPECT_THAT(std::string(status.message()), HasSubstr("chown 0 " + folder_));
  EXPECT_FALSE(std::filesystem::exists(path_));
}

// Enough of dead calls that the file is to be rewritten at the next Flush.
void TellDead(SessionJournal& journal) {
  CallImage call = CallOf("dead");
  call.offers[0].id_from = std::string(kIdOctets, 'd');
  for (uint64_t octets = 0; octets < 2 * SessionJournal::kRewriteOctets;
       octets += kIdOctets) {
    journal.OnCall(call);
    journal.OnGone("dead");
  }
}

// ---- opened by root for another account -------------------------------------

class InheritedJournalTest : public SessionJournalTest {
 protected:
  void SetUp() override {
    if (geteuid() != 0) GTEST_SKIP() << "only root can become another account";
    SessionJournalTest::SetUp();
  }
  void TearDown() override {
    if (!folder_.empty()) SessionJournalTest::TearDown();
  }
  auto OpenForHeir() { return SessionJournal::Open(path_, heir_); }
  void ExpectRefused(const std::string& words) {
    const absl::Status status = OpenForHeir().status();
    EXPECT_EQ(status.code(), absl::StatusCode::kPermissionDenied);
    EXPECT_THAT(std::string(status.message()), HasSubstr(words));
  }
  uid_t OwnerOf(const std::string& path) {
    struct stat info {};
    EXPECT_EQ(stat(path.c_str(), &info), 0);
    return info.st_uid;
  }

  const std::optional<Account> heir_ =
      Account{.name = "heir", .uid = kNobody, .gid = kNobody};
};

TEST_F(InheritedJournalTest, IsItsHeirs) {
  ASSERT_EQ(chown(folder_.c_str(), kNobody, kNobody), 0);
  for (int start = 0; start < 2; ++start) {
    auto journal = OpenForHeir();
    ASSERT_TRUE(journal.ok()) << journal.status();
    EXPECT_EQ(OwnerOf(path_), kNobody);
    journal->reset();
    // And what root itself had left there.
    ASSERT_EQ(chown(path_.c_str(), 0, 0), 0);
  }
}

TEST_F(InheritedJournalTest, IsRewrittenBeforeAndAfterRootsRightsAreGone) {
  ASSERT_EQ(chown(folder_.c_str(), kNobody, kNobody), 0);
  auto journal = OpenForHeir();
  ASSERT_TRUE(journal.ok()) << journal.status();
  TellCall(**journal, "one");
  const auto rewrite = [&](uint64_t times) {
    TellDead(**journal);
    Flush(**journal);
    EXPECT_EQ((*journal)->stats().compactions, times);
    EXPECT_EQ(OwnerOf(path_), kNobody);
  };
  rewrite(1);
  ASSERT_EQ(seteuid(kNobody), 0);
  rewrite(2);
  ASSERT_EQ(seteuid(0), 0);
}

TEST_F(InheritedJournalTest, ItsHeirMustBeAbleToWriteIntoTheFolder) {
  ExpectRefused("chown heir " + folder_);
  EXPECT_FALSE(std::filesystem::exists(path_));
  ASSERT_EQ(chown(folder_.c_str(), kNobody, kNobody), 0);
  ASSERT_EQ(chmod(folder_.c_str(), 0500), 0);
  ExpectRefused("chmod u+wx " + folder_);
  ASSERT_EQ(chown(folder_.c_str(), 1, 1), 0);
  ASSERT_EQ(chmod(folder_.c_str(), 0700), 0);
  ExpectRefused("belongs to account 1; chown heir " + folder_);
  // As /tmp is.
  ASSERT_EQ(chown(folder_.c_str(), 0, 0), 0);
  ASSERT_EQ(chmod(folder_.c_str(), 01777), 0);
  for (int start = 0; start < 2; ++start) {
    EXPECT_TRUE(OpenForHeir().ok()) << OpenForHeir().status();
  }
}

TEST_F(InheritedJournalTest, ItsHeirMustBeAbleToGetThere) {
  path_ = folder_ + "/own/calls";
  ASSERT_EQ(mkdir((folder_ + "/own").c_str(), 0700), 0);
  ASSERT_EQ(chown((folder_ + "/own").c_str(), kNobody, kNobody), 0);
  ExpectRefused("chmod o+x " + std::filesystem::canonical(folder_).string() +
                ",");
  ASSERT_EQ(chmod(folder_.c_str(), 0711), 0);
  EXPECT_TRUE(OpenForHeir().ok());
}

TEST_F(InheritedJournalTest, WhatIsNoJournalOrHasTwoNamesStaysRoots) {
  ASSERT_EQ(chown(folder_.c_str(), kNobody, kNobody), 0);
  Write("root:x:0:0");
  EXPECT_EQ(OpenForHeir().status().code(),
            absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(OwnerOf(path_), 0u);
  Write("");
  ASSERT_EQ(link(path_.c_str(), (folder_ + "/second").c_str()), 0);
  ExpectRefused("2 names");
  EXPECT_EQ(OwnerOf(path_), 0u);
}

TEST_F(SessionJournalTest, AFolderThatCannotBeWrittenIsSaid) {
  const WithoutRights without(folder_);
  // Root writes into any folder, so that it has to be somebody else for once.
  if (without.failed()) GTEST_SKIP() << "cannot become another account";
  ASSERT_EQ(chmod(folder_.c_str(), 0500), 0);
  const absl::Status status = SessionJournal::Open(path_).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kPermissionDenied);
  EXPECT_THAT(std::string(status.message()), HasSubstr(path_));
}

// ---- rewriting -------------------------------------------------------------

TEST_F(SessionJournalTest, RewritingKeepsEverythingAliveInItsOrder) {
  auto journal = Open();
  TellCall(*journal, "one");
  journal->OnConfirmed("one", SocketAt(20000), PhoneAt(4000));
  TellCall(*journal, "two");
  Flush(*journal);
  EXPECT_EQ(journal->stats().compactions, 0u);
  struct stat before {};
  ASSERT_EQ(stat(path_.c_str(), &before), 0);
  TellDead(*journal);
  TellCall(*journal, "three");
  TellCall(*journal, "one", 2);
  Flush(*journal);
  const SessionJournal::Stats stats = journal->stats();
  EXPECT_EQ(stats.compactions, 1u);
  EXPECT_EQ(stats.octets, stats.live_octets);
  EXPECT_EQ(stats.octets, std::filesystem::file_size(path_));
  EXPECT_EQ(stats.records, 4u);
  struct stat after {};
  ASSERT_EQ(stat(path_.c_str(), &after), 0);
  EXPECT_NE(before.st_ino, after.st_ino);
  EXPECT_EQ(after.st_mode & 07777, 0600u);
  EXPECT_FALSE(std::filesystem::exists(path_ + ".new"));
  // The lock is on the file that has the name now.
  EXPECT_EQ(SessionJournal::Open(path_).status().code(),
            absl::StatusCode::kAlreadyExists);

  TellTale expected;
  TellCall(expected, "one", 2);
  expected.OnConfirmed("one", SocketAt(20000), PhoneAt(4000));
  TellCall(expected, "two");
  TellCall(expected, "three");
  EXPECT_EQ(LoadCopy(), expected.told);
  // And it goes on.
  TellCall(*journal, "four");
  Flush(*journal);
  TellCall(expected, "four");
  journal.reset();
  EXPECT_EQ(LoadFile(), expected.told);
}

TEST_F(SessionJournalTest, AFileThatIsMostlyAliveOrSmallIsNotRewritten) {
  const auto journal = Open();
  for (int i = 0; i < 20; ++i) {
    TellCall(*journal, "small");
    journal->OnGone("small");
  }
  Flush(*journal);
  for (int i = 0; i < 6000; ++i) TellCall(*journal, absl::StrCat("call-", i));
  Flush(*journal);
  EXPECT_GT(journal->stats().octets, SessionJournal::kRewriteOctets);
  for (int i = 0; i < 2500; ++i) journal->OnGone(absl::StrCat("call-", i));
  Flush(*journal);
  EXPECT_EQ(journal->stats().compactions, 0u);
  for (int i = 2500; i < 4000; ++i) journal->OnGone(absl::StrCat("call-", i));
  Flush(*journal);
  EXPECT_EQ(journal->stats().compactions, 1u);
  EXPECT_EQ(journal->stats().calls, 2000u);
}

TEST_F(SessionJournalTest, WhatAKilledRewritingLeftIsHarmless) {
  {
    const auto journal = Open();
    TellCall(*journal, "one");
    Flush(*journal);
  }
  const std::string left = path_ + ".new";
  Write(left, Content().substr(0, 30));
  TellTale one;
  TellCall(one, "one");
  EXPECT_EQ(LoadFile(), one.told);
  EXPECT_FALSE(std::filesystem::exists(left));
  // Or that came between.
  const auto journal = Open();
  Write(left, "anything");
  TellDead(*journal);
  Flush(*journal);
  EXPECT_EQ(journal->stats().compactions, 1u);
  EXPECT_EQ(LoadCopy(), one.told);
}

TEST_F(SessionJournalTest, WhereRewritingFailsAppendingGoesOn) {
  const auto journal = Open();
  TellCall(*journal, "one");
  // Nothing can be made where a folder with something in it lies.
  const std::string in_the_way = path_ + ".new";
  ASSERT_TRUE(std::filesystem::create_directories(in_the_way + "/x"));
  TellDead(*journal);
  const absl::Status status = journal->Flush();
  EXPECT_FALSE(status.ok());
  EXPECT_THAT(
      std::string(status.message()),
      HasSubstr("a folder is in the way of the new file; rm -r " + in_the_way));
  EXPECT_FALSE(journal->failed());
  TellTale expected;
  TellCall(expected, "one");
  for (int i = 0; i < 20; ++i) {
    const std::string id = absl::StrCat("call-", i);
    TellCall(*journal, id);
    Flush(*journal);  // says nothing again
    TellCall(expected, id);
  }
  EXPECT_EQ(LoadCopy(), expected.told);
  EXPECT_GT(journal->stats().errors, 1u);
  std::filesystem::remove_all(in_the_way);
  for (uint32_t i = 0; i <= SessionJournal::kPauseMax; ++i) Flush(*journal);
  EXPECT_EQ(journal->stats().compactions, 1u);
  EXPECT_EQ(LoadCopy(), expected.told);
}

// ---- a disk that is full ---------------------------------------------------

// No file of this process grows past so many octets.
class FullDisk {
 public:
  explicit FullDisk(uint64_t octets) : handler_(signal(SIGXFSZ, SIG_IGN)) {
    EXPECT_EQ(getrlimit(RLIMIT_FSIZE, &before_), 0);
    rlimit limit = before_;
    limit.rlim_cur = octets;
    EXPECT_EQ(setrlimit(RLIMIT_FSIZE, &limit), 0);
  }
  ~FullDisk() {
    EXPECT_EQ(setrlimit(RLIMIT_FSIZE, &before_), 0);
    signal(SIGXFSZ, handler_);
  }

 private:
  void (*handler_)(int);
  rlimit before_{};
};

void FlushUntilWell(SessionJournal& journal) {
  for (uint32_t i = 0; journal.failed() && i <= SessionJournal::kPauseMax;
       ++i) {
    EXPECT_TRUE(journal.Flush().ok());
  }
}

TEST_F(SessionJournalTest, AFullDiskIsSaidOnceAndMadeUpForLater) {
  const auto journal = Open();
  TellCall(*journal, "one");
  Flush(*journal);
  TellTale expected;
  TellCall(expected, "one");
  const Told before = expected.told;
  const uint64_t octets = journal->stats().octets;
  {
    const FullDisk full(octets + 100);  // in the middle of a record
    TellCall(*journal, "two");
    const absl::Status status = journal->Flush();
    EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
    EXPECT_THAT(std::string(status.message()), HasSubstr("disk full"));
    EXPECT_TRUE(journal->failed());
    EXPECT_EQ(std::filesystem::file_size(path_), octets);
    EXPECT_EQ(journal->stats().octets, octets);
    for (int i = 0; i < 20; ++i) {
      EXPECT_TRUE(journal->Flush().ok());
      EXPECT_TRUE(journal->failed());
    }
    EXPECT_GT(journal->stats().errors, 1u);
    EXPECT_LT(journal->stats().errors, 20u);
    EXPECT_EQ(Content().size(), octets);
  }
  EXPECT_EQ(LoadCopy(), before);
  TellCall(*journal, "three");
  FlushUntilWell(*journal);
  EXPECT_FALSE(journal->failed());
  TellCall(expected, "two");
  TellCall(expected, "three");
  EXPECT_EQ(LoadCopy(), expected.told);
  EXPECT_EQ(journal->stats().compactions, 0u);
}

TEST_F(SessionJournalTest, WhatDidNotFitInMemoryEitherIsMadeUpForByRewriting) {
  const auto journal = Open();
  TellCall(*journal, "one");
  Flush(*journal);
  TellTale expected;
  TellCall(expected, "one");
  {
    const FullDisk full(journal->stats().octets);
    TellDead(*journal);
    EXPECT_FALSE(journal->Flush().ok());
    for (int i = 0; i < 2; ++i) TellDead(*journal);
    TellCall(*journal, "two");
    for (int i = 0; i < 20; ++i) (void)journal->Flush();
    EXPECT_TRUE(journal->failed());
    EXPECT_EQ(LoadCopy(), expected.told);
  }
  FlushUntilWell(*journal);
  EXPECT_FALSE(journal->failed());
  EXPECT_EQ(journal->stats().compactions, 1u);
  TellCall(expected, "two");
  EXPECT_EQ(LoadCopy(), expected.told);
}

// More in one turn than is kept for it.
TEST_F(SessionJournalTest, AGreatTurnIsWrittenWhole) {
  const auto journal = Open();
  Told expected;
  for (int i = 0; i < 30'000; ++i) {
    const std::string id = absl::StrCat("call-", i);
    TellCall(*journal, id);
    expected.push_back({CallOf(id), {}});
  }
  Flush(*journal);
  EXPECT_GT(journal->stats().octets, SessionJournal::kPendingOctetsMax);
  EXPECT_EQ(journal->stats().compactions, 1u);
  EXPECT_TRUE(LoadCopy() == expected);
}

}  // namespace
}  // namespace sluice::control
