#ifndef SLUICE_TESTS_CONTROL_HEX_H_
#define SLUICE_TESTS_CONTROL_HEX_H_

#include <cctype>
#include <string>
#include <string_view>

#include "base/check.h"

namespace sluice {

// Octets from hex digits, as a protocol dump prints them: blanks mean nothing.
inline std::string Hex(std::string_view text) {
  std::string digits;
  for (char c : text) {
    if (!std::isspace(static_cast<unsigned char>(c))) digits += c;
  }
  CHECK(digits.size() % 2 == 0);
  std::string out;
  for (size_t i = 0; i < digits.size(); i += 2) {
    out += static_cast<char>(std::stoi(digits.substr(i, 2), nullptr, 16));
  }
  return out;
}

// A frame of the NATHelper RPC: four octets of length, then the payload.
inline std::string Framed(const std::string& payload) {
  std::string out;
  for (int shift = 24; shift >= 0; shift -= 8) {
    out += static_cast<char>(payload.size() >> shift & 0xff);
  }
  return out + payload;
}

// Frames as Net::SIP 0.835 with Storable 3.26 sent them, without the length.
inline const char kAllocateHex[] =
    "050b02000000050a08616c6c"
    "6f6361746504020000 00060a0263310a"
    "01310a0d7369703a75736572006100 6c"
    "310a0e7369703a62407800746167006c"
    "320a077369703a6140780a077369703a"
    "62407808800a093132372e302e302e31"
    "04020000000104190100000003088200"
    "0000000572616e67650a043935373600"
    "00000004706f72740a093132372e302e"
    "302e31000000000461646472";
inline const char kActivateHex[] =
    "050b020000000 20a08616374"
    "697661746504020000 00060a0263310a"
    "01310a0d7369703a75736572006100 6c"
    "310a0d7369703a75736572006200 6c32"
    "0a077369703a6140780a077369703a62"
    "4078";
inline const char kCloseHex[] =
    "050b0200000002 0a05636c6f"
    "736504020000 00060a026331050a0d73"
    "69703a757365720061006c310a0d7369"
    "703a757365720062006c320a07736970"
    "3a6140780a077369703a624078";

}  // namespace sluice

#endif  // SLUICE_TESTS_CONTROL_HEX_H_
