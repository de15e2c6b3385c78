#ifndef SLUICE_CONTROL_HTTP_SERVER_H_
#define SLUICE_CONTROL_HTTP_SERVER_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "base/address.h"
#include "base/types.h"
#include "control/operator_api.h"

namespace sluice::control {

struct HttpOptions {
  std::string tcp_listen;  // "ip:port" or "[v6]:port"; "": off
  std::string unix_path;   // mode 0600; "": off
  // First octet of a request to its last.
  Micros request_timeout = Micros::Seconds(5);
  int max_connections = 64;  // of each listener
};

// The operator's door: metrics, health and the JSON API, by TCP and by a UNIX
// socket, the same routes on both.
//
//   operator --HTTP--> [ own thread: EventLoop, StreamServer, HttpCodec ]
//                         | reads shards' counters (relaxed)
//                         | OperatorApi --queue--> control thread
//
// Sockets are never waited for: a client that says nothing, reads nothing or
// dribbles costs a connection of a bounded number and a deadline, and the
// oldest silent one makes room for a new one. Only the control thread is waited
// for, as long as OperatorApi says.
//
// Thread: made and destroyed on one thread; serves on its own.
// Owns: listeners, the UNIX socket's file.
class HttpServer {
 public:
  // `api` must outlive the server.
  static absl::StatusOr<std::unique_ptr<HttpServer>> Start(
      const HttpOptions& options, OperatorApi& api);
  ~HttpServer();
  HttpServer(const HttpServer&) = delete;
  HttpServer& operator=(const HttpServer&) = delete;

  // Where it listens really; none when TCP is off.
  const Endpoint& tcp_endpoint() const;

 private:
  struct Impl;
  explicit HttpServer(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace sluice::control

#endif  // SLUICE_CONTROL_HTTP_SERVER_H_
