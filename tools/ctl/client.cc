#include "tools/ctl/client.h"

#include <httplib.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <charconv>
#include <cstdlib>
#include <system_error>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/clock.h"
#include "base/net/fd.h"
#include "control/http_codec.h"
#include "control/runtime_folder.h"
#include "tools/ctl/text.h"

namespace sluice::ctl {
namespace {

constexpr int kHttpPort = 9080;  // of http.listen's default
constexpr size_t kRefusalBytesMax = 64 * 1024;
constexpr int kStopAgainMs = 50;

std::string Where(const Server& server) {
  return server.socket.empty() ? absl::StrCat(server.host, ":", server.port)
                               : server.socket;
}

std::optional<int> ParsePort(std::string_view text) {
  int port = 0;
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, port);
  if (error != std::errc() || stop != end || port < 1 || port > 65535) {
    return std::nullopt;
  }
  return port;
}

Reply CannotReach(const Server& server) {
  std::string why = "nobody answers there";
  struct stat file {};
  if (!server.socket.empty()) {
    if (::stat(server.socket.c_str(), &file) != 0) {
      why = errno == EACCES
                ? "permission denied; only sluiced's own user and root may ask"
                : "no such socket; does sluiced run, or does it listen "
                  "elsewhere (-s)?";
    } else if (!S_ISSOCK(file.st_mode)) {
      why = "that is no socket";
    } else if (::access(server.socket.c_str(), W_OK) != 0) {
      why = "permission denied; only sluiced's own user and root may ask";
    }
  }
  return {.code = kCannotReach,
          .error = absl::StrCat("cannot reach sluiced at ",
                                ShownText(Where(server)), ": ", why)};
}

ExitCode CodeOf(int http_status) {
  switch (http_status) {
    case 200: return kDone;
    case 404: return kNotFound;
    case 504: return kTimeout;
    default: return kRefused;
  }
}

Reply Read(const httplib::Response& response) {
  Reply reply{.code = CodeOf(response.status), .error = ""};
  reply.json = Json::parse(response.body, nullptr, /*allow_exceptions=*/false);
  if (reply.json.is_discarded() || !reply.json.is_object()) {
    return {.code = kRefused,
            .error = absl::StrCat("not an answer of sluiced (HTTP status ",
                                  response.status, ")")};
  }
  if (reply.code == kDone) return reply;
  const auto error = reply.json.find("error");
  reply.error = error != reply.json.end() && error->is_string()
                    ? Shown(*error)
                    : absl::StrCat("HTTP status ", response.status);
  return reply;
}

httplib::Client Connection(const Server& server, Micros timeout,
                           Micros read_timeout) {
  httplib::Client http(server.socket.empty() ? server.host : server.socket,
                       server.socket.empty() ? server.port : kHttpPort);
  if (!server.socket.empty()) http.set_address_family(AF_UNIX);
  const auto seconds = [](Micros time) { return time.us() / 1'000'000; };
  const auto rest = [](Micros time) { return time.us() % 1'000'000; };
  http.set_connection_timeout(seconds(timeout), rest(timeout));
  http.set_read_timeout(seconds(read_timeout), rest(read_timeout));
  http.set_write_timeout(seconds(timeout), rest(timeout));
  return http;
}

// The library cuts a path that is too long for an address without a word, and
// would reach another socket.
bool PathFits(const Server& server) {
  return server.socket.size() < sizeof(sockaddr_un{}.sun_path);
}

}  // namespace

std::optional<Server> ParseServer(std::string_view text) {
  if (text.starts_with("unix:")) {
    text.remove_prefix(5);
    if (text.empty()) return std::nullopt;
    return Server{.socket = std::string(text), .host = ""};
  }
  const bool url = text.starts_with("http://");
  if (url) {
    text.remove_prefix(7);
    if (text.ends_with('/')) text.remove_suffix(1);
  }
  if (text.empty() || text.find("://") != std::string_view::npos) {
    return std::nullopt;
  }
  if (text.find('/') != std::string_view::npos) {
    if (url) return std::nullopt;
    return Server{.socket = std::string(text), .host = ""};
  }
  Server server{.socket = "", .host = std::string(text), .port = kHttpPort};
  const size_t colon = text.rfind(':');
  const size_t bracket = text.rfind(']');
  const bool has_port = colon != std::string_view::npos &&
                        (bracket == std::string_view::npos || colon > bracket);
  if (has_port) {
    const auto port = ParsePort(text.substr(colon + 1));
    if (!port) return std::nullopt;
    server.port = *port;
    server.host = std::string(text.substr(0, colon));
  } else if (!url) {
    return std::nullopt;  // a bare word is neither a path nor an address
  }
  if (server.host.starts_with('[') && server.host.ends_with(']')) {
    server.host = server.host.substr(1, server.host.size() - 2);
  }
  if (server.host.empty()) return std::nullopt;
  return server;
}

