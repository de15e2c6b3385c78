#ifndef SLUICE_CONTROL_PCAP_H_
#define SLUICE_CONTROL_PCAP_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "base/types.h"

namespace sluice::control {

// A capture file as every tool reads it: a head, then records, each a head and
// the octets of a packet. All numbers are little-endian here, which the magic
// number says.
//
//    head: a1b2c3d4 | 2.4 | zone 0 | figures 0 | octets a packet | link type
//    record: seconds | microseconds | octets here | octets of the packet
//
// The link type is 101 (LINKTYPE_RAW): packets begin with an IP header, of
// either version.
inline constexpr size_t kPcapHeadBytes = 24;
inline constexpr size_t kPcapRecordHeadBytes = 16;
inline constexpr uint32_t kPcapPacketBytesMax = 65'535;
inline constexpr const char* kPcapContentType = "application/vnd.tcpdump.pcap";

std::string PcapHead();
// `at`: since 1970. `length`: of the packet, of which `octets` is all or the
// beginning. What is longer than kPcapPacketBytesMax is cut.
void AppendPcapRecord(Micros at, uint32_t length,
                      std::span<const uint8_t> octets, std::string* out);

}  // namespace sluice::control

#endif  // SLUICE_CONTROL_PCAP_H_
