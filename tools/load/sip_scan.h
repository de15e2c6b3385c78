#ifndef SLUICE_TOOLS_LOAD_SIP_SCAN_H_
#define SLUICE_TOOLS_LOAD_SIP_SCAN_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "base/address.h"

namespace sluice::load {

// As much of a SIP message as the generator looks at, in views of the octets
// that it was read from. Lines are whole, continuation lines and the line's end
// included, so that a response is made by copying them.
//
// It is read in one pass and judged very little: sip/message.h is what finds
// faults, and costs more than a generator can spend on each message.
struct SipScan {
  static constexpr size_t kLinesMax = 16;  // Via, and Record-Route

  int status = 0;             // of a response; 0: it is a request
  std::string_view method{};  // of the request, or of a response's CSeq
  uint32_t cseq = 0;
  std::string_view call_id{};
  std::string_view from_line{}, to_line{}, call_id_line{}, cseq_line{};
  std::string_view contact{};    // value of the first
  std::string_view challenge{};  // WWW- or Proxy-Authenticate, the first value
  std::string_view body{};

  std::span<const std::string_view> vias() const {
    return {via_lines.data(), via_count};
  }
  std::span<const std::string_view> record_routes() const {
    return {route_lines.data(), route_count};
  }

  std::array<std::string_view, kLinesMax> via_lines{}, route_lines{};
  size_t via_count = 0, route_count = 0;
};

// False for what has no start line, no Via, From, To, Call-ID or CSeq, or more
// of Via or Record-Route than there is room for.
bool ScanSip(std::string_view message, SipScan* out) noexcept;

// What is behind the colon of a header line, without white space around it.
std::string_view SipLineValue(std::string_view line) noexcept;
// The address in a name-addr: between < and >, or, where there are none, up to
// the parameters (RFC 3261 20.10).
std::string_view SipAddressOf(std::string_view value) noexcept;
// Whether a From or To has a tag.
bool HasSipTag(std::string_view line) noexcept;

// The Call-IDs of a run say which run and which of its transactions they are:
//
//   RRRRRRRR-NNNNNNNN@sluiceload      both in hexadecimal
//
struct SipNumber {
  uint32_t run = 0;
  uint32_t number = 0;
};
inline constexpr std::string_view kSipCallIdEnd = "@sluiceload";
// False for Call-IDs that are not of this kind.
bool ReadSipCallId(std::string_view call_id, SipNumber* out) noexcept;

// Where a session description wants audio to be sent: the port of its first
// m=audio, at the address of the c= below it or of the session's (RFC 8866
// 5.7). nullopt for nowhere, which port 0 and the address 0.0.0.0 are, too.
std::optional<Endpoint> SdpAudioAddress(std::string_view sdp);

}  // namespace sluice::load

#endif  // SLUICE_TOOLS_LOAD_SIP_SCAN_H_
