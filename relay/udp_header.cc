#include "relay/udp_header.h"

#include <algorithm>

#include "base/check.h"

namespace sluice::relay {
namespace {

constexpr uint8_t kHops = 64;
constexpr uint8_t kUdp = 17;  // protocol number
constexpr size_t kIp4Bytes = 20, kIp6Bytes = 40, kUdpBytes = 8;
constexpr size_t kLengthMax = 65'535 - kIp6Bytes - kUdpBytes;

void Put16(uint8_t* to, size_t value) {
  to[0] = static_cast<uint8_t>(value >> 8);
  to[1] = static_cast<uint8_t>(value);
}

// The one's complement sum of RFC 1071, not yet folded.
uint64_t Sum(std::span<const uint8_t> octets) {
  uint64_t sum = 0;
  size_t i = 0;
  for (; i + 1 < octets.size(); i += 2) {
    sum += uint64_t{octets[i]} << 8 | octets[i + 1];
  }
  if (i < octets.size()) sum += uint64_t{octets[i]} << 8;
  return sum;
}

uint16_t Checksum(uint64_t sum) {
  while (sum >> 16 != 0) sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<uint16_t>(~sum);
}

}  // namespace

size_t WriteIpUdp(const Endpoint& from, const Endpoint& to, size_t length,
                  std::span<const uint8_t> captured,
                  std::span<uint8_t, kIpUdpBytesMax> out) {
  CHECK(captured.size() <= length && length <= kLengthMax);
  const bool v4 = from.ip.is_v4() && to.ip.is_v4();
  const size_t ip_bytes = v4 ? kIp4Bytes : kIp6Bytes;
  const size_t udp_length = kUdpBytes + length;
  std::fill(out.begin(), out.end(), uint8_t{0});
  uint8_t* const ip = out.data();
  uint8_t* const udp = ip + ip_bytes;

  // The last `width` of the 16 octets of an address.
  const auto put_ip = [](uint8_t* at, const IpAddress& address, size_t width) {
    std::copy_n(address.octets().end() - static_cast<ptrdiff_t>(width), width,
                at);
  };
  if (v4) {
    ip[0] = 0x45;
    Put16(ip + 2, kIp4Bytes + udp_length);
    ip[8] = kHops;
    ip[9] = kUdp;
    put_ip(ip + 12, from.ip, 4);
    put_ip(ip + 16, to.ip, 4);
    Put16(ip + 10, Checksum(Sum({ip, kIp4Bytes})));
  } else {
    ip[0] = 0x60;
    Put16(ip + 4, udp_length);
    ip[6] = kUdp;
    ip[7] = kHops;
    put_ip(ip + 8, from.ip, 16);
    put_ip(ip + 24, to.ip, 16);
  }
  Put16(udp, from.port.host());
  Put16(udp + 2, to.port.host());
  Put16(udp + 4, udp_length);
  if (captured.size() == length) {
    // The pseudo header: addresses, protocol, length.
    const std::span<const uint8_t> addresses =
        v4 ? std::span<const uint8_t>(ip + 12, 8)
           : std::span<const uint8_t>(ip + 8, 32);
    const uint16_t checksum = Checksum(Sum(addresses) + kUdp + udp_length +
                                       Sum({udp, kUdpBytes}) + Sum(captured));
    // 0 would say that there is none.
    Put16(udp + 6, checksum == 0 ? 0xffff : checksum);
  }
  return ip_bytes + kUdpBytes;
}

}  // namespace sluice::relay
