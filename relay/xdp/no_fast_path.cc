// Where the build has no XDP.

#include "relay/xdp/fast_path.h"

namespace sluice::relay::xdp {
namespace {

constexpr char kWhy[] =
    "this build has no XDP: it was made without the XDP program (clang, "
    "bpftool, libbpf or x86-64 missing, or switched off): tools/setup, then "
    "build anew";

class NoFastPath final : public FastPath {
 public:
  NoFastPath(MediaPlane& sockets, const std::vector<Interface>& interfaces)
      : sockets_(sockets) {
    for (const Interface& i : interfaces) {
      states_.push_back({.interface = i.name,
                         .reason = i.mode == "off" ? "switched off" : kWhy});
    }
  }
  MediaPlane& plane() override { return sockets_; }
  const std::vector<State>& states() const override { return states_; }
  bool active() const override { return false; }
  absl::Status SetOn(bool) override {
    return absl::FailedPreconditionError(kWhy);
  }
  std::vector<Number> Numbers() const override { return {}; }

 private:
  MediaPlane& sockets_;
  std::vector<State> states_;
};

}  // namespace

absl::StatusOr<std::vector<std::string>> FastPath::DetachAll(
    const std::string&) {
  return absl::FailedPreconditionError(kWhy);
}

std::unique_ptr<FastPath> FastPath::Start(
    MediaPlane& sockets, net::EventLoop&,
    const std::vector<Interface>& interfaces, const std::string&, Tell) {
  return std::make_unique<NoFastPath>(sockets, interfaces);
}

}  // namespace sluice::relay::xdp
