#ifndef SLUICE_SIP_HEX_H_
#define SLUICE_SIP_HEX_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace sluice::sip {

// Octets as lower-case hexadecimal digits, without a string's allocation.
//
// Thread: any; a value.
template <size_t kOctets>
class HexText {
 public:
  HexText() : HexText(std::array<uint8_t, kOctets>{}.data()) {}
  explicit HexText(const uint8_t* octets) {
    constexpr char kDigits[] = "0123456789abcdef";
    for (size_t i = 0; i < kOctets; ++i) {
      digits_[2 * i] = kDigits[octets[i] >> 4];
      digits_[2 * i + 1] = kDigits[octets[i] & 15];
    }
  }
  std::string_view text() const { return {digits_.data(), digits_.size()}; }

 private:
  std::array<char, 2 * kOctets> digits_;
};

}  // namespace sluice::sip

#endif  // SLUICE_SIP_HEX_H_
