#ifndef SLUICE_SIP_SIMPLE_NAMES_H_
#define SLUICE_SIP_SIMPLE_NAMES_H_

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/address.h"
#include "sip/fields.h"

// What people write for addresses, proxies and parties, as SIP has it.
//
// Thread: any.
namespace sluice::sip {

// "192.0.2.1", "192.0.2.1:5060", "proxy.example.com", "[2001:db8::1]:5060" or a
// SIP URI, as a SIP URI; "" for what is none of these.
std::string ProxyUri(std::string_view text);

// "udp:192.0.2.1:5060", "192.0.2.1", "tcp:[2001:db8::1]", "sip:192.0.2.1:5060;
// transport=tcp": where a leg listens. InvalidArgument says what is wrong.
absl::StatusOr<std::pair<Transport, Endpoint>> ListenerOf(
    std::string_view text);

// InvalidArgument, with `what`, for text that must not stand in a header field
// whoever wrote it.
absl::Status CheckText(std::string_view what, std::string_view text);

// The same for what is to be a Contact's URI, "" included, and for Routes; both
// name themselves.
absl::Status CheckContact(std::string_view uri);
absl::Status CheckRoutes(const std::vector<std::string>& routes);

// A party: "me", "me@example.com", "sip:me@example.com", "Me <sip:...>".
struct Party {
  std::string value;  // of From or To, without a tag
  std::string uri;    // what a request to it is for: without header fields
  std::string user;
};
// `domain` completes what has none. InvalidArgument.
absl::StatusOr<Party> PartyOf(std::string_view text, std::string_view domain);

}  // namespace sluice::sip

#endif  // SLUICE_SIP_SIMPLE_NAMES_H_
