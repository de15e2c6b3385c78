// Goal: who makes the sockets and who looks for them go by the same places.
// Method: real folders of this process's own.

#include "control/runtime_folder.h"

#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace sluice::control {
namespace {

using ::testing::ElementsAre;

constexpr char kNowhere[] = "/nonexistent/sluice";

class RuntimeFolderTest : public ::testing::Test {
 protected:
  RuntimeFolderTest() : last_(absl::StrCat("/tmp/sluice-", getuid())) {
    char name[] = "/tmp/runtime-folder-XXXXXX";
    EXPECT_NE(mkdtemp(name), nullptr);
    home_ = name;
  }
  ~RuntimeFolderTest() override { std::filesystem::remove_all(home_); }

  std::string home_;  // can be written
  const std::string last_;
};

TEST_F(RuntimeFolderTest, TheSystemsComesFirstThenTheUsersThenOneInTmp) {
  EXPECT_THAT(RuntimeFolders("/run/sluice", "/run/user/7"),
              ElementsAre("/run/sluice", "/run/user/7/sluice", last_));
  const std::string longer = absl::StrCat("/", std::string(200, 'a'));
  for (const char* unfit :
       {static_cast<const char*>(nullptr), "", "run/user/7", longer.c_str()}) {
    EXPECT_THAT(RuntimeFolders("/run/sluice", unfit),
                ElementsAre("/run/sluice", last_));
  }
}

TEST_F(RuntimeFolderTest, IsTheSystemsWhereThatCanBeUsed) {
  EXPECT_EQ(RuntimeFolder(home_ + "/new", "/run/user/7"), home_ + "/new");
  EXPECT_EQ(RuntimeFolder(home_, "/run/user/7"), home_);
}

TEST_F(RuntimeFolderTest, IsTheUsersWhereTheSystemsIsNot) {
  EXPECT_EQ(RuntimeFolder(kNowhere, home_.c_str()), home_ + "/sluice");
  EXPECT_EQ(RuntimeFolder(kNowhere, nullptr), last_);
  EXPECT_EQ(RuntimeFolder(kNowhere, "/nonexistent"), last_);
}

TEST_F(RuntimeFolderTest, TheSocketIsFoundWhereverTheDaemonPutsIt) {
  const std::string folder = RuntimeFolder(kNowhere, home_.c_str());
  std::filesystem::create_directory(folder);
  const std::string socket = absl::StrCat(folder, "/", kControlSocketName);
  std::ofstream(socket).put('x');
  EXPECT_EQ(FindControlSocket(kNowhere, home_.c_str()), socket);
  // The system's wins while both are there.
  std::ofstream(absl::StrCat(home_, "/", kControlSocketName)).put('x');
  EXPECT_EQ(FindControlSocket(home_, home_.c_str()),
            absl::StrCat(home_, "/", kControlSocketName));
}

TEST_F(RuntimeFolderTest, NamesTheFirstChoiceWhereThereIsNoSocket) {
  if (access(absl::StrCat(last_, "/", kControlSocketName).c_str(), F_OK) == 0) {
    // The last place looked at is fixed by the account and cannot be moved for
    // a test; a daemon that runs there is rightly found.
    GTEST_SKIP() << "a daemon of this machine has one";
  }
  EXPECT_EQ(FindControlSocket(kNowhere, home_.c_str()),
            absl::StrCat(kNowhere, "/", kControlSocketName));
}

}  // namespace
}  // namespace sluice::control
