#include "control/http_codec.h"

#include <httplib.h>

#include <algorithm>
#include <charconv>
#include <memory>
#include <string>
#include <system_error>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "control/json_view.h"
#include "nlohmann/json.hpp"

namespace sluice::control {
namespace {

constexpr std::string_view kEndOfHead = "\r\n\r\n";

// What we understood of a head, before the library sees it.
struct Head {
  int refused = 0;  // the status to answer with; 0: go on
  const char* why = "";
  std::string text{};  // request line, the headers we use, empty line
  size_t bytes = 0;    // of the head as it came
  size_t body_bytes = 0;
};

// `name` is `lower` in any case (RFC 9110 5.1).
bool Is(std::string_view name, std::string_view lower) {
  return std::equal(name.begin(), name.end(), lower.begin(), lower.end(),
                    [](char a, char b) { return absl::ascii_tolower(a) == b; });
}

std::string_view Trim(std::string_view text) {
  const size_t first = text.find_first_not_of(" \t");
  if (first == std::string_view::npos) return "";
  return text.substr(first, text.find_last_not_of(" \t") - first + 1);
}

// Adds one header line to `head`; false when it refuses the request.
// `length_seen`: a Content-Length came before.
bool ReadHeader(std::string_view line, bool* length_seen, Head* head) {
  const auto refuse = [head](int status, const char* why) {
    head->refused = status;
    head->why = why;
    return false;
  };
  const size_t colon = line.find(':');
  // RFC 9112 5.1 and 5.2: blanks before the colon and folded lines are how one
  // header is read as another.
  if (colon == std::string_view::npos || colon == 0 ||
      line.substr(0, colon).find_first_of(" \t") != std::string_view::npos) {
    return refuse(400, "a header line without a name");
  }
  const std::string_view name = line.substr(0, colon);
  const std::string_view value = Trim(line.substr(colon + 1));
  if (Is(name, "transfer-encoding")) {
    return refuse(501, "send the body with a Content-Length");
  }
  if (Is(name, "content-length")) {
    if (std::exchange(*length_seen, true) || value.empty() ||
        value.find_first_not_of("0123456789") != std::string_view::npos) {
      return refuse(400, "a bad Content-Length");
    }
    const auto read = std::from_chars(value.data(), value.data() + value.size(),
                                      head->body_bytes);
    if (read.ec != std::errc() || head->body_bytes > kHttpBodyBytesMax) {
      return refuse(413, "the body is too long");
    }
  } else if (!Is(name, "host") && !Is(name, "origin")) {
    return true;
  }
  head->text.append(name).append(": ").append(value).append("\r\n");
  return true;
}

// `buffer` holds a whole head (it has kEndOfHead).
Head ReadHead(std::string_view buffer) {
  Head head;
  head.bytes = buffer.find(kEndOfHead) + kEndOfHead.size();
  // The lines, each with its CRLF.
  std::string_view lines = buffer.substr(0, head.bytes - 2);
  bool length_seen = false;
  for (bool first = true; !lines.empty(); first = false) {
    const size_t end = lines.find("\r\n");
    const std::string_view line = lines.substr(0, end);
    lines.remove_prefix(end + 2);
    // RFC 9112 2.2: a bare CR or LF is a line to one reader and none to the
    // next. NUL is in no request of ours.
    if (line.find_first_of(std::string_view("\r\n\0", 3)) !=
        std::string_view::npos) {
      head.refused = 400;
      head.why = "a control character in the head";
      return head;
    }
    if (first) {
      head.text.append(line).append("\r\n");
    } else if (!ReadHeader(line, &length_seen, &head)) {
      return head;
    }
  }
  head.text += "\r\n";
  return head;
}

// A request in memory and room for its answer, as the library wants them.
class MemoryStream final : public httplib::Stream {
 public:
  explicit MemoryStream(std::string_view in) : in_(in) {}
  std::string Take() { return std::move(out_); }

  bool is_readable() const override { return !in_.empty(); }
  bool is_writable() const override { return true; }
  ssize_t read(char* to, size_t size) override {
    const size_t n = in_.copy(to, size);
    in_.remove_prefix(n);
    return static_cast<ssize_t>(n);
  }
  ssize_t write(const char* from, size_t size) override {
    out_.append(from, size);
    return static_cast<ssize_t>(size);
  }
  void get_remote_ip_and_port(std::string&, int&) const override {}
  void get_local_ip_and_port(std::string&, int&) const override {}
  socket_t socket() const override { return INVALID_SOCKET; }

