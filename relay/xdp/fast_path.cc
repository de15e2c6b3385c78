#include "relay/xdp/fast_path.h"

#include <algorithm>
#include <deque>
#include <optional>

#include "absl/strings/str_cat.h"
#include "base/net/next_hops.h"
#include "base/status_macros.h"
#include "relay/xdp/attachment.h"
#include "relay/xdp/device.h"
#include "relay/xdp/offload.h"
#include "relay/xdp/program.h"

namespace sluice::relay::xdp {
namespace {

// How soon it is noticed that somebody took the program off a device. Until
// then its flows' packets come by the sockets, which know them.
constexpr Micros kCheck = Micros::Seconds(1);

class KernelWays final : public Ways {
 public:
  using Changed = std::function<void(Id)>;
  absl::Status Start(net::EventLoop& loop, Changed changed) {
    ASSIGN_OR_RETURN(hops_,
                     net::NextHops::Create(
                         loop, [changed = std::move(changed)](
                                   Id id, const std::optional<net::NextHop>&) {
                           changed(id);
                         }));
    return absl::OkStatus();
  }
  absl::StatusOr<Id> Watch(const IpAddress& from,
                           const IpAddress& to) override {
    return hops_->Watch(from, to);
  }
  void Release(Id id) override { hops_->Release(id); }
  std::string Why(Id id) const override { return hops_->Why(id); }
  std::optional<net::NextHop> Find(Id id) const override {
    return hops_->Find(id);
  }

 private:
  std::unique_ptr<net::NextHops> hops_;
};

std::string HintOf(const Finding& finding) {
  return absl::StrCat(finding.what, finding.mend.empty() ? "" : ": ",
                      finding.mend);
}

uint32_t CellsOf(const FastPath::Interface& interface) {
  return interface.last_port - interface.first_port + 1u;
}

bool Spoils(const Finding& finding) {
  return finding.certain && finding.harm != Finding::Harm::kSlow;
}

class KernelFastPath final : public FastPath {
 public:
  KernelFastPath(MediaPlane& sockets, net::EventLoop& loop,
                 const std::string& pins, Tell tell)
      : sockets_(sockets), loop_(loop), tell_(std::move(tell)) {
    if (!pins.empty()) pins_ = absl::StrCat(pins, "/abi", kAbiVersion);
  }
  ~KernelFastPath() override {
    if (timer_ != 0) loop_.Cancel(timer_);
    if (adopt_timer_ != 0) loop_.Cancel(adopt_timer_);
  }

  void Begin(const std::vector<Interface>& interfaces);

  MediaPlane& plane() override {
    return offload_ ? static_cast<MediaPlane&>(*offload_) : sockets_;
  }
  const std::vector<State>& states() const override { return states_; }
  bool active() const override { return offload_.has_value(); }
  absl::Status SetOn(bool on) override;
  std::vector<Number> Numbers() const override;

 private:
  absl::Status Load(const std::vector<Interface>& interfaces);
  void Take(const Interface& interface, uint32_t base, State* state);
  void EndInheritance();
  Attachment* AttachmentOf(uint32_t ifindex) const;
  // Attaches as `mode` says and what is found about the device allows.
  absl::StatusOr<Attachment*> Attach(const Device& device, Mode mode,
                                     State* state);
  absl::StatusOr<Attachment*> AttachAs(const Device& device, Mode mode,
                                       State* state);
  void Check();
  std::string PinOf(const Device& device) const;

