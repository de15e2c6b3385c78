#ifndef SLUICE_TOOLS_LOAD_SIP_REPORT_H_
#define SLUICE_TOOLS_LOAD_SIP_REPORT_H_

#include <nlohmann/json.hpp>
#include <string>

#include "tools/load/sip_run.h"

namespace sluice::load {

// What a run found, for programs. Member names carry their unit.
nlohmann::ordered_json ToJson(const SipRunOptions& options,
                              const SipRunResult& result, size_t users);
// The same for people.
std::string ToText(const SipRunOptions& options, const SipRunResult& result,
                   size_t users);

}  // namespace sluice::load

#endif  // SLUICE_TOOLS_LOAD_SIP_REPORT_H_
