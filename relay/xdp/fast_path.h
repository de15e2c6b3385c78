#ifndef SLUICE_RELAY_XDP_FAST_PATH_H_
#define SLUICE_RELAY_XDP_FAST_PATH_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/address.h"
#include "base/net/event_loop.h"
#include "relay/media_plane.h"

namespace sluice::relay::xdp {

// The whole of the kernel bypass for who runs a daemon: the program, its
// attachments, the next hops and the offload, made of a list of interfaces. It
// never fails: what cannot be had is said in words, and the sockets, which are
// always underneath, do the work.
//
// Thread: control only. `sockets` and `loop` outlive it.
class FastPath {
 public:
  struct Interface {
    std::string name{};
    IpAddress local{};
    uint16_t first_port = 0, last_port = 0;
    std::string mode = "off";  // off, auto, native, tc
  };
  // What became of one.
  struct State {
    std::string interface {};
    std::string device{};              // "" where none was looked for
    std::string path = "sockets";      // native, tc, sockets
    std::string reason{};              // one line
    std::vector<std::string> hints{};  // what is wrong, and the command
  };
  // A line for the log about what happens later.
  using Tell = std::function<void(const std::string& interface,
                                  const std::string& what)>;
  // Name, help, value.
  struct Number {
    std::string name{}, help{};
    uint64_t value = 0;
    bool is_gauge = false;
  };

  // `pins`: a folder in a BPF file system. With one, a daemon that is killed
  // leaves program and rules at work, and the next one adopts the flows that it
  // opens with believed sources within kAdopt; what it does not vouch for ends.
  // "": the program goes with the process.
  static constexpr Micros kAdopt = Micros::Seconds(5);
  static std::unique_ptr<FastPath> Start(
      MediaPlane& sockets, net::EventLoop& loop,
      const std::vector<Interface>& interfaces, const std::string& pins,
      Tell tell);
  // Takes all of ours off the devices of this network namespace and out of
  // `pins`: a line for each thing removed.
  static absl::StatusOr<std::vector<std::string>> DetachAll(
      const std::string& pins);
  virtual ~FastPath() = default;

  // To be used in place of `sockets`.
  virtual MediaPlane& plane() = 0;
  // By interface, in the order of Start.
  virtual const std::vector<State>& states() const = 0;
  // Whether any interface is not on sockets alone.
  virtual bool active() const = 0;
  // Off: all media by the sockets, until it is on again. FailedPrecondition:
  // there is no other path, or the program was taken off every device.
  virtual absl::Status SetOn(bool on) = 0;
  // Of the program by verdict ("verdict_..."), and of the offload.
  virtual std::vector<Number> Numbers() const = 0;
};

}  // namespace sluice::relay::xdp

#endif  // SLUICE_RELAY_XDP_FAST_PATH_H_
