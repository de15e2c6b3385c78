#ifndef SLUICE_TOOLS_PHONE_PHONE_H_
#define SLUICE_TOOLS_PHONE_PHONE_H_

#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "sip/simple.h"
#include "tools/phone/interrupt.h"
#include "tools/phone/options.h"
#include "tools/phone/record.h"
#include "tools/phone/screen.h"
#include "tools/phone/script.h"

namespace sluice::phone {

// One run of sluicephone: registers, calls or is called, and keeps the books.
//
//   [register] --> calls, or waits for them --> all over, or interrupted
//                                                  |
//       [registration removed] <-- all hung up <---+
//
// Thread: that of the agent's loop.
class Phone {
 public:
  // InvalidArgument; else what sockets said.
  static absl::StatusOr<std::unique_ptr<Phone>> Create(Options options);
  ~Phone();
  Phone(const Phone&) = delete;
  Phone& operator=(const Phone&) = delete;

  // Until all is over. What could not even begin; calls and the registration
  // that failed stand in the records.
  absl::Status Run(Interrupt& interrupt);

  const std::optional<RegistrationRecord>& registration() const {
    return registration_;
  }
  // In order of their beginning. A phone that answers for ever keeps the last
  // kRecordsMax that have ended.
  static constexpr size_t kRecordsMax = 10'000;
  std::vector<CallRecord> calls() const;

 private:
  struct Track {
    std::shared_ptr<sip::Call> call;
    CallRecord record;
    sip::InitMedia media;
    Script script;
    Micros established_at{}, ended_at{};
    // Its books are closed; the library still waits for an answer to our BYE
    // until it has `left`.
    bool over = false, left = false;
  };

  Phone(Options options, Plan plan);
  absl::Status Begin();
  absl::Status Listen();
  absl::Status CallAll();
  void Register();
  void OnRegistered(const absl::StatusOr<uint32_t>& expires);
  void Unregister();

  sip::CallParams Params();
  sip::InitMedia MediaOf(Track& track);
  Track& TrackOf(sip::Call& call);
  void OnIncoming(sip::Call& call);
  void Take(Track& track);
  void OnFinal(sip::Call& call, const sip::CallResult& result);
  void OnEstablished(sip::Call& call);
  void OnCleanup(sip::Call& call);
  void Sample(Track& track);
  void Close(Track& track);
  size_t LinesInUse() const;
  static EndedBy WhoEnded(const CallRecord& record, const sip::Call& call);

  void OnInterrupt(int count);
  void OnTick();
  void Advance(Track& track);
  void HangUp(Track& track);
  void EndIfDone();
  // Ends the run, after the registration has been removed.
  void Finish();
  void Say(const Track& track, std::string_view text);

  const Options options_;
  const Plan plan_;
  Screen screen_;
  std::unique_ptr<sip::Simple> agent_;
  std::optional<RegistrationRecord> registration_{};
  // By address: each is held, so no two have one at the same time.
  absl::flat_hash_map<const sip::Call*, std::unique_ptr<Track>> tracks_;
  std::deque<CallRecord> ended_;
  absl::Status trouble_;
  net::EventLoop::TimerId tick_ = 0;
  size_t numbers_ = 0;  // of calls so far
  size_t taken_ = 0;    // of calls that came and found a free line
  uint32_t ticks_ = 0;
  bool begun_ = false, stopping_ = false, finishing_ = false, over_ = false;
  Micros give_up_{};  // when stopping, or removing the registration
};

}  // namespace sluice::phone

#endif  // SLUICE_TOOLS_PHONE_PHONE_H_
