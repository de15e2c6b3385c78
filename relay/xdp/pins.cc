#include "relay/xdp/pins.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "base/log.h"
#include "base/net/fd.h"
#include "base/status_macros.h"
#include "relay/xdp/kernel_objects.h"

namespace sluice::relay::xdp {
namespace {

std::string PinOf(const bpf_map* map, const std::string& folder) {
  return absl::StrCat(folder, "/", bpf_map__name(map));
}

bool SameShape(const bpf_map* map, int fd) {
  bpf_map_info info{};
  uint32_t size = sizeof(info);
  return bpf_obj_get_info_by_fd(fd, &info, &size) == 0 &&
         info.type == bpf_map__type(map) &&
         info.key_size == bpf_map__key_size(map) &&
         info.value_size == bpf_map__value_size(map) &&
         info.max_entries == bpf_map__max_entries(map);
}

// 0, or why the first of those that stay does.
int Remove(const std::vector<bpf_map*>& maps, const std::string& folder,
           std::string* stays) {
  int error = 0;
  for (const bpf_map* map : maps) {
    const std::string pin = PinOf(map, folder);
    if (unlink(pin.c_str()) == 0 || errno == ENOENT || error != 0) continue;
    error = errno;
    *stays = pin;
  }
  rmdir(folder.c_str());  // only when nothing else is in it
  return error;
}

}  // namespace

void WarnOfPin(const std::string& pin, int error) {
  log::Line("a pin stays; root removes it: sluiced --detach")
      .With("pin", pin)
      .With("why", std::strerror(error))
      .Warn();
}

std::string FolderOf(const std::string& path) {
  const size_t slash = path.rfind('/');
  return slash == 0 ? "/" : path.substr(0, slash);
}

// Makes the folders of a pin that are not there, for their owner only.
absl::Status MakeFolderOf(const std::string& pin) {
  if (pin.front() != '/' || pin.back() == '/') {
    return absl::InvalidArgumentError(
        absl::StrCat("the pin ", pin, " is to be an absolute path of a file"));
  }
  std::vector<std::string> missing;
  std::string folder = FolderOf(pin);
  while (!Exists(folder) && folder != "/") {
    missing.push_back(folder);
    folder = FolderOf(folder);
  }
  RETURN_IF_ERROR(IsBpfFs(folder, pin));
  // What lies in a BPF file system.
  if (pin.find('.', folder.size()) != std::string::npos) {
    return absl::InvalidArgumentError(
        absl::StrCat("the pin ", pin,
                     " has a dot in its name, which a BPF file system does "
                     "not take: write another character"));
  }
  for (; !missing.empty(); missing.pop_back()) {
    if (mkdir(missing.back().c_str(), 0700) != 0 && errno != EEXIST) {
      return absl::FailedPreconditionError(absl::StrCat(
          "making the folder ", missing.back(), ": ", std::strerror(errno)));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<bool> TakeOver(const std::vector<bpf_map*>& maps,
                              const std::string& folder) {
  std::vector<net::Fd> pinned;
  for (const bpf_map* map : maps) {
    net::Fd fd(bpf_obj_get(PinOf(map, folder).c_str()));
    if (!fd || !SameShape(map, fd.get())) {
      // What stays of them, PinMaps finds in its way.
      std::string stays;
      Remove(maps, folder, &stays);
      return false;
    }
    pinned.push_back(std::move(fd));
  }
  for (size_t i = 0; i < maps.size(); ++i) {
    // The library keeps a copy of the descriptor.
    if (const int error = bpf_map__reuse_fd(maps[i], pinned[i].get());
        error != 0) {
      return absl::InternalError(absl::StrCat("taking over the map ",
                                              PinOf(maps[i], folder), ": ",
                                              std::strerror(-error)));
    }
  }
  return true;
}

absl::Status PinMaps(const std::vector<bpf_map*>& maps,
                     const std::string& folder) {
  for (bpf_map* map : maps) {
    const std::string pin = PinOf(map, folder);
    RETURN_IF_ERROR(MakeFolderOf(pin));
    if (bpf_obj_pin(bpf_map__fd(map), pin.c_str()) != 0) {
      const int error = errno;
      UnpinMaps(maps, folder);
      return absl::FailedPreconditionError(
          absl::StrCat("pinning ", pin, ": ", std::strerror(error)));
    }
  }
  return absl::OkStatus();
}

void UnpinMaps(const std::vector<bpf_map*>& maps, const std::string& folder) {
  std::string stays;
  const int error = Remove(maps, folder, &stays);
  if (error != 0) WarnOfPin(stays, error);
}

}  // namespace sluice::relay::xdp
