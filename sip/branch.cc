#include "sip/branch.h"

#include <algorithm>
#include <array>

#include "base/check.h"
#include "base/text.h"
#include "sip/cursor.h"
#include "sip/host.h"

namespace sluice::sip {
namespace {

constexpr size_t kLoopDigits = 16;
constexpr size_t kMacDigits = 32;
constexpr std::string_view kMark = "s";

bool IsHex(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
  });
}

// A number of texts, the same on every machine. Without a key, as nobody gains
// anything from two requests with one mark but having his own refused.
class Mark {
 public:
  void Add(uint64_t number) {
    state_ = (state_ ^ number) * 0x9e3779b97f4a7c15;
    state_ ^= state_ >> 32;
  }
  void Add(std::string_view text) {
    Add(text.size());
    for (; !text.empty();
         text.remove_prefix(std::min<size_t>(8, text.size()))) {
      uint64_t octets = 0;
      for (size_t i = 0; i < 8 && i < text.size(); ++i) {
        octets |= uint64_t{static_cast<uint8_t>(text[i])} << 8 * i;
      }
      Add(octets);
    }
  }
  LoopText Text() const {
    uint8_t octets[8];
    for (int i = 0; i < 8; ++i) {
      octets[i] = static_cast<uint8_t>(state_ >> (56 - 8 * i));
    }
    return LoopText(octets);
  }

 private:
  uint64_t state_ = 0;
};

// The leg and the loop, as they stand in the branch.
class LegAndLoop {
 public:
  LegAndLoop(uint8_t leg, std::string_view loop) {
    const HexText<1> digits(&leg);
    const std::string_view parts[] = {digits.text(), loop};
    DCHECK(loop.size() == kLoopDigits);
    char* end = text_.data();
    for (const std::string_view part : parts) {
      end = std::copy(part.begin(), part.end(), end);
    }
  }
  std::string_view text() const { return {text_.data(), text_.size()}; }

 private:
  std::array<char, 2 + kLoopDigits> text_;
};

// What of a message the mac covers: views into it, and what has to be written
// for it.
class Covered {
 public:
  Covered(std::string_view leg_and_loop, const Message& message, const Via& via)
      : port_(via.port), cseq_(message.cseq()) {
    const auto transport = TransportOf(via.transport);
    const bool datagram = !transport || *transport == Transport::kUdp;
    CHECK(via.host.size() <= sizeof(host_));
    std::transform(via.host.begin(), via.host.end(), host_,
                   [](char c) { return Lower(c); });
    parts_ = {leg_and_loop,
              message.call_id(),
              cseq_.text(),
              via.transport,
              {host_, via.host.size()},
              port_.text(),
              via.branch,
              via.maddr.value_or(""),
              via.received.value_or(""),
              datagram ? via.rport.value_or("") : ""};
  }
  const std::array<std::string_view, 10>& parts() const { return parts_; }

 private:
  const Piece port_, cseq_;
  char host_[kHostOctetsMax];
  std::array<std::string_view, 10> parts_;
};

using DialogParts = std::array<std::string_view, 2>;

// In the dialog who has asked is one of the two.
template <typename IsMarkOf>
bool IsMarkOfEither(const Message& message, IsMarkOf&& is_mark_of) {
  bool is = false;
  for (const auto* party : {&message.from(), &message.to()}) {
    // Who has asked without a tag (RFC 2543) cannot be known again by it.
    if (*party && !(*party)->tag.empty()) is |= is_mark_of((*party)->tag);
  }
  return is;
}

// Whom a URI means, in one spelling.
class HopText {
 public:
  explicit HopText(const Uri& hop)
      : user_(Unescape(hop.user)),
        host_(hop.ip() ? hop.ip()->ToString() : Lower(hop.host)),
        maddr_(Lower(hop.Param("maddr").value_or(""))),
        transport_(Lower(hop.Param("transport").value_or(""))),
        port_(hop.port_or_default()),
        sips_(hop.scheme == Uri::Scheme::kSips ? "s" : "") {}
  std::array<std::string_view, 8> Parts(std::string_view call_id,
                                        std::string_view tag) const {
    return {call_id, tag,        user_,        host_,
            maddr_,  transport_, port_.text(), sips_};
  }

