#ifndef SLUICE_TOOLS_LOAD_SIP_MEDIA_H_
#define SLUICE_TOOLS_LOAD_SIP_MEDIA_H_

#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/address.h"
#include "base/net/fd.h"
#include "tools/load/histogram.h"
#include "tools/load/judge.h"
#include "tools/load/probe.h"
#include "tools/load/session_plan.h"
#include "tools/load/sip_tally.h"
#include "tools/load/tally.h"

namespace sluice::load {

struct SipMediaOptions {
  IpAddress uac{}, uas{};
  uint32_t run = 0;
  double seconds = 0;   // of every call
  uint32_t places = 0;  // calls at a time
  uint32_t slots = 0;   // numbers at a time: as the caller's, a power of two
};

// What a worker's calls say to each other: RTP both ways, to where the session
// descriptions that arrived say, in packets that are judged as those of
// `sluiceload rtp` are (probe.h, judge.h).
//
// A call has a place from its beginning until its media is over: a socket on
// each side, opened before the load begins and named by its descriptions.
//
//          Take            Begin             all has come, or has been
//   kFree ------> kHeld ----------> kTalking ------ waited for -------> kFree
//     ^            |                   |  Free
//     +--- Free ---+                   v
//     +------- at its next turn ---- kLeft
//
// A place that talks has a turn every 20 ms, in which both its sides send. As
// all wait for the same time, turns lie in a line and never need sorting; a
// call's first one is 20 ms after its beginning. A turn that comes late makes
// those behind it as late, no more.
//
// Thread: the worker's; made, and asked for what it found, by the main thread.
class SipMedia {
 public:
  static constexpr uint64_t kPacketNs = 20'000'000;
  static constexpr size_t kPacketBytes = 12 + 160;  // PCMU
  // How long the last packets of a call are waited for before its BYE.
  static constexpr uint64_t kDrainNs = 200'000'000;

  // The places that calls of `seconds` need which begin at `rate` at each of
  // `workers`. InvalidArgument: more than kPlacesMax for all of them.
  static constexpr uint32_t kPlacesMax = 20'000;
  static absl::StatusOr<uint32_t> PlacesFor(double rate, double seconds,
                                            size_t workers);

  SipMedia(const SipMediaOptions& options, SipTally& calls);
  SipMedia(const SipMedia&) = delete;
  SipMedia& operator=(const SipMedia&) = delete;

  // Binds the sockets to ports of the kernel's choice. Once, before the rest.
  absl::Status Open();

  // False, and counted, where every place is taken: the call is not to begin.
  bool Take(uint32_t number);
  // The body of the offer (kCaller) or the answer of a call, with its fields;
  // empty for a call that has no place.
  std::string_view Body(uint32_t number, Party party) const;
  // `party` of a call has been told by this description where to send to.
  void OnDescription(uint32_t number, Party party, std::string_view sdp);
  // The call is up. False, and counted, where one side does not know whom to
  // send to; the call has no place any more.
  bool Begin(uint32_t number, uint64_t now_ns);
  // The call is over, whatever becomes of its media. Nothing where it has none.
  void Free(uint32_t number);
  // From now on every call has said all at its next turn.
  void Shorten() { shortened_ = true; }

  // Sends what is due and receives; returns how much it did.
  uint32_t Work(uint64_t now_ns);
  // The calls whose media came to its end in the last Work().
  std::span<const uint32_t> over() const { return over_; }
  // When Work() has something to send; UINT64_MAX: not before another Begin().
  uint64_t next_due_ns() const;
  // Readable when Work() has something to receive.
  int descriptor() const { return epoll_.get(); }

  void ClearDelays() { delay_ns_.Clear(); }
  const Tally& packets() const { return packets_; }
  // These are for when nothing is sent any more.
  const Histogram& delay_ns() const { return delay_ns_; }
  uint64_t ReceiveDrops() const;

 private:
  static constexpr uint32_t kNone = UINT32_MAX;
  static constexpr uint32_t kTurnsAWork = 64;
  static constexpr int kReceivesAWork = 128;
  static constexpr uint32_t kDrainTurns = kDrainNs / kPacketNs;

  enum class State : uint8_t { kFree, kHeld, kTalking, kLeft };
  struct Side {
    net::Fd fd;
    std::string body{};
    sockaddr_in6 remote{};  // room for IPv4 too
    socklen_t remote_length = 0;
    uint32_t received = 0;
    Judge judge;
  };
  struct Place {
    std::array<Side, 2> sides{};
    uint64_t due_ns = 0;
    uint32_t number = kNone;  // of the call that is here, or was last
    uint32_t before = kNone;  // of the call before it
    uint32_t packets = 0;     // that each side has to send
    uint32_t turns = 0;       // that the call has had
    uint32_t next = kNone;    // in the line that the place stands in
    State state = State::kFree;
  };
  // Places in a line: those that are free, or those that talk.
  struct Line {
    uint32_t first = kNone, last = kNone;
  };

  absl::Status OpenSide(uint32_t place, Party party);
  void Push(Line* line, uint32_t place);
  uint32_t Pop(Line* line);
  // kNone where the call has no place.
  uint32_t PlaceOf(uint32_t number) const;
  void Release(uint32_t place);
  uint32_t SendDue(uint64_t now_ns);
  // One side's next packet.
  void Send(Place& place, Party party);
  static bool IsOver(const Place& place);
  uint32_t Receive();
  void OnPacket(Place& place, Party party, std::span<const uint8_t> packet,
                const sockaddr_in6& source);

  const SipMediaOptions options_;
  const uint32_t packets_a_call_;  // of each side
  bool shortened_ = false;
  SipTally& calls_;
  Tally packets_;
  Histogram delay_ns_;

  net::Fd epoll_;
  std::vector<Place> places_;
  std::vector<uint32_t> place_of_;  // by a number's slot
  Line free_, talking_;
  std::vector<uint32_t> over_;
};

}  // namespace sluice::load

#endif  // SLUICE_TOOLS_LOAD_SIP_MEDIA_H_
