#ifndef SLUICE_CONTROL_EXPLAIN_H_
#define SLUICE_CONTROL_EXPLAIN_H_

#include <string>

#include "base/types.h"
#include "control/session_manager.h"

namespace sluice::control {

// A side that was heard once and then fell silent for this long is worth a
// word: RTP comes every 20 ms or so, comfort noise every few seconds at most.
inline constexpr Micros kSilenceWorthAWord = Micros::Seconds(5);

// One line in plain words on why nothing is heard of the party at `side` of
// `flow`, or why it hears nothing; empty when all looks well. Built from what
// the relay saw and nothing else, so it never guesses at what it cannot know.
std::string WhyNoAudio(const FlowView& flow, Side side, Micros now);

}  // namespace sluice::control

#endif  // SLUICE_CONTROL_EXPLAIN_H_
