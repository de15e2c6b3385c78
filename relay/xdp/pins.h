#ifndef SLUICE_RELAY_XDP_PINS_H_
#define SLUICE_RELAY_XDP_PINS_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

struct bpf_map;

// What outlives this process in a BPF file system.
namespace sluice::relay::xdp {

std::string FolderOf(const std::string& path);
// Makes the folders of a pin that are not there, for their owner only.
// InvalidArgument: the path is none for a pin, or in no BPF file system.
absl::Status MakeFolderOf(const std::string& pin);

// Before the maps are made: those that are pinned in `folder` by their names
// take their places, if all are there and of the same shape. Else none is, and
// what is there of them is removed: a rule that was written for other tables
// says something else.
absl::StatusOr<bool> TakeOver(const std::vector<bpf_map*>& maps,
                              const std::string& folder);
// After they are made.
absl::Status PinMaps(const std::vector<bpf_map*>& maps,
                     const std::string& folder);
// Of what cannot be removed there is a warning.
void UnpinMaps(const std::vector<bpf_map*>& maps, const std::string& folder);
// That it outlives this process against its will, and what mends it.
void WarnOfPin(const std::string& pin, int error);

}  // namespace sluice::relay::xdp

#endif  // SLUICE_RELAY_XDP_PINS_H_
