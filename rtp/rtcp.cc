#include "rtp/rtcp.h"

#include <algorithm>

#include "base/check.h"

namespace sluice::rtp {
namespace {

constexpr uint8_t kSenderReport = 200;
constexpr uint8_t kReceiverReport = 201;
constexpr uint8_t kDescription = 202;
constexpr uint8_t kBye = 203;
constexpr uint8_t kCnameItem = 1;
constexpr int32_t kLostMax = 0x7fffff;
constexpr int64_t kUnixSince1900 = 2'208'988'800;

class Writer {
 public:
  explicit Writer(std::span<uint8_t> out) : out_(out) {}
  void Octet(uint8_t value) { out_[size_++] = value; }
  void Word(uint32_t value) {
    for (int shift = 24; shift >= 0; shift -= 8) {
      Octet(static_cast<uint8_t>(value >> shift));
    }
  }
  // Begins a packet; End() writes its length in.
  void Begin(size_t count, uint8_t type) {
    begin_ = size_;
    Octet(static_cast<uint8_t>(0x80 | count));
    Octet(type);
    Octet(0);
    Octet(0);
  }
  void End() {
    const size_t words = (size_ - begin_) / 4 - 1;
    out_[begin_ + 2] = static_cast<uint8_t>(words >> 8);
    out_[begin_ + 3] = static_cast<uint8_t>(words);
  }
  void Octets(std::string_view octets) {
    for (const char octet : octets) Octet(static_cast<uint8_t>(octet));
  }
  size_t size() const { return size_; }

 private:
  const std::span<uint8_t> out_;
  size_t size_ = 0;
  size_t begin_ = 0;
};

}  // namespace

size_t WriteRtcp(const RtcpOut& report, std::span<uint8_t> out) {
  CHECK(out.size() >= kRtcpOutBytesMax);
  Writer w(out);
  w.Begin(report.block ? 1 : 0,
          report.sender ? kSenderReport : kReceiverReport);
  w.Word(report.ssrc);
  if (report.sender) {
    w.Word(static_cast<uint32_t>(report.sender->ntp >> 32));
    w.Word(static_cast<uint32_t>(report.sender->ntp));
    w.Word(report.sender->timestamp);
    w.Word(report.sender->packets);
    w.Word(report.sender->octets);
  }
  if (report.block) {
    const RtcpOut::Block& b = *report.block;
    const int32_t lost = std::clamp(b.packets_lost, -kLostMax - 1, kLostMax);
    w.Word(b.ssrc);
    w.Word(uint32_t{b.fraction_lost} << 24 |
           (static_cast<uint32_t>(lost) & 0xffffff));
    w.Word(b.highest);
    w.Word(b.jitter);
    w.Word(b.lsr);
    w.Word(b.dlsr);
  }
  w.End();

  const std::string_view cname = report.cname.substr(0, kCnameMax);
  w.Begin(1, kDescription);
  w.Word(report.ssrc);
  w.Octet(kCnameItem);
  w.Octet(static_cast<uint8_t>(cname.size()));
  w.Octets(cname);
  // At least one zero ends the items, and the chunk fills whole words.
  do w.Octet(0);
  while (w.size() % 4 != 0);
  w.End();

  if (report.bye) {
    w.Begin(1, kBye);
    w.Word(report.ssrc);
    w.End();
  }
  return w.size();
}

uint64_t NtpOfUnix(int64_t us) {
  const int64_t seconds = us / 1'000'000;
  const int64_t rest = us % 1'000'000;
  return static_cast<uint64_t>(seconds + kUnixSince1900) << 32 |
         (static_cast<uint64_t>(rest) << 32) / 1'000'000;
}

}  // namespace sluice::rtp
