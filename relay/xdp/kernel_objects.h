#ifndef SLUICE_RELAY_XDP_KERNEL_OBJECTS_H_
#define SLUICE_RELAY_XDP_KERNEL_OBJECTS_H_

// What attachment.cc and detach.cc both look up in the kernel: programs, links,
// what is on a device, what is pinned where. Nothing is changed here. Only for
// them, and the one header that shows libbpf.

#include <bpf/bpf.h>
#include <linux/bpf.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "base/net/fd.h"
#include "relay/xdp/device.h"
#include "relay/xdp/program.h"

namespace sluice::relay::xdp {

// BPF_TCX_INGRESS, Linux 6.6: newer than the headers.
inline constexpr auto kTcxIngress = static_cast<bpf_attach_type>(46);

const char* NameOf(Program::Hook hook);

struct ProgramInfo {
  uint32_t id = 0;
  std::string name{};
  std::string tag{};
  bool ours = false;    // by its name and its maps, of any version
  bool hidden = false;  // not to be seen without CAP_SYS_ADMIN
  std::string Words() const;
};
ProgramInfo InfoOf(int program_fd);
ProgramInfo InfoById(uint32_t id);

struct LinkInfo {
  uint32_t id = 0;
  uint32_t program = 0;
  Program::Hook hook = Program::Hook::kXdp;
  uint32_t ifindex = 0;  // 0: the device is gone, or it was detached
};
// nullopt: not of a hook of ours.
std::optional<LinkInfo> LinkOf(int link_fd);
// The link by which a program is on a device; none: there is none, or it may
// not be seen.
net::Fd FindLink(const Device& device, Program::Hook hook, uint32_t program);

// Ids, 0: none.
struct XdpPrograms {
  uint32_t native = 0, generic = 0, hardware = 0;
};
XdpPrograms XdpOn(const Device& device);
// The ids on the tcx hook. 0, or errno.
int TcxOn(const Device& device, std::vector<uint32_t>* ids);

struct Pinned {
  enum class Kind { kNone, kLink, kMap, kProgram, kOther };
  Kind kind = Kind::kNone;
  net::Fd fd{};
};
Pinned OpenPin(const std::string& path);
bool Exists(const std::string& path);
// InvalidArgument: `folder`, which exists, is in none; the text names `wanted`.
absl::Status IsBpfFs(const std::string& folder, const std::string& wanted);

}  // namespace sluice::relay::xdp

#endif  // SLUICE_RELAY_XDP_KERNEL_OBJECTS_H_
