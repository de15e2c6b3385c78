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

// How much of `buffer` is one whole HTTP/1.x request: head, empty line, and as
// much body as Content-Length says; 0 when more is needed. What is over a limit
// or cannot be read ends at once, so that Decode can say so.
int64_t HttpFrame(std::string_view buffer);

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

  // The answer to `request`, which HttpFrame found whole. Never empty. The
  // connection ends with it: no client may hold one for nothing.
  std::string Answer(std::string_view request, bool loopback_tcp);

 private:
  class Server;
  std::unique_ptr<Server> server_;
};

}  // namespace sluice::control

#endif  // SLUICE_CONTROL_HTTP_CODEC_H_
