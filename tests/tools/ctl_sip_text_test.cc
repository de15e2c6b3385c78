#include <gtest/gtest.h>

#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "control/json_view.h"
#include "tools/ctl/sip_text.h"

namespace sluice::ctl {
namespace {

using namespace std::string_literals;
using control::SafeText;

TEST(LegsText, HasATableOfLegsAndOneOfTheirCounters) {
  const Json answer = {
      {"legs",
       {{{"name", "in"},
         {"listeners", {"udp:127.0.0.1:5060", "tcp:127.0.0.1:5060"}},
         {"chain", {"registrar", "proxy"}},
         {"connections", 1234},
         {"counters", {{"datagrams_in", 7}}}},
        {{"name", "out"},
         {"listeners", Json::array()},
         {"chain", {"proxy"}},
         {"connections", 0},
         {"counters", {{"datagrams_in", 80}, {"closed", 1}}}}}}};
  EXPECT_EQ(LegsText(answer),
            "LEG  LISTENERS                               CHAIN             "
            "CONNECTIONS\n"
            "in   udp:127.0.0.1:5060, tcp:127.0.0.1:5060  registrar, proxy"
            "        1 234\n"
            "out  -                                       proxy            "
            "           0\n"
            "\n"
            "COUNTER       in  out\n"
            "datagrams_in   7   80\n"
            "closed         -    1\n");
  EXPECT_EQ(LegsText({{"legs", Json::array()}}), "no legs\n");
}

Json Registration() {
  return {{"aor", "sip:a@example.com"},
          {"contact", "sip:a@192.0.2.1"},
          {"q", 0.5},
          {"expires_in_s", 299},
          {"leg", "in"},
          {"received", nullptr},
          {"path", nullptr},
          {"instance", nullptr}};
}

TEST(RegistrationsText, IsATable) {
  EXPECT_EQ(
      RegistrationsText({{"total", 1}, {"registrations", {Registration()}}}),
      "AOR                CONTACT            Q   EXPIRES  LEG  RECEIVED\n"
      "sip:a@example.com  sip:a@192.0.2.1  0.5  in 299 s  in   -\n");
}

TEST(RegistrationsText, HasColumnsForPathsAndInstancesThatThereAre) {
  Json one = Registration();
  EXPECT_EQ(
      RegistrationsText({{"total", 1}, {"registrations", {one}}}).find("PATH"),
      std::string::npos);
  one["path"] = "<sip:edge;lr>";
  one["instance"] = "<urn:uuid:1>";
  const std::string text = RegistrationsText(
      {{"total", 2}, {"registrations", {one, Registration()}}});
  EXPECT_NE(text.find("RECEIVED  PATH           INSTANCE\n"), std::string::npos)
      << text;
  EXPECT_NE(text.find("<sip:edge;lr>  <urn:uuid:1>\n"), std::string::npos);
}

TEST(RegistrationsText, SaysHowManyAreNotShown) {
  EXPECT_TRUE(
      RegistrationsText({{"total", 5000}, {"registrations", {Registration()}}})
          .ends_with("\n1 of 5 000 registrations\n"));
  EXPECT_EQ(RegistrationsText({{"total", 0}, {"registrations", Json::array()}}),
            "no registrations\n");
}

Json Message(const std::string& octets) {
  return {{"age_s", 12.5},
          {"after_s", 0.0},
          {"direction", "in"},
          {"leg", "inside"},
          {"peer", "udp 192.0.2.1:5060"},
          {"cut", false},
          {"text", SafeText(octets)}};
}

std::string Traced(const std::string& octets) {
  const std::string text =
      TraceText({{"call_id", "x"}, {"messages", {Message(octets)}}});
  const std::string head =
      "call x, 1 message kept, the first 12 s ago\n"
      "\n<- inside  from udp 192.0.2.1:5060  +0.000000 s\n";
  EXPECT_TRUE(text.starts_with(head)) << text;
  return text.substr(head.size());
}

TEST(TraceText, IsALineOfHeadAndTheMessageIndented) {
  Json second = Message("SIP/2.0 200 OK\r\n\r\nv=0\r\n");
  second["direction"] = "out";
  second["leg"] = "outside";
  second["after_s"] = 0.0125;
  second["cut"] = true;
  EXPECT_EQ(
      TraceText({{"call_id", "x"},
                 {"messages",
                  {Message("BYE sip:b SIP/2.0\r\nTo: b\r\n\r\n"), second}}}),
      "call x, 2 messages kept, the first 12 s ago\n"
      "\n"
      "<- inside  from udp 192.0.2.1:5060  +0.000000 s\n"
      "    BYE sip:b SIP/2.0\n"
      "    To: b\n"
      "\n"
      "\n"
      "-> outside  to udp 192.0.2.1:5060  +0.012500 s  (cut)\n"
      "    SIP/2.0 200 OK\n"
      "\n"
      "    v=0\n");
}

TEST(TraceText, EscapesAllButLineEnds) {
  EXPECT_EQ(Traced("a\tb\x1b[2J\x7f\0c\r\n"s),
            "    a\\x09b\\x1b[2J\\x7f\\x00c\n");
  EXPECT_EQ(Traced("\xc2\x9b\x9b\xff caf\xc3\xa9"),
            "    \\xc2\\x9b\\x9b\\xff caf\xc3\xa9\n");
  // Only CRLF and LF end a line; a CR alone would overwrite it.
  EXPECT_EQ(Traced("a\rb\nc\r\r\nd"), "    a\\x0db\n    c\\x0d\n    d\n");
  EXPECT_EQ(Traced(""), "");
}

// A message cannot pass for the head of another one.
TEST(TraceText, IndentsWhatLooksLikeAHead) {
  EXPECT_EQ(Traced("x\n-> inside  to udp 192.0.2.9:5060\n\n<- y\n"),
            "    x\n    -> inside  to udp 192.0.2.9:5060\n\n    <- y\n");
}

TEST(TraceText, HasNoControlOctetWhateverComes) {
  const uint32_t seed = 5;
  std::mt19937 random(seed);
  for (int round = 0; round < 500; ++round) {
    std::string octets;
    for (uint32_t n = random() % 80; n > 0; --n) {
      octets += static_cast<char>(random());
    }
    // As sluiced sends it, and as a liar would.
    for (const std::string& text : {SafeText(octets), octets}) {
      Json message = Message("");
      message["text"] = message["leg"] = message["peer"] = text;
      const std::string out =
          TraceText({{"call_id", text}, {"messages", {message}}});
      for (size_t i = 0; i < out.size(); ++i) {
        const auto octet = static_cast<uint8_t>(out[i]);
        ASSERT_TRUE(octet == '\n' || (octet >= 0x20 && octet != 0x7f))
            << "seed " << seed << " round " << round;
        ASSERT_FALSE(octet == 0xc2 && static_cast<uint8_t>(out[i + 1]) < 0xa0)
            << "seed " << seed << " round " << round;
      }
    }
  }
}

TEST(SipText, TakesAnyJson) {
  for (const Json& answer :
       {Json(nullptr), Json(7), Json::object(), Json({{"legs", 1}}),
        Json({{"legs", {1, nullptr, {{"counters", 3}, {"chain", "x"}}}}}),
        Json({{"total", 2}, {"registrations", {1, {{"path", 3}}}}}),
        Json({{"messages", {1, {{"text", 3}, {"direction", 3}}}}})}) {
    LegsText(answer);
    RegistrationsText(answer);
    TraceText(answer);
  }
}

}  // namespace
}  // namespace sluice::ctl
