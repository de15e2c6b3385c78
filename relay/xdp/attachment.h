#ifndef SLUICE_RELAY_XDP_ATTACHMENT_H_
#define SLUICE_RELAY_XDP_ATTACHMENT_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/net/fd.h"
#include "relay/xdp/device.h"
#include "relay/xdp/program.h"

namespace sluice::relay::xdp {

// kAuto: native where the driver has it, else tc. Never generic XDP: it runs
// behind the stack's receive path and yet does not complete the checksums that
// a sender on the same machine left half made; tc does, on any device.
enum class Mode { kOff, kAuto, kNative, kTc };

// One program on one device; it is taken off when this is destroyed, unless
// Keep() was called, and whatever becomes of the Program; so it is where the
// pin cannot be removed, with a warning of that. Does not look for what
// Inspect() finds: whoever attaches asks that first.
//
//   Attach --> attached --(by force, device gone, taken over)--> not attached
//                 |
//                 '--Keep()--> stays, until an Attach with the same pin takes
//                              it over, or DetachAll
//
// Threads: one owner; Attach not while another thread attaches or loads, for
// libbpf has one place to talk to.
class Attachment {
 public:
  struct Options {
    Mode mode = Mode::kAuto;
    // Where the link is pinned, in a BPF file system; "": nowhere. Its folders
    // are made. What an earlier process of ours pinned there is taken over: on
    // the same device and hook, the program is replaced in place and no packet
    // misses it; else it is taken off once the new one is on.
    std::string pin{};
  };

  // REQUIRES: options.mode is not kOff. In the network namespace of the device.
  //
  // InvalidArgument: device or pin are not of the kind. FailedPrecondition:
  // somebody else's program is there, or the device's settings do not allow
  // ours. Unimplemented: neither driver nor kernel have the hook. NotFound: the
  // device is gone. PermissionDenied: something keeps bpf(2) from us.
  static absl::StatusOr<std::unique_ptr<Attachment>> Attach(
      const Program& program, const Device& device, const Options& options);
  ~Attachment();
  Attachment(const Attachment&) = delete;
  Attachment& operator=(const Attachment&) = delete;

  // It outlives this object and the process. REQUIRES: it is pinned.
  void Keep();

  Program::Hook hook() const { return hook_; }
  const Device& device() const { return device_; }
  // What was taken and why, one line.
  const std::string& reason() const { return reason_; }
  // Asks the kernel whether it still is, and with this program.
  bool attached() const;

 private:
  Attachment(const Device& device, const Options& options)
      : device_(device), pin_(options.pin) {}
  absl::Status Take(const Program& program, Program::Hook hook);

  const Device device_;
  const std::string pin_;
  net::Fd link_;
  Program::Hook hook_ = Program::Hook::kXdp;
  uint32_t program_ = 0;  // its number in the kernel
  std::string reason_;
  bool pinned_ = false;
  bool kept_ = false;
};

// Takes off and removes all of ours, whoever uses it: links, programs and maps
// pinned under `pin_folder`, and our programs on any device of this network
// namespace, known by their name and their maps. What is not ours stays. A line
// for each thing removed.
//
// InvalidArgument: pin_folder is in no BPF file system; nothing was removed.
// One that does not exist, or "", holds nothing. PermissionDenied: there are
// programs whose names we may not see (CAP_SYS_ADMIN). This and any other
// failure goes on with the rest, and says what was removed.
absl::StatusOr<std::vector<std::string>> DetachAll(
    const std::string& pin_folder);

}  // namespace sluice::relay::xdp

#endif  // SLUICE_RELAY_XDP_ATTACHMENT_H_
