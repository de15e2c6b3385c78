#ifndef SLUICE_SIP_KEY_FILE_H_
#define SLUICE_SIP_KEY_FILE_H_

#include <sys/types.h>

#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "sip/keys.h"

// The file in which a proxy's secrets outlive it; sip/keys.h says what is in
// it, what is refused and how. Secrets are Keys::kOctets each, newest first.
//
// Thread: any; waits for the disk.
namespace sluice::sip {

// The file's secrets; a file that is missing is made, with one. `heir`: the
// account that this process, being root, becomes; the file may be its own.
absl::StatusOr<std::vector<std::string>> LoadKeyFile(
    const std::string& path, std::optional<uid_t> heir = std::nullopt);
// As Keys::Load, for an heir.
absl::StatusOr<Keys> LoadKeysFor(const std::string& path, uid_t heir);
// Makes root's file over to the account, which is to read it again later. For a
// file with a key in it that has this one name, and is no link: who may write
// into the folder must not be given something else.
absl::Status HandOverKeyFile(const std::string& path, uid_t uid, gid_t gid);
// One secret from the random source. Internal: it gives nothing.
absl::StatusOr<std::vector<std::string>> NewSecrets();

}  // namespace sluice::sip

#endif  // SLUICE_SIP_KEY_FILE_H_
