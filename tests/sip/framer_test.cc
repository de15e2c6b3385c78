#include "sip/framer.h"

#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "gtest/gtest.h"

namespace sluice::sip {
namespace {

using Kind = Framer::Step::Kind;

constexpr Framer::Limits kLimits = {.header_octets_max = 200,
                                    .body_octets_max = 100};

std::string WithLength(std::string_view field, std::string_view body = "") {
  return "OPTIONS sip:a SIP/2.0\r\n" + std::string(field) + "\r\n\r\n" +
         std::string(body);
}

Framer::Step FirstStep(std::string_view stream) {
  return Framer(kLimits).Next(stream);
}

// What a stream is made of, when it comes in pieces of these sizes.
struct Found {
  std::vector<std::string> messages;
  int pings = 0;
  int bad = 0;  // the code
  friend bool operator==(const Found&, const Found&) = default;
};
Found FeedInPieces(std::string_view stream, size_t piece) {
  Found found;
  FrameBuffer buffer(kLimits);
  for (size_t at = 0; at < stream.size() && found.bad == 0; at += piece) {
    buffer.Feed(stream.substr(at, piece),
                [&](Framer::Step step, std::string_view octets) {
                  if (step.kind == Kind::kMessage)
                    found.messages.emplace_back(octets);
                  if (step.kind == Kind::kPing) ++found.pings;
                  if (step.kind == Kind::kBad) found.bad = step.code;
                  return true;
                });
  }
  return found;
}

TEST(FramerTest, AMessageIsItsHeaderAndAsMuchBodyAsItSays) {
  const std::string one = WithLength("Content-Length: 5", "hello");
  EXPECT_EQ(FirstStep(one + "OPTIONS"),
            (Framer::Step{.kind = Kind::kMessage, .octets = one.size()}));
  EXPECT_EQ(FirstStep(one.substr(0, one.size() - 1)).kind, Kind::kMore);
  EXPECT_EQ(FirstStep("").kind, Kind::kMore);
}

TEST(FramerTest, ContentLengthIsReadAsItMayBeWritten) {
  for (const char* field :
       {"Content-Length: 3", "content-LENGTH:3", "l: 3", "L:\t3 ",
        "Content-Length  : 3", "Content-Length:\r\n 3", "l:\r\n\t\r\n 3",
        "Content-Length: 003", "Content-Length: 3\r\nl: 3",
        "l: 3\r\nX: y\r\nContent-Length: 03"}) {
    const std::string message = WithLength(field, "abc");
    EXPECT_EQ(FirstStep(message + "x"),
              (Framer::Step{.kind = Kind::kMessage, .octets = message.size()}))
        << field;
  }
}

TEST(FramerTest, WhatSaysNoLengthIsBad) {
  for (const char* field :
       {"X: 3", "Content-Length:", "Content-Length: ", "Content-Length: -1",
        "Content-Length: +3", "Content-Length: 3 3", "Content-Length: 0x3",
        "Content-Length: 3,3", "Content-Length: 3;a", "Content-Length: 3.0",
        "Content-Length: 3\r\nl: 4", "l: 3\r\nContent-Length: three",
        // A fold belongs to the field above it, whatever it looks like.
        "X: y\r\n Content-Length: 3", "Content-Length: 3\r\n 3",
        "X-Content-Length: 3", "Content-Length", "Content Length: 3"}) {
    const std::string message = WithLength(field, "abc");
    EXPECT_EQ(FirstStep(message), (Framer::Step{.kind = Kind::kBad,
                                                .octets = message.size() - 3,
                                                .code = 400}))
        << field;
  }
}

TEST(FramerTest, TheStartLineIsNoField) {
  EXPECT_EQ(FirstStep("Content-Length: 0\r\n\r\n").code, 400);
}

TEST(FramerTest, ABodyThatIsTooLongIsRefusedBeforeItComes) {
  EXPECT_EQ(FirstStep(WithLength("l: 100")).kind, Kind::kMore);
  for (const char* field :
       {"l: 101", "l: 4294967296", "l: 4294967299", "l: 18446744073709551615",
        "l: 18446744073709551616", "l: 18446744073709551619",
        "l: 99999999999999999999999999999999"}) {
    EXPECT_EQ(FirstStep(WithLength(field)).code, 413) << field;
  }
}

TEST(FramerTest, AHeaderThatIsTooLongIsRefusedWhenItIs) {
  const std::string line = "OPTIONS sip:a SIP/2.0\r\nl: 0\r\nX: ";
  const std::string fits =
      line + std::string(200 - line.size() - 4, 'x') + "\r\n\r\n";
  ASSERT_EQ(fits.size(), 200u);
  EXPECT_EQ(FirstStep(fits).kind, Kind::kMessage);
  EXPECT_EQ(FirstStep(fits.substr(0, 199)).kind, Kind::kMore);
  const std::string longer =
      line + std::string(201 - line.size() - 4, 'x') + "\r\n\r\n";
  EXPECT_EQ(FirstStep(longer), (Framer::Step{.kind = Kind::kBad, .code = 513}));
  EXPECT_EQ(FirstStep(longer.substr(0, 200)).code, 513);
}

TEST(FramerTest, LinesMayEndWithLfAlone) {
  const std::string message = "OPTIONS sip:a SIP/2.0\nl: 2\n\nab";
  EXPECT_EQ(FirstStep(message),
            (Framer::Step{.kind = Kind::kMessage, .octets = message.size()}));
  const std::string mixed = "OPTIONS sip:a SIP/2.0\r\nl: 2\n\r\nab";
  EXPECT_EQ(FirstStep(mixed).octets, mixed.size());
  // A CR alone ends nothing.
  EXPECT_EQ(FirstStep("OPTIONS sip:a SIP/2.0\r\rl: 0\r\r").kind, Kind::kMore);
}

TEST(FramerTest, LineEndsBetweenMessagesAreSkippedAndPairsOfThemArePings) {
  const std::string message = WithLength("l: 0");
  EXPECT_EQ(FeedInPieces("\r\n" + message, 1000),
            (Found{.messages = {message}}));
  EXPECT_EQ(FeedInPieces("\r\n\r\n" + message, 1000),
            (Found{.messages = {message}, .pings = 1}));
  EXPECT_EQ(FeedInPieces(message + "\r\n\r\n\r\n\r\n" + message, 1000),
            (Found{.messages = {message, message}, .pings = 2}));
  // Not CRLFCRLF, but nothing bad either.
  EXPECT_EQ(FeedInPieces("\n\n\r\r\n\n\r\n" + message, 1000),
            (Found{.messages = {message}}));
  // A pong before and one behind a message are no ping.
  EXPECT_EQ(FeedInPieces("\r\n" + message + "\r\n", 1000),
            (Found{.messages = {message}}));
}

TEST(FramerTest, WhatCannotBeginAMessageIsBadAtOnce) {
  for (const std::string_view first :
       {std::string_view("\x16\x03\x01"), std::string_view("\0", 1),
        std::string_view(" OPTIONS"), std::string_view("\r\n\x80"),
        std::string_view(":"), std::string_view("{\"a\"")}) {
    EXPECT_EQ(FeedInPieces(first, 100).bad, 400);
  }
}

// A method is any token (RFC 3261 25.1).
TEST(FramerTest, WhateverBeginsATokenBeginsAMessage) {
  for (const char first : std::string_view("aZ09-.!%*_+`'~")) {
    const std::string message =
        first + std::string(" sip:a SIP/2.0\r\nl: 0\r\n\r\n");
    EXPECT_EQ(FirstStep(message),
              (Framer::Step{.kind = Kind::kMessage, .octets = message.size()}))
        << first;
  }
}

TEST(FramerTest, ABodyMayHoldAnything) {
  using std::string_literals::operator""s;
  const std::string body =
      "\r\n\r\nOPTIONS sip:b SIP/2.0\r\nl: 9\r\n\r\n\0\xff"s;
  const std::string message = WithLength("l: 37", body);
  EXPECT_EQ(FeedInPieces(message + message, 1000).messages,
            (std::vector<std::string>{message, message}));
}

TEST(FramerTest, TheSameIsFoundHoweverTheStreamIsCut) {
  const std::string a = WithLength("l: 5", "hello");
  const std::string b = "INVITE sip:b SIP/2.0\nContent-Length:\n 0\n\n";
  const std::vector<std::string> streams = {
      "\r\n\r\n" + a + b + "\r\n" + a + "\r\n\r\n\r\n" + b,
      a + "junk\r\n\r\n" + b,
      a + WithLength("l: 101"),
      b + std::string(300, 'x'),
      std::string("\r\n\0", 3) + a,
  };
  for (const std::string& stream : streams) {
    const Found whole = FeedInPieces(stream, stream.size());
    for (size_t piece = 1; piece < stream.size(); ++piece) {
      ASSERT_EQ(FeedInPieces(stream, piece), whole) << piece;
    }
  }
  EXPECT_EQ(FeedInPieces(streams[0], 1).messages.size(), 4u);
  EXPECT_EQ(FeedInPieces(streams[0], 1).pings, 2);
}

TEST(FramerTest, SaysWhetherItIsInAMessageAndWhere) {
  const std::string message = WithLength("l: 2", "ab");
  Framer framer(kLimits);
  EXPECT_FALSE(framer.in_message());
  framer.Next(message.substr(0, 1));
  EXPECT_TRUE(framer.in_message());
  EXPECT_FALSE(framer.in_body());
  framer.Next(message.substr(0, message.size() - 2));
  EXPECT_TRUE(framer.in_body());
  framer.Next(message);
  EXPECT_FALSE(framer.in_message());
  EXPECT_FALSE(framer.in_body());
}

TEST(FrameBufferTest, HoldsNoMoreThanOneMessageAndNothingWhenAllIsUsed) {
  FrameBuffer buffer(kLimits);
  const auto ignore = [](Framer::Step, std::string_view) { return true; };
  const std::string message = WithLength("l: 100", std::string(100, 'b'));
  std::string stream;
  for (int i = 0; i < 50; ++i) stream += message;
  for (size_t at = 0; at < stream.size(); at += 7) {
    buffer.Feed(std::string_view(stream).substr(at, 7), ignore);
    ASSERT_LT(buffer.held(), message.size());
  }
  EXPECT_EQ(buffer.held(), 0u);
}

TEST(FrameBufferTest, StopsWhenTheVisitorWantsNoMore) {
  FrameBuffer buffer(kLimits);
  int seen = 0;
  const std::string message = WithLength("l: 0");
  buffer.Feed(message + message, [&](Framer::Step, std::string_view) {
    ++seen;
    return false;
  });
  EXPECT_EQ(seen, 1);
}

// A header that comes octet by octet would cost the square of its length if
// each octet made us look at all of it again. What is looked at again shows:
// the octets before are changed behind the framer's back.
TEST(FramerTest, LooksAtEachOctetOfAHeaderOnce) {
  Framer framer({.header_octets_max = 16'384, .body_octets_max = 0});
  std::string header = "OPTIONS sip:a SIP/2.0\r\nX: " + std::string(900, 'x');
  EXPECT_EQ(framer.Next(header).kind, Kind::kMore);
  header.replace(100, 4, "\r\n\r\n");
  EXPECT_EQ(framer.Next(header + "y").kind, Kind::kMore);
}

}  // namespace
}  // namespace sluice::sip
