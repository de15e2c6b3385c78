#ifndef SLUICE_SIP_BAD_FRAME_H_
#define SLUICE_SIP_BAD_FRAME_H_

#include <string>
#include <string_view>

#include "sip/keys.h"
#include "sip/peer.h"

namespace sluice::sip {

// What is said to the sender of a frame that ends a connection: `header` as the
// framer found it, whole, or empty; `code` (400, 413; 513, then
// without a header) as it wants it. An answer
// to a request whose header is good enough to be copied from (RFC 3261 18.3),
// and "" for all else: a response, an ACK, a header that never ended, no SIP.
//
// It goes back on the stream it came by and nowhere else, is no longer than
// what came and some, and nothing behind the header is looked at: an answer
// gives nobody more than to have his connection closed without a word.
//
// Thread: control only.
std::string AnswerToBadFrame(const Keys& keys, const Peer& from,
                             std::string_view header, int code);

}  // namespace sluice::sip

#endif  // SLUICE_SIP_BAD_FRAME_H_
