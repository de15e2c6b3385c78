#include "control/capture.h"

#include <algorithm>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "base/log.h"
#include "base/status_macros.h"
#include "control/json_view.h"
#include "control/pcap.h"

namespace sluice::control {

Capture::Capture(relay::MediaPlane& plane, net::EventLoop& loop,
                 FindFlows find_flows, WallClock wall_clock)
    : plane_(plane),
      loop_(loop),
      find_flows_(std::move(find_flows)),
      wall_clock_(std::move(wall_clock)) {}

Capture::~Capture() { Stop("the daemon stops"); }

absl::StatusOr<std::shared_ptr<CaptureStream>> Capture::Start(
    const CaptureRequest& request) {
  // Its reader may have gone since the last look.
  if (stream_ != nullptr) Look();
  if (stream_ != nullptr) {
    return absl::FailedPreconditionError(
        absl::StrCat("another capture runs, of the call ",
                     SafeText(view_.call_id), "; there is one at a time"));
  }
  RETURN_IF_ERROR(find_flows_(request.call_id).status());
  // What an earlier one has left behind is nobody's.
  plane_.DrainCopies([](const relay::PacketCopy&) {});
  lost_before_ = plane_.CopiesLost();
  view_ = {.number = view_.number + 1,
           .call_id = request.call_id,
           .running = true,
           .bytes = kPcapHeadBytes};
  stream_ = std::make_shared<CaptureStream>(view_.number, PcapHead());
  ends_ = loop_.now() + Micros::Seconds(static_cast<int64_t>(request.seconds));
  bytes_max_ = request.bytes;
  full_ = false;
  // Once, or a step of the wall clock would be a step in the file.
  epoch_ = wall_clock_() - loop_.now();
  log::Line("capture began")
      .With("call_id", view_.call_id)
      .With("capture", static_cast<int64_t>(view_.number))
      .With("seconds", static_cast<int64_t>(request.seconds))
      .Info();
  Follow();
  timer_ = loop_.Every(kLook, [this] { Look(); });
  return stream_;
}

void Capture::Finish(const std::string& why) {
  if (stream_ != nullptr) Look();
  Stop(why);
}

void Capture::Stop(const std::string& why) {
  if (stream_ == nullptr) return;
  loop_.Cancel(std::exchange(timer_, 0));
  for (const Slot flow : watched_.flows) {
    plane_.Watch(watched_.shard, flow, false);
  }
  watched_ = {};
  stream_->End();
  view_ = view();
  view_.running = false;
  view_.ended = why;
  stream_.reset();
  log::Line("capture ended")
      .With("call_id", view_.call_id)
      .With("capture", static_cast<int64_t>(view_.number))
      .With("why", why)
      .With("packets", static_cast<int64_t>(view_.packets))
      .With("lost", static_cast<int64_t>(view_.lost))
      .Info();
}

CaptureView Capture::view() const {
  CaptureView view = view_;
  if (stream_ != nullptr) view.lost += plane_.CopiesLost() - lost_before_;
  return view;
}

void Capture::Look() {
  // Nobody else holds it, so nobody else can come to hold it.
  if (stream_.use_count() == 1) return Stop("its reader has gone");
  Drain();
  if (full_) return Stop("the file has its octets");
  if (loop_.now() >= ends_) return Stop("the time is over");
  if (!Follow()) Stop("the call is over");
}

bool Capture::Follow() {
  auto call = find_flows_(view_.call_id);
  if (!call.ok()) return false;
  const std::vector<Slot>& known = watched_.flows;
  for (const Slot flow : call->flows) {
    if (std::find(known.begin(), known.end(), flow) == known.end()) {
      plane_.Watch(call->shard, flow, true);
    }
  }
  // The others have been closed, and watching ends with a flow.
  watched_ = *std::move(call);
  return true;
}

void Capture::Drain() {
  // In the order of time: what went by the sockets and what went past them
  // come apart, and so does each shard's.
  struct Record {
    Micros at{};
    size_t begin = 0, bytes = 0;
  };
  std::vector<Record> records;
  std::string octets;
  plane_.DrainCopies([&](const relay::PacketCopy& copy) {
    const size_t begin = octets.size();
    AppendPcapRecord(copy.at + epoch_, copy.length, copy.octets, &octets);
    records.push_back({copy.at, begin, octets.size() - begin});
  });
  std::stable_sort(
      records.begin(), records.end(),
      [](const Record& a, const Record& b) { return a.at < b.at; });
  for (const Record& record : records) {
    const std::string_view whole(octets.data() + record.begin, record.bytes);
    if (view_.bytes + whole.size() > bytes_max_) {
      full_ = true;
      return;
    }
    if (stream_->Push(whole)) {
      ++view_.packets;
      view_.bytes += whole.size();
    } else {
      ++view_.lost;
    }
  }
}

}  // namespace sluice::control
