#ifndef SLUICE_TOOLS_LOAD_WORKER_H_
#define SLUICE_TOOLS_LOAD_WORKER_H_

#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <array>
#include <atomic>
#include <cstdint>
#include <span>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/net/fd.h"
#include "tools/load/histogram.h"
#include "tools/load/judge.h"
#include "tools/load/probe.h"
#include "tools/load/session_plan.h"
#include "tools/load/tally.h"

namespace sluice::load {

struct TrafficOptions {
  uint32_t packet_bytes = 172;      // RTP header and payload
  uint32_t samples_a_packet = 160;  // step of the RTP timestamp
  // Packets a second of this worker's streams together. 0: flat out, with at
  // most `window` packets under way.
  double rate = 0;
  uint32_t window = 2048;
  uint32_t burst = 1;       // packets that a stream sends at once
  double rtcp_every_s = 0;  // each party's RTCP interval; 0: none
  bool spin = false;        // never sleep while looking for packets
  bool connected = false;   // connect the sockets to the relay's ports
  uint64_t window_timeout_ns = 1'000'000'000;
};

// What all workers are doing. Only goes up.
enum class Phase : int { kWarmUp, kMeasure, kDrain, kStop };

// One generator thread: owns both ends of its sessions, sends, receives and
// judges every packet that arrives.
//
// Sockets are not connected unless told to: the kernel would throw away what a
// relay misroutes, and it would look like a loss. A party of each session has a
// socket of its own, or `share` sessions have one together (a carrier's gateway
// behind one address); then many packets go by one system call, and the
// generator is twice as fast.
//
// Two methods of sending. Paced: packet n is due at start + n / rate, whatever
// came of those before. Window: at most so many packets under way, the next one
// sent when one has arrived; one that has not come after window_timeout_ns
// gives its place up. Whether it was lost is decided at the end, by what
// arrived.
//
// Streams take turns in an order shuffled once by a fixed seed, so that a relay
// finds no more locality than in traffic of independent calls.
//
// Thread: made and read by the main thread, Run() on its own.
class Worker {
 public:
  Worker(const TrafficOptions& options, uint32_t run,
         const std::atomic<Phase>& phase)
      : options_(options), run_(run), phase_(phase) {}
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  // Binds the sockets of sessions first_session.. Call once, before Run.
  absl::Status Open(std::span<const SessionPlan> sessions,
                    uint32_t first_session);
  // Until the phase is kStop.
  void Run();

  const Tally& tally() const { return tally_; }
  // CPU time of this thread in the measured phase, ns. These are for after Run.
  uint64_t cpu_ns() const { return cpu_ns_; }
  const Histogram& delay_ns() const { return delay_ns_; }
  // Packets that the kernel dropped at our own sockets: the instrument's loss.
  uint64_t ReceiveDrops() const;
  // Streams that were sent and of which nothing arrived.
  uint64_t SilentStreams() const;

 private:
  // One party of one session and one kind: the stream that it sends and the
  // stream that it receives.
  struct Channel {
    uint32_t socket = 0;
    uint32_t session = 0;
    uint8_t party = 0;
    ProbeKind kind = ProbeKind::kRtp;
    sockaddr_in6 relay{};  // room for IPv4 too
    socklen_t relay_length = 0;
    uint32_t next_sequence = 0;
    uint32_t received = 0;
    Judge judge;
  };
  // A packet under way in the window method.
  struct Flight {
    uint64_t sent_ns = 0;
    uint32_t channel = 0;
    uint32_t sequence = 0;
    bool live = false;
  };
  static constexpr unsigned kReceiveBatch = 64;
  static constexpr int kPollBatch = 64;
  static constexpr uint32_t kSendsATurn = 64;
  static constexpr uint32_t kSendBatch = 32;

  absl::StatusOr<uint32_t> OpenSocket(const Endpoint& local);
  absl::Status AddChannel(const PartyPlan& plan, ProbeKind kind,
                          uint32_t session, uint8_t party);
  void MakeOrder();
  // The channel which receives what (session, 1 - party) sends; null when it is
  // not ours.
  Channel* FindChannel(uint32_t session, uint8_t party, ProbeKind kind);

  uint32_t RtpDue(uint64_t now) const;
  uint32_t RtcpDue(uint64_t now) const;
  // How many datagrams were dealt with.
  uint32_t SendDue(uint64_t now);
  uint32_t ReceiveReady(int64_t wait_ns);
  // Sends up to `count` packets that stand together in the order and leave by
  // one socket; returns how many.
  uint32_t SendBatch(uint32_t count);
  void WriteNext(uint32_t channel, uint64_t now, size_t place);
  void SendPrepared(int fd, uint32_t count);
  void SendRtcp(Channel& channel);
  uint32_t ReceiveFrom(uint32_t socket);
  void OnPacket(uint32_t socket, std::span<const uint8_t> packet,
                const sockaddr_in6& source, uint64_t now);
  void OnExpected(Channel& channel, const Probe& probe, uint64_t now);
  void ReleaseSlot(const Probe& probe);
  void GiveUpOldFlights(uint64_t now);
  int64_t WaitFor(uint64_t now) const;
  void OnPhase(Phase phase, uint64_t now);

  const TrafficOptions options_;
  const uint32_t run_;
  const std::atomic<Phase>& phase_;

  net::Fd epoll_;
  uint32_t first_session_ = 0;
  uint32_t kinds_ = 1;  // RTP alone, or RTCP, too
  std::vector<net::Fd> sockets_;
  // session 0: caller RTP, [caller RTCP,] callee RTP, [callee RTCP]; session 1
  // ..
  std::vector<Channel> channels_;
  absl::flat_hash_map<Endpoint, uint32_t> socket_of_;
  std::vector<uint32_t> rtp_order_, rtcp_order_;
  size_t rtp_turn_ = 0, rtcp_turn_ = 0;

  Phase seen_ = Phase::kWarmUp;
  uint64_t started_ns_ = 0;
  uint64_t paced_sent_ = 0, rtcp_paced_sent_ = 0;
  std::vector<Flight> flights_;
  std::vector<uint32_t> free_slots_;
  uint64_t next_sweep_ns_ = 0;

  uint64_t cpu_ns_ = 0, cpu_at_measure_ns_ = 0;
  Histogram delay_ns_;
  Tally tally_;

  std::array<std::array<uint8_t, kProbeMax>, kSendBatch> out_{};
  std::array<iovec, kSendBatch> out_iov_{};
  std::array<mmsghdr, kSendBatch> out_msgs_{};
  std::array<std::array<uint8_t, kProbeMax>, kReceiveBatch> in_{};
  std::array<sockaddr_in6, kReceiveBatch> sources_{};
  std::array<iovec, kReceiveBatch> in_iov_{};
  std::array<mmsghdr, kReceiveBatch> in_msgs_{};
  std::array<epoll_event, kPollBatch> events_{};
};

// CLOCK_MONOTONIC.
uint64_t NowNs() noexcept;
// Of addresses that the kernel filled in, or that were made for a socket.
bool SameAddress(const sockaddr_in6& a, const sockaddr_in6& b) noexcept;
// What the kernel dropped at a UDP socket.
uint64_t ReceiveDropsOf(int fd) noexcept;

}  // namespace sluice::load

#endif  // SLUICE_TOOLS_LOAD_WORKER_H_
