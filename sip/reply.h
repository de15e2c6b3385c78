#ifndef SLUICE_SIP_REPLY_H_
#define SLUICE_SIP_REPLY_H_

#include <optional>
#include <string>
#include <string_view>

#include "sip/fields.h"
#include "sip/keys.h"
#include "sip/message.h"
#include "sip/transport.h"

namespace sluice::sip {

// Our To tag: the same for the same request, as nothing is remembered of it.
// `via`: the top one as it will be answered.
std::string TagOf(const Keys& keys, const Message& request,
                  std::string_view via);

// What of a response to `request` (RFC 3261 8.2.6) does not depend on the
// answer: its Vias, From, To, Call-ID and CSeq. `via` stands in place of the
// top one. `to_tag` is added where To has none.
//
// REQUIRES: request.Answerable().
std::string ReplyHeaders(const Message& request, std::string_view via,
                         std::string_view to_tag);
// The whole of it, with such headers and what `extra` brings (whole lines, each
// with CRLF), no body.
std::string MakeReply(std::string_view headers, int code,
                      std::string_view reason, std::string_view extra);

// The top Via as RFC 3261 18.2.1 and RFC 3581 4 want it forwarded: `received`
// where the sent-by is not the source or rport was asked for, `rport` with its
// value where it was asked for. What the sender wrote there itself is replaced.
std::string ViaWithSource(const Via& via, const Endpoint& source);

// Where a response goes whose next Via this is. nullopt when it names no
// address, or a transport that is not spoken here.
std::optional<Peer> PeerOfVia(const Via& via);

// The words of RFC 3261 21 for a code of ours.
std::string_view ReasonOf(int code);

}  // namespace sluice::sip

#endif  // SLUICE_SIP_REPLY_H_
