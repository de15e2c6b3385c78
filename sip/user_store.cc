#include <fcntl.h>
#include <openssl/crypto.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <string>
#include <string_view>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "base/log.h"
#include "base/net/fd.h"
#include "base/status_macros.h"
#include "base/text.h"
#include "sip/cursor.h"
#include "sip/digest.h"
#include "sip/sqlite.h"

namespace sluice::sip {
namespace {

constexpr size_t kAlgorithmCount = 3;
constexpr std::string_view kSqlite = "sqlite:";
constexpr DigestAlgorithm kAlgorithms[kAlgorithmCount] = {
    DigestAlgorithm::kMd5, DigestAlgorithm::kSha256,
    DigestAlgorithm::kSha512_256};

// A hash as it is compared: lower case. nullopt when it is none of that
// algorithm.
std::optional<std::string> HashText(DigestAlgorithm algorithm,
                                    std::string_view text) {
  const size_t length = algorithm == DigestAlgorithm::kMd5 ? 32 : 64;
  if (text.size() != length) return std::nullopt;
  std::string hash;
  for (const char c : text) {
    if (!kHex.Has(c)) return std::nullopt;
    hash += Lower(c);
  }
  return hash;
}

// The rule for every file with secrets in it.
absl::Status CheckMode(const struct stat& info, const std::string& path) {
  if (!S_ISREG(info.st_mode)) {
    return absl::InvalidArgumentError(Cat(path, ": not a file"));
  }
  if ((info.st_mode & 0027) != 0) {
    return absl::PermissionDeniedError(
        Cat(path,
            ": others may read it or its group may write it; its mode "
            "must be 0600 or 0640"));
  }
  return absl::OkStatus();
}

class FileUsers : public UserStore {
 public:
  static absl::StatusOr<std::unique_ptr<UserStore>> Open(
      const std::string& path) {
    const net::Fd file(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
    if (!file) return absl::ErrnoToStatus(errno, path);
    struct stat info {};
    if (fstat(file.get(), &info) != 0) return absl::ErrnoToStatus(errno, path);
    RETURN_IF_ERROR(CheckMode(info, path));
    if (static_cast<uint64_t>(info.st_size) > kFileOctetsMax) {
      return absl::ResourceExhaustedError(
          Cat(path, ": more than ", kFileOctetsMax, " octets"));
    }
    // Of its size from the start, so that no copy of a password is left behind
    // by growing.
    std::string text(static_cast<size_t>(info.st_size), '\0');
    size_t have = 0;
    ssize_t n = 0;
    while (have < text.size() &&
           (n = read(file.get(), text.data() + have, text.size() - have)) > 0) {
      have += static_cast<size_t>(n);
    }
    auto users = std::make_unique<FileUsers>();
    absl::Status status =
        n < 0 ? absl::ErrnoToStatus(errno, path)
              : users->Load(std::string_view(text).substr(0, have), path);
    OPENSSL_cleanse(text.data(), text.size());
    RETURN_IF_ERROR(status);
    return users;
  }

  std::optional<std::string> A1(std::string_view user, std::string_view realm,
                                DigestAlgorithm algorithm) override {
    const auto found = users_.find(Key(user, realm));
    if (found == users_.end()) return std::nullopt;
    const std::string& a1 = found->second[static_cast<size_t>(algorithm)];
    if (a1.empty()) return std::nullopt;
    return a1;
  }

 private:
  using Hashes = std::array<std::string, kAlgorithmCount>;  // "" : none

  // In the file neither holds a colon, so what is asked for with more of them
  // is nobody's key.
  static std::string Key(std::string_view user, std::string_view realm) {
    return Cat(user, ":", realm);
  }

  absl::Status Load(std::string_view text, const std::string& path) {
    for (int number = 1; !text.empty(); ++number) {
      const size_t lf = text.find('\n');
      std::string_view line = text.substr(0, lf);
      text.remove_prefix(lf == text.npos ? text.size() : lf + 1);
      if (line.ends_with('\r')) line.remove_suffix(1);
      if (line.empty() || line.starts_with('#')) continue;
      if (const char* wrong = OnLine(line)) {
        return absl::InvalidArgumentError(Cat(path, ":", number, ": ", wrong));
      }
    }
    return absl::OkStatus();
  }

  // What is wrong with it, without its octets: they may be a password.
  const char* OnLine(std::string_view line) {
    const size_t first = line.find(':');
    const size_t second =
        first == line.npos ? line.npos : line.find(':', first + 1);
    if (second == line.npos) return "not user:realm:secret";
    const std::string_view user = line.substr(0, first);
    const std::string_view realm = line.substr(first + 1, second - first - 1);
    const std::string_view secret = line.substr(second + 1);
    if (user.empty() || realm.empty() || secret.empty()) {
      return "user, realm or secret is empty";
    }
    Hashes& hashes = users_[Key(user, realm)];
    if (secret.front() == '{' && secret.find('}') != secret.npos) {
      const size_t end = secret.find('}');
      const auto algorithm = DigestAlgorithmOf(secret.substr(1, end - 1));
      if (!algorithm) return "{...} is not MD5, SHA-256 or SHA-512-256";
      auto hash = HashText(*algorithm, secret.substr(end + 1));
      if (!hash) return "not a hash of that algorithm in hexadecimal";
      std::string& a1 = hashes[static_cast<size_t>(*algorithm)];
      if (!a1.empty()) return "the user is there already";
      a1 = *std::move(hash);
      return nullptr;
    }
    for (const DigestAlgorithm algorithm : kAlgorithms) {
      std::string& a1 = hashes[static_cast<size_t>(algorithm)];
      if (!a1.empty()) return "the user is there already";
      a1 = DigestA1(algorithm, user, realm, secret);
    }
    return nullptr;
  }

  absl::flat_hash_map<std::string, Hashes> users_;
};

class SqliteUsers : public UserStore {
 public:
  static absl::StatusOr<std::unique_ptr<UserStore>> Open(
      const std::string& path) {
    struct stat info {};
    if (stat(path.c_str(), &info) != 0) return absl::ErrnoToStatus(errno, path);
    RETURN_IF_ERROR(CheckMode(info, path));
    // The loop waits for nobody's lock.
    auto database = Database::Open(path, Database::Mode::kRead, 0);
    if (!database.ok()) return Unfit(database.status());
    auto find = Statement::Prepare(*database, kFind.c_str());
    if (!find.ok()) return Unfit(find.status());
    RETURN_IF_ERROR(CheckIndex(*database));
    auto users = std::make_unique<SqliteUsers>();
    users->database_ = *std::move(database);
    users->find_ = *std::move(find);
    return users;
  }

