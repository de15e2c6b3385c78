#ifndef SLUICE_SIP_BRANCH_H_
#define SLUICE_SIP_BRANCH_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "sip/fields.h"
#include "sip/hex.h"
#include "sip/keys.h"
#include "sip/message.h"

namespace sluice::sip {

// The branch that this proxy puts into its Via: a pure function of the message
// (RFC 3261 16.11), so that a retransmission, a CANCEL and the ACK for a
// failure get the INVITE's.
//
//   z9hG4bK | "s" | leg 2 | loop 16 | mac 32        (hexadecimal)
//
//   leg   on which the request came: its responses leave there
//   loop  of what decides where a request goes (RFC 5393 4.2.2): the same
//         request for the second time is a loop. Without the To tag, which
//         the ACK has and its INVITE has not
//   mac   over the former, Call-ID, CSeq number and the next Via: a response is
//         relayed only along a way that a request has taken (security P8). A
//         response can so not be sent elsewhere by writing another Via below
//         ours. On streams without the source port, which a reconnecting
//         client changes and which decides nothing there.
//
// No time is in it: a branch that changed with the clock would change between a
// request and its retransmission.
struct Branch {
  uint8_t leg = 0;
  std::string_view loop;
  std::string_view mac;

  // nullopt for what has not this form.
  static std::optional<Branch> Parse(std::string_view branch);
};

// 16 hexadecimal digits.
using LoopText = HexText<8>;
LoopText LoopMark(const Message& request);

// What our Record-Route says of a dialog. Keyed, over the Call-ID and the tag
// of who has asked, which in the dialog is one of the two; the other's is not
// known yet when it is made.
//
//   <sip:us;lr;s=ROUTE;p=PASS;n=HOP>
//
// s tells that the dialog was set up through here. n is leave to pass: to one
// next hop, that of the other party, and to no other address. The callee gets
// the n of the caller's side with the request, the caller that of the callee's
// with the response; p shows us there which of the Record-Routes with our name
// we have written, on this pass, for whoever has asked may have written more.
std::string RouteMark(const Keys& keys, const Message& message);
bool IsRouteMark(const Keys& keys, std::string_view mark,
                 const Message& message);
// `branch`: of our Via.
std::string PassMark(const Keys& keys, std::string_view branch);
bool IsPassMark(const Keys& keys, std::string_view mark,
                std::string_view branch);
// `hop`: the URI where the next hop is looked for. Of a message that sets up
// the dialog, or a response to it.
std::string HopMark(const Keys& keys, const Message& message, const Uri& hop);
bool IsHopMark(const Keys& keys, std::string_view mark, const Message& message,
               const Uri& hop);
// In its place where there is no hop to be named.
inline constexpr std::string_view kNoHop = "0";

// `via`: the one that will stand below ours.
std::string MakeBranch(const Keys& keys, uint8_t leg, std::string_view loop,
                       const Message& request, const Via& via);
// Whether `branch` is what MakeBranch gave to the request that this is a
// response to.
bool IsBranch(const Keys& keys, const Branch& branch, const Message& response,
              const Via& next);
// Half of its mac, to tell the branches of a fork apart: never 0, which stands
// for a branch that is not of this form.
uint64_t BranchNumber(std::string_view branch);

}  // namespace sluice::sip

#endif  // SLUICE_SIP_BRANCH_H_
