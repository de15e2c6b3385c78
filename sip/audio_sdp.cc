#include "sip/audio_sdp.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <optional>
#include <utility>

#include "absl/status/status.h"
#include "base/check.h"
#include "base/status_macros.h"
#include "base/text.h"
#include "sip/cursor.h"
#include "sip/fields.h"

namespace sluice::sip {
namespace {

using Direction = SdpMedium::Direction;

constexpr uint64_t kPayloadTypeMax = 127;
constexpr uint16_t kAllEvents = 0xffff;  // 0 to 15
constexpr uint64_t kPtimeReadMax = 10'000;

bool Sends(Direction d) {
  return d == Direction::kSendRecv || d == Direction::kSendOnly;
}
bool Receives(Direction d) {
  return d == Direction::kSendRecv || d == Direction::kRecvOnly;
}
const char* NameOf(bool sends, bool receives) {
  if (sends) return receives ? "sendrecv" : "sendonly";
  return receives ? "recvonly" : "inactive";
}

// --- What a section says ---------------------------------------------------

std::string_view TakeWord(std::string_view* rest) {
  *rest = Trim(*rest);
  const std::string_view word = rest->substr(0, rest->find(' '));
  rest->remove_prefix(word.size());
  return word;
}

// One payload number of m=, as far as it is anything to us.
struct Format {
  uint8_t number = 0;
  std::optional<rtp::Codec> codec{};
  uint16_t events = 0;  // telephone-event with these; 0: is none
};

struct Section {
  std::vector<Format> formats;
  std::optional<int> ptime;
  std::optional<int> maxptime;

  const Format* event() const {
    const auto it = std::find_if(formats.begin(), formats.end(),
                                 [](const Format& f) { return f.events != 0; });
    return it == formats.end() ? nullptr : &*it;
  }
  const Format* of(rtp::Codec codec) const {
    const auto it =
        std::find_if(formats.begin(), formats.end(),
                     [&](const Format& f) { return f.codec == codec; });
    return it == formats.end() ? nullptr : &*it;
  }
};

// "0-15", "0-11,16,32-49" (RFC 4733 2.4.1). What cannot be read says nothing,
// and then 0 to 15 are meant.
uint16_t ReadEvents(std::string_view list) {
  uint16_t events = 0;
  list = Trim(list);
  while (!list.empty()) {
    const size_t comma = std::min(list.find(','), list.size());
    const std::string_view range = Trim(list.substr(0, comma));
    list.remove_prefix(std::min(comma + 1, list.size()));
    const size_t dash = std::min(range.find('-'), range.size());
    const auto first = ParseNumber(Trim(range.substr(0, dash)), 255);
    const auto last = dash == range.size()
                          ? first
                          : ParseNumber(Trim(range.substr(dash + 1)), 255);
    if (!first || !last || *first > *last) return kAllEvents;
    for (uint64_t n = *first; n <= *last && n < 16; ++n) {
      events = static_cast<uint16_t>(events | 1U << n);
    }
  }
  return events;
}

// Numbers that a=rtpmap may give a meaning to. 64 to 95 are RTCP's on a shared
// port (RFC 5761 4); those below 35 have their meaning (RFC 3551 6).
bool IsDynamic(uint64_t number) {
  return number >= 96 || (number >= 35 && number < 64);
}

// `map`: "PCMU/8000[/1]", "" when no line is there.
Format ReadFormat(uint8_t number, std::string_view map,
                  std::optional<std::string_view> fmtp) {
  Format format{.number = number};
  const auto fixed = rtp::CodecOfPayloadType(number);
  if (map.empty()) {
    format.codec = fixed;
    return format;
  }
  const size_t slash = std::min(map.find('/'), map.size());
  const std::string_view name = Trim(map.substr(0, slash));
  std::string_view clock = map.substr(std::min(slash + 1, map.size()));
  const size_t second = std::min(clock.find('/'), clock.size());
  const std::string_view channels = Trim(clock.substr(second));
  clock = Trim(clock.substr(0, second));
  if (ParseNumber(clock, UINT32_MAX) != rtp::kSampleHz ||
      !(channels.empty() || channels == "/1")) {
    return format;
  }
  // A static number mapped to something else is let go: whoever reads loosely
  // would hear the other codec.
  if (const auto codec = rtp::CodecOfName(name)) {
    if (fixed == codec || IsDynamic(number)) format.codec = codec;
  } else if (EqualsNoCase(name, "telephone-event") && IsDynamic(number)) {
    format.events = fmtp ? ReadEvents(*fmtp) : kAllEvents;
  }
  return format;
}

std::optional<int> ReadPtime(std::string_view value) {
  value = Trim(value);
  const auto ms = ParseNumber(value.substr(0, value.find('.')), kPtimeReadMax);
  if (!ms || *ms == 0) return std::nullopt;
  return static_cast<int>(*ms);
}

// The first line of a kind counts, here as in Sdp.
Section ReadSection(const SdpMedium& medium,
                    const std::vector<std::string_view>& attributes) {
  Section section;
  std::array<std::string_view, kPayloadTypeMax + 1> maps;
  std::array<std::optional<std::string_view>, kPayloadTypeMax + 1> fmtps;
  for (std::string_view value : attributes) {
    const size_t colon = std::min(value.find(':'), value.size());
    const std::string_view name = value.substr(0, colon);
    value.remove_prefix(std::min(colon + 1, value.size()));
    if (name == "ptime") {
      if (!section.ptime) section.ptime = ReadPtime(value);
    } else if (name == "maxptime") {
      if (!section.maxptime) section.maxptime = ReadPtime(value);
    } else if (name == "rtpmap" || name == "fmtp") {
      const auto number = ParseNumber(TakeWord(&value), kPayloadTypeMax);
      if (!number) continue;
      value = Trim(value);
      if (name == "fmtp") {
        if (!fmtps[*number]) fmtps[*number] = value;
      } else if (maps[*number].empty()) {
        maps[*number] = value;
      }
    }
  }
  std::array<bool, kPayloadTypeMax + 1> seen{};
  std::string_view formats = medium.formats;
  for (auto word = TakeWord(&formats); !word.empty();
       word = TakeWord(&formats)) {
    const auto number = ParseNumber(word, kPayloadTypeMax);
    if (!number || std::exchange(seen[*number], true)) continue;
    section.formats.push_back(ReadFormat(static_cast<uint8_t>(*number),
                                         maps[*number], fmtps[*number]));
  }
  return section;
}

// A description that Sdp let pass, with the attributes of each section and the
// value of the first t=.
struct Description {
  Sdp sdp;
  std::vector<std::vector<std::string_view>> attributes;
  std::string_view time{};

