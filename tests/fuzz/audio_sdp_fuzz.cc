// Goal: no description makes a user agent fail otherwise than by saying no; its
// answer names as many media as the offer did, reads back, and means the same
// to both sides; what was agreed on is something that both can have.
// Method: the first octet chooses what we are, the rest is an offer, then an
// answer to our own offer, then what stood before ours.

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/check.h"
#include "sip/audio_sdp.h"
#include "sip/sdp.h"

namespace {

using sluice::Endpoint;
using sluice::IpAddress;
using sluice::Port;
using sluice::rtp::Codec;
using sluice::sip::AnswerAudio;
using sluice::sip::AudioAgreed;
using sluice::sip::AudioOurs;
using sluice::sip::MakeAudioOffer;
using sluice::sip::ReadAudioAnswer;
using sluice::sip::Sdp;
using sluice::sip::SdpMedium;

AudioOurs OursBy(uint8_t choice) {
  AudioOurs ours{.rtp = {IpAddress::V4(192, 0, 2, 9), Port::FromHost(40'000)}};
  ours.direction = static_cast<SdpMedium::Direction>(choice & 3);
  if (choice & 4) ours.codecs = {Codec::kPcma, Codec::kPcmu};
  if (choice & 8) ours.codecs.pop_back();
  ours.hold_by_address = (choice & 16) != 0;
  ours.rtcp_mux = (choice & 32) != 0;
  if (choice & 64) ours.event_type = 0;
  if (choice & 128) ours.rtp.ip = *IpAddress::Parse("2001:db8::9");
  return ours;
}

void CheckAgreed(const AudioAgreed& agreed, const AudioOurs& ours) {
  if (!agreed.active) {
    CHECK(!agreed.send && !agreed.receive);
    return;
  }
  CHECK(agreed.payload_type <= 127 && agreed.receive_type <= 127);
  CHECK(!agreed.receives.empty());
  CHECK(agreed.receives[0].codec == agreed.codec);
  CHECK(agreed.receives[0].payload_type == agreed.receive_type);
  CHECK(agreed.receives.size() <= ours.codecs.size());
  CHECK((agreed.event_type == 0) == (agreed.events == 0));
  CHECK((agreed.event_type == 0) == (agreed.receive_event_type == 0));
  CHECK(agreed.event_type == 0 || agreed.event_type != agreed.payload_type);
  CHECK(agreed.ptime_ms >= sluice::sip::kPtimeMsMin &&
        agreed.ptime_ms <= sluice::sip::kPtimeMsMax &&
        agreed.ptime_ms % 10 == 0);
  CHECK(!agreed.send || !agreed.remote_rtp.is_none());
  CHECK(!agreed.send || !agreed.held_by_peer);
  for (const Endpoint& remote : {agreed.remote_rtp, agreed.remote_rtcp}) {
    if (remote.is_none()) continue;
    CHECK(remote.port != Port() && !remote.ip.is_any() &&
          !remote.ip.is_multicast());
    CHECK(remote.ip.is_v4() == ours.rtp.ip.is_v4());
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data) + 1,
                              size - 1);
  AudioOurs ours = OursBy(data[0]);
  if (const auto read = ReadAudioAnswer(ours, text); read.ok()) {
    CheckAgreed(*read, ours);
  }
  const auto offer = Sdp::Parse(text);
  const auto answer = AnswerAudio(text, ours);
  if (!offer.ok()) {
    CHECK(!answer.ok() && answer.status().code() == offer.status().code());
    return 0;
  }
  if (!answer.ok()) {
    CHECK(answer.status().code() == absl::StatusCode::kNotFound);
    return 0;
  }
  CheckAgreed(answer->agreed, ours);
  const auto told = Sdp::Parse(answer->text);
  CHECK(told.ok());
  CHECK(told->media().size() == offer->media().size());
  int active = 0;
  for (size_t i = 0; i < told->media().size(); ++i) {
    CHECK(told->media()[i].type == offer->media()[i].type);
    CHECK(told->media()[i].proto == offer->media()[i].proto);
    CHECK(told->media()[i].port == 0 || offer->media()[i].port != 0);
    active += told->media()[i].port != 0;
  }
  CHECK(active == (answer->agreed.active ? 1 : 0));

  // Our next offer keeps the media in their places, and its own answer by the
  // like of us is read.
  ours.previous = answer->text;
  const std::string again = MakeAudioOffer(ours);
  const auto parsed = Sdp::Parse(again);
  CHECK(parsed.ok() && parsed->media().size() >= told->media().size());
  const auto echo = AnswerAudio(again, ours);
  CHECK(echo.ok());
  const auto read = ReadAudioAnswer(ours, echo->text);
  CHECK(read.ok());
  CHECK(read->active && echo->agreed.active);
  CHECK(read->codec == echo->agreed.codec);
  CHECK(read->send == echo->agreed.receive);
  CHECK(read->receive == echo->agreed.send);
  return 0;
}
