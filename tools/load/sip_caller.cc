#include "tools/load/sip_caller.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "base/check.h"
#include "base/text.h"

namespace sluice::load {
namespace {

// RFC 3261 17.1: T1, and T2 where it stops growing.
constexpr uint64_t kT1Ns = 500'000'000;
constexpr uint64_t kT2Ns = 4'000'000'000;
constexpr uint64_t kRepeatLookNs = 50'000'000;

// Takes the last value off a list with commas; a comma inside <> or quotes is
// none.
std::string_view TakeLast(std::string_view* values) {
  bool quoted = false, bracketed = false;
  size_t comma = values->npos;
  for (size_t i = 0; i < values->size(); ++i) {
    switch ((*values)[i]) {
      case '"': quoted = !quoted; break;
      case '<': bracketed = true; break;
      case '>': bracketed = false; break;
      case ',':
        if (!quoted && !bracketed) comma = i;
        break;
      default: break;
    }
  }
  const std::string_view last =
      comma == values->npos ? *values : values->substr(comma + 1);
  *values = comma == values->npos ? "" : values->substr(0, comma);
  return last;
}

}  // namespace

SipCaller::SipCaller(const SipCallerOptions& options, const SipUsers& users,
                     SipTally& tally, SipMedia* media)
    : options_(options),
      users_(users),
      tally_(tally),
      media_(media),
      requests_(options.parties),
      mask_(options.slots - 1),
      slots_(options.slots) {
  CHECK(std::has_single_bit(options.slots));
  CHECK(!options.digest || options.parties.scenario != SipScenario::kCall);
}

SipValues SipCaller::ValuesOf(const Slot& slot) const {
  SipValues values;
  values.number = slot.number;
  values.cseq = slot.cseq;
  // The same transaction as long as it is the same CSeq, but for ACK.
  values.step = static_cast<char>('0' + slot.cseq);
  values.user = users_.Of(slot.number).name;
  return values;
}

void SipCaller::StartClock(Slot& slot, uint64_t now_ns) {
  slot.resends = 0;
  slot.resend_ns = now_ns + kT1Ns;
  slot.proceeding = false;
}

void SipCaller::Write(const SipTemplate& request, const SipValues& values,
                      Slot& slot, Keep keep, uint64_t now_ns, SipSink& sink) {
  char* const room = sink.Room();
  SipWriter writer(room, kSipMessageMax);
  request.Write(values, &writer);
  if (writer.size() == 0) {
    tally_.too_long.Add(1);
    slot.request.clear();
    return;
  }
  if (keep == Keep::kForLater) {
    slot.request.assign(room, writer.size());
    return;
  }
  if (options_.retransmit && keep == Keep::kYes) {
    slot.request.assign(room, writer.size());
    StartClock(slot, now_ns);
  }
  tally_.uac_sent.Add(1);
  sink.Send(writer.size());
}

bool SipCaller::Start(uint64_t now_ns, SipSink& sink) {
  if (next_ - oldest_ == slots_.size()) {
    if (IsLive(SlotOf(oldest_))) GiveUp(SlotOf(oldest_));
    ++oldest_;
  }
  if (media_ != nullptr && !media_->Take(next_)) return false;
  Slot& slot = SlotOf(next_);
  slot.number = next_++;
  slot.started_ns = now_ns;
  slot.stage = Stage::kAsked;
  slot.cseq = 1;
  slot.ringing = slot.proceeding = false;
  tally_.started.Add(1);
  SipValues values = ValuesOf(slot);
  if (media_ != nullptr) values.body = media_->Body(slot.number, kCaller);
  Write(requests_.first, values, slot, Keep::kYes, now_ns, sink);
  return true;
}

void SipCaller::OnMessage(std::string_view message, uint64_t now_ns,
                          SipSink& sink) {
  SipScan response;
  // Ours must be the last Via, and the only one that is left.
  if (!ScanSip(message, &response) || response.status == 0 ||
      response.via_count != 1) {
    tally_.malformed.Add(1);
    return;
  }
  SipNumber number;
  if (!ReadSipCallId(response.call_id, &number) ||
      number.run != options_.parties.run) {
    tally_.foreign.Add(1);
    return;
  }
  if (response.status == 100) {
    tally_.trying.Add(1);
  } else {
    tally_.uac_received.Add(1);
  }
  Slot& slot = SlotOf(number.number);
  if (slot.stage == Stage::kFree || slot.number != number.number) {
    tally_.late.Add(1);
    return;
  }
  OnOwn(response, slot, now_ns, sink);
}

void SipCaller::OnOwn(const SipScan& response, Slot& slot, uint64_t now_ns,
                      SipSink& sink) {
  switch (slot.stage) {
    case Stage::kFree: return;
    case Stage::kGivenUp: tally_.late.Add(1); return;
    case Stage::kEnded:
      if (response.status != 100) tally_.retransmissions.Add(1);
      return;
    case Stage::kAsked:
    case Stage::kTalking:
    case Stage::kLeaving: break;
  }
  const std::string_view method =
      slot.stage == Stage::kLeaving ? "BYE" : requests_.method;
  if (slot.stage == Stage::kTalking || response.cseq != slot.cseq ||
      response.method != method) {
    // To what was asked before: one of the same again, and the 200 of an INVITE
    // wants another ACK (RFC 3261 13.2.2.4).
    const bool before = response.cseq < slot.cseq;
    (before ? tally_.retransmissions : tally_.unexpected).Add(1);
    if (before && response.method == "INVITE" && response.status / 100 == 2) {
      SendAck(response, slot, sink);
    }
    return;
  }
  slot.proceeding = true;
  if (response.status == 100) return;
  if (response.status < 200) {
    (slot.ringing ? tally_.retransmissions : tally_.ringing).Add(1);
    slot.ringing = true;
    return;
  }
  OnFinal(response, slot, now_ns, sink);
}

void SipCaller::OnFinal(const SipScan& response, Slot& slot, uint64_t now_ns,
                        SipSink& sink) {
  const bool call = options_.parties.scenario == SipScenario::kCall;
  if (slot.stage == Stage::kAsked) {
    const bool challenge = response.status == 401 || response.status == 407;
    if (challenge && options_.digest && slot.cseq == 1) {
      return Authorize(response, slot, now_ns, sink);
    }
    if (response.status >= 300) {
      if (call) SendAck(response, slot, sink);
      return Fail(slot, response.status);
    }
    answer_ns_.Record(now_ns - slot.started_ns);
    if (call) {
      SendAck(response, slot, sink);
      return OnUp(response, slot, now_ns, sink);
    }
  } else if (response.status >= 300) {
    return Fail(slot, response.status);
  }
  whole_ns_.Record(now_ns - slot.started_ns);
  slot.stage = Stage::kEnded;
  tally_.answered.Add(1);
}

void SipCaller::Authorize(const SipScan& challenge, Slot& slot, uint64_t now_ns,
                          SipSink& sink) {
  SipValues values = ValuesOf(slot);
  char uri[256];
  SipWriter writer(uri, sizeof uri);
  requests_.request_uri.Write(values, &writer);
  lines_.clear();
  if (!PutAuthorization(challenge, users_.Of(slot.number), requests_.method,
                        std::string_view(uri, writer.size()), slot.number,
                        &lines_)) {
    return Fail(slot, challenge.status);
  }
  slot.cseq = 2;
  values = ValuesOf(slot);
  values.lines = lines_;
  tally_.challenged.Add(1);
  Write(requests_.first, values, slot, Keep::kYes, now_ns, sink);
}

std::string_view SipCaller::Routes(const SipScan& response) {
  // The caller's route set is the list backwards (RFC 3261 12.1.2).
  lines_.clear();
  const auto fields = response.record_routes();
  for (size_t i = fields.size(); i-- > 0;) {
    std::string_view values = SipLineValue(fields[i]);
    while (!values.empty()) {
      Append(&lines_, "Route: ", TakeLast(&values), "\r\n");
    }
  }
  return lines_;
}

void SipCaller::SendAck(const SipScan& response, const Slot& slot,
                        SipSink& sink) {
  SipValues values = ValuesOf(slot);
  values.cseq = response.cseq;
  values.to = response.to_line;
  const bool refused = response.status >= 300;
  if (refused) {
    values.step = static_cast<char>('0' + response.cseq);
  } else {
    values.step = 'a';
    values.target = SipAddressOf(response.contact);
    values.lines = Routes(response);
  }
  Slot unkept;
  Write(refused ? requests_.refused_ack : requests_.ack, values, unkept,
        Keep::kNo, 0, sink);
}

void SipCaller::OnUp(const SipScan& response, Slot& slot, uint64_t now_ns,
                     SipSink& sink) {
  bool talks = false;
  if (media_ != nullptr) {
    media_->OnDescription(slot.number, kCaller, response.body);
    talks = media_->Begin(slot.number, now_ns);
  }
  slot.stage = talks ? Stage::kTalking : Stage::kLeaving;
  slot.cseq = static_cast<uint8_t>(response.cseq + 1);
  SipValues values = ValuesOf(slot);
  values.to = response.to_line;
  values.target = SipAddressOf(response.contact);
  values.lines = Routes(response);
  Write(requests_.bye, values, slot, talks ? Keep::kForLater : Keep::kYes,
        now_ns, sink);
}

void SipCaller::HangUp(uint32_t number, uint64_t now_ns, SipSink& sink) {
  Slot& slot = SlotOf(number);
  if (slot.number != number || slot.stage != Stage::kTalking) return;
  slot.stage = Stage::kLeaving;
  // One that did not fit has been counted.
  if (slot.request.empty()) return;
  StartClock(slot, now_ns);
  std::memcpy(sink.Room(), slot.request.data(), slot.request.size());
  tally_.uac_sent.Add(1);
  sink.Send(slot.request.size());
}

void SipCaller::Fail(Slot& slot, int code) {
  slot.stage = Stage::kEnded;
  tally_.failed.Add(1);
  if (media_ != nullptr) media_->Free(slot.number);
  ++failures_[static_cast<size_t>(code)];
}

void SipCaller::GiveUp(Slot& slot) {
  slot.stage = Stage::kGivenUp;
  tally_.timed_out.Add(1);
  if (media_ != nullptr) media_->Free(slot.number);
}

void SipCaller::Sweep(uint64_t now_ns, SipSink& sink) {
  // Oldest first: those begun later cannot be due before it.
  while (oldest_ != next_) {
    Slot& slot = SlotOf(oldest_);
    if (IsLive(slot)) {
      if (now_ns < slot.started_ns + options_.timeout_ns) break;
      GiveUp(slot);
    }
    ++oldest_;
  }
  if (options_.retransmit && now_ns >= next_repeat_look_ns_) {
    next_repeat_look_ns_ = now_ns + kRepeatLookNs;
    RepeatDue(now_ns, sink);
  }
}

void SipCaller::RepeatDue(uint64_t now_ns, SipSink& sink) {
  const bool call = options_.parties.scenario == SipScenario::kCall;
  for (uint32_t number = oldest_; number != next_; ++number) {
    Slot& slot = SlotOf(number);
    if (!IsLive(slot) || now_ns < slot.resend_ns) continue;
    if (slot.stage == Stage::kTalking || slot.request.empty()) continue;
    // RFC 3261 17.1.1.2: an INVITE that has been heard is not repeated.
    if (call && slot.stage == Stage::kAsked && slot.proceeding) continue;
    std::memcpy(sink.Room(), slot.request.data(), slot.request.size());
    sink.Send(slot.request.size());
    tally_.resent.Add(1);
    slot.resends = static_cast<uint8_t>(std::min(slot.resends + 1, 16));
    slot.resend_ns = now_ns + std::min(kT2Ns, kT1Ns << slot.resends);
  }
}

void SipCaller::ClearDelays() {
  answer_ns_.Clear();
  whole_ns_.Clear();
}

}  // namespace sluice::load
