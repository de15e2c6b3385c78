#include "sip/key_file.h"

#include <fcntl.h>
#include <openssl/crypto.h>
#include <openssl/rand.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <string_view>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/net/fd.h"
#include "base/net/socket.h"
#include "base/status_macros.h"
#include "sip/keys.h"

namespace sluice::sip {
namespace {

using net::ErrnoStatus;
using net::Fd;

constexpr size_t kLineDigits = 2 * Keys::kOctets;
constexpr size_t kFileOctetsMax = Keys::kKeysMax * (kLineDigits + 1);

absl::StatusOr<std::string> NewSecret() {
  std::string secret(Keys::kOctets, '\0');
  if (RAND_priv_bytes(reinterpret_cast<unsigned char*>(secret.data()),
                      static_cast<int>(secret.size())) != 1) {
    return absl::InternalError("the random source gives nothing");
  }
  return secret;
}

absl::Status WriteAll(int fd, std::string_view text, const std::string& path) {
  while (!text.empty()) {
    const ssize_t n = write(fd, text.data(), text.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return ErrnoStatus(errno, absl::StrCat("write ", path));
    text.remove_prefix(static_cast<size_t>(n));
  }
  return absl::OkStatus();
}

// Makes the file with one new line; whole or not at all, also for whoever reads
// it at the same moment or after a power failure: written under another name
// first. A file that has appeared meanwhile stays (another node starts as
// well).
absl::Status MakeFile(const std::string& path) {
  ASSIGN_OR_RETURN(std::string secret, NewSecret());
  ASSIGN_OR_RETURN(const std::string suffix, NewSecret());
  const std::string made =
      absl::StrCat(path, ".", absl::BytesToHexString(suffix.substr(0, 8)));
  const Fd fd(
      open(made.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
  if (!fd) return ErrnoStatus(errno, absl::StrCat("make ", path));
  std::string line = absl::StrCat(absl::BytesToHexString(secret), "\n");
  absl::Status status = WriteAll(fd.get(), line, path);
  OPENSSL_cleanse(line.data(), line.size());
  OPENSSL_cleanse(secret.data(), secret.size());
  // Whatever the umask has taken away; and the octets before the name.
  if (status.ok() &&
      (fchmod(fd.get(), 0600) != 0 || fsync(fd.get()) != 0 ||
       (link(made.c_str(), path.c_str()) != 0 && errno != EEXIST))) {
    status = ErrnoStatus(errno, absl::StrCat("make ", path));
  }
  unlink(made.c_str());
  RETURN_IF_ERROR(status);
  const size_t slash = path.rfind('/');
  const std::string folder = slash == std::string::npos ? std::string(".")
                             : slash == 0               ? std::string("/")
                                                        : path.substr(0, slash);
  const Fd folder_fd(open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!folder_fd || fsync(folder_fd.get()) != 0) {
    return ErrnoStatus(errno, absl::StrCat("fsync ", folder));
  }
  return absl::OkStatus();
}

absl::Status CheckFile(int fd, const std::string& path,
                       std::optional<uid_t> heir) {
  struct stat info;
  if (fstat(fd, &info) != 0) return ErrnoStatus(errno, path);
  if (!S_ISREG(info.st_mode)) {
    return absl::InvalidArgumentError(absl::StrCat(path, " is no plain file"));
  }
  if (info.st_uid != geteuid() && info.st_uid != 0 && info.st_uid != heir) {
    return absl::PermissionDeniedError(
        absl::StrCat(path, " belongs to user ", info.st_uid,
                     ", who could put another key into it"));
  }
  if ((info.st_mode & 0077) != 0) {
    return absl::PermissionDeniedError(
        absl::StrFormat("%s has mode %04o: who reads it can forge contacts; "
                        "chmod 600",
                        path, info.st_mode & 07777));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string> ReadFile(int fd, const std::string& path) {
  std::string text(kFileOctetsMax + 1, '\0');
  size_t used = 0;
  while (used < text.size()) {
    const ssize_t n = read(fd, text.data() + used, text.size() - used);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return ErrnoStatus(errno, absl::StrCat("read ", path));
    if (n == 0) break;
    used += static_cast<size_t>(n);
  }
  text.resize(used);
  return text;
}

absl::StatusOr<std::vector<std::string>> ParseFile(std::string_view text,
                                                   const std::string& path) {
  std::vector<std::string> secrets;
  auto bad = [&](std::string_view what) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, ":", secrets.size() + 1, ": ",
                     absl::string_view(what.data(), what.size())));
  };
  while (!text.empty()) {
    if (secrets.size() == Keys::kKeysMax) {
      return bad("only the newest key and the one before it may be here");
    }
    const size_t end = text.find('\n');
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    if (line.size() != kLineDigits ||
        line.find_first_not_of("0123456789abcdefABCDEF") !=
            std::string_view::npos) {
      return bad("not a key of 64 hexadecimal digits");
    }
    secrets.push_back(
        absl::HexStringToBytes(absl::string_view(line.data(), line.size())));
  }
  if (secrets.empty()) return bad("no key");
  return secrets;
}

// Not waiting: a FIFO must not hold up the start.
constexpr int kFlags = O_RDONLY | O_CLOEXEC | O_NONBLOCK;

absl::StatusOr<std::vector<std::string>> SecretsIn(int fd,
                                                   const std::string& path,
                                                   std::optional<uid_t> heir) {
  RETURN_IF_ERROR(CheckFile(fd, path, heir));
  ASSIGN_OR_RETURN(std::string text, ReadFile(fd, path));
  auto secrets = ParseFile(text, path);
  OPENSSL_cleanse(text.data(), text.size());
  return secrets;
}

void Cleanse(std::vector<std::string>* secrets) {
  for (std::string& secret : *secrets) {
    OPENSSL_cleanse(secret.data(), secret.size());
  }
}

}  // namespace

absl::StatusOr<std::vector<std::string>> NewSecrets() {
  ASSIGN_OR_RETURN(std::string secret, NewSecret());
  return std::vector<std::string>{std::move(secret)};
}

absl::StatusOr<std::vector<std::string>> LoadKeyFile(
    const std::string& path, std::optional<uid_t> heir) {
  Fd fd(open(path.c_str(), kFlags));
  if (!fd && errno == ENOENT) {
    RETURN_IF_ERROR(MakeFile(path));
    fd = Fd(open(path.c_str(), kFlags));
  }
  if (!fd) return ErrnoStatus(errno, absl::StrCat("open ", path));
  return SecretsIn(fd.get(), path, heir);
}

absl::StatusOr<Keys> LoadKeysFor(const std::string& path, uid_t heir) {
  ASSIGN_OR_RETURN(std::vector<std::string> secrets, LoadKeyFile(path, heir));
  Keys keys = Keys::FromSecrets(secrets);
  Cleanse(&secrets);
  return keys;
}

absl::Status HandOverKeyFile(const std::string& path, uid_t uid, gid_t gid) {
  const Fd fd(open(path.c_str(), kFlags | O_NOFOLLOW));
  if (!fd && errno == ELOOP) {
    return absl::InvalidArgumentError(absl::StrCat(path, " is a link"));
  }
  if (!fd) return ErrnoStatus(errno, absl::StrCat("open ", path));
  ASSIGN_OR_RETURN(std::vector<std::string> secrets,
                   SecretsIn(fd.get(), path, uid));
  Cleanse(&secrets);
  struct stat info;
  if (fstat(fd.get(), &info) != 0) return ErrnoStatus(errno, path);
  if (info.st_uid == uid) return absl::OkStatus();
  if (info.st_nlink != 1) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, " has ", info.st_nlink, " names"));
  }
  if (fchown(fd.get(), uid, gid) != 0) {
    return ErrnoStatus(errno, absl::StrCat("chown ", path));
  }
  return absl::OkStatus();
}

}  // namespace sluice::sip
