#include "control/http_server.h"

#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include "base/net/fd.h"
#include "control/pcap.h"
#include "tests/fakes/fake_operator.h"

namespace sluice::control {
namespace {

// Long enough for the slowest machine; no test waits for it to pass.
constexpr int kPatienceMs = 60'000;

class HttpServerTest : public ::testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/sluice-http-XXXXXX";
    ASSERT_NE(::mkdtemp(name), nullptr);
    folder_ = name;
  }
  void TearDown() override {
    server_.reset();
    ::rmdir(folder_.c_str());
  }

  void Start(HttpOptions options = {}) {
    options.tcp_listen = "127.0.0.1:0";
    options.unix_path = folder_ + "/control.sock";
    auto server = HttpServer::Start(options, fake_);
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
  }

  net::Fd Tcp() const {
    sockaddr_storage address{};
    const socklen_t length =
        server_->tcp_endpoint().ToSockaddr(AF_INET, &address);
    net::Fd fd(::socket(AF_INET, SOCK_STREAM, 0));
    EXPECT_EQ(
        ::connect(fd.get(), reinterpret_cast<sockaddr*>(&address), length), 0);
    return fd;
  }
  net::Fd Unix() const {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    (folder_ + "/control.sock").copy(address.sun_path, 100);
    net::Fd fd(::socket(AF_UNIX, SOCK_STREAM, 0));
    EXPECT_EQ(::connect(fd.get(), reinterpret_cast<sockaddr*>(&address),
                        sizeof address),
              0);
    return fd;
  }
  static void Send(const net::Fd& fd, const std::string& bytes) {
    ASSERT_EQ(::send(fd.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL),
              static_cast<ssize_t>(bytes.size()));
  }
  // All that comes until the server closes.
  static std::string ReadAll(const net::Fd& fd) {
    std::string all;
    char buffer[4096];
    for (;;) {
      pollfd wait{.fd = fd.get(), .events = POLLIN, .revents = 0};
      if (::poll(&wait, 1, kPatienceMs) != 1) {
        ADD_FAILURE() << "the server neither answers nor closes";
        return all;
      }
      const ssize_t n = ::recv(fd.get(), buffer, sizeof buffer, 0);
      if (n <= 0) return all;
      all.append(buffer, static_cast<size_t>(n));
    }
  }
  static std::string Ask(const net::Fd& fd, const std::string& line) {
    Send(fd, line + " HTTP/1.1\r\n\r\n");
    return ReadAll(fd);
  }

  FakeOperator fake_;
  std::string folder_;
  std::unique_ptr<HttpServer> server_;
};

bool IsOk(const std::string& answer) {
  return answer.rfind("HTTP/1.1 200 ", 0) == 0;
}

TEST_F(HttpServerTest, ServesTheSameRoutesOnBothSockets) {
  Start();
  for (const char* path : {"/metrics", "/healthz", "/readyz", "/v1/status",
                           "/v1/stats", "/v1/calls"}) {
    const std::string line = std::string("GET ") + path;
    EXPECT_TRUE(IsOk(Ask(Tcp(), line))) << path;
    EXPECT_TRUE(IsOk(Ask(Unix(), line))) << path;
  }
}

TEST_F(HttpServerTest, KeepsItsUnixSocketToItsUser) {
  Start();
  struct stat file {};
  ASSERT_EQ(::stat((folder_ + "/control.sock").c_str(), &file), 0);
  EXPECT_EQ(file.st_mode & 0777, 0600u);
  server_.reset();
  EXPECT_NE(::stat((folder_ + "/control.sock").c_str(), &file), 0);
}

TEST_F(HttpServerTest, LeavesOutWhatIsOff) {
  HttpOptions options;
  options.unix_path = folder_ + "/control.sock";
  auto server = HttpServer::Start(options, fake_);
  ASSERT_TRUE(server.ok()) << server.status();
  EXPECT_TRUE((*server)->tcp_endpoint().is_none());
  server_ = *std::move(server);
  EXPECT_TRUE(IsOk(Ask(Unix(), "GET /healthz")));
}

