#ifndef SLUICE_TOOLS_PHONE_REPORT_H_
#define SLUICE_TOOLS_PHONE_REPORT_H_

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "tools/phone/record.h"

// How sluicephone's results look, to programs and to people. A peer's octets
// are shown so that a terminal takes no orders from them.
namespace sluice::phone {

// One object; what is not known is null, times are seconds unless the name says
// otherwise.
nlohmann::ordered_json ToJson(
    const std::optional<RegistrationRecord>& registration,
    const std::vector<CallRecord>& calls, ExitCode code);
std::string ToText(const std::optional<RegistrationRecord>& registration,
                   const std::vector<CallRecord>& calls);
// A line without its end: what is going on, to be drawn again and again.
std::string LiveLine(const std::vector<CallRecord>& calls);

}  // namespace sluice::phone

#endif  // SLUICE_TOOLS_PHONE_REPORT_H_
