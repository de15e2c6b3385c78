#include "base/net/socket.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include "gtest/gtest.h"
#include "tests/base/temp_folder.h"

namespace sluice::net {
namespace {

const Endpoint kLoopback4 = *Endpoint::Parse("127.0.0.1:0");
const Endpoint kLoopback6 = *Endpoint::Parse("[::1]:0");

int Option(int fd, int level, int name) {
  int value = -1;
  socklen_t length = sizeof(value);
  EXPECT_EQ(getsockopt(fd, level, name, &value, &length), 0);
  return value;
}

void ExpectNonBlockingCloseOnExec(int fd) {
  EXPECT_NE(fcntl(fd, F_GETFL) & O_NONBLOCK, 0);
  EXPECT_NE(fcntl(fd, F_GETFD) & FD_CLOEXEC, 0);
}

TEST(FdTest, ClosesOnceAndGivesUpWhatIsReleased) {
  int raw;
  {
    Fd fd(open("/dev/null", O_RDONLY | O_CLOEXEC));
    ASSERT_TRUE(fd);
    raw = fd.get();
    Fd moved = std::move(fd);
    EXPECT_EQ(moved.get(), raw);
    EXPECT_EQ(fcntl(raw, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
  }
  EXPECT_EQ(fcntl(raw, F_GETFD), -1);
  Fd fd(open("/dev/null", O_RDONLY | O_CLOEXEC));
  raw = fd.Release();
  EXPECT_FALSE(fd);
  fd.Reset();
  EXPECT_NE(fcntl(raw, F_GETFD), -1);
  Fd again(raw);
}

TEST(ErrnoStatusTest, SortsByWhatTheCallerCanDo) {
  const struct {
    int error;
    absl::StatusCode want;
  } kCases[] = {
      {EADDRINUSE, absl::StatusCode::kAlreadyExists},
      {EMFILE, absl::StatusCode::kResourceExhausted},
      {ENFILE, absl::StatusCode::kResourceExhausted},
      {ENOBUFS, absl::StatusCode::kResourceExhausted},
      {ENOMEM, absl::StatusCode::kResourceExhausted},
      {EAGAIN, absl::StatusCode::kResourceExhausted},
      {EADDRNOTAVAIL, absl::StatusCode::kUnavailable},
      {ECONNREFUSED, absl::StatusCode::kUnavailable},
      {ECONNRESET, absl::StatusCode::kUnavailable},
      {EPIPE, absl::StatusCode::kUnavailable},
      {EHOSTUNREACH, absl::StatusCode::kUnavailable},
      {ENETUNREACH, absl::StatusCode::kUnavailable},
      {ETIMEDOUT, absl::StatusCode::kDeadlineExceeded},
      {EMSGSIZE, absl::StatusCode::kInvalidArgument},
      {EACCES, absl::StatusCode::kPermissionDenied},
      {EPERM, absl::StatusCode::kPermissionDenied},
      {EINVAL, absl::StatusCode::kInternal},
  };
  for (const auto& c : kCases) {
    const absl::Status status = ErrnoStatus(c.error, "bind 192.0.2.1:1");
    EXPECT_EQ(status.code(), c.want) << c.error;
    EXPECT_EQ(status.message().substr(0, 18), "bind 192.0.2.1:1: ");
    EXPECT_GT(status.message().size(), 18u);
  }
}

TEST(OpenUdpTest, OpensBothFamiliesReadyForTheLoop) {
  for (const Endpoint& local : {kLoopback4, kLoopback6}) {
    const auto fd = OpenUdp(local, {});
    ASSERT_TRUE(fd.ok()) << fd.status();
    ExpectNonBlockingCloseOnExec(fd->get());
    EXPECT_EQ(Option(fd->get(), SOL_SOCKET, SO_RXQ_OVFL), 1);
    const auto bound = LocalEndpoint(fd->get());
    ASSERT_TRUE(bound.ok());
    EXPECT_EQ(bound->ip, local.ip);
    EXPECT_NE(bound->port, Port());
  }
  const auto six = OpenUdp(kLoopback6, {});
  EXPECT_EQ(Option(six->get(), IPPROTO_IPV6, IPV6_V6ONLY), 1);
}

TEST(OpenUdpTest, SetsWhatIsAsked) {
  const UdpOptions options{.tos = 0xb8, .receive_buffer_bytes = 65536};
  const auto four = OpenUdp(kLoopback4, options);
  ASSERT_TRUE(four.ok());
  EXPECT_EQ(Option(four->get(), IPPROTO_IP, IP_TOS), 0xb8);
  // The kernel doubles it, for its own bookkeeping (socket(7)).
  EXPECT_EQ(Option(four->get(), SOL_SOCKET, SO_RCVBUF), 2 * 65536);
  const auto six = OpenUdp(kLoopback6, options);
  ASSERT_TRUE(six.ok());
  EXPECT_EQ(Option(six->get(), IPPROTO_IPV6, IPV6_TCLASS), 0xb8);
}

TEST(OpenUdpTest, APortInUseIsAlreadyExistsAndIsNamed) {
  const auto first = OpenUdp(kLoopback4, {});
  ASSERT_TRUE(first.ok());
  const Endpoint taken = *LocalEndpoint(first->get());
  const auto second = OpenUdp(taken, {});
  EXPECT_EQ(second.status().code(), absl::StatusCode::kAlreadyExists);
  EXPECT_NE(second.status().message().find(taken.ToString()),
            absl::string_view::npos);
}

TEST(OpenUdpTest, IPv6AndIPv4WildcardsLiveSideBySide) {
  const auto six = OpenUdp(*Endpoint::Parse("[::]:0"), {});
  ASSERT_TRUE(six.ok()) << six.status();
  Endpoint four = *Endpoint::Parse("0.0.0.0:0");
  four.port = LocalEndpoint(six->get())->port;
  EXPECT_TRUE(OpenUdp(four, {}).ok());
}

TEST(OpenUdpTest, AnAddressThatIsAwayIsUnavailable) {
  const Endpoint away = *Endpoint::Parse("192.0.2.77:0");  // RFC 5737: nobody's
  EXPECT_EQ(OpenUdp(away, {}).status().code(), absl::StatusCode::kUnavailable);
  const Endpoint away6 = *Endpoint::Parse("[2001:db8::77]:0");
  EXPECT_EQ(OpenUdp(away6, {}).status().code(), absl::StatusCode::kUnavailable);
}

TEST(ListenTcpTest, ListensAndRefusesASecondListener) {
  for (const Endpoint& local : {kLoopback4, kLoopback6}) {
    const auto first = ListenTcp(local, 4);
    ASSERT_TRUE(first.ok()) << first.status();
    ExpectNonBlockingCloseOnExec(first->get());
    EXPECT_EQ(Option(first->get(), SOL_SOCKET, SO_ACCEPTCONN), 1);
    const auto second = ListenTcp(*LocalEndpoint(first->get()), 4);
    EXPECT_EQ(second.status().code(), absl::StatusCode::kAlreadyExists);
  }
}

TEST(LocalEndpointTest, RefusesWhatIsNoIpSocket) {
  TempFolder folder;
  const auto fd = ListenUnix(folder / "s", 0600, 1);
  ASSERT_TRUE(fd.ok());
  EXPECT_FALSE(LocalEndpoint(fd->get()).ok());
  EXPECT_FALSE(LocalEndpoint(-1).ok());
}

// --- UNIX sockets ---------------------------------------------------------

bool CanConnect(const std::string& path) {
  Fd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path.data(), path.size());
  return connect(fd.get(), reinterpret_cast<const sockaddr*>(&address),
                 sizeof(address)) == 0;
}

mode_t ModeOf(const std::string& path) {
  struct stat st;
  EXPECT_EQ(stat(path.c_str(), &st), 0) << path;
  return st.st_mode & 07777;
}

// Waits until a connecting socket is decided.
absl::Status Decided(int fd) {
  pollfd wait = {.fd = fd, .events = POLLOUT, .revents = 0};
  EXPECT_EQ(poll(&wait, 1, 10'000), 1);
  return SocketError(fd, "connect");
}

TEST(ConnectTcpTest, ConnectsFromTheAddressThatIsSaid) {
  for (const Endpoint& local : {*Endpoint::Parse("127.0.0.7:0"), kLoopback6}) {
    const auto listener = ListenTcp(local, 1);
    ASSERT_TRUE(listener.ok());
    const auto fd = ConnectTcp(local, *LocalEndpoint(listener->get()));
    ASSERT_TRUE(fd.ok()) << fd.status();
    ExpectNonBlockingCloseOnExec(fd->get());
    EXPECT_TRUE(Decided(fd->get()).ok());
    EXPECT_EQ(LocalEndpoint(fd->get())->ip, local.ip);
    EXPECT_EQ(Option(fd->get(), IPPROTO_TCP, TCP_NODELAY), 1);
  }
}

TEST(ConnectTcpTest, SaysWhatWasRefused) {
  auto listener = ListenTcp(kLoopback4, 1);
  const Endpoint gone = *LocalEndpoint(listener->get());
  listener->Reset();
  const auto fd = ConnectTcp(kLoopback4, gone);
  ASSERT_TRUE(fd.ok()) << fd.status();
  EXPECT_EQ(Decided(fd->get()).code(), absl::StatusCode::kUnavailable);
  EXPECT_TRUE(SocketError(fd->get(), "again").ok());
  // An IPv4 socket reaches no IPv6 address.
  EXPECT_FALSE(ConnectTcp(kLoopback4, *Endpoint::Parse("[::1]:9")).ok());
  const auto udp = OpenUdp(kLoopback4, {});
  EXPECT_FALSE(ConnectUdp(udp->get(), *Endpoint::Parse("[::1]:9")).ok());
  EXPECT_TRUE(ConnectUdp(udp->get(), gone).ok());
}

TEST(ListenUnixTest, ListensAndLeavesNothingElseBehind) {
  TempFolder folder;
  const auto fd = ListenUnix(folder / "s", 0600, 4);
  ASSERT_TRUE(fd.ok()) << fd.status();
  ExpectNonBlockingCloseOnExec(fd->get());
  EXPECT_TRUE(CanConnect(folder / "s"));
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder / ""),
                          std::filesystem::directory_iterator()),
            1);
}

TEST(ListenUnixTest, GivesExactlyTheModeWhateverTheUmask) {
  TempFolder folder;
  for (const mode_t mask : {0, 022, 077, 0777}) {
    for (const mode_t mode : {0600, 0660, 0666}) {
      const std::string path = folder / "s";
      std::filesystem::remove(path);
      const mode_t before = umask(mask);
      const auto fd = ListenUnix(path, static_cast<int>(mode), 1);
      umask(before);
      ASSERT_TRUE(fd.ok()) << fd.status();
      EXPECT_EQ(ModeOf(path), mode);
    }
  }
}

TEST(ListenUnixTest, ALiveSocketIsAlreadyExistsAndStaysAlive) {
  TempFolder folder;
  const auto first = ListenUnix(folder / "s", 0600, 4);
  ASSERT_TRUE(first.ok());
  const auto second = ListenUnix(folder / "s", 0600, 4);
  EXPECT_EQ(second.status().code(), absl::StatusCode::kAlreadyExists);
  EXPECT_NE(second.status().message().find(folder / "s"),
            absl::string_view::npos);
  EXPECT_TRUE(CanConnect(folder / "s"));
}

TEST(ListenUnixTest, AFullBacklogIsStillSomebody) {
  TempFolder folder;
  const std::string path = folder / "s";
  const auto first = ListenUnix(path, 0600, 0);
  ASSERT_TRUE(first.ok());
  // Fill it until the kernel says that it is full.
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path.data(), path.size());
  std::vector<Fd> waiting;
  for (;;) {
    Fd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    if (connect(fd.get(), reinterpret_cast<const sockaddr*>(&address),
                sizeof(address)) != 0) {
      ASSERT_EQ(errno, EAGAIN);
      break;
    }
    waiting.push_back(std::move(fd));
  }
  EXPECT_EQ(ListenUnix(path, 0600, 4).status().code(),
            absl::StatusCode::kAlreadyExists);
}

TEST(ListenUnixTest, AStaleSocketFileIsReplaced) {
  TempFolder folder;
  const std::string path = folder / "s";
  ListenUnix(path, 0600, 4).value().Reset();  // as a crash leaves it
  ASSERT_TRUE(std::filesystem::exists(path));
  ASSERT_FALSE(CanConnect(path));
  const auto second = ListenUnix(path, 0600, 4);
  ASSERT_TRUE(second.ok()) << second.status();
  EXPECT_TRUE(CanConnect(path));
}

TEST(ListenUnixTest, ALockFileLeftBehindKeepsNobodyOut) {
  TempFolder folder;
  std::ofstream(folder / "s.lock") << "";
  EXPECT_TRUE(ListenUnix(folder / "s", 0600, 4).ok());
}

TEST(ListenUnixTest, WhatIsNotASocketIsNotRemoved) {
  TempFolder folder;
  const std::string path = folder / "s";
  std::ofstream(path) << "somebody's data";
  EXPECT_EQ(ListenUnix(path, 0600, 4).status().code(),
            absl::StatusCode::kAlreadyExists);
  EXPECT_EQ(std::filesystem::file_size(path), 15u);
  // Nor what a link points to.
  ListenUnix(folder / "stale", 0600, 4).value().Reset();
  std::filesystem::create_symlink(folder / "stale", folder / "link");
  EXPECT_FALSE(ListenUnix(folder / "link", 0600, 4).ok());
  EXPECT_TRUE(std::filesystem::exists(folder / "stale"));
}

TEST(ListenUnixTest, MakesTheLastFolderForTheOwnerOnly) {
  TempFolder folder;
  ASSERT_TRUE(ListenUnix(folder / "run/s", 0600, 4).ok());
  EXPECT_EQ(ModeOf(folder / "run"), 0700u);
  // But not a whole path: that is more likely a typing error.
  EXPECT_FALSE(ListenUnix(folder / "a/b/s", 0600, 4).ok());
  EXPECT_FALSE(std::filesystem::exists(folder / "a"));
}

TEST(ListenUnixTest, RefusesPathsThatAreNone) {
  TempFolder folder;
  constexpr size_t kMax = sizeof(sockaddr_un::sun_path) - 1;
  const std::string base = folder / "";
  const std::string longest = base + std::string(kMax - base.size(), 's');
  EXPECT_TRUE(ListenUnix(longest, 0600, 4).ok());
  for (const std::string& path :
       {longest + "s", std::string(), std::string("@sluice"),
        std::string("\0sluice", 7), base + std::string("a\0b", 3)}) {
    EXPECT_EQ(ListenUnix(path, 0600, 4).status().code(),
              absl::StatusCode::kInvalidArgument)
        << path;
  }
}

// Goal: of instances that start together over a stale file exactly one listens,
// and it is the one that clients reach (F20).
// Method: threads through one gate, many rounds. What the losers say may be
// either of two reasons, but is always AlreadyExists.
TEST(ListenUnixTest, OfManyThatStartTogetherExactlyOneListens) {
  TempFolder folder;
  const std::string path = folder / "s";
  for (int round = 0; round < 100; ++round) {
    if (round == 0) ListenUnix(path, 0600, 4).value().Reset();
    constexpr int kInstances = 4;
    std::atomic<int> at_gate{0};
    std::vector<absl::StatusOr<Fd>> results;
    for (int i = 0; i < kInstances; ++i) results.emplace_back(Fd());
    std::vector<std::thread> instances;
    for (int i = 0; i < kInstances; ++i) {
      instances.emplace_back([&, i] {
        at_gate.fetch_add(1);
        while (at_gate.load() < kInstances) std::this_thread::yield();
        results[static_cast<size_t>(i)] = ListenUnix(path, 0600, 4);
      });
    }
    for (std::thread& t : instances) t.join();
    int listening = 0;
    for (const auto& result : results) {
      if (result.ok()) {
        ++listening;
      } else {
        ASSERT_EQ(result.status().code(), absl::StatusCode::kAlreadyExists)
            << result.status();
      }
    }
    ASSERT_EQ(listening, 1) << "round " << round;
    ASSERT_TRUE(CanConnect(path));
  }
}

}  // namespace
}  // namespace sluice::net
