// Goal: a description is read in one way only or refused, and what is told
// instead differs from it exactly where it must.
// Method: tables of texts, and whole texts compared octet for octet.

#include "sip/sdp.h"

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace sluice::sip {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

const IpAddress kRelay = IpAddress::V4(203, 0, 113, 9);
const IpAddress kRelay6 = *IpAddress::Parse("2001:db8::9");

// Written with LF, as it is on the wire.
std::string Wire(std::string_view text) {
  std::string out;
  for (const char c : text) out += c == '\n' ? "\r\n" : std::string(1, c);
  return out;
}

std::string Head(std::string_view session = "c=IN IP4 10.0.0.5\n") {
  return Wire(std::string("v=0\no=alice 53655765 2353687637 IN IP4 10.0.0.5\n"
                          "s=-\n") +
              std::string(session) + "t=0 0\n");
}

// What Apply makes of it, given one port a medium on `ip`.
std::string Told(std::string_view text, std::vector<uint16_t> ports,
                 const IpAddress& ip = kRelay) {
  const auto sdp = Sdp::Parse(text);
  EXPECT_TRUE(sdp.ok()) << sdp.status();
  if (!sdp.ok()) return "";
  std::vector<Sdp::Listen> listen;
  for (const uint16_t port : ports) listen.push_back({.ip = ip, .port = port});
  return sdp->Apply(
      {.listen = listen, .origin = ip, .origin_id = 77, .version_offset = 3});
}

std::string ToldHead(std::string_view session = "c=IN IP4 203.0.113.9\n") {
  return Wire(std::string("v=0\no=- 77 2353687640 IN IP4 203.0.113.9\ns=-\n") +
              std::string(session) + "t=0 0\n");
}

absl::Status Why(std::string_view text) { return Sdp::Parse(text).status(); }

// --- Reading ---------------------------------------------------------------

TEST(SdpParse, ReadsWhatAMediumSays) {
  const std::string text =
      Head() + Wire(
                   "a=sendonly\n"
                   "m=audio 49170/2 RTP/AVP 96 0\nc=IN IP6 2001:db8::1\n"
                   "a=rtpmap:0 PCMU/8000\na=rtpmap:96 opus/48000/2\n"
                   "a=rtcp:53020 IN IP4 10.0.0.6\na=rtcp-mux\na=inactive\n"
                   "m=image 4000 udptl t38\n");
  const auto sdp = Sdp::Parse(text);
  ASSERT_TRUE(sdp.ok()) << sdp.status();
  EXPECT_EQ(sdp->origin_session(), "53655765");
  EXPECT_EQ(sdp->origin_version(), 2353687637u);
  ASSERT_EQ(sdp->media().size(), 2u);
  const SdpMedium& audio = sdp->media()[0];
  EXPECT_EQ(audio.type, "audio");
  EXPECT_EQ(audio.proto, "RTP/AVP");
  EXPECT_EQ(audio.formats, "96 0");
  EXPECT_EQ(audio.port, 49170);
  EXPECT_EQ(audio.count, 2);
  EXPECT_EQ(audio.ports(), 4);
  EXPECT_EQ(audio.address, IpAddress::Parse("2001:db8::1"));
  EXPECT_FALSE(audio.any_address);
  EXPECT_EQ(audio.rtcp_port, 53020);
  EXPECT_EQ(audio.rtcp_address, IpAddress::V4(10, 0, 0, 6));
  EXPECT_TRUE(audio.rtcp_mux);
  EXPECT_EQ(audio.clock_hz, 48'000u);
  EXPECT_EQ(audio.direction, SdpMedium::Direction::kInactive);
  const SdpMedium& image = sdp->media()[1];
  EXPECT_FALSE(image.is_rtp());
  EXPECT_TRUE(image.is_udp());
  EXPECT_EQ(image.ports(), 1);
  EXPECT_EQ(image.address, IpAddress::V4(10, 0, 0, 5));
  EXPECT_EQ(image.direction, SdpMedium::Direction::kSendOnly);
  EXPECT_EQ(image.clock_hz, 0u);
  EXPECT_FALSE(image.rtcp_port);
}

TEST(SdpParse, KnowsTheKindsOfTransport) {
  struct Case {
    const char* proto;
    bool rtp, srtp, udp;
  };
  for (const Case& c : {Case{"RTP/AVP", true, false, true},
                        {"rtp/avpf", true, false, true},
                        {"RTP/SAVP", true, true, true},
                        {"RTP/SAVPF", true, true, true},
                        {"UDP/TLS/RTP/SAVP", true, true, true},
                        {"UDP/TLS/RTP/SAVPF", true, true, true},
                        {"udptl", false, false, true},
                        {"udp", false, false, true},
                        {"UDP/DTLS/SCTP", false, false, true},
                        {"TCP/MSRP", false, false, false},
                        {"TCP/RTP/AVP", false, false, false}}) {
    SdpMedium medium;
    medium.proto = c.proto;
    EXPECT_EQ(medium.is_rtp(), c.rtp) << c.proto;
    EXPECT_EQ(medium.is_srtp(), c.srtp) << c.proto;
    EXPECT_EQ(medium.is_udp(), c.udp) << c.proto;
  }
}

TEST(SdpParse, TakesTheClockOfTheFirstFormat) {
  const auto clock = [](std::string_view lines) {
    const std::string text = Head() + Wire(lines);
    const auto sdp = Sdp::Parse(text);
    EXPECT_TRUE(sdp.ok()) << sdp.status();
    return sdp.ok() ? sdp->media()[0].clock_hz : 1;
  };
  EXPECT_EQ(clock("m=audio 4000 RTP/AVP 0\n"), 8000u);
  EXPECT_EQ(clock("m=audio 4000 RTP/AVP 9 0\n"), 8000u);  // G.722, RFC 3551
  EXPECT_EQ(clock("m=audio 4000 RTP/AVP 11\n"), 44'100u);
  EXPECT_EQ(clock("m=video 4000 RTP/AVP 34\n"), 90'000u);
  EXPECT_EQ(clock("m=audio 4000 RTP/AVP 1\n"), 0u);
  EXPECT_EQ(clock("m=audio 4000 RTP/AVP 96\n"), 0u);
  EXPECT_EQ(clock("m=audio 4000 RTP/AVP 35\n"), 0u);
  EXPECT_EQ(clock("m=audio 4000 RTP/AVP x\n"), 0u);
  EXPECT_EQ(clock("m=audio 4000 udp 0\n"), 0u);
  EXPECT_EQ(clock("m=audio 4000 RTP/AVP 96\na=rtpmap:97 a/1\n"
                  "a=rtpmap:96 b/16000\na=rtpmap:96 c/32000\n"),
            16'000u);
  EXPECT_EQ(clock("m=audio 4000 RTP/AVP 0\na=rtpmap:0 PCMU\n"), 8000u);
  EXPECT_EQ(clock("m=audio 4000 RTP/AVP 0\na=rtpmap\n"), 8000u);
  EXPECT_EQ(clock("m=audio 4000 RTP/AVP 0\na=rtpmap:0 PCMU/99999999999\n"),
            8000u);
}

TEST(SdpParse, ADirectionIsTheSectionsFirstElseTheSessions) {
  using Direction = SdpMedium::Direction;
  const auto of = [](std::string_view session, std::string_view section) {
    const std::string text = Head() + Wire(session) +
                             Wire("m=audio 4000 RTP/AVP 0\n") + Wire(section);
    const auto sdp = Sdp::Parse(text);
    EXPECT_TRUE(sdp.ok()) << sdp.status();
    return sdp.ok() ? sdp->media()[0].direction : Direction::kSendRecv;
  };
  EXPECT_EQ(of("", ""), Direction::kSendRecv);
  struct Case {
    const char* line;
    Direction direction;
  };
  for (const Case& c : {Case{"a=sendonly\n", Direction::kSendOnly},
                        {"a=recvonly\n", Direction::kRecvOnly},
                        {"a=inactive\n", Direction::kInactive},
                        {"a=sendrecv\n", Direction::kSendRecv}}) {
    EXPECT_EQ(of(c.line, ""), c.direction) << c.line;
    EXPECT_EQ(of("", c.line), c.direction) << c.line;
    EXPECT_EQ(of("a=inactive\n", c.line), c.direction) << c.line;
    EXPECT_EQ(of(std::string(c.line) + "a=inactive\n", ""), c.direction)
        << c.line;
    EXPECT_EQ(of("", std::string(c.line) + "a=inactive\n"), c.direction)
        << c.line;
  }
  // With case, and with nothing behind it (RFC 8866 6.7).
  EXPECT_EQ(of("", "a=SendOnly\n"), Direction::kSendRecv);
  EXPECT_EQ(of("", "a=sendonly:x\n"), Direction::kSendRecv);
}

TEST(SdpParse, LetsPassWhatIsHarmless) {
  for (const char* text : {
           "v=0\no=- 1 2 IN IP4 a.example.com\ns=-\n",  // LF, no media
           "v=0\no=- abc 2 IN IP6 ::1",                 // no end at the end
           "v=0\no=- 1 2 IN IP4 h\nc=IN IP4 192.0.2.1 \nm=a 1  udp  x \n",
           "v=0\no=- 1 2 IN IP4 h\nm=a 0 udp x\n",  // refused, without c=
           "v=0\no=- 1 2 IN IP4 h\nm=a 0 udp\n",
           "v=0\no=- 1 2 IN IP4 h\nz=\n\n\r\n",  // empty lines at the end
       }) {
    EXPECT_TRUE(Why(text).ok()) << text << Why(text);
  }
}

// Each of them was read past its end, or crashed, somewhere (security P1).
TEST(SdpParse, SurvivesThePublishedTriggers) {
  const std::string head = Head();
  const std::string audio = Wire("m=audio 4000 RTP/AVP 0\n");
  // OpenSIPS: the last line without LF.
  EXPECT_TRUE(Why(head + "m=audio 4000 RTP/AVP 0").ok());
  EXPECT_TRUE(Why(head + audio + "a=").ok());
  EXPECT_TRUE(Why(head + audio + "a=rtcp-mux\r").code() ==
              absl::StatusCode::kInvalidArgument);
  EXPECT_FALSE(Why(head + audio + "a").ok());
  EXPECT_FALSE(Why(head + "m=").ok());
  EXPECT_FALSE(Why(head + "m=audio").ok());
  EXPECT_FALSE(Why("v").ok());
  // OpenSIPS: b= without colon.
  for (const char* b : {"b=AS", "b=", "b=:", "b=AS:", "b=CT:128"}) {
    const std::string text = head + audio + b;
    EXPECT_TRUE(Why(text).ok()) << b;
    EXPECT_THAT(Told(text, {5000}), ::testing::EndsWith(b));
  }
  // PJSIP: a=crypto cut short or with too many of everything.
  for (const char* a : {"a=crypto", "a=crypto:", "a=crypto:1",
                        "a=crypto:1 AES_CM_128_HMAC_SHA1_80",
                        "a=crypto:99999999999999999999 x inline:"}) {
    const std::string text = head + audio + a;
    EXPECT_TRUE(Why(text).ok()) << a;
    EXPECT_THAT(Told(text, {5000}), ::testing::EndsWith(a));
  }
  // Attributes that are a name and nothing else.
  for (const char* a : {"a=rtcp:", "a=rtcp: ", "a=rtcp:x", "a=rtcp:65536"}) {
    EXPECT_FALSE(Why(head + audio + a).ok()) << a;
  }
  for (const char* a : {"a=rtpmap:", "a=rtpmap:0", "a=rtpmap:0 ", "a=rtcp",
                        "a=:", "a=rtpmap:0 PCMU/", "a=candidate:"}) {
    EXPECT_TRUE(Why(head + audio + a).ok()) << a;
  }
}

TEST(SdpParse, RefusesWhatTwoReadersMightReadDifferently) {
  const std::string v = "v=0\n", o = "o=- 1 2 IN IP4 192.0.2.1\n",
                    c = "c=IN IP4 192.0.2.1\n", m = "m=audio 4000 RTP/AVP 0\n";
  const std::string cases[] = {
      "",
      v,
      v + "\n",
      o + v,
      v + "s=-\n" + o,
      v + o + o,
      v + o + v,
      "v=1\n" + o,
      "v=0 \n" + o,
      v + o + "C=IN IP4 192.0.2.1\n",
      v + o + "x\n",
      v + o + " c=IN IP4 192.0.2.1\n",
      v + o + "\n" + c,
      v + o + c + c,
      v + o + c + m + c + c,
      v + o + "c=\n",
      v + o + "c=IN\n",
      v + o + "c=IN IP4\n",
      v + o + "c=in IP4 192.0.2.1\n",
      v + o + "c=IN IP5 192.0.2.1\n",
      v + o + "c=IN IP4 192.0.2.1 192.0.2.2\n",
      v + o + "c=IN IP6 192.0.2.1\n",
      v + o + "c=IN IP4 ::ffff:192.0.2.1\n",
      v + o + "s=a\rc=IN IP4 192.0.2.1\n",
      v + o + std::string("s=\0\n", 4),
      v + "o=- 1 IN IP4 192.0.2.1\n",
      v + "o=- 1 x IN IP4 192.0.2.1\n",
      v + "o=- 1 18446744073709551616 IN IP4 192.0.2.1\n",
      v + "o=- 1 2 IN IP4\n",
      v + "o=- 1 2 IN IP5 192.0.2.1\n",
      v + "o=a b 1 2 IN IP4 192.0.2.1\n",
      v + "o=- 1 2 IN IP4 192.0.2.1 x\n",
      v + o + m,  // no c= at all
      v + o + c + "m=audio 65536 RTP/AVP 0\n",
      v + o + c + "m=audio -1 RTP/AVP 0\n",
      v + o + c + "m=audio +1 RTP/AVP 0\n",
      v + o + c + "m=audio 4000/ RTP/AVP 0\n",
      v + o + c + "m=audio 4000/0 RTP/AVP 0\n",
      v + o + c + "m=audio 4000/9 RTP/AVP 0\n",
      v + o + c + "m=audio 65533/2 RTP/AVP 0\n",
      v + o + c + "m=audio 4000 RTP/AVP\n",
      v + o + c + "m=audio 4000\n",
      v + o + c + m + "a=rtcp:1\na=rtcp:2\n",
      v + o + c + m + "a=rtcp:1 IN IP4 host\n",
  };
  for (const std::string& text : cases) {
    EXPECT_FALSE(Why(text).ok()) << text;
  }
}

TEST(SdpParse, NamesTheLineAndToldFromWrongTheUnsupported) {
  EXPECT_EQ(Why("v=0\no=- 1 2 IN IP4 h\ns=-\nm=a\n").message(),
            "SDP line 4: no port in m=");
  EXPECT_EQ(Why("").message(), "SDP line 0: no o= in the second line");
  for (const char* c : {"host.example.com", "224.2.1.1/127", "224.2.1.1/127/3",
                        "192.0.2.1/24", "127.1"}) {
    const absl::Status why =
        Why(absl::StrCat("v=0\no=- 1 2 IN IP4 h\nc=IN IP4 ", c, "\n"));
    EXPECT_EQ(why.code(), absl::StatusCode::kUnimplemented) << c;
    EXPECT_THAT(std::string(why.message()), HasSubstr("line 3"));
  }
}

TEST(SdpParse, HoldsNoMoreThanItsLimits) {
  std::string media, lines = "v=0\no=- 1 2 IN IP4 h\nc=IN IP4 192.0.2.1\n";
  const std::string head = lines;
  for (size_t i = 0; i < kSdpMediaMax; ++i) media += "m=a 4000 udp x\n";
  EXPECT_TRUE(Why(head + media).ok());
  EXPECT_THAT(std::string(Why(head + media + "m=a 4000 udp x\n").message()),
              HasSubstr("too many media"));
  for (size_t i = 3; i < kSdpLinesMax; ++i) lines += "a=x\n";
  EXPECT_TRUE(Why(lines).ok());
  EXPECT_THAT(std::string(Why(lines + "a=x\n").message()),
              HasSubstr("too many lines"));
}

// --- Writing ---------------------------------------------------------------

TEST(SdpApply, ChangesOnlyWhatItMust) {
  const std::string in =
      Head() + Wire(
                   "a=tool:x\nm=audio 49170 RTP/AVP 0 101\ni=mic\nb=AS:64\n"
                   "a=rtpmap:101 telephone-event/8000\na=ptime:20\n"
                   "a=rtcp:49171\na=sendrecv\n");
  const std::string out =
      ToldHead() + Wire(
                       "a=tool:x\nm=audio 5000 RTP/AVP 0 101\ni=mic\n"
                       "b=AS:64\na=rtpmap:101 telephone-event/8000\n"
                       "a=ptime:20\na=rtcp:5001\na=sendrecv\n");
  EXPECT_EQ(Told(in, {5000}), out);
  EXPECT_EQ(Told(in, {5000}), Told(in, {5000}));
}

TEST(SdpApply, KeepsStrangeSpacingAndLineEnds) {
  EXPECT_EQ(Told("v=0\no=- 1 2 IN IP4 h\r\nc=IN IP4 10.0.0.1\n"
                 "m=audio  49170/2   RTP/AVP  0 \r\na= x ",
                 {5000}),
            "v=0\no=- 77 5 IN IP4 203.0.113.9\r\nc=IN IP4 203.0.113.9\n"
            "m=audio  5000/2   RTP/AVP  0 \r\na= x ");
}

TEST(SdpApply, GivesEverySectionItsOwnAddressWhereOneDoesNotServeAll) {
  const std::string in =
      Head() + Wire(
                   "m=audio 4000 RTP/AVP 0\ni=a\na=x\n"
                   "m=video 4002 RTP/AVP 31\nc=IN IP4 10.0.0.6\n"
                   "m=text 4004 RTP/AVP 98");
  const auto sdp = Sdp::Parse(in);
  ASSERT_TRUE(sdp.ok());
  const IpAddress other = IpAddress::V4(203, 0, 113, 10);
  const Sdp::Listen listen[] = {{kRelay, 5000}, {other, 5002}, {kRelay6, 5004}};
  EXPECT_EQ(sdp->Apply({.listen = listen,
                        .origin = kRelay,
                        .origin_id = 77,
                        .version_offset = 3}),
            ToldHead("") +
                Wire("m=audio 5000 RTP/AVP 0\ni=a\nc=IN IP4 203.0.113.9\na=x\n"
                     "m=video 5002 RTP/AVP 31\nc=IN IP4 203.0.113.10\n"
                     "m=text 5004 RTP/AVP 98\nc=IN IP6 2001:db8::9"));
  // Sections with their own do not spoil it for the others.
  const Sdp::Listen same[] = {{kRelay, 5000}, {other, 5002}, {kRelay, 5004}};
  EXPECT_EQ(sdp->Apply({.listen = same,
                        .origin = kRelay,
                        .origin_id = 77,
                        .version_offset = 3}),
            ToldHead() + Wire("m=audio 5000 RTP/AVP 0\ni=a\na=x\n"
                              "m=video 5002 RTP/AVP 31\nc=IN IP4 203.0.113.10\n"
                              "m=text 5004 RTP/AVP 98"));
}

TEST(SdpApply, PutsAnAddressAtTheEndOfALastLineThatHasAnEnd) {
  const std::string in = Head() + Wire("m=a 1 udp x\nm=b 2 udp x\ni=z\n");
  const auto sdp = Sdp::Parse(in);
  ASSERT_TRUE(sdp.ok());
  const Sdp::Listen listen[] = {{kRelay, 5000}, {kRelay6, 5002}};
  EXPECT_EQ(sdp->Apply({.listen = listen,
                        .origin = kRelay,
                        .origin_id = 77,
                        .version_offset = 3}),
            ToldHead("") + Wire("m=a 5000 udp x\nc=IN IP4 203.0.113.9\n"
                                "m=b 5002 udp x\ni=z\nc=IN IP6 2001:db8::9\n"));
}

TEST(SdpApply, OneThatDiffersIsEnough) {
  const std::string in =
      Head() + Wire("m=a 1 udp x\nm=b 2 udp x\nm=c 3 udp x\n");
  const auto sdp = Sdp::Parse(in);
  ASSERT_TRUE(sdp.ok());
  for (size_t odd = 0; odd < 3; ++odd) {
    Sdp::Listen listen[] = {{kRelay, 10}, {kRelay, 12}, {kRelay, 14}};
    listen[odd].ip = kRelay6;
    const std::string text =
        sdp->Apply({.listen = listen, .origin = kRelay, .origin_id = 7});
    const auto told = Sdp::Parse(text);
    ASSERT_TRUE(told.ok()) << told.status();
    for (size_t i = 0; i < 3; ++i) {
      EXPECT_EQ(told->media()[i].address, listen[i].ip) << odd << i;
    }
  }
}

TEST(SdpApply, TellsNoPartysAddressWhereThereIsNoMedium) {
  EXPECT_EQ(Told(Head(), {}), ToldHead());
  // Neither the session's when every section has its own, nor a refused one's.
  EXPECT_EQ(Told(Head() + Wire("m=a 0/2 RTP/AVP 0\nc=IN IP4 10.0.0.7\n"
                               "a=rtcp:7\n"),
                 {0}),
            ToldHead() + Wire("m=a 0/2 RTP/AVP 0\nc=IN IP4 203.0.113.9\n"));
  const std::string in = Head() + Wire("m=a 0 RTP/AVP 0\n");
  const auto sdp = Sdp::Parse(in);
  const Sdp::Listen none[] = {{}};
  EXPECT_EQ(sdp->Apply({.listen = none,
                        .origin = kRelay,
                        .origin_id = 77,
                        .version_offset = 3}),
            ToldHead() + Wire("m=a 0 RTP/AVP 0\n"));
}

TEST(SdpApply, RefusedStaysRefusedAndMayBecomeIt) {
  const std::string in =
      Head() + Wire("m=a 4000/2 RTP/AVP 0\nm=b 0 RTP/AVP 0\nm=c 4 udp x\n");
  EXPECT_EQ(
      Told(in, {0, 5002, 5004}),
      ToldHead() + Wire("m=a 0 RTP/AVP 0\nm=b 0 RTP/AVP 0\nm=c 5004 udp x\n"));
}

TEST(SdpApply, HoldStaysHold) {
  const std::string zero = "c=IN IP4 0.0.0.0\n";
  EXPECT_EQ(Told(Head(zero) + Wire("m=audio 4000 RTP/AVP 0\n"), {5000}),
            ToldHead(zero) + Wire("m=audio 5000 RTP/AVP 0\n"));
  EXPECT_EQ(Told(Head(zero), {}), ToldHead(zero));
  EXPECT_EQ(
      Told(Head() + Wire("m=a 4000 RTP/AVP 0\nc=IN IP4 0.0.0.0\na=inactive\n"),
           {5000}),
      ToldHead() + Wire("m=a 5000 RTP/AVP 0\nc=IN IP4 0.0.0.0\na=inactive\n"));
  // In the family in which we listen.
  EXPECT_THAT(
      Told(Head(zero) + Wire("m=audio 4000 RTP/AVP 0\n"), {5000}, kRelay6),
      HasSubstr("\r\nc=IN IP6 ::\r\n"));
}

TEST(SdpApply, AnnouncesRtcpBehindRtp) {
  const auto rtcp = [](std::string_view medium) {
    return Told(Head() + Wire(medium), {5000});
  };
  EXPECT_THAT(rtcp("m=a 4000 RTP/AVP 0\na=rtcp:9 IN IP4 0.0.0.0\na=rtcp-mux\n"),
              HasSubstr("a=rtcp:5001 IN IP4 203.0.113.9\r\na=rtcp-mux\r\n"));
  EXPECT_THAT(rtcp("m=a 4000 RTP/AVP 0\na=rtcp:0\n"),
              HasSubstr("a=rtcp:0\r\n"));
  EXPECT_THAT(rtcp("m=a 4000 udp 0\na=rtcp:9\n"), Not(HasSubstr("a=rtcp")));
  EXPECT_THAT(rtcp("a=rtcp:9\nm=a 4000 RTP/AVP 0\n"), Not(HasSubstr("a=rtcp")));
  EXPECT_THAT(Told(Head() + Wire("m=a 4000 RTP/AVP 0\na=rtcp:9\n"), {65535}),
              Not(HasSubstr("a=rtcp")));
  EXPECT_THAT(Told(Head() + Wire("m=a 4000 RTP/AVP 0\na=rtcp:9\n"), {65534}),
              HasSubstr("a=rtcp:65535\r\n"));
}

TEST(SdpApply, TakesOutEveryCandidateInAnySpelling) {
  const std::string out =
      Told(Head() + Wire("a=ice-lite\na=ice-options:trickle\n"
                         "m=audio 4000 UDP/TLS/RTP/SAVPF 0\n"
                         "a=ice-ufrag:8hhY\na=ice-pwd:asd88\na=ice-pacing:50\n"
                         "a=candidate:1 1 UDP 2130706431 10.0.1.1 8998 typ "
                         "host\n"
                         "a=Candidate:2 1 UDP 1 10.0.1.1 8998 typ host\n"
                         "a=remote-candidates:1 10.0.1.1 8998\n"
                         "a=ice-mismatch\na=end-of-candidates\n"
                         "a=setup:actpass\na=fingerprint:sha-256 AA\n"
                         "a=candidates:kept\n"),
           {5000});
  EXPECT_EQ(out, ToldHead() + Wire("m=audio 5000 UDP/TLS/RTP/SAVPF 0\n"
                                   "a=setup:actpass\na=fingerprint:sha-256 AA\n"
                                   "a=candidates:kept\n"));
}

TEST(SdpApply, CountsTheVersionIn63Bits) {
  EXPECT_THAT(Told("v=0\no=- 1 9223372036854775807 IN IP4 h\n", {}),
              HasSubstr("o=- 77 2 IN IP4"));
  EXPECT_THAT(Told("v=0\no=- 1 18446744073709551615 IN IP4 h\n", {}),
              HasSubstr("o=- 77 2 IN IP4"));
}

TEST(SdpApply, WhatItWritesReadsBackAsWhatWasAsked) {
  const std::string out =
      Told(Head() + Wire("m=audio 4000 RTP/AVP 0\nm=video 4002/2 RTP/AVP 31\n"),
           {5000, 5002}, kRelay6);
  const auto again = Sdp::Parse(out);
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(again->media()[0].port, 5000);
  EXPECT_EQ(again->media()[1].port, 5002);
  EXPECT_EQ(again->media()[1].count, 2);
  EXPECT_EQ(again->media()[1].address, kRelay6);
  EXPECT_EQ(again->origin_version(), 2353687640u);
}

// --- Finding it in a body --------------------------------------------------

const char kMixed[] = "multipart/mixed;boundary=\"b 1\"";

std::string Body(std::string_view parts) {
  return Wire(absl::StrReplaceAll({parts.data(), parts.size()},
                                  {{"SDP", "Content-Type: application/sdp"}}));
}

TEST(FindSdp, IsTheBodyOfItsOwnType) {
  EXPECT_EQ(FindSdp("application/sdp", "v=0"), "v=0");
  EXPECT_EQ(FindSdp("Application / SDP ; charset=utf-8", "v=0"), "v=0");
  EXPECT_EQ(FindSdp("", "v=0"), "v=0");
  EXPECT_EQ(FindSdp("text/plain", "v=0"), std::nullopt);
  EXPECT_EQ(FindSdp("application/sdp", ""), std::nullopt);
  EXPECT_EQ(FindSdp("", "\r\n"), std::nullopt);
  EXPECT_EQ(FindSdp("application", "v=0"), std::nullopt);
}

TEST(FindSdp, IsAPartWithoutTheEndThatIsTheDelimiters) {
  EXPECT_EQ(FindSdp(kMixed, Body("preamble\n--b 1\nContent-Type: text/plain\n"
                                 "\nhello\n--b 1 \nSDP\n\nv=0\no=\n\n"
                                 "--b 1--\nepilogue\n--b 1\nSDP\n\nno")),
            "v=0\r\no=\r\n");
  // LF only; folded, in any case; the closing delimiter missing.
  EXPECT_EQ(FindSdp(kMixed, "--b 1\ncontent-type:\n application/SDP\n\nv=0"),
            "v=0");
  // A line that only begins like a delimiter is content.
  EXPECT_EQ(FindSdp(kMixed, Body("--b 1\nSDP\n\nv=0\n--b 12\n--b 1--")),
            "v=0\r\n--b 12");
  // LF only, up to the end; a part of nothing at all before it.
  EXPECT_EQ(FindSdp(kMixed,
                    "--b 1\n--b 1\nContent-Type:\n\tapplication/sdp\n\n"
                    "v=0\no=\n--b 1--\n"),
            "v=0\no=");
}

TEST(FindSdp, LooksOneMultipartDeep) {
  const std::string inner =
      "Content-Type: multipart/alternative;\n boundary=in\n\n"
      "--in\nContent-Type: text/plain\n\nx\n--in\nSDP\n\nv=0\n--in--\n";
  EXPECT_EQ(FindSdp(kMixed, Body("--b 1\n" + inner + "--b 1--\n")), "v=0");
  const std::string deeper =
      "Content-Type: multipart/mixed; boundary=mid\n\n--mid\n" + inner +
      "--mid--\n";
  EXPECT_EQ(FindSdp(kMixed, Body("--b 1\n" + deeper + "--b 1--\n")),
            std::nullopt);
}

TEST(FindSdp, IsNothingWhereItIsNotClear) {
  const char* none[] = {
      "--b 1\nContent-Type: text/plain\n\nv=0\n--b 1--\n",
      "--b 1\n\nv=0\n--b 1--\n",  // no type
      "--b 1\nSDP\nContent-Transfer-Encoding: base64\n\ndj0w\n--b 1--\n",
      "--b 2\nSDP\n\nv=0\n--b 2--\n",  // other boundary
      "--b 1--\n--b 1\nSDP\n\nv=0\n",
      "--b 1",
      "",
  };
  for (const char* body : none) {
    EXPECT_EQ(FindSdp(kMixed, Body(body)), std::nullopt) << body;
  }
  for (const char* encoding : {"7bit", "8BIT", "binary", " 7bit "}) {
    const std::string part = absl::StrCat(
        "--b 1\nSDP\nContent-Transfer-Encoding: ", encoding, "\n\nv=0\n");
    EXPECT_EQ(FindSdp(kMixed, Body(part + "--b 1--\n")), "v=0") << encoding;
  }
  const std::string body = Body("--b 1\nSDP\n\nv=0\n--b 1--\n");
  for (const std::string& type :
       {std::string("multipart/mixed"), std::string("multipart/mixed;boundary"),
        std::string("multipart/mixed;boundary=\"\""),
        "multipart/mixed;boundary=" + std::string(71, 'b')}) {
    EXPECT_EQ(FindSdp(type, body), std::nullopt) << type;
  }
}

TEST(FindSdp, LooksAtNoMoreThanSixteenParts) {
  std::string body = "--b 1\nSDP\n\nv=0\n";
  for (int i = 0; i < 15; ++i) body += "--b 1\n\nx\n";
  EXPECT_EQ(FindSdp(kMixed, Body(body + "--b 1--\n")), "v=0");
  EXPECT_EQ(FindSdp(kMixed, Body(body + "--b 1\n\nx\n--b 1--\n")), "");
}

TEST(FindSdp, IsNoDescriptionWhereThereAreTwo) {
  EXPECT_EQ(
      FindSdp(kMixed, Body("--b 1\nSDP\n\nv=0\n--b 1\nSDP\n\nv=0\n--b 1--\n")),
      "");
}

}  // namespace
}  // namespace sluice::sip
