#ifndef SLUICE_SIP_FRAMER_H_
#define SLUICE_SIP_FRAMER_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace sluice::sip {

// Finds where messages begin and end in a byte stream (RFC 3261 18.3): headers
// up to an empty line, then Content-Length octets. What they mean is not looked
// at. Lines end with CRLF or LF; line ends in front of a message are skipped,
// and CRLFCRLF there is a ping (RFC 5626 4.4.1).
//
//   line ends --kSkip, kPing--> header --empty line--> body --> kMessage
//                                  |  too long, no or bad Content-Length
//                                  +--> kBad
//
// What is found depends on the stream alone, not on how it was cut into pieces.
// Nothing is kept of the octets but how far they were looked at, so that a
// header that comes octet by octet is searched once. Content-Length reserves
// nothing (security P4).
//
// Thread: any; a value.
class Framer {
 public:
  struct Limits {
    size_t header_octets_max = 16'384;  // start line to empty line
    size_t body_octets_max = 65'536;
  };
  struct Step {
    enum class Kind : uint8_t {
      kMore,     // what is there is no whole anything
      kSkip,     // `octets` of line ends
      kPing,     // the same, and they complete a ping
      kMessage,  // `octets` are one
      kBad,      // no SIP from here on; `octets`: its header, if it was whole
    };
    Kind kind = Kind::kMore;
    size_t octets = 0;
    int code = 0;  // kBad: what RFC 3261 21 calls it: 400, 413, 513
    friend bool operator==(const Step&, const Step&) = default;
  };

  explicit Framer(Limits limits) : limits_(limits) {}

  // `buffer` begins behind the octets of the last step. After kBad the stream
  // has no meaning any more.
  Step Next(std::string_view buffer);

  // Some of a message has been seen, but not all of it.
  bool in_message() const { return searched_ > 0; }
  bool in_body() const { return message_octets_ > 0; }

 private:
  Step NextBetween(std::string_view buffer);
  // Moves searched_ on; true when the empty line has been found.
  bool FindHeaderEnd(std::string_view buffer);
  Step Bad(int code, size_t octets) const {
    return {.kind = Step::Kind::kBad, .octets = octets, .code = code};
  }

  Limits limits_;
  size_t ping_matched_ = 0;    // octets of CRLFCRLF just skipped
  size_t searched_ = 0;        // of the message under way
  size_t line_begin_ = 0;      // of the line that searched_ is in
  size_t message_octets_ = 0;  // once the header is whole
};

// A framer and the octets that it has not used up.
class FrameBuffer {
 public:
  explicit FrameBuffer(Framer::Limits limits) : framer_(limits) {}

  // Takes `fresh` and calls visit(step, octets) for every step but kMore until
  // it returns false, after which nothing more may be fed. What is left of
  // `fresh` is copied, so at most one message less an octet is held between
  // two calls.
  template <typename Visit>
  void Feed(std::string_view fresh, Visit&& visit) {
    if (!held_.empty()) {
      held_.append(fresh);
      fresh = held_;
    }
    size_t used = 0;
    for (bool go_on = true; go_on;) {
      const std::string_view rest = fresh.substr(used);
      const Framer::Step step = framer_.Next(rest);
      if (step.kind == Framer::Step::Kind::kMore) break;
      used += step.octets;
      go_on = visit(step, rest.substr(0, step.octets)) &&
              step.kind != Framer::Step::Kind::kBad;
    }
    Keep(fresh.substr(used));
  }
  const Framer& framer() const { return framer_; }
  size_t held() const { return held_.size(); }

 private:
  // `rest` may be the end of held_.
  void Keep(std::string_view rest);

  Framer framer_;
  std::string held_;
};

// What the Content-Length fields of a header say.
struct ContentLength {
  enum class Kind : uint8_t { kNone, kOne, kBad };
  Kind kind = Kind::kNone;
  // Above any limit when the digits are too many for 64 bits.
  uint64_t octets = 0;
};
// `header`: start line to empty line. Digits only; a fold in front of them is
// white space (RFC 3261 7.3.1); several that say the same are one, else kBad.
ContentLength FindContentLength(std::string_view header);

}  // namespace sluice::sip

#endif  // SLUICE_SIP_FRAMER_H_
