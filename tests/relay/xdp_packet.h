#ifndef SLUICE_TESTS_RELAY_XDP_PACKET_H_
#define SLUICE_TESTS_RELAY_XDP_PACKET_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "base/address.h"

namespace sluice::relay::xdp {

using Frame = std::vector<uint8_t>;

// A UDP datagram in an Ethernet frame, as its author would describe it. Bytes()
// makes every length and checksum from scratch, octet by octet: nothing here is
// shared with the relay, which only ever adds differences.
struct Packet {
  std::array<uint8_t, 6> to_mac{0, 0, 0, 0, 0, 0};
  std::array<uint8_t, 6> from_mac{2, 0, 0, 0, 0, 9};
  Endpoint from{};
  Endpoint to{};
  uint8_t tos = 0;
  uint8_t ttl = 64;
  uint16_t id = 0;              // IPv4
  bool dont_fragment = true;    // IPv4
  uint32_t flow_label = 0;      // IPv6
  bool udp_checksum = true;     // or 0: none
  uint16_t checksum_error = 0;  // the sum is wrong by so much
  std::vector<uint8_t> payload{};
  std::vector<uint8_t> padding{};  // behind the datagram, in the frame

  size_t ip_header() const { return from.ip.is_v4() ? 20 : 40; }

  Frame Bytes() const {
    Frame f;
    f.insert(f.end(), to_mac.begin(), to_mac.end());
    f.insert(f.end(), from_mac.begin(), from_mac.end());
    const auto length = static_cast<uint16_t>(8 + payload.size());
    if (from.ip.is_v4()) {
      Put16(f, 0x0800);
      const size_t ip = f.size();
      f.push_back(0x45);
      f.push_back(tos);
      Put16(f, static_cast<uint16_t>(20 + length));
      Put16(f, id);
      Put16(f, dont_fragment ? 0x4000 : 0);
      f.push_back(ttl);
      f.push_back(17);
      Put16(f, 0);
      PutAddress(f, from.ip);
      PutAddress(f, to.ip);
      Set16(f, ip + 10, Checksum({f.data() + ip, 20}));
    } else {
      Put16(f, 0x86dd);
      f.push_back(static_cast<uint8_t>(0x60 | tos >> 4));
      f.push_back(static_cast<uint8_t>(tos << 4 | flow_label >> 16));
      Put16(f, static_cast<uint16_t>(flow_label));
      Put16(f, length);
      f.push_back(17);
      f.push_back(ttl);
      PutAddress(f, from.ip);
      PutAddress(f, to.ip);
    }
    const size_t udp = f.size();
    Put16(f, from.port.host());
    Put16(f, to.port.host());
    Put16(f, length);
    Put16(f, 0);
    f.insert(f.end(), payload.begin(), payload.end());
    if (udp_checksum) {
      // RFC 768, RFC 8200 8.1: addresses, protocol and length in front.
      Frame sum;
      PutAddress(sum, from.ip);
      PutAddress(sum, to.ip);
      Put16(sum, 17);
      Put16(sum, length);
      sum.insert(sum.end(), f.begin() + static_cast<ptrdiff_t>(udp), f.end());
      if (sum.size() % 2 != 0) sum.push_back(0);
      Put16(sum, checksum_error);
      const uint16_t checksum = Checksum(sum);
      Set16(f, udp + 6, checksum == 0 ? 0xffff : checksum);
    }
    f.insert(f.end(), padding.begin(), padding.end());
    return f;
  }

  // RFC 1071, of big-endian words.
  static uint16_t Checksum(std::span<const uint8_t> octets) {
    uint64_t sum = 0;
    for (size_t i = 0; i < octets.size(); ++i) {
      sum += i % 2 == 0 ? octets[i] << 8 : octets[i];
    }
    return static_cast<uint16_t>(
        ~(sum == 0 ? 0 : (sum - 1) % 0xffff + 1));  // casting out 65535s
  }
  static void Set16(Frame& f, size_t at, uint16_t value) {
    f[at] = static_cast<uint8_t>(value >> 8);
    f[at + 1] = static_cast<uint8_t>(value);
  }

 private:
  static void Put16(Frame& f, uint16_t value) {
    f.push_back(static_cast<uint8_t>(value >> 8));
    f.push_back(static_cast<uint8_t>(value));
  }
  static void PutAddress(Frame& f, const IpAddress& ip) {
    const auto& octets = ip.octets();
    f.insert(f.end(), octets.begin() + (ip.is_v4() ? 12 : 0), octets.end());
  }
};

// A G.711 packet, or what its fields make of it.
struct RtpPacket {
  uint8_t first = 0x80;
  uint8_t type = 0;
  uint16_t sequence = 1;
  uint32_t timestamp = 160;
  uint32_t ssrc = 0x11223344;
  std::vector<uint8_t> rest = std::vector<uint8_t>(160, 0x55);

  std::vector<uint8_t> Bytes() const {
    std::vector<uint8_t> p = {first, type, static_cast<uint8_t>(sequence >> 8),
                              static_cast<uint8_t>(sequence)};
    for (uint32_t word : {timestamp, ssrc}) {
      for (int shift = 24; shift >= 0; shift -= 8) {
        p.push_back(static_cast<uint8_t>(word >> shift));
      }
    }
    p.insert(p.end(), rest.begin(), rest.end());
    return p;
  }
};

}  // namespace sluice::relay::xdp

#endif  // SLUICE_TESTS_RELAY_XDP_PACKET_H_
