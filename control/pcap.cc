#include "control/pcap.h"

#include <algorithm>

namespace sluice::control {
namespace {

constexpr uint32_t kMagic = 0xa1b2c3d4;  // times in microseconds
constexpr uint16_t kMajor = 2, kMinor = 4;
constexpr uint32_t kLinkTypeRaw = 101;
constexpr int64_t kSecond = 1'000'000;

void Put16(std::string* out, uint16_t value) {
  out->push_back(static_cast<char>(value));
  out->push_back(static_cast<char>(value >> 8));
}
void Put32(std::string* out, uint32_t value) {
  Put16(out, static_cast<uint16_t>(value));
  Put16(out, static_cast<uint16_t>(value >> 16));
}

}  // namespace

std::string PcapHead() {
  std::string out;
  Put32(&out, kMagic);
  Put16(&out, kMajor);
  Put16(&out, kMinor);
  Put32(&out, 0);
  Put32(&out, 0);
  Put32(&out, kPcapPacketBytesMax);
  Put32(&out, kLinkTypeRaw);
  return out;
}

void AppendPcapRecord(Micros at, uint32_t length,
                      std::span<const uint8_t> octets, std::string* out) {
  octets = octets.first(std::min<size_t>(octets.size(), kPcapPacketBytesMax));
  Put32(out, static_cast<uint32_t>(at.us() / kSecond));
  Put32(out, static_cast<uint32_t>(at.us() % kSecond));
  Put32(out, static_cast<uint32_t>(octets.size()));
  Put32(out, length);
  out->append(reinterpret_cast<const char*>(octets.data()), octets.size());
}

}  // namespace sluice::control
