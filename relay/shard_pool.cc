#include "relay/shard_pool.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <deque>
#include <future>
#include <span>
#include <thread>
#include <type_traits>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/net/epoll_engine.h"
#include "base/net/fd.h"
#include "base/net/socket.h"
#include "base/net/uring.h"
#include "base/slot_map.h"
#include "base/status_macros.h"
#include "relay/shard.h"
#include "relay/udp_header.h"
#include "relay/watch_queue.h"

namespace sluice::relay {
namespace {

constexpr Micros kTurnWaitMax = Micros::Seconds(1);

std::vector<int> UsableCores() {
  std::vector<int> cores;
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof(set), &set) == 0) {
    for (int core = 0; core < CPU_SETSIZE; ++core) {
      if (CPU_ISSET(core, &set)) cores.push_back(core);
    }
  }
  if (cores.empty()) cores.push_back(0);
  return cores;
}

void Ring(int event_fd) noexcept {
  const uint64_t one = 1;
  // An eventfd takes 2^64-2 of these before it would refuse one.
  [[maybe_unused]] const ssize_t n = write(event_fd, &one, sizeof(one));
}

// A bell between two threads that is rung once however often it is pulled
// before it is heard.
class Bell {
 public:
  explicit Bell(int event_fd) : event_fd_(event_fd) {}
  // After something was pushed. The exchange releases the push to the
  // exchange of Heard().
  void Pull() noexcept {
    if (!pulled_.exchange(true, std::memory_order_acq_rel)) Ring(event_fd_);
  }
  // Before looking what was pushed.
  void Heard() noexcept { pulled_.exchange(false, std::memory_order_acq_rel); }

 private:
  const int event_fd_;
  std::atomic<bool> pulled_{false};
};

}  // namespace

// One shard as the control thread holds it.
struct ShardHandle {
  ShardHandle(const ShardPool::Options& options, net::Fd wake_fd)
      : wake(std::move(wake_fd)),
        bell(wake.get()),
        flows(options.flows_per_shard),
        socket_slots(options.sockets_per_shard),
        flow_slots(options.flows_per_shard) {}

  // Shared: each queue between exactly two threads, cells and counters written
  // by the shard alone.
  net::Fd wake;
  Bell bell;
  FlowTable flows;
  ShardCounters counters;
  CommandQueue commands;
  EventQueue events;
  WatchQueue copies;
  std::thread thread;

  // Control thread only.
  SlotMap socket_slots;
  SlotMap flow_slots;
  // What found the queue full and may not be refused (closing, retargeting);
  // sent in order before anything else.
  std::deque<Command> backlog;
  bool stopped = false;
  // Where each socket is bound, by its slot's index.
  struct Bound {
    uint32_t generation = 0;
    Endpoint local{};
  };
  std::vector<Bound> bound;
  uint64_t copies_lost = 0;  // here
};

struct ShardPool::Impl {
  explicit Impl(const Options& o) : options(o) {}

  template <typename Engine>
  absl::Status Launch();
  template <typename Engine>
  void Run(ShardHandle& shard, std::unique_ptr<Engine> engine,
           std::promise<absl::Status> started);
  absl::Status ChooseEngine();
  void FlushBacklog(ShardHandle& shard);
  bool Push(ShardHandle& shard, const Command& command);
  void PushSurely(ShardHandle& shard, const Command& command);
  void OnEvent(ShardHandle& shard, const Event& event);

  Options options;
  net::Fd events_ready;
  std::unique_ptr<Bell> events_bell;
  std::vector<std::unique_ptr<ShardHandle>> shards;
  EngineKind kind = EngineKind::kUring;
  std::string engine_name;
  std::string engine_reason;
  bool holds_files = false;  // sockets live in the rings' tables
};

