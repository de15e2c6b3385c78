#ifndef SLUICE_SIP_RESOLVER_H_
#define SLUICE_SIP_RESOLVER_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/address.h"
#include "base/net/event_loop.h"
#include "base/types.h"
#include "sip/fields.h"

namespace sluice::sip {

// One place a request may go to, best first in a list.
struct Destination {
  Transport transport = Transport::kUdp;
  Endpoint address{};
  // The SIP domain asked for, which a certificate must name (RFC 5922 7.1);
  // for TLS only.
  std::string tls_name{};
  friend bool operator==(const Destination&, const Destination&) = default;
};

// From a name to addresses (RFC 3263): NAPTR, SRV, A and AAAA over c-ares on
// our loop; never blocks.
//
// Which records: a literal: none. A port given: A/AAAA. No port but a
// transport: SRV. Neither: NAPTR, then SRV for each transport that is allowed,
// then A/AAAA with the default port. A service that its domain says it has not
// (SRV target ".") is not looked for at the host.
//
// Which transport where nothing says it: UDP where it is allowed, else TCP,
// else TLS; for sips only TLS. Targets where services are named: as NAPTR has
// them, else UDP, TCP, TLS.
//
// Order: by SRV priority, within one by a draw that honours weights (RFC 2782);
// of one host IPv6 first (RFC 6724 2.1), the addresses of a family by a draw.
//
// Answers are kept for their TTL (between 1 s and 1 h), refusals for 30 s,
// failures of the servers for 5 s; the cache holds at most kNamesMax, the least
// lately used goes. The same name is asked for once, however many wait for it.
//
// What answers may make us do is bounded: of one question at most kTargetsMax
// hosts are looked up and kDestinationsMax places are told.
//
// Nobody's names take the room of everybody's. Who asks is not known here, but
// whoever wants questions to last needs name servers that do not answer, and
// those are of domains (the last two labels of a name). When kPendingMax wait,
// the oldest question of the domain that has the most of them is given up for
// one of a domain that has fewer; one of the domain itself is refused.
//
// Thread: the loop's.
class Resolver {
 public:
  static constexpr size_t kNamesMax = 4'096;
  static constexpr size_t kPendingMax = 1'024;  // questions at once
  static constexpr size_t kTargetsMax = 8;
  static constexpr size_t kDestinationsMax = 32;
  struct Options {
    std::vector<Endpoint> servers{};  // empty: the system's (resolv.conf)
    // Names that are asked for nowhere else; "": none.
    std::string hosts_file = "/etc/hosts";
    // Of the first try; twice as long for each further one.
    Micros timeout = Micros::Seconds(2);
    int tries = 2;
    uint64_t seed = 0;  // of the draw by weight; 0: from the kernel's source
  };
  struct Question {
    std::string host;   // a name, or a literal (without brackets)
    uint16_t port = 0;  // 0: none given
    bool sips = false;  // only TLS
    std::optional<Transport> transport{};  // named in the URI
    std::vector<Transport> allowed{};  // what our legs can speak; empty: all
    bool ipv4 = true, ipv6 = true;     // families of our legs
    // What the draws go by: the same number, the same order as long as the
    // records are the same, however they are sorted. A stateless proxy sends a
    // retransmission, a CANCEL and an ACK where the INVITE went (RFC 3263 4.3),
    // so it gives what those have in common. 0: by chance.
    uint64_t draw = 0;
  };
  // NotFound (no such name, no such service, nothing that is allowed),
  // DeadlineExceeded (servers do not answer, or with failures),
  // ResourceExhausted (kPendingMax, or given up for another domain's),
  // InvalidArgument (no name).
  using Answer = std::function<void(absl::StatusOr<std::vector<Destination>>)>;

  // `loop` outlives it.
  static absl::StatusOr<std::unique_ptr<Resolver>> Create(
      net::EventLoop& loop, const Options& options);
  ~Resolver();

  // `answer` is called exactly once, perhaps before this returns (a literal, a
  // name in the cache); but never after the end of this object, which `answer`
  // must not bring about.
  void Resolve(const Question& question, Answer answer);

  struct Counters {          // monotonic
    uint64_t questions = 0;  // Resolve()
    // Lookups, of which a question has several: from the cache; asked of the
    // servers; of those the ones that no server answered in time.
    uint64_t cache_hits = 0, queries = 0, timeouts = 0;
    // Questions that ended without a destination; apart from those for want of
    // room: refused, and given up for another domain's.
    uint64_t failures = 0, refused_full = 0, given_up = 0;
  };
  Counters counters() const;
  size_t names() const;  // in the cache

 private:
  class Impl;
  explicit Resolver(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace sluice::sip

#endif  // SLUICE_SIP_RESOLVER_H_
