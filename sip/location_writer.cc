#include "sip/location_writer.h"

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <iterator>
#include <optional>

#include "base/check.h"
#include "base/log.h"
#include "base/status_macros.h"
#include "base/text.h"

namespace sluice::sip {
namespace {

constexpr int64_t kSchema = 1;
// For another program that reads the file, a backup for instance.
constexpr int kBusyMs = 5'000;
// How long after the loop had no room for a task it is tried again: it is
// stuck, and there is no hurry.
constexpr std::chrono::milliseconds kPostAgain{5};

constexpr char kCreate[] =
    "CREATE TABLE IF NOT EXISTS bindings("
    "aor TEXT NOT NULL, n INTEGER NOT NULL, contact TEXT NOT NULL,"
    "path TEXT NOT NULL, call_id TEXT NOT NULL, instance TEXT NOT NULL,"
    "reg_id TEXT NOT NULL, user_agent TEXT NOT NULL, leg TEXT NOT NULL,"
    "transport TEXT NOT NULL, received TEXT NOT NULL, cseq INTEGER NOT NULL,"
    "q INTEGER NOT NULL, expires_at INTEGER NOT NULL,"
    "changed_at INTEGER NOT NULL, PRIMARY KEY(aor, n)) WITHOUT ROWID;"
    "PRAGMA user_version = 1";
constexpr char kSelect[] =
    "SELECT aor, contact, path, call_id, instance, reg_id, user_agent, leg,"
    "transport, received, cseq, q, expires_at, changed_at FROM bindings "
    "ORDER BY aor, n";

// Somebody may have edited the file: what is read is not believed.
std::optional<Binding> BindingOf(const Statement& row) {
  Binding b;
  b.contact = row.Text(1);
  b.path = row.Text(2);
  b.call_id = row.Text(3);
  b.instance = row.Text(4);
  b.reg_id = row.Text(5);
  b.user_agent = row.Text(6);
  b.leg = row.Text(7);
  const auto transport = TransportOf(row.Text(8));
  const auto received = Endpoint::Parse(row.Text(9));
  const int64_t cseq = row.Integer(10);
  const int64_t q = row.Integer(11);
  b.expires_at = row.Integer(12);
  b.changed_at = row.Integer(13);
  if (b.contact.empty() || !transport || !received || cseq < 0 ||
      cseq > UINT32_MAX || q < 0 || q > 1000) {
    return std::nullopt;
  }
  b.received = {.transport = *transport, .address = *received};
  b.cseq = static_cast<uint32_t>(cseq);
  b.q = static_cast<uint16_t>(q);
  return b;
}

}  // namespace

absl::StatusOr<std::unique_ptr<LocationWriter>> LocationWriter::Open(
    net::EventLoop& loop, const std::string& path) {
  std::unique_ptr<LocationWriter> writer(new LocationWriter(loop));
  ASSIGN_OR_RETURN(writer->database_,
                   Database::Open(path, Database::Mode::kReadWrite, kBusyMs));
  RETURN_IF_ERROR(writer->Prepare());
  return writer;
}

absl::Status LocationWriter::Prepare() {
  // WAL: one fsync a transaction, and readers never wait. FULL: that fsync is
  // done, or a power cut would take back what was acknowledged.
  RETURN_IF_ERROR(database_.Execute(
      "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL"));
  ASSIGN_OR_RETURN(const int64_t version,
                   database_.Number("PRAGMA user_version"));
  if (version > kSchema) {
    return absl::FailedPreconditionError(
        Cat(database_.path(), ": of version ", version, ", we know ", kSchema));
  }
  if (version == 0) RETURN_IF_ERROR(database_.Execute(kCreate));
  ASSIGN_OR_RETURN(delete_, Statement::Prepare(database_,
                                               "DELETE FROM bindings WHERE "
                                               "aor = ?1"));
  ASSIGN_OR_RETURN(
      insert_, Statement::Prepare(database_,
                                  "INSERT INTO bindings VALUES(?1,?2,?3,?4,?5,"
                                  "?6,?7,?8,?9,?10,?11,?12,?13,?14,?15)"));
  return absl::OkStatus();
}

LocationWriter::~LocationWriter() {
  if (!thread_.joinable()) return;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    stop_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

absl::StatusOr<size_t> LocationWriter::Load(
    int64_t now, const std::function<void(std::string_view, Binding)>& visit) {
  CHECK(!thread_.joinable());
  ASSIGN_OR_RETURN(
      Statement expired,
      Statement::Prepare(database_,
                         "DELETE FROM bindings WHERE expires_at <= ?1"));
  expired.Bind(1, now);
  RETURN_IF_ERROR(expired.Run());
  ASSIGN_OR_RETURN(Statement rows, Statement::Prepare(database_, kSelect));
  size_t senseless = 0;
  while (true) {
    ASSIGN_OR_RETURN(const bool row, rows.Step());
    if (!row) return senseless;
    const std::string_view aor = rows.Text(0);
    auto binding = BindingOf(rows);
    if (aor.empty() || !binding) {
      ++senseless;
    } else {
      visit(aor, *std::move(binding));
    }
  }
}

void LocationWriter::Start() {
  CHECK(!thread_.joinable());
  thread_ = std::thread([this] { Run(); });
}

bool LocationWriter::Push(Write write) {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (pending_.size() >= LocationStore::kWritesMax) return false;
    pending_.push_back(std::move(write));
  }
  changed_.notify_all();
  return true;
}

absl::Status LocationWriter::Flush() {
  std::unique_lock<std::mutex> lock(mutex_);
  changed_.wait(lock, [this] { return pending_.empty() && !writing_; });
  return std::exchange(failure_, absl::OkStatus());
}

void LocationWriter::Run() {
  bool call_owed = false;
  std::unique_lock<std::mutex> lock(mutex_);
  const auto awake = [this] { return stop_ || !pending_.empty(); };
  while (true) {
    if (call_owed) {
      changed_.wait_for(lock, kPostAgain, awake);
    } else {
      changed_.wait(lock, awake);
    }
    if (pending_.empty() && stop_) return;
    std::vector<Write> batch = TakeBatch();
    writing_ = true;
    lock.unlock();
    absl::Status status;
    if (!batch.empty()) {
      status = Commit(batch);
      (status.ok() ? transactions_ : failures_).fetch_add(1);
      if (!status.ok()) {
        log::Line("registrations were not written")
            .With("writes", batch.size())
            .With("why", std::string(status.message()))
            .WarnLimited();
      }
      PutInMailbox(std::move(batch), status);
    }
    call_owed = !CallMailbox();
    lock.lock();
    writing_ = false;
    if (failure_.ok()) failure_ = status;
    changed_.notify_all();
  }
}

std::vector<LocationWriter::Write> LocationWriter::TakeBatch() {
  const auto end = pending_.begin() + static_cast<std::ptrdiff_t>(
                                          std::min(pending_.size(), kBatchMax));
  std::vector<Write> batch(std::make_move_iterator(pending_.begin()),
                           std::make_move_iterator(end));
  pending_.erase(pending_.begin(), end);
  return batch;
}

absl::Status LocationWriter::Commit(const std::vector<Write>& batch) {
  // At once for writing: an upgrade in the middle could not wait.
  absl::Status status = database_.Execute("BEGIN IMMEDIATE");
  for (const Write& write : batch) {
    if (!status.ok()) break;
    status = Put(write);
  }
  if (status.ok()) status = database_.Execute("COMMIT");
  if (!status.ok()) database_.Rollback();
  return status;
}

absl::Status LocationWriter::Put(const Write& write) {
  delete_.Bind(1, write.aor);
  RETURN_IF_ERROR(delete_.Run());
  if (write.bindings == nullptr) return absl::OkStatus();
  int64_t n = 0;
  for (const Binding& b : *write.bindings) {
    const std::string received = b.received.address.ToString();
    int at = 0;
    insert_.Bind(++at, write.aor);
    insert_.Bind(++at, n++);
    for (const std::string_view text :
         {std::string_view(b.contact), std::string_view(b.path),
          std::string_view(b.call_id), std::string_view(b.instance),
          std::string_view(b.reg_id), std::string_view(b.user_agent),
          std::string_view(b.leg), NameOf(b.received.transport),
          std::string_view(received)}) {
      insert_.Bind(++at, text);
    }
    for (const int64_t number :
         {int64_t{b.cseq}, int64_t{b.q}, b.expires_at, b.changed_at}) {
      insert_.Bind(++at, number);
    }
    RETURN_IF_ERROR(insert_.Run());
  }
  return absl::OkStatus();
}

void LocationWriter::PutInMailbox(std::vector<Write> batch,
                                  const absl::Status& status) {
  const std::lock_guard<std::mutex> lock(mailbox_->mutex);
  for (Write& write : batch) {
    if (write.durable == nullptr) continue;
    mailbox_->done.emplace_back(std::move(write.durable), status);
  }
}

bool LocationWriter::CallMailbox() {
  {
    const std::lock_guard<std::mutex> lock(mailbox_->mutex);
    if (mailbox_->done.empty() || mailbox_->posted) return true;
    mailbox_->posted = true;
  }
  const bool posted = loop_.Post([weak = std::weak_ptr<Mailbox>(mailbox_)] {
    const std::shared_ptr<Mailbox> mailbox = weak.lock();
    if (mailbox == nullptr) return;
    decltype(mailbox->done) done;
    {
      const std::lock_guard<std::mutex> lock(mailbox->mutex);
      done.swap(mailbox->done);
      mailbox->posted = false;
    }
    for (auto& [durable, status] : done) durable(status);
  });
  if (!posted) {
    const std::lock_guard<std::mutex> lock(mailbox_->mutex);
    mailbox_->posted = false;
  }
  return posted;
}

}  // namespace sluice::sip
