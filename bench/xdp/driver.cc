#include "bench/xdp/driver.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "bench/xdp/drive.h"
#include "drive.skel.h"

namespace sluice::relay::xdp {
namespace {

absl::Status Failed(const char* what) {
  return absl::InternalError(absl::StrCat(what, ": ", std::strerror(errno)));
}

}  // namespace

struct Driver::Kernel {
  ~Kernel() { xdp_drive__destroy(skeleton); }
  xdp_drive* skeleton = nullptr;
  std::vector<uint8_t> frame{};
};

Driver::Driver() : kernel_(std::make_unique<Kernel>()) {}
Driver::~Driver() = default;

absl::StatusOr<std::unique_ptr<Driver>> Driver::Load(const Flows& flows) {
  CHECK(flows.first.size() >= kDriveHeadBytes && flows.count > 0 &&
        flows.ports_each > 0);
  std::unique_ptr<Driver> driver(new Driver);
  driver->kernel_->skeleton = xdp_drive__open_and_load();
  if (driver->kernel_->skeleton == nullptr) {
    return Failed("loading the driving program");
  }
  driver->kernel_->frame.assign(flows.first.begin(), flows.first.end());
  DriveSettings& settings = driver->kernel_->skeleton->bss->settings;
  std::copy_n(flows.first.begin(), sizeof(settings.head), settings.head);
  settings.first_port = flows.first_port;
  settings.flows = flows.count;
  settings.ports_each = flows.ports_each;
  return driver;
}

absl::StatusOr<Driver::Run> Driver::Drive(int program, int packets) {
  const uint32_t first = 0;
  if (bpf_map__update_elem(kernel_->skeleton->maps.next, &first, sizeof(first),
                           &program, sizeof(program), 0) != 0) {
    return Failed("naming the program to be called");
  }
  bpf_test_run_opts test{};
  test.sz = sizeof(test);
  test.data_in = kernel_->frame.data();
  test.data_size_in = static_cast<uint32_t>(kernel_->frame.size());
  test.repeat = packets;
  if (bpf_prog_test_run_opts(bpf_program__fd(kernel_->skeleton->progs.drive),
                             &test) != 0) {
    return Failed("BPF_PROG_TEST_RUN");
  }
  return Run{.packet_ns = test.duration, .verdict = test.retval};
}

int Driver::Nothing() const {
  return bpf_program__fd(kernel_->skeleton->progs.nothing);
}

}  // namespace sluice::relay::xdp
