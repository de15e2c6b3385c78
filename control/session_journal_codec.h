#ifndef SLUICE_CONTROL_SESSION_JOURNAL_CODEC_H_
#define SLUICE_CONTROL_SESSION_JOURNAL_CODEC_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "control/call_image.h"

// The octets of the journal of sessions. Numbers are in network order, a text
// is two octets of length and itself, an address its 16 octets, an endpoint an
// address and two octets of port.
//
//   file    "sluice journal", version (2), records
//
//            0        4      5           5+n
//   record   +--------+------+-----------+---------------+
//            | length | type | payload   | check (8)     |
//            | = n    |      | n octets  | of all before |
//            +--------+------+-----------+---------------+
//
//   call       texts call_id, uri_from, uri_to, refused (8), count (1), offers
//   offer      text id_from, cseq (4), flags (1: has group, 2: ways), group,
//              count (1), ways (8 each), count (1), forks
//   fork       text id_to, flags (1: up, 2: acknowledged, 4: over, 8: aside),
//              group
//   group      local, made (8), flags (1: faces the offerer, 2: given up),
//              count (1), media
//   medium     ip, port (2), range (1), first (1), clock_hz (4), heard_from,
//              base (2)
//   gone       text call_id
//   confirmed  text call_id, endpoint local, endpoint source
//
// A call takes the place of what was known of it. Times are in microseconds.
//
// The check is SipHash with a key that is no secret: it finds what a dying
// process or a bad disk left, not what somebody forged. A record has one
// spelling, and what no field of a call can be is no record: the same rules
// hold for who writes and for who reads. Whether the fields make one call is
// CheckImage's to say, so that one that does not is not the end of the file.
//
// Thread: any.
namespace sluice::control::journal {

inline constexpr uint16_t kVersion = 2;
inline constexpr std::string_view kHeader{"sluice journal\x00\x02", 16};
static_assert(kHeader[15] == kVersion);

inline constexpr size_t kMediaMax = 32;
inline constexpr int kRangeMax = 64;
inline constexpr size_t kHeadOctets = 4 + 1;
inline constexpr size_t kCheckOctets = 8;
inline constexpr size_t kRecordOctetsMax = 32 * 1024;
inline constexpr size_t kPayloadOctetsMax =
    kRecordOctetsMax - kHeadOctets - kCheckOctets;

enum class RecordType : uint8_t { kCall = 1, kGone, kConfirmed };

// What a record says; only the fields of its type mean anything, and of `call`
// only the call_id where it is no call.
struct Record {
  RecordType type = RecordType::kGone;
  CallImage call{};
  Believed believed{};  // source none: nobody any more
};

// Each appends one record to `out`; false, and nothing is appended, for what
// could not be read again. Longer URIs are cut at kUriOctets.
[[nodiscard]] bool PutCall(const CallImage& call, std::string* out);
[[nodiscard]] bool PutGone(std::string_view call_id, std::string* out);
[[nodiscard]] bool PutConfirmed(std::string_view call_id,
                                const Believed& believed, std::string* out);
// Any payload as a record with the right length and check, whatever it says.
void PutFrame(uint8_t type, std::string_view payload, std::string* out);
// Of a confirmed record.
constexpr size_t ConfirmedOctets(size_t call_id_octets) {
  return kHeadOctets + 2 + call_id_octets + 2 * (16 + 2) + kCheckOctets;
}

struct Got {
  size_t octets = 0;            // of the record at the beginning; 0: none
  const char* wrong = nullptr;  // then: why not
  bool torn = false;            // there may be more to come
};
// Reads one record. `record` is overwritten. It takes some ten times the octets
// of the record in memory at most, whatever they say.
Got Get(std::string_view in, Record* record);

}  // namespace sluice::control::journal

#endif  // SLUICE_CONTROL_SESSION_JOURNAL_CODEC_H_
