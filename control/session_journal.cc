#include "control/session_journal.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <iterator>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "base/status_macros.h"
#include "control/session_journal_prune.h"

namespace sluice::control {
namespace {

using journal::Record;
using journal::RecordType;

// What is read or written at once, many records.
constexpr size_t kChunkOctets = 256 * 1024;
static_assert(kChunkOctets > 2 * journal::kRecordOctetsMax);

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

absl::Status CheckFile(const struct stat& info, const std::string& path) {
  if (!S_ISREG(info.st_mode)) {
    return absl::InvalidArgumentError(absl::StrCat(path, ": not a file"));
  }
  if ((info.st_mode & 0022) != 0) {
    return absl::PermissionDeniedError(
        absl::StrCat(path, ": others may write it; its mode must be 0600"));
  }
  if (info.st_uid != geteuid() && info.st_uid != 0) {
    return absl::PermissionDeniedError(
        absl::StrCat(path, ": it belongs to account ", info.st_uid,
                     ", who may write it; chown it to ", geteuid()));
  }
  return absl::OkStatus();
}

// The file that has the name, with its lock.
absl::StatusOr<net::Fd> OpenLocked(const std::string& path) {
  for (;;) {
    net::Fd fd(open(path.c_str(),
                    O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK,
                    0600));
    if (!fd && errno == ELOOP) {
      return absl::PermissionDeniedError(
          absl::StrCat(path, ": a link; name the file itself"));
    }
    if (!fd) return absl::ErrnoToStatus(errno, absl::StrCat("open ", path));
    struct stat opened {};
    if (fstat(fd.get(), &opened) != 0) {
      return absl::ErrnoToStatus(errno, path);
    }
    RETURN_IF_ERROR(CheckFile(opened, path));
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

void Tell(const Record& record, SessionObserver& to) {
  switch (record.type) {
    case RecordType::kAllocated:
      to.OnAllocated(record.key, record.side, record.local, record.media,
                     record.bases);
      return;
    case RecordType::kActivated: to.OnActivated(record.key); return;
    case RecordType::kClosed: to.OnClosed(record.key); return;
    case RecordType::kGone: to.OnGone(record.key.call_id); return;
    case RecordType::kConfirmed:
      to.OnConfirmed(record.key.call_id, record.socket, record.source);
      return;
  }
}

}  // namespace

// ---- opening ---------------------------------------------------------------

SessionJournal::SessionJournal(std::string path, net::Fd file)
    : path_(std::move(path)), file_(std::move(file)) {
  scratch_.reserve(journal::kRecordOctetsMax);
}

SessionJournal::~SessionJournal() = default;

absl::StatusOr<std::unique_ptr<SessionJournal>> SessionJournal::Open(
    const std::string& path) {
  ASSIGN_OR_RETURN(net::Fd file, OpenLocked(path));
  std::unique_ptr<SessionJournal> opened(
      new SessionJournal(path, std::move(file)));
  RETURN_IF_ERROR(opened->Read());
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

SessionJournal::Played SessionJournal::Load(SessionObserver& to) {
  CHECK(!loading_);
  loading_ = true;
  Played played;
  Record record;
  for (const Call& call : calls_) {
    if (call.given_up) continue;
    ++played.calls;
    played.records += call.sources.size() + call.records;
    for (const Source& source : call.sources) {
      to.OnConfirmed(call.call_id, source.socket, source.source);
    }
    ForEachRecord(
        call.octets, &record,
        [&](const Record& told, std::string_view) { Tell(told, to); });
  }
  loading_ = false;
  for (const std::string& call_id : std::exchange(gone_, {})) OnGone(call_id);
  return played;
}

// ---- what is told ----------------------------------------------------------

void SessionJournal::OnAllocated(const SessionKey& key, Side side,
                                 const IpAddress& local,
                                 absl::Span<const Media> media,
                                 absl::Span<const uint16_t> bases) {
  if (loading_) return;
  scratch_.clear();
  if (!journal::PutAllocated(key, side, local, media, bases, &scratch_)) {
    ++left_out_;
  } else if (TakeRecord(RecordType::kAllocated, key.call_id, scratch_)) {
    Write(scratch_);
  }
}

void SessionJournal::OnActivated(const SessionKey& key) {
  if (loading_) return;
  scratch_.clear();
  if (!journal::PutActivated(key, &scratch_)) {
    ++left_out_;
  } else if (TakeRecord(RecordType::kActivated, key.call_id, scratch_)) {
    Write(scratch_);
  }
}

void SessionJournal::OnClosed(const SessionKey& key) {
  if (loading_) return;
  scratch_.clear();
  if (!journal::PutClosed(key, &scratch_)) {
    ++left_out_;
  } else if (TakeRecord(RecordType::kClosed, key.call_id, scratch_)) {
    Write(scratch_);
  }
}

void SessionJournal::OnGone(std::string_view call_id) {
  if (loading_) {
    gone_.emplace_back(call_id);
    return;
  }
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
  if (loading_) return;
  scratch_.clear();
  if (!journal::PutConfirmed(call_id, local, source, &scratch_)) {
    ++left_out_;
  } else if (TakeSource(call_id, {.socket = local, .source = source})) {
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
    case RecordType::kAllocated:
    case RecordType::kActivated:
    case RecordType::kClosed:
      return TakeRecord(record.type, record.key.call_id, octets);
    case RecordType::kGone: return TakeGone(record.key.call_id);
    case RecordType::kConfirmed:
      return TakeSource(record.key.call_id,
                        {.socket = record.socket, .source = record.source});
  }
  return false;
}

bool SessionJournal::TakeRecord(RecordType type, std::string_view call_id,
                                std::string_view octets) {
  Call* call = Find(call_id);
  if (call == nullptr || call->octets.empty()) {
    // Only an offer or an answer makes a call: what is told of one that is
    // gone must not bring it back.
    if (type != RecordType::kAllocated) return false;
    call = &FindOrMake(call_id);
  }
  if (call->given_up) return false;
  // SIP over UDP repeats itself, and so do the verbs. Only an answer that is
  // joined a second time is news: it was acknowledged.
  const bool same = std::string_view(call->octets).substr(call->last) == octets;
  call->repeats = same ? call->repeats + 1 : 0;
  if (same && (type != RecordType::kActivated || call->repeats > 1)) {
    return false;
  }
  call->last = call->octets.size();
  call->octets += octets;
  ++call->records;
  live_octets_ += octets.size();
  if (call->octets.size() > call->prune_at) Prune(*call);
  if (call->octets.size() > kCallOctetsMax) {
    GiveUp(*call);
    // Who reads the file is told in its place that the call is gone.
    scratch_.clear();
    CHECK(journal::PutGone(call->call_id, &scratch_));
  }
  return true;
}

bool SessionJournal::TakeGone(std::string_view call_id) {
  const Call* call = Find(call_id);
  if (call == nullptr) return false;
  const bool told = !call->given_up;
  Forget(call_id);
  return told;
}

bool SessionJournal::TakeSource(std::string_view call_id,
                                const Source& source) {
  const bool none = source.source.is_none();
  Call* call = none ? Find(call_id) : &FindOrMake(call_id);
  if (call == nullptr || call->given_up) return false;
  std::vector<Source>& sources = call->sources;
  const auto known =
      std::find_if(sources.begin(), sources.end(),
                   [&](const Source& s) { return s.socket == source.socket; });
  if (known == sources.end()) {
    if (none) return false;
    live_octets_ -= call->Octets();
    if (sources.size() == kSourcesMax) sources.erase(sources.begin());
    sources.push_back(source);
    live_octets_ += call->Octets();
    return true;
  }
  if (!none) {
    if (known->source == source.source) return false;
    known->source = source.source;
    return true;
  }
  live_octets_ -= call->Octets();
  sources.erase(known);
  live_octets_ += call->Octets();
  if (sources.empty() && call->octets.empty()) Forget(call_id);
  return true;
}

size_t SessionJournal::Call::Octets() const {
  return octets.size() +
         sources.size() * journal::ConfirmedOctets(call_id.size());
}

SessionJournal::Call* SessionJournal::Find(std::string_view call_id) {
  const auto found = index_.find(call_id);
  return found == index_.end() ? nullptr : &*found->second;
}

SessionJournal::Call& SessionJournal::FindOrMake(std::string_view call_id) {
  if (Call* call = Find(call_id)) return *call;
  Call& call = calls_.emplace_back();
  call.call_id = call_id;
  index_.emplace(call.call_id, std::prev(calls_.end()));
  return call;
}

// `call_id` may lie in the call.
void SessionJournal::Forget(std::string_view call_id) {
  const auto found = index_.find(call_id);
  const Calls::iterator call = found->second;
  index_.erase(found);
  live_octets_ -= call->Octets();
  if (call->given_up) --given_up_;
  calls_.erase(call);
}

void SessionJournal::GiveUp(Call& call) {
  live_octets_ -= call.Octets();
  call.octets = std::string();
  call.sources = {};
  call.records = 0;
  call.last = 0;
  call.given_up = true;
  ++given_up_;
  ++calls_given_up_;
}

void SessionJournal::Prune(Call& call) {
  journal::Live live = journal::Prune(call.octets);
  live_octets_ -= call.octets.size() - live.octets.size();
  call.octets = std::move(live.octets);
  call.records = live.records;
  call.last = live.last;
  call.prune_at = std::max(kPruneOctets, 2 * call.octets.size());
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
  chunk.reserve(kChunkOctets + kCallOctetsMax);
  chunk = journal::kHeader;
  const auto write = [&]() -> absl::Status {
    RETURN_IF_ERROR(WriteAt(fd, chunk, *octets, NewPath(path_)));
    *octets += chunk.size();
    chunk.clear();
    return absl::OkStatus();
  };
  for (const Call& call : calls_) {
    for (const Source& source : call.sources) {
      CHECK(journal::PutConfirmed(call.call_id, source.socket, source.source,
                                  &chunk));
    }
    chunk += call.octets;
    *records += call.sources.size() + call.records;
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
  if (!file) return absl::ErrnoToStatus(errno, absl::StrCat("open ", path));
  uint64_t octets = 0, records = 0;
  absl::Status status = Lock(file.get(), path);
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
          .calls = calls_.size() - given_up_,
          .compactions = compactions_,
          .errors = errors_,
          .left_out = left_out_,
          .calls_given_up = calls_given_up_};
}

}  // namespace sluice::control
