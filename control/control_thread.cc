#include "control/control_thread.h"

#include <signal.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <optional>
#include <string_view>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/net/socket.h"
#include "base/status_macros.h"
#include "control/manager_options.h"

namespace sluice::control {
namespace {

constexpr Micros kTick = Micros::Millis(100);

sigset_t HandledSignals() {
  sigset_t set;
  sigemptyset(&set);
  for (const int signal : {SIGTERM, SIGINT, SIGHUP}) sigaddset(&set, signal);
  return set;
}

NatHelperRpc::Options RpcOptions(const Config& config) {
  NatHelperRpc::Options options;
  options.connections_max = static_cast<int>(config.nathelper.max_connections);
  options.frame_timeout = Micros::Millis(config.nathelper.frame_timeout_ms);
  options.arguments.range_max = static_cast<int>(config.nathelper.max_range);
  options.allow = Networks(config.nathelper.allow);
  return options;
}

std::vector<relay::xdp::FastPath::Interface> FastPathInterfaces(
    const Config& config) {
  std::vector<relay::xdp::FastPath::Interface> interfaces;
  for (const InterfaceConfig& interface : config.interfaces) {
    interfaces.push_back({.name = interface.name,
                          .local = interface.address,
                          .first_port = config.relay.ports.first,
                          .last_port = config.relay.ports.last,
                          .mode = interface.xdp});
  }
  return interfaces;
}

std::vector<relay::xdp::FastPath::Number> Numbers(
    const SessionJournal::Stats& file) {
  return {
      {"session_file_octets", "Length of the session file", file.octets, true},
      {"session_file_calls", "Calls that a restart would have again",
       file.calls, true},
      {"session_file_rewrites", "Times that the session file was written anew",
       file.compactions},
      {"session_file_errors", "Writes of the session file that failed",
       file.errors},
      {"session_file_left_out", "What no record of the session file can hold",
       file.left_out},
      {"session_file_calls_given_up",
       "Calls too large for the session file, which had them before",
       file.calls_given_up},
  };
}

void TellFastPath(const relay::xdp::FastPath::State& state) {
  log::Line("media path chosen")
      .With("interface", state.interface)
      .With("path", state.path)
      .With("why", state.reason)
      .Info();
  for (const std::string& hint : state.hints) {
    log::Line("media path")
        .With("interface", state.interface)
        .With("hint", hint)
        .Warn();
  }
}

void OnFastPathLost(const std::string& interface, const std::string& what) {
  log::Line("media goes by the sockets again")
      .With("interface", interface)
      .With("why", what)
      .Warn();
}

Micros WallClock() {
  timespec now{};
  clock_gettime(CLOCK_REALTIME, &now);
  return Micros(int64_t{now.tv_sec} * 1'000'000 + now.tv_nsec / 1'000);
}

absl::Status SipIsOff() {
  return absl::NotFoundError(
      "SIP is off: the configuration has no [[sip.leg]]");
}

// The ring of a process that was killed lets go of its sockets some time after
// it: a restart at once finds its own ports taken.
constexpr Micros kPortsWait = Micros::Seconds(2);

void WaitForPorts(const CallImage& call, Micros until) {
  call.ForEachGroup([until](const GroupImage& group) {
    for (const Medium& medium : group.media) {
      for (int i = 0; i < medium.range; ++i) {
        // However many the file names.
        if (SystemClock::Now() >= until) return;
        const Endpoint port{.ip = group.local, .port = medium.Local(i)};
        while (absl::IsAlreadyExists(net::OpenUdp(port, {}).status()) &&
               SystemClock::Now() < until) {
          std::this_thread::sleep_for(std::chrono::milliseconds(5));
        }
      }
    }
  });
}

}  // namespace

void ControlThread::BlockSignals() {
  const sigset_t set = HandledSignals();
  pthread_sigmask(SIG_BLOCK, &set, nullptr);
  // A peer that goes away is an error of write(), not our end.
  signal(SIGPIPE, SIG_IGN);
}

ControlThread::ControlThread(Options options, relay::ShardPool& pool,
                             const Notifier& notifier)
    : read_config_(std::move(options.read_config)),
      answer_deadline_(options.answer_deadline),
      pool_(pool),
      notifier_(notifier),
      config_(std::move(options.config)),
      started_(loop_.now()),
      fast_path_(relay::xdp::FastPath::Start(
          pool, loop_, FastPathInterfaces(config_),
          config_.store.sessions.empty() ? "" : config_.store.xdp_pins,
          OnFastPathLost)),
      manager_(ManagerOptions(config_), fast_path_->plane(), started_),
      capture_(
          fast_path_->plane(), loop_,
          [this](const std::string& id) { return manager_.FindFlows(id); },
          WallClock),
      rpc_(loop_, manager_, RpcOptions(config_)) {
  for (const auto& state : fast_path_->states()) TellFastPath(state);
}

ControlThread::~ControlThread() {
  if (signals_) loop_.Remove(signals_.get());
  loop_.Remove(pool_.event_fd());
  for (const std::string& where : rpc_.listeners()) {
    absl::string_view path = where;
    if (absl::ConsumePrefix(&path, "unix:")) {
      unlink(std::string(path).c_str());
    }
  }
}

absl::Status ControlThread::RestoreSessions() {
  if (config_.store.sessions.empty()) return absl::OkStatus();
  ASSIGN_OR_RETURN(const std::optional<Account> account,
                   AccountToBecome(config_.process.user));
  ASSIGN_OR_RETURN(journal_,
                   SessionJournal::Open(config_.store.sessions, account));
  if (account && fast_path_->active() && !config_.store.xdp_pins.empty()) {
    const absl::Status status = HandOverPins(config_.store.xdp_pins, *account);
    if (!status.ok()) {
      log::Line("the pins of XDP stay root's; who stops cannot remove them")
          .With("why", std::string(status.message()))
          .Warn();
    }
  }
  const Micros waited_for = SystemClock::Now() + kPortsWait;
  int64_t ended = 0;
  std::string why;  // the first one did
  journal_->Load(
      [&](const CallImage& call, absl::Span<const Believed> sources) {
        WaitForPorts(call, waited_for);
        const absl::Status status = manager_.RestoreCall(call, sources);
        if (status.ok()) return true;
        if (ended++ == 0) why = std::string(status.message());
        return false;
      });
  manager_.SetObserver(journal_.get());
  if (!journal_->cut().empty()) {
    log::Line("the end of the session file was damaged and is cut off")
        .With("why", journal_->cut())
        .Warn();
  }
  log::Line("sessions restored")
      .With("calls", static_cast<int64_t>(manager_.status().calls))
      .With("ended", ended)
      .With("why", why)
      .Info();
  FlushJournal();
  return absl::OkStatus();
}

void ControlThread::FlushJournal() {
  if (journal_ == nullptr) return;
  if (const absl::Status status = journal_->Flush(); !status.ok()) {
    log::Line("the session file is not written")
        .With("why", std::string(status.message()))
        .WarnLimited();
  }
}

absl::Status ControlThread::Listen() {
  RETURN_IF_ERROR(RestoreSessions());
  for (const std::string& where : config_.nathelper.listen) {
    RETURN_IF_ERROR(rpc_.Listen(where));
  }
  if (!config_.legs.empty()) {
    ASSIGN_OR_RETURN(sip_, SipService::Create(loop_, config_, manager_));
    RETURN_IF_ERROR(sip_->Listen());
  }
  const sigset_t set = HandledSignals();
  signals_ = net::Fd(signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!signals_) return absl::ErrnoToStatus(errno, "signalfd");
  RETURN_IF_ERROR(
      loop_.Add(signals_.get(), EPOLLIN, [this](uint32_t) { OnSignal(); }));
  RETURN_IF_ERROR(loop_.Add(pool_.event_fd(), EPOLLIN, [this](uint32_t) {
    uint64_t count;
    [[maybe_unused]] const ssize_t n =
        read(pool_.event_fd(), &count, sizeof count);
  }));
  loop_.OnTurn([this] { OnShardEvents(); });
  loop_.Every(kTick, [this] { OnTick(); });
  return absl::OkStatus();
}

void ControlThread::AddListener(const std::string& kind,
                                const std::string& address) {
  operator_listeners_.push_back({kind, address});
}

void ControlThread::SetReady() { SetPhase(Phase::kServing); }

void ControlThread::Run() {
  loop_.Run();
  if (sip_ != nullptr) sip_->Flush();
  capture_.Stop("the daemon stops");
  manager_.CloseAll();
  FlushJournal();
  const std::lock_guard lock(answers_mutex_);
  stopped_ = true;
  answers_.notify_all();
}

void ControlThread::SetPhase(Phase phase) {
  phase_ = phase;
  manager_.SetDraining(phase != Phase::kServing);
  ready_ = phase == Phase::kServing;
}

void ControlThread::OnTick() {
  manager_.Tick(loop_.now(), loop_.last_stall_end());
  StopIfDone();
}

void ControlThread::OnShardEvents() {
  fast_path_->plane().DrainEvents(
      [this](uint32_t shard, const relay::Event& event) {
        manager_.OnEvent(shard, event);
      });
  // Before anybody is answered in the next turn; what was answered in this one
  // is lost with a process that is killed within it.
  FlushJournal();
  StopIfDone();
}

void ControlThread::StopIfDone() {
  if (phase_ != Phase::kStopping) return;
  if (manager_.empty()) {
    log::Line("stopped").Info();
  } else if (loop_.now() >= stop_by_) {
    log::Line("stopped with calls still up")
        .With("calls", static_cast<int64_t>(manager_.status().calls))
        .Warn();
  } else {
    return;
  }
  SetPhase(Phase::kStopped);
  loop_.Stop();
}

void ControlThread::OnSignal() {
  signalfd_siginfo info;
  while (read(signals_.get(), &info, sizeof info) == sizeof info) {
    if (info.ssi_signo == SIGHUP) {
      const absl::StatusOr<std::string> report = ReloadNow();
      if (report.ok()) continue;
      for (const absl::string_view reason :
           absl::StrSplit(report.status().message(), '\n')) {
        log::Line("reload refused").With("reason", std::string(reason)).Error();
      }
    } else {
      OnStopSignal();
    }
  }
}

void ControlThread::OnStopSignal() {
  if (phase_ == Phase::kStopped) return;
  if (phase_ == Phase::kStopping) {
    stop_by_ = loop_.now();  // the second one: now
  } else {
    SetPhase(Phase::kStopping);
    stop_by_ = loop_.now() + Micros::Seconds(config_.relay.drain_timeout_s);
    notifier_.Stopping();
    log::Line("stopping")
        .With("calls", static_cast<int64_t>(manager_.status().calls))
        .With("drain_timeout_s", int64_t{config_.relay.drain_timeout_s})
        .Info();
  }
  StopIfDone();
}

// ---- the operator ---------------------------------------------------------

template <typename T>
absl::StatusOr<T> ControlThread::Ask(
    std::function<absl::StatusOr<T>()> question) {
  // Outlives whichever of the two threads gives up first.
  auto answer = std::make_shared<std::optional<absl::StatusOr<T>>>();
  {
    const std::lock_guard lock(answers_mutex_);
    if (stopped_) return absl::UnavailableError("the daemon is stopping");
  }
  const bool posted = loop_.Post([this, answer, question] {
    absl::StatusOr<T> result = question();
    const std::lock_guard lock(answers_mutex_);
    *answer = std::move(result);
    answers_.notify_all();
  });
  if (!posted) return absl::UnavailableError("too many questions wait");
  std::unique_lock lock(answers_mutex_);
  answers_.wait_for(lock, std::chrono::microseconds(answer_deadline_.us()),
                    [&] { return answer->has_value() || stopped_; });
  if (answer->has_value()) return **std::move(answer);
  if (stopped_) return absl::UnavailableError("the daemon is stopping");
  return absl::DeadlineExceededError("the control thread is busy");
}

absl::StatusOr<DaemonStatus> ControlThread::Status() {
  return Ask<DaemonStatus>([this] { return MakeStatus(); });
}

absl::StatusOr<CallPage> ControlThread::Calls(size_t offset, size_t limit) {
  return Ask<CallPage>(
      [this, offset, limit] { return manager_.ListCalls(offset, limit); });
}

absl::StatusOr<CallView> ControlThread::Call(const std::string& call_id) {
  return Ask<CallView>([this, call_id] { return manager_.FindCall(call_id); });
}

absl::StatusOr<int> ControlThread::Close(const std::string& call_id) {
  return Ask<int>([this, call_id] {
    absl::StatusOr<int> sessions = manager_.CloseCall(call_id);
    if (sessions.ok()) {
      log::Line("close by operator")
          .With("call_id", call_id)
          .With("sessions", int64_t{*sessions})
          .Info();
    } else {
      log::Line("close by operator of an unknown call")
          .With("call_id", call_id)
          .InfoLimited();
    }
    return sessions;
  });
}

absl::Status ControlThread::Drain(bool on) {
  return Ask<bool>([this, on]() -> absl::StatusOr<bool> {
           if (phase_ >= Phase::kStopping) {
             return absl::UnavailableError("the daemon is stopping");
           }
           SetPhase(on ? Phase::kDraining : Phase::kServing);
           log::Line(on ? "draining" : "taking calls again").Info();
           return on;
         })
      .status();
}

absl::Status ControlThread::Offload(bool on) {
  return Ask<bool>([this, on]() -> absl::StatusOr<bool> {
           RETURN_IF_ERROR(fast_path_->SetOn(on));
           log::Line(on ? "media may go past the sockets"
                        : "all media goes by the sockets")
               .Info();
           return on;
         })
      .status();
}

absl::StatusOr<std::shared_ptr<CaptureStream>> ControlThread::StartCapture(
    const CaptureRequest& request) {
  return Ask<std::shared_ptr<CaptureStream>>(
      [this, request] { return capture_.Start(request); });
}

absl::StatusOr<CaptureView> ControlThread::StopCapture() {
  return Ask<CaptureView>([this] {
    capture_.Finish("it was told to end");
    return capture_.view();
  });
}

absl::StatusOr<CaptureView> ControlThread::LastCapture() {
  return Ask<CaptureView>([this] { return capture_.view(); });
}

absl::StatusOr<std::vector<SipService::LegView>> ControlThread::Legs() {
  return Ask<std::vector<SipService::LegView>>(
      [this]() -> absl::StatusOr<std::vector<SipService::LegView>> {
        if (sip_ == nullptr) return SipIsOff();
        return sip_->Legs();
      });
}

absl::StatusOr<SipService::RegistrationPage> ControlThread::Registrations(
    const std::string& aor, size_t offset, size_t limit) {
  return Ask<SipService::RegistrationPage>(
      [this, aor, offset,
       limit]() -> absl::StatusOr<SipService::RegistrationPage> {
        if (sip_ == nullptr) return SipIsOff();
        return sip_->Registrations(aor, offset, limit);
      });
}

absl::StatusOr<std::vector<SipTrace::Entry>> ControlThread::Trace(
    const std::string& call_id) {
  return Ask<std::vector<SipTrace::Entry>>(
      [this, call_id]() -> absl::StatusOr<std::vector<SipTrace::Entry>> {
        if (sip_ == nullptr) return SipIsOff();
        auto messages = sip_->Trace(call_id);
        if (messages.empty()) {
          return absl::NotFoundError("no message of this call is kept");
        }
        return messages;
      });
}

absl::StatusOr<std::vector<SipService::Number>> ControlThread::SipNumbers() {
  return Ask<std::vector<SipService::Number>>(
      [this]() -> absl::StatusOr<std::vector<SipService::Number>> {
        if (sip_ == nullptr) return std::vector<SipService::Number>();
        return sip_->Numbers();
      });
}

std::vector<std::string> ControlThread::sip_listeners() const {
  std::vector<std::string> out;
  if (sip_ == nullptr) return out;
  for (const SipService::LegView& leg : sip_->Legs()) {
    for (const std::string& where : leg.listeners) {
      out.push_back(absl::StrCat(leg.name, " ", where));
    }
  }
  return out;
}

absl::StatusOr<std::string> ControlThread::Reload() {
  return Ask<std::string>([this] { return ReloadNow(); });
}

absl::StatusOr<std::string> ControlThread::ReloadNow() {
  if (read_config_ == nullptr) {
    return absl::FailedPreconditionError(
        "started without --config: there is no file to read again");
  }
  if (phase_ >= Phase::kStopping) {
    return absl::UnavailableError("the daemon is stopping");
  }
  // The file is judged whole before anything of it is used (F4), and so are
  // the files that the SIP side reads again where they are.
  ASSIGN_OR_RETURN(const Config wanted, read_config_());
  if (sip_ != nullptr) RETURN_IF_ERROR(sip_->Reload());
  std::string applied, waiting;
  for (const Difference& change : Differences(config_, wanted)) {
    absl::StrAppend(change.live ? &applied : &waiting, "  ", change.key, ": ",
                    change.before.empty() ? "nothing" : change.before, " -> ",
                    change.after.empty() ? "nothing" : change.after, "\n");
    log::Line(change.live ? "setting changed" : "setting waits for a restart")
        .With("key", change.key)
        .With("before", change.before)
        .With("after", change.after)
        .Info();
  }
  notifier_.Reloading();
  ApplyLive(wanted, &config_);
  manager_.Reconfigure(ManagerOptions(config_));
  rpc_.SetAllow(Networks(config_.nathelper.allow));
  const absl::Status level = log::SetLevel(config_.log.level);
  notifier_.Ready("reloaded");
  RETURN_IF_ERROR(level);

  std::string report;
  if (!applied.empty()) absl::StrAppend(&report, "applied:\n", applied);
  if (!waiting.empty()) {
    absl::StrAppend(&report, "waiting for a restart:\n", waiting);
  }
  if (report.empty()) report = "nothing has changed\n";
  log::Line("reloaded").Info();
  return report;
}

DaemonStatus ControlThread::MakeStatus() const {
  DaemonStatus status;
  status.version = SLUICE_VERSION;
  status.pid = getpid();
  status.uptime_s = static_cast<double>((loop_.now() - started_).us()) / 1e6;
  status.engine = pool_.engine();
  status.engine_reason = pool_.engine_reason();
  status.manager = manager_.status();
  for (const std::string& where : rpc_.listeners()) {
    status.listeners.push_back({"nathelper", where});
  }
  for (const std::string& where : sip_listeners()) {
    status.listeners.push_back({"sip", where});
  }
  status.listeners.insert(status.listeners.end(), operator_listeners_.begin(),
                          operator_listeners_.end());
  for (size_t i = 0; i < config_.interfaces.size(); ++i) {
    const InterfaceConfig& interface = config_.interfaces[i];
    const relay::PortPool& ports = manager_.ports().pool(i);
    status.interfaces.push_back({
        .name = interface.name,
        .address = interface.address.ToString(),
        .advertise = interface.advertise == IpAddress()
                         ? ""
                         : interface.advertise.ToString(),
        .latch = relay::Name(interface.latch),
        .xdp = interface.xdp,
        .path = fast_path_->states()[i].path,
        .path_reason = fast_path_->states()[i].reason,
        .path_hints = fast_path_->states()[i].hints,
        .ports_total = ports.size(),
        .ports_taken = ports.taken(),
        .ports_quarantined = ports.quarantined(),
    });
  }
  status.fast_path = fast_path_->Numbers();
  if (journal_ != nullptr) status.session_file = Numbers(journal_->stats());
  for (uint32_t i = 0; i < pool_.shards(); ++i) {
    const relay::ShardCounters& counters = pool_.counters(i);
    const uint64_t closed = counters.sockets_closed.Get();
    // The two are read apart, while the shard goes on counting.
    const uint64_t opened = std::max(closed, counters.sockets_opened.Get());
    status.shards.push_back(
        {.sockets = opened - closed,
         .sockets_max = pool_.sockets_max() / pool_.shards()});
  }
  status.log_lines_dropped = log::DroppedLines();
  status.rpc_counters = rpc_.counters();
  return status;
}

}  // namespace sluice::control
