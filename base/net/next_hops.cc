#include "base/net/next_hops.h"

#include <linux/neighbour.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <sys/epoll.h>

#include <algorithm>
#include <cerrno>
#include <system_error>

#include "base/check.h"
#include "base/log.h"
#include "base/status_macros.h"
#include "base/text.h"

namespace sluice::net {
namespace {

// <net/if.h>, which has the flags of old, and <linux/if.h>, which has this one,
// do not go together.
constexpr uint32_t kLowerUp = 1 << 16;  // IFF_LOWER_UP: there is a carrier

constexpr uint16_t kUsableStates = NUD_REACHABLE | NUD_STALE | NUD_DELAY |
                                   NUD_PROBE | NUD_PERMANENT | NUD_NOARP;
// The operator's word: nothing is to be confirmed. Asking would even harm: of a
// permanent entry NTF_USE takes the state away.
constexpr uint16_t kFixedStates = NUD_PERMANENT | NUD_NOARP;

constexpr unsigned kGroups[] = {RTNLGRP_LINK,        RTNLGRP_NEIGH,
                                RTNLGRP_IPV4_IFADDR, RTNLGRP_IPV6_IFADDR,
                                RTNLGRP_IPV4_ROUTE,  RTNLGRP_IPV6_ROUTE,
                                RTNLGRP_IPV4_RULE,   RTNLGRP_IPV6_RULE};
// Next hops as things of their own, since Linux 5.3: routes may change by them
// without a word about the route.
constexpr unsigned kOptionalGroups[] = {RTNLGRP_NEXTHOP};

std::string ErrnoText(int error) {
  return std::system_category().message(error);
}

}  // namespace

enum class NextHops::Lack : uint8_t {
  kNone,
  // Of the route.
  kLinkLocal,
  kNoRoute,
  kNotOurs,
  kUnreachable,
  kProhibited,
  kBlackhole,
  kRefused,
  kLocal,
  kNotUnicast,
  // Of the device.
  kNoDevice,
  kDown,
  kNoCarrier,
  kNotEthernet,
  // Of the neighbour.
  kAsking,
  kMayNotAsk,
  kNoAnswer,
};

// What a route lookup came to.
struct NextHops::Way {
  Lack lack = Lack::kNoRoute;  // kNone: by `key`
  int error = 0;               // the kernel's, where it gave no route
  NeighbourKey key{};
  uint32_t mtu = 0;  // of the route, 0: it has none of its own
};

struct NextHops::Device {
  int ifindex = 0;
  bool looked_at = false;
  std::optional<netlink::Link> link{};  // nullopt: there is none
  // Those by it, and of them who has not heard yet that it has changed.
  Place<Neighbour> neighbours{nullptr};
  Place<Neighbour> untold{nullptr};
  bool due = false;
  Place<Device> turn{this};
  Place<Device> telling{this};

  Lack Judge() const {
    if (!link) return Lack::kNoDevice;
    if (link->hardware != ARPHRD_ETHER || !link->mac) return Lack::kNotEthernet;
    if ((link->flags & IFF_UP) == 0) return Lack::kDown;
    return (link->flags & kLowerUp) == 0 ? Lack::kNoCarrier : Lack::kNone;
  }
};

struct NextHops::Neighbour {
  NeighbourKey key{};
  Device* device = nullptr;
  uint16_t state = NUD_NONE;
  std::optional<netlink::Mac> mac{};  // nullopt: not usable
  int refused = 0;                    // errno of the last time it was asked for
  Place<Neighbour> among{this};       // of the device's
  Place<Pair> pairs{nullptr};         // as the device's
  Place<Pair> untold{nullptr};
  bool due = false;
  uint64_t round = 0;  // due, too, if it is not the current one
  Place<Neighbour> turn{this};
  Place<Neighbour> telling{this};

  // When it is next to be found or confirmed.
  Micros next_ask{};
  Micros last_ask{};
  Micros ask_again = kAskAgain;
  Micros timer_due{};
  EventLoop::TimerId timer = 0;  // 0: not running

