// Goal: who sent a request that ends his connection is told why, if his header
// says enough for an answer; nothing else is ever answered.

#include "sip/bad_frame.h"

#include <gtest/gtest.h>

#include <string>

#include "sip/message.h"
#include "tests/sip/transport_world.h"

namespace sluice::sip {
namespace {

// Without Content-Length and the empty line.
std::string Header(const std::string& method) {
  return method +
         " sip:bob@example.com SIP/2.0\r\n"
         "Via: SIP/2.0/TCP a.invalid:5060;rport;branch=z9hG4bK1\r\n"
         "Via: SIP/2.0/TCP b.invalid;branch=z9hG4bK2\r\n"
         "From: <sip:alice@example.com>;tag=f\r\n"
         "To: <sip:bob@example.com>\r\n"
         "Call-ID: c1\r\n"
         "CSeq: 7 " +
         method + "\r\n";
}

class BadFrameTest : public TransportWorld {
 protected:
  BadFrameTest() : node_(Make(Transport::kTcp)) {
    node_.leg.SetRefuser(
        [this](const Peer& from, std::string_view header, int code) {
          return AnswerToBadFrame(keys_, from, header, code);
        });
  }
  // What is said before the connection is closed.
  std::string Last(const std::string& octets, Endpoint* from = nullptr) {
    TcpPeer peer = Join(node_);
    if (from != nullptr) *from = peer.local();
    peer.Send(octets);
    TurnUntil([&] { return peer.closed(); });
    EXPECT_FALSE(peer.reset());
    return peer.received();
  }

  Keys keys_ = Keys::FromSecrets({"the secret of a test"});
  Node& node_;
};

TEST_F(BadFrameTest, ARequestWithoutLengthIsAnswered) {
  Endpoint from;
  const std::string answer = Last(Header("INVITE") + "\r\nlost", &from);
  Message m;
  ASSERT_FALSE(m.Parse(answer)) << answer;
  EXPECT_EQ(m.status(), 400);
  EXPECT_EQ(m.reason(), "Content-Length is missing or wrong");
  EXPECT_EQ(m.Nth(HeaderId::kVia, 0),
            "SIP/2.0/TCP a.invalid:5060;branch=z9hG4bK1;received=127.0.0.1;"
            "rport=" +
                std::to_string(from.port.host()));
  EXPECT_EQ(m.Nth(HeaderId::kVia, 1), "SIP/2.0/TCP b.invalid;branch=z9hG4bK2");
  EXPECT_EQ(m.call_id(), "c1");
  EXPECT_EQ(m.cseq(), 7u);
  EXPECT_NE(m.Value(HeaderId::kTo).find(";tag="), std::string_view::npos);
  EXPECT_EQ(node_.counters().bad_frames, 1u);
  EXPECT_EQ(node_.counters().frames_out, 1u);
  EXPECT_TRUE(node_.got.empty());
  ExpectLaw(node_);
}

TEST_F(BadFrameTest, TheAnswerSaysWhatIsWrong) {
  const struct {
    std::string lines;
    int status;
  } kCases[] = {
      {"Content-Length: 70000\r\n", 413},
      {"Content-Length: 99999999999999999999999\r\n", 413},
      {"Content-Length: -1\r\n", 400},
      {"Content-Length: 0x10\r\n", 400},
      // One interpretation only: of two there is none (P3).
      {"Content-Length: 0\r\nl: 10\r\n", 400},
      // What else is wrong with it does not matter.
      {"Contact: <<\r\nMax-Forwards: many\r\n", 400},
  };
  for (const auto& c : kCases) {
    SCOPED_TRACE(c.lines);
    Message m;
    m.Parse(Last(Header("REGISTER") + c.lines + "\r\n"));
    EXPECT_EQ(m.status(), c.status);
  }
}

TEST_F(BadFrameTest, WhatCannotBeAnsweredIsNot) {
  const std::string whole = Header("INVITE");
  std::string no_via = whole;
  no_via.replace(no_via.find("Via"), 3, "Vai");
  no_via.replace(no_via.find("Via"), 3, "Vai");
  std::string no_call = whole;
  no_call.replace(no_call.find("Call-ID"), 7, "Call-No");
  const std::string response =
      "SIP/2.0 200 OK" + whole.substr(whole.find("\r\n"));
  for (const std::string& octets :
       {Header("ACK") + "\r\n", response + "\r\n", no_via + "\r\n",
        no_call + "\r\n", std::string("GET / HTTP/1.1\r\nHost: a\r\n\r\n"),
        std::string("\x16\x03\x01 hello"), std::string(20'000, 'x'),
        // Cut at the cap: where it ends is not known.
        whole + "Subject: " + std::string(17'000, 's')}) {
    EXPECT_EQ(Last(octets), "") << octets.substr(0, 40);
  }
  EXPECT_EQ(node_.counters().bad_frames, 8u);
  EXPECT_EQ(node_.counters().frames_out, 0u);
}

// A stateless element answers a retransmission alike.
TEST_F(BadFrameTest, TheSameRequestGetsTheSameAnswer) {
  const Peer from = {.transport = Transport::kTcp,
                     .address = *Endpoint::Parse("192.0.2.1:5060")};
  const std::string header = Header("INVITE") + "\r\n";
  const std::string answer = AnswerToBadFrame(keys_, from, header, 400);
  EXPECT_EQ(AnswerToBadFrame(keys_, from, header, 400), answer);
  Keys others = Keys::FromSecrets({"another secret"});
  EXPECT_NE(AnswerToBadFrame(others, from, header, 400), answer);
  // It adds little to what came.
  EXPECT_LT(answer.size(), header.size() + 128);
}

}  // namespace
}  // namespace sluice::sip
