#include "sip/sdp.h"

#include <algorithm>
#include <array>
#include <cstddef>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "base/text.h"
#include "sip/cursor.h"
#include "sip/fields.h"

namespace sluice::sip {
namespace {

absl::Status Bad(const char* why) { return absl::InvalidArgumentError(why); }

// The next word of `rest`; "" at the end. One space or more between two.
std::string_view TakeWord(std::string_view* rest) {
  rest->remove_prefix(std::min(rest->find_first_not_of(' '), rest->size()));
  const size_t length = std::min(rest->find(' '), rest->size());
  const std::string_view word = rest->substr(0, length);
  rest->remove_prefix(length);
  return word;
}

// "IN IP4 192.0.2.1", nothing behind it.
absl::StatusOr<IpAddress> ParseAddress(std::string_view text) {
  if (TakeWord(&text) != "IN") return Bad("the network is not IN");
  const std::string_view family = TakeWord(&text);
  if (family != "IP4" && family != "IP6") return Bad("neither IP4 nor IP6");
  const std::string_view literal = TakeWord(&text);
  if (!Trim(text).empty()) return Bad("more than an address");
  if (literal.empty()) return Bad("no address");
  const auto ip = IpAddress::Parse(literal);
  if (!ip) {
    return absl::UnimplementedError(
        "not a literal address, or one with a TTL or a range");
  }
  if ((literal.find(':') != literal.npos) != (family == "IP6")) {
    return Bad("an address of the other family");
  }
  return *ip;
}

// Without regard to case: what a loose reader takes for a candidate must not
// pass either.
bool IsIce(std::string_view attribute) {
  static constexpr std::string_view kNames[] = {
      "candidate",    "ice-ufrag",         "ice-pwd",
      "ice-options",  "ice-pacing",        "ice-lite",
      "ice-mismatch", "remote-candidates", "end-of-candidates"};
  return std::any_of(std::begin(kNames), std::end(kNames),
                     [&](std::string_view name) {
                       return EqualsNoCase(Trim(attribute), name);
                     });
}

std::optional<SdpMedium::Direction> DirectionOf(std::string_view attribute) {
  if (attribute == "sendrecv") return SdpMedium::Direction::kSendRecv;
  if (attribute == "sendonly") return SdpMedium::Direction::kSendOnly;
  if (attribute == "recvonly") return SdpMedium::Direction::kRecvOnly;
  if (attribute == "inactive") return SdpMedium::Direction::kInactive;
  return std::nullopt;
}

// Clock rates of the static payload types, RFC 3551 6; 0: none there.
uint32_t StaticClock(uint64_t payload_type) {
  static constexpr auto kClocks = [] {
    std::array<uint32_t, 35> hz{};
    for (const int type : {0, 3, 4, 5, 7, 8, 9, 12, 13, 15, 18})
      hz[type] = 8000;
    hz[6] = 16'000;
    hz[10] = hz[11] = 44'100;
    hz[16] = 11'025;
    hz[17] = 22'050;
    for (const int type : {14, 25, 26, 28, 31, 32, 33, 34}) hz[type] = 90'000;
    return hz;
  }();
  return payload_type < kClocks.size() ? kClocks[payload_type] : 0;
}

bool IsOneOf(std::string_view text,
             std::initializer_list<std::string_view> names) {
  return std::any_of(names.begin(), names.end(), [&](std::string_view name) {
    return EqualsNoCase(text, name);
  });
}

}  // namespace

bool SdpMedium::is_rtp() const {
  return IsOneOf(proto, {"RTP/AVP", "RTP/AVPF"}) || is_srtp();
}

bool SdpMedium::is_srtp() const {
  return IsOneOf(proto, {"RTP/SAVP", "RTP/SAVPF", "UDP/TLS/RTP/SAVP",
                         "UDP/TLS/RTP/SAVPF"});
}

bool SdpMedium::is_udp() const {
  return is_rtp() || IsOneOf(proto, {"udptl", "udp"}) ||
         EqualsNoCase(proto.substr(0, 4), "UDP/");
}

// Reads line by line into an Sdp. What a section says is kept beside it until
// the section is over.
class Sdp::Parser {
 public:
  explicit Parser(Sdp* sdp) : sdp_(*sdp) {}

