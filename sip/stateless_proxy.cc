#include "sip/stateless_proxy.h"

#include <algorithm>
#include <utility>

#include "base/text.h"
#include "sip/branch.h"
#include "sip/fields.h"
#include "sip/reply.h"

namespace sluice::sip {
namespace {

// "host" or "host:port", the port where it is not the transport's own.
std::string HostPort(const Leg::Address& a) {
  const uint16_t standard = a.transport == Transport::kTls ? 5061 : 5060;
  return a.port == standard ? a.host : Cat(a.host, ":", a.port);
}

std::string_view TransportParam(Transport transport) {
  switch (transport) {
    case Transport::kUdp: return "";
    case Transport::kTcp: return ";transport=tcp";
    case Transport::kTls: return ";transport=tls";
  }
  return "";
}

// Requests that begin or refresh a dialog, and those that may for all that is
// known here (RFC 3261 16.6 4): to others a Record-Route is weight without use.
bool RecordsRoute(Method method) {
  switch (method) {
    case Method::kInvite:
    case Method::kUpdate:
    case Method::kSubscribe:
    case Method::kNotify:
    case Method::kRefer:
    case Method::kOther: return true;
    default: return false;
  }
}

int CodeOf(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kNotFound: return 404;
    case absl::StatusCode::kDeadlineExceeded: return 408;
    case absl::StatusCode::kPermissionDenied: return 403;
    case absl::StatusCode::kAlreadyExists: return 482;
    case absl::StatusCode::kUnavailable: return 480;
    case absl::StatusCode::kResourceExhausted: return 503;
    default: return 500;
  }
}

}  // namespace

struct StatelessProxy::Held {
  std::string octets;
  Message message;
  std::optional<Incoming> in;
};

std::shared_ptr<StatelessProxy::Held> StatelessProxy::Hold(const Incoming& in) {
  auto held = std::make_shared<Held>();
  held->octets = std::string(in.message.octets());
  held->message.Parse(held->octets);
  held->in.emplace(held->message, in);
  return held;
}

StatelessProxy::StatelessProxy(Dispatcher& dispatcher, Router& router,
                               const Keys& keys, MediaNat* media,
                               Options options)
    : dispatcher_(dispatcher),
      router_(router),
      keys_(keys),
      tokens_(keys),
      media_(media),
      options_(options) {}

Handler::Handled StatelessProxy::Receive(Incoming& in) {
  if (in.message.is_request()) {
    OnRequest(in);
  } else {
    OnResponse(in);
  }
  return Handled::kMine;
}

// ---- requests: what is to be done ------------------------------------------

std::optional<StatelessProxy::Refuse> StatelessProxy::MakePlan(
    Incoming& in, Plan* plan) const {
  const auto uri = Uri::Parse(in.uri);
  if (!uri) return Refuse{.code = 400};
  if (auto no = CheckRequest(in, *uri, plan)) return no;
  if (auto no = FollowRoutes(in, *uri, plan)) return no;
  if (auto no = OpenToken(in, plan)) return no;
  if (in.target) {
    FollowTarget(in, plan);
  } else if (!plan->trusted) {
    // Inside a dialog the URI is a contact, not what somebody dialled.
    ApplyPrefixes(in);
  }
  return CheckPassage(in, plan);
}

// A ping asks this proxy whether it is there.
bool StatelessProxy::IsPing(const Incoming& in, const Uri& uri) const {
  return in.message.method() == Method::kOptions && !uri.has_user &&
         dispatcher_.OwnerOf(uri) != nullptr;
}

// RFC 3261 16.3.
std::optional<StatelessProxy::Refuse> StatelessProxy::CheckRequest(
    const Incoming& in, const Uri& uri, Plan* plan) const {
  const Message& m = in.message;
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
  const bool fresh = m.ForEach(HeaderId::kVia, [&](std::string_view value) {
    // Another node with our keys has the same mark for it, at its own address.
    if (value.find(plan->loop) == std::string_view::npos) return true;
    const auto via = Via::Parse(value);
    const auto branch = via ? Branch::Parse(via->branch()) : std::nullopt;
    return !branch || branch->loop != plan->loop ||
           dispatcher_.OwnerOf(via->host, via->port) == nullptr;
  });
  if (!fresh) return Refuse{.code = 482};
  return std::nullopt;
}

