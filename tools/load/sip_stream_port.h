#ifndef SLUICE_TOOLS_LOAD_SIP_STREAM_PORT_H_
#define SLUICE_TOOLS_LOAD_SIP_STREAM_PORT_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/address.h"
#include "base/net/fd.h"
#include "sip/fields.h"
#include "sip/framer.h"
#include "sip/tls_context.h"
#include "sip/tls_stream.h"
#include "tools/load/sip_port.h"
#include "tools/load/sip_tally.h"

namespace sluice::load {

struct SipTlsFiles;

// Connections, TCP or TLS: those made to the proxy, or those that a proxy makes
// to the answering side. One that is lost stays so: what would go by it is
// counted as refused, for a proxy that drops connections is not to look as if
// it had only been slow.
//
//   kConnecting --writable--> kHandshaking (TLS) --> kOpen --> kLost
//
class SipStreamPort final : public SipPort {
 public:
  static absl::StatusOr<std::unique_ptr<SipPort>> Listen(
      sip::Transport transport, const Endpoint& local, const SipTlsFiles& tls,
      SipTally& tally);
  // Waits until the connections are made (TLS: but not shaken hands on).
  static absl::StatusOr<std::unique_ptr<SipPort>> Connect(
      sip::Transport transport, const IpAddress& from, const Endpoint& proxy,
      uint32_t connections, const SipTlsFiles& tls, SipTally& tally);

  char* Room() override { return room_.data(); }
  void Send(size_t octets) override;
  void ToProxy(uint32_t number) override;
  void Flush() override;
  uint32_t Receive(Visitor& visitor) override;
  int descriptor() const override { return epoll_.get(); }

 private:
  // Waiting to be taken by the kernel, on one connection.
  static constexpr size_t kOutMax = 4 << 20;
  static constexpr size_t kConnectionsMax = 4096;

  enum class State : uint8_t { kHandshaking, kOpen, kLost };
  struct Connection {
    net::Fd fd;
    std::unique_ptr<sip::TlsStream> tls{};
    State state = State::kOpen;
    bool dirty = false;           // in dirty_
    bool waits_to_write = false;  // EPOLLOUT is asked for
    std::string out{};
    sip::FrameBuffer frames{sip::Framer::Limits()};
  };

  explicit SipStreamPort(SipTally& tally) : tally_(tally) {}
  absl::Status Prepare(sip::Transport transport, const SipTlsFiles& tls);
  absl::Status Add(net::Fd fd, std::unique_ptr<sip::TlsStream> tls);
  void Accept();
  // Whether there may be more to read.
  bool Read(uint32_t index, Visitor& visitor, uint32_t* messages);
  void Write(uint32_t index);
  void Handshake(uint32_t index);
  void Ask(uint32_t index, bool write);
  void Lose(uint32_t index);
  void MarkDirty(uint32_t index);

  SipTally& tally_;
  net::Fd epoll_, listener_;
  std::shared_ptr<const sip::TlsContext> tls_;
  std::vector<std::unique_ptr<Connection>> connections_;
  std::vector<uint32_t> dirty_;
  uint32_t current_ = 0;
  std::array<char, kSipMessageMax> room_{};
  std::vector<char> in_ = std::vector<char>(65'536);
};

}  // namespace sluice::load

#endif  // SLUICE_TOOLS_LOAD_SIP_STREAM_PORT_H_
