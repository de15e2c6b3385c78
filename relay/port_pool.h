#ifndef SLUICE_RELAY_PORT_POOL_H_
#define SLUICE_RELAY_PORT_POOL_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/types.h"

namespace sluice::relay {

// The ports of one local address: which are free, taken or resting.
//
//   free --Take--> taken --Release--> quarantined --(quarantine over)--> free
//
// Given out at random in runs of consecutive ports that begin on an even one
// (RFC 3550 11: RTP even, RTCP next), so that a stranger cannot guess the next.
// A port rests before it is given out again: late packets of the last call must
// not reach the next one.
//
// Ports are kept by pair (even, odd). Two lists cover the pairs that have
// anything to give, each with its place remembered so that leaving is a swap
// with the last:
//
//   whole_ : | 7 | 0 | 3 |     both halves free
//   half_  : | 5 | 2 |         one half free
//
// Invariant (L5): free + taken + quarantined == size.
// Thread: control only. Take of a pair and of a single is O(1); longer runs are
// looked for in O(size) steps at most. Memory: 14 octets a port, all of it
// taken at construction.
class PortPool {
 public:
  struct Options {
    Port first{};  // even, not 0
    Port last{};   // odd
    Micros quarantine = Micros::Seconds(2);
    uint64_t seed = 0;  // 0: from the kernel's random source
  };
  explicit PortPool(const Options& options);

  // A run of `count` (1..64) free consecutive ports beginning on an even one;
  // ResourceExhausted when there is none. A run of one takes half a pair, the
  // other half stays usable for other runs of one only if the pool is otherwise
  // exhausted (such a port may be odd).
  absl::StatusOr<Port> Take(int count, Micros now);
  // These very ports. AlreadyExists: one of them is not free; InvalidArgument:
  // one is not of the pool.
  absl::Status TakeThese(Port first, int count, Micros now);
  // Each port goes back on its own (sockets close one by one).
  // REQUIRES: IsTaken(port).
  void Release(Port port, Micros now);
  // A port that turned out to be in use by somebody else: rests, then is tried
  // again like any other.
  void Reject(Port port, Micros now) { Release(port, now); }
  // Frees the ports whose rest is over. Take does so too; for whoever wants
  // true numbers of an idle pool.
  void EndQuarantines(Micros now);

  bool IsTaken(Port port) const;
  uint32_t size() const { return static_cast<uint32_t>(state_.size()); }
  uint32_t taken() const { return taken_; }
  uint32_t quarantined() const { return resting_; }
  uint32_t free() const { return size() - taken_ - resting_; }
  // The invariant, for tests.
  bool Validate() const;

  static constexpr int kRunMax = 64;

 private:
  enum class State : uint8_t { kFree, kTaken, kQuarantined };
  // A port is named inside by its distance to the first one, a pair by half
  // of that.
  using Offset = uint32_t;
  using Pair = uint16_t;

  uint32_t Random(uint32_t below);
  Port PortAt(Offset offset) const;
  // How many of the `count` ports from `start` on are free before one is not.
  int FreeFrom(Offset start, int count) const;
  std::optional<Offset> FindSingle();
  std::optional<Offset> FindRun(int count);
  // Changes the state of one port and moves its pair between the lists.
  void Move(Offset offset, State state);
  int FreeHalves(Pair pair) const;
  void Insert(std::vector<Pair>& list, Pair pair);
  void Remove(std::vector<Pair>& list, Pair pair);

  const Port first_;
  const Micros quarantine_;
  uint64_t random_;
  std::vector<State> state_;  // by offset
  std::vector<Pair> whole_;
  std::vector<Pair> half_;
  std::vector<Pair> place_;  // of a pair in the list that holds it
  // The ports that rest, in the order in which their rest ends: a ring with a
  // place for every port.
  struct Rest {
    std::vector<uint16_t> port;
    std::vector<Micros> until;
  };
  Rest rest_;
  uint32_t rest_head_ = 0;
  uint32_t resting_ = 0;
  uint32_t taken_ = 0;
};

// Programs that let the kernel choose a local port take it from the ephemeral
// range, and may sit on a relay port when a call needs it. Returns what to tell
// the operator when [first, last] meets that range and the ports they share are
// not set aside; nullopt when all is well or the kernel does not say.
inline constexpr char kLocalPortRangeFile[] =
    "/proc/sys/net/ipv4/ip_local_port_range";
inline constexpr char kReservedPortsFile[] =
    "/proc/sys/net/ipv4/ip_local_reserved_ports";
std::optional<std::string> EphemeralOverlap(
    Port first, Port last, const std::string& range_file = kLocalPortRangeFile,
    const std::string& reserved_file = kReservedPortsFile);

}  // namespace sluice::relay

#endif  // SLUICE_RELAY_PORT_POOL_H_
