// Goal: the three verbs reach a relay on another node and come back as they
// would from our own; a relay that is away, silent, broken or hostile costs
// each request its one callback and nothing else.
// Method: our own RPC server in the same loop over a fake session manager; then
// servers that say what a script tells them. The time is the test's.

#include "control/nathelper_client.h"

#include <dirent.h>
#include <gtest/gtest.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cerrno>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/check.h"
#include "base/net/event_loop.h"
#include "base/net/fd.h"
#include "base/net/socket.h"
#include "control/nathelper_rpc.h"
#include "tests/base/temp_folder.h"
#include "tests/control/fake_verbs.h"
#include "tests/control/hex.h"

namespace sluice::control {
namespace {

using sip::MediaRelay;
using storable::Value;
using List = Value::List;
using Ports = absl::StatusOr<std::vector<MediaRelay::Port>>;
using Code = absl::StatusCode;

const IpAddress kLoopback = IpAddress::V4(127, 0, 0, 1);

MediaRelay::Key KeyOf(std::string call_id) {
  return {.call_id = std::move(call_id),
          .cseq = 4711,
          .id_from = std::string("sip:a\0t1", 8),
          .id_to = "b",
          .uri_from = "sip:a@x",
          .uri_to = "sip:b@x"};
}

int OpenDescriptors() {
  int count = 0;
  DIR* folder = opendir("/proc/self/fd");
  CHECK(folder != nullptr);
  while (readdir(folder) != nullptr) ++count;
  closedir(folder);
  return count;
}

// Accepts, reads a request and says what it was told to.
class Scripted {
 public:
  enum class Then { kClose, kStay, kReset };

  Scripted(net::EventLoop& loop, int backlog = 64) : loop_(loop) {
    auto listener = net::ListenTcp({kLoopback, Port()}, backlog);
    CHECK(listener.ok());
    listener_ = *std::move(listener);
    where = "tcp:" + net::LocalEndpoint(listener_.get())->ToString();
    CHECK(loop_
              .Add(listener_.get(), EPOLLIN,
                   [this](uint32_t) {
                     net::Fd fd(accept4(listener_.get(), nullptr, nullptr,
                                        SOCK_NONBLOCK | SOCK_CLOEXEC));
                     if (fd) OnAccept(std::move(fd));
                   })
              .ok());
  }
  ~Scripted() {
    loop_.Remove(listener_.get());
    for (const auto& [fd, client] : clients_) loop_.Remove(fd);
  }

  std::string where;
  // What is said after a whole request, one piece a turn.
  std::vector<std::string> pieces;
  Then then = Then::kClose;
  bool read = true;  // false: closes (or stays) without reading
  int accepted = 0;
  int gone = 0;  // clients that left before the end
  size_t open() const { return clients_.size(); }

 private:
  struct Client {
    net::Fd fd;
    std::string in;
    size_t said = 0;
  };

