#include "sip/branch.h"

#include <algorithm>
#include <array>

#include "base/text.h"
#include "sip/cursor.h"

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

std::string Hex(uint8_t octet) {
  static constexpr char kDigits[] = "0123456789abcdef";
  return {kDigits[octet >> 4], kDigits[octet & 15]};
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
  std::string Text() const {
    std::string text;
    for (int shift = 56; shift >= 0; shift -= 8) {
      text += Hex(static_cast<uint8_t>(state_ >> shift));
    }
    return text;
  }

 private:
  uint64_t state_ = 0;
};

// What of a message the mac covers. The texts live in `scratch`.
struct Covered {
  std::array<std::string_view, 6> parts;
  std::string scratch;
};

void Cover(std::string_view leg_and_loop, const Message& message,
           const Via& via, Covered* c) {
  const auto transport = TransportOf(via.transport);
  const bool datagram = !transport || *transport == Transport::kUdp;
  c->scratch =
      Cat(Lower(via.host), ":", via.port, "|", via.received.value_or(""), "|",
          datagram ? via.rport.value_or("") : "", "|", message.cseq());
  c->parts = {leg_and_loop, message.call_id(),      via.transport,
              via.branch,   via.maddr.value_or(""), c->scratch};
}

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

std::string LoopMark(const Message& request) {
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
  const std::array<std::string_view, 1> parts = {message.call_id()};
  return keys.Mac("route", parts);
}

bool IsRouteMark(const Keys& keys, std::string_view mark,
                 const Message& message) {
  const std::array<std::string_view, 1> parts = {message.call_id()};
  return keys.IsMac(mark, "route", parts);
}

std::string MakeBranch(const Keys& keys, uint8_t leg, std::string_view loop,
                       const Message& request, const Via& via) {
  const std::string leg_and_loop = Cat(Hex(leg), loop);
  Covered covered;
  Cover(leg_and_loop, request, via, &covered);
  return Cat(Via::kMagic, kMark, leg_and_loop,
             keys.Mac("branch", covered.parts));
}

bool IsBranch(const Keys& keys, const Branch& branch, const Message& response,
              const Via& next) {
  const std::string leg_and_loop = Cat(Hex(branch.leg), branch.loop);
  Covered covered;
  Cover(leg_and_loop, response, next, &covered);
  return keys.IsMac(branch.mac, "branch", covered.parts);
}

}  // namespace sluice::sip
