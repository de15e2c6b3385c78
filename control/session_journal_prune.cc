#include "control/session_journal_prune.h"

#include <algorithm>
#include <iterator>
#include <optional>
#include <vector>

#include "base/types.h"
#include "control/session_journal_codec.h"
#include "sip/media_relay.h"

namespace sluice::control::journal {
namespace {

// What Prune must know of a record.
struct Outline {
  RecordType type{};
  std::string id_from{}, id_to{};
  std::optional<uint32_t> cseq{};
  Side side{};
  sip::AnswerStage stage{};
  std::vector<uint16_t> bases{};
  std::string_view octets{};

  bool IsOfOffer(const Outline& o) const {
    return cseq == o.cseq && id_from == o.id_from;
  }
  bool IsOfPartiesOf(const Outline& o) const {
    return (id_from == o.id_from && id_to == o.id_to) ||
           (id_from == o.id_to && id_to == o.id_from);
  }
};
using Outlines = std::vector<Outline>;

// Nothing can refuse this answer any more: it was final, or joined again.
bool Settles(const Outlines& all, size_t i) {
  const Outline& one = all[i];
  if (one.type != RecordType::kActivated) return false;
  if (one.stage == sip::AnswerStage::kFinal) return true;
  return one.stage == sip::AnswerStage::kUnknown &&
         std::any_of(all.begin(), all.begin() + static_cast<ptrdiff_t>(i),
                     [&](const Outline& o) {
                       return o.type == RecordType::kActivated &&
                              o.IsOfOffer(one) && o.id_to == one.id_to;
                     });
}

// Both halves of what was joined are in the journal. A late repetition of an
// answer whose offer was replaced has neither.
bool HasHalves(const Outlines& all, const Outline& joined) {
  const auto half = [&](Side side) {
    return std::any_of(all.begin(), all.end(), [&](const Outline& o) {
      return o.type == RecordType::kAllocated && o.side == side &&
             o.IsOfOffer(joined) &&
             (side == Side::kFrom || o.id_to == joined.id_to);
    });
  };
  return half(Side::kFrom) && half(Side::kTo);
}

// Whether it is of a fork: what an answerer said or what was done with it.
bool IsOfFork(const Outline& o) {
  return o.type != RecordType::kAllocated || o.side == Side::kTo;
}

// What becomes of the offer of `one` when nothing can refuse `joined` any more.
// Of two offers between the same two the later one is acknowledged only when
// the earlier one is over (RFC 3261 14.1).
//
//   kDropped   came before, and concerns the same two parties alone
//   kKept      came later, or concerns others, and `joined` is made on top of
//              it as it was: on its very ports, or on none of them
//   kNeeded    neither: without what came between `joined` would be given
//              other ports, or find its own taken
enum class Fate { kDropped, kKept, kNeeded };
Fate FateOf(const Outlines& all, const Outline& one, const Outline& joined) {
  if (!one.cseq || one.IsOfOffer(joined)) return Fate::kKept;
  bool begun = false;  // `one`'s offer, and not `joined`'s before it
  bool of_both = false, of_others = false;
  std::vector<uint16_t> bases, wanted;
  for (const Outline& o : all) {
    const bool of_pair = o.IsOfPartiesOf(joined);
    if (o.IsOfOffer(one)) {
      begun = true;
      of_both |= of_pair;
      of_others |= !of_pair && IsOfFork(o);
      if (of_pair || !IsOfFork(o)) {
        bases.insert(bases.end(), o.bases.begin(), o.bases.end());
      }
    } else if (o.IsOfOffer(joined)) {
      if (!begun) return Fate::kKept;
      if (of_pair || !IsOfFork(o)) {
        wanted.insert(wanted.end(), o.bases.begin(), o.bases.end());
      }
    }
  }
  if (of_both && !of_others) return Fate::kDropped;
  std::sort(bases.begin(), bases.end());
  std::sort(wanted.begin(), wanted.end());
  std::vector<uint16_t> shared;
  std::set_intersection(bases.begin(), bases.end(), wanted.begin(),
                        wanted.end(), std::back_inserter(shared));
  const bool fits = of_both ? bases == wanted : shared.empty();
  return fits ? Fate::kKept : Fate::kNeeded;
}

}  // namespace

Live Prune(std::string_view octets) {
  Outlines all;
  Record scratch;
  ForEachRecord(octets, &scratch, [&](const Record& r, std::string_view one) {
    all.push_back({.type = r.type,
                   .id_from = r.key.id_from,
                   .id_to = r.key.id_to,
                   .cseq = r.key.cseq,
                   .side = r.side,
                   .stage = r.key.stage,
                   .bases = r.bases,
                   .octets = one});
  });
  size_t settled = all.size();
  while (settled > 0 &&
         !(Settles(all, settled - 1) && HasHalves(all, all[settled - 1]))) {
    --settled;
  }
  std::vector<bool> dropped(all.size());
  for (size_t i = 0; settled > 0 && i < all.size(); ++i) {
    const Fate fate = FateOf(all, all[i], all[settled - 1]);
    dropped[i] = fate == Fate::kDropped;
    if (fate == Fate::kNeeded) settled = 0;
  }
  Live live;
  for (size_t i = 0; i < all.size(); ++i) {
    if (settled > 0 && dropped[i]) continue;
    // What is left begins as a call does.
    if (live.records == 0 && all[i].type != RecordType::kAllocated) continue;
    live.last = live.octets.size();
    live.octets += all[i].octets;
    ++live.records;
  }
  return live;
}

}  // namespace sluice::control::journal
