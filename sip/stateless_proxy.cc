#include "sip/stateless_proxy.h"

#include <algorithm>
#include <utility>

#include "absl/status/status.h"
#include "base/text.h"
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

// Each is sealed and read anew; a registrar lists so many at most.
constexpr size_t kContactsOfAnswerMax = 64;

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
  explicit Held(const Incoming& from)
      : octets(from.message.octets()), in(Parsed(), from) {}
  const Message& Parsed() {
    message.Parse(octets);
    return message;
  }

  const std::string octets;
  Message message;
  Incoming in;
};

std::shared_ptr<StatelessProxy::Held> StatelessProxy::Hold(const Incoming& in) {
  return std::make_shared<Held>(in);
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

// ---- requests ---------------------------------------------------------------

void StatelessProxy::Answer(const Incoming& in, const Refuse& refuse) {
  dispatcher_.Reply(
      in, refuse.code,
      refuse.reason.empty() ? ReasonOf(refuse.code) : refuse.reason,
      refuse.extra);
}

void StatelessProxy::OnRequest(Incoming& in) {
  Plan plan;
  if (const auto no = MakePlan(in, &plan)) return Answer(in, *no);
  if (plan.by_user && in.message.method() == Method::kInvite) {
    admitted_.Note(in.message, in.from.address.ip, dispatcher_.now());
  }
  if (plan.peer) {
    Destination there{.transport = plan.peer->transport,
                      .address = plan.peer->address,
                      .tls_name = {}};
    auto ways = router_.Reach({&there, 1}, plan.leg);
    // A connection that is gone is looked for where the URI says, if that is
    // who was heard: anybody can write another's address into a contact.
    if (ways.ok() && plan.peer->transport != Transport::kUdp &&
        plan.next_uri->ip() == plan.peer->address.ip) {
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
                 Forward(held->in, plan, std::move(ways));
               });
}

void StatelessProxy::Forward(Incoming& in, const Plan& plan,
                             Router::Ways ways) {
  if (!ways.ok()) return Answer(in, {.code = CodeOf(ways.status())});
  Leg& out = *ways->front().leg;
  // Media and contacts are prepared for one leg.
  ways->erase(
      std::remove_if(ways->begin(), ways->end(),
                     [&](const Router::Way& way) { return way.leg != &out; }),
      ways->end());
  // An ACK asks for no leave, and with these two it belongs to a dialog:
  // outside of one they could only take ports for nothing.
  const Method method = in.message.method();
  const bool stray = !plan.trusted && !plan.in_dialog &&
                     (method == Method::kAck || method == Method::kUpdate ||
                      method == Method::kPrack);
  if (media_ == nullptr || stray ||
      !MediaNat::Concerns(in.message, in.leg, out)) {
    return Send(in, plan, *ways);
  }
  if (!MediaNat::Rewrites(in.message)) {
    media_->Tell(in.message, plan.branch, in.leg, out);
    return Send(in, plan, *ways);
  }
  auto held = Hold(in);
  media_->Run(held->message, plan.branch, HeardFrom(in.message, in.from),
              in.leg, out,
              [this, held, plan,
               ways = *std::move(ways)](const MediaNat::Outcome& outcome) {
                Incoming& waiting = held->in;
                if (outcome.code != 0) {
                  return Answer(
                      waiting,
                      {.code = outcome.code,
                       .extra = outcome.code == 503 ? "Retry-After: 5\r\n" : "",
                       .reason = outcome.reason});
                }
                if (outcome.body) {
                  waiting.edit.SetBody(*outcome.body);
                  waiting.body_rewritten = true;
                }
                Send(waiting, plan, ways);
              });
}

void StatelessProxy::Send(const Incoming& in, const Plan& plan,
                          absl::Span<const Router::Way> ways) {
  Dispatcher::Hops hops;
  const uint64_t connection = plan.peer ? plan.peer->connection : 0;
  for (const Router::Way& way : ways) {
    hops.push_back({.leg = way.leg,
                    .destination = way.destination,
                    .connection = connection,
                    .octets = Write(in, plan, way)});
    // Nobody hears whether a datagram arrived, so no other is tried after it.
    if (way.destination.transport == Transport::kUdp) break;
  }
  Leg& out = *ways.front().leg;
  if (hops.front().destination.transport == Transport::kUdp) {
    return dispatcher_.SendRequest(std::move(hops), in.message.call_id(),
                                   [&] { Undelivered(in, plan.branch, out); });
  }
  if (in.message.method() == Method::kAck) {
    // Nobody is told, so nothing is kept for telling.
    return dispatcher_.SendRequest(
        std::move(hops), in.message.call_id(),
        [this] { dispatcher_.Drop(SipDrop::k_bad_ack); });
  }
  auto held = Hold(in);
  dispatcher_.SendRequest(std::move(hops), held->message.call_id(),
                          [this, held, branch = plan.branch, &out] {
                            Undelivered(held->in, branch, out);
                          });
}

void StatelessProxy::Undelivered(const Incoming& in, std::string_view branch,
                                 const Leg& out) {
  // A body of our own was written with ports that nobody will use. An ACK is
  // not answered, and what it joined is up.
  if (in.body_rewritten && in.message.method() != Method::kAck) {
    media_->Abandon(in.message, branch, in.leg, out);
  }
  Answer(in, {.code = 503});
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
  if (uri != m.uri()) edit.Replace(m.uri(), uri);
  const std::string_view top = m.top_via()->text;
  if (in.via != top) edit.Replace(top, in.via);
  edit.InsertHeaderOnTop(
      HeaderId::kVia, Cat("SIP/2.0/", NameOf(own.transport), " ", HostPort(own),
                          ";branch=", plan.branch));
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
  if (RecordsRoute(m.method())) RecordRoute(in, out, own, plan.branch, &edit);
  RewriteContacts(m, in.from, in.leg, out, own, &edit);
  return edit.Apply();
}

// RFC 3261 16.6 4, and RFC 5658: two where the sides differ, ours towards the
// callee on top.
void StatelessProxy::RecordRoute(const Incoming& in, const Leg& out,
                                 const Leg::Address& own,
                                 std::string_view branch, Edit* edit) const {
  const Message& m = in.message;
  // What goes back passes the one before us, or else goes to who has asked.
  std::string_view before = m.Nth(HeaderId::kRecordRoute, 0);
  if (before.empty()) before = m.Nth(HeaderId::kContact, 0);
  const auto hop = NameAddr::Parse(before);
  const std::string marks =
      Cat(";lr;s=", RouteMark(keys_, m), ";p=", PassMark(keys_, branch),
          ";n=", hop ? HopMark(keys_, m, hop->uri) : std::string(kNoHop));
  const auto write = [&](const Leg::Address& a) {
    // What is asked for by sips stays under TLS from end to end.
    const bool sips =
        a.transport == Transport::kTls && m.uri().starts_with("sips:");
    return Cat(sips ? "<sips:" : "<sip:", HostPort(a),
               sips ? "" : TransportParam(a.transport), marks, ">");
  };
  const Leg::Address* near =
      in.leg.Find(in.from.transport, in.from.address.ip.is_v4());
  std::string value = write(own);
  if (near != nullptr && (&out != &in.leg || near != &own)) {
    Append(&value, ", ", write(*near));
  }
  edit->InsertHeaderOnTop(HeaderId::kRecordRoute, value);
}

// The callee's side is known only now: what the caller sends passes the one
// behind us, or else goes to who has answered. Whatever else comes back, the
// caller does not get the callee's leave, which is for his own side.
void StatelessProxy::MarkHops(const Message& response, const Leg& out,
                              Edit* edit) const {
  // Where we write none of our own, all of them are somebody else's.
  if (!RecordsRoute(response.method()) ||
      response.Find(HeaderId::kRecordRoute) == nullptr) {
    return;
  }
  const bool makes_dialog = response.status() > 100 && response.status() < 300;
  std::string behind;
  if (makes_dialog) behind = ContactShown(response, out);
  bool found = false;
  std::string mark(kNoHop);
  response.ForEach(HeaderId::kRecordRoute, [&](std::string_view value) {
    const auto route = NameAddr::Parse(value);
    if (!route) return !found;
    const auto pass = route->uri.Param("p");
    if (!pass || dispatcher_.OwnerOf(route->uri) == nullptr ||
        !IsPassMark(keys_, *pass, response.top_via()->branch)) {
      if (makes_dialog) behind = std::string(route->uri_text);
      // Below ours is what whoever has asked wrote.
      return !found;
    }
    const auto hop = found ? std::nullopt : Uri::Parse(behind);
    if (hop) mark = HopMark(keys_, response, *hop);
    found = true;
    const auto old = route->uri.Param("n");
    if (old && !old->empty()) edit->Replace(*old, mark);
    return true;
  });
}

// The contact of a response as the other side will see it, if that is no token;
// "" when there is none.
std::string StatelessProxy::ContactShown(const Message& response,
                                         const Leg& out) const {
  const auto contact = NameAddr::Parse(response.Nth(HeaderId::kContact, 0));
  if (!contact) return "";
  const Uri& uri = contact->uri;
  if (uri.has_user && dispatcher_.OwnerOf(uri) != nullptr) {
    const auto known = tokens_.Open(uri.user);
    if (known && known->leg == out.index) return known->uri;
  }
  return std::string(contact->uri_text);
}

// Whether the sender of a message is the party itself, and no proxy before it.
bool StatelessProxy::IsDirect(const Message& message) const {
  if (message.is_request()) return message.vias() == 1;
  const std::string_view top = message.Nth(HeaderId::kRecordRoute, 0);
  if (top.empty()) return true;
  const auto route = NameAddr::Parse(top);
  return route && dispatcher_.OwnerOf(route->uri) != nullptr;
}

IpAddress StatelessProxy::HeardFrom(const Message& message,
                                    const Peer& from) const {
  return IsDirect(message) ? from.address.ip : IpAddress();
}

// Where a contact's owner is heard, when its URI says something else: behind a
// NAT, or on a connection. nullopt where another proxy stands between.
std::optional<Peer> StatelessProxy::HeardElsewhere(const Message& message,
                                                   const Peer& from,
                                                   const Uri& uri) const {
  if (!IsDirect(message)) return std::nullopt;
  // A phone may well send from another port than it listens on. From another
  // address it does not know its own, if that is one of a network behind a NAT;
  // else somebody stands between who does not want to be in the way.
  const auto ip = uri.ip();
  const bool behind_nat = ip && *ip != from.address.ip && ip->is_private();
  // What came on a connection would go by UDP for a URI that names none.
  const bool names_stream =
      uri.scheme == Uri::Scheme::kSips || uri.Param("transport").has_value();
  const bool stream = from.transport != Transport::kUdp && !names_stream &&
                      ip && *ip == from.address.ip;
  if (!behind_nat && !stream) return std::nullopt;
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
                      .heard = HeardElsewhere(message, from, uri),
                      .lasting = message.method() == Method::kRegister});
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
  const auto& top = m.top_via();
  if (!top || !in.leg.Is(top->host, top->port)) {
    return dispatcher_.Drop(SipDrop::k_foreign_via);
  }
  const auto& next = m.next_via();
  if (!next) return dispatcher_.Drop(SipDrop::k_no_via);
  const auto branch = Branch::Parse(top->branch);
  if (!branch || branch->leg >= dispatcher_.legs().size() ||
      !IsBranch(keys_, *branch, m, *next)) {
    return dispatcher_.Drop(SipDrop::k_forged);
  }
  const auto to = PeerOfVia(*next);
  if (!to) return dispatcher_.Drop(SipDrop::k_no_via);
  if (m.Count(HeaderId::kContact) > kContactsOfAnswerMax) {
    return dispatcher_.Drop(SipDrop::k_bad_response);
  }
  if (m.method() == Method::kInvite && m.status() > 100 && m.status() < 200) {
    admitted_.Refresh(m, to->address.ip, dispatcher_.now());
  }
  Leg& out = *dispatcher_.legs()[branch->leg];
  if (media_ == nullptr || !MediaNat::Concerns(m, in.leg, out)) {
    return SendResponse(in, out, *to, *next);
  }
  if (!MediaNat::Rewrites(m)) {
    media_->Tell(m, top->branch, in.leg, out);
    return SendResponse(in, out, *to, *next);
  }
  auto held = Hold(in);
  media_->Run(held->message, top->branch, HeardFrom(m, in.from), in.leg, out,
              [this, held, &out, to = *to](const MediaNat::Outcome& outcome) {
                Incoming& waiting = held->in;
                // An answer that the relay cannot follow is no answer: the
                // party sends it again, and by then there may be a port.
                if (outcome.code != 0) {
                  return dispatcher_.Drop(SipDrop::k_media_refused);
                }
                if (outcome.body) waiting.edit.SetBody(*outcome.body);
                SendResponse(waiting, out, to, *waiting.message.next_via());
              });
}

void StatelessProxy::SendResponse(const Incoming& in, Leg& out, const Peer& to,
                                  const Via& next) {
  const Message& m = in.message;
  Edit edit(m, in.edit);
  edit.RemoveFirst(HeaderId::kVia);
  const Leg::Address* own = out.Find(to.transport, to.address.ip.is_v4());
  if (own == nullptr) return dispatcher_.Drop(SipDrop::k_no_via);
  MarkHops(m, out, &edit);
  RewriteContacts(m, in.from, in.leg, out, *own, &edit);
  dispatcher_.SendResponse(out, to, edit.Apply(), m, next);
}

}  // namespace sluice::sip
