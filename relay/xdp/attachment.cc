#include "relay/xdp/attachment.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/if_link.h>
#include <net/if.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdarg>
#include <cstdio>
#include <cstring>
#include <string_view>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "base/status_macros.h"
#include "relay/xdp/kernel_objects.h"
#include "relay/xdp/pins.h"

namespace sluice::relay::xdp {
namespace {

using net::Fd;
using Hook = Program::Hook;

// --- Why it was refused ------------------------------------------------------

// What the kernel says about a refusal (its extended ack), it says by netlink
// and not to who makes a link; libbpf prints it. So a refused program is
// offered once more that way. REQUIRES: nothing else uses libbpf meanwhile.
class KernelWords {
 public:
  static std::string Of(int program_fd, const Device& device) {
    heard_.clear();
    const libbpf_print_fn_t before = libbpf_set_print(Hear);
    bpf_xdp_attach_opts options{};
    options.sz = sizeof(options);
    const auto ifindex = static_cast<int>(device.ifindex);
    constexpr uint32_t kFlags =
        XDP_FLAGS_DRV_MODE | XDP_FLAGS_UPDATE_IF_NOEXIST;
    if (bpf_xdp_attach(ifindex, program_fd, kFlags, &options) == 0) {
      options.old_prog_fd = program_fd;
      bpf_xdp_detach(ifindex, XDP_FLAGS_DRV_MODE, &options);
      heard_ = "a second attempt was not refused: try again";
    }
    libbpf_set_print(before);
    return std::exchange(heard_, {});
  }

