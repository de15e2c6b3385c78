#ifndef SLUICE_CONTROL_HTTP_API_H_
#define SLUICE_CONTROL_HTTP_API_H_

#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "base/types.h"
#include "control/capture_stream.h"
#include "control/operator_api.h"

namespace sluice::control {

// One request to the operator's API, taken out of HTTP.
struct ApiRequest {
  std::string method{};
  std::string target{};  // as sent: path, and query behind '?'
  std::string body{};
  std::string host{};    // the Host header; empty: none
  std::string origin{};  // the Origin header: only a browser sends it
  // It came by a TCP listener on a loopback address.
  bool loopback_tcp = false;
  // It came by the control socket, which only its user and root may open.
  bool control_socket = false;
};

struct ApiResponse {
  int status = 200;
  std::string content_type = "application/json";
  std::string body{};
  std::string allow{};  // with 405: the methods the path takes
  // Instead of a body: it comes as time goes by.
  std::shared_ptr<CaptureStream> stream{};
};

inline constexpr size_t kCallsPerPageDefault = 100;
inline constexpr size_t kCallsPerPageMax = 1000;

// The operator's API: what each path does. No sockets and no HTTP in here.
//
//   GET    /  /metrics  /healthz  /readyz
//   GET    /v1/status  /v1/stats  /v1/calls?offset=&limit=  /v1/calls/ID
//   GET    /v1/legs  /v1/registrations?aor=&offset=&limit=  /v1/trace/ID
//   GET    /v1/capture              the capture that runs, or the last one
//   GET    /v1/capture/ID?seconds=&bytes=   the call's packets, as a pcap
//   DELETE /v1/calls/ID             close the call
//   DELETE /v1/capture              end the capture that runs
//   POST   /v1/drain {"on": bool}   /v1/offload {"on": bool}   /v1/reload
//
// ID and aor are percent-encoded octets; aor is "user@domain" or a SIP URI.
// Errors are {"error": "words"}.
//
// A web page that an operator happens to have open must not reach a daemon on
// its loopback address. So what changes something refuses a foreign Origin
// (cross-site request), and a loopback TCP listener refuses a Host that is a
// name (DNS rebinding). The UNIX socket has its file mode. What people say in a
// call is copied by that one only: any account of the machine may reach a
// loopback listener.
//
// Thread: one; not the control thread.
class HttpApi {
 public:
  // `start_time_s`: see RenderMetrics.
  HttpApi(OperatorApi& api, double start_time_s)
      : api_(api), start_time_s_(start_time_s) {}

  ApiResponse Answer(const ApiRequest& request, Micros now);

 private:
  ApiResponse Get(const ApiRequest& request, std::string_view path,
                  std::string_view query, Micros now);
  ApiResponse Healthz(Micros now);
  ApiResponse Readyz(Micros now);
  ApiResponse Calls(std::string_view query, Micros now);
  ApiResponse Call(std::string_view id, Micros now);
  ApiResponse Registrations(std::string_view query, Micros now);
  ApiResponse Trace(std::string_view id, Micros now);
  ApiResponse StartCapture(std::string_view id, std::string_view query,
                           Micros now);
  ApiResponse StopCapture(Micros now);
  ApiResponse LastCapture(Micros now);
  ApiResponse Close(std::string_view id, Micros now);
  ApiResponse Drain(std::string_view body, Micros now);
  ApiResponse Offload(std::string_view body, Micros now);
  // Turns what the body says, {"on": bool}.
  ApiResponse Switch(std::string_view body, Micros now, const char* what,
                     const std::function<absl::Status(bool)>& turn);
  ApiResponse Reload(Micros now);

  // Asks the control thread. One that did not answer is not waited for again
  // within kStuckFor: it would make everybody wait in a row, and what needs no
  // answer of it (/metrics, /v1/stats) with them.
  template <typename Ask>
  auto AskControl(Micros now, Ask&& ask) -> decltype(ask());

  OperatorApi& api_;
  const double start_time_s_;
  Micros stuck_until_{};
};

}  // namespace sluice::control

#endif  // SLUICE_CONTROL_HTTP_API_H_