// RFC 3261 16.4, and 16.12.1.
std::optional<StatelessProxy::Refuse> StatelessProxy::FollowRoutes(
    Incoming& in, const Uri& uri, Plan* plan) const {
  const Message& m = in.message;
  if (m.Find(HeaderId::kRoute) == nullptr) return std::nullopt;
  std::vector<std::string_view> routes;
  m.ForEach(HeaderId::kRoute, [&](std::string_view value) {
    routes.push_back(value);
    return true;
  });
  if (routes.empty()) return std::nullopt;

  // A strict router before us has put our Record-Route into the Request-URI.
  if (!uri.has_user && uri.Param("lr") && dispatcher_.OwnerOf(uri) != nullptr) {
    const auto last = NameAddr::Parse(routes.back());
    if (!last) return Refuse{.code = 400};
    plan->trusted = dispatcher_.IsOurMark(uri, m);
    in.uri = std::string(last->uri_text);
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
    const bool marked = dispatcher_.IsOurMark(route->uri, m);
    if (marked) plan->trusted = true;
    // One that a phone was given by its owner names where it sends to; ours
    // name all legs of the call.
    if (marked || leg != &in.leg) plan->leg = leg;
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

std::optional<StatelessProxy::Refuse> StatelessProxy::OpenToken(
    Incoming& in, Plan* plan) const {
  if (in.target) return std::nullopt;
  const auto uri = Uri::Parse(in.uri);
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
  plan->trusted = true;
  // A Route that is left goes before the way to the contact.
  if (plan->next.empty()) plan->peer = contact->heard;
  in.uri = contact->uri;
  return std::nullopt;
}

void StatelessProxy::FollowTarget(const Incoming& in, Plan* plan) const {
  plan->trusted = true;
  // A Route that the sender has named goes before the way to the user.
  if (!plan->next.empty()) return;
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
void StatelessProxy::ApplyPrefixes(Incoming& in) const {
  if (in.leg.prefixes.empty()) return;
  const auto uri = Uri::Parse(in.uri);
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
    in.uri = std::move(moved);
    return;
  }
}

std::optional<StatelessProxy::Refuse> StatelessProxy::CheckPassage(
    const Incoming& in, Plan* plan) const {
  const auto uri = Uri::Parse(in.uri);
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
  if (plan->trusted || router_.IsOurDomain(uri->host)) return std::nullopt;
  const auto from = NameAddr::Parse(in.message.Value(HeaderId::kFrom));
  if (from && router_.IsOurDomain(from->uri.host)) return std::nullopt;
  return Refuse{.code = 403};
}

// ---- requests: doing it -----------------------------------------------------

void StatelessProxy::Answer(const Incoming& in, const Refuse& refuse) {
  dispatcher_.Reply(
      in, refuse.code,
      refuse.reason.empty() ? ReasonOf(refuse.code) : refuse.reason,
      refuse.extra);
}

void StatelessProxy::OnRequest(Incoming& in) {
  Plan plan;
  if (const auto no = MakePlan(in, &plan)) return Answer(in, *no);
  if (plan.peer) {
    auto ways = router_.Reach({{.transport = plan.peer->transport,
                                .address = plan.peer->address,
                                .tls_name = {}}},
                              plan.leg);
    // A connection that is gone is looked for where the URI says.
    if (ways.ok() && plan.peer->transport != Transport::kUdp) {
      auto others = router_.FindNow(*plan.next_uri, plan.leg);
      if (others && others->ok()) {
        ways->insert(ways->end(), (*others)->begin(), (*others)->end());
      }
    }
    return Forward(in, plan, std::move(ways));
  }
  if (auto ways = router_.FindNow(*plan.next_uri, plan.leg)) {
    return Forward(in, plan, *std::move(ways));
  }
  auto held = Hold(in);
  router_.Find(*plan.next_uri, plan.leg, held->message.call_id(),
               [this, held, plan](auto ways) {
                 Forward(*held->in, plan, std::move(ways));
               });
}

void StatelessProxy::Forward(Incoming& in, const Plan& plan,
                             absl::StatusOr<std::vector<Router::Way>> ways) {
  if (!ways.ok()) return Answer(in, {.code = CodeOf(ways.status())});
  Leg& out = *ways->front().leg;
  // Media and contacts are prepared for one leg.
  ways->erase(
      std::remove_if(ways->begin(), ways->end(),
                     [&](const Router::Way& way) { return way.leg != &out; }),
      ways->end());
  if (media_ == nullptr || !MediaNat::Concerns(in.message, in.leg, out)) {
    return Send(in, plan, *ways);
  }
  if (!MediaNat::Rewrites(in.message)) {
    media_->Tell(in.message, in.leg, out);
    return Send(in, plan, *ways);
  }
  auto held = Hold(in);
  media_->Run(held->message, in.leg, out,
              [this, held, plan,
               ways = *std::move(ways)](const MediaNat::Outcome& outcome) {
                Incoming& waiting = *held->in;
                if (outcome.code != 0) {
                  return Answer(
                      waiting,
                      {.code = outcome.code,
                       .extra = outcome.code == 503 ? "Retry-After: 5\r\n" : "",
                       .reason = outcome.reason});
                }
                if (outcome.body) waiting.edit.SetBody(*outcome.body);
                Send(waiting, plan, ways);
              });
}

void StatelessProxy::Send(const Incoming& in, const Plan& plan,
                          const std::vector<Router::Way>& ways) {
  std::vector<Dispatcher::Hop> hops;
  const uint64_t connection = plan.peer ? plan.peer->connection : 0;
  for (const Router::Way& way : ways) {
    hops.push_back({.leg = way.leg,
                    .destination = way.destination,
                    .connection = connection,
                    .octets = Write(in, plan, way)});
    // Nobody hears whether a datagram arrived, so no other is tried after it.
    if (way.destination.transport == Transport::kUdp) break;
  }
  if (hops.front().destination.transport == Transport::kUdp) {
    return dispatcher_.SendRequest(std::move(hops), in.message.call_id(),
                                   [&] { Answer(in, {.code = 503}); });
  }
  auto held = Hold(in);
  dispatcher_.SendRequest(std::move(hops), held->message.call_id(),
                          [this, held] { Answer(*held->in, {.code = 503}); });
}

std::string StatelessProxy::Write(const Incoming& in, const Plan& plan,
                                  const Router::Way& way) const {
  const Message& m = in.message;
  Leg& out = *way.leg;
  const Leg::Address& own =
      *out.Find(way.destination.transport, way.destination.address.ip.is_v4());
  Edit edit(m, in.edit);

  const std::string_view uri =
      plan.last_route ? std::string_view(plan.next) : in.uri;
  if (uri != m.uri()) edit.Replace(m.uri(), std::string(uri));
  const std::string_view top = m.Nth(HeaderId::kVia, 0);
  if (in.via != top) edit.Replace(top, in.via);
  const auto next = Via::Parse(in.via);
  edit.InsertHeaderOnTop(
      HeaderId::kVia,
      Cat("SIP/2.0/", NameOf(own.transport), " ", HostPort(own), ";branch=",
          MakeBranch(keys_, in.leg.index, plan.loop, m, next.value_or(Via{}))));
  edit.SetHeader(HeaderId::kMaxForwards, Cat(plan.max_forwards));

  if (plan.strict) {
    edit.RemoveHeaders(HeaderId::kRoute);
    std::string all;
    for (const std::string& route : plan.rewritten_routes) {
      Append(&all, all.empty() ? "" : ", ", route);
    }
    if (plan.last_route) {
      Append(&all, all.empty() ? "" : ", ", "<", in.uri, ">");
    }
    if (!all.empty()) edit.AppendHeader("Route", all);
  } else if (plan.routes > 0) {
    edit.RemoveFirst(HeaderId::kRoute, plan.routes);
  }
  if (!plan.path.empty()) edit.InsertHeaderOnTop(HeaderId::kRoute, plan.path);
  if (RecordsRoute(m.method())) RecordRoute(in, out, own, &edit);
  RewriteContacts(m, in.from, in.leg, out, own, &edit);
  return edit.Apply();
}

// RFC 3261 16.6 4, and RFC 5658: two where the sides differ, ours towards the
// callee on top.
void StatelessProxy::RecordRoute(const Incoming& in, const Leg& out,
                                 const Leg::Address& own, Edit* edit) const {
  const std::string mark = RouteMark(keys_, in.message);
  const auto write = [&](const Leg::Address& a) {
    // What is asked for by sips stays under TLS from end to end.
    const bool sips =
        a.transport == Transport::kTls && in.message.uri().starts_with("sips:");
    return Cat(sips ? "<sips:" : "<sip:", HostPort(a),
               sips ? "" : TransportParam(a.transport), ";lr;s=", mark, ">");
  };
  const Leg::Address* near =
      in.leg.Find(in.from.transport, in.from.address.ip.is_v4());
  std::string value = write(own);
  if (near != nullptr && (&out != &in.leg || near != &own)) {
    Append(&value, ", ", write(*near));
  }
  edit->InsertHeaderOnTop(HeaderId::kRecordRoute, value);
}

// Where a contact's owner is heard, when its URI says something else: behind a
// NAT, or on a connection. nullopt where another proxy stands between.
std::optional<Peer> StatelessProxy::HeardElsewhere(const Message& message,
                                                   const Peer& from,
                                                   const Uri& uri) const {
  if (message.is_request()) {
    if (message.Count(HeaderId::kVia) != 1) return std::nullopt;
  } else if (const std::string_view top =
                 message.Nth(HeaderId::kRecordRoute, 0);
             !top.empty()) {
    const auto route = NameAddr::Parse(top);
    if (!route || dispatcher_.OwnerOf(route->uri) == nullptr) {
      return std::nullopt;
    }
  }
  // A phone may well send from another port than it listens on; from another
  // address, it does not know its own.
  const auto ip = uri.ip();
  if (from.transport == Transport::kUdp && ip && *ip == from.address.ip) {
    return std::nullopt;
  }
  return Peer{.transport = from.transport, .address = from.address};
}

void StatelessProxy::RewriteContacts(const Message& message, const Peer& from,
                                     const Leg& in, const Leg& out,
                                     const Leg::Address& own,
                                     Edit* edit) const {
  const bool fresh =
      options_.rewrite_contact && (&in != &out || options_.force_rewrite);
  message.ForEach(HeaderId::kContact, [&](std::string_view value) {
    const auto contact = NameAddr::Parse(value);
    if (!contact || !contact->uri.is_sip()) return true;
    const Uri& uri = contact->uri;
    // Without <> the parameters of what is put there would be the header's.
    const auto replace = [&](const std::string& by) {
      edit->Replace(contact->uri_text,
                    contact->brackets ? by : Cat("<", by, ">"));
    };
    if (uri.has_user && dispatcher_.OwnerOf(uri) != nullptr) {
      // One of ours on its way home.
      const auto known = tokens_.Open(uri.user);
      if (known && known->leg == out.index) {
        replace(known->uri);
        return true;
      }
    }
    if (!fresh) return true;
    const std::string token =
        tokens_.Make({.leg = in.index,
                      .facing = out.index,
                      .uri = std::string(contact->uri_text),
                      .heard = HeardElsewhere(message, from, uri)});
    if (token.empty()) return true;
    replace(Cat(uri.scheme_text, ":", token, "@", HostPort(own),
                TransportParam(own.transport)));
    return true;
  });
}

// ---- responses --------------------------------------------------------------

// RFC 3261 16.7, 18.1.2.
void StatelessProxy::OnResponse(Incoming& in) {
  const Message& m = in.message;
  const auto top = Via::Parse(m.Nth(HeaderId::kVia, 0));
  if (!top || !in.leg.Is(top->host, top->port)) {
    return dispatcher_.Drop(SipDrop::k_foreign_via);
  }
  const std::string_view below = m.Nth(HeaderId::kVia, 1);
  const auto next = Via::Parse(below);
  if (!next) return dispatcher_.Drop(SipDrop::k_no_via);
  const auto branch = Branch::Parse(top->branch());
  if (!branch || branch->leg >= dispatcher_.legs().size() ||
      !IsBranch(keys_, *branch, m, *next)) {
    return dispatcher_.Drop(SipDrop::k_forged);
  }
  const auto to = PeerOfVia(*next);
  if (!to) return dispatcher_.Drop(SipDrop::k_no_via);
  Leg& out = *dispatcher_.legs()[branch->leg];
  if (media_ == nullptr || !MediaNat::Concerns(m, in.leg, out)) {
    return SendResponse(in, out, *to, *next);
  }
  if (!MediaNat::Rewrites(m)) {
    media_->Tell(m, in.leg, out);
    return SendResponse(in, out, *to, *next);
  }
  auto held = Hold(in);
  media_->Run(held->message, in.leg, out,
              [this, held, &out, to = *to](const MediaNat::Outcome& outcome) {
                Incoming& waiting = *held->in;
                // An answer that the relay cannot follow is no answer: the
                // party sends it again, and by then there may be a port.
                if (outcome.code != 0) {
                  return dispatcher_.Drop(SipDrop::k_media_refused);
                }
                if (outcome.body) waiting.edit.SetBody(*outcome.body);
                const auto via =
                    Via::Parse(waiting.message.Nth(HeaderId::kVia, 1));
                SendResponse(waiting, out, to, *via);
              });
}

void StatelessProxy::SendResponse(const Incoming& in, Leg& out, const Peer& to,
                                  const Via& next) {
  const Message& m = in.message;
  Edit edit(m, in.edit);
  edit.RemoveFirst(HeaderId::kVia);
  const Leg::Address* own = out.Find(to.transport, to.address.ip.is_v4());
  if (own == nullptr) return dispatcher_.Drop(SipDrop::k_no_via);
  RewriteContacts(m, in.from, in.leg, out, *own, &edit);
  dispatcher_.SendResponse(out, to, edit.Apply(), m, next);
}

}  // namespace sluice::sip
