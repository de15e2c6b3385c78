#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/check.h"
#include "base/text.h"
#include "sip/sdp.h"

namespace sluice::sip {
namespace {

std::string Tell(const IpAddress& ip) {
  return (ip.is_v4() ? "IN IP4 " : "IN IP6 ") + ip.ToString();
}

// "No address" of the same family: how RFC 3264 8.4 once put on hold.
IpAddress AnyLike(const IpAddress& ip) {
  return ip.is_v4() ? IpAddress::V4(0, 0, 0, 0) : IpAddress();
}

}  // namespace

// Writes one description anew. What is told for each medium is decided first,
// then the lines are walked once.
class Sdp::Writer {
 public:
  Writer(const Sdp& sdp, const Rewrite& rewrite)
      : sdp_(sdp), rewrite_(rewrite), end_(sdp.lines_.front().end) {
    DecideAddresses();
  }

  std::string Write() {
    for (const Line& line : sdp_.lines_) {
      // c= comes behind m= and i= (RFC 8866 5).
      if (owed_ && line.type != 'i') {
        Put("c=", Tell(told_[section_]), end_);
        owed_ = false;
      }
      WriteLine(line);
    }
    if (owed_) {
      // Only the last line may be without an end, and then it stays so.
      const bool open = sdp_.lines_.back().end.empty();
      Put(open ? end_ : "", "c=", Tell(told_[section_]), open ? "" : end_);
    }
    return std::move(out_);
  }

 private:
  template <typename... Pieces>
  void Put(const Pieces&... pieces) {
    Append(&out_, pieces...);
  }

  bool refused(size_t i) const {
    return sdp_.media_[i].port == 0 || rewrite_.listen[i].port == 0;
  }

  // The address told for each medium, and whether one serves all that have no
  // c= of their own; refused media take what there is.
  void DecideAddresses() {
    const IpAddress& origin = rewrite_.origin;
    for (size_t i = 0; i < sdp_.media_.size(); ++i) {
      IpAddress ip = rewrite_.listen[i].ip;
      if (ip.is_any()) ip = origin;
      if (sdp_.media_[i].any_address) ip = AnyLike(ip);
      told_.push_back(ip);
      if (sdp_.own_address_[i] || refused(i)) continue;
      split_ = split_ || (shared_ && *shared_ != ip);
      shared_ = ip;
    }
    if (!shared_ && sdp_.session_address_) {
      shared_ = sdp_.session_address_->is_any() ? AnyLike(origin) : origin;
    }
  }

  void WriteLine(const Line& line) {
    if (line.role == Role::kMedium)
      section_ = static_cast<size_t>(line.section);
    switch (line.role) {
      case Role::kKeep: return Put(line.text, line.end);
      case Role::kDrop: return;
      case Role::kOrigin: return WriteOrigin(line);
      case Role::kMedium: return WriteMedium(line);
      case Role::kRtcp: return WriteRtcp(line);
      case Role::kConnection:
        if (line.section >= 0) {
          Put("c=", Tell(told_[section_]), line.end);
        } else if (!split_) {
          Put("c=", Tell(*shared_), line.end);
        }
        return;
    }
  }

  void WriteOrigin(const Line& line) {
    const uint64_t version =
        (sdp_.origin_version_ + rewrite_.version_offset) & INT64_MAX;
    Put("o=- ", rewrite_.origin_id, " ", version, " ", Tell(rewrite_.origin),
        line.end);
  }

  void WriteMedium(const Line& line) {
    const auto before =
        static_cast<size_t>(line.port.data() - line.text.data());
    const uint16_t port = rewrite_.listen[section_].port;
    Put(line.text.substr(0, before));
    if (sdp_.media_[section_].port == 0) {
      Put(line.port);
    } else if (port == 0) {
      Put("0");
    } else {
      Put(port,
          line.port.substr(std::min(line.port.find('/'), line.port.size())));
    }
    Put(line.text.substr(before + line.port.size()), line.end);
    owed_ = split_ && !sdp_.own_address_[section_];
  }

  void WriteRtcp(const Line& line) {
    const SdpMedium& medium = sdp_.media_[section_];
    const Listen& listen = rewrite_.listen[section_];
    if (refused(section_) || !medium.is_rtp()) return;
    if (!medium.rtcp_port) return Put("a=rtcp:0", line.end);
    // A relay that gave the last port there is has none behind it.
    if (listen.port == UINT16_MAX) return;
    Put("a=rtcp:", listen.port + 1);
    if (line.address) Put(" ", Tell(listen.ip));
    Put(line.end);
  }

  const Sdp& sdp_;
  const Rewrite& rewrite_;
  const std::string_view end_;  // for lines that are put in
  std::vector<IpAddress> told_;
  std::optional<IpAddress> shared_;  // told by c= of the session
  bool split_ = false;               // c= of the session has to go

  std::string out_;
  size_t section_ = 0;  // the one being written
  bool owed_ = false;   // it has yet to get its c=
};

std::string Sdp::Apply(const Rewrite& rewrite) const {
  CHECK(rewrite.listen.size() == media_.size());
  return Writer(*this, rewrite).Write();
}

}  // namespace sluice::sip
