#ifndef SLUICE_CONTROL_HTTP_CODEC_H_
#define SLUICE_CONTROL_HTTP_CODEC_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "control/http_api.h"

namespace sluice::control {

inline constexpr size_t kHttpHeadBytesMax = 8 * 1024;
inline constexpr size_t kHttpBodyBytesMax = 4 * 1024;
// Of the answer to /v1/capture/ID: the number that /v1/capture shows.
inline constexpr const char* kCaptureHeader = "Sluice-Capture";

// How much of `buffer` is one whole HTTP/1.x request: head, empty line, and as
// much body as Content-Length says; 0 when more is needed. What is over a limit
// or cannot be read ends at once, so that Decode can say so.
int64_t HttpFrame(std::string_view buffer);

// A part of a body whose length is not known beforehand (RFC 9112 7.1); empty:
// its end.
void AppendChunk(std::string_view part, std::string* out);

// One HTTP request and its answer, bytes to bytes.
//
// cpp-httplib does the reading and writing of HTTP, but never touches a socket:
// its own loop gives a thread to every half-open client and uses select(2),
// which cannot take the descriptor numbers of a daemon with thousands of relay
// sockets. And it is shown only the headers we use: its readers of Range and
// multipart are regular expressions that recurse once a character, its readers
// of compressed bodies know no bound.
//
// Thread: one.
class HttpCodec {
 public:
  using Handler = std::function<ApiResponse(const ApiRequest&)>;

  explicit HttpCodec(Handler handler);
  ~HttpCodec();

  // What is known of the door that a request came in by.
  struct Door {
    bool loopback_tcp = false;
    bool control_socket = false;
  };
  struct Reply {
    std::string octets{};  // never empty
    // Where the body goes on: each part of it as AppendChunk makes it, and one
    // of no octets at the end. Null: `octets` is all.
    std::shared_ptr<CaptureStream> stream{};
  };
  // The answer to `request`, which HttpFrame found whole. The connection ends
  // with it: no client may hold one for nothing.
  Reply Answer(std::string_view request, const Door& door);

 private:
  class Server;
  std::unique_ptr<Server> server_;
};

}  // namespace sluice::control

#endif  // SLUICE_CONTROL_HTTP_CODEC_H_
