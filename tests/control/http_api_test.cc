#include "control/http_api.h"

#include <gtest/gtest.h>

#include <string>

#include "base/clock.h"
#include "control/json_view.h"
#include "nlohmann/json.hpp"
#include "tests/fakes/fake_operator.h"

namespace sluice::control {
namespace {

using namespace std::string_literals;

class HttpApiTest : public ::testing::Test {
 protected:
  ApiResponse Ask(std::string method, std::string target,
                  std::string body = "") {
    return api_.Answer({.method = std::move(method),
                        .target = std::move(target),
                        .body = std::move(body)},
                       now_);
  }
  static Json Read(const ApiResponse& response) {
    EXPECT_EQ(response.content_type, "application/json");
    return Json::parse(response.body);
  }
  void AddCall(std::string id) {
    fake_.calls.emplace_back();
    fake_.calls.back().call_id = std::move(id);
    fake_.calls.back().sessions.resize(1);
  }

  void AddMessage(std::string call_id, std::string octets) {
    fake_.trace.push_back({.at = now_,
                           .in = true,
                           .cut = false,
                           .leg = "inside",
                           .peer = "udp 192.0.2.1:5060",
                           .call_id = std::move(call_id),
                           .octets = std::move(octets)});
  }

  FakeOperator fake_;
  HttpApi api_{fake_, 1.0};
  Micros now_ = SystemClock::Now();
};

TEST_F(HttpApiTest, AnswersEveryPathOfTheManual) {
  AddCall("x");
  AddMessage("x", "OPTIONS");
  for (const char* path : {"/metrics", "/healthz", "/readyz", "/v1/status",
                           "/v1/stats", "/v1/calls", "/v1/calls/x", "/v1/legs",
                           "/v1/registrations", "/v1/trace/x"}) {
    EXPECT_EQ(Ask("GET", path).status, 200) << path;
    EXPECT_EQ(Ask("HEAD", path).status, 200) << path;
  }
  EXPECT_EQ(Ask("GET", "/metrics").content_type,
            "text/plain; version=0.0.4; charset=utf-8");
  EXPECT_EQ(Ask("GET", "/healthz").body, "ok\n");
}

TEST_F(HttpApiTest, SaysWhichMethodsAPathTakes) {
  struct Case {
    const char *method, *path, *allow;
  };
  const Case kCases[] = {{"POST", "/metrics", "GET, HEAD"},
                         {"DELETE", "/v1/status", "GET, HEAD"},
                         {"DELETE", "/v1/calls", "GET, HEAD"},
                         {"POST", "/v1/calls/x", "GET, HEAD, DELETE"},
                         {"POST", "/v1/legs", "GET, HEAD"},
                         {"DELETE", "/v1/registrations", "GET, HEAD"},
                         {"DELETE", "/v1/trace/x", "GET, HEAD"},
                         {"GET", "/v1/drain", "POST"},
                         {"GET", "/v1/offload", "POST"},
                         {"GET", "/v1/reload", "POST"},
                         {"GE", "/healthz", "GET, HEAD"},
                         {"HEAD, DELETE", "/v1/calls/x", "GET, HEAD, DELETE"},
                         {"", "/healthz", "GET, HEAD"}};
  for (const Case& c : kCases) {
    const ApiResponse response = Ask(c.method, c.path);
    EXPECT_EQ(response.status, 405) << c.method << c.path;
    EXPECT_EQ(response.allow, c.allow) << c.method << c.path;
    EXPECT_TRUE(Read(response).contains("error"));
  }
  EXPECT_EQ(fake_.asked, 0);
}

TEST_F(HttpApiTest, ListsWhatThereIsAtItsRoot) {
  const ApiResponse response = Ask("GET", "/");
  EXPECT_EQ(response.status, 200);
  EXPECT_EQ(response.content_type, "text/plain; charset=utf-8");
  for (const char* line :
       {"\nGET, HEAD          /metrics ", "\nGET, HEAD          /healthz ",
        "\nGET, HEAD          /readyz ", "\nGET, HEAD          /v1/status ",
        "\nGET, HEAD          /v1/stats ", "\nGET, HEAD          /v1/calls ",
        "\nGET, HEAD, DELETE  /v1/calls/ID ", "\nGET, HEAD          /v1/legs ",
        "\nGET, HEAD          /v1/registrations ",
        "\nGET, HEAD          /v1/trace/ID ", "\nPOST               /v1/drain ",
        "\nPOST               /v1/reload "}) {
    EXPECT_NE(response.body.find(line), std::string::npos) << line;
  }
  EXPECT_EQ(Ask("POST", "/").allow, "GET, HEAD");
  EXPECT_EQ(fake_.asked, 0);
}

TEST_F(HttpApiTest, KnowsNoOtherPaths) {
  for (const char* path :
       {"", "*", "/x", "/v1", "/v1/", "/v2/status", "/healthz/", "//healthz",
        "/v1/status/x", "/v1/legs/x", "/v1/registrations/", "/v1/trace"}) {
    EXPECT_EQ(Ask("GET", path).status, 404) << path;
  }
  EXPECT_EQ(Ask("GET", "/healthz?x=1").status, 200);
}

TEST_F(HttpApiTest, CapturesByTheControlSocketOnly) {
  AddCall("a/b");
  ApiRequest request{.method = "GET", .target = "/v1/capture/a%2Fb"};
  EXPECT_EQ(api_.Answer(request, now_).status, 403);
  request.loopback_tcp = true;
  request.host = "127.0.0.1";
  EXPECT_EQ(api_.Answer(request, now_).status, 403);
  EXPECT_EQ(fake_.asked, 0);
  request.loopback_tcp = false;
  request.control_socket = true;
  const ApiResponse response = api_.Answer(request, now_);
  EXPECT_EQ(response.status, 200);
  EXPECT_EQ(response.content_type, "application/vnd.tcpdump.pcap");
  EXPECT_EQ(response.stream, fake_.capture);
  EXPECT_EQ(fake_.capture_request.call_id, "a/b");
  EXPECT_EQ(fake_.capture_request.seconds, 10u);
  EXPECT_EQ(fake_.capture_request.bytes, 64u * 1024 * 1024);
  // HEAD would begin one.
  request.method = "HEAD";
  EXPECT_EQ(api_.Answer(request, now_).status, 405);
}

TEST_F(HttpApiTest, RefusesCapturesInWords) {
  AddCall("x");
  const auto ask = [this](std::string target) {
    return api_.Answer({.method = "GET",
                        .target = "/v1/capture/" + target,
                        .control_socket = true},
                       now_);
  };
  for (const char* bad :
       {"x?seconds=0", "x?seconds=3601", "x?seconds=-1", "x?seconds=1.5",
        "x?seconds=", "x?seconds=a", "x?bytes=0", "x?bytes=x", "%", ""}) {
    const ApiResponse response = ask(bad);
    EXPECT_EQ(response.status, 400) << bad;
    EXPECT_EQ(response.stream, nullptr);
    EXPECT_TRUE(Read(response).contains("error"));
  }
  EXPECT_EQ(fake_.asked, 0);
  EXPECT_EQ(ask("y").status, 404);
  const ApiResponse first = ask("x?seconds=3600&bytes=1000");
  EXPECT_EQ(first.status, 200);
  EXPECT_EQ(fake_.capture_request.seconds, 3600u);
  EXPECT_EQ(fake_.capture_request.bytes, 1000u);
  const ApiResponse second = ask("x");
  EXPECT_EQ(second.status, 409);
  EXPECT_EQ(Read(second)["error"], "another capture runs");
}

TEST_F(HttpApiTest, TellsOfTheLastCapture) {
  EXPECT_EQ(Read(Ask("GET", "/v1/capture"))["capture"], 0);
  fake_.last_capture = {.number = 3,
                        .call_id = "x\x1b",
                        .running = false,
                        .ended = "the time is over",
                        .packets = 5,
                        .bytes = 900,
                        .lost = 2};
  const Json json = Read(Ask("GET", "/v1/capture"));
  EXPECT_EQ(json["capture"], 3);
  EXPECT_EQ(json["call_id"], "x\\x1b");
  EXPECT_EQ(json["running"], false);
  EXPECT_EQ(json["ended"], "the time is over");
  EXPECT_EQ(json["packets"], 5);
  EXPECT_EQ(json["bytes"], 900);
  EXPECT_EQ(json["lost"], 2);
  fake_.capture = std::make_shared<CaptureStream>(1, "");
  EXPECT_EQ(Read(Ask("DELETE", "/v1/capture"))["capture"], 3);
  std::string rest;
  EXPECT_FALSE(fake_.capture->Take(1, &rest));
}

TEST_F(HttpApiTest, FindsCallsByHostileIds) {
  const std::string ids[] = {"a/b?c#d", "\0\xff\x1b"s, "100%", "../../etc",
                             "caf\xc3\xa9"};
  for (const std::string& id : ids) AddCall(id);
  for (const std::string& id : ids) {
    const ApiResponse response = Ask("GET", "/v1/calls/" + PercentEncode(id));
    ASSERT_EQ(response.status, 200) << SafeText(id);
    EXPECT_EQ(FromSafeText(Read(response)["call_id"].get<std::string>()), id);
  }
  // Every href of the list leads there too.
  const Json list = Read(Ask("GET", "/v1/calls"));
  for (const Json& call : list["calls"]) {
    EXPECT_EQ(Ask("GET", call["href"].get<std::string>()).status, 200);
  }
}

TEST_F(HttpApiTest, RefusesIdsThatAreNotEncoded) {
  for (const char* path : {"/v1/calls/", "/v1/calls/%", "/v1/calls/%g0"}) {
    EXPECT_EQ(Ask("GET", path).status, 400) << path;
    EXPECT_EQ(Ask("DELETE", path).status, 400) << path;
  }
  for (const char* path : {"/v1/trace/", "/v1/trace/%", "/v1/trace/%g0"}) {
    EXPECT_EQ(Ask("GET", path).status, 400) << path;
  }
  EXPECT_EQ(fake_.asked, 0);
}

TEST_F(HttpApiTest, SaysThatThereIsNoSuchCall) {
  const ApiResponse response = Ask("GET", "/v1/calls/%1b%5b2J");
  EXPECT_EQ(response.status, 404);
  EXPECT_EQ(Read(response)["error"], "no such call: \\x1b[2J");
  EXPECT_EQ(Ask("DELETE", "/v1/calls/none").status, 404);
}

TEST_F(HttpApiTest, PagesThroughCalls) {
  for (int i = 0; i < 250; ++i) AddCall("call-" + std::to_string(i));
  Json page = Read(Ask("GET", "/v1/calls"));
  EXPECT_EQ(page["total"], 250);
  EXPECT_EQ(page["calls"].size(), kCallsPerPageDefault);
  page = Read(Ask("GET", "/v1/calls?limit=20&offset=240"));
  EXPECT_EQ(page["calls"].size(), 10u);
  EXPECT_EQ(page["calls"][0]["call_id"], "call-240");
  page = Read(Ask("GET", "/v1/calls?offset=250&limit=1000"));
  EXPECT_EQ(page["calls"].size(), 0u);
}

TEST_F(HttpApiTest, RefusesPagesThatAreNoNumbers) {
  for (const char* query :
       {"limit=0", "limit=1001", "limit=-1", "limit=", "limit=1x",
        "limit=99999999999999999999", "offset=-1", "offset=x",
        "offset=", "offset= 1", "limit=+1", "limit=0x10"}) {
    EXPECT_EQ(Ask("GET", "/v1/calls?"s + query).status, 400) << query;
    EXPECT_EQ(Ask("GET", "/v1/registrations?"s + query).status, 400) << query;
  }
  for (const char* query : {"", "&&", "x=1", "limits=0", "=", "limit"}) {
    EXPECT_EQ(Ask("GET", "/v1/calls?"s + query).status, 200) << query;
    EXPECT_EQ(Ask("GET", "/v1/registrations?"s + query).status, 200) << query;
  }
}

TEST_F(HttpApiTest, ClosesACall) {
  AddCall("a b");
  const ApiResponse response = Ask("DELETE", "/v1/calls/a%20b");
  EXPECT_EQ(response.status, 200);
  EXPECT_EQ(Read(response)["closed"], 1);
  EXPECT_TRUE(fake_.calls.empty());
}

TEST_F(HttpApiTest, DrainsAndTakesCallsAgain) {
  EXPECT_EQ(Read(Ask("POST", "/v1/drain", R"({"on":true})"))["draining"], true);
  EXPECT_TRUE(fake_.status.manager.draining);
  EXPECT_EQ(Ask("GET", "/readyz").status, 503);
  EXPECT_EQ(Ask("GET", "/readyz").body, "not ready: draining\n");
  EXPECT_EQ(Ask("GET", "/healthz").status, 200);
  EXPECT_EQ(Read(Ask("POST", "/v1/drain", R"({"on":false})"))["draining"],
            false);
  EXPECT_EQ(Ask("GET", "/readyz").status, 200);
}

TEST_F(HttpApiTest, BringsMediaBackToTheSocketsAndPastThem) {
  EXPECT_EQ(Read(Ask("POST", "/v1/offload", R"({"on":false})"))["offload"],
            false);
  EXPECT_FALSE(fake_.offload);
  EXPECT_EQ(Read(Ask("POST", "/v1/offload", R"({"on":true})"))["offload"],
            true);
  EXPECT_TRUE(fake_.offload);
  EXPECT_EQ(Ask("POST", "/v1/offload", "{}").status, 400);
  fake_.fail = absl::FailedPreconditionError("no other path");
  EXPECT_EQ(Ask("POST", "/v1/offload", R"({"on":true})").status, 409);
}

TEST_F(HttpApiTest, RefusesADrainThatDoesNotSayWhich) {
  for (const std::string& body :
       {""s, "{}"s, "true"s, "[true]"s, R"({"on":1})"s, R"({"on":"true"})"s,
        R"({"on":true)"s, "\xff"s, std::string(4000, '[')}) {
    EXPECT_EQ(Ask("POST", "/v1/drain", body).status, 400) << body;
  }
  EXPECT_FALSE(fake_.status.manager.draining);
  EXPECT_EQ(fake_.asked, 0);
}

TEST_F(HttpApiTest, ReloadsAndSaysWhatIsWrongWithTheFile) {
  EXPECT_EQ(Read(Ask("POST", "/v1/reload"))["reloaded"], "nothing changed");
  fake_.reload = absl::InvalidArgumentError("sluice.toml:3: no such key");
  const ApiResponse response = Ask("POST", "/v1/reload");
  EXPECT_EQ(response.status, 400);
  EXPECT_EQ(Read(response)["error"], "sluice.toml:3: no such key");
}

TEST_F(HttpApiTest, IsNotReadyBeforeEveryListenerIsBound) {
  fake_.is_ready = false;
  EXPECT_EQ(Ask("GET", "/readyz").status, 503);
  EXPECT_EQ(Ask("GET", "/healthz").status, 200);
}

TEST_F(HttpApiTest, TurnsEachFailureIntoItsCode) {
  struct Case {
    absl::Status status;
    int code;
  };
  const Case kCases[] = {{absl::InvalidArgumentError("x"), 400},
                         {absl::OutOfRangeError("x"), 400},
                         {absl::PermissionDeniedError("x"), 403},
                         {absl::NotFoundError("x"), 404},
                         {absl::FailedPreconditionError("x"), 409},
                         {absl::UnimplementedError("x"), 501},
                         {absl::UnavailableError("stopping"), 503},
                         {absl::ResourceExhaustedError("x"), 503},
                         {absl::InternalError("x"), 500}};
  for (const Case& c : kCases) {
    fake_.fail = c.status;
    EXPECT_EQ(Ask("GET", "/v1/status").status, c.code) << c.status;
    EXPECT_EQ(Ask("GET", "/v1/calls").status, c.code) << c.status;
    EXPECT_EQ(Ask("GET", "/v1/calls/x").status, c.code) << c.status;
    EXPECT_EQ(Ask("GET", "/v1/legs").status, c.code) << c.status;
    EXPECT_EQ(Ask("GET", "/v1/registrations").status, c.code) << c.status;
    EXPECT_EQ(Ask("GET", "/v1/trace/x").status, c.code) << c.status;
    EXPECT_EQ(Ask("DELETE", "/v1/calls/x").status, c.code) << c.status;
    EXPECT_EQ(Ask("POST", "/v1/reload").status, c.code) << c.status;
    EXPECT_EQ(Ask("POST", "/v1/drain", R"({"on":true})").status, c.code);
    EXPECT_EQ(Ask("GET", "/healthz").status, 503) << c.status;
    EXPECT_EQ(Ask("GET", "/readyz").status, 503) << c.status;
  }
}

TEST_F(HttpApiTest, WaitsOnceForAStuckControlThreadAndThenNotForAWhile) {
  fake_.fail = absl::DeadlineExceededError("no answer within 2 s");
  EXPECT_EQ(Ask("GET", "/v1/status").status, 504);
  EXPECT_EQ(fake_.asked, 1);
  for (int i = 0; i < 10; ++i) {
    EXPECT_EQ(Ask("GET", "/v1/status").status, 504);
    EXPECT_EQ(Ask("GET", "/healthz").status, 503);
    EXPECT_EQ(Ask("GET", "/metrics").status, 200);
    EXPECT_EQ(Ask("GET", "/v1/stats").status, 200);
  }
  EXPECT_EQ(fake_.asked, 1);
  fake_.fail = absl::OkStatus();
  now_ = now_ + Micros::Seconds(60);
  EXPECT_EQ(Ask("GET", "/v1/status").status, 200);
}

TEST_F(HttpApiTest, SaysThatSipIsOff) {
  fake_.sip_is_off = true;
  for (const char* path : {"/v1/legs", "/v1/registrations", "/v1/trace/x"}) {
    const ApiResponse response = Ask("GET", path);
    EXPECT_EQ(response.status, 404) << path;
    EXPECT_EQ(Read(response)["error"], "SIP is off") << path;
  }
  EXPECT_EQ(Ask("GET", "/metrics").status, 200);
}

TEST_F(HttpApiTest, FindsRegistrationsByAnyWritingOfTheirAddress) {
  for (const char* aor : {"sip:alice@example.com", "sip:bob@example.com",
                          "sip:alice@example.com"}) {
    fake_.registrations.emplace_back().aor = aor;
  }
  EXPECT_EQ(Read(Ask("GET", "/v1/registrations"))["total"], 3);
  EXPECT_EQ(Read(Ask("GET", "/v1/registrations?aor="))["total"], 3);
  for (const char* aor :
       {"sip:alice@example.com", "sip%3Aalice%40example.com",
        "alice@example.com", "sips:alice@EXAMPLE.com", "SIP:alice@example.com",
        "sip:%2561lice@example.com;transport=tcp"}) {
    const Json page = Read(Ask("GET", "/v1/registrations?limit=1&aor="s + aor));
    EXPECT_EQ(page["total"], 2) << aor;
    EXPECT_EQ(page["registrations"].size(), 1u) << aor;
  }
  EXPECT_EQ(Read(Ask("GET", "/v1/registrations?aor=eve@example.com"))["total"],
            0);
}

TEST_F(HttpApiTest, RefusesWhatIsNoAddressOfRecord) {
  for (const char* aor : {"%", "%g0", "a%20b@example.com", "%1b%5b2J",
                          "tel:+4930", "http://example.com/", "@", "sip:"}) {
    const ApiResponse response = Ask("GET", "/v1/registrations?aor="s + aor);
    EXPECT_EQ(response.status, 400) << aor << response.body;
    EXPECT_TRUE(Read(response).contains("error"));
  }
  EXPECT_EQ(fake_.asked, 0);
}

TEST_F(HttpApiTest, TracesACallByAHostileId) {
  const std::string id = "a/b?c\x1b\xff";
  AddMessage("other", "x");
  AddMessage(id, "INVITE\r\n");
  const ApiResponse response = Ask("GET", "/v1/trace/" + PercentEncode(id));
  ASSERT_EQ(response.status, 200);
  const Json trace = Read(response);
  EXPECT_EQ(FromSafeText(trace["call_id"].get<std::string>()), id);
  ASSERT_EQ(trace["messages"].size(), 1u);
  EXPECT_EQ(trace["messages"][0]["text"], "INVITE\\x0d\\x0a");
  EXPECT_EQ(Ask("GET", "/v1/trace/none").status, 404);
}

TEST_F(HttpApiTest, RefusesToBeSteeredByAnotherSitesPage) {
  ApiRequest request{.method = "POST",
                     .target = "/v1/drain",
                     .body = R"({"on":true})",
                     .host = "127.0.0.1:9080",
                     .origin = "http://evil.example"};
  request.loopback_tcp = true;
  EXPECT_EQ(api_.Answer(request, now_).status, 403);
  request.origin = "null";
  EXPECT_EQ(api_.Answer(request, now_).status, 403);
  EXPECT_FALSE(fake_.status.manager.draining);
  request.origin = "http://127.0.0.1:9080";  // our own page
  EXPECT_EQ(api_.Answer(request, now_).status, 200);
}

TEST_F(HttpApiTest, AnswersNoNameOnALoopbackListener) {
  ApiRequest request{.method = "GET", .target = "/v1/calls"};
  request.loopback_tcp = true;
  for (const char* host : {"", "localhost", "localhost:9080", "127.0.0.1",
                           "127.0.0.1:9080", "[::1]:9080", "[::1]"}) {
    request.host = host;
    EXPECT_EQ(api_.Answer(request, now_).status, 200) << host;
  }
  for (const char* host :
       {"evil.example", "evil.example:9080", "127.0.0.1.evil.example",
        "localhost.evil.example", "[evil]", "[", "]", "[]"}) {
    request.host = host;
    EXPECT_EQ(api_.Answer(request, now_).status, 403) << host;
  }
  // Whoever listens on a public address is reached by the machine's name.
  request.loopback_tcp = false;
  request.host = "relay1.example:9080";
  EXPECT_EQ(api_.Answer(request, now_).status, 200);
}

}  // namespace
}  // namespace sluice::control
