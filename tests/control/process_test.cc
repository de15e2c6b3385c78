// Goal: what the daemon asks of the system it gets or says why not.
// Method: real folders, sockets and limits of this process; becoming another
// account is tried on the whole program (tests/whole/daemon_test.py).

#include "control/process.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <string>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace sluice::control {
namespace {

using ::testing::HasSubstr;

class ProcessTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string name = absl::StrCat(::testing::TempDir(), "/process.XXXXXX");
    ASSERT_NE(mkdtemp(name.data()), nullptr);
    folder_ = name;
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }
  std::string Path(const char* name) const {
    return absl::StrCat(folder_, "/", name);
  }

 private:
  std::string folder_;
};

TEST_F(ProcessTest, MakesAFolderForItsOwnerAlone) {
  const auto made = MakePrivateFolder(Path("run"));
  ASSERT_TRUE(made.ok()) << made.status();
  EXPECT_TRUE(*made);
  struct stat info {};
  ASSERT_EQ(stat(Path("run").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777, 0700u);
  // The next start finds it.
  const auto again = MakePrivateFolder(Path("run"));
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_FALSE(*again);
}

TEST_F(ProcessTest, TakesNoFolderThatOthersCanWrite) {
  ASSERT_EQ(mkdir(Path("open").c_str(), 0700), 0);
  for (const mode_t mode : {0720, 0702, 01777}) {
    ASSERT_EQ(chmod(Path("open").c_str(), mode), 0);
    EXPECT_EQ(MakePrivateFolder(Path("open")).status().code(),
              absl::StatusCode::kPermissionDenied);
  }
}

TEST_F(ProcessTest, TakesNoLinkInTheFoldersPlace) {
  ASSERT_EQ(symlink("/", Path("link").c_str()), 0);
  EXPECT_EQ(MakePrivateFolder(Path("link")).status().code(),
            absl::StatusCode::kPermissionDenied);
}

TEST_F(ProcessTest, SaysWhyAFolderCannotBeMade) {
  const auto made = MakePrivateFolder(Path("none/run"));
  EXPECT_EQ(made.status().code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(made.status().message()), HasSubstr("none/run"));
}

TEST_F(ProcessTest, HandsNothingOverThatIsNotThere) {
  const Account self{.name = "self", .uid = getuid(), .gid = getgid()};
  ASSERT_EQ(mkdir(Path("a").c_str(), 0700), 0);
  EXPECT_TRUE(HandOver(Path("a"), self).ok());
  EXPECT_EQ(HandOver(Path("b"), self).code(), absl::StatusCode::kNotFound);
}

TEST_F(ProcessTest, HandsOverNoPinsOutsideOfABpfFileSystem) {
  // CI runs as root.
  if (geteuid() != 0) GTEST_SKIP() << "only root can give a folder away";
  const Account other{.name = "other", .uid = 65534, .gid = 65534};
  ASSERT_EQ(mkdir(Path("pins").c_str(), 0700), 0);
  ASSERT_EQ(mkdir(Path("pins/abi1").c_str(), 0700), 0);
  EXPECT_TRUE(HandOverPins(Path("pins"), other).ok());
  EXPECT_TRUE(HandOverPins(Path("none"), other).ok());
  for (const char* name : {"pins", "pins/abi1"}) {
    struct stat info {};
    ASSERT_EQ(stat(Path(name).c_str(), &info), 0);
    EXPECT_EQ(info.st_uid, 0u) << name;
  }
  ASSERT_EQ(symlink("pins", Path("link").c_str()), 0);
  EXPECT_FALSE(HandOverPins(Path("link"), other).ok());
}

TEST_F(ProcessTest, SaysWhichAccountMustBeAbleToReadAFile) {
  // CI runs as root.
  if (geteuid() != 0) GTEST_SKIP() << "only root can become another account";
  const auto nobody = FindAccount("nobody");
  ASSERT_TRUE(nobody.ok()) << nobody.status();
  ASSERT_EQ(chmod(Path("").c_str(), 0755), 0);
  for (const mode_t mode : {0600, 0644}) {
    const std::string path = Path("file");
    { const net::Fd made(open(path.c_str(), O_WRONLY | O_CREAT, mode)); }
    ASSERT_EQ(chmod(path.c_str(), mode), 0);
    ASSERT_EQ(seteuid(nobody->uid), 0);
    const absl::Status status = CheckReadable(path);
    const absl::Status none = CheckReadable(Path("none"));
    ASSERT_EQ(seteuid(0), 0);
    EXPECT_TRUE(none.ok()) << none;
    EXPECT_EQ(status.ok(), mode == 0644) << status;
    if (status.ok()) continue;
    EXPECT_THAT(std::string(status.message()), HasSubstr(path));
    EXPECT_THAT(std::string(status.message()),
                HasSubstr("the account nobody must be able to read it"));
  }
}

TEST(Descriptors, AreRaisedToTheHardLimitAtLeast) {
  rlimit before{};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
  rlimit low = before;
  low.rlim_cur = 64;
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &low), 0);
  const uint64_t limit = RaiseDescriptorLimit(1);
  EXPECT_EQ(limit, before.rlim_max);
  rlimit after{};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &after), 0);
  EXPECT_EQ(after.rlim_cur, limit);
  // More than the kernel gives anybody is no error.
  EXPECT_GE(RaiseDescriptorLimit(UINT64_MAX), limit);
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &after), 0);
  after.rlim_cur = before.rlim_cur;
  setrlimit(RLIMIT_NOFILE, &after);
}