 private:
  __attribute__((format(printf, 2, 0))) static int Hear(libbpf_print_level,
                                                        const char* format,
                                                        va_list arguments) {
    char line[256];
    std::vsnprintf(line, sizeof(line), format, arguments);
    constexpr std::string_view kBegin = "Kernel error message: ";
    const std::string_view said(line);
    const size_t at = said.find(kBegin);
    if (at == std::string_view::npos) return 0;
    heard_ = said.substr(at + kBegin.size());
    while (!heard_.empty() && heard_.back() == '\n') heard_.pop_back();
    return 0;
  }
  static thread_local std::string heard_;
};
thread_local std::string KernelWords::heard_;

absl::Status Gone(const Device& device) {
  return absl::NotFoundError(absl::StrCat("the network device ", device.name,
                                          " (index ", device.ifindex,
                                          ") is gone (see: ip link)"));
}

// The kernel itself asks for rights where the program is loaded, not here.
absl::Status NoRights(const Device& device, Hook hook) {
  return absl::PermissionDeniedError(absl::StrCat(
      "attaching ", NameOf(hook), " to ", device.name,
      " is not allowed: it takes CAP_BPF and CAP_NET_ADMIN, and that neither a "
      "seccomp filter nor a security module of the container or service keeps "
      "bpf(2) from this process"));
}

bool IsGone(const Device& device) {
  char name[IF_NAMESIZE];
  return if_indextoname(device.ifindex, name) == nullptr;
}

absl::Status Occupied(const Device& device, int error) {
  const XdpPrograms there = XdpOn(device);
  const uint32_t id = there.native != 0    ? there.native
                      : there.generic != 0 ? there.generic
                                           : there.hardware;
  const ProgramInfo program = InfoById(id);
  std::string what =
      absl::StrCat(device.name, " has the XDP ", program.Words(), " already, ",
                   there.native != 0    ? "native"
                   : there.generic != 0 ? "generic"
                                        : "offloaded",
                   ": ", std::strerror(error));
  const Fd link = FindLink(device, Hook::kXdp, id);
  if (link) {
    const auto info = LinkOf(link.get());
    absl::StrAppend(
        &what,
        program.ours ? "; another sluiced holds it, or left it behind"
                     : "; its owner holds it",
        ": stop that one, or: bpftool link detach id ", info ? info->id : 0);
  } else {
    absl::StrAppend(&what, "; take it off: ip link set dev ", device.name,
                    there.native != 0 ? " xdp off" : " xdpgeneric off",
                    " (or, if a link holds it, stop its owner)");
  }
  absl::StrAppend(&what, "; or use tc, which stands beside it");
  return absl::FailedPreconditionError(what);
}

absl::Status NativeRefused(const Program& program, const Device& device,
                           int error) {
  if (error == EPERM || error == EACCES) return NoRights(device, Hook::kXdp);
  if (error == ENODEV || IsGone(device)) return Gone(device);
  if (error == EBUSY || error == EEXIST) return Occupied(device, error);
  const std::string words =
      KernelWords::Of(program.ProgramDescriptor(Hook::kXdp), device);
  const std::string why = absl::StrCat(
      std::strerror(error), words.empty() ? "" : ", the kernel says: ", words);
  if (error == EOPNOTSUPP) {
    return absl::UnimplementedError(absl::StrCat(
        device.name, " has no native XDP (driver: ",
        device.driver.empty() ? "unknown" : device.driver, "): ", why,
        "; generic XDP is not taken instead, it leaves checksums wrong that a "
        "sender left half made: use tc"));
  }
  std::string what = absl::StrCat("the driver of ", device.name, " (",
                                  device.driver, ") refuses native XDP: ", why);
  const bool names_mtu = words.find("MTU") != std::string::npos ||
                         words.find("mtu") != std::string::npos;
  if (error == ERANGE || names_mtu || device.mtu > kNativeMtuMax) {
    absl::StrAppend(
        &what, "; the MTU of ", device.name, " is ", device.mtu,
        ", mend: ip link set dev ", device.name, " mtu ", kNativeMtuMax,
        device.driver == "veth" ? ", and the same at its other end" : "",
        ", or use tc");
  } else {
    absl::StrAppend(&what, "; mend what it names (ethtool -k, -l ", device.name,
                    "), or use tc");
  }
  return absl::FailedPreconditionError(what);
}

absl::Status TcRefused(const Device& device, int error) {
  if (error == EPERM || error == EACCES) return NoRights(device, Hook::kTc);
  if (error == ENODEV || IsGone(device)) return Gone(device);
  std::vector<uint32_t> ids;
  // A kernel without the hook knows no such question, either.
  if (TcxOn(device, &ids) == EINVAL) {
    return absl::UnimplementedError(absl::StrCat(
        "this kernel cannot attach to the tc hook by a link (tcx, Linux 6.6): ",
        std::strerror(error)));
  }
  return absl::FailedPreconditionError(absl::StrCat(
      "attaching to the tc hook of ", device.name, ": ", std::strerror(error),
      ids.empty() ? ""
                  : absl::StrCat("; there are ", ids.size(),
                                 " programs (see: bpftool net)")));
}

absl::Status Refused(const Program& program, const Device& device, Hook hook,
                     int error) {
  return hook == Hook::kXdp ? NativeRefused(program, device, error)
                            : TcRefused(device, error);
}

// --- Pins --------------------------------------------------------------------

// In place of what is there, in one step.
absl::Status PinLink(int link_fd, const std::string& pin) {
  const std::string aside = pin + "_new";
  const auto failed = [&pin](const char* what) {
    return absl::FailedPreconditionError(
        absl::StrCat(what, " ", pin, ": ", std::strerror(errno)));
  };
  unlink(aside.c_str());  // of a process that ended between the two
  if (bpf_obj_pin(link_fd, aside.c_str()) != 0) return failed("pinning");
  if (rename(aside.c_str(), pin.c_str()) == 0) return absl::OkStatus();
  const absl::Status status = failed("moving the pin to");
  unlink(aside.c_str());
  return status;
}

// The link of ours at `pin`; kNone when there is nothing. FailedPrecondition:
// something of somebody else's.
absl::StatusOr<Pinned> OldPin(const std::string& pin) {
  Pinned old = OpenPin(pin);
  if (old.kind == Pinned::Kind::kNone) return old;
  const auto link =
      old.kind == Pinned::Kind::kLink ? LinkOf(old.fd.get()) : std::nullopt;
  const ProgramInfo program = link ? InfoById(link->program) : ProgramInfo();
  // Where the program's name is hidden from us, the place has to do: it is
  // ours.
  if (link && (program.ours || program.hidden)) return old;
  return absl::FailedPreconditionError(absl::StrCat(
      "what is pinned at ", pin, " is not ours",
      program.name.empty() ? "" : absl::StrCat(" (", program.Words(), ")"),
      ": remove it, or name another place"));
}

// Whether a link is on this device. By its index alone it might be on one of
// another network namespace.
bool IsOn(const Device& device, const LinkInfo& link) {
  if (link.ifindex != device.ifindex) return false;
  if (link.hook == Hook::kXdp) return XdpOn(device).native == link.program;
  std::vector<uint32_t> ids;
  TcxOn(device, &ids);
  return std::find(ids.begin(), ids.end(), link.program) != ids.end();
}

}  // namespace

// --- Attachment --------------------------------------------------------------

absl::Status Attachment::Take(const Program& program, Hook hook) {
  const int program_fd = program.ProgramDescriptor(hook);
  program_ = InfoOf(program_fd).id;
  Pinned old;
  if (!pin_.empty()) {
    ASSIGN_OR_RETURN(old, OldPin(pin_));
  }
  const auto was =
      old.kind == Pinned::Kind::kLink ? LinkOf(old.fd.get()) : std::nullopt;
  if (was && was->hook == hook && IsOn(device_, *was)) {
    if (bpf_link_update(old.fd.get(), program_fd, nullptr) != 0) {
      return absl::FailedPreconditionError(absl::StrCat(
          "replacing the program of the link at ", pin_, " on ", device_.name,
          ": ", std::strerror(errno), "; remove it: rm ", pin_));
    }
    link_ = std::move(old.fd);
    pinned_ = true;
    hook_ = hook;
    reason_ = absl::StrCat(NameOf(hook), " on ", device_.name,
                           ", in place of an earlier process's");
    return absl::OkStatus();
  }

  bpf_link_create_opts create{};
  create.sz = sizeof(create);
  // Without it the kernel takes generic XDP where there is no other, and does
  // not say so.
  if (hook == Hook::kXdp) create.flags = XDP_FLAGS_DRV_MODE;
  Fd link(bpf_link_create(program_fd, static_cast<int>(device_.ifindex),
                          hook == Hook::kXdp ? BPF_XDP : kTcxIngress, &create));
  if (!link) {
    const int error = errno;
    return Refused(program, device_, hook, error);
  }
  // The old link, of another device or hook, goes with its pin; only now.
  if (!pin_.empty()) {
    RETURN_IF_ERROR(PinLink(link.get(), pin_));
    pinned_ = true;
  }
  link_ = std::move(link);
  hook_ = hook;
  reason_ = absl::StrCat(NameOf(hook), " on ", device_.name);
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<Attachment>> Attachment::Attach(
    const Program& program, const Device& device, const Options& options) {
  CHECK(options.mode != Mode::kOff);
  if (device.is_loopback) {
    return absl::InvalidArgumentError(
        absl::StrCat(device.name,
                     " is the loopback device: what arrives there "
                     "has nowhere to be forwarded to"));
  }
  if (!device.has_ethernet) {
    return absl::InvalidArgumentError(
        absl::StrCat(device.name,
                     " has no Ethernet header, by which the program finds what "
                     "it forwards: name an Ethernet device"));
  }
  if (!options.pin.empty()) RETURN_IF_ERROR(MakeFolderOf(options.pin));

  std::unique_ptr<Attachment> out(new Attachment(device, options));
  if (options.mode == Mode::kNative) {
    RETURN_IF_ERROR(out->Take(program, Hook::kXdp));
    return out;
  }
  if (options.mode == Mode::kTc) {
    RETURN_IF_ERROR(out->Take(program, Hook::kTc));
    return out;
  }
  const absl::Status native = out->Take(program, Hook::kXdp);
  if (native.ok()) return out;
  const absl::Status tc = out->Take(program, Hook::kTc);
  if (tc.ok()) {
    absl::StrAppend(&out->reason_, ", for ", native.message());
    return out;
  }
  // The same thing stands in the way of both.
  if (native.message() == tc.message() || absl::IsNotFound(tc)) return tc;
  return absl::Status(
      tc.code(),
      absl::StrCat(tc.message(), "; and before: ", native.message()));
}

Attachment::~Attachment() {
  if (kept_ || !pinned_ || !link_) return;
  // Another process may have taken the link over, or the place for its own:
  // then that is not ours to remove.
  const auto ours = LinkOf(link_.get());
  if (!ours || ours->program != program_) return;
  struct stat entry;
  int error = lstat(pin_.c_str(), &entry) == 0 ? 0 : errno;
  if (error == ENOENT) return;
  if (error == 0) {
    const Pinned there = OpenPin(pin_);
    if (there.kind == Pinned::Kind::kLink) {
      const auto theirs = LinkOf(there.fd.get());
      if (!theirs || theirs->id != ours->id) return;
      if (unlink(pin_.c_str()) == 0) return;
      error = errno;
    } else if (there.kind == Pinned::Kind::kOther) {
      // As another account than the one that pinned it we may not look.
      error = EACCES;
    } else {
      return;
    }
  }
  // The pin holds the link, so that closing ours would leave the program on.
  bpf_link_detach(link_.get());
  WarnOfPin(pin_, error);
}

void Attachment::Keep() {
  CHECK(pinned_);
  kept_ = true;
}

bool Attachment::attached() const {
  const auto link = LinkOf(link_.get());
  return link && link->ifindex == device_.ifindex && link->program == program_;
}

}  // namespace sluice::relay::xdp
