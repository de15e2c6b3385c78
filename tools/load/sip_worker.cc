#include "tools/load/sip_worker.h"

#include <errno.h>
#include <poll.h>
#include <time.h>

#include <algorithm>

#include "base/status_macros.h"
#include "tools/load/sip_stream_port.h"

namespace sluice::load {
namespace {

constexpr uint64_t kIdleWaitNs = 5'000'000;

uint64_t ThreadCpuNs() {
  timespec ts;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
  return static_cast<uint64_t>(ts.tv_sec) * 1'000'000'000 +
         static_cast<uint64_t>(ts.tv_nsec);
}

std::unique_ptr<SipMedia> MakeMedia(const SipTrafficOptions& options,
                                    SipTally& tally) {
  if (options.media_s <= 0) return nullptr;
  const SipParties& p = options.caller.parties;
  SipMediaOptions media;
  media.uac = p.uac.ip;
  media.uas = p.uas.ip;
  media.run = p.run;
  media.seconds = options.media_s;
  media.places = options.media_places;
  media.slots = options.caller.slots;
  return std::make_unique<SipMedia>(media, tally);
}

}  // namespace

uint64_t SipTrafficOptions::patience_ns() const {
  if (media_s <= 0) return caller.timeout_ns;
  // The turn after the last packet may be the one that ends it.
  return caller.timeout_ns + static_cast<uint64_t>(media_s * 1e9) +
         SipMedia::kDrainNs + 2 * SipMedia::kPacketNs;
}

SipWorker::SipWorker(const SipTrafficOptions& options, const SipUsers& users,
                     const std::atomic<Phase>& phase)
    : options_(options),
      phase_(phase),
      media_(MakeMedia(options, tally_)),
      caller_(options.caller, users, tally_, media_.get()),
      answerer_(options.caller.parties, options.answer_code,
                options.caller.slots, tally_, media_.get()) {}

absl::Status SipWorker::Open() {
  if (media_ != nullptr) RETURN_IF_ERROR(media_->Open());
  const SipParties& p = options_.caller.parties;
  if (p.transport == sip::Transport::kUdp) {
    auto uac = std::make_unique<SipUdpPort>(tally_);
    auto uas = std::make_unique<SipUdpPort>(tally_);
    RETURN_IF_ERROR(uas->Open(p.uas, Endpoint()));
    RETURN_IF_ERROR(uac->Open(p.uac, options_.proxy));
    uac_ = std::move(uac);
    uas_ = std::move(uas);
    return absl::OkStatus();
  }
  ASSIGN_OR_RETURN(
      uas_, SipStreamPort::Listen(p.transport, p.uas, options_.tls, tally_));
  ASSIGN_OR_RETURN(
      uac_, SipStreamPort::Connect(p.transport, p.uac.ip, options_.proxy,
                                   options_.connections, options_.tls, tally_));
  return absl::OkStatus();
}

void SipWorker::Run() {
  uint64_t turn_began = NowNs();
  next_start_ns_ = static_cast<double>(turn_began);
  while (true) {
    const Phase phase = phase_.load(std::memory_order_acquire);
    if (phase != seen_) OnPhase(phase, turn_began);
    if (phase == Phase::kStop) return;
    uint32_t done = 0;
    if (phase != Phase::kDrain) done += StartDue(turn_began);
    done += ReceiveAll();
    if (media_ != nullptr) done += WorkMedia(NowNs());
    uac_->ToProxy(started_);
    caller_.Sweep(turn_began, *uac_);
    uac_->Flush();

    uint64_t now = NowNs();
    (done > 0 ? tally_.busy_ns : tally_.idle_ns).Add(now - turn_began);
    turn_began = now;
    if (done == 0 && !options_.spin) {
      Wait(now);
      now = NowNs();
      tally_.idle_ns.Add(now - turn_began);
      turn_began = now;
    }
  }
}

void SipWorker::OnPhase(Phase phase, uint64_t now_ns) {
  if (phase == Phase::kMeasure) {
    caller_.ClearDelays();
    if (media_ != nullptr) media_->ClearDelays();
    cpu_at_measure_ns_ = ThreadCpuNs();
    // Warming up is over: what the start cost is not made up for.
    next_start_ns_ = static_cast<double>(now_ns);
  } else if (seen_ == Phase::kMeasure) {
    cpu_ns_ = ThreadCpuNs() - cpu_at_measure_ns_;
  }
  seen_ = phase;
}

double SipWorker::Interval() {
  const double mean_ns = 1e9 / options_.rate;
  return options_.spacing == SipTrafficOptions::Spacing::kEven
             ? mean_ns
             : mean_ns * exponential_(random_);
}

uint32_t SipWorker::StartDue(uint64_t now_ns) {
  uint32_t n = 0;
  while (n < kStartsATurn && next_start_ns_ <= static_cast<double>(now_ns)) {
    uac_->ToProxy(started_);
    if (caller_.Start(NowNs(), *uac_)) ++started_;
    next_start_ns_ += Interval();
    ++n;
  }
  if (n > 0) uac_->Flush();
  return n;
}

uint32_t SipWorker::ReceiveAll() {
  uint32_t received = 0;
  for (SipPort* port : {uac_.get(), uas_.get()}) {
    for (uint32_t i = 0; i < kReceivesATurn; ++i) {
      const uint32_t n = port->Receive(*this);
      port->Flush();
      received += n;
      if (n == 0) break;
    }
  }
  return received;
}

uint32_t SipWorker::WorkMedia(uint64_t now_ns) {
  if (hurry_.load(std::memory_order_relaxed)) media_->Shorten();
  const uint32_t done = media_->Work(now_ns);
  for (const uint32_t number : media_->over()) {
    uac_->ToProxy(number);
    caller_.HangUp(number, now_ns, *uac_);
  }
  return done;
}

void SipWorker::OnMessage(SipPort& port, std::string_view message) {
  if (&port == uas_.get()) {
    answerer_.OnMessage(message, port);
    return;
  }
  // The caller's next requests leave by the connection that it was answered on.
  caller_.OnMessage(message, NowNs(), port);
}

void SipWorker::Wait(uint64_t now_ns) {
  uint64_t wait_ns = kIdleWaitNs;
  if (seen_ != Phase::kDrain) {
    const double until = next_start_ns_ - static_cast<double>(now_ns);
    wait_ns = until <= 0
                  ? 0
                  : std::min(kIdleWaitNs, static_cast<uint64_t>(until) + 1);
  }
  pollfd ports[] = {{uac_->descriptor(), POLLIN, 0},
                    {uas_->descriptor(), POLLIN, 0},
                    {-1, POLLIN, 0}};
  nfds_t count = 2;
  if (media_ != nullptr) {
    ports[count++].fd = media_->descriptor();
    const uint64_t due = media_->next_due_ns();
    wait_ns = due <= now_ns ? 0 : std::min(wait_ns, due - now_ns);
  }
  const timespec wait = {0, static_cast<long>(wait_ns)};
  ::ppoll(ports, count, &wait, nullptr);
}

uint64_t SipWorker::ReceiveDrops() const {
  return uac_->ReceiveDrops() + uas_->ReceiveDrops();
}

}  // namespace sluice::load
