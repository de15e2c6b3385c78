// What forwarding costs and nothing else: a datagram that arrives on one socket
// of a pair leaves by the other one. No decision, no count, no state. A relay
// that decides something cannot be faster than this on the same engine, and is
// good when it is hardly slower.
//
// Reads the parties of its calls as JSON on standard input and prints, once all
// sockets are bound, the addresses they are to send to, in the form that
// `sluiceload rtp --endpoints` reads:
//
//   {"ip": "127.0.0.1", "sessions": [{"caller": "ip:port", "callee":
//   "ip:port"}]}
//
// Two sockets a session; runs until SIGTERM. The engine is the first argument:
// io_uring and epoll are the relay's own engines, used as the relay uses them;
// plain is epoll with recvmmsg and sendmmsg on connected sockets and nothing in
// between.

#include <errno.h>
#include <sys/epoll.h>
#include <sys/resource.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "base/address.h"
#include "base/net/engine.h"
#include "base/net/epoll_engine.h"
#include "base/net/socket.h"
#include "base/net/uring.h"
#include "base/status_macros.h"

namespace sluice {
namespace {

constexpr int kReceiveBufferBytes = 4 << 20;
constexpr size_t kBatch = 32;
constexpr size_t kDatagramMax = 2048;

// Sockets 2 i and 2 i + 1 face caller and callee of session i, who are at the
// address of the same index.
std::vector<net::Fd> g_sockets;
std::vector<net::SendAddress> g_parties;

// Ports that are connected receive from their party only, and send without a
// look at the routes.
absl::Status ConnectAll() {
  for (size_t i = 0; i < g_sockets.size(); ++i) {
    if (::connect(g_sockets[i].get(),
                  reinterpret_cast<const sockaddr*>(&g_parties[i].v4),
                  g_parties[i].length) != 0) {
      return net::ErrnoStatus(errno, "connect");
    }
  }
  return absl::OkStatus();
}

absl::Status OpenAll(const std::string& text) {
  const auto root = nlohmann::json::parse(text, nullptr, false);
  if (!root.is_object() || !root.contains("sessions")) {
    return absl::InvalidArgumentError("standard input is not the JSON wanted");
  }
  const auto ip = IpAddress::Parse(root.value("ip", "127.0.0.1"));
  if (!ip.has_value())
    return absl::InvalidArgumentError("\"ip\" is no address");
  nlohmann::json out;
  for (const auto& session : root["sessions"]) {
    nlohmann::json relay;
    for (const char* party : {"caller", "callee"}) {
      const auto endpoint = Endpoint::Parse(session.value(party, ""));
      if (!endpoint.has_value()) {
        return absl::InvalidArgumentError(
            absl::StrCat("\"", party, "\" is not address:port"));
      }
      net::UdpOptions options;
      options.receive_buffer_bytes = kReceiveBufferBytes;
      ASSIGN_OR_RETURN(net::Fd fd, net::OpenUdp({*ip, Port()}, options));
      ASSIGN_OR_RETURN(const Endpoint local, net::LocalEndpoint(fd.get()));
      relay[absl::StrCat(party, "_relay")] = local.ToString();
      relay[absl::StrCat(party, "_local")] = endpoint->ToString();
      g_sockets.push_back(std::move(fd));
      g_parties.emplace_back(ip->is_v4() ? AF_INET : AF_INET6, *endpoint);
    }
    out["sessions"].push_back(relay);
  }
  std::cout << out.dump() << std::endl;
  return absl::OkStatus();
}

// recvmmsg and sendmmsg: a system call each for what has gathered on a socket.
class PlainForwarder {
 public:
  PlainForwarder() {
    for (size_t i = 0; i < kBatch; ++i) {
      iov_[i] = {buffers_[i].data(), kDatagramMax};
      messages_[i] = {};
      messages_[i].msg_hdr.msg_iov = &iov_[i];
      messages_[i].msg_hdr.msg_iovlen = 1;
    }
  }

  absl::Status Run() {
    RETURN_IF_ERROR(ConnectAll());
    const net::Fd epoll(::epoll_create1(EPOLL_CLOEXEC));
    for (size_t i = 0; i < g_sockets.size(); ++i) {
      epoll_event event{};
      event.events = EPOLLIN;
      event.data.u64 = i;
      if (::epoll_ctl(epoll.get(), EPOLL_CTL_ADD, g_sockets[i].get(), &event) !=
          0) {
        return net::ErrnoStatus(errno, "epoll_ctl");
      }
    }
    std::array<epoll_event, 256> events;
    while (true) {
      const int n = ::epoll_wait(epoll.get(), events.data(),
                                 static_cast<int>(events.size()), -1);
      for (int i = 0; i < n; ++i) {
        Forward(events[static_cast<size_t>(i)].data.u64);
      }
    }
  }

