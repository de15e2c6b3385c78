#ifndef SLUICE_CONTROL_SESSION_JOURNAL_CODEC_H_
#define SLUICE_CONTROL_SESSION_JOURNAL_CODEC_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/types/span.h"
#include "base/address.h"
#include "base/check.h"
#include "base/types.h"
#include "control/session_manager.h"
#include "control/session_verbs.h"

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
//   key        text call_id, flags (1: has cseq, 2: half_open_only), cseq (4),
//              stage (1), texts id_from, id_to, uri_from, uri_to
//   medium     ip, port (2), range (1), first (1), clock_hz (4), heard_from,
//              base (2)
//   allocated  key, side (1), local, count (1), media
//   activated  key without URIs
//   closed     key without URIs
//   gone       text call_id
//   confirmed  text call_id, endpoint local, endpoint source
//
// The check is SipHash with a key that is no secret: it finds what a dying
// process or a bad disk left, not what somebody forged. A record has one
// spelling, and what cannot be in a call is no record: the same rules hold for
// who writes and for who reads.
//
// Thread: any.
namespace sluice::control::journal {

inline constexpr uint16_t kVersion = 1;
inline constexpr std::string_view kHeader{"sluice journal\x00\x01", 16};
static_assert(kHeader[15] == kVersion);

inline constexpr size_t kMediaMax = 32;
inline constexpr int kRangeMax = 64;
inline constexpr size_t kHeadOctets = 4 + 1;
inline constexpr size_t kCheckOctets = 8;
inline constexpr size_t kMediumOctets = 16 + 2 + 1 + 1 + 4 + 16 + 2;
inline constexpr size_t kKeyOctetsMax =
    1 + 4 + 1 + 3 * (2 + kIdOctets) + 2 * (2 + kUriOctets);
inline constexpr size_t kPayloadOctetsMax =
    kKeyOctetsMax + 1 + 16 + 1 + kMediaMax * kMediumOctets;
inline constexpr size_t kRecordOctetsMax =
    kHeadOctets + kPayloadOctetsMax + kCheckOctets;
static_assert(kRecordOctetsMax < 8 * 1024);

enum class RecordType : uint8_t {
  kAllocated = 1,
  kActivated,
  kClosed,
  kGone,
  kConfirmed,
};

// What a record says; only the fields of its type mean anything, and of `key`
// only the call_id where there is no key.
struct Record {
  RecordType type = RecordType::kGone;
  SessionKey key{};
  Side side = Side::kFrom;
  IpAddress local{};
  std::vector<Media> media{};
  std::vector<uint16_t> bases{};
  Endpoint socket{}, source{};  // source none: nobody is believed any more
};

// Each appends one record to `out`; false, and nothing is appended, for what
// could not be read again. Longer URIs are cut at kUriOctets.
[[nodiscard]] bool PutAllocated(const SessionKey& key, Side side,
                                const IpAddress& local,
                                absl::Span<const Media> media,
                                absl::Span<const uint16_t> bases,
                                std::string* out);
[[nodiscard]] bool PutActivated(const SessionKey& key, std::string* out);
[[nodiscard]] bool PutClosed(const SessionKey& key, std::string* out);
[[nodiscard]] bool PutGone(std::string_view call_id, std::string* out);
[[nodiscard]] bool PutConfirmed(std::string_view call_id,
                                const Endpoint& socket, const Endpoint& source,
                                std::string* out);
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
// Reads one record. `record` is overwritten and keeps its memory.
Got Get(std::string_view in, Record* record);

// Each record of whole ones, as read and as its octets; the latter say where in
// `octets` it stands.
template <typename Do>
void ForEachRecord(std::string_view octets, Record* record, Do&& act) {
  while (!octets.empty()) {
    const Got got = Get(octets, record);
    CHECK(got.octets != 0);  // it was good when it was taken
    act(*record, octets.substr(0, got.octets));
    octets.remove_prefix(got.octets);
  }
}

}  // namespace sluice::control::journal

#endif  // SLUICE_CONTROL_SESSION_JOURNAL_CODEC_H_
