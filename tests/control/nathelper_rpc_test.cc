// Goal: the RPC's frames, its command table and its server do what the original
// does for a request, and close without a word for everything else.
// Method: octets, first to the table, then through real sockets on loopback.

#include "control/nathelper_rpc.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "base/check.h"
#include "base/net/event_loop.h"
#include "base/net/fd.h"
#include "tests/control/fake_verbs.h"
#include "tests/control/hex.h"
#include "tests/control/nathelper_desk.h"

namespace sluice::control {
namespace {

using storable::Root;
using List = Value::List;

// ---- the command table ----------------------------------------------------

TEST(CommandTable, IsSilentToWhatIsNoRequest) {
  Desk desk;
  auto answer = [&](const Value& v) {
    return desk.table.Answer(storable::Encode(v, Root::kReferent));
  };
  EXPECT_EQ(desk.table.Answer(""), "");
  EXPECT_EQ(desk.table.Answer("GET / HTTP/1.1\r\n\r\n"), "");
  EXPECT_EQ(desk.table.Answer(Hex("050b 02 7fffffff 05")), "");
  EXPECT_EQ(desk.table.counters().undecodable, 3u);
  for (const Value& v : {Value(), Value(1), Value("allocate"), Value(List{}),
                         Value(List{Value()}), Value(List{Value(1)}),
                         Value(List{Value(List{Value("close")})}),
                         Value::MapOf({{"close", Value(1)}})}) {
    EXPECT_EQ(answer(v), "");
  }
  EXPECT_EQ(desk.table.counters().nameless, 8u);
  for (const char* name : {"", "Close", "close ", "expire", "closeclose"}) {
    EXPECT_EQ(answer(Value(List{Value(name), Key()})), "") << name;
  }
  EXPECT_EQ(answer(Value(List{Value(std::string("close\0", 6)), Key()})), "");
  EXPECT_EQ(desk.table.counters().unknown, 6u);
  EXPECT_EQ(desk.table.counters().answered, 0u);
}

TEST(CommandTable, IsSilentToATruncationAtEveryOctet) {
  Desk desk;
  for (const char* hex : {kAllocateHex, kActivateHex, kCloseHex}) {
    const std::string whole = Hex(hex);
    for (size_t n = 0; n < whole.size(); ++n) {
      EXPECT_EQ(desk.table.Answer(whole.substr(0, n)), "") << n;
    }
  }
  EXPECT_TRUE(desk.sessions.allocates.empty());
  EXPECT_TRUE(desk.sessions.closes.empty());
}

TEST(CommandTable, TakesNewCommandsAndNewMeaningsForOldOnes) {
  Desk desk;
  EXPECT_FALSE(desk.table.Has("sum"));
  desk.table.Define("sum", [](CommandTable::Arguments arguments) {
    int64_t sum = 0;
    for (const Value& value : arguments) sum += *value.integer();
    return Value(sum);
  });
  EXPECT_TRUE(desk.table.Has("sum"));
  EXPECT_EQ(desk.Ask(Value(List{Value("sum"), Value(40), Value(2)})),
            Value(42));
  EXPECT_EQ(desk.Ask(Value(List{Value("sum")})), Value(0));

  desk.table.Define("close", [&](CommandTable::Arguments arguments) {
    return Value(List{Value("mine"), desk.verbs.Close(arguments)});
  });
  EXPECT_EQ(desk.Ask(Value(List{Value("close"), Key()})),
            Value(List{Value("mine"), Value(1)}));
  EXPECT_EQ(desk.sessions.closes.size(), 1u);

  desk.table.Define(
      "quiet", [](CommandTable::Arguments) { return std::optional<Value>(); });
  EXPECT_EQ(desk.table.Answer(
                storable::Encode(Value(List{Value("quiet")}), Root::kReferent)),
            "");
  EXPECT_EQ(desk.table.counters().silent, 1u);

  // A handler may change the table it is called from.
  desk.table.Define("once", [&](CommandTable::Arguments) {
    for (int i = 0; i < 100; ++i) {
      desk.table.Define(std::to_string(i), nullptr);
    }
    desk.table.Define("once", [](CommandTable::Arguments) { return Value(2); });
    return Value(1);
  });
  EXPECT_EQ(desk.Ask(Value(List{Value("once")})), Value(1));
  EXPECT_EQ(desk.Ask(Value(List{Value("once")})), Value(2));
}

// ---- frames and addresses -------------------------------------------------

TEST(NatHelperRpcFrame, IsALengthAndThatManyOctets) {
  EXPECT_EQ(RpcFrame(Hex("050b05")), Hex("00000003 050b05"));
  const std::string frame = Framed(Hex(kCloseHex));
  ASSERT_EQ(frame.substr(0, 4), Hex("00000049"));
  for (size_t n = 0; n < frame.size(); ++n) {
    EXPECT_EQ(RpcFrameBytes(frame.substr(0, n)), 0) << n;
  }
  EXPECT_EQ(RpcFrameBytes(frame), static_cast<int64_t>(frame.size()));
  EXPECT_EQ(RpcFrameBytes(frame + "more"), static_cast<int64_t>(frame.size()));
}

TEST(NatHelperRpcFrame, IsNeitherEmptyNorBeyond128KiB) {
  EXPECT_EQ(RpcFrameBytes(Hex("00000000")), -1);
  const auto max = static_cast<int64_t>(kRpcHeaderBytes + kRpcPayloadBytesMax);
  for (const char* hex : {"00020001", "ffffffff", "80000000", "47455420"}) {
    EXPECT_GT(RpcFrameBytes(Hex(hex)), max) << hex;
  }
  EXPECT_EQ(RpcFrameBytes(Hex("00020000")), 0);
  EXPECT_EQ(RpcFrameBytes(Hex("00020000") + std::string(131072, 'x')),
            4 + 131072);
}

TEST(NatHelperRpcListen, KnowsOurFormsAndTheOriginals) {
  auto unix_path = [](std::string_view text) {
    const auto where = ParseRpcListen(text);
    EXPECT_TRUE(where.ok()) << where.status();
    const auto* path = where.ok() ? std::get_if<std::string>(&*where) : nullptr;
    return path == nullptr ? std::string("not a path") : *path;
  };
  EXPECT_EQ(unix_path("unix:/run/sluice/nathelper.sock"),
            "/run/sluice/nathelper.sock");
  EXPECT_EQ(unix_path("/run/sluice/n.sock"), "/run/sluice/n.sock");
  EXPECT_EQ(unix_path("./n.sock"), "./n.sock");
  EXPECT_EQ(unix_path("/no/such/folder/"), "/no/such/folder/socket");
  EXPECT_EQ(unix_path("/usr"), "/usr/socket");
  for (const char* text : {"tcp:127.0.0.1:8004", "127.0.0.1:8004"}) {
    const auto where = ParseRpcListen(text);
    ASSERT_TRUE(where.ok()) << where.status();
    EXPECT_EQ(std::get<Endpoint>(*where).ToString(), "127.0.0.1:8004");
  }
  for (const char* text : {"tcp:[::1]:8004", "[::1]:8004"}) {
    const auto where = ParseRpcListen(text);
    ASSERT_TRUE(where.ok()) << where.status();
    EXPECT_EQ(std::get<Endpoint>(*where).ToString(), "[::1]:8004");
  }
  for (const char* text :
       {"", "unix:", "tcp:", "unix:127.0.0.1:8004", "tcp:/run/x", "8004",
        "tcp:8004", ":8004", "tcp:127.0.0.1", "tcp:127.0.0.1:70000",
        "tcp:name:8004", "udp:127.0.0.1:1", "unix:nofolder"}) {
    EXPECT_EQ(ParseRpcListen(text).status().code(),
              absl::StatusCode::kInvalidArgument)
        << text;
  }
}

// ---- the server -----------------------------------------------------------

// A blocking client whose server runs on the same thread: Turn() until what is
// waited for has come.
class Client {
 public:
  // `from`: the address to come from; "" leaves it to the kernel.
  explicit Client(const std::string& listener, const std::string& from = "") {
    sockaddr_storage address{};
    socklen_t length = 0;
    if (listener.starts_with("unix:")) {
      auto* un = reinterpret_cast<sockaddr_un*>(&address);
      un->sun_family = AF_UNIX;
      const std::string path = listener.substr(5);
      CHECK(path.size() < sizeof(un->sun_path));
      std::memcpy(un->sun_path, path.c_str(), path.size() + 1);
      length = sizeof(sockaddr_un);
    } else {
      const auto endpoint = Endpoint::Parse(listener.substr(4));
      CHECK(endpoint.has_value());
      length = endpoint->ToSockaddr(endpoint->family(), &address);
    }
    fd_ = net::Fd(socket(address.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (!from.empty()) {
      const auto own = Endpoint::Parse(from);
      CHECK(own.has_value());
      sockaddr_storage local{};
      const socklen_t size = own->ToSockaddr(address.ss_family, &local);
      CHECK(bind(fd_.get(), reinterpret_cast<sockaddr*>(&local), size) == 0);
    }
    // The backlog takes it: nobody has to accept yet.
    CHECK(connect(fd_.get(), reinterpret_cast<sockaddr*>(&address), length) ==
          0);
  }

  void Send(std::string_view bytes) {
    const ssize_t sent = send(fd_.get(), bytes.data(), bytes.size(),
                              MSG_NOSIGNAL | MSG_DONTWAIT);
    EXPECT_EQ(sent, static_cast<ssize_t>(bytes.size()));
  }
  // Everything until the server closes.
  std::string ReadAll(net::EventLoop& loop) {
    std::string all;
    char buffer[4096];
    while (true) {
      const ssize_t n = recv(fd_.get(), buffer, sizeof(buffer), MSG_DONTWAIT);
      if (n == 0 || (n < 0 && errno == ECONNRESET)) return all;
      if (n > 0) {
        all.append(buffer, static_cast<size_t>(n));
        continue;
      }
      CHECK(errno == EAGAIN);
      loop.RunOnce(Micros::Millis(5));
    }
  }

 private:
  net::Fd fd_;
};

class NatHelperRpcServer : public testing::Test {
 protected:
  NatHelperRpcServer() {
    char folder[] = "/tmp/sluice-rpc-XXXXXX";
    CHECK(mkdtemp(folder) != nullptr);
    folder_ = folder;
  }
  ~NatHelperRpcServer() override { std::filesystem::remove_all(folder_); }

  uint64_t Count(std::string_view name) const {
    for (const auto& [key, value] : rpc_.counters()) {
      if (key == name) return value;
    }
    ADD_FAILURE() << "no counter " << name;
    return 0;
  }

  std::string folder_;
  net::EventLoop loop_;
  FakeVerbs sessions_;
  NatHelperRpc rpc_{loop_, sessions_, NatHelperRpc::Options{}};
};

TEST_F(NatHelperRpcServer, AnswersOneRequestAConnectionOnEveryListener) {
  const std::string path = folder_ + "/n.sock";
  ASSERT_TRUE(rpc_.Listen("unix:" + path).ok());
  ASSERT_TRUE(rpc_.Listen("tcp:127.0.0.1:0").ok());
  ASSERT_TRUE(rpc_.Listen("127.0.0.1:0").ok());
  ASSERT_EQ(rpc_.listeners().size(), 3u);
  EXPECT_EQ(rpc_.listeners()[0], "unix:" + path);
  for (const std::string& listener : rpc_.listeners()) {
    Client client(listener);
    client.Send(Framed(Hex(kAllocateHex)));
    EXPECT_EQ(client.ReadAll(loop_),
              Hex("00000020 050b 04 02 00000001 04 02 00000003 0a09"
                  "3132372e302e302e31 09 00001380 08 82"))
        << listener;
  }
  EXPECT_EQ(Count("allocate_ok"), 3u);
  EXPECT_EQ(Count("requests_answered"), 3u);
  EXPECT_EQ(Count("connections_replies"), 3u);
  EXPECT_EQ(Count("connections_closed"), Count("connections_accepted"));

  // What follows the first request is not read.
  Client twice(rpc_.listeners()[0]);
  twice.Send(Framed(Hex(kCloseHex)) + Framed(Hex(kCloseHex)));
  EXPECT_EQ(twice.ReadAll(loop_), Hex("00000004 050b 08 81"));
  EXPECT_EQ(sessions_.closes.size(), 1u);
}

TEST_F(NatHelperRpcServer, TakesARequestInAnyPieces) {
  ASSERT_TRUE(rpc_.Listen("tcp:127.0.0.1:0").ok());
  Client client(rpc_.listeners()[0]);
  for (char octet : Framed(Hex(kActivateHex))) {
    client.Send(std::string_view(&octet, 1));
    loop_.RunOnce(Micros(0));
  }
  EXPECT_EQ(client.ReadAll(loop_), Hex("00000004 050b 08 81"));
}

TEST_F(NatHelperRpcServer, ClosesWithoutAWordWhatItDoesNotUnderstand) {
  ASSERT_TRUE(rpc_.Listen("tcp:127.0.0.1:0").ok());
  for (const std::string& bytes :
       {Hex("00000000"), Hex("0000000c 050b 02 7fffffff 05 00000000"),
        Hex("ffffffff"), Hex("00020001"), std::string("GET / HTTP/1.1\r\n\r\n"),
        Framed(storable::Encode(Value(List{Value("expire")}), Root::kReferent)),
        Framed(Hex("050b 04 11 03 466f6f 02 00000000")), Framed("x")}) {
    Client client(rpc_.listeners()[0]);
    client.Send(bytes);
    EXPECT_EQ(client.ReadAll(loop_), "");
  }
  EXPECT_EQ(Count("connections_bad_frames"), 1u);
  EXPECT_EQ(Count("connections_oversized"), 3u);
  EXPECT_EQ(Count("requests_undecodable"), 3u);
  EXPECT_EQ(Count("requests_unknown"), 1u);
  EXPECT_EQ(Count("connections_replies"), 0u);

  // And serves the next one.
  Client client(rpc_.listeners()[0]);
  client.Send(Framed(Hex(kCloseHex)));
  EXPECT_EQ(client.ReadAll(loop_), Hex("00000004 050b 08 81"));
}

TEST_F(NatHelperRpcServer, TakesAFrameOf128KiB) {
  ASSERT_TRUE(rpc_.Listen("unix:" + folder_ + "/n.sock").ok());
  rpc_.commands().Define("length", [](CommandTable::Arguments arguments) {
    return Value(arguments[0].bytes()->size());
  });
  // What the list, its name and the head of the string take.
  const size_t overhead =
      storable::Encode(
          Value(List{Value("length"), Value(std::string(256, 'x'))}),
          Root::kReferent)
          .size() -
      256;
  const std::string octets(kRpcPayloadBytesMax - overhead, 'x');
  const std::string payload = storable::Encode(
      Value(List{Value("length"), Value(octets)}), Root::kReferent);
  ASSERT_EQ(payload.size(), kRpcPayloadBytesMax);
  Client client(rpc_.listeners()[0]);
  const std::string frame = RpcFrame(payload);
  for (size_t at = 0; at < frame.size(); at += 8192) {
    client.Send(std::string_view(frame).substr(at, 8192));
    loop_.RunOnce(Micros(0));
  }
  EXPECT_EQ(client.ReadAll(loop_),
            RpcFrame(storable::Encode(Value(octets.size()))));
}

TEST_F(NatHelperRpcServer, KeepsItsUnixSocketToItsUser) {
  const std::string path = folder_ + "/n.sock";
  ASSERT_TRUE(rpc_.Listen("unix:" + path).ok());
  struct stat info {};
  ASSERT_EQ(stat(path.c_str(), &info), 0);
  EXPECT_TRUE(S_ISSOCK(info.st_mode));
  EXPECT_EQ(info.st_mode & 0777u, 0600u);

  using Peer = net::StreamServer::Peer;
  EXPECT_TRUE(RpcAcceptsPeer(Peer{.unix_socket = true, .uid = 0}, 1000, {}));
  EXPECT_TRUE(RpcAcceptsPeer(Peer{.unix_socket = true, .uid = 1000}, 1000, {}));
  EXPECT_FALSE(
      RpcAcceptsPeer(Peer{.unix_socket = true, .uid = 1001}, 1000, {}));
  EXPECT_FALSE(RpcAcceptsPeer(Peer{.unix_socket = true, .uid = 1001}, 0, {}));
}

std::vector<Prefix> Allow(const std::vector<std::string>& texts) {
  return *ParsePrefixes(texts);
}

TEST(NatHelperRpcPeer, ByTcpMustBeAllowedOrWhereNobodyIsOnLoopback) {
  const auto accepts = [](const char* from, absl::Span<const Prefix> allow) {
    return RpcAcceptsPeer({.address = *Endpoint::Parse(from)}, 0, allow);
  };
  for (const char* local : {"127.0.0.1:9", "127.9.9.9:9", "[::1]:9"}) {
    EXPECT_TRUE(accepts(local, {})) << local;
  }
  for (const char* remote : {"10.0.0.1:9", "192.0.2.1:9", "[2001:db8::1]:9"}) {
    EXPECT_FALSE(accepts(remote, {})) << remote;
  }
  const auto allow = Allow({"10.0.0.0/8", "2001:db8::1"});
  EXPECT_TRUE(accepts("10.255.0.1:9", allow));
  EXPECT_TRUE(accepts("[::ffff:10.0.0.1]:9", allow));
  EXPECT_TRUE(accepts("[2001:db8::1]:9", allow));
  EXPECT_FALSE(accepts("11.0.0.1:9", allow));
  EXPECT_FALSE(accepts("[2001:db8::2]:9", allow));
  EXPECT_FALSE(accepts("127.0.0.1:9", allow));
}

TEST_F(NatHelperRpcServer, ClosesAndCountsWhoIsNotAllowed) {
  NatHelperRpc strict(loop_, sessions_, {.allow = Allow({"127.0.0.9"})});
  ASSERT_TRUE(strict.Listen("tcp:127.0.0.1:0").ok());
  const auto count = [&strict](std::string_view name) {
    for (const auto& [key, value] : strict.counters()) {
      if (key == name) return value;
    }
    return uint64_t{999};
  };
  Client stranger(strict.listeners()[0]);
  stranger.Send(Framed(Hex(kCloseHex)));
  EXPECT_EQ(stranger.ReadAll(loop_), "");
  EXPECT_TRUE(sessions_.closes.empty());
  EXPECT_EQ(count("connections_peers_refused"), 1u);
  EXPECT_EQ(count("connections_accepted"), 0u);

  Client friendly(strict.listeners()[0], "127.0.0.9:0");
  friendly.Send(Framed(Hex(kCloseHex)));
  EXPECT_EQ(friendly.ReadAll(loop_), Hex("00000004 050b 08 81"));

  strict.SetAllow(Allow({"127.0.0.1"}));
  Client after(strict.listeners()[0]);
  after.Send(Framed(Hex(kCloseHex)));
  EXPECT_EQ(after.ReadAll(loop_), Hex("00000004 050b 08 81"));
  EXPECT_EQ(count("connections_peers_refused"), 1u);
  EXPECT_EQ(count("connections_accepted"), 2u);
}

TEST_F(NatHelperRpcServer, GivesUpOnHalfARequestAndOnSilence) {
  NatHelperRpc hasty(
      loop_, sessions_,
      {.frame_timeout = Micros::Millis(1), .idle_timeout = Micros::Millis(1)});
  ASSERT_TRUE(hasty.Listen("tcp:127.0.0.1:0").ok());
  Client half(hasty.listeners()[0]);
  half.Send(Framed(Hex(kCloseHex)).substr(0, 10));
  Client silent(hasty.listeners()[0]);
  EXPECT_EQ(half.ReadAll(loop_), "");
  EXPECT_EQ(silent.ReadAll(loop_), "");
  EXPECT_TRUE(sessions_.closes.empty());
}

TEST_F(NatHelperRpcServer, LetsTheOldestWaitingConnectionGoForANewOne) {
  NatHelperRpc small(loop_, sessions_, {.connections_max = 2});
  ASSERT_TRUE(small.Listen("unix:" + folder_ + "/n.sock").ok());
  Client first(small.listeners()[0]);
  Client second(small.listeners()[0]);
  Client third(small.listeners()[0]);
  EXPECT_EQ(first.ReadAll(loop_), "");
  third.Send(Framed(Hex(kCloseHex)));
  EXPECT_EQ(third.ReadAll(loop_), Hex("00000004 050b 08 81"));
  second.Send(Framed(Hex(kCloseHex)));
  EXPECT_EQ(second.ReadAll(loop_), Hex("00000004 050b 08 81"));
}

TEST_F(NatHelperRpcServer, SaysWhyItCannotListen) {
  EXPECT_EQ(rpc_.Listen("nowhere").code(), absl::StatusCode::kInvalidArgument);
  ASSERT_TRUE(rpc_.Listen("tcp:127.0.0.1:0").ok());
  EXPECT_FALSE(rpc_.Listen(rpc_.listeners()[0]).ok());
  EXPECT_FALSE(rpc_.Listen("unix:/proc/no/such/n.sock").ok());
  EXPECT_EQ(rpc_.listeners().size(), 1u);
}

}  // namespace
}  // namespace sluice::control
