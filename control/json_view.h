#ifndef SLUICE_CONTROL_JSON_VIEW_H_
#define SLUICE_CONTROL_JSON_VIEW_H_

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/types.h"
#include "control/operator_api.h"
#include "control/session_manager.h"
#include "nlohmann/json_fwd.hpp"

// The views of the daemon as JSON, all of them here, so that the HTTP API, the
// page and sluicectl speak of the same things by the same names.
//
// Points of the monotonic clock leave as ages in seconds: the reader's clock
// and ours need not agree. What is unknown is null, never 0.
namespace sluice::control {

using Json = nlohmann::ordered_json;

// A peer's octets as text that any JSON reader, terminal and shell can take:
// valid UTF-8 stays; control characters, octets that are no UTF-8 and '\'
// become \xNN (the form of log::Escape). FromSafeText undoes it, so an id that
// was shown can be asked for.
std::string SafeText(std::string_view bytes);
// Only \xNN is undone; any other backslash stands for itself.
std::string FromSafeText(std::string_view text);

// RFC 3986 2.1, for one path segment: all but unreserved characters.
std::string PercentEncode(std::string_view bytes);
// nullopt for a '%' without two hexadecimal digits.
std::optional<std::string> PercentDecode(std::string_view text);

Json ToJson(const DaemonStatus& status, bool ready);
// Every counter of every shard, by name. Needs no answer of the control thread.
Json StatsToJson(const OperatorApi& api, Micros now);
Json ToJson(const CallPage& page, size_t offset, size_t limit, Micros now);
Json ToJson(const CallView& call, Micros now);
Json ToJson(const CaptureView& capture);
// The SIP side; FromSafeText(messages[].text) is what passed.
Json ToJson(const std::vector<SipService::LegView>& legs);
Json ToJson(const SipService::RegistrationPage& page, size_t offset,
            size_t limit);
Json ToJson(const std::vector<SipTrace::Entry>& messages,
            std::string_view call_id, Micros now);
Json ErrorJson(std::string_view message);

// 7-bit JSON text, one trailing newline.
std::string Dump(const Json& json);

}  // namespace sluice::control

#endif  // SLUICE_CONTROL_JSON_VIEW_H_
