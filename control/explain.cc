#include "control/explain.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "relay/counters.h"

namespace sluice::control {
namespace {

using relay::DropReason;

struct DropSum {
  uint64_t total = 0;
  DropReason most = DropReason::k_truncated;
  uint64_t most_count = 0;
};

DropSum Sum(const relay::SideReport& report) {
  DropSum sum;
  for (size_t i = 0; i < relay::kDropReasons; ++i) {
    const uint64_t n = report.drops[i];
    sum.total += n;
    if (n > sum.most_count) {
      sum.most = static_cast<DropReason>(i);
      sum.most_count = n;
    }
  }
  return sum;
}

// What the commonest reason means for whoever looks for the missing audio.
std::string DropWords(const DropSum& sum, const FlowView::SideView& side) {
  const std::string count =
      absl::StrFormat("%d dropped %s", sum.most_count, Name(sum.most));
  switch (sum.most) {
    case DropReason::k_wrong_source: {
      const Endpoint& expected =
          side.latched.is_none() ? side.target : side.latched;
      return absl::StrCat(
          "packets arrive from elsewhere: ", count,
          expected.is_none()
              ? ""
              : absl::StrCat(", expected from ", expected.ToString()));
    }
    case DropReason::k_learning:
      return absl::StrCat("the source of its packets is not yet believed: ",
                          count);
    case DropReason::k_no_target:
      return absl::StrCat(
          "its packets have nowhere to go, the other party is on hold: ",
          count);
    case DropReason::k_no_flow:
      return absl::StrCat("packets come but no session is active: ", count);
    case DropReason::k_not_rtp:
    case DropReason::k_not_rtcp:
      return absl::StrCat("what arrives is not what the SDP announced: ",
                          count);
    case DropReason::k_unreachable:
    case DropReason::k_send_failed:
      return absl::StrCat("its packets cannot be sent on: ", count);
    case DropReason::k_truncated:
      return absl::StrCat("its packets are longer than relay.max_datagram: ",
                          count);
    case DropReason::k_empty:
    case DropReason::k_stale:
    case DropReason::k_ring_full: break;
  }
  return absl::StrCat("nothing of it is relayed: ", count);
}

}  // namespace

std::string WhyNoAudio(const FlowView& flow, Side side, Micros now) {
  const FlowView::SideView& here = flow.side[Index(side)];
  const FlowView::SideView& there = flow.side[Index(Other(side))];
  const DropSum drops = Sum(here.report);

  // What is sent to the other party came from this one.
  if (there.report.packets_out == 0 && drops.total > 0) {
    return DropWords(drops, here);
  }
  if (here.target.is_none()) {
    return "on hold: no target";
  }
  // Many phones send no RTCP at all, and are heard very well.
  if (flow.kind == relay::FlowKind::kRtcp) return "";

  if (here.report.packets_in == 0) {
    std::string words = absl::StrCat("nothing ever arrived from this party on ",
                                     here.local.ToString());
    if (here.target.ip.is_private()) {
      absl::StrAppend(&words, " (its SDP names the private address ",
                      here.target.ip.ToString(), ")");
    }
    return words;
  }
  if (now - here.report.last_packet >= kSilenceWorthAWord) {
    return absl::StrFormat("silent for %d s",
                           (now - here.report.last_packet).us() / 1'000'000);
  }
  return "";
}

}  // namespace sluice::control
