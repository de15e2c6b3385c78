#ifndef SLUICE_SIP_LOCATION_H_
#define SLUICE_SIP_LOCATION_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/net/event_loop.h"
#include "base/types.h"
#include "sip/transport.h"

namespace sluice::sip {

// A contact of an address-of-record (RFC 3261 10).
struct Binding {
  std::string contact;  // the URI as it was registered
  std::string path;     // Path values, comma-separated (RFC 3327); "" none
  std::string call_id;
  std::string instance;  // +sip.instance; "" none (RFC 5626)
  std::string reg_id;    // reg-id
  std::string user_agent;
  std::string leg;  // the name of the leg on which it came
  Peer received{};  // where it came from (NAT)
  uint32_t cseq = 0;
  uint16_t q = 1000;       // thousandths
  int64_t expires_at = 0;  // seconds since 1970: survives a restart
  int64_t changed_at = 0;  // the same clock
};

// Best q first, then the newest.
void SortBindings(std::vector<Binding>* bindings);

// Where users are: bindings in memory, written to SQLite (WAL, synchronous
// FULL) by a thread of its own so that the loop never waits for a disk.
//
//   Store(aor) -> memory at once; to the writer; `durable` is called on the
//   loop when the transaction that holds it is committed (fsync): only then may
//   the 200 go out. Transactions are batched: what comes while one is written
//   is the next one. There is no interval to wait for.
//
// When a transaction fails, `durable` is told so, and for each of its writes:
// the answer is no 200. Memory then knows what the disk does not, until the
// phone tries again or the program ends; what was acknowledged before is still
// on the disk.
//
// Thread: the loop's; the writer is its own.
class LocationStore {
 public:
  struct Options {
    std::string database;  // a file; "" : memory only
    size_t bindings_max = 1'000'000;
    // Seconds since 1970; for tests.
    std::function<int64_t()> wall_clock{};
  };
  struct Counters {        // monotonic
    uint64_t stored = 0;   // bindings given to Store
    uint64_t removed = 0;  // bindings that a Store took away: the contact was
                           // there and is not any more
    uint64_t expired = 0;
    uint64_t transactions = 0;    // committed
    uint64_t write_failures = 0;  // transactions that were not
  };

  // Writes that wait for the disk; past this Store refuses.
  static constexpr size_t kWritesMax = 65'536;

  // Opens, making the file for its owner alone when it is missing, and loads
  // what has not expired. Rows that make no sense are left out, with a line in
  // the log. Writing begins at once. DataLoss (no database, damaged),
  // FailedPrecondition (written by a later version), or what the system said.
  static absl::StatusOr<std::unique_ptr<LocationStore>> Open(
      net::EventLoop& loop, const Options& options);
  virtual ~LocationStore() = default;

  // Best q first, then the newest; expired ones are left out. Valid until the
  // next call.
  virtual const std::vector<Binding>& Find(std::string_view aor) = 0;
  // Replaces what the address-of-record has; none: it is removed.
  // ResourceExhausted at bindings_max and at kWritesMax; then nothing is stored
  // and `durable` is not called. Memory only: `durable` is called before this
  // returns. It is not called any more once this object is gone. May be empty.
  using Durable = std::function<void(absl::Status)>;
  virtual absl::Status Store(std::string_view aor,
                             std::vector<Binding> bindings,
                             Durable durable) = 0;
  // visit(aor, bindings) in no order, what has just expired included; stops
  // when it returns false. It must not Store.
  virtual void ForEach(
      const std::function<bool(std::string_view aor,
                               const std::vector<Binding>&)>& visit) const = 0;
  virtual size_t size() const = 0;     // bindings
  virtual size_t records() const = 0;  // addresses-of-record
  virtual const Counters& counters() const = 0;
  // Waits until all that was stored is on the disk. At the end of the program.
  // The error of the first transaction that failed since the last Flush.
  virtual absl::Status Flush() = 0;
};

}  // namespace sluice::sip

#endif  // SLUICE_SIP_LOCATION_H_
