#ifndef SLUICE_SIP_MEDIA_RELAY_H_
#define SLUICE_SIP_MEDIA_RELAY_H_

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "base/address.h"
#include "base/types.h"

namespace sluice::sip {

// Whether a refusal can still follow the answer that is joined: none follows a
// 2xx or an ACK, one may follow an 18x. kUnknown: nobody has said.
enum class AnswerStage : uint8_t { kUnknown, kEarly, kFinal };

// What the proxy needs of a media relay, here or on another node: the three
// verbs of a NAT helper (allocate, activate, close), asked without waiting.
//
// Answers come by callback, perhaps before the call returns. Each is called
// exactly once.
//
// Thread: control only. A few calls a call.
class MediaRelay {
 public:
  struct Key {
    std::string call_id;
    std::optional<uint32_t> cseq;  // nullopt: all (Close, for a BYE)
    std::string id_from, id_to;    // opaque
    std::string uri_from, uri_to;  // information only
    // The way that an offer takes to one of its answerers: forks have one
    // offer, and the end of one way is not that of the others. 0: unknown.
    uint64_t branch = 0;
    bool half_open_only = false;                // Close leaves what is joined
    AnswerStage stage = AnswerStage::kUnknown;  // Activate
  };
  struct Media {
    enum class Kind : uint8_t { kRtp, kSrtp, kOther };
    IpAddress ip{};
    uint16_t port = 0;  // 0: not heard for now (hold, or a refused medium)
    int range = 2;      // consecutive ports
    Kind kind = Kind::kRtp;
    uint32_t clock_hz = 8000;
    // Where the party's signalling comes from (:: unknown): behind a NAT its
    // media does, too, and then from nowhere else.
    IpAddress heard_from{};
  };
  struct Port {
    IpAddress ip{};
    uint16_t port = 0;
    int range = 0;
    // Another number for other ports, the same for the same; more for later
    // ones where the relay can tell.
    uint64_t edition = 0;
  };
  using Allocated =
      std::function<void(absl::StatusOr<std::vector<Port>> ports)>;
  using Done = std::function<void(absl::Status)>;

  virtual ~MediaRelay() = default;

  // Ports on `local` for what `side` says in its SDP; the same again for the
  // same key, side and media, and for a later offer with the same media lines
  // if the relay can.
  virtual void Allocate(const Key& key, Side side, const IpAddress& local,
                        absl::Span<const Media> media, Allocated done) = 0;
  // Joins what both sides said. FailedPrecondition while only one has.
  virtual void Activate(const Key& key, Done done) = 0;
  virtual void Close(const Key& key, Done done) = 0;
};

}  // namespace sluice::sip

#endif  // SLUICE_SIP_MEDIA_RELAY_H_