  MediaPlane& sockets_;
  net::EventLoop& loop_;
  const Tell tell_;
  std::string pins_;  // "": nothing is pinned
  std::vector<State> states_;
  // In the order of their making: the offload writes to the program to its end.
  std::unique_ptr<Program> program_;
  KernelWays ways_;
  std::vector<std::unique_ptr<Attachment>> attachments_;
  std::optional<Offload> offload_;
  net::EventLoop::TimerId timer_ = 0, adopt_timer_ = 0;
};

// In a BPF file system no name has a dot.
std::string KernelFastPath::PinOf(const Device& device) const {
  if (pins_.empty()) return "";
  std::string name = device.name;
  std::replace(name.begin(), name.end(), '.', '_');
  return absl::StrCat(pins_, "/link_", name);
}

Mode ModeOf(const std::string& text) {
  if (text == "native") return Mode::kNative;
  if (text == "tc") return Mode::kTc;
  return text == "auto" ? Mode::kAuto : Mode::kOff;
}

void KernelFastPath::Begin(const std::vector<Interface>& interfaces) {
  bool wanted = false;
  for (const Interface& interface : interfaces) {
    const bool on = ModeOf(interface.mode) != Mode::kOff;
    wanted |= on;
    states_.push_back(
        {.interface = interface.name, .reason = on ? "" : "switched off"});
  }
  if (!wanted) return;
  if (const absl::Status loaded = Load(interfaces); !loaded.ok()) {
    for (State& state : states_) {
      if (state.reason.empty()) state.reason = std::string(loaded.message());
    }
    return;
  }
  offload_.emplace(sockets_, *program_, ways_, loop_);
  uint32_t base = 0;
  for (size_t i = 0; i < interfaces.size(); ++i) {
    if (ModeOf(interfaces[i].mode) == Mode::kOff) continue;
    Take(interfaces[i], base, &states_[i]);
    base += CellsOf(interfaces[i]);
  }
  if (attachments_.empty()) {
    offload_.reset();
    program_.reset();
    return;
  }
  timer_ = loop_.Every(kCheck, [this] { Check(); });
  if (!program_->inherited()) return;
  offload_->Inherit();
  adopt_timer_ = loop_.After(kAdopt, [this] { EndInheritance(); });
}

void KernelFastPath::EndInheritance() {
  adopt_timer_ = 0;
  const size_t left = offload_->EndInheritance();
  tell_("", absl::StrCat(offload_->counters().adopted,
                         " directions of flows of an earlier process adopted, ",
                         left, " ended"));
}

absl::Status KernelFastPath::Load(const std::vector<Interface>& interfaces) {
  Program::Options options{.cells = 0, .pins = pins_};
  std::vector<NamedRange> ranges;
  for (const Interface& interface : interfaces) {
    if (ModeOf(interface.mode) == Mode::kOff) continue;
    ranges.push_back({.local = interface.local,
                      .first_port = interface.first_port,
                      .count = static_cast<uint16_t>(CellsOf(interface)),
                      .base = options.cells});
    options.cells += CellsOf(interface);
  }
  auto program = Program::Load(options);
  if (!program.ok() && !pins_.empty() &&
      !absl::IsPermissionDenied(program.status())) {
    tell_("",
          absl::StrCat("killed, the daemon will take the forwarding along: ",
                       program.status().message()));
    pins_.clear();
    options.pins.clear();
    program = Program::Load(options);
  }
  RETURN_IF_ERROR(program.status());
  program_ = *std::move(program);
  if (program_->inherited()) RETURN_IF_ERROR(program_->ForgetUnless(ranges));
  return ways_.Start(loop_, [this](Ways::Id id) {
    if (offload_) offload_->OnWayChanged(id);
  });
}

void KernelFastPath::Take(const Interface& interface, uint32_t base,
                          State* state) {
  const auto device = FindDevice(interface.local);
  if (!device.ok()) {
    state->reason = std::string(device.status().message());
    return;
  }
  state->device = device->name;
  const auto attached = Attach(*device, ModeOf(interface.mode), state);
  if (!attached.ok()) {
    state->reason = std::string(attached.status().message());
    return;
  }
  const bool native = (*attached)->hook() == Program::Hook::kXdp;
  const absl::Status added = offload_->AddRange(
      {.local = interface.local,
       .first_port = interface.first_port,
       .last_port = interface.last_port,
       .device =
           {.ifindex = static_cast<int>(device->ifindex),
            .hook = native ? Offload::Hook::kXdp : Offload::Hook::kTc,
            // What a veth transmits is lost unless its peer has a program, too.
            .hop_flags = static_cast<uint16_t>(
                device->driver == "veth" ? kNextHopNeverTransmit : 0)}},
      base);
  if (!added.ok()) {
    state->reason = std::string(added.message());
    return;
  }
  state->path = native ? "native" : "tc";
  state->reason = (*attached)->reason();
}

Attachment* KernelFastPath::AttachmentOf(uint32_t ifindex) const {
  for (const auto& attachment : attachments_) {
    if (attachment->device().ifindex == ifindex) return attachment.get();
  }
  return nullptr;
}

absl::StatusOr<Attachment*> KernelFastPath::Attach(const Device& device,
                                                   Mode mode, State* state) {
  // Of two interfaces on one device the first decides.
  if (Attachment* known = AttachmentOf(device.ifindex)) return known;
  if (mode == Mode::kAuto) {
    auto native = AttachAs(device, Mode::kNative, state);
    if (native.ok()) return native;
    const std::vector<std::string> why = {
        absl::StrCat("not native: ", native.status().message())};
    auto tc = AttachAs(device, Mode::kTc, state);
    if (tc.ok()) {
      state->hints.insert(state->hints.begin(), why.begin(), why.end());
      return tc;
    }
    return absl::Status(tc.status().code(),
                        absl::StrCat(native.status().message(),
                                     "; and tc: ", tc.status().message()));
  }
  return AttachAs(device, mode, state);
}

absl::StatusOr<Attachment*> KernelFastPath::AttachAs(const Device& device,
                                                     Mode mode, State* state) {
  const auto hook =
      mode == Mode::kNative ? Program::Hook::kXdp : Program::Hook::kTc;
  std::vector<std::string> hints;
  for (const Finding& finding : Inspect(device, hook)) {
    if (Spoils(finding)) return absl::FailedPreconditionError(HintOf(finding));
    hints.push_back(HintOf(finding));
  }
  ASSIGN_OR_RETURN(std::unique_ptr<Attachment> attachment,
                   Attachment::Attach(*program_, device,
                                      {.mode = mode, .pin = PinOf(device)}));
  state->hints = std::move(hints);
  attachments_.push_back(std::move(attachment));
  return attachments_.back().get();
}

void KernelFastPath::Check() {
  for (size_t i = 0; i < attachments_.size();) {
    if (attachments_[i]->attached()) {
      ++i;
      continue;
    }
    const Device device = attachments_[i]->device();
    attachments_.erase(attachments_.begin() + static_cast<ptrdiff_t>(i));
    offload_->RemoveDevice(static_cast<int>(device.ifindex));
    for (State& state : states_) {
      if (state.device != device.name || state.path == "sockets") continue;
      state.path = "sockets";
      state.reason = absl::StrCat("the program was taken off ", device.name,
                                  "; a restart puts it on again");
      tell_(state.interface, state.reason);
    }
  }
}

absl::Status KernelFastPath::SetOn(bool on) {
  if (!offload_) {
    return absl::FailedPreconditionError(
        "all media goes by the sockets anyway: no interface has XDP or tc");
  }
  Check();  // its turn may be a second away
  if (attachments_.empty()) {
    return absl::FailedPreconditionError(
        "all media goes by the sockets anyway: the program was taken off every "
        "device; a restart puts it on again");
  }
  offload_->SetOn(on);
  return absl::OkStatus();
}

std::vector<FastPath::Number> KernelFastPath::Numbers() const {
  std::vector<Number> numbers;
  if (!offload_) return numbers;
  const auto add = [&](std::string name, std::string help, uint64_t value,
                       bool gauge = false) {
    numbers.push_back({std::move(name), std::move(help), value, gauge});
  };
  if (const auto counters = program_->Counters(); counters.ok()) {
    for (size_t i = 0; i < kVerdictNames.size(); ++i) {
      add(absl::StrCat("verdict_", kVerdictNames[i].name),
          kVerdictNames[i].help, (*counters)[i]);
    }
  }
  const OffloadCounters& done = offload_->counters();
#define OFFLOAD_COUNTER(name, help) add("offload_" #name, help, done.name);
#include "relay/xdp/offload.def"
#undef OFFLOAD_COUNTER
  add("offload_on",
      "1: confirmed flows may go past the sockets; 0: switched off by the "
      "operator",
      offload_->on() ? 1 : 0, true);
  add("offload_waiting", "Directions that could leave the sockets and wait",
      offload_->waiting(), true);
  add("offload_joining", "Directions on their way past the sockets",
      offload_->joining(), true);
  add("offload_in_force", "Directions whose packets go past the sockets",
      offload_->in_force(), true);
  return numbers;
}

}  // namespace

absl::StatusOr<std::vector<std::string>> FastPath::DetachAll(
    const std::string& pins) {
  return xdp::DetachAll(pins);
}

std::unique_ptr<FastPath> FastPath::Start(
    MediaPlane& sockets, net::EventLoop& loop,
    const std::vector<Interface>& interfaces, const std::string& pins,
    Tell tell) {
  auto path =
      std::make_unique<KernelFastPath>(sockets, loop, pins, std::move(tell));
  path->Begin(interfaces);
  return path;
}

}  // namespace sluice::relay::xdp
