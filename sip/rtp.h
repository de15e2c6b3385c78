#ifndef SLUICE_SIP_RTP_H_
#define SLUICE_SIP_RTP_H_

#include <functional>
#include <memory>
#include <string>

#include "rtp/audio.h"
#include "sip/call.h"

// What calls do with their media (the seeds' Simple::RTP), to be given as
// CallParams::init_media.
//
// In the examples, which are all run as tests, `ua` is a Simple that has
// registered (sip/simple.h).
//
// Files are opened when the media is agreed: what is wrong with them ends that
// call, with the reason. Sounds: .wav (PCM 16 bit or G.711, mono, 8000 Hz) or
// raw G.711 (.pcmu, .pcma; rtp/files.h).
namespace sluice::sip {

class Rtp {
 public:
  struct Sounds {
    std::string play{};    // "" : silence
    int repeat = 1;        // how often; 0: for ever
    std::string record{};  // "" : nowhere
    // In place of `play`, a sound that the program makes; a new one for each
    // call.
    std::function<std::unique_ptr<rtp::AudioSource>()> source{};
    std::function<std::unique_ptr<rtp::AudioSink>()> sink{};
    // All has been played.
    std::function<void(Call&)> played{};
  };
  // Example: play a file twice, record the answer, hang up
  //   const InitMedia media =
  //       Rtp::SendRecv({.play = "hello.wav",
  //                      .repeat = 2,
  //                      .record = "answer.wav",
  //                      .played = [](Call& call) { call.Bye(); }});
  //   bool over = false;
  //   ua->Invite("you", {.init_media = media,
  //                      .cb_cleanup = [&](Call&) { over = true; }});
  //   ua->Loop(Micros::Seconds(60), {&over});
  //
  // Example: a sound that the program makes
  //   struct Buzz final : rtp::AudioSource {
  //     int left = 10;  // packets
  //     size_t Read(rtp::Codec, std::span<uint8_t> octets) override {
  //       for (size_t i = 0; i < octets.size(); ++i) octets[i] = i & 0x8f;
  //       return --left > 0 ? octets.size() : 0;
  //     }
  //   };
  //   bool over = false;
  //   ua->Invite("you",
  //              {.init_media = Rtp::SendRecv(
  //                   {.source = [] { return std::make_unique<Buzz>(); },
  //                    .played = [](Call& call) { call.Bye(); }}),
  //               .cb_cleanup = [&](Call&) { over = true; }});
  //   ua->Loop(Micros::Seconds(60), {&over});
  //
  static InitMedia SendRecv(Sounds sounds);
  static InitMedia SendRecv(std::string play, std::string record = {}) {
    return SendRecv(
        Sounds{.play = std::move(play), .record = std::move(record)});
  }
  // Example: echo and record whoever calls
  //   bool over = false;
  //   ua->Listen({.cb_cleanup = [&](Call&) { over = true; },
  //               .call = {.init_media = Rtp::MediaRecvEcho("answer.wav")}});
  //   ua->Loop(Micros::Seconds(60), {&over});
  //
  // Sends back what it hears; `record` as above.
  static InitMedia MediaRecvEcho(std::string record = {});
  // Example: an answering tone
  //   bool over = false;
  //   ua->Listen({.cb_cleanup = [&](Call&) { over = true; },
  //               .call = {.init_media = Rtp::Tone(425)}});
  //   ua->Loop(Micros::Seconds(60), {&over});
  //
  // A tone, or silence for hz = 0.
  static InitMedia Tone(double hz);
};

}  // namespace sluice::sip

#endif  // SLUICE_SIP_RTP_H_
