#ifndef SLUICE_SIP_KEY_FILE_H_
#define SLUICE_SIP_KEY_FILE_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"

// The file in which a proxy's secrets outlive it; sip/keys.h says what is in
// it, what is refused and how. Secrets are Keys::kOctets each, newest first.
//
// Thread: any; waits for the disk.
namespace sluice::sip {

// The file's secrets; a file that is missing is made, with one.
absl::StatusOr<std::vector<std::string>> LoadKeyFile(const std::string& path);
// One secret from the random source. Internal: it gives nothing.
absl::StatusOr<std::vector<std::string>> NewSecrets();

}  // namespace sluice::sip

#endif  // SLUICE_SIP_KEY_FILE_H_
