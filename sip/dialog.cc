#include "sip/dialog.h"

#include <algorithm>

#include "base/text.h"
#include "sip/fields.h"

namespace sluice::sip {
namespace {

// False: more than we take back in each of our requests.
bool TakeRoutes(const Message& message, std::vector<std::string>* routes) {
  routes->clear();
  size_t octets = 0;
  return message.ForEach(HeaderId::kRecordRoute, [&](std::string_view value) {
    octets += value.size();
    routes->emplace_back(value);
    return routes->size() <= Dialog::kRoutesMax &&
           octets <= Dialog::kRouteOctetsMax;
  });
}

// The one Contact of a request or response that makes a dialog.
std::string TargetOf(const Message& message) {
  const auto contact = NameAddr::Parse(message.Nth(HeaderId::kContact, 0));
  if (!contact || !contact->uri.is_sip()) return {};
  return std::string(WithoutHeaders(contact->uri));
}

}  // namespace

std::string WithoutTag(const NameAddr& value) {
  std::string out;
  if (!value.display.empty()) Append(&out, value.display, " ");
  Append(&out, "<", value.uri_text, ">");
  value.params.ForEach([&](std::string_view name, std::string_view text) {
    if (EqualsNoCase(name, "tag")) return;
    Append(&out, ";", name);
    if (!text.empty()) Append(&out, "=", text);
  });
  return out;
}

std::string_view WithoutHeaders(const Uri& uri) {
  return uri.headers.empty()
             ? uri.text
             : uri.text.substr(0, static_cast<size_t>(uri.headers.data() -
                                                      uri.text.data()) -
                                      1);
}

std::string ContactAt(std::string_view user, const Leg::Address& own,
                      Uri::Scheme scheme) {
  const bool sips =
      scheme == Uri::Scheme::kSips && own.transport == Transport::kTls;
  return Cat(sips ? "sips:" : "sip:", user, user.empty() ? "" : "@", own.host,
             ":", own.port,
             sips || own.transport == Transport::kUdp
                 ? std::string()
                 : Cat(";transport=", Lower(NameOf(own.transport))));
}

Uri::Scheme SchemeFor(std::string_view uri) {
  const auto parsed = Uri::Parse(uri);
  return parsed ? parsed->scheme : Uri::Scheme::kOther;
}

std::string_view UriOfRoute(std::string_view route) {
  const auto value = NameAddr::Parse(route);
  return value ? value->uri_text : std::string_view();
}

std::optional<Dialog> Dialog::Made(const Message& response) const {
  if (!response.to() || response.to()->tag.empty()) return std::nullopt;
  Dialog made = *this;
  made.remote_tag = std::string(response.to()->tag);
  made.remote = WithoutTag(*response.to());
  made.remote_target = TargetOf(response);
  if (made.remote_target.empty()) {
    // An early dialog without a Contact is one with nobody to speak with, yet
    // its final answer will say.
    if (response.status() >= 200) return std::nullopt;
    made.remote_target = remote_target;
  }
  if (!TakeRoutes(response, &made.routes)) return std::nullopt;
  std::reverse(made.routes.begin(), made.routes.end());
  return made;
}

std::optional<Dialog> Dialog::OfRequest(const Message& request,
                                        std::string_view local_tag) {
  Dialog made{.call_id = std::string(request.call_id()),
              .local_tag = std::string(local_tag),
              .remote_tag = std::string(request.from()->tag),
              .local = WithoutTag(*request.to()),
              .remote = WithoutTag(*request.from()),
              .remote_target = TargetOf(request),
              .routes = {},
              .local_cseq = 0,
              .remote_cseq = request.cseq()};
  if (made.remote_target.empty() || !TakeRoutes(request, &made.routes)) {
    return std::nullopt;
  }
  return made;
}

void Dialog::RefreshTarget(const Message& message) {
  std::string target = TargetOf(message);
  if (!target.empty()) remote_target = std::move(target);
}

bool Dialog::TakeCSeq(uint32_t cseq) {
  if (remote_cseq && cseq < *remote_cseq) return false;
  remote_cseq = cseq;
  return true;
}

bool Dialog::StrictRoute() const {
  if (routes.empty()) return false;
  const auto uri = Uri::Parse(UriOfRoute(routes.front()));
  return uri && !uri->Param("lr");
}

std::string_view Dialog::NextHop() const {
  return routes.empty() ? std::string_view(remote_target)
                        : UriOfRoute(routes.front());
}

std::string Dialog::RequestUri() const {
  return StrictRoute() ? std::string(UriOfRoute(routes.front()))
                       : remote_target;
}

OutgoingRequest Dialog::Request(std::string_view method, uint32_t cseq,
                                std::string_view headers, std::string_view body,
                                std::string_view uri) const {
  const std::string_view target = uri.empty() ? remote_target : uri;
  OutgoingRequest out{.method = std::string(method),
                      .uri = std::string(target),
                      .headers = {},
                      .call_id = call_id,
                      .body = std::string(body)};
  out.headers = "Max-Forwards: 70\r\n";
  if (!StrictRoute()) {
    for (const std::string& route : routes) {
      Append(&out.headers, "Route: ", route, "\r\n");
    }
  } else {
    out.uri = RequestUri();
    for (size_t i = 1; i < routes.size(); ++i) {
      Append(&out.headers, "Route: ", routes[i], "\r\n");
    }
    Append(&out.headers, "Route: <", target, ">\r\n");
  }
  Append(&out.headers, "From: ", local, ";tag=", local_tag, "\r\nTo: ", remote);
  if (!remote_tag.empty()) Append(&out.headers, ";tag=", remote_tag);
  Append(&out.headers, "\r\nCall-ID: ", call_id, "\r\nCSeq: ", cseq, " ",
         method, "\r\n", headers);
  return out;
}

}  // namespace sluice::sip