TEST_F(HttpServerTest, SaysWhyItCannotListen) {
  HttpOptions options;
  for (const char* listen : {"9080", "localhost:9080", "127.0.0.1", "x"}) {
    options.tcp_listen = listen;
    EXPECT_EQ(HttpServer::Start(options, fake_).status().code(),
              absl::StatusCode::kInvalidArgument)
        << listen;
  }
  Start();
  options.tcp_listen = server_->tcp_endpoint().ToString();
  EXPECT_EQ(HttpServer::Start(options, fake_).status().code(),
            absl::StatusCode::kAlreadyExists);
  // A second daemon must not take the socket of the first, nor its file.
  options.tcp_listen = "";
  options.unix_path = folder_ + "/control.sock";
  EXPECT_EQ(HttpServer::Start(options, fake_).status().code(),
            absl::StatusCode::kAlreadyExists);
  EXPECT_TRUE(IsOk(Ask(Unix(), "GET /healthz")));
}

TEST_F(HttpServerTest, AnswersOthersWhileManyClientsSayNothing) {
  HttpOptions options;
  options.max_connections = 8;
  Start(options);
  std::vector<net::Fd> silent;
  for (int i = 0; i < 40; ++i) {
    silent.push_back(Tcp());
    if (i % 2 == 0) Send(silent.back(), "GET /metrics HTTP/1.1\r\n");
    EXPECT_TRUE(IsOk(Ask(Tcp(), "GET /healthz"))) << i;
  }
  EXPECT_TRUE(IsOk(Ask(Unix(), "GET /healthz")));
}

TEST_F(HttpServerTest, ClosesAClientThatDribbles) {
  HttpOptions options;
  options.request_timeout = Micros::Millis(50);
  Start(options);
  const net::Fd silent = Tcp();
  const net::Fd dribbling = Unix();
  Send(dribbling, "GET /met");
  EXPECT_EQ(ReadAll(silent), "");
  EXPECT_EQ(ReadAll(dribbling), "");
}

TEST_F(HttpServerTest, DoesNotWaitForAClientThatReadsNothing) {
  for (int i = 0; i < 1000; ++i) {
    fake_.calls.emplace_back();
    fake_.calls.back().call_id = std::string(1000, '\x01') + std::to_string(i);
  }
  Start();
  const net::Fd lazy = Tcp();
  Send(lazy, "GET /v1/calls?limit=1000 HTTP/1.1\r\n\r\n");
  EXPECT_TRUE(IsOk(Ask(Tcp(), "GET /healthz")));
  // And when it does read, it gets all of it: some megabytes.
  const std::string answer = ReadAll(lazy);
  EXPECT_TRUE(IsOk(answer));
  EXPECT_GT(answer.size(), 4'000'000u);
  EXPECT_EQ(answer.back(), '\n');
}

// A capture's pcap out of its chunks.
std::string Unchunk(std::string answer) {
  std::string body;
  size_t at = answer.find("\r\n\r\n") + 4;
  for (;;) {
    const size_t line = answer.find("\r\n", at);
    if (line == std::string::npos) return body + " and no end";
    const size_t bytes = std::stoul(answer.substr(at, line - at), nullptr, 16);
    if (bytes == 0) return body;
    body += answer.substr(line + 2, bytes);
    at = line + 2 + bytes + 2;
  }
}

TEST_F(HttpServerTest, StreamsACaptureAsItComesAndAnswersOthersMeanwhile) {
  fake_.calls.emplace_back();
  fake_.calls.back().call_id = "x";
  Start();
  const net::Fd client = Unix();
  Send(client, "GET /v1/capture/x HTTP/1.1\r\n\r\n");
  std::string got;
  const auto read_until = [&](const std::string& end) {
    char octets[4096];
    while (got.find(end) == std::string::npos) {
      pollfd wait{.fd = client.get(), .events = POLLIN, .revents = 0};
      ASSERT_EQ(::poll(&wait, 1, kPatienceMs), 1);
      const ssize_t n = ::recv(client.get(), octets, sizeof octets, 0);
      ASSERT_GT(n, 0);
      got.append(octets, static_cast<size_t>(n));
    }
  };
  read_until(PcapHead());
  EXPECT_TRUE(IsOk(got));
  EXPECT_NE(got.find("Sluice-Capture: 7\r\n"), std::string::npos);
  EXPECT_NE(got.find("Content-Type: application/vnd.tcpdump.pcap\r\n"),
            std::string::npos);
  EXPECT_TRUE(fake_.capture->Push("one "));
  read_until("one ");
  EXPECT_EQ(Ask(Unix(), "GET /v1/capture/x").substr(0, 12), "HTTP/1.1 409");
  EXPECT_EQ(Ask(Tcp(), "GET /v1/capture/x").substr(0, 12), "HTTP/1.1 403");
  EXPECT_TRUE(IsOk(Ask(Tcp(), "GET /healthz")));
  EXPECT_TRUE(fake_.capture->Push("two"));
  fake_.capture->End();
  got += ReadAll(client);
  EXPECT_EQ(Unchunk(got), PcapHead() + "one two");
}

