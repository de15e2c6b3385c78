#ifndef SLUICE_CONTROL_SESSION_MANAGER_H_
#define SLUICE_CONTROL_SESSION_MANAGER_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/hash/hash.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "base/address.h"
#include "base/timer_wheel.h"
#include "base/types.h"
#include "control/call.h"
#include "control/call_image.h"
#include "control/config.h"
#include "control/manager_counters.h"
#include "control/media_ports.h"
#include "control/session_observer.h"
#include "control/session_verbs.h"
#include "control/target_policy.h"
#include "relay/media_plane.h"
#include "relay/port_pool.h"

namespace sluice::control {

// ---- what people and programs look at ------------------------------------

struct FlowView {
  std::string call_medium{};  // "0" = first m= line
  int index = 0;              // within the medium: 0 RTP, 1 RTCP, ...
  relay::FlowKind kind{};
  struct SideView {
    Endpoint local{};    // our port that faces this party
    Endpoint target{};   // what its SDP said; none: on hold
    Endpoint latched{};  // where it really sends from; none: nothing heard yet
    relay::LatchedBy by{};
    bool confirmed = false;
    relay::SideReport report{};
    double mos = 0;  // 0: not enough heard
  } side[2]{};       // by Side
};
struct SessionView {
  uint64_t id = 0;
  uint32_t cseq = 0;
  std::string id_from{}, id_to{};
  Micros created{}, last_packet{};
  std::vector<FlowView> flows{};
};
struct CallView {
  std::string call_id{};
  std::string uri_from{}, uri_to{};
  uint32_t shard = 0;
  Micros created{};
  int sockets = 0;
  std::vector<SessionView> sessions{};
};
// The flows of a call that are open, all on one shard.
struct CallFlows {
  uint32_t shard = 0;
  std::vector<Slot> flows{};
};
struct CallSummary {
  std::string call_id{};
  uint32_t shard = 0;
  Micros created{}, last_packet{};
  int sessions = 0, sockets = 0;
  uint64_t packets = 0, bytes = 0;
};
struct ManagerStatus {
  uint64_t calls = 0, sessions = 0, flows = 0, sockets = 0;
  uint64_t ports_total = 0, ports_taken = 0, ports_quarantined = 0;
  bool draining = false;
  // name -> value, monotonic: every way a verb can end. Names in manager.def.
  std::vector<std::pair<std::string, uint64_t>> counters{};
};
// A page of the calls in the order of their making.
struct CallPage {
  uint64_t total = 0;
  std::vector<CallSummary> calls{};
};

// Calls -> sessions -> flows: the engine behind every control protocol.
//
//   Allocate(from) --> half open --Allocate(to)--> both --Activate--> session
//                         |                         |  ^                 |
//             unused      |                  unused |  | silent before   |
//   gone <----------------+-------------------------+  | the ACK (a      |
//     ^                                                | ringing call)   |
//     |                                                +-----------------+
//     +-- Close at once; replaced, or silent after the ACK: after `closed` --+
//
// A session that a later offer of the two parties has replaced by an early
// answer is set aside until the newer one is settled (SessionKey::stage). If
// its offer is refused before that (an 18x, then a failure), the older one goes
// on.
//
// A session is found silent by asking the plane when its flows last heard
// anything; nothing is told per packet. One timer a call, set for the first
// thing in it that can run out: a tick costs what is due, not what is there.
//
// Invariants (Validate): a flow is open exactly while its session is; a socket
// is open while a group holds it (several of one call may), or closing; a call
// that holds nothing does not exist; ports taken are those of sockets whose
// kSocketClosed has not come (L5); the interface of an offer reaches the
// parties of its answers, and theirs the party that offered, so a session is
// never half up.
//
// Thread: control only. Borrows the plane. The destructor tells the plane
// nothing: CloseAll does.
class SessionManager final : public SessionVerbs {
 public:
  struct Options {
    std::vector<InterfaceConfig> interfaces{};
    Port port_first{};          // even
    Port port_last{};           // odd
    uint64_t port_seed = 0;     // 0: from the kernel's random source
    uint32_t max_sessions = 0;  // calls; 0: what ports and tables allow
    int max_flows_per_session = 32;
    int max_flows_per_call = 256;  // of all its offers and forks, 2 ports each
    int max_range = 16;            // of one medium; at most 64
    // Silence that ends a session; how long ports nobody uses are kept; how
    // long those of a session that is over.
    Micros active = Micros::Seconds(30);
    Micros unused = Micros::Seconds(180);
    Micros closed = Micros::Seconds(1);
    std::vector<Prefix> deny_targets{};
    std::vector<Prefix> allow_targets{};  // not empty: only these
    std::vector<Endpoint> listeners{};    // our control sockets, as bound
  };
  SessionManager(const Options& options, relay::MediaPlane& plane, Micros now);
  ~SessionManager() override;

