#include "tools/phone/script.h"

namespace sluice::phone {

bool Script::Done() const {
  const bool nothing =
      !steps_.plays && !steps_.digits && steps_.hold_after == Micros();
  return !nothing && (!steps_.plays || played_) &&
         (!steps_.digits || digits_) &&
         (steps_.hold_after == Micros() ||
          (steps_.resume_after == Micros() ? held_ : resumed_));
}

Script::Due Script::Next(Micros since, bool sending) {
  if (over_) return Due::kNothing;
  if (steps_.duration != Micros() && since >= steps_.duration) {
    over_ = true;
    return Due::kHangUp;
  }
  if (steps_.digits && !digits_ && since >= kDigitsAfter) {
    digits_ = true;
    return Due::kDigits;
  }
  if (steps_.hold_after != Micros() && !held_ && since >= steps_.hold_after) {
    held_ = true;
    held_at_ = since;
    return Due::kHold;
  }
  if (steps_.resume_after != Micros() && held_ && !resumed_ &&
      since >= held_at_ + steps_.resume_after) {
    resumed_ = true;
    return Due::kResume;
  }
  if (!steps_.ends_when_done || steps_.duration != Micros() || sending ||
      !Done()) {
    return Due::kNothing;
  }
  if (done_at_ == Micros()) done_at_ = since;
  if (since < done_at_ + kTail) return Due::kNothing;
  over_ = true;
  return Due::kHangUp;
}

}  // namespace sluice::phone
