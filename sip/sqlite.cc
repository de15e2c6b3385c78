#include "sip/sqlite.h"

#include <fcntl.h>
#include <sqlite3.h>

#include <cerrno>
#include <cstring>

#include "base/check.h"
#include "base/net/fd.h"
#include "base/status_macros.h"
#include "base/text.h"

namespace sluice::sip {
namespace {

absl::Status StatusOf(sqlite3* handle, int code, std::string_view what) {
  const std::string message =
      Cat(what, ": ",
          handle != nullptr ? sqlite3_errmsg(handle) : sqlite3_errstr(code));
  switch (code & 0xff) {
    case SQLITE_BUSY:
    case SQLITE_LOCKED: return absl::UnavailableError(message);
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB: return absl::DataLossError(message);
    case SQLITE_FULL: return absl::ResourceExhaustedError(message);
    default: return absl::InternalError(message);
  }
}

}  // namespace

void Database::Closer::operator()(sqlite3* handle) const {
  sqlite3_close_v2(handle);
}

absl::StatusOr<Database> Database::Open(const std::string& path, Mode mode,
                                        int busy_ms) {
  Database database;
  database.path_ = path;
  int flags = SQLITE_OPEN_NOMUTEX;
  if (mode == Mode::kRead) {
    flags |= SQLITE_OPEN_READONLY;
  } else {
    // SQLite would make it readable by all; its journals take the mode of the
    // database.
    const net::Fd made(open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
    if (!made) {
      return absl::ErrnoToStatus(errno, path);
    }
    flags |= SQLITE_OPEN_READWRITE;
  }
  sqlite3* handle = nullptr;
  const int code = sqlite3_open_v2(path.c_str(), &handle, flags, nullptr);
  database.handle_.reset(handle);
  if (code != SQLITE_OK) return StatusOf(handle, code, path);
  sqlite3_extended_result_codes(handle, 1);
  sqlite3_busy_timeout(handle, busy_ms);
  return database;
}

absl::Status Database::Error(std::string_view doing) const {
  return StatusOf(handle_.get(), sqlite3_extended_errcode(handle_.get()),
                  Cat(path_, ": ", doing));
}

absl::Status Database::Execute(const char* sql) {
  if (sqlite3_exec(handle_.get(), sql, nullptr, nullptr, nullptr) !=
      SQLITE_OK) {
    return Error(sql);
  }
  return absl::OkStatus();
}

absl::StatusOr<int64_t> Database::Number(const char* sql) {
  ASSIGN_OR_RETURN(Statement statement, Statement::Prepare(*this, sql));
  ASSIGN_OR_RETURN(const bool row, statement.Step());
  if (!row) return absl::NotFoundError(Cat(path_, ": no row: ", sql));
  return statement.Integer(0);
}

void Database::Rollback() {
  // An error may have ended it already, and so may this.
  if (sqlite3_get_autocommit(handle_.get()) == 0) {
    sqlite3_exec(handle_.get(), "ROLLBACK", nullptr, nullptr, nullptr);
  }
}

void Statement::Closer::operator()(sqlite3_stmt* statement) const {
  sqlite3_finalize(statement);
}

absl::StatusOr<Statement> Statement::Prepare(const Database& database,
                                             const char* sql) {
  sqlite3_stmt* prepared = nullptr;
  if (sqlite3_prepare_v3(database.handle(), sql, -1, SQLITE_PREPARE_PERSISTENT,
                         &prepared, nullptr) != SQLITE_OK) {
    return database.Error(sql);
  }
  Statement statement;
  statement.statement_.reset(prepared);
  return statement;
}

void Statement::Bind(int parameter, std::string_view text) {
  // nullptr would be NULL, an empty text is none.
  CHECK(sqlite3_bind_text64(statement_.get(), parameter,
                            text.data() != nullptr ? text.data() : "",
                            text.size(), SQLITE_STATIC,
                            SQLITE_UTF8) == SQLITE_OK);
}

void Statement::Bind(int parameter, int64_t number) {
  CHECK(sqlite3_bind_int64(statement_.get(), parameter, number) == SQLITE_OK);
}

absl::StatusOr<bool> Statement::Step() {
  const int code = sqlite3_step(statement_.get());
  if (code == SQLITE_ROW) return true;
  if (code == SQLITE_DONE) return false;
  return StatusOf(sqlite3_db_handle(statement_.get()), code,
                  sqlite3_sql(statement_.get()));
}

absl::Status Statement::Run() {
  const absl::Status status = Step().status();
  Reset();
  return status;
}

std::string_view Statement::Text(int column) const {
  const unsigned char* text = sqlite3_column_text(statement_.get(), column);
  if (text == nullptr) return {};
  return {reinterpret_cast<const char*>(text),
          static_cast<size_t>(sqlite3_column_bytes(statement_.get(), column))};
}

int64_t Statement::Integer(int column) const {
  return sqlite3_column_int64(statement_.get(), column);
}

void Statement::Reset() { sqlite3_reset(statement_.get()); }

}  // namespace sluice::sip
