#include "sip/media_nat.h"

#include <algorithm>
#include <charconv>
#include <utility>
#include <vector>

#include "base/check.h"
#include "base/text.h"
#include "sip/branch.h"
#include "sip/fields.h"

namespace sluice::sip {
namespace {

bool CarriesOffers(Method method) {
  switch (method) {
    case Method::kInvite:
    case Method::kUpdate:
    case Method::kPrack:
    case Method::kAck: return true;
    default: return false;
  }
}

std::optional<std::string_view> SdpOf(const Message& message) {
  if (message.body().empty() || !CarriesOffers(message.method())) {
    return std::nullopt;
  }
  return FindSdp(message.Value(HeaderId::kContentType), message.body());
}

// The seeds' form of an id: what of From or To stays the same through a dialog,
// and behind which leg the party is. A party that has no tag yet has the text
// "tag" for one.
std::string IdOf(std::string_view party, const Leg& leg) {
  const auto address = NameAddr::Parse(party);
  if (!address) return Cat(party, std::string_view("\0tag\0", 5), leg.name);
  const std::string aor = AddressOfRecord(address->uri);
  const std::string_view tag = address->tag;
  return Cat(aor.empty() ? std::string(address->uri_text) : aor,
             std::string_view("\0", 1), tag.empty() ? "tag" : tag,
             std::string_view("\0", 1), leg.name);
}

std::string UriOf(std::string_view party) {
  const auto address = NameAddr::Parse(party);
  return std::string(address ? address->uri_text : party);
}

MediaRelay::Media MediaOf(const SdpMedium& medium) {
  MediaRelay::Media media{.ip = medium.address,
                          .port = medium.port,
                          .range = medium.ports(),
                          .kind = MediaRelay::Media::Kind::kOther,
                          .clock_hz = medium.clock_hz};
  // Its place is kept, so that offer and answer stay in step.
  if (!medium.is_udp()) media.port = 0;
  if (medium.is_srtp()) {
    media.kind = MediaRelay::Media::Kind::kSrtp;
  } else if (medium.is_rtp()) {
    media.kind = MediaRelay::Media::Kind::kRtp;
  }
  return media;
}

}  // namespace

bool MediaNat::Concerns(const Message& message, const Leg& in, const Leg& out) {
  if (in.anchor == Leg::Anchor::kNever || out.anchor == Leg::Anchor::kNever) {
    return false;
  }
  if (&in == &out && in.anchor != Leg::Anchor::kAlways) return false;
  if (message.is_response()) {
    if (message.status() >= 300) {
      return message.method() == Method::kInvite ||
             message.method() == Method::kUpdate ||
             message.method() == Method::kPrack;
    }
    return SdpOf(message).has_value();
  }
  switch (message.method()) {
    case Method::kAck:
    case Method::kBye: return true;
    // Anybody can send one who knows the call; its 487 comes from who is asked.
    case Method::kCancel: return false;
    default: return SdpOf(message).has_value();
  }
}

MediaRelay::Key MediaNat::KeyOf(const Message& message, std::string_view branch,
                                const Leg& in, const Leg& out) const {
  const bool request = message.is_request();
  const std::string_view from = message.Value(HeaderId::kFrom);
  const std::string_view to = message.Value(HeaderId::kTo);
  return {.call_id = std::string(message.call_id()),
          .cseq = message.cseq(),
          .id_from = IdOf(from, request ? in : out),
          .id_to = IdOf(to, request ? out : in),
          .uri_from = UriOf(from),
          .uri_to = UriOf(to),
          .branch = BranchNumber(branch)};
}

bool MediaNat::Rewrites(const Message& message) {
  return (message.is_request() || message.status() < 300) &&
         SdpOf(message).has_value();
}

void MediaNat::Run(const Message& message, std::string_view branch,
                   const IpAddress& heard_from, const Leg& in, const Leg& out,
                   Done done) {
  const auto sdp = SdpOf(message);
  CHECK(sdp.has_value());
  OnSdp(message, KeyOf(message, branch, in, out), *sdp, heard_from, out,
        std::move(done));
}

void MediaNat::Tell(const Message& message, std::string_view branch,
                    const Leg& in, const Leg& out) {
  MediaRelay::Key key = KeyOf(message, branch, in, out);
  const auto nothing = [](absl::Status) {};
  if (message.is_request() && message.method() == Method::kAck) {
    key.stage = AnswerStage::kFinal;
    return relay_.Activate(key, nothing);
  }
  if (message.is_request() && message.method() == Method::kBye) {
    key.cseq.reset();
  }
  ++counters_.closed;
  relay_.Close(key, nothing);
}

void MediaNat::Abandon(const Message& request, std::string_view branch,
                       const Leg& in, const Leg& out) {
  MediaRelay::Key key = KeyOf(request, branch, in, out);
  // It may be the repetition of one that has been answered.
  key.half_open_only = true;
  ++counters_.closed;
  relay_.Close(key, [](absl::Status) {});
}

void MediaNat::OnSdp(const Message& message, MediaRelay::Key key,
                     std::string_view text, const IpAddress& heard_from,
                     const Leg& out, Done done) {
  // What is no description for us may be one for the parties, but a call whose
  // media cannot be followed would be a silent one.
  const bool ack = message.is_request() && message.method() == Method::kAck;
  const auto give_up = [this, ack](const Done& to, int code, const char* why) {
    ++counters_.refused;
    if (ack) return to({});
    to({.code = code, .reason = why});
  };
  auto sdp = Sdp::Parse(text);
  if (!sdp.ok()) {
    ++counters_.bad_sdp;
    return give_up(done, 488, "Not Acceptable Here");
  }
  if (sdp->media().empty()) return done({});
  std::vector<MediaRelay::Media> media;
  for (const SdpMedium& m : sdp->media()) {
    media.push_back(MediaOf(m));
    media.back().heard_from = heard_from;
  }
  // A request is joined with an answer that came before it was repeated.
  key.stage = ack || message.status() >= 200 ? AnswerStage::kFinal
                                             : AnswerStage::kEarly;
  const Side side = message.is_request() ? Side::kFrom : Side::kTo;
  ++(side == Side::kFrom ? counters_.offers : counters_.answers);
  relay_.Allocate(key, side, out.media, media,
                  [this, &message, &out, text, key, give_up,
                   sdp = *std::move(sdp), done = std::move(done)](
                      absl::StatusOr<std::vector<MediaRelay::Port>> ports) {
                    if (!ports.ok() || ports->size() != sdp.media().size()) {
                      switch (ports.status().code()) {
                        case absl::StatusCode::kResourceExhausted:
                        case absl::StatusCode::kUnavailable:
                        case absl::StatusCode::kDeadlineExceeded:
                          return give_up(done, 503, "Media Relay Unavailable");
                        default:
                          return give_up(done, 488, "Not Acceptable Here");
                      }
                    }
                    std::string body = Rewrite(message, text, sdp, *ports, out);
                    relay_.Activate(
                        key, [done, body = std::move(body)](absl::Status) {
                          done({.body = body});
                        });
                  });
}

std::string MediaNat::Rewrite(const Message& message, std::string_view text,
                              const Sdp& sdp,
                              absl::Span<const MediaRelay::Port> ports,
                              const Leg& out) const {
  std::vector<Sdp::Listen> listen;
  IpAddress origin = out.media;
  for (size_t i = 0; i < ports.size(); ++i) {
    const SdpMedium& medium = sdp.media()[i];
    if (!medium.is_udp()) {
      listen.push_back({.ip = medium.address, .port = medium.port});
      continue;
    }
    uint16_t port = ports[i].port;
    // On hold by address a medium stays; nothing is sent to 0.0.0.0, whatever
    // port goes with it.
    if (port == 0 && medium.any_address) port = medium.port;
    listen.push_back({.ip = ports[i].ip, .port = port});
    if (!ports[i].ip.is_any()) origin = ports[i].ip;
  }
  // The number that was the party's own is hidden with its address, and is the
  // same for all of its session.
  const std::array<std::string_view, 2> parts = {message.call_id(),
                                                 sdp.origin_session()};
  const std::string mac = keys_.Mac("origin", parts);
  uint64_t id = 0;
  // 60 bits: some parties read the number as a signed one.
  std::from_chars(mac.data(), mac.data() + 15, id, 16);
  // RFC 3264 8: the number rises when the description changes, and only then.
  // Ours changes when theirs does and when the ports do; theirs does not fall,
  // nor does the edition where the relay can tell (MediaRelay::Port).
  uint64_t edition = 0;
  for (const MediaRelay::Port& port : ports) {
    edition = std::max(edition, port.edition);
  }
  const std::string rewritten = sdp.Apply({.listen = listen,
                                           .origin = origin,
                                           .origin_id = id,
                                           .version_offset = edition});
  const std::string_view body = message.body();
  const auto at = static_cast<size_t>(text.data() - body.data());
  std::string whole(body.substr(0, at));
  whole += rewritten;
  whole += body.substr(at + text.size());
  return whole;
}

}  // namespace sluice::sip
