#ifndef SLUICE_RTP_FILES_H_
#define SLUICE_RTP_FILES_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "rtp/audio.h"

namespace sluice::rtp {

// Files as sources and sinks, known by their names, upper or lower case:
//
//   .wav                                 WAV (rtp/wav.h); written as 16 bit PCM
//   .pcmu .ulaw .ul .pcmu-8000 .raw      raw G.711, mu-law: an octet a sample
//   .pcma .alaw .al .pcma-8000           raw G.711, A-law
//
// Where the call's codec is the file's, its octets are sent and written as they
// are; otherwise they are transcoded.
//
// What is read and written goes through the page cache in blocks: a disk that
// hangs hangs the loop. A network drive is no place for a recording.

inline constexpr int kRepeatForever = 0;

// Plays the file `times` times without a gap. NotFound, PermissionDenied;
// InvalidArgument for a name or a content that is none of the above, an empty
// file, or what is no regular file.
absl::StatusOr<std::unique_ptr<AudioSource>> OpenSource(const std::string& path,
                                                        int times = 1);
// Makes the file, or replaces what it held. Samples that are in it outlive a
// crash but for the last block.
absl::StatusOr<std::unique_ptr<AudioSink>> OpenSink(const std::string& path);

}  // namespace sluice::rtp

#endif  // SLUICE_RTP_FILES_H_
