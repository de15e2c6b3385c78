#include "tools/phone/record.h"

namespace sluice::phone {
namespace {

constexpr int kRequestTimeout = 408;      // nobody answered
constexpr int kServiceUnavailable = 503;  // no way there

}  // namespace

MediaRecord MediaRecordOf(const rtp::Session& media) {
  const rtp::StreamQuality quality = media.quality();
  MediaRecord record;
  if (media.started()) {
    record.codec = rtp::Name(media.agreed().codec);
    record.remote = media.remote().ToString();
  }
  record.sent = media.sent().packets;
  record.received = quality.received;
  record.expected = quality.expected;
  record.reordered = quality.reordered;
  record.duplicates = quality.duplicates;
  record.lost = quality.lost;
  record.jitter_ms = quality.jitter_ms;
  record.mos = media.mos();
  record.rtt_ms = quality.rtt_ms;
  if (const rtp::PeerReport report = media.peer_report();
      report.heard != Micros()) {
    record.peer_lost = report.packets_lost;
    record.peer_jitter_ms = report.jitter_ms;
  }
  record.drops = media.drops();
  return record;
}

const char* Name(EndedBy by) {
  switch (by) {
    case EndedBy::kNobody: return "nobody";
    case EndedBy::kUs: return "us";
    case EndedBy::kPeer: return "peer";
    case EndedBy::kSilence: return "silence";
    case EndedBy::kFailure: return "failure";
  }
  return "?";
}

const char* OptionName(rtp::DtmfMethod method) {
  return method == rtp::DtmfMethod::kRfc4733 ? "rfc4733" : "inband";
}

const char* Name(sip::Call::State state) {
  switch (state) {
    case sip::Call::State::kCalling: return "calling";
    case sip::Call::State::kRinging: return "ringing";
    case sip::Call::State::kAnswered: return "answered";
    case sip::Call::State::kEstablished: return "established";
    case sip::Call::State::kEnded: return "ended";
  }
  return "?";
}

ExitCode ExitCodeOf(const absl::Status& status) {
  if (status.ok()) return kDone;
  if (absl::IsInvalidArgument(status)) return kUsage;
  if (absl::IsUnavailable(status)) return kUnreachable;
  if (absl::IsDeadlineExceeded(status)) return kTimeout;
  return kFailed;
}

ExitCode ExitCodeOf(const CallRecord& call) {
  if (call.ended_by == EndedBy::kSilence) return kTimeout;
  if (!call.error.empty()) return kFailed;
  if (call.established) return kDone;
  if (call.gave_up_ringing || call.result.code == kRequestTimeout) {
    return kTimeout;
  }
  // A caller that gives up, and whom we refuse, is no failure of an answering
  // phone.
  if (call.incoming) {
    return call.ended_by == EndedBy::kFailure ? kFailed : kDone;
  }
  if (call.result.code == kServiceUnavailable) return kUnreachable;
  return kFailed;
}

ExitCode ExitCodeOf(const std::optional<RegistrationRecord>& registration,
                    const std::vector<CallRecord>& calls) {
  if (registration && !registration->ok) {
    const ExitCode code = ExitCodeOf(registration->error);
    return code == kDone ? kFailed : code;
  }
  for (const CallRecord& call : calls) {
    if (const ExitCode code = ExitCodeOf(call); code != kDone) return code;
  }
  return kDone;
}

}  // namespace sluice::phone
