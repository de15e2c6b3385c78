#ifndef SLUICE_BASE_TYPES_H_
#define SLUICE_BASE_TYPES_H_

#include <bit>
#include <compare>
#include <cstdint>

namespace sluice {

// A transport port. The byte order is chosen where the number enters, by name,
// and nowhere else; there is no implicit way in or out.
class Port {
 public:
  constexpr Port() = default;
  static constexpr Port FromHost(uint16_t value) { return Port(value); }
  static constexpr Port FromNetwork(uint16_t be) { return Port(Swap(be)); }
  constexpr uint16_t host() const { return value_; }
  constexpr uint16_t network() const { return Swap(value_); }
  constexpr bool is_even() const { return (value_ & 1) == 0; }
  friend constexpr auto operator<=>(Port, Port) = default;

 private:
  explicit constexpr Port(uint16_t value) : value_(value) {}
  static constexpr uint16_t Swap(uint16_t v) {
    if constexpr (std::endian::native == std::endian::little) {
      return static_cast<uint16_t>((v << 8) | (v >> 8));
    }
    return v;
  }
  uint16_t value_ = 0;
};

// A point of the monotonic clock, or a distance between two, in microseconds.
// 0 as a point means "never".
class Micros {
 public:
  constexpr Micros() = default;
  explicit constexpr Micros(int64_t us) : us_(us) {}
  static constexpr Micros Seconds(int64_t s) { return Micros(s * 1'000'000); }
  static constexpr Micros Millis(int64_t ms) { return Micros(ms * 1'000); }
  constexpr int64_t us() const { return us_; }
  friend constexpr auto operator<=>(Micros, Micros) = default;
  friend constexpr Micros operator+(Micros a, Micros b) {
    return Micros(a.us_ + b.us_);
  }
  friend constexpr Micros operator-(Micros a, Micros b) {
    return Micros(a.us_ - b.us_);
  }

 private:
  int64_t us_ = 0;
};

// Which party of a session: who sent the offer / who answered it.
enum class Side : uint8_t { kFrom = 0, kTo = 1 };
constexpr Side Other(Side side) {
  return side == Side::kFrom ? Side::kTo : Side::kFrom;
}
constexpr int Index(Side side) { return static_cast<int>(side); }
constexpr const char* Name(Side side) {
  return side == Side::kFrom ? "from" : "to";
}

// A place in a fixed table and which tenant of it. Generation 0 is never given
// out, so a default Slot names nothing.
struct Slot {
  uint32_t index = 0;
  uint32_t generation = 0;
  friend constexpr bool operator==(Slot, Slot) = default;
  constexpr explicit operator bool() const { return generation != 0; }
};

static_assert(Port::FromHost(5060).network() ==
              (std::endian::native == std::endian::little ? 0xc413 : 0x13c4));

}  // namespace sluice

#endif  // SLUICE_BASE_TYPES_H_
