#include "sip/dispatcher.h"

#include <algorithm>
#include <utility>

#include "base/text.h"
#include "sip/branch.h"
#include "sip/reply.h"

namespace sluice::sip {
namespace {

// What a forged source is sent is not worth forging it.
constexpr size_t kAnswerFactor = 2, kAnswerOctets = 600;

// As many of the lines as fit.
std::string_view CutLines(std::string_view lines, size_t octets) {
  while (lines.size() > octets) {
    const size_t end = lines.substr(0, lines.size() - 1).rfind('\n');
    lines = end == std::string_view::npos ? std::string_view()
                                          : lines.substr(0, end + 1);
  }
  return lines;
}

}  // namespace

std::string TransactionOf(const Message& message, const Via& via) {
  return Cat(message.call_id(), " ", message.cseq(), " ", via.branch);
}

Dispatcher::Dispatcher(Legs& legs, const Keys& keys,
                       std::function<Micros()> clock)
    : legs_(legs),
      keys_(keys),
      tokens_(keys),
      clock_(std::move(clock)),
      chains_(legs.size(), std::make_shared<ReceiveChain>()) {}

void Dispatcher::SetChain(const Leg& leg, std::vector<Handler*> chain) {
  chains_[leg.index] = std::make_shared<ReceiveChain>(
      leg.name, std::move(chain), std::vector<std::string>());
}

Leg* Dispatcher::FindLeg(std::string_view name) {
  for (auto& leg : legs_) {
    if (leg->name == name) return leg.get();
  }
  return nullptr;
}

Leg* Dispatcher::OwnerOf(std::string_view host, uint16_t port) {
  for (auto& leg : legs_) {
    if (leg->Is(host, port)) return leg.get();
  }
  return nullptr;
}

Leg* Dispatcher::OwnerOf(const Uri& uri) {
  Transport transport = Transport::kUdp;
  if (uri.scheme == Uri::Scheme::kSips) {
    transport = Transport::kTls;
  } else if (const auto named = uri.Param("transport")) {
    transport = TransportOf(*named).value_or(transport);
  }
  Leg* owner = nullptr;
  for (auto& leg : legs_) {
    const Leg::Address* own = leg->Own(uri.host, uri.port, transport);
    if (own == nullptr) continue;
    if (own->transport == transport) return leg.get();
    if (owner == nullptr) owner = leg.get();
  }
  return owner;
}

bool Dispatcher::IsOurMark(const Uri& uri, const Message& message) {
  // A request that begins something shows nothing by it: with one call's mark
  // another could be made to anywhere.
  if (!message.to() || message.to()->tag.empty()) return false;
  const auto mark = uri.Param("s");
  return mark && OwnerOf(uri) != nullptr && IsRouteMark(keys_, *mark, message);
}

bool Dispatcher::InDialog(const Message& request) {
  if (!request.to() || request.to()->tag.empty()) return false;
  std::optional<Uri> target = request.parsed_uri();
  if (!target) return false;
  std::string_view mark;
  bool marked = false;
  const auto note = [&](const Uri& ours) {
    if (const auto hop = ours.Param("n")) mark = *hop;
    marked = marked || IsOurMark(ours, request);
  };
  // A strict router before us: where it goes is the last Route.
  const bool strict =
      !target->has_user && target->Param("lr") && OwnerOf(*target) != nullptr;
  if (strict) note(*target);
  std::optional<NameAddr> last, foreign;
  request.ForEach(HeaderId::kRoute, [&](std::string_view value) {
    last = NameAddr::Parse(value);
    if (!last) return false;
    if (OwnerOf(last->uri) == nullptr) {
      foreign = last;
    } else {
      note(last->uri);
    }
    return !foreign;
  });
  if (foreign) {
    target = foreign->uri;
  } else if (strict) {
    if (!last) return false;
    target = last->uri;
  }
  // A token alone shows no dialog: answers that make none have them, too.
  return (!foreign && marked && IsToken(*target)) ||
         IsHopMark(keys_, mark, request, *target);
}

bool Dispatcher::IsToken(const Uri& uri) {
  return uri.has_user && OwnerOf(uri) != nullptr &&
         tokens_.Open(uri.user).has_value();
}

void Dispatcher::Trace(bool in, const Leg& leg, const Peer& peer,
                       std::string_view octets, std::string_view call_id) {
  if (!trace_) return;
  trace_(SipTrace{.in = in,
                  .leg = leg,
                  .peer = peer,
                  .octets = octets,
                  .call_id = call_id});
}

void Dispatcher::OnMessage(Leg& leg, const Peer& from,
                           std::string_view octets) {
  const Refusal refusal = message_.Parse(octets);
  Trace(true, leg, from, octets, message_.call_id());
  if (message_.is_response()) return OnResponse(leg, from, refusal);
  OnRequest(leg, from, refusal);
}

void Dispatcher::OnRequest(Leg& leg, const Peer& from, Refusal refusal) {
  ++counters_.requests_in;
  ++counters_.requests_by_method[static_cast<size_t>(message_.method())];
  const bool ack = message_.method() == Method::kAck;
  if (refusal && (!message_.Answerable() || ack)) {
    return Drop(SipDrop::k_unparsable);
  }
  Incoming in(message_, leg, from, clock_());
  if (!message_.top_via()) return Drop(SipDrop::k_unparsable);
  in.via = ViaWithSource(*message_.top_via(), from.address);
  if (refusal) return Reply(in, refusal.code, refusal.reason);
  if (ack) {
    // Whoever was refused by us says so to us; nobody behind us has heard of
    // that INVITE (RFC 3261 17.1.1.3).
    const auto& to = message_.to();
    if (to && to->tag == TagOf(keys_, message_, in.via))
      return Drop(SipDrop::k_own_ack);
  }
  if (from.transport != Transport::kUdp) {
    leg.sockets->Remember(from.connection,
                          TransactionOf(message_, *message_.top_via()));
  }
  const std::shared_ptr<ReceiveChain> chain = chains_[leg.index];
  if (chain->Receive(in) == Handler::Handled::kMine) return;
  Reply(in, 404, ReasonOf(404));
}

void Dispatcher::OnResponse(Leg& leg, const Peer& from, Refusal refusal) {
  ++counters_.responses_in;
  if (refusal) return Drop(SipDrop::k_bad_response);
  Incoming in(message_, leg, from, clock_());
  const std::shared_ptr<ReceiveChain> chain = chains_[leg.index];
  if (chain->Receive(in) == Handler::Handled::kMine) return;
  Drop(SipDrop::k_no_handler);
}

Dispatcher::Owed Dispatcher::Owe(const Incoming& in) const {
  return Owe(in, TagOf(keys_, in.message, in.via));
}

Dispatcher::Owed Dispatcher::Owe(const Incoming& in,
                                 std::string_view to_tag) const {
  const Message& request = in.message;
  const Via& via = *request.top_via();
  Owed owed{.leg = &in.leg,
            .to = in.from,
            .headers = ReplyHeaders(request, in.via, to_tag),
            .call_id = std::string(request.call_id())};
  if (in.from.transport != Transport::kUdp) {
    owed.transaction = TransactionOf(request, via);
    return owed;
  }
  // Its address is the source's, its port what the sender wants (RFC 3261
  // 18.2.2, RFC 3581 4).
  if (!via.rport) owed.to.address.port = via.port_or_default();
  if (in.user.empty()) {
    owed.octets_max = kAnswerFactor * request.octets().size() + kAnswerOctets;
  }
  return owed;
}

void Dispatcher::Reply(const Incoming& in, int code, std::string_view reason,
                       std::string_view extra) {
  if (in.message.method() == Method::kAck) return Drop(SipDrop::k_bad_ack);
  Reply(Owe(in), code, reason, extra);
}

void Dispatcher::Reply(const Owed& owed, int code, std::string_view reason,
                       std::string_view extra) {
  std::string octets = MakeReply(owed.headers, code, reason, extra);
  if (octets.size() > owed.octets_max) {
    const size_t rest = octets.size() - extra.size();
    extra = CutLines(extra, owed.octets_max - std::min(owed.octets_max, rest));
    octets = MakeReply(owed.headers, code, reason, extra);
    ++counters_.replies_cut;
  }
  Send(owed, std::move(octets), code);
}

void Dispatcher::Send(const Owed& owed, std::string octets, int code) {
  Trace(false, *owed.leg, owed.to, octets, owed.call_id);
  owed.leg->sockets->Send(
      owed.to, std::move(octets), owed.transaction, /*response=*/true, "",
      [this, code](absl::Status sent) {
        if (!sent.ok()) return Drop(SipDrop::k_send_failed);
        ++counters_.replies;
        ++counters_.replies_by_class[static_cast<size_t>(code / 100)];
      });
}

void Dispatcher::SendResponse(Leg& leg, const Peer& to, std::string octets,
                              const Message& in, const Via& next) {
  Trace(false, leg, to, octets, in.call_id());
  const std::string transaction =
      to.transport == Transport::kUdp ? std::string() : TransactionOf(in, next);
  leg.sockets->Send(to, std::move(octets), transaction, /*response=*/true, "",
                    [this](absl::Status sent) {
                      if (!sent.ok()) return Drop(SipDrop::k_send_failed);
                      ++counters_.responses_forwarded;
                    });
}

void Dispatcher::Try(Hops hops, size_t next, std::string_view call_id,
                     std::function<void()> failed) {
  for (; next < hops.size(); ++next) {
    Hop& hop = hops[next];
    Leg& leg = *hop.leg;
    const Peer to{.transport = hop.destination.transport,
                  .address = hop.destination.address,
                  .connection = hop.connection};
    if (next > 0) ++counters_.next_destinations;
    Trace(false, leg, to, hop.octets, call_id);
    std::string octets = std::move(hop.octets);
    if (to.transport != Transport::kUdp) {
      const std::string tls_name = hop.destination.tls_name;
      return leg.sockets->Send(
          to, std::move(octets), "", /*response=*/false, tls_name,
          [this, hops = std::move(hops), next, call_id = std::string(call_id),
           failed = std::move(failed)](absl::Status sent) mutable {
            if (sent.ok()) {
              ++counters_.requests_forwarded;
              return;
            }
            Try(std::move(hops), next + 1, call_id, std::move(failed));
          });
    }
    bool taken = false;
    leg.sockets->Send(to, std::move(octets), "", /*response=*/false, "",
                      [&taken](absl::Status sent) { taken = sent.ok(); });
    if (taken) {
      ++counters_.requests_forwarded;
      return;
    }
  }
  failed();
}

}  // namespace sluice::sip
