#ifndef SLUICE_TOOLS_LOAD_SIP_CALLER_H_
#define SLUICE_TOOLS_LOAD_SIP_CALLER_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "tools/load/histogram.h"
#include "tools/load/sip_media.h"
#include "tools/load/sip_messages.h"
#include "tools/load/sip_scan.h"
#include "tools/load/sip_tally.h"
#include "tools/load/sip_template.h"
#include "tools/load/sip_users.h"

namespace sluice::load {

// Takes the messages of one side. Room() is for kSipMessageMax octets, and for
// the next message alone.
class SipSink {
 public:
  virtual ~SipSink() = default;
  virtual char* Room() = 0;
  virtual void Send(size_t octets) = 0;
};

struct SipCallerOptions {
  SipParties parties{};
  bool digest = false;  // answer challenges
  bool retransmit = false;
  uint64_t timeout_ns = 4'000'000'000;  // from the first request to the end
  uint32_t slots = 1 << 16;             // a power of two
};

// The calling side of all transactions of a worker, or of all its calls.
//
//      2xx of a call with media (ACK is sent)      HangUp (BYE is sent)
//    +----------------------------> kTalking --------+
//    |        2xx (call: ACK and BYE are sent)       v
//   kAsked ------------------------------------> kLeaving   (calls only)
//    |  | |                                       |     |
//    |  | +-- 2xx (no call) ------> kEnded <------+     |
//    |  +---- other final --------> kEnded    final     |
//    +------- timeout ------------> kGivenUp <----------+
//    ^  |
//    +--+ 401, 407 when `digest`, once: sent again with credentials
//
// Which one a response belongs to is in its Call-ID, as the index of a table:
// nothing is searched. A number whose place is taken by one that is still under
// way ends that one as given up; the table is made for more than a rate and its
// timeout need.
//
// Nothing here waits: when the next one begins is the caller's business.
//
// Thread: the worker's.
class SipCaller {
 public:
  // `users` outlives it. REQUIRES: digest only where the scenario is no call.
  // `media`: that of calls, if they have any; outlives it.
  SipCaller(const SipCallerOptions& options, const SipUsers& users,
            SipTally& tally, SipMedia* media = nullptr);

  // Begins the next one; false where there is no place for its media.
  bool Start(uint64_t now_ns, SipSink& sink);
  void OnMessage(std::string_view message, uint64_t now_ns, SipSink& sink);
  // The media of a call is over: BYE.
  void HangUp(uint32_t number, uint64_t now_ns, SipSink& sink);
  // Gives up what is too old, and repeats what wants repeating.
  void Sweep(uint64_t now_ns, SipSink& sink);
  // Forgets the delays measured so far.
  void ClearDelays();

  // From the first request to its final response, and to the very end.
  const Histogram& answer_ns() const { return answer_ns_; }
  const Histogram& whole_ns() const { return whole_ns_; }
  // Failures by code, of the whole run. Index: the code.
  static constexpr size_t kCodes = 700;
  const std::array<uint64_t, kCodes>& failures() const { return failures_; }

 private:
  enum class Stage : uint8_t {
    kFree,
    kAsked,
    kTalking,
    kLeaving,
    kEnded,
    kGivenUp
  };
  struct Slot {
    uint64_t started_ns = 0;
    uint64_t resend_ns = 0;
    uint32_t number = 0;
    uint8_t cseq = 0;
    uint8_t resends = 0;
    Stage stage = Stage::kFree;
    bool ringing = false;
    bool proceeding = false;
    // The last one, kept for repeating it alone; of a call that talks, its BYE.
    std::string request{};
  };
  static bool IsLive(const Slot& slot) {
    return slot.stage == Stage::kAsked || slot.stage == Stage::kTalking ||
           slot.stage == Stage::kLeaving;
  }

  Slot& SlotOf(uint32_t number) { return slots_[number & mask_]; }
  void OnOwn(const SipScan& response, Slot& slot, uint64_t now_ns,
             SipSink& sink);
  void OnFinal(const SipScan& response, Slot& slot, uint64_t now_ns,
               SipSink& sink);
  void Authorize(const SipScan& challenge, Slot& slot, uint64_t now_ns,
                 SipSink& sink);
  void SendAck(const SipScan& response, const Slot& slot, SipSink& sink);
  // A call that is up talks, or ends with BYE at once.
  void OnUp(const SipScan& response, Slot& slot, uint64_t now_ns,
            SipSink& sink);
  // Route lines of a dialog from the Record-Route of its 200.
  std::string_view Routes(const SipScan& response);
  SipValues ValuesOf(const Slot& slot) const;
  // One that is to be repeated is kept in `slot`, and its clock starts; one for
  // later is kept there and not sent.
  enum class Keep : uint8_t { kNo, kYes, kForLater };
  void Write(const SipTemplate& request, const SipValues& values, Slot& slot,
             Keep keep, uint64_t now_ns, SipSink& sink);
  static void StartClock(Slot& slot, uint64_t now_ns);
  void Fail(Slot& slot, int code);
  void GiveUp(Slot& slot);
  void RepeatDue(uint64_t now_ns, SipSink& sink);

  const SipCallerOptions options_;
  const SipUsers& users_;
  SipTally& tally_;
  SipMedia* const media_;
  const SipRequests requests_;
  const uint32_t mask_;

  std::vector<Slot> slots_;
  uint32_t next_ = 0;
  uint32_t oldest_ = 0;  // none before it is under way
  uint64_t next_repeat_look_ns_ = 0;
  std::string lines_;  // scratch
  Histogram answer_ns_, whole_ns_;
  std::array<uint64_t, kCodes> failures_{};
};

}  // namespace sluice::load

#endif  // SLUICE_TOOLS_LOAD_SIP_CALLER_H_
