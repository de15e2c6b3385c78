#ifndef SLUICE_TOOLS_LOAD_SIP_PORT_H_
#define SLUICE_TOOLS_LOAD_SIP_PORT_H_

#include <netinet/in.h>
#include <sys/socket.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "base/address.h"
#include "base/net/fd.h"
#include "tools/load/sip_caller.h"
#include "tools/load/sip_messages.h"
#include "tools/load/sip_tally.h"

namespace sluice::load {

// One side's way to send and receive: a UDP socket, or connections.
//
// What is sent goes to whom ToProxy() or the message being visited says, and
// leaves at the latest when Flush() is called.
//
// Thread: the worker's.
class SipPort : public SipSink {
 public:
  class Visitor {
   public:
    virtual ~Visitor() = default;
    // What it sends meanwhile is an answer: it goes where the message is from.
    virtual void OnMessage(SipPort& port, std::string_view message) = 0;
  };

  // From now on to the proxy; `number` spreads over connections.
  virtual void ToProxy(uint32_t number) = 0;
  virtual void Flush() = 0;
  // What has arrived, up to some tens of messages or octets' worth of them;
  // returns how many it visited.
  virtual uint32_t Receive(Visitor& visitor) = 0;
  // Readable when Receive() has something to do.
  virtual int descriptor() const = 0;
  // Messages that the kernel dropped here.
  virtual uint64_t ReceiveDrops() const { return 0; }
};

// Both directions in batches: a system call for up to kBatch messages.
class SipUdpPort final : public SipPort {
 public:
  explicit SipUdpPort(SipTally& tally) : tally_(tally) {}
  SipUdpPort(const SipUdpPort&) = delete;
  SipUdpPort& operator=(const SipUdpPort&) = delete;

  // `proxy` may be none where nothing is sent but answers.
  absl::Status Open(const Endpoint& local, const Endpoint& proxy);

  char* Room() override;
  void Send(size_t octets) override;
  void ToProxy(uint32_t number) override;
  void Flush() override;
  uint32_t Receive(Visitor& visitor) override;
  int descriptor() const override { return fd_.get(); }
  uint64_t ReceiveDrops() const override;

 private:
  static constexpr uint32_t kBatch = 64;
  struct Peer {
    sockaddr_in6 address{};  // room for IPv4 too
    socklen_t length = 0;
  };
  using Buffer = std::array<char, kSipMessageMax>;

  SipTally& tally_;
  net::Fd fd_;
  Peer proxy_{}, peer_{};
  uint32_t waiting_ = 0;  // messages written and not sent
  std::vector<Buffer> out_, in_;
  std::array<Peer, kBatch> out_peers_{};
  std::array<sockaddr_in6, kBatch> in_peers_{};
  std::array<iovec, kBatch> out_iov_{}, in_iov_{};
  std::array<mmsghdr, kBatch> out_msgs_{}, in_msgs_{};
};

}  // namespace sluice::load

#endif  // SLUICE_TOOLS_LOAD_SIP_PORT_H_
