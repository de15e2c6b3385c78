#ifndef SLUICE_CONTROL_SESSION_JOURNAL_H_
#define SLUICE_CONTROL_SESSION_JOURNAL_H_

#include <cstddef>
#include <cstdint>
#include <list>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/functional/function_ref.h"
#include "absl/hash/hash.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "base/address.h"
#include "base/net/fd.h"
#include "control/call_image.h"
#include "control/process.h"
#include "control/session_journal_codec.h"
#include "control/session_observer.h"

namespace sluice::control {

// What a session manager's calls are, in an append-only file, from which a
// daemon that was killed makes them again. It survives the death of the process
// and not the machine's: nothing is synced.
//
//   manager --On...--> calls (in memory) --Flush--> [ file ]
//                      what the file is to say         |
//   manager <--Load--- ^                               | Open: up to the first
//                      +-------------------------------+ damaged record
//
// Of each call the last image is kept, and who is believed on its ports. Older
// records of a call are dead, and all of one that is gone. When they are more
// than half of a file that is larger than kRewriteOctets, Flush writes the live
// ones to PATH.new and renames it over. So it does, too, when the file has
// missed something (a full disk): what is in memory is the truth.
//
// A call that no record can hold (kCallOctetsMax, ten times what a hunt group
// of 32 phones takes) is given up: as long as it is so large, it would not be
// made again. Its record is written at every change, so it must not be larger.
//
// Thread: control only, but for Open, which may come before it. Owner: whoever
// opened it.
class SessionJournal final : public SessionObserver {
 public:
  static constexpr uint64_t kRewriteOctets = 1024 * 1024;
  static constexpr size_t kCallOctetsMax = journal::kRecordOctetsMax;
  // Sources of one call; a further one takes the place of the first.
  static constexpr size_t kSourcesMax = 1024;
  // Told and not written yet. Past it the file is written anew instead.
  static constexpr size_t kPendingOctetsMax = 4 * 1024 * 1024;
  // What failed is tried again after so many calls of Flush, after twice as
  // many the next time, up to the latter.
  static constexpr uint32_t kPauseMin = 1;
  static constexpr uint32_t kPauseMax = 1024;

  struct Stats {
    uint64_t records = 0;         // in the file, dead ones too
    uint64_t octets = 0;          // the file's length
    uint64_t live_octets = 0;     // what it would be without the dead ones
    uint64_t calls = 0;           // that would be made again
    uint64_t compactions = 0;     // rewritings for whatever reason
    uint64_t errors = 0;          // writes and rewritings that failed
    uint64_t left_out = 0;        // told, but more than a record can hold
    uint64_t calls_given_up = 0;  // of which the file had known before
  };
  struct Played {
    uint64_t calls = 0;
    uint64_t records = 0;
  };

  // Takes the file, or makes it (mode 0600), and reads it. Its lock is held
  // until the end of the object or of the process. `heir`: the account that
  // this process, being root, becomes before long; the file is made over to it,
  // and it must be able to write into the folder.
  // AlreadyExists (another daemon has it), PermissionDenied (others may write
  // it or into its folder, or the heir may not, or it is a link),
  // FailedPrecondition (not a journal, or of another version; left as it is),
  // InvalidArgument (not a file), or what the system said.
  static absl::StatusOr<std::unique_ptr<SessionJournal>> Open(
      const std::string& path,
      const std::optional<Account>& heir = std::nullopt);
  // Writes nothing: Flush does.
  ~SessionJournal() override;

  SessionJournal(const SessionJournal&) = delete;
  SessionJournal& operator=(const SessionJournal&) = delete;

  // What Open cut off and why, in words; "" when every record was good.
  const std::string& cut() const { return cut_; }

  // Hands over the calls that are up, in the order of their beginnings. One for
  // which `restore` says false is gone. It must not call back.
  using Restore =
      absl::FunctionRef<bool(const CallImage&, absl::Span<const Believed>)>;
  Played Load(Restore restore);

  void OnCall(const CallImage& image) override;
  void OnGone(std::string_view call_id) override;
  void OnConfirmed(std::string_view call_id, const Endpoint& local,
                   const Endpoint& source) override;

  // Hands what was told to the kernel, at the end of each turn of the loop. Not
  // OK, in words for the log, when writing or rewriting fails for the first
  // time in a row; the journal goes on and tries again.
  absl::Status Flush();
  // The file lacks what was told: a daemon made from it now would be of before
  // the failure.
  bool failed() const { return failed_; }

  Stats stats() const;

 private:
  struct Call {
    std::string call_id{};
    std::string octets{};  // its last record
    std::vector<Believed> believed{};
    size_t Octets() const;
  };
  using Calls = std::list<Call>;
  // When something that fails is tried again.
  class Trying {
   public:
    // Whether this call of Flush does.
    bool IsDue();
    // How it went. Gives the first failure on, and no other.
    absl::Status Take(absl::Status status);

   private:
    bool failing_ = false;
    uint32_t pause_ = 0;
    uint32_t next_pause_ = kPauseMin;
  };

  SessionJournal(std::string path, std::optional<Account> heir, net::Fd file);

  absl::Status Read();
  absl::Status CutAt(uint64_t octets);
  absl::Status Append();
  absl::Status Rewrite();
  absl::Status WriteLive(int fd, uint64_t* octets, uint64_t* records);
  bool IsWasteful() const;

  // What a record does to the calls; whether the file must have it.
  bool Take(const journal::Record& record, std::string_view octets);
  bool TakeCall(const CallImage& image, std::string_view octets);
  bool TakeGone(std::string_view call_id);
  bool TakeBelieved(std::string_view call_id, const Believed& believed);
  Call* Find(std::string_view call_id);
  void Write(std::string_view octets);

  // Call-IDs are written by strangers, so the hash must be one with a seed.
  struct IdHash {
    size_t operator()(std::string_view id) const {
      return absl::Hash<absl::string_view>{}({id.data(), id.size()});
    }
  };

  const std::string path_;
  const std::optional<Account> heir_;
  net::Fd file_;
  std::string cut_;
  uint64_t octets_ = 0;   // of the file, up to the end of its last whole record
  uint64_t records_ = 0;  // in them

  Calls calls_;  // in the order of their beginnings
  // The keys lie in the calls.
  absl::flat_hash_map<std::string_view, Calls::iterator, IdHash> index_;
  uint64_t live_octets_ = 0;

  std::string pending_;
  uint64_t pending_records_ = 0;
  std::string scratch_;  // the record that is being told
  bool missed_ = false;  // more was told than pending_ holds: rewrite
  bool failed_ = false;
  Trying appending_, rewriting_;

  uint64_t compactions_ = 0;
  uint64_t errors_ = 0;
  uint64_t left_out_ = 0;
  uint64_t calls_given_up_ = 0;
};

}  // namespace sluice::control

#endif  // SLUICE_CONTROL_SESSION_JOURNAL_H_