  SessionManager(const SessionManager&) = delete;
  SessionManager& operator=(const SessionManager&) = delete;

  // An offer or answer heard before that names other addresses moves the media
  // there (a 183 and then a 200, PRACK, UPDATE), if it has the same lines. A
  // later one with the lines of the session that is up is given its ports.
  // InvalidArgument, NotFound (interface), PermissionDenied (target, or one
  // that cannot be reached from the interface that the other side was given),
  // Unavailable (draining), ResourceExhausted (a limit, ports),
  // FailedPrecondition (CSeq too old, other media lines), or what the plane
  // said.
  absl::StatusOr<std::vector<Allocation>> Allocate(
      const SessionKey& key, Side side, const IpAddress& local,
      absl::Span<const Media> media) override;
  // NotFound (no such offer), FailedPrecondition (half open, or offer and
  // answer do not match), or what the plane said. A refusal, too, keeps the
  // ports for another `unused`.
  absl::StatusOr<Activation> Activate(const SessionKey& key) override;
  // With a CSeq: the session of that offer (CANCEL, error response); one that
  // was up before it goes on. Without,
  // or with 0: all between the two parties, whoever offered (BYE).
  absl::StatusOr<int> Close(const SessionKey& key) override;

  // Whom to tell of everything from now on; null: nobody, which costs nothing.
  // It outlives this.
  void SetObserver(SessionObserver* observer) { observer_ = observer; }
  // What the call is, without offers and answers of which a shard has closed
  // sockets by itself: those ports are others' to have. NotFound when there is
  // no such call.
  absl::StatusOr<CallImage> Image(std::string_view call_id) const;
  // Makes a call of an earlier manager as it was, on its ports, or nothing at
  // all. Who was believed is believed again unless it would not be today.
  // InvalidArgument (not one call), AlreadyExists (a call of that name, a port
  // that is not free), whatever Allocate refuses, or what the plane said.
  absl::Status RestoreCall(const CallImage& image,
                           absl::Span<const Believed> believed);

  // What the shards told.
  void OnEvent(uint32_t shard, const relay::Event& event);
  // Looks at what has run out. About ten times a second: verbs take the time
  // from the last one. `last_stall_end`: when this process was last found to
  // have stood still (a stopped machine); silence before it is no silence.
  void Tick(Micros now, Micros last_stall_end);

  // The operator's hand. The number of sessions ended (0 for a call that was
  // still ringing); NotFound when there is no such call.
  absl::StatusOr<int> CloseCall(std::string_view call_id);
  void CloseAll();
  // Takes over what a reload may change: limits, timeouts, prefixes, listeners
  // and the interfaces' latch policy (for sessions to come). Interfaces and
  // ports stay what they are.
  void Reconfigure(const Options& options);
  // New calls are refused (or taken again); what is up goes on.
  void SetDraining(bool on) { draining_ = on; }
  // No call, and every socket reported closed.
  bool empty() const { return calls_.empty() && ports_.sockets() == 0; }

  CallPage ListCalls(size_t offset, size_t limit) const;
  absl::StatusOr<CallView> FindCall(std::string_view call_id) const;
  absl::StatusOr<CallFlows> FindFlows(std::string_view call_id) const;
  ManagerStatus status() const;
  const ManagerCounters& counters() const { return counters_; }
  const MediaPorts& ports() const { return ports_; }
  // The invariants above, for tests.
  bool Validate() const;

 private:
  // What a shard last said about the sources of a flow, by its slot's index.
  struct FlowNews {
    uint32_t generation = 0;  // 0: no flow
    const Call* call = nullptr;
    Slot socket[2]{};  // by Side that it faces
    struct Heard {
      Endpoint source{};
      relay::LatchedBy by{};
      bool confirmed = false;
    } heard[2]{};  // by Side
  };

  // Allocate, piece by piece. The checks: session_checks.cc.
  absl::Status CheckMedia(absl::Span<const Media> media);
  absl::Status CheckPortsOfCall(size_t held, size_t wanted);
  absl::Status CheckCalls();
  absl::Status CheckTarget(const Media& medium) const;
  absl::Status CheckReach(const Transaction* transaction, Side side,
                          uint8_t interface,
                          absl::Span<const Media> media) const;
  absl::StatusOr<std::vector<Allocation>> AllocateNow(
      const SessionKey& key, Side side, const IpAddress& local,
      absl::Span<const Media> media);
  absl::StatusOr<Activation> ActivateNow(const SessionKey& key);
  absl::StatusOr<int> CloseNow(const SessionKey& key);
  Endpoint WasBelieved(uint32_t shard, Slot socket) const;
  absl::StatusOr<std::vector<Allocation>> Repeat(const Call& call,
                                                 Transaction& transaction,
                                                 Side side, Fork* fork,
                                                 absl::Span<const Media> media);
  absl::Status CheckMove(const Transaction& transaction, Side side,
                         const Group& group, absl::Span<const Media> media);
  void Move(const Call& call, Transaction& transaction, Side side, Fork* fork,
            Group& group, absl::Span<const Media> media);
  const Group* FindKept(Call& call, const Transaction* transaction,
                        const SessionKey& key, Side side, uint8_t interface,
                        absl::Span<const Media> media) const;
  std::vector<Allocation> Answer(const Group& group) const;