std::string DefaultSocket() {
  return control::FindControlSocket(control::kSystemFolder,
                                    std::getenv("XDG_RUNTIME_DIR"));
}

Reply Client::Post(const std::string& path, const Json& body) const {
  return Ask("POST", path, body.dump());
}

Reply Client::Ask(const std::string& method, const std::string& path,
                  const std::string& body) const {
  if (!PathFits(server_)) return CannotReach(server_);
  httplib::Client http = Connection(server_, timeout_, timeout_);

  httplib::Request request;
  request.method = method;
  request.path = path;
  if (!server_.socket.empty()) request.set_header("Host", "localhost");
  if (method == "POST") {
    request.body = body;
    request.set_header("Content-Type", "application/json");
  }
  const Micros start = SystemClock::Now();
  const httplib::Result result = http.send(request);
  if (result) return Read(*result);
  // The library has one word for "closed" and "too slow".
  if (result.error() == httplib::Error::ConnectionTimeout ||
      SystemClock::Now() - start >= timeout_) {
    return {.code = kTimeout,
            .error = absl::StrCat("sluiced at ", ShownText(Where(server_)),
                                  " did not answer in time")};
  }
  return CannotReach(server_);
}

Reply Client::Stream(const std::string& path, Micros longest, int stop,
                     const std::function<bool(std::string_view)>& take) const {
  if (!PathFits(server_)) return CannotReach(server_);
  httplib::Client http = Connection(server_, timeout_, timeout_ + longest);
  httplib::Request request;
  request.method = "GET";
  request.path = path;
  if (!server_.socket.empty()) request.set_header("Host", "localhost");
  bool good = false, enough = false;
  std::string refusal;
  uint64_t number = 0;
  request.response_handler = [&](const httplib::Response& response) {
    good = response.status == 200;
    number = response.get_header_value<uint64_t>(control::kCaptureHeader);
    return true;
  };
  request.content_receiver = [&](const char* octets, size_t size, uint64_t,
                                 uint64_t) {
    const std::string_view part(octets, size);
    if (good) {
      enough = !take(part);
      return !enough;
    }
    refusal.append(part.substr(0, kRefusalBytesMax - refusal.size()));
    return true;
  };

  // The library looks at nothing but its socket, so somebody else has to look
  // at `stop`, and shuts the socket for it.
  const net::Fd over(eventfd(0, EFD_CLOEXEC));
  std::atomic<bool> stopped{false};
  std::thread watch([&, own = over.get()] {
    pollfd ends[] = {{.fd = own, .events = POLLIN, .revents = 0},
                     {.fd = stop, .events = POLLIN, .revents = 0}};
    while (::poll(ends, 2, -1) < 0 && errno == EINTR) continue;
    if (ends[0].revents != 0) return;
    stopped = true;
    // It ends with all that is there by now; if it does not, without.
    Delete("/v1/capture");
    if (::poll(ends, 1, static_cast<int>(timeout_.us() / 1000)) != 0) return;
    // It has no socket to shut before it is connected.
    do {
      http.stop();
      ends[0].revents = 0;
    } while (::poll(ends, 1, kStopAgainMs) == 0);
  });
  const httplib::Result result = http.send(request);
  const uint64_t one = 1;
  [[maybe_unused]] const ssize_t n = ::write(over.get(), &one, sizeof one);
  watch.join();

  if (!good && result) {
    httplib::Response response = *result;
    response.body = refusal;
    return Read(response);
  }
  if (good && (result || stopped || enough)) {
    return {.code = kDone, .error = "", .json = {{"capture", number}}};
  }
  if (good) {
    return {.code = kCannotReach,
            .error = absl::StrCat("sluiced at ", ShownText(Where(server_)),
                                  " went away meanwhile"),
            .json = {{"capture", number}}};
  }
  if (stopped) return {.code = kDone, .error = "", .json = {{"capture", 0}}};
  return CannotReach(server_);
}

}  // namespace sluice::ctl
