#include "control/http_api.h"

#include <algorithm>
#include <charconv>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <type_traits>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/address.h"
#include "base/clock.h"
#include "control/json_view.h"
#include "control/metrics.h"
#include "control/pcap.h"
#include "nlohmann/json.hpp"
#include "sip/uri.h"

namespace sluice::control {
namespace {

constexpr Micros kStuckFor = Micros::Seconds(1);
constexpr std::string_view kCallPrefix = "/v1/calls/";
constexpr std::string_view kTracePrefix = "/v1/trace/";
constexpr std::string_view kCapture = "/v1/capture";
constexpr std::string_view kCapturePrefix = "/v1/capture/";

// The one place a Status becomes an HTTP status code (RFC 9110 15).
int HttpCode(absl::StatusCode code) {
  switch (code) {
    case absl::StatusCode::kOk: return 200;
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kOutOfRange: return 400;
    case absl::StatusCode::kPermissionDenied:
    case absl::StatusCode::kUnauthenticated: return 403;
    case absl::StatusCode::kNotFound: return 404;
    case absl::StatusCode::kAlreadyExists:
    case absl::StatusCode::kAborted:
    case absl::StatusCode::kFailedPrecondition: return 409;
    case absl::StatusCode::kUnimplemented: return 501;
    case absl::StatusCode::kUnavailable:
    case absl::StatusCode::kCancelled:
    case absl::StatusCode::kResourceExhausted: return 503;
    case absl::StatusCode::kDeadlineExceeded: return 504;
    default: return 500;
  }
}

ApiResponse Error(int status, std::string_view message) {
  return {.status = status, .body = Dump(ErrorJson(message))};
}
ApiResponse Error(const absl::Status& status) {
  return Error(HttpCode(status.code()), std::string(status.message()));
}
ApiResponse Ok(const Json& json) { return {.body = Dump(json)}; }
ApiResponse Text(int status, std::string body) {
  return {.status = status,
          .content_type = "text/plain; charset=utf-8",
          .body = std::move(body)};
}

// Everything there is to ask for, in the order of the page at "/".
struct Route {
  std::string_view path;     // one that ends in '/' stands for all below it
  std::string_view methods;  // as Allow (RFC 9110 10.2.1) lists them
  std::string_view what;
};
constexpr std::string_view kRead = "GET, HEAD";
constexpr Route kRoutes[] = {
    {"/", kRead, "this list"},
    {"/metrics", kRead, "every counter, for Prometheus"},
    {"/healthz", kRead, "200 while the daemon answers"},
    {"/readyz", kRead, "200 while it takes new calls"},
    {"/v1/status", kRead, "what runs and how full it is"},
    {"/v1/stats", kRead, "every counter by shard"},
    {"/v1/calls", kRead, "calls, oldest first; ?offset=N&limit=N"},
    {kCallPrefix, "GET, HEAD, DELETE", "one call by its ID; DELETE ends it"},
    {"/v1/legs", kRead, "SIP: legs, their listeners and counters"},
    {"/v1/registrations", kRead,
     "SIP: who is where; ?aor=USER@DOMAIN&offset=N&limit=N"},
    {kTracePrefix, kRead, "SIP: the last messages of a call by its ID"},
    {kCapture, "GET, HEAD, DELETE",
     "the capture that runs, or the last one; DELETE ends it"},
    {kCapturePrefix, "GET",
     "a call's packets, as a pcap; ?seconds=N&bytes=N; control socket only"},
    {"/v1/drain", "POST",
     R"({"on": true} refuses new calls, false takes them)"},
    {"/v1/offload", "POST",
     R"({"on": false} brings all media back to the sockets)"},
    {"/v1/reload", "POST", "reads the configuration file again"},
};

bool IsPrefix(const Route& route) {
  return route.path.size() > 1 && route.path.ends_with('/');
}

// The methods a path takes; empty: there is no such path.
std::string_view Allowed(std::string_view path) {
  for (const Route& route : kRoutes) {
    if (path == route.path ||
        (IsPrefix(route) && path.starts_with(route.path))) {
      return route.methods;
    }
  }
  return "";
}

// For who opens the address in a browser to see what is there.
std::string Index() {
  std::string page = "sluiced " SLUICE_VERSION "\n\n";
  for (const Route& route : kRoutes) {
    const std::string path =
        absl::StrCat(std::string(route.path), IsPrefix(route) ? "ID" : "");
    absl::StrAppendFormat(&page, "%-18s %-18s %s\n", std::string(route.methods),
                          path, std::string(route.what));
  }
  return page;
}

bool IsAllowed(std::string_view allowed, std::string_view method) {
  while (!allowed.empty()) {
    const size_t comma = allowed.find(", ");
    if (allowed.substr(0, comma) == method) return true;
    if (comma == std::string_view::npos) return false;
    allowed.remove_prefix(comma + 2);
  }
  return false;
}

// A Host header that names an address or this machine, and so cannot be a name
// that somebody else's DNS points here.
bool IsLocalHost(std::string_view host) {
  if (host.empty() || host == "localhost" || host.starts_with("localhost:") ||
      Endpoint::Parse(host) || IpAddress::Parse(host)) {
    return true;
  }
  return host.starts_with('[') && host.ends_with(']') &&
         IpAddress::Parse(host.substr(1, host.size() - 2)).has_value();
}

// Why a browser's request is refused; empty: it is not.
std::string_view Foreign(const ApiRequest& request) {
  if (request.loopback_tcp && !IsLocalHost(request.host)) {
    return "this listener answers to an address or localhost, not to a name";
  }
  const bool reads = request.method == "GET" || request.method == "HEAD";
  if (!reads && !request.origin.empty() &&
      request.origin != "http://" + request.host) {
    return "refused: the request comes from another site's page";
  }
  return "";
}

// The text behind `name=` in the query; nullopt when it is not there.
std::optional<std::string_view> QueryText(std::string_view query,
                                          std::string_view name) {
  while (!query.empty()) {
    const size_t end = std::min(query.find('&'), query.size());
    const std::string_view pair = query.substr(0, end);
    query.remove_prefix(std::min(end + 1, query.size()));
    if (pair.starts_with(name) && pair.substr(name.size(), 1) == "=") {
      return pair.substr(name.size() + 1);
    }
  }
  return std::nullopt;
}

// A number in the query; `fallback` when it is not there, nullopt when it is
// no number.
std::optional<uint64_t> QueryNumber(std::string_view query,
                                    std::string_view name, uint64_t fallback) {
  const auto text = QueryText(query, name);
  if (!text) return fallback;
  uint64_t value = 0;
  const char* const end = text->data() + text->size();
  const auto [stop, error] = std::from_chars(text->data(), end, value);
  if (error != std::errc() || stop != end) return std::nullopt;
  return value;
}

// Which part of a list is asked for.
struct Part {
  uint64_t offset = 0;
  uint64_t limit = 0;
};
absl::StatusOr<Part> QueryPart(std::string_view query) {
  const auto offset = QueryNumber(query, "offset", 0);
  const auto limit = QueryNumber(query, "limit", kCallsPerPageDefault);
  if (!offset) return absl::InvalidArgumentError("offset is not a number");
  if (!limit || *limit == 0 || *limit > kCallsPerPageMax) {
    return absl::InvalidArgumentError(
        absl::StrCat("limit is not a number of 1..", kCallsPerPageMax));
  }
  return Part{.offset = *offset, .limit = *limit};
}

// The call that a path's last segment names.
absl::StatusOr<std::string> CallId(std::string_view segment) {
  auto id = PercentDecode(segment);
  if (!id || id->empty()) {
    return absl::InvalidArgumentError(
        "the call's id is not percent-encoded octets");
  }
  return *std::move(id);
}

// "alice@Example.com" as the registrar's key of it; "" of no text.
absl::StatusOr<std::string> QueryAor(std::string_view query) {
  const auto text = PercentDecode(QueryText(query, "aor").value_or(""));
  if (text && text->empty()) return "";
  if (text) {
    const auto uri = sip::Uri::Parse(*text);
    std::string aor = uri ? sip::AddressOfRecord(*uri) : "";
    if (aor.empty()) {  // without its scheme
      const std::string whole = "sip:" + *text;
      const auto again = sip::Uri::Parse(whole);
      aor = again ? sip::AddressOfRecord(*again) : "";
    }
    if (!aor.empty()) return aor;
  }
  return absl::InvalidArgumentError(
      "aor is no address-of-record, as alice@example.com");
}

}  // namespace

template <typename Ask>
auto HttpApi::AskControl(Micros now, Ask&& ask) -> decltype(ask()) {
  if (now < stuck_until_) {
    return absl::DeadlineExceededError(
        "the control thread did not answer a moment ago");
  }
  auto answer = ask();
  absl::Status status;
  if constexpr (std::is_same_v<decltype(answer), absl::Status>) {
    status = answer;
  } else {
    status = answer.status();
  }
  // Counted from now on, not from when the question was put.
  if (absl::IsDeadlineExceeded(status)) {
    stuck_until_ = SystemClock::Now() + kStuckFor;
  }
  return answer;
}

ApiResponse HttpApi::Answer(const ApiRequest& request, Micros now) {
  std::string_view path = request.target;
  std::string_view query;
  if (const size_t mark = path.find('?'); mark != std::string_view::npos) {
    query = path.substr(mark + 1);
    path = path.substr(0, mark);
  }
  const std::string_view allowed = Allowed(path);
  if (allowed.empty()) return Error(404, "no such path: " + std::string(path));
  if (!IsAllowed(allowed, request.method)) {
    ApiResponse response =
        Error(405, std::string(path) + " takes " + std::string(allowed) +
                       ", not " + request.method);
    response.allow = std::string(allowed);
    return response;
  }
  if (const std::string_view why = Foreign(request); !why.empty()) {
    return Error(403, why);
  }
  if (request.method == "POST") {
    if (path == "/v1/reload") return Reload(now);
    return path == "/v1/drain" ? Drain(request.body, now)
                               : Offload(request.body, now);
  }
  if (request.method == "DELETE") {
    if (path == kCapture) return StopCapture(now);
    return Close(path.substr(kCallPrefix.size()), now);
  }
  return Get(request, path, query, now);
}

ApiResponse HttpApi::Get(const ApiRequest& request, std::string_view path,
                         std::string_view query, Micros now) {
  if (path == "/") return Text(200, Index());
  if (path == "/healthz") return Healthz(now);
  if (path == "/readyz") return Readyz(now);
  if (path == "/v1/stats") return Ok(StatsToJson(api_, now));
  if (path == "/v1/calls") return Calls(query, now);
  if (path == "/metrics") {
    const auto status = AskControl(now, [this] { return api_.Status(); });
    const auto sip = AskControl(now, [this] { return api_.SipNumbers(); });
    ApiResponse response =
        Text(200, RenderMetrics(api_, status, sip, start_time_s_));
    response.content_type = "text/plain; version=0.0.4; charset=utf-8";
    return response;
  }
  if (path == "/v1/status") {
    const auto status = AskControl(now, [this] { return api_.Status(); });
    return status.ok() ? Ok(ToJson(*status, api_.ready()))
                       : Error(status.status());
  }
  if (path == "/v1/legs") {
    const auto legs = AskControl(now, [this] { return api_.Legs(); });
    return legs.ok() ? Ok(ToJson(*legs)) : Error(legs.status());
  }
  if (path == "/v1/registrations") return Registrations(query, now);
  if (path.starts_with(kTracePrefix)) {
    return Trace(path.substr(kTracePrefix.size()), now);
  }
  if (path == kCapture) return LastCapture(now);
  if (path.starts_with(kCapturePrefix)) {
    if (!request.control_socket) {
      return Error(403,
                   "media is copied by the control socket only, which belongs "
                   "to the daemon's own user");
    }
    return StartCapture(path.substr(kCapturePrefix.size()), query, now);
  }
  return Call(path.substr(kCallPrefix.size()), now);
}

ApiResponse HttpApi::StartCapture(std::string_view id, std::string_view query,
                                  Micros now) {
  auto call_id = CallId(id);
  if (!call_id.ok()) return Error(call_id.status());
  const auto seconds =
      QueryNumber(query, "seconds", CaptureRequest::kSecondsDefault);
  if (!seconds || *seconds == 0 || *seconds > CaptureRequest::kSecondsMax) {
    return Error(400, absl::StrCat("seconds is not a number of 1..",
                                   CaptureRequest::kSecondsMax));
  }
  const auto bytes = QueryNumber(query, "bytes", CaptureRequest::kBytesDefault);
  if (!bytes || *bytes == 0) return Error(400, "bytes is not a number of 1..");
  auto stream = AskControl(now, [&] {
    return api_.StartCapture(
        {.call_id = *std::move(call_id), .seconds = *seconds, .bytes = *bytes});
  });
  if (!stream.ok()) return Error(stream.status());
  return {.content_type = kPcapContentType, .stream = *std::move(stream)};
}

ApiResponse HttpApi::StopCapture(Micros now) {
  const auto view = AskControl(now, [this] { return api_.StopCapture(); });
  return view.ok() ? Ok(ToJson(*view)) : Error(view.status());
}

ApiResponse HttpApi::LastCapture(Micros now) {
  const auto view = AskControl(now, [this] { return api_.LastCapture(); });
  return view.ok() ? Ok(ToJson(*view)) : Error(view.status());
}

ApiResponse HttpApi::Call(std::string_view id, Micros now) {
  const auto call_id = CallId(id);
  if (!call_id.ok()) return Error(call_id.status());
  const auto call = AskControl(now, [&] { return api_.Call(*call_id); });
  return call.ok() ? Ok(ToJson(*call, now)) : Error(call.status());
}

ApiResponse HttpApi::Registrations(std::string_view query, Micros now) {
  const auto part = QueryPart(query);
  if (!part.ok()) return Error(part.status());
  const auto aor = QueryAor(query);
  if (!aor.ok()) return Error(aor.status());
  const auto page = AskControl(
      now, [&] { return api_.Registrations(*aor, part->offset, part->limit); });
  return page.ok() ? Ok(ToJson(*page, part->offset, part->limit))
                   : Error(page.status());
}

ApiResponse HttpApi::Trace(std::string_view id, Micros now) {
  const auto call_id = CallId(id);
  if (!call_id.ok()) return Error(call_id.status());
  const auto messages = AskControl(now, [&] { return api_.Trace(*call_id); });
  return messages.ok() ? Ok(ToJson(*messages, *call_id, now))
                       : Error(messages.status());
}

ApiResponse HttpApi::Healthz(Micros now) {
  const auto status = AskControl(now, [this] { return api_.Status(); });
  if (status.ok()) return Text(200, "ok\n");
  return Text(503,
              absl::StrCat("not healthy: ", status.status().message(), "\n"));
}

ApiResponse HttpApi::Readyz(Micros now) {
  const auto status = AskControl(now, [this] { return api_.Status(); });
  if (!status.ok()) {
    return Text(503,
                absl::StrCat("not ready: ", status.status().message(), "\n"));
  }
  if (status->manager.draining) return Text(503, "not ready: draining\n");
  if (!api_.ready()) return Text(503, "not ready: starting\n");
  return Text(200, "ready\n");
}

ApiResponse HttpApi::Calls(std::string_view query, Micros now) {
  const auto part = QueryPart(query);
  if (!part.ok()) return Error(part.status());
  const auto page =
      AskControl(now, [&] { return api_.Calls(part->offset, part->limit); });
  return page.ok() ? Ok(ToJson(*page, part->offset, part->limit, now))
                   : Error(page.status());
}

ApiResponse HttpApi::Close(std::string_view id, Micros now) {
  const auto call_id = CallId(id);
  if (!call_id.ok()) return Error(call_id.status());
  const auto closed = AskControl(now, [&] { return api_.Close(*call_id); });
  return closed.ok() ? Ok({{"closed", *closed}}) : Error(closed.status());
}

ApiResponse HttpApi::Drain(std::string_view body, Micros now) {
  return Switch(body, now, "draining",
                [this](bool on) { return api_.Drain(on); });
}

ApiResponse HttpApi::Offload(std::string_view body, Micros now) {
  return Switch(body, now, "offload",
                [this](bool on) { return api_.Offload(on); });
}

ApiResponse HttpApi::Switch(std::string_view body, Micros now, const char* what,
                            const std::function<absl::Status(bool)>& turn) {
  const Json json = Json::parse(body, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object() || !json.contains("on") || !json["on"].is_boolean()) {
    return Error(400, R"(the body must be {"on": true} or {"on": false})");
  }
  const bool on = json["on"].get<bool>();
  const absl::Status status = AskControl(now, [&] { return turn(on); });
  return status.ok() ? Ok({{what, on}}) : Error(status);
}

ApiResponse HttpApi::Reload(Micros now) {
  const auto changed = AskControl(now, [this] { return api_.Reload(); });
  return changed.ok() ? Ok({{"reloaded", SafeText(*changed)}})
                      : Error(changed.status());
}

}  // namespace sluice::control
