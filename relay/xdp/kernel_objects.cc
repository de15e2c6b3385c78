#include "relay/xdp/kernel_objects.h"

#include <bpf/libbpf.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <string_view>

#include "absl/strings/str_cat.h"

namespace sluice::relay::xdp {
namespace {

using net::Fd;
using Hook = Program::Hook;

// BPF_LINK_TYPE_TCX: newer than the headers.
constexpr uint32_t kLinkTcx = 11;

constexpr char kXdpName[] = "forward_xdp";
constexpr char kTcName[] = "forward_tc";
// The maps that tell our programs from others of the same name; of any version.
constexpr std::array<std::string_view, 3> kOurMaps = {"ranges", "cells",
                                                      "nexthops"};
constexpr uint32_t kMapsMax = 64, kOnDeviceMax = 64;

// Of what a descriptor from bpf_obj_get() is, procfs tells by its name alone.
Pinned::Kind KindOf(int fd) {
  const std::string path = absl::StrCat("/proc/self/fd/", fd);
  char target[64];
  const ssize_t length = readlink(path.c_str(), target, sizeof(target));
  if (length <= 0) return Pinned::Kind::kOther;
  const std::string_view name(target, static_cast<size_t>(length));
  const auto says = [name](std::string_view word) {
    return name.find(word) != std::string_view::npos;
  };
  if (says("bpf-link") || says("bpf_link")) return Pinned::Kind::kLink;
  if (says("bpf-map")) return Pinned::Kind::kMap;
  return says("bpf-prog") ? Pinned::Kind::kProgram : Pinned::Kind::kOther;
}

}  // namespace

const char* NameOf(Hook hook) {
  return hook == Hook::kXdp ? "native XDP" : "tc";
}

// --- Programs and links ------------------------------------------------------

std::string ProgramInfo::Words() const {
  return name.empty()
             ? absl::StrCat("program ", id)
             : absl::StrCat("program ", name, " (id ", id, ", tag ", tag, ")");
}

ProgramInfo InfoOf(int program_fd) {
  ProgramInfo out;
  bpf_prog_info info{};
  std::array<uint32_t, kMapsMax> maps{};
  info.map_ids = reinterpret_cast<uintptr_t>(maps.data());
  info.nr_map_ids = kMapsMax;
  uint32_t bytes = sizeof(info);
  if (bpf_obj_get_info_by_fd(program_fd, &info, &bytes) != 0) return out;
  out.id = info.id;
  out.name = info.name;
  for (uint8_t octet : info.tag) {
    absl::StrAppend(&out.tag, absl::Hex(octet, absl::kZeroPad2));
  }
  if (out.name != kXdpName && out.name != kTcName) return out;
  out.ours = std::all_of(
      kOurMaps.begin(), kOurMaps.end(), [&](std::string_view wanted) {
        const uint32_t count = std::min(info.nr_map_ids, kMapsMax);
        return std::any_of(
            maps.begin(), maps.begin() + count, [&](uint32_t id) {
              const Fd fd(bpf_map_get_fd_by_id(id));
              bpf_map_info map{};
              uint32_t size = sizeof(map);
              if (!fd && errno == EPERM) out.hidden = true;
              return fd && bpf_obj_get_info_by_fd(fd.get(), &map, &size) == 0 &&
                     wanted == map.name;
            });
      });
  return out;
}

// Without CAP_SYS_ADMIN there is the number only.
ProgramInfo InfoById(uint32_t id) {
  const Fd fd(bpf_prog_get_fd_by_id(id));
  const bool hidden = !fd && (errno == EPERM || errno == EACCES);
  ProgramInfo out = fd ? InfoOf(fd.get()) : ProgramInfo();
  out.id = id;
  out.hidden = out.hidden || hidden;
  return out;
}

std::optional<LinkInfo> LinkOf(int link_fd) {
  bpf_link_info info{};
  uint32_t bytes = sizeof(info);
  if (bpf_obj_get_info_by_fd(link_fd, &info, &bytes) != 0) return std::nullopt;
  LinkInfo out{.id = info.id, .program = info.prog_id};
  if (info.type == BPF_LINK_TYPE_XDP) {
    out.ifindex = info.xdp.ifindex;
    return out;
  }
  if (info.type != kLinkTcx) return std::nullopt;
  // What the headers do not know yet begins with these two.
  struct {
    uint32_t ifindex;
    uint32_t attach_type;
  } tcx;
  std::memcpy(
      &tcx, reinterpret_cast<const char*>(&info) + offsetof(bpf_link_info, xdp),
      sizeof(tcx));
  if (tcx.attach_type != kTcxIngress) return std::nullopt;
  out.hook = Hook::kTc;
  out.ifindex = tcx.ifindex;
  return out;
}

// An ifindex is the namespace's own, but one program is attached by one process
// in one namespace.
Fd FindLink(const Device& device, Hook hook, uint32_t program) {
  uint32_t id = 0;
  while (bpf_link_get_next_id(id, &id) == 0) {
    Fd fd(bpf_link_get_fd_by_id(id));
    if (!fd) continue;
    const auto link = LinkOf(fd.get());
    if (link && link->hook == hook && link->ifindex == device.ifindex &&
        link->program == program) {
      return fd;
    }
  }
  return Fd();
}

XdpPrograms XdpOn(const Device& device) {
  bpf_xdp_query_opts query{};
  query.sz = sizeof(query);
  if (bpf_xdp_query(static_cast<int>(device.ifindex), 0, &query) != 0) {
    return {};
  }
  return {.native = query.drv_prog_id,
          .generic = query.skb_prog_id,
          .hardware = query.hw_prog_id};
}

int TcxOn(const Device& device, std::vector<uint32_t>* ids) {
  ids->assign(kOnDeviceMax, 0);
  struct bpf_prog_query_opts query {};
  query.sz = sizeof(query);
  query.prog_ids = ids->data();
  query.prog_cnt = kOnDeviceMax;
  if (bpf_prog_query_opts(static_cast<int>(device.ifindex), kTcxIngress,
                          &query) != 0) {
    const int error = errno;
    ids->clear();
    return error;
  }
  ids->resize(std::min(query.prog_cnt, kOnDeviceMax));
  return 0;
}

// --- Pins --------------------------------------------------------------------

Pinned OpenPin(const std::string& path) {
  Pinned out;
  struct stat entry;
  if (lstat(path.c_str(), &entry) != 0) return out;
  out.fd = Fd(bpf_obj_get(path.c_str()));
  out.kind = out.fd ? KindOf(out.fd.get()) : Pinned::Kind::kOther;
  return out;
}

bool Exists(const std::string& path) {
  struct stat entry;
  return lstat(path.c_str(), &entry) == 0;
}

absl::Status IsBpfFs(const std::string& folder, const std::string& wanted) {
  struct statfs system;
  if (statfs(folder.c_str(), &system) == 0 &&
      static_cast<uint64_t>(system.f_type) == BPF_FS_MAGIC) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(absl::StrCat(
      wanted,
      " is in no BPF file system, which alone holds pins: mount -t bpf "
      "bpf /sys/fs/bpf, and name a place in there"));
}

}  // namespace sluice::relay::xdp