 private:
  void Forward(uint64_t socket) {
    for (iovec& iov : iov_) iov.iov_len = kDatagramMax;
    const int n = ::recvmmsg(g_sockets[socket].get(), messages_.data(), kBatch,
                             MSG_DONTWAIT, nullptr);
    if (n <= 0) return;
    const auto count = static_cast<size_t>(n);
    for (size_t i = 0; i < count; ++i) iov_[i].iov_len = messages_[i].msg_len;
    size_t sent = 0;
    while (sent < count) {
      const int s =
          ::sendmmsg(g_sockets[socket ^ 1].get(), &messages_[sent],
                     static_cast<unsigned>(count - sent), MSG_DONTWAIT);
      // A refused datagram is gone, as on the wire.
      sent += s > 0 ? static_cast<size_t>(s) : 1;
    }
  }

  std::array<std::array<char, kDatagramMax>, kBatch> buffers_{};
  std::array<iovec, kBatch> iov_{};
  std::array<mmsghdr, kBatch> messages_{};
};

// The relay's own engine, which the relay's decisions and books are then
// measured against.
template <net::EngineLike Engine>
absl::Status RunOnEngine(const net::EngineOptions& options) {
  ASSIGN_OR_RETURN(auto engine, Engine::Create(options));
  RETURN_IF_ERROR(engine->Start());
  const auto receive = [](uint32_t socket) {
    return net::OpTag{
        .kind = net::OpTag::Kind::kReceive, .generation = 1, .socket = socket};
  };
  std::vector<uint32_t> to_arm;
  for (uint32_t i = 0; i < g_sockets.size(); ++i) {
    engine->Adopt(i, g_sockets[i].Release());
    to_arm.push_back(i);
  }
  while (true) {
    while (!to_arm.empty() && engine->ArmReceive(receive(to_arm.back()))) {
      to_arm.pop_back();
    }
    engine->SubmitAndWait(to_arm.empty() ? Micros::Seconds(1) : Micros(0));
    engine->ForEachCompletion([&](const net::Completion& c) {
      if (c.tag.kind == net::OpTag::Kind::kSend) {
        engine->Recycle(c.tag.buffer);
      }
      if (c.tag.kind != net::OpTag::Kind::kReceive) return;
      if (!c.more) to_arm.push_back(c.tag.socket);
      if (!c.has_buffer) return;
      const net::OpTag send{.kind = net::OpTag::Kind::kSend,
                            .generation = 1,
                            .socket = c.tag.socket ^ 1,
                            .buffer = c.tag.buffer};
      if (!engine->Send(send, static_cast<uint32_t>(c.payload.size()),
                        g_parties[send.socket])) {
        engine->Recycle(c.tag.buffer);
      }
    });
  }
}

absl::Status Run(const std::string& engine, uint32_t batch_wait_us) {
  const rlimit limit = {200'000, 200'000};
  setrlimit(RLIMIT_NOFILE, &limit);  // What is not granted shows at open.
  RETURN_IF_ERROR(
      OpenAll(std::string(std::istreambuf_iterator<char>(std::cin), {})));
  net::EngineOptions options;
  options.batch_wait_us = batch_wait_us;
  options.sockets = static_cast<uint32_t>(g_sockets.size());
  options.hold_files = net::UringEngine::CanHoldFiles();
  if (engine == "io_uring") return RunOnEngine<net::UringEngine>(options);
  if (engine == "epoll") return RunOnEngine<net::EpollEngine>(options);
  if (engine == "plain") return PlainForwarder().Run();
  return absl::InvalidArgumentError(
      "usage: forwarder io_uring|epoll|plain [batch_wait_us] < parties.json");
}

}  // namespace
}  // namespace sluice

int main(int argc, char** argv) {
  const absl::Status status =
      sluice::Run(argc > 1 ? argv[1] : "",
                  argc > 2 ? static_cast<uint32_t>(std::atoi(argv[2])) : 0);
  std::fprintf(stderr, "forwarder: %s\n", status.ToString().c_str());
  return 1;
}
