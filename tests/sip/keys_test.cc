// Goal: what Keys makes is recognised by the same keys in every process and
// after a rotation, and by no others; key files that others could read or that
// are not exactly right are refused (security P14).
// Method: real files in a folder of the test's own; octets changed one by one.

#include "sip/keys.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <openssl/hmac.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

#include "absl/strings/escaping.h"
#include "tests/base/temp_folder.h"

namespace sluice::sip {
namespace {

const std::string kOld(Keys::kOctets, 'o');
const std::string kNew(Keys::kOctets, 'n');

std::string Read(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::stringstream all;
  all << file.rdbuf();
  return all.str();
}

void Write(const std::string& path, const std::string& text,
           mode_t mode = 0600) {
  std::ofstream(path, std::ios::binary) << text;
  ASSERT_EQ(chmod(path.c_str(), mode), 0);
}

std::string HmacSha256(const std::string& key, const std::string& text) {
  unsigned char out[32];
  unsigned int octets = 0;
  HMAC(EVP_sha256(), key.data(), static_cast<int>(key.size()),
       reinterpret_cast<const unsigned char*>(text.data()), text.size(), out,
       &octets);
  return std::string(out, out + octets);
}

std::string Sized(const std::string& part) {
  return std::string(3, '\0') + static_cast<char>(part.size()) + part;
}

// ---- MACs -----------------------------------------------------------------

TEST(KeysMac, IsTheHmacThatTheHeaderDescribes) {
  const Keys keys = Keys::FromSecrets({kOld});
  const std::string mac_key = HmacSha256(kOld, Sized("mac"));
  const std::string expected =
      HmacSha256(mac_key, Sized("branch") + Sized("ab") + Sized(""));
  EXPECT_EQ(keys.Mac("branch", {"ab", ""}),
            absl::BytesToHexString(expected.substr(0, 16)));
  // The state is as new for every message, the first as the hundredth.
  for (int i = 0; i < 100; ++i) {
    EXPECT_EQ(keys.Mac("branch", {"ab", ""}),
              absl::BytesToHexString(expected.substr(0, 16)));
    keys.Mac("other", {"xyz"});
  }
}

TEST(KeysMac, TellsApartWhatOnlyConcatenationMakesTheSame) {
  const Keys keys = Keys::FromSecrets({kOld});
  const std::string mac = keys.Mac("p", {"ab", "c"});
  EXPECT_NE(keys.Mac("p", {"a", "bc"}), mac);
  EXPECT_NE(keys.Mac("p", {"abc"}), mac);
  EXPECT_NE(keys.Mac("p", {"ab", "c", ""}), mac);
  EXPECT_NE(keys.Mac("pab", {"c"}), mac);
  EXPECT_NE(keys.Mac("q", {"ab", "c"}), mac);
}

TEST(KeysMac, TakesPartsOfEveryLength) {
  const Keys keys = Keys::FromSecrets({kOld});
  const std::string mac_key = HmacSha256(kOld, Sized("mac"));
  for (const size_t n :
       {0u, 1u, 55u, 64u, 255u, 500u, 508u, 509u, 512u, 513u, 2000u}) {
    const std::string part(n, 'x');
    std::string framed = Sized("p");
    framed += std::string(2, '\0');
    framed += static_cast<char>(n >> 8);
    framed += static_cast<char>(n & 0xff);
    framed += part + Sized("end");
    EXPECT_EQ(keys.Mac("p", {part, "end"}),
              absl::BytesToHexString(HmacSha256(mac_key, framed).substr(0, 16)))
        << n;
  }
}

TEST(KeysMac, IsRecognisedAfterOneRotationAndNotAfterTwo) {
  const std::string newest(Keys::kOctets, 'z');
  const std::string mac = Keys::FromSecrets({kOld}).Mac("p", {"x"});
  EXPECT_TRUE(Keys::FromSecrets({kOld}).IsMac(mac, "p", {"x"}));
  EXPECT_TRUE(Keys::FromSecrets({kNew, kOld}).IsMac(mac, "p", {"x"}));
  EXPECT_FALSE(Keys::FromSecrets({newest, kNew}).IsMac(mac, "p", {"x"}));
  EXPECT_EQ(Keys::FromSecrets({kNew, kOld}).Mac("p", {"x"}),
            Keys::FromSecrets({kNew}).Mac("p", {"x"}));
}

TEST(KeysMac, RefusesEveryOtherSpelling) {
  const Keys keys = Keys::FromSecrets({kNew, kOld});
  const std::string mac = keys.Mac("p", {"x"});
  ASSERT_EQ(mac.size(), 32u);
  EXPECT_FALSE(keys.IsMac("", "p", {"x"}));
  EXPECT_FALSE(keys.IsMac(mac.substr(0, 31), "p", {"x"}));
  EXPECT_FALSE(keys.IsMac(mac + "0", "p", {"x"}));
  EXPECT_FALSE(keys.IsMac(mac, "q", {"x"}));
  EXPECT_FALSE(keys.IsMac(mac, "p", {"y"}));
  for (size_t i = 0; i < mac.size(); ++i) {
    std::string changed = mac;
    changed[i] = changed[i] == '0' ? '1' : '0';
    EXPECT_FALSE(keys.IsMac(changed, "p", {"x"})) << i;
  }
  std::string upper = mac;
  for (char& c : upper) {
    if (c >= 'a' && c <= 'f') c = static_cast<char>(c - 'a' + 'A');
  }
  ASSERT_NE(upper, mac);
  EXPECT_FALSE(keys.IsMac(upper, "p", {"x"}));
}

// ---- seals ----------------------------------------------------------------

TEST(KeysSeal, OpensToWhatWasSealedAndIsTheSameEachTime) {
  const Keys keys = Keys::FromSecrets({kOld});
  const Keys other_process = Keys::FromSecrets({kOld});
  for (const size_t n : {1u, 15u, 16u, 17u, 100u, 3000u}) {
    const std::string plain(n, 'p');
    const std::string sealed = keys.Seal("use", "context", plain);
    EXPECT_EQ(sealed.size(), n + 16);
    EXPECT_EQ(sealed.find(std::string(8, 'p')), std::string::npos);
    EXPECT_EQ(other_process.Seal("use", "context", plain), sealed);
    EXPECT_EQ(other_process.Open("use", "context", sealed), plain) << n;
  }
}

TEST(KeysSeal, OpensForNoOtherPurposeContextOrKey) {
  const Keys keys = Keys::FromSecrets({kOld});
  const std::string sealed = keys.Seal("use", "context", "plain");
  EXPECT_FALSE(keys.Open("used", "context", sealed).has_value());
  EXPECT_FALSE(keys.Open("use", "contex", sealed).has_value());
  EXPECT_FALSE(keys.Open("usec", "ontext", sealed).has_value());
  EXPECT_FALSE(keys.Open("use", "", sealed).has_value());
  EXPECT_FALSE(keys.Open("", "usecontext", sealed).has_value());
  EXPECT_FALSE(
      Keys::FromSecrets({kNew}).Open("use", "context", sealed).has_value());
  EXPECT_EQ(Keys::FromSecrets({kNew, kOld}).Open("use", "context", sealed),
            "plain");
  // And still opens after all those that it does not open for.
  EXPECT_EQ(keys.Open("use", "context", sealed), "plain");
}

TEST(KeysSeal, OpensNothingThatWasTouched) {
  const Keys keys = Keys::FromSecrets({kNew, kOld});
  const std::string sealed = keys.Seal("use", "", "plain");
  for (size_t bit = 0; bit < sealed.size() * 8; ++bit) {
    std::string changed = sealed;
    changed[bit / 8] = static_cast<char>(changed[bit / 8] ^ (1 << bit % 8));
    EXPECT_FALSE(keys.Open("use", "", changed).has_value()) << bit;
  }
  for (size_t n = 0; n < sealed.size(); ++n) {
    EXPECT_FALSE(keys.Open("use", "", sealed.substr(0, n)).has_value()) << n;
  }
  EXPECT_FALSE(keys.Open("use", "", sealed + "x").has_value());
  EXPECT_EQ(keys.Open("use", "", sealed), "plain");
}

TEST(KeysSeal, HidesNothingWhereThereIsNothing) {
  const Keys keys = Keys::FromSecrets({kOld});
  EXPECT_EQ(keys.Seal("use", "context", ""), "");
  EXPECT_FALSE(keys.Open("use", "context", "").has_value());
  EXPECT_EQ(keys.Open("", "", keys.Seal("", "", "x")), "x");
}

TEST(KeysDerive, GivesEachPurposeASecretOfItsOwn) {
  const Keys keys = Keys::FromSecrets({kOld});
  const std::string nonce = keys.Derive("nonce");
  EXPECT_EQ(nonce.size(), Keys::kOctets);
  EXPECT_EQ(Keys::FromSecrets({kOld, kNew}).Derive("nonce"), nonce);
  EXPECT_NE(keys.Derive("other"), nonce);
  EXPECT_NE(Keys::FromSecrets({kNew, kOld}).Derive("nonce"), nonce);
}

// ---- the file -------------------------------------------------------------

class KeysFile : public testing::Test {
 protected:
  std::string Path() const { return folder_ / "sip.key"; }
  absl::Status Refusal() const { return Keys::Load(Path()).status(); }
  int Files() const {
    int files = 0;
    for ([[maybe_unused]] const auto& entry :
         std::filesystem::directory_iterator(folder_ / "")) {
      ++files;
    }
    return files;
  }

