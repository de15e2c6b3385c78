#ifndef SLUICE_TOOLS_CTL_CALL_TEXT_H_
#define SLUICE_TOOLS_CTL_CALL_TEXT_H_

#include <string>

#include "tools/ctl/client.h"

namespace sluice::ctl {

// One call for people: for each session a table with a line for each side of
// each flow, and below it what was dropped and why there is no audio.
std::string CallText(const Json& call);

}  // namespace sluice::ctl

#endif  // SLUICE_TOOLS_CTL_CALL_TEXT_H_
