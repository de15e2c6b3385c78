#ifndef SLUICE_TESTS_SIP_AUDIO_TEXTS_H_
#define SLUICE_TESTS_SIP_AUDIO_TEXTS_H_

#include <string>
#include <string_view>
#include <utility>

#include "base/text.h"
#include "gtest/gtest.h"
#include "sip/audio_sdp.h"

// Descriptions of a peer, and what ours makes of them.
namespace sluice::sip {

// Written with LF, as it is on the wire.
inline std::string Wire(std::string_view text) {
  std::string out;
  for (const char c : text) out += c == '\n' ? "\r\n" : std::string(1, c);
  return out;
}

inline constexpr std::string_view kHead =
    "v=0\no=alice 1 1 IN IP4 198.51.100.7\ns=-\n"
    "c=IN IP4 198.51.100.7\nt=0 0\n";

inline std::string Told(std::string_view media) {
  return Wire(Cat(kHead, media));
}

inline AudioOurs Ours() {
  return {.rtp = *Endpoint::Parse("192.0.2.9:40000"),
          .session_id = 7,
          .version = 3};
}

inline AudioAnswer Answered(std::string_view offer,
                            const AudioOurs& ours = Ours()) {
  auto answer = AnswerAudio(offer, ours);
  EXPECT_TRUE(answer.ok()) << answer.status() << "\n" << offer;
  if (!answer.ok()) return {};
  return *std::move(answer);
}

inline AudioAgreed AgreedBy(std::string_view answer,
                            const AudioOurs& ours = Ours()) {
  auto agreed = ReadAudioAnswer(ours, answer);
  EXPECT_TRUE(agreed.ok()) << agreed.status() << "\n" << answer;
  if (!agreed.ok()) return {};
  return *std::move(agreed);
}

inline std::string MediaLines(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    const size_t lf = text.find('\n');
    if (text.starts_with("m=")) Append(&out, text.substr(2, lf - 3), "\n");
    text.remove_prefix(lf == text.npos ? text.size() : lf + 1);
  }
  return out;
}

}  // namespace sluice::sip

#endif  // SLUICE_TESTS_SIP_AUDIO_TEXTS_H_
