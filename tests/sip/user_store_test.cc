// Goal: a user is there with exactly the secrets that the file or the database
// gives, and a store that cannot be trusted or read is said to be one.
// Method: real files in a folder of the test's.

#include <sqlite3.h>
#include <sys/stat.h>

#include <fstream>
#include <string>
#include <string_view>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "sip/digest.h"
#include "tests/base/temp_folder.h"

namespace sluice::sip {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

constexpr DigestAlgorithm kMd5 = DigestAlgorithm::kMd5;
constexpr DigestAlgorithm kSha256 = DigestAlgorithm::kSha256;
constexpr DigestAlgorithm kSha512 = DigestAlgorithm::kSha512_256;

class UserStoreTest : public ::testing::Test {
 protected:
  std::string File(std::string_view text, mode_t mode = 0600) {
    const std::string path = folder_ / "users";
    std::ofstream(path, std::ios::binary | std::ios::trunc) << text;
    EXPECT_EQ(chmod(path.c_str(), mode), 0);
    return path;
  }
  absl::Status Why(std::string_view text) {
    return UserStore::Open(File(text)).status();
  }
  std::string Base(const char* sql) {
    const std::string path = folder_ / "users.db";
    sqlite3* handle = nullptr;
    EXPECT_EQ(sqlite3_open(path.c_str(), &handle), SQLITE_OK);
    EXPECT_EQ(sqlite3_exec(handle, sql, nullptr, nullptr, nullptr), SQLITE_OK)
        << sqlite3_errmsg(handle);
    sqlite3_close(handle);
    EXPECT_EQ(chmod(path.c_str(), 0640), 0);
    return "sqlite:" + path;
  }
  TempFolder folder_;
};

TEST_F(UserStoreTest, HashesPlainPasswordsForEveryAlgorithm) {
  auto users =
      UserStore::Open(File("# who\n\nalice:example.com:a:b c\r\n"
                           "alice:example.org:{x"));
  ASSERT_TRUE(users.ok()) << users.status();
  for (const DigestAlgorithm algorithm : {kMd5, kSha256, kSha512}) {
    EXPECT_EQ((*users)->A1("alice", "example.com", algorithm),
              DigestA1(algorithm, "alice", "example.com", "a:b c"));
  }
  EXPECT_EQ((*users)->A1("alice", "example.org", kMd5),
            DigestA1(kMd5, "alice", "example.org", "{x"));
  EXPECT_EQ((*users)->A1("alice", "example.net", kMd5), std::nullopt);
  EXPECT_EQ((*users)->A1("Alice", "example.com", kMd5), std::nullopt);
  EXPECT_EQ((*users)->A1("", "", kMd5), std::nullopt);
  // A colon in what was asked for reaches nobody else's line.
  EXPECT_EQ((*users)->A1("alice:example.com", "", kMd5), std::nullopt);
  EXPECT_EQ((*users)->A1("alice:example.com", "example.com", kMd5),
            std::nullopt);
}

TEST_F(UserStoreTest, TakesHashesForTheirAlgorithmOnly) {
  const std::string sha(64, 'a');
  auto users =
      UserStore::Open(File("bob:r:{SHA-256}" + std::string(64, 'A') + "\n" +
                               "bob:r:{md5}0123456789abcdef0123456789ABCDEF\n",
                           0640));
  ASSERT_TRUE(users.ok()) << users.status();
  EXPECT_EQ((*users)->A1("bob", "r", kSha256), sha);
  EXPECT_EQ((*users)->A1("bob", "r", kMd5), "0123456789abcdef0123456789abcdef");
  EXPECT_EQ((*users)->A1("bob", "r", kSha512), std::nullopt);
}

TEST_F(UserStoreTest, NamesTheLineThatIsWrongAndNotWhatItSays) {
  for (const char* line :
       {"hunter2", "alice:hunter2", ":r:hunter2", "alice::hunter2",
        "alice:r:", "alice:r:{SHA-1}hunter2", "alice:r:{MD5}hunter2",
        "alice:r:{MD5}hunter2456789abcdef0123456789abcdef", "ok:r:hunter2",
        "ok:r:{MD5}0123456789abcdef0123456789abcdef"}) {
    const absl::Status why = Why(std::string("ok:r:x\n# y\n") + line + "\n");
    EXPECT_EQ(why.code(), absl::StatusCode::kInvalidArgument) << line;
    EXPECT_THAT(std::string(why.message()), HasSubstr("users:3: ")) << line;
    EXPECT_THAT(std::string(why.message()), Not(HasSubstr("hunter2")));
  }
  EXPECT_TRUE(Why("").ok());
}

TEST_F(UserStoreTest, RefusesAFileThatOthersMayRead) {
  for (const mode_t mode : {0644, 0604, 0660, 0602, 0601}) {
    const absl::Status why = UserStore::Open(File("", mode)).status();
    EXPECT_EQ(why.code(), absl::StatusCode::kPermissionDenied) << mode;
  }
  for (const mode_t mode : {0600, 0640, 0400}) {
    EXPECT_TRUE(UserStore::Open(File("", mode)).ok()) << mode;
    ASSERT_EQ(chmod((folder_ / "users").c_str(), 0600), 0);
  }
}

TEST_F(UserStoreTest, SaysWhyThereIsNone) {
  EXPECT_EQ(UserStore::Open(folder_ / "none").status().code(),
            absl::StatusCode::kNotFound);
  EXPECT_EQ(UserStore::Open("sqlite:" + (folder_ / "none")).status().code(),
            absl::StatusCode::kNotFound);
  EXPECT_EQ(UserStore::Open(folder_ / "").status().code(),
            absl::StatusCode::kInvalidArgument);
  const std::string path = File("");
  ASSERT_EQ(truncate(path.c_str(), UserStore::kFileOctetsMax + 1), 0);
  EXPECT_EQ(UserStore::Open(path).status().code(),
            absl::StatusCode::kResourceExhausted);
}

const char kTable[] =
    "CREATE TABLE users(user TEXT, realm TEXT, algorithm TEXT, a1 TEXT);"
    "INSERT INTO users VALUES('alice','r','md5',"
    "'0123456789ABCDEF0123456789abcdef');"
    "INSERT INTO users VALUES('alice','r','SHA-256','too short');";

TEST_F(UserStoreTest, AsksADatabase) {
  const std::string where = Base(kTable);
  auto users = UserStore::Open(where);
  ASSERT_TRUE(users.ok()) << users.status();
  const std::string hash = "0123456789abcdef0123456789abcdef";
  EXPECT_EQ((*users)->A1("alice", "r", kMd5), hash);
  EXPECT_EQ((*users)->A1("alice", "r", kMd5), hash);
  EXPECT_EQ((*users)->A1("alice", "r", kSha256), std::nullopt);
  EXPECT_EQ((*users)->A1("alice", "R", kMd5), std::nullopt);
  EXPECT_EQ((*users)->A1("' OR 1=1 --", "r", kMd5), std::nullopt);
  EXPECT_EQ((*users)->A1("", "", kMd5), std::nullopt);
  // Anew each time.
  Base("UPDATE users SET user='bob' WHERE algorithm='md5'");
  EXPECT_EQ((*users)->A1("alice", "r", kMd5), std::nullopt);
  EXPECT_EQ((*users)->A1("bob", "r", kMd5), hash);
}

TEST_F(UserStoreTest, IsAsIfNobodyWereThereWhileItCannotBeRead) {
  const std::string where = Base(kTable);
  auto users = UserStore::Open(where);
  ASSERT_TRUE(users.ok()) << users.status();
  Base("DROP TABLE users");
  EXPECT_EQ((*users)->A1("alice", "r", kMd5), std::nullopt);
  Base(kTable);
  EXPECT_NE((*users)->A1("alice", "r", kMd5), std::nullopt);
}

// Each question would read all of it, on the thread of all calls.
TEST_F(UserStoreTest, RefusesALongTableWithoutIndex) {
  const std::string rows =
      "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i "
      "< " +
      std::to_string(UserStore::kUnindexedMax) +
      ") INSERT INTO users SELECT 'u' || i, 'r', 'MD5', '" +
      std::string(32, 'a') + "' FROM n;";
  const std::string where =
      Base(("CREATE TABLE users(user, realm, algorithm, a1);" + rows).c_str());
  EXPECT_TRUE(UserStore::Open(where).ok());
  Base("INSERT INTO users VALUES('one', 'too', 'MD5', 'many')");
  const absl::Status refused = UserStore::Open(where).status();
  EXPECT_EQ(refused.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(refused.message()), HasSubstr("no index"));
  // What the message says mends it.
  const std::string message(refused.message());
  Base(message.substr(message.find("CREATE INDEX")).c_str());
  const auto users = UserStore::Open(where);
  ASSERT_TRUE(users.ok()) << users.status();
  EXPECT_EQ((*users)->A1("u1000", "r", kMd5), std::string(32, 'a'));
}

TEST_F(UserStoreTest, RefusesADatabaseThatIsNone) {
  EXPECT_EQ(UserStore::Open(Base("CREATE TABLE x(y)")).status().code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(UserStore::Open("sqlite:" + File("no database at all, but long "
                                             "enough to be looked at\n"))
                .status()
                .code(),
            absl::StatusCode::kInvalidArgument);
  const std::string where = Base(kTable);
  ASSERT_EQ(chmod((folder_ / "users.db").c_str(), 0644), 0);
  EXPECT_EQ(UserStore::Open(where).status().code(),
            absl::StatusCode::kPermissionDenied);
}

}  // namespace
}  // namespace sluice::sip