absl::Status ShardPool::Impl::ChooseEngine() {
  const absl::Status uring = options.engine == EngineKind::kEpoll
                                 ? absl::OkStatus()
                                 : net::UringEngine::Probe();
  switch (options.engine) {
    case EngineKind::kUring:
      if (!uring.ok()) {
        return absl::UnavailableError(absl::StrCat(
            "relay.engine = \"io_uring\" cannot be had: ", uring.message(),
            "; \"epoll\" or \"auto\" will work"));
      }
      kind = EngineKind::kUring;
      engine_reason = "asked for by name";
      break;
    case EngineKind::kEpoll:
      kind = EngineKind::kEpoll;
      engine_reason = "asked for by name";
      break;
    case EngineKind::kAuto:
      kind = uring.ok() ? EngineKind::kUring : EngineKind::kEpoll;
      engine_reason = uring.ok() ? "a test datagram went through io_uring"
                                 : absl::StrCat("io_uring cannot be had: ",
                                                uring.message());
      break;
  }
  engine_name = kind == EngineKind::kUring ? "io_uring" : "epoll";
  holds_files = kind == EngineKind::kUring && net::UringEngine::CanHoldFiles();
  uint64_t bound = options.descriptors;
  if (holds_files) {
    rlimit limit{};
    bound = getrlimit(RLIMIT_NOFILE, &limit) == 0 ? limit.rlim_cur : 0;
  }
  if (bound != 0) {
    options.sockets_per_shard = static_cast<uint32_t>(
        std::min<uint64_t>(options.sockets_per_shard, bound));
  }
  return absl::OkStatus();
}

template <typename Engine>
void ShardPool::Impl::Run(ShardHandle& shard, std::unique_ptr<Engine> engine,
                          std::promise<absl::Status> started) {
  absl::Status status = engine->Start();
  const bool ok = status.ok();
  started.set_value(std::move(status));
  if (!ok) return;
  // On this thread, so that the memory is the core's own (NUMA first touch).
  Shard<Engine> loop(*engine,
                     {.sockets = options.sockets_per_shard,
                      .learn_window = options.learn_window,
                      .copies = &shard.copies},
                     shard.flows, shard.counters, shard.commands, shard.events);
  using Turn = typename Shard<Engine>::Turn;
  for (Turn turn = Turn::kQuiet; turn != Turn::kStopped;) {
    shard.bell.Heard();
    turn = loop.RunOnce(kTurnWaitMax);
    if (turn != Turn::kQuiet) events_bell->Pull();
  }
}