TEST(Accounts, AreFoundUnlessTheyAreRoots) {
  const auto nobody = FindAccount("nobody");
  ASSERT_TRUE(nobody.ok()) << nobody.status();
  EXPECT_NE(nobody->uid, 0u);
  EXPECT_EQ(FindAccount("no-such-user").status().code(),
            absl::StatusCode::kNotFound);
  EXPECT_EQ(FindAccount("root").status().code(),
            absl::StatusCode::kInvalidArgument);
}

TEST(Accounts, AreBecomeByRootAlone) {
  const auto none = AccountToBecome("");
  ASSERT_TRUE(none.ok()) << none.status();
  EXPECT_FALSE(none->has_value());
  if (geteuid() != 0) {
    EXPECT_FALSE(AccountToBecome("nobody")->has_value());
    return;
  }
  EXPECT_EQ((*AccountToBecome("nobody"))->name, "nobody");
  EXPECT_FALSE(AccountToBecome("no-such-user").ok());
  ASSERT_EQ(seteuid(65534), 0);
  const auto late = AccountToBecome("nobody");
  ASSERT_EQ(seteuid(0), 0);
  ASSERT_TRUE(late.ok()) << late.status();
  EXPECT_FALSE(late->has_value());
}

TEST(NotifierTest, IsSilentWhenNobodyAsked) {
  unsetenv("NOTIFY_SOCKET");
  EXPECT_FALSE(Notifier::FromEnvironment().wanted());
  for (const std::string address : {"", "@", "run/notify"}) {
    EXPECT_FALSE(Notifier(address).wanted()) << address;
  }
  EXPECT_FALSE(Notifier("/" + std::string(200, 'a')).wanted());
  Notifier("").Ready("");
}

TEST(NotifierTest, TakesItsAddressOutOfTheEnvironment) {
  setenv("NOTIFY_SOCKET", "@sluice-nobody", 1);
  EXPECT_TRUE(Notifier::FromEnvironment().wanted());
  EXPECT_EQ(std::getenv("NOTIFY_SOCKET"), nullptr);
}

TEST(NotifierTest, SendsOneDatagramAWord) {
  const std::string name = absl::StrCat("sluice-process-test-", getpid());
  const net::Fd server(socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path + 1, name.data(), name.size());
  ASSERT_EQ(bind(server.get(), reinterpret_cast<const sockaddr*>(&address),
                 static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 +
                                        name.size())),
            0);
  const auto next = [&server] {
    char text[512];
    const ssize_t n = recv(server.get(), text, sizeof text, 0);
    return n < 0 ? std::string("nothing")
                 : std::string(text, static_cast<size_t>(n));
  };
  const Notifier notifier("@" + name);
  notifier.Ready("up");
  EXPECT_EQ(next(),
            absl::StrCat("READY=1\nMAINPID=", getpid(), "\nSTATUS=up\n"));
  notifier.Reloading();
  EXPECT_THAT(next(), HasSubstr("RELOADING=1\nMONOTONIC_USEC="));
  notifier.Stopping();
  EXPECT_EQ(next(), "STOPPING=1\n");
  EXPECT_EQ(next(), "nothing");
}

}  // namespace
}  // namespace sluice::control
