#ifndef SLUICE_TOOLS_LOAD_SIP_ANSWERER_H_
#define SLUICE_TOOLS_LOAD_SIP_ANSWERER_H_

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "tools/load/sip_caller.h"
#include "tools/load/sip_media.h"
#include "tools/load/sip_messages.h"
#include "tools/load/sip_tally.h"

namespace sluice::load {

// The answering side: 180 and 200 for an INVITE, 200 for everything else but
// ACK, at once and each time it is asked; or `code` for all of them. It
// remembers nothing but which requests of its own run it has seen, to count
// those that come again. With media an offer is handed to it, and its place's
// description is the answer.
//
// Thread: the worker's.
class SipAnswerer {
 public:
  // `slots`: as the caller's, a power of two. `media`: the caller's too.
  SipAnswerer(const SipParties& parties, int code, uint32_t slots,
              SipTally& tally, SipMedia* media = nullptr);

  void OnMessage(std::string_view message, SipSink& sink);

 private:
  struct Seen {
    uint32_t number = 0;
    uint8_t requests = 0;  // a bit for each CSeq and for ACK
  };
  // The number of one of this run; nullopt for others.
  std::optional<uint32_t> CountSeen(const SipScan& request);
  void Answer(const SipScan& request, int code, std::string_view body,
              SipSink& sink);

  const uint32_t run_;
  const int code_;
  const uint32_t mask_;
  const SipResponses responses_;
  SipTally& tally_;
  SipMedia* const media_;
  std::vector<Seen> seen_;
};

}  // namespace sluice::load

#endif  // SLUICE_TOOLS_LOAD_SIP_ANSWERER_H_
