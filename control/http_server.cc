#include "control/http_server.h"

#include <time.h>
#include <unistd.h>

#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/clock.h"
#include "base/net/event_loop.h"
#include "base/net/socket.h"
#include "base/net/stream_server.h"
#include "base/status_macros.h"
#include "control/capture_stream.h"
#include "control/http_api.h"
#include "control/http_codec.h"

namespace sluice::control {
namespace {

constexpr int kBacklog = 64;
// A full page of calls, each with an id of some hundred octets, all of them
// escaped.
constexpr size_t kResponseBytesMax = 8 * 1024 * 1024;

double WallClockSeconds() {
  timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  return static_cast<double>(now.tv_sec) +
         static_cast<double>(now.tv_nsec) / 1e9;
}

class CaptureBody final : public net::StreamServer::Source {
 public:
  explicit CaptureBody(std::shared_ptr<CaptureStream> stream)
      : stream_(std::move(stream)) {}
  bool Read(std::string* out) override {
    std::string part;
    const bool more = stream_->Take(net::StreamServer::kSourceBytes, &part);
    if (!part.empty()) AppendChunk(part, out);
    if (!more) AppendChunk("", out);
    return more;
  }

 private:
  const std::shared_ptr<CaptureStream> stream_;
};

}  // namespace

struct HttpServer::Impl {
  explicit Impl(OperatorApi& operator_api)
      : api(operator_api, WallClockSeconds()),
        codec([this](const ApiRequest& request) {
          return api.Answer(request, SystemClock::Now());
        }) {}

  // One listener, one server: a flood on TCP takes no connection of the
  // operator's UNIX socket.
  std::unique_ptr<net::StreamServer> Serve(const HttpOptions& options,
                                           HttpCodec::Door door) {
    net::StreamServer::Options limits;
    limits.max_connections = options.max_connections;
    limits.max_frame_bytes = kHttpHeadBytesMax + kHttpBodyBytesMax;
    limits.max_write_bytes = kResponseBytesMax;
    limits.frame_timeout = options.request_timeout;
    limits.idle_timeout = options.request_timeout;
    return std::make_unique<net::StreamServer>(
        loop, limits, HttpFrame,
        [this, door](const net::StreamServer::Peer&,
                     std::string_view frame) -> net::StreamServer::Reply {
          HttpCodec::Reply reply = codec.Answer(frame, door);
          if (reply.stream == nullptr) return std::move(reply.octets);
          return {std::move(reply.octets),
                  std::make_unique<CaptureBody>(std::move(reply.stream))};
        },
        [](const net::StreamServer::Peer&) { return true; });
  }

  HttpApi api;
  HttpCodec codec;
  net::EventLoop loop;
  std::unique_ptr<net::StreamServer> tcp, local;  // before the loop goes
  Endpoint tcp_endpoint{};
  std::string unix_path;
  std::thread thread;
};

HttpServer::HttpServer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

absl::StatusOr<std::unique_ptr<HttpServer>> HttpServer::Start(
    const HttpOptions& options, OperatorApi& api) {
  auto server =
      std::unique_ptr<HttpServer>(new HttpServer(std::make_unique<Impl>(api)));
  Impl& impl = *server->impl_;
  if (!options.tcp_listen.empty()) {
    const auto endpoint = Endpoint::Parse(options.tcp_listen);
    if (!endpoint) {
      return absl::InvalidArgumentError(absl::StrCat(
          "http.listen: \"", options.tcp_listen, "\" is not ADDRESS:PORT"));
    }
    ASSIGN_OR_RETURN(net::Fd listener, net::ListenTcp(*endpoint, kBacklog));
    ASSIGN_OR_RETURN(impl.tcp_endpoint, net::LocalEndpoint(listener.get()));
    impl.tcp =
        impl.Serve(options, {.loopback_tcp = endpoint->ip.is_loopback()});
    RETURN_IF_ERROR(impl.tcp->Serve(std::move(listener)));
  }
  if (!options.unix_path.empty()) {
    ASSIGN_OR_RETURN(net::Fd listener,
                     net::ListenUnix(options.unix_path, 0600, kBacklog));
    impl.unix_path = options.unix_path;
    impl.local = impl.Serve(options, {.control_socket = true});
    RETURN_IF_ERROR(impl.local->Serve(std::move(listener)));
  }
  impl.thread = std::thread([&impl] { impl.loop.Run(); });
  return server;
}

HttpServer::~HttpServer() {
  if (impl_->thread.joinable()) {
    impl_->loop.Stop();
    impl_->thread.join();
  }
  if (!impl_->unix_path.empty()) ::unlink(impl_->unix_path.c_str());
}

const Endpoint& HttpServer::tcp_endpoint() const { return impl_->tcp_endpoint; }

}  // namespace sluice::control
