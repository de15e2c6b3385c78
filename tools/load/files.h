#ifndef SLUICE_TOOLS_LOAD_FILES_H_
#define SLUICE_TOOLS_LOAD_FILES_H_

#include <nlohmann/json.hpp>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

// The files that the command line names; - is standard input or output.
namespace sluice::load {

// Nothing is written where `path` is empty.
absl::Status WriteJson(const std::string& path,
                       const nlohmann::ordered_json& json);
absl::StatusOr<std::string> ReadFile(const std::string& path);

}  // namespace sluice::load

#endif  // SLUICE_TOOLS_LOAD_FILES_H_
