#ifndef SLUICE_CONTROL_NATHELPER_ARGUMENTS_H_
#define SLUICE_CONTROL_NATHELPER_ARGUMENTS_H_

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "base/address.h"
#include "base/types.h"
#include "control/session_verbs.h"
#include "control/storable.h"

// From the RPC's loose types to the session manager's strict ones.
//
// A Perl program sends a number as a number or as a string, as it happens to
// have it, and so do we take it. What is wrong beyond that is a Status: the
// original ends, and all its calls with it.
//
//   InvalidArgument  the wrong kind of value
//   OutOfRange       a number, length or count beyond its limit
//   Unimplemented    an address that is a name, or nothing
namespace sluice::control {

struct ArgumentLimits {
  size_t id_bytes_max = 1024;  // call-id and tags; URIs are cut there
  size_t media_max = 32;       // m= lines of one SDP body
  int range_max = 16;          // ports of one medium
};

// Whether a cseq that is undef, empty or 0 means all of them (close), or a
// number is wanted (where 0 is one, RFC 3261 8.1.1.5).
enum class CseqRule : uint8_t { kOne, kOneOrAll };

// The first argument of every verb: [call-id, cseq, idfrom, idto, uri_from,
// uri_to], the URIs left out by clients older than Net::SIP 0.826.
absl::StatusOr<SessionKey> ParseKey(const storable::Value& nat_basic,
                                    CseqRule rule,
                                    const ArgumentLimits& limits);

// 0 is the party that sent the offer; any other scalar the one that answers.
absl::StatusOr<Side> ParseSide(const storable::Value& side);

// A list of maps: addr, port, range, proto, fmt, lines.
absl::StatusOr<std::vector<Media>> ParseMedia(const storable::Value& media,
                                              const ArgumentLimits& limits);

// A whole number between two others, both included; `what` names it in the
// message. Null: it was left out.
absl::StatusOr<int64_t> ParseNumber(const storable::Value* value,
                                    std::string_view what, int64_t least,
                                    int64_t most);

// An IP literal; `what` names it in the message. Null: it was left out.
absl::StatusOr<IpAddress> ParseAddress(const storable::Value* address,
                                       std::string_view what);

}  // namespace sluice::control

#endif  // SLUICE_CONTROL_NATHELPER_ARGUMENTS_H_