  void Aim(const Call& call, const Session& session, size_t flow, Side side,
           const Medium& medium, uint8_t facing);

  // Images. session_image.cc.
  CallImage ImageOf(const Call& call) const;
  std::optional<GroupImage> ImageOf(const Call& call, const Group& group) const;
  void Tell(const Call& call);
  void Tell(std::string_view call_id);
  absl::StatusOr<Group> RestoreGroup(const GroupImage& image, Side side,
                                     const Transaction& transaction);
  absl::StatusOr<std::vector<Transaction>> RestoreOffers(
      const CallImage& image);
  absl::Status RestoreSockets(Call& call);
  absl::Status RestoreSessions(Call& call, const CallImage& image);
  void Believe(const CallImage& image, absl::Span<const Believed> believed);

  // Activate, piece by piece.
  void Begin(Call& call, Transaction& transaction, Fork& fork,
             std::vector<Slot> flows);
  void MoveSession(Call& call, const Standing& standing,
                   Transaction& transaction, Fork& fork);
  absl::Status CheckMatch(const Group& offer, const Group& answer);
  absl::StatusOr<std::vector<Slot>> OpenFlows(const Call& call,
                                              const Group& offer,
                                              const Group& answer);
  relay::SideTarget Target(const Medium& medium, int i,
                           uint8_t interface) const;

  // The ends of things.
  void EndSession(const Call& call, Session& session);
  void ReplaceOlder(Call& call, const SessionKey& key);
  void SetAside(Call& call, const Standing& older);
  void Settle(Call& call, std::string_view id_from, std::string_view id_to);
  void Restore(Call& call, const Standing& older);
  void Finish(Call& call, Transaction& transaction, Fork& fork);
  void GiveUp(Transaction& transaction, Fork& fork);
  static void DropEmpty(Call& call);
  void FreeGroup(const Call& call, Group& group);
  void FreeTransaction(const Call& call, Transaction& transaction);
  int CloseOrder(Call& call, std::string_view id_from, std::string_view id_to);
  int EndCall(Call& call);
  int EndAll(Call& call);
  void Forget(Call& call);

  // Timers.
  void Touch(Transaction& transaction, Fork* fork);
  void Arm(Call& call, Micros when);
  void Review(Call& call);
  Micros ReviewTransaction(const Call& call, Transaction& transaction);
  Micros RunsOut(const Group& group) const;
  Micros QuietSince(const Call& call, const Fork& fork) const;
  Micros LastPacket(const Call& call, const Session& session) const;

  Call* Lookup(std::string_view call_id) const;
  Call& NewCall(const std::string& call_id, std::string_view uri_from,
                std::string_view uri_to, uint32_t shard);
  FlowNews* News(uint32_t shard, Slot flow);
  const FlowNews* News(uint32_t shard, Slot flow) const;
  SessionView View(const Call& call, const Transaction& transaction,
                   const Fork& fork) const;
  FlowView::SideView View(const Group& facing, const Medium& ours,
                          const Medium& theirs, int index, Side side,
                          const FlowNews* news) const;
  CallSummary Summary(const Call& call) const;

  relay::MediaPlane& plane_;
  Options options_;
  TargetPolicy policy_;

  ManagerCounters counters_;
  MediaPorts ports_;
  TimerWheel timers_;
  Micros now_;
  Micros last_stall_end_{};
  bool draining_ = false;
  uint64_t last_session_id_ = 0;
  uint64_t sessions_ = 0;
  uint64_t flows_ = 0;
  // Call-IDs are written by strangers, so the hash must be one with a seed:
  // Abseil's, whose own string_view is not the standard's everywhere.
  struct IdHash {
    size_t operator()(std::string_view id) const {
      return absl::Hash<absl::string_view>{}({id.data(), id.size()});
    }
  };
  // The keys lie in the calls.
  absl::flat_hash_map<std::string_view, std::unique_ptr<Call>, IdHash> calls_;
  Call* oldest_ = nullptr;
  Call* newest_ = nullptr;
  std::vector<std::vector<FlowNews>> news_;  // by shard, by slot index
  SessionObserver* observer_ = nullptr;
  bool lost_ = false;  // a socket, since the last tick
  // Who was believed on a port of ours before this process was, while its call
  // is restored.
  absl::flat_hash_map<Endpoint, Endpoint> believed_;
};

}  // namespace sluice::control

#endif  // SLUICE_CONTROL_SESSION_MANAGER_H_
