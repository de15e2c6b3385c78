#include "sip/requester.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "base/text.h"
#include "sip/dialog.h"
#include "sip/fields.h"
#include "sip/reply.h"

namespace sluice::sip {
namespace {

// What start line, Via and Content-Length come to.
constexpr size_t kFrameOctets = 200;

size_t OctetsOf(const OutgoingRequest& r) {
  return r.uri.size() + r.headers.size() + r.body.size() + kFrameOctets;
}

bool NamesUdp(const Uri& uri) {
  const auto named = uri.Param("transport");
  return named && EqualsNoCase(*named, "udp");
}

}  // namespace

struct Requester::Request {
  Plan plan;
  // Where it goes now.
  std::string uri{};    // by redirection; "" : as planned
  std::string route{};  // of a 305
  absl::InlinedVector<Router::Way, 1> ways{};
  size_t way = 0;
  Transactions::Id transaction = 0;
  bool provisional = false;
  bool by_udp = false;     // the URI says so
  bool by_stream = false;  // has been tried, as it is long
  // Redirections.
  struct Contact {
    uint16_t q = 1000;  // thousandths
    std::string uri{};
    bool proxy = false;  // of a 305
  };
  std::vector<Contact> contacts{};  // yet to be tried, best last
  std::vector<std::string> seen{};
  int redirects = 0;
  bool bare = false;       // a new contact: it has not asked who we are
  bool answered = false;   // 2xx to an INVITE: there may be more of them
  bool cancelled = false;  // taken back
  net::EventLoop::TimerId timer = 0;
};

Requester::Requester(net::EventLoop& loop, Router& router,
                     Transactions& transactions)
    : loop_(loop), router_(router), transactions_(transactions) {}

Requester::~Requester() {
  for (const auto& [id, request] : requests_) {
    loop_.Cancel(request->timer);
    transactions_.Abandon(request->transaction);
  }
}

Requester::Request* Requester::Find(Id id) {
  const auto it = requests_.find(id);
  return it == requests_.end() ? nullptr : it->second.get();
}

Requester::Id Requester::Start(Plan plan) {
  const Id id = ++last_;
  auto request = std::make_shared<Request>();
  request->plan = std::move(plan);
  const std::string next_hop = request->plan.next_hop;
  request->seen.push_back(request->plan.uri);
  requests_.emplace(id, std::move(request));
  Resolve(id, next_hop);
  return id;
}

void Requester::Resolve(Id id, const std::string& next_hop) {
  const auto uri = Uri::Parse(next_hop);
  if (!uri || !uri->is_sip()) {
    return OnWays(id, absl::InvalidArgumentError("no SIP URI to send it to"));
  }
  Request* const request = Find(id);
  request->by_udp = NamesUdp(*uri);
  request->by_stream = false;
  router_.Find(*uri, request->plan.leg, request->plan.call_id,
               [this, id](Router::Ways ways) { OnWays(id, std::move(ways)); });
}

void Requester::OnWays(Id id, Router::Ways ways) {
  Request* const request = Find(id);
  if (request == nullptr) return;
  if (ways.ok() && !request->cancelled) {
    request->ways = *std::move(ways);
    request->way = 0;
    return Send(id);
  }
  if (!request->cancelled && NextContact(id)) return;
  const int code = request->cancelled                        ? 487
                   : absl::IsNotFound(ways.status())         ? 404
                   : absl::IsDeadlineExceeded(ways.status()) ? 408
                                                             : 503;
  Fail(id, code,
       request->cancelled ? std::string_view("Request Terminated")
                          : std::string_view(ways.status().message().data(),
                                             ways.status().message().size()));
}

// In the next turn: nobody is called out of what he has called himself.
void Requester::Fail(Id id, int code, std::string_view reason) {
  Request* const request = Find(id);
  request->transaction = 0;
  loop_.Cancel(request->timer);
  request->timer =
      loop_.After(Micros(), [this, id, code, reason = std::string(reason)] {
        const auto it = requests_.find(id);
        if (it == requests_.end()) return;
        // It lives until its user has heard, and with it what the plan holds.
        const std::shared_ptr<Request> last = std::move(it->second);
        requests_.erase(it);
        if (last->plan.failed) last->plan.failed(code, reason);
      });
}

// Puts the same place by TCP before a way by UDP, once.
bool Requester::PreferStream(Request& request, size_t octets) const {
  const Router::Way way = request.ways[request.way];
  const auto& proxy = way.leg->outgoing_proxy;
  if (octets <= kDatagramMax || request.by_stream || request.by_udp ||
      (proxy && NamesUdp(*proxy)) ||
      datagram_only_.contains(way.destination.address) ||
      way.destination.transport != Transport::kUdp ||
      way.leg->Find(Transport::kTcp, way.destination.address.ip.is_v4()) ==
          nullptr) {
    return false;
  }
  request.by_stream = true;
  request.ways.insert(
      request.ways.begin() + static_cast<ptrdiff_t>(request.way),
      {.leg = way.leg,
       .destination = {.transport = Transport::kTcp,
                       .address = way.destination.address}});
  return true;
}

void Requester::Send(Id id) {
  Request* const request = Find(id);
  const Plan& plan = request->plan;
  std::string credentials;
  if (plan.challenges != nullptr && !request->bare) {
    credentials = plan.challenges->Lines(
        plan.method, request->uri.empty() ? plan.uri : request->uri);
  }
  request->provisional = false;
  const auto write = [&] {
    const Router::Way& way = request->ways[request->way];
    return plan.write(
        {.leg = *way.leg,
         .own = *way.leg->Find(way.destination.transport,
                               way.destination.address.ip.is_v4()),
         .uri = request->uri,
         .route = request->route,
         .credentials = credentials});
  };
  OutgoingRequest text = write();
  if (PreferStream(*request, OctetsOf(text))) text = write();
  request->transaction = transactions_.Send(
      text, request->ways[request->way],
      {.response = [this, id](const Incoming& in) { OnResponse(id, in); },
       .failed = [this, id](int code) { OnFailed(id, code); }});
  if (request->transaction == 0) {
    Fail(id, 503, "too many transactions, or no SIP message can say it");
  }
}

void Requester::OnFailed(Id id, int code) {
  Request* const request = Find(id);
  if (request == nullptr) return;
  request->transaction = 0;
  if (request->cancelled) return Fail(id, 487, "Request Terminated");
  if (const Destination& to = request->ways[request->way].destination;
      request->by_stream && to.transport == Transport::kTcp &&
      datagram_only_.size() < kDatagramOnlyMax) {
    datagram_only_.insert(to.address);
  }
  if (request->way + 1 < request->ways.size()) {
    ++request->way;
    return Send(id);
  }
  if (NextContact(id)) return;
  Fail(id, code,
       code == 408 ? std::string_view("nobody answered")
                   : std::string_view("it could not be sent"));
}

void Requester::OnResponse(Id id, const Incoming& in) {
  const auto it = requests_.find(id);
  if (it == requests_.end()) return;
  // What is called may end the request: it lives until then, and with it what
  // the plan holds.
  const std::shared_ptr<Request> request = it->second;
  const int status = in.message.status();
  const auto& response = request->plan.response;
  if (status >= 200 && status != 401 && status != 407 &&
      request->plan.challenges != nullptr) {
    request->plan.challenges->Accepted();
  }
  if (status < 200) {
    request->provisional = true;
    if (request->cancelled) transactions_.Cancel(request->transaction);
    if (response) response(in);
    return;
  }
  if (status < 300) {
    // More of them may come to an INVITE, of other branches: the transaction
    // says when there will be none.
    if (in.message.method() != Method::kInvite) {
      requests_.erase(id);
    } else {
      request->answered = true;
      loop_.Cancel(request->timer);
      request->timer = loop_.After(Micros(64 * transactions_.timers().t1.us()),
                                   [this, id] { requests_.erase(id); });
    }
    if (response) response(in);
    return;
  }
  if (!request->cancelled) {
    if ((status == 401 || status == 407) &&
        request->plan.challenges != nullptr &&
        request->plan.challenges->Take(
            in.message, request->plan.credentials,
            request->plan.redirected || request->redirects > 0)) {
      request->bare = false;
      return Send(id);
    }
    if (status == 503) {
      // By another transport the same one would say the same.
      const Endpoint here = request->ways[request->way].destination.address;
      size_t next = request->way + 1;
      while (next < request->ways.size() &&
             request->ways[next].destination.address == here) {
        ++next;
      }
      if (next < request->ways.size()) {
        request->way = next;
        return Send(id);
      }
    }
    if (request->plan.follow && status < 400 &&
        Redirect(*request, in.message) && NextContact(id)) {
      return;
    }
    // One of several contacts did not want it.
    if (status >= 300 && status < 600 && status != 401 && status != 407 &&
        NextContact(id)) {
      return;
    }
  }
  loop_.Cancel(request->timer);
  requests_.erase(id);
  if (response) response(in);
}

bool Requester::Redirect(Request& request, const Message& response) {
  const int status = response.status();
  if (status != 301 && status != 302 && status != 305) return false;
  if (++request.redirects > kRedirectsMax) return false;
  const bool sips = EqualsNoCase(request.plan.uri.substr(0, 5), "sips:");
  std::vector<Request::Contact> found;
  response.ForEach(HeaderId::kContact, [&](std::string_view value) {
    const auto contact = NameAddr::Parse(value);
    if (!contact || !contact->uri.is_sip()) return true;
    // Not out of what was to be secret (RFC 3261 26.2.2).
    if (sips && contact->uri.scheme != Uri::Scheme::kSips) return true;
    // The party's own wish of header fields (?Subject=..) is not ours.
    std::string uri(WithoutHeaders(contact->uri));
    if (std::find(request.seen.begin(), request.seen.end(), uri) !=
        request.seen.end()) {
      return true;  // no circles
    }
    const uint16_t q = Qvalue(contact->params.Get("q").value_or("1"));
    request.seen.push_back(uri);
    found.push_back({.q = q, .uri = std::move(uri), .proxy = status == 305});
    return request.seen.size() <= kContactsMax;
  });
  std::stable_sort(found.begin(), found.end(),
                   [](const auto& a, const auto& b) { return a.q > b.q; });
  std::reverse(found.begin(), found.end());
  request.contacts.insert(request.contacts.end(), found.begin(), found.end());
  return !found.empty();
}

bool Requester::NextContact(Id id) {
  Request* const request = Find(id);
  if (request->contacts.empty() || request->cancelled) return false;
  const Request::Contact contact = std::move(request->contacts.back());
  request->contacts.pop_back();
  request->bare = true;
  if (contact.proxy) {
    const auto uri = Uri::Parse(contact.uri);
    request->route =
        Cat("<", contact.uri, uri && uri->Param("lr") ? "" : ";lr", ">");
  } else {
    request->uri = contact.uri;
    request->route.clear();
  }
  Resolve(id, contact.uri);
  return true;
}

void Requester::Cancel(Id id) {
  Request* const request = Find(id);
  if (request == nullptr || request->cancelled || request->answered) return;
  request->cancelled = true;
  if (request->transaction == 0) return Fail(id, 487, "Request Terminated");
  // RFC 3261 9.1: who does not answer at all is not waited for.
  loop_.Cancel(request->timer);
  request->timer =
      loop_.After(Micros(64 * transactions_.timers().t1.us()), [this, id] {
        Request* const late = Find(id);
        if (late == nullptr) return;
        transactions_.Abandon(late->transaction);
        Fail(id, 487, "Request Terminated");
      });
  if (request->provisional) transactions_.Cancel(request->transaction);
}

void Requester::Abandon(Id id) {
  Request* const request = Find(id);
  if (request == nullptr) return;
  loop_.Cancel(request->timer);
  transactions_.Abandon(request->transaction);
  requests_.erase(id);
}

void Requester::SendWithout(OutgoingRequest request, std::string_view next_hop,
                            Leg* leg, Sent sent) {
  const auto uri = Uri::Parse(next_hop);
  if (!uri || !uri->is_sip()) return;
  const std::string call_id = request.call_id;
  router_.Find(*uri, leg, call_id,
               [this, request = std::move(request),
                sent = std::move(sent)](const Router::Ways& ways) {
                 if (!ways.ok()) return;
                 const Router::Way& way = ways->front();
                 sent(transactions_.SendAck(request, way), way);
               });
}

}  // namespace sluice::sip
