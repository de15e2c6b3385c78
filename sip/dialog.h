#ifndef SLUICE_SIP_DIALOG_H_
#define SLUICE_SIP_DIALOG_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "sip/leg.h"
#include "sip/message.h"
#include "sip/transactions.h"

namespace sluice::sip {

// A dialog as one of its parties keeps it (RFC 3261 12), and what a request
// that begins one has already: Call-ID, our tag and who we speak with.
//
// Thread: any; a value.
struct Dialog {
  // Each comes back in each request.
  static constexpr size_t kRoutesMax = 16;
  static constexpr size_t kRouteOctetsMax = 4'096;  // of all

  std::string call_id{};
  std::string local_tag{}, remote_tag{};  // remote "" : no dialog yet
  std::string local{}, remote{};  // From and To values of ours, without tags
  std::string remote_target{};    // the URI that our requests are for
  std::vector<std::string> routes{};  // of our requests, topmost first
  uint32_t local_cseq = 0;            // the last one that was used
  std::optional<uint32_t> remote_cseq{};

  // What the response to a request of this one makes of it (12.1.2): the
  // routes turned round, its tag, its target. Nullopt: it has no tag or no
  // Contact to speak with, or more than kRoutesMax.
  std::optional<Dialog> Made(const Message& response) const;
  // The dialog that answering `request` makes (12.1.1). Nullopt: it names no
  // target, or more than kRoutesMax.
  static std::optional<Dialog> OfRequest(const Message& request,
                                         std::string_view local_tag);
  // A response, or a request of the peer, that moves the target (12.2.1.2,
  // 12.2.2): re-INVITE, UPDATE.
  void RefreshTarget(const Message& message);
  // False: older than what was heard (12.2.2: 500).
  bool TakeCSeq(uint32_t cseq);

  // A request within it, or the one that begins it (then for `uri`, if given):
  // Request-URI and Routes by 12.2.1.1, Max-Forwards, From, To, Call-ID, CSeq.
  // The headers end with `headers`.
  OutgoingRequest Request(std::string_view method, uint32_t cseq,
                          std::string_view headers, std::string_view body,
                          std::string_view uri = {}) const;
  // What the Request-URI of such a request is, but for `uri`.
  std::string RequestUri() const;
  // Where such a request is sent: the topmost Route, else the target.
  std::string_view NextHop() const;

 private:
  // The topmost Route is a router of RFC 2543 (no lr).
  bool StrictRoute() const;
};

// A value of From, To or Contact without its tag, fit to be one of ours.
std::string WithoutTag(const NameAddr& value);
// A user at one of our addresses, for Contact; `sips` where the request, or its
// first Route, is for such a URI (RFC 3261 8.1.1.8, 12.1.1).
std::string ContactAt(std::string_view user, const Leg::Address& own,
                      Uri::Scheme scheme);
// The scheme that a Contact has to have: that of such a URI.
Uri::Scheme SchemeFor(std::string_view uri);
// A URI without its header fields, which would become ours (RFC 3261 19.1.5).
std::string_view WithoutHeaders(const Uri& uri);
// The URI of a Route value; "" for what is none.
std::string_view UriOfRoute(std::string_view route);

}  // namespace sluice::sip

#endif  // SLUICE_SIP_DIALOG_H_