  std::optional<std::string> A1(std::string_view user, std::string_view realm,
                                DigestAlgorithm algorithm) override {
    find_.Bind(1, user);
    find_.Bind(2, realm);
    find_.Bind(3, NameOf(algorithm));
    const auto row = find_.Step();
    std::optional<std::string> a1;
    if (!row.ok()) {
      log::Line("users cannot be read")
          .With("database", database_.path())
          .With("why", std::string(row.status().message()))
          .WarnLimited();
    } else if (*row) {
      a1 = HashText(algorithm, find_.Text(0));
    }
    find_.Reset();
    return a1;
  }

 private:
  inline static const std::string kFind =
      "SELECT a1 FROM users WHERE user = ?1 AND realm = ?2 AND "
      "upper(algorithm) = ?3";

  // Whether a question would read the whole of a long table.
  static absl::Status CheckIndex(const Database& database) {
    auto plan =
        Statement::Prepare(database, Cat("EXPLAIN QUERY PLAN ", kFind).c_str());
    if (!plan.ok()) return Unfit(plan.status());
    constexpr int kDetail = 3;
    const auto step = plan->Step();
    if (!step.ok()) return Unfit(step.status());
    if (!*step || !plan->Text(kDetail).starts_with("SCAN")) {
      return absl::OkStatus();
    }
    const std::string many =
        Cat("SELECT 1 FROM users LIMIT 1 OFFSET ", kUnindexedMax);
    auto beyond = Statement::Prepare(database, many.c_str());
    if (!beyond.ok()) return Unfit(beyond.status());
    const auto row = beyond->Step();
    if (!row.ok()) return Unfit(row.status());
    if (!*row) return absl::OkStatus();
    return absl::InvalidArgumentError(
        Cat(database.path(), ": more than ", kUnindexedMax,
            " users and no index on them; CREATE INDEX by_user ON users(user, "
            "realm)"));
  }

  static absl::Status Unfit(const absl::Status& status) {
    return absl::InvalidArgumentError(status.message());
  }

  Database database_;
  Statement find_;  // gone before its database
};

}  // namespace

absl::StatusOr<std::unique_ptr<UserStore>> UserStore::Open(
    const std::string& where) {
  if (where.starts_with(kSqlite)) {
    return SqliteUsers::Open(where.substr(kSqlite.size()));
  }
  return FileUsers::Open(where);
}

}  // namespace sluice::sip
