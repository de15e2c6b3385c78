#ifndef SLUICE_RTP_AUDIO_H_
#define SLUICE_RTP_AUDIO_H_

#include <cstddef>
#include <cstdint>
#include <span>

#include "absl/status/status.h"
#include "rtp/g711.h"

namespace sluice::rtp {

// Where a session's audio comes from and where it goes, as octets of G.711: a
// file, a tone, a program's own.
//
// Thread: the session's loop. Called for every packet: neither may wait for
// anything slower than a file, nor call the session that calls it.
class AudioSource {
 public:
  virtual ~AudioSource() = default;
  // Fills `octets` from the front with the next samples, encoded in `codec`,
  // and returns how many; fewer than asked for: that was the end. The codec may
  // change between calls (a renegotiation).
  virtual size_t Read(Codec codec, std::span<uint8_t> octets) = 0;
};

class AudioSink {
 public:
  virtual ~AudioSink() = default;
  // The samples that follow those of the last call. What cannot be written is
  // told by Close().
  virtual void Write(Codec codec, std::span<const uint8_t> octets) = 0;
  // Nothing is written afterwards. The first error there was, in words.
  virtual absl::Status Close() = 0;
};

}  // namespace sluice::rtp

#endif  // SLUICE_RTP_AUDIO_H_
