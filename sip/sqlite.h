#ifndef SLUICE_SIP_SQLITE_H_
#define SLUICE_SIP_SQLITE_H_

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

struct sqlite3;
struct sqlite3_stmt;

namespace sluice::sip {

// A file that holds data of one kind, in SQLite; RAII and absl::Status around
// its handles. Errors: Unavailable (locked by another, for now), DataLoss (no
// database, or a damaged one), ResourceExhausted (disk full), Internal.
//
// Thread: one at a time.
class Database {
 public:
  enum class Mode { kRead, kReadWrite };

  // kReadWrite makes the file, for its owner alone, when it is missing. Both
  // wait `busy_ms` for another process's lock, then fail.
  static absl::StatusOr<Database> Open(const std::string& path, Mode mode,
                                       int busy_ms);
  // One or more statements without results, or whose results nobody wants.
  absl::Status Execute(const char* sql);
  // The first column of the first row.
  absl::StatusOr<int64_t> Number(const char* sql);
  // Rolls back when a transaction is open.
  void Rollback();
  sqlite3* handle() const { return handle_.get(); }
  const std::string& path() const { return path_; }
  // What the library says of the last call.
  absl::Status Error(std::string_view doing) const;

 private:
  struct Closer {
    void operator()(sqlite3* handle) const;
  };
  std::unique_ptr<sqlite3, Closer> handle_;
  std::string path_;
};

// A prepared statement. Parameters count from 1, columns from 0. The database
// outlives it.
class Statement {
 public:
  static absl::StatusOr<Statement> Prepare(const Database& database,
                                           const char* sql);
  // The octets must stay until the statement is reset.
  void Bind(int parameter, std::string_view text);
  void Bind(int parameter, int64_t number);
  // True: there is a row. False: there is none left.
  absl::StatusOr<bool> Step();
  // For a statement without rows: Step and Reset.
  absl::Status Run();
  // Until the next Step or Reset.
  std::string_view Text(int column) const;
  int64_t Integer(int column) const;
  void Reset();

 private:
  struct Closer {
    void operator()(sqlite3_stmt* statement) const;
  };
  std::unique_ptr<sqlite3_stmt, Closer> statement_;
};

}  // namespace sluice::sip

#endif  // SLUICE_SIP_SQLITE_H_
