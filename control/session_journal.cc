#include "control/session_journal.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <iterator>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "base/status_macros.h"

namespace sluice::control {
namespace {

using journal::Record;
using journal::RecordType;

// What is read or written at once, many records.
constexpr size_t kChunkOctets = 256 * 1024;
static_assert(kChunkOctets > journal::kRecordOctetsMax);

constexpr char kMends[] =
    "; move it away, or name another file, and calls begin anew";

// One call of the kernel where it takes all of it; short of that is an error.
absl::Status WriteAt(int fd, std::string_view octets, uint64_t at,
                     const std::string& path) {
  ssize_t n;
  do {
    n = pwrite(fd, octets.data(), octets.size(), static_cast<off_t>(at));
  } while (n < 0 && errno == EINTR);
  if (n < 0) return absl::ErrnoToStatus(errno, absl::StrCat("write ", path));
  if (static_cast<size_t>(n) < octets.size()) {
    return absl::ResourceExhaustedError(
        absl::StrCat("write ", path, ": ", n, " of ", octets.size(),
                     " octets went in: is the disk full?"));
  }
  return absl::OkStatus();
}

absl::Status Lock(int fd, const std::string& path) {
  while (flock(fd, LOCK_EX | LOCK_NB) != 0) {
    if (errno == EINTR) continue;
    if (errno == EWOULDBLOCK) {
      return absl::AlreadyExistsError(
          absl::StrCat(path, ": another daemon writes it"));
    }
    return absl::ErrnoToStatus(errno, absl::StrCat("lock ", path));
  }
  return absl::OkStatus();
}

using Heir = std::optional<Account>;

uid_t WriterOf(const Heir& heir) { return heir ? heir->uid : geteuid(); }

// For a chown.
std::string NameOf(const Heir& heir) {
  return heir ? heir->name : absl::StrCat(geteuid());
}

// Whether the account, with its group alone, has these of rwx.
bool May(const Account& account, const struct stat& info, mode_t rwx) {
  const int shift = info.st_uid == account.uid   ? 6
                    : info.st_gid == account.gid ? 3
                                                 : 0;
  return (info.st_mode >> shift & rwx) == rwx;
}

// Rewriting makes a file there, and by then root's rights are gone.
absl::Status CheckHeirMayWrite(const Account& heir, const std::string& folder,
                               const std::string& path) {
  const std::unique_ptr<char, void (*)(void*)> real(
      realpath(folder.c_str(), nullptr), std::free);
  if (real == nullptr) {
    return absl::ErrnoToStatus(errno, absl::StrCat("open ", path));
  }
  const std::string_view whole = real.get();
  struct stat info {};
  for (size_t end = 0; end != whole.npos; end = whole.find('/', end + 1)) {
    const std::string above(whole.substr(0, std::max<size_t>(1, end)));
    if (stat(above.c_str(), &info) == 0 && !May(heir, info, 01)) {
      return absl::PermissionDeniedError(
          absl::StrCat(path, ": the account ", heir.name,
                       ", which is to write it, cannot pass ", above,
                       "; chmod o+x ", above, ", or name another place"));
    }
  }
  if (stat(real.get(), &info) == 0 && May(heir, info, 03)) {
    return absl::OkStatus();
  }
  return absl::PermissionDeniedError(absl::StrCat(
      path, ": the account ", heir.name,
      ", which is to write it, cannot write into its folder ", folder,
      "; chown ", heir.name, " ", folder,
      info.st_uid == heir.uid ? absl::StrCat(", chmod u+wx ", folder) : ""));
}

// Who may write there may put a file of his own in the place of ours.
absl::Status CheckFolder(const std::string& path, const Heir& heir) {
  const size_t slash = path.rfind('/');
  const std::string folder = slash == std::string::npos ? "."
                             : slash == 0               ? "/"
                                                        : path.substr(0, slash);
  struct stat info {};
  if (stat(folder.c_str(), &info) != 0) {
    return absl::ErrnoToStatus(errno, absl::StrCat("open ", path));
  }
  if ((info.st_mode & 0022) != 0 && (info.st_mode & S_ISVTX) == 0) {
    return absl::PermissionDeniedError(
        absl::StrCat(path, ": others may write into its folder ", folder,
                     "; chmod go-w ", folder));
  }
  if (info.st_uid != WriterOf(heir) && info.st_uid != 0) {
    return absl::PermissionDeniedError(
        absl::StrCat(path, ": its folder ", folder, " belongs to account ",
                     info.st_uid, "; chown ", NameOf(heir), " ", folder));
  }
  return heir ? CheckHeirMayWrite(*heir, folder, path) : absl::OkStatus();
}

absl::Status CheckFile(const struct stat& info, const std::string& path,
                       const Heir& heir) {
  if (!S_ISREG(info.st_mode)) {
    return absl::InvalidArgumentError(absl::StrCat(path, ": not a file"));
  }
  if ((info.st_mode & 0022) != 0) {
    return absl::PermissionDeniedError(
        absl::StrCat(path, ": others may write it; its mode must be 0600"));
  }
  if (info.st_uid != WriterOf(heir) && info.st_uid != 0) {
    return absl::PermissionDeniedError(
        absl::StrCat(path, ": it belongs to account ", info.st_uid,
                     ", who may write it; chown it to ", NameOf(heir)));
  }
  // What has another name somewhere is not made over to an account.
  if (heir && info.st_uid == 0 && info.st_nlink > 1) {
    return absl::PermissionDeniedError(
        absl::StrCat(path, ": root's file, and it has ", info.st_nlink,
                     " names; remove this one"));
  }
  return absl::OkStatus();
}

absl::Status MakeOver(int fd, const std::string& path, const Heir& heir) {
  if (heir && geteuid() == 0 && fchown(fd, heir->uid, heir->gid) != 0) {
    return absl::ErrnoToStatus(errno,
                               absl::StrCat("chown ", heir->name, " ", path));
  }
  return absl::OkStatus();
}

// The file that has the name, with its lock.
absl::StatusOr<net::Fd> OpenLocked(const std::string& path, const Heir& heir) {
  RETURN_IF_ERROR(CheckFolder(path, heir));
  for (;;) {
    constexpr int kFlags = O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK;
    net::Fd fd(open(path.c_str(), kFlags));
    // In a folder as /tmp is, the kernel lets nobody O_CREAT what is another
    // account's, not even root (fs.protected_regular).
    if (!fd && errno == ENOENT) {
      fd = net::Fd(open(path.c_str(), kFlags | O_CREAT, 0600));
    }
    if (!fd && errno == ELOOP) {
      return absl::PermissionDeniedError(
          absl::StrCat(path, ": a link; name the file itself"));
    }
    if (!fd) return absl::ErrnoToStatus(errno, absl::StrCat("open ", path));
    struct stat opened {};
    if (fstat(fd.get(), &opened) != 0) {
      return absl::ErrnoToStatus(errno, path);
    }
    RETURN_IF_ERROR(CheckFile(opened, path, heir));
    RETURN_IF_ERROR(Lock(fd.get(), path));
    // Another one may have been renamed over it between our open and our lock;
    // a lock on a file without a name keeps nobody out.
    struct stat named {};
    if (lstat(path.c_str(), &named) == 0 && named.st_dev == opened.st_dev &&
        named.st_ino == opened.st_ino) {
      return fd;
    }
  }
}

std::string NewPath(const std::string& path) {
  return absl::StrCat(path, ".new");
}

}  // namespace

// ---- opening ---------------------------------------------------------------

SessionJournal::SessionJournal(std::string path, std::optional<Account> heir,
                               net::Fd file)
    : path_(std::move(path)), heir_(std::move(heir)), file_(std::move(file)) {}

SessionJournal::~SessionJournal() = default;

absl::StatusOr<std::unique_ptr<SessionJournal>> SessionJournal::Open(
    const std::string& path, const std::optional<Account>& heir) {
  ASSIGN_OR_RETURN(net::Fd file, OpenLocked(path, heir));
  std::unique_ptr<SessionJournal> opened(
      new SessionJournal(path, heir, std::move(file)));
  RETURN_IF_ERROR(opened->Read());
  // Only what has been found to be a journal.
  RETURN_IF_ERROR(MakeOver(opened->file_.get(), path, heir));
  // What is left of a rewriting that did not come to its end. Under the lock
  // nobody else can be at one.
  unlink(NewPath(path).c_str());
  return opened;
}

absl::Status SessionJournal::Read() {
  std::string buffer;
  size_t at = 0;  // what of it has been read as records
  bool more = true;
  // Moves on in the file; the buffer never holds more than a chunk and a torn
  // record.
  const auto fill = [&]() -> absl::Status {
    buffer.erase(0, std::exchange(at, 0));
    const size_t have = buffer.size();
    buffer.resize(have + kChunkOctets);
    ssize_t n;
    do {
      n = read(file_.get(), buffer.data() + have, kChunkOctets);
    } while (n < 0 && errno == EINTR);
    buffer.resize(have + static_cast<size_t>(std::max<ssize_t>(0, n)));
    if (n < 0) return absl::ErrnoToStatus(errno, absl::StrCat("read ", path_));
    more = n > 0;
    return absl::OkStatus();
  };
  while (more && buffer.size() < journal::kHeader.size()) {
    RETURN_IF_ERROR(fill());
  }
  const std::string_view header =
      std::string_view(buffer).substr(0, journal::kHeader.size());
  // One that was cut short while it was made is new as well.
  if (header.size() < journal::kHeader.size() &&
      journal::kHeader.starts_with(header)) {
    RETURN_IF_ERROR(CutAt(0));
    if (absl::Status status = WriteAt(file_.get(), journal::kHeader, 0, path_);
        !status.ok()) {
      (void)CutAt(0);
      return status;
    }
    octets_ = journal::kHeader.size();
    return absl::OkStatus();
  }
  if (!header.starts_with(journal::kHeader.substr(0, 14))) {
    return absl::FailedPreconditionError(
        absl::StrCat(path_, ": not a journal of sessions", kMends));
  }
  if (header != journal::kHeader) {
    return absl::FailedPreconditionError(
        absl::StrCat(path_, ": a journal of version ",
                     static_cast<uint8_t>(header[14]) * 256 +
                         static_cast<uint8_t>(header[15]),
                     ", this program knows ", journal::kVersion, kMends));
  }
  at = octets_ = journal::kHeader.size();

  Record record;
  const char* wrong = nullptr;
  while (wrong == nullptr) {
    const std::string_view rest = std::string_view(buffer).substr(at);
    if (rest.empty() && !more) break;
    const journal::Got got = journal::Get(rest, &record);
    if (got.octets != 0) {
      (void)Take(record, rest.substr(0, got.octets));
      at += got.octets;
      octets_ += got.octets;
      ++records_;
    } else if (got.torn && more) {
      RETURN_IF_ERROR(fill());
    } else {
      wrong = got.wrong;
    }
  }
  if (wrong == nullptr) return absl::OkStatus();
  struct stat info {};
  if (fstat(file_.get(), &info) != 0) {
    return absl::ErrnoToStatus(errno, path_);
  }
  RETURN_IF_ERROR(CutAt(octets_));
  cut_ = absl::StrCat(
      path_, ": ", records_, " records are good, the next one, at octet ",
      octets_, ", is not (", wrong, "); ",
      static_cast<uint64_t>(info.st_size) - octets_, " octets were cut off");
  return absl::OkStatus();
}

absl::Status SessionJournal::CutAt(uint64_t octets) {
  if (ftruncate(file_.get(), static_cast<off_t>(octets)) != 0) {
    return absl::ErrnoToStatus(errno, absl::StrCat("cut ", path_));
  }
  return absl::OkStatus();
}

SessionJournal::Played SessionJournal::Load(Restore restore) {
  Played played;
  Record record;
  for (auto next = calls_.begin(); next != calls_.end();) {
    const Call& call = *next++;  // which may go
    // It was good when it was taken.
    CHECK(journal::Get(call.octets, &record).octets == call.octets.size());
    ++played.calls;
    played.records += 1 + call.believed.size();
    if (!restore(record.call, call.believed)) OnGone(record.call.call_id);
  }
  return played;
}

// ---- what is told ----------------------------------------------------------

void SessionJournal::OnCall(const CallImage& image) {
  scratch_.clear();
  if (journal::PutCall(image, &scratch_)) {
    if (TakeCall(image, scratch_)) Write(scratch_);
  } else if (Find(image.call_id) != nullptr) {
    // What it was before must not come back in its place.
    ++calls_given_up_;
    OnGone(image.call_id);
  } else {
    ++left_out_;
  }
}

void SessionJournal::OnGone(std::string_view call_id) {
  scratch_.clear();
  if (!journal::PutGone(call_id, &scratch_)) {
    ++left_out_;
  } else if (TakeGone(call_id)) {
    Write(scratch_);
  }
}

void SessionJournal::OnConfirmed(std::string_view call_id,
                                 const Endpoint& local,
                                 const Endpoint& source) {
  const Believed believed{.local = local, .source = source};
  scratch_.clear();
  if (!journal::PutConfirmed(call_id, believed, &scratch_)) {
    ++left_out_;
  } else if (TakeBelieved(call_id, believed)) {
    Write(scratch_);
  }
}

void SessionJournal::Write(std::string_view octets) {
  if (missed_) return;
  if (pending_.size() + octets.size() > kPendingOctetsMax) {
    pending_ = std::string();
    pending_records_ = 0;
    missed_ = true;
    return;
  }
  pending_ += octets;
  ++pending_records_;
}

bool SessionJournal::Take(const Record& record, std::string_view octets) {
  switch (record.type) {
    case RecordType::kCall: return TakeCall(record.call, octets);
    case RecordType::kGone: return TakeGone(record.call.call_id);
    case RecordType::kConfirmed:
      return TakeBelieved(record.call.call_id, record.believed);
  }
  return false;
}

bool SessionJournal::TakeCall(const CallImage& image, std::string_view octets) {
  Call* call = Find(image.call_id);
  if (call == nullptr) {
    call = &calls_.emplace_back();
    call->call_id = image.call_id;
    index_.emplace(call->call_id, std::prev(calls_.end()));
  } else if (call->octets == octets) {
    return false;
  }
  live_octets_ -= call->Octets();
  call->octets = octets;
  // Who was believed on a port is nothing to whoever has it next.
  std::erase_if(call->believed,
                [&](const Believed& b) { return !image.Has(b.local); });
  live_octets_ += call->Octets();
  return true;
}

bool SessionJournal::TakeGone(std::string_view call_id) {
  const auto found = index_.find(call_id);
  if (found == index_.end()) return false;
  const Calls::iterator call = found->second;
  index_.erase(found);
  live_octets_ -= call->Octets();
  calls_.erase(call);
  return true;
}

bool SessionJournal::TakeBelieved(std::string_view call_id,
                                  const Believed& believed) {
  Call* call = Find(call_id);
  if (call == nullptr) return false;
  std::vector<Believed>& all = call->believed;
  const bool none = believed.source.is_none();
  const auto known = std::find_if(
      all.begin(), all.end(),
      [&](const Believed& b) { return b.local == believed.local; });
  if (known == all.end() ? none : *known == believed) return false;
  live_octets_ -= call->Octets();
  if (known != all.end() && !none) {
    *known = believed;
  } else if (known != all.end()) {
    all.erase(known);
  } else {
    if (all.size() == kSourcesMax) all.erase(all.begin());
    all.push_back(believed);
  }
  live_octets_ += call->Octets();
  return true;
}

size_t SessionJournal::Call::Octets() const {
  return octets.size() +
         believed.size() * journal::ConfirmedOctets(call_id.size());
}

SessionJournal::Call* SessionJournal::Find(std::string_view call_id) {
  const auto found = index_.find(call_id);
  return found == index_.end() ? nullptr : &*found->second;
}

// ---- writing ---------------------------------------------------------------

bool SessionJournal::IsWasteful() const {
  const uint64_t live = journal::kHeader.size() + live_octets_;
  return octets_ > kRewriteOctets && octets_ > 2 * live;
}

bool SessionJournal::Trying::IsDue() {
  if (pause_ == 0) return true;
  --pause_;
  return false;
}

absl::Status SessionJournal::Trying::Take(absl::Status status) {
  if (status.ok()) {
    *this = Trying();
    return status;
  }
  pause_ = next_pause_;
  next_pause_ = std::min(2 * next_pause_, kPauseMax);
  return std::exchange(failing_, true) ? absl::OkStatus() : status;
}

absl::Status SessionJournal::Flush() {
  absl::Status said;
  if (!missed_ && !pending_.empty() && appending_.IsDue()) {
    const absl::Status status = Append();
    failed_ = !status.ok();
    if (failed_) ++errors_;
    said = appending_.Take(status);
  }
  // What makes the file shorter must not keep anything from being added to it.
  if ((missed_ || (!failed_ && IsWasteful())) && rewriting_.IsDue()) {
    const absl::Status status = Rewrite();
    if (status.ok()) {
      failed_ = false;
      (void)appending_.Take(status);
    } else {
      failed_ = missed_;
      ++errors_;
    }
    said.Update(rewriting_.Take(status));
  }
  return said;
}

absl::Status SessionJournal::Append() {
  absl::Status status = WriteAt(file_.get(), pending_, octets_, path_);
  if (!status.ok()) {
    // Where even this fails, a torn record lies behind the whole ones until the
    // next try writes over it; who reads it stops there.
    (void)CutAt(octets_);
    return status;
  }
  octets_ += pending_.size();
  records_ += std::exchange(pending_records_, 0);
  pending_.clear();
  return absl::OkStatus();
}

absl::Status SessionJournal::WriteLive(int fd, uint64_t* octets,
                                       uint64_t* records) {
  std::string chunk;
  chunk.reserve(kChunkOctets + 2 * kCallOctetsMax);
  chunk = journal::kHeader;
  const auto write = [&]() -> absl::Status {
    RETURN_IF_ERROR(WriteAt(fd, chunk, *octets, NewPath(path_)));
    *octets += chunk.size();
    chunk.clear();
    return absl::OkStatus();
  };
  for (const Call& call : calls_) {
    chunk += call.octets;
    for (const Believed& believed : call.believed) {
      CHECK(journal::PutConfirmed(call.call_id, believed, &chunk));
    }
    *records += 1 + call.believed.size();
    if (chunk.size() >= kChunkOctets) RETURN_IF_ERROR(write());
  }
  return write();
}

// The new file is locked before it has the name, so that at no moment somebody
// finds one there that is nobody's.
absl::Status SessionJournal::Rewrite() {
  const std::string path = NewPath(path_);
  unlink(path.c_str());
  net::Fd file(open(path.c_str(),
                    O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!file && errno == EEXIST) {
    return absl::AlreadyExistsError(absl::StrCat(
        path, ": a folder is in the way of the new file; rm -r ", path));
  }
  if (!file) return absl::ErrnoToStatus(errno, absl::StrCat("open ", path));
  uint64_t octets = 0, records = 0;
  absl::Status status = Lock(file.get(), path);
  // What the calls of before left is rewritten while we are root still.
  if (status.ok()) status = MakeOver(file.get(), path, heir_);
  if (status.ok()) status = WriteLive(file.get(), &octets, &records);
  if (status.ok() && rename(path.c_str(), path_.c_str()) != 0) {
    status = absl::ErrnoToStatus(errno,
                                 absl::StrCat("rename ", path, " to ", path_));
  }
  if (!status.ok()) {
    unlink(path.c_str());
    return status;
  }
  file_ = std::move(file);
  octets_ = octets;
  records_ = records;
  pending_.clear();
  pending_records_ = 0;
  missed_ = false;
  ++compactions_;
  return absl::OkStatus();
}

SessionJournal::Stats SessionJournal::stats() const {
  return {.records = records_,
          .octets = octets_,
          .live_octets = journal::kHeader.size() + live_octets_,
          .calls = calls_.size(),
          .compactions = compactions_,
          .errors = errors_,
          .left_out = left_out_,
          .calls_given_up = calls_given_up_};
}

}  // namespace sluice::control