  TempFolder folder_;
};

TEST_F(KeysFile, IsMadeOnceAndKept) {
  // Not even a careless umask makes it wider or unreadable.
  for (const mode_t mask : {0000, 0777, 0022}) {
    const mode_t before = umask(mask);
    const auto made = Keys::Load(Path());
    umask(before);
    ASSERT_TRUE(made.ok()) << made.status();
    struct stat info {};
    ASSERT_EQ(stat(Path().c_str(), &info), 0);
    EXPECT_EQ(info.st_mode & 07777u, 0600u);
    EXPECT_EQ(info.st_nlink, 1u);
    EXPECT_EQ(Files(), 1);
    const std::string text = Read(Path());
    EXPECT_EQ(text.size(), 65u);
    const auto again = Keys::Load(Path());
    ASSERT_TRUE(again.ok()) << again.status();
    EXPECT_EQ(Read(Path()), text);
    EXPECT_EQ(again->Mac("p", {"x"}), made->Mac("p", {"x"}));
    ASSERT_EQ(unlink(Path().c_str()), 0);
  }
}

TEST_F(KeysFile, IsAnotherOneEachTimeItIsMade) {
  const auto one = Keys::Load(Path());
  const auto other = Keys::Load(folder_ / "other.key");
  ASSERT_TRUE(one.ok() && other.ok());
  EXPECT_NE(one->Mac("p", {}), other->Mac("p", {}));
  // And without a file each process has its own.
  const auto own = Keys::Load("");
  const auto own_too = Keys::Load("");
  ASSERT_TRUE(own.ok() && own_too.ok());
  EXPECT_NE(own->Mac("p", {}), own_too->Mac("p", {}));
}

TEST_F(KeysFile, RotatesByALineOnTop) {
  const std::string old_line = absl::BytesToHexString(kOld);
  const std::string new_line = absl::BytesToHexString(kNew);
  Write(Path(), old_line + "\n");
  auto keys = Keys::Load(Path());
  ASSERT_TRUE(keys.ok()) << keys.status();
  const std::string sealed = keys->Seal("use", "", "plain");
  EXPECT_EQ(sealed, Keys::FromSecrets({kOld}).Seal("use", "", "plain"));

  Write(Path(), new_line + "\n" + old_line + "\n");
  keys = Keys::Load(Path());
  ASSERT_TRUE(keys.ok()) << keys.status();
  EXPECT_EQ(keys->Open("use", "", sealed), "plain");
  EXPECT_NE(keys->Seal("use", "", "plain"), sealed);

  Write(Path(), new_line);  // the last line end may be missing
  keys = Keys::Load(Path());
  ASSERT_TRUE(keys.ok()) << keys.status();
  EXPECT_FALSE(keys->Open("use", "", sealed).has_value());
}

TEST_F(KeysFile, IsRefusedWhenOthersMayTouchIt) {
  const std::string line = absl::BytesToHexString(kOld) + "\n";
  for (const mode_t mode : {0644, 0640, 0620, 0602, 0604, 0610, 0601, 0666}) {
    Write(Path(), line, mode);
    EXPECT_EQ(Refusal().code(), absl::StatusCode::kPermissionDenied) << mode;
  }
  for (const mode_t mode : {0600, 0400}) {
    Write(Path(), line, 0600);
    ASSERT_EQ(chmod(Path().c_str(), mode), 0);
    EXPECT_TRUE(Refusal().ok()) << Refusal();
  }
}

TEST_F(KeysFile, IsRefusedFromAStrangersHand) {
  // A file that is somebody else's cannot be made without giving one away; CI
  // runs as root and has this.
  if (geteuid() != 0) GTEST_SKIP() << "only root can give a file away";
  Write(Path(), absl::BytesToHexString(kOld) + "\n");
  ASSERT_EQ(chown(Path().c_str(), 65534, 65534), 0);
  EXPECT_EQ(Refusal().code(), absl::StatusCode::kPermissionDenied);
}

TEST_F(KeysFile, IsRefusedWithTheLineThatIsWrong) {
  const std::string good = absl::BytesToHexString(kOld);
  const struct {
    std::string text;
    int line;
  } kCases[] = {
      {"", 1},
      {"\n", 1},
      {good.substr(1), 1},
      {good + "0\n", 1},
      {good + " \n", 1},
      {good + "\r\n", 1},
      {"g" + good.substr(1), 1},
      {std::string(64, '\0'), 1},
      {good + "\n\n", 2},
      {good + "\n# old\n", 2},
      {good + "\n" + good.substr(2) + "\n", 2},
      {good + "\n" + good + "\n" + good + "\n", 3},
      {good + "\n" + good + "\n\n", 3},
      {std::string(1 << 20, 'a'), 1},
  };
  for (const auto& c : kCases) {
    Write(Path(), c.text);
    const absl::Status refusal = Refusal();
    EXPECT_EQ(refusal.code(), absl::StatusCode::kInvalidArgument) << c.text;
    const std::string where = Path() + ":" + std::to_string(c.line) + ": ";
    EXPECT_EQ(refusal.message().substr(0, where.size()), where);
    EXPECT_EQ(std::string(refusal.message()).find(good.substr(8, 40)),
              std::string::npos)
        << "a secret in a message";
    EXPECT_EQ(Read(Path()), c.text) << "left as it was found";
  }
}

TEST_F(KeysFile, IsRefusedWhenItIsNoFile) {
  ASSERT_EQ(mkfifo(Path().c_str(), 0600), 0);
  EXPECT_EQ(Refusal().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_FALSE(Keys::Load(folder_ / "").ok());
  EXPECT_FALSE(Keys::Load(folder_ / "missing/sip.key").ok());
  EXPECT_FALSE(Keys::Load("/proc/sluice.key").ok());
}

}  // namespace
}  // namespace sluice::sip
