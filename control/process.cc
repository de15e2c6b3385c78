#include "control/process.h"

#include <dirent.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/magic.h>
#include <pwd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/status_macros.h"

namespace sluice::control {
namespace {

// The kernel's own bound of RLIMIT_NOFILE; its default where it cannot be read.
uint64_t DescriptorsOfTheKernel() {
  uint64_t value = 0;
  std::ifstream("/proc/sys/fs/nr_open") >> value;
  return value != 0 ? value : 1'048'576;
}

absl::Status Errno(std::string_view what) {
  return absl::ErrnoToStatus(errno, std::string(what));
}

}  // namespace

uint64_t RaiseDescriptorLimit(uint64_t wanted) {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return 0;
  const rlimit before = limit;
  limit.rlim_max = std::max<rlim_t>(
      limit.rlim_max, std::min<uint64_t>(wanted, DescriptorsOfTheKernel()));
  limit.rlim_cur = limit.rlim_max;
  if (setrlimit(RLIMIT_NOFILE, &limit) == 0) return limit.rlim_cur;
  limit = before;
  limit.rlim_cur = limit.rlim_max;
  if (setrlimit(RLIMIT_NOFILE, &limit) == 0) return limit.rlim_cur;
  return before.rlim_cur;
}

absl::StatusOr<Account> FindAccount(const std::string& name) {
  std::string buffer(16 * 1024, '\0');
  passwd entry{};
  passwd* found = nullptr;
  const int error =
      getpwnam_r(name.c_str(), &entry, buffer.data(), buffer.size(), &found);
  if (error != 0) {
    return absl::ErrnoToStatus(error, absl::StrCat("account ", name));
  }
  if (found == nullptr) {
    return absl::NotFoundError(
        absl::StrFormat("process.user: there is no account \"%s\"", name));
  }
  if (entry.pw_uid == 0) {
    return absl::InvalidArgumentError(
        absl::StrFormat("process.user: \"%s\" is root itself", name));
  }
  return Account{.name = name, .uid = entry.pw_uid, .gid = entry.pw_gid};
}

absl::StatusOr<std::optional<Account>> AccountToBecome(
    const std::string& name) {
  if (name.empty() || geteuid() != 0) return std::nullopt;
  ASSIGN_OR_RETURN(Account account, FindAccount(name));
  return account;
}

absl::Status HandOver(const std::string& path, const Account& account) {
  if (lchown(path.c_str(), account.uid, account.gid) != 0) return Errno(path);
  return absl::OkStatus();
}

namespace {

constexpr int kFolderFlags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;

std::vector<std::string> NamesIn(int folder) {
  std::vector<std::string> names;
  const int fd = openat(folder, ".", kFolderFlags);
  if (fd < 0) return names;
  const std::unique_ptr<DIR, int (*)(DIR*)> open(fdopendir(fd), closedir);
  if (open == nullptr) {
    close(fd);
    return names;
  }
  while (const dirent* entry = readdir(open.get())) {
    if (entry->d_name[0] != '.') names.emplace_back(entry->d_name);
  }
  return names;
}

// Its owner of before is the account itself, from the second start on: a pin
// that it linked here from elsewhere would have another name still.
absl::Status HandOverPinsIn(int folder, const std::string& path,
                            const Account& account) {
  for (const std::string& name : NamesIn(folder)) {
    struct stat info {};
    if (fstatat(folder, name.c_str(), &info, AT_SYMLINK_NOFOLLOW) != 0 ||
        !S_ISREG(info.st_mode) || info.st_nlink != 1) {
      continue;
    }
    if (fchownat(folder, name.c_str(), account.uid, account.gid,
                 AT_SYMLINK_NOFOLLOW) != 0) {
      return Errno(absl::StrCat(path, "/", name));
    }
  }
  if (fchown(folder, account.uid, account.gid) != 0) return Errno(path);
  return absl::OkStatus();
}

}  // namespace

absl::Status HandOverPins(const std::string& folder, const Account& account) {
  const net::Fd top(open(folder.c_str(), kFolderFlags));
  if (!top) return errno == ENOENT ? absl::OkStatus() : Errno(folder);
  struct statfs system {};
  struct stat info {
  }, above{};
  if (fstatfs(top.get(), &system) != 0 || fstat(top.get(), &info) != 0 ||
      fstatat(top.get(), "..", &above, 0) != 0) {
    return Errno(folder);
  }
  if (static_cast<uint64_t>(system.f_type) != BPF_FS_MAGIC) {
    return absl::OkStatus();
  }
  for (const std::string& name : NamesIn(top.get())) {
    if (!name.starts_with("abi")) continue;
    const net::Fd pins(openat(top.get(), name.c_str(), kFolderFlags));
    if (!pins) continue;
    RETURN_IF_ERROR(
        HandOverPinsIn(pins.get(), absl::StrCat(folder, "/", name), account));
  }
  if (info.st_dev != above.st_dev) return absl::OkStatus();
  if (fchown(top.get(), account.uid, account.gid) != 0) return Errno(folder);
  return absl::OkStatus();
}

absl::Status CheckReadable(const std::string& path) {
  if (faccessat(AT_FDCWD, path.c_str(), R_OK, AT_EACCESS) == 0 ||
      errno != EACCES) {
    return absl::OkStatus();
  }
  std::string buffer(16 * 1024, '\0');
  passwd entry{};
  passwd* found = nullptr;
  getpwuid_r(geteuid(), &entry, buffer.data(), buffer.size(), &found);
  return absl::PermissionDeniedError(absl::StrCat(
      path, ": ", std::strerror(EACCES), "; the account ",
      found != nullptr ? std::string(entry.pw_name) : absl::StrCat(geteuid()),
      " must be able to read it"));
}

namespace {

// What the calling thread may do from here on, and can ever get back.
absl::Status KeepCapabilities(std::initializer_list<int> keep) {
  __user_cap_header_struct header{.version = _LINUX_CAPABILITY_VERSION_3,
                                  .pid = 0};
  __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3]{};
  for (const int capability : keep) {
    auto& word = data[CAP_TO_INDEX(capability)];
    word.effective |= CAP_TO_MASK(capability);
    word.permitted |= CAP_TO_MASK(capability);
  }
  if (syscall(SYS_capset, &header, data) != 0) return Errno("capset");
  return absl::OkStatus();
}

}  // namespace

