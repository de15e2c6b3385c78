#include "control/nathelper_arguments.h"

#include <charconv>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_format.h"
#include "base/address.h"
#include "base/status_macros.h"

namespace sluice::control {
namespace {

using storable::Value;

constexpr int64_t kPortsEnd = 65536;
constexpr uint32_t kDefaultClockHz = 8000;
// Above every registered RTP clock; below where jitter arithmetic would mind.
constexpr uint32_t kClockHzMax = 1'000'000;

// A decimal number and nothing else, within `Integer`.
template <typename Integer>
std::optional<Integer> ToDecimal(std::string_view text) {
  Integer number = 0;
  const char* const end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, number);
  if (error != std::errc() || rest != end) return std::nullopt;
  return number;
}

std::optional<int64_t> ToInteger(const Value& value) {
  if (const int64_t* number = value.integer()) return *number;
  if (const std::string* bytes = value.bytes()) {
    return ToDecimal<int64_t>(*bytes);
  }
  return std::nullopt;
}

// A scalar as the octets that Perl would take it for.
std::optional<std::string> ToBytes(const Value& value) {
  if (const std::string* bytes = value.bytes()) return *bytes;
  if (const int64_t* number = value.integer()) return std::to_string(*number);
  return std::nullopt;
}

absl::StatusOr<std::string> ParseId(const Value& value, std::string_view what,
                                    size_t bytes_max) {
  std::optional<std::string> id = ToBytes(value);
  if (!id.has_value()) {
    return absl::InvalidArgumentError(
        absl::StrFormat("%s must be a string", what));
  }
  if (id->size() > bytes_max) {
    return absl::OutOfRangeError(absl::StrFormat(
        "%s has %d octets, %d are allowed", what, id->size(), bytes_max));
  }
  return *std::move(id);
}

// Who sent From and To is for people to read, so it is cut and never refused.
std::string UriAt(const Value::List& nat_basic, size_t index, size_t max) {
  if (index >= nat_basic.size()) return "";
  return ToBytes(nat_basic[index]).value_or("").substr(0, max);
}

bool MeansAll(const Value& cseq) {
  return cseq.is_undef() ||
         (cseq.bytes() != nullptr && cseq.bytes()->empty()) ||
         ToInteger(cseq) == 0;
}

// RTP clocks of the static payload types that have another than 8000 Hz
// (RFC 3551 6, tables 4 and 5).
uint32_t StaticClockHz(uint8_t payload_type) {
  switch (payload_type) {
    case 6: return 16000;
    case 10:
    case 11: return 44100;
    case 14:
    case 25:
    case 26:
    case 28:
    case 31:
    case 32:
    case 33:
    case 34: return 90000;
    case 16: return 11025;
    case 17: return 22050;
    default: return kDefaultClockHz;
  }
}

// "rtpmap:0 PCMU/8000" or "rtpmap:111 opus/48000/2" for that payload type
// (RFC 8866 6.6).
std::optional<uint32_t> RtpmapClockHz(std::string_view attribute,
                                      std::string_view payload_type) {
  constexpr std::string_view kRtpmap = "rtpmap:";
  if (!attribute.starts_with(kRtpmap)) return std::nullopt;
  attribute.remove_prefix(kRtpmap.size());
  if (!attribute.starts_with(payload_type)) return std::nullopt;
  attribute.remove_prefix(payload_type.size());
  if (!attribute.starts_with(' ')) return std::nullopt;
  const size_t slash = attribute.find('/');
  if (slash == std::string_view::npos) return std::nullopt;
  std::string_view clock = attribute.substr(slash + 1);
  clock = clock.substr(0, clock.find('/'));
  const std::optional<uint32_t> hz = ToDecimal<uint32_t>(clock);
  if (!hz.has_value() || *hz == 0 || *hz > kClockHzMax) return std::nullopt;
  return hz;
}

// The clock of the format listed first, which is the one that will be sent
// (RFC 3264 6.1). Only the jitter figures depend on it, so whatever is odd here
// gives the default and refuses nothing.
uint32_t ClockHz(const Value& medium) {
  const Value* formats = medium.Find("fmt");
  if (formats == nullptr || formats->list() == nullptr ||
      formats->list()->empty()) {
    return kDefaultClockHz;
  }
  const std::optional<std::string> format = ToBytes(formats->list()->front());
  if (!format.has_value()) return kDefaultClockHz;
  const Value* lines = medium.Find("lines");
  if (lines != nullptr && lines->list() != nullptr) {
    for (const Value& line : *lines->list()) {
      const Value::List* pair = line.list();
      if (pair == nullptr || pair->size() != 2) continue;
      const std::string* type = (*pair)[0].bytes();
      const std::string* text = (*pair)[1].bytes();
      if (type == nullptr || *type != "a" || text == nullptr) continue;
      if (const auto hz = RtpmapClockHz(*text, *format)) return *hz;
    }
  }
  const std::optional<uint8_t> payload_type = ToDecimal<uint8_t>(*format);
  return payload_type ? StaticClockHz(*payload_type) : kDefaultClockHz;
}

// RTP with its RTCP, or something that is to be passed on as it is. A client
// that does not send the protocol still tells by the number of ports.
relay::FlowKind FirstFlow(const Value& medium, int range) {
  const Value* proto = medium.Find("proto");
  const std::string* name = proto == nullptr ? nullptr : proto->bytes();
  const bool rtp = name == nullptr ? range % 2 == 0 : name->starts_with("RTP/");
  if (!rtp) return relay::FlowKind::kRaw;
  return name != nullptr && name->starts_with("RTP/SAVP")
             ? relay::FlowKind::kSrtp
             : relay::FlowKind::kRtp;
}

absl::StatusOr<Media> ParseMedium(const Value& value,
                                  const ArgumentLimits& limits) {
  if (value.map() == nullptr) {
    return absl::InvalidArgumentError("a medium must be a map");
  }
  Media medium;
  ASSIGN_OR_RETURN(medium.ip, ParseAddress(value.Find("addr"), "addr"));
  ASSIGN_OR_RETURN(const int64_t port,
                   ParseNumber(value.Find("port"), "port", 0, kPortsEnd - 1));
  medium.port = static_cast<uint16_t>(port);
  const Value* range = value.Find("range");
  // Left out it means RTP and RTCP, as for the original.
  if (range != nullptr && !range->is_undef()) {
    ASSIGN_OR_RETURN(const int64_t ports,
                     ParseNumber(range, "range", 1, limits.range_max));
    medium.range = static_cast<int>(ports);
  }
  if (medium.port + medium.range > kPortsEnd) {
    return absl::OutOfRangeError("port and range reach beyond port 65535");
  }
  medium.first = FirstFlow(value, medium.range);
  medium.clock_hz = ClockHz(value);
  return medium;
}

}  // namespace

