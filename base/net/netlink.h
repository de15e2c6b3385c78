#ifndef SLUICE_BASE_NET_NETLINK_H_
#define SLUICE_BASE_NET_NETLINK_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <type_traits>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/address.h"
#include "base/net/fd.h"

// Speaking with the kernel about routes, neighbours and devices (netlink, RFC
// 3549), as much of it as this program needs.
//
//   datagram   = message ...
//   message    = | length | type, flags | sequence | port | payload | pad to 4
//   payload    = fixed header (rtmsg, ndmsg, ifinfomsg, genlmsghdr) | pad to 4
//                | attribute ...
//   attribute  = | length, type | octets | pad to 4
//
// Numbers are in the machine's order but for addresses. The kernel is trusted,
// its messages are read as if it were not: no length is believed further than
// there are octets, and whatever does not add up is `damaged`.
namespace sluice::net::netlink {

using Octets = std::span<const uint8_t>;
using Mac = std::array<uint8_t, 6>;

// --- Reading. Spans last as long as the octets they were given -------------

// `type` is without the bits for nesting and byte order.
struct Attribute {
  uint16_t type = 0;
  Octets octets{};

  // nullopt: not of the length that such a thing has.
  std::optional<uint16_t> AsU16() const;
  std::optional<uint32_t> AsU32() const;
  std::optional<uint64_t> AsU64() const;
  std::optional<IpAddress> AsAddress() const;  // 4 octets or 16
  std::optional<Mac> AsMac() const;            // 6 octets: Ethernet's
  std::string AsText() const;                  // up to the first NUL
};

// Those of a message, or of a nested attribute.
class Attributes {
 public:
  explicit Attributes(Octets octets) : rest_(octets) {}
  // nullopt: no more, or damaged() from here on.
  std::optional<Attribute> Next();
  bool damaged() const { return damaged_; }

 private:
  Octets rest_;
  bool damaged_ = false;
};

// Lengths in messages are rounded up to whole words.
constexpr size_t Aligned(size_t octets) { return (octets + 3) & ~size_t{3}; }

struct Message {
  uint16_t type = 0;
  uint16_t flags = 0;
  uint32_t sequence = 0;
  Octets payload{};

  // The fixed header that its type begins with; nullopt: too short for it.
  template <typename T>
  std::optional<T> Header() const {
    static_assert(std::is_trivially_copyable_v<T>);
    if (payload.size() < sizeof(T)) return std::nullopt;
    T header;
    std::memcpy(&header, payload.data(), sizeof(T));
    return header;
  }
  template <typename T>
  Attributes AttributesAfter() const {
    return Attributes(payload.subspan(payload.size() < Aligned(sizeof(T))
                                          ? payload.size()
                                          : Aligned(sizeof(T))));
  }
};

// Those of a datagram.
class Messages {
 public:
  explicit Messages(Octets octets) : rest_(octets) {}
  // nullopt: no more, or damaged() from here on.
  std::optional<Message> Next();
  bool damaged() const { return damaged_; }

 private:
  Octets rest_;
  bool damaged_ = false;
};

// What RTM_*ROUTE says, as much as is wanted here.
struct Route {
  uint8_t type = 0;  // RTN_*
  uint32_t flags = 0;
  int ifindex = 0;  // 0: it names none
  std::optional<IpAddress> gateway{};
  uint32_t mtu = 0;  // 0: it has none of its own
};
// RTM_*NEIGH.
struct Neighbour {
  int ifindex = 0;
  IpAddress ip{};
  uint16_t state = 0;  // NUD_*
  std::optional<Mac> mac{};
};
// RTM_*LINK.
struct Link {
  int ifindex = 0;
  uint16_t hardware = 0;  // ARPHRD_*
  uint32_t flags = 0;     // IFF_*
  uint32_t mtu = 0;
  std::optional<Mac> mac{};
  std::string name{};
  friend bool operator==(const Link&, const Link&) = default;
};
// nullopt: damaged, or, for a neighbour, not one of IPv4 or IPv6.
std::optional<Route> ReadRoute(const Message& message);
std::optional<Neighbour> ReadNeighbour(const Message& message);
std::optional<Link> ReadLink(const Message& message);

// --- Asking ----------------------------------------------------------------

// A request being put together. All of ours are short and their attributes are
// of our choice, so running out of room is a bug.
class Request {
 public:
  // `type`: RTM_*, or a generic family's number. `flags`: NLM_F_*;
  // NLM_F_REQUEST is added.
  template <typename T>
  Request(uint16_t type, uint16_t flags, const T& header)
      : Request(type, flags) {
    static_assert(std::is_trivially_copyable_v<T>);
    Put(&header, sizeof(header));
  }
  Request& Add(uint16_t type, Octets octets);
  Request& AddU8(uint16_t type, uint8_t value);
  Request& AddU32(uint16_t type, uint32_t value);
  Request& AddAddress(uint16_t type, const IpAddress& ip);  // 4 octets or 16

