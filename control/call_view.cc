// What people and programs may look at of the calls, and the invariants.

#include <algorithm>
#include <set>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "control/session_manager.h"
#include "rtp/quality.h"

namespace sluice::control {
namespace {

// How each party's voice is heard by the other: its stream's books are with
// the RTP, the round trips with the RTCP (the same flow where they share one).
void Score(FlowView* rtp, const FlowView& rtcp) {
  for (const Side side : {Side::kFrom, Side::kTo}) {
    const relay::SideReport& heard = rtp->side[Index(side)].report;
    const relay::SideReport& own = rtcp.side[Index(side)].report;
    const relay::SideReport& listener = rtcp.side[Index(Other(side))].report;
    rtp::StreamQuality quality = heard.quality;
    quality.rtt_ms = own.quality.rtt_ms;
    rtp->side[Index(side)].mos =
        rtp::EstimateMos(rtp::MosInputOf(quality, listener.quality.rtt_ms));
  }
}

}  // namespace

SessionManager::FlowNews* SessionManager::News(uint32_t shard, Slot flow) {
  return const_cast<FlowNews*>(std::as_const(*this).News(shard, flow));
}

const SessionManager::FlowNews* SessionManager::News(uint32_t shard,
                                                     Slot flow) const {
  if (shard >= news_.size() || !flow) return nullptr;
  const std::vector<FlowNews>& news = news_[shard];
  if (flow.index >= news.size() ||
      news[flow.index].generation != flow.generation) {
    return nullptr;
  }
  return &news[flow.index];
}

// `facing` and `ours`: the sockets that face this party, and so were told to
// the other one; `theirs`: what this party said of itself; `side`: of the flow.
FlowView::SideView SessionManager::View(const Group& facing, const Medium& ours,
                                        const Medium& theirs, int index,
                                        Side side, const FlowNews* news) const {
  FlowView::SideView view{
      .local = {.ip = ports_.config(facing.interface).address,
                .port = ours.Local(index)},
      .target = theirs.Target(index)};
  if (news != nullptr) {
    const FlowNews::Heard& heard = news->heard[Index(side)];
    view.latched = heard.source;
    view.by = heard.by;
    view.confirmed = heard.confirmed;
  }
  return view;
}

SessionView SessionManager::View(const Call& call,
                                 const Transaction& transaction,
                                 const Fork& fork) const {
  SessionView view{.id = fork.session.id,
                   .cseq = transaction.cseq,
                   .id_from = transaction.id_from,
                   .id_to = fork.id_to,
                   .created = fork.session.created,
                   .last_packet = LastPacket(call, fork.session)};
  const Group& offer = *transaction.from;
  const Group& answer = fork.group;
  view.flows.reserve(fork.session.flows.size());
  for (size_t m = 0; m < offer.media.size(); ++m) {
    const Medium& a = offer.media[m];
    const Medium& b = answer.media[m];
    const relay::FlowKind first = a.active() ? a.first : b.first;
    for (int i = 0; i < a.range; ++i) {
      const Slot slot = fork.session.flows[view.flows.size()];
      const FlowNews* news = News(call.shard, slot);
      FlowView flow{.call_medium = absl::StrCat(m), .index = i, .kind = first};
      if (HasRtcp(first) && i % 2 == 1) {
        flow.kind = relay::FlowKind::kRtcp;
      }
      const auto of_flow = [&](Side side) { return fork.session.OfFlow(side); };
      flow.side[Index(Side::kFrom)] =
          View(answer, b, a, i, of_flow(Side::kFrom), news);
      flow.side[Index(Side::kTo)] =
          View(offer, a, b, i, of_flow(Side::kTo), news);
      const relay::FlowKind flow_kind = flow.kind;
      const relay::FlowReport report = plane_.Report(call.shard, slot);
      for (const Side side : {Side::kFrom, Side::kTo}) {
        FlowView::SideView& of = flow.side[Index(side)];
        of.report = report.side[Index(of_flow(side))];
      }
      view.flows.push_back(std::move(flow));
      if (flow_kind == relay::FlowKind::kRtcp) {
        // The stream's round trips were seen on its RTCP.
        Score(&view.flows[view.flows.size() - 2], view.flows.back());
      } else if (HasRtcp(flow_kind)) {
        Score(&view.flows.back(), view.flows.back());
      }
    }
  }
  return view;
}

absl::StatusOr<CallView> SessionManager::FindCall(
    std::string_view call_id) const {
  const Call* call = Lookup(call_id);
  if (call == nullptr) return absl::NotFoundError("no such call");
  CallView view{.call_id = call->call_id,
                .uri_from = call->uri_from,
                .uri_to = call->uri_to,
                .shard = call->shard,
                .created = call->created,
                .sockets = static_cast<int>(call->sockets())};
  for (const Transaction& t : call->transactions) {
    for (const Fork& fork : t.forks) {
      if (fork.session) view.sessions.push_back(View(*call, t, fork));
    }
  }
  return view;
}

CallSummary SessionManager::Summary(const Call& call) const {
  CallSummary summary{.call_id = call.call_id,
                      .shard = call.shard,
                      .created = call.created,
                      .sockets = static_cast<int>(call.sockets())};
  for (const Transaction& t : call.transactions) {
    for (const Fork& fork : t.forks) {
      if (!fork.session) continue;
      ++summary.sessions;
      summary.last_packet =
          std::max(summary.last_packet, LastPacket(call, fork.session));
      for (const Slot flow : fork.session.flows) {
        const relay::FlowReport report = plane_.Report(call.shard, flow);
        for (const relay::SideReport& side : report.side) {
          summary.packets += side.packets_in;
          summary.bytes += side.bytes_in;
        }
      }
    }
  }
  return summary;
}

absl::StatusOr<CallFlows> SessionManager::FindFlows(
    std::string_view call_id) const {
  const Call* call = Lookup(call_id);
  if (call == nullptr) return absl::NotFoundError("no such call");
  CallFlows found{.shard = call->shard};
  for (const Transaction& t : call->transactions) {
    for (const Fork& fork : t.forks) {
      const std::vector<Slot>& flows = fork.session.flows;
      if (fork.session) {
        found.flows.insert(found.flows.end(), flows.begin(), flows.end());
      }
    }
  }
  return found;
}

CallPage SessionManager::ListCalls(size_t offset, size_t limit) const {
  CallPage page{.total = calls_.size()};
  const Call* call = oldest_;
  for (; offset > 0 && call != nullptr; --offset) call = call->next;
  for (; call != nullptr && page.calls.size() < limit; call = call->next) {
    page.calls.push_back(Summary(*call));
  }
  return page;
}

ManagerStatus SessionManager::status() const {
  ManagerStatus status{.calls = calls_.size(),
                       .sessions = sessions_,
                       .flows = flows_,
                       .sockets = ports_.sockets(),
                       .ports_total = ports_.total(),
                       .draining = draining_};
  for (size_t i = 0; i < ports_.interfaces(); ++i) {
    status.ports_taken += ports_.pool(i).taken();
    status.ports_quarantined += ports_.pool(i).quarantined();
  }
  counters_.ForEach([&status](const char* name, uint64_t value) {
    status.counters.emplace_back(name, value);
  });
  return status;
}

bool SessionManager::Validate() const {
  uint64_t calls = 0, sessions = 0, flows = 0, sockets = 0;
  std::set<std::pair<uint32_t, uint32_t>> seen;  // sockets are shared
  const auto whole = [&](const Call& call, const Group& group) {
    size_t wanted = 0;
    for (const Medium& medium : group.media) wanted += medium.range;
    // One that the shard lost is still remembered, but not open.
    for (const Slot socket : group.sockets) {
      if (ports_.IsOpen(call.shard, socket) &&
          seen.emplace(call.shard, socket.index).second) {
        ++sockets;
      }
    }
    return wanted == group.sockets.size();
  };
  const auto reaches = [this](const Group& facing, const Group& party) {
    const IpAddress& from = ports_.config(facing.interface).address;
    return std::all_of(
        party.media.begin(), party.media.end(), [&from](const Medium& m) {
          return !m.active() || TargetPolicy::CheckFrom(from, m.ip).ok();
        });
  };
  const Call* previous = nullptr;
  for (const Call* call = oldest_; call != nullptr; call = call->next) {
    if (++calls > calls_.size() || call->previous != previous ||
        Lookup(call->call_id) != call || call->transactions.empty() ||
        call->timer == 0) {
      return false;
    }
    previous = call;
    for (const Transaction& t : call->transactions) {
      if (t.empty() || (t.from && !whole(*call, *t.from))) return false;
      for (const Fork& fork : t.forks) {
        if (!whole(*call, fork.group)) return false;
        if (t.from &&
            !(reaches(*t.from, fork.group) && reaches(fork.group, *t.from))) {
          return false;
        }
        if (fork.aside && (!t.from || !fork.over || fork.session)) return false;
        if (!fork.session) continue;
        if (!t.from || fork.over ||
            fork.session.flows.size() != fork.group.sockets.size()) {
          return false;
        }
        ++sessions;
        for (const Slot flow : fork.session.flows) {
          if (News(call->shard, flow) == nullptr) return false;
          ++flows;
        }
      }
    }
  }
  uint64_t known_flows = 0;
  for (const std::vector<FlowNews>& news : news_) {
    known_flows += static_cast<uint64_t>(
        std::count_if(news.begin(), news.end(),
                      [](const FlowNews& n) { return n.generation != 0; }));
  }
  return previous == newest_ && calls == calls_.size() &&
         timers_.size() == calls && timers_.Validate() &&
         sessions == sessions_ && flows == flows_ && known_flows == flows &&
         sockets + ports_.closing() == ports_.sockets() && ports_.Validate();
}

}  // namespace sluice::control