  absl::Status OnLine(Line line) {
    line.section = static_cast<int>(sdp_.media_.size()) - 1;
    if (line.text.empty()) {
      ended_ = true;
    } else if (ended_) {
      return Bad("an empty line in the middle");
    } else {
      RETURN_IF_ERROR(OnText(&line));
    }
    sdp_.lines_.push_back(line);
    return absl::OkStatus();
  }

  // What only the whole tells.
  absl::Status Finish() {
    if (sdp_.lines_.size() < 2 || sdp_.lines_[1].type != 'o') {
      return Bad("no o= in the second line");
    }
    EndSection();
    for (size_t i = 0; i < sdp_.media_.size(); ++i) {
      SdpMedium& medium = sdp_.media_[i];
      if (!sdp_.own_address_[i]) {
        if (sdp_.session_address_) {
          medium.address = *sdp_.session_address_;
        } else if (medium.port != 0) {
          return Bad("a medium without c=");
        } else {
          continue;
        }
      }
      medium.any_address = medium.address.is_any();
    }
    return absl::OkStatus();
  }

 private:
  bool in_session() const { return sdp_.media_.empty(); }
  SdpMedium& medium() { return sdp_.media_.back(); }

  absl::Status OnText(Line* line) {
    const std::string_view text = line->text;
    if (text.size() < 2 || text[0] < 'a' || text[0] > 'z' || text[1] != '=') {
      return Bad("not of the form x=...");
    }
    line->type = text[0];
    const std::string_view value = text.substr(2);
    const size_t number = sdp_.lines_.size();
    if (number == 0 && text != "v=0") return Bad("v=0 is not the first line");
    if (number != 0 && line->type == 'v') return Bad("a second v=");
    if ((number == 1) != (line->type == 'o')) {
      return Bad("o= is the second line, and no other");
    }
    switch (line->type) {
      case 'o': return OnOrigin(value, line);
      case 'c': return OnConnection(value, line);
      case 'm': return OnMedium(value, line);
      case 'a': return OnAttribute(value, line);
      default: return absl::OkStatus();
    }
  }

  // user session version IN IP4 address. The address may be a name: it is told
  // to nobody.
  absl::Status OnOrigin(std::string_view value, Line* line) {
    line->role = Role::kOrigin;
    TakeWord(&value);
    sdp_.origin_session_ = TakeWord(&value);
    const auto version = ParseNumber(TakeWord(&value), UINT64_MAX);
    if (!version) return Bad("the version in o= is no number");
    sdp_.origin_version_ = *version;
    if (TakeWord(&value) != "IN" ||
        !IsOneOf(TakeWord(&value), {"IP4", "IP6"}) ||
        TakeWord(&value).empty() || !Trim(value).empty()) {
      return Bad("o= does not end with IN IP4 or IP6 and an address");
    }
    return absl::OkStatus();
  }

  absl::Status OnConnection(std::string_view value, Line* line) {
    line->role = Role::kConnection;
    if (in_session() ? sdp_.session_address_.has_value()
                     : sdp_.own_address_.back()) {
      return Bad("a second c= in one section");
    }
    ASSIGN_OR_RETURN(const IpAddress ip, ParseAddress(value));
    if (in_session()) {
      sdp_.session_address_ = ip;
    } else {
      medium().address = ip;
      sdp_.own_address_.back() = true;
    }
    return absl::OkStatus();
  }

  absl::Status OnMedium(std::string_view value, Line* line) {
    if (sdp_.media_.size() == kSdpMediaMax) return Bad("too many media");
    EndSection();
    SdpMedium next;
    next.direction = session_direction_;
    next.type = TakeWord(&value);
    line->port = TakeWord(&value);
    next.proto = TakeWord(&value);
    next.formats = Trim(value);
    const std::string_view digits = line->port.substr(0, line->port.find('/'));
    const auto port = ParseNumber(digits, UINT16_MAX);
    if (!port) return Bad("no port in m=");
    next.port = static_cast<uint16_t>(*port);
    if (digits.size() != line->port.size()) {
      const auto count =
          ParseNumber(line->port.substr(digits.size() + 1), kSdpCountMax);
      if (!count || *count == 0) return Bad("a wrong count of ports in m=");
      next.count = static_cast<int>(*count);
    }
    if (next.proto.empty()) return Bad("no protocol in m=");
    if (next.formats.empty() && next.port != 0) return Bad("no format in m=");
    if (next.count > 1 && next.port + next.ports() > UINT16_MAX + 1) {
      return Bad("ports beyond 65535 in m=");
    }
    line->role = Role::kMedium;
    line->section = static_cast<int>(sdp_.media_.size());
    sdp_.media_.push_back(next);
    sdp_.own_address_.push_back(false);
    has_direction_ = has_rtcp_ = false;
    return absl::OkStatus();
  }

