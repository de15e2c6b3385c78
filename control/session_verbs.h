#ifndef SLUICE_CONTROL_SESSION_VERBS_H_
#define SLUICE_CONTROL_SESSION_VERBS_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "base/address.h"
#include "base/types.h"
#include "relay/session_command.h"
#include "sip/media_relay.h"

namespace sluice::control {

// Who is talking about which offer/answer: the first argument of every verb.
// All three ids are opaque octets.
struct SessionKey {
  std::string call_id;
  std::optional<uint32_t> cseq;  // nullopt: "all" (only Close)
  std::string id_from;
  std::string id_to;
  std::string uri_from;  // information only
  std::string uri_to;
  // By which way an offer goes or is refused (sip::MediaRelay::Key). 0:
  // unknown, then its refusal ends it.
  uint64_t branch = 0;
  bool half_open_only = false;  // only Close: leaves an offer with a session
  // Only Activate. Where it is unknown the second one stands for the ACK.
  sip::AnswerStage stage = sip::AnswerStage::kUnknown;
};

// One medium of an SDP body.
struct Media {
  IpAddress ip{};
  uint16_t port = 0;  // 0, or ip 0.0.0.0 / ::, means inactive (on hold)
  int range = 2;      // consecutive ports: 2 for RTP+RTCP, 1 for others
  relay::FlowKind first = relay::FlowKind::kRtp;  // kRtp: even RTP, odd RTCP
  uint32_t clock_hz = 8000;
  // Where the party's signalling comes from, if that is known (::, not): one
  // behind a NAT is then believed from there and from nowhere else.
  IpAddress heard_from{};
};
// What was reserved for one Media, in the same order.
struct Allocation {
  IpAddress ip{};  // what to announce (the advertised address if there is one)
  uint16_t port = 0;  // 0 for inactive media
  int range = 0;
  Micros made{};  // when; a party is given the same again while it is the same
};
enum class Activation { kNew, kAgain };

// The engine as every face of it (NATHelper RPC, later ng and our own proxy)
// sees it: three verbs, safe to repeat, because SIP over UDP repeats itself.
//
// Thread: control only.
class SessionVerbs {
 public:
  virtual ~SessionVerbs() = default;

  // Ports on `local` for what `side` said in its SDP; the same answer again for
  // the same key and side, and the same ports for a later offer with the same
  // media lines. Nothing is kept of a call that fails.
  virtual absl::StatusOr<std::vector<Allocation>> Allocate(
      const SessionKey& key, Side side, const IpAddress& local,
      absl::Span<const Media> media) = 0;
  // Joins both sides; media flows from here on.
  virtual absl::StatusOr<Activation> Activate(const SessionKey& key) = 0;
  // How many sessions ended, at least 1; NotFound when none did (half-open
  // ports may have been freed all the same).
  virtual absl::StatusOr<int> Close(const SessionKey& key) = 0;
};

}  // namespace sluice::control

#endif  // SLUICE_CONTROL_SESSION_VERBS_H_
