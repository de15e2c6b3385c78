// Goal: no text makes the parsers fail otherwise than by saying no; what they
// take has one spelling, which they take again as the same address; and no way
// of writing an IPv4 address makes it anything but that IPv4 address.
// Method: the input as a text, and as the octets of an address and a sockaddr.

#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

#include "absl/strings/str_cat.h"
#include "base/address.h"
#include "base/check.h"

namespace {

using sluice::Endpoint;
using sluice::IpAddress;

void CheckAddress(const IpAddress& ip) {
  const std::string text = ip.ToString();
  CHECK(IpAddress::Parse(text) == ip);
  CHECK(ip.is_v4() == (text.find(':') == std::string::npos));
  if (ip.is_v4()) {
    CHECK(IpAddress::Parse(absl::StrCat("::ffff:", text)) == ip);
    const auto& o = ip.octets();
    CHECK(IpAddress::V4(o[12], o[13], o[14], o[15]) == ip);
  }
  CHECK(!ip.is_link_local() || ip.is_private());
  CHECK(!ip.is_private() || ip.SharesScopeWith(ip));
  CHECK(ip.is_loopback() + ip.is_multicast() + ip.is_private() +
            ip.is_reserved() <=
        1);
}

void CheckEndpoint(const Endpoint& endpoint) {
  CHECK(Endpoint::Parse(endpoint.ToString()) == endpoint);
  CheckAddress(endpoint.ip);
  for (const int family : {AF_INET, AF_INET6}) {
    sockaddr_storage storage;
    const socklen_t length = endpoint.ToSockaddr(family, &storage);
    CHECK((length == 0) == (family == AF_INET && !endpoint.ip.is_v4()));
    if (length == 0) continue;
    // An IPv4 endpoint comes back as itself from an IPv6 socket too.
    CHECK(Endpoint::FromSockaddr(reinterpret_cast<const sockaddr*>(&storage),
                                 length) == endpoint);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  if (const auto ip = IpAddress::Parse(text)) {
    CheckAddress(*ip);
    // A literal has no port, and an endpoint always has one.
    CHECK(!Endpoint::Parse(absl::StrCat("[", std::string(text), "]")));
  }
  if (const auto endpoint = Endpoint::Parse(text)) CheckEndpoint(*endpoint);
  if (size >= 16) CheckAddress(IpAddress::FromOctets(data));

  // What a kernel might have filled in, of any length.
  sockaddr_storage storage{};
  const size_t length = std::min(size, sizeof(storage));
  std::memcpy(&storage, data, length);
  const auto from =
      Endpoint::FromSockaddr(reinterpret_cast<const sockaddr*>(&storage),
                             static_cast<socklen_t>(length));
  if (from) CheckEndpoint(*from);
  return 0;
}
