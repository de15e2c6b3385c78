// Goal: every medium of an offer is answered in its place, the one audio that
// we can have is taken with the offer's numbers, and what cannot be is refused.
// Method: tables of offers: the RFCs' own, broken ones, and as phones in the
// field write them.

#include <string>

#include "absl/status/status.h"
#include "base/text.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "sip/audio_sdp.h"
#include "tests/sip/audio_texts.h"

namespace sluice::sip {
namespace {

using rtp::Codec;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using Direction = SdpMedium::Direction;

// --- Our answer ------------------------------------------------------------

TEST(AudioAnswer, IsWrittenOutInFull) {
  const AudioAnswer answer = Answered(
      Wire("v=0\no=alice 2890844526 2890844526 IN IP4 host.example\n"
           "s=talk\nc=IN IP4 198.51.100.7\nt=3724394400 3724398000\n"
           "m=audio 49170 RTP/AVP 8 0 97\n"
           "a=rtpmap:8 PCMA/8000\na=rtpmap:0 PCMU/8000\n"
           "a=rtpmap:97 telephone-event/8000\na=fmtp:97 0-15\na=ptime:30\n"));
  EXPECT_EQ(answer.text, Wire("v=0\n"
                              "o=- 7 3 IN IP4 192.0.2.9\n"
                              "s=-\n"
                              "c=IN IP4 192.0.2.9\n"
                              "t=3724394400 3724398000\n"
                              "m=audio 40000 RTP/AVP 8 97\n"
                              "a=rtpmap:8 PCMA/8000\n"
                              "a=rtpmap:97 telephone-event/8000\n"
                              "a=fmtp:97 0-15\n"
                              "a=ptime:30\n"
                              "a=sendrecv\n"));
  const AudioAgreed& agreed = answer.agreed;
  EXPECT_TRUE(agreed.active);
  EXPECT_EQ(agreed.codec, Codec::kPcma);
  EXPECT_EQ(agreed.payload_type, 8);
  EXPECT_EQ(agreed.receive_type, 8);
  EXPECT_THAT(agreed.receives, ElementsAre(AudioFormat{8, Codec::kPcma}));
  EXPECT_EQ(agreed.event_type, 97);
  EXPECT_EQ(agreed.receive_event_type, 97);
  EXPECT_EQ(agreed.events, 0xffff);
  EXPECT_EQ(agreed.ptime_ms, 30);
  EXPECT_EQ(agreed.remote_rtp, Endpoint::Parse("198.51.100.7:49170"));
  EXPECT_EQ(agreed.remote_rtcp, Endpoint::Parse("198.51.100.7:49171"));
  EXPECT_TRUE(agreed.send);
  EXPECT_TRUE(agreed.receive);
  EXPECT_FALSE(agreed.held_by_peer);
}

// What each m= becomes. RFC 3264 10.1's offer is the first.
TEST(AudioAnswer, RefusesInItsPlaceWhatItDoesNotTake) {
  const struct {
    const char* media;
    const char* answered;
  } kTable[] = {
      {"m=audio 49170 RTP/AVP 0\na=rtpmap:0 PCMU/8000\n"
       "m=video 51372 RTP/AVP 31\na=rtpmap:31 H261/90000\n"
       "m=video 53000 RTP/AVP 32\na=rtpmap:32 MPV/90000\n",
       "audio 40000 RTP/AVP 0\nvideo 0 RTP/AVP 31\nvideo 0 RTP/AVP 32\n"},
      {"m=image 5000 udptl t38\nm=audio 5002 RTP/AVP 8\n"
       "m=message 5004 TCP/MSRP *\n",
       "image 0 udptl t38\naudio 40000 RTP/AVP 8\nmessage 0 TCP/MSRP *\n"},
      // One is enough.
      {"m=audio 5000 RTP/AVP 0\nm=audio 5002 RTP/AVP 8\n",
       "audio 40000 RTP/AVP 0\naudio 0 RTP/AVP 8\n"},
      // The first that can be taken.
      {"m=audio 5000 RTP/SAVP 0\nm=audio 5002 RTP/AVP 18\n"
       "m=audio 0 RTP/AVP 0\nm=audio 5004 RTP/AVPF 8\n",
       "audio 0 RTP/SAVP 0\naudio 0 RTP/AVP 18\naudio 0 RTP/AVP 0\n"
       "audio 40000 RTP/AVPF 8\n"},
      {"m=audio 5000/2 RTP/AVP 0\nm=AUDIO 5008 rtp/avp 0\n",
       "audio 0 RTP/AVP 0\nAUDIO 40000 rtp/avp 0\n"},
      {"m=audio 5000 RTP/AVP 0\nc=IN IP4 224.2.1.1\nm=audio 5002 RTP/AVP 0\n",
       "audio 0 RTP/AVP 0\naudio 40000 RTP/AVP 0\n"},
      {"m=audio 5000 RTP/AVP 0\nc=IN IP4 255.255.255.255\n"
       "m=audio 5000 RTP/AVP 0\nc=IN IP6 2001:db8::7\n"
       "m=audio 5002 RTP/AVP 0\n",
       "audio 0 RTP/AVP 0\naudio 0 RTP/AVP 0\naudio 40000 RTP/AVP 0\n"},
      // In kind.
      {"", ""},
      {"m=audio 0 RTP/AVP 0\n", "audio 0 RTP/AVP 0\n"},
      {"m=audio 0 RTP/AVP \nm=video 0 RTP/AVP 31\n",
       "audio 0 RTP/AVP 0\nvideo 0 RTP/AVP 31\n"},
  };
  for (const auto& row : kTable) {
    const AudioAnswer answer = Answered(Told(row.media));
    EXPECT_EQ(MediaLines(answer.text), row.answered) << row.media;
    EXPECT_EQ(answer.agreed.active,
              answer.text.find(" 40000 ") != answer.text.npos)
        << row.media;
  }
}

TEST(AudioAnswer, TakesNothingOfTheseAndSaysSo) {
  for (const char* media : {
           "m=audio 5000 RTP/AVP 18 4\n",
           "m=audio 5000 RTP/SAVP 0 8\n",
           "m=audio 5000 UDP/TLS/RTP/SAVPF 0 8\n",
           "m=video 5000 RTP/AVP 0\n",
           "m=audio 0 RTP/AVP 0\nm=video 5000 RTP/AVP 31\n",
           "m=audio 5000 RTP/AVP 0\nc=IN IP4 239.1.2.3\n",
           "m=audio 5000 RTP/AVP 0\nc=IN IP4 0.0.0.9\n",
           "m=audio 5000 RTP/AVP 0\nc=IN IP6 2001:db8::1\n",
           // Names that do not fit their numbers, and other clocks.
           "m=audio 5000 RTP/AVP 0\na=rtpmap:0 PCMA/8000\n",
           "m=audio 5000 RTP/AVP 0\na=rtpmap:0 L16/8000\n",
           "m=audio 5000 RTP/AVP 18\na=rtpmap:18 PCMU/8000\n",
           "m=audio 5000 RTP/AVP 72\na=rtpmap:72 PCMU/8000\n",
           "m=audio 5000 RTP/AVP 96\na=rtpmap:96 PCMU/16000\n",
           "m=audio 5000 RTP/AVP 96\na=rtpmap:96 PCMU/8000/2\n",
           "m=audio 5000 RTP/AVP 96\na=rtpmap:96 PCMU\n",
           "m=audio 5000 RTP/AVP 96\n",
           "m=audio 5000 RTP/AVP 96\na=rtpmap:97 PCMU/8000\n",
           "m=audio 5000 RTP/AVP 128 256 -0 0x8 8,\n",
           "m=audio 5000 RTP/AVP 101\na=rtpmap:101 telephone-event/8000\n",
           "m=audio 5000 RTP/AVP *\n",
           // Another section's line.
           "m=audio 5000 RTP/AVP 96\nm=audio 5002 RTP/AVP 97\n"
           "a=rtpmap:96 PCMU/8000\n",
       }) {
    const auto answer = AnswerAudio(Told(media), Ours());
    EXPECT_EQ(answer.status().code(), absl::StatusCode::kNotFound) << media;
    EXPECT_THAT(std::string(answer.status().message()),
                HasSubstr("PCMU or PCMA"));
  }
}

TEST(AudioAnswer, SaysWhatIsBroken) {
  for (const char* text : {"", "v=0\r\n", "hello", "v=0\no=- 1 1 IN IP4 h\nx",
                           "v=0\r\no=- 1 1 IN IP4 h\r\nm=audio 1 RTP/AVP 0\r\n",
                           "v=0\r\no=- 1 1 IN IP4 h\r\nm=audio -1 RTP/AVP 0"}) {
    EXPECT_EQ(AnswerAudio(text, Ours()).status().code(),
              absl::StatusCode::kInvalidArgument)
        << text;
    EXPECT_EQ(ReadAudioAnswer(Ours(), text).status().code(),
              absl::StatusCode::kInvalidArgument)
        << text;
  }
  EXPECT_EQ(AnswerAudio("v=0\no=- 1 1 IN IP4 h\nc=IN IP4 host.example\n"
                        "m=audio 5000 RTP/AVP 0\n",
                        Ours())
                .status()
                .code(),
            absl::StatusCode::kUnimplemented);
}

// The numbers of the offer, however it names them.
TEST(AudioAnswer, ReadsPayloadNumbers) {
  const struct {
    const char* media;
    const char* answered;
    Codec codec;
    uint16_t events;
  } kTable[] = {
      {"m=audio 5000 RTP/AVP 8 0\n", "8", Codec::kPcma, 0},
      {"m=audio 5000 RTP/AVP 96\na=rtpmap:96 pcmu/8000\n", "96", Codec::kPcmu,
       0},
      {"m=audio 5000 RTP/AVP 127\na=rtpmap:127  PcMa/8000/1 \n", "127",
       Codec::kPcma, 0},
      {"m=audio 5000 RTP/AVP 35\na=rtpmap:35 PCMA/8000\n", "35", Codec::kPcma,
       0},
      {"m=audio 5000 RTP/AVP 0\na=rtpmap:0 pcmu/8000/1\n", "0", Codec::kPcmu,
       0},
      // The first rtpmap of a number counts, as for the relay.
      {"m=audio 5000 RTP/AVP 96\na=rtpmap:96 PCMA/8000\n"
       "a=rtpmap:96 PCMU/8000\n",
       "96", Codec::kPcma, 0},
      {"m=audio 5000 RTP/AVP 0 101\na=rtpmap:101 Telephone-Event/8000/1\n"
       "a=fmtp:101 0-16\n",
       "0 101", Codec::kPcmu, 0xffff},
      // Without fmtp 0 to 15 are meant (RFC 4733 2.4.1).
      {"m=audio 5000 RTP/AVP 101 0\na=rtpmap:101 telephone-event/8000\n",
       "0 101", Codec::kPcmu, 0xffff},
      {"m=audio 5000 RTP/AVP 0 101\na=rtpmap:101 telephone-event/8000\n"
       "a=fmtp:101 0-9, 11,32-49,255\n",
       "0 101", Codec::kPcmu, 0x0bff},
      {"m=audio 5000 RTP/AVP 0 101\na=rtpmap:101 telephone-event/8000\n"
       "a=fmtp:101 9-0\n",
       "0 101", Codec::kPcmu, 0xffff},
      {"m=audio 5000 RTP/AVP 0 101\na=rtpmap:101 telephone-event/8000\n"
       "a=fmtp:101 16,32-49\n",
       "0", Codec::kPcmu, 0},
      // For each clock its own; ours is 8000.
      {"m=audio 5000 RTP/AVP 100 101 0\na=rtpmap:100 telephone-event/48000\n"
       "a=rtpmap:101 telephone-event/8000\n",
       "0 101", Codec::kPcmu, 0xffff},
      {"m=audio 5000 RTP/AVP 0 0 0 8\n", "0", Codec::kPcmu, 0},
      {"m=audio 5000 RTP/AVP  3   0\n", "0", Codec::kPcmu, 0},
  };
  for (const auto& row : kTable) {
    const AudioAnswer answer = Answered(Told(row.media));
    EXPECT_EQ(MediaLines(answer.text),
              Cat("audio 40000 RTP/AVP ", row.answered, "\n"))
        << row.media;
    EXPECT_EQ(answer.agreed.codec, row.codec) << row.media;
    EXPECT_EQ(answer.agreed.events, row.events) << row.media;
    EXPECT_EQ(answer.agreed.event_type != 0, row.events != 0) << row.media;
  }
}

TEST(AudioAnswer, WithoutEventsOfOursThereAreNone) {
  AudioOurs ours = Ours();
  ours.event_type = 0;
  const AudioAnswer answer = Answered(
      Told("m=audio 5000 RTP/AVP 0 101\na=rtpmap:101 telephone-event/8000\n"),
      ours);
  EXPECT_EQ(MediaLines(answer.text), "audio 40000 RTP/AVP 0\n");
  EXPECT_EQ(answer.agreed.event_type, 0);
}

TEST(AudioAnswer, KeepsPacketsWithinWhatBothCan) {
  const struct {
    const char* lines;
    int ptime_ms;
  } kTable[] = {
      {"", 20},
      {"a=ptime:10\n", 10},
      {"a=ptime:60\n", 60},
      {"a=ptime:5\n", 10},
      {"a=ptime:25\n", 20},
      {"a=ptime:200\n", 60},
      {"a=ptime:30.5\n", 30},
      {"a=ptime:0\n", 20},
      {"a=ptime:x\n", 20},
      {"a=ptime:-20\n", 20},
      {"a=ptime:99999999999999999999\n", 20},
      {"a=maxptime:150\n", 20},
      {"a=maxptime:10\n", 10},
      {"a=ptime:40\na=maxptime:30\n", 30},
      {"a=ptime:40\na=maxptime:1\n", 10},
      {"a=ptime:40\na=ptime:10\n", 40},
  };
  for (const auto& row : kTable) {
    const AudioAnswer answer =
        Answered(Told(Cat("m=audio 5000 RTP/AVP 0\n", row.lines)));
    EXPECT_EQ(answer.agreed.ptime_ms, row.ptime_ms) << row.lines;
    EXPECT_THAT(answer.text, HasSubstr(Cat("a=ptime:", row.ptime_ms, "\r\n")));
  }
}

TEST(AudioAnswer, ReadsWhereRtcpGoes) {
  const struct {
    const char* media;
    const char* rtcp;  // "": nowhere
  } kTable[] = {
      {"m=audio 5000 RTP/AVP 0\n", "198.51.100.7:5001"},
      {"m=audio 5000 RTP/AVP 0\na=rtcp:6000\n", "198.51.100.7:6000"},
      {"m=audio 5000 RTP/AVP 0\na=rtcp:6000 IN IP4 198.51.100.8\n",
       "198.51.100.8:6000"},
      {"m=audio 65535 RTP/AVP 0\n", ""},
      {"m=audio 5000 RTP/AVP 0\na=rtcp:6000 IN IP4 239.1.1.1\n", ""},
      {"m=audio 5000 RTP/AVP 0\na=rtcp:6000 IN IP4 0.0.0.0\n", ""},
      {"m=audio 5000 RTP/AVP 0\na=rtcp:6000 IN IP6 2001:db8::1\n", ""},
      {"m=audio 5000 RTP/AVP 0\nc=IN IP4 0.0.0.0\na=rtcp:6000\n", ""},
      {"m=audio 5000 RTP/AVP 0\na=rtcp-mux\n", "198.51.100.7:5001"},
  };
  for (const auto& row : kTable) {
    const AudioAnswer answer = Answered(Told(row.media));
    EXPECT_EQ(answer.agreed.remote_rtcp,
              Endpoint::Parse(row.rtcp).value_or(Endpoint()))
        << row.media;
    EXPECT_THAT(answer.text, Not(HasSubstr("rtcp-mux")));
  }
  AudioOurs ours = Ours();
  ours.rtcp_mux = true;
  const AudioAnswer muxed =
      Answered(Told("m=audio 5000 RTP/AVP 0\na=rtcp-mux\na=rtcp:6000\n"), ours);
  EXPECT_TRUE(muxed.agreed.rtcp_mux);
  EXPECT_EQ(muxed.agreed.remote_rtcp, Endpoint::Parse("198.51.100.7:5000"));
  EXPECT_THAT(muxed.text, HasSubstr("a=rtcp-mux\r\n"));
  const AudioAnswer plain = Answered(Told("m=audio 5000 RTP/AVP 0\n"), ours);
  EXPECT_FALSE(plain.agreed.rtcp_mux);
  EXPECT_THAT(plain.text, Not(HasSubstr("rtcp-mux")));
}

TEST(AudioAnswer, CopiesNoTimeThatIsNone) {
  for (const char* time : {"t=\n", "t=now\n", "t=0\n", "t=0 0 0\n", ""}) {
    const AudioAnswer answer =
        Answered(Wire(Cat("v=0\no=- 1 1 IN IP4 h\ns=-\nc=IN IP4 198.51.100.7\n",
                          time, "m=audio 5000 RTP/AVP 0\n")));
    EXPECT_THAT(answer.text, HasSubstr("t=0 0\r\n")) << time;
  }
}

TEST(AudioAnswer, RefusesTheAudioWhenWeHaveNoPort) {
  AudioOurs ours = Ours();
  ours.rtp.port = Port();
  const AudioAnswer answer = Answered(Told("m=audio 5000 RTP/AVP 0\n"), ours);
  EXPECT_EQ(MediaLines(answer.text), "audio 0 RTP/AVP 0\n");
  EXPECT_FALSE(answer.agreed.active);
}

// --- Hold ------------------------------------------------------------------

// RFC 3264 6.1, and the old way by address.
TEST(AudioAnswer, TurnsDirectionsAround) {
  const struct {
    const char* lines;
    Direction ours;
    const char* answered;
    bool send, receive, held;
  } kTable[] = {
      {"", Direction::kSendRecv, "sendrecv", true, true, false},
      {"a=sendonly\n", Direction::kSendRecv, "recvonly", false, true, true},
      {"a=recvonly\n", Direction::kSendRecv, "sendonly", true, false, false},
      {"a=inactive\n", Direction::kSendRecv, "inactive", false, false, true},
      {"a=sendrecv\n", Direction::kSendOnly, "sendonly", true, false, false},
      {"a=sendonly\n", Direction::kSendOnly, "inactive", false, false, true},
      {"a=recvonly\n", Direction::kRecvOnly, "inactive", false, false, false},
      {"a=sendrecv\n", Direction::kInactive, "inactive", false, false, false},
      {"c=IN IP4 0.0.0.0\n", Direction::kSendRecv, "recvonly", false, true,
       true},
      {"c=IN IP4 0.0.0.0\na=sendonly\n", Direction::kSendRecv, "recvonly",
       false, true, true},
      {"c=IN IP4 0.0.0.0\na=recvonly\n", Direction::kSendRecv, "inactive",
       false, false, true},
      {"c=IN IP6 ::\n", Direction::kSendRecv, "recvonly", false, true, true},
  };
  for (const auto& row : kTable) {
    AudioOurs ours = Ours();
    ours.direction = row.ours;
    const AudioAnswer answer =
        Answered(Told(Cat("m=audio 5000 RTP/AVP 0\n", row.lines)), ours);
    EXPECT_THAT(answer.text, HasSubstr(Cat("a=", row.answered, "\r\n")))
        << row.lines;
    EXPECT_EQ(answer.agreed.send, row.send) << row.lines;
    EXPECT_EQ(answer.agreed.receive, row.receive) << row.lines;
    EXPECT_EQ(answer.agreed.held_by_peer, row.held) << row.lines;
  }
}

// --- As phones write -------------------------------------------------------

TEST(AudioAnswer, AnswersWhatTheFieldOffers) {
  const struct {
    const char* name;
    const char* offer;
    const char* answered;
    const char* rtp;
    int events;
  } kTable[] = {
      {"baresip",
       "v=0\no=- 2862054682 861416276 IN IP4 203.0.113.40\ns=-\n"
       "c=IN IP4 203.0.113.40\nt=0 0\na=tool:baresip 1.0.0\n"
       "m=audio 24366 RTP/AVP 96 97 0 8 101\nb=AS:125\n"
       "a=rtpmap:96 opus/48000/2\na=fmtp:96 stereo=1;sprop-stereo=1\n"
       "a=rtpmap:97 L16/16000\na=rtpmap:0 PCMU/8000\na=rtpmap:8 PCMA/8000\n"
       "a=rtpmap:101 telephone-event/8000\na=fmtp:101 0-15\n"
       "a=rtcp:24367\na=sendrecv\na=label:1\na=rtcp-rsize\na=minptime:10\n"
       "a=ptime:20\na=ssrc:1742362873 cname:sip:a@example.com\n",
       "audio 40000 RTP/AVP 0 101\n", "203.0.113.40:24366", 101},
      {"sipp",
       "v=0\no=user1 53655765 2353687637 IN IP4 127.0.0.1\ns=-\n"
       "c=IN IP4 127.0.0.1\nt=0 0\nm=audio 6000 RTP/AVP 0\n"
       "a=rtpmap:0 PCMU/8000\n",
       "audio 40000 RTP/AVP 0\n", "127.0.0.1:6000", 0},
      {"a PBX with all codecs",
       "v=0\no=- 1342863232 1342863232 IN IP4 198.51.100.20\ns=Asterisk\n"
       "c=IN IP4 198.51.100.20\nt=0 0\n"
       "m=audio 13228 RTP/AVP 107 9 18 3 111 8 0 112 101\n"
       "a=rtpmap:107 opus/48000/2\na=fmtp:107 useinbandfec=1\n"
       "a=rtpmap:9 G722/8000\na=rtpmap:18 G729/8000\na=fmtp:18 annexb=no\n"
       "a=rtpmap:3 GSM/8000\na=rtpmap:111 G726-32/8000\n"
       "a=rtpmap:8 PCMA/8000\na=rtpmap:0 PCMU/8000\n"
       "a=rtpmap:112 AAL2-G726-32/8000\n"
       "a=rtpmap:101 telephone-event/8000\na=fmtp:101 0-16\n"
       "a=ptime:20\na=maxptime:60\na=sendrecv\n",
       "audio 40000 RTP/AVP 8 101\n", "198.51.100.20:13228", 101},
      {"Linphone",
       "v=0\no=alice 1409 3461 IN IP4 192.0.2.77\ns=Talk\n"
       "c=IN IP4 192.0.2.77\nt=0 0\n"
       "a=rtcp-xr:rcvr-rtt=all:10000 stat-summary=loss,dup,jitt,TTL "
       "voip-metrics\na=record:off\n"
       "m=audio 7078 RTP/AVPF 96 97 98 0 8 18 101 99 100\n"
       "a=rtpmap:96 opus/48000/2\na=fmtp:96 useinbandfec=1\n"
       "a=rtpmap:97 speex/16000\na=fmtp:97 vbr=on\n"
       "a=rtpmap:98 speex/8000\na=fmtp:98 vbr=on\n"
       "a=fmtp:18 annexb=yes\na=rtpmap:101 telephone-event/48000\n"
       "a=rtpmap:99 telephone-event/16000\na=rtpmap:100 telephone-event/8000\n"
       "a=rtcp-fb:* trr-int 5000\na=rtcp-fb:* ccm tmmbr\n"
       "m=video 9078 RTP/AVPF 96\na=rtpmap:96 VP8/90000\n"
       "a=rtcp-fb:96 nack pli\n",
       "audio 40000 RTP/AVPF 0 100\nvideo 0 RTP/AVPF 96\n", "192.0.2.77:7078",
       100},
      {"a gateway that falls back to fax, lines ended by LF only",
       "v=0\no=CiscoSystemsSIP-GW-UserAgent 4712 2171 IN IP4 192.0.2.1\n"
       "s=SIP Call\nc=IN IP4 192.0.2.1\nt=0 0\n"
       "m=audio 16462 RTP/AVP 8 101 19\nc=IN IP4 192.0.2.2\n"
       "a=rtpmap:8 PCMA/8000\na=rtpmap:101 telephone-event/8000\n"
       "a=fmtp:101 0-16\na=rtpmap:19 CN/8000\n"
       "m=image 16464 udptl t38\nc=IN IP4 192.0.2.2\na=T38FaxVersion:0\n",
       "audio 40000 RTP/AVP 8 101\nimage 0 udptl t38\n", "192.0.2.2:16462",
       101},
  };
  for (const auto& row : kTable) {
    SCOPED_TRACE(row.name);
    for (const std::string& offer : {Wire(row.offer), std::string(row.offer)}) {
      const AudioAnswer answer = Answered(offer);
      EXPECT_EQ(MediaLines(answer.text), row.answered);
      EXPECT_EQ(answer.agreed.remote_rtp, Endpoint::Parse(row.rtp));
      EXPECT_EQ(answer.agreed.event_type, row.events);
      EXPECT_EQ(answer.agreed.ptime_ms, 20);
      EXPECT_TRUE(answer.agreed.send && answer.agreed.receive);
    }
  }
}

}  // namespace
}  // namespace sluice::sip
