// What is kept of a call while the process may be killed, and how the next one
// makes the call again.

#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "control/session_manager.h"

namespace sluice::control {
namespace {

Media ToMedia(const Medium& medium) {
  return Media{.ip = medium.ip,
               .port = medium.port,
               .range = medium.range,
               .first = medium.first,
               .clock_hz = medium.clock_hz,
               .heard_from = medium.heard_from};
}

}  // namespace

// ---- what a call is --------------------------------------------------------

absl::StatusOr<CallImage> SessionManager::Image(
    std::string_view call_id) const {
  const Call* call = Lookup(call_id);
  if (call == nullptr) return absl::NotFoundError("no such call");
  return ImageOf(*call);
}

// None: a shard has closed some of its sockets, and no packet passes any more.
std::optional<GroupImage> SessionManager::ImageOf(const Call& call,
                                                  const Group& group) const {
  const bool open = std::all_of(
      group.sockets.begin(), group.sockets.end(),
      [&](Slot socket) { return ports_.IsOpen(call.shard, socket); });
  if (!open) return std::nullopt;
  return GroupImage{.local = ports_.config(group.interface).address,
                    .media = group.media,
                    .made = group.made,
                    .faces = group.faces,
                    .given_up = group.release_at != kNever};
}

CallImage SessionManager::ImageOf(const Call& call) const {
  CallImage image{.call_id = call.call_id,
                  .uri_from = call.uri_from,
                  .uri_to = call.uri_to,
                  .refused = call.refused};
  for (const Transaction& t : call.transactions) {
    OfferImage offer{.id_from = t.id_from, .cseq = t.cseq, .ways = t.ways};
    if (t.from) {
      offer.from = ImageOf(call, *t.from);
      if (!offer.from) continue;
    }
    for (const Fork& fork : t.forks) {
      std::optional<GroupImage> group = ImageOf(call, fork.group);
      if (!group) continue;
      offer.forks.push_back({.id_to = fork.id_to,
                             .group = *std::move(group),
                             .up = static_cast<bool>(fork.session),
                             .acknowledged = fork.session.activations >= 2,
                             .over = fork.over,
                             .aside = fork.aside});
    }
    if (offer.from || !offer.forks.empty()) {
      image.offers.push_back(std::move(offer));
    }
  }
  return image;
}

void SessionManager::Tell(const Call& call) {
  if (observer_ == nullptr) return;
  size_t groups = call.transactions.size();
  for (const Transaction& t : call.transactions) groups += t.forks.size();
  if (groups <= kGroupsPerImage) {
    const CallImage image = ImageOf(call);
    if (!image.offers.empty()) return observer_->OnCall(image);
  }
  observer_->OnGone(call.call_id);
}

void SessionManager::Tell(std::string_view call_id) {
  if (observer_ == nullptr) return;
  if (const Call* call = Lookup(call_id)) Tell(*call);
}

// ---- made again ------------------------------------------------------------

absl::Status SessionManager::RestoreCall(const CallImage& image,
                                         absl::Span<const Believed> believed) {
  RETURN_IF_ERROR(CheckImage(image));
  if (Lookup(image.call_id) != nullptr) {
    return absl::AlreadyExistsError("there is a call of that name");
  }
  RETURN_IF_ERROR(CheckCalls());
  ASSIGN_OR_RETURN(std::vector<Transaction> offers, RestoreOffers(image));

  Call& call =
      NewCall(image.call_id, image.uri_from, image.uri_to, plane_.PickShard());
  call.refused = std::clamp(image.refused, Micros(), now_);
  call.transactions = std::move(offers);
  absl::Status status = RestoreSockets(call);
  if (status.ok()) {
    Believe(image, believed);
    status = RestoreSessions(call, image);
    believed_.clear();
  }
  if (!status.ok()) {
    EndAll(call);
    return status;
  }
  // Not later than the first thing in it that can run out.
  Arm(call,
      now_ + std::min({options_.active, options_.unused, options_.closed}));
  Tell(call);
  return absl::OkStatus();
}

// All that can be refused before anything is taken.
absl::StatusOr<std::vector<Transaction>> SessionManager::RestoreOffers(
    const CallImage& image) {
  std::vector<Transaction> offers;
  for (const OfferImage& offer : image.offers) {
    Transaction& t = offers.emplace_back(
        Transaction{.id_from = offer.id_from, .cseq = offer.cseq});
    t.ways = offer.ways;
    if (offer.from) {
      ASSIGN_OR_RETURN(t.from, RestoreGroup(*offer.from, Side::kFrom, t));
    }
    for (const ForkImage& fork : offer.forks) {
      ASSIGN_OR_RETURN(Group group, RestoreGroup(fork.group, Side::kTo, t));
      t.forks.push_back(Fork{.id_to = fork.id_to,
                             .group = std::move(group),
                             .over = fork.over,
                             .aside = fork.aside});
    }
  }
  std::set<Endpoint> seen;
  size_t ports = 0;
  image.ForEachGroup([&](const GroupImage& group) {
    const auto first = FirstPort(group.local, group.media);
    if (!first || !seen.insert(*first).second) return;
    for (const Medium& medium : group.media) ports += medium.range;
  });
  RETURN_IF_ERROR(CheckPortsOfCall(0, ports));
  return offers;
}

absl::StatusOr<Group> SessionManager::RestoreGroup(
    const GroupImage& image, Side side, const Transaction& transaction) {
  const std::optional<uint8_t> interface = ports_.Find(image.local);
  // By the address that is announced it would have two names in one image.
  if (!interface || ports_.config(*interface).address != image.local) {
    return Count(counters_.allocate_no_interface,
                 absl::NotFoundError(absl::StrCat(
                     image.local.ToString(),
                     " is not the address of any relay.interface any more")));
  }
  std::vector<Media> media;
  media.reserve(image.media.size());
  for (const Medium& medium : image.media) media.push_back(ToMedia(medium));
  RETURN_IF_ERROR(CheckMedia(media));
  for (const Media& medium : media) {
    if (absl::Status status = CheckTarget(medium); !status.ok()) {
      return Count(counters_.allocate_bad_target, std::move(status));
    }
  }
  if (absl::Status status = CheckReach(&transaction, side, *interface, media);
      !status.ok()) {
    return Count(counters_.allocate_unreachable, std::move(status));
  }
  return Group{.media = image.media,
               .made = std::clamp(image.made, Micros(), now_),
               .faces = image.faces,
               .touched = now_,
               .release_at = image.given_up ? now_ + options_.closed : kNever,
               .interface = *interface};
}

absl::Status SessionManager::RestoreSockets(Call& call) {
  // First the targets: this very call must not have a port that it names.
  call.ForEachGroup([this](const Group& group) {
    for (const Medium& medium : group.media) ports_.AddTargets(medium);
  });
  std::map<Endpoint, const Group*> opened;
  absl::Status status;
  call.ForEachGroup([&](Group& group) {
    const auto first =
        FirstPort(ports_.config(group.interface).address, group.media);
    if (!status.ok() || !first) return;
    const auto [known, is_new] = opened.emplace(*first, &group);
    if (!is_new) {
      group.sockets = known->second->sockets;
      for (const Slot socket : group.sockets) ports_.Share(call.shard, socket);
      ++counters_.allocate_kept;
      return;
    }
    auto sockets = ports_.OpenThese(call.shard, group.interface,
                                    absl::MakeSpan(group.media), now_);
    if (sockets.ok()) {
      group.sockets = *std::move(sockets);
      ++counters_.allocate_new;
    }
    status = sockets.status();
  });
  return status;
}

absl::Status SessionManager::RestoreSessions(Call& call,
                                             const CallImage& image) {
  for (size_t i = 0; i < image.offers.size(); ++i) {
    for (size_t k = 0; k < image.offers[i].forks.size(); ++k) {
      const ForkImage& was = image.offers[i].forks[k];
      if (!was.up) continue;
      Transaction& t = call.transactions[i];
      Fork& fork = t.forks[k];
      ASSIGN_OR_RETURN(std::vector<Slot> flows,
                       OpenFlows(call, *t.from, fork.group));
      Begin(call, t, fork, std::move(flows));
      if (was.acknowledged) ++fork.session.activations;
      ++counters_.activate_new;
    }
  }
  return absl::OkStatus();
}

// In which of several sessions on one port a source was heard is not kept: it
// must not be believed in the others.
void SessionManager::Believe(const CallImage& image,
                             absl::Span<const Believed> believed) {
  if (believed.empty()) return;
  std::map<Endpoint, int> sessions;
  const auto count = [&sessions](const GroupImage& group) {
    for (const Medium& medium : group.media) {
      for (int i = 0; i < medium.range; ++i) {
        ++sessions[{.ip = group.local, .port = medium.Local(i)}];
      }
    }
  };
  for (const OfferImage& offer : image.offers) {
    for (const ForkImage& fork : offer.forks) {
      if (!fork.up) continue;
      count(*offer.from);
      count(fork.group);
    }
  }
  for (const auto& [local, source] : believed) {
    const auto known = sessions.find(local);
    if (known == sessions.end() || known->second != 1) continue;
    if (source.port == Port() || source.ip.is_any()) continue;
    const Media there{.ip = source.ip, .port = source.port.host(), .range = 1};
    if (CheckTarget(there).ok()) believed_[local] = source;
  }
}

Endpoint SessionManager::WasBelieved(uint32_t shard, Slot socket) const {
  if (believed_.empty()) return {};
  const auto local = ports_.LocalOf(shard, socket);
  const auto it = local ? believed_.find(*local) : believed_.end();
  return it == believed_.end() ? Endpoint() : it->second;
}

}  // namespace sluice::control
