#include "tools/load/worker.h"

#include <errno.h>
#include <time.h>

#include <algorithm>
#include <cstring>
#include <optional>

namespace sluice::load {
namespace {

uint64_t ClockNs(clockid_t clock) noexcept {
  timespec ts;
  clock_gettime(clock, &ts);
  return static_cast<uint64_t>(ts.tv_sec) * 1'000'000'000 +
         static_cast<uint64_t>(ts.tv_nsec);
}

constexpr uint64_t kSweepEveryNs = 100'000'000;
constexpr int64_t kIdleWaitNs = 5'000'000;

}  // namespace

uint64_t NowNs() noexcept { return ClockNs(CLOCK_MONOTONIC); }

bool SameAddress(const sockaddr_in6& a, const sockaddr_in6& b) noexcept {
  if (a.sin6_family != b.sin6_family || a.sin6_port != b.sin6_port) {
    return false;  // The port is at the same place in both families.
  }
  if (a.sin6_family == AF_INET6) {
    return std::memcmp(&a.sin6_addr, &b.sin6_addr, sizeof a.sin6_addr) == 0;
  }
  sockaddr_in a4, b4;
  std::memcpy(&a4, &a, sizeof a4);
  std::memcpy(&b4, &b, sizeof b4);
  return a4.sin_addr.s_addr == b4.sin_addr.s_addr;
}

void Worker::Run() {
  started_ns_ = NowNs();
  uint64_t turn_began = started_ns_;
  while (true) {
    const Phase phase = phase_.load(std::memory_order_acquire);
    if (phase != seen_) OnPhase(phase, turn_began);
    if (phase == Phase::kStop) return;
    uint32_t done = 0;
    if (phase != Phase::kDrain) done += SendDue(turn_began);
    const int64_t wait = done > 0 ? 0 : WaitFor(turn_began);
    const uint64_t idle_before = tally_.idle_ns.Get();
    done += ReceiveReady(wait);
    if (!flights_.empty()) GiveUpOldFlights(turn_began);

    // A turn that moved nothing was idle. Of one that slept, the sleep was, and
    // ReceiveReady has counted it.
    const uint64_t now = NowNs();
    const uint64_t slept = tally_.idle_ns.Get() - idle_before;
    if (done == 0) {
      tally_.idle_ns.Add(now - turn_began - slept);
    } else {
      tally_.busy_ns.Add(now - turn_began - slept);
    }
    turn_began = now;
  }
}

void Worker::OnPhase(Phase phase, uint64_t now) {
  if (phase == Phase::kMeasure) {
    delay_ns_.Clear();
    cpu_at_measure_ns_ = ClockNs(CLOCK_THREAD_CPUTIME_ID);
    // Warming up is over: what the start cost is not made up for.
    started_ns_ = now;
    paced_sent_ = rtcp_paced_sent_ = 0;
  } else if (seen_ == Phase::kMeasure) {
    cpu_ns_ = ClockNs(CLOCK_THREAD_CPUTIME_ID) - cpu_at_measure_ns_;
  }
  seen_ = phase;
}

uint32_t Worker::RtpDue(uint64_t now) const {
  if (options_.rate <= 0) {
    return std::min<uint32_t>(static_cast<uint32_t>(free_slots_.size()),
                              kSendsATurn);
  }
  const double elapsed_s = static_cast<double>(now - started_ns_) * 1e-9;
  const auto due = static_cast<uint64_t>(elapsed_s * options_.rate);
  return static_cast<uint32_t>(
      std::min<uint64_t>(due - std::min(due, paced_sent_), kSendsATurn));
}

uint32_t Worker::RtcpDue(uint64_t now) const {
  if (rtcp_order_.empty()) return 0;
  const double rate =
      static_cast<double>(rtcp_order_.size()) / options_.rtcp_every_s;
  const double elapsed_s = static_cast<double>(now - started_ns_) * 1e-9;
  const auto due = static_cast<uint64_t>(elapsed_s * rate);
  return static_cast<uint32_t>(
      std::min<uint64_t>(due - std::min(due, rtcp_paced_sent_), kSendsATurn));
}

uint32_t Worker::SendDue(uint64_t now) {
  const uint32_t rtp = RtpDue(now);
  uint32_t sent = 0;
  while (sent < rtp) sent += SendBatch(rtp - sent);
  paced_sent_ += sent;
  const uint32_t rtcp = RtcpDue(now);
  for (uint32_t i = 0; i < rtcp; ++i) {
    SendRtcp(channels_[rtcp_order_[rtcp_turn_]]);
    rtcp_turn_ = (rtcp_turn_ + 1) % rtcp_order_.size();
  }
  rtcp_paced_sent_ += rtcp;
  return sent + rtcp;
}

uint32_t Worker::SendBatch(uint32_t count) {
  const uint64_t now = NowNs();
  const uint32_t socket = channels_[rtp_order_[rtp_turn_]].socket;
  uint32_t n = 0;
  while (n < std::min(count, kSendBatch)) {
    const uint32_t channel = rtp_order_[rtp_turn_];
    if (channels_[channel].socket != socket) break;
    WriteNext(channel, now, n++);
    if (++rtp_turn_ == rtp_order_.size()) rtp_turn_ = 0;
  }
  SendPrepared(sockets_[socket].get(), n);
  return n;
}

void Worker::WriteNext(uint32_t index, uint64_t now, size_t place) {
  Channel& channel = channels_[index];
  Probe probe;
  probe.direction = channel.party;
  probe.run = run_;
  probe.session = channel.session;
  probe.slot = kNoSlot;
  probe.sent_ns = now;
  probe.sequence = channel.next_sequence++;
  probe.timestamp = probe.sequence * options_.samples_a_packet;
  if (!flights_.empty()) {
    probe.slot = free_slots_.back();
    free_slots_.pop_back();
    flights_[probe.slot] = {now, index, probe.sequence, true};
  }
  WriteProbe(probe, std::span(out_[place].data(), options_.packet_bytes));
  if (!options_.connected) {
    out_msgs_[place].msg_hdr.msg_name = &channel.relay;
    out_msgs_[place].msg_hdr.msg_namelen = channel.relay_length;
  }
}

// What the kernel refuses counts as sent and so as lost, besides being counted
// as refused. An ICMP error of an earlier packet is reported by a later send,
// which is then made again.
void Worker::SendPrepared(int fd, uint32_t count) {
  tally_.sent.Add(count);
  uint32_t done = 0;
  int icmp_errors = 0;
  while (done < count) {
    const int n = ::sendmmsg(fd, &out_msgs_[done], count - done, 0);
    if (n > 0) {
      done += static_cast<uint32_t>(n);
    } else if (errno == ECONNREFUSED && icmp_errors++ < 2) {
      tally_.peer_refused.Add(1);
    } else if (errno != EINTR) {
      tally_.send_refused.Add(1);
      ++done;
    }
  }
}

void Worker::SendRtcp(Channel& channel) {
  Probe probe;
  probe.kind = ProbeKind::kRtcp;
  probe.direction = channel.party;
  probe.run = run_;
  probe.session = channel.session;
  probe.slot = kNoSlot;
  probe.sent_ns = NowNs();
  probe.sequence = channel.next_sequence++;
  probe.timestamp =
      static_cast<uint32_t>((probe.sent_ns - started_ns_) / 1'000 * 8 / 1'000);
  std::array<uint8_t, kRtcpProbeBytes> packet;
  WriteProbe(probe, packet);
  tally_.rtcp_sent.Add(1);
  const auto* to = options_.connected
                       ? nullptr
                       : reinterpret_cast<const sockaddr*>(&channel.relay);
  if (::sendto(sockets_[channel.socket].get(), packet.data(), packet.size(), 0,
               to, to == nullptr ? 0 : channel.relay_length) < 0) {
    (errno == ECONNREFUSED ? tally_.peer_refused : tally_.send_refused).Add(1);
  }
}

int64_t Worker::WaitFor(uint64_t now) const {
  if (options_.spin) return 0;
  if (options_.rate <= 0 || seen_ == Phase::kDrain) return kIdleWaitNs;
  const double next_s = static_cast<double>(paced_sent_ + 1) / options_.rate;
  const uint64_t next = started_ns_ + static_cast<uint64_t>(next_s * 1e9) + 1;
  return std::min<int64_t>(next > now ? static_cast<int64_t>(next - now) : 0,
                           kIdleWaitNs);
}

uint32_t Worker::ReceiveReady(int64_t wait_ns) {
  const timespec wait = {0, static_cast<long>(wait_ns)};
  const uint64_t before = wait_ns > 0 ? NowNs() : 0;
  const int n =
      ::epoll_pwait2(epoll_.get(), events_.data(), kPollBatch, &wait, nullptr);
  if (wait_ns > 0) tally_.idle_ns.Add(NowNs() - before);
  tally_.polls.Add(1);
  if (n == kPollBatch) tally_.polls_full.Add(1);
  uint32_t received = 0;
  for (int i = 0; i < n; ++i) {
    received += ReceiveFrom(events_[static_cast<size_t>(i)].data.u32);
  }
  return received;
}

uint32_t Worker::ReceiveFrom(uint32_t socket) {
  const int n = ::recvmmsg(sockets_[socket].get(), in_msgs_.data(),
                           kReceiveBatch, MSG_DONTWAIT, nullptr);
  if (n < 0) {
    if (errno == ECONNREFUSED) tally_.peer_refused.Add(1);
    return 0;
  }
  const uint64_t now = NowNs();
  for (size_t i = 0; i < static_cast<size_t>(n); ++i) {
    msghdr& header = in_msgs_[i].msg_hdr;
    const bool cut = (header.msg_flags & MSG_TRUNC) != 0;
    OnPacket(socket, std::span(in_[i].data(), cut ? 0 : in_msgs_[i].msg_len),
             sources_[i], now);
    header.msg_namelen = sizeof(sockaddr_in6);
  }
  return static_cast<uint32_t>(n);
}

Worker::Channel* Worker::FindChannel(uint32_t session, uint8_t party,
                                     ProbeKind kind) {
  const auto k = static_cast<uint32_t>(kind);
  if (session < first_session_ || party > 1 || k >= kinds_) return nullptr;
  const uint64_t index =
      (uint64_t{session - first_session_} * 2 + party) * kinds_ + k;
  return index < channels_.size() ? &channels_[index] : nullptr;
}

void Worker::OnPacket(uint32_t socket, std::span<const uint8_t> packet,
                      const sockaddr_in6& source, uint64_t now) {
  const std::optional<Probe> probe = ReadProbe(packet);
  if (!probe.has_value()) return tally_.corrupted.Add(1);
  if (probe->run != run_) return tally_.foreign.Add(1);
  Channel* channel = FindChannel(
      probe->session, static_cast<uint8_t>(probe->direction ^ 1), probe->kind);
  if (channel == nullptr || channel->socket != socket) {
    return tally_.misrouted.Add(1);
  }
  if (!options_.connected && !SameAddress(source, channel->relay)) {
    tally_.wrong_source.Add(1);
  }
  OnExpected(*channel, *probe, now);
}

void Worker::OnExpected(Channel& channel, const Probe& probe, uint64_t now) {
  if (!CountArrival(channel.judge.OnSequence(probe.sequence), tally_)) return;
  ++channel.received;
  if (channel.kind == ProbeKind::kRtcp) return tally_.rtcp_received.Add(1);
  tally_.received.Add(1);
  if (seen_ == Phase::kMeasure) delay_ns_.Record(now - probe.sent_ns);
  if (probe.slot != kNoSlot) ReleaseSlot(probe);
}

void Worker::ReleaseSlot(const Probe& probe) {
  if (probe.slot >= flights_.size()) return;
  Flight& flight = flights_[probe.slot];
  // A packet that was given up has lost its place to another one.
  if (!flight.live || flight.sent_ns != probe.sent_ns ||
      flight.sequence != probe.sequence) {
    return;
  }
  flight.live = false;
  free_slots_.push_back(probe.slot);
}

void Worker::GiveUpOldFlights(uint64_t now) {
  if (now < next_sweep_ns_) return;
  next_sweep_ns_ = now + kSweepEveryNs;
  for (uint32_t i = 0; i < flights_.size(); ++i) {
    Flight& flight = flights_[i];
    if (!flight.live || now < flight.sent_ns + options_.window_timeout_ns) {
      continue;
    }
    flight.live = false;
    free_slots_.push_back(i);
    tally_.window_timeouts.Add(1);
  }
}

}  // namespace sluice::load