  absl::Status OnAttribute(std::string_view value, Line* line) {
    const std::string_view name = value.substr(0, value.find(':'));
    if (IsIce(name)) {
      line->role = Role::kDrop;
      return absl::OkStatus();
    }
    if (name == "rtcp" && name.size() != value.size()) {
      return OnRtcp(value.substr(name.size() + 1), line);
    }
    if (const auto direction = DirectionOf(Trim(value))) {
      if (has_direction_) return absl::OkStatus();  // the first counts
      (in_session() ? session_direction_ : medium().direction) = *direction;
      has_direction_ = true;
    } else if (!in_session() && Trim(value) == "rtcp-mux") {
      medium().rtcp_mux = true;
    } else if (!in_session() && name == "rtpmap") {
      OnRtpMap(value.substr(std::min(name.size() + 1, value.size())));
    }
    return absl::OkStatus();
  }

  // port [IN IP4 address], of a section only (RFC 3605 2.1).
  absl::Status OnRtcp(std::string_view value, Line* line) {
    line->role = Role::kRtcp;
    const auto port = ParseNumber(TakeWord(&value), UINT16_MAX);
    if (!port) return Bad("no port in a=rtcp");
    std::optional<IpAddress> ip;
    if (!Trim(value).empty()) {
      ASSIGN_OR_RETURN(ip, ParseAddress(value));
      line->address = true;
    }
    if (in_session()) {
      line->role = Role::kDrop;
      return absl::OkStatus();
    }
    if (has_rtcp_) return Bad("a second a=rtcp in one section");
    has_rtcp_ = true;
    if (*port == 0) return absl::OkStatus();
    medium().rtcp_port = static_cast<uint16_t>(*port);
    medium().rtcp_address = ip;
    return absl::OkStatus();
  }

  // The first one of the first format counts.
  void OnRtpMap(std::string_view value) {
    std::string_view formats = medium().formats;
    if (medium().clock_hz != 0 || TakeWord(&value) != TakeWord(&formats)) {
      return;
    }
    const size_t slash = value.find('/');
    if (slash == std::string_view::npos) return;
    value.remove_prefix(slash + 1);
    const auto hz =
        ParseNumber(Trim(value.substr(0, value.find('/'))), UINT32_MAX);
    medium().clock_hz = static_cast<uint32_t>(hz.value_or(0));
  }

  void EndSection() {
    if (in_session() || medium().clock_hz != 0 || !medium().is_rtp()) return;
    std::string_view formats = medium().formats;
    const auto type = ParseNumber(TakeWord(&formats), 127);
    if (type) medium().clock_hz = StaticClock(*type);
  }

  Sdp& sdp_;
  SdpMedium::Direction session_direction_ = SdpMedium::Direction::kSendRecv;
  bool ended_ = false;  // an empty line has come
  // Of the section that is being read.
  bool has_direction_ = false;
  bool has_rtcp_ = false;
};

absl::StatusOr<Sdp> Sdp::Parse(std::string_view text) {
  Sdp sdp;
  Parser parser(&sdp);
  absl::Status status;
  while (!text.empty() && status.ok()) {
    const size_t lf = text.find('\n');
    const size_t length = lf == std::string_view::npos ? text.size() : lf;
    Line line;
    line.text = text.substr(0, length);
    line.end = text.substr(length, length == text.size() ? 0 : 1);
    text.remove_prefix(length + line.end.size());
    if (!line.end.empty() && line.text.ends_with('\r')) {
      line.text.remove_suffix(1);
      line.end = {line.end.data() - 1, 2};
    }
    if (sdp.lines_.size() == kSdpLinesMax) {
      status = Bad("too many lines");
    } else if (line.text.find_first_of(std::string_view("\r\0", 2)) !=
               std::string_view::npos) {
      status = Bad("NUL, or CR without LF");
    } else {
      status = parser.OnLine(line);
    }
  }
  const size_t number = sdp.lines_.size() + (status.ok() ? 0 : 1);
  if (status.ok()) status = parser.Finish();
  if (!status.ok()) {
    return absl::Status(status.code(), absl::StrCat("SDP line ", number, ": ",
                                                    status.message()));
  }
  return sdp;
}

}  // namespace sluice::sip
