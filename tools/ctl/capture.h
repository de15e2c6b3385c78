#ifndef SLUICE_TOOLS_CTL_CAPTURE_H_
#define SLUICE_TOOLS_CTL_CAPTURE_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "tools/ctl/client.h"
#include "tools/ctl/verbs.h"

namespace sluice::ctl {

struct CaptureOptions {
  std::string file;  // "-": stdout
  uint64_t seconds = 10;
  uint64_t bytes = 0;  // of the file; 0: as the daemon has it
  bool force = false;  // write over a file that is there
};

// Cuts a pcap that comes in parts of any size into its head and its records, so
// that what is written is a whole file at every moment.
class PcapCutter {
 public:
  // What of `octets`, and of what was kept before, makes the file whole; the
  // rest is kept. Nothing once it is seen to be no pcap of ours: good() says.
  std::string Add(std::string_view octets);
  bool good() const { return good_; }
  uint64_t packets() const { return packets_; }

 private:
  std::string waiting_;
  bool head_seen_ = false;
  bool good_ = true;
  uint64_t packets_ = 0;
};

// Until the time is over, the call has ended or SIGINT or SIGTERM comes. A file
// is made only when the daemon has said yes.
ExitCode Capture(const Session& session, const std::string& call_id,
                 const CaptureOptions& options);

}  // namespace sluice::ctl

#endif  // SLUICE_TOOLS_CTL_CAPTURE_H_
