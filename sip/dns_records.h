#ifndef SLUICE_SIP_DNS_RECORDS_H_
#define SLUICE_SIP_DNS_RECORDS_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "base/address.h"

// What the resolver reads out of a DNS message (RFC 1035 4), and in which order
// it is to be tried. Pure: octets in, values out.
namespace sluice::sip::dns {

enum class Type : uint16_t {
  kA = 1,
  kCname = 5,
  kAaaa = 28,
  kSrv = 33,    // RFC 2782
  kNaptr = 35,  // RFC 3403
};

// Of one answer; what is beyond it is not looked at.
inline constexpr size_t kRecordsMax = 32;
inline constexpr size_t kNameOctetsMax = 253;
inline constexpr size_t kLabelOctetsMax = 63;

// Whether it can be asked for: labels of letters, digits, '-' and '_', none of
// them empty, the last one not a number (which would be a broken IPv4 literal).
// One '.' at the end is allowed.
bool IsName(std::string_view text);
// The spelling under which a name is known: lower case, no '.' at the end.
std::string CanonicalName(std::string_view name);

struct Srv {
  uint16_t priority = 0;  // lowest first
  uint16_t weight = 0;
  uint16_t port = 0;
  std::string target;  // canonical; "": there is no such service (RFC 2782)
  friend bool operator==(const Srv&, const Srv&) = default;
};

struct Naptr {
  uint16_t order = 0;                  // lowest first
  uint16_t preference = 0;             // then lowest first
  std::string flags, service, regexp;  // as they came
  std::string replacement;             // canonical; "": none
  friend bool operator==(const Naptr&, const Naptr&) = default;
};

struct Records {
  // One of these, by the type asked for.
  std::vector<IpAddress> addresses;
  std::vector<Srv> srvs;
  std::vector<Naptr> naptrs;
  uint32_t ttl_s = UINT32_MAX;  // the least one on the way, aliases included
  bool empty() const {
    return addresses.empty() && srvs.empty() && naptrs.empty();
  }
};

// The records of `type` that the answer section gives for `name` (canonical) or
// for what it is an alias of. Records for other names are not believed, nor
// such whose names could not be asked for; IPv6 answers that are IPv4 in
// disguise are left out. InvalidArgument for a broken message.
absl::StatusOr<Records> ParseAnswer(std::string_view message,
                                    std::string_view name, Type type);

// The addresses that a hosts file (hosts(5)) gives a name, at most kRecordsMax;
// lines that are none are read over.
std::vector<IpAddress> FindInHosts(std::string_view file,
                                   std::string_view name);

// The order of RFC 2782: by priority; within one by draws, each record as
// likely to be next as its weight is of those left, weight 0 hardly ever before
// others. `draw(n)` is uniform in 0..n. How they were sorted before does not
// matter.
void OrderSrvs(std::vector<Srv>* srvs,
               absl::FunctionRef<uint64_t(uint64_t)> draw);

// Those that lead to an SRV record without rewriting (RFC 3263 4.1), in their
// order.
std::vector<Naptr> TerminalNaptrs(std::vector<Naptr> naptrs);

}  // namespace sluice::sip::dns

#endif  // SLUICE_SIP_DNS_RECORDS_H_
