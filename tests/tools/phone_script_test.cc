#include <gtest/gtest.h>

#include <ostream>
#include <string>

#include "tools/phone/script.h"

namespace sluice::phone {
namespace {

using Due = Script::Due;

// What comes due in so many seconds when it is asked every 50 ms: "D" digits,
// "H" hold, "R" resume, "." hang up, each behind its second.
std::string Course(Script script, double seconds, double played_at = -1,
                   double sent_at = 0) {
  std::string course;
  for (int64_t ms = 0; ms <= static_cast<int64_t>(seconds * 1000); ms += 50) {
    const double now = static_cast<double>(ms) / 1000;
    if (played_at >= 0 && now >= played_at) script.OnPlayed();
    const char* const names[] = {"", "D", "H", "R", "."};
    const Due due = script.Next(Micros::Millis(ms), now < sent_at);
    if (due != Due::kNothing) {
      course += std::to_string(ms) + names[static_cast<int>(due)] + " ";
    }
  }
  return course;
}

TEST(Script, WithoutStepsGoesOnForEver) {
  EXPECT_EQ(Course(Script({}), 60), "");
  EXPECT_EQ(Course(Script({.ends_when_done = true}), 60), "");
}

TEST(Script, HangsUpWhenItsTimeIsOverWhateverElseIsLeft) {
  EXPECT_EQ(Course(Script({.duration = Micros::Seconds(2)}), 5), "2000. ");
  EXPECT_EQ(Course(Script({.hold_after = Micros::Seconds(3),
                           .duration = Micros::Seconds(2),
                           .plays = true}),
                   5),
            "2000. ");
}

TEST(Script, HoldsAndResumesInOrder) {
  EXPECT_EQ(Course(Script({.hold_after = Micros::Seconds(1),
                           .resume_after = Micros::Millis(500),
                           .duration = Micros::Seconds(3)}),
                   5),
            "1000H 1500R 3000. ");
}

TEST(Script, SendsDigitsOnce) {
  EXPECT_EQ(Course(Script({.digits = true}), 5), "300D ");
}

TEST(Script, EndsAfterTheSoundAndItsTail) {
  EXPECT_EQ(Course(Script({.ends_when_done = true, .plays = true}), 5, 2),
            "2250. ");
  // Who is called stays.
  EXPECT_EQ(Course(Script({.plays = true}), 5, 2), "");
}

TEST(Script, EndsWhenTheLastDigitIsOut) {
  EXPECT_EQ(Course(Script({.digits = true, .ends_when_done = true}), 5, -1, 1),
            "300D 1250. ");
}

TEST(Script, EndsWhenTheLastStepIsDone) {
  EXPECT_EQ(Course(Script({.digits = true,
                           .hold_after = Micros::Seconds(2),
                           .resume_after = Micros::Seconds(1),
                           .ends_when_done = true,
                           .plays = true}),
                   9, 1),
            "300D 2000H 3000R 3300. ");
  EXPECT_EQ(
      Course(Script({.hold_after = Micros::Seconds(2), .ends_when_done = true}),
             9),
      "2000H 2300. ");
}

}  // namespace
}  // namespace sluice::phone
