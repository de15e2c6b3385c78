#include "control/session_manager.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "base/status_macros.h"

namespace sluice::control {
namespace {

using relay::FlowKind;

// A mistake in the control protocol, not in a call: it is refused before
// anything is looked up.
absl::Status CheckKey(const SessionKey& key) {
  if (key.call_id.size() > kIdOctets || key.id_from.size() > kIdOctets ||
      key.id_to.size() > kIdOctets) {
    return absl::InvalidArgumentError(
        absl::StrCat("an identifier is longer than ", kIdOctets, " octets"));
  }
  return absl::OkStatus();
}

absl::Status CheckKeyOfOffer(const SessionKey& key) {
  if (!key.cseq) return absl::InvalidArgumentError("the CSeq is missing");
  return CheckKey(key);
}

Medium ToMedium(const Media& media) {
  return Medium{.ip = media.ip,
                .port = media.port,
                .range = static_cast<uint8_t>(media.range),
                .first = media.first,
                .clock_hz = media.clock_hz,
                .heard_from = media.heard_from};
}

bool SameTarget(const Medium& kept, const Media& told) {
  return kept.ip == told.ip && kept.port == told.port;
}

bool SameLines(const std::vector<Medium>& kept, absl::Span<const Media> told) {
  return std::equal(kept.begin(), kept.end(), told.begin(), told.end(),
                    [](const Medium& a, const Media& b) {
                      return a.range == b.range && a.first == b.first;
                    });
}

// A flow counts jitter in the units of its codec.
bool SameClocks(const std::vector<Medium>& kept, absl::Span<const Media> told) {
  return std::equal(
      kept.begin(), kept.end(), told.begin(), told.end(),
      [](const Medium& a, const Media& b) { return a.clock_hz == b.clock_hz; });
}

// Whether the session joins the very sockets of that offer and its answer.
bool IsOnPortsOf(const Standing& standing, const Transaction& offer,
                 const Fork& answer) {
  return standing.own().sockets == offer.from->sockets &&
         standing.other().sockets == answer.group.sockets;
}

TargetPolicy PolicyOf(const SessionManager::Options& options) {
  TargetPolicy::Options policy{.deny = options.deny_targets,
                               .allow = options.allow_targets,
                               .listeners = options.listeners};
  for (const InterfaceConfig& interface : options.interfaces) {
    policy.own.push_back(interface.address);
    if (!interface.advertise.is_any()) {
      policy.own.push_back(interface.advertise);
    }
  }
  return TargetPolicy(std::move(policy));
}

}  // namespace

SessionManager::SessionManager(const Options& options, relay::MediaPlane& plane,
                               Micros now)
    : plane_(plane),
      options_(options),
      policy_(PolicyOf(options)),
      ports_({.interfaces = options.interfaces,
              .first = options.port_first,
              .last = options.port_last,
              .seed = options.port_seed},
             plane, counters_),
      timers_(now),
      now_(now),
      news_(plane.shards()) {
  CHECK(options.max_range >= 1 && options.max_range <= 64);
}

SessionManager::~SessionManager() = default;

void SessionManager::Reconfigure(const Options& options) {
  CHECK(options.max_range >= 1 && options.max_range <= 64);
  Options wanted = options;
  for (size_t i = 0; i < options_.interfaces.size(); ++i) {
    if (i < wanted.interfaces.size()) {
      options_.interfaces[i].latch = wanted.interfaces[i].latch;
    }
    ports_.SetLatch(i, options_.interfaces[i].latch);
  }
  wanted.interfaces = std::move(options_.interfaces);
  wanted.port_first = options_.port_first;
  wanted.port_last = options_.port_last;
  options_ = std::move(wanted);
  policy_ = PolicyOf(options_);
}

// ---- Allocate ---------------------------------------------------------------

absl::StatusOr<std::vector<Allocation>> SessionManager::Allocate(
    const SessionKey& key, Side side, const IpAddress& local,
    absl::Span<const Media> media) {
  auto allocated = AllocateNow(key, side, local, media);
  // A refusal, too, may have put off the end of something.
  Tell(key.call_id);
  return allocated;
}

absl::StatusOr<std::vector<Allocation>> SessionManager::AllocateNow(
    const SessionKey& key, Side side, const IpAddress& local,
    absl::Span<const Media> media) {
  if (absl::Status status = CheckKeyOfOffer(key); !status.ok()) {
    return Count(counters_.allocate_invalid, std::move(status));
  }
  RETURN_IF_ERROR(CheckMedia(media));
  const std::optional<uint8_t> interface = ports_.Find(local);
  if (!interface) {
    return Count(
        counters_.allocate_no_interface,
        absl::NotFoundError(absl::StrCat(
            local.ToString(), " is not the address of any relay.interface")));
  }

  Call* call = Lookup(key.call_id);
  Transaction* transaction =
      call == nullptr ? nullptr : call->Find(key.id_from, *key.cseq);
  if (transaction != nullptr) {
    Fork* fork = transaction->Find(key.id_to);
    Touch(*transaction, fork);
    if (side == Side::kFrom ? transaction->from.has_value() : fork != nullptr) {
      auto repeated = Repeat(*call, *transaction, side, fork, media);
      if (repeated.ok() && side == Side::kFrom) {
        transaction->NoteWay(key.branch);
      }
      return repeated;
    }
  } else if (call != nullptr && call->HasLater(key.id_from, *key.cseq)) {
    return Count(
        counters_.allocate_old_cseq,
        absl::FailedPreconditionError(absl::StrCat(
            "CSeq ", *key.cseq, " is older than an offer of the same party")));
  }

  if (call == nullptr) {
    if (draining_) {
      return Count(counters_.allocate_draining,
                   absl::UnavailableError("draining: no new calls"));
    }
    RETURN_IF_ERROR(CheckCalls());
  } else if (transaction == nullptr
                 ? call->transactions.size() >= kTransactionsPerCall
                 : side == Side::kTo &&
                       transaction->forks.size() >= kForksPerTransaction) {
    return Count(
        counters_.allocate_call_full,
        absl::ResourceExhaustedError("too many offers or forks in this call"));
  }
  const Group* kept = nullptr;
  if (call != nullptr) {
    kept = FindKept(*call, transaction, key, side, *interface, media);
  }
  if (kept == nullptr) {
    size_t wanted = 0;
    for (const Media& medium : media) {
      wanted += static_cast<size_t>(medium.range);
    }
    RETURN_IF_ERROR(
        CheckPortsOfCall(call == nullptr ? 0 : call->sockets(), wanted));
  }
  Group group{.made = now_, .faces = Other(side), .interface = *interface};
  group.media.reserve(media.size());
  for (const Media& medium : media) {
    if (absl::Status status = CheckTarget(medium); !status.ok()) {
      return Count(counters_.allocate_bad_target, std::move(status));
    }
    group.media.push_back(ToMedium(medium));
  }
  if (absl::Status status = CheckReach(transaction, side, *interface, media);
      !status.ok()) {
    return Count(counters_.allocate_unreachable, std::move(status));
  }

  const uint32_t shard = call == nullptr ? plane_.PickShard() : call->shard;
  // First the targets: this very call must not be given the ports it names.
  for (const Medium& medium : group.media) ports_.AddTargets(medium);
  if (kept != nullptr) {
    group.made = std::max(kept->made, call->refused);
    group.faces = kept->faces;
    group.sockets = kept->sockets;
    for (const Slot socket : group.sockets) ports_.Share(shard, socket);
    for (size_t m = 0; m < media.size(); ++m) {
      group.media[m].base = kept->media[m].base;
    }
    ++counters_.allocate_kept;
  } else {
    absl::StatusOr<std::vector<Slot>> sockets =
        ports_.Open(shard, *interface, absl::MakeSpan(group.media), now_);
    if (!sockets.ok()) {
      for (const Medium& medium : group.media) ports_.RemoveTargets(medium);
      return sockets.status();
    }
    group.sockets = *std::move(sockets);
    ++counters_.allocate_new;
  }

  // Nothing can fail from here on.
  std::vector<Allocation> answer = Answer(group);
  if (call == nullptr) {
    call = &NewCall(key.call_id, key.uri_from, key.uri_to, shard);
  }
  if (transaction == nullptr) {
    transaction = &call->transactions.emplace_back(
        Transaction{.id_from = key.id_from, .cseq = *key.cseq});
  }
  if (side == Side::kFrom) {
    transaction->from = std::move(group);
    transaction->NoteWay(key.branch);
  } else {
    transaction->forks.push_back(
        Fork{.id_to = key.id_to, .group = std::move(group)});
  }
  Touch(*transaction, transaction->Find(key.id_to));
  Arm(*call, now_ + options_.unused);
  return answer;
}

// The ports that this party's media has in the session that is up, if they do
// for what it says now.
const Group* SessionManager::FindKept(Call& call,
                                      const Transaction* transaction,
                                      const SessionKey& key, Side side,
                                      uint8_t interface,
                                      absl::Span<const Media> media) const {
  const Standing standing = call.FindSession(key.id_from, key.id_to);
  if (!standing) return nullptr;
  // An answer keeps its ports where the offer has: a session moves whole.
  if (side == Side::kTo &&
      (transaction == nullptr || !transaction->from ||
       transaction->from->sockets != standing.own().sockets)) {
    return nullptr;
  }
  const Group& group = side == Side::kFrom ? standing.own() : standing.other();
  const bool open = std::all_of(
      group.sockets.begin(), group.sockets.end(),
      [&](Slot socket) { return ports_.IsOpen(call.shard, socket); });
  return open && group.interface == interface &&
                 SameLines(group.media, media) && SameClocks(group.media, media)
             ? &group
             : nullptr;
}

std::vector<Allocation> SessionManager::Answer(const Group& group) const {
  std::vector<Allocation> answer;
  answer.reserve(group.media.size());
  for (const Medium& medium : group.media) {
    answer.push_back({.ip = ports_.Announced(group.interface),
                      .port = medium.active() ? medium.base : uint16_t{0},
                      .range = medium.range,
                      .made = group.made});
  }
  return answer;
}

absl::StatusOr<std::vector<Allocation>> SessionManager::Repeat(
    const Call& call, Transaction& transaction, Side side, Fork* fork,
    absl::Span<const Media> media) {
  Group& group = side == Side::kFrom ? *transaction.from : fork->group;
  if (!SameLines(group.media, media)) {
    return Count(counters_.allocate_other_media,
                 absl::FailedPreconditionError(
                     "heard before with other media lines; a new offer needs a "
                     "new CSeq"));
  }
  if (std::equal(group.media.begin(), group.media.end(), media.begin(),
                 SameTarget)) {
    ++counters_.allocate_repeated;
    return Answer(group);
  }
  RETURN_IF_ERROR(CheckMove(transaction, side, group, media));
  Move(call, transaction, side, fork, group, media);
  ++counters_.allocate_changed;
  return Answer(group);
}

absl::Status SessionManager::CheckMove(const Transaction& transaction,
                                       Side side, const Group& group,
                                       absl::Span<const Media> media) {
  for (size_t m = 0; m < media.size(); ++m) {
    if (SameTarget(group.media[m], media[m])) continue;
    if (absl::Status status = CheckTarget(media[m]); !status.ok()) {
      return Count(counters_.allocate_bad_target, std::move(status));
    }
  }
  if (absl::Status status =
          CheckReach(&transaction, side, group.interface, media);
      !status.ok()) {
    return Count(counters_.allocate_unreachable, std::move(status));
  }
  return absl::OkStatus();
}

void SessionManager::Move(const Call& call, Transaction& transaction, Side side,
                          Fork* fork, Group& group,
                          absl::Span<const Media> media) {
  size_t flow = 0;
  for (size_t m = 0; m < media.size(); flow += group.media[m].range, ++m) {
    Medium& medium = group.media[m];
    if (SameTarget(medium, media[m])) continue;
    ports_.RemoveTargets(medium);
    medium.ip = media[m].ip;
    medium.port = media[m].port;
    ports_.AddTargets(medium);
    for (const Fork& other : transaction.forks) {
      if (!other.session || (side == Side::kTo && &other != fork)) continue;
      Aim(call, other.session, flow, side, medium,
          side == Side::kFrom ? other.group.interface : transaction.from->interface);
    }
  }
}

// The flows of one medium, from the `flow`-th on, go where it says now.
void SessionManager::Aim(const Call& call, const Session& session, size_t flow,
                         Side side, const Medium& medium, uint8_t facing) {
  const Side of_flow = session.OfFlow(side);
  for (size_t i = 0; i < medium.range; ++i) {
    const Slot slot = session.flows[flow + i];
    plane_.Retarget(call.shard, slot, of_flow,
                    Target(medium, static_cast<int>(i), facing));
    if (FlowNews* news = News(call.shard, slot)) {
      news->heard[Index(of_flow)] = {};
    }
  }
}

// ---- Activate ---------------------------------------------------------------

absl::StatusOr<Activation> SessionManager::Activate(const SessionKey& key) {
  auto activated = ActivateNow(key);
  Tell(key.call_id);
  return activated;
}

absl::StatusOr<Activation> SessionManager::ActivateNow(const SessionKey& key) {
  if (absl::Status status = CheckKeyOfOffer(key); !status.ok()) {
    return Count(counters_.activate_invalid, std::move(status));
  }
  Call* call = Lookup(key.call_id);
  Transaction* transaction =
      call == nullptr ? nullptr : call->Find(key.id_from, *key.cseq);
  if (transaction == nullptr) {
    return Count(counters_.activate_unknown,
                 absl::NotFoundError(absl::StrCat("no offer with CSeq ",
                                                  *key.cseq, " in this call")));
  }
  Fork* fork = transaction->Find(key.id_to);
  Touch(*transaction, fork);
  if (!transaction->from || fork == nullptr) {
    return Count(counters_.activate_half_open,
                 absl::FailedPreconditionError(transaction->from
                                                   ? "there is no answer yet"
                                                   : "there is no offer yet"));
  }
  if (fork->over) {
    return Count(counters_.activate_over,
                 absl::FailedPreconditionError(
                     "the session was closed, or a newer one of the two "
                     "parties took its place"));
  }
  if (fork->session) {
    ++fork->session.activations;
    if (key.stage != sip::AnswerStage::kEarly) {
      Settle(*call, key.id_from, key.id_to);
    }
    ++counters_.activate_again;
    return Activation::kAgain;
  }
  RETURN_IF_ERROR(CheckMatch(*transaction->from, fork->group));
  const Standing standing = call->FindSession(key.id_from, key.id_to);
  if (standing && IsOnPortsOf(standing, *transaction, *fork)) {
    MoveSession(*call, standing, *transaction, *fork);
    SetAside(*call, standing);
    if (key.stage == sip::AnswerStage::kFinal) {
      Settle(*call, key.id_from, key.id_to);
    }
    ++counters_.activate_kept;
    return Activation::kNew;
  }
  // The offer's ports may be those of a session that the other party offered;
  // then the answer's are new ones, in no flow yet, and are turned after them.
  fork->group.faces = Other(transaction->from->faces);
  ASSIGN_OR_RETURN(std::vector<Slot> flows,
                   OpenFlows(*call, *transaction->from, fork->group));
  ReplaceOlder(*call, key);
  if (key.stage == sip::AnswerStage::kFinal) {
    Settle(*call, key.id_from, key.id_to);
  }
  Begin(*call, *transaction, *fork, std::move(flows));
  ++counters_.activate_new;
  return Activation::kNew;
}

void SessionManager::Begin(Call& call, Transaction& transaction, Fork& fork,
                           std::vector<Slot> flows) {
  flows_ += flows.size();
  ++sessions_;
  fork.session = Session{.id = ++last_session_id_,
                         .created = now_,
                         .activations = 1,
                         .turned = transaction.from->faces == Side::kFrom,
                         .flows = std::move(flows)};
  Arm(call, now_ + options_.active);
}

// Its packets go on: nothing but the targets that have changed is touched.
void SessionManager::MoveSession(Call& call, const Standing& standing,
                                 Transaction& transaction, Fork& fork) {
  const Group& offer = *transaction.from;
  fork.session = std::exchange(standing.fork->session, Session{});
  ++fork.session.activations;
  fork.session.turned = offer.faces == Side::kFrom;
  const auto aim = [&](Side side, const Group& was, const Group& is,
                       uint8_t facing) {
    size_t flow = 0;
    for (size_t m = 0; m < is.media.size(); flow += is.media[m].range, ++m) {
      const Medium& now = is.media[m];
      if (now.ip == was.media[m].ip && now.port == was.media[m].port &&
          now.heard_from == was.media[m].heard_from) {
        continue;
      }
      Aim(call, fork.session, flow, side, now, facing);
    }
  };
  aim(Side::kFrom, standing.own(), offer, fork.group.interface);
  aim(Side::kTo, standing.other(), fork.group, offer.interface);
}

// The offer was refused after an answer to it had come early: what was up
// before goes on (RFC 3261 14.1).
void SessionManager::Restore(Call& call, const Standing& older) {
  Transaction& transaction = *older.transaction;
  Fork& fork = *older.fork;
  fork.over = fork.aside = false;
  Touch(transaction, &fork);
  const Standing refused = call.FindSession(transaction.id_from, fork.id_to);
  if (IsOnPortsOf(refused, transaction, fork)) {
    MoveSession(call, refused, transaction, fork);
    refused.fork->over = true;
    GiveUp(*refused.transaction, *refused.fork);
    Arm(call, refused.fork->group.release_at);
  } else {
    Finish(call, *refused.transaction, *refused.fork);
    absl::StatusOr<std::vector<Slot>> flows =
        OpenFlows(call, *transaction.from, fork.group);
    if (!flows.ok()) {
      // Counted there; nobody is asking, so nobody is told.
      fork.over = true;
      GiveUp(transaction, fork);
      Arm(call, fork.group.release_at);
      return;
    }
    Begin(call, transaction, fork, *std::move(flows));
    ++fork.session.activations;
  }
  ++counters_.sessions_restored;
}

absl::Status SessionManager::CheckMatch(const Group& offer,
                                        const Group& answer) {
  const auto same = [](const Medium& a, const Medium& b) {
    return a.range == b.range &&
           (a.first == b.first || !a.active() || !b.active());
  };
  if (!std::equal(offer.media.begin(), offer.media.end(), answer.media.begin(),
                  answer.media.end(), same)) {
    return Count(counters_.activate_other_media,
                 absl::FailedPreconditionError(
                     "offer and answer have different media lines"));
  }
  return absl::OkStatus();
}

relay::SideTarget SessionManager::Target(const Medium& medium, int i,
                                         uint8_t interface) const {
  const InterfaceConfig& facing = ports_.config(interface);
  // A party on hold that still named its address may be heard from there only.
  // Nobody is learnt where the operator has said whom media may be sent to: a
  // learnt source would slip past his lists. Nor where the party is a neighbour
  // of ours by the bound or by the advertised address: then it can be reached
  // as it says.
  const bool learnable = medium.active() && options_.allow_targets.empty() &&
                         options_.deny_targets.empty() &&
                         medium.ip.is_private() &&
                         !medium.ip.SharesScopeWith(facing.address) &&
                         !medium.ip.SharesScopeWith(facing.advertise);
  // One whose signalling was seen is looked for at that address alone (M1).
  const bool seen = medium.heard_from != IpAddress();
  IpAddress signalled;
  if (!medium.active() && !medium.ip.is_any()) signalled = medium.ip;
  if (learnable && seen) signalled = medium.heard_from;
  return {.target = medium.Target(i),
          .signalled = signalled,
          .learn_any = learnable && !seen};
}

absl::StatusOr<std::vector<Slot>> SessionManager::OpenFlows(
    const Call& call, const Group& offer, const Group& answer) {
  std::vector<Slot> flows;
  flows.reserve(offer.sockets.size());
  for (size_t m = 0; m < offer.media.size(); ++m) {
    const Medium& a = offer.media[m];
    const Medium& b = answer.media[m];
    const Medium& telling = a.active() ? a : b;
    for (int i = 0; i < a.range; ++i) {
      const size_t k = flows.size();
      relay::MediaPlane::FlowSpec spec{.kind = telling.first,
                                       .clock_hz = telling.clock_hz};
      if (HasRtcp(telling.first) && i % 2 == 1) {
        spec.kind = FlowKind::kRtcp;
        spec.rtp_flow = flows[k - 1];
      }
      // The offer's sockets were told to the answerer and face it; what it
      // sends there leaves to where the offer said (from the other socket).
      // Each party is judged by the interface that faces it.
      const int offerer = Index(answer.faces), answerer = Index(offer.faces);
      spec.policy[offerer] = ports_.config(answer.interface).latch;
      spec.policy[answerer] = ports_.config(offer.interface).latch;
      spec.socket[offerer] = answer.sockets[k];
      spec.socket[answerer] = offer.sockets[k];
      spec.target[offerer] = Target(a, i, answer.interface);
      spec.target[answerer] = Target(b, i, offer.interface);
      for (const int s : {offerer, answerer}) {
        const Endpoint source = WasBelieved(call.shard, spec.socket[s]);
        const bool strict = spec.policy[s] == relay::LatchPolicy::kStrict;
        if (!strict || source == spec.target[s].target) {
          spec.believed[s] = source;
        }
      }
      // A shard that had to stop has closed its sockets by itself.
      const bool open = ports_.IsOpen(call.shard, answer.sockets[k]) &&
                        ports_.IsOpen(call.shard, offer.sockets[k]);
      absl::StatusOr<Slot> flow =
          open ? plane_.OpenFlow(call.shard, spec)
               : absl::UnavailableError("a socket of the session is gone");
      if (!flow.ok()) {
        for (const Slot opened : flows) {
          plane_.CloseFlow(call.shard, opened);
          News(call.shard, opened)->generation = 0;
        }
        return Count(counters_.activate_failed, flow.status());
      }
      std::vector<FlowNews>& news = news_[call.shard];
      if (news.size() <= flow->index) news.resize(flow->index + 1);
      news[flow->index] = FlowNews{.generation = flow->generation,
                                   .call = &call,
                                   .socket = {spec.socket[0], spec.socket[1]}};
      flows.push_back(*flow);
    }
  }
  return flows;
}

}  // namespace sluice::control
