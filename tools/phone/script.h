#ifndef SLUICE_TOOLS_PHONE_SCRIPT_H_
#define SLUICE_TOOLS_PHONE_SCRIPT_H_

#include <cstdint>

#include "base/types.h"

namespace sluice::phone {

// The course of one call once it is established: what is to be done next, and
// when. The time goes in, what is due comes out, one step a call.
//
//   0 -- kDigitsAfter: digits -- hold_after -- +resume_after -- duration
//
// Thread: any; a value.
class Script {
 public:
  struct Steps {
    bool digits = false;
    Micros hold_after{}, resume_after{}, duration{};  // 0: never
    // Hang up when all of this is done: what is played has an end, digits are
    // sent, the hold is over. Without `duration`.
    bool ends_when_done = false;
    bool plays = false;  // a sound that ends
  };
  enum class Due : uint8_t { kNothing, kDigits, kHold, kResume, kHangUp };

  // A peer's phone has to have switched its sound on.
  static constexpr Micros kDigitsAfter = Micros::Millis(300);
  // Behind the last packet of the sound: what is on its way, and waits in a
  // jitter buffer, is still to be heard.
  static constexpr Micros kTail = Micros::Millis(250);

  explicit Script(const Steps& steps) : steps_(steps) {}

  void OnPlayed() { played_ = true; }
  // `sending`: digits are on their way out.
  Due Next(Micros since_established, bool sending);

 private:
  bool Done() const;

  Steps steps_;
  bool played_ = false, digits_ = false, held_ = false, resumed_ = false;
  bool over_ = false;
  Micros held_at_{};
  Micros done_at_{};
};

}  // namespace sluice::phone

#endif  // SLUICE_TOOLS_PHONE_SCRIPT_H_
