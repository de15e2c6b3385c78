#ifndef SLUICE_CONTROL_CALL_H_
#define SLUICE_CONTROL_CALL_H_

#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/address.h"
#include "base/timer_wheel.h"
#include "base/types.h"
#include "relay/session_command.h"

namespace sluice::control {

// What the session manager keeps of a call: plain data.
//
//   Call (Call-ID)
//    +- Transaction (who offered, CSeq): one offer with its answers
//        +- from: Group         sockets for the offer, told to the answerer;
//        |                      they face the *to* party
//        +- Fork (who answered)
//            +- group: Group    sockets for the answer, told to the offerer;
//            |                  they face the *from* party
//            +- session         flow i joins from.sockets[i], group.sockets[i]
//
// One offer may be answered more than once (forking, RFC 3261 16.7): then
// several sessions share the sockets of `from`. A later offer of a party whose
// media lines are what they were is given the sockets of the session that is up
// (RFC 3264 8: what did not change is described the same); when its answer is
// too, the session moves over with its flows.

inline constexpr Micros kNever{std::numeric_limits<int64_t>::max()};

// What one call may hold, whatever its proxy asks for: a re-INVITE a second
// that nobody answers, answered by every phone of a hunt group.
inline constexpr size_t kTransactionsPerCall = 32;
inline constexpr size_t kForksPerTransaction = 32;
inline constexpr size_t kIdOctets = 1024;
inline constexpr size_t kUriOctets = 256;  // longer ones are cut

// One medium of an SDP body and the ports made for it.
struct Medium {
  IpAddress ip{};     // where its sender listens
  uint16_t port = 0;  // the same; 0: on hold
  uint16_t base = 0;  // the first of our ports
  uint8_t range = 0;  // how many, on both sides
  relay::FlowKind first = relay::FlowKind::kRtp;
  uint32_t clock_hz = 0;
  IpAddress heard_from{};  // where its signalling comes from; ::, unknown

  bool active() const { return port != 0 && !ip.is_any(); }
  // Where port `i` of its sender listens; none on hold.
  Endpoint Target(int i) const {
    if (!active()) return Endpoint{};
    return Endpoint{.ip = ip,
                    .port = Port::FromHost(static_cast<uint16_t>(port + i))};
  }
  Port Local(int i) const {
    return Port::FromHost(static_cast<uint16_t>(base + i));
  }
  friend bool operator==(const Medium&, const Medium&) = default;
};

// What was made for one SDP body.
struct Group {
  std::vector<Medium> media{};
  std::vector<Slot> sockets{};  // of all media, in order; may be shared
  Micros made{};                // when its ports were taken
  // Which side of its flows a socket faces, the same in all that it is ever in:
  // what offers are given faces the answerer at first.
  Side faces = Side::kTo;
  Micros touched{};            // when signalling last spoke of it
  Micros release_at = kNever;  // given up: when its ports go
  uint8_t interface = 0;
};

struct Session {
  uint64_t id = 0;  // 0: none
  Micros created{};
  uint32_t activations = 0;  // two or more: the answer was acknowledged
  bool turned = false;       // the offer's sockets face the flows' kFrom side
  std::vector<Slot> flows{};
  explicit operator bool() const { return id != 0; }
  // Which side of the flows is that side of the offer.
  Side OfFlow(Side side) const { return turned ? Other(side) : side; }
};

// Exists as long as its group does; a session needs both groups.
struct Fork {
  std::string id_to{};
  Group group{};
  Session session{};
  // Closed by signalling, or a newer session took its place: a late ACK must
  // not bring it back.
  bool over = false;
  // The latter, and the newer one is not settled yet: should its offer be
  // refused, this one goes on. Its ports are kept for that.
  bool aside = false;
};

struct Transaction {
  std::string id_from{};
  uint32_t cseq = 0;
  std::optional<Group> from{};
  std::vector<Fork> forks{};
  // By which the offer goes to its answerers, where that is known
  // (SessionKey::branch). Unanswered, it ends with the last of them.
  std::vector<uint64_t> ways{};

  Fork* Find(std::string_view id_to);
  bool HasSession() const;
  // Also one that is set aside.
  bool InUse() const;
  bool empty() const { return !from && forks.empty(); }
  void NoteWay(uint64_t way);
  // Whether it was the last one, or nobody knows.
  bool EndWay(uint64_t way);
};

// The session that is up between two parties, seen by one of them.
struct Standing {
  Transaction* transaction = nullptr;  // null: there is none
  Fork* fork = nullptr;
  bool offered = false;  // by that one

  explicit operator bool() const { return fork != nullptr; }
  // The ports made for what it said, and for what the other one said.
  const Group& own() const;
  const Group& other() const;
};

struct Call {
  std::string call_id{};
  std::string uri_from{}, uri_to{};
  uint32_t shard = 0;
  Micros created{};
  std::vector<Transaction> transactions{};
  // Looked at again when the timer fires: never later than the first thing in
  // it that can run out.
  Micros due = kNever;
  TimerWheel::Id timer = 0;
  // When the latest ports were taken that went with a refused offer. Ports told
  // after that are told as newer (RFC 3264 8).
  Micros refused{};
  // All calls in the order of their making.
  Call* previous = nullptr;
  Call* next = nullptr;

  Transaction* Find(std::string_view id_from, uint32_t cseq);
  // Whoever of the two offered; as `party` sees it.
  Standing FindSession(std::string_view party, std::string_view other);
  // The one that would go on if that was refused.
  Standing FindAside(std::string_view party, std::string_view other);
  // Of all its offers and answers, each once.
  size_t sockets() const;
  // Whether this party has made a later offer that is still remembered.
  bool HasLater(std::string_view id_from, uint32_t cseq) const;
  // act(Group&), in the order of the offers.
  template <typename Do>
  void ForEachGroup(Do&& act) {
    for (Transaction& t : transactions) {
      if (t.from) act(*t.from);
      for (Fork& fork : t.forks) act(fork.group);
    }
  }

 private:
  template <typename Is>
  Standing FindFork(std::string_view party, std::string_view other, Is&& is);
};

}  // namespace sluice::control

#endif  // SLUICE_CONTROL_CALL_H_
