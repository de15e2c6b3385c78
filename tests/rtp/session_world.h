#ifndef SLUICE_TESTS_RTP_SESSION_WORLD_H_
#define SLUICE_TESTS_RTP_SESSION_WORLD_H_

#include <poll.h>
#include <sys/socket.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "base/check.h"
#include "base/net/event_loop.h"
#include "base/net/socket.h"
#include "gtest/gtest.h"
#include "rtp/media_loop.h"
#include "rtp/packet.h"
#include "rtp/session.h"

namespace sluice::rtp {

using Octets = std::vector<uint8_t>;

inline constexpr IpAddress kLoopback = IpAddress::V4(127, 0, 0, 1);

inline Octets Noise(size_t size, uint64_t seed) {
  std::mt19937_64 random(seed);
  Octets octets(size);
  for (uint8_t& octet : octets) octet = static_cast<uint8_t>(random());
  return octets;
}

class MemorySource : public AudioSource {
 public:
  explicit MemorySource(Octets octets) : octets_(std::move(octets)) {}
  size_t Read(Codec, std::span<uint8_t> into) override {
    const size_t count = std::min(into.size(), octets_.size() - at_);
    std::copy_n(octets_.begin() + static_cast<ptrdiff_t>(at_), count,
                into.begin());
    at_ += count;
    return count;
  }

 private:
  Octets octets_;
  size_t at_ = 0;
};

class MemorySink : public AudioSink {
 public:
  explicit MemorySink(Octets* out) : out_(out) {}
  void Write(Codec, std::span<const uint8_t> octets) override {
    out_->insert(out_->end(), octets.begin(), octets.end());
  }
  absl::Status Close() override { return absl::OkStatus(); }

 private:
  Octets* const out_;
};

struct RawPacket {
  RtpHeader header{};
  uint8_t type = 0;
  bool marker = false;
  Octets payload{};
  Octets whole{};
};

// A socket of the test's own, on loopback.
class RawPeer {
 public:
  explicit RawPeer(IpAddress ip = kLoopback) {
    absl::StatusOr<net::Fd> fd = net::OpenUdp({.ip = ip, .port = Port()}, {});
    CHECK(fd.ok());
    fd_ = *std::move(fd);
    local_ = *net::LocalEndpoint(fd_.get());
  }
  const Endpoint& local() const { return local_; }
  void Send(uint16_t port, const Octets& packet,
            IpAddress ip = kLoopback) const {
    sockaddr_storage address;
    const Endpoint to{.ip = ip, .port = Port::FromHost(port)};
    const socklen_t length = to.ToSockaddr(AF_INET, &address);
    ASSERT_EQ(sendto(fd_.get(), packet.data(), packet.size(), 0,
                     reinterpret_cast<sockaddr*>(&address), length),
              static_cast<ssize_t>(packet.size()));
  }
  // All that waits.
  std::vector<Octets> TakeRaw() const {
    std::vector<Octets> all;
    Octets buffer(2048);
    for (;;) {
      const ssize_t n = recv(fd_.get(), buffer.data(), buffer.size(), 0);
      if (n < 0) return all;
      all.emplace_back(buffer.begin(), buffer.begin() + n);
    }
  }
  std::vector<RawPacket> Take() const {
    std::vector<RawPacket> all;
    for (Octets& packet : TakeRaw()) {
      const auto header = ParseRtp(packet);
      EXPECT_TRUE(header.has_value());
      if (!header) continue;
      const auto payload = RtpPayload(packet);
      all.push_back({.header = *header,
                     .type = PayloadType(packet),
                     .marker = (packet[1] & 0x80) != 0,
                     .payload = Octets(payload.begin(), payload.end()),
                     .whole = packet});
    }
    return all;
  }

 private:
  net::Fd fd_;
  Endpoint local_;
};

inline Octets MakeRtp(const RtpHeader& header, uint8_t type,
                      const Octets& payload, bool marker = false) {
  Octets packet(kRtpHeaderBytes + payload.size());
  WriteRtpHeader(header, {.payload_type = type, .marker = marker}, packet);
  std::copy(payload.begin(), payload.end(), packet.begin() + kRtpHeaderBytes);
  return packet;
}

// Sessions on a loop whose time stands still until it is moved; the sockets are
// real.
class SessionWorld {
 public:
  explicit SessionWorld(PortWindow window = {.first = Port::FromHost(20000),
                                             .last = Port::FromHost(30000)})
      : loop([this] { return time; }), media(loop, window) {}

  // In steps of a tick; after each all that was sent is read.
  void Advance(Micros by) {
    const Micros end = time + by;
    while (time < end) {
      time = std::min(end, time + MediaLoop::kTick);
      Settle();
    }
  }
  // All the callbacks and all that is on its way, at this moment.
  void Settle() {
    for (int i = 0; i < turns; ++i) loop.RunOnce(Micros());
  }
  std::unique_ptr<Session> Open(SessionOptions options = {}) {
    auto session = Session::Open(media, kLoopback, std::move(options));
    CHECK(session.ok());
    return *std::move(session);
  }

  Micros time = Micros::Seconds(1'000);
  int turns = 3;
  net::EventLoop loop;
  MediaLoop media;
};

inline Endpoint At(const Session& session) {
  return {.ip = kLoopback, .port = Port::FromHost(session.port())};
}

}  // namespace sluice::rtp

#endif  // SLUICE_TESTS_RTP_SESSION_WORLD_H_