absl::Status BecomeAccount(const Account& account,
                           std::initializer_list<int> keep) {
  if (keep.size() != 0 && prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) != 0) {
    return Errno("PR_SET_KEEPCAPS");
  }
  if (setgroups(1, &account.gid) != 0) return Errno("setgroups");
  if (setresgid(account.gid, account.gid, account.gid) != 0) {
    return Errno("setresgid");
  }
  if (setresuid(account.uid, account.uid, account.uid) != 0) {
    return Errno("setresuid");
  }
  if (keep.size() != 0) RETURN_IF_ERROR(KeepCapabilities(keep));
  if (setuid(0) == 0) {
    return absl::InternalError("root could be had back after setresuid");
  }
  return absl::OkStatus();
}

absl::Status ForbidNewPrivileges() {
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) {
    return Errno("PR_SET_NO_NEW_PRIVS");
  }
  return absl::OkStatus();
}

absl::Status Harden() {
  if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0) return Errno("PR_SET_DUMPABLE");
  return absl::OkStatus();
}

absl::StatusOr<bool> MakePrivateFolder(const std::string& path) {
  const bool made = mkdir(path.c_str(), 0700) == 0;
  if (!made && errno != EEXIST) return Errno(path);
  struct stat info {};
  if (lstat(path.c_str(), &info) != 0) return Errno(path);
  if (!S_ISDIR(info.st_mode)) {
    return absl::PermissionDeniedError(
        absl::StrCat(path, ": is not a folder of our own"));
  }
  if ((info.st_uid != geteuid() && info.st_uid != 0 && geteuid() != 0) ||
      (info.st_mode & (S_IWGRP | S_IWOTH)) != 0) {
    return absl::PermissionDeniedError(absl::StrFormat(
        "%s: others may write there (owner %u, mode %04o); no socket is put "
        "into it",
        path, info.st_uid, info.st_mode & 07777));
  }
  return made;
}

Notifier Notifier::FromEnvironment() {
  const char* address = std::getenv("NOTIFY_SOCKET");
  Notifier notifier(address != nullptr ? address : "");
  // A program that we might start must not speak in our name.
  unsetenv("NOTIFY_SOCKET");
  return notifier;
}

Notifier::Notifier(std::string address) : address_(std::move(address)) {
  if (address_.size() < 2 || address_.size() >= sizeof(sockaddr_un::sun_path) ||
      (address_[0] != '/' && address_[0] != '@')) {
    return;
  }
  socket_ =
      net::Fd(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
}

void Notifier::Send(const std::string& message) const {
  if (!socket_) return;
  sockaddr_un to{};
  to.sun_family = AF_UNIX;
  std::memcpy(to.sun_path, address_.data(), address_.size());
  if (to.sun_path[0] == '@') to.sun_path[0] = '\0';
  const auto length =
      static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + address_.size());
  // Whoever asked and does not listen is no reason to fail.
  [[maybe_unused]] const ssize_t sent =
      sendto(socket_.get(), message.data(), message.size(), MSG_NOSIGNAL,
             reinterpret_cast<const sockaddr*>(&to), length);
}

void Notifier::Ready(std::string_view status) const {
  Send(absl::StrCat("READY=1\nMAINPID=", getpid(),
                    "\nSTATUS=", std::string(status), "\n"));
}

// The time lets systemd (Type=notify-reload) tell this reload from an old one.
void Notifier::Reloading() const {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  Send(absl::StrFormat("RELOADING=1\nMONOTONIC_USEC=%d\n",
                       int64_t{now.tv_sec} * 1'000'000 + now.tv_nsec / 1'000));
}

void Notifier::Stopping() const { Send("STOPPING=1\n"); }

}  // namespace sluice::control
