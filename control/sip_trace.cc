#include "control/sip_trace.h"

#include <algorithm>

#include "base/text.h"
#include "sip/fields.h"

namespace sluice::control {

void SipTrace::Add(const sip::SipTrace& seen, Micros now) {
  if (ring_.empty()) return;
  // Strings keep their room, so a full ring allocates no more.
  Entry& entry = ring_[next_];
  next_ = (next_ + 1) % ring_.size();
  entry.at = now;
  entry.in = seen.in;
  entry.cut = seen.octets.size() > kOctetsMax;
  entry.leg = seen.leg.name;
  entry.peer = Cat(Lower(sip::NameOf(seen.peer.transport)), " ",
                   seen.peer.address.ToString());
  entry.call_id.assign(seen.call_id.substr(0, kOctetsMax));
  entry.octets.assign(seen.octets.substr(0, kOctetsMax));
}

std::vector<SipTrace::Entry> SipTrace::Find(std::string_view call_id) const {
  call_id = call_id.substr(0, kOctetsMax);  // as it is kept
  std::vector<Entry> found;
  for (size_t i = ring_.size(); i > 0 && found.size() < kFoundMax; --i) {
    const Entry& entry = ring_[(next_ + i - 1) % ring_.size()];
    if (!entry.octets.empty() && entry.call_id == call_id) {
      found.push_back(entry);
    }
  }
  std::reverse(found.begin(), found.end());
  return found;
}

}  // namespace sluice::control