  const std::vector<SdpMedium>& media() const { return sdp.media(); }
  Section section(size_t i) const {
    return ReadSection(media()[i], attributes[i]);
  }
};

absl::StatusOr<Description> Read(std::string_view text) {
  ASSIGN_OR_RETURN(Sdp sdp, Sdp::Parse(text));
  Description d{.sdp = std::move(sdp), .attributes = {}};
  while (!text.empty()) {
    const size_t lf = std::min(text.find('\n'), text.size());
    const std::string_view line = Trim(text.substr(0, lf));
    text.remove_prefix(std::min(lf + 1, text.size()));
    if (line.starts_with("m=")) {
      d.attributes.emplace_back();
    } else if (d.attributes.empty()) {
      if (line.starts_with("t=") && d.time.empty()) d.time = line.substr(2);
    } else if (line.starts_with("a=")) {
      d.attributes.back().push_back(line.substr(2));
    }
  }
  CHECK(d.attributes.size() == d.media().size());
  return d;
}

// --- What can be taken -----------------------------------------------------

bool IsPlainAudio(const SdpMedium& medium) {
  return EqualsNoCase(medium.type, "audio") && medium.is_rtp() &&
         !medium.is_srtp();
}

bool IsOneHost(const IpAddress& ip) {
  return !ip.is_any() && !ip.is_multicast() && !ip.is_reserved();
}

// We could send there, or need not.
bool IsReachable(const SdpMedium& medium, const AudioOurs& ours) {
  return medium.any_address || (IsOneHost(medium.address) &&
                                medium.address.is_v4() == ours.rtp.ip.is_v4());
}

bool Has(const AudioOurs& ours, std::optional<rtp::Codec> codec) {
  return codec && std::find(ours.codecs.begin(), ours.codecs.end(), *codec) !=
                      ours.codecs.end();
}

// The first format of theirs that is a codec of ours.
const Format* Common(const Section& theirs, const AudioOurs& ours) {
  const auto it =
      std::find_if(theirs.formats.begin(), theirs.formats.end(),
                   [&](const Format& f) { return Has(ours, f.codec); });
  return it == theirs.formats.end() ? nullptr : &*it;
}

// What we send: what they ask for, in whole steps of 10 ms.
int PtimeOf(const Section& theirs, const AudioOurs& ours) {
  int ms = theirs.ptime.value_or(ours.ptime_ms);
  if (theirs.maxptime) ms = std::min(ms, *theirs.maxptime);
  ms = std::clamp(ms, kPtimeMsMin, kPtimeMsMax);
  return ms - ms % 10;
}

// None: no port is left, or no one host is told.
Endpoint RtcpOf(const SdpMedium& medium) {
  const IpAddress ip = medium.rtcp_address.value_or(medium.address);
  const uint16_t port =
      medium.rtcp_port.value_or(static_cast<uint16_t>(medium.port + 1));
  if (port == 0 || !IsOneHost(ip)) return {};
  return {ip, Port::FromHost(port)};
}

// All that does not depend on who offered.
AudioAgreed Agree(const SdpMedium& medium, const Section& theirs,
                  const Format& format, const AudioOurs& ours) {
  AudioAgreed agreed;
  agreed.active = true;
  agreed.codec = *format.codec;
  agreed.payload_type = format.number;
  agreed.ptime_ms = PtimeOf(theirs, ours);
  if (const Format* event = theirs.event(); event && ours.event_type != 0) {
    agreed.event_type = event->number;
    agreed.events = event->events;
  }
  agreed.rtcp_mux = medium.rtcp_mux && ours.rtcp_mux;
  if (!medium.any_address) {
    agreed.remote_rtp = {medium.address, Port::FromHost(medium.port)};
    agreed.remote_rtcp = agreed.rtcp_mux ? agreed.remote_rtp : RtcpOf(medium);
    if (agreed.remote_rtcp.ip.is_v4() != ours.rtp.ip.is_v4()) {
      agreed.remote_rtcp = {};
    }
  }
  const bool wanted = Receives(medium.direction) && !medium.any_address;
  agreed.send = Sends(ours.direction) && wanted;
  agreed.receive = Receives(ours.direction) && Sends(medium.direction) &&
                   !ours.hold_by_address;
  agreed.held_by_peer = !wanted;
  return agreed;
}

// --- What we say -----------------------------------------------------------

// A word for o=, a text for s=; "-" where it is none.
std::string_view Word(std::string_view text) {
  const bool good =
      !text.empty() && std::none_of(text.begin(), text.end(), [](char c) {
        return static_cast<unsigned char>(c) <= ' ' || c == 0x7f;
      });
  return good ? text : "-";
}
std::string_view Text(std::string_view text) {
  const bool good =
      !text.empty() && std::none_of(text.begin(), text.end(), [](char c) {
        return static_cast<unsigned char>(c) < ' ' || c == 0x7f;
      });
  return good ? text : "-";
}

void AppendAddress(std::string* out, const IpAddress& ip) {
  Append(out, ip.is_v4() ? "IN IP4 " : "IN IP6 ", ip.ToString(), "\r\n");
}

std::string Head(const AudioOurs& ours, std::string_view time) {
  CHECK(!ours.codecs.empty());
  CHECK(!ours.rtp.ip.is_any());
  CHECK(ours.ptime_ms >= kPtimeMsMin && ours.ptime_ms <= kPtimeMsMax);
  CHECK(ours.event_type == 0 ||
        (ours.event_type >= 96 && ours.event_type <= kPayloadTypeMax));
  std::string out = "v=0\r\n";
  Append(&out, "o=", Word(ours.user), " ", ours.session_id, " ", ours.version,
         " ");
  AppendAddress(&out, ours.rtp.ip);
  Append(&out, "s=", Text(ours.name), "\r\nc=");
  if (ours.hold_by_address) {
    Append(&out, ours.rtp.ip.is_v4() ? "IN IP4 0.0.0.0" : "IN IP6 ::", "\r\n");
  } else {
    AppendAddress(&out, ours.rtp.ip);
  }
  Append(&out, "t=", time, "\r\n");
  return out;
}

// The t= of an answer is that of the offer (RFC 3264 6), where it is one.
std::string_view TimeOf(std::string_view offered) {
  std::string_view rest = offered;
  const bool good = ParseNumber(TakeWord(&rest), UINT64_MAX) &&
                    ParseNumber(TakeWord(&rest), UINT64_MAX) &&
                    Trim(rest).empty();
  return good ? offered : "0 0";
}

void AppendRefused(std::string* out, const SdpMedium& medium) {
  Append(out, "m=", medium.type, " 0 ", medium.proto, " ",
         medium.formats.empty() ? "0" : medium.formats, "\r\n");
}

struct Told {
  std::string_view type = "audio";
  std::string_view proto = "RTP/AVP";
  std::vector<AudioFormat> formats{};
  uint8_t event_type = 0;
  int ptime_ms = 20;
  bool rtcp_mux = false;
  bool sends = false;
  bool receives = false;
};

void AppendAudio(std::string* out, const AudioOurs& ours, const Told& told) {
  const uint16_t port = ours.rtp.port.host();
  Append(out, "m=", told.type, " ", port, " ", told.proto);
  for (const AudioFormat& f : told.formats) Append(out, " ", f.payload_type);
  if (told.event_type != 0) Append(out, " ", told.event_type);
  Append(out, "\r\n");
  if (port == 0) return;
  for (const AudioFormat& f : told.formats) {
    Append(out, "a=rtpmap:", f.payload_type, " ", rtp::Name(f.codec),
           "/8000\r\n");
  }
  if (told.event_type != 0) {
    Append(out, "a=rtpmap:", told.event_type,
           " telephone-event/8000\r\na=fmtp:", told.event_type, " 0-15\r\n");
  }
  Append(out, "a=ptime:", told.ptime_ms, "\r\n");
  if (ours.rtcp_port != 0 && ours.rtcp_port != port + 1) {
    Append(out, "a=rtcp:", ours.rtcp_port, "\r\n");
  }
  if (told.rtcp_mux) Append(out, "a=rtcp-mux\r\n");
  Append(out, "a=", NameOf(told.sends, told.receives), "\r\n");
}

// Where the audio goes: to its place in what stood, in use or refused; else
// behind all others, or, where there is no more room, for one that is refused
// (RFC 3264 8.1).
size_t PlaceOfAudio(const Description& previous) {
  const auto& media = previous.media();
  for (const bool in_use : {true, false}) {
    for (size_t i = 0; i < media.size(); ++i) {
      if (IsPlainAudio(media[i]) && (media[i].port != 0) == in_use) return i;
    }
  }
  return media.size() < kSdpMediaMax ? media.size() : 0;
}

// A number keeps its meaning for as long as the dialog (RFC 3264 8.3.2).
Told OfferOf(const AudioOurs& ours, const Section& previous) {
  Told told{.ptime_ms = ours.ptime_ms,
            .rtcp_mux = ours.rtcp_mux,
            .sends = Sends(ours.direction),
            .receives = Receives(ours.direction)};
  std::array<bool, kPayloadTypeMax + 1> taken{};
  for (const Format& f : previous.formats) taken[f.number] = true;
  for (const rtp::Codec codec : ours.codecs) {
    const Format* before = previous.of(codec);
    const uint8_t number =
        before != nullptr ? before->number : rtp::StaticPayloadType(codec);
    told.formats.push_back({number, codec});
  }
  if (ours.event_type == 0) return told;
  if (const Format* before = previous.event()) {
    told.event_type = before->number;
    return told;
  }
  told.event_type = ours.event_type;
  while (taken[told.event_type]) {
    told.event_type = static_cast<uint8_t>(
        told.event_type == kPayloadTypeMax ? 96 : told.event_type + 1);
    if (told.event_type == ours.event_type) {  // all 32 are taken
      told.event_type = 0;
      break;
    }
  }
  return told;
}

struct Offer {
  std::string text;
  size_t audio = 0;  // which medium
};

Offer MakeOffer(const AudioOurs& ours) {
  Offer offer{.text = Head(ours, "0 0")};
  if (ours.previous.empty()) {
    AppendAudio(&offer.text, ours, OfferOf(ours, Section()));
    return offer;
  }
  const auto previous = Read(ours.previous);
  CHECK(previous.ok());  // our own words
  const auto& media = previous->media();
  offer.audio = PlaceOfAudio(*previous);
  for (size_t i = 0; i < media.size(); ++i) {
    if (i != offer.audio) {
      AppendRefused(&offer.text, media[i]);
      continue;
    }
    const bool audio = IsPlainAudio(media[i]);
    Told told = OfferOf(ours, audio ? previous->section(i) : Section());
    if (audio) {
      told.type = media[i].type;
      told.proto = media[i].proto;
    }
    AppendAudio(&offer.text, ours, told);
  }
  if (offer.audio == media.size()) {
    AppendAudio(&offer.text, ours, OfferOf(ours, Section()));
  }
  return offer;
}

absl::Status NothingToTake(const AudioOurs& ours) {
  std::string names;
  for (const rtp::Codec codec : ours.codecs) {
    Append(&names, names.empty() ? "" : " or ", rtp::Name(codec));
  }
  return absl::NotFoundError(Cat(
      "no medium of the offer is audio over RTP/AVP with ", names,
      ", at one host's ", ours.rtp.ip.is_v4() ? "IPv4" : "IPv6", " address"));
}

absl::Status NoAnswer(const std::string& why) {
  return absl::FailedPreconditionError(
      Cat("the answer does not fit our offer: ", why));
}

}  // namespace

std::string MakeAudioOffer(const AudioOurs& ours) {
  return MakeOffer(ours).text;
}

absl::StatusOr<AudioAnswer> AnswerAudio(std::string_view offer,
                                        const AudioOurs& ours) {
  ASSIGN_OR_RETURN(const Description theirs, Read(offer));
  AudioAnswer answer{.text = Head(ours, TimeOf(theirs.time)), .agreed = {}};
  bool taken = false;
  bool wanted = false;
  for (size_t i = 0; i < theirs.media().size(); ++i) {
    const SdpMedium& medium = theirs.media()[i];
    wanted |= medium.port != 0;
    const bool fits = !taken && medium.port != 0 && medium.count == 1 &&
                      IsPlainAudio(medium) && IsReachable(medium, ours);
    const Section section = fits ? theirs.section(i) : Section();
    const Format* format = Common(section, ours);
    if (format == nullptr) {
      AppendRefused(&answer.text, medium);
      continue;
    }
    taken = true;
    AudioAgreed agreed = Agree(medium, section, *format, ours);
    agreed.receive_type = agreed.payload_type;
    agreed.receive_event_type = agreed.event_type;
    agreed.receives = {{agreed.payload_type, agreed.codec}};
    AppendAudio(
        &answer.text, ours,
        {.type = medium.type,
         .proto = medium.proto,
         .formats = agreed.receives,
         .event_type = agreed.event_type,
         .ptime_ms = agreed.ptime_ms,
         .rtcp_mux = agreed.rtcp_mux,
         .sends = agreed.send,
         .receives = Receives(ours.direction) && Sends(medium.direction)});
    if (ours.rtp.port != Port()) answer.agreed = std::move(agreed);
  }
  if (wanted && !taken) return NothingToTake(ours);
  return answer;
}

absl::StatusOr<AudioAgreed> ReadAudioAnswer(const AudioOurs& offered,
                                            std::string_view answer) {
  const Offer offer = MakeOffer(offered);
  const auto ours = Read(offer.text);
  CHECK(ours.ok());
  ASSIGN_OR_RETURN(const Description theirs, Read(answer));
  if (theirs.media().size() != ours->media().size()) {
    return NoAnswer(
        Cat(theirs.media().size(), " media, not ", ours->media().size()));
  }
  for (size_t i = 0; i < theirs.media().size(); ++i) {
    if (!EqualsNoCase(theirs.media()[i].type, ours->media()[i].type)) {
      return NoAnswer(Cat("medium ", i + 1, " is ", theirs.media()[i].type,
                          ", not ", ours->media()[i].type));
    }
    if (theirs.media()[i].port != 0 && ours->media()[i].port == 0) {
      return NoAnswer(Cat("medium ", i + 1, " is refused and has a port"));
    }
  }
  const SdpMedium& medium = theirs.media()[offer.audio];
  if (medium.port == 0) return AudioAgreed();
  if (!EqualsNoCase(medium.proto, ours->media()[offer.audio].proto)) {
    return NoAnswer(Cat("audio over ", medium.proto, ", not ",
                        ours->media()[offer.audio].proto));
  }
  if (medium.count != 1) return NoAnswer("more than one port");
  if (!IsReachable(medium, offered)) {
    return NoAnswer(Cat("audio at ", medium.address.ToString(),
                        ", not one host's address of our family"));
  }
  const Section section = theirs.section(offer.audio);
  const Section own = ours->section(offer.audio);
  const Format* format = Common(section, offered);
  if (format == nullptr) {
    return NoAnswer(Cat("none of the formats ", medium.formats,
                        " is one of those offered"));
  }
  AudioAgreed agreed = Agree(medium, section, *format, offered);
  agreed.receive_type = own.of(agreed.codec)->number;
  for (const Format& f : section.formats) {
    if (!Has(offered, f.codec)) continue;
    const AudioFormat ours_of_it{own.of(*f.codec)->number, *f.codec};
    if (std::find(agreed.receives.begin(), agreed.receives.end(), ours_of_it) ==
        agreed.receives.end()) {
      agreed.receives.push_back(ours_of_it);
    }
  }
  if (const Format* event = own.event()) {
    if (agreed.event_type != 0) agreed.receive_event_type = event->number;
  } else {
    agreed.event_type = 0;
    agreed.events = 0;
  }
  // To what we had not offered, nothing else could be said.
  agreed.held_by_peer &= Sends(offered.direction);
  return agreed;
}

}  // namespace sluice::sip