template <typename Engine>
absl::Status ShardPool::Impl::Launch() {
  const std::vector<int> cores = UsableCores();
  for (uint32_t k = 0; k < options.shards; ++k) {
    net::Fd wake(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    if (!wake) return net::ErrnoStatus(errno, "eventfd");
    auto shard = std::make_unique<ShardHandle>(options, std::move(wake));
    ASSIGN_OR_RETURN(auto engine,
                     Engine::Create({.sq_entries = options.sq_entries,
                                     .cq_entries = options.cq_entries,
                                     .receive_buffers = options.receive_buffers,
                                     .max_datagram = options.max_datagram,
                                     .batch_wait_us = options.batch_wait_us,
                                     .sockets = options.sockets_per_shard,
                                     .hold_files = holds_files,
                                     .wake_fd = shard->wake.get()}));
    std::promise<absl::Status> started;
    auto answer = started.get_future();
    // Signals are the control thread's business.
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    shard->thread = std::thread([this, &s = *shard, e = std::move(engine),
                                 p = std::move(started)]() mutable {
      Run<Engine>(s, std::move(e), std::move(p));
    });
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
    const pthread_t handle = shard->thread.native_handle();
    pthread_setname_np(handle, absl::StrFormat("shard-%d", k).c_str());
    if (options.pin && cores.size() > 1) {
      cpu_set_t one;
      CPU_ZERO(&one);
      CPU_SET(static_cast<size_t>(cores[k % cores.size()]), &one);
      pthread_setaffinity_np(handle, sizeof(one), &one);
    }
    absl::Status status = answer.get();
    if (!status.ok()) {
      shard->thread.join();
      return status;
    }
    shards.push_back(std::move(shard));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<ShardPool>> ShardPool::Start(
    const Options& options) {
  auto impl = std::make_unique<Impl>(options);
  if (impl->options.shards == 0) {
    impl->options.shards = static_cast<uint32_t>(UsableCores().size());
  }
  impl->events_ready = net::Fd(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!impl->events_ready) return net::ErrnoStatus(errno, "eventfd");
  impl->events_bell = std::make_unique<Bell>(impl->events_ready.get());
  RETURN_IF_ERROR(impl->ChooseEngine());
  // From here on the destructor stops what was started.
  std::unique_ptr<ShardPool> pool(new ShardPool(std::move(impl)));
  Impl& i = *pool->impl_;
  RETURN_IF_ERROR(i.kind == EngineKind::kUring ? i.Launch<net::UringEngine>()
                                               : i.Launch<net::EpollEngine>());
  return pool;
}

ShardPool::ShardPool(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

ShardPool::~ShardPool() {
  for (auto& shard : impl_->shards) {
    impl_->PushSurely(*shard, Command{.kind = Command::Kind::kStop});
  }
  for (auto& shard : impl_->shards) {
    // Events are taken all the while, or a full queue would keep the shard.
    while (!shard->stopped) {
      impl_->FlushBacklog(*shard);
      Event event;
      if (shard->events.TryPop(&event)) {
        impl_->OnEvent(*shard, event);
      } else {
        std::this_thread::yield();
      }
    }
    shard->thread.join();
  }
}

void ShardPool::Impl::FlushBacklog(ShardHandle& shard) {
  bool pushed = false;
  while (!shard.backlog.empty() &&
         shard.commands.TryPush(shard.backlog.front())) {
    shard.backlog.pop_front();
    pushed = true;
  }
  if (pushed) shard.bell.Pull();
}

bool ShardPool::Impl::Push(ShardHandle& shard, const Command& command) {
  FlushBacklog(shard);
  if (!shard.backlog.empty() || !shard.commands.TryPush(command)) return false;
  shard.bell.Pull();
  return true;
}

void ShardPool::Impl::PushSurely(ShardHandle& shard, const Command& command) {
  if (!Push(shard, command)) shard.backlog.push_back(command);
}

void ShardPool::Impl::OnEvent(ShardHandle& shard, const Event& event) {
  switch (event.kind) {
    case Event::Kind::kSocketClosed: return shard.socket_slots.Free(event.slot);
    case Event::Kind::kLatched: return;
    case Event::Kind::kStopped: shard.stopped = true; return;
  }
}

int ShardPool::event_fd() const { return impl_->events_ready.get(); }
const std::string& ShardPool::engine() const { return impl_->engine_name; }
const std::string& ShardPool::engine_reason() const {
  return impl_->engine_reason;
}
const ShardCounters& ShardPool::counters(uint32_t shard) const {
  return impl_->shards[shard]->counters;
}

uint64_t ShardPool::sockets_max() const {
  const uint64_t tables = uint64_t{impl_->options.sockets_per_shard} * shards();
  const uint64_t bound = impl_->options.descriptors;
  return impl_->holds_files || bound == 0 ? tables : std::min(tables, bound);
}

uint32_t ShardPool::shards() const {
  return static_cast<uint32_t>(impl_->shards.size());
}

uint32_t ShardPool::PickShard() const {
  uint32_t best = 0;
  for (uint32_t k = 1; k < shards(); ++k) {
    if (impl_->shards[k]->socket_slots.size() <
        impl_->shards[best]->socket_slots.size()) {
      best = k;
    }
  }
  return best;
}

absl::StatusOr<Slot> ShardPool::OpenSocket(uint32_t shard,
                                           const Endpoint& local, int tos) {
  ShardHandle& s = *impl_->shards[shard];
  ASSIGN_OR_RETURN(net::Fd fd, net::OpenUdp(local, {.tos = tos}));
  const Slot slot = s.socket_slots.Take();
  if (!slot) {
    return absl::ResourceExhaustedError(absl::StrFormat(
        "shard %d has its %d sockets open", shard, s.socket_slots.capacity()));
  }
  Command command{
      .kind = Command::Kind::kOpenSocket, .fd = fd.get(), .slot = slot};
  command.target[0].target = local;
  if (!impl_->Push(s, command)) {
    s.socket_slots.Free(slot);
    return absl::ResourceExhaustedError(
        absl::StrFormat("shard %d is behind with its commands", shard));
  }
  [[maybe_unused]] const int passed_on = fd.Release();
  if (slot.index >= s.bound.size()) s.bound.resize(slot.index + size_t{1});
  s.bound[slot.index] = {.generation = slot.generation, .local = local};
  return slot;
}

void ShardPool::CloseSocket(uint32_t shard, Slot socket) {
  ShardHandle& s = *impl_->shards[shard];
  CHECK(s.socket_slots.Has(socket));
  impl_->PushSurely(
      s, Command{.kind = Command::Kind::kCloseSocket, .slot = socket});
}

absl::StatusOr<Slot> ShardPool::OpenFlow(uint32_t shard, const FlowSpec& spec) {
  ShardHandle& s = *impl_->shards[shard];
  CHECK(s.socket_slots.Has(spec.socket[0]) &&
        s.socket_slots.Has(spec.socket[1]));
  const Slot slot = s.flow_slots.Take();
  if (!slot) {
    return absl::ResourceExhaustedError(absl::StrFormat(
        "shard %d has its %d flows open", shard, s.flow_slots.capacity()));
  }
  Command command{.kind = Command::Kind::kOpenFlow,
                  .flow_kind = spec.kind,
                  .slot = slot,
                  .rtp_flow = spec.rtp_flow,
                  .clock_hz = spec.clock_hz};
  for (int i : {0, 1}) {
    command.policy[i] = spec.policy[i];
    command.socket[i] = spec.socket[i];
    command.target[i] = spec.target[i];
    command.believed[i] = spec.believed[i];
  }
  if (!impl_->Push(s, command)) {
    s.flow_slots.Free(slot);
    return absl::ResourceExhaustedError(
        absl::StrFormat("shard %d is behind with its commands", shard));
  }
  return slot;
}

void ShardPool::Retarget(uint32_t shard, Slot flow, Side side,
                         const SideTarget& target) {
  ShardHandle& s = *impl_->shards[shard];
  CHECK(s.flow_slots.Has(flow));
  Command command{.kind = Command::Kind::kRetarget, .side = side, .slot = flow};
  command.target[Index(side)] = target;
  impl_->PushSurely(s, command);
}

void ShardPool::CloseFlow(uint32_t shard, Slot flow) {
  ShardHandle& s = *impl_->shards[shard];
  // Commands arrive in order: whoever gets the slot next opens it after this.
  s.flow_slots.Free(flow);
  impl_->PushSurely(s,
                    Command{.kind = Command::Kind::kCloseFlow, .slot = flow});
}

FlowReport ShardPool::Report(uint32_t shard, Slot slot) const {
  FlowReport report;
  const Flow& flow = impl_->shards[shard]->flows[slot.index];
  if (flow.generation.load(std::memory_order_acquire) != slot.generation) {
    return report;
  }
  for (int i : {0, 1}) {
    const SideCells& cells = flow.side[i].cells;
    SideReport& side = report.side[i];
    side.packets_in = cells.packets_in.Get();
    side.bytes_in = cells.bytes_in.Get();
    side.packets_out = cells.packets_out.Get();
    side.bytes_out = cells.bytes_out.Get();
    side.last_packet = Micros(cells.last_packet_us.Get());
    for (size_t r = 0; r < kDropReasons; ++r) {
      side.drops[r] = cells.drops[r].Get();
    }
    side.quality = cells.stream.Quality();
  }
  return report;
}

Micros ShardPool::LastPacket(uint32_t shard, Slot slot) const {
  const Flow& flow = impl_->shards[shard]->flows[slot.index];
  if (flow.generation.load(std::memory_order_acquire) != slot.generation) {
    return Micros();
  }
  return Micros(std::max(flow.side[0].cells.last_packet_us.Get(),
                         flow.side[1].cells.last_packet_us.Get()));
}

std::optional<uint16_t> ShardPool::LastSent(uint32_t shard, Slot slot,
                                            Side to) const {
  const Flow& flow = impl_->shards[shard]->flows[slot.index];
  if (flow.generation.load(std::memory_order_acquire) != slot.generation) {
    return std::nullopt;
  }
  const uint32_t mark = flow.side[Index(to)].cells.last_sent.Get();
  if (mark == 0) return std::nullopt;
  return static_cast<uint16_t>(mark);
}

void ShardPool::Pause(uint32_t shard, Slot flow, Side from) {
  ShardHandle& s = *impl_->shards[shard];
  CHECK(s.flow_slots.Has(flow));
  impl_->PushSurely(
      s, Command{.kind = Command::Kind::kPause, .side = from, .slot = flow});
}

void ShardPool::Watch(uint32_t shard, Slot flow, bool on) {
  ShardHandle& s = *impl_->shards[shard];
  // One that is not open any more has nothing to show.
  if (!s.flow_slots.Has(flow)) return;
  impl_->PushSurely(
      s, Command{.kind = Command::Kind::kWatch, .on = on, .slot = flow});
}

void ShardPool::DrainCopies(absl::FunctionRef<void(const PacketCopy&)> visit) {
  std::array<uint8_t, kIpUdpBytesMax + WatchedPacket::kBytesMax> packet;
  for (auto& shard : impl_->shards) {
    // No more than there can be now: the shard may be quicker than this.
    for (uint32_t n = 0; n < WatchQueue::kCapacity; ++n) {
      const WatchedPacket* const copy = shard->copies.Front();
      if (copy == nullptr) break;
      const ShardHandle::Bound& at = shard->bound[copy->socket.index];
      if (at.generation != copy->socket.generation) {
        // Its port is another socket's by now.
        ++shard->copies_lost;
      } else {
        const std::span<const uint8_t> payload(copy->payload, copy->captured);
        const size_t headers =
            WriteIpUdp(copy->source, at.local, copy->length, payload,
                       std::span(packet).first<kIpUdpBytesMax>());
        std::copy(payload.begin(), payload.end(), packet.begin() + headers);
        visit({.at = copy->at,
               .length = static_cast<uint32_t>(headers) + copy->length,
               .octets = std::span(packet).first(headers + copy->captured)});
      }
      shard->copies.Pop();
    }
  }
}

uint64_t ShardPool::CopiesLost() const {
  uint64_t lost = 0;
  for (const auto& shard : impl_->shards) {
    lost += shard->copies_lost + shard->counters.watch_lost.Get();
  }
  return lost;
}

void ShardPool::DrainEvents(
    absl::FunctionRef<void(uint32_t shard, const Event&)> visit) {
  impl_->events_bell->Heard();
  for (uint32_t k = 0; k < shards(); ++k) {
    ShardHandle& shard = *impl_->shards[k];
    impl_->FlushBacklog(shard);
    // Bounded: a shard that tells without end must not keep the control
    // thread; what is left rings again.
    Event event;
    for (size_t n = 0; n < kEventQueue && shard.events.TryPop(&event); ++n) {
      impl_->OnEvent(shard, event);
      visit(k, event);
    }
    if (!shard.events.empty()) impl_->events_bell->Pull();
  }
}

}  // namespace sluice::relay
