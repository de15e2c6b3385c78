#include "sip/rtp.h"

#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/status_macros.h"
#include "rtp/files.h"
#include "rtp/tone.h"

namespace sluice::sip {
namespace {

absl::Status Record(const std::string& file, rtp::Session& media) {
  if (file.empty()) return absl::OkStatus();
  ASSIGN_OR_RETURN(auto sink, rtp::OpenSink(file));
  return media.SetSink(std::move(sink));
}

}  // namespace

InitMedia Rtp::SendRecv(Sounds sounds) {
  return [sounds = std::move(sounds)](Call& call, rtp::Session& media) {
    std::unique_ptr<rtp::AudioSource> source;
    if (sounds.source) {
      source = sounds.source();
    } else if (!sounds.play.empty()) {
      ASSIGN_OR_RETURN(source, rtp::OpenSource(sounds.play, sounds.repeat));
    }
    if (source != nullptr) {
      media.SetSource(std::move(source),
                      [played = sounds.played, weak = call.weak_from_this()] {
                        const auto c = weak.lock();
                        if (played && c != nullptr) played(*c);
                      });
    }
    if (sounds.sink) RETURN_IF_ERROR(media.SetSink(sounds.sink()));
    return Record(sounds.record, media);
  };
}

InitMedia Rtp::MediaRecvEcho(std::string record) {
  return [record = std::move(record)](Call&, rtp::Session& media) {
    media.SetEcho(true);
    return Record(record, media);
  };
}

InitMedia Rtp::Tone(double hz) {
  return [hz](Call&, rtp::Session& media) -> absl::Status {
    if (!(hz >= 0 && hz < 4'000)) {
      return absl::InvalidArgumentError(
          "a tone has 0 (silence) to 3999 Hz: telephone speech has no more");
    }
    media.SetSource(hz == 0 ? rtp::SilenceSource() : rtp::ToneSource(hz));
    return absl::OkStatus();
  };
}

}  // namespace sluice::sip
