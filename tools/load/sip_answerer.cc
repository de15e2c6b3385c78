#include "tools/load/sip_answerer.h"

#include <bit>

#include "base/check.h"

namespace sluice::load {

SipAnswerer::SipAnswerer(const SipParties& parties, int code, uint32_t slots,
                         SipTally& tally, SipMedia* media)
    : run_(parties.run),
      code_(code),
      mask_(slots - 1),
      responses_(parties),
      tally_(tally),
      media_(media),
      seen_(slots) {
  CHECK(std::has_single_bit(slots));
}

void SipAnswerer::OnMessage(std::string_view message, SipSink& sink) {
  SipScan request;
  if (!ScanSip(message, &request) || request.status != 0) {
    tally_.malformed.Add(1);
    return;
  }
  tally_.uas_received.Add(1);
  const std::optional<uint32_t> number = CountSeen(request);
  if (request.method == "ACK") {
    tally_.acknowledged.Add(1);
    return;
  }
  const bool invite = request.method == "INVITE";
  if (invite && code_ == 200) Answer(request, 180, "", sink);
  std::string_view body;
  if (invite && media_ != nullptr && number.has_value()) {
    media_->OnDescription(*number, kCallee, request.body);
    body = media_->Body(*number, kCallee);
  }
  Answer(request, code_, body, sink);
}

std::optional<uint32_t> SipAnswerer::CountSeen(const SipScan& request) {
  SipNumber number;
  if (!ReadSipCallId(request.call_id, &number) || number.run != run_) {
    tally_.foreign.Add(1);
    return std::nullopt;
  }
  Seen& seen = seen_[number.number & mask_];
  const auto bit = static_cast<uint8_t>(
      request.method == "ACK" ? 0x80 : 1 << (request.cseq % 7));
  if (seen.number == number.number && (seen.requests & bit) != 0) {
    tally_.retransmissions.Add(1);
  }
  if (seen.number != number.number) seen = {number.number, 0};
  seen.requests |= bit;
  return number.number;
}

void SipAnswerer::Answer(const SipScan& request, int code,
                         std::string_view body, SipSink& sink) {
  SipWriter writer(sink.Room(), kSipMessageMax);
  responses_.Write(request, code, body, &writer);
  if (writer.size() == 0) {
    tally_.too_long.Add(1);
    return;
  }
  tally_.uas_sent.Add(1);
  sink.Send(writer.size());
}

}  // namespace sluice::load
