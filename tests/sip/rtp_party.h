#ifndef SLUICE_TESTS_SIP_RTP_PARTY_H_
#define SLUICE_TESTS_SIP_RTP_PARTY_H_

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "base/net/datagram_socket.h"
#include "base/net/socket.h"
#include "base/text.h"
#include "rtp/packet.h"
#include "rtp/session.h"

namespace sluice::sip {

// A socket that speaks PCMU when it is told to, and keeps what it hears.
class RtpParty {
 public:
  struct Heard {
    uint32_t timestamp = 0;
    uint8_t first = 0;  // octet of its payload
  };

  explicit RtpParty(net::EventLoop& loop, std::string_view ip = "127.0.0.1") {
    auto fd = net::OpenUdp(*Endpoint::Parse(Cat(ip, ":0")), {});
    EXPECT_TRUE(fd.ok()) << fd.status();
    auto socket = net::DatagramSocket::Create(
        loop, *std::move(fd), [this](const Endpoint&, std::string_view octets) {
          const std::span packet(
              reinterpret_cast<const uint8_t*>(octets.data()), octets.size());
          const auto header = rtp::ParseRtp(packet);
          ASSERT_TRUE(header && octets.size() > rtp::kRtpHeaderBytes);
          heard_.push_back({.timestamp = header->timestamp,
                            .first = packet[rtp::kRtpHeaderBytes]});
        });
    EXPECT_TRUE(socket.ok()) << socket.status();
    socket_ = *std::move(socket);
  }
  int port() const { return socket_->local().port.host(); }
  // 20 ms whose octets are all `octet`, `gap` samples behind the last.
  void Say(const rtp::Session& to, uint8_t octet = 1, uint32_t gap = 160) {
    std::array<uint8_t, rtp::kRtpHeaderBytes + 160> packet;
    packet.fill(octet);
    Send(to, 0, gap, packet);
  }
  // A digit's first packet (RFC 4733), and its last.
  void Dial(const rtp::Session& to, uint8_t event) {
    std::array<uint8_t, rtp::kRtpHeaderBytes + 4> packet{};
    packet[rtp::kRtpHeaderBytes] = event;
    packet[rtp::kRtpHeaderBytes + 1] = 0x80;  // the end
    Send(to, 101, 800, packet);
  }
  const std::vector<Heard>& heard() const { return heard_; }
  size_t Count(uint8_t octet) const {
    return static_cast<size_t>(
        std::count_if(heard_.begin(), heard_.end(),
                      [&](const auto& h) { return h.first == octet; }));
  }
  void Forget() { heard_.clear(); }

 private:
  void Send(const rtp::Session& to, uint8_t payload_type, uint32_t gap,
            std::span<uint8_t> packet) {
    timestamp_ += gap;
    rtp::WriteRtpHeader(
        {.ssrc = 7, .timestamp = timestamp_, .sequence = ++sequence_},
        {.payload_type = payload_type}, packet);
    const absl::Status sent = socket_->Send(
        {.ip = to.local(), .port = Port::FromHost(to.port())},
        {reinterpret_cast<const char*>(packet.data()), packet.size()});
    EXPECT_TRUE(sent.ok()) << sent;
  }

  std::unique_ptr<net::DatagramSocket> socket_;
  std::vector<Heard> heard_;
  uint32_t timestamp_ = 1'000'000;
  uint16_t sequence_ = 0;
};

}  // namespace sluice::sip

#endif  // SLUICE_TESTS_SIP_RTP_PARTY_H_
