#ifndef SLUICE_SIP_LOCATION_WRITER_H_
#define SLUICE_SIP_LOCATION_WRITER_H_

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/net/event_loop.h"
#include "sip/location.h"
#include "sip/sqlite.h"

namespace sluice::sip {

// The disk side of a LocationStore: a table of bindings and the thread that
// writes it.
//
//   loop --Push--> pending_ --(a batch)--> transaction --> done --Post--> loop
//
// Writes are committed, and their `durable` called, in the order of Push.
//
// Thread: all members on the loop's.
class LocationWriter {
 public:
  // Of one address-of-record; null or empty: none. Shared, never changed.
  using Bindings = std::shared_ptr<const std::vector<Binding>>;
  struct Write {
    std::string aor;
    Bindings bindings;
    LocationStore::Durable durable;
  };
  // Writes of one transaction: bounds what one fsync holds up.
  static constexpr size_t kBatchMax = 4'096;

  static absl::StatusOr<std::unique_ptr<LocationWriter>> Open(
      net::EventLoop& loop, const std::string& path);
  // Writes what is pending.
  ~LocationWriter();
  LocationWriter(const LocationWriter&) = delete;
  LocationWriter& operator=(const LocationWriter&) = delete;

  // Before Start. visit(aor, binding) for each that is good after `now`, those
  // of one address-of-record together; what has expired is deleted. Returns how
  // many rows made no sense.
  absl::StatusOr<size_t> Load(
      int64_t now, const std::function<void(std::string_view, Binding)>& visit);
  void Start();
  // False when kWritesMax are pending.
  bool Push(Write write);
  absl::Status Flush();

  uint64_t transactions() const { return transactions_.load(); }
  uint64_t failures() const { return failures_.load(); }

 private:
  // What the loop has yet to call. It lives as long as the writer; a task that
  // is still posted when it has gone finds nothing.
  struct Mailbox {
    std::mutex mutex;
    std::vector<std::pair<LocationStore::Durable, absl::Status>> done;
    bool posted = false;
  };

  explicit LocationWriter(net::EventLoop& loop) : loop_(loop) {}
  absl::Status Prepare();

  // On the writer's thread.
  void Run();
  absl::Status Commit(const std::vector<Write>& batch);
  absl::Status Put(const Write& write);
  void PutInMailbox(std::vector<Write> batch, const absl::Status& status);
  // Asks the loop to empty it, if there is need. False when the loop has no
  // room: the writer does not wait for it, as it may be waiting in Flush.
  bool CallMailbox();
  std::vector<Write> TakeBatch();  // with mutex_ held

  net::EventLoop& loop_;
  // The loop's until Start, then the writer's.
  Database database_;
  Statement delete_, insert_;
  std::thread thread_;
  const std::shared_ptr<Mailbox> mailbox_ = std::make_shared<Mailbox>();
  std::atomic<uint64_t> transactions_{0};
  std::atomic<uint64_t> failures_{0};

  std::mutex mutex_;
  std::condition_variable changed_;
  // Guarded by mutex_.
  std::deque<Write> pending_;
  bool writing_ = false;  // a batch is out of pending_ and not committed
  bool stop_ = false;
  absl::Status failure_;  // the first since the last Flush
};

}  // namespace sluice::sip

#endif  // SLUICE_SIP_LOCATION_WRITER_H_
