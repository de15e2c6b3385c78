#include "tools/load/sip_media.h"

#include <errno.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/check.h"
#include "base/net/socket.h"
#include "base/status_macros.h"
#include "tools/load/sip_messages.h"
#include "tools/load/sip_scan.h"
#include "tools/load/worker.h"

namespace sluice::load {
namespace {

// A call has its place from INVITE on, so the answer is waited for in it; and
// calls that begin late, or at random, begin in heaps.
constexpr double kAnswerS = 0.5;
constexpr double kPlacesSpare = 1.25;
constexpr double kPlacesMin = 16;

}  // namespace

absl::StatusOr<uint32_t> SipMedia::PlacesFor(double rate, double seconds,
                                             size_t workers) {
  const double drain_s = static_cast<double>(kDrainNs) * 1e-9;
  const double places = std::ceil(
      kPlacesMin + kPlacesSpare * rate * (seconds + drain_s + kAnswerS));
  const double all = places * static_cast<double>(workers);
  if (all > kPlacesMax) {
    return absl::InvalidArgumentError(absl::StrFormat(
        "%g calls a second with %g s of media need %.0f places for calls at a "
        "time, spare ones counted, and %d are possible: take less of --rate or "
        "--media",
        rate * static_cast<double>(workers), seconds, all, kPlacesMax));
  }
  return static_cast<uint32_t>(places);
}

SipMedia::SipMedia(const SipMediaOptions& options, SipTally& calls)
    : options_(options),
      packets_a_call_(static_cast<uint32_t>(std::max(
          1.0, std::round(options.seconds * 1e9 / double{kPacketNs})))),
      calls_(calls),
      places_(options.places),
      place_of_(options.slots, kNone) {
  CHECK(std::has_single_bit(options.slots));
  over_.reserve(options.places);
}

absl::Status SipMedia::Open() {
  epoll_ = net::Fd(::epoll_create1(EPOLL_CLOEXEC));
  if (!epoll_) return net::ErrnoStatus(errno, "epoll_create1");
  for (uint32_t place = 0; place < places_.size(); ++place) {
    for (const Party party : {kCaller, kCallee}) {
      const absl::Status opened = OpenSide(place, party);
      if (!opened.ok()) {
        return absl::Status(
            opened.code(),
            absl::StrCat("media: ", 2 * place + party, " sockets of ",
                         2 * places_.size(),
                         " are open, the next: ", opened.message()));
      }
    }
    Push(&free_, place);
  }
  return absl::OkStatus();
}

absl::Status SipMedia::OpenSide(uint32_t place, Party party) {
  Side& side = places_[place].sides[party];
  const IpAddress& ip = party == kCaller ? options_.uac : options_.uas;
  // Not connected: the kernel would hide what a relay misroutes.
  ASSIGN_OR_RETURN(side.fd, net::OpenUdp({ip, Port()}, {}));
  ASSIGN_OR_RETURN(const Endpoint local, net::LocalEndpoint(side.fd.get()));
  side.body = SipAudioBody(local);
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.u32 = 2 * place + party;
  if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, side.fd.get(), &event) != 0) {
    return net::ErrnoStatus(errno, "epoll_ctl");
  }
  return absl::OkStatus();
}

void SipMedia::Push(Line* line, uint32_t place) {
  places_[place].next = kNone;
  (line->first == kNone ? line->first : places_[line->last].next) = place;
  line->last = place;
}

uint32_t SipMedia::Pop(Line* line) {
  const uint32_t place = line->first;
  if (place != kNone) line->first = places_[place].next;
  return place;
}

uint32_t SipMedia::PlaceOf(uint32_t number) const {
  const uint32_t place = place_of_[number & (options_.slots - 1)];
  return place != kNone && places_[place].number == number &&
                 places_[place].state != State::kFree
             ? place
             : kNone;
}

bool SipMedia::Take(uint32_t number) {
  // The place that has been free for longest: what is still under way to it
  // has had the most time to arrive.
  const uint32_t index = Pop(&free_);
  if (index == kNone) {
    calls_.media_no_place.Add(1);
    return false;
  }
  Place& place = places_[index];
  place.state = State::kHeld;
  place.before = std::exchange(place.number, number);
  place.packets = packets_a_call_;
  place.turns = 0;
  for (Side& side : place.sides) {
    side.remote_length = 0;
    side.received = 0;
    side.judge = Judge();
  }
  place_of_[number & (options_.slots - 1)] = index;
  return true;
}

std::string_view SipMedia::Body(uint32_t number, Party party) const {
  const uint32_t place = PlaceOf(number);
  return place == kNone ? std::string_view() : places_[place].sides[party].body;
}

void SipMedia::OnDescription(uint32_t number, Party party,
                             std::string_view sdp) {
  const uint32_t place = PlaceOf(number);
  // One that comes again is not to change what is under way.
  if (place == kNone || places_[place].state != State::kHeld) return;
  Side& side = places_[place].sides[party];
  const std::optional<Endpoint> remote = SdpAudioAddress(sdp);
  const IpAddress& ip = party == kCaller ? options_.uac : options_.uas;
  sockaddr_storage address{};
  side.remote_length =
      remote.has_value()
          ? remote->ToSockaddr(Endpoint{ip, Port()}.family(), &address)
          : 0;
  std::memcpy(&side.remote, &address, sizeof side.remote);
}

