#ifndef SLUICE_CONTROL_CAPTURE_STREAM_H_
#define SLUICE_CONTROL_CAPTURE_STREAM_H_

#include <cstddef>
#include <cstdint>
#include <mutex>
#include <string>
#include <string_view>

namespace sluice::control {

// The octets of a capture on their way to who asked for it.
//
//   control thread --Push--> [ at most kBytesMax ] --Take--> HTTP thread
//                  --End---> the last word
//
// Two hold it, by shared_ptr. The reader's client is gone when the reader has
// let go of it.
//
// Neither side waits for the other. A reader that falls behind gets a sample:
// of what comes while the buffer is more than half full one record of
// kSampleOf, and nothing of what finds no room.
//
// Thread: any. Records are whole or not there.
class CaptureStream {
 public:
  static constexpr size_t kBytesMax = 1024 * 1024;
  static constexpr uint32_t kSampleOf = 8;

  // `number`: of the capture, never used twice by a daemon. `head`: what the
  // reader gets first.
  CaptureStream(uint64_t number, std::string head);

  uint64_t number() const { return number_; }
  // False: left out.
  bool Push(std::string_view record);
  void End();
  // Appends at most `most` octets to `out`. False: there is and will be no
  // more.
  bool Take(size_t most, std::string* out);

 private:
  const uint64_t number_;
  std::mutex mutex_;
  // Guarded by it.
  std::string waiting_;
  size_t taken_ = 0;  // of `waiting_`
  uint32_t skipped_ = 0;
  bool ended_ = false;
};

}  // namespace sluice::control

#endif  // SLUICE_CONTROL_CAPTURE_STREAM_H_
