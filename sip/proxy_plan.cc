// StatelessProxy: what is to be done with a request (checks, routes, tokens,
// targets, passage; RFC 3261 16.3 to 16.6).

#include <algorithm>

#include "base/text.h"
#include "sip/branch.h"
#include "sip/fields.h"
#include "sip/stateless_proxy.h"

namespace sluice::sip {

std::optional<StatelessProxy::Refuse> StatelessProxy::MakePlan(
    Incoming& in, Plan* plan) const {
  // A registrar may have changed it.
  plan->uri =
      in.uri == in.message.uri() ? in.message.parsed_uri() : Uri::Parse(in.uri);
  if (!plan->uri) return Refuse{.code = 400};
  if (auto no = CheckRequest(in, plan)) return no;
  plan->may_choose = MayChoose(in);
  if (auto no = FollowRoutes(in, plan)) return no;
  if (auto no = OpenToken(in, plan)) return no;
  if (in.target) {
    FollowTarget(in, plan);
  } else if (!plan->trusted && !plan->in_dialog) {
    // Inside a dialog the URI is a contact, not what somebody dialled.
    ApplyPrefixes(in, plan);
  }
  if (auto no = CheckPassage(in, plan)) return no;
  plan->branch = MakeBranch(keys_, in.leg.index, plan->loop.text(), in.message,
                            Via::Parse(in.via).value_or(Via{}));
  return std::nullopt;
}

// Anybody can write a From. One of ours is who has proved it, or comes in where
// nobody else can.
bool StatelessProxy::MayChoose(const Incoming& in) const {
  const Message& m = in.message;
  const bool of_invite =
      m.method() == Method::kCancel || m.method() == Method::kAck;
  return in.leg.trusted || !in.user.empty() ||
         (of_invite && admitted_.Has(m, in.from.address.ip, dispatcher_.now()));
}

void StatelessProxy::SetUri(Incoming& in, Plan* plan, std::string uri) {
  in.uri = std::move(uri);
  plan->uri = Uri::Parse(in.uri);
}

// A ping asks this proxy whether it is there.
bool StatelessProxy::IsPing(const Incoming& in, const Uri& uri) const {
  return in.message.method() == Method::kOptions && !uri.has_user &&
         dispatcher_.OwnerOf(uri) != nullptr;
}

// RFC 3261 16.3.
std::optional<StatelessProxy::Refuse> StatelessProxy::CheckRequest(
    const Incoming& in, Plan* plan) const {
  const Message& m = in.message;
  const Uri& uri = *plan->uri;
  if (!uri.is_sip()) return Refuse{.code = 416};
  if (m.max_forwards() == 0 && !IsPing(in, uri)) return Refuse{.code = 483};
  plan->max_forwards = m.max_forwards() < 0
                           ? kMaxForwards
                           : std::min(m.max_forwards(), kMaxForwards) - 1;
  if (m.Find(HeaderId::kProxyRequire) != nullptr) {
    std::string wanted;
    m.ForEach(HeaderId::kProxyRequire, [&](std::string_view option) {
      Append(&wanted, wanted.empty() ? "" : ", ", option);
      return true;
    });
    if (!wanted.empty()) {
      return Refuse{.code = 420, .extra = Cat("Unsupported: ", wanted, "\r\n")};
    }
  }
  plan->loop = LoopMark(m);
  const std::string_view loop = plan->loop.text();
  const bool fresh = m.ForEach(HeaderId::kVia, [&](std::string_view value) {
    // Any node of our kind has the same mark for it, at its own address.
    if (value.find(loop) == std::string_view::npos) return true;
    const auto via = Via::Parse(value);
    const auto branch = via ? Branch::Parse(via->branch) : std::nullopt;
    return !branch || branch->loop != loop ||
           dispatcher_.OwnerOf(via->host, via->port) == nullptr;
  });
  if (!fresh) return Refuse{.code = 482};
  return std::nullopt;
}

// RFC 3261 16.4, and 16.12.1.
std::optional<StatelessProxy::Refuse> StatelessProxy::FollowRoutes(
    Incoming& in, Plan* plan) const {
  const Message& m = in.message;
  if (m.Find(HeaderId::kRoute) == nullptr) return std::nullopt;
  std::vector<std::string_view> routes;
  m.ForEach(HeaderId::kRoute, [&](std::string_view value) {
    routes.push_back(value);
    return true;
  });
  if (routes.empty()) return std::nullopt;

  // A strict router before us has put our Record-Route into the Request-URI.
  const Uri& uri = *plan->uri;
  if (!uri.has_user && uri.Param("lr") && dispatcher_.OwnerOf(uri) != nullptr) {
    const auto last = NameAddr::Parse(routes.back());
    if (!last) return Refuse{.code = 400};
    // A stranger's would have hidden from the chain whom it is for.
    if (!NoteMark(uri, m, plan) && !plan->may_choose) {
      return Refuse{.code = 403};
    }
    SetUri(in, plan, std::string(last->uri_text));
    routes.pop_back();
    plan->strict = true;
  }

  // Ours, from the top: the one of the leg it came in, then of the leg it is to
  // leave by.
  size_t ours = 0;
  for (; ours < routes.size(); ++ours) {
    const auto route = NameAddr::Parse(routes[ours]);
    if (!route) return Refuse{.code = 400};
    Leg* leg = dispatcher_.OwnerOf(route->uri);
    if (leg == nullptr) break;
    const bool marked = NoteMark(route->uri, m, plan);
    // One that a phone was given by its owner names where it sends to; ours
    // name all legs of the call. A stranger's would choose among our carriers.
    if (marked || (plan->may_choose && leg != &in.leg)) plan->leg = leg;
  }
  plan->routes = ours;
  if (ours < routes.size()) {
    const auto next = NameAddr::Parse(routes[ours]);
    plan->next = std::string(next->uri_text);
    if (!next->uri.Param("lr")) {
      // RFC 3261 16.6 6: a strict router is next.
      plan->strict = true;
      plan->rewritten_routes.assign(
          routes.begin() + static_cast<ptrdiff_t>(ours) + 1, routes.end());
      plan->last_route = true;
      return std::nullopt;
    }
  }
  if (plan->strict) {
    plan->rewritten_routes.assign(routes.begin() + static_cast<ptrdiff_t>(ours),
                                  routes.end());
  }
  return std::nullopt;
}

// Whether a Route is our Record-Route of this dialog.
bool StatelessProxy::NoteMark(const Uri& route, const Message& message,
                              Plan* plan) const {
  if (!dispatcher_.IsOurMark(route, message)) return false;
  plan->in_dialog = true;
  if (const auto mark = route.Param("n")) plan->hop_mark = *mark;
  return true;
}

std::optional<StatelessProxy::Refuse> StatelessProxy::OpenToken(
    Incoming& in, Plan* plan) const {
  if (in.target) return std::nullopt;
  const auto& uri = plan->uri;
  if (!uri || !uri->has_user || dispatcher_.OwnerOf(*uri) == nullptr) {
    return std::nullopt;
  }
  const auto contact = tokens_.Open(uri->user);
  if (!contact) return std::nullopt;
  if (contact->facing != in.leg.index ||
      contact->leg >= dispatcher_.legs().size()) {
    return Refuse{.code = 404};
  }
  plan->leg = dispatcher_.legs()[contact->leg].get();
  // A Route that is left goes before the way to the contact, and is anybody's.
  if (plan->next.empty()) {
    plan->trusted = true;
    plan->peer = contact->heard;
  }
  SetUri(in, plan, contact->uri);
  return std::nullopt;
}

void StatelessProxy::FollowTarget(const Incoming& in, Plan* plan) const {
  // A Route that the sender has named goes before the way to the user.
  if (!plan->next.empty()) return;
  plan->trusted = true;
  plan->leg = dispatcher_.FindLeg(in.target->leg);
  if (in.target->path.empty()) {
    plan->peer = in.target->peer;
    return;
  }
  // The way in is the way the REGISTER came (RFC 3327 5.3).
  plan->path = in.target->path;
  std::string_view rest = plan->path;
  const auto first = NameAddr::Parse(NextListValue(&rest));
  if (first) plan->next = std::string(first->uri_text);
}

// The seeds' -X: digits that mean another domain.
void StatelessProxy::ApplyPrefixes(Incoming& in, Plan* plan) const {
  if (in.leg.prefixes.empty()) return;
  const auto& uri = plan->uri;
  if (!uri || !uri->is_sip() || !uri->has_user) return;
  for (const Leg::Prefix& prefix : in.leg.prefixes) {
    if (!uri->user.starts_with(prefix.digits)) continue;
    const auto at = static_cast<size_t>(uri->host.data() - uri->text.data());
    std::string moved(uri->text.substr(0, at));
    moved += prefix.domain;
    size_t behind = at + uri->host.size();
    if (uri->port != 0) {
      ++behind;
      while (behind < uri->text.size() && uri->text[behind] >= '0' &&
             uri->text[behind] <= '9') {
        ++behind;
      }
    }
    moved += uri->text.substr(behind);
    return SetUri(in, plan, std::move(moved));
  }
}

std::optional<StatelessProxy::Refuse> StatelessProxy::CheckPassage(
    const Incoming& in, Plan* plan) const {
  const auto& uri = plan->uri;
  if (!uri) return Refuse{.code = 400};
  if (!uri->is_sip()) return Refuse{.code = 416};
  const bool next_is_uri = plan->next.empty();
  plan->next_uri = next_is_uri ? uri : Uri::Parse(plan->next);
  if (!plan->next_uri) return Refuse{.code = 400};
  if (!plan->next_uri->is_sip()) return Refuse{.code = 416};
  if (!in.target && next_is_uri && dispatcher_.OwnerOf(*uri) != nullptr) {
    // For ourselves: a ping is answered, and nobody lives here.
    if (IsPing(in, *uri)) {
      return Refuse{.code = 200,
                    .extra =
                        "Accept: application/sdp\r\n"
                        "Allow: INVITE, ACK, CANCEL, BYE, OPTIONS\r\n"};
    }
    return Refuse{.code = 404};
  }
  // Where it really goes decides: a stranger's Route must not lead past us, and
  // a party of a call must not lead its requests to others.
  const Message& m = in.message;
  if (plan->in_dialog && IsHopMark(keys_, plan->hop_mark, m, *plan->next_uri)) {
    plan->trusted = true;
  }
  if (plan->trusted) return std::nullopt;
  // With maddr the domain says nothing of where it goes.
  if (router_.IsOurDomain(uri->host) &&
      router_.IsOurDomain(plan->next_uri->host) &&
      !plan->next_uri->Param("maddr")) {
    // Nor does a mark of a call lead who has no leave by that call's leg.
    if (!plan->may_choose) plan->leg = nullptr;
    return std::nullopt;
  }
  if (!plan->may_choose) return Refuse{.code = 403};
  plan->by_user = !in.leg.trusted;
  return std::nullopt;
}

}  // namespace sluice::sip