absl::StatusOr<int64_t> ParseNumber(const Value* value, std::string_view what,
                                    int64_t least, int64_t most) {
  const std::optional<int64_t> number =
      value == nullptr ? std::nullopt : ToInteger(*value);
  if (!number.has_value()) {
    return absl::InvalidArgumentError(
        absl::StrFormat("%s must be a number", what));
  }
  if (*number < least || *number > most) {
    return absl::OutOfRangeError(absl::StrFormat("%s is %d, not within %d..%d",
                                                 what, *number, least, most));
  }
  return *number;
}

absl::StatusOr<IpAddress> ParseAddress(const Value* value,
                                       std::string_view what) {
  const std::string* text = value == nullptr ? nullptr : value->bytes();
  const std::optional<IpAddress> ip =
      text == nullptr ? std::nullopt : IpAddress::Parse(*text);
  if (!ip.has_value()) {
    return absl::UnimplementedError(
        absl::StrFormat("%s is not an IP literal", what));
  }
  return *ip;
}

absl::StatusOr<Side> ParseSide(const Value& value) {
  if (value.integer() == nullptr && value.bytes() == nullptr) {
    return absl::InvalidArgumentError("side must be a number");
  }
  // An empty string is Perl's false.
  const bool zero = ToInteger(value) == 0 ||
                    (value.bytes() != nullptr && value.bytes()->empty());
  return zero ? Side::kFrom : Side::kTo;
}

absl::StatusOr<SessionKey> ParseKey(const Value& nat_basic, CseqRule rule,
                                    const ArgumentLimits& limits) {
  const Value::List* list = nat_basic.list();
  if (list == nullptr || list->size() < 4) {
    return absl::InvalidArgumentError(
        "the first argument must be a list of call-id, cseq, idfrom, idto");
  }
  SessionKey key;
  const size_t max = limits.id_bytes_max;
  ASSIGN_OR_RETURN(key.call_id, ParseId((*list)[0], "call-id", max));
  const Value& cseq = (*list)[1];
  if (rule == CseqRule::kOne || !MeansAll(cseq)) {
    ASSIGN_OR_RETURN(
        const int64_t number,
        ParseNumber(&cseq, "cseq", 0, std::numeric_limits<uint32_t>::max()));
    key.cseq = static_cast<uint32_t>(number);
  }
  ASSIGN_OR_RETURN(key.id_from, ParseId((*list)[2], "idfrom", max));
  ASSIGN_OR_RETURN(key.id_to, ParseId((*list)[3], "idto", max));
  key.uri_from = UriAt(*list, 4, max);
  key.uri_to = UriAt(*list, 5, max);
  return key;
}

absl::StatusOr<std::vector<Media>> ParseMedia(const Value& media,
                                              const ArgumentLimits& limits) {
  const Value::List* list = media.list();
  if (list == nullptr) {
    return absl::InvalidArgumentError("the media must be a list of maps");
  }
  if (list->size() > limits.media_max) {
    return absl::OutOfRangeError(absl::StrFormat(
        "%d media, %d are allowed", list->size(), limits.media_max));
  }
  std::vector<Media> parsed;
  parsed.reserve(list->size());
  for (const Value& value : *list) {
    ASSIGN_OR_RETURN(Media medium, ParseMedium(value, limits));
    parsed.push_back(medium);
  }
  return parsed;
}

}  // namespace sluice::control
