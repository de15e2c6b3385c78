#ifndef SLUICE_TOOLS_PHONE_RECORD_H_
#define SLUICE_TOOLS_PHONE_RECORD_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "rtp/dtmf.h"
#include "rtp/session.h"
#include "sip/call.h"

// What is told of calls and registrations: copies, that outlive them.
namespace sluice::phone {

// What was seen of a call's media.
struct MediaRecord {
  std::string codec;   // "PCMU"
  std::string remote;  // where our packets go
  uint64_t sent = 0, received = 0, expected = 0, reordered = 0, duplicates = 0;
  int64_t lost = 0;
  double jitter_ms = 0;
  double mos = 0, rtt_ms = 0;  // 0: unknown
  // What the peer's last report says of ours; nullopt: there was none.
  std::optional<int32_t> peer_lost{};
  std::optional<double> peer_jitter_ms{};
  rtp::SessionDrops drops{};
};
MediaRecord MediaRecordOf(const rtp::Session& media);

enum class EndedBy : uint8_t { kNobody, kUs, kPeer, kSilence, kFailure };
const char* Name(EndedBy by);

struct Digit {
  char digit = 0;
  rtp::DtmfMethod method = rtp::DtmfMethod::kRfc4733;
};

// As --dtmf-method has it.
const char* OptionName(rtp::DtmfMethod method);

struct CallRecord {
  size_t number = 0;  // from 1, in order of their beginning
  std::string call_id, peer;
  bool incoming = false;
  sip::Call::State state = sip::Call::State::kCalling;
  // Of the INVITE that made the call; 0: no answer yet.
  sip::CallResult result{};
  std::string error{};  // what no message said, such as a file that is wrong
  bool established = false;
  bool gave_up_ringing = false;
  bool held = false, held_by_peer = false;
  EndedBy ended_by = EndedBy::kNobody;
  double duration_s = 0;  // since it was established
  std::vector<Digit> digits{};
  std::optional<MediaRecord> media{};
};
const char* Name(sip::Call::State state);

struct RegistrationRecord {
  std::string registrar;
  bool ok = false;
  uint32_t expires_s = 0;
  absl::Status error{};
  bool answered = false;
  bool removed = false;
};

// Exit statuses of sluicephone.
enum ExitCode : int {
  kDone = 0,
  kFailed = 1,
  kUsage = 2,
  kUnreachable = 3,
  kTimeout = 5,
};
ExitCode ExitCodeOf(const absl::Status& status);
ExitCode ExitCodeOf(const CallRecord& call);
// Of all: the first that is not kDone.
ExitCode ExitCodeOf(const std::optional<RegistrationRecord>& registration,
                    const std::vector<CallRecord>& calls);

}  // namespace sluice::phone

#endif  // SLUICE_TOOLS_PHONE_RECORD_H_
