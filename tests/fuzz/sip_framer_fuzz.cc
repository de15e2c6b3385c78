// Any byte stream through the framer of SIP over TCP: the same messages are
// found however it is cut, none of them is longer than the limits allow, and no
// more is held than one message less an octet.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/check.h"
#include "sip/framer.h"

namespace {

using sluice::sip::FrameBuffer;
using sluice::sip::Framer;
using Kind = Framer::Step::Kind;

// Small enough that the fuzzer meets them.
constexpr Framer::Limits kLimits = {.header_octets_max = 160,
                                    .body_octets_max = 40};
constexpr size_t kMessageMax =
    kLimits.header_octets_max + kLimits.body_octets_max;

// Steps but kSkip, whose number depends on the cuts.
struct Step {
  Kind kind = Kind::kMore;
  int code = 0;
  std::string octets;
  friend bool operator==(const Step&, const Step&) = default;
};

class Run {
 public:
  void Feed(std::string_view octets) {
    if (bad_) return;
    buffer_.Feed(octets, [this](Framer::Step step, std::string_view found) {
      Add(step, found);
      return true;
    });
    CHECK(bad_ || buffer_.held() < kMessageMax);
    CHECK(!buffer_.framer().in_body() || buffer_.framer().in_message());
  }
  const std::vector<Step>& steps() const { return steps_; }

 private:
  void Add(Framer::Step step, std::string_view found) {
    CHECK(step.kind != Kind::kMore && found.size() == step.octets);
    CHECK((step.code != 0) == (step.kind == Kind::kBad));
    bad_ = step.kind == Kind::kBad;
    if (step.kind == Kind::kSkip) {
      CHECK(found.find_first_not_of("\r\n") == found.npos);
      return;
    }
    if (step.kind == Kind::kMessage) {
      CHECK(!found.empty() && found.size() <= kMessageMax);
      // A message is a whole stream of its own.
      Framer alone(kLimits);
      CHECK(alone.Next(found) == step);
    }
    // How much of the line ends a ping had is where the cut was.
    steps_.push_back({.kind = step.kind,
                      .code = step.code,
                      .octets = step.kind == Kind::kPing ? std::string()
                                                         : std::string(found)});
  }

  FrameBuffer buffer_{kLimits};
  std::vector<Step> steps_;
  bool bad_ = false;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  // The cost is the square of the length.
  constexpr size_t kOctetsMax = 1'024;
  const std::string_view stream(reinterpret_cast<const char*>(data),
                                size < kOctetsMax ? size : kOctetsMax);
  Run whole;
  whole.Feed(stream);
  for (size_t cut = 1; cut < stream.size(); ++cut) {
    Run two;
    two.Feed(stream.substr(0, cut));
    two.Feed(stream.substr(cut));
    CHECK(two.steps() == whole.steps());
  }
  Run drip;
  for (size_t at = 0; at < stream.size(); ++at) drip.Feed(stream.substr(at, 1));
  CHECK(drip.steps() == whole.steps());
  return 0;
}
