#ifndef SLUICE_TOOLS_LOAD_SIP_MESSAGES_H_
#define SLUICE_TOOLS_LOAD_SIP_MESSAGES_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/address.h"
#include "sip/fields.h"
#include "tools/load/sip_scan.h"
#include "tools/load/sip_template.h"

namespace sluice::load {

enum class SipScenario : uint8_t { kOptions, kMessage, kRegister, kCall };
std::string_view NameOf(SipScenario scenario);  // "options", ...
std::optional<SipScenario> SipScenarioOf(std::string_view name);

// Longest message that is written or read.
inline constexpr size_t kSipMessageMax = 4096;

// Who speaks of what, for the text of messages.
struct SipParties {
  SipScenario scenario = SipScenario::kOptions;
  sip::Transport transport = sip::Transport::kUdp;
  Endpoint uac{}, uas{};
  std::string domain{};   // of From, and of To where `to` is empty
  std::string to{};       // domain or ip:port of the Request-URI; "": the UAS
  std::string contact{};  // ip:port that REGISTER binds; "": the UAC
  uint32_t expires_s = 3600;
  uint32_t run = 0;
  bool media = false;  // each call has descriptions of its own
};

// The requests of a scenario. Each fits kSipMessageMax as long as what a peer
// put into it does.
struct SipRequests {
  explicit SipRequests(const SipParties& parties);

  std::string_view method;  // of the first
  SipTemplate request_uri;  // of the first
  SipTemplate first;
  SipTemplate refused_ack;  // of an INVITE that failed (RFC 3261 17.1.1.3)
  SipTemplate ack, bye;     // inside the dialog
};

// A description of audio at `local`, offered or answered, as {body} takes it.
std::string SipAudioBody(const Endpoint& local);

// The responses of the answering side: `code` to `request`, with Contact, and
// with SDP where a 200 answers an INVITE: `body`, or where that is empty the
// same for all. With media of its own for each call that one refuses the audio
// (RFC 3264 6): it answers what is no call of ours.
class SipResponses {
 public:
  explicit SipResponses(const SipParties& parties);
  void Write(const SipScan& request, int code, std::string_view body,
             SipWriter* out) const noexcept;

 private:
  std::string tag_, contact_, sdp_;
};

// The reason phrases of what we answer.
std::string_view SipReason(int code);

}  // namespace sluice::load

#endif  // SLUICE_TOOLS_LOAD_SIP_MESSAGES_H_
