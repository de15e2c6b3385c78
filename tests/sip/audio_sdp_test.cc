// Goal: two user agents that tell each other of one audio medium mean the same
// by it: numbers, hold, addresses; and what answers no offer of ours is not
// taken for an answer.
// Method: whole texts, tables of answers, and every combination of two of ours
// answered by one another.

#include "sip/audio_sdp.h"

#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/sip/audio_texts.h"

namespace sluice::sip {
namespace {

using rtp::Codec;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using Direction = SdpMedium::Direction;

constexpr Direction kDirections[] = {Direction::kSendRecv, Direction::kSendOnly,
                                     Direction::kRecvOnly,
                                     Direction::kInactive};

// --- Our offer -------------------------------------------------------------

TEST(AudioOffer, IsWrittenOutInFull) {
  EXPECT_EQ(MakeAudioOffer(Ours()), Wire("v=0\n"
                                         "o=- 7 3 IN IP4 192.0.2.9\n"
                                         "s=-\n"
                                         "c=IN IP4 192.0.2.9\n"
                                         "t=0 0\n"
                                         "m=audio 40000 RTP/AVP 0 8 101\n"
                                         "a=rtpmap:0 PCMU/8000\n"
                                         "a=rtpmap:8 PCMA/8000\n"
                                         "a=rtpmap:101 telephone-event/8000\n"
                                         "a=fmtp:101 0-15\n"
                                         "a=ptime:20\n"
                                         "a=sendrecv\n"));
}

TEST(AudioOffer, SaysWhatItWasTold) {
  AudioOurs ours = Ours();
  ours.rtp = *Endpoint::Parse("[2001:db8::9]:40000");
  ours.rtcp_port = 41'000;
  ours.codecs = {Codec::kPcma};
  ours.event_type = 0;
  ours.ptime_ms = 30;
  ours.direction = Direction::kSendOnly;
  ours.rtcp_mux = true;
  ours.user = "bob";
  ours.name = "a phone";
  EXPECT_EQ(MakeAudioOffer(ours), Wire("v=0\n"
                                       "o=bob 7 3 IN IP6 2001:db8::9\n"
                                       "s=a phone\n"
                                       "c=IN IP6 2001:db8::9\n"
                                       "t=0 0\n"
                                       "m=audio 40000 RTP/AVP 8\n"
                                       "a=rtpmap:8 PCMA/8000\n"
                                       "a=ptime:30\n"
                                       "a=rtcp:41000\n"
                                       "a=rtcp-mux\n"
                                       "a=sendonly\n"));
}

TEST(AudioOffer, HoldsByAddressAsTheOldOnesDo) {
  AudioOurs ours = Ours();
  ours.hold_by_address = true;
  EXPECT_THAT(MakeAudioOffer(ours), HasSubstr("c=IN IP4 0.0.0.0\r\n"));
  EXPECT_THAT(MakeAudioOffer(ours), HasSubstr("m=audio 40000 "));
  EXPECT_THAT(MakeAudioOffer(ours), HasSubstr("o=- 7 3 IN IP4 192.0.2.9\r\n"));
  ours.rtp.ip = *IpAddress::Parse("2001:db8::9");
  EXPECT_THAT(MakeAudioOffer(ours), HasSubstr("c=IN IP6 ::\r\n"));
}

// A name out of a configuration adds no line.
TEST(AudioOffer, NamesThatAreNoneBecomeADash) {
  for (const char* bad : {"", "a\r\nc=IN IP4 203.0.113.1", "a\tb", "\x7f"}) {
    AudioOurs ours = Ours();
    ours.user = ours.name = bad;
    EXPECT_EQ(MakeAudioOffer(ours), MakeAudioOffer(Ours()));
  }
}

// RFC 3264 8: no medium goes away, and no number changes its meaning.
TEST(AudioOffer, KeepsThePlacesAndNumbersOfWhatStood) {
  const std::string offer = Told(
      "m=video 50000 RTP/AVP 31\n"
      "m=audio 50002 RTP/AVPF 97 96\n"
      "a=rtpmap:97 PCMA/8000\na=rtpmap:96 telephone-event/8000\n"
      "m=image 50004 udptl t38\n");
  AudioOurs ours = Ours();
  ours.previous = Answered(offer).text;
  EXPECT_EQ(MediaLines(ours.previous),
            "video 0 RTP/AVP 31\naudio 40000 RTP/AVPF 97 96\n"
            "image 0 udptl t38\n");
  ours.direction = Direction::kSendOnly;
  const std::string hold = MakeAudioOffer(ours);
  EXPECT_EQ(MediaLines(hold),
            "video 0 RTP/AVP 31\naudio 40000 RTP/AVPF 0 97 96\n"
            "image 0 udptl t38\n");
  EXPECT_THAT(hold, HasSubstr("a=rtpmap:97 PCMA/8000\r\n"));
  EXPECT_THAT(hold, HasSubstr("a=rtpmap:96 telephone-event/8000\r\n"));

  const AudioAgreed agreed =
      AgreedBy(Told("m=video 0 RTP/AVP 31\nm=audio 50002 RTP/AVPF 97 96\n"
                    "a=rtpmap:97 PCMA/8000\na=rtpmap:96 telephone-event/8000\n"
                    "a=recvonly\nm=image 0 udptl t38\n"),
               ours);
  EXPECT_TRUE(agreed.send);
  EXPECT_FALSE(agreed.receive);
  EXPECT_EQ(agreed.payload_type, 97);
  EXPECT_EQ(agreed.event_type, 96);
}

TEST(AudioOffer, TakesAnotherEventNumberWhereItsOwnMeansACodec) {
  AudioOurs ours = Ours();
  ours.previous = Answered(Told("m=audio 5000 RTP/AVP 101\n"
                                "a=rtpmap:101 PCMU/8000\n"))
                      .text;
  EXPECT_EQ(MediaLines(MakeAudioOffer(ours)),
            "audio 40000 RTP/AVP 101 8 102\n");
}

TEST(AudioOffer, ComesLastWhereThereWasNoAudio) {
  AudioOurs ours = Ours();
  ours.previous = Told("m=video 0 RTP/AVP 31\n");
  EXPECT_EQ(MediaLines(MakeAudioOffer(ours)),
            "video 0 RTP/AVP 31\naudio 40000 RTP/AVP 0 8 101\n");
  std::string many(kHead);
  for (size_t i = 0; i < kSdpMediaMax; ++i) many += "m=video 0 RTP/AVP 31\n";
  ours.previous = Wire(many);
  const std::string offer = MakeAudioOffer(ours);
  const auto sdp = Sdp::Parse(offer);
  ASSERT_TRUE(sdp.ok()) << sdp.status();
  EXPECT_EQ(sdp->media()[0].type, "audio");
  EXPECT_EQ(sdp->media().size(), kSdpMediaMax);
}

// RFC 3264 6: an answer repeats the medium; whoever wrote it in capitals may
// look for it by these very octets, now and in the next offer.
TEST(AudioOffer, LeavesTheMediumsNameAsItWas) {
  AudioOurs ours = Ours();
  ours.previous = Answered(Told("m=AUDIO 5000 RTP/AVP 0\n")).text;
  EXPECT_EQ(MediaLines(ours.previous), "AUDIO 40000 RTP/AVP 0\n");
  EXPECT_EQ(MediaLines(MakeAudioOffer(ours)), "AUDIO 40000 RTP/AVP 0 8 101\n");
}

// --- Hold ------------------------------------------------------------------

// RFC 6337 5.3: hold by one, by the other too, and resumed one by one.
TEST(AudioHold, IsResumedByEachSideForItself) {
  AudioOurs alice = Ours();
  AudioOurs bob = Ours();
  bob.rtp = *Endpoint::Parse("198.51.100.7:5000");
  const auto exchange = [](AudioOurs& from, AudioOurs& to) {
    ++from.version;
    ++to.version;
    const std::string offer = MakeAudioOffer(from);
    const AudioAnswer answer = Answered(offer, to);
    const AudioAgreed agreed = AgreedBy(answer.text, from);
    EXPECT_EQ(agreed.send, answer.agreed.receive);
    EXPECT_EQ(agreed.receive, answer.agreed.send);
    from.previous = offer;
    to.previous = answer.text;
    return std::pair(agreed, answer.agreed);
  };
  auto [a, b] = exchange(alice, bob);
  EXPECT_TRUE(a.send && a.receive);

  alice.direction = Direction::kSendOnly;  // Alice holds Bob
  std::tie(a, b) = exchange(alice, bob);
  EXPECT_TRUE(a.send && !a.receive && b.held_by_peer && !a.held_by_peer);

  bob.direction = Direction::kSendOnly;  // Bob holds Alice
  std::tie(b, a) = exchange(bob, alice);
  EXPECT_FALSE(a.send || a.receive);

  alice.direction = Direction::kSendRecv;  // Alice resumes, Bob does not
  std::tie(a, b) = exchange(alice, bob);
  EXPECT_TRUE(!a.send && a.receive && a.held_by_peer && !b.held_by_peer);

  bob.direction = Direction::kSendRecv;
  std::tie(b, a) = exchange(bob, alice);
  EXPECT_TRUE(a.send && a.receive && b.send && b.receive);
  EXPECT_FALSE(a.held_by_peer || b.held_by_peer);
}

// --- Their answer ----------------------------------------------------------

TEST(AudioAnswerRead, TakesTheirNumbersForWhatWeSend) {
  const AudioAgreed agreed =
      AgreedBy(Told("m=audio 5000 RTP/AVP 8 0 96\na=rtpmap:96 "
                    "telephone-event/8000\na=fmtp:96 0-11\na=ptime:30\n"));
  EXPECT_EQ(agreed.codec, Codec::kPcma);
  EXPECT_EQ(agreed.payload_type, 8);
  EXPECT_EQ(agreed.receive_type, 8);
  EXPECT_THAT(agreed.receives, ElementsAre(AudioFormat{8, Codec::kPcma},
                                           AudioFormat{0, Codec::kPcmu}));
  EXPECT_EQ(agreed.event_type, 96);
  EXPECT_EQ(agreed.receive_event_type, 101);
  EXPECT_EQ(agreed.events, 0x0fff);
  EXPECT_EQ(agreed.ptime_ms, 30);
  EXPECT_EQ(agreed.remote_rtp, Endpoint::Parse("198.51.100.7:5000"));
}

// RFC 3264 6.1 lets an answer have more formats than the offer, and be for
// other numbers.
TEST(AudioAnswerRead, LetsFormatsTooManyGo) {
  const AudioAgreed agreed =
      AgreedBy(Told("m=audio 5000 RTP/AVP 18 97 9\na=rtpmap:97 PCMA/8000\n"));
  EXPECT_EQ(agreed.codec, Codec::kPcma);
  EXPECT_EQ(agreed.payload_type, 97);
  EXPECT_EQ(agreed.receive_type, 8);
  EXPECT_THAT(agreed.receives, ElementsAre(AudioFormat{8, Codec::kPcma}));
  EXPECT_EQ(agreed.event_type, 0);
}

TEST(AudioAnswerRead, TakesNoEventsThatWereNotOffered) {
  AudioOurs ours = Ours();
  ours.event_type = 0;
  const AudioAgreed agreed = AgreedBy(
      Told("m=audio 5000 RTP/AVP 0 101\na=rtpmap:101 telephone-event/8000\n"),
      ours);
  EXPECT_EQ(agreed.event_type, 0);
  EXPECT_EQ(agreed.receive_event_type, 0);
  EXPECT_EQ(agreed.events, 0);
}

// What a side that does not know hold answers to it.
TEST(AudioAnswerRead, SendsNoMoreThanWeOffered) {
  for (const Direction direction : kDirections) {
    AudioOurs ours = Ours();
    ours.direction = direction;
    const AudioAgreed agreed =
        AgreedBy(Told("m=audio 5000 RTP/AVP 0\na=sendrecv\n"), ours);
    EXPECT_EQ(agreed.send, direction == Direction::kSendRecv ||
                               direction == Direction::kSendOnly);
    EXPECT_EQ(agreed.receive, direction == Direction::kSendRecv ||
                                  direction == Direction::kRecvOnly);
    EXPECT_FALSE(agreed.held_by_peer);
  }
}

TEST(AudioAnswerRead, KnowsWhoHolds) {
  EXPECT_TRUE(
      AgreedBy(Told("m=audio 5000 RTP/AVP 0\na=sendonly\n")).held_by_peer);
  EXPECT_TRUE(AgreedBy(Told("m=audio 5000 RTP/AVP 0\nc=IN IP4 0.0.0.0\n"))
                  .held_by_peer);
  AudioOurs ours = Ours();
  ours.direction = Direction::kInactive;  // it could not say else
  EXPECT_FALSE(AgreedBy(Told("m=audio 5000 RTP/AVP 0\na=inactive\n"), ours)
                   .held_by_peer);
}

TEST(AudioAnswerRead, PortZeroIsNoAudio) {
  const AudioAgreed agreed = AgreedBy(Told("m=audio 0 RTP/AVP 0\n"));
  EXPECT_FALSE(agreed.active || agreed.send || agreed.receive);
}

TEST(AudioAnswerRead, KnowsWhatIsNoAnswer) {
  const struct {
    const char* media;
    const char* why;
  } kTable[] = {
      {"", "0 media, not 1"},
      {"m=audio 5000 RTP/AVP 0\nm=video 5002 RTP/AVP 31\n", "2 media, not 1"},
      {"m=video 5000 RTP/AVP 0\n", "medium 1 is video, not audio"},
      {"m=audio 5000 RTP/SAVP 0\n", "audio over RTP/SAVP, not RTP/AVP"},
      {"m=audio 5000 RTP/AVP 18 96\n", "none of the formats 18 96"},
      {"m=audio 5000 RTP/AVP 101\na=rtpmap:101 telephone-event/8000\n",
       "none of the formats 101"},
      {"m=audio 5000/2 RTP/AVP 0\n", "more than one port"},
      {"m=audio 5000 RTP/AVP 0\nc=IN IP4 224.0.0.1\n", "audio at 224.0.0.1"},
      {"m=audio 5000 RTP/AVP 0\nc=IN IP6 2001:db8::1\n",
       "audio at 2001:db8::1"},
  };
  for (const auto& row : kTable) {
    const auto agreed = ReadAudioAnswer(Ours(), Told(row.media));
    EXPECT_EQ(agreed.status().code(), absl::StatusCode::kFailedPrecondition)
        << row.media;
    EXPECT_THAT(std::string(agreed.status().message()), HasSubstr(row.why));
  }
  AudioOurs ours = Ours();
  ours.codecs = {Codec::kPcma};
  EXPECT_EQ(
      ReadAudioAnswer(ours, Told("m=audio 5000 RTP/AVP 0\n")).status().code(),
      absl::StatusCode::kFailedPrecondition);
  ours.previous = Told("m=video 0 RTP/AVP 31\nm=audio 40000 RTP/AVP 8\n");
  EXPECT_THAT(
      std::string(ReadAudioAnswer(ours, Told("m=video 5000 RTP/AVP 31\n"
                                             "m=audio 5002 RTP/AVP 8\n"))
                      .status()
                      .message()),
      HasSubstr("medium 1 is refused and has a port"));
}

// --- Both ------------------------------------------------------------------

// Everything that one of ours can be.
std::vector<AudioOurs> AllOfUs(std::string_view rtp) {
  std::vector<AudioOurs> all;
  for (const Direction direction : kDirections) {
    for (const std::vector<Codec>& codecs :
         {std::vector{Codec::kPcmu}, std::vector{Codec::kPcma},
          std::vector{Codec::kPcmu, Codec::kPcma},
          std::vector{Codec::kPcma, Codec::kPcmu}}) {
      for (const int choice : {0, 1, 2, 3, 4, 5, 6, 7}) {
        AudioOurs ours{.rtp = *Endpoint::Parse(rtp), .codecs = codecs};
        ours.direction = direction;
        ours.hold_by_address = (choice & 1) != 0;
        ours.event_type = choice & 2 ? 96 : 0;
        ours.rtcp_mux = (choice & 4) != 0;
        ours.ptime_ms = 10 * (1 + choice % 6);
        all.push_back(ours);
      }
    }
  }
  return all;
}

TEST(AudioAgreed, IsTheSameForBothSidesWhateverTheyAre) {
  const auto all = AllOfUs("192.0.2.9:40000");
  int agreements = 0;
  for (const AudioOurs& a : all) {
    for (const AudioOurs& b : AllOfUs("198.51.100.7:5000")) {
      const std::string offer = MakeAudioOffer(a);
      const auto answer = AnswerAudio(offer, b);
      if (a.codecs.size() == 1 && b.codecs.size() == 1 &&
          a.codecs != b.codecs) {
        ASSERT_EQ(answer.status().code(), absl::StatusCode::kNotFound);
        continue;
      }
      ASSERT_TRUE(answer.ok()) << answer.status();
      const auto read = ReadAudioAnswer(a, answer->text);
      ASSERT_TRUE(read.ok()) << read.status() << offer << answer->text;
      const AudioAgreed& theirs = answer->agreed;
      const bool same = read->codec == theirs.codec &&
                        read->send == theirs.receive &&
                        read->receive == theirs.send &&
                        read->payload_type == theirs.receive_type &&
                        read->receive_type == theirs.payload_type &&
                        read->event_type == theirs.receive_event_type &&
                        read->receive_event_type == theirs.event_type &&
                        read->ptime_ms == theirs.ptime_ms &&
                        read->rtcp_mux == theirs.rtcp_mux;
      ASSERT_TRUE(same) << offer << answer->text;
      ASSERT_EQ(read->remote_rtp, b.hold_by_address ? Endpoint() : b.rtp);
      ASSERT_EQ(theirs.remote_rtp, a.hold_by_address ? Endpoint() : a.rtp);
      ++agreements;
    }
  }
  EXPECT_EQ(agreements, 128 * 128 - 2 * 32 * 32);
}

}  // namespace
}  // namespace sluice::sip
