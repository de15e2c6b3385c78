#ifndef SLUICE_TOOLS_LOAD_REPORT_H_
#define SLUICE_TOOLS_LOAD_REPORT_H_

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "tools/load/histogram.h"
#include "tools/load/session_setup.h"
#include "tools/load/traffic_run.h"

namespace sluice::load {

// What a run found, for programs. Member names carry their unit.
nlohmann::ordered_json ToJson(const RunOptions& options,
                              const RunResult& result, size_t sessions);
// The same for people.
std::string ToText(const RunOptions& options, const RunResult& result,
                   size_t sessions);

// Count, extremes, mean and percentiles of times in ns, in us.
nlohmann::ordered_json DelayJson(const Histogram& ns);

nlohmann::ordered_json SetupJson(const SessionSetup& setup, size_t sessions);

}  // namespace sluice::load

#endif  // SLUICE_TOOLS_LOAD_REPORT_H_
