#include "sip/bad_frame.h"

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
  request.Parse(header);
  if (!request.Answerable() || request.method() == Method::kAck) return "";
  const std::string via = ViaWithSource(*request.top_via(), from.address);
  return MakeReply(ReplyHeaders(request, via, TagOf(keys, request, via)), code,
                   WhyOf(code), "");
}

}  // namespace sluice::sip