  // With its length and the sequence number written.
  Octets Finish(uint32_t sequence);
  bool wants_ack() const;
  bool wants_dump() const;

 private:
  static constexpr size_t kOctetsMax = 256;

  Request(uint16_t type, uint16_t flags);
  void Put(const void* octets, size_t size);  // and the padding after it

  alignas(4) std::array<uint8_t, kOctetsMax> octets_{};
  size_t size_ = 0;
};

// Called with each message; its octets are gone when it returns.
using Visit = absl::FunctionRef<void(const Message&)>;

// A socket that asks and waits for the answer. The kernel has put it (of a
// dump, its first part) in the queue when sending returns, so this is a system
// call or two, not a wait; should it not be there, Ask gives up after
// kAnswerWaitMs.
//
// A request that changes or reads devices may have to wait in the kernel for
// whoever configures the network at the moment.
//
// Thread: one.
class Requester {
 public:
  static constexpr int kAnswerWaitMs = 200;

  // `protocol`: NETLINK_ROUTE or NETLINK_GENERIC.
  static absl::StatusOr<Requester> Open(int protocol);

  // What the kernel made of it: 0, or its errno. `visit` is called with the
  // answer, or with each message of a dump (NLM_F_DUMP). A Status: there was no
  // answer. Aborted: what was dumped changed meanwhile, ask again; DataLoss:
  // the answer was damaged.
  absl::StatusOr<int> Ask(Request& request, Visit visit);

 private:
  explicit Requester(Fd fd);

  Fd fd_;
  uint32_t sequence_ = 0;
  std::unique_ptr<uint8_t[]> buffer_;
};

// Questions of which the answer is one thing, read into `answer`. The int is 0
// or the kernel's errno, EBADMSG for an answer that cannot be read; a Status is
// as of Ask.

// The way of a UDP packet from a local address (the wildcard: any) to another,
// as the kernel would choose it now. ENETUNREACH: none; EHOSTUNREACH, EACCES,
// EINVAL: a route that says unreachable, prohibit, blackhole.
absl::StatusOr<int> GetRoute(Requester& requester, const IpAddress& from,
                             const IpAddress& to, Route* answer);
// ENODEV: no such device.
absl::StatusOr<int> GetLink(Requester& requester, int ifindex, Link* answer);
// ENOENT: no such entry.
absl::StatusOr<int> GetNeighbour(Requester& requester, int ifindex,
                                 const IpAddress& ip, Neighbour* answer);
// As if a packet had been sent to it: an entry that is missing or has failed is
// resolved, a stale one is probed unless something confirms it soon. It changes
// nothing of an entry, but that a permanent one loses its state: do not use it
// on those. EPERM: needs CAP_NET_ADMIN.
absl::StatusOr<int> UseNeighbour(Requester& requester, int ifindex,
                                 const IpAddress& ip);

// A socket that hears what changes.
//
// Thread: one.
class Listener {
 public:
  // kLost: something was said and is gone (the queue ran over, a message was
  // damaged); what is known of everything is to be asked for again.
  enum class Heard { kNothing, kMessages, kLost };

  // Not blocking. `groups`: RTNLGRP_*. Those of `optional`, if the kernel has
  // them. `buffer_bytes`: of its queue.
  static absl::StatusOr<Listener> Open(std::span<const unsigned> groups,
                                       std::span<const unsigned> optional,
                                       int buffer_bytes);

  int fd() const { return fd_.get(); }
  // Takes one datagram. After kLost there may be more.
  Heard Receive(Visit visit);

 private:
  explicit Listener(Fd fd);

  Fd fd_;
  std::unique_ptr<uint8_t[]> buffer_;
};

}  // namespace sluice::net::netlink

#endif  // SLUICE_BASE_NET_NETLINK_H_
