#ifndef SLUICE_CONTROL_METRICS_H_
#define SLUICE_CONTROL_METRICS_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "control/operator_api.h"

namespace sluice::control {

using SipNumbers = std::vector<SipService::Number>;

// The page of /metrics in the Prometheus text format. What the shards count is
// always there; what only the control thread knows is left out when `status` is
// an error, and sluice_control_up says so; of `sip` likewise. No label per call
// or address: the number of series depends on the configuration alone.
//
// `start_time_s`: when the process began, seconds of the Unix epoch.
std::string RenderMetrics(const OperatorApi& api,
                          const absl::StatusOr<DaemonStatus>& status,
                          const absl::StatusOr<SipNumbers>& sip,
                          double start_time_s);

}  // namespace sluice::control

#endif  // SLUICE_CONTROL_METRICS_H_
