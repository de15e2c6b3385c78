#ifndef SLUICE_TESTS_BASE_STREAM_SERVER_WORLD_H_
#define SLUICE_TESTS_BASE_STREAM_SERVER_WORLD_H_

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/net/event_loop.h"
#include "base/net/socket.h"
#include "base/net/stream_server.h"
#include "gtest/gtest.h"
#include "tests/base/temp_folder.h"

namespace sluice::net {

// A client that never blocks.
class Client {
 public:
  explicit Client(Fd fd) : fd_(std::move(fd)) {}

  static Client Unix(const std::string& path) {
    Client client(
        Fd(socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, path.data(), path.size());
    EXPECT_EQ(
        connect(client.fd_.get(), reinterpret_cast<const sockaddr*>(&address),
                sizeof(address)),
        0)
        << std::strerror(errno);
    return client;
  }
  static Client Tcp(const Endpoint& server) {
    Client client(Fd(socket(server.family(), SOCK_STREAM | SOCK_CLOEXEC, 0)));
    sockaddr_storage address;
    const socklen_t length = server.ToSockaddr(server.family(), &address);
    EXPECT_EQ(connect(client.fd_.get(),
                      reinterpret_cast<const sockaddr*>(&address), length),
              0);
    EXPECT_EQ(fcntl(client.fd_.get(), F_SETFL, O_NONBLOCK), 0);
    return client;
  }

  // How much the kernel took; -1 when the server has closed.
  ssize_t Send(std::string_view bytes) {
    return send(fd_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
  }
  void Receive() {
    char octets[4096];
    ssize_t n;
    while ((n = recv(fd_.get(), octets, sizeof(octets), 0)) > 0) {
      received_.append(octets, static_cast<size_t>(n));
    }
    if (n == 0) closed_ = true;
    if (n < 0 && errno != EAGAIN) closed_ = reset_ = true;
  }
  const std::string& received() {
    Receive();
    return received_;
  }
  bool closed() {
    Receive();
    return closed_;
  }
  bool reset() const { return reset_; }
  void NoMoreFromMe() { ASSERT_EQ(shutdown(fd_.get(), SHUT_WR), 0); }
  void Leave() { fd_.Reset(); }

 private:
  Fd fd_;
  std::string received_;
  bool closed_ = false;
  bool reset_ = false;
};

// The protocol of these tests: a line is a frame, its answer is the same line
// after "re:". A line that begins with '!' is nonsense at once, one with '@'
// says that it is a gigabyte long, one with '$' is answered by silence, and
// "big N\n" by N octets.
inline int64_t FrameLine(std::string_view buffer) {
  if (buffer.front() == '!') return -1;
  if (buffer.front() == '@') return int64_t{1} << 30;
  const size_t end = buffer.find('\n');
  return end == std::string_view::npos ? 0 : static_cast<int64_t>(end) + 1;
}

// A server, its loop and its time. Apart from the fixture and without virtual
// functions: UBSan's check of those opens a pipe, which the tests that are out
// of descriptors could not give it.
class World {
 public:
  World()
      : loop_([this] {
          return real_since_ ? time_ + (SystemClock::Now() - *real_since_)
                             : time_;
        }) {
    loop_.OnTurn([this] {
      if (counted_turns_ != nullptr) ++*counted_turns_;
    });
  }

  void Make(StreamServer::Options options) {
    server_.emplace(
        loop_, options, FrameLine,
        [this](const StreamServer::Peer& peer, std::string_view frame) {
          last_peer_ = peer;
          frames_.emplace_back(frame);
          return Answer(frame);
        },
        [this](const StreamServer::Peer& peer) {
          last_peer_ = peer;
          return admit_;
        });
  }
  void Start(StreamServer::Options options) {
    Make(options);
    auto listener = ListenUnix(path_, 0600, 128);
    ASSERT_TRUE(listener.ok()) << listener.status();
    ASSERT_TRUE(server_->Serve(*std::move(listener)).ok());
  }

  std::string Answer(std::string_view frame) {
    if (frame.front() == '$') return "";
    if (frame.substr(0, 4) == "big ") {
      size_t n = 0;
      for (const char c : frame.substr(4)) {
        if (c != '\n') n = n * 10 + static_cast<size_t>(c - '0');
      }
      return std::string(n, 'b');
    }
    return "re:" + std::string(frame);
  }

  Client Connect() { return Client::Unix(path_); }

  // Octets on a UNIX socket are there when send() returns, so a few turns see
  // all there is.
  void Turns() {
    for (int i = 0; i < 8; ++i) loop_.RunOnce(Micros());
    CheckLaw();
  }
  void Advance(Micros by) {
    time_ = time_ + by;
    Turns();
  }
  // For TCP, whose octets take their time even on loopback. The number of turns
  // ends a test that would never end.
  void TurnUntil(const std::function<bool()>& done) {
    for (int i = 0; i < 10'000 && !done(); ++i) {
      loop_.RunOnce(Micros::Millis(1));
    }
    EXPECT_TRUE(done());
    CheckLaw();
  }
  // Lets real time pass for a moment: a loop that spins makes thousands of
  // turns of it, one that sleeps a few.
  int TurnsWhileNothingHappens() {
    int turns = 0;
    counted_turns_ = &turns;
    real_since_ = SystemClock::Now();
    loop_.After(Micros::Millis(50), [this] { loop_.Stop(); });
    loop_.Run();
    time_ = loop_.now();
    real_since_.reset();
    counted_turns_ = nullptr;
    return turns;
  }
  void CheckLaw() {
    const auto& c = server_->counters();
    EXPECT_EQ(c.accepted,
              c.closed + static_cast<uint64_t>(server_->connections()));
  }
  const StreamServer::Counters& counters() { return server_->counters(); }

  TempFolder folder_;
  const std::string path_ = folder_ / "s";
  Micros time_ = Micros::Seconds(1000);
  std::optional<Micros> real_since_;
  int* counted_turns_ = nullptr;
  EventLoop loop_;
  std::optional<StreamServer> server_;
  bool admit_ = true;
  StreamServer::Peer last_peer_;
  std::vector<std::string> frames_;
};

}  // namespace sluice::net

#endif  // SLUICE_TESTS_BASE_STREAM_SERVER_WORLD_H_