 private:
  std::string_view in_;
  std::string out_;
};

std::string StreamHead(const CaptureStream& stream,
                       const std::string& content_type) {
  return absl::StrCat("HTTP/1.1 200 OK\r\nContent-Type: ", content_type,
                      "\r\nTransfer-Encoding: chunked\r\n", kCaptureHeader,
                      ": ", stream.number(),
                      "\r\nCache-Control: no-store\r\n"
                      "X-Content-Type-Options: nosniff\r\n"
                      "Connection: close\r\n\r\n");
}

void Fill(const ApiResponse& from, httplib::Response* to) {
  to->status = from.status;
  to->set_content(from.body, from.content_type);
  // What the relay says of its calls is nobody's to keep or to guess at.
  to->set_header("Cache-Control", "no-store");
  to->set_header("X-Content-Type-Options", "nosniff");
  if (!from.allow.empty()) to->set_header("Allow", from.allow);
}

}  // namespace

class HttpCodec::Server final : public httplib::Server {
 public:
  explicit Server(HttpCodec::Handler handler) : handler_(std::move(handler)) {
    // Everything is decided before the library's own routing, whose patterns
    // are regular expressions run on the peer's path. Only bodies are read
    // there, of paths that are one of ours.
    set_pre_routing_handler(
        [this](const httplib::Request& in, httplib::Response& out) {
          if (in.method == "POST" && in.has_header("Content-Length") &&
              (in.target == "/v1/drain" || in.target == "/v1/offload" ||
               in.target == "/v1/reload")) {
            return HandlerResponse::Unhandled;
          }
          Handle(in, out);
          return HandlerResponse::Handled;
        });
    const auto handle = [this](const httplib::Request& in,
                               httplib::Response& out) { Handle(in, out); };
    Post("/v1/drain", handle);
    Post("/v1/offload", handle);
    Post("/v1/reload", handle);
    // What the library refuses itself has no body yet.
    set_error_handler([](const httplib::Request&, httplib::Response& out) {
      if (out.body.empty()) {
        Fill({.status = out.status,
              .body = Dump(ErrorJson("the request could not be read"))},
             &out);
      }
    });
  }

  Reply Answer(std::string_view head, std::string_view body, const Door& door) {
    door_ = door;
    const std::string request = std::string(head).append(body);
    MemoryStream stream(request);
    bool closed = false;
    process_request(stream, /*close_connection=*/true, closed, nullptr);
    if (stream_ != nullptr) {
      return {.octets = StreamHead(*stream_, content_type_),
              .stream = std::move(stream_)};
    }
    return {.octets = stream.Take()};
  }

 private:
  void Handle(const httplib::Request& in, httplib::Response& out) {
    ApiResponse answer = handler_({.method = in.method,
                                   .target = in.target,
                                   .body = in.body,
                                   .host = in.get_header_value("Host"),
                                   .origin = in.get_header_value("Origin"),
                                   .loopback_tcp = door_.loopback_tcp,
                                   .control_socket = door_.control_socket});
    if (answer.stream != nullptr && in.version == "HTTP/1.0") {
      answer = {.status = 505,
                .body = Dump(ErrorJson(
                    "a capture comes in chunks, which HTTP/1.0 has not"))};
    }
    Fill(answer, &out);
    // What the library makes of it is thrown away: it knows bodies that come
    // later only where it has the socket.
    stream_ = std::move(answer.stream);
    content_type_ = std::move(answer.content_type);
  }

  HttpCodec::Handler handler_;
  // Of the request at hand.
  Door door_{};
  std::shared_ptr<CaptureStream> stream_;
  std::string content_type_;
};

void AppendChunk(std::string_view part, std::string* out) {
  absl::StrAppend(out, absl::Hex(part.size()), "\r\n");
  out->append(part).append("\r\n");
}

int64_t HttpFrame(std::string_view buffer) {
  const auto all = static_cast<int64_t>(buffer.size());
  const size_t end = buffer.substr(0, kHttpHeadBytesMax).find(kEndOfHead);
  if (end == std::string_view::npos) {
    return buffer.size() >= kHttpHeadBytesMax ? all : 0;
  }
  const Head head = ReadHead(buffer);
  if (head.refused != 0) return all;
  const size_t need = head.bytes + head.body_bytes;
  return buffer.size() < need ? 0 : static_cast<int64_t>(need);
}

HttpCodec::HttpCodec(Handler handler)
    : server_(std::make_unique<Server>(std::move(handler))) {}
HttpCodec::~HttpCodec() = default;

HttpCodec::Reply HttpCodec::Answer(std::string_view request, const Door& door) {
  Head head{.refused = 431, .why = "the head is too long"};
  if (request.substr(0, kHttpHeadBytesMax).find(kEndOfHead) !=
      std::string_view::npos) {
    head = ReadHead(request);
  }
  Reply answer;
  if (head.refused == 0) {
    answer = server_->Answer(head.text,
                             request.substr(head.bytes, head.body_bytes), door);
  }
  if (!answer.octets.empty()) return answer;
  const int status = head.refused != 0 ? head.refused : 400;
  const std::string body = Dump(ErrorJson(
      head.refused != 0 ? head.why : "the request could not be read"));
  return {.octets = absl::StrCat("HTTP/1.1 ", status, " Refused\r\n",
                                 "Content-Type: application/json\r\n",
                                 "Content-Length: ", body.size(), "\r\n",
                                 "Connection: close\r\n\r\n", body)};
}

}  // namespace sluice::control
