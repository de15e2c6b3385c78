#include "control/http_codec.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <random>
#include <string>
#include <vector>

namespace sluice::control {
namespace {

using namespace std::string_literals;

class HttpCodecTest : public ::testing::Test {
 protected:
  std::string Answer(const std::string& request) {
    EXPECT_EQ(HttpFrame(request), static_cast<int64_t>(request.size()));
    return codec_.Answer(request, {.loopback_tcp = true}).octets;
  }
  static int Status(const std::string& answer) {
    EXPECT_EQ(answer.substr(0, 9), "HTTP/1.1 ") << answer;
    return std::stoi(answer.substr(9, 3));
  }
  static std::string Body(const std::string& answer) {
    return answer.substr(answer.find("\r\n\r\n") + 4);
  }

  std::vector<ApiRequest> seen_;
  ApiResponse response_{.status = 200, .body = "{}"};
  HttpCodec codec_{[this](const ApiRequest& request) {
    seen_.push_back(request);
    return response_;
  }};
};

TEST_F(HttpCodecTest, HandsOverWhatTheApiNeeds) {
  const std::string answer = Answer(
      "GET /v1/calls/a%2Fb%00?limit=5 HTTP/1.1\r\nHOST: 127.0.0.1:9080\r\n"
      "oRiGiN:  http://x \r\nUser-Agent: t\r\n\r\n");
  EXPECT_EQ(Status(answer), 200);
  EXPECT_EQ(Body(answer), "{}");
  ASSERT_EQ(seen_.size(), 1u);
  EXPECT_EQ(seen_[0].method, "GET");
  EXPECT_EQ(seen_[0].target, "/v1/calls/a%2Fb%00?limit=5");
  EXPECT_EQ(seen_[0].host, "127.0.0.1:9080");
  EXPECT_EQ(seen_[0].origin, "http://x");
  EXPECT_TRUE(seen_[0].loopback_tcp);
}

TEST_F(HttpCodecTest, EndsTheConnectionWithTheAnswer) {
  const std::string answer =
      Answer("GET / HTTP/1.1\r\nConnection: keep-alive\r\n\r\n");
  EXPECT_NE(answer.find("Connection: close\r\n"), std::string::npos);
  EXPECT_NE(answer.find("Cache-Control: no-store\r\n"), std::string::npos);
}

TEST_F(HttpCodecTest, LeavesABodyThatComesLaterToItsOwner) {
  response_ = {.content_type = "a/b",
               .stream = std::make_shared<CaptureStream>(42, "")};
  const auto reply = codec_.Answer("GET /v1/capture/x HTTP/1.1\r\n\r\n",
                                   {.control_socket = true});
  EXPECT_EQ(reply.stream, response_.stream);
  EXPECT_TRUE(seen_.at(0).control_socket);
  EXPECT_FALSE(seen_.at(0).loopback_tcp);
  EXPECT_EQ(reply.octets,
            "HTTP/1.1 200 OK\r\nContent-Type: a/b\r\n"
            "Transfer-Encoding: chunked\r\nSluice-Capture: 42\r\n"
            "Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n"
            "Connection: close\r\n\r\n");
  const auto old = codec_.Answer("GET /v1/capture/x HTTP/1.0\r\n\r\n", {});
  EXPECT_EQ(old.stream, nullptr);
  EXPECT_EQ(Status(old.octets), 505);
  // And the next answer has a body of its own again.
  response_ = {.body = "{}"};
  EXPECT_EQ(Body(Answer("GET / HTTP/1.1\r\n\r\n")), "{}");
  std::string chunks;
  AppendChunk(std::string(26, 'x'), &chunks);
  AppendChunk("", &chunks);
  EXPECT_EQ(chunks, "1a\r\n" + std::string(26, 'x') + "\r\n0\r\n\r\n");
}

TEST_F(HttpCodecTest, ReadsBodiesOfWhatTakesOne) {
  Answer("POST /v1/drain HTTP/1.1\r\nContent-Length: 11\r\n\r\n{\"on\":true}");
  ASSERT_EQ(seen_.size(), 1u);
  EXPECT_EQ(seen_[0].body, "{\"on\":true}");
  Answer("POST /v1/reload HTTP/1.1\r\n\r\n");
  ASSERT_EQ(seen_.size(), 2u);
  EXPECT_EQ(seen_[1].body, "");
  Answer("POST /v1/other HTTP/1.1\r\nContent-Length: 2\r\n\r\nab");
  ASSERT_EQ(seen_.size(), 3u);
  EXPECT_EQ(seen_[2].target, "/v1/other");
}

TEST_F(HttpCodecTest, SendsTheStatusAndTheAllowedMethods) {
  response_ = {.status = 405, .body = "{}", .allow = "GET, HEAD"};
  const std::string answer = Answer("DELETE /metrics HTTP/1.1\r\n\r\n");
  EXPECT_EQ(Status(answer), 405);
  EXPECT_NE(answer.find("Allow: GET, HEAD\r\n"), std::string::npos);
  response_ = {.status = 504, .body = "{\"error\":\"x\"}"};
  EXPECT_EQ(Body(Answer("GET / HTTP/1.1\r\n\r\n")), "{\"error\":\"x\"}");
}

TEST_F(HttpCodecTest, LeavesTheBodyOutOfTheAnswerToHead) {
  const std::string answer = Answer("HEAD / HTTP/1.1\r\n\r\n");
  EXPECT_EQ(Status(answer), 200);
  EXPECT_EQ(Body(answer), "");
  EXPECT_NE(answer.find("Content-Length: 2\r\n"), std::string::npos);
}

// The frame is what the stream server waits for: no octet more or less.
TEST_F(HttpCodecTest, WaitsForAWholeRequestAtEveryOctet) {
  const std::string request =
      "POST /v1/drain HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nabcde";
  for (size_t n = 0; n < request.size(); ++n) {
    EXPECT_EQ(HttpFrame(std::string_view(request).substr(0, n)), 0) << n;
  }
  EXPECT_EQ(HttpFrame(request), static_cast<int64_t>(request.size()));
  EXPECT_EQ(HttpFrame(request + "GET / HTTP/1.1"),
            static_cast<int64_t>(request.size()));
}

TEST_F(HttpCodecTest, RefusesInWordsWhatItWillNotRead) {
  struct Case {
    std::string request;
    int status;
  };
  const std::string line = "POST /v1/drain HTTP/1.1\r\n";
  const Case kCases[] = {
      {line + "Content-Length: 4097\r\n\r\n", 413},
      {line + "Content-Length: 99999999999999999999999\r\n\r\n", 413},
      {line + "Content-Length: -1\r\n\r\n", 400},
      {line + "Content-Length: +1\r\n\r\n", 400},
      {line + "Content-Length: 0x5\r\n\r\n", 400},
      {line + "Content-Length:\r\n\r\n", 400},
      {line + "Content-Length: 1\r\nContent-Length: 1\r\n\r\n", 400},
      {line + "Transfer-Encoding: chunked\r\n\r\n", 501},
      {line + "Host : x\r\n\r\n", 400},
      {line + " folded: x\r\n\r\n", 400},
      {line + ": x\r\n\r\n", 400},
      {line + "no colon\r\n\r\n", 400},
      {line + "A: b\nHost: x\r\n\r\n", 400},
      {line + "A: b\rHost: x\r\n\r\n", 400},
      {line + "A: b\0c\r\n\r\n"s, 400},
      {"GET / HTTP/1.1\0\r\n\r\n"s, 400},
      {"garbage\r\n\r\n", 400},
      {"GET /\r\n\r\n", 400},
      {"BREW / HTTP/1.1\r\n\r\n", 400},
      {"\r\n\r\n", 400},
      {"GET / HTTP/1.1\r\nA: " + std::string(kHttpHeadBytesMax, 'x'), 431},
      {std::string(kHttpHeadBytesMax, 'x'), 431},
  };
  for (const Case& c : kCases) {
    const std::string answer = Answer(c.request);
    EXPECT_EQ(Status(answer), c.status) << c.request.substr(0, 60);
    EXPECT_NE(Body(answer).find("{\"error\":"), std::string::npos) << answer;
  }
  EXPECT_TRUE(seen_.empty());
}

// What sends the library's own readers astray never reaches them.
TEST_F(HttpCodecTest, IgnoresHeadersThatItDoesNotUse) {
  const std::string ranges = "bytes=" + [] {
    std::string text = "0-0";
    for (int i = 0; i < 1500; ++i) text += ",0-0";
    return text;
  }();
  EXPECT_EQ(Status(Answer("GET / HTTP/1.1\r\nRange: " + ranges + "\r\n\r\n")),
            200);
  EXPECT_EQ(
      Status(Answer("POST /v1/drain HTTP/1.1\r\nContent-Encoding: gzip\r\n"
                    "Content-Type: multipart/form-data; boundary=x\r\n"
                    "Expect: 100-continue\r\nContent-Length: 3\r\n\r\nabc")),
      200);
  ASSERT_EQ(seen_.size(), 2u);
  EXPECT_EQ(seen_[1].body, "abc");
  const std::string answer =
      Answer("GET / HTTP/1.1\r\nAccept-Encoding: gzip\r\n\r\n");
  EXPECT_EQ(Body(answer), "{}");
}

TEST_F(HttpCodecTest, TakesTheLongestPathThereIs) {
  const std::string path = "/" + std::string(kHttpHeadBytesMax - 20, 'x');
  const std::string answer = Answer("GET " + path + " HTTP/1.1\r\n\r\n");
  EXPECT_TRUE(Status(answer) == 200 || Status(answer) == 414) << answer;
  Answer("POST " + path + " HTTP/1.1\r\n\r\n");
}

TEST_F(HttpCodecTest, AnswersGarbageOfAnyKind) {
  const uint32_t seed = 7;
  std::mt19937 random(seed);
  const std::string pieces[] = {"GET ",
                                "POST ",
                                "/v1/drain",
                                " HTTP/1.1",
                                "\r\n",
                                "\r\n\r\n",
                                "Content-Length: 3",
                                ":",
                                "Host: x",
                                "\n",
                                "\r",
                                " ",
                                "%00",
                                "?a=b&c"};
  for (int round = 0; round < 20000; ++round) {
    std::string request;
    for (uint32_t n = random() % 12; n > 0; --n) {
      const uint32_t pick = random() % 16;
      if (pick < std::size(pieces)) {
        request += pieces[pick];
      } else {
        request += static_cast<char>(random());
      }
    }
    const int64_t frame = HttpFrame(request);
    ASSERT_GE(frame, 0) << "seed " << seed << " round " << round;
    ASSERT_LE(frame, static_cast<int64_t>(request.size()));
    if (frame == 0) continue;
    const std::string answer = codec_
                                   .Answer(std::string_view(request).substr(
                                               0, static_cast<size_t>(frame)),
                                           {.loopback_tcp = true})
                                   .octets;
    ASSERT_EQ(answer.substr(0, 9), "HTTP/1.1 ")
        << "seed " << seed << " round " << round;
  }
}

}  // namespace
}  // namespace sluice::control
