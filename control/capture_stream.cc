#include "control/capture_stream.h"

#include <algorithm>
#include <utility>

namespace sluice::control {

CaptureStream::CaptureStream(uint64_t number, std::string head)
    : number_(number), waiting_(std::move(head)) {}

bool CaptureStream::Push(std::string_view record) {
  const std::lock_guard lock(mutex_);
  if (ended_) return false;
  const size_t used = waiting_.size() - taken_;
  if (record.size() > kBytesMax - std::min(used, kBytesMax)) return false;
  if (used > kBytesMax / 2) {
    if (++skipped_ % kSampleOf != 0) return false;
  } else {
    skipped_ = 0;
  }
  if (taken_ > 0) waiting_.erase(0, std::exchange(taken_, 0));
  waiting_.append(record);
  return true;
}

void CaptureStream::End() {
  const std::lock_guard lock(mutex_);
  ended_ = true;
}

bool CaptureStream::Take(size_t most, std::string* out) {
  const std::lock_guard lock(mutex_);
  const size_t n = std::min(most, waiting_.size() - taken_);
  out->append(waiting_, taken_, n);
  taken_ += n;
  if (taken_ == waiting_.size()) {
    waiting_.clear();
    taken_ = 0;
  }
  return !(ended_ && waiting_.empty());
}

}  // namespace sluice::control
