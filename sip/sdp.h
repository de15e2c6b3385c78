#ifndef SLUICE_SIP_SDP_H_
#define SLUICE_SIP_SDP_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "base/address.h"

namespace sluice::sip {

// A peer's description is small; these bound what it makes us hold.
inline constexpr size_t kSdpMediaMax = 32;
inline constexpr size_t kSdpLinesMax = 1'024;
// Of "port/count": with RTCP as many ports as a relay gives one medium.
inline constexpr int kSdpCountMax = 8;

// One "m=" section (RFC 8866 5.14) as views.
struct SdpMedium {
  std::string_view type;     // "audio"
  std::string_view proto;    // "RTP/AVP"
  std::string_view formats;  // "0 8 101", trimmed
  uint16_t port = 0;         // 0: refused (RFC 3264 6)
  int count = 1;             // of "port/count"
  IpAddress address{};       // c= of the section, else of the session
  bool any_address = false;  // c= is 0.0.0.0 or ::, the old way to hold
  std::optional<uint16_t> rtcp_port;      // a=rtcp (RFC 3605)
  std::optional<IpAddress> rtcp_address;  // of the same
  bool rtcp_mux = false;                  // a=rtcp-mux (RFC 5761)
  uint32_t clock_hz =
      0;  // of the first format: rtpmap, else RFC 3551; 0 unknown
  enum class Direction : uint8_t { kSendRecv, kSendOnly, kRecvOnly, kInactive };
  Direction direction = Direction::kSendRecv;  // of the section, else session's

  bool is_rtp() const;   // RTP/AVP, RTP/AVPF, and those below
  bool is_srtp() const;  // RTP/SAVP(F), UDP/TLS/RTP/SAVP(F)
  bool is_udp() const;   // is_rtp, or udptl, udp, UDP/...
  // Ports it listens on, one after the other: two for each RTP stream (with
  // multiplexed RTCP, too: the answer may not take it), one for the rest.
  int ports() const { return is_rtp() ? 2 * count : count; }
};

// A session description as views into the text it was parsed from.
//
// Lines end with CRLF or LF, the last one perhaps with neither; empty lines are
// let pass at the end only. Strict where a loose reading would let two elements
// see two sessions: every line is x=..., v= first, o= second, at most one c=
// and one a=rtcp a section, only IN IP4/IP6 with literals of that family, no
// NUL and no bare CR anywhere. A host name in c= is refused (Unimplemented), as
// is TTL or a multicast range. What is not understood (b=, a=crypto, ...) is
// not looked into.
//
// Thread: any; a value.
class Sdp {
 public:
  // InvalidArgument or Unimplemented, with the line's number.
  static absl::StatusOr<Sdp> Parse(std::string_view text);
  const std::vector<SdpMedium>& media() const { return media_; }

  // What is announced instead for one medium, in the order of media().
  struct Listen {
    IpAddress ip{};     // may be none for a refused medium
    uint16_t port = 0;  // of the RTP; its RTCP is announced as port + 1; 0
                        // refuses the medium
  };
  struct Rewrite {
    absl::Span<const Listen> listen{};  // as many as media()
    // o=: the address told instead of the party's (RFC 8866 5.2). The user is
    // "-", the session id is made by `origin_id` of the one that came, the
    // version goes up exactly when the text that is sent changes for a reason
    // of ours or theirs: it is theirs plus `version_offset`, in the 63 bits
    // that RFC 3264 5 gives it.
    IpAddress origin{};
    uint64_t origin_id = 0;
    uint64_t version_offset = 0;
  };
  // The text with c=, m= ports, a=rtcp and o= replaced and ICE taken out
  // (a=candidate, ice-ufrag, ice-pwd, ice-options, ice-pacing, ice-lite,
  // ice-mismatch, remote-candidates, end-of-candidates): the relay is no
  // candidate of its party's making, and a direct path would go past it. Every
  // other line stays octet for octet. Refused media (port 0) stay refused, and
  // their a=rtcp goes, as it does where there is no RTP; on hold stays on hold:
  // 0.0.0.0 is told where it came (:: when we listen on IPv6), directions pass.
  //
  // Session-level c= is kept where one address serves all that go by it, else
  // it goes and every one of them gets its own.
  std::string Apply(const Rewrite& rewrite) const;

  // "o=" of what came.
  std::string_view origin_session() const { return origin_session_; }
  uint64_t origin_version() const { return origin_version_; }

 private:
  // What Apply does with a line.
  enum class Role : uint8_t {
    kKeep,
    kDrop,
    kOrigin,
    kConnection,
    kMedium,
    kRtcp
  };
  struct Line {
    char type = 0;  // 0: empty
    Role role = Role::kKeep;
    int section = -1;         // -1: session level
    std::string_view text;    // without the end
    std::string_view end;     // "\r\n", "\n" or, of the last, ""
    std::string_view port{};  // kMedium: "port[/count]"
    bool address = false;     // kRtcp: an address was given
  };
  // Reading (sdp.cc) and writing (sdp_apply.cc).
  class Parser;
  class Writer;

  std::vector<SdpMedium> media_;
  std::vector<Line> lines_;
  std::string_view origin_session_;
  uint64_t origin_version_ = 0;
  std::optional<IpAddress> session_address_;  // c= of the session
  std::vector<bool> own_address_;             // c= of the section, for each
};

// Where the session description lies in a body of that Content-Type: the whole
// of it, or the one application/sdp part of a multipart (RFC 5621), also
// nested once. nullopt: there is none, or it is not written plainly (a
// Content-Transfer-Encoding that is more than a name). Of several nobody knows
// which one counts: then it is "", which is no description. An empty type is
// taken as application/sdp when there is a body.
std::optional<std::string_view> FindSdp(std::string_view content_type,
                                        std::string_view body);

}  // namespace sluice::sip

#endif  // SLUICE_SIP_SDP_H_
