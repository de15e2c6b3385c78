// DetachAll() of attachment.h: what is left of us is found and taken away.

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <dirent.h>
#include <linux/if_link.h>
#include <net/if.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <string_view>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "relay/xdp/attachment.h"
#include "relay/xdp/kernel_objects.h"

namespace sluice::relay::xdp {
namespace {

using net::Fd;
using Hook = Program::Hook;

// All that relay/xdp/forward.bpf.c has.
constexpr std::array<std::string_view, 8> kAllMaps = {
    "ranges", "cells",    "locals",   "profiles",
    "mirror", "nexthops", "tx_ports", "counters"};

class Sweep {
 public:
  // What is pinned under `folder`, and the folder, if nothing stays in it.
  void Folder(const std::string& folder) {
    DIR* open = opendir(folder.c_str());
    if (open == nullptr) return;
    std::vector<std::string> names;
    while (const dirent* entry = readdir(open)) {
      if (entry->d_name[0] != '.') names.emplace_back(entry->d_name);
    }
    closedir(open);
    std::sort(names.begin(), names.end());
    for (const std::string& name : names) {
      const std::string path = absl::StrCat(folder, "/", name);
      struct stat entry;
      if (lstat(path.c_str(), &entry) != 0) continue;
      if (S_ISDIR(entry.st_mode)) {
        Folder(path);
      } else if (S_ISREG(entry.st_mode)) {
        Pin(path);
      }
    }
    // Refused, and rightly, while others' things are in it or it is a mount.
    rmdir(folder.c_str());
  }

  void OnDevice(const Device& device) {
    const XdpPrograms xdp = XdpOn(device);
    Xdp(device, xdp.native, XDP_FLAGS_DRV_MODE);
    Xdp(device, xdp.generic, XDP_FLAGS_SKB_MODE);
    std::vector<uint32_t> ids;
    TcxOn(device, &ids);
    for (uint32_t id : ids) {
      const ProgramInfo program = InfoById(id);
      if (!IsOurs(program, device.name)) continue;
      const Fd link = FindLink(device, Hook::kTc, id);
      bool off = link && bpf_link_detach(link.get()) == 0;
      if (!link) {
        const Fd fd(bpf_prog_get_fd_by_id(id));
        off = fd && bpf_prog_detach2(fd.get(), static_cast<int>(device.ifindex),
                                     kTcxIngress) == 0;
      }
      Off(device, Hook::kTc, program, off);
    }
  }

  absl::StatusOr<std::vector<std::string>> Take() {
    if (failed_.empty()) return std::move(lines_);
    std::string text = failed_;
    for (const std::string& line : lines_) {
      absl::StrAppend(&text, "; removed: ", line);
    }
    return hidden_ ? absl::PermissionDeniedError(text)
                   : absl::InternalError(text);
  }

 private:
  bool IsOurs(const ProgramInfo& program, const std::string& place) {
    if (program.hidden && !std::exchange(hidden_, true)) {
      Complain(absl::StrCat("whose program is at ", place,
                            " cannot be seen, which takes CAP_SYS_ADMIN"));
    }
    return program.ours;
  }
  void Pin(const std::string& path) {
    const Pinned pinned = OpenPin(path);
    switch (pinned.kind) {
      case Pinned::Kind::kLink: Link(path, pinned.fd.get()); break;
      case Pinned::Kind::kMap: Map(path, pinned.fd.get()); break;
      case Pinned::Kind::kProgram: {
        const ProgramInfo program = InfoOf(pinned.fd.get());
        if (IsOurs(program, path)) Remove(path, program.Words());
        break;
      }
      case Pinned::Kind::kNone:
      case Pinned::Kind::kOther: break;
    }
  }
  void Link(const std::string& path, int fd) {
    const auto link = LinkOf(fd);
    if (!link) return;
    const ProgramInfo program = InfoById(link->program);
    if (!IsOurs(program, path)) return;
    std::string what = absl::StrCat("link of ", program.Words());
    char name[IF_NAMESIZE];
    if (link->ifindex != 0) {
      absl::StrAppend(&what, ", ", NameOf(link->hook), " on ",
                      if_indextoname(link->ifindex, name) != nullptr
                          ? absl::StrCat(name)
                          : absl::StrCat("device ", link->ifindex));
      // Who else holds it loses it, too.
      if (bpf_link_detach(fd) != 0) {
        Failed(absl::StrCat("detaching ", path));
        return;
      }
    }
    Remove(path, what);
  }
  void Map(const std::string& path, int fd) {
    bpf_map_info info{};
    uint32_t bytes = sizeof(info);
    if (bpf_obj_get_info_by_fd(fd, &info, &bytes) != 0 ||
        std::find(kAllMaps.begin(), kAllMaps.end(), info.name) ==
            kAllMaps.end()) {
      return;
    }
    Remove(path, absl::StrCat("map ", info.name));
  }
  void Remove(const std::string& path, const std::string& what) {
    if (unlink(path.c_str()) != 0) {
      Failed(absl::StrCat("removing ", path));
      return;
    }
    lines_.push_back(absl::StrCat(path, ": ", what));
  }

  void Xdp(const Device& device, uint32_t id, uint32_t mode) {
    if (id == 0) return;
    const ProgramInfo program = InfoById(id);
    if (!IsOurs(program, device.name)) return;
    const Fd link = FindLink(device, Hook::kXdp, id);
    if (link) {
      Off(device, Hook::kXdp, program, bpf_link_detach(link.get()) == 0);
      return;
    }
    const Fd fd(bpf_prog_get_fd_by_id(id));
    bpf_xdp_attach_opts options{};
    options.sz = sizeof(options);
    options.old_prog_fd = fd.get();
    Off(device, Hook::kXdp, program,
        fd && bpf_xdp_detach(static_cast<int>(device.ifindex), mode,
                             &options) == 0);
  }
  void Off(const Device& device, Hook hook, const ProgramInfo& program,
           bool off) {
    if (off) {
      lines_.push_back(absl::StrCat(device.name, ": ", program.Words(), " off ",
                                    hook == Hook::kXdp ? "XDP" : "tc"));
    } else {
      Failed(absl::StrCat("taking ", program.Words(), " off ", device.name));
    }
  }
  void Failed(const std::string& what) {
    Complain(absl::StrCat(what, ": ", std::strerror(errno)));
  }
  void Complain(const std::string& what) {
    absl::StrAppend(&failed_, failed_.empty() ? "" : "; ", what);
  }

  std::vector<std::string> lines_;
  std::string failed_;
  bool hidden_ = false;
};

}  // namespace

absl::StatusOr<std::vector<std::string>> DetachAll(
    const std::string& pin_folder) {
  Sweep sweep;
  if (!pin_folder.empty() && Exists(pin_folder)) {
    RETURN_IF_ERROR(IsBpfFs(pin_folder, pin_folder));
    sweep.Folder(pin_folder);
  }
  if (struct if_nameindex* all = if_nameindex(); all != nullptr) {
    for (const auto* each = all; each->if_index != 0; ++each) {
      Device device;
      device.ifindex = each->if_index;
      device.name = each->if_name;
      sweep.OnDevice(device);
    }
    if_freenameindex(all);
  }
  return sweep.Take();
}

}  // namespace sluice::relay::xdp
