#ifndef SLUICE_CONTROL_CAPTURE_H_
#define SLUICE_CONTROL_CAPTURE_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "base/net/event_loop.h"
#include "base/types.h"
#include "control/capture_stream.h"
#include "control/session_manager.h"
#include "relay/media_plane.h"

namespace sluice::control {

struct CaptureRequest {
  static constexpr uint64_t kSecondsDefault = 10, kSecondsMax = 3'600;
  static constexpr uint64_t kBytesDefault = 64 * 1024 * 1024;

  std::string call_id{};
  uint64_t seconds = kSecondsDefault;  // 1 .. kSecondsMax
  uint64_t bytes = kBytesDefault;      // of the file, about
};

// The capture that runs, or else the last one.
struct CaptureView {
  uint64_t number = 0;  // 0: there was none yet
  std::string call_id{};
  bool running = false;
  std::string ended{};   // why, in words
  uint64_t packets = 0;  // given to its reader
  uint64_t bytes = 0;    // of the file
  // Left out: found no room in a queue between two threads, or were sampled
  // away because the reader was slow.
  uint64_t lost = 0;
};

// Copies the packets of one call, by whichever path they go, into a pcap that
// is read while it grows. One at a time.
//
//   idle --Start--> running --time, octets, call over, reader gone--> idle
//                     | every kLook: flows of the call, copies of the plane
//
// A flow that opens meanwhile is watched from the next look on.
//
// Thread: control only.
class Capture {
 public:
  static constexpr Micros kLook = Micros::Millis(20);

  // NotFound: there is no such call.
  using FindFlows =
      std::function<absl::StatusOr<CallFlows>(const std::string& call_id)>;
  using WallClock = std::function<Micros()>;

  // `plane` and `loop` outlive it. `wall_clock`: since 1970.
  Capture(relay::MediaPlane& plane, net::EventLoop& loop, FindFlows find_flows,
          WallClock wall_clock);
  ~Capture();
  Capture(const Capture&) = delete;
  Capture& operator=(const Capture&) = delete;

  // NotFound: no such call. FailedPrecondition: another one runs, in words.
  absl::StatusOr<std::shared_ptr<CaptureStream>> Start(
      const CaptureRequest& request);
  // Ends what runs, with all that is there by now.
  void Finish(const std::string& why);
  // Ends what runs.
  void Stop(const std::string& why);
  CaptureView view() const;

 private:
  void Look();
  // Follows the call's flows. False: it is over.
  bool Follow();
  void Drain();

  relay::MediaPlane& plane_;
  net::EventLoop& loop_;
  const FindFlows find_flows_;
  const WallClock wall_clock_;
  CaptureView view_;
  std::shared_ptr<CaptureStream> stream_;  // null: idle
  CallFlows watched_{};
  net::EventLoop::TimerId timer_ = 0;
  Micros ends_{};
  uint64_t bytes_max_ = 0;
  bool full_ = false;  // what came next was longer than what was left of that
  Micros epoch_{};     // from the loop's time to the wall's
  uint64_t lost_before_ = 0;
};

}  // namespace sluice::control

#endif  // SLUICE_CONTROL_CAPTURE_H_