  bool fixed() const { return (state & kFixedStates) != 0; }
};

struct NextHops::Pair {
  Id id = 0;
  IpAddress from{};
  IpAddress to{};
  uint32_t uses = 1;
  Way way{};
  Neighbour* neighbour = nullptr;  // unless way.lack
  std::optional<NextHop> told{};
  Place<Pair> among{this};  // of the neighbour's
  Place<Pair> turn{this};
};

absl::StatusOr<std::unique_ptr<NextHops>> NextHops::Create(EventLoop& loop,
                                                           Changed changed) {
  return Create(loop, std::move(changed), Options());
}

absl::StatusOr<std::unique_ptr<NextHops>> NextHops::Create(
    EventLoop& loop, Changed changed, const Options& options) {
  // Listening begins before the first question: what changes after an answer is
  // heard of.
  ASSIGN_OR_RETURN(netlink::Listener events,
                   netlink::Listener::Open(kGroups, kOptionalGroups,
                                           options.event_buffer_bytes));
  ASSIGN_OR_RETURN(netlink::Requester requester,
                   netlink::Requester::Open(NETLINK_ROUTE));
  std::unique_ptr<NextHops> made(new NextHops(
      loop, std::move(changed), std::move(requester), std::move(events)));
  NextHops* hops = made.get();
  RETURN_IF_ERROR(loop.Add(hops->events_.fd(), EPOLLIN,
                           [hops](uint32_t) { hops->OnEvents(); }));
  return made;
}

NextHops::NextHops(EventLoop& loop, Changed changed,
                   netlink::Requester requester, netlink::Listener events)
    : loop_(loop),
      changed_(std::move(changed)),
      self_(std::make_shared<NextHops*>(this)),
      requester_(std::move(requester)),
      events_(std::move(events)) {}

NextHops::~NextHops() {
  loop_.Remove(events_.fd());
  loop_.Cancel(gather_);
  loop_.Cancel(retry_);
  for (const auto& [key, neighbour] : neighbours_) {
    loop_.Cancel(neighbour->timer);
  }
}

// --- What is watched --------------------------------------------------------

absl::StatusOr<NextHops::Id> NextHops::Watch(const IpAddress& from,
                                             const IpAddress& to) {
  if (to.is_any()) {
    return absl::InvalidArgumentError("next hop: there is no address to go to");
  }
  if (!from.is_any() && from.is_v4() != to.is_v4()) {
    return absl::InvalidArgumentError(Cat("next hop: ", from.ToString(),
                                          " is of another family than ",
                                          to.ToString()));
  }
  if (const auto known = ids_.find({from, to}); known != ids_.end()) {
    ++pairs_.at(known->second)->uses;
    return known->second;
  }
  if (pairs_.size() >= kWatchesMax) {
    return absl::ResourceExhaustedError(
        Cat("next hop: ", kWatchesMax, " ways are watched already"));
  }
  auto pair = std::make_unique<Pair>();
  pair->from = from;
  pair->to = to;
  RETURN_IF_ERROR(LookUp(*pair));
  do {
    ++last_id_;
  } while (last_id_ == 0 || pairs_.contains(last_id_));
  pair->id = last_id_;
  if (NextHop hop; Judge(*pair, &hop) == Lack::kNone) pair->told = hop;
  pair->turn.Join(pairs_resting_);
  ids_.emplace(std::pair(from, to), last_id_);
  pairs_.emplace(last_id_, std::move(pair));
  return last_id_;
}

void NextHops::Release(Id id) {
  const auto found = pairs_.find(id);
  CHECK(found != pairs_.end());
  Pair& pair = *found->second;
  if (--pair.uses != 0) return;
  GoBy(pair, nullptr);
  ids_.erase({pair.from, pair.to});
  pairs_.erase(found);
}

const NextHops::Pair& NextHops::At(Id id) const {
  const auto found = pairs_.find(id);
  CHECK(found != pairs_.end());
  return *found->second;
}

// What was told last, or in a turn between a change and its telling somebody
// could see an answer that is taken back unsaid.
std::optional<NextHop> NextHops::Find(Id id) const { return At(id).told; }

NextHops::Stats NextHops::stats() const {
  Stats stats = stats_;
  stats.watches = pairs_.size();
  stats.neighbours = neighbours_.size();
  return stats;
}

NextHops::Lack NextHops::LackOf(int error) {
  switch (error) {
    case ENETUNREACH: return Lack::kNoRoute;
    case EHOSTUNREACH: return Lack::kUnreachable;
    case EACCES: return Lack::kProhibited;
    case EINVAL: return Lack::kBlackhole;
    default: return Lack::kRefused;
  }
}

NextHops::Lack NextHops::LackOf(const netlink::Route& route) {
  switch (route.type) {
    case RTN_UNICAST: return route.ifindex > 0 ? Lack::kNone : Lack::kNoRoute;
    case RTN_LOCAL: return Lack::kLocal;
    case RTN_BLACKHOLE: return Lack::kBlackhole;
    case RTN_UNREACHABLE: return Lack::kUnreachable;
    case RTN_PROHIBIT: return Lack::kProhibited;
    default: return Lack::kNotUnicast;
  }
}

NextHops::Lack NextHops::Judge(const Pair& pair, NextHop* hop) const {
  if (pair.way.lack != Lack::kNone) return pair.way.lack;
  const Neighbour& neighbour = *pair.neighbour;
  const Device& device = *neighbour.device;
  if (const Lack lack = device.Judge(); lack != Lack::kNone) return lack;
  if (!neighbour.mac) {
    if ((neighbour.state & NUD_FAILED) != 0) return Lack::kNoAnswer;
    return neighbour.refused != 0 ? Lack::kMayNotAsk : Lack::kAsking;
  }
  const uint32_t device_mtu = device.link->mtu;
  *hop = {.ifindex = device.ifindex,
          .via = neighbour.key.ip,
          .neighbour = *neighbour.mac,
          .own = *device.link->mac,
          .mtu = pair.way.mtu != 0 ? std::min(pair.way.mtu, device_mtu)
                                   : device_mtu};
  return Lack::kNone;
}

std::string NextHops::Why(Id id) const {
  const Pair& pair = At(id);
  if (pair.told) return "";
  NextHop unused;
  const Lack lack = Judge(pair, &unused);
  const std::string to = pair.to.ToString();
  std::string device, via;
  if (pair.neighbour != nullptr) {
    via = pair.neighbour->key.ip.ToString();
    const auto& link = pair.neighbour->device->link;
    device = link ? link->name : Cat(pair.neighbour->key.ifindex);
  }
  switch (lack) {
    case Lack::kNone: return "it has just been found";
    case Lack::kLinkLocal:
      return Cat(to, " is link-local, and nothing says on which device");
    case Lack::kNoRoute: return Cat("there is no route to ", to);
    case Lack::kNotOurs:
      return Cat(pair.from.ToString(), " is no address of this machine");
    case Lack::kUnreachable:
      return Cat("the route to ", to, " says that it is unreachable");
    case Lack::kProhibited: return Cat("the route to ", to, " is prohibited");
    case Lack::kBlackhole: return Cat("the route to ", to, " is a blackhole");
    case Lack::kRefused:
      return Cat("the kernel gives no route to ", to, ": ",
                 ErrnoText(pair.way.error));
    case Lack::kLocal: return Cat(to, " is an address of this machine");
    case Lack::kNotUnicast:
      return Cat(to,
                 " is not one host: a multicast, broadcast or anycast "
                 "address");
    case Lack::kNoDevice:
      return Cat("the device ", device, " towards ", to, " is gone");
    case Lack::kDown:
      return Cat("the device ", device, " towards ", to, " is down");
    case Lack::kNoCarrier:
      return Cat("the device ", device, " towards ", to, " has no carrier");
    case Lack::kNotEthernet:
      return Cat("the device ", device, " towards ", to,
                 " has no Ethernet addresses");
    case Lack::kAsking:
      return Cat("the MAC address of ", via, " on ", device,
                 " is not known yet");
    case Lack::kMayNotAsk:
      return Cat("the MAC address of ", via, " on ", device,
                 " is not known, and the kernel does not look for it: ",
                 ErrnoText(pair.neighbour->refused),
                 pair.neighbour->refused == EPERM ? " (CAP_NET_ADMIN)" : "");
    case Lack::kNoAnswer:
      return Cat(via, " on ", device,
                 " does not answer when asked for its MAC "
                 "address");
  }
  CHECK(false);
}

NextHops::Neighbour& NextHops::NeighbourAt(const NeighbourKey& key) {
  if (const auto known = neighbours_.find(key); known != neighbours_.end()) {
    return *known->second;
  }
  Device& device = DeviceAt(key.ifindex);
  Neighbour& neighbour =
      *neighbours_.emplace(key, std::make_unique<Neighbour>()).first->second;
  neighbour.key = key;
  neighbour.device = &device;
  neighbour.among.Join(device.neighbours);
  neighbour.round = neighbour_round_;
  neighbour.turn.Join(neighbours_resting_);
  neighbour.next_ask = loop_.now();
  if (!Refresh(neighbour).ok()) Due(neighbour);
  return neighbour;
}

NextHops::Device& NextHops::DeviceAt(int ifindex) {
  if (const auto known = devices_.find(ifindex); known != devices_.end()) {
    return *known->second;
  }
  Device& device =
      *devices_.emplace(ifindex, std::make_unique<Device>()).first->second;
  device.ifindex = ifindex;
  if (!Refresh(device).ok()) Due(device);
  return device;
}

void NextHops::GoBy(Pair& pair, Neighbour* neighbour) {
  Neighbour* const before = pair.neighbour;
  if (before == neighbour) return;
  pair.among.Leave();
  pair.neighbour = neighbour;
  if (neighbour != nullptr) pair.among.Join(neighbour->pairs);
  if (before == nullptr || !before->pairs.empty() || !before->untold.empty()) {
    return;
  }
  loop_.Cancel(before->timer);
  const Device& device = *before->device;
  neighbours_.erase(NeighbourKey(before->key));
  if (!device.neighbours.empty() || !device.untold.empty()) return;
  devices_.erase(int{device.ifindex});
}

// --- Asking the kernel ------------------------------------------------------

absl::StatusOr<int> NextHops::Said(absl::StatusOr<int> said) {
  if (said.ok()) return said;
  ++stats_.failures;
  log::Line("next_hop_request_failed")
      .With("error", said.status().ToString())
      .WarnLimited();
  return said;
}

absl::StatusOr<NextHops::Way> NextHops::FindWay(const IpAddress& from,
                                                const IpAddress& to) {
  Way way;
  // Every device has a route to all of fe80::/10, and the first would be taken.
  if (!to.is_v4() && to.is_link_local()) {
    way.lack = Lack::kLinkLocal;
    return way;
  }
  netlink::Route route;
  ASSIGN_OR_RETURN(way.error,
                   Said(netlink::GetRoute(requester_, from, to, &route)));
  if (way.error != 0 && to.is_v4() && !from.is_any()) {
    // For IPv4 the kernel refuses a source that is not ours, with the errno of
    // another reason.
    netlink::Route unused;
    ASSIGN_OR_RETURN(
        const int without,
        Said(netlink::GetRoute(requester_, IpAddress(), to, &unused)));
    if (without == 0) {
      way.lack = Lack::kNotOurs;
      return way;
    }
  }
  way.lack = way.error == 0 ? LackOf(route) : LackOf(way.error);
  way.key = {.ifindex = route.ifindex, .ip = route.gateway.value_or(to)};
  way.mtu = route.mtu;
  return way;
}

absl::Status NextHops::LookUp(Pair& pair) {
  ++stats_.route_lookups;
  ASSIGN_OR_RETURN(pair.way, FindWay(pair.from, pair.to));
  GoBy(pair,
       pair.way.lack == Lack::kNone ? &NeighbourAt(pair.way.key) : nullptr);
  return absl::OkStatus();
}

absl::Status NextHops::Refresh(Device& device) {
  netlink::Link answer;
  ASSIGN_OR_RETURN(const int error,
                   Said(netlink::GetLink(requester_, device.ifindex, &answer)));
  std::optional<netlink::Link> link;
  if (error == 0) link = std::move(answer);
  const bool first = !std::exchange(device.looked_at, true);
  if (!first && link == device.link) return absl::OkStatus();
  device.link = std::move(link);
  if (first) return absl::OkStatus();
  TellOf(device);
  // With a device that goes down the kernel drops IPv4 routes without a word.
  LookAtRoutesSoon();
  return absl::OkStatus();
}

absl::Status NextHops::Refresh(Neighbour& neighbour) {
  netlink::Neighbour answer;
  ASSIGN_OR_RETURN(const int error,
                   Said(netlink::GetNeighbour(requester_, neighbour.key.ifindex,
                                              neighbour.key.ip, &answer)));
  neighbour.state = error == 0 ? answer.state : uint16_t{NUD_NONE};
  std::optional<netlink::Mac> mac;
  // All zeros is what a device without addresses fills in.
  if ((neighbour.state & kUsableStates) != 0 && answer.mac != netlink::Mac{}) {
    mac = answer.mac;
  }
  const auto before = std::exchange(neighbour.mac, mac);
  if (mac != before) TellOf(neighbour);

  const Micros now = loop_.now();
  if (mac) {
    neighbour.ask_again = kAskAgain;
    neighbour.refused = 0;
    if (!before) neighbour.next_ask = now + kConfirm;
  } else if (before) {
    // At once, unless it comes and goes.
    neighbour.next_ask =
        std::max(now, neighbour.last_ask + neighbour.ask_again);
  }
  if (now >= neighbour.next_ask) {
    neighbour.next_ask = now + kConfirm;
    if (!neighbour.fixed() && neighbour.device->Judge() == Lack::kNone) {
      if (!mac) {
        neighbour.next_ask = now + neighbour.ask_again;
        neighbour.ask_again =
            std::min(neighbour.ask_again + neighbour.ask_again, kConfirm);
      }
      neighbour.last_ask = now;
      ++stats_.asked;
      ASSIGN_OR_RETURN(neighbour.refused, Said(netlink::UseNeighbour(
                                              requester_, neighbour.key.ifindex,
                                              neighbour.key.ip)));
    }
  }
  SetTimer(neighbour);
  return absl::OkStatus();
}

void NextHops::SetTimer(Neighbour& neighbour) {
  if (neighbour.timer != 0 && neighbour.timer_due == neighbour.next_ask) return;
  loop_.Cancel(neighbour.timer);
  neighbour.timer_due = neighbour.next_ask;
  neighbour.timer = loop_.After(
      std::max(neighbour.next_ask - loop_.now(), Micros()), [this, &neighbour] {
        neighbour.timer = 0;
        Due(neighbour);
      });
}

// --- Work, a slice a turn ---------------------------------------------------

void NextHops::WorkSoon() {
  if (work_posted_ || retry_ != 0) return;
  work_posted_ = true;
  const auto work = [self = std::weak_ptr<NextHops*>(self_)] {
    if (const auto hops = self.lock()) (*hops)->Work();
  };
  // Refused when others have filled the loop's queue: then a little later.
  if (!loop_.Post(work)) loop_.After(Micros::Millis(10), work);
}

void NextHops::Work() {
  work_posted_ = false;
  if (retry_ != 0) return;
  bool worked = true;
  for (size_t i = 0; i < kSlice && worked; ++i) {
    if (WorkOnce(&worked).ok()) continue;
    // Each further request would wait as long in vain.
    retry_ = loop_.After(kRetry, [this] {
      retry_ = 0;
      WorkSoon();
    });
    return;
  }
  if (worked) return WorkSoon();
  if (pass_began_ == Micros()) return;
  const Micros took = loop_.now() - std::exchange(pass_began_, Micros());
  // The cap first: it may have lasted a suspended machine's night.
  next_pass_ =
      loop_.now() +
      std::min(Micros(std::min(took, kRestMax).us() * kRest), kRestMax);
}

// In the order in which answers stand on each other, so that a change of a
// device that takes its neighbours along is told once.
absl::Status NextHops::WorkOnce(bool* worked) {
  *worked = true;
  if (Device* device = devices_due_.front()) {
    device->turn.Leave();
    device->due = false;
    absl::Status status = Refresh(*device);
    if (!status.ok()) Due(*device);
    return status;
  }
  if (Device* device = devices_telling_.front()) {
    if (Neighbour* neighbour = device->untold.front()) {
      neighbour->among.Join(device->neighbours);
      TellOf(*neighbour);
      if (neighbour->mac || device->Judge() != Lack::kNone) {
        return absl::OkStatus();
      }
      // Perhaps it could not be asked for before.
      neighbour->ask_again = kAskAgain;
      neighbour->next_ask =
          std::max(loop_.now(), neighbour->last_ask + kAskAgain);
      Due(*neighbour);
    } else {
      device->telling.Leave();
    }
    return absl::OkStatus();
  }
  if (Neighbour* neighbour = neighbours_due_.front()) {
    neighbour->turn.Join(neighbours_resting_);
    neighbour->due = false;
    neighbour->round = neighbour_round_;
    absl::Status status = Refresh(*neighbour);
    if (!status.ok()) Due(*neighbour);
    return status;
  }
  if (Neighbour* neighbour = neighbours_telling_.front()) {
    if (Pair* pair = neighbour->untold.front()) {
      pair->among.Join(neighbour->pairs);
      Tell(*pair);
    } else {
      neighbour->telling.Leave();
    }
    return absl::OkStatus();
  }
  if (Pair* pair = pairs_due_.front()) {
    // Without an answer it stays where it is.
    RETURN_IF_ERROR(LookUp(*pair));
    pair->turn.Join(pairs_resting_);
    Tell(*pair);
    return absl::OkStatus();
  }
  *worked = false;
  return absl::OkStatus();
}

void NextHops::Due(Device& device) {
  if (!std::exchange(device.due, true)) device.turn.Join(devices_due_);
  WorkSoon();
}

void NextHops::Due(Neighbour& neighbour) {
  // Not to the end again, or much talk about it would keep it waiting.
  if (!std::exchange(neighbour.due, true) &&
      neighbour.round == neighbour_round_) {
    neighbour.turn.Join(neighbours_due_);
  }
  WorkSoon();
}

void NextHops::TellOf(Device& device) {
  device.untold.TakeAll(device.neighbours);
  if (device.telling.empty()) device.telling.Join(devices_telling_);
  WorkSoon();
}

void NextHops::TellOf(Neighbour& neighbour) {
  neighbour.untold.TakeAll(neighbour.pairs);
  if (neighbour.telling.empty()) neighbour.telling.Join(neighbours_telling_);
  WorkSoon();
}

void NextHops::Tell(Pair& pair) {
  NextHop hop;
  std::optional<NextHop> found;
  if (Judge(pair, &hop) == Lack::kNone) found = hop;
  if (found == pair.told) return;
  pair.told = found;
  // It may release the pair.
  changed_(Id{pair.id}, found);
}

// --- What the kernel says by itself -----------------------------------------

void NextHops::OnEvents() {
  for (int i = 0; i < kEventsPerTurn; ++i) {
    switch (events_.Receive(
        [this](const netlink::Message& message) { OnEvent(message); })) {
      case netlink::Listener::Heard::kNothing: return;
      case netlink::Listener::Heard::kMessages: break;
      case netlink::Listener::Heard::kLost:
        ++stats_.overruns;
        LookAtAllSoon();
        break;
    }
  }
}

void NextHops::OnEvent(const netlink::Message& message) {
  switch (message.type) {
    case RTM_NEWNEIGH:
    case RTM_DELNEIGH: {
      const auto header = message.Header<ndmsg>();
      // The tables of bridges come the same way.
      if (header && header->ndm_family != AF_INET &&
          header->ndm_family != AF_INET6) {
        return;
      }
      const auto said = netlink::ReadNeighbour(message);
      if (!said) return LookAtAllSoon();
      const auto known = neighbours_.find(
          NeighbourKey{.ifindex = said->ifindex, .ip = said->ip});
      if (known == neighbours_.end()) return;
      return Due(*known->second);
    }
    case RTM_NEWLINK:
    case RTM_DELLINK: {
      const auto header = message.Header<ifinfomsg>();
      if (!header) return LookAtAllSoon();
      if (header->ifi_family != AF_UNSPEC) return;  // a bridge's port
      // One that nobody goes by may be a better way now.
      const auto known = devices_.find(header->ifi_index);
      if (known == devices_.end()) return LookAtRoutesSoon();
      return Due(*known->second);
    }
    default: return LookAtRoutesSoon();
  }
}

void NextHops::LookAtAllSoon() {
  everything_ = true;
  LookAtRoutesSoon();
}

void NextHops::LookAtRoutesSoon() {
  if (gather_ != 0) return;
  gather_ = loop_.After(std::max(kGather, next_pass_ - loop_.now()),
                        [this] { OnGathered(); });
}

void NextHops::OnGathered() {
  gather_ = 0;
  if (std::exchange(everything_, false)) {
    for (const auto& [ifindex, device] : devices_) Due(*device);
    ++neighbour_round_;
    neighbours_due_.TakeAll(neighbours_resting_);
  }
  if (pass_began_ == Micros()) pass_began_ = loop_.now();
  pairs_due_.TakeAll(pairs_resting_);
  WorkSoon();
}

}  // namespace sluice::net