TEST_F(HttpServerTest, LetsGoOfACaptureWhoseClientHasGone) {
  fake_.calls.emplace_back();
  fake_.calls.back().call_id = "x";
  Start();
  for (const bool half : {true, false}) {
    net::Fd client = Unix();
    Send(client, "GET /v1/capture/x HTTP/1.1\r\n\r\n");
    char octet;
    ASSERT_EQ(::recv(client.get(), &octet, 1, 0), 1);
    const std::shared_ptr<CaptureStream>& stream = fake_.capture;
    ASSERT_GT(stream.use_count(), 1);
    if (half) {
      ASSERT_EQ(::shutdown(client.get(), SHUT_WR), 0);
      ReadAll(client);
    } else {
      client.Reset();
    }
    // The server's turns go by: each answer is one.
    int turns = 0;
    while (stream.use_count() > 1 && ++turns < 10'000) {
      ASSERT_TRUE(IsOk(Ask(Unix(), "GET /healthz")));
    }
    EXPECT_EQ(stream.use_count(), 1);
  }
}

TEST_F(HttpServerTest, ClosesACaptureThatNobodyReads) {
  fake_.calls.emplace_back();
  fake_.calls.back().call_id = "x";
  HttpOptions options;
  options.request_timeout = Micros::Millis(50);
  Start(options);
  const net::Fd lazy = Unix();
  Send(lazy, "GET /v1/capture/x HTTP/1.1\r\n\r\n");
  char octet;
  ASSERT_EQ(::recv(lazy.get(), &octet, 1, 0), 1);
  // More than the kernel keeps for it.
  const std::string record(64 * 1024, 'r');
  int turns = 0;
  while (fake_.capture.use_count() > 1 && ++turns < 100'000) {
    fake_.capture->Push(record);
    ASSERT_TRUE(IsOk(Ask(Unix(), "GET /healthz")));
  }
  EXPECT_EQ(fake_.capture.use_count(), 1);
}

TEST_F(HttpServerTest, SaysSoWhenTheControlThreadDoesNotAnswer) {
  fake_.fail = absl::DeadlineExceededError("no answer within 2 s");
  Start();
  EXPECT_EQ(Ask(Tcp(), "GET /v1/status").substr(0, 12), "HTTP/1.1 504");
  EXPECT_EQ(Ask(Tcp(), "GET /healthz").substr(0, 12), "HTTP/1.1 503");
  EXPECT_TRUE(IsOk(Ask(Tcp(), "GET /metrics")));
}

TEST_F(HttpServerTest, RefusesNamesOnItsLoopbackListenerOnly) {
  Start();
  const std::string request =
      "GET /v1/calls HTTP/1.1\r\nHost: evil.example\r\n\r\n";
  const net::Fd tcp = Tcp();
  Send(tcp, request);
  EXPECT_EQ(ReadAll(tcp).substr(0, 12), "HTTP/1.1 403");
  const net::Fd local = Unix();
  Send(local, request);
  EXPECT_TRUE(IsOk(ReadAll(local)));
}

TEST_F(HttpServerTest, AnswersAClientThatSendsByOctet) {
  Start();
  const net::Fd fd = Tcp();
  for (const char c : std::string("POST /v1/drain HTTP/1.1\r\nHost: "
                                  "127.0.0.1\r\nContent-Length: 11\r\n\r\n"
                                  "{\"on\":true}")) {
    Send(fd, std::string(1, c));
  }
  EXPECT_TRUE(IsOk(ReadAll(fd)));
  server_.reset();
  EXPECT_TRUE(fake_.status.manager.draining);
}

TEST_F(HttpServerTest, RefusesAnEndlessHead) {
  Start();
  const net::Fd fd = Unix();
  Send(fd, "GET / HTTP/1.1\r\nA: " + std::string(8192, 'x'));
  EXPECT_EQ(ReadAll(fd).substr(0, 12), "HTTP/1.1 431");
}

}  // namespace
}  // namespace sluice::control