  void OnAccept(net::Fd fd) {
    ++accepted;
    const int number = fd.get();
    if (!read && then == Then::kClose) return;
    Client& client = clients_[number];
    client.fd = std::move(fd);
    if (!read) return;
    CHECK(loop_.Add(number, EPOLLIN, [this, number](uint32_t) { OnIo(number); })
              .ok());
  }
  void OnIo(int number) {
    Client& client = clients_[number];
    char buffer[16 * 1024];
    const ssize_t n = recv(number, buffer, sizeof(buffer), 0);
    if (n < 0 && errno != EAGAIN) {
      ++gone;
      return Drop(number);
    }
    if (n == 0) {
      ++gone;
      return Drop(number);
    }
    if (n > 0) client.in.append(buffer, static_cast<size_t>(n));
    if (RpcFrameBytes(client.in) == 0) return;
    if (client.said < pieces.size()) {
      const std::string& piece = pieces[client.said++];
      EXPECT_EQ(send(number, piece.data(), piece.size(), MSG_NOSIGNAL),
                static_cast<ssize_t>(piece.size()));
      loop_.Modify(number, EPOLLIN | EPOLLOUT);
      if (client.said < pieces.size() || then == Then::kStay) return;
    }
    switch (then) {
      case Then::kStay: loop_.Modify(number, EPOLLIN); return;
      case Then::kReset: {
        const linger now{.l_onoff = 1, .l_linger = 0};
        setsockopt(number, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
        break;
      }
      case Then::kClose: break;
    }
    Drop(number);
  }
  void Drop(int number) {
    loop_.Remove(number);
    clients_.erase(number);
  }

  net::EventLoop& loop_;
  net::Fd listener_;
  std::map<int, Client> clients_;
};

class NatHelperClientTest : public testing::Test {
 protected:
  std::unique_ptr<NatHelperClient> Connect(
      const std::string& where, NatHelperClient::Options options = {}) {
    auto client = NatHelperClient::Create(loop_, where, options);
    EXPECT_TRUE(client.ok()) << client.status();
    return *std::move(client);
  }
  // A server of ours; its socket's place.
  std::string Serve(const std::string& where) {
    EXPECT_TRUE(rpc_.Listen(where).ok());
    return rpc_.listeners().back();
  }
  void Turn() { loop_.RunOnce(Micros::Millis(5)); }
  template <typename T>
  T Wait(std::optional<T>& answer) {
    while (!answer.has_value()) Turn();
    return *answer;
  }
  Ports Allocate(NatHelperClient& client, Side side,
                 std::vector<MediaRelay::Media> media,
                 const MediaRelay::Key& key = KeyOf("c1")) {
    std::optional<Ports> answer;
    client.Allocate(key, side, kLoopback, media, [&](Ports ports) {
      EXPECT_FALSE(answer.has_value());
      answer = std::move(ports);
    });
    return Wait(answer);
  }
  Code Close(NatHelperClient& client,
             const MediaRelay::Key& key = KeyOf("c1")) {
    std::optional<absl::Status> answer;
    client.Close(key, [&](const absl::Status& status) {
      EXPECT_FALSE(answer.has_value());
      answer = status;
    });
    return Wait(answer).code();
  }
  Code Activate(NatHelperClient& client) {
    std::optional<absl::Status> answer;
    client.Activate(KeyOf("c1"), [&](const absl::Status& status) {
      EXPECT_FALSE(answer.has_value());
      answer = status;
    });
    return Wait(answer).code();
  }
  static uint64_t Ends(const NatHelperClient& client) {
    const auto& c = client.counters();
    return c.answered + c.refused + c.refused_full + c.timed_out +
           c.unreachable + c.bad_answers + c.too_long;
  }

