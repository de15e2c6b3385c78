#ifndef SLUICE_SIP_HOST_H_
#define SLUICE_SIP_HOST_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

#include "base/address.h"
#include "sip/cursor.h"

// Hosts and ports, as they stand in URIs and in Via (RFC 3261 25.1).
//
// Thread: any.
namespace sluice::sip {

// No host is longer: a name (RFC 1035 2.3.4), and every literal is shorter.
inline constexpr size_t kHostOctetsMax = 255;

// A name, an IPv4 literal, or an IPv6 literal in its brackets; "" for anything
// else, and then the cursor's place means nothing. A last label of digits only
// must be that of an IPv4 literal, so that no resolver can take 127.1 or
// 2130706433 for an address that we did not see in it. Underscores are let
// pass: they are in use.
std::string_view TakeHost(Cursor* cursor);

// Digits for 1..65535 at the cursor; 0 for anything else.
uint16_t TakePort(Cursor* cursor);

// The address when `host` is a literal, an IPv6 one in brackets. Three colons
// in a row stand for two (RFC 5118 4.10: an old grammar made people write
// them).
std::optional<IpAddress> IpOfHost(std::string_view host);

}  // namespace sluice::sip

#endif  // SLUICE_SIP_HOST_H_
