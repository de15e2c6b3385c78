#include "sip/bad_frame.h"

#include <array>

#include "sip/message.h"
#include "sip/reply.h"

namespace sluice::sip {
namespace {

// "400 Bad Request" would not tell a phone's maker what to mend.
std::string_view WhyOf(int code) {
  return code == 400 ? "Content-Length is missing or wrong" : ReasonOf(code);
}

}  // namespace

std::string AnswerToBadFrame(const Keys& keys, const Peer& from,
                             std::string_view header, int code) {
  if (header.empty()) return "";
  Message request;
  // That it is to be refused is known; what else is wrong with it is not asked.
  static_cast<void>(request.Parse(header));
  if (!request.Answerable() || request.method() == Method::kAck) return "";
  const auto& top = request.top_via();
  if (!top) return "";
  const std::string via = ViaWithSource(*top, from.address);
  // The same tag for the same request, as in every answer of ours.
  const std::array<std::string_view, 3> parts = {
      request.call_id(), request.Value(HeaderId::kFrom), via};
  std::string tag = keys.Mac("tag", parts);
  tag.resize(16);
  return MakeReply(request, via, code, WhyOf(code), tag, "");
}

}  // namespace sluice::sip