 private:
  const std::string user_, host_, maddr_, transport_;
  const Piece port_;
  const std::string_view sips_;
};

}  // namespace

std::optional<Branch> Branch::Parse(std::string_view text) {
  if (!text.starts_with(Via::kMagic)) return std::nullopt;
  text.remove_prefix(Via::kMagic.size());
  if (!text.starts_with(kMark)) return std::nullopt;
  text.remove_prefix(kMark.size());
  if (text.size() != 2 + kLoopDigits + kMacDigits || !IsHex(text)) {
    return std::nullopt;
  }
  return Branch{
      .leg = static_cast<uint8_t>(HexDigit(text[0]) * 16 + HexDigit(text[1])),
      .loop = text.substr(2, kLoopDigits),
      .mac = text.substr(2 + kLoopDigits)};
}

LoopText LoopMark(const Message& request) {
  // Hop-by-hop and end-to-end requirements are in RFC 5393's list because they
  // may change where a request is sent; here only these do.
  Mark mark;
  mark.Add(request.uri());
  request.ForEach(HeaderId::kRoute, [&](std::string_view value) {
    mark.Add(value);
    return true;
  });
  mark.Add(request.from() ? request.from()->tag : std::string_view());
  mark.Add(request.call_id());
  mark.Add(request.cseq());
  return mark.Text();
}

std::string RouteMark(const Keys& keys, const Message& message) {
  const auto& from = message.from();
  return keys.Mac("route", DialogParts{message.call_id(),
                                       from ? from->tag : std::string_view()});
}

bool IsRouteMark(const Keys& keys, std::string_view mark,
                 const Message& message) {
  return IsMarkOfEither(message, [&](std::string_view tag) {
    return keys.IsMac(mark, "route", DialogParts{message.call_id(), tag});
  });
}

std::string PassMark(const Keys& keys, std::string_view branch) {
  return keys.Mac("pass", {branch});
}

bool IsPassMark(const Keys& keys, std::string_view mark,
                std::string_view branch) {
  return keys.IsMac(mark, "pass", {branch});
}

std::string HopMark(const Keys& keys, const Message& message, const Uri& hop) {
  const auto& from = message.from();
  const HopText text(hop);
  return keys.Mac("hop", text.Parts(message.call_id(),
                                    from ? from->tag : std::string_view()));
}

bool IsHopMark(const Keys& keys, std::string_view mark, const Message& message,
               const Uri& hop) {
  const HopText text(hop);
  return IsMarkOfEither(message, [&](std::string_view tag) {
    return keys.IsMac(mark, "hop", text.Parts(message.call_id(), tag));
  });
}

std::string MakeBranch(const Keys& keys, uint8_t leg, std::string_view loop,
                       const Message& request, const Via& via) {
  const LegAndLoop leg_and_loop(leg, loop);
  const Covered covered(leg_and_loop.text(), request, via);
  return Cat(Via::kMagic, kMark, leg_and_loop.text(),
             keys.Mac("branch", covered.parts()));
}

bool IsBranch(const Keys& keys, const Branch& branch, const Message& response,
              const Via& next) {
  const LegAndLoop leg_and_loop(branch.leg, branch.loop);
  const Covered covered(leg_and_loop.text(), response, next);
  return keys.IsMac(branch.mac, "branch", covered.parts());
}

uint64_t BranchNumber(std::string_view text) {
  const auto branch = Branch::Parse(text);
  if (!branch) return 0;
  uint64_t number = 0;
  for (const char c : branch->mac.substr(0, 16)) {
    number = number << 4 | static_cast<uint64_t>(HexDigit(c));
  }
  return std::max<uint64_t>(number, 1);
}

}  // namespace sluice::sip
