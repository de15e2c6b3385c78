#ifndef SLUICE_TOOLS_CTL_SIP_TEXT_H_
#define SLUICE_TOOLS_CTL_SIP_TEXT_H_

#include <string>

#include "tools/ctl/client.h"

// The answers of the SIP side as people read them: tables of what is there, and
// the messages of a call as they passed.
namespace sluice::ctl {

std::string LegsText(const Json& answer);
std::string RegistrationsText(const Json& page);

// A line for each message ("<-" came in, "->" went out), the message below it,
// indented, so that no message can pass for a line of ours. Line ends are kept;
// every other control octet is shown as \xNN.
std::string TraceText(const Json& trace);

}  // namespace sluice::ctl

#endif  // SLUICE_TOOLS_CTL_SIP_TEXT_H_