bool SipMedia::Begin(uint32_t number, uint64_t now_ns) {
  const uint32_t index = PlaceOf(number);
  CHECK(index != kNone && places_[index].state == State::kHeld);
  Place& place = places_[index];
  if (place.sides[kCaller].remote_length == 0 ||
      place.sides[kCallee].remote_length == 0) {
    calls_.media_failed.Add(1);
    Release(index);
    return false;
  }
  calls_.media_calls.Add(1);
  place.state = State::kTalking;
  place.due_ns = now_ns + kPacketNs;
  Push(&talking_, index);
  return true;
}

void SipMedia::Free(uint32_t number) {
  const uint32_t place = PlaceOf(number);
  if (place == kNone) return;
  if (places_[place].state == State::kHeld) return Release(place);
  // It stands in the line of those that talk.
  places_[place].state = State::kLeft;
}

void SipMedia::Release(uint32_t place) {
  places_[place].state = State::kFree;
  Push(&free_, place);
}

uint32_t SipMedia::Work(uint64_t now_ns) {
  over_.clear();
  // Who has been waited for is decided by what has come.
  const uint32_t received = Receive();
  return received + SendDue(now_ns);
}

uint64_t SipMedia::next_due_ns() const {
  return talking_.first == kNone ? UINT64_MAX : places_[talking_.first].due_ns;
}

uint32_t SipMedia::SendDue(uint64_t now_ns) {
  uint32_t turns = 0;
  for (; turns < kTurnsAWork && next_due_ns() <= now_ns; ++turns) {
    const uint32_t index = Pop(&talking_);
    Place& place = places_[index];
    if (place.state == State::kLeft) {
      Release(index);
      continue;
    }
    if (shortened_) place.packets = std::min(place.packets, place.turns);
    if (place.turns >= place.packets && IsOver(place)) {
      over_.push_back(place.number);
      Release(index);
      continue;
    }
    if (place.turns < place.packets) {
      Send(place, kCaller);
      Send(place, kCallee);
    }
    ++place.turns;
    // Sending catches up with the clock; waiting behind it has its full time.
    if (place.turns >= place.packets) {
      place.due_ns = std::max(place.due_ns, now_ns);
    }
    place.due_ns += kPacketNs;
    Push(&talking_, index);
  }
  return turns;
}

bool SipMedia::IsOver(const Place& place) {
  return (place.sides[kCaller].received == place.packets &&
          place.sides[kCallee].received == place.packets) ||
         place.turns >= place.packets + kDrainTurns;
}

// What the kernel refuses counts as sent and so as lost, besides being counted
// as refused.
void SipMedia::Send(Place& place, Party party) {
  const Side& side = place.sides[party];
  Probe probe;
  probe.direction = party;
  probe.run = options_.run;
  probe.session = place.number;
  probe.sequence = place.turns;
  probe.slot = kNoSlot;
  probe.timestamp = place.turns * (kPacketBytes - 12);
  probe.sent_ns = NowNs();
  std::array<uint8_t, kPacketBytes> packet;
  WriteProbe(probe, packet);
  packets_.sent.Add(1);
  ssize_t sent;
  do {
    sent = ::sendto(side.fd.get(), packet.data(), packet.size(), 0,
                    reinterpret_cast<const sockaddr*>(&side.remote),
                    side.remote_length);
  } while (sent < 0 && errno == EINTR);
  if (sent < 0) packets_.send_refused.Add(1);
}

uint32_t SipMedia::Receive() {
  std::array<epoll_event, kReceivesAWork> events;
  // One octet more than a packet of ours has: a longer one is none.
  std::array<uint8_t, kPacketBytes + 1> packet;
  const int n = ::epoll_wait(epoll_.get(), events.data(), kReceivesAWork, 0);
  uint32_t received = 0;
  for (int i = 0; i < n; ++i) {
    const uint32_t at = events[static_cast<size_t>(i)].data.u32;
    Place& place = places_[at / 2];
    sockaddr_in6 source{};
    socklen_t length = sizeof source;
    // What waits behind it makes the socket readable again.
    const ssize_t octets =
        ::recvfrom(place.sides[at % 2].fd.get(), packet.data(), packet.size(),
                   0, reinterpret_cast<sockaddr*>(&source), &length);
    if (octets < 0) continue;
    ++received;
    OnPacket(place, static_cast<Party>(at % 2),
             std::span(packet.data(), static_cast<size_t>(octets)), source);
  }
  return received;
}

void SipMedia::OnPacket(Place& place, Party party,
                        std::span<const uint8_t> packet,
                        const sockaddr_in6& source) {
  const std::optional<Probe> probe = ReadProbe(packet);
  if (!probe.has_value()) return packets_.corrupted.Add(1);
  if (probe->run != options_.run) return packets_.foreign.Add(1);
  Side& side = place.sides[party];
  const bool here = probe->session == place.number;
  if (probe->kind != ProbeKind::kRtp || probe->direction != (party ^ 1) ||
      (!here && probe->session != place.before)) {
    return packets_.misrouted.Add(1);
  }
  if (!here || place.state != State::kTalking) return calls_.media_late.Add(1);
  if (!SameAddress(source, side.remote)) packets_.wrong_source.Add(1);
  if (!CountArrival(side.judge.OnSequence(probe->sequence), packets_)) return;
  ++side.received;
  packets_.received.Add(1);
  delay_ns_.Record(NowNs() - probe->sent_ns);
}

uint64_t SipMedia::ReceiveDrops() const {
  uint64_t drops = 0;
  for (const Place& place : places_) {
    for (const Side& side : place.sides) drops += ReceiveDropsOf(side.fd.get());
  }
  return drops;
}

}  // namespace sluice::load