  TempFolder folder_;
  Micros time_ = Micros::Seconds(1000);
  net::EventLoop loop_{[this] { return time_; }};
  FakeVerbs sessions_;
  NatHelperRpc rpc_{loop_, sessions_, NatHelperRpc::Options{}};
};

// ---- with a server of ours ------------------------------------------------

TEST_F(NatHelperClientTest, AllocatesOverUnixAndTcp) {
  for (const std::string& where :
       {Serve("unix:" + (folder_ / "n.sock")), Serve("tcp:127.0.0.1:0"),
        Serve("tcp:[::1]:0")}) {
    const auto client = Connect(where);
    const Ports ports =
        Allocate(*client, Side::kTo,
                 {{.ip = IpAddress::V4(192, 0, 2, 1), .port = 4000},
                  {.ip = *IpAddress::Parse("2001:db8::1"),
                   .port = 0,
                   .range = 2,
                   .kind = MediaRelay::Media::Kind::kSrtp,
                   .clock_hz = 48000},
                  {.ip = IpAddress::V4(192, 0, 2, 2),
                   .port = 65535,
                   .range = 1,
                   .kind = MediaRelay::Media::Kind::kOther}});
    ASSERT_TRUE(ports.ok()) << ports.status();
    ASSERT_EQ(ports->size(), 3u);
    EXPECT_EQ((*ports)[0].ip, kLoopback);
    EXPECT_EQ((*ports)[0].port, 4992);
    EXPECT_EQ((*ports)[0].range, 2);
    EXPECT_EQ((*ports)[2].port, 4996);
    EXPECT_NE((*ports)[0].edition, (*ports)[2].edition);
    EXPECT_EQ((*ports)[2].range, 1);

    const FakeVerbs::AllocateCall& call = sessions_.allocates.back();
    EXPECT_EQ(call.key.call_id, "c1");
    EXPECT_EQ(call.key.cseq, 4711u);
    EXPECT_EQ(call.key.id_from, std::string("sip:a\0t1", 8));
    EXPECT_EQ(call.key.id_to, "b");
    EXPECT_EQ(call.key.uri_from, "sip:a@x");
    EXPECT_EQ(call.key.uri_to, "sip:b@x");
    EXPECT_EQ(call.side, Side::kTo);
    EXPECT_EQ(call.local, kLoopback);
    ASSERT_EQ(call.media.size(), 3u);
    EXPECT_EQ(call.media[0].ip, IpAddress::V4(192, 0, 2, 1));
    EXPECT_EQ(call.media[0].port, 4000);
    EXPECT_EQ(call.media[0].range, 2);
    EXPECT_EQ(call.media[0].first, relay::FlowKind::kRtp);
    EXPECT_EQ(call.media[0].clock_hz, 8000u);
    EXPECT_EQ(call.media[1].ip, *IpAddress::Parse("2001:db8::1"));
    EXPECT_EQ(call.media[1].port, 0);
    EXPECT_EQ(call.media[1].first, relay::FlowKind::kSrtp);
    EXPECT_EQ(call.media[1].clock_hz, 48000u);
    EXPECT_EQ(call.media[2].port, 65535);
    EXPECT_EQ(call.media[2].range, 1);
    EXPECT_EQ(call.media[2].first, relay::FlowKind::kRaw);
    EXPECT_EQ(client->counters().answered, 1u);
    EXPECT_EQ(client->pending(), 0u);
  }
  EXPECT_EQ(sessions_.allocates.size(), 3u);
}

TEST_F(NatHelperClientTest, AllocatesNothingForNoMedia) {
  const auto client = Connect(Serve("unix:" + (folder_ / "n.sock")));
  const Ports ports = Allocate(*client, Side::kFrom, {});
  ASSERT_TRUE(ports.ok()) << ports.status();
  EXPECT_TRUE(ports->empty());
  EXPECT_EQ(sessions_.allocates.back().side, Side::kFrom);
}

TEST_F(NatHelperClientTest, ActivatesAndCloses) {
  const auto client = Connect(Serve("unix:" + (folder_ / "n.sock")));
  EXPECT_EQ(Activate(*client), Code::kOk);
  sessions_.activation = Activation::kAgain;
  EXPECT_EQ(Activate(*client), Code::kOk);
  EXPECT_EQ(sessions_.activates.back().cseq, 4711u);
  sessions_.closed = 200;
  EXPECT_EQ(Close(*client), Code::kOk);
  EXPECT_EQ(sessions_.closes.back().cseq, 4711u);
  MediaRelay::Key all = KeyOf("c2");
  all.cseq = std::nullopt;
  EXPECT_EQ(Close(*client, all), Code::kOk);
  EXPECT_EQ(sessions_.closes.back().call_id, "c2");
  EXPECT_EQ(sessions_.closes.back().cseq, std::nullopt);
  MediaRelay::Key greatest = KeyOf("c3");
  greatest.cseq = UINT32_MAX;  // beyond what the format has integers for
  EXPECT_EQ(Close(*client, greatest), Code::kOk);
  EXPECT_EQ(sessions_.closes.back().cseq, UINT32_MAX);
}

TEST_F(NatHelperClientTest, TellsARefusalByItsVerb) {
  const auto client = Connect(Serve("unix:" + (folder_ / "n.sock")));
  sessions_.allocations = absl::PermissionDeniedError("no");
  sessions_.activation = absl::NotFoundError("no");
  sessions_.closed = absl::NotFoundError("no");
  EXPECT_EQ(Allocate(*client, Side::kFrom, {{}}).status().code(),
            Code::kUnavailable);
  EXPECT_EQ(Activate(*client), Code::kFailedPrecondition);
  EXPECT_EQ(Close(*client), Code::kNotFound);
  EXPECT_EQ(client->counters().refused, 3u);
  EXPECT_EQ(Ends(*client), client->counters().requests);
}

TEST_F(NatHelperClientTest, HasItsRequestsUnderWayTogether) {
  const auto client = Connect(Serve("unix:" + (folder_ / "n.sock")));
  const int before = OpenDescriptors();
  int done = 0;
  for (int i = 0; i < 64; ++i) {
    client->Activate(KeyOf("c" + std::to_string(i)),
                     [&](const absl::Status& status) {
                       EXPECT_TRUE(status.ok()) << status;
                       ++done;
                     });
  }
  EXPECT_EQ(client->pending(), 64u);
  EXPECT_EQ(done, 0);
  std::optional<absl::Status> more;
  client->Close(KeyOf("more"), [&](const absl::Status& s) { more = s; });
  ASSERT_TRUE(more.has_value()) << "at once";
  EXPECT_EQ(more->code(), Code::kResourceExhausted);
  EXPECT_EQ(client->counters().refused_full, 1u);
  while (done < 64) Turn();
  EXPECT_EQ(sessions_.activates.size(), 64u);
  EXPECT_TRUE(sessions_.closes.empty());
  EXPECT_EQ(client->pending(), 0u);
  while (OpenDescriptors() > before) Turn();
  EXPECT_EQ(Close(*client), Code::kOk) << "room again";
}

TEST_F(NatHelperClientTest, MayBeAskedByWhomItTells) {
  const auto client =
      Connect(Serve("unix:" + (folder_ / "n.sock")), {.requests_max = 1});
  int done = 0;
  std::function<void(absl::Status)> again = [&](const absl::Status& status) {
    EXPECT_TRUE(status.ok()) << status;
    if (++done < 10) client->Close(KeyOf("c"), again);
  };
  client->Close(KeyOf("c"), again);
  while (done < 10) Turn();
  EXPECT_EQ(sessions_.closes.size(), 10u);
}

TEST_F(NatHelperClientTest, SendsARequestThatNoSocketTakesAtOnce) {
  // The server's verbs refuse such an id; what matters is that it got there.
  const std::string where = Serve("unix:" + (folder_ / "n.sock"));
  const auto client = Connect(where);
  EXPECT_EQ(Close(*client, KeyOf(std::string(130'000, 'x'))), Code::kNotFound);
  // As long as it may be, and one octet more.
  MediaRelay::Key key = KeyOf("");
  const Value empty(List{
      Value("close"), Value(List{Value(std::string(256, 'x')), Value(*key.cseq),
                                 Value(key.id_from), Value(key.id_to),
                                 Value(key.uri_from), Value(key.uri_to)})});
  const size_t others =
      storable::Encode(empty, storable::Root::kReferent).size() - 256;
  key.call_id = std::string(kRpcPayloadBytesMax - others, 'x');
  EXPECT_EQ(Close(*client, key), Code::kNotFound);
  key.call_id += 'x';
  EXPECT_EQ(Close(*client, key), Code::kInvalidArgument);
  EXPECT_EQ(client->counters().too_long, 1u);
  EXPECT_EQ(client->counters().refused, 2u);
}

// ---- nobody there ---------------------------------------------------------

TEST_F(NatHelperClientTest, RefusesWhatIsNoPlace) {
  for (const std::string& where :
       {std::string("nowhere"), std::string("tcp:name:1"),
        "unix:/" + std::string(200, 'x')}) {
    EXPECT_EQ(NatHelperClient::Create(loop_, where, {}).status().code(),
              Code::kInvalidArgument)
        << where;
  }
}

TEST_F(NatHelperClientTest, SaysSoWhenNobodyListens) {
  const auto missing = Connect("unix:" + (folder_ / "missing.sock"));
  EXPECT_EQ(Close(*missing), Code::kUnavailable);
  EXPECT_EQ(Allocate(*missing, Side::kFrom, {{}}).status().code(),
            Code::kUnavailable);
  std::string where;
  {
    const Scripted gone(loop_);
    where = gone.where;
  }
  const auto refused = Connect(where);
  EXPECT_EQ(Activate(*refused), Code::kUnavailable);
  EXPECT_EQ(refused->counters().unreachable, 1u);
  EXPECT_EQ(missing->counters().unreachable, 2u);
}

TEST_F(NatHelperClientTest, SaysSoWhenTheBacklogIsFull) {
  const std::string path = folder_ / "n.sock";
  auto listener = net::ListenUnix(path, 0600, 0);
  ASSERT_TRUE(listener.ok());
  const auto client = Connect("unix:" + path);
  // Nobody accepts: the backlog takes some, and then no more.
  int unavailable = 0;
  for (int i = 0; i < 8; ++i) {
    client->Close(KeyOf("c"), [&](const absl::Status& status) {
      EXPECT_EQ(status.code(), Code::kUnavailable);
      ++unavailable;
    });
  }
  EXPECT_GT(unavailable, 0);
  EXPECT_EQ(client->pending(), 8u - static_cast<size_t>(unavailable));
  listener->Reset();  // and the others are hung up on
  while (unavailable < 8) Turn();
  EXPECT_EQ(Ends(*client), 8u);
}

TEST_F(NatHelperClientTest, SaysSoWhenThereIsNoDescriptor) {
  const auto client = Connect(Serve("unix:" + (folder_ / "n.sock")));
  rlimit before{};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
  const rlimit none{.rlim_cur = 0, .rlim_max = before.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &none), 0);
  std::optional<absl::Status> answer;
  client->Close(KeyOf("c"), [&](const absl::Status& s) { answer = s; });
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &before), 0);
  ASSERT_TRUE(answer.has_value());
  EXPECT_EQ(answer->code(), Code::kResourceExhausted);
  EXPECT_EQ(client->counters().refused_full, 1u);
}

// ---- hostile servers ------------------------------------------------------

TEST_F(NatHelperClientTest, GivesUpAtItsDeadlineAndNotBefore) {
  Scripted server(loop_);
  server.then = Scripted::Then::kStay;
  server.pieces = {Hex("00000004 050b 08")};  // all but the last octet
  const auto client = Connect(server.where);
  std::optional<absl::Status> answer;
  client->Close(KeyOf("c"), [&](const absl::Status& s) { answer = s; });
  while (server.accepted == 0) Turn();
  for (int i = 0; i < 20; ++i) Turn();
  time_ = time_ + Micros::Millis(1990);
  Turn();
  EXPECT_FALSE(answer.has_value());
  EXPECT_EQ(client->pending(), 1u);
  time_ = time_ + Micros::Millis(20);
  Turn();
  ASSERT_TRUE(answer.has_value());
  EXPECT_EQ(answer->code(), Code::kDeadlineExceeded);
  EXPECT_EQ(client->counters().timed_out, 1u);
  EXPECT_EQ(client->pending(), 0u);
  while (server.gone == 0) Turn();  // hung up
}

TEST_F(NatHelperClientTest, DoesNotWaitLongerForWhoDrips) {
  Scripted server(loop_);
  server.then = Scripted::Then::kStay;
  server.pieces = std::vector<std::string>(2000, "x");
  server.pieces.front() = Hex("00001000");
  const auto client = Connect(server.where);
  std::optional<absl::Status> answer;
  client->Close(KeyOf("c"), [&](const absl::Status& s) { answer = s; });
  // An octet a turn, more often than the deadline's length.
  int turns = 0;
  for (; !answer.has_value(); ++turns) {
    time_ = time_ + Micros::Millis(20);
    loop_.RunOnce(Micros());
  }
  EXPECT_EQ(answer->code(), Code::kDeadlineExceeded);
  EXPECT_LE(turns, 102);
}

TEST_F(NatHelperClientTest, GivesUpOnWhoNeverAccepts) {
  auto listener = net::ListenTcp({kLoopback, Port()}, 1);
  ASSERT_TRUE(listener.ok());
  const auto client =
      Connect("tcp:" + net::LocalEndpoint(listener->get())->ToString());
  int done = 0;
  for (int i = 0; i < 16; ++i) {
    client->Close(KeyOf("c"), [&](const absl::Status& status) {
      EXPECT_EQ(status.code(), Code::kDeadlineExceeded);
      ++done;
    });
  }
  for (int i = 0; i < 10; ++i) loop_.RunOnce(Micros());
  EXPECT_EQ(done, 0);
  time_ = time_ + Micros::Millis(2010);
  Turn();
  EXPECT_EQ(done, 16);
  EXPECT_EQ(client->counters().timed_out, 16u);
}

TEST_F(NatHelperClientTest, SaysSoWhenItIsHungUpOn) {
  Scripted server(loop_);
  const auto client = Connect(server.where);
  EXPECT_EQ(Close(*client), Code::kUnavailable);
  server.then = Scripted::Then::kReset;
  EXPECT_EQ(Activate(*client), Code::kUnavailable);
  server.read = false;
  server.then = Scripted::Then::kClose;
  EXPECT_EQ(Allocate(*client, Side::kFrom, {{}}).status().code(),
            Code::kUnavailable);
  // In the middle of a request that is still being sent.
  EXPECT_EQ(Close(*client, KeyOf(std::string(130'000, 'x'))),
            Code::kUnavailable);
  EXPECT_EQ(client->counters().unreachable, 4u);
  EXPECT_EQ(client->pending(), 0u);
}

TEST_F(NatHelperClientTest, TakesAnAnswerInAnyPieces) {
  Scripted server(loop_);
  for (const char octet : Hex("00000004 050b 08 82")) {
    server.pieces.emplace_back(1, octet);
  }
  const auto client = Connect(server.where);
  EXPECT_EQ(Close(*client), Code::kOk);
  // What follows an answer is not looked at.
  server.pieces = {Hex("00000004 050b 08 82") + "and more"};
  EXPECT_EQ(Close(*client), Code::kOk);
  // Whoever leaves the connection open is hung up on all the same.
  server.then = Scripted::Then::kStay;
  EXPECT_EQ(Close(*client), Code::kOk);
  while (server.open() > 0) Turn();
}

TEST_F(NatHelperClientTest, TellsNonsenseFromAnAnswer) {
  Scripted server(loop_);
  const auto client = Connect(server.where);
  auto reply = [](const Value& value) {
    return RpcFrame(storable::Encode(value));
  };
  auto port = [](Value ip, Value number, Value range) {
    return Value(
        List{Value(List{std::move(ip), std::move(number), std::move(range)})});
  };
  const std::string kAny[] = {
      "HTTP/1.1 200 OK\r\n\r\n",
      Hex("00000000"),
      Hex("00020001 050b 08 81"),
      Hex("ffffffff"),
      Hex("00000004 050b"),  // cut short
      Hex("000000"),         // so short
      Hex("00000004 050b 08 82").substr(0, 7),
      Hex("00000003 040b 05"),                       // native order
      Hex("0000000b 050b 04 11 03 466f6f 0800 00"),  // an object
      Hex("00000008 050b 02 7fffffff 05"),
      RpcFrame(std::string(kRpcPayloadBytesMax, '\xff')),
      reply(Value("text")),
      reply(Value::MapOf({{"a", Value(1)}})),
  };
  for (const std::string& answer : kAny) {
    server.pieces = {answer};
    EXPECT_EQ(Close(*client), Code::kDataLoss) << answer.substr(0, 20);
    EXPECT_EQ(Activate(*client), Code::kDataLoss) << answer.substr(0, 20);
    EXPECT_EQ(Allocate(*client, Side::kFrom, {{}}).status().code(),
              Code::kDataLoss)
        << answer.substr(0, 20);
  }
  for (const Value& value : {Value(0), Value(-1), Value(""), Value("1x"),
                             Value(List{Value(1)}), Value(int64_t{1} << 40)}) {
    server.pieces = {reply(value)};
    EXPECT_EQ(Close(*client), Code::kDataLoss);
  }
  for (const Value& value : {Value(0), Value(-2), Value(List{})}) {
    server.pieces = {reply(value)};
    EXPECT_EQ(Activate(*client), Code::kDataLoss);
  }
  const Value kIp("127.0.0.1");
  for (const Value& value :
       {Value(1), Value(List{}), Value(List{Value(1)}),
        Value(List{Value(List{kIp, Value(4000)})}),
        Value(List{Value(List{kIp, Value(4000), Value(2), Value(3)})}),
        port(Value("name"), Value(4000), Value(2)),
        port(Value(), Value(4000), Value(2)), port(kIp, Value(-1), Value(2)),
        port(kIp, Value(65535), Value(2)), port(kIp, Value(70000), Value(2)),
        port(kIp, Value("x"), Value(2)), port(kIp, Value(4000), Value(1)),
        port(kIp, Value(4000), Value(3)), port(kIp, Value(4000), Value())}) {
    server.pieces = {reply(value)};
    EXPECT_EQ(Allocate(*client, Side::kFrom, {{}}).status().code(),
              Code::kDataLoss);
  }
  // Numbers as text are what Perl may send.
  server.pieces = {reply(port(kIp, Value("4000"), Value("2")))};
  const Ports ports = Allocate(*client, Side::kFrom, {{}});
  ASSERT_TRUE(ports.ok()) << ports.status();
  EXPECT_EQ(ports->front().port, 4000);
  server.pieces = {reply(Value("1"))};
  EXPECT_EQ(Activate(*client), Code::kOk);
  EXPECT_EQ(client->counters().bad_answers, 3 * std::size(kAny) + 6 + 3 + 14);
  EXPECT_EQ(Ends(*client), client->counters().requests);
}

TEST_F(NatHelperClientTest, TellsNobodyAfterItsEnd) {
  Scripted server(loop_);
  server.then = Scripted::Then::kStay;
  auto client = Connect(server.where);
  client->Close(KeyOf("c"), [](const absl::Status&) { FAIL(); });
  client->Allocate(KeyOf("c"), Side::kFrom, kLoopback, {},
                   [](const Ports&) { FAIL(); });
  while (server.accepted < 2) Turn();
  client.reset();
  while (server.gone < 2) Turn();
  time_ = time_ + Micros::Seconds(10);
  Turn();
}

}  // namespace
}  // namespace sluice::control
