#ifndef SLUICE_CONTROL_SIP_TRACE_H_
#define SLUICE_CONTROL_SIP_TRACE_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/types.h"
#include "sip/dispatcher.h"

namespace sluice::control {

// The last SIP messages as they passed, for the question "what happened to this
// call?". A ring: the newest overwrites the oldest, no call can keep it full.
//
// Thread: control only.
class SipTrace {
 public:
  static constexpr size_t kOctetsMax = 4'096;  // of a message; the rest is cut
  // Of one call, shown: all that is copied in a turn of the control thread.
  static constexpr size_t kFoundMax = 256;
  struct Entry {
    Micros at{};
    bool in = false;
    bool cut = false;
    std::string leg;
    std::string peer;  // "udp 192.0.2.1:5060"
    std::string call_id;
    std::string octets;
  };

  // `messages`: how many are kept; 0: none.
  explicit SipTrace(size_t messages) : ring_(messages) {}
  void Add(const sip::SipTrace& seen, Micros now);
  // The last kFoundMax of one call, oldest first.
  std::vector<Entry> Find(std::string_view call_id) const;
  size_t size() const { return ring_.size(); }

 private:
  std::vector<Entry> ring_;
  size_t next_ = 0;
};

}  // namespace sluice::control

#endif  // SLUICE_CONTROL_SIP_TRACE_H_
