#include "control/call_image.h"

#include <algorithm>
#include <map>
#include <set>
#include <string_view>
#include <tuple>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "base/status_macros.h"

namespace sluice::control {
namespace {

absl::Status Contradiction(absl::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat("not one call: ", what));
}

bool SameRanges(const std::vector<Medium>& a, const std::vector<Medium>& b) {
  return std::equal(
      a.begin(), a.end(), b.begin(), b.end(),
      [](const Medium& x, const Medium& y) { return x.range == y.range; });
}

bool SameRuns(const GroupImage& a, const GroupImage& b) {
  return SameRanges(a.media, b.media) &&
         std::equal(
             a.media.begin(), a.media.end(), b.media.begin(),
             [](const Medium& x, const Medium& y) { return x.base == y.base; });
}

// The groups of one call by their sockets.
class Runs {
 public:
  absl::Status Add(const GroupImage& group) {
    const auto first = FirstPort(group.local, group.media);
    if (!first) return absl::OkStatus();
    const auto [known, is_new] = runs_.try_emplace(*first, &group, 0);
    ++known->second.second;
    if (!is_new) {
      const GroupImage& same = *known->second.first;
      if (!SameRuns(group, same)) {
        return Contradiction("two groups have some of their ports in common");
      }
      if (group.faces != same.faces) {
        return Contradiction("a port faces both ways");
      }
      return absl::OkStatus();
    }
    for (const Medium& medium : group.media) {
      if (medium.base == 0 || medium.range == 0) {
        return Contradiction("a medium without ports of ours");
      }
      ports_.emplace_back(group.local, medium.base,
                          uint32_t{medium.base} + medium.range);
    }
    return absl::OkStatus();
  }
  // When all are added.
  absl::Status CheckPorts() {
    std::sort(ports_.begin(), ports_.end());
    for (size_t i = 1; i < ports_.size(); ++i) {
      const auto& [local, first, end] = ports_[i - 1];
      const auto& [next_local, next_first, next_end] = ports_[i];
      if (local == next_local && next_first < end) {
        return Contradiction(absl::StrCat("port ", next_first, " twice"));
      }
    }
    return absl::OkStatus();
  }
  bool IsShared(const GroupImage& group) const {
    const auto first = FirstPort(group.local, group.media);
    return first && runs_.at(*first).second > 1;
  }

 private:
  std::map<Endpoint, std::pair<const GroupImage*, int>> runs_;
  // Interface, first, behind the last.
  std::vector<std::tuple<IpAddress, uint32_t, uint32_t>> ports_;
};

absl::Status CheckFork(const OfferImage& offer, const ForkImage& fork,
                       const Runs& runs) {
  if (fork.up && (fork.over || fork.group.given_up)) {
    return Contradiction("a session that is over is up");
  }
  if (fork.aside && !fork.over) {
    return Contradiction("a session is set aside that is not over");
  }
  // Those of its sockets that are in flows, or will be if this one goes on.
  const bool joined = fork.up || fork.aside;
  if (!joined && !runs.IsShared(fork.group)) return absl::OkStatus();
  if (!offer.from) return Contradiction("a session without an offer");
  if (fork.up && offer.from->given_up) {
    return Contradiction("a session whose offer is given up is up");
  }
  if (joined && !SameRanges(offer.from->media, fork.group.media)) {
    return Contradiction("offer and answer have different media lines");
  }
  if (offer.from->faces == fork.group.faces) {
    return Contradiction("offer and answer face the same party");
  }
  return absl::OkStatus();
}

}  // namespace

bool CallImage::Has(const Endpoint& local) const {
  bool found = false;
  ForEachGroup([&](const GroupImage& group) {
    found |=
        group.local == local.ip &&
        std::any_of(
            group.media.begin(), group.media.end(), [&](const Medium& medium) {
              const int port = local.port.host();
              return port >= medium.base && port < medium.base + medium.range;
            });
  });
  return found;
}

std::optional<Endpoint> FirstPort(const IpAddress& local,
                                  const std::vector<Medium>& media) {
  if (media.empty()) return std::nullopt;
  return Endpoint{.ip = local, .port = media.front().Local(0)};
}

absl::Status CheckImage(const CallImage& image) {
  const auto id = [](std::string_view text) {
    return text.size() <= kIdOctets;
  };
  if (image.offers.empty()) return Contradiction("it has no offers");
  if (image.offers.size() > kTransactionsPerCall) {
    return Contradiction("too many offers");
  }
  Runs runs;
  std::set<std::pair<std::string_view, uint32_t>> offers;
  // Who has a session with whom, and who had the one that is set aside.
  std::set<std::tuple<bool, std::string_view, std::string_view>> pairs;
  bool good = id(image.call_id);
  for (const OfferImage& offer : image.offers) {
    good &= id(offer.id_from);
    if (!offer.from && offer.forks.empty()) {
      return Contradiction("an offer that holds nothing");
    }
    if (offer.forks.size() > kForksPerTransaction) {
      return Contradiction("too many forks of an offer");
    }
    if (offer.ways.size() > kForksPerTransaction) {
      return Contradiction("too many ways of an offer");
    }
    if (!offers.emplace(offer.id_from, offer.cseq).second) {
      return Contradiction("an offer twice");
    }
    if (offer.from) RETURN_IF_ERROR(runs.Add(*offer.from));
    std::set<std::string_view> forks;
    for (const ForkImage& fork : offer.forks) {
      good &= id(fork.id_to);
      if (!forks.insert(fork.id_to).second) {
        return Contradiction("an answerer of an offer twice");
      }
      RETURN_IF_ERROR(runs.Add(fork.group));
      if (!fork.up && !fork.aside) continue;
      std::string_view a = offer.id_from, b = fork.id_to;
      if (b < a) std::swap(a, b);
      if (!pairs.emplace(fork.up, a, b).second) {
        return Contradiction("two sessions of the same two parties");
      }
    }
  }
  if (!good) return Contradiction("an identifier is too long");
  RETURN_IF_ERROR(runs.CheckPorts());
  for (const OfferImage& offer : image.offers) {
    for (const ForkImage& fork : offer.forks) {
      RETURN_IF_ERROR(CheckFork(offer, fork, runs));
    }
  }
  return absl::OkStatus();
}

}  // namespace sluice::control
