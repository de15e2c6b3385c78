#include "sip/reply.h"

#include <array>

#include "base/text.h"
#include "sip/fields.h"

namespace sluice::sip {

std::string TagOf(const Keys& keys, const Message& request,
                  std::string_view via) {
  const std::array<std::string_view, 3> parts = {
      request.call_id(), request.Value(HeaderId::kFrom), via};
  std::string tag = keys.Mac("tag", parts);
  tag.resize(16);
  return tag;
}

std::string ReplyHeaders(const Message& request, std::string_view via,
                         std::string_view to_tag) {
  std::string out;
  out.reserve(request.octets().size() - request.body().size() + via.size() +
              to_tag.size());
  bool top = true;
  request.ForEach(HeaderId::kVia, [&](std::string_view value) {
    Append(&out, "Via: ", top ? via : value, "\r\n");
    top = false;
    return true;
  });
  Append(&out, "From: ", request.Value(HeaderId::kFrom),
         "\r\nTo: ", request.Value(HeaderId::kTo));
  if (request.to() && request.to()->tag.empty()) {
    Append(&out, ";tag=", to_tag);
  }
  Append(&out, "\r\nCall-ID: ", request.call_id(),
         "\r\nCSeq: ", request.Value(HeaderId::kCSeq), "\r\n");
  return out;
}

std::string MakeReply(std::string_view headers, int code,
                      std::string_view reason, std::string_view extra) {
  return Cat("SIP/2.0 ", code, " ", reason, "\r\n", headers, extra,
             "Content-Length: 0\r\n\r\n");
}

std::string ViaWithSource(const Via& via, const Endpoint& source) {
  std::string_view host = via.host;
  if (host.size() > 2 && host.front() == '[') {
    host = host.substr(1, host.size() - 2);
  }
  const auto ip = IpAddress::Parse(host);
  const bool same = ip && *ip == source.ip;
  if (same && !via.rport && !via.received) return std::string(via.text);

  // Everything in front of the parameters as it came, then they, without the
  // two that are ours to write.
  constexpr size_t kOurs = sizeof(";received=;rport=65535") + 46;
  const std::string_view params = via.params.text();
  std::string out;
  out.reserve(via.text.size() + kOurs);
  out += via.text.substr(0, via.text.size() - params.size());
  via.params.ForEach([&](std::string_view name, std::string_view value) {
    if (EqualsNoCase(name, "rport") || EqualsNoCase(name, "received")) {
      return;
    }
    Append(&out, ";", name);
    if (!value.empty()) Append(&out, "=", value);
  });
  Append(&out, ";received=", source.ip.ToString());
  if (via.rport) Append(&out, ";rport=", source.port.host());
  return out;
}

std::optional<Peer> PeerOfVia(const Via& via) {
  const auto transport = TransportOf(via.transport);
  const auto address = via.ResponseAddress();
  if (!transport || !address) return std::nullopt;
  return Peer{.transport = *transport, .address = *address};
}

std::string_view ReasonOf(int code) {
  switch (code) {
    case 180: return "Ringing";
    case 183: return "Session Progress";
    case 200: return "OK";
    case 302: return "Moved Temporarily";
    case 400: return "Bad Request";
    case 401: return "Unauthorized";
    case 403: return "Forbidden";
    case 404: return "Not Found";
    case 405: return "Method Not Allowed";
    case 407: return "Proxy Authentication Required";
    case 408: return "Request Timeout";
    case 413: return "Request Entity Too Large";
    case 415: return "Unsupported Media Type";
    case 416: return "Unsupported URI Scheme";
    case 420: return "Bad Extension";
    case 423: return "Interval Too Brief";
    case 480: return "Temporarily Unavailable";
    case 481: return "Call/Transaction Does Not Exist";
    case 482: return "Loop Detected";
    case 483: return "Too Many Hops";
    case 486: return "Busy Here";
    case 487: return "Request Terminated";
    case 488: return "Not Acceptable Here";
    case 491: return "Request Pending";
    case 500: return "Server Internal Error";
    case 503: return "Service Unavailable";
    case 504: return "Server Time-out";
    case 505: return "Version Not Supported";
    case 600: return "Busy Everywhere";
    case 603: return "Decline";
    default:
      return code < 200   ? "Progress"
             : code < 300 ? "OK"
             : code < 400 ? "Redirect"
             : code < 500 ? "Request Failure"
             : code < 600 ? "Server Failure"
                          : "Global Failure";
  }
}

}  // namespace sluice::sip
