#include "sip/transactions.h"

#include <openssl/rand.h>

#include <utility>

#include "base/check.h"
#include "base/text.h"
#include "sip/fields.h"

namespace sluice::sip {
namespace {

constexpr size_t kBranchOctets = 12;

// Of a response, by its top Via (RFC 3261 17.1.3).
std::string BranchKey(std::string_view branch, std::string_view method) {
  return Cat(method, " ", branch);
}

// Of a request (17.2.3). An ACK is of its INVITE's transaction. Who has no
// branch of RFC 3261 is told apart by what RFC 2543 sent alike.
std::string RequestKey(const Message& m, std::string_view method) {
  const Via& via = *m.top_via();
  if (via.is_3261()) {
    return Cat(method, " ", via.host, " ", via.port, " ", via.branch);
  }
  return Cat(method, "\n", m.uri(), "\n", m.call_id(), "\n", m.cseq(), "\n",
             m.from()->tag, "\n", via.text);
}

std::string_view MethodOfTransaction(const Message& m) {
  return m.method() == Method::kAck ? std::string_view("INVITE")
                                    : m.method_text();
}

}  // namespace

std::string RandomHex(size_t octets) {
  std::string raw(octets, '\0');
  CHECK(RAND_bytes(reinterpret_cast<uint8_t*>(raw.data()),
                   static_cast<int>(octets)) == 1);
  constexpr char kDigits[] = "0123456789abcdef";
  std::string out;
  out.reserve(2 * octets);
  for (const char c : raw) {
    out += kDigits[static_cast<uint8_t>(c) >> 4];
    out += kDigits[static_cast<uint8_t>(c) & 15];
  }
  return out;
}

uint32_t RandomBelow(uint32_t n) {
  uint32_t number = 0;
  CHECK(RAND_bytes(reinterpret_cast<uint8_t*>(&number), sizeof number) == 1);
  return number % n;
}

struct Transactions::Client {
  Id id = 0;
  bool invite = false;
  ClientTransaction machine;
  Router::Way way;
  std::string key;
  std::string call_id;
  std::string octets;
  std::string ack{};  // of a failure
  ClientUser user;
  net::EventLoop::TimerId timer = 0;
};

struct Transactions::Server {
  Id id = 0;
  ServerTransaction machine;
  Dispatcher::Owed owed;
  std::string key;
  int code = 0;
  std::string octets{};  // the last response
  net::EventLoop::TimerId timer = 0;
};

Transactions::Transactions(net::EventLoop& loop, Dispatcher& dispatcher,
                           TransactionTimers timers)
    : loop_(loop), dispatcher_(dispatcher), timers_(timers) {}

Transactions::~Transactions() {
  for (const auto& [id, client] : clients_) loop_.Cancel(client->timer);
  for (const auto& [id, server] : servers_) loop_.Cancel(server->timer);
}

Transactions::Client* Transactions::FindClient(Id id) {
  const auto it = clients_.find(id);
  return it == clients_.end() ? nullptr : it->second.get();
}

Transactions::Server* Transactions::FindServer(Id id) {
  const auto it = servers_.find(id);
  return it == servers_.end() ? nullptr : it->second.get();
}

// ---- client -----------------------------------------------------------------

std::string Transactions::Write(const OutgoingRequest& request,
                                const Router::Way& way,
                                std::string_view branch) const {
  const Leg::Address* own = way.leg->Find(way.destination.transport,
                                          way.destination.address.ip.is_v4());
  CHECK(own != nullptr);  // or the leg would be no way there
  return Cat(request.method, " ", request.uri, " SIP/2.0\r\nVia: SIP/2.0/",
             NameOf(own->transport), " ", own->host, ":", own->port,
             ";branch=", Via::kMagic, branch, ";rport\r\n", request.headers,
             "Content-Length: ", request.body.size(), "\r\n\r\n", request.body);
}

void Transactions::SendOctets(const std::string& octets, const Router::Way& way,
                              std::string_view call_id, Id failed) {
  Dispatcher::Hops hops;
  hops.push_back({.leg = way.leg,
                  .destination = way.destination,
                  .connection = 0,
                  .octets = octets});
  // Told in the next turn: the sender has not yet heard its own name.
  dispatcher_.SendRequest(std::move(hops), call_id, [this, failed] {
    if (Client* client = FindClient(failed)) {
      loop_.Cancel(client->timer);
      client->timer =
          loop_.After(Micros(), [this, failed] { SendFailed(failed); });
    }
  });
}

Transactions::Id Transactions::Send(const OutgoingRequest& request,
                                    const Router::Way& way, ClientUser user) {
  if (clients_.size() >= kMax) return 0;
  const std::string branch = RandomHex(kBranchOctets);
  std::string octets = Write(request, way, branch);
  // Much of it is the peer's text (targets, routes, tags): what we could not
  // read ourselves is not sent, and can be read again for ACK and CANCEL.
  Message own;
  if (own.Parse(octets)) return 0;
  const bool invite = request.method == "INVITE";
  auto client = std::make_unique<Client>(Client{
      .id = ++last_,
      .invite = invite,
      .machine = ClientTransaction(invite,
                                   way.destination.transport != Transport::kUdp,
                                   timers_, loop_.now()),
      .way = way,
      .key = BranchKey(Cat(Via::kMagic, branch), request.method),
      .call_id = request.call_id,
      .octets = std::move(octets),
      .user = std::move(user)});
  Client* const c = client.get();
  by_branch_.emplace(c->key, c->id);
  clients_.emplace(c->id, std::move(client));
  Arm(*c);
  SendOctets(c->octets, way, c->call_id, c->id);
  return last_;
}

std::string Transactions::SendAck(const OutgoingRequest& ack,
                                  const Router::Way& way) {
  std::string octets = Write(ack, way, RandomHex(kBranchOctets));
  SendOctets(octets, way, ack.call_id, 0);
  return octets;
}

void Transactions::Resend(const std::string& octets, const Router::Way& way,
                          std::string_view call_id) {
  SendOctets(octets, way, call_id, 0);
}

void Transactions::Abandon(Id id) {
  if (Client* client = FindClient(id)) client->user = {};
}

namespace {

// What an ACK of a failure and a CANCEL take from their INVITE (RFC 3261
// 17.1.1.3, 9.1): the top Via, the Routes, and who speaks with whom.
std::string OfInvite(const Message& invite, std::string_view method,
                     std::string_view to) {
  std::string out = Cat(method, " ", invite.uri(),
                        " SIP/2.0\r\nVia: ", invite.top_via()->text,
                        "\r\nMax-Forwards: 70\r\n");
  invite.ForEach(HeaderId::kRoute, [&](std::string_view value) {
    Append(&out, "Route: ", value, "\r\n");
    return true;
  });
  Append(&out, "From: ", invite.Value(HeaderId::kFrom), "\r\nTo: ", to,
         "\r\nCall-ID: ", invite.call_id(), "\r\nCSeq: ", invite.cseq(), " ",
         method, "\r\nContent-Length: 0\r\n\r\n");
  return out;
}

}  // namespace

void Transactions::SendAckOfFailure(Client& client, const Message& response) {
  if (client.ack.empty()) {
    Message invite;
    CHECK(!invite.Parse(client.octets));  // our own
    client.ack = OfInvite(invite, "ACK", response.Value(HeaderId::kTo));
  }
  SendOctets(client.ack, client.way, client.call_id, client.id);
}

void Transactions::Cancel(Id id) {
  Client* const invite = FindClient(id);
  if (invite == nullptr || !invite->invite ||
      invite->machine.state() != ClientTransaction::State::kProceeding ||
      clients_.size() >= kMax) {
    return;
  }
  Message message;
  CHECK(!message.Parse(invite->octets));
  auto client = std::make_unique<Client>(Client{
      .id = ++last_,
      .machine = ClientTransaction(
          false, invite->way.destination.transport != Transport::kUdp, timers_,
          loop_.now()),
      .way = invite->way,
      .key = BranchKey(message.top_via()->branch, "CANCEL"),
      .call_id = invite->call_id,
      .octets = OfInvite(message, "CANCEL", message.Value(HeaderId::kTo)),
      .user = {}});
  // Twice the same CANCEL is once.
  if (!by_branch_.emplace(client->key, client->id).second) return;
  Client* const c = client.get();
  clients_.emplace(c->id, std::move(client));
  Arm(*c);
  SendOctets(c->octets, c->way, c->call_id, c->id);
}

void Transactions::SendFailed(Id id) {
  Client* const client = FindClient(id);
  if (client == nullptr) return;
  client->timer = 0;
  Act(id, client->machine.OnTransportError(loop_.now()), nullptr);
}

void Transactions::Arm(Client& client) {
  loop_.Cancel(client.timer);
  client.timer = 0;
  const Micros due = client.machine.due();
  if (due == kNeverDue) return;
  client.timer = loop_.After(due - loop_.now(), [this, id = client.id] {
    if (Client* c = FindClient(id)) {
      c->timer = 0;
      Act(id, c->machine.OnTime(loop_.now()), nullptr);
    }
  });
}

void Transactions::Act(Id id, ClientTransaction::Does does,
                       const Incoming* response) {
  Client* client = FindClient(id);
  Arm(*client);
  if (does.send) SendOctets(client->octets, client->way, client->call_id, id);
  if (does.ack) {
    if (response != nullptr) {
      SendAckOfFailure(*client, response->message);
    } else {
      SendOctets(client->ack, client->way, client->call_id, id);
    }
  }
  // The user may do anything, also end this transaction.
  const bool over =
      client->machine.state() == ClientTransaction::State::kTerminated;
  const ClientUser user = over ? std::move(client->user) : client->user;
  if (over) End(*client);
  if (does.pass && user.response) user.response(*response);
  if (does.timeout && user.failed) user.failed(408);
  if (does.failed && user.failed) user.failed(503);
}

void Transactions::End(Client& client) {
  loop_.Cancel(client.timer);
  by_branch_.erase(client.key);
  clients_.erase(client.id);
}

// ---- server -----------------------------------------------------------------

Handler::Handled Transactions::Receive(const Incoming& in) {
  const Message& m = in.message;
  if (m.is_response()) {
    const auto it =
        by_branch_.find(BranchKey(m.top_via()->branch, m.method_text()));
    if (it == by_branch_.end()) return Handler::Handled::kNotMine;
    const Id id = it->second;
    Act(id, FindClient(id)->machine.OnResponse(m.status(), loop_.now()), &in);
    return Handler::Handled::kMine;
  }
  const auto it = by_request_.find(RequestKey(m, MethodOfTransaction(m)));
  if (it == by_request_.end()) return Handler::Handled::kNotMine;
  Server* const server = FindServer(it->second);
  if (m.method() != Method::kAck) {
    Act(server->id, server->machine.OnRequest(loop_.now()));
    return Handler::Handled::kMine;
  }
  const auto does = server->machine.OnAck(loop_.now());
  Act(server->id, does);
  // The ACK of a 2xx is the dialog's, whatever branch it has.
  return does.pass ? Handler::Handled::kNotMine : Handler::Handled::kMine;
}

Transactions::Id Transactions::Accept(const Incoming& in,
                                      std::string_view to_tag) {
  if (servers_.size() >= kMax || server_octets_ >= kServerOctetsMax) return 0;
  const Message& m = in.message;
  Dispatcher::Owed owed = dispatcher_.Owe(in, to_tag);
  if (owed.headers.size() > kAnswerHeadersMax) return 0;
  auto server = std::make_unique<Server>(
      Server{.id = ++last_,
             .machine = ServerTransaction(m.method() == Method::kInvite,
                                          in.from.transport != Transport::kUdp,
                                          timers_, loop_.now()),
             .owed = std::move(owed),
             .key = RequestKey(m, m.method_text())});
  Server* const s = server.get();
  server_octets_ += s->owed.headers.size();
  by_request_.emplace(s->key, s->id);
  servers_.emplace(s->id, std::move(server));
  Arm(*s);
  return s->id;
}

bool Transactions::Respond(Id id, int code, std::string_view reason,
                           std::string_view headers, std::string_view body) {
  Server* const server = FindServer(id);
  if (server == nullptr) return false;
  const auto does = server->machine.Respond(code, loop_.now());
  if (does.send) {
    server->code = code;
    server_octets_ -= server->octets.size();
    server->octets =
        Cat("SIP/2.0 ", code, " ", reason, "\r\n", server->owed.headers,
            headers, "Content-Length: ", body.size(), "\r\n\r\n", body);
  }
  if (does.send) server_octets_ += server->octets.size();
  Act(id, does);
  return does.send;
}

Transactions::Id Transactions::InviteOf(const Incoming& cancel) const {
  const auto it = by_request_.find(RequestKey(cancel.message, "INVITE"));
  return it == by_request_.end() ? 0 : it->second;
}

void Transactions::Arm(Server& server) {
  loop_.Cancel(server.timer);
  server.timer = 0;
  const Micros due = server.machine.due();
  if (due == kNeverDue) return;
  server.timer = loop_.After(due - loop_.now(), [this, id = server.id] {
    if (Server* s = FindServer(id)) {
      s->timer = 0;
      Act(id, s->machine.OnTime(loop_.now()));
    }
  });
}

void Transactions::Act(Id id, ServerTransaction::Does does) {
  Server* const server = FindServer(id);
  Arm(*server);
  if (does.trying) {
    server->code = 100;
    server_octets_ -= server->octets.size();
    server->octets = Cat("SIP/2.0 100 Trying\r\n", server->owed.headers,
                         "Content-Length: 0\r\n\r\n");
    server_octets_ += server->octets.size();
  }
  if (does.send || does.trying) {
    dispatcher_.Send(server->owed, server->octets, server->code);
  }
  if (server->machine.state() == ServerTransaction::State::kTerminated) {
    End(*server);
  }
}

void Transactions::End(Server& server) {
  loop_.Cancel(server.timer);
  by_request_.erase(server.key);
  server_octets_ -= server.owed.headers.size() + server.octets.size();
  servers_.erase(server.id);
}

}  // namespace sluice::sip
